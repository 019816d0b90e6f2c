r"""Layers of Gram matrices: from one to the next through a kernel, and the way back.

A kernel that needs the Gram matrix G of its inputs alone acts on Gram matrices. A
layer of a deep kernel machine takes G to :math:`G' = L V V' L'`, where
:math:`L L' = K(G)` and V is a lower triangular matrix that is learned; V = I leaves the
kernel as it is. In these whitened terms the Kullback-Leibler divergence of
:math:`N(0, G')` from :math:`N(0, K(G))` is
:math:`(\|V\|_F^2 - 2 \sum_i \log V_{ii} - m) / 2`. Rows t beside the m that carry the
layers follow by

.. math::

    x_t = L^{-1} K_{mt} , \quad G'_{mt} = L V V' x_t , \quad
    g'_t = k_t - |x_t|^2 + |V' x_t|^2 ,

each for itself, so that n rows cost O(n m^2) a layer. Derivatives go back by hand
through every step; symmetric matrices have symmetric derivatives.

References
----------
.. [1] A. X. Yang, M. Robeyns, E. Milsom, B. Anson, N. Schoots, L. Aitchison, "A theory
   of representation learning gives a deep generalisation of kernel methods", ICML,
   2023.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import blas

from sparsestat.gaussian_process._kernel._inducing import jittered_cholesky

__all__ = ["Trunk", "between", "build", "cholesky_back", "solve_lower"]


def solve_lower(L, M, *, transposed=False):
    """Return L^-1 M, or L^-T M, for the lower triangular L; M keeps its content."""
    M = np.array(M, order="C")  # a copy: seen in Fortran's order, a solve from right
    return blas.dtrsm(
        1.0, L, M.T, side=1, lower=1, trans_a=not transposed, overwrite_b=1
    ).T


def _triangle(L, M, *, transposed=False):
    """Return L M, or L' M, for the lower triangular L."""
    M = np.array(M, order="C")
    return blas.dtrmm(
        1.0, L, M.T, side=1, lower=1, trans_a=not transposed, overwrite_b=1
    ).T


def cholesky_back(L, L_bar):
    """Chain derivatives from a Cholesky factor to the matrix that was factored."""
    inner = np.tril(L.T @ np.tril(L_bar))
    inner.flat[:: len(L) + 1] *= 0.5
    half = solve_lower(L, inner, transposed=True)
    full = solve_lower(L, half.T, transposed=True)
    return 0.5 * (full + full.T)


# Kernels of Gram matrices. `forward` takes G and the roots of the variances of rows and
# columns (the variances themselves for the Gaussian kernel) and returns K with what
# `back` needs; `back` returns derivatives in G and in both variances.


def _relu(G, g, h):
    d, e = np.sqrt(g), np.sqrt(h)
    size = np.multiply.outer(d, e)
    cosine = np.divide(G, size, out=np.zeros_like(size), where=size > 0)
    np.clip(cosine, -1.0, 1.0, out=cosine)
    sine = np.sqrt(1.0 - cosine * cosine)
    sine /= np.pi
    share = np.arccos(cosine, out=cosine)
    share /= -np.pi
    share += 1.0
    size *= sine
    size += share * G
    return size, (share, sine, d, e)


def _relu_back(saved, K, K_bar):
    share, sine, d, e = saved
    pull = K_bar * sine
    g_bar = np.divide(pull @ e, 2.0 * d, out=np.zeros_like(d), where=d > 0)
    h_bar = np.divide(d @ pull, 2.0 * e, out=np.zeros_like(e), where=e > 0)
    return K_bar * share, g_bar, h_bar


def _relu_square(saved, K, G):
    # On the diagonal the angle is zero, whatever rounding made of it.
    np.fill_diagonal(saved[0], 1.0)
    np.fill_diagonal(saved[1], 0.0)
    np.fill_diagonal(K, G.diagonal())


def _rbf(G, g, h):
    K = G - 0.5 * g[:, None]
    K -= 0.5 * h
    np.minimum(K, 0.0, out=K)
    return np.exp(K, out=K), ()


def _rbf_back(saved, K, K_bar):
    pull = K * K_bar
    return pull, -0.5 * pull.sum(axis=1), -0.5 * pull.sum(axis=0)


def _linear(G, g, h):
    return G.copy(), ()


def _linear_back(saved, K, K_bar):
    return K_bar, np.zeros(len(K)), np.zeros(K.shape[1])


def _nothing(saved, K, G):
    pass


_FORWARD = {"relu": _relu, "rbf": _rbf, "linear": _linear}
_BACK = {"relu": _relu_back, "rbf": _rbf_back, "linear": _linear_back}
_SQUARE = {"relu": _relu_square, "rbf": _nothing, "linear": _nothing}


