"""What the certificates of this room measure: stub objectives, written out."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from sparsestat._utils.progress import FitProgress
from sparsestat.exceptions import ConvergenceWarning
from sparsestat.gaussian_process import (
    DeepKernelMachineRegressor,
    DistributedGridSpectralMixtureRegressor,
    GridSpectralMixtureRegressor,
    SparseGPClassifier,
    SparseGPRegressor,
    _distributed_mixture,
    _sparse_gp,
)
from sparsestat.gaussian_process._kernel._ascent import _Rises, _Seen, climb, projected
from sparsestat.gaussian_process._kernel._evidence import (
    Ascent,
    evidence_certificate,
    maximize_evidence,
)
from sparsestat.gaussian_process._kernel._inducing import evaluate, exact_evidence
from sparsestat.gaussian_process._kernel_gp import KernelGPRegressor
from sparsestat.gaussian_process._spectral._consensus import Consensus
from sparsestat.gaussian_process._spectral._engines import FeatureEngine, Samples
from sparsestat.gaussian_process._spectral._solvers import Problem, _Run
from sparsestat.gaussian_process._spectral._spectrum import Spectrum
from sparsestat.gaussian_process._variational import _deep_fit
from sparsestat.gaussian_process._variational._bounds import features
from sparsestat.gaussian_process._variational._deep_evidence import (
    DeepEvidence,
    gaussian_evidence,
    titsias,
)
from sparsestat.gaussian_process._variational._layers import between
from sparsestat.gaussian_process._variational._likelihoods import Bernoulli, Softmax
from sparsestat.gaussian_process._variational._svgp import Posterior, bound, settle

# Spectral mixtures


def stub(*, extra=0.0, within=0.0, calls=None):
    """Return an engine whose slopes are given functions of the weights."""

    def evaluate(w, noise, subset):
        if calls is not None:
            calls.append(w.copy())
        return SimpleNamespace(
            value=float(w.sum() + noise),
            g=np.array([2.0, 4.0, 0.5]),
            q=np.array([2.2, 1.0, 0.5]) + w,
            noise_g=10.0,
            noise_q=9.0,
            state="state",
        )

    samples = SimpleNamespace(extra=extra, within=within)
    return SimpleNamespace(spectrum=range(3), samples=samples, evaluate=evaluate)


def test_slopes_of_the_noise_count_rows_that_were_joined():
    problem = Problem(stub(extra=6.0, within=0.5), noise_floor=1e-4)
    value, g, q, state = problem.examine(np.array([0.0, 0.0, 1.0, 0.5]))
    assert value == 1.5 and state == "state"
    np.testing.assert_allclose(g, [2.0, 4.0, 0.5, 10.0 + 6.0 / 0.5])
    np.testing.assert_allclose(q, [2.2, 1.0, 1.5, 9.0 + 0.5 / 0.25])
    assert len(problem.evaluate(np.ones(4))) == 3


@pytest.mark.parametrize(
    ("z", "slopes", "value"),
    [
        # Zero weights: a positive slope is optimal, a negative one is not.
        ([0.0, 0.0, 0.0, 1.0], [0.5, 0.0, 0.9, 0.0], 0.0),
        ([0.0, 0.0, 0.0, 1.0], [0.5, -0.3, 0.9, 0.0], 0.3),
        # Positive ones: either sign counts, up to the share.
        ([1.0, 0.0, 0.0, 1.0], [0.25, 0.0, 0.9, 0.0], 0.25),
        ([1.0, 0.0, 0.0, 1.0], [-0.25, 0.0, 0.9, 0.0], 0.25),
        ([0.05, 0.0, 0.0, 1.0], [0.9, 0.0, 0.9, 0.0], 0.1),
        # The noise: free, and at its floor.
        ([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.6], 0.6),
        ([0.0, 0.0, 0.0, 0.1], [0.0, 0.0, 0.0, 0.6], 0.0),
        ([0.0, 0.0, 0.0, 0.1], [0.0, 0.0, 0.0, -0.6], 0.6),
        ([0.0, 0.0, 0.0, 0.11], [0.0, 0.0, 0.0, 0.6], 0.05),
    ],
)
def test_residuals_are_the_largest_violation(z, slopes, value):
    g = np.array([2.0, 4.0, 0.5, 5.0])
    q = g * (1.0 - np.array(slopes))
    free = Problem(stub(), noise_floor=0.1)
    assert free.residual(np.array(z), g, q) == pytest.approx(value, abs=1e-14)
    given = Problem(stub(), noise_floor=0.1, noise=z[-1])
    found = given.residual(np.array(z), g, q)
    expected = value if slopes[-1] == 0 else 0.0
    assert found == pytest.approx(expected, abs=1e-14)


def test_the_scale_of_the_noise_is_positive():
    problem = Problem(stub(extra=-8.0), noise_floor=0.1)
    g, z = np.array([2.0, 4.0, 0.5, -3.0]), np.array([0.0, 0.0, 0.0, 0.5])
    scale = problem.scale(g, z)
    np.testing.assert_allclose(scale, [2.0, 4.0, 0.5, (-1.5 + 8.0) / 0.5])
    q = np.array([0.0, 0.0, 0.0, 1.0])
    assert problem.residual(z, g, q) == pytest.approx(4.0 / 13.0)
    np.testing.assert_array_equal(g, [2.0, 4.0, 0.5, -3.0])


def test_the_best_point_is_measured_again_where_it_was_pruned():
    calls = []
    problem = Problem(stub(calls=calls), noise_floor=1e-4)
    run = _Run(problem, 0.1, 10, lambda value: False)
    run.evaluate(np.array([1.0, 1.0, 1.0, 1.0]))
    best = np.array([0.9, 1e-9, 1e-9, 1.0])
    run.evaluate(best)
    run.evaluate(np.array([2.0, 0.0, 0.0, 1.0]))
    assert (run.left, run.path) == (7, [4.0, pytest.approx(1.9)])
    kept = run.solution(0.0)
    np.testing.assert_array_equal(kept.z, best)
    unpruned = problem.evaluate(best)[1:]
    assert kept.residual == problem.residual(best, *unpruned)
    pruned = run.solution(1e-6)
    np.testing.assert_array_equal(pruned.z, [0.9, 0.0, 0.0, 1.0])
    _, g, q = problem.evaluate(pruned.z)
    assert pruned.residual == problem.residual(pruned.z, g, q)
    assert pruned.value == pytest.approx(1.9) and pruned.n_iter == 3
    np.testing.assert_array_equal(best, [0.9, 1e-9, 1e-9, 1.0])
    # A share that is just as large as the tolerance is small.
    edge = _Run(problem, 2.0**-28, 10, lambda value: False)
    edge.evaluate(np.array([0.9, 2.0**-30, 2.0**-26, 1.0]))
    np.testing.assert_array_equal(edge.solution(1e-6).z, [0.9, 0.0, 2.0**-26, 1.0])
    # Weights whose shares are not small stay.
    strict = _Run(problem, 1e-10, 10, lambda value: False)
    strict.evaluate(best)
    kept = strict.solution(1e-6)
    np.testing.assert_array_equal(kept.z, best)
    assert kept.n_iter == 1
    # After a part of the components only, all are measured.
    part = _Run(problem, 0.1, 10, lambda value: False)
    part.evaluate(best, np.array([0]))
    assert part.best_gradient is None
    assert part.solution(0.0).residual == problem.residual(best, *unpruned)


@pytest.mark.parametrize("max_iter", [3, 500])
@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_spectral_fits_are_measured_in_any_unit(max_iter, unit):
    rng = np.random.default_rng(0)
    X = np.sort(rng.uniform(0, 30, 40))[:, None]
    y = unit * (np.sin(X[:, 0]) + 0.3 * rng.standard_normal(40))
    model = GridSpectralMixtureRegressor(
        8, max_iter=max_iter, detrend="mean", noise="ml", sigma=0.02, tol=1e-6
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    spectrum = Spectrum(model.frequencies_, model.sigmas_)
    samples = Samples(X, (y - y.mean())[:, None], np.ones(40), 40.0, 0.0)
    floor = model.noise_floor * np.var(y)
    problem = Problem(FeatureEngine(samples, spectrum), noise_floor=floor)
    z = np.append(model.weights_, model.noise_variance_)
    value, g, q = problem.evaluate(z)
    certificate = model.certificate_
    expected = problem.residual(z, g, q)
    assert certificate.value == pytest.approx(expected, rel=1e-2, abs=1e-6)
    assert certificate.tol == pytest.approx(1e-3)
    assert certificate.satisfied == (certificate.value <= 1e-3) == (max_iter == 500)
    details = certificate.details
    assert details["objective"] == pytest.approx(value, rel=1e-6)
    assert details["noise_variance"] == model.noise_variance_
    assert details["n_active"] == np.count_nonzero(model.weights_)
    K = model.kernel_(X)
    density = -0.5 * np.linalg.slogdet(2 * np.pi * K)[1]
    density -= 0.5 * (y - y.mean()) @ np.linalg.solve(K, y - y.mean())
    assert model.log_marginal_likelihood_value_ == pytest.approx(density, rel=1e-6)


@pytest.mark.parametrize("low_rank", [None, "rff"])
@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_spectral_fits_of_several_targets_are_measured_in_any_unit(unit, low_rank):
    rng = np.random.default_rng(0)
    X = np.sort(rng.uniform(0, 30, 20))[:, None]
    Y = np.column_stack([np.sin(X[:, 0]), np.cos(X[:, 0]), np.ones(20)])
    Y = unit * (Y + 0.3 * rng.standard_normal((20, 3)))
    model = GridSpectralMixtureRegressor(
        6, detrend=None, noise="ml", sigma=0.02, low_rank=low_rank, rank=8, tol=1e-4,
        random_state=0,
    ).fit(X, Y)  # fmt: skip
    K = model.kernel_(X) if low_rank is None else model._cross(X)
    if low_rank is not None:
        K = K + model.noise_variance_ * np.eye(20)
    mean = Y - model.noise_variance_ * model.alpha_
    np.testing.assert_allclose(model.predict(X), mean, rtol=1e-6, atol=1e-6 * unit)
    density = -1.5 * np.linalg.slogdet(2 * np.pi * K)[1]
    density -= 0.5 * np.sum(Y * np.linalg.solve(K, Y))
    assert model.log_marginal_likelihood_value_ == pytest.approx(density, rel=1e-6)
    objective = -2.0 * density - 60 * np.log(2 * np.pi)
    details = model.certificate_.details
    assert details["objective"] == pytest.approx(objective, rel=1e-6)
    assert model.history_[-1] == pytest.approx(objective, rel=1e-6)


@pytest.mark.parametrize("max_rounds", [2, 200])
def test_agents_say_how_far_their_agreement_is_from_stationary(max_rounds):
    rng = np.random.default_rng(0)
    X = np.sort(rng.uniform(0, 30, 40))[:, None]
    y = 100.0 * (np.sin(X[:, 0]) + 0.3 * rng.standard_normal(40))
    model = DistributedGridSpectralMixtureRegressor(
        8, n_agents=2, detrend="mean", sigma=0.02, tol=1e-2, noise_floor=1e-3
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.set_params(max_rounds=max_rounds, random_state=0).fit(X, y)
    certificate, details = model.certificate_, model.certificate_.details
    assert certificate.satisfied == (certificate.value <= 1.0) == (max_rounds == 200)
    assert certificate.tol == 1.0 and certificate.kind == "kkt"
    spectrum = Spectrum(model.frequencies_, model.sigmas_)
    rest = (y - y.mean())[:, None]
    z = np.append(model.weights_, model.noise_variance_)
    parts = []
    for rows in (slice(0, 20), slice(20, 40)):
        samples = Samples(X[rows], rest[rows], np.ones(20), 20.0, 0.0)
        problem = Problem(
            FeatureEngine(samples, spectrum), noise_floor=1e-3 * np.var(y)
        )
        parts.append(problem.evaluate(z))
    value, g, q = (sum(part) for part in zip(*parts, strict=True))
    assert details["stationarity"] == pytest.approx(
        problem.residual(z, g, q), rel=1e-4, abs=1e-8
    )
    assert details["objective"] == pytest.approx(value, rel=1e-6)
    assert details["objective"] == pytest.approx(model.objective_, rel=1e-12)
    assert details["n_active"] == len(model.active_) == np.count_nonzero(z[:-1])
    assert details["bits"] == model.communication_bits_ == model.bits_history_[-1]
    assert model.objective_ <= model.history_.min() * (1 + 1e-12)
    ratio = max(model.primal_residuals_[-1], model.dual_residuals_[-1])
    assert certificate.value * 1e-2 * np.sqrt(18) < ratio


@pytest.mark.parametrize("tol", [1e3, 1e-3, 1e-12])
@pytest.mark.parametrize("violation", [1.0, 1.1])
def test_what_agents_agreed_on_is_stored_but_for_what_weighs_nothing(
    tol, violation, monkeypatch
):
    asked = []

    def agreed(agents, z, **options):
        theta = np.zeros_like(z)
        theta[:4], theta[-1] = [0.5, 1e-9, 2e-3, 7e-3], 0.1
        asked.append(theta)
        lists = ([1.0], [1.0], [2.0], [8])
        return Consensus(theta, np.tile(theta, (2, 1)), 2.0, 8, 1, violation, *lists)

    monkeypatch.setattr(_distributed_mixture, "agree", agreed)
    X = np.arange(20.0)[:, None]
    y = 100.0 * np.cos(X[:, 0])
    model = DistributedGridSpectralMixtureRegressor(
        8, n_agents=2, prune_tol=1e-2, tol=tol, detrend=None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    assert model.certificate_.value == violation
    assert model.certificate_.satisfied == (violation == 1.0)
    # In units of y again, and where all agents say the same they have what is agreed.
    unit = model.noise_variance_ / 0.1
    assert unit > 1e3
    np.testing.assert_allclose(
        model.agent_weights_, unit * np.tile(asked[0][:-1], (2, 1))
    )
    # The last is above a hundredth of the largest, the shares matter otherwise.
    expected = unit * asked[0][:-1]
    expected[1:3] *= {1e3: (0.0, 0.0), 1e-3: (0.0, 1.0), 1e-12: (1.0, 1.0)}[tol]
    np.testing.assert_allclose(model.weights_, expected)
    np.testing.assert_array_equal(asked[0][:4], [0.5, 1e-9, 2e-3, 7e-3])


def test_constant_targets_of_mixtures_are_exact():
    X = np.arange(12.0)[:, None]
    for noise, expected in (("ml", 0.0), (0.3, 0.3)):
        with pytest.warns(UserWarning, match="constant"):
            model = GridSpectralMixtureRegressor(4, noise=noise).fit(X, np.ones(12))
        assert model.certificate_.value == 0.0 and model.certificate_.satisfied
        assert model.certificate_.tol == np.sqrt(model.tol)
        assert model.noise_variance_ == expected and not model.weights_.any()
        np.testing.assert_array_equal(model.history_, [0.0])


def test_targets_that_vary_only_between_repetitions_are_noise():
    X = np.repeat(np.arange(4.0), 2)[:, None]
    y = np.tile([0.1, -0.1], 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model = GridSpectralMixtureRegressor(3, noise="ml", detrend=None).fit(X, y)
    assert model.noise_variance_ == pytest.approx(0.01, rel=1e-3)
    K = model.kernel_(X)
    density = -0.5 * np.linalg.slogdet(2 * np.pi * K)[1] - 0.5 * y @ np.linalg.solve(
        K, y
    )
    assert model.log_marginal_likelihood_value_ == pytest.approx(density, rel=1e-9)


# Ascents of an evidence


def test_slopes_out_of_the_bounds_do_not_count():
    bounds = np.array([[-1.0, 2.0]] * 6)
    x = np.array([-1.0, -1.0, 2.0, 2.0, 0.0, 2.0 - 1e-8])
    gradient = np.array([-3.0, 3.0, 4.0, -4.0, 5.0, 6.0])
    found = projected(gradient, x, bounds)
    np.testing.assert_array_equal(found, [0.0, 3.0, 0.0, -4.0, 5.0, 6.0])
    np.testing.assert_array_equal(gradient, [-3.0, 3.0, 4.0, -4.0, 5.0, 6.0])
    small = projected(1e-3 * gradient, x, bounds)
    np.testing.assert_allclose(small, 1e-3 * found)
    wide = np.array([[-1e3, 1e3]])
    near = np.array([1e3 - 5e-7])
    assert projected(np.ones(1), near, wide) == 0.0  # within rounding of the bound
    assert projected(np.ones(1), np.array([1e3 - 2e-6]), wide) == 1.0


@pytest.mark.parametrize("max_iter", [1, 2, 100])
@pytest.mark.parametrize("n", [1, 50])
def test_the_slope_is_that_of_the_point_that_is_returned(max_iter, n):
    scales = np.array([1.0, 10.0, 0.1])
    top = np.array([0.5, 3.0, -0.5])
    bounds = np.array([[-1.0, 1.0]] * 3)

    def function(x):
        return -n * np.sum(scales * np.cosh(x - top)), -n * scales * np.sinh(x - top)

    start = np.array([-0.9, -0.9, 0.9])
    found = climb(
        function, start, bounds,
        n=n, max_iter=max_iter, tol=1e-6, progress=FitProgress(None, max_iter),
    )  # fmt: skip
    value, gradient = function(found.x)
    assert found.value == pytest.approx(value, rel=1e-14)
    slope = np.abs(projected(gradient, found.x, bounds)).max() / n
    assert found.slope == pytest.approx(slope, rel=1e-12, abs=1e-300)
    assert (found.slope <= 1e-6) == (max_iter == 100)
    assert found.stopped == (max_iter < 100) and found.n_iter == len(found.history)
    assert found.n_iter == max_iter or max_iter == 100
    assert found.value >= function(start)[0]
    assert found.history[-1] == pytest.approx(found.value, rel=1e-12)
    if max_iter == 100:
        np.testing.assert_allclose(found.x, [0.5, 1.0, -0.5], atol=1e-5)


def test_the_best_point_seen_is_the_highest():
    values = iter([3.0, 5.0, -1e12, np.nan, 4.0, np.inf])
    bounds = np.array([[-1.0, 1.0]] * 2)
    seen = _Seen(lambda x: (next(values), np.array([8.0, -16.0])), bounds, 4)
    for place in (0.1, 0.2, 0.3):
        point = np.full(2, place)
        fall, slopes = seen(point)
        np.testing.assert_allclose(slopes, [-2.0, 4.0])
    assert fall == pytest.approx(2.5e11)
    wall, flat = seen(np.zeros(2))  # where there is no value nothing is lower
    assert np.isfinite(wall) and wall > 2.5e11 and not flat.any()
    assert seen(np.zeros(2))[0] == -1.0
    assert seen(np.zeros(2))[0] == wall
    assert (seen.best.value, seen.best.slope) == (5.0, 4.0)
    np.testing.assert_array_equal(seen.best.x, [0.2, 0.2])


def test_rises_are_integrals_of_the_gradients_from_one_iterate_to_the_next():
    # By the trapezoidal rule, which is exact for a parabola; the values tell nothing.
    scales, top = np.array([1.0, 8.0]), np.array([0.5, -0.25])

    def function(x):
        return 3.0, -scales * (x - top)

    def height(x):
        return -0.5 * np.sum(scales * (x - top) ** 2)

    rises = _Rises(function, np.array([[-9.0, 9.0]] * 2), 4)
    points = np.array([[2.0, 1.0], [1.0, 1.0], [-1.0, 0.0], [0.5, -0.375], [3.0, 3.0]])
    for k, x in enumerate(points):
        fall, slopes = rises(x)
        assert fall == pytest.approx((height(points[0]) - height(x)) / 4, abs=1e-14)
        np.testing.assert_allclose(slopes, scales * (x - top) / 4)
        if k != 1:  # trials between iterates
            assert rises.moved(SimpleNamespace(x=x)) == 3.0
    # The best is where the slope is least.
    np.testing.assert_array_equal(rises.best.x, [0.5, -0.375])
    assert rises.best.slope == 0.25


def test_values_that_never_change_spend_all_iterations():
    function = lambda x: (0.0, np.ones(1))  # noqa: E731
    for max_iter, stopped in ((1, True), (500, False)):
        found = climb(
            function, np.zeros(1), np.array([[-np.inf, np.inf]]),
            n=1, max_iter=max_iter, tol=1e-6, progress=FitProgress(None, max_iter),
        )  # fmt: skip
        assert found.stopped == stopped and found.slope == 1.0


def test_many_steps_are_taken_as_long_as_they_gain():
    def function(x):
        """Rosenbrock's valley, upside down."""
        rest = x[1:] - x[:-1] ** 2
        slope = np.zeros_like(x)
        slope[:-1] = 400.0 * rest * x[:-1] + 2.0 * (1.0 - x[:-1])
        slope[1:] -= 200.0 * rest
        return -np.sum(100.0 * rest**2 + (1.0 - x[:-1]) ** 2), slope

    found = climb(
        function, np.tile([-1.2, 1.0], 20), np.tile([-9.0, 9.0], (40, 1)),
        n=1, max_iter=500, tol=1e-6, progress=FitProgress(None, 500),
    )  # fmt: skip
    assert found.n_iter > 40 and found.slope <= 1e-6
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)


