"""Groups by labels, names and prefixes, and groups that overlap."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import sparsestat.linear_model as ssl
from sparsestat.linear_model._penalized._group_names import make_groups

OVERLAPPING = [[0, 1, 2], [2, 3], [3, 4, 5, 0], [6], [7]]


def data(seed=0, n=80, p=8):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    return X, X[:, :3] @ [1.0, -2.0, 1.5] + rng.standard_normal(n)


def test_labels_of_any_hashable_kind_are_numbered_as_documented():
    strings = make_groups(["b", "a", "b", "c"], 4)
    assert_array_equal(strings.labels, [0, 1, 0, 2])
    assert list(strings.names) == ["b", "a", "c"]
    mixed = make_groups(["1", 1, 1.0, True, frozenset("x")], 5)
    assert_array_equal(mixed.labels, [0, 1, 1, 1, 2])
    numbers = make_groups(pd.Series([3.0, 1.0, 3.0]), 3)
    assert_array_equal(numbers.labels, [1, 0, 1])
    categories = make_groups(pd.Categorical(["u", "v", "u"]), 3)
    assert_array_equal(categories.labels, [0, 1, 0])


def test_lists_of_names_are_lists_of_indices():
    X, y = data()
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    named = [["a", "b", "c"], ["d", 4], ("f",), np.array(["g", "h"])]
    plain = [[0, 1, 2], [3, 4], [5], [6, 7]]
    for cls, options in (
        (ssl.GroupLasso, {"alpha": 0.1}),
        (ssl.GroupLassoCV, {"alphas": 5}),
        (ssl.SparseHuberRegressor, {"alpha": 0.1, "penalty": "group"}),
        (ssl.BestSubsetRegressor, {}),
    ):
        a = cls(groups=named, **options).fit(frame, y)
        b = cls(groups=plain, **options).fit(X, y)
        assert_array_equal(a.coef_, b.coef_)
    path = ssl.GroupLasso.path(frame, y, groups=named, alphas=4)
    again = ssl.GroupLasso.path(X, y, groups=plain, alphas=4)
    assert_array_equal(path.coefs, again.coefs)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["a", "b"], ["z"]], "'z', which X does not have"),
        ([["a", "b"], list("cdefg")], r"\[7\] \(\['h'\]\) are missing"),
        ([["a", "b"], [2.5]], "neither an index nor a name"),
        ([["a", 0], list("bcdefgh")], "more than once in group 0"),
        (["a", "b"], "2 labels, but X has 8 features"),
        ("prefix:cat__", "no feature has a name that starts with 'cat__'"),
        ("suffix", "must be a size"),
    ],
)
def test_bad_names_are_refused(groups, message):
    X, y = data()
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    with pytest.raises(ValueError, match=message):
        ssl.GroupLasso(groups).fit(frame, y)
    with pytest.raises(ValueError, match="X has no column names"):
        ssl.GroupLasso([["a"], list("bcdefgh")]).fit(X, y)


def test_prefix_joins_the_one_hot_columns_of_a_column_transformer():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "city": rng.choice(["Paris", "Rome", "Saint-Lo"], 90),
            "home_type": rng.choice(["flat", "house"], 90),
            "age": rng.standard_normal(90),
            "house_size": rng.standard_normal(90),
        }
    )
    y = (frame["city"] == "Rome") * 2.0 + frame["age"] + rng.standard_normal(90)
    encode = ColumnTransformer(
        [
            ("cat", OneHotEncoder(sparse_output=False), ["city", "home_type"]),
            ("num", StandardScaler(), ["age", "house_size"]),
        ]
    ).set_output(transform="pandas")
    model = make_pipeline(encode, ssl.GroupLasso("prefix", alpha=0.05))
    last = model.fit(frame, y)[-1]
    assert list(last.group_names_) == [
        "cat__city",
        "cat__home_type",
        "num__age",
        "num__house",
    ]
    assert_array_equal(last.group_labels_, [0, 0, 0, 1, 1, 2, 3])
    assert_array_equal(last.active_groups_, [0, 2])
    labels = ["city"] * 3 + ["type"] * 2 + ["age", "size"]
    by_labels = ssl.GroupLasso(labels, alpha=0.05).fit(encode.transform(frame), y)
    assert_array_equal(by_labels.coef_, last.coef_)


def test_prefix_rule_on_names():
    names = ["a", "a_b", "a_c", "_x", "t__u_v__w", "n__s_1", "n__s_2", "n__t"]
    made = make_groups("prefix", 8, names)
    assert_array_equal(made.labels, [0, 1, 1, 2, 3, 4, 4, 5])
    assert list(made.names) == ["a", "a", "_x", "t__u_v__w", "n__s", "n__t"]
    some = make_groups("prefix:a", 8, names)
    assert_array_equal(some.labels, [0, 1, 1, 2, 3, 4, 5, 6])
    unclear = ["cat__city_Rome", "cat__city_New_York"]
    with pytest.raises(ValueError, match="'cat__city_New_York' belongs to 'cat__city'"):
        make_groups("prefix", 2, unclear)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.4])
def test_overlapping_groups_agree_with_cvxpy(l1_ratio):
    import cvxpy as cp

    X, y = data()
    alpha, sizes = 0.2, [len(g) for g in OVERLAPPING]
    parts = [cp.Variable(size) for size in sizes]
    b = cp.Variable()
    fitted = sum(X[:, g] @ v for g, v in zip(OVERLAPPING, parts, strict=True)) + b
    norms = sum(np.sqrt(k) * cp.norm(v) for k, v in zip(sizes, parts, strict=True))
    sizes_l1 = sum(cp.norm1(v) for v in parts)
    penalty = (1 - l1_ratio) * norms + l1_ratio * sizes_l1
    options = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}
    best = cp.Problem(
        cp.Minimize(cp.sum_squares(y - fitted) / 160 + alpha * penalty)
    ).solve("CLARABEL", **options)
    model = ssl.GroupLasso(OVERLAPPING, alpha=alpha, l1_ratio=l1_ratio, tol=1e-11)
    model.fit(X, y)
    coef = np.zeros(8)
    for g, v in zip(OVERLAPPING, parts, strict=True):
        coef[g] += v.value
    assert model.certificate_.satisfied and model.certificate_.kind == "duality_gap"
    assert_allclose(model.objective_, best, rtol=1e-8)
    assert_allclose(model.coef_, coef, atol=1e-4)
    assert_allclose(model.predict(X), fitted.value, atol=1e-4)
    active = [k for k, v in enumerate(parts) if np.abs(v.value).max() > 1e-4]
    assert_array_equal(model.active_groups_, active)
    assert_array_equal(model.group_sizes_, sizes)
    for found, group in zip(model.group_features_, OVERLAPPING, strict=True):
        assert_array_equal(np.sort(found), np.sort(group))
    thin = model.fit(sparse.csr_array(X), y)
    assert_allclose(thin.coef_, coef, atol=1e-4)


def duplicated(X):
    order = np.concatenate(OVERLAPPING)
    labels = np.repeat(np.arange(len(OVERLAPPING)), [len(g) for g in OVERLAPPING])
    return np.asfortranarray(X[:, order]), labels, order


def summed(coef, order):
    out = np.zeros((*coef.shape[:-1], 8))
    np.add.at(out, (..., order), coef)
    return out


@pytest.mark.parametrize(
    "name",
    [
        "GroupLassoCV",
        "SparseLogisticRegression",
        "multinomial",
        "SparsePoissonRegressor",
        "SparseGammaRegressor",
        "SparseHuberRegressor",
        "SparseCoxRegressor",
        "SparseHuberRegressorCV",
    ],
)
def test_overlap_is_the_problem_of_duplicated_columns(name):
    X, y = data(1)
    options = {"penalty": "group", "alpha": 0.03, "tol": 1e-9}
    if name == "multinomial":
        name, target = "SparseLogisticRegression", np.digitize(y, [-1.0, 1.0])
    elif name == "SparseLogisticRegression":
        target = y > 0
    elif name == "SparsePoissonRegressor":
        target = np.round(np.exp(0.3 * y))
    elif name == "SparseCoxRegressor":
        target = np.column_stack([np.exp(-0.4 * y), np.arange(80) % 3 > 0])
    else:
        target = np.exp(0.3 * y) if name == "SparseGammaRegressor" else y
    if name.endswith("CV"):
        options = {"alphas": 6, "tol": 1e-9}
        if "Group" not in name:
            options["penalty"] = "group"
    cls = getattr(ssl, name)
    wide, labels, order = duplicated(X)
    a = cls(groups=OVERLAPPING, **options).fit(X, target)
    b = cls(groups=labels, **options).fit(wide, target)
    assert a.certificate_.satisfied
    # Exact copies leave many solutions in the copies, but one fit.
    assert_allclose(a.objective_, b.objective_, rtol=1e-7)
    assert_allclose(a.coef_, summed(b.coef_, order), atol=1e-4)
    if name != "SparseCoxRegressor":
        assert_allclose(a.predict(X), b.predict(wide), atol=1e-3)
    if name.endswith("CV"):
        losses = "mse_path_" if "Group" in name else "loss_path_"
        assert_allclose(getattr(a, losses), getattr(b, losses), rtol=1e-4)
        assert a.coef_path_.shape == (8, 6)
    elif name != "SparseCoxRegressor":
        a.set_params(warm_start=True)
        before = a.coef_
        assert_allclose(a.fit(X, target).coef_, before, atol=1e-4)


def test_overlap_without_penalty_is_least_squares():
    X, y = data(2)
    with pytest.warns(UserWarning, match="least squares"):
        model = ssl.GroupLasso(OVERLAPPING, alpha=0.0).fit(X, y)
    A = np.column_stack([X, np.ones(80)])
    assert_allclose(model.coef_, np.linalg.lstsq(A, y, rcond=None)[0][:8], atol=1e-9)


def test_best_subset_refuses_overlap():
    X, y = data()
    with pytest.raises(ValueError, match="must not overlap"):
        ssl.BestSubsetRegressor(groups=OVERLAPPING).fit(X, y)


def test_groups_of_samples_reach_the_splitter():
    X, y = data()
    samples = np.arange(80) // 10
    folds = list(GroupKFold(4).split(X, y, samples))
    for cls, options in (
        (ssl.GroupLassoCV, {"alphas": 5, "groups": 2}),
        (ssl.BestSubsetRegressor, {"criterion": "cv", "groups": 2}),
    ):
        a = cls(cv=GroupKFold(4), **options).fit(X, y, groups=samples)
        b = cls(cv=folds, **options).fit(X, y)
        assert_array_equal(a.mse_path_, b.mse_path_)
        with pytest.raises(ValueError, match="groups"):
            cls(cv=GroupKFold(4), **options).fit(X, y)


def test_old_name_of_group_weights_warns_and_counts():
    X, y = data()
    omega = np.array([1.0, 2.0, 3.0, 4.0])
    for cls, options in (
        (ssl.GroupLasso, {"alpha": 0.1}),
        (ssl.GroupLassoCV, {"alphas": 5}),
    ):
        with pytest.warns(FutureWarning, match="`group_weights` since 0.2") as caught:
            old = cls(2, weights=omega, **options).fit(X, y)
        assert len([w for w in caught if w.category is FutureWarning]) == 1
        new = cls(2, group_weights=omega, **options).fit(X, y)
        assert_array_equal(old.coef_, new.coef_)
    with pytest.warns(FutureWarning, match="`group_weights` since 0.2"):
        ssl.GroupLasso.path(X, y, groups=2, weights=None, alphas=3)


def test_overlap_of_groups_that_are_free_or_dropped():
    X, y = data(3)
    omega = np.array([0.0, 0.0, 1.0, np.inf, 1.0])
    model = ssl.GroupLasso(OVERLAPPING, alpha=0.1, group_weights=omega, tol=1e-10)
    model.fit(X, y)
    assert model.certificate_.satisfied and model.coef_[6] == 0.0
    # At the solution the residual is orthogonal to the free features.
    r = y - model.predict(X)
    assert_allclose(X[:, [0, 1, 2, 3]].T @ (r - r.mean()), 0.0, atol=1e-4)
    loose = {"alpha": 0.02, "penalty": "group", "tol": 1e-8}
    counts = np.round(np.exp(0.3 * y))
    poisson = ssl.SparsePoissonRegressor(
        groups=OVERLAPPING, group_weights=omega, **loose
    ).fit(X, counts)
    assert poisson.certificate_.satisfied
    rest = X[:, :4].T @ (counts - poisson.predict(X)) / 80
    assert_allclose(rest, 0.0, atol=1e-4)
