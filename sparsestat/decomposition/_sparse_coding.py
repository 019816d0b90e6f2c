"""Sparse coding with discrete causes that add up."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from sklearn.utils import check_random_state

from sparsestat._utils.compat import fit_context
from sparsestat._utils.parallel import single_blas_thread
from sparsestat._utils.results import Certificate
from sparsestat.decomposition._coding._expectation_truncation import (
    Samples,
    Temper,
    anneal,
    e_step,
)
from sparsestat.decomposition._coding._linear import LinearModel
from sparsestat.decomposition._coding._models import Summary
from sparsestat.decomposition._sparse_coding_base import (
    CODING_CONSTRAINTS,
    SparseCodingEstimator,
)

__all__ = ["BinarySparseCoding", "DiscreteSparseCoding", "TernarySparseCoding"]

_FORGET, _DELAY = 0.6, 2.0  # a batch has the weight (t + 2)^-0.6


class _DiscreteCauses(SparseCodingEstimator):
    """Linear models with discrete causes, in one piece or batch by batch."""

    _parameter_constraints = CODING_CONSTRAINTS | {"anneal_prior": ["boolean"]}
    _kind = "binary"

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
        learn=("W", "pi", "sigma"),
        fit_mean=False,
        anneal_prior=False,
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

    def _model(self, h, k, gamma, n_features, **options):
        return LinearModel(
            h,
            k,
            gamma,
            values=self._values(),
            kind=self._kind,
            zero=self._zero(),
            anneal_prior=self.anneal_prior,
            **options,
        )

    def _zero(self):
        return 0

    def _keep(self, result, dtype):
        super()._keep(result, dtype)
        # Where partial_fit goes on: statistics of one average sample.
        n = float(result.statistics["n"])
        self._running = {k: v / n for k, v in result.statistics.items()}
        self.n_steps_ = result.n_iter

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Take one EM step with a batch.

        The temperature follows the schedule, one step a batch; no samples are left
        out. Statistics of earlier batches are kept and forgotten: a batch has the
        weight ``(t + 2) ** -0.6``, where t counts the batches after the schedule and
        is 0 before, and the very first batch has weight 1.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            A batch.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The estimator after the step.
        """
        begin = not hasattr(self, "components_")
        X, weights = self._given(self._validate(X, reset=begin), sample_weight)
        dtype = X.dtype
        X = self._choose_frame(X, weights) if begin else self._framed(X)
        samples = Samples(X, weights, batch_size=self.batch_size)
        if begin:
            summary = Summary.of(X, samples.weights)
            model = self._prepare_fit(summary)
            rng = check_random_state(self.random_state)
            W = self._first_components(X, samples, rng, summary)
            params = self._start(model, summary, W, rng)
            self._running, self.n_steps_, self._floor = None, 0, summary.floor
            history = []
        else:
            model, params = self._posterior_model(), self._params()
            model.learn, model.fit_mean = frozenset(self.learn), self.fit_mean
            model.floor = getattr(self, "_floor", model.floor)
            history = list(self.history_ - self._per_unit())
        schedule, n_steps = self._timing()
        now = anneal(schedule, min(self.n_steps_ / n_steps, 1.0))
        with single_blas_thread():
            statistics, log_z, n_used = e_step(
                model,
                params,
                Temper(now["T"], self.anneal_prior),
                samples.total,
                samples,
                n_jobs=self.n_jobs,
            )
        fresh = {k: v / n_used for k, v in statistics.items()}
        if self._running is not None:
            # Statistics of another temperature are soon out of date.
            cold = max(0, self.n_steps_ - (n_steps if schedule else 0))
            share = (cold + _DELAY) ** -_FORGET
            fresh = {
                k: (1.0 - share) * self._running[k] + share * v
                for k, v in fresh.items()
            }
        self._running = fresh
        history.append(model.constant(params) + now["T"] * log_z)
        params = model.maximize(params, fresh)
        for name, value in self._fitted(params, dtype).items():
            setattr(self, name, value)
        self.n_steps_ += 1
        self.n_iter_ = self.n_steps_
        self.converged_ = False
        self.history_ = np.array(history) + self._per_unit()
        change = abs(np.diff(history[-2:])[0]) if len(history) > 1 else np.inf
        self.certificate_ = Certificate(
            "monotone_bound",
            float(change / max(1.0, abs(history[-1]))),
            np.inf,
            True,
            "change of the mean log-likelihood from batch to batch; informative",
            {
                "log_likelihood": float(self.history_[-1]),
                "n_steps": int(self.n_steps_),
            },
        )
        return self


