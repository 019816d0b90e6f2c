r"""Widths of the components and the kind of noise, by held-out ends of a series.

The likelihood of the training data rises with every narrower width, as hundreds of
components then explain the noise too. What is left out judges without that bias: the
last fifth of the points is predicted from the others, and the first from the others.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, replace

import numpy as np

from sparsestat.gaussian_process._spectral._engines import Samples
from sparsestat.gaussian_process._spectral._fit import (
    Trend,
    choose_engine,
    fit_weights,
    gcv_noise,
    is_even,
)
from sparsestat.gaussian_process._spectral._spectrum import cross_covariance

__all__ = ["NARROWINGS", "HeldOut"]

NARROWINGS = (1, 2, 4, 8, 16)  # what the widest width is divided by
_SHARE = 5  # one point in so many is held out at each end
_LEAST = 20  # points below which ends say nothing
_MOST_EVEN, _MOST = 2000, 200  # points at an end that are looked at
_EVALUATIONS, _TOL = 40, 1e-2  # of a fit that is only compared


@dataclass(frozen=True)
class HeldOut:
    """Scores of widths by the ends of one feature.

    Parameters
    ----------
    spectrum : Spectrum
        The components, of the widest width.
    noise_floor : float
        Smallest noise variance, relative to the variance of the targets.
    detrend : {"mean", "linear"} or None
        What is taken off, of the points that are kept.
    """

    spectrum: object
    noise_floor: float
    detrend: str | None

    def narrowed(self, by):
        """Return the components with their widths divided by a number."""
        return replace(self.spectrum, sigmas=self.spectrum.sigmas / by)

    def scores(self, samples, narrowings, noises):
        """Return mean losses of held-out points, of shape (n_widths, n_noises).

        A noise is "ml", "gcv" (even grids) or a number. None is returned where there
        are too few points, or what is kept of them is constant.
        """
        ends, extent = list(_ends(samples)), np.ptp(samples.X)
        losses = np.zeros((len(narrowings), len(noises)))
        for kept, out in ends:
            trend = Trend.fit(kept.X, kept.Y, kept.weights, self.detrend)
            kept = replace(kept, Y=kept.Y - trend(kept.X))
            out = replace(out, Y=out.Y - trend(out.X))
            if not kept.Y.any():
                return None
            # A width means as much to a part as it will to the whole.
            share = float(np.ptp(kept.X) / extent)
            for i, by in enumerate(narrowings):
                engine = choose_engine(kept, self.narrowed(by * share))
                for j, noise in enumerate(noises):
                    losses[i, j] += self._loss(engine, noise, out) / len(ends)
        return losses if ends else None

    def _loss(self, engine, noise, out):
        """Return minus the mean log density of held-out points."""
        kept, spectrum = engine.samples, engine.spectrum
        if noise == "gcv":
            noise = gcv_noise(kept.Y)
        z = fit_weights(
            engine,
            noise=None if noise == "ml" else noise,
            noise_floor=self.noise_floor,
            solver="auto",
            tol=_TOL,
            max_iter=_EVALUATIONS,
        ).z
        state = engine.factor(z[:-1], float(z[-1]))
        cross = cross_covariance(out.X, kept.X, spectrum, z[:-1])
        variance = z[:-1].sum() - np.einsum("ij,ji->i", cross, state.solve(cross.T))
        variance = np.maximum(variance, 0.0) + z[-1] / out.weights
        errors = (out.Y - cross @ state.alpha) ** 2
        return 0.5 * float(
            np.mean(np.log(variance)[:, None] + errors / variance[:, None])
        )


def _ends(samples):
    """Yield what is kept and what is held out, at the end and at the start."""
    n = len(samples.X)
    if n < _LEAST:
        return
    size = min(n, _MOST_EVEN if is_even(samples) else _MOST)
    out = size // _SHARE
    yield _part(samples, n - size, n - out), _part(samples, n - out, n)
    yield _part(samples, out, size), _part(samples, 0, out)


def _part(samples, start, stop):
    rows = slice(start, stop)
    total = float(samples.weights[rows].sum())
    within = samples.within * total / samples.total
    return Samples(
        samples.X[rows], samples.Y[rows], samples.weights[rows], total, within
    )
