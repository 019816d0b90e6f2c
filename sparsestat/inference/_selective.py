"""Inference after the Lasso has selected, given that it has selected just this.

Lee, Sun, Sun and Taylor, "Exact post-selection inference, with application to the
lasso", Annals of Statistics 44, 2016.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
import warnings
from numbers import Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.arithmetic import moderate, rounding, standardize
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, fit_context
from sparsestat._utils.results import Certificate, users_stacklevel
from sparsestat._utils.validation import largest_entry
from sparsestat.exceptions import ConvergenceWarning, NumericalError
from sparsestat.inference._scaled_lasso import ScaledLasso, check_response
from sparsestat.inference._scaled_lasso_solver import ActiveSet, centered_target
from sparsestat.inference._tables import checked_rows, named, summary_table
from sparsestat.inference._truncated_normal import interval, two_sided_pvalue
from sparsestat.linear_model import Lasso

__all__ = ["LassoSelectiveInference", "cut_off"]

_ALIKE = 1.0 - 1e-12  # correlation from which features are copies


def cut_off(beta, signs, weights, G):
    """Return how far each estimate is from where the selection would change.

    Parameters
    ----------
    beta : ndarray of shape (n_active,)
        Coefficients of the Lasso.
    signs, weights : ndarray of shape (n_active,)
        Signs, and penalty multipliers; unpenalized features have no constraint.
    G : ndarray of shape (n_active, n_active)
        Inverse Gram matrix of the active features.

    Returns
    -------
    below, above : ndarray of shape (n_active,)
        Distances to the ends of the interval, perhaps infinite.
    """
    slopes = signs[:, None] * G / np.diag(G)  # of s_i beta_i along direction j
    room = np.abs(beta)[:, None] * np.ones_like(slopes)
    penalized = (weights > 0.0)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = room / np.abs(slopes)
    below = np.where(penalized & (slopes > 0.0), reach, np.inf).min(axis=0)
    above = np.where(penalized & (slopes < 0.0), reach, np.inf).min(axis=0)
    return below, above


class LassoSelectiveInference(SparsestatEstimator):
    r"""Exact p-values and intervals for the features that the Lasso selected.

    The Lasso is fitted at a strength that was chosen beforehand, and least squares on
    the features it selected would be asked how much each one matters. Ordinary
    intervals forget that the same data selected them. Here they are conditional: given
    which features the Lasso selects, and with which signs, the least squares
    coefficient of one of them has a normal distribution that is cut off,

    .. math:: t_j \mid \{E, s\} \sim N(\theta_j, \sigma^2 (X_E'X_E)^{-1}_{jj})
        \text{ on } [V^-, V^+],

    and that gives exact p-values, and intervals for the coefficient :math:`\theta_j` of
    the best linear model in the selected features. Use it to judge a selection; where
    the effects themselves are asked for, see :class:`DebiasedLasso`.
    Read more in the :ref:`User Guide <inference>`.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the Lasso, as in :class:`~sparsestat.linear_model.Lasso`. It must
        not be chosen by looking at y.
    sigma : float, default=None
        Noise level. None takes ``ScaledLasso().sigma_df_``: then the inference is
        approximate.
    confidence : float, default=0.95
        Of each interval on its own.
    fit_intercept : bool, default=True
        Fit an intercept.
    feature_weights : array-like of shape (n_features,), default=None
        Penalty multipliers: 0 leaves a feature unpenalized, infinity drops it.

    Attributes
    ----------
    features_ : ndarray of int
        Numbers of the selected features, to which the rows of the following belong.
    estimates_ : ndarray of shape (len(features_),)
        Their least squares coefficients.
    conf_int_ : ndarray of shape (len(features_), 2)
        Lower and upper ends of the intervals, perhaps infinite.
    pvalues_ : ndarray of shape (len(features_),)
        Of the hypothesis that a coefficient is zero, two-sided.
    standard_errors_ : ndarray of shape (len(features_),)
        What they would be without the selection.
    truncation_ : ndarray of shape (len(features_), 2)
        The ends between which each estimate could have been.
    lasso_coef_ : ndarray of shape (n_features_in_,)
        Coefficients of the Lasso.
    coef_ : ndarray of shape (n_features_in_,)
        Least squares coefficients of selected features, zeros elsewhere.
    sigma_ : float
        The noise level that was used.
    certificate_ : Certificate
        Of kind "error_bound": 1 - confidence, with the assumptions in words.
        `details` has the duality gap which proves that the selection is right.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    DebiasedLasso : Intervals that do not depend on a selection.
    sparsestat.linear_model.Lasso : The selection.

    Notes
    -----
    The answer depends on which features are exactly zero, so that is proved: the
    duality gap bounds how far each correlation may be from that of the solution.
    Where it leaves a feature undecided, the fit is refused and names it.

    Intervals can be very long, or have no end, where an estimate is close to where the
    selection would change: half of them are more than ten standard errors long in
    simulations of the user guide. That is the price of using the data twice.

    References
    ----------
    .. [1] J. Lee, D. Sun, Y. Sun, J. Taylor, "Exact post-selection inference, with
       application to the lasso", Annals of Statistics 44, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.inference import LassoSelectiveInference
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 50))
    >>> y = 2 * X[:, 0] + rng.standard_normal(100)
    >>> model = LassoSelectiveInference(alpha=0.3, sigma=1.0).fit(X, y)
    >>> model.features_, bool(model.pvalues_[0] < 1e-6)
    (array([0]), True)
    """

    _parameter_constraints = {
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "sigma": [Interval(Real, None, None, closed="neither"), None],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "fit_intercept": ["boolean"],
        "feature_weights": ["array-like", None],
    }

    def __init__(
        self,
        alpha=1.0,
        *,
        sigma=None,
        confidence=0.95,
        fit_intercept=True,
        feature_weights=None,
    ):
        self.alpha = alpha
        self.sigma = sigma
        self.confidence = confidence
        self.fit_intercept = fit_intercept
        self.feature_weights = feature_weights

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Select, prove the selection, and infer given it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Target.

        Returns
        -------
        self : LassoSelectiveInference
            The fitted estimator.

        Raises
        ------
        ValueError
            If `sigma` is not positive, selected features depend on each other, or it
            cannot be decided whether a feature is selected.
        """
        if self.sigma is not None and not self.sigma > 0.0:
            raise ValueError(
                f"sigma={self.sigma} is no noise level: it must be positive. Pass None "
                "to estimate it."
            )
        X, y = checked_rows(self, X, y, accept_sparse=["csr", "csc"])
        y = check_response(y)
        self._set_weights(X.shape[1])
        selected = _Selection(
            X, y, self.alpha, self._weights, self.fit_intercept, self._name
        )
        sigma, others = self._noise(X, y)
        self._store(selected, sigma)
        self.sigma_ = sigma
        self._certify(selected, others)
        if len(self.features_) == 0:
            warnings.warn(
                f"The Lasso selects no feature at alpha={self.alpha}: there is nothing "
                "to infer. Lower `alpha`.",
                UserWarning,
                stacklevel=users_stacklevel(),
            )
        return self

    def _name(self, j):
        return named(self, [j])[0]

    def _set_weights(self, n_features):
        if self.feature_weights is None:
            self._weights = np.ones(n_features)
            return
        weights = np.asarray(self.feature_weights, dtype=np.float64)
        if weights.shape != (n_features,) or not (weights >= 0.0).all():
            raise ValueError(
                f"`feature_weights` must be {n_features} numbers that are not "
                f"negative, got shape {weights.shape}."
            )
        self._weights = weights

    def _noise(self, X, y):
        """Return the noise level, and the certificate of its estimate."""
        if self.sigma is not None:
            sigma = float(self.sigma)
            if not 1e-75 < largest_entry(y) / sigma < 1e75 and y.any():
                raise ValueError(
                    f"sigma={sigma:.0e} is no noise level of targets of which the "
                    f"largest is {largest_entry(y):.0e}: it is in the units of y."
                )
            return sigma, None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = ScaledLasso().fit(X, y)
        if not model.sigma_df_ > 0.0 or model.certificate_.details["collapsed"]:
            raise NumericalError(
                "The noise level cannot be estimated: the scaled Lasso leaves no "
                "residual. Pass `sigma`."
            )
        return model.sigma_df_, model.certificate_

    def _store(self, selected, sigma):
        features, n = selected.features, len(selected.features)
        self.features_ = features
        deviations = sigma * selected.roots
        below, above = selected.below, selected.above
        ends, self.pvalues_ = np.empty((n, 2)), np.empty(n)
        for j in range(n):
            sd, t0 = deviations[j], selected.estimates[j]
            cut = below[j] / sd, above[j] / sd
            low, high = interval(*cut, self.confidence)
            ends[j] = t0 - sd * high, t0 - sd * low
            self.pvalues_[j] = two_sided_pvalue(t0 / sd, *cut)
        self.estimates_ = selected.estimates
        self.conf_int_, self.standard_errors_ = ends, deviations
        self.truncation_ = np.stack(
            [selected.estimates - below, selected.estimates + above], axis=1
        )
        self.lasso_coef_ = selected.lasso_coef
        self.coef_ = np.zeros(len(selected.lasso_coef))
        self.coef_[features] = selected.estimates

    def _certify(self, selected, others):
        converged = others is None or others.satisfied
        details = {
            "assumption": "y has independent Gaussian noise of the given variance, and "
            "alpha was chosen without y; nothing of the mean of y",
            "lasso_gap": selected.gap,
            "sigma": self.sigma_,
        }
        if others is not None:
            details["approximate"] = "the noise level is estimated"
        self.certificate_ = Certificate(
            "error_bound",
            1.0 - self.confidence,
            np.inf,
            converged,
            "1 - coverage of each interval, given the selection",
            details,
        )
        if not converged:
            warnings.warn(
                "LassoSelectiveInference: the scaled Lasso that estimates the noise "
                f"level has a gap of {others.value:.1e}. Pass `sigma`.",
                ConvergenceWarning,
                stacklevel=users_stacklevel(),
            )

    def summary(self, feature_names=None):
        """Return estimates, intervals and p-values of the selected features.

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
                "lower": self.conf_int_[order, 0],
                "upper": self.conf_int_[order, 1],
                "p_value": self.pvalues_[order],
                "lasso": self.lasso_coef_[self.features_[order]],
            },
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags


class _Selection:
    """The Lasso's selection, proved, with what the selection allows.

    Everything is computed in units of powers of two and handed out in those of the
    data: `features`, `estimates`, `roots` (of the diagonal of the inverse Gram matrix),
    `below`, `above`, `lasso_coef`, `gap` (relative to the mean square of y).
    """

    def __init__(self, X, y, alpha, weights, fit_intercept, name):
        n, p = X.shape
        X, x_unit = moderate(X)
        if hasattr(X, "tocsr"):
            X = X.tocsr()
        center = standardize(X)
        if not fit_intercept:
            Z, means = X, np.zeros(p)
            centered, y_unit = moderate(y, "y")
        else:
            Z, means = center.apply(X), center.mean
            centered, y_unit, _ = centered_target(y)
        level = alpha / x_unit / y_unit
        coef = _tight_lasso(Z, centered, level, weights, fit_intercept)
        features = np.flatnonzero(coef)
        signs = np.sign(coef[features])
        omega = weights[features]
        active = _Active(Z, features, centered, fit_intercept)
        if len(features) and not active.has_full_rank:
            names = ", ".join(name(features[k]) for k in active.dependent())
            raise ValueError(
                f"The selected features {names} depend on other selected ones: their "
                "effects cannot be told apart. Remove them, or raise `alpha`."
            )
        G = np.zeros((0, 0))
        residual = centered
        self.estimates = np.zeros(0)
        if len(features):
            G = active.solve(np.eye(len(features)))
            G = 0.5 * (G + G.T)
            beta = active.ols - n * level * active.solve(omega * signs)
            if (np.sign(beta) == signs).all():
                coef[features] = beta
            residual = centered - active.part @ coef[features]
            self.estimates = active.ols * (y_unit / x_unit)
        correlations = (Z.T @ residual - means * residual.sum()) / n
        self.gap, slack = _gap(centered, residual, coef, correlations, level, weights)
        self._refuse_undecided(
            Z, means, coef, correlations, level * weights, slack, G, features, name
        )
        self.features = features
        self.lasso_coef = coef * (y_unit / x_unit)
        self.roots = np.sqrt(np.diag(G)) / x_unit
        scale = y_unit / x_unit
        below, above = cut_off(coef[features], signs, omega, G) if len(G) else ([], [])
        self.below, self.above = np.asarray(below) * scale, np.asarray(above) * scale

    def _refuse_undecided(
        self, Z, means, coef, correlations, levels, slack, G, features, name
    ):
        """Refuse where the gap allows another selection, and say of which feature.

        The fit X w is within ``sqrt(2 n gap)`` of that of the solution.
        """
        n, p = Z.shape
        squares = (
            Z.multiply(Z).sum(axis=0) if hasattr(Z, "multiply") else (Z * Z).sum(0)
        )
        norms = np.sqrt(np.maximum(np.asarray(squares).ravel() - n * means**2, 0.0))
        off = np.sqrt(2.0 * n * slack)
        out = np.ones(p, dtype=bool)
        out[features] = False
        close = out & (norms > 0) & np.isfinite(levels)
        close &= np.abs(correlations) + norms * off / n >= levels
        if len(features):
            small = np.abs(coef[features]) <= np.sqrt(np.diag(G)) * off
            small &= levels[features] > 0.0
            close[features[small]] = True
        if close.any():
            j = int(np.flatnonzero(close)[0])
            copy = _copy_among(Z, means, norms, j, features)
            if copy is not None:
                raise ValueError(
                    f"The features {name(min(j, copy))}, {name(max(j, copy))} have "
                    "correlation one: their effects cannot be told apart. Remove one "
                    "of them."
                )
            raise ValueError(
                f"Whether the Lasso selects feature {name(j)} at this alpha cannot be "
                "decided: it enters just here (to the precision of the duality gap, "
                f"{self.gap:.1e}). Change `alpha` a little."
            )


def _copy_among(Z, means, norms, j, features):
    """Return one of the features that has correlation one with feature j, or None."""
    others = features[(features != j) & (norms[features] > 0.0)]
    if not len(others) or norms[j] == 0.0:
        return None
    pair = Z[:, [j, *others]]
    pair = pair.toarray() if hasattr(pair, "toarray") else pair
    pair = pair - means[[j, *others]]
    alike = np.abs(pair[:, 0] @ pair[:, 1:]) / (norms[j] * norms[others])
    best = int(alike.argmax())
    return int(others[best]) if alike[best] >= _ALIKE else None


class _Active(ActiveSet):
    """The active set, centered or not."""

    def __init__(self, Z, columns, y, fit_intercept):
        if fit_intercept:
            super().__init__(Z, columns, y)
            return
        part = Z[:, columns]
        part = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
        # Rows of opposite sign center any columns, and leave the Gram matrix doubled.
        both = np.vstack([part, -part]) / math.sqrt(2.0)
        target = np.concatenate([y, -y]) / math.sqrt(2.0)
        super().__init__(both, np.arange(len(columns)), target)
        self.columns, self.part = columns, part


def _tight_lasso(Z, y, level, weights, fit_intercept):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        model = Lasso(
            alpha=level,
            fit_intercept=fit_intercept,
            feature_weights=weights,
            tol=1e-12,
        ).fit(Z, y)
    return model.coef_.astype(np.float64)


def _gap(y, residual, coef, correlations, level, weights):
    """Return the relative duality gap, and an absolute bound with its rounding."""
    n = len(y)
    square = float(y @ y) / n
    primal = 0.5 * float(residual @ residual) / n
    used = coef != 0.0
    primal += level * float(weights[used] @ np.abs(coef[used]))
    bounded = np.isfinite(weights) & (weights > 0.0)
    largest = np.max(np.abs(correlations[bounded]) / weights[bounded], initial=0.0)
    theta = residual * (min(1.0, level / largest) if largest > 0.0 else 1.0)
    dual = float(theta @ y) / n - 0.5 * float(theta @ theta) / n
    # Unpenalized features: what is left of their correlations is paid in full.
    free = weights == 0.0
    unpaid = float(np.abs(correlations[free]) @ np.abs(coef[free]))
    gap = max(primal - dual, 0.0) + unpaid
    slack = gap + rounding(n + int(used.sum()) + 8, 4.0 * square)
    return (gap / square if square > 0.0 else 0.0), slack
