"""Coefficients along a regularization path, with the error of cross-validation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import textwrap

import numpy as np

from sparsestat.plotting._style import (
    COLORS,
    DASHES,
    INK,
    MUTED,
    fitted_with,
    label_right,
    names_of,
    new_axes,
    tidy,
)
from sparsestat.plotting._support import chosen_row

__all__ = ["RegularizationPathDisplay"]


class RegularizationPathDisplay:
    """Regularization path: coefficients against the penalty strength.

    It is recommended to use :meth:`from_estimator` or :meth:`from_path` to create
    a display. Strong penalties are on the left, so that features enter from left
    to right; the largest coefficients are named beside their curves, and the upper
    axis counts the nonzero ones. Where cross-validation was run, its error is drawn
    below on the same axis.

    Parameters
    ----------
    alphas : ndarray of shape (n_alphas,)
        Penalty strengths.
    coefs : ndarray of shape (n_features, n_alphas)
        Coefficients.
    selected_alpha : float, default=None
        The strength that was chosen, marked by a vertical line.
    mse_path : ndarray of shape (n_alphas, n_folds), default=None
        Mean squared error, or another loss, of each fold.
    feature_names : array-like of str of shape (n_features,), default=None
        Names beside the curves; ``x0``, ``x1``, ... when left out.
    estimator_name : str, default=None
        Shown as the title.
    coef_name : str, default="coefficient"
        Label of the axis of the coefficients.
    loss_name : str, default="mean squared error, held out"
        Label of the axis of the error.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the coefficients.
    cv_ax_ : matplotlib Axes or None
        Axes of the cross-validation error.
    figure_ : matplotlib Figure
        Figure that holds them.
    lines_ : list of matplotlib Line2D
        One curve for each feature that is ever nonzero.
    selected_lines_ : list of matplotlib Line2D
        The marks of the chosen strength.
    minimum_lines_ : list of matplotlib Line2D
        The marks of the strength of least held-out error, where that is another one.
    label_texts_ : list of matplotlib Text
        Names beside the curves.

    See Also
    --------
    ConvergenceDisplay : How fast a solver closed its gap.
    CertificateDisplay : What was proved about fitted estimators.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.plotting import RegularizationPathDisplay
    >>> alphas = np.logspace(0, -2, 20)
    >>> coefs = np.maximum(np.array([[1.0], [0.4]]) - alphas, 0.0)
    >>> display = RegularizationPathDisplay.from_path(alphas, coefs)
    >>> display.plot()
    <...RegularizationPathDisplay object at ...>
    """

    def __init__(
        self,
        *,
        alphas,
        coefs,
        selected_alpha=None,
        mse_path=None,
        feature_names=None,
        estimator_name=None,
        coef_name="coefficient",
        loss_name="mean squared error, held out",
    ):
        self.alphas = alphas
        self.coefs = coefs
        self.selected_alpha = selected_alpha
        self.mse_path = mse_path
        self.feature_names = feature_names
        self.estimator_name = estimator_name
        self.coef_name = coef_name
        self.loss_name = loss_name

    @classmethod
    def from_estimator(
        cls, estimator, *, feature_names=None, ax=None, name=None, **kwargs
    ):
        """Create and draw the display of a fitted cross-validated estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``alphas_`` and ``coef_path_``; ``alpha_`` and
            ``mse_path_`` or ``loss_path_`` are used where present. Of several
            classes the norm of the coefficients of each feature is shown. Pipelines
            and searches are opened.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features; ``feature_names_in_`` when left out, or
            what the steps of a pipeline make of them.
        ax : matplotlib Axes or pair of Axes, default=None
            Where to draw, see :meth:`plot`.
        name : str, default=None
            Title; the class name when left out.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : RegularizationPathDisplay
            The display, drawn.
        """
        if feature_names is None:
            feature_names = names_of(estimator)
        estimator = fitted_with(
            estimator,
            ["alphas_", "coef_path_"],
            "Pass a fitted cross-validated estimator such as LassoCV, or use "
            "RegularizationPathDisplay.from_path(alphas, coefs).",
        )
        alphas = np.asarray(estimator.alphas_)
        coefs, names = np.asarray(estimator.coef_path_), {}
        if coefs.ndim == 3:
            coefs = np.sqrt((coefs**2).sum(axis=0))
            names["coef_name"] = "norm over classes"
        mse_path = getattr(estimator, "mse_path_", None)
        if mse_path is None and hasattr(estimator, "loss_path_"):
            mse_path = estimator.loss_path_
            names["loss_name"] = "loss, held out"
        if alphas.ndim == 2:
            # Several values of l1_ratio (say) were tried; the path is the best one's.
            row = chosen_row(estimator)
            alphas = alphas[row]
            mse_path = None if mse_path is None else mse_path[row]
        return cls(
            alphas=alphas,
            coefs=coefs,
            selected_alpha=getattr(estimator, "alpha_", None),
            mse_path=mse_path,
            feature_names=feature_names,
            estimator_name=type(estimator).__name__ if name is None else name,
            **names,
        ).plot(ax=ax, **kwargs)

    @classmethod
    def from_path(
        cls,
        alphas,
        coefs,
        *,
        selected_alpha=None,
        feature_names=None,
        ax=None,
        name=None,
        **kwargs,
    ):
        """Create and draw the display of a path, e.g. that of ``lasso_path``.

        Parameters
        ----------
        alphas : array-like of shape (n_alphas,)
            Penalty strengths.
        coefs : array-like of shape (n_features, n_alphas)
            Coefficients.
        selected_alpha : float, default=None
            A strength to mark.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features.
        ax : matplotlib Axes, default=None
            Where to draw.
        name : str, default=None
            Title.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : RegularizationPathDisplay
            The display, drawn.
        """
        alphas, coefs = np.asarray(alphas, float), np.asarray(coefs, float)
        if alphas.ndim != 1 or coefs.ndim != 2 or coefs.shape[1] != len(alphas):
            raise ValueError(
                f"alphas of shape {alphas.shape} and coefs of shape {coefs.shape} do "
                "not fit. Pass alphas of shape (n_alphas,) and coefs of shape "
                "(n_features, n_alphas)."
            )
        return cls(
            alphas=alphas,
            coefs=coefs,
            selected_alpha=selected_alpha,
            feature_names=feature_names,
            estimator_name=name,
        ).plot(ax=ax, **kwargs)

    def plot(
        self, ax=None, *, n_labels=8, show_cv=True, alpha_min=None, line_kwargs=None
    ):
        """Draw the path.

        Parameters
        ----------
        ax : matplotlib Axes or pair of Axes, default=None
            One Axes shows the coefficients, a pair also the cross-validation error.
            None makes a new figure.
        n_labels : int, default=8
            Number of features to color and to name: those with the largest
            coefficients at the chosen strength (at the weakest one if none was
            chosen).
        show_cv : bool, default=True
            Draw the error of cross-validation, if it is known.
        alpha_min : float, default=None
            Leave out weaker penalties than this from the picture.
        line_kwargs : dict, default=None
            Passed to every curve, overriding its style.

        Returns
        -------
        display : RegularizationPathDisplay
            The display itself.
        """
        with_cv = show_cv and self.mse_path is not None
        if ax is not None and np.size(np.asarray(ax, dtype=object)) == 1:
            with_cv = False
        figure, axes = new_axes(
            ax,
            f"{type(self).__name__}.plot",
            figsize=(6.8, 5.6) if with_cv else (6.8, 4.2),
            nrows=2 if with_cv else 1,
            height_ratios=(2.2, 1) if with_cv else None,
        )
        self.figure_, self.ax_ = figure, axes[0]
        self.cv_ax_ = axes[1] if with_cv else None

        alphas, coefs = np.asarray(self.alphas, dtype=float), np.asarray(self.coefs)
        order = np.argsort(alphas)[::-1]
        order = order[alphas[order] > 0]  # alpha = 0 has no place on a log axis
        if alpha_min is not None:
            order = order[alphas[order] >= alpha_min]
        if not len(order):
            raise ValueError(
                f"No alpha is left to draw: all are below alpha_min={alpha_min} or "
                "not positive. Lower alpha_min."
            )
        alphas, coefs = alphas[order], coefs[:, order]
        self._draw_coefficients(alphas, coefs, n_labels, line_kwargs or {})
        if with_cv:
            self._draw_errors(alphas, np.asarray(self.mse_path)[order])
        for axis in axes[: 1 + with_cv]:
            axis.set_xscale("log")
            last = alphas[-1] if len(alphas) > 1 else alphas[0] / 1.03
            axis.set_xlim(alphas[0] * 1.03, last)
        axes[with_cv].set_xlabel("penalty strength alpha (weaker to the right)")
        self.selected_lines_ = []
        if self.selected_alpha is not None:
            for axis in axes[: 1 + with_cv]:
                line = axis.axvline(
                    self.selected_alpha, color=INK, linewidth=1, linestyle=(0, (4, 3))
                )
                self.selected_lines_.append(line)
            self._name_selected(alphas, coefs)
        self.minimum_lines_ = []
        if self.mse_path is not None:
            errors = np.asarray(self.mse_path)[order]
            lowest = float(alphas[int(np.argmin(errors.mean(axis=1)))])
            chosen = self.selected_alpha
            if chosen is None or abs(np.log(lowest / chosen)) > 1e-9:
                for axis in axes[: 1 + with_cv]:
                    self.minimum_lines_.append(
                        axis.axvline(
                            lowest, color=INK, linewidth=1, linestyle=(0, (1, 2))
                        )
                    )
                self._name(lowest, "smallest error", 0.84, alphas)
        self._count_nonzeros(alphas, coefs)
        return self

    def _draw_coefficients(self, alphas, coefs, n_labels, line_kwargs):
        ax = self.ax_
        at = -1
        if self.selected_alpha is not None:
            at = int(np.argmin(np.abs(np.log(alphas / self.selected_alpha))))
        size = np.abs(coefs[:, at])
        top = [int(j) for j in np.argsort(-size, kind="stable")[:n_labels] if size[j]]
        rank = {j: k for k, j in enumerate(top)}
        active = np.flatnonzero(np.any(coefs != 0, axis=1))
        # Where a solver found the last answer good enough the path has a step, not
        # the solution: lines lead over it.
        moved = np.ones(len(alphas), dtype=bool)
        moved[1:-1] = (coefs[:, 1:-1] != coefs[:, :-2]).any(axis=0)
        self.lines_ = []
        for j in active:
            k = rank.get(int(j))
            style = {"color": MUTED, "linewidth": 0.7, "zorder": 1.5}
            if k is not None:
                style = {
                    "color": COLORS[k % len(COLORS)],
                    "linestyle": DASHES[(k // len(COLORS)) % len(DASHES)],
                    "linewidth": 1.7,
                    "zorder": 3,
                }
            self.lines_ += ax.plot(
                alphas[moved], coefs[j, moved], **{**style, **line_kwargs}
            )
        ax.axhline(0, color=INK, linewidth=0.8, zorder=2)
        ax.set_ylabel(self.coef_name)
        tidy(ax)
        ax.margins(y=0.04)
        ax.autoscale_view()
        ax.set_ylim(ax.get_ylim())
        names = self.feature_names
        texts = [f"x{j}" if names is None else str(names[j]) for j in top]
        colors = [COLORS[k % len(COLORS)] for k in range(len(top))]
        self.label_texts_ = label_right(ax, coefs[top, -1], texts, colors)

    def _draw_errors(self, alphas, errors):
        ax = self.cv_ax_
        mean = errors.mean(axis=1)
        ax.plot(alphas, errors, color=MUTED, linewidth=0.7)
        self.cv_line_ = ax.plot(alphas, mean, color=COLORS[0], linewidth=1.8)[0]
        if errors.shape[1] > 1:
            se = errors.std(axis=1, ddof=1) / np.sqrt(errors.shape[1])
            ax.fill_between(
                alphas, mean - se, mean + se, color=COLORS[0], alpha=0.18, linewidth=0
            )
        # Two short lines fit beside the low axes.
        ax.set_ylabel("\n".join(textwrap.wrap(self.loss_name, 16)))
        tidy(ax)
        low, high = errors.min(), mean.max() + 0.5 * (mean.max() - mean.min())
        pad = 0.05 * max(high - low, 1e-12 * abs(high))
        ax.set_ylim(low - pad, max(high, low + pad) + pad)

    def _name_selected(self, alphas, coefs):
        at = int(np.argmin(np.abs(np.log(alphas / self.selected_alpha))))
        count = np.count_nonzero(coefs[:, at])
        text = f"chosen: {self.selected_alpha:.3g}\n{count} nonzero"
        self._name(self.selected_alpha, text, 1.0, alphas)

    def _name(self, alpha, text, height, alphas):
        """Write beside the line of a strength, where there is more room."""
        left = np.log(alpha / alphas[-1]) > 0.35 * np.log(alphas[0] / alphas[-1])
        self.ax_.annotate(
            text,
            (alpha, height),
            xycoords=("data", "axes fraction"),
            xytext=(5 if left else -5, -3),
            textcoords="offset points",
            ha="left" if left else "right",
            va="top",
            fontsize="small",
            color=INK,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
            zorder=4,
        )

    def _count_nonzeros(self, alphas, coefs):
        counts = np.count_nonzero(coefs, axis=0)
        ticks = np.unique(np.linspace(0, len(alphas) - 1, 6).astype(int))
        top = self.ax_.secondary_xaxis("top")
        top.set_xticks(alphas[ticks], [str(counts[k]) for k in ticks])
        top.tick_params(which="minor", length=0)
        top.tick_params(color=MUTED, labelcolor=INK, labelsize="small")
        top.minorticks_off()
        top.spines["top"].set_visible(False)
        top.set_xlabel("nonzero coefficients", fontsize="small", color=INK)
        if self.estimator_name:
            self.ax_.set_title(self.estimator_name, fontsize="medium", loc="left")
        self.count_ax_ = top
