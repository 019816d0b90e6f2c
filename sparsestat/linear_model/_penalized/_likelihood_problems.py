"""Penalized likelihoods on one data set, as fits, paths and cross-validation see them.

See ``_path_problems`` for what a problem is. The setting of these problems is the
l1_ratio.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from functools import cached_property

import numpy as np
from scipy.sparse import issparse
from scipy.special import xlogy

from sparsestat._utils.arithmetic import moderate, power_of_two, stored
from sparsestat._utils.linalg import shrunk_trace
from sparsestat._utils.results import users_stacklevel
from sparsestat._utils.samples import effective_rows, relative_weights
from sparsestat._utils.validation import as_compressed
from sparsestat.linear_model._penalized._class_datafits import OneColumn
from sparsestat.linear_model._penalized._criteria import (
    deviance_criterion,
    information_criterion,
)
from sparsestat.linear_model._penalized._datafits import (
    Gamma,
    Huber,
    Logistic,
    Offset,
    Poisson,
    Tweedie,
)
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._penalized._groups import GroupPenalty
from sparsestat.linear_model._penalized._likelihood_path import (
    likelihood_result,
    likelihood_results,
    suits_compiled,
)
from sparsestat.linear_model._penalized._newton import GLMSolver
from sparsestat.linear_model._penalized._penalties import (
    ConcavePenalty,
    ElasticNetPenalty,
)
from sparsestat.linear_model._penalized._points import (
    PathPoints,
    shifts_of,
    used_columns,
)
from sparsestat.linear_model._penalized._problems import (
    PathProblem,
    refuse_ridge_grid,
    stack_coefs,
    weighted_mean,
)
from sparsestat.linear_model._penalized._softmax import SoftmaxSolver
from sparsestat.linear_model._penalized._spec import PenaltySpec

__all__ = [
    "GLMProblem",
    "GammaProblem",
    "HuberProblem",
    "LogisticProblem",
    "PoissonProblem",
    "TweedieProblem",
]

GAP_SCALE = "duality gap / (loss of the intercept alone - least possible loss)"
KKT_SCALE = "largest violation of stationarity / largest gradient at zero"
_LEAST_MEAN = 1e-280  # whose inverse, and multiples of it, are finite
_SMALL_MEAN = 1e-3  # of targets: below it they are fitted in a unit near it
_NARROW = 1e-6  # share of the targets below which delta is in other units than they
_SEPARATED = 1e-3  # share of the null loss below which the classes are separated


class GLMProblem(PathProblem):
    """A likelihood with an elastic net, concave or group penalty.

    Rows of weight zero are left out, so that they are as good as not there.

    Parameters
    ----------
    X, y, sample_weight : validated arrays
    fit_intercept : bool
    tol, max_iter, max_epochs : see the solver
    penalty : PenaltySpec, default=None
        None is the elastic net.
    """

    has_gap = True
    counts_rows = False  # whether more than the ratios of weights matters
    loss_moved = 0.0  # what losses of relative weights lack, in their units
    has_classes = False
    datafit_class, datafit_options = None, {}
    counted = None  # what y holds, where it must not be zero in sum
    no_penalty = (
        "alpha=0 leaves the coefficients unpenalized: the maximum of the likelihood is "
        "looked for, which need not exist. Use alpha > 0."
    )

    def __init__(
        self,
        X,
        y,
        sample_weight=None,
        *,
        fit_intercept=True,
        tol=1e-4,
        max_iter=100,
        max_epochs=10_000,
        penalty=None,
        offset=None,
    ):
        self.spec = PenaltySpec() if penalty is None else penalty
        self.dtype, self.fit_intercept = X.dtype, fit_intercept
        self.n_rows = X.shape[0]
        self.weight_unit = 1.0
        if sample_weight is not None:
            offset = None if offset is None else offset[sample_weight > 0]
            X, y, sample_weight = effective_rows(X, y, sample_weight)
            if not self.counts_rows:
                sample_weight, self.weight_unit = relative_weights(sample_weight)
        y, self.y_unit = self.moderate_target(y)
        if issparse(X):
            X = as_compressed(X, "csc")
        self.n_features = X.shape[1]
        if self.spec.is_grouped:
            X, self.copies = self.spec.groups.spread(X), self.spec.groups.copies
        self.y, self.sample_weight = y, sample_weight
        self.design = make_design(X, None, fit_intercept=fit_intercept)
        self.check_target(y)
        self.offset = offset
        self.total = float(len(y) if sample_weight is None else sample_weight.sum())
        self.tol = tol
        self.limits = {"tol": tol, "max_iter": max_iter, "max_epochs": max_epochs}
        self._squares = None

    @property
    def is_convex(self):
        """Whether the penalty is convex."""
        return self.spec.is_convex

    @property
    def coef_shape(self):
        """Shape of the coefficients inside the solver."""
        return (self.n_features,)

    @cached_property
    def datafit(self):
        """The loss, beside an offset; compiled fits at one strength do without."""
        made, offset = self.make_datafit(self.y, self.sample_weight), self.offset
        return made if offset is None else Offset(made, self._inner_offset(offset))

    def make_datafit(self, y, sample_weight):
        """Return the loss."""
        return self.datafit_class(y, sample_weight, **self.datafit_options)

    def check_target(self, y):
        """Refuse a target on which the likelihood has no maximum."""
        if self.counted is not None and not y.any():
            raise ValueError(
                f"All {self.counted}s in y (of positive weight) are zero: the "
                "likelihood has no maximum. At least one positive "
                f"{self.counted} is required."
            )

    def moderate_target(self, y):
        """Return y and its unit: 1 where the likelihood fixes the units of y."""
        return y, 1.0

    def _near_one(self, y, power):
        """Return targets divided by a unit near their mean, if that is small.

        The intercept takes the unit up, and the loss is so many times smaller: its
        curvature would be lost beside the least one of a model.
        """
        mean = float(y.mean()) if len(y) else 0.0
        if not self.fit_intercept or not _LEAST_MEAN < mean < _SMALL_MEAN:
            return y, 1.0
        unit = power_of_two(mean)
        self.y_offset, self.loss_unit = float(np.log(unit)), unit ** (2.0 - power)
        return y / unit, 1.0

    def _inner_offset(self, offset):
        """Return the offset as the datafit takes it."""
        return offset / self.y_unit

    @property
    def weighted_squares(self):
        """Squared norms of the columns, weighted and centered."""
        if self._squares is None:
            self._squares = self.design.squares
            if self.sample_weight is not None:
                self._squares = make_design(
                    self.design.X,
                    self.sample_weight,
                    fit_intercept=self.design.fit_intercept,
                ).squares
        return self._squares

    def penalty(self, alpha, setting):
        """Return the penalty object of one strength."""
        spec, total, unit = self.spec, self.total, self.coef_unit
        if spec.is_grouped:
            if spec.has_ridge:
                l2 = total * alpha * (1.0 - setting) * unit
                strength, share = alpha * setting, 0.0
            else:
                l2, strength, share = 0.0, alpha, setting
            return GroupPenalty(
                spec.groups, spec.group_weights, strength, share, total, l2=l2
            )
        options = {
            "l2_unit": unit,
            "positive": spec.positive,
            "feature_weights": spec.feature_weights,
        }
        if spec.is_convex:
            return ElasticNetPenalty(alpha, setting, self.n_features, total, **options)
        curvatures = self.datafit.null_curvature * self.weighted_squares
        return ConcavePenalty(
            spec.kind, alpha, spec.shape, curvatures, total, l1_ratio=setting, **options
        )

    def make_solver(self, coef_init=None):
        """Return a solver that can be used for all strengths in turn."""
        norms = None
        coef_init = self.start_of(coef_init)
        if self.spec.is_grouped:
            start = None if coef_init is None else coef_init.reshape(-1, 1)
            return SoftmaxSolver(self.design, OneColumn(self.datafit), start)
        steepness = self.datafit.steepness
        if steepness is not None and self._gap_is_measured(1.0):
            norms = np.sqrt(steepness * self.weighted_squares)
        return GLMSolver(self.design, self.datafit, coef_init, norms=norms)

    def _gap_is_measured(self, alpha):
        return self.has_gap and self.spec.has_gap and alpha > 0

    def grid(self, alphas, eps, setting=None):
        """Return strengths in decreasing order: those given, or so many of them."""
        if self.spec.has_ridge or not self.spec.is_grouped:
            refuse_ridge_grid(alphas, setting)
        return super().grid(alphas, eps, setting)

    def solve(self, alphas, setting=None, *, coef_init=None, verbose=0):
        """Solve for each alpha in turn; in one call where the loss is compiled."""
        if coef_init is None and suits_compiled(self, alphas, setting):
            scale = GAP_SCALE if self._gap_is_measured(1.0) else KKT_SCALE
            results = likelihood_results(self, alphas, setting, scale, verbose)
            if results is not None:
                return results
        return super().solve(alphas, setting, coef_init=coef_init, verbose=verbose)

    def solve_one(self, alpha, setting=None, *, solver=None, coef_init=None, step=None):
        """Solve for one strength; in one call on small data, if nobody looks on."""
        kind = "duality_gap" if self._gap_is_measured(alpha) else "kkt"
        result = None
        if solver is None and coef_init is None and step is None:
            result = likelihood_result(self, alpha, setting, kind)
        if result is None:
            result = self._solved(alpha, setting, kind, solver, coef_init, step)
        result.scale = GAP_SCALE if kind == "duality_gap" else KKT_SCALE
        return self.given(result)

    def _solved(self, alpha, setting, kind, solver, coef_init, step):
        """Solve for one strength by working sets."""
        limits, swept = dict(self.limits), 0
        if solver is None:
            solver = self.make_solver(coef_init)
            # Of wide data: others have no strength at which too many features enter.
            if coef_init is None and self.n_features > self.design.n_samples:
                swept = self._approach(solver, alpha, setting, kind=kind)
                limits["max_epochs"] -= swept
        penalty = self.penalty(alpha / self.alpha_unit, setting)
        result = solver.solve(penalty, kind=kind, step=step, **limits)
        result.n_sweeps += swept
        result.null_value = solver.null_value
        result.is_bounded = not self.spec.is_convex and not penalty.has_l2
        if result.coef.ndim > len(self.coef_shape):  # groups: a matrix of one column
            result.coef, result.shift = result.coef[:, 0], float(result.shift[0])
        return result

    def predictors(self, results, X):
        """Return the linear predictors, shape (n_samples, n_results)."""
        used = used_columns(results)
        coefs = stack_coefs(results, self.n_features)[used]
        shifts = shifts_of(results)
        return np.asarray(X[:, used] @ coefs) + (
            shifts - self.design.center_dot(used, coefs)
        )

    def losses(self, results, X, y, sample_weight=None, offset=None):
        """Mean held-out loss of each result on other rows."""
        eta = self.predictors(results, X)
        if offset is not None:
            eta = eta + offset[:, None]
        return weighted_mean(self.row_losses(y[:, None], eta), sample_weight)

    def row_losses(self, y, eta):
        """Return the loss of each prediction; a column for each result."""
        raise NotImplementedError

    has_dispersion = False  # whether the likelihood leaves a scale to be estimated

    @property
    def n_observed(self):
        """Number of observations; here weights count rows."""
        return self.total * self.weight_unit

    def _fitted(self, result):
        """Return the linear predictor of a result, in the units of the solver."""
        eta = self.design.product(result.columns, result.coef / self.coef_unit)
        return eta + (result.shift - self.y_offset) / self.y_unit

    def explained(self, results):
        null = results[0].null_value - self.datafit.saturated
        left = [self._left_over(self._fitted(result)) for result in results]
        return 1.0 - np.array(left) / null if null > 0.0 else np.ones(len(results))

    def _left_over(self, eta):
        """Return the loss beyond the least one."""
        return self.datafit.value(eta) - self.datafit.saturated + self.loss_moved

    def criteria(self, name, results, alphas, setting=None):
        """Information criterion of each result."""
        deviance, df = np.empty(len(results)), np.empty(len(results))
        for k, (result, alpha) in enumerate(zip(results, alphas, strict=True)):
            eta = self._fitted(result)
            deviance[k] = 2.0 * self._left_over(eta)
            df[k] = self.degrees_of_freedom(result, eta, alpha, setting)
        deviance = np.maximum(deviance, 0.0) * self.weight_unit * self.loss_unit
        n, p = self.n_observed, self.n_features * np.prod(results[0].coef.shape[1:])
        if not self.has_dispersion:
            return deviance_criterion(name, deviance, df, n, p)
        return information_criterion(name, deviance, float(deviance.max()), df, n, p)

    def degrees_of_freedom(self, result, eta, alpha, setting):
        """Return the effective number of parameters of one result.

        With a ridge the trace of the map from working responses to the fit.
        """
        plain = float(np.count_nonzero(result.coef))
        ridge = self.penalty(alpha / self.alpha_unit, setting).l2
        columns = result.columns
        if self.spec.is_grouped or result.coef.ndim == 2 or not ridge[columns].any():
            return plain
        A = np.empty((self.design.n_samples, len(columns)), order="F")
        self.design.gather(columns, A, 0)
        h = self.datafit.model_curvature(eta)
        H = self.datafit.gram(A, eta, h)
        if self.datafit.has_intercept and self.design.fit_intercept:
            means = A.T @ h / h.sum()
            H -= h.sum() * np.outer(means, means)
        return shrunk_trace(H, ridge[columns])

    def intercept_of(self, result):
        """Return the intercept that belongs to uncentered features."""
        return result.shift - self.design.center_dot(result.columns, result.coef)

    def coefs_of(self, results):
        """Return coefficients along a path, shape (n_features, n_results)."""
        return stack_coefs(results, self.n_features, self.dtype)

    def intercepts_of(self, results):
        """Return intercepts along a path, one for each result."""
        if isinstance(results, PathPoints):
            used = used_columns(results)
            coefs = results.coefs.T[used]
            intercepts = results.shifts - self.design.center_dot(used, coefs)
            return stored(intercepts, self.dtype)
        intercepts = np.array([self.intercept_of(r) for r in results])
        return stored(intercepts, self.dtype)

    def attributes(self, result):
        """Return what an estimator shows of one solution, by name."""
        # Other losses have a minimum, and with a ridge this one has.
        separates = self.has_classes and (
            result.objective <= _SEPARATED * result.null_value
        )
        if result.is_bounded and separates:
            warnings.warn(
                "The fitted model separates the classes almost perfectly. The penalty "
                f"{self.spec.kind!r} is bounded, so that then no finite coefficients "
                "are best, and those returned depend on max_iter. Raise alpha, take a "
                "ridge (`l1_ratio` below 1), or use penalty='elasticnet'.",
                UserWarning,
                stacklevel=users_stacklevel(),
            )
        return super().attributes(result)

    def shaped(self, coef, intercept):
        """Return coefficients and intercept as the estimator shows them."""
        return coef, stored(intercept, self.dtype)[()]


class PoissonProblem(GLMProblem):
    """Poisson counts with the logarithmic link."""

    datafit_class, counted = Poisson, "count"

    def moderate_target(self, y):
        """Return rates divided by their unit, which the intercept takes up."""
        return self._near_one(y, 1.0)

    def given(self, result):
        """Return a result in the units of the given data."""
        result = super().given(result)
        if self.y_offset:
            moved = self.loss_unit * self.y_offset
            moved *= float(self.datafit.weights @ self.y)
            result.objective -= moved
            result.dual -= moved
        return result

    def row_losses(self, y, eta):
        """Return the unit deviances."""
        mean = np.exp(np.minimum(eta, 700.0))
        return 2.0 * (xlogy(y, y) - y * eta - y + mean)


class TweedieProblem(GLMProblem):
    """Targets that are zero or positive, the variance a power of the mean."""

    datafit_class, counted = Tweedie, "target"
    has_dispersion = True

    def __init__(self, *arguments, power, **options):
        self.power, self.datafit_options = power, {"power": power}
        super().__init__(*arguments, **options)

    def moderate_target(self, y):
        """Return y divided by its unit, which the intercept takes up."""
        return self._near_one(y, self.power)

    def row_losses(self, y, eta):
        """Return the unit deviances."""
        mean = np.exp(np.clip(eta, -700.0, 700.0))
        p = self.power
        fitted = y * mean ** (1.0 - p) / (p - 1.0) + mean ** (2.0 - p) / (2.0 - p)
        return 2.0 * (fitted - y ** (2.0 - p) / ((p - 1.0) * (2.0 - p)))


class GammaProblem(GLMProblem):
    """Positive targets with a spread in proportion to their mean."""

    datafit_class = Gamma
    has_dispersion = True

    def moderate_target(self, y):
        """Return y divided by its unit, which the intercept takes up."""
        if not self.fit_intercept:
            return y, 1.0
        y, unit = moderate(y, "y")
        self.y_offset = float(np.log(unit))
        return y, 1.0

    def given(self, result):
        """Return a result in the units of the given data."""
        result = super().given(result)
        moved = self.total * self.y_offset
        result.objective, result.dual = result.objective + moved, result.dual + moved
        return result

    def row_losses(self, y, eta):
        """Return the unit deviances."""
        ratio = np.log(y) - eta
        return 2.0 * (np.expm1(np.minimum(ratio, 700.0)) - ratio)


class HuberProblem(GLMProblem):
    """Huber's loss of the residuals."""

    datafit_class = Huber
    has_gap = False
    has_dispersion = True

    def __init__(self, *arguments, delta, **options):
        self.delta = delta
        super().__init__(*arguments, **options)

    def moderate_target(self, y):
        """Return y divided by its unit, moved towards zero if an intercept follows."""
        y, unit = moderate(y, "y")
        if self.fit_intercept and len(y):
            center = float(np.median(y))
            y, self.y_offset = y - center, center * unit
        largest = float(np.abs(y).max(initial=0.0)) * unit
        if self.delta < _NARROW * largest:
            self.remedy = self.precision_remedy = (
                f"`delta`={self.delta:g} is far below the targets, which reach "
                f"{largest:.1e}, so that nearly every residual is an outlier. Raise "
                "`delta` ('auto' takes it from the data), or divide y by its spread."
            )
        return y, unit

    @property
    def datafit_options(self):
        """The delta, in the units of the solver."""
        return {"delta": self.delta / self.y_unit}

    def row_losses(self, y, eta):
        """Return Huber's losses."""
        size = np.abs(eta - y)
        inner = np.minimum(size, self.delta)
        return inner * (size - 0.5 * inner)


class LogisticProblem(GLMProblem):
    """Two classes; y holds the codes 0 and 1."""

    datafit_class, has_classes = Logistic, True

    def check_target(self, y):
        """Refuse a target of one class."""
        if len(np.unique(y)) < 2:
            raise ValueError(
                "The samples (of positive weight) are of one class, but a classifier "
                "needs two. In cross-validation use fewer or stratified folds."
            )

    def row_losses(self, y, eta):
        """Return the log losses."""
        return np.logaddexp(0.0, np.where(y > 0, -eta, eta))

    def shaped(self, coef, intercept):
        """Return coefficients and intercept as the estimator shows them."""
        return coef[None, :], stored([intercept], self.dtype)
