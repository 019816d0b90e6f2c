r"""Transport without entropy: a linear program on the arcs that can matter.

Potentials of a nearly exact entropic solution tell which arcs have a small reduced
cost; HiGHS solves the program on those, and one pass over all costs either proves the
answer optimal or finds the arcs that were missing.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat.exceptions import NumericalError
from sparsestat.transport._result import OTResult

__all__ = ["solve_exact"]

_ALL_ARCS_UP_TO = 20_000
_MAX_ROUNDS = 20
_MAX_LABEL_PASSES = 60
_TOL = 1e-9


def solve_exact(cost, a, b, *, return_plan="auto", warn=True):
    """Return the optimum of the linear program as an OTResult."""
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    inner = cost.take(rows, columns)
    left, right = a[rows], b[columns]
    mass = left.sum()
    left, right = left / mass, right / right.sum()
    sample = inner.sample()
    scale = max(float(np.abs(sample).max()), np.finfo(float).tiny)
    n, m = inner.shape
    if n * m <= _ALL_ARCS_UP_TO:
        i, j = np.nonzero(np.isfinite(_all_rows(inner)))
    else:
        i, j = _candidate_arcs(inner, left, right, scale)
    n_rounds = 0
    while True:
        n_rounds += 1
        flow, u, v, c = _linear_program(inner, i, j, left, right, scale)
        value = c @ flow
        u, v = _extended_duals(inner, flow, i, j, c, u, v, 1e-13 * scale)
        low, new_i, new_j = _violated(inner, u, v, 1e-10 * scale)
        dual = left @ (u + low) + right @ v  # u + low: feasible for all arcs
        gap = abs(value - dual)
        if len(new_i) == 0 or n_rounds == _MAX_ROUNDS or gap <= 1e-12 * abs(value):
            break
        known = np.sort(i.astype(np.int64) * m + j)
        new = np.setdiff1d(new_i.astype(np.int64) * m + new_j, known)
        if not len(new):
            break
        i, j = np.concatenate([i, new // m]), np.concatenate([j, new % m])
    plan = sparse.csr_array((flow, (i, j)), shape=(n, m))
    plan.eliminate_zeros()
    error = (
        np.abs(plan.sum(axis=1) - left).sum() + np.abs(plan.sum(axis=0) - right).sum()
    )
    relative = gap / max(abs(value), 1e-3 * scale)
    tol = _TOL
    satisfied = bool(relative <= tol and error <= 1e-9)
    certificate = Certificate(
        kind="transport_gap",
        value=float(relative),
        tol=tol,
        satisfied=satisfied,
        scale="(primal - dual) / max(|primal|, 1e-3 largest cost)",
        details={
            "transport_cost": float(mass * value),
            "lower_bound": float(mass * dual),
            "marginal_error": float(error),
            "rounds": n_rounds,
            "arcs": len(i),
        },
    )
    if warn:
        warn_if_unsatisfied(
            certificate,
            "Exact transport: the gap between primal and dual",
            "Rescale the costs, whose range exceeds what the linear program resolves.",
        )
    phi, psi = np.zeros(len(a)), np.zeros(len(b))
    phi[rows], psi[columns] = u + low, v
    n_all, m_all = cost.shape
    if len(rows) < n_all:
        rest = np.setdiff1d(np.arange(n_all), rows)
        phi[rest] = _hard_transform(cost.take(rest, columns), v)
    if len(columns) < m_all:
        rest = np.setdiff1d(np.arange(m_all), columns)
        psi[rest] = _hard_transform(cost.take(rows, rest).T, u + low)
    whole = sparse.csr_array(
        (mass * flow[flow > 0], (rows[i[flow > 0]], columns[j[flow > 0]])),
        shape=cost.shape,
    )
    whole.sum_duplicates()
    if return_plan == "dense" or (return_plan == "auto" and n_all * m_all <= 16e6):
        whole = whole.toarray()
    return OTResult(
        value=float(mass * value),
        value_entropic=float(mass * value),
        dual_value=float(mass * dual),
        value_kl=float(mass * value),
        gap=float(mass * gap),
        marginal_error=float(error),
        potentials=(phi, psi),
        plan=None if return_plan is False else whole,
        n_iter={"rounds": n_rounds},
        converged=satisfied,
        reg=0.0,
        certificate=certificate,
    )


def _all_rows(cost):
    return np.vstack([C for _, _, C in cost.blocks()])


def _candidate_arcs(cost, a, b, scale):
    """Return arcs of small reduced cost, and the arcs of a plan that exists."""
    from sparsestat.transport._entropic import Request, solve_entropic

    sample = cost.sample()
    typical = np.median(sample) - sample.min() or np.mean(sample) - sample.min()
    eps = 1e-4 * (typical or scale)
    result = solve_entropic(
        cost, a, b, Request(eps=eps, tol=1e-6, return_plan="sparse", warn=False)
    )
    phi, psi = result.potentials
    f, g = phi + eps * np.log(a), psi + eps * np.log(b)
    theta, n_wanted = 20.0 * eps, 40 * sum(cost.shape)
    while True:
        found_i, found_j = [], []
        for start, _, C in cost.blocks():
            for low in range(0, len(C), 512):
                piece = C[low : low + 512]
                reduced = piece - f[start + low : start + low + len(piece), None] - g
                ii, jj = np.nonzero(reduced <= theta)
                found_i.append(ii + start + low)
                found_j.append(jj)
        count = sum(map(len, found_i))
        if count <= n_wanted or theta < eps:
            break
        theta *= 0.5
    i, j = np.concatenate(found_i), np.concatenate(found_j)
    return i, j


def _linear_program(cost, i, j, a, b, scale):
    """Solve the program on some arcs; slack at a high price makes it feasible."""
    n, m = len(a), len(b)
    c = cost.entries(i, j)
    arcs = len(i)
    price = 4.0 * scale
    rows = np.concatenate([i, n + j, np.arange(n + m)])
    cols = np.concatenate([np.arange(arcs), np.arange(arcs), arcs + np.arange(n + m)])
    A = sparse.csr_array(
        (np.ones(len(rows)), (rows, cols)), shape=(n + m, arcs + n + m)
    )
    # Masses near one keep the solver's absolute tolerances meaningful.
    unit = float(max(n, m))
    solution = linprog(
        np.concatenate([c, np.full(n + m, price)]) / scale,
        A_eq=A,
        b_eq=np.concatenate([a, b]) * unit,
        bounds=(0, None),
        method="highs-ds",
        options={
            "primal_feasibility_tolerance": 1e-10,
            "dual_feasibility_tolerance": 1e-10,
        },
    )
    if solution.status != 0:
        raise NumericalError(
            f"The linear program of exact transport failed ({solution.message}). "
            "Use sinkhorn with a small reg instead."
        )
    dual = solution.eqlin.marginals * scale
    return np.maximum(solution.x[:arcs], 0.0) / unit, dual[:n], dual[n:], c


def _extended_duals(cost, flow, i, j, c, u, v, tolerance):
    """Make the duals feasible for all arcs and tight where there is flow.

    Duals of the program on few arcs are one choice of many. Shortest paths in the
    graph of all arcs, backward along those with flow, give a choice that fits every
    arc whenever the plan is optimal; else the labels go on falling and are left.
    """
    used = flow > 1e-14 * flow.max()
    i, j, c = i[used], j[used], c[used]
    order = np.argsort(i, kind="stable")
    i, j, c = i[order], j[order], c[order]
    starts = np.flatnonzero(np.diff(i, prepend=-1))
    labels = v.copy()
    for _ in range(_MAX_LABEL_PASSES):
        back = -u
        back[i[starts]] = np.minimum.reduceat(labels[j] - c, starts)
        best = labels.copy()
        for start, stop, C in cost.blocks():
            for k in range(0, stop - start, 256):
                piece = C[k : k + 256]
                rows = back[start + k : start + k + len(piece), None]
                np.minimum(best, (piece + rows).min(axis=0), out=best)
        settled = (best >= labels - tolerance).all()
        labels = best if not settled else labels
        if settled:
            return -back, labels
    return u, v


def _violated(cost, u, v, tolerance):
    """Return the smallest reduced cost of each row and the worst violated arcs."""
    low = np.empty(len(u))
    found_i, found_j = [], []
    for start, _, C in cost.blocks():
        for k in range(0, len(C), 512):
            piece = C[k : k + 512]
            part = slice(start + k, start + k + len(piece))
            reduced = piece - u[part, None] - v
            low[part] = reduced.min(axis=1)
            bad = reduced < -tolerance
            if bad.sum() > 64 * len(piece):  # the worst of each row are enough
                worst = np.argpartition(reduced, 32, axis=1)[:, :32]
                bad_i, where = np.nonzero(
                    np.take_along_axis(reduced, worst, axis=1) < -tolerance
                )
                bad_j = worst[bad_i, where]
            else:
                bad_i, bad_j = np.nonzero(bad)
            found_i.append(bad_i + part.start)
            found_j.append(bad_j)
    return np.minimum(low, 0.0), np.concatenate(found_i), np.concatenate(found_j)


def _hard_transform(cost, v):
    out = np.zeros(cost.shape[0])
    for start, _, C in cost.blocks():
        best = (C - v).min(axis=1)
        out[start : start + len(C)] = np.where(np.isfinite(best), best, 0.0)
    return out
