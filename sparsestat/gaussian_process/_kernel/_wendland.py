"""Wendland's compactly supported kernels, which make sparse covariance matrices."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.gaussian_process.kernels import (
    Hyperparameter,
    Kernel,
    NormalizedKernelMixin,
    StationaryKernelMixin,
)

__all__ = ["WendlandKernel"]


class WendlandKernel(StationaryKernelMixin, NormalizedKernelMixin, Kernel):
    r"""Wendland's kernel: a polynomial of the distance, exactly zero beyond a radius.

    With :math:`r = \|x - x'\| / s`, where s is `support`, :math:`x_+ = \max(x, 0)` and
    :math:`\ell = \lfloor \mathrm{dim} / 2 \rfloor + k + 1`,

    .. math::

        k = 0:\;& (1 - r)_+^{\ell}
        \\ k = 1:\;& (1 - r)_+^{\ell + 1} \, ((\ell + 1) r + 1)
        \\ k = 2:\;& (1 - r)_+^{\ell + 2} \,
            ((\ell^2 + 4 \ell + 3) r^2 + (3 \ell + 6) r + 3) / 3

    and so on: functions drawn from the process are k times differentiable, in the mean
    square. Of all kernels of this smoothness that are positive definite in `dim`
    dimensions and polynomial in r, these have the lowest degree. Use it for many points
    in few dimensions, in
    :class:`~sparsestat.gaussian_process.CompactGPRegressor`, alone or as a factor that
    tapers another kernel. Do not use it where distant points are to inform each other:
    beyond `support` there is no correlation. Read more in the
    :ref:`User Guide <gaussian_processes>`.

    Parameters
    ----------
    support : float or ndarray of shape (n_features,), default=1.0
        Radius beyond which the covariance is zero, in units of X; one number a
        feature makes it an ellipsoid.
    support_bounds : pair of floats, sequence of pairs, or "fixed", default="fixed"
        Bounds of `support` in an optimization. The pattern of zeros moves with it.
    k : {0, 1, 2, 3}, default=1
        Smoothness.
    dim : int, default=None
        Largest dimension in which the kernel is to be positive definite; None takes
        the number of features.

    Raises
    ------
    ValueError
        When called on points of more dimensions than `dim`, in which the kernel is not
        positive definite; for other values of `k`.

    See Also
    --------
    CompactGPRegressor : Regression with sparse covariance matrices.
    sklearn.gaussian_process.kernels.Matern : Kernels of the same kind of smoothness
        that reach everywhere.

    References
    ----------
    .. [1] H. Wendland, "Piecewise polynomial, positive definite and compactly supported
       radial functions of minimal degree", Advances in Computational Mathematics 4,
       1995.
    .. [2] C. E. Rasmussen, C. K. I. Williams, "Gaussian processes for machine
       learning", section 4.2, MIT Press, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.gaussian_process import WendlandKernel
    >>> kernel = 2.0 * WendlandKernel(support=3.0, k=1)
    >>> kernel(np.array([[0.0], [1.0], [2.0], [3.0]]))[0].round(3)
    array([2.   , 1.185, 0.222, 0.   ])
    """

    def __init__(self, support=1.0, support_bounds="fixed", k=1, dim=None):
        self.support = support
        self.support_bounds = support_bounds
        self.k = k
        self.dim = dim

    @property
    def anisotropic(self):
        """Whether there is one radius a feature."""
        return np.iterable(self.support) and len(self.support) > 1

    @property
    def hyperparameter_support(self):
        """The radius, as scikit-learn's optimizers see it."""
        if self.anisotropic:
            return Hyperparameter(
                "support", "numeric", self.support_bounds, len(self.support)
            )
        return Hyperparameter("support", "numeric", self.support_bounds)

    def checked_support(self, n_features):
        """Return the radii as an array, after checking them and the dimension.

        Parameters
        ----------
        n_features : int
            Dimension of the points.

        Returns
        -------
        support : ndarray of shape (1,) or (n_features,)
            Radii, all positive.
        """
        if self.k not in (0, 1, 2, 3):
            raise ValueError(
                f"WendlandKernel has k = {self.k!r}, but k must be 0, 1, 2 or 3."
            )
        if self.dim is not None and self.dim < n_features:
            raise ValueError(
                f"WendlandKernel(dim={self.dim}) is positive definite in up to "
                f"{self.dim} dimensions, but the points have {n_features}. Set dim to "
                f"{n_features} or more, or leave it None."
            )
        support = np.atleast_1d(np.squeeze(np.asarray(self.support, dtype=float)))
        if support.ndim != 1 or len(support) not in (1, n_features):
            raise ValueError(
                f"WendlandKernel has {support.size} radii in `support`, but the points "
                f"have {n_features} features. Give one radius, or one a feature."
            )
        if not (np.isfinite(support).all() and (support > 0).all()):
            raise ValueError(
                f"WendlandKernel has support = {self.support!r}; radii must be "
                "positive and finite."
            )
        return support

    def order(self, n_features):
        """Return the exponent l that makes the kernel positive definite.

        Parameters
        ----------
        n_features : int
            Dimension of the points.

        Returns
        -------
        order : int
            The exponent.
        """
        dim = n_features if self.dim is None else self.dim
        return dim // 2 + self.k + 1

    def evaluate(self, X, Y):
        """Return the covariances and what :meth:`slope` needs.

        Parameters
        ----------
        X, Y : ndarray of shape (n, n_features) and (m, n_features)
            The points.

        Returns
        -------
        K : ndarray of shape (n, m)
            Covariances.
        saved : tuple
            Relative distances and the exponent.
        """
        support = self.checked_support(X.shape[1])
        r = cdist(X / support, Y / support)
        order = self.order(X.shape[1])
        return _wendland(r, self.k, order), (r, order)

    def slope(self, saved):
        """Return -phi'(r) / r, whose product with r_p^2 is dk/dlog support_p.

        Parameters
        ----------
        saved : tuple
            Of :meth:`evaluate`.

        Returns
        -------
        slope : ndarray
            In the shape of the covariances.
        """
        r, order = saved
        return _wendland_slope(r, self.k, order)

    def __call__(self, X, Y=None, eval_gradient=False):
        """Evaluate the kernel.

        Parameters
        ----------
        X : ndarray of shape (n_samples_X, n_features)
            Points.
        Y : ndarray of shape (n_samples_Y, n_features), default=None
            Other points; None takes X itself.
        eval_gradient : bool, default=False
            Whether the gradient is returned too; only without Y.

        Returns
        -------
        K : ndarray of shape (n_samples_X, n_samples_Y)
            Covariances.
        K_gradient : ndarray of shape (n_samples_X, n_samples_X, n_dims)
            With respect to the logarithms of free parameters, for `eval_gradient`.
        """
        X = np.atleast_2d(X)
        if Y is not None and eval_gradient:
            raise ValueError("Gradient can only be evaluated when Y is None.")
        Y = X if Y is None else np.atleast_2d(Y)
        K, saved = self.evaluate(X, Y)
        if not eval_gradient:
            return K
        if self.hyperparameter_support.fixed:
            return K, np.empty((len(X), len(X), 0))
        slope = self.slope(saved)
        if not self.anisotropic:
            return K, (slope * saved[0] ** 2)[:, :, None]
        squares = ((X[:, None] - X[None]) / self.checked_support(X.shape[1])) ** 2
        return K, slope[:, :, None] * squares

    def __repr__(self):
        support = np.array2string(np.asarray(self.support, dtype=float), precision=3)
        return f"WendlandKernel(support={support}, k={self.k})"


