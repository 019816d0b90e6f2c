r"""Maximize the l_p norm of codes over matrices with orthonormal rows.

The objective is :math:`f(A) = \frac{1}{N} \sum_i \|A P (y_i - m)\|_p^p` with
:math:`A A^\top = I`, where P whitens (or is the identity) and m is a mean (or zero).
f is convex, so a full Frank-Wolfe step never lowers it, and its maximum over the
spectral ball is attained at a matrix with orthonormal rows.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np

from sparsestat.exceptions import NumericalError

__all__ = [
    "BLOCK_ROWS",
    "GrowingMemory",
    "MSPResult",
    "codes_of",
    "frank_wolfe_gap",
    "lp_gradient",
    "lp_value",
    "maximize_lp",
    "moved",
    "polar",
    "random_stiefel",
    "step_sizes",
    "whitening_from",
]

BLOCK_ROWS = 8192
# Directions with less than this share of the largest variance carry no signal.
SINGULAR = 1e-10


def polar(G, near=None):
    """Return the orthonormal polar factor ``U V^T`` of G and its nuclear norm.

    The factor maximizes ``<S, G>`` over the spectral ball. Where G is rank
    deficient it is not unique: of all maximizers the one closest to `near` is then
    returned, so that rounding does not decide, or without it the one the SVD gives.
    """
    U, s, Vt = np.linalg.svd(G, full_matrices=False)
    rank = int(np.sum(s > 10 * max(G.shape) * np.finfo(float).eps * s[0]))
    if near is None or rank == len(s):
        return U @ Vt, float(s.sum())
    U, Vt = U[:, :rank], Vt[:rank]
    rest = near - U @ (U.conj().T @ near)
    rest -= (rest @ Vt.conj().T) @ Vt
    free = len(s) - rank
    U_rest, _, Vt_rest = np.linalg.svd(rest, full_matrices=False)
    return U @ Vt + U_rest[:, :free] @ Vt_rest[:free], float(s.sum())


def random_stiefel(n_components, n_features, rng, *, is_complex=False):
    """Draw orthonormal rows uniformly (QR with its signs or phases fixed)."""
    M = rng.standard_normal((n_features, n_features))
    if is_complex:
        M = M + 1j * rng.standard_normal((n_features, n_features))
    Q, R = np.linalg.qr(M)
    diagonal = np.diag(R)
    signs = diagonal / np.abs(diagonal)
    return np.ascontiguousarray((Q * signs).T[:n_components])


def step_sizes(step, schedule):
    """Return the averaging weight and the Frank-Wolfe step of mini-batch `step`.

    Both are cut at 1, so that the averaged gradient stays an average and the
    iterate never leaves the spectral ball.
    """
    if schedule == "nonconvex":
        rho, gamma = 4.0 / (step + 1) ** 0.5, 2.0 / (step + 2) ** 0.75
    else:
        rho, gamma = 4.0 / (step + 8) ** (2.0 / 3.0), 2.0 / (step + 8)
    return min(1.0, rho), min(1.0, gamma)


class GrowingMemory:
    """Averaging weights that fall once the objective has stopped rising.

    Full steps are taken along gradients averaged over few mini-batches at first.
    The memory then grows with every step like that of a plain mean, and is halved
    whenever the objective, on batches before they are used, was significantly larger
    in the second half of it than in the first.

    Parameters
    ----------
    batch_size, n_features : int
        The first memory covers at least as many samples as there are features.
    """

    longest = 1000  # objectives kept

    def __init__(self, batch_size, n_features):
        self.first = max(1.0 / 0.7, n_features / batch_size)
        self.wait = int(np.ceil(20 * self.first))
        self.length = 0
        self.values = []

    def weight(self, value):
        """Return the weight of a gradient, given the objective on its batch."""
        self.values = [*self.values[-self.longest + 1 :], value]
        self.length += 1
        m = len(self.values)
        if m >= self.wait and m == self.length:
            half = m // 2
            values = np.array(self.values)
            noise = np.sqrt(np.mean(np.diff(values) ** 2) / 2.0)
            rise = values[-half:].mean() - values[: m - half].mean()
            if rise > 2.5 * noise * 2.0 / np.sqrt(m):
                self.values, self.length = self.values[-half:], half
        return 1.0 / (self.first + max(0, self.length - self.wait))


def moved(X, center):
    """Return samples in double precision, less all that can be taken off them.

    Powers of codes and sums of them are no place for single precision, and far from
    the origin products lose the digits that a mean taken off later needs.
    """
    if center is None:
        return X.astype(np.result_type(X.dtype, np.float64), copy=False)
    return center.apply(X)


def codes_of(X, operator, center):
    """Return ``(X - mean) operator^T`` of moved samples, without densifying X."""
    Z = np.asarray(X @ operator.T)
    if center is not None and center.mean.any():
        Z = Z - operator @ center.mean
    return Z


def _power(Z, p):
    """Return ``sign(Z) |Z|^(p - 1)``."""
    if Z.dtype.kind == "c":
        return Z * _squares(Z) if p == 4 else Z * np.abs(Z) ** (p - 2)
    if p == 3:
        return Z * np.abs(Z)
    if p == 4:
        return Z * Z * Z
    return np.sign(Z) * np.abs(Z) ** (p - 1)


def _squares(Z):
    return Z.real**2 + Z.imag**2 if Z.dtype.kind == "c" else Z * Z


def _sum_of_powers(Z, p, weights):
    if p == 4:
        squares = _squares(Z)
        powers = np.einsum("ij,ij->i", squares, squares, dtype=np.float64)
    elif p == 3:
        powers = np.einsum("ij,ij->i", _squares(Z), np.abs(Z), dtype=np.float64)
    else:
        powers = (np.abs(Z) ** p).sum(axis=1, dtype=np.float64)
    return powers.sum() if weights is None else weights @ powers


def lp_gradient(X, A, p, *, weights=None, whitening=None, center=None):
    r"""Return the gradient of the mean l_p objective without its factor p, and f.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Rows are samples. Visited in blocks: no second matrix of its size is made.
    A : ndarray of shape (n_components, n_features)
        Orthonormal rows; complex when X is.
    p : float
        Exponent, above 2.
    weights : ndarray of shape (n_samples,), default=None
        Sample weights.
    whitening : ndarray of shape (n_features, n_features), default=None
        Symmetric preconditioner P.
    center : Standardization, default=None
        Taken off every sample.

    Returns
    -------
    gradient : ndarray of shape (n_components, n_features)
        With respect to A, in the whitened coordinates.
    value : float
        f(A).
    """
    operator = A if whitening is None else A @ whitening
    gradient = np.zeros_like(A)
    value = 0.0
    total = X.shape[0] if weights is None else weights.sum()
    # Powers may overflow: the caller says so, by the value.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, X.shape[0], BLOCK_ROWS):
            block = X[start : start + BLOCK_ROWS] if X.shape[0] > BLOCK_ROWS else X
            block = moved(block, center)
            Z = codes_of(block, operator, center)
            w = None if weights is None else weights[start : start + BLOCK_ROWS]
            value += _sum_of_powers(Z, p, w)
            T = _power(Z, p)
            if w is not None:
                T *= w[:, None].astype(T.dtype)
            # (X^T T)^T keeps the sparse operand on the left.
            dense = isinstance(block, np.ndarray)
            gradient += T.T @ block.conj() if dense else (block.T @ T).T
            if center is not None and center.mean.any():
                gradient -= np.outer(T.sum(axis=0), center.mean.conj())
    if total <= 0:
        return gradient, 0.0
    gradient /= total
    if whitening is not None:
        gradient = gradient @ whitening
    if not np.isfinite(gradient).all():
        raise _overflow("The gradient of the l_p objective", p)
    return gradient, float(value / total)


def lp_value(X, A, p, *, whitening=None, center=None):
    """Return the mean over samples of the p-th powers of the codes."""
    operator = A if whitening is None else A @ whitening
    with np.errstate(over="ignore", invalid="ignore"):
        blocks = (X[s : s + BLOCK_ROWS] for s in range(0, X.shape[0], BLOCK_ROWS))
        value = sum(
            _sum_of_powers(codes_of(moved(block, center), operator, center), p, None)
            for block in blocks
        )
    if not np.isfinite(value):
        raise _overflow("The l_p objective", p)
    return float(value / X.shape[0])


def _overflow(what, p):
    return NumericalError(
        f"{what} overflowed at p = {p:g}. Scale the data to unit variance, or lower p."
    )


def frank_wolfe_gap(gradient, A):
    """Return ``(||G||_* - <A, G>) / n_components``, zero at a stationary point."""
    nuclear = np.linalg.svd(gradient, compute_uv=False).sum()
    return max(float(nuclear - np.vdot(A, gradient).real) / A.shape[0], 0.0)


def whitening_from(covariance, n_components, reduce_rank):
    """Return the symmetric inverse square root of a covariance, and its root.

    Parameters
    ----------
    covariance : ndarray of shape (n_features, n_features)
        Second moments.
    n_components : int
        Number of atoms wanted.
    reduce_rank : bool
        Whether directions without variance may be left out. They are refused
        otherwise, and when fewer than `n_components` are left.

    Returns
    -------
    whitening, coloring : ndarray of shape (n_features, n_features)
        The inverse square root P, and its (pseudo) inverse.
    """
    values, vectors = np.linalg.eigh(covariance)
    keep = values > SINGULAR * max(values[-1], 0.0)
    rank = int(keep.sum())
    if rank < len(values) and not (reduce_rank and n_components <= rank):
        raise ValueError(
            f"The covariance is singular: only {rank} of {len(values)} directions "
            f"have more than {SINGULAR:.0e} of the largest variance, but whitening "
            f"for {n_components} atoms needs "
            f"{n_components if reduce_rank else len(values)}. "
            f"Pass n_components <= {rank}, more samples, or precondition=False."
        )
    root = np.sqrt(np.where(keep, values, 1.0))
    adjoint = vectors.conj().T
    whitening = (vectors * np.where(keep, 1.0 / root, 0.0)) @ adjoint
    coloring = (vectors * np.where(keep, root, 0.0)) @ adjoint
    return whitening, coloring


@dataclass(frozen=True)
class MSPResult:
    """One run of matching, stretching and projection.

    Parameters
    ----------
    A : ndarray of shape (n_components, n_features)
        Orthonormal rows.
    gradient : ndarray of shape (n_components, n_features)
        Gradient at A.
    objective : float
        f(A).
    move : float
        Last ``||A_new - A||_F / sqrt(n_components)``.
    rise : float
        Last rise of the objective, relative to it.
    n_iter : int
        Number of full steps.
    history : list of float
        f at each iterate, never decreasing.
    """

    A: np.ndarray
    gradient: np.ndarray
    objective: float
    move: float
    rise: float
    n_iter: int
    history: list

    @property
    def change(self):
        """The smaller of the last rise and the last move."""
        return min(self.rise, self.move)


def maximize_lp(
    X, A, p, *, weights=None, whitening=None, center=None, tol, max_iter, step=None
):
    """Iterate ``A <- polar(gradient(A))`` until A or its objective stands still.

    Parameters
    ----------
    X, A, p, weights, whitening, center
        As in :func:`lp_gradient`; A is the start.
    tol : float
        Stop when the objective rises by at most `tol` times itself, or A moves by at
        most ``tol * sqrt(n_components)``.
    max_iter : int
        Largest number of steps.
    step : callable, default=None
        Called with the objective after each step; returning True stops.

    Returns
    -------
    result : MSPResult
    """
    options = {"weights": weights, "whitening": whitening, "center": center}
    gradient, value = lp_gradient(X, A, p, **options)
    history, move, rise, n_iter = [value], np.inf, np.inf, 0
    for n_iter in range(1, max_iter + 1):  # noqa: B007 - used after the loop
        if not gradient.any():
            move = rise = 0.0  # all codes are zero: every A is as good
            break
        A_new, _ = polar(gradient, A)
        move = float(np.linalg.norm(A_new - A) / np.sqrt(A.shape[0]))
        A = A_new
        gradient, value = lp_gradient(X, A, p, **options)
        rise = max((value - history[-1]) / value, 0.0) if value > 0 else 0.0
        history.append(value)
        if (step is not None and step(value)) or min(move, rise) <= tol:
            break
    return MSPResult(A, gradient, value, move, rise, n_iter, history)
