"""MRFSBL: brute force, known supports, symmetries, both engines, refinement."""

import itertools
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import aslinearoperator

from sparsestat.bayes import MRFSBL
from sparsestat.bayes._cofem import Products
from sparsestat.bayes._mrf import Field, _Exact, _InverseFree, grid_edges
from sparsestat.datasets import make_burst_sparse
from sparsestat.exceptions import ConvergenceWarning
from tests.bayes.test_sbl import nmse


def quiet(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


def brute_force(H, y, s2, V, alpha, beta, pairs, spike=1e-6):
    """Probabilities of presence by enumeration, and the posterior mean."""
    n = H.shape[1]
    h = 1.0 if H.dtype.kind == "c" else 0.5
    logs, means, supports = [], [], []
    for bits in itertools.product((-1, 1), repeat=n):
        s = np.array(bits)
        gamma = np.where(s > 0, V * (1 + spike), V * spike)
        S = s2 * np.eye(len(H)) + (H * gamma) @ H.conj().T
        solved = np.linalg.solve(S, y)
        log = -h * (np.linalg.slogdet(S)[1] + np.real(y.conj() @ solved))
        log += -alpha * s.sum() + beta * sum(s[i] * s[j] for i, j in pairs)
        logs.append(log)
        means.append(gamma * (H.conj().T @ solved))
        supports.append(s > 0)
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    return weights @ np.array(supports), weights @ np.array(means)


@pytest.mark.parametrize("dtype", [float, complex])
def test_independent_supports_are_exact_for_orthonormal_columns(dtype):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((10, 8))
    if dtype is complex:
        A = A + 1j * rng.standard_normal((10, 8))
    H = np.linalg.qr(A)[0]
    x = np.where(rng.random(8) < 0.4, 1.5, 0.0)
    y = H @ x + 0.3 * rng.standard_normal(10)
    model = quiet(
        MRFSBL(
            noise_variance=0.09,
            slab_variance=2.0,
            beta=0.0,
            damping=1.0,
            tol=1e-12,
            max_iter=500,
        ),
        H,
        y,
    )
    probability, _ = brute_force(H, y, 0.09, 2.0, 0.8, 0.0, [])
    np.testing.assert_allclose(model.support_proba_, probability, atol=1e-5)


def test_supports_agree_with_enumeration_in_general_position():
    rng = np.random.default_rng(0)
    H = rng.standard_normal((9, 12)) / 3
    x = np.zeros(12)
    x[3:7] = [1.5, -1.0, 2.0, 1.2]
    y = H @ x + 0.02 * rng.standard_normal(9)
    model = quiet(
        MRFSBL(noise_variance=4e-4, slab_variance=2.0, beta=0.5, max_iter=200), H, y
    )
    pairs = [(i, i + 1) for i in range(11)]
    probability, _ = brute_force(H, y, 4e-4, 2.0, 0.8, 0.5, pairs)
    np.testing.assert_allclose(model.support_proba_, probability, atol=0.05)


def test_without_coupling_neighbors_do_not_matter():
    data = make_burst_sparse(60, (12, 12), n_bursts=1, random_state=0)
    arguments = {"noise_variance": data.noise_variance, "beta": 0.0}
    chain = quiet(MRFSBL(**arguments), data.X, data.y)
    grid = quiet(MRFSBL((12, 12), **arguments), data.X, data.y)
    none = quiet(
        MRFSBL(noise_variance=data.noise_variance, edges=np.empty((0, 2), dtype=int)),
        data.X,
        data.y,
    )
    np.testing.assert_allclose(chain.coef_, grid.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(chain.coef_, none.coef_, rtol=1e-9, atol=1e-12)


def test_a_known_support_gives_the_oracle_ridge_solution():
    data = make_burst_sparse(60, (12, 12), n_bursts=1, random_state=0)
    V, s2 = 1.0, data.noise_variance
    alpha = np.where(data.support, -60.0, 60.0)
    model = quiet(
        MRFSBL((12, 12), noise_variance=s2, slab_variance=V, alpha=alpha),
        data.X,
        data.y,
    )
    H = data.X[:, data.support]
    ridge = np.linalg.solve(
        H.conj().T @ H + s2 / V * np.eye(H.shape[1]), H.conj().T @ data.y
    )
    np.testing.assert_allclose(model.coef_[data.support], ridge, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(model.support_, data.support)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("move", [np.transpose, np.flipud, np.fliplr])
def test_moving_the_grid_moves_the_result(move, connectivity):
    data = make_burst_sparse(60, (12, 12), n_bursts=2, random_state=1)
    new = MRFSBL(
        (12, 12),
        noise_variance=data.noise_variance,
        connectivity=connectivity,
        tol=1e-9,
        max_iter=500,
    )
    a = quiet(new, data.X, data.y).coef_
    order = move(np.arange(144).reshape(12, 12)).ravel()
    b = quiet(new, data.X[:, order], data.y).coef_
    np.testing.assert_allclose(b, a[order], rtol=1e-4, atol=1e-5)


def test_both_engines_agree_on_independent_columns():
    errors = []
    for seed in range(3):
        data = make_burst_sparse(100, (24, 24), n_bursts=2, random_state=seed)
        found = [
            quiet(
                MRFSBL((24, 24), noise_variance=data.noise_variance, e_step=e_step),
                data.X,
                data.y,
            )
            for e_step in ("exact", "inverse-free")
        ]
        errors.append([nmse(m.coef_, data.coef) for m in found])
    exact, free = np.mean(errors, axis=0)
    assert exact < 0.05
    assert abs(free - exact) < 0.05 * exact + 1e-4


def test_the_scalar_equation_is_the_diagonal_for_independent_columns():
    rng = np.random.default_rng(0)
    H = rng.standard_normal((300, 600)) / np.sqrt(300)
    gamma = rng.exponential(size=600) * (rng.random(600) < 0.3) + 1e-6
    Y = rng.standard_normal((300, 1))
    exact = _Exact(H, Y, compress=True)(gamma, 0.1)
    free = _InverseFree(Products(H), Y, (H**2).sum(axis=0))(gamma, 0.1)
    # The mean needs no diagonal and agrees to the accuracy of the solver.
    np.testing.assert_allclose(free[0], exact[0], atol=1e-6)
    np.testing.assert_allclose(free[4], exact[4], rtol=1e-6)
    np.testing.assert_allclose(np.median(free[3] / exact[3]), 1.0, atol=0.05)
    np.testing.assert_allclose(free[5], exact[5], rtol=0.02)


def test_bursts_are_recovered_where_independent_supports_fail():
    errors = []
    for seed in (1, 2, 3):  # 48 to 66 cells; 78, near the 100 samples, are too many
        data = make_burst_sparse(random_state=seed)
        with_field, without = (
            quiet(
                MRFSBL((32, 32), noise_variance=data.noise_variance, **beta),
                data.X,
                data.y,
            )
            for beta in ({}, {"beta": 0.0})
        )
        H = data.X[:, data.support]
        oracle = np.zeros_like(data.coef)
        oracle[data.support] = np.linalg.lstsq(H, data.y, rcond=None)[0]
        errors.append(
            [nmse(c, data.coef) for c in (with_field.coef_, without.coef_, oracle)]
        )
    found, without, oracle = np.mean(errors, axis=0)
    assert found < 1.3 * oracle and found < 0.2 * without


@pytest.mark.parametrize("dtype", ["real", "complex"])
def test_chains_and_several_targets(dtype):
    data = make_burst_sparse(
        60, (128,), n_bursts=1, complex_values=dtype == "complex", random_state=0
    )
    one = quiet(MRFSBL(noise_variance=data.noise_variance), data.X, data.y)
    assert nmse(one.coef_, data.coef) < 0.1
    Y = np.column_stack([data.y, 2 * data.y])
    two = quiet(MRFSBL(noise_variance=data.noise_variance), data.X, Y)
    assert two.coef_.shape == (2, 128)
    np.testing.assert_allclose(two.coef_[1], 2 * two.coef_[0], rtol=1e-6, atol=1e-9)
    assert (two.support_ == data.support).mean() > 0.9


def test_learning_the_field_and_the_noise():
    data = make_burst_sparse(160, (24, 24), n_bursts=2, random_state=0)
    for stationary in (False, True):
        model = quiet(
            MRFSBL(
                (24, 24),
                noise_variance=data.noise_variance,
                learn_mrf=True,
                stationary=stationary,
            ),
            data.X,
            data.y,
        )
        assert nmse(model.coef_, data.coef) < 0.05
        assert np.all((model.beta_ >= 0) & (model.beta_ <= 1))
        assert (np.ptp(model.beta_) == 0) == stationary
    model = quiet(MRFSBL((24, 24)), data.X, data.y)
    assert nmse(model.coef_, data.coef) < 0.1
    assert 0 < model.noise_variance_ < 10 * data.noise_variance


def test_pseudo_likelihood_climbs():
    rng = np.random.default_rng(0)
    pairs, order = grid_edges((8, 8), 4)
    field = Field(64, pairs, order, 0.8, 0.5)
    m = np.tanh(rng.standard_normal(64))

    def value():
        f = -field.alpha.copy()
        np.add.at(f, pairs[:, 0], field.beta * m[pairs[:, 1]])
        np.add.at(f, pairs[:, 1], field.beta * m[pairs[:, 0]])
        # log p(m | neighbors) of a relaxed spin
        return float((m * f - np.logaddexp(f, -f)).sum())

    values = []
    for _ in range(5):
        values.append(value())
        field.learn(m, stationary=False)
    assert np.all(np.diff(values) > 0)


def test_the_factorized_option_runs():
    data = make_burst_sparse(60, (12, 12), n_bursts=1, random_state=0)
    model = quiet(
        MRFSBL((12, 12), noise_variance=data.noise_variance, e_step="vb"),
        data.X,
        data.y,
    )
    assert np.isfinite(model.coef_).all()


def test_sparse_matrices_and_operators():
    data = make_burst_sparse(80, (16, 16), n_bursts=1, random_state=0)
    new = MRFSBL((16, 16), noise_variance=data.noise_variance, random_state=0)
    dense = quiet(new.set_params(e_step="inverse-free"), data.X, data.y).coef_
    new.set_params(e_step="auto")
    thin = quiet(new, sparse.csr_array(data.X), data.y).coef_
    implicit = quiet(new, aslinearoperator(data.X), data.y).coef_
    np.testing.assert_allclose(thin, dense, rtol=1e-4, atol=1e-5)
    assert nmse(implicit, data.coef) < 2 * nmse(dense, data.coef) + 1e-3
    mean, std = quiet(new, data.X, data.y).predict(data.X, return_std=True)
    assert mean.shape == std.shape and np.all(std**2 >= new.noise_variance_)


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("offset", [-0.2, 0.3])
def test_refinement_finds_positions_off_the_grid(offset, every):
    # A tone between the points of a grid of frequencies.
    m, n = 64, 32
    grid = np.arange(n) / n
    time = np.arange(m)

    def atom(theta):
        return np.exp(2j * np.pi * np.outer(time, theta)) / np.sqrt(m)

    def datom(theta):
        return 2j * np.pi * time[:, None] * atom(theta)

    rng = np.random.default_rng(0)
    theta = grid[[10]] + offset / n
    noise = rng.standard_normal(m) + 1j * rng.standard_normal(m)
    y = atom(theta) @ np.array([3.0 + 0j]) + 0.05 * noise
    arguments = {"noise_variance": 0.05, "beta": 0.0, "max_iter": 200}
    coarse = quiet(MRFSBL(**arguments), atom(grid), y)
    fine = quiet(
        MRFSBL(atom=atom, datom=datom, grid=grid, refine_every=every, **arguments),
        atom(grid),
        y,
    )
    assert np.all(np.abs(fine.grid_ - grid) <= 0.5 / n + 1e-12)
    np.testing.assert_array_equal(np.flatnonzero(fine.support_), [10])
    assert abs(fine.grid_[10] - theta[0]) < 0.05 / n
    error = np.linalg.norm(y - fine.predict(atom(fine.grid_)))
    assert error < 0.5 * np.linalg.norm(y - coarse.predict(atom(grid)))
    assert coarse.grid_ is None
    # Columns do not move away from the coefficients that are returned.
    for limits in ({"max_iter": 6, "tol": 0.0}, {"max_iter": 90, "tol": 10.0}):
        fine.set_params(refine_every=6, **limits)
        still = quiet(fine, atom(grid), y)
        assert still.n_iter_ == 6 and still.converged_ == (still.tol > 0)
        np.testing.assert_array_equal(still.grid_, grid)
        moved = quiet(fine.set_params(refine_every=3), atom(grid), y)
        assert moved.n_iter_ == 6 and not np.array_equal(moved.grid_, grid)


def test_zeros_units_and_limits():
    data = make_burst_sparse(60, (12, 12), n_bursts=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = MRFSBL((12, 12)).fit(data.X, np.zeros(60))
    assert not model.coef_.any() and not model.support_.any()
    new = MRFSBL((12, 12), noise_variance=data.noise_variance)
    a = quiet(new, data.X, data.y).coef_
    new.set_params(noise_variance=1e8 * data.noise_variance)
    b = quiet(new, data.X, 1e4 * data.y).coef_
    np.testing.assert_allclose(b, 1e4 * a, rtol=1e-6, atol=1e-6)
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        MRFSBL(noise_variance=1.0, max_iter=2).fit(data.X, data.y)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"grid_shape": (3, 5)}, r"15 cells.*16 features"),
        ({"grid_shape": (2, 2, 4)}, "one or two"),
        ({"connectivity": 6}, "4 or 8"),
        ({"edges": [[0, 99]]}, "0..15"),
        ({"edges": [0, 1]}, "n_edges, 2"),
        ({"beta": [0.5, 0.5]}, r"beta has shape \(2,\)"),
        ({"alpha": [np.nan] * 16}, "finite"),
        ({"atom": np.outer}, "datom and grid"),
        ({"noise_variance": 0.0}, "noise_variance"),
    ],
)
def test_bad_parameters_are_refused(arguments, match):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=match):
        MRFSBL(**arguments).fit(rng.standard_normal((8, 16)), np.ones(8))


