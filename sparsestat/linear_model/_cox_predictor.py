"""What Cox models share: survival times, hazards, predictions, concordance."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from sparsestat._utils.validation import read_only, refuse_complex
from sparsestat.linear_model._fit import solver_options
from sparsestat.linear_model._glm import (
    OffsetMixin,
)
from sparsestat.linear_model._penalized import _kernels_glm as kernels
from sparsestat.linear_model._penalized._likelihood_problems import CoxProblem
from sparsestat.linear_model._predictors import LinearPredictor, validate_fit_data

__all__ = [
    "CoxPredictor",
    "concordance_index",
]


def survival_target(y):
    """Return y as an array of times, or of the columns [entry,] time and event.

    Parameters
    ----------
    y : array-like of shape (n_samples,), (n_samples, 2) or (n_samples, 3), or \
            structured array
        A structured array of two fields has a Boolean one, whether the event was seen,
        and a time; one of three has the fields `entry`, `time` and `event`.

    Returns
    -------
    y : ndarray of shape (n_samples,), (n_samples, 2) or (n_samples, 3)
    """
    refuse_complex(y, name="y")
    names = getattr(getattr(y, "dtype", None), "names", None)
    if names is not None:
        kinds = [y.dtype[name].kind for name in names]
        if set(names) == {"entry", "time", "event"}:
            columns = [y[name] for name in ("entry", "time", "event")]
            return survival_target(np.column_stack(columns).astype(np.float64))
        if len(names) != 2 or kinds.count("b") != 1:
            raise ValueError(
                "A structured y must have two fields, a Boolean one (event seen) and a "
                f"time, or the fields entry, time and event, got {y.dtype}."
            )
        event = names[kinds.index("b")]
        time = names[1 - kinds.index("b")]
        return np.column_stack([y[time], y[event]]).astype(np.float64)
    if y is None:
        return y
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] in (2, 3):
        array = array.astype(np.float64)
        event = array[:, -1]
        if np.isfinite(event).all() and not np.isin(event, (0.0, 1.0)).all():
            raise ValueError(
                "The last column of y says whether the event was seen and must be 0 "
                f"or 1, got values from {event.min():g} to {event.max():g}. The "
                "columns of y are [entry,] time and event."
            )
        if array.shape[1] == 3 and (array[:, 0] >= array[:, 1]).any():
            at = int(np.argmax(array[:, 0] >= array[:, 1]))
            raise ValueError(
                f"Sample {at} has the entry {array[at, 0]:g} and the time "
                f"{array[at, 1]:g}: it would never be at risk. Entries must be before "
                "times."
            )
        return array
    if array.ndim == 2 and array.shape[1] > 3:
        raise ValueError(
            f"y has {array.shape[1]} columns, but two or three are expected: [entry,] "
            "time and event (1 seen, 0 censored). A one-dimensional y means that all "
            "were seen."
        )
    return array


def concordance_index(time, event, risk, sample_weight=None):
    """Share of comparable pairs in which the higher risk fails first.

    A pair is comparable when the earlier time is an event, or when of two equal
    times one is an event. Equal risks count one half. Takes O(n log n) time.

    Parameters
    ----------
    time, event, risk : array-like of shape (n_samples,)
    sample_weight : array-like of shape (n_samples,), default=None

    Returns
    -------
    index : float
        0.5 when no pair is comparable.
    """
    time = np.asarray(time, dtype=np.float64)
    weights = np.ones(len(time)) if sample_weight is None else sample_weight
    order = np.argsort(-time, kind="stable")
    _, rank = np.unique(np.asarray(risk, dtype=np.float64), return_inverse=True)
    ordered = time[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=np.nan) != 0)
    concordant, tied, comparable = kernels.concordance_sums(
        read_only(rank[order].astype(np.int64)),
        int(rank.max()) + 1,
        read_only(np.asarray(event, dtype=bool)[order]),
        read_only(np.asarray(weights, dtype=np.float64)[order]),
        read_only(np.append(starts, len(time)).astype(np.int64)),
    )
    return (concordant + 0.5 * tied) / comparable if comparable > 0 else 0.5


class CoxPredictor(OffsetMixin, LinearPredictor):
    """Log hazard ratios, survival functions and the concordance index."""

    _needs_rows = (
        "its risk sets follow the times of all rows, and it gathers working sets of "
        "columns from X in memory"
    )

    def _validated(self, X, y, sample_weight):
        target = survival_target(y)
        many = target is not None and target.ndim == 2 and target.shape[1] > 1
        X, target, sample_weight = validate_fit_data(
            self, X, target, sample_weight, multi_output=many
        )
        if not many:
            target = np.column_stack([target, np.ones(len(target))])
        return X, target, sample_weight

    def _checked_rows(self, rows, y):
        rows = super()._checked_rows(rows, y)
        self.strata_ = None
        if "strata" in rows:
            strata = column_or_1d(rows["strata"])
            check_consistent_length(strata, y)
            self.strata_, rows["strata"] = np.unique(strata, return_inverse=True)
        return rows

    def _problem(self, X, y, sample_weight, **rows):
        return CoxProblem(
            X,
            y,
            sample_weight,
            ties=self.ties,
            penalty=self._spec(X.shape[1]),
            **rows,
            **solver_options(self),
        )

    def predict(self, X, offset=None):
        """Predict the logarithm of the hazard ratio: high means an early event.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`.

        Returns
        -------
        risk : ndarray of shape (n_samples,)
            ``X @ coef_ + offset``.
        """
        return self._shifted(self._scores(X), offset)

    def predict_survival(self, X, times=None, offset=None, strata=None):
        """Predict the probabilities of no event up to given times.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        times : array-like of shape (n_times,), default=None
            Times; None means `event_times_`.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`.
        strata : array-like of shape (n_samples,), default=None
            Strata of the samples, needed if there were some in `fit`.

        Returns
        -------
        survival : ndarray of shape (n_samples, n_times)
            ``exp(-baseline_hazard_ * exp(risk))``.
        """
        risk = self.predict(X, offset)
        times = self.event_times_ if times is None else np.asarray(times, dtype=float)
        # From the center of the features: `baseline_hazard_` itself, of a sample of
        # zeros, overflows where the features are far from zero.
        hazard = np.atleast_2d(self._center_hazard)
        hazard = np.column_stack([np.zeros(len(hazard)), hazard])
        at = np.searchsorted(self.event_times_, times, side="right")
        stratum = np.zeros(len(risk), dtype=np.intp)
        if getattr(self, "strata_", None) is not None:
            stratum = self._stratum_of(strata, len(risk))
        with np.errstate(divide="ignore"):
            relative = risk[:, None] - self._center_predictor
            exponent = np.log(hazard[:, at])[stratum] + relative
        return np.exp(-np.exp(np.minimum(exponent, 700.0)))

    def _stratum_of(self, strata, n_samples):
        """Return the position of the strata of new samples among those fitted."""
        if strata is None:
            raise ValueError(
                f"This {type(self).__name__} was fitted with `strata`, each with a "
                "baseline hazard of its own: pass those of the samples."
            )
        strata = column_or_1d(strata)
        if len(strata) != n_samples:
            raise ValueError(
                f"`strata` has {len(strata)} entries, but X has {n_samples} samples."
            )
        unknown = np.setdiff1d(strata, self.strata_)
        if len(unknown):
            raise ValueError(
                f"`strata` holds {unknown.tolist()[0]!r}, which was not there in "
                "`fit`: its baseline hazard is not known."
            )
        return np.searchsorted(self.strata_, strata)

    def score(self, X, y, sample_weight=None, offset=None):
        """Return the concordance index of the predicted risks.

        Entry times and strata are left out of account.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, 2), or structured array
            Times, or times and events, as in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a pair counts the product of its weights.
        offset : array-like of shape (n_samples,), default=None
            Needed if there was one in `fit`.

        Returns
        -------
        score : float
            1 is perfect, 0.5 as good as chance.
        """
        check_is_fitted(self)
        risk = self.predict(X, offset)
        target = np.asarray(survival_target(y), dtype=np.float64)
        if target.ndim == 1:
            target = np.column_stack([target, np.ones(len(target))])
        if len(target) != len(risk):
            raise ValueError(
                f"X has {len(risk)} samples, but y has {len(target)}: one time for "
                "each sample is required."
            )
        return concordance_index(target[:, -2], target[:, -1] > 0, risk, sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags
