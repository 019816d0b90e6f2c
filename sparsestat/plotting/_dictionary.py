"""Atoms of a dictionary as small pictures."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sparsestat.plotting._style import MUTED, final_estimator, new_axes

__all__ = ["DictionaryDisplay"]


class DictionaryDisplay:
    """Dictionary: its atoms as pictures, side by side.

    It is recommended to use :meth:`from_estimator` to create a display from a
    fitted estimator.

    Parameters
    ----------
    atoms : array-like of shape (n_atoms, n_features)
        One atom a row.
    shape : tuple of two int, default=None
        Height and width of an atom. None takes a square if there is one, and a
        single row otherwise.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the mosaic.
    figure_ : matplotlib Figure
        Figure that holds it.
    image_ : matplotlib AxesImage
        The mosaic. Each atom is scaled to its largest magnitude; the middle of the
        color scale is zero.

    See Also
    --------
    ConvergenceDisplay : How fast a solver got there.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.plotting import DictionaryDisplay
    >>> DictionaryDisplay(np.eye(9)).plot()
    <...DictionaryDisplay object at ...>
    """

    def __init__(self, atoms, *, shape=None):
        self.atoms = atoms
        self.shape = shape

    @classmethod
    def from_estimator(cls, estimator, *, shape=None, order=None, ax=None, **kwargs):
        """Create and draw the display of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted, with ``dictionary_`` (atoms as columns) or ``components_`` (atoms
            as rows). Pipelines and searches are opened.
        shape : tuple of two int, default=None
            Height and width of an atom.
        order : array-like of int, default=None
            Which atoms to show, in which order. None shows all.
        ax : matplotlib Axes, default=None
            Where to draw.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : DictionaryDisplay
            The display, drawn.
        """
        fitted = final_estimator(estimator)
        check_is_fitted(fitted)
        if hasattr(fitted, "dictionary_"):
            atoms = np.asarray(fitted.dictionary_).T
        elif hasattr(fitted, "components_"):
            atoms = np.asarray(fitted.components_)
        else:
            raise ValueError(
                f"{type(fitted).__name__} has neither dictionary_ nor components_. "
                "Pass an estimator that learns atoms, or an array: "
                "DictionaryDisplay(atoms).plot()."
            )
        if order is not None:
            atoms = atoms[np.asarray(order)]
        return cls(atoms, shape=shape).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, n_columns=None, cmap="RdBu_r"):
        """Draw the atoms.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        n_columns : int, default=None
            Atoms in a row of the mosaic; None makes it about square.
        cmap : str, default="RdBu_r"
            Color map with a neutral middle.

        Returns
        -------
        display : DictionaryDisplay
            The display itself.
        """
        atoms = np.asarray(self.atoms, dtype=float)
        if atoms.ndim != 2 or not atoms.size or not np.isfinite(atoms).all():
            raise ValueError(
                "atoms must be a finite array of shape (n_atoms, n_features), got "
                f"shape {atoms.shape}."
            )
        height, width = self._atom_shape(atoms.shape[1])
        count = len(atoms)
        columns = n_columns or int(np.ceil(np.sqrt(count * height / width)))
        columns = max(1, min(columns, count))
        rows = -(-count // columns)
        mosaic = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
        sizes = np.abs(atoms).max(axis=1, keepdims=True)
        scaled = atoms / np.where(sizes > 0, sizes, 1.0)
        for k, atom in enumerate(scaled):
            top = (k // columns) * (height + 1) + 1
            left = (k % columns) * (width + 1) + 1
            mosaic[top : top + height, left : left + width] = atom.reshape(
                height, width
            )
        figure, axes = new_axes(ax, f"{type(self).__name__}.plot", figsize=(4.6, 4.6))
        self.figure_, self.ax_ = figure, axes[0]
        import matplotlib

        colors = matplotlib.colormaps[cmap].with_extremes(bad=MUTED)
        self.image_ = self.ax_.imshow(
            mosaic, cmap=colors, vmin=-1, vmax=1, interpolation="nearest"
        )
        self.ax_.set_xticks([])
        self.ax_.set_yticks([])
        for spine in self.ax_.spines.values():
            spine.set_visible(False)
        return self

    def _atom_shape(self, n_features):
        if self.shape is None:
            side = round(np.sqrt(n_features))
            return (side, side) if side**2 == n_features else (1, n_features)
        height, width = self.shape
        if height * width != n_features:
            raise ValueError(
                f"shape={self.shape} has {height * width} pixels, but atoms have "
                f"{n_features} features."
            )
        return height, width
