"""The kernels that the layers of a deep kernel machine have learned."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.plotting._style import INK, fitted_with

__all__ = ["LayerKernelDisplay"]


class LayerKernelDisplay:
    """Gram matrices of inducing points, layer by layer, as correlations.

    It is recommended to use :meth:`from_estimator` to create a display from a
    fitted estimator.

    Parameters
    ----------
    grams : list of array-like of shape (n_points, n_points)
        Gram matrices, the first layer first; with positive diagonals.
    order : array-like of shape (n_points,), default=None
        Order of the points. None takes that of the leading eigenvector of the last
        layer, which puts points next to each other that it takes for alike.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        One for each layer.
    figure_ : matplotlib Figure
        Figure that holds them.
    images_ : list of matplotlib AxesImage
        The correlations.

    See Also
    --------
    PredictionDisplay : What follows from them for new points.

    Examples
    --------
    >>> from sparsestat.plotting import LayerKernelDisplay
    >>> LayerKernelDisplay([[[1.0, 0.2], [0.2, 1.0]], [[1.0, 0.9], [0.9, 1.0]]]).plot()
    <...LayerKernelDisplay object at ...>
    """

    def __init__(self, grams, *, order=None):
        self.grams = grams
        self.order = order

    @classmethod
    def from_estimator(cls, estimator, *, order=None, ax=None):
        """Create and draw the display of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``grams_``. Pipelines and searches are opened.
        order : array-like of shape (n_points,), default=None
            Order of the inducing points.
        ax : array-like of matplotlib Axes, default=None
            Where to draw, one for each layer.

        Returns
        -------
        display : LayerKernelDisplay
            The display, drawn.
        """
        fitted = fitted_with(
            estimator,
            ["grams_"],
            "Pass an estimator that learns layers, such as DeepKernelMachineRegressor.",
        )
        return cls(fitted.grams_, order=order).plot(ax)

    def plot(self, ax=None):
        """Draw the correlations of every layer.

        Parameters
        ----------
        ax : array-like of matplotlib Axes, default=None
            Where to draw, one for each layer; None makes a new figure.

        Returns
        -------
        display : LayerKernelDisplay
            The display itself.
        """
        layers = [_correlations(np.asarray(G, dtype=float)) for G in self.grams]
        if not layers:
            raise ValueError(
                "There are no layers to draw: grams is empty. Fit with n_layers=1 or "
                "more."
            )
        order = self.order
        if order is None:
            order = np.argsort(np.linalg.eigh(layers[-1])[1][:, -1], kind="stable")
        order = np.asarray(order)
        if not np.array_equal(np.sort(order), np.arange(len(layers[-1]))):
            raise ValueError(
                f"order must hold each of the {len(layers[-1])} points once, got "
                f"{order!r}."
            )
        self.figure_, self.axes_ = _row_of_axes(ax, len(layers), type(self).__name__)
        self.images_ = []
        for i, (C, axes) in enumerate(zip(layers, self.axes_, strict=True)):
            image = axes.imshow(
                C[np.ix_(order, order)], vmin=-1.0, vmax=1.0, cmap="RdBu_r"
            )
            axes.set_title(f"layer {i + 1}", color=INK, fontsize="medium")
            axes.set_xlabel("inducing point")
            self.images_.append(image)
        self.axes_[0].set_ylabel("inducing point")
        self.figure_.colorbar(self.images_[-1], ax=self.axes_, label="correlation")
        return self


def _correlations(G):
    if G.ndim != 2 or G.shape[0] != G.shape[1] or not (G.diagonal() > 0).all():
        raise ValueError(
            f"grams must be square with positive diagonals, got one of shape {G.shape}."
        )
    size = np.sqrt(G.diagonal())
    return G / np.outer(size, size)


def _row_of_axes(ax, count, name):
    """Return the figure and axes side by side: those given, or new ones."""
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                f"{name}.plot needs matplotlib. Install it with: "
                "pip install 'sparsestat[plot]'."
            ) from error
        figure, axes = plt.subplots(
            1,
            count,
            figsize=(1.2 + 3.1 * count, 3.4),
            layout="constrained",
            squeeze=False,
        )
        return figure, list(axes[0])
    axes = list(np.ravel(np.asarray(ax, dtype=object)))
    if len(axes) != count:
        raise ValueError(f"{count} layers need as many axes, got {len(axes)}.")
    return axes[0].figure, axes
