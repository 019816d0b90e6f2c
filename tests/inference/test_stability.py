"""Stability selection: counts, halves, weights, groups, refusals."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.inference import StabilitySelection, _stability
from sparsestat.inference._draws import NEVER, sizes_at_entry
from sparsestat.inference._error_bounds import resolve
from sparsestat.inference._stability import _halves
from sparsestat.linear_model import (
    ElasticNet,
    Lasso,
    SparseCoxRegressor,
    SparseLogisticRegression,
    lasso_path,
)


def problem(seed, n=60, p=20, s=3, noise=1.0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, p))
    return X, X[:, :s] @ np.full(s, 2.0) + noise * rng.standard_normal(n)


def test_orthogonal_design_enters_by_correlation(global_random_seed):
    # The Lasso path of orthogonal columns takes them in the order of |x_j'y|.
    rng = np.random.RandomState(global_random_seed)
    X = np.linalg.qr(rng.standard_normal((30, 6)))[0] * 5.0
    y = X @ np.array([3.0, -2.0, 1.0, 0.5, 0.25, -4.0])
    sizes = sizes_at_entry(Lasso(fit_intercept=False, tol=1e-10), X, y, None, 4)
    assert_array_equal(sizes, [2, 3, 4, NEVER, NEVER, 1])


def test_first_features_are_those_of_one_long_path(global_random_seed):
    X, y = problem(global_random_seed)
    sizes = sizes_at_entry(Lasso(tol=1e-9), X, y, None, 7)
    whole = lasso_path(X, y, fit_intercept=True, alphas=100, tol=1e-9)
    ever = np.logical_or.accumulate(whole.coefs != 0, axis=1)
    last = np.flatnonzero(ever.sum(axis=0) <= 7)[-1]
    assert_array_equal(sizes <= 7, ever[:, last])


def test_halves_are_disjoint_pairs_of_equal_size():
    halves = _halves(np.random.RandomState(0), 10, 21, None, None)
    assert len(halves) == 20
    for first, second in zip(halves[::2], halves[1::2], strict=True):
        assert len(first) == len(second) == 10
        assert not set(first) & set(second)


def test_halves_keep_the_shares_of_classes():
    classes = np.repeat(["a", "b"], [14, 6])
    for half in _halves(np.random.RandomState(0), 5, 20, classes, None):
        assert np.count_nonzero(classes[half] == "b") == 3
    three = np.repeat([0, 1, 2], [10, 7, 2])  # of odd numbers one is left out
    for half in _halves(np.random.RandomState(0), 5, 19, three, None):
        assert_array_equal(np.bincount(three[half]), [5, 3, 1])
    for given, message in ((three * 0, "1 class: 0"), (three[:18], "2 has one")):
        with pytest.raises(ValueError, match=message):
            _halves(np.random.RandomState(0), 5, len(given), given, None)


def test_counts_are_those_of_the_halves(global_random_seed):
    X, y = problem(global_random_seed)
    selector = StabilitySelection(
        ElasticNet(l1_ratio=0.9), n_pairs=4, q=5, random_state=3
    ).fit(X, y)
    halves = _halves(np.random.RandomState(3), 4, 60, None, None)
    sizes = np.array(
        [
            sizes_at_entry(ElasticNet(l1_ratio=0.9), X[rows], y[rows], None, 5)
            for rows in halves
        ]
    )
    expected = (sizes[:, :, None] <= np.arange(1, 6)).mean(axis=0)
    assert_array_equal(selector.stability_path_, expected)
    assert_array_equal(selector.selection_probabilities_, expected[:, -1])
    assert_array_equal(selector.get_support(), expected[:, -1] >= 0.75)
    assert (selector.stability_path_.sum(axis=0) <= np.arange(1, 6)).all()
    assert selector.mean_size_ <= 5


def test_strong_signals_are_selected_and_nothing_else(global_random_seed):
    X, y = problem(global_random_seed, n=120, p=50)
    selector = StabilitySelection(n_pairs=20, random_state=0).fit(X, y)
    assert_array_equal(selector.get_support(indices=True), [0, 1, 2])
    assert selector.certificate_.kind == "error_bound"
    assert selector.certificate_.value == selector.pfer_bound_ <= 1.0
    table = selector.summary()
    assert set(table.index[:3]) == {"x0", "x1", "x2"}
    assert table["selected"].sum() == 3


@pytest.mark.parametrize("assumption", ["none", "unimodal", "r-concave"])
def test_certificates_say_what_was_counted_and_asked(assumption, monkeypatch):
    X, y = problem(0, n=30, p=12)
    wide = np.insert(X, 4, 2.0, axis=1)  # a constant feature does not count
    rng = np.random.RandomState(1)
    sizes = np.where(rng.random((20, 13)) < 0.5, rng.randint(1, 6, (20, 13)), NEVER)
    sizes[:, 2], sizes[:15, 5], sizes[15:, 5] = 1, 3, NEVER  # always, 15 of 20
    sizes[:14, 6], sizes[14:, 6] = 4, 5
    given = [row.astype(np.int32) for row in sizes]
    monkeypatch.setattr(_stability, "run_fits", lambda f, tasks, n: (given, 0))
    selector = StabilitySelection(
        q=4, threshold=0.75, n_pairs=10, assumption=assumption, random_state=0
    ).fit(wide, y)
    sizes[:, 4] = NEVER
    counts = (sizes <= 4).sum(axis=0)
    assert_array_equal(selector.stability_path_[:, 1], (sizes <= 2).mean(axis=0))
    assert_array_equal(selector.selection_probabilities_, counts / 20)
    assert_array_equal(selector.get_support(), counts >= 15)
    assert selector.get_support()[[2, 5]].all() and not selector.get_support()[6]
    assert selector.threshold_ == 0.75 and selector.q_ == 4
    assert selector.mean_size_ == (sizes <= 4).sum(axis=1).mean()
    certificate = selector.certificate_
    bound = resolve(4, 0.75, None, 12, 10, assumption).bound
    assert certificate.value == selector.pfer_bound_ == bound
    if assumption == "none":
        assert bound == pytest.approx(4**2 / ((2 * 0.75 - 1) * 12))
    else:
        assert bound < 4**2 / ((2 * 0.75 - 1) * 12)
    assert certificate.kind == "error_bound" and certificate.tol == np.inf
    told = certificate.details
    assert (told["q"], told["threshold"], told["n_pairs"]) == (4, 0.75, 10)
    assert told["unconverged"] == 0 and certificate.satisfied
    words = {"none": "nothing is", "unimodal": "unimodal", "r-concave": "r-concave"}
    assert words[assumption] in told["assumption"]


def test_number_of_false_selections_stays_below_its_bound():
    # No feature has an effect: everything selected is false.
    false, bounds = [], set()
    for seed in range(15):
        rng = np.random.RandomState(seed)
        X, y = rng.standard_normal((50, 50)), rng.standard_normal(50)
        selector = StabilitySelection(q=8, threshold=0.6, n_pairs=10, random_state=seed)
        selector.fit(X, y)
        false.append(selector.get_support().sum())
        bounds.add(selector.pfer_bound_)
    (bound,) = bounds
    assert bound == pytest.approx(64 / (0.2 * 50))
    assert np.mean(false) <= bound  # about a tenth of it


def test_result_does_not_depend_on_workers(global_random_seed):
    X, y = problem(global_random_seed)
    fits = [
        StabilitySelection(n_pairs=6, n_jobs=n_jobs, random_state=1).fit(X, y)
        for n_jobs in (None, 2)
    ]
    assert_array_equal(fits[0].stability_path_, fits[1].stability_path_)


def test_repeated_rows_kept_together_are_weights(global_random_seed):
    X, y = problem(global_random_seed, n=24, p=6)
    counts = 1 + np.arange(24) % 3
    rows = np.repeat(np.arange(24), counts)
    options = {"n_pairs": 8, "q": 2, "random_state": 0}
    weighted = StabilitySelection(Lasso(), **options).fit(X, y, sample_weight=counts)
    repeated = StabilitySelection(Lasso(), **options).fit(X[rows], y[rows], groups=rows)
    assert_array_equal(weighted.stability_path_, repeated.stability_path_)


def test_rows_of_weight_zero_do_not_matter(global_random_seed):
    X, y = problem(global_random_seed, n=40, p=6)
    weights = (np.arange(40) % 4 > 0).astype(float)
    groups = np.arange(40)
    spoiled = np.where(weights[:, None] > 0, X, 1e9)
    options = {"n_pairs": 6, "q": 2, "random_state": 0}
    kept = weights > 0
    plain = StabilitySelection(**options).fit(X[kept], y[kept])
    for given in ({}, {"groups": groups}):
        other = StabilitySelection(**options).fit(
            spoiled, y, sample_weight=weights, **given
        )
        assert_array_equal(plain.stability_path_, other.stability_path_)


def test_sparse_rows_are_counted_as_dense_ones(global_random_seed):
    X, y = problem(global_random_seed)
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    options = {"n_pairs": 5, "q": 4, "random_state": 0}
    dense = StabilitySelection(**options).fit(X, y)
    for container in (sparse.csr_array, sparse.csc_array):
        other = StabilitySelection(**options).fit(container(X), y)
        assert_array_equal(dense.stability_path_, other.stability_path_)


def test_units_of_single_features_do_not_matter_to_the_default(global_random_seed):
    X, y = problem(global_random_seed)
    options = {"n_pairs": 5, "q": 4, "random_state": 0}
    plain = StabilitySelection(**options).fit(X, y)
    units = 2.0 ** np.arange(-10, 10)
    other = StabilitySelection(**options).fit(X * units + 1e4 * units, y)
    assert_array_equal(plain.stability_path_, other.stability_path_)


def test_constant_features_are_never_selected_and_do_not_count():
    X, y = problem(0)
    wide = np.column_stack([X, np.full(len(X), 3.7), np.zeros(len(X))])
    options = {"n_pairs": 5, "random_state": 0}
    plain, other = (StabilitySelection(**options).fit(x, y) for x in (X, wide))
    assert other.pfer_bound_ == plain.pfer_bound_ and other.q_ == plain.q_
    assert not other.selection_probabilities_[20:].any()


def test_other_libraries_are_ranked_by_their_importances():
    X, y = problem(0, n=80, p=8)
    for model in (
        LinearRegression(),
        RandomForestRegressor(15),
        make_pipeline(StandardScaler(), LinearRegression()),
    ):
        options = {"n_pairs": 5, "q": 3, "random_state": 0}
        selector = StabilitySelection(model, **options).fit(X, y)
        assert_array_equal(selector.get_support(indices=True), [0, 1, 2])
        assert selector.stability_path_.sum(axis=0) == pytest.approx([1, 2, 3])
        again = StabilitySelection(model, **options).fit(X, y)
        assert_array_equal(selector.stability_path_, again.stability_path_)


def test_classes_and_survival_times_are_targets_too():
    X, y = problem(0, n=100, p=10)
    labels = np.where(y > 0, "ill", "well")
    selector = StabilitySelection(
        SparseLogisticRegression(), n_pairs=5, q=3, random_state=0
    ).fit(X, labels)
    assert_array_equal(selector.get_support(indices=True), [0, 1, 2])
    times = np.column_stack([np.exp(-y), np.arange(100) % 3 > 0])
    structured = np.array(
        [(bool(e), t) for t, e in times], dtype=[("event", bool), ("time", float)]
    )
    fits = [
        StabilitySelection(SparseCoxRegressor(), n_pairs=4, q=3, random_state=0)
        .fit(X, target)
        .stability_path_
        for target in (times, structured)
    ]
    assert_array_equal(fits[0], fits[1])
    assert (fits[0][:3, -1] > 0.7).all()


def test_names_come_through_a_pipeline():
    pd = pytest.importorskip("pandas")
    X, y = problem(0, n=80, p=6)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    scale = ColumnTransformer(
        [("left", StandardScaler(), list("abc")), ("right", "passthrough", list("def"))]
    )
    pipeline = make_pipeline(scale, StabilitySelection(q=2, n_pairs=5, random_state=0))
    pipeline.set_output(transform="pandas").fit(frame, y)
    assert set(pipeline[-1].summary().index) >= {"left__a", "right__f"}
    names = pipeline[:-1].get_feature_names_out()
    assert_array_equal(pipeline[-1].summary(names).index, pipeline[-1].summary().index)
    assert all(name.startswith("left") for name in pipeline.transform(frame).columns)


def test_fits_that_fall_short_are_counted_and_said_once():
    X, y = problem(0, p=40)
    selector = StabilitySelection(
        Lasso(tol=1e-14, max_iter=1), n_pairs=2, q=5, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="fits did not converge") as caught:
        selector.fit(X, y)
    assert len(caught) == 1
    assert not selector.certificate_.satisfied
    assert selector.certificate_.details["unconverged"] > 0


@pytest.mark.parametrize(
    "options, change, message",
    [
        ({}, lambda X, y: (X[:7], y[:7]), "at least 8 samples"),
        ({}, lambda X, y: (np.ones_like(X), y), "every column of X is constant"),
        ({"q": 30}, lambda X, y: (X, y), "more than the 20 features"),
        ({"estimator": DummyRegressor()}, lambda X, y: (X, y), "neither coef_"),
        (
            {"estimator": SparseLogisticRegression()},
            lambda X, y: (X, np.arange(len(y)) == 0),
            "has one sample",
        ),
        (
            {"estimator": SparseLogisticRegression()},
            lambda X, y: (X, np.zeros(len(y), int)),
            "at least 2 classes",
        ),
    ],
)
def test_bad_input_is_named(options, change, message):
    X, y = change(*problem(0))
    with pytest.raises(ValueError, match=message):
        StabilitySelection(**options).fit(X, y)


def test_too_few_groups_or_weights_are_named():
    X, y = problem(0)
    least = StabilitySelection(q=2, n_pairs=2).fit(X, y, groups=np.arange(60) % 8)
    assert least.stability_path_.shape == (20, 2)
    with pytest.raises(ValueError, match="Halves of 3 groups"):
        StabilitySelection().fit(X, y, groups=np.arange(60) % 3)
    with pytest.raises(ValueError, match=r"n_samples = 5 \(of positive"):
        StabilitySelection().fit(X, y, sample_weight=np.arange(60) < 5)
    with pytest.raises(ValueError, match="takes no sample_weight"):
        StabilitySelection(_Unweighted()).fit(X, y, sample_weight=np.ones(60))
    with pytest.raises(ValueError, match="groups has shape"):
        StabilitySelection().fit(X, y, groups=[1, 2])


class _Unweighted(DummyRegressor):
    def fit(self, X, y):
        return super().fit(X, y)