def test_exact_steps_refuse_sparse_matrices():
    with pytest.raises(TypeError, match=r"sparse.*inverse-free"):
        MRFSBL(e_step="exact").fit(sparse.eye_array(4).tocsr(), np.ones(4))


def test_a_known_support_gives_the_exact_posterior():
    data = make_burst_sparse(60, (12, 12), n_bursts=1, random_state=0)
    s2, V = data.noise_variance, 1.7
    alpha = np.where(data.support, -60.0, 60.0)
    model = quiet(
        MRFSBL((12, 12), noise_variance=s2, slab_variance=V, alpha=alpha, damping=1.0),
        data.X,
        data.y,
    )
    np.testing.assert_array_equal(model.alpha_, alpha)
    np.testing.assert_array_equal(model.beta_, np.full(len(model.edges_), 0.5))
    assert model.slab_variance_ == pytest.approx(V) and model.intercept_ == 0.0
    # Absent coefficients keep a millionth of the variance.
    gamma = V * (data.support + 1e-6)
    H = data.X * gamma
    S = s2 * np.eye(60) + H @ data.X.conj().T
    explained = np.real(np.sum(H.conj() * np.linalg.solve(S, H), axis=0))
    np.testing.assert_allclose(model.coef_var_, gamma - explained, rtol=1e-8)
    np.testing.assert_allclose(model.dof_, (explained / gamma).sum(), rtol=1e-8)
    assert model.converged_ and model.certificate_.satisfied


