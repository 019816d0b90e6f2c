"""Exact transport by the network simplex, against POT's, and in rational numbers."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import statistics
import subprocess
import sys
import time

import numpy as np

from sparsestat.transport import sinkhorn

PEERS = ("POT",)
FIRST_SEED = 3000  # fresh: no default was chosen on these problems
N_RUNS = 5
BUDGET = 3.0  # seconds a row; fewer runs when they are over


def squares(n, m, rng):
    """Squared distances of normal points in the plane."""
    X, Y = rng.standard_normal((n, 2)), rng.standard_normal((m, 2))
    return ((X[:, None] - Y) ** 2).sum(axis=-1)


def masses(n, m, rng, kind):
    """Uniform masses, or masses from the flat Dirichlet distribution."""
    if kind == "uniform":
        return np.full(n, 1.0 / n), np.full(m, 1.0 / m)
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    return a, b * (a.sum() / b.sum())


def problems(quick):
    """Yield ``(name, costs, masses)``."""
    rng = np.random.default_rng(FIRST_SEED)
    for n in (50, 200) if quick else (50, 200, 500, 1000, 2000, 4000):
        for kind in ("Dirichlet", "uniform"):
            yield f"{n} points, {kind}", squares(n, n, rng), masses(n, n, rng, kind)
            yield f"{n} random, {kind}", rng.random((n, n)), masses(n, n, rng, kind)
    x = np.arange(500.0)
    line = np.abs(x[:, None] - x)
    shuffled = line[rng.permutation(500)]
    for name, C in (("|i-j|", line), ("(i-j)^2", line**2), ("shuffled", shuffled)):
        yield f"histogram, {name}", C, masses(500, 500, rng, "Dirichlet")
    n = 2000 if quick else 20_000
    yield f"{n} x 10", squares(n, 10, rng), masses(n, 10, rng, "Dirichlet")
    n = 200 if quick else 1000
    wide = 10.0 ** rng.uniform(0, 14, (n, n))
    yield f"{n}, costs to 1e14", wide, masses(n, n, rng, "Dirichlet")


_PLANE = """
import sys, time
import numpy as np
from benchmarks._harness import memory
from sparsestat.transport import sinkhorn_points
n = int(sys.argv[1])
rng = np.random.default_rng(int(sys.argv[2]))
few = np.linspace(0, 1, 3001)
sinkhorn_points(few, few + 1, method="exact")  # compiles, or reads what was compiled
X, Y = rng.standard_normal((n, 2)), rng.standard_normal((n, 2)) + 1
start = time.perf_counter()
result = sinkhorn_points(X, Y, method="exact")
seconds = time.perf_counter() - start
used = memory("VmHWM") / 2**20
print(seconds, used, result.certificate.value, result.n_iter["pivots"])
"""


def plane(n):
    """Return the row of n points a side, whose costs are not held."""
    command = [sys.executable, "-c", _PLANE, str(n), str(FIRST_SEED)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, used, gap, pivots = map(float, out.split())
    return [
        f"{n} points of the plane, in {used:.0f} MB",
        f"{1e3 * seconds:.0f}",
        "-",
        "-",
        f"{gap:.0e}",
        "-",
        f"{pivots:.0f}",
    ]


def _timed(function):
    start = time.perf_counter()
    value = function()
    return time.perf_counter() - start, value


def run(quick=False):
    """Solve every problem by both, in turn; return the table."""
    import ot

    rows, ratios = [], []
    for name, C, (a, b) in problems(quick):
        mine, theirs, begin = [], [], time.perf_counter()
        sinkhorn(C, a, b, method="exact")  # compiles, fills the caches
        while len(mine) < N_RUNS:
            seconds, result = _timed(lambda C=C, a=a, b=b: _ours(C, a, b))
            mine.append(seconds)
            seconds, plan = _timed(
                lambda C=C, a=a, b=b: ot.emd(a, b, C, numItermax=10**8)
            )
            theirs.append(seconds)
            if time.perf_counter() - begin > BUDGET:
                break
        ratio = statistics.median(theirs) / statistics.median(mine)
        if "x" not in name and "1e14" not in name and "hist" not in name:
            ratios.append(ratio)
        value = float((plan * C).sum())
        rows.append(
            [
                name,
                f"{1e3 * statistics.median(mine):.2f}",
                f"{1e3 * statistics.median(theirs):.2f}",
                f"{ratio:.2f}",
                f"{result.certificate.value:.0e}",
                f"{(value - result.value) / abs(result.value):.0e}",
                str(result.n_iter["pivots"]),
            ]
        )
        print(*rows[-1], flush=True)
    rows.append(plane(4000 if quick else 20_000))
    print(*rows[-1], flush=True)
    mean = float(np.exp(np.mean(np.log(ratios))))
    return {
        "title": "Exact transport",
        "claim": (
            f"Square problems: {mean:.2f} times as quick as ot.emd in the geometric "
            "mean, with a proof of optimality; and right where costs span 14 orders."
        ),
        "columns": [
            "problem",
            "ours, ms",
            "ot.emd, ms",
            "emd / ours",
            "ours: gap",
            "emd: cost above ours",
            "pivots",
        ],
        "rows": rows,
        "notes": [
            f"Medians of up to {N_RUNS} runs in turn, one thread, dense plans. Gap: "
            "the certificate, relative to the cost of the flow above the row minima. "
            "Points of the plane: one run in a process of its own, whose peak memory "
            "it is; ot.emd would hold 3.2 GB of costs and was not run.",
        ],
    }


def _ours(C, a, b):
    return sinkhorn(C, a, b, method="exact")