def _wendland(r, k, order):
    """Evaluate phi_{dim,k}(r), normalized to phi(0) = 1."""
    rest = np.maximum(1.0 - r, 0.0)
    ell = order
    if k == 0:
        return rest**ell
    if k == 1:
        return rest ** (ell + 1) * ((ell + 1) * r + 1.0)
    if k == 2:
        square = (ell**2 + 4 * ell + 3) * r**2
        return rest ** (ell + 2) * (square + (3 * ell + 6) * r + 3.0) / 3.0
    cube = (ell**3 + 9 * ell**2 + 23 * ell + 15) * r**3
    square = (6 * ell**2 + 36 * ell + 45) * r**2
    return rest ** (ell + 3) * (cube + square + (15 * ell + 45) * r + 15.0) / 15.0


def _wendland_slope(r, k, order):
    """Evaluate -phi'(r) / r; at r = 0, where it does not matter for k = 0, zero."""
    rest = np.maximum(1.0 - r, 0.0)
    ell = order
    if k == 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = ell * rest ** (ell - 1) / r
        slope[(r == 0) | (r >= 1)] = 0.0  # 0 ** 0 where ell is 1
        return slope
    if k == 1:
        return (ell + 1) * (ell + 2) * rest**ell
    if k == 2:
        scale = (ell + 3) * (ell + 4) / 3.0
        return scale * (1.0 + (ell + 1) * r) * rest ** (ell + 1)
    scale = (ell + 5) * (ell + 6) / 15.0
    square = (ell**2 + 4 * ell + 3) * r**2
    return scale * (square + (3 * ell + 6) * r + 3.0) * rest ** (ell + 2)
