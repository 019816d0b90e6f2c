"""Grids that end where nothing more is explained, against deviances by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import mean_tweedie_deviance

import sparsestat.linear_model as ssl
from sparsestat import row_blocks


def cox_loss(y, eta):
    """Negative log partial likelihood of times that are all different."""
    times, events = y[:, 0], y[:, 1] > 0
    return sum(
        np.log(np.exp(eta[times >= t]).sum()) - own
        for t, own in zip(times[events], eta[events], strict=True)
    )


def huber_loss(y, eta):
    size = np.abs(y - eta)
    return np.where(size < 1.0, 0.5 * size**2, size - 0.5).mean()


def tweedie_loss(power):
    return lambda y, eta: mean_tweedie_deviance(y, np.exp(eta), power=power)


def target(name, X, rng):
    eta = 0.8 * X[:, 0] - 0.5 * X[:, 1]
    if name == "SparsePoissonRegressorCV":
        return rng.poisson(np.exp(eta)).astype(float), tweedie_loss(1)
    if name == "SparseGammaRegressorCV":
        return np.exp(eta) * rng.gamma(5.0, 0.2, len(eta)), tweedie_loss(2)
    if name == "SparseTweedieRegressorCV":
        return rng.poisson(np.exp(eta)) * rng.gamma(3.0, 1.0), tweedie_loss(1.5)
    if name == "SparseHuberRegressorCV":
        return 5.0 + eta + rng.standard_t(3, len(eta)), huber_loss
    if name == "SparseCoxRegressorCV":
        times = rng.exponential(np.exp(-eta))
        return np.column_stack([times, rng.random(len(eta)) < 0.8]), cox_loss
    return eta + 0.3 * rng.standard_normal(len(eta)), lambda y, f: np.mean((y - f) ** 2)


NAMES = [
    "SparsePoissonRegressorCV",
    "SparseGammaRegressorCV",
    "SparseTweedieRegressorCV",
    "SparseHuberRegressorCV",
    "SparseCoxRegressorCV",
    "GroupLassoCV",
    "PenalizedRegressorCV",
]


class HalfSquares:
    """Half the squared error, as users would write it."""

    curvature = 1.0

    def losses(self, y, eta):
        return 0.5 * (y - eta) ** 2

    def slopes(self, y, eta):
        return eta - y


class Absolute:
    """The Lasso's penalty, as users would write it."""

    def value(self, w):
        return np.abs(w).sum()

    def prox(self, z, strength):
        return np.sign(z) * np.maximum(np.abs(z) - strength, 0.0)


@pytest.mark.parametrize("option", ["datafit", "penalty"])
def test_objects_end_the_grid_as_names_do(option):
    rng = np.random.default_rng(17)
    X = rng.standard_normal((90, 5))
    y, _ = target("Lasso", X, rng)
    options = {"alphas": 40, "eps": 1e-4, "cv": 3, "tol": 1e-8, "stop_explained": True}
    named = ssl.PenalizedRegressorCV(**options).fit(X, y)
    given = (
        {"datafit": HalfSquares()} if option == "datafit" else {"penalty": Absolute()}
    )
    model = ssl.PenalizedRegressorCV(**given, **options).fit(X, y)
    assert 5 < len(model.alphas_) < 40
    assert_allclose(model.alphas_, named.alphas_, rtol=1e-6)


@pytest.mark.parametrize("shift", [0.2, 1000.0])
def test_losses_below_zero_have_no_share_to_explain(shift):
    class Shifted(HalfSquares):
        def losses(self, y, eta):
            return super().losses(y, eta) - shift

    rng = np.random.default_rng(18)
    X = rng.standard_normal((60, 3))
    y, _ = target("Lasso", X, rng)
    model = ssl.PenalizedRegressorCV(Shifted(), alphas=30, stop_explained=True)
    with pytest.raises(ValueError, match="least possible loss as zero"):
        model.fit(X, y)


