"""Problems, peers and clocks shared by the transport benchmarks."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import multiprocessing
import statistics
import time
import warnings

import numpy as np

from sparsestat.transport import sinkhorn

GOAL = 1e-10
FIRST_SEED = 1000  # fresh: no default was chosen on these problems


def random_assignment(n):
    """Uniform masses, independent uniform costs."""

    def make(seed):
        mass = np.full(n, 1.0 / n)
        return np.random.default_rng(seed).random((n, n)), mass, mass

    return make


def digits(p):
    """Two digit images enlarged to 28 x 28; |x - y|_1 or the squared distance."""

    def make(seed):
        from scipy.ndimage import zoom
        from sklearn.datasets import load_digits

        images = load_digits().images
        chosen = np.random.default_rng(seed).integers(0, len(images), 2)
        pair = [np.clip(zoom(images[k], 3.5, order=1), 0, None) for k in chosen]
        a, b = ((x / x.max() + 0.01).ravel() for x in pair)
        grid = np.stack(np.meshgrid(*[np.arange(28.0)] * 2), -1).reshape(-1, 2)
        C = (np.abs(grid[:, None] - grid) ** p).sum(axis=-1)
        return C / C.max(), a / a.sum(), b / b.sum()

    return make


def densities(p):
    """An exponential density against two bumps drawn at random, 1000 points."""

    def make(seed):
        rng = np.random.default_rng(seed)
        x = np.linspace(0, 5, 1000)
        centers, widths = rng.uniform(0.5, 4.5, 2), rng.uniform(0.15, 0.6, 2)
        share = rng.uniform(0.2, 0.8)
        bumps = np.exp(-0.5 * ((x[:, None] - centers) / widths) ** 2) / widths
        a, b = np.exp(-x), bumps @ [share, 1 - share]
        b = np.maximum(b, 1e-12 * b.max())
        C = np.abs(x[:, None] - x) ** p
        return C / C.max(), a / a.sum(), b / b.sum()

    return make


PROBLEMS = {
    "RA-500": random_assignment(500),
    "RA-1000": random_assignment(1000),
    "RA-2000": random_assignment(2000),
    "DIG-2": digits(2),
    "DIG-1": digits(1),
    "DEN-2": densities(2),
    "DEN-1": densities(1),
}


def marginal_error(P, a, b):
    """L1 error of both marginals: the same measure for all sides."""
    if P is None or not np.isfinite(P).all():
        return float("inf")
    return float(np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum())


def timed(function, a, b):
    """Return the seconds and the marginal error of one call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        try:
            P = function()
        except Exception:  # a peer's failure is a row of the table
            P = None
        return time.perf_counter() - start, marginal_error(P, a, b)


def ours(C, a, b, eta, tol=GOAL):
    """Return the dense plan of the default call."""
    return sinkhorn(C, a, b, eta=eta, tol=tol).plan


def bounded(function, a, b, seconds):
    """Time a peer in a process of its own, which is ended when time is up.

    Returns seconds, marginal error, and whether it was ended before it was done.
    """
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)

    def work():
        theirs.send(timed(function, a, b))

    child = context.Process(target=work)
    child.start()
    if mine.poll(seconds):
        found = (*mine.recv(), False)
    else:
        child.terminate()
        found = (seconds, float("inf"), True)
    child.join()
    return found


def over_seeds(make, eta, n_seeds, budget):
    """Time the default call on fresh seeds; stop early when `budget` runs out."""
    times, errors = [], []
    begin = time.perf_counter()
    first = make(FIRST_SEED)
    timed(lambda: ours(*first, eta), *first[1:])  # compiles, fills the caches
    for seed in range(FIRST_SEED, FIRST_SEED + n_seeds):
        C, *masses = make(seed)
        seconds, error = timed(lambda C=C, m=masses: ours(C, *m, eta), *masses)
        times.append(seconds)
        errors.append(error)
        if time.perf_counter() - begin > budget:
            break
    return times, errors


def regot_ssns(C, a, b, eta, max_iter):
    """Return the plan of regot's safe and sparse Newton method."""
    import regot

    # Its criterion is a 2-norm: this tolerance implies the common L1 error.
    F, tol = np.asfortranarray(C), GOAL / np.sqrt(2 * len(a))
    result = regot.sinkhorn_ssns(F, a, b, 1 / eta, tol=tol, max_iter=max_iter)
    return np.asarray(result.plan)


def pot_sinkhorn(C, a, b, eta, seconds):
    """Return the plan of POT's sinkhorn, continued in rounds until time is up.

    Each round starts from the scalings of the one before, so that the time can be
    bounded without knowing how long an iteration takes.
    """
    import ot

    warm, n_iter, begin = None, 100, time.perf_counter()
    while True:
        P, log = ot.sinkhorn(
            a,
            b,
            C,
            1 / eta,
            numItermax=n_iter,
            stopThr=GOAL / 10,
            warmstart=warm,
            log=True,
        )
        spent = time.perf_counter() - begin
        if marginal_error(P, a, b) <= GOAL or spent > seconds:
            return P
        u, v = log["u"], log["v"]
        if not (np.isfinite(u).all() and np.isfinite(v).all()):
            return P
        warm = (np.log(u), np.log(v))
        per_iteration = spent / n_iter
        n_iter = int(min(3 * n_iter, max(100, (seconds - spent) / per_iteration)))


def pot_stabilized(C, a, b, eta, max_iter):
    """Return the plan of POT's stabilized sinkhorn."""
    import ot

    method = "sinkhorn_stabilized"
    return ot.sinkhorn(
        a, b, C, 1 / eta, method=method, numItermax=max_iter, stopThr=GOAL / 10
    )


def pot_emd(C, a, b):
    """Return POT's plan without entropy, by its network simplex."""
    import ot

    return ot.emd(a, b, C, numItermax=10_000_000)


def reachable(eta):
    """Return the goal, or what the rounding of a dense plan's exponents allows."""
    return max(1.05 * GOAL, 16 * eta * 2.2e-16)


def median(values):
    """Return the median as text, in seconds."""
    return f"{statistics.median(values):.3f}"
