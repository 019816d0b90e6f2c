"""The vector s by knockpy, in a process that may belong to another environment."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

__all__ = ["has_knockpy", "peer_s", "peer_version"]

# The interpreter of an environment that has knockpy; ours if none is named.
PYTHON = os.environ.get("SPARSESTAT_KNOCKPY", sys.executable)
_CODE = """
import contextlib, io, json, sys, time, warnings
import numpy as np
from knockpy.smatrix import compute_smatrix
warnings.simplefilter("ignore")
folder, method, repeat = sys.argv[1], sys.argv[2], int(sys.argv[3])
R, small = np.load(folder + "/R.npy"), np.eye(20) * 0.5 + 0.5
with contextlib.redirect_stdout(io.StringIO()):
    compute_smatrix(small, method=method)
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        S = compute_smatrix(R, method=method)
        seconds.append(time.perf_counter() - start)
np.save(folder + "/s.npy", np.diag(S))
print(json.dumps(seconds))
"""


def _run(*arguments, **options):
    return subprocess.run(
        [PYTHON, *arguments], capture_output=True, text=True, **options
    )


def has_knockpy():
    """Say whether the interpreter can import it."""
    return _run("-c", "import knockpy.smatrix").returncode == 0


def peer_version():
    """Return the version that is compared with."""
    code = "from importlib.metadata import version; print(version('knockpy'))"
    return _run("-c", code).stdout.strip()


def peer_s(R, method, repeat, limit):
    """Return s and the seconds of each run, or None if `limit` seconds do not do.

    One call on a small matrix goes before; the clock is inside the process.
    """
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "R.npy", R)
        try:
            done = _run("-c", _CODE, folder, method, str(repeat), timeout=limit)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            raise RuntimeError(f"knockpy failed:\n{done.stderr}")
        return np.load(Path(folder) / "s.npy"), json.loads(done.stdout)
