"""Sparse Bayesian learning (automatic relevance determination) as a classifier."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from sparsestat._utils.arithmetic import Standardization, standardize
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import (
    FLOATS,
    check_counts,
    effective_rows,
    given_weights,
)
from sparsestat._utils.validation import (
    LARGEST_ENTRY,
    check_magnitude,
    refuse_complex,
)
from sparsestat.bayes._basis import KERNEL_CONSTRAINTS, KernelBasis
from sparsestat.bayes._laplace import Likelihood, maximize_laplace_evidence
from sparsestat.bayes._records import STARTING_VARIANCE, Stop

__all__ = ["SBLClassifier"]


class SBLClassifier(CallbackSupportMixin, ClassifierMixin, SparsestatEstimator):
    r"""Sparse Bayesian classification: one variance for each column, most go to zero.

    The model is logistic for two classes and multinomial for more, with coefficients
    :math:`w_{nc} \sim N(0, \gamma_n)` that share the variance of their column over
    classes, and intercepts without a prior. The variances maximize Laplace's
    approximation of the evidence,

    .. math:: \log p(y \mid \hat w, \hat b)
        - \tfrac12 \sum_{nc} \hat w_{nc}^2 / \gamma_n
        - \tfrac12 \log |I + \Gamma^{1/2} G\, \Gamma^{1/2}| ,

    with the coefficients at the posterior mode and G the curvature of the likelihood
    there. Use it for a sparse classifier without a penalty to tune, whose
    probabilities account for the uncertainty of the coefficients. With `kernel`,
    columns are the kernel at the rows of X, and the model is the relevance vector
    machine. For large data, and for proofs of optimality, use
    :class:`sparsestat.linear_model.SparseLogisticRegressionCV`. Read more in the
    :ref:`User Guide <sbl_classifier>`.

    Parameters
    ----------
    method : {"mm", "em", "mackay"}, default="mm"
        Update of the variances, as for :class:`SBLRegressor`.
    kernel : str or callable, default=None
        None is the linear model. Otherwise a name that
        :func:`sklearn.metrics.pairwise.pairwise_kernels` knows, or a function of two
        matrices, such as those of :mod:`sklearn.gaussian_process.kernels`.
    kernel_params : dict, default=None
        Parameters of the kernel. Where ``gamma`` is wanted and missing, it is one over
        n_features times the variance of the entries of X about their column means.
    gamma_init : float, default=1.0
        Starting variance of the log odds, from 1e-3 to 1e8, spread over all columns.
    fit_intercept : bool, default=True
        Fit intercepts, which have no prior.
    max_iter : int, default=500
        Largest number of updates.
    tol : float, default=1e-3
        Stop when one more update would change the variances by less than this,
        relative to their norm.
    prune_tol : float, default=1e-6
        Drop columns whose variance, in units where columns have mean square one, is
        below this times the largest.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes that rows of positive weight have.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Posterior mode; those of several classes sum to zero. With a kernel, one for
        each row of X instead of each column.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercepts; those of several classes sum to zero.
    gamma_ : ndarray of shape (n_features,)
        Prior variances, zero where a column was dropped. With a kernel, of rows.
    active_ : ndarray of shape (n_active,)
        Columns in the model.
    n_active_ : int
        Their number.
    relevance_vectors_ : ndarray of shape (n_active, n_features)
        With a kernel, the rows of X that are in the model, ``X[active_]``.
    dof_ : float
        Number of well determined coefficients.
    history_ : ndarray of shape (n_iter_,)
        Approximate log evidence at each iteration.
    certificate_ : Certificate
        How far the variances are from a stationary point.
    n_iter_ : int
        Number of iterations.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Warns
    -----
    ConvergenceWarning
        When `tol` was not met.

    See Also
    --------
    SBLRegressor : The same for numbers.
    sparsestat.linear_model.SparseLogisticRegressionCV : Penalties, with proofs.
    sklearn.gaussian_process.GaussianProcessClassifier : Every row is in the model.

    Notes
    -----
    With k columns left and m the smaller of k and n_samples, an iteration takes a few
    Newton steps of O(n_samples (m C)^2 + (m C)^3) operations and O((m C)^2) memory,
    with C = 1 for two classes and the number of classes otherwise. Laplace's evidence
    is not concave, and moves of the variances neglect that the curvature moves with
    them, as is usual: `history_` may fall slightly. Sample weights are repetitions.
    Probabilities are those of the mode, with log odds divided by
    :math:`\sqrt{1 + \pi s^2 / 8}` for their posterior variance :math:`s^2`, the mean
    over classes where there are several [2]_, so that the order of classes is that of
    the mode.

    References
    ----------
    .. [1] M. Tipping, "Sparse Bayesian learning and the relevance vector machine",
       JMLR 1, 2001.
    .. [2] D. MacKay, "The evidence framework applied to classification networks",
       Neural Computation 4, 1992.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sparsestat.bayes import SBLClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = SBLClassifier().fit(X[::2], y[::2])
    >>> model.n_active_ < 15
    True
    >>> bool(model.score(X[1::2], y[1::2]) > 0.95)
    True
    """

    scores_ = OldAttribute("history_")

    _parameter_constraints = {
        "method": [StrOptions({"mm", "em", "mackay"})],
        **KERNEL_CONSTRAINTS,
        "gamma_init": STARTING_VARIANCE,
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "prune_tol": [Interval(Real, 0, 1, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        method="mm",
        *,
        kernel=None,
        kernel_params=None,
        gamma_init=1.0,
        fit_intercept=True,
        max_iter=500,
        tol=1e-3,
        prune_tol=1e-6,
        verbose=0,
    ):
        self.method = method
        self.kernel = kernel
        self.kernel_params = kernel_params
        self.gamma_init = gamma_init
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.prune_tol = prune_tol
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, never modified.
        y : array-like of shape (n_samples,)
            Classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        refuse_complex(X)
        X, y = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        weights = given_weights(sample_weight, X)
        n_rows = len(y)
        kept = np.arange(n_rows) if weights is None else np.flatnonzero(weights)
        total = check_counts(weights, n_rows, "SBLClassifier")
        X, y, weights = effective_rows(X, y, weights)
        check_magnitude(X, largest=LARGEST_ENTRY)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "A classifier needs samples (of positive weight) of at least 2 "
                f"classes, but y holds 1 class: {self.classes_[0]!r}."
            )
        for name in ("_basis", "relevance_vectors_"):
            if hasattr(self, name):
                delattr(self, name)
        rows = X
        if self.kernel is not None:
            self._basis = KernelBasis(self.kernel, self.kernel_params, rows)
            X = self._basis(rows, rows)
        n = X.shape[1]
        record = Standardization(*np.zeros((3, n)))
        if self.fit_intercept:
            record = standardize(X, weights)
        H = record.apply(X)
        w = np.ones(len(y)) if weights is None else weights
        norms = np.sqrt(w @ (H * H) / total)
        used = np.flatnonzero(norms)
        H = np.ascontiguousarray(H[:, used]) / norms[used]
        likelihood = Likelihood(codes, len(self.classes_), w)
        with FitProgress(
            self, self.max_iter, X=rows, y=y, verbose=self.verbose
        ) as progress:
            found = maximize_laplace_evidence(
                H,
                likelihood,
                method=self.method,
                gamma_init=self.gamma_init / max(len(used), 1),
                with_intercept=self.fit_intercept,
                stop=Stop(
                    self.tol,
                    self.max_iter,
                    lambda change: progress.step(change=change),
                ),
                prune_tol=self.prune_tol,
            )
        active = used[found.active]
        self._store(found, active, norms, record, likelihood, rows.dtype, n)
        if self.kernel is not None:
            self.relevance_vectors_ = rows[active]
            if len(kept) < n_rows:  # count rows as they were given
                coef, gamma = np.zeros((likelihood.width, n_rows)), np.zeros(n_rows)
                coef[:, kept], gamma[kept] = self.coef_, self.gamma_
                self.coef_, self.gamma_ = coef.astype(self.coef_.dtype), gamma
                self.active_ = kept[active]
        self._certify(found)
        return self

    def _store(self, found, active, norms, record, likelihood, dtype, n):
        self._own = found.coef / norms[active, None]
        self._center = (record.offset + record.rest)[active]
        self._bias, self._contrasts = found.intercept, likelihood.contrasts
        self._basis_rows, self._root = found.basis, found.root
        self._spread = np.sqrt(found.gamma[found.active]) / norms[active]
        coef = np.zeros((n, likelihood.width))
        coef[active] = self._own
        moved = self._bias
        if self.fit_intercept:
            moved = record.intercept(coef, self._bias)
        self.coef_ = np.ascontiguousarray(coef.T).astype(dtype)
        self.intercept_ = np.asarray(moved, dtype=np.float64)
        self.gamma_ = np.zeros(n)
        self.gamma_[active] = found.gamma[found.active] / norms[active] ** 2
        self.active_, self.n_active_ = active, len(active)
        self.dof_ = found.dof
        self.history_ = np.array(found.scores)
        self.n_iter_ = found.n_iter

    def _certify(self, found):
        self.certificate_ = Certificate(
            "kkt",
            float(found.change),
            float(self.tol),
            bool(found.converged),
            "relative to the norm of gamma_ in units where columns have mean square 1",
            {"dof": found.dof, "log_evidence": found.scores[-1]},
        )
        warn_if_unsatisfied(
            self.certificate_,
            "SBLClassifier did not converge: the change of gamma_ by one more update",
            "Increase max_iter, or tol.",
        )

    def _columns(self, X):
        """Return the centered active columns of X in double precision."""
        check_is_fitted(self)
        refuse_complex(X)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        if self.kernel is not None:
            part = self._basis(X, self.relevance_vectors_)
        else:
            part = X[:, self.active_].astype(np.float64, copy=False)
        return part - self._center

    def decision_function(self, X):
        """Return the log odds, moderated by the posterior of coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes the log odds of the second. Their signs, or the order of
            classes, are those of ``X @ coef_.T + intercept_``.
        """
        part = self._columns(X)
        scores = part @ self._own + self._bias
        scores /= np.sqrt(1.0 + np.pi / 8.0 * self._variances(part))[:, None]
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X):
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Labels, from `classes_`.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return self.classes_[(scores > 0).astype(np.intp)]
        return self.classes_[scores.argmax(axis=1)]

    def predict_proba(self, X):
        """Predict class probabilities, moderated by the posterior of coefficients.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return softmax(scores, axis=1)

    def _variances(self, part):
        """Return the posterior variances of log odds, the mean over classes."""
        scaled = part * self._spread
        Q = self._basis_rows
        reduced = scaled if Q is None else scaled @ Q
        r, width = reduced.shape[1], self._own.shape[1]
        spreads = np.empty((width, len(part), len(self._root)))
        for c in range(width):
            spreads[c] = reduced @ self._root[c * r : (c + 1) * r]
            if self.fit_intercept:
                spreads[c] += self._contrasts[c] @ self._root[width * r :]
        if width > 1:  # what all classes have in common is no uncertainty
            spreads -= spreads.mean(axis=0)
        out = np.einsum("ijk,ijk->j", spreads, spreads) / width
        if Q is not None:  # directions that no training row has keep their prior
            left = scaled - reduced @ Q.T
            share = 1.0 if width == 1 else 1.0 - 1.0 / width
            out += share * np.einsum("ij,ij->i", left, left)
        return out
