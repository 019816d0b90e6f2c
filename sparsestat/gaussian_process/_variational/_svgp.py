r"""Variational inference at inducing points: the bound, and natural gradients.

With whitened inducing variables :math:`v \sim N(0, I)`, features
:math:`a_t = L^{-1} k_{mt}` and prior variances :math:`k_t`, a process with
:math:`q(v) = N(\mu, P^{-1})` has marginals

.. math::

    f_t \sim N(a_t^T \mu, \; k_t - |a_t|^2 + a_t^T P^{-1} a_t) ,

and the log evidence is bounded below by

.. math::

    \sum_t E \log p(y_t | f_t) - \frac12 \left(\mathrm{tr} P^{-1} + |\mu|^2 - m
    + \log \det P\right) .

A natural-gradient step of length rho replaces P by
:math:`(1 - \rho) P + \rho (I - 2 \sum_t \dot v_t a_t a_t^T)`, :math:`\dot v` being the
derivatives of the expectations in the variances, and :math:`P \mu` likewise [1]_. For
normal noise one step of length 1 ends at the optimum, where the bound is that of
Titsias. Several outputs have means and precisions of their own.

References
----------
.. [1] J. Hensman, N. Fusi, N. D. Lawrence, "Gaussian processes for big data", UAI,
   2013.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas

from sparsestat.gaussian_process._variational._layers import solve_lower

__all__ = ["Marginals", "Posterior", "bound", "natural_step", "settle"]

# Twice the divergence of a last step, per sample: derivatives of the bound per sample
# are then right to 1e-5 / sqrt(n_samples).
_SETTLED = 1e-10
_MAX_STEPS = 100
_SHORTEST = 1e-4
_MEMORY = 6  # steps that are extrapolated from


@dataclass
class Posterior:
    """The distribution of the whitened inducing variables, output by output.

    Parameters
    ----------
    mean : ndarray of shape (m, n_outputs)
        Means.
    roots : list of ndarray of shape (m, m)
        Lower Cholesky factors of the precisions: one an output, or one for all.
    """

    mean: np.ndarray
    roots: list

    @classmethod
    def prior(cls, m, n_outputs):
        """Return the distribution before any data."""
        return cls(np.zeros((m, n_outputs)), [np.eye(m)] * n_outputs)

    @classmethod
    def from_natural(cls, pulls, precisions):
        """Return the distribution with given P mu (columns) and P.

        Raises LinAlgError where a precision is not positive definite.
        """
        roots = [np.linalg.cholesky(P) for P in precisions]
        mean = np.empty_like(pulls)
        for j in range(mean.shape[1]):
            root = roots[j if len(roots) > 1 else 0]
            half = solve_lower(root, pulls[:, j : j + 1])
            mean[:, j] = solve_lower(root, half, transposed=True)[:, 0]
        return cls(mean, roots)

    def natural(self):
        """Return P mu and P of all outputs."""
        precisions = [C @ C.T for C in self.roots]
        pulls = [
            precisions[j if len(precisions) > 1 else 0] @ self.mean[:, j]
            for j in range(self.mean.shape[1])
        ]
        return np.column_stack(pulls), precisions

    def root(self, output):
        """Return the factor of the precision of an output."""
        return self.roots[output if len(self.roots) > 1 else 0]

    def divergence(self, prior=None):
        """Return the Kullback-Leibler divergence from the prior, over all outputs.

        None is the standard normal distribution.
        """
        if prior is not None:
            return self._divergence_from(prior)
        m, n_outputs = self.mean.shape
        total = np.sum(self.mean**2)
        each = [
            np.sum(solve_lower(C, np.eye(m)) ** 2) + 2 * np.log(C.diagonal()).sum() - m
            for C in self.roots
        ]
        return 0.5 * float(total + sum(each) * (n_outputs / len(self.roots)))

    def _divergence_from(self, prior):
        total, m = 0.0, len(self.mean)
        for j in range(self.mean.shape[1]):
            C, D = self.root(j), prior.root(j)
            ratio = solve_lower(C, D)
            rest = D.T @ (self.mean[:, j] - prior.mean[:, j])
            total += np.sum(ratio**2) + rest @ rest - m
            total += 2 * np.log(C.diagonal() / D.diagonal()).sum()
        return 0.5 * float(total)

    def marginals(self, A, k):
        """Return means, variances and half-solved features of all outputs."""
        halves = [solve_lower(C, A) for C in self.roots]
        rest = k - np.einsum("ij,ij->j", A, A)
        columns = [rest + np.einsum("ij,ij->j", H, H) for H in halves]
        if len(columns) < self.mean.shape[1]:
            columns = columns * self.mean.shape[1]
        variance = np.maximum(np.column_stack(columns), 0.0)
        return Marginals(A.T @ self.mean, variance, halves)


@dataclass
class Marginals:
    """Means and variances at samples, and what they were made of.

    `expected` is what the likelihood says of them, once it was asked.
    """

    mean: np.ndarray
    variance: np.ndarray
    halves: list
    expected: tuple | None = None


def _seen(likelihood, posterior, A, k, y):
    seen = posterior.marginals(A, k)
    seen.expected = likelihood.expected(y, seen.mean, seen.variance)
    return seen


def bound(likelihood, posterior, A, k, y, *, scale=1.0, seen=None):
    """Evaluate the bound and its derivatives in the features and prior variances.

    Parameters
    ----------
    likelihood : object
        Of :mod:`sparsestat.gaussian_process._variational._likelihoods`.
    posterior : Posterior
        Of the inducing variables.
    A : ndarray of shape (m, n)
        Features.
    k : ndarray of shape (n,)
        Prior variances.
    y : ndarray of shape (n, n_outputs)
        Targets, as the likelihood takes them.
    scale : float, default=1.0
        Samples that one of these stands for.
    seen : Marginals, default=None
        Of the samples, where they are known.

    Returns
    -------
    value : float
        The bound.
    A_bar : ndarray of shape (m, n)
        Its derivatives in `A`.
    k_bar : ndarray of shape (n,)
        And in `k`.
    seen : Marginals
        Of the samples.
    """
    seen = _seen(likelihood, posterior, A, k, y) if seen is None else seen
    values, mean_bar, variance_bar = seen.expected
    value = scale * float(np.sum(values)) - posterior.divergence()
    k_bar = scale * variance_bar.sum(axis=1)
    A_bar = posterior.mean @ (scale * mean_bar.T) - 2.0 * A * k_bar
    shared = len(seen.halves) < variance_bar.shape[1]
    for j, (C, H) in enumerate(zip(posterior.roots, seen.halves, strict=True)):
        weight = k_bar if shared else scale * variance_bar[:, j]
        A_bar += solve_lower(C, 2.0 * H * weight, transposed=True)
    return value, A_bar, k_bar, seen


def _target(likelihood, A, seen, scale=1.0, prior=None):
    """Return P mu and P at the end of a natural-gradient step of length 1."""
    _, mean_bar, variance_bar = seen.expected
    shared = isinstance(getattr(likelihood, "noise", None), float)
    weights = -2.0 * scale * variance_bar
    pulls = A @ (scale * mean_bar + weights * seen.mean)
    precisions = []
    for j in range(1 if shared else weights.shape[1]):
        precisions.append(_weighted_gram(A, weights[:, j]))
        if prior is None:
            precisions[-1].flat[:: len(A) + 1] += 1.0
        else:
            precisions[-1] += prior[1][j]
    return pulls if prior is None else pulls + prior[0], precisions


def natural_step(likelihood, posterior, A, k, y, *, step=1.0, scale=1.0, seen=None):
    """Take one natural-gradient step.

    Parameters
    ----------
    likelihood, posterior, A, k, y : object
        As for :func:`bound`.
    step : float, default=1.0
        Its length, above 0 and at most 1.
    scale : float, default=1.0
        Samples that one of these stands for.
    seen : Marginals, default=None
        Of the samples, where they are known.

    Returns
    -------
    posterior : Posterior
        After the step.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a precision is not positive definite there.
    """
    seen = _seen(likelihood, posterior, A, k, y) if seen is None else seen
    pulls, precisions = _target(likelihood, A, seen, scale)
    if step < 1.0:
        old, before = posterior.natural()
        if len(before) > len(precisions):  # the prior, of as many outputs as there are
            before = before[: len(precisions)]
        pulls = step * pulls + (1.0 - step) * old
        precisions = [
            step * P + (1.0 - step) * B for P, B in zip(precisions, before, strict=True)
        ]
    return Posterior.from_natural(pulls, precisions)


def _weighted_gram(A, weight):
    """Return A diag(weight) A'."""
    if np.all(weight >= 0):
        S = blas.dsyrk(1.0, (A * np.sqrt(weight)).T, trans=1, lower=1)
        S = np.tril(S)
        return S + np.tril(S, -1).T
    return (A * weight) @ A.T


