"""From a checked problem to a result: masses, orientation, solver, certificate."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from sparsestat._utils.arithmetic import EPS, dot, rounding
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat.transport import _newton
from sparsestat.transport._cells import CellCost, worth_sorting
from sparsestat.transport._costs import MatrixCost, PointCost
from sparsestat.transport._exact import refuse_cut_off
from sparsestat.transport._margins import marginal_error
from sparsestat.transport._reduction import less_minima, taken_off
from sparsestat.transport._result import (
    OTResult,
    dense_plan_at,
    plan_dtype,
    plan_from_state,
)
from sparsestat.transport._semidual import NOTHING, SemiDual
from sparsestat.transport._ssns import solve_ssns
from sparsestat.transport._validation import all_finite

__all__ = ["Request", "refuse_isolated", "solve_entropic"]

_DENSE_PLAN_ENTRIES = 16_000_000
_PLAN_TAU = 1e-13
_SCALE_SAMPLE = 40_000  # costs that tell where a path begins
_PLAN_SHARE = 1e-3  # of the tolerance, where costs are computed when visited
_PROXIMAL_STEPS = 10
_GOAL = 0.8  # of the tolerance: the rest is for what a plan leaves out, and rounding
_MOST_ROUNDS = 3  # in which potentials are taken off the costs


@dataclass(frozen=True)
class Request:
    """What the caller asked for, beside the data."""

    eps: float
    method: str = "sns"
    tol: float = 1e-9
    max_iter: int = 1000
    warm_start: object = None
    n_scaling: object = "auto"
    return_plan: object = "auto"
    n_sinkhorn: int = 5
    density: float | None = None
    warn: bool = True
    limit: str = "max_iter"  # what the caller calls it


def refuse_isolated(cost, a, b):
    """Raise ValueError when forbidden arcs make a plan impossible.

    A positive mass needs an open arc, and the two sides of each connected part of
    the graph of open arcs need equal masses.
    """
    if isinstance(cost, PointCost):
        return  # all arcs are open
    if isinstance(cost, MatrixCost) and all_finite(cost.C):
        return
    closed, parts = False, []
    rows, columns = np.zeros(len(a), bool), np.zeros(len(b), bool)
    for start, stop, C in cost.blocks():
        open_arcs = np.isfinite(C)
        if not open_arcs.all():
            closed = True
        rows[start:stop] = open_arcs[:, b > 0].any(axis=1)
        columns |= open_arcs[a[start:stop] > 0].any(axis=0)
        if closed:
            parts.append(open_arcs)
    if not closed:
        return
    for name, mass, reached in (("row", a, rows), ("column", b, columns)):
        bad = np.flatnonzero((mass > 0) & ~reached)
        if len(bad):
            raise ValueError(
                f"No plan exists: {name}s {bad[:10].tolist()} have positive mass but "
                "only forbidden arcs (cost +inf) to positive masses. Open an arc or "
                "set the mass to zero."
            )
    keep_a, keep_b = np.flatnonzero(a), np.flatnonzero(b)
    graph = sparse.csr_array(np.vstack(parts)[np.ix_(keep_a, keep_b)])
    both = sparse.block_array([[None, graph], [graph.T, None]])
    n_parts, labels = sparse.csgraph.connected_components(both, directed=False)
    n = len(keep_a)
    left = np.bincount(labels[:n], a[keep_a], n_parts)
    right = np.bincount(labels[n:], b[keep_b], n_parts)
    bad = np.flatnonzero(np.abs(left - right) > 1e-6 * a.sum())
    if len(bad):
        some = keep_a[labels[:n] == bad[0]][:10].tolist()
        raise ValueError(
            f"No plan exists: rows {some} and the columns they reach are cut off by "
            f"forbidden arcs, with masses {left[bad[0]]:g} and {right[bad[0]]:g}. Open "
            "arcs between the parts, or use sinkhorn_unbalanced."
        )


def solve_entropic(cost, a, b, request):
    """Solve a problem whose data were checked; return an OTResult."""
    eps, tol = request.eps, request.tol
    mass = a.sum()
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    inner, u, v = less_minima(cost.take(rows, columns), eps, tol)
    left, right = a[rows] / mass, b[columns] / b.sum()
    if worth_sorting(inner):
        inner, row_order, column_order = CellCost.of(inner, 2)
        left, right = left[row_order], right[column_order]
        rows, columns = rows[row_order], columns[column_order]
        u, v = u[row_order], v[column_order]
    swapped = inner.shape[0] < inner.shape[1]
    if swapped:
        inner, left, right, u, v = inner.T, right, left, v, u
    problem = SemiDual(inner, left, right)
    own = rows if swapped else columns
    g = _first_potential(request, problem, own, swapped) - v
    trace = _newton.Trace()
    problem, state, u, v = _closer(problem, g, u, v, request, trace)

    want = _wanted_plan(request, cost)
    # The last pass recomputes everything from g alone, entries included.
    problem.set_precision(0.0)
    g = problem.centered(state.g)
    del state  # its entries make room for those of the plan
    state = _last_pass(problem, g, eps, tol, want)
    plan, missing = None, 0.0
    if want:
        plan, missing = _plan(
            state, problem, eps, swapped, cost, a, b, rows, columns, want
        )
        error, allowance = marginal_error(plan, a, b)
    else:
        error = state.error
        allowance = rounding(problem.n, 2.0) + rounding(problem.m, 2.0)
    spread = problem.dwarfed(state, eps)
    if spread is not None:
        state.cost = problem.cost_of_plan(state.f, state.g, eps)
    bounds = _bounds(problem, state, eps, u, v)
    certificate = _certificate(
        problem, state, request, (error, allowance, missing), cost.dtype, want
    )
    moved = dot(u, problem.a) + dot(v, problem.b)
    offset = moved + dot(v, state.c - problem.b)  # rows are met exactly
    certificate.details.update(
        transport_cost=float(mass * (state.cost + offset)),
        gap=float(mass * bounds.gap),
        lower_bound=float(mass * (bounds.dual + moved)),
        proved=not bounds.forbidden,
        reg=float(eps),
        # Relative to its row's (or column's) mass, what the plan leaves out.
        plan_threshold=float(state.tau) if want == "sparse" else 0.0,
        potentials_error=float(state.error),
    )
    if not certificate.satisfied and bounds.forbidden:
        refuse_cut_off(cost, a, b)  # what no scaling can reach
    if request.warn:
        warn_if_unsatisfied(
            certificate,
            "Entropic transport: the marginal error",
            _remedy(certificate, request, missing),
        )

    phi = state.f + u - eps * problem.log_a
    psi = state.g + v - eps * problem.log_b
    entropy_a = problem.a @ problem.log_a
    value = state.cost + offset
    primal = value + eps * (state.entropy + entropy_a - 1.0)
    relative = state.entropy - state.c @ problem.log_b
    if spread is not None:  # the plan is all but the product of its margins
        relative = min(max(relative, 0.0), 0.5 * (spread / eps) ** 2)
    if swapped:
        phi, psi = psi, phi
    phi = phi - eps * np.log(mass)  # P = a b exp(.) for masses of any total
    potentials = _everywhere(cost, a, b, rows, columns, phi, psi, eps)
    log_mass = np.log(mass)
    # What masses that sum to one lack of it by rounding has no entropy.
    extra = 0.0 if abs(mass - 1.0) <= rounding(len(a)) else mass - 1.0 - log_mass
    # P = mass * P1: sums of P (log P - 1) gain mass * log(mass).
    return OTResult(
        value=float(mass * value),
        value_entropic=float(mass * (primal + eps * log_mass)),
        dual_value=float(mass * (state.objective + moved + eps * log_mass)),
        value_kl=float(mass * (value + eps * (relative + extra))),
        gap=float(mass * bounds.gap),
        marginal_error=float(error),
        potentials=potentials,
        plan=plan,
        n_iter={
            "sinkhorn": trace.n_sinkhorn,
            "newton": trace.n_newton,
            "cg": trace.n_cg,
            "passes": problem.n_passes,
        },
        converged=certificate.satisfied,
        reg=float(eps),
        certificate=certificate,
        history=trace.history,
    )


def _closer(problem, g, u, v, request, trace):
    """Solve, and again with the potentials taken off while rounding is the limit.

    Exponents are differences of potentials and costs. With the potentials inside the
    costs, they keep the digits of what is left.
    """
    eps = request.eps
    goal = _GOAL * request.tol
    state = _run(problem, g, replace(request, tol=goal), trace)
    # At this strength alone: proximal steps have led to it.
    again = replace(
        request,
        tol=goal,
        n_scaling=0,
        warm_start=None,
        method="sns" if request.method == "proximal" else request.method,
    )
    for _ in range(_MOST_ROUNDS):
        left = request.max_iter - trace.n_newton - trace.n_sinkhorn
        if state.error <= goal or left <= 0 or not problem.at_floor(state, eps):
            break
        if not isinstance(problem.cost, MatrixCost):
            break
        closer = SemiDual(
            taken_off(problem.cost, state.f, state.g), problem.a, problem.b
        )
        closer.n_passes = problem.n_passes
        if request.method == "sinkhorn":  # which counts its own sweeps
            again = replace(again, max_iter=left)
        found = _run(closer, np.zeros(problem.m), again, trace)
        if not found.error < state.error:
            problem.n_passes = closer.n_passes
            break
        u, v = u + state.f, v + state.g
        problem, state = closer, found
    return problem, state, u, v


def _last_pass(problem, g, eps, tol, want):
    if want != "sparse":
        return problem.evaluate(g, eps, NOTHING)
    tau = _PLAN_TAU
    if isinstance(problem.cost, CellCost):
        tau = max(tau, _PLAN_SHARE * tol)
    while True:
        state = problem.evaluate(g, eps, tau, plan=True)
        if state.tau > tau or tau < 1e-18:  # no room for more, or nothing left out
            return state
        if _missing(state, problem) <= 0.5 * (1.0 - _GOAL) * tol:
            return state
        tau *= 1e-2
        state.drop_entries()


def _missing(state, problem):
    """Return the mass that the stored entries leave out."""
    if state.indices is None:
        return 1.0
    filled = np.flatnonzero(np.diff(state.ptr))
    kept = np.add.reduceat(state.weights[: state.ptr[-1]], state.ptr[filled])
    return max(1.0 - problem.a[filled] @ kept, 0.0)


def _plan(state, problem, eps, swapped, cost, a, b, rows, columns, want):
    """Return the plan in the caller's orientation, and the mass it leaves out."""
    mass = a.sum()
    if want == "sparse":
        missing = _missing(state, problem)
        plan = plan_from_state(
            state, problem, swapped, mass, cost.shape, rows, columns
        ).astype(plan_dtype(cost, mass), copy=False)
        return plan, missing
    own = b[columns] if swapped else a[rows]
    plan = dense_plan_at(problem, state.g, eps, own, swapped, cost, rows, columns)
    return plan, 0.0


