"""Orthogonal dictionaries in batch, by full Frank-Wolfe steps."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from sparsestat._utils.arithmetic import power_of_two, standardize
from sparsestat._utils.compat import Interval, fit_context
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat.decomposition._orthogonal import _frank_wolfe as fw
from sparsestat.decomposition._orthogonal_base import (
    COMMON_CONSTRAINTS,
    OrthogonalTransformer,
    second_moments,
)

__all__ = ["OrthogonalDictionary"]


class OrthogonalDictionary(OrthogonalTransformer):
    r"""Orthogonal dictionary learning on all data by matching and projection.

    Maximizes

    .. math:: \frac{1}{N} \sum_i \|A y_i\|_p^p \quad \text{over} \quad A A^\top = I

    with p `p` and A `components_` by full Frank-Wolfe steps, A becoming the polar
    factor of the gradient. The objective never falls. Use it when the data fit in
    memory; :class:`OnlineOrthogonalDictionary` learns from a stream. It competes
    with :class:`sklearn.decomposition.FastICA`, which whitens and uses Newton
    steps. Read more in the :ref:`User Guide <orthogonal_dictionaries>`.

    Parameters
    ----------
    n_components : int, default=None
        Number of atoms, at most `n_features`. None takes `n_features`.
    p : float, default=4
        Exponent, above 2.
    max_iter : int, default=500
        Largest number of steps of a start.
    tol : float, default=1e-5
        Stop when a step raises the objective by at most `tol` times the objective, or
        when it moves the dictionary, ``||A_new - A||_F / sqrt(n_components)``, by at
        most `tol`. Iterates are in double precision, whatever that of the data.
    n_init : int, default=1
        Number of starts; the largest objective is kept.
    precondition : bool, default=False
        Whiten first, for dictionaries that are complete but not orthogonal.
    center : bool, default=False
        Subtract the mean. The model has mean zero.
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
    init : array-like of shape (n_components, n_features), default=None
        First start, with orthonormal rows. None draws it uniformly.
    random_state : int, RandomState instance or None, default=None
        Draws the starts.
    n_jobs : int, default=None
        Workers for the starts. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, log a line per step of a single start.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Analysis operator: orthonormal rows, times the whitening if there is one.
    dictionary_ : ndarray of shape (n_features, n_components)
        Atoms as columns: ``components_.T`` without whitening.
    gradient_ : ndarray of shape (n_components, n_features)
        Gradient at the answer.
    gap_ : float
        Frank-Wolfe gap of the answer, in units of the objective divided by p, per
        atom.
    objective_ : float
        The objective.
    history_ : ndarray of shape (n_iter_ + 1,)
        The objective at each iterate of the start that was kept.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last rise of the objective, relative to it, or the
        last move of the dictionary where that is smaller. The details have both.
    noise_scale_ : float
        Standard deviation of the noise of codes, from the median of their magnitudes
        on the data of the last call: right when most codes are noise alone.
    mean_ : ndarray of shape (n_features,) or None
        Mean of the samples.
    whitening_ : ndarray of shape (n_features, n_features) or None
        Symmetric inverse square root of the covariance.
    n_iter_ : int
        Number of steps of the start that was kept.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    OnlineOrthogonalDictionary : The same objective on a stream.
    sklearn.decomposition.FastICA : Independent components.

    Notes
    -----
    A step costs ``4 n_samples n_components n_features`` operations, or in
    proportion to the entries of sparse X, and a decomposition. X is read in
    blocks of 8192 rows, so that memory beside it is O(8192 n_components +
    n_features^2).

    References
    ----------
    .. [1] Y. Zhai, Z. Yang, Z. Liao, J. Wright, Y. Ma, "Complete dictionary learning
       via l4-norm maximization over the orthogonal group", JMLR 21, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import OrthogonalDictionary
    >>> rng = np.random.default_rng(0)
    >>> D = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    >>> codes = rng.standard_normal((5000, 8)) * (rng.random((5000, 8)) < 0.2)
    >>> model = OrthogonalDictionary(random_state=0).fit(codes @ D.T)
    >>> float(np.abs(model.components_ @ D).max(axis=1).min())
    0.99...
    """

    objective_history_ = OldAttribute("history_")

    _parameter_constraints = {
        **COMMON_CONSTRAINTS,
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_components=None,
        *,
        p=4,
        max_iter=500,
        tol=1e-5,
        n_init=1,
        precondition=False,
        center=False,
        transform_algorithm="hard",
        transform_n_nonzero_coefs=None,
        transform_alpha=None,
        allow_complex=False,
        init=None,
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.p = p
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.precondition = precondition
        self.center = center
        self.transform_algorithm = transform_algorithm
        self.transform_n_nonzero_coefs = transform_n_nonzero_coefs
        self.transform_alpha = transform_alpha
        self.allow_complex = allow_complex
        self.init = init
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn a dictionary.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. Never densified or modified.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights; an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X = self._validate_samples(X, reset=True)
        X, weights = self._given(X, sample_weight)
        if weights is not None:  # only ratios count
            weights = weights / power_of_two(weights.max())
        n_features = X.shape[1]
        k = self._check_sizes(n_features)
        self._keep_center(standardize(X, weights) if self.center else None)
        whitening = coloring = None
        if self.precondition:
            whitening, coloring = fw.whitening_from(
                second_moments(X, weights, self._center),
                k,
                self.n_components is not None,
            )
        rng = check_random_state(self.random_state)
        is_complex = np.iscomplexobj(X)
        starts = [self._start(k, n_features, rng, is_complex)]
        starts += [
            fw.random_stiefel(k, n_features, rng, is_complex=is_complex)
            for _ in range(self.n_init - 1)
        ]
        with FitProgress(self, self.max_iter, X=X, verbose=self.verbose) as progress:
            step = None
            if self.n_init == 1:

                def step(value):
                    return progress.step(objective=value)

            def run(A):
                return fw.maximize_lp(
                    X,
                    A,
                    self.p,
                    weights=weights,
                    whitening=whitening,
                    center=self._center,
                    tol=self.tol,
                    max_iter=self.max_iter,
                    step=step,
                )

            if self.n_init == 1:
                results = [run(starts[0])]
            else:
                results = run_parallel(
                    run, [(A,) for A in starts], n_jobs=self.n_jobs, prefer="threads"
                )
        best = max(results, key=lambda result: result.objective)
        self._store_dictionary(best.A, whitening, coloring, X.dtype)
        self._measure_noise(X, weights)
        self.gradient_ = best.gradient
        self.objective_ = best.objective
        self.history_ = np.array(best.history)
        self.gap_ = fw.frank_wolfe_gap(best.gradient, best.A)
        self.n_iter_ = best.n_iter
        self.certificate_ = Certificate(
            "monotone_bound",
            best.change,
            float(self.tol),
            bool(best.change <= self.tol),
            "last rise of the objective / objective, or move of the dictionary",
            {
                "frank_wolfe_gap": float(self.gap_),
                "objective": float(best.objective),
                "move": float(best.move),
                "rise": float(best.rise),
            },
        )
        warn_if_unsatisfied(
            self.certificate_,
            "OrthogonalDictionary did not converge: the last rise",
            "Raise max_iter or tol.",
        )
        return self
