"""Baselines of the sparse Bayesian benchmarks: dense, greedy and with an oracle."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time

import numpy as np
from scipy.linalg import cholesky, qr, solve_triangular


def nmse(found, truth):
    """Squared error relative to the squared norm."""
    return float((np.abs(found - truth) ** 2).sum() / (np.abs(truth) ** 2).sum())


def multiply(factors, x):
    """Kronecker product of the factors times x, as a tensor."""
    X = np.reshape(x, [H.shape[1] for H in factors])
    for i, H in enumerate(factors):
        X = np.moveaxis(np.tensordot(H, X, axes=(1, i)), 0, i)
    return X


def kron(parts):
    out = parts[0]
    for part in parts[1:]:
        out = np.kron(out, part)
    return out


def dense_em(H, y, s2, *, prune=1e-3, tol=1e-4, max_iter=150, seconds=np.inf):
    """Sparse Bayesian learning by dense expectation maximization.

    Returns the coefficients, the number of iterations and whether time ran out.
    """
    start = time.perf_counter()
    n = H.shape[1]
    index, gamma = np.arange(n), np.ones(n)
    for done in range(1, max_iter + 1):  # noqa: B007
        A = H[:, index]
        S = (A * gamma) @ A.conj().T
        S[np.diag_indices(len(S))] += s2
        L = cholesky(S, lower=True, overwrite_a=True, check_finite=False)
        Z = solve_triangular(L, A, lower=True, check_finite=False)
        t = solve_triangular(L, y, lower=True, check_finite=False)
        mean = gamma * (Z.conj().T @ t)
        s = (np.abs(Z) ** 2).sum(axis=0)
        new = np.abs(mean) ** 2 + gamma * np.maximum(1 - gamma * s, 0)
        change = np.linalg.norm(new - gamma) / np.linalg.norm(gamma)
        keep = new >= prune * new.max()
        index, gamma, mean = index[keep], new[keep], mean[keep]
        cut = time.perf_counter() - start > seconds
        if change < tol or cut:
            break
    out = np.zeros(n, dtype=np.result_type(H, y))
    out[index] = mean
    return out, done, cut and change >= tol


def full_covariance_kronecker(factors, y, s2, *, max_iter=150, seconds=np.inf):
    """Kronecker learning that diagonalizes factors but builds the full covariance.

    The rank-one update by singular vectors, columns cut at 1e-3: the way the method
    was published. Returns coefficients, iterations and whether time ran out.
    """
    start = time.perf_counter()
    sizes = [H.shape[1] for H in factors]
    index = [np.arange(n) for n in sizes]
    gammas = [np.ones(n) for n in sizes]
    for done in range(1, max_iter + 1):  # noqa: B007
        small = [H[:, j] for H, j in zip(factors, index, strict=True)]
        vectors, values = [], []
        for H, g in zip(small, gammas, strict=True):
            _, D, Vh = np.linalg.svd(H * np.sqrt(g), full_matrices=True)
            vectors.append(np.sqrt(g)[:, None] * Vh.conj().T)
            values.append(np.r_[D**2, np.zeros(H.shape[1] - len(D))])
        V = kron(vectors)
        Sigma = (V * (s2 / (s2 + kron(values)))) @ V.conj().T
        right = multiply([H.conj().T for H in small], y).ravel()
        mean = Sigma @ right / s2
        d = (np.abs(mean) ** 2 + np.real(np.diag(Sigma))).reshape(
            [len(j) for j in index]
        )
        old, left, new = kron(gammas), d, []
        for _ in range(len(sizes) - 1):
            D = left.reshape(left.shape[0], -1)
            w = np.abs(np.linalg.svd(D, full_matrices=False)[0][:, 0])
            new.append(w)
            left = np.tensordot(w, left, axes=1)
        new.append(left)
        change = np.linalg.norm(kron(new) - old) / np.linalg.norm(old)
        keep = [g >= 1e-3 * g.max() for g in new]
        full = np.zeros(sizes, dtype=mean.dtype)
        full[np.ix_(*index)] = mean.reshape([len(j) for j in index])
        gammas = [g[k] for g, k in zip(new, keep, strict=True)]
        index = [j[k] for j, k in zip(index, keep, strict=True)]
        cut = time.perf_counter() - start > seconds
        if change < 1e-4 or cut:
            break
    return full.ravel(), done, cut and change >= 1e-4


def kronecker_omp(factors, y, *, n_indices=10, ratio=1e-2):
    """Orthogonal matching pursuit over products of index sets (KOMP)."""
    shape = [H.shape[0] for H in factors]
    Y = np.reshape(y, shape)
    norms = [np.linalg.norm(H, axis=0) for H in factors]
    unit = [H / n for H, n in zip(factors, norms, strict=True)]
    chosen = [[] for _ in factors]
    R, X = Y, None
    while max(len(c) for c in chosen) < n_indices:
        scores = np.abs(multiply([H.conj().T for H in unit], R))
        best = np.unravel_index(np.argmax(scores), scores.shape)
        if all(j in c for j, c in zip(best, chosen, strict=True)):
            break
        for j, c in zip(best, chosen, strict=True):
            if j not in c:
                c.append(int(j))
        solve = []
        for H, c in zip(factors, chosen, strict=True):
            Q, U = qr(H[:, c], mode="economic")
            solve.append((Q, U))
        if any(U.shape[0] < U.shape[1] for _, U in solve):
            break
        small = [solve_triangular(U, Q.conj().T, check_finite=False) for Q, U in solve]
        X = multiply(small, Y)
        R = Y - multiply([H[:, c] for H, c in zip(factors, chosen, strict=True)], X)
        if np.linalg.norm(R) < ratio * np.linalg.norm(Y):
            break
    out = np.zeros([H.shape[1] for H in factors], dtype=np.result_type(Y, *factors))
    if X is not None:
        out[np.ix_(*[c[:n] for c, n in zip(chosen, X.shape, strict=True)])] = X
    return out.ravel()


def oracle_kronecker(factors, y, supports):
    """Least squares on the true supports."""
    small = [np.linalg.pinv(H[:, s]) for H, s in zip(factors, supports, strict=True)]
    X = multiply(small, np.reshape(y, [H.shape[0] for H in factors]))
    out = np.zeros([H.shape[1] for H in factors], dtype=X.dtype)
    out[np.ix_(*supports)] = X
    return out.ravel()


def oracle(H, y, support):
    """Least squares on the true support."""
    out = np.zeros(H.shape[1], dtype=np.result_type(H, y))
    out[support] = np.linalg.lstsq(H[:, support], y, rcond=None)[0]
    return out


def omp(H, y, n_nonzero):
    """Orthogonal matching pursuit."""
    norms = np.linalg.norm(H, axis=0)
    chosen, R = [], y
    for _ in range(n_nonzero):
        scores = np.abs(H.conj().T @ R) / norms
        scores[chosen] = 0
        chosen.append(int(np.argmax(scores)))
        x = np.linalg.lstsq(H[:, chosen], y, rcond=None)[0]
        R = y - H[:, chosen] @ x
    out = np.zeros(H.shape[1], dtype=np.result_type(H, y))
    out[chosen] = x
    return out


def pattern_coupled(H, y, s2, neighbors, *, beta=1.0, a=0.5, b=1e-4, max_iter=100):
    """Pattern-coupled sparse Bayesian learning on a graph.

    Parameters
    ----------
    neighbors : sparse array of shape (n, n)
        Adjacency of the cells.
    """
    n = H.shape[1]
    h = 1.0 if np.iscomplexobj(H) else 0.5
    alpha, mean = np.ones(n), np.zeros(n)
    for _ in range(max_iter):
        gamma = 1.0 / (alpha + beta * (neighbors @ alpha))
        S = (H * gamma) @ H.conj().T
        S[np.diag_indices(len(S))] += s2
        L = cholesky(S, lower=True, check_finite=False)
        Z = solve_triangular(L, H, lower=True, check_finite=False)
        t = solve_triangular(L, y, lower=True, check_finite=False)
        new = gamma * (Z.conj().T @ t)
        s = (np.abs(Z) ** 2).sum(axis=0)
        second = np.abs(new) ** 2 + gamma * np.maximum(1 - gamma * s, 0)
        alpha = (a + h) / (h * (second + beta * (neighbors @ second)) + b)
        done = np.linalg.norm(new - mean) < 1e-4 * np.linalg.norm(new)
        mean = new
        if done:
            break
    return mean
