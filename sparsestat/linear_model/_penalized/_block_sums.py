"""What a pass over blocks of rows sums: outlines, losses and their derivatives.

Functions go to the rows; see :class:`~sparsestat._utils.blocks.RowBlocks`.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import partial

import numpy as np
from scipy import sparse

from sparsestat._utils.moments import dense_slices
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _kernels_blocks as kernels
from sparsestat.linear_model._penalized._kernels_losses import conjugate, evaluate
from sparsestat.linear_model._penalized._likelihood_path import loss_code

__all__ = [
    "MOST_CLASSES",
    "Outline",
    "Rows",
    "class_losses",
    "class_sums",
    "kernel_slices",
    "losses",
    "merge",
    "merge_named",
    "outline",
    "sums",
]

MOST_CLASSES = 100  # beyond it labels are taken for numbers
_ENTRIES = 2**17  # of a slice of rows, which stays in the cache of a core


class Rows:
    """Rows in blocks, each with what stands beside it: an offset, a fold.

    Parameters
    ----------
    blocks : RowBlocks
    offset : ndarray of shape (n_samples,) or (n_samples, n_classes), default=None
    folds : ndarray of int of shape (n_samples,), default=None
        The fold in which a row is held out.
    weight_unit : float, default=1.0
        Power of two by which the weights are divided, so that only their ratios matter.
    """

    def __init__(self, blocks, offset=None, folds=None, *, weight_unit=1.0):
        self.weight_unit = weight_unit
        self.blocks, self.n_features = blocks, blocks.n_features
        self.beside, self.fold = None, None
        kinds = []
        if offset is not None:
            kinds.append(("offset", np.float64, offset.shape[1:]))
        if folds is not None:
            kinds.append(("fold", np.int16))
        if kinds:
            n = len(offset if offset is not None else folds)
            self.beside = np.empty(n, dtype=kinds)
        if offset is not None:
            self.beside["offset"] = offset
        if folds is not None:
            self.beside["fold"] = folds

    def without(self, fold):
        """Return the rows that train where those of a fold are held out."""
        return self._of(fold, True)

    def held(self, fold):
        """Return the rows of a fold."""
        return self._of(fold, False)

    def _of(self, fold, others):
        out = object.__new__(Rows)
        vars(out).update(vars(self), fold=(fold, others))
        return out

    @property
    def n_blocks(self):
        """Number of blocks."""
        return len(self.blocks.sizes)

    @property
    def offset_norm(self):
        """The norm of the offsets of all rows."""
        if self.beside is None or "offset" not in self.beside.dtype.names:
            return 0.0
        return float(np.linalg.norm(self.beside["offset"]))

    def reduce(self, function, merge, *arguments, **options):
        """Sum ``function(block, offset, *arguments)`` over the blocks."""
        shared = {
            "function": function,
            "unit": self.weight_unit,
            "others": arguments,
        }
        call = partial(_on_rows, fold=self.fold, **shared)
        if self.beside is None:
            call = partial(_on_block, **shared)
        return self.blocks.reduce(call, merge, rows=self.beside, **options)


def _on_block(block, *, function, unit, others):
    return function(_in_unit(block, unit), None, *others)


def _in_unit(block, unit):
    if unit == 1.0 or block.weights is None:
        return block
    return block._replace(weights=block.weights / unit)


def _on_rows(block, beside, *, function, fold, unit, others):
    if fold is not None:
        number, are_others = fold
        here = np.flatnonzero((beside["fold"] == number) != are_others)
        if len(here) == 0:
            return None
        beside = beside[here]
        y, weights = (v if v is None else v[here] for v in (block.y, block.weights))
        block = block._replace(X=block.X[here], y=y, weights=weights)
    offset = beside["offset"] if "offset" in beside.dtype.names else None
    return function(_in_unit(block, unit), offset, *others)


def kernel_slices(X, width=1):
    """Yield slices of rows, and these as C-ordered arrays, as kernels take them."""
    if not sparse.issparse(X):
        X = np.ascontiguousarray(X)
    for rows, part in dense_slices(X, width, entries=_ENTRIES):
        yield rows, read_only(np.ascontiguousarray(part))


# Before anything is fitted


class Outline:
    """What one pass tells of the columns and the target before anything is fitted."""

    def __init__(self, X, y, weights, *, labels):
        n, p = X.shape
        w = np.ones(n) if weights is None else weights
        self.n_rows, self.weight = n, float(w.sum())
        first = X[:1].toarray()[0] if sparse.issparse(X) else X[0]
        first = read_only(first.astype(np.float64))  # constants stay what they are
        steps, self.squares = np.zeros(p), np.zeros(p)
        for rows, A in kernel_slices(X):
            kernels.products(A, first, read_only(w[rows]), steps)
        self.mean = first + steps / self.weight
        center = read_only(self.mean)
        for rows, A in kernel_slices(X):
            kernels.squares(A, center, read_only(w[rows]), self.squares)
        self.y_sum, self.lowest = 0.0, np.inf
        if y.dtype.kind in "fiub":  # not of labels
            self.y_sum, self.lowest = float(w @ y), float(y.min())
        self.classes = None  # none, or too many
        if labels:
            found = np.unique(y)
            if len(found) <= MOST_CLASSES:
                mass = [float(w[y == label].sum()) for label in found]
                self.classes = dict(zip(found.tolist(), mass, strict=True))

    def divided(self, unit):
        """Return what the outline is of weights divided by a power of two."""
        out = object.__new__(Outline)
        vars(out).update(vars(self))
        out.weight, out.squares = self.weight / unit, self.squares / unit
        out.y_sum = self.y_sum / unit
        if self.classes is not None:
            out.classes = {label: mass / unit for label, mass in self.classes.items()}
        return out

    def merged(self, other):
        """Put the outlines of two sets of rows together."""
        out = object.__new__(Outline)
        out.n_rows = self.n_rows + other.n_rows
        out.weight = self.weight + other.weight
        step = other.mean - self.mean
        out.mean = self.mean + step * (other.weight / out.weight)
        between = self.weight * other.weight / out.weight
        out.squares = self.squares + other.squares + between * step * step
        out.y_sum = self.y_sum + other.y_sum
        out.lowest = min(self.lowest, other.lowest)
        out.classes = None
        if self.classes is not None and other.classes is not None:
            out.classes = dict(self.classes)
            for label, mass in other.classes.items():
                out.classes[label] = out.classes.get(label, 0.0) + mass
            if len(out.classes) > MOST_CLASSES:
                out.classes = None
        return out


def outline(block, offset, labels):
    """Return the :class:`Outline` of a block, with the masses of its labels if asked.

    Parameters
    ----------
    block : Block
    offset : ndarray or None
    labels : bool
    """
    y = block.y
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None. Pass it "
            "to fit or row_blocks, as an array, the name of a column, or in the blocks."
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"y should be a 1d array, got an array of shape {y.shape}.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("Input y contains NaN or infinity.")
    return Outline(block.X, y, block.weights, labels=labels)


# Losses of one linear predictor


def sums(block, offset, make, at, working, multiples, with_columns):
    """Return sums of the loss and its derivatives at some coefficients.

    Parameters
    ----------
    block : Block
    offset : ndarray of shape (n_rows,) or None
    make : callable
        Makes the datafit of targets and weights.
    at : tuple
        The center of the columns, those with coefficients, these, and the intercept.
    working : ndarray of int, "gradient" or None
        Features of the Hessian; only the gradient; or neither.
    multiples : tuple of float
        Of the gradient, at which the conjugate is wanted.
    with_columns : bool
        Whether the sums of the centered columns are wanted too.

    Returns
    -------
    out : dict
        ``H`` has the intercept in its last row and column.
    """
    center, columns, w, shift = at
    datafit = make(block.y.reshape(len(block.y)), block.weights)
    code, shape, target = loss_code(datafit)
    n, p = block.X.shape
    with_hessian = isinstance(working, np.ndarray)
    center, columns, w = map(read_only, (center, columns, w))
    g, fits, none = np.empty(n), np.empty(n), read_only(np.empty(0, dtype=np.int64))
    value, bend, steep, conjugates = 0.0, 0.0, 0.0, [0.0 for _ in multiples]
    out = {}
    if working is not None:
        out["q"] = np.zeros(p)
    if with_columns:
        out["columns"] = np.zeros(p)
    if with_hessian:
        out["H"] = np.zeros((len(working) + 1, len(working) + 1))
    for rows, A in kernel_slices(block.X):
        fit, slope, h = fits[rows], g[rows], np.empty(len(A))
        kernels.predictors(A, center, columns, w, fit)
        eta = fit + shift
        if offset is not None:
            eta += offset[rows]
        y, s = read_only(target[rows]), read_only(datafit.weights[rows])
        value += evaluate(
            code, shape, float(datafit.floor), y, s, none, eta, slope, h, n > 0
        )
        bend += float(h.sum())
        steep = max(steep, float(h.max()))
        if working is not None:
            kernels.products(A, center, read_only(-slope), out["q"])
        if with_columns:
            kernels.products(A, center, read_only(np.ones(len(A))), out["columns"])
        if with_hessian:
            B = np.empty((len(A), len(working) + 1))
            kernels.weighted_columns(A, center, read_only(working), np.sqrt(h), B)
            out["H"] += B.T @ B
        for k, multiple in enumerate(multiples):
            conjugates[k] += conjugate(code, shape, y, s, eta, slope, float(multiple))
            if offset is not None:
                conjugates[k] -= multiple * float(offset[rows] @ slope)
    bound = datafit.curvature_bound
    eta = fits + shift if offset is None else fits + shift + offset
    out |= {
        "value": value,
        "magnitude": datafit.magnitude(eta) if multiples else abs(value),
        "saturated": datafit.saturated,
        "slope": float(g.sum()),
        "absolute": float(np.abs(g).sum()),
        "square": float(g @ g),
        "fall": float(g @ fits),
        "bend": bend,
        "steepest": steep if bound is None else float(np.max(bound)),
        "weight": datafit.total,
    }
    for k, total in enumerate(conjugates):
        out[f"conjugate{k}"] = total
    return out


def merge_named(a, b):
    """Add sums by their names."""
    return {name: a[name] + b[name] for name in a}


def merge(a, b):
    """Add what two blocks have summed."""
    out = merge_named(a, b)
    out["steepest"] = max(a["steepest"], b["steepest"])
    return out


# Losses of one linear predictor for each class


def class_sums(block, offset, make, at, working, multiples, with_columns):
    """Return what :func:`sums` does, of a predictor for each class.

    Slopes are arrays with an entry for each class, ``q`` has a column for each, and
    ``bend`` is the matrix of second derivatives in the intercepts. ``H`` goes through
    the classes of a feature before it goes to the next.
    """
    center, columns, w, shift = at
    datafit = make(block.y.reshape(len(block.y)), block.weights)
    n, p = block.X.shape
    C = datafit.n_classes
    fit = np.zeros((n, C))
    for rows, A in kernel_slices(block.X):
        fit[rows] = (A[:, columns] - center[columns]) @ w
    eta = fit + shift if offset is None else fit + shift + offset
    P, S = datafit.model(eta)
    g = S.copy()
    g[datafit.rows, datafit.codes] -= datafit.weights
    value = datafit.value(eta)
    out = {
        "value": value,
        "magnitude": abs(value),
        "saturated": 0.0,
        "slope": g.sum(axis=0),
        "absolute": np.abs(g).sum(axis=0),
        "square": float(np.vdot(g, g)),
        "fall": float(np.vdot(g, fit)),
        "bend": np.diag(S.sum(axis=0)) - P.T @ S,
        "steepest": 0.5 * float(datafit.weights.max()),
        "weight": datafit.total,
    }
    if working is not None:
        out["q"] = np.zeros((p, C))
        if with_columns:
            out["columns"] = np.zeros(p)
        for rows, A in kernel_slices(block.X):
            A = A - center
            out["q"] -= A.T @ g[rows]
            if with_columns:
                out["columns"] += A.sum(axis=0)
    if isinstance(working, np.ndarray):
        m = len(working) + 1
        H = np.zeros((m, C, m, C))
        for rows, A in kernel_slices(block.X):
            Z = np.ones((len(A), m))
            Z[:, :-1] = A[:, working] - center[working]
            for c in range(C):
                weighted = S[rows, c, None] * Z
                H[:, c, :, c] += Z.T @ weighted
                for d in range(c + 1):
                    part = Z.T @ (P[rows, d, None] * weighted)
                    H[:, c, :, d] -= part
                    if d < c:
                        H[:, d, :, c] -= part
        out["H"] = H.reshape(m * C, m * C)
    for k, multiple in enumerate(multiples):
        total = datafit.conjugate(multiple * g)
        if offset is not None:
            total -= multiple * float(np.vdot(offset, g))
        out[f"conjugate{k}"] = total
    return out


# Losses of other rows


def losses(block, offset, make, at, row_losses, model):
    """Return sums of the losses of many results over a block, weights and rows.

    Parameters
    ----------
    block, offset, make : see :func:`sums`
    at : tuple
        The center of the columns, coefficients (n_features, n_results), and intercepts.
    row_losses : callable
        Of a model, targets and predictors.
    model : object
    """
    center, coefs, shifts = at
    datafit = make(block.y.reshape(len(block.y)), block.weights)
    used = np.flatnonzero(coefs.any(axis=1))
    total = np.zeros(len(shifts))
    for rows, A in kernel_slices(block.X, len(shifts)):
        eta = (A[:, used] - center[used]) @ coefs[used] + shifts
        if offset is not None:
            eta += offset[rows, None]
        values = row_losses(model, datafit.y[rows, None], eta)
        total += datafit.weights[rows] @ values
    return total, datafit.total, block.X.shape[0]


def class_losses(block, offset, make, at, row_losses, model):
    """Return what :func:`losses` does, of a predictor for each class."""
    center, coefs, shifts = at
    datafit = make(block.y.reshape(len(block.y)), block.weights)
    used = np.flatnonzero(coefs.any(axis=(1, 2)))
    total = np.zeros(shifts.shape[1])
    for rows, A in kernel_slices(block.X, shifts.size):
        A = A[:, used] - center[used]
        for k in range(len(total)):
            eta = A @ coefs[used, :, k] + shifts[:, k]
            if offset is not None:
                eta += offset[rows]
            values = row_losses(model, datafit.codes[rows], eta)
            total[k] += datafit.weights[rows] @ values
    return total, datafit.total, block.X.shape[0]
