"""What the single-machine and the distributed grid spectral mixtures share."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.arithmetic import power_of_two
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.samples import check_counts, given_weights
from sparsestat._utils.validation import (
    LARGEST_ENTRY,
    check_magnitude,
    check_noise,
    largest_entry,
)
from sparsestat.gaussian_process._posterior import PosteriorMixin
from sparsestat.gaussian_process._spectral._fit import (
    Trend,
    aggregate,
    choose_engine,
    gcv_noise,
    is_even,
)
from sparsestat.gaussian_process._spectral._low_rank import LowRankEngine
from sparsestat.gaussian_process._spectral._spectrum import Spectrum, make_grid
from sparsestat.gaussian_process._spectral_kernels import GSMKernel, GSMPKernel

__all__ = ["SpectralMixtureBase"]

_CONSTANT = 1e-14  # a spread below this times the size of the targets is rounding
_ROWS = 1 << 23  # entries of the covariance with new points computed at once
_DEFAULT_LINE, _DEFAULT_FEATURE = 500, 100
KKT_SCALE = (
    "largest of min(w g, 1 - q / g) over the components, g and q the slopes of log "
    "determinant and fit; its tolerance is the square root of tol"
)


class ScaledState:
    """A factorized covariance, in units of y in place of those of its engine.

    Parameters
    ----------
    state : object with alpha and solve
        What the engine made for targets divided by `unit`.
    unit : float
        A power of two.
    """

    def __init__(self, state, unit):
        self.state, self.unit = state, unit
        self.alpha = state.alpha / unit

    def solve(self, B):
        """Return the inverse of the covariance times B."""
        return self.state.solve(B) / self.unit / self.unit


class SpectralMixtureBase(
    CallbackSupportMixin,
    MultiOutputMixin,
    PosteriorMixin,
    RegressorMixin,
    SparsestatEstimator,
):
    """Validation, grid, prediction and storage."""

    _needs_rows = "its kernel couples all pairs of rows"
    objective_path_ = OldAttribute("history_")

    _parameter_constraints = {
        "n_components": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "form": [StrOptions({"product", "cosine"})],
        "grid": [
            StrOptions({"auto", "uniform", "sobol", "random", "tensor"}),
            "array-like",
        ],
        "frequency_range": [StrOptions({"auto"}), tuple, list],
        "sigma": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="left"),
            "array-like",
        ],
        "noise": [
            StrOptions({"ml", "gcv"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "noise_floor": [Interval(Real, 0, 1, closed="right")],
        "detrend": [StrOptions({"mean", "linear"}), None],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "prune_tol": [Interval(Real, 0, 1, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Before the fit

    def _start(self, X, y, sample_weight):
        """Return rows that count, the samples they make, the components and draws."""
        rows = self._validate(X, y, sample_weight)
        rng = check_random_state(self.random_state)
        samples = self._prepare(*rows)
        spectrum = self._make_spectrum(samples.X, rng)
        self.__dict__.pop("_pruned_to", None)
        return rows, samples, spectrum, rng

    def _validate(self, X, y, sample_weight):
        """Return X, Y with two dimensions and weights, rows of weight zero left out."""
        X, y = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True
        )
        Y = np.asarray(y, dtype=np.float64)
        self._one_target = Y.ndim == 1
        Y = Y.reshape(len(X), -1)
        weights = given_weights(sample_weight, X)
        if weights is None:
            weights = np.ones(len(X))
        else:
            kept = weights > 0
            X, Y, weights = X[kept], Y[kept], weights[kept]
            check_counts(weights, len(weights), type(self).__name__)
        check_magnitude(X, largest=LARGEST_ENTRY)
        check_magnitude(Y, name="y", largest=LARGEST_ENTRY)
        return X, Y, weights

    def _make_spectrum(self, X, rng):
        """Return the components for the distinct points X."""
        n_dims = X.shape[1]
        sigma = None if isinstance(self.sigma, str) else self._check_sigma(n_dims)
        if not isinstance(self.grid, str):
            return self._given_spectrum(n_dims, sigma)
        if self.n_components != "auto":
            count = self.n_components
        else:
            count = _DEFAULT_LINE if n_dims == 1 else _DEFAULT_FEATURE * n_dims
        return make_grid(
            X,
            count,
            form=self.form,
            grid="uniform" if self.grid == "auto" else self.grid,
            frequency_range=self._check_range(),
            sigma=sigma,
            rng=rng,
        )

    def _check_range(self):
        if isinstance(self.frequency_range, str):
            return None
        bounds = np.asarray(self.frequency_range, dtype=float)
        if bounds.shape != (2,) or not np.isfinite(bounds).all():
            raise ValueError(
                "frequency_range must be 'auto' or two finite numbers (low, high), got "
                f"{self.frequency_range!r}."
            )
        if bounds[0] < 0 or bounds[1] < bounds[0]:
            raise ValueError(
                "frequency_range must be ordered and not negative, got "
                f"{self.frequency_range!r}."
            )
        return float(bounds[0]), float(bounds[1])

    def _check_sigma(self, n_dims):
        sigma = np.asarray(self.sigma, dtype=float)
        if not np.isfinite(sigma).all() or (sigma < 0).any():
            raise ValueError(
                f"sigma must be finite and not negative, got {self.sigma!r}."
            )
        return sigma

    def _given_spectrum(self, n_dims, sigma):
        frequencies = np.asarray(self.grid, dtype=float)
        if frequencies.ndim == 1 and n_dims == 1:
            frequencies = frequencies[:, None]
        if frequencies.ndim != 2 or frequencies.shape[1] != n_dims:
            raise ValueError(
                f"grid has shape {frequencies.shape}, but (n_components, {n_dims}) was "
                "expected: one frequency for each feature of X."
            )
        signed = self.form == "cosine" and n_dims > 1
        checked = frequencies[:, :1] if signed else frequencies
        if not np.isfinite(frequencies).all() or (checked < 0).any():
            raise ValueError(
                "The frequencies in grid must be finite and not negative"
                f"{' in the first feature' if signed else ''}, but the smallest is "
                f"{np.min(checked)}."
            )
        if sigma is None:
            raise ValueError(
                "sigma='auto' needs a grid that is placed by the estimator. Pass the "
                "widths that belong to the frequencies in grid."
            )
        if sigma.ndim == 1 and n_dims == 1 and len(sigma) == len(frequencies):
            sigma = sigma[:, None]
        sigmas = np.array(np.broadcast_to(sigma, frequencies.shape))
        return Spectrum(frequencies, sigmas, self.form)

    def _given_noise(self, samples, kind=None):
        """Return the noise variance that is not learned by likelihood, or None."""
        kind = self.noise if kind is None else kind
        if kind == "ml":
            return None
        if kind != "gcv":
            return check_noise(float(kind) / self._unit**2)
        if not is_even(samples) or len(samples.X) < 3:
            raise ValueError(
                "noise='gcv' smooths series of one feature on an even grid, at least "
                "three points without gaps or weights. Use noise='ml' or a number."
            )
        return gcv_noise(samples.Y)

    def _prepare(self, X, Y, weights):
        """Store the trend; return the samples with constant targets set to zero.

        The targets of samples are in `_unit`, a power of two of what y comes in, and
        so is all that is computed from them until it is stored: floors and tolerances
        must not mean more to small numbers than to large ones.
        """
        samples = aggregate(X, Y, weights)
        self._trend = Trend.fit(samples.X, samples.Y, samples.weights, self.detrend)
        self.trend_coef_ = self._trend.coef
        rest = samples.Y - self._trend(samples.X)
        # What is left of a trend is rounding error, not data.
        size = np.abs(samples.Y).max(axis=0)
        rest[:, np.abs(rest).max(axis=0) <= _CONSTANT * len(X) * size] = 0.0
        self._unit = power_of_two(largest_entry(rest))
        within = samples.within / self._unit / self._unit
        return replace(samples, Y=rest / self._unit, within=within)

    # After the fit

    def _store_spectrum(self, spectrum, samples):
        self.frequencies_, self.sigmas_ = spectrum.frequencies, spectrum.sigmas
        self.X_train_, self._samples = samples.X, samples

    def _store_if_constant(self, samples, spectrum):
        """Store the model without components where targets do not vary; or do not."""
        if samples.Y.any() or samples.within > 0.0:
            return False
        warnings.warn(
            f"{type(self).__name__}: y is constant (once its trend is off), so that "
            "there is nothing to learn: all weights are zero.",
            UserWarning,
            stacklevel=users_stacklevel(),
        )
        self._store_spectrum(spectrum, samples)
        self.weights_ = np.zeros(len(spectrum))
        self.noise_variance_ = self.noise if isinstance(self.noise, Real) else 0.0
        self.alpha_ = np.zeros_like(samples.Y)
        self._state, self._basis_engine = None, None
        self.history_ = np.zeros(1)
        self.n_iter_ = 1
        self.log_marginal_likelihood_value_ = np.inf
        self.certificate_ = Certificate("kkt", 0.0, np.sqrt(self.tol), True, KKT_SCALE)
        self._store_kernel()
        return True

    def _store_solution(self, engine, z):
        """Store weights, noise and what prediction needs."""
        samples = engine.samples
        self._store_spectrum(engine.spectrum, samples)
        self.weights_ = z[:-1] * self._unit**2
        self.noise_variance_ = float(z[-1] * self._unit**2)
        state = engine.factor(z[:-1], float(z[-1]))
        self._state = ScaledState(state, self._unit)
        self.alpha_ = self._state.alpha
        self._basis_engine = engine if isinstance(engine, LowRankEngine) else None
        value = engine.objective(state, float(z[-1]))
        self.log_marginal_likelihood_value_ = self._likelihood(value)
        self._store_kernel()

    def _likelihood(self, value):
        samples = self._samples
        constant = samples.n_targets * samples.total * np.log(2.0 * np.pi)
        return -0.5 * float(value + self._per_unit(samples) + constant)

    def _per_unit(self, samples):
        """Return what the unit of y adds to objectives."""
        return 2.0 * samples.n_targets * samples.total * np.log(self._unit)

    def _store_kernel(self):
        self.active_ = np.flatnonzero(self.weights_)
        kept = self.active_ if len(self.active_) else np.arange(1)
        spectrum = Spectrum(self.frequencies_, self.sigmas_, self.form)
        cls = GSMKernel if spectrum.one_cosine else GSMPKernel
        self._mixture = cls(
            self.frequencies_[kept], self.sigmas_[kept], self.weights_[kept]
        )
        self.kernel_ = self._mixture + WhiteKernel(self.noise_variance_, "fixed")

    def _store_certificate(self, residual, what, remedy, **details):
        tol = float(np.sqrt(self.tol))
        self.certificate_ = Certificate(
            "kkt", float(residual), tol, bool(residual <= tol), KKT_SCALE, details
        )
        warn_if_unsatisfied(self.certificate_, what, remedy)

    def _cross(self, X):
        """Return the prior covariance of new points with those of the training."""
        if self._basis_engine is not None:
            weights = self._engine_weights() / self._unit**2
            return self._basis_engine.cross(X, weights) * self._unit**2
        return self._mixture(X, self.X_train_)

    def _engine_weights(self):
        weights = np.zeros(len(self._basis_engine.spectrum))
        weights[self._kept_components()] = self.weights_
        return weights

    def _kept_components(self):
        return getattr(self, "_pruned_to", np.arange(len(self.weights_)))

    def _marginals(self, X, with_variance):
        mean = self._trend(X)
        variance = np.full(len(X), float(self.weights_.sum()))
        rows = max(1, _ROWS // len(self.X_train_))
        for start in range(0, len(X) if self._state is not None else 0, rows):
            part = slice(start, start + rows)
            cross = self._cross(X[part])
            mean[part] += cross @ self.alpha_
            if with_variance:
                solved = self._state.solve(cross.T)
                variance[part] -= np.einsum("ij,ji->i", cross, solved)
        return self._shaped(mean), variance

    def _joint(self, X):
        mean = self._trend(X)
        if self._state is None:
            return self._shaped(mean), np.zeros((len(X), len(X)))
        cross = self._cross(X)
        mean += cross @ self.alpha_
        covariance = self._mixture(X) - cross @ self._state.solve(cross.T)
        return self._shaped(mean), covariance

    def _shaped(self, mean):
        """Return means in as many dimensions as y had."""
        return mean[:, 0] if self._one_target else mean

    def spectral_density(self, frequencies):
        """Return the learned spectral density.

        Parameters
        ----------
        frequencies : array-like of shape (n_frequencies, n_features)
            Where to evaluate it, in cycles per unit of X; one-dimensional for one
            feature. The density is symmetric, of integral ``weights_.sum()``.

        Returns
        -------
        density : ndarray of shape (n_frequencies,)
            The density.
        """
        check_is_fitted(self)
        return self._mixture.spectral_density(frequencies)

    def log_marginal_likelihood(self, weights=None):
        """Return the log marginal likelihood of the training data.

        Parameters
        ----------
        weights : array-like of shape (n_components,), default=None
            Weights of the components; None means those learned. The noise variance
            is `noise_variance_`.

        Returns
        -------
        log_likelihood : float
            Natural logarithm, summed over the targets.
        """
        check_is_fitted(self)
        if weights is None:
            return self.log_marginal_likelihood_value_
        weights = np.asarray(weights, dtype=float)
        if weights.shape != self.weights_.shape:
            raise ValueError(
                f"weights has shape {weights.shape}, but there are "
                f"{len(self.weights_)} components."
            )
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError(
                "weights must be finite and not negative, but the smallest is "
                f"{weights.min()}."
            )
        if self._state is None:
            raise ValueError(
                "y was constant at fit: its likelihood has no bound. Fit other data."
            )
        noise = self.noise_variance_ / self._unit**2
        if self._basis_engine is not None:
            full = self._engine_weights()
            full[self._kept_components()] = weights
            value = self._basis_engine.value(full / self._unit**2, noise)
        else:
            spectrum = Spectrum(self.frequencies_, self.sigmas_, self.form)
            engine = choose_engine(self._samples, spectrum)
            value = engine.value(weights / self._unit**2, noise)
        return self._likelihood(value)

    def prune(self):
        """Forget the components of weight zero; predictions stay the same.

        Returns
        -------
        self : object
            The estimator, with shorter `weights_`, `frequencies_` and `sigmas_`.
        """
        check_is_fitted(self)
        kept = self.active_ if len(self.active_) else np.arange(1)
        self._pruned_to = self._kept_components()[kept]
        self.weights_ = self.weights_[kept]
        self.frequencies_, self.sigmas_ = self.frequencies_[kept], self.sigmas_[kept]
        self._store_kernel()
        return self