def test_points_without_a_value_are_not_returned():
    def function(x):
        if x[0] > 0.4:
            raise np.linalg.LinAlgError
        if x[0] > 0.3:
            return np.nan, np.array([np.nan])
        return -((x[0] - 1.0) ** 2), -2.0 * (x - 1.0)

    found = climb(
        function, np.array([-1.0]), np.array([[-5.0, 5.0]]),
        n=1, max_iter=60, tol=1e-6, progress=FitProgress(None, 60),
    )  # fmt: skip
    assert found.x[0] <= 0.3 and np.isfinite(found.value)
    assert found.slope == pytest.approx(2 * (1 - found.x[0]), rel=1e-12)
    with pytest.raises(np.linalg.LinAlgError, match="start of the optimization"):
        climb(
            function, np.array([1.0]), np.array([[0.5, 5.0]]),
            n=1, max_iter=5, tol=1e-6, progress=FitProgress(None, 5),
        )  # fmt: skip


def test_the_best_of_all_starts_is_kept():
    def function(theta, extra):
        # Two tops; the start is below the lower one.
        t = theta[0]
        value = np.exp(-((t + 1) ** 2)) + 2 * np.exp(-((t - 3) ** 2))
        slope = -2 * (t + 1) * np.exp(-((t + 1) ** 2))
        slope -= 4 * (t - 3) * np.exp(-((t - 3) ** 2))
        value -= np.sum((extra - 7.0) ** 2)
        return value, np.append(slope, -2 * (extra - 7.0))

    kernel = ConstantKernel(np.exp(-1.5), (np.exp(-4), np.exp(5)))
    rest = {"n": 1, "progress": FitProgress(None, 900)}
    for restarts, place in ((0, -1.0), (8, 3.0)):
        ascent = Ascent("Model", "fmin_l_bfgs_b", 100, 1e-6, restarts)
        assert ascent.total == 100 * (1 + restarts)
        found = maximize_evidence(
            ascent, function, kernel, np.array([1.0]),
            rng=np.random.RandomState(0), **rest,
        )  # fmt: skip
        assert found.kernel.theta[0] == pytest.approx(place, abs=1e-2)
        assert found.extra == pytest.approx([7.0], abs=1e-5)
        assert found.slope <= 1e-6
    still = maximize_evidence(
        Ascent("Model", None, 100, 1e-6), function, kernel, np.zeros(1),
        rng=None, **rest,
    )  # fmt: skip
    assert still.kernel is kernel and still.slope == 0.0
    fixed = ConstantKernel(2.0, "fixed")
    same = maximize_evidence(ascent, function, fixed, np.zeros(0), rng=None, **rest)
    assert same.kernel is fixed
    # Restarts are drawn within bounds, which one climb does not need.
    endless = ConstantKernel(1.0, (1e-5, np.inf))
    with pytest.raises(ValueError, match="some bounds are not finite"):
        maximize_evidence(ascent, function, endless, np.zeros(1), rng=None, **rest)
    once = Ascent("Model", "fmin_l_bfgs_b", 100, 1e-6)
    found = maximize_evidence(once, function, endless, np.zeros(1), rng=None, **rest)
    assert found.slope <= 1e-6
    # Of tops of the same height the first is kept.
    level = maximize_evidence(
        ascent, lambda theta, extra: (1.0, np.zeros(2)), kernel, np.zeros(1),
        rng=np.random.RandomState(0), **rest,
    )  # fmt: skip
    assert level.kernel.theta[0] == pytest.approx(-1.5)


