"""Paths of solutions: what they return, and how classes and instances offer them."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
import warnings
from copy import copy
from types import MethodType
from typing import NamedTuple

import numpy as np

from sparsestat._utils.results import users_stacklevel

__all__ = ["PathMethod", "PathResult"]

_OLD_NAMES = ("dual_gaps", "kkt_residuals", "values")


class _Triple(NamedTuple):
    alphas: np.ndarray
    coefs: np.ndarray
    gaps: np.ndarray


class PathResult(_Triple):
    """Solutions along a sequence of penalty strengths; unpacks into three arrays.

    Parameters
    ----------
    alphas : ndarray of shape ([n_targets,] n_alphas)
        Penalty strengths, in decreasing order; with the axis of targets where each of
        these is a problem by itself.
    coefs : ndarray of shape ([n_targets,] n_features, n_alphas)
        Coefficients at each of them.
    gaps : ndarray of the shape of `alphas`
        What the certificates measure: duality gaps of the objective for convex
        squared losses, else what `kind` says relative to the scale of the certificate.
    intercepts : ndarray of shape ([n_targets,] n_alphas)
        Intercepts at each of them.
    kind : {"duality_gap", "kkt"}
        What `gaps` holds.

    Examples
    --------
    >>> from sparsestat.linear_model import Lasso
    >>> Lasso(tol=1e-12).path([[-1.0], [0.0], [1.0]], [-1.0, 0.0, 1.0], alphas=[0.5, 0])
    PathResult(2 alphas from 0.5 to 0, coefs of shape (1, 2), largest duality_gap ...)
    """

    def __new__(cls, alphas, coefs, gaps, intercepts=None, kind="duality_gap"):
        """Hold three arrays as a tuple, the rest as attributes."""
        path = super().__new__(cls, alphas, coefs, gaps)
        path.intercepts, path.kind = intercepts, kind
        return path

    def __getnewargs__(self):
        return (*self, self.intercepts, self.kind)

    def __repr__(self):
        if not np.size(self.alphas):
            return f"PathResult(no alphas, coefs of shape {np.shape(self.coefs)})"
        return (
            f"PathResult({np.shape(self.alphas)[-1]} alphas from "
            f"{np.max(self.alphas):.3g} to {np.min(self.alphas):.3g}, coefs of shape "
            f"{np.shape(self.coefs)}, largest {self.kind} {np.max(self.gaps):.1e})"
        )

    def __getattr__(self, name):
        if name in _OLD_NAMES:
            warnings.warn(
                f"`{name}` of a path is called `gaps` since 0.2, and `kind` says what "
                "it holds. The old name goes in 0.4.",
                FutureWarning,
                stacklevel=users_stacklevel(),
            )
            return self.gaps
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}.")


class PathMethod:
    """A path that keeps an instance's settings; on the class, a function.

    Parameters
    ----------
    function : callable, default=None
        What the class offers. None takes settings of the class as keywords.
    """

    def __init__(self, function=None):
        self.function = function

    def __get__(self, estimator, owner=None):
        if estimator is not None:
            return MethodType(_instance_path, estimator)
        if self.function is not None:
            return self.function
        return _class_path(owner)


def _class_path(owner):
    """Return the path of a class as a function that takes its settings."""

    def path(
        X, y, *, alphas=100, eps=1e-3, sample_weight=None, coef_init=None, **settings
    ):
        options = {"sample_weight": sample_weight, "coef_init": coef_init}
        names = set(settings) - set(owner._get_param_names())
        options |= {name: settings.pop(name) for name in names}
        return owner(**settings).path(X, y, alphas=alphas, eps=eps, **options)

    # Python 3.13 takes the indentation off; before it, cleandoc does.
    path.__doc__ = (
        inspect.cleandoc(_instance_path.__doc__)
        .replace("settings of this instance.", "settings of the class.")
        .replace(
            "**rows : array-like of shape (n_samples,)\n    What else",
            "**settings : object\n    Parameters of the class, and what else",
        )
        + "\n"
    )
    return path


def _instance_path(
    self, X, y, *, alphas=100, eps=1e-3, sample_weight=None, coef_init=None, **rows
):
    """Compute solutions for decreasing strengths, with the settings of this instance.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training data.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Target.
    alphas : int or array-like, default=100
        Number of strengths on a logarithmic grid from the smallest alpha with an
        all-zero solution downwards, or the strengths themselves. `alpha` of the
        instance is not used.
    eps : float, default=1e-3
        Smallest alpha divided by the largest, when `alphas` is an int.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights; an integer weight equals repetition.
    coef_init : array-like of the shape of `coef_`, default=None
        Where the first problem starts.
    **rows : array-like of shape (n_samples,)
        What else `fit` takes for each sample, such as `offset`.

    Returns
    -------
    path : PathResult
        Named tuple ``(alphas, coefs, gaps)`` with `intercepts` and `kind`. Where each
        of several targets is a problem by itself, all four have a leading axis
        of targets. The estimator remains as it was.
    """
    scratch = copy(self)  # validation leaves marks; they are not for self
    scratch._validate_params()
    X, y, sample_weight = scratch._validated(X, y, sample_weight)
    are_separate = y.ndim == 2 and not getattr(scratch, "_is_joint", True)
    if are_separate and getattr(self, "stop_explained", False):
        raise ValueError(
            "stop_explained=True ends the grid of one target, but y has "
            f"{y.shape[1]}. Use stop_explained=False, or a path for each column."
        )
    if rows:
        known = inspect.signature(scratch.fit).parameters
        for name in rows:
            if name not in known:
                raise TypeError(
                    f"{type(self).__name__}.path takes no argument {name!r}."
                )
        rows = scratch._checked_rows(rows, y)
    problem = scratch._problem(X, y, sample_weight, **rows)
    settings = scratch._path_settings()
    if len(settings) > 1:
        raise ValueError(
            f"A path has one `{scratch._setting_name}`, but {len(settings)} are given. "
            "Set one of them."
        )
    if coef_init is not None:
        coef_init = np.asarray(coef_init, dtype=np.float64).T.reshape(
            problem.coef_shape
        )
    options = {
        "coef_init": coef_init,
        "verbose": self.verbose,
        "name": type(self).__name__,
    }
    if are_separate:
        return problem.paths_of_targets(alphas, eps, settings[0], **options)
    options["stop_explained"] = getattr(self, "stop_explained", False)
    return problem.path(alphas, eps, settings[0], **options)
