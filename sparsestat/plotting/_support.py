"""True against found features, at a solution or along a path."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.plotting._style import (
    COLORS,
    INK,
    MUTED,
    fitted_with,
    label_right,
    new_axes,
    tidy,
)

__all__ = ["SupportRecoveryDisplay"]


class SupportRecoveryDisplay:
    """Support recovery: which of the true features were found, and which others.

    It is recommended to use :meth:`from_estimator` or :meth:`from_path` to create a
    display. At a solution it shows the coefficients of all features that are true or
    found: true values as open circles, found ones as filled marks, false ones in a
    color of their own. Along a path it counts true and false features against the
    penalty strength, strong penalties on the left.

    Parameters
    ----------
    true_coef : ndarray of shape (n_features,)
        True coefficients, or a boolean mask of the true features.
    coef : ndarray of shape (n_features,), default=None
        Found coefficients.
    alphas : ndarray of shape (n_alphas,), default=None
        Penalty strengths of a path.
    coefs : ndarray of shape (n_features, n_alphas), default=None
        Coefficients along the path.
    selected_alpha : float, default=None
        The strength that was chosen, marked by a vertical line.
    feature_names : array-like of str of shape (n_features,), default=None
        Names below the marks; column numbers when left out.
    estimator_name : str, default=None
        Shown as the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the drawing.
    figure_ : matplotlib Figure
        Figure that holds it.
    n_true_found_, n_false_found_ : int or ndarray of shape (n_alphas,)
        True and false features among the found ones.
    lines_ : list of matplotlib Line2D
        The curves of a path.
    points_ : dict of matplotlib PathCollection
        The marks of a solution: "true", "found" and "false".

    See Also
    --------
    RegularizationPathDisplay : Coefficients along a path.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.plotting import SupportRecoveryDisplay
    >>> true = np.array([2.0, 0.0, -1.0, 0.0])
    >>> display = SupportRecoveryDisplay(true, coef=np.array([1.5, 0.2, 0.0, 0.0]))
    >>> display.plot()
    <...SupportRecoveryDisplay object at ...>
    >>> display.n_true_found_, display.n_false_found_
    (1, 1)
    """

    def __init__(
        self,
        true_coef,
        *,
        coef=None,
        alphas=None,
        coefs=None,
        selected_alpha=None,
        feature_names=None,
        estimator_name=None,
    ):
        self.true_coef = true_coef
        self.coef = coef
        self.alphas = alphas
        self.coefs = coefs
        self.selected_alpha = selected_alpha
        self.feature_names = feature_names
        self.estimator_name = estimator_name

    @classmethod
    def from_estimator(
        cls, estimator, true_coef, *, kind="solution", ax=None, name=None, **kwargs
    ):
        """Create and draw the display of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``coef_``; for a path also ``alphas_`` and ``coef_path_``.
            Pipelines and searches are opened.
        true_coef : array-like of shape (n_features,)
            True coefficients, or a boolean mask of the true features.
        kind : {"solution", "path"}, default="solution"
            What to draw.
        ax : matplotlib Axes, default=None
            Where to draw.
        name : str, default=None
            Title; the class name when left out.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : SupportRecoveryDisplay
            The display, drawn.
        """
        estimator = fitted_with(
            estimator,
            ["coef_path_"] if kind == "path" else ["coef_"],
            "Pass a fitted cross-validated estimator, or use kind='solution'."
            if kind == "path"
            else "Pass a linear model.",
        )
        alphas = coefs = None
        if kind == "path":
            coefs = np.asarray(estimator.coef_path_)
            alphas = chosen_alphas(estimator)
        return cls(
            np.asarray(true_coef),
            coef=_one_row(np.asarray(estimator.coef_)),
            alphas=alphas,
            coefs=coefs,
            selected_alpha=getattr(estimator, "alpha_", None),
            feature_names=getattr(estimator, "feature_names_in_", None),
            estimator_name=type(estimator).__name__ if name is None else name,
        ).plot(ax=ax, kind=kind, **kwargs)

    @classmethod
    def from_path(
        cls, alphas, coefs, true_coef, *, selected_alpha=None, ax=None, name=None
    ):
        """Create and draw the display of a path, e.g. that of ``lasso_path``.

        Parameters
        ----------
        alphas : array-like of shape (n_alphas,)
            Penalty strengths.
        coefs : array-like of shape (n_features, n_alphas)
            Coefficients.
        true_coef : array-like of shape (n_features,)
            True coefficients, or a boolean mask of the true features.
        selected_alpha : float, default=None
            A strength to mark.
        ax : matplotlib Axes, default=None
            Where to draw.
        name : str, default=None
            Title.

        Returns
        -------
        display : SupportRecoveryDisplay
            The display, drawn.
        """
        return cls(
            np.asarray(true_coef),
            alphas=np.asarray(alphas, float),
            coefs=np.asarray(coefs, float),
            selected_alpha=selected_alpha,
            estimator_name=name,
        ).plot(ax=ax, kind="path")

    def plot(self, ax=None, *, kind=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        kind : {"solution", "path"}, default=None
            What to draw. None draws a path if there is one.

        Returns
        -------
        display : SupportRecoveryDisplay
            The display itself.
        """
        if kind is None:
            kind = "solution" if self.coefs is None else "path"
        if kind not in ("solution", "path"):
            raise ValueError(f"`kind` must be 'solution' or 'path', got {kind!r}.")
        found = self.coef if kind == "solution" else self.coefs
        if found is None or (kind == "path" and self.alphas is None):
            needed = "coef" if kind == "solution" else "alphas and coefs"
            raise ValueError(f"kind={kind!r} needs {needed}, which were not given.")
        true, found = np.asarray(self.true_coef), np.asarray(found)
        if true.ndim != 1 or len(true) != len(found):
            raise ValueError(
                f"true_coef has shape {true.shape}, but there are {len(found)} "
                "coefficients: one entry per feature is expected."
            )
        figure, axes = new_axes(ax, f"{type(self).__name__}.plot")
        self.figure_, self.ax_ = figure, axes[0]
        self.lines_, self.points_ = [], {}
        if kind == "path":
            self._draw_path(true != 0, found != 0)
        else:
            self._draw_solution(true, found)
        if self.estimator_name:
            self.ax_.set_title(self.estimator_name, fontsize="medium", loc="left")
        return self

    def _draw_path(self, true, found):
        ax, order = self.ax_, np.argsort(self.alphas)[::-1]
        order = order[self.alphas[order] > 0]  # alpha = 0 has no place on a log axis
        alphas, found = self.alphas[order], found[:, order]
        self.n_true_found_ = np.count_nonzero(found & true[:, None], axis=0)
        self.n_false_found_ = np.count_nonzero(found & ~true[:, None], axis=0)
        total = int(true.sum())
        ax.axhline(total, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        curves = [(self.n_true_found_, "true"), (self.n_false_found_, "false")]
        for (counts, _), color in zip(curves, COLORS[:2], strict=True):
            self.lines_ += ax.step(
                alphas, counts, color=color, linewidth=1.8, where="mid"
            )
        ax.set_xscale("log")
        last = alphas[-1] if len(alphas) > 1 else alphas[0] / 1.03
        ax.set_xlim(alphas[0] * 1.03, last)
        # False features can be so many that the true ones would become a line.
        ax.set_ylim(0, 1.08 * max(min(self.n_false_found_.max(), 3 * total), total, 1))
        ax.set_xlabel("penalty strength alpha (weaker to the right)")
        ax.set_ylabel("features in the model")
        tidy(ax)
        if self.selected_alpha is not None:
            ax.axvline(
                self.selected_alpha, color=INK, linewidth=1, linestyle=(0, (4, 3))
            )
        ends = np.minimum([c[-1] for c, _ in curves], ax.get_ylim()[1])
        texts = [f"{name} ({c[-1]})" for c, name in curves]
        label_right(ax, [*ends, total], [*texts, f"all {total}"], [*COLORS[:2], INK])

    def _draw_solution(self, true, coef):
        ax = self.ax_
        is_true, is_found = true != 0, coef != 0
        self.n_true_found_ = int(np.count_nonzero(is_true & is_found))
        self.n_false_found_ = int(np.count_nonzero(is_found & ~is_true))
        shown = np.flatnonzero(is_true | is_found)
        place = np.arange(len(shown))
        at_true = is_true[shown]
        good, bad = (is_found & is_true)[shown], (is_found & ~is_true)[shown]
        values = coef[shown]
        if true.dtype != bool:
            target = true[shown].astype(float)
            ax.vlines(
                place[at_true], target[at_true], values[at_true], color=MUTED,
                linewidth=1, zorder=1,
            )  # fmt: skip
            self.points_["true"] = ax.scatter(
                place[at_true], target[at_true], s=46, facecolors="none",
                edgecolors=INK, linewidths=1.2, zorder=2,
                label=f"true ({int(is_true.sum())})",
            )  # fmt: skip
        self.points_["found"] = ax.scatter(
            place[good], values[good], s=22, color=COLORS[0], zorder=3,
            label=f"true and found ({self.n_true_found_})",
        )  # fmt: skip
        self.points_["false"] = ax.scatter(
            place[bad], values[bad], s=26, color=COLORS[1], marker="^", zorder=3,
            label=f"false ({self.n_false_found_})",
        )  # fmt: skip
        ax.axhline(0, color=INK, linewidth=0.8, zorder=0)
        ax.set_ylabel("coefficient")
        ax.set_xlabel("features that are true or found")
        names = self.feature_names
        if len(shown) <= 30:
            texts = [str(j if names is None else names[j]) for j in shown]
            long = max((len(t) for t in texts), default=0) > 3
            ax.set_xticks(place, texts, rotation=60 if long else 0)
            if long:
                for label in ax.get_xticklabels():
                    label.set_ha("right")
            elif len(shown) > 14:
                ax.tick_params(axis="x", rotation=90)
        else:
            ax.set_xticks([])
        tidy(ax)
        ax.legend(frameon=False, fontsize="small", loc="best")


def chosen_alphas(estimator):
    """Return the strengths along ``coef_path_`` of a cross-validated estimator."""
    alphas = np.asarray(estimator.alphas_)
    row = chosen_row(estimator)
    return alphas if row is None else alphas[row]


def chosen_row(estimator):
    """Index of the setting that was chosen beside alpha, None if there was one only."""
    if np.ndim(estimator.alphas_) < 2:
        return None
    for name in ("l1_ratio", "gamma", "a"):
        if hasattr(estimator, f"{name}_"):
            tried = np.asarray(getattr(estimator, name), dtype=float)
            return int(np.flatnonzero(tried == getattr(estimator, f"{name}_"))[0])
    raise ValueError(
        f"{type(estimator).__name__} tried several settings, but which of them was "
        "chosen is not known."
    )


def _one_row(coef):
    """Coefficients of one output, or the largest of each feature over several."""
    if coef.ndim == 1:
        return coef
    return coef[np.argmax(np.abs(coef), axis=0), np.arange(coef.shape[1])]
