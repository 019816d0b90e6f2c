r"""Gaussian-process regression through inducing points: bounds, gradients, states.

With m inducing points Z, :math:`K_{mm} = L L'`, :math:`W = L^{-1} K_{mn}`,
:math:`Q = W' W`, :math:`d_t = k_{tt} - Q_{tt}` and
:math:`\Lambda_t = \sigma^2 + \alpha d_t`, power expectation propagation [3]_
approximates the log marginal likelihood of the data by

.. math::

    \log N(y; 0, Q + \Lambda)
    - \frac{1 - \alpha}{2 \alpha} \sum_t \log(1 + \alpha d_t / \sigma^2) ,

whose limit at :math:`\alpha = 0` is the variational free energy [1]_, a lower bound,
and which is FITC [2]_ at :math:`\alpha = 1`. Rows of X pass by in blocks that stay in
the cache; beside X and y, O(m^2) numbers are held, and the covariances K_{mn} where
they fit into a quarter of a gigabyte.

References
----------
.. [1] M. Titsias, "Variational learning of inducing variables in sparse Gaussian
   processes", AISTATS, 2009.
.. [2] E. Snelson, Z. Ghahramani, "Sparse Gaussian processes using pseudo-inputs", NIPS,
   2005.
.. [3] T. D. Bui, J. Yan, R. E. Turner, "A unifying framework for Gaussian process
   pseudo-point approximations using power expectation propagation", JMLR 18, 2017.
.. [4] M. Titsias, "Variational inference for Gaussian and determinantal point
   processes", workshop on advances in variational inference, NIPS, 2014.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas, solve_triangular
from sklearn.cluster import KMeans

from sparsestat.gaussian_process._kernel._covariances import (
    cross,
    cross_backward,
    diagonal,
    diagonal_backward,
    noise_variance,
    scaled_cross,
)
from sparsestat.gaussian_process._kernel._row_noise import PLAIN

__all__ = [
    "InducingState",
    "Sums",
    "evaluate",
    "exact_evidence",
    "greedy_points",
    "kmeans_points",
    "missed",
    "state_of_sums",
    "sums_of_rows",
]

_BLOCK = 100_000  # entries of a block of covariances: 0.8 MB, which stays in the cache
_KEEP = 1 << 25  # covariances that are kept for the way back rather than made again
_LOG_2PI = np.log(2.0 * np.pi)
_KMEANS_ROWS = 20_000


@dataclass
class InducingState:
    """What predictions need, the objective, and the bounds.

    Parameters
    ----------
    L, L_B : ndarray of shape (m, m)
        Cholesky factors of the jittered K_mm and of I + W Lambda^-1 W'.
    c : ndarray of shape (m,)
        L_B^-1 W Lambda^-1 y.
    objective : float
        The approximate log marginal likelihood.
    lower, upper : float
        Bounds of the exact one: the variational bounds at the same parameters.
    noise : float
        Noise variance.
    jitter : float
        Added to the diagonal of K_mm, relative to its mean.
    gradient : ndarray or None
        Of the objective with respect to ``kernel.theta``.
    Z_gradient : ndarray or None
        Of the objective with respect to the inducing points.
    """

    L: np.ndarray
    L_B: np.ndarray
    c: np.ndarray
    objective: float
    lower: float
    upper: float
    noise: float
    jitter: float
    gradient: np.ndarray | None = None
    Z_gradient: np.ndarray | None = None


def jittered_cholesky(K, jitter):
    """Factor K + jitter * mean(diag K) * I, with more jitter where that fails."""
    scale = K.diagonal().mean()
    while True:
        try:
            shifted = K.copy()
            shifted.flat[:: len(K) + 1] += jitter * scale
            return np.asfortranarray(np.linalg.cholesky(shifted)), jitter
        except np.linalg.LinAlgError:
            if jitter > 1e-3 or not np.isfinite(K).all():
                raise
            jitter = 10.0 * jitter if jitter >= 1e-15 else 1e-10


def _mirror(lower):
    """Fill the upper triangle of a matrix whose lower one was computed."""
    out = np.tril(lower)
    return out + np.tril(out, -1).T


def _invert_factor(L, M):
    """Return L^-T M L^-1 for symmetric M, by triangular solves."""
    half = solve_triangular(L, M, lower=True, trans="T", check_finite=False)
    return solve_triangular(L, half.T, lower=True, trans="T", check_finite=False)


def evaluate(
    kernel,
    Z,
    X,
    y,
    *,
    alpha=0.0,
    jitter=1e-10,
    rows=PLAIN,
    want_gradient=True,
    want_points=True,
):
    """Evaluate the objective, its gradients and what predictions need.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        With white noise.
    Z : ndarray of shape (m, n_features)
        Inducing points.
    X : ndarray of shape (n, n_features)
        Data.
    y : ndarray of shape (n,) or (n, n_targets)
        Targets: independent processes of one kernel.
    alpha : float, default=0.0
        0 is the variational free energy, 1 is FITC, others power EP.
    jitter : float, default=1e-10
        Added to the diagonal of K_mm, relative to its mean.
    rows : RowNoise, default=PLAIN
        Weights and known noise of the rows.
    want_gradient : bool, default=True
        Whether the gradient with respect to the parameters is wanted.
    want_points : bool, default=True
        Whether that with respect to the inducing points is wanted as well.

    Returns
    -------
    state : InducingState
        The results.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite even with jitter.

    Notes
    -----
    2 n m^2 multiplications without, 4 n m^2 with the gradient (alpha = 0); 6 n m^2
    for other alpha.
    """
    n, m = len(X), len(Z)
    s2, s2_slope = noise_variance(kernel, X.shape[1])
    single = rows.single(s2, n)
    if not single.min() > 0:
        raise np.linalg.LinAlgError("The noise variance is zero.")
    # One noise variance for all rows: some sums over rows have closed forms.
    even = alpha == 0 and rows.is_plain
    level = float(single[0])
    y, one = (y[:, None], True) if y.ndim == 1 else (y, False)
    k = y.shape[1]
    w = np.broadcast_to(rows.weights, n)
    scale, K, saved_mm = scaled_cross(kernel, Z, Z)
    L, jitter = jittered_cholesky(scale * K, jitter)
    k_tt = diagonal(kernel, X)
    keep = n * m <= _KEEP
    step = max(64, _BLOCK // m)
    kept = []
    S = np.zeros((m, m), order="F")
    M = S if even else np.zeros((m, m), order="F")  # S at the noise alone
    v, v_plain = np.zeros((m, k)), np.zeros((m, k))
    d = np.empty(n)
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        scale, K, saved = scaled_cross(kernel, Z, X[part])
        if keep and want_gradient:
            kept.append((scale, K, saved))
        W = _half(L, scale, K)
        np.maximum(k_tt[part] - np.einsum("ij,ij->j", W, W), 0.0, out=d[part])
        if even:
            S = blas.dsyrk(1.0, W.T, trans=1, beta=1.0, c=S, lower=1, overwrite_c=1)
            v += W @ y[part]
            continue
        if not want_gradient:
            W_plain = W * np.sqrt(w[part] / single[part])
            M = blas.dsyrk(
                1.0, W_plain.T, trans=1, beta=1.0, c=M, lower=1, overwrite_c=1
            )
            v_plain += W @ ((w[part] / single[part])[:, None] * y[part])
        weight = w[part] / (single[part] + alpha * d[part])
        v += W @ (weight[:, None] * y[part])
        W *= np.sqrt(weight)
        S = blas.dsyrk(1.0, W.T, trans=1, beta=1.0, c=S, lower=1, overwrite_c=1)
    S = _mirror(S)
    lam = single + alpha * d
    if even:
        S, v = S / level, v / level
        M, v_plain = S, v
    elif not want_gradient:
        M = _mirror(M)
    B = S.copy()
    B.flat[:: m + 1] += 1.0
    L_B = np.asfortranarray(np.linalg.cholesky(B))
    c = solve_triangular(L_B, v, lower=True, check_finite=False)
    squares = w * np.sum(y**2, axis=1) + rows.within
    total = rows.total(n)
    log_lam = float(w @ np.log(lam))
    objective = -0.5 * (
        k * (total * _LOG_2PI + log_lam) + np.sum(squares / lam) - np.sum(c * c)
    )
    objective -= k * np.log(L_B.diagonal()).sum()
    objective -= k * _taken(alpha, d, single, w)
    flat = c[:, 0] if one else c
    state = InducingState(L, L_B, flat, float(objective), objective, np.inf, s2, jitter)
    if not want_gradient:
        state.lower, state.upper = _bounds(
            M,
            v_plain,
            k * (total * _LOG_2PI + float(w @ np.log(single))),
            float(np.sum(squares / single)),
            float(np.sum(w * d / single)),
        )
        return state

    # The way back. G is the derivative with respect to Q + Lambda, g its diagonal, h
    # that with respect to d; u = K_mm^-1 K_mn (Q + Lambda)^-1 y.
    B_inverse = _invert_factor(L_B, np.eye(m))
    u = solve_triangular(
        L,
        solve_triangular(L_B, c, lower=True, trans="T", check_finite=False),
        lower=True,
        trans="T",
        check_finite=False,
    )
    inner = k * _invert_factor(L, np.eye(m) - B_inverse)
    theta_bar = np.zeros(kernel.n_dims)
    Z_bar = np.zeros(Z.shape)
    g_sum, h = 0.0, np.full(n, -0.5 * k / level) if even else np.empty(n)
    E = np.zeros((m, m))
    H = inner / level if even else None
    for block, start in enumerate(range(0, n, step)):
        part = slice(start, min(start + step, n))
        if keep:
            scale, K, saved = kept[block]
            kept[block] = None
        else:
            scale, K, saved = scaled_cross(kernel, Z, X[part])
        if even:
            a = (y[part] - K.T @ (scale * u)) / level
            g_sum += 0.5 * np.sum(a * a)
            K_bar = (scale * H) @ K
        else:
            W = _half(L, scale, K)
            half = _half(L_B, 1.0, W)
            # A row of weight w is one of that part of the variance, and w - 1 more
            # observations that know nothing of the function.
            own = lam[part] / w[part]
            a = (y[part] - half.T @ c) / own[:, None]
            inverse = (1.0 - np.einsum("ij,ij->j", half, half) / own) / own
            g = 0.5 * (np.sum(a * a, axis=1) - k * inverse) / w[part]
            g += rows.part(part).scatter(lam[part], k)[1]
            g_sum += g.sum()
            h[part] = alpha * g - 0.5 * (1 - alpha) * k * w[part] / lam[part]
            E += (W * h[part]) @ W.T
            K_bar = _solve(L_B, half, transposed=True)
            K_bar *= -k / own
            K_bar -= 2.0 * W * h[part]
            K_bar = _solve(L, K_bar, transposed=True)
        # Updates of rank one in place; the transpose is in Fortran's order.
        for j in range(k):
            K_bar = blas.dger(1.0, a[:, j], u[:, j], a=K_bar.T, overwrite_a=1).T
        slopes, points = cross_backward(kernel, saved, K_bar, want_x=want_points)
        theta_bar += slopes
        if want_points:
            Z_bar += points
    if even:
        g_sum -= 0.5 * k * (n - m + np.trace(B_inverse)) / level
        E = (-0.5 * k) * S  # W diag(h) W' of the free energy
    mm_bar = -0.5 * (u @ u.T - inner) + _invert_factor(L, E)
    mm_bar.flat[:: m + 1] += jitter * np.trace(mm_bar) / m
    slopes, points = cross_backward(kernel, saved_mm, mm_bar, want_x=want_points)
    theta_bar += slopes
    if want_points:
        Z_bar += 2.0 * points  # both arguments move
    theta_bar += diagonal_backward(kernel, X, h)
    s2_bar = g_sum + 0.5 * (1 - alpha) * k * np.sum(w * d / (single * lam))
    state.gradient = theta_bar + s2_bar * s2_slope
    state.Z_gradient = Z_bar if want_points else None
    return state


def _taken(alpha, d, single, weights):
    """Return what an objective takes off for the variance that points miss."""
    if alpha > 0:
        terms = (1 - alpha) / (2 * alpha) * np.log1p(alpha * d / single)
    else:
        terms = 0.5 * d / single
    return float(np.sum(weights * terms))


def _solve(L, M, *, transposed=False):
    """Overwrite the C-ordered M by L^-1 M, or by L^-T M."""
    # Seen in Fortran's order this is a solve from the right, which BLAS does faster.
    return blas.dtrsm(
        1.0, L, M.T, side=1, lower=1, trans_a=not transposed, overwrite_b=1
    ).T


def _half(L, scale, K):
    """Return L^-1 K, times a scale, in an array of its own."""
    return _solve(L, np.multiply(K, scale, order="C"))


def _bounds(M, v, constant, squares, deficit):
    """Return Titsias' lower and upper bounds of the exact log marginal likelihood.

    All is in units of the noise of each row: `M` is W W', `v` is W y, `squares` is
    y' y, `deficit` the trace of K - Q; `constant` is the log determinant of the noise
    and that of 2 pi.
    """
    m, k = v.shape

    def quadratic(noise):
        shifted = M.copy()
        shifted.flat[:: m + 1] += noise
        factor = np.linalg.cholesky(shifted)
        half = solve_triangular(factor, v, lower=True, check_finite=False)
        return (squares - np.sum(half * half)) / noise, factor.diagonal()

    first, roots = quadratic(1.0)
    shared = constant + 2.0 * k * np.log(roots).sum()
    lower = -0.5 * (shared + first + k * deficit)
    upper = -0.5 * (shared + quadratic(1.0 + deficit)[0])
    return float(lower), float(upper)


@dataclass
class Sums:
    """What a set of rows adds to the posterior at given points and parameters.

    Parameters
    ----------
    S, M : ndarray of shape (m, m)
        Sums of :math:`w_t w_t'` over Lambda_t and over the noise.
    v, v_plain : ndarray of shape (m, n_targets)
        Sums of :math:`w_t y_t`, likewise.
    scalars : ndarray of shape (7,)
        The number of observations, and the sums of squares of the targets over
        Lambda_t and over the noise, of d over the noise, of log Lambda, of log noise,
        and of what the objective takes off for d.
    """

    S: np.ndarray
    M: np.ndarray
    v: np.ndarray
    v_plain: np.ndarray
    scalars: np.ndarray

    def __add__(self, other):
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Sums(*(one + two for one, two in pairs))


def sums_of_rows(kernel, Z, L, X, y, *, alpha, rows=PLAIN):
    """Return what rows add to the posterior.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        With white noise.
    Z : ndarray of shape (m, n_features)
        Inducing points.
    L : ndarray of shape (m, m)
        Cholesky factor of their jittered covariance.
    X : ndarray of shape (n, n_features)
        The rows.
    y : ndarray of shape (n, n_targets)
        Their targets.
    alpha : float
        Power.
    rows : RowNoise, default=PLAIN
        Weights and known noise of the rows.

    Returns
    -------
    sums : Sums
        To be added to those of other rows.
    """
    m, k = len(Z), y.shape[1]
    single = rows.single(noise_variance(kernel, X.shape[1])[0], len(X))
    w = np.broadcast_to(rows.weights, len(X))
    squares = w * np.sum(y**2, axis=1) + rows.within
    total = Sums(
        np.zeros((m, m)),
        np.zeros((m, m)),
        np.zeros((m, k)),
        np.zeros((m, k)),
        np.zeros(7),
    )
    step = max(1, _BLOCK // m)
    for start in range(0, len(X), step):
        part = slice(start, start + step)
        scale, K, _ = scaled_cross(kernel, Z, X[part])
        W, t, noise, count = _half(L, scale, K), y[part], single[part], w[part]
        d = diagonal(kernel, X[part]) - np.einsum("ij,ij->j", W, W)
        d = np.maximum(d, 0.0)
        lam = noise + alpha * d
        own, plain = count / lam, count / noise
        total += Sums(
            (W * own) @ W.T,
            (W * plain) @ W.T,
            W @ (own[:, None] * t),
            W @ (plain[:, None] * t),
            np.array(
                [
                    count.sum(),
                    np.sum(squares[part] / lam),
                    np.sum(squares[part] / noise),
                    plain @ d,
                    count @ np.log(lam),
                    count @ np.log(noise),
                    _taken(alpha, d, noise, count),
                ]
            ),
        )
    return total


def state_of_sums(sums, L, noise, jitter):
    """Return the posterior and the bounds that sums over rows make."""
    m, k = sums.v.shape
    B = sums.S.copy()
    B.flat[:: m + 1] += 1.0
    L_B = np.asfortranarray(np.linalg.cholesky(B))
    c = solve_triangular(L_B, sums.v, lower=True, check_finite=False)
    n, weighted, squares, deficit, log_lam, log_noise, taken = sums.scalars
    objective = -0.5 * (k * (n * _LOG_2PI + log_lam) + weighted - np.sum(c * c))
    objective -= k * (np.log(L_B.diagonal()).sum() + taken)
    constant = k * (n * _LOG_2PI + log_noise)
    lower, upper = _bounds(sums.M, sums.v_plain, constant, squares, deficit)
    return InducingState(L, L_B, c, float(objective), lower, upper, noise, jitter)


def exact_evidence(kernel, X, y, *, rows=PLAIN):
    """Return the exact log marginal likelihood and its gradient, by dense algebra.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        With white noise.
    X : ndarray of shape (n, n_features)
        Data.
    y : ndarray of shape (n,) or (n, n_targets)
        Targets: independent processes of one kernel.
    rows : RowNoise, default=PLAIN
        Weights and known noise of the rows.

    Returns
    -------
    value : float
        The log marginal likelihood.
    gradient : ndarray
        With respect to ``kernel.theta``.
    """
    n = len(X)
    y = y.reshape(n, -1)
    k = y.shape[1]
    s2, s2_slope = noise_variance(kernel, X.shape[1])
    single = rows.single(s2, n)
    scale, K, saved = scaled_cross(kernel, X, X)
    C = scale * K
    C.flat[:: n + 1] = diagonal(kernel, X) + single / rows.weights
    L = np.linalg.cholesky(C)
    half = solve_triangular(L, np.eye(n), lower=True, check_finite=False)
    inverse = half.T @ half
    a = half.T @ (half @ y)
    value = -0.5 * float(np.sum(y * a)) - k * np.log(L.diagonal()).sum()
    value -= 0.5 * k * n * _LOG_2PI
    bar = 0.5 * (a @ a.T - k * inverse)
    more, slope = rows.scatter(single, k)
    gradient, _ = cross_backward(kernel, saved, bar)
    own = np.sum(bar.diagonal() / rows.weights + slope)
    return float(value) + more, gradient + own * s2_slope


def missed(kernel, Z, X):
    """Return the mean variance at X that the inducing points Z leave unexplained."""
    L, _ = jittered_cholesky(cross(kernel, Z, Z), 1e-10)
    half = solve_triangular(L, cross(kernel, Z, X), lower=True, check_finite=False)
    return float(np.mean(diagonal(kernel, X) - np.einsum("ij,ij->j", half, half)))


def kmeans_points(X, m, random_state):
    """Choose inducing points as the centers of a short k-means run.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Distinct rows; beyond 20,000 a random part of them is used.
    m : int
        Number of points; all rows are returned when there are no more.
    random_state : numpy.random.RandomState
        Source of randomness.

    Returns
    -------
    Z : ndarray of shape (min(m, n), n_features)
        The points.
    """
    if len(X) <= m:
        return X.copy()
    if len(X) > max(_KMEANS_ROWS, 4 * m):
        size = max(_KMEANS_ROWS, 4 * m)
        X = X[random_state.choice(len(X), size, replace=False)]
    scale = X.std(axis=0)
    scale[scale == 0] = 1.0
    means = KMeans(m, n_init=1, max_iter=20, random_state=random_state).fit(X / scale)
    return means.cluster_centers_ * scale


def greedy_points(kernel, X, m):
    """Choose rows of X one by one, each where the variance given the others is largest.

    This is Cholesky's factorization of the covariance with complete pivoting, cut off
    after m columns; O(n m^2) time, O(n m) memory.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        The kernel.
    X : ndarray of shape (n, n_features)
        Candidates.
    m : int
        Largest number of points. Fewer are returned when the others add nothing.

    Returns
    -------
    chosen : ndarray of int
        Rows of X.
    """
    n = len(X)
    m = min(m, n)
    rest = diagonal(kernel, X).copy()
    smallest = 1e-10 * rest.max()
    C = np.empty((m, n))
    chosen = []
    for j in range(m):
        pivot = int(np.argmax(rest))
        if rest[pivot] <= smallest and j > 0:
            break
        chosen.append(pivot)
        column = cross(kernel, X[pivot : pivot + 1], X)[0]
        row = column - C[:j].T @ C[:j, pivot]
        row /= np.sqrt(max(rest[pivot], 1e-300))
        C[j] = row
        rest -= row**2
        rest[pivot] = 0.0
    return np.array(chosen)
