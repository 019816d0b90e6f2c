"""Displays draw what they were given and say what is missing."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsestat import Certificate
from sparsestat.plotting import (
    CertificateDisplay,
    ConvergenceDisplay,
    RegularizationPathDisplay,
)
from sparsestat.plotting._style import _spread


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg", force=True)
    import matplotlib.pyplot as plt

    plt.close("all")
    yield plt
    plt.close("all")


class Fitted(BaseEstimator):
    """An estimator with whatever fitted attributes it is given."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def get_params(self, deep=True):
        return {}

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return np.zeros(len(X))


def certificate(kind, value, tol):
    return Certificate(kind, value, tol, value <= tol, "gap / null objective")


@pytest.fixture
def path():
    alphas = np.logspace(0, -2, 30)
    slopes = np.array([3.0, -2.0, 1.0, 0.0, 0.5])
    start = np.array([1.0, 0.5, 0.3, 1.0, 0.02])
    coefs = slopes[:, None] * np.maximum(start[:, None] - alphas, 0.0)
    return alphas, coefs


@pytest.fixture
def fitted_path(path):
    alphas, coefs = path
    errors = 1 + (np.log(alphas[:, None] / 0.1)) ** 2 + np.arange(4) / 10
    return Fitted(alphas_=alphas, coef_path_=coefs, alpha_=alphas[15], mse_path_=errors)


def test_path_draws_every_active_feature(pyplot, path):
    alphas, coefs = path
    display = RegularizationPathDisplay.from_path(alphas, coefs, selected_alpha=0.1)
    assert len(display.lines_) == 4  # feature 3 never enters
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), alphas)
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), coefs[1])
    assert display.ax_.get_xscale() == "log"
    left, right = display.ax_.get_xlim()
    assert left > right  # strong penalties on the left
    # Feature 4 is still zero at the chosen strength and gets no name.
    assert [t.get_text() for t in display.label_texts_] == ["x0", "x1", "x2"]
    assert display.cv_ax_ is None


def test_path_counts_nonzeros_on_the_upper_axis(pyplot, path):
    alphas, coefs = path
    display = RegularizationPathDisplay.from_path(alphas, coefs)
    display.figure_.canvas.draw()
    shown = [t.get_text() for t in display.count_ax_.get_xticklabels()]
    expected = np.count_nonzero(coefs, axis=0)[np.linspace(0, 29, 6).astype(int)]
    assert sorted(shown) == sorted(map(str, expected))


def test_path_from_estimator_adds_the_cross_validation_error(pyplot, fitted_path):
    names = ["a", "b", "c", "d", "e"]
    display = RegularizationPathDisplay.from_estimator(fitted_path, feature_names=names)
    assert len(display.figure_.axes) == 2
    mean = fitted_path.mse_path_.mean(axis=1)
    np.testing.assert_allclose(display.cv_line_.get_ydata(), mean)
    for line in display.selected_lines_:
        np.testing.assert_allclose(line.get_xdata(), fitted_path.alpha_)
    assert len(display.selected_lines_) == 2
    assert {t.get_text() for t in display.label_texts_} == {"a", "b", "c"}


def test_path_of_several_l1_ratios_is_that_of_the_best(pyplot):
    from sparsestat.linear_model import ElasticNetCV

    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 5))
    model = ElasticNetCV(l1_ratio=[0.2, 0.9], alphas=6, cv=3).fit(X, X[:, 0])
    display = RegularizationPathDisplay.from_estimator(model)
    row = [0.2, 0.9].index(model.l1_ratio_)
    np.testing.assert_array_equal(display.alphas, model.alphas_[row])
    np.testing.assert_array_equal(display.mse_path, model.mse_path_[row])


def test_path_opens_pipelines_and_finds_names(pyplot, fitted_path):
    fitted_path.feature_names_in_ = np.array(["a", "b", "c", "d", "e"], dtype=object)
    pipe = make_pipeline(StandardScaler(), fitted_path)
    display = RegularizationPathDisplay.from_estimator(pipe, show_cv=False)
    assert display.estimator_name == "Fitted"
    assert display.label_texts_[0].get_text() == "a"


def test_path_on_given_axes(pyplot, fitted_path):
    figure, ax = pyplot.subplots()
    display = RegularizationPathDisplay.from_estimator(fitted_path, ax=ax)
    assert display.ax_ is ax and display.figure_ is figure and display.cv_ax_ is None
    figure, axes = pyplot.subplots(2, 1)
    display = RegularizationPathDisplay.from_estimator(fitted_path, ax=axes)
    assert display.ax_ is axes[0] and display.cv_ax_ is axes[1]


