r"""Evidence maximization for Kronecker-structured designs and variances.

``y = (H_1 kron ... kron H_I) x + e`` with ``x ~ N(0, diag(gamma_1 kron ... ))``.
Everything happens at the size of the factors, of y and of x.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
from dataclasses import dataclass, field

import numpy as np

from sparsestat._utils.validation import read_only
from sparsestat.bayes import _kernels_kronecker as kernels
from sparsestat.bayes import _kronecker_many as many
from sparsestat.bayes._data import square
from sparsestat.bayes._evidence import GAMMA_FLOOR

__all__ = [
    "KroneckerResult",
    "Problem",
    "final_posterior",
    "maximize",
    "mode_product",
    "starts",
]

_CODES = {"am": kernels.AM, "svd": kernels.SVD, "mm": kernels.MM}
_NO_COUPLING = np.empty((0, 0))
MAX_RISES = 5
_SPREAD = 2.0  # standard deviation of the logarithms of random starts


def mode_product(X, factors):
    """Contract mode i of X with the columns of ``factors[i]``; later modes stay."""
    tail = X.shape[len(factors) :]
    order = np.argsort([A.shape[0] / A.shape[1] for A in factors], kind="stable")
    X = X.reshape(*X.shape[: len(factors)], -1)
    for i in order:
        before = int(np.prod(X.shape[:i], dtype=int))
        after = int(np.prod(X.shape[i + 1 :], dtype=int))
        shape = (*X.shape[:i], factors[i].shape[0], *X.shape[i + 1 :])
        X = (factors[i] @ X.reshape(before, X.shape[i], after)).reshape(shape)
    return X.reshape(*X.shape[: len(factors)], *tail)


@dataclass
class Problem:
    """A validated and scaled problem.

    Parameters
    ----------
    factors : list of ndarray of shape (m_i, n_i)
        Columns of mean square one; zero columns are gone.
    Y : ndarray of shape (L, m_1, ..., m_I)
        Targets in front, mean square one.
    couplings : list of ndarray or None
        ``gamma_i = C_i r_i`` where there is a C_i.
    nnls : bool, default=False
        Update coupled factors by non-negative least squares.
    """

    factors: list
    Y: np.ndarray
    couplings: list
    nnls: bool = False

    @property
    def n_measurements(self):
        return self.Y[0].size


@dataclass
class KroneckerResult:
    """Factors of the variances, in the units and the columns of the problem."""

    gammas: list
    raw: list
    noise_variance: float
    cost: float
    change: float
    converged: bool
    n_iter: int
    dof: float
    scores: list = field(default_factory=list)


class _State:
    """One run: the columns still in the model, rows compressed to as few."""

    def __init__(self, problem, start):
        self.problem = problem
        self.factors = [np.ascontiguousarray(H) for H in problem.factors]
        self.Y, self.rest = problem.Y, 0.0
        self.C = [_NO_COUPLING if C is None else np.array(C) for C in problem.couplings]
        self.raw = [np.array(r, dtype=float) for r in start]
        self.gammas = [
            C @ r if C.size else r.copy() for C, r in zip(self.C, self.raw, strict=True)
        ]
        self.index = [np.arange(len(g)) for g in self.gammas]
        for i in range(len(self.factors)):
            self._compress(i)
        self._freeze()

    def _compress(self, i):
        """Replace a tall factor by its triangle, and y by its part in the range."""
        H = self.factors[i]
        m, n = H.shape
        if m <= n:
            return
        Q, R = np.linalg.qr(H)
        Y = np.moveaxis(self.Y, i + 1, -1)
        inside = Y @ Q.conj()
        outside = Y - inside @ Q.T
        self.rest += float(square(outside).sum()) / len(self.Y)
        self.Y = np.ascontiguousarray(np.moveaxis(inside, -1, i + 1))
        self.factors[i] = np.ascontiguousarray(R)

    def _freeze(self):
        """Read-only views for the kernels, padded in front to three factors."""
        self.padded = len(self.factors) <= 3
        if not self.padded:
            return
        missing = 3 - len(self.factors)
        one = np.ones((1, 1), dtype=self.Y.dtype)
        H = [one] * missing + self.factors
        C = [_NO_COUPLING] * missing + self.C
        shape = (len(self.Y), *(1,) * missing, *self.Y.shape[1:])
        self.args_H = tuple(read_only(A) for A in H)
        self.args_C = tuple(read_only(A) for A in C)
        self.args_Y = read_only(np.ascontiguousarray(self.Y.reshape(shape)))

    def _pad(self, parts):
        return [np.ones(1) for _ in range(3 - len(parts))] + parts

    def e_step(self, s2):
        """Return u, s and the scalars with what compression left out."""
        if self.padded:
            out = kernels.e_step(self.args_Y, *self.args_H, *self._pad(self.gammas), s2)
        else:
            out = many.e_step(self.Y, self.factors, self.gammas, s2)
        u, s, residual, quad, logdet, dof = out
        outside = self.problem.n_measurements - self.Y[0].size
        cost = logdet + outside * np.log(s2) + quad + self.rest / s2
        return u, s, residual + self.rest, cost, dof

    def m_step(self, code, u, s, n_sweeps, tol):
        """Return the updated factors as a pair of lists."""
        if self.problem.nnls and code == kernels.AM:
            return many.nnls_m_step(
                u.reshape([len(g) for g in self.gammas]),
                s.reshape([len(g) for g in self.gammas]),
                self.gammas, self.raw, self.C,
            )  # fmt: skip
        if not self.padded:
            return many.m_step(code, u, s, self.gammas, self.raw, self.C, n_sweeps, tol)
        gammas = self._pad([g.copy() for g in self.gammas])
        raw = self._pad([r.copy() for r in self.raw])
        kernels.m_step(code, u, s, *gammas, *raw, *self.args_C, n_sweeps, tol)
        if len(gammas) > len(self.gammas):
            # What the padding collected belongs to the last factor.
            spare = np.prod([g[0] for g in gammas[: 3 - len(self.gammas)]])
            gammas[-1] *= spare
            raw[-1] *= spare
        k = len(self.gammas)
        return gammas[-k:], raw[-k:]

    def change_to(self, gammas):
        if self.padded:
            return kernels.relative_change(
                *self._pad(self.gammas), *self._pad(list(gammas))
            )
        return many.relative_change(self.gammas, gammas)

    def prune(self, thresholds, absolute=0.0):
        """Cut columns of small variance; return whether any was cut."""
        cut = False
        for i, g in enumerate(self.gammas):
            keep = g >= max(thresholds[i] * g.max(), absolute)
            if keep.all() or not keep.any():
                continue
            cut = True
            self.gammas[i] = g[keep]
            self.index[i] = self.index[i][keep]
            self.factors[i] = np.ascontiguousarray(self.factors[i][:, keep])
            if self.C[i].size:
                self.C[i] = np.ascontiguousarray(self.C[i][keep])
                if self.problem.nnls:
                    self.C[i] = np.ascontiguousarray(self.C[i][:, keep])
                    self.raw[i] = self.raw[i][keep]
            else:
                self.raw[i] = self.raw[i][keep]
            self._compress(i)
        if cut:
            self._freeze()
        return cut

    def snapshot(self):
        """Return the factors at full size, zero where columns were cut."""
        full = []
        for g, index, H in zip(
            self.gammas, self.index, self.problem.factors, strict=True
        ):
            out = np.zeros(H.shape[1])
            out[index] = g
            full.append(out)
        return full, [r.copy() for r in self.raw]


def final_posterior(problem, gammas, s2):
    """Return q, s and what later questions need, at the size of x and the factors.

    With ``H_i Gamma_i^1/2 = U_i D_i V_i^H`` (all V_i), the posterior covariance is
    ``Gamma^1/2 V diag(s2 / (s2 + D^2)) V^H Gamma^1/2`` with V the Kronecker product:
    no term is subtracted, so small variances are exact.

    Returns
    -------
    mean : ndarray of shape (L, n_1, ..., n_I)
    roots : list of ndarray of shape (n_i, n_i)
        ``Gamma_i^1/2 V_i``.
    shrinkage : ndarray of shape (n_1, ..., n_I)
        ``s2 / (s2 + D^2)``.
    """
    roots, values, projections, left = [], [], [], []
    for H, g in zip(problem.factors, gammas, strict=True):
        scale = np.sqrt(g)
        U, D, Vh = np.linalg.svd(H * scale, full_matrices=True)
        r = len(D)
        squares = np.zeros(H.shape[1])
        squares[:r] = D**2
        roots.append(scale[:, None] * Vh.conj().T)
        values.append(squares)
        left.append(U[:, :r].conj().T)
        projections.append(D)
    power = _outer(values)
    shrinkage = s2 / (s2 + power)
    ranks = tuple(slice(len(D)) for D in projections)
    weight = _outer(projections) * shrinkage[ranks] / s2
    means = []
    for Y in problem.Y:
        T = weight * mode_product(Y, left)
        means.append(
            mode_product(T, [R[:, k] for R, k in zip(roots, ranks, strict=True)])
        )
    return np.stack(means), roots, shrinkage


def _outer(vectors):
    out = vectors[0]
    for v in vectors[1:]:
        out = np.multiply.outer(out, v)
    return out


def starts(problem, n_init, rng):
    """Return starting factors: ones, then log-normal ones."""
    n_all = np.prod([H.shape[1] for H in problem.factors], dtype=float)
    out = []
    for k in range(n_init):
        parts = [
            np.ones(H.shape[1])
            if k == 0
            else np.exp(_SPREAD * rng.standard_normal(H.shape[1]))
            for H in problem.factors
        ]
        parts[-1] = parts[-1] / n_all
        out.append(parts)
    return out


def maximize(
    problem,
    start,
    *,
    m_step,
    noise,
    stop,
    prune_tol,
    inner_sweeps,
):
    """Run one M-step rule from one start until it rests.

    Returns the factors whose E-step was the last one: for am and mm those on which
    one more update would change the variances by at most `stop.tol`, for svd, which may
    climb, those of lowest cost, with the change by one more update from there.
    """
    code = _CODES[m_step]
    learn, s2 = noise.learns, noise.first
    state = _State(problem, start)
    state.prune([0.0] * len(start), absolute=np.finfo(float).tiny)
    total = problem.n_measurements
    best, scores, rises = None, [], 0
    n_iter = 0
    while True:
        u, s, residual, cost, dof = state.e_step(s2)
        if math.prod(g.max() for g in state.gammas) <= GAMMA_FLOOR:
            new, new_raw, change = state.gammas, state.raw, 0.0  # nothing but noise
        else:
            new, new_raw = state.m_step(code, u, s, inner_sweeps, 1e-6)
            change = state.change_to(new)
        new_s2 = s2
        if learn:
            new_s2 = max((residual + s2 * dof) / total, noise.floor)
            change = max(change, abs(new_s2 - s2) / max(s2, new_s2))
        n_iter += 1
        rises = rises + 1 if scores and cost > scores[-1] else 0
        scores.append(cost)
        asked = stop.asked(change, cost)
        converged = change <= stop.tol
        last = converged or asked or n_iter > stop.max_iter
        last = last or (m_step == "svd" and rises >= MAX_RISES)
        # Rules that never climb are at their best when they rest.
        if last if m_step != "svd" else best is None or cost <= best.cost:
            full, raw = state.snapshot()
            best = KroneckerResult(
                full, raw, s2, cost, change, converged, n_iter, dof, scores
            )
        if last:
            break
        state.gammas, state.raw, s2 = list(new), list(new_raw), new_s2
        state.prune(prune_tol)
    best.n_iter = min(n_iter, stop.max_iter)
    return best