def test_the_learned_slab_variance_is_that_of_the_present():
    data = make_burst_sparse(120, (12, 12), n_bursts=1, random_state=0)
    model = quiet(MRFSBL((12, 12), noise_variance=data.noise_variance), data.X, data.y)
    q = model.support_proba_
    present = q @ (np.abs(model.coef_) ** 2 + model.coef_var_) / q.sum()
    np.testing.assert_allclose(model.slab_variance_, present, rtol=1e-6)
    true = (np.abs(data.coef[data.support]) ** 2).mean()
    np.testing.assert_allclose(model.slab_variance_, true, rtol=0.2)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_edges_join_each_pair_of_neighbors_once(connectivity):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((15, 20)), rng.standard_normal(15)
    model = quiet(MRFSBL((4, 5), connectivity=connectivity), X, y)
    cells = list(itertools.product(range(4), range(5)))
    reach = 1 if connectivity == 4 else 2
    expected = {
        (i, j)
        for (i, a), (j, b) in itertools.combinations(enumerate(cells), 2)
        if max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1
        and abs(a[0] - b[0]) + abs(a[1] - b[1]) <= reach
    }
    found = [tuple(sorted(pair)) for pair in model.edges_.tolist()]
    assert set(found) == expected and len(found) == len(expected)
    assert model.beta_[0] == 2.0 / connectivity
    own = quiet(MRFSBL(edges=[[0, 7], [3, 4]]), X, y)
    np.testing.assert_array_equal(own.edges_, [[0, 7], [3, 4]])