class BinarySparseCoding(_DiscreteCauses):
    r"""Sparse coding with causes that are there or not.

    Each sample is a sum of components, and noise:

    .. math:: y = \sum_h s_h W_h + \sigma \varepsilon, \qquad
        s_h \in \{0, 1\}, \quad P(s_h = 1) = \pi.

    EM needs the posterior of s, which has :math:`2^H` states. Expectation truncation
    [1]_ keeps, for each sample, the zero state, all single causes, and all sets of at
    most `max_active` causes out of the `n_candidates` that fit best. Annealing makes
    the result depend little on the start. Use it where causes have one strength; where
    strengths vary, use :class:`SpikeSlabSparseCoding` or
    :class:`sklearn.decomposition.DictionaryLearning`. Read more in the
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
        "default" is T from 5 to 1 at 0.8, ncut from 0 to 1 at 2/3. None is plain EM.
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
    learn : sequence of str, default=("W", "pi", "sigma")
        Parameters to learn; the others stay as they start.
    fit_mean : bool, default=False
        Learn an offset of all samples.
    anneal_prior : bool, default=False
        Whether the temperature acts on the prior as well as on the likelihood.
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
    n_steps_ : int
        Number of EM steps, batches of :meth:`partial_fit` included.

    See Also
    --------
    TernarySparseCoding : Causes of both signs.
    MaximalCausesAnalysis : The largest cause wins instead of adding up.
    sklearn.decomposition.DictionaryLearning : Real codes, one best code a sample.

    Notes
    -----
    A step costs two products of X with n_components columns, and ``n_samples *
    n_states * max_active`` operations; ``n_states`` may reach five million. Memory is
    O(n_samples n_components) and 128 bytes a state and worker. Sparse X stays
    sparse. Posteriors are computed in double precision; with single precision data
    the two products are in single precision. Results are equal to the last bit for
    every `n_jobs` and `batch_size`.

    References
    ----------
    .. [1] J. Luecke, J. Eggert, "Expectation truncation and the benefits of
       preselection in training generative models", JMLR 11, 2010.
    .. [2] M. Henniges, G. Puertas, J. Bornschein, J. Eggert, J. Luecke, "Binary
       sparse coding", LVA/ICA, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.datasets import make_bars
    >>> from sparsestat.decomposition import BinarySparseCoding
    >>> bars = make_bars(500, size=3, random_state=0)
    >>> model = BinarySparseCoding(6, random_state=0).fit(bars.data)
    >>> print(f"{model.pi_:.2f}, {model.sigma_:.1f}")
    0.34, 1.9
    """


class TernarySparseCoding(_DiscreteCauses):
    r"""Sparse coding with causes that are absent, positive or negative.

    Each sample is a sum of components with signs, and noise:

    .. math:: y = \sum_h s_h W_h + \sigma \varepsilon, \qquad
        s_h \in \{-1, 0, 1\}, \quad P(s_h = \pm 1) = \pi / 2.

    Learned by expectation truncation, see :class:`BinarySparseCoding`. Use it where a
    component occurs with both signs and one strength, as edges of images do. The
    signs of components are arbitrary. Read more in the
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
        "default" is T from 2 to 1 and noise on W from 0.5 to 0 at 0.7, ncut from 0 to
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
    anneal_prior : bool, default=False
        Whether the temperature acts on the prior as well as on the likelihood.
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
        Probability of a cause, of either sign.
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
    n_steps_ : int
        Number of EM steps, batches of :meth:`partial_fit` included.

    See Also
    --------
    BinarySparseCoding : Causes of one sign.
    DiscreteSparseCoding : Any values, with a probability for each.

    Notes
    -----
    Every set of g causes has 2^g states; the cost is as for
    :class:`BinarySparseCoding`.

    References
    ----------
    .. [1] J. Luecke, J. Eggert, "Expectation truncation and the benefits of
       preselection in training generative models", JMLR 11, 2010.
    .. [2] G. Exarchakis, M. Henniges, J. Eggert, J. Luecke, "Ternary sparse coding",
       LVA/ICA, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.datasets import make_bars
    >>> from sparsestat.decomposition import TernarySparseCoding
    >>> bars = make_bars(500, size=3, values=(-1, 0, 1), random_state=0)
    >>> model = TernarySparseCoding(6, random_state=0).fit(bars.data)
    >>> print(f"{model.pi_:.2f}, {model.sigma_:.1f}")
    0.38, 2.0
    """

    # Without noise half of the starts end with mixtures of two components.
    _schedule = {
        "T": [(0.0, 2.0), (0.7, 1.0)],
        "ncut": [(0.0, 0.0), (2 / 3, 1.0)],
        "W_noise": [(0.0, 0.5), (0.7, 0.0)],
    }
    _steps = 300
    _kind = "ternary"

    def _values(self):
        return np.array([-1.0, 1.0])

    def _draw(self, n_samples, rng):
        signs = rng.choice(np.array([-1, 1], dtype=np.int8), (n_samples, 1))
        shape = n_samples, self.components_.shape[0]
        signs = np.where(rng.uniform(size=shape) < 0.5, signs, -signs)
        return (super()._draw(n_samples, rng) * signs).astype(np.int8)


