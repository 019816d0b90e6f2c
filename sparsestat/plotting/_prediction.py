"""Predictions along one feature, with bands of their uncertainty."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from sparsestat.plotting._style import (
    COLORS,
    INK,
    final_estimator,
    new_axes,
    tidy,
)

__all__ = ["PredictionDisplay"]

_POINTS = 500  # places between which the curve is drawn
_MOST_DOTS = 500  # beyond this, dots are drawn small and faint


class PredictionDisplay:
    """Predictive means along one feature, bands of so many standard deviations, data.

    It is recommended to use :meth:`from_estimator` to create a display. The bands are
    those that the estimator returns for ``return_std=True``.

    Parameters
    ----------
    x : ndarray of shape (n_points,)
        Places, ascending.
    mean : ndarray of shape (n_points,)
        Predictions.
    std : ndarray of shape (n_points,)
        Their standard deviations.
    x_data, y_data : ndarray of shape (n_samples,), default=None
        Data to draw as dots.
    x_new, y_new : ndarray, default=None
        Data that were held out, drawn as open dots.
    feature_name, target_name : str, default=None
        Names of the axes.
    estimator_name : str, default=None
        Shown as the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure that holds them.
    line_ : matplotlib Line2D
        The means.
    bands_ : list of matplotlib PolyCollection
        From the widest to the narrowest.
    data_, new_data_ : matplotlib PathCollection or None
        The dots.

    See Also
    --------
    SpectralDensityDisplay : What a Gaussian process learned of frequencies.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.gaussian_process import ToeplitzGPRegressor
    >>> from sparsestat.plotting import PredictionDisplay
    >>> t = np.arange(60.0)[:, None]
    >>> y = np.sin(t[:, 0] / 6) + 0.1 * np.random.default_rng(0).standard_normal(60)
    >>> model = ToeplitzGPRegressor().fit(t, y)
    >>> PredictionDisplay.from_estimator(model, t, y)
    <...PredictionDisplay object at ...>
    """

    def __init__(
        self,
        *,
        x,
        mean,
        std,
        x_data=None,
        y_data=None,
        x_new=None,
        y_new=None,
        feature_name=None,
        target_name=None,
        estimator_name=None,
    ):
        self.x = x
        self.mean = mean
        self.std = std
        self.x_data = x_data
        self.y_data = y_data
        self.x_new = x_new
        self.y_new = y_new
        self.feature_name = feature_name
        self.target_name = target_name
        self.estimator_name = estimator_name

    def plot(self, ax=None, *, name=None, levels=(1.0, 2.0)):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure when left out.
        name : str, default=None
            Title; that of the display when left out, none when empty.
        levels : sequence of float, default=(1.0, 2.0)
            Half-widths of the bands, in standard deviations.

        Returns
        -------
        display : PredictionDisplay
            The display itself.
        """
        levels = sorted((float(level) for level in levels), reverse=True)
        if not levels or levels[-1] <= 0:
            raise ValueError(
                f"levels must be positive numbers of standard deviations, got {levels}."
            )
        figure, axes = new_axes(ax, "PredictionDisplay", figsize=(6.8, 3.8))
        ax = axes[0]
        self.bands_ = [
            ax.fill_between(
                self.x,
                self.mean - level * self.std,
                self.mean + level * self.std,
                color=COLORS[0],
                alpha=0.14 + 0.16 * k / len(levels),  # darker inside
                linewidth=0,
                label=f"± {level:g} standard deviations",
            )
            for k, level in enumerate(levels)
        ]
        (self.line_,) = ax.plot(
            self.x, self.mean, color=COLORS[0], linewidth=1.4, label="mean"
        )
        self.data_ = self.new_data_ = None
        if self.x_data is not None:
            many = len(self.x_data) > _MOST_DOTS
            self.data_ = ax.scatter(
                self.x_data,
                self.y_data,
                s=3 if many else 9,
                color=INK,
                alpha=0.5 if many else 0.7,
                linewidths=0,
                zorder=3,
                label="data",
            )
        if self.x_new is not None:
            many = len(self.x_new) > _MOST_DOTS
            self.new_data_ = ax.scatter(
                self.x_new,
                self.y_new,
                s=3 if many else 11,
                facecolors="none",
                edgecolors=COLORS[1],
                linewidths=0.4 if many else 0.9,
                zorder=3,
                label="held out",
            )
        tidy(ax)
        ax.legend(frameon=False, labelcolor=INK, fontsize="small")
        if self.feature_name:
            ax.set_xlabel(self.feature_name)
        if self.target_name:
            ax.set_ylabel(self.target_name)
        title = self.estimator_name if name is None else name
        if title:
            ax.set_title(title)
        self.ax_, self.figure_ = ax, figure
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        X_new=None,
        y_new=None,
        feature=0,
        feature_name=None,
        target_name=None,
        ax=None,
        name=None,
        levels=(1.0, 2.0),
    ):
        """Predict along one feature, and draw.

        Parameters
        ----------
        estimator : estimator
            Fitted, whose ``predict`` takes ``return_std``; a pipeline that ends in one,
            or a search.
        X : array-like of shape (n_samples, n_features)
            Data. Features other than `feature` are held at their medians for the curve,
            and the dots are not moved.
        y : array-like of shape (n_samples,)
            Targets; NaN are not drawn.
        X_new, y_new : array-like, default=None
            Data that were held out. The curve reaches over them too.
        feature : int, default=0
            Which feature the curve runs along.
        feature_name, target_name : str, default=None
            Names of the axes.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure when left out.
        name : str, default=None
            Title; the class of the estimator when left out, none when empty.
        levels : sequence of float, default=(1.0, 2.0)
            Half-widths of the bands, in standard deviations.

        Returns
        -------
        display : PredictionDisplay
            Drawn.
        """
        estimator = getattr(estimator, "best_estimator_", estimator)
        last = final_estimator(estimator)
        check_is_fitted(last)
        X = check_array(X, dtype=np.float64)
        y = column_or_1d(y, dtype=np.float64)
        seen = X
        if X_new is not None:
            X_new = check_array(X_new, dtype=np.float64)
            y_new = column_or_1d(y_new, dtype=np.float64)
            seen = np.vstack([X, X_new])
        if not 0 <= feature < X.shape[1]:
            raise ValueError(
                f"feature is {feature}, but X has {X.shape[1]} features. Give an index "
                f"between 0 and {X.shape[1] - 1}."
            )
        x = np.linspace(seen[:, feature].min(), seen[:, feature].max(), _POINTS)
        points = np.repeat(np.median(seen, axis=0)[None], _POINTS, axis=0)
        points[:, feature] = x
        mean, std = estimator.predict(points, return_std=True)
        display = cls(
            x=x,
            mean=mean,
            std=std,
            x_data=X[:, feature],
            y_data=y,
            x_new=None if X_new is None else X_new[:, feature],
            y_new=y_new,
            feature_name=feature_name,
            target_name=target_name,
            estimator_name=type(last).__name__,
        )
        return display.plot(ax=ax, name=name, levels=levels)
