r"""Barycenters of measures: on a fixed support by entropy, or on points that move.

.. math:: \min_b \sum_k w_k\, OT(a_k, b)

Benamou, Carlier, Cuturi, Nenna, Peyre, "Iterative Bregman Projections for Regularized
Transportation Problems", 2015; debiased as in Janati, Cuturi, Gramfort, "Debiased
Sinkhorn barycenters", ICML 2020; free supports as in Cuturi, Doucet, "Fast Computation
of Wasserstein Barycenters", ICML 2014.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state

from sparsestat._utils.arithmetic import rounding
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat.transport._bins import Bins, Grid
from sparsestat.transport._costs import MatrixCost, pairwise_cost
from sparsestat.transport._entropic import Request, solve_entropic
from sparsestat.transport._exact import solve_exact
from sparsestat.transport._newton import levels_to
from sparsestat.transport._validation import (
    check_cost,
    check_number,
    check_points,
    one_mass,
)

__all__ = ["BarycenterResult", "barycenter"]

_LEVEL_ERROR = 1e-3  # at which a larger strength hands on to the next
_LEVEL_ITERATIONS = 50


@dataclass(frozen=True, repr=False)
class BarycenterResult:
    """A barycenter, and what was proved about it."""

    masses: np.ndarray
    support: np.ndarray
    value: float
    n_iter: int
    converged: bool
    certificate: Certificate
    history: list = field(default_factory=list)

    def __repr__(self):
        return (
            f"BarycenterResult(value={self.value:.3g}, n_iter={self.n_iter}, "
            f"converged={self.converged})"
        )


def barycenter(
    distributions,
    C=None,
    *,
    X=None,
    weights=None,
    reg=None,
    support="fixed",
    n_support=None,
    n_init=1,
    debiased=False,
    tol=1e-6,
    max_iter=5000,
    random_state=None,
):
    r"""Find the measure that is nearest to several measures in transport cost.

    .. math:: \min_b \sum_k w_k\, OT(a_k, b)

    On a fixed support, OT is entropic of strength `reg`, and plans are scaled in turn
    until their marginals agree. On a free support, points move to the means of what is
    sent to them, by exact plans or, with `reg`, entropic ones. Read more in
    :ref:`User Guide <optimal_transport>`.

    Parameters
    ----------
    distributions : array-like of shape (n_distributions, n) or list
        For a fixed support, one histogram a row, scaled to total one; or images, an
        array of shape (n_distributions, height, width), with any number of axes, at
        squared distances in pixels. For a free support, a list of point sets of shape
        (n_k, n_features), or of pairs ``(points, masses)``.
    C : array-like of shape (n, m), default=None
        Costs from the bins of the histograms to those of the barycenter. A fixed
        support needs exactly one of `C` and `X`, images neither.
    X : array-like of shape (n, n_features), default=None
        Points of the bins, for squared distances; or, for a free support, where the
        points start.
    weights : array-like of shape (n_distributions,), default=None
        Non-negative weights with sum one; None means equal ones.
    reg : float, default=None
        Entropic strength in units of the cost. Required on a fixed support; None means
        exact plans on a free one.
    support : {"fixed", "free"}, default="fixed"
        Whether points move.
    n_support : int, default=None
        Number of points of a free support; None means as many as the largest of the
        distributions has. They have equal masses.
    n_init : int, default=1
        Number of random starts of a free support; the best is returned.
    debiased : bool, default=False
        Remove the blur that entropy adds, on a fixed support that the barycenter
        shares with the histograms.
    tol : float, default=1e-6
        On a fixed support, stop when no marginal is off the barycenter by more than
        this in L1 norm; on a free one, when the objective falls by less, relative.
    max_iter : int, default=5000
        Largest number of iterations.
    random_state : int, RandomState instance or None, default=None
        Seed of the starts of a free support.

    Returns
    -------
    result : BarycenterResult
        With ``masses`` (for images, one), ``support`` (the points, or None with `C`
        and for images), ``value``
        (the weighted mean of the transport costs), ``n_iter``, ``converged``,
        ``certificate`` and ``history``.

    Raises
    ------
    ValueError
        If weights are negative or do not sum to one, histograms have different
        lengths, supports are empty, or parameters are not valid.

    Warns
    -----
    ConvergenceWarning
        If the tolerance is not met.

    See Also
    --------
    sinkhorn : Transport between two measures.

    Notes
    -----
    An iteration takes a few passes over the costs for each distribution; for images a
    pass takes an axis at a time, N times the side for N pixels, since the kernel of
    squared distances is a product [4]_, and no matrix is held. A free
    support is not a convex problem: the objective never rises, and the certificate says
    that it stands still, not that no other support is better.

    References
    ----------
    .. [1] J.-D. Benamou, G. Carlier, M. Cuturi, L. Nenna, G. Peyre, "Iterative Bregman
       Projections for Regularized Transportation Problems", 2015.
    .. [2] H. Janati, M. Cuturi, A. Gramfort, "Debiased Sinkhorn barycenters", ICML
       2020.
    .. [3] M. Cuturi, A. Doucet, "Fast Computation of Wasserstein Barycenters", ICML
       2014.
    .. [4] J. Solomon, F. de Goes, G. Peyre, M. Cuturi, A. Butscher, A. Nguyen, T. Du,
       L. Guibas, "Convolutional Wasserstein Distances", ACM Transactions on Graphics
       34, 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import barycenter
    >>> x = np.linspace(0, 1, 60)
    >>> bumps = np.exp(-((x - np.array([[0.2], [0.6]])) ** 2) / 0.005)
    >>> found = barycenter(bumps, X=x, reg=1e-3, debiased=True)
    >>> round(float(found.masses @ x), 3)
    0.4
    """
    if support not in ("fixed", "free"):
        raise ValueError(f"support must be 'fixed' or 'free', got {support!r}.")
    tol = check_number(tol, "tol")
    max_iter = check_number(max_iter, "max_iter", integer=True)
    if reg is not None:
        reg = check_number(reg, "reg")
    if sparse.issparse(distributions):
        distributions = distributions.toarray()
    elif not isinstance(distributions, list | tuple):
        distributions = np.atleast_1d(distributions)
    if len(distributions) == 0:
        raise ValueError("distributions is empty; a barycenter needs at least one.")
    weights = _check_weights(weights, len(distributions))
    if support == "free":
        if C is not None or debiased:
            raise ValueError(
                "A free support has squared distances of its own points: leave C and "
                "debiased out."
            )
        n_init = check_number(n_init, "n_init", integer=True)
        measures = [_check_measure(d, k) for k, d in enumerate(distributions)]
        starts = _starts(measures, X, n_support, n_init, random_state)
        found = [
            _moving(start, measures, weights, reg, tol, max_iter) for start in starts
        ]
        result = min(found, key=lambda one: one.value)
        remedy = "Increase max_iter or tol."
    else:
        if reg is None:
            raise ValueError("A fixed support needs reg > 0, got None.")
        shape = np.shape(distributions[0])
        if len(shape) > 1:
            bins, points = _check_images(distributions, C, X), None
            distributions = [np.ravel(image) for image in distributions]
        histograms = _check_histograms(distributions)
        if len(shape) <= 1:
            cost, points = _check_bins(C, X, histograms.shape[1])
            if debiased and not _is_symmetric(cost.C):
                raise ValueError(
                    "debiased=True needs symmetric costs between equal bins."
                )
            bins = Bins(cost)
        result = _scaled(
            bins, points, histograms, weights, reg, debiased, tol, max_iter
        )
        if len(shape) > 1:
            result = replace(result, masses=result.masses.reshape(shape))
        remedy = "Increase max_iter or tol, or use a larger reg."
    warn_if_unsatisfied(
        result.certificate, f"Barycenter, {support} support: the certificate", remedy
    )
    return result


def _check_weights(weights, count):
    if weights is None:
        return np.full(count, 1.0 / count)
    weights = one_mass(weights, count, "weights")
    if abs(weights.sum() - 1.0) > 1e-6:
        raise ValueError(
            f"weights must sum to 1, got {weights.sum():g}. Divide them by their sum."
        )
    return weights / weights.sum()


def _check_histograms(distributions):
    lengths = {len(np.atleast_1d(d)) for d in distributions}
    if len(lengths) > 1:
        raise ValueError(
            "Histograms on a fixed support must have one length, got lengths "
            f"{sorted(lengths)}."
        )
    size = lengths.pop()
    if size == 0:
        raise ValueError("Histograms are empty; they need at least one bin.")
    rows = [
        one_mass(d, size, f"distributions[{k}]") for k, d in enumerate(distributions)
    ]
    return np.array([row / row.sum() for row in rows])


def _check_images(images, C, X):
    """Return the grid of images of equal shapes."""
    if C is not None or X is not None:
        raise ValueError(
            "Images have squared distances between their pixels: leave C and X out, or "
            "pass histograms with one dimension."
        )
    shapes = sorted({np.shape(image) for image in images})
    if len(shapes) > 1:
        raise ValueError(f"Images must have one shape, got shapes {shapes}.")
    return Grid(shapes[0])


def _check_bins(C, X, size):
    if (C is None) == (X is None):
        raise ValueError("A fixed support needs exactly one of C and X.")
    points = None
    if X is not None:
        points, _ = check_points(X, X, "sqeuclidean")
        C = pairwise_cost(points, points, "sqeuclidean")
    C = check_cost(C)
    if len(C) != size or not np.isfinite(C).all():
        raise ValueError(
            f"Costs must be finite, with one row for each of the {size} bins of the "
            f"histograms; got shape {C.shape}."
        )
    return MatrixCost(C), points


def _is_symmetric(C):
    return C.shape[0] == C.shape[1] and np.allclose(C, C.T, rtol=1e-12, atol=0.0)


def _check_measure(given, k):
    points, masses = given if isinstance(given, tuple) else (given, None)
    points, _ = check_points(points, points, "sqeuclidean")
    masses = one_mass(masses, len(points), f"distributions[{k}]")
    keep = masses > 0
    return points[keep], masses[keep] / masses.sum()


def _starts(measures, X, n_support, n_init, random_state):
    pooled = np.vstack([points for points, _ in measures])
    if X is not None:
        return [check_points(X, pooled, "sqeuclidean")[0].copy()]
    if len({points.shape[1] for points, _ in measures}) > 1:
        raise ValueError("All point sets must have the same number of features.")
    size = max(len(points) for points, _ in measures)
    if n_support is not None:
        size = check_number(n_support, "n_support", integer=True)
    random_state = check_random_state(random_state)
    replace = size > len(pooled)
    return [
        pooled[random_state.choice(len(pooled), size, replace=replace)].copy()
        for _ in range(n_init)
    ]


def _moving(support, measures, weights, reg, tol, max_iter):
    """Alternate plans and means: points go where their mass comes from."""
    size = len(support)
    masses = np.full(size, 1.0 / size)
    history, last = [], np.inf
    for _ in range(max_iter):
        value, objective, moved = 0.0, 0.0, np.zeros_like(support)
        solved = True
        for weight, (points, own) in zip(weights, measures, strict=True):
            if weight == 0.0:
                continue
            cost = MatrixCost(pairwise_cost(support, points, "sqeuclidean"))
            if reg is None:
                plan = solve_exact(cost, masses, own, warn=False)
            else:
                plan = solve_entropic(cost, masses, own, Request(reg, warn=False))
            value += weight * plan.value
            objective += weight * plan.value_kl
            solved &= plan.converged or plan.marginal_error <= tol
            P = plan.plan
            moved += weight * (P @ points) / P.sum(axis=1)[:, None]
        history.append(float(objective))
        change = abs(last - objective) / max(abs(objective), np.finfo(float).tiny)
        change = 0.0 if objective == 0.0 else change
        if change <= tol or objective > last:  # it rises by what plans leave undone
            break
        last, support = objective, moved
    certificate = Certificate(
        "monotone_bound",
        float(change),
        tol,
        bool(change <= tol and solved),
        "last relative change of the objective",
        {"objective": history[-1]},
    )
    return BarycenterResult(
        masses,
        support,
        float(value),
        len(history),
        certificate.satisfied,
        certificate,
        history,
    )


def _scaled(bins, points, histograms, weights, eps, debiased, tol, max_iter):
    """Scale plans in turn until the columns of all are the barycenter."""
    used = np.flatnonzero(weights)
    measures = [bins.measure(histograms[k]) for k in used]
    weights = weights[used]
    levels = levels_to(eps, bins.scale / 4.0)
    history, log_d = [], np.zeros(bins.size)
    for level in levels:
        last = level == eps
        goal = tol if last else _LEVEL_ERROR
        left = max(1, max_iter - len(history)) if last else _LEVEL_ITERATIONS
        for k in range(left):
            states, sums = zip(*(one.log_sums(level) for one in measures), strict=True)
            kernels = [s - one.g / level for s, one in zip(sums, measures, strict=True)]
            log_b = log_d + sum(w * s for w, s in zip(weights, kernels, strict=True))
            b = np.exp(log_b - log_b.max())
            b /= b.sum()
            error = max(float(np.abs(state.c - b).sum()) for state in states)
            if debiased:  # d times its own blur is the barycenter
                blurred = bins.blurred(log_d, level)
                own = np.exp(log_d + blurred) - np.exp(log_b)
                error = max(error, float(np.abs(own).sum()))
            history.append(error)
            if error <= goal or (last and k == left - 1):
                break
            for one, s in zip(measures, kernels, strict=True):
                one.g = level * (log_b - s)
            if debiased:
                log_d = 0.5 * (log_d + log_b - blurred)
    value = sum(w * state.cost for w, state in zip(weights, states, strict=True))
    certificate = Certificate.measured(
        "transport_gap",
        error,
        tol,
        "largest L1 distance of a plan's marginal to the barycenter",
        rounding=rounding(2 * bins.n_terms),
    )
    return BarycenterResult(
        b,
        points,
        float(value),
        len(history),
        certificate.satisfied,
        certificate,
        history,
    )
