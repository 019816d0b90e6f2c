"""Choose the degree exponent and the weights of FastRP by cross-validation."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv, cross_val_score
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import HasMethods, Interval, StrOptions, fit_context
from sparsestat.embedding._fastrp import FastRP

__all__ = ["FastRPCV"]


class FastRPCV(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SparsestatEstimator):
    r"""FastRP whose degree exponent and weights suit a node classification.

    Settings are drawn at random: :math:`\beta` uniformly from `beta_range`, the
    weights of all powers but the first log-uniformly from `weight_range`; the first
    weight is 1. Each is scored by cross-validation of a classifier on an embedding of
    few components, and the best is refitted with all of them. The powers do not depend
    on the weights, so that one propagation per exponent serves all its weights. The
    default setting of :class:`FastRP` is always among those tried.

    Parameters
    ----------
    n_components : int, default=128
        Dimensions of the final embedding.
    n_powers : int, default=6
        Highest power.
    beta_range : tuple of (float, float), default=(-1.0, 0.5)
        Where to draw beta from.
    weight_range : tuple of (float, float), default=(1.0, 64.0)
        Where to draw weights from.
    n_iter : int, default=20
        Settings to try.
    n_betas : int, default=5
        Different exponents among them.
    estimator : classifier, default=None
        None stands for ``LogisticRegression(C=0.1, max_iter=1000)``.
    scoring : str or callable, default="f1_macro"
        As in scikit-learn.
    cv : int, splitter or iterable, default=None
        As in scikit-learn; None means 5 stratified folds, or fewer, but 2 at least,
        where a class has fewer members.
    tune_components : int, default=64
        Dimensions while settings are tried; never more than `n_components`.
    direction : {"out", "in", "both", "undirected"}, default="out"
        As in :class:`FastRP`.
    metric : {"adjacency", "bipartite"}, default="adjacency"
        As in :class:`FastRP`.
    s : "sqrt" or float, default="sqrt"
        As in :class:`FastRP`.
    dtype : {"float32", "float64"}, default="float32"
        As in :class:`FastRP`.
    n_jobs : int, default=None
        Threads of the propagation and workers of the cross-validation.
    random_state : int, RandomState instance or None, default=None
        Seed of the projection and of the settings.

    Attributes
    ----------
    best_beta_ : float
        Exponent of the best setting.
    best_weights_ : ndarray of shape (n_powers,)
        Its weights.
    best_score_ : float
        Its mean score over the folds.
    cv_results_ : dict of ndarray
        ``beta``, ``weights``, ``mean_test_score`` and ``std_test_score`` of all
        settings, in the order in which they were tried.
    best_estimator_ : FastRP
        Refitted on the whole graph.
    embedding_ : ndarray of shape (n_nodes, n_components)
        Its embedding.
    certificate_ : Certificate
        That of the embedding.
    n_features_in_ : int
        Number of columns of X.

    See Also
    --------
    FastRP : With a setting of your own.

    Notes
    -----
    Nodes of the test folds stay in the graph, whose embedding does not see labels:
    that is the usual transductive protocol of node classification. Of settings that
    score equally the first one is taken.

    References
    ----------
    .. [1] H. Chen, S. F. Sultan, Y. Tian, M. Chen, S. Skiena, "Fast and accurate
       network embeddings via very sparse random projection", CIKM, 2019.

    Examples
    --------
    >>> import networkx as nx
    >>> from sparsestat.embedding import FastRPCV
    >>> graph = nx.karate_club_graph()
    >>> club = [graph.nodes[i]["club"] for i in graph]
    >>> model = FastRPCV(16, n_iter=4, n_betas=2, random_state=0).fit(graph, club)
    >>> bool(model.best_score_ > 0.9)
    True
    """

    _needs_rows = "its rows and columns are the nodes of one graph"

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "n_powers": [Interval(Integral, 1, None, closed="left")],
        "beta_range": [tuple, list],
        "weight_range": [tuple, list],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "n_betas": [Interval(Integral, 1, None, closed="left")],
        "estimator": [HasMethods(["fit", "predict"]), None],
        "scoring": [str, callable],
        "cv": ["cv_object"],
        "tune_components": [Interval(Integral, 1, None, closed="left")],
        "direction": [StrOptions({"out", "in", "both", "undirected"})],
        "metric": [StrOptions({"adjacency", "bipartite"})],
        "s": [StrOptions({"sqrt"}), Interval(Real, 1, None, closed="left")],
        "dtype": [StrOptions({"float32", "float64"})],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=128,
        *,
        n_powers=6,
        beta_range=(-1.0, 0.5),
        weight_range=(1.0, 64.0),
        n_iter=20,
        n_betas=5,
        estimator=None,
        scoring="f1_macro",
        cv=None,
        tune_components=64,
        direction="out",
        metric="adjacency",
        s="sqrt",
        dtype="float32",
        n_jobs=None,
        random_state=None,
    ):
        self.n_components = n_components
        self.n_powers = n_powers
        self.beta_range = beta_range
        self.weight_range = weight_range
        self.n_iter = n_iter
        self.n_betas = n_betas
        self.estimator = estimator
        self.scoring = scoring
        self.cv = cv
        self.tune_components = tune_components
        self.direction = direction
        self.metric = metric
        self.s = s
        self.dtype = dtype
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, labeled=None):
        """Choose a setting by the labels of the nodes and embed the graph.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_nodes, n_nodes), networkx graph \
                or tuple
            As in :meth:`FastRP.fit`.
        y : array-like of shape (n_nodes,)
            Classes of the nodes.
        labeled : array-like of bool or int, default=None
            Mask or indices of the nodes whose classes may be used; None means all.

        Returns
        -------
        self : FastRPCV
            The fitted embedding.

        Raises
        ------
        ValueError
            If a range is not an increasing pair, if y does not have one entry a node,
            or where FastRP refuses the graph.

        Warns
        -----
        UserWarning
            If the labeled nodes have a single class; the defaults are used then.
        """
        betas, weights = self._draw_settings()
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        y = column_or_1d(check_array(y, ensure_2d=False, dtype=None, input_name="y"))
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(2**31 - 1))
        scores = np.empty((len(betas), 2))
        used = None
        for beta in dict.fromkeys(betas):
            powers = self._powers(X, beta, seed)
            if used is None:
                used = self._used(labeled, len(powers[0]), y)
            for i in np.flatnonzero(betas == beta):
                scores[i] = self._score(powers, weights[i], y, used)
        best = 0
        if np.isnan(scores).all():
            warnings.warn(
                "FastRPCV: the labeled nodes have a single class, so that no setting "
                "can be preferred. The defaults of FastRP are used; pass y with two "
                "classes or more.",
                UserWarning,
                stacklevel=3,
            )
        else:
            best = int(np.nanargmax(scores[:, 0]))
        self.best_beta_, self.best_weights_ = float(betas[best]), weights[best]
        self.best_score_ = float(scores[best, 0])
        self.cv_results_ = {
            "beta": betas,
            "weights": weights,
            "mean_test_score": scores[:, 0],
            "std_test_score": scores[:, 1],
        }
        self.best_estimator_ = self._model(
            self.n_components, self.best_beta_, self.best_weights_, seed, "standard"
        ).fit(X)
        self.embedding_ = self.best_estimator_.embedding_
        self.certificate_ = self.best_estimator_.certificate_
        self.n_features_in_ = self.best_estimator_.n_features_in_
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def fit_transform(self, X, y=None, **fit_params):
        """Choose a setting and return the embedding.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_nodes, n_nodes), networkx graph \
                or tuple
            As in :meth:`fit`.
        y : array-like of shape (n_nodes,)
            Classes of the nodes.
        **fit_params : dict
            Keyword arguments of :meth:`fit`.

        Returns
        -------
        embedding : ndarray of shape (n_nodes, n_components)
            The attribute `embedding_`.
        """
        return self.fit(X, y, **fit_params).embedding_

    def transform(self, X):
        """Embed new nodes by their arcs to the nodes of the fit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_new, n_features_in_)
            As in :meth:`FastRP.transform`.

        Returns
        -------
        embedding : ndarray of shape (n_new, n_components)
            In the space of the fitted nodes.
        """
        check_is_fitted(self)
        return self.best_estimator_.transform(X)

    @property
    def _n_features_out(self):
        return self.embedding_.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        tags.input_tags.pairwise = self.metric == "adjacency"
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _draw_settings(self):
        """Return the exponents and the weights of all settings to try."""
        for name in ("beta_range", "weight_range"):
            low = _check_range(name, getattr(self, name))[0]
            if name == "weight_range" and low <= 0:
                raise ValueError(
                    f"weight_range must be positive, got {self.weight_range!r}."
                )
        # Settings have a stream of their own: they do not move with the projection.
        rng = np.random.default_rng(
            check_random_state(self.random_state).randint(2**31 - 1)
        )
        n_betas = min(self.n_betas, self.n_iter)
        drawn = np.concatenate([[0.0], rng.uniform(*self.beta_range, n_betas - 1)])
        betas = drawn[np.arange(self.n_iter) % n_betas]
        logs = np.log(np.asarray(self.weight_range, dtype=float))
        weights = np.exp(rng.uniform(*logs, (self.n_iter, self.n_powers)))
        weights[:, 0] = 1.0
        weights[0] = 2.0 ** np.arange(self.n_powers)  # the defaults of FastRP
        return betas, weights

    def _model(self, d, beta, weights, seed, output):
        return FastRP(
            d,
            weights=weights,
            beta=beta,
            s=self.s,
            output=output,
            direction=self.direction,
            metric=self.metric,
            dtype=self.dtype,
            n_jobs=self.n_jobs,
            random_state=seed,
        )

    def _powers(self, X, beta, seed):
        """Return the powers with normalized rows for one exponent."""
        d = min(self.tune_components, self.n_components)
        model = self._model(d, beta, np.ones(self.n_powers), seed, None)
        return model._fit_powers(X)

    def _used(self, labeled, n, y):
        if len(y) != n:
            raise ValueError(
                f"y must have one entry a node: {len(y)} entries against {n} nodes."
            )
        if labeled is None:
            return np.arange(n)
        used = np.asarray(labeled)
        if used.dtype == bool:
            if used.shape != (n,):
                raise ValueError(
                    f"labeled is a mask of shape {used.shape}; expected ({n},)."
                )
            return np.flatnonzero(used)
        if used.ndim != 1 or used.dtype.kind not in "iu":
            raise ValueError("labeled must be a mask or a list of node indices.")
        if used.size and (used.min() < 0 or used.max() >= n):
            raise ValueError(f"labeled has node indices outside 0..{n - 1}.")
        return used

    def _folds(self, y):
        """Return the splitter: by default 5 folds, fewer for rare classes."""
        _, counts = np.unique(y, return_counts=True)
        folds = min(5, max(2, int(counts.min())))
        return check_cv(folds if self.cv is None else self.cv, y, classifier=True)

    def _score(self, powers, weights, y, used):
        E = np.zeros(powers[0].shape)
        for weight, power in zip(weights, powers, strict=True):
            E += weight * power
        spread = E.std(axis=0)
        E = (E - E.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        if len(np.unique(y[used])) < 2:
            return np.nan, np.nan
        estimator = self.estimator
        if estimator is None:
            estimator = LogisticRegression(C=0.1, max_iter=1000)
        scores = cross_val_score(
            clone(estimator),
            E[used],
            y[used],
            cv=self._folds(y[used]),
            scoring=check_scoring(estimator, self.scoring),
            n_jobs=self.n_jobs,
        )
        return scores.mean(), scores.std()


def _check_range(name, pair):
    values = np.asarray(pair, dtype=float)
    if values.shape != (2,) or not np.isfinite(values).all() or values[0] > values[1]:
        raise ValueError(f"{name} must be an increasing pair of numbers, got {pair!r}.")
    return values
