"""Supervised dictionary learning with covariates, as a classifier."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import linalg, sparse
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score, roc_curve
from sklearn.utils import check_array, check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.arithmetic import column_signs, rounding
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
from sparsestat._utils.samples import FLOATS, check_counts, check_samples, given_weights
from sparsestat._utils.validation import check_magnitude, read_only, refuse_complex
from sparsestat.decomposition._components import ComponentsMixin
from sparsestat.decomposition._low_rank import _kernels_nnls as kernels
from sparsestat.decomposition._low_rank import _supervised as lifted

__all__ = ["SupervisedDictionaryLearning"]

_LARGEST_GRAM = 2_000  # side of a matrix whose spectrum bounds the squared error


class SupervisedDictionaryLearning(
    CallbackSupportMixin,
    ComponentsMixin,
    ClassifierMixin,
    SparsestatEstimator,
):
    r"""Dictionary that reconstructs the data and explains labels at once.

    Lowers

    .. math:: \sum_i \ell(z_i, y_i) + \xi \|X - H W\|_F^2
        + \nu (\|A\|_F^2 + \|\Gamma\|_F^2)

    over codes H, components W (`components_`), label weights :math:`\beta` (`coef_`)
    and covariate weights :math:`\Gamma` (`covariate_coef_`, `intercept_`), with
    :math:`\ell` the logistic loss against the first class. With ``mode="filter"``
    the logits are :math:`z = X W^\top \beta^\top + Z \Gamma` and
    :math:`A = W^\top \beta^\top`; with ``"feature"`` they are
    :math:`z = H \beta^\top + Z \Gamma` and :math:`A = H \beta^\top`. Use it when a few
    interpretable components should both compress the data and predict; where only
    the prediction matters use :class:`sklearn.linear_model.LogisticRegression`, and
    where labels are few, principal components before it. Read more in the
    :ref:`User Guide <supervised_dictionaries>`.

    Parameters
    ----------
    n_components : int, default=10
        Number of components, at most ``min(n_samples, n_features)``.
    mode : {"filter", "feature"}, default="filter"
        Whether labels depend on the data filtered by the components, or on the codes.
        Codes of new samples do not know their label, so that ``"filter"`` usually
        predicts better.
    solver : {"lpgd", "bcd"}, default="lpgd"
        Gradient steps on the lifted matrices ``[A, H W]``, each followed by the best
        matrix of rank `n_components`; or block coordinate descent on the factors.
    xi : float, default=1.0
        Weight of the reconstruction, in units of a label over X**2. Zero leaves the
        data out (``mode="filter"``, ``solver="lpgd"`` only).
    nu : float, default=0.1
        Ridge on the weights, intercept included.
    nonnegative : bool, default=False
        Components and codes are non-negative (``solver="bcd"`` only).
    class_weight : dict or "balanced", default=None
        Weights of the classes in the logistic terms; the reconstruction is not
        weighted. ``"balanced"`` makes all classes count alike.
    threshold : float or "youden", default=0.5
        Probability above which the second of two classes is predicted. ``"youden"``
        takes the one that is best on the training data in sensitivity plus
        specificity. Ignored with more classes.
    max_iter : int, default=500
        Largest number of iterations.
    tol : float, default=1e-7
        Stop when five falls of the objective in a row are at most `tol` times it.
    random_state : int, RandomState instance or None, default=None
        Draws start vectors of truncated decompositions of large data. The start of
        the factors is deterministic.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The dictionary W.
    coef_ : ndarray of shape (n_classes - 1, n_components)
        Weights of the filtered data (or of the codes) in the logits of all classes
        but the first.
    covariate_coef_ : ndarray of shape (n_classes - 1, n_covariates)
        Weights of the covariates.
    intercept_ : ndarray of shape (n_classes - 1,)
        Intercepts.
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    threshold_ : float
        Probability that separates two classes.
    objective_ : float
        Value of the objective.
    history_ : ndarray of shape (n_iter_ + 1,)
        Objective at the start and after each iteration; never rises.
    reconstruction_err_ : float
        ``||X - H W||_F`` with the codes of the fit, rows scaled by the roots of
        sample weights.
    certificate_ : Certificate
        Kind ``monotone_bound``: the largest of the last five falls relative to the
        objective; with ``xi=0``, which is convex, ``duality_gap`` relative to the
        objective, or without `nu` ``kkt``. ``details["lower_bound"]`` is
        below the global minimum: the sum of those of both parts.
        ``details["global_gap"]`` is the distance to it relative to the objective, for
        this non-convex problem rarely zero.
    n_iter_ : int
        Number of iterations.
    n_covariates_in_ : int
        Number of covariates seen during fit.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        In `fit` for covariates whose rows do not match those of X, more components
        than samples or features, or options that exclude each other.

    Warns
    -----
    ConvergenceWarning
        When the objective still fell after `max_iter` iterations.

    See Also
    --------
    OrthogonalDictionary : No labels.
    sklearn.linear_model.LogisticRegression : No dictionary.

    Notes
    -----
    An iteration costs O(nnz(X) n_components) and a decomposition of a matrix of the
    smaller side of X, by Lanczos iterations above 600. Sparse X is never densified.
    The objective is convex in A and H W together and only their rank is not, so that
    minima other than the global one exist; with large `xi` they are rare. Sample
    weights multiply both the label and the reconstruction of a sample. The step
    sizes are not those of the reference but derived from the curvatures, and the
    weights of labels and covariates are solved for in every iteration.

    References
    ----------
    .. [1] J. Lee, H. Lyu, W. Yao, "Supervised dictionary learning with auxiliary
       covariates", arXiv 2206.06774, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import SupervisedDictionaryLearning
    >>> rng = np.random.default_rng(0)
    >>> H, W = rng.random((300, 3)), rng.standard_normal((3, 40))
    >>> X = H @ W + 0.1 * rng.standard_normal((300, 40))
    >>> y = (X @ W[0] > np.median(X @ W[0])).astype(int)
    >>> model = SupervisedDictionaryLearning(3).fit(X, y)
    >>> bool(model.score(X, y) > 0.95), model.components_.shape
    (True, (3, 40))
    """

    objective_history_ = OldAttribute("history_")

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "mode": [StrOptions({"filter", "feature"})],
        "solver": [StrOptions({"lpgd", "bcd"})],
        "xi": [Interval(Real, 0, None, closed="left")],
        "nu": [Interval(Real, 0, None, closed="left")],
        "nonnegative": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "threshold": [Interval(Real, 0, 1, closed="neither"), StrOptions({"youden"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=10,
        *,
        mode="filter",
        solver="lpgd",
        xi=1.0,
        nu=0.1,
        nonnegative=False,
        class_weight=None,
        threshold=0.5,
        max_iter=500,
        tol=1e-7,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.mode = mode
        self.solver = solver
        self.xi = xi
        self.nu = nu
        self.nonnegative = nonnegative
        self.class_weight = class_weight
        self.threshold = threshold
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, Z=None, sample_weight=None):
        """Learn components and label weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. Never densified or modified.
        y : array-like of shape (n_samples,)
            Class labels.
        Z : array-like of shape (n_samples, n_covariates), default=None
            Covariates that may explain labels but are not reconstructed.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        refuse_complex(X)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "y has only one class, but labels can be explained from 2 classes "
                "on. Pass labels of at least two classes."
            )
        weights = given_weights(sample_weight, X)
        weights = np.ones(X.shape[0]) if weights is None else weights
        Z = self._check_covariates(X, Z, fitting=True)
        dtype, used = X.dtype, weights > 0
        X, Z, labels, weights = X[used], Z[used], labels[used], weights[used]
        check_magnitude(X)
        check_counts(weights, len(weights), type(self).__name__)
        self._check_params_vs_input(X)
        problem = self._problem(X.astype(np.float64, copy=False), Z, labels, weights)
        with FitProgress(self, self.max_iter, X=X, y=y, verbose=self.verbose) as bar:
            result = self._solve(problem, bar)
        self._store(result, problem, dtype)
        self._set_threshold(X, Z, labels, weights)
        return self

    def _check_covariates(self, X, Z, *, fitting):
        """Return the covariates, without a column of ones, as float64."""
        if Z is None:
            if not fitting and self.n_covariates_in_:
                raise ValueError(
                    f"The model was fitted with {self.n_covariates_in_} covariates: "
                    "pass Z as well."
                )
            Z = np.zeros((X.shape[0], 0))
        else:
            refuse_complex(Z, name="Z")
            Z = check_array(Z, dtype=np.float64, input_name="Z", ensure_min_features=0)
            check_magnitude(Z, name="Z")
        if Z.shape[0] != X.shape[0]:
            raise ValueError(
                f"Z has {Z.shape[0]} rows, but X has {X.shape[0]}: the covariate rows "
                "do not match the samples. Pass one row of covariates a sample."
            )
        if fitting:
            self.n_covariates_in_ = Z.shape[1]
        elif Z.shape[1] != self.n_covariates_in_:
            raise ValueError(
                f"Z has {Z.shape[1]} covariates, but the model was fitted with "
                f"{self.n_covariates_in_}."
            )
        return Z

    def _check_params_vs_input(self, X):
        n_samples, n_features = X.shape
        if self.n_components > min(X.shape):
            raise ValueError(
                f"n_components={self.n_components} exceeds the smaller side of X "
                f"(n_samples = {n_samples}, n_features = {n_features}): the data have "
                "no higher rank. Lower n_components."
            )
        if self.nonnegative and self.solver != "bcd":
            raise ValueError(
                "nonnegative=True needs solver='bcd': the rank of lifted matrices "
                "knows no signs."
            )
        if self.xi == 0 and (self.mode != "filter" or self.solver != "lpgd"):
            raise ValueError(
                "xi=0 leaves the data out, so that codes mean nothing. Use a positive "
                "xi, or mode='filter' with solver='lpgd'."
            )
        if self.xi == 0 and self.n_components < len(self.classes_) - 1:
            raise ValueError(
                f"xi=0 needs n_components >= n_classes - 1 = {len(self.classes_) - 1}."
            )

    def _problem(self, X, Z, labels, weights):
        n, n_classes = len(labels), len(self.classes_)
        if self.class_weight == "balanced":
            sizes = np.bincount(labels, weights=weights, minlength=n_classes)
            of_class = weights.sum() / (n_classes * np.where(sizes > 0, sizes, 1.0))
        else:
            of_class = compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_[labels]
            )
        root = np.sqrt(weights)
        scaled = X
        if (root != 1.0).any():
            scaled = (
                sparse.diags_array(root) @ X
                if sparse.issparse(X)
                else (X * root[:, None])
            )
            scaled = scaled.tocsr() if sparse.issparse(X) else scaled
        is_filter = self.mode == "filter"
        return lifted.LiftedProblem(
            Y=scaled.T if is_filter else scaled,
            T=scaled if is_filter else None,
            root=root,
            Z=np.hstack([np.ones((n, 1)), Z]),
            onehot=(labels[:, None] == np.arange(1, n_classes)).astype(float),
            weights=weights * of_class[labels],
            xi=float(self.xi),
            nu=float(self.nu),
        )

    def _solve(self, problem, bar):
        options = {
            "tol": self.tol,
            "max_iter": self.max_iter,
            "rng": check_random_state(self.random_state),
            "step": lambda value: bar.step(objective=value),
        }
        rank = self.n_components
        if problem.xi == 0:
            A, gamma, value, bound, slope = lifted.labels_alone(problem)
            U, s, Vt = np.linalg.svd(A, full_matrices=False)
            P, beta = np.zeros((len(A), rank)), np.zeros((rank, A.shape[1]))
            P[:, : len(s)], beta[: len(s)] = U * np.sqrt(s), np.sqrt(s)[:, None] * Vt
            Q = np.zeros((rank, problem.Y.shape[1]))
            change = (value - bound) / value if value > 0 else 0.0
            change = change if self.nu > 0 else slope
            return lifted.SupervisedResult(P, Q, beta, gamma, value, change, [value])
        if self.solver == "lpgd":
            return lifted.low_rank_gradient(problem, rank, **options)
        return lifted.block_coordinate_descent(
            problem,
            rank,
            nonnegative=self.nonnegative,
            unit="P" if self.mode == "filter" else "Q",
            **options,
        )

    def _store(self, result, problem, dtype):
        P, Q, beta = result.P, result.Q, result.beta
        W = P.T if self.mode == "filter" else Q
        if not self.nonnegative:
            # The sign of a component and of its weights is free: fix it.
            signs = column_signs(W.T)
            W, beta = W * signs[:, None], beta * signs[:, None]
        self.components_ = np.ascontiguousarray(W, dtype=dtype)
        self.coef_ = np.ascontiguousarray(beta.T, dtype=dtype)
        self.intercept_ = result.gamma[0].astype(dtype)
        self.covariate_coef_ = np.ascontiguousarray(result.gamma[1:].T, dtype=dtype)
        self.objective_ = float(result.objective)
        self.history_ = np.array(result.history)
        self.n_iter_ = max(len(result.history) - 1, 1)
        total = problem.squared_norm()
        rest = total - 2.0 * np.vdot(np.asarray(problem.Y @ Q.T), P)
        rest = max(float(rest + np.vdot(P.T @ P, Q @ Q.T)), 0.0)
        self.reconstruction_err_ = float(np.sqrt(rest))
        logits = problem.logits_of(P @ result.beta) + problem.Z @ result.gamma
        bound = self._lower_bound(problem, total)
        value = float(max(result.change, 0.0))
        kind, scale = "monotone_bound", "largest of the last five falls / objective"
        if self.xi == 0:
            kind, scale = "kkt", "norm of the gradient / that of a model of zeros"
            if self.nu > 0:
                kind = "duality_gap"
                scale = "(objective - lower bound by strong convexity) / objective"
        self.certificate_ = Certificate(
            kind,
            value,
            float(self.tol),
            bool(value <= self.tol),
            scale,
            {
                "objective": self.objective_,
                "label_loss": problem.loss(logits),
                "squared_error": rest,
                "lower_bound": bound,
                "global_gap": (self.objective_ - bound)
                / max(self.objective_, np.finfo(float).tiny),
            },
        )
        warn_if_unsatisfied(
            self.certificate_,
            "SupervisedDictionaryLearning did not converge: the last fall",
            "Raise max_iter or tol.",
        )

    def _lower_bound(self, problem, total):
        """Return what neither part can go below, however the other is chosen."""
        labels = lifted.labels_alone(problem, tol=1e-8, max_iter=200)[3]
        if problem.xi == 0:
            return labels
        Y = problem.Y
        small = min(Y.shape)
        if small > _LARGEST_GRAM:  # a basis by iteration would keep too little
            return labels
        gram = Y.T @ Y if Y.shape[1] == small else Y @ Y.T
        gram = gram.toarray() if sparse.issparse(gram) else gram
        top = (small - min(self.n_components, small), small - 1)
        kept = float(linalg.eigvalsh(gram, subset_by_index=top).sum())
        kept += rounding(8 * sum(Y.shape) + 64 * small, total)
        return labels + problem.xi * max(float(total - kept), 0.0)

    def _set_threshold(self, X, Z, labels, weights):
        self.threshold_ = 0.5 if self.threshold == "youden" else float(self.threshold)
        if self.threshold == "youden" and len(self.classes_) == 2:
            scores = expit(self._logits(X, Z)[:, 0])
            wrong, right, bars = roc_curve(labels == 1, scores, sample_weight=weights)
            best = int(np.argmax((right - wrong)[1:])) + 1
            # Halfway to the next score below, so that new samples fall on either side.
            below = scores[scores < bars[best]]
            low = below.max() if len(below) else bars[best]
            self.threshold_ = float((bars[best] + low) / 2.0)

    def _validate(self, X):
        check_is_fitted(self)
        return check_samples(
            self, X, reset=False, accept_sparse="csr", dtype=FLOATS, order=None
        )

    def _logits(self, X, Z):
        W = self.components_
        features = self._codes(X) if self.mode == "feature" else np.asarray(X @ W.T)
        return features @ self.coef_.T + Z @ self.covariate_coef_.T + self.intercept_

    def _codes(self, X):
        """Return the codes that fit X best, labels unknown."""
        W = self.components_.astype(np.float64)
        right = np.ascontiguousarray(X @ W.T, dtype=np.float64)
        if self.nonnegative:
            G, k = np.zeros(right.shape), len(W)
            work = np.empty(k, dtype=np.int64), np.empty((k, k)), np.empty(k)
            kernels.nnls_active_set(read_only(right), read_only(W @ W.T), G, *work)
            return G
        U, s, _ = np.linalg.svd(W, full_matrices=False)
        keep = s > 1e-10 * max(s[0], np.finfo(float).tiny)
        return ((right @ U[:, keep]) / s[keep] ** 2) @ U[:, keep].T

    def decision_function(self, X, Z=None):
        """Return the logits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        Z : array-like of shape (n_samples, n_covariates), default=None
            Covariates; needed when the model was fitted with some.

        Returns
        -------
        logits : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Log odds of the second of two classes; of more classes, log odds
            against the first, whose column is zero.
        """
        X = self._validate(X)
        logits = self._logits(X, self._check_covariates(X, Z, fitting=False))
        if len(self.classes_) == 2:
            return logits[:, 0]
        return np.hstack([np.zeros((len(logits), 1)), logits])

    def predict_proba(self, X, Z=None):
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        Z : array-like of shape (n_samples, n_covariates), default=None
            Covariates; needed when the model was fitted with some.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        logits = self.decision_function(X, Z)
        if logits.ndim == 1:
            return np.column_stack([expit(-logits), expit(logits)])
        return softmax(logits, axis=1)

    def predict(self, X, Z=None):
        """Return the predicted classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        Z : array-like of shape (n_samples, n_covariates), default=None
            Covariates; needed when the model was fitted with some.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Class labels.
        """
        logits = self.decision_function(X, Z)
        if logits.ndim == 1:
            bar = np.log(self.threshold_) - np.log1p(-self.threshold_)
            return self.classes_[(logits > bar).astype(int)]
        return self.classes_[logits.argmax(axis=1)]

    def score(self, X, y, Z=None, sample_weight=None):
        """Return the accuracy of the predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : array-like of shape (n_samples,)
            True labels.
        Z : array-like of shape (n_samples, n_covariates), default=None
            Covariates; needed when the model was fitted with some.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights.

        Returns
        -------
        score : float
            Share of correct predictions.
        """
        return accuracy_score(y, self.predict(X, Z), sample_weight=sample_weight)

    def transform(self, X):
        """Return codes, by least squares without looking at labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            The codes H whose product with `components_` is closest to X.
        """
        X = self._validate(X)
        return self._codes(X).astype(X.dtype, copy=False)
