r"""Entropic optimal transport between two discrete measures.

.. math:: \min_P \langle C, P\rangle + \varepsilon \sum_{ij} P_{ij}(\log P_{ij} - 1)
   \quad\text{s.t.}\quad P 1 = a,\; P^T 1 = b

Tang et al., "Accelerating Sinkhorn Algorithm with Sparse Newton Iterations", ICLR
2024, solved here on the semi-dual and along a path of strengths.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat.transport._batches import is_batch, problems_of, solve_all
from sparsestat.transport._costs import MatrixCost, PointCost
from sparsestat.transport._entropic import Request, refuse_isolated, solve_entropic
from sparsestat.transport._exact import solve_exact
from sparsestat.transport._validation import (
    check_cost,
    check_masses,
    check_number,
    check_points,
    check_strength,
    choose_strength,
    default_tolerance,
)

__all__ = ["sinkhorn", "sinkhorn_newton_sparse", "sinkhorn_points"]

_METHODS = ("auto", "sinkhorn", "sns", "ssns", "proximal", "exact")
_PLANS = ("auto", "dense", "sparse", False)


def sinkhorn(
    C,
    a=None,
    b=None,
    *,
    reg=None,
    eta=None,
    method="auto",
    tol=None,
    max_iter=None,
    warm_start=None,
    n_scaling="auto",
    reg_mode="absolute",
    return_plan="auto",
):
    r"""Solve entropic optimal transport in the log domain, at any strength.

    .. math::
        \min_P \langle C, P\rangle + \varepsilon \sum_{ij} P_{ij} (\log P_{ij} - 1)
        \quad \text{s.t.} \quad P 1 = a, \; P^T 1 = b

    with :math:`\varepsilon` the parameter `reg`. Nothing is exponentiated unshifted,
    so that no strength overflows; Newton steps on the sparse Laplacian of the plan
    replace the thousands of sweeps that small strengths would need. Read more in
    :ref:`User Guide <optimal_transport>`.

    Parameters
    ----------
    C : {array-like, sparse matrix} of shape (n, m) or (k, n, m)
        Costs, of any sign. ``+inf`` forbids an arc; so does an entry that a sparse
        matrix does not store. float32 is used without a copy when C-contiguous and
        n >= m, with sums and potentials in double precision. A stack of matrices is
        as many problems.
    a : array-like of shape (n,), (n, k) or (k, n), default=None
        Masses of the rows, non-negative; None means 1/n each. Two dimensions are k
        problems: columns beside one matrix of costs, rows beside a stack.
    b : array-like of shape (m,), (m, k) or (k, m), default=None
        Masses of the columns, with the same total to 1e-6 (rescaled below that), or
        those of k problems, as for `a`.
    reg : float, default=None
        Entropic strength in units of the cost. Exactly one of `reg` and `eta`.
    eta : float, default=None
        Its inverse, as some papers write it.
    method : {"auto", "sns", "ssns", "sinkhorn", "proximal", "exact"}, default="auto"
        "auto" is "sns", sparse Newton steps after few sweeps; "ssns" the safe and
        sparse Newton steps of [2]_ in both potentials, for comparison, which starts at
        the target strength, is slower, and does not get there where that is far below
        the costs and the masses are uneven; "sinkhorn" sweeps only;
        "proximal" walks along ten strengths that fall like 1/k, which is what exact
        proximal point steps do; "exact" solves the linear program, with ``reg=0``, by
        a network simplex, and proves the plan optimal whatever the sizes of the costs.
    tol : float, default=None
        Stop when the L1 error of the marginals of the plan is at most `tol` times the
        total mass. None means 1e-9, and 1e-6 where costs, and so the plan, are float32.
        Where rounding allows no less, the certificate says so.
    max_iter : int, default=None
        Newton steps in all (default 1000), or sweeps with "sinkhorn" (default 10000).
    warm_start : OTResult, tuple of ndarray or list, default=None
        Potentials to start from, as in ``OTResult.potentials``; a list of such for
        several problems.
    n_scaling : int or "auto", default="auto"
        Number of larger strengths solved first; 0 starts at the target. "auto" looks
        at the error after five sweeps.
    reg_mode : {"absolute", "relative"}, default="absolute"
        "relative" multiplies `reg` by the median of the finite costs.
    return_plan : {"auto", "dense", "sparse"} or False, default="auto"
        "sparse" keeps entries above 1e-13 times the mass of their row or column, or
        the largest that fit where those are too many (``plan_threshold`` in the
        certificate's details); "auto" is "dense" up to 16 million entries.

    Returns
    -------
    result : OTResult or list of OTResult
        Plan, potentials, values, and a certificate; of each problem, if there are
        several: what calls one by one return.

    Raises
    ------
    ValueError
        If costs or masses are not numbers, do not fit together or admit no plan, or a
        parameter is out of range.

    Warns
    -----
    ConvergenceWarning
        If the marginal error stays above the tolerance; once for several problems.

    See Also
    --------
    sinkhorn_points : The same between points, in memory that grows with n + m.
    sinkhorn_unbalanced : For unequal masses.
    wasserstein_distance : Distance without entropy.

    Notes
    -----
    A pass over the costs takes O(n m) comparisons and exponentials only of entries
    that matter; memory is that of C, its sparse plan and, if n < m, a transposed copy.
    A copy in double precision is made where offsets of rows and columns, or potentials
    beside a small `reg`, would take the digits that the exponents need.
    The result is deterministic and one thread is used beside BLAS.

    "exact" takes some N pivots for N = n + m, each of some :math:`\sqrt{nm} + N` steps;
    it holds the costs in double precision. Its certificate is the gap between primal
    and dual, relative to what the flow costs above the smallest cost of each row, and
    is satisfied at 1e-9 (1e-14 is usual) if the marginals are met to 1e-9.

    References
    ----------
    .. [1] X. Tang, M. Shavlovsky, H. Rahmanian, E. Tardini, K. Thekumparampil,
       T. Xiao, L. Ying, "Accelerating Sinkhorn Algorithm with Sparse Newton
       Iterations", ICLR 2024.
    .. [2] Z. Tang, Y. Qiu, "Safe and Sparse Newton Method for Entropic-Regularized
       Optimal Transport", NeurIPS 2024.
    .. [3] J. Altschuler, J. Weed, P. Rigollet, "Near-linear time approximation
       algorithms for optimal transport via Sinkhorn iteration", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import sinkhorn
    >>> C = np.random.default_rng(0).random((300, 200))
    >>> result = sinkhorn(C, eta=1200.0)
    >>> result.converged, result.plan.shape
    (True, (300, 200))
    >>> bool(abs(result.plan.sum(axis=0) - 1 / 200).sum() < 1e-9)
    True
    >>> many = np.random.default_rng(1).dirichlet(np.ones(200), size=3).T
    >>> [one.converged for one in sinkhorn(C, None, many, reg=0.01)]
    [True, True, True]
    """
    given = {
        "reg": reg,
        "eta": eta,
        "method": method,
        "tol": tol,
        "max_iter": max_iter,
        "n_scaling": n_scaling,
        "reg_mode": reg_mode,
        "return_plan": return_plan,
    }
    if is_batch(C, a, b):

        def solve(cost, a, b, start):
            return _solve(cost, a, b, warm_start=start, warn=False, **given)

        return solve_all(problems_of(C, a, b), warm_start, solve)
    cost = MatrixCost(check_cost(C))
    a, b = check_masses(a, b, cost.shape)
    return _solve(cost, a, b, warm_start=warm_start, **given)


def _solve(
    cost,
    a,
    b,
    *,
    reg,
    eta,
    method,
    tol,
    max_iter,
    reg_mode,
    return_plan,
    warn=True,
    **rest,
):
    if method not in _METHODS:
        raise ValueError(f"method must be one of {_METHODS}, got {method!r}.")
    if return_plan not in _PLANS:
        raise ValueError(f"return_plan must be one of {_PLANS}, got {return_plan!r}.")
    refuse_isolated(cost, a, b)
    tol = default_tolerance(tol, cost.dtype)
    if method == "exact":
        if eta is not None or reg not in (None, 0):
            raise ValueError(
                "method='exact' solves transport without entropy: leave eta out and "
                f"pass reg=0 or None, got reg={reg!r}, eta={eta!r}."
            )
        return solve_exact(cost, a, b, return_plan=return_plan, warn=warn)
    eps = choose_strength(check_strength(reg, eta), reg_mode, cost)
    method = "sns" if method == "auto" else method
    if max_iter is None:
        max_iter = 10_000 if method == "sinkhorn" else 1000
    if rest["n_scaling"] != "auto":
        check_number(rest["n_scaling"], "n_scaling", strict=False, integer=True)
    request = Request(
        eps=eps,
        method=method,
        tol=tol,
        max_iter=check_number(max_iter, rest.get("limit", "max_iter"), integer=True),
        return_plan=return_plan,
        warn=warn,
        **rest,
    )
    return solve_entropic(cost, a, b, request)


def sinkhorn_newton_sparse(
    C,
    a=None,
    b=None,
    *,
    reg=None,
    eta=None,
    n_sinkhorn=20,
    max_newton=1000,
    density="auto",
    tol=None,
    warm_start=None,
    n_scaling="auto",
    reg_mode="absolute",
    return_plan="auto",
):
    """Solve entropic transport by Sinkhorn sweeps and then sparse Newton steps.

    The solver behind :func:`sinkhorn`, with the parameters of the published method.
    It differs from it where convergence asks for it: the Newton system is that of the
    semi-dual, whose rows are exact, and drops entries without losing their mass from
    the diagonal, so that it is positive definite; steps are accepted on the value of
    the dual or a halved marginal error; the threshold shrinks with the error.

    Parameters
    ----------
    C : {array-like, sparse matrix} of shape (n, m)
        Costs; ``+inf`` and entries a sparse matrix does not store forbid an arc.
    a : array-like of shape (n,), default=None
        Masses of the rows; None means 1/n each.
    b : array-like of shape (m,), default=None
        Masses of the columns.
    reg : float, default=None
        Entropic strength in units of the cost. Exactly one of `reg` and `eta`.
    eta : float, default=None
        Its inverse.
    n_sinkhorn : int, default=20
        Sweeps before the first Newton step.
    max_newton : int, default=1000
        Newton steps in all.
    density : float or "auto", default="auto"
        Largest share of the n m entries that a Newton step may use, in (0, 1]; the
        paper uses 2/n. "auto" lets the threshold follow the marginal error.
    tol : float, default=None
        Stop when the L1 error of the marginals is at most `tol` times the total mass;
        None means 1e-9, and 1e-6 for float32 costs.
    warm_start : OTResult or tuple of ndarray, default=None
        Potentials to start from.
    n_scaling : int or "auto", default="auto"
        Number of larger strengths solved first; 0 is the published method. "auto"
        walks along a path when the sweeps leave an error above one half.
    reg_mode : {"absolute", "relative"}, default="absolute"
        "relative" multiplies `reg` by the median of the finite costs.
    return_plan : {"auto", "dense", "sparse"} or False, default="auto"
        Form of the plan.

    Returns
    -------
    result : OTResult
        Plan, potentials, values, and a certificate.

    Raises
    ------
    ValueError
        As :func:`sinkhorn`.

    Warns
    -----
    ConvergenceWarning
        If the marginal error stays above the tolerance.

    See Also
    --------
    sinkhorn : Chooses the method; also exact transport.

    References
    ----------
    .. [1] X. Tang, M. Shavlovsky, H. Rahmanian, E. Tardini, K. Thekumparampil,
       T. Xiao, L. Ying, "Accelerating Sinkhorn Algorithm with Sparse Newton
       Iterations", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import sinkhorn_newton_sparse
    >>> C = np.random.default_rng(0).random((300, 300))
    >>> result = sinkhorn_newton_sparse(C, eta=1200.0)
    >>> result.converged, result.n_iter["newton"] < 30
    (True, True)
    """
    if density == "auto":
        density = None
    elif check_number(density, "density") > 1:
        raise ValueError(f"density must be in (0, 1] or 'auto', got {density!r}.")
    cost = MatrixCost(check_cost(C))
    a, b = check_masses(a, b, cost.shape)
    return _solve(
        cost,
        a,
        b,
        reg=reg,
        eta=eta,
        method="sns",
        tol=tol,
        max_iter=max_newton,
        limit="max_newton",
        warm_start=warm_start,
        n_scaling=n_scaling,
        reg_mode=reg_mode,
        return_plan=return_plan,
        n_sinkhorn=check_number(n_sinkhorn, "n_sinkhorn", strict=False, integer=True),
        density=density,
    )


def sinkhorn_points(
    X,
    Y,
    a=None,
    b=None,
    *,
    metric="sqeuclidean",
    reg=None,
    eta=None,
    method="auto",
    tol=1e-9,
    max_iter=None,
    warm_start=None,
    n_scaling="auto",
    reg_mode="absolute",
    return_plan="sparse",
):
    """Solve entropic transport between two sets of points without a cost matrix.

    Costs are computed each time they are visited. Up to four dimensions, and with any
    metric but "cosine", the points are sorted into cells, of which those that cannot
    matter for a point are skipped, and smaller problems between centers of cells give
    the start; else costs are visited in blocks of 16 MiB. Memory is the points, one
    block and the entries of the plan that matter, at most 3 million in a Newton step
    (then neighboring columns are grouped, or the smaller entries left out) and
    8 million in the plan, which is not certified when it leaves out more than the
    tolerance.

    ``method="exact"`` runs its simplex on few arcs of each point, in the same cases and
    from 9 million pairs on. All pairs are priced by cells, and those that are better
    join, until there are none: the proof is over all pairs, in memory of O(n + m).

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n, n_features)
        Points of the first measure; one-dimensional input is one feature.
    Y : {array-like, sparse matrix} of shape (m, n_features)
        Points of the second measure.
    a : array-like of shape (n,), default=None
        Masses of `X`; None means 1/n each.
    b : array-like of shape (m,), default=None
        Masses of `Y`.
    metric : str, default="sqeuclidean"
        The cost between two points: "sqeuclidean", "euclidean", "cityblock" or
        "cosine".
    reg : float, default=None
        Entropic strength in units of the cost. Exactly one of `reg` and `eta`.
    eta : float, default=None
        Its inverse.
    method : {"auto", "sns", "ssns", "sinkhorn", "proximal", "exact"}, default="auto"
        As in :func:`sinkhorn`.
    tol : float, default=1e-9
        Stop when the L1 error of the marginals is at most `tol` times the total mass.
    max_iter : int, default=None
        Newton steps in all (default 1000), or sweeps with "sinkhorn" (default 10000).
    warm_start : OTResult or tuple of ndarray, default=None
        Potentials to start from.
    n_scaling : int or "auto", default="auto"
        Number of larger strengths solved first.
    reg_mode : {"absolute", "relative"}, default="absolute"
        "relative" multiplies `reg` by the median of the costs (of a sample of them).
    return_plan : {"auto", "dense", "sparse"} or False, default="sparse"
        Form of the plan.

    Returns
    -------
    result : OTResult
        Plan, potentials, values, and a certificate.

    Raises
    ------
    ValueError
        As :func:`sinkhorn`, or if the points do not live in one space.

    Warns
    -----
    ConvergenceWarning
        If the marginal error of the plan stays above the tolerance, be it that the
        sparse plan has more entries that matter than it can hold.

    See Also
    --------
    sinkhorn : From a cost matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import sinkhorn_points
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.standard_normal((400, 2)), rng.standard_normal((300, 2)) + 1.0
    >>> result = sinkhorn_points(X, Y, reg=0.01)
    >>> result.converged, result.plan.format
    (True, 'csr')
    """
    X, Y = check_points(X, Y, metric)
    cost = PointCost(X, Y, metric)
    a, b = check_masses(a, b, cost.shape)
    return _solve(
        cost,
        a,
        b,
        reg=reg,
        eta=eta,
        method=method,
        tol=tol,
        max_iter=max_iter,
        warm_start=warm_start,
        n_scaling=n_scaling,
        reg_mode=reg_mode,
        return_plan=return_plan,
    )
