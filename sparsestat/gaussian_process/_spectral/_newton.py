r"""Newton steps for the weights of a spectrum on an even grid, in Whittle's metric.

Fourier vectors are almost eigenvectors of a long Toeplitz matrix. With the spectrum
:math:`S_f` of the covariance, the spectra :math:`B_{fi}` of its components and
:math:`\hat a` the transform of :math:`a = C^{-1} y`, the Hessian of the objective is
close to

.. math:: H_{ij} = \tfrac{n}{N} \sum_f B_{fi} B_{fj}
    \Bigl( \frac{2 |\hat a_f|^2}{n S_f} - \frac{1}{S_f^2} \Bigr) .

Where the bracket is small or negative it is held to a share of :math:`1 / S_f^2`, the
expected value, so that H is positive definite. Values and slopes stay exact: only the
metric of the steps is approximate [1]_.

References
----------
.. [1] P. Whittle, "Estimation and information in stationary time series", Arkiv foer
   Matematik 2, 1953.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import fft

from sparsestat._utils.validation import read_only

__all__ = ["WhittleMetric", "solve_in_metric"]

_FORGOTTEN = 1e-3  # what may be left of a component's correlation at the last lag
_WIDTH = 4.0  # standard deviations of a component that its line reaches
_LANES = 4  # numbers that are multiplied at once
_MOST = 1 << 22  # entries of all lines
_LEAST = 0.1  # of the expected curvature
_RIDGE = 1e-6
_SWEEPS, _TOL = 80, 1e-5
_ARMIJO, _SHORTEST = 1e-4, 1e-4


class WhittleMetric:
    """The approximate Hessian of a grid spectral mixture on an even grid.

    Parameters
    ----------
    engine : ToeplitzEngine
        Of components that :meth:`suits` accepts.
    """

    def __init__(self, engine):
        self.n = len(engine.samples.X)
        self.n_targets = engine.samples.n_targets
        self.size = fft.next_fast_len(2 * self.n, real=True)
        count = self.size // 2 + 1
        self.twice = np.full(count, 2.0 * self.n / self.size)
        self.twice[0] *= 0.5
        if self.size % 2 == 0:
            self.twice[-1] *= 0.5
        # In units of the distance of two frequencies of the transform.
        unit = engine.step * self.size
        mu = engine.spectrum.frequencies[:, 0] * unit
        sigma = engine.spectrum.sigmas[:, 0] * unit
        mu = np.abs(mu - self.size * np.rint(mu / self.size))
        reach = 2 * int(np.ceil(_WIDTH * sigma.max())) + 1
        reach = min(-(-reach // _LANES) * _LANES, count)
        first = np.clip(np.rint(mu).astype(np.intp) - reach // 2, 0, count - reach)
        at = first[:, None] + np.arange(reach)
        mu, sigma = mu[:, None], sigma[:, None]
        lines = np.zeros(at.shape)
        for place in (mu, -mu):
            for turn in (-self.size, 0, self.size):
                lines += np.exp(-0.5 * ((at - place - turn) / sigma) ** 2)
        lines *= 0.5 * self.size / (np.sqrt(2.0 * np.pi) * sigma)
        self.lines, self.first = read_only(lines), read_only(first)

    @staticmethod
    def suits(engine):
        """Tell whether the spectra of the components are narrow lines, yet resolved."""
        sigma, n = engine.spectrum.sigmas[:, 0] * engine.step, len(engine.samples.X)
        left = np.exp(-2.0 * (np.pi * sigma.min() * n) ** 2)
        reach = min(4.0 * _WIDTH * sigma.max() * n, n)
        return n > 2 and left <= _FORGOTTEN and reach * len(sigma) <= _MOST

    def curvature(self, column, alpha, noise):
        """Return the curvature at each frequency."""
        ring = np.zeros(self.size)
        ring[: self.n] = column
        ring[1 - self.n :] = column[:0:-1]
        spectrum = np.maximum(fft.rfft(ring).real, 0.5 * noise)
        wave = fft.rfft(alpha, self.size, axis=0)
        power = (wave.real**2 + wave.imag**2).sum(axis=1) / self.n
        expected = self.n_targets / spectrum**2
        seen = 2.0 * power / spectrum - expected
        return self.twice * np.maximum(seen, _LEAST * expected)

    def step(self, problem, z, g, q, state):
        """Return the minimizer of the quadratic model, as a change of z."""
        from sparsestat.gaussian_process._spectral._kernels_whittle import descend

        samples, noise = problem.engine.samples, z[-1]
        slope, room, ridge = g - q, z - problem.lower(), _RIDGE * g**2
        # Repeated rows tell of the noise alone.
        rest = max(2.0 * samples.within / noise - samples.extra, 0.0)
        ridge[-1] += rest / noise**2
        # The last coordinate of the model is what the noise adds to the diagonal.
        weight = samples.weights[0]
        slope[-1] *= weight
        room[-1] /= weight
        ridge[-1] *= weight**2
        d = descend(
            self.lines,
            self.first,
            read_only(self.curvature(state.factor.column, state.alpha, noise / weight)),
            read_only(slope),
            read_only(ridge),
            read_only(room),
            problem.learns_noise,
            _SWEEPS,
            _TOL,
        )
        d[-1] *= weight
        return d


def solve_in_metric(run, z, metric):
    """Step to the minimizers of quadratic models, shortened until the objective falls.

    Returns when the residual is small enough, or no step lowers the objective.
    """
    problem = run.problem
    value, g, q, state = run.examine(z)
    lower = problem.lower()
    while run.left > 0 and problem.residual(z, g, q) > run.tol:
        d = metric.step(problem, z, g, q, state)
        fall, length = float((g - q) @ d), 1.0
        while True:
            point = np.maximum(z + length * d, lower)
            new, g_new, q_new, state = run.examine(point)
            if new <= value + _ARMIJO * length * fall:
                break
            if run.left <= 0 or length <= _SHORTEST:
                return
            # The minimum of the parabola through what is known of the line.
            rise = 2.0 * (new - value - length * fall)
            length *= min(max(-length * fall / rise, 0.1), 0.5)
        z, value, g, q = point, new, g_new, q_new
