"""From a checked problem to a result: masses, orientation, solver, certificate."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat.transport import _newton
from sparsestat.transport._cells import CellCost, worth_sorting
from sparsestat.transport._costs import PointCost
from sparsestat.transport._result import OTResult, dense_plan, plan_from_state
from sparsestat.transport._semidual import NOTHING, SemiDual
from sparsestat.transport._ssns import solve_ssns

__all__ = ["Request", "refuse_isolated", "solve_entropic"]

_DENSE_PLAN_ENTRIES = 16_000_000
_PLAN_TAU = 1e-13
_SCALE_SAMPLE = 40_000  # costs that tell where a path begins
_PLAN_SHARE = 1e-3  # of the tolerance, where costs are computed when visited
_PROXIMAL_STEPS = 10


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
    eps = request.eps
    mass = a.sum()
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    inner = cost.take(rows, columns)
    left, right = a[rows] / mass, b[columns] / b.sum()
    if worth_sorting(inner):
        inner, row_order, column_order = CellCost.of(inner, 2)
        left, right = left[row_order], right[column_order]
        rows, columns = rows[row_order], columns[column_order]
    swapped = inner.shape[0] < inner.shape[1]
    if swapped:
        inner, left, right = inner.T, right, left
    problem = SemiDual(inner, left, right)
    g = _first_potential(request, problem, rows if swapped else columns, swapped)
    trace = _newton.Trace()
    state = _run(problem, g, request, trace)

    floor = problem.floor(state, eps)
    threshold = max(request.tol, floor)
    want = _wanted_plan(request, cost)
    # The last pass recomputes everything from g alone, entries included.
    problem.set_precision(0.0)
    g = problem.centred(state.g)
    del state  # its entries make room for those of the plan
    tau = _PLAN_TAU
    if isinstance(inner, CellCost):
        tau = max(tau, _PLAN_SHARE * threshold)
    state = problem.evaluate(g, eps, tau if want == "sparse" else NOTHING, plan=True)
    rounded, forbidden = problem.rounded(state, eps)
    dual_bound = -(problem.a @ state.shift) + problem.b @ state.g
    gap = max(rounded - dual_bound, 0.0) + abs(rounded - state.cost)

    phi, psi = state.f - eps * problem.log_a, state.g - eps * problem.log_b
    entropy_a = problem.a @ problem.log_a
    primal = state.cost + eps * (state.entropy + entropy_a - 1.0)
    relative = state.entropy - state.c @ problem.log_b
    if swapped:
        phi, psi = psi, phi
    phi = phi - eps * np.log(mass)  # P = a b exp(.) for masses of any total
    potentials = _everywhere(cost, a, b, rows, columns, phi, psi, eps)
    log_mass = np.log(mass)
    # P = mass * P1: sums of P (log P - 1) gain mass * log(mass).
    value = mass * state.cost
    plan = None
    if want == "dense":
        plan = dense_plan(cost, a, b, *potentials, eps)
    elif want == "sparse":
        plan = plan_from_state(
            state, problem, swapped, mass, cost.shape, rows, columns
        ).astype(cost.dtype, copy=False)
        missing = 1.0 - plan.sum() / mass
        if missing > 10.0 * threshold and request.warn:
            warnings.warn(
                f"The sparse plan has room for {plan.nnz} entries and leaves out "
                f"{missing:.1e} of the mass. The potentials describe all of it: use "
                "them, a smaller reg, or return_plan='dense' if that fits in memory.",
                UserWarning,
                stacklevel=4,
            )
    satisfied = bool(state.error <= threshold)
    certificate = Certificate(
        kind="transport_gap",
        value=float(state.error),
        tol=float(threshold),
        satisfied=satisfied,
        scale="L1 error of both marginals / total mass",
        details={
            "transport_cost": float(value),
            "gap": float(mass * gap),
            "lower_bound": float(mass * dual_bound),
            "proved": not forbidden,
            "reg": float(eps),
            # Relative to its row's (or column's) mass, what the plan leaves out.
            "plan_threshold": float(state.tau) if want == "sparse" else 0.0,
        },
    )
    if request.warn:
        warn_if_unsatisfied(
            certificate,
            "Entropic transport: the marginal error",
            f"Increase {request.limit} or tol, or use a larger reg.",
        )
    dual = state.objective
    return OTResult(
        value=float(value),
        value_entropic=float(mass * (primal + eps * log_mass)),
        dual_value=float(mass * (dual + eps * log_mass)),
        value_kl=float(
            mass * (state.cost + eps * (relative - log_mass)) + eps * (mass**2 - mass)
        ),
        gap=float(mass * gap),
        marginal_error=float(state.error),
        potentials=potentials,
        plan=plan,
        n_iter={
            "sinkhorn": trace.n_sinkhorn,
            "newton": trace.n_newton,
            "cg": trace.n_cg,
            "passes": problem.n_passes,
        },
        converged=satisfied,
        reg=float(eps),
        certificate=certificate,
        history=trace.history,
    )


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
        steps = range(1, _PROXIMAL_STEPS + 1)
        path = [eps * _PROXIMAL_STEPS / k for k in steps]
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
