"""How many files and functions of the package a fit on a small table passes."""

import sys
from pathlib import Path

import numpy as np
import pytest

import sparsestat
from sparsestat.linear_model import (
    ElasticNet,
    Lasso,
    SparseLogisticRegression,
    SparsePoissonRegressor,
)

PACKAGE = str(Path(sparsestat.__file__).parent)


def trace(call):
    """Return the (file, function) pairs of the package that a warm call passes.

    Compiled kernels are left out: only some versions of numba show them.
    """
    passed = set()

    def profiler(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE):
            if not Path(code.co_filename).name.startswith("_kernels"):
                # Comprehensions are frames in older versions of Python only.
                if code.co_name[0] != "<" or code.co_name == "<lambda>":
                    passed.add((code.co_filename, code.co_qualname))

    for _ in range(2):  # the first may compile and fill caches
        call()
    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        call()
    finally:
        sys.setprofile(before)
    return passed


@pytest.mark.parametrize(
    ("model", "target", "files", "functions"),
    [
        (Lasso(0.1), "real", 12, 60),
        (ElasticNet(0.1), "real", 12, 60),
        (SparseLogisticRegression(0.02), "classes", 12, 60),
        (SparsePoissonRegressor(0.05), "counts", 12, 60),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_fit_passes_few_layers(model, target, files, functions):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 10))
    eta = X[:, :3] @ [1.0, -2.0, 1.5]
    y = {
        "real": eta + 0.3 * rng.standard_normal(50),
        "classes": (eta > 0).astype(int),
        "counts": rng.poisson(np.exp(0.3 * eta)),
    }[target]
    passed = trace(lambda: model.fit(X, y))
    assert len({file for file, _ in passed}) <= files, sorted(passed)
    assert len(passed) <= functions, sorted(passed)
