"""Non-negative codes of rows, in memory or in blocks, for given components."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import linalg

from sparsestat._utils.arithmetic import power_of_two
from sparsestat._utils.moments import check_width, dense_slices, merge_sums
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude, read_only
from sparsestat.decomposition._low_rank import _kernels_nnls as kernels

__all__ = ["FactorBlocks", "better_codes", "least_codes", "positive_parts"]

_SWEEPS = 5  # of non-negative least squares in each iteration of "hals"
_EPS = 1e-12


def better_codes(X, H, G, solver):
    """Return codes after a step, and the products of rows and components."""
    P, Q = np.ascontiguousarray(X @ H.T), H @ H.T
    if solver == "hals":
        kernels.nnls_rows(read_only(P), read_only(Q), G, _SWEEPS, 0.0)
        return G, P
    return _multiply(P, Q, G), P


def least_codes(X, H):
    """Return the non-negative codes with the least squared errors."""
    P, Q = np.ascontiguousarray(X @ H.T), H @ H.T
    G, k = np.zeros(P.shape), len(Q)
    work = np.empty(k, dtype=np.int64), np.empty((k, k)), np.empty(k)
    # Coordinate descent crawls when components are nearly dependent.
    kernels.nnls_active_set(read_only(P), read_only(Q), G, *work)
    return G


def _multiply(P, Q, G):
    """Return the codes after one multiplicative update."""
    up, down = np.maximum(P, 0), np.maximum(-P, 0)
    Q_up, Q_down = np.maximum(Q, 0), np.maximum(-Q, 0)
    ratio = (up + G @ Q_down) / np.maximum(down + G @ Q_up, _EPS**2)
    return G * np.sqrt(ratio)


def positive_parts(U, s, used, w, weight):
    """Return the positive parts of singular vectors, not quite zero, as codes.

    Parameters
    ----------
    U : ndarray of shape (n_samples, rank)
        Left singular vectors, of either sign.
    s, used : ndarray of shape (rank,)
        Singular values, and whether they are any.
    w : ndarray of shape (n_samples, 1) or float
        Weights of the rows.
    weight : float
        Their sum.
    """
    up, down = ((w * np.maximum(sign * U, 0) ** 2).sum(axis=0) for sign in (1, -1))
    U = U * np.where(up >= down, 1.0, -1.0)
    floor = 0.3 * np.sqrt(s[0] / weight)
    # As large for many samples, or heavy ones, as for few.
    return np.maximum(np.where(used, U * np.sqrt(s), 0.0), floor) * weight**0.25


class FactorBlocks:
    """What the alternation asks of rows in blocks; codes of all rows are in memory.

    Rows and codes are multiplied by roots of the weights, as those in memory are.

    Parameters
    ----------
    blocks : RowBlocks
    n_components : int
    init : str or array
        Whether products of all pairs of features are wanted.
    name : str
        Of the class, for messages.

    Attributes
    ----------
    index : ndarray of int of shape (n_rows,)
        Where the rows of positive weight stand.
    weights : ndarray of shape (n_rows,)
        In units of `weight_unit`.
    total, mass : float
        Weighted sum of squares, and sum of weights.
    """

    def __init__(self, blocks, n_components, init, name):
        self.blocks, self.n_all = blocks, blocks.n_samples
        self.wants_gram = isinstance(init, str) and init == "svd"
        if self.wants_gram:
            check_width(name, blocks.n_features)
        rows = np.arange(self.n_all)
        parts, largest = blocks.reduce(_outline, _widest, rows=rows)
        self.index = np.concatenate([index for index, _ in parts])
        weights = np.concatenate([weights for _, weights in parts])
        self.unit = power_of_two(largest)
        self.weight_unit = power_of_two(np.sqrt(weights.max())) ** 2
        self.weights = weights / self.weight_unit
        self.mass = float(self.weights.sum())
        self.total, self.gram = self._reduce(_squares, None, self.wants_gram)

    def _reduce(self, function, G, *arguments):
        rows = np.empty((self.n_all, 0)) if G is None else G
        arguments = self.unit, self.weight_unit, *arguments
        return self.blocks.reduce(function, merge_sums, *arguments, rows=rows)

    def spread(self, G):
        """Return the codes of rows that are used as codes of all, times roots."""
        out = np.zeros((self.n_all, G.shape[1]))
        out[self.index] = G * np.sqrt(self.weights)[:, None]
        return out

    def directions(self, rank):
        """Return the leading singular values and right singular vectors."""
        values, vectors = linalg.eigh(self.gram)
        values = np.sqrt(np.maximum(values[::-1][:rank], 0.0))
        return values, vectors[:, ::-1][:, :rank].T

    def images(self, Vt):
        """Return the rows, without weights, times some vectors."""
        (parts,) = self._reduce(_images, None, Vt)
        return np.concatenate(parts)

    def products(self, G):
        """Return the products of codes with themselves and with the rows."""
        return self._reduce(_products, G)

    def update(self, H, G, solver):
        """Return better codes, their product with the fit, and their products."""
        parts, cross, gram, right = self._reduce(_update, G, H, solver)
        out = np.zeros(G.shape)
        out[self.index] = np.concatenate(parts)
        return out, cross, gram, right

    def least_error(self, H):
        """Return the squared error of the best codes."""
        return self._reduce(_error, None, H)[0]


def _points(block, unit, weight_unit):
    """Yield slices of rows, and these times the roots of their weights."""
    w = None if block.weights is None else np.sqrt(block.weights / weight_unit)
    for rows, part in dense_slices(block.X):
        part = part.astype(np.float64) / unit
        yield rows, part if w is None else part * w[rows, None]


def _outline(block, index):
    check_magnitude(block.X, largest=LARGEST_ENTRY)
    largest = float(abs(block.X).max()) if block.X.size else 0.0
    w = np.ones(len(index)) if block.weights is None else block.weights
    return ((index, w),), largest


def _widest(a, b):
    return a[0] + b[0], max(a[1], b[1])


def _squares(block, _, unit, weight_unit, wants_gram):
    total, p = 0.0, block.X.shape[1]
    gram = np.zeros((p, p)) if wants_gram else 0.0
    for _, part in _points(block, unit, weight_unit):
        total += float(np.vdot(part, part))
        if wants_gram:
            gram += part.T @ part
    return total, gram


def _images(block, _, unit, weight_unit, Vt):
    plain = block._replace(weights=None)
    out = np.empty((block.X.shape[0], len(Vt)))
    for rows, part in _points(plain, unit, weight_unit):
        out[rows] = part @ Vt.T
    return ((out,),)


def _products(block, G, unit, weight_unit):
    right = np.zeros((G.shape[1], block.X.shape[1]))
    for rows, part in _points(block, unit, weight_unit):
        right += G[rows].T @ part
    return G.T @ G, right


def _update(block, G, unit, weight_unit, H, solver):
    G, right, cross = np.array(G), np.zeros(H.shape), 0.0
    for rows, part in _points(block, unit, weight_unit):
        own, P = better_codes(part, H, np.ascontiguousarray(G[rows]), solver)
        G[rows] = own
        cross += float(np.vdot(P, own))
        right += own.T @ part
    return (G,), cross, G.T @ G, right


def _error(block, _, unit, weight_unit, H):
    total = 0.0
    for _, part in _points(block, unit, weight_unit):
        rest = part - least_codes(part, H) @ H
        total += float(np.vdot(rest, rest))
    return (total,)
