"""What the loops of this room are told: about the noise, and when to stop."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

from sparsestat._utils.compat import Interval
from sparsestat._utils.validation import check_noise

__all__ = ["STARTING_VARIANCE", "Noise", "Stop"]

# Expectation maximization rests at variances that are next to nothing, whatever the
# data say of them, and far larger ones leave a covariance without digits.
STARTING_VARIANCE = [Interval(Real, 1e-3, 1e8, closed="both")]
_START = 0.1  # of a learned noise variance, beside a mean square of y of 1


@dataclass(frozen=True)
class Noise:
    """A noise variance that is given, or learned from a start, above a floor."""

    given: float | None
    start: float
    floor: float

    @classmethod
    def of(cls, given, floor, scale):
        """Return the record for y / scale; `given` is in units of y, `floor` is not."""
        if given is not None:
            given = check_noise(given / scale**2)
        return cls(given, max(_START, floor), floor)

    @property
    def learns(self):
        """Whether the data say how large it is."""
        return self.given is None

    @property
    def first(self):
        """The noise variance of the first iteration."""
        return self.start if self.given is None else self.given


@dataclass(frozen=True)
class Stop:
    """When a loop ends: by a tolerance, a limit, or because a caller says so."""

    tol: float
    max_iter: int
    step: Callable | None = None

    def asked(self, *figures):
        """Report an iteration; return whether to stop."""
        return bool(self.step(*figures)) if self.step is not None else False
