"""The relaxation of K-means by a non-negative low-rank factor."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from sklearn.cluster import KMeans

from sparsestat._utils.validation import read_only
from sparsestat.cluster import _kernels_sdp as kernels
from sparsestat.exceptions import ConvergenceWarning

__all__ = [
    "FactorState",
    "LowRankResult",
    "augmented_lagrangian",
    "initial_factor",
    "round_factor",
    "solve_low_rank",
]

_MEMORY = 5  # values that the non-monotone test looks back on
_INNER = 500
_GROWTH = 1.5
_ROUNDING_SAMPLE = 20_000


@dataclass
class LowRankResult:
    """Outcome of :func:`solve_low_rank`."""

    factor: np.ndarray
    value: float
    infeasibility: float
    stationarity: float
    n_iter: int
    converged: bool


def initial_factor(n, rank, n_clusters, rng, *, labels=None, weights=None):
    """Return a random non-negative factor, or one that stands for a partition."""
    if labels is None:
        U = np.abs(rng.standard_normal((n, rank)))
    else:
        U = np.zeros((n, rank))
        sizes = np.bincount(labels, weights, minlength=n_clusters)
        mass = np.ones(n) if weights is None else weights
        U[np.arange(n), labels] = np.sqrt(mass / np.maximum(sizes[labels], 1e-300))
        noise = np.abs(rng.standard_normal((n, rank - n_clusters)))
        U[:, n_clusters:] = 1e-2 * noise / np.sqrt(n)
    return U * np.sqrt(n_clusters / np.vdot(U, U))


class FactorState:
    """Everything at one factor: products, multiplier estimates and values."""

    __slots__ = ("H", "U", "linear", "s", "smooth", "square", "v", "yb")


def solve_low_rank(
    data,
    n_clusters,
    U,
    *,
    tol=1e-4,
    label_tol=1e-2,
    max_iter=10_000,
    labels_only=False,
    report=None,
):
    """Solve ``min -<XX', UU'>, UU'1 = 1, |U|_F^2 = K, U >= 0`` from the factor U.

    Augmented Lagrangian with projected Barzilai-Borwein steps. Nothing n x n is
    formed: a step costs two products with the data and a few passes over U.

    Parameters
    ----------
    data : CenteredRows
        The points.
    U : ndarray of shape (n, rank)
        Start; overwritten.
    labels_only : bool, default=False
        Stop once the constraints hold to `label_tol` after a multiplier update,
        which settles the labels long before the value.
    """
    spectral = data.spectral_norm()
    if spectral == 0.0:
        return LowRankResult(U, 0.0, 0.0, 0.0, 0, True)
    problem = _Problem(data, spectral, n_clusters, U.shape[1])
    state, *outcome = augmented_lagrangian(
        problem,
        problem.at(U),
        tol=tol,
        label_tol=label_tol,
        max_iter=max_iter,
        labels_only=labels_only,
        report=report,
    )
    return LowRankResult(state.U, spectral**2 * state.smooth, *outcome)


def augmented_lagrangian(
    problem, state, *, tol, label_tol, max_iter, labels_only=False, report=None
):
    """Lower a scaled problem over factors that sum to a partition of unity.

    Parameters
    ----------
    problem : object
        Offers ``at``, ``value``, ``step``, ``secant`` and ``update_multiplier``, the
        size of its constraint ``n`` and norm of its factors, and ``beta``.
    state : FactorState
        Start.

    Returns
    -------
    state, infeasibility, stationarity, n_iter, converged
    """
    step = 1.0
    infeasibility = stationarity = np.inf
    n_updates, it, stalled = 0, 0, 0
    previous, goal = np.inf, 1e-2
    converged = stopped = False
    history = []
    while it < max_iter and not (converged or stopped) and stalled < 5:
        history[:] = [problem.value(state)]
        for _ in range(_INNER):
            moved, trial, used = problem.step(state, step, max(history))
            it += 1
            stalled = stalled + 1 if trial is None else 0
            if trial is None:
                break
            secant = problem.secant(trial, state)
            stationarity = float(np.sqrt(moved) / (used * problem.norm))
            step = min(max(moved / abs(secant), 1e-3), 1e4) if secant else 1.0
            state = trial
            history.append(problem.value(state))
            del history[:-_MEMORY]
            infeasibility = float(np.sqrt(state.square / problem.n))
            if labels_only and n_updates and infeasibility <= label_tol:
                converged = True
                break
            if stationarity <= goal or it >= max_iter:
                break
        infeasibility = float(np.sqrt(state.square / problem.n))
        if report is not None and report(infeasibility=infeasibility):
            stopped = True
        if infeasibility <= tol and stationarity <= 10 * tol:
            converged = True
        if not converged:
            problem.update_multiplier(state)
            if infeasibility > 0.5 * previous:
                problem.beta *= _GROWTH
            state = problem.at(state.U)
            n_updates += 1
            previous = infeasibility
            goal = max(tol, 0.1 * infeasibility)
    return state, infeasibility, stationarity, it, converged


class _Problem:
    """The scaled augmented Lagrangian and its projected steps."""

    def __init__(self, data, spectral, n_clusters, rank):
        self.data, self.spectral, self.n_clusters = data, spectral, n_clusters
        self.n = n = data.shape[0]
        self.norm = np.sqrt(n_clusters)
        # Weights are lifted to the vector that plain data call 1, of norm sqrt(n).
        self.p = read_only(data.root * np.sqrt(n / data.total_weight))
        # The operator U -> U U' 1 has norm of order n; 2 K decides global success.
        self.beta = 2.0 * n_clusters / n
        self.y = np.zeros(n)
        self.spare = np.empty((n, rank))

    def at(self, U, image=None):
        """Return the state at U; `image` is ``X' U`` if it is known."""
        state = FactorState()
        state.U = U
        if image is None:
            image = self.data.t_dot(U) / self.spectral
        state.smooth = float(np.vdot(image, image))
        state.s = np.asarray(self.p @ U)
        self._constraint(state)
        self._products(state, image)
        return state

    def _constraint(self, state):
        n, rank = state.U.shape
        state.yb, state.v = np.empty(n), np.empty(rank)
        state.linear, state.square = kernels.low_rank_constraint(
            state.U, state.s, self.p, read_only(self.y), self.beta, state.yb, state.v
        )

    def _products(self, state, image):
        state.H = np.ascontiguousarray(self.data.dot(image) / self.spectral)

    def value(self, state):
        return -state.smooth + state.linear + 0.5 * self.beta * state.square

    def step(self, state, step, reference):
        """Return the squared move, the new state and the step that was accepted."""
        rank = state.U.shape[1]
        for _ in range(60):
            trial = self.spare
            norm2, alive = kernels.low_rank_trial(
                state.U, state.H, state.yb, state.s, self.p, state.v, step, trial
            )
            # Where most rows are clipped to zero the mass collapses on the others, and
            # where all are no projection exists.
            if not np.isfinite(norm2) or alive < 0.5 * self.n:
                step /= 10.0
                continue
            scale = np.sqrt(self.n_clusters / norm2)
            s = np.empty(rank)
            moved = kernels.low_rank_rescale(trial, state.U, scale, self.p, s)
            new = FactorState()
            new.U, new.s = trial, s
            image = self.data.t_dot(trial) / self.spectral
            new.smooth = float(np.vdot(image, image))
            self._constraint(new)
            value = self.value(new)
            if np.isfinite(value) and value <= reference - 5e-5 / step * moved:
                self._products(new, image)
                self.spare = state.U if state.U is not trial else np.empty_like(trial)
                return moved, new, step
            step *= 0.5
        return 0.0, None, step

    def secant(self, new, old):
        # The old factor lives in the spare buffer until the next trial.
        return kernels.low_rank_secant(
            new.U,
            old.U,
            new.H,
            new.yb,
            new.s,
            new.v,
            old.H,
            old.yb,
            old.s,
            old.v,
            self.p,
        )

    def update_multiplier(self, state):
        self.y = state.yb.copy()


def round_factor(U, weights, n_clusters, rng):
    """Return labels from the leading left singular vectors of the factor."""
    root = np.sqrt(weights)
    R = linalg.eigh(U.T @ U)[1]
    top = R[:, ::-1][:, :n_clusters]
    rows = (U @ top) / root[:, None]
    n = len(rows)
    seed = int(rng.randint(2**31 - 1))
    model = KMeans(n_clusters, n_init=5, random_state=seed)
    if n <= _ROUNDING_SAMPLE:
        with warnings.catch_warnings():  # the certificate tells what is worth telling
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(rows, sample_weight=weights).labels_
    sample = np.sort(rng.choice(n, _ROUNDING_SAMPLE, replace=False))
    model.fit(rows[sample], sample_weight=weights[sample])
    return model.predict(rows)
