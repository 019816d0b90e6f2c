"""What every method of the room says of too few samples, constants and copies."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from sparsestat.inference import (
    DebiasedLasso,
    KnockoffSelector,
    LassoSelectiveInference,
    ScaledLasso,
    StabilitySelection,
)

MODELS = {
    "StabilitySelection": StabilitySelection(random_state=0, n_pairs=5),
    "KnockoffSelector": KnockoffSelector(random_state=0),
    "fixed": KnockoffSelector(construction="fixed", random_state=0),
    "ScaledLasso": ScaledLasso(),
    "DebiasedLasso": DebiasedLasso(),
    "least squares": DebiasedLasso(nodewise_factor=0),
    "LassoSelectiveInference": LassoSelectiveInference(0.2, sigma=1.0),
}
# The selectors warn that nothing can be selected among so few features.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def fitted(name, change):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((40, 5))
    y = 2 * X[:, 0] + rng.standard_normal(40)
    return clone(MODELS[name]).fit(*change(X, y))


def effects(model):
    for name in ("selection_probabilities_", "W_", "coef_"):
        if hasattr(model, name):
            return getattr(model, name)
    raise AssertionError


@pytest.mark.parametrize("name", MODELS)
def test_fewer_than_eight_samples_are_refused(name):
    with pytest.raises(ValueError, match=r"needs at least 8 samples.*n_samples = 7"):
        fitted(name, lambda X, y: (X[:7], y[:7]))


@pytest.mark.parametrize("name", MODELS)
def test_a_table_of_constants_has_no_effects(name):
    def change(X, y):
        return np.ones_like(X), y

    if name in ("ScaledLasso", "LassoSelectiveInference"):
        assert not fitted(name, change).coef_.any()
        return
    with pytest.raises(ValueError, match="every column of X is constant"):
        fitted(name, change)


@pytest.mark.parametrize("name", MODELS)
def test_a_constant_column_has_no_effect_and_changes_none(name):
    found = effects(fitted(name, lambda X, y: (np.column_stack([X, y * 0 + 1]), y)))
    plain = effects(fitted(name, lambda X, y: (X, y)))
    assert found[5] == 0.0 and np.all(np.isfinite(found))
    np.testing.assert_allclose(found[:5], plain, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_one_feature_is_enough_where_a_bound_exists(name):
    if name == "StabilitySelection":
        # One of one feature is bounded by 2, above the promised 1.
        with pytest.raises(ValueError, match="No q keeps the bound below pfer"):
            fitted(name, lambda X, y: (X[:, :1], y))
        return
    model = fitted(name, lambda X, y: (X[:, :1], y))
    assert effects(model).shape == (1,) and effects(model)[0] > 1.0


@pytest.mark.parametrize("factor", [1.0, -3.0])
@pytest.mark.parametrize(
    "name", ["KnockoffSelector", "fixed", "DebiasedLasso", "least squares"]
)
def test_columns_of_correlation_one_are_named(name, factor):
    with pytest.raises(ValueError, match="x0, x5 have correlation one"):
        fitted(name, lambda X, y: (np.column_stack([X, factor * X[:, 0]]), y))


def test_a_longer_copy_is_what_the_lasso_selects():
    # The shorter one lies strictly inside its bound: the selection is decided.
    model = fitted(
        "LassoSelectiveInference",
        lambda X, y: (np.column_stack([X, -3.0 * X[:, 0]]), y),
    )
    np.testing.assert_array_equal(model.features_, [5])
    plain = fitted("LassoSelectiveInference", lambda X, y: (-3.0 * X[:, :1], y))
    np.testing.assert_allclose(model.conf_int_, plain.conf_int_, rtol=1e-6)


@pytest.mark.parametrize("name", ["StabilitySelection", "KnockoffSelector", "fixed"])
def test_a_constant_target_selects_nothing(name):
    model = fitted(name, lambda X, y: (X, np.ones_like(y)))
    assert not effects(model).any() and not model.get_support().any()


@pytest.mark.parametrize("name", ["DebiasedLasso", "least squares"])
def test_a_constant_target_has_no_intervals(name):
    with pytest.raises(ValueError, match="y is constant"):
        fitted(name, lambda X, y: (X, np.ones_like(y)))


@pytest.mark.parametrize("to", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("factor", [1.0, -3.0])
def test_copies_are_named_where_the_lasso_cannot_choose(to, factor):
    r = np.random.default_rng(0)
    X = r.normal(size=(20, 3))
    y = X[:, 1] + 0.1 * r.normal(size=20)
    X = to(np.column_stack([X, factor * X[:, 1]]))
    weights = [1.0, 1.0, 1.0, abs(factor)]
    with pytest.raises(ValueError, match=r"x3.*cannot be told apart. Remove"):
        LassoSelectiveInference(0.05, feature_weights=weights).fit(X, y)
