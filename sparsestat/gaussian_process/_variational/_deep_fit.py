"""Fits of deep kernel machines: starts, widths by cross-validation, both optimizers."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import dataclass, replace

import numpy as np

from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import users_stacklevel
from sparsestat.gaussian_process._kernel._ascent import Adam, Top, climb, projected
from sparsestat.gaussian_process._kernel._inducing import kmeans_points
from sparsestat.gaussian_process._kernel._starts import first_scales
from sparsestat.gaussian_process._variational._classes import length_candidates
from sparsestat.gaussian_process._variational._deep_evidence import (
    DeepEvidence,
    DeepState,
)
from sparsestat.gaussian_process._variational._svgp import Posterior

__all__ = ["DeepFit", "DeepSettings", "fit_deep"]

# Widths tried, times the number of outputs: with inducing points, and without.
_WIDTHS = (1.0, 10.0, 100.0, np.inf), (2.0, 10.0, 100.0, 1000.0, np.inf)
_FOLDS, _FOLD_ROWS, _FOLD_STEPS = 5, (1000, 300), 40
_SMALL = 300  # rows up to which one part held out says too little
# Rows and iterations of a first climb where there are many rows.
_FEW, _FEW_STEPS = 2000, 100
_STEEPER = (1.0, 10.0, 100.0)  # weights of features beside that of the constant
_NOISE = 0.1
_RATE, _NATURAL = 0.01, 0.1  # steps of the stochastic ascent
_LEAST_NOISE = 1e-10


@dataclass(frozen=True)
class DeepSettings:
    """What the estimators were told; see their docstrings."""

    kernel: str
    n_layers: int
    nu: str | float
    n_inducing: int | None
    learn_inducing: bool
    learn_scales: bool
    n_constant: int
    noise_floor: float
    jitter: float
    max_iter: int
    tol: float
    batch_size: int | None


@dataclass(frozen=True)
class DeepFit:
    """A state for predictions, where the ascent ended, and the width in use."""

    state: DeepState
    top: Top
    nu: float


_SILENT = FitProgress(None, 0)


def fit_deep(X, Y, likelihood, settings, rng, progress, passes=None):
    """Fit a deep kernel machine to standardized data.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Data, with a constant last where wanted.
    Y : ndarray of shape (n, n_outputs)
        Targets as the likelihood takes them.
    likelihood : object or None
        None for normal noise.
    settings : DeepSettings
        The rest.
    rng : RandomState
        Source of randomness.
    progress : FitProgress
        Told of every iteration.
    passes : DeepRows, default=None
        Rows that pass by, of which `X` and `Y` are a sample: that chooses the width and
        the start of the climb on all rows.

    Returns
    -------
    fit : DeepFit
        The result.
    """
    n_outputs = Y.shape[1]
    dense = settings.n_inducing is None
    nu = settings.nu
    if settings.n_layers == 0:
        nu = np.inf
    if dense and likelihood is None and settings.noise_floor == 0:
        if not isinstance(nu, str) and nu <= n_outputs:
            raise ValueError(
                f"Without inducing points and noise_floor=0, nu={nu:g} up to the "
                f"number of targets ({n_outputs}) has an unbounded objective: layers "
                "interpolate and the noise vanishes. Raise noise_floor or nu, or give "
                "n_inducing."
            )
    if isinstance(nu, str):
        nu = _width_of_folds(X, Y, likelihood, settings, rng)
    if not dense and settings.n_inducing > len(X):
        warnings.warn(
            f"n_inducing={settings.n_inducing} is more than the {len(X)} samples: all "
            "distinct samples carry the layers. Lower n_inducing, or pass None.",
            UserWarning,
            stacklevel=users_stacklevel(),
        )
    evidence = _evidence(X, Y, likelihood, settings, nu, rng, passes)
    x, bounds = _start(evidence, settings)
    if settings.batch_size is not None:
        top = _stochastic(evidence, x, bounds, settings, rng, progress)
    else:
        if len(X) >= 2 * _FEW:
            x = _first_climb(evidence, x, bounds, settings, rng)
        top = _climb(evidence, x, bounds, settings, progress)
    state = evidence.state(top.x)
    top.slope = max(top.slope, evidence.unsettled)
    return DeepFit(replace(state, trunk=state.trunk.settled()), top, float(nu))


def _evidence(X, Y, likelihood, settings, nu, rng, passes=None):
    p = X.shape[1] - settings.n_constant
    exact = settings.n_inducing is None and likelihood is None
    dense = exact and settings.batch_size is None
    if dense:
        Z = X
    else:
        Z = np.unique(X, axis=0)
        if settings.n_inducing is not None and settings.n_inducing < len(Z):
            Z = kmeans_points(Z[:, :p], settings.n_inducing, rng)
            Z = np.column_stack([Z, np.ones((len(Z), settings.n_constant))])
    return DeepEvidence(
        X,
        Y,
        Z,
        kernel=settings.kernel,
        n_layers=settings.n_layers,
        nu=nu,
        likelihood=likelihood,
        dense=dense,
        learn_scales=settings.learn_scales,
        learn_inducing=settings.learn_inducing and settings.n_inducing is not None,
        n_constant=settings.n_constant,
        noise_floor=max(settings.noise_floor, _LEAST_NOISE),
        jitter=settings.jitter,
        passes=passes,
    )


def _start(evidence, settings):
    """Return the start of most evidence among some, and the bounds."""
    X, Y = evidence.X, evidence.Y
    plain = np.full(X.shape[1], 1.0 / X.shape[1])
    if not settings.learn_scales:
        return evidence.start(plain, 1.0, _NOISE)
    p = X.shape[1] - settings.n_constant
    scales = first_scales(X[:, :p], Y[:, 0])
    relevance = np.clip(scales.lengths, 1e-4, 1e3) ** -2.0
    if settings.kernel == "rbf":
        weights = np.r_[relevance, np.ones(settings.n_constant)]
        if evidence.likelihood is not None:
            return _start_of_classes(evidence, p)
        amplitude = float(np.clip(scales.variance, 1e-3, 1e3))
        return evidence.start(weights, amplitude, scales.noise)
    relevance *= p / relevance.sum()
    relevance = np.maximum(relevance, 1e-3)
    best = None
    few = _subset(evidence, np.arange(len(X))[:: max(1, len(X) // _FEW)])
    for shape in (np.ones(p), relevance) if p > 1 else (np.ones(p),):
        for steeper in _STEEPER:
            weights = plain.copy()
            weights[:p] *= steeper * shape
            # Of unit variance on the whole.
            weights /= np.mean((X * X) @ weights)
            value = few(few.start(weights, 1.0, _NOISE)[0])[0]
            if best is None or value > best[0]:
                best = value, weights
    return evidence.start(best[1], 1.0, _NOISE)


def _start_of_classes(evidence, p):
    X = evidence.X
    few = _subset(evidence, np.arange(len(X))[:: max(1, len(X) // _FEW)])
    best = None
    for lengths in length_candidates(X[:, :p], evidence.Y[:, 0]):
        weights = np.r_[lengths**-2.0, np.ones(X.shape[1] - p)]
        value = few(few.start(weights, 2.0, _NOISE)[0])[0]
        if best is None or value > best[0]:
            best = value, weights
    return evidence.start(best[1], 2.0, _NOISE)


def _subset(evidence, rows):
    """Return the same objective on some of the rows."""
    if len(rows) == len(evidence.X):
        return evidence
    return DeepEvidence(
        evidence.X[rows],
        evidence.Y[rows],
        evidence.Z,
        kernel=evidence.kernel,
        n_layers=evidence.n_layers,
        nu=evidence.nu,
        likelihood=evidence.likelihood,
        dense=False,
        learn_scales=evidence.learn_scales,
        learn_inducing=evidence.learn_inducing,
        n_constant=evidence.n_constant,
        noise_floor=evidence.noise_floor,
        jitter=evidence.jitter,
    )


def _climb(evidence, x, bounds, settings, progress):
    return climb(
        evidence,
        x,
        bounds,
        n=evidence.n,
        max_iter=settings.max_iter,
        tol=settings.tol,
        progress=progress,
    )


def _first_climb(evidence, x, bounds, settings, rng):
    """Climb on some of the rows; no inducing point says how many there are."""
    rows = rng.choice(len(evidence.X), _FEW, replace=False)
    few = _subset(evidence, rows)
    few.start(*evidence.given)
    steps = replace(settings, max_iter=min(settings.max_iter, _FEW_STEPS))
    return _climb(few, x, bounds, steps, _SILENT).x


def _stochastic(evidence, x, bounds, settings, rng, progress):
    """Pass over the data in batches; the result is settled on all of them."""
    n = len(evidence.X)
    size = min(settings.batch_size, n)
    adam = Adam(len(x), _RATE)
    likelihood = evidence.likelihood
    n_outputs = evidence.Y.shape[1] if likelihood is None else likelihood.n_outputs
    posterior = Posterior.prior(len(evidence.Z), n_outputs)
    history = []
    for _ in range(settings.max_iter):
        order, values = rng.permutation(n), []
        for start in range(0, n - size + 1, size):
            rows = order[start : start + size]
            value, gradient, posterior = evidence.on_batch(
                x, rows, posterior, step=_NATURAL
            )
            x = adam.step(x, gradient / n, bounds)
            values.append(value)
        history.append(float(np.mean(values)))
        if progress.step(bound=history[-1]):
            break
    evidence.posterior = posterior
    value, gradient = evidence(x)
    slope = np.abs(projected(gradient, x, bounds)).max(initial=0.0) / n
    return Top(x, float(value), float(slope), len(history), history)


def _width_of_folds(X, Y, likelihood, settings, rng):
    """Return the width of most predictive density on parts held out."""
    dense = int(settings.n_inducing is None)
    widths, n_outputs = _WIDTHS[dense], Y.shape[1]
    rows = rng.permutation(len(X))[: _FOLD_ROWS[dense]]
    folds = np.array_split(rows, min(_FOLDS, len(rows)))
    if len(folds) < 2:
        return np.inf
    if settings.nu == "auto" and len(rows) > _SMALL:
        folds = folds[:1]
    steps = replace(
        settings, max_iter=min(settings.max_iter, _FOLD_STEPS), batch_size=None
    )
    scores = np.zeros(len(widths))
    for fold in folds:
        train = np.setdiff1d(rows, fold)
        seed = rng.randint(2**31 - 1)
        start, before = None, None
        for i in range(len(widths) - 1, -1, -1):
            evidence = _evidence(
                X[train],
                Y[train],
                likelihood,
                steps,
                widths[i] * n_outputs,
                np.random.RandomState(seed),
            )
            if start is None:
                x, bounds = _start(evidence, steps)
            else:
                x, bounds = evidence.start(*start)
                if before is not None:
                    x = evidence.carried(*before)
            x = _climb(evidence, x, bounds, steps, _SILENT).x
            state = evidence.state(x)
            if start is None:
                noise = state.noise if likelihood is None else _NOISE
                start = state.weights, state.amplitude, noise
            else:
                before = evidence, x
            scores[i] += _log_density(state, likelihood, X[fold], Y[fold])
    return widths[int(np.argmax(scores))] * n_outputs


def _log_density(state, likelihood, X, Y):
    """Return the log predictive density of new samples."""
    A, k, _ = state.rows(X)
    seen = state.posterior.marginals(A, k)
    if likelihood is not None:
        p = likelihood.probabilities(seen.mean, seen.variance)
        chosen = Y if Y.shape[1] > 1 else np.column_stack([Y[:, 0] < 0, Y[:, 0] > 0])
        return float(np.log(np.maximum((p * chosen).sum(axis=1), 1e-300)).sum())
    variance = seen.variance + state.noise
    return -0.5 * float(np.sum(np.log(variance) + (Y - seen.mean) ** 2 / variance))
