"""Sparse times sparse, sorted results on all sides, against scipy, MKL, GraphBLAS."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import os
import subprocess
import sys

import numpy as np

from benchmarks._graphs import (
    alternate,
    banded,
    barabasi_albert,
    geometric_mean,
    hypersparse,
    load_mkl,
    rmat,
    uniform,
)
from sparsestat.sparse import masked_spgemm, spgemm

TITLE = "Sparse matrix times sparse matrix"
CLAIM = (
    "Targets; the rows show which are met: "
    "C = A A in float64 with sorted rows, one thread: geometric mean at least 1.5 "
    "times as fast as scipy with sort_indices and as fast as MKL and GraphBLAS; no "
    "case below 0.9 of scipy; two threads at least 1.7 times one."
)
PEERS = ("sparse_dot_mkl", "mkl", "python-graphblas")
# Seeds other than those the kernel was tuned with.
CASES = {
    "random 1e5, 10 a row": lambda: uniform(100_000, 10, seed=11),
    "Barabasi-Albert 1e5, m=5": lambda: barabasi_albert(100_000, 5, seed=11),
    "R-MAT 2^15, 1.6e5": lambda: rmat(15, 160_000, seed=11),
    "banded 1e5, 11 diagonals": lambda: banded(100_000, 5, seed=11),
    "hypersparse 2e6, 1e5": lambda: hypersparse(2_000_000, 100_000, seed=11),
}
QUICK = {
    "random 1e4, 10 a row": lambda: uniform(10_000, 10, seed=11),
    "banded 1e4, 11 diagonals": lambda: banded(10_000, 5, seed=11),
}


def run(quick=False):
    """Time all sides and check that the answers agree; return the table."""
    mkl, why = load_mkl()
    notes = [
        "Median of alternating runs, wall clock in ms, lowest and highest in brackets. "
        "Ratios above 1 mean that sparsestat is faster.",
        "scipy, MKL and GraphBLAS are asked for sorted rows inside the timing: "
        "sort_indices, reorder_output, export with sort. GraphBLAS holds A already.",
    ]
    if mkl is None:
        notes.append(f"MKL was left out: {why}")
    else:
        mkl.mkl_set_num_threads(1)
    try:
        import graphblas

        graphblas.ss.config["nthreads"] = 1
    except ImportError as error:
        graphblas = None
        notes.append(f"GraphBLAS was left out: {error}")

    rows, ratios = [], {"scipy": [], "MKL": [], "GraphBLAS": [], "2 threads": []}
    for name, make in (QUICK if quick else CASES).items():
        A = make()
        calls = {
            "ours": lambda A=A: spgemm(A, A),
            "2 threads": lambda A=A: spgemm(A, A, n_jobs=2),
            "scipy": lambda A=A: _scipy(A),
        }
        if mkl is not None:
            calls["MKL"] = lambda A=A: mkl.dot_product_mkl(A, A, reorder_output=True)
        if graphblas is not None:
            G = graphblas.io.from_scipy_sparse(A)
            calls["GraphBLAS"] = lambda G=G: G.mxm(G).new().ss.export("csr", sort=True)
        C, expected = spgemm(A, A), _scipy(A)
        same = (
            np.array_equal(C.indptr, expected.indptr)
            and np.array_equal(C.indices, expected.indices)
            and np.array_equal(C.data, expected.data)
        )
        nnz = C.nnz
        del C, expected
        times = alternate(calls, 3 if quick else 5)
        for side in ratios:
            if side in times:
                slow, fast = (side, "ours") if side != "2 threads" else ("ours", side)
                ratios[side].append(times[slow][0] / times[fast][0])
        shown = [_shown(times.get(side)) for side in ("ours", "scipy")]
        shown += [_shown(times.get(side)) for side in ("MKL", "GraphBLAS")]
        shown += [f"{r[-1]:.2f}" if r else "-" for r in ratios.values()]
        rows.append([name, f"{nnz:.2e}", "yes" if same else "NO", *shown])
    means = [f"{geometric_mean(r):.2f}" if r else "-" for r in ratios.values()]
    rows.append(["geometric mean", "", "", "", "", "", "", *means])
    notes.append(_cores_note())
    notes.append(_memory_note(quick))
    notes.append(_triangle_note(quick))
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": [
            "A",
            "nnz(C)",
            "bitwise scipy",
            "sparsestat",
            "scipy + sort",
            "MKL + sort",
            "GraphBLAS + export",
            "x scipy",
            "x MKL",
            "x GraphBLAS",
            "2 threads / 1",
        ],
        "rows": rows,
        "notes": notes,
    }


def _scipy(A):
    C = A @ A
    C.sort_indices()
    return C


def _shown(times):
    return "-" if times is None else f"{times[0]:.1f} [{times[1]:.1f}, {times[2]:.1f}]"


_MEMORY = """
from benchmarks._harness import memory
from benchmarks.spgemm import CASES, QUICK, spgemm
A = (QUICK if {quick} else CASES)[{name!r}]()
spgemm(A[:300], A)  # compiles
open("/proc/self/clear_refs", "w").write("5")  # peak memory starts anew
before = memory("VmRSS")
C = spgemm(A, A, n_jobs={threads})
size = C.data.nbytes + C.indices.nbytes + C.indptr.nbytes
print((memory("VmHWM") - before) / size)
"""


def _spin(_):
    total = 0
    for k in range(3_000_000):
        total += k
    return total


def _cores_note():
    """Say what two threads were worth on this machine when this was measured."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_spin, range(2)))
        times = alternate(
            {
                "one": lambda: list(pool.map(_spin, range(1))),
                "two": lambda: list(pool.map(_spin, range(2))),
            },
            5,
        )
    worth = 2 * times["one"][0] / times["two"][0]
    return (
        f"Two independent arithmetic loops in two processes ran {worth:.2f} times as "
        "fast as one after the other: the most that two threads could gain here then."
    )


def _memory_note(quick):
    """Measure the growth of peak memory in a new process, relative to C."""
    shown = []
    for name in [n for n in (QUICK if quick else CASES) if "hyper" not in n]:
        for threads in (1, 2):
            code = _MEMORY.format(quick=quick, name=name, threads=threads)
            out = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "NUMBA_NUM_THREADS": "2"},
            )
            shown.append(f"{name}, {threads} threads: {float(out.stdout):.2f}")
    return "Growth of peak memory over the size of C: " + "; ".join(shown) + "."


def _triangle_note(quick):
    A = rmat(12 if quick else 15, 20_000 if quick else 160_000, seed=11)
    A = abs(A + A.T)
    A.data[:] = 1.0
    times = alternate(
        {
            "ours": lambda: masked_spgemm(A, A, A).sum(),
            "scipy": lambda: (A @ A).multiply(A).sum(),
        },
        3,
    )
    return (
        f"Triangles of a symmetric R-MAT graph ({A.nnz} entries), masked product "
        f"against (A @ A).multiply(A): {times['ours'][0]:.1f} against "
        f"{times['scipy'][0]:.1f} ms, {times['scipy'][0] / times['ours'][0]:.1f} times."
    )
