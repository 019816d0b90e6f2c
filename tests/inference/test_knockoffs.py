"""The knockoff selector: symmetry, error rates, containers, refusals."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.covariance import EmpiricalCovariance
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsestat.exceptions import ConvergenceWarning, NumericalError
from sparsestat.inference import KnockoffSelector
from sparsestat.inference._knockoffs import _statistics
from sparsestat.linear_model import (
    Lasso,
    LassoCV,
    SparseCoxRegressor,
    SparseLogisticRegression,
)


def problem(seed, n=120, p=30, s=12, size=1.0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, p))
    X[:, 1:] += 0.5 * X[:, :-1]
    return X, X[:, :s] @ np.full(s, size) + rng.standard_normal(n)


OPTIONS = [
    {"construction": "fixed"},
    {"construction": "fixed", "statistic": "signed_max"},
    {"construction": "fixed", "estimator": Lasso(alpha=0.05)},
    {"estimator": Lasso(alpha=0.05)},
    {"estimator": Lasso(), "statistic": "signed_max", "s_method": "sdp"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_signals_are_found(options, global_random_seed):
    X, y = problem(global_random_seed, size=3.0)
    selector = KnockoffSelector(fdr=0.2, random_state=0, **options).fit(X, y)
    support = selector.get_support()
    assert support[:12].sum() >= 10
    assert support[12:].sum() <= 6
    assert_array_equal(support, selector.W_ >= selector.threshold_)
    assert selector.certificate_.value == 0.2 and selector.certificate_.satisfied
    assert selector.certificate_.details["s_gap"] <= 1e-6


class _Swapped:
    """A design whose features j have changed places with their knockoffs."""

    def __init__(self, X, copies, j):
        self.X, self._copies = X.copy(), copies.copy()
        self.X[:, j], self._copies[:, j] = copies[:, j], X[:, j]
        self.variance = None

    def copies(self, rng):
        return self._copies


@pytest.mark.parametrize("statistic", ["coef_difference", "signed_max"])
def test_exchanging_features_with_knockoffs_flips_their_signs(statistic):
    rng = np.random.RandomState(0)
    X, copies = rng.standard_normal((2, 60, 8))
    y = X[:, :3].sum(axis=1) + rng.standard_normal(60)
    plan = Lasso(alpha=0.1, tol=1e-10), statistic
    plain = _statistics(plan, _Swapped(X, copies, []), y, 0)
    swapped = _statistics(plan, _Swapped(X, copies, [0, 4, 5]), y, 0)
    signs = np.ones(8)
    signs[[0, 4, 5]] = -1.0
    assert_allclose(swapped, signs * plain, atol=1e-6)


def test_share_of_false_features_stays_below_its_bound():
    shares, found = [], []
    for seed in range(40):
        X, y = problem(seed, n=110, p=50, s=15, size=0.6)
        selector = KnockoffSelector(construction="fixed", fdr=0.3, random_state=seed)
        support = selector.fit(X, y).get_support()
        shares.append(support[15:].sum() / max(1, support.sum()))
        found.append(support[:15].mean())
    error = np.std(shares) / np.sqrt(40)
    assert np.mean(shares) <= 0.3 + 2 * error
    assert np.mean(found) > 0.3  # and it has power


def test_knockoffs_of_a_known_covariance_have_its_moments(global_random_seed):
    R = 0.5 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    units = np.array([1.0, 10.0, 0.1, 3.0])
    covariance = R * units * units[:, None]
    rng = np.random.RandomState(global_random_seed)
    X = rng.multivariate_normal(np.arange(4.0), covariance, size=20_000)
    y = X[:, 0] + rng.standard_normal(len(X))
    selector = KnockoffSelector(
        Lasso(alpha=0.01), fdr=0.5, covariance=covariance, random_state=0
    ).fit(X[:200], y[:200])
    assert_allclose(selector.covariance_, covariance, rtol=1e-12)
    copies = selector.knockoffs(X)
    both = np.cov((np.hstack([X, copies]) / np.tile(units, 2)).T)
    S = np.diag(selector.s_ / units**2)
    expected = np.block([[R, R - S], [R - S, R]])
    assert_allclose(both, expected, atol=6 / np.sqrt(len(X)))


def test_draws_are_combined_by_their_e_values(global_random_seed):
    X, y = problem(global_random_seed, size=3.0)
    options = {"construction": "fixed", "fdr": 0.4, "random_state": 0}
    one = KnockoffSelector(**options).fit(X, y)
    several = KnockoffSelector(n_draws=5, n_jobs=2, **options).fit(X, y)
    again = KnockoffSelector(n_draws=5, **options).fit(X, y)
    assert several.W_.shape == (5, 30) and several.threshold_.shape == (5,)
    assert_array_equal(several.W_, again.W_)
    assert_allclose(several.W_[0], one.W_)
    assert several.get_support()[:12].sum() >= 8
    assert several.get_support()[12:].sum() <= 5


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("n_draws", [1, 3])
def test_selections_are_those_of_thresholds_and_e_values(n_draws, offset):
    fdr, p = 0.4, 12
    rng = np.random.RandomState(7)
    W = rng.standard_normal((n_draws, p)) + np.where(np.arange(p) < 8, 2.5, 0.0)
    W[:, 3], W[0, 9] = 0.0, -W[0].max()
    given = iter(W)
    X, y = problem(0, p=p, s=8)
    wide = np.insert(X, 5, 1.0, axis=1)  # a constant feature
    selector = KnockoffSelector(
        statistic=lambda X, copies, y: next(given), fdr=fdr, n_draws=n_draws,
        offset=offset, random_state=0,
    ).fit(wide, y)  # fmt: skip
    level = fdr if n_draws == 1 else fdr / 2
    thresholds, e = [], np.zeros(p)
    for row in W:
        good = [
            t
            for t in np.abs(row[row != 0])
            if (offset + (row <= -t).sum()) / max((row >= t).sum(), 1) <= level
        ]
        thresholds.append(min(good, default=np.inf))
        e += p * (row >= thresholds[-1]) / (1 + (row <= -thresholds[-1]).sum())
    e /= n_draws
    if n_draws == 1:
        chosen = W[0] >= thresholds[0]
    else:
        k = max((k for k in range(p + 1) if (e * fdr * k >= p).sum() >= k), default=0)
        chosen = (e * fdr * k >= p) if k else np.zeros(p, bool)
    assert 0 < chosen.sum() < p
    assert_array_equal(np.delete(selector.get_support(), 5), chosen)
    assert not selector.get_support()[5] and selector.e_values_[5] == 0.0
    assert_allclose(np.delete(selector.e_values_, 5), e)
    assert_array_equal(np.ravel(selector.threshold_), thresholds)
    assert_array_equal(np.delete(np.atleast_2d(selector.W_), 5, axis=1), W)
    assert (np.ndim(selector.threshold_) == 0) == (n_draws == 1)
    claim = "1 / fdr" if offset == 0 else "share of false selections"
    assert claim in selector.certificate_.scale


def test_what_keeps_everything_out_is_said():
    X, y = problem(0, p=12, s=6)
    n_beat = {}
    for count, rest in ((4, -0.5), (5, -0.5), (5, -2.0)):
        # At fdr 0.2 five features have to beat their knockoffs.
        W = np.where(np.arange(12) < count, 1.0, rest)
        W[11] = 0.0
        selector = KnockoffSelector(
            statistic=lambda X, copies, y, W=W: W, fdr=0.2, random_state=0
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            selector.fit(X, y)
        n_beat[count, rest] = [str(w.message) for w in caught]
        assert selector.get_support().sum() == (5 if (count, rest) == (5, -0.5) else 0)
    (said,) = n_beat[4, -0.5]
    assert "unless 5 features are, and no more than 4 beat" in said
    assert n_beat[5, -0.5] == n_beat[5, -2.0] == []
    # Several draws share the level: 2 / fdr.
    with pytest.warns(UserWarning, match=r"unless 10 .* no more than 9 .*n_draws=1"):
        KnockoffSelector(
            statistic=lambda X, copies, y: np.where(np.arange(12) < 9, 1.0, -0.5),
            fdr=0.2, n_draws=2, random_state=0,
        ).fit(X, y)  # fmt: skip


def test_certificates_say_what_their_bound_rests_on():
    X, y = problem(0, p=6, s=6, size=3.0)
    R = np.cov(X.T, ddof=0)
    options = {"estimator": Lasso(alpha=0.1), "fdr": 0.5, "random_state": 0}
    for given, approximate in (
        ({"covariance": R}, None),
        ({"covariance": EmpiricalCovariance()}, "covariance is estimated"),
        ({}, "covariance is estimated"),
        ({"construction": "fixed"}, None),
    ):
        certificate = KnockoffSelector(**options, **given).fit(X, y).certificate_
        details = certificate.details
        assert certificate.kind == "error_bound" and certificate.value == 0.5
        assert certificate.satisfied and certificate.tol == np.inf
        assert details["unconverged"] == 0 and 0.0 <= details["s_gap"] <= 1e-6
        assert ("nothing of X" in details["assumption"]) == ("construction" in given)
        assert (approximate is None) == ("approximate" not in details)
        assert approximate is None or approximate in details["approximate"]
    # Draws whose fits did not converge leave it unsatisfied.
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        model = Lasso(alpha=1e-3, tol=1e-14, max_iter=1)
        short = KnockoffSelector(model, fdr=0.5, n_draws=2, random_state=0).fit(X, y)
    assert not short.certificate_.satisfied
    assert short.certificate_.details["unconverged"] == 2


def test_nothing_can_be_selected_among_few_features():
    X, y = problem(0, p=6, s=2, size=3.0)
    with pytest.warns(UserWarning, match="nothing can be selected unless 10"):
        selector = KnockoffSelector(Lasso(alpha=0.1), random_state=0).fit(X, y)
    assert selector.threshold_ == np.inf and not selector.get_support().any()


def test_other_targets_and_estimators():
    X, y = problem(0, n=100, p=12, s=6, size=2.0)
    labels = np.where(y > 0, "ill", "well")
    forest = RandomForestRegressor(20)
    times = np.column_stack([np.exp(-y / 4), np.arange(100) % 3 > 0])
    cases = [
        (SparseLogisticRegression(alpha=0.02), labels),
        (SparseCoxRegressor(alpha=0.02), times),
        (forest, y),
    ]
    for model, target in cases:
        options = {"fdr": 0.5, "random_state": 0}
        selector = KnockoffSelector(model, **options).fit(X, target)
        assert selector.W_[:6].sum() > 3 * np.abs(selector.W_[6:]).sum() / 6
        again = KnockoffSelector(model, **options).fit(X, target)
        assert_array_equal(selector.W_, again.W_)


def test_constant_features_are_left_out_and_units_do_not_matter():
    X, y = problem(0, size=3.0)
    options = {"estimator": Lasso(alpha=0.1, tol=1e-10), "fdr": 0.2, "random_state": 0}
    plain = KnockoffSelector(**options).fit(X, y)
    wide = np.column_stack([X * 8.0 + 1000.0, np.full(len(X), 0.1)])
    other = KnockoffSelector(**options).fit(wide, y)
    assert_allclose(other.W_[:30], plain.W_, atol=1e-6)
    assert other.W_[30] == 0 and other.s_[30] == 0
    assert_allclose(other.s_[:30], 64 * plain.s_, rtol=1e-6)
    assert_array_equal(other.knockoffs(wide)[:, 30], wide[:, 30])


def test_covariances_by_other_estimators():
    X, y = problem(0, size=3.0)
    selector = KnockoffSelector(
        Lasso(alpha=0.1), fdr=0.2, covariance=EmpiricalCovariance(), random_state=0
    ).fit(X, y)
    assert_allclose(selector.covariance_, np.cov(X.T, ddof=0), atol=1e-10)


def test_callables_see_the_standardized_pair():
    X, y = problem(0, size=3.0)
    seen = []

    def marginal(X, copies, y):
        seen.append((X, copies))
        return np.abs(X.T @ y) - np.abs(copies.T @ y)

    selector = KnockoffSelector(
        fdr=0.3, construction="fixed", statistic=marginal, random_state=0
    ).fit(X, y)
    (pair,) = seen
    assert_allclose((pair[0] ** 2).mean(axis=0), 1.0)
    assert selector.W_.shape == (30,)
    with pytest.raises(ValueError, match="30 finite numbers"):
        KnockoffSelector(statistic=lambda X, copies, y: np.zeros(3)).fit(X, y)


def test_names_come_through_a_pipeline():
    pd = pytest.importorskip("pandas")
    X, y = problem(0, size=3.0)
    frame = pd.DataFrame(X, columns=[f"gene{j}" for j in range(30)])
    selector = KnockoffSelector(construction="fixed", fdr=0.3, random_state=0)
    pipeline = make_pipeline(StandardScaler(), selector).set_output(transform="pandas")
    pipeline.fit(frame, y)
    table = pipeline[-1].summary()
    assert table.index[0].startswith("gene")
    assert set(table.index[table["selected"]]) == set(pipeline.transform(frame).columns)


@pytest.mark.parametrize(
    "options, change, message",
    [
        ({}, lambda X, y: (X[:6], y[:6]), "at least 8 samples"),
        ({}, lambda X, y: (X[:, [0, 1, 0]], y), "x0, x2 have correlation one"),
        (
            {"construction": "fixed"},
            lambda X, y: (np.column_stack([X, X[:, 3] + X[:, 4]]), y),
            "depend on the others",
        ),
        ({"construction": "fixed"}, lambda X, y: (X[:31], y[:31]), "more than n_feat"),
        (
            {"construction": "fixed", "estimator": LassoCV()},
            lambda X, y: (X, y),
            "looks at single rows",
        ),
        (
            {"construction": "fixed", "estimator": SparseLogisticRegression()},
            lambda X, y: (X, y > 0),
            "numeric y",
        ),
        (
            {"estimator": RandomForestRegressor(), "statistic": "signed_max"},
            lambda X, y: (X, y),
            "follows a path",
        ),
        ({"covariance": np.eye(3)}, lambda X, y: (X, y), r"expected \(30, 30\)"),
        ({"covariance": np.triu(np.ones((30, 30)))}, lambda X, y: (X, y), "symmetric"),
        ({"covariance": -np.eye(30)}, lambda X, y: (X, y), "not positive"),
        ({}, lambda X, y: (X, np.column_stack([y, y])), "several columns"),
    ],
)
def test_bad_input_is_named(options, change, message):
    X, y = change(*problem(0))
    with pytest.raises(ValueError, match=message):
        KnockoffSelector(**options).fit(X, y)


def test_a_covariance_that_is_none_is_refused():
    X, y = problem(0)
    R = np.ones((30, 30))
    with pytest.raises(NumericalError, match="not positive definite"):
        KnockoffSelector(covariance=R).fit(X, y)


def test_fixed_knockoffs_are_of_the_training_data():
    X, y = problem(0)
    selector = KnockoffSelector(construction="fixed", fdr=0.3, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="training data alone"):
        selector.knockoffs(X)
    details = KnockoffSelector(construction="fixed", fdr=0.3).fit(X[:50], y[:50])
    assert "11 rows were added" in details.certificate_.details["approximate"]
