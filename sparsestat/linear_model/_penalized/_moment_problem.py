r"""Least squares with a penalty, from moments of rows that come in blocks.

The products of the centered columns with each other and with the target have a square
root R with few rows, ``R'R`` equal to them: least squares on R is least squares on the
data, so that every solver serves. What it finds is then measured on the data, in one
pass: residuals, and their products with the columns, are those of the rows themselves,
and so is the certificate. Where it misses its tolerance because the root has lost
digits, the products at hand give a better one.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from copy import copy
from functools import partial
from types import SimpleNamespace

import numpy as np

from sparsestat._utils.moments import (
    check_width,
    fold_moments,
    merge_folds,
    merge_moments,
    merge_sums,
    numeric_targets,
    residual_sums,
    square_root,
)
from sparsestat.linear_model._penalized._design import MomentDesign
from sparsestat.linear_model._penalized._elastic_net import ElasticNetProblem
from sparsestat.linear_model._penalized._gaps import squared_parts
from sparsestat.linear_model._penalized._problems import (
    feature_weight_array,
)
from sparsestat.linear_model._penalized._rounding import squared_loss_rounding

__all__ = ["MomentProblem", "block_problem"]

_REFINED = 2  # rounds of better products where rounding is in the way
_INNER = 0.5  # share of the tolerance that the root is solved to


def _targets(y, *, joint, of_one):
    """Return targets as columns; of several only one, if it is asked for."""
    y = numeric_targets(y, many=joint)
    return y if of_one is None else y[:, of_one : of_one + 1]


class MomentProblem(ElasticNetProblem):
    """Weighted elastic net on rows in blocks; the setting is its l1_ratio.

    Parameters
    ----------
    moments : Moments
        Of the features and, after them, the targets.
    n_features : int
    blocks : RowBlocks or None
        For certificates; None leaves those of the square root.
    joint : bool
        Whether several targets make one problem.
    """

    def __init__(
        self,
        moments,
        n_features,
        blocks,
        *,
        joint=False,
        of_one=None,
        fit_intercept,
        positive=False,
        feature_weights=None,
        tol,
        max_iter,
        max_epochs,
        n_jobs=None,
        verbose=0,
    ):
        self.dtype = np.dtype(np.float64)
        self.row_moments, self.blocks, self.n_features = moments, blocks, n_features
        self.joint, self.of_one, self.fit_intercept = joint, of_one, fit_intercept
        self.positive, self.feature_weights = positive, feature_weights
        self.n_jobs, self.verbose = n_jobs, verbose
        self.n_rows, self.weight_unit = moments.n_rows, 1.0
        self.total, self.tol = moments.weight, tol
        self.limits = {"tol": tol, "max_iter": max_iter, "max_epochs": max_epochs}
        self.products = moments.products(centered=fit_intercept)
        self.scale = float(np.trace(self.products[n_features:, n_features:]))
        self.y_mean = np.zeros(len(moments.mean) - n_features)
        if fit_intercept:
            self.y_mean = moments.center[n_features:]
        self.is_single = len(self.y_mean) == 1 and not joint
        if self.is_single:
            self.y_mean = self.y_mean[0]
        self._take(self.products)

    def _take(self, products):
        """Make the rows to solve on from products of features and targets."""
        p = self.n_features
        root = square_root(products)
        centers = self.row_moments.center[:p] if self.fit_intercept else None
        self.design = MomentDesign(root[:, :p], centers)
        self.target = root[:, p:]
        if self.is_single:
            self.target = np.ascontiguousarray(self.target[:, 0])

    def of_target(self, t):
        """Return the problem of one of several targets."""
        p, other = self.n_features, copy(self)
        at = np.r_[np.arange(p), p + t]
        m = self.row_moments
        other.row_moments = type(m)(
            m.weight, m.n_rows, m.mean[at], m.spread[np.ix_(at, at)], m.low[at],
            m.high[at],
        )  # fmt: skip
        other.products = self.products[np.ix_(at, at)]
        other.scale = float(other.products[p, p])
        other.of_one, other.is_single = t, True
        other.y_mean = self.y_mean[t]
        other._take(other.products)
        return other

    # Solutions and their certificates

    def solve(self, alphas, setting=None, *, coef_init=None, verbose=0):
        """Solve for each alpha in turn; certify all in one pass over the data."""
        options = {"coef_init": coef_init, "verbose": verbose}
        results = super(MomentProblem, self._inner()).solve(alphas, setting, **options)
        return self._certified(list(results), alphas, setting)

    def solve_one(self, alpha, setting=None, *, solver=None, coef_init=None, step=None):
        """Solve one problem, and certify it if it is not one of a path."""
        if solver is not None:
            return super().solve_one(alpha, setting, solver=solver, step=step)
        result = super(MomentProblem, self._inner()).solve_one(
            alpha, setting, coef_init=coef_init, step=step
        )
        return self._certified([result], [alpha], setting)[0]

    def _inner(self):
        """Return the problem to solve: a share of the tolerance is for rounding."""
        inner = copy(self)
        if self.blocks is not None:
            inner.tol = _INNER * self.tol
            inner.limits = {**self.limits, "tol": inner.tol}
        return inner

    def _certified(self, results, alphas, setting):
        """Return results measured on the data, improved where they miss."""
        if self.blocks is None:
            return results
        todo = list(range(len(results)))
        for round_ in range(_REFINED + 1):
            products = self._measure([results[k] for k in todo], alphas, todo, setting)
            missed = [
                (k, q)
                for k, q in zip(todo, products, strict=True)
                if results[k].converged
                and results[k].kind == "duality_gap"
                and results[k].gap + results[k].rounding > self.tol
                and results[k].rounding < 0.5 * self.tol
            ]
            if round_ == _REFINED or not missed:
                return results
            for k, q in missed:
                results[k] = self._refined(results[k], q, alphas[k], setting)
            todo = [k for k, _ in missed]

    def _measure(self, results, alphas, todo, setting):
        """Take gaps from the data; return the products of the columns and residuals."""
        p = self.n_features
        T = 1 if self.is_single else self.target.shape[1]
        coefs = np.zeros((p, len(results), T))
        for k, result in enumerate(results):
            coefs[result.columns, k] = result.coef.reshape(len(result.columns), T)
        center = self.row_moments.center if self.fit_intercept else np.zeros(p + T)
        squares, dots, Q, sums, columns, weight = self.blocks.reduce(
            residual_sums,
            merge_sums,
            center[:p],
            center[p:],
            coefs,
            partial(_targets, joint=self.joint, of_one=self.of_one),
            n_jobs=self.n_jobs,
            description="certificates",
            verbose=self.verbose,
        )
        if self.fit_intercept:  # what rounding has left of the means
            means = sums / weight
            Q = Q - columns[:, None, None] * means
            squares = squares - weight * (means * means).sum(axis=1)
        sizes = SimpleNamespace(
            squares=self.products.diagonal()[:p],
            chain=self.row_moments.n_rows // 8 + len(self.blocks.sizes) + 16,
        )
        for k, result in enumerate(results):
            w, q = coefs[:, k], Q[:, k]
            if self.is_single:
                w, q = w[:, 0], q[:, 0]
            penalty = self.penalty(alphas[todo[k]], setting)
            self._judge(result, penalty, w, q, float(squares[k]), float(dots[k]), sizes)
        return [Q[:, k] for k in range(len(results))]

    def _judge(self, result, penalty, w, q, square, target_dot, sizes):
        """Put what was measured on the data into a result."""
        if result.kind != "duality_gap":
            c = self.products[: self.n_features, self.n_features :]
            largest = float(np.abs(c).max(initial=0.0))
            worst = float(penalty.violations(w, q).max(initial=0.0))
            result.gap = worst / largest if largest > 0.0 else 0.0
            result.objective = result.dual = 0.5 * square
            result.gap_history[-1] = result.gap
            return
        parts = squared_parts(penalty, w, q, square, target_dot)
        used = result.columns
        error = squared_loss_rounding(
            sizes, penalty, used, w[used], np.array([np.sqrt(square)]), q, parts
        )
        unit = self.scale if self.scale > 0.0 else 1.0
        result.gap = max(parts.gap, 0.0) / unit if self.scale > 0.0 else 0.0
        result.objective, result.dual = parts.primal, parts.dual
        result.rounding = error / unit if self.scale > 0.0 else 0.0
        result.unit = unit
        result.gap_history = [*result.gap_history[:-1], result.gap]

    def _refined(self, result, q, alpha, setting):
        """Solve again on products that are exact at the result."""
        p, inner = self.n_features, self._inner()
        w = result.dense_coef(p).reshape(p, -1)
        products = self.products.copy()
        products[:p, p:] = q + products[:p, :p] @ w
        products[p:, :p] = products[:p, p:].T
        inner._take(products)
        inner.tol = 0.2 * self.tol
        inner.limits = {**self.limits, "tol": inner.tol}
        start = w[:, 0] if self.is_single else w
        found = super(MomentProblem, inner).solve_one(alpha, setting, coef_init=start)
        found.gap_history = [*result.gap_history, *found.gap_history]
        found.n_iter += result.n_iter
        found.n_sweeps += result.n_sweeps
        return found

    # Cross-validation

    def of_others(self, folds, held):
        """Return the problem of all rows but those of one fold, without certificates.

        It is what travels to a worker.
        """
        train = None
        for k in sorted(folds):
            if k != held:
                train = folds[k] if train is None else merge_moments(train, folds[k])
        return MomentProblem(
            train,
            self.n_features,
            None,
            joint=self.joint,
            of_one=self.of_one,
            fit_intercept=self.fit_intercept,
            positive=self.positive,
            feature_weights=self.feature_weights,
            **self.limits,
        )

    def held_out_error(self, result, moments):
        """Return the mean squared error of a result on rows of which moments are known.

        Over rows and targets.
        """
        p = self.n_features
        T = len(moments.mean) - p
        V = np.concatenate([-result.dense_coef(p).reshape(p, T), np.eye(T)])
        off = moments.center @ V  # means of the residuals, but for the intercept
        intercept = self.design.intercept(self.y_mean, result.columns, result.coef)
        off = off - np.reshape(intercept, T)
        spread = square_root(moments.products(centered=True)) @ V
        return float(((spread**2).sum() / moments.weight + (off**2).sum()) / T)


def block_problem(
    name,
    blocks,
    *,
    folds=None,
    joint=False,
    feature_weights,
    n_jobs,
    verbose,
    **options,
):
    """Return the problem of rows in blocks, and their moments fold by fold.

    Parameters
    ----------
    name : str
        Of the class, for messages.
    blocks : RowBlocks
    folds : ndarray of int of shape (n_samples,), default=None
    joint : bool, default=False
    feature_weights : array-like or None
    n_jobs, verbose : int or None
    **options : object
        Of the problem.

    Returns
    -------
    problem : MomentProblem
    folds : dict of int to Moments
    """
    p = blocks.n_features
    check_width(name, p)
    moments = blocks.reduce(
        fold_moments,
        merge_folds,
        *(() if folds is not None else (None,)),
        partial(_targets, joint=joint, of_one=None),
        rows=folds,
        n_jobs=n_jobs,
        description="moments",
        verbose=verbose,
    )
    whole = None
    for k in sorted(moments):
        whole = moments[k] if whole is None else merge_moments(whole, moments[k])
    problem = MomentProblem(
        whole,
        p,
        blocks,
        joint=joint,
        feature_weights=feature_weight_array(feature_weights, p),
        n_jobs=n_jobs,
        verbose=verbose,
        **options,
    )
    return problem, moments
