"""PredictionDisplay: bands of the width the estimator says, around its means."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsestat.gaussian_process import SparseGPRegressor, ToeplitzGPRegressor
from sparsestat.plotting import PredictionDisplay

plt = pytest.importorskip("matplotlib.pyplot")
KERNEL = RBF(3.0) + WhiteKernel(0.05)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def series():
    t = np.arange(40.0)[:, None]
    y = np.sin(t[:, 0] / 4)
    return t, y


def test_bands_are_means_plus_and_minus_standard_deviations(series):
    t, y = series
    model = ToeplitzGPRegressor(KERNEL, optimizer=None).fit(t[:30], y[:30])
    display = PredictionDisplay.from_estimator(
        model, t[:30], y[:30], X_new=t[30:], y_new=y[30:], feature_name="month"
    )
    mean, std = model.predict(display.x[:, None], return_std=True)
    np.testing.assert_array_equal(display.line_.get_ydata(), mean)
    assert len(display.bands_) == 2
    corners = display.bands_[0].get_paths()[0].vertices[:, 1]
    assert corners.max() == pytest.approx((mean + 2 * std).max())
    assert corners.min() == pytest.approx((mean - 2 * std).min())
    assert (display.x[0], display.x[-1]) == (0.0, 39.0)
    assert len(display.data_.get_offsets()) == 30
    assert len(display.new_data_.get_offsets()) == 10
    assert display.ax_.get_xlabel() == "month"
    assert display.ax_.get_title() == "ToeplitzGPRegressor"


def test_it_draws_pipelines_and_scikit_learns_processes(series):
    t, y = series
    X = np.hstack([t, t[::-1]])
    for model in (
        make_pipeline(StandardScaler(), SparseGPRegressor(KERNEL, optimizer=None)),
        GaussianProcessRegressor(KERNEL, optimizer=None),
    ):
        display = PredictionDisplay.from_estimator(
            model.fit(X, y), X, y, feature=1, levels=[1.5], name=""
        )
        assert len(display.bands_) == 1
        assert np.isfinite(display.std).all()
        assert display.ax_.get_title() == ""


def test_it_draws_on_given_axes(series):
    model = ToeplitzGPRegressor(KERNEL, optimizer=None).fit(*series)
    _, ax = plt.subplots()
    display = PredictionDisplay.from_estimator(model, *series, ax=ax)
    assert display.ax_ is ax and display.figure_ is ax.figure


def test_bad_arguments_are_refused(series):
    model = ToeplitzGPRegressor(KERNEL, optimizer=None).fit(*series)
    with pytest.raises(ValueError, match="feature is 1, but X has 1 features"):
        PredictionDisplay.from_estimator(model, *series, feature=1)
    with pytest.raises(ValueError, match="levels must be positive"):
        PredictionDisplay.from_estimator(model, *series, levels=[0.0])


def test_arrays_give_what_the_estimator_gives(series):
    t, y = series
    model = ToeplitzGPRegressor(KERNEL, optimizer=None).fit(t[:30], y[:30])
    shown = PredictionDisplay.from_estimator(
        model, t[:30], y[:30], X_new=t[30:], y_new=y[30:], feature_name="month"
    )
    mean, std = model.predict(shown.x[:, None], return_std=True)
    drawn = PredictionDisplay(
        x=shown.x, mean=mean, std=std, x_data=t[:30, 0], y_data=y[:30],
        x_new=t[30:, 0], y_new=y[30:], feature_name="month", target_name="load",
        estimator_name="ours",
    ).plot()  # fmt: skip
    np.testing.assert_array_equal(drawn.line_.get_xydata(), shown.line_.get_xydata())
    for a, b in ((drawn.data_, shown.data_), (drawn.new_data_, shown.new_data_)):
        np.testing.assert_array_equal(a.get_offsets(), b.get_offsets())
    for a, b in zip(drawn.bands_, shown.bands_, strict=True):
        np.testing.assert_array_equal(
            a.get_paths()[0].vertices, b.get_paths()[0].vertices
        )
    assert drawn.ax_.get_xlabel() == "month" and drawn.ax_.get_ylabel() == "load"
    assert drawn.ax_.get_title() == "ours"
    bare = PredictionDisplay(x=shown.x, mean=mean, std=std).plot()
    assert bare.data_ is None and bare.new_data_ is None
