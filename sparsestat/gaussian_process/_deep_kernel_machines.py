"""Deep kernel machines: regression and classification with learned Gram matrices."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.progress import FitProgress
from sparsestat.gaussian_process._kernel._evidence import (
    check_data,
    evidence_certificate,
    numerical_errors,
    standardized,
)
from sparsestat.gaussian_process._kernel._starts import feature_units
from sparsestat.gaussian_process._posterior import PosteriorMixin
from sparsestat.gaussian_process._variational._classes import (
    ClassPosteriorMixin,
)
from sparsestat.gaussian_process._variational._deep_fit import DeepSettings, fit_deep
from sparsestat.gaussian_process._variational._deep_rows import DeepRows

__all__ = ["DeepKernelMachineClassifier", "DeepKernelMachineRegressor"]

_ROWS = 1024
_SAMPLE = 10_000  # rows that choose the start where rows come in blocks
_FAR = 1e30  # sizes of the data: what is further is as far as can be


class _DeepKernelMachine(CallbackSupportMixin, SparsestatEstimator):
    """What both machines share: from data to layers, and rows through layers."""

    objective_history_ = OldAttribute("history_")

    _parameter_constraints = {
        "n_layers": [Interval(Integral, 0, None, closed="left")],
        "kernel": [StrOptions({"relu", "rbf"})],
        "nu": [StrOptions({"auto", "cv"}), Interval(Real, 0, None, closed="right")],
        "n_inducing": [Interval(Integral, 1, None, closed="left"), None],
        "learn_inducing": ["boolean"],
        "learn_scales": ["boolean"],
        "noise_floor": [Interval(Real, 0, 1, closed="both")],
        "include_bias": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "jitter": [Interval(Real, 0, 1, closed="right")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_layers=2,
        *,
        kernel="relu",
        nu="auto",
        n_inducing=100,
        learn_inducing=True,
        learn_scales=True,
        include_bias=True,
        max_iter=200,
        tol=1e-4,
        batch_size=None,
        jitter=1e-8,
        random_state=None,
        verbose=0,
    ):
        self.n_layers = n_layers
        self.kernel = kernel
        self.nu = nu
        self.n_inducing = n_inducing
        self.learn_inducing = learn_inducing
        self.learn_scales = learn_scales
        self.include_bias = include_bias
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.jitter = jitter
        self.random_state = random_state
        self.verbose = verbose

    def _fit_layers(self, X, Y, likelihood, noise_floor):
        """Learn the layers of validated data."""
        self._x_mean, self._x_scale = X.mean(axis=0), feature_units(X)
        self._set_far(float(np.abs(X).max()))
        rng = check_random_state(self.random_state)
        return self._learn(self._inputs(X), Y, likelihood, noise_floor, rng)

    def _set_far(self, size):
        self._far = _FAR * size if size > 0 else 1e100

    def _learn(self, inputs, Y, likelihood, noise_floor, rng, passes=None):
        settings = self._options(
            DeepSettings, n_constant=int(self.include_bias), noise_floor=noise_floor
        )
        with (
            numerical_errors(),
            FitProgress(
                self, self.max_iter, X=inputs, y=Y, verbose=self.verbose
            ) as progress,
        ):
            found = fit_deep(inputs, Y, likelihood, settings, rng, progress, passes)
        self._state, top = found.state, found.top
        self.nu_ = found.nu
        Z = self._state.Z[:, : self.n_features_in_]
        self.inducing_points_ = Z * self._x_scale + self._x_mean
        self.grams_ = self._state.trunk.grams
        self.feature_weights_ = self._state.weights
        self.amplitude_ = self._state.amplitude
        self.objective_ = top.value
        self.history_ = np.array(top.history)
        self.n_iter_ = top.n_iter
        details = {
            "objective": top.value,
            "nu": found.nu,
            "n_inducing": len(Z),
            "divergence": self._state.trunk.divergence(),
            "optimized": self.batch_size is None,
        }
        tol = self.tol if self.batch_size is None else np.inf
        self.certificate_ = evidence_certificate(
            type(self).__name__, "kkt", top.slope, tol, details
        )
        return self

    def _inputs(self, X):
        """Return rows in units of the features, with the constant."""
        X = (X - self._x_mean) / self._x_scale
        return np.column_stack([X, np.ones(len(X))]) if self.include_bias else X

    def _check_rows(self, X):
        """Return validated rows, moved to where products do not overflow."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, order="C", reset=False)
        return np.clip(X, -self._far, self._far)

    def _latent(self, X):
        """Return means and variances of the outputs, some rows at a time."""
        means, variances = [], []
        for start in range(0, len(X), _ROWS):
            A, k, _ = self._state.rows(self._inputs(X[start : start + _ROWS]))
            seen = self._state.posterior.marginals(A, k)
            means.append(seen.mean)
            variances.append(seen.variance)
        return np.vstack(means), np.vstack(variances)

    def kernel_matrix(self, X, Z=None):
        """Return the learned kernel of the last layer.

        It can be handed to anything that takes a precomputed kernel.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Points.
        Z : array-like of shape (n_others, n_features), default=None
            Further points. None takes `X`.

        Returns
        -------
        K : ndarray of shape (n_samples, n_samples) or (n_samples, n_others)
            The kernel, positive semidefinite where it is square.
        """
        X = self._inputs(self._check_rows(X))
        if Z is None:
            K = self._state.kernel(X)
            return 0.5 * (K + K.T)
        return self._state.kernel(X, self._inputs(self._check_rows(Z)))