def settle(likelihood, posterior, A, k, y, *, prior=None, max_steps=_MAX_STEPS):
    """Take natural-gradient steps until the bound gains no more.

    Steps of length 1 are extrapolated from the last few (Anderson's acceleration);
    where the bound would fall, a plain and shorter step is taken.

    Parameters
    ----------
    likelihood, posterior, A, k, y : object
        As for :func:`bound`; `posterior` is where to start.
    prior : Posterior, default=None
        What was known before; None is the standard normal distribution.
    max_steps : int, default=100
        Largest number of steps.

    Returns
    -------
    posterior : Posterior
        At the optimum; the bound never falls on the way.
    seen : Marginals
        Of the samples there.
    far : float
        About twice the divergence between the last two steps.
    """

    def look(point):
        seen = _seen(likelihood, point, A, k, y)
        return float(np.sum(seen.expected[0])) - point.divergence(prior), seen

    def flat(pulls, precisions):
        return np.concatenate([pulls.ravel(), *(P.ravel() for P in precisions)])

    value, seen = look(posterior)
    before = None if prior is None else prior.natural()
    memory, step, far = [], 1.0, np.inf
    for _ in range(max_steps):
        target = _target(likelihood, A, seen, prior=before)
        natural = posterior.natural()
        if len(natural[1]) > len(target[1]):
            natural = natural[0], natural[1][: len(target[1])]
        here, there = flat(*natural), flat(*target)
        memory = [*memory[-_MEMORY:], (there - here, here)]
        trials = [_extrapolated(memory, step)] if len(memory) > 1 else []
        for x in [*trials, step * there + (1.0 - step) * here]:
            try:
                moved = _from_flat(x, target)
                new, seen_there = look(moved)
            except np.linalg.LinAlgError:
                new = -np.inf
            if new - value >= -1e-12 * abs(value):
                break
        else:
            memory, step = memory[:-1], 0.5 * step
            if step < _SHORTEST:
                break
            continue
        far = _distance(posterior, moved) / step**2
        posterior, value, seen = moved, new, seen_there
        if far <= _SETTLED * len(y):
            break
        step = min(1.0, 1.2 * step)
    return posterior, seen, far


