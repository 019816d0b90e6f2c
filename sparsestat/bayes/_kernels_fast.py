"""Sequential evidence maximization: the rank-one updates of Tipping and Faul.

Row i of `G` holds ``h_n^H h_j`` for all n, with j the i-th active column. For all
n, ``S[n] = h_n^H C^-1 h_n`` and ``Q[l, n] = h_n^H C^-1 y_l`` belong to the current
covariance C of y; `Sigma` and `mu` are the posterior of the active columns.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["ADD", "DONE", "LIMIT", "act", "add", "best_move", "keep_digits"]

# Why `act` returned: nothing left to gain, a column to add, enough actions.
DONE, ADD, LIMIT = 0, 1, 2
_DOT = {"reassoc", "contract", "arcp", "nsz"}


@njit(cache=True, nogil=True)
def best_move(S, Q, gamma):
    """Return the column whose variance gains most, its optimum, and the gain.

    With ``r = mean |Q|^2 / S`` the optimum is ``gamma + (r - 1) / S`` and gains
    ``r - 1 - log r``: what there is without the column itself, the difference of two
    numbers that grow as the noise falls, is needed where it goes alone.
    """
    n_targets, n = Q.shape
    best, best_gamma, best_gain = -1, 0.0, 0.0
    for j in range(n):
        g, s = gamma[j], S[j]
        square = 0.0
        for t in range(n_targets):
            square += Q[t, j].real ** 2 + Q[t, j].imag ** 2
        square /= n_targets
        excess = square / s - 1.0 if s > 0.0 else -1.0
        wanted = g + excess / s if s > 0.0 else 0.0
        if wanted > 0.0:
            gain = excess - np.log1p(excess)
        elif g > 0.0:
            left = max(1.0 - g * s, 1e-12)
            wanted, gain = 0.0, -square * g / left - np.log(left)
        else:
            continue
        if gain > best_gain:
            best, best_gamma, best_gain = j, wanted, gain
    return best, best_gamma, best_gain


@njit(cache=True, nogil=True, fastmath=_DOT)
def _spread(G, k, column, b, out):
    """Write ``b * sum_i column[i] G[i, :]``."""
    out[:] = 0.0
    for i in range(k):
        c = b * column[i]
        row = G[i]
        for n in range(out.shape[0]):
            out[n] += c * row[n]


@njit(cache=True, nogil=True, fastmath=_DOT)
def _update_columns(S, Q, e, weight, amounts):
    """Add ``weight |e|^2`` to S and ``amounts[l] e`` to Q."""
    for n in range(S.shape[0]):
        S[n] += weight * (e[n].real * e[n].real + e[n].imag * e[n].imag)
    for t in range(Q.shape[0]):
        a = amounts[t]
        row = Q[t]
        for n in range(S.shape[0]):
            row[n] += a * e[n]


@njit(cache=True, nogil=True)
def keep_digits(S, Q, gamma, active, k, Sigma, mu):
    """Take S and Q of active columns from their posterior.

    ``gamma S = 1 - Sigma / gamma`` and ``gamma Q = mu``: what the updates leave of
    them is a difference of numbers that grow as the noise falls.
    """
    for i in range(k):
        j = active[i]
        left = Sigma[i, i].real / gamma[j]
        if left < 0.5:
            S[j] = (1.0 - left) / gamma[j]
            for t in range(mu.shape[0]):
                Q[t, j] = mu[t, i] / gamma[j]


@njit(cache=True, nogil=True)
def act(G, S, Q, gamma, active, k, Sigma, mu, b, tol, max_actions, e):
    """Re-estimate and delete until a column should be added.

    Returns the code, the column to add with its variance, the number of active
    columns and the number of actions.
    """
    n_targets = Q.shape[0]
    position = np.full(S.shape[0], -1, np.int64)
    for i in range(k):
        position[active[i]] = i
    column = np.empty(Sigma.shape[0], Sigma.dtype)
    amounts = np.empty(n_targets, Sigma.dtype)
    for done in range(max_actions):
        j, wanted, gain = best_move(S, Q, gamma)
        if j < 0 or gain < tol:
            return DONE, -1, 0.0, k, done
        i = position[j]
        if i < 0:
            return ADD, j, wanted, k, done
        for r in range(k):
            column[r] = Sigma[r, i]
        variance = Sigma[i, i].real
        if wanted > 0.0:
            d = 1.0 / wanted - 1.0 / gamma[j]
            if d == 0.0:
                return DONE, -1, 0.0, k, done
            rest = 1.0 + d * variance
        else:
            d, rest = 1.0, variance
        if not (variance > 0.0 and rest > 0.0):  # rounding: begin afresh
            return LIMIT, -1, 0.0, k, done
        w = d / rest
        _spread(G, k, column, b, e)
        for t in range(n_targets):
            amounts[t] = w * mu[t, i]
        _update_columns(S, Q, e, w, amounts)
        for t in range(n_targets):
            for r in range(k):
                mu[t, r] -= amounts[t] * column[r]
        for r in range(k):
            a = w * column[r]
            for c in range(k):
                Sigma[r, c] -= a * np.conj(column[c])
        gamma[j] = wanted
        if wanted == 0.0:
            # The last column takes the place of the deleted one.
            last = k - 1
            position[j] = -1
            if i != last:
                active[i] = active[last]
                position[active[i]] = i
                G[i] = G[last]
                for t in range(n_targets):
                    mu[t, i] = mu[t, last]
                for r in range(k):
                    Sigma[i, r] = Sigma[last, r]
                for r in range(k):
                    Sigma[r, i] = Sigma[r, last]
                Sigma[i, i] = Sigma[last, last]
            k = last
        keep_digits(S, Q, gamma, active, k, Sigma, mu)
    return LIMIT, -1, 0.0, k, max_actions


@njit(cache=True, nogil=True)
def add(G, S, Q, gamma, active, k, Sigma, mu, b, j, wanted, e):
    """Add column j, whose row of inner products already stands at ``G[k]``."""
    n_targets = Q.shape[0]
    v = 1.0 / (1.0 / wanted + S[j])
    u = np.zeros(k, Sigma.dtype)
    for r in range(k):
        for c in range(k):
            u[r] += b * Sigma[r, c] * np.conj(G[c, j])
    _spread(G, k, -u, b, e)
    for n in range(S.shape[0]):
        e[n] += b * G[k, n]
    amounts = np.empty(n_targets, Sigma.dtype)
    for t in range(n_targets):
        amounts[t] = -v * Q[t, j]
        for r in range(k):
            mu[t, r] += amounts[t] * u[r]
        mu[t, k] = -amounts[t]
    _update_columns(S, Q, e, -v, amounts)
    for r in range(k):
        a = v * u[r]
        for c in range(k):
            Sigma[r, c] += a * np.conj(u[c])
        Sigma[r, k] = -a
        Sigma[k, r] = -np.conj(a)
    Sigma[k, k] = v
    active[k] = j
    gamma[j] = wanted
    keep_digits(S, Q, gamma, active, k + 1, Sigma, mu)
    return k + 1
