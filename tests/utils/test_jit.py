"""A kernel needs no folder to keep its code in, and no room there."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
from numba.core import config

from sparsestat._utils import jit

LOST = "Compiled kernels cannot be kept"
FIT = """
import errno, numpy as np, numba.core.caching as caching
def full(self, *arguments):
    raise OSError(errno.ENOSPC, "No space left on device")
if {full}:
    caching.IndexDataCacheFile.save = full
from sparsestat.__main__ import info
from sparsestat.linear_model import Lasso
X = np.random.default_rng(0).standard_normal((20, 5))
print(Lasso(0.1).fit(X, X[:, 0]).coef_.tolist())
print(info().splitlines()[-1])
"""

needs_locators = pytest.mark.skipif(
    not hasattr(config, "CACHE_LOCATOR_CLASSES") or not hasattr(os, "getuid"),
    reason="older versions of numba cannot be kept from the folder of the source",
)


def outputs(full, warning, **environment):
    """Return what a fit in a fresh process prints, and how often it gave a warning."""
    done = subprocess.run(
        [sys.executable, "-c", FIT.format(full=full)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    coef, where = done.stdout.splitlines()
    return eval(coef), where, done.stderr.count(warning)


@pytest.fixture
def expected():
    from sparsestat.linear_model import Lasso

    X = np.random.default_rng(0).standard_normal((20, 5))
    return Lasso(0.1).fit(X, X[:, 0]).coef_.tolist()


@pytest.mark.slow
@needs_locators
def test_nowhere_to_write(expected, tmp_path):
    nowhere = {
        "NUMBA_CACHE_DIR": os.path.join(os.devnull, "below"),
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CPU_NAME": "generic",  # for which nothing lies beside the source
        "TMPDIR": str(tmp_path),
    }
    folder = tmp_path / f"sparsestat-{os.getuid()}"
    for times in 1, 0:  # a folder among the temporary files, which the second one finds
        coef, where, warned = outputs(
            False, f"Compiled kernels go to {folder}", **nowhere
        )
        assert coef == expected
        assert str(folder) in where
        assert warned == times
    folder.chmod(0o777)  # others could have put code there
    coef, where, warned = outputs(False, LOST, **nowhere)
    assert coef == expected
    assert "none" in where
    assert warned == 1


@pytest.mark.slow
def test_a_disk_that_is_full(expected, tmp_path):
    coef, where, warned = outputs(True, LOST, NUMBA_CACHE_DIR=str(tmp_path))
    assert coef == expected
    assert str(tmp_path) in where
    assert warned == 1


def test_what_cannot_be_read_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(jit, "_told", False)
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))

    def twice(x):
        return 2 * x

    kernel = jit.njit(cache=True)(twice)
    assert kernel(3) == 6
    (index,) = tmp_path.rglob("*.nbi")
    index.write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="cannot be kept on disk"):
        assert jit.njit(cache=True)(twice)(3) == 6


@needs_locators
def test_what_was_compiled_beside_the_source_is_read(tmp_path, monkeypatch):
    (tmp_path / "shipped.py").write_text(
        "from sparsestat._utils.jit import njit\n"
        "@njit(cache=True)\ndef twice(x):\n    return 2 * x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    monkeypatch.setattr(config, "CACHE_DIR", "")
    hits = []
    for where in "InTreeCacheLocator", "UserWideCacheLocator":  # as if one cannot write
        monkeypatch.setattr(config, "CACHE_LOCATOR_CLASSES", where)
        monkeypatch.delitem(sys.modules, "shipped", raising=False)
        kernel = importlib.import_module("shipped").twice
        assert kernel(3) == 6
        hits.append(sum(kernel.stats.cache_hits.values()))
    assert hits == [0, 1]
    assert not list((tmp_path / "mine").rglob("*.nbc"))


def test_kernels_of_another_version_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))

    def twice(x):
        return 2 * x

    hits = []
    for version in "1", "1", "2":
        monkeypatch.setattr(jit, "__version__", version)
        kernel = jit.njit(cache=True)(twice)
        assert kernel(3) == 6
        hits.append(sum(kernel.stats.cache_hits.values()))
    assert hits == [0, 1, 0]
