"""Problems on one data set, as fits, paths and cross-validation see them.

A problem holds validated data. It knows its penalties, solves for one strength or
along a path, measures held-out losses and says what an estimator shows of results.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from copy import copy
from numbers import Integral

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array

from sparsestat._utils.arithmetic import moderate, power_of_two, stored
from sparsestat._utils.progress import progress_bar
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import effective_rows, relative_weights
from sparsestat._utils.validation import as_compressed
from sparsestat.linear_model._penalized._criteria import information_criterion
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._penalized._path_result import PathResult
from sparsestat.linear_model._penalized._penalties import multiplier_array
from sparsestat.linear_model._penalized._points import (
    PathPoints,
    are_gaps,
    gaps_of,
    used_columns,
    worst_result,
)
from sparsestat.linear_model._penalized._rounding import storage_error
from sparsestat.linear_model._penalized._solver import WorkingSetSolver
from sparsestat.linear_model._penalized._unpenalized import unpenalized_least_squares

__all__ = [
    "LeastSquaresProblem",
    "PathProblem",
    "feature_weight_array",
    "refuse_given_grid",
    "refuse_ridge_grid",
    "stack_coefs",
    "weighted_mean",
]

GAP_SCALE = "duality gap / squared norm of the centered y, both divided by n_samples"
KKT_SCALE = "largest gradient of a free coefficient / largest gradient at zero"
GAP_REMEDY = (
    "Increase max_iter or max_epochs, scale the features, or raise alpha or tol."
)
# A path that may end early does so once so much is explained, or less than this share
# of it is gained in a step, though not before so many strengths.
_EXPLAINED, _GAIN, _FEWEST = 0.999, 1e-5, 5
_LOST, _VANISHING = 1e-250, 1e-45  # a target that rests on rounding; one to rescale
_FAR_BELOW = 1 / 30  # share of the largest strength below which one comes down to it


class PathProblem:
    """What the cross-validation mixin asks of a problem; a base for all of them.

    The *setting* of a problem is what is tried beside the strength alpha, such as
    the l1_ratio of the elastic net; None where there is no such thing. A *result*
    is one point of a path and has at least the attributes of
    :class:`~sparsestat.linear_model._penalized._result.SolverResult`.

    Subclasses give ``alpha_max(setting)``, ``solve(alphas, setting, coef_init,
    verbose)``, ``losses(results, X, y, sample_weight)``, ``coefs_of(results)``,
    ``explained(results)`` where paths may end early,
    ``intercepts_of(results)``, ``intercept_of(result)``, ``shaped(coef, intercept)``
    and, for information criteria, ``criteria(name, results, alphas, setting)``.
    Attributes: ``design``; ``total``, the sum of the weights; ``tol``;
    ``n_features``; ``dtype``.

    Inside, X and y are divided by powers of two where products of their entries would
    overflow or vanish. Strengths that come in, and results that go out, are in the
    units of the data that were given.
    """

    remedy = GAP_REMEDY
    precision_remedy = None
    copies = None  # the feature behind each column of the design, if groups overlap
    is_convex = True  # whether a step of a path without gain is the last one with some
    y_unit, y_offset = 1.0, 0.0
    loss_unit = 1.0  # what losses inside are multiplied by, beside the square of y_unit

    @property
    def coef_unit(self):
        """What coefficients inside are multiplied by to fit the given data."""
        return self.y_unit / self.design.unit

    @property
    def alpha_unit(self):
        """What strengths of absolute penalties inside are multiplied by."""
        return self.y_unit * self.design.unit * self.loss_unit

    def given(self, result):
        """Return a result in the units of the given data."""
        if self.copies is not None:
            result.merge_copies(self.copies)
        if self.dtype == np.float32:
            self._add_storage_error(result)
        result.coef = result.coef * self.coef_unit
        result.shift = result.shift * self.y_unit + self.y_offset
        square = self.y_unit**2 * self.loss_unit
        result.objective, result.dual = result.objective * square, result.dual * square
        return result

    def _add_storage_error(self, result):
        """Add what single precision moves the fit by to the bound of rounding."""
        shift = np.asarray(result.shift)
        if self.design.fit_intercept:
            center = self.design.center_dot(result.columns, result.coef)
            shift = np.abs(shift) + np.abs(center / self.design.unit)
        moved = storage_error(
            self.design, result, self.dtype, self.design.n_samples, shift
        )
        if result.kind == "duality_gap":
            # A way from the minimum that costs the gap, and this one, cost together
            # the square of the sum of their roots.
            error = 0.5 * result.bend * moved**2
            error += 2.0 * np.sqrt(max(result.gap * result.unit, 0.0) * error)
        else:
            steepest = float(np.sqrt(self.design.squares.max(initial=0.0)))
            error = result.bend * steepest * moved
        result.rounding += error / result.unit

    def start_of(self, coef_init):
        """Return coefficients to start from in the units of the solver."""
        if coef_init is None:
            return None
        further = 0 if self.copies is None else len(self.copies) - len(coef_init)
        rest = np.zeros((further, *np.shape(coef_init)[1:]))
        return np.concatenate([coef_init, rest]) / self.coef_unit

    def grid(self, alphas, eps, setting=None):
        """Return strengths in decreasing order: those given, or so many of them."""
        if not isinstance(alphas, Integral):
            alphas = np.sort(_checked_strengths(alphas))[::-1]
            if alphas[-1] < 0.0:
                raise ValueError(
                    f"`alphas` must not be negative, got {alphas[-1]}. Zero is no "
                    "penalty at all."
                )
            return alphas
        largest = self.alpha_max(setting)
        if largest == 0.0:  # as scikit-learn does
            return np.full(alphas, np.finfo(np.float64).resolution)
        if alphas == 1:
            return np.array([largest])
        grid = np.geomspace(largest, largest * eps, num=alphas)
        grid[0] = largest  # geomspace rounds its ends
        return grid

    def path(
        self, alphas, eps, setting=None, *, coef_init=None, verbose=0,
        name="PathResult", stop_explained=False,
    ):  # fmt: skip
        """Solve on a grid; return what users see, and warn of what missed `tol`."""
        if stop_explained:
            refuse_given_grid(alphas)
        alphas = self.grid(alphas, eps, setting)
        results = self.solve(alphas, setting, coef_init=coef_init, verbose=verbose)
        if stop_explained:
            results = results[: self.n_explaining(results)]
            alphas = alphas[: len(results)]
        self.warn_of_path(results, name)
        return self.path_result(alphas, results)

    def warn_of_path(self, results, name):
        """Warn once if a point of a path missed its tolerance."""
        if self._are_proved(results):
            return  # without the time that making a result of one takes
        certificate = self.certificate(worst_result(results))
        what = "gap" if certificate.kind == "duality_gap" else "violation"
        warn_if_unsatisfied(
            certificate,
            f"{name}: the largest {what} on the path",
            self.remedy,
            precision_remedy=self.precision_remedy,
        )

    def _are_proved(self, results):
        """Whether arrays say that every point is proved, stored as it was computed."""
        return (
            isinstance(results, PathPoints)
            and self.dtype != np.float32
            and bool((results.gaps + results.roundings <= self.tol).all())
        )

    def path_result(self, alphas, results):
        """Return a path as users see it."""
        is_array = isinstance(results, PathPoints)
        kind = results.kind if is_array else results[0].kind
        gaps = gaps_of(results)
        if self.gaps_are_absolute and kind == "duality_gap":
            gaps = self.dual_gaps(results)
        return PathResult(
            alphas, self.coefs_of(results), gaps, self.intercepts_of(results), kind
        )

    def fold_losses(self, folds, settings, grids):
        """Return held-out losses where that needs no fits, or None; setting by setting.

        The folds hold every row of the problem once, to train on or to test on.
        """
        return [None] * (len(settings) * len(folds))

    gaps_are_absolute = False  # whether the gaps of a path are those of the objective

    def solve(self, alphas, setting=None, *, coef_init=None, verbose=0):
        """Solve for each alpha in turn with warm starts; return the results."""
        solver = self.make_solver(coef_init)
        return [
            self.solve_one(alpha, setting, solver=solver)
            for alpha in progress_bar(alphas, description="path", verbose=verbose)
        ]

    def explained(self, results):
        """Return the share of the deviance of the null model that results explain."""
        raise NotImplementedError

    def n_explaining(self, results):
        """Return after how many points of a path nothing more is explained."""
        shares = self.explained(results)
        rests = np.diff(shares) < _GAIN * shares[1:]
        if not self.is_convex:
            # Coefficients that nothing shrinks rest until the next feature enters.
            rests = np.logical_and.accumulate(rests[::-1])[::-1]
        enough = shares > _EXPLAINED
        enough[1:] |= rests
        enough[: _FEWEST - 1] = False
        return int(np.argmax(enough)) + 1 if enough.any() else len(shares)

    def alpha_max(self, setting=None):
        """Return the smallest alpha at which every penalized coefficient is zero."""
        penalty = self.penalty(1.0, setting)
        solver = self.make_solver()
        solver.settle_free(penalty)
        return penalty.gauge(solver.q) * self.alpha_unit

    def _approach(self, solver, alpha, setting, **options):
        """Come down to a strength far below the largest; return the sweeps used.

        Started at zero, coefficients that should rest there enter by the hundred and
        leave one at a time.
        """
        largest = self.alpha_max(setting)
        if alpha <= 0.0 or alpha >= _FAR_BELOW * largest or not np.isfinite(largest):
            return 0
        n_steps = int(np.ceil(np.log10(largest / alpha)))
        budget = left = self.limits["max_epochs"] // 2
        for strength in np.geomspace(largest, alpha, n_steps + 1)[1:-1]:
            if left <= 0:
                break
            result = solver.solve(
                self.penalty(strength / self.alpha_unit, setting),
                tol=max(1e-2 * strength / largest, self.tol),
                max_iter=self.limits["max_iter"],
                max_epochs=left,
                **options,
            )
            left -= result.n_sweeps
        return budget - max(left, 0)

    def dual_gaps(self, results):
        """Return the duality gaps, in the units of the objective."""
        if isinstance(results, PathPoints):
            gaps = results.objectives - results.duals
        else:
            gaps = np.array([result.objective - result.dual for result in results])
        return np.maximum(gaps, 0.0) / self.total

    def measures(self, results):
        """Return what the certificates of a path measure, by the attribute's name."""
        if are_gaps(results):
            return {"dual_gaps_": self.dual_gaps(results)}
        return {"kkt_residuals_": gaps_of(results)}

    def attributes(self, result):
        """Return what an estimator shows of one solution, by name."""
        coef = np.zeros(self.coef_shape)
        coef[result.columns] = result.coef
        coef = stored(coef, self.dtype)
        coef, intercept = self.shaped(coef, self.intercept_of(result))
        found = {
            "coef_": coef,
            "intercept_": intercept,
            "certificate_": self.certificate(result),
            "objective_": result.objective / self.total,
            "history_": np.array(result.gap_history),
            "n_iter_": result.n_iter,
            "n_epochs_": result.n_sweeps,
        }
        if not np.isnan(result.dual):
            gap = max(result.objective - result.dual, 0.0)
            found["dual_gap_"] = gap / self.total
        return found

    def path_attributes(self, results, index):
        """Return what an estimator shows of a path and of the chosen point of it."""
        return {
            "coef_path_": self.coefs_of(results),
            "intercept_path_": self.intercepts_of(results),
            **self.measures(results),
            **self.attributes(results[index]),
        }

    def certificate(self, result):
        """Return the certificate of one result, in the units of the estimator."""
        details = {"objective": result.objective / self.total}
        scale = result.scale or (GAP_SCALE if result.kind != "kkt" else KKT_SCALE)
        if result.kind == "duality_gap":
            details["dual_objective"] = result.dual / self.total
        return Certificate.measured(
            result.kind,
            result.gap,
            self.tol,
            scale,
            rounding=result.rounding,
            details=details,
        )


