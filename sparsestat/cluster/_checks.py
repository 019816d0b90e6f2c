"""What clusterers ask of their parameters, and say of their labels."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np

from sparsestat._utils.results import users_stacklevel
from sparsestat.exceptions import ConvergenceWarning

__all__ = [
    "check_centers",
    "check_enough_samples",
    "import_cvxpy",
    "warn_if_fewer_clusters",
]


def check_enough_samples(n_samples, n_clusters, remedy="Lower n_clusters."):
    """Raise ValueError when there are fewer samples than clusters."""
    if n_samples < n_clusters:
        raise ValueError(
            f"n_samples={n_samples} must be at least n_clusters={n_clusters}. {remedy}"
        )


def check_centers(init, n_clusters, n_features):
    """Return first centers that were given as an array."""
    centers = np.array(init, dtype=np.float64)
    shape = (n_clusters, n_features)
    if centers.shape != shape or not np.isfinite(centers).all():
        raise ValueError(
            f"init must be a finite array of shape {shape}, got shape {centers.shape}."
        )
    return centers


def warn_if_fewer_clusters(labels, n_clusters, why):
    """Warn when some clusters hold no sample; return whether that is so."""
    n_found = len(np.unique(labels))
    if n_found == n_clusters:
        return False
    warnings.warn(
        f"{n_found} distinct clusters were found, fewer than "
        f"n_clusters={n_clusters}: {why}",
        ConvergenceWarning,
        stacklevel=users_stacklevel(),
    )
    return True


def import_cvxpy():
    """Return the package cvxpy, or say what to do without it."""
    try:
        import cvxpy
    except ImportError as error:
        raise ImportError(
            "solver='cvxpy' needs the package cvxpy. Install it, or use "
            "solver='admm', which solves the same problem."
        ) from error
    return cvxpy
