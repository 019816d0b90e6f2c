"""The scaled Lasso: sparse regression that estimates its own noise level.

Sun and Zhang, "Scaled sparse linear regression", Biometrika 99, 2012.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, column_or_1d

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, fit_context
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.samples import check_samples
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude
from sparsestat.inference._scaled_lasso_blocks import scaled_lasso_of_blocks
from sparsestat.inference._scaled_lasso_solver import (
    centered_target,
    scaled_lasso,
    universal_strength,
)
from sparsestat.inference._tables import Columns, checked_rows

__all__ = ["ScaledLasso", "check_response"]


def check_response(y):
    """Return a numeric target in one dimension, of moderate size."""
    if y.dtype.names is not None or y.dtype.kind not in "fiub" or y.ndim != 1:
        y = column_or_1d(y, warn=True, dtype=np.float64)
    return check_magnitude(y, name="y", largest=LARGEST_ENTRY)


class ScaledLasso(RegressorMixin, SparsestatEstimator):
    r"""Lasso whose strength follows from the noise level that it estimates.

    Minimizes, over coefficients w of standardized features and the noise level
    :math:`\sigma` at once,

    .. math:: \frac{\|y - b - X w\|^2}{2 n \sigma} + \frac{\sigma}{2}
        + \lambda_0 \|w\|_1, \qquad
        \lambda_0 = \mathrm{factor}\, \sqrt{2 \log(p) / n},

    so that there is no strength to choose: the same `factor` suits any noise. Use it
    for an estimate of the noise level, or when cross-validation is too dear; a model
    tuned for prediction selects more. Read more in the :ref:`User Guide <inference>`.

    Parameters
    ----------
    factor : float, default=1.0
        Multiple of the universal strength. Smaller ones shrink less, and below about
        one half sigma is too small.
    tol : float, default=1e-8
        Stop when the duality gap of the problem minimized over sigma is at most
        ``tol`` times the standard deviation of y.
    max_iter : int, default=20
        Largest number of Lasso problems; two or three are usual.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features_in_,)
        Coefficients of the features as they are.
    intercept_ : float
        Intercept.
    sigma_ : float
        The noise level of the solution, ``norm(residuals) / sqrt(n_samples)``.
    sigma_df_ : float
        The same with one degree of freedom taken off for the intercept and each
        coefficient: less biased. Zero if none are left.
    alpha_ : float
        Strength of the Lasso on standardized features that this amounts to.
    n_iter_ : int
        Number of Lasso problems.
    certificate_ : Certificate
        Duality gap relative to the standard deviation of y.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    DebiasedLasso : Intervals for the coefficients, from this estimate.
    sparsestat.linear_model.LassoCV : Strength by cross-validation.

    Notes
    -----
    A small `factor` with more features than samples lets sigma collapse to zero: then
    everything is fitted, and a warning says so. Sparse X stays sparse; only columns
    of nonzero coefficients are made dense.

    References
    ----------
    .. [1] T. Sun, C.-H. Zhang, "Scaled sparse linear regression", Biometrika 99, 2012.
    .. [2] A. Belloni, V. Chernozhukov, L. Wang, "Square-root lasso: pivotal recovery
       of sparse signals via conic programming", Biometrika 98, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.inference import ScaledLasso
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 300))
    >>> y = 3 * X[:, 0] + 0.5 * rng.standard_normal(100)
    >>> model = ScaledLasso().fit(X, y)
    >>> round(model.sigma_df_, 1), np.flatnonzero(model.coef_)
    (0.5, array([0]))
    """

    _by_rows = True

    _parameter_constraints = {
        "factor": [Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, factor=1.0, *, tol=1e-8, max_iter=20):
        self.factor = factor
        self.tol = tol
        self.max_iter = max_iter

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Fit coefficients and the noise level.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Target.

        Returns
        -------
        self : ScaledLasso
            The fitted model.
        """
        X, y = checked_rows(self, X, y, accept_sparse=["csr", "csc"])
        columns = Columns(X)
        centered, unit, mean = centered_target(check_response(y))
        n_varying = int(columns.varies.sum())
        strength = universal_strength(self.factor, len(y), n_varying)
        found = scaled_lasso(
            columns.scaled(),
            centered,
            strength,
            tol=self.tol,
            max_iter=self.max_iter,
        )
        coef, intercept = columns.given(found.coef * unit, mean)
        return self._store(
            found, coef, intercept, strength, found.sigma * unit, found.sigma_df * unit
        )

    def _fit_blocks(self, blocks):
        found = scaled_lasso_of_blocks(
            blocks, factor=self.factor, tol=self.tol, max_iter=self.max_iter
        )
        return self._store(
            found,
            found.coef,
            found.intercept,
            found.strength,
            found.sigma,
            found.sigma_df,
        )

    def _store(self, found, coef, intercept, strength, sigma, sigma_df):
        self.coef_, self.intercept_ = coef, intercept
        self.sigma_, self.sigma_df_ = sigma, sigma_df
        self.alpha_ = strength * self.sigma_
        self.n_iter_ = found.n_iter
        self.certificate_ = Certificate.measured(
            "duality_gap",
            found.gap,
            self.tol,
            "duality gap of the square-root Lasso / standard deviation of y",
            rounding=found.rounding,
            details={"sigma": self.sigma_, "collapsed": found.collapsed},
        )
        if found.collapsed:
            warnings.warn(
                f"ScaledLasso: the noise level collapsed to {self.sigma_:.1e}; the "
                f"model fits everything. Raise `factor`, which is {self.factor}.",
                UserWarning,
                stacklevel=users_stacklevel(),
            )
        warn_if_unsatisfied(
            self.certificate_, "ScaledLasso: the duality gap", "Raise max_iter or tol."
        )
        return self

    def predict(self, X):
        """Predict with the linear model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            ``X @ coef_ + intercept_``.
        """
        check_is_fitted(self)
        X = check_samples(
            self, X, reset=False, accept_sparse=["csr", "csc"], largest=None
        )
        return safe_sparse_dot(X, self.coef_) + self.intercept_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
