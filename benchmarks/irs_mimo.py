"""Channels over a reflecting surface: coherent factors, supports in blocks."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings

import numpy as np

from benchmarks import _bayes as baselines
from sparsestat.bayes import BlockKroneckerSBL, KroneckerSBL
from sparsestat.datasets import make_irs_mimo_channel

TITLE = "Channel estimation over a reflecting surface: 288 measurements of 5832"
CLAIM = (
    "Targets; the rows show which are met: mean error at most 0.05 at 8 dB and 0.002 "
    "at 20 dB, at most 50 ms a fit, below the pattern-coupled rule in the same run."
)


def _sides(data):
    s2 = data.noise_variance
    return {
        "KroneckerSBL, svd+mm": KroneckerSBL(noise_variance=s2),
        "KroneckerSBL, svd": KroneckerSBL("svd", noise_variance=s2, n_init=1),
        "KroneckerSBL, mm": KroneckerSBL("mm", noise_variance=s2, n_init=1),
        "BlockKroneckerSBL, beta 0.5": BlockKroneckerSBL(
            data.coupled, noise_variance=s2
        ),
        "BlockKroneckerSBL, beta 0.8": BlockKroneckerSBL(
            data.coupled, beta=0.8, noise_variance=s2
        ),
        "pattern-coupled rule, beta 0.5": BlockKroneckerSBL(
            data.coupled, m_step="nnls", noise_variance=s2
        ),
        "pattern-coupled rule, beta 0.8": BlockKroneckerSBL(
            data.coupled, beta=0.8, m_step="nnls", noise_variance=s2
        ),
    }


def _errors(data, coef):
    """Return the mean over patterns of relative errors, and the pooled one."""
    error = np.abs(baselines.multiply(data.channel_factors, coef) - data.channels) ** 2
    size = np.abs(data.channels) ** 2
    axes = (1, 2)
    ratio = float((error.sum(axis=axes) / size.sum(axis=axes)).mean())
    return ratio, float(error.sum() / size.sum())


def run(quick=False):
    """Fit all sides on the same channels; return the table."""
    rows = []
    n_seeds = 3 if quick else 50
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm = make_irs_mimo_channel(random_state=0)
        for model in _sides(warm).values():
            model.fit(warm.factors, warm.y)
        for snr in (8, 20) if quick else (4, 8, 12, 16, 20):
            found, spent = {}, {}
            for seed in range(80_000, 80_000 + n_seeds):
                data = make_irs_mimo_channel(snr_db=float(snr), random_state=seed)
                for name, model in _sides(data).items():
                    start = time.perf_counter()
                    model.fit(data.factors, data.y)
                    spent.setdefault(name, []).append(time.perf_counter() - start)
                    found.setdefault(name, []).append(_errors(data, model.coef_))
            for name, errors in found.items():
                ratio, pooled = np.array(errors).T
                rows.append(
                    [
                        f"{snr} dB",
                        name,
                        f"{pooled.mean():.2e}",
                        f"{np.median(pooled):.2e}",
                        f"{np.mean(pooled > 0.1):.0%}",
                        f"{ratio.mean():.2e}",
                        f"{np.median(ratio):.2e}",
                        f"{1e3 * np.median(spent[name]):.3g}",
                        f"{1e3 * np.max(spent[name]):.3g}",
                    ]
                )
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": [
            "SNR",
            "method",
            "NMSE, mean",
            "NMSE, median",
            "failures",
            "by pattern, mean",
            "by pattern, median",
            "ms a fit",
            "slowest",
        ],
        "rows": rows,
        "notes": [
            f"{n_seeds} channels for each row, on seeds no default was chosen on; "
            "known noise variance. NMSE: squared error over squared norm of the "
            "channels under all six patterns together; failures: NMSE above 0.1.",
            "By pattern: the mean of the six ratios, one for each pattern. A pattern "
            "whose own channel nearly vanishes by chance then dominates, so that this "
            "mean hangs on a few seeds; its median does not.",
            "The pattern-coupled rule is the published update (non-negative least "
            "squares) on our E-step at the cost of the factors; with a full covariance "
            "of 5832 squared, one of its iterations alone takes many seconds.",
        ],
    }