class LeastSquaresProblem(PathProblem):
    """A squared loss on one design and target; subclasses name the penalty.

    Parameters
    ----------
    X, y, sample_weight : validated arrays
    fit_intercept : bool
    tol, max_iter, max_epochs : see the solver
    """

    no_penalty = (
        "alpha=0 leaves the coefficients unpenalized: the least squares solution is "
        "returned. Use sklearn.linear_model.LinearRegression for that, or alpha > 0."
    )

    def __init__(
        self, X, y, sample_weight=None, *, fit_intercept, tol, max_iter, max_epochs
    ):
        self.dtype, self.n_rows = X.dtype, X.shape[0]
        weights, self.weight_unit = sample_weight, 1.0
        if sample_weight is not None:
            X, y, weights = effective_rows(X, y, sample_weight)
            weights, self.weight_unit = relative_weights(weights)
        if issparse(X):
            X = as_compressed(X, "csc")
        y, self.y_unit = moderate(y, "y")
        self.design = make_design(X, weights, fit_intercept=fit_intercept)
        self.target, y_mean = self.design.target(y)
        self.y_mean = y_mean * self.y_unit
        self.total = self.design.total
        self.n_features = self.design.n_features
        self.tol = tol
        self.limits = {"tol": tol, "max_iter": max_iter, "max_epochs": max_epochs}

    @property
    def coef_shape(self):
        """Shape of the coefficients inside the solver."""
        return (self.n_features, *self.target.shape[1:])

    gaps_are_absolute = True

    def penalty(self, alpha, setting):
        """Return the penalty object of one strength, in the units of the solver."""
        raise NotImplementedError

    def make_solver(self, coef_init=None):
        """Return a solver that can be used for all strengths in turn."""
        return WorkingSetSolver(self.design, self.target, self.start_of(coef_init))

    def solve_one(self, alpha, setting=None, *, solver=None, coef_init=None, step=None):
        """Solve one problem; least squares when nothing is penalized."""
        penalty = self.penalty(alpha / self.alpha_unit, setting)
        if penalty.is_nothing:
            return self.given(
                unpenalized_least_squares(self.design, self.target, penalty)
            )
        limits = dict(self.limits)
        swept = 0
        if solver is None:
            solver = self.make_solver(coef_init)
            if coef_init is None and self.comes_down:
                swept = self._approach(solver, alpha, setting)
                limits["max_epochs"] -= swept
        result = solver.solve(penalty, step=step, **limits)
        result.n_sweeps += swept
        return self.given(result)

    @property
    def comes_down(self):
        """Whether a cold start is far from the solution of a small strength."""
        return self.target.ndim == 2

    def losses(self, results, X, y, sample_weight=None):
        """Mean squared error of each result on other rows."""
        if self.target.ndim == 2:
            return self._joint_losses(results, X, y, sample_weight)
        used = used_columns(results)
        coefs = stack_coefs(results, self.n_features)[used]
        fitted = np.asarray(X[:, used] @ coefs)
        fitted = fitted + self.design.intercept(self.y_mean, used, coefs)
        return weighted_mean((y[:, None] - fitted) ** 2, sample_weight)

    def _joint_losses(self, results, X, y, sample_weight):
        """Mean over rows and targets of the squared errors."""
        squares = []
        for result in results:
            fitted = np.asarray(X[:, result.columns] @ result.coef)
            squares.append(((y - fitted - self.intercept_of(result)) ** 2).mean(axis=1))
        return weighted_mean(np.column_stack(squares), sample_weight)

    def refit(self, result):
        """Return the coefficients of least squares on the support of a result.

        None if these are not determined: dependent columns, or as many as rows.
        """
        columns = result.columns
        rows = self.design.n_samples - int(self.design.fit_intercept)
        if len(columns) == 0 or len(columns) >= rows or self.target.ndim == 2:
            return None
        block = self.design.block(columns)
        scales = np.sqrt(self.design.squares[columns])
        coef, _, rank, _ = np.linalg.lstsq(block / scales, self.target, rcond=1e-10)
        return coef / scales * self.coef_unit if rank == len(columns) else None

    def _residual_square(self, result):
        fitted = self.design.product(result.columns, result.coef / self.coef_unit)
        residual = self.target - fitted
        return float(np.vdot(residual, residual))

    def explained(self, results):
        null = float(np.vdot(self.target, self.target))
        left = np.array([self._residual_square(result) for result in results])
        return 1.0 - left / null if null > 0.0 else np.ones(len(results))

    def criteria(self, name, results, alphas, setting=None):
        """Information criterion of each result."""
        rss = np.empty(len(results))
        df = np.empty(len(results))
        for k, (result, alpha) in enumerate(zip(results, alphas, strict=True)):
            rss[k] = self._residual_square(result)
            df[k] = self.degrees_of_freedom(result, alpha, setting)
        scale = float(np.vdot(self.target, self.target))
        # Here weights count rows: their sum is the number of observations.
        n, chosen = self.total * self.weight_unit, None
        if self.target.ndim == 2:
            n *= self.target.shape[1]
            chosen = np.array([np.count_nonzero(r.coef.any(axis=1)) for r in results])
        rss, scale = rss * self.weight_unit, scale * self.weight_unit
        values = information_criterion(name, rss, scale, df, n, self.n_features, chosen)
        return values + 2.0 * n * np.log(self.y_unit)

    def degrees_of_freedom(self, result, alpha, setting):
        """Return the effective number of parameters of one result."""
        return float(np.count_nonzero(result.coef))

    def of_target(self, t):
        """Return the problem of one of several targets, on the same design."""
        other = copy(self)
        target = np.ascontiguousarray(self.target[:, t])
        largest = float(np.abs(target).max(initial=0.0))
        if _LOST < largest < _VANISHING:  # beside others in units far above its own
            unit = power_of_two(largest)
            target, other.y_unit = target / unit, self.y_unit * unit
        other.target, other.y_mean = target, self.y_mean[t]
        return other

    def paths_of_targets(self, alphas, eps, setting, *, coef_init, verbose, name):
        """Solve for each of several targets on a grid of its own; warn once."""
        found = []
        for t in range(self.target.shape[1]):
            problem = self.of_target(t)
            grid = problem.grid(alphas, eps, setting)
            start = None if coef_init is None else np.ascontiguousarray(coef_init[:, t])
            results = problem.solve(grid, setting, coef_init=start, verbose=verbose)
            found.append((problem, grid, results))
        worst = max(found, key=lambda one: worst_result(one[2]).gap)
        worst[0].warn_of_path(worst[2], name)
        paths = [problem.path_result(grid, results) for problem, grid, results in found]
        arrays = [np.stack(parts) for parts in zip(*paths, strict=True)]
        intercepts = np.stack([path.intercepts for path in paths])
        kinds = {path.kind for path in paths}
        return PathResult(*arrays, intercepts, "kkt" if "kkt" in kinds else kinds.pop())

    def alpha_max_of_targets(self, setting=None):
        """Return the smallest alpha that is the largest for every target by itself."""
        targets = range(self.target.shape[1])
        return max(self.of_target(t).alpha_max(setting) for t in targets)

    def coefs_of(self, results):
        """Return coefficients, shape ([n_targets,] n_features, n_results)."""
        if self.target.ndim == 1:
            return stack_coefs(results, self.n_features, self.dtype)
        out = [result.dense_coef(self.n_features).T for result in results]
        return stored(np.stack(out, axis=-1), self.dtype)

    def intercepts_of(self, results):
        """Return intercepts, shape ([n_targets,] n_results)."""
        if self.target.ndim == 1:
            used = used_columns(results)
            coefs = stack_coefs(results, self.n_features)[used]
            return stored(self.design.intercept(self.y_mean, used, coefs), self.dtype)
        intercepts = [np.asarray(self.intercept_of(r)) for r in results]
        return stored(np.stack(intercepts, axis=-1), self.dtype)

    def intercept_of(self, result):
        """Return the intercept that belongs to uncentered features."""
        return self.design.intercept(self.y_mean, result.columns, result.coef)

    def shaped(self, coef, intercept):
        """Return coefficients and intercept as the estimator shows them."""
        # C order also for several targets, as scikit-learn's linear models have it.
        intercept = stored(intercept, self.dtype)[()]
        return np.ascontiguousarray(coef.T), intercept


