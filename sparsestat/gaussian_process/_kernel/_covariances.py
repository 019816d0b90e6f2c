"""Covariances between two sets of points, with gradients, for scikit-learn's kernels.

scikit-learn's kernels give gradients for one set of points only, as an array of
n x n x n_parameters. Here a kernel is taken apart into its sums, products and leaves.
:func:`scaled_cross` evaluates it on pairs and keeps what the way back needs;
:func:`cross_backward` turns the derivatives of an objective with respect to the
covariances into those with respect to ``kernel.theta`` and to the first set of points.
White noise has no part in covariances between points: :func:`noise_variance` collects
it.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    Exponentiation,
    ExpSineSquared,
    Matern,
    Product,
    RationalQuadratic,
    Sum,
    WhiteKernel,
)

__all__ = [
    "cross",
    "cross_backward",
    "diagonal",
    "diagonal_backward",
    "has_noise",
    "leaves",
    "noise_variance",
    "scaled_cross",
    "unknown_kernels",
]

_STEP = 1e-5  # of finite differences in log-parameters and, times a scale, in points
_PAIRS = (Sum, Product)


def leaves(kernel):
    """Yield the leaves of a kernel's expression, from left to right."""
    if isinstance(kernel, _PAIRS):
        yield from leaves(kernel.k1)
        yield from leaves(kernel.k2)
    elif isinstance(kernel, Exponentiation):
        yield from leaves(kernel.kernel)
    else:
        yield kernel


def has_noise(kernel):
    """Tell whether a WhiteKernel is part of a kernel."""
    return any(isinstance(leaf, WhiteKernel) for leaf in leaves(kernel))


def unknown_kernels(kernel):
    """Return the names of the leaves whose gradients are taken by differences."""
    return sorted(
        {type(leaf).__name__ for leaf in leaves(kernel) if not _is_known(leaf)}
    )


def _is_known(leaf):
    if type(leaf) is Matern:
        return leaf.nu in (0.5, 1.5, 2.5, np.inf)
    return (
        type(leaf) in (ConstantKernel, DotProduct, ExpSineSquared, WhiteKernel)
        or _radial(leaf) is not None
        or leaf.n_dims == 0
    )


