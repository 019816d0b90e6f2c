r"""Squared losses of several targets on subsets of the features that they share.

The loss is ``||Y - X W||_F^2 / 2 + l2 / 2 sum_j s_j |w_j|^2``, with s_j the squared
norm of the centered column, on subsets of the rows of W.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.linalg import lstsq
from scipy.sparse import issparse

from sparsestat._utils.arithmetic import moderate
from sparsestat._utils.samples import effective_rows, relative_weights
from sparsestat._utils.validation import as_compressed
from sparsestat.linear_model._penalized._design import make_design
from sparsestat.linear_model._subsets._least_squares import SubsetFit
from sparsestat.linear_model._subsets._likelihoods import LikelihoodSubsets

__all__ = ["TargetSubsets"]

_DEPENDENT = 1e-10  # of the largest singular value: less is rounding


class TargetSubsets(LikelihoodSubsets):
    """The squared loss of several targets as the subset searches see it.

    Parameters
    ----------
    X, y, sample_weight : validated arrays
    fit_intercept : bool
    units : Units
    l2 : float, default=0.0
    """

    has_shift, least = False, 0.0  # columns and targets are centered

    def __init__(self, X, y, sample_weight, *, fit_intercept, units, l2=0.0):
        X, y, sample_weight = effective_rows(X, y, sample_weight)
        weights, self.weight_unit = relative_weights(sample_weight)
        if issparse(X):
            X = as_compressed(X, "csc")
        y, self.y_unit = moderate(y, "y")
        self.design = make_design(X, weights, fit_intercept=fit_intercept)
        self.coef_unit = self.y_unit / self.design.unit
        self.target, y_mean = self.design.target(y)
        self.y_mean = y_mean * self.y_unit
        self.total = self.design.total
        self.n_outputs = self.parameters = y.shape[1]
        self.n_features = self.design.n_features
        self.units, self.l2 = units, float(l2)
        self.squares = self.design.squares
        self.norms = np.sqrt(self.squares)
        usable = self.squares > 0.0
        self.usable = units.any_of(usable)
        self._inverse = np.zeros(self.n_features)
        self._inverse[usable] = 1.0 / self.norms[usable]
        self.null_loss = 0.5 * float(np.vdot(self.target, self.target))

    def loss_error(self, fit):
        """Residuals are squared: nothing is taken off that would hide a loss."""
        return 0.0

    def fit(self, units, start=None):
        """Return the best fit on the given units; `start` is not needed."""
        units = np.unique(np.asarray(units, dtype=np.intp))
        columns = np.asarray(self.units.columns_of(units), dtype=np.intp)
        n, m = self.design.n_samples, len(columns)
        extra = m if self.l2 > 0.0 else 0
        A = np.zeros((n + extra, m), order="F")
        B = np.vstack([self.target, np.zeros((extra, self.n_outputs))])
        coef = np.zeros((m, self.n_outputs))
        if m:
            block = np.empty((n, m), order="F")
            self.design.gather(columns, block, 0)
            A[:n] = block * self._inverse[columns]
            if extra:
                A[n:] = np.sqrt(self.l2) * np.eye(m)
            scaled = lstsq(A, B, cond=_DEPENDENT, lapack_driver="gelsy")[0]
            coef = scaled * self._inverse[columns, None]
            B = B - A @ scaled
        residual = B[:n]
        data_loss = 0.5 * float(np.vdot(residual, residual))
        loss = 0.5 * float(np.vdot(B, B))
        return SubsetFit(units, columns, coef, loss, data_loss, {"residual": residual})

    def coefficients(self, fit):
        """Return coefficients of the original features and the intercepts."""
        coef = fit.coef * self.coef_unit
        return coef, self.design.intercept(self.y_mean, fit.columns, coef)

    def loss_of(self, value):
        """Return a loss as a mean over samples, in the units of the given targets."""
        return value / self.total * self.y_unit**2

    def scores(self, fit):
        """Return the loss that each unit saves, or would save, by itself.

        Returns
        -------
        sacrifice : ndarray of shape (n_units of the fit,)
        promise : ndarray of shape (n_units,)
            -inf for units of the fit and those that are constant.
        """
        if "scores" not in fit.state:
            slope = self.design.correlations(fit.state["residual"])
            slope = slope * self._inverse[:, None] / np.sqrt(1.0 + self.l2)
            promise = 0.5 * self.energies_of(slope)
            promise[~self.usable] = -np.inf
            promise[fit.units] = -np.inf
            size = self.normalized(fit) * np.sqrt(1.0 + self.l2)
            fit.state["scores"] = 0.5 * self.energies_of(size)[fit.units], promise
        sacrifice, promise = fit.state["scores"]
        return sacrifice.copy(), promise.copy()

    def gradient_state(self, w):
        """Return loss and negative gradient of normalized coefficients `w`."""
        columns = np.flatnonzero(w.any(axis=1))
        image = self.design.product(columns, w[columns] * self._inverse[columns, None])
        residual = self.target - image
        slope = self.design.correlations(residual) * self._inverse[:, None]
        loss = 0.5 * float(np.vdot(residual, residual) + self.l2 * np.vdot(w, w))
        return loss, slope - self.l2 * w

    def bend(self, direction):
        """Return the second derivative along normalized coefficients."""
        columns = np.flatnonzero(direction.any(axis=1))
        v = direction[columns] * self._inverse[columns, None]
        image = self.design.product(columns, v)
        return float(np.vdot(image, image) + self.l2 * np.vdot(direction, direction))

    def criterion_loss(self, fit):
        """Return minus twice the log likelihood, one noise variance estimated."""
        rss = max(2.0 * fit.data_loss, 2e-14 * self.null_loss)
        if rss == 0.0:  # constant targets
            return 0.0
        q = self.n_outputs
        n = self.total * self.weight_unit
        return n * q * float(np.log(rss / (self.total * q)) + 2.0 * np.log(self.y_unit))
