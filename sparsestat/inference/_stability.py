"""Stability selection with complementary pairs of halves.

Shah and Samworth, "Variable selection with error control: another look at stability
selection", JRSS B 75, 2013.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import HasMethods, Interval, StrOptions, fit_context
from sparsestat._utils.results import Certificate
from sparsestat._utils.samples import effective_rows, given_weights
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude
from sparsestat.inference._draws import (
    NEVER,
    half_sizes,
    has_path,
    run_fits,
    warn_of_short_fits,
)
from sparsestat.inference._error_bounds import ASSUMPTIONS, resolve
from sparsestat.inference._tables import (
    LEAST_SAMPLES,
    Columns,
    checked_rows,
    named,
    summary_table,
)
from sparsestat.linear_model import Lasso

__all__ = ["StabilitySelection"]

_SAYS = {
    "none": "halves are drawn at random: nothing is assumed",
    "unimodal": "shares of pairs that agree are unimodal for unlikely features",
    "r-concave": "shares of selections are r-concave for unlikely features",
}


class StabilitySelection(SelectorMixin, SparsestatEstimator):
    r"""Select the features that are selected again and again on halves of the data.

    The samples are split at random into two halves `n_pairs` times. On each half a
    sparse model selects at most q features: the last point of its path at which no
    more have ever been active. Features that a share `threshold` of the halves
    selects are kept. Call a feature unlikely if its chance of being selected on one
    half is at most q / p. Then the expected number of unlikely features that are kept
    is at most

    .. math:: \frac{q^2}{(2\,\mathrm{threshold} - 1)\, p},

    without any assumption on the data, the model or the noise [1]_, and less under
    the assumptions of [2]_. Two of `q`, `threshold` and `pfer` (what that number may
    be) give the third. Use it when a wrong feature costs more than a missed one; a
    model for prediction is better chosen by cross-validation.
    Read more in the :ref:`User Guide <inference>`.

    Parameters
    ----------
    estimator : estimator, default=None
        Whose selections are counted. None is the Lasso on features of unit variance.
        Estimators of this package with a ``path`` follow it, whatever their own
        strength is; others are fitted once on each half and their q largest
        ``coef_`` or ``feature_importances_`` that are not zero count as selected.
        Halves have the same share of each class if it is a classifier.
    q : int, default=None
        Largest number of features selected on one half. None follows from the
        other two.
    threshold : float, default=None
        Share of the halves that has to select a feature, above 1/2; 0.75 if only one
        of the others, or none, is given.
    pfer : float, default=None
        Largest expected number of false selections ("per-family error rate"); 1 if
        neither it nor `q` is given.
    n_pairs : int, default=50
        Number of pairs of halves.
    assumption : {"none", "unimodal", "r-concave"}, default="none"
        What is assumed of the distribution of selections of unlikely features. The
        later ones give smaller bounds, and so more features for the same `pfer`.
    n_jobs : int, default=None
        Workers over halves. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Draws the halves, and seeds an estimator whose own ``random_state`` is None.

    Attributes
    ----------
    selection_probabilities_ : ndarray of shape (n_features_in_,)
        Share of the halves that selected each feature among its first `q_`.
    stability_path_ : ndarray of shape (n_features_in_, q_)
        The same for the first 1, 2, ..., `q_` features.
    q_ : int
        Largest number of features selected on one half.
    threshold_ : float
        Share of the halves that it takes, a multiple of ``1 / (2 n_pairs)``.
    pfer_bound_ : float
        Bound on the expected number of false selections.
    mean_size_ : float
        Mean number of features that a half selected.
    estimator_ : estimator
        A clone of what was fitted on the halves.
    certificate_ : Certificate
        Of kind "error_bound": `pfer_bound_`, with the assumption in words. Satisfied
        when all fits ended as they should.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    KnockoffSelector : Bounds the share of false selections instead of their number.
    DebiasedLasso : Intervals and p-values for all coefficients.
    sklearn.feature_selection.SelectFromModel : Selects on one fit, without a bound.

    Notes
    -----
    Constant features are never selected and do not count into p. With groups (of
    samples) all rows of a group go to the same half; rows of weight zero to none.
    The bound speaks of features that are *unlikely* to be selected. It says nothing of
    a feature without an effect that stands in for a correlated one which has an effect:
    that is selected often, and rightly so in this sense. Time is that of
    ``2 n_pairs`` paths down to q features.

    References
    ----------
    .. [1] N. Meinshausen, P. Buhlmann, "Stability selection", JRSS B 72, 2010.
    .. [2] R. Shah, R. Samworth, "Variable selection with error control: another look
       at stability selection", JRSS B 75, 2013.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.inference import StabilitySelection
    >>> data = load_diabetes_interactions(degree=2)
    >>> selector = StabilitySelection(random_state=0).fit(data.data, data.target)
    >>> selector.q_, round(selector.pfer_bound_, 2)
    (5, 0.78)
    >>> print([data.feature_names[j] for j in selector.get_support(indices=True)])
    ['bmi', 'bp', 's5']
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit"]), None],
        "q": [Interval(Integral, 1, None, closed="left"), None],
        "threshold": [Interval(Real, 0.5, 1, closed="right"), None],
        "pfer": [Interval(Real, 0, None, closed="neither"), None],
        "n_pairs": [Interval(Integral, 1, None, closed="left")],
        "assumption": [StrOptions(set(ASSUMPTIONS))],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        q=None,
        threshold=None,
        pfer=None,
        n_pairs=50,
        assumption="none",
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.q = q
        self.threshold = threshold
        self.pfer = pfer
        self.n_pairs = n_pairs
        self.assumption = assumption
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Select on halves of the data and count.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or what the estimator takes
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights that are handed to the fits.
        groups : array-like of shape (n_samples,), default=None
            Samples of a group are kept in the same half.

        Returns
        -------
        self : StabilitySelection
            The fitted selector.

        Raises
        ------
        ValueError
            If there are too few samples for halves, no feature varies, or no setting
            keeps the bound that is asked for.
        """
        classes = self.estimator is not None and is_classifier(self.estimator)
        X, y = checked_rows(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            classifier=classes,
            largest=None,
        )
        weights = given_weights(sample_weight, X)
        labels = None if groups is None else _checked_groups(groups, X.shape[0])
        if weights is not None:
            used = np.flatnonzero(weights)
            labels = labels if labels is None else labels[used]
            X, y, weights = effective_rows(X, y, weights)
        if labels is not None:
            labels = np.unique(labels, return_inverse=True)[1]
        check_magnitude(X, largest=LARGEST_ENTRY)
        columns = Columns(X)
        columns.require("StabilitySelection has nothing to select")
        varies = columns.varies
        setting = resolve(
            self.q,
            self.threshold,
            self.pfer,
            int(varies.sum()),
            self.n_pairs,
            self.assumption,
        )
        estimator = Lasso(tol=1e-6) if self.estimator is None else self.estimator
        if (
            weights is not None
            and not has_path(estimator)
            and not has_fit_parameter(estimator, "sample_weight")
        ):
            raise ValueError(
                f"{type(estimator).__name__} takes no sample_weight. Leave it out, or "
                "pass an estimator that does."
            )
        table = columns.scaled() if self.estimator is None else X
        if hasattr(table, "tocsr"):
            table = table.tocsr()  # rows are taken from it
        rng = check_random_state(self.random_state)
        halves = _halves(rng, self.n_pairs, X.shape[0], y if classes else None, labels)
        fits = [_seeded(estimator, rng) for _ in halves]
        tasks = [
            (fit, table, y, weights, rows, setting.q)
            for fit, rows in zip(fits, halves, strict=True)
        ]
        results, short = run_fits(half_sizes, tasks, self.n_jobs)
        sizes = np.array(results)
        sizes[:, ~varies] = NEVER
        self._store(setting, sizes)
        self.estimator_ = clone(estimator)
        self._certify(short)
        warn_of_short_fits("StabilitySelection", short)
        return self

    def _store(self, setting, sizes):
        entered = sizes <= setting.q
        path = np.stack(
            [(sizes <= k).sum(axis=0) for k in range(1, setting.q + 1)], axis=1
        )
        self._counts = path[:, -1]
        self._least_count = setting.t
        self.stability_path_ = path / len(sizes)
        self.selection_probabilities_ = self.stability_path_[:, -1].copy()
        self.q_ = setting.q
        self.threshold_ = setting.t / len(sizes)
        self.pfer_bound_ = float(setting.bound)
        self.mean_size_ = float(entered.sum(axis=1).mean())

    def _certify(self, short):
        self.certificate_ = Certificate(
            "error_bound",
            self.pfer_bound_,
            np.inf,
            short == 0,
            "expected number of selected features whose chance on one half is at most "
            "q / p",
            {
                "assumption": _SAYS[self.assumption],
                "q": self.q_,
                "threshold": self.threshold_,
                "n_pairs": self.n_pairs,
                "unconverged": short,
            },
        )

    def summary(self, feature_names=None):
        """Return the features in the order of their selection probabilities.

        Parameters
        ----------
        feature_names : array-like of str of shape (n_features_in_,), default=None
            Names, for example ``pipeline[:-1].get_feature_names_out()``;
            `feature_names_in_` when left out.

        Returns
        -------
        table : DataFrame or dict
            Columns "probability" and "selected", indexed by feature; a dict of arrays
            without pandas.
        """
        check_is_fitted(self)
        order = np.argsort(-self.selection_probabilities_, kind="stable")
        return summary_table(
            named(self, order, feature_names),
            {
                "probability": self.selection_probabilities_[order],
                "selected": self._get_support_mask()[order],
            },
        )

    def _get_support_mask(self):
        check_is_fitted(self)
        return self._counts >= self._least_count

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        if self.estimator is not None:
            inner = get_tags(self.estimator)
            tags.input_tags.sparse = inner.input_tags.sparse
            tags.input_tags.positive_only = inner.input_tags.positive_only
            tags.target_tags = inner.target_tags
            tags.target_tags.required = True
        return tags


def _checked_groups(groups, n_samples):
    labels = np.asarray(groups)
    if labels.shape != (n_samples,):
        raise ValueError(
            f"groups has shape {labels.shape}, expected ({n_samples},): one label for "
            "each sample."
        )
    return labels


def _seeded(estimator, rng):
    """Return the estimator, seeded if it asks for a seed and has none."""
    if estimator.get_params(deep=False).get("random_state", 0) is None:
        return clone(estimator).set_params(random_state=rng.randint(2**31 - 1))
    return estimator


def _halves(rng, n_pairs, n_samples, classes, groups):
    """Return the rows of each half, two by two.

    Parameters
    ----------
    rng : RandomState
    n_pairs, n_samples : int
    classes : ndarray of shape (n_samples,) or None
        Halves have the same number of each.
    groups : ndarray of shape (n_samples,) or None
        Numbers of groups that are not split.
    """
    if groups is not None:
        n_groups = int(groups.max()) + 1
        if n_groups < LEAST_SAMPLES:
            raise ValueError(
                f"Halves of {n_groups} groups are too few to select on: at least "
                f"{LEAST_SAMPLES} groups are needed."
            )
        members = [np.flatnonzero(groups == g) for g in range(n_groups)]
        return [
            np.sort(np.concatenate([members[g] for g in half]))
            for half in _halves(rng, n_pairs, n_groups, None, None)
        ]
    if n_samples < LEAST_SAMPLES:
        raise ValueError(
            f"Halves of n_samples = {n_samples} (of positive weight) are too few to "
            f"select on: at least {LEAST_SAMPLES} are needed."
        )
    strata = [np.arange(n_samples)]
    if classes is not None:
        names, codes = np.unique(classes, return_inverse=True)
        strata = [np.flatnonzero(codes == k) for k in range(len(names))]
        names = names.tolist()  # as they are written, not as numpy writes them
        for name, rows in zip(names, strata, strict=True):
            if len(rows) < 2:
                raise ValueError(
                    f"Class {name!r} has one sample, so that a half would have none "
                    "of it. Merge it with another class, or leave it out."
                )
        if len(names) < 2:
            raise ValueError(
                f"A classifier needs samples of at least 2 classes, but y holds 1 "
                f"class: {names[0]!r}."
            )
    halves = []
    for _ in range(n_pairs):
        parts = []
        for rows in strata:
            mixed = rng.permutation(rows)
            half = len(rows) // 2
            parts.append((mixed[:half], mixed[half : 2 * half]))
        halves.extend(
            np.sort(np.concatenate(part)) for part in zip(*parts, strict=True)
        )
    return halves
