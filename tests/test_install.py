"""The package as it is installed: what a wheel holds, and what importing it costs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_wheel_runs_the_tour_outside_the_source_tree(tmp_path):
    # A copy of the sources, so that the build leaves nothing behind in them.
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        + ["sparsestat", "*.cfg", "*.toml", "README.md", "LICENSE"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if listed.returncode:
        pytest.skip("needs the repository, to know which files belong to it")
    source = tmp_path / "source"
    for name in listed.stdout.split():
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    flags = ["--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*pip, "wheel", *flags, "-w", tmp_path, source], check=True, timeout=900
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"sparsestat/py.typed", "sparsestat/_tour/report.html"} <= set(names)
    assert not [n for n in names if n.split("/")[0] in ("tests", "docs", "benchmarks")]

    target = tmp_path / "installed"
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", target, wheel],
        check=True,
        timeout=900,
    )
    command = "import sparsestat.__main__ as m; print(m.__file__); m.main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "tour", "--only", "graph_labels"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=900,
        env={**os.environ, "PYTHONPATH": str(target)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(target))
    assert (tmp_path / "sparsestat-tour.html").stat().st_size > 10_000


TIMER = """
import time
import sklearn.base
start = time.process_time()  # of the processor: other load does not count
import sparsestat
print(time.process_time() - start)
"""


def test_importing_adds_little_to_importing_scikit_learn():
    seconds = []
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", TIMER], capture_output=True, text=True, check=True
        )
        seconds.append(float(done.stdout))
    assert min(seconds) < 0.3