@pytest.mark.parametrize(
    ("slope", "rounding", "match"),
    [
        (1e-3, 0.0, None),
        (1.1e-3, 0.0, "did not converge"),
        (1.1e-3, 1e-2, "lacks precision"),
        (1.1e-3, 1e-9, "did not converge"),
        (np.nan, 0.0, "did not converge"),
    ],
)
def test_certificates_of_an_evidence(slope, rounding, match):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = evidence_certificate("M", "kkt", slope, 1e-3, {"a": 1.0}, rounding)
    assert found.satisfied == (match is None) and found.tol == 1e-3
    assert len(caught) == (match is not None) and found.details == {"a": 1.0}
    if match:
        assert issubclass(caught[0].category, ConvergenceWarning)
        assert match in str(caught[0].message)


@pytest.mark.parametrize("max_iter", [2, 200])
def test_sparse_processes_certify_where_they_ended(max_iter):
    rng = np.random.default_rng(0)
    X = rng.uniform(-3, 3, (40, 1))
    y = np.sin(X[:, 0]) + 0.2 * rng.standard_normal(40)
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(1.0, (1e-2, 1e2))
    kernel = kernel + WhiteKernel(0.5, (1e-4, 10.0))
    model = SparseGPRegressor(
        kernel, n_inducing=8, optimize_inducing=False, max_iter=max_iter, tol=1e-4,
        random_state=0,
    )  # fmt: skip
    labels = SparseGPClassifier(
        ConstantKernel(1.0, (1e-3, 1e3)) * RBF(1.0, (1e-2, 1e2)), n_inducing=8,
        optimize_inducing=False, max_iter=max_iter, tol=1e-4, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
        labels.fit(X, y > 0)
    for fitted in (model, labels):
        certificate = fitted.certificate_
        assert certificate.satisfied == (certificate.value <= 1e-4)
        assert certificate.satisfied == (max_iter == 200)
        assert certificate.details["optimized"] is True
        # The value by differences of fits that stay where they are.
        bound = []
        theta = fitted.kernel_.theta
        for j in range(len(theta)):
            for side in (1e-4, -1e-4):
                moved = theta.copy()
                moved[j] += side
                there = type(fitted)(
                    fitted.kernel_.clone_with_theta(moved), n_inducing=8,
                    optimize_inducing=False, optimizer=None, random_state=0,
                ).fit(X, y > 0 if fitted is labels else y)  # fmt: skip
                bound.append(there.lower_bound_)
                assert there.certificate_.details["optimized"] is False
        slopes = np.subtract(bound[::2], bound[1::2]) / 2e-4 / 40
        slopes = projected(slopes, theta, fitted.kernel_.bounds)
        assert certificate.value == pytest.approx(
            np.abs(slopes).max(), rel=1e-2, abs=1e-5
        )


@pytest.mark.parametrize("unit", [1.0, 2.0**110])
def test_repeated_rows_of_targets_in_other_units_have_the_dense_evidence(unit):
    rng = np.random.default_rng(0)
    points = rng.uniform(-3, 3, (12, 2))
    X = np.repeat(points, 3, axis=0)
    Y = np.sin(X[:, :1]) + 0.5 * rng.standard_normal((36, 2))
    Y = Y * np.array([4.0, 100.0]) + np.array([5.0, -7e3])
    smooth = ConstantKernel(0.8) * RBF([2.0, 3.0])
    kernel = smooth + WhiteKernel(0.2)
    model = SparseGPRegressor(
        ConstantKernel(0.8) * RBF([2.0 * unit, 3.0 * unit]) + WhiteKernel(0.2),
        optimizer=None,
    ).fit(unit * X, Y)
    mean, std = model.predict(unit * X[::9] + unit, return_std=True)
    T = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    K = kernel(X)
    evidence = sum(multivariate_normal(cov=K).logpdf(t) for t in T.T)
    assert model.objective_ == pytest.approx(evidence, rel=1e-7)
    across = smooth(X[::9] + 1.0, X)
    expected = across @ np.linalg.solve(K, T) * Y.std(axis=0) + Y.mean(axis=0)
    np.testing.assert_allclose(mean, expected, rtol=1e-7)
    left = 1.0 - np.sum(across * np.linalg.solve(K, across.T).T, axis=1)
    expected = np.sqrt(left)[:, None] * Y.std(axis=0)
    np.testing.assert_allclose(std, expected, rtol=1e-6)
    np.testing.assert_allclose(model.noise_variance_, 0.2 * Y.var(axis=0), rtol=1e-12)


def test_the_gap_of_an_observation_is_that_of_dense_bounds():
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-3, 3, (20, 1)), rng.standard_normal(20)
    counts = rng.integers(1, 4, 20)
    smooth, Z = ConstantKernel(1.5) * RBF(0.8), np.linspace(-3, 3, 4)[:, None]
    model = SparseGPRegressor(
        smooth + WhiteKernel(0.3), inducing=Z, optimizer=None, normalize_y=False,
        jitter=1e-12,
    ).fit(X, y, sample_weight=counts)  # fmt: skip
    rows, t = X.repeat(counts, axis=0), y.repeat(counts)
    Q = smooth(rows, Z) @ np.linalg.solve(smooth(Z), smooth(Z, rows))
    missed = np.trace(smooth(rows) - Q)
    n = len(rows)
    lower = multivariate_normal(cov=Q + 0.3 * np.eye(n)).logpdf(t) - missed / 0.6
    upper = -0.5 * np.linalg.slogdet(2 * np.pi * (Q + 0.3 * np.eye(n)))[1]
    upper -= 0.5 * t @ np.linalg.solve(Q + (0.3 + missed) * np.eye(n), t)
    assert model.lower_bound_ == pytest.approx(lower, rel=1e-8)
    assert model.upper_bound_ == pytest.approx(upper, rel=1e-8)
    whole = multivariate_normal(cov=smooth(rows) + 0.3 * np.eye(n)).logpdf(t)
    assert lower < whole < upper
    details = model.certificate_.details
    assert (details["lower_bound"], details["upper_bound"]) == (
        model.lower_bound_, model.upper_bound_,
    )  # fmt: skip
    assert details["gap_per_sample"] == pytest.approx((upper - lower) / n, rel=1e-8)
    assert details["n_inducing"] == 4


