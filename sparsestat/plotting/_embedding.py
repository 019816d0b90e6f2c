"""Nodes or samples in the plane of the two leading directions of an embedding."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat.plotting._style import (
    COLORS,
    INK,
    MARKERS,
    MUTED,
    fitted_with,
    new_axes,
    tidy,
)

__all__ = ["EmbeddingDisplay"]

_MOST_EDGES = 5000  # beyond this, edges are a gray cloud that hides the nodes


class EmbeddingDisplay:
    """Embedding: its rows in the plane of their two leading principal directions.

    It is recommended to use :meth:`from_estimator` or :meth:`from_embedding` to create
    a display. Classes differ in color and in marker. The share of the variance that
    each axis shows is written beside it: an embedding of many components is never
    seen whole.

    Parameters
    ----------
    points : ndarray of shape (n_nodes, 2)
        Coordinates in the plane.
    explained : tuple of (float, float)
        Share of the variance along each axis.
    labels : ndarray of shape (n_nodes,), default=None
        Classes of the nodes.
    edges : ndarray of shape (n_edges, 2), default=None
        Pairs of nodes to join by lines.
    names : sequence of str of shape (n_nodes,), default=None
        Written beside the nodes; a name that would cover another is hidden.
    estimator_name : str, default=None
        Shown as the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the plot.
    figure_ : matplotlib Figure
        Figure that holds them.
    scatters_ : list of matplotlib PathCollection
        One for each class.
    edges_ : matplotlib LineCollection or None
        Lines between nodes.
    name_texts_ : list of matplotlib Text
        Names beside the nodes, hidden ones included.

    See Also
    --------
    CertificateDisplay : What was proved about fitted estimators.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.plotting import EmbeddingDisplay
    >>> E = np.random.default_rng(0).normal(size=(20, 5))
    >>> display = EmbeddingDisplay.from_embedding(E, labels=np.arange(20) % 2)
    >>> display.plot()
    <...EmbeddingDisplay object at ...>
    """

    def __init__(
        self,
        *,
        points,
        explained,
        labels=None,
        edges=None,
        names=None,
        estimator_name=None,
    ):
        self.points = points
        self.explained = explained
        self.labels = labels
        self.edges = edges
        self.names = names
        self.estimator_name = estimator_name

    def plot(self, ax=None, *, name=None, size=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure when left out.
        name : str, default=None
            Title; that of the display when left out, none when empty.
        size : float, default=None
            Area of a marker in points squared; by the number of nodes if left out.

        Returns
        -------
        display : EmbeddingDisplay
            The display itself.
        """
        figure, axes = new_axes(ax, "EmbeddingDisplay", figsize=(5.6, 4.6))
        ax = axes[0]
        self.edges_ = None
        if self.edges is not None and len(self.edges):
            from matplotlib.collections import LineCollection

            lines = LineCollection(
                self.points[self.edges], colors=MUTED, linewidths=0.5, alpha=0.6
            )
            self.edges_ = ax.add_collection(lines)
        n = len(self.points)
        size = float(np.clip(12000 / max(n, 1), 6, 55)) if size is None else size
        classes = [None] if self.labels is None else list(np.unique(self.labels))
        self.scatters_ = []
        for k, label in enumerate(classes):
            rows = slice(None) if label is None else self.labels == label
            self.scatters_.append(
                ax.scatter(
                    *self.points[rows].T,
                    s=size,
                    color=COLORS[k % len(COLORS)],
                    marker=MARKERS[(k // len(COLORS) + k) % len(MARKERS)],
                    edgecolors="white",
                    linewidths=0.5,
                    zorder=3,
                    label=None if label is None else str(label),
                )
            )
        if 1 < len(classes) <= 2 * len(COLORS):
            ax.legend(frameon=False, labelcolor=INK, fontsize="small")
        self.name_texts_ = []
        if self.names is not None:
            for point, text in zip(self.points, self.names, strict=True):
                self.name_texts_.append(
                    ax.annotate(
                        str(text),
                        point,
                        xytext=(4, 3),
                        textcoords="offset points",
                        fontsize="x-small",
                        color=INK,
                    )
                )
        tidy(ax, grid=None)
        ax.set_xlabel(f"first direction ({100 * self.explained[0]:.0f}% of variance)")
        ax.set_ylabel(f"second direction ({100 * self.explained[1]:.0f}% of variance)")
        title = self.estimator_name if name is None else name
        if title:
            ax.set_title(title)
        if self.name_texts_:
            figure.draw_without_rendering()  # settles where everything is
            _hide_covered(self.name_texts_)
        self.ax_, self.figure_ = ax, figure
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        labels=None,
        graph=None,
        names=None,
        ax=None,
        name=None,
        **plot_options,
    ):
        """Draw the embedding of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            With an attribute ``embedding_``; a pipeline or a search is followed to
            its last step or best estimator.
        labels : array-like of shape (n_nodes,), default=None
            Classes of the nodes.
        graph : sparse matrix or array-like of shape (n_nodes, n_nodes), default=None
            Joins nodes by lines; left out beyond 5000 edges.
        names : sequence of str, default=None
            Written beside the nodes.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure when left out.
        name : str, default=None
            Title; the class of the estimator when left out.
        **plot_options : dict
            Keyword arguments of :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay
            Drawn.

        Raises
        ------
        ValueError
            If the estimator has no embedding, or labels, graph or names do not fit.
        """
        estimator = fitted_with(
            estimator, ["embedding_"], "Use from_embedding with an array."
        )
        return cls.from_embedding(
            estimator.embedding_,
            labels=labels,
            graph=graph,
            names=names,
            ax=ax,
            name=type(estimator).__name__ if name is None else name,
            **plot_options,
        )

    @classmethod
    def from_embedding(
        cls,
        embedding,
        *,
        labels=None,
        graph=None,
        names=None,
        ax=None,
        name=None,
        **plot_options,
    ):
        """Draw an embedding that is given as an array.

        Parameters
        ----------
        embedding : array-like of shape (n_nodes, n_components)
            One row a node.
        labels : array-like of shape (n_nodes,), default=None
            Classes of the nodes.
        graph : sparse matrix or array-like of shape (n_nodes, n_nodes), default=None
            Joins nodes by lines; left out beyond 5000 edges.
        names : sequence of str, default=None
            Written beside the nodes.
        ax : matplotlib Axes, default=None
            Where to draw; a new figure when left out.
        name : str, default=None
            Title.
        **plot_options : dict
            Keyword arguments of :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay
            Drawn.

        Raises
        ------
        ValueError
            If the embedding is not two-dimensional, or labels, graph or names do not
            fit its rows.
        """
        E = np.asarray(embedding, dtype=float)
        if E.ndim != 2 or E.size == 0:
            raise ValueError(
                f"embedding must have one row a node, got an array of shape {E.shape}."
            )
        labels = None if labels is None else np.asarray(labels)
        for what, given in (("labels", labels), ("names", names)):
            if given is not None and len(given) != len(E):
                raise ValueError(
                    f"{what} must have one entry a row of the embedding: "
                    f"{len(given)} against {len(E)}."
                )
        points, explained = _leading_plane(E)
        display = cls(
            points=points,
            explained=explained,
            labels=labels,
            edges=None if graph is None else _edges(graph, len(E)),
            names=names,
            estimator_name=name,
        )
        return display.plot(ax=ax, **plot_options)


def _hide_covered(texts):
    """Hide every text that would lie on one before it."""
    shown = []
    for text in texts:
        box = text.get_window_extent()
        text.set_visible(not box.count_overlaps(shown))
        if text.get_visible():
            shown.append(box)


def _leading_plane(E):
    """Return coordinates along the two leading directions, and their shares."""
    centered = E - E.mean(axis=0)
    values, vectors = np.linalg.eigh(centered.T @ centered)
    order = np.argsort(values)[::-1][:2]
    directions = vectors[:, order]
    # Signs of eigenvectors are arbitrary: make the largest entry positive.
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.sign(directions[largest, np.arange(len(order))])
    points = centered @ directions
    total = max(values.sum(), np.finfo(float).tiny)
    shares = [max(float(values[k] / total), 0.0) for k in order]
    if len(order) < 2:  # a single component
        points = np.column_stack([points, np.zeros(len(points))])
        shares.append(0.0)
    return points, tuple(shares)


def _edges(graph, n):
    """Return pairs of joined nodes, or None where there are too many to see."""
    graph = sparse.coo_array(graph)
    if graph.shape != (n, n):
        raise ValueError(
            f"graph must be the {n} x {n} matrix of the embedded nodes, got shape "
            f"{graph.shape}."
        )
    row, column = graph.coords
    pairs = np.unique(np.sort(np.column_stack([row, column]), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return pairs if len(pairs) <= _MOST_EDGES else None
