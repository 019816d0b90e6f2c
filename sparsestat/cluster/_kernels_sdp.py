"""Passes over rows for K-means certificates and for the two relaxation solvers."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.jit import njit

__all__ = [
    "admm_pass",
    "low_rank_constraint",
    "low_rank_rescale",
    "low_rank_secant",
    "low_rank_trial",
    "shifted_target",
    "smallest_margins",
]

_FAST = {"reassoc", "contract", "arcp", "nsz"}


@njit(cache=True, nogil=True)
def smallest_margins(scores, labels, squares, out):
    """Lower ``out[l, k]`` to the least ``|x - m_k|^2 - |x - m_l|^2`` over cluster l.

    scores is (n, K) with entries ``x_i . m_k``, squares holds ``|m_k|^2``.
    """
    n_clusters = len(squares)
    for i in range(len(labels)):
        own = labels[i]
        base = squares[own] - 2.0 * scores[i, own]
        for k in range(n_clusters):
            margin = squares[k] - 2.0 * scores[i, k] - base
            if margin < out[own, k]:
                out[own, k] = margin


@njit(cache=True, nogil=True, fastmath=_FAST)
def admm_pass(Z, W, U, T, A, relaxation, rho):
    """Update W and U from Z, and write ``W - U + A / rho`` to T.

    Returns the squared norms of ``Z - W`` and of the change of W.
    """
    n = Z.shape[0]
    primal = 0.0
    dual = 0.0
    for i in range(n):
        for j in range(n):
            old = W[i, j]
            mixed = relaxation * Z[i, j] + (1.0 - relaxation) * old + U[i, j]
            new = max(mixed, 0.0)
            U[i, j] = mixed - new
            W[i, j] = new
            T[i, j] = new - U[i, j] + A[i, j] / rho
            primal += (Z[i, j] - new) ** 2
            dual += (new - old) ** 2
    return primal, dual


@njit(cache=True, nogil=True, fastmath=_FAST)
def shifted_target(W, U, T, A, factor, rho):
    """Scale U by `factor` and write ``W - U + A / rho`` to T."""
    n = W.shape[0]
    for i in range(n):
        for j in range(n):
            U[i, j] *= factor
            T[i, j] = W[i, j] - U[i, j] + A[i, j] / rho


@njit(cache=True, nogil=True, fastmath=_FAST)
def low_rank_trial(U, H, yb, s, p, v, step, out):
    """Write the positive part of a gradient step to `out`.

    Returns its squared norm and the number of rows that are not zero. The gradient
    ``-2 H + yb s' + p v'`` exists only entry by entry.
    """
    n, r = U.shape
    total = 0.0
    alive = 0
    for i in range(n):
        before = total
        for j in range(r):
            gradient = -2.0 * H[i, j] + yb[i] * s[j] + p[i] * v[j]
            value = max(U[i, j] - step * gradient, 0.0)
            out[i, j] = value
            total += value * value
        alive += total > before
    return total, alive


@njit(cache=True, nogil=True, fastmath=_FAST)
def low_rank_rescale(V, U, scale, p, s):
    """Scale V in place, put ``V' p`` into s and return ``|V - U|^2``."""
    n, r = U.shape
    moved = 0.0
    for j in range(r):
        s[j] = 0.0
    for i in range(n):
        for j in range(r):
            value = V[i, j] * scale
            V[i, j] = value
            s[j] += value * p[i]
            moved += (value - U[i, j]) ** 2
    return moved


@njit(cache=True, nogil=True, fastmath=_FAST)
def low_rank_constraint(V, s, p, y, beta, yb, v):
    """Fill ``yb = y + beta c`` and ``v = V' yb`` for ``c = V s - p``.

    Returns ``y . c`` and ``|c|^2``.
    """
    n, r = V.shape
    linear = 0.0
    square = 0.0
    for j in range(r):
        v[j] = 0.0
    for i in range(n):
        c = -p[i]
        for j in range(r):
            c += V[i, j] * s[j]
        linear += y[i] * c
        square += c * c
        yb[i] = y[i] + beta * c
        for j in range(r):
            v[j] += V[i, j] * yb[i]
    return linear, square


@njit(cache=True, nogil=True, fastmath=_FAST)
def low_rank_secant(V, U, H_new, yb_new, s_new, v_new, H, yb, s, v, p):
    """Return the inner product of the steps in the factor and in its gradient."""
    n, r = U.shape
    total = 0.0
    for i in range(n):
        for j in range(r):
            new = -2.0 * H_new[i, j] + yb_new[i] * s_new[j] + p[i] * v_new[j]
            old = -2.0 * H[i, j] + yb[i] * s[j] + p[i] * v[j]
            total += (V[i, j] - U[i, j]) * (new - old)
    return total
