"""Two sparse layers of an autoencoder: forward, backward and update in one pass each.

Arrays hold one sample a column, so that every stored weight costs a few operations on
a contiguous row of the batch. Both layers are stored by feature: row i of the first
holds the weights from input i to the hidden units, row i of the second those from the
hidden units to output i.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["decode_and_update", "encode", "strengths", "update_encoder"]

# Sums over the batch may be taken in any order, by vector instructions.
FLAGS = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FLAGS)
def _dot(x, y):
    total = x[0] * 0
    for t in range(len(x)):
        total += x[t] * y[t]
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FLAGS)
def encode(data, indices, indptr, X, out):
    """Add what the inputs send to the hidden units: out += W^T X."""
    for i in range(len(indptr) - 1):
        source = X[i]
        for q in range(indptr[i], indptr[i + 1]):
            target, w = out[indices[q]], data[q]
            for t in range(len(source)):
                target[t] += w * source[t]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FLAGS)
def decode_and_update(
    data,
    velocity,
    indices,
    indptr,
    bias,
    bias_velocity,
    H,
    X,
    weights,
    rate,
    momentum,
    decay,
    back,
):
    """Reconstruct X from H, update the layer, and send the errors back to H.

    `weights` are those of the samples, which sum to one; `back` is zero on entry. The
    errors are sent through the weights as they were. Returns the loss, half the
    weighted sum of squares.
    """
    n = X.shape[1]
    delta = np.empty(n, X.dtype)
    loss = 0.0
    for i in range(len(indptr) - 1):
        for t in range(n):
            delta[t] = bias[i] - X[i, t]
        for q in range(indptr[i], indptr[i + 1]):
            source, w = H[indices[q]], data[q]
            for t in range(n):
                delta[t] += w * source[t]
        total = delta[0] * 0
        for t in range(n):
            error = delta[t]
            delta[t] *= weights[t]
            loss += 0.5 * error * delta[t]
            total += delta[t]
        for q in range(indptr[i], indptr[i + 1]):
            j, w = indices[q], data[q]
            target = back[j]
            for t in range(n):
                target[t] += w * delta[t]
            gradient = _dot(delta, H[j]) + decay * w
            velocity[q] = momentum * velocity[q] - rate * gradient
            data[q] += velocity[q]
        bias_velocity[i] = momentum * bias_velocity[i] - rate * total
        bias[i] += bias_velocity[i]
    return loss


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FLAGS)
def update_encoder(data, velocity, indices, indptr, X, delta, rate, momentum, decay):
    """Update the first layer by the errors of the hidden units."""
    for i in range(len(indptr) - 1):
        source = X[i]
        for q in range(indptr[i], indptr[i + 1]):
            gradient = _dot(source, delta[indices[q]]) + decay * data[q]
            velocity[q] = momentum * velocity[q] - rate * gradient
            data[q] += velocity[q]


@njit(cache=True, nogil=True, error_model="numpy")
def strengths(data, indptr):
    """Return the sum of the absolute weights of every row, in double precision."""
    out = np.zeros(len(indptr) - 1)
    for i in range(len(out)):
        for q in range(indptr[i], indptr[i + 1]):
            out[i] += abs(data[q])
    return out
