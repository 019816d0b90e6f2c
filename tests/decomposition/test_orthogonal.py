"""Orthogonal dictionaries: polar optimality, monotone steps, streams, recovery."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools
import warnings

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone

from sparsestat._utils.arithmetic import Standardization
from sparsestat.decomposition import OnlineOrthogonalDictionary, OrthogonalDictionary
from sparsestat.decomposition._orthogonal import _frank_wolfe as fw
from sparsestat.exceptions import ConvergenceWarning, NumericalError


def bernoulli_gauss(n_samples, n, theta, rng):
    """Return data, dictionary and codes of the model."""
    D = np.linalg.qr(rng.standard_normal((n, n)))[0]
    codes = rng.standard_normal((n_samples, n)) * (rng.random((n_samples, n)) < theta)
    return codes @ D.T, D, codes


def recovery_error(A, D):
    return abs(1 - ((A @ D) ** 4).sum() / A.shape[0])


def worst_match(A, D):
    M = np.abs(A @ D)
    rows, columns = linear_sum_assignment(-M)
    return M[rows, columns].min()


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


@pytest.mark.parametrize("shape", [(6, 6), (3, 6)])
def test_polar_is_optimal_over_orthonormal_matrices(shape, rng):
    G = rng.standard_normal(shape)
    S, nuclear = fw.polar(G)
    assert_allclose(S, scipy.linalg.polar(G, side="left")[0], atol=1e-12)
    assert_allclose(np.vdot(S, G), np.linalg.norm(G, "nuc"), rtol=1e-10)
    assert_allclose(nuclear, np.linalg.norm(G, "nuc"), rtol=1e-12)
    for _ in range(1000):
        other = fw.random_stiefel(*shape, rng)
        assert np.vdot(other, G) <= nuclear + 1e-12


def test_polar_of_a_deficient_matrix_stays_near_the_iterate(rng):
    A = fw.random_stiefel(7, 7, rng)
    G = rng.standard_normal((7, 3)) @ rng.standard_normal((3, 7))
    S, nuclear = fw.polar(G, A)
    assert_allclose(S @ S.T, np.eye(7), atol=1e-12)
    assert_allclose(np.vdot(S, G), nuclear, rtol=1e-12)
    # Rounding in the input does not change the answer.
    assert_allclose(fw.polar(G * (1 + 1e-15), A)[0], S, atol=1e-12)
    U, _, Vt = np.linalg.svd(G)
    for _ in range(50):  # every other maximizer is farther from A
        Q = fw.random_stiefel(4, 4, rng)
        other = U[:, :3] @ Vt[:3] + U[:, 3:] @ Q @ Vt[3:]
        assert np.linalg.norm(S - A) <= np.linalg.norm(other - A) + 1e-12


@pytest.mark.parametrize("p", [3, 4, 2.5])
def test_gradient_is_the_derivative(p, rng):
    X, A = rng.standard_normal((40, 5)), fw.random_stiefel(4, 5, rng)
    w, mean = rng.random(40), rng.standard_normal(5)
    P = np.cov(rng.standard_normal((5, 30)))
    center = Standardization(np.zeros(5), np.zeros(5), mean)
    options = {"weights": w, "whitening": P, "center": center}
    gradient, _ = fw.lp_gradient(X, A, p, **options)
    direction, h = rng.standard_normal(A.shape), 1e-5
    up, down = (
        fw.lp_gradient(X, A + s * h * direction, p, **options)[1] for s in (1, -1)
    )
    slope = (up - down) / (2 * h)
    assert_allclose(p * np.vdot(gradient, direction), slope, rtol=1e-6)


@pytest.mark.parametrize("p", [3, 4, 2.7])
def test_full_steps_never_lower_the_objective(p, rng):
    X, _, _ = bernoulli_gauss(400, 6, 0.3, rng)
    model = OrthogonalDictionary(p=p, random_state=0, max_iter=2000).fit(X)
    history = model.history_
    assert (np.diff(history) >= -1e-12 * history[-1]).all()
    assert model.certificate_.satisfied
    assert_allclose(model.score(X), model.objective_, rtol=1e-10)
    assert_allclose(
        (np.abs(X @ model.components_.T) ** p).sum(axis=1).mean(),
        model.objective_,
        rtol=1e-10,
    )
    assert model.gap_ <= 1e-6 * model.objective_


@pytest.mark.parametrize("p", [3, 4])
def test_signed_permutations_are_fixed_points_of_the_population(p):
    # Codes with one entry, each sign and place equally likely: the population.
    n = 4
    D = fw.random_stiefel(n, n, np.random.default_rng(0))
    codes = np.vstack([np.eye(n), -np.eye(n)])
    for order in itertools.permutations(range(n)):
        A = D.T[list(order)] * np.array([1.0, -1.0, 1.0, -1.0])[:, None]
        gradient, _ = fw.lp_gradient(codes @ D.T, A, p)
        assert_allclose(fw.polar(gradient)[0], A, atol=1e-12)


@pytest.mark.parametrize(
    ("p", "moment"), [(3, 2 * np.sqrt(2 / np.pi)), (4, 3.0)], ids=["l3", "l4"]
)
def test_score_at_recovery_is_that_of_the_population(p, moment, rng):
    n, theta, n_samples = 5, 0.3, 20_000
    X, D, codes = bernoulli_gauss(n_samples, n, theta, rng)
    model = OnlineOrthogonalDictionary(p=p, init=D.T, random_state=0).fit(X)
    model.components_ = np.ascontiguousarray(D.T)
    spread = (np.abs(codes) ** p).sum(axis=1).std() / np.sqrt(n_samples)
    assert abs(model.score(X) - n * theta * moment) < 4 * spread


@pytest.mark.parametrize("p", [3, 4])
def test_two_features_agree_with_a_search_over_the_angle(p, rng):
    X, _, _ = bernoulli_gauss(500, 2, 0.4, rng)
    angles = np.linspace(0, np.pi / 2, 2001)
    rows = (
        np.stack([np.cos(angles), np.sin(angles)]),
        np.stack([-np.sin(angles), np.cos(angles)]),
    )
    values = sum((np.abs(X @ r) ** p).mean(axis=0) for r in rows)
    model = OrthogonalDictionary(
        p=p, n_init=5, random_state=0, max_iter=5000, tol=1e-12
    ).fit(X)
    assert model.objective_ >= values.max() - 1e-9
    assert_allclose(model.objective_, values.max(), rtol=1e-5)


@pytest.mark.parametrize("cls", [OnlineOrthogonalDictionary, OrthogonalDictionary])
def test_rotating_the_data_rotates_the_atoms(cls, rng):
    X, _, _ = bernoulli_gauss(2000, 6, 0.3, rng)
    Q = fw.random_stiefel(6, 6, rng)
    A = fw.random_stiefel(6, 6, rng)
    plain = cls(init=A, random_state=0).fit(X)
    turned = cls(init=A @ Q.T, random_state=0).fit(X @ Q.T)
    assert_allclose(turned.components_, plain.components_ @ Q.T, atol=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precondition": True, "center": True},
        {"schedule": "adaptive", "precondition": True},
    ],
)
def test_a_stream_gives_what_fit_gives_without_shuffling(options, rng):
    X, _, _ = bernoulli_gauss(1030, 7, 0.3, rng)
    model = OnlineOrthogonalDictionary(
        shuffle=False, batch_size=50, random_state=3, **options
    )
    whole, stream = clone(model).fit(X), clone(model)
    for start in range(0, len(X), 50):
        stream.partial_fit(X[start : start + 50])
    for name in ("components_", "gradient_", "dictionary_", "gap_"):
        assert_array_equal(getattr(whole, name), getattr(stream, name), err_msg=name)
    assert whole.n_steps_ == stream.n_steps_ == 21


def test_blocks_of_a_dask_array_are_a_stream(rng):
    da = pytest.importorskip("dask.array")
    X, _, _ = bernoulli_gauss(600, 5, 0.3, rng)
    model = OnlineOrthogonalDictionary(shuffle=False, random_state=0)
    whole, stream = clone(model).fit(X), clone(model)
    for block in da.from_array(X, chunks=(200, 5)).blocks:
        stream.partial_fit(block)
    assert_array_equal(whole.components_, stream.components_)


@pytest.mark.parametrize(
    ("p", "schedule", "bound"),
    [
        (3, "nonconvex", 3e-3),
        (4, "nonconvex", 1e-2),
        (3, "convex", 0.1),
        (3, "adaptive", 1e-3),
        (4, "adaptive", 2e-3),
    ],
)
def test_one_pass_recovers_the_dictionary(p, schedule, bound):
    # The convex schedule makes short steps and is slower, as published.
    rng = np.random.default_rng(1)
    X, D, _ = bernoulli_gauss(20_000, 10, 0.3, rng)
    model = OnlineOrthogonalDictionary(p=p, schedule=schedule, random_state=0).fit(X)
    assert recovery_error(model.components_, D) < bound
    assert worst_match(model.components_, D) > 1 - bound
    assert_allclose(model.components_ @ model.components_.T, np.eye(10), atol=1e-12)


def test_memory_grows_while_the_objective_does_not(rng):
    memory = fw.GrowingMemory(100, 10)
    flat = [memory.weight(1.0 + 0.01 * rng.standard_normal()) for _ in range(400)]
    assert flat[0] == 0.7 and flat[-1] < 0.01
    assert len(memory.values) <= memory.longest
    # A rise shortens it until the rise is over.
    risen = [memory.weight(2.0 + 0.01 * rng.standard_normal()) for _ in range(200)]
    assert max(risen[5:]) > 3 * flat[-1]
    short = fw.GrowingMemory(100, 10)
    rising = [short.weight(t + 0.1 * rng.standard_normal()) for t in range(200)]
    assert min(rising) == 0.7
    # Few samples a batch: the first memory covers as many samples as features.
    assert fw.GrowingMemory(10, 50).weight(1.0) == 0.2


def test_many_features_need_fewer_samples_with_a_growing_memory():
    rng = np.random.default_rng(2)
    X, D, _ = bernoulli_gauss(10_000, 40, 0.3, rng)
    errors = [
        recovery_error(
            OnlineOrthogonalDictionary(schedule=s, random_state=0).fit(X).components_,
            D,
        )
        for s in ("adaptive", "nonconvex")
    ]
    assert errors[0] < 5e-3 < 0.1 < errors[1]


def test_projection_at_every_step_gives_the_same_dictionary(rng):
    X, D, _ = bernoulli_gauss(10_000, 8, 0.3, rng)
    model = OnlineOrthogonalDictionary(project_every=1, random_state=0).fit(X)
    assert recovery_error(model.components_, D) < 5e-3


@pytest.mark.parametrize("cls", [OnlineOrthogonalDictionary, OrthogonalDictionary])
def test_whitening_recovers_a_dictionary_that_is_not_orthogonal(cls):
    rng = np.random.default_rng(5)
    n = 8
    D = np.linalg.qr(rng.standard_normal((n, n)))[0] * np.geomspace(1, 4, n)
    D = D @ np.linalg.qr(rng.standard_normal((n, n)))[0]
    codes = rng.standard_normal((20_000, n)) * (rng.random((20_000, n)) < 0.3)
    X = codes @ D.T
    model = cls(precondition=True, transform_algorithm="linear", random_state=0).fit(X)
    effect = model.components_ @ D  # a signed, scaled permutation
    effect /= np.linalg.norm(effect, axis=1, keepdims=True)
    assert recovery_error(effect, np.eye(n)) < 0.02
    assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-8)
    plain = cls(random_state=0).fit(X).components_ @ D
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    assert recovery_error(plain, np.eye(n)) > 0.1


@pytest.mark.parametrize("k", [1, 2, 3])
def test_topk_codes_are_the_best_sparse_codes(k, rng):
    X = rng.standard_normal((6, 5))
    model = OnlineOrthogonalDictionary(
        transform_algorithm="topk", transform_n_nonzero_coefs=k, random_state=0
    ).fit(X)
    codes = model.transform(X)
    errors = ((X - model.inverse_transform(codes)) ** 2).sum(axis=1)
    D = model.dictionary_
    for x, error in zip(X, errors, strict=True):
        best = min(
            np.linalg.lstsq(D[:, list(support)], x, rcond=None)[1].sum()
            for support in itertools.combinations(range(5), k)
        )
        assert_allclose(error, best, atol=1e-12)
    assert ((codes != 0).sum(axis=1) <= k).all()


def test_soft_codes_satisfy_the_conditions_of_the_lasso(rng):
    X = rng.standard_normal((10, 6))
    model = OrthogonalDictionary(
        transform_algorithm="soft", transform_alpha=0.4, random_state=0, max_iter=5000
    ).fit(X)
    codes = model.transform(X)
    correlation = (X - codes @ model.dictionary_.T) @ model.dictionary_
    on = codes != 0
    assert_allclose(correlation[on], 0.4 * np.sign(codes[on]), atol=1e-10)
    assert (np.abs(correlation[~on]) <= 0.4 + 1e-10).all()


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix])
@pytest.mark.parametrize("options", [{}, {"precondition": True, "center": True}])
@pytest.mark.parametrize("cls", [OnlineOrthogonalDictionary, OrthogonalDictionary])
def test_sparse_data_give_the_dense_answer(cls, options, container, rng):
    X = rng.standard_normal((300, 6)) * (rng.random((300, 6)) < 0.3)
    extra = {"max_iter": 20} if cls is OrthogonalDictionary else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        dense = cls(random_state=0, **options, **extra).fit(X)
        thin = cls(random_state=0, **options, **extra).fit(container(X))
    assert_allclose(thin.components_, dense.components_, atol=1e-8)
    assert_allclose(thin.transform(container(X)), dense.transform(X), atol=1e-8)
    assert_allclose(thin.score(container(X)), dense.score(X), rtol=1e-8)


def test_fewer_atoms_than_features_have_orthonormal_rows(rng):
    X, _, _ = bernoulli_gauss(500, 6, 0.3, rng)
    for cls in (OnlineOrthogonalDictionary, OrthogonalDictionary):
        model = cls(3, random_state=0, max_iter=500).fit(X)
        assert_allclose(model.components_ @ model.components_.T, np.eye(3), atol=1e-12)
        assert model.get_feature_names_out().shape == (3,)


def unitary_model(n_samples, n, theta, rng):
    """Return complex data, their unitary dictionary and codes."""
    D = fw.random_stiefel(n, n, rng, is_complex=True).T
    codes = rng.standard_normal((n_samples, n)) + 1j * rng.standard_normal(
        (n_samples, n)
    )
    codes *= rng.random((n_samples, n)) < theta
    return codes @ D.T, D, codes


@pytest.mark.parametrize("p", [3, 4, 2.5])
def test_complex_gradient_is_the_derivative(p, rng):
    X, _, _ = unitary_model(40, 5, 0.5, rng)
    A, w = fw.random_stiefel(4, 5, rng, is_complex=True), rng.random(40)
    M = rng.standard_normal((5, 9)) + 1j * rng.standard_normal((5, 9))
    center = Standardization(np.zeros(5), np.zeros(5), M[:, 0])
    options = {"weights": w, "whitening": M @ M.conj().T / 9, "center": center}
    gradient, _ = fw.lp_gradient(X, A, p, **options)
    direction, h = fw.random_stiefel(4, 5, rng, is_complex=True), 1e-5
    up, down = (
        fw.lp_gradient(X, A + s * h * direction, p, **options)[1] for s in (1, -1)
    )
    slope = (up - down) / (2 * h)
    assert_allclose(p * np.vdot(gradient, direction).real, slope, rtol=1e-6)


@pytest.mark.parametrize("cls", [OnlineOrthogonalDictionary, OrthogonalDictionary])
def test_unitary_dictionaries_of_complex_data_are_recovered(cls):
    rng = np.random.default_rng(3)
    X, D, _ = unitary_model(10_000, 6, 0.3, rng)
    model = cls(p=4, allow_complex=True, transform_algorithm="linear", random_state=0)
    model.fit(X)
    assert model.components_.dtype == np.complex128
    assert_allclose(np.abs(model.components_ @ D).max(axis=1), 1.0, atol=5e-3)
    A = model.components_
    assert_allclose(A @ A.conj().T, np.eye(6), atol=1e-12)
    assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-10)
    kept = model.set_params(
        transform_algorithm="topk", transform_n_nonzero_coefs=2
    ).transform(X[:50])
    full = X[:50] @ A.T
    order = np.argsort(-np.abs(full), axis=1)[:, :2]
    assert ((kept != 0).sum(axis=1) <= 2).all()
    assert_allclose(
        np.take_along_axis(kept, order, 1), np.take_along_axis(full, order, 1)
    )
    soft = model.set_params(transform_algorithm="soft", transform_alpha=0.3)
    soft = soft.transform(X[:50])
    assert_allclose(np.abs(soft), np.maximum(np.abs(full) - 0.3, 0), atol=1e-12)
    single = clone(model).fit(X.astype(np.complex64))
    assert single.components_.dtype == np.complex64
    with pytest.raises(ValueError, match="fitted to real data"):
        clone(model).fit(X.real).transform(X)


@pytest.mark.parametrize("cls", [OnlineOrthogonalDictionary, OrthogonalDictionary])
def test_complex_whitening(cls):
    rng = np.random.default_rng(3)
    X, D, _ = unitary_model(20_000, 5, 0.3, rng)
    M = np.diag(np.geomspace(1, 3, 5)) @ unitary_model(1, 5, 1, rng)[1]
    model = cls(allow_complex=True, precondition=True, center=True, random_state=0)
    model.fit(X @ M.T + (1 + 2j))
    effect = model.components_ @ M @ D
    effect /= np.linalg.norm(effect, axis=1, keepdims=True)
    assert np.abs(effect).max(axis=1).min() > 0.98
    Z = model.transform(X @ M.T + (1 + 2j))
    assert_allclose(Z.T @ Z.conj() / len(Z), np.eye(5), atol=0.05)


def test_real_data_do_not_care_whether_complex_data_are_allowed(rng):
    X, _, _ = bernoulli_gauss(500, 5, 0.3, rng)
    one, two = (
        OnlineOrthogonalDictionary(allow_complex=a, random_state=0).fit(X)
        for a in (False, True)
    )
    assert_array_equal(one.components_, two.components_)


def test_halves_of_a_batch_average_to_its_gradient(rng):
    # Splitting batches changes the steps taken, not what a gradient is.
    X, _, _ = bernoulli_gauss(200, 6, 0.3, rng)
    A = fw.random_stiefel(6, 6, rng)
    whole, value = fw.lp_gradient(X, A, 3)
    halves = [fw.lp_gradient(part, A, 3) for part in (X[:100], X[100:])]
    assert_allclose(whole, (halves[0][0] + halves[1][0]) / 2, atol=1e-14)
    assert_allclose(value, (halves[0][1] + halves[1][1]) / 2, rtol=1e-13)
    # Two chunks of one batch size are the same stream, whatever the chunks.
    model = OnlineOrthogonalDictionary(shuffle=False, batch_size=50, random_state=0)
    one, two = clone(model), clone(model)
    for chunk in (X[:100], X[100:]):
        one.partial_fit(chunk)
    assert_array_equal(one.components_, two.partial_fit(X).components_)


def test_no_data_are_kept_and_blocks_bound_the_memory(rng):
    import pickle
    import tracemalloc

    X, _, _ = bernoulli_gauss(60_000, 8, 0.3, rng)
    model = OnlineOrthogonalDictionary(random_state=0, precondition=True).fit(X)
    assert len(pickle.dumps(model)) < 20 * 8 * 8**2 + 4096
    tracemalloc.start()
    OrthogonalDictionary(random_state=0, max_iter=3, tol=1.0).fit(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A block of codes and its powers, not a second matrix of the size of X.
    assert peak < 8 * fw.BLOCK_ROWS * 8 * 8 < X.nbytes * 1.1


def test_certificate_can_be_recomputed(rng):
    X, _, _ = bernoulli_gauss(1000, 6, 0.3, rng)
    model = OnlineOrthogonalDictionary(shuffle=False, random_state=0).fit(X)
    A, last = model.components_, X[-100:]
    Z = last @ A.T
    G = (Z * np.abs(Z)).T @ last / 100
    nuclear = np.linalg.norm(G, "nuc")
    assert_allclose(model.gap_, (nuclear - np.vdot(A, G)) / 6, rtol=1e-8)
    assert_allclose(
        model.certificate_.value, 1 - np.vdot(A, G) / nuclear, rtol=1e-6, atol=1e-12
    )
    assert model.certificate_.satisfied
    assert model.certificate_.details["fresh_gap"] > 0


def test_starts_do_not_depend_on_the_number_of_workers(rng):
    X, _, _ = bernoulli_gauss(300, 5, 0.3, rng)
    one, two = (
        OrthogonalDictionary(n_init=4, n_jobs=j, random_state=0, max_iter=500).fit(X)
        for j in (1, 2)
    )
    assert_array_equal(one.components_, two.components_)


def test_single_precision_is_kept(rng):
    X, _, _ = bernoulli_gauss(5000, 6, 0.3, rng)
    for cls in (OnlineOrthogonalDictionary, OrthogonalDictionary):
        wide, single = (cls(random_state=0).fit(X.astype(t)) for t in ("f8", "f4"))
        assert single.components_.dtype == np.float32
        assert_allclose(single.components_, wide.components_, atol=1e-3)


def test_too_few_steps_warn_once(rng):
    X, _, _ = bernoulli_gauss(300, 5, 0.3, rng)
    with pytest.warns(ConvergenceWarning, match="Raise max_iter") as caught:
        model = OrthogonalDictionary(max_iter=2, random_state=0).fit(X)
    assert len(caught) == 1 and not model.certificate_.satisfied


def test_zero_data_keep_the_start():
    init = np.eye(3)
    for cls in (OnlineOrthogonalDictionary, OrthogonalDictionary):
        model = cls(init=init).fit(np.zeros((10, 3)))
        assert_allclose(model.components_, init, atol=1e-15)


def test_bad_input_is_explained(rng):
    X = rng.standard_normal((50, 4))
    Online, Batch = OnlineOrthogonalDictionary, OrthogonalDictionary
    for cls in (Online, Batch):
        with pytest.raises(ValueError, match="exceeds the 4 features"):
            cls(5).fit(X)
        with pytest.raises(ValueError, match="'p' parameter"):
            cls(p=2).fit(X)
        with pytest.raises(ValueError, match="not orthonormal"):
            cls(init=np.eye(4) * 1.1).fit(X)
        with pytest.raises(ValueError, match=r"init has shape \(3, 3\)"):
            cls(init=np.eye(3)).fit(X)
        with pytest.raises(ValueError, match="exceeds the 4 atoms"):
            cls(transform_n_nonzero_coefs=5).fit(X)
        with pytest.raises(ValueError, match="Complex data not supported"):
            cls().fit(X + 1j)
        with pytest.raises(ValueError, match="covariance is singular"):
            cls(precondition=True).fit(np.column_stack([X, X[:, 0]]))
        with pytest.raises(ValueError, match="NaN"):
            cls().fit(np.where(X > 2, np.nan, X) + np.nan)
        with pytest.raises(ValueError, match="Codes have shape"):
            cls(max_iter=500).fit(X).inverse_transform(X[:, :2])
    model = Online().partial_fit(X)
    with pytest.raises(ValueError, match="3 features"):
        model.partial_fit(X[:, :3])
    with pytest.raises(ValueError, match="Rescale X"):
        Online(p=4).fit(X * 1e120)
    with pytest.raises(NumericalError, match="Scale the data"):
        Online(p=6).fit(X * 1e60)
    with pytest.raises(NumericalError, match="unit variance"):
        Online(p=6).fit(X).score(X * 1e60)


def test_whitening_drops_directions_when_fewer_atoms_are_asked_for(rng):
    X = rng.standard_normal((500, 4))
    X = np.column_stack([X, X[:, 0]])
    for cls in (OnlineOrthogonalDictionary, OrthogonalDictionary):
        model = cls(4, precondition=True, max_iter=500, random_state=0).fit(X)
        Z = model.set_params(transform_algorithm="linear").transform(X)
        assert_allclose(Z.T @ Z / 500, np.eye(4), atol=0.3)


def test_a_callback_stops_the_fit(rng):
    pytest.importorskip("sklearn.callback")

    class Stop:
        def setup(self, *args, **kwargs):
            pass

        def teardown(self, *args, **kwargs):
            pass

        def on_fit_task_begin(self, *args, **kwargs):
            pass

        def on_fit_task_end(self, *args, **kwargs):
            return True

    X, _, _ = bernoulli_gauss(300, 5, 0.3, rng)
    model = OnlineOrthogonalDictionary(max_iter=5, random_state=0)
    model.set_callbacks(Stop())
    assert model.fit(X).n_iter_ == 1


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("cls", [OnlineOrthogonalDictionary, OrthogonalDictionary])
def test_whitening_makes_the_covariance_the_identity(cls, center, rng):
    X, _, _ = bernoulli_gauss(3000, 6, 0.3, rng)
    X = X @ rng.standard_normal((6, 6)) + (3.0 if center else 0.0)
    model = cls(precondition=True, center=center, random_state=0).fit(X)
    if center:
        assert_allclose(model.mean_, X.mean(axis=0), rtol=1e-10)
        X = X - model.mean_
    else:
        assert model.mean_ is None
    W = model.whitening_
    assert_allclose(W, W.T, atol=1e-12)
    covariance = X.T @ X / len(X)
    # A stream renews its whitening ever more rarely, so that it lags behind.
    lag = 0.15 if cls is OnlineOrthogonalDictionary else 1e-8
    assert_allclose(W @ covariance @ W, np.eye(6), atol=lag)
    # The rows are orthonormal, times the whitening.
    A = model.components_ @ np.linalg.inv(W)
    assert_allclose(A @ A.T, np.eye(6), atol=1e-8)
    assert_allclose(model.components_ @ model.dictionary_, np.eye(6), atol=1e-8)
    plain = cls(random_state=0).fit(X)
    assert plain.whitening_ is None
    assert_array_equal(plain.dictionary_, plain.components_.T)


def test_a_stream_counts_its_samples_and_renews_its_whitening(rng):
    X, _, _ = bernoulli_gauss(400, 4, 0.4, rng)
    twice = OnlineOrthogonalDictionary(batch_size=30, max_iter=2, random_state=0)
    twice.fit(X)
    assert twice.n_samples_seen_ == 800 and twice.n_steps_ == 28
    model = OnlineOrthogonalDictionary(precondition=True, refresh=2, random_state=0)
    renewed, before = [], None
    for step in range(20):
        model.partial_fit(X[20 * step : 20 * step + 20])
        if before is None or not np.array_equal(model.whitening_, before):
            renewed.append(step)
            seen = X[: 20 * step + 20]
            covariance = model.whitening_ @ (seen.T @ seen) @ model.whitening_
            assert_allclose(covariance / len(seen), np.eye(4), atol=1e-8)
        before = model.whitening_.copy()
    # Two batches until the next whitening, then four, then eight.
    assert np.diff(renewed).tolist() == [2, 4, 8]
    assert model.n_samples_seen_ == 400 and model.n_steps_ == 20


@pytest.mark.parametrize("cls", [OnlineOrthogonalDictionary, OrthogonalDictionary])
def test_as_many_atoms_as_asked_for(cls, rng):
    X, _, _ = bernoulli_gauss(400, 6, 0.3, rng)
    for count in (2, None):
        model = cls(n_components=count, random_state=0, max_iter=5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X)
        rows = count or 6
        assert model.components_.shape == (rows, 6) == model.gradient_.shape
        gram = model.components_ @ model.components_.T
        assert_allclose(gram, np.eye(rows), atol=1e-10)
        model.set_params(transform_algorithm="linear")
        assert_allclose(model.transform(X), X @ model.components_.T)


@pytest.mark.parametrize("cls", [OnlineOrthogonalDictionary, OrthogonalDictionary])
@pytest.mark.parametrize("is_complex", [False, True])
def test_default_codes_leave_the_noise_out(cls, is_complex):
    rng = np.random.default_rng(0)
    n, sigma = 16, 0.1
    if is_complex:
        clean, _, codes = unitary_model(10_000, n, 0.15, rng)
        noise = rng.standard_normal((2, 10_000, n)) / np.sqrt(2)
        X = clean + sigma * (noise[0] + 1j * noise[1])
    else:
        clean, _, codes = bernoulli_gauss(10_000, n, 0.15, rng)
        X = clean + sigma * rng.standard_normal(clean.shape)
    model = cls(allow_complex=is_complex, random_state=0).fit(X)
    assert_allclose(model.noise_scale_, sigma, rtol=0.25)
    Z = model.transform(X)
    full = X @ model.components_.T
    root = np.sqrt((1 if is_complex else 2) * np.log(n))
    kept = np.abs(full) > model.noise_scale_ * root
    assert_allclose(Z, np.where(kept, full, 0))
    assert 0.5 * (codes != 0).mean() < kept.mean() < 1.2 * (codes != 0).mean()
    error = np.linalg.norm(model.inverse_transform(Z) - clean)
    assert error < 0.7 * np.linalg.norm(X - clean)
    model.set_params(transform_alpha=0.5)
    assert_allclose(model.transform(X), np.where(np.abs(full) > 0.5, full, 0))


def test_hard_codes_solve_their_problem_and_are_no_surprise_after_whitening(rng):
    X = rng.standard_normal((50, 4)) * [1, 2, 3, 4]
    model = OrthogonalDictionary(transform_alpha=0.8, random_state=0, max_iter=50)
    Z = model.fit_transform(X)
    # Each entry alone: |y - a z|^2 + alpha^2 [z != 0] is least at the linear code or 0.
    full = X @ model.components_.T
    cost = np.minimum(full**2, 0.8**2).sum()
    rest = ((X - model.inverse_transform(Z)) ** 2).sum() + 0.8**2 * (Z != 0).sum()
    assert_allclose(rest, cost)
    white = OrthogonalDictionary(precondition=True, random_state=0).fit(X)
    norms = np.linalg.norm(white.components_, axis=1)
    full = X @ white.components_.T
    level = np.median(np.abs(full) / norms) / 0.6744897501960817
    assert_allclose(white.noise_scale_, level)
    kept = np.abs(full) > level * np.sqrt(2 * np.log(4)) * norms
    assert_allclose(white.transform(X), np.where(kept, full, 0))


def test_defaults_do_not_warn_on_patches_and_say_what_they_promise():
    image = np.add.outer(np.sin(np.arange(60) / 4), np.cos(np.arange(60) / 7)) * 50
    image += 3 * np.random.default_rng(0).standard_normal(image.shape)
    patches = np.lib.stride_tricks.sliding_window_view(image, (6, 6)).reshape(-1, 36)
    patches = patches - patches.mean(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = OrthogonalDictionary(random_state=0).fit(patches)
    history = model.history_
    details = model.certificate_.details
    assert_allclose(details["rise"], (history[-1] - history[-2]) / history[-1])
    assert model.certificate_.value == min(details["rise"], details["move"]) <= 1e-5
