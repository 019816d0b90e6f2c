"""Mean field of a binary Markov random field, and its pseudo-likelihood steps."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["mean_field", "pseudo_likelihood_step"]


@njit(cache=True, nogil=True)
def mean_field(m, field, beta, indices, edges, indptr, order, n_sweeps):
    """Sweep ``m_n <- tanh(field_n + sum beta m)`` over the cells in `order`.

    ``indices[indptr[n]:indptr[n + 1]]`` are the neighbors of n, `edges` the
    positions of these pairs in `beta`.
    """
    for _ in range(n_sweeps):
        for n in order:
            total = field[n]
            for p in range(indptr[n], indptr[n + 1]):
                total += beta[edges[p]] * m[indices[p]]
            m[n] = np.tanh(total)


@njit(cache=True, nogil=True)
def pseudo_likelihood_step(
    m, alpha, beta, pairs, alpha_start, beta_start, rate, ridge, stationary, error
):
    """Take one gradient step of the log pseudo-likelihood, in place.

    A ridge towards the starting values keeps the parameters of single cells
    identifiable; couplings stay in [0, 1].
    """
    n = len(m)
    for i in range(n):
        error[i] = -alpha[i]
    for e in range(len(beta)):
        i, j = pairs[e, 0], pairs[e, 1]
        error[i] += beta[e] * m[j]
        error[j] += beta[e] * m[i]
    for i in range(n):
        error[i] = m[i] - np.tanh(error[i])
    if stationary:
        slope = 0.0
        for i in range(n):
            slope += error[i]
        alpha[:] -= rate * slope / n + ridge * (alpha[0] - alpha_start)
        slope = 0.0
        for e in range(len(beta)):
            i, j = pairs[e, 0], pairs[e, 1]
            slope += error[i] * m[j] + error[j] * m[i]
        if len(beta):
            b = beta[0] + rate * slope / len(beta) - ridge * (beta[0] - beta_start)
            beta[:] = min(max(b, 0.0), 1.0)
        return
    for i in range(n):
        alpha[i] -= rate * error[i] + ridge * (alpha[i] - alpha_start)
    for e in range(len(beta)):
        i, j = pairs[e, 0], pairs[e, 1]
        b = beta[e] + rate * (error[i] * m[j] + error[j] * m[i])
        b -= ridge * (beta[e] - beta_start)
        beta[e] = min(max(b, 0.0), 1.0)
