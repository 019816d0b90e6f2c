"""Compile the common signatures of this family on tiny data."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.gaussian_process import GridSpectralMixtureRegressor

__all__ = ["warmup"]


def warmup():
    """Run every kernel once."""
    x = np.arange(12.0)
    y = np.sin(x)
    mixture = GridSpectralMixtureRegressor(8, max_iter=2)
    mixture.fit(x[:, None], y)
    six = np.sin(np.outer(x + 1.0, np.arange(1.0, 7.0)))
    mixture.fit(six, y).predict(six)
