"""Forests of trees on rotated features.

Rodriguez, Kuncheva, Alonso, "Rotation forest: a new classifier ensemble method", TPAMI
2006; Blaser, Fryzlewicz, "Random rotation ensembles", JMLR 2016; Breiman, "Random
forests", Machine Learning 2001 (Forest-RC).
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import Interval, RealNotInt, StrOptions, fit_context
from sparsestat._utils.results import Certificate, users_stacklevel
from sparsestat._utils.samples import FLOATS, check_samples, given_weights
from sparsestat._utils.validation import as_compressed, check_magnitude, refuse_complex
from sparsestat.ensemble._groups import (
    ask_trees,
    grow_groups,
    importances,
    out_of_bag,
    rotate,
)
from sparsestat.ensemble._rotations import Scaler

__all__ = ["RotationForestClassifier", "RotationForestRegressor"]

_MAX_SEED = np.iinfo(np.int32).max


class _RotationForest(SparsestatEstimator):
    """What classifier and regressor share: rotations, trees and their answers."""

    _parameter_constraints = {
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "rotation": [StrOptions({"pca", "sparse", "random", "rc"}), None],
        "trees_per_rotation": [Interval(Integral, 1, None, closed="left")],
        "group_size": [Interval(Integral, 1, None, closed="left")],
        "subsample": [Interval(Real, 0, 1, closed="right")],
        "density": [Interval(Real, 0, 1, closed="right")],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "scaling": [StrOptions({"standard", "rank"}), None],
        "max_features": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
            StrOptions({"sqrt", "log2"}),
            None,
        ],
        "max_depth": [Interval(Integral, 1, None, closed="left"), None],
        "min_samples_leaf": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "min_weight_fraction_leaf": [Interval(Real, 0, 0.5, closed="both")],
        "bootstrap": ["boolean"],
        "oob_score": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def apply(self, X):
        """Return the leaf in which each tree puts each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        leaves : ndarray of shape (n_samples, n_estimators)
            Numbers of nodes.
        """
        X = self._scaled(X)
        leaves = []
        for group in self._groups:
            rotated = rotate(X, group.rotation)
            leaves += [tree.apply(rotated) for tree in group.trees]
        return np.column_stack(leaves)

    @property
    def feature_importances_(self):
        """Importances of the original features, which sum to one."""
        check_is_fitted(self)
        return importances(self._groups, self.n_features_in_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.scaling != "rank"
        return tags

    def _checked(self, X, y, sample_weight, **check):
        """Return samples, targets and weights without rows of weight zero."""
        refuse_complex(X)
        refuse_complex(y, name="y")
        X, y = validate_data(
            self, X, y, accept_sparse=self._formats(), dtype=FLOATS, **check
        )
        check_magnitude(X)
        weights = given_weights(sample_weight, X)
        if sparse.issparse(X):
            X = as_compressed(X, "csr")
        if weights is not None:
            kept = np.flatnonzero(weights)
            X, y = X[kept], y[kept]
            # By a power of two, so that whole numbers stay exact.
            weights = np.ldexp(weights[kept], -int(np.frexp(weights.max())[1]))
        return X, y, weights

    def _formats(self):
        return False if self.scaling == "rank" else "csr"

    def _grow(self, X, y, weights, make_tree, *, codes, of_trees):
        """Scale, rotate and grow; store what the forest consists of."""
        if self.oob_score and not self.bootstrap:
            raise ValueError("oob_score=True needs bootstrap=True.")
        rs = check_random_state(self.random_state)
        seeds = [rs.randint(_MAX_SEED) for _ in range(self.n_estimators)]
        step = self.trees_per_rotation
        plan = [
            (int(rs.randint(_MAX_SEED)), seeds[first : first + step])
            for first in range(0, len(seeds), step)
        ]
        self._scaler = Scaler(X, weights, self.scaling)
        scaled = self._scaler(X)
        self._groups = grow_groups(
            scaled,
            y,
            make_tree,
            kind=self.rotation,
            codes=codes,
            weights=(weights, of_trees),
            options={
                "group_size": self.group_size,
                "subsample": self.subsample,
                "density": self.density,
                "n_components": (
                    self.n_components if self.rotation in ("sparse", "rc") else None
                ),
                "bootstrap": self.bootstrap,
            },
            plan=plan,
            n_jobs=self.n_jobs,
        )
        self.estimators_ = [tree for group in self._groups for tree in group.trees]
        self.rotations_ = [group.rotation for group in self._groups]
        self.certificate_ = Certificate(
            "none", 0.0, np.inf, True, "trees are grown greedily: nothing is proved"
        )
        return scaled

    def _scaled(self, X):
        check_is_fitted(self)
        X = check_samples(
            self, X, reset=False, accept_sparse=self._formats(), dtype=FLOATS
        )
        if sparse.issparse(X):
            X = as_compressed(X, "csr")
        return self._scaler(X)

    def _unseen(self, scaled, ask, width):
        """Return out-of-bag answers and which samples have some; warn if not all."""
        answers, count = out_of_bag(self._groups, scaled, ask, width)
        if not count.all():
            warnings.warn(
                f"{(count == 0).sum()} samples were drawn for every tree and have no "
                "out-of-bag answer. Grow more trees.",
                stacklevel=users_stacklevel(),
            )
        return answers, count > 0


class RotationForestClassifier(ClassifierMixin, _RotationForest):
    r"""Forest of decision trees, each on a rotation of the features of its own.

    A tree cuts along its features. Where classes are separated by an oblique boundary
    in a few correlated features, such as the bands of a spectrum, a rotation brings
    along the directions that one cut needs, and different rotations make trees that
    differ. Where features mean something by themselves, and many are noise, a full
    rotation mixes the noise into all of them and loses to
    :class:`sklearn.ensemble.RandomForestClassifier`: compare both on held-out data.
    Read more in :ref:`User Guide <ensembles>`.

    Parameters
    ----------
    n_estimators : int, default=100
        Number of trees.
    rotation : {"pca", "sparse", "random", "rc"} or None, default="pca"
        Matrix by which features are multiplied. "pca": principal axes of random groups
        of `group_size` features, each from a part of the samples, all axes kept
        (rotation forest [1]_). "random": a rotation drawn uniformly from all [2]_.
        "sparse": random signs at a share `density` of the places. "rc": combinations of
        `group_size` features with weights from -1 to 1, drawn for each group of trees
        where Forest-RC [3]_ draws them for each node. None: no rotation.
    trees_per_rotation : int, default=1
        Trees that share a rotation.
    group_size : int, default=3
        Features of a group, for "pca" and "rc".
    subsample : float, default=0.75
        Share of the samples from which axes are computed, for "pca".
    class_subset : bool, default=True
        Compute the axes of a group from a random set of classes, for "pca".
    density : float, default=1/3
        Share of entries that are not zero, for "sparse".
    n_components : int, default=None
        Number of rotated features for "sparse" and "rc"; the others keep as many as
        there are. None means so for all.
    scaling : {"standard", "rank"} or None, default="standard"
        Rotations mix features, which must have one scale: divide by the standard
        deviation, or take ranks among the training samples, or neither.
    max_features : {"sqrt", "log2"}, int, float or None, default="sqrt"
        Rotated features that compete at a node.
    max_depth : int, default=None
        Largest depth of a tree.
    min_samples_leaf : int or float, default=1
        Fewest samples in a leaf, or their share.
    min_weight_fraction_leaf : float, default=0.0
        Least share of the total weight in a leaf.
    bootstrap : bool, default=True
        Draw the samples of each tree with replacement.
    oob_score : bool, default=False
        Compute the accuracy on the samples that a tree has not seen.
    class_weight : dict or "balanced", default=None
        Weights of the classes.
    n_jobs : int, default=None
        Threads. The result is the same for every number.
    random_state : int, RandomState instance or None, default=None
        Seed of rotations, samples and trees.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    estimators_ : list of DecisionTreeClassifier
        The trees, on rotated features and class numbers.
    rotations_ : list of {ndarray, csr_array}
        The matrices ``(n_features_in_, n_components)``, one for each group of trees.
    feature_importances_ : ndarray of shape (n_features_in_,)
        Importances in the trees, shared out over features by the absolute entries of
        the rotations.
    oob_score_ : float
        Accuracy on unseen samples, with ``oob_score=True``.
    oob_decision_function_ : ndarray of shape (n_samples, n_classes)
        Mean probabilities of the trees that have not seen a sample, with
        ``oob_score=True``; zeros for samples that all have seen.
    certificate_ : Certificate
        Of kind "none".
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X is a data frame.

    See Also
    --------
    RotationForestRegressor : For numbers.
    sklearn.ensemble.RandomForestClassifier : Trees on the features as they are.

    Notes
    -----
    Beyond the trees a rotation costs n p^2 for "random", and n p times `group_size` or
    `density` p for the others; a dense rotation takes 8 p^2 bytes for each group of
    trees. Sparse X is not centered, which changes no tree, and its rotated features are
    dense: at most 2^27 entries.

    References
    ----------
    .. [1] J. J. Rodriguez, L. I. Kuncheva, C. J. Alonso, "Rotation forest: a new
       classifier ensemble method", IEEE TPAMI 28, 2006.
    .. [2] R. Blaser, P. Fryzlewicz, "Random rotation ensembles", JMLR 17, 2016.
    .. [3] L. Breiman, "Random forests", Machine Learning 45, 2001.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sparsestat.ensemble import RotationForestClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = RotationForestClassifier(50, oob_score=True, random_state=0).fit(X, y)
    >>> bool(model.oob_score_ > 0.9)
    True
    """

    _parameter_constraints = {
        **_RotationForest._parameter_constraints,
        "class_subset": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        n_estimators=100,
        *,
        rotation="pca",
        trees_per_rotation=1,
        group_size=3,
        subsample=0.75,
        class_subset=True,
        density=1 / 3,
        n_components=None,
        scaling="standard",
        max_features="sqrt",
        max_depth=None,
        min_samples_leaf=1,
        min_weight_fraction_leaf=0.0,
        bootstrap=True,
        oob_score=False,
        class_weight=None,
        n_jobs=None,
        random_state=None,
    ):
        self.n_estimators = n_estimators
        self.rotation = rotation
        self.trees_per_rotation = trees_per_rotation
        self.group_size = group_size
        self.subsample = subsample
        self.class_subset = class_subset
        self.density = density
        self.n_components = n_components
        self.scaling = scaling
        self.max_features = max_features
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Grow the forest.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples.
        y : array-like of shape (n_samples,)
            Classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, in scaling, axes and trees.

        Returns
        -------
        self : RotationForestClassifier
            The fitted forest.

        Raises
        ------
        ValueError
            If X or y is not usable, or parameters contradict each other.
        """
        X, y, weights = self._checked(X, y, sample_weight)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        of_trees = weights
        if self.class_weight is not None:
            of_classes = compute_sample_weight(self.class_weight, y)
            of_trees = of_classes if weights is None else weights * of_classes

        def make_tree(seed):
            return DecisionTreeClassifier(
                max_depth=self.max_depth,
                min_samples_leaf=self.min_samples_leaf,
                min_weight_fraction_leaf=self.min_weight_fraction_leaf,
                max_features=self.max_features,
                random_state=seed,
            )

        scaled = self._grow(
            X,
            codes,
            weights,
            make_tree,
            codes=codes if self.class_subset else None,
            of_trees=of_trees,
        )
        if self.oob_score:
            answers, good = self._unseen(scaled, _proba, len(self.classes_))
            self.oob_decision_function_ = answers
            best = answers[good].argmax(axis=1)
            self.oob_score_ = accuracy_score(codes[good], best) if good.any() else 0.0
        return self

    def predict_proba(self, X):
        """Return the mean class probabilities of the trees.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        X = self._scaled(X)
        width = len(self.classes_)
        return ask_trees(self._groups, X, _proba, width, n_jobs=self.n_jobs)

    def predict_log_proba(self, X):
        """Return the logarithms of the class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; -inf where no tree gives a chance.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X):
        """Return the classes with the largest mean probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Classes; of equally likely ones the first.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


class RotationForestRegressor(RegressorMixin, _RotationForest):
    r"""Forest of regression trees, each on a rotation of the features of its own.

    The twin of :class:`RotationForestClassifier` for numbers, where the advice is the
    same: a rotation helps where the target depends on few combinations of correlated
    features, and harms where single features matter among many. Read more in
    :ref:`User Guide <ensembles>`.

    Parameters
    ----------
    n_estimators : int, default=100
        Number of trees.
    rotation : {"pca", "sparse", "random", "rc"} or None, default="pca"
        Matrix by which features are multiplied; see :class:`RotationForestClassifier`.
    trees_per_rotation : int, default=1
        Trees that share a rotation.
    group_size : int, default=3
        Features of a group, for "pca" and "rc".
    subsample : float, default=0.75
        Share of the samples from which axes are computed, for "pca".
    density : float, default=1/3
        Share of entries that are not zero, for "sparse".
    n_components : int, default=None
        Number of rotated features for "sparse" and "rc"; the others keep as many as
        there are. None means so for all.
    scaling : {"standard", "rank"} or None, default="standard"
        Divide by the standard deviation, or take ranks among the training samples, or
        neither.
    max_features : {"sqrt", "log2"}, int, float or None, default="sqrt"
        Rotated features that compete at a node.
    max_depth : int, default=None
        Largest depth of a tree.
    min_samples_leaf : int or float, default=1
        Fewest samples in a leaf, or their share.
    min_weight_fraction_leaf : float, default=0.0
        Least share of the total weight in a leaf.
    bootstrap : bool, default=True
        Draw the samples of each tree with replacement.
    oob_score : bool, default=False
        Compute the R2 score on the samples that a tree has not seen.
    n_jobs : int, default=None
        Threads. The result is the same for every number.
    random_state : int, RandomState instance or None, default=None
        Seed of rotations, samples and trees.

    Attributes
    ----------
    estimators_ : list of DecisionTreeRegressor
        The trees, on rotated features.
    rotations_ : list of {ndarray, csr_array}
        The matrices ``(n_features_in_, n_components)``, one for each group of trees.
    feature_importances_ : ndarray of shape (n_features_in_,)
        Importances in the trees, shared out over features by the absolute entries of
        the rotations.
    oob_score_ : float
        R2 score on unseen samples, with ``oob_score=True``.
    oob_prediction_ : ndarray of shape (n_samples,)
        Mean prediction of the trees that have not seen a sample, with
        ``oob_score=True``; zero for samples that all have seen.
    certificate_ : Certificate
        Of kind "none".
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X is a data frame.

    See Also
    --------
    RotationForestClassifier : For classes.
    sklearn.ensemble.RandomForestRegressor : Trees on the features as they are.

    References
    ----------
    .. [1] J. J. Rodriguez, L. I. Kuncheva, C. J. Alonso, "Rotation forest: a new
       classifier ensemble method", IEEE TPAMI 28, 2006.
    .. [2] R. Blaser, P. Fryzlewicz, "Random rotation ensembles", JMLR 17, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.ensemble import RotationForestRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 4))
    >>> y = np.tanh(X.sum(axis=1))
    >>> model = RotationForestRegressor(50, rotation="random", random_state=0)
    >>> bool(model.fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.8)
    True
    """

    def __init__(
        self,
        n_estimators=100,
        *,
        rotation="pca",
        trees_per_rotation=1,
        group_size=3,
        subsample=0.75,
        density=1 / 3,
        n_components=None,
        scaling="standard",
        max_features="sqrt",
        max_depth=None,
        min_samples_leaf=1,
        min_weight_fraction_leaf=0.0,
        bootstrap=True,
        oob_score=False,
        n_jobs=None,
        random_state=None,
    ):
        self.n_estimators = n_estimators
        self.rotation = rotation
        self.trees_per_rotation = trees_per_rotation
        self.group_size = group_size
        self.subsample = subsample
        self.density = density
        self.n_components = n_components
        self.scaling = scaling
        self.max_features = max_features
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Grow the forest.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples.
        y : array-like of shape (n_samples,)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, in scaling, axes and trees.

        Returns
        -------
        self : RotationForestRegressor
            The fitted forest.

        Raises
        ------
        ValueError
            If X or y is not usable, or parameters contradict each other.
        """
        X, y, weights = self._checked(X, y, sample_weight, y_numeric=True)
        y = check_magnitude(y.astype(np.float64), name="y")
        # Trees of targets far from zero lose digits: they grow on centered ones.
        self._center = float(np.average(y, weights=weights))
        self._unit = float(np.abs(y - self._center).max()) or 1.0
        targets = (y - self._center) / self._unit

        def make_tree(seed):
            return DecisionTreeRegressor(
                max_depth=self.max_depth,
                min_samples_leaf=self.min_samples_leaf,
                min_weight_fraction_leaf=self.min_weight_fraction_leaf,
                max_features=self.max_features,
                random_state=seed,
            )

        scaled = self._grow(
            X, targets, weights, make_tree, codes=None, of_trees=weights
        )
        if self.oob_score:
            answers, good = self._unseen(scaled, _value, 1)
            self.oob_prediction_ = np.where(
                good, self._center + self._unit * answers[:, 0], 0.0
            )
            self.oob_score_ = (
                r2_score(y[good], self.oob_prediction_[good]) if good.sum() > 1 else 0.0
            )
        return self

    def predict(self, X):
        """Return the mean predictions of the trees.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Predictions.
        """
        X = self._scaled(X)
        mean = ask_trees(self._groups, X, _value, 1, n_jobs=self.n_jobs)
        return self._center + self._unit * mean[:, 0]


def _proba(tree, rotated):
    return tree.predict_proba(rotated)


def _value(tree, rotated):
    return tree.predict(rotated)
