"""Error control: the vector s of knockoffs against knockpy, and seconds of the rest."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np

from benchmarks._harness import measure
from sparsestat.inference import DebiasedLasso, StabilitySelection
from sparsestat.inference._knockoff_s import s_vector

TITLE = "Error control for selections: knockoffs, nodewise regressions, halves"
CLAIM = (
    "The vector s of knockoffs is no worse than knockpy's and comes with a bound of "
    "its distance to the optimum, which knockpy lacks."
)
PEERS = ("knockpy",)


def correlation(kind, p, seed=0):
    """Return a correlation matrix: autoregressive, or of a Wishart draw."""
    if kind == "autoregressive 0.6":
        return 0.6 ** np.abs(np.subtract.outer(np.arange(p), np.arange(p)))
    X = np.random.default_rng(900 + seed).standard_normal((2 * p, p))
    R = X.T @ X
    d = np.sqrt(np.diag(R))
    return R / d / d[:, None]


def feasible_value(R, s, method):
    """Return the objective of s after the least shrinkage that makes it feasible."""
    s = np.clip(s, 0.0, None)
    while np.linalg.eigvalsh(2 * R - np.diag(s))[0] < 0.0:
        s = s * (1 - 1e-7)
    if method == "sdp":
        return float(np.minimum(s, 1.0).sum())
    return float(np.trace(np.linalg.inv(2 * R - np.diag(s))) + (1 / s).sum())


def _peer(R, method):
    """Return knockpy's function, or None where it is not installed."""
    try:
        from knockpy.smatrix import compute_smatrix
    except ImportError:
        return None

    def solve():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.diag(compute_smatrix(R, method=method))

    return solve


def _knockoff_rows(quick):
    cases = [(k, p) for p in (200, 500) for k in ("autoregressive 0.6", "Wishart")]
    rows = []
    for kind, p in cases[:2] if quick else cases:
        R = correlation(kind, p)
        for method in ("mvr", "sdp"):
            ours = measure(lambda R=R, m=method: s_vector(R, m), repeat=3, budget=5.0)
            value = feasible_value(R, ours.value.s, method)
            solve = _peer(R, method)
            theirs = None
            if solve is not None:
                few = method == "sdp" and p > 200
                repeat = 1 if few else 3
                theirs = measure(solve, repeat=repeat, budget=5.0, warm=not few)
            row = [f"s by {method}, {kind}, p = {p}", f"{ours.median:.3f}"]
            if theirs is None:
                rows.append([*row, "", "", f"{ours.value.gap:.0e}", ""])
                continue
            other = feasible_value(R, theirs.value, method)
            worse = (other - value) / value * (1 if method == "mvr" else -1)
            rows.append(
                [
                    *row,
                    f"{theirs.median:.3f}",
                    f"{theirs.median / ours.median:.1f}",
                    f"{ours.value.gap:.0e}",
                    f"{worse:.1e}",
                ]
            )
    return rows


def run(quick=False):
    """Time all parts; return the table."""
    rows = _knockoff_rows(quick)
    rng = np.random.default_rng(5)
    X = rng.standard_normal((300, 500))
    y = X[:, :5].sum(axis=1) + rng.standard_normal(300)
    timing = measure(lambda: DebiasedLasso().fit(X, y), repeat=5, budget=10.0)
    rows.append(
        ["DebiasedLasso, 300 x 500, all nodes", f"{timing.median:.3f}", "", "", "", ""]
    )
    X = rng.standard_normal((300, 1000))
    y = X[:, :5].sum(axis=1) + rng.standard_normal(300)
    timing = measure(
        lambda: StabilitySelection(random_state=0).fit(X, y), repeat=3, budget=12.0
    )
    rows.append(
        [
            "StabilitySelection, 300 x 1000, 50 pairs, q = 22",
            f"{timing.median:.3f}",
            *[""] * 4,
        ]
    )
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": [
            "problem",
            "ours, s",
            "knockpy, s",
            "knockpy / ours",
            "our bound of the gap",
            "knockpy's objective worse by",
        ],
        "rows": rows,
        "notes": [
            "One thread. The objective of both sides is computed outside, after the "
            "least shrinkage that makes s feasible; relative differences.",
            "knockpy without the optional solver DSDP, as pip installs it.",
        ],
    }