@pytest.mark.parametrize(
    ("options", "rows", "exact"),
    [
        ({}, 9, True),
        ({}, 10, True),
        ({}, 11, False),  # too many for dense algebra
        ({"n_inducing": 5}, 10, False),
        ({"method": "fitc"}, 10, False),
        ({"likelihood": "student_t"}, 10, False),
        ({"inducing": np.arange(10.0)[:, None]}, 10, False),
        ({"noise_variance": np.full(10, 0.1)}, 10, True),
        ({"noise_variance": np.full(10, 0.1), "twice": True}, 10, True),
    ],
)
def test_only_where_all_rows_are_points_the_evidence_is_exact(
    options, rows, exact, monkeypatch
):
    calls = []

    def counted(*arguments, **rest):
        calls.append(1)
        return exact_evidence(*arguments, **rest)

    monkeypatch.setattr(_sparse_gp, "exact_evidence", counted)
    monkeypatch.setattr(_sparse_gp, "_DENSE", 10)
    options = dict(options)
    X = np.arange(float(rows))[:, None]
    if options.pop("twice", False):
        X[1] = X[0]  # known noise keeps the rows apart
    kernel = ConstantKernel(1.0, (0.1, 10.0)) * RBF(2.0, "fixed")
    if "noise_variance" not in options:
        kernel = kernel + WhiteKernel(0.1, "fixed")
    model = SparseGPRegressor(kernel, max_iter=3, random_state=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, np.sin(X[:, 0]))
    assert bool(calls) == exact


