"""What the models of probabilistic sparse coding have in common."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from math import comb

import numpy as np
from scipy import linalg, sparse

from sparsestat.decomposition._coding._truncation import state_tree

__all__ = ["CodingModel", "Summary", "least_squares", "truncated_prior"]

_PI = 1e-5  # probabilities stay this far from 0 and 1


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviations and floor of the noise of the training data."""

    mean: np.ndarray
    deviation: float
    floor: float

    @classmethod
    def of(cls, X, weights):
        """Compute them for weighted samples."""
        total = weights.sum()
        if sparse.issparse(X):
            mean = np.asarray(X.T @ weights, dtype=np.float64) / total
            square = np.asarray(X.multiply(X).T @ weights, dtype=np.float64) / total
            variance = np.maximum(square - mean**2, 0.0)
        else:
            mean = weights @ X.astype(np.float64, copy=False) / total
            variance = weights @ (X - mean) ** 2 / total
        deviation = float(np.sqrt(variance).mean())
        size = deviation or float(np.sqrt((mean**2).mean())) or 1.0
        return cls(mean, deviation or size, 1e-6 * size)


def truncated_prior(pi, n_components, max_active):
    """Return P(|s| <= max_active) and E[|s|; |s| <= max_active] for equal pi."""
    mass = mean = 0.0
    for g in range(max_active + 1):
        term = comb(n_components, g) * pi**g * (1.0 - pi) ** (n_components - g)
        mass += term
        mean += g * term
    return min(mass, 1.0), mean


def least_squares(second, right):
    """Return W with ``second @ W = right``, for a matrix of second moments."""
    h = len(second)
    ridge = 1e-10 * np.trace(second) / h
    shifted = second.copy()
    shifted[np.diag_indices(h)] += ridge
    try:
        factor = linalg.cho_factor(shifted)
        W = linalg.cho_solve(factor, right)
        # One refinement takes the ridge out again where the problem is well posed.
        return W + linalg.cho_solve(factor, right - second @ W)
    except linalg.LinAlgError:
        return linalg.lstsq(second, right)[0]


class CodingModel:
    """Sizes, truncation and options of a model.

    Parameters
    ----------
    n_components, n_candidates, max_active : int
        H, H' and gamma.
    learn : tuple of str
        Names of the parameters to learn.
    fit_mean : bool
        Whether to learn an offset.
    anneal_prior : bool
        Whether the temperature acts on the prior as well.
    scale, floor : float
        Scale of the data, and smallest standard deviation of the noise.
    """

    n_values = 1
    overshoots = False

    def __init__(
        self,
        n_components,
        n_candidates,
        max_active,
        *,
        learn=("W", "pi", "sigma"),
        fit_mean=False,
        anneal_prior=False,
        scale=1.0,
        floor=1e-12,
    ):
        self.n_components = n_components
        self.n_candidates = n_candidates
        self.max_active = max_active
        self.learn = frozenset(learn)
        self.fit_mean = fit_mean
        self.anneal_prior = anneal_prior
        self.scale = scale
        self.floor = floor

    @property
    def tree(self):
        """The states of the candidates."""
        return state_tree(self.n_candidates, self.max_active, self.n_values)

    @property
    def first_pi(self):
        return min(1.0 / self.n_components, 0.5)

    def admissible(self, params):
        """Return the parameters within their bounds."""
        return params | {"pi": float(np.clip(params["pi"], _PI, 1.0 - _PI))}

    def prior_mass(self, params):
        """Return the prior probability of at most `max_active` causes."""
        return truncated_prior(params["pi"], self.n_components, self.max_active)[0]

    def constant(self, params):
        """Return the log-likelihood less the log-evidence, for a sample."""
        W, pi, sigma = params["W"], params["pi"], params["sigma"]
        return (
            self.n_components * np.log1p(-pi)
            - 0.5 * W.shape[1] * np.log(2.0 * np.pi * sigma**2)
            - np.log(self.prior_mass(params))
        )

    def next_pi(self, pi, n_active, n):
        """Return the fixed-point update of pi under the truncated prior."""
        mass, mean = truncated_prior(pi, self.n_components, self.max_active)
        return float(np.clip(mass / mean * pi * n_active / n, _PI, 1.0 - _PI))

    def scatter(self, rows, candidates, n_components):
        """Return the levels of tree states: 0 for none, else 1 + the value's index."""
        tree = self.tree
        levels = np.zeros((len(rows), n_components), dtype=np.int16)
        for j in range(tree.members.shape[1]):
            used = np.flatnonzero(tree.sizes[rows] > j)
            causes = candidates[used, tree.members[rows[used], j]]
            levels[used, causes] = 1 + tree.levels[rows[used], j]
        return levels
