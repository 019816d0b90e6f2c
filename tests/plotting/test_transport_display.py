"""The display of transport plans."""

import numpy as np
import pytest

from sparsestat.plotting import TransportPlanDisplay
from sparsestat.transport import OptimalTransport, sinkhorn

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def closed_figures():
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    matplotlib.pyplot.close("all")
    matplotlib.use(before)


def test_points_of_the_plane_are_joined_by_lines():
    X = np.random.default_rng(0).random((20, 2))
    model = OptimalTransport(reg=0.01).fit(X, Xt=X + 1)
    display = TransportPlanDisplay.from_estimator(model, max_lines=15)
    assert display.image_ is None
    assert len(display.lines_.get_segments()) == 15
    labels = [t.get_text() for t in display.ax_.get_legend().get_texts()]
    assert labels == ["source", "target"]


def test_other_plans_are_matrices():
    rng = np.random.default_rng(0)
    model = OptimalTransport().fit(rng.random((9, 3)), Xt=rng.random((7, 3)))
    display = TransportPlanDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.image_.get_array(), model.coupling_)
    result = sinkhorn(rng.random((5, 4)), reg=0.1, return_plan="sparse")
    again = TransportPlanDisplay.from_result(result)
    assert again.image_.get_array().shape == (5, 4)


def test_what_cannot_be_drawn_is_refused():
    C = np.ones((3, 3))
    with pytest.raises(ValueError, match="has no plan"):
        TransportPlanDisplay.from_result(sinkhorn(C, reg=1.0, return_plan=False))
    with pytest.raises(ValueError, match=r"source must have shape \(3, 2\)"):
        TransportPlanDisplay(np.eye(3), np.ones((2, 2)), np.ones((3, 2))).plot()


def test_arrays_give_what_the_estimator_gives():
    X = np.random.default_rng(0).random((12, 2))
    model = OptimalTransport(reg=0.01).fit(X, Xt=X + 1)
    shown = TransportPlanDisplay.from_estimator(model)
    drawn = TransportPlanDisplay(
        coupling=model.coupling_, source=model.source_, target=model.target_
    ).plot()
    assert drawn.figure_ is drawn.ax_.figure
    np.testing.assert_array_equal(
        drawn.lines_.get_segments(), shown.lines_.get_segments()
    )
    np.testing.assert_allclose(drawn.lines_.get_alpha(), shown.lines_.get_alpha())
