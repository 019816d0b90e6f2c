r"""Distances between measures: Wasserstein, and the debiased Sinkhorn divergence."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.spatial.distance import cdist

from sparsestat._utils.arithmetic import power_of_two, rounding
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat.transport._candidates import has_candidates
from sparsestat.transport._costs import MatrixCost, PointCost
from sparsestat.transport._entropic import Request, solve_entropic
from sparsestat.transport._exact import solve_exact
from sparsestat.transport._symmetric import solve_symmetric
from sparsestat.transport._validation import (
    check_masses,
    check_number,
    check_points,
    check_strength,
    choose_strength,
    make_cost,
)

__all__ = ["sinkhorn_divergence", "wasserstein_distance"]


def wasserstein_distance(
    X, Y, a=None, b=None, *, p=2, reg=0.0, reg_mode="absolute", method="auto", tol=1e-9
):
    r"""Compute the Wasserstein distance between two sets of weighted points.

    .. math::
        W_p(a, b) = \Big( \min_{P 1 = a,\, P^T 1 = b} \sum_{ij} P_{ij}
        \|x_i - y_j\|^p \Big)^{1/p}

    Points on the line are sorted, which is exact. In more dimensions the linear
    program is solved, unless `reg` is positive, which puts the plan of entropic
    transport in its place. Read more in :ref:`User Guide <optimal_transport>`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n,) or (n, n_features)
        Points of the first measure.
    Y : {array-like, sparse matrix} of shape (m,) or (m, n_features)
        Points of the second measure.
    a : array-like of shape (n,), default=None
        Masses of `X`, scaled to total one; None means 1/n each.
    b : array-like of shape (m,), default=None
        Masses of `Y`.
    p : float, default=2
        Exponent, at least 1.
    reg : float, default=0.0
        Entropic strength in units of the cost, distance to the power `p`.
    reg_mode : {"absolute", "relative"}, default="absolute"
        "relative" multiplies `reg` by the median cost.
    method : {"auto", "exact", "sorting", "sns", "ssns", "sinkhorn"}, default="auto"
        "auto" sorts in one dimension and solves the linear program in more, or takes
        "sns" with a positive `reg`.
    tol : float, default=1e-9
        Marginal error of entropic transport.

    Returns
    -------
    distance : float
        In the units of the points.

    Raises
    ------
    ValueError
        If points, masses or parameters are not valid or do not fit together.

    See Also
    --------
    sinkhorn_points : Returns the plan.
    sinkhorn_divergence : Entropic, but zero for equal measures.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import wasserstein_distance
    >>> wasserstein_distance([0.0, 1.0], [3.0, 4.0])
    3.0
    """
    methods = ("auto", "exact", "sorting", "sns", "ssns", "sinkhorn")
    if method not in methods:
        raise ValueError(f"method must be one of {methods}, got {method!r}.")
    check_number(p, "p", low=1.0, strict=False)
    check_number(reg, "reg", strict=False)
    X, Y = check_points(X, Y, "euclidean")
    a, b = check_masses(a, b, (len(X), len(Y)))
    a, b = a / a.sum(), b / b.sum()
    entropic = method in ("sns", "ssns", "sinkhorn") or (method == "auto" and reg > 0)
    if entropic and reg == 0:
        raise ValueError(f"method={method!r} needs reg > 0, got 0.")
    if not entropic and reg > 0:
        raise ValueError(f"method={method!r} is exact: pass reg=0, got {reg!r}.")
    on_line = X.shape[1] == 1
    if method == "sorting" and not on_line:
        raise ValueError(
            f"method='sorting' needs points on a line, got {X.shape[1]} features."
        )
    # Powers of large distances overflow: they are taken of moderate ones.
    unit = power_of_two(max(np.abs(X).max(), np.abs(Y).max()))
    X, Y = X / unit, Y / unit
    if reg_mode == "absolute":
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            reg = float(reg / np.float64(unit) ** p) if reg > 0 else reg
    if on_line and not entropic and method != "exact":
        return unit * _sorted_distance(X[:, 0], Y[:, 0], a, b, p)
    if p in (1, 2):
        metric = "euclidean" if p == 1 else "sqeuclidean"
        cost = PointCost(X, Y, metric)
        if entropic or not has_candidates(cost):
            cost = make_cost(X, Y, metric)
    else:
        cost = MatrixCost(cdist(X, Y) ** p)
    if not entropic:
        result = solve_exact(cost, a, b, return_plan=False)
    else:
        eps = choose_strength(reg, reg_mode, cost)
        method = "sns" if method == "auto" else method
        steps = 10_000 if method == "sinkhorn" else 1000
        request = Request(
            eps, method, check_number(tol, "tol"), steps, return_plan=False
        )
        result = solve_entropic(cost, a, b, request)
    return unit * max(result.value, 0.0) ** (1.0 / p)


def _sorted_distance(x, y, a, b, p):
    """Match quantiles: the optimal plan on the line for every convex cost."""
    i, j = np.argsort(x, kind="stable"), np.argsort(y, kind="stable")
    x, y = x[i], y[j]
    A, B = np.cumsum(a[i]), np.cumsum(b[j])
    A /= A[-1]
    B /= B[-1]
    edges = np.union1d(A, B)
    widths = np.diff(edges, prepend=0.0)
    middle = edges - 0.5 * widths
    left = x[np.minimum(np.searchsorted(A, middle), len(x) - 1)]
    right = y[np.minimum(np.searchsorted(B, middle), len(y) - 1)]
    distances = np.abs(left - right)
    largest = distances.max()
    if largest == 0:
        return 0.0
    return float(largest * (widths @ (distances / largest) ** p) ** (1.0 / p))


def sinkhorn_divergence(
    X,
    Y,
    a=None,
    b=None,
    *,
    metric="sqeuclidean",
    reg=None,
    eta=None,
    reg_mode="absolute",
    tol=1e-9,
):
    r"""Compute the debiased entropic distance of two sets of weighted points.

    .. math::
        S(a, b) = OT(a, b) - \tfrac12 OT(a, a) - \tfrac12 OT(b, b), \quad
        OT(a, b) = \min_P \langle C, P\rangle + \varepsilon\, \mathrm{KL}(P | a b^T)

    For the metrics "sqeuclidean", "euclidean" and "cityblock" it is non-negative and
    zero for equal measures, which entropic transport itself is not.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n,) or (n, n_features)
        Points of the first measure.
    Y : {array-like, sparse matrix} of shape (m,) or (m, n_features)
        Points of the second measure.
    a : array-like of shape (n,), default=None
        Masses of `X`; None means 1/n each.
    b : array-like of shape (m,), default=None
        Masses of `Y`, with the same total.
    metric : str, default="sqeuclidean"
        The cost between two points: "sqeuclidean", "euclidean", "cityblock" or
        "cosine".
    reg : float, default=None
        Entropic strength in units of the cost. Exactly one of `reg` and `eta`.
    eta : float, default=None
        Its inverse.
    reg_mode : {"absolute", "relative"}, default="absolute"
        "relative" multiplies `reg` by the median cost between `X` and `Y`.
    tol : float, default=1e-9
        Marginal error of each of the three problems.

    Returns
    -------
    divergence : float
        In units of the cost.

    Raises
    ------
    ValueError
        If points, masses or parameters are not valid or do not fit together.

    Warns
    -----
    ConvergenceWarning
        If the marginal error of one of the three problems stays above `tol`.

    See Also
    --------
    wasserstein_distance : Without entropy.

    References
    ----------
    .. [1] J. Feydy, T. Sejourne, F.-X. Vialard, S. Amari, A. Trouve, G. Peyre,
       "Interpolating between Optimal Transport and MMD using Sinkhorn Divergences",
       AISTATS 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import sinkhorn_divergence
    >>> X = np.random.default_rng(0).standard_normal((200, 2))
    >>> bool(abs(sinkhorn_divergence(X, X, reg=0.1)) < 1e-12)
    True
    >>> bool(abs(sinkhorn_divergence(X, X + [1, 0], reg=0.1) - 1.0) < 1e-7)
    True
    """
    X, Y = check_points(X, Y, metric)
    a, b = check_masses(a, b, (len(X), len(Y)))
    tol = check_number(tol, "tol")
    cost = make_cost(X, Y, metric)
    eps = choose_strength(check_strength(reg, eta), reg_mode, cost)
    if X.shape == Y.shape and np.array_equal(X, Y) and np.array_equal(a, b):
        return 0.0
    own = []
    for points, mass in ((X, a), (Y, b)):
        keep = mass > 0
        points, mass = points[keep], mass[keep]
        own_cost = make_cost(points, points, metric)
        own.append(solve_symmetric(own_cost, mass / mass.sum(), eps, 0.5 * tol))
    total = a.sum()
    request = Request(eps, tol=tol, return_plan=False, warn=False)
    between = solve_entropic(cost, a / total, b / b.sum(), request)
    # By symmetry both marginals of a measure with itself have the same error.
    errors = [between.marginal_error, *(2.0 * found.error for found in own)]
    certificate = Certificate.measured(
        "transport_gap",
        max(errors),
        tol,
        "largest L1 error of both marginals of the three plans / total mass",
        rounding=rounding(2 * (len(X) + len(Y))),
    )
    warn_if_unsatisfied(
        certificate,
        "Sinkhorn divergence: the marginal error",
        "Use a larger reg or tol: the digits of costs beside reg, or the iterations, "
        "do not suffice.",
    )
    return float(total * (between.value_kl - 0.5 * (own[0].value_kl + own[1].value_kl)))
