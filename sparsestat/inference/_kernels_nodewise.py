"""Kernel of nodewise regressions: scaled Lassos of each column on all others."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _sweep(G, j, g, c, lam, only_active):
    """Update every coefficient once; return the largest change of a correlation.

    c holds the correlations of all columns with the residual, and is kept up to date.
    """
    p = G.shape[0]
    largest = 0.0
    for k in range(p):
        if k == j or (only_active and g[k] == 0.0):
            continue
        old = g[k]
        target = c[k] + G[k, k] * old
        new = 0.0
        if target > lam:
            new = (target - lam) / G[k, k]
        elif target < -lam:
            new = (target + lam) / G[k, k]
        if new == old:
            continue
        move = new - old
        g[k] = new
        for i in range(p):
            c[i] -= move * G[k, i]
        size = abs(move) * G[k, k]
        if size > largest:
            largest = size
    return largest


@njit(cache=True, nogil=True)
def nodewise(G, nodes, strength, tol, max_sweeps, coefs, violations):
    """Regress column j on the others for each node j, from the Gram matrix ``X'X / n``.

    Minimizes the scaled Lasso: the strength of each node is `strength` times its own
    residual level. Writes the coefficients of each node into a row of `coefs`, and the
    largest violation of the optimality conditions relative to the strength into
    `violations`; infinity where the residual level fell to nothing.
    """
    p = G.shape[0]
    g = np.zeros(p)
    c = np.zeros(p)
    for row in range(len(nodes)):
        j = nodes[row]
        g[:] = 0.0
        c[:] = G[j]
        level = G[j, j]
        swept = 0
        violations[row] = math.inf
        while swept < max_sweeps:
            lam = strength * math.sqrt(level)
            while swept < max_sweeps:
                moved = _sweep(G, j, g, c, lam, False)
                swept += 1
                if moved <= tol * lam:
                    break
                while swept < max_sweeps:
                    moved = _sweep(G, j, g, c, lam, True)
                    swept += 1
                    if moved <= tol * lam:
                        break
            # Afresh, as the running correlations drift.
            c[:] = G[j]
            for k in range(p):
                if g[k] != 0.0:
                    for i in range(p):
                        c[i] -= g[k] * G[k, i]
            new = G[j, j]
            for k in range(p):
                new -= g[k] * (G[j, k] + c[k])
            if not new > 1e-10 * G[j, j]:
                violations[row] = math.inf
                break
            settled = abs(new - level) <= tol * new
            level = new
            lam = strength * math.sqrt(level)
            worst = 0.0
            for k in range(p):
                if k == j:
                    continue
                wrong = abs(c[k]) - lam
                if g[k] > 0.0:
                    wrong = abs(c[k] - lam)
                elif g[k] < 0.0:
                    wrong = abs(c[k] + lam)
                worst = max(worst, wrong)
            violations[row] = worst / lam
            if settled and worst <= 10.0 * tol * lam:
                break
        coefs[row] = g
