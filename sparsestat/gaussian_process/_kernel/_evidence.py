"""What the regressors share: kernels with noise, and parameters of most evidence."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.base import clone
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    Kernel,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)

from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.validation import check_magnitude
from sparsestat.exceptions import NumericalError
from sparsestat.gaussian_process._kernel._ascent import climb
from sparsestat.gaussian_process._kernel._covariances import (
    has_noise,
    noise_variance,
    unknown_kernels,
)
from sparsestat.gaussian_process._kernel._starts import feature_units, first_scales

__all__ = [
    "KERNEL_NAMES",
    "Ascent",
    "Optimum",
    "check_data",
    "default_amplitude",
    "default_kernel",
    "evidence_certificate",
    "kernel_with_noise",
    "maximize_evidence",
    "named_shape",
    "numerical_errors",
    "raise_noise",
    "spread",
    "standardized",
    "warn_of_limits",
]

SCALE = "largest entry of the projected gradient of the log evidence / n_samples"
_SMOOTHNESS = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}
KERNEL_NAMES = {"rbf", "rational_quadratic", *_SMOOTHNESS}
_NOISE_SPAN = (1e-10, 10.0)  # of the variance of the targets
_RAISED = 10.0 ** np.arange(-9.0, -5.5)  # further lower bounds, likewise
_AMPLITUDE_SPAN = (1e-4, 1e6)
_LARGEST = 1e120  # squares, and products of two of them with small factors, stay finite
_HIDDEN = 100.0  # times the estimate of rounding: what it may have made up
_CONSTANT = 0.98  # share of noise in the targets from which on there is no signal


@dataclass
class Optimum:
    """Where an optimization ended: the kernel found, and the further variables."""

    kernel: Kernel
    extra: np.ndarray
    value: float = -np.inf
    slope: float = 0.0
    n_iter: int = 1
    history: list = field(default_factory=list)
    stopped: bool = False


@contextmanager
def numerical_errors():
    """Turn failed factorizations inside the context into NumericalError."""
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
    check_magnitude(X, largest=_LARGEST)
    check_magnitude(y, name="y", largest=_LARGEST)


def standardized(y, normalize):
    """Return the targets a process of mean zero is fitted to, their mean and scale."""
    if not normalize:
        return y, 0.0, 1.0
    mean = float(y[0]) if np.ptp(y) == 0 else float(y.mean())
    rest = y - mean
    # A mean that is huge beside the spread was rounded: what it left is taken off too.
    left = float(rest.mean())
    rest = rest - left
    scale = float(np.sqrt(np.mean(rest**2)))
    scale = scale if scale > 0 else 1.0
    return rest / scale, mean + left, scale


def spread(y):
    """Return the variance of the targets, 1 for constant ones."""
    variance = float(np.mean(y.var(axis=0)))
    return variance if variance > 0 and np.ptp(y, axis=0).any() else 1.0


def default_kernel(X, y, *, name="rbf", least_noise=0.0):
    """Return a kernel of the given name plus noise, at scales found in the data.

    One length a feature, but one in all for ``"rational_quadratic"``. The noise starts
    at `least_noise` times the variance of y or above.
    """
    scales = first_scales(X, y)
    shape = named_shape(name, scales.lengths, scales.gap, feature_units(X))
    smooth = default_amplitude(scales.variance, y) * shape
    noise = max(scales.noise, least_noise * spread(y))
    return smooth + default_noise(spread(y), noise)


def named_shape(name, lengths, gap, unit):
    """Return a kernel of variance 1 by its name, with bounds of its lengths.

    Parameters
    ----------
    name : str
        One of ``KERNEL_NAMES``.
    lengths : ndarray of shape (n_features,)
        Where they start.
    gap : float
        Typical distance of neighbors, in units of the features.
    unit : ndarray of shape (n_features,)
        Those units.

    Returns
    -------
    kernel : sklearn.gaussian_process.kernels.Kernel
        One length a feature, but one in all for ``"rational_quadratic"``.
    """
    shortest = np.minimum(1e-3, 0.1 * gap) * unit
    bounds = np.column_stack([shortest, 1e4 * unit])
    if name == "rational_quadratic":
        length = float(np.exp(np.log(lengths).mean()))
        span = (float(shortest.min()), 1e4 * float(unit.max()))
        return RationalQuadratic(length, 1.0, span, (1e-2, 1e4))
    if len(lengths) == 1:
        lengths, bounds = float(lengths[0]), tuple(bounds[0])
    if name == "rbf":
        return RBF(lengths, bounds)
    return Matern(lengths, bounds, nu=_SMOOTHNESS[name])


def default_amplitude(variance, y):
    """Return the variance of a function as a kernel, with bounds from the targets."""
    bounds = _AMPLITUDE_SPAN[0] * spread(y), _AMPLITUDE_SPAN[1] * spread(y)
    return ConstantKernel(float(np.clip(variance, *bounds)), bounds)


def default_noise(variance, noise=None):
    """Return white noise of a tenth of a variance, or as given, and its bounds."""
    bounds = _NOISE_SPAN[0] * variance, _NOISE_SPAN[1] * variance
    noise = 0.1 * variance if noise is None else float(np.clip(noise, *bounds))
    return WhiteKernel(noise, bounds)


def kernel_with_noise(kernel, n_features, y, *, known=0.0):
    """Return a copy of a kernel, with a WhiteKernel added where there is none.

    Where noise of the variance `known` is there already, none is added.

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
    if not has_noise(kernel) and not known > 0:
        kernel = kernel + default_noise(spread(y))
    noise = noise_variance(kernel, n_features)[0] + known
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