@pytest.mark.parametrize("start", [0.05, 0.4])
def test_fits_start_from_the_given_probability(start):
    # With little weight on what is new, one step stays where it began.
    data = make_burst_sparse(60, (12, 12), n_bursts=1, random_state=0)
    model = quiet(
        MRFSBL((12, 12), sparsity_init=start, damping=1e-9, max_iter=1),
        data.X,
        data.y,
    )
    np.testing.assert_allclose(model.support_proba_, start, rtol=1e-6)


def test_complex_data_need_leave():
    data = make_burst_sparse(30, (6, 6), n_bursts=1, random_state=0)
    with pytest.raises(ValueError, match="Complex data not supported"):
        MRFSBL((6, 6), allow_complex=False).fit(data.X, data.y)


@pytest.mark.parametrize("e_step", ["exact", "inverse-free"])
def test_every_start_that_is_allowed_is_left(e_step):
    rng = np.random.RandomState(0)
    H, x = rng.standard_normal((40, 60)) / np.sqrt(40), np.zeros(60)
    x[10:15] = [3.0, -2.0, 4.0, 3.0, -5.0]
    y = H @ x + 1e-2 * rng.standard_normal(40)
    for start in (1e-5, 0.999):
        model = MRFSBL(e_step=e_step, sparsity_init=start, random_state=0)
        model = quiet(model, H, y)
        assert model.certificate_.satisfied
        assert np.abs(model.coef_ - x).max() < 0.1
    with pytest.raises(ValueError, match="sparsity_init"):
        MRFSBL(sparsity_init=1e-6).fit(H, y)


def test_small_steps_are_no_convergence():
    rng = np.random.RandomState(0)
    H, x = rng.standard_normal((40, 60)) / np.sqrt(40), np.zeros(60)
    x[10:15] = [3.0, -2.0, 4.0, 3.0, -5.0]
    y = H @ x + 1e-2 * rng.standard_normal(40)
    for damping, settles in ((1e-9, False), (1e-4, False), (0.1, True), (1.0, True)):
        model = quiet(MRFSBL(damping=damping, tol=1e-2), H, y)
        assert model.certificate_.satisfied == settles
        assert (np.abs(model.coef_ - x).max() < 0.2) == settles