@dataclass(frozen=True)
class _Bounds:
    dual: float
    gap: float
    forbidden: bool


def _bounds(problem, state, eps, u, v):
    """Return a bound of the cost without entropy, and how far that of the plan is.

    Both are for the costs less u and v, whose subtraction was rounded.
    """
    rounded, forbidden = problem.rounded(state, eps)
    hard = problem.a @ np.abs(state.shift) + problem.b @ np.abs(state.g)
    allowance = rounding(problem.n + problem.m + 16, hard + abs(state.cost))
    allowance += 4.0 * EPS * (problem.a @ np.abs(u) + problem.b @ np.abs(v))
    dual = problem.b @ state.g - problem.a @ state.shift - allowance
    gap = max(rounded - dual, 0.0) + abs(rounded - state.cost) + allowance
    return _Bounds(dual, gap, forbidden)


def _certificate(problem, state, request, measured, dtype, want):
    """Return the certificate of the marginals, and why it is not satisfied."""
    error, allowance, missing = measured
    certificate = Certificate.measured(
        "transport_gap",
        error,
        request.tol,
        "L1 error of both marginals / total mass",
        rounding=allowance,
    )
    if not certificate.satisfied:
        single = want and dtype == np.float32
        reason = "iterations"
        if error <= request.tol or allowance >= request.tol:
            reason = "precision"
        elif missing > 0.25 * error:
            reason = "entries"
        elif problem.at_floor(state, request.eps):
            reason = "precision"
        elif single and state.error <= request.tol:
            reason = "precision"
        certificate.details["reason"] = reason
    return certificate


