"""Levinson's recursion for symmetric positive definite Toeplitz matrices."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["autocorrelate", "inverse_sums", "levinson", "levinson_sample"]

_DOT = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True, fastmath=_DOT)
def _dot(x, y):
    """Inner product of two contiguous vectors, summed in the order that is fastest."""
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] * y[i]
    return total


@njit(cache=True, nogil=True, fastmath={"contract"})
def _next_predictor(flipped, old, new, variance, k):
    """Write the predictor of order k, given that of order k - 1; return its variance.

    A predictor of order k is (1, a_1, ..., a_k): x_t + sum_j a_j x_{t-j} is the error
    of the best linear prediction of x_t from the k values before it. `flipped` is the
    first column of the matrix from its last entry to its first.
    """
    n = flipped.shape[0]
    reflection = -_dot(old[:k], flipped[n - 1 - k : n - 1]) / variance
    old[k] = 0.0
    for j in range(k + 1):
        new[j] = old[j] + reflection * old[k - j]
    return variance * (1.0 - reflection * reflection)


@njit(cache=True, nogil=True, fastmath=_DOT)
def levinson(column, Y):
    """Solve T x = y for every row y of Y, where T has the first column `column`.

    Returns the solutions as rows, the first column of the inverse of T, the variances
    of the prediction errors, whose product is det T, and the order at which a variance
    was not positive (-1: none, T is positive definite to working precision).

    The predictor stands in `forward`, its mirror image in `back`, moved so that the two
    are updated in place, at the same positions, in one pass, which also prepares the
    next step.
    """
    n = column.shape[0]
    n_rows = Y.shape[0]
    X = np.zeros((n_rows, n))
    variances = np.zeros(n)
    forward, back = np.zeros(n), np.zeros(2 * n)
    flipped = column[::-1].copy()
    start = n
    forward[0] = back[start] = 1.0
    variance = column[0]
    known = column[1] if n > 1 else 0.0
    for k in range(n):
        if k > 0:
            reflection = -known / variance
            variance *= 1.0 - reflection * reflection
        variances[k] = variance
        if not variance > 0.0:
            return X, forward, variances, k
        if k > 0:
            start -= 1
            f, b = forward[: k + 1], back[start : start + k + 1]
            c = flipped[max(n - 2 - k, 0) : n - 1]
            last = k + 1 == n
            total = 0.0
            for i in range(k + 1):
                x, z = f[i], b[i]
                new = x + reflection * z
                f[i] = new
                b[i] = z + reflection * x
                if not last:
                    total += c[i] * new
            known = total
        c = flipped[n - 1 - k : n - 1]
        b = back[start : start + k + 1]
        for row in range(n_rows):
            solution = X[row]
            step = (Y[row, k] - _dot(c, solution[:k])) / variance
            for i in range(k + 1):
                solution[i] += step * b[i]
    return X, forward / variance, variances, -1


@njit(cache=True, nogil=True, fastmath={"contract"})
def levinson_sample(column, Z):
    """Turn rows of independent standard normals into rows with covariance T.

    Every value is drawn around its prediction from those before it: the rows are
    Z L' with the Cholesky factor L of T, which is never formed. Returns them and the
    order at which a variance was not positive (-1: none).
    """
    n = column.shape[0]
    n_rows = Z.shape[0]
    X = np.zeros((n_rows, n))
    old, new = np.zeros(n), np.zeros(n)
    flipped = column[::-1].copy()
    past = np.zeros(n)
    variance = column[0]
    new[0] = 1.0
    for k in range(n):
        if k > 0:
            old, new = new, old
            variance = _next_predictor(flipped, old, new, variance, k)
        if not variance > 0.0:
            return X, k
        scale = np.sqrt(variance)
        for j in range(k):
            past[j] = new[k - j]
        for row in range(n_rows):
            X[row, k] = scale * Z[row, k] - _dot(X[row, :k], past[:k])
    return X, -1


@njit(cache=True, nogil=True, fastmath=_DOT)
def autocorrelate(rows):
    """Return sum_j a_j a_{j+k} for k = 0, 1, ..., summed over the rows a."""
    n = rows.shape[1]
    out = np.zeros(n)
    for row in range(rows.shape[0]):
        a = rows[row]
        for k in range(n):
            out[k] += _dot(a[: n - k], a[k:])
    return out


@njit(cache=True, nogil=True, fastmath=_DOT)
def inverse_sums(generator):
    """Return the sums along the diagonals of the inverse of a Toeplitz matrix.

    They are sum_j (n - k - 2 j) u_j u_{j+k} / u_0, u being the first column.
    """
    n = generator.shape[0]
    out, weighted = np.empty(n), np.empty(n)
    for j in range(n):
        weighted[j] = (n - 2.0 * j) * generator[j]
    for k in range(n):
        later = generator[k:]
        total = _dot(weighted[: n - k], later) - k * _dot(generator[: n - k], later)
        out[k] = total / generator[0]
    return out
