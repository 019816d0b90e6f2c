"""Block coordinate descent with any rule, any block and any update, and its history.

The study instrument of this family: it shows how rules, blocks and updates compare.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_random_state, check_X_y

from sparsestat._utils.compat import (
    Interval,
    StrOptions,
    check_sample_weight,
    validate_params,
)
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.validation import as_compressed, check_magnitude
from sparsestat.linear_model import _datafits as datafits
from sparsestat.linear_model import _greedy_rules as rules
from sparsestat.linear_model._forests import static_blocks
from sparsestat.linear_model._greedy_problems import (
    LinearProblem,
    Penalty,
    QuadraticProblem,
    SoftmaxProblem,
)
from sparsestat.linear_model._greedy_updates import UPDATES, Updater

__all__ = ["BCDResult", "greedy_bcd", "greedy_bcd_quadratic"]

TREES = ("greedy_tree", "random_tree", "tree_partition", "red_black")
_REFRESH = 500
_SETTLED = 10  # iterations without a change of the support before a finish is tried
_COMMON = {
    "rule": [StrOptions({"auto", *rules.RULES})],
    "block_size": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "callback": [callable, None],
    "random_state": ["random_state"],
}


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


@validate_params(
    {
        "X": ["array-like", "sparse matrix"],
        "y": ["array-like"],
        "loss": [
            StrOptions({"squared", "logistic", "softmax", "poisson", "huber", "cox"})
        ],
        "penalty": [StrOptions({"l1", "nonneg", "mcp", "scad"}), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "update": [StrOptions(set(UPDATES))],
        "blocks": [StrOptions({"variable", *rules.FIXED}), list],
        "sample_weight": ["array-like", None],
        "coef_init": ["array-like", None],
        "finish": ["boolean"],
        **_COMMON,
    },
    prefer_skip_nested_validation=True,
)
def greedy_bcd(
    X,
    y,
    *,
    loss="squared",
    penalty=None,
    alpha=0.0,
    rule="auto",
    update="matrix",
    blocks="variable",
    block_size=5,
    finish=False,
    sample_weight=None,
    coef_init=None,
    tol=1e-6,
    max_iter=1000,
    callback=None,
    random_state=None,
):
    r"""Minimize a loss plus a separable penalty by block coordinate descent.

    Minimizes

    .. math:: F(w) = \frac{1}{S} \sum_i s_i \,\ell(x_i^\top w, y_i)
        + \sum_j g_\alpha(w_j)

    with sample weights s that sum to S and without an intercept, one block of
    coordinates at a time. Use it to compare selection rules, blocks and updates, as
    in [1]_; to fit a model, use the estimators of this module, which are faster.
    Read more in the :ref:`User Guide <greedy_bcd>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Design; F-ordered dense or CSC avoids a copy. Never modified.
    y : array-like of shape (n_samples,) or (n_samples, 2)
        Numbers; two classes (``"logistic"``) or more (``"softmax"``); counts
        (``"poisson"``); for ``"cox"`` columns of times and events.
    loss : str, default="squared"
        ``"squared"``: half the squared error; ``"logistic"``, ``"softmax"``: log loss
        of two or several classes; ``"poisson"``, with the logarithmic link;
        ``"huber"``, with ``delta=1.35``; ``"cox"``: Breslow's partial likelihood.
    penalty : {"l1", "nonneg", "mcp", "scad"}, default=None
        ``alpha |w|``; ``alpha w`` on w >= 0; the concave penalties with their usual
        shapes (gamma = 3, a = 3.7).
    alpha : float, default=0.0
        Strength of the penalty.
    rule : str, default="auto"
        Which block to take next: ``"random"``, ``"cyclic"``, ``"perm"`` or
        ``"lipschitz"``; ``"gs"``, ``"gsl"``, ``"gsd"``, ``"gsdli"`` or ``"gsq"`` for
        smooth problems; ``"gs-s"``, ``"gs-r"`` or ``"gs-q"`` for penalties.
        ``"auto"`` is ``"gs-q"`` with a penalty and ``"gsd"`` without.
    update : str, default="matrix"
        The step on the block: ``"gradient"``, ``"diagonal"``, ``"matrix"``,
        ``"newton"`` or ``"adaptive"``; ``"two_metric"`` for ``penalty="nonneg"``,
        ``"projected_newton"`` for ``"l1"``, ``"exact_1d"`` for squared errors and
        blocks of one.
    blocks : str or list of array-like, default="variable"
        Any `block_size` coordinates (``"variable"``), a fixed partition (``"order"``,
        ``"sort"``, ``"avg"``, ``"hsort"``, ``"havg"``), or a partition of yours.
    block_size : int, default=5
        Coordinates in a block (the last of a partition may have fewer).
    finish : bool, default=False
        Once the support has not changed for some updates, take Newton steps on all of
        it: finite termination for squared errors, superlinear otherwise. For
        ``penalty`` None, ``"l1"`` and ``"nonneg"``.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights.
    coef_init : array-like, default=None
        Where to start, of the shape of `coef`; zeros by default.
    tol : float, default=1e-6
        Stop when no coordinate is further from stationarity than `tol` times the
        largest gradient at zero.
    max_iter : int, default=1000
        Largest number of block updates.
    callback : callable, default=None
        Called as ``callback(n_iter, w)`` after each update with a copy of the
        coefficients; a true answer stops.
    random_state : int, RandomState instance or None, default=None
        For the random rules.

    Returns
    -------
    result : BCDResult
        Coefficients, objective, certificate and history.

    Raises
    ------
    ValueError
        If rule, update, penalty and loss do not fit together, or the input is not
        finite or has the wrong shape.

    Warns
    -----
    ConvergenceWarning
        If `tol` was not met after `max_iter` updates.

    See Also
    --------
    greedy_bcd_quadratic : For sparse systems, with forests as blocks.
    Lasso : The fast way to a sparse linear model.

    Notes
    -----
    An update costs a product with X for the gradient, O(n_samples * block_size) a
    trial point, and O(block_size^3) for the matrix updates. Memory beside X is a few
    vectors and ``block_size^2`` (``n_features * block_size`` for fixed blocks).

    References
    ----------
    .. [1] J. Nutini, I. Laradji, M. Schmidt, "Let's make block coordinate descent
       converge faster: faster greedy rules, message-passing, active-set complexity,
       and superlinear convergence", JMLR 23, 2022.

    Examples
    --------
    >>> from sparsestat.datasets import load_diabetes_interactions
    >>> from sparsestat.linear_model import greedy_bcd
    >>> X, y = load_diabetes_interactions(degree=2, return_X_y=True)
    >>> result = greedy_bcd(X, y - y.mean(), penalty="l1", alpha=2.0, max_iter=5000)
    >>> result.converged, int((result.coef != 0).sum())
    (True, 22)
    """
    rule = _check_combination(rule, update, loss, penalty, blocks, block_size, finish)
    X, fit, classes = _check_data(X, y, loss, sample_weight)
    if loss == "softmax":
        problem = SoftmaxProblem(X, fit)
    else:
        problem = LinearProblem(X, fit)
    shape = (X.shape[1],) if loss != "softmax" else (fit.n_classes, X.shape[1])
    problem.start(np.zeros(problem.n_coef))
    scale = float(np.abs(problem.gradient()).max())
    if coef_init is not None:
        start = check_array(
            coef_init, ensure_2d=False, dtype=np.float64, input_name="coef_init"
        )
        if start.shape != shape:
            raise ValueError(f"coef_init must have shape {shape}, got {start.shape}.")
        if penalty == "nonneg" and start.min() < 0:
            raise ValueError("coef_init must not be negative for penalty='nonneg'.")
        problem.start(start.T.ravel() if loss == "softmax" else start.copy())
    blocks = _check_blocks(blocks, problem.n_coef)
    penalty = Penalty(penalty, alpha)
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    selector = rules.Selector(problem, penalty, rule, blocks, block_size, rng)
    updater = Updater(problem, penalty, selector, update)

    def as_coef():
        if loss == "softmax":
            return problem.w.reshape(-1, fit.n_classes).T.copy()
        return problem.w.copy()

    return _descend(
        problem,
        penalty,
        _BlockStep(selector, updater),
        scale=scale,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        as_coef=as_coef,
        finisher=_Finisher(problem, penalty, updater) if finish else None,
        classes=classes,
        name="greedy_bcd",
    )


@validate_params(
    {
        "A": ["array-like", "sparse matrix"],
        "b": ["array-like"],
        "penalty": [StrOptions({"l1", "nonneg", "mcp", "scad"}), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "update": [StrOptions(set(UPDATES))],
        "blocks": [StrOptions({"variable", *rules.FIXED, *TREES}), list],
        "coef_init": ["array-like", None],
        **_COMMON,
    },
    prefer_skip_nested_validation=True,
)
def greedy_bcd_quadratic(
    A,
    b,
    *,
    penalty=None,
    alpha=0.0,
    rule="auto",
    update="matrix",
    blocks="greedy_tree",
    block_size=5,
    coef_init=None,
    tol=1e-8,
    max_iter=1000,
    callback=None,
    random_state=None,
):
    r"""Minimize a sparse quadratic by block coordinate descent with forests as blocks.

    Minimizes :math:`\tfrac12 w^\top A w - b^\top w` (plus a separable penalty) for a
    sparse, symmetric, positive definite A. If the graph of A on a block has no cycle,
    elimination from the leaves to the roots minimizes over the block in linear time,
    so that blocks of half of all variables cost as much as a product with A [1]_. Use
    it to study rules and blocks. To solve a system, a sparse factorization or
    preconditioned conjugate gradients are faster. Read more in the
    :ref:`User Guide <greedy_bcd>`.

    Parameters
    ----------
    A : {array-like, sparse matrix} of shape (n, n)
        Symmetric positive definite matrix.
    b : array-like of shape (n,)
        Right-hand side.
    penalty : {"l1", "nonneg", "mcp", "scad"}, default=None
        As in :func:`greedy_bcd`; not with forests.
    alpha : float, default=0.0
        Strength of the penalty.
    rule : str, default="auto"
        As in :func:`greedy_bcd`. With ``blocks="greedy_tree"`` it orders the nodes,
        ``"gs"`` by the gradient and ``"gsd"`` or ``"gsl"`` by the gradient over the
        root of the row sums or of the diagonal (``"auto"``: ``"gsl"``). Fixed
        forests are visited in cycles (``"auto"``), in random order, or by ``"gs"``.
    update : str, default="matrix"
        As in :func:`greedy_bcd`; always ``"matrix"``, which is exact, on forests.
    blocks : str or list of array-like, default="greedy_tree"
        ``"greedy_tree"`` or ``"random_tree"``: a maximal forest grown from the nodes
        of largest score, or in random order, at every step; ``"tree_partition"`` or
        ``"red_black"``: a fixed partition into forests, or into sets of nodes without
        a link; or as in :func:`greedy_bcd`.
    block_size : int, default=5
        Size of blocks that are not forests.
    coef_init : array-like of shape (n,), default=None
        Where to start; zeros by default.
    tol : float, default=1e-8
        Stop when no entry of the gradient exceeds `tol` times the largest entry of b.
    max_iter : int, default=1000
        Largest number of block updates.
    callback : callable, default=None
        Called as ``callback(n_iter, w)`` after each update with a copy of w; a true
        answer stops.
    random_state : int, RandomState instance or None, default=None
        For the random rules and trees.

    Returns
    -------
    result : BCDResult
        Solution, objective, certificate and history.

    Raises
    ------
    ValueError
        If A is not square, not symmetric to 1e-10 or not positive definite, or if
        rule, update, blocks and penalty do not fit together.

    Warns
    -----
    ConvergenceWarning
        If `tol` was not met after `max_iter` updates.

    See Also
    --------
    GraphLabelPropagation : Label propagation with these methods.
    greedy_bcd : For losses of linear models.

    Notes
    -----
    A step on a forest costs O(nnz(A)), and a sort of the nodes for greedy ones. The
    gradient is kept up to date and recomputed every 500 steps.

    References
    ----------
    .. [1] J. Nutini, I. Laradji, M. Schmidt, "Let's make block coordinate descent
       converge faster: faster greedy rules, message-passing, active-set complexity,
       and superlinear convergence", JMLR 23, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import diags_array
    >>> from sparsestat.linear_model import greedy_bcd_quadratic
    >>> n = 1000  # a path has no cycle: one block, one step
    >>> A = diags_array(
    ...     [-np.ones(n - 1), 2.0 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1]
    ... )
    >>> greedy_bcd_quadratic(A, np.ones(n)).n_iter
    1
    """
    tree = isinstance(blocks, str) and blocks in TREES
    if tree:
        rule = _check_tree(rule, update, penalty, blocks)
    else:
        rule = _check_combination(
            rule, update, "squared", penalty, blocks, block_size, False
        )
    matrix = as_compressed(A, "csr", dtype=np.float64)
    b = check_array(b, ensure_2d=False, dtype=np.float64, input_name="b")
    if b.ndim != 1 or len(b) != matrix.shape[0]:
        raise ValueError(
            f"b must have shape ({matrix.shape[0]},) to go with A, got {b.shape}."
        )
    check_magnitude(matrix, name="A")
    check_magnitude(b, name="b")
    problem = QuadraticProblem(matrix, b)
    start = np.zeros(len(b))
    if coef_init is not None:
        start = check_array(
            coef_init, ensure_2d=False, dtype=np.float64, copy=True,
            input_name="coef_init",
        )  # fmt: skip
        if start.shape != b.shape:
            raise ValueError(f"coef_init must have shape {b.shape}, got {start.shape}.")
        if penalty == "nonneg" and start.min() < 0:
            raise ValueError("coef_init must not be negative for penalty='nonneg'.")
    problem.start(start)
    penalty = Penalty(penalty, alpha)
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    if tree:
        stepper = _TreeStep(problem, rule, blocks, rng)
    else:
        blocks = _check_blocks(blocks, problem.n_coef)
        selector = rules.Selector(problem, penalty, rule, blocks, block_size, rng)
        stepper = _BlockStep(selector, Updater(problem, penalty, selector, update))
    return _descend(
        problem,
        penalty,
        stepper,
        scale=float(np.abs(b).max()),
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        as_coef=lambda: problem.w.copy(),
        name="greedy_bcd_quadratic",
    )


class _BlockStep:
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


class _TreeStep:
    """Minimise exactly over a forest."""

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


class _Finisher:
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


def _descend(
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


def _check_combination(rule, update, loss, penalty, blocks, block_size, finish):
    """Return the rule in use, or raise ValueError."""
    if rule == "auto":
        rule = "gsd" if penalty is None else "gs-q"
    if penalty is not None and rule in rules.SMOOTH:
        raise ValueError(
            f"rule={rule!r} is for smooth problems, but penalty={penalty!r} was given. "
            f"Use one of {', '.join(rules.PROXIMAL)}."
        )
    if loss in ("poisson", "cox") and update in ("gradient", "diagonal", "matrix"):
        raise ValueError(
            f"update={update!r} needs an upper bound of the Hessian, which "
            f"loss={loss!r} does not have. Use update='newton' or 'adaptive'."
        )
    wanted = {"two_metric": "nonneg", "projected_newton": "l1"}.get(update)
    if wanted is not None and penalty != wanted:
        raise ValueError(
            f"update={update!r} is for penalty={wanted!r}, got {penalty!r}. Use "
            "update='newton'."
        )
    if update == "exact_1d" and (
        loss != "squared" or block_size != 1 or not isinstance(blocks, str)
    ):
        raise ValueError(
            "update='exact_1d' is the closed form for loss='squared' and block_size=1. "
            "Use update='matrix' for larger blocks."
        )
    if finish and penalty in ("mcp", "scad"):
        raise ValueError(
            f"finish=True is for penalty None, 'l1' and 'nonneg', got {penalty!r}."
        )
    return rule


def _check_tree(rule, update, penalty, blocks):
    if penalty is not None:
        raise ValueError(
            f"blocks={blocks!r} solves smooth systems exactly and takes no penalty, "
            f"got {penalty!r}. Use blocks='variable'."
        )
    if update != "matrix":
        raise ValueError(
            f"blocks={blocks!r} needs update='matrix', got {update!r}. Use "
            "blocks='variable' for other updates."
        )
    allowed = {
        "greedy_tree": ("gs", "gsl", "gsd"),
        "random_tree": ("random",),
        "tree_partition": ("cyclic", "perm", "random", "gs"),
        "red_black": ("cyclic", "perm", "random", "gs"),
    }[blocks]
    if rule == "auto":
        return "gsl" if blocks == "greedy_tree" else allowed[0]
    if rule not in allowed:
        raise ValueError(
            f"blocks={blocks!r} goes with rule {', '.join(allowed)}, got {rule!r}."
        )
    return rule


def _check_blocks(blocks, p):
    """Return a partition as sorted index arrays, or the name as it is."""
    if isinstance(blocks, str):
        return blocks
    parts = [np.asarray(part) for part in blocks]
    if not parts or any(q.ndim != 1 or q.dtype.kind not in "iu" for q in parts):
        raise ValueError("blocks must be a list of one-dimensional index arrays.")
    counts = np.zeros(p, dtype=int)
    for part in parts:
        if len(part) == 0 or part.min() < 0 or part.max() >= p:
            raise ValueError(
                f"blocks must hold indices within 0..{p - 1} and no empty block."
            )
        np.add.at(counts, part, 1)
    if (counts != 1).any():
        wrong = np.flatnonzero(counts != 1)[:5].tolist()
        raise ValueError(
            f"blocks must hold each of the {p} coordinates exactly once, but "
            f"{wrong} are missing or repeated."
        )
    return [np.sort(part) for part in parts]


def _check_data(X, y, loss, sample_weight):
    """Return a checked design, the datafit, and the classes if there are any."""
    X, y = check_X_y(
        X,
        y,
        accept_sparse=["csc", "csr"],
        dtype=np.float64,
        order="F",
        multi_output=loss == "cox",
        y_numeric=loss not in ("logistic", "softmax"),
    )
    if sparse.issparse(X):
        X = as_compressed(X, "csc", dtype=np.float64)
    check_magnitude(X)
    check_magnitude(y, name="y")
    weights = None
    if sample_weight is not None:
        weights = check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
    if loss == "cox":
        if y.ndim != 2 or y.shape[1] != 2:
            raise ValueError(
                f"loss='cox' needs y of shape (n_samples, 2) with times and events, "
                f"got {y.shape}."
            )
        if not y[:, 1].any():
            raise ValueError("All samples are censored: no event is in y[:, 1].")
        return X, datafits.Cox(y[:, 0], y[:, 1] != 0, weights), None
    if loss in ("logistic", "softmax"):
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has a single class, {classes[0]!r}; two are needed.")
        if loss == "softmax":
            return X, datafits.Softmax(codes, len(classes), weights), classes
        if len(classes) > 2:
            raise ValueError(
                f"loss='logistic' is for two classes, y has {len(classes)}. Use "
                "loss='softmax'."
            )
        return X, datafits.Logistic(codes, weights), classes
    if loss == "poisson":
        if y.min() < 0:
            raise ValueError(f"Counts must not be negative, the least is {y.min()}.")
        return X, datafits.Poisson(y, weights), None
    if loss == "huber":
        return X, datafits.Huber(y, weights), None
    return X, datafits.LeastSquares(y, weights), None
