r"""Inverse-free sparse Bayesian learning: products with H and nothing else.

The data fit is bounded at z by a separable quadratic,

    ||y - Hx||^2 <= ||y - Hz||^2 + 2 Re (x - z)^H H^H (Hz - y) + (x - z)^H T (x - z),

so that the variational posterior factorizes.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np

from sparsestat._utils.linalg import largest_eigenvalue
from sparsestat.bayes._data import square

__all__ = ["InverseFreeResult", "curvature_bound", "solve_inverse_free"]


@dataclass
class InverseFreeResult:
    """Posterior means of all layers."""

    mean: np.ndarray
    precision: np.ndarray
    noise_precision: float
    majorizer: np.ndarray
    dof: float
    change: float
    converged: bool
    n_iter: int
    history: list = field(default_factory=list)
    energies: list = field(default_factory=list)


def curvature_bound(H, rng, n_iter=20):
    """Estimate a bound of the eigenvalues of H^H H, 1 % above the power iteration."""
    v = rng.standard_normal((H.shape[1], 1)).astype(H.dtype)
    value = largest_eigenvalue(lambda v: H.adjoint(H.forward(v)), v, n_iter=n_iter)
    return 1.01 * value


def solve_inverse_free(
    H,
    Y,
    *,
    majorizer,
    squares,
    noise,
    stop,
    prior,
    total,
    is_complex,
    accelerate,
    rho_init,
    start=None,
    hold_noise=0,
    bound_noise=False,
    fixed_precision=None,
    track_energy=False,
):
    """Run the coordinate updates of the variational posterior.

    Parameters
    ----------
    H : object with forward, adjoint and shape
        The design.
    Y : ndarray of shape (m, L)
        Targets.
    majorizer : ndarray of shape (n,)
        The diagonal T, doubled whenever it is seen to be too small.
    squares : ndarray of shape (n,)
        Squared norms of the columns.
    noise : Noise
        The noise variance, given or learned.
    stop : Stop
        When to end; its step is told the relative change.
    prior : tuple of four floats
        Shape and rate of the precisions, and of the noise precision.
    start : ndarray of shape (n, L), default=None
        Coefficients to start at, with the precisions that they call for. From zero,
        precisions rise before coefficients do where T is far above the squared norms.
    hold_noise : int, default=0
        Iterations before the noise is learned: a start that explains too much of y
        would take the noise for nothing.
    bound_noise : bool, default=False
        Use T in place of the squared norms in the noise update, which makes the
        bound monotone but the noise estimate larger.
    fixed_precision : ndarray of shape (n,), default=None
        Keep the precisions at these values.
    track_energy : bool, default=False
        Keep the free energy, which needs no momentum to be monotone.
    """
    a, b, c, d = prior
    h = 1.0 if is_complex else 0.5
    n_targets = Y.shape[1]
    learn = noise.learns
    hold_noise = hold_noise if learn else 0
    kappa = 1.0 / noise.first
    T = majorizer.astype(float)
    rho = np.full(H.shape[1], rho_init) if fixed_precision is None else fixed_precision
    mean = np.zeros((H.shape[1], n_targets), dtype=np.result_type(H.dtype, Y.dtype))
    fit = np.zeros_like(Y, dtype=np.result_type(H.dtype, Y.dtype))
    if start is not None:
        mean, fit = start, H.forward(start)
        power = square(mean).sum(axis=1) + n_targets / (rho + kappa * squares)
        if fixed_precision is None:
            rho = (a + h * n_targets) / (b + h * power)
    z, fit_z = mean, fit
    weight = squares if not bound_noise else None
    momentum, change, converged = 1.0, np.inf, False
    energies, history = [], []
    n_iter = 0
    while n_iter < stop.max_iter:
        n_iter += 1
        gradient = H.adjoint(fit_z - Y)
        v = 1.0 / (rho + kappa * T)
        new = (kappa * v)[:, None] * (T[:, None] * z - gradient)
        new_fit = H.forward(new)
        error = float(square(Y - new_fit).sum())
        step_z = new - z
        curvature = float((T[:, None] * square(step_z)).sum())
        seen = float(square(new_fit - fit_z).sum())
        # Differences of nearly equal fits carry the rounding errors of both.
        rounding = 1e-20 * float(square(new_fit).sum())
        if seen > curvature * (1.0 + 1e-6) + rounding:
            T = 2.0 * T  # it was no majorizer: take the step again
            z, fit_z = mean, fit
            momentum = 1.0
            continue
        power = square(new).sum(axis=1) + n_targets * v
        if fixed_precision is None:
            rho = (a + h * n_targets) / (b + h * power)
        if learn and n_iter > hold_noise:
            spread = float((v * (T if weight is None else weight)).sum())
            kappa = (c + h * n_targets * total) / (d + h * (error + n_targets * spread))
            kappa = min(kappa, 1.0 / noise.floor)
        if track_energy:
            energies.append(
                _free_energy(error, power, v, rho, kappa, T, prior, total, h, n_targets)
            )
        size = np.sqrt(square(new).sum())
        moved = np.sqrt(square(new - mean).sum())
        change = float(moved / size) if size > 0 else 0.0
        history.append(change)
        if accelerate:
            before = momentum
            momentum = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
            # Restart when the step turns against the direction of travel.
            if np.real(np.sum((z - new).conj() * (new - mean))) > 0:
                momentum, before = 1.0, 1.0
            push = (before - 1.0) / momentum
            z = new + push * (new - mean)
            fit_z = new_fit + push * (new_fit - fit)
        else:
            z, fit_z = new, new_fit
        mean, fit = new, new_fit
        asked = stop.asked(change)
        if change <= stop.tol and n_iter > hold_noise:
            converged = True
            break
        if asked:
            break
    dof = float((kappa * squares / (rho + kappa * squares)).sum())
    return InverseFreeResult(
        mean=mean,
        precision=rho,
        noise_precision=kappa,
        majorizer=T,
        dof=dof,
        change=change,
        converged=converged,
        n_iter=n_iter,
        history=history,
        energies=energies,
    )


def _free_energy(error, power, v, rho, kappa, T, prior, total, h, n_targets):
    """Negative evidence bound, at z equal to the mean, up to constants.

    The posteriors of rho and kappa are Gamma with the shapes below and rates that
    give the means `rho` and `kappa`.
    """
    a, b, c, d = prior
    log_rho = np.log(rho)  # plus digamma(shape) - log(shape), a constant
    log_kappa = np.log(kappa)
    likelihood = h * kappa * (error + n_targets * float((T * v).sum()))
    likelihood -= h * n_targets * total * log_kappa
    prior_x = float((h * rho * power - h * n_targets * log_rho).sum())
    entropy_x = -h * n_targets * float(np.log(v).sum())
    prior_rho = float((b * rho - (a - 1.0) * log_rho).sum())
    # Entropy of Gamma(s, s / mean): s - log(s / mean) + const.
    entropy_rho = -float(log_rho.sum())
    prior_kappa = d * kappa - (c - 1.0) * log_kappa
    return (
        likelihood + prior_x + entropy_x + prior_rho + entropy_rho + prior_kappa
        - float(log_kappa)
    )  # fmt: skip
