"""The spectral density that a Gaussian process has learned."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.plotting._style import COLORS, MUTED, fitted_with, new_axes, tidy

__all__ = ["SpectralDensityDisplay"]

_POINTS = 2000
_DECADES = 8


class SpectralDensityDisplay:
    """Spectral density: where a mixture of frequencies puts the variance.

    It is recommended to use :meth:`from_estimator` to create a display from a
    fitted estimator.

    Parameters
    ----------
    frequencies : array-like of shape (n_frequencies,)
        Where the density was evaluated.
    density : array-like of shape (n_frequencies,)
        The density.
    component_frequencies : array-like of shape (n_active,), default=None
        Frequencies of the active components.
    component_weights : array-like of shape (n_active,), default=None
        Their weights.
    grid : array-like of shape (n_components,), default=None
        Frequencies of all components, those of weight zero included.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the density.
    figure_ : matplotlib Figure
        Figure that holds it.
    line_ : matplotlib Line2D
        The density.
    components_ : matplotlib PathCollection or None
        A dot for each active component, its area in proportion to the weight.

    See Also
    --------
    PredictionDisplay : What follows from it for new points.

    Examples
    --------
    >>> from sparsestat.plotting import SpectralDensityDisplay
    >>> SpectralDensityDisplay([0.1, 0.2, 0.3], [1.0, 5.0, 0.5]).plot()
    <...SpectralDensityDisplay object at ...>
    """

    def __init__(
        self,
        frequencies,
        density,
        *,
        component_frequencies=None,
        component_weights=None,
        grid=None,
    ):
        self.frequencies = frequencies
        self.density = density
        self.component_frequencies = component_frequencies
        self.component_weights = component_weights
        self.grid = grid

    @classmethod
    def from_estimator(
        cls, estimator, *, frequencies=None, feature=0, ax=None, **kwargs
    ):
        """Create and draw the display of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``spectral_density`` and ``frequencies_``. Pipelines and
            searches are opened.
        frequencies : array-like of shape (n_frequencies,), default=None
            Where to evaluate the density. None covers the grid.
        feature : int, default=0
            With several features, the axis along which the density is drawn, all
            other frequencies being zero.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : SpectralDensityDisplay
            The display, drawn.
        """
        fitted = fitted_with(
            estimator,
            ["spectral_density"],
            "Pass an estimator that learns one, such as GridSpectralMixtureRegressor.",
        )
        places = np.asarray(fitted.frequencies_)
        n_features = places.shape[1]
        if not 0 <= feature < n_features:
            raise ValueError(
                f"feature={feature} is not one of the {n_features} features."
            )
        along, active = places[:, feature], np.asarray(fitted.active_)
        if frequencies is None:
            width = np.asarray(fitted.sigmas_)[:, feature].max()
            low = min(along.min(), 0.0) if along.min() < 0 else max(0.0, along.min())
            frequencies = np.linspace(low, along.max() + 2.0 * width, _POINTS)
        frequencies = np.asarray(frequencies, dtype=float)
        at = np.zeros((len(frequencies), n_features))
        at[:, feature] = frequencies
        return cls(
            frequencies,
            fitted.spectral_density(at),
            component_frequencies=along[active],
            component_weights=np.asarray(fitted.weights_)[active],
            grid=along,
        ).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, unit="cycles per unit", log=True):
        """Draw the density, and the components under it.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        unit : str, default="cycles per unit"
            Unit of the frequencies, for the label.
        log : bool, default=True
            Draw the density on a logarithmic scale, eight decades of it.

        Returns
        -------
        display : SpectralDensityDisplay
            The display itself.
        """
        f = np.asarray(self.frequencies, dtype=float)
        density = np.asarray(self.density, dtype=float)
        if f.ndim != 1 or f.shape != density.shape or not len(f):
            raise ValueError(
                "frequencies and density must be one-dimensional and of equal length, "
                f"got shapes {f.shape} and {density.shape}."
            )
        figure, axes = new_axes(ax, f"{type(self).__name__}.plot", figsize=(6.4, 3.6))
        self.figure_, self.ax_ = figure, axes[0]
        top = density.max()
        (self.line_,) = self.ax_.plot(f, density, color=COLORS[0], linewidth=1.2)
        if log and top > 0:
            self.ax_.set_yscale("log")
            self.ax_.set_ylim(top * 10.0**-_DECADES, top * 10.0)
        self._draw_components(top)
        self.ax_.set_xlim(f.min(), f.max())
        self.ax_.set_xlabel(f"frequency ({unit})")
        self.ax_.set_ylabel("spectral density")
        tidy(self.ax_)
        return self

    def _draw_components(self, top):
        """Draw dots at the active components, and ticks at the grid, near the floor."""
        self.components_ = None
        across = self.ax_.get_xaxis_transform()
        if self.grid is not None:
            grid = np.asarray(self.grid, dtype=float)
            at = np.full(len(grid), 0.03)
            self.ax_.plot(grid, at, "|", color=MUTED, markersize=4, transform=across)
        if self.component_frequencies is None or not len(self.component_frequencies):
            return
        places = np.asarray(self.component_frequencies, dtype=float)
        weights = np.ones(len(places))
        if self.component_weights is not None:
            weights = np.asarray(self.component_weights, dtype=float)
        self.components_ = self.ax_.scatter(
            places,
            np.full(len(places), 0.03),
            s=6.0 + 80.0 * weights / weights.max(),
            color=COLORS[1],
            alpha=0.8,
            linewidths=0,
            transform=across,
            clip_on=False,
            zorder=3,
        )
