"""Elastic nets on likelihoods of small dense data at one strength, in one call.

Every look at all features settles the intercept, measures the gap and is followed by
one proximal Newton step on the features that have a coefficient or want one. There are
loops alone: products of matrices compile for longer than small data take.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.linear_model._penalized._kernels_likelihood import (
    _add,
    _dot,
    _measure,
    _penalty,
    _settle,
    _total,
)
from sparsestat.linear_model._penalized._kernels_losses import (
    conjugate,
    evaluate,
    magnitude,
)
from sparsestat.linear_model._penalized._kernels_path import _newton, _sweep

_DOT = {"reassoc", "contract", "arcp", "nsz"}
_ARMIJO, _ROUNDING = 1e-4, 1e-14
_DOWN = 0.6  # from a strength to the next on the way down, where features are many
_NOTHING = 1e-14  # of the loss, below which there is nothing to explain
_SWEEPS = 4  # between two Newton steps in a model
_SOLVED = 1e-2  # of the squared gap is what a last sweep may lower a model by


@njit(cache=True, nogil=True, fastmath=_DOT)
def _gram(A, order, m, h, with_shift, mu, t, H):
    """Write the Gram matrix of m columns weighted by h into H, their means into mu."""
    total = _total(h)
    for a in range(m):
        row = A[order[a]]
        mu[a] = _dot(row, h) / total if with_shift else 0.0
        for i in range(h.shape[0]):
            t[i] = h[i] * (row[i] - mu[a])
        for b in range(a + 1):
            H[a, b] = _dot(t, A[order[b]])
            H[b, a] = H[a, b]


@njit(cache=True, nogil=True)
def _choose(q, w, norms, lam, l2, level, positive, order, wA, qA, lam_in, l2A):
    """List the features with a coefficient or a reason for one; return how many."""
    m = np.int64(0)
    for j in range(w.shape[0]):
        top = q[j] if positive else abs(q[j])
        if w[j] != 0.0 or (norms[j] > 0.0 and top > level * lam[j]):
            order[m], wA[m], qA[m], lam_in[m], l2A[m] = j, w[j], q[j], lam[j], l2[j]
            m += 1
    return m


@njit(cache=True, nogil=True)
def _minimize(
    H, v, r, d, lam_in, l2A, level, bend, m, positive, goal, most, L, at, step
):
    """Bring the model at v, whose negative slope is r, to its minimum; count sweeps."""
    sweeps = 0
    while sweeps < most:
        sweeps += 1
        if _sweep(H, v, r, d, lam_in, l2A, level, bend, m, positive) <= goal:
            break
        if sweeps % _SWEEPS == 0:
            _newton(H, v, r, lam_in, l2A, level, bend, m, L, at, step)
    return sweeps


@njit(cache=True, nogil=True)
def likelihood_fit(
    A, y, s, first_tied, norms, code, shape, floor, with_shift, has_gap, lam, l2,
    strength, ridge, positive, tol, budget, w, history, stats,
):  # fmt: skip
    """Solve for one strength from zero, until the gap or violation is small.

    Parameters
    ----------
    A, y, s, first_tied, norms, code, shape, floor, with_shift, has_gap
        See ``likelihood_path``; so are lam, l2 and positive.
    strength, ridge : float
    tol : float
        What the gap may be of what there is to explain, and the violation of the
        largest gradient at zero.
    budget : int
        Sweeps.
    w : ndarray of shape (p,)
        Zeros; the coefficients come here.
    history : ndarray of shape (most,)
        The relative gap or violation at each look at all features comes here.
    stats : ndarray of shape (1, 14)
        As the rows of ``likelihood_path``, then the loss of the intercept alone, what
        measures are relative to, the intercept, and the norm of the first gradient.

    Returns
    -------
    n_looks, n_sweeps : int
    """
    p, n = A.shape
    # Rows of few arrays: every kind of array compiles for a while.
    rows, columns, index = (
        np.empty((7, n)),
        np.empty((10, p)),
        np.empty((2, p), np.int64),
    )
    eta, g, h, image = rows[0], rows[1], rows[2], rows[3]
    eta2, g2, h2 = rows[4], rows[5], rows[6]
    q, wA, v, qA, r = columns[0], columns[1], columns[2], columns[3], columns[4]
    d, lam_in, l2A, mu, step = (
        columns[5],
        columns[6],
        columns[7],
        columns[8],
        columns[9],
    )
    order, at = index[0], index[1]
    H = L = np.empty((0, 0))
    always, never = n > 0, n < 0
    sweeps, looks, shift, unit, scale, level = 0, 0, 0.0, 0.0, 0.0, strength
    for i in range(n):
        eta[i] = 0.0
    while True:
        evaluate(code, shape, floor, y, s, first_tied, eta, g, h, never)
        if with_shift:
            shift = _settle(code, shape, floor, y, s, first_tied, eta, g, h, shift)
        value = evaluate(code, shape, floor, y, s, first_tied, eta, g, h, always)
        for j in range(p):
            q[j] = -_dot(A[j], g)
        if looks == 0:
            stats[0, 10], stats[0, 13] = value, np.sqrt(_dot(g, g))
            if has_gap:
                unit = value + conjugate(code, shape, y, s, eta, g, 0.0)
                if not unit > _NOTHING * abs(value):
                    break
            for j in range(p):
                if np.isfinite(lam[j]):
                    if not has_gap:
                        unit = max(unit, abs(q[j]))
                    if p > n:
                        level = max(level, abs(q[j]) / lam[j])
            if not unit > 0.0:
                break
            scale = unit if has_gap else abs(value)
        objective = value + _penalty(lam, l2, strength, ridge, w, p)
        measure, dual, multiple, slope = _measure(
            code, shape, y, s, eta, g, q, w, norms, lam, l2, strength, ridge, positive,
            has_gap, objective,
        )  # fmt: skip
        history[looks] = measure / unit
        looks += 1
        if measure <= tol * unit or looks == history.shape[0] or sweeps >= budget:
            break
        # Started at zero, coefficients that rest there would enter by the hundred.
        level = max(strength, _DOWN * level)
        bend = ridge * (level / strength)
        m = _choose(q, w, norms, lam, l2, level, positive, order, wA, qA, lam_in, l2A)
        if m > H.shape[0]:
            H, L = np.empty((m, m)), np.empty((m, m))
        _gram(A, order, m, h, with_shift, mu, image, H)
        for a in range(m):
            v[a], r[a], d[a] = wA[a], qA[a], H[a, a]
        goal = _SOLVED * (measure / unit) ** 2 * scale
        sweeps += _minimize(
            H, v, r, d, lam_in, l2A, level, bend, m, positive, goal, budget - sweeps, L,
            at, step,
        )  # fmt: skip
        change, move = 0.0, 0.0
        for i in range(n):
            image[i] = 0.0
        for a in range(m):
            move -= mu[a] * (v[a] - wA[a])
            change += level * lam_in[a] * (abs(v[a]) - abs(wA[a]))
            change += (v[a] - wA[a]) * (0.5 * bend * l2A[a] * (v[a] + wA[a]) - qA[a])
            _add(image, v[a] - wA[a], A[order[a]])
        present = value + _penalty(lam_in, l2A, level, bend, wA, m)
        length, found = 1.0, False
        while length > 1e-10 and not found:
            for i in range(n):
                eta2[i] = eta[i] + length * (image[i] + move)
            for a in range(m):
                step[a] = wA[a] + length * (v[a] - wA[a])
            new = evaluate(code, shape, floor, y, s, first_tied, eta2, g2, h2, always)
            total = new + _penalty(lam_in, l2A, level, bend, step, m)
            # Where the objective has no digits left for the gain, the slopes may.
            slack = _ROUNDING * abs(present)
            found = total <= present + _ARMIJO * length * change or (
                abs(change) <= 1e4 * slack and total <= present + 10.0 * slack
            )
            length *= 0.5
        if not found:
            break
        # Afresh: steps have gathered rounding.
        shift = shift + 2.0 * length * move if with_shift else 0.0
        for i in range(n):
            eta[i] = shift
        for a in range(m):
            w[order[a]] = step[a]
            if step[a] != 0.0:
                _add(eta, step[a], A[order[a]])
    if looks > 0:
        steepest = 0.0
        for i in range(n):
            steepest = max(steepest, h[i])
        stats[0, 0], stats[0, 1], stats[0, 2] = objective, dual, measure
        stats[0, 3], stats[0, 4], stats[0, 5] = multiple, np.sqrt(_dot(g, g)), _total(g)
        stats[0, 6] = _dot(g, eta) - shift * stats[0, 5]
        stats[0, 7] = magnitude(code, shape, y, s, eta, value)
        stats[0, 8], stats[0, 9], stats[0, 11] = steepest, slope, unit
        stats[0, 12] = shift
    return looks, sweeps
