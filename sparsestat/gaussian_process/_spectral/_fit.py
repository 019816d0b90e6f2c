"""From arrays to a fitted grid spectral mixture: samples, trend, noise, engine."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import fft, optimize

from sparsestat._utils.samples import distinct_rows
from sparsestat.gaussian_process._spectral._engines import (
    Samples,
    ToeplitzEngine,
    dense_engine_for,
)
from sparsestat.gaussian_process._spectral._low_rank import (
    EnvelopeBasis,
    FourierBasis,
    LowRankEngine,
    NystromBasis,
)
from sparsestat.gaussian_process._spectral._newton import WhittleMetric
from sparsestat.gaussian_process._spectral._solvers import Problem, solve
from sparsestat.gaussian_process._structure._toeplitz import even_grid

__all__ = [
    "Trend",
    "aggregate",
    "choose_engine",
    "choose_solver",
    "first_guess",
    "fit_weights",
    "gcv_noise",
]

_DENSE_LIMIT = 5000  # points; beyond, one envelope of low rank is used if there is one
_LARGEST_DENSE = 20_000
_CHEAP = 3e8  # multiplications of a full gradient that needs no working sets


@dataclass(frozen=True)
class Trend:
    """What is taken off the targets before the fit, linear in X.

    Parameters
    ----------
    coef : ndarray of shape (0 or 1 or 1 + n_features, n_targets)
        Intercept and slopes; empty for none.
    """

    coef: np.ndarray

    @classmethod
    def fit(cls, X, Y, weights, kind):
        """Fit by weighted least squares; `kind` is None, "mean" or "linear"."""
        if kind is None:
            return cls(np.zeros((0, Y.shape[1])))
        share = weights / weights.sum()
        mean = share @ Y
        if kind == "mean":
            return cls(mean[None])
        center = share @ X
        root = np.sqrt(share)[:, None]
        moved = root * (X - center)
        # Columns of one size: a small unit is no rank that is missing.
        unit = np.abs(moved).max(axis=0)
        unit[unit == 0] = 1.0
        slopes = np.linalg.lstsq(moved / unit, root * (Y - mean), rcond=None)[0]
        slopes /= unit[:, None]
        return cls(np.vstack([mean - center @ slopes, slopes]))

    def __call__(self, X):
        """Return the trend at X, of shape (n_samples, n_targets)."""
        if not len(self.coef):
            return np.zeros((len(X), self.coef.shape[1]))
        return self.coef[0] + X[:, : len(self.coef) - 1] @ self.coef[1:]


def aggregate(X, Y, weights):
    """Collect repeated points, so that a weight of two is a row given twice.

    Returns
    -------
    samples : Samples
        Distinct points in lexicographic order.
    """
    points, place = distinct_rows(X)
    if len(points) == len(X):
        order = np.argsort(place)
        return Samples(points, Y[order], weights[order], float(weights.sum()), 0.0)
    total = np.bincount(place, weights)
    mean = np.stack([np.bincount(place, weights * y) / total for y in Y.T], axis=1)
    within = float((weights @ (Y - mean[place]) ** 2).sum())
    return Samples(points, mean, total, float(weights.sum()), within)


def is_even(samples):
    """Whether the covariance is a Toeplitz matrix."""
    return (
        samples.X.shape[1] == 1
        and len(samples.X) > 1
        and even_grid(samples.X[:, 0])[0] is not None
        and np.ptp(samples.weights) <= 1e-12 * samples.weights[0]
    )


def choose_engine(samples, spectrum, *, low_rank=None, rank=50, rng=None):
    """Return the engine that suits the points and the spectrum."""
    n = len(samples.X)
    if low_rank == "nystrom":
        basis = NystromBasis(samples.X, spectrum, rank, rng)
        return LowRankEngine(samples, spectrum, basis)
    if low_rank == "rff":
        return LowRankEngine(samples, spectrum, FourierBasis(spectrum, rank, rng))
    if is_even(samples):
        return ToeplitzEngine(samples, spectrum)
    if (
        n > _DENSE_LIMIT
        and spectrum.one_cosine
        and np.ptp(spectrum.sigmas, 0).max() == 0
    ):
        return LowRankEngine(samples, spectrum, EnvelopeBasis(samples.X, spectrum))
    if n > _LARGEST_DENSE:
        raise ValueError(
            f"{n} distinct points need a dense covariance of {8e-9 * n**2:.0f} GB. "
            "Pass low_rank='nystrom' or 'rff', or use fewer points."
        )
    return dense_engine_for(spectrum)(samples, spectrum)


def choose_solver(engine):
    """Return the solver behind ``solver="auto"``."""
    if isinstance(engine, ToeplitzEngine):
        return "whittle" if WhittleMetric.suits(engine) else "newton"
    if isinstance(engine, LowRankEngine):
        return "working_sets"
    spectrum = engine.spectrum
    work = float(len(engine.samples.X)) ** 2 * len(spectrum) * spectrum.n_dims
    return "newton" if work <= _CHEAP else "working_sets"


@dataclass(frozen=True)
class Guess:
    """Where a fit starts, and what it is told about the noise.

    Parameters
    ----------
    z : ndarray of shape (n_components + 1,)
        Equal weights that sum to the variance of the targets, and a noise variance.
    noise : float or None
        The noise variance when it is given.
    noise_floor : float
        Smallest noise variance.
    """

    z: np.ndarray
    noise: float | None
    noise_floor: float

    def problem(self, engine):
        """Return the objective that an engine evaluates."""
        return Problem(engine, noise_floor=self.noise_floor, noise=self.noise)


def first_guess(samples, n_components, *, noise, noise_floor):
    """Return where to start; `noise_floor` is relative to the variance."""
    unit = float((samples.weights @ samples.Y**2).sum()) + samples.within
    unit /= samples.n_targets * samples.total
    floor = noise_floor * unit
    if noise is not None:
        noise = max(noise, floor)
    z = np.full(n_components + 1, unit / n_components)
    z[-1] = max(0.1 * unit, floor) if noise is None else noise
    return Guess(z, noise, floor)


def fit_weights(engine, *, noise, noise_floor, solver, **options):
    """Fit the weights and the noise from the first guess.

    See :func:`solve` for further options and the result.
    """
    start = first_guess(
        engine.samples, len(engine.spectrum), noise=noise, noise_floor=noise_floor
    )
    if solver == "auto":
        solver = choose_solver(engine)
    return solve(start.problem(engine), start.z, solver=solver, **options)


def gcv_noise(Y):
    """Return the noise variance of evenly spaced series by smoothing splines.

    Generalized cross-validation of the discrete smoothing spline, in the basis of the
    discrete cosine transform; several series share one strength.
    """
    n = len(Y)
    z2 = (fft.dct(Y, norm="ortho", axis=0) ** 2).mean(axis=1)
    s2 = (2.0 * (1.0 - np.cos(np.pi * np.arange(n) / n))) ** 2

    def parts(log_strength):
        removed = 1.0 - 1.0 / (1.0 + 10.0**log_strength * s2)
        return np.mean(z2 * removed**2), np.mean(removed)

    def score(log_strength):
        rest, share = parts(log_strength)
        return rest / share**2

    low, high = (np.log10(_strength(h)) for h in (0.99, 1e-6))
    grid = np.linspace(low, high, 60)
    best = int(np.argmin([score(x) for x in grid]))
    found = optimize.minimize_scalar(
        score,
        bounds=(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]),
        method="bounded",
    )
    return float(parts(found.x)[0])


def _strength(h):
    """Return the smoothing strength of a smoother whose leverage is h."""
    return (((1.0 + np.sqrt(1.0 + 8.0 * h**2)) / (4.0 * h**2)) ** 2 - 1.0) / 16.0
