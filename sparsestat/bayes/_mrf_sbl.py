"""Burst-sparse recovery with a Markov random field as a regressor."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import MultiOutputMixin
from sklearn.utils import check_random_state

from sparsestat._utils.arithmetic import Standardization, power_of_two
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.validation import largest_entry
from sparsestat.bayes._cofem import Products
from sparsestat.bayes._data import is_operator, square
from sparsestat.bayes._linear import BayesianLinearMixin, warn_if_collapsed
from sparsestat.bayes._mrf import Field, MRFResult, Refinement, grid_edges, solve_mrf
from sparsestat.bayes._records import Stop

__all__ = ["MRFSBL"]


class MRFSBL(
    CallbackSupportMixin, MultiOutputMixin, BayesianLinearMixin, SparsestatEstimator
):
    r"""Burst-sparse recovery: nonzeros come in clusters on a chain or a grid.

    Supports :math:`s_n \in \{-1, 1\}` follow a Markov random field,

    .. math:: p(s) \propto \exp\Big(-\sum_n \alpha_n s_n
        + \sum_{(n, m)} \beta_{nm} s_n s_m\Big),

    coefficients are :math:`w_n \sim N(0, V)` where :math:`s_n = 1` and all but zero
    elsewhere, and :math:`y = X w + e` with :math:`e \sim N(0, \sigma^2)`, real or
    circularly symmetric complex. The posterior of the coefficients is Gaussian for
    the current support probabilities; the evidence for each coefficient without its
    own prior is the field in which a mean field of the supports is swept. Use it
    when nonzeros are neighbors, for which it needs far fewer samples than
    :class:`SBLRegressor`. It is in the spirit of [1]_. Read more in the
    :ref:`User Guide <sparse_bayesian_learning>`.

    Parameters
    ----------
    grid_shape : tuple of one or two int, default=None
        The grid, in C order. None means a chain.
    connectivity : {4, 8}, default=4
        Neighbors of a cell of a two-dimensional grid.
    noise_variance : float, default=None
        Variance of the noise, in units of y squared, per complex entry if y is
        complex. None learns it; then it tends to be too small.
    e_step : {"auto", "exact", "inverse-free", "vb"}, default="auto"
        ``"exact"``: Cholesky factor. ``"inverse-free"``: conjugate gradients and one
        scalar equation, for columns that look independent. ``"vb"``: fully
        factorized, for study only: supports and precisions lock each other.
        ``"auto"``: inverse-free for sparse X, operators and
        ``n_samples^2 * n_features > 2e9``, exact otherwise.
    learn_mrf : bool, default=False
        Learn alpha and beta by pseudo-likelihood, with a ridge to their start.
    stationary : bool, default=False
        Learn one alpha and one beta instead of one for each cell and pair.
    beta : float or array-like of shape (n_edges,), default=None
        Coupling of neighbors. None means 0.5 on a grid (0.25 with 8 neighbors) and
        1 on a chain. Zero makes supports independent.
    alpha : float or array-like of shape (n_features,), default=None
        Field against presence. None means 0.8.
    edges : array-like of shape (n_edges, 2), default=None
        Pairs of neighbors, in place of those of the grid: for grids with holes and
        other graphs.
    sparsity_init : float, default=0.1
        Probability of presence at the start, at least 1e-5.
    slab_variance : float, default=None
        Variance V of the present coefficients. None learns it.
    max_iter : int, default=None
        Largest number of iterations. None means 100, and 400 for vb.
    tol : float, default=1e-4
        Stop when the coefficients change by less than this, relative to their norm and
        divided by `damping`.
    damping : float, default=0.7
        Weight of the new probabilities in each iteration.
    allow_complex : bool, default=True
        Accept complex data.
    atom : callable, default=None
        ``atom(theta)`` returns the columns at an array of positions, shape
        (n_samples, len(theta)). With it, the columns of present coefficients move;
        X holds those at `grid`. Exact E-step only.
    datom : callable, default=None
        Their derivatives, of the same shape. Needed with `atom`.
    grid : array-like of shape (n_features,), default=None
        Starting positions. Needed with `atom`.
    refine_every : int, default=5
        Iterations between moves. A position moves by at most half the grid spacing.
    random_state : int, RandomState instance or None, default=None
        Draws the probes of the inverse-free and vb steps.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Posterior mean.
    intercept_ : float
        Always 0.0: center X and y yourself if an intercept is wanted.
    coef_var_ : ndarray of shape (n_features,)
        Posterior variances.
    support_ : ndarray of shape (n_features,)
        Whether the probability of presence exceeds one half.
    support_proba_ : ndarray of shape (n_features,)
        Probability of presence.
    slab_variance_ : float
        Variance of the present coefficients.
    noise_variance_ : float
        Noise variance, given or learned.
    alpha_ : ndarray of shape (n_features,)
        Field against presence.
    beta_ : ndarray of shape (n_edges,)
        Couplings.
    edges_ : ndarray of shape (n_edges, 2)
        Pairs of neighbors.
    grid_ : ndarray of shape (n_features,) or None
        Refined positions.
    dof_ : float
        Number of well determined coefficients.
    certificate_ : Certificate
        Last relative change of the coefficients, over `damping`.
    n_iter_ : int
        Number of iterations.
    history_ : ndarray of shape (n_iter_,)
        Relative change of the coefficients at each iteration, over `damping`.
    converged_ : bool
        Whether `tol` was met.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    SBLRegressor : Independent coefficients.
    BlockKroneckerSBL : Kronecker-structured designs with blocks.

    Notes
    -----
    One exact iteration costs O(n_samples^2 * n_features). The fixed points are not
    those of a common objective, so that the certificate says only that the
    iteration rests. Where supports are scattered a coupling does harm; compare with
    ``beta=0``.

    References
    ----------
    .. [1] W. Xu, Y. Xiao, A. Liu, M. Lei, M. Zhao, "Joint scattering environment
       sensing and channel estimation based on non-stationary Markov random field",
       IEEE Transactions on Wireless Communications 23, 2024.

    Examples
    --------
    >>> from sparsestat.bayes import MRFSBL
    >>> from sparsestat.datasets import make_burst_sparse
    >>> data = make_burst_sparse(80, (16, 16), n_bursts=2, random_state=0)
    >>> model = MRFSBL((16, 16), noise_variance=data.noise_variance)
    >>> model = model.fit(data.X, data.y)
    >>> int((model.support_ != data.support).sum()) <= 3
    True
    """

    _parameter_constraints = {
        "grid_shape": ["array-like", None],
        "connectivity": [Interval(Integral, 4, 8, closed="both")],
        "noise_variance": [Interval(Real, 0, None, closed="neither"), None],
        "e_step": [StrOptions({"auto", "exact", "inverse-free", "vb"})],
        "learn_mrf": ["boolean"],
        "stationary": ["boolean"],
        "beta": [Interval(Real, 0, None, closed="left"), "array-like", None],
        "alpha": [Real, "array-like", None],
        "edges": ["array-like", None],
        "sparsity_init": [Interval(Real, 1e-5, 1, closed="left")],
        "slab_variance": [Interval(Real, 0, None, closed="neither"), None],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "tol": [Interval(Real, 0, None, closed="left")],
        "damping": [Interval(Real, 0, 1, closed="right")],
        "allow_complex": ["boolean"],
        "atom": [callable, None],
        "datom": [callable, None],
        "grid": ["array-like", None],
        "refine_every": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        grid_shape=None,
        *,
        connectivity=4,
        noise_variance=None,
        e_step="auto",
        learn_mrf=False,
        stationary=False,
        beta=None,
        alpha=None,
        edges=None,
        sparsity_init=0.1,
        slab_variance=None,
        max_iter=None,
        tol=1e-4,
        damping=0.7,
        allow_complex=True,
        atom=None,
        datom=None,
        grid=None,
        refine_every=5,
        random_state=None,
        verbose=0,
    ):
        self.grid_shape = grid_shape
        self.connectivity = connectivity
        self.noise_variance = noise_variance
        self.e_step = e_step
        self.learn_mrf = learn_mrf
        self.stationary = stationary
        self.beta = beta
        self.alpha = alpha
        self.edges = edges
        self.sparsity_init = sparsity_init
        self.slab_variance = slab_variance
        self.max_iter = max_iter
        self.tol = tol
        self.damping = damping
        self.allow_complex = allow_complex
        self.atom = atom
        self.datom = datom
        self.grid = grid
        self.refine_every = refine_every
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.e_step != "exact"
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, LinearOperator} of shape (n_samples, n_features)
            Training data, never modified. Columns are the cells of the grid.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets; several share one support.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        data = self._validate_fit(
            X,
            y,
            accept_sparse=self.e_step != "exact",
            reason=" by e_step='exact'. Use e_step='inverse-free' or 'auto'",
        )
        graph = self._field(data.X.shape[1])
        engine = self._engine(data.X)
        refinement = self._refinement(data.X, engine)
        rng = check_random_state(self.random_state)
        wide = np.result_type(data.X.dtype, data.Y.dtype, np.float64)
        # Products of products must stay in range; atoms come in units of their own.
        unit = 1.0
        if refinement is None and not is_operator(data.X):
            unit = power_of_two(largest_entry(data.X))
            data.X = data.X / unit
        if engine == "exact":
            H = np.array(data.X, dtype=wide, order="F")
            squares = square(H).sum(axis=0)
        else:
            H = Products(data.X)
            squares = H.squared_norms(rng)
        scale = float(np.sqrt(square(data.Y).mean()))
        if scale == 0 or not squares.any():
            found = self._nothing(data, scale)
        else:
            found = self._solve(
                H, data, graph, engine, squares, refinement, rng, scale, unit
            )
        self._store(found, data, graph, refinement, scale or 1.0, unit)
        return self

    def _solve(self, H, data, graph, engine, squares, refinement, rng, scale, unit):
        max_iter = self.max_iter or (400 if engine == "vb" else 100)
        given, slab = self.noise_variance, self.slab_variance
        with FitProgress(
            self, max_iter, X=data.X, y=data.Y, verbose=self.verbose
        ) as progress:
            return solve_mrf(
                H,
                data.Y / scale,
                graph,
                engine=engine,
                squares=squares,
                noise_variance=None if given is None else given / scale**2,
                sparsity=self.sparsity_init,
                slab_variance=None if slab is None else slab * (unit / scale) ** 2,
                learn_mrf=self.learn_mrf,
                stationary=self.stationary,
                is_complex=data.dtype.kind == "c",
                stop=Stop(
                    self.tol, max_iter, lambda change: progress.step(change=change)
                ),
                damping=self.damping,
                refinement=refinement,
                rng=rng,
            )

    def _engine(self, X):
        if self.e_step != "auto":
            return self.e_step
        m, n = X.shape
        large = float(m) * m * n > 2e9
        return (
            "inverse-free" if large or sparse.issparse(X) or is_operator(X) else "exact"
        )

    def _field(self, n):
        """Return the Markov random field on the cells of the grid."""
        shape = (n,) if self.grid_shape is None else tuple(np.ravel(self.grid_shape))
        if len(shape) > 2 or np.prod(shape) != n:
            raise ValueError(
                f"grid_shape={self.grid_shape} has {np.prod(shape)} cells in "
                f"{len(shape)} dimensions, but X has {n} features. Pass one or two "
                f"sizes whose product is {n}."
            )
        if self.connectivity not in (4, 8):
            raise ValueError(f"connectivity must be 4 or 8, got {self.connectivity}.")
        if self.edges is None:
            pairs, order = grid_edges(shape, self.connectivity)
        else:
            pairs = np.array(self.edges)
            if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
                raise ValueError(
                    "edges must be integers of shape (n_edges, 2), got shape "
                    f"{pairs.shape} and dtype {pairs.dtype}."
                )
            if len(pairs) and (pairs.min() < 0 or pairs.max() >= n):
                raise ValueError(f"edges must name cells in 0..{n - 1}.")
            pairs, order = pairs.astype(np.int64), np.arange(n)
        beta = self.beta
        if beta is None:
            beta = 1.0 if len(shape) == 1 else 2.0 / self.connectivity
        alpha = 0.8 if self.alpha is None else self.alpha
        for name, value, size in (("alpha", alpha, n), ("beta", beta, len(pairs))):
            value = np.asarray(value, dtype=float)
            if value.ndim and value.shape != (size,):
                raise ValueError(f"{name} has shape {value.shape}, expected ({size},).")
            if not np.isfinite(value).all() or (name == "beta" and np.any(value < 0)):
                raise ValueError(f"{name} must be finite, and beta non-negative.")
        return Field(n, pairs, order, alpha, beta)

    def _refinement(self, X, engine):
        if self.atom is None:
            return None
        if self.datom is None or self.grid is None:
            raise ValueError("atom needs datom and grid as well.")
        if engine != "exact":
            raise ValueError("atom needs e_step='exact' and dense X.")
        grid = np.asarray(self.grid, dtype=float)
        if grid.shape != (X.shape[1],) or not np.isfinite(grid).all():
            raise ValueError(
                f"grid must hold {X.shape[1]} finite positions, one a column; got "
                f"shape {grid.shape}."
            )
        return Refinement(self.atom, self.datom, grid, self.refine_every)

    def _nothing(self, data, scale):
        n = data.X.shape[1]
        given = self.noise_variance
        s2 = float(scale > 0) if given is None else given / (scale or 1.0) ** 2
        return MRFResult(
            mean=np.zeros((n, data.Y.shape[1]), dtype=data.Y.dtype),
            variances=np.zeros(n),
            probabilities=np.zeros(n),
            noise_variance=s2,
            slab_variance=0.0,
            dof=0.0,
            change=0.0,
            converged=True,
            n_iter=1,
        )

    def _store(self, found, data, graph, refinement, scale, unit):
        factor = scale / unit
        coef = np.ascontiguousarray((factor * found.mean).T)
        self._store_linear(coef, data)
        zeros = np.zeros(coef.shape[1])
        self._record = Standardization(zeros, zeros, zeros)
        self.coef_var_ = factor**2 * found.variances
        self.support_proba_ = found.probabilities
        self.support_ = found.probabilities > 0.5
        self.slab_variance_ = float(factor**2 * found.slab_variance)
        self.noise_variance_ = float(scale**2 * found.noise_variance)
        self.alpha_, self.beta_, self.edges_ = graph.alpha, graph.beta, graph.pairs
        self.grid_ = None if refinement is None else refinement.grid
        self.dof_ = found.dof
        self._report_change(found)
        learned = self.noise_variance is None
        noise = found.noise_variance
        warn_if_collapsed("MRFSBL", data.total, found.dof, learned, noise=noise)

    def predict(self, X, return_std=False):
        """Predict, with standard deviations if wanted.

        Parameters
        ----------
        X : {array-like, sparse matrix, LinearOperator} of shape (n_samples, n_features)
            Samples. After a refinement, columns at `grid_`.
        return_std : bool, default=False
            Return the predictive standard deviation too, without the posterior
            correlations of the coefficients. Needs X as an array or sparse matrix.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_targets)
            ``X @ coef_.T``.
        y_std : ndarray, like y_pred
            Of an observation, noise included. Only if ``return_std=True``.
        """
        return self._predict_factorized(X, return_std)
