"""Confidence intervals and p-values for coefficients, by taking the Lasso's bias off.

Van de Geer, Buhlmann, Ritov and Dezeure, "On asymptotically optimal confidence regions
and tests for high-dimensional models", Annals of Statistics 42, 2014.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy.linalg import qr
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat.exceptions import NumericalError
from sparsestat.inference._nodewise import (
    TOL,
    least_squares_directions,
    nodewise_directions,
)
from sparsestat.inference._scaled_lasso import check_response
from sparsestat.inference._scaled_lasso_solver import (
    centered_target,
    scaled_lasso,
    universal_strength,
)
from sparsestat.inference._tables import Columns, checked_rows, named, summary_table

__all__ = ["DebiasedLasso", "corrected_pvalues"]

_DEPENDENT = 1e-10
_ASYMPTOTIC = (
    "y is linear in X with independent noise of one variance, few coefficients matter "
    "beside sqrt(n), and no feature is nearly explained by others; large n"
)
_EXACT = "y is linear in X with independent Gaussian noise of one variance"


def corrected_pvalues(pvalues, method):
    """Return p-values corrected for how many there are.

    Parameters
    ----------
    pvalues : ndarray of shape (n_tests,)
    method : {"holm", "bh", None}
        Holm's bounds the chance of any false rejection, Benjamini and Hochberg's the
        expected share of them (of independent or positively dependent tests).
    """
    m = len(pvalues)
    if method is None or m == 0:
        return pvalues.copy()
    order = np.argsort(pvalues, kind="stable")
    ranks = np.arange(1, m + 1)
    if method == "holm":
        sorted_values = np.maximum.accumulate(pvalues[order] * (m + 1 - ranks))
    else:
        values = pvalues[order] * m / ranks
        sorted_values = np.minimum.accumulate(values[::-1])[::-1]
    out = np.empty(m)
    out[order] = np.minimum(sorted_values, 1.0)
    return out


class DebiasedLasso(SparsestatEstimator):
    r"""Confidence intervals and p-values for the coefficients of a linear model.

    The Lasso shrinks, so that intervals around its coefficients would miss. One step
    takes the bias off each coefficient of interest,

    .. math:: b_j = \hat\beta_j + \frac{Z_j' (y - X \hat\beta)}{Z_j' X_j},

    with a direction :math:`Z_j` that is nearly orthogonal to all other features: the
    residual of a scaled Lasso of feature j on the others. Then :math:`b_j` is nearly
    normal around the true coefficient, also with more features than samples. Use it to
    say how large single effects are; with many more samples than features, ordinary
    least squares (`nodewise_factor` = 0) needs fewer assumptions.
    Read more in the :ref:`User Guide <inference>`.

    Parameters
    ----------
    factor : float, default=1.0
        Strength of the Lasso in multiples of the universal one, as in
        :class:`ScaledLasso`.
    nodewise_factor : float, default=0.5
        The same for the directions. Smaller ones give less bias and longer intervals.
        Zero gives those of least squares, which need more samples than features plus
        one: then intervals and p-values are exact, with Student's distribution.
    confidence : float, default=0.95
        Of each interval on its own.
    multiple_testing : {"holm", "bh"} or None, default=None
        Correction of `pvalues_corrected_`.
    features : array-like of int or str, default=None
        Features of interest, by number or name. None is all that vary.
    n_jobs : int, default=None
        Workers over directions. The result does not depend on it.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features_in_,)
        Coefficients without the bias; of features without interest those of the Lasso.
    lasso_coef_ : ndarray of shape (n_features_in_,)
        Coefficients of the scaled Lasso.
    features_ : ndarray of int
        Numbers of the features of interest, to which the rows of the following belong.
    estimates_ : ndarray of shape (len(features_),)
        Their coefficients without the bias.
    standard_errors_ : ndarray of shape (len(features_),)
        Standard errors of these.
    conf_int_ : ndarray of shape (len(features_), 2)
        Lower and upper ends of the intervals.
    pvalues_ : ndarray of shape (len(features_),)
        Of the hypothesis that a coefficient is zero, two-sided.
    pvalues_corrected_ : ndarray of shape (len(features_),)
        The same, corrected for how many there are.
    bias_bound_ : ndarray of shape (len(features_),)
        The bias that is left is at most this times the l1 error of the Lasso, both of
        coefficients of standardized features.
    sigma_ : float
        Noise level, degrees of freedom taken off.
    certificate_ : Certificate
        Of kind "error_bound": 1 - confidence, with the assumptions in words.
        Satisfied when the Lasso and all directions reached their optima.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    LassoSelectiveInference : Intervals for the features that the Lasso selected.
    ScaledLasso : The first step.
    KnockoffSelector : A bound on the share of false selections.

    Notes
    -----
    Directions come from the Gram matrix of the features, p x p; each takes some sweeps
    of O(p) for every coefficient that is active in it. X must be dense: directions are.
    Where features of neighboring effect are correlated, `nodewise_factor` = 1 covers
    too rarely, which is why the default is one half; at correlations of 0.95 take 0.25
    or less, or least squares.

    References
    ----------
    .. [1] S. van de Geer, P. Buhlmann, Y. Ritov, R. Dezeure, "On asymptotically
       optimal confidence regions and tests for high-dimensional models", Annals of
       Statistics 42, 2014.
    .. [2] C.-H. Zhang, S. Zhang, "Confidence intervals for low dimensional parameters
       in high dimensional linear models", JRSS B 76, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.inference import DebiasedLasso
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 200))
    >>> y = 2 * X[:, 0] - X[:, 1] + rng.standard_normal(100)
    >>> model = DebiasedLasso(multiple_testing="holm").fit(X, y)
    >>> np.flatnonzero(model.pvalues_corrected_ < 0.05)
    array([0, 1])
    """

    _parameter_constraints = {
        "factor": [Interval(Real, 0, None, closed="neither")],
        "nodewise_factor": [Interval(Real, 0, None, closed="left")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "multiple_testing": [StrOptions({"holm", "bh"}), None],
        "features": ["array-like", None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        factor=1.0,
        *,
        nodewise_factor=0.5,
        confidence=0.95,
        multiple_testing=None,
        features=None,
        n_jobs=None,
    ):
        self.factor = factor
        self.nodewise_factor = nodewise_factor
        self.confidence = confidence
        self.multiple_testing = multiple_testing
        self.features = features
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Estimate coefficients, intervals and p-values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, dense.
        y : array-like of shape (n_samples,)
            Target.

        Returns
        -------
        self : DebiasedLasso
            The fitted estimator.

        Raises
        ------
        ValueError
            If y is constant, a feature of interest is constant or depends on others.
        NumericalError
            If the noise level collapses: then nothing can be inferred.
        """
        X, y = checked_rows(self, X, y)
        columns = Columns(X)
        columns.require("DebiasedLasso has no coefficient to speak of")
        centered, unit, mean = centered_target(check_response(y))
        if not centered.any():
            raise ValueError(
                "y is constant: there is no noise by which coefficients could be "
                "judged. Check the target."
            )
        kept = np.flatnonzero(columns.varies)
        self.features_ = self._chosen(columns.varies)
        nodes = np.searchsorted(kept, self.features_)
        Z = columns.scaled(kept)
        self._refuse_copies(Z, kept)
        strength = universal_strength(self.factor, len(y), len(kept))
        lasso = scaled_lasso(Z, centered, strength)
        if self.nodewise_factor == 0.0:
            directions, sigma, law = self._least_squares(Z, centered, nodes, kept)
        else:
            directions = self._nodewise(Z, nodes, kept)
            sigma, law = self._noise(lasso), norm
        size = np.abs(directions.along)
        estimates = lasso.coef[nodes] + (directions.Z.T @ lasso.residual) / (
            directions.along
        )
        norms = np.sqrt(np.einsum("ij,ij->j", directions.Z, directions.Z))
        errors = sigma * norms / size
        self.bias_bound_ = directions.leak / size
        scales = columns.spreads[self.features_] / unit
        wide = np.zeros(X.shape[1])
        wide[kept] = lasso.coef
        self.lasso_coef_ = columns.given(wide * unit, mean)[0]
        self.sigma_ = sigma * unit
        self._store(estimates, errors, scales, law)
        self._certify(lasso, directions)
        return self

    def _chosen(self, varies):
        """Return the numbers of the features of interest."""
        p = len(varies)
        if self.features is None:
            return np.flatnonzero(varies)
        given = np.asarray(self.features)
        if given.ndim != 1 or len(given) == 0:
            raise ValueError(
                f"`features` must be a list of numbers or names, got {self.features!r}."
            )
        if given.dtype.kind in "UO":
            names = list(getattr(self, "feature_names_in_", ()))
            unknown = [name for name in given if name not in names]
            if unknown:
                raise ValueError(
                    f"`features` names {unknown}, which are no columns of X. Pass X "
                    "as a data frame, or numbers."
                )
            given = np.array([names.index(name) for name in given])
        if given.dtype.kind == "b" and given.shape == (p,):
            given = np.flatnonzero(given)
        if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= p:
            raise ValueError(
                f"`features` must be numbers from 0 to {p - 1} or names, got "
                f"{self.features!r}."
            )
        found = np.unique(given)
        if not varies[found].all():
            level = named(self, found[~varies[found]])
            raise ValueError(
                f"The features {', '.join(level)} are constant: their coefficients "
                "mean nothing. Leave them out."
            )
        return found

    def _refuse_copies(self, Z, kept):
        """Refuse features of interest that another one copies, by name."""
        R = np.abs(Z.T @ Z) / len(Z)
        np.fill_diagonal(R, 0.0)
        if R.max(initial=0.0) >= 1.0 - _DEPENDENT:
            pair = np.sort(np.array(np.unravel_index(np.argmax(R), R.shape)))
            raise ValueError(
                f"The features {', '.join(named(self, kept[pair]))} have correlation "
                "one: their effects cannot be told apart. Remove one of them."
            )

    def _noise(self, lasso):
        if lasso.collapsed or not lasso.sigma_df > 0.0:
            raise NumericalError(
                "The noise level collapsed: the Lasso fits everything, and nothing can "
                f"be inferred. Raise `factor`, which is {self.factor}."
            )
        return lasso.sigma_df

    def _nodewise(self, Z, nodes, kept):
        strength = universal_strength(self.nodewise_factor, *Z.shape)
        directions, failed = nodewise_directions(Z, nodes, strength, self.n_jobs)
        if len(failed):
            raise NumericalError(
                f"The features {', '.join(named(self, kept[failed]))} are explained by "
                "the others wholly, so that their effects cannot be told apart. Raise "
                f"`nodewise_factor`, which is {self.nodewise_factor}, or remove "
                "features."
            )
        return directions

    def _least_squares(self, Z, y, nodes, kept):
        n, p = Z.shape
        if n - 1 <= p:
            raise ValueError(
                "nodewise_factor=0 is ordinary least squares, which needs more than "
                f"n_features + 1 samples, but there are n_samples = {n} and {p} "
                "features that vary. Use a positive nodewise_factor."
            )
        triangle, order = qr(Z, mode="r", pivoting=True)
        size = np.abs(np.diag(triangle[:p]))
        loose = np.sort(order[size <= _DEPENDENT * size[0]])
        if len(loose):
            raise ValueError(
                f"The features {', '.join(named(self, kept[loose]))} depend on the "
                "others: their effects cannot be told apart. Remove them."
            )
        Q = qr(Z, mode="economic")[0]
        rest = y - Q @ (Q.T @ y)
        free = n - p - 1
        sigma = float(np.sqrt(rest @ rest / free))
        if not sigma > 1e-12:
            raise NumericalError(
                "Least squares leaves no residual: there is no noise by which "
                "coefficients could be judged."
            )
        return least_squares_directions(Z, nodes), sigma, student(free)

    def _store(self, estimates, errors, scales, law):
        half = law.ppf(0.5 + 0.5 * self.confidence)
        ends = np.stack([estimates - half * errors, estimates + half * errors], axis=1)
        self.estimates_ = estimates / scales
        self.standard_errors_ = errors / scales
        self.conf_int_ = ends / scales[:, None]
        self.pvalues_ = 2.0 * law.sf(np.abs(estimates) / errors)
        self.pvalues_corrected_ = corrected_pvalues(
            self.pvalues_, self.multiple_testing
        )
        self.coef_ = self.lasso_coef_.copy()
        self.coef_[self.features_] = self.estimates_

    def _certify(self, lasso, directions):
        exact = self.nodewise_factor == 0.0
        # What the parts left undone; exact intervals hold for any first step.
        worst = Certificate.measured(
            "duality_gap",
            0.0 if exact else max(lasso.gap, 0.01 * directions.violation),
            1e-6,
            "gap of the scaled Lasso, or violation / 100 of the directions",
            rounding=lasso.rounding,
        )
        kind = "exact" if exact else "asymptotic"
        self.certificate_ = Certificate(
            "error_bound",
            1.0 - self.confidence,
            np.inf,
            worst.satisfied,
            f"1 - coverage of each interval, {kind}",
            {
                "assumption": _EXACT if exact else _ASYMPTOTIC,
                "lasso_gap": lasso.gap,
                "direction_violation": directions.violation,
                "direction_tol": TOL,
                "largest_bias_factor": float(self.bias_bound_.max(initial=0.0)),
            },
        )
        warn_if_unsatisfied(
            worst, "DebiasedLasso: what its parts left undone", "Raise the factors."
        )

    def summary(self, feature_names=None):
        """Return estimates, intervals and p-values of the features of interest.

        Parameters
        ----------
        feature_names : array-like of str of shape (n_features_in_,), default=None
            Names, for example ``pipeline[:-1].get_feature_names_out()``;
            `feature_names_in_` when left out.

        Returns
        -------
        table : DataFrame or dict
            Indexed by feature, the smallest p-values first; a dict of arrays without
            pandas.
        """
        check_is_fitted(self)
        order = np.argsort(self.pvalues_, kind="stable")
        return summary_table(
            named(self, self.features_[order], feature_names),
            {
                "estimate": self.estimates_[order],
                "std_error": self.standard_errors_[order],
                "lower": self.conf_int_[order, 0],
                "upper": self.conf_int_[order, 1],
                "p_value": self.pvalues_[order],
                "p_corrected": self.pvalues_corrected_[order],
                "lasso": self.lasso_coef_[self.features_[order]],
            },
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
