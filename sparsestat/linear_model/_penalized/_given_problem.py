"""Problems with a loss or a penalty that users wrote."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.arithmetic import moderate
from sparsestat.linear_model._penalized._datafits import LeastSquares
from sparsestat.linear_model._penalized._likelihood_problems import GLMProblem
from sparsestat.linear_model._penalized._proximal import (
    GivenPenalty,
    ProximalSolver,
    UserDatafit,
)

__all__ = ["GivenProblem"]


class GivenProblem(GLMProblem):
    """A loss, a penalty or both of users; see ``_proximal`` for what they offer.

    Parameters
    ----------
    datafit : str or object
        "squared" or an object with ``losses(y, eta)`` and ``slopes(y, eta)``.
    given : object, default=None
        A penalty with ``value(w)`` and ``prox(z, strength)``; None leaves it to the
        parameters of a named one.
    """

    has_dispersion = True

    def __init__(self, *arguments, datafit, given=None, **options):
        self.loss, self.given_penalty = datafit, given
        # Conjugates are not asked of users.
        self.has_gap = isinstance(datafit, str) and given is None
        super().__init__(*arguments, **options)

    @property
    def is_convex(self):
        """Whether the penalty is known to be convex."""
        return self.given_penalty is None and super().is_convex

    def moderate_target(self, y):
        """Return y divided by its unit, where loss and penalty have none of their own.

        With an intercept it is moved towards zero first.
        """
        if not self.has_gap:
            return y, 1.0
        y, unit = moderate(y, "y")
        if self.fit_intercept and len(y):
            center = float(np.mean(y))
            y, self.y_offset = y - center, center * unit
        return y, unit

    def make_datafit(self, y, sample_weight):
        """Return the loss."""
        if isinstance(self.loss, str):
            return LeastSquares(y, sample_weight)
        return UserDatafit(self.loss, y, sample_weight)

    def penalty(self, alpha, setting):
        """Return the penalty object of one strength."""
        if self.given_penalty is None:
            return super().penalty(alpha, setting)
        # Inside, strengths come divided by the unit of alpha, which is that of w here.
        strength = alpha * self.alpha_unit * self.total
        return GivenPenalty(self.given_penalty, strength, self.coef_unit)

    def make_solver(self, coef_init=None):
        """Return a solver that can be used for all strengths in turn."""
        if self.given_penalty is None:
            return super().make_solver(coef_init)
        return ProximalSolver(self.design, self.datafit, self.start_of(coef_init))

    def alpha_max(self, setting=None):
        """Return the smallest alpha at which every coefficient is zero.

        Found by bisection where the penalty does not say it.
        """
        if self.given_penalty is None:
            return super().alpha_max(setting)
        solver = self.make_solver()
        start, step = solver.null_q / solver.lipschitz, 1.0 / solver.lipschitz

        def rests(alpha):
            penalty = self.penalty(alpha / self.alpha_unit, setting)
            return not np.any(penalty.prox(start, step))

        high = solver.null_scale / self.total * self.alpha_unit
        if high == 0.0:
            return 0.0
        low = 0.0
        for _ in range(200):
            if rests(high):
                break
            low, high = high, 2.0 * high
        else:
            raise ValueError(
                "No strength of the penalty makes all coefficients zero, so there is "
                "no automatic grid. Pass `alphas` as an array."
            )
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if rests(middle) else (middle, high)
        return high

    def explained(self, results):
        """Return the share of the loss of the null model that results explain."""
        shares = super().explained(results)
        is_known = isinstance(self.loss, str)
        if not is_known and (results[0].null_value < 0.0 or (shares > 1.0).any()):
            raise ValueError(
                "stop_explained=True takes the least possible loss as zero, but the "
                "losses of `datafit` are negative in sum. Use stop_explained=False, or "
                "add to the losses what makes the least ones zero."
            )
        return shares

    def row_losses(self, y, eta):
        """Return the losses of users, or squared errors."""
        if isinstance(self.loss, str):
            return (y - eta) ** 2
        return np.column_stack(
            [np.asarray(self.loss.losses(y[:, 0], column)) for column in eta.T]
        )
