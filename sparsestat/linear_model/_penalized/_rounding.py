r"""Bounds of the rounding errors of gaps and violations.

A gap is the difference of a primal and a dual value, both sums over all samples. The
dual point is the residual (or the gradient of the loss) as it was computed, times a
number; that it was computed with errors does not matter, only that its products with
the columns, which make it feasible, were. So there are four errors:

- of the fit ``A w``, by which the loss at the returned coefficients differs;
- of the sums that make the primal and the dual value;
- of the correlations: were one larger by its error, the dual point would have to
  shrink by that share;
- of the coefficients that single precision stores.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import rounding

__all__ = ["likelihood_rounding", "squared_loss_rounding", "storage_error"]

_SINGLE = 2.0**-24  # half the spacing of single precision


def _fit_error(design, columns, w, size):
    """Bound the error of the fit ``A w`` taken from a vector of norm `size`."""
    lengths = np.abs(w) if w.ndim == 1 else np.sqrt((w * w).sum(axis=1))
    reach = float(np.sqrt(design.squares[columns]) @ lengths)
    return rounding(len(columns) + 4, reach + size)


def _correlation_errors(design, size):
    """Bound the errors of the correlations of all columns with a vector of that norm.

    By Cauchy and Schwarz the absolute products add up to at most the product of the
    norms.
    """
    return np.sqrt(design.squares) * rounding(design.chain + 4, size)


def _free_slack(free, columns, w, correlations, reach):
    """Bound what free features could gain that are orthogonal only to rounding."""
    held = np.zeros((len(reach), *w.shape[1:]))
    held[columns] = w
    slack = np.abs(correlations[free]).T + reach[free]
    return float((slack * np.abs(held[free]).T).sum())


def _shrinking(penalty, q, reach, multiple, fall):
    """Bound what a dual value loses where correlations are off by their errors.

    The dual point is a multiple of a vector whose products with the columns are q. It
    has to shrink by the share by which they may leave the strengths behind, and not at
    all where they cannot reach these.
    """
    share = max(multiple, 1.0) * penalty.ratio(reach)
    if share > 0.0:
        wide = reach if q.ndim == 1 else reach[:, None]
        one_sided = penalty.positive and q.ndim == 1
        largest = (q if one_sided else np.abs(q)) + wide
        share = min(share, max(multiple * penalty.ratio(largest) - 1.0, 0.0))
    return share * fall


def squared_loss_rounding(design, penalty, columns, w, residual, correlations, parts):
    """Bound the error of a gap, or a violation, of a squared loss.

    Parameters
    ----------
    design, penalty : Design, penalty
    columns : ndarray of int
        The features with coefficients.
    w : ndarray of shape (n_columns,) or (n_columns, n_targets)
    residual : ndarray of shape (n_samples,) or (n_samples, n_targets)
    correlations : ndarray of shape (n_features,) or (n_features, n_targets)
    parts : GapParts or StationarityParts

    Returns
    -------
    error : float
        In the units of ``parts.gap``.
    """
    size = float(np.sqrt(np.vdot(residual, residual)))
    slip = _fit_error(design, columns, w, size)
    reach = _correlation_errors(design, size)
    if not penalty.is_convex:
        steepest = float(np.sqrt(design.squares.max(initial=0.0)))
        return float(reach.max(initial=0.0)) + steepest * slip
    summed = rounding(design.chain)
    error = slip * (size + 0.5 * slip)
    error += summed * (parts.primal + parts.scale * abs(parts.target_dot))
    if parts.dual > parts.scaled_dual:
        error += penalty.conjugate_error(correlations, reach)
    else:
        shrunk, fall = correlations, parts.scale * abs(parts.target_dot)
        if penalty.has_l2:
            l2 = penalty.l2[columns]
            shrunk = correlations.copy()
            shrunk[columns] -= (l2 if w.ndim == 1 else l2[:, None]) * w
        error += _shrinking(penalty, shrunk, reach, parts.scale, fall)
    if penalty.free.size:
        error += _free_slack(penalty.free, columns, w, correlations, reach)
    return error


def likelihood_rounding(
    design, datafit, penalty, columns, w, shift, eta, gradient, kind, multiple
):
    """Bound the error of a gap, or a violation, of a likelihood.

    Parameters
    ----------
    design, datafit, penalty : Design, Datafit, penalty
    columns, w : ndarray
        The features with coefficients, and those.
    shift : float or ndarray of shape (n_classes,)
        The intercept of the centered columns.
    eta, gradient : ndarray of shape (n_samples,) or (n_samples, n_classes)
    kind : {"duality_gap", "kkt"}
    multiple : float
        The dual point is so many gradients.

    Returns
    -------
    error : float
        In the units of the gap or of the gradient's correlations.
    """
    size = float(np.sqrt(np.vdot(gradient, gradient)))
    flat = float(np.sqrt(design.n_samples) * np.linalg.norm(shift))
    slip = _fit_error(design, columns, w, flat)
    bend = datafit.steepest(eta)
    reach = _correlation_errors(design, size)
    if kind == "kkt":
        steepest = float(np.sqrt(design.squares.max(initial=0.0)))
        return float(reach.max(initial=0.0)) + steepest * bend * slip
    error = slip * (size + 0.5 * bend * slip)
    error += 2.0 * rounding(design.n_samples // 8 + 16, datafit.magnitude(eta))
    error += float(np.sum(np.abs(shift * gradient.sum(axis=0))))
    fall = abs(float(np.vdot(gradient, eta - shift)))
    q = design.correlations(-gradient)
    error += _shrinking(penalty, q, reach, multiple, multiple * fall)
    if multiple == 1.0 and penalty.has_l2:
        error += penalty.conjugate_error(q, reach)
    if penalty.free.size:
        error += _free_slack(penalty.free, columns, w, q, reach)
    return error


def storage_error(design, result, dtype, total, intercept):
    """Bound what storing the coefficients in single precision moves the fit by.

    As the norm of a vector over the samples; zero in double precision.
    """
    if dtype != np.float32:
        return 0.0
    w = result.coef
    size = np.abs(w) if w.ndim == 1 else np.sqrt((w * w).sum(axis=1))
    moved = float(np.sqrt(design.squares[result.columns]) @ size)
    return _SINGLE * (moved + np.sqrt(total) * float(np.linalg.norm(intercept)))
