r"""Transport of a part of the mass, by one dummy row and one dummy column.

.. math:: \min_{P \ge 0} \langle C, P\rangle \quad\text{s.t.}\quad
   P 1 \le a,\; P^T 1 \le b,\; 1^T P 1 = s
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace

import numpy as np

from sparsestat._utils.arithmetic import dot
from sparsestat.transport._sinkhorn import sinkhorn
from sparsestat.transport._validation import check_cost, check_number, one_mass

__all__ = ["partial_transport"]

_ROUNDED = 1e-12  # share of the mass by which a given mass may exceed a total


def partial_transport(
    C,
    a=None,
    b=None,
    *,
    mass=None,
    penalty=None,
    reg=0.0,
    tol=None,
    return_plan="auto",
):
    r"""Move a part of the mass, the part that is cheapest to move.

    .. math::
        \min_{P \ge 0} \langle C, P\rangle \quad \text{s.t.} \quad
        P 1 \le a, \; P^T 1 \le b, \; 1^T P 1 = s

    with :math:`s` the parameter `mass`; or, with `penalty` :math:`\lambda` instead,
    whatever amount minimizes :math:`\langle C, P\rangle + \lambda (\|a - P 1\|_1 +
    \|b - P^T 1\|_1)`. A dummy row and a dummy column take the rest, so that it is one
    transport problem, exact or entropic. Read more in
    :ref:`User Guide <optimal_transport>`.

    Parameters
    ----------
    C : {array-like, sparse matrix} of shape (n, m)
        Costs; ``+inf`` forbids an arc.
    a : array-like of shape (n,), default=None
        Masses of the rows; None means 1/n each.
    b : array-like of shape (m,), default=None
        Masses of the columns, of any total; None means 1/m each.
    mass : float, default=None
        How much to move, at most the smaller total. Exactly one of `mass` and
        `penalty`.
    penalty : float, default=None
        Price of each unit of mass that stays behind, on either side.
    reg : float, default=0.0
        Entropic strength; 0 solves the linear program. The entropy is that of the
        whole problem, with the mass that stays behind.
    tol : float, default=None
        As in :func:`sinkhorn`; unused with ``reg=0``.
    return_plan : {"auto", "dense", "sparse"} or False, default="auto"
        Form of the plan.

    Returns
    -------
    result : OTResult
        The plan without the dummies, its cost in `value`, and the certificate of the
        problem with them, whose objective is `value_regularized`.

    Raises
    ------
    ValueError
        If `mass` exceeds a total, or data or parameters are not valid.

    Warns
    -----
    ConvergenceWarning
        If the certificate is not satisfied.

    See Also
    --------
    sinkhorn_unbalanced : Masses that may be missed at a price in relative entropy.

    References
    ----------
    .. [1] L. A. Caffarelli, R. J. McCann, "Free boundaries in optimal transport and
       Monge-Ampere obstacle problems", Annals of Mathematics 171, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.transport import partial_transport
    >>> x, y = np.array([0.0, 1.0, 9.0]), np.array([0.0, 1.0, 2.0])
    >>> result = partial_transport((x[:, None] - y) ** 2, mass=2 / 3)
    >>> bool(abs(result.value) < 1e-12), bool(abs(result.plan.sum() - 2 / 3) < 1e-12)
    (True, True)
    """
    C = check_cost(C).astype(np.float64)
    n, m = C.shape
    a, b = one_mass(a, n, "a"), one_mass(b, m, "b")
    if (mass is None) == (penalty is None):
        raise ValueError(
            f"Give exactly one of mass and penalty, got {mass!r} and {penalty!r}."
        )
    check_number(reg, "reg", strict=False)
    whole = np.zeros((n + 1, m + 1))
    whole[:n, :m] = C
    if mass is not None:
        mass = check_number(mass, "mass")
        rest = [_rest(x, mass, name) for x, name in ((b, "b"), (a, "a"))]
        whole[n, m] = np.inf
    else:
        whole[n, :m] = whole[:n, m] = check_number(penalty, "penalty", strict=False)
        rest = [b.sum(), a.sum()]
    left, right = np.append(a, rest[0]), np.append(b, rest[1])
    given = {"return_plan": "sparse" if return_plan is False else return_plan}
    if reg == 0:
        result = sinkhorn(whole, left, right, method="exact", **given)
    else:
        result = sinkhorn(whole, left, right, reg=reg, tol=tol, **given)
    plan = result.plan[:n, :m]
    phi, psi = result.potentials
    i, j = plan.nonzero()
    value = dot(C[i, j], np.asarray(plan[i, j]).ravel())
    return replace(
        result,
        value=value,
        plan=None if return_plan is False else plan,
        potentials=(phi[:n], psi[:m]),
    )


def _rest(x, mass, name):
    """Return what stays behind on one side."""
    total = x.sum()
    if mass > total * (1.0 + _ROUNDED):
        raise ValueError(
            f"mass={mass:g} exceeds the total of {name}, {total:g}. Lower it, or use "
            "sinkhorn_unbalanced."
        )
    return max(total - mass, 0.0)
