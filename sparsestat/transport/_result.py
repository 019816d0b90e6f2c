"""What a transport solver returns, measured on the answer itself."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from sparsestat._utils.results import Certificate
from sparsestat._utils.validation import read_only
from sparsestat.transport import _kernels, _kernels_points

__all__ = ["OTResult"]

_SMALL_MASS = 1e-15  # totals below, or above its inverse, want more than float32


@dataclass(frozen=True, repr=False)
class OTResult:
    r"""A transport plan, its potentials and what was proved about them.

    Parameters
    ----------
    value : float
        :math:`\langle C, P\rangle`, the cost of the plan.
    value_entropic : float
        :math:`\langle C, P\rangle + \varepsilon \sum_{ij} P_{ij} (\log P_{ij} - 1)`.
    dual_value : float
        :math:`\langle a, f\rangle + \langle b, g\rangle - \varepsilon \sum_{ij}
        P_{ij}`, equal to `value_entropic` at the optimum.
    value_kl : float
        :math:`\langle C, P\rangle + \varepsilon\,\mathrm{KL}(P \mid a b^T)`, which is
        what :func:`sinkhorn_divergence` compares.
    gap : float
        Distance of `value` to the optimal cost of transport without entropy is at
        most this: the plan is rounded to a feasible one and compared with a feasible
        dual. An estimate, not a bound, when arcs are forbidden.
    marginal_error : float
        :math:`\|P 1 - a\|_1 + \|P^T 1 - b\|_1` of the returned plan (of the one that
        the potentials describe, if none was asked for), relative to the total mass.
    potentials : tuple of ndarray
        Pair :math:`(\varphi, \psi)` with :math:`P_{ij} = a_i b_j
        \exp((\varphi_i + \psi_j - C_{ij})/\varepsilon)`, finite also where a mass is
        zero. For exact transport, the optimal dual variables of the linear program.
    plan : ndarray, csr_array or None
        The plan, if it was asked for.
    n_iter : dict
        Numbers of ``"sinkhorn"`` sweeps, ``"newton"`` and ``"cg"`` steps, and of
        ``"passes"`` over the costs; of ``"pivots"``, for exact transport.
    converged : bool
        Whether `marginal_error` met the tolerance (for exact transport, the gap),
        rounding included.
    reg : float
        Entropic strength in units of the cost; 0 for exact transport.
    certificate : Certificate
        The marginal error against the tolerance, with the gap in its details.
    history : list of tuple, default=[]
        ``(phase, reg, marginal error)`` after each sweep or step.

    See Also
    --------
    sinkhorn : Returns such a result.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import sinkhorn
    >>> result = sinkhorn(np.array([[0.0, 1.0], [1.0, 0.0]]), reg=0.1)
    >>> result
    OTResult(value=4.54e-05, gap=4.54e-05, marginal_error=..., converged=True)
    """

    value: float
    value_entropic: float
    dual_value: float
    value_kl: float
    gap: float
    marginal_error: float
    potentials: tuple
    plan: object
    n_iter: dict
    converged: bool
    reg: float
    certificate: Certificate
    history: list = field(default_factory=list)

    @property
    def value_linear(self):
        """The cost of the plan without entropy: `value` by another name."""
        return self.value

    @property
    def value_regularized(self):
        r"""What was minimized: `value_entropic`.

        Entropy counts as :math:`\varepsilon \sum_{ij} P_{ij} (\log P_{ij} - 1)`; for
        unbalanced transport the penalties are part of it, and the entropy is relative
        to :math:`a b^T`, as in `value_kl`; for exact transport there is none.
        """
        return self.value_entropic

    def __repr__(self):
        return (
            f"OTResult(value={self.value:.3g}, gap={self.gap:.3g}, "
            f"marginal_error={self.marginal_error:.1e}, converged={self.converged})"
        )


def plan_dtype(cost, mass):
    """Return the type of a plan: that of the costs, if it holds the masses."""
    return cost.dtype if _SMALL_MASS < mass < 1.0 / _SMALL_MASS else np.float64


def dense_plan_at(problem, g, eps, mass, swapped, cost, rows, columns):
    """Return the plan of a semi-dual at g as a matrix of the cost's dtype.

    Rows (of the problem) are made to sum to `mass`; the caller's orientation, and his
    rows and columns without mass, come back.
    """
    dtype = plan_dtype(cost, mass.sum())
    plan = np.empty(problem.cost.shape, dtype=dtype)
    g, mass = read_only(g), read_only(mass)
    for start, stop, C in problem.cost.blocks():
        _kernels.plan_pass(C, g, mass[start:stop], eps, plan[start:stop])
    if swapped:
        plan = plan.T
    n, m = cost.shape
    order = np.arange(n), np.arange(m)
    if np.array_equal(rows, order[0]) and np.array_equal(columns, order[1]):
        return np.ascontiguousarray(plan)
    whole = np.zeros(cost.shape, dtype=dtype)
    whole[np.ix_(rows, columns)] = plan
    return whole


def dense_plan(cost, a, b, phi, psi, eps):
    """Return the plan of potentials as a matrix of the cost's dtype."""
    P = np.zeros(cost.shape, dtype=plan_dtype(cost, max(a.sum(), b.sum())))
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    f = np.full(len(a), -np.inf)
    f[rows] = phi[rows] / eps + np.log(a[rows])
    with np.errstate(under="ignore"):
        g = psi[columns] / eps + np.log(b[columns])
        for start, stop, C in cost.blocks():
            for low in range(start, stop, 512):
                part = slice(low, min(low + 512, stop))
                block = C[part.start - start : part.stop - start].astype(np.float64)
                if len(columns) == len(b):
                    exponent = f[part, None] + (g - block / eps)
                    P[part] = np.exp(exponent)
                else:
                    exponent = f[part, None] + (g - block[:, columns] / eps)
                    P[part, columns] = np.exp(exponent)
    return P


def plan_from_state(state, problem, swapped, mass, shape, rows, columns):
    """Return the stored entries as a CSR array in the caller's orientation."""
    row_of = np.full(shape[1] if swapped else shape[0], -1)
    own, other = (columns, rows) if swapped else (rows, columns)
    row_of[own] = np.arange(len(own))
    ptr, indices, weights = state.ptr, state.indices, state.weights
    state.drop_entries()  # as large as the plan: held once here, by name
    _kernels_points.name_columns(
        indices, weights, ptr, problem.a * mass, other.astype(np.int32)
    )
    sizes = np.where(row_of >= 0, np.diff(ptr)[row_of], 0)
    place = np.concatenate([[0], np.cumsum(sizes)])
    indices = _kernels_points.placed_rows(indices, ptr, row_of, place)
    weights = _kernels_points.placed_rows(weights, ptr, row_of, place)
    if place[-1] <= np.iinfo(np.int32).max:
        place = place.astype(np.int32)  # or scipy makes all indices 64 bits wide
    if swapped:
        P = sparse.csc_array((weights, indices, place), shape=shape)
        P = sparse.csr_array(P)
        P.sort_indices()
        return P
    return sparse.csr_array((weights, indices, place), shape=shape)
