"""Kronecker-structured learning against dense algebra and convex optimization."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV

from sparsestat.bayes import KroneckerSBL, SBLRegressor
from sparsestat.bayes import _kernels_kronecker as kernels
from sparsestat.bayes import _kronecker_many as many
from sparsestat.bayes._kronecker import mode_product
from sparsestat.bayes._linear import warn_if_collapsed
from sparsestat.datasets import make_irs_mimo_channel, make_kronecker_sparse
from sparsestat.exceptions import ConvergenceWarning, NoiseCollapseWarning

NONE = np.empty((0, 0))


def normal(rng, *shape, dtype=float):
    out = rng.standard_normal(shape)
    return out if dtype is float else (out + 1j * rng.standard_normal(shape)) / 2**0.5


def kron(parts):
    out = parts[0]
    for part in parts[1:]:
        out = np.kron(out, part)
    return out


def nmse(a, b):
    return float((np.abs(a - b) ** 2).sum() / (np.abs(b) ** 2).sum())


def quiet(model, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*arguments)


def dense(H, Y, gamma, s2):
    """Everything about the posterior by dense algebra."""
    Y = Y.reshape(len(H), -1)
    S = s2 * np.eye(len(H)) + (H * gamma) @ H.conj().T
    solved = np.linalg.solve(S, Y)
    inverse_H = np.linalg.solve(S, H)
    s = np.real(np.sum(H.conj() * inverse_H, axis=0))
    mean = gamma[:, None] * (H.conj().T @ solved)
    return {
        "mean": mean,
        "s": s,
        "covariance": np.diag(gamma)
        - gamma[:, None] * (H.conj().T @ inverse_H) * gamma,
        "logdet": np.linalg.slogdet(S)[1],
        "quad": float(np.real(np.sum(Y.conj() * solved))) / Y.shape[1],
        "residual": float((np.abs(Y - H @ mean) ** 2).sum()) / Y.shape[1],
        "dof": float((gamma * s).sum()),
    }


@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize(
    "shape",
    [
        ((3, 4, 6), (5, 4, 5)),
        ((4, 6), (7, 3)),
        ((5,), (8,)),
        ((2, 2, 2, 2), (3, 3, 3, 3)),
    ],
)
def test_e_step_equals_dense_algebra(shape, dtype, n_targets):
    rng = np.random.default_rng(0)
    rows, columns = shape
    factors = [
        normal(rng, m, n, dtype=dtype) for m, n in zip(rows, columns, strict=True)
    ]
    gammas = [rng.uniform(0.01, 2, size=n) for n in columns]
    Y = normal(rng, n_targets, *rows, dtype=dtype)
    s2 = 0.3
    found = [many.e_step(Y, factors, gammas, s2)]
    if len(rows) <= 3:
        pad = 3 - len(rows)
        one = np.ones((1, 1), dtype=dtype)
        found.append(
            kernels.e_step(
                Y.reshape(n_targets, *(1,) * pad, *rows),
                *[one] * pad,
                *factors,
                *[np.ones(1)] * pad,
                *gammas,
                s2,
            )
        )
    expected = dense(kron(factors), Y.reshape(n_targets, -1).T, kron(gammas), s2)
    square = (np.abs(expected["mean"]) ** 2).mean(axis=1)
    for u, s, residual, quad, logdet, dof in found:
        np.testing.assert_allclose(u.ravel(), square, rtol=1e-9)
        np.testing.assert_allclose(s.ravel(), expected["s"], rtol=1e-9)
        np.testing.assert_allclose(residual, expected["residual"], rtol=1e-9)
        np.testing.assert_allclose(quad, expected["quad"], rtol=1e-9)
        np.testing.assert_allclose(logdet, expected["logdet"], rtol=1e-9)
        np.testing.assert_allclose(dof, expected["dof"], rtol=1e-9)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("n_factors", [1, 2, 3, 4])
def test_fit_equals_dense_algebra(n_factors, dtype):
    data = make_kronecker_sparse(
        (4, 6, 5, 3)[:n_factors], (5, 4, 6, 4)[:n_factors], n_nonzero=2,
        complex_values=dtype is complex, random_state=1,
    )  # fmt: skip
    s2 = data.noise_variance
    model = quiet(KroneckerSBL(noise_variance=s2), data.factors, data.y)
    H, gamma = kron(data.factors), kron(model.gammas_)
    expected = dense(H, data.y, gamma, s2)
    scale = np.abs(model.coef_).max()
    np.testing.assert_allclose(
        model.coef_, expected["mean"][:, 0], rtol=1e-9, atol=1e-11 * scale
    )
    variances = np.real(np.diag(expected["covariance"]))
    np.testing.assert_allclose(
        model.coef_var_, variances, rtol=1e-7, atol=1e-9 * variances.max()
    )
    np.testing.assert_allclose(model.dof_, expected["dof"], rtol=1e-9)
    cost = expected["logdet"] + expected["quad"]
    share = 1.0 if dtype is complex else 0.5
    evidence = -share * (cost + data.y.size * np.log(np.pi / share))
    found = [model.history_[model.n_iter_ - 1], model.history_[-1]]
    assert min(abs(e - evidence) for e in found) <= 1e-9 * abs(evidence)
    rng = np.random.default_rng(0)
    v = normal(rng, H.shape[1], dtype=dtype)
    value = np.real(v.conj() @ expected["covariance"] @ v)
    np.testing.assert_allclose(model.sigma_quad(v), value, rtol=1e-6)
    new = [normal(rng, 3, H.shape[1], dtype=dtype) for H in data.factors]
    mean, std = model.predict(new, return_std=True)
    full = kron(new)
    np.testing.assert_allclose(mean, full @ model.coef_, rtol=1e-9, atol=1e-9 * scale)
    variance = np.real(
        np.einsum("ij,jk,ik->i", full, expected["covariance"], full.conj())
    )
    np.testing.assert_allclose(std**2, s2 + variance, rtol=1e-7)
    np.testing.assert_allclose(
        model.predict(), H @ model.coef_, rtol=1e-9, atol=1e-9 * scale
    )


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("m_step", ["am", "mm"])
@pytest.mark.parametrize("dtype", [float, complex])
def test_cost_never_rises(m_step, learn, dtype):
    data = make_kronecker_sparse(
        (5, 6, 7), (8, 8, 8), complex_values=dtype is complex, random_state=0
    )
    model = KroneckerSBL(
        m_step,
        noise_variance=None if learn else data.noise_variance,
        prune_tol=0.0,
        n_init=1,
        max_iter=60,
    )
    history = quiet(model, data.factors, data.y).history_
    assert len(history) > 10
    assert np.diff(history).min() >= -1e-8 * np.abs(history).max()


def inner_problem(seed=0, sizes=(5, 4, 6)):
    rng = np.random.default_rng(seed)
    return rng.exponential(size=sizes) + 1e-3, rng


def run_m_step(code, u, s, gammas, n_sweeps, tol):
    gammas = [g.copy() for g in gammas]
    raw = [g.copy() for g in gammas]
    kernels.m_step(code, u, s, *gammas, *raw, NONE, NONE, NONE, n_sweeps, tol)
    return gammas


def test_alternation_reaches_the_convex_optimum_from_any_start():
    # s with gamma s = 1 makes the posterior variance vanish, so that d = u.
    u, rng = inner_problem()
    found = []
    for _ in range(3):
        gammas = [np.exp(rng.standard_normal(n)) for n in u.shape]
        s = 1.0 / many.outer(gammas)
        found.append(many.outer(run_m_step(kernels.AM, u, s, gammas, 500, 1e-14)))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-8)

    def objective(theta):
        parts = np.split(theta, np.cumsum(u.shape)[:-1])
        log = parts[0][:, None, None] + parts[1][None, :, None] + parts[2]
        scaled = u * np.exp(-log)
        slope = 1.0 - scaled
        axes = [(1, 2), (0, 2), (0, 1)]
        gradient = np.concatenate([slope.sum(axis=a) for a in axes])
        return (log + scaled).sum(), gradient

    best = minimize(
        objective, np.zeros(sum(u.shape)), jac=True, method="L-BFGS-B",
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10},
    )  # fmt: skip
    value = (np.log(found[0]) + u / found[0]).sum()
    assert value <= best.fun + 1e-8 * abs(best.fun)
    parts = [np.exp(p) for p in np.split(best.x, np.cumsum(u.shape)[:-1])]
    np.testing.assert_allclose(found[0], many.outer(parts), rtol=1e-4)


def test_bounding_sweeps_reach_the_optimum_of_the_bound():
    u, rng = inner_problem(1)
    z = rng.exponential(size=u.shape) + 0.1
    start = [np.exp(rng.standard_normal(n)) for n in u.shape]
    one = run_m_step(kernels.MM, u, z, start, 2000, 0.0)
    other = run_m_step(kernels.MM, u, z, [np.ones(n) for n in u.shape], 2000, 0.0)
    np.testing.assert_allclose(many.outer(one), many.outer(other), rtol=1e-8)
    values = []
    for n_sweeps in range(6):
        g = many.outer(run_m_step(kernels.MM, u, z, start, n_sweeps, 0.0))
        values.append((z * g + u / g).sum())
    assert np.all(np.diff(values) <= 1e-12 * values[0])
    # Stationary in every factor: slice sums of both sides agree.
    g = many.outer(one)
    for axes in [(1, 2), (0, 2), (0, 1)]:
        np.testing.assert_allclose(
            (z * g).sum(axis=axes), (u / g).sum(axis=axes), rtol=1e-8
        )


def test_rank_one_step_reproduces_rank_one():
    rng = np.random.default_rng(0)
    parts = [rng.uniform(0.1, 2, size=n) for n in (5, 4, 6)]
    d = many.outer(parts)
    start = [np.exp(rng.standard_normal(n)) for n in d.shape]
    g = run_m_step(kernels.SVD, d, 1.0 / many.outer(start), start, 1, 0.0)
    np.testing.assert_allclose(many.outer(g), d, rtol=1e-12)
    for part in g[:2]:
        np.testing.assert_allclose(np.linalg.norm(part), 1.0)


@pytest.mark.parametrize("code", [kernels.AM, kernels.SVD, kernels.MM])
def test_kernel_and_numpy_take_the_same_step(code):
    u, rng = inner_problem(2)
    gammas = [rng.uniform(0.5, 1.5, size=n) for n in u.shape]
    s = rng.uniform(0.1, 0.9, size=u.shape) / many.outer(gammas)
    kernel = run_m_step(code, u, s, gammas, 3, 1e-6)
    plain, _ = many.m_step(code, u, s, gammas, gammas, [NONE] * 3, 3, 1e-6)
    np.testing.assert_allclose(many.outer(kernel), many.outer(plain), rtol=1e-9)


@pytest.mark.parametrize("m_step", ["am", "svd", "mm"])
def test_scale_may_move_between_factors(m_step):
    # Scaling the factors against each other is undone by the units of columns.
    data = make_kronecker_sparse((5, 6, 7), (8, 8, 8), random_state=0)
    new = KroneckerSBL(m_step, noise_variance=data.noise_variance, n_init=1)
    a = clone(quiet(new, data.factors, data.y)).set_params(), new.coef_
    scaled = [10.0 * data.factors[0], 0.01 * data.factors[1], 10.0 * data.factors[2]]
    b = quiet(a[0], scaled, data.y).coef_
    np.testing.assert_allclose(b, a[1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("m_step", ["am", "mm"])
def test_permuting_modes_permutes_the_result(m_step):
    data = make_kronecker_sparse((5, 6, 7), (8, 9, 6), random_state=0)
    arguments = {
        "noise_variance": data.noise_variance, "n_init": 1, "prune_tol": 0.0,
        "max_iter": 10, "inner_sweeps": 500 if m_step == "am" else 200,
    }  # fmt: skip
    a = quiet(KroneckerSBL(m_step, **arguments), data.factors, data.y)
    order = (2, 0, 1)
    Y = data.y.reshape(5, 6, 7).transpose(order)
    b = quiet(KroneckerSBL(m_step, **arguments), [data.factors[i] for i in order], Y)
    np.testing.assert_allclose(
        b.coef_tensor_, a.coef_tensor_.transpose(order), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [float, complex])
def test_unitary_rotations_of_the_rows_change_nothing(dtype):
    data = make_kronecker_sparse(
        (5, 6, 7), (8, 8, 8), complex_values=dtype is complex, random_state=0
    )
    rng = np.random.default_rng(0)
    U = [np.linalg.qr(normal(rng, m, m, dtype=dtype))[0] for m in (5, 6, 7)]
    a = quiet(
        KroneckerSBL(noise_variance=data.noise_variance), data.factors, data.y
    ).coef_
    turned = [u @ H for u, H in zip(U, data.factors, strict=True)]
    # Columns keep their norms, so even the scaling is the same.
    b = quiet(
        KroneckerSBL(noise_variance=data.noise_variance),
        turned,
        mode_product(data.y.reshape(5, 6, 7), U),
    ).coef_
    np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-9 * np.abs(a).max())


@pytest.mark.parametrize("m_step", ["am", "svd", "mm", "svd+mm"])
def test_no_imaginary_part_equals_real(m_step):
    data = make_kronecker_sparse((5, 6, 7), (8, 8, 8), random_state=0)
    new = KroneckerSBL(m_step, noise_variance=data.noise_variance, random_state=0)
    a = quiet(new, data.factors, data.y).coef_
    b = quiet(new, [H + 0j for H in data.factors], data.y + 0j).coef_
    assert a.dtype == np.float64 and b.dtype == np.complex128
    np.testing.assert_allclose(b, a, rtol=1e-8, atol=1e-10 * np.abs(a).max())


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize(("m_step", "method"), [("am", "em"), ("mm", "mm")])
@pytest.mark.parametrize("dtype", [float, complex])
def test_one_factor_is_sbl_regressor(m_step, method, dtype, learn):
    rng = np.random.default_rng(0)
    H = normal(rng, 20, 30, dtype=dtype)
    y = H[:, :3].sum(axis=1) + 0.1 * normal(rng, 20, dtype=dtype)
    arguments = {
        "noise_variance": None if learn else 0.01, "prune_tol": 1e-6,
        "allow_complex": True, "max_iter": 40, "tol": 1e-3,
    }  # fmt: skip
    a = quiet(KroneckerSBL(m_step, n_init=1, **arguments), [H], y)
    b = quiet(
        SBLRegressor(method, fit_intercept=False, accelerate=False, **arguments), H, y
    )
    np.testing.assert_allclose(a.gammas_[0], b.gamma_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(a.noise_variance_, b.noise_variance_, rtol=1e-8)


def test_targets_share_variances():
    data = make_kronecker_sparse((5, 6, 7), (8, 8, 8), random_state=0)
    new = KroneckerSBL(noise_variance=data.noise_variance)
    one = quiet(new, data.factors, data.y).coef_
    many_targets = np.tile(data.y[:, None], 4)
    quiet(new, data.factors, many_targets)
    assert new.coef_.shape == (512, 4) and new.coef_tensor_.shape == (8, 8, 8, 4)
    np.testing.assert_allclose(
        new.coef_, np.tile(one[:, None], 4), rtol=1e-8, atol=1e-10
    )
    assert new.predict().shape == (210, 4)
    again = quiet(new, data.factors, many_targets.reshape(5, 6, 7, 4)).coef_
    np.testing.assert_allclose(again[:, 0], one, rtol=1e-8, atol=1e-10)
    assert new.score(data.factors, many_targets) > 0.99


@pytest.mark.parametrize("m_step", ["svd", "mm", "svd+mm"])
def test_units_of_y_do_not_matter(m_step):
    data = make_kronecker_sparse((5, 6, 7), (8, 8, 8), random_state=0)
    a = quiet(
        KroneckerSBL(m_step, noise_variance=data.noise_variance, random_state=0),
        data.factors,
        data.y,
    )
    b = quiet(
        KroneckerSBL(m_step, noise_variance=1e12 * data.noise_variance, random_state=0),
        data.factors,
        1e6 * data.y,
    )
    np.testing.assert_allclose(b.coef_, 1e6 * a.coef_, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(kron(b.gammas_), 1e12 * kron(a.gammas_), rtol=1e-5)


def test_signals_are_recovered_and_noise_is_learned():
    errors, ratios = [], []
    for seed in range(5):
        data = make_kronecker_sparse(random_state=seed)
        known = quiet(
            KroneckerSBL(noise_variance=data.noise_variance), data.factors, data.y
        )
        learned = quiet(KroneckerSBL(), data.factors, data.y)
        errors.append((nmse(known.coef_, data.coef), nmse(learned.coef_, data.coef)))
        ratios.append(learned.noise_variance_ / data.noise_variance)
    assert np.median(errors) < 5e-4 and np.max(errors) < 5e-3
    np.testing.assert_allclose(ratios, 1.0, atol=0.15)


def test_the_start_of_lowest_cost_is_returned():
    data = make_kronecker_sparse((5, 6, 7), (8, 8, 8), snr_db=5, random_state=3)
    model = KroneckerSBL(
        noise_variance=data.noise_variance, n_init=4, random_state=0
    ).fit(data.factors, data.y)
    costs = [
        value
        for name, value in model.certificate_.details.items()
        if name.startswith("cost_of_start")
    ]
    assert len(costs) == 4
    shift = data.y.size * np.log((data.y**2).mean())
    evidence = -0.5 * (min(costs) + shift + data.y.size * np.log(2.0 * np.pi))
    np.testing.assert_allclose(max(model.history_[-2:]), evidence, rtol=1e-9)


def remeasured(model, factors, y, code, n_sweeps, tol):
    """Return what one more update changes, and the ratio of the noise variances."""
    norms = [np.sqrt((H**2).mean(axis=0)) for H in factors]
    scale = (y**2).mean()
    gammas = [
        (g * n**2)[j]
        for g, n, j in zip(model.gammas_, norms, model.supports_, strict=True)
    ]
    gammas[-1] = gammas[-1] / scale
    small = [
        (H / n)[:, j] for H, n, j in zip(factors, norms, model.supports_, strict=True)
    ]
    Y = (y / np.sqrt(scale)).reshape(1, *(len(H) for H in factors))
    s2 = model.noise_variance_ / scale
    u, s, residual, _, _, dof = many.e_step(Y, small, gammas, s2)
    couplings = [NONE] * len(factors)
    new, _ = many.m_step(code, u, s, gammas, gammas, couplings, n_sweeps, tol)
    after, before = kron(new), kron(gammas)
    change = np.linalg.norm(after - before) / np.linalg.norm(before)
    return change, (residual + s2 * dof) / y.size / s2


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize(
    ("m_step", "rule"),
    [
        ("mm", (kernels.MM, 3, 0.0)),
        ("am", (kernels.AM, 20, 1e-6)),
        ("svd+mm", (kernels.MM, 3, 0.0)),
    ],
)
def test_certificate_is_recomputed_from_outside(m_step, rule, learn):
    data = make_kronecker_sparse((5, 6, 7), (8, 8, 8), random_state=0)
    given = None if learn else data.noise_variance
    model = KroneckerSBL(m_step, noise_variance=given, n_init=1, tol=1e-3)
    model = quiet(model.set_params(max_iter=400), data.factors, data.y)
    value, ratio = remeasured(model, data.factors, data.y, *rule)
    if learn:
        value = max(value, 1.0 - min(ratio, 1.0 / ratio))
    np.testing.assert_allclose(model.certificate_.value, value, rtol=1e-5)
    assert model.certificate_.satisfied and value <= model.tol
    assert model.certificate_.kind == "kkt"
    short = quiet(model.set_params(max_iter=2), data.factors, data.y)
    value, ratio = remeasured(short, data.factors, data.y, *rule)
    if learn:
        value = max(value, 1.0 - min(ratio, 1.0 / ratio))
    np.testing.assert_allclose(short.certificate_.value, value, rtol=1e-5)
    assert not short.certificate_.satisfied and value > model.tol


def test_rank_one_steps_that_climb_are_not_certified():
    # The best iterate is returned, which need not be where the steps came to rest.
    n_rests = n_climbs = n_ended = 0
    for seed in range(12):
        rng = np.random.RandomState(seed)
        factors = [rng.standard_normal((6, 8)), rng.standard_normal((5, 7))]
        x = np.zeros((8, 7))
        x[np.ix_([1, 4], [0, 5])] = rng.standard_normal((2, 2))
        y = kron(factors) @ x.ravel() + 0.1 * rng.standard_normal(30)
        model = KroneckerSBL("svd", noise_variance=0.01, n_init=1, max_iter=300)
        model = quiet(model, factors, y)
        value, _ = remeasured(model, factors, y, kernels.SVD, 1, 0.0)
        np.testing.assert_allclose(
            model.certificate_.value, value, rtol=1e-5, atol=1e-9
        )
        assert model.certificate_.kind == "monotone_bound"
        assert model.certificate_.satisfied == (value <= model.tol)
        n_rests += model.certificate_.satisfied
        n_climbs += value > 0.1
        # Five climbs in a row end it, and nothing less.
        falls = "".join("1" if d < 0 else "0" for d in np.diff(model.history_))
        assert "11111" not in falls[:-1]
        n_ended += falls.endswith("11111")
        assert value <= model.tol or falls.endswith("11111") or falls[-1] == "0"
    assert n_rests > 0 and n_climbs > 0 and n_ended > 0


def test_learned_noise_of_what_is_all_explained_is_doubted():
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((3, 9)), rng.standard_normal((3, 8))]
    y = rng.standard_normal(9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        learned = KroneckerSBL("am", max_iter=200).fit(factors, y)
    assert learned.dof_ > 0.8 * 9
    assert NoiseCollapseWarning in {found.category for found in caught}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        given = KroneckerSBL("am", noise_variance=1e-8).fit(factors, y)
    assert given.dof_ > 0.8 * 9
    assert NoiseCollapseWarning not in {found.category for found in caught}


def test_the_change_is_that_of_the_outer_products():
    rng = np.random.default_rng(0)
    old, new = ([rng.uniform(0.1, 2.0, n) for n in (3, 1, 4)] for _ in range(2))
    before, after = kron(old), kron(new)
    value = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert kernels.relative_change(*old, *new) == pytest.approx(value, rel=1e-12)
    assert many.relative_change(old, new) == pytest.approx(value, rel=1e-12)
    assert kernels.relative_change(*old, *old) == many.relative_change(old, old) == 0.0


def test_fit_many_equals_single_fits_for_any_number_of_jobs():
    data = make_kronecker_sparse((5, 6, 7), (8, 8, 8), random_state=0)
    rng = np.random.default_rng(0)
    Ys = data.y[:, None] + 0.01 * rng.standard_normal((data.y.size, 3))
    new = KroneckerSBL(noise_variance=data.noise_variance)
    serial = new.fit_many(data.factors, Ys)
    threads = new.fit_many(data.factors, Ys, n_jobs=2)
    single = quiet(clone(new), data.factors, Ys[:, 1])
    assert len(serial) == 3 and not hasattr(new, "coef_")
    for a, b in zip(serial, threads, strict=True):
        np.testing.assert_array_equal(a.coef_, b.coef_)
    np.testing.assert_array_equal(serial[1].coef_, single.coef_)


@pytest.mark.slow
def test_memory_stays_at_the_size_of_the_tensors():
    rng = np.random.default_rng(0)
    factors = [normal(rng, 40, 60, dtype=complex) for _ in range(3)]
    y = normal(rng, 40**3, dtype=complex)
    model = KroneckerSBL(noise_variance=1.0, max_iter=1, n_init=1, m_step="mm")
    tracemalloc.start()
    quiet(model, factors, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6


# The contract of scikit-learn, for lists of factors


def test_clone_pickle_and_parameters():
    data = make_kronecker_sparse((5, 6), (8, 8), random_state=0)
    model = KroneckerSBL(noise_variance=data.noise_variance)
    parameters = model.get_params()
    quiet(model, data.factors, data.y)
    assert model.get_params() == parameters
    again = clone(model)
    assert again.get_params() == parameters and not hasattr(again, "coef_")
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(), model.predict())
    np.testing.assert_array_equal(loaded.coef_var_, model.coef_var_)
    repeated = quiet(again, data.factors, data.y)
    np.testing.assert_array_equal(repeated.coef_, model.coef_)


def test_grid_search_over_rules():
    # Folds over the columns of measurements: each is a problem of its own.
    rng = np.random.default_rng(0)
    data = make_kronecker_sparse((6, 7), (8, 8), random_state=0)
    Y = data.signal[:, None] + 0.1 * rng.standard_normal((42, 6))

    class Targets(BaseEstimator):
        def __init__(self, m_step="mm"):
            self.m_step = m_step

        def fit(self, Y, y=None):
            self.model_ = quiet(KroneckerSBL(self.m_step), data.factors, Y.T)
            return self

        def score(self, Y, y=None):
            prediction = self.model_.predict(data.factors).mean(axis=1)
            return -nmse(prediction, Y.T.mean(axis=1))

    search = GridSearchCV(Targets(), {"m_step": ["am", "svd", "mm"]}, cv=3).fit(Y.T)
    assert search.best_params_["m_step"] in {"am", "svd", "mm"}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_inputs_are_not_modified_and_may_be_read_only():
    data = make_kronecker_sparse((5, 6, 7), (8, 8, 8), random_state=0)
    before = [H.copy() for H in data.factors], data.y.copy()
    for array in (*data.factors, data.y):
        array.flags.writeable = False
    quiet(KroneckerSBL(), data.factors, data.y)
    for a, b in zip(data.factors, before[0], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(data.y, before[1])


# Bad input


def test_zero_targets_give_zeros_in_silence():
    H = [np.random.default_rng(0).standard_normal((3, 4))] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = KroneckerSBL().fit(H, np.zeros(9))
        mean, std = model.predict(return_std=True)
    assert not model.coef_.any() and not any(g.any() for g in model.gammas_)
    assert not mean.any() and not std.any() and not model.coef_var_.any()
    assert model.sigma_quad(np.ones(16)) == 0.0 and model.certificate_.satisfied
    # Targets that are nothing beside the noise leave next to nothing, which rests.
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((4, 3)), rng.standard_normal((3, 5))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = KroneckerSBL("mm", noise_variance=1.0, n_init=1)
        model.fit(factors, 1e-3 * rng.standard_normal(12))
    assert model.certificate_.value == 0.0 and model.certificate_.satisfied
    assert np.abs(model.coef_).max() < 1e-20


def test_a_zero_column_is_left_out():
    data = make_kronecker_sparse((5, 6), (8, 8), random_state=0)
    wider = [np.column_stack([np.zeros(5), data.factors[0]]), data.factors[1]]
    a = quiet(KroneckerSBL(gamma_init=1.0), data.factors, data.y)
    b = quiet(KroneckerSBL(gamma_init=1.0), wider, data.y)
    assert b.gammas_[0][0] == 0 and not b.coef_tensor_[0].any()
    np.testing.assert_allclose(b.coef_tensor_[1:], a.coef_tensor_, rtol=1e-8)


@pytest.mark.parametrize(
    ("factors", "y", "error", "match"),
    [
        ([np.eye(3), np.eye(4)], np.ones(13), ValueError, r"13 entries.*3 \* 4 = 12"),
        ([], np.ones(3), ValueError, "empty"),
        ([np.ones(3)], np.ones(3), ValueError, "dimensions"),
        ([np.full((3, 2), np.nan)], np.ones(3), ValueError, "NaN"),
        ([np.eye(3)], np.array([1.0, np.inf, 1.0]), ValueError, "NaN or inf"),
        ([np.eye(3), np.zeros((2, 2))], np.ones(6), ValueError, r"factors\[1\] are"),
        ([sparse.csr_array(np.eye(3))], np.ones(3), TypeError, "sparse"),
        (np.eye(3), np.ones(3), ValueError, "one matrix"),
    ],
)
def test_bad_data_are_refused(factors, y, error, match):
    with pytest.raises(error, match=match):
        KroneckerSBL().fit(factors, y)


def test_bad_parameters_and_predictions_are_refused():
    H = [np.eye(3), np.ones((2, 2))]
    for arguments in ({"noise_variance": 0.0}, {"m_step": "em"}, {"n_init": 0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            KroneckerSBL(**arguments).fit(H, np.ones(6))
    with pytest.raises(ValueError, match="Complex data not supported"):
        KroneckerSBL(allow_complex=False).fit(H, np.ones(6) + 1j)
    model = quiet(KroneckerSBL(), H, np.arange(6.0))
    with pytest.raises(ValueError, match=r"\[2, 2\] columns.*\[3, 2\]"):
        model.predict([np.ones((2, 2)), np.ones((2, 2))])
    with pytest.raises(ValueError, match="5 entries"):
        model.sigma_quad(np.ones(5))


def test_warnings_name_the_numbers():
    data = make_kronecker_sparse((5, 6, 7), (8, 8, 8), random_state=0)
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        model = KroneckerSBL(noise_variance=data.noise_variance, max_iter=2).fit(
            data.factors, data.y
        )
    assert len(caught) == 1
    assert f"{model.certificate_.value:.3e}" in str(caught[0].message)
    with pytest.warns(NoiseCollapseWarning, match=r"0\.2 of 10 .*Pass noise_variance"):
        warn_if_collapsed("KroneckerSBL", 10.0, 9.8, True)


def test_channel_is_recovered_from_coherent_factors():
    data = make_irs_mimo_channel(random_state=0)
    np.testing.assert_allclose(
        mode_product(data.coef.reshape(18, 18, 18), data.factors).ravel(),
        data.signal,
        rtol=1e-12, atol=1e-12,
    )  # fmt: skip
    model = quiet(
        KroneckerSBL(noise_variance=data.noise_variance), data.factors, data.y
    )
    channels = mode_product(model.coef_tensor_, data.channel_factors)
    assert nmse(channels, data.channels) < 0.01
