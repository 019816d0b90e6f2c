"""Group and sparse-group Lasso: cvxpy, gaps from outside, invariants, bad input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import sparsestat.linear_model as ssl
from sparsestat.linear_model._penalized import _kernels_group as kernels
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._penalized._gaps import squared_parts, squared_screen
from sparsestat.linear_model._penalized._group_names import make_groups
from sparsestat.linear_model._penalized._groups import GroupPenalty
from sparsestat.linear_model._penalized._solver import WorkingSetSolver
from tests.linear_model.lasso_oracles import centered
from tests.linear_model.penalty_oracles import group_gap, group_objective

SIZES = (1, 4, 7, 3, 10, 5, 2, 8)
GROUPS = np.split(np.random.default_rng(0).permutation(40), np.cumsum(SIZES)[:-1])


def problem(seed=0, n=60, density=None):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 40)) + 0.7 * rng.standard_normal((n, 1))
    if density is not None:
        X = X * (rng.random(X.shape) < density)
    w = np.zeros(40)
    w[GROUPS[1]], w[GROUPS[4]] = rng.standard_normal(4), rng.standard_normal(10)
    return X, X @ w + rng.standard_normal(n) + 2.0


def top(X, y, l1_ratio, **weights):
    return ssl.GroupLasso(GROUPS, **weights)._problem(X, y, None).alpha_max(l1_ratio)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("weighted", [False, True])
def test_objective_agrees_with_cvxpy(l1_ratio, weighted):
    import cvxpy as cp

    X, y = problem()
    s = np.random.default_rng(3).random(60) + 0.2 if weighted else np.ones(60)
    alpha = 0.2 * top(X, y, l1_ratio)
    omega = np.sqrt(SIZES)
    w, b = cp.Variable(40), cp.Variable()
    norms = sum(omega[k] * cp.norm(w[g]) for k, g in enumerate(GROUPS))
    penalty = (1 - l1_ratio) * norms + l1_ratio * cp.norm1(w)
    loss = cp.sum(cp.multiply(s, cp.square(y - X @ w - b))) / (2 * s.sum())
    options = {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9}
    best = cp.Problem(cp.Minimize(loss + alpha * penalty)).solve("CLARABEL", **options)
    model = ssl.GroupLasso(GROUPS, alpha=alpha, l1_ratio=l1_ratio, tol=1e-12)
    model.fit(X, y, sample_weight=s)
    assert_allclose(model.objective_, best, rtol=1e-8)
    assert_allclose(model.coef_, w.value, atol=1e-5)
    assert_allclose(model.intercept_, b.value, atol=1e-5)


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array, sparse.csr_matrix])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.4])
@pytest.mark.parametrize("divisor", [3, 100])
def test_gap_is_true_seen_from_outside(container, l1_ratio, divisor):
    density = None if container is np.asarray else 0.04
    X, y = problem(1, n=200, density=density)
    s = np.random.default_rng(2).random(200)
    omega = np.linspace(0.5, 2, 8)
    alpha = top(X, y, l1_ratio, group_weights=omega) / divisor
    model = ssl.GroupLasso(
        GROUPS, alpha=alpha, l1_ratio=l1_ratio, group_weights=omega, tol=1e-10
    ).fit(container(X), y, sample_weight=s)
    arguments = (X, y, model.coef_, alpha, GROUPS, l1_ratio, omega)
    outside = group_gap(*arguments, sample_weight=s)
    assert model.certificate_.kind == "duality_gap" and model.certificate_.satisfied
    assert outside <= 1e-10 * (1 + 1e-3)
    assert_allclose(model.certificate_.value, outside, atol=1e-13)
    value = group_objective(*arguments, sample_weight=s)
    assert_allclose(model.objective_, value, rtol=1e-12)
    active = [k for k, g in enumerate(GROUPS) if model.coef_[g].any()]
    assert_array_equal(model.active_groups_, active)
    assert_array_equal(model.group_sizes_, SIZES)


def test_storages_agree_also_on_groups_of_sparse_columns():
    for density in (0.04, 0.4):
        X, y = problem(2, n=200, density=density)
        for l1_ratio in (0.0, 0.5):
            alpha = 0.1 * top(X, y, l1_ratio)
            model = ssl.GroupLasso(GROUPS, alpha=alpha, l1_ratio=l1_ratio, tol=1e-15)
            dense = model.fit(X, y).coef_
            thin = model.fit(sparse.csc_array(X), y).coef_
            assert_allclose(thin, dense, atol=1e-8)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.35, 1.0])
def test_alpha_max_and_just_below(l1_ratio, global_random_seed):
    X, y = problem(global_random_seed)
    largest = top(X, y, l1_ratio)
    model = ssl.GroupLasso(GROUPS, l1_ratio=l1_ratio, tol=1e-13)
    assert not model.set_params(alpha=largest * (1 + 1e-12)).fit(X, y).coef_.any()
    model.set_params(alpha=0.999 * largest).fit(X, y)
    assert len(model.active_groups_) == 1


def test_dual_norm_against_bisection():
    rng = np.random.default_rng(5)
    groups = make_groups(GROUPS, 40)
    for l1_ratio in (0.0, 0.2, 0.7, 1.0):
        omega = rng.random(8) * 2
        penalty = GroupPenalty(groups, omega, 0.3, l1_ratio, 10.0)
        c = rng.standard_normal(40) * rng.integers(0, 2, 40)
        found = penalty.gauge(c)
        slack = penalty.magnitude(c / 1.0)
        assert slack.shape == (8,)
        for factor, inside in ((found * (1 + 1e-9), True), (found * (1 - 1e-9), False)):
            scaled = GroupPenalty(groups, omega, 0.3 * factor, l1_ratio, 10.0)
            norms = scaled.magnitude(c)
            assert np.all(norms <= scaled.lam) == inside


def test_prox_against_a_general_minimizer():
    import cvxpy as cp

    rng = np.random.default_rng(6)
    for lam, l1, curvature in ((0.5, 0.0, 1.0), (0.7, 0.4, 2.5), (9.0, 0.1, 1.0)):
        z, out = rng.standard_normal(5) * 2, np.empty(5)
        kernels.group_prox(z, lam, l1, curvature, out)
        w = cp.Variable(5)
        objective = curvature / 2 * cp.sum_squares(w) - z @ w
        objective += lam * cp.norm(w) + l1 * cp.norm1(w)
        cp.Problem(cp.Minimize(objective)).solve("CLARABEL")
        assert_allclose(out, w.value, atol=1e-5)


def test_orthonormal_groups_have_a_closed_form():
    rng = np.random.default_rng(7)
    Q = np.linalg.qr(rng.standard_normal((60, 20)))[0] * np.sqrt(60)
    y = Q @ rng.standard_normal(20)
    z = (Q.T @ y / 60).reshape(4, 5)
    alpha = 0.6
    model = ssl.GroupLasso(5, alpha=alpha, fit_intercept=False, tol=1e-15).fit(Q, y)
    norms = np.linalg.norm(z, axis=1, keepdims=True)
    expected = z * np.maximum(1 - alpha * np.sqrt(5) / norms, 0)
    assert_allclose(model.coef_, expected.ravel(), atol=1e-8)


def test_groups_of_one_and_all_l1_are_the_lasso():
    X, y = problem(8)
    alpha = 0.1 * np.abs((X - X.mean(0)).T @ (y - y.mean())).max() / 60
    lasso = ssl.Lasso(alpha, tol=1e-14).fit(X, y).coef_
    single = ssl.GroupLasso(1, alpha=alpha, tol=1e-14).fit(X, y).coef_
    inside = ssl.GroupLasso(GROUPS, alpha=alpha, l1_ratio=1.0, tol=1e-14).fit(X, y)
    assert_allclose(single, lasso, atol=1e-7)
    assert_allclose(inside.coef_, lasso, atol=1e-7)


def test_weights_equal_repetition():
    X, y = problem(9)
    s = np.random.default_rng(9).integers(0, 4, 60)
    rows = np.repeat(np.arange(60), s)
    model = ssl.GroupLasso(GROUPS, alpha=0.1, l1_ratio=0.3, tol=1e-15)
    a = model.fit(X, y, sample_weight=s).coef_
    b = model.fit(X[rows], y[rows]).coef_
    assert_allclose(a, b, atol=1e-8)


def test_equivariance_to_permutation_and_scale():
    X, y = problem(10)
    base = ssl.GroupLasso(GROUPS, alpha=0.2, l1_ratio=0.2, tol=1e-14).fit(X, y).coef_
    order = np.random.default_rng(0).permutation(40)
    labels = make_groups(GROUPS, 40).labels[order]
    permuted = ssl.GroupLasso(labels, alpha=0.2, l1_ratio=0.2, tol=1e-14)
    assert_allclose(permuted.fit(X[:, order], y).coef_, base[order], atol=1e-7)
    scaled = ssl.GroupLasso(GROUPS, alpha=0.2e6, l1_ratio=0.2, tol=1e-14)
    assert_allclose(scaled.fit(X, 1e6 * y).coef_, 1e6 * base, atol=0.1)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.3])
def test_free_and_dropped_groups(l1_ratio):
    X, y = problem(11)
    omega = np.ones(8)
    omega[0], omega[1] = 0.0, np.inf
    model = ssl.GroupLasso(
        GROUPS, alpha=0.2, l1_ratio=l1_ratio, group_weights=omega, tol=1e-13
    ).fit(X, y)
    assert not model.coef_[GROUPS[1]].any()
    keep = np.setdiff1d(np.arange(40), GROUPS[1])
    position = np.cumsum(np.isin(np.arange(40), keep)) - 1
    groups = [position[g] for k, g in enumerate(GROUPS) if k != 1]
    value = group_objective(
        X[:, keep], y, model.coef_[keep], 0.2, groups, l1_ratio, omega[omega < 9]
    )
    assert_allclose(model.objective_, value, rtol=1e-10)
    assert model.certificate_.satisfied
    if l1_ratio == 0.0:
        A, t, _ = centered(X, y)
        free = A[:, GROUPS[0]]
        assert_allclose(free.T @ (t - A @ model.coef_), 0, atol=1e-7)


def test_gap_safe_screening_never_discards_an_active_group():
    rng = np.random.default_rng(12)
    screened_ever = 0
    for _ in range(60):
        X = rng.standard_normal((15, 24))
        y = X[:, :4] @ rng.standard_normal(4) + 0.3 * rng.standard_normal(15)
        l1_ratio = rng.choice([0.0, 0.4])
        groups = make_groups(4, 24)
        design = make_design(X, fit_intercept=False)

        def penalty(alpha, groups=groups, l1_ratio=l1_ratio):
            return GroupPenalty(groups, np.full(6, 2.0), alpha, l1_ratio, 15.0)

        alpha = penalty(1.0).gauge(X.T @ y) * rng.uniform(0.1, 0.9)
        exact = WorkingSetSolver(design, y, None, groups).solve(
            penalty(alpha), tol=1e-14
        )
        w = exact.dense_coef(24)
        start = w + rng.choice([0, 1e-3, 1e-1]) * rng.standard_normal(24)
        r = y - X @ start
        parts = squared_parts(
            penalty(alpha), start, X.T @ r, float(r @ r), float(y @ r)
        )
        gone = squared_screen(
            penalty(alpha), parts, start, X.T @ r, groups.sums((X**2).sum(axis=0))
        )
        assert not np.any(gone & (groups.sums(w != 0) > 0))
        screened_ever += gone.sum()
    assert screened_ever > 0


def test_ends_in_finitely_many_iterations():
    X, y = problem(13)
    model = ssl.GroupLasso(GROUPS, alpha=0.1, tol=1e-15, max_iter=50).fit(X, y)
    assert model.n_iter_ <= 10 and model.certificate_.value <= 1e-15


def test_path_and_cross_validation():
    X, y = problem(14)
    path = ssl.GroupLasso.path(X, y, groups=GROUPS, alphas=20, fit_intercept=True)
    assert not path.coefs[:, 0].any()
    assert np.all(path.gaps <= 1e-4 * y.var())
    cold = ssl.GroupLasso(GROUPS, alpha=path.alphas[12], tol=1e-13).fit(X, y)
    tight = ssl.GroupLasso.path(
        X, y, groups=GROUPS, alphas=path.alphas, fit_intercept=True, tol=1e-13
    )
    assert_allclose(tight.coefs[:, 12], cold.coef_, atol=1e-6)
    options = {"l1_ratio": [0.0, 0.5], "alphas": 12, "cv": 3}
    one = ssl.GroupLassoCV(GROUPS, **options).fit(X, y)
    two = ssl.GroupLassoCV(GROUPS, n_jobs=2, **options).fit(X, y)
    # BLAS may round by where arrays of folds happen to begin in memory.
    assert_allclose(one.mse_path_, two.mse_path_, rtol=1e-11)
    assert_allclose(one.coef_, two.coef_, rtol=1e-9)
    assert one.mse_path_.shape == (2, 12, 3)
    assert {1, 4} <= set(one.active_groups_)
    row = options["l1_ratio"].index(one.l1_ratio_)
    best = one.mse_path_[row].mean(axis=1).argmin()
    assert one.alpha_ == one.alphas_[row, best]


def test_degenerate_data():
    X, y = problem(15)
    X[:, GROUPS[2]] = 0.0
    X[:, GROUPS[3]] = X[:, GROUPS[3][:1]]  # a singular block
    model = ssl.GroupLasso(GROUPS, alpha=0.05, tol=1e-10).fit(X, y)
    assert not model.coef_[GROUPS[2]].any() and model.certificate_.satisfied
    assert not ssl.GroupLasso(4, alpha=0.1).fit(X, np.ones(60)).coef_.any()
    single = ssl.GroupLasso(4, alpha=0.1).fit(X.astype(np.float32), y)
    assert single.coef_.dtype == np.float32
    with pytest.warns(UserWarning, match="least squares"):
        ssl.GroupLasso(4, alpha=0.0).fit(X, y)


def test_ways_to_name_groups():
    by_size = make_groups(3, 8)
    assert_array_equal(by_size.labels, [0, 0, 0, 1, 1, 1, 2, 2])
    by_label = make_groups(np.array([7, 7, 7, 9, 9, 9, 30, 30]), 8)
    by_list = make_groups([[0, 1, 2], np.array([3, 4, 5]), (6, 7)], 8)
    for other in (by_label, by_list):
        assert_array_equal(other.labels, by_size.labels)
    assert_array_equal(by_list.columns_of([2, 0]), [6, 7, 0, 1, 2])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (0, "groups"),
        (2.5, "groups"),
        ("abc", "groups"),
        ([], "groups"),
        ([[0, 0], list(range(1, 40))], "more than once"),
        ([list(range(39))], r"features \[39\] are missing"),
        ([list(range(41))], "X has 40 features"),
        ([[-1], list(range(40))], "from -1"),
        ([[], list(range(40))], "Group 0"),
        ([["a", "b"], list(range(40))], "Group 0"),
        ([[0.5], list(range(40))], "Group 0"),
        (np.arange(39), "one label per feature"),
        (np.linspace(0, 1, 40), "looks like a measurement"),
        ([*range(39), None], "feature 39 .* missing"),
        ([{1}] * 40, "not hashable"),
        ("prefix", "X has none"),
    ],
)
def test_bad_groups_are_refused(groups, message):
    X, y = problem()
    with pytest.raises(ValueError, match=message):
        ssl.GroupLasso(groups).fit(X, y)


@pytest.mark.parametrize(
    "arguments",
    [
        {"group_weights": np.ones(3)},
        {"group_weights": -np.ones(8)},
        {"group_weights": np.full(8, np.nan)},
        {"group_weights": "root"},
        {"l1_ratio": 1.5},
        {"alpha": -0.1},
    ],
)
def test_bad_parameters_are_refused(arguments):
    X, y = problem()
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ssl.GroupLasso(GROUPS, **arguments).fit(X, y)


@pytest.mark.parametrize("cls", [ssl.GroupLasso, ssl.GroupLassoCV])
def test_fitted_groups_are_numbered_from_zero(cls):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 8))
    y = X[:, 1] - X[:, 4] + 0.1 * rng.standard_normal(50)
    more = {"alphas": 8, "cv": 3} if cls is ssl.GroupLassoCV else {"alpha": 0.3}
    labels = np.array([30, 7, 9, 30, 7, 9, 30, 30])
    model = cls(labels, **more).fit(X, y)
    assert_array_equal(model.group_labels_, [2, 0, 1, 2, 0, 1, 2, 2])
    assert_array_equal(model.group_sizes_, [2, 2, 4])
    used = np.unique(model.group_labels_[model.coef_ != 0])
    assert_array_equal(model.active_groups_, used)
    # "sqrt" stands for the roots of the sizes.
    again = cls(labels, group_weights=np.sqrt([2.0, 2.0, 4.0]), **more).fit(X, y)
    assert_array_equal(again.coef_, model.coef_)
    equal = cls(labels, group_weights=None, **more).fit(X, y)
    if cls is ssl.GroupLassoCV:  # the groups of two are the first to enter
        assert_allclose(equal.alphas_, np.sqrt(2.0) * model.alphas_)
    else:
        assert equal.objective_ < model.objective_