def warn_of_limits(name, kernel, noise, y, remedy):
    """Warn once of bounds that parameters ended at, and once of a constant model.

    Parameters
    ----------
    name : str
        Of the estimator.
    kernel : sklearn.gaussian_process.kernels.Kernel
        As it was found.
    noise : float
        Its noise variance.
    y : ndarray
        The targets it was fitted to.
    remedy : str
        What to do where no signal was found, beside giving a kernel.
    """
    reached, place = [], 0
    for parameter in kernel.hyperparameters:
        if parameter.fixed:
            continue
        for element in range(parameter.n_elements):
            value, bounds = kernel.theta[place], kernel.bounds[place]
            place += 1
            for bound, side in zip(bounds, ("lower", "upper"), strict=True):
                if np.isfinite(bound) and abs(value - bound) <= 1e-6:
                    which = f"[{element}]" if parameter.n_elements > 1 else ""
                    reached.append(
                        f"{parameter.name}{which} ({side} bound {np.exp(bound):.3g})"
                    )
    if reached:
        warnings.warn(
            f"{name}: parameters of the kernel ended at their bounds: "
            f"{', '.join(reached)}. Give `kernel` with wider bounds of the same name "
            "and the ending _bounds, or fix these parameters.",
            UserWarning,
            stacklevel=users_stacklevel(),
        )
    variance = float(np.mean(np.var(y, axis=0)))
    if np.ptp(y, axis=0).any() and noise >= _CONSTANT * variance:
        warnings.warn(
            f"{name} found no signal: the noise variance is {noise / variance:.2f} "
            f"times that of y, so that predictions are near their mean. {remedy}",
            UserWarning,
            stacklevel=users_stacklevel(),
        )


@dataclass(frozen=True)
class Ascent:
    """What was asked of the optimizer, and whose name messages give."""

    name: str
    optimizer: str | None
    max_iter: int
    tol: float
    n_restarts_optimizer: int = 0

    @property
    def total(self):
        """Most iterations of all starts."""
        return self.max_iter * (1 + self.n_restarts_optimizer)


