r"""Paths and cross-validation of the elastic net from moments of the data.

Where the features are few enough for a Gram matrix of all of them, a path is one call
of a compiled kernel, and the folds of cross-validation need no pass over their rows:
their moments are what is left of those of all rows without the held-out ones, and so
are the errors.

Gaps are differences of moments. Their rounding is bounded from the norms of the
columns; where the bound is not far below the tolerance, the gap is measured from the
data, and where that does not suffice the working-set solver finishes. Single strengths
on small data are solved alike, to the digits that a last sweep leaves.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.linalg import solve_definite
from sparsestat._utils.progress import progress_bar
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _kernels_path as kernels
from sparsestat.linear_model._penalized._design import is_small
from sparsestat.linear_model._penalized._gaps import squared_parts
from sparsestat.linear_model._penalized._points import PathPoints
from sparsestat.linear_model._penalized._result import SolverResult
from sparsestat.linear_model._penalized._rounding import squared_loss_rounding

__all__ = [
    "BUDGET",
    "DOUBT",
    "LEAST_TOL",
    "MOST_BYTES",
    "MOST_FEATURES",
    "Moments",
    "SharedMoments",
    "fold_errors",
    "gram_fit",
    "gram_results",
    "measured_point",
    "mended",
    "points_of",
    "suits_gram",
]

MOST_FEATURES = 1000
MOST_BYTES = 2e9  # of the centered columns
LEAST_TOL = 1e-10  # below it differences of moments have no digits left
BUDGET = 2000  # sweeps for one strength, before the working-set solver takes over
DOUBT = 0.1  # share of the tolerance that rounding may have without a look at the data
_EXPLAINED = 1e-10  # share of a squared norm below which nothing of a column is left
_LOST = (
    1e-6  # share of a sum of moments that is left, below which they are computed anew
)
_STILL = 1e-24  # share of the squared target by which a last sweep moves the fit
_SWEEPS = 100  # of a single fit, before the working-set solver takes over


def suits_gram(problem, alphas, fewest=4):
    """Whether a path is solved on the Gram matrix of all features."""
    design = problem.design
    n, p = design.n_samples, design.n_features
    omega = problem.feature_weights
    return (
        problem.target.ndim == 1
        and design.prefers_gram
        and p <= MOST_FEATURES
        and 8.0 * n * p <= MOST_BYTES
        and problem.tol >= LEAST_TOL
        and (omega is None or omega.min() > 0.0 or _frees_some(problem))
        and len(alphas) >= fewest
        and alphas[-1] > 0.0
    )


def _frees_some(problem):
    """Whether nothing bounds the features without penalty, and others have one."""
    return not problem.positive and bool(problem.feature_weights.max() > 0.0)


class Moments:
    """Products of the centered columns with each other and with the target."""

    def __init__(self, G, c, yy, total):
        self.G, self.c, self.yy, self.total = np.ascontiguousarray(G), c, yy, total
        self.scale = yy  # what gaps are relative to


class SharedMoments:
    """Moments of one design and several targets, computed once for all of these.

    Parameters
    ----------
    design : Design
    targets : ndarray of shape (n_samples, n_targets)
        Centered by the design.
    """

    def __init__(self, design, targets):
        self.design, self.targets = design, targets
        self._products = self._folds = self._of_folds = None

    def of(self, t):
        """Return the moments of the features and one target."""
        if self._products is None:
            A = self.design.block(np.arange(self.design.n_features))
            self._products = A.T @ A, A.T @ self.targets
        G, C = self._products
        y = self.targets[:, t]
        return Moments(G, C[:, t].copy(), float(y @ y), self.design.total)

    def of_folds(self, folds):
        """Return the rows held out in each fold, their moments and those of all rows.

        Columns are the features, the targets and the roots of the weights.
        """
        if self._folds is None or not _are_same(folds, self._folds):
            self._folds, self._of_folds = folds, self._take(folds)
        return self._of_folds

    def _take(self, folds):
        design, p = self.design, self.design.n_features
        n, n_targets = self.targets.shape
        B = np.empty((n, p + n_targets + 1), order="F")
        design.gather(np.arange(p), B, 0)
        B[:, p:-1] = self.targets
        B[:, -1] = design.roots if design.is_weighted else 1.0
        held = [_rows(B, test) for _, test in folds]
        outside = [rows.T @ rows for rows in held]
        if sum(len(rows) for rows in held) == n and len(_union(folds)) == n:
            whole = np.sum(outside, axis=0)  # every row is held out once
        else:
            whole = B.T @ B
        return held, outside, whole


def _are_same(folds, others):
    return len(folds) == len(others) and all(
        np.array_equal(mine, theirs)
        for pair in zip(folds, others, strict=True)
        for mine, theirs in zip(*pair, strict=True)
    )


def _solve(problem, moments, alphas, l1_ratio):
    """Solve with what nothing penalizes left out, and put that in again.

    Returns coefficients, gaps, counts and how many were solved.
    """
    omega = problem.feature_weights
    if omega is None:
        omega = np.ones(problem.n_features)
    free = omega == 0.0
    if not free.any():
        return _run(problem, moments, alphas, l1_ratio, omega)
    held = np.flatnonzero(free & (moments.G.diagonal() > 0.0))
    rest = np.flatnonzero(~free)
    W, gaps = np.zeros((len(alphas), problem.n_features)), None
    mix, own, left = _beside(moments, held, rest)
    if mix is None:
        return W, gaps, None, 0
    V, gaps, info, n_solved = _run(problem, left, alphas, l1_ratio, omega[rest])
    W[:, rest] = V
    W[:, held] = own - V @ mix.T
    return W, gaps, info, n_solved


def _beside(moments, held, rest):
    """Return least squares of the rest and of y on the features held, and what is left.

    These are the coefficients of the features, those of y, and the moments of the
    residuals; None where the features held depend on each other.
    """
    G, c = moments.G, moments.c
    right = np.column_stack([G[np.ix_(held, rest)], c[held]])
    H = np.asfortranarray(G[np.ix_(held, held)])
    solved = solve_definite(H, right) if len(held) else right
    if solved is None:
        return None, None, None
    mix, own = solved[:, :-1], solved[:, -1]
    whole = G[np.ix_(rest, rest)]
    spread = whole - right[:, :-1].T @ mix
    spread = 0.5 * (spread + spread.T)
    correlations = c[rest] - right[:, :-1].T @ own
    # What the features held explain leaves rounding, nothing to fit with.
    gone = spread.diagonal() <= _EXPLAINED * whole.diagonal()
    spread[gone], spread[:, gone], correlations[gone] = 0.0, 0.0, 0.0
    yy = max(moments.yy - float(right[:, -1] @ own), 0.0)
    left = Moments(spread, correlations, yy, moments.total)
    left.scale = moments.yy
    return mix, own, left


def _run(problem, moments, alphas, l1_ratio, multipliers):
    """Run the kernel; return coefficients, gaps, counts and how many were solved."""
    inside = moments.total * np.asarray(alphas, dtype=np.float64) / problem.alpha_unit
    ridges = inside * (1.0 - l1_ratio) * problem.coef_unit
    l2 = np.where(np.isfinite(multipliers), multipliers, 0.0)
    K = len(alphas)
    W = np.zeros((K, len(multipliers)))
    gaps, info = np.zeros((K, 4)), np.zeros((K, 3), dtype=np.int64)
    n_solved = kernels.gram_path(
        read_only(moments.G),
        read_only(moments.c),
        moments.yy,
        read_only(multipliers),
        read_only(l2),
        inside * l1_ratio,
        ridges,
        problem.positive,
        problem.tol * moments.scale,
        min(BUDGET, problem.limits["max_epochs"]),
        W,
        gaps,
        info,
    )
    return W, gaps, info, n_solved


def _gap_rounding(moments, n, W, gaps, lam):
    """Bound the rounding errors of the gaps that moments give."""
    norms = np.sqrt(np.maximum(moments.G.diagonal(), 0.0))
    reach = np.sqrt(moments.yy) + np.abs(W) @ norms
    unit = rounding(n + 8)
    target_dot = np.abs(moments.yy - W @ moments.c)
    # Free features make it infinite, or nothing at all: the data will be looked at.
    with np.errstate(divide="ignore", invalid="ignore"):
        steepest = np.nanmax(norms / lam, axis=1, initial=0.0)
        scaled = unit * steepest * reach * target_dot * gaps[:, 2]
    return unit * reach**2 + 3.0 * scaled + 2.0 * unit * reach * gaps[:, 3]


def gram_fit(problem, alpha, l1_ratio):
    """Return the result of one strength on small data, or None where it is not proved.

    Parameters
    ----------
    problem : ElasticNetProblem
    alpha, l1_ratio : float
    """
    design, y, omega = problem.design, problem.target, problem.feature_weights
    if not (
        suits_gram(problem, [alpha], fewest=1)
        and is_small(design)
        and l1_ratio > 0.0
        and problem.limits["max_iter"] > 1
        and design.squares.all()
        and (omega is None or omega.min() > 0.0)
    ):
        return None
    A = design.block(design.all_columns)
    moments = Moments(A.T @ A, A.T @ y, float(y @ y), problem.total)
    strength = problem.total * alpha / problem.alpha_unit
    ridge = strength * (1.0 - l1_ratio) * problem.coef_unit
    omega = np.ones(len(moments.c)) if omega is None else omega
    most = min(_SWEEPS, problem.limits["max_epochs"])
    w = np.zeros(len(moments.c))
    sweeps, newtons, first, *found = kernels.gram_fit(
        read_only(moments.G),
        read_only(moments.c),
        moments.yy,
        read_only(omega),
        read_only(np.where(np.isfinite(omega), omega, 0.0)),
        strength * l1_ratio,
        ridge,
        problem.positive,
        _STILL * moments.yy,
        most,
        w,
    )
    lam = strength * l1_ratio * omega
    error = _gap_rounding(
        moments, design.n_samples, w[None], np.array([found]), lam[None]
    )
    error, gap, goal = float(error[0]), max(found[0], 0.0), problem.tol * moments.yy
    # Not `>`: there is nothing to explain, or it overflows.
    if sweeps > most or not (gap + error <= goal and error < DOUBT * goal):
        return None
    columns = np.flatnonzero(w)
    return SolverResult(
        columns=columns,
        coef=w[columns],
        gap=gap / moments.yy,
        objective=found[1],
        dual=found[1] - gap,
        n_iter=2,
        n_sweeps=sweeps,
        n_newton=newtons,
        gap_history=[first / moments.yy, gap / moments.yy],
        rounding=error / moments.yy,
        unit=moments.yy,
    )


def gram_results(problem, alphas, l1_ratio, verbose=0):
    """Return the results of a path, or None where no strength could be solved.

    Parameters
    ----------
    problem : ElasticNetProblem
        For which :func:`suits_gram` is true.
    alphas : ndarray of shape (n_alphas,)
        In decreasing order.
    l1_ratio : float
    verbose : int, default=0
    """
    design, y = problem.design, problem.target
    yy = float(y @ y)
    if yy == 0.0 or l1_ratio == 0.0:
        return None
    A, moments = None, problem.moments
    if moments is None and problem.shared is not None:
        moments = problem.shared.of(problem.column)
    if moments is None:
        A = design.block(np.arange(design.n_features))
        moments = Moments(A.T @ A, A.T @ y, yy, problem.total)
    W, gaps, info, n_solved = _solve(problem, moments, alphas, l1_ratio)
    if n_solved == 0:
        return None
    lam = (problem.total * l1_ratio / problem.alpha_unit) * alphas[:, None]
    free, omega = (), problem.feature_weights
    if omega is not None:
        lam = lam * omega
        free = np.flatnonzero(omega == 0.0)
    errors = _gap_rounding(moments, design.n_samples, W, gaps, lam)
    if len(free):
        # Their products with the residual must vanish, to the rounding of the data.
        A = design.block(np.arange(design.n_features)) if A is None else A
        residuals = y[:, None] - A @ W.T
        W[:, free] += np.linalg.lstsq(A[:, free], residuals, rcond=None)[0].T
        W[:, design.squares == 0.0] = 0.0
    return points_of(
        problem, W, gaps, info, n_solved, errors, alphas, l1_ratio, verbose, A=A
    )


def points_of(
    problem, W, gaps, info, n_solved, errors, alphas, setting, verbose, *, A=None,
    measured=False, unit=None, common=None,
):  # fmt: skip
    """Return what a kernel found as results, mended where it does not suffice.

    Parameters
    ----------
    problem : LeastSquaresProblem
    W : ndarray of shape (n_alphas, n_features)
    gaps : ndarray of shape (n_alphas, at least 2)
        Gaps and primal values.
    info : ndarray of shape (n_alphas, 3)
        Sweeps, Newton steps and passes over the features.
    n_solved : int
        How many strengths the kernel solved.
    errors : ndarray of shape (n_alphas,)
        Bounds of the rounding of the gaps.
    alphas : ndarray of shape (n_alphas,)
    setting : float
    verbose : int
    A : ndarray of shape (n_samples, n_features), default=None
        The centered columns; where they are needed, None has them gathered.
    measured : bool, default=False
        Whether the gaps are those of the data already.
    unit : float, default=None
        What gaps are relative to; None is the squared target.
    common : dict, default=None
        What results say of themselves where they have violations, not gaps.
    """
    y = problem.target
    unit = float(y @ y) if unit is None else unit
    goal = problem.tol * unit
    gap, primal = gaps[:, 0].copy(), gaps[:, 1].copy()
    solved = np.arange(len(W)) < n_solved
    doubtful = solved & ~(errors <= DOUBT * goal) & (not measured)
    for k in np.flatnonzero(doubtful):
        if A is None:
            A = problem.design.block(np.arange(problem.design.n_features))
        gap[k], primal[k], errors[k] = measured_point(
            problem, A, y, W[k], alphas[k], setting
        )
    gap_inside = np.maximum(gap, 0.0)
    varying = {
        "gap": gap_inside / unit,
        "objective": primal,
        "dual": primal - gap_inside if common is None else np.full(len(W), np.nan),
        "rounding": errors / unit,
        "n_iter": info[:, 2],
        "n_sweeps": info[:, 0],
        "n_newton": info[:, 1],
    }
    points = PathPoints(problem, W, varying, {"unit": unit, **(common or {})})
    missed = ~solved | ~(gap + errors <= goal)
    return mended(problem, points, missed, W, n_solved, alphas, setting, verbose)


def mended(problem, points, missed, W, n_solved, alphas, setting, verbose):
    """Solve again the strengths of a path that a kernel missed, from where it came."""
    if verbose < 1 and not missed.any():
        return points  # without the time that a bar takes
    solver = None
    for k in progress_bar(range(len(missed)), description="path", verbose=verbose):
        if not missed[k]:
            continue
        if solver is None:
            solver = problem.make_solver(W[min(k, n_solved)] * problem.coef_unit)
        points[k] = problem.solve_one(alphas[k], setting, solver=solver)
    return points


def measured_point(problem, A, y, w, alpha, l1_ratio):
    """Return gap, primal value and rounding of one point, from the data."""
    columns = np.flatnonzero(w)
    penalty = problem.penalty(alpha / problem.alpha_unit, l1_ratio)
    r = y - A[:, columns] @ w[columns]
    q = A.T @ r
    parts = squared_parts(penalty, w, q, float(r @ r), float(y @ r))
    error = squared_loss_rounding(
        problem.design, penalty, columns, w[columns], r, q, parts
    )
    return parts.gap, parts.primal, error


def _on_fold(problem, moments, alphas, l1_ratio):
    """Return the coefficients of a path on moments, and how many were solved."""
    if l1_ratio == 0.0:
        return np.empty((0, problem.n_features)), 0
    W, _, _, n_solved = _solve(problem, moments, alphas, l1_ratio)
    return W, n_solved


def fold_errors(problem, folds, settings, grids, solve=_on_fold):
    """Return held-out squared errors of paths on folds, setting after setting.

    An array for each setting and fold, or None where moments have lost too many digits,
    or a path did not end.

    Parameters
    ----------
    problem : LeastSquaresProblem
        Of all rows.
    folds : list of (ndarray, ndarray)
        Rows to train on and rows to test on, of which each pair holds all.
    settings : list of float
    grids : list of ndarray of shape (n_alphas,)
        Strengths for each setting.
    solve : callable
        Takes the problem, moments of a fold, strengths and a setting.
    """
    y, p = problem.target, problem.n_features
    shared = problem.shared or SharedMoments(problem.design, y[:, None])
    held, outside, whole = shared.of_folds(folds)
    at = np.arange(p + 2)  # of the features, the target and the roots of the weights
    if len(whole) > p + 2:
        at = np.r_[:p, p + problem.column, len(whole) - 1]
        pair = np.ix_(at, at)
        outside, whole = [part[pair] for part in outside], whole[pair]
    # The path of all rows that follows need not look at the columns again.
    problem.moments = Moments(
        whole[:p, :p], whole[:p, p].copy(), float(y @ y), problem.total
    )
    tables = [
        _fold(problem, rows, part, whole, at, settings, grids, solve)
        for rows, part in zip(held, outside, strict=True)
    ]
    return [table[k] for k in range(len(grids)) for table in tables]


def _union(folds):
    return np.unique(np.concatenate([test for _, test in folds]))


def _rows(B, test):
    """Return some rows, as a view where they follow each other."""
    if len(test) and np.array_equal(test, np.arange(test[0], test[0] + len(test))):
        return B[test[0] : test[0] + len(test)]
    return B[test]


def _fold(problem, held, outside, whole, at, settings, grids, solve):
    """Return the errors on the rows `held` of paths on the others, for each setting.

    `outside` and `whole` are the moments of these rows and of all, for the columns
    `at` of `held`.
    """
    p = problem.n_features
    nothing = [None] * len(grids)
    inside = whole - outside
    diagonal = inside.diagonal()[: p + 1]
    if np.any(diagonal < _LOST * whole.diagonal()[: p + 1]):
        return nothing
    total = inside[p + 1, p + 1]
    mean = np.zeros(p + 1)
    if problem.design.fit_intercept:
        mean = inside[: p + 1, p + 1] / total
        scaled = np.sqrt(total) * mean
        spread = inside[: p + 1, : p + 1] - np.outer(scaled, scaled)
        if np.any(spread.diagonal() < _LOST * diagonal):
            return nothing
    else:
        spread = inside[: p + 1, : p + 1]
    moments = Moments(spread[:p, :p], spread[:p, p].copy(), float(spread[p, p]), total)
    if not moments.yy > 0.0:
        return nothing
    out = []
    for setting, alphas in zip(settings, grids, strict=True):
        W, n_solved = solve(problem, moments, alphas, setting)
        errors = None
        if n_solved == len(alphas):
            errors = _errors(W, outside, held, at, mean) * problem.y_unit**2
        out.append(errors)
    return out


def _errors(W, outside, held, at, mean):
    """Return the mean squared errors of coefficients on rows that were held out.

    From the moments of these rows about the means of the others, where they suffice.
    """
    p = W.shape[1]
    used = np.append(np.flatnonzero(W.any(axis=0)), p)  # and the target
    about, sums = outside[np.ix_(used, used)], outside[used, p + 1]
    weight, mean = outside[p + 1, p + 1], mean[used]
    if mean.any():
        slope = np.outer(sums - 0.5 * weight * mean, mean)
        about -= slope + slope.T
    V = np.column_stack([-W[:, used[:-1]], np.ones(len(W))])
    errors = ((V @ about) * V).sum(axis=1)
    size = ((np.abs(V) @ np.abs(about)) * np.abs(V)).sum(axis=1)
    lost = errors < _LOST * size
    if lost.any():
        rest = held[:, at[used]] - held[:, -1:] * mean
        errors[lost] = ((rest @ V[lost].T) ** 2).sum(axis=0)
    return errors / weight
