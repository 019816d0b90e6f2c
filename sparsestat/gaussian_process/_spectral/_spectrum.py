"""Grids of spectral components, and the covariances they stand for.

A component is a pair of Gaussian bumps at plus and minus a frequency; in several
dimensions either one cosine of the inner product (form "cosine") or a product of
cosines, one a dimension (form "product").
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import qmc

from sparsestat._utils.samples import distinct_rows
from sparsestat._utils.validation import read_only
from sparsestat.gaussian_process._spectral._kernels_gsm import product_gram

__all__ = [
    "Spectrum",
    "cross_covariance",
    "features",
    "make_grid",
    "product_tables",
    "typical_gap",
]

FEATURE_DIMS = 4  # up to here a product of cosines is expanded into 2**P features
CHUNK = 64  # components whose tables are held at once
_TENSOR_LIMIT = 5000


@dataclass(frozen=True)
class Spectrum:
    """Frequencies and widths, (n_components, n_features) each, and the form."""

    frequencies: np.ndarray
    sigmas: np.ndarray
    form: str = "product"

    def __len__(self):
        return len(self.frequencies)

    @property
    def n_dims(self):
        return self.frequencies.shape[1]

    @property
    def one_cosine(self):
        """Whether a component is one cosine times its envelope."""
        return self.form == "cosine" or self.n_dims == 1

    def take(self, index):
        """Return the components at `index`."""
        return Spectrum(self.frequencies[index], self.sigmas[index], self.form)

    def groups(self):
        """Return the distinct widths and, for each, the components that have it."""
        widths, inverse = distinct_rows(self.sigmas)
        return [(width, np.flatnonzero(inverse == k)) for k, width in enumerate(widths)]


def envelope(X, Z, width):
    """Return ``exp(-2 pi^2 sum_p width_p^2 (x_p - z_p)^2)`` for all pairs."""
    out = cdist(X * width, Z * width, "sqeuclidean")
    out *= -2.0 * np.pi**2
    return np.exp(out, out=out)


def features(X, spectrum):
    """Return features whose products sum to the cosines, of shape (d, n, A).

    d is 2 for one cosine, and 2**P for a product of P cosines.
    """
    if spectrum.one_cosine:
        phase = 2.0 * np.pi * (X @ spectrum.frequencies.T)
        return np.stack([np.cos(phase), np.sin(phase)])
    found = np.ones((1, len(X), len(spectrum)))
    for p in range(spectrum.n_dims):
        phase = 2.0 * np.pi * np.outer(X[:, p], spectrum.frequencies[:, p])
        found = np.concatenate([found * np.cos(phase), found * np.sin(phase)])
    return found


def product_tables(X, spectrum):
    """Return cosines and sines of shape (P, n, A), for the kernels of products."""
    phase = 2.0 * np.pi * X.T[:, :, None] * spectrum.frequencies.T[:, None, :]
    return np.cos(phase), np.sin(phase)


def cross_covariance(X, Z, spectrum, weights):
    """Return the covariance between the rows of X and of Z, noise left out."""
    out = np.zeros((len(X), len(Z)))
    for width, members in spectrum.groups():
        members = members[weights[members] > 0]
        if not len(members):
            continue
        part = spectrum.take(members)
        if part.one_cosine or part.n_dims <= FEATURE_DIMS:
            left, right = features(X, part), features(Z, part)
            gram = sum(
                (a * weights[members]) @ b.T for a, b in zip(left, right, strict=True)
            )
        else:
            gram = product_covariance(X, Z, part, weights[members])
        gram *= envelope(X, Z, width)
        out += gram
    return out


def product_covariance(X, Z, spectrum, weights, *, lower=False):
    """Return the weighted sum of products of cosines, without the envelope."""
    gram = np.zeros((len(X), len(Z)))
    for start in range(0, len(spectrum), CHUNK):
        chunk = slice(start, start + CHUNK)
        part = spectrum.take(chunk)
        left = product_tables(X, part)
        right = left if Z is X else product_tables(Z, part)
        product_gram(
            *map(read_only, (*left, *right, np.ascontiguousarray(weights[chunk]))),
            lower,
            gram,
        )
    return gram


def typical_gap(x):
    """Return the median distance between neighbors on a line (1.0 without any)."""
    gaps = np.diff(np.unique(x))
    gaps = gaps[gaps > 0]
    return float(np.median(gaps)) if len(gaps) else 1.0


def make_grid(X, n_components, *, form, grid, frequency_range, sigma, rng):
    """Place the components for the distinct points X.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Distinct training points.
    n_components : int
        Number of components; a tensor grid takes the largest power below it.
    form : {"product", "cosine"}
        What a component is.
    grid : {"uniform", "sobol", "random", "tensor"}
        How frequencies are placed.
    frequency_range : tuple or None
        Smallest and largest frequency, in cycles per unit of X. None asks the data.
    sigma : float, array or None
        Widths, in the same units. None takes half the spacing of the grid, but on a
        line not less than the inverse of the extent of X.
    rng : RandomState
        For the places drawn at random.

    Returns
    -------
    spectrum : Spectrum
        The components.
    """
    n_dims = X.shape[1]
    low, high = _frequency_box(X, frequency_range)
    if n_dims == 1:
        unit, spacing = _unit_line(n_components, grid, rng)
    else:
        unit, spacing = _unit_box(n_components, n_dims, grid, rng)
    frequencies = low + (high - low) * unit
    if form == "cosine" and n_dims > 1:
        # One cosine tells (+, +) from (+, -), so all signs but the first vary.
        signs = rng.choice([-1.0, 1.0], size=frequencies[:, 1:].shape)
        frequencies[:, 1:] *= signs
    if sigma is None:
        widths = 0.5 * spacing * (high - low)
        if n_dims == 1:
            # Two frequencies closer than one over the extent cannot be told apart,
            # and a narrower component would remember more than the data show.
            extent = float(np.ptp(X))
            widths = np.maximum(widths, 1.0 / extent if extent > 0 else high)
        sigmas = np.broadcast_to(widths, frequencies.shape)
    else:
        sigmas = np.broadcast_to(np.asarray(sigma, dtype=float), frequencies.shape)
    return Spectrum(frequencies, sigmas.copy(), form)


def _frequency_box(X, frequency_range):
    n_dims = X.shape[1]
    if frequency_range is not None:
        low, high = (
            np.broadcast_to(np.asarray(f, float), n_dims) for f in frequency_range
        )
        return low, high
    if n_dims == 1:
        return np.zeros(1), np.full(1, 0.5 / typical_gap(X[:, 0]))
    return np.zeros(n_dims), _highest_frequencies(X)


def _highest_frequencies(X):
    """Return, a dimension each, half the inverse of the distance of neighbors."""
    scale = X.std(axis=0)
    scale[scale == 0] = 1.0
    points = X / scale
    if len(points) < 2:
        return 0.5 / scale
    from scipy.spatial import cKDTree

    distance = cKDTree(points).query(points, k=2)[0][:, 1]
    distance = distance[distance > 0]
    gap = float(np.median(distance)) if len(distance) else 1.0
    return 0.5 / (gap * scale)


def _unit_line(n_components, grid, rng):
    if grid in ("uniform", "tensor") and n_components > 1:
        return np.linspace(0.0, 1.0, n_components)[:, None], 1.0 / (n_components - 1)
    if n_components == 1:
        return np.zeros((1, 1)), 1.0
    if grid == "sobol":
        unit = _sobol(n_components, 1, rng)
    else:
        unit = rng.uniform(size=(n_components, 1))
    unit = np.sort(unit, axis=0)
    unit[0] = 0.0
    return unit, 1.0 / (n_components - 1)


def _unit_box(n_components, n_dims, grid, rng):
    if grid == "uniform":
        grid = "sobol"
    if grid == "tensor":
        side = max(
            1, int(np.floor(min(n_components, _TENSOR_LIMIT) ** (1 / n_dims) + 1e-9))
        )
        axis = np.linspace(0.0, 1.0, side) if side > 1 else np.zeros(1)
        mesh = np.meshgrid(*[axis] * n_dims, indexing="ij")
        return np.stack([m.ravel() for m in mesh], axis=1), 1.0 / max(side - 1, 1)
    # Zero, then the axes (an eighth of the components), then the interior.
    n_axis = min(n_components - 1, max(n_dims, n_components // 8)) // n_dims
    axis_points = np.zeros((n_axis * n_dims, n_dims))
    for p in range(n_dims):
        rows = slice(p * n_axis, (p + 1) * n_axis)
        axis_points[rows, p] = (np.arange(n_axis) + 1.0) / n_axis if n_axis else 0.0
    n_inside = n_components - 1 - len(axis_points)
    if grid == "sobol":
        inside = _sobol(n_inside, n_dims, rng)
    else:
        inside = rng.uniform(size=(n_inside, n_dims))
    unit = np.concatenate([np.zeros((1, n_dims)), axis_points, inside])
    return unit, n_components ** (-1.0 / n_dims)


def _sobol(count, n_dims, rng):
    if count == 0:
        return np.zeros((0, n_dims))
    sampler = qmc.Sobol(n_dims, scramble=True, seed=rng.randint(2**31))
    power = int(np.ceil(np.log2(max(count, 1))))
    return sampler.random_base2(power)[:count]
