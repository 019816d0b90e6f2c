r"""Paths of likelihoods with the elastic net, in one call of a compiled kernel.

One kernel keeps Gram matrices of dense columns, one sweeps over sparse columns. Both
measure every gap on all features, from the coefficients they return. What they do not
bring to the tolerance, rounding included, the working-set solver finishes. A single
strength on small dense data is one call of a third kernel, which compiles sooner.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import rounding, unbalanced
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _datafits, _survival
from sparsestat.linear_model._penalized import _kernels_likelihood_fit as kernels
from sparsestat.linear_model._penalized._csc_path import center_share, unsigned_columns
from sparsestat.linear_model._penalized._gram_path import mended
from sparsestat.linear_model._penalized._likelihood_loop import SETTLED
from sparsestat.linear_model._penalized._points import PathPoints
from sparsestat.linear_model._penalized._result import SolverResult

__all__ = ["likelihood_result", "likelihood_results", "loss_code", "suits_compiled"]

_MOST_BYTES = 1e9  # of the centered columns
_LEAST_TOL = 1e-10
_BUDGET = 2000  # sweeps for one strength, before the working-set solver takes over
# Of a single fit, whose models are small: sweeps, and looks at all features.
_SWEEPS, _LOOKS = 600, 40
_FLAT = 1e-8  # sum of a gradient beside its absolute values, where that is zero
# Of data for a single fit in one call: features, entries, and entries where there are
# more features than samples.
_FEW, _SMALL, _SMALL_WIDE = 2000, 2e5, 5e4
_CODES = {
    _datafits.Logistic: 0,
    _datafits.Poisson: 1,
    _datafits.Gamma: 2,
    _datafits.Tweedie: 3,
    _datafits.Huber: 4,
    _survival.Cox: 5,
}


def suits_compiled(problem, alphas, l1_ratio):
    """Whether a path of a likelihood is solved in compiled code."""
    design = problem.design
    return (
        type(problem.datafit) in _CODES
        and (
            type(problem.datafit) is not _survival.Cox
            or (
                _is_plain(problem.datafit)
                and design.n_features <= _SHARE * np.sum(problem.datafit.event)
            )
        )
        and (_is_swept(problem) or _is_held(design))
        and len(alphas) > 3
        and _is_selecting(problem, alphas[-1], l1_ratio)
    )


def _is_selecting(problem, alpha, l1_ratio):
    """Whether the penalty is an elastic net that leaves nothing without a strength."""
    spec, omega = problem.spec, problem.spec.feature_weights
    return (
        spec.is_convex
        and not spec.is_grouped
        and problem.tol >= _LEAST_TOL
        and (omega is None or omega.min() > 0.0)
        and alpha > 0.0
        and l1_ratio > 0.0
    )


def _is_held(design):
    """Whether all columns are held, centered."""
    size = 8.0 * design.n_samples * design.n_features
    return design.prefers_gram and size <= _MOST_BYTES


def _is_swept(problem):
    """Whether sparse columns stay as they are."""
    is_sparse = problem.design.is_sparse and not problem.design.prefers_gram
    return is_sparse and problem.datafit.has_intercept


_COX, _NO_TIES = 5, np.empty(0, dtype=np.int64)
_SHARE = 0.5  # features for each event, up to which survival times are quick


def _is_plain(datafit):
    """Whether the kernel knows a partial likelihood, and is quick on it.

    It knows risk sets that are tails, and ties as Breslow counts them. Its models leave
    out how samples of a risk set share events, which costs steps where there are few
    events for each feature.
    """
    return datafit._entered is None and not datafit._has_parts


def _sorted_arrays(datafit, A):
    """Return columns as rows, target, weights and first ties as the kernel wants them.

    Survival times come in their order, with events as the target.
    """
    weights = np.ascontiguousarray(datafit.weights)
    code, _, y = loss_code(datafit)
    if code != _COX:
        return A.T, np.ascontiguousarray(y), weights, _NO_TIES
    order = datafit.order
    first = np.searchsorted(y[order], y[order]).astype(np.int64)
    event = datafit.event[order].astype(np.float64)
    return np.ascontiguousarray(A[order].T), event, weights[order], first


def loss_code(datafit):
    """Return the code of a loss, the number beside its target, and that for kernels."""
    code = _CODES[type(datafit)]
    shape = float(getattr(datafit, "power", getattr(datafit, "delta", 0.0)))
    is_gamma = code == _CODES[_datafits.Gamma]
    return code, shape, datafit._log_y if is_gamma else datafit.y


def likelihood_results(problem, alphas, l1_ratio, scale, verbose=0):
    """Return the results of a path, or None where no strength could be solved.

    Parameters
    ----------
    problem : GLMProblem
        For which :func:`suits_compiled` is true.
    alphas : ndarray of shape (n_alphas,)
        In decreasing order.
    l1_ratio : float
    scale : str
        What the certificates say that measures are relative to.
    verbose : int, default=0
    """
    design, datafit, omega = (
        problem.design,
        problem.datafit,
        problem.spec.feature_weights,
    )
    n, p, K = design.n_samples, design.n_features, len(alphas)
    with_shift = bool(design.fit_intercept and datafit.has_intercept)
    has_gap = problem._gap_is_measured(1.0)
    shift = float(datafit.null_intercept()) if with_shift else 0.0
    null_value = datafit.value(np.full(n, shift))
    explained = null_value - datafit.saturated
    if explained <= 1e-14 * abs(null_value):
        return None
    unit = explained
    null_gradient = datafit.gradient(np.full(n, shift))
    if not has_gap:
        q = design.correlations(-null_gradient)
        kept = slice(None) if omega is None else np.isfinite(omega)
        unit = float(np.abs(q[kept]).max(initial=0.0))
        if unit == 0.0:
            return None
    multipliers = np.ones(p) if omega is None else omega
    l2 = np.where(np.isfinite(multipliers), multipliers, 0.0)
    inside = problem.total * np.asarray(alphas, dtype=np.float64) / problem.alpha_unit
    strengths = inside * l1_ratio
    ridges = inside * (1.0 - l1_ratio) * problem.coef_unit
    norms = np.sqrt(design.squares)
    W, shifts = np.zeros((K, p)), np.zeros(K)
    stats, info = np.zeros((K, 11)), np.zeros((K, 5), dtype=np.int64)
    solve, data = _kernel_of(problem, read_only(norms))
    n_solved = solve(
        *data,
        float(datafit.floor),
        with_shift,
        shift,
        has_gap,
        explained,
        read_only(multipliers),
        read_only(l2),
        strengths,
        ridges,
        bool(problem.spec.positive),
        problem.tol * unit,
        min(_BUDGET, problem.limits["max_epochs"]),
        W,
        shifts,
        stats,
        info,
    )
    if n_solved == 0:
        return None
    bends = stats[:, 8]
    if datafit.curvature_bound is not None:
        bends = np.full(K, datafit.steepest(None))
    steepest = norms / multipliers
    with np.errstate(over="ignore", invalid="ignore"):
        reach, product = _reach(problem, W, norms, stats)
        errors = _rounding(
            datafit.saturated,
            design.n_samples,
            np.count_nonzero(W, axis=1),
            reach,
            product,
            shifts,
            stats,
            bends,
            norms.max(initial=0.0),
            steepest.max(),
            strengths,
            has_gap,
        )
    measures = stats[:, 2] / unit
    if with_shift:
        lean = unbalanced(stats[:, 5], stats[:, 4], n)
        if has_gap:  # the gradient is a dual point where it sums to zero
            with np.errstate(over="ignore"):
                flat = SETTLED * np.sqrt(n) * float(np.linalg.norm(null_gradient))
            measures[lean > flat] = np.inf
        else:
            constant = norms.max(initial=0.0) / np.sqrt(n)
            measures = np.maximum(measures, constant * lean / unit)
    varying = {
        "gap": measures,
        "objective": stats[:, 0],
        "dual": stats[:, 1],
        "shift": shifts,
        "rounding": errors / unit,
        "bend": bends,
        "n_iter": info[:, 2],
        "n_sweeps": info[:, 0],
        "n_newton": info[:, 1],
    }
    common = {
        "unit": unit,
        "kind": "duality_gap" if has_gap else "kkt",
        "scale": scale,
        "null_value": null_value,
    }
    points = PathPoints(problem, W, varying, common)
    # Not `>`: what overflowed is missed.
    missed = ~(measures + errors / unit <= problem.tol)
    if not has_gap and with_shift:
        missed |= ~_is_settled(n, stats)
    missed[n_solved:] = True
    return mended(problem, points, missed, W, n_solved, alphas, l1_ratio, verbose)


def _suits_fit(problem, alpha, l1_ratio):
    """Whether one strength is solved in one call.

    Survival times are not: the models of the kernel take too many steps there.
    """
    design = problem.design
    n, p = design.n_samples, design.n_features
    return (
        problem.datafit_class in _CODES
        and problem.offset is None
        and design.prefers_gram
        and p <= _FEW
        and n * p <= (_SMALL if p <= n else _SMALL_WIDE)
        and _is_selecting(problem, alpha, l1_ratio)
    )


def likelihood_result(problem, alpha, l1_ratio, kind):
    """Return the result of one strength on small data, or None where it is not proved.

    Parameters
    ----------
    problem : GLMProblem
    alpha, l1_ratio : float
    kind : {"duality_gap", "kkt"}
        What is measured.
    """
    if not _suits_fit(problem, alpha, l1_ratio):
        return None
    design, loss = problem.design, problem.datafit_class
    n, p, has_gap = design.n_samples, design.n_features, kind == "duality_gap"
    weights = problem.sample_weight
    weights = np.ones(n) if weights is None else weights
    y = np.log(problem.y) if loss is _datafits.Gamma else problem.y
    # Other layouts would be compiled for anew.
    data = design.block(design.all_columns).T, *map(np.ascontiguousarray, (y, weights))
    norms, omega = np.sqrt(design.squares), problem.spec.feature_weights
    omega = np.ones(p) if omega is None else omega
    strength = problem.total * alpha / problem.alpha_unit
    ridge = strength * (1.0 - l1_ratio) * problem.coef_unit
    strength *= l1_ratio
    w, stats = np.zeros(p), np.zeros((1, 14))
    history = np.empty(min(_LOOKS, problem.limits["max_iter"]))
    with_shift = bool(design.fit_intercept)
    n_looks, n_sweeps = kernels.likelihood_fit(
        *(read_only(part) for part in (*data, _NO_TIES, norms)),
        _CODES[loss],
        float(next(iter(problem.datafit_options.values()), 0.0)),
        loss.floor,
        with_shift,
        has_gap,
        read_only(omega),
        read_only(np.where(np.isfinite(omega), omega, 0.0)),
        strength,
        ridge,
        bool(problem.spec.positive),
        float(problem.tol),
        int(min(_SWEEPS, problem.limits["max_epochs"])),
        w,
        history,
        stats,
    )
    if n_looks == 0:  # there is nothing to explain
        return None
    objective, dual, measure = stats[0, :3].tolist()
    null_value, unit, shift, null_size = stats[0, 10:].tolist()
    bend = stats[0, 8] if loss.steepness is None else loss.steepness * data[2].max()
    if design.fit_intercept and loss.has_intercept:
        size, total = stats[0, 4:6].tolist()
        lean = float(unbalanced(total, size, n))
        if not has_gap:
            measure = max(measure, norms.max(initial=0.0) / np.sqrt(n) * lean)
            history[n_looks - 1] = measure / unit
        elif lean > SETTLED * np.sqrt(n) * null_size:
            return None
    columns = np.flatnonzero(w)
    with np.errstate(over="ignore", invalid="ignore"):
        error = _rounding(
            null_value - unit,
            n,
            [len(columns)],
            np.abs(w) @ norms,
            rounding(design.chain + 4),
            shift,
            stats,
            bend,
            norms.max(initial=0.0),
            (norms / omega).max(),
            strength,
            has_gap,
        )
    error = float(error[0]) / unit
    # Not `>`: what overflowed is missed.
    is_proved = measure / unit + error <= problem.tol
    if not has_gap and with_shift:
        is_proved = is_proved and _is_settled(n, stats)[0]
    if not is_proved:
        return None
    return SolverResult(
        columns=columns,
        coef=w[columns],
        gap=measure / unit,
        objective=objective,
        dual=dual,
        n_iter=n_looks,
        n_sweeps=n_sweeps,
        n_newton=n_looks - 1,
        gap_history=history[:n_looks].tolist(),
        kind=kind,
        shift=shift,
        rounding=error,
        unit=unit,
        bend=float(bend),
        null_value=null_value,
    )


def _kernel_of(problem, norms):
    """Return the kernel that suits a problem, and what it takes of the data."""
    design, datafit = problem.design, problem.datafit
    code, shape, _ = loss_code(datafit)
    if _is_swept(problem):
        from sparsestat.linear_model._penalized import _kernels_csc_likelihood

        _, y, weights, _ = _sorted_arrays(datafit, np.empty((0, 0)))
        columns = *unsigned_columns(design), design.means
        arrays = *columns, norms, read_only(y), read_only(weights)
        return _kernels_csc_likelihood.csc_likelihood_path, (*arrays, code, shape)
    from sparsestat.linear_model._penalized import _kernels_likelihood

    arrays = _sorted_arrays(datafit, design.block(np.arange(design.n_features)))
    arrays = *map(read_only, arrays), norms
    return _kernels_likelihood.likelihood_path, (*arrays, code, shape)


def _reach(problem, W, norms, stats):
    """Bound how far coefficients reach, and the errors of products with columns."""
    design = problem.design
    product = rounding(design.chain + 4)
    if not _is_swept(problem):
        return np.abs(W) @ norms, product
    # Also of the center times the sum of all rows.
    far = center_share(design, norms)
    return (1.0 + 2.0 * far) * stats[:, 10], product + far * rounding(
        design.n_samples + 4
    )


def _is_settled(n, stats):
    """Whether gradients sum to zero: violations of features do not tell."""
    return np.abs(stats[:, 5]) <= _FLAT * np.sqrt(n) * stats[:, 4]


def _rounding(
    saturated, n, counts, reach, product, shifts, stats, bends, longest, steepest,
    strengths, has_gap,
):  # fmt: skip
    """Bound the rounding errors of gaps or violations, as ``likelihood_rounding``."""
    size, total, fall, absolute = stats[:, 4], stats[:, 5], stats[:, 6], stats[:, 7]
    slip = np.array([rounding(int(count) + 4) for count in counts])
    slip *= reach + np.sqrt(n) * np.abs(shifts)
    if not has_gap:
        return longest * (product * size + bends * slip)
    absolute = absolute + abs(saturated)
    error = slip * (size + 0.5 * bends * slip)
    # The kernels add up one loss after another.
    error += 2.0 * rounding(n + 16) * absolute + np.abs(shifts * total)
    error += steepest / strengths * product * size * stats[:, 3] * np.abs(fall)
    return error + 2.0 * product * size * stats[:, 9]
