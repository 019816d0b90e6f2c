"""Gaussian processes of compact support: likelihood, gradient, predictions."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import resource
import time
import warnings

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor

from sparsestat.gaussian_process import CompactGPRegressor

TITLE = "Compact support: 100,000 points in the plane"
CLAIM = (
    "Target; the rows show whether it is met: n = 1e5 in two dimensions with 20 "
    "non-zeros a row, likelihood and gradient under 60 s and 4 GB."
)
DENSE = 3_000  # largest n for which scikit-learn's dense process is run


def problem(n, seed=11):
    """Return uniform points of unit density and a function with noise."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.0, np.sqrt(n), (n, 2))
    f = np.sin(X[:, 0] / 2) * np.cos(X[:, 1] / 3)
    return X, f + 0.1 * rng.standard_normal(n)


def peak():
    """Return the largest memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run(quick=False):
    """Measure every size in turn, the largest last; return the table."""
    sizes = (1_000, 3_000) if quick else (1_000, 3_000, 10_000, 30_000, 100_000)
    rows = []
    for n in sizes:
        X, y = problem(n)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = CompactGPRegressor(neighbors=19, optimizer=None, random_state=0)
            if n == sizes[0]:
                model.fit(X, y).log_marginal_likelihood(eval_gradient=True)  # compiles
                model.predict(X[:5], return_std=True)
            start = time.perf_counter()
            model.fit(X, y)
            fitted = time.perf_counter() - start
            start = time.perf_counter()
            value, slope = model.log_marginal_likelihood(eval_gradient=True)
            both = time.perf_counter() - start
            start = time.perf_counter()
            mean, _ = model.predict(X[:1000] + 0.3, return_std=True)
            predicted = time.perf_counter() - start
            rows.append(
                [
                    "CompactGPRegressor",
                    str(n),
                    f"{model.n_nonzeros_ / n:.1f}",
                    f"{model.fill_ / n:.0f}",
                    f"{fitted:.2f}",
                    f"{both:.2f}",
                    f"{predicted:.2f}",
                    f"{peak():.2f}",
                    "reference",
                ]
            )
            if n <= DENSE:
                rows.append(_dense(model, X, y, value, slope, mean))
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": [
            "side",
            "n",
            "non-zeros a row",
            "fill a row",
            "fit [s]",
            "likelihood and gradient [s]",
            "1000 means and std [s]",
            "peak memory [GB]",
            "largest difference",
        ],
        "rows": rows,
        "notes": [
            "Uniform points of unit density, a constant times WendlandKernel(k=1) plus "
            "noise, whose support follows from the number of "
            "neighbors. One thread, one run each; compilation excluded.",
            "Fit: pairs, factorization and weights at given parameters. Likelihood and "
            "gradient: the same again with the selected inverse.",
            "Peak memory is that of the process up to the row; the imports take about "
            "0.2 GB of it. A dense matrix of 1e5 points would take 80 GB.",
            "Difference: of the likelihood (relative), its gradient (relative) and "
            "1000 means, dense against sparse, whichever is largest.",
        ],
    }


def _dense(model, X, y, value, slope, mean):
    """Run scikit-learn's dense process with the same kernel."""
    n = len(X)
    start = time.perf_counter()
    full = GaussianProcessRegressor(model.kernel_, optimizer=None, alpha=0).fit(X, y)
    fitted = time.perf_counter() - start
    theta = model.kernel_.theta
    start = time.perf_counter()
    value_full, slope_full = full.log_marginal_likelihood(theta, eval_gradient=True)
    both = time.perf_counter() - start
    start = time.perf_counter()
    mean_full, _ = full.predict(X[:1000] + 0.3, return_std=True)
    predicted = time.perf_counter() - start
    gap = max(
        abs(value - value_full) / abs(value_full),
        np.abs(slope - slope_full).max() / np.abs(slope_full).max(),
        np.abs(mean - mean_full).max(),
    )
    return [
        "scikit-learn, dense",
        str(n),
        str(n),
        f"{(n + 1) / 2:.0f}",
        f"{fitted:.2f}",
        f"{both:.2f}",
        f"{predicted:.2f}",
        f"{peak():.2f}",
        f"{gap:.1e}",
    ]
