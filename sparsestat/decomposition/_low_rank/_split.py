r"""Split a matrix into a low-rank and a sparse part, three ways.

Principal component pursuit minimizes :math:`\|L\|_* + \lambda \|S\|_1` subject to
L + S = D, and is convex. Alternating projections and GoDec fix the rank.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field, replace
from numbers import Integral, Real

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import svds
from sklearn.utils import check_random_state

from sparsestat._utils.arithmetic import power_of_two
from sparsestat._utils.compat import Interval, align_sparse_interface, validate_params
from sparsestat._utils.validation import (
    LARGEST_ENTRY,
    check_magnitude,
    largest_entry,
    read_only,
)
from sparsestat.decomposition._codes import check_matrix
from sparsestat.decomposition._low_rank import _kernels_threshold as kernels
from sparsestat.decomposition._projections import places_of_largest

_RELAXATION = 1.6  # saves a third of the steps where there are hundreds
_BLOCK_ROWS = 64  # of the matrix visited at a time, so that they stay in cache

__all__ = [
    "LowRankPlusSparse",
    "alternating_projections",
    "go_dec",
    "leading_triples",
    "low_rank_plus_sparse",
    "power_steps",
    "principal_component_pursuit",
]


@dataclass(frozen=True, repr=False)
class LowRankPlusSparse:
    """A low-rank and a sparse matrix whose sum is close to the input.

    Parameters
    ----------
    low_rank : ndarray of shape (n_rows, n_columns)
        The low-rank part.
    sparse : csr_array of shape (n_rows, n_columns)
        The sparse part.
    components : ndarray of shape (rank, n_columns)
        Orthonormal rows that span those of the low-rank part.
    singular_values : ndarray of shape (rank,)
        Singular values of the low-rank part.
    residual : float
        ``||M - low_rank - sparse||_F / ||M||_F``.
    n_iter : int
        Number of iterations.
    converged : bool
        Whether the tolerance was met.
    history : list of float
        What was compared with the tolerance at each iteration.
    dual : ndarray or None
        Feasible dual point of principal component pursuit.
    objective, dual_objective : float
        Both sides of the duality gap, NaN for the other methods.
    """

    low_rank: np.ndarray
    sparse: sparse.csr_array
    components: np.ndarray
    singular_values: np.ndarray
    residual: float
    n_iter: int
    converged: bool
    history: list = field(default_factory=list)
    dual: np.ndarray | None = None
    objective: float = np.nan
    dual_objective: float = np.nan

    def __repr__(self):
        return (
            f"LowRankPlusSparse(rank={len(self.singular_values)}, "
            f"nnz={self.sparse.nnz}, residual={self.residual:.1e})"
        )


def _svt(M, threshold, guess, rng):
    """Return the singular triples of M above a threshold, and its other norm bound.

    A truncated decomposition is tried when the rank is expected to be small, and
    kept only if it reaches below the threshold.
    """
    small = min(M.shape)
    if guess < small / 5 and small > 50:
        k = guess + 1
        U, s, Vt = svds(M, k=k, v0=rng.standard_normal(small), solver="arpack")
        order = np.argsort(-s)
        U, s, Vt = U[:, order], s[order], Vt[order]
        if s[-1] <= threshold:
            keep = s > threshold
            return U[:, keep], s[keep] - threshold, Vt[keep], int(keep.sum()) + 1
    U, s, Vt = linalg.svd(M, full_matrices=False, check_finite=False)
    rank = int((s > threshold).sum())
    guess = min(rank + 1 if rank < guess else rank + max(1, small // 20), small)
    return U[:, :rank], s[:rank] - threshold, Vt[:rank], guess


def _dual_bound(Y, D, lam, observed, exact_norm):
    """Scale Y into the feasible set and return its dual objective."""
    worst = np.abs(Y).max() / lam if lam > 0 else 1.0
    if exact_norm:
        worst = max(worst, np.linalg.norm(Y, 2))
    scale = max(worst, 1.0)
    return float(np.vdot(Y, D if observed is None else D * observed)) / scale, scale


def principal_component_pursuit(
    D, lam, *, observed=None, tol=1e-6, max_iter=1000, rng=None, step=None
):
    """Minimize the nuclear norm plus `lam` times the l1 norm, with a duality gap.

    The augmented Lagrangian method with one pass over both blocks an iteration.
    Its penalty grows while the constraint lags behind and shrinks while the
    objective does, so that it neither stops early nor crawls; steps are longer after
    the first twenty.

    Parameters
    ----------
    D : ndarray of shape (n_rows, n_columns)
        The matrix; entries that are not observed are ignored.
    lam : float
        Weight of the l1 norm.
    observed : ndarray of bool, default=None
        Which entries are known; None means all.
    tol : float
        Stop when the duality gap is at most ``tol * objective`` and the residual
        at most ``tol * ||D||_F``.
    max_iter : int
        Largest number of iterations.
    rng : RandomState, default=None
        Draws start vectors of truncated decompositions.
    step : callable, default=None
        Called with the relative gap; returning True stops.

    Returns
    -------
    result : LowRankPlusSparse
    """
    rng = check_random_state(rng)
    if observed is not None:
        D = np.where(observed, D, 0.0)
    scale = np.linalg.norm(D)
    if scale == 0:
        return _empty(D)
    top = np.linalg.norm(D, 2)
    Y = D / max(top, np.abs(D).max() / lam)
    mu, mu_max = 1.25 / top, 1.25e7 / top
    S = np.zeros_like(D)
    guess, best_dual, history, converged = 10, -np.inf, [], False
    best_Y, n_iter = Y, 0
    for n_iter in range(1, max_iter + 1):
        M = D - S + Y / mu
        U, s, Vt, guess = _svt(M, 1.0 / mu, guess, rng)
        L = (U * s) @ Vt
        # The multiplier before the l1 step has spectral norm at most 1; after it,
        # entries at most lam. Either can be scaled to a feasible dual point.
        if observed is None:
            Z = mu * (M - L)
            bound, shrink = _dual_bound(Z, D, lam, None, False)
            if bound > best_dual:
                best_dual, best_Y = bound, Z / shrink
        S_old = S
        ahead = L if n_iter <= 20 else _RELAXATION * (L - D + S) + D - S
        R = D - ahead + Y / mu
        S = np.sign(R) * np.maximum(np.abs(R) - lam / mu, 0.0)
        if observed is not None:
            S = np.where(observed, S, R)
        residual = D - L - S
        Y = Y + mu * (D - ahead - S)
        if observed is not None:
            residual = np.where(observed, residual, 0.0)
            Y = np.where(observed, Y, 0.0)
            if n_iter % 5 == 0 or n_iter == max_iter:
                bound, shrink = _dual_bound(Y, D, lam, observed, True)
                if bound > best_dual:
                    best_dual, best_Y = bound, Y / shrink
        misfit = D - L if observed is None else (D - L) * observed
        primal = float(s.sum() + lam * np.abs(misfit).sum())
        gap = (primal - best_dual) / primal
        history.append(gap)
        lag = np.linalg.norm(residual) / scale
        drift = mu * np.linalg.norm(S - S_old) / max(np.linalg.norm(Y), 1e-300)
        if (step is not None and step(gap)) or (gap <= tol and lag <= tol):
            converged = bool(gap <= tol and lag <= tol)
            break
        # Balanced penalties; frozen late, where only a constant one surely converges.
        if n_iter <= 300:
            if lag > drift:
                mu = min(1.5 * mu, mu_max)
            elif drift > 4.0 * lag:
                mu /= 1.5
    # Certify with an exact norm: a truncated decomposition is only accurate.
    norm = max(np.linalg.norm(best_Y, 2), np.abs(best_Y).max() / lam, 1.0)
    best_Y = best_Y / norm
    dual = float(np.vdot(best_Y, D))
    converged = converged and (primal - dual) / primal <= tol
    if observed is not None:
        S = np.where(observed, S, 0.0)
    return LowRankPlusSparse(
        L,
        sparse.csr_array(S),
        Vt,
        s,
        float(lag),
        n_iter,
        bool(converged),
        history,
        best_Y,
        primal,
        dual,
    )


def _empty(D):
    return LowRankPlusSparse(
        np.zeros_like(D),
        sparse.csr_array(D.shape),
        np.zeros((0, D.shape[1])),
        np.zeros(0),
        0.0,
        1,
        True,
        [0.0],
        np.zeros_like(D),
        0.0,
        0.0,
    )


def leading_triples(M, rank, rng):
    """Return the leading singular triples, largest first."""
    if rank < min(M.shape) / 5:
        U, s, Vt = svds(M, k=rank, v0=rng.standard_normal(min(M.shape)))
        order = np.argsort(-s)
        return U[:, order], s[order], Vt[order]
    U, s, Vt = linalg.svd(M, full_matrices=False, check_finite=False)
    return U[:, :rank], s[:rank], Vt[:rank]


def _tangent_products(D, U, s, V, zeta):
    """Threshold D - L for ``L = U diag(s) V^T``, a block of rows at a time.

    Returns ``Z V`` and ``Z^T U`` for Z the matrix less its errors above `zeta`, and
    the squared norm of what is neither in L nor in them. Neither L nor Z is held.
    """
    ZV, ZtU, rest = np.empty_like(U), np.zeros_like(V), 0.0
    buffer = np.empty((min(_BLOCK_ROWS, len(D)), D.shape[1]))
    Us, Vt = U * s, np.ascontiguousarray(V.T)
    for start in range(0, len(D), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        Z = np.matmul(Us[rows], Vt, out=buffer[: len(D) - start])
        rest += kernels.clip_gross_errors(read_only(D[rows]), zeta, Z)[1]
        ZV[rows] = Z @ V
        ZtU += Z.T @ U[rows]
    return ZV, ZtU, rest


def _trim(U, s, V, incoherence):
    """Clip the rows of the factors to an incoherence, and orthonormalize again."""
    rank = len(s)
    clipped = []
    for F in (U, V):
        bar = np.sqrt(incoherence * rank / len(F))
        sizes = np.linalg.norm(F, axis=1, keepdims=True)
        clipped.append(F * np.minimum(1.0, bar / np.maximum(sizes, 1e-300)))
    QU, RU = np.linalg.qr(clipped[0])
    QV, RV = np.linalg.qr(clipped[1])
    Um, s, Vmt = np.linalg.svd((RU * s) @ RV.T)
    return QU @ Um, s, QV @ Vmt.T


def alternating_projections(
    D,
    rank,
    *,
    decay=0.7,
    incoherence=None,
    tol=1e-6,
    max_iter=200,
    rng=None,
    step=None,
):
    """Alternate thresholding and projection onto tangent spaces, at a known rank.

    Parameters
    ----------
    D : ndarray of shape (n_rows, n_columns)
        The matrix.
    rank : int
        Rank of the low-rank part.
    decay : float
        Factor by which the threshold falls.
    incoherence : float, default=None
        Bound mu on the squared row norms of the singular vectors, mu rank / n_rows
        and mu rank / n_columns; rows beyond it are clipped. None clips none.
    tol : float
        Stop when ``||D - L - S||_F <= tol * ||D||_F``.
    max_iter : int
        Largest number of iterations.
    rng : RandomState, default=None
        Draws start vectors.
    step : callable, default=None
        Called with the relative residual; returning True stops.

    Returns
    -------
    result : LowRankPlusSparse
    """
    rng = check_random_state(rng)
    scale = np.linalg.norm(D)
    if scale == 0:
        return _empty(D)
    D = np.ascontiguousarray(D)
    beta = 1.0 / (2.0 * (D.shape[0] * D.shape[1]) ** 0.25)
    top = leading_triples(D, 1, rng)[1][0]
    Z = np.zeros_like(D)
    kernels.clip_gross_errors(read_only(D), 4.0 * beta * top, Z)
    U, s, Vt = leading_triples(Z, rank, rng)
    del Z
    V = Vt.T
    zeta = beta * s[0]
    ZV, ZtU, rest = _tangent_products(D, U, s, V, zeta)
    history, n_iter = [np.sqrt(rest) / scale], 0
    # Thresholds go below the rounding error of L only for data without a gap.
    for n_iter in range(1, max_iter + 1):
        if history[-1] <= tol:
            break
        if incoherence is not None:
            U, s, V = _trim(U, s, V, incoherence)
            ZV, ZtU, _ = _tangent_products(D, U, s, V, zeta)
        core = U.T @ ZV
        Q2, R2 = np.linalg.qr(ZV - U @ core)
        Q1, R1 = np.linalg.qr(ZtU - V @ core.T)
        M = np.block([[core, R1.T], [R2, np.zeros((rank, rank))]])
        Um, sm, Vmt = np.linalg.svd(M)
        U = np.hstack([U, Q2]) @ Um[:, :rank]
        V = np.hstack([V, Q1]) @ Vmt[:rank].T
        s = sm[:rank]
        zeta = beta * (sm[rank] + decay**n_iter * sm[0])
        ZV, ZtU, rest = _tangent_products(D, U, s, V, zeta)
        history.append(np.sqrt(rest) / scale)
        if step is not None and step(history[-1]):
            break
    L = (U * s) @ V.T
    S = D - L
    S[np.abs(S) <= zeta] = 0.0
    return LowRankPlusSparse(
        L,
        sparse.csr_array(S),
        np.ascontiguousarray(V.T),
        s,
        float(history[-1]),
        n_iter,
        bool(history[-1] <= tol),
        history,
    )


def power_steps(M, V, n_steps):
    """Return singular triples of the projection of M on a subspace near its leading.

    Products with M alternate; the best matrix in the subspace is not farther from M
    than the one with row space V was.
    """
    for _ in range(n_steps):
        Q = np.linalg.qr(M @ V)[0]
        B = M.T @ Q
        V = np.linalg.qr(B)[0]
    W, s, Ut = np.linalg.svd(B, full_matrices=False)
    return Q @ Ut.T, s, np.ascontiguousarray(W.T)


def go_dec(M, rank, k, *, tol=1e-7, max_iter=200, rng=None, step=None):
    """Alternate a low-rank and the best k-sparse approximation.

    Where the rank is below a fifth of the smaller side, the low-rank step is two
    power steps from the last row space, or ten from a random one at first.

    Parameters
    ----------
    M : ndarray of shape (n_rows, n_columns)
        The matrix.
    rank, k : int
        Rank of one part, number of entries of the other.
    tol : float
        Stop when the squared error falls by at most ``tol * ||M||_F^2``.
    max_iter : int
        Largest number of iterations.
    rng : RandomState, default=None
        Draws start vectors.
    step : callable, default=None
        Called with the relative residual; returning True stops.

    Returns
    -------
    result : LowRankPlusSparse
        ``history`` holds relative residuals, which never rise.
    """
    rng = check_random_state(rng)
    scale = np.linalg.norm(M)
    if scale == 0:
        return _empty(M)
    S = np.zeros_like(M)
    history, converged, n_iter = [], False, 0
    randomized = rank < min(M.shape) / 5
    Vt = rng.standard_normal((rank, M.shape[1])) if randomized else None
    for n_iter in range(1, max_iter + 1):
        if randomized:
            U, s, Vt = power_steps(M - S, Vt.T, 10 if n_iter == 1 else 2)
        else:
            U, s, Vt = leading_triples(M - S, rank, rng)
        L = (U * s) @ Vt
        rest = M - L
        S = np.zeros_like(M)
        chosen = places_of_largest(rest.ravel(), min(k, rest.size))
        S.ravel()[chosen] = rest.ravel()[chosen]
        history.append(float(np.linalg.norm(rest - S) / scale))
        if step is not None and step(history[-1]):
            break
        small = n_iter > 1 and history[-2] ** 2 - history[-1] ** 2 <= tol**2
        if small or history[-1] <= tol:
            converged = True
            break
    return LowRankPlusSparse(
        L, sparse.csr_array(S), Vt, s, history[-1], n_iter, converged, history
    )


@validate_params(
    {
        "M": ["array-like"],
        "rank": [Interval(Integral, 1, None, closed="left")],
        "k": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def low_rank_plus_sparse(M, rank, k, *, tol=1e-7, max_iter=200, random_state=None):
    r"""Approximate a matrix by one of given rank plus one with k entries.

    Lowers :math:`\|M - L - S\|_F` alternately over L and S: over S exactly, over L by
    a decomposition, or where the rank is small by power steps from a random start.
    The error never rises; the problem is not convex, and the answer may be a local
    minimum. Use :class:`RobustPCA` when neither rank nor number is known.

    Parameters
    ----------
    M : array-like of shape (n_rows, n_columns)
        The matrix.
    rank : int
        Rank of L.
    k : int
        Number of entries of S.
    tol : float, default=1e-7
        Stop when the squared error relative to that of zero falls by at most the
        square of `tol` in one iteration, or is below it.
    max_iter : int, default=200
        Largest number of iterations.
    random_state : int, RandomState instance or None, default=None
        Draws start vectors of truncated decompositions.

    Returns
    -------
    result : LowRankPlusSparse
        With ``low_rank``, ``sparse``, ``components``, ``singular_values``,
        ``residual``, ``n_iter``, ``converged`` and ``history``.

    See Also
    --------
    RobustPCA : As an estimator, with a convex method.

    References
    ----------
    .. [1] T. Zhou, D. Tao, "GoDec: randomized low-rank & sparse matrix decomposition
       in noisy case", ICML, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import low_rank_plus_sparse
    >>> rng = np.random.default_rng(0)
    >>> M = np.outer(rng.standard_normal(20), rng.standard_normal(30))
    >>> M[3, 4] += 10.0
    >>> low_rank_plus_sparse(M, 1, 1, random_state=0).sparse.nonzero()
    (array([3]...), array([4]...))
    """
    M = check_matrix(M, "M", dtype=(np.float64,))
    check_magnitude(M, name="M", largest=LARGEST_ENTRY)
    unit = power_of_two(largest_entry(M))
    if rank > min(M.shape):
        raise ValueError(f"rank={rank} exceeds the smaller side of M, {min(M.shape)}.")
    result = go_dec(
        M / unit,
        rank,
        k,
        tol=tol,
        max_iter=max_iter,
        rng=check_random_state(random_state),
    )
    result = in_units(result, unit)
    object.__setattr__(result, "sparse", align_sparse_interface(result.sparse))
    return result


def in_units(result, unit):
    """Return the parts of a matrix that was divided by a power of two."""
    return replace(
        result,
        low_rank=result.low_rank * unit,
        sparse=result.sparse * unit,
        singular_values=result.singular_values * unit,
        objective=result.objective * unit,
        dual_objective=result.dual_objective * unit,
    )
