"""Misspelled parameters are answered in the name of what was called."""

import pickle

import pytest
from sklearn.base import clone

from sparsestat._utils.names import suggestion
from sparsestat.cluster import SDPKMeans
from sparsestat.decomposition import (
    BinarySparseCoding,
    TernarySparseCoding,
    low_rank_plus_sparse,
)
from sparsestat.linear_model import Lasso, LassoCV


@pytest.mark.parametrize(
    "cls, wrong, right",
    [
        (BinarySparseCoding, "n_component", "n_components"),
        (TernarySparseCoding, "max_itr", "max_iter"),
        (Lasso, "alphas_", "alpha"),
        (LassoCV, "n_job", "n_jobs"),
        (SDPKMeans, "n_cluster", "n_clusters"),
    ],
)
def test_a_close_name_is_suggested(cls, wrong, right):
    with pytest.raises(TypeError, match=f"^{cls.__name__}: .*{wrong}.*'{right}'"):
        cls(**{wrong: 1})
    with pytest.raises(ValueError, match=f"{wrong}.*Did you mean '{right}'"):
        clone(cls()).set_params(**{wrong: 1})


def test_functions_suggest_too():
    with pytest.raises(TypeError, match=r"low_rank_plus_sparse\(\): .*'max_iter'"):
        low_rank_plus_sparse([[1.0]], 1, 1, max_itr=3)


def test_what_is_far_from_every_name_is_not_guessed():
    assert suggestion("quite_different", ["alpha", "tol"]) == ""
    with pytest.raises(TypeError, match="unexpected keyword") as caught:
        Lasso(quite_different=1)
    assert "Did you mean" not in str(caught.value)
    with pytest.raises(TypeError, match=r"^Lasso: too many positional arguments"):
        Lasso(1.0, 2.0)


def test_classes_copy_and_pickle_as_before():
    model = pickle.loads(pickle.dumps(clone(Lasso(0.3, tol=1e-3))))
    assert model.alpha == 0.3 and model.tol == 1e-3


def test_names_inside_are_suggested_too():
    from sparsestat.multiclass import FrechetMeanClassifier

    model = FrechetMeanClassifier(Lasso())
    with pytest.raises(ValueError, match="alphaa"):
        model.set_params(estimator__alphaa=1)
