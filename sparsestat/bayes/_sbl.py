"""Sparse Bayesian learning (automatic relevance determination) as a regressor."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import MultiOutputMixin
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.arithmetic import Standardization, standardize
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import (
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat._utils.samples import fold_rows
from sparsestat.bayes._basis import KERNEL_CONSTRAINTS, KernelBasis
from sparsestat.bayes._cofem import Products, maximize_evidence_cofem
from sparsestat.bayes._data import (
    is_operator,
    square,
)
from sparsestat.bayes._evidence import EvidenceResult, maximize_evidence
from sparsestat.bayes._fast import maximize_evidence_fast
from sparsestat.bayes._history import EvidenceHistoryMixin
from sparsestat.bayes._linear import BayesianLinearMixin, warn_if_collapsed
from sparsestat.bayes._noise import choose_noise
from sparsestat.bayes._records import STARTING_VARIANCE, Noise, Stop
from sparsestat.exceptions import ConvergenceWarning

__all__ = ["SBLRegressor"]

_DEFAULT_PRUNE = {"em": 1e-6, "mackay": 1e-8, "mm": 1e-8, "cofem": 1e-6}
_MEASURES = {
    "em": "the change of gamma_ by one more update",
    "mackay": "the change of gamma_ by one more update",
    "mm": "the change of gamma_ by one more update",
    "fast": "the largest gain in log evidence by moving one variance",
    "cofem": "the last change of coef_, or a tenth of that of gamma_,",
}
_SCALES = {
    "em": "relative to the norm of gamma_ in units where columns have mean square 1",
    "fast": "in nats of one target (real data: twice), or relative for the noise",
    "cofem": "relative to the norms",
}


class SBLRegressor(
    EvidenceHistoryMixin,
    CallbackSupportMixin,
    MultiOutputMixin,
    BayesianLinearMixin,
    SparsestatEstimator,
):
    r"""Sparse Bayesian learning: one variance for each coefficient, most go to zero.

    The model is :math:`y = X w + b + e` with :math:`w_n \sim N(0, \gamma_n)` and
    :math:`e \sim N(0, \sigma^2)`. The variances `gamma_`, and the noise variance
    unless it is given, minimize

    .. math:: \log |\Sigma_y| + \tfrac1L \sum_l y_l^H \Sigma_y^{-1} y_l,
        \qquad \Sigma_y = \sigma^2 I + X \,\mathrm{diag}(\gamma)\, X^H ,

    which is minus the log evidence, twice it for real data, up to a constant; the
    coefficients are the posterior mean. Several targets share one set of variances.
    Use it for sparse recovery without a penalty to tune, and for predictive
    standard deviations; when features outnumber samples, pass `noise_variance` if
    it is known, or ``"cv"``. With `kernel`, columns are the kernel at the rows of X,
    and the model is the relevance vector machine. It does what
    :class:`sklearn.linear_model.ARDRegression` does, independently of the units of
    the data. Read more in the
    :ref:`User Guide <sparse_bayesian_learning>`.

    Parameters
    ----------
    method : {"mm", "em", "mackay", "fast", "cofem", "auto"}, default="mm"
        ``"mm"``: convex bounding, the cost never increases. ``"em"``: expectation
        maximization, likewise but slower. ``"mackay"``: fixed-point iteration,
        without that guarantee. ``"fast"``: one column at a time from the empty
        model, each action lowers the cost. ``"cofem"``: expectation maximization
        with conjugate gradients and random probes, for sparse X and operators.
        ``"auto"``: cofem for those, fast where one iteration of mm would take more
        than 2e10 operations, mm otherwise.
    noise_variance : float or "cv", default=None
        Variance of the noise, in units of y squared, per complex entry if y is
        complex. None learns it; with more features than samples the likelihood is
        often highest at none at all. ``"cv"`` takes the share of the variance of y
        that gives held-out rows the highest density: some fifty fits, and not for a
        LinearOperator.
    kernel : str or callable, default=None
        None is the linear model. Otherwise a name that
        :func:`sklearn.metrics.pairwise.pairwise_kernels` knows ("rbf", "laplacian",
        "poly", "sigmoid", "cosine", "linear", "chi2", "additive_chi2"), or a function
        of two matrices, such as those of :mod:`sklearn.gaussian_process.kernels`.
    kernel_params : dict, default=None
        Parameters of the kernel. Where ``gamma`` is wanted and missing, it is one over
        n_features times the variance of the entries of X about their column means.
    cv : int, splitter or iterable, default=None
        Folds of ``noise_variance="cv"``; None means 5.
    n_jobs : int, default=None
        Number of workers of ``noise_variance="cv"``.
    gamma_init : float, default=1.0
        Starting variances, from 1e-3 to 1e8: 1 spreads the variance of y over all
        columns.
    fit_intercept : bool, default=True
        Center X and y; the intercept is not penalized.
    max_iter : int, default=500
        Largest number of iterations (for fast: of batches of actions).
    tol : float, default=1e-4
        Stop when one more update would change the variances, and the noise
        variance if it is learned, by less than this, relative to their norm. For
        fast, times 0.01: the largest possible gain of one action, in nats, or of
        twice the log evidence for real data. For cofem, whose variances are
        estimates: relative change of the coefficients, and a tenth of that of the
        variances.
    prune_tol : float, default=None
        Drop columns whose variance, in the scaled units, is below this times the
        largest. It acts on variances: 1e-2 drops every coefficient of less than a
        tenth of the largest. None means 1e-6 for em and cofem, 1e-8 for mm and
        mackay.
    noise_floor : float, default=1e-10
        Smallest learned noise variance, relative to the mean square of y.
    accelerate : bool, default=True
        Extrapolate the updates of mm and em (SQUAREM); a step is taken back when the
        cost rises.
    n_probes : int, default=10
        Random probes for each iteration of cofem.
    cg_tol : float, default=1e-4
        Relative residual at which conjugate gradients stop; a tenth of it for the
        coefficients.
    cg_max_iter : int, default=400
        Largest number of conjugate gradient steps in an iteration.
    compute_score : object, default="deprecated"
        Has no effect, and goes in 0.4: `history_` is always kept.
    allow_complex : bool, default=False
        Accept complex X and y, taken as circularly symmetric.
    random_state : int, RandomState instance or None, default=None
        Draws the probes of cofem.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Posterior mean. With a kernel, one for each row of X instead of each column.
    intercept_ : float or ndarray of shape (n_targets,)
        Intercept, 0.0 without one.
    gamma_ : ndarray of shape (n_features,)
        Prior variances, zero where a column was dropped. With a kernel, of rows.
    relevance_vectors_ : ndarray of shape (n_active, n_features)
        With a kernel, the rows of X that are in the model, ``X[active_]``.
    noise_variances_ : ndarray of shape (n_levels,)
        With ``noise_variance="cv"``, what was tried.
    cv_scores_ : ndarray of shape (n_levels, n_folds)
        Mean log densities of held-out targets, likewise.
    noise_variance_ : float
        Noise variance, given or learned.
    active_ : ndarray of shape (n_active,)
        Columns in the model.
    n_active_ : int
        Their number.
    sigma_ : ndarray of shape (n_active, n_active)
        Posterior covariance of the active coefficients. Not for cofem.
    coef_var_ : ndarray of shape (n_features,)
        Estimated posterior variances of the coefficients. For cofem only.
    dof_ : float
        Number of well determined coefficients.
    certificate_ : Certificate
        How far the variances are from a stationary point. Of cofem not satisfied
        where conjugate gradients stopped early.
    history_ : ndarray
        At each iteration the log evidence of one target, the average over targets. Of
        cofem, which has none, the change that `tol` bounds.
    n_iter_ : int
        Number of iterations.
    converged_ : bool
        Whether `tol` was met.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Warns
    -----
    ConvergenceWarning
        When `tol` was not met, or conjugate gradients stopped early.
    NoiseCollapseWarning
        When coefficients took more than 80 % of the observations that the noise was
        learned from, or more than half of them and the noise is below a thousandth of
        the mean square of y; and when there is a single observation.

    See Also
    --------
    KroneckerSBL : For Kronecker-structured designs, at the cost of the factors.
    InverseFreeSBL : Two products with X an iteration, nothing else.
    sklearn.linear_model.ARDRegression : MacKay's updates, real dense data.

    Notes
    -----
    One iteration of em, mm and mackay costs O(m^2 k) with k columns in the model and
    m the smaller of n_samples and k; memory is O(n_samples * n_features). One action
    of fast costs O(n_features * k). cofem needs about 2 products with X and its
    adjoint, of ``n_probes + n_targets`` columns, for each conjugate gradient step,
    and O((n_samples + n_features) * n_probes) memory. The likelihood of the noise is
    flat, or highest at zero, when features outnumber samples: a learned noise
    variance may then collapse. One observation says nothing of noise: its square is
    taken.

    References
    ----------
    .. [1] M. Tipping, "Sparse Bayesian learning and the relevance vector machine",
       JMLR 1, 2001.
    .. [2] D. Wipf, S. Nagarajan, "A new view of automatic relevance determination",
       NIPS, 2007.
    .. [3] M. Tipping, A. Faul, "Fast marginal likelihood maximisation for sparse
       Bayesian models", AISTATS, 2003.
    .. [4] A. Lin, A. Song, B. Bilgic, D. Ba, "Covariance-free sparse Bayesian
       learning", IEEE Transactions on Signal Processing 70, 2022.

    Examples
    --------
    >>> from sparsestat.bayes import SBLRegressor
    >>> from sparsestat.datasets import make_sparse_regression
    >>> data = make_sparse_regression(100, 50, n_nonzero=4, random_state=0)
    >>> model = SBLRegressor().fit(data.X, data.y)
    >>> bool(set(data.support) <= set(model.active_))
    True
    >>> model.certificate_.satisfied
    True
    """

    _parameter_constraints = {
        "method": [StrOptions({"em", "mackay", "mm", "fast", "cofem", "auto"})],
        "noise_variance": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"cv"}),
            None,
        ],
        **KERNEL_CONSTRAINTS,
        "cv": ["cv_object"],
        "n_jobs": [Integral, None],
        "gamma_init": STARTING_VARIANCE,
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "prune_tol": [Interval(Real, 0, 1, closed="left"), None],
        "noise_floor": [Interval(Real, 0, 1, closed="right")],
        "accelerate": ["boolean"],
        "n_probes": [Interval(Integral, 1, None, closed="left")],
        "cg_tol": [Interval(Real, 0, None, closed="neither")],
        "cg_max_iter": [Interval(Integral, 1, None, closed="left")],
        "compute_score": ["boolean", StrOptions({"deprecated"})],
        "allow_complex": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        method="mm",
        *,
        noise_variance=None,
        kernel=None,
        kernel_params=None,
        cv=None,
        n_jobs=None,
        gamma_init=1.0,
        fit_intercept=True,
        max_iter=500,
        tol=1e-4,
        prune_tol=None,
        noise_floor=1e-10,
        accelerate=True,
        n_probes=10,
        cg_tol=1e-4,
        cg_max_iter=400,
        compute_score="deprecated",
        allow_complex=False,
        random_state=None,
        verbose=0,
    ):
        self.method = method
        self.noise_variance = noise_variance
        self.kernel = kernel
        self.kernel_params = kernel_params
        self.cv = cv
        self.n_jobs = n_jobs
        self.gamma_init = gamma_init
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.prune_tol = prune_tol
        self.noise_floor = noise_floor
        self.accelerate = accelerate
        self.n_probes = n_probes
        self.cg_tol = cg_tol
        self.cg_max_iter = cg_max_iter
        self.compute_score = compute_score
        self.allow_complex = allow_complex
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.method in ("auto", "cofem")
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, LinearOperator} of shape (n_samples, n_features)
            Training data, never modified. Sparse matrices and operators need the
            method cofem or auto.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights: the noise variance of a row is divided by its
            weight, and an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        self._warn_of_compute_score()
        data = self._validate_fit(
            X,
            y,
            sample_weight,
            accept_sparse=self.method in ("auto", "cofem"),
            reason=f" by method={self.method!r}. Use method='cofem' or 'auto'",
        )
        # Attributes of an earlier fit of another kind must not survive.
        for name in ("coef_var_", "_evidence_units", "_root", "_basis", "cv_scores_",
                     "relevance_vectors_", "noise_variances_"):  # fmt: skip
            if hasattr(self, name):
                delattr(self, name)
        noise = self._given_noise(data)
        rows = data.X
        if self.kernel is not None:
            self._basis = KernelBasis(self.kernel, self.kernel_params, rows)
            data = replace(data, X=self._basis(rows, rows))
        method = self._choose_method(data)
        if method == "cofem":
            self._fit_cofem(data, noise)
        else:
            self._fit_dense(data, method, noise)
        if self.kernel is not None:
            self._store_relevance(rows, len(y), sample_weight)
        return self

    def _given_noise(self, data):
        """Return the noise variance that is given or chosen, or None to learn it."""
        if self.noise_variance != "cv":
            return self.noise_variance
        _, Y = self._centered_targets(data)
        variance = float(square(Y).sum() / (data.total * Y.shape[1]))
        if variance == 0:
            return None
        params = self.get_params(deep=False)

        def make(level):
            return type(self)(**{**params, "noise_variance": level, "verbose": 0})

        splitter = check_cv(5 if self.cv is None else self.cv)
        n = data.Y.shape[0]
        folds = [
            tuple(fold_rows(rows, n, k) for rows in fold)
            for k, fold in enumerate(splitter.split(np.empty((n, 1))))
        ]
        best, self.noise_variances_, self.cv_scores_ = choose_noise(
            make, data, folds, variance, self.n_jobs
        )
        return best

    def _store_relevance(self, rows, n_rows, sample_weight):
        """Keep the rows of the model, and count them as they were given."""
        self.relevance_vectors_ = rows[self.active_]
        if rows.shape[0] == n_rows:
            return
        kept = np.flatnonzero(np.broadcast_to(sample_weight, n_rows))
        coef = np.zeros((*self.coef_.shape[:-1], n_rows), self.coef_.dtype)
        gamma = np.zeros(n_rows)
        coef[..., kept], gamma[kept] = self.coef_, self.gamma_
        if hasattr(self, "coef_var_"):
            full = np.zeros(n_rows)
            full[kept], self.coef_var_ = self.coef_var_, full
        self.coef_, self.gamma_, self.active_ = coef, gamma, kept[self.active_]

    def _choose_method(self, data):
        if self.method != "auto":
            return self.method
        if sparse.issparse(data.X) or is_operator(data.X):
            return "cofem"
        m, n = data.X.shape
        return "fast" if n * float(min(m, n)) ** 2 > 2e10 else "mm"

    def _prune(self, method):
        if self.prune_tol is not None:
            return self.prune_tol
        return _DEFAULT_PRUNE.get(method, 0.0)

    def _fit_dense(self, data, method, noise):
        X, w = data.X, data.weights
        y_mean, Y = self._centered_targets(data)
        wide = np.result_type(X.dtype, Y.dtype)
        zeros = np.zeros(X.shape[1], dtype=wide)
        record = Standardization(zeros, zeros, zeros)
        H = np.array(X, dtype=wide, order="F")
        if self.fit_intercept:
            record = standardize(X, w)
            H -= record.offset
            H -= record.rest
        if w is not None:
            H *= np.sqrt(w)[:, None]
        Y = np.asfortranarray(Y, dtype=wide)
        norms = np.sqrt(square(H).sum(axis=0) / data.total)
        used = np.flatnonzero(norms)
        scale = np.sqrt(square(Y).sum() / (data.total * Y.shape[1]))
        if scale == 0 or len(used) == 0:
            found = _nothing(H, Y, noise, _alone(data, scale))
            scale = 1.0
        else:
            H = H if len(used) == H.shape[1] else H[:, used]
            H /= norms[used]
            Y /= scale
            found = self._maximize(H, Y, method, scale, data, noise)
        self._store_dense(found, data, method, used, norms, scale, record, y_mean)
        self._finish(found, method, data, noise, found.noise_variance)

    def _maximize(self, H, Y, method, scale, data, noise):
        with FitProgress(
            self, self.max_iter, X=data.X, y=data.Y, verbose=self.verbose
        ) as progress:
            shared = {
                "noise": Noise.of(noise, self.noise_floor, scale),
                "stop": Stop(
                    1e-2 * self.tol if method == "fast" else self.tol,
                    self.max_iter,
                    lambda change: progress.step(change=change),
                ),
                "total": data.total,
            }
            if method == "fast":
                return maximize_evidence_fast(H, Y, **shared)
            return maximize_evidence(
                H,
                Y,
                method=method,
                gamma_init=self.gamma_init / H.shape[1],
                prune_tol=self._prune(method),
                accelerate=self.accelerate and method != "mackay",
                **shared,
            )

    def _store_dense(self, found, data, method, used, norms, scale, record, y_mean):
        n = data.X.shape[1]
        active = used[found.active]
        factor = scale / norms[active] if len(active) else np.zeros(0)
        coef = np.zeros((data.Y.shape[1], n), dtype=found.mean.dtype)
        coef[:, active] = (factor[:, None] * found.mean).T
        self._store_linear(coef, data, y_mean, record)
        self._mean_in = (record.offset + record.rest)[active]
        self.gamma_ = np.zeros(n)
        self.gamma_[active] = factor**2 * found.gamma[found.active]
        self.noise_variance_ = float(found.noise_variance * scale**2)
        self.active_, self.n_active_ = active, len(active)
        self._root = factor[:, None] * found.root
        self.dof_ = found.dof
        is_complex = np.iscomplexobj(found.root) or data.Y.dtype.kind == "c"
        self._keep_evidence(found.scores, data.total, scale, is_complex)

    def _finish(self, found, method, data, noise, share):
        self.n_iter_, self.converged_ = found.n_iter, bool(found.converged)
        tol, rounding = self.tol, 0.0
        if method == "fast":
            tol, rounding = 1e-2 * tol, found.rounding
        self.certificate_ = Certificate(
            "monotone_bound" if method == "cofem" else "kkt",
            float(found.change),
            float(tol),
            self.converged_,
            _SCALES.get(method, _SCALES["em"]),
            {
                "dof": found.dof,
                "noise_variance": self.noise_variance_,
                "rounding": rounding,
            },
        )
        if found.change + rounding > tol:  # of unsolved equations _fit_cofem has warned
            warn_if_unsatisfied(
                self.certificate_,
                f"SBLRegressor did not converge: {_MEASURES[method]}",
                "Increase max_iter, or tol.",
                precision_remedy="Pass a larger noise_variance: this one is below "
                "the last digits of y.",
            )
        alone = data.total <= 1.0
        warn_if_collapsed(
            "SBLRegressor",
            data.total,
            1.0 if alone else found.dof,
            noise is None and (alone or self.dof_ > 0),
            noise=1.0 if alone else share,
            remedy="Pass noise_variance as a number, or as 'cv'.",
        )

    def _fit_cofem(self, data, noise):
        y_mean, Y = self._centered_targets(data)
        rng = check_random_state(self.random_state)
        H = Products(data.X, data.weights, center=self.fit_intercept)
        n = H.shape[1]
        norms = np.sqrt(H.squared_norms(rng) / data.total)
        scale = np.sqrt(square(Y).sum() / (data.total * Y.shape[1]))
        safe = scale if scale > 0 else 1.0
        with FitProgress(
            self, self.max_iter, X=data.X, y=data.Y, verbose=self.verbose
        ) as progress:
            found = maximize_evidence_cofem(
                H,
                Y / safe,
                scale=norms,
                gamma_init=self.gamma_init / n if scale > 0 else 0.0,
                noise=Noise.of(noise, self.noise_floor, safe),
                stop=Stop(
                    self.tol,
                    self.max_iter,
                    lambda change: progress.step(change=change),
                ),
                total=data.total,
                prune_tol=self._prune("cofem"),
                n_probes=self.n_probes,
                cg_tol=self.cg_tol,
                cg_max_iter=self.cg_max_iter,
                rng=rng,
            )
        self._store_linear(safe * found.mean.T, data, y_mean, H.record)
        self.gamma_ = safe**2 * found.gamma
        self.noise_variance_ = float(safe**2 * found.noise_variance)
        if scale == 0 and noise is None:
            self.noise_variance_ = _alone(data, 0.0) ** 2
        self.active_ = np.flatnonzero(self.gamma_)
        self.n_active_ = len(self.active_)
        self.coef_var_ = safe**2 * found.variances
        self.history_ = np.array(found.history)
        center = H.record.offset + H.record.rest + H.record.mean
        self._mean_in = center[self.active_]
        self.dof_ = found.dof
        if found.cg_failed:
            found.converged = False
            warnings.warn(
                f"Conjugate gradients did not reach cg_tol={self.cg_tol} in "
                f"cg_max_iter={self.cg_max_iter} steps. Increase one of them.",
                ConvergenceWarning,
                stacklevel=users_stacklevel(),
            )
        self._finish(found, "cofem", data, noise, found.noise_variance)

    @property
    def sigma_(self):
        """Posterior covariance of the active coefficients."""
        check_is_fitted(self)
        if not hasattr(self, "_root"):
            raise AttributeError(
                "method='cofem' has no posterior covariance, see coef_var_."
            )
        return self._root @ self._root.conj().T

    def predict(self, X, return_std=False):
        """Predict, with standard deviations if wanted.

        Parameters
        ----------
        X : {array-like, sparse matrix, LinearOperator} of shape (n_samples, n_features)
            Samples.
        return_std : bool, default=False
            Return the predictive standard deviation too. After cofem it leaves out
            the posterior correlations of the coefficients, and needs X as an array
            or a sparse matrix.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,) or (n_samples, n_targets)
            ``X @ coef_.T + intercept_``.
        y_std : ndarray, like y_pred
            Of an observation, noise included. Only if ``return_std=True``. The
            uncertainty of the intercept is not in it.
        """
        check_is_fitted(self)
        X = self._validate_predict(X)
        if self.kernel is not None:
            part = self._basis(X, self.relevance_vectors_)
            mean = part @ self.coef_[..., self.active_].T + self.intercept_
            mean = mean.astype(np.result_type(X.dtype, self.coef_.dtype), copy=False)
        else:
            mean = self._mean(X)
        if not return_std:
            return mean
        if is_operator(X):
            raise TypeError(
                "return_std needs the entries of X; pass an array or a sparse matrix "
                "instead of a LinearOperator."
            )
        if self.kernel is None:
            part = X[:, self.active_]
        part = part.toarray() if sparse.issparse(part) else part
        part = part - self._mean_in
        if hasattr(self, "_root"):
            variance = square(part @ self._root).sum(axis=1)
        else:
            variance = square(part) @ self.coef_var_[self.active_]
        return mean, self._std(variance, mean)


def _alone(data, scale):
    """Return a scale of the noise where y is constant: of one observation, its own."""
    if scale == 0 and data.total <= 1.0:
        size = float(np.sqrt(square(data.Y).mean()))
        return size if size > 0 else 1.0
    return scale


def _nothing(H, Y, noise_variance, scale):
    """Return the empty model: y is constant, or every column is."""
    if noise_variance is None:
        noise_variance = scale**2
    return EvidenceResult(
        gamma=np.zeros(H.shape[1]),
        noise_variance=noise_variance,
        active=np.zeros(0, dtype=int),
        mean=np.zeros((0, Y.shape[1]), dtype=H.dtype),
        root=np.zeros((0, 0), dtype=H.dtype),
        dof=0.0,
        change=0.0,
        converged=True,
        n_iter=1,
    )
