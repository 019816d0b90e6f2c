"""The loop of block coordinate descent: steps, certificate and history."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
from dataclasses import dataclass, field

import numpy as np

from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat.linear_model._descent import _rules as rules
from sparsestat.linear_model._forests._forests import static_blocks

__all__ = ["BCDResult", "BlockStep", "Finisher", "TreeStep", "descend"]

_REFRESH = 500
_SETTLED = 10  # iterations without a change of the support before a finish is tried


@dataclass(frozen=True, repr=False)
class BCDResult:
    """The last iterate of block coordinate descent and how it was reached.

    Parameters
    ----------
    coef : ndarray of shape (n_features,) or (n_classes, n_features)
        Coefficients; the solution of the system for :func:`greedy_bcd_quadratic`.
    objective : float
        Objective at `coef`.
    n_iter : int
        Number of block updates.
    converged : bool
        Whether the violation met the tolerance.
    certificate : Certificate
        The largest distance of zero to a coordinate's subdifferential, relative to
        the largest gradient at zero.
    history : dict of ndarray
        Before the first and after each update: ``objective``, ``violation`` (as in
        the certificate), ``block_size``, ``support`` (number of non-zeros) and
        ``seconds``.
    identified : int
        Number of updates after which the support never changed again.
    classes : ndarray or None, default=None
        Classes of a classification loss.

    See Also
    --------
    greedy_bcd : Returns such a result.
    greedy_bcd_quadratic : Returns such a result.

    Examples
    --------
    >>> from scipy.sparse import eye_array
    >>> from sparsestat.linear_model import greedy_bcd_quadratic
    >>> greedy_bcd_quadratic(eye_array(3), [1.0, 2.0, 3.0])
    BCDResult(objective=-7, n_iter=1, violation=0.0e+00, converged=True)
    """

    coef: np.ndarray
    objective: float
    n_iter: int
    converged: bool
    certificate: Certificate
    history: dict = field(default_factory=dict)
    identified: int = 0
    classes: object = None

    def __repr__(self):
        return (
            f"BCDResult(objective={self.objective:.6g}, n_iter={self.n_iter}, "
            f"violation={self.certificate.value:.1e}, converged={self.converged})"
        )


class BlockStep:
    """Choose a block by a rule, update it."""

    def __init__(self, selector, updater):
        self.selector, self.updater = selector, updater

    def __call__(self, problem, g, value):
        b, number = self.selector.choose(g)
        d, change = self.updater(b, number, g, value)
        if self.selector.rule in rules.PROXIMAL and not d.any():
            # The rule's model of single coordinates promised a step that the model of
            # the block does not take (concave penalties). Where the conditions of
            # optimality are violated, it does.
            b, number = self.selector.choose(g, "gs-s")
            d, change = self.updater(b, number, g, value)
        problem.step(b, d, change)
        return len(b)


class TreeStep:
    """Minimize exactly over a forest."""

    def __init__(self, problem, rule, blocks, rng):
        self.rule, self.kind, self.rng = rule, blocks, rng
        self.n_done = 0
        self.forests = None
        if blocks in ("tree_partition", "red_black"):
            _, self.forests = static_blocks(problem.system, blocks)
        elif rule == "gsd":
            self.scale = problem.row_sums()
        elif rule == "gs":
            self.scale = np.ones(problem.n_coef)
        else:
            self.scale = problem.system.diag
        n = problem.n_coef
        self.scratch = np.empty(n, np.int64), np.empty((3, n), np.int64)
        self._queue = []

    def __call__(self, problem, g, value):
        forest = self._choose(problem, g)
        G = np.ascontiguousarray(g[:, None])
        problem.system.step_on(forest, problem.w[:, None], G)
        problem.product = G[:, 0] + problem.b
        return len(forest)

    def _choose(self, problem, g):
        if self.forests is None:
            if self.kind == "random_tree":
                order = self.rng.permutation(problem.n_coef)
            else:
                order = np.argsort(-g * g / self.scale, kind="stable")
            return problem.system.greedy_forest(order, *self.scratch)
        if self.rule == "gs":
            sizes = [float(np.sum(g[f.sequence] ** 2)) for f in self.forests]
            return self.forests[int(np.argmax(sizes))]
        count = len(self.forests)
        if self.rule == "random":
            return self.forests[int(self.rng.integers(count))]
        if not len(self._queue):
            order = np.arange(count)
            self._queue = list(
                order if self.rule == "cyclic" else self.rng.permutation(count)
            )
        return self.forests[self._queue.pop(0)]


class Finisher:
    """Newton steps on the whole support, once it has settled."""

    def __init__(self, problem, penalty, updater):
        self.problem, self.penalty, self.updater = problem, penalty, updater
        self.wait = _SETTLED

    def __call__(self, unchanged, g, value):
        """Return the size of the block that was updated, 0 if it is too early."""
        problem, penalty = self.problem, self.penalty
        support = np.flatnonzero(problem.w)
        # A small block sees only part of the support in an iteration.
        size = self.updater.selector.block_size
        if unchanged < max(self.wait, 2 * len(support) // size) or not len(support):
            return 0
        w_b, g_b = problem.w[support], g[support]
        if penalty.kind == "nonneg":
            step = self.updater.two_metric
        elif penalty.kind == "l1":
            step = self.updater.projected_newton
        else:
            step = self.updater._newton
        d, change = step(support, w_b, g_b, value)
        problem.step(support, d, change)
        if np.count_nonzero(problem.w) < len(support):
            self.wait *= 2  # it was too early
        return len(support)


def descend(
    problem, penalty, stepper, *, scale, tol, max_iter, callback, as_coef, name,
    finisher=None, classes=None,
):  # fmt: skip
    scale = scale if scale > 0 else 1.0
    begin = time.perf_counter()
    rows, support_was, identified, unchanged = [], None, 0, 0
    used, stop, block = 0, False, 0
    while True:
        g = problem.gradient()
        value = problem.value()
        violation = float(penalty.violations(problem.w, g).max(initial=0.0)) / scale
        support = problem.w != 0
        if support_was is not None and np.array_equal(support, support_was):
            unchanged += 1
        else:
            identified, unchanged, support_was = used, 0, support
        objective = value + float(penalty.values(problem.w).sum())
        nnz = int(np.count_nonzero(support))
        rows.append((objective, violation, block, nnz, time.perf_counter() - begin))
        if not np.isfinite(objective):
            raise ValueError(
                f"{name}: the objective is {objective} after {used} updates. Scale the "
                "columns of X, or use update='newton'."
            )
        if violation <= tol or stop or used >= max_iter:
            break
        block = 0
        if finisher is not None:
            block = finisher(unchanged, g, value)
        if not block:
            block = stepper(problem, g, value)
        used += 1
        if used % _REFRESH == 0:
            problem.refresh()
        if callback is not None:
            stop = bool(callback(used, as_coef()))
    # The certificate is that of the answer, not of a product kept up to date.
    problem.refresh()
    g = problem.gradient()
    violation = float(penalty.violations(problem.w, g).max(initial=0.0)) / scale
    objective = problem.value() + float(penalty.values(problem.w).sum())
    certificate = Certificate(
        "kkt",
        violation,
        float(tol),
        bool(violation <= tol),
        "largest distance of 0 to a subdifferential / largest gradient at 0",
        {"objective": objective, "n_iter": used},
    )
    if not stop:
        warn_if_unsatisfied(
            certificate,
            f"{name} did not converge: its violation of the optimality conditions",
            "Increase max_iter, or take larger blocks.",
        )
    columns = zip(*rows, strict=True)
    keys = ("objective", "violation", "block_size", "support", "seconds")
    history = {k: np.array(c) for k, c in zip(keys, columns, strict=True)}
    return BCDResult(
        as_coef(), objective, used, certificate.satisfied, certificate, history,
        identified, classes,
    )  # fmt: skip