@pytest.mark.parametrize(
    ("noise", "options", "expected"),
    [
        # All rows: at most a thousandth of the noise beside the function's variance.
        (1e-6, {}, 1e-10),
        (1e-8, {}, 5e-12),
        (1e-13, {}, 1e-15),
        (1e-6, {"jitter": 3e-9}, 3e-9),
        # Points that move: a hundredth of it, where that is little.
        (1e-6, {"n_inducing": 4}, 5e-9),
        (1e-10, {"n_inducing": 4}, 1e-10),
        (1e-4, {"n_inducing": 4}, 1e-8),
        (1e-2, {"n_inducing": 4}, 1e-10),
        (1e-6, {"n_inducing": 4, "jitter": 3e-9}, 3e-9),
        (1e-6, {"n_inducing": 4, "optimize_inducing": False}, 1e-10),
    ],
)
def test_the_jitter_is_small_beside_the_noise(noise, options, expected):
    X = np.arange(8.0)[:, None]
    kernel = ConstantKernel(2.0, "fixed") * RBF(0.5, (0.4, 0.6))
    kernel = kernel + WhiteKernel(noise, "fixed")
    model = SparseGPRegressor(kernel, max_iter=1, random_state=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, np.cos(X[:, 0]))
    assert model.jitter_ == pytest.approx(expected, rel=1e-12, abs=0.0)


def test_noise_within_powers_of_kernels_of_several_lengths():
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-2, 2, (12, 2)), rng.standard_normal(12)
    kernel = (RBF([1.0, 2.0]) + WhiteKernel(0.3)) ** 2
    model = SparseGPRegressor(kernel, optimizer=None, normalize_y=False).fit(X, y)
    value = multivariate_normal(cov=kernel(X)).logpdf(y)
    assert model.objective_ == pytest.approx(value, rel=1e-6)
    assert model.noise_variance_ == pytest.approx(1.3**2 - 1.0, rel=1e-12)


