"""Entropic barycenters against POT's, in the log domain, at equal measured error."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings

import numpy as np

from sparsestat.transport import barycenter

PEERS = ("POT",)
FIRST_SEED = 4000  # fresh: no default was chosen on these problems
GOAL = 1e-6  # L1 distance to the barycenter that both find in the end
TOLERANCES = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
LONGEST = 10.0  # seconds after which no smaller tolerance is tried
MOST = 500  # iterations of POT, of some 50 ms


def histograms(count, size, seed):
    """Mixtures of three bumps on a line."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0.0, 1.0, size)
    out = []
    for _ in range(count):
        centers, widths = rng.uniform(0.1, 0.9, 3), rng.uniform(0.01, 0.08, 3)
        out.append(
            np.exp(-0.5 * ((x[:, None] - centers) / widths) ** 2) @ rng.random(3)
        )
    H = np.array(out) + 1e-9
    return x, H / H.sum(axis=1, keepdims=True)


def images(count, side, seed):
    """Boxes and disks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    out = []
    for _ in range(count):
        cy, cx = rng.uniform(0.3, 0.7, 2)
        r = rng.uniform(0.1, 0.25)
        norm = rng.choice([2.0, 8.0])
        out.append(np.abs(y - cy) ** norm + np.abs(x - cx) ** norm < r**norm)
    found = np.array(out) + 1e-9
    return found / found.sum(axis=(1, 2), keepdims=True)


def _to_goal(solve, best):
    """Return the seconds and the error of the loosest run that meets the goal."""
    for tol in TOLERANCES:
        start = time.perf_counter()
        masses = solve(tol)
        seconds = time.perf_counter() - start
        error = float(np.abs(np.ravel(masses) - best).sum())
        if error <= GOAL or seconds > LONGEST:
            break
    return seconds, error


def problems(quick):
    """Yield a name, ours and POT's solver as functions of the tolerance."""
    import ot

    count, size = (4, 100) if quick else (10, 500)
    for reg in (1e-2, 5e-3):
        x, H = histograms(count, size, FIRST_SEED)
        C = (x[:, None] - x) ** 2
        yield (
            f"{count} histograms of {size} bins, reg {reg:g}",
            lambda tol, H=H, C=C, reg=reg: barycenter(H, C, reg=reg, tol=tol).masses,
            lambda tol, H=H, C=C, reg=reg: ot.bregman.barycenter(
                H.T, C, reg, method="sinkhorn_log", numItermax=MOST, stopThr=tol
            ),
        )
    side = 24 if quick else 60
    pictures = images(4, side, FIRST_SEED)
    for reg in (1e-2, 1e-3):
        # POT's grid goes from 0 to 1, ours in steps.
        steps = reg * (side - 1) ** 2
        yield (
            f"4 images of {side} x {side}, reg {reg:g}",
            lambda tol, H=pictures, reg=steps: barycenter(H, reg=reg, tol=tol).masses,
            lambda tol, H=pictures, reg=reg: ot.bregman.convolutional_barycenter2d(
                H, reg, method="sinkhorn_log", numItermax=MOST, stopThr=tol
            ),
        )


def run(quick=False):
    """Time both to the same distance from their common limit."""
    rows, ratios = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, ours, theirs in problems(quick):
            best = np.ravel(ours(1e-12))
            mine, other = _to_goal(ours, best), _to_goal(theirs, best)
            ratios.append(other[0] / mine[0])
            rows.append(
                [
                    name,
                    f"{mine[0]:.3f}",
                    f"{mine[1]:.0e}",
                    f"{other[0]:.3f}",
                    f"{other[1]:.0e}",
                    f"{ratios[-1]:.1f}",
                ]
            )
            print(*rows[-1], flush=True)
    return {
        "title": "Barycenters on a fixed support",
        "claim": (
            f"From {min(ratios):.1f} to {max(ratios):.1f} times as quick as POT's "
            f"log-domain barycenters at a distance of {GOAL:g} from the limit."
        ),
        "columns": [
            "problem",
            "ours, s",
            "error",
            "POT, s",
            "error of POT",
            "POT / ours",
        ],
        "rows": rows,
        "notes": [
            "Error: L1 distance to the barycenter of our solver at tol=1e-12. For each "
            "side the loosest of the tolerances 1e-5, 1e-6, ..., 1e-9 is timed whose "
            f"answer is within {GOAL:g}, or the first that takes more than "
            f"{LONGEST:g} s; POT has at most {MOST} iterations. One run, one thread.",
        ],
    }
