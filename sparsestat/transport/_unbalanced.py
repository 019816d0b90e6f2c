r"""Unbalanced transport: marginals that may be missed at a price.

.. math:: \min_{P \ge 0} \langle C, P\rangle + \varepsilon\,\mathrm{KL}(P | a b^T)
   + \rho_a\,\mathrm{KL}(P 1 | a) + \rho_b\,\mathrm{KL}(P^T 1 | b)

Sejourne, Feydy, Vialard, Trouve, Peyre, "Sinkhorn Divergences for Unbalanced Optimal
Transport", 2019.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np

from sparsestat._utils.arithmetic import EPS
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.validation import read_only
from sparsestat.transport import _kernels
from sparsestat.transport._costs import MatrixCost
from sparsestat.transport._margins import sums_of
from sparsestat.transport._newton import levels_to
from sparsestat.transport._result import OTResult, dense_plan
from sparsestat.transport._semidual import SemiDual
from sparsestat.transport._validation import (
    check_cost,
    check_number,
    check_strength,
    choose_strength,
    default_tolerance,
    one_mass,
)

__all__ = ["sinkhorn_unbalanced", "solve_unbalanced"]

_SWEEPS_FIRST = 8
_FEW = 60  # iterations after which the target is approached from larger strengths
_LEVEL_ERROR = 1e-2
_AT_FLOOR = 10  # sweeps without progress where rounding can explain the error
_SINGLE = 1.2e-7  # what rounding a plan to float32 moves its marginals by, at most
_GOAL = 0.8  # of the tolerance: the rest is for rounding of the plan itself
_SLOW = 0.3  # share of the error left after three sweeps from which steps are tried


def sinkhorn_unbalanced(
    C,
    a=None,
    b=None,
    *,
    reg=None,
    eta=None,
    reg_m=1.0,
    reg_mode="absolute",
    tol=None,
    max_iter=10_000,
    warm_start=None,
    return_plan=True,
):
    r"""Solve entropic transport between masses that need not agree.

    .. math::
        \min_{P \ge 0} \langle C, P\rangle + \varepsilon\,\mathrm{KL}(P | a b^T)
        + \rho_a\,\mathrm{KL}(P 1 | a) + \rho_b\,\mathrm{KL}(P^T 1 | b)

    with :math:`\mathrm{KL}(p | q) = \sum p \log(p/q) - p + q`. Each sweep is followed
    by the best shift of a constant between the potentials, without which large
    :math:`\rho` would converge at the rate :math:`1 - \varepsilon/\rho`; where sweeps
    are slow nevertheless, Newton steps on the sparse Hessian of the semi-dual follow.

    Parameters
    ----------
    C : {array-like, sparse matrix} of shape (n, m)
        Costs; ``+inf`` forbids an arc.
    a : array-like of shape (n,), default=None
        Masses of the rows; None means 1/n each.
    b : array-like of shape (m,), default=None
        Masses of the columns, of any total.
    reg : float, default=None
        Entropic strength in units of the cost. Exactly one of `reg` and `eta`.
    eta : float, default=None
        Its inverse.
    reg_m : float or tuple of two floats, default=1.0
        Prices :math:`\rho_a` and :math:`\rho_b` of missing the marginals, in units of
        the cost; ``inf`` enforces one.
    reg_mode : {"absolute", "relative"}, default="absolute"
        "relative" multiplies `reg` by the median of the finite costs.
    tol : float, default=None
        Stop when the plan's marginals differ from those that the potentials call for
        by at most `tol` in L1 norm, relative to the plan's mass. None means 1e-9, and
        1e-6 where costs, and so the plan, are float32.
    max_iter : int, default=10000
        Largest number of sweeps and Newton steps.
    warm_start : OTResult or tuple of ndarray, default=None
        Potentials to start from, as in ``OTResult.potentials``.
    return_plan : bool, default=True
        Whether to form the dense plan.

    Returns
    -------
    result : OTResult
        ``value_entropic`` and ``value_kl`` both hold the objective above, and
        ``gap`` is the difference of objective and dual.

    Raises
    ------
    ValueError
        If data or parameters are not valid or do not fit together.

    Warns
    -----
    ConvergenceWarning
        If the tolerance is not met.

    See Also
    --------
    sinkhorn : With both marginals enforced.

    References
    ----------
    .. [1] T. Sejourne, J. Feydy, F.-X. Vialard, A. Trouve, G. Peyre, "Sinkhorn
       Divergences for Unbalanced Optimal Transport", 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import sinkhorn_unbalanced
    >>> x = np.linspace(0, 1, 50)
    >>> C = (x[:, None] - x) ** 2
    >>> result = sinkhorn_unbalanced(C, b=np.full(50, 0.04), reg=0.01, reg_m=0.1)
    >>> bool(1.0 < result.plan.sum() < 2.0)
    True
    """
    cost = MatrixCost(check_cost(C))
    a, b = one_mass(a, cost.shape[0], "a"), one_mass(b, cost.shape[1], "b")
    eps = choose_strength(check_strength(reg, eta), reg_mode, cost)
    return solve_unbalanced(
        cost,
        a,
        b,
        eps,
        check_prices(reg_m),
        tol=default_tolerance(tol, cost.dtype),
        max_iter=check_number(max_iter, "max_iter", integer=True),
        warm_start=warm_start,
        return_plan=return_plan,
    )


def check_prices(reg_m):
    """Return the two prices of missing a marginal."""
    pair = (reg_m, reg_m) if np.ndim(reg_m) == 0 else tuple(reg_m)
    if len(pair) != 2 or not all(isinstance(r, int | float | np.number) for r in pair):
        raise ValueError(f"reg_m must be one number or two, got {reg_m!r}.")
    if not all(r > 0 for r in pair):
        raise ValueError(f"reg_m must be positive, got {reg_m!r}.")
    return float(pair[0]), float(pair[1])


def solve_unbalanced(
    cost, a, b, eps, prices, *, tol, max_iter, warm_start=None, return_plan=True
):
    """Solve a problem whose data were checked; return an OTResult."""
    rho_a, rho_b = prices
    if np.isinf(rho_a) and np.isinf(rho_b) and abs(a.sum() - b.sum()) > 1e-6 * a.sum():
        raise ValueError(
            f"reg_m is infinite but the total masses differ ({a.sum():g} and "
            f"{b.sum():g}). Use a finite reg_m on one side."
        )
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    inner = cost.take(rows, columns)
    for name, part in (("row", inner), ("column", inner.T)):
        if any(np.isinf(C).all(axis=1).any() for _, _, C in part.blocks()):
            raise ValueError(
                f"A {name} of positive mass has only forbidden arcs (cost +inf). Set "
                "its mass to zero."
            )
    left, right = a[rows], b[columns]
    problem = SemiDual(inner, left, right)
    inverses = (1.0 / rho_a, 1.0 / rho_b)
    count, start = _Count(), np.zeros(len(right))
    if warm_start is not None:
        start = _warm_potential(warm_start, cost.shape, columns)
    few = min(max_iter, _FEW) if warm_start is None else max_iter
    goal = _GOAL * tol
    phi, psi, error, floor = _level(problem, start, eps, inverses, goal, few, count)
    if error > goal and error > floor and few < max_iter:
        # Walk along decreasing strengths, as balanced transport does.
        sample = inner.sample()
        levels = levels_to(eps, (np.median(sample) - sample.min()) / 4.0)
        psi = start if len(levels) > 1 else psi
        for level in levels[:-1]:
            psi = _level(problem, psi, level, inverses, _LEVEL_ERROR, _FEW, count)[1]
        left_over = max(1, max_iter - count.all)
        phi, psi, error, floor = _level(
            problem, psi, eps, inverses, goal, left_over, count
        )
    return _result(
        cost,
        inner,
        (a, b, left, right, rows, columns),
        (phi, psi),
        eps,
        prices,
        (tol, float(floor), count),
        problem.n_passes,
        return_plan,
    )


@dataclass
class _Count:
    """Numbers of sweeps and steps in all, and the errors after each."""

    all: int = 0
    newton: int = 0
    cg: int = 0
    history: list = field(default_factory=list)


def _level(problem, psi, eps, inverses, tol, max_iter, count):
    """Sweep and step at one strength.

    Returns potentials, the error, and what rounding of the exponents can explain of it.
    """
    left, right, log_a, log_b = problem.a, problem.b, problem.log_a, problem.log_b
    inv_a, inv_b = inverses
    damp_a, damp_b = 1.0 / (1.0 + eps * inv_a), 1.0 / (1.0 + eps * inv_b)
    errors, steps_from, since = [], _SWEEPS_FIRST, 0
    while True:
        state = problem.evaluate(psi + eps * log_b, eps)
        balanced = state.f - eps * log_a
        phi = damp_a * balanced
        shift = _best_shift(phi, psi, left, right, inv_a, inv_b)
        phi, psi = phi + shift, psi - shift
        lse = problem.column_softmax(phi + eps * log_a, eps)
        # Columns of the plan against what psi calls for, b exp(-psi / rho_b).
        columns_now = right * _exp((psi + lse) / eps)
        rows_now = left * _exp((phi - balanced - shift) / eps)
        mass = columns_now.sum()
        error = np.abs(columns_now - right * _exp(-psi * inv_b)).sum()
        error += np.abs(rows_now - left * _exp(-phi * inv_a)).sum()
        error /= max(mass, np.finfo(float).tiny)
        count.history.append(("sinkhorn", eps, float(error)))
        floor = 8.0 * EPS * (np.abs(phi).max() + np.abs(psi).max()) / eps
        stuck = error <= floor and error > 0.9 * min(errors, default=np.inf)
        since = since + 1 if stuck else 0
        errors.append(error)
        if error <= tol or since >= _AT_FLOOR or len(errors) > max_iter:
            return phi, psi, error, floor
        count.all += 1
        if len(errors) >= steps_from and error > _SLOW * errors[-4]:
            found, steps = _newton_step(problem, psi, eps, inverses, error)
            count.cg += steps
            if found is not None:
                psi, count.newton = found, count.newton + 1
                continue
            steps_from = len(errors) + 20  # no step was good: sweep on for a while
        psi = -damp_b * lse
        shift = _best_shift(phi, psi, left, right, inv_a, inv_b)
        psi = psi - shift  # phi is recomputed from psi


def _warm_potential(warm_start, shape, columns):
    phi, psi = getattr(warm_start, "potentials", warm_start)
    psi = np.asarray(psi, dtype=np.float64)
    if psi.shape != (shape[1],) or not np.isfinite(psi).all():
        raise ValueError(
            "warm_start must be a pair of finite potentials with one entry a row and "
            f"one a column, or an OTResult; got shapes {np.shape(phi)} and {psi.shape}."
        )
    return psi[columns].copy()


def _semidual(problem, psi, eps, inverses):
    """Return the dual maximized over phi, its row sums, and phi."""
    inv_a, inv_b = inverses
    state = problem.evaluate(psi + eps * problem.log_b, eps)
    balanced = state.f - eps * problem.log_a
    phi = balanced / (1.0 + eps * inv_a)
    rows = problem.a * _exp((phi - balanced) / eps)
    value = _penalty(problem.a, phi, inv_a) + _penalty(problem.b, psi, inv_b)
    return value - eps * rows.sum(), rows


def _penalty(mass, potential, inv):
    if inv == 0:
        return mass @ potential
    return -(mass @ np.expm1(np.clip(-potential * inv, -745, 700))) / inv


def _newton_step(problem, psi, eps, inverses, error):
    """Return psi after an accepted Newton step or None, and the number of CG steps.

    With phi eliminated the negative Hessian times eps is

    diag(c + eps b exp(-psi/rho_b)/rho_b) - P' diag(kappa / r) P,
    kappa = 1 / (1 + eps/rho_a),

    which is a Laplacian whose rows lose the share 1 - kappa of their mass.
    """
    inv_a, inv_b = inverses
    kappa = 1.0 / (1.0 + eps * inv_a)
    value, rows = _semidual(problem, psi, eps, inverses)
    if not (rows > 0).all():
        return None, 0
    state = problem.evaluate(psi + eps * problem.log_b, eps, 1e-14, masses=rows)
    if state.indices is None or state.group is not None:
        return None, 0
    wanted = problem.b * _exp(-psi * inv_b)
    rhs = wanted - state.c  # without eps, which has any size
    tau = max(min(1e-4, 1e-3 * error), state.tau)
    indices, weights, ptr, rest, dropped = _kernels.select_entries(
        state.indices, state.weights, state.ptr, rows, problem.m, tau
    )
    weights *= kappa
    rest = 1.0 - kappa * (1.0 - rest)
    dropped += eps * inv_b * wanted
    scaled = rows / kappa
    diagonal = _kernels.split_entries(indices, weights, ptr, scaled, rest, dropped)
    step, n_cg = _kernels.conjugate_gradient(
        indices,
        weights,
        ptr,
        read_only(scaled),
        rest,
        dropped,
        np.maximum(diagonal, 1e-300),
        1e-6 * min(error, 1.0) * rows.sum() / problem.m,
        rhs,
        min(0.05, error),
        2000,
    )
    step *= eps
    slope = (wanted - state.c) @ step
    if not (slope > 0 and np.isfinite(step).all()):
        return None, n_cg
    residual = eps * np.abs(rhs).sum()
    for t in (1.0, 0.5, 0.25, 0.1):
        trial = psi + t * step
        found, trial_rows = _semidual(problem, trial, eps, inverses)
        if found >= value + 1e-4 * t * slope:
            return trial, n_cg
        if t == 1.0:  # flat to rounding: the gradient still tells
            g = trial + eps * problem.log_b
            c = problem.evaluate(g, eps, masses=trial_rows).c
            now = eps * np.abs(problem.b * _exp(-trial * inv_b) - c).sum()
            if now < 0.5 * residual:
                return trial, n_cg
    return None, n_cg


def _exp(x):
    return np.exp(np.clip(x, -745.0, 700.0))


def _best_shift(phi, psi, a, b, inv_a, inv_b):
    """Return the constant that maximizes the dual when moved from psi to phi."""
    if inv_a == 0 and inv_b == 0:
        return 0.0
    log_left = _log_sum(np.log(a) - phi * inv_a)
    log_right = _log_sum(np.log(b) - psi * inv_b)
    return (log_left - log_right) / (inv_a + inv_b)


def _log_sum(x):
    top = x.max()
    return top + np.log(np.exp(x - top).sum())


def _price(marginal, mass, rho, potential, inv):
    """Return rho KL(marginal | mass) and the dual term it pairs with."""
    if inv == 0:
        return 0.0, mass @ potential
    positive = marginal > 0
    entropy = marginal[positive] @ np.log(marginal[positive] / mass[positive])
    primal = rho * (entropy - marginal.sum() + mass.sum())
    return primal, -rho * (mass @ np.expm1(np.clip(-potential * inv, -745, 700)))


def _result(cost, inner, data, potentials, eps, prices, measured, passes, return_plan):
    a, b, left, right, rows, columns = data
    phi, psi = potentials
    tol, floor, count = measured
    P = dense_plan(inner, left, right, phi, psi, eps)
    r, c, allowance = sums_of(P)
    exponent = phi[:, None] + psi[None, :]
    value = 0.0
    for start, stop, C in inner.blocks():
        block = P[start:stop].astype(np.float64, copy=False)
        open_arcs = block > 0
        value += float((block[open_arcs] * C[open_arcs]).sum())
    mass = r.sum()
    inverse_a, inverse_b = 1.0 / prices[0], 1.0 / prices[1]
    wanted_a, wanted_b = left * _exp(-phi * inverse_a), right * _exp(-psi * inverse_b)
    error = np.abs(r - wanted_a).sum() + np.abs(c - wanted_b).sum()
    # log(P / (a b)) = (phi + psi - C) / eps on open arcs.
    kl = (
        (float((P * exponent).sum(dtype=np.float64)) - value) / eps
        - mass
        + left.sum() * right.sum()
    )
    price_a, dual_a = _price(r, left, prices[0], phi, inverse_a)
    price_b, dual_b = _price(c, right, prices[1], psi, inverse_b)
    objective = value + eps * kl + price_a + price_b
    dual = dual_a + dual_b - eps * (mass - left.sum() * right.sum())
    full_phi, full_psi = np.zeros(len(a)), np.zeros(len(b))
    full_phi[rows], full_psi[columns] = phi, psi
    plan = None
    if return_plan:
        plan = np.zeros(cost.shape, dtype=P.dtype)
        plan[np.ix_(rows, columns)] = P
    scale = max(mass, np.finfo(float).tiny)
    certificate = Certificate.measured(
        "transport_gap",
        error / scale,
        tol,
        "L1 distance of the marginals to those the potentials call for / mass",
        # Wanted marginals are exponentials, good to a few units and their exponent.
        rounding=(allowance + 8.0 * EPS * (wanted_a.sum() + wanted_b.sum())) / scale,
        details={
            "objective": float(objective),
            "dual": float(dual),
            "mass": float(mass),
        },
    )
    remedy = "Increase max_iter or tol, or use a larger reg."
    if not certificate.satisfied:
        precise = certificate.value > max(floor, _SINGLE * (P.dtype == np.float32))
        certificate.details["reason"] = "iterations" if precise else "precision"
        if not precise:
            remedy = (
                "Precision does not suffice: the digits of costs beside reg, or of the "
                "plan's type, allow no less. Use a larger reg or tol, or float64."
            )
    warn_if_unsatisfied(
        certificate, "Unbalanced transport: the error of the marginals", remedy
    )
    return OTResult(
        value=value,
        value_entropic=float(objective),
        dual_value=float(dual),
        value_kl=float(objective),
        gap=float(abs(objective - dual)),
        marginal_error=certificate.value,
        potentials=(full_phi, full_psi),
        plan=plan,
        n_iter={
            "sinkhorn": count.all - count.newton,
            "newton": count.newton,
            "cg": count.cg,
            "passes": passes,
        },
        converged=certificate.satisfied,
        reg=float(eps),
        certificate=certificate,
        history=count.history,
    )
