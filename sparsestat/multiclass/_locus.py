r"""Which labels a Frechet mean can predict, and which to observe next.

A label y is in the locus of the observed labels K if some probabilities P make it a
minimizer of :math:`\sum_k P_k d(z, k)^2`. That is a linear program for each label.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np
from scipy.optimize import linprog

from sparsestat.exceptions import NumericalError
from sparsestat.multiclass._metrics import checked_distances

__all__ = ["locus", "next_label"]

_TIE = 1e-9  # margin, relative to the largest term, that counts as a tie


def locus(distances, observed, *, power=2.0):
    r"""Return the labels that some probabilities of the observed labels predict.

    Label y is in the locus if there are probabilities P on the observed labels with
    :math:`\sum_k P_k d(y, k)^2 \le \sum_k P_k d(z, k)^2` for all labels z. Each label
    takes one linear program, with a variable for each observed label and a constraint
    for each label: use it for some hundreds of labels. In a tree the locus is the union
    of the paths between observed labels [1]_.

    Parameters
    ----------
    distances : array-like of shape (n_labels, n_labels)
        A metric on the labels.
    observed : array-like of int or bool
        Numbers of the observed labels, or a mask of shape (n_labels,).
    power : float, default=2.0
        Power of the distances.

    Returns
    -------
    labels : ndarray of int
        Numbers of the labels in the locus, rising; the observed ones are among them.

    Raises
    ------
    ValueError
        If `distances` is no matrix of distances, or `observed` holds no labels.

    Warns
    -----
    UserWarning
        If the distances break the triangle inequality.

    See Also
    --------
    next_label : The label that is farthest from the locus.
    FrechetMeanClassifier : Predict labels that were never observed.

    References
    ----------
    .. [1] N. Roberts, X. Li, D. Adila, S. Cromp, T.-H. Huang, J. Zhao, F. Sala,
       "Geometry-aware adaptation for pretrained models", NeurIPS, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.multiclass import locus
    >>> path = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
    >>> locus(path, [1, 4])
    array([1, 2, 3, 4])
    """
    D, observed = _checked(distances, observed, power)
    return _locus(D, observed, power)


def next_label(distances, observed, *, power=2.0):
    """Return the label that is farthest from the locus of the observed ones.

    The rule of [1]_ for choosing what to observe next: labels near the locus can be
    approximated by what a classifier on the observed labels predicts already.

    Parameters
    ----------
    distances : array-like of shape (n_labels, n_labels)
        A metric on the labels.
    observed : array-like of int or bool
        Numbers of the observed labels, or a mask of shape (n_labels,).
    power : float, default=2.0
        Power of the distances.

    Returns
    -------
    label : int or None
        The label with the largest distance from its nearest label in the locus, the
        lowest of equal ones. None if no label is away from the locus.

    Raises
    ------
    ValueError
        If `distances` is no matrix of distances, or `observed` holds no labels.

    Warns
    -----
    UserWarning
        If the distances break the triangle inequality.

    See Also
    --------
    locus : The labels that can be predicted.

    References
    ----------
    .. [1] N. Roberts, X. Li, D. Adila, S. Cromp, T.-H. Huang, J. Zhao, F. Sala,
       "Geometry-aware adaptation for pretrained models", NeurIPS, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.multiclass import next_label
    >>> path = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
    >>> next_label(path, [0, 2])
    5
    """
    D, observed = _checked(distances, observed, power)
    away = D[:, _locus(D, observed, power)].min(axis=1)
    farthest = int(away.argmax())
    return farthest if away[farthest] > 0 else None


def _checked(distances, observed, power):
    if isinstance(power, bool) or not isinstance(power, Real) or not 0 < power < np.inf:
        raise ValueError(f"power must be a positive number, got {power!r}.")
    D = checked_distances(distances)
    n = len(D)
    observed = np.asarray(observed)
    if observed.dtype == bool and observed.shape == (n,):
        observed = np.flatnonzero(observed)
    if observed.ndim != 1 or observed.dtype.kind not in "iu" or not len(observed):
        raise ValueError(
            "observed must hold the numbers of some labels, or be a mask of shape "
            f"({n},) with a true entry, got {observed.dtype} of shape {observed.shape}."
        )
    if observed.min() < 0 or observed.max() >= n:
        raise ValueError(
            f"observed must be from 0 to {n - 1}, got values from {observed.min()} to "
            f"{observed.max()}."
        )
    return D, np.unique(observed)


def _locus(D, observed, power):
    n = len(D)
    cost = (D[observed] / max(D.max(), np.finfo(float).tiny)) ** power
    inside = np.zeros(n, dtype=bool)
    inside[observed] = True  # all the probability on itself
    # Variables are the probabilities and the margin t, which is largest.
    objective = np.append(np.zeros(len(observed)), -1.0)
    total = np.append(np.ones(len(observed)), 0.0)[None]
    bounds = [(0, None)] * len(observed) + [(-1, 1)]
    for y in np.flatnonzero(~inside):
        others = np.delete(np.arange(n), y)
        gain = np.column_stack([(cost[:, [y]] - cost[:, others]).T, np.ones(n - 1)])
        found = linprog(
            objective,
            A_ub=gain,
            b_ub=np.zeros(n - 1),
            A_eq=total,
            b_eq=[1.0],
            bounds=bounds,
            method="highs",
        )
        if found.status != 0:
            raise NumericalError(
                f"The linear program of label {y} was not solved: {found.message} "
                "Rescale the distances."
            )
        inside[y] = -found.fun >= -_TIE
    return np.flatnonzero(inside)
