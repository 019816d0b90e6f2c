"""Regression on random supports: a preconditioned Lasso with a backward refit."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from scipy.sparse import issparse
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state

from sparsestat._utils.arithmetic import stored
from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.parallel import run_parallel, single_blas_thread
from sparsestat._utils.results import Certificate
from sparsestat._utils.samples import check_counts
from sparsestat._utils.validation import as_compressed
from sparsestat.linear_model._cv import checked_folds, cross_validate, fold_weights
from sparsestat.linear_model._penalized._problems import weighted_mean
from sparsestat.linear_model._predictors import LinearPredictor, validate_fit_data
from sparsestat.linear_model._subsets._least_squares import LeastSquaresSubsets
from sparsestat.linear_model._subsets._random_support_search import (
    first_least,
    polish,
    search_draw,
)
from sparsestat.linear_model._subsets._units import Units

__all__ = ["RandomSupportRegressor"]

_LEAST_SAMPLES = 8
_EPS_PLAIN = 1e-5  # smallest alpha without a random set, relative to the largest
_EPS = 1e-2  # and with one
_DEFAULT_NONZERO = 5
_SCALE = "nothing is proved: the set with the least criterion among those tried"


class RandomSupportRegressor(LinearPredictor):
    r"""Sparse regression on nearly dependent columns, preconditioned at random.

    The error of the Lasso grows with the sum of absolute coefficients, which is huge
    where the signal lies in the small differences of similar columns. This method
    draws random sets T of columns, leaves them unpenalized, and replaces every other
    column by what those in T leave of it, scaled to a common norm. Where the support
    is a uniformly random set, the coefficients of the new problem are bounded by the
    size of the signal, whatever the condition number of the design (the
    :ref:`User Guide <hard_regression>` has the proof). Each point of the Lasso paths
    proposes T and its support; backward elimination on the original columns keeps the
    set with the least extended BIC.

    The result that sparse regression is easy on random supports is that of [1]_; the
    algorithm and its proof here are this package's own, in the spirit of that paper.
    Use it where columns depend on each other at several scales at once. On designs
    with a single small scale, on independent columns and on clusters of duplicates it
    ties with the Lasso path followed by the same refit, at several times the cost;
    :class:`LassoCV` is the better choice when many coefficients are small.

    Parameters
    ----------
    n_nonzero : int, default=None
        A guess of the number of nonzero coefficients, k0. None means 5.
    m_grid : "auto" or array-like of int, default="auto"
        Sizes of the random sets; "auto" is 0, k0, 3 k0 and 6 k0. At most a quarter of
        the samples; 0 is the Lasso path with the same refit.
    n_draws : int, default=2
        Random sets of each size.
    alphas : int, default=20
        Points on each path, from the largest alpha to 0.01 of it (1e-5 where m is 0).
    refit : {"backward"} or False, default="backward"
        "backward" eliminates features on the original columns. False keeps the
        shrunken solution, in which all of T have coefficients.
    criterion : {"mbic", "ebic", "cv"}, default="mbic"
        How the winner is chosen. "mbic" is the least modified BIC, ``n log(RSS / n) +
        size (log(n) + 2 log(n_features))``; "ebic" the extended one of all other
        models, whose last term is ``2 log(binomial(n_features, size))`` and which keeps
        more features; "cv" takes m by the held-out error of the whole procedure, then
        the least "mbic" among its draws.
    splicing : bool, default=True
        Improve the winner by exchanges, additions and removals while the criterion
        falls. Not without a refit.
    cv : int, cross-validation generator or iterable, default=None
        Splitting for ``criterion="cv"``; None means 5 folds.
    fit_intercept : bool, default=True
        Fit an intercept. X is centered implicitly, so sparse X stays sparse.
    random_state : int, RandomState instance or None, default=None
        Draws the random sets. Pass an int for reproducible output across calls.
    n_jobs : int, default=None
        Workers over draws. The result does not depend on it.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Intercept, 0.0 without one.
    support_ : ndarray of int
        Indices of the features with a nonzero coefficient.
    basis_ : ndarray of int of shape (m_,)
        The random set that led to the winner.
    m_ : int
        Its size.
    path_ : list of dict
        What each point of each path led to: "m", "draw", "alpha", "n_candidates",
        "size" and "criterion".
    criterion_ : float
        Of the winner.
    mse_path_ : ndarray of shape (n_sizes, n_folds)
        Held-out squared errors for each m (``criterion="cv"`` only).
    noise_variance_ : float
        Residual sum of squares over the degrees of freedom left.
    sparse_coef_ : csr_array of shape (1, n_features)
        The coefficients in sparse form.
    certificate_ : Certificate
        "none": the criterion is compared among the sets that were met, which proves
        nothing about others.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If there are fewer than 8 samples (the sum of the weights counts), or a size in
        `m_grid` is negative or more than a quarter of the samples.

    See Also
    --------
    BestSubsetRegressor : Best subsets without random sets.
    LassoCV : Convex, with shrinkage.
    sparsestat.datasets.make_hard_regression : Designs on which methods differ.

    Notes
    -----
    A draw costs O(n_samples * n_features * m) for the norms of the projected columns
    and a Lasso path on them; a refit O(s^3) for s candidates, at most a third of the
    samples. The projected design is not stored. Memory beside X: O(n_samples * (256 +
    s)) a worker. Projections are applied twice and least squares are solved with
    orthogonal factors, never with normal equations. Predictions do not depend on the
    scale of the features.

    References
    ----------
    .. [1] G. Chandrasekaran, R. Meka, K. Stavropoulos, "Sparse linear regression is
       easy on random supports", STOC, 2026.
    .. [2] J. Kelner, F. Koehler, R. Meka, D. Rohatgi, "On the power of preconditioning
       in sparse linear regression", FOCS, 2021.
    .. [3] J. Chen, Z. Chen, "Extended Bayesian information criteria for model
       selection with large model spaces", Biometrika 95, 2008.

    Examples
    --------
    >>> from sparsestat.datasets import make_hard_regression
    >>> from sparsestat.linear_model import RandomSupportRegressor
    >>> data = make_hard_regression(random_state=0)
    >>> model = RandomSupportRegressor(random_state=0).fit(data.X, data.y)
    >>> error = ((model.predict(data.X) - data.signal) ** 2).mean()
    >>> bool(error < 0.01)
    True
    """

    _parameter_constraints = {
        "n_nonzero": [Interval(Integral, 1, None, closed="left"), None],
        "m_grid": [StrOptions({"auto"}), "array-like"],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "alphas": [Interval(Integral, 1, None, closed="left")],
        "refit": [StrOptions({"backward"}), "boolean"],
        "criterion": [StrOptions({"mbic", "ebic", "cv"})],
        "splicing": ["boolean"],
        "cv": ["cv_object"],
        "fit_intercept": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_nonzero=None,
        *,
        m_grid="auto",
        n_draws=2,
        alphas=20,
        refit="backward",
        criterion="mbic",
        splicing=True,
        cv=None,
        fit_intercept=True,
        random_state=None,
        n_jobs=None,
    ):
        self.n_nonzero = n_nonzero
        self.m_grid = m_grid
        self.n_draws = n_draws
        self.alphas = alphas
        self.refit = refit
        self.criterion = criterion
        self.splicing = splicing
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.random_state = random_state
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data; F-ordered dense or CSC avoids a copy. Never modified.
        y : array-like of shape (n_samples,)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition. Their sum is
            the number of samples in the criterion and in every limit.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y, sample_weight = validate_fit_data(self, X, y, sample_weight)
        if issparse(X):
            X = as_compressed(X, "csc")
        total = check_counts(sample_weight, X.shape[0], "RandomSupportRegressor")
        if total < _LEAST_SAMPLES:
            raise ValueError(
                f"RandomSupportRegressor needs at least {_LEAST_SAMPLES} samples, got "
                f"n_samples = {X.shape[0]}"
                + (
                    ""
                    if sample_weight is None
                    else f" with weights that sum to {total:g}"
                )
                + ". Collect more data, or use BestSubsetRegressor or LassoCV."
            )
        rng = check_random_state(self.random_state)
        with single_blas_thread():
            problem = self._problem(X, y, sample_weight)
            sizes = self._sizes(problem)
            if self.criterion == "cv":
                sizes = [self._cross_validate(X, y, sample_weight, sizes, rng)]
            best = self._search(problem, sizes, rng, self.n_jobs)
            self._keep(problem, best, X.dtype)
        return self

    def _problem(self, X, y, sample_weight):
        problem = LeastSquaresSubsets(
            X,
            y,
            sample_weight,
            fit_intercept=self.fit_intercept,
            units=Units(X.shape[1]),
        )
        problem.criterion = "ebic" if self.criterion == "ebic" else "mbic"
        return problem

    def _sizes(self, problem):
        """Return the sizes of the random sets, in increasing order."""
        usable = int(problem.usable.sum())
        largest = min(int(problem.n_effective // 4), usable)
        if isinstance(self.m_grid, str):
            k0 = self.n_nonzero or _DEFAULT_NONZERO
            grid = [min(m, largest) for m in (0, k0, 3 * k0, 6 * k0)]
            return sorted(set(grid))
        grid = np.asarray(self.m_grid)
        if grid.ndim != 1 or grid.size == 0 or grid.dtype.kind not in "iu":
            raise ValueError(
                f"`m_grid` must be 'auto' or a list of integers, got {self.m_grid!r}."
            )
        if grid.min() < 0 or grid.max() > largest:
            raise ValueError(
                f"`m_grid` holds sizes from {grid.min()} to {grid.max()}, but a random "
                f"set has between 0 and {largest} columns (a quarter of the samples, "
                "and no constant columns)."
            )
        return sorted({int(m) for m in grid})

    def _search(self, problem, sizes, rng, n_jobs):
        """Return the winner among all draws, with the records of all."""
        usable = np.flatnonzero(problem.usable)
        tasks = []
        for m in sizes:
            for draw in range(self.n_draws if m else 1):
                basis = (
                    np.sort(rng.choice(usable, m, replace=False)) if m else usable[:0]
                )
                eps = _EPS if m else _EPS_PLAIN
                refit = self.refit == "backward"
                tasks.append((problem, m, draw, basis, self.alphas, eps, refit))
        found = run_parallel(search_draw, tasks, n_jobs=n_jobs)
        values = [candidate.value for candidate in found]
        best = found[first_least(values, problem.n_effective)]
        best.records = [record for one in found for record in one.records]
        if self.refit == "backward" and self.splicing:
            fit, value = polish(
                problem, best.columns, best.value, splice_size=5, max_iter=50
            )
            best.columns, best.value = fit.columns, value
        return best

    def _cross_validate(self, X, y, sample_weight, sizes, rng):
        """Return the m whose whole procedure has the least held-out error."""
        folds = checked_folds(
            check_cv(self.cv, y).split(X, y), sample_weight, X.shape[0]
        )
        seeds = rng.randint(np.iinfo(np.int32).max, size=len(folds))
        errors = cross_validate(
            self._fold_errors,
            X,
            y,
            sample_weight,
            folds,
            [(sizes, seeds)],
            n_jobs=self.n_jobs,
        )
        errors = np.array(errors).T
        weights = fold_weights(folds, sample_weight)
        self.mse_path_ = errors
        return sizes[int(np.argmin(np.average(errors, axis=1, weights=weights)))]

    def _fold_errors(self, fitted, held, sizes, seeds):
        """Squared errors on rows of the winner for each m, found on others."""
        X = as_compressed(fitted.X, "csc") if issparse(fitted.X) else fitted.X
        problem = self._problem(X, fitted.y, fitted.weights)
        rng = np.random.RandomState(seeds[fitted.fold])
        usable, errors = int(problem.usable.sum()), []
        for m in sizes:
            size = min(m, int(problem.n_effective // 4), usable)
            best = self._search(problem, [size], rng, 1)
            columns, coef, intercept, _ = self._fitted(problem, best)
            residual = held.y - held.X[:, columns] @ coef - intercept
            errors.append(float(weighted_mean(residual**2, held.weights)))
        return errors

    def _fitted(self, problem, best):
        """Return columns, coefficients, intercept and the mean squared residual."""
        if best.coef is not None:
            columns, coef = best.columns, best.coef
            residual = problem.target - problem.design.product(columns, coef)
            rss = float(residual @ residual)
        else:
            fit = problem.refit(best.columns)
            columns, coef, rss = fit.columns, fit.coef, 2.0 * fit.data_loss
        coef = coef * problem.coef_unit
        intercept = problem.design.intercept(problem.y_mean, columns, coef)
        return columns, coef, intercept, problem.loss_of(rss)

    def _keep(self, problem, best, dtype):
        columns, coef, intercept, error = self._fitted(problem, best)
        found = np.zeros(problem.n_features)
        found[columns] = coef
        self.coef_, self.intercept_ = (stored(v, dtype)[()] for v in (found, intercept))
        self.support_ = np.flatnonzero(self.coef_)
        self.basis_, self.m_ = best.basis, best.m
        self.path_ = best.records
        self.criterion_ = float(best.value)
        n = problem.n_effective
        left = n - len(columns) - float(self.fit_intercept)
        self.noise_variance_ = error * n / max(left, 1.0)
        self.certificate_ = Certificate(
            "none",
            0.0,
            0.0,
            True,
            _SCALE,
            {"criterion": self.criterion_, "size": len(columns)},
        )
