"""Interruptions of fits."""

import pytest
from sklearn.base import BaseEstimator

from sparsestat._utils.compat import fit_context


class Failing(BaseEstimator):
    """Raises a SystemError after it stored something, as kernels do when interrupted.

    numba chains what it meets while arrays are handed back.
    """

    _parameter_constraints = {}

    def __init__(self, cause=None):
        self.cause = cause

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        self.seen_ = True
        try:
            try:
                raise self.cause
            except BaseException as error:
                raise SystemError("returned a result with an exception set") from error
        except SystemError as error:
            raise SystemError("a kernel did too") from error


@pytest.mark.parametrize(
    ("cause", "expected"),
    [(KeyboardInterrupt(), KeyboardInterrupt), (ValueError("x"), SystemError)],
)
def test_an_interruption_inside_a_kernel_is_one(cause, expected):
    model = Failing(cause)
    with pytest.raises(expected):
        model.fit([[0.0]])
    assert not hasattr(model, "seen_")
