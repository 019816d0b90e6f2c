"""What the regressors share: kernels with noise, and parameters of most evidence."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    Kernel,
    WhiteKernel,
)

from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude
from sparsestat.exceptions import NumericalError
from sparsestat.gaussian_process._covariances import (
    has_noise,
    noise_variance,
    unknown_kernels,
)

__all__ = [
    "Optimum",
    "check_data",
    "default_kernel",
    "evidence_certificate",
    "kernel_with_noise",
    "maximize_evidence",
    "numerical_errors",
    "standardized",
]

SCALE = "largest entry of the projected gradient of the log evidence / n_samples"
# The solver is held to a little less than `tol`: the certificate evaluates again.
_MARGIN = 0.9


@dataclass
class Optimum:
    """Where an optimisation ended: the kernel found, and the further variables."""

    kernel: Kernel
    extra: np.ndarray
    value: float = -np.inf
    slope: float = 0.0
    n_iter: int = 1
    history: list = field(default_factory=list)


@contextmanager
def numerical_errors():
    """Turn failed factorisations inside the context into NumericalError."""
    try:
        with np.errstate(under="ignore"):
            yield
    except np.linalg.LinAlgError as error:
        raise NumericalError(
            f"{error} A covariance could not be factored: raise the noise level of "
            "the WhiteKernel, or change the kernel's scales or bounds."
        ) from error


def check_data(X, y):
    """Refuse data whose squared distances overflow or vanish."""
    check_magnitude(X, largest=LARGEST_ENTRY)
    check_magnitude(y, name="y")


def standardized(y, normalize):
    """Return the targets a process of mean zero is fitted to, their mean and scale."""
    if not normalize:
        return y, 0.0, 1.0
    mean, scale = float(y.mean()), float(y.std())
    scale = scale if scale > 0 else 1.0
    return (y - mean) / scale, mean, scale


def default_kernel(X, y):
    """Return a Gaussian kernel, one length a feature, at the scales of the data."""
    variance = float(np.mean(y**2))
    variance = variance if variance > 0 else 1.0
    lengths = X.std(axis=0)
    lengths[lengths == 0] = 1.0
    bounds = np.column_stack([1e-3 * lengths, 1e4 * lengths])
    lengths = lengths * np.sqrt(X.shape[1])
    if len(lengths) == 1:
        lengths, bounds = float(lengths[0]), tuple(bounds[0])
    return ConstantKernel(variance, (1e-4 * variance, 1e4 * variance)) * RBF(
        lengths, bounds
    ) + default_noise(variance)


def default_noise(variance):
    """Return white noise of a tenth of a variance."""
    return WhiteKernel(0.1 * variance, (1e-6 * variance, 10.0 * variance))


def kernel_with_noise(kernel, n_features, y):
    """Return a copy of a kernel, with a WhiteKernel added where there is none.

    Raises
    ------
    TypeError
        If it is no kernel.
    ValueError
        If its noise variance is not positive.
    """
    if not isinstance(kernel, Kernel):
        raise TypeError(
            f"kernel must be a scikit-learn kernel or None, got {kernel!r}. Take one "
            "from sklearn.gaussian_process.kernels or sparsestat.gaussian_process."
        )
    kernel = clone(kernel)
    if not has_noise(kernel):
        variance = float(np.mean(y**2))
        kernel = kernel + default_noise(variance if variance > 0 else 1.0)
    noise = noise_variance(kernel, n_features)[0]
    if not (np.isfinite(noise) and noise > 0):
        raise ValueError(
            f"The noise variance of {kernel} is {noise}; it must be positive. Give the "
            "WhiteKernel a positive noise_level."
        )
    return kernel


def _warn_of_differences(kernel, name):
    """Say once when gradients will be taken by finite differences."""
    unknown = unknown_kernels(kernel)
    if unknown:
        warnings.warn(
            f"{name} has no gradients of {', '.join(unknown)} and takes differences: "
            "two evaluations a parameter. Use other kernels, fix the parameters, or "
            "set optimizer=None.",
            UserWarning,
            stacklevel=users_stacklevel(),
        )


def _projected(gradient, x, bounds):
    """Zero the entries of an ascent direction that would leave the bounds."""
    low, high = bounds[:, 0], bounds[:, 1]
    out = gradient.copy()
    room = 1e-9 * np.maximum(1.0, np.abs(x))
    out[(x <= low + room) & (gradient < 0)] = 0.0
    out[(x >= high - room) & (gradient > 0)] = 0.0
    return out


def maximize_evidence(estimator, function, kernel, extra, *, n, rng, X, y):
    """Maximise the log evidence over a kernel's free parameters and more.

    Parameters
    ----------
    estimator : estimator
        With `optimizer`, `max_iter`, `tol`, `n_restarts_optimizer` and `verbose`.
    function : callable
        Takes ``theta`` and the further variables, returns the log evidence and its
        gradient with respect to both, in one vector.
    kernel : sklearn.gaussian_process.kernels.Kernel
        Where to start, and the bounds.
    extra : ndarray
        Start of the further variables, which have no bounds.
    n : int
        Number of samples; the tolerance is relative to it.
    rng : RandomState
        For restarts.
    X, y : ndarray
        For callbacks.

    Returns
    -------
    optimum : Optimum
        The best of all starts; the start itself where nothing is to be optimized.
    """
    p = kernel.n_dims
    if estimator.optimizer is None or p + len(extra) == 0:
        return Optimum(kernel, extra)
    _warn_of_differences(kernel, type(estimator).__name__)
    bounds = np.vstack(
        [kernel.bounds.reshape(p, 2), np.tile([-np.inf, np.inf], (len(extra), 1))]
    )
    if estimator.n_restarts_optimizer and not np.isfinite(bounds[:p]).all():
        raise ValueError(
            "Restarts of the optimizer (n_restarts_optimizer > 0) draw the parameters "
            "within their bounds, but some bounds are not finite. Set finite bounds."
        )
    starts = [np.r_[np.clip(kernel.theta, *bounds[:p].T), extra]]
    for _ in range(estimator.n_restarts_optimizer):
        starts.append(np.r_[rng.uniform(*bounds[:p].T), extra])
    best = None
    total = estimator.max_iter * len(starts)
    with (
        numerical_errors(),
        FitProgress(estimator, total, X=X, y=y, verbose=estimator.verbose) as progress,
    ):
        for start in starts:
            found = _climb(function, start, bounds, kernel, n, estimator, progress)
            if best is None or found.value > best.value:
                best = found
    return best


def _climb(function, start, bounds, kernel, n, estimator, progress):
    """Run L-BFGS-B once from one start."""
    p = kernel.n_dims
    seen = {"value": -np.inf}
    history = []

    def negative(x):
        try:
            value, gradient = function(x[:p], x[p:])
        except np.linalg.LinAlgError:
            value = -np.inf
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            # A wall that the line search turns back from.
            worst = seen.get("worst", 1e10)
            return 10.0 * abs(worst) + 1e10, np.zeros(len(x))
        seen["worst"] = max(seen.get("worst", -np.inf), -value / n)
        if value > seen["value"]:
            seen.update(value=value, x=x.copy(), gradient=gradient.copy())
        return -value / n, -gradient / n

    def step(intermediate_result):
        history.append(-n * float(intermediate_result.fun))
        if progress.step(log_evidence=history[-1]):
            raise StopIteration

    result = minimize(
        negative,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        callback=step,
        options={
            "maxiter": estimator.max_iter,
            "maxfun": 3 * estimator.max_iter + 20,
            "maxcor": 20,
            "gtol": _MARGIN * estimator.tol,
            "ftol": 1e-14,
        },
    )
    if "x" not in seen:
        raise np.linalg.LinAlgError(
            "The covariance is not positive definite at the start of the optimization."
        )
    x = seen["x"]
    slope = np.abs(_projected(seen["gradient"], x, bounds)).max(initial=0.0) / n
    return Optimum(
        kernel.clone_with_theta(x[:p]),
        x[p:],
        float(seen["value"]),
        float(slope),
        max(1, int(result.nit)),
        history,
    )


def evidence_certificate(estimator, kind, slope, details):
    """Return the certificate of an optimisation, after warning where it fell short."""
    tol = float(estimator.tol)
    certificate = Certificate(
        kind, float(slope), tol, bool(slope <= tol), SCALE, details
    )
    warn_if_unsatisfied(
        certificate,
        f"{type(estimator).__name__} did not converge: its projected gradient",
        "Increase max_iter, loosen tol, or narrow the kernel's bounds.",
    )
    return certificate
