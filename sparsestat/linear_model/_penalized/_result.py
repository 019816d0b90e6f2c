"""What the solvers of penalized problems return."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np

__all__ = ["SolverResult"]


@dataclass
class SolverResult:
    """Solution of one penalized problem, of least squares or of a likelihood.

    Attributes
    ----------
    columns : ndarray of int
        Features with a non-zero coefficient, sorted.
    coef : ndarray of shape (n_columns,) or (n_columns, n_targets)
        Their coefficients.
    gap : float
        Duality gap or violation, relative to what `kind` and `scale` say.
    objective, dual : float
        Primal and dual values of the objective (loss not divided by anything); the
        latter is nan where there is no dual.
    n_iter : int
        Passes over the features.
    n_sweeps, n_newton : int
        Coordinate descent sweeps; Newton systems or second-order models.
    gap_history : list of float
        `gap` at each outer iteration.
    converged : bool
        Whether ``gap <= tol``.
    kind : {"duality_gap", "kkt"}
        What `gap` is; a KKT residual where nothing is penalized or the penalty is
        not convex.
    scale : str
        What `gap` is relative to, where `kind` does not say it.
    shift : float or ndarray of shape (n_classes,)
        Intercept that belongs to the centered features; of likelihoods only.
    rounding : float
        A bound of the rounding error of `gap`.
    unit : float
        What `gap` was divided by.
    bend : float
        A bound of the curvature of the loss along a change of the fit.
    null_value : float
        Loss of the intercept alone; of likelihoods only.
    is_bounded : bool
        Whether the penalty is bounded, so that a likelihood may have no maximum.
    active_groups : ndarray of int or None
        Groups with a non-zero coefficient, where groups are asked about.
    """

    columns: np.ndarray
    coef: np.ndarray
    gap: float
    objective: float
    dual: float
    n_iter: int
    n_sweeps: int
    n_newton: int
    gap_history: list = field(default_factory=list)
    converged: bool = True
    kind: str = "duality_gap"
    scale: str = ""
    shift: float | np.ndarray = 0.0
    rounding: float = 0.0
    unit: float = 1.0
    bend: float = 1.0
    null_value: float = np.inf
    is_bounded: bool = False
    active_groups: np.ndarray | None = None

    def merge_copies(self, copies):
        """Give each feature the sum of the coefficients of its copies."""
        self.columns, at = np.unique(copies[self.columns], return_inverse=True)
        coef = np.zeros((len(self.columns), *self.coef.shape[1:]))
        np.add.at(coef, at, self.coef)
        self.coef = coef

    def dense_coef(self, n_features, dtype=np.float64):
        """Return the coefficients of all features."""
        out = np.zeros((n_features, *self.coef.shape[1:]), dtype=dtype)
        out[self.columns] = self.coef
        return out