def test_rounding_grows_with_rows_and_points_beside_the_noise():
    X = np.arange(30.0)[:, None]
    kernel = ConstantKernel(2.0) * RBF(1.0)
    dense = KernelGPRegressor._rounding(None, kernel, X, 1e-5)
    assert dense == pytest.approx(2.0**-52 * 30 * 2.0 / 1e-5, rel=1e-12)
    model = SparseGPRegressor(
        kernel + WhiteKernel(0.1), inducing=X[::10], optimizer=None
    ).fit(X, X[:, 0])
    assert model._rounding(kernel, X, 1e-5) == pytest.approx(0.1 * dense, rel=1e-12)


def test_heavy_tails_keep_their_bound_and_spread():
    rng = np.random.default_rng(0)
    X, y = np.arange(12.0)[:, None], 10.0 * rng.standard_normal(12)
    kernel = ConstantKernel(1.0) * RBF(2.0) + WhiteKernel(0.2)
    model = SparseGPRegressor(
        kernel, likelihood="student_t", degrees=5.0, optimizer=None, inducing=X[::3]
    ).fit(X, y)
    assert model.certificate_.satisfied and model.certificate_.value <= 1e-5
    details = model.certificate_.details
    assert details["lower_bound"] == model.lower_bound_ == model.objective_
    assert details["n_inducing"] == 4 and model.upper_bound_ == np.inf
    assert model.noise_variance_ == pytest.approx(0.2 * 5 / 3 * y.var(), rel=1e-12)
    # The mean of the values at the points, from the stored factors.
    S = model.L_B_ @ model.L_B_.T
    mean = np.linalg.solve(S, model.L_B_ @ model.c_)
    across = (ConstantKernel(1.0) * RBF(2.0))(X, X[::3])
    expected = across @ np.linalg.solve(model.L_.T, mean) * y.std() + y.mean()
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-7)


def drawn_classes():
    rng = np.random.default_rng(0)
    X = rng.uniform(-3, 3, (40, 2)) * np.array([5.0, 0.2]) + np.array([100.0, 1.0])
    return X, X[:, 0] + 3.0 * rng.standard_normal(40) > 100.0


@pytest.mark.parametrize("name", ["auto", "bernoulli", "softmax"])
def test_two_classes_are_one_process_unless_softmax_is_asked_for(name):
    X, y = drawn_classes()
    model = SparseGPClassifier(
        likelihood=name, n_inducing=5, optimizer=None, random_state=0
    ).fit(X, y)
    A, k = features(model.kernel_, model.inducing_points_, model._L, X)
    count = 2 if name == "softmax" else 1
    noise = Softmax(2) if name == "softmax" else Bernoulli()
    Y = np.eye(2)[y.astype(int)] if count == 2 else np.where(y, 1.0, -1.0)[:, None]
    best, _, _ = settle(noise, Posterior.prior(5, count), A, k, Y)
    value = bound(noise, best, A, k, Y)[0]
    assert model.lower_bound_ == pytest.approx(value, rel=1e-8)
    details = model.certificate_.details
    assert details["lower_bound"] == model.lower_bound_ and details["n_inducing"] == 5
    assert model.certificate_.value <= 1e-5 and model.certificate_.satisfied


@pytest.mark.parametrize("cls", [SparseGPClassifier, SparseGPRegressor])
def test_points_start_where_they_were_given(cls):
    X, y = drawn_classes()
    model = cls(inducing=X[::8], tol=1e9).fit(X, y)
    assert model.certificate_.satisfied
    np.testing.assert_allclose(model.inducing_points_, X[::8], rtol=1e-12)


def test_units_of_features_do_not_matter_to_classes():
    X, y = drawn_classes()
    unit = 2.0**110
    new = X + 3.0 * (X - X.mean(axis=0))
    one, other = (
        SparseGPClassifier(n_inducing=5, max_iter=5, tol=1e3, random_state=0).fit(
            u * X, y
        )
        for u in (1.0, unit)
    )
    assert other.lower_bound_ == pytest.approx(one.lower_bound_, rel=1e-6)
    np.testing.assert_allclose(
        other.predict_proba(unit * new), one.predict_proba(new), atol=1e-6
    )


def test_three_classes_may_ask_for_softmax():
    X, _ = drawn_classes()
    y = np.digitize(X[:, 0], [95.0, 105.0])
    named, auto = (
        SparseGPClassifier(likelihood=n, inducing=X[::8], optimizer=None).fit(X, y)
        for n in ("softmax", "auto")
    )
    assert named.lower_bound_ == pytest.approx(auto.lower_bound_, rel=1e-12)
    assert named._posterior.mean.shape == (5, 3)


@pytest.mark.parametrize("cls", [SparseGPClassifier, SparseGPRegressor])
def test_points_beside_zeros_are_told_from_them(cls):
    kernel = ConstantKernel(2.0) * RBF(1.0)
    if cls is SparseGPRegressor:
        kernel = kernel + WhiteKernel(0.1)
    X, y = np.zeros((6, 1)), np.array([0, 1, 1, 1, 1, 1])
    model = cls(kernel, optimizer=None, inducing=[[0.0]]).fit(X, y)
    if cls is SparseGPClassifier:
        p = model.predict_proba([[0.0], [60.0]])[:, 1]
        assert p[0] > 0.6 and p[1] == pytest.approx(0.5)
    else:
        std = model.predict([[0.0], [60.0]], return_std=True)[1]
        assert std[1] == pytest.approx(np.sqrt(2.1) * y.std(), rel=1e-9)
        assert std[0] < 0.3 * std[1]


@pytest.mark.parametrize("batch", [15, 20])
def test_a_stream_measures_its_last_step_and_its_bound(batch):
    X, y = drawn_classes()
    model = SparseGPClassifier(n_inducing=5, random_state=0, optimizer=None)
    first = slice(0, batch)
    model.fit(X[first], y[first])
    kernel, Z, L = model.kernel_, model.inducing_points_, model._L
    prior, n_iter = model._posterior, model.n_iter_
    A, k = features(kernel, Z, L, X[batch:])
    Y = np.where(y[batch:], 1.0, -1.0)[:, None]
    model.partial_fit(X[batch:], y[batch:])
    best, seen, far = settle(Bernoulli(), prior, A, k, Y, prior=prior)
    S, T = (np.linalg.inv(p.root(0) @ p.root(0).T) for p in (best, prior))
    rest = best.mean[:, 0] - prior.mean[:, 0]
    cost = np.trace(np.linalg.solve(T, S)) - 5 + rest @ np.linalg.solve(T, rest)
    cost += np.linalg.slogdet(T)[1] - np.linalg.slogdet(S)[1]
    value = Bernoulli().expected(Y, seen.mean, seen.variance)[0].sum() - 0.5 * cost
    assert model.lower_bound_ == pytest.approx(value, rel=1e-8)
    assert model.n_iter_ == n_iter + 1
    certificate = model.certificate_
    assert certificate.value == pytest.approx(np.sqrt(far) / len(Y), rel=1e-6)
    assert certificate.tol == model.tol and certificate.satisfied
    # Counted from where the step leads: nothing is left of it.
    again = settle(Bernoulli(), best, A, k, Y, prior=prior, max_steps=1)[2]
    assert np.sqrt(again) / len(Y) <= certificate.tol


