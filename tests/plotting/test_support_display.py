"""The display of support recovery, and paths of estimators with several settings."""

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsestat.datasets import make_sparse_regression
from sparsestat.linear_model import (
    GroupLassoCV,
    LassoCV,
    MCPRegressor,
    MCPRegressorCV,
    Slope,
)
from sparsestat.plotting import RegularizationPathDisplay, SupportRecoveryDisplay


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data():
    return make_sparse_regression(80, 60, n_nonzero=5, snr=10, random_state=0)


def test_counts_along_a_path(data):
    model = LassoCV(alphas=12, cv=3).fit(data.X, data.y)
    pipeline = make_pipeline(StandardScaler(), LassoCV(alphas=12, cv=3))
    pipeline.fit(data.X, data.y)
    display = SupportRecoveryDisplay.from_estimator(model, data.coef, kind="path")
    found, true = model.coef_path_ != 0, data.coef != 0
    assert_array_equal(display.n_true_found_, found[true].sum(axis=0))
    assert_array_equal(display.n_false_found_, found[~true].sum(axis=0))
    assert_array_equal(display.lines_[0].get_ydata(), display.n_true_found_)
    again = SupportRecoveryDisplay.from_estimator(pipeline, true, kind="path")
    assert len(again.lines_) == 2
    path = MCPRegressor.path(data.X, data.y, alphas=10)
    shown = SupportRecoveryDisplay.from_path(path.alphas, path.coefs, data.coef)
    assert shown.n_true_found_[0] == 0 and shown.n_true_found_[-1] == 5


def test_marks_at_a_solution(data):
    model = Slope(0.05).fit(data.X, data.y)
    _, ax = plt.subplots()
    display = SupportRecoveryDisplay.from_estimator(model, data.coef, ax=ax)
    assert display.ax_ is ax
    found, true = model.coef_ != 0, data.coef != 0
    assert display.n_true_found_ == (found & true).sum()
    assert display.n_false_found_ == (found & ~true).sum()
    drawn = display.points_["false"].get_offsets()
    assert_allclose(np.sort(drawn[:, 1]), np.sort(model.coef_[found & ~true]))
    drawn = display.points_["true"].get_offsets()
    assert_allclose(np.sort(drawn[:, 1]), np.sort(data.coef[true]))
    masked = SupportRecoveryDisplay.from_estimator(model, true)
    assert set(masked.points_) == {"found", "false"}


@pytest.mark.parametrize(
    "model",
    [
        MCPRegressorCV(gamma=[2.0, 4.0], alphas=8, cv=3),
        GroupLassoCV(groups=3, l1_ratio=[0.0, 0.5], alphas=8, cv=3),
    ],
    ids=["mcp", "group"],
)
def test_paths_of_several_settings(data, model):
    model.fit(data.X, data.y)
    path = RegularizationPathDisplay.from_estimator(model)
    assert len(path.lines_) == np.any(model.coef_path_ != 0, axis=1).sum()
    assert path.mse_path.shape == (8, 3)
    support = SupportRecoveryDisplay.from_estimator(model, data.coef, kind="path")
    assert len(support.n_true_found_) == 8


def test_bad_input_is_refused(data):
    model = Slope(0.05).fit(data.X, data.y)
    with pytest.raises(ValueError, match="no coef_path_"):
        SupportRecoveryDisplay.from_estimator(model, data.coef, kind="path")
    with pytest.raises(ValueError, match="one entry per feature"):
        SupportRecoveryDisplay.from_estimator(model, data.coef[:3])
    with pytest.raises(ValueError, match="must be 'solution'"):
        SupportRecoveryDisplay.from_estimator(model, data.coef, kind="other")
    with pytest.raises(ValueError, match="needs alphas"):
        SupportRecoveryDisplay(data.coef, coef=model.coef_).plot(kind="path")


def test_arrays_give_what_the_estimator_gives(data):
    model = LassoCV(alphas=12, cv=3).fit(data.X, data.y)
    arrays = SupportRecoveryDisplay(
        data.coef,
        coef=model.coef_,
        alphas=model.alphas_,
        coefs=model.coef_path_,
        selected_alpha=model.alpha_,
        feature_names=[f"x{j}" for j in range(60)],
        estimator_name="LassoCV",
    )
    for kind in ("path", "solution"):
        shown = SupportRecoveryDisplay.from_estimator(model, data.coef, kind=kind)
        drawn = arrays.plot(kind=kind)
        assert drawn.figure_ is drawn.ax_.figure
        assert drawn.ax_.get_title() == shown.ax_.get_title()
        assert_array_equal(drawn.n_true_found_, shown.n_true_found_)
        assert_array_equal(drawn.n_false_found_, shown.n_false_found_)
        for a, b in zip(drawn.ax_.lines, shown.ax_.lines, strict=True):
            assert_array_equal(a.get_xydata(), b.get_xydata())
    for name, marks in drawn.points_.items():
        assert_array_equal(marks.get_offsets(), shown.points_[name].get_offsets())


def test_names_of_arrays_become_labels(data):
    display = RegularizationPathDisplay(
        alphas=[1.0, 0.1],
        coefs=[[0.0, 1.0], [0.0, -2.0]],
        mse_path=np.ones((2, 3)),
        coef_name="log odds",
        loss_name="deviance",
    ).plot()
    assert display.ax_.get_ylabel() == "log odds"
    assert display.cv_ax_.get_ylabel() == "deviance"
    assert len(display.lines_) == 2
