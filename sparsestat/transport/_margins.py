"""Marginal errors of plans as they are returned, with what rounding may hide."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat._utils.arithmetic import EPS, rounding
from sparsestat._utils.validation import read_only
from sparsestat.transport import _kernels
from sparsestat.transport._kernels_proof import arc_totals

__all__ = ["error_of_sums", "marginal_error", "sums_of", "sums_of_arcs"]

_PAIRWISE = 48  # operations on the longest way through numpy's sum of a row


def sums_of_arcs(i, j, mass, shape):
    """Return the row and column sums of arcs, and bounds of their rounding."""
    rows, columns = np.zeros(shape[0]), np.zeros(shape[1])
    # All entries are positive: the sums are the sums of absolute values.
    longest = arc_totals(
        np.asarray(i, np.int64), np.asarray(j, np.int64), mass, rows, columns
    )
    return rows, columns, 0.5 * EPS * longest


def sums_of(P):
    """Return the row and column sums of a plan, and bounds of their rounding."""
    if sparse.issparse(P):
        P = sparse.csr_array(P)
        row_of = np.repeat(np.arange(P.shape[0]), np.diff(P.indptr))
        data = P.data.astype(np.float64, copy=False)
        return sums_of_arcs(row_of, P.indices, data, P.shape)
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
    return error_of_sums(sums_of(P), a, b)


def error_of_sums(sums, a, b):
    """Return what :func:`marginal_error` does, from the sums of a plan."""
    rows, columns, allowance = sums
    mass = a.sum()
    error = (np.abs(rows - a) / mass).sum() + (np.abs(columns - b) / mass).sum()
    # A difference of two numbers that agree to half a unit is exact; the sums of
    # the masses themselves are rounded too.
    return float(error), float(allowance / mass) + 4.0 * EPS * (1.0 + error)
