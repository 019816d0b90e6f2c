"""Compile the common signatures of this family on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np

from sparsestat.bayes import MRFSBL, KroneckerSBL, SBLRegressor

__all__ = ["warmup"]


def warmup():
    """Run every kernel once on real and on complex data."""
    rng = np.random.default_rng(0)
    H, y = rng.standard_normal((6, 5)), rng.standard_normal(6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for factor in (1.0, 1.0 + 0.5j):
            SBLRegressor("fast", noise_variance=0.1, allow_complex=True).fit(
                factor * H, y
            )
            MRFSBL(noise_variance=0.1).fit(factor * H, y)
            KroneckerSBL(noise_variance=0.1, max_iter=3).fit([factor * H[:2], H[:3]], y)
