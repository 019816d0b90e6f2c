r"""Approximate inverses of the Gram matrix, a row for each feature of interest.

The scaled Lasso of column j on the others leaves :math:`Z_j = X_j - X_{-j} \gamma_j`
with :math:`|X_k' Z_j| / n \le \lambda_j` for all others k, and

.. math:: b_j = \hat\beta_j + \frac{Z_j' (y - X \hat\beta)}{Z_j' X_j}

takes the bias of the Lasso off coefficient j, up to a remainder of at most
:math:`n \lambda_j \|\hat\beta - \beta\|_1 / |Z_j' X_j|`.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, solve_triangular

from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.validation import read_only
from sparsestat.inference._kernels_nodewise import nodewise

__all__ = ["Directions", "least_squares_directions", "nodewise_directions"]

TOL = 1e-7
_SWEEPS = 20_000
_NODES = 32  # of a task


@dataclass(frozen=True)
class Directions:
    """Directions Z_j that separate single features from the others.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_nodes)
    along : ndarray of shape (n_nodes,)
        Products ``Z_j' X_j``.
    leak : ndarray of shape (n_nodes,)
        Largest ``|Z_j' X_k|`` over the other features k.
    violation : float
        Of the optimality conditions, relative to the strength: the largest of all.
    """

    Z: np.ndarray
    along: np.ndarray
    leak: np.ndarray
    violation: float


def nodewise_directions(X, nodes, strength, n_jobs):
    """Return directions by scaled Lassos of strength `strength`.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Centered columns of variance one.
    nodes : ndarray of int
    strength : float
    n_jobs : int or None

    Returns
    -------
    directions : Directions
    failed : ndarray of int
        Nodes that the other columns explain wholly.
    """
    G = read_only(X.T @ X / len(X))
    blocks = [nodes[k : k + _NODES] for k in range(0, len(nodes), _NODES)]
    found = run_parallel(
        _solve, [(G, block, strength) for block in blocks], n_jobs=n_jobs
    )
    coefs = np.concatenate([coef for coef, _ in found])
    violations = np.concatenate([violation for _, violation in found])
    Z = X[:, nodes] - X @ coefs.T
    failed = nodes[~np.isfinite(violations)]
    return _measured(X, Z, nodes, float(violations.max(initial=0.0))), failed


def _solve(G, block, strength):
    coefs = np.zeros((len(block), len(G)))
    violations = np.zeros(len(block))
    nodes = read_only(block.astype(np.intp))
    nodewise(G, nodes, float(strength), TOL, _SWEEPS, coefs, violations)
    return coefs, violations


def least_squares_directions(X, nodes):
    """Return the directions of least squares, for more rows than columns of full rank.

    They are columns of ``X (X'X)^-1``, scaled to ``Z_j' X_j = 1``.
    """
    Q, R = qr(X, mode="economic")
    unit = np.zeros((X.shape[1], len(nodes)))
    unit[nodes, np.arange(len(nodes))] = 1.0
    Z = Q @ solve_triangular(R, unit, trans="T")
    return _measured(X, Z, nodes, 0.0)


def _measured(X, Z, nodes, violation):
    products = X.T @ Z
    places = nodes, np.arange(len(nodes))
    along = products[places].copy()
    products[places] = 0.0
    return Directions(Z, along, np.abs(products).max(axis=0, initial=0.0), violation)