def maximize_evidence(ascent, function, kernel, extra, *, n, rng, progress):
    """Maximize the log evidence over a kernel's free parameters and more.

    Parameters
    ----------
    ascent : Ascent
        What was asked for.
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
    progress : FitProgress
        Told of every iteration.

    Returns
    -------
    optimum : Optimum
        The best of all starts; the start itself where nothing is to be optimized.
    """
    p = kernel.n_dims
    if ascent.optimizer is None or p + len(extra) == 0:
        return Optimum(kernel, extra)
    _warn_of_differences(kernel, ascent.name)
    bounds = np.vstack(
        [kernel.bounds.reshape(p, 2), np.tile([-np.inf, np.inf], (len(extra), 1))]
    )
    if ascent.n_restarts_optimizer and not np.isfinite(bounds[:p]).all():
        raise ValueError(
            "Restarts of the optimizer (n_restarts_optimizer > 0) draw the parameters "
            "within their bounds, but some bounds are not finite. Set finite bounds."
        )
    starts = [np.r_[np.clip(kernel.theta, *bounds[:p].T), extra]]
    for _ in range(ascent.n_restarts_optimizer):
        starts.append(np.r_[rng.uniform(*bounds[:p].T), extra])
    best = None
    with numerical_errors():
        for start in starts:
            found = _climb(function, start, bounds, kernel, n, ascent, progress)
            if best is None or found.value > best.value:
                best = found
    return best


def _climb(function, start, bounds, kernel, n, ascent, progress):
    """Climb once from one start."""
    p = kernel.n_dims
    top = climb(
        lambda x: function(x[:p], x[p:]),
        start,
        bounds,
        n=n,
        max_iter=ascent.max_iter,
        tol=ascent.tol,
        progress=progress,
    )
    found = kernel.clone_with_theta(top.x[:p])
    return Optimum(
        found, top.x[p:], top.value, top.slope, top.n_iter, top.history, top.stopped
    )


def raise_noise(best, ascent, function, y, *, n, rounding, progress):
    """Climb on with more noise where rounding hides the top.

    For a kernel whose last summand is white noise with bounds that no user gave. Its
    lower bound goes up by factors of ten, to a millionth of the variance of the
    targets at most, until the projected gradient is within the tolerance.

    Parameters
    ----------
    best : Optimum
        Where the ascent ended.
    ascent, function, n, progress : see :func:`maximize_evidence`
    y : ndarray
        The targets it was fitted to.
    rounding : callable
        Takes a kernel, returns about how far rounding moves the gradient per sample.

    Returns
    -------
    optimum : Optimum
        With the first bound that suffices; `best` where none does or none is needed.
    """
    tried = best
    highest = _RAISED[-1] * spread(y)
    for bound in _RAISED * spread(y):
        hidden = _hides(tried.slope, ascent.tol, rounding(tried.kernel))
        if not hidden or tried.stopped or tried.n_iter >= ascent.max_iter:
            break
        noise = tried.kernel.k2
        # The largest variance falls as the noise rises, and rounding with their ratio.
        share = (noise.noise_level_bounds[0] / bound) ** 2
        if share * tried.slope > ascent.tol and bound < highest:
            continue
        raised = clone(tried.kernel).set_params(
            k2__noise_level=max(bound, noise.noise_level),
            k2__noise_level_bounds=(bound, noise.noise_level_bounds[1]),
        )
        more = replace(
            ascent, max_iter=ascent.max_iter - tried.n_iter, n_restarts_optimizer=0
        )
        found = maximize_evidence(
            more, function, raised, tried.extra, n=n, rng=None, progress=progress
        )
        found.n_iter += tried.n_iter
        found.history = tried.history + found.history
        tried = found
    return tried if tried.slope <= ascent.tol else best


def _hides(slope, tol, rounding):
    """Tell whether a slope is too large, and may be so by rounding alone."""
    return tol < slope <= _HIDDEN * rounding


def evidence_certificate(name, kind, slope, tol, details, rounding=0.0):
    """Return the certificate of an optimization, after warning where it fell short.

    `rounding` is a rough estimate of how far rounding may have moved the slope: it
    says what to change where the slope is too large, and proves nothing. Of the
    estimator it takes the name.
    """
    tol = float(tol)
    certificate = Certificate(
        kind, float(slope), tol, bool(slope <= tol), SCALE, details
    )
    if _hides(slope, tol, rounding):
        warn_if_unsatisfied(
            certificate,
            f"{name} lacks precision: its projected gradient",
            f"At so little noise rounding moves it by {rounding:.0e}. Give `kernel` "
            "a WhiteKernel with a larger lower bound of noise_level.",
        )
        return certificate
    warn_if_unsatisfied(
        certificate,
        f"{name} did not converge: its projected gradient",
        "Increase max_iter, loosen tol, or narrow the kernel's bounds.",
    )
    return certificate
