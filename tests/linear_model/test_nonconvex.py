"""MCP and SCAD: prox, stationarity from outside, limits, paths, bad input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.model_selection import KFold

import sparsestat.linear_model as ssl
from sparsestat.datasets import make_sparse_regression
from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model._penalized import _kernels_cd as kernels
from sparsestat.linear_model._penalized._penalties import ConcavePenalty
from tests.linear_model.penalty_oracles import concave_problem, concave_value

TIGHT = 1e-12
KINDS = {"mcp": (ssl.MCPRegressor, "gamma", 3.0), "scad": (ssl.SCADRegressor, "a", 3.7)}
kinds = pytest.mark.parametrize("kind", list(KINDS))


def problem(seed=0, n=60, p=100, density=None, **options):
    data = make_sparse_regression(
        n, p, n_nonzero=8, snr=5, design="toeplitz", rho=0.5, random_state=seed
    )
    X = data.X * np.geomspace(0.2, 5, p)
    if density is not None:
        X = X * (np.random.default_rng(seed).random(X.shape) < density)
    return X, data.y + 3.0


def largest_alpha(X, y, s=None):
    s = np.ones(len(y)) if s is None else s
    return np.abs(
        (s[:, None] * (X - s @ X / s.sum())).T @ (y - s @ y / s.sum())
    ).max() / (s.sum())


@kinds
@pytest.mark.parametrize("curvature", [0.5, 1.0, 2.0, 7.0])
def test_prox_against_a_grid(kind, curvature):
    # Concavity of unit curvature over the shape: below it the prox is a jump.
    alpha = 0.7
    for shape in (1.5, 3.0) if kind == "mcp" else (2.3, 3.7):
        divisor = shape if kind == "mcp" else shape - 1
        code = kernels.MCP if kind == "mcp" else kernels.SCAD
        grid = np.linspace(-12, 12, 240_001)
        values = concave_value(kind, grid, alpha, shape)
        for z in np.linspace(-6, 6, 41):
            found = kernels.prox(
                code, np.array([shape]), z, alpha, curvature, 1.0 / divisor
            )
            objective = 0.5 * curvature * grid**2 - z * grid + values
            at = 0.5 * curvature * found**2 - z * found
            at += concave_value(kind, found, alpha, shape)
            assert at <= objective.min() + 1e-10
            best = grid[np.argmin(objective)]
            second = np.min(objective[np.abs(grid - best) > 1e-2])
            if second > objective.min() + 1e-5:  # a unique minimizer
                assert_allclose(found, best, atol=1e-4)


@kinds
def test_value_and_derivatives_against_the_definition(kind):
    shape, total = KINDS[kind][2], 40.0
    w = np.linspace(-8, 8, 33)
    penalty = ConcavePenalty(kind, 0.6, shape, np.full(33, total), total)
    one = [penalty.restricted([j]).value(w[j : j + 1]) for j in range(33)]
    assert_allclose(one, total * concave_value(kind, w, 0.6, shape), rtol=1e-12)
    assert_allclose(penalty.value(w), np.sum(one), rtol=1e-12)
    h = 1e-6
    first, _ = penalty.derivatives(w + h)
    below, second = penalty.derivatives(w - h)
    numeric = concave_value(kind, w + h, 0.6, shape)
    numeric = (numeric - concave_value(kind, w - h, 0.6, shape)) * total / (2 * h)
    smooth = w != 0
    assert_allclose(0.5 * (first + below)[smooth], numeric[smooth], atol=1e-6)
    assert_allclose(((first - below) / (2 * h))[smooth][5:10], second[smooth][5:10])


@kinds
@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array, sparse.csr_matrix])
@pytest.mark.parametrize("divisor", [3, 20])
def test_fit_is_stationary_seen_from_outside(kind, container, divisor):
    cls, _, shape = KINDS[kind]
    density = None if container is np.asarray else 0.03
    X, y = problem(n=90, density=density)
    s = np.random.default_rng(1).random(90) + 0.1
    alpha = largest_alpha(X, y, s) / divisor
    model = cls(alpha, tol=1e-10).fit(container(X), y, sample_weight=s)
    value, violation = concave_problem(
        X, y, model.coef_, alpha, kind, shape, sample_weight=s
    )
    assert model.certificate_.kind == "kkt" and model.certificate_.satisfied
    assert violation <= 1e-10 * (1 + 1e-3)
    assert_allclose(model.certificate_.value, violation, atol=1e-13)
    assert_allclose(model.objective_, value, rtol=1e-12)
    assert len(model.history_) == model.n_iter_
    assert not hasattr(model, "dual_gap_")


@kinds
def test_sparse_and_dense_are_equal(kind):
    cls = KINDS[kind][0]
    for density in (0.03, 0.3):
        X, y = problem(n=90, density=density)
        alpha = 0.2 * largest_alpha(X, y)
        dense = cls(alpha, tol=TIGHT).fit(X, y)
        stored = sparse.csc_array(X)
        thin = cls(alpha, tol=TIGHT).fit(stored, y)
        assert_allclose(thin.coef_, dense.coef_, atol=1e-9)
        assert_allclose(thin.intercept_, dense.intercept_, atol=1e-9)


@kinds
def test_alpha_max_and_just_below(kind, global_random_seed):
    cls = KINDS[kind][0]
    X, y = problem(seed=global_random_seed)
    top = largest_alpha(X, y)
    assert not cls(top * (1 + 1e-12), tol=TIGHT).fit(X, y).coef_.any()
    assert np.count_nonzero(cls(0.999 * top, tol=TIGHT).fit(X, y).coef_) == 1


@kinds
def test_orthonormal_design_has_a_closed_form(kind):
    cls, _, shape = KINDS[kind]
    rng = np.random.default_rng(3)
    n, alpha = 50, 0.4
    Q = np.linalg.qr(rng.standard_normal((n, 20)))[0] * np.sqrt(n)
    y = Q @ rng.normal(scale=1.5, size=20) + 0.1 * rng.standard_normal(n)
    z = Q.T @ y / n
    grid = np.linspace(-6, 6, 1_200_001)
    model = cls(alpha, fit_intercept=False, tol=1e-14).fit(Q, y)
    for found, u in zip(model.coef_, z, strict=True):
        objective = 0.5 * (grid - u) ** 2 + concave_value(kind, grid, alpha, shape)
        assert_allclose(found, grid[np.argmin(objective)], atol=1e-4)
    large = np.abs(z) > 1.01 * shape * alpha
    assert large.any()
    assert_allclose(model.coef_[large], z[large], rtol=1e-12)  # unshrunk


@kinds
@pytest.mark.parametrize("shape", [1e8, np.inf])
def test_without_concavity_it_is_the_lasso(kind, shape):
    cls, name, _ = KINDS[kind]
    X, y = problem(seed=4)
    alpha = 0.1 * largest_alpha(X, y)
    model = cls(alpha, tol=TIGHT, **{name: shape}).fit(X, y)
    lasso = ssl.Lasso(alpha, tol=1e-15).fit(X, y)
    assert_allclose(model.coef_, lasso.coef_, atol=1e-6)


@kinds
def test_weights_equal_repetition(kind):
    cls = KINDS[kind][0]
    X, y = problem(seed=5)
    s = np.random.default_rng(5).integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), s)
    a = cls(0.3, tol=1e-13).fit(X, y, sample_weight=s)
    b = cls(0.3, tol=1e-13).fit(X[rows], y[rows])
    assert_allclose(a.coef_, b.coef_, atol=1e-10)
    assert_allclose(a.intercept_, b.intercept_, atol=1e-10)


@kinds
def test_equivariance_to_permutation_and_scale(kind):
    cls = KINDS[kind][0]
    X, y = problem(seed=6)
    alpha = 0.2 * largest_alpha(X, y)
    base = cls(alpha, tol=TIGHT).fit(X, y)
    order = np.random.default_rng(0).permutation(X.shape[1])
    permuted = cls(alpha, tol=TIGHT).fit(X[:, order], y)
    assert_allclose(permuted.coef_, base.coef_[order], atol=1e-8)
    for c in (1e-6, 1e6):
        scaled = cls(c * alpha, tol=TIGHT).fit(X, c * y)
        assert_allclose(scaled.coef_, c * base.coef_, atol=1e-8 * c)


@kinds
def test_feature_weights_free_drop_and_rescale(kind):
    cls, _, shape = KINDS[kind]
    X, y = problem(seed=7)
    alpha = 0.3 * largest_alpha(X, y)
    omega = np.ones(X.shape[1])
    omega[0], omega[1], omega[2:10] = 0.0, np.inf, 0.5
    model = cls(alpha, feature_weights=omega, tol=TIGHT).fit(X, y)
    assert model.coef_[0] != 0 and model.coef_[1] == 0
    keep = np.arange(X.shape[1]) != 1
    value, violation = concave_problem(
        X[:, keep], y, model.coef_[keep], alpha, kind, shape, omega[keep]
    )
    assert violation <= 1e-11
    assert_allclose(model.objective_, value, rtol=1e-10)


@kinds
def test_path_warm_starts_and_is_certified(kind):
    cls, _, shape = KINDS[kind]
    X, y = problem(seed=8)
    path = cls.path(X, y, fit_intercept=True, alphas=25, eps=0.02, tol=1e-9)
    assert path.coefs.shape == (100, 25) and not path.coefs[:, 0].any()
    assert np.all(path.gaps <= 1e-9)
    for k in (5, 15, 24):
        _, violation = concave_problem(
            X, y, path.coefs[:, k], path.alphas[k], kind, shape
        )
        assert_allclose(violation, path.gaps[k], atol=1e-12)
    again = cls.path(
        X, y, fit_intercept=True, alphas=[path.alphas[9]], tol=1e-9,
        coef_init=path.coefs[:, 9],
    )  # fmt: skip
    assert_allclose(again.coefs[:, 0], path.coefs[:, 9], atol=1e-7)


@kinds
def test_warm_start_stays_where_it_was(kind):
    cls = KINDS[kind][0]
    X, y = problem(seed=9)
    model = cls(0.5, warm_start=True, tol=1e-10).fit(X, y)
    before = model.coef_.copy()
    model.fit(X, y)
    assert model.n_iter_ <= 2
    assert_allclose(model.coef_, before, atol=1e-9)


def test_cross_validation_does_not_depend_on_workers_and_tries_shapes():
    X, y = problem(seed=10, p=40)
    options = {"alphas": 15, "eps": 0.05, "cv": 3, "gamma": [2.0, 4.0]}
    one = ssl.MCPRegressorCV(**options).fit(X, y)
    two = ssl.MCPRegressorCV(n_jobs=2, **options).fit(X, y)
    assert_array_equal(one.mse_path_, two.mse_path_)
    assert_array_equal(one.coef_, two.coef_)
    assert one.mse_path_.shape == (2, 15, 3) and one.alphas_.shape == (2, 15)
    assert one.gamma_ in (2.0, 4.0)
    row = options["gamma"].index(one.gamma_)
    best = one.mse_path_[row].mean(axis=1).argmin()
    assert one.alpha_ == one.alphas_[row, best]
    _, violation = concave_problem(X, y, one.coef_, one.alpha_, "mcp", one.gamma_)
    assert violation <= one.tol
    assert one.kkt_residuals_.shape == (15,)


def test_less_biased_than_the_lasso():
    data = make_sparse_regression(150, 400, n_nonzero=6, snr=20, random_state=0)
    data.coef = np.where(data.coef != 0, np.sign(data.coef), 0.0)
    data.y = data.X @ data.coef + np.random.default_rng(0).standard_normal(150)
    mcp = ssl.MCPRegressorCV(alphas=30, eps=0.02, criterion="ebic").fit(data.X, data.y)
    scad = ssl.SCADRegressorCV(alphas=30, eps=0.02, criterion="ebic").fit(
        data.X, data.y
    )
    lasso = ssl.LassoCV(alphas=30, eps=0.02, criterion="ebic").fit(data.X, data.y)
    true = np.flatnonzero(data.coef)
    assert_array_equal(np.flatnonzero(mcp.coef_), true)
    errors = [np.linalg.norm(m.coef_ - data.coef) for m in (mcp, scad, lasso)]
    assert max(errors[:2]) < 0.5 * errors[2]


@kinds
def test_degenerate_data(kind):
    cls = KINDS[kind][0]
    X, y = problem(seed=11, p=20)
    assert not cls(0.1).fit(X, np.ones(len(y))).coef_.any()
    X[:, 3] = 0.0
    X[:, 5] = 1e-12 * X[:, 5]  # a tiny norm makes a huge step, not a huge answer
    model = cls(0.05, tol=1e-8).fit(X, y)
    assert model.coef_[3] == 0 and np.isfinite(model.coef_).all()
    single = cls(0.05, tol=1e-6).fit(X.astype(np.float32), y)
    assert single.coef_.dtype == np.float32 and single.certificate_.satisfied
    with pytest.warns(UserWarning, match="least squares"):
        free = cls(0.0).fit(X[:, 6:15], y)
    assert_allclose(free.coef_, np.linalg.lstsq(
        X[:, 6:15] - X[:, 6:15].mean(0), y - y.mean(), rcond=None)[0], rtol=1e-8
    )  # fmt: skip


def test_non_convergence_is_said_once_with_its_figure():
    X, y = problem(seed=12)
    with pytest.warns(ConvergenceWarning, match="kkt is .* max_iter") as caught:
        ssl.MCPRegressor(0.05, max_iter=1).fit(X, y)
    assert len(caught) == 1


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_cross_validation_that_stops_early_everywhere_warns_once(n_jobs):
    X, y = problem(seed=12)
    folds = list(KFold(4).split(X))
    options = {"alphas": 30, "max_epochs": 1}

    def missed(rows, gamma):
        with pytest.warns(ConvergenceWarning):
            path = ssl.MCPRegressor.path(
                X[rows], y[rows], gamma=gamma, fit_intercept=True, **options
            )
        return path.gaps[path.gaps > 1e-4]

    gammas = [1.5, 3.0]
    assert min(len(missed(train, g)) for train, _ in folds for g in gammas) > 10
    cv = ssl.MCPRegressorCV(gamma=gammas, cv=folds, n_jobs=n_jobs, **options)
    with pytest.warns(ConvergenceWarning) as caught:
        cv.fit(X, y)
    assert len(caught) == 1 and caught[0].filename == __file__
    words = str(caught[0].message)
    assert words.startswith("MCPRegressorCV: the largest violation on the path is ")
    assert "largest gradient at zero" in words and "Increase max_iter or max" in words
    largest = missed(slice(None), cv.gamma_).max()
    assert f"is {largest:.3e}, above the tolerance 1.000e-04" in words


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (ssl.MCPRegressor, {"gamma": 1.0}, "gamma"),
        (ssl.MCPRegressor, {"gamma": -2.0}, "gamma"),
        (ssl.SCADRegressor, {"a": 2.0}, "'a' parameter"),
        (ssl.MCPRegressor, {"alpha": -1.0}, "alpha"),
        (ssl.MCPRegressor, {"feature_weights": [1.0, 2.0]}, "one multiplier"),
        (ssl.MCPRegressorCV, {"gamma": [3.0, 0.5]}, "above 1"),
        (ssl.SCADRegressorCV, {"a": [1.5]}, "above 2"),
        (ssl.MCPRegressorCV, {"gamma": []}, "gamma"),
        (ssl.MCPRegressorCV, {"alphas": [-1.0, 1.0]}, "negative"),
    ],
)
def test_bad_parameters_are_refused(cls, arguments, message):
    X, y = problem(p=20)
    with pytest.raises(ValueError, match=message):
        cls(**arguments).fit(X, y)


def test_bad_data_are_refused():
    X, y = problem(p=20)
    with pytest.raises(ValueError, match="above 1"):
        ssl.MCPRegressor.path(X, y, gamma=0.9)
    with pytest.raises(ValueError, match="NaN"):
        ssl.SCADRegressor().fit(np.where(X > 2, np.nan, X), y)
    with pytest.raises(ValueError, match="Negative values"):
        ssl.SCADRegressor().fit(X, y, sample_weight=-np.ones(len(y)))
    with pytest.raises(ValueError, match="coef_init"):
        ssl.SCADRegressor.path(X, y, coef_init=np.ones(3))
