"""What can be trusted: stability paths, knockoff statistics, intervals."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.plotting._style import (
    COLORS,
    DASHES,
    INK,
    MUTED,
    fitted_with,
    label_right,
    new_axes,
    tidy,
)

__all__ = ["IntervalDisplay", "KnockoffDisplay", "StabilityPathDisplay"]

_LONGEST = 40  # rows of a plot with one row for each feature


def _names(names, features):
    """Return the names of some features."""
    if names is None:
        return [f"x{j}" for j in features]
    return [str(names[j]) for j in features]


def _names_of(estimator, feature_names):
    if feature_names is not None:
        return feature_names
    return getattr(estimator, "feature_names_in_", None)


class StabilityPathDisplay:
    """Stability paths: selection probabilities against the size of the models.

    It is recommended to use :meth:`from_estimator` to create a display. Each curve is
    the share of the halves that has selected a feature among its first 1, 2, ...
    features; what is above the threshold at the right end is selected, colored and
    named.

    Parameters
    ----------
    probabilities : ndarray of shape (n_features, n_sizes)
        Selection probabilities at the sizes 1, 2, ..., n_sizes.
    threshold : float
        What a feature has to reach.
    pfer_bound : float, default=None
        Bound on the expected number of false selections, for the title.
    feature_names : array-like of str of shape (n_features,), default=None
        Names beside the curves; ``x0``, ``x1``, ... when left out.
    estimator_name : str, default=None
        Begins the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the curves.
    figure_ : matplotlib Figure
        Figure that holds them.
    lines_ : list of matplotlib Line2D
        One curve for each feature that was ever selected.
    threshold_line_ : matplotlib Line2D
        The threshold.
    label_texts_ : list of matplotlib Text
        Names beside the curves.

    See Also
    --------
    KnockoffDisplay : Statistics of knockoffs with their threshold.
    RegularizationPathDisplay : Coefficients against the penalty strength.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.plotting import StabilityPathDisplay
    >>> shares = np.array([[0.8, 0.9, 1.0], [0.1, 0.3, 0.4]])
    >>> StabilityPathDisplay(probabilities=shares, threshold=0.75).plot()
    <...StabilityPathDisplay object at ...>
    """

    def __init__(
        self,
        *,
        probabilities,
        threshold,
        pfer_bound=None,
        feature_names=None,
        estimator_name=None,
    ):
        self.probabilities = probabilities
        self.threshold = threshold
        self.pfer_bound = pfer_bound
        self.feature_names = feature_names
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls, estimator, *, feature_names=None, ax=None, name=None, **kwargs
    ):
        """Create and draw the display of a fitted ``StabilitySelection``.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``stability_path_`` and ``threshold_``. Pipelines and
            searches are opened.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features; ``feature_names_in_`` when left out.
        ax : matplotlib Axes, default=None
            Where to draw.
        name : str, default=None
            Title; the class name when left out.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : StabilityPathDisplay
            The display, drawn.
        """
        estimator = fitted_with(
            estimator, ["stability_path_", "threshold_"], "Pass a StabilitySelection."
        )
        return cls(
            probabilities=estimator.stability_path_,
            threshold=estimator.threshold_,
            pfer_bound=getattr(estimator, "pfer_bound_", None),
            feature_names=_names_of(estimator, feature_names),
            estimator_name=type(estimator).__name__ if name is None else name,
        ).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, n_labels=8, line_kwargs=None):
        """Draw the paths.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        n_labels : int, default=8
            Largest number of selected features to name.
        line_kwargs : dict, default=None
            Passed to every curve, overriding its style.

        Returns
        -------
        display : StabilityPathDisplay
            The display itself.
        """
        figure, axes = new_axes(ax, f"{type(self).__name__}.plot", figsize=(6.6, 4.2))
        self.figure_, self.ax_ = figure, axes[0]
        shares = np.asarray(self.probabilities, dtype=float)
        sizes = np.arange(1, shares.shape[1] + 1)
        last = shares[:, -1]
        order = np.argsort(-last, kind="stable")
        selected = [j for j in order if last[j] >= self.threshold - 1e-12]
        self.lines_ = []
        for j in order[::-1]:
            if not shares[j].any():
                continue
            place = selected.index(j) if j in selected else None
            style = {"color": MUTED, "linewidth": 0.8, "zorder": 1}
            if place is not None:
                style = {
                    "color": COLORS[place % len(COLORS)],
                    "linestyle": DASHES[(place // len(COLORS)) % len(DASHES)],
                    "linewidth": 1.7,
                    "zorder": 3,
                }
            style |= line_kwargs or {}
            # A single size has no line: mark it.
            marker = "o" if len(sizes) == 1 else None
            self.lines_ += self.ax_.plot(sizes, shares[j], marker=marker, **style)
        self.threshold_line_ = self.ax_.axhline(
            self.threshold, color=INK, linewidth=1, linestyle=(0, (4, 3))
        )
        self.ax_.set_ylim(-0.02, 1.02)
        span = max(sizes[-1] - sizes[0], 1)
        self.ax_.set_xlim(sizes[0] - 0.02 * span, sizes[-1])
        tidy(self.ax_)
        shown = selected[:n_labels]
        self.label_texts_ = label_right(
            self.ax_,
            last[shown],
            _names(self.feature_names, shown),
            [COLORS[k % len(COLORS)] for k in range(len(shown))],
        )
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        self.ax_.set_xlabel("features that a half may select")
        self.ax_.set_ylabel("share of the halves that select")
        title = self.estimator_name or ""
        if self.pfer_bound is not None:
            bound = f"at most {self.pfer_bound:.2g} false ones expected"
            title = f"{title}: {len(selected)} selected, {bound}".lstrip(": ")
        if title:
            self.ax_.set_title(title, fontsize="medium")
        return self


class KnockoffDisplay:
    """Statistics W of a knockoff selection, sorted by size, with the threshold.

    It is recommended to use :meth:`from_estimator` to create a display. A large
    positive W means that a feature beat its knockoff; features without an effect are
    as often negative as positive, so that the negative ones beyond the threshold count
    the false ones among the selected.

    Parameters
    ----------
    W : ndarray of shape (n_features,)
        Statistics.
    threshold : float
        What W has to reach; infinite where nothing is selected.
    fdr : float, default=None
        Bound of the false discovery rate, for the title.
    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features; ``x0``, ``x1``, ... when left out.
    estimator_name : str, default=None
        Begins the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the bars.
    figure_ : matplotlib Figure
        Figure that holds them.
    bars_ : matplotlib BarContainer
        One bar for each of the largest statistics.
    threshold_lines_ : list of matplotlib Line2D
        The threshold, and its mirror image.

    See Also
    --------
    StabilityPathDisplay : Selection probabilities on halves of the data.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.plotting import KnockoffDisplay
    >>> KnockoffDisplay(W=np.array([3.0, -0.4, 2.0, 0.1]), threshold=2.0).plot()
    <...KnockoffDisplay object at ...>
    """

    def __init__(
        self, *, W, threshold, fdr=None, feature_names=None, estimator_name=None
    ):
        self.W = W
        self.threshold = threshold
        self.fdr = fdr
        self.feature_names = feature_names
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls, estimator, *, draw=0, feature_names=None, ax=None, name=None, **kwargs
    ):
        """Create and draw the display of a fitted ``KnockoffSelector``.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``W_`` and ``threshold_``. Pipelines and searches are opened.
        draw : int, default=0
            Which draw of knockoffs to show, if there are several.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features; ``feature_names_in_`` when left out.
        ax : matplotlib Axes, default=None
            Where to draw.
        name : str, default=None
            Title; the class name when left out.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : KnockoffDisplay
            The display, drawn.
        """
        estimator = fitted_with(
            estimator, ["W_", "threshold_"], "Pass a KnockoffSelector."
        )
        return cls(
            W=np.atleast_2d(estimator.W_)[draw],
            threshold=float(np.atleast_1d(estimator.threshold_)[draw]),
            fdr=getattr(estimator, "fdr", None),
            feature_names=_names_of(estimator, feature_names),
            estimator_name=type(estimator).__name__ if name is None else name,
        ).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, max_features=_LONGEST, bar_kwargs=None):
        """Draw the statistics.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        max_features : int, default=40
            How many of the largest absolute values to show.
        bar_kwargs : dict, default=None
            Passed to the bars, overriding their style.

        Returns
        -------
        display : KnockoffDisplay
            The display itself.
        """
        figure, axes = new_axes(ax, f"{type(self).__name__}.plot", figsize=(7.2, 4.2))
        self.figure_, self.ax_ = figure, axes[0]
        W = np.asarray(self.W, dtype=float)
        order = np.argsort(-np.abs(W), kind="stable")[:max_features]
        order = order[W[order] != 0.0]
        values = W[order]
        selected = values >= self.threshold
        beyond = values <= -self.threshold
        colors = np.where(selected, COLORS[0], np.where(beyond, COLORS[1], MUTED))
        style = {"color": list(colors), "width": 0.75} | (bar_kwargs or {})
        self.bars_ = self.ax_.bar(np.arange(len(order)), values, **style)
        self.threshold_lines_ = []
        if np.isfinite(self.threshold):
            self.threshold_lines_ = [
                self.ax_.axhline(t, color=INK, linewidth=1, linestyle=(0, (4, 3)))
                for t in (self.threshold, -self.threshold)
            ]
        self.ax_.axhline(0.0, color=INK, linewidth=0.8)
        self.ax_.set_xticks(
            np.arange(len(order)),
            _names(self.feature_names, order),
            rotation=90,
            fontsize="x-small",
        )
        self.ax_.set_xlim(-0.8, max(len(order), 1) - 0.2)
        tidy(self.ax_)
        self.ax_.set_ylabel("W: feature against its knockoff")
        n_selected = int((W >= self.threshold).sum())
        n_beyond = int((W <= -self.threshold).sum())
        title = f"{n_selected} selected, {n_beyond} as far below"
        if self.fdr is not None:
            title += f" (false discovery rate {self.fdr:g})"
        if self.estimator_name:
            title = f"{self.estimator_name}: {title}"
        self.ax_.set_title(title, fontsize="medium")
        return self


class IntervalDisplay:
    """Forest plot: estimates with their confidence intervals, one row a feature.

    It is recommended to use :meth:`from_estimator` to create a display. Intervals that
    leave out zero are colored. An interval without an end on one side is drawn to the
    border with an arrow.

    Parameters
    ----------
    estimates : ndarray of shape (n_rows,)
        Point estimates.
    intervals : ndarray of shape (n_rows, 2)
        Lower and upper ends, perhaps infinite.
    names : list of str of length n_rows, default=None
        Names of the rows.
    confidence : float, default=None
        For the label of the axis.
    other_estimates : ndarray of shape (n_rows,), default=None
        Drawn as crosses, such as the coefficients of the Lasso.
    estimator_name : str, default=None
        Title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the intervals.
    figure_ : matplotlib Figure
        Figure that holds them.
    lines_ : list of matplotlib Line2D
        The intervals, from top to bottom.
    points_ : matplotlib PathCollection
        The estimates.

    See Also
    --------
    KnockoffDisplay : Statistics of knockoffs with their threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.plotting import IntervalDisplay
    >>> IntervalDisplay(
    ...     estimates=np.array([1.0, 0.1]),
    ...     intervals=np.array([[0.5, 1.5], [-0.4, 0.6]]),
    ... ).plot()
    <...IntervalDisplay object at ...>
    """

    def __init__(
        self,
        *,
        estimates,
        intervals,
        names=None,
        confidence=None,
        other_estimates=None,
        estimator_name=None,
    ):
        self.estimates = estimates
        self.intervals = intervals
        self.names = names
        self.confidence = confidence
        self.other_estimates = other_estimates
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls, estimator, *, feature_names=None, ax=None, name=None, **kwargs
    ):
        """Create and draw the display of a fitted estimator with intervals.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``conf_int_``, ``estimates_`` and ``features_``. Pipelines and
            searches are opened.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features; ``feature_names_in_`` when left out.
        ax : matplotlib Axes, default=None
            Where to draw.
        name : str, default=None
            Title; the class name when left out.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : IntervalDisplay
            The display, drawn.
        """
        estimator = fitted_with(
            estimator,
            ["conf_int_", "estimates_", "features_"],
            "Pass a DebiasedLasso or a LassoSelectiveInference.",
        )
        features = np.asarray(estimator.features_)
        lasso = getattr(estimator, "lasso_coef_", None)
        return cls(
            estimates=estimator.estimates_,
            intervals=estimator.conf_int_,
            names=_names(_names_of(estimator, feature_names), features),
            confidence=getattr(estimator, "confidence", None),
            other_estimates=None if lasso is None else np.asarray(lasso)[features],
            estimator_name=type(estimator).__name__ if name is None else name,
        ).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, max_features=_LONGEST, line_kwargs=None):
        """Draw the intervals.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        max_features : int, default=40
            How many rows to show: those whose intervals are furthest from zero beside
            their lengths.
        line_kwargs : dict, default=None
            Passed to the intervals, overriding their style.

        Returns
        -------
        display : IntervalDisplay
            The display itself.
        """
        estimates = np.asarray(self.estimates, dtype=float)
        intervals = np.asarray(self.intervals, dtype=float).reshape(-1, 2)
        order = _strongest(estimates, intervals, max_features)
        estimates, intervals = estimates[order], intervals[order]
        n = len(order)
        figure, axes = new_axes(
            ax, f"{type(self).__name__}.plot", figsize=(6.4, 1.2 + 0.24 * max(n, 3))
        )
        self.figure_, self.ax_ = figure, axes[0]
        finite = intervals[np.isfinite(intervals)]
        ends = np.concatenate([finite, estimates, [0.0]])
        low, high = ends.min(), ends.max()
        pad = 0.06 * (high - low) or 1.0
        low, high = low - pad, high + pad
        self.lines_ = []
        rows = np.arange(n)[::-1]
        away = (intervals[:, 0] > 0) | (intervals[:, 1] < 0)
        for row, (a, b), far in zip(rows, intervals, away, strict=True):
            style = {"color": COLORS[0] if far else "#8A9099", "linewidth": 1.8}
            style |= line_kwargs or {}
            self.lines_ += self.ax_.plot(
                [max(a, low), min(b, high)], [row, row], **style
            )
            for end, border, marker in ((a, low, "<"), (b, high, ">")):
                if not np.isfinite(end):
                    self.ax_.plot(
                        border, row, marker, color=style["color"], clip_on=False
                    )
        self.points_ = self.ax_.scatter(
            estimates,
            rows,
            s=22,
            zorder=3,
            color=[COLORS[0] if far else "#8A9099" for far in away],
            label="estimate",
        )
        if self.other_estimates is not None:
            other = np.asarray(self.other_estimates, dtype=float)[order]
            self.ax_.scatter(
                other, rows, s=22, marker="x", zorder=4, color=COLORS[1], label="Lasso"
            )
            self.ax_.legend(fontsize="small", frameon=False, loc="best")
        self.ax_.axvline(0.0, color=INK, linewidth=0.8)
        names = self.names if self.names is not None else [f"x{j}" for j in order]
        if self.names is not None:
            names = [names[j] for j in order]
        self.ax_.set_yticks(rows, names, fontsize="small")
        self.ax_.set_ylim(-0.6, n - 0.4 if n else 0.6)
        self.ax_.set_xlim(low, high)
        tidy(self.ax_, grid="x")
        label = "coefficient"
        if self.confidence is not None:
            label += f", with intervals of confidence {self.confidence:g}"
        self.ax_.set_xlabel(label)
        if self.estimator_name:
            self.ax_.set_title(self.estimator_name, fontsize="medium")
        return self


def _strongest(estimates, intervals, count):
    """Return the rows furthest from zero beside their lengths, in that order."""
    widths = np.subtract(intervals[:, 1], intervals[:, 0])
    widths = np.where(np.isfinite(widths) & (widths > 0), widths, np.inf)
    ratio = np.abs(estimates) / widths
    return np.lexsort((-np.abs(estimates), -ratio))[:count]
