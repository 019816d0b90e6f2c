"""GridSpectralMixtureRegressor against cvxpy, closed forms, scikit-learn and itself."""

import pickle
import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor

from sparsestat.gaussian_process import GridSpectralMixtureRegressor
from sparsestat.gaussian_process._spectral._engines import (
    DenseEngine,
    FeatureEngine,
    Samples,
    ToeplitzEngine,
)
from sparsestat.gaussian_process._spectral._fit import Trend, gcv_noise
from sparsestat.gaussian_process._spectral._majorizer import (
    component_factor,
    majorizer_value,
    minimize_majorizer,
)
from sparsestat.gaussian_process._spectral._solvers import Problem, solve
from sparsestat.gaussian_process._spectral._spectrum import Spectrum, make_grid
from tests.gaussian_process.spectral_oracles import component_grams, two_tones

SOLVERS = ("auto", "mm", "sca", "dsca")


def small_problem(n=40, count=16, seed=0, noise=None):
    X, y = two_tones(n, seed=seed)
    spectrum = make_grid(
        X,
        count,
        form="product",
        grid="uniform",
        frequency_range=None,
        sigma=None,
        rng=np.random.RandomState(0),
    )
    samples = Samples(X, (y - y.mean())[:, None], np.ones(n), float(n), 0.0)
    engine = ToeplitzEngine(samples, spectrum)
    problem = Problem(engine, noise_floor=1e-4, noise=noise)
    z = np.append(np.full(count, 1.0 / count), 0.1 if noise is None else noise)
    return problem, z


# The convex problem inside, three ways


@pytest.mark.parametrize("noise", [None, 0.05])
def test_inner_solvers_agree_with_cvxpy(noise):
    problem, z = small_problem(noise=noise)
    _, g, _ = problem.evaluate(z)
    conic = minimize_majorizer(problem, g, z, method="conic")
    values = {"conic": majorizer_value(problem, g, conic)[0]}
    for method in ("lbfgs", "mm"):
        found = minimize_majorizer(
            problem, g, z, method=method, max_iter=20_000, tol=1e-11
        )
        values[method] = majorizer_value(problem, g, found)[0]
        np.testing.assert_allclose(found, conic, atol=1e-5 * conic.max())
    reference = values["conic"]
    for value in values.values():
        assert abs(value - reference) <= 1e-7 * abs(reference)


def test_inner_problem_is_a_group_lasso():
    import cvxpy as cp

    problem, z = small_problem(n=30, count=8, noise=0.05)
    _, g, _ = problem.evaluate(z)
    y = problem.engine.samples.Y[:, 0]
    rest, penalty, parts = y, 0, []
    for i in range(problem.n):
        L = component_factor(problem.engine, i)
        u = cp.Variable(L.shape[1])
        rest = rest - L @ u
        penalty += 2 * np.sqrt(g[i]) * cp.norm(u, 2)
        parts.append(u)
    program = cp.Problem(cp.Minimize(cp.sum_squares(rest) / 0.05 + penalty))
    program.solve(solver=cp.CLARABEL)
    ours = minimize_majorizer(problem, g, z, max_iter=5000, tol=1e-11)
    value = majorizer_value(problem, g, ours)[0] - g[-1] * ours[-1]
    assert abs(value - program.value) <= 1e-7 * abs(program.value)
    groups = np.array([np.linalg.norm(u.value) for u in parts]) / np.sqrt(g[:-1])
    np.testing.assert_allclose(ours[:-1], groups, atol=1e-5 * groups.max())


def test_component_factors_are_exact():
    problem, _ = small_problem()
    X, spectrum = problem.engine.samples.X, problem.engine.spectrum
    for i, gram in enumerate(component_grams(X, X, spectrum)):
        L = component_factor(problem.engine, i)
        np.testing.assert_allclose(L @ L.T, gram, atol=1e-10)


