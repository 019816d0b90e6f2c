"""SpectralDensityDisplay shows the density of the fitted kernel."""

import numpy as np
import pytest

from sparsestat.gaussian_process import GridSpectralMixtureRegressor
from sparsestat.linear_model import Lasso
from sparsestat.plotting import SpectralDensityDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


def fitted(n_features=1):
    x = np.arange(40.0)
    X = np.column_stack([x, x % 7])[:, :n_features]
    return GridSpectralMixtureRegressor(20, random_state=0).fit(X, np.sin(x))


@pytest.mark.parametrize("n_features", [1, 2])
def test_display_draws_the_density_and_the_active_components(n_features):
    model = fitted(n_features)
    display = SpectralDensityDisplay.from_estimator(
        model, feature=n_features - 1, unit="cycles a day"
    )
    at = np.zeros((len(display.frequencies), n_features))
    at[:, -1] = display.frequencies
    np.testing.assert_array_equal(display.line_.get_ydata(), model.spectral_density(at))
    assert len(display.components_.get_offsets()) == len(model.active_)
    assert "cycles a day" in display.ax_.get_xlabel()
    assert display.ax_.get_yscale() == "log"
    matplotlib.pyplot.close(display.figure_)


def test_display_of_arrays_and_bad_input():
    _, ax = matplotlib.pyplot.subplots()
    display = SpectralDensityDisplay([0.1, 0.2], [1.0, 2.0]).plot(ax, log=False)
    assert display.ax_ is ax and display.components_ is None
    with pytest.raises(ValueError, match="equal length"):
        SpectralDensityDisplay([0.1, 0.2], [1.0]).plot()
    with pytest.raises(ValueError, match="spectral_density"):
        SpectralDensityDisplay.from_estimator(Lasso().fit(np.eye(3), np.ones(3)))
    with pytest.raises(ValueError, match="feature=3"):
        SpectralDensityDisplay.from_estimator(fitted(), feature=3)
    matplotlib.pyplot.close("all")


def test_arrays_give_what_the_estimator_gives():
    model = fitted()
    shown = SpectralDensityDisplay.from_estimator(model)
    drawn = SpectralDensityDisplay(
        shown.frequencies,
        model.spectral_density(shown.frequencies[:, None]),
        component_frequencies=model.frequencies_[model.active_, 0],
        component_weights=model.weights_[model.active_],
        grid=model.frequencies_[:, 0],
    ).plot()
    np.testing.assert_allclose(drawn.line_.get_xydata(), shown.line_.get_xydata())
    np.testing.assert_allclose(
        drawn.components_.get_offsets(), shown.components_.get_offsets()
    )
    assert drawn.ax_.get_xlim() == pytest.approx(shown.ax_.get_xlim())
    matplotlib.pyplot.close("all")
