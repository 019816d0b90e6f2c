r"""Transport without entropy, by the network simplex, with its proof.

.. math:: \min_{P \ge 0} \langle C, P\rangle \quad\text{s.t.}\quad P 1 = a,\; P^T 1 = b

The certificate is the cost of the returned plan less the dual value at its marginals,
which is what its arcs cost beyond the dual variables, made feasible for all arcs.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat._utils.arithmetic import EPS, dot
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat.transport._candidates import (
    has_candidates,
    nearest_costs,
    solve_points,
)
from sparsestat.transport._cells import CellCost
from sparsestat.transport._kernels_proof import gap_of_arcs
from sparsestat.transport._margins import error_of_sums, sums_of_arcs
from sparsestat.transport._result import OTResult
from sparsestat.transport._simplex import CutOff, integer_masses, solve_tree

__all__ = ["refuse_cut_off", "solve_exact"]

_TOL = 1e-9
_DENSE_PLAN_ENTRIES = 16_000_000
_MOST_COSTS = 500_000_000  # 4 GB: the simplex holds the costs in double precision
_MOST_ARCS = 4_000_000  # among which a plan is looked for where scaling found none
_ROUNDED = 1e-9  # share of the mass that forbidden arcs may keep apart by rounding


def solve_exact(cost, a, b, *, return_plan="auto", warn=True):
    """Return the optimum of the linear program as an OTResult."""
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    left, right = a[rows], b[columns]
    inner = cost.take(rows, columns)
    sparse_arcs = has_candidates(inner)
    if sparse_arcs:
        inner, row_order, column_order = CellCost.of(inner, 2)
        left, right = left[row_order], right[column_order]
        rows, columns = rows[row_order], columns[column_order]
    swapped = inner.shape[0] < inner.shape[1]
    if swapped:
        inner, left, right = inner.T, right, left
    if sparse_arcs:
        tree, exponent = solve_points(inner, left, right)
    else:
        C = _all_costs(inner)
        tree, exponent = _solve(C, left, right, rows, columns, swapped)
    i, j, flow = tree.arcs()
    mass = np.ldexp(flow.astype(np.float64), exponent)
    c = inner.entries(i, j) if sparse_arcs else C[i, j]
    gap, allowance = _gap(c, tree, i, j, mass)
    if swapped and sparse_arcs:
        least = nearest_costs(inner.T)[j]
    else:
        least = C.min(axis=0)[j] if swapped else (tree.unit * tree.least)[i]
    spent = float(mass @ (c - least))

    high, low = tree.unit * tree.high, tree.unit * tree.low
    n = len(left)
    u = -(high[:n] + (low[:n] - tree.unit * tree.worst))
    v = -(high[n:] + low[n:])
    if swapped:
        i, j, u, v = j, i, v, u
    i, j = rows[i], columns[j]
    error, hidden = error_of_sums(sums_of_arcs(i, j, mass, cost.shape), a, b)
    value = dot(cost.entries(i, j), mass)
    relative = gap / spent if spent > 0 else 0.0  # all rows at their minima: optimal
    rounding = allowance / spent if spent > 0 else 0.0
    certificate = Certificate.measured(
        "transport_gap",
        relative,
        _TOL,
        "(primal - dual) / cost of the flow above the row minima",
        rounding=rounding,
        details={
            "transport_cost": value,
            "lower_bound": value - gap - allowance - 2.0 * EPS * abs(value),
            "marginal_error": error,
            "pivots": tree.n_pivots,
            "degenerate_pivots": tree.n_idle,
            "twice_double_precision": tree.precise,
        },
    )
    certificate = _with_margins(certificate, error + hidden, tree)
    if warn:
        warn_if_unsatisfied(
            certificate,
            "Exact transport: the gap between primal and dual",
            "Rescale the costs, whose range exceeds what twice double precision "
            "resolves, or give both sides masses of the same total.",
        )
    return OTResult(
        value=value,
        value_entropic=value,
        dual_value=value - gap,
        value_kl=value,
        gap=gap,
        marginal_error=error,
        potentials=_everywhere(cost, rows, columns, u, v),
        plan=_plan(i, j, mass, cost.shape, return_plan),
        n_iter={"pivots": tree.n_pivots},
        converged=certificate.satisfied,
        reg=0.0,
        certificate=certificate,
    )


def _all_costs(inner):
    """Return the costs as one matrix in double precision."""
    n, m = inner.shape
    if n * m > _MOST_COSTS:
        raise ValueError(
            f"Exact transport holds all costs, which for {n} x {m} points takes "
            f"{8 * n * m / 1e9:.1f} GB. Use sinkhorn_points, which needs less in up to "
            "four dimensions or with a small reg, or fewer points."
        )
    blocks = [C for _, _, C in inner.blocks()]
    C = blocks[0] if len(blocks) == 1 else np.vstack(blocks)
    return np.asarray(C, dtype=np.float64)


def _solve(C, left, right, rows, columns, swapped):
    """Return the optimal tree; masses that rounding keeps apart are left out."""
    own, other, exponent = integer_masses(left, right)
    for _ in range(2):
        try:
            return solve_tree(C, own, other), exponent
        except CutOff as cut:
            short, stuck = cut.short, cut.stuck
            if float(stuck.sum()) > _ROUNDED * float(own.sum()):
                raise _refusal(cut, left, right, rows, columns, swapped) from None
            np.subtract.at(own, cut.stuck_rows, stuck)
            np.subtract.at(other, cut.stuck_columns, stuck)
            if short < 0 or (other < 1).any() or (own < 0).any():
                raise _refusal(cut, left, right, rows, columns, swapped) from None
    return solve_tree(C, own, other), exponent


def refuse_cut_off(cost, a, b):
    """Raise ValueError where forbidden arcs leave masses that reach too little."""
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    left, right = a[rows], b[columns]
    inner = cost.take(rows, columns)
    n, m = inner.shape
    if n * m > _MOST_ARCS:
        return
    swapped = n < m
    if swapped:
        inner, left, right = inner.T, right, left
    closed = ~np.isfinite(_all_costs(inner))
    if closed.any():
        _solve(np.where(closed, np.inf, 0.0), left, right, rows, columns, swapped)


def _refusal(cut, left, right, rows, columns, swapped):
    names = ("columns", "rows") if swapped else ("rows", "columns")
    own, other = (columns, rows) if swapped else (rows, columns)
    some, reached = own[cut.rows], other[cut.columns]
    return ValueError(
        f"No plan exists: {names[0]} {_some(some)} have a mass of "
        f"{left[cut.rows].sum():g} but reach only {names[1]} {_some(reached)}, with a "
        f"mass of {right[cut.columns].sum():g}, by arcs that are not forbidden. Open "
        "arcs, or use sinkhorn_unbalanced."
    )


def _some(indices):
    text = str(indices[:10].tolist())
    return text if len(indices) <= 10 else f"{text[:-1]}, ...]"


def _gap(c, tree, i, j, mass):
    """Return the gap of a plan whose arcs cost c, and the rounding of that."""
    gap, allowance = gap_of_arcs(
        i, j, mass, c / tree.unit, tree.n, tree.high, tree.low, tree.worst
    )
    return tree.unit * gap, tree.unit * allowance


def _with_margins(certificate, error, tree):
    """Return the certificate, unsatisfied if margins or pivots are short of the aim."""
    satisfied = certificate.satisfied and error <= _TOL
    if satisfied:
        return certificate
    reason = "precision" if tree.finished else "iterations"
    return Certificate(
        certificate.kind,
        certificate.value,
        certificate.tol,
        False,
        certificate.scale,
        {**certificate.details, "reason": reason},
    )


def _plan(i, j, mass, shape, want):
    if want is False:
        return None
    small = shape[0] * shape[1] <= _DENSE_PLAN_ENTRIES
    if want == "dense" or (want == "auto" and small):
        plan = np.zeros(shape)
        plan[i, j] = mass
        return plan
    return sparse.csr_array((mass, (i, j)), shape=shape)


def _everywhere(cost, rows, columns, u, v):
    """Extend dual variables to points of zero mass, feasible for all arcs."""
    n, m = cost.shape
    phi, psi = np.zeros(n), np.zeros(m)
    phi[rows], psi[columns] = u, v
    if len(rows) < n:
        rest = np.setdiff1d(np.arange(n), rows)
        phi[rest] = _hard_transform(cost.take(rest, columns), v)
    if len(columns) < m:
        rest = np.setdiff1d(np.arange(m), columns)
        psi[rest] = _hard_transform(cost.take(np.arange(n), rest).T, phi)
    return phi, psi


def _hard_transform(cost, v):
    """Return min_j (C_ij - v_j); 0 where every arc is closed."""
    out = np.zeros(cost.shape[0])
    for start, _, C in cost.blocks():
        best = (C - v).min(axis=1)
        out[start : start + len(C)] = np.where(np.isfinite(best), best, 0.0)
    return out
