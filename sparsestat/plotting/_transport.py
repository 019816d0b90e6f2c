"""Transport plans: as a matrix, or as lines between points of the plane."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat.plotting._style import COLORS, MUTED, fitted_with, new_axes, tidy

__all__ = ["TransportPlanDisplay"]


class TransportPlanDisplay:
    """Transport plan: which mass goes where.

    It is recommended to use :meth:`from_estimator` or :meth:`from_result` to create a
    display. With points of the plane on both sides the largest entries are drawn as
    lines; without, the plan is drawn as a matrix.

    Parameters
    ----------
    coupling : {ndarray, sparse array} of shape (n_samples, n_targets)
        The plan.
    source : ndarray of shape (n_samples, 2), default=None
        Points of the rows.
    target : ndarray of shape (n_targets, 2), default=None
        Points of the columns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the plan.
    figure_ : matplotlib Figure
        Figure that holds them.
    image_ : matplotlib AxesImage or None
        The matrix, if that was drawn.
    lines_ : matplotlib LineCollection or None
        The lines, if those were drawn.

    See Also
    --------
    CertificateDisplay : What was proved about the plan.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.plotting import TransportPlanDisplay
    >>> TransportPlanDisplay(np.eye(3) / 3).plot()
    <...TransportPlanDisplay object at ...>
    """

    def __init__(self, coupling, source=None, target=None):
        self.coupling = coupling
        self.source = source
        self.target = target

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Create and draw the display of a fitted transport estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``coupling_``. Pipelines and searches are opened.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : TransportPlanDisplay
            The display, drawn.
        """
        fitted = fitted_with(
            estimator, ["coupling_"], "Pass a fitted OptimalTransport."
        )
        source, target = fitted.source_, fitted.target_
        if source.shape[1] != 2:
            source = target = None
        return cls(fitted.coupling_, source, target).plot(ax=ax, **kwargs)

    @classmethod
    def from_result(cls, result, *, source=None, target=None, ax=None, **kwargs):
        """Create and draw the display of what a transport function returned.

        Parameters
        ----------
        result : OTResult
            With a plan.
        source : array-like of shape (n, 2), default=None
            Points of the rows.
        target : array-like of shape (m, 2), default=None
            Points of the columns.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : TransportPlanDisplay
            The display, drawn.
        """
        if result.plan is None:
            raise ValueError(
                "The result has no plan. Solve with return_plan='dense' or 'sparse'."
            )
        return cls(result.plan, source, target).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, max_lines=500):
        """Draw the plan.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        max_lines : int, default=500
            Largest number of entries drawn as lines, the largest first.

        Returns
        -------
        display : TransportPlanDisplay
            The display itself.
        """
        self.image_ = self.lines_ = None
        matrix = self.source is None or self.target is None
        height = 4.8 if matrix else _height(self.source, self.target, width=5.6)
        figure, axes = new_axes(
            ax, f"{type(self).__name__}.plot", figsize=(5.6, height)
        )
        self.figure_, self.ax_ = figure, axes[0]
        if matrix:
            self._draw_matrix()
        else:
            self._draw_lines(max_lines)
        return self

    def _draw_matrix(self):
        P = self.coupling
        P = P.toarray() if sparse.issparse(P) else np.asarray(P)
        self.image_ = self.ax_.imshow(
            P, cmap="Blues", aspect="auto", interpolation="nearest", vmin=0
        )
        self.figure_.colorbar(self.image_, ax=self.ax_, label="mass")
        self.ax_.set_xlabel("target")
        self.ax_.set_ylabel("source")

    def _draw_lines(self, max_lines):
        from matplotlib.collections import LineCollection

        source, target = np.asarray(self.source), np.asarray(self.target)
        P = sparse.coo_array(self.coupling)
        for name, points, size in (
            ("source", source, P.shape[0]),
            ("target", target, P.shape[1]),
        ):
            if points.shape != (size, 2):
                raise ValueError(
                    f"{name} must have shape ({size}, 2) to match the plan, got "
                    f"{points.shape}."
                )
        largest = np.argsort(-P.data, kind="stable")[:max_lines]
        largest = largest[P.data[largest] > 0]
        ends = np.stack([source[P.row[largest]], target[P.col[largest]]], axis=1)
        top = P.data.max(initial=0.0) or 1.0
        self.lines_ = LineCollection(
            ends,
            colors=MUTED,
            linewidths=0.7,
            alpha=np.clip(P.data[largest] / top, 0.15, 1.0),
            zorder=1,
        )
        self.ax_.add_collection(self.lines_)
        for points, color, marker, label in (
            (source, COLORS[0], "o", "source"),
            (target, COLORS[1], "^", "target"),
        ):
            self.ax_.scatter(
                *points.T, s=16, color=color, marker=marker, label=label, linewidths=0
            )
        tidy(self.ax_, grid=None)
        # Lengths are costs: a unit is as long in both directions.
        self.ax_.set_aspect("equal", adjustable="datalim")
        self.ax_.set_xlabel("feature 0")
        self.ax_.set_ylabel("feature 1")
        self.ax_.legend(frameon=False, fontsize="small")


def _height(*clouds, width):
    """Return the height of a figure in which a unit is as long in both directions."""
    low = np.min([np.min(points, axis=0) for points in clouds], axis=0)
    high = np.max([np.max(points, axis=0) for points in clouds], axis=0)
    wide, tall = np.maximum(high - low, 1e-300)
    return float(np.clip(width * tall / wide + 0.6, 2.6, 5.6))
