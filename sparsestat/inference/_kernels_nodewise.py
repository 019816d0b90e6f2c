"""Kernel of nodewise regressions: scaled Lassos of each column on all others."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np

from sparsestat._utils.jit import njit

_ACTIVE_SWEEPS = 20  # before a Newton step


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
def _correlate(G, j, g, c):
    """Compute the correlations with the residual from nothing."""
    c[:] = G[j]
    for k in range(len(g)):
        if g[k] != 0.0:
            for i in range(len(g)):
                c[i] -= g[k] * G[k, i]


@njit(cache=True, nogil=True)
def _newton(G, j, g, lam):
    """Minimize over the support with its signs; coefficients stop at zero.

    The objective never rises. Nothing more is done where the columns of the support
    depend on each other.
    """
    support = np.flatnonzero(g)
    for _ in range(len(support)):
        support = np.flatnonzero(g)
        m = len(support)
        L = np.empty((m, m))
        x = np.empty(m)
        for a in range(m):
            x[a] = G[support[a], j] - math.copysign(lam, g[support[a]])
            for b in range(a + 1):
                L[a, b] = G[support[a], support[b]]
        for a in range(m):
            for b in range(a + 1):
                value = L[a, b]
                for k in range(b):
                    value -= L[a, k] * L[b, k]
                if a > b:
                    L[a, b] = value / L[b, b]
                elif value <= 1e-12 * G[support[a], support[a]]:
                    return
                else:
                    L[a, a] = math.sqrt(value)
        for a in range(m):
            for k in range(a):
                x[a] -= L[a, k] * x[k]
            x[a] /= L[a, a]
        for a in range(m - 1, -1, -1):
            for k in range(a + 1, m):
                x[a] -= L[k, a] * x[k]
            x[a] /= L[a, a]
        length, first = 1.0, -1
        for a in range(m):
            old = g[support[a]]
            if old * x[a] <= 0.0:
                reach = old / (old - x[a])
                if reach < length:
                    length, first = reach, a
        for a in range(m):
            g[support[a]] += length * (x[a] - g[support[a]])
        if first < 0:
            return
        g[support[first]] = 0.0


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
                for _ in range(_ACTIVE_SWEEPS):
                    moved = _sweep(G, j, g, c, lam, True)
                    swept += 1
                    if moved <= tol * lam:
                        break
                if moved > tol * lam:  # columns that nearly agree: no coordinate's way
                    _newton(G, j, g, lam)
                    _correlate(G, j, g, c)
            _correlate(G, j, g, c)  # afresh, as the running ones drift
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
