"""Grid spectral mixtures learned by agents that keep their rows to themselves."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np

from sparsestat._utils.compat import Interval, StrOptions, fit_context
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.parallel import run_parallel
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import distinct_rows
from sparsestat.gaussian_process._spectral._consensus import Agent, agree
from sparsestat.gaussian_process._spectral._fit import (
    aggregate,
    choose_engine,
    first_guess,
)
from sparsestat.gaussian_process._spectral_base import ScaledState, SpectralMixtureBase

__all__ = ["DistributedGridSpectralMixtureRegressor"]

_SCALE = "larger residual of the consensus, relative to what tol and rounding allow"


class DistributedGridSpectralMixtureRegressor(SpectralMixtureBase):
    r"""Sparse spectra learned by several agents, none of which shows its rows.

    Agent j holds some rows and their objective :math:`F_j`, as in
    :class:`GridSpectralMixtureRegressor`. Together they minimize

    .. math:: \sum_j F_j(w, s^2) , \qquad w \ge 0 ,

    the likelihood of independent experts (not that of all rows), by rounds in which
    every agent sends a vector of weights and receives the agreed one. Messages are
    rounded at random to a grid, without bias, and their bits are counted. Read more
    in the :ref:`User Guide <distributed_spectra>`.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of components: 500 for one feature, otherwise 100 for each.
    form : {"product", "cosine"}, default="product"
        With several features, products of cosines or one cosine of the inner product.
    grid : {"auto", "uniform", "sobol", "random", "tensor"} or array, default="auto"
        Where the frequencies lie, see :class:`GridSpectralMixtureRegressor`.
    frequency_range : "auto" or (float, float), default="auto"
        Smallest and largest frequency, in cycles per unit of X.
    sigma : float, array-like or "auto", default="auto"
        Width of the components, in the same units. "auto" is one over the extent of X,
        the widest that :class:`GridSpectralMixtureRegressor` tries.
    noise : {"ml", "gcv"} or float, default="ml"
        The noise variance: learned with the weights, as one of them; by generalized
        cross-validation (one feature, even grid), or given.
    noise_floor : float, default=1e-4
        Smallest noise variance relative to the variance of y.
    n_agents : int, default=4
        Number of agents; not used when `partition` is an array.
    partition : {"contiguous", "random"} or array of int, default="contiguous"
        Who holds which rows: neighbors in the order of X, rows at random, or the
        number of the agent of each row. Equal rows stay together unless an array
        says otherwise.
    quantization : float, default=0.0
        Step of the rounding, in shares (degrees of freedom that a component takes).
        0 sends numbers of 64 bits.
    rho : float or "auto", default="auto"
        Strength of the penalty at the start, in shares; it adapts. ``"auto"`` is 0.1.
    max_rounds : int, default=100
        Largest number of rounds.
    max_iter : int, default=100
        Largest number of steps of an agent in one round.
    predict_mode : {"full", "poe", "rbcm"}, default="full"
        ``"full"``: one Gaussian process on all rows, with the agreed weights. The
        others join predictions of the agents, who keep their rows: by precision
        (overconfident), or weighted by what each has learned there.
    detrend : {"mean", "linear"} or None, default="linear"
        What is taken off y before the fit and added to predictions.
    tol : float, default=1e-3
        Stop when both residuals of the consensus are below this, relative to the
        agreed shares.
    prune_tol : float, default=1e-6
        Weights up to this times the largest become zero at the end, where their
        share is below `tol`.
    n_jobs : int, default=None
        Workers over agents. A joblib context may run them on a cluster.
    random_state : int, RandomState instance or None, default=None
        Draws the rounding, a random partition and the frequencies of several
        features.
    verbose : int, default=0
        At 1 and above, log a line a round.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Agreed variance of each component.
    active_ : ndarray of shape (n_active,)
        Components of positive weight.
    frequencies_ : ndarray of shape (n_components, n_features)
        Frequencies, in cycles per unit of X.
    sigmas_ : ndarray of shape (n_components, n_features)
        Widths, in the same units.
    noise_variance_ : float
        Noise variance, given or agreed.
    kernel_ : sklearn.gaussian_process.kernels.Kernel
        A GSMKernel or GSMPKernel of the active components, plus the noise.
    agent_weights_ : ndarray of shape (n_agents, n_components)
        Last answers of the agents.
    communication_bits_ : int
        Bits of all messages, both ways.
    bits_history_ : ndarray of shape (n_rounds,)
        Bits so far, after each round.
    history_ : ndarray of shape (n_rounds,)
        Sum of the objectives at what was agreed, after each round.
    objective_ : float
        The same at the end.
    primal_residuals_ : ndarray of shape (n_rounds,)
        Distance of the answers from what was agreed, in shares.
    dual_residuals_ : ndarray of shape (n_rounds,)
        Change of what was agreed, times the penalty.
    X_train_ : ndarray of shape (n_points, n_features)
        Distinct training points, sorted. Of no use to predictions by agents.
    alpha_ : ndarray of shape (n_points, n_targets)
        Dual coefficients at those points, for ``predict_mode="full"``.
    trend_coef_ : ndarray of shape (0 or 1 or 1 + n_features, n_targets)
        Intercept and slopes of the trend.
    log_marginal_likelihood_value_ : float
        Log likelihood of the independent experts.
    certificate_ : Certificate
        The residuals of the consensus; `stationarity`, in its details, is the
        violation that :class:`GridSpectralMixtureRegressor` reports.
    n_iter_ : int
        Number of rounds.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Warns
    -----
    ConvergenceWarning
        When the agents did not agree within `max_rounds`.
    UserWarning
        When y is constant.

    See Also
    --------
    GridSpectralMixtureRegressor : The likelihood of all rows together.

    Notes
    -----
    What leaves an agent: rounded weights, slopes as powers of two, and the value of
    its objective, each round; before that the counts, sums, products and extents behind
    the trend, the units and the grid. That is not differential privacy: weights tell
    something about rows. One round costs a factorization of each agent's covariance
    for every step it takes, O(sum of n_j^3), or O(sum of n_j^2) on even grids. The
    rows are simulated to be apart: this process cuts them up, and each task is given
    its agent's alone.

    References
    ----------
    .. [1] R. Suwandi, Z. Lin, F. Yin, Z. Wang, S. Theodoridis, "Sparsity-aware
       distributed learning for Gaussian processes with linear multiple kernel",
       arXiv 2309.08201, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.gaussian_process import DistributedGridSpectralMixtureRegressor
    >>> x = np.arange(120.0)
    >>> y = np.sin(2 * np.pi * x / 12.5)
    >>> model = DistributedGridSpectralMixtureRegressor(40, n_agents=3, noise=0.01)
    >>> model.fit(x[:110, None], y[:110]).agent_weights_.shape
    (3, 40)
    >>> round(model.score(x[110:, None], y[110:]), 1)
    1.0
    """

    bits_path_ = OldAttribute("bits_history_")

    _parameter_constraints = {
        **SpectralMixtureBase._parameter_constraints,
        "n_agents": [Interval(Integral, 1, None, closed="left")],
        "partition": [StrOptions({"contiguous", "random"}), "array-like"],
        "quantization": [Interval(Real, 0, 1e9, closed="both")],
        "rho": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "max_rounds": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "predict_mode": [StrOptions({"full", "poe", "rbcm"})],
    }

    def __init__(
        self,
        n_components="auto",
        *,
        form="product",
        grid="auto",
        frequency_range="auto",
        sigma="auto",
        noise="ml",
        noise_floor=1e-4,
        n_agents=4,
        partition="contiguous",
        quantization=0.0,
        rho="auto",
        max_rounds=100,
        max_iter=100,
        predict_mode="full",
        detrend="linear",
        tol=1e-3,
        prune_tol=1e-6,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.form = form
        self.grid = grid
        self.frequency_range = frequency_range
        self.sigma = sigma
        self.noise = noise
        self.noise_floor = noise_floor
        self.n_agents = n_agents
        self.partition = partition
        self.quantization = quantization
        self.rho = rho
        self.max_rounds = max_rounds
        self.max_iter = max_iter
        self.predict_mode = predict_mode
        self.detrend = detrend
        self.tol = tol
        self.prune_tol = prune_tol
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Let the agents agree on the weights of the components and the noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training points, never modified.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights: the noise variance of a row is divided by its
            weight, and an integer weight equals repetition.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        owner = self._given_owners(X)
        rows, samples, spectrum, rng = self._start(X, y, sample_weight)
        if owner is not None and sample_weight is not None:
            owner = owner[np.asarray(sample_weight) > 0]
        parts = self._divide(samples, *rows, owner, rng)
        if self._store_if_constant(samples, spectrum):
            self._store_nothing_said(len(parts), len(spectrum))
            return self
        start = first_guess(
            samples,
            len(spectrum),
            noise=self._given_noise(samples),
            noise_floor=self.noise_floor,
        )
        shift = self._per_unit(samples)
        agents = [
            Agent(start.problem(choose_engine(p, spectrum)), start.z) for p in parts
        ]
        with FitProgress(
            self, self.max_rounds, X=X, y=y, verbose=self.verbose
        ) as progress:
            found = agree(
                agents,
                start.z,
                step=self.quantization,
                strength=None if self.rho == "auto" else self.rho,
                max_rounds=self.max_rounds,
                max_iter=self.max_iter,
                tol=self.tol,
                rng=rng,
                n_jobs=self.n_jobs,
                report=lambda value: progress.step(objective=value + shift),
            )
        self._store(samples, spectrum, agents, found)
        return self

    def _given_owners(self, X):
        if isinstance(self.partition, str):
            return None
        owner = np.asarray(self.partition)
        rows = X.shape[0] if hasattr(X, "shape") else len(X)
        if owner.shape != (rows,) or owner.dtype.kind not in "iu":
            raise ValueError(
                f"partition has shape {owner.shape} and dtype {owner.dtype}, but an "
                f"integer for each of the {rows} rows was expected."
            )
        return owner

    def _divide(self, samples, X, Y, weights, owner, rng):
        """Return the samples of each agent."""
        if owner is None:
            count = len(samples.X)
            if self.n_agents > count:
                raise ValueError(
                    f"n_agents={self.n_agents} is more than there are distinct samples "
                    f"(n_samples={count}). Use fewer agents."
                )
            order = np.arange(count)
            if self.partition == "random":
                order = rng.permutation(count)
            of_point = np.empty(count, dtype=int)
            for j, part in enumerate(np.array_split(order, self.n_agents)):
                of_point[part] = j
            owner = of_point[distinct_rows(X)[1]]
        rest = (Y - self._trend(X)) / self._unit
        rest[:, ~samples.Y.any(axis=0)] = 0.0
        rows = [owner == j for j in np.unique(owner)]
        return [aggregate(X[r], rest[r], weights[r]) for r in rows]

    def _store_nothing_said(self, n_agents, n_components):
        self._parts = []
        self.agent_weights_ = np.zeros((n_agents, n_components))
        self.communication_bits_, self.objective_ = 0, 0.0
        self.bits_history_ = np.zeros(1, dtype=int)
        self.primal_residuals_, self.dual_residuals_ = np.zeros(1), np.zeros(1)

    def _slopes(self, agents, z):
        """Return the sums of the slopes g and q of all agents."""
        slopes = run_parallel(
            Agent.slopes, [(agent, z) for agent in agents], n_jobs=self.n_jobs
        )
        return (sum(parts) for parts in zip(*slopes, strict=True))

    def _store(self, samples, spectrum, agents, found):
        z = found.theta.copy()
        g, q = self._slopes(agents, z)
        small = z[:-1] <= self.prune_tol * z[:-1].max(initial=0.0)
        small &= (z[:-1] > 0.0) & (z[:-1] * g[:-1] <= self.tol)
        if small.any():
            z[:-1][small] = 0.0
            g, q = self._slopes(agents, z)
        shift = self._per_unit(samples)
        self.agent_weights_ = found.agents[:, :-1] * self._unit**2
        self.communication_bits_ = int(found.bits)
        self.bits_history_ = np.array(found.bits_path)
        self.history_ = np.array(found.objectives) + shift
        self.objective_ = float(found.value + shift)
        self.primal_residuals_ = np.array(found.primal)
        self.dual_residuals_ = np.array(found.dual)
        self.n_iter_ = found.n_rounds
        self._store_solution(choose_engine(samples, spectrum), z)
        self.log_marginal_likelihood_value_ = self._likelihood(found.value)
        self._parts = []
        if self.predict_mode != "full":
            states = [a.problem.engine.factor(z[:-1], float(z[-1])) for a in agents]
            self._parts = [
                (a.problem.engine.samples.X, ScaledState(state, self._unit))
                for a, state in zip(agents, states, strict=True)
            ]
        self.certificate_ = Certificate(
            "kkt",
            float(found.violation),
            1.0,
            bool(found.violation <= 1.0),
            _SCALE,
            {
                "objective": self.objective_,
                "stationarity": agents[0].problem.residual(z, g, q),
                "n_active": len(self.active_),
                "bits": self.communication_bits_,
            },
        )
        warn_if_unsatisfied(
            self.certificate_,
            f"{type(self).__name__}: the agents do not agree; the residual",
            "Increase max_rounds, tol or rho.",
        )

    def _marginals(self, X, with_variance):
        if not self._parts:
            return super()._marginals(X, with_variance)
        means, variances = [], []
        prior = float(self.weights_.sum())
        for points, state in self._parts:
            cross = self._mixture(X, points)
            means.append(cross @ state.alpha)
            explained = np.einsum("ij,ji->i", cross, state.solve(cross.T))
            variances.append(np.maximum(prior - explained, 1e-12 * prior))
        mean, variance = _join(
            np.array(means), np.array(variances), prior, self.predict_mode
        )
        return self._shaped(mean + self._trend(X)), variance

    def _joint(self, X):
        if self._parts:
            raise ValueError(
                f"predict_mode={self.predict_mode!r} joins predictions point by point "
                "and has no covariance. Use predict_mode='full'."
            )
        return super()._joint(X)


def _join(means, variances, prior, mode):
    """Join the predictions of agents by precision."""
    precision = 1.0 / variances
    if mode == "rbcm":
        beta = 0.5 * (np.log(prior) - np.log(variances))
        precision = beta * precision
        total = precision.sum(axis=0) + (1.0 - beta.sum(axis=0)) / prior
    else:
        total = precision.sum(axis=0)
    variance = 1.0 / total
    return np.einsum("j,ajt,aj->jt", variance, means, precision), variance
