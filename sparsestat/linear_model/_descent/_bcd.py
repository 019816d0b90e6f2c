"""Block coordinate descent with any rule, any block and any update, and its history.

The study instrument of this family: it shows how rules, blocks and updates compare.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array, check_random_state

from sparsestat._utils.compat import Interval, StrOptions, validate_params
from sparsestat._utils.validation import as_compressed, check_magnitude
from sparsestat.linear_model._descent import _rules as rules
from sparsestat.linear_model._descent._checks import (
    checked_blocks,
    checked_data,
    checked_rule,
    checked_start,
    checked_tree_rule,
)
from sparsestat.linear_model._descent._descent import (
    BCDResult,
    BlockStep,
    Finisher,
    TreeStep,
    descend,
)
from sparsestat.linear_model._descent._objectives import (
    LinearProblem,
    Penalty,
    QuadraticProblem,
    SoftmaxProblem,
)
from sparsestat.linear_model._descent._updates import UPDATES, Updater

__all__ = ["BCDResult", "greedy_bcd", "greedy_bcd_quadratic"]

TREES = ("greedy_tree", "random_tree", "tree_partition", "red_black")
_COMMON = {
    "rule": [StrOptions({"auto", *rules.RULES})],
    "block_size": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "callback": [callable, None],
    "random_state": ["random_state"],
}


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
        With ``coef``, ``objective``, ``n_iter``, ``converged`` and ``certificate``;
        ``history``, a dict of arrays with ``"objective"``, ``"violation"``,
        ``"block_size"``, ``"support"`` and ``"seconds"`` before the first and after
        each update; ``identified``, the update after which the support never changed
        again; and ``classes`` of a classification loss.

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
    rule = checked_rule(rule, update, loss, penalty, blocks, block_size, finish)
    X, fit, classes = checked_data(X, y, loss, sample_weight)
    if loss == "softmax":
        problem = SoftmaxProblem(X, fit)
    else:
        problem = LinearProblem(X, fit)
    shape = (X.shape[1],) if loss != "softmax" else (fit.n_classes, X.shape[1])
    problem.start(np.zeros(problem.n_coef))
    scale = float(np.abs(problem.gradient()).max())
    if coef_init is not None:
        start = checked_start(coef_init, shape, penalty)
        problem.start(start.T.ravel())
    blocks = checked_blocks(blocks, problem.n_coef)
    penalty = Penalty(penalty, alpha)
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    selector = rules.Selector(problem, penalty, rule, blocks, block_size, rng)
    updater = Updater(problem, penalty, selector, update)

    def as_coef():
        if loss == "softmax":
            return problem.w.reshape(-1, fit.n_classes).T.copy()
        return problem.w.copy()

    return descend(
        problem,
        penalty,
        BlockStep(selector, updater),
        scale=scale,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        as_coef=as_coef,
        finisher=Finisher(problem, penalty, updater) if finish else None,
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
        The solution ``coef`` and the other fields of :func:`greedy_bcd`'s result.

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
        rule = checked_tree_rule(rule, update, penalty, blocks)
    else:
        rule = checked_rule(rule, update, "squared", penalty, blocks, block_size, False)
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
        start = checked_start(coef_init, b.shape, penalty)
    problem.start(start)
    penalty = Penalty(penalty, alpha)
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    if tree:
        stepper = TreeStep(problem, rule, blocks, rng)
    else:
        blocks = checked_blocks(blocks, problem.n_coef)
        selector = rules.Selector(problem, penalty, rule, blocks, block_size, rng)
        stepper = BlockStep(selector, Updater(problem, penalty, selector, update))
    return descend(
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