def _remedy(certificate, request, missing):
    reason = certificate.details.get("reason")
    if reason == "entries":
        return (
            "The sparse plan has no room for more entries and leaves out "
            f"{missing:.1e} of the mass. The potentials describe all of it: use them "
            "with return_plan=False, a smaller reg, or return_plan='dense' if that "
            "fits in memory."
        )
    if reason == "precision":
        return (
            "Precision does not suffice: the digits of costs beside reg, or of the "
            "plan's type, allow no less. Use a larger reg or tol, costs in float64, or "
            "subtract from costs what is common to a row or column."
        )
    if request.method == "ssns":
        return (
            f"Increase {request.limit} or tol, use a larger reg, or method='sns', "
            "which approaches a small reg from larger ones."
        )
    return f"Increase {request.limit} or tol, or use a larger reg."


def _run(problem, g, request, trace):
    eps, tol = request.eps, request.tol
    sample = problem.cost.sample(_SCALE_SAMPLE)
    scale = (np.median(sample) - sample.min()) / 4.0
    scale = scale or (np.mean(sample) - sample.min()) / 4.0
    levels = _newton.levels_to(eps, scale)
    n_scaling = request.n_scaling
    path = "auto" if n_scaling == "auto" else False
    if request.warm_start is not None:
        path = False
    elif request.method == "proximal":
        steps = range(2, _PROXIMAL_STEPS + 1)
        first = _newton.levels_to(eps * _PROXIMAL_STEPS, scale)
        path = first + [eps * _PROXIMAL_STEPS / k for k in steps]
    elif n_scaling not in ("auto", 0) and scale > eps:
        path = [*np.geomspace(scale, eps, int(n_scaling) + 1)[:-1], eps]
    if request.method == "ssns" and path == "auto":
        path = []
    if request.method == "sinkhorn":
        if path == "auto":
            state = _newton.solve_sinkhorn(problem, g, eps, tol, 5, trace)
            g, path = state.g, levels if state.error > 0.5 else []
        for level in (path or [])[:-1]:
            g = _newton.solve_sinkhorn(problem, g, level, tol, 5, trace).g
        return _newton.solve_sinkhorn(problem, g, eps, tol, request.max_iter, trace)
    if request.method == "ssns":
        for level in path or []:
            if level > eps:
                g = solve_ssns(problem, g, level, 1e-2, 100, trace).g
        return solve_ssns(problem, g, eps, tol, request.max_iter, trace)
    return _newton.solve_newton(
        problem,
        g,
        eps,
        tol,
        trace,
        scale=scale,
        n_sinkhorn=request.n_sinkhorn,
        max_newton=request.max_iter,
        path=path,
        density=request.density,
    )


