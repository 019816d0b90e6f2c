"""Steps of Adam on the outer factors, one exact group of each block a step.

The peer of the semi-structured factorization, in the spirit of ARMOR's loop: Adam on A
and B, and in each block one group of the core, drawn by the l1 norm of its gradient,
which gets its best mask and values.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools
import time

import numpy as np

__all__ = ["adam_loop"]


def adam_loop(W, d, seconds, *, lr, n=2, m=4, b=32, seed=0):
    """Return the best relative loss that was reached in a time, and the steps."""
    rng = np.random.default_rng(seed)
    rows, columns = W.shape[0] // b, W.shape[1] // b
    size = np.abs(W).max()
    # Blocks (column, row, b, b); all sides of a product are batched alike.
    T = (W / size).reshape(rows, b, columns, b).transpose(2, 0, 1, 3).copy()
    weight = (d / d.max()).reshape(columns, 1, 1, b)
    scores = (np.abs(T) * np.sqrt(weight)).reshape(*T.shape[:3], b // m, m)
    S = np.where(np.argsort(np.argsort(-scores)) < n, T.reshape(scores.shape), 0.0)
    S = S.reshape(T.shape)
    A, B = np.tile(np.eye(b), (rows, 1, 1)), np.tile(np.eye(b), (columns, 1, 1))
    masks = np.array(list(itertools.combinations(range(m), n)))
    moments = [[np.zeros_like(M), np.zeros_like(M)] for M in (A, B)]
    zero = (weight * T**2).sum()
    best, step, begin = np.inf, 0, time.perf_counter()
    while True:
        SB = np.matmul(S, B[:, None])
        R = T - np.matmul(A, SB)
        D = R * weight
        best = min(best, float((R * D).sum() / zero))
        if time.perf_counter() - begin > seconds:
            return best, step
        step += 1
        gradients = (
            -2 * np.matmul(D, SB.transpose(0, 1, 3, 2)).sum(axis=0),
            -2 * np.matmul(np.matmul(A, S).transpose(0, 1, 3, 2), D).sum(axis=1),
        )
        for M, g, (first, second) in zip((A, B), gradients, moments, strict=True):
            first += 0.1 * (g - first)
            second += 0.001 * (g * g - second)
            M -= (
                lr
                * (first / (1 - 0.9**step))
                / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            )
        _improve_groups(T, weight, A, S, B, masks, m, rng)


def _improve_groups(T, weight, A, S, B, masks, m, rng):
    """Give one group of each block its best mask and values."""
    columns, rows, b, _ = T.shape
    right = B * weight[:, 0]
    R = T - np.matmul(A, np.matmul(S, B[:, None]))
    G = np.matmul(A.transpose(0, 2, 1), np.matmul(R, right.transpose(0, 2, 1)[:, None]))
    sizes = np.abs(G).reshape(columns, rows, -1, m).sum(axis=-1)
    chosen = (np.log(sizes + 1e-300) + rng.gumbel(size=sizes.shape)).argmax(axis=-1)
    r, g = np.divmod(chosen, b // m)
    c, k = np.ogrid[:columns, :rows]
    group = g[..., None] * m + np.arange(m)
    H = np.matmul(right, B.transpose(0, 2, 1))
    H = H[c[..., None, None], group[..., :, None], group[..., None, :]]
    curvature = np.einsum("kij,kij->kj", A, A)[k, r][..., None]
    x = S[c[..., None], k[..., None], r[..., None], group]
    f = G[c[..., None], k[..., None], r[..., None], group]
    f = f + curvature * np.einsum("ckij,ckj->cki", H, x)
    top, new = np.full(chosen.shape, -np.inf), np.zeros_like(x)
    for mask in masks:
        part = H[..., mask[:, None], mask] + 1e-12 * np.eye(len(mask))
        y = np.linalg.solve(part, f[..., mask][..., None])[..., 0]
        gain = (y * f[..., mask]).sum(axis=-1)
        better = gain > top
        top[better] = gain[better]
        full = np.zeros_like(x)
        full[..., mask] = y / curvature
        new[better] = full[better]
    S[c[..., None], k[..., None], r[..., None], group] = new
