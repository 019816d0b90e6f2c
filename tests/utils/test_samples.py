"""The gate that samples and their weights come through."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator

from sparsestat._utils.samples import FLOATS, check_samples, given_weights


def samples(rows=5):
    return np.random.default_rng(0).standard_normal((rows, 3))


def test_features_are_noted_by_the_fit_and_asked_for_later():
    model, X = BaseEstimator(), samples()
    frame = pd.DataFrame(X, columns=list("abc"))
    np.testing.assert_array_equal(check_samples(model, frame), X)
    assert model.n_features_in_ == 3
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names should match"):
        check_samples(model, frame[["a", "b"]], reset=False)


@pytest.mark.parametrize(
    ("given", "kept"), [(np.float32, np.float32), (int, np.float64)]
)
def test_single_precision_stays_and_all_else_is_double(given, kept):
    X = np.arange(6).reshape(2, 3, order="F").astype(given)
    out = check_samples(BaseEstimator(), X, dtype=FLOATS)
    assert out.dtype == kept and out.flags.c_contiguous
    assert check_samples(BaseEstimator(), X).dtype == np.float64


@pytest.mark.parametrize(
    ("factor", "message"),
    [(1j, "Complex data"), (1e80, "overflow"), (1e-80, "vanish"), (np.nan, "NaN")],
)
def test_numbers_that_no_product_survives_are_refused(factor, message):
    for reset in (True, False):
        model = BaseEstimator()
        check_samples(model, samples())
        with pytest.raises(ValueError, match=message):
            check_samples(model, samples() * factor, reset=reset)


def test_sparse_samples_stay_sparse_where_that_is_taken():
    X = sparse.csc_array(samples())
    assert check_samples(BaseEstimator(), X, accept_sparse="csr").format == "csr"
    with pytest.raises(TypeError, match="dense data is required"):
        check_samples(BaseEstimator(), X)


def test_weights_are_none_or_non_negative_doubles():
    X = samples()
    assert given_weights(None, X) is None
    weights = given_weights([0, 1, 2, 3, 4], X)
    assert weights.dtype == np.float64 and weights.sum() == 10
    with pytest.raises(ValueError, match="Negative values"):
        given_weights([0, 1, 2, 3, -4], X)
    with pytest.raises(ValueError, match="shape"):
        given_weights([1, 2], X)
