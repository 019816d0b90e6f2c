"""Lasso, elastic net and multi-task Lasso against closed forms, KKT and cvxpy."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import linear_model as skl
from sklearn.datasets import make_regression

import sparsestat.linear_model as ssl
from sparsestat.exceptions import ConvergenceWarning
from sparsestat.linear_model import ElasticNet, Lasso, MultiTaskLasso
from tests.linear_model.lasso_oracles import (
    centered,
    largest_kkt_violation,
    objective,
    relative_gap,
)

TIGHT = 1e-13  # relative duality gap: solutions to about 1e-7 of their size


def problem(n=60, p=120, k=8, seed=0, density=None):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) @ np.diag(rng.uniform(0.5, 2.0, p)) + 0.3
    if density is not None:
        X *= rng.random((n, p)) < density
    w = np.zeros(p)
    k = min(k, p)
    w[rng.choice(p, k, replace=False)] = rng.standard_normal(k)
    y = X @ w + 0.3 * rng.standard_normal(n) + 2.0
    return X, y


def largest_alpha(X, y, **kwargs):
    A, t, total = centered(X, y, **kwargs)
    return np.abs(A.T @ t).max() / total


def cvxpy_solution(X, y, alpha, l1_ratio, positive=False, omega=None):
    cp = pytest.importorskip("cvxpy")
    A, t, total = centered(X, y)
    omega = np.ones(A.shape[1]) if omega is None else omega
    w = cp.Variable(A.shape[1], nonneg=positive)
    loss = cp.sum_squares(t - A @ w) / (2 * total)
    penalty = l1_ratio * cp.norm1(cp.multiply(omega, w))
    penalty += 0.5 * (1 - l1_ratio) * cp.sum_squares(cp.multiply(np.sqrt(omega), w))
    task = cp.Problem(cp.Minimize(loss + alpha * penalty))
    options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)
    return task.solve(solver="CLARABEL", **options)


def test_alpha_max_gives_zero_and_just_below_one_nonzero(global_random_seed):
    X, y = problem(seed=global_random_seed)
    top = largest_alpha(X, y)
    assert not Lasso(alpha=top * (1 + 1e-12)).fit(X, y).coef_.any()
    below = Lasso(alpha=0.999 * top, tol=TIGHT).fit(X, y)
    assert np.count_nonzero(below.coef_) == 1


def test_orthonormal_design_soft_thresholds():
    rng = np.random.default_rng(1)
    Q, _ = np.linalg.qr(rng.standard_normal((50, 20)))
    y = rng.standard_normal(50)
    z = Q.T @ y
    alpha = 0.4 * np.abs(z).max() / 50
    expected = np.sign(z) * np.maximum(np.abs(z) - 50 * alpha, 0)
    model = Lasso(alpha=alpha, fit_intercept=False, tol=TIGHT).fit(Q, y)
    assert_allclose(model.coef_, expected, atol=1e-12)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_solution_satisfies_kkt(share, container, global_random_seed):
    X, y = problem(seed=global_random_seed)
    alpha = share * largest_alpha(X, y)
    model = Lasso(alpha=alpha, tol=1e-14).fit(container(X), y)
    assert largest_kkt_violation(X, y, model.coef_, alpha) <= 1e-7 * alpha


@pytest.mark.parametrize("l1_ratio", [1.0, 0.7, 0.1])
@pytest.mark.parametrize("positive", [False, True])
def test_objective_agrees_with_cvxpy(l1_ratio, positive):
    X, y = problem(n=40, p=60, seed=3)
    alpha = 0.05 * largest_alpha(X, y) / l1_ratio
    model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, positive=positive, tol=1e-12)
    model.fit(X, y)
    value = objective(X, y, model.coef_, alpha, l1_ratio)
    assert_allclose(value, cvxpy_solution(X, y, alpha, l1_ratio, positive), rtol=1e-8)
    assert_allclose(model.objective_, value, rtol=1e-10)
    assert not positive or model.coef_.min() >= 0


def test_feature_weights_agree_with_cvxpy():
    X, y = problem(n=40, p=60, seed=4)
    omega = np.random.default_rng(0).uniform(0.2, 3.0, 60)
    omega[[3, 17]] = 0.0
    alpha = 0.05 * largest_alpha(X, y)
    model = Lasso(alpha=alpha, feature_weights=omega, tol=1e-12).fit(X, y)
    value = objective(X, y, model.coef_, alpha, omega=omega)
    expected = cvxpy_solution(X, y, alpha, 1.0, omega=omega)
    assert_allclose(value, expected, rtol=1e-8)
    assert model.certificate_.satisfied
    # The dual bound with free columns is a bound: it lies below the optimum.
    assert model.certificate_.details["dual_objective"] <= expected * (1 + 1e-9)


def test_positive_free_features_are_solved_by_non_negative_least_squares():
    X, y = problem(n=40, p=12, seed=5)
    omega = np.ones(12)
    omega[[0, 1, 2]] = 0.0
    model = Lasso(0.05, positive=True, feature_weights=omega, tol=1e-12).fit(X, y)
    value = objective(X, y, model.coef_, 0.05, omega=omega)
    expected = cvxpy_solution(X, y, 0.05, 1.0, positive=True, omega=omega)
    assert_allclose(value, expected, rtol=1e-8)
    assert model.certificate_.satisfied and model.coef_.min() >= 0


def test_infinite_feature_weight_drops_the_feature():
    X, y = problem()
    omega = np.ones(X.shape[1])
    omega[::2] = np.inf
    alpha = 0.05 * largest_alpha(X, y)
    model = Lasso(alpha, feature_weights=omega, tol=TIGHT).fit(X, y)
    half = Lasso(alpha, tol=TIGHT).fit(X[:, 1::2], y)
    assert not model.coef_[::2].any()
    assert_allclose(model.coef_[1::2], half.coef_, atol=1e-6)


def test_finite_feature_weights_equal_rescaled_columns():
    X, y = problem()
    omega = np.random.default_rng(0).uniform(0.5, 2.0, X.shape[1])
    alpha = 0.05 * largest_alpha(X, y)
    weighted = Lasso(alpha, feature_weights=omega, tol=TIGHT).fit(X, y)
    rescaled = Lasso(alpha, tol=TIGHT).fit(X / omega, y)
    assert_allclose(weighted.coef_, rescaled.coef_ / omega, atol=1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("density", [0.02, 0.5])
def test_dense_and_sparse_agree(fit_intercept, weighted, density):
    # 0.02 runs on columns, 0.5 on the Gram matrix of gathered columns.
    X, y = problem(n=100, p=80, density=density, seed=6)
    s = np.random.default_rng(1).uniform(0.1, 2.0, 100) if weighted else None
    alpha = 0.05 * largest_alpha(X, y, sample_weight=s, fit_intercept=fit_intercept)
    fits = [
        Lasso(alpha, fit_intercept=fit_intercept, tol=1e-15).fit(Z, y, sample_weight=s)
        for Z in (X, sparse.csc_array(X), sparse.csr_matrix(X))
    ]
    for other in fits[1:]:
        assert_allclose(other.coef_, fits[0].coef_, atol=1e-9)
        assert_allclose(other.intercept_, fits[0].intercept_, atol=1e-9)


def test_noncanonical_sparse_input_is_summed_and_left_alone():
    X, y = problem(n=30, p=20, density=0.3, seed=7)
    clean = sparse.csc_array(X)
    # Each entry split in two halves, in reverse order, plus explicit zeros.
    data = np.concatenate([clean.data[::-1] / 2, clean.data / 2, np.zeros(3)])
    rows = np.concatenate([clean.indices[::-1], clean.indices, [0, 1, 2]])
    columns = clean.tocoo().coords[1]
    columns = np.concatenate([columns[::-1], columns, [0, 0, 0]])
    order = np.argsort(columns, kind="stable")
    indptr = np.searchsorted(columns[order], np.arange(21))
    messy = sparse.csc_array((data[order], rows[order], indptr), shape=X.shape)
    messy.indices = messy.indices.astype(np.int64)
    messy.indptr = messy.indptr.astype(np.int64)
    before = messy.data.copy(), messy.indices.copy()
    alpha = 0.05 * largest_alpha(X, y)
    a, b = Lasso(alpha, tol=TIGHT).fit(messy, y), Lasso(alpha, tol=TIGHT).fit(X, y)
    assert_allclose(a.coef_, b.coef_, atol=1e-9)
    assert_array_equal(messy.data, before[0])
    assert_array_equal(messy.indices, before[1])


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_integer_weights_equal_repetition(container):
    X, y = problem(n=40, p=30, density=0.5, seed=8)
    s = np.random.default_rng(2).integers(0, 4, 40)
    rows = np.repeat(np.arange(40), s)
    a = ElasticNet(0.1, l1_ratio=0.8, tol=TIGHT)
    a.fit(container(X), y, sample_weight=s)
    b = ElasticNet(0.1, l1_ratio=0.8, tol=TIGHT).fit(container(X[rows]), y[rows])
    assert_allclose(a.coef_, b.coef_, atol=1e-10)
    assert_allclose(a.intercept_, b.intercept_, atol=1e-10)
    assert_allclose(a.objective_, b.objective_, rtol=1e-10)


def test_equivariance_to_permutation_and_scale():
    X, y = problem(seed=9)
    alpha = 0.05 * largest_alpha(X, y)
    base = Lasso(alpha, tol=TIGHT).fit(X, y)
    order = np.random.default_rng(0).permutation(X.shape[1])
    permuted = Lasso(alpha, tol=TIGHT).fit(X[:, order], y)
    assert_allclose(permuted.coef_, base.coef_[order], atol=1e-7)
    for c in (1e-6, 1e6):
        scaled = Lasso(c * alpha, tol=TIGHT).fit(X, c * y)
        assert_allclose(scaled.coef_, c * base.coef_, atol=1e-7 * c)


def test_float32_stays_float32_and_agrees():
    X, y = problem(seed=10)
    alpha = 0.1 * largest_alpha(X, y)
    wide = Lasso(alpha, tol=1e-10).fit(X, y)
    for container in (np.asarray, sparse.csc_array):
        narrow = Lasso(alpha, tol=1e-10).fit(container(X.astype(np.float32)), y)
        assert narrow.coef_.dtype == np.float32
        assert narrow.certificate_.satisfied
        assert_allclose(narrow.coef_, wide.coef_, atol=1e-5)


def test_large_offsets_do_not_cost_accuracy():
    # Means 1e7 times the spread: implicit centering alone would lose 7 digits.
    X, y = problem(n=50, p=30, seed=11)
    alpha = 0.05 * largest_alpha(X, y)
    shifted = X + 2.0**23
    base = Lasso(alpha, tol=TIGHT).fit(X, y)
    moved = Lasso(alpha, tol=TIGHT).fit(shifted, y)
    # The data themselves were rounded to 2**23 * eps = 2e-9 by the shift.
    assert_allclose(moved.coef_, base.coef_, atol=1e-7)
    assert_allclose(moved.predict(shifted), base.predict(X), atol=1e-5)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_certificate_is_the_gap_measured_from_outside(l1_ratio, container):
    X, y = problem(seed=12)
    alpha = 0.02 * largest_alpha(X, y)
    model = ElasticNet(alpha, l1_ratio=l1_ratio, tol=1e-5).fit(container(X), y)
    certificate = model.certificate_
    outside = relative_gap(X, y, model.coef_, alpha, l1_ratio)
    assert certificate.kind == "duality_gap" and certificate.satisfied
    assert certificate.value <= certificate.tol == 1e-5
    # Ours may also use the conjugate form of the dual, hence be smaller.
    assert certificate.value <= outside + 1e-13
    if l1_ratio == 1.0:
        assert_allclose(certificate.value, outside, atol=1e-12)
    t = y - y.mean()
    assert_allclose(model.dual_gap_, certificate.value * (t @ t) / len(y), atol=1e-12)


def test_no_lower_objective_than_the_certified_bound(global_random_seed):
    X, y = problem(seed=global_random_seed)
    alpha = 0.02 * largest_alpha(X, y)
    loose = Lasso(alpha, tol=1e-2).fit(X, y)
    best = objective(X, y, Lasso(alpha, tol=TIGHT).fit(X, y).coef_, alpha)
    assert loose.certificate_.details["dual_objective"] <= best * (1 + 1e-12)


def test_support_is_found_in_finitely_many_steps():
    X, y = problem(n=100, p=300, seed=13)
    model = Lasso(0.02 * largest_alpha(X, y), tol=1e-14).fit(X, y)
    history = model.history_
    last_loose = np.flatnonzero(history > 1e-5)[-1]
    assert history[-1] <= 1e-14
    assert len(history) - 1 - last_loose <= 3


def test_warm_refit_takes_at_most_two_iterations():
    X, y = problem(n=100, p=300, seed=14)
    alpha = 0.02 * largest_alpha(X, y)
    model = Lasso(alpha, warm_start=True, tol=1e-10).fit(X, y)
    assert model.n_iter_ > 2
    assert model.fit(X, y).n_iter_ <= 2


def test_small_problems_have_one_working_set_of_all_features():
    X, y = problem(seed=14)
    model = Lasso(0.02 * largest_alpha(X, y), tol=1e-10).fit(X, y)
    assert model.n_iter_ == 2 and model.certificate_.satisfied


def test_warm_start_of_another_width_starts_cold():
    X, y = problem(seed=14)
    model = Lasso(0.1, warm_start=True, tol=TIGHT).fit(X, y)
    narrow = model.fit(X[:, :50], y).coef_
    assert_allclose(narrow, Lasso(0.1, tol=TIGHT).fit(X[:, :50], y).coef_, atol=1e-8)


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_small_alpha_with_dense_support_converges(container):
    # More features than samples and nearly interpolating: the hard regime.
    X, y = problem(n=80, p=400, seed=15, density=0.04)
    alpha = largest_alpha(X, y) / 500
    model = Lasso(alpha, tol=1e-10).fit(container(X), y)
    assert model.certificate_.satisfied
    assert relative_gap(X, y, model.coef_, alpha) <= 2e-10


def test_agrees_with_scikit_learn():
    X, y = make_regression(80, 40, n_informative=10, noise=5.0, random_state=0)
    for ours, theirs in (
        (Lasso(0.5, tol=1e-12), skl.Lasso(0.5, tol=1e-12)),
        (
            Lasso(0.5, positive=True, tol=1e-12),
            skl.Lasso(0.5, positive=True, tol=1e-12),
        ),
        (ElasticNet(0.1, tol=1e-12), skl.ElasticNet(0.1, tol=1e-12)),
    ):
        theirs.set_params(max_iter=10**6)
        assert_allclose(ours.fit(X, y).coef_, theirs.fit(X, y).coef_, atol=1e-6)
        assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-5)


def multi_problem(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((50, 40)) * (rng.random((50, 40)) < 0.5)
    W = np.zeros((40, 3))
    W[:4] = rng.standard_normal((4, 3))
    return X, X @ W + 0.3 * rng.standard_normal((50, 3)) + [1.0, -2.0, 0.0]


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("weighted", [False, True])
def test_multi_task_lasso_satisfies_its_gap(container, weighted):
    X, Y = multi_problem()
    s = np.random.default_rng(1).uniform(0.1, 2.0, 50) if weighted else None
    model = MultiTaskLasso(0.05, tol=1e-11).fit(container(X), Y, sample_weight=s)
    outside = relative_gap(X, Y, model.coef_.T, 0.05, sample_weight=s)
    assert model.certificate_.satisfied
    assert outside <= 2e-11
    value = objective(X, Y, model.coef_.T, 0.05, sample_weight=s)
    assert_allclose(model.objective_, value, rtol=1e-9)


def test_multi_task_lasso_on_very_sparse_columns():
    rng = np.random.default_rng(0)
    X = sparse.random_array((200, 300), density=0.02, format="csc", rng=rng)
    Y = X[:, :3] @ rng.standard_normal((3, 2)) + 0.01 * rng.standard_normal((200, 2))
    model = MultiTaskLasso(1e-3, tol=1e-10).fit(X, Y)
    assert relative_gap(X.toarray(), Y, model.coef_.T, 1e-3) <= 2e-10


def test_multi_task_lasso_agrees_with_scikit_learn_and_with_lasso():
    X, Y = multi_problem()
    ours = MultiTaskLasso(0.1, tol=1e-12).fit(X, Y)
    theirs = skl.MultiTaskLasso(0.1, tol=1e-12, max_iter=10**5).fit(X, Y)
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-6)
    one = MultiTaskLasso(0.1, tol=1e-12).fit(X, Y[:, :1])
    assert_allclose(
        one.coef_[0], Lasso(0.1, tol=1e-12).fit(X, Y[:, 0]).coef_, atol=1e-6
    )


def test_ridge_limit_agrees_with_ridge():
    X, y = problem(n=50, p=20, seed=16)
    model = ElasticNet(0.3, l1_ratio=0.0, tol=1e-14).fit(X, y)
    ridge = skl.Ridge(alpha=0.3 * 50).fit(X, y)
    assert_allclose(model.coef_, ridge.coef_, atol=1e-7)
    assert model.certificate_.satisfied


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("positive", [False, True])
def test_alpha_zero_warns_and_gives_least_squares(container, positive):
    X, y = problem(n=50, p=10, seed=17, density=0.8)
    model = Lasso(alpha=0.0, positive=positive, tol=1e-6)
    with pytest.warns(UserWarning, match="least squares"):
        model.fit(container(X), y)
    reference = skl.LinearRegression(positive=positive).fit(X, y)
    assert_allclose(model.coef_, reference.coef_, atol=1e-5)
    assert model.certificate_.kind == "kkt" and model.certificate_.satisfied


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"alpha": -1.0}, "alpha"),
        ({"feature_weights": [1.0, -1.0]}, "feature_weights"),
        ({"feature_weights": [1.0, np.nan]}, "feature_weights"),
        ({"feature_weights": [1.0]}, "feature_weights"),
        ({"tol": -1e-3}, "tol"),
    ],
)
def test_bad_parameters_are_refused_by_name(parameters, words):
    with pytest.raises(ValueError, match=words):
        Lasso(**parameters).fit([[1.0, 2.0], [3.0, 5.0], [5.0, 4.0]], [1.0, 2.0, 0.0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_nan_and_infinity_are_refused(value, container):
    X, y = problem(n=20, p=5)
    bad = X.copy()
    bad[3, 2] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        Lasso().fit(container(bad), y)
    y = y.copy()
    y[0] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        Lasso().fit(container(X), y)


def test_complex_data_are_refused():
    X, y = problem(n=20, p=5)
    with pytest.raises(ValueError, match="Complex data not supported"):
        Lasso().fit(X + 1j, y)


def test_bad_weights_are_refused():
    X, y = problem(n=20, p=5)
    with pytest.raises(ValueError, match="weight"):
        Lasso().fit(X, y, sample_weight=np.zeros(20))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        Lasso().fit(X, y, sample_weight=-np.ones(20))


def test_constant_target_gives_zeros():
    X, _ = problem(n=20, p=5)
    model = Lasso(0.1).fit(X, np.full(20, 3.5))
    assert not model.coef_.any()
    assert model.intercept_ == 3.5 and model.certificate_.satisfied


def test_zero_and_constant_columns_get_zero_coefficients():
    X, y = problem(n=40, p=10)
    X[:, 2] = 0.0
    X[:, 5] = 7.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for container in (np.asarray, sparse.csc_array):
            model = Lasso(1e-3, tol=1e-8).fit(container(X), y)
            assert model.coef_[2] == model.coef_[5] == 0.0
            free = np.ones(10)
            free[[2, 5]] = 0.0
            model = Lasso(1e-3, tol=1e-8, feature_weights=free).fit(container(X), y)
            assert model.coef_[2] == model.coef_[5] == 0.0


def test_duplicate_columns_converge():
    X, y = problem(n=40, p=10)
    X = np.hstack([X, X])
    model = Lasso(0.01, tol=1e-10).fit(X, y)
    assert relative_gap(X, y, model.coef_, 0.01) <= 2e-10


def test_overflowing_columns_are_refused_with_a_remedy():
    X, y = problem(n=20, p=5)
    with pytest.raises(ValueError, match="Rescale X"):
        Lasso().fit(1e200 * X, y)


def test_inputs_are_left_alone():
    X, y = problem(n=30, p=20, density=0.5)
    s = np.ones(30)
    for Z in (np.asfortranarray(X), sparse.csc_array(X)):
        data = Z.data if sparse.issparse(Z) else Z
        before = data.copy(), y.copy(), s.copy()
        for array in (data, y, s):
            array.flags.writeable = False
        Lasso(0.01).fit(Z, y, sample_weight=s)
        assert_array_equal(data, before[0])
        assert_array_equal(y, before[1])
        for array in (y, s):
            array.flags.writeable = True


def test_unreachable_tolerance_ends_with_a_warning():
    X, y = problem(seed=18)
    with pytest.warns(ConvergenceWarning, match="above the tolerance"):
        model = Lasso(0.01, tol=1e-30).fit(X, y)
    assert model.n_iter_ < 100  # gives up at rounding, long before max_iter


def test_one_sample_and_one_feature():
    model = Lasso(0.1).fit([[1.0, 2.0]], [3.0])
    assert not model.coef_.any() and model.intercept_ == 3.0
    model = Lasso(0.1, tol=1e-12).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    assert_allclose(model.coef_, [1.0 - 0.1 * 3 / 2], atol=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_input_is_never_densified(weighted):
    import tracemalloc

    rng = np.random.default_rng(0)
    X = sparse.random_array((2000, 20000), density=1e-3, format="csc", rng=rng)
    y = X[:, :20].sum(axis=1) + 0.01 * rng.standard_normal(2000)
    s = np.ones(2000) if weighted else None
    model = Lasso(1e-5)
    model.fit(X, y, sample_weight=s)  # kernels loaded outside the count
    tracemalloc.start()
    model.fit(X, y, sample_weight=s)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The dense matrix has 320 MB, X itself 0.5 MB; vectors of n_features 0.16 MB.
    assert peak < 10e6
    assert model.certificate_.satisfied


class StopAfterTwo:
    """A callback that ends the fit after its second iteration."""

    def setup(self, estimator, context):
        self.count = 0

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, **kwargs):
        self.count += context.task_name == "iteration"
        return self.count >= 2


def test_callbacks_see_every_iteration_and_may_stop_the_fit():
    pytest.importorskip("sklearn.callback")
    X, y = problem(n=100, p=300, seed=14)
    alpha = 0.02 * largest_alpha(X, y)
    full = Lasso(alpha, tol=1e-10).fit(X, y)
    stopper = StopAfterTwo()
    with pytest.warns(ConvergenceWarning):
        stopped = Lasso(alpha, tol=1e-10).set_callbacks(stopper).fit(X, y)
    assert stopped.n_iter_ == 2 < full.n_iter_
    assert stopper.count == 2


# Columns far from zero, strengths far below the largest


@pytest.mark.parametrize("model", [ssl.Lasso, ssl.ElasticNet, ssl.SparseHuberRegressor])
def test_time_stamps_are_as_good_as_seconds_since_the_start(model):
    rng = np.random.default_rng(0)
    seconds = np.arange(0, 20, 0.125)
    y = 3 * seconds + rng.standard_normal(160)
    far = model(alpha=0.1).fit(1.7e9 + seconds[:, None], y)
    near = model(alpha=0.1).fit(seconds[:, None], y)
    assert_allclose(far.coef_, near.coef_, rtol=1e-6)
    assert_allclose(
        far.predict(1.7e9 + seconds[:, None]), near.predict(seconds[:, None]), rtol=1e-5
    )


def test_columns_that_vanish_beside_others_are_refused_not_dropped():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2)) * [1.0, 1e-170]
    with pytest.raises(ValueError, match=r"vanish.*Rescale X"):
        ssl.Lasso(0.1).fit(X, X[:, 0])
    with pytest.raises(ValueError, match=r"overflow.*Rescale y"):
        ssl.SparseHuberRegressor(0.1).fit(X[:, :1], 1e155 * X[:, 0])
    for model in (ssl.Slope(0.1), ssl.MCPRegressor(0.1), ssl.SCADRegressor(0.1)):
        with pytest.raises(ValueError, match=r"vanish.*Rescale X"):
            model.fit(1e-160 * X[:, :1], X[:, 0])


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_a_support_may_become_empty_on_the_way(container):
    rng = np.random.default_rng(25)
    X = rng.standard_normal((4, 1)) @ rng.standard_normal((1, 5))
    y = X @ rng.standard_normal(5)
    alpha = 1e-8 * np.abs(X.T @ y).max() / 4
    model = ssl.Lasso(alpha, tol=1e-6).fit(container(X), y)
    assert model.certificate_.satisfied
    assert_allclose(model.predict(X), y, atol=1e-2)


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_small_strengths_of_rows_are_reached_from_larger_ones(container):
    rng = np.random.default_rng(6)
    X = rng.standard_normal((64, 128))
    W = np.zeros((128, 3))
    W[:6] = rng.standard_normal((6, 3))
    model = ssl.MultiTaskLasso(1e-6, tol=1e-10, fit_intercept=False)
    model.fit(container(X), X @ W)
    assert model.certificate_.satisfied and model.n_epochs_ < 1000
    # Without noise the penalty is all there is to pay, at most that of the truth.
    assert model.objective_ <= 1e-6 * np.linalg.norm(W, axis=1).sum() * (1 + 1e-9)
    assert_allclose(model.coef_.T, W, atol=1e-4)


def test_a_tolerance_beyond_double_precision_is_not_met_in_silence():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 4))
    y = X[:, 0] + rng.standard_normal(50)
    with pytest.warns(ConvergenceWarning, match="precision does not suffice"):
        model = ssl.Lasso(0.1, tol=1e-17).fit(X, y)
    certificate = model.certificate_
    assert not certificate.satisfied and certificate.details["rounding"] > 1e-17
    assert ssl.Lasso(0.1, tol=1e-12).fit(X, y).certificate_.satisfied
    # Coefficients of single precision move the fit.
    single = ssl.Lasso(0.1, tol=1e-9).fit(X.astype(np.float32), y)
    rounding = single.certificate_.details["rounding"]
    assert rounding > ssl.Lasso(0.1).fit(X, y).certificate_.details["rounding"]


# Several targets by themselves


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    "model", [ssl.Lasso(0.05, tol=1e-10), ssl.ElasticNet(0.05, tol=1e-10)]
)
def test_targets_are_fitted_as_if_alone(model, container):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((50, 6))
    Y = X[:, :2] + 0.1 * rng.standard_normal((50, 2))
    weights = rng.integers(0, 3, 50)
    both = model.fit(container(X), Y, sample_weight=weights)
    coef, objective = both.coef_, both.objective_
    predicted, intercept = both.predict(X), both.intercept_
    assert coef.shape == (2, 6) and predicted.shape == (50, 2)
    assert both.certificate_.satisfied and both.sparse_coef_.shape == (2, 6)
    for t in range(2):
        one = model.fit(container(X), Y[:, t], sample_weight=weights)
        assert_allclose(coef[t], one.coef_, atol=1e-9)
        assert_allclose(intercept[t], one.intercept_, atol=1e-9)
        assert_allclose(objective[t], one.objective_, rtol=1e-9)
    twin = skl.ElasticNet(
        0.05, l1_ratio=getattr(model, "l1_ratio", 1.0), tol=1e-12
    ).fit(X, Y, sample_weight=weights)
    assert_allclose(coef, twin.coef_, atol=1e-6)
    single = model.fit(X, Y[:, :1])
    assert single.coef_.shape == (6,) and np.ndim(single.intercept_) == 0
    paths = model.path(X, Y, alphas=4)
    assert paths.coefs.shape == (2, 6, 4) and paths.alphas.shape == (2, 4)
    lasso_path = type(model).path
    with pytest.raises(ValueError, match="single target"):
        lasso_path(X, Y)


def test_a_strength_that_selects_nothing_says_so_once():
    rng = np.random.default_rng(3)
    X = 0.1 * rng.standard_normal((80, 4))
    y = X[:, 0] + 0.1 * rng.standard_normal(80)
    with pytest.warns(UserWarning, match=r"alpha_max = ") as caught:
        model = ssl.Lasso().fit(X, y)
    assert len(caught) == 1
    largest = float(str(caught[0].message).split("alpha_max = ")[1].split(",")[0])
    expected = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / 80
    assert_allclose(largest, expected, rtol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ssl.Lasso(0.9 * largest).fit(X, y).coef_.any()
        ssl.Lasso().fit(X, np.ones(80))  # nothing to select
    assert not model.coef_.any()
    with pytest.warns(UserWarning, match="alpha_max"):
        ssl.Lasso().fit(X, np.column_stack([y, 2 * y]))
    with pytest.warns(UserWarning, match="SparseCoxRegressor selects no feature"):
        ssl.SparseCoxRegressor().fit(X, rng.exponential(size=80))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("l1_ratio", [0.1, 0.5, 0.9])
def test_multiples_of_one_column_and_a_weak_ridge_are_solved(seed, l1_ratio):
    # Newton steps met kinks and lowered the gap by a few hundredths each.
    rng = np.random.default_rng(seed)
    X = np.outer(rng.standard_normal(3), rng.standard_normal(15))
    y = rng.standard_normal(3)
    for alpha in (1e-3, 1e-4):
        model = ElasticNet(alpha, l1_ratio=l1_ratio, tol=1e-6).fit(X, y)
        assert model.certificate_.satisfied
        # The correlations of multiples are multiples: one column bears all, or the
        # ridge shares it by the excess of each.
        A, r = X - X.mean(axis=0), y - y.mean()
        q = A.T @ (r - A @ model.coef_) / 3
        excess = np.sign(q) * np.maximum(np.abs(q) - alpha * l1_ratio, 0)
        best = excess / (alpha * (1 - l1_ratio))
        fine = ElasticNet(alpha, l1_ratio=l1_ratio, tol=1e-9).fit(X, y)
        assert fine.certificate_.satisfied
        assert model.objective_ - fine.objective_ <= 1e-6 * y.var()
        assert np.abs(best).argmax() == np.abs(fine.coef_).argmax()


def test_columns_that_are_all_near_one_direction_are_solved():
    # Without an intercept: sweeps crawled with a gap too wide for other moves.
    rng = np.random.default_rng(0)
    X = 256.0 + rng.integers(0, 2, (3, 20))
    y = np.array([0.0, -1.0, 2.0])
    top = np.abs(X.T @ y).max() / 3
    for tol in (1e-4, 1e-8):
        model = ElasticNet(1e-3 * top, l1_ratio=0.1, fit_intercept=False, tol=tol)
        model.fit(X, y)
        assert model.certificate_.satisfied and model.n_epochs_ < 1000
        loss = ((y - X @ model.coef_) ** 2).sum() / 6
        alpha, w = 1e-3 * top, model.coef_
        primal = loss + alpha * (0.1 * np.abs(w).sum() + 0.45 * w @ w)
        # The residual itself is a dual point where the ridge is positive.
        r = (y - X @ w) / 3
        over = np.maximum(np.abs(X.T @ r) - 0.1 * alpha, 0.0)
        dual = y @ r - 1.5 * r @ r - over @ over / (2 * 0.9 * alpha)
        assert_allclose(model.objective_, primal, rtol=1e-10)
        assert primal - dual <= 1.01 * tol * (y @ y) / 3 + 1e-12