def _free(kernel, gradients):
    """Order the gradients of a leaf as ``theta`` is, without the fixed parameters."""
    parts = [
        np.atleast_1d(np.asarray(gradients[h.name], dtype=float))
        for h in kernel.hyperparameters
        if not h.fixed
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


# -- covariances between points ------------------------------------------------------
# Inside, a covariance is a number times an array, or a number alone (array None):
# constants cost no pass over the array.


def cross(kernel, X, Y):
    """Evaluate a kernel, without its white noise, on all pairs of points.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        Any kernel on vectors.
    X : ndarray of shape (n, n_features)
        First set of points.
    Y : ndarray of shape (m, n_features)
        Second set.

    Returns
    -------
    K : ndarray of shape (n, m)
        Covariances.
    """
    scale, K, _ = scaled_cross(kernel, X, Y)
    if scale != 1.0:
        K = scale * K
    return K


def scaled_cross(kernel, X, Y):
    """Do the same as :func:`cross`, and keep what the way back needs.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        Any kernel on vectors.
    X : ndarray of shape (n, n_features)
        First set of points.
    Y : ndarray of shape (m, n_features)
        Second set.

    Returns
    -------
    scale : float
        A number.
    K : ndarray of shape (n, m)
        Times `scale`, the covariances. Belongs to `saved` as well: not to be changed.
    saved : object
        For :func:`cross_backward`.
    """
    scale, K, saved = _forward(kernel, X, Y)
    if K is None:
        K = np.ones((len(X), len(Y)))
    return scale, K, saved


def _forward(kernel, X, Y):
    if isinstance(kernel, _PAIRS):
        s, K, kept = _forward(kernel.k1, X, Y)
        t, M, kept_too = _forward(kernel.k2, X, Y)
        saved = s, K, kept, t, M, kept_too
        if isinstance(kernel, Product):
            both = M if K is None else K if M is None else K * M
            return s * t, both, saved
        if K is None and M is None:
            return s + t, None, saved
        if M is None and t == 0:
            return s, K, saved
        if K is None and s == 0:
            return t, M, saved
        return 1.0, s * (1.0 if K is None else K) + t * (1.0 if M is None else M), saved
    if isinstance(kernel, Exponentiation):
        s, K, kept = _forward(kernel.kernel, X, Y)
        p = kernel.exponent
        return s**p, (None if K is None else K**p), (s, K, kept)
    kind = type(kernel)
    if kind is WhiteKernel:
        return 0.0, None, None
    if kind is ConstantKernel:
        return float(kernel.constant_value), None, None
    if kind is DotProduct:
        return 1.0, X @ Y.T + kernel.sigma_0**2, (X, Y)
    if kind is ExpSineSquared:
        distance = cdist(X, Y)
        angle = (np.pi / kernel.periodicity) * distance
        sine = np.sin(angle)
        K = np.exp(-2.0 * (sine / kernel.length_scale) ** 2)
        return 1.0, K, (X, Y, distance, angle, sine, K)
    radial = _radial(kernel)
    if radial is not None:
        K, extra = radial[0](kernel, X, Y)
        return 1.0, K, (X, Y, K, extra)
    return 1.0, kernel(X, Y), (X, Y)


def cross_backward(kernel, saved, K_bar, *, want_x=False):
    """Chain derivatives from the covariances to parameters and points.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        As given to :func:`scaled_cross`.
    saved : object
        What :func:`scaled_cross` returned.
    K_bar : ndarray of shape (n, m)
        Derivatives of the objective with respect to the covariances, their scale
        included.
    want_x : bool, default=False
        Whether those with respect to the first points are wanted.

    Returns
    -------
    gradient : ndarray of shape (kernel.n_dims,)
        With respect to ``kernel.theta``, logarithms of the free parameters.
    X_bar : ndarray of shape (n, n_features) or None
        With respect to the first points; 0.0 where they have no influence.
    """
    none = 0.0 if want_x else None
    if isinstance(kernel, _PAIRS):
        s, K, kept, t, M, kept_too = saved
        gradients, points = [], none
        product = isinstance(kernel, Product)
        for part, own, below, factor, other in (
            (kernel.k1, K, kept, t, M),
            (kernel.k2, M, kept_too, s, K),
        ):
            bar = K_bar
            if not product:
                factor = 1.0
            elif other is not None and own is None:
                # The way back through numbers is a number.
                bar = np.full((1, 1), np.vdot(K_bar, other))
            elif other is not None:
                bar = K_bar * other
            gradient, X_bar = cross_backward(part, below, bar, want_x=want_x)
            gradients.append(factor * gradient)
            if want_x:
                points = points + factor * X_bar
        return np.concatenate(gradients), points
    if isinstance(kernel, Exponentiation):
        s, K, kept = saved
        p = kernel.exponent
        slope = p * s ** (p - 1) if K is None else p * (s * K) ** (p - 1)
        return cross_backward(kernel.kernel, kept, K_bar * slope, want_x=want_x)
    kind = type(kernel)
    if kind is WhiteKernel:
        return np.zeros(kernel.n_dims), none
    if kind is ConstantKernel:
        total = kernel.constant_value * K_bar.sum()
        return _free(kernel, {"constant_value": total}), none
    if kind is DotProduct:
        _, Y = saved
        total = 2.0 * kernel.sigma_0**2 * K_bar.sum()
        return _free(kernel, {"sigma_0": total}), (K_bar @ Y if want_x else None)
    if kind is ExpSineSquared:
        return _periodic_backward(kernel, saved, K_bar, want_x)
    radial = _radial(kernel)
    if radial is not None:
        X, Y, K, extra = saved
        if kernel.n_dims == 0 and not want_x:
            return np.zeros(0), None
        G, others = radial[1](kernel, K, extra, K_bar)
        length = np.atleast_1d(np.asarray(getattr(kernel, radial[2]), dtype=float))
        squares, X_bar = _moments(G, X, Y, length, want_x)
        if len(length) == 1:
            squares = squares.sum()
        return _free(kernel, {radial[2]: squares, **others}), X_bar
    return _differences(kernel, saved, K_bar, want_x)


def _moments(G, X, Y, length, want_x):
    """Return sum_ij G_ij (x_ip - y_jp)^2 / l_p^2, and its pull on the points X.

    A radial kernel k has dk/dlog l_p = g (x_p - y_p)^2 / l_p^2 and
    dk/dx_p = g (y_p - x_p) / l_p^2 with the same g. All sums are in one thin product.
    """
    center = Y.mean(axis=0)
    A, B = (X - center) / length, (Y - center) / length
    d = A.shape[1]
    product = G @ np.hstack([B, B**2, np.ones((len(B), 1))])
    GB, GB2, total = product[:, :d], product[:, d:-1], product[:, -1:]
    squares = (GB2 + total * A**2 - 2.0 * A * GB).sum(axis=0)
    X_bar = (GB - total * A) / length if want_x else None
    return squares, X_bar


def _periodic_backward(kernel, saved, K_bar, want_x):
    X, Y, distance, angle, sine, K = saved
    inverse_square = kernel.length_scale**-2.0
    M = K_bar * K
    slope = 4.0 * inverse_square * sine * np.cos(angle) * M
    gradients = {
        "length_scale": 4.0 * inverse_square * np.sum(sine**2 * M),
        "periodicity": np.sum(slope * angle),
    }
    X_bar = None
    if want_x:
        with np.errstate(invalid="ignore", divide="ignore"):
            G = (np.pi / kernel.periodicity) * slope / distance
        G[distance == 0] = 0.0
        X_bar = _moments(G, X, Y, np.ones(1), True)[1]
    return _free(kernel, gradients), X_bar


def _differences(kernel, saved, K_bar, want_x):
    """Take central differences of a kernel that is not known."""
    X, Y = saved
    theta = kernel.theta
    gradient = np.zeros(len(theta))
    for i in range(len(theta)):
        for sign in (1.0, -1.0):
            moved = theta.copy()
            moved[i] += sign * _STEP
            K = kernel.clone_with_theta(moved)(X, Y)
            gradient[i] += sign * np.sum(K_bar * K) / (2.0 * _STEP)
    if not want_x:
        return gradient, None
    X_bar = np.zeros(X.shape)
    # Row i depends on x_i alone, so that all points are moved at once.
    for p in range(X.shape[1]):
        step = _STEP * max(X[:, p].std(), Y[:, p].std(), 1e-8)
        for sign in (1.0, -1.0):
            moved = X.copy()
            moved[:, p] += sign * step
            row = np.einsum("ij,ij->i", K_bar, kernel(moved, Y))
            X_bar[:, p] += sign * row / (2.0 * step)
    return gradient, X_bar


# -- radial kernels ------------------------------------------------------------------
# Each has a function for the covariances, one for G = K_bar * g (see _moments) and the
# gradients of its other parameters, and the name of its lengths.


def _gauss(kernel, X, Y):
    length = np.atleast_1d(np.asarray(kernel.length_scale, dtype=float))
    center = Y.mean(axis=0)
    A, B = (X - center) / length, (Y - center) / length
    # -|a - b|^2 / 2 in one product.
    left = np.hstack([A, -0.5 * np.sum(A**2, 1, keepdims=True), np.ones((len(A), 1))])
    right = np.hstack([B, np.ones((len(B), 1)), -0.5 * np.sum(B**2, 1, keepdims=True)])
    K = left @ right.T
    np.minimum(K, 0.0, out=K)
    return np.exp(K, out=K), None


def _gauss_back(kernel, K, extra, K_bar):
    return K_bar * K, {}


def _matern(kernel, X, Y):
    if kernel.nu == np.inf:
        return _gauss(kernel, X, Y)
    D = cdist(X / kernel.length_scale, Y / kernel.length_scale)
    D *= np.sqrt(2.0 * kernel.nu)
    decay = np.exp(-D)
    if kernel.nu == 0.5:
        return decay, (D, decay)
    if kernel.nu == 1.5:
        return (1.0 + D) * decay, (D, decay)
    return (1.0 + D + D**2 / 3.0) * decay, (D, decay)


def _matern_back(kernel, K, extra, K_bar):
    if kernel.nu == np.inf:
        return K_bar * K, {}
    D, decay = extra
    if kernel.nu == 0.5:
        with np.errstate(invalid="ignore", divide="ignore"):
            G = K_bar * decay / D
        G[D == 0] = 0.0
        return G, {}
    if kernel.nu == 1.5:
        return 3.0 * K_bar * decay, {}
    return (5.0 / 3.0) * K_bar * (1.0 + D) * decay, {}


def _rational(kernel, X, Y):
    square = cdist(X, Y, "sqeuclidean")
    square /= 2.0 * kernel.alpha * kernel.length_scale**2
    return (1.0 + square) ** -kernel.alpha, square


def _rational_back(kernel, K, extra, K_bar):
    base = 1.0 + extra
    M = K_bar * K
    alpha = kernel.alpha * np.sum(M * (extra / base - np.log(base)))
    return M / base, {"alpha": alpha}


def _compact(kernel, X, Y):
    K, extra = kernel.evaluate(X, Y)
    return K, extra


def _compact_back(kernel, K, extra, K_bar):
    return K_bar * kernel.slope(extra), {}


def _radial(kernel):
    """Return how to evaluate a radial kernel, or None for other kernels."""
    from sparsestat.gaussian_process._kernel._wendland import WendlandKernel

    kind = type(kernel)
    if kind is RBF:
        return _gauss, _gauss_back, "length_scale"
    if kind is Matern and kernel.nu in (0.5, 1.5, 2.5, np.inf):
        return _matern, _matern_back, "length_scale"
    if kind is RationalQuadratic:
        return _rational, _rational_back, "length_scale"
    if kind is WendlandKernel:
        return _compact, _compact_back, "support"
    return None


# -- variances -----------------------------------------------------------------------


def diagonal(kernel, X):
    """Return the variances at the points, without white noise.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        Any kernel on vectors.
    X : ndarray of shape (n, n_features)
        The points.

    Returns
    -------
    variances : ndarray of shape (n,)
        Of the function values.
    """
    if isinstance(kernel, Sum):
        return diagonal(kernel.k1, X) + diagonal(kernel.k2, X)
    if isinstance(kernel, Product):
        return diagonal(kernel.k1, X) * diagonal(kernel.k2, X)
    if isinstance(kernel, Exponentiation):
        return diagonal(kernel.kernel, X) ** kernel.exponent
    if isinstance(kernel, WhiteKernel):
        return np.zeros(len(X))
    return np.asarray(kernel.diag(X), dtype=float)


def diagonal_backward(kernel, X, weights):
    """Chain derivatives from the variances to the parameters.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        As given to :func:`diagonal`.
    X : ndarray of shape (n, n_features)
        The points.
    weights : ndarray of shape (n,)
        Derivatives of the objective with respect to the variances.

    Returns
    -------
    gradient : ndarray of shape (kernel.n_dims,)
        With respect to ``kernel.theta``.
    """
    if isinstance(kernel, _PAIRS):
        bars = weights, weights
        if isinstance(kernel, Product):
            bars = weights * diagonal(kernel.k2, X), weights * diagonal(kernel.k1, X)
        return np.concatenate(
            [
                diagonal_backward(kernel.k1, X, bars[0]),
                diagonal_backward(kernel.k2, X, bars[1]),
            ]
        )
    if isinstance(kernel, Exponentiation):
        p = kernel.exponent
        base = diagonal(kernel.kernel, X)
        return diagonal_backward(kernel.kernel, X, weights * p * base ** (p - 1))
    kind = type(kernel)
    if kind is ConstantKernel:
        total = kernel.constant_value * weights.sum()
        return _free(kernel, {"constant_value": total})
    if kind is DotProduct:
        return _free(kernel, {"sigma_0": 2.0 * kernel.sigma_0**2 * weights.sum()})
    if kernel.n_dims == 0 or kind in (WhiteKernel, ExpSineSquared):
        return np.zeros(kernel.n_dims)
    if kind is Matern or _radial(kernel) is not None:
        return np.zeros(kernel.n_dims)
    gradient = np.zeros(kernel.n_dims)
    theta = kernel.theta
    for i in range(len(theta)):
        for sign in (1.0, -1.0):
            moved = theta.copy()
            moved[i] += sign * _STEP
            values = kernel.clone_with_theta(moved).diag(X)
            gradient[i] += sign * (weights @ values) / (2.0 * _STEP)
    return gradient


def noise_variance(kernel, n_features):
    """Return the variance of the white noise in a kernel, and its gradient.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        With WhiteKernels in its sums; in products, beside stationary kernels.
    n_features : int
        Dimension of the points.

    Returns
    -------
    variance : float
        Zero without a WhiteKernel.
    gradient : ndarray of shape (kernel.n_dims,)
        With respect to ``kernel.theta``.

    Raises
    ------
    ValueError
        If the noise is multiplied by a kernel that is not stationary.
    """
    if not has_noise(kernel):
        return 0.0, np.zeros(kernel.n_dims)
    if isinstance(kernel, WhiteKernel):
        return float(kernel.noise_level), _free(
            kernel, {"noise_level": kernel.noise_level}
        )
    if isinstance(kernel, Exponentiation):
        noise, slope = noise_variance(kernel.kernel, n_features)
        smooth, smooth_slope = _constant_variance(kernel.kernel, n_features)
        p = kernel.exponent
        both = smooth + noise
        outer = p * both ** (p - 1)
        inner = p * smooth ** (p - 1)
        return (
            both**p - smooth**p,
            outer * (slope + smooth_slope) - inner * smooth_slope,
        )
    first, first_slope = noise_variance(kernel.k1, n_features)
    second, second_slope = noise_variance(kernel.k2, n_features)
    if isinstance(kernel, Sum):
        return first + second, np.concatenate([first_slope, second_slope])
    s1, s1_slope = _constant_variance(kernel.k1, n_features)
    s2, s2_slope = _constant_variance(kernel.k2, n_features)
    return (s1 + first) * (s2 + second) - s1 * s2, np.concatenate(
        [
            (s1_slope + first_slope) * (s2 + second) - s1_slope * s2,
            (s2_slope + second_slope) * (s1 + first) - s2_slope * s1,
        ]
    )


def _constant_variance(kernel, n_features):
    if not kernel.is_stationary():
        raise ValueError(
            f"The WhiteKernel is multiplied by {kernel}, whose variance differs from "
            "point to point. Add the WhiteKernel to the kernel instead."
        )
    origin = np.zeros((1, n_features))
    return float(diagonal(kernel, origin)[0]), diagonal_backward(
        kernel, origin, np.ones(1)
    )
