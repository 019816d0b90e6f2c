"""Displays of what can be trusted: stability paths, knockoffs, intervals."""

import matplotlib as mpl
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.testing import assert_array_equal

from sparsestat.inference import StabilitySelection
from sparsestat.linear_model import Lasso
from sparsestat.plotting import (
    IntervalDisplay,
    KnockoffDisplay,
    StabilityPathDisplay,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_stability_paths_name_what_is_selected():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 8))
    y = X[:, 0] - X[:, 1] + 0.1 * rng.standard_normal(60)
    selector = StabilitySelection(n_pairs=4, q=3, random_state=0).fit(X, y)
    display = StabilityPathDisplay.from_estimator(
        selector, feature_names=list("abcdefgh")
    )
    texts = {text.get_text() for text in display.label_texts_}
    assert {"a", "b"} <= texts
    assert display.threshold_line_.get_ydata()[0] == selector.threshold_
    curves = [line.get_ydata() for line in display.lines_]
    assert any(np.array_equal(c, selector.stability_path_[0]) for c in curves)
    with pytest.raises(ValueError, match="has no stability_path_"):
        StabilityPathDisplay.from_estimator(Lasso(alpha=0.1).fit(X, y))


def test_a_path_of_one_size_is_drawn_as_points():
    display = StabilityPathDisplay(
        probabilities=np.array([[0.9], [0.2]]), threshold=0.75
    ).plot()
    assert display.lines_[0].get_marker() == "o"


def test_knockoff_bars_are_sorted_by_size_and_colored_by_the_threshold():
    W = np.array([0.5, -3.0, 4.0, 0.0, 2.5])
    display = KnockoffDisplay(W=W, threshold=2.5, fdr=0.2).plot()
    assert_array_equal([b.get_height() for b in display.bars_], [4.0, -3.0, 2.5, 0.5])
    colors = [b.get_facecolor() for b in display.bars_]
    assert colors[0] == colors[2] and len(set(colors)) == 3
    assert "2 selected, 1 as far below" in display.ax_.get_title()
    nothing = KnockoffDisplay(W=W, threshold=np.inf).plot()
    assert nothing.threshold_lines_ == []


def test_intervals_without_an_end_reach_the_border():
    display = IntervalDisplay(
        estimates=np.array([1.0, 2.0]),
        intervals=np.array([[0.5, 1.5], [-np.inf, 2.5]]),
        names=["narrow", "wide"],
    ).plot()
    labels = [t.get_text() for t in display.ax_.get_yticklabels()]
    assert labels == ["narrow", "wide"]
    assert_array_equal(display.lines_[0].get_xdata(), [0.5, 1.5])
    assert display.lines_[1].get_xdata()[0] == display.ax_.get_xlim()[0]
