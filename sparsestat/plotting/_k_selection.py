"""Numbers of clusters and what speaks for each."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.plotting._style import COLORS, DASHES, INK, MARKERS, new_axes, tidy

__all__ = ["KSelectionDisplay"]


class KSelectionDisplay:
    """Silhouette, stability and proved share of the k-means cost for each K.

    It is recommended to use :meth:`from_result` to create a display. All three are at
    most 1, and 1 is best: points as near to their own cluster as can be, the same
    labels from every half of the rows, a partition proved optimal.

    Parameters
    ----------
    k_range : ndarray of shape (n_tried,)
        Numbers of clusters.
    silhouette : ndarray of shape (n_tried,)
        Mean silhouettes.
    stability : ndarray of shape (n_tried,)
        Mean adjusted Rand indices.
    gap : ndarray of shape (n_tried,)
        Relative optimality gaps, drawn as 1 less the gap.
    n_clusters : int, default=None
        The number that was chosen, marked by a line.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that holds them.
    lines_ : list of matplotlib Line2D
        The three curves.

    See Also
    --------
    ClusterDisplay : The clusters of one K.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.plotting import KSelectionDisplay
    >>> values = np.array([0.5, 0.7, 0.4])
    >>> KSelectionDisplay(np.array([2, 3, 4]), values, values, 1 - values, 3).plot()
    <...KSelectionDisplay object at ...>
    """

    def __init__(self, k_range, silhouette, stability, gap, n_clusters=None):
        self.k_range = k_range
        self.silhouette = silhouette
        self.stability = stability
        self.gap = gap
        self.n_clusters = n_clusters

    @classmethod
    def from_result(cls, result, *, ax=None):
        """Create and draw the display of a selection.

        Parameters
        ----------
        result : KSelectionResult
            What :func:`sparsestat.cluster.select_n_clusters` returned.
        ax : matplotlib Axes, default=None
            Where to draw.

        Returns
        -------
        display : KSelectionDisplay
            The display, drawn.
        """
        return cls(
            result.k_range,
            result.silhouette,
            result.stability,
            result.gap,
            result.n_clusters,
        ).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : KSelectionDisplay
            The display itself.
        """
        k = np.asarray(self.k_range)
        curves = {
            "silhouette": np.asarray(self.silhouette, dtype=float),
            "stability": np.asarray(self.stability, dtype=float),
            "proved share of the cost": 1.0 - np.asarray(self.gap, dtype=float),
        }
        for name, values in curves.items():
            if values.shape != k.shape:
                raise ValueError(
                    f"There are {len(k)} numbers of clusters, but {name} has shape "
                    f"{values.shape}."
                )
        self.figure_, (self.ax_, *_) = new_axes(ax, "KSelectionDisplay")
        self.lines_ = [
            self.ax_.plot(
                k, values, color=COLORS[i], ls=DASHES[i], marker=MARKERS[i], label=name
            )[0]
            for i, (name, values) in enumerate(curves.items())
        ]
        if self.n_clusters is not None:
            self.ax_.axvline(self.n_clusters, color=INK, lw=0.8, zorder=0)
        self.ax_.set_xlabel("number of clusters")
        self.ax_.set_xticks(k)
        self.ax_.legend(frameon=False)
        tidy(self.ax_)
        return self