def test_path_alpha_min_cuts_the_picture(pyplot, path):
    alphas, coefs = path
    display = RegularizationPathDisplay.from_path(alphas, coefs, alpha_min=0.1)
    assert display.lines_[0].get_xdata().min() >= 0.1
    with pytest.raises(ValueError, match="Lower alpha_min"):
        display.plot(alpha_min=10.0)


def test_path_single_alpha_and_zero_path(pyplot):
    RegularizationPathDisplay.from_path([0.5], np.array([[1.0], [2.0]]))
    display = RegularizationPathDisplay.from_path([1.0, 0.1], np.zeros((3, 2)))
    display.figure_.canvas.draw()
    assert display.lines_ == [] and display.label_texts_ == []


def test_path_messages(pyplot, path):
    with pytest.raises(ValueError, match="do not fit"):
        RegularizationPathDisplay.from_path([1.0, 0.5], np.ones((2, 3)))
    with pytest.raises(ValueError, match="has no alphas_ and no coef_path_"):
        RegularizationPathDisplay.from_estimator(Fitted(coef_=np.ones(2)))


def test_convergence_draws_histories(pyplot):
    histories = {
        "counted": [1.0, 0.1, 0.01],
        "timed": ([0.1, 0.2], [1.0, 1e-8]),
    }
    display = ConvergenceDisplay(
        histories, tol=1e-6, xlabel="time (s)", ylabel="violation"
    ).plot()
    assert display.ax_.get_ylabel() == "violation"
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(display.lines_[1].get_xdata(), [0.1, 0.2])
    assert display.ax_.get_yscale() == "log"
    assert display.ax_.get_xlabel() == "time (s)"
    np.testing.assert_allclose(display.tol_line_.get_ydata(), 1e-6)
    assert [t.get_text() for t in display.label_texts_] == ["counted", "timed"]
    styles = [(line.get_color(), line.get_marker()) for line in display.lines_]
    assert styles[0][0] != styles[1][0] and styles[0][1] != styles[1][1]


def test_convergence_shows_gaps_lost_in_rounding_at_the_border(pyplot):
    display = ConvergenceDisplay({"a": [1.0, 1e-10, 0.0], "b": [1.0, -1e-18]}).plot()
    y = display.lines_[0].get_ydata()
    assert np.all(y > 0) and y[-1] < 1e-10
    assert display.ax_.get_ylim()[0] < y[-1]


def test_convergence_from_estimators_takes_the_common_tolerance(pyplot):
    one = Fitted(
        history_=np.array([1.0, 1e-5]),
        certificate_=certificate("duality_gap", 1e-5, 1e-4),
    )
    two = Fitted(
        history_=np.array([1.0, 1e-3]),
        certificate_=certificate("duality_gap", 1e-3, 1e-4),
    )
    display = ConvergenceDisplay.from_estimator([one, two])
    assert display.tol == 1e-4
    assert list(display.histories) == ["Fitted", "Fitted 2"]
    two.certificate_ = certificate("duality_gap", 1e-3, 1e-6)
    assert ConvergenceDisplay.from_estimator({"a": one, "b": two}).tol is None


def test_convergence_on_logarithmic_times(pyplot):
    display = ConvergenceDisplay({"a": ([0.01, 0.1, 1.0], [1.0, 1e-3, 1e-6])})
    display.plot(xscale="log")
    assert display.ax_.get_xscale() == "log"
    left, right = display.ax_.get_xlim()
    assert 0 < left < 0.01 and right > 1.0
    with pytest.raises(ValueError, match="xscale"):
        display.plot(xscale="cubic")


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ({}, "empty"),
        ({"a": ([1, 2, 3], [1.0])}, "two arrays of equal length"),
        ({"a": []}, "two arrays of equal length"),
        ({"a": [np.nan, np.inf]}, "no finite gap"),
    ],
)
def test_convergence_messages(pyplot, histories, message):
    with pytest.raises(ValueError, match=message):
        ConvergenceDisplay(histories).plot()
    with pytest.raises(ValueError, match="has no history_"):
        ConvergenceDisplay.from_estimator(Fitted(coef_=1))


