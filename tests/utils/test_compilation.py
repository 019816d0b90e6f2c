"""The line about compiling kernels appears once, late, and can be left out."""

import os
import subprocess
import sys

import pytest

CODE = """
import numpy as np
from sparsestat._utils import compilation
compilation.PATIENCE = {patience}
from sparsestat.linear_model import Lasso
X = np.random.default_rng(0).standard_normal((20, 5))
Lasso(0.1).fit(X, X[:, 0])
Lasso(0.1).fit(X.astype("f4"), X[:, 0])
"""


def messages(patience, tmp_path, **environment):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(patience=patience)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.count("compiling kernels, once")


@pytest.mark.slow
def test_a_cold_process_is_told_once_and_a_warm_one_never(tmp_path):
    quiet = {"SPARSESTAT_COMPILATION_NOTICE": "0"}
    assert messages(0.0, tmp_path / "cold") == 1
    assert messages(0.0, tmp_path / "cold") == 0
    assert messages(0.0, tmp_path / "quiet", **quiet) == 0
