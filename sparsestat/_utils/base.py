"""The base class of every estimator: documentation links in the HTML repr."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sklearn.base import BaseEstimator

__all__ = ["SparsestatEstimator"]


class SparsestatEstimator(BaseEstimator):
    """scikit-learn's BaseEstimator with links to this package's documentation."""

    _doc_link_module = "sparsestat"
    _doc_link_template = (
        "https://sparsestat.readthedocs.io/en/stable/generated/"
        "{estimator_module}.{estimator_name}.html"
    )
