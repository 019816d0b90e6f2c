"""What the users and the server of a private fit agree on, and what the server does."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
import warnings

import numpy as np
from sklearn.utils import check_array

from sparsestat._utils.results import Certificate, users_stacklevel
from sparsestat.exceptions import PrivacyLeakWarning
from sparsestat.linear_model._private._clients import (
    Bounds,
    GradientClient,
    MomentClient,
)
from sparsestat.linear_model._private._ledger import spent
from sparsestat.linear_model._private._server import (
    gradient_step,
    moment_estimate,
    project,
)

__all__ = ["ProtocolMixin"]

GRAD_BOUND = 6.0


class ProtocolMixin:
    """The protocol behind the parameters of an estimator, and the server's state."""

    # What both sides know

    def _check_budget(self):
        noisy = self.method == "nldp" and self.mechanism == "gaussian"
        if noisy and not (self.delta is not None and 0 < self.delta < 1):
            raise ValueError(
                "`delta` must be in (0, 1) for Gaussian noise (method='nldp'), got "
                f"{self.delta}. Choose it well below 1 / n_samples, e.g. 1e-6, or use "
                "mechanism='sphere' or method='iht', which need none."
            )
        if self.simulate == "aggregate" and not noisy:
            raise ValueError(
                "simulate='aggregate' draws the mean of Gaussian noise at once, so it "
                "needs method='nldp' and mechanism='gaussian'. Use simulate='users'."
            )
        if self.public_X is not None and self.method != "nldp":
            raise ValueError(
                "`public_X` replaces the covariance of method='nldp'; method='iht' "
                "does not use one. Leave it out, or set method='nldp'."
            )

    def _missing(self):
        return [name for name in ("x_bound", "y_bound") if getattr(self, name) is None]

    def _public_bounds(self):
        missing = self._missing()
        if missing:
            raise ValueError(
                f"`{'` and `'.join(missing)}` must be given: public constants, chosen "
                "without looking at the data, e.g. from the units of the features. "
                "(In simulations strict=False lets `fit` take them from the data, "
                "which voids the guarantee.)"
            )
        return Bounds(float(self.x_bound), float(self.y_bound), self.clipping)

    def _bounds(self, extent):
        """Return the limits of a record; `extent` is called for those of the data."""
        missing = self._missing()
        if self.strict or not missing:
            return self._public_bounds()
        x_bound, y_bound = self.x_bound, self.y_bound
        largest_norm, largest_entry, largest_y = extent()
        if x_bound is None:
            by_entry = self.clipping == "coordinate"
            x_bound = largest_entry if by_entry else largest_norm
        if y_bound is None:
            y_bound = largest_y
        warnings.warn(
            f"{', '.join(missing)} taken from the data: the noise, and so the answer, "
            "depends on the records in a way that no budget accounts for. There is no "
            "privacy guarantee. Pass public constants.",
            PrivacyLeakWarning,
            stacklevel=users_stacklevel(),
        )
        # All zeros need no clipping: any bound will do.
        return Bounds(float(x_bound) or 1.0, float(y_bound) or 1.0, self.clipping)

    def _kind(self):
        if self.public_X is not None:
            return "cross"
        return "joint" if self.clipping == "norm" else "separate"

    def _features_of(self, length):
        """Return the number of features behind messages of this length."""
        kind = "cross" if self.method == "iht" else self._kind()
        if kind == "cross":
            return length
        d = (math.isqrt(8 * length + 1) - 1) // 2
        # joint: (d + 1)(d + 2) / 2 entries; separate: d (d + 1) / 2 + d of them.
        return d - 1 if kind == "joint" else (math.isqrt(8 * length + 9) - 3) // 2

    def _client(self, n_features, bounds, coef, group):
        if self.method == "iht":
            return GradientClient(
                coef, bounds, self._radius(n_features, bounds, group), self.epsilon
            )
        delta = 0.0 if self.mechanism == "sphere" else self.delta
        return MomentClient(
            self._kind(), self.mechanism, n_features, bounds, self.epsilon, delta
        )

    def _radius(self, n_features, bounds, group):
        """Return the public bound of the gradients of a group."""
        norm = bounds.norm(n_features)
        largest_gradient = norm * (norm * self.coef_bound + bounds.y)
        wanted = GRAD_BOUND if self.grad_bound is None else self.grad_bound
        return min(wanted * self.grad_decay**group, largest_gradient)

    # The server

    def _start(self, n_features, bounds):
        """Set the coefficients to zero and open an empty ledger."""
        self._protocol = bounds
        self._keep = self._n_keep(n_features)
        self.coef_ = np.zeros(n_features)
        self.intercept_ = 0.0
        self.privacy_ledger_ = []
        self.n_iter_ = 0

    def _n_keep(self, n_features):
        if self.n_nonzero is None:
            return max(1, n_features // 10)
        if self.n_nonzero > n_features:
            raise ValueError(
                f"`n_nonzero` is {self.n_nonzero}, but there are only {n_features} "
                "features. Pass at most that many."
            )
        return self.n_nonzero

    def _moment_client(self):
        return self._client(len(self.coef_), self._protocol, None, 0)

    def _gradient_client(self):
        return self._client(
            len(self.coef_), self._protocol, self.coef_.copy(), self.n_iter_
        )

    def _receive_mean(self, mean, n):
        """Update everything fitted by the mean message of n users."""
        if self.method == "nldp":
            client = self._moment_client()
            self.coef_ = self._closed_form(client, mean, n)
            self.privacy_ledger_ = client.ledger(n)
        else:
            client = self._gradient_client()
            last = self.n_iter_ == self.n_rounds - 1
            keep = self._keep if last else self._keep * self.expand
            self.coef_ = gradient_step(
                self.coef_,
                mean,
                step=self.step,
                n_keep=min(keep, len(mean)),
                coef_bound=self.coef_bound,
            )
            entry = client.ledger(self.n_iter_, n)
            self.privacy_ledger_ = [*self.privacy_ledger_, entry]
        self.n_iter_ += 1
        self.support_ = np.flatnonzero(self.coef_)
        self.epsilon_spent_, self.delta_spent_ = spent(self.privacy_ledger_)
        if self._missing():  # their values came from the records
            self.epsilon_spent_ = math.inf
        self.certificate_ = Certificate(
            "none",
            0.0,
            0.0,
            True,
            "nothing is proved about the coefficients: the server sees noise",
            {
                "epsilon_spent": self.epsilon_spent_,
                "delta_spent": self.delta_spent_,
                "at_coef_bound": bool(
                    np.linalg.norm(self.coef_) >= self.coef_bound * (1 - 1e-9)
                ),
                "n_users": sum(
                    e["group_size"]
                    for k, e in enumerate(self.privacy_ledger_)
                    if self.method == "iht" or k == 0
                ),
            },
        )
        return self

    def _closed_form(self, client, mean, n):
        S, b = client.moments(mean)
        deviation_S, deviation_b = client.entry_deviations(n)
        if S is None:
            rows = client.bounds.clip_rows(self._public_rows(len(b)))
            S = rows.T @ rows / len(rows)
        coef = moment_estimate(
            S,
            b,
            deviation_S,
            deviation_b,
            self.n_nonzero,
            exact_S=self.public_X is not None,
        )
        return project(coef, self.coef_bound)

    def _public_rows(self, n_features):
        rows = check_array(
            self.public_X, accept_sparse="csr", dtype=np.float64, input_name="public_X"
        )
        if rows.shape[1] != n_features:
            raise ValueError(
                f"`public_X` has {rows.shape[1]} features, but the users have "
                f"{n_features}. Pass the same columns."
            )
        return rows