class DeepKernelMachineRegressor(PosteriorMixin, RegressorMixin, _DeepKernelMachine):
    r"""Regression by a Gaussian process whose kernel has layers that are learned.

    A kernel K that depends on inner products alone turns the Gram matrix of the inputs
    :math:`G_0` into a matrix, that into the next one, and so on. Here the Gram matrices
    between are free, and are pulled towards what the kernel makes of the one before:

    .. math::

        \max_{G_1, \dots, G_L} \; \log N(Y; 0, a K(G_L) + \sigma^2 I)
        - \nu \sum_{l=1}^{L} \mathrm{KL}\left(N(0, G_l) \,\|\, N(0, K(G_{l-1}))\right) .

    It is the limit of deep Gaussian processes of infinite width in which
    representations are still learned [1]_; :math:`\nu = \infty` or no layers leave an
    ordinary Gaussian process. With `n_inducing` rows that carry the layers, n samples
    cost O(n m^2). Use it where a Gaussian process with the same kernel leaves structure
    behind, in some thousand samples or more. Do not expect it to beat one on small
    noisy tables: there it ties, and with a small `nu` it overfits.
    Read more in the :ref:`User Guide <deep_kernel_machines>`.

    Parameters
    ----------
    n_layers : int, default=2
        Number L of learned Gram matrices; 0 is a Gaussian process.
    kernel : {"relu", "rbf"}, default="relu"
        The arc-cosine kernel of order 1, which corresponds to a network with rectified
        linear units, or the Gaussian kernel.
    nu : {"auto", "cv"} or float, default="auto"
        Relative width of a layer: how strongly it is held. ``"cv"`` takes the best of
        1, 10, 100 and infinity times the number of targets, by the predictive density
        in 5 folds of at most 1000 samples; without inducing points, of 2, 10, 100, 1000
        and infinity, with at most 300. ``"auto"`` does the same with one fold held out
        where there are more than 300.
    n_inducing : int or None, default=100
        Number of inducing points. None takes all rows, in O(n^3) time; from a thousand
        samples on that is slow.
    learn_inducing : bool, default=True
        Whether the inducing points move from where k-means put them.
    learn_scales : bool, default=True
        Whether a weight of every feature and the variance `a` are learned. Otherwise
        standardized features have equal weights with sum 1, and `a` is 1.
    noise_floor : float, default=1e-2
        Least noise variance, relative to the variance of the targets; what keeps
        dense layers from interpolating.
    include_bias : bool, default=True
        Whether a constant is added to the features.
    max_iter : int, default=200
        Largest number of iterations; of passes over the data with `batch_size`.
    tol : float, default=1e-4
        Stop when no entry of the projected gradient of the objective divided by
        n_samples exceeds `tol`; with respect to the entries of whitened layers, to
        logarithms of their diagonals and of scales, and to inducing points in units of
        the features' standard deviations.
    batch_size : int or None, default=None
        Samples a stochastic step looks at. None looks at all and climbs by L-BFGS-B.
    jitter : float, default=1e-8
        Added to diagonals of kernels, relative to their means; more is tried where a
        factorization fails.
    random_state : int, RandomState instance or None, default=None
        For k-means, folds and batches.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    grams_ : list of ndarray of shape (m, m)
        Learned Gram matrices of the inducing points, the first layer first.
    inducing_points_ : ndarray of shape (m, n_features)
        The points that carry the layers; all samples when `n_inducing` is None.
    feature_weights_ : ndarray
        Weights of the standardized features in :math:`G_0`, that of the constant last.
    amplitude_ : float
        The variance a, in units of the variance of the targets.
    noise_variance_ : float or ndarray of shape (n_targets,)
        Variance of the noise, in units of y**2.
    nu_ : float
        The relative width in use.
    objective_ : float
        The objective, for targets of unit variance.
    history_ : ndarray
        Objective after each iteration.
    certificate_ : Certificate
        The projected gradient: stationarity of the evidence. With `batch_size` nothing
        is promised.
    n_iter_ : int
        Number of iterations.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        Without inducing points, for `nu` up to the number of targets without a noise
        floor: the objective is then unbounded.
    NumericalError
        If a kernel cannot be factored.

    Warns
    -----
    ConvergenceWarning
        If the projected gradient is above `tol` at the end.
    UserWarning
        If there are fewer distinct samples than `n_inducing`.

    See Also
    --------
    DeepKernelMachineClassifier : For classes.
    SparseGPRegressor : One layer, with any kernel of scikit-learn.

    Notes
    -----
    A layer costs about 6 n m^2 multiplications an iteration with m inducing points, and
    about 6 n^3 without. Memory: 4 n m numbers a layer up to 256 MB, beyond that rows
    are carried through the layers twice. All computations are in double precision, on
    features and targets that are standardized.

    With noise that is learned, layers without inducing points and `nu` up to the number
    of targets D, the objective grows without bound as the noise goes to zero: shrinking
    the n - D directions orthogonal to the targets by a factor gains more likelihood
    than it costs divergence.

    References
    ----------
    .. [1] A. X. Yang, M. Robeyns, E. Milsom, B. Anson, N. Schoots, L. Aitchison, "A
       theory of representation learning gives a deep generalisation of kernel methods",
       ICML, 2023.
    .. [2] Y. Cho, L. K. Saul, "Kernel methods for deep learning", NIPS, 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.gaussian_process import DeepKernelMachineRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-2, 2, (300, 2))
    >>> y = np.abs(X[:, 0]) - np.abs(X[:, 1]) + 0.1 * rng.normal(size=300)
    >>> model = DeepKernelMachineRegressor(n_inducing=20, random_state=0).fit(X, y)
    >>> print(f"{model.predict([[1.0, 0.0]])[0]:.1f}")
    1.0
    """

    _parameter_constraints = _DeepKernelMachine._parameter_constraints

    def __init__(
        self,
        n_layers=2,
        *,
        kernel="relu",
        nu="auto",
        n_inducing=100,
        learn_inducing=True,
        learn_scales=True,
        noise_floor=1e-2,
        include_bias=True,
        max_iter=200,
        tol=1e-4,
        batch_size=None,
        jitter=1e-8,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            n_layers,
            kernel=kernel,
            nu=nu,
            n_inducing=n_inducing,
            learn_inducing=learn_inducing,
            learn_scales=learn_scales,
            include_bias=include_bias,
            max_iter=max_iter,
            tol=tol,
            batch_size=batch_size,
            jitter=jitter,
            random_state=random_state,
            verbose=verbose,
        )
        self.noise_floor = noise_floor

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Learn the layers and the posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, y = validate_data(
            self, X, y, dtype=np.float64, order="C", y_numeric=True, multi_output=True
        )
        y = np.asarray(y, dtype=np.float64)
        check_data(X, y)
        self._one = y.ndim == 1
        columns = [standardized(column, True) for column in np.atleast_2d(y.T)]
        Y = np.column_stack([c[0] for c in columns])
        means, scales = (np.array([c[i] for c in columns]) for i in (1, 2))
        self._y_mean = float(means[0]) if self._one else means
        self._y_scale = float(scales[0]) if self._one else scales
        self._fit_layers(X, Y, None, self.noise_floor)
        self.noise_variance_ = self._state.noise * self._y_scale**2
        return self

    def _fit_blocks(self, blocks):
        if self.n_inducing is None or self.batch_size is not None:
            raise ValueError(
                f"n_inducing={self.n_inducing} with batch_size={self.batch_size} needs "
                "X in memory: rows in blocks are summed over for a number of inducing "
                "points, all of them in each step. Set n_inducing and leave batch_size "
                "None."
            )
        rows = DeepRows(blocks, self.include_bias)
        self._one = rows.is_flat
        mean, scale = rows.y_mean, rows.y_scale
        self._y_mean = float(mean[0]) if self._one else mean
        self._y_scale = float(scale[0]) if self._one else scale
        self._x_mean, self._x_scale = rows.x_mean, rows.x_scale
        self._set_far(rows.size)
        rng = check_random_state(self.random_state)
        X, Y = rows.sample(_SAMPLE, rng)
        self._learn(X, Y, None, self.noise_floor, rng, rows)
        self.noise_variance_ = self._state.noise * self._y_scale**2
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        return tags

    def _marginals(self, X, with_variance):
        mean, variance = self._latent(X)
        return mean[:, 0] if self._one else mean, variance[:, 0]

    def _joint(self, X):
        U = self._inputs(X)
        A, k, _ = self._state.rows(U)
        seen = self._state.posterior.marginals(A, k)
        H = seen.halves[0]
        cov = self._state.kernel(U) + H.T @ H - A.T @ A
        return (seen.mean[:, 0] if self._one else seen.mean), 0.5 * (cov + cov.T)