def _first_potential(request, problem, columns, swapped):
    """Return the potentials to start from, in the solver's convention."""
    warm = request.warm_start
    if warm is None:
        return np.zeros(problem.m)
    phi, psi = getattr(warm, "potentials", warm)
    chosen = np.asarray(phi if swapped else psi, dtype=np.float64)
    if chosen.ndim != 1 or len(chosen) <= columns.max():
        raise ValueError(
            "warm_start must be a pair of potentials with one entry a row and one a "
            f"column, or an OTResult; got shapes {np.shape(phi)} and {np.shape(psi)}."
        )
    start = chosen[columns] + request.eps * problem.log_b
    if not np.isfinite(start).all():
        raise ValueError("warm_start contains NaN or infinity.")
    return start


def _wanted_plan(request, cost):
    want = request.return_plan
    if want == "auto":
        n, m = cost.shape
        small = n * m <= _DENSE_PLAN_ENTRIES
        return "dense" if small else "sparse"
    return want


def _everywhere(cost, a, b, rows, columns, phi, psi, eps):
    """Extend potentials to points of zero mass by the soft c-transform."""
    n, m = cost.shape
    full_phi, full_psi = np.zeros(n), np.zeros(m)
    full_phi[rows], full_psi[columns] = phi, psi
    if len(rows) == n and len(columns) == m:
        return full_phi, full_psi
    rest = np.setdiff1d(np.arange(n), rows)
    if len(rest):
        g = psi + eps * np.log(b[columns])
        full_phi[rest] = _soft_transform(cost.take(rest, columns), g, eps)
    rest = np.setdiff1d(np.arange(m), columns)
    if len(rest):
        f = phi + eps * np.log(a[rows])
        full_psi[rest] = _soft_transform(cost.take(rows, rest).T, f, eps)
    return full_phi, full_psi


def _soft_transform(cost, g, eps):
    """Return -eps log sum_j exp((g_j - C_ij)/eps); 0 where every arc is closed."""
    out = np.zeros(cost.shape[0])
    for start, _, C in cost.blocks():
        for low in range(0, len(C), 512):
            v = g - C[low : low + 512].astype(np.float64)
            top = v.max(axis=1)
            seen = np.isfinite(top)
            with np.errstate(under="ignore"):
                sums = np.exp((v[seen] - top[seen, None]) / eps).sum(axis=1)
            out[start + low + np.flatnonzero(seen)] = -top[seen] - eps * np.log(sums)
    return out
