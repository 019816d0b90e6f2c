"""Points of a path as arrays; results one by one only where someone asks for them."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from collections.abc import Sequence

import numpy as np

from sparsestat.linear_model._penalized._result import SolverResult

__all__ = [
    "PathPoints",
    "are_gaps",
    "gaps_of",
    "shifts_of",
    "used_columns",
    "worst_result",
]


class PathPoints(Sequence):
    """What compiled paths return: a sequence of results that are made when asked for.

    Parameters
    ----------
    problem : PathProblem
        Brings results into the units of the given data.
    coefs : ndarray of shape (n_points, n_features)
        In the units of the solver.
    varying : dict of ndarray of shape (n_points,)
        Attributes of the results that differ; among them "gap", "objective", "dual".
    common : dict
        Those that do not.

    Attributes
    ----------
    coefs : ndarray of shape (n_points, n_features)
        In the units of the given data.
    gaps, roundings, objectives, duals, shifts : ndarray of shape (n_points,)
    kind : {"duality_gap", "kkt"}
    """

    def __init__(self, problem, coefs, varying, common):
        self._problem, self._inner = problem, coefs
        self._varying, self._common = varying, common
        self._made = {}
        self.kind = common.get("kind", "duality_gap")
        unit = problem.coef_unit
        self.coefs = coefs if unit == 1.0 else coefs * unit  # it may be large
        square = problem.y_unit**2 * problem.loss_unit
        self.gaps = varying["gap"].copy()
        self.roundings = varying["rounding"].copy()
        self.objectives = varying["objective"] * square
        self.duals = varying["dual"] * square
        shifts = varying.get("shift", np.zeros(len(coefs)))
        self.shifts = shifts * problem.y_unit + problem.y_offset

    def __len__(self):
        return len(self._inner)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        k = range(len(self))[index]
        if k not in self._made:
            w = self._inner[k]
            columns = np.flatnonzero(w)
            own = {name: values[k].item() for name, values in self._varying.items()}
            own = {"gap_history": [own["gap"]], **own, **self._common}
            result = SolverResult(columns=columns, coef=w[columns], **own)
            self._made[k] = self._problem.given(result)
        return self._made[k]

    def __setitem__(self, k, result):
        """Put another result in the place of one."""
        self._made[range(len(self))[k]] = result
        self.coefs[k] = result.dense_coef(self.coefs.shape[1])
        self.gaps[k], self.roundings[k] = result.gap, result.rounding
        self.shifts[k] = result.shift
        self.objectives[k], self.duals[k] = result.objective, result.dual


def worst_result(results):
    """Return the result that is proved least: by its gap and its rounding."""
    if isinstance(results, PathPoints):
        return results[int(np.argmax(results.gaps + results.roundings))]
    return results[int(np.argmax([one.gap + one.rounding for one in results]))]


def gaps_of(results):
    """Return what the certificates measure, an array."""
    if isinstance(results, PathPoints):
        return results.gaps
    return np.array([result.gap for result in results])


def shifts_of(results):
    """Return the intercepts of the centered features, an array."""
    if isinstance(results, PathPoints):
        return results.shifts
    return np.array([result.shift for result in results])


def are_gaps(results):
    """Whether every point has a duality gap."""
    if isinstance(results, PathPoints):
        return results.kind == "duality_gap"
    return all(result.kind == "duality_gap" for result in results)


def used_columns(results):
    """Return the features with a coefficient at some point, sorted."""
    if isinstance(results, PathPoints):
        return np.flatnonzero(results.coefs.any(axis=0))
    return np.unique(np.concatenate([result.columns for result in results]))
