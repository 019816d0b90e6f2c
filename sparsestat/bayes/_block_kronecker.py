"""Kronecker-structured learning with variances coupled to their neighbors."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Real

import numpy as np

from sparsestat._utils.compat import Interval, StrOptions
from sparsestat.bayes._kronecker_base import KRONECKER_CONSTRAINTS, BaseKroneckerSBL

__all__ = ["BlockKroneckerSBL"]


class BlockKroneckerSBL(BaseKroneckerSBL):
    r"""Kronecker-structured sparse Bayesian learning for supports in blocks.

    The model of :class:`KroneckerSBL` with variances of chosen factors coupled to
    their neighbors, :math:`\gamma_i = C_i r_i`, :math:`r_i \ge 0`: the matrix
    :math:`C_i` has ones on its diagonal and `beta` beside it. Use it when nonzeros
    come side by side, such as the angles of arrival of one scatterer. Read more in
    the :ref:`User Guide <sparse_bayesian_learning>`.

    Parameters
    ----------
    coupled : list of bool or of array-like of shape (N_i, N_i), default=None
        Which factors are coupled, or their non-negative matrices :math:`C_i`. None
        couples all.
    beta : float, default=0.5
        Coupling to each neighbor, in [0, 1]. Zero gives :class:`KroneckerSBL` with
        ``m_step="mm"``.
    circular : bool, default=False
        Make the first and the last column neighbors, as on grids of angles.
    m_step : {"mm", "nnls"}, default="mm"
        ``"mm"``: multiplicative updates of :math:`r_i`, never raises the cost.
        ``"nnls"``: non-negative least squares, the heuristic of [1]_; the cost may
        rise.
    noise_variance : float, default=None
        Variance of the noise, in units of y squared, per complex entry if y is
        complex. None learns it.
    max_iter : int, default=150
        Largest number of iterations from one start.
    tol : float, default=1e-4
        Stop when one more update would change the variances, and the noise
        variance if it is learned, by less than this relative to their norm.
    prune_tol : "auto", float or list of float, default="auto"
        Cut the columns of a factor whose variance is below this times the largest
        of the factor. "auto" means 1e-4 for mm; for nnls 1e-1 for coupled factors
        but the first and 1e-2 for the others.
    inner_sweeps : "auto" or int, default="auto"
        Sweeps over the factors in one update: 3 for mm, at most 10 for nnls.
    n_init : int, default=1
        Number of starts, of which the one of lowest cost is returned; all but the
        first are random.
    gamma_init : float, default=1.0
        Starting variances, from 1e-3 to 1e8: 1 spreads the variance of y over all
        coefficients.
    noise_floor : float, default=1e-10
        Smallest learned noise variance, relative to the mean square of y.
    compute_score : object, default="deprecated"
        Has no effect, and goes in 0.4: `history_` is always kept.
    allow_complex : bool, default=True
        Accept complex data.
    random_state : int, RandomState instance or None, default=None
        Draws the random starts.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (N,) or (N, n_targets)
        Posterior mean in C order, N the product of the N_i.
    coef_tensor_ : ndarray of shape (N_1, ..., N_I) or (N_1, ..., N_I, n_targets)
        The same as a tensor.
    coef_var_ : ndarray of shape (N,)
        Posterior variances, computed when asked for.
    gammas_ : list of ndarray of shape (N_i,)
        Factors of the prior variances, zero where cut.
    raw_gammas_ : list of ndarray of shape (N_i,)
        The :math:`r_i` of coupled factors and the :math:`\gamma_i` of the others, in
        units where y and the columns have mean square one.
    supports_ : list of ndarray
        Columns of each factor that are in the model.
    noise_variance_ : float
        Noise variance, given or learned.
    dof_ : float
        Number of well determined coefficients.
    certificate_ : Certificate
        How far the variances are from a stationary point; the costs of all starts.
    history_ : ndarray
        The log evidence of one target at each iteration of the returned start, the
        average over targets.
    n_iter_ : int
        Number of iterations of the returned start.
    converged_ : bool
        Whether `tol` was met.
    n_factors_ : int
        Number of factors.

    Raises
    ------
    ValueError
        If the rows of the factors do not multiply up to the size of y, `coupled`
        does not fit the factors, or a coupling matrix has negative entries or an
        empty row.
    TypeError
        If a factor is sparse.

    See Also
    --------
    KroneckerSBL : Independent variances.
    MRFSBL : Bursts on a grid, without Kronecker structure.

    Notes
    -----
    The E-step is that of :class:`KroneckerSBL`. The update of :math:`r_i` follows
    from the convexity of :math:`1 / (C r)`; when a column is cut, its row of
    :math:`C_i` goes and all of :math:`r_i` stays.

    References
    ----------
    .. [1] Y. He, G. Joseph, "Bayesian algorithms for Kronecker-structured sparse
       vector recovery with application to IRS-MIMO channel estimation", IEEE
       Transactions on Signal Processing, 2024.
    .. [2] J. Fang, Y. Shen, H. Li, P. Wang, "Pattern-coupled sparse Bayesian
       learning for recovery of block-sparse signals", IEEE Transactions on Signal
       Processing 63, 2015.

    Examples
    --------
    >>> from sparsestat.bayes import BlockKroneckerSBL
    >>> from sparsestat.datasets import make_irs_mimo_channel
    >>> data = make_irs_mimo_channel(random_state=0)
    >>> model = BlockKroneckerSBL(data.coupled, noise_variance=data.noise_variance)
    >>> model = model.fit(data.factors, data.y)
    >>> model.coef_tensor_.shape
    (18, 18, 18)
    >>> model.certificate_.satisfied
    True
    """

    _parameter_constraints = KRONECKER_CONSTRAINTS | {
        "coupled": ["array-like", None],
        "beta": [Interval(Real, 0, 1, closed="both")],
        "circular": ["boolean"],
        "m_step": [StrOptions({"mm", "nnls"})],
    }

    def __init__(
        self,
        coupled=None,
        *,
        beta=0.5,
        circular=False,
        m_step="mm",
        noise_variance=None,
        max_iter=150,
        tol=1e-4,
        prune_tol="auto",
        inner_sweeps="auto",
        n_init=1,
        gamma_init=1.0,
        noise_floor=1e-10,
        compute_score="deprecated",
        allow_complex=True,
        random_state=None,
        verbose=0,
    ):
        self.coupled = coupled
        self.beta = beta
        self.circular = circular
        self.m_step = m_step
        self.noise_variance = noise_variance
        self.max_iter = max_iter
        self.tol = tol
        self.prune_tol = prune_tol
        self.inner_sweeps = inner_sweeps
        self.n_init = n_init
        self.gamma_init = gamma_init
        self.noise_floor = noise_floor
        self.compute_score = compute_score
        self.allow_complex = allow_complex
        self.random_state = random_state
        self.verbose = verbose

    def _couplings(self, sizes):
        coupled = [True] * len(sizes) if self.coupled is None else list(self.coupled)
        if len(coupled) != len(sizes):
            raise ValueError(
                f"coupled has {len(coupled)} entries, but there are {len(sizes)} "
                "factors. Pass one boolean or matrix for each."
            )
        out = []
        for i, (entry, n) in enumerate(zip(coupled, sizes, strict=True)):
            if np.ndim(entry) == 0:
                out.append(self._neighbors(n) if entry and self.beta > 0 else None)
                continue
            C = np.array(entry, dtype=float)
            if C.shape != (n, n):
                raise ValueError(
                    f"coupled[{i}] has shape {C.shape}, but factor {i} has {n} columns."
                )
            if not np.isfinite(C).all() or C.min() < 0 or not C.any(axis=1).all():
                raise ValueError(
                    f"coupled[{i}] must be finite and non-negative, with a positive "
                    "entry in every row."
                )
            out.append(C)
        return out

    def _neighbors(self, n):
        C = np.eye(n) + self.beta * (np.eye(n, k=1) + np.eye(n, k=-1))
        if self.circular and n > 2:
            C[0, -1] = C[-1, 0] = self.beta
        return C

    def _pruning(self, m_step, couplings):
        if not isinstance(self.prune_tol, str) or self.m_step != "nnls":
            return super()._pruning(m_step, couplings)
        return [
            0.1 if C is not None and i > 0 else 0.01 for i, C in enumerate(couplings)
        ]

    def _keep_raw(self, raw):
        self.raw_gammas_ = raw