def _checked_strengths(alphas):
    """Return given strengths as a finite array."""
    if type(alphas) is np.ndarray and alphas.dtype == np.float64 and alphas.size:
        if alphas.ndim == 1 and np.isfinite(alphas).all():
            return alphas  # without the time that the general check takes
    return check_array(alphas, ensure_2d=False, dtype=np.float64)


def refuse_given_grid(alphas):
    """Refuse to shorten strengths that were asked for one by one."""
    if not isinstance(alphas, Integral):
        raise ValueError(
            "stop_explained=True ends automatic grids early, but `alphas` holds "
            f"{len(np.atleast_1d(alphas))} strengths. Pass a number of strengths, or "
            "stop_explained=False."
        )


def refuse_ridge_grid(alphas, l1_ratio):
    """Refuse an automatic grid where no strength makes all coefficients zero."""
    if isinstance(alphas, Integral) and l1_ratio == 0.0:
        raise ValueError(
            "No alpha makes the ridge solution (l1_ratio=0) exactly zero, so there "
            "is no automatic grid. Pass `alphas` as an array."
        )


def weighted_mean(losses, sample_weight=None):
    """Mean over rows of (n_samples, n_alphas); zeros when all weights vanish."""
    if sample_weight is None:
        return losses.mean(axis=0)
    weights, _ = relative_weights(sample_weight)
    total = weights.sum()
    return weights @ losses / total if total > 0 else np.zeros(losses.shape[1])


def feature_weight_array(feature_weights, n_features):
    """Validate penalty multipliers: None, or non-negative and possibly infinite."""
    if feature_weights is None:
        return None
    return multiplier_array(feature_weights, "feature_weights", n_features, "feature")


def stack_coefs(results, n_features, dtype=np.float64):
    """Return the coefficients of a path as (n_features, n_alphas)."""
    if isinstance(results, PathPoints):
        return np.asfortranarray(stored(results.coefs.T, dtype))
    coefs = np.zeros((n_features, len(results)), order="F")
    for k, result in enumerate(results):
        coefs[result.columns, k] = result.coef
    return stored(coefs, dtype)
