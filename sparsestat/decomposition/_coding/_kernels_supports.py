"""Truncated posteriors of models whose costly terms depend on the support alone.

A table has one row for each support: the H single causes first, then larger sets.
`rows` says, for each set of candidates, which row of the table stands for which
state of the tree; `sets` which set of candidates a point has. Expectations are
gathered row by row and spread over causes afterwards, once for all points.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit
from sparsestat.decomposition._coding._kernels_sparse_coding import exponentials_from

__all__ = [
    "max_joints",
    "max_moments",
    "max_posteriors",
    "max_scores",
    "max_tables",
    "rank_states",
    "slab_joints",
    "slab_moments",
    "slab_posteriors",
    "slab_tables",
]

_SKIP = 4.3e-18  # exp(-40): a relative weight that double precision does not see
_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True)
def rank_states(candidates, members, sizes, parents, binomials, offsets, ranks):
    """Number the supports of all states, for each set of candidates.

    The rank of ascending c_1 < ... < c_g among the sets of its size is
    ``sum_i C(c_i, i)``, hence a state's rank follows from its parent's.
    """
    for i in range(candidates.shape[0]):
        ranks[i, 0] = 0
        for s in range(1, len(sizes)):
            g = sizes[s]
            cause = candidates[i, members[s, g - 1]]
            ranks[i, s] = ranks[i, parents[s]] + binomials[cause, g]
        for s in range(1, len(sizes)):
            ranks[i, s] += offsets[sizes[s]]


# Causes of which the largest wins


@njit(cache=True, nogil=True)
def max_scores(Y, W, scores):
    """Write minus the excess of each cause over the data: larger is better."""
    for i in range(Y.shape[0]):
        for h in range(W.shape[0]):
            excess = 0.0
            for d in range(W.shape[1]):
                excess += max(W[h, d] - Y[i, d], 0.0)
            scores[i, h] = -excess


@njit(cache=True, nogil=True)
def max_tables(W, powers, scale, supports, sizes, rho, bars, ratios, norms):
    """Fill a row for each support with its softened maximum.

    `powers` is sign(W) |W / scale|^rho. `ratios` is |t|^(1/rho) / |t| with t the
    sum of the powers, NaN where these underflow.
    """
    n_features = W.shape[1]
    inverse = 1.0 / rho
    for s in range(len(sizes)):
        g = sizes[s]
        norm = 0.0
        for d in range(n_features):
            if g == 1:
                bar, ratio = W[supports[s, 0], d], 1.0
            else:
                t = 0.0
                for j in range(g):
                    t += powers[supports[s, j], d]
                size = abs(t)
                if size > 1e-270:
                    root = size**inverse
                    bar, ratio = np.copysign(scale[d] * root, t), root / size
                else:
                    largest = 0.0
                    for j in range(g):
                        largest = max(largest, abs(W[supports[s, j], d]))
                    t = 0.0
                    for j in range(g):
                        w = W[supports[s, j], d] / max(largest, 1e-300)
                        t += np.copysign(abs(w) ** rho, w)
                    bar = np.copysign(largest * abs(t) ** inverse, t)
                    ratio = np.nan
            bars[s, d] = bar
            ratios[s, d] = ratio
            norm += bar * bar
        norms[s] = norm


@njit(cache=True, nogil=True, fastmath=_FAST)
def _max_row(Y, i, bars, norms, rows, u, sizes, first, log_odds, two_inv, joint):
    """Write the log-joints of one point: none, one, and several causes."""
    n_features = Y.shape[1]
    h_all = len(joint) - 1 - (len(sizes) - first)
    joint[0] = 0.0
    for h in range(h_all):
        product = 0.0
        for d in range(n_features):
            product += bars[h, d] * Y[i, d]
        joint[1 + h] = log_odds + two_inv * (product - 0.5 * norms[h])
    for s in range(first, len(sizes)):
        row = rows[u, s]
        product = 0.0
        for d in range(n_features):
            product += bars[row, d] * Y[i, d]
        value = sizes[s] * log_odds + two_inv * (product - 0.5 * norms[row])
        joint[1 + h_all + s - first] = value


@njit(cache=True, nogil=True)
def _row_weights(joint, scratch):
    """Replace log-joints by exp(log-joint - max); return maximum and sum."""
    n = len(joint)
    top = 0.0
    for s in range(n):
        top = max(top, joint[s])
    for s in range(n):
        joint[s] -= top
    exponentials_from(joint, scratch, n)
    total = 0.0
    for s in range(n):
        total += joint[s]
    return top, total


@njit(cache=True, nogil=True, fastmath=_FAST)
def _add_scaled(sums, row, q, Y, i):
    for d in range(Y.shape[1]):
        sums[row, d] += q * Y[i, d]


@njit(cache=True, nogil=True)
def max_posteriors(
    Y,
    sets,
    rows,
    supports,
    bars,
    norms,
    sizes,
    first,
    h_all,
    log_odds,
    two_inv,
    weights,
    log_z,
    means,
    mass,
    sums,
):
    """Write log-evidences and posterior means; add the mass and data of supports."""
    n_joint = 1 + h_all + len(sizes) - first
    joint, scratch = np.empty(n_joint), np.empty(n_joint)
    for i in range(Y.shape[0]):
        u = sets[i]
        _max_row(Y, i, bars, norms, rows, u, sizes, first, log_odds, two_inv, joint)
        top, total = _row_weights(joint, scratch)
        log_z[i] = top + np.log(total)
        for h in range(h_all):
            q = joint[1 + h] / total
            means[i, h] = q
            if q > _SKIP:
                mass[h] += weights[i] * q
                _add_scaled(sums, h, weights[i] * q, Y, i)
        for s in range(first, len(sizes)):
            q = joint[1 + h_all + s - first] / total
            if q > _SKIP:
                row = rows[u, s]
                mass[row] += weights[i] * q
                _add_scaled(sums, row, weights[i] * q, Y, i)
                for j in range(sizes[s]):
                    means[i, supports[row, j]] += q


@njit(cache=True, nogil=True)
def max_joints(Y, sets, rows, bars, norms, sizes, first, h_all, log_odds, two_inv, out):
    """Write all log-joints: none, single causes, then states of several causes."""
    for i in range(Y.shape[0]):
        u = sets[i]
        _max_row(Y, i, bars, norms, rows, u, sizes, first, log_odds, two_inv, out[i])


@njit(cache=True, nogil=True)
def max_moments(
    W, lower, scale, rho, supports, sizes, bars, ratios, mass, sums, num, den
):
    """Spread the mass and data of supports over causes, by who makes the maximum.

    `lower` is |W / scale|^(rho - 1). Adds to numerator and denominator of W.
    """
    for s in range(len(sizes)):
        q = mass[s]
        if q == 0.0:
            continue
        for j in range(sizes[s]):
            h = supports[s, j]
            for d in range(W.shape[1]):
                a = 1.0
                if sizes[s] > 1:
                    if np.isnan(ratios[s, d]):
                        bar = abs(bars[s, d])
                        if bar > abs(W[h, d]):
                            a = (abs(W[h, d]) / bar) ** (rho - 1.0)
                    else:
                        a = min(1.0, lower[h, d] * ratios[s, d])
                num[h, d] += a * sums[s, d]
                den[h, d] += a * q


# Causes with a normal strength


@njit(cache=True, nogil=True)
def slab_tables(G, mean, cov, log_odds, supports, sizes, prior, base, shift, post):
    """Fill a row for each support with the terms of its Gaussian.

    With G the weighted Gram matrix and C the Cholesky factor of the slab's
    covariance on the support, M = I + C'GC: `base` is -(logdet M + m'Gm) / 2,
    `shift` is G m, `post` the posterior covariance C M^-1 C'. Nothing is divided by
    the slab's covariance, which may be singular.
    """
    g_max = supports.shape[1]
    C, M, X = (
        np.zeros((g_max, g_max)),
        np.empty((g_max, g_max)),
        np.empty((g_max, g_max)),
    )
    for s in range(len(sizes)):
        g = sizes[s]
        odds, energy, log_det = 0.0, 0.0, 0.0
        for a in range(g):
            ca = supports[s, a]
            odds += log_odds[ca]
            total = 0.0
            for c in range(g):
                cc = supports[s, c]
                total += G[ca, cc] * mean[cc]
            shift[s, a] = total
            energy += mean[ca] * total
            for c in range(a + 1):
                total = cov[ca, supports[s, c]]
                for j in range(c):
                    total -= C[a, j] * C[c, j]
                if c < a:
                    C[a, c] = total / C[c, c] if C[c, c] > 0.0 else 0.0
                else:
                    C[a, a] = np.sqrt(max(total, 0.0))
        for a in range(g):
            for c in range(a + 1):
                total = 1.0 if a == c else 0.0
                for i in range(a, g):
                    for j in range(c, g):
                        total += C[i, a] * G[supports[s, i], supports[s, j]] * C[j, c]
                M[a, c] = total
        for a in range(g):  # Cholesky in place, then X = L^-1 C'
            for c in range(a + 1):
                total = M[a, c]
                for j in range(c):
                    total -= M[a, j] * M[c, j]
                if c < a:
                    M[a, c] = total / M[c, c]
                else:
                    # Every pivot of I + C'GC is at least 1; rounding may say less.
                    total = max(total, 1.0)
                    M[a, a] = np.sqrt(total)
                    log_det += np.log(total)
            for c in range(g):
                total = C[c, a] if a <= c else 0.0
                for j in range(a):
                    total -= M[a, j] * X[j, c]
                X[a, c] = total / M[a, a]
        for a in range(g):
            for c in range(g):
                total = 0.0
                for j in range(g):
                    total += X[j, a] * X[j, c]
                post[s, a, c] = total
        prior[s] = odds
        base[s] = -0.5 * (log_det + energy)


@njit(cache=True, nogil=True)
def _slab_value(B, i, mean, supports, row, g, base, shift, post):
    """Return the log-evidence of one support for one point."""
    linear, quadratic = base[row], 0.0
    for a in range(g):
        ca = supports[row, a]
        linear += mean[ca] * B[i, ca]
        r = B[i, ca] - shift[row, a]
        total = 0.5 * post[row, a, a] * r
        for c in range(a):
            total += post[row, a, c] * (B[i, supports[row, c]] - shift[row, c])
        quadratic += r * total
    return linear + quadratic


@njit(cache=True, nogil=True)
def _slab_row(
    B, i, mean, supports, rows, u, sizes, first, prior, base, shift, post, temper, joint
):
    """Write the log-joints of one point: none, one, and several causes."""
    h_all = B.shape[1]
    on_prior, beta = temper
    joint[0] = 0.0
    for h in range(h_all):
        value = _slab_value(B, i, mean, supports, h, 1, base, shift, post)
        joint[1 + h] = on_prior * prior[h] + beta * value
    for s in range(first, len(sizes)):
        row = rows[u, s]
        value = _slab_value(B, i, mean, supports, row, sizes[s], base, shift, post)
        joint[1 + h_all + s - first] = on_prior * prior[row] + beta * value


@njit(cache=True, nogil=True)
def _slab_add(
    B,
    i,
    mean,
    supports,
    row,
    g,
    shift,
    post,
    q,
    w,
    kappa,
    means,
    mass,
    first_moment,
    second_moment,
):
    """Add the posterior moments of one support, of probability q, for one point."""
    for a in range(g):
        total = mean[supports[row, a]]
        for c in range(g):
            total += post[row, a, c] * (B[i, supports[row, c]] - shift[row, c])
        kappa[a] = total
    mass[row] += w * q
    for a in range(g):
        means[i, supports[row, a]] += q * kappa[a]
        first_moment[row, a] += w * q * kappa[a]
        for c in range(a + 1):
            second_moment[row, a, c] += w * q * kappa[a] * kappa[c]


@njit(cache=True, nogil=True)
def slab_posteriors(
    B,
    mean,
    sets,
    rows,
    supports,
    sizes,
    first,
    prior,
    base,
    shift,
    post,
    temper,
    weights,
    log_z,
    means,
    mass,
    first_moment,
    second_moment,
):
    """Write log-evidences and posterior means; add moments of the strengths.

    `means` must be zero. `temper` holds the factors of the prior and the evidence.
    """
    h_all = B.shape[1]
    n_joint = 1 + h_all + len(sizes) - first
    joint, scratch = np.empty(n_joint), np.empty(n_joint)
    kappa = np.empty(supports.shape[1])
    for i in range(B.shape[0]):
        u = sets[i]
        _slab_row(
            B,
            i,
            mean,
            supports,
            rows,
            u,
            sizes,
            first,
            prior,
            base,
            shift,
            post,
            temper,
            joint,
        )
        top, total = _row_weights(joint, scratch)
        log_z[i] = top + np.log(total)
        for h in range(h_all):
            q = joint[1 + h] / total
            if q > _SKIP:
                _slab_add(
                    B,
                    i,
                    mean,
                    supports,
                    h,
                    1,
                    shift,
                    post,
                    q,
                    weights[i],
                    kappa,
                    means,
                    mass,
                    first_moment,
                    second_moment,
                )
        for s in range(first, len(sizes)):
            q = joint[1 + h_all + s - first] / total
            if q > _SKIP:
                _slab_add(
                    B,
                    i,
                    mean,
                    supports,
                    rows[u, s],
                    sizes[s],
                    shift,
                    post,
                    q,
                    weights[i],
                    kappa,
                    means,
                    mass,
                    first_moment,
                    second_moment,
                )


@njit(cache=True, nogil=True)
def slab_joints(
    B, mean, sets, rows, supports, sizes, first, prior, base, shift, post, temper, out
):
    """Write all log-joints: none, single causes, then states of several causes."""
    for i in range(B.shape[0]):
        _slab_row(
            B,
            i,
            mean,
            supports,
            rows,
            sets[i],
            sizes,
            first,
            prior,
            base,
            shift,
            post,
            temper,
            out[i],
        )


@njit(cache=True, nogil=True)
def slab_moments(
    supports, sizes, post, mass, first_moment, second_moment, active, mixed, second
):
    """Spread moments of supports over causes.

    Adds <s_i s_j> to `active`, <s_i (sz)_j> to `mixed`, <(sz)_i (sz)_j> to `second`.
    """
    for s in range(len(sizes)):
        q = mass[s]
        if q == 0.0:
            continue
        for a in range(sizes[s]):
            i = supports[s, a]
            for c in range(sizes[s]):
                j = supports[s, c]
                active[i, j] += q
                mixed[i, j] += first_moment[s, c]
                moment = second_moment[s, max(a, c), min(a, c)]
                second[i, j] += moment + q * post[s, a, c]