class DeepKernelMachineClassifier(
    ClassPosteriorMixin, ClassifierMixin, _DeepKernelMachine
):
    r"""Classification by Gaussian processes whose kernel has layers that are learned.

    As :class:`DeepKernelMachineRegressor`, with the log likelihood of normal targets
    replaced by the variational bound of that of classes,

    .. math::

        \sum_t E_q \log p(y_t | f_t) - \mathrm{KL}(q(u) \,\|\, N(0, a K(G_L))) ,

    f being one process for two classes (through the normal distribution function) and
    one a class for more (through softmax). The distribution q of the outputs at the
    inducing points is the best one throughout: natural gradients find it within a few
    steps. Use it where :class:`SparseGPClassifier` leaves structure behind. Do not use
    it on some hundred samples, where one layer ties with it.
    Read more in the :ref:`User Guide <deep_kernel_machines>`.

    Parameters
    ----------
    n_layers : int, default=2
        Number L of learned Gram matrices; 0 is a Gaussian process.
    kernel : {"relu", "rbf"}, default="relu"
        The arc-cosine kernel of order 1, or the Gaussian kernel.
    nu : {"auto", "cv"} or float, default="auto"
        Relative width of a layer: how strongly it is held. ``"cv"`` takes the best of
        1, 10, 100 and infinity times the number of processes, by the predictive
        probability in 5 folds of at most 1000 samples; without inducing points, of 2,
        10, 100, 1000 and infinity, with at most 300. ``"auto"`` does the same with one
        fold held out where there are more than 300.
    n_inducing : int or None, default=100
        Number of inducing points. None takes all rows, in O(n^3) time.
    learn_inducing : bool, default=True
        Whether the inducing points move from where k-means put them.
    learn_scales : bool, default=True
        Whether a weight of every feature and the variance `a` are learned. Otherwise
        standardized features have equal weights with sum 1, and `a` is 1.
    include_bias : bool, default=True
        Whether a constant is added to the features.
    max_iter : int, default=200
        Largest number of iterations; of passes over the data with `batch_size`.
    tol : float, default=1e-4
        Stop when no entry of the projected gradient of the objective divided by
        n_samples exceeds `tol`, as in :class:`DeepKernelMachineRegressor`.
    batch_size : int or None, default=None
        Samples a stochastic step looks at. None looks at all and climbs by L-BFGS-B.
    jitter : float, default=1e-8
        Added to diagonals of kernels, relative to their means.
    random_state : int, RandomState instance or None, default=None
        For k-means, folds and batches.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    grams_ : list of ndarray of shape (m, m)
        Learned Gram matrices of the inducing points, the first layer first.
    inducing_points_ : ndarray of shape (m, n_features)
        The points that carry the layers.
    feature_weights_ : ndarray
        Weights of the standardized features in :math:`G_0`, that of the constant last.
    amplitude_ : float
        The variance a.
    nu_ : float
        The relative width in use.
    objective_ : float
        The objective.
    history_ : ndarray
        Objective after each iteration.
    certificate_ : Certificate
        The projected gradient. With `batch_size` nothing is promised.
    n_iter_ : int
        Number of iterations.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        For targets of one class.
    NumericalError
        If a kernel cannot be factored.

    Warns
    -----
    ConvergenceWarning
        If the projected gradient is above `tol` at the end.
    UserWarning
        If there are fewer distinct samples than `n_inducing`.

    See Also
    --------
    DeepKernelMachineRegressor : For numbers.
    SparseGPClassifier : One layer, with any kernel of scikit-learn.

    Notes
    -----
    As for :class:`DeepKernelMachineRegressor`, and n m^2 multiplications for every
    natural-gradient step and process. Memory O(n m). Expectations of log softmax are
    means over fixed symmetric points, 32 or more, so that the objective is smooth.

    References
    ----------
    .. [1] A. X. Yang, M. Robeyns, E. Milsom, B. Anson, N. Schoots, L. Aitchison, "A
       theory of representation learning gives a deep generalisation of kernel methods",
       ICML, 2023.
    .. [2] J. Hensman, A. G. de G. Matthews, Z. Ghahramani, "Scalable variational
       Gaussian process classification", AISTATS, 2015.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from sparsestat.gaussian_process import DeepKernelMachineClassifier
    >>> X, y = make_moons(200, noise=0.2, random_state=0)
    >>> model = DeepKernelMachineClassifier(n_inducing=20, random_state=0).fit(X, y)
    >>> print(f"{model.score(X, y):.1f}")
    1.0
    """

    _needs_rows = "it keeps the features of all rows between the steps of its bound"
    _parameter_constraints = {
        k: v
        for k, v in _DeepKernelMachine._parameter_constraints.items()
        if k != "noise_floor"
    }

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Learn the layers and the posterior.

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
        check_classification_targets(y)
        check_data(X, np.zeros(1))
        self._encode(X, y)
        Y = self._targets(y)
        return self._fit_layers(X, Y, self._likelihood, 0.0)
