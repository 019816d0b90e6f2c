r"""Symmetric plans: one potential, averaged sweeps, Newton steps.

.. math:: P_{ij} = \exp((f_i + f_j - C_{ij})/\varepsilon), \quad P 1 = a
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat.transport._costs import MatrixCost
from sparsestat.transport._margins import sums_of
from sparsestat.transport._newton import levels_to
from sparsestat.transport._reduction import less_symmetric, less_symmetric_minima
from sparsestat.transport._semidual import SemiDual
from sparsestat.transport._validation import (
    check_cost,
    check_number,
    one_mass,
)

__all__ = ["doubly_stochastic", "solve_symmetric"]

_AT_FLOOR = 10  # steps without progress where rounding can explain the error
_ALONE = 1e7  # times the differences of costs, where strengths leave no entropy
_GOAL = 0.5  # of the tolerance: the rest is for rounding of the matrix itself


@dataclass
class SymmetricSolution:
    """Potential of a symmetric plan with masses of total one."""

    f: np.ndarray
    error: float  # L1 norm of P 1 - a
    worst: float  # largest |(P 1)_i / a_i - 1|
    value_kl: float
    n_iter: int
    at_floor: bool  # rounding of the exponents can explain the error


def solve_symmetric(cost, a, eps, tol, max_iter=1000):
    """Find f with exp((f_i + f_j - C_ij)/eps) of row sums `a`.

    Starts at `eps`; if that stalls, walks along decreasing strengths.
    """
    solution = _solve_level(cost, a, eps, tol, min(100, max_iter), None)
    met = solution.error <= tol or solution.at_floor
    if not met and max_iter > 100:
        sample = cost.sample()
        f, n_iter = None, solution.n_iter
        levels = levels_to(eps, (np.median(sample) - sample.min()) / 4.0)
        for level in levels:
            left = max(max_iter - n_iter, 1)
            last = level == eps
            found = _solve_level(
                cost, a, level, tol if last else 1e-3, left if last else 50, f
            )
            f, n_iter = found.f, n_iter + found.n_iter
        if found.error < solution.error:
            solution = found
        solution.n_iter = n_iter
    return solution


def _solve_level(cost, a, eps, tol, max_iter, f):
    """Solve at one strength from f.

    Averaged sweeps f <- (f + T f)/2 converge in tens of steps where plain alternation
    leaves two different potentials; where the plan is sparse, Newton steps finish.
    """
    problem = SemiDual(cost, a, a)
    if f is None:  # one plain update sets the scale of every row
        f = 0.5 * problem.evaluate(np.zeros(len(a)), eps).f
    n_iter, since, last = 0, 0, np.inf
    best = None
    while True:
        state = problem.evaluate(f, eps, 1e-14)
        # Row sums of P from what the transform would have to change.
        ratio = np.exp(np.clip((f - state.f) / eps, -700, 700))
        rows = a * ratio
        error, worst = np.abs(rows - a).sum(), np.abs(ratio - 1.0).max()
        at_floor = error <= problem.floor(state, eps)
        since = since + 1 if at_floor and error > 0.9 * (best or (0.0,))[0] else 0
        if best is None or max(error, worst) < max(best[0], best[3]):
            best = (error, f, state, worst, at_floor)
        if error <= tol and worst <= tol:
            break
        if n_iter >= max_iter or since >= _AT_FLOOR:
            break
        n_iter += 1
        slow = error > 0.3 * last
        last = error
        moved = None
        if slow and error < 0.5 and state.indices is not None:
            step = _newton_step(state, rows, a, eps, error)
            moved = _shorten(problem, f, step, a, eps, error)
        f = 0.5 * (f + state.f) if moved is None else moved
    error, f, state, worst, at_floor = best
    mass = float(a @ np.exp(np.clip((f - state.f) / eps, -700, 700)))
    spread = problem.dwarfed(state, eps)
    if spread is not None and eps > _ALONE * spread:
        value_kl = problem.cost_of_plan(f, f, eps) / mass  # the entropy is nothing
    else:
        # <C, P> + eps KL(P | a a^T) equals the dual value at the optimum, beside which
        # that value moves by the square of what is left.
        value_kl = 2.0 * (a @ (f - eps * problem.log_a)) - eps * (mass - 1.0)
    return SymmetricSolution(f, error, worst, value_kl, n_iter, at_floor)


def _shorten(problem, f, step, a, eps, error):
    """Return f plus the longest part of the step that lowers the error, or None."""
    for t in (1.0, 0.5, 0.25, 0.125, 0.03):
        moved = f + t * step
        trial = problem.evaluate(moved, eps)
        ratio = np.exp(np.clip((moved - trial.f) / eps, -700, 700))
        if np.abs(a * ratio - a).sum() < (1.0 - 0.3 * t) * error:
            return moved
    return None


def _newton_step(state, rows, a, eps, error):
    """Solve (diag(r) + P) df = eps (a - r) by conjugate gradients."""
    n = len(a)
    nnz = state.ptr[-1]
    # Stored weights are P_ij / r_i; a row of P is its sum times them.
    W = sparse.csr_array((state.weights[:nnz], state.indices[:nnz], state.ptr), (n, n))
    root = np.sqrt(rows)
    shift = 1e-4 * error  # patterns close to bipartite ones are nearly singular

    def product(v):
        v = np.ravel(v)
        half = W @ (v / root)
        other = W.T @ (rows * (v / root))
        return (1.0 + shift) * v + 0.5 * (root * half + other / root)

    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    rhs = (a - rows) / root  # without eps, which has any size
    step, _ = cg(operator, rhs, rtol=min(0.05, error), maxiter=500)
    return eps * step / root


def _strength_of(perplexity, C, a):
    """Bisect for the strength at which rows have a wanted perplexity."""
    cost, open_arcs = MatrixCost(C), np.isfinite(C)
    most = float(np.exp(a @ np.log(open_arcs.sum(axis=1))))
    wanted = check_number(perplexity, "perplexity", low=1.0)
    if not wanted < most:
        raise ValueError(
            f"perplexity must be below the number of open arcs a row, {most:.6g}, got "
            f"{wanted:g}."
        )
    finite = np.where(open_arcs, C, 0.0)
    log_a = np.log(a)

    def found(eps):
        f = solve_symmetric(cost, a, eps, 1e-6, 200).f
        exponent = (f[:, None] + f - C) / eps
        P = np.exp(np.minimum(exponent, 0.0))
        log_P = (f[:, None] + f - finite) / eps
        return float(np.exp(a @ log_a - (P * log_P).sum()))

    middle = float(np.ptp(C[open_arcs])) or 1.0
    low = high = middle
    for _ in range(60):
        if found(low) <= wanted:
            break
        low, high = low / 4.0, low
    for _ in range(60):
        if found(high) >= wanted:
            break
        low, high = high, high * 4.0
    for _ in range(60):
        middle = np.sqrt(low) * np.sqrt(high)
        value = found(middle)
        if abs(value / wanted - 1.0) < 5e-4:
            break
        low, high = (middle, high) if value < wanted else (low, middle)
    return float(middle)


def doubly_stochastic(
    C,
    a=None,
    *,
    reg=None,
    perplexity=None,
    zero_diagonal=False,
    kind="cost",
    tol=1e-9,
    max_iter=300,
):
    r"""Scale a symmetric matrix to given row and column sums, symmetrically.

    .. math::
        \Gamma_{ij} = \exp((f_i + f_j - C_{ij}) / \varepsilon), \quad \Gamma 1 = a

    which is the projection of the kernel :math:`\exp(-C/\varepsilon)` on symmetric
    doubly stochastic matrices in relative entropy. One potential makes the result
    symmetric bit by bit. Read more in :ref:`User Guide <optimal_transport>`.

    Parameters
    ----------
    C : array-like of shape (n, n)
        Symmetric costs, or with ``kind="kernel"`` a symmetric non-negative kernel.
        ``+inf`` costs (zeros of a kernel) stay zero in the result.
    a : array-like of shape (n,), default=None
        Positive row sums; None means 1 each.
    reg : float, default=None
        Entropic strength in units of the cost. Costs need exactly one of `reg` and
        `perplexity`; a kernel is taken as it is.
    perplexity : float, default=None
        Find the strength at which a row has this many neighbors: the exponential of
        the rows' mean entropy, weighted by `a`, to a relative 1e-3. Above 1 and below
        the number of rows (of others, if the diagonal is forbidden).
    zero_diagonal : bool, default=False
        Forbid the diagonal; needs n >= 3.
    kind : {"cost", "kernel"}, default="cost"
        What `C` is.
    tol : float, default=1e-9
        Stop when no row sum is off by more than `tol` relative to its target, nor all
        of them together relative to their total.
    max_iter : int, default=300
        Largest number of sweeps and Newton steps.

    Returns
    -------
    Gamma : ndarray of shape (n, n)
        Symmetric, with row sums `a`.
    potential : ndarray of shape (n,)
        The potential f.
    certificate : Certificate
        The largest relative error of a row sum.

    Raises
    ------
    ValueError
        If `C` is not square and symmetric, or a row has no positive entry.

    Warns
    -----
    ConvergenceWarning
        If a row sum stays off by more than the tolerance.

    See Also
    --------
    DoublyStochasticAffinity : As an estimator, between samples.

    References
    ----------
    .. [1] R. Zass, A. Shashua, "Doubly Stochastic Normalization for Spectral
       Clustering", NeurIPS 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import doubly_stochastic
    >>> x = np.random.default_rng(0).random(50)
    >>> Gamma, f, certificate = doubly_stochastic((x[:, None] - x) ** 2, reg=0.01)
    >>> bool(abs(Gamma.sum(axis=0) - 1).max() < 1e-9), bool((Gamma == Gamma.T).all())
    (True, True)
    """
    if kind not in ("cost", "kernel"):
        raise ValueError(f"kind must be 'cost' or 'kernel', got {kind!r}.")
    C = check_cost(C).astype(np.float64)
    n = len(C)
    if C.shape != (n, n):
        raise ValueError(f"C must be square, got shape {C.shape}.")
    if not np.array_equal(C, C.T):
        finite = np.isfinite(C) & np.isfinite(C.T)
        scale = np.abs(C[finite]).max(initial=0.0)
        same = np.array_equal(np.isfinite(C), np.isfinite(C.T))
        apart = np.abs(C[finite] - C.T[finite]).max(initial=0.0)
        if not same or apart > 1e-8 * scale:
            raise ValueError("C must be symmetric. Average it with its transpose.")
        C = 0.5 * (C + C.T)
    if kind == "kernel":
        if reg is not None or perplexity is not None:
            raise ValueError(
                "reg and perplexity apply to costs; leave them out with kind='kernel'."
            )
        if (C < 0).any() or not np.isfinite(C).all():
            raise ValueError("A kernel must be finite and non-negative.")
        with np.errstate(divide="ignore"):
            C = -np.log(C)
        eps = 1.0
    else:
        if (reg is None) == (perplexity is None):
            raise ValueError(
                "Exactly one of reg and perplexity is required for costs, got "
                f"reg={reg!r} and perplexity={perplexity!r}."
            )
        eps = None if reg is None else check_number(reg, "reg")
    tol = check_number(tol, "tol")
    max_iter = check_number(max_iter, "max_iter", integer=True)
    if zero_diagonal:
        if n < 3:
            raise ValueError(f"zero_diagonal=True needs at least 3 rows, got {n}.")
        np.fill_diagonal(C, np.inf)
    a = np.ones(n) if a is None else one_mass(a, n, "a")
    if (a == 0).any():
        raise ValueError("a must be positive. Leave rows of zero mass out.")
    closed = np.flatnonzero(np.isinf(C).all(axis=1))
    if len(closed):
        raise ValueError(
            f"Rows {closed[:10].tolist()} have no positive entry, so that their sums "
            "cannot be met."
        )
    total = a.sum()
    # Exponents keep their digits where what is common to a row and a column is gone.
    C, u = less_symmetric_minima(C)
    if eps is None:
        eps = _strength_of(perplexity, C, a / total)
    cost = MatrixCost(C)
    goal = _GOAL * tol
    solution = solve_symmetric(cost, a / total, eps, goal, max_iter)
    f = solution.f
    if solution.error > goal and solution.at_floor and solution.n_iter < max_iter:
        # Again, with the potential itself inside the costs.
        left = max_iter - solution.n_iter
        closer = less_symmetric(C, f)
        found = _solve_level(
            MatrixCost(closer), a / total, eps, goal, left, np.zeros(n)
        )
        if found.error < solution.error:
            u, C, f = u + f, closer, found.f
            found.n_iter += solution.n_iter
            solution = found
    f = f + 0.5 * eps * np.log(total)
    # Adding f_i and f_j commutes, so that both triangles get the same bits.
    exponent = f[:, None] + f[None, :]
    exponent -= C
    exponent /= eps
    with np.errstate(under="ignore"):
        Gamma = np.exp(exponent, out=exponent)
    sums, _, _ = sums_of(Gamma)
    certificate = Certificate.measured(
        "transport_gap",
        np.abs(sums / a - 1.0).max(),
        tol,
        "largest relative error of a row sum",
        rounding=rounding(64 + n // 1024),
        details={"n_iter": solution.n_iter, "reg": eps},
    )
    remedy = "Increase max_iter or tol, or use a larger reg."
    if not certificate.satisfied:
        certificate.details["reason"] = "iterations"
        if solution.at_floor:
            certificate.details["reason"] = "precision"
            remedy = "Precision does not suffice beside reg: use a larger reg or tol."
    warn_if_unsatisfied(
        certificate, "Doubly stochastic scaling: the error of a row sum", remedy
    )
    return Gamma, f + u, certificate
