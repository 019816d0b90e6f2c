"""The base class of every estimator: documentation links, versioned pickles."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

from sklearn.base import BaseEstimator

from sparsestat._utils.results import users_stacklevel
from sparsestat._version import __version__
from sparsestat.exceptions import InconsistentVersionWarning

__all__ = ["SparsestatEstimator"]


class SparsestatEstimator(BaseEstimator):
    """scikit-learn's BaseEstimator with this package's documentation and version.

    The HTML repr links to the documentation. A pickle carries the version of
    sparsestat that wrote it, and reading it with another one warns.
    """

    _doc_link_module = "sparsestat"
    _doc_link_template = (
        "https://sparsestat.readthedocs.io/en/stable/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

    def __getstate__(self):
        return {**super().__getstate__(), "_sparsestat_version": __version__}

    def __setstate__(self, state):
        written = state.get("_sparsestat_version", "of unknown version")
        if written != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sparsestat_version=__version__,
                    original_sparsestat_version=written,
                ),
                stacklevel=users_stacklevel(),
            )
        super().__setstate__(
            {k: v for k, v in state.items() if k != "_sparsestat_version"}
        )