class DiscreteSparseCoding(_DiscreteCauses):
    r"""Sparse coding with causes that take one of a few given values.

    Each sample is a sum of multiples of components, and noise:

    .. math:: y = \sum_h s_h W_h + \sigma \varepsilon, \qquad
        s_h \in \{\phi_1, \dots, \phi_K\}, \quad P(s_h = \phi_k) = \pi_k.

    One of the values is zero; the probabilities are learned. By expectation
    truncation, see :class:`BinarySparseCoding`. Use it for counts and for strengths
    that come in steps. Read more in the
    :ref:`User Guide <probabilistic_sparse_coding>`.

    Parameters
    ----------
    n_components : int, default=8
        Number of components H.
    values : array-like of shape (n_values,), default=(-1, 0, 1)
        Values of a cause, different from each other, exactly one of them zero.
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
        "default" is T from 2 to 1 at 0.7, ncut from 0 to 1 at 2/3. None is plain EM.
    n_steps : int, default=None
        Length of the schedule, at most `max_iter`. None means 100.
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
    anneal_prior : bool, default=False
        Whether the temperature acts on the prior as well as on the likelihood.
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
    pi_ : ndarray of shape (n_values,)
        Probabilities of the values, in the order of `values`.
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
    n_steps_ : int
        Number of EM steps, batches of :meth:`partial_fit` included.

    See Also
    --------
    BinarySparseCoding : The values 0 and 1.
    SpikeSlabSparseCoding : Real strengths.

    Notes
    -----
    Every set of g causes has (K - 1)^g states; the cost is as for
    :class:`BinarySparseCoding`. The log-likelihood has no term for the prior mass
    of the states that are left out. Multiplying all values by a number and dividing
    the components by it changes nothing.

    References
    ----------
    .. [1] J. Luecke, J. Eggert, "Expectation truncation and the benefits of
       preselection in training generative models", JMLR 11, 2010.
    .. [2] G. Exarchakis, J. Luecke, "Discrete sparse coding", Neural Computation
       29(11), 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.datasets import make_bars
    >>> from sparsestat.decomposition import DiscreteSparseCoding
    >>> prior = [0.7, 0.2, 0.1]
    >>> bars = make_bars(1000, size=3, values=(0, 1, 2), pi=prior, random_state=0)
    >>> model = DiscreteSparseCoding(6, values=(0, 1, 2), random_state=0)
    >>> np.round(model.fit(bars.data).pi_, 1)
    array([0.7, 0.2, 0.1])
    """

    _parameter_constraints = _DiscreteCauses._parameter_constraints | {
        "values": ["array-like"]
    }
    _schedule = {"T": [(0.0, 2.0), (0.7, 1.0)], "ncut": [(0.0, 0.0), (2 / 3, 1.0)]}
    _steps = 100
    _kind = "discrete"

    def __init__(
        self,
        n_components=8,
        *,
        values=(-1, 0, 1),
        n_candidates=None,
        max_active=None,
        annealing="default",
        n_steps=None,
        max_iter=400,
        tol=1e-5,
        init="mean",
        n_init=1,
        learn=("W", "pi", "sigma"),
        fit_mean=False,
        anneal_prior=False,
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
            anneal_prior=anneal_prior,
            batch_size=batch_size,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.values = values

    def _check_values(self):
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise ValueError(
                "values must list two finite numbers or more, one of them zero; got "
                f"{self.values!r}."
            )
        if np.count_nonzero(values == 0.0) != 1 or len(np.unique(values)) < len(values):
            raise ValueError(
                "values must be different from each other and exactly one of them "
                f"zero, got {values.tolist()}."
            )

    def _values(self):
        values = np.asarray(self.values, dtype=np.float64)
        return values[values != 0.0]

    def _zero(self):
        return int(np.flatnonzero(np.asarray(self.values) == 0)[0])

    def _draw(self, n_samples, rng):
        shape = n_samples, self.components_.shape[0]
        drawn = rng.choice(np.asarray(self.values), size=shape, p=self.pi_)
        return drawn
