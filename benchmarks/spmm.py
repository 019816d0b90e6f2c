"""Sparse times dense, 128 columns, against scipy and MKL."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from benchmarks._graphs import alternate, load_mkl, uniform
from sparsestat.sparse import spmm, spmm_t

TITLE = "Sparse matrix times dense matrix"
CLAIM = (
    "Targets; the rows show which are met: "
    "A B and A^T B with 128 columns, one thread, float32: at least as fast as MKL and "
    "1.5 times as fast as scipy; A^T is never formed."
)
PEERS = ("sparse_dot_mkl", "mkl")


def run(quick=False):
    """Time all sides and check that the answers agree; return the table."""
    mkl, why = load_mkl()
    notes = [
        "Median of alternating runs, wall clock in ms, lowest and highest in brackets; "
        "every call allocates its result. Ratios above 1: sparsestat is faster."
    ]
    if mkl is None:
        notes.append(f"MKL was left out: {why}")
    else:
        mkl.mkl_set_num_threads(1)
        notes.append("sparse_dot_mkl multiplies by A^T through a CSC view of A.T.")
    rows = []
    for n in (5_000,) if quick else (20_000, 100_000):
        for dtype in (np.float32, np.float64):
            A = uniform(n, 10, seed=21).astype(dtype)
            B = np.random.default_rng(0).normal(size=(n, 128)).astype(dtype)
            for product in ("A B", "A^T B"):
                left = A if product == "A B" else A.T
                ours = spmm if product == "A B" else spmm_t
                calls = {
                    "ours": lambda A=A, B=B, ours=ours: ours(A, B),
                    "scipy": lambda L=left, B=B: L @ B,
                }
                if mkl is not None:
                    calls["MKL"] = lambda L=left, B=B: mkl.dot_product_mkl(L, B)
                error = np.abs(calls["ours"]() - calls["scipy"]()).max()
                times = alternate(calls, 5 if quick else 9)
                rows.append(
                    [
                        f"{product}, n = {n:.0e}",
                        np.dtype(dtype).name,
                        f"{error:.0e}",
                        *(_shown(times.get(s)) for s in ("ours", "scipy", "MKL")),
                        f"{times['scipy'][0] / times['ours'][0]:.2f}",
                        "-"
                        if mkl is None
                        else f"{times['MKL'][0] / times['ours'][0]:.2f}",
                    ]
                )
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": [
            "product",
            "type",
            "difference",
            "sparsestat",
            "scipy",
            "MKL",
            "x scipy",
            "x MKL",
        ],
        "rows": rows,
        "notes": notes,
    }


def _shown(times):
    return "-" if times is None else f"{times[0]:.1f} [{times[1]:.1f}, {times[2]:.1f}]"
