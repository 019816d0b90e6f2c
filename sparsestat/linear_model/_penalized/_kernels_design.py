"""Passes over the design matrix: moments, correlations, products, CG.

Dense kernels take an F-ordered X, sparse ones the CSC triple. All accumulate in
float64 whatever the type of X, so that float32 data need no second copy.

Sparse kernels center implicitly. With s the square roots of the sample weights
(ones when there are none), d_j column j times s, and mu_j its weighted mean, the
column that the solver sees is d_j - mu_j s. Vectors in its span are stored as a
pair (u, beta) that stands for u + beta s, so that a column costs O(nnz).
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

_DOT = {"reassoc", "contract", "arcp", "nsz"}  # lets dots vectorize, keeps NaN


@njit(cache=True, nogil=True, fastmath=_DOT)
def dense_moments(X, weights, sums, squares):
    """Weighted column sums and sums of squares in one pass."""
    n, p = X.shape
    weighted = weights.shape[0] > 0
    for j in range(p):
        total = 0.0
        square = 0.0
        if weighted:
            for i in range(n):
                x = np.float64(X[i, j])
                total += weights[i] * x
                square += weights[i] * x * x
        else:
            for i in range(n):
                x = np.float64(X[i, j])
                total += x
                square += x * x
        sums[j] = total
        squares[j] = square


@njit(cache=True, nogil=True, fastmath=_DOT)
def dense_correlations(X, v, v_sum, means, columns, out):
    """out[j] = X_j'v - mean_j * sum(v) for the listed columns."""
    n = X.shape[0]
    for k in range(columns.shape[0]):
        j = columns[k]
        dot = 0.0
        for i in range(n):
            dot += X[i, j] * v[i]
        out[j] = dot - means[j] * v_sum


@njit(cache=True, nogil=True)
def dense_gather(X, columns, means, roots, out, start):
    """Write sqrt(weight) * (X_j - mean_j) into the columns of F-ordered out."""
    n = X.shape[0]
    weighted = roots.shape[0] > 0
    for k in range(columns.shape[0]):
        j = columns[k]
        mean = means[j]
        if weighted:
            for i in range(n):
                out[i, start + k] = roots[i] * (X[i, j] - mean)
        else:
            for i in range(n):
                out[i, start + k] = X[i, j] - mean


@njit(cache=True, nogil=True)
def csc_moments(data, indices, indptr, weights, sums, squares):
    """Weighted column sums and sums of squares of a CSC matrix."""
    weighted = weights.shape[0] > 0
    for j in range(indptr.shape[0] - 1):
        total = 0.0
        square = 0.0
        for p in range(indptr[j], indptr[j + 1]):
            x = np.float64(data[p])
            weight = weights[indices[p]] if weighted else 1.0
            total += weight * x
            square += weight * x * x
        sums[j] = total
        squares[j] = square


@njit(cache=True, nogil=True)
def csc_correlations(data, indices, indptr, v, v_sum, means, columns, out):
    """out[j] = X_j'v - mean_j * sum(v) for the listed columns."""
    for k in range(columns.shape[0]):
        j = columns[k]
        dot = 0.0
        for p in range(indptr[j], indptr[j + 1]):
            dot += data[p] * v[indices[p]]
        out[j] = dot - means[j] * v_sum


@njit(cache=True, nogil=True)
def csc_scale_rows(data, indices, roots, out):
    """Write data with each entry multiplied by the factor of its row into out."""
    for p in range(data.shape[0]):
        out[p] = data[p] * roots[indices[p]]


@njit(cache=True, nogil=True)
def csc_product(data, indices, indptr, means, columns, w, out):
    """Add sum_k w_k d_k to out and return the shift -sum_k w_k mean_k."""
    shift = 0.0
    for k in range(columns.shape[0]):
        weight = w[k]
        if weight == 0.0:
            continue
        j = columns[k]
        shift -= weight * means[j]
        for p in range(indptr[j], indptr[j + 1]):
            out[indices[p]] += weight * data[p]
    return shift


@njit(cache=True, nogil=True)
def csc_products(data, indices, indptr, means, total, columns, u, beta, out):
    """out[k] = <d_k - mean_k s, u + beta s>, given that s'(u + beta s) = 0."""
    for k in range(columns.shape[0]):
        j = columns[k]
        dot = 0.0
        for p in range(indptr[j], indptr[j + 1]):
            dot += data[p] * u[indices[p]]
        out[k] = dot + beta * means[j] * total


@njit(cache=True, nogil=True, fastmath=_DOT)
def csc_normal_cg(
    data, indices, indptr, means, total, squares, columns, ridge, rhs, x, u, rtol,
    max_iter,
):  # fmt: skip
    """Jacobi-preconditioned CG on (A'A + diag(ridge)) x = rhs, A = the columns.

    Starts from x and overwrites it; u is scratch of one entry a row. Returns the
    number of iterations.
    """
    m = columns.shape[0]
    product = np.empty(m)
    r = rhs.copy()
    started = False
    for k in range(m):
        if x[k] != 0.0:
            started = True
    if started:
        u[:] = 0.0
        beta = csc_product(data, indices, indptr, means, columns, x, u)
        csc_products(data, indices, indptr, means, total, columns, u, beta, product)
        for k in range(m):
            r[k] -= product[k] + ridge[k] * x[k]
    inverse = np.empty(m)
    norm_rhs = 0.0
    rz = 0.0
    direction = np.empty(m)
    for k in range(m):
        diagonal = squares[columns[k]] + ridge[k]
        inverse[k] = 1.0 / diagonal if diagonal > 0.0 else 0.0
        norm_rhs += rhs[k] * rhs[k] * inverse[k]
        direction[k] = inverse[k] * r[k]
        rz += r[k] * direction[k]
    goal = rtol * rtol * norm_rhs
    for iteration in range(max_iter):
        if rz <= goal:
            return iteration
        u[:] = 0.0
        beta = csc_product(data, indices, indptr, means, columns, direction, u)
        csc_products(data, indices, indptr, means, total, columns, u, beta, product)
        curvature = 0.0
        for k in range(m):
            product[k] += ridge[k] * direction[k]
            curvature += direction[k] * product[k]
        if curvature <= 0.0:
            return iteration
        step = rz / curvature
        rz_new = 0.0
        for k in range(m):
            x[k] += step * direction[k]
            r[k] -= step * product[k]
            rz_new += r[k] * r[k] * inverse[k]
        ratio = rz_new / rz
        rz = rz_new
        for k in range(m):
            direction[k] = inverse[k] * r[k] + ratio * direction[k]
    return max_iter
