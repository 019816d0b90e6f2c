r"""Randomizers of single records, and the noise that a budget asks for.

The Gaussian mechanism is calibrated by its exact privacy curve: noise of standard
deviation s on a value of sensitivity D is (epsilon, delta)-private if and only if

.. math:: \Phi\Big(\frac{D}{2s} - \frac{\epsilon s}{D}\Big)
   - e^{\epsilon}\, \Phi\Big(-\frac{D}{2s} - \frac{\epsilon s}{D}\Big) \le \delta

(Balle and Wang, ICML 2018). The randomizer on the sphere is that of Duchi, Jordan and
Wainwright (JASA 2018).
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import numpy as np
from scipy.special import erfcx, expit, gammaln, ndtr

__all__ = [
    "clip_lengths",
    "gaussian_delta",
    "gaussian_scale",
    "make_generator",
    "pack_matrix",
    "pack_symmetric",
    "randomize_on_sphere",
    "sphere_length",
    "unpack_symmetric",
]

# Sensitivities are computed in real numbers; this covers the rounding of the
# clipping in front of them.
ROUNDING = 1.0 + 1e-12
_BISECTIONS = 120


def make_generator(random_state):
    """Return a generator; None seeds it from the operating system.

    Not from numpy's global state, which a user may have seeded: noise that can be
    reproduced protects nobody.
    """
    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31 - 1, size=4))
    return np.random.default_rng(random_state)


def gaussian_delta(scale, sensitivity, epsilon):
    """Return the least delta at which Gaussian noise is (epsilon, delta)-private.

    The second term of the privacy curve is written with the scaled complementary
    error function, so that no exponential of epsilon is ever formed.
    """
    a = 0.5 * sensitivity / scale
    b = epsilon * scale / sensitivity
    density = math.exp(-0.5 * (b - a) * (b - a))  # a power would raise on overflow
    return float(ndtr(a - b) - 0.5 * density * erfcx((a + b) / math.sqrt(2.0)))


def gaussian_scale(sensitivity, epsilon, delta):
    """Return the smallest standard deviation that is (epsilon, delta)-private."""
    low = high = 1.0
    while gaussian_delta(high, 1.0, epsilon) > delta:
        high *= 2.0
    while gaussian_delta(low, 1.0, epsilon) <= delta:
        low /= 2.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        if gaussian_delta(middle, 1.0, epsilon) <= delta:
            high = middle
        else:
            low = middle
    return high * sensitivity  # the private end of the last interval


def sphere_length(n_entries, radius, epsilon):
    """Return the length of a message of the sphere randomizer.

    Vectors of at most `radius` are randomized without bias into vectors of this
    length.
    """
    half = 0.5 * n_entries
    # 1 / E|V_1| for V uniform on the unit sphere.
    inverse = math.sqrt(math.pi) * math.exp(gammaln(half + 0.5) - gammaln(half))
    return radius * inverse / math.tanh(0.5 * epsilon)


def clip_lengths(G, radius):
    """Shorten the rows of G that are longer than `radius`; return G and its lengths."""
    lengths = np.sqrt(np.einsum("ij,ij->i", G, G))
    factors = np.ones_like(lengths)
    np.divide(radius, lengths, out=factors, where=lengths > radius)
    return G * factors[:, None], np.minimum(lengths, radius)


def randomize_on_sphere(G, radius, epsilon, rng):
    """Return an epsilon-private, unbiased version of each row of G.

    A row g is rounded to a unit vector u = +g/|g| or -g/|g| of mean g/radius; the
    message is uniform on the half of the sphere around u with probability
    e^epsilon / (1 + e^epsilon), and on the other half otherwise.
    """
    G, lengths = clip_lengths(G, radius)
    n, d = G.shape
    V = rng.standard_normal((n, d))
    norms = np.sqrt(np.einsum("ij,ij->i", V, V))
    if not norms.all():  # a draw of exactly zero has no direction
        V[norms == 0, 0] = 1.0
        norms[norms == 0] = 1.0
    # The point is uniform, so moving it to the wanted side of the hyperplane leaves
    # it uniform there. For g = 0 either side is as good: u is then a fair coin.
    along = rng.random(n) < 0.5 + 0.5 * lengths / radius
    # The rare event is drawn: its probability, rounded up to the grid of the uniform
    # numbers, is never below 1 / (1 + e^epsilon), so that the ratio stays within
    # e^epsilon even where e^epsilon / (1 + e^epsilon) is 1 in double precision.
    honest = rng.random(n) >= max(expit(-epsilon), 5e-324)
    side = np.einsum("ij,ij->i", V, G) >= 0
    keep = side == (along == honest)
    factors = np.where(keep, 1.0, -1.0) * sphere_length(d, radius, epsilon)
    V *= (factors / norms)[:, None]
    return V


def _triangle(n):
    rows, columns = np.tril_indices(n)
    return rows, columns, np.where(rows == columns, 1.0, math.sqrt(2.0))


def pack_symmetric(Z):
    """Return the products z z' of the rows of Z as vectors of the same inner products.

    The lower triangle row by row, off the diagonal times the square root of 2: the
    Euclidean norm of the vector is the Frobenius norm of the matrix.
    """
    rows, columns, factors = _triangle(Z.shape[1])
    return Z[:, rows] * Z[:, columns] * factors


def pack_matrix(M):
    """Return one symmetric matrix as a vector, as `pack_symmetric` does."""
    rows, columns, factors = _triangle(len(M))
    return M[rows, columns] * factors


def unpack_symmetric(vector):
    """Return the symmetric matrix that `pack_symmetric` would turn into a vector."""
    n = (math.isqrt(8 * len(vector) + 1) - 1) // 2
    rows, columns, factors = _triangle(n)
    M = np.empty((n, n))
    M[rows, columns] = vector / factors
    M[columns, rows] = M[rows, columns]
    return M
