"""Plain arrays skip the general check: they leave what it leaves, bad ones do not."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

import sparsestat.linear_model as ssl
from sparsestat._utils.validation import is_plain

MODELS = [
    (ssl.Lasso(0.1), "real"),
    (ssl.SparseLogisticRegression(alpha=0.05), "class"),
    (ssl.SparsePoissonRegressor(alpha=0.05), "count"),
]


def data(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    real = X[:, 0] + 0.3 * rng.standard_normal(60)
    return X, {"real": real, "class": real > 0, "count": rng.poisson(2.0, 60)}[kind]


def test_what_is_plain():
    X, y = data("real")
    assert is_plain(X, y) and is_plain(X, y > 0) and is_plain(X, y.astype(int))
    others = [
        (X.astype(np.float32), y), (X, y.astype(np.float32)), (X.tolist(), y),
        (X, y.tolist()), (X, y[:, None]), (X[:-1], y), (X[:, :0], y), (X[0], y),
        (X, y.astype(object)), (np.ma.array(X), y), (X, y + 0j), (X.astype(">f8"), y),
        (X, y.astype(int).astype(">i8")),
    ]  # fmt: skip
    for X_, y_ in others:
        assert not is_plain(X_, y_)
    for bad in (np.nan, np.inf, -np.inf):
        wrong, off = X.copy(), y.copy()
        wrong[3, 1] = off[2] = bad
        assert not is_plain(wrong, y) and not is_plain(X, off)
    huge = np.full((60, 3), 1e307)  # whose sum overflows: left to the general check
    assert not is_plain(huge, y)


@pytest.mark.parametrize(("model", "kind"), MODELS)
def test_plain_arrays_leave_what_others_leave(model, kind):
    X, y = data(kind)
    before = X.copy(), y.copy()
    framed = model.fit(pd.DataFrame(X, columns=list("abc")), pd.Series(y))
    coef = framed.coef_
    assert_array_equal(framed.feature_names_in_, list("abc"))
    plain = model.fit(X, y)  # names of an earlier fit do not stay
    assert not hasattr(plain, "feature_names_in_") and plain.n_features_in_ == 3
    assert_array_equal(plain.coef_, coef)
    assert_array_equal(X, before[0])
    assert_array_equal(y, before[1])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 1, np.nan, X), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, y[:-1])


def test_targets_of_classifiers_are_still_looked_at():
    X, y = data("real")
    model = ssl.SparseLogisticRegression(alpha=0.05)
    with pytest.raises(ValueError, match="continuous"):
        model.fit(X, y)
    with pytest.raises(ValueError, match="1 class"):
        model.fit(X, np.ones(60, dtype=int))
    with pytest.warns(UserWarning, match="greater than 50%"):
        model.fit(X, np.arange(60) % 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = model.fit(X, np.where(y > 0, 7, -2)).classes_
    assert_array_equal(labels, [-2, 7])
