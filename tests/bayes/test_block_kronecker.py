"""Coupled variances: monotone, equal to the uncoupled ones at beta = 0."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone

from sparsestat.bayes import BlockKroneckerSBL, KroneckerSBL
from sparsestat.bayes import _kernels_kronecker as kernels
from sparsestat.bayes import _kronecker_many as many
from sparsestat.bayes._kronecker import mode_product
from sparsestat.datasets import make_irs_mimo_channel, make_kronecker_sparse
from sparsestat.exceptions import ConvergenceWarning
from tests.bayes.test_kronecker import dense, kron, nmse, quiet


@pytest.fixture
def blocks():
    """Three factors, supports of two neighbors."""
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((m, 8)) for m in (5, 6, 7)]
    x = np.zeros((8, 8, 8))
    x[2:4, 5:7, 0:2] = rng.standard_normal((2, 2, 2))
    y = mode_product(x, factors).ravel()
    s2 = float((y**2).mean() / 100)
    return factors, y + np.sqrt(s2) * rng.standard_normal(y.size), s2


@pytest.mark.parametrize("complex_values", [False, True])
def test_no_coupling_equals_kronecker_sbl(complex_values):
    data = make_kronecker_sparse(
        (5, 6, 7), (8, 8, 8), complex_values=complex_values, random_state=0
    )
    arguments = {"noise_variance": data.noise_variance, "n_init": 1}
    a = quiet(BlockKroneckerSBL(beta=0.0, **arguments), data.factors, data.y)
    b = quiet(KroneckerSBL("mm", **arguments), data.factors, data.y)
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=1e-10)
    plain = quiet(
        BlockKroneckerSBL([False] * 3, **arguments), data.factors, data.y
    ).coef_
    np.testing.assert_allclose(plain, b.coef_, rtol=1e-10)
    # The coupled code with identities takes the same steps.
    eyes = quiet(BlockKroneckerSBL([np.eye(8)] * 3, **arguments), data.factors, data.y)
    np.testing.assert_allclose(
        eyes.coef_, b.coef_, rtol=1e-6, atol=1e-8 * np.abs(b.coef_).max()
    )


def test_couplings_are_those_of_neighbors():
    model = BlockKroneckerSBL(beta=0.25, circular=True)
    line = [[1, 0.25, 0, 0], [0.25, 1, 0.25, 0], [0, 0.25, 1, 0.25], [0, 0, 0.25, 1]]
    ring = np.array(line)
    ring[0, 3] = ring[3, 0] = 0.25
    np.testing.assert_array_equal(model._neighbors(4), ring)
    # Two are neighbors already, and one has none.
    np.testing.assert_array_equal(model._neighbors(2), [[1, 0.25], [0.25, 1]])
    np.testing.assert_array_equal(model._neighbors(1), [[1]])
    np.testing.assert_array_equal(model.set_params(circular=False)._neighbors(4), line)
    free, held, given = model.set_params(
        coupled=[False, True, [[2, 1], [0, 3]]]
    )._couplings([3, 4, 2])
    assert free is None
    np.testing.assert_array_equal(held, line)
    np.testing.assert_array_equal(given, [[2, 1], [0, 3]])
    assert model.set_params(beta=0.0)._couplings([3, 4, 2])[1] is None
    # A row may not be empty; a column may.
    model.set_params(coupled=[[[1, 0], [1, 0]]])._couplings([2])
    with pytest.raises(ValueError, match="a positive entry in every row"):
        model.set_params(coupled=[[[1, 1], [0, 0]]])._couplings([2])


def test_coupled_factors_after_the_first_are_cut_at_a_tenth():
    C = np.eye(2)
    model = BlockKroneckerSBL(m_step="nnls")
    assert model._pruning("nnls", [C, C, None, C]) == [0.01, 0.1, 0.01, 0.1]
    assert model._pruning("nnls", [None, None, C]) == [0.01, 0.01, 0.1]
    plain = KroneckerSBL("mm")
    given = BlockKroneckerSBL(m_step="mm")._pruning("mm", [C, C])
    assert given == plain._pruning("mm", [C, C])
    model = BlockKroneckerSBL(m_step="nnls", prune_tol=0.25)
    assert model._pruning("nnls", [C, C]) == KroneckerSBL(prune_tol=0.25)._pruning(
        "nnls", [C, C]
    )


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("circular", [False, True])
def test_cost_never_rises(blocks, learn, circular):
    factors, y, s2 = blocks
    model = BlockKroneckerSBL(
        [True, False, True],
        circular=circular,
        noise_variance=None if learn else s2,
        prune_tol=0.0,
        max_iter=80,
    )
    history = quiet(model, factors, y).history_
    assert np.diff(history).min() >= -1e-8 * np.abs(history).max()
    gamma = kron(model.gammas_)
    expected = dense(kron(factors), y, gamma, model.noise_variance_)
    np.testing.assert_allclose(
        model.coef_, expected["mean"][:, 0], rtol=1e-8, atol=1e-10
    )
    cost = expected["logdet"] + expected["quad"]
    evidence = -0.5 * (cost + y.size * np.log(2.0 * np.pi))
    np.testing.assert_allclose(history[-1], evidence, rtol=1e-9)


def test_kernel_and_numpy_take_the_same_coupled_step():
    rng = np.random.default_rng(0)
    u, z = rng.exponential(size=(2, 4, 5, 6)) + 1e-2
    C = [np.eye(n) + 0.5 * (np.eye(n, k=1) + np.eye(n, k=-1)) for n in (4, 5, 6)]
    C[0], C[1] = C[0][1:], np.empty((0, 0))  # one row is cut
    u, z = np.ascontiguousarray(u[1:]), np.ascontiguousarray(z[1:])
    raw = [rng.uniform(0.5, 1.5, size=n) for n in (4, 5, 6)]
    gammas = [c @ r if c.size else r.copy() for c, r in zip(C, raw, strict=True)]
    plain, plain_raw = many.m_step(kernels.MM, u, z, gammas, raw, C, 3, 0.0)
    kernels.m_step(kernels.MM, u, z, *gammas, *raw, *C, 3, 0.0)
    for a, b in zip(gammas + raw, plain + plain_raw, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_coupled_sweeps_lower_the_bound():
    rng = np.random.default_rng(1)
    u, z = rng.exponential(size=(2, 4, 5, 6)) + 1e-2
    C = [np.eye(n) + 0.8 * (np.eye(n, k=1) + np.eye(n, k=-1)) for n in (4, 5, 6)]
    raw = [rng.uniform(0.5, 1.5, size=n) for n in (4, 5, 6)]
    gammas = [c @ r for c, r in zip(C, raw, strict=True)]
    values = []
    for _ in range(10):
        g = many.outer(gammas)
        values.append((z * g + u / g).sum())
        kernels.m_step(kernels.MM, u, z, *gammas, *raw, *C, 1, 0.0)
    assert np.all(np.diff(values) <= 1e-12 * values[0])


def test_raw_variances_give_the_variances(blocks):
    factors, y, s2 = blocks
    model = quiet(BlockKroneckerSBL(noise_variance=s2, prune_tol=0.0), factors, y)
    C = np.eye(8) + 0.5 * (np.eye(8, k=1) + np.eye(8, k=-1))
    for H, g, r in zip(factors, model.gammas_, model.raw_gammas_, strict=True):
        scaled = g * (H**2).mean(axis=0)
        np.testing.assert_allclose(
            scaled / scaled.sum(), (C @ r) / (C @ r).sum(), rtol=1e-9
        )


@pytest.mark.parametrize("m_step", ["mm", "nnls"])
@pytest.mark.parametrize("n_factors", [1, 2, 3, 4])
def test_any_number_of_factors(m_step, n_factors):
    data = make_kronecker_sparse(
        (4, 5, 6, 3)[:n_factors], (5, 6, 5, 4)[:n_factors], n_nonzero=2, random_state=2
    )
    model = quiet(
        BlockKroneckerSBL(m_step=m_step, noise_variance=data.noise_variance),
        data.factors,
        data.y,
    )
    expected = dense(
        kron(data.factors), data.y, kron(model.gammas_), model.noise_variance_
    )
    np.testing.assert_allclose(
        model.coef_, expected["mean"][:, 0], rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("m_step", ["mm", "nnls"])
def test_blocks_are_recovered(m_step):
    errors = []
    for seed in range(4):
        data = make_irs_mimo_channel(random_state=seed)
        model = quiet(
            BlockKroneckerSBL(
                data.coupled, m_step=m_step, noise_variance=data.noise_variance
            ),
            data.factors,
            data.y,
        )
        channels = mode_product(model.coef_tensor_, data.channel_factors)
        errors.append(nmse(channels, data.channels))
    assert np.median(errors) < (0.01 if m_step == "mm" else 0.1)


def test_clone_pickle_and_parameters(blocks):
    factors, y, s2 = blocks
    model = BlockKroneckerSBL([True, False, True], beta=0.8, noise_variance=s2)
    parameters = model.get_params()
    quiet(model, factors, y)
    assert model.get_params() == parameters
    again = clone(model)
    assert not hasattr(again, "coef_")
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict(), model.predict())
    np.testing.assert_array_equal(quiet(again, factors, y).coef_, model.coef_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BlockKroneckerSBL().fit(factors, np.zeros_like(y))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"beta": 1.5}, "beta"),
        ({"beta": -0.1}, "beta"),
        ({"coupled": [True]}, r"coupled has 1 entries.*3"),
        ({"coupled": [True, True, np.eye(3)]}, r"coupled\[2\] has shape \(3, 3\)"),
        ({"coupled": [True, True, -np.eye(8)]}, "non-negative"),
        ({"m_step": "am"}, "m_step"),
        ({"prune_tol": [0.1, 0.2]}, "prune_tol has 2 entries"),
    ],
)
def test_bad_parameters_are_refused(blocks, arguments, match):
    factors, y, _ = blocks
    with pytest.raises(ValueError, match=match):
        BlockKroneckerSBL(**arguments).fit(factors, y)


@pytest.mark.parametrize("complex_values", [False, True])
def test_uncertainty_equals_dense_algebra(complex_values):
    data = make_kronecker_sparse(
        (4, 6, 5), (5, 4, 6), n_nonzero=2, complex_values=complex_values, random_state=1
    )
    s2 = data.noise_variance
    model = quiet(
        BlockKroneckerSBL(noise_variance=s2, prune_tol=0.0), data.factors, data.y
    )
    expected = dense(kron(data.factors), data.y, kron(model.gammas_), s2)
    variances = np.real(np.diag(expected["covariance"]))
    np.testing.assert_allclose(
        model.coef_var_, variances, rtol=1e-7, atol=1e-9 * variances.max()
    )
    np.testing.assert_allclose(model.dof_, expected["dof"], rtol=1e-9)
    rng = np.random.default_rng(0)
    v = rng.standard_normal(120) + 1j * complex_values * rng.standard_normal(120)
    value = np.real(v.conj() @ expected["covariance"] @ v)
    np.testing.assert_allclose(
        model.sigma_quad(v if complex_values else v.real), value, rtol=1e-6
    )
    _, std = model.predict(return_std=True)
    H = kron(data.factors)
    variance = np.real(np.einsum("ij,jk,ik->i", H, expected["covariance"], H.conj()))
    np.testing.assert_allclose(std**2, s2 + variance, rtol=1e-7)


@pytest.mark.parametrize("cls", [KroneckerSBL, BlockKroneckerSBL])
def test_the_tensor_form_and_the_supports_are_the_coefficients(blocks, cls):
    factors, y, s2 = blocks
    model = quiet(cls(noise_variance=s2), factors, y)
    assert model.n_factors_ == 3 and model.noise_variance_ == s2
    np.testing.assert_array_equal(model.coef_tensor_, model.coef_.reshape(8, 8, 8))
    for kept, g in zip(model.supports_, model.gammas_, strict=True):
        np.testing.assert_array_equal(kept, np.flatnonzero(g))
        assert len(kept) < 8
    outside = model.coef_tensor_.copy()
    outside[np.ix_(*model.supports_)] = 0.0
    assert not outside.any() and model.coef_tensor_[np.ix_(*model.supports_)].all()
    assert len(model.history_) >= model.n_iter_
    assert model.converged_ == model.certificate_.satisfied
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        short = cls(noise_variance=s2, max_iter=1).fit(factors, y)
    assert not short.converged_ and not short.certificate_.satisfied


@pytest.mark.parametrize("cls", [KroneckerSBL, BlockKroneckerSBL])
def test_learned_noise_stops_at_the_floor(blocks, cls):
    factors, y, _ = blocks
    clean = mode_product(np.ones((8, 8, 8)), factors).ravel()
    high = quiet(cls(noise_floor=1e-2), factors, clean)
    floor = 1e-2 * (clean**2).mean()
    np.testing.assert_allclose(high.noise_variance_, floor, rtol=1e-6)
    assert quiet(cls(), factors, clean).noise_variance_ < 0.1 * floor
    with pytest.raises(ValueError, match="Complex data not supported"):
        cls(allow_complex=False).fit(factors, y + 0j)


def test_many_targets_are_fitted_one_by_one_for_any_number_of_jobs(blocks):
    factors, y, s2 = blocks
    new = BlockKroneckerSBL(noise_variance=s2, max_iter=20)
    Y = np.column_stack([y, -2.0 * y])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = new.fit_many(factors, Y, n_jobs=2)
    for model, target in zip(models, Y.T, strict=True):
        one = quiet(clone(new), factors, target)
        np.testing.assert_allclose(model.coef_, one.coef_, rtol=1e-12)


@pytest.mark.parametrize("cls", [KroneckerSBL, BlockKroneckerSBL])
def test_tolerance_and_start_lead_to_the_same_cost(blocks, cls):
    factors, y, s2 = blocks
    loose, strict = (
        quiet(cls(noise_variance=s2, tol=tol, max_iter=2000), factors, y)
        for tol in (1e-2, 1e-6)
    )
    assert loose.n_iter_ < strict.n_iter_ and strict.converged_
    assert strict.certificate_.value <= 1e-6 < loose.certificate_.value <= 1e-2
    least = loose.history_[-1] - 1e-6 * abs(loose.history_[-1])
    assert strict.history_[-1] >= least
    small, large = (
        quiet(cls(noise_variance=s2, gamma_init=g, max_iter=1, n_init=1), factors, y)
        for g in (1e-3, 1e3)
    )
    assert np.linalg.norm(kron(small.gammas_)) != np.linalg.norm(kron(large.gammas_))


def test_coupled_factors_but_the_first_are_cut_earlier_by_nnls():
    # The last factor carries the scale; ties of neighbors leave small values in all.
    C = np.eye(4)
    limits = BlockKroneckerSBL(m_step="nnls")._pruning("am", [C, C, None, C])
    assert limits == [0.01, 0.1, 0.01, 0.1]
    assert BlockKroneckerSBL(m_step="nnls", prune_tol=0.2)._pruning("am", [C]) == [0.2]
