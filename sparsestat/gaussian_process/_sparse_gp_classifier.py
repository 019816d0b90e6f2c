"""Gaussian-process classification through inducing points: the estimator."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassifierMixin, clone
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate
from sparsestat.gaussian_process._kernel._ascent import Adam, projected
from sparsestat.gaussian_process._kernel._covariances import has_noise
from sparsestat.gaussian_process._kernel._evidence import (
    KERNEL_NAMES,
    Ascent,
    Optimum,
    check_data,
    evidence_certificate,
    maximize_evidence,
    named_shape,
    numerical_errors,
)
from sparsestat.gaussian_process._kernel._inducing import kmeans_points
from sparsestat.gaussian_process._kernel._starts import feature_units
from sparsestat.gaussian_process._variational._bounds import features, variational_bound
from sparsestat.gaussian_process._variational._classes import (
    ClassPosteriorMixin,
    length_candidates,
)
from sparsestat.gaussian_process._variational._svgp import Posterior, settle

__all__ = ["SparseGPClassifier"]

_ROWS = 2048
_FAR = 1e30  # sizes of the data: what is further is as far as can be
_GAP = 0.01  # in units of features: no length is below a tenth of it
_FEW = 500  # rows on which starts are compared
_RATE, _NATURAL = 0.02, 0.2  # steps of the stochastic ascent


class SparseGPClassifier(
    ClassPosteriorMixin, ClassifierMixin, CallbackSupportMixin, SparsestatEstimator
):
    r"""Gaussian-process classification through m inducing points, in O(n m^2) time.

    Two classes are told apart by the sign of a process seen through the normal
    distribution function, more by the softmax of one process a class, all with one
    kernel. The log evidence is bounded below by

    .. math::

        \sum_t E_q \log p(y_t | f_t) - \mathrm{KL}(q(u) \,\|\, p(u)) ,

    u being the values at m points that are learned together with the kernel's
    parameters. The normal distribution q is the best one throughout: natural gradients
    find it in a few steps for each kernel and set of points. Probabilities account for
    what is not known of the processes. Use it from some hundred samples on, for
    boundaries that are smooth at the scale of m points. Do not use it for many features
    of which few matter (see
    :class:`~sparsestat.linear_model.SparseLogisticRegression`).
    Read more in the :ref:`User Guide <sparse_gp_classification>`.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel, str or None, default=None
        Any kernel without WhiteKernel. A name takes a constant times ``"rbf"``,
        ``"matern12"``, ``"matern32"``, ``"matern52"`` (one length a feature) or
        ``"rational_quadratic"``, started at the scales of the data; None is ``"rbf"``.
    n_inducing : int, default=100
        Number of inducing points; no more than there are distinct rows.
    inducing : {"kmeans"} or array-like (m, n_features), default="kmeans"
        Start of the inducing points: centers of a short k-means run, or points.
    likelihood : {"auto", "bernoulli", "softmax"}, default="auto"
        ``"auto"`` takes ``"bernoulli"`` for two classes and ``"softmax"`` for more.
    optimize_inducing : bool, default=True
        Whether the points are optimized together with the kernel's parameters.
    optimizer : {"fmin_l_bfgs_b"} or None, default="fmin_l_bfgs_b"
        None keeps the kernel's parameters and the points as they are.
    n_restarts_optimizer : int, default=0
        Further starts, with kernel parameters drawn within their bounds.
    max_iter : int, default=100
        Largest number of iterations of one start; of passes with `batch_size`.
    tol : float, default=1e-4
        Stop when no entry of the projected gradient of the bound divided by n_samples
        exceeds `tol`; with respect to logarithms of kernel parameters, and to inducing
        points in units of the features' standard deviations.
    batch_size : int or None, default=None
        Samples a stochastic step looks at. None looks at all and climbs by L-BFGS-B.
    jitter : float, default=1e-8
        Added to the diagonal of the covariance of the points, relative to its mean;
        more is tried where a factorization fails.
    random_state : int, RandomState instance or None, default=None
        For k-means, restarts and batches.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        Kernel with the parameters found.
    inducing_points_ : ndarray of shape (m, n_features)
        The points.
    lower_bound_ : float
        The bound of the log evidence. After ``partial_fit``, of the last batch given
        the ones before.
    history_ : ndarray
        The bound after each iteration.
    certificate_ : Certificate
        The projected gradient. With `batch_size` nothing is promised.
    n_iter_ : int
        Number of iterations of the best start.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        For targets of one class; for points of another dimension than X; for a kernel
        with a WhiteKernel; for ``likelihood="bernoulli"`` with more than two classes.
    NumericalError
        If a covariance cannot be factored.

    Warns
    -----
    ConvergenceWarning
        If the projected gradient is above `tol` at the end.
    UserWarning
        If gradients of the kernel have to be taken by differences.

    See Also
    --------
    SparseGPRegressor : For numbers.
    DeepKernelMachineClassifier : Kernels that are learned in layers.
    sklearn.gaussian_process.GaussianProcessClassifier : Laplace's method, O(n^3).

    Notes
    -----
    An iteration takes some ten n m^2 multiplications, one n m^2 more for every process
    and natural-gradient step. Memory O(n m). Expectations of the log likelihood of two
    classes take 20 Hermite nodes, of more classes means over 32 or more fixed symmetric
    points, so that the bound is smooth.

    References
    ----------
    .. [1] J. Hensman, A. G. de G. Matthews, Z. Ghahramani, "Scalable variational
       Gaussian process classification", AISTATS, 2015.
    .. [2] J. Hensman, N. Fusi, N. D. Lawrence, "Gaussian processes for big data", UAI,
       2013.
    .. [3] T. Broderick, N. Boyd, A. Wibisono, A. C. Wilson, M. I. Jordan, "Streaming
       variational Bayes", NIPS, 2013.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from sparsestat.gaussian_process import SparseGPClassifier
    >>> X, y = make_moons(400, noise=0.2, random_state=0)
    >>> model = SparseGPClassifier(n_inducing=20, random_state=0).fit(X[::2], y[::2])
    >>> print(f"{model.score(X[1::2], y[1::2]):.1f}")
    1.0
    >>> print(model.predict_proba([[0.0, 1.0]]).round(1))
    [[1. 0.]]
    """

    _by_rows = True
    objective_history_ = OldAttribute("history_")

    _needs_rows = "it keeps the features of all rows between the steps of its bound"
    _parameter_constraints = {
        "kernel": [Kernel, StrOptions(KERNEL_NAMES), None],
        "n_inducing": [Interval(Integral, 1, None, closed="left")],
        "inducing": [StrOptions({"kmeans"}), "array-like"],
        "likelihood": [StrOptions({"auto", "bernoulli", "softmax"})],
        "optimize_inducing": ["boolean"],
        "optimizer": [StrOptions({"fmin_l_bfgs_b"}), None],
        "n_restarts_optimizer": [Interval(Integral, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "jitter": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        kernel=None,
        *,
        n_inducing=100,
        inducing="kmeans",
        likelihood="auto",
        optimize_inducing=True,
        optimizer="fmin_l_bfgs_b",
        n_restarts_optimizer=0,
        max_iter=100,
        tol=1e-4,
        batch_size=None,
        jitter=1e-8,
        random_state=None,
        verbose=0,
    ):
        self.kernel = kernel
        self.n_inducing = n_inducing
        self.inducing = inducing
        self.likelihood = likelihood
        self.optimize_inducing = optimize_inducing
        self.optimizer = optimizer
        self.n_restarts_optimizer = n_restarts_optimizer
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.jitter = jitter
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Find the kernel's parameters, the points and the posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,)
            Classes.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, order="C")
        return self._fit(X, y, y)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None):
        """Learn from further samples, the earlier ones being forgotten.

        The first call is a fit. Later ones keep the kernel and the points, and take the
        posterior before for the prior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,)
            Classes.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever be seen; in the first call, which otherwise has
            to see all.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        first = not hasattr(self, "classes_")
        X, y = validate_data(self, X, y, dtype=np.float64, order="C", reset=first)
        if first:
            return self._fit(X, y, y if classes is None else np.asarray(classes))
        check_classification_targets(y)
        check_data(X, np.zeros(1))
        strange = np.setdiff1d(y, self.classes_)
        if len(strange):
            raise ValueError(
                f"y has classes that the first call did not name: {strange[:5]}. Pass "
                "all of them there as `classes`."
            )
        A, k = features(self.kernel_, self.inducing_points_, self._L, X)
        before, Y = self._posterior, self._targets(y)
        with numerical_errors():
            found = settle(self._likelihood, before, A, k, Y, prior=before)
        self._posterior, seen, far = found
        self.lower_bound_ = float(np.sum(seen.expected[0]))
        self.lower_bound_ -= self._posterior.divergence(before)
        self.n_iter_ += 1
        self.certificate_ = Certificate.measured(
            "kkt",
            np.sqrt(far) / len(X),
            self.tol,
            "length of the last natural-gradient step / n_samples of the batch",
        )
        return self

    def _fit(self, X, y, classes):
        """Fit validated data; `classes` holds every class at least once."""
        check_classification_targets(y)
        check_data(X, np.zeros(1))
        self._encode(X, y, softmax=self.likelihood == "softmax", classes=classes)
        if self.likelihood == "bernoulli" and len(self.classes_) > 2:
            raise ValueError(
                f"likelihood='bernoulli' tells two classes apart, but y has "
                f"{len(self.classes_)}. Take likelihood='softmax'."
            )
        size = float(np.abs(X).max())
        self._far = _FAR * size if size > 0 else 1e100
        rng = check_random_state(self.random_state)
        Y = self._targets(y)
        Z = self._first_points(X, rng)
        with numerical_errors():
            kernel = self._start(X, Y, Z)
        scale, center = feature_units(X), X.mean(axis=0)
        moving = self.optimize_inducing and self.optimizer is not None
        extra = ((Z - center) / scale).ravel() if moving else np.zeros(0)
        self._posterior = Posterior.prior(len(Z), self._likelihood.n_outputs)

        def at(theta, points, rows=slice(None), **options):
            points = points.reshape(Z.shape) * scale + center if moving else Z
            state = variational_bound(
                kernel.clone_with_theta(theta),
                points,
                X[rows],
                Y[rows],
                self._likelihood,
                self._posterior,
                jitter=self.jitter,
                **options,
            )
            self._posterior = state.posterior
            slopes = [state.gradient]
            if moving:
                slopes.append((state.Z_gradient * scale).ravel())
            return state, points, np.concatenate(slopes)

        def function(theta, points):
            state, _, slopes = at(theta, points)
            return state.value, slopes

        name = type(self).__name__
        stochastic = self.batch_size is not None and self.optimizer is not None
        if stochastic:
            best = self._stochastic(at, kernel, extra, X, Y, rng)
        else:
            ascent = self._options(Ascent, name=name)
            with FitProgress(self, ascent.total, X=X, y=y, verbose=self.verbose) as bar:
                best = maximize_evidence(
                    ascent, function, kernel, extra, n=len(X), rng=rng, progress=bar
                )
        with numerical_errors():
            state, self.inducing_points_, slopes = at(best.kernel.theta, best.extra)
        if stochastic:
            x = np.r_[best.kernel.theta, best.extra]
            pulls = projected(slopes, x, self._bounds(kernel, extra))
            best.slope = np.abs(pulls).max(initial=0.0) / len(X)
        self.kernel_, self.n_iter_ = best.kernel, best.n_iter
        self.history_ = np.array(best.history)
        self._L, self._posterior = state.L, state.posterior
        self.lower_bound_ = state.value
        self.certificate_ = evidence_certificate(
            name,
            "kkt",
            max(best.slope, state.unsettled / len(X)),
            np.inf if stochastic else self.tol,
            {
                "lower_bound": state.value,
                "n_inducing": len(Z),
                "optimized": self.optimizer is not None,
            },
        )
        return self

    def _start(self, X, Y, Z):
        """Return the kernel to start from."""
        if isinstance(self.kernel, Kernel):
            kernel = clone(self.kernel)
            if has_noise(kernel):
                raise ValueError(
                    f"The kernel {kernel} has a WhiteKernel, but the likelihood of "
                    "classes is the noise here. Leave it away."
                )
            return kernel
        unit, name = feature_units(X), self.kernel or "rbf"
        few = slice(None, None, max(1, len(X) // _FEW))
        best = None
        for lengths in length_candidates(X, Y[:, 0]):
            smooth = named_shape(name, lengths, _GAP, unit)
            kernel = ConstantKernel(2.0, (1e-3, 1e4)) * smooth
            prior = Posterior.prior(len(Z), self._likelihood.n_outputs)
            state = variational_bound(
                kernel, Z, X[few], Y[few], self._likelihood, prior, jitter=self.jitter
            )
            if best is None or state.value > best[0]:
                best = state.value, kernel
        return best[1]

    def _first_points(self, X, rng):
        """Return where the inducing points start."""
        if not isinstance(self.inducing, str):
            Z = check_array(self.inducing, dtype=np.float64, input_name="inducing")
            if Z.shape[1] != X.shape[1]:
                raise ValueError(
                    f"`inducing` holds points with {Z.shape[1]} features, but X has "
                    f"{X.shape[1]}. Give points in the space of X."
                )
            return Z.copy()
        rows = np.unique(X, axis=0)
        return kmeans_points(rows, self.n_inducing, rng)

    def _bounds(self, kernel, extra):
        free = np.tile([-np.inf, np.inf], (len(extra), 1))
        return np.vstack([kernel.bounds.reshape(-1, 2), free])

    def _stochastic(self, at, kernel, extra, X, Y, rng):
        """Pass over the data in batches."""
        n, p = len(X), kernel.n_dims
        size = min(self.batch_size, n)
        x, bounds = np.r_[kernel.theta, extra], self._bounds(kernel, extra)
        adam, history = Adam(len(x), _RATE), []
        with (
            numerical_errors(),
            FitProgress(self, self.max_iter, X=X, y=Y, verbose=self.verbose) as bar,
        ):
            for _ in range(self.max_iter):
                order, values = rng.permutation(n), []
                for start in range(0, n - size + 1, size):
                    rows = order[start : start + size]
                    state, _, slopes = at(
                        x[:p], x[p:], rows, step=_NATURAL, scale=n / size
                    )
                    x = adam.step(x, slopes / n, bounds)
                    values.append(state.value)
                history.append(float(np.mean(values)))
                if bar.step(bound=history[-1]):
                    break
        found = kernel.clone_with_theta(x[:p])
        return Optimum(found, x[p:], n_iter=len(history), history=history)

    def _check_rows(self, X):
        """Return validated rows, moved to where distances do not overflow."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, order="C", reset=False)
        return np.clip(X, -self._far, self._far)

    def _latent(self, X):
        """Return means and variances of the processes, some rows at a time."""
        means, variances = [], []
        for start in range(0, len(X), _ROWS):
            rows = X[start : start + _ROWS]
            A, k = features(self.kernel_, self.inducing_points_, self._L, rows)
            seen = self._posterior.marginals(A, k)
            means.append(seen.mean)
            variances.append(seen.variance)
        return np.vstack(means), np.vstack(variances)
