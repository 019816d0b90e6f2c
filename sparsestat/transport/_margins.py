"""Marginal errors of plans as they are returned, with what rounding may hide."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat._utils.arithmetic import EPS, rounding
from sparsestat._utils.validation import read_only
from sparsestat.transport import _kernels

__all__ = ["marginal_error", "sums_of"]

_PAIRWISE = 48  # operations on the longest way through numpy's sum of a row


def sums_of(P):
    """Return the row and column sums of a plan, and bounds of their rounding."""
    if sparse.issparse(P):
        P = sparse.csr_array(P)
        in_row = np.diff(P.indptr)
        in_column = np.bincount(P.indices, minlength=P.shape[1])
        data = P.data.astype(np.float64, copy=False)
        row_of = np.repeat(np.arange(P.shape[0]), in_row)
        rows = np.bincount(row_of, data, P.shape[0])
        columns = np.bincount(P.indices, data, P.shape[1])
        # All entries are positive: the sums are the sums of absolute values.
        return rows, columns, 0.5 * EPS * (in_row @ rows + in_column @ columns)
    P = np.ascontiguousarray(P)
    rows = P.sum(axis=1, dtype=np.float64)
    columns, rest = np.zeros(P.shape[1]), np.zeros(P.shape[1])
    _kernels.column_totals(read_only(P), columns, rest)
    longest = _PAIRWISE + P.shape[1] // 1024
    return rows, columns + rest, rounding(longest + 4, rows.sum())


def marginal_error(P, a, b):
    """Return the L1 error of both marginals over the mass, and its rounding.

    Parameters
    ----------
    P : {ndarray, csr_array}
        The plan that is returned.
    a, b : ndarray
        What its rows and columns shall sum to.
    """
    rows, columns, allowance = sums_of(P)
    mass = a.sum()
    error = (np.abs(rows - a) / mass).sum() + (np.abs(columns - b) / mass).sum()
    # A difference of two numbers that agree to half a unit is exact; the sums of
    # the masses themselves are rounded too.
    return float(error), float(allowance / mass) + 4.0 * EPS * (1.0 + error)
