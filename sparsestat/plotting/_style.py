"""What all displays share: colors, axes, labels beside the curves."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

__all__ = [
    "COLORS",
    "DASHES",
    "INK",
    "MARKERS",
    "MUTED",
    "final_estimator",
    "fitted_with",
    "label_right",
    "name_estimators",
    "names_of",
    "new_axes",
    "tidy",
]

# After Okabe and Ito: told apart by color-blind readers; the lighter ones are
# darkened so that small labels stay readable on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#B5528C", "#A97B00", "#56B4E9", "#333333")
DASHES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MUTED = "#B9BEC4"
INK = "#2B2F33"


def new_axes(ax, caller, *, figsize=(6.4, 4.2), nrows=1, height_ratios=None):
    """Return the figure and a list of axes: those given, or new ones."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib. Install it with: "
            "pip install 'sparsestat[plot]'."
        ) from error
    if ax is None:
        figure, axes = plt.subplots(
            nrows,
            1,
            figsize=figsize,
            layout="constrained",
            sharex=True,
            squeeze=False,
            height_ratios=height_ratios,
        )
        return figure, list(axes[:, 0])
    axes = list(np.ravel(np.asarray(ax, dtype=object)))
    return axes[0].figure, axes


def tidy(ax, *, grid="y"):
    """Take away what does not carry information; keep a faint grid."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(MUTED)
    ax.tick_params(which="both", color=MUTED, labelcolor=INK)
    if grid:
        ax.grid(axis=grid, color=MUTED, alpha=0.45, linewidth=0.6)
    ax.set_axisbelow(True)


def label_right(ax, values, texts, colors, *, fontsize="small"):
    """Write a label beside the right end of each curve, without overlaps.

    Parameters
    ----------
    ax : Axes
        Its limits must be final.
    values : array-like of float
        Heights of the curves at the right border, in data coordinates.
    texts, colors : list of str
        One for each curve.
    fontsize : str or float, default="small"
        Size of the text.

    Returns
    -------
    artists : list of Text
        One for each curve, in the order given.
    """
    from matplotlib.font_manager import FontProperties

    if not len(texts):
        return []
    points = np.column_stack([np.ones(len(values)), np.asarray(values, dtype=float)])
    true = ax.transAxes.inverted().transform(ax.transData.transform(points))[:, 1]
    true = np.clip(true, 0.0, 1.0)
    height = ax.bbox.height / ax.figure.dpi * 72.0  # in points
    gap = 1.25 * FontProperties(size=fontsize).get_size_in_points() / height
    placed = _spread(true, gap)
    artists = []
    for y, at, text, color in zip(true, placed, texts, colors, strict=True):
        ax.plot(
            [1.0, 1.025],
            [y, at],
            transform=ax.transAxes,
            color=color,
            linewidth=0.8,
            clip_on=False,
        )
        artists.append(
            ax.text(
                1.035,
                at,
                text,
                transform=ax.transAxes,
                color=color,
                fontsize=fontsize,
                va="center",
                ha="left",
            )
        )
    return artists


def _spread(positions, gap):
    """Move positions in [0, 1] apart to at least `gap`, keeping their order."""
    order = np.argsort(positions, kind="stable")
    out = positions[order].astype(float)
    gap = min(gap, 1.0 / max(len(out) - 1, 1))
    # Groups of touching labels are centered on the mean of their true positions.
    groups = [[y, 1] for y in out]  # center, size
    merged = []
    for group in groups:
        merged.append(group)
        while len(merged) > 1:
            (a, m), (b, k) = merged[-2], merged[-1]
            if b - a >= gap * (m + k) / 2:
                break
            size = m + k
            half = gap * (size - 1) / 2
            center = np.clip((a * m + b * k) / size, half, 1.0 - half)
            merged[-2:] = [[center, size]]
    placed = np.concatenate([c + gap * (np.arange(m) - (m - 1) / 2) for c, m in merged])
    result = np.empty_like(placed)
    result[order] = placed
    return result


def final_estimator(estimator):
    """Return the last step of a pipeline, or the best estimator of a search."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            estimator = estimator.steps[-1][1]
        else:
            return estimator


def names_of(estimator):
    """Return the names of what the final estimator sees, or None.

    Its own, or those that the steps before it in a pipeline give.
    """
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    last = final_estimator(estimator)
    names = getattr(last, "feature_names_in_", None)
    if names is None and hasattr(estimator, "steps") and len(estimator.steps) > 1:
        try:
            names = estimator[:-1].get_feature_names_out()
        except (AttributeError, NotFittedError, ValueError):
            return None  # a step that does not tell
        seen = getattr(estimator[:-1], "feature_names_in_", None)
        if seen is None:  # then "x0", "x1" is all that they say
            return None
    return names


def fitted_with(estimator, attributes, remedy):
    """Return the final estimator, which must be fitted and have these attributes."""
    fitted = final_estimator(estimator)
    check_is_fitted(fitted)
    missing = [name for name in attributes if not hasattr(fitted, name)]
    if missing:
        raise ValueError(
            f"{type(fitted).__name__} has no {' and no '.join(missing)}. {remedy}"
        )
    return fitted


def name_estimators(estimators):
    """Return a dict from names to estimators, for a dict, a list or one estimator."""
    if isinstance(estimators, dict):
        return {str(name): final_estimator(e) for name, e in estimators.items()}
    if not isinstance(estimators, (list, tuple)):
        estimators = [estimators]
    finals = [final_estimator(e) for e in estimators]
    named, count = {}, {}
    for estimator in finals:
        name = type(estimator).__name__
        count[name] = count.get(name, 0) + 1
        named[name if count[name] == 1 else f"{name} {count[name]}"] = estimator
    return named