def test_certificates_differ_in_color_and_marker(pyplot):
    estimators = {
        "good": Fitted(certificate_=certificate("duality_gap", 1e-6, 1e-4)),
        "bad": Fitted(certificate_=certificate("kkt", 1e-2, 1e-4)),
        "closed": Fitted(certificate_=certificate("exact", 0.0, 0.0)),
        "zero": Fitted(certificate_=certificate("duality_gap", 0.0, 1e-4)),
    }
    display = CertificateDisplay.from_estimators(estimators)
    looks = [(p.get_color(), p.get_marker()) for p in display.points_]
    good, bad, closed, zero = looks
    assert good == zero and len({good, bad, closed}) == 3
    assert len({m for _, m in (good, bad, closed)}) == 3
    assert display.points_[0].get_xdata()[0] == 1e-6
    assert display.points_[3].get_xdata()[0] > 0
    assert display.tol_lines_[2] is None
    np.testing.assert_allclose(display.tol_lines_[1].get_xdata(), 1e-4)
    labels = [t.get_text() for t in display.ax_.get_yticklabels()]
    assert labels[0] == "good (duality gap)" and labels[1] == "bad (kkt)"
    legend = [t.get_text() for t in display.legend_.get_texts()]
    assert "above tolerance" in legend and "tolerance" in legend


def test_certificates_on_given_axes_and_of_unmeasured_values(pyplot):
    _, ax = pyplot.subplots()
    nothing = Certificate("duality_gap", float("inf"), 1e-4, False, "gap")
    display = CertificateDisplay({"diverged": nothing}).plot(ax=ax)
    display.figure_.canvas.draw()
    assert display.ax_ is ax


def test_certificates_of_exact_methods_only(pyplot):
    display = CertificateDisplay({"a": certificate("exact", 0.0, 0.0)}).plot()
    display.figure_.canvas.draw()
    assert len(display.points_) == 1


def test_certificate_messages(pyplot):
    with pytest.raises(ValueError, match="empty"):
        CertificateDisplay({}).plot()
    with pytest.raises(ValueError, match="has no certificate_"):
        CertificateDisplay.from_estimators([Fitted(coef_=1)])


def test_search_is_opened(pyplot):
    inner = Fitted(certificate_=certificate("duality_gap", 1e-6, 1e-4))
    search = SimpleNamespace(best_estimator_=make_pipeline(StandardScaler(), inner))
    display = CertificateDisplay.from_estimators([search])
    assert list(display.certificates) == ["Fitted"]


def test_without_matplotlib_the_extra_is_named(monkeypatch, path):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"sparsestat\[plot\]"):
        RegularizationPathDisplay.from_path(*path)


@pytest.mark.parametrize("seed", range(20))
def test_labels_keep_their_distance_and_order(seed):
    rng = np.random.RandomState(seed)
    y = rng.uniform(size=8) ** (1 + seed % 3)
    gap = 0.1
    placed = _spread(y, gap)
    assert placed.min() >= -1e-12 and placed.max() <= 1 + 1e-12
    steps = np.diff(placed[np.argsort(y)])
    assert steps.min() >= gap - 1e-12


def test_labels_far_apart_stay_where_they_are():
    y = np.array([0.9, 0.1, 0.5])
    np.testing.assert_allclose(_spread(y, 0.05), y)


def test_path_display_leads_over_steps_and_marks_the_least_error():
    pytest.importorskip("matplotlib").use("agg")
    alphas = np.array([1.0, 0.5, 0.25, 0.125, 0.0625])
    coefs = np.array([[0.0, 1.0, 1.0, 1.0, 2.0], [0.0, 0.5, 0.5, 0.5, 0.5]])
    errors = np.array([5.0, 3.0, 2.0, 1.0, 2.0])[:, None] + [0.0, 0.2]
    display = RegularizationPathDisplay(
        alphas=alphas, coefs=coefs, selected_alpha=0.5, mse_path=errors
    ).plot()
    for line in display.lines_:
        np.testing.assert_array_equal(line.get_xdata(), alphas[[0, 1, 4]])
    assert [line.get_xdata()[0] for line in display.minimum_lines_] == [0.125, 0.125]
    same = RegularizationPathDisplay(
        alphas=alphas, coefs=coefs, selected_alpha=0.125, mse_path=errors
    ).plot()
    assert same.minimum_lines_ == []


def test_path_display_names_features_through_a_scaler():
    pytest.importorskip("matplotlib").use("agg")
    pd = pytest.importorskip("pandas")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from sparsestat.linear_model import LassoCV

    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((60, 2)), columns=["height", "width"])
    model = make_pipeline(StandardScaler(), LassoCV(alphas=10, cv=3))
    display = RegularizationPathDisplay.from_estimator(model.fit(X, X["width"]))
    assert "width" in [text.get_text() for text in display.label_texts_]
    display = RegularizationPathDisplay.from_estimator(
        model.fit(X.to_numpy(), X["width"])
    )
    assert "x1" in [text.get_text() for text in display.label_texts_]
