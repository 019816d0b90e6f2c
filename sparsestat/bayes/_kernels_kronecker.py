"""E-step and M-steps of Kronecker-structured evidence, for three factors.

Tensors are in C order, one mode for each factor; fewer factors are padded in front
with a one. Each factor is seen through the eigenvectors U of ``H diag(gamma) H^H``,
so that the covariance of y is diagonal. Nothing larger than the tensors of
measurements and of unknowns is ever made.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["AM", "MM", "SVD", "e_step", "expand", "m_step", "relative_change"]

AM, SVD, MM = 0, 1, 2


@njit(cache=True, nogil=True)
def _mode(X, A, mode):
    """Contract one mode of X with the columns of A."""
    a, b, c = X.shape
    p = A.shape[0]
    if mode == 0:
        return np.dot(A, X.reshape(a, b * c)).reshape(p, b, c)
    if mode == 2:
        return np.dot(X.reshape(a * b, c), A.T).reshape(a, b, p)
    out = np.empty((a, p, c), X.dtype)
    for i in range(a):
        np.dot(A, X[i], out[i])
    return out


@njit(cache=True, nogil=True)
def expand(X, A0, A1, A2):
    """Contract all modes, those that shrink the tensor first."""
    growth0 = A0.shape[0] / A0.shape[1]
    growth1 = A1.shape[0] / A1.shape[1]
    growth2 = A2.shape[0] / A2.shape[1]
    for _ in range(3):
        if growth0 <= growth1 and growth0 <= growth2:
            X = _mode(X, A0, 0)
            growth0 = np.inf
        elif growth1 <= growth2:
            X = _mode(X, A1, 1)
            growth1 = np.inf
        else:
            X = _mode(X, A2, 2)
            growth2 = np.inf
    return X


@njit(cache=True, nogil=True)
def _eigen(H, gamma):
    """Return U^H, H^H U, its squared moduli and the eigenvalues of H Gamma H^H."""
    m, n = H.shape
    A = np.empty((m, n), H.dtype)
    for i in range(m):
        for j in range(n):
            A[i, j] = H[i, j] * np.sqrt(gamma[j])
    adjoint = np.ascontiguousarray(A.T).conj()
    values, vectors = np.linalg.eigh(np.dot(A, adjoint))
    U = np.ascontiguousarray(vectors)
    B = np.dot(np.ascontiguousarray(H.T).conj(), U)
    squares = np.empty((n, m))
    for j in range(n):
        for i in range(m):
            squares[j, i] = B[j, i].real ** 2 + B[j, i].imag ** 2
    for i in range(m):
        values[i] = max(values[i], 0.0)
    return np.ascontiguousarray(U.T).conj(), B, squares, values


@njit(cache=True, nogil=True)
def e_step(Y, H0, H1, H2, g0, g1, g2, s2):
    """Exact posterior at the cost of the factors.

    Parameters
    ----------
    Y : array of shape (L, m0, m1, m2)
    H0, H1, H2 : arrays of shape (m_i, n_i)
    g0, g1, g2 : arrays of shape (n_i,)
        Factors of the variances.
    s2 : float

    Returns
    -------
    u : array of shape (n0, n1, n2)
        Mean over targets of the squared posterior mean.
    s : array of shape (n0, n1, n2)
        ``diag(H^H Sy^-1 H)``, a sum of positive terms.
    residual, quad, logdet, dof : float
        ``||Y - H mu||^2 / L``, ``Y^H Sy^-1 Y / L``, ``log |Sy|`` and ``sum gamma s``.
    """
    V0, B0, S0, p0 = _eigen(H0, g0)
    V1, B1, S1, p1 = _eigen(H1, g1)
    V2, B2, S2, p2 = _eigen(H2, g2)
    m0, m1, m2 = len(p0), len(p1), len(p2)
    W = np.empty((m0, m1, m2))
    logdet = 0.0
    dof = 0.0
    for i in range(m0):
        for j in range(m1):
            # Logarithms are dear: take that of a product of a few.
            grouped = 1.0
            for k in range(m2):
                p = p0[i] * p1[j] * p2[k]
                W[i, j, k] = 1.0 / (s2 + p)
                dof += p * W[i, j, k]
                grouped *= 1.0 + p / s2
                if grouped > 1e200 or k == m2 - 1:
                    logdet += np.log(grouped)
                    grouped = 1.0
    logdet += m0 * m1 * m2 * np.log(s2)
    s = expand(W, S0, S1, S2)
    n0, n1, n2 = s.shape
    u = np.zeros((n0, n1, n2))
    residual = 0.0
    quad = 0.0
    n_targets = Y.shape[0]
    for t in range(n_targets):
        T = expand(Y[t].copy(), V0, V1, V2)
        for i in range(m0):
            for j in range(m1):
                for k in range(m2):
                    w = W[i, j, k]
                    square = T[i, j, k].real ** 2 + T[i, j, k].imag ** 2
                    quad += square * w
                    residual += square * (s2 * w) ** 2
                    T[i, j, k] *= w
        q = expand(T, B0, B1, B2)
        for i in range(n0):
            for j in range(n1):
                for k in range(n2):
                    u[i, j, k] += q[i, j, k].real ** 2 + q[i, j, k].imag ** 2
    for i in range(n0):
        for j in range(n1):
            a = g0[i] * g1[j]
            for k in range(n2):
                u[i, j, k] *= (a * g2[k]) ** 2 / n_targets
    return u, s, residual / n_targets, quad / n_targets, logdet, dof


@njit(cache=True, nogil=True)
def _rescale(g0, g1, g2, r0, r1, r2):
    """Give the first two factors norm one; the last carries the scale."""
    for g, r in ((g0, r0), (g1, r1)):
        size = np.sqrt(np.dot(g, g))
        g /= size
        r /= size
        g2 *= size
        r2 *= size


@njit(cache=True, nogil=True)
def _inverse(g):
    return 1.0 / g


@njit(cache=True, nogil=True)
def _update(code, a, b, others, g, r, C):
    """Update one factor from its slice sums a (and b for bounding)."""
    if code == AM:
        g[:] = a / others
        r[:] = g
        return
    if C.shape[0] == 0:
        for j in range(len(g)):
            g[j] = np.sqrt(a[j] / max(b[j], 1e-300))
        r[:] = g
        return
    weighted = a / (g * g)
    for n in range(len(r)):
        top = 0.0
        bottom = 0.0
        for j in range(len(g)):
            top += C[j, n] * weighted[j]
            bottom += C[j, n] * b[j]
        r[n] *= np.sqrt(top / max(bottom, 1e-300))
    g[:] = np.dot(C, r)


@njit(cache=True, nogil=True)
def _sweeps(code, d, z, g0, g1, g2, r0, r1, r2, C0, C1, C2, n_sweeps, tol):
    """Update the factors in turn; d and z are the two sides of the bound."""
    n0, n1, n2 = d.shape
    d_rows, z_rows = d.reshape(n0 * n1, n2), z.reshape(n0 * n1, n2)
    d_wide, z_wide = d.reshape(n0, n1 * n2), z.reshape(n0, n1 * n2)
    b = np.empty(0)
    old = np.empty(n0 + n1 + n2)
    for sweep in range(n_sweeps):
        old[:n0] = g0
        old[n0 : n0 + n1] = g1
        old[n0 + n1 :] = g2
        d01 = np.dot(d_rows, _inverse(g2)).reshape(n0, n1)
        a = np.dot(d01, _inverse(g1))
        z01 = d01
        if code == MM:
            z01 = np.dot(z_rows, g2).reshape(n0, n1)
            b = np.dot(z01, g1)
        _update(code, a, b, n1 * n2, g0, r0, C0)
        a = np.dot(_inverse(g0), d01)
        if code == MM:
            b = np.dot(g0, z01)
        _update(code, a, b, n0 * n2, g1, r1, C1)
        a = np.dot(_inverse(g1), np.dot(_inverse(g0), d_wide).reshape(n1, n2))
        if code == MM:
            b = np.dot(g1, np.dot(g0, z_wide).reshape(n1, n2))
        _update(code, a, b, n0 * n1, g2, r2, C2)
        _rescale(g0, g1, g2, r0, r1, r2)
        if tol > 0.0 and sweep > 0:
            largest = 0.0
            for j in range(n0):
                largest = max(largest, abs(np.log(g0[j] / old[j])))
            for j in range(n1):
                largest = max(largest, abs(np.log(g1[j] / old[n0 + j])))
            for j in range(n2):
                largest = max(largest, abs(np.log(g2[j] / old[n0 + n1 + j])))
            if largest < tol:
                return sweep + 1
    return n_sweeps


@njit(cache=True, nogil=True)
def _leading(D, w):
    """Return the leading left singular vector of D > 0, by warm power steps."""
    w = w / np.sqrt(np.dot(w, w))
    for _ in range(200):
        new = np.dot(D, np.dot(w, D))
        new /= np.sqrt(np.dot(new, new))
        moved = 0.0
        for j in range(len(w)):
            moved = max(moved, abs(new[j] - w[j]))
        w = new
        if moved < 1e-14:
            return w
    _, vectors = np.linalg.eigh(np.dot(D, np.ascontiguousarray(D.T)))
    return np.abs(np.ascontiguousarray(vectors[:, -1]))


@njit(cache=True, nogil=True)
def _rank_one(d, g0, g1, g2):
    """Fit a rank-one tensor to d by successive leading singular vectors."""
    n0, n1, n2 = d.shape
    wide = d.reshape(n0, n1 * n2)
    g0[:] = _leading(wide, g0.copy())
    left = np.dot(g0, wide).reshape(n1, n2)
    g1[:] = _leading(left, g1.copy())
    g2[:] = np.dot(g1, left)


@njit(cache=True, nogil=True)
def m_step(code, u, s, g0, g1, g2, r0, r1, r2, C0, C1, C2, n_sweeps, tol):
    """Replace the factors of the variances by their update, in place.

    `code` chooses exact expectation maximization by alternation (AM), a rank-one
    fit (SVD) or convex bounding (MM). ``g_i = C_i r_i`` for coupled factors, whose
    C_i has rows; the others have an empty one.
    """
    n0, n1, n2 = u.shape
    if code == MM:
        _sweeps(code, u, s, g0, g1, g2, r0, r1, r2, C0, C1, C2, n_sweeps, tol)
        return
    d = np.empty((n0, n1, n2))
    for i in range(n0):
        for j in range(n1):
            a = g0[i] * g1[j]
            for k in range(n2):
                g = a * g2[k]
                d[i, j, k] = u[i, j, k] + g * max(1.0 - g * s[i, j, k], 1e-15)
    if code == AM:
        _sweeps(code, d, d, g0, g1, g2, r0, r1, r2, C0, C1, C2, n_sweeps, tol)
    else:
        _rank_one(d, g0, g1, g2)
        _rescale(g0, g1, g2, r0, r1, r2)
        r0[:], r1[:], r2[:] = g0, g1, g2


@njit(cache=True, nogil=True)
def relative_change(a0, a1, a2, b0, b1, b2):
    """``||b - a|| / ||a||`` of the outer products, without cancellation."""
    moved = 0.0
    for i in range(len(a0)):
        for j in range(len(a1)):
            a = a0[i] * a1[j]
            b = b0[i] * b1[j]
            for k in range(len(a2)):
                moved += (b * b2[k] - a * a2[k]) ** 2
    size = np.dot(a0, a0) * np.dot(a1, a1) * np.dot(a2, a2)
    return np.sqrt(moved / size)
