r"""Evidence maximization for independent Gaussian priors: EM, MacKay and MM.

With ``Sy = s2 I + H diag(gamma) H^H`` every update needs only
``q = H^H Sy^-1 Y`` and ``s = diag(H^H Sy^-1 H)``, both from one Cholesky factor of
Sy. The functions work with ``gamma * s`` and ``sqrt(gamma) * q``, which are the sums
of squares and the products of one triangular solve.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import get_blas_funcs, get_lapack_funcs, qr, solve_triangular

from sparsestat.bayes._data import square
from sparsestat.exceptions import NumericalError

__all__ = [
    "EvidenceResult",
    "Posterior",
    "compress_rows",
    "compress_targets",
    "final_posterior",
    "maximize_evidence",
    "posterior",
    "posterior_root",
    "stacked_factor",
    "variance_step",
]

GAMMA_FLOOR = 1e-14  # times the variance of y that a column could explain


@dataclass
class Posterior:
    """Quantities of one E-step, for active columns only.

    Parameters
    ----------
    gs : ndarray of shape (k,)
        ``gamma * s``, between 0 and 1.
    gq : ndarray of shape (k, L)
        ``sqrt(gamma) * q``.
    residual : float
        ``||Y - H mu||^2 / L`` within the rows that were given.
    logdet, quad : float
        The two parts of the cost.
    """

    gs: np.ndarray
    gq: np.ndarray
    residual: float
    logdet: float
    quad: float

    @property
    def gqq(self):
        """``gamma * mean_l |q_l|^2``."""
        return square(self.gq).mean(axis=1)

    @property
    def dof(self):
        """Number of well determined parameters."""
        return float(self.gs.sum())


@dataclass
class EvidenceResult:
    """Variances of all columns and the posterior that belongs to them."""

    gamma: np.ndarray
    noise_variance: float
    active: np.ndarray
    mean: np.ndarray
    root: np.ndarray
    dof: float
    change: float
    converged: bool
    n_iter: int
    rounding: float = 0.0
    scores: list = field(default_factory=list)


def posterior(H, Y, gamma, s2, *, buffer=None):
    """E-step by a Cholesky factor of Sy; see :class:`Posterior`.

    Parameters
    ----------
    H : ndarray of shape (m, k), Fortran order
    Y : ndarray of shape (m, L)
    gamma : ndarray of shape (k,)
        All positive.
    s2 : float
        Noise variance.
    buffer : ndarray of shape (m, >= k), Fortran order, default=None
        Scratch.
    """
    k = H.shape[1]
    n_targets = Y.shape[1]
    A = np.empty_like(H, order="F") if buffer is None else buffer[:, :k]
    np.multiply(H, np.sqrt(gamma), out=A)
    L = _noisy_cholesky(A, s2)
    trsm = get_blas_funcs("trsm", (L, A))
    t = trsm(1.0, L, Y, side=0, lower=1)
    # The solve overwrites A; sums of squares follow, so nothing cancels.
    Z = trsm(1.0, L, A, side=0, lower=1, overwrite_b=1)
    gs = np.minimum(_column_squares(Z), 1.0)
    gq = Z.conj().T @ t
    white = trsm(1.0, L, t, side=0, lower=1, trans_a=2 if L.dtype.kind == "c" else 1)
    return Posterior(
        gs=gs,
        gq=gq,
        residual=s2 * s2 * float(square(white).sum()) / n_targets,
        logdet=2.0 * float(np.log(np.diagonal(L).real).sum()),
        quad=float(square(t).sum()) / n_targets,
    )


def _column_squares(Z):
    if Z.dtype.kind == "c":
        return np.einsum("ij,ij->j", Z.real, Z.real) + np.einsum(
            "ij,ij->j", Z.imag, Z.imag
        )
    return np.einsum("ij,ij->j", Z, Z)


def _noisy_cholesky(A, s2):
    """Lower Cholesky factor of ``s2 I + A A^H``, raising s2 only if it must."""
    m = A.shape[0]
    name = "herk" if A.dtype.kind == "c" else "syrk"
    rank_k = get_blas_funcs(name, (A,))
    (potrf,) = get_lapack_funcs(("potrf",), (A,))
    K = rank_k(1.0, A, lower=1)
    diagonal = np.einsum("ii->i", K)
    clean = diagonal.copy()
    noise = s2
    for _ in range(8):
        diagonal[:] = clean + noise
        L, info = potrf(K, lower=1, overwrite_a=0, clean=1)
        if info == 0:
            return L
        # Noise below rounding error of the signal: factor the nearest matrix.
        noise = max(10.0 * noise, 1e-15 * m * float(clean.real.max()))
    raise NumericalError(
        "The covariance of y is not positive definite to working precision. Give "
        "noise_variance, or raise noise_floor."
    )


def posterior_root(H, gamma, s2):
    """Return V, upper triangular up to scaling, with ``V V^H`` the posterior.

    ``I + Gamma^1/2 H^H H Gamma^1/2 / s2`` has eigenvalues of at least one. Its
    Cholesky factor is inverted as a triangle, which is accurate in each column.
    """
    k = H.shape[1]
    scale = np.sqrt(gamma)
    if k == 0:
        return np.zeros((0, 0), dtype=H.dtype)
    A = H * (scale / np.sqrt(s2))
    G = A.conj().T @ A
    G[np.diag_indices(k)] += 1.0
    (potrf,) = get_lapack_funcs(("potrf",), (G,))
    L, info = potrf(G, lower=1, clean=1)
    if info != 0:
        raise NumericalError(
            "The posterior precision is not positive definite to working precision. "
            "Give noise_variance, or raise noise_floor."
        )
    inverse = solve_triangular(L, np.eye(k, dtype=L.dtype), lower=True)
    return scale[:, None] * inverse.conj().T


def stacked_factor(H, gamma, s2):
    """Return Q and R of ``H Gamma^1/2 / s`` on top of the identity.

    No condition number is squared, which matters when the noise is all but zero.
    """
    m, k = H.shape
    stacked = np.zeros((m + k, k), dtype=H.dtype, order="F")
    np.multiply(H, np.sqrt(gamma) / np.sqrt(s2), out=stacked[:m])
    stacked[m:][np.diag_indices(k)] = 1.0
    return qr(stacked, mode="economic", overwrite_a=True, check_finite=False)


def final_posterior(H, Y, gamma, s2):
    """Return V with ``V V^H`` the posterior covariance, and the posterior mean."""
    m, k = H.shape
    if k == 0:
        return np.zeros((0, 0), dtype=H.dtype), np.zeros((0, Y.shape[1]), H.dtype)
    Q, R = stacked_factor(H, gamma, s2)
    inverse = solve_triangular(R, np.eye(k, dtype=R.dtype))
    root = np.sqrt(gamma)[:, None] * inverse
    return root, root @ (Q[:m].conj().T @ Y) / np.sqrt(s2)


def compress_rows(H, Y):
    """Replace tall H by its triangular factor; return the energy left out too."""
    Q, R = qr(H, mode="economic", check_finite=False)
    small = Q.conj().T @ Y
    rest = square(Y - Q @ small).sum() / Y.shape[1]
    return np.asfortranarray(R), small, float(rest)


def compress_targets(Y):
    """Replace many targets by a square root of ``Y Y^H / L``, scaled likewise."""
    m, n_targets = Y.shape
    if n_targets <= m:
        return Y
    R = np.linalg.qr(Y.conj().T, mode="r")
    return R.conj().T * np.sqrt(m / n_targets)


def variance_step(method, gamma, gqq, gs):
    """One update of the variances from ``gamma qbar`` and ``gamma s``."""
    if method == "em":
        return gamma * (gqq + (1.0 - gs))
    ratio = gqq / np.maximum(gs, np.finfo(float).tiny)
    return gamma * (np.sqrt(ratio) if method == "mm" else ratio)


class _Extrapolation:
    """Squared extrapolation of logarithms, taken back when the cost rises.

    Two updates in a row, from a over b to c, suggest a point e further along. Its
    cost comes with the E-step that the next update needs anyway; if it is not below
    that of b, the iteration goes on from c.
    """

    def __init__(self, active, noise_floor):
        self.active, self.floor = active, noise_floor
        self.first = self.fallback = None
        self.longest = 4.0

    def refuses(self, cost):
        return self.fallback is not None and not cost <= self.cost

    def retreat(self):
        self.longest = max(0.5 * self.longest, 2.0)
        point, self.fallback, self.first = self.fallback, None, None
        return point

    def propose(self, gamma, s2, new, new_s2, cost):
        """Return the next point to evaluate."""
        if not self.active:
            return new, new_s2
        if self.fallback is not None:  # e was accepted, and is the next a
            self.longest = min(1.5 * self.longest, 64.0)
            self.fallback = self.first = None
        if self.first is None:
            self.first = gamma, s2
            return new, new_s2
        a = np.log(np.append(*self.first))
        b, c = np.log(np.append(gamma, s2)), np.log(np.append(new, new_s2))
        r, v = b - a, (c - b) - (b - a)
        length = np.linalg.norm(r) / max(np.linalg.norm(v), 1e-300)
        length = min(max(length, 1.0), self.longest)
        e = a + 2.0 * length * r + length**2 * v
        # No coordinate goes further than the longest step of its own.
        e = np.clip(e, c - 2.0 * self.longest, c + 2.0)
        e = np.exp(e)
        self.fallback, self.cost = (new, new_s2), cost
        return e[:-1], max(e[-1], self.floor)

    def cut(self, keep):
        """Follow the columns that were dropped."""
        for name in ("first", "fallback"):
            point = getattr(self, name)
            if point is not None:
                setattr(self, name, (point[0][keep], point[1]))


def maximize_evidence(
    H,
    Y,
    *,
    method,
    gamma_init,
    noise,
    stop,
    total,
    prune_tol,
    accelerate=False,
):
    """Maximize the evidence over variances and, if wanted, the noise.

    Parameters
    ----------
    H : ndarray of shape (m, n), Fortran order
        No zero columns.
    Y : ndarray of shape (m, L)
        Targets.
    method : {"em", "mackay", "mm"}
        Update of the variances.
    gamma_init : float or ndarray of shape (n,)
        Starting variances.
    noise : Noise
        The noise variance, given or learned.
    stop : Stop
        When to end; its step is told the relative change.
    total : float
        Observations for each target that the noise step counts.
    prune_tol : float
        Variances below are dropped, relative to the largest.
    accelerate : bool, default=False
        Extrapolate logarithms of variances (SQUAREM), with the cost as safeguard.
    """
    n = H.shape[1]
    learn, s2 = noise.learns, noise.first
    H_all, Y_all = H, Y
    Y = compress_targets(Y)
    gamma = np.full(n, float(gamma_init)) if np.ndim(gamma_init) == 0 else gamma_init
    gamma = np.array(gamma, dtype=float)
    index = np.arange(n)
    H, Y, rest = _shrink(H, Y, 0.0)
    buffer = np.empty_like(H, order="F")
    leap = _Extrapolation(accelerate, noise.floor)
    scores, change, converged = [], np.inf, False
    n_iter = 0
    while True:
        if len(gamma) == 0:
            change, converged = 0.0, True
            if learn:
                s2 = max(square(Y).sum() / Y.shape[1] + rest, 0.0) / total
                s2 = max(s2, noise.floor)
            dof = 0.0
            break
        found = posterior(H, Y, gamma, s2, buffer=buffer)
        n_iter += 1
        missing = total - H.shape[0]
        cost = found.logdet + missing * np.log(s2) + found.quad + rest / s2
        if leap.refuses(cost):
            gamma, s2 = leap.retreat()
        else:
            scores.append(cost)
            dof = found.dof
            new = variance_step(method, gamma, found.gqq, found.gs)
            new_s2 = s2
            if learn:
                new_s2 = _noise_step(method, found, rest, s2, total, noise.floor)
            size = np.linalg.norm(gamma)
            change = float(np.linalg.norm(new - gamma) / size)
            if learn:
                change = max(change, abs(new_s2 - s2) / max(s2, new_s2))
            asked = stop.asked(change)
            if change <= stop.tol:
                converged = True
                break
            if asked or n_iter > stop.max_iter:
                break
            gamma, s2 = leap.propose(gamma, s2, new, new_s2, cost)
        keep = (gamma >= prune_tol * gamma.max()) & (gamma > GAMMA_FLOOR)
        if not keep.all():
            gamma, index = gamma[keep], index[keep]
            leap.cut(keep)
            # Compact in place: the memory of H is our own.
            kept = np.flatnonzero(keep)
            H[:, : len(kept)] = H[:, kept]
            H = H[:, : len(kept)]
            if len(kept) < 0.8 * H.shape[0]:
                H, Y, rest = _shrink(H, Y, rest)
                buffer = np.empty_like(H, order="F")
    active = H_all[:, index]
    root, mean = final_posterior(active, Y_all, gamma, s2)
    full = np.zeros(n)
    full[index] = gamma
    return EvidenceResult(
        gamma=full,
        noise_variance=float(s2),
        active=index,
        mean=mean,
        root=root,
        dof=dof,
        change=change,
        converged=converged,
        n_iter=min(n_iter, stop.max_iter),
        scores=scores,
    )


def _shrink(H, Y, rest):
    """Make H own its memory, and no taller than it is wide."""
    if H.shape[0] > H.shape[1]:
        H, Y, left = compress_rows(H, Y)
        return H, Y, rest + left
    return np.array(H, order="F"), Y, rest


def _noise_step(method, found, rest, s2, total, floor):
    error = found.residual + rest
    if method == "mackay":
        new = error / max(total - found.dof, 1e-2 * total)
    else:
        new = (error + s2 * found.dof) / total
    return max(new, floor)