def test_batches_promise_nothing_and_say_the_slope_of_all_rows():
    X, y = drawn_classes()
    model = SparseGPClassifier(
        n_inducing=5, batch_size=10, max_iter=3, optimize_inducing=False, random_state=0
    ).fit(X, y)
    certificate = model.certificate_
    assert certificate.tol == np.inf and certificate.satisfied
    assert model.n_iter_ == len(model.history_) == 3
    bound, theta = [], model.kernel_.theta
    for j in range(len(theta)):
        for side in (1e-4, -1e-4):
            moved = theta.copy()
            moved[j] += side
            there = SparseGPClassifier(
                model.kernel_.clone_with_theta(moved), inducing=model.inducing_points_,
                optimizer=None,
            ).fit(X, y)  # fmt: skip
            bound.append(there.lower_bound_)
    slopes = np.subtract(bound[::2], bound[1::2]) / 2e-4 / 40
    slopes = projected(slopes, theta, model.kernel_.bounds)
    assert certificate.value == pytest.approx(np.abs(slopes).max(), rel=1e-2)


# Deep kernel machines


def drawn_numbers(n=12):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (n, 2)) * np.array([3.0, 0.5]) + np.array([20.0, 7.0])
    return X, np.abs(X[:, 0] - 20.0) + 0.3 * rng.standard_normal(n)


@pytest.mark.parametrize("options", [{}, {"batch_size": 4}, {"n_inducing": 5}])
def test_deep_machines_say_where_they_ended(options):
    X, y = drawn_numbers()
    model = DeepKernelMachineRegressor(
        1, nu=20.0, max_iter=4, tol=1e-9, random_state=0,
        **{"n_inducing": None, "learn_inducing": False, **options},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    certificate, details = model.certificate_, model.certificate_.details
    batch = "batch_size" in options
    Z = model.inducing_points_
    if "n_inducing" not in options:
        order = np.lexsort(Z.T), np.lexsort(X.T)
        np.testing.assert_allclose(Z[order[0]], X[order[1]], rtol=1e-9)
    assert np.all(Z >= X.min(axis=0) - 1e-9) and np.all(Z <= X.max(axis=0) + 1e-9)
    assert details["optimized"] is not batch and details["nu"] == model.nu_ == 20.0
    assert details["n_inducing"] == len(Z) == options.get("n_inducing", 12)
    assert certificate.tol == (np.inf if batch else 1e-9)
    assert certificate.satisfied == batch and model.n_iter_ <= 4
    assert len(model.history_) >= 1
    # The divergence of the layer, and the evidence of its kernel or Titsias' bound.
    U = np.column_stack([(Z - X.mean(axis=0)) / X.std(axis=0), np.ones(len(Z))])
    G = (U * model.feature_weights_) @ U.T
    prior = between("relu", G, G.diagonal(), G.diagonal())
    ratio = np.linalg.solve(prior, model.grams_[0])
    divergence = 0.5 * (np.trace(ratio) - np.linalg.slogdet(ratio)[1] - len(Z))
    assert divergence > 1e-4
    assert details["divergence"] == pytest.approx(divergence, rel=1e-4)
    K, across = model.kernel_matrix(Z), model.kernel_matrix(X, Z)
    Q = across @ np.linalg.solve(K, across.T)
    noise = model.noise_variance_ / y.var()
    t = (y - y.mean()) / y.std()
    value = multivariate_normal(cov=Q + noise * np.eye(12)).logpdf(t)
    value -= 0.5 * np.trace(model.kernel_matrix(X) - Q) / noise
    value -= 20.0 * divergence
    assert model.objective_ == pytest.approx(value, rel=1e-4)
    assert details["objective"] == model.objective_


@pytest.mark.parametrize("dense", [True, False])
def test_slopes_of_deep_evidence_are_those_of_single_entries(dense):
    rng = np.random.default_rng(0)
    L = np.tril(rng.standard_normal((5, 5))) + 2 * np.eye(5)
    Y, noise = rng.standard_normal((5, 2)), 0.7
    K = L @ L.T
    if dense:
        value, K_bar, noise_bar = gaussian_evidence(L, Y, noise)

        def at(K, noise):
            C = K + noise * np.eye(5)
            return sum(multivariate_normal(cov=C).logpdf(y) for y in Y.T)

        assert value == pytest.approx(at(K, noise), rel=1e-12)
        C = np.linalg.inv(K + noise * np.eye(5))
        np.testing.assert_allclose(K_bar, 0.5 * (C @ Y @ Y.T @ C - 2 * C), rtol=1e-9)
        slope = (at(K, noise + 1e-5) - at(K, noise - 1e-5)) / 2e-5
        assert noise_bar == pytest.approx(slope, rel=1e-7)
        return
    A, T = rng.standard_normal((3, 30)), rng.standard_normal((30, 2))
    M, v, square = A @ A.T, A @ T, np.sum(T * T)
    total = np.trace(M) + 4.0
    arguments = [M, v, square, total, 30, noise]
    _, (M_bar, v_bar, k_bar, noise_bar), found = titsias(*arguments)

    def slope(place, step):
        ends = []
        for side in (1e-5, -1e-5):
            moved = list(arguments)
            moved[place] = moved[place] + side * step
            ends.append(titsias(*moved)[0])
        return (ends[0] - ends[1]) / 2e-5

    step = rng.standard_normal((3, 3))
    step = step + step.T
    assert np.sum(M_bar * step) == pytest.approx(slope(0, step), rel=1e-6)
    step = rng.standard_normal((3, 2))
    assert np.sum(v_bar * step) == pytest.approx(slope(1, step), rel=1e-6)
    assert k_bar == pytest.approx(slope(3, 1.0), rel=1e-7)
    assert noise_bar == pytest.approx(slope(5, 1.0), rel=1e-7)
    precision = np.eye(3) + M / noise
    np.testing.assert_allclose(
        found.mean, np.linalg.solve(precision, v) / noise, rtol=1e-9
    )
    np.testing.assert_allclose(found.root(0) @ found.root(0).T, precision, rtol=1e-9)


def deep_settings(**other):
    settings = {
        "kernel": "relu", "n_layers": 1, "nu": 3.0, "n_inducing": 4,
        "learn_inducing": True, "learn_scales": True, "n_constant": 1,
        "noise_floor": 1e-2, "jitter": 1e-10, "max_iter": 3, "tol": 1e-9,
        "batch_size": None,
    }  # fmt: skip
    return _deep_fit.DeepSettings(**{**settings, **other})


def deep_data(n=11, n_outputs=2):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((n, 2)), np.ones(n)])
    return X, rng.standard_normal((n, n_outputs))


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("batch", [None, 4, 10, 11, 99])
def test_the_slope_of_deep_fits_is_that_at_their_end(batch, classes, monkeypatch):
    X, Y = deep_data()
    if classes:
        Y = np.sign(Y[:, :1])
    seen, build, batches = [], _deep_fit._evidence, []

    def watched(*arguments):
        seen.append(build(*arguments))
        inner = seen[-1].on_batch

        def on_batch(x, rows, posterior, *, step):
            batches.append(rows)
            return inner(x, rows, posterior, step=step)

        seen[-1].on_batch = on_batch
        return seen[-1]

    monkeypatch.setattr(_deep_fit, "_evidence", watched)
    noise = Bernoulli() if classes else None
    found = _deep_fit.fit_deep(
        X, Y, noise, deep_settings(batch_size=batch), np.random.RandomState(0),
        FitProgress(None, 3),
    )  # fmt: skip
    (evidence,) = seen
    bounds = evidence.start(*evidence.given)[1]
    value, gradient = evidence(found.top.x)
    slope = np.abs(projected(gradient, found.top.x, bounds)).max() / 11
    assert found.top.value == pytest.approx(value, rel=1e-6)
    assert found.top.slope == pytest.approx(slope, rel=1e-3)
    assert (found.nu, found.top.n_iter) == (3.0, len(found.top.history))
    if batch is None:
        assert not batches
        return
    size = min(batch, 11)
    each = 11 // size
    assert found.top.n_iter == 3 and len(batches) == 3 * each
    for one in range(3):
        rows = np.concatenate(batches[one * each : (one + 1) * each])
        assert len(rows) == size * each == len(np.unique(rows))


