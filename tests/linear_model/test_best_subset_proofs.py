"""Exact best subsets against enumeration: no proof is false.

`SPARSESTAT_SUBSET_PROBLEMS` sets the number of random problems.
"""

import os
import warnings
from itertools import combinations

import numpy as np
from scipy import sparse

from sparsestat.linear_model import BestSubsetRegressor

N_PROBLEMS = int(os.environ.get("SPARSESTAT_SUBSET_PROBLEMS", 60))


def problem(rng):
    """Return X, y and a size, with columns that are nearly dependent or far away."""
    n, p = int(rng.integers(4, 14)), int(rng.integers(2, 11))
    k = int(rng.integers(1, min(p, n, 5) + 1))
    spread = 10.0 ** -rng.uniform(0, 13)
    X = rng.standard_normal((n, p))
    kind = rng.integers(6)
    if kind == 1:
        X = rng.standard_normal((n, 1)) + spread * X
    elif kind == 2:
        X = X[:, rng.integers(0, p, p)]
    elif kind == 3:
        X = np.round(X)
    elif kind == 4:
        X = X + 2.0 ** rng.integers(0, 25)
    elif kind == 5:
        X = X * 10.0 ** rng.uniform(-5, 5, p)
    y = rng.standard_normal(n)
    if rng.random() < 0.3:
        y = X[:, rng.integers(p)] + spread * y
    return X, y, k


def least_error(X, y, k, fit_intercept):
    """Return the least squared error of k columns, by orthogonal bases of all sets."""
    if fit_intercept:
        X, y = X - X.mean(axis=0), y - y.mean()
        X = X - X.mean(axis=0)
    norms = np.linalg.norm(X, axis=0)
    X = X / np.where(norms > 1e-14 * max(norms.max(), 1e-300), norms, np.inf)
    best = np.inf
    for columns in combinations(range(X.shape[1]), k):
        U, s, _ = np.linalg.svd(X[:, columns], full_matrices=False)
        U = U[:, s > 1e-13 * max(s.max(), 1e-300)]
        r = y - U @ (U.T @ y)
        r = r - U @ (U.T @ r)
        best = min(best, float(r @ r))
    return best, float(y @ y)


def test_no_exact_subset_is_proved_falsely():
    rng = np.random.default_rng(0)
    proved = 0
    for number in range(N_PROBLEMS):
        X, y, k = problem(rng)
        fit_intercept = bool(rng.random() < 0.7)
        Z = sparse.csc_array(X) if rng.random() < 0.3 else X
        model = BestSubsetRegressor(k, method="exact", fit_intercept=fit_intercept)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(Z, y)
        best, size = least_error(X, y, k, fit_intercept)
        residual = y - model.predict(Z)
        if model.certificate_.satisfied:
            proved += 1
            # Predictions of far columns are rounded too.
            allowed = best * (1 + 1e-4) + 1e-12 * size
            assert residual @ residual <= allowed, number
        else:
            assert model.certificate_.value > model.certificate_.tol, number
    assert proved > 0.8 * N_PROBLEMS


def test_nearly_dependent_columns_are_solved_or_left_in_doubt():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(7, 1)) + 1e-5 * rng.normal(size=(7, 11))
    y = rng.normal(size=7)
    model = BestSubsetRegressor(4, method="exact").fit(X, y)
    best, _ = least_error(X, y, 4, True)
    error = float(np.sum((y - model.predict(X)) ** 2))
    assert error <= best * 1.01 and model.certificate_.satisfied
