"""Real tables that ship with scikit-learn, expanded into all interactions."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils import Bunch

from sparsestat._utils.compat import Interval, validate_params

__all__ = [
    "as_dataset",
    "load_breast_cancer_interactions",
    "load_diabetes_interactions",
    "load_wine_interactions",
]

_CONSTRAINTS = {
    "degree": [Interval(Integral, 1, 6, closed="both")],
    "standardize": ["boolean"],
    "return_X_y": ["boolean"],
    "as_frame": ["boolean"],
}


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def load_diabetes_interactions(
    *, degree=3, standardize=False, return_X_y=False, as_frame=False
):
    """Load the diabetes data with all interactions up to a degree (regression).

    442 patients, ten baseline measurements, and a measure of how far the disease
    progressed one year later. All products of the measurements up to `degree` make
    it a wide problem: 274 columns at degree 3, 934 at degree 4.

    Parameters
    ----------
    degree : int, default=3
        Largest degree of the products, from 1 to 6.
    standardize : bool, default=False
        Give every column mean 0 and standard deviation 1. Left to a
        ``StandardScaler`` in a pipeline by default, so that cross-validation does
        not see the test rows.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Return a pandas DataFrame and Series.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        data : {ndarray, DataFrame} of shape (442, n_features)
            The columns, in Fortran order.
        target : {ndarray, Series} of shape (442,)
            Disease progression after one year.
        feature_names : list of str
            Names such as ``"bmi"``, ``"bmi^2"`` and ``"age sex"``.
        frame : DataFrame of shape (442, n_features + 1) or None
            Only with ``as_frame=True``.
        DESCR : str
            What the data are and how the columns were made.
    (data, target) : tuple if ``return_X_y=True``
        The two arrays or frames.

    See Also
    --------
    load_wine_interactions : A smaller classification table.
    sklearn.datasets.load_diabetes : The ten original columns.

    Notes
    -----
    The original columns are brought to mean 0 and standard deviation 1 before they
    are multiplied (products of raw units would be nearly collinear), and columns
    with two values are coded 0 and 1. Constant columns and columns equal to
    another one up to scale and shift are dropped: the square of a 0/1 column is
    the column itself.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> diabetes = load_diabetes_interactions()
    >>> diabetes.data.shape
    (442, 274)
    >>> diabetes.feature_names[2], diabetes.feature_names[10]
    ('bmi', 'age^2')
    """
    from sklearn.datasets import load_diabetes

    return _interactions(
        load_diabetes(scaled=False),
        "diabetes",
        "progression",
        degree=degree,
        standardize=standardize,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def load_breast_cancer_interactions(
    *, degree=2, standardize=False, return_X_y=False, as_frame=False
):
    """Load the breast cancer data with all interactions (two classes).

    569 tumours, 30 measurements of cell nuclei, malignant (0) or benign (1). All
    products of two make 495 columns, many of them highly correlated.

    Parameters
    ----------
    degree : int, default=2
        Largest degree of the products, from 1 to 6.
    standardize : bool, default=False
        Give every column mean 0 and standard deviation 1. Left to a
        ``StandardScaler`` in a pipeline by default.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Return a pandas DataFrame and Series.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        data : {ndarray, DataFrame} of shape (569, n_features)
            The columns, in Fortran order.
        target : {ndarray, Series} of shape (569,)
            0 for malignant, 1 for benign.
        feature_names : list of str
            Names of the products, original names joined by a blank.
        target_names : ndarray of shape (2,)
            Names of the classes.
        frame : DataFrame of shape (569, n_features + 1) or None
            Only with ``as_frame=True``.
        DESCR : str
            What the data are and how the columns were made.
    (data, target) : tuple if ``return_X_y=True``
        The two arrays or frames.

    See Also
    --------
    load_diabetes_interactions : A regression problem made in the same way.
    sklearn.datasets.load_breast_cancer : The 30 original columns.

    Notes
    -----
    Made as described in :func:`load_diabetes_interactions`.

    Examples
    --------
    >>> from sparsestat.datasets import load_breast_cancer_interactions
    >>> load_breast_cancer_interactions().data.shape
    (569, 495)
    """
    from sklearn.datasets import load_breast_cancer

    return _interactions(
        load_breast_cancer(),
        "breast cancer",
        "diagnosis",
        degree=degree,
        standardize=standardize,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def load_wine_interactions(
    *, degree=3, standardize=False, return_X_y=False, as_frame=False
):
    """Load the wine data with all interactions up to a degree (three classes).

    178 wines of three cultivars and 13 chemical measurements. All products up to
    degree 3 make 559 columns: more than three times the number of rows.

    Parameters
    ----------
    degree : int, default=3
        Largest degree of the products, from 1 to 6.
    standardize : bool, default=False
        Give every column mean 0 and standard deviation 1. Left to a
        ``StandardScaler`` in a pipeline by default.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Return a pandas DataFrame and Series.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        data : {ndarray, DataFrame} of shape (178, n_features)
            The columns, in Fortran order.
        target : {ndarray, Series} of shape (178,)
            Cultivar, 0 to 2.
        feature_names : list of str
            Names of the products, original names joined by a blank.
        target_names : ndarray of shape (3,)
            Names of the classes.
        frame : DataFrame of shape (178, n_features + 1) or None
            Only with ``as_frame=True``.
        DESCR : str
            What the data are and how the columns were made.
    (data, target) : tuple if ``return_X_y=True``
        The two arrays or frames.

    See Also
    --------
    load_diabetes_interactions : A regression problem made in the same way.
    sklearn.datasets.load_wine : The 13 original columns.

    Notes
    -----
    Made as described in :func:`load_diabetes_interactions`.

    Examples
    --------
    >>> from sparsestat.datasets import load_wine_interactions
    >>> load_wine_interactions().data.shape
    (178, 559)
    """
    from sklearn.datasets import load_wine

    return _interactions(
        load_wine(),
        "wine",
        "cultivar",
        degree=degree,
        standardize=standardize,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


def _interactions(
    source, title, target_name, *, degree, standardize, return_X_y, as_frame
):
    base = np.array(source.data, dtype=np.float64)
    for j in range(base.shape[1]):
        levels = np.unique(base[:, j])
        if len(levels) == 2:
            base[:, j] = base[:, j] == levels[1]
        else:
            base[:, j] = (base[:, j] - base[:, j].mean()) / base[:, j].std()
    expansion = PolynomialFeatures(degree, include_bias=False, order="F")
    data = expansion.fit_transform(base)
    names = expansion.get_feature_names_out(list(source.feature_names))
    keep, standardized = _distinct_columns(data)
    dropped = data.shape[1] - len(keep)
    data = (standardized if standardize else data)[:, keep]
    names = [str(name) for name in names[keep]]
    scaling = (
        "Every column then has mean 0 and standard deviation 1."
        if standardize
        else "The products are not scaled again."
    )
    description = (
        f"{title.capitalize()} data with interactions\n\n"
        f"The {base.shape[1]} original columns, at mean 0 and standard deviation 1 "
        f"(columns with two values: coded 0 and 1), and all their products up to "
        f"degree {degree}: {len(names)} columns, after {dropped} constant or "
        f"duplicate ones were dropped. {scaling}\n\n"
        f"The original data set:\n\n{source.DESCR}"
    )
    extra = {"target_names": source.target_names} if "target_names" in source else {}
    return as_dataset(
        np.asfortranarray(data),
        np.asarray(source.target),
        names,
        target_name,
        description,
        return_X_y=return_X_y,
        as_frame=as_frame,
        **extra,
    )


def _distinct_columns(X):
    """Return the first of each set of columns equal up to scale and shift."""
    X = X - X.mean(axis=0)
    scale = X.std(axis=0)
    varying = scale > 1e-12 * (1.0 + np.abs(X).max(axis=0))
    X[:, varying] /= scale[varying]
    # Duplicates have equal images under a fixed random projection, up to sign;
    # only columns with nearly equal images are compared in full.
    probe = np.random.RandomState(0).standard_normal(X.shape[0])
    image = np.abs(probe @ X)
    keep = []
    for j in np.flatnonzero(varying):
        near = [i for i in keep if abs(image[i] - image[j]) < 1e-8 * (1 + image[j])]
        same = any(abs(X[:, i] @ X[:, j]) > (1 - 1e-12) * X.shape[0] for i in near)
        if not same:
            keep.append(j)
    return np.array(keep, dtype=np.intp), X


def as_dataset(
    data,
    target,
    feature_names,
    target_name,
    description,
    *,
    return_X_y,
    as_frame,
    **extra,
):
    """Return a Bunch, or a pair, of arrays or pandas objects."""
    frame = None
    if as_frame:
        import pandas as pd

        if isinstance(target_name, str):
            target = pd.Series(target, name=target_name)
        else:
            target = pd.DataFrame(target, columns=list(target_name))
        data = pd.DataFrame(data, columns=feature_names)
        frame = pd.concat([data, target], axis=1)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=feature_names,
        DESCR=description,
        **extra,
    )
