"""QuickSelection: features by the strength of their connections in an autoencoder.

Atashgahi et al., "Quick and robust feature selection: the strength of energy-efficient
sparse training for autoencoders", Machine Learning 111, 2022.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import check_random_state
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    RealNotInt,
    StrOptions,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate
from sparsestat._utils.samples import FLOATS, check_samples, given_weights
from sparsestat._utils.validation import as_compressed
from sparsestat.exceptions import NumericalError
from sparsestat.feature_selection._autoencoder import (
    Training,
    evolve,
    new_network,
    train_epoch,
)

__all__ = ["QuickSelection"]


class QuickSelection(SelectorMixin, CallbackSupportMixin, SparsestatEstimator):
    r"""Select features without labels, by training a sparse autoencoder.

    A network with one hidden layer learns to restore the samples from noisy copies of
    them. Its layers are sparse from the first to the last step, with
    :math:`\varepsilon (p + h)` of p h possible connections each; after each epoch those
    with the weakest weights move to random places. Features that help to restore the
    others keep strong connections: the score of feature i is

    .. math:: s_i = \sum_j |w_{ij}|,

    the strength of its input. Time and memory are those of the connections. Use it for
    wide tables without labels, where features that hang together matter; it does not
    see a feature that stands alone, however useful, and with a target at hand a
    supervised choice is better. When there are fewer features than hidden units, long
    training lets the network copy noise as well: stop early. The choice depends on the
    seed: look at more than one.
    Read more in :ref:`User Guide <ensembles>`.

    Parameters
    ----------
    n_features_to_select : int, float or None, default=None
        How many features to select; a float is a share of them, None half of them.
    n_hidden : int, default=1000
        Hidden units h.
    epsilon : float, default=13.0
        Connections of a layer in units of p + h. A layer has at most p h.
    zeta : float, default=0.2
        Share of the positive and of the negative weights that move after an epoch.
    n_epochs : int, default=20
        Passes over the samples.
    batch_size : int, default=100
        Samples of a step; all of them if there are fewer.
    learning_rate : float, default=0.01
        Step length, on half the mean squared error, summed over features.
    momentum : float, default=0.9
        Share of the last step that is added to a step.
    weight_decay : float, default=1e-5
        Strength of the ridge penalty on the weights.
    dropout : float, default=0.2
        Share of the hidden units that are left out of a sample's step.
    noise : float, default=0.2
        Standard deviation of the noise on the scaled inputs.
    scaling : {"minmax", "standard"} or None, default="minmax"
        Bring features to the range from 0 to 1, or to mean 0 and variance 1, or leave
        them as they are. With "minmax" a feature that is nearly always the same, such
        as a pixel at the border, stays weak. For features of different kinds, some of
        them noise of full variance, "standard" is the better choice.
    random_state : int, RandomState instance or None, default=None
        Seed of the connections, batches, noise and dropout.
    verbose : int, default=0
        At 1 and above, one line an epoch on the logger ``sparsestat``.

    Attributes
    ----------
    feature_strengths_ : ndarray of shape (n_features_in_,)
        Sums of the absolute weights of the inputs.
    ranking_ : ndarray of shape (n_features_in_,)
        Rank of every feature, 1 for the strongest. Constant features come last.
    n_features_ : int
        Number of selected features.
    weights_ : tuple of csr_array
        Weights of shape ``(n_features_in_, n_hidden)`` and
        ``(n_hidden, n_features_in_)``.
    history_ : ndarray of shape (n_iter_,)
        Mean loss of every epoch, with noise and dropout.
    n_iter_ : int
        Epochs trained.
    certificate_ : Certificate
        Of kind "none": no optimum is claimed. `details` has the last loss.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X is a data frame.

    See Also
    --------
    sklearn.feature_selection.VarianceThreshold : Select by variance.
    sklearn.feature_selection.SelectKBest : Select by a target.

    Notes
    -----
    One epoch takes O(n (p + h) epsilon) operations. Only batches of a sparse X are made
    dense. The authors' code updates the first layer twice in a step, as its loop over
    layers contains that over updates; here every layer is updated once. Computation is
    in single precision, on one thread.

    References
    ----------
    .. [1] Z. Atashgahi, G. Sokar, T. van der Lee, E. Mocanu, D. C. Mocanu, R. Veldhuis,
       M. Pechenizkiy, "Quick and robust feature selection: the strength of
       energy-efficient sparse training for autoencoders", Machine Learning 111, 2022.
    .. [2] D. C. Mocanu, E. Mocanu, P. Stone, P. H. Nguyen, M. Gibescu, A. Liotta,
       "Scalable training of artificial neural networks with adaptive sparse
       connectivity inspired by network science", Nature Communications 9, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.feature_selection import QuickSelection
    >>> rng = np.random.default_rng(0)
    >>> informative = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 150))
    >>> X = np.hstack([informative, rng.normal(size=(500, 150))])
    >>> selector = QuickSelection(n_hidden=100, scaling="standard", random_state=0)
    >>> bool(selector.fit(X).get_support()[:150].mean() > 0.8)
    True
    """

    _parameter_constraints = {
        "n_features_to_select": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "zeta": [Interval(Real, 0, 1, closed="left")],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "scaling": [StrOptions({"minmax", "standard"}), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_features_to_select=None,
        *,
        n_hidden=1000,
        epsilon=13.0,
        zeta=0.2,
        n_epochs=20,
        batch_size=100,
        learning_rate=0.01,
        momentum=0.9,
        weight_decay=1e-5,
        dropout=0.2,
        noise=0.2,
        scaling="minmax",
        random_state=None,
        verbose=0,
    ):
        self.n_features_to_select = n_features_to_select
        self.n_hidden = n_hidden
        self.epsilon = epsilon
        self.zeta = zeta
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.noise = noise
        self.scaling = scaling
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Train the network and rank the features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the loss. Rows of weight zero do not matter.

        Returns
        -------
        self : QuickSelection
            The fitted selector.

        Raises
        ------
        ValueError
            If more features are to be selected than there are.
        NumericalError
            If training diverges.
        """
        X, weights = self._checked(X, sample_weight, reset=True)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        # Connections have a stream of their own, which the samples do not move.
        rng, draw = (np.random.default_rng([self._seed, k]) for k in range(2))
        self._shift, self._factor, self._varies = _scaling(X, weights, self.scaling)
        self._network = new_network(X.shape[1], self.n_hidden, self.epsilon, rng)
        history = []
        with FitProgress(self, self.n_epochs, X=X, verbose=self.verbose) as progress:
            for epoch in range(self.n_epochs):
                history.append(self._train(X, weights, draw))
                self._rank(history)
                if progress.step(loss=history[-1]):
                    break
                if epoch < self.n_epochs - 1:
                    self._evolve(rng)
        self._rank(history)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Train one epoch on some samples, after moving connections.

        The first call draws the network and fixes the scaling of the features, so that
        its samples should be typical.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : Ignored
            Present for API consistency.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples in the loss.

        Returns
        -------
        self : QuickSelection
            The selector, trained further.
        """
        first = not hasattr(self, "_network")
        X, weights = self._checked(X, sample_weight, reset=first)
        if first:
            self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            rng = np.random.default_rng([self._seed, 0])
            self._shift, self._factor, self._varies = _scaling(X, weights, self.scaling)
            self._network = new_network(X.shape[1], self.n_hidden, self.epsilon, rng)
            history = []
        else:
            history = list(self.history_)
            rng = np.random.default_rng([self._seed, 2, len(history)])
            # An interrupt puts attributes back: none is changed in place.
            self._network = self._network.copy()
            self._varies = self._varies | _scaling(X, weights, None)[2]
            self._evolve(rng)
        history.append(self._train(X, weights, rng))
        self._rank(history)
        return self

    def _checked(self, X, sample_weight, *, reset):
        """Return samples, those of weight zero left out, and their weights."""
        X = check_samples(self, X, reset=reset, accept_sparse="csr", dtype=FLOATS)
        if sparse.issparse(X):
            X = as_compressed(X, "csr")
        weights = given_weights(sample_weight, X)
        if weights is not None:
            kept = np.flatnonzero(weights)
            X, weights = X[kept], weights[kept] / weights.max()
        self._n_to_select(X.shape[1])
        return X, weights

    def _n_to_select(self, p):
        k = self.n_features_to_select
        if k is None:
            return max(1, p // 2)
        if not isinstance(k, Integral):
            return max(1, int(k * p))
        if k > p:
            raise ValueError(
                f"n_features_to_select={k} is more than the {p} features of X."
            )
        return int(k)

    def _train(self, X, weights, rng):
        training = Training(
            batch_size=self.batch_size,
            rate=self.learning_rate,
            momentum=self.momentum,
            decay=self.weight_decay,
            dropout=self.dropout,
            noise=self.noise,
        )
        with np.errstate(over="ignore", invalid="ignore"):
            loss = train_epoch(
                self._network, X, self._shift, self._factor, weights, training, rng
            )
            finite = np.isfinite(loss) and np.isfinite(self._network.encoder.data).all()
        if not finite:
            raise NumericalError(
                f"QuickSelection: training diverged (loss {loss:.1e}). Lower "
                f"learning_rate, which is {self.learning_rate}, or use "
                "scaling='minmax'."
            )
        return float(loss)

    def _evolve(self, rng):
        network = self._network
        network.encoder = evolve(network.encoder, self.zeta, rng)
        network.decoder = evolve(network.decoder, self.zeta, rng)

    def _rank(self, history):
        """Store what the weights say about the features."""
        from sparsestat.feature_selection._kernels_layers import strengths

        network = self._network
        values = strengths(network.encoder.data, network.encoder.indptr)
        order = np.lexsort((-values, ~self._varies))
        ranking = np.empty(len(order), np.int64)
        ranking[order] = np.arange(1, len(order) + 1)
        self.feature_strengths_, self.ranking_ = values, ranking
        self.n_features_ = self._n_to_select(len(values))
        self.weights_ = (
            network.encoder.matrix(),
            sparse.csr_array(network.decoder.matrix().T),
        )
        self.history_ = np.array(history)
        self.n_iter_ = len(history)
        self.certificate_ = Certificate(
            "none",
            0.0,
            np.inf,
            True,
            "no optimum is claimed",
            {"loss": history[-1]},
        )

    def _get_support_mask(self):
        check_is_fitted(self)
        return self.ranking_ <= self.n_features_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _scaling(X, weights, scaling):
    """Return what is subtracted, by what is multiplied, and which features vary."""
    if sparse.issparse(X):
        low, high = min_max_axis(X, axis=0)
    else:
        low, high = X.min(axis=0), X.max(axis=0)
    low, high = low.astype(np.float64), high.astype(np.float64)
    varies = high > low
    if scaling is None:
        return np.zeros_like(low), np.ones_like(low), varies
    if scaling == "minmax":
        shift, spread = low, high - low
    elif sparse.issparse(X):
        shift, variance = mean_variance_axis(X.astype(np.float64), 0, weights)
        spread = np.sqrt(variance)
    else:
        X = X.astype(np.float64, copy=False)
        shift = np.average(X, axis=0, weights=weights)
        spread = np.sqrt(np.average((X - shift) ** 2, axis=0, weights=weights))
    spread = np.where(varies & (spread > 0), spread, np.inf)
    return shift, 1.0 / spread, varies
