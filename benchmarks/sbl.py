"""Sparse Bayesian learning against ARDRegression, and without a covariance."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import tracemalloc
import warnings

import numpy as np
from scipy.fft import dct, idct
from scipy.sparse.linalg import LinearOperator
from sklearn.linear_model import ARDRegression

from benchmarks import _bayes as baselines
from benchmarks._bayes import nmse
from sparsestat.bayes import InverseFreeSBL, SBLRegressor

TITLE = "Sparse Bayesian learning: 250 samples of 1000 features, 40 nonzero"
CLAIM = (
    "Targets; the rows show which are met: mm at least 5 times faster than "
    "ARDRegression with both learning the noise, error no worse; cofem on 65,536 "
    "unknowns from 16,384 cosine samples under 60 s and 500 MB."
)


def problem(m, n, k, seed):
    rng = np.random.default_rng(seed)
    H = rng.standard_normal((m, n)) / np.sqrt(m)
    x = np.zeros(n)
    x[rng.choice(n, k, replace=False)] = rng.standard_normal(k)
    clean = H @ x
    s2 = float((clean**2).mean() / 10**2.5)
    return H, clean + np.sqrt(s2) * rng.standard_normal(m), x, s2


def _sides(s2):
    arguments = {"fit_intercept": False}
    table = {}
    for noise, label in ((None, "noise learned"), (s2, "noise known")):
        for method in ("mm", "mackay", "em", "fast"):
            table[f"ours, {method}, {label}"] = SBLRegressor(
                method, noise_variance=noise, **arguments
            )
    table["ours, inverse-free, noise known"] = InverseFreeSBL(
        s2, random_state=0, max_iter=3000, **arguments
    )
    table["ARDRegression, noise learned"] = ARDRegression(**arguments)
    return table


def cosine_samples(n, m, rng):
    """Return m rows of the orthonormal cosine transform, as an operator."""
    rows = np.sort(rng.permutation(n)[:m])
    scale = np.sqrt(n / m)

    def forward(Z):
        Z = np.reshape(Z, (n, -1))
        return scale * dct(Z.T, axis=1, norm="ortho")[:, rows].T

    def adjoint(R):
        R = np.reshape(R, (m, -1))
        full = np.zeros((R.shape[1], n))
        full[:, rows] = R.T
        return scale * idct(full, axis=1, norm="ortho", overwrite_x=True).T

    return LinearOperator(
        (m, n), dtype=float, matvec=lambda z: forward(z)[:, 0], matmat=forward,
        rmatvec=lambda r: adjoint(r)[:, 0], rmatmat=adjoint,
    )  # fmt: skip


def _large(rows, n, m, k):
    rng = np.random.default_rng(0)
    A = cosine_samples(n, m, rng)
    x = np.zeros(n)
    x[rng.choice(n, k, replace=False)] = rng.standard_normal(k)
    y = A.matvec(x) + 0.01 * rng.standard_normal(m)
    model = SBLRegressor(
        "cofem",
        noise_variance=1e-4,
        fit_intercept=False,
        max_iter=20,
        random_state=0,
    )
    tracemalloc.start()
    start = time.perf_counter()
    model.fit(A, y)
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    rows.append(
        [
            f"{m} cosine samples of {n}, {k} nonzero",
            "ours, cofem, noise known",
            f"{nmse(model.coef_, x):.2e}",
            f"{nmse(model.coef_, x):.2e}",
            str(model.n_active_),
            str(model.n_iter_),
            f"{seconds:.3g}",
            "",
            "",
            f"{peak:.0f} MB; converged: {'yes' if model.converged_ else 'no'}",
        ]
    )


def run(quick=False):
    """Fit all sides on the same data; return the table."""
    m, n, k = (60, 200, 8) if quick else (250, 1000, 40)
    rows, found, spent, counts, noise = [], {}, {}, {}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        H, y, x, s2 = problem(60, 100, 5, 0)
        for model in _sides(s2).values():
            model.fit(H, y)
        for seed in range(60_000, 60_000 + (2 if quick else 10)):
            H, y, x, s2 = problem(m, n, k, seed)
            for name, model in _sides(s2).items():
                start = time.perf_counter()
                model.fit(H, y)
                spent.setdefault(name, []).append(time.perf_counter() - start)
                found.setdefault(name, []).append(nmse(model.coef_, x))
                active = np.count_nonzero(
                    np.abs(model.coef_) > 1e-6 * np.abs(model.coef_).max()
                )
                counts.setdefault(name, []).append((active, model.n_iter_))
                learned = getattr(model, "noise_variance_", None)
                learned = 1 / model.alpha_ if learned is None else learned
                noise.setdefault(name, []).append(learned / s2)
            start = time.perf_counter()
            coef = baselines.omp(H, y, k)
            spent.setdefault("OMP, number known", []).append(
                time.perf_counter() - start
            )
            found.setdefault("OMP, number known", []).append(nmse(coef, x))
        peer = np.median(spent["ARDRegression, noise learned"])
        for name, errors in found.items():
            active, n_iter = (
                np.median(counts[name], axis=0) if name in counts else (k, k)
            )
            rows.append(
                [
                    f"{m} x {n}, {k} nonzero",
                    name,
                    f"{np.median(errors):.2e}",
                    f"{np.mean(errors):.2e}",
                    f"{active:.0f}",
                    f"{n_iter:.0f}",
                    f"{np.median(spent[name]):.3g}",
                    f"{peer / np.median(spent[name]):.1f}",
                    f"{np.median(noise[name]):.2g}" if name in noise else "",
                    "",
                ]
            )
        if quick:
            _large(rows, 1024, 256, 64)
        else:
            _large(rows, 4096, 1024, 256)
            _large(rows, 65_536, 16_384, 4096)
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": [
            "problem",
            "method",
            "NMSE, median",
            "NMSE, mean",
            "nonzero",
            "iterations",
            "seconds",
            "ARD / this",
            "noise / true",
            "remark",
        ],
        "rows": rows,
        "notes": [
            "Independent normal columns, 25 dB, ten problems on seeds no default was "
            "chosen on; each library's own tolerance. ARD / this: the time of "
            "ARDRegression over that of the row.",
            "With more features than samples, the likelihood of the noise is highest "
            "near zero: all that learn it fall short, see noise / true.",
            "cofem: at most 20 iterations, 10 probes, one run; memory is the peak of "
            "what was allocated during the fit.",
        ],
    }