# The whole objective


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("even", [True, False], ids=["even", "uneven"])
def test_every_solver_descends_to_a_stationary_point(solver, even):
    X, y = two_tones()
    if not even:
        X, y = np.delete(X, [7, 30], axis=0), np.delete(y, [7, 30])
    model = GridSpectralMixtureRegressor(
        16, solver=solver, max_iter=3000, detrend="mean"
    ).fit(X, y)
    path = model.history_
    assert (np.diff(path) <= 1e-9 * np.abs(path[1:])).all()
    assert model.certificate_.satisfied
    # From outside: dense algebra, all components.
    spectrum = Spectrum(model.frequencies_, model.sigmas_)
    samples = Samples(X, (y - y.mean())[:, None], np.ones(len(X)), float(len(X)), 0.0)
    problem = Problem(
        FeatureEngine(samples, spectrum), noise_floor=1e-4 * np.var(y), noise=None
    )
    z = np.append(model.weights_, model.noise_variance_)
    value, g, q = problem.evaluate(z)
    np.testing.assert_allclose(value, path[-1], rtol=1e-6)
    assert problem.residual(z, g, q) == pytest.approx(
        model.certificate_.value, rel=1e-3, abs=1e-7
    )
    ratio = q[:-1] / g[:-1]
    assert ratio.max() <= 1 + 1e-2
    large = model.weights_ > 1e-4 * model.weights_.max()
    share = model.weights_ * g[:-1]
    assert np.abs(ratio[large & (share > 1e-3)] - 1).max() < 1.01e-3


@pytest.mark.parametrize("solver", ["newton", "working_sets", "mm", "sca", "dsca"])
def test_identical_components_do_not_make_blocks_cycle(solver):
    # Eight white components: every split of the variance is optimal.
    n = 30
    X = np.arange(float(n))[:, None]
    y = np.random.default_rng(0).standard_normal((n, 1)) * 1.5
    spectrum = Spectrum(np.zeros((8, 1)), np.full((8, 1), 50.0))
    engine = FeatureEngine(Samples(X, y, np.ones(n), float(n), 0.0), spectrum)
    problem = Problem(engine, noise_floor=1e-6, noise=0.5)
    z = np.append(np.full(8, 1.0), 0.5)
    found = solve(problem, z, solver=solver, tol=1e-6, max_iter=300)
    power = float((y**2).mean())
    np.testing.assert_allclose(found.z[:-1].sum() + 0.5, power, rtol=1e-5)
    np.testing.assert_allclose(found.value, n + n * np.log(power), rtol=1e-9)
    assert (np.diff(found.path) <= 0).all()


