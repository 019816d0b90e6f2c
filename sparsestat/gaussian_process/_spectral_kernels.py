"""Grid spectral mixture kernels, in scikit-learn's form."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.gaussian_process.kernels import (
    Hyperparameter,
    Kernel,
    StationaryKernelMixin,
)

from sparsestat.gaussian_process._spectral._spectrum import Spectrum, cross_covariance

__all__ = ["GSMKernel", "GSMPKernel"]

_BLOCK = 1 << 22  # entries of a Gram matrix that are computed at once
_SMALLEST = 1e-300  # logarithms of weights start here


class _SpectralKernel(StationaryKernelMixin, Kernel):
    """What the two forms share."""

    _form = "product"

    def __init__(self, frequencies, sigmas, weights, *, weights_bounds="fixed"):
        self.frequencies = frequencies
        self.sigmas = sigmas
        self.weights = weights
        self.weights_bounds = weights_bounds

    @property
    def hyperparameter_weights(self):
        """The weights, as a hyperparameter of scikit-learn."""
        return Hyperparameter(
            "weights", "numeric", self.weights_bounds, len(np.atleast_1d(self.weights))
        )

    @property
    def theta(self):
        """Logarithms of the weights, if they are not fixed."""
        if self.hyperparameter_weights.fixed:
            return np.array([])
        weights = np.atleast_1d(np.asarray(self.weights, dtype=float))
        return np.log(np.maximum(weights, _SMALLEST))

    @theta.setter
    def theta(self, theta):
        expected = 0
        if not self.hyperparameter_weights.fixed:
            expected = len(np.atleast_1d(self.weights))
        if len(theta) != expected:
            raise ValueError(
                f"theta has {len(theta)} entries, but the kernel has {expected} free "
                "weights."
            )
        if expected:
            self.weights = np.exp(theta)

    def _components(self, n_features=None):
        """Return the checked spectrum and weights."""
        weights = np.atleast_1d(np.asarray(self.weights, dtype=float))
        frequencies = _as_rows(self.frequencies, "frequencies", n_features)
        checked = frequencies[:, :1] if self._form == "cosine" else frequencies
        if (checked < 0).any():
            raise ValueError(
                "frequencies must not be negative, but the smallest is "
                f"{checked.min()}."
            )
        sigmas = np.asarray(self.sigmas, dtype=float)
        if sigmas.ndim == 1 and len(sigmas) == len(frequencies):
            sigmas = sigmas[:, None]
        try:
            sigmas = np.broadcast_to(sigmas, frequencies.shape)
        except ValueError as error:
            raise ValueError(
                f"sigmas has shape {np.shape(self.sigmas)}, but one width, one for "
                f"each component or shape {frequencies.shape} was expected."
            ) from error
        if weights.shape != (len(frequencies),):
            raise ValueError(
                f"weights has shape {weights.shape}, but there are "
                f"{len(frequencies)} components."
            )
        for name, values in (("weights", weights), ("sigmas", sigmas)):
            if not np.isfinite(values).all() or (values < 0).any():
                raise ValueError(
                    f"{name} must be finite and not negative, but the smallest is "
                    f"{np.min(values)}."
                )
        return Spectrum(frequencies, np.array(sigmas), self._form), weights

    def __call__(self, X, Y=None, eval_gradient=False):
        """Return the kernel between the rows of X and of Y.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
            Left argument.
        Y : array-like of shape (n_samples_Y, n_features), default=None
            Right argument; None means X.
        eval_gradient : bool, default=False
            Whether to return the gradient too; only when Y is None.

        Returns
        -------
        K : ndarray of shape (n_samples_X, n_samples_Y)
            The covariance.
        K_gradient : ndarray of shape (n_samples_X, n_samples_X, n_dims)
            Derivative in the logarithm of each free weight, if `eval_gradient`.
        """
        X = np.atleast_2d(np.asarray(X, dtype=float))
        Z = X if Y is None else np.atleast_2d(np.asarray(Y, dtype=float))
        spectrum, weights = self._components(X.shape[1])
        if Y is not None and eval_gradient:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        K = np.empty((len(X), len(Z)))
        rows = max(1, _BLOCK // max(1, len(Z)))
        for start in range(0, len(X), rows):
            part = slice(start, start + rows)
            K[part] = cross_covariance(X[part], Z, spectrum, weights)
        if not eval_gradient:
            return K
        free = 0 if self.hyperparameter_weights.fixed else len(weights)
        gradient = np.empty((len(X), len(X), free))
        for i in range(free):
            gradient[:, :, i] = cross_covariance(
                X, X, spectrum.take([i]), weights[i : i + 1]
            )
        return K, gradient

    def diag(self, X):
        """Return the diagonal of the kernel: the sum of the weights.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.

        Returns
        -------
        K_diag : ndarray of shape (n_samples,)
            The variance at each point.
        """
        return np.full(len(X), float(np.sum(self.weights)))

    def spectral_density(self, frequencies):
        """Return the spectral density, symmetric and of integral sum(weights).

        Parameters
        ----------
        frequencies : array-like of shape (n_frequencies, n_features)
            Where to evaluate it, in cycles per unit; one-dimensional for one feature.

        Returns
        -------
        density : ndarray of shape (n_frequencies,)
            The density.
        """
        spectrum, weights = self._components()
        at = _as_rows(frequencies, "frequencies", spectrum.n_dims)
        active = weights > 0
        if (spectrum.sigmas[active] == 0).any():
            raise ValueError(
                "A component of width 0 has no density: it is a line. Pass sigma > 0."
            )
        out = np.zeros(len(at))
        for mu, sigma, weight in zip(
            spectrum.frequencies[active],
            spectrum.sigmas[active],
            weights[active],
            strict=True,
        ):
            up = np.exp(-0.5 * ((at - mu) / sigma) ** 2)
            down = np.exp(-0.5 * ((at + mu) / sigma) ** 2)
            if spectrum.one_cosine:
                pair = 0.5 * (up.prod(axis=1) + down.prod(axis=1))
            else:
                pair = (0.5 * (up + down)).prod(axis=1)
            out += weight * pair / np.prod(np.sqrt(2.0 * np.pi) * sigma)
        return out

    def __repr__(self):
        weights = np.atleast_1d(np.asarray(self.weights, dtype=float))
        return (
            f"{type(self).__name__}({int((weights > 0).sum())} of {len(weights)} "
            f"components, variance {weights.sum():.3g})"
        )


def _as_rows(values, name, n_features):
    rows = np.asarray(values, dtype=float)
    if rows.ndim < 2:
        # One feature and many components, or one component and many features.
        one = n_features not in (None, 1) and rows.size == n_features
        rows = rows.reshape(1, -1) if one else rows.reshape(-1, 1)
    if rows.ndim != 2 or (n_features is not None and rows.shape[1] != n_features):
        raise ValueError(
            f"{name} has shape {np.shape(values)}, but (n_components, {n_features}) "
            "was expected: one column for each feature of X."
        )
    if not np.isfinite(rows).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    return rows


class GSMKernel(_SpectralKernel):
    r"""Grid spectral mixture kernel: a weighted sum of cosines under envelopes.

    .. math:: k(\tau) = \sum_i w_i \exp\bigl(-2 \pi^2 \sum_p \sigma_{ip}^2 \tau_p^2
        \bigr) \cos(2 \pi \mu_i^T \tau)

    The frequencies and widths are given, the weights may be learned. In one dimension,
    or when directions must be told apart; see :class:`GSMPKernel` for products.
    Read more in the :ref:`User Guide <gaussian_processes>`.

    Parameters
    ----------
    frequencies : array-like of shape (n_components,) or (n_components, n_features)
        Frequencies in cycles per unit of X; negative ones only from the second
        feature on.
    sigmas : float or array-like of shape (n_components,) or (n_components, n_features)
        Widths of the spectral bumps, in the same units.
    weights : array-like of shape (n_components,)
        Non-negative weights: the variance of each component.
    weights_bounds : "fixed" or pair of floats > 0, default="fixed"
        Bounds on the weights when scikit-learn optimizes them, which it does in
        their logarithms; fixed weights are left alone.

    Attributes
    ----------
    hyperparameter_weights : Hyperparameter
        The weights, as scikit-learn sees them.
    theta : ndarray
        Logarithms of the free weights.

    See Also
    --------
    GSMPKernel : One cosine a feature, multiplied.
    GridSpectralMixtureRegressor : Learns sparse weights, much faster.

    References
    ----------
    .. [1] F. Yin, L. Pan, X. He, T. Chen, S. Theodoridis, Z.-Q. Luo, "Linear multiple
       low-rank kernel based stationary Gaussian processes regression for time series",
       IEEE Transactions on Signal Processing, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.gaussian_process import GSMKernel
    >>> kernel = GSMKernel([0.0, 0.25], 0.01, [1.0, 2.0])
    >>> kernel(np.array([[0.0], [4.0]])).round(3)
    array([[3.   , 2.907],
           [2.907, 3.   ]])
    """

    _form = "cosine"


class GSMPKernel(_SpectralKernel):
    r"""Grid spectral mixture product kernel: products of cosines under envelopes.

    .. math:: k(\tau) = \sum_i w_i \prod_p \exp(-2 \pi^2 \sigma_{ip}^2 \tau_p^2)
        \cos(2 \pi \mu_{ip} \tau_p)

    The number of components can grow in proportion to the number of features. Its
    spectral density is symmetric in every coordinate. Read more in the
    :ref:`User Guide <gaussian_processes>`.

    Parameters
    ----------
    frequencies : array-like of shape (n_components,) or (n_components, n_features)
        Non-negative frequencies in cycles per unit of X.
    sigmas : float or array-like of shape (n_components,) or (n_components, n_features)
        Widths of the spectral bumps, in the same units.
    weights : array-like of shape (n_components,)
        Non-negative weights: the variance of each component.
    weights_bounds : "fixed" or pair of floats > 0, default="fixed"
        Bounds on the weights when scikit-learn optimizes them, which it does in
        their logarithms; fixed weights are left alone.

    Attributes
    ----------
    hyperparameter_weights : Hyperparameter
        The weights, as scikit-learn sees them.
    theta : ndarray
        Logarithms of the free weights.

    See Also
    --------
    GSMKernel : One cosine of the inner product.
    GridSpectralMixtureRegressor : Learns sparse weights, much faster.

    References
    ----------
    .. [1] R. Suwandi, Z. Lin, F. Yin, Z. Wang, S. Theodoridis, "Sparsity-aware
       distributed learning for Gaussian processes with linear multiple kernel",
       arXiv 2309.08201, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.gaussian_process import GSMPKernel
    >>> kernel = GSMPKernel([[0.0, 0.5], [0.25, 0.0]], 0.01, [1.0, 2.0])
    >>> kernel(np.array([[0.0, 0.0], [4.0, 1.0]])).round(3)
    array([[3.   , 0.967],
           [0.967, 3.   ]])
    """
