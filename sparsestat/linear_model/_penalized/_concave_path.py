r"""Paths, fits and folds of MCP and SCAD from moments of the data, in one call.

What ``_gram_path`` is to the elastic net. The measure is the largest violation of
stationarity, whose rounding is bounded from the norms of the columns; where that is
not far below the tolerance the violation is measured from the data, and points that
miss it are solved by working sets.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _gram_path as gram
from sparsestat.linear_model._penalized._design import is_small
from sparsestat.linear_model._penalized._penalties import SHAPES, ConcavePenalty
from sparsestat.linear_model._penalized._problems import LeastSquaresProblem
from sparsestat.linear_model._penalized._solver import VIOLATION_SCALE

__all__ = ["ConcaveProblem", "check_shape"]


def check_shape(kind, shape):
    """Return gamma or a as a float; refuse what makes one coordinate non-convex."""
    name, _, bound = SHAPES[kind]
    shape = float(shape)
    if not shape > bound:
        raise ValueError(
            f"`{name}` must be above {bound:g}, got {shape}: at and below it the "
            "problem in a single coefficient has several minima. Infinity is the Lasso."
        )
    return shape


class ConcaveProblem(LeastSquaresProblem):
    """Least squares with MCP or SCAD, by moments of the data where these suffice.

    The setting is the shape, if none is given.
    """

    is_convex = False
    moments = None  # of all rows, once somebody needed them
    shared, column = None, 0

    def __init__(
        self,
        kind,
        X,
        y,
        sample_weight=None,
        *,
        shape=None,
        positive=False,
        feature_weights=None,
        **options,
    ):
        super().__init__(X, y, sample_weight, **options)
        self.kind, self.shape, self.positive = kind, shape, positive
        self.feature_weights = feature_weights

    def penalty(self, alpha, setting):
        """Return the penalty of one strength; its concavity follows the columns."""
        return ConcavePenalty(
            self.kind,
            alpha,
            self.shape_of(setting),
            self.design.squares,
            self.total,
            positive=self.positive,
            feature_weights=self.feature_weights,
        )

    def shape_of(self, setting):
        """Return gamma or a: the setting, unless it was given for all."""
        return setting if self.shape is None else self.shape

    def _suits(self, alphas, fewest):
        design, omega = self.design, self.feature_weights
        n, p = design.n_samples, design.n_features
        return (
            self.target.ndim == 1
            and design.prefers_gram
            and p <= gram.MOST_FEATURES
            and 8.0 * n * p <= gram.MOST_BYTES
            and self.tol >= gram.LEAST_TOL
            and self.limits["max_iter"] > 1
            and not (self.positive and omega is not None and omega.min() == 0.0)
            and len(alphas) >= fewest
            and alphas[-1] > 0.0
        )

    def solve(self, alphas, setting=None, *, coef_init=None, verbose=0):
        """Solve for each alpha in turn; in one call on few features."""
        results = None
        if self._suits(alphas, 4):
            results = _results(self, alphas, setting, coef_init, verbose)
        if results is None:
            return super().solve(alphas, setting, coef_init=coef_init, verbose=verbose)
        return results

    def solve_one(self, alpha, setting=None, *, solver=None, coef_init=None, step=None):
        """Solve one problem; on small data in one call, unless steps are asked for."""
        if (
            solver is None
            and step is None
            and is_small(self.design)
            and self._suits([alpha], 1)
        ):
            results = _results(self, np.array([alpha]), setting, coef_init)
            if results is not None:
                result = results[0]
                result.gap_history[-1] = result.gap
                return result
        return super().solve_one(
            alpha, setting, solver=solver, coef_init=coef_init, step=step
        )

    def fold_losses(self, folds, settings, grids):
        """Return held-out errors of paths on folds from moments, None where not so."""
        if not all(self._suits(alphas, 4) for alphas in grids):
            return super().fold_losses(folds, settings, grids)
        return gram.fold_errors(self, folds, settings, grids, solve=_on_fold)


def _run(problem, moments, alphas, setting, start=None):
    """Run the kernel.

    Returns coefficients, violations and objectives, counts, how many were solved, the
    largest gradient at zero, bounds of the rounding of violations, and the violations
    on the way to the first strength. None where moments have too few digits for the
    tolerance at zero already.
    """
    from sparsestat.linear_model._penalized import _kernels_concave_path as kernels

    G, c, omega = moments.G, moments.c, problem.feature_weights
    K, p = len(alphas), len(c)
    # Concavities follow the columns: on a fold those of its rows.
    squares = np.maximum(G.diagonal(), 0.0)
    penalty = ConcavePenalty(
        problem.kind,
        1.0,
        problem.shape_of(setting),
        squares,
        moments.total,
        positive=problem.positive,
        feature_weights=omega,
    )
    omega = np.ones(p) if omega is None else omega
    unit = float(np.abs(c[np.isfinite(omega)]).max(initial=0.0))
    norms, length = np.sqrt(squares), np.sqrt(moments.yy)
    share = rounding(problem.design.n_samples + 8) * norms.max(initial=0.0)
    if not 0.0 < share * length <= gram.DOUBT * problem.tol * unit:
        return None
    W, points, history = (
        np.zeros((K, p)),
        np.zeros((K, 2)),
        np.zeros(kernels.MOST_LOOKS + 1),
    )
    info = np.zeros((K, 3), dtype=np.int64)
    if start is not None:
        W[0] = start
    n_solved = kernels.concave_path(
        read_only(G),
        read_only(c),
        moments.yy,
        read_only(omega),
        read_only(penalty.kappa),
        moments.total * np.asarray(alphas, dtype=np.float64) / problem.alpha_unit,
        penalty.code,
        penalty.params,
        problem.tol * unit,
        min(gram.BUDGET, problem.limits["max_epochs"]),
        W,
        points,
        info,
        history,
    )
    errors = share * (length + np.abs(W) @ norms)
    return W, points, info, n_solved, unit, errors, history


def _on_fold(problem, moments, alphas, setting):
    """Return the coefficients of a path on moments, and how many are proved."""
    found = _run(problem, moments, alphas, setting)
    if found is None:
        return np.empty((0, problem.n_features)), 0
    W, _, _, n_solved, unit, errors, _ = found
    is_proved = errors <= gram.DOUBT * problem.tol * unit
    return W, n_solved if is_proved.all() else 0


def _start_of(problem, coef_init):
    """Return where the first strength starts: at a minimum over free features."""
    design, omega = problem.design, problem.feature_weights
    start = problem.start_of(coef_init)
    start = np.zeros(problem.n_features) if start is None else start.copy()
    start[design.squares == 0.0] = 0.0
    if omega is not None:
        start[np.isinf(omega)] = 0.0
        free = np.flatnonzero((omega == 0.0) & (design.squares > 0.0))
        if len(free):
            start[free] = 0.0
            used = np.flatnonzero(start)
            left = problem.target - design.product(used, start[used])
            start[free] = np.linalg.lstsq(design.block(free), left, rcond=None)[0]
    return start


def _results(problem, alphas, setting, coef_init, verbose=0):
    """Return the results of a path, or None where no strength could be solved."""
    design, y = problem.design, problem.target
    A, moments = None, problem.moments
    if moments is None:
        A = design.block(design.all_columns)
        moments = gram.Moments(
            np.ascontiguousarray(A.T @ A), A.T @ y, float(y @ y), problem.total
        )
    start = _start_of(problem, coef_init)
    found = _run(problem, moments, alphas, setting, start)
    if found is None:
        return None
    W, points, info, n_solved, unit, errors, history = found
    strongest = problem.total * alphas[0] / problem.alpha_unit
    if n_solved == 0 or strongest <= gram.LEAST_TOL * unit:
        return None  # free features leave nothing but rounding to explain
    common = {"kind": "kkt", "scale": VIOLATION_SCALE}
    if len(alphas) == 1:
        common["gap_history"] = [float(x) for x in history[: info[0, 2] + 1] / unit]
        info[0, 2] += 1  # the look at the start
    return gram.points_of(
        problem, W, points, info, n_solved, errors, alphas, setting, verbose, A=A,
        unit=unit, common=common,
    )  # fmt: skip