def _from_flat(x, like):
    pulls, precisions = like
    start = pulls.size
    found = []
    for P in precisions:
        found.append(x[start : start + P.size].reshape(P.shape))
        start += P.size
    return Posterior.from_natural(x[: pulls.size].reshape(pulls.shape), found)


def _extrapolated(memory, step):
    """Return where the last steps lead to, their residuals being linear in them."""
    residuals = np.array([r for r, _ in memory])
    places = np.array([x for _, x in memory])
    changes = np.diff(residuals, axis=0)
    gram = changes @ changes.T
    gram.flat[:: len(gram) + 1] += 1e-12 * np.trace(gram) + 1e-300
    share = np.linalg.solve(gram, changes @ residuals[-1])
    rest = residuals[-1] - share @ changes
    return places[-1] - share @ np.diff(places, axis=0) + step * rest


def _distance(one, other):
    """Return about twice the divergence of two close distributions."""
    total = 0.0
    for j in range(one.mean.shape[1]):
        C, D = one.root(j), other.root(j)
        total += np.sum((D.T @ (other.mean[:, j] - one.mean[:, j])) ** 2)
        if j < len(one.roots):
            ratio = solve_lower(C, D)
            ratio = ratio @ ratio.T
            ratio.flat[:: len(ratio) + 1] -= 1.0
            total += 0.5 * np.sum(ratio**2)
    return float(total)
