"""Selection with a bound on the share of false features, by knockoffs.

Barber and Candes, "Controlling the false discovery rate via knockoffs", Annals of
Statistics 43, 2015; Candes, Fan, Janson and Lv, "Panning for gold: model-X knockoffs
for high dimensional controlled variable selection", JRSS B 80, 2018.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.linalg import qr
from sklearn.base import clone, is_classifier
from sklearn.covariance import ledoit_wolf
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
    fit_context,
)
from sparsestat._utils.results import Certificate, users_stacklevel
from sparsestat._utils.samples import check_samples
from sparsestat._utils.validation import LARGEST_ENTRY
from sparsestat.inference._draws import (
    entry_strengths,
    has_path,
    importances,
    run_fits,
    warn_of_short_fits,
)
from sparsestat.inference._knockoff_copies import FixedDesign, Recipe, unit_columns
from sparsestat.inference._knockoff_filter import (
    e_benjamini_hochberg,
    e_values,
    knockoff_threshold,
)
from sparsestat.inference._knockoff_s import METHODS, s_vector
from sparsestat.inference._tables import Columns, checked_rows, named, summary_table
from sparsestat.linear_model import Lasso, LassoCV

__all__ = ["KnockoffSelector"]

_SAYS = {
    "gaussian": "rows of X are independent and Gaussian with the covariance used; "
    "nothing of y",
    "fixed": "y is linear in X with independent Gaussian noise of one variance; "
    "nothing of X",
}
_DEPENDENT = 1e-10  # share of a column that is not explained by those before


class KnockoffSelector(SelectorMixin, SparsestatEstimator):
    r"""Select features with a bound on the expected share of false ones.

    Each feature competes with a knockoff: a random copy that hangs together with the
    other features as the feature does, but has no part in y. A statistic
    :math:`W_j` is positive where the feature looks better than its knockoff. For
    features without an effect the sign is a fair coin, so that the negative ones tell
    how many false ones there are among the positive ones, and features with

    .. math:: W_j \ge T = \min\Big\{t > 0 :
        \frac{\mathrm{offset} + \#\{W \le -t\}}{\max(1, \#\{W \ge t\})}
        \le \mathrm{fdr}\Big\}

    are selected. Use it when many features have an effect, and a known share of
    false ones is acceptable: nothing can be selected unless 1 / fdr features can.
    Read more in the :ref:`User Guide <inference>`.

    Parameters
    ----------
    estimator : estimator, default=None
        Fitted to the features and their knockoffs side by side; its ``coef_`` or
        ``feature_importances_`` make W. None is ``LassoCV`` for Gaussian and ``Lasso``
        for fixed knockoffs. Fixed knockoffs refuse cross-validation, which looks at
        rows.
    fdr : float, default=0.1
        Largest expected share of false selections.
    construction : {"gaussian", "fixed"}, default="gaussian"
        "gaussian" (model-X) knows the distribution of X, and lets y be anything.
        "fixed" lets X be anything of full rank with more samples than features plus
        one, and y has a linear Gaussian model; with fewer than
        ``2 n_features + 1`` samples, noise of estimated variance is added to rows of
        zeros, and the guarantee is approximate.
    s_method : {"mvr", "sdp", "equi"}, default="mvr"
        How far knockoffs stand from their features: least reconstructable (usually
        the most powerful [3]_), largest sum of distances, or all the same.
    covariance : {"ledoit_wolf"}, array-like or estimator, default="ledoit_wolf"
        Of X, for Gaussian knockoffs: estimated by shrinkage, known (in the units of
        X), or the ``covariance_`` that an estimator finds on standardized features.
    statistic : str or callable, default="coef_difference"
        "coef_difference" is the difference of absolute coefficients, "signed_max" the
        penalty strength at which the first of the two enters the path, negative for
        the knockoff. ``statistic(X, knockoffs, y)`` returns W; for fixed knockoffs it
        may depend on their inner products alone. The columns it gets have mean
        square one, as those that an estimator gets.
    offset : {0, 1}, default=1
        1 bounds the false discovery rate, 0 a slightly smaller quantity.
    n_draws : int, default=1
        Draws of knockoffs, combined by e-values [4]_: the selection hangs less on a
        draw, at a price in power. Each draw is thresholded at half of `fdr`.
    n_jobs : int, default=None
        Workers over draws. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Draws the knockoffs.

    Attributes
    ----------
    W_ : ndarray of shape (n_features_in_,) or (n_draws, n_features_in_)
        Statistics; zero for constant features.
    threshold_ : float or ndarray of shape (n_draws,)
        What W has to reach; infinite where nothing does.
    e_values_ : ndarray of shape (n_features_in_,)
        Evidence of each feature, the mean over draws.
    s_ : ndarray of shape (n_features_in_,)
        Differences of variances and covariances: how far knockoffs stand from their
        features, in squared units of X.
    covariance_ : ndarray of shape (n_features_in_, n_features_in_)
        The covariance of X that was used (Gaussian knockoffs only).
    certificate_ : Certificate
        Of kind "error_bound": `fdr`, with the assumptions in words; `details` has the
        objective of s and a bound of its distance to the best one. Satisfied when all
        fits ended as they should.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    StabilitySelection : Bounds the number of false selections instead of their share.
    DebiasedLasso : Intervals and p-values for all coefficients.

    Notes
    -----
    Features are standardized first, and constant ones left out. The vector s takes
    O(p^3) operations for each of a few Newton (MVR) or a few dozen (SDP) steps, the
    knockoffs another O(p^3 + n p^2); the fits take the rest. With an estimated
    covariance the bound is approximate, in practice robust to it. X must be dense:
    knockoffs have no zeros.

    References
    ----------
    .. [1] R. Barber, E. Candes, "Controlling the false discovery rate via knockoffs",
       Annals of Statistics 43, 2015.
    .. [2] E. Candes, Y. Fan, L. Janson, J. Lv, "Panning for gold: model-X knockoffs
       for high dimensional controlled variable selection", JRSS B 80, 2018.
    .. [3] A. Spector, L. Janson, "Powerful knockoffs via minimizing
       reconstructability", Annals of Statistics 50, 2022.
    .. [4] Z. Ren, R. Barber, "Derandomized knockoffs: leveraging e-values for false
       discovery rate control", JRSS B 86, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.inference import KnockoffSelector
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 60))
    >>> y = X[:, :15].sum(axis=1) + rng.standard_normal(200)
    >>> selector = KnockoffSelector(fdr=0.1, random_state=0).fit(X, y)
    >>> bool(selector.get_support()[:15].all())
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"]), None],
        "fdr": [Interval(Real, 0, 1, closed="neither")],
        "construction": [StrOptions({"gaussian", "fixed"})],
        "s_method": [StrOptions(set(METHODS))],
        "covariance": [StrOptions({"ledoit_wolf"}), "array-like", HasMethods(["fit"])],
        "statistic": [StrOptions({"coef_difference", "signed_max"}), callable],
        "offset": [Options(Integral, {0, 1})],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        fdr=0.1,
        construction="gaussian",
        s_method="mvr",
        covariance="ledoit_wolf",
        statistic="coef_difference",
        offset=1,
        n_draws=1,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.fdr = fdr
        self.construction = construction
        self.s_method = s_method
        self.covariance = covariance
        self.statistic = statistic
        self.offset = offset
        self.n_draws = n_draws
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Draw knockoffs, compare the features with them, and select.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, dense.
        y : array-like of shape (n_samples,) or what the estimator takes
            Target.

        Returns
        -------
        self : KnockoffSelector
            The fitted selector.

        Raises
        ------
        ValueError
            If features depend on each other (they are named), there are too few
            samples, or the statistic is no function of inner products where it has
            to be.
        """
        classes = self.estimator is not None and is_classifier(self.estimator)
        X, y = checked_rows(self, X, y, classifier=classes)
        self._refuse_unsuitable(y)
        columns = Columns(X)
        columns.require("KnockoffSelector has nothing to select")
        self._kept = np.flatnonzero(columns.varies)
        Z = columns.scaled(self._kept)
        self._refuse_copies(Z)
        rng = check_random_state(self.random_state)
        if self.construction == "fixed":
            design, y, known = self._fixed(Z, y, rng)
            scales = columns.spreads[self._kept] * np.sqrt(len(Z))
        else:
            design, scales = self._gaussian(Z, columns)
            known = self._known
        self.s_ = np.zeros(X.shape[1])
        with np.errstate(under="ignore"):
            self.s_[self._kept] = known.s * scales * scales
        seeds = rng.randint(2**31 - 1, size=self.n_draws)
        tasks = [(self._plan(), design, y, int(seed)) for seed in seeds]
        rows, short = run_fits(_statistics, tasks, self.n_jobs)
        self._select(np.array(rows), X.shape[1])
        self._certify(known, short, getattr(design, "n_added", 0))
        warn_of_short_fits("KnockoffSelector", short)
        return self

    def _plan(self):
        """Return what a draw has to know of the parameters."""
        return self.estimator, self.statistic

    def _refuse_unsuitable(self, y):
        """Refuse statistics that break the symmetry of features and knockoffs."""
        path_needed = self.statistic == "signed_max" and self.estimator is not None
        if path_needed and not has_path(self.estimator):
            raise ValueError(
                "statistic='signed_max' follows a path, which "
                f"{type(self.estimator).__name__} has not. Use 'coef_difference', or "
                "an estimator of sparsestat.linear_model."
            )
        if self.construction != "fixed":
            if self.estimator is None and (y.dtype.names or y.ndim > 1):
                raise ValueError(
                    "y has several columns, but the default estimator takes one. Pass "
                    "an estimator for such targets."
                )
            return
        if y.dtype.kind != "f" or y.ndim != 1:
            raise ValueError(
                "Fixed knockoffs need a numeric y in one dimension, as the target of "
                "a linear model. Use construction='gaussian' for other targets."
            )
        if self.estimator is not None and (
            is_classifier(self.estimator)
            or "cv" in self.estimator.get_params(deep=False)
        ):
            raise ValueError(
                f"{type(self.estimator).__name__} looks at single rows, which fixed "
                "knockoffs forbid: W may depend on inner products alone. Use the "
                "default, Lasso(alpha=...) or statistic='signed_max'."
            )

    def _names(self, columns):
        return ", ".join(named(self, self._kept[columns]))

    def _refuse_copies(self, Z):
        """Refuse pairs of features with correlation one, by name."""
        R = np.abs(Z.T @ Z) / len(Z)
        np.fill_diagonal(R, 0.0)
        if R.max(initial=0.0) >= 1.0 - _DEPENDENT:
            pair = np.array(np.unravel_index(np.argmax(R), R.shape))
            raise ValueError(
                f"The features {self._names(np.sort(pair))} have correlation one: no "
                "knockoff can tell them apart. Remove one of them."
            )

    def _gaussian(self, Z, columns):
        """Prepare Gaussian knockoffs; return the design and the scales of features."""
        kept = self._kept
        scales = columns.spreads[kept]
        if isinstance(self.covariance, str):
            covariance = ledoit_wolf(Z, assume_centered=True)[0]
        elif hasattr(self.covariance, "fit"):
            covariance = np.asarray(clone(self.covariance).fit(Z).covariance_)
        else:
            covariance = self._given_covariance()[np.ix_(kept, kept)]
            covariance = covariance / scales / scales[:, None]
        deviations = np.sqrt(np.diag(covariance))
        R = covariance / deviations / deviations[:, None]
        np.fill_diagonal(R, 1.0)
        self._known = s_vector(0.5 * (R + R.T), self.s_method)
        recipe = Recipe(R, self._known.s)
        design = _GaussianDesign(Z / deviations, recipe)
        self._recipe, self._scales = recipe, deviations * scales
        center = columns.center
        self._center = ((center.offset + center.rest) * columns.unit)[kept]
        wide = np.zeros((len(columns.varies),) * 2)
        with np.errstate(under="ignore"):
            wide[np.ix_(kept, kept)] = R * self._scales * self._scales[:, None]
        self.covariance_ = wide
        return design, self._scales

    def _given_covariance(self):
        given = check_array(self.covariance, dtype=np.float64, input_name="covariance")
        p = self.n_features_in_
        if given.shape != (p, p):
            raise ValueError(
                f"covariance has shape {given.shape}, expected ({p}, {p})."
            )
        if not np.allclose(given, given.T, rtol=1e-8, atol=0.0):
            raise ValueError("covariance is not symmetric. Pass (C + C.T) / 2.")
        if not (np.diag(given) > 0).all():
            raise ValueError("covariance has variances that are not positive.")
        return given

    def _fixed(self, Z, y, rng):
        """Prepare fixed knockoffs; return the design, its target and s."""
        n, p = Z.shape
        if n - 1 <= p:
            raise ValueError(
                f"Fixed knockoffs need more than n_features + 1 samples, but there are "
                f"n_samples = {n} and {p} features that vary. Use "
                "construction='gaussian'."
            )
        Z = unit_columns(Z)
        triangle, order = qr(Z, mode="r", pivoting=True)
        size = np.abs(np.diag(triangle[:p]))
        loose = order[size <= _DEPENDENT * size[0]]
        if len(loose):
            raise ValueError(
                f"The features {self._names(np.sort(loose))} depend on the others: no "
                "knockoff can tell them apart. Remove them."
            )
        R = Z.T @ Z
        np.fill_diagonal(R, 1.0)
        known = s_vector(R, self.s_method)
        design = FixedDesign(Z, Recipe(R, known.s))
        centered = y - y.mean()
        design.variance = design.residual_variance(centered)
        return design, design.target(centered, rng), known

    def _select(self, W, n_features):
        several = self.n_draws > 1
        level = 0.5 * self.fdr if several else self.fdr
        thresholds = np.array([knockoff_threshold(w, level, self.offset) for w in W])
        evidence = e_values(W, thresholds)
        if several:
            chosen = e_benjamini_hochberg(evidence, self.fdr)
        else:
            chosen = W[0] >= thresholds[0]
        wide = np.zeros((self.n_draws, n_features))
        wide[:, self._kept] = W
        self.W_ = wide if several else wide[0]
        self.threshold_ = thresholds if several else float(thresholds[0])
        self.e_values_ = np.zeros(n_features)
        self.e_values_[self._kept] = evidence
        self._chosen = np.zeros(n_features, dtype=bool)
        self._chosen[self._kept] = chosen
        least = (2.0 if several else float(self.offset)) / self.fdr
        if not chosen.any() and (W > 0).sum(axis=1).max() < least:
            warnings.warn(
                f"At fdr={self.fdr} nothing can be selected unless "
                f"{int(np.ceil(least - 1e-9))} features are, and no more than "
                f"{int((W > 0).sum(axis=1).max())} beat their knockoffs. Raise `fdr`"
                + (", or take n_draws=1." if several else "."),
                UserWarning,
                stacklevel=users_stacklevel(),
            )

    def _certify(self, known, short, n_added):
        details = {
            "assumption": _SAYS[self.construction],
            "s_objective": known.objective,
            "s_gap": known.gap,
            "unconverged": short,
        }
        if n_added:
            details["approximate"] = (
                f"{n_added} rows were added with noise of estimated variance"
            )
        elif self.construction == "gaussian" and (
            isinstance(self.covariance, str) or hasattr(self.covariance, "fit")
        ):
            details["approximate"] = "the covariance is estimated"
        what = "share of false selections"
        if self.offset == 0:
            what = "false selections / (all selections + 1 / fdr)"
        self.certificate_ = Certificate(
            "error_bound",
            self.fdr,
            np.inf,
            short == 0,
            f"false discovery rate: expected {what}",
            details,
        )

    def knockoffs(self, X, random_state=None):
        """Return knockoff copies of rows of X by the fitted Gaussian model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.
        random_state : int, RandomState instance or None, default=None
            Draws them; that of the selector when left out.

        Returns
        -------
        knockoffs : ndarray of shape (n_samples, n_features)
            In the units of X. Constant features are returned as they are.
        """
        check_is_fitted(self)
        if self.construction != "gaussian":
            raise ValueError(
                "Fixed knockoffs belong to the training data alone. Use "
                "construction='gaussian' for copies of other rows."
            )
        X = check_samples(self, X, reset=False, largest=LARGEST_ENTRY)
        seed = self.random_state if random_state is None else random_state
        rng = check_random_state(seed)
        Z = (X[:, self._kept] - self._center) / self._scales
        copies = self._recipe.copies(Z, rng.standard_normal(Z.shape))
        out = X.copy()
        out[:, self._kept] = self._center + copies * self._scales
        return out

    def summary(self, feature_names=None):
        """Return the features in the order of their evidence.

        Parameters
        ----------
        feature_names : array-like of str of shape (n_features_in_,), default=None
            Names, for example ``pipeline[:-1].get_feature_names_out()``;
            `feature_names_in_` when left out.

        Returns
        -------
        table : DataFrame or dict
            Columns "W" (its mean over draws), "e_value" and "selected", indexed by
            feature; a dict of arrays without pandas.
        """
        check_is_fitted(self)
        W = np.atleast_2d(self.W_).mean(axis=0)
        order = np.lexsort((-W, -self.e_values_))
        return summary_table(
            named(self, order, feature_names),
            {
                "W": W[order],
                "e_value": self.e_values_[order],
                "selected": self._chosen[order],
            },
        )

    def _get_support_mask(self):
        check_is_fitted(self)
        return self._chosen

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class _GaussianDesign:
    """Standardized rows and the recipe of their knockoffs."""

    variance = None

    def __init__(self, X, recipe):
        self.X, self.recipe = X, recipe

    def copies(self, rng):
        return self.recipe.copies(self.X, rng.standard_normal(self.X.shape))


def _statistics(plan, design, y, seed):
    """Draw knockoffs and return W."""
    estimator, statistic = plan
    rng = np.random.RandomState(seed)
    X, copies = design.X, design.copies(rng)
    p = X.shape[1]
    fixed = isinstance(design, FixedDesign)
    if fixed:
        level = design.noise_level(copies, y)
        # To the mean square one, as strengths of penalties expect.
        X, copies = np.sqrt(len(X)) * X, np.sqrt(len(X)) * copies
    if callable(statistic):
        W = np.asarray(statistic(X, copies, y), dtype=float)
        if W.shape != (p,) or not np.isfinite(W).all():
            raise ValueError(
                f"`statistic` returned an array of shape {W.shape}; {p} finite numbers "
                "are expected, one for each feature that varies."
            )
        return W
    pair = np.asfortranarray(np.hstack([X, copies]))
    if statistic == "signed_max":
        model = Lasso(tol=1e-6) if estimator is None else clone(estimator)
        strengths, sizes = entry_strengths(_without_intercept(model, fixed), pair, y)
        first = np.maximum(strengths[:p], strengths[p:])
        ahead = np.sign(strengths[:p] - strengths[p:])
        # Both may come in at one point of the grid: then the larger one is ahead.
        return first * np.where(ahead == 0, np.sign(sizes[:p] - sizes[p:]), ahead)
    if estimator is not None:
        model = clone(estimator)
        if model.get_params(deep=False).get("random_state", 0) is None:
            model.set_params(random_state=rng.randint(2**31 - 1))
    elif fixed:
        level = np.sqrt(design.variance) if level is None else level
        strength = level * np.sqrt(2.0 * np.log(2 * p) / len(y))
        # Without noise any strength does.
        floor = 1e-6 * float(np.abs(pair.T @ y).max()) / len(y)
        model = Lasso(alpha=max(strength, floor, 1e-300), tol=1e-8)
    else:
        model = LassoCV(eps=1e-2, alphas=50, tol=1e-6)
    found = np.abs(importances(_without_intercept(model, fixed).fit(pair, y), 2 * p))
    return found[:p] - found[p:]


def _without_intercept(model, fixed):
    """Fixed designs are centered, and rows of zeros may follow."""
    if fixed and "fit_intercept" in model.get_params(deep=False):
        model.set_params(fit_intercept=False)
    return model