def test_widths_that_have_no_optimum_are_refused_and_others_are_not():
    def fit(n_outputs, **other):
        settings = deep_settings(n_inducing=None, max_iter=1, **other)
        return _deep_fit.fit_deep(
            *deep_data(6, n_outputs), None, settings, np.random.RandomState(0),
            FitProgress(None, 1),
        )  # fmt: skip

    for nu, n_outputs in ((0.5, 1), (1.0, 1), (2.0, 2), (1.5, 2)):
        with pytest.raises(ValueError, match="unbounded objective"):
            fit(n_outputs, nu=nu, noise_floor=0.0)
        assert fit(n_outputs, nu=nu).nu == nu
    assert fit(1, nu=1.5, noise_floor=0.0).nu == 1.5
    assert fit(2, nu=2.5, noise_floor=0.0).nu == 2.5
    # Without layers, or with points, no width is too small.
    assert fit(2, n_layers=0, nu=1.0, noise_floor=0.0).nu == np.inf
    few = deep_settings(n_inducing=6, nu=0.5, max_iter=1, noise_floor=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # as many points as rows
        found = _deep_fit.fit_deep(
            *deep_data(6), None, few, np.random.RandomState(0), FitProgress(None, 1)
        )
    assert found.nu == 0.5 and len(found.state.Z) == 6


@pytest.mark.parametrize("learn_scales", [True, False])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_one_step_on_all_rows_is_the_bound_that_sums_make(learn_scales, n_layers):
    X, Y = deep_data()
    evidence = DeepEvidence(
        X, Y, X[:4].copy(), kernel="relu", n_layers=n_layers, nu=3.0, likelihood=None,
        dense=False, learn_scales=learn_scales, learn_inducing=True, n_constant=1,
        noise_floor=1e-2, jitter=1e-10,
    )  # fmt: skip
    x, bounds = evidence.start(np.array([0.5, 0.4, 0.2]), 1.2, 0.3)
    rng = np.random.default_rng(1)
    x = x + 0.1 * rng.standard_normal(len(x))
    assert bounds.shape == (len(x), 2)
    value, slopes = evidence(x)
    prior = Posterior.prior(4, 2)
    other, others, _ = evidence.on_batch(x, np.arange(11), prior, step=1.0)
    assert other == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(others, slopes, atol=1e-7 * np.abs(slopes).max())
    # Two equal halves stand for the whole.
    twice = DeepEvidence(
        np.vstack([X, X]), np.vstack([Y, Y]), evidence.Z, kernel="relu",
        n_layers=n_layers, nu=3.0, likelihood=None, dense=False,
        learn_scales=learn_scales, learn_inducing=True, n_constant=1,
        noise_floor=1e-2, jitter=1e-10,
    )  # fmt: skip
    twice.start(np.array([0.5, 0.4, 0.2]), 1.2, 0.3)
    x = evidence.start(np.array([0.5, 0.4, 0.2]), 1.2, 0.3)[0]
    value, slopes = twice(x)
    other, others, _ = twice.on_batch(x, np.arange(11), prior, step=1.0)
    assert other == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(others, slopes, atol=1e-7 * np.abs(slopes).max())
    for e in np.eye(len(x))[rng.permutation(len(x))[:6]]:
        ends = [twice(x + side * 1e-5 * e)[0] for side in (1, -1)]
        slope = (ends[0] - ends[1]) / 2e-5
        assert slopes @ e == pytest.approx(slope, abs=1e-6 * np.abs(slopes).max())


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_slopes_of_several_targets_are_those_of_differences(alpha):
    rng = np.random.default_rng(0)
    X, Y = rng.uniform(-2, 2, (15, 1)), rng.standard_normal((15, 3))
    kernel, Z = ConstantKernel(1.4) * RBF(0.7) + WhiteKernel(0.2), X[:4] + 0.1

    def at(theta, Z):
        moved = kernel.clone_with_theta(theta)
        return evaluate(moved, Z, X, Y, alpha=alpha, jitter=1e-10).objective

    state = evaluate(kernel, Z, X, Y, alpha=alpha, jitter=1e-10, want_points=True)
    parts = [evaluate(kernel, Z, X, y[:, None], alpha=alpha, jitter=1e-10) for y in Y.T]
    assert state.objective == pytest.approx(sum(p.objective for p in parts), rel=1e-9)
    for step, slope in zip(1e-5 * np.eye(3), state.gradient, strict=True):
        ends = at(kernel.theta + step, Z) - at(kernel.theta - step, Z)
        assert slope == pytest.approx(ends / 2e-5, rel=1e-5, abs=1e-5)
    for step, slope in zip(1e-5 * np.eye(4), state.Z_gradient[:, 0], strict=True):
        step = step[:, None]
        ends = at(kernel.theta, Z + step) - at(kernel.theta, Z - step)
        assert slope == pytest.approx(ends / 2e-5, rel=1e-4, abs=1e-4)
