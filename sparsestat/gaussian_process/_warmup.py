"""Compile the common signatures of this family on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.gaussian_process import (
    CompactGPRegressor,
    GridSpectralMixtureRegressor,
    ToeplitzGPRegressor,
)

__all__ = ["warmup"]


def warmup():
    """Run every kernel once."""
    x = np.arange(12.0)
    y = np.sin(x)
    mixture = GridSpectralMixtureRegressor(8, max_iter=12)
    mixture.fit(x[:, None], y)
    mixture.set_params(max_iter=2)
    six = np.sin(np.outer(x + 1.0, np.arange(1.0, 7.0)))
    mixture.fit(six, y).predict(six)
    series = ToeplitzGPRegressor(max_iter=1, tol=1e3).fit(x[:, None], y)
    series.sample_y(x[:, None] + 1.0)
    compact = CompactGPRegressor(neighbors=2, max_iter=1, tol=1e3)
    compact.fit(x[:, None], y).predict(x[:, None], return_std=True)