@pytest.mark.parametrize("name", NAMES)
def test_the_grid_ends_by_the_share_of_the_deviance(name):
    rng = np.random.default_rng(15)
    X = rng.standard_normal((90, 5))
    y, loss = target(name, X, rng)
    options = {"alphas": 60, "eps": 1e-4, "cv": 3, "tol": 1e-7}
    if name == "GroupLassoCV":
        options["groups"] = [[0, 1, 2], [3, 4]]
    if name == "SparseHuberRegressorCV":
        options["delta"] = 1.0
    model = getattr(ssl, name)
    whole = model(**options).fit(X, y)
    short = model(stop_explained=True, **options).fit(X, y)
    intercepts = np.broadcast_to(whole.intercept_path_, 60)
    losses = np.array(
        [
            loss(y, X @ w + b)
            for w, b in zip(whole.coef_path_.T, intercepts, strict=True)
        ]
    )
    shares = 1.0 - losses / losses[0]  # the first point is the null model
    gains = np.diff(shares) / shares[1:]
    k = len(short.alphas_)
    assert 5 < k < 60 and shares[k - 1] < 0.999
    assert gains[k - 2] < 1e-5 + 1e-7 and (gains[4 : k - 2] >= 1e-5 - 1e-7).all()
    assert_allclose(short.alphas_, whole.alphas_[:k])
    assert_allclose(short.coef_path_, whole.coef_path_[:, :k], atol=1e-3)
    losses = short._losses_name
    assert_allclose(getattr(short, losses), getattr(whole, losses)[:k], rtol=1e-3)
    assert len(short.path(X, y, alphas=60, eps=1e-4).alphas) == k
    with pytest.raises(ValueError, match="automatic grids"):
        short.set_params(alphas=[1.0, 0.1]).fit(X, y)


@pytest.mark.parametrize("penalty", ["mcp", "scad"])
@pytest.mark.parametrize("name", ["PenalizedRegressorCV", "SparsePoissonRegressorCV"])
def test_a_plateau_of_a_concave_path_is_not_its_end(name, penalty):
    # The first feature is unshrunk long before the second one enters.
    rng = np.random.default_rng(19)
    X = rng.standard_normal((90, 4))
    X = np.linalg.qr(X - X.mean(axis=0))[0] * np.sqrt(90)
    y = 3.0 + X[:, 0] + 0.1 * X[:, 1] + 0.05 * rng.standard_normal(90)
    if name == "SparsePoissonRegressorCV":
        y = np.exp(0.5 * y)
    options = {"penalty": penalty, "alphas": 60, "eps": 1e-4, "cv": 3, "tol": 1e-7}
    whole = getattr(ssl, name)(**options).fit(X, y)
    short = getattr(ssl, name)(stop_explained=True, **options).fit(X, y)
    both = np.flatnonzero(np.count_nonzero(whole.coef_path_, axis=0) > 1)[0]
    k = len(short.alphas_)
    moved = np.abs(np.diff(whole.coef_path_[:, :both], axis=1)).max(axis=0) > 1e-6
    assert both > 8 and not moved[-2:].any()  # it does rest before
    assert both < k < 60
    assert_allclose(short.alphas_, whole.alphas_[:k])


@pytest.mark.parametrize(
    "name", ["SparseLogisticRegressionCV", "SparsePoissonRegressorCV"]
)
def test_grids_of_rows_in_blocks_end_as_in_memory(name):
    rng = np.random.default_rng(16)
    X = rng.standard_normal((120, 3))
    y, _ = target("SparsePoissonRegressorCV", X, rng)
    y = (y > 1).astype(int) if "Logistic" in name else y
    model = getattr(ssl, name)(
        alphas=25, eps=1e-4, criterion="bic", stop_explained=True, tol=1e-7
    )
    expected = len(model.fit(X, y).alphas_)
    found = len(model.fit(row_blocks(X, y, block_size=50)).alphas_)
    assert 5 <= found == expected < 25
