"""Orthogonal dictionaries online, by averaged Frank-Wolfe steps."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from copy import copy
from dataclasses import replace
from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state, gen_batches

from sparsestat._utils.arithmetic import standardize
from sparsestat._utils.compat import (
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate
from sparsestat.decomposition._orthogonal import _frank_wolfe as fw
from sparsestat.decomposition._orthogonal_base import (
    COMMON_CONSTRAINTS,
    OrthogonalTransformer,
)

__all__ = ["OnlineOrthogonalDictionary"]


class OnlineOrthogonalDictionary(OrthogonalTransformer):
    r"""Orthogonal dictionary learning on a stream by averaged Frank-Wolfe.

    For samples :math:`y = D x` with orthogonal D and sparse x it maximizes

    .. math:: E \|A y\|_p^p \quad \text{over} \quad A A^\top = I,

    with p `p` and A `components_`: at given variance, codes have the largest p-th
    powers when they are sparse. Mini-batch t moves A towards the polar factor of
    an averaged gradient,

    .. math:: G_t = (1 - \rho_t) G_{t-1} + \rho_t g_t(A_t), \qquad
        A_{t+1} = (1 - \gamma_t) A_t + \gamma_t \operatorname{polar}(G_t),

    and the polar factor of A is returned. The state is A, G and, with
    `precondition`, a covariance; no data are kept. Use it on streams, when the
    atoms are orthogonal or can be made so by whitening: there is no penalty to
    tune. For overcomplete dictionaries use
    :class:`sklearn.decomposition.MiniBatchDictionaryLearning`; when all data fit
    in memory, :class:`OrthogonalDictionary` is a little more accurate, and
    :class:`sklearn.decomposition.FastICA` solves a related problem. Read more in
    the :ref:`User Guide <orthogonal_dictionaries>`.

    Parameters
    ----------
    n_components : int, default=None
        Number of atoms, at most `n_features`. None takes `n_features`.
    p : float, default=3
        Exponent, above 2. Larger ones are more sensitive to outliers.
    batch_size : int, default=100
        Samples a step. From `n_features` on, the singular value decomposition
        does not dominate.
    max_iter : int, default=1
        Passes over the data in `fit`.
    schedule : {"adaptive", "nonconvex", "convex"}, default="adaptive"
        ``"adaptive"`` takes full steps, ``gamma = 1``, along gradients averaged over a
        memory that grows while the objective does not; on data of the model it needs
        fewer samples, above all with many features, but nothing is proved of it, and in
        many passes over other data the published sizes may get farther: for
        ``"nonconvex"`` ``4 / (t+1)^(1/2)`` and ``2 / (t+2)^(3/4)``, for ``"convex"``
        ``4 / (t+8)^(2/3)`` and ``2 / (t+8)``, all cut at 1.
    project_every : int, default=0
        Replace A by its polar factor after this many steps; 0 does so only for
        the answer, and halves the work.
    precondition : bool, default=False
        Whiten by a running covariance, for dictionaries that are complete but not
        orthogonal.
    center : bool, default=False
        Subtract a running mean. The model has mean zero.
    refresh : int, default=10
        Batches until the whitening is computed anew; the interval doubles.
    transform_algorithm : {"hard", "linear", "topk", "soft"}, default="hard"
        ``"linear"`` codes are ``X @ components_.T``. ``"hard"`` keeps those with
        magnitudes above `transform_alpha`, ``"topk"`` the largest ones, ``"soft"``
        shrinks by `transform_alpha`: without `precondition` these solve the penalized
        problems exactly.
    transform_n_nonzero_coefs : int, default=None
        Entries kept by ``"topk"``; None takes a tenth of the atoms.
    transform_alpha : float, default=None
        Threshold of ``"hard"`` and ``"soft"``. None takes 1 for soft, and for hard the
        universal ``noise_scale_ * sqrt(2 * log(n_components))``, per unit of the norm
        of an atom's row of `components_`.
    allow_complex : bool, default=False
        Accept complex X (dense): atoms are then unitary, and gradients weigh codes by
        their magnitudes.
    shuffle : bool, default=True
        Visit the samples in random order in `fit`.
    init : array-like of shape (n_components, n_features), default=None
        Start with orthonormal rows. None draws one uniformly.
    random_state : int, RandomState instance or None, default=None
        Draws the start and the order of samples.
    verbose : int, default=0
        At 1 and above, log a line per pass.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Analysis operator: orthonormal rows, times the whitening if there is one.
    dictionary_ : ndarray of shape (n_features, n_components)
        Atoms as columns: ``components_.T`` without whitening.
    gradient_ : ndarray of shape (n_components, n_features)
        The averaged gradient.
    gap_ : float
        Frank-Wolfe gap of the answer on the last batch, in units of the objective
        divided by p, per atom.
    certificate_ : Certificate
        Kind ``monotone_bound``. The gap relative to the nuclear norm of the
        gradient; informative, never warned about. ``details["fresh_gap"]`` is that
        of the iterate before the last batch was used: held-out data in a first
        pass.
    noise_scale_ : float
        Standard deviation of the noise of codes, from the median of their magnitudes
        on the data of the last call: right when most codes are noise alone.
    mean_ : ndarray of shape (n_features,) or None
        Running mean.
    whitening_ : ndarray of shape (n_features, n_features) or None
        Symmetric inverse square root of the running covariance.
    n_steps_ : int
        Batches used since the first.
    n_samples_seen_ : int
        Samples used since the first.
    n_iter_ : int
        Passes over the data.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    OrthogonalDictionary : The same objective on all data at once.
    sklearn.decomposition.MiniBatchDictionaryLearning : Overcomplete, l1 penalty.

    Notes
    -----
    One step costs ``4 n_components n_features batch_size`` operations and a
    decomposition of O(n_components^2 n_features). Memory beside X: O(n_features^2).
    The state is kept in double precision; float32 input gives float32 atoms.
    Batches need not be held together: feed them to :meth:`partial_fit`, from a
    file, a generator or the blocks of a dask array.

    References
    ----------
    .. [1] Y. Xue, V. Lau, "Online orthogonal dictionary learning based on
       Frank-Wolfe method", IEEE TNNLS, 2021.
    .. [2] A. Mokhtari, H. Hassani, A. Karbasi, "Stochastic conditional gradient
       methods", JMLR 21, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import OnlineOrthogonalDictionary
    >>> rng = np.random.default_rng(0)
    >>> D = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    >>> codes = rng.standard_normal((20000, 8)) * (rng.random((20000, 8)) < 0.2)
    >>> model = OnlineOrthogonalDictionary(random_state=0).fit(codes @ D.T)
    >>> float(np.abs(model.components_ @ D).max(axis=1).min())
    0.99...
    """

    _parameter_constraints = {
        **COMMON_CONSTRAINTS,
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "schedule": [StrOptions({"nonconvex", "convex", "adaptive"})],
        "project_every": [Interval(Integral, 0, None, closed="left")],
        "refresh": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
    }

    def __init__(
        self,
        n_components=None,
        *,
        p=3,
        batch_size=100,
        max_iter=1,
        schedule="adaptive",
        project_every=0,
        precondition=False,
        center=False,
        refresh=10,
        transform_algorithm="hard",
        transform_n_nonzero_coefs=None,
        transform_alpha=None,
        allow_complex=False,
        shuffle=True,
        init=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.p = p
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.schedule = schedule
        self.project_every = project_every
        self.precondition = precondition
        self.center = center
        self.refresh = refresh
        self.transform_algorithm = transform_algorithm
        self.transform_n_nonzero_coefs = transform_n_nonzero_coefs
        self.transform_alpha = transform_alpha
        self.allow_complex = allow_complex
        self.shuffle = shuffle
        self.init = init
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn a dictionary from scratch, in `max_iter` passes over X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. Never densified or modified.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples within their batch.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, weights = self._given(self._validate_samples(X, reset=True), sample_weight)
        rng = check_random_state(self.random_state)
        self._reset(X, rng)
        n_samples = X.shape[0]
        with FitProgress(self, self.max_iter, X=X, verbose=self.verbose) as progress:
            for done in range(1, self.max_iter + 1):
                order = rng.permutation(n_samples) if self.shuffle else None
                last = self._use(X, weights, order)
                self.n_iter_ = done
                if progress.step(passes=done):
                    break
        if self.precondition and not self._interval:
            # Too few samples: says so, unless fewer atoms than features will do.
            self._whiten(self.n_components is not None)
        self._finish(X, weights, last)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Go on learning from further samples, in batches of `batch_size`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Further samples, visited in order. None are kept.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples within their batch.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        first = not hasattr(self, "components_")
        X = self._validate_samples(X, reset=first)
        if not first and np.iscomplexobj(self._A):
            X = self._samples_like_components(X)
        X, weights = self._given(X, sample_weight)
        if first:
            self._reset(X, check_random_state(self.random_state))
        self._memory = copy(self._memory)  # an interrupt must not find it ahead
        last = self._use(X, weights, None)
        self.n_iter_ = max(self.n_iter_, 1)
        self._finish(X, weights, last)
        return self

    def _fit_blocks(self, blocks):
        """Go through the rows in their order, `max_iter` times."""
        first = True
        with FitProgress(self, self.max_iter, verbose=self.verbose) as progress:
            for done in range(1, self.max_iter + 1):
                for batch in blocks.batches(self.batch_size):
                    X, weights = self._given(batch.X, batch.weights)
                    if first:
                        self._reset(X, check_random_state(self.random_state))
                        first = False
                    last = self._use(X, weights, None)
                self.n_iter_ = done
                if progress.step(passes=done):
                    break
        if first:
            raise ValueError("Found array with 0 sample(s): there is no row.")
        if self.precondition and not self._interval:
            self._whiten(self.n_components is not None)
        self._finish(X, weights, last)
        return self

    def _reset(self, X, rng):
        n_features = X.shape[1]
        k = self._check_sizes(n_features)
        self._A = self._start(k, n_features, rng, np.iscomplexobj(X))
        wide = self._A.dtype
        self.gradient_ = np.zeros((k, n_features), dtype=wide)
        self._keep_center(None)
        self._covariance = None
        if self.precondition:
            self._covariance = np.zeros((n_features,) * 2, dtype=wide)
        self._whitening = self._coloring = None
        self._memory = None
        if self.schedule == "adaptive":
            self._memory = fw.GrowingMemory(self.batch_size, n_features)
        self._interval = 0  # batches between refreshes; 0 before the first
        self._next_refresh = 0
        self.n_steps_ = self.n_iter_ = 0
        self.n_samples_seen_ = 0
        self._weight_seen = 0.0

    def _use(self, X, weights, order):
        """Step through all batches; return the rows of the last, and its gap."""
        for rows in gen_batches(X.shape[0], self.batch_size):
            is_last = rows.stop == X.shape[0]
            rows = rows if order is None else order[rows]
            w = None if weights is None else weights[rows]
            last = rows, self._step(X[rows], w, is_last)
        return last

    def _step(self, batch, weights, is_last):
        weight = batch.shape[0] if weights is None else weights.sum()
        self._weight_seen += weight
        self.n_samples_seen_ += batch.shape[0]
        share = weight / self._weight_seen
        if self.center:
            # The first batch says where the origin is; the mean travels about it.
            center = self._center
            if center is None:
                center = standardize(batch, weights)
                center = replace(center, mean=np.zeros_like(center.mean))
            batch = center.apply(batch)
            if weights is None:
                mean = np.asarray(batch.mean(axis=0), dtype=self._A.dtype).ravel()
            else:
                mean = np.asarray(batch.T @ weights).ravel() / weight
            traveled = center.mean + share * (mean - center.mean)
            self._keep_center(replace(center, mean=traveled))
        if self.precondition:
            self._accumulate(batch, weights, weight, share)
        gradient, value = fw.lp_gradient(
            batch,
            self._A,
            self.p,
            weights=weights,
            whitening=self._whitening,
            center=self._about(),
        )
        # Of an iterate inside the ball the gap is still one of convex analysis.
        fresh = fw.frank_wolfe_gap(gradient, self._A) if is_last else None
        if self._memory is None:
            rho, gamma = fw.step_sizes(self.n_steps_, self.schedule)
        else:
            rho, gamma = self._memory.weight(value), 1.0
        self.gradient_ = (1.0 - rho) * self.gradient_ + rho * gradient
        self.n_steps_ += 1
        if self.gradient_.any():
            target, _ = fw.polar(self.gradient_, self._A)
            self._A = (1.0 - gamma) * self._A + gamma * target
        if self.project_every and self.n_steps_ % self.project_every == 0:
            self._A = fw.polar(self._A)[0]
        return fresh

    def _about(self):
        """Return the mean as seen from where moved batches are."""
        if self._center is None:
            return None
        zeros = np.zeros_like(self._center.offset)
        return replace(self._center, offset=zeros, rest=zeros)

    def _accumulate(self, batch, weights, weight, share):
        """Update the second moments, and the whitening when it is due."""
        scaled = batch.conj()
        if weights is not None:
            scaled = (
                scaled * weights[:, None]
                if isinstance(batch, np.ndarray)
                else batch.multiply(weights[:, None]).tocsr()
            )
        moment = batch.T @ scaled
        moment = moment.toarray() if hasattr(moment, "toarray") else moment
        moment = np.asarray(moment, dtype=self._A.dtype) / weight
        self._covariance += share * (moment - self._covariance)
        if self._interval == 0:
            if self.n_samples_seen_ >= 2 * batch.shape[1]:
                self._whiten(self.n_components is not None)
                self._interval = self.refresh
                self._next_refresh = self.n_steps_ + self._interval
        elif self.n_steps_ >= self._next_refresh:
            self._whiten(self.n_components is not None)
            self._interval *= 2
            self._next_refresh = self.n_steps_ + self._interval

    def _whiten(self, reduce_rank):
        """Refresh the whitening; keep the atoms where they are in the data."""
        covariance = self._covariance
        if self._center is not None:
            mean = self._center.mean
            covariance = covariance - np.outer(mean, mean.conj())
        whitening, coloring = fw.whitening_from(
            covariance, self._A.shape[0], reduce_rank
        )
        old = self._A if self._whitening is None else self._A @ self._whitening
        self._A = fw.polar(old @ coloring)[0]
        self._whitening, self._coloring = whitening, coloring
        self.gradient_ = np.zeros_like(self.gradient_)
        if self._memory is not None:
            self._memory = fw.GrowingMemory(self.batch_size, self._A.shape[1])

    def _finish(self, X, weights, last):
        """Project the iterate and measure the gap of the answer on the last batch."""
        A = fw.polar(self._A)[0]
        self._store_dictionary(A, self._whitening, self._coloring, X.dtype)
        self._measure_noise(X, weights)
        rows, fresh = last
        gradient, _ = fw.lp_gradient(
            X[rows],
            A,
            self.p,
            weights=None if weights is None else weights[rows],
            whitening=self._whitening,
            center=self._center,
        )
        self.gap_ = fw.frank_wolfe_gap(gradient, A)
        scale = float(np.linalg.svd(gradient, compute_uv=False).sum()) / len(A)
        self.certificate_ = Certificate(
            "monotone_bound",
            self.gap_ / scale if scale > 0 else 0.0,
            np.inf,
            True,
            "Frank-Wolfe gap on the last batch / nuclear norm of its gradient",
            {
                "gap": float(self.gap_),
                "fresh_gap": float(fresh),
                "n_steps": int(self.n_steps_),
                "schedule": self.schedule,
            },
        )
