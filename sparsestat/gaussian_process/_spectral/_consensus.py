r"""Agents agree on the weights of a grid spectral mixture without showing their rows.

Agent j minimizes :math:`F_j(z) + \lambda_j^T (z - \theta) + \tfrac12 \|z -
\theta\|_R^2`, with a diagonal R, and sends the minimizer, rounded at random; the center
averages and sends :math:`\theta` back. The sum of the :math:`F_j` is the likelihood of
independent experts, not that of all rows together.

Everything is measured in shares, weights times their slopes g, in which the objectives
have curvature of order one: R is a multiple of the squared slopes, and messages are
rounded in shares. The slopes travel as powers of two.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np

from sparsestat._utils.parallel import run_parallel

__all__ = ["Agent", "Consensus", "agree", "nearest_root", "quantize"]

# Coordinates stay above this share of the start's sum inside an agent, so that they
# revive.
_SMALLEST = 1e-12
_NEWTON_STEPS = 100
_STRENGTH = 0.1  # first penalty, in shares
_BALANCE, _FACTOR = 10.0, 2.0
_PATIENCE = 10  # rounds after which the penalty grows in any case
_NUMBER, _EXPONENT = 64, 8  # bits of a real number and of a power of two


def quantize(x, step, rng):
    """Round to multiples of `step`, up or down at random, without bias."""
    if step == 0:
        return x.copy()
    low = np.floor(x / step)
    up = rng.random_sample(x.shape) < x / step - low
    return (low + up) * step


def message_bits(x, step):
    """Return the bits of a message: those that number the levels in its range."""
    if step == 0:
        return _NUMBER * len(x)
    levels = np.ptp(x) / step + 1.0
    return len(x) * int(np.ceil(np.log2(levels))) + 2 * _NUMBER


def nearest_root(fit, slope, rho, target):
    r"""Minimize fit / w + slope w + rho (w - target)^2 / 2 over w > 0, entry by entry.

    Newton's method on the derivative, which is increasing and concave: after its first
    step it climbs to the root from the left. Steps are kept positive.
    """
    plain = np.maximum(target - slope / rho, 0.0)
    w = plain + np.cbrt(fit / rho)
    busy = fit > 0
    w, f, s, r, t = w[busy], fit[busy], slope[busy], rho[busy], target[busy]
    for _ in range(_NEWTON_STEPS):
        change = (r * (w - t) + s - f / w**2) / (r + 2.0 * f / w**3)
        new = np.maximum(w - change, 0.1 * w)
        done = np.abs(new - w).max(initial=0.0) <= 1e-15 * np.abs(w).max(initial=0.0)
        w = new
        if done:
            break
    plain[busy] = w
    return plain


class Agent:
    """One party: its rows stay here, only vectors of weights leave.

    Parameters
    ----------
    problem : Problem
        The likelihood of the rows of this agent.
    start : ndarray
        Where all agents start, which says how large coordinates are.
    """

    def __init__(self, problem, start):
        self.problem = problem
        self.smallest = _SMALLEST * float(start.sum())

    def value(self, z):
        """Return the objective of this agent."""
        return float(self.problem.value(z))

    def slopes(self, z):
        """Return g and q at a point."""
        _, g, q = self.problem.evaluate(z)
        return g, q

    def respond(self, z, theta, dual, rho, unit, step, seed, max_iter, tol):
        """Minimize the augmented objective from z; return the rounded answer."""
        problem = self.problem
        lower = np.maximum(problem.lower(), self.smallest)
        # What was rounded to zero starts again from half a step.
        z = np.where(z == 0, 0.5 * max(step, 1e-8) / unit, z)
        z, before = np.maximum(z, lower), np.inf
        for _ in range(max_iter):
            value, g, q = problem.evaluate(z)
            away = z - theta
            value += dual @ away + 0.5 * (rho * away) @ away
            if before - value <= tol * max(1.0, abs(value)):
                break
            before = value
            z = np.maximum(nearest_root(q * z * z, g + dual, rho, theta), lower)
            if not problem.learns_noise:
                z[-1] = problem.noise
        rounded = quantize(z * unit, step, np.random.RandomState(seed)) / unit
        return _within(problem, rounded)


def _within(problem, z):
    z = np.maximum(z, problem.lower())
    if not problem.learns_noise:
        z[-1] = problem.noise
    return z


def _allowed(tol, step, shape, norm):
    """Return the residual that a tolerance on shares allows, or rounding leaves."""
    count = np.sqrt(shape[0])
    entries = count * np.sqrt(shape[1])
    return max(tol * (entries + count * norm), 0.5 * step * entries)


@dataclass
class Consensus:
    """What the agents agreed on, and what it took."""

    theta: np.ndarray
    agents: np.ndarray
    value: float = np.inf
    bits: int = 0
    n_rounds: int = 0
    violation: float = np.inf
    primal: list = field(default_factory=list)
    dual: list = field(default_factory=list)
    objectives: list = field(default_factory=list)
    bits_path: list = field(default_factory=list)


def agree(
    agents,
    z,
    *,
    step=0.0,
    strength=None,
    max_rounds=100,
    max_iter=100,
    tol=1e-3,
    rng=None,
    n_jobs=None,
    report=lambda value: False,
):
    """Run rounds of consensus from the point z.

    Parameters
    ----------
    agents : list of Agent
        The parties.
    z : ndarray
        Start, the same for all.
    step : float, default=0.0
        Step of the quantizer in shares; 0 sends numbers as they are.
    strength : float, default=None
        First penalty in shares.
    max_rounds, max_iter : int
        Most rounds, and most steps of an agent in one.
    tol : float
        Relative size of the residuals at which the rounds stop.
    rng : RandomState
        Seeds the quantizers.
    n_jobs : int, default=None
        Workers over agents.
    report : callable
        Called with the sum of the objectives after each round; True stops.

    Returns
    -------
    consensus : Consensus
        The best of all agreements and of the mean of the later ones.
    """

    def ask(method, *tasks):
        return run_parallel(method, tasks, n_jobs=n_jobs)

    def total(point):
        return sum(ask(Agent.value, *((agent, point) for agent in agents)))

    count, size = len(agents), len(z)
    problem = agents[0].problem
    theta, zeta = z.copy(), np.tile(z, (count, 1))
    duals = np.zeros((count, size))
    # What is agreed is averaged over this stretch of rounds and the one before.
    sums, lengths = np.zeros((2, size)), np.zeros(2)
    strength = _STRENGTH if strength is None else strength
    found = Consensus(theta, zeta)
    next_unit, next_stretch = 0, 1
    for k in range(max_rounds):
        if k == next_unit:
            slopes = [s[0] for s in ask(Agent.slopes, *((a, theta) for a in agents))]
            unit = 2.0 ** np.round(np.log2(np.maximum(np.mean(slopes, 0), 1e-300)))
            found.bits += 2 * count * size * _EXPONENT
            next_unit = k + 1 + k // 2
        if k == next_stretch:
            next_stretch = 2 * k
            sums, lengths = np.roll(sums, 1, axis=0), np.roll(lengths, 1)
            sums[0], lengths[0] = 0.0, 0.0
        rho = strength * unit**2
        seeds = rng.randint(2**31 - 1, size=count)
        zeta = np.array(
            ask(
                Agent.respond,
                *(
                    (a, zeta[j], theta, duals[j], rho, unit, step, seeds[j], max_iter)
                    + (1e-2 * tol,)
                    for j, a in enumerate(agents)
                ),
            )
        )
        old, wanted = theta, zeta.mean(axis=0) + duals.mean(axis=0) / rho
        theta = _within(problem, quantize(wanted * unit, step, rng) / unit)
        duals += rho * (zeta - theta)
        sums[0] += wanted
        lengths[0] += 1.0
        value = total(theta)
        if value < found.value:
            found.theta, found.value = theta, value
        found.bits += sum(message_bits(answer * unit, step) for answer in zeta)
        found.bits += count * (message_bits(theta * unit, step) + 2 * _NUMBER)
        found.n_rounds = k + 1
        primal = float(np.linalg.norm(unit * (zeta - theta)))
        dual = strength * float(np.sqrt(count) * np.linalg.norm(unit * (theta - old)))
        found.primal.append(primal)
        found.dual.append(dual)
        found.objectives.append(value)
        found.bits_path.append(found.bits)
        allowed = _allowed(tol, step, zeta.shape, np.linalg.norm(unit * theta))
        found.violation = max(primal, dual) / allowed
        if report(value) or (found.violation <= 1.0 and k > 0):
            break
        # The objectives are not convex: rounds that go on need a stronger penalty,
        # which would only enlarge what is left of rounding.
        patience = step == 0 and (k + 1) % _PATIENCE == 0
        if primal > _BALANCE * dual or patience:
            strength *= _FACTOR
        elif dual > _BALANCE * primal:
            strength /= _FACTOR
    found.agents = zeta
    # Rounding does not end, but its errors cancel: the center sends the mean once.
    mean = _within(problem, sums.sum(axis=0) / lengths.sum())
    found.bits += count * (_NUMBER * size + _NUMBER)
    found.bits_path[-1] = found.bits
    averaged = total(mean)
    if averaged < found.value:
        found.theta, found.value = mean, averaged
    # What is returned may be another agreement than the last one.
    away = float(np.linalg.norm(unit * (zeta - found.theta)))
    found.violation = max(found.violation, away / allowed)
    return found
