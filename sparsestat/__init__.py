"""Classical sparse estimation and clustering, with a certificate on every answer.

Subpackages are imported on first use, so that ``import sparsestat`` costs next
to nothing: no scikit-learn, no numba, no cvxpy, no matplotlib.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib

from sparsestat._version import __version__

_SUBPACKAGES = (
    "bayes",
    "cluster",
    "datasets",
    "decomposition",
    "embedding",
    "ensemble",
    "exceptions",
    "feature_selection",
    "gaussian_process",
    "inference",
    "linear_model",
    "multiclass",
    "neighbors",
    "plotting",
    "sparse",
    "transport",
)
_LAZY_NAMES = {
    "Certificate": "sparsestat._utils.results",
    "row_blocks": "sparsestat._utils.blocks",
    "warmup": "sparsestat._warmup",
}

__all__ = [*sorted(_SUBPACKAGES), *sorted(_LAZY_NAMES), "__version__"]


def __getattr__(name):
    """Import a subpackage or a top-level name when it is first asked for."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"sparsestat.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(_LAZY_NAMES[name]), name)
    raise AttributeError(f"module 'sparsestat' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
