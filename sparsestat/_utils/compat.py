"""The only door to scikit-learn names that are not public API.

Everything underscored in scikit-learn is imported here and nowhere else, so
that a release that moves one is mended in one place.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import wraps

from numpy import ndarray
from sklearn.base import _fit_context
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    InvalidParameterError,
    Options,
    RealNotInt,
    StrOptions,
)
from sklearn.utils._param_validation import (
    validate_params as _validate_params,
)
from sklearn.utils.validation import _check_sample_weight
from sklearn.utils.validation import _get_feature_names as feature_names

from sparsestat._utils.block_sources import comes_in_blocks
from sparsestat._utils.names import check_arguments

try:  # scikit-learn >= 1.9: experimental callback protocol
    from sklearn.callback import CallbackSupportMixin

    HAS_CALLBACKS = True
except ImportError:  # scikit-learn 1.8

    class CallbackSupportMixin:
        """Stand-in for scikit-learn versions without callbacks."""

    HAS_CALLBACKS = False

try:  # scikit-learn >= 1.9: honor set_config(sparse_interface=...)
    from sklearn.utils import _align_api_if_sparse as align_sparse_interface
except ImportError:

    def align_sparse_interface(X):
        """Return X as it is: older versions have no interface setting."""
        return X


def has_callbacks(estimator):
    """Whether somebody set callbacks that look on while an estimator is fitted."""
    return HAS_CALLBACKS and bool(getattr(estimator, "_skl_callbacks", None))


def check_sample_weight(sample_weight, X, **options):
    """Return valid weights, some of them not zero, which scikit-learn 1.8 lets pass."""
    weights = _check_sample_weight(sample_weight, X, **options)
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights


def fit_context(*, prefer_skip_nested_validation):
    """Decorate a method that fits: checked parameters, and all or nothing.

    To scikit-learn's own decorator this adds that a fit which raises, or which
    is interrupted from the keyboard, leaves the estimator as it was: with the
    attributes of an earlier fit, or with none. Attributes are put back, not
    copied, so a fit replaces arrays and never writes into those it finds.

    Data that come in blocks of rows go to ``_fit_blocks(blocks, **others)`` where the
    estimator has that, and are refused by its name where it needs X in memory.
    """

    def decorate(method):
        decorator = _fit_context(
            prefer_skip_nested_validation=prefer_skip_nested_validation
        )
        checked, of_blocks = decorator(method), decorator(_fit_blocks)
        is_fit = method.__name__ == "fit"

        @wraps(method)
        def fit(estimator, *args, **kwargs):
            before = dict(vars(estimator))
            X = args[0] if args else kwargs.get("X")
            in_blocks = is_fit and type(X) is not ndarray and comes_in_blocks(X)
            chosen = of_blocks if in_blocks else checked
            try:
                return chosen(estimator, *args, **kwargs)
            except BaseException as error:
                vars(estimator).clear()
                vars(estimator).update(before)
                if isinstance(error, SystemError) and _was_interrupted(error):
                    raise KeyboardInterrupt from error
                raise

        return fit

    return decorate


def _was_interrupted(error):
    """Whether an interruption is behind an error.

    One that comes during a kernel is raised while its arrays are handed back, and
    numba makes a SystemError of it.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _fit_blocks(estimator, *args, **kwargs):
    from sparsestat._utils.blocks import fit_blocks

    return fit_blocks(estimator, *args, **kwargs)


def validate_params(constraints, *, prefer_skip_nested_validation):
    """Decorate a function: checked parameters, and names that exist."""

    def decorate(function):
        checked = _validate_params(
            constraints, prefer_skip_nested_validation=prefer_skip_nested_validation
        )(function)

        @wraps(checked)
        def call(*args, **kwargs):
            check_arguments(f"{function.__name__}()", function, args, kwargs)
            return checked(*args, **kwargs)

        return call

    return decorate


__all__ = [
    "HAS_CALLBACKS",
    "CallbackSupportMixin",
    "HasMethods",
    "Hidden",
    "Interval",
    "InvalidParameterError",
    "Options",
    "RealNotInt",
    "StrOptions",
    "align_sparse_interface",
    "check_sample_weight",
    "feature_names",
    "fit_context",
    "has_callbacks",
    "validate_params",
]
