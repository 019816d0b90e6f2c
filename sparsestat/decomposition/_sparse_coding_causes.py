"""Sparse coding with causes that exclude each other, or have real strengths."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.compat import StrOptions
from sparsestat.decomposition._coding._max import MaximumModel
from sparsestat.decomposition._coding._slab import SlabModel
from sparsestat.decomposition._sparse_coding_base import (
    CODING_CONSTRAINTS,
    SparseCodingEstimator,
)

__all__ = [
    "MaxMagnitudeCausesAnalysis",
    "MaximalCausesAnalysis",
    "SpikeSlabSparseCoding",
]


class _MaximalCauses(SparseCodingEstimator):
    """Models in which the largest cause wins, feature by feature."""

    # Without noise the components may stay together, as they are at T = 4.
    _schedule = {
        "T": [(0.0, 4.0), (0.8, 1.0)],
        "ncut": [(0.0, 0.0), (2 / 3, 1.0)],
        "W_noise": [(0.0, 0.1), (0.8, 0.0)],
    }
    _steps = 300
    _signed = False

    def _model(self, h, k, gamma, n_features, **options):
        options = {"anneal_prior": True} | options
        return MaximumModel(
            h, k, gamma, signed=self._signed, n_features=n_features, **options
        )

    def _superpose(self, S):
        """Take the products of largest magnitude, one cause at a time."""
        W = self.components_
        X = np.zeros((len(S), W.shape[1]), dtype=np.result_type(S, W))
        for h in range(len(W)):
            product = S[:, h, None] * W[h]
            wins = np.abs(product) > np.abs(X)
            X[wins] = product[wins]
        return X


class MaximalCausesAnalysis(_MaximalCauses):
    r"""Sparse coding in which the largest cause wins, feature by feature.

    Components are positive and do not add up:

    .. math:: y_d = \max_h s_h W_{hd} + \sigma \varepsilon_d, \qquad
        s_h \in \{0, 1\}, \quad P(s_h = 1) = \pi.

    Use it where causes hide each other, as objects in images and words in
    log-spectrograms do. Learned by expectation truncation [1]_, see
    :class:`BinarySparseCoding`, with the maximum softened to
    :math:`(\sum_h W_{hd}^\rho)^{1/\rho}`, :math:`\rho = T/(T-1) \le 21`. Read more in
    the :ref:`User Guide <probabilistic_sparse_coding>`.

    Parameters
    ----------
    n_components : int, default=8
        Number of components H.
    n_candidates : int, default=None
        Causes that are considered together for one sample, H'. None means the
        smaller of `n_components` and 8, or `max_active` if that is larger.
    max_active : int, default=None
        Most causes of one sample, gamma. None means the smaller of `n_candidates`
        and 4.
    annealing : {"default"}, dict or None, default="default"
        Schedule of the temperature ``"T"``, of the share ``"ncut"`` of samples to be
        left out because too many causes made them, and of noise on the parameters,
        ``"W_noise"`` (in units of the mean standard deviation), ``"pi_noise"`` and
        ``"sigma_noise"`` (of their logarithms). Each value is a number or a list of
        pairs (progress, value), with progress from 0 to 1 and lines between them.
        "default" is T from 4 to 1 and noise on W from 0.1 to 0 at 0.8, ncut from 0 to
        1 at 2/3. None is plain EM.
    n_steps : int, default=None
        Length of the schedule, at most `max_iter`. None means 300.
    max_iter : int, default=400
        Most EM steps in all; those after the schedule have temperature 1.
    tol : float, default=1e-5
        After the schedule, stop when the mean log-likelihood of a sample changes by
        at most ``tol * max(1, |log-likelihood|)``.
    init : {"mean", "data"} or array-like, default="mean"
        First components: the mean of the data plus noise, random samples, or an
        array of shape (n_components, n_features). Must not be negative.
    n_init : int, default=1
        Number of starts; the one with the best final likelihood is kept.
    learn : sequence of str, default=("W", "pi", "sigma")
        Parameters to learn; the others stay as they start.
    fit_mean : bool, default=False
        Learn an offset of all samples.
    batch_size : int, default=4096
        Fewest samples in a task that is handed to a worker. Does not change results.
    n_jobs : int, default=None
        Number of workers. Does not change results.
    random_state : int, RandomState instance or None, default=None
        Draws the first components, noise of the schedule, and :meth:`sample`.
    verbose : int, default=0
        At 1 and above, log a line per step.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Components W.
    pi_ : float
        Probability of a cause.
    sigma_ : float
        Standard deviation of the noise.
    mean_ : ndarray of shape (n_features,)
        Offset; zero unless `fit_mean`.
    history_ : ndarray
        Mean truncated log-likelihood of the samples in use before the first step and
        after each one; at temperature T, T times the log-evidence at T.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last change of the log-likelihood.
    converged_ : bool
        Whether that change is at most `tol`.
    n_iter_ : int
        Number of EM steps.
    n_candidates_, max_active_ : int
        H' and gamma in use.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    MaxMagnitudeCausesAnalysis : Components of both signs.
    BinarySparseCoding : Causes that add up.

    Notes
    -----
    A step costs ``n_samples * n_states * n_features`` operations, and a power for
    each feature of each set of causes that occurs. Sparse X is made dense in
    batches. Data may be negative, as noise makes them; components are at least 1e-4.
    The update of the components is not an exact M-step. When the likelihood falls
    after the schedule, later updates of the components are halved. The temperature
    acts on the whole joint.

    References
    ----------
    .. [1] J. Luecke, J. Eggert, "Expectation truncation and the benefits of
       preselection in training generative models", JMLR 11, 2010.
    .. [2] J. Luecke, M. Sahani, "Maximal causes for non-linear component extraction",
       JMLR 9, 2008.

    Examples
    --------
    >>> from sparsestat.datasets import make_bars
    >>> from sparsestat.decomposition import MaximalCausesAnalysis
    >>> bars = make_bars(500, size=3, superposition="max", random_state=0)
    >>> model = MaximalCausesAnalysis(6, n_steps=100, random_state=0).fit(bars.data)
    >>> print(f"{model.pi_:.2f}, {model.sigma_:.1f}")
    0.35, 2.0
    """

    def _first_components(self, X, samples, rng, summary):
        W = super()._first_components(X, samples, rng, summary)
        if not (isinstance(self.init, str) and self.init == "mean") and W.min() < 0:
            what = "init" if not isinstance(self.init, str) else "init='data': the data"
            raise ValueError(
                f"{what} must not be negative, since components are positive; the "
                f"smallest entry is {W.min():g}. Take np.maximum(rows, 0) of samples "
                "as init, or init='mean'."
            )
        return W


class MaxMagnitudeCausesAnalysis(_MaximalCauses):
    r"""Sparse coding in which the cause of largest magnitude wins.

    As :class:`MaximalCausesAnalysis`, with components of both signs: each feature is
    the entry of largest magnitude among the active components, with its sign, plus
    noise. Learned by expectation truncation [1]_, with the maximum softened to the
    signed :math:`|t|^{1/\rho}`, :math:`t = \sum_h \operatorname{sign}(W_{hd})
    |W_{hd}|^\rho`, :math:`\rho \le 6`. Use it for data with two signs in which causes
    hide each other, such as filtered images. Read more in the
    :ref:`User Guide <probabilistic_sparse_coding>`.

    Parameters
    ----------
    n_components : int, default=8
        Number of components H.
    n_candidates : int, default=None
        Causes that are considered together for one sample, H'. None means the
        smaller of `n_components` and 8, or `max_active` if that is larger.
    max_active : int, default=None
        Most causes of one sample, gamma. None means the smaller of `n_candidates`
        and 4.
    annealing : {"default"}, dict or None, default="default"
        Schedule of the temperature ``"T"``, of the share ``"ncut"`` of samples to be
        left out because too many causes made them, and of noise on the parameters,
        ``"W_noise"`` (in units of the mean standard deviation), ``"pi_noise"`` and
        ``"sigma_noise"`` (of their logarithms). Each value is a number or a list of
        pairs (progress, value), with progress from 0 to 1 and lines between them.
        "default" is T from 4 to 1 and noise on W from 0.1 to 0 at 0.8, ncut from 0 to
        1 at 2/3. None is plain EM.
    n_steps : int, default=None
        Length of the schedule, at most `max_iter`. None means 300.
    max_iter : int, default=400
        Most EM steps in all; those after the schedule have temperature 1.
    tol : float, default=1e-5
        After the schedule, stop when the mean log-likelihood of a sample changes by
        at most ``tol * max(1, |log-likelihood|)``.
    init : {"mean", "data"} or array-like, default="mean"
        First components: the mean of the data plus noise, random samples, or an
        array of shape (n_components, n_features).
    n_init : int, default=1
        Number of starts; the one with the best final likelihood is kept.
    learn : sequence of str, default=("W", "pi", "sigma")
        Parameters to learn; the others stay as they start.
    fit_mean : bool, default=False
        Learn an offset of all samples.
    batch_size : int, default=4096
        Fewest samples in a task that is handed to a worker. Does not change results.
    n_jobs : int, default=None
        Number of workers. Does not change results.
    random_state : int, RandomState instance or None, default=None
        Draws the first components, noise of the schedule, and :meth:`sample`.
    verbose : int, default=0
        At 1 and above, log a line per step.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Components W.
    pi_ : float
        Probability of a cause.
    sigma_ : float
        Standard deviation of the noise.
    mean_ : ndarray of shape (n_features,)
        Offset; zero unless `fit_mean`.
    history_ : ndarray
        Mean truncated log-likelihood of the samples in use before the first step and
        after each one; at temperature T, T times the log-evidence at T.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last change of the log-likelihood.
    converged_ : bool
        Whether that change is at most `tol`.
    n_iter_ : int
        Number of EM steps.
    n_candidates_, max_active_ : int
        H' and gamma in use.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    MaximalCausesAnalysis : Positive components.
    TernarySparseCoding : Causes of both signs that add up.

    Notes
    -----
    The cost is as for :class:`MaximalCausesAnalysis`. Updates of components with
    little data behind them are damped; entries keep a magnitude of at least 1e-4.
    Where components of opposite signs and equal size cross, the model itself is
    undecided, and the likelihood may fall.

    References
    ----------
    .. [1] J. Luecke, J. Eggert, "Expectation truncation and the benefits of
       preselection in training generative models", JMLR 11, 2010.
    .. [2] J. Bornschein, M. Henniges, J. Luecke, "Are V1 simple cells optimized for
       visual occlusions? A comparative study", PLoS Computational Biology 9(6), 2013.

    Examples
    --------
    >>> from sparsestat.datasets import make_bars
    >>> from sparsestat.decomposition import MaxMagnitudeCausesAnalysis
    >>> bars = make_bars(500, size=3, superposition="max_magnitude", random_state=0)
    >>> model = MaxMagnitudeCausesAnalysis(6, n_steps=100, random_state=0)
    >>> print(f"{model.fit(bars.data).pi_:.2f}, {model.sigma_:.1f}")
    0.35, 2.1
    """

    _signed = True


class SpikeSlabSparseCoding(SparseCodingEstimator):
    r"""Sparse coding with causes that are absent or have a normal strength.

    Each sample is a sum of multiples of components, and noise:

    .. math:: y = \sum_h s_h z_h W_h + \sigma \varepsilon, \qquad
        s_h \in \{0, 1\}, \quad P(s_h = 1) = \pi_h, \quad z \sim N(\mu, \Psi).

    Strengths are integrated out, so that codes are exactly zero with some
    probability and the posterior keeps their uncertainty, unlike the single best code
    of :class:`sklearn.decomposition.DictionaryLearning`. Learned by expectation
    truncation [1]_, see :class:`BinarySparseCoding`. Read more in the
    :ref:`User Guide <probabilistic_sparse_coding>`.

    Parameters
    ----------
    n_components : int, default=8
        Number of components H.
    n_candidates : int, default=None
        Causes that are considered together for one sample, H'. None means the
        smaller of `n_components` and 8, or `max_active` if that is larger.
    max_active : int, default=None
        Most causes of one sample, gamma. None means the smaller of `n_candidates`
        and 4.
    annealing : {"default"}, dict or None, default="default"
        Schedule of the temperature ``"T"``, of the share ``"ncut"`` of samples to be
        left out because too many causes made them, and of noise on the parameters,
        ``"W_noise"`` (in units of the mean standard deviation), ``"pi_noise"`` and
        ``"sigma_noise"`` (of their logarithms). Each value is a number or a list of
        pairs (progress, value), with progress from 0 to 1 and lines between them.
        "default" is T from 4 to 1 at 0.8, ncut from 0 to 1 at 2/3. None is plain EM.
    n_steps : int, default=None
        Length of the schedule, at most `max_iter`. None means 150.
    max_iter : int, default=400
        Most EM steps in all; those after the schedule have temperature 1.
    tol : float, default=1e-5
        After the schedule, stop when the mean log-likelihood of a sample changes by
        at most ``tol * max(1, |log-likelihood|)``.
    init : {"mean", "data"} or array-like, default="mean"
        First components: the mean of the data plus noise, random samples, or an
        array of shape (n_components, n_features).
    n_init : int, default=1
        Number of starts; the one with the best final likelihood is kept.
    learn : sequence of str, default=("W", "pi", "sigma", "slab")
        Parameters to learn; the others stay as they start.
    fit_mean : bool, default=False
        Learn an offset of all samples.
    anneal_prior : bool, default=False
        Whether the temperature acts on the prior as well as on the likelihood.
    noise : {"scalar", "diagonal"}, default="scalar"
        One variance of the noise for all features, or one each.
    slab_covariance : {"diagonal", "full"}, default="diagonal"
        Whether strengths of different causes may be correlated.
    batch_size : int, default=4096
        Fewest samples in a task that is handed to a worker. Does not change results.
    n_jobs : int, default=None
        Number of workers. Does not change results.
    random_state : int, RandomState instance or None, default=None
        Draws the first components, noise of the schedule, and :meth:`sample`.
    verbose : int, default=0
        At 1 and above, log a line per step.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Components W.
    pi_ : ndarray of shape (n_components,)
        Probability of each cause.
    slab_mean_ : ndarray of shape (n_components,)
        Mean strengths.
    slab_cov_ : ndarray of shape (n_components, n_components)
        Covariance of the strengths.
    sigma_ : float or ndarray of shape (n_features,)
        Standard deviation of the noise.
    mean_ : ndarray of shape (n_features,)
        Offset; zero unless `fit_mean`.
    history_ : ndarray
        Mean truncated log-likelihood of the samples in use before the first step and
        after each one; at temperature T, T times the log-evidence at T.
    certificate_ : Certificate
        Kind ``monotone_bound``: the last change of the log-likelihood.
    converged_ : bool
        Whether that change is at most `tol`.
    n_iter_ : int
        Number of EM steps.
    n_candidates_, max_active_ : int
        H' and gamma in use.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    BinarySparseCoding : One strength for all.
    sklearn.decomposition.DictionaryLearning : One best code a sample.

    Notes
    -----
    For each set of g causes that occurs a g by g matrix is decomposed once a step;
    each sample then costs g^2 operations a set. Sparse X stays sparse. With a
    diagonal slab covariance and all states kept the likelihood never falls; a full
    one is estimated from pairs of causes and projected onto positive matrices, and
    the likelihood may fall. States of `posterior` are supports; `transform` returns
    expected strengths.

    References
    ----------
    .. [1] J. Luecke, J. Eggert, "Expectation truncation and the benefits of
       preselection in training generative models", JMLR 11, 2010.
    .. [2] A.-S. Sheikh, J. Shelton, J. Luecke, "A truncated EM approach for
       spike-and-slab sparse coding", JMLR 15, 2014.

    Examples
    --------
    >>> from sparsestat.datasets import make_bars
    >>> from sparsestat.decomposition import SpikeSlabSparseCoding
    >>> bars = make_bars(500, size=3, superposition="slab", sigma=1, random_state=0)
    >>> model = SpikeSlabSparseCoding(6, random_state=0).fit(bars.data)
    >>> print(f"{model.pi_.mean():.1f}, {model.sigma_:.1f}")
    0.4, 1.0
    """

    _parameter_constraints = CODING_CONSTRAINTS | {
        "anneal_prior": ["boolean"],
        "noise": [StrOptions({"scalar", "diagonal"})],
        "slab_covariance": [StrOptions({"diagonal", "full"})],
    }
    _schedule = {"T": [(0.0, 4.0), (0.8, 1.0)], "ncut": [(0.0, 0.0), (2 / 3, 1.0)]}
    _steps = 150
    _names = ("W", "pi", "sigma", "slab")

    def __init__(
        self,
        n_components=8,
        *,
        n_candidates=None,
        max_active=None,
        annealing="default",
        n_steps=None,
        max_iter=400,
        tol=1e-5,
        init="mean",
        n_init=1,
        learn=("W", "pi", "sigma", "slab"),
        fit_mean=False,
        anneal_prior=False,
        noise="scalar",
        slab_covariance="diagonal",
        batch_size=4096,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            n_components,
            n_candidates=n_candidates,
            max_active=max_active,
            annealing=annealing,
            n_steps=n_steps,
            max_iter=max_iter,
            tol=tol,
            init=init,
            n_init=n_init,
            learn=learn,
            fit_mean=fit_mean,
            batch_size=batch_size,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.anneal_prior = anneal_prior
        self.noise = noise
        self.slab_covariance = slab_covariance

    def _model(self, h, k, gamma, n_features, **options):
        return SlabModel(
            h,
            k,
            gamma,
            noise=self.noise,
            full=self.slab_covariance == "full",
            anneal_prior=self.anneal_prior,
            **options,
        )

    def _start(self, model, summary, W, rng):
        return model.start(summary, W, rng)

    def _fitted(self, params, dtype):
        return super()._fitted(params, dtype) | {
            "slab_mean_": params["slab_mean"],
            "slab_cov_": params["slab_cov"],
        }

    def _params(self):
        return super()._params() | {
            "slab_mean": self.slab_mean_,
            "slab_cov": self.slab_cov_,
        }

    def _draw(self, n_samples, rng):
        active = super()._draw(n_samples, rng)
        values, vectors = np.linalg.eigh(self.slab_cov_)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        strengths = rng.standard_normal(active.shape) @ root.T + self.slab_mean_
        return active * strengths
