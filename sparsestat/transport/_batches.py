"""Several transport problems in one call: stacked costs, or columns of masses."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace

import numpy as np
from scipy import sparse

from sparsestat._utils.results import warn_if_unsatisfied
from sparsestat.transport._costs import MatrixCost
from sparsestat.transport._validation import check_cost, check_masses

__all__ = ["is_batch", "problems_of", "solve_all"]


def is_batch(C, a, b):
    """Say whether these are several problems."""
    return _ndim(C) == 3 or 2 in (_ndim(a), _ndim(b))


def _ndim(x):
    return 2 if sparse.issparse(x) else 0 if x is None else np.ndim(x)


def problems_of(C, a, b):
    """Return triples of a cost and two vectors of masses.

    Parameters
    ----------
    C : array-like of shape (n, m) or (k, n, m)
        One cost for all, or one for each problem.
    a, b : array-like or None
        One vector for all; or, with one cost, the columns of a matrix, and, with
        stacked costs, its rows.
    """
    stacked = _ndim(C) == 3
    if stacked:
        shared = [check_cost(one) for one in C]
        if not shared:
            raise ValueError("C is an empty stack; it must hold at least one problem.")
        counts = {"C": len(shared)}
    else:
        shared, counts = [check_cost(C)], {}
    masses = {}
    for name, given in (("a", a), ("b", b)):
        if _ndim(given) == 2:
            given = given.toarray() if sparse.issparse(given) else np.asarray(given)
            masses[name] = given if stacked else given.T
            counts[name] = len(masses[name])
        elif _ndim(given) > 2:
            raise ValueError(f"{name} must have at most two dimensions.")
    if len(set(counts.values())) > 1 or 0 in counts.values():
        found = ", ".join(f"{count} in {name}" for name, count in counts.items())
        raise ValueError(
            f"All inputs of several problems must hold equally many, got {found}. "
            "Masses are columns beside one cost matrix, and rows beside a stack."
        )
    count = next(iter(counts.values()))
    costs = [MatrixCost(one) for one in shared]
    costs = costs if stacked else costs * count
    left = masses.get("a", [a] * count)
    right = masses.get("b", [b] * count)
    return [
        (cost, *_named(k, cost, own, other))
        for k, (cost, own, other) in enumerate(zip(costs, left, right, strict=True))
    ]


def _named(k, cost, a, b):
    try:
        return check_masses(a, b, cost.shape)
    except ValueError as error:
        raise ValueError(f"Problem {k}: {error}") from None


def solve_all(problems, warm_start, solve):
    """Return the results of all problems; warn once, of the worst.

    `solve` takes a cost, two vectors of masses and a start.
    """
    if warm_start is None:
        starts = [None] * len(problems)
    elif isinstance(warm_start, list | tuple) and len(warm_start) == len(problems):
        starts = warm_start
    else:
        raise ValueError(
            f"warm_start must be a list of {len(problems)} results or pairs of "
            "potentials, one for each problem."
        )
    results = [
        solve(cost, a, b, start)
        for (cost, a, b), start in zip(problems, starts, strict=True)
    ]
    missed = [one for one in results if not one.converged]
    if missed:
        worst = max(missed, key=lambda one: one.certificate.value)
        warn_if_unsatisfied(
            replace(worst.certificate, satisfied=False),
            f"Transport: {len(missed)} of {len(results)} problems are not solved; the "
            "largest error",
            "Each result's certificate gives its reason. Increase max_iter or tol, or "
            "use a larger reg.",
        )
    return results
