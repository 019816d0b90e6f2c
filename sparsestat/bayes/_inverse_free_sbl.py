"""Inverse-free sparse Bayesian learning as a regressor."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real
from types import SimpleNamespace

import numpy as np
from scipy import sparse
from sklearn.base import MultiOutputMixin
from sklearn.utils import check_random_state

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat.bayes._cofem import (
    Products,
    conjugate_gradients,
    posterior_variances,
)
from sparsestat.bayes._data import is_operator, square
from sparsestat.bayes._inverse_free import curvature_bound, solve_inverse_free
from sparsestat.bayes._linear import BayesianLinearMixin, warn_if_collapsed
from sparsestat.bayes._records import Noise, Stop

__all__ = ["InverseFreeSBL"]

_N_PROBES = 10
_START_STEPS = 20
_HOLD_NOISE = 30  # iterations at a tenth of the mean square of y
_NOISE_FLOOR = 1e-10


def _ridge_start(S, Y, squares, gamma, s2):
    """Return coefficients after a few CG steps, for equal prior variances."""
    root = np.sqrt(gamma)

    def apply(Z):
        return Z + gamma * S.adjoint(S.forward(Z)) / s2

    B = np.asfortranarray(root * S.adjoint(Y) / s2)
    diagonal = 1.0 + gamma * squares / s2
    X = np.zeros_like(B)
    return root * conjugate_gradients(apply, B, X, diagonal, 1e-2, _START_STEPS)[0]


class _Scaled:
    """Products with columns divided by their norms."""

    def __init__(self, H, norms):
        self.H, self.shape, self.dtype = H, H.shape, H.dtype
        self.inverse = np.where(norms > 0, 1.0 / np.where(norms > 0, norms, 1.0), 0.0)

    def forward(self, Z):
        return self.H.forward(self.inverse[:, None] * Z)

    def adjoint(self, R):
        return self.inverse[:, None] * self.H.adjoint(R)


class InverseFreeSBL(
    CallbackSupportMixin, MultiOutputMixin, BayesianLinearMixin, SparsestatEstimator
):
    r"""Sparse Bayesian learning by two products with X an iteration.

    The hierarchy is :math:`y = X w + b + e`, :math:`w_n \sim N(0, 1/\rho_n)`,
    :math:`\rho_n \sim \mathrm{Gamma}(a, b)`, :math:`e \sim N(0, 1/\kappa)` and
    :math:`\kappa \sim \mathrm{Gamma}(c, d)`. The quadratic data fit is bounded by a
    separable one, which makes the variational posterior a product over
    coefficients: no matrix is formed, factored or inverted. Where features are
    correlated the bound is loose, and coefficients are shrunk more than by
    :class:`SBLRegressor`: compare `dof_` with `dof_posterior` in the details of
    `certificate_`. It starts at 20 conjugate gradient steps towards a ridge
    regression. Use it for large, sparse or implicit X when many cheap iterations are
    welcome; use :class:`SBLRegressor` when X is of moderate size, as it needs far
    fewer and gives exact posterior variances. Read more in the
    :ref:`User Guide <sparse_bayesian_learning>`.

    Parameters
    ----------
    noise_variance : float, default=None
        Variance of the noise, in units of y squared, per complex entry if y is
        complex. None learns it.
    a, b : float, default=1e-6
        Shape and rate of the prior of the precisions, in units where y and the
        columns have mean square one.
    c, d : float, default=1e-6
        Shape and rate of the prior of the noise precision, likewise.
    max_iter : int, default=1000
        Largest number of iterations.
    tol : float, default=1e-4
        Stop when the coefficients change by less than this, relative to their norm.
    accelerate : bool, default=True
        Momentum with adaptive restart.
    majorizer : {"lmax", "diagonal"}, default="lmax"
        Curvature of the bound: an estimate of the largest eigenvalue of
        :math:`X^H X`, raised when it turns out too small, or absolute row sums, one
        for each column (not for a LinearOperator).
    fit_intercept : bool, default=True
        Center X and y, sparse X implicitly but for full columns; the intercept is not
        penalized.
    allow_complex : bool, default=False
        Accept complex X and y, taken as circularly symmetric.
    random_state : int, RandomState instance or None, default=None
        Draws the start of the power iteration and the probes of `coef_var_`.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Posterior mean.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercept, 0.0 without one.
    gamma_ : ndarray of shape (n_features,)
        Prior variances, the inverse means of the precisions.
    coef_var_ : ndarray of shape (n_features,)
        Posterior variances for these prior variances, estimated with random probes;
        those of the factorized posterior would be far too small.
    noise_variance_ : float
        Noise variance, given or learned.
    majorizer_ : ndarray of shape (n_features,)
        The curvature that was used, in units of X.
    dof_ : float
        Number of well determined coefficients, as the bound sees it.
    certificate_ : Certificate
        Last relative change of the coefficients. Its details have `dof_posterior`,
        the number of well determined coefficients for the same variances without the
        bound, by conjugate gradients and probes.
    n_iter_ : int
        Number of iterations.
    history_ : ndarray of shape (n_iter_,)
        Relative change of the coefficients at each iteration.
    converged_ : bool
        Whether `tol` was met.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Warns
    -----
    ConvergenceWarning
        When `tol` was not met.
    NoiseCollapseWarning
        When the noise was learned from too few observations.

    See Also
    --------
    SBLRegressor : Cholesky factors or conjugate gradients, fewer iterations.

    Notes
    -----
    One iteration costs a product with X and one with its adjoint; memory is
    O(n_samples + n_features), and a centered copy of dense X or of sparse X that has
    full columns, when there is an intercept. A LinearOperator shows no entries: its
    columns are centered inside the products, which costs as many digits as their
    means exceed their spreads. Several targets share the precisions.

    References
    ----------
    .. [1] H. Duan, L. Yang, J. Fang, H. Li, "Fast inverse-free sparse Bayesian
       learning via relaxed evidence lower bound maximization", IEEE Signal
       Processing Letters 24, 2017.

    Examples
    --------
    >>> from sparsestat.bayes import InverseFreeSBL
    >>> from sparsestat.datasets import make_sparse_regression
    >>> data = make_sparse_regression(100, 50, n_nonzero=4, random_state=0)
    >>> model = InverseFreeSBL(random_state=0).fit(data.X, data.y)
    >>> bool(model.score(data.X, data.y) > 0.9)
    True
    """

    _parameter_constraints = {
        "noise_variance": [Interval(Real, 0, None, closed="neither"), None],
        "a": [Interval(Real, 0, None, closed="left")],
        "b": [Interval(Real, 0, None, closed="left")],
        "c": [Interval(Real, 0, None, closed="left")],
        "d": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "accelerate": ["boolean"],
        "majorizer": [StrOptions({"lmax", "diagonal"})],
        "fit_intercept": ["boolean"],
        "allow_complex": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        noise_variance=None,
        *,
        a=1e-6,
        b=1e-6,
        c=1e-6,
        d=1e-6,
        max_iter=1000,
        tol=1e-4,
        accelerate=True,
        majorizer="lmax",
        fit_intercept=True,
        allow_complex=False,
        random_state=None,
        verbose=0,
    ):
        self.noise_variance = noise_variance
        self.a = a
        self.b = b
        self.c = c
        self.d = d
        self.max_iter = max_iter
        self.tol = tol
        self.accelerate = accelerate
        self.majorizer = majorizer
        self.fit_intercept = fit_intercept
        self.allow_complex = allow_complex
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, LinearOperator} of shape (n_samples, n_features)
            Training data, never modified.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        data = self._validate_fit(
            X,
            y,
            sample_weight,
            accept_sparse=True,
        )
        if self.majorizer == "diagonal" and is_operator(data.X):
            raise ValueError(
                "majorizer='diagonal' needs the entries of X, but X is a "
                "LinearOperator. Use majorizer='lmax'."
            )
        y_mean, Y = self._centered_targets(data)
        rng = check_random_state(self.random_state)
        H = Products(data.X, data.weights, center=self.fit_intercept)
        norms = np.sqrt(H.squared_norms(rng) / data.total)
        scale = float(np.sqrt(square(Y).sum() / (data.total * Y.shape[1])))
        if scale == 0 or not norms.any():
            self._store_nothing(data, y_mean, H, scale)
            return self
        S = _Scaled(H, norms)
        T = self._curvature(data, S, norms, rng)
        given = self.noise_variance
        noise = Noise.of(given, _NOISE_FLOOR, scale)
        squares = np.where(norms > 0, data.total, 0.0)
        start = _ridge_start(S, Y / scale, squares, 1.0 / H.shape[1], noise.first)
        is_complex = data.dtype.kind == "c"
        with FitProgress(
            self, self.max_iter, X=data.X, y=data.Y, verbose=self.verbose
        ) as progress:
            found = solve_inverse_free(
                S,
                Y / scale,
                majorizer=T,
                squares=squares,
                noise=noise,
                stop=Stop(
                    self.tol,
                    self.max_iter,
                    lambda change: progress.step(change=change),
                ),
                prior=(self.a, self.b, self.c, self.d),
                total=data.total,
                is_complex=is_complex,
                accelerate=self.accelerate,
                rho_init=float(H.shape[1]),
                start=start,
                hold_noise=_HOLD_NOISE,
            )
        s2 = 1.0 / found.noise_precision
        gamma = np.where(norms > 0, 1.0 / found.precision, 0.0)
        variances = posterior_variances(S, gamma, squares, s2, rng, _N_PROBES)
        used = gamma > 0
        by_probes = float((1.0 - variances[used] / gamma[used]).sum())
        factor = scale * S.inverse
        self.majorizer_ = found.majorizer * norms**2
        self._store(
            data,
            y_mean,
            H.record,
            coef=(factor[:, None] * found.mean).T,
            gamma=factor**2 * gamma,
            variances=factor**2 * variances,
            noise_variance=float(s2 * scale**2),
        )
        self.dof_ = found.dof
        self._report_change(found, dof_posterior=by_probes)
        warn_if_collapsed(
            "InverseFreeSBL", data.total, found.dof, given is None, noise=s2
        )
        return self

    def _curvature(self, data, S, norms, rng):
        """Return a diagonal T with T - H^H H positive semidefinite, for scaled H."""
        n = S.shape[1]
        if self.majorizer == "lmax":
            return np.full(n, curvature_bound(S, rng))
        # Of the centered X: what its stored entries add to that of a zero.
        center = np.abs(S.H.mean)
        magnitudes = abs(S.H.X)
        if sparse.issparse(magnitudes):
            magnitudes = S.H.X.astype(S.H.dtype)
            magnitudes.data = np.abs(magnitudes.data - S.H.mean[magnitudes.indices])
            magnitudes.data -= center[magnitudes.indices]
        rows = np.asarray(magnitudes @ S.inverse).ravel() + center @ S.inverse
        if data.weights is not None:
            rows = rows * data.weights
        columns = np.asarray(magnitudes.T @ rows).ravel() + center * rows.sum()
        return np.maximum(S.inverse * columns, np.finfo(float).tiny)

    def _store_nothing(self, data, y_mean, H, scale):
        n = H.shape[1]
        zeros = np.zeros(n)
        self.majorizer_, self.dof_ = zeros.copy(), 0.0
        given = self.noise_variance
        self._store(
            data,
            y_mean,
            H.record,
            coef=np.zeros((data.Y.shape[1], n), dtype=data.Y.dtype),
            gamma=zeros.copy(),
            variances=zeros.copy(),
            noise_variance=float(scale**2 if given is None else given),
        )
        nothing = {"change": 0.0, "converged": True, "n_iter": 1, "history": [0.0]}
        self._report_change(SimpleNamespace(**nothing))

    def _store(self, data, y_mean, record, *, coef, gamma, variances, noise_variance):
        self._store_linear(np.ascontiguousarray(coef), data, y_mean, record)
        self.gamma_, self.coef_var_ = gamma, variances
        self.noise_variance_ = noise_variance
        self._record = record

    def predict(self, X, return_std=False):
        """Predict, with standard deviations if wanted.

        Parameters
        ----------
        X : {array-like, sparse matrix, LinearOperator} of shape (n_samples, n_features)
            Samples.
        return_std : bool, default=False
            Return the predictive standard deviation too, without the posterior
            correlations of the coefficients. Needs X as an array or sparse matrix.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_targets)
            ``X @ coef_.T + intercept_``.
        y_std : ndarray, like y_pred
            Of an observation, noise included. Only if ``return_std=True``.
        """
        return self._predict_factorized(X, return_std)
