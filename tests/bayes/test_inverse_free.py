"""InverseFreeSBL: the ridge limit, the monotone bound, containers and accuracy."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

from sparsestat.bayes import InverseFreeSBL, SBLRegressor
from sparsestat.bayes._cofem import Products
from sparsestat.bayes._inverse_free import curvature_bound, solve_inverse_free
from sparsestat.bayes._records import Noise, Stop
from sparsestat.exceptions import ConvergenceWarning
from tests.bayes.test_sbl import draw, nmse


def solve(H, Y, **changes):
    squares = (np.abs(H) ** 2).sum(axis=0)
    top = float(np.linalg.norm(H, 2) ** 2)
    arguments = {
        "majorizer": np.full(H.shape[1], 1.0001 * top),
        "squares": squares,
        "noise": Noise(changes.pop("noise_variance", 0.1), 0.1, 1e-10),
        "stop": Stop(changes.pop("tol", 1e-13), changes.pop("max_iter", 5000)),
        "prior": (1e-6, 1e-6, 1e-6, 1e-6),
        "total": float(len(H)),
        "is_complex": H.dtype.kind == "c",
        "accelerate": False,
        "rho_init": 1.0,
    }
    return solve_inverse_free(Products(H), Y, **{**arguments, **changes})


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("dtype", [float, complex])
def test_fixed_precisions_give_the_ridge_solution(dtype, accelerate):
    H, y, _, _ = draw(30, 20, 5, dtype=dtype)
    rho = np.random.default_rng(0).uniform(0.5, 5.0, size=20)
    found = solve(
        H, y[:, None], fixed_precision=rho, accelerate=accelerate, max_iter=20_000
    )
    kappa = 10.0
    ridge = np.linalg.solve(
        kappa * H.conj().T @ H + np.diag(rho), kappa * H.conj().T @ y
    )
    np.testing.assert_allclose(found.mean[:, 0], ridge, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("n_targets", [1, 3])
def test_the_bound_never_rises_without_momentum(dtype, learn, n_targets):
    H, Y, _, _ = draw(30, 40, 5, dtype=dtype, n_targets=n_targets)
    found = solve(
        H,
        Y,
        noise_variance=None if learn else 0.01,
        bound_noise=True,
        track_energy=True,
        max_iter=200,
    )
    energies = np.array(found.energies)
    assert len(energies) > 50
    assert np.diff(energies).max() <= 1e-9 * np.abs(energies).max()


def test_orthonormal_columns_have_the_closed_form():
    # With T = 1 the bound is exact; mu and rho solve a scalar fixed point.
    rng = np.random.default_rng(0)
    H = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    y = H @ (4.0 * rng.standard_normal(12))
    s2, q0 = 0.25, H.T @ y
    found = solve(
        H, y[:, None], noise_variance=s2, majorizer=np.ones(12), prior=(0, 0, 0, 0),
        max_iter=50_000, tol=1e-15,
    )  # fmt: skip
    gamma = np.maximum(q0**2 - s2, 0.0)
    clear = q0**2 > 2 * s2
    np.testing.assert_allclose(1 / found.precision[clear], gamma[clear], rtol=1e-6)
    shrunk = (1 - s2 / q0**2) * q0
    np.testing.assert_allclose(found.mean[clear, 0], shrunk[clear], rtol=1e-6)


def test_a_majorizer_that_is_too_small_is_raised():
    H, y, _, _ = draw(30, 20, 5)
    small = np.full(20, 0.1 * np.linalg.norm(H, 2) ** 2)
    arguments = {"fixed_precision": np.ones(20), "max_iter": 20_000, "tol": 1e-12}
    found = solve(H, y[:, None], majorizer=small, **arguments)
    right = solve(H, y[:, None], **arguments)
    doublings = np.log2(found.majorizer / small)
    assert np.all(doublings == np.round(doublings)) and doublings[0] >= 1
    assert found.majorizer[0] < 4 * np.linalg.norm(H, 2) ** 2
    np.testing.assert_allclose(found.mean, right.mean, atol=1e-8)


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("dtype", [float, complex])
def test_all_updates_rest_at_the_end(dtype, accelerate):
    H, Y, _, _ = draw(30, 12, 5, dtype=dtype, n_targets=2)
    h = 1.0 if dtype is complex else 0.5
    prior = (0.5, 0.2, 0.7, 0.3)
    found = solve(
        H, Y, noise_variance=None, prior=prior, accelerate=accelerate, max_iter=20_000
    )
    assert found.converged and found.change <= 1e-13
    rho, kappa, T = found.precision, found.noise_precision, found.majorizer
    squares, v = (np.abs(H) ** 2).sum(axis=0), 1 / (rho + kappa * T)
    power = (np.abs(found.mean) ** 2).sum(axis=1) + 2 * v
    np.testing.assert_allclose(rho, (0.5 + 2 * h) / (0.2 + h * power), rtol=1e-6)
    error = (np.abs(Y - H @ found.mean) ** 2).sum() + 2 * (v * squares).sum()
    assert kappa == pytest.approx((0.7 + 2 * h * 30) / (0.3 + h * error), rel=1e-6)
    ridge = kappa * H.conj().T @ H + np.diag(rho)
    mean = np.linalg.solve(ridge, kappa * H.conj().T @ Y)
    np.testing.assert_allclose(found.mean, mean, atol=1e-6)
    dof = (kappa * squares / (rho + kappa * squares)).sum()
    assert found.dof == pytest.approx(dof, rel=1e-12)
    # What a start says of the precisions.
    start = solve(H, Y, noise_variance=0.1, prior=prior, start=mean, max_iter=0)
    power = (np.abs(mean) ** 2).sum(axis=1) + 2 / (1.0 + 10.0 * squares)
    expected = (0.5 + 2 * h) / (0.2 + h * power)
    np.testing.assert_allclose(start.precision, expected, rtol=1e-9)
    assert not start.converged and start.n_iter == 0


def test_power_steps_find_the_largest_eigenvalue():
    H, _, _, _ = draw(30, 20, 5)
    top = np.linalg.norm(H, 2) ** 2
    value = curvature_bound(Products(H), np.random.RandomState(0), 200) / 1.01
    assert 0.99 * top <= value <= top * (1 + 1e-12)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("majorizer", ["lmax", "diagonal"])
def test_sparse_signals_are_recovered(majorizer, dtype):
    H, y, x, s2 = draw(80, 150, 6, dtype=dtype)
    model = InverseFreeSBL(
        s2, majorizer=majorizer, allow_complex=True, max_iter=20_000, random_state=0
    ).fit(H, y)
    exact = SBLRegressor(noise_variance=s2, allow_complex=True).fit(H, y)
    assert nmse(model.coef_, x) < 3 * nmse(exact.coef_, x)
    assert model.certificate_.satisfied


@pytest.mark.parametrize("majorizer", ["lmax", "diagonal"])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix])
def test_containers_and_weights_agree(container, intercept, majorizer):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 30)) * (rng.random((50, 30)) < 0.3) + 0.0
    y = X[:, :3].sum(axis=1) + 0.1 * rng.standard_normal(50) + 1.0
    weights = rng.integers(1, 3, size=50)
    new = InverseFreeSBL(
        0.01, fit_intercept=intercept, majorizer=majorizer, max_iter=100, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dense = new.fit(X, y, weights).coef_
        thin = new.fit(container(X), y, weights).coef_
        again = new.fit(np.repeat(X, weights, axis=0), np.repeat(y, weights)).coef_
        mean, std = new.predict(container(X), return_std=True)
        full = new.predict(X, return_std=True)
    np.testing.assert_allclose(thin, dense, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(again, dense, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(mean, full[0])
    np.testing.assert_allclose(std, full[1])


def test_operators_are_taken():
    H, y, x, s2 = draw(80, 100, 5)
    model = InverseFreeSBL(s2, random_state=0, max_iter=20_000)
    model.fit(aslinearoperator(H), y)
    assert nmse(model.coef_, x) < 0.02
    np.testing.assert_allclose(model.predict(aslinearoperator(H)), model.predict(H))
    with pytest.raises(ValueError, match="majorizer='diagonal'"):
        InverseFreeSBL(majorizer="diagonal").fit(aslinearoperator(H), y)
    with pytest.raises(TypeError, match="LinearOperator"):
        model.predict(aslinearoperator(H), return_std=True)


def test_variances_are_those_of_the_exact_posterior():
    H, y, _, s2 = draw(60, 40, 4)
    model = InverseFreeSBL(s2, fit_intercept=False, max_iter=5000, random_state=0)
    model.fit(H, y)
    gamma = model.gamma_
    S = s2 * np.eye(60) + (H * gamma) @ H.T
    exact = gamma - gamma**2 * (H * np.linalg.solve(S, H)).sum(axis=0)
    big = gamma > 1e-2 * gamma.max()
    np.testing.assert_allclose(model.coef_var_[big], exact[big], rtol=0.9)
    assert np.median(model.coef_var_[big] / exact[big]) == pytest.approx(1, abs=0.5)


def test_units_do_not_matter():
    H, y, _, s2 = draw(60, 40, 5)
    units = 10.0 ** np.random.default_rng(0).uniform(-4, 4, size=40)
    new = InverseFreeSBL(s2, random_state=0, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a = new.fit(H, y).coef_
        b = new.set_params(noise_variance=1e10 * s2).fit(H * units, 1e5 * y).coef_
    np.testing.assert_allclose(b * units, 1e5 * a, rtol=1e-6, atol=1e-5)


def test_limits_warn_and_constant_targets_do_not():
    H, y, _, _ = draw(30, 40, 4)
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        model = InverseFreeSBL(0.1, max_iter=3, random_state=0).fit(H, y)
    assert len(caught) == 1
    assert f"{model.certificate_.value:.3e}" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = InverseFreeSBL().fit(H, np.full(30, 0.1))
    assert not model.coef_.any()
    np.testing.assert_allclose(model.predict(H), 0.1)
    with pytest.raises(ValueError, match="noise_variance"):
        InverseFreeSBL(0.0).fit(H, y)
    with pytest.raises(ValueError, match="Complex data not supported"):
        InverseFreeSBL().fit(H + 0j, y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("majorizer", ["lmax", "diagonal"])
def test_the_majorizer_bounds_the_data_fit(majorizer, weighted):
    H, y, _, _ = draw(30, 20, 4)
    H = H * np.geomspace(1e-2, 1e2, 20) + 0.5
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 30) if weighted else None
    model = InverseFreeSBL(0.01, majorizer=majorizer, random_state=0, max_iter=2000)
    model.fit(H, y, weights)
    centered = H - np.average(H, axis=0, weights=weights)
    w = np.ones(30) if weights is None else weights
    gram = centered.T @ (w[:, None] * centered)
    norms = np.sqrt(np.diag(gram))
    slack = (np.diag(model.majorizer_) - gram) / np.outer(norms, norms)
    assert np.linalg.eigvalsh(slack)[0] >= -1e-12
    if majorizer == "lmax":  # one curvature where columns have equal norms
        scaled = model.majorizer_ / norms**2
        np.testing.assert_allclose(scaled, scaled[0])
        top = np.linalg.eigvalsh(gram / np.outer(norms, norms))[-1]
        assert top <= scaled[0] <= 1.02 * top


def test_strong_priors_fix_the_precisions_and_the_noise():
    # Gamma(s r, s) with a large s is a point at r, in units of mean square one.
    H, y, _, _ = draw(40, 12, 4)
    s, rho, kappa = 1e9, 3.0, 20.0
    model = InverseFreeSBL(
        a=s * rho, b=s, c=s * kappa, d=s, tol=1e-12, max_iter=50_000, random_state=0
    ).fit(H, y)
    A, t = H - H.mean(axis=0), y - y.mean()
    norms, scale = A.std(axis=0), t.std()
    np.testing.assert_allclose(model.noise_variance_, scale**2 / kappa, rtol=1e-5)
    np.testing.assert_allclose(model.gamma_, (scale / norms) ** 2 / rho, rtol=1e-5)
    B = A / norms
    w = np.linalg.solve(kappa * B.T @ B + rho * np.eye(12), kappa * B.T @ t) / norms
    np.testing.assert_allclose(model.coef_, w, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(model.intercept_, y.mean() - H.mean(axis=0) @ w)
    eigenvalues = np.linalg.eigvalsh(kappa * B.T @ B)
    dof = (eigenvalues / (eigenvalues + rho)).sum()
    np.testing.assert_allclose(model.dof_, dof, rtol=0.1)
    assert model.converged_
