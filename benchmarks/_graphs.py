"""Sparse matrices of known shapes, and alternating timings, for the benchmarks."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import glob
import os
import sys
import time

import numpy as np
from scipy import sparse


def _canonical(n, i, j, seed):
    rng = np.random.default_rng(seed)
    A = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n)).tocsr()
    A.sum_duplicates()
    A.data = rng.normal(size=A.nnz)
    return A


def uniform(n, per_row, seed=0):
    """Return `per_row` entries a row at random places."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(n), per_row)
    return _canonical(n, rows, rng.integers(0, n, n * per_row), seed)


def barabasi_albert(n, m, seed=0):
    """Return a graph grown by preferential attachment, hubs first."""
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(m, n), m)
    ends = np.empty(2 * len(source), np.int64)
    ends[0::2] = source
    draws = rng.random(len(source))
    for e in range(len(source)):
        age = e // m
        ends[2 * e + 1] = e if age == 0 else ends[int(draws[e] * 2 * age * m)]
    target = ends[1::2]
    return _canonical(n, np.r_[source, target], np.r_[target, source], seed)


def banded(n, half_width, seed=0):
    """Return 2 half_width + 1 full diagonals."""
    i = np.repeat(np.arange(n), 2 * half_width + 1)
    j = i + np.tile(np.arange(-half_width, half_width + 1), n)
    inside = (j >= 0) & (j < n)
    return _canonical(n, i[inside], j[inside], seed)


def hypersparse(n, nnz, seed=0):
    """Return far fewer entries than rows."""
    rng = np.random.default_rng(seed)
    return _canonical(n, rng.integers(0, n, nnz), rng.integers(0, n, nnz), seed)


def rmat(scale, nnz, seed=0):
    """Return a recursive power-law graph on 2**scale nodes."""
    rng = np.random.default_rng(seed)
    i, j = np.zeros(nnz, np.int64), np.zeros(nnz, np.int64)
    for _ in range(scale):
        quadrant = np.searchsorted([0.57, 0.76, 0.95], rng.random(nnz))
        i, j = 2 * i + (quadrant >> 1), 2 * j + (quadrant & 1)
    return _canonical(1 << scale, i, j, seed)


def alternate(calls, repeats):
    """Time callables in turn; return {name: (median, low, high) in ms}.

    Each is called once before, to compile and to fill caches. Timings are of wall
    clock. Turns make a busy moment of the machine hit all sides alike.
    """
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    rng = np.random.default_rng(0)
    for _ in range(repeats):
        # In random order: fresh memory costs most for the side that follows on one
        # that ran long or kept its memory.
        for name in rng.permutation(list(calls)):
            start = time.perf_counter()
            result = calls[name]()
            times[name].append(1e3 * (time.perf_counter() - start))
            del result
    return {name: (float(np.median(t)), min(t), max(t)) for name, t in times.items()}


def load_mkl():
    """Return sparse_dot_mkl, or None with the reason why not."""
    found = glob.glob(os.path.join(sys.prefix, "lib", "libmkl_rt.so*"))
    if found:
        os.environ.setdefault("MKL_RT", sorted(found)[0])
    try:
        import sparse_dot_mkl
    except ImportError as error:
        return None, str(error)
    return sparse_dot_mkl, ""


def geometric_mean(values):
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(values))))
