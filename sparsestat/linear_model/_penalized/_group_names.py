"""Groups of features as users name them: sizes, labels, lists, prefixes of names."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np

from sparsestat.linear_model._penalized._groups import Groups

__all__ = ["make_groups"]

_WAYS = (
    "a size, one label per feature, lists of the features of each group, or 'prefix'"
)


def make_groups(groups, n_features, feature_names=None, *, may_overlap=True):
    """Validate `groups` of an estimator.

    Parameters
    ----------
    groups : int, str, array-like of shape (n_features,) or list of array-like
        A size; "prefix" or "prefix:start"; a hashable label for each feature; or the
        indices or names of the features of each group.
    n_features : int
    feature_names : array-like of str of shape (n_features,), default=None
    may_overlap : bool, default=True
        Whether lists may name a feature twice, which then has a copy for each group.

    Returns
    -------
    groups : Groups
    """
    if isinstance(groups, str):
        made = _from_labels(_stems(groups, feature_names), n_features)
        made.names[:] = [stem for stem, _ in made.names]
        return made
    if isinstance(groups, Integral) and not isinstance(groups, bool | np.bool_):
        if groups < 1:
            raise ValueError(f"An integer `groups` is a size of at least 1: {groups}.")
        labels = np.arange(n_features) // int(groups)
        return Groups(labels, int(labels[-1]) + 1)
    if isinstance(groups, dict) or not np.iterable(groups) or len(groups) == 0:
        raise ValueError(f"`groups` must be {_WAYS}, got {groups!r}.")
    entries = groups.tolist() if isinstance(groups, np.ndarray) else list(groups)
    if any(not isinstance(entry, str) and np.ndim(entry) > 0 for entry in entries):
        return _from_lists(entries, n_features, feature_names, may_overlap)
    return _from_labels(entries, n_features)


def _from_labels(labels, n_features):
    if len(labels) != n_features:
        raise ValueError(
            f"`groups` has {len(labels)} labels, but X has {n_features} features: one "
            "label per feature is required. Features of one group are named by a list "
            "inside the list, e.g. groups=[[0, 1], [2]]."
        )
    for j, label in enumerate(labels):
        if label is None or (isinstance(label, Real) and not np.isfinite(label)):
            raise ValueError(
                f"The label of feature {j} in `groups` is missing ({label!r}). Give a "
                "feature that stands alone a label of its own."
            )
        if isinstance(label, Real) and label != int(label):
            raise ValueError(
                f"The label of feature {j} in `groups` is {label!r}, which looks like "
                "a measurement. Labels are integers, strings or the like."
            )
        try:
            hash(label)
        except TypeError as error:
            raise ValueError(
                f"The label of feature {j} in `groups`, {label!r}, is not hashable. "
                "Labels are integers, strings or the like."
            ) from error
    names = list(dict.fromkeys(labels))
    if all(isinstance(name, Real) for name in names):
        names.sort()
    codes = {name: k for k, name in enumerate(names)}
    kept = np.empty(len(names), dtype=object)
    kept[:] = names
    return Groups(np.array([codes[label] for label in labels]), len(names), names=kept)


def _stems(groups, feature_names):
    """Return the label of each feature that its name stands for, see `GroupLasso`."""
    kind, _, start = groups.partition(":")
    if kind != "prefix":
        raise ValueError(f"`groups` must be {_WAYS}, got {groups!r}.")
    if feature_names is None:
        raise ValueError(
            f"groups={groups!r} goes by the names of the features, but X has none. "
            "Pass a data frame with string column names (set_output(transform='pandas')"
            " of the transformer before), or one label per feature."
        )
    names = [str(name) for name in feature_names]
    labels, stems = [], {}
    for name in names:
        tail = name.rpartition("__")[2]
        cut = tail.rfind("_", 1)
        if cut < 0 or not name.startswith(start):
            labels.append((name, False))  # stands alone
            continue
        stem = name[: len(name) - len(tail) + cut]
        stems.setdefault(stem, name)
        labels.append((stem, True))  # apart from a feature called like the stem
    if start and not any(name.startswith(start) for name in names):
        raise ValueError(
            f"groups={groups!r}: no feature has a name that starts with {start!r}. The "
            f"first names are {names[:5]}."
        )
    for stem, name in stems.items():
        for at in range(len(stem)):
            if stem[at] == "_" and stem[:at] in stems:
                raise ValueError(
                    f"groups={groups!r} cannot tell whether {name!r} belongs to "
                    f"{stem[:at]!r} (as {stems[stem[:at]]!r} does) or to {stem!r}: a "
                    "category or a feature has an underscore in its name. Pass one "
                    "label per feature."
                )
    return labels


def _from_lists(groups, n_features, feature_names, may_overlap):
    places = None
    expected = f"Pass lists of indices that hold each of range({n_features})"
    if feature_names is not None:
        places = {str(name): j for j, name in enumerate(feature_names)}
        expected += ", or of column names"
    expected += "."
    labels = np.full(n_features, -1)
    further, owners = [], []
    for k, group in enumerate(groups):
        index = _indices(k, group, n_features, places, expected)
        seen, count = np.unique(index, return_counts=True)
        twice = seen[count > 1]
        if twice.size:
            raise ValueError(
                f"Features {twice[:10].tolist()} occur more than once in group {k}. "
                + expected
            )
        taken = index[labels[index] >= 0]
        if taken.size and not may_overlap:
            raise ValueError(
                "`groups` must not overlap here, but features "
                f"{np.sort(taken)[:10].tolist()} occur more than once. " + expected
            )
        further.extend(taken.tolist())
        owners.extend([k] * len(taken))
        labels[index[labels[index] < 0]] = k
    missing = np.flatnonzero(labels < 0)
    if missing.size:
        what = f"features {missing[:10].tolist()}"
        if feature_names is not None:
            what += f" ({[str(feature_names[j]) for j in missing[:10]]})"
        raise ValueError(
            f"`groups` must hold each of the {n_features} features, but {what} are "
            "missing. " + expected
        )
    if not further:
        return Groups(labels, len(groups))
    copies = np.concatenate([np.arange(n_features), further])
    labels = np.concatenate([labels, owners])
    return Groups(labels, len(groups), copies=copies)


def _indices(k, group, n_features, places, expected):
    """Return the features of group k, given by indices or by names."""
    entries = [] if isinstance(group, str) else np.ravel(np.asarray(group, object))
    is_flat = not isinstance(group, str) and np.ndim(np.asarray(group, object)) == 1
    if not is_flat or len(entries) == 0:
        raise ValueError(
            f"Group {k} must be a list of features, got {group!r}. " + expected
        )
    index = np.empty(len(entries), dtype=np.intp)
    for at, entry in enumerate(entries):
        if isinstance(entry, str):
            if places is None:
                raise ValueError(
                    f"Group {k} names the feature {entry!r}, but X has no column "
                    "names. Pass a data frame with string column names, or indices."
                )
            if entry not in places:
                raise ValueError(
                    f"Group {k} names the feature {entry!r}, which X does not have. "
                    f"Its first names are {list(places)[:10]}."
                )
            index[at] = places[entry]
        elif isinstance(entry, Integral) and not isinstance(entry, bool | np.bool_):
            index[at] = entry
        else:
            raise ValueError(
                f"Group {k} holds {entry!r}, which is neither an index nor a name. "
                + expected
            )
    if index.min() < 0 or index.max() >= n_features:
        raise ValueError(
            f"Group {k} has indices from {index.min()} to {index.max()}, but X has "
            f"{n_features} features. " + expected
        )
    return index
