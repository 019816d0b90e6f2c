"""Iterative estimators keep `history_`, and the convergence display draws it."""

import warnings

import numpy as np
import pytest

from sparsestat.bayes import InverseFreeSBL, SBLClassifier
from sparsestat.cluster import BalancedKMeans, LaplacianKMeans
from sparsestat.decomposition import (
    BinarySparseCoding,
    OrthogonalDictionary,
    RobustPCA,
    SemiNMF,
)
from sparsestat.gaussian_process import (
    DistributedGridSpectralMixtureRegressor,
    GridSpectralMixtureRegressor,
    SparseGPRegressor,
)
from sparsestat.plotting import ConvergenceDisplay
from tests.test_common import public_estimators
from tests.test_hostile_input import data_of, estimator_of


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg", force=True)
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def keeps_a_history(cls):
    """Whether a class says that it iterates, and is not one of those below."""
    return "n_iter_ : int" in (cls.__doc__ or "") and cls.__name__ not in NO_HISTORY


# What iterates without a measure of its own at each step, and why.
NO_HISTORY = {
    "BestSubsetClassifier": "a search over supports",
    "BestSubsetCoxRegressor": "likewise",
    "BestSubsetPoissonRegressor": "likewise",
    "BestSubsetRegressor": "likewise",
    "DoublyStochasticAffinity": "the solvers of transport report where they end",
    "DoublyStochasticClustering": "likewise",
    "DomainAdaptationClassifier": "likewise",
    "LDPSparseRegressor": "rounds of a protocol that must not be seen",
    "OnlineOrthogonalDictionary": "passes over batches; no objective of all rows",
    "OptimalTransport": "the solvers of transport report where they end",
    "ProbabilisticPartitivePartitioning": "the EM of scikit-learn's mixture",
    "SDPKMeans": "a search over several solvers",
    "ScaledLasso": "its solver restarts from the other scale",
    "StabilitySelection": "fits on halves",
}


@pytest.mark.parametrize(
    "cls",
    [c for c in public_estimators() if keeps_a_history(c)],
    ids=lambda c: c.__name__,
)
def test_convergence_display_takes_every_iterative_estimator(pyplot, cls):
    model = estimator_of(cls)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(**data_of(model))
    name = next(n for n in ("history_", *OLD_HISTORIES) if hasattr(model, n))
    history = np.asarray(getattr(model, name))
    assert history.ndim == 1 and np.isfinite(history).all()
    if not len(history):
        with pytest.raises(ValueError, match="solved without iterations"):
            ConvergenceDisplay.from_estimator(model)
        return
    display = ConvergenceDisplay.from_estimator(model)
    shown = display.lines_[0].get_ydata()
    assert len(shown) and np.isfinite(shown).all()


# Where `history_` still has its old name.
OLD_HISTORIES = ("gap_history_", "residual_history_")


@pytest.mark.parametrize(
    ("cls", "old", "new"),
    [
        (SemiNMF, "objective_history_", "history_"),
        (OrthogonalDictionary, "objective_history_", "history_"),
        (RobustPCA, "gap_history_", "history_"),
        (BinarySparseCoding, "log_likelihoods_", "history_"),
        (BalancedKMeans, "inertia_history_", "history_"),
        (LaplacianKMeans, "energy_history_", "history_"),
        (SBLClassifier, "scores_", "history_"),
        (SparseGPRegressor, "objective_history_", "history_"),
        (GridSpectralMixtureRegressor, "objective_path_", "history_"),
        (DistributedGridSpectralMixtureRegressor, "objective_path_", "history_"),
        (DistributedGridSpectralMixtureRegressor, "bits_path_", "bits_history_"),
    ],
)
def test_old_names_of_histories_warn(cls, old, new):
    model = estimator_of(cls)
    assert not hasattr(model, old)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(**data_of(model))
    with pytest.warns(FutureWarning, match=f"`{old}` is called `{new}`"):
        values = getattr(model, old)
    np.testing.assert_array_equal(values, getattr(model, new))


def test_convergence_display_of_objectives_shows_distances(pyplot):
    X = np.random.default_rng(0).standard_normal((40, 5))
    models = {
        "semi": SemiNMF(2, random_state=0).fit(X),
        "orthogonal": OrthogonalDictionary(random_state=0).fit(X),
        "classes": SBLClassifier().fit(X, X[:, 0] + 0.5 * X[:, 1] ** 2 > 0),
    }
    display = ConvergenceDisplay.from_estimator(models)
    assert display.ylabel == "distance to the last value, relative"
    h = models["semi"].history_
    np.testing.assert_allclose(
        display.lines_[0].get_ydata(),
        np.abs(h[:-1] - h[-1]) / np.abs(h[:-1] - h[-1]).max(),
    )
    assert len(display.lines_) == 3 and display.tol_line_ is None


def test_convergence_display_of_a_measure_shows_its_tolerance(pyplot):
    X = np.random.default_rng(0).standard_normal((40, 5))
    model = InverseFreeSBL(random_state=0).fit(X, X[:, 0])
    display = ConvergenceDisplay.from_estimator(model)
    assert display.ylabel == "last change, relative" and display.tol == model.tol
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), model.history_)
