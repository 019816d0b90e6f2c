"""A sparse denoising autoencoder whose connections move: training and evolution.

The pattern of both layers changes after every epoch, as in sparse evolutionary training
(Mocanu et al., Nature Communications 9, 2018): the weights nearest to zero on either
side make room for new ones at random places.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from scipy import sparse

__all__ = ["Layer", "Network", "Training", "evolve", "new_network", "train_epoch"]

_SPREAD = 0.1  # standard deviation of a new weight


@dataclass
class Layer:
    """Weights between features (rows) and hidden units (columns), and velocities."""

    data: np.ndarray
    velocity: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    n_columns: int

    @property
    def places(self):
        """The numbers of the stored entries, row by row, which rise."""
        n_rows = len(self.indptr) - 1
        rows = np.repeat(np.arange(n_rows, dtype=np.int64), np.diff(self.indptr))
        return rows * self.n_columns + self.indices

    @classmethod
    def at(cls, places, data, velocity, n_rows, n_columns):
        """Return the layer with these entries, whose places rise."""
        rows, columns = np.divmod(places, n_columns)
        counts = np.bincount(rows, minlength=n_rows)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return cls(data, velocity, columns.astype(np.int32), indptr, n_columns)

    def matrix(self):
        """Return the weights as a sparse array of features by hidden units."""
        shape = (len(self.indptr) - 1, self.n_columns)
        return sparse.csr_array((self.data, self.indices, self.indptr), shape=shape)


@dataclass
class Network:
    """Both layers and the biases of hidden units and outputs."""

    encoder: Layer
    decoder: Layer
    hidden_bias: np.ndarray
    hidden_velocity: np.ndarray
    output_bias: np.ndarray
    output_velocity: np.ndarray

    def copy(self):
        """Return a network that shares nothing with this one."""
        return deepcopy(self)


@dataclass(frozen=True)
class Training:
    """How a network is trained."""

    batch_size: int
    rate: float
    momentum: float
    decay: float
    dropout: float
    noise: float


def new_network(n_features, n_hidden, epsilon, rng, dtype=np.float32):
    """Draw both layers at random, with epsilon (p + h) entries each."""
    total = n_features * n_hidden
    n_entries = min(total, max(1, round(epsilon * (n_features + n_hidden))))
    layers = []
    for _ in range(2):
        places = _free_places(np.empty(0, np.int64), n_entries, total, rng)
        data = (_SPREAD * rng.standard_normal(n_entries)).astype(dtype)
        velocity = np.zeros(n_entries, dtype)
        layers.append(Layer.at(np.sort(places), data, velocity, n_features, n_hidden))
    hidden, output = np.zeros(n_hidden, dtype), np.zeros(n_features, dtype)
    return Network(*layers, hidden, hidden.copy(), output, output.copy())


def _free_places(taken, count, total, rng):
    """Draw `count` distinct places out of 0..total-1 that are not taken.

    `taken` rises.
    """
    free = total - len(taken)
    if 3 * (len(taken) + count) > total:  # then rejection would take long
        left = np.setdiff1d(np.arange(total), taken, assume_unique=True)
        return left[rng.permutation(free)[:count]]
    found = np.empty(0, np.int64)
    while len(found) < count:
        drawn = rng.integers(0, total, 2 * (count - len(found)) + 16)
        at = np.searchsorted(taken, drawn)
        at[at == len(taken)] = 0
        if len(taken):
            drawn = drawn[taken[at] != drawn]
        both = np.concatenate([found, drawn])
        # The first of each, in the order of drawing.
        found = both[np.sort(np.unique(both, return_index=True)[1])]
    return found[:count]


def evolve(layer, zeta, rng):
    """Return the layer with a share of its weights replaced by new ones elsewhere.

    Of the positive weights the share `zeta` goes that is smallest, of the negative ones
    that which is nearest to zero. As many new ones come at places that are free then.
    """
    data = layer.data
    keep = np.ones(len(data), bool)
    for side in (np.flatnonzero(data > 0), np.flatnonzero(data <= 0)):
        n_out = int(zeta * len(side))
        if n_out:
            order = np.argsort(np.abs(data[side]), kind="stable")
            keep[side[order[:n_out]]] = False
    n_new = int(len(data) - keep.sum())
    n_rows = len(layer.indptr) - 1
    kept = layer.places[keep]
    new = _free_places(kept, n_new, n_rows * layer.n_columns, rng)
    values = (_SPREAD * rng.standard_normal(n_new)).astype(data.dtype)
    places = np.concatenate([kept, new])
    order = np.argsort(places, kind="stable")
    return Layer.at(
        places[order],
        np.concatenate([data[keep], values])[order],
        np.concatenate([layer.velocity[keep], np.zeros_like(values)])[order],
        n_rows,
        layer.n_columns,
    )


def train_epoch(network, X, shift, factor, weights, training, rng):
    """Train once on all rows of X, in place; return the mean loss.

    Rows are scaled to ``(x - shift) * factor`` batch by batch, in which form alone a
    sparse X becomes dense.
    """
    n = X.shape[0]
    order = rng.permutation(n)
    loss = total = 0.0
    for first in range(0, n, training.batch_size):
        rows = order[first : first + training.batch_size]
        batch = X[rows].toarray() if sparse.issparse(X) else X[rows]
        batch = (batch - shift) * factor
        batch_weights = None if weights is None else weights[rows]
        size = float(len(rows) if weights is None else batch_weights.sum())
        loss += size * train_batch(network, batch, batch_weights, training, rng)
        total += size
    return loss / total


def train_batch(network, batch, weights, training, rng):
    """Take one step of momentum on the rows of a batch, in place; return the loss."""
    from sparsestat.feature_selection import _kernels_layers as kernels

    encoder, decoder = network.encoder, network.decoder
    dtype = encoder.data.dtype
    X = np.ascontiguousarray(batch.T, dtype=dtype)
    n = X.shape[1]
    weights = np.full(n, 1.0) if weights is None else weights
    weights = (weights / weights.sum()).astype(dtype)
    noisy = X
    if training.noise:
        noisy = rng.standard_normal(X.shape, dtype=dtype)
        noisy *= dtype.type(training.noise)
        noisy += X
    H = np.repeat(network.hidden_bias[:, None], n, axis=1)
    kernels.encode(encoder.data, encoder.indices, encoder.indptr, noisy, H)
    H *= dtype.type(0.5)  # the logistic function, which cannot overflow in this form
    np.tanh(H, out=H)
    H += dtype.type(1)
    H *= dtype.type(0.5)
    slope = H * (1 - H)
    if training.dropout:
        level = min(round(training.dropout * 65536), 65535)
        kept = rng.integers(0, 65536, H.shape, dtype=np.uint16) >= level
        mask = kept * dtype.type(65536 / (65536 - level))
        H *= mask
        slope *= mask
    back = np.zeros_like(H)
    steps = (training.rate, training.momentum, training.decay)
    steps = tuple(dtype.type(step) for step in steps)
    loss = kernels.decode_and_update(
        decoder.data,
        decoder.velocity,
        decoder.indices,
        decoder.indptr,
        network.output_bias,
        network.output_velocity,
        H,
        X,
        weights,
        *steps,
        back,
    )
    back *= slope
    kernels.update_encoder(
        encoder.data,
        encoder.velocity,
        encoder.indices,
        encoder.indptr,
        noisy,
        back,
        *steps,
    )
    network.hidden_velocity *= steps[1]
    network.hidden_velocity -= steps[0] * back.sum(axis=1)
    network.hidden_bias += network.hidden_velocity
    return loss
