"""The steps of Kronecker-structured evidence for any number of factors.

Plain numpy; :mod:`sparsestat.bayes._kernels_kronecker` does the same for up to
three factors.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.optimize import nnls

from sparsestat.bayes import _kernels_kronecker as kernels
from sparsestat.bayes._data import square

__all__ = ["e_step", "m_step", "nnls_m_step", "outer", "relative_change", "slice_sums"]

_NNLS_FLOOR = 1e-5


def outer(vectors):
    """Return the tensor of products of the entries."""
    out = np.asarray(vectors[0])
    for v in vectors[1:]:
        out = np.multiply.outer(out, v)
    return out


def _product(X, matrices):
    for i, A in enumerate(matrices):
        X = np.moveaxis(np.tensordot(A, X, axes=(1, i)), 0, i)
    return X


def slice_sums(T, vectors, i):
    """Sum T times the product of the vectors of all modes but i."""
    for mode in reversed(range(T.ndim)):
        if mode != i:
            T = np.tensordot(T, vectors[mode], axes=(mode, 0))
    return T


def e_step(Y, factors, gammas, s2):
    """Return what the kernel of the same name returns."""
    left, B, values = [], [], []
    for H, g in zip(factors, gammas, strict=True):
        A = H * np.sqrt(g)
        D, U = np.linalg.eigh(A @ A.conj().T)
        left.append(U.conj().T)
        B.append(H.conj().T @ U)
        values.append(np.maximum(D, 0.0))
    P = outer(values)
    W = 1.0 / (s2 + P)
    s = _product(W, [square(b) for b in B])
    u = np.zeros(s.shape)
    residual = quad = 0.0
    for target in Y:
        T = _product(target, left)
        energy = square(T)
        quad += float((energy * W).sum())
        residual += float((energy * (s2 * W) ** 2).sum())
        u += square(_product(T * W, B))
    u *= outer(gammas) ** 2 / len(Y)
    logdet = float(np.log(s2 + P).sum())
    return u, s, residual / len(Y), quad / len(Y), logdet, float((P * W).sum())


def m_step(code, u, s, gammas, raw, couplings, n_sweeps, tol):
    """Return new lists of factors and of what couplings are applied to."""
    gammas, raw = [g.copy() for g in gammas], [r.copy() for r in raw]
    if code == kernels.MM:
        _sweeps(code, u, s, gammas, raw, couplings, n_sweeps, 0.0)
        return gammas, raw
    full = outer(gammas)
    d = u + full * np.maximum(1.0 - full * s, 1e-15)
    if code == kernels.AM:
        _sweeps(code, d, d, gammas, raw, couplings, n_sweeps, tol)
        return gammas, raw
    left = d
    for i in range(len(gammas) - 1):
        D = left.reshape(left.shape[0], -1)
        gammas[i] = np.abs(np.linalg.eigh(D @ D.T)[1][:, -1])
        left = np.tensordot(gammas[i], left, axes=1)
    gammas[-1] = left
    return gammas, [g.copy() for g in gammas]


def _sweeps(code, d, z, gammas, raw, couplings, n_sweeps, tol):
    sizes = [len(g) for g in gammas]
    for sweep in range(n_sweeps):
        old = [g.copy() for g in gammas]
        for i in range(len(gammas)):
            a = slice_sums(d, [1.0 / g for g in gammas], i)
            if code == kernels.AM:
                gammas[i] = a / (np.prod(sizes) / sizes[i])
                raw[i] = gammas[i].copy()
                continue
            b = np.maximum(slice_sums(z, gammas, i), 1e-300)
            C = couplings[i]
            if C.size:
                top, bottom = C.T @ (a / gammas[i] ** 2), C.T @ b
                raw[i] = raw[i] * np.sqrt(top / np.maximum(bottom, 1e-300))
                gammas[i] = C @ raw[i]
            else:
                gammas[i] = np.sqrt(a / b)
                raw[i] = gammas[i].copy()
        _rescale(gammas, raw)
        if tol > 0 and sweep > 0:
            moved = max(
                np.abs(np.log(g / o)).max() for g, o in zip(gammas, old, strict=True)
            )
            if moved < tol:
                return


def _rescale(gammas, raw):
    for i in range(len(gammas) - 1):
        size = np.linalg.norm(gammas[i])
        gammas[i] /= size
        raw[i] /= size
        gammas[-1] *= size
        raw[-1] *= size


def nnls_m_step(u, s, gammas, raw, couplings, n_sweeps=10, tol=1e-4):
    """Alternate non-negative least squares for the coupled factors.

    A heuristic: the cost may rise.
    """
    gammas, raw = [g.copy() for g in gammas], [r.copy() for r in raw]
    full = outer(gammas)
    d = u + full * np.maximum(1.0 - full * s, 1e-15)
    for _ in range(n_sweeps):
        old = outer(gammas)
        for i, C in enumerate(couplings):
            share = len(gammas[i]) / d.size
            wanted = share * slice_sums(d, [1.0 / g for g in gammas], i)
            if C.size:
                size = wanted.max()
                raw[i] = size * nnls(C, wanted / size)[0]
                gammas[i] = _NNLS_FLOOR * size + C @ raw[i]
            else:
                gammas[i], raw[i] = wanted, wanted.copy()
        _rescale(gammas, raw)
        new = outer(gammas)
        if np.linalg.norm(new - old) <= tol * np.linalg.norm(old):
            break
    return gammas, raw


def relative_change(old, new):
    """``||new - old|| / ||old||`` of the outer products."""
    before = outer(old)
    return float(np.linalg.norm(outer(new) - before) / np.linalg.norm(before))
