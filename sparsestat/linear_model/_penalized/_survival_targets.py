"""Survival times and strata as users have them, and how well risks order times."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils.validation import column_or_1d

from sparsestat._utils.validation import read_only, refuse_complex
from sparsestat.linear_model._penalized import _kernels_glm as kernels

__all__ = [
    "concordance_index",
    "stratum_numbers",
    "survival_target",
    "with_events",
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


def with_events(target):
    """Return the columns [entry,] time and event; of times alone all were seen."""
    target = np.asarray(target, dtype=np.float64)
    if target.ndim < 2 or target.shape[1] == 1:
        target = np.column_stack([target.reshape(-1), np.ones(len(target))])
    return target


def stratum_numbers(strata, known, n_samples):
    """Return the positions of the strata of new samples among the known ones.

    Parameters
    ----------
    strata : array-like of shape (n_samples,) or None
    known : ndarray of shape (n_strata,)
        Those that were fitted, in order.
    n_samples : int

    Returns
    -------
    numbers : ndarray of int of shape (n_samples,)
    """
    if strata is None:
        raise ValueError(
            "This model was fitted with `strata`, each with a baseline hazard of its "
            "own: pass those of the samples."
        )
    strata = column_or_1d(strata)
    if len(strata) != n_samples:
        raise ValueError(
            f"`strata` has {len(strata)} entries, but X has {n_samples} samples."
        )
    unknown = np.setdiff1d(strata, known)
    if len(unknown):
        raise ValueError(
            f"`strata` holds {unknown.tolist()[0]!r}, which was not there in `fit`: "
            "its baseline hazard is not known."
        )
    return np.searchsorted(known, strata)


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
