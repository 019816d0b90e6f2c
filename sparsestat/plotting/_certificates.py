"""What was proved about fitted estimators, each against its own tolerance."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.plotting._style import (
    COLORS,
    INK,
    MUTED,
    fitted_with,
    name_estimators,
    new_axes,
    tidy,
)

__all__ = ["CertificateDisplay"]

_FORMS = {
    "satisfied": (COLORS[0], "o", "within tolerance"),
    "missed": (COLORS[1], "X", "above tolerance"),
    "exact": (COLORS[2], "D", "exact, or nothing to measure"),
}


class CertificateDisplay:
    """Certificates: the proved value and the tolerance, one row an estimator.

    It is recommended to use :meth:`from_estimators` to create a display. Values and
    tolerances stand on one logarithmic axis; rows differ in their scale, which is
    said by ``certificate_.scale``, so compare a value with the tolerance of its
    own row only. Whether it was met shows in color and in the shape of the mark.

    Parameters
    ----------
    certificates : dict
        From names to :class:`sparsestat.Certificate` objects.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the rows.
    figure_ : matplotlib Figure
        Figure that holds them.
    points_ : list of matplotlib Line2D
        The mark of each row, in order.
    tol_lines_ : list of matplotlib Line2D
        The tolerance of each row.
    legend_ : matplotlib Legend
        The legend.

    See Also
    --------
    ConvergenceDisplay : The way to the last value.

    Examples
    --------
    >>> from sparsestat import Certificate
    >>> from sparsestat.plotting import CertificateDisplay
    >>> gap = Certificate("duality_gap", 3e-6, 1e-4, True, "gap / null objective")
    >>> CertificateDisplay({"Lasso": gap}).plot()
    <...CertificateDisplay object at ...>
    """

    def __init__(self, certificates):
        self.certificates = certificates

    @classmethod
    def from_estimators(cls, estimators, *, ax=None, **kwargs):
        """Create and draw the display of fitted estimators.

        Parameters
        ----------
        estimators : estimator instance, list or dict of them
            Fitted, with ``certificate_``. Pipelines and searches are opened. The
            keys of a dict become the labels.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : CertificateDisplay
            The display, drawn.
        """
        named = name_estimators(estimators)
        for fitted in named.values():
            fitted_with(
                fitted, ["certificate_"], "Pass fitted estimators of sparsestat."
            )
        return cls({name: e.certificate_ for name, e in named.items()}).plot(
            ax=ax, **kwargs
        )

    def plot(self, ax=None, *, show_values=True):
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure that grows with the rows.
        show_values : bool, default=True
            Write the value beside each row.

        Returns
        -------
        display : CertificateDisplay
            The display itself.
        """
        if not self.certificates:
            raise ValueError("certificates is empty. Pass at least one certificate.")
        names, certificates = list(self.certificates), list(self.certificates.values())
        own_figure = ax is None
        figure, axes = new_axes(
            ax,
            f"{type(self).__name__}.plot",
            figsize=(6.8, 1.3 + 0.42 * len(names)),
        )
        self.figure_, self.ax_ = figure, axes[0]
        ax = self.ax_
        numbers = [v for c in certificates for v in (c.value, c.tol)]
        numbers = np.array([v for v in numbers if np.isfinite(v) and v > 0])
        low, high = (numbers.min(), numbers.max()) if len(numbers) else (1e-16, 1e-4)
        floor = low / 10 if any(c.value <= 0 for c in certificates) else low
        ax.set_xscale("log")
        ax.set_xlim(floor / 3, high * 5)
        ax.set_ylim(len(names) - 0.5, -0.5)
        self.points_, self.tol_lines_ = [], []
        for row, c in enumerate(certificates):
            self._draw_row(row, c, floor, show_values)
        labels = [
            f"{n} ({c.kind.replace('_', ' ')})"
            for n, c in zip(names, certificates, strict=True)
        ]
        ax.set_yticks(range(len(names)), labels)
        ax.set_xlabel("certified value, and the tolerance asked for (log scale)")
        tidy(ax, grid="x")
        ax.tick_params(axis="y", length=0)
        self._draw_legend(certificates, own_figure=own_figure)
        return self

    def _draw_row(self, row, certificate, floor, show_values):
        ax, c = self.ax_, certificate
        form = _form(c)
        color, marker, _ = _FORMS[form]
        value = max(c.value, floor) if np.isfinite(c.value) else ax.get_xlim()[1]
        tol_line = None
        if form != "exact":
            if c.tol > 0:
                ends = [value, c.tol]
                ax.plot(ends, [row, row], color=MUTED, linewidth=2, zorder=1.5)
                tol_line = ax.plot(
                    [c.tol, c.tol], [row - 0.28, row + 0.28], color=INK, linewidth=2
                )[0]
        self.tol_lines_.append(tol_line)
        self.points_ += ax.plot(
            [value],
            [row],
            marker=marker,
            color=color,
            markersize=9 if marker == "X" else 7,
            markeredgecolor="white",
            markeredgewidth=0.8,
            linestyle="none",
            zorder=3,
        )
        if show_values:
            text = c.kind if form == "exact" else f"{c.value:.1e}" if c.value else "0"
            ax.annotate(
                text,
                (1.0, row),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
                color=color,
            )

    def _draw_legend(self, certificates, own_figure):
        from matplotlib.lines import Line2D

        forms = {_form(c) for c in certificates}
        handles = [
            Line2D([], [], color=color, marker=marker, linestyle="none", label=label)
            for form, (color, marker, label) in _FORMS.items()
            if form in forms
        ]
        if any(line is not None for line in self.tol_lines_):
            handles.append(
                Line2D(
                    [],
                    [],
                    color=INK,
                    marker="|",
                    markersize=11,
                    markeredgewidth=2,
                    linestyle="none",
                    label="tolerance",
                )
            )
        style = {
            "handles": handles,
            "frameon": False,
            "fontsize": "small",
            "handletextpad": 0.3,
            "columnspacing": 1.2,
        }
        if own_figure:
            self.legend_ = self.figure_.legend(
                loc="outside upper right", ncols=len(handles), **style
            )
        else:
            self.legend_ = self.ax_.legend(
                loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, **style
            )


def _form(certificate):
    if certificate.kind in ("exact", "none"):
        return "exact"
    return "satisfied" if certificate.satisfied else "missed"