def test_one_constant_component_has_a_closed_form():
    n, noise = 25, 0.3
    X = np.arange(float(n))[:, None]
    y = np.random.default_rng(1).standard_normal(n) + 1.0
    model = GridSpectralMixtureRegressor(
        grid=[[0.0]], sigma=0.0, noise=noise, detrend=None, tol=1e-16
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    expected = max(0.0, (y.sum() ** 2 / n - noise) / n)
    np.testing.assert_allclose(model.weights_, [expected], rtol=1e-6)


def test_conic_solver_takes_the_steps_of_sca():
    X, y = two_tones(30)
    fits = []
    for solver in ("conic", "sca"):
        model = GridSpectralMixtureRegressor(8, solver=solver, max_iter=4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits.append(model.fit(X, y))
    np.testing.assert_allclose(fits[0].history_[-1], fits[1].history_[-1], rtol=1e-3)


# Invariances


def test_scaling_the_targets_scales_the_variances():
    X, y = two_tones()
    one = GridSpectralMixtureRegressor(40).fit(X, y)
    two = GridSpectralMixtureRegressor(40).fit(X, 8.0 * y)
    np.testing.assert_allclose(two.weights_, 64 * one.weights_, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(two.noise_variance_, 64 * one.noise_variance_)
    np.testing.assert_allclose(two.predict(X), 8 * one.predict(X), rtol=1e-6)


def test_shifting_the_points_changes_nothing():
    X, y = two_tones()
    one = GridSpectralMixtureRegressor(40).fit(X, y)
    two = GridSpectralMixtureRegressor(40).fit(X + 64.0, y)
    np.testing.assert_allclose(two.weights_, one.weights_, atol=1e-8)


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    X = rng.random((50, 2))
    y = np.sin(6 * X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(50)
    order = rng.permutation(50)
    one = GridSpectralMixtureRegressor(30, random_state=0).fit(X, y)
    two = GridSpectralMixtureRegressor(30, random_state=0).fit(X[order], y[order])
    np.testing.assert_allclose(one.predict(X), two.predict(X), rtol=1e-9)


def test_a_weight_is_a_repetition():
    X, y = two_tones(40)
    weights = np.random.default_rng(0).integers(0, 4, 40)
    one = GridSpectralMixtureRegressor(20).fit(X, y, sample_weight=weights)
    rows = np.repeat(np.arange(40), weights)
    two = GridSpectralMixtureRegressor(20).fit(X[rows], y[rows])
    np.testing.assert_allclose(one.predict(X), two.predict(X), rtol=1e-7)
    np.testing.assert_allclose(one.noise_variance_, two.noise_variance_, rtol=1e-6)
    np.testing.assert_allclose(
        one.log_marginal_likelihood_value_, two.log_marginal_likelihood_value_
    )


@pytest.mark.parametrize("total", [0.3, 5.0])
def test_weights_of_any_sum_lead_to_a_stationary_noise(total):
    X, y = two_tones(40, noise=0.5)
    weights = np.random.default_rng(0).random(40)
    weights *= total / weights.mean()
    model = GridSpectralMixtureRegressor(8, frequency_range=(0, 0.1))
    model.fit(X, y, sample_weight=weights)
    assert model.certificate_.satisfied


def test_targets_share_the_weights():
    X, y = two_tones(50)
    Y = np.column_stack([y, y])
    one = GridSpectralMixtureRegressor(20).fit(X, y)
    two = GridSpectralMixtureRegressor(20).fit(X, Y)
    np.testing.assert_allclose(two.predict(X)[:, 1], one.predict(X), atol=1e-3)
    mean, std = two.predict(X, return_std=True)
    assert mean.shape == std.shape == (50, 2)
    assert two.predict(X[:4], return_cov=True)[1].shape == (4, 4, 2)
    assert two.sample_y(X[:4], 3).shape == (4, 2, 3)


# Agreement with scikit-learn, prediction


MODELS = {
    "even": (two_tones()[0], {}),
    "uneven": (two_tones()[0] ** 1.1, {"detrend": "linear"}),
    "product": (np.random.default_rng(0).random((80, 2)), {}),
    "cosine": (np.random.default_rng(0).random((80, 3)), {"form": "cosine"}),
    "many features": (np.random.default_rng(0).random((80, 6)), {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_scikit_learn_predicts_the_same_from_the_kernel(name):
    X, options = MODELS[name]
    y = two_tones()[1]
    model = GridSpectralMixtureRegressor(30, random_state=0, **options).fit(X, y)
    new = X[::7] + 0.3
    trend = model.predict(new) - model.kernel_(new, model.X_train_) @ model.alpha_[:, 0]
    at_train = model.predict(model.X_train_) - (
        model.kernel_(model.X_train_, model.X_train_) @ model.alpha_[:, 0]
    )
    order = np.lexsort(X.T[::-1])
    peer = GaussianProcessRegressor(model.kernel_, alpha=0, optimizer=None)
    peer.fit(X[order], y[order] - at_train)
    mean, std = model.predict(new, return_std=True)
    peer_mean, peer_std = peer.predict(new, return_std=True)
    np.testing.assert_allclose(mean - trend, peer_mean, atol=1e-8)
    np.testing.assert_allclose(std, peer_std, atol=1e-8)
    _, covariance = model.predict(new, return_cov=True)
    np.testing.assert_allclose(
        covariance, peer.predict(new, return_cov=True)[1], atol=1e-8
    )
    np.testing.assert_allclose(
        model.log_marginal_likelihood(), peer.log_marginal_likelihood_value_, rtol=1e-8
    )


def test_samples_have_the_moments_of_the_posterior():
    X, y = two_tones(40)
    model = GridSpectralMixtureRegressor(20).fit(X, y)
    new = np.linspace(38, 60, 6)[:, None]
    draws = model.sample_y(new, 20_000, random_state=0)
    mean, covariance = model.predict(new, return_cov=True)
    error = np.sqrt(np.diag(covariance) / 20_000)
    assert (np.abs(draws.mean(axis=1) - mean) < 5 * error + 1e-9).all()
    np.testing.assert_allclose(np.cov(draws), covariance, atol=0.05 * covariance.max())


def test_periods_are_found_and_extrapolated():
    X, y = two_tones(140, noise=0.05)
    model = GridSpectralMixtureRegressor().fit(X[:120], y[:120])
    assert model.score(X[120:], y[120:]) > 0.9
    density = model.spectral_density(f := np.linspace(0, 0.5, 2001))
    assert abs(f[np.argmax(density)] - 0.08) < 0.005
    assert len(model.active_) < 120


def test_pruning_keeps_predictions():
    X, y = two_tones()
    for options in ({}, {"low_rank": "nystrom", "rank": 30, "random_state": 0}):
        model = GridSpectralMixtureRegressor(40, **options).fit(X, y)
        before = model.predict(X, return_std=True)
        likelihood = model.log_marginal_likelihood(model.weights_)
        model.prune()
        assert len(model.weights_) == len(model.active_) == len(model.frequencies_)
        np.testing.assert_allclose(model.predict(X, return_std=True), before)
        again = model.log_marginal_likelihood(model.weights_)
        np.testing.assert_allclose(again, likelihood, rtol=1e-9)


@pytest.mark.parametrize("low_rank", ["nystrom", "rff"])
def test_low_rank_predictions_are_close_to_exact_ones(low_rank):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (120, 2))
    y = np.sinc(X).prod(axis=1) + 0.05 * rng.standard_normal(120)
    options = {"n_components": 40, "random_state": 0}
    exact = GridSpectralMixtureRegressor(**options).fit(X, y)
    model = GridSpectralMixtureRegressor(low_rank=low_rank, rank=60, **options)
    model.fit(X, y)
    new = rng.uniform(-2, 2, (100, 2))
    truth = np.sinc(new).prod(axis=1)
    worst = np.sqrt(np.mean((exact.predict(new) - truth) ** 2))
    assert np.sqrt(np.mean((model.predict(new) - truth) ** 2)) < 2 * worst + 0.02
    _, std = model.predict(np.array([[40.0, 40.0]]), return_std=True)
    prior = model.weights_.sum() + model.noise_variance_
    np.testing.assert_allclose(std, np.sqrt(prior), rtol=0.2)


def test_cross_validated_noise_is_the_published_one():
    rng = np.random.default_rng(0)
    x = np.arange(400)
    y = np.sin(2 * np.pi * x / 100) + 0.3 * rng.standard_normal(400)
    assert gcv_noise(y[:, None]) == pytest.approx(0.09, rel=0.15)
    model = GridSpectralMixtureRegressor(50, noise="gcv", detrend="mean")
    model.fit(x[:, None], y)
    assert model.noise_variance_ == pytest.approx(gcv_noise(y[:, None] - y.mean()))


def test_ten_thousand_points_on_a_grid_form_nothing_square(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("a dense covariance was formed")

    monkeypatch.setattr(DenseEngine, "__init__", refuse)
    x = np.arange(10_000.0)
    y = np.sin(2 * np.pi * x / 365) + np.sin(2 * np.pi * x / 7)
    y += 0.3 * np.random.default_rng(0).standard_normal(len(x))
    model = GridSpectralMixtureRegressor(noise=0.09, max_iter=3)
    with pytest.warns(ConvergenceWarning):
        model.fit(x[:, None], y)
    mean, std = model.predict(x[:, None][:50] + 1e4, return_std=True)
    assert np.isfinite(mean).all() and (std > 0).all()
    assert len(pickle.dumps(model)) < 40 * x.nbytes


# Contract


def test_bad_input_is_refused():
    X, y = two_tones(30)
    cases = [
        ({"frequency_range": (-1.0, 1.0)}, "ordered and not negative"),
        ({"frequency_range": (0.0, np.nan)}, "two finite numbers"),
        ({"grid": [[-0.1]], "sigma": 0.1}, "finite and not negative"),
        ({"grid": [[0.1]]}, "Pass the widths"),
        ({"grid": [[0.1, 0.2]], "sigma": 0.1}, "one frequency for each"),
        ({"sigma": [np.nan]}, "sigma must be finite"),
        ({"n_components": 0}, "n_components"),
        ({"sigma": -1.0}, "sigma"),
        ({"low_rank": "rff", "solver": "mm"}, "solver='auto'"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            GridSpectralMixtureRegressor(**options).fit(X, y)
    model = GridSpectralMixtureRegressor(10)
    with pytest.raises(ValueError, match="Negative values"):
        model.fit(X, y, sample_weight=-np.ones(30))
    with pytest.raises(ValueError, match="even grid"):
        GridSpectralMixtureRegressor(10, noise="gcv").fit(X**1.2, y)
    with pytest.raises(NotFittedError):
        clone(model).predict(X)
    model.fit(X, y)
    with pytest.raises(RuntimeError, match="At most one"):
        model.predict(X, return_std=True, return_cov=True)
    with pytest.raises(ValueError, match="not negative"):
        model.log_marginal_likelihood(-np.ones(10))
    with pytest.raises(ValueError, match="10 components"):
        model.log_marginal_likelihood(np.ones(3))


@pytest.mark.parametrize("detrend", ["mean", "linear"])
def test_constant_targets_warn_and_fit(detrend):
    X = np.arange(12.0)[:, None]
    y = np.full(12, 3.1) if detrend == "mean" else 0.1 * np.arange(12.0)
    model = GridSpectralMixtureRegressor(10, detrend=detrend)
    with pytest.warns(UserWarning, match="y is constant"):
        model.fit(X, y)
    assert not model.weights_.any()
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, y, atol=1e-12)
    np.testing.assert_array_equal(std, 0.0)
    assert model.predict(X, return_cov=True)[1].shape == (12, 12)


def test_too_few_iterations_warn_once():
    X, y = two_tones()
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        model = GridSpectralMixtureRegressor(40, max_iter=3).fit(X, y)
    assert len(caught) == 1 and not model.certificate_.satisfied
    assert f"{model.certificate_.value:.3e}" in str(caught[0].message)


def test_noise_never_falls_below_its_floor():
    X, y = two_tones(noise=0.0)
    model = GridSpectralMixtureRegressor(40, noise_floor=1e-3, detrend="mean").fit(X, y)
    assert model.noise_variance_ >= 1e-3 * np.var(y) * (1 - 1e-12)


def test_maximum_likelihood_is_not_beaten_by_a_general_optimizer():
    X, y = two_tones(30)
    model = GridSpectralMixtureRegressor(6, noise=0.05, tol=1e-12).fit(X, y)

    def minus_likelihood(logs):
        return -model.log_marginal_likelihood(np.exp(logs))

    start = np.log(model.weights_ + 1e-6)
    better = minimize(minus_likelihood, start, method="Nelder-Mead").fun
    assert better >= -model.log_marginal_likelihood_value_ - 1e-3


def test_a_drift_is_forecast_by_default():
    x = np.arange(140.0)
    seasons = np.sin(2 * np.pi * x / 12)
    y = 1e5 + 3.0 * x + seasons + 0.05 * np.random.default_rng(0).normal(size=140)
    model = GridSpectralMixtureRegressor().fit(x[:116, None], y[:116])
    error = model.predict(x[116:, None]) - y[116:]
    assert np.sqrt(np.mean(error**2)) < 0.5
    assert model.trend_coef_[1, 0] == pytest.approx(3.0, abs=0.01)


def test_trends_of_features_in_any_unit():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3)) * [1e-12, 1.0, 1e12]
    Y = X @ [[1e12], [2.0], [3e-12]] + 5.0
    trend = Trend.fit(X, Y, np.ones(50), "linear")
    np.testing.assert_allclose(trend(X), Y, rtol=1e-9)
