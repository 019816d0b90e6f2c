"""Clusters: their sizes, or their points in two dimensions."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.plotting._style import (
    COLORS,
    INK,
    MARKERS,
    MUTED,
    fitted_with,
    new_axes,
    tidy,
)

__all__ = ["ClusterDisplay"]


class ClusterDisplay:
    """Clusters: how large they are, and which points are their core.

    It is recommended to use :meth:`from_estimator` to create a display. Without
    points, sizes are drawn as bars, the core of each in full color, with the bounds
    that sizes had to keep. With points, these are drawn in the plane, the first two
    principal components if there are more dimensions.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Cluster of each sample, from 0.
    core_mask : ndarray of shape (n_samples,), default=None
        True for core points. None means all.
    size_bounds : ndarray of shape (n_clusters, 2), default=None
        Smallest and largest sizes allowed.
    points : ndarray of shape (n_samples, n_features), default=None
        The samples.
    centers : ndarray of shape (n_clusters, n_features), default=None
        Centers, marked among the points.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the clusters.
    figure_ : matplotlib Figure
        Figure that holds them.
    bars_ : list of matplotlib BarContainer
        All samples, and the core if there is one; empty if points are drawn.
    points_ : list of matplotlib PathCollection
        Points of each cluster; empty if bars are drawn.

    See Also
    --------
    CertificateDisplay : What was proved about several estimators.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.plotting import ClusterDisplay
    >>> ClusterDisplay(np.array([0, 0, 1, 1, 1, 2])).plot()
    <...ClusterDisplay object at ...>
    """

    def __init__(
        self, labels, core_mask=None, size_bounds=None, points=None, centers=None
    ):
        self.labels = labels
        self.core_mask = core_mask
        self.size_bounds = size_bounds
        self.points = points
        self.centers = centers

    @classmethod
    def from_estimator(cls, estimator, X=None, *, ax=None, **kwargs):
        """Create and draw the display of a fitted clusterer.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``labels_``. Pipelines and searches are opened.
        X : array-like of shape (n_samples, n_features), default=None
            The samples it was fitted to, as its last step saw them. None draws sizes.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : ClusterDisplay
            The display, drawn.
        """
        fitted = fitted_with(estimator, ["labels_"], "Pass a fitted clusterer.")
        return cls(
            fitted.labels_,
            getattr(fitted, "core_mask_", None),
            getattr(fitted, "size_bounds_", None),
            None if X is None else np.asarray(X, dtype=float),
            getattr(fitted, "cluster_centers_", None),
        ).plot(ax=ax, **kwargs)

    def plot(self, ax=None):
        """Draw the clusters.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ClusterDisplay
            The display itself.
        """
        labels = np.asarray(self.labels)
        core = np.ones(len(labels), dtype=bool)
        if self.core_mask is not None:
            core = np.asarray(self.core_mask, dtype=bool)
        if core.shape != labels.shape:
            raise ValueError(
                f"core_mask must have shape {labels.shape} as labels, got {core.shape}."
            )
        figure, axes = new_axes(ax, f"{type(self).__name__}.plot", figsize=(5.6, 4.2))
        self.figure_, self.ax_ = figure, axes[0]
        self.bars_, self.points_ = [], []
        if self.points is None:
            self._draw_sizes(labels, core)
        else:
            self._draw_points(labels, core)
        return self

    def _draw_sizes(self, labels, core):
        k = int(labels.max()) + 1
        sizes = np.bincount(labels, minlength=k)
        places = np.arange(k)
        some = not core.all()
        light = MUTED if some else COLORS[0]
        name = "samples" if not some else "other samples"
        self.bars_.append(self.ax_.bar(places, sizes, color=light, label=name))
        if some:
            inner = np.bincount(labels[core], minlength=k)
            self.bars_.append(
                self.ax_.bar(places, inner, color=COLORS[0], label="core points")
            )
        if self.size_bounds is not None:
            low, high = np.asarray(self.size_bounds).T
            for bound, label in ((low, "bounds"), (high, None)):
                self.ax_.hlines(
                    bound, places - 0.45, places + 0.45, color=INK, lw=1.2, label=label
                )
        tidy(self.ax_)
        self.ax_.set_xlabel("cluster")
        self.ax_.set_ylabel("samples")
        if k <= 20:
            self.ax_.set_xticks(places)
        if some or self.size_bounds is not None:
            top = self.ax_.get_ylim()[1]
            self.ax_.set_ylim(0, 1.18 * top)
            self.ax_.legend(frameon=False, fontsize="small", ncols=3, loc="upper left")

    def _draw_points(self, labels, core):
        X = np.asarray(self.points, dtype=float)
        if X.ndim != 2 or len(X) != len(labels):
            raise ValueError(
                f"points must have {len(labels)} rows as labels, got shape {X.shape}."
            )
        mean = X.mean(axis=0)
        names = ("feature 0", "feature 1")
        axes = np.eye(X.shape[1])[:2]
        if X.shape[1] == 1:
            X = np.column_stack([X[:, 0], np.zeros(len(X))])
            mean, axes, names = np.zeros(2), np.eye(2), ("feature 0", "")
        elif X.shape[1] > 2:
            _, _, directions = np.linalg.svd(X - mean, full_matrices=False)
            axes = directions[:2]
            names = ("first principal component", "second principal component")
        else:
            mean = np.zeros(2)
        flat = (X - mean) @ axes.T
        for j in range(int(labels.max()) + 1):
            color = COLORS[j % len(COLORS)]
            marker = MARKERS[(j + j // len(COLORS)) % len(MARKERS)]
            for part, alpha in ((~core, 0.25), (core, 0.9)):
                chosen = (labels == j) & part
                if chosen.any():
                    drawn = self.ax_.scatter(
                        *flat[chosen].T,
                        s=18,
                        color=color,
                        alpha=alpha,
                        marker=marker,
                        linewidths=0,
                        label=f"{j}" if alpha > 0.5 else None,
                    )
                    self.points_.append(drawn)
        centers = None if self.centers is None else np.asarray(self.centers)
        if centers is not None and centers.shape[1] == len(mean):
            self.ax_.scatter(
                *((centers - mean) @ axes.T).T,
                s=70,
                marker="+",
                color=INK,
                linewidths=1.6,
                zorder=3,
            )
        tidy(self.ax_, grid=None)
        self.ax_.set_xlabel(names[0])
        self.ax_.set_ylabel(names[1])
        if labels.max() < 10:
            self.ax_.legend(
                title="cluster",
                frameon=False,
                fontsize="small",
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
            )
