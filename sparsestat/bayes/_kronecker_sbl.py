"""Sparse Bayesian learning with a Kronecker-structured dictionary."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from sparsestat._utils.compat import StrOptions
from sparsestat.bayes._kronecker_base import KRONECKER_CONSTRAINTS, BaseKroneckerSBL

__all__ = ["KroneckerSBL"]


class KroneckerSBL(BaseKroneckerSBL):
    r"""Sparse Bayesian learning with a Kronecker-structured dictionary.

    The model is :math:`y = (H_1 \otimes \dots \otimes H_I)\, x + e` with
    :math:`x \sim N(0, \mathrm{diag}(\gamma_1 \otimes \dots \otimes \gamma_I))` and
    :math:`e \sim N(0, \sigma^2 I)`, real or circularly symmetric complex. The
    variances, and :math:`\sigma^2` unless it is given, minimize

    .. math:: \log |\Sigma_y| + \tfrac1L \sum_l y_l^H \Sigma_y^{-1} y_l ,

    and the coefficients are the posterior mean. All quantities are exact, at the
    cost of the factors: neither the design nor a covariance of full size is ever
    made. Use it when the support of x is a product of supports, as in channel
    estimation and tensor-valued sparse recovery; use :class:`SBLRegressor` when it
    is not. Read more in the :ref:`User Guide <sparse_bayesian_learning>`.

    Parameters
    ----------
    m_step : {"svd+mm", "am", "mm", "svd"}, default="svd+mm"
        Update of the variances. ``"am"``: expectation maximization, its inner
        problem solved by alternation; never raises the cost, slow. ``"mm"``: convex
        bounding, never raises the cost. ``"svd"``: rank-one fits; sparse and fast,
        may raise the cost, the best iterate is kept. ``"svd+mm"``: svd, then mm from
        where it ended.
    noise_variance : float, default=None
        Variance of the noise, in units of y squared, per complex entry if y is
        complex. None learns it.
    max_iter : int, default=150
        Largest number of iterations of one rule from one start.
    tol : float, default=1e-4
        Stop when one more update would change the variances, and the noise
        variance if it is learned, by less than this relative to their norm.
    prune_tol : "auto", float or list of float, default="auto"
        Cut the columns of a factor whose variance is below this times the largest
        of the factor. "auto" means 1e-6 for am and 1e-4 for the others.
    inner_sweeps : "auto" or int, default="auto"
        Sweeps over the factors in one update: 3 for mm, at most 20 for am.
    n_init : int, default=2
        Number of starts, of which the one of lowest cost is returned. The first is
        from equal variances; for svd+mm the second runs mm alone from there. All
        others are random. Raise it where a bad minimum would be costly.
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
        Factors of the prior variances in units of y squared, zero where cut; all
        but the last have norm one in units where columns have mean square one.
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
        If the rows of the factors do not multiply up to the size of y, a factor is
        not a finite matrix, or all of its columns are zero.
    TypeError
        If a factor is sparse.

    Warns
    -----
    ConvergenceWarning
        When `tol` was not met in the returned start.
    NoiseCollapseWarning
        When the noise was learned from less than 5 % of the measurements.

    See Also
    --------
    BlockKroneckerSBL : Couples neighboring variances of some factors.
    SBLRegressor : Designs without structure; one factor gives the same result.

    Notes
    -----
    One iteration costs one eigendecomposition of each factor's smaller side and
    about four mode products; memory is a few tensors of the size of y and of x. It
    shrinks with every column that is cut. Sample weights and missing measurements
    break the structure and are not supported; use ``SBLRegressor(method="cofem")``
    with a LinearOperator that applies the factors. Which rule is best depends on
    the factors: random ones favor svd, coherent ones (angular grids) mm; the
    default runs both.

    References
    ----------
    .. [1] Y. He, G. Joseph, "Bayesian algorithms for Kronecker-structured sparse
       vector recovery with application to IRS-MIMO channel estimation", IEEE
       Transactions on Signal Processing, 2024.
    .. [2] D. Wipf, S. Nagarajan, "A new view of automatic relevance determination",
       NIPS, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.bayes import KroneckerSBL
    >>> from sparsestat.datasets import make_kronecker_sparse
    >>> data = make_kronecker_sparse(random_state=0)
    >>> model = KroneckerSBL(noise_variance=data.noise_variance)
    >>> model = model.fit(data.factors, data.y)
    >>> [s.tolist() for s in model.supports_] == [s.tolist() for s in data.supports]
    True
    >>> bool(np.linalg.norm(model.coef_ - data.coef) < 0.05 * np.linalg.norm(data.coef))
    True
    """

    _parameter_constraints = KRONECKER_CONSTRAINTS | {
        "m_step": [StrOptions({"am", "svd", "mm", "svd+mm"})],
    }

    def __init__(
        self,
        m_step="svd+mm",
        *,
        noise_variance=None,
        max_iter=150,
        tol=1e-4,
        prune_tol="auto",
        inner_sweeps="auto",
        n_init=2,
        gamma_init=1.0,
        noise_floor=1e-10,
        compute_score="deprecated",
        allow_complex=True,
        random_state=None,
        verbose=0,
    ):
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
        return [None] * len(sizes)