def between(kernel, G, g, h):
    """Return the kernel between two sets of rows.

    Parameters
    ----------
    kernel : {"relu", "rbf", "linear"}
        ``"relu"`` is the arc-cosine kernel of order 1, scaled to keep variances.
    G : ndarray of shape (m, n)
        Gram matrix of the rows of one set with those of the other.
    g, h : ndarray of shape (m,) and (n,)
        Their variances.

    Returns
    -------
    K : ndarray of shape (m, n)
        The kernel.
    """
    return _FORWARD[kernel](G, g, h)[0]


def _variances(kernel, g):
    return np.ones_like(g) if kernel == "rbf" else g


@dataclass
class _Layer:
    """A layer between the rows that carry it, and derivatives as they come in."""

    G: np.ndarray
    saved: tuple
    K: np.ndarray
    L: np.ndarray
    V: np.ndarray | None  # None on top
    L_bar: np.ndarray
    V_bar: np.ndarray | None
    g_bar: np.ndarray
    jitter: float


class Trunk:
    """Layers built on the Gram matrix of the inputs of m rows.

    `layers` has one more entry than there are learned matrices: the last is the kernel
    that the outputs are drawn from.
    """

    def __init__(self, kernel, layers):
        self.kernel, self.layers = kernel, layers

    @property
    def grams(self):
        """Gram matrices after each layer, the first one learned first."""
        return [layer.G for layer in self.layers[1:]]

    def settled(self):
        """Return the same layers, without what only the way back needs."""
        layers = [
            _Layer(t.G, None, None, t.L, t.V, None, None, None, t.jitter)
            for t in self.layers
        ]
        return Trunk(self.kernel, layers)

    def fresh(self):
        """Return the same layers, which have collected no derivatives."""
        layers = [
            replace(
                t,
                L_bar=np.zeros_like(t.L_bar),
                V_bar=None if t.V_bar is None else np.zeros_like(t.V_bar),
                g_bar=np.zeros_like(t.g_bar),
            )
            for t in self.layers
        ]
        return Trunk(self.kernel, layers)

    def collected(self):
        """Return the derivatives that the layers have collected from rows."""
        bars = [(t.L_bar, t.g_bar, t.V_bar) for t in self.layers]
        return [bar for layer in bars for bar in layer if bar is not None]

    def collect(self, bars):
        """Add derivatives that the same layers have collected elsewhere."""
        for own, more in zip(self.collected(), bars, strict=True):
            own += more

    def divergence(self):
        """Return the sum of the Kullback-Leibler divergences of the layers."""
        total = 0.0
        for layer in self.layers[:-1]:
            V = layer.V
            total += 0.5 * (np.sum(V * V) - len(V)) - np.log(V.diagonal()).sum()
        return float(total)

    def rows(self, G, g):
        """Carry further rows through all layers.

        Parameters
        ----------
        G : ndarray of shape (m, n)
            Gram matrix of the inputs of the m rows with those of the n.
        g : ndarray of shape (n,)
            Squared lengths of the latter.

        Returns
        -------
        A : ndarray of shape (m, n)
            :math:`L^{-1} K_{mn}` of the last layer.
        k : ndarray of shape (n,)
            Variances of the last layer.
        saved : list
            For the way back; and :math:`x_t`, :math:`V' x_t` of the layers.
        """
        saved = []
        for layer in self.layers:
            diagonal = layer.G.diagonal()
            K, kept = _FORWARD[self.kernel](G, diagonal, g)
            k = _variances(self.kernel, g)
            x = solve_lower(layer.L, K)
            if layer.V is None:
                saved.append((K, kept, x, None, None))
                return x, k, saved
            y = _triangle(layer.V, x, transposed=True)
            G = _triangle(layer.L @ layer.V, y)
            g = k - np.einsum("ij,ij->j", x, x) + np.einsum("ij,ij->j", y, y)
            saved.append((K, kept, x, y, g > 0))
            g = np.maximum(g, 0.0)
        raise AssertionError("the last layer has no matrix V")

    def rows_back(self, saved, A_bar, k_bar):
        """Chain derivatives back to the inputs; the layers collect theirs.

        Parameters
        ----------
        saved : list
            Of :meth:`rows`.
        A_bar : ndarray of shape (m, n)
            Derivatives in A.
        k_bar : ndarray of shape (n,)
            Derivatives in k.

        Returns
        -------
        G_bar : ndarray of shape (m, n)
            Derivatives in the Gram matrix of the inputs.
        g_bar : ndarray of shape (n,)
            And in their squared lengths.
        """
        x_bar, G_bar, g_bar = A_bar, None, None
        for layer, (K, kept, x, y, alive) in zip(
            reversed(self.layers), reversed(saved), strict=True
        ):
            if y is not None:
                g_bar = np.where(alive, g_bar, 0.0)
                root_bar = G_bar @ y.T
                layer.L_bar += root_bar @ layer.V.T
                layer.V_bar += layer.L.T @ root_bar
                y_bar = _triangle(layer.L @ layer.V, G_bar, transposed=True)
                y_bar += 2.0 * y * g_bar
                layer.V_bar += x @ y_bar.T
                x_bar = _triangle(layer.V, y_bar)
                x_bar -= 2.0 * x * g_bar
                k_bar = g_bar
            K_bar = solve_lower(layer.L, x_bar, transposed=True)
            layer.L_bar -= K_bar @ x.T
            G_bar, m_bar, g_bar = _BACK[self.kernel](kept, K, K_bar)
            if self.kernel != "rbf":
                g_bar = g_bar + k_bar
            layer.g_bar += m_bar
        return G_bar, g_bar

    def back(self, K_bar=None, weight=0.0):
        """Finish the way back, once all rows went it.

        Parameters
        ----------
        K_bar : ndarray of shape (m, m), default=None
            Derivatives in the (jittered) kernel of the last layer.
        weight : float, default=0.0
            The objective has minus `weight` times the divergence of the layers.

        Returns
        -------
        G_bar : ndarray of shape (m, m)
            Derivatives in the Gram matrix of the inputs. Those in the matrices V are
            in the `V_bar` of the layers.
        """
        G_bar = None
        for layer in reversed(self.layers):
            if layer.V is not None:
                root = layer.L @ layer.V
                root_bar = 2.0 * G_bar @ root
                layer.L_bar += root_bar @ layer.V.T
                layer.V_bar += layer.L.T @ root_bar
                if weight:
                    layer.V_bar -= weight * layer.V
                    layer.V_bar.flat[:: len(root) + 1] += weight / layer.V.diagonal()
                layer.V_bar = np.tril(layer.V_bar)
                K_bar = None
            total = cholesky_back(layer.L, layer.L_bar)
            if K_bar is not None:
                total += K_bar
            total.flat[:: len(total) + 1] += layer.jitter * np.trace(total) / len(total)
            G_bar, g_bar, h_bar = _BACK[self.kernel](layer.saved, layer.K, total)
            G_bar = np.array(G_bar)
            G_bar.flat[:: len(total) + 1] += g_bar + h_bar + layer.g_bar
            G_bar = 0.5 * (G_bar + G_bar.T)
        return G_bar

    def between_rows(self, first, second, G):
        """Return the kernel of the last layer between two sets of further rows.

        Parameters
        ----------
        first, second : list
            What :meth:`rows` saved of the two, each with the variances of the inputs
            before it as ``(g, saved)``.
        G : ndarray of shape (n1, n2)
            Gram matrix of their inputs.

        Returns
        -------
        K : ndarray of shape (n1, n2)
            The kernel, consistent with the variances that :meth:`rows` returns.
        """
        (g, ones), (h, others) = first, second
        for layer, one, other in zip(self.layers, ones, others, strict=True):
            K = between(self.kernel, G, g, h)
            if layer.V is None:
                return K
            (_, _, x, y, _), (_, _, z, w, _) = one, other
            G = K - x.T @ z + y.T @ w
            g, h = (
                np.maximum(
                    _variances(self.kernel, v)
                    - np.einsum("ij,ij->j", a, a)
                    + np.einsum("ij,ij->j", b, b),
                    0.0,
                )
                for v, a, b in ((g, x, y), (h, z, w))
            )
        raise AssertionError("the last layer has no matrix V")


def build(kernel, G, factors, jitter):
    """Build the layers on a Gram matrix of inputs.

    Parameters
    ----------
    kernel : {"relu", "rbf", "linear"}
        The kernel.
    G : ndarray of shape (m, m)
        Gram matrix of the inputs.
    factors : list of ndarray of shape (m, m)
        The lower triangular V of every layer.
    jitter : float
        Added to the diagonals of kernels, relative to their means.

    Returns
    -------
    trunk : Trunk
        The layers.
    """
    layers = []
    m = len(G)
    for V in [*factors, None]:
        g = G.diagonal().copy()
        K, saved = _FORWARD[kernel](G, g, g)
        _SQUARE[kernel](saved, K, G)
        L, used = jittered_cholesky(K, jitter)
        zero = None if V is None else np.zeros((m, m))
        layers.append(
            _Layer(G, saved, K, L, V, np.zeros((m, m)), zero, np.zeros(m), used)
        )
        if V is not None:
            root = L @ V
            G = root @ root.T
    return Trunk(kernel, layers)
