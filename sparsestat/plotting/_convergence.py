"""How fast solvers closed their gap."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.plotting._style import (
    COLORS,
    DASHES,
    INK,
    MARKERS,
    fitted_with,
    label_right,
    name_estimators,
    new_axes,
    tidy,
)

__all__ = ["ConvergenceDisplay"]


class ConvergenceDisplay:
    """Convergence: a gap on a logarithmic axis against iterations or seconds.

    It is recommended to use :meth:`from_estimator` to create a display from fitted
    estimators, or to pass histories that were measured elsewhere.

    Parameters
    ----------
    histories : dict
        From names to ``(positions, gaps)``, two arrays of equal length, or to
        ``gaps`` alone, which are then counted from 1.
    tol : float, default=None
        A tolerance, drawn as a horizontal line.
    xlabel : str, default="outer iteration"
        What the positions are, with its unit, e.g. ``"time (s)"``.
    ylabel : str, default="relative duality gap"
        What the gaps are.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that holds them.
    lines_ : list of matplotlib Line2D
        One curve for each history.
    tol_line_ : matplotlib Line2D or None
        The tolerance.
    label_texts_ : list of matplotlib Text
        Names beside the curves.

    See Also
    --------
    CertificateDisplay : The last value of each, against its tolerance.

    Notes
    -----
    A gap at or below zero is a gap lost in rounding. It has no place on a
    logarithmic axis and is drawn at the lower border.

    Examples
    --------
    >>> from sparsestat.plotting import ConvergenceDisplay
    >>> display = ConvergenceDisplay({"fast": [1, 1e-6], "slow": [1, 0.3, 0.1]})
    >>> display.plot()
    <...ConvergenceDisplay object at ...>
    """

    def __init__(
        self,
        histories,
        *,
        tol=None,
        xlabel="outer iteration",
        ylabel="relative duality gap",
    ):
        self.histories = histories
        self.tol = tol
        self.xlabel = xlabel
        self.ylabel = ylabel

    @classmethod
    def from_estimator(cls, estimator, *, tol="auto", ax=None, **kwargs):
        """Create and draw the display of fitted estimators.

        Parameters
        ----------
        estimator : estimator instance, list or dict of them
            Fitted, with ``history_``: of the measure that its certificate names, or
            of an objective, of which the distance to its last value is shown,
            relative to the longest. Pipelines and searches are opened. The keys of a
            dict become the labels.
        tol : float, "auto" or None, default="auto"
            Tolerance to draw. ``"auto"`` takes the common ``certificate_.tol`` of
            the estimators, or none if they differ.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : ConvergenceDisplay
            The display, drawn.
        """
        named = name_estimators(estimator)
        histories, labels = {}, []
        for name, fitted in named.items():
            histories[name], label = _history_of(fitted)
            labels.append(label)
        same = len(set(labels)) == 1
        if isinstance(tol, str):
            certificates = [getattr(e, "certificate_", None) for e in named.values()]
            tols = {getattr(c, "tol", None) for c in certificates}
            # The tolerance of a measure says nothing about a distance.
            tol = tols.pop() if len(tols) == 1 and _AWAY not in labels else None
        ylabel = labels[0] if same else "gap or distance to the last value, relative"
        return cls(histories, tol=tol, ylabel=ylabel).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, xscale="linear", line_kwargs=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        xscale : {"linear", "log"}, default="linear"
            Scale of the positions; logarithmic times show ratios as distances.
        line_kwargs : dict, default=None
            Passed to every curve, overriding its style.

        Returns
        -------
        display : ConvergenceDisplay
            The display itself.
        """
        if xscale not in ("linear", "log"):
            raise ValueError(f"xscale must be 'linear' or 'log', got {xscale!r}.")
        curves = {name: _curve(name, h) for name, h in self.histories.items()}
        if not curves:
            raise ValueError("histories is empty. Pass at least one history.")
        figure, axes = new_axes(ax, f"{type(self).__name__}.plot")
        self.figure_, self.ax_ = figure, axes[0]
        ax = self.ax_

        positive = [g[g > 0] for _, g in curves.values()]
        known = np.concatenate([*positive, [self.tol] if self.tol else []])
        low = known.min() if len(known) else 1e-16
        floor = low / 10 if any((g <= 0).any() for _, g in curves.values()) else low
        self.lines_ = []
        for k, (_, (x, gaps)) in enumerate(curves.items()):
            style = {
                "color": COLORS[k % len(COLORS)],
                "linestyle": DASHES[k % len(DASHES)],
                "marker": MARKERS[k % len(MARKERS)],
                "markersize": 4,
                "markevery": max(1, len(x) // 25),
                "linewidth": 1.6,
            }
            shown = np.where(gaps > 0, gaps, floor)
            self.lines_ += ax.plot(x, shown, **{**style, **(line_kwargs or {})})
        ax.set_xscale(xscale)
        ax.set_yscale("log")
        ax.set_xlabel(self.xlabel)
        ax.set_ylabel(self.ylabel)
        tidy(ax)
        if self.xlabel == "outer iteration" and xscale == "linear":
            ax.xaxis.get_major_locator().set_params(integer=True)
        high = max([g.max() for g in positive if len(g)], default=1.0)
        ax.set_ylim(floor / 2, max(high, self.tol or 0.0) * 2)
        self.tol_line_ = None
        if self.tol:
            self.tol_line_ = ax.axhline(
                self.tol, color=INK, linewidth=1, linestyle=(0, (1, 2))
            )
        self._label_curves(curves, floor, xscale)
        return self

    def _label_curves(self, curves, floor, xscale):
        """Name each curve, and the tolerance, beside the right border.

        A faint line leads from the end of a curve to its name.
        """
        right = max(x.max() for x, _ in curves.values())
        left = min(x.min() for x, _ in curves.values())
        if xscale == "log":
            widen = 1.03 * (right / left) ** 0.02
            left, right = left / widen, right * widen
        else:
            pad = 0.02 * (right - left) or 0.5
            left, right = left - pad, right + pad
        self.ax_.set_xlim(left, right)
        ends = []
        for line, (x, gaps) in zip(self.lines_, curves.values(), strict=True):
            ends.append(gaps[-1] if gaps[-1] > 0 else floor)
            self.ax_.plot(
                [x[-1], right],
                [ends[-1], ends[-1]],
                color=line.get_color(),
                linewidth=0.8,
                alpha=0.45,
            )
        texts, colors = list(curves), [line.get_color() for line in self.lines_]
        if self.tol:
            ends.append(self.tol)
            texts.append(f"tolerance {self.tol:.0e}")
            colors.append(INK)
        written = label_right(self.ax_, ends, texts, colors)
        self.label_texts_ = written[: len(curves)]


_AWAY = "distance to the last value, relative"


def _history_of(estimator):
    """Return what a fitted estimator recorded, as numbers that fall, and its name.

    A history that ends at the value of the certificate holds the measure that the
    certificate names; any other one is that of an objective.
    """
    fitted = fitted_with(estimator, [], "")
    name = type(fitted).__name__
    values = _numbers(fitted)
    if values is not None and len(values):
        kind = _measured(fitted, values[-1])
        if kind is not None:
            return values, _LABELS.get(kind, kind.replace("_", " "))
        if len(values) == 1:
            return np.ones(1), _AWAY
        away = np.abs(values[:-1] - values[-1])
        longest = away.max()
        return (away / longest if longest > 0 else away), _AWAY
    if values is not None:
        raise ValueError(
            f"The history of this {name} is empty: it was solved without iterations."
        )
    raise ValueError(
        f"{name} has no history_. Pass an iterative estimator of sparsestat, or build "
        "the display from histories: ConvergenceDisplay({'name': (seconds, gaps)})"
        ".plot()."
    )


_LABELS = {
    "duality_gap": "relative duality gap",
    "monotone_bound": "last change, relative",
    "kkt": "violation of stationarity",
}


def _measured(fitted, last):
    """Return the kind of the certificate whose value a history ends at, or None."""
    certificate = getattr(fitted, "certificate_", None)
    value = getattr(certificate, "value", None)
    if value is None or not np.isclose(value, last, rtol=1e-6, atol=0.0):
        return None
    return certificate.kind


def _numbers(fitted):
    """Return the history as a vector of floats, or None where it is not one."""
    try:
        values = np.asarray(getattr(fitted, "history_", None), dtype=float)
    except (TypeError, ValueError):
        return None
    return values if values.ndim == 1 else None


def _curve(name, history):
    """Return positions and gaps of one history as two checked arrays."""
    pair = isinstance(history, (tuple, list)) and len(history) == 2
    if pair and np.ndim(history[0]) == 1:
        x, gaps = (np.asarray(part, dtype=float) for part in history)
    else:
        gaps = np.asarray(history, dtype=float)
        x = np.arange(1.0, gaps.size + 1)
    if gaps.ndim != 1 or x.shape != gaps.shape or not len(gaps):
        raise ValueError(
            f"The history {name!r} has positions of shape {x.shape} and gaps of "
            f"shape {gaps.shape}. Pass one array of gaps, or two arrays of equal "
            "length."
        )
    keep = np.isfinite(gaps) & np.isfinite(x)
    if not keep.any():
        raise ValueError(f"The history {name!r} has no finite gap.")
    return x[keep], gaps[keep]
