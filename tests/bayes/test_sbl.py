"""SBLRegressor against closed forms, dense algebra, stationarity and itself."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.fft import dct, idct
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from scipy.stats import multivariate_normal
from sklearn.linear_model import ARDRegression, BayesianRidge

from sparsestat.bayes import SBLRegressor
from sparsestat.exceptions import ConvergenceWarning, NoiseCollapseWarning

DENSE = ("em", "mackay", "mm", "fast")


def draw(m, n, k, *, snr=300.0, dtype=float, n_targets=None, seed=0):
    rng = np.random.default_rng(seed)

    def normal(*shape):
        if dtype is complex:
            real, imaginary = rng.standard_normal((2, *shape))
            return (real + 1j * imaginary) / np.sqrt(2)
        return rng.standard_normal(shape)

    H = normal(m, n) / np.sqrt(m)
    x = np.zeros((n, n_targets or 1), dtype=dtype)
    x[rng.choice(n, k, replace=False)] = normal(k, n_targets or 1)
    clean = H @ x
    s2 = float((np.abs(clean) ** 2).mean() / snr)
    y = clean + np.sqrt(s2) * normal(*clean.shape)
    return (H, y, x, s2) if n_targets else (H, y[:, 0], x[:, 0], s2)


def evidence_parts(H, Y, gamma, s2):
    """Return the cost, leave-one-out s and mean |q|^2, and the mean, densely."""
    Y = Y.reshape(len(Y), -1)
    S = s2 * np.eye(len(H)) + (H * gamma) @ H.conj().T
    solved = np.linalg.solve(S, Y)
    cost = np.linalg.slogdet(S)[1]
    cost += np.real(np.sum(Y.conj() * solved)) / Y.shape[1]
    q = H.conj().T @ solved
    s = np.real(np.sum(H.conj() * np.linalg.solve(S, H), axis=0))
    return cost, s, (np.abs(q) ** 2).mean(axis=1), gamma[:, None] * q


def nmse(a, b):
    return float((np.abs(a - b) ** 2).sum() / (np.abs(b) ** 2).sum())


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("method", DENSE)
def test_posterior_equals_dense_algebra(method, dtype):
    H, y, _, s2 = draw(40, 60, 5, dtype=dtype)
    model = SBLRegressor(
        method, noise_variance=s2, fit_intercept=False, allow_complex=True
    ).fit(H, y)
    gamma = model.gamma_
    mean = evidence_parts(H, y, gamma, s2)[3][:, 0]
    np.testing.assert_allclose(model.coef_, mean, rtol=1e-9, atol=1e-12)
    S = s2 * np.eye(len(H)) + (H * gamma) @ H.conj().T
    full = np.diag(gamma) - gamma[:, None] * (
        H.conj().T @ np.linalg.solve(S, H * gamma)
    )
    active = model.active_
    np.testing.assert_allclose(
        model.sigma_, full[np.ix_(active, active)], rtol=1e-8, atol=1e-13
    )
    new = H[:7] + 0.1
    mean, std = model.predict(new, return_std=True)
    np.testing.assert_allclose(mean, new @ model.coef_)
    variance = np.real(np.einsum("ij,jk,ik->i", new, full, new.conj()))
    np.testing.assert_allclose(std**2, s2 + variance, rtol=1e-8)


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("method", ["em", "mm", "fast"])
def test_cost_never_rises_and_is_the_evidence(method, learn, accelerate):
    H, y, _, s2 = draw(40, 30, 5)
    model = SBLRegressor(
        method,
        accelerate=accelerate,
        noise_variance=None if learn else s2,
        fit_intercept=False,
        prune_tol=0.0,
        max_iter=100,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(H, y)
    history = model.history_
    assert np.all(np.diff(history) >= -1e-8 * np.abs(history).max())
    s2 = model.noise_variance_
    cost = evidence_parts(H, y, model.gamma_, s2)[0]
    with pytest.warns(FutureWarning, match="history_"):
        np.testing.assert_allclose(model.scores_[-1], cost, rtol=1e-9)
    S = s2 * np.eye(len(H)) + (H * model.gamma_) @ H.T
    log_density = multivariate_normal(cov=S).logpdf(y)
    np.testing.assert_allclose(history[-1], log_density, rtol=1e-8)


@pytest.mark.parametrize("method", DENSE)
def test_orthonormal_columns_have_the_closed_form(method):
    rng = np.random.default_rng(1)
    H = np.linalg.qr(rng.standard_normal((30, 12)))[0]
    y = H @ (4.0 * rng.standard_normal(12)) + 0.5 * rng.standard_normal(30)
    s2, q0 = 0.25, H.T @ y
    model = SBLRegressor(
        method, noise_variance=s2, fit_intercept=False, tol=1e-9, max_iter=20_000
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # em is sublinear where gamma goes to zero
        model.fit(H, y)
    gamma = np.maximum(q0**2 - s2, 0.0)
    clear = (q0**2 > 2 * s2) | ((gamma == 0) & (method != "em"))
    assert clear.sum() >= 8
    np.testing.assert_allclose(model.gamma_[clear], gamma[clear], rtol=1e-6, atol=1e-6)
    shrunk = np.maximum(1 - s2 / q0**2, 0.0) * q0
    np.testing.assert_allclose(model.coef_[clear], shrunk[clear], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["mackay", "mm", "fast"])
def test_variances_are_stationary(method):
    H, y, _, s2 = draw(50, 80, 6)
    model = SBLRegressor(
        method, noise_variance=s2, fit_intercept=False, tol=1e-8, max_iter=5000
    ).fit(H, y)
    gamma = model.gamma_
    _, s, square, _ = evidence_parts(H, y, gamma, s2)
    left = 1 - gamma * s
    s, square = s / left, square / left**2  # leave one out
    alive = gamma > 1e-6 * gamma.max()
    wanted = (square - s) / s**2
    np.testing.assert_allclose(wanted[alive], gamma[alive], rtol=1e-3)
    if method != "mackay":  # which may drop a column that the evidence wants
        assert np.all(square[gamma == 0] <= s[gamma == 0] * (1 + 1e-3))


@pytest.mark.parametrize("method", ["mm", "mackay", "em"])
def test_certificate_is_recomputed_from_outside(method):
    H, y, _, s2 = draw(40, 30, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SBLRegressor(
            method, noise_variance=s2, fit_intercept=False, prune_tol=0.0, tol=1e-3
        ).fit(H, y)
    scale = (H**2).mean(axis=0)
    gamma = model.gamma_
    _, s, square, _ = evidence_parts(H, y, gamma, s2)
    ratio = square / np.where(s > 0, s, 1)
    new = {
        "mm": gamma * np.sqrt(ratio),
        "mackay": gamma * ratio,
        "em": gamma + gamma**2 * (square - s),
    }[method]
    value = np.linalg.norm((new - gamma) * scale) / np.linalg.norm(gamma * scale)
    np.testing.assert_allclose(model.certificate_.value, value, rtol=1e-5)
    assert model.certificate_.satisfied and model.converged_


def test_extrapolation_saves_iterations_and_ends_as_low():
    H, y, _, s2 = draw(60, 150, 8)
    found = [
        SBLRegressor(noise_variance=s2, accelerate=a, tol=1e-6, max_iter=5000).fit(H, y)
        for a in (False, True)
    ]
    assert found[1].n_iter_ < 0.8 * found[0].n_iter_
    assert found[1].history_[-1] > found[0].history_[-1] - 1.0


def test_certificate_of_fast_is_the_largest_gain():
    H, y, _, s2 = draw(40, 30, 5)
    model = SBLRegressor("fast", noise_variance=s2, fit_intercept=False).fit(H, y)
    cost = evidence_parts(H, y, model.gamma_, s2)[0]
    gains = []
    for n in range(H.shape[1]):
        for factor in (0.0, 0.9, 0.99, 1.01, 1.1):
            other = model.gamma_.copy()
            other[n] = factor * other[n] if other[n] > 0 else 0.01 * factor
            gains.append(cost - evidence_parts(H, y, other, s2)[0])
    assert max(gains) <= model.certificate_.tol + 1e-9
    assert model.certificate_.satisfied


def test_identical_targets_equal_one_target():
    H, y, _, s2 = draw(30, 50, 4)
    one = SBLRegressor(noise_variance=s2).fit(H, y)
    for n_targets in (3, 45):  # 45 > 30 rows: targets are compressed
        many = SBLRegressor(noise_variance=s2).fit(H, np.tile(y[:, None], n_targets))
        assert many.coef_.shape == (n_targets, 50)
        np.testing.assert_allclose(many.gamma_, one.gamma_, rtol=1e-8)
        np.testing.assert_allclose(
            many.coef_, np.tile(one.coef_, (n_targets, 1)), rtol=1e-8, atol=1e-12
        )
        np.testing.assert_allclose(many.intercept_, one.intercept_, rtol=1e-8)


@pytest.mark.parametrize("method", DENSE)
def test_compressing_many_targets_changes_nothing(method, monkeypatch):
    H, Y, _, s2 = draw(20, 30, 4, n_targets=50)
    model = SBLRegressor(method, noise_variance=s2, fit_intercept=False).fit(H, Y)
    for module in ("_evidence", "_fast"):
        monkeypatch.setattr(f"sparsestat.bayes.{module}.compress_targets", lambda Y: Y)
    plain = SBLRegressor(method, noise_variance=s2, fit_intercept=False).fit(H, Y)
    np.testing.assert_allclose(model.gamma_, plain.gamma_, rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("method", ["em", "mm", "fast"])
@pytest.mark.parametrize("learn", [False, True])
def test_results_do_not_depend_on_units(method, learn):
    H, y, _, s2 = draw(60, 40, 5)
    units = 10.0 ** np.random.default_rng(0).uniform(-4, 4, size=40)
    arguments = {"noise_variance": None if learn else s2}
    a = SBLRegressor(method, **arguments).fit(H, y)
    if not learn:
        arguments["noise_variance"] = 1e10 * s2
    b = SBLRegressor(method, **arguments).fit(H * units, 1e5 * y)
    np.testing.assert_allclose(b.coef_ * units, 1e5 * a.coef_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(b.noise_variance_, 1e10 * a.noise_variance_, rtol=1e-6)
    np.testing.assert_array_equal(a.active_, b.active_)


@pytest.mark.parametrize("method", [*DENSE, "cofem"])
def test_weights_are_repetitions(method):
    H, y, _, _ = draw(60, 20, 4)
    weights = np.random.default_rng(0).integers(0, 3, size=60)
    new = SBLRegressor(method, max_iter=30, cg_tol=1e-10, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a = new.fit(H, y, sample_weight=weights)
        scores = a.predict(H), a.noise_variance_, a.gamma_
        b = new.fit(np.repeat(H, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(b.predict(H), scores[0], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(b.noise_variance_, scores[1], rtol=1e-7)
    np.testing.assert_allclose(b.gamma_, scores[2], rtol=1e-6, atol=1e-9)


def test_the_cost_counts_weights_like_repetitions():
    H, y, _, _ = draw(60, 20, 4)
    weights = np.random.default_rng(0).integers(1, 3, size=60)
    new = SBLRegressor(max_iter=500)
    a = new.fit(H, y, sample_weight=weights).history_
    b = new.fit(np.repeat(H, weights, axis=0), np.repeat(y, weights)).history_
    np.testing.assert_allclose(a, b, rtol=1e-7)


@pytest.mark.parametrize("method", DENSE)
def test_noise_agrees_with_bayesian_ridge_on_many_samples(method):
    rng = np.random.default_rng(0)
    H = rng.standard_normal((2000, 10))
    y = H @ rng.standard_normal(10) + 0.7 * rng.standard_normal(2000) + 3.0
    ours = SBLRegressor(method).fit(H, y)
    for reference in (BayesianRidge(), ARDRegression()):
        reference.fit(H, y)
        np.testing.assert_allclose(
            1 / ours.noise_variance_, reference.alpha_, rtol=2e-2
        )
        np.testing.assert_allclose(ours.coef_, reference.coef_, rtol=2e-2, atol=1e-3)
    assert abs(ours.intercept_ - 3.0) < 0.1


def test_complex_mean_equals_the_real_one_with_tied_variances():
    # The real form of the problem, with half the variance in each component.
    H, y, _, s2 = draw(20, 30, 4, dtype=complex)
    model = SBLRegressor(
        noise_variance=s2, fit_intercept=False, allow_complex=True
    ).fit(H, y)
    big = np.block([[H.real, -H.imag], [H.imag, H.real]])
    gamma = np.tile(model.gamma_, 2) / 2
    mean = evidence_parts(big, np.concatenate([y.real, y.imag]), gamma, s2 / 2)[3]
    np.testing.assert_allclose(mean[:30, 0], model.coef_.real, atol=1e-10)
    np.testing.assert_allclose(mean[30:, 0], model.coef_.imag, atol=1e-10)


@pytest.mark.parametrize("method", DENSE)
def test_complex_numbers_without_imaginary_part_equal_real_ones(method):
    H, y, _, s2 = draw(30, 40, 4)
    a = SBLRegressor(method, noise_variance=s2).fit(H, y)
    b = SBLRegressor(method, noise_variance=s2, allow_complex=True).fit(H + 0j, y + 0j)
    assert b.coef_.dtype == np.complex128
    np.testing.assert_allclose(b.coef_, a.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(b.score(H + 0j, y + 0j), a.score(H, y))


def test_complex_intercept_and_score():
    H, y, x, s2 = draw(60, 30, 4, dtype=complex)
    model = SBLRegressor(noise_variance=s2, allow_complex=True).fit(H, y + (2 - 1j))
    assert abs(model.intercept_ - (2 - 1j)) < 0.05
    assert nmse(model.coef_, x) < 0.02
    error = y + (2 - 1j) - model.predict(H)
    expected = 1 - (np.abs(error) ** 2).sum() / (np.abs(y - y.mean()) ** 2).sum()
    np.testing.assert_allclose(model.score(H, y + (2 - 1j)), expected)


@pytest.mark.parametrize("method", [*DENSE, "cofem"])
def test_sparse_signals_are_recovered(method):
    H, y, x, s2 = draw(80, 200, 8)
    model = SBLRegressor(method, noise_variance=s2, random_state=0, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(H, y)
    support = np.abs(x) > 0.3
    oracle = np.zeros_like(x)
    oracle[x != 0] = np.linalg.lstsq(H[:, x != 0], y, rcond=None)[0]
    assert nmse(model.coef_, x) < 4 * nmse(oracle, x)
    assert np.all(model.gamma_[support] > 0)


@pytest.mark.parametrize("method", [*DENSE, "cofem"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 1), (5, 20), (20, 5)])
def test_all_shapes_work(method, shape):
    rng = np.random.default_rng(0)
    H, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = SBLRegressor(
            method, noise_variance=0.1, fit_intercept=False, max_iter=20
        ).fit(H, y)
    assert np.isfinite(model.predict(H)).all()
    assert np.isfinite(model.coef_).all()


@pytest.mark.parametrize("method", [*DENSE, "cofem"])
def test_constant_targets_give_zeros_in_silence(method):
    H = np.random.default_rng(0).standard_normal((20, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SBLRegressor(method).fit(H, np.full(20, 0.1))
        zero = SBLRegressor(method, fit_intercept=False).fit(H, np.zeros(20))
        mean, std = zero.predict(H, return_std=True)
    assert not model.coef_.any() and not model.gamma_.any()
    np.testing.assert_allclose(model.predict(H), 0.1)
    assert not zero.coef_.any() and not mean.any() and not std.any()
    assert zero.certificate_.satisfied
    assert (zero.dof_, zero.noise_variance_, model.dof_) == (0.0, 0.0, 0.0)
    assert model.n_iter_ == 1 or method == "cofem"


@pytest.mark.parametrize("method", [*DENSE, "cofem"])
def test_zero_and_constant_columns_are_left_out(method):
    H, y, _, s2 = draw(40, 10, 3)
    wider = np.column_stack([H, np.zeros(40), np.full(40, 0.1)])
    arguments = {"noise_variance": s2, "random_state": 0, "max_iter": 2000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a = SBLRegressor(method, **arguments).fit(H, y)
        b = SBLRegressor(method, **arguments).fit(wider, y)
    assert not b.coef_[10:].any() and not b.gamma_[10:].any()
    if method != "cofem":  # which draws other probes
        np.testing.assert_allclose(b.coef_[:10], a.coef_, rtol=1e-6, atol=1e-6)


def test_pure_noise_gives_a_small_model():
    rng = np.random.default_rng(0)
    H = rng.standard_normal((200, 30))
    y = rng.standard_normal(200)
    for method in ("mm", "fast"):
        model = SBLRegressor(method, noise_variance=1.5).fit(H, y)
        assert model.n_active_ <= 8


def test_single_precision_in_single_precision_out():
    H, y, _, s2 = draw(40, 60, 5)
    single = SBLRegressor(noise_variance=s2).fit(H.astype("f4"), y.astype("f4"))
    double = SBLRegressor(noise_variance=s2).fit(H, y)
    assert single.coef_.dtype == np.float32
    assert single.predict(H.astype("f4")).dtype == np.float32
    np.testing.assert_allclose(single.coef_, double.coef_, atol=1e-3)


def test_collapsed_noise_is_warned_about_once():
    H, y, _, s2 = draw(60, 240, 15, snr=10)
    with pytest.warns(NoiseCollapseWarning, match="Pass noise_variance") as caught:
        SBLRegressor("mackay", gamma_init=1e3, max_iter=1000).fit(H, y)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SBLRegressor(noise_variance=s2).fit(H, y)


def test_the_iteration_limit_warns_once_with_the_numbers():
    H, y, _, s2 = draw(40, 60, 5)
    with pytest.warns(ConvergenceWarning, match="gamma_") as caught:
        model = SBLRegressor(noise_variance=s2, max_iter=3).fit(H, y)
    assert len(caught) == 1 and f"{model.certificate_.value:.3e}" in str(
        caught[0].message
    )
    assert model.n_iter_ == 3 and not model.converged_


# cofem: sparse matrices and operators


def test_cofem_approaches_exact_expectation_maximization():
    H, y, x, s2 = draw(60, 120, 5)
    model = SBLRegressor("cofem", noise_variance=s2, random_state=0, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(H, y)
        exact = SBLRegressor("em", noise_variance=s2, max_iter=300).fit(H, y)
    assert nmse(model.coef_, exact.coef_) < 5e-3
    assert nmse(model.coef_, x) < 5e-2
    with pytest.raises(AttributeError, match="coef_var_"):
        model.sigma_  # noqa: B018
    big = np.abs(x) > 0.3
    exact_variances = np.diag(exact.sigma_)
    mine = model.coef_var_[exact.active_][big[exact.active_]]
    np.testing.assert_allclose(mine, exact_variances[big[exact.active_]], rtol=0.8)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix])
def test_cofem_gives_the_same_for_every_container(container, intercept):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 30)) * (rng.random((50, 30)) < 0.3) + 0.0
    y = X[:, :3].sum(axis=1) + 0.1 * rng.standard_normal(50) + 1.0
    weights = rng.uniform(0.5, 2.0, size=50)
    new = SBLRegressor(
        "cofem", fit_intercept=intercept, random_state=0, max_iter=15, cg_tol=1e-11
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dense = new.fit(X, y, weights).coef_
        thin = new.fit(container(X), y, weights).coef_
        new.fit(aslinearoperator(X), y, weights)
    np.testing.assert_allclose(thin, dense, rtol=1e-8, atol=1e-10)
    assert new.coef_.shape == (30,)
    np.testing.assert_allclose(new.predict(aslinearoperator(X)), new.predict(X))
    with pytest.raises(TypeError, match="LinearOperator"):
        new.predict(aslinearoperator(X), return_std=True)
    _, std = new.predict(container(X), return_std=True)
    assert np.all(std >= np.sqrt(new.noise_variance_))


def subsampled_dct(n, m, seed=0):
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:m])
    scale = np.sqrt(n / m)

    def matmat(Z):
        return scale * dct(Z, axis=0, norm="ortho")[rows]

    def rmatmat(R):
        full = np.zeros((n, *R.shape[1:]))
        full[rows] = R
        return scale * idct(full, axis=0, norm="ortho")

    return LinearOperator(
        (m, n), matvec=matmat, rmatvec=rmatmat, matmat=matmat, rmatmat=rmatmat,
        dtype=float,
    )  # fmt: skip


def test_cofem_recovers_a_signal_from_cosine_samples():
    rng = np.random.default_rng(0)
    A = subsampled_dct(512, 160)
    x = np.zeros(512)
    x[rng.choice(512, 20, replace=False)] = rng.standard_normal(20)
    y = A @ x + 0.01 * rng.standard_normal(160)
    model = SBLRegressor(
        "auto", noise_variance=1e-4, fit_intercept=False, random_state=0, max_iter=40
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(A, y)
    assert nmse(model.coef_, x) < 1e-2


def test_cofem_is_reproducible_and_warns_about_conjugate_gradients():
    H, y, _, s2 = draw(30, 40, 4)
    new = SBLRegressor("cofem", noise_variance=s2, random_state=3, max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = new.fit(H, y).coef_, new.fit(H, y).coef_
    np.testing.assert_array_equal(a, b)
    with pytest.warns(ConvergenceWarning, match="cg_max_iter=1"):
        SBLRegressor("cofem", cg_max_iter=1, max_iter=2, random_state=0).fit(H, y)


# Bad input


@pytest.mark.parametrize("method", DENSE)
@pytest.mark.parametrize("make", [sparse.csr_array, aslinearoperator])
def test_dense_methods_refuse_what_is_not_dense(method, make):
    X = np.eye(4)
    with pytest.raises(TypeError, match=r"(sparse|LinearOperator).*'cofem' or 'auto'"):
        SBLRegressor(method).fit(make(X), np.ones(4))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"noise_variance": 0.0}, "noise_variance"),
        ({"noise_variance": -1.0}, "noise_variance"),
        ({"method": "newton"}, "method"),
        ({"prune_tol": 2.0}, "prune_tol"),
    ],
)
def test_bad_parameters_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        SBLRegressor(**arguments).fit(np.eye(3), np.ones(3))


def test_bad_data_are_refused():
    H, y = np.eye(3), np.arange(3.0)
    with pytest.raises(ValueError, match="Complex data not supported"):
        SBLRegressor().fit(H + 0j, y)
    with pytest.raises(ValueError, match="Complex data not supported"):
        SBLRegressor().fit(H, y + 0j)
    model = SBLRegressor(allow_complex=True)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(H * (1 + 1j) * np.nan, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(H + 0j, y[:2])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SBLRegressor("cofem").fit(aslinearoperator(H), y[:2])
    with pytest.raises((TypeError, ValueError), match="convert"):
        model.fit(np.array([["a", "b"]], dtype=object), y[:1])
    with pytest.raises(ValueError, match="Negative values"):
        SBLRegressor().fit(H, y, sample_weight=[1.0, -1.0, 1.0])
    with pytest.raises(ValueError, match="dimensions"):
        model.fit(y + 0j, y)
    with pytest.raises(ValueError, match="expecting 3 features"):
        model.fit(H + 0j, y).predict(np.ones((2, 4)) + 0j)


def test_probes_of_cofem_average_their_errors_away():
    H, y, _, s2 = draw(30, 20, 4)
    start = {"noise_variance": s2, "max_iter": 1, "prune_tol": 1e-12}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        exact = SBLRegressor("em", accelerate=False, **start).fit(H, y).gamma_
        errors = [
            SBLRegressor(
                "cofem", n_probes=n, cg_tol=1e-10, random_state=0, **start
            ).fit(H, y).gamma_ / exact - 1.0
            for n in (10, 1000)
        ]  # fmt: skip
    few, many = (np.sqrt((e**2).mean()) for e in errors)
    assert many < 0.05 and 5 < few / many < 20  # ten is the root of a hundred


def test_what_kept_the_cost_warns_that_it_has_no_effect():
    H, y, _, _ = draw(30, 10, 2)
    with pytest.warns(FutureWarning, match="compute_score"):
        asked = SBLRegressor(compute_score=True).fit(H, y)
    np.testing.assert_array_equal(asked.history_, SBLRegressor().fit(H, y).history_)


@pytest.mark.parametrize("dtype", [float, complex])
def test_the_fast_method_records_the_log_evidence_too(dtype):
    rng = np.random.default_rng(0)
    H, noise = rng.standard_normal((40, 60)), rng.standard_normal(40)
    if dtype is complex:
        H = H + 1j * rng.standard_normal(H.shape)
    y = H[:, :3].sum(axis=1) + 0.1 * noise
    model = SBLRegressor(
        "fast", noise_variance=0.01, fit_intercept=False, allow_complex=True
    ).fit(H, y)
    S = 0.01 * np.eye(40) + (H * model.gamma_) @ H.conj().T
    quad = np.real(y.conj() @ np.linalg.solve(S, y))
    if dtype is complex:
        expected = -quad - np.linalg.slogdet(np.pi * S)[1]
    else:
        expected = -0.5 * (quad + np.linalg.slogdet(2.0 * np.pi * S)[1])
    np.testing.assert_allclose(model.history_[-1], expected, rtol=1e-6)
    assert len(model.history_) == model.n_iter_


def test_the_history_of_cofem_is_what_its_certificate_shows():
    H, y, _, s2 = draw(60, 30, 4)
    model = SBLRegressor("cofem", noise_variance=s2, random_state=0, max_iter=500)
    model.fit(H, y)
    assert model.history_[-1] == model.certificate_.value
    assert not hasattr(model, "scores_")
