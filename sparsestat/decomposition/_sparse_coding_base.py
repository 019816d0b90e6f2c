"""What the estimators of probabilistic sparse coding share."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.arithmetic import Standardization, power_of_two, standardize
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.parallel import single_blas_thread
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import FLOATS, check_counts, check_samples, given_weights
from sparsestat._utils.validation import LARGEST_ENTRY, check_magnitude, largest_entry
from sparsestat.decomposition._coding._block_samples import BlockSamples
from sparsestat.decomposition._coding._expectation_truncation import (
    Samples,
    Temper,
    check_schedule,
    expectations,
    run_em,
)
from sparsestat.decomposition._coding._models import Summary
from sparsestat.decomposition._coding._truncation import (
    MAX_STATES,
    check_truncation,
    count_states,
)
from sparsestat.decomposition._components import ComponentsMixin

__all__ = ["CODING_CONSTRAINTS", "SparseCodingEstimator"]

_JOINTS = 2_000_000  # log-joints held at once by `posterior`

CODING_CONSTRAINTS = {
    "n_components": [Interval(Integral, 1, None, closed="left")],
    "n_candidates": [Interval(Integral, 1, None, closed="left"), None],
    "max_active": [Interval(Integral, 1, None, closed="left"), None],
    "annealing": [StrOptions({"default"}), dict, None],
    "n_steps": [Interval(Integral, 1, None, closed="left"), None],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "init": [StrOptions({"mean", "data"}), "array-like"],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "learn": ["array-like", set, frozenset],
    "fit_mean": ["boolean"],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "n_jobs": [Integral, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


class SparseCodingEstimator(
    CallbackSupportMixin,
    ComponentsMixin,
    SparsestatEstimator,
):
    """Fit and inference for all models; a subclass says which model.

    A subclass offers ``_model`` and the schedule ``_schedule`` with ``_steps``; one
    whose causes are not 0 and 1, ``_values``; one with parameters of its own,
    ``_start``, ``_fitted`` and ``_params``.
    """

    _by_rows = True
    log_likelihoods_ = OldAttribute("history_")

    _parameter_constraints = CODING_CONSTRAINTS
    _schedule = {"T": [(0.0, 5.0), (0.8, 1.0)], "ncut": [(0.0, 0.0), (2 / 3, 1.0)]}
    _steps = 150
    _names = ("W", "pi", "sigma")

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
        batch_size=4096,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.n_candidates = n_candidates
        self.max_active = max_active
        self.annealing = annealing
        self.n_steps = n_steps
        self.max_iter = max_iter
        self.tol = tol
        self.init = init
        self.n_init = n_init
        self.learn = learn
        self.fit_mean = fit_mean
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _posterior_model(self):
        """Return the model of the fit."""
        return self._model(
            self.components_.shape[0],
            self.n_candidates_,
            self.max_active_,
            self.n_features_in_,
        )

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Learn the components by annealed, truncated EM.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. Never modified.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; 2 counts a sample twice.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, sample_weight = self._given(self._validate(X, reset=True), sample_weight)
        dtype = X.dtype
        X = self._choose_frame(X, sample_weight)
        samples = Samples(X, sample_weight, batch_size=self.batch_size)
        return self._learn(X, samples, Summary.of(X, samples.weights), dtype)

    def _fit_blocks(self, blocks):
        """Fit on rows in blocks; `init` must not be drawn from the rows."""
        if isinstance(self.init, str) and self.init == "data":
            raise ValueError(
                "init='data' needs X in memory. Use init='mean', or pass components "
                "to start from, such as rows of a sample."
            )
        samples = BlockSamples(blocks, type(self).__name__, self.verbose)
        summary = samples.choose_frame(centered=self.fit_mean)
        self._origin, self._unit = samples.origin, samples.unit
        return self._learn(None, samples, summary, np.float64)

    def _learn(self, X, samples, summary, dtype):
        """Run the EM on samples in their frame, X if these are in memory."""
        model = self._prepare_fit(summary)
        schedule, n_steps = self._timing()
        rng = check_random_state(self.random_state)
        best = None
        total = self.n_init * self.max_iter
        with (
            single_blas_thread(),
            FitProgress(self, total, X=X, verbose=self.verbose) as progress,
        ):
            for _ in range(self.n_init):
                result = run_em(
                    model,
                    self._start(
                        model,
                        summary,
                        self._first_components(X, samples, rng, summary),
                        rng,
                    ),
                    samples,
                    schedule=schedule,
                    n_steps=n_steps,
                    max_iter=self.max_iter,
                    tol=self.tol,
                    rng=rng,
                    n_jobs=self.n_jobs,
                    report=lambda params, value: progress.step(
                        lambda: self._fitted(params, dtype),
                        log_likelihood=value + self._per_unit(),
                    ),
                )
                if best is None or (
                    result.log_likelihoods[-1] > best.log_likelihoods[-1]
                ):
                    best = result
        self._keep(best, dtype)
        schedule_end = min(n_steps, self.max_iter) if schedule else 0
        self._certify(best, schedule_end)
        warn_if_unsatisfied(
            self.certificate_,
            f"{type(self).__name__} did not converge: the last change of the "
            "log-likelihood",
            "Raise max_iter or tol.",
        )
        return self

    # What a fit starts from

    def _validate(self, X, *, reset):
        return check_samples(
            self, X, accept_sparse="csr", dtype=FLOATS, reset=reset, largest=None
        )

    def _given(self, X, sample_weight):
        """Return samples of positive weight, checked, and their weights or None."""
        weights = given_weights(sample_weight, X)
        if weights is not None:
            check_counts(weights, len(weights), type(self).__name__)
            used = np.flatnonzero(weights)
            X, weights = X[used], weights[used]
        return check_magnitude(X, largest=LARGEST_ENTRY), weights

    def _choose_frame(self, X, weights):
        """Choose the unit of all arithmetic, and its origin; return samples in them.

        The unit is the power of two below the spread. The origin moves where the
        model has a mean that takes it back.
        """
        zeros = np.zeros(X.shape[1])
        self._origin = Standardization(zeros, zeros, zeros)
        if self.fit_mean:
            found = standardize(X, weights)
            self._origin = Standardization(found.offset, found.rest, zeros)
        self._unit = 1.0
        X = self._framed(X)
        size = power_of_two(largest_entry(X))
        weights = np.ones(X.shape[0]) if weights is None else weights
        self._unit = power_of_two(Summary.of(X / size, weights).deviation * size)
        return X / self._unit

    def _framed(self, X):
        return (self._origin.apply(X) if self.fit_mean else X) / self._unit

    def _new(self, X):
        """Return checked new samples in the frame of the fit, and their type."""
        X = check_magnitude(self._validate(X, reset=False), largest=LARGEST_ENTRY)
        return self._framed(X), X.dtype

    def _per_unit(self):
        """Return what the unit adds to the log-density of a sample."""
        return -self.n_features_in_ * np.log(self._unit)

    def _values(self):
        """Return the non-zero values of a cause."""
        return np.ones(1)

    def _timing(self):
        """Return the checked schedule and its length in steps."""
        annealing = self.annealing
        if isinstance(annealing, str):
            annealing = self._schedule
        n_steps = self._steps if self.n_steps is None else self.n_steps
        return check_schedule(annealing or {}), n_steps

    def _prepare_fit(self, summary):
        """Check what depends on several parameters; return the model."""
        self._check_values()
        n_candidates, max_active = check_truncation(
            self.n_components, self.n_candidates, self.max_active, len(self._values())
        )
        unknown = sorted(set(self.learn) - set(self._names))
        if unknown:
            raise ValueError(
                f"learn names {unknown}, but {type(self).__name__} can learn "
                f"{self._names}."
            )
        self.n_candidates_, self.max_active_ = n_candidates, max_active
        return self._model(
            self.n_components,
            n_candidates,
            max_active,
            self.n_features_in_,
            learn=tuple(self.learn),
            fit_mean=self.fit_mean,
            scale=summary.deviation,
            floor=summary.floor,
        )

    def _check_values(self):
        """Check the values of the causes; only some models have any to check."""

    def _first_components(self, X, samples, rng, summary):
        """Return the first W."""
        shape = self.n_components, self.n_features_in_
        if not isinstance(self.init, str):
            W = np.array(self.init, dtype=np.float64)
            if W.shape != shape or not np.isfinite(W).all():
                raise ValueError(
                    f"init must be a finite array of shape {shape}, got shape "
                    f"{W.shape}."
                )
            return W / self._unit
        noise = 0.25 * summary.deviation * rng.standard_normal(shape)
        if self.init == "mean":
            mean = 0.0 if self.fit_mean else summary.mean
            return mean + noise
        # Over sorted rows a weight acts as a repetition, whatever the order.
        dense = X.toarray() if sparse.issparse(X) else X
        order = np.lexsort(dense.T[::-1])
        edges = np.cumsum(samples.weights[order])
        draws = rng.uniform(size=self.n_components) * edges[-1]
        W = dense[order[np.searchsorted(edges, draws, side="right")]]
        W = W.astype(np.float64)
        return W - summary.mean if self.fit_mean else W

    def _start(self, model, summary, W, rng):
        return model.start(summary, W)

    # What a fit leaves behind

    def _fitted(self, params, dtype):
        """Return the fitted attributes that stand for parameters."""
        return {
            "components_": (params["W"] * self._unit).astype(dtype),
            "pi_": params["pi"],
            "sigma_": params["sigma"] * self._unit,
            "mean_": (params["mean"] * self._unit + self._center()).astype(dtype),
        }

    def _center(self):
        return self._origin.offset + self._origin.rest

    def _params(self):
        """Return the parameters that stand in the fitted attributes."""
        return {
            "W": self.components_.astype(np.float64) / self._unit,
            "pi": self.pi_,
            "sigma": self.sigma_ / self._unit,
            "mean": (self.mean_.astype(np.float64) - self._center()) / self._unit,
        }

    def _keep(self, result, dtype):
        for name, value in self._fitted(result.params, dtype).items():
            setattr(self, name, value)
        self.history_ = result.log_likelihoods + self._per_unit()
        self.n_iter_ = result.n_iter
        self.converged_ = result.converged

    def _certify(self, result, begin):
        falls = -np.diff(result.log_likelihoods[begin:])
        exact = self.max_active_ == self.components_.shape[0]
        self.certificate_ = Certificate(
            "monotone_bound",
            result.change,
            float(self.tol),
            bool(result.converged),
            "last change of the mean truncated log-likelihood / max(1, its size), with "
            "densities in a power of two of the spread of X",
            {
                "log_unit": float(self._per_unit()),
                "log_likelihood": float(self.history_[-1]),
                "largest_fall": float(np.max(falls, initial=0.0)),
                "n_used": float(result.n_used),
                "exact": bool(exact),
            },
        )

    # Inference

    def _expect(self, X):
        """Return log-evidences and posterior means at temperature 1."""
        model, params = self._posterior_model(), self._params()
        samples = Samples(X, np.zeros(X.shape[0]), batch_size=self.batch_size)
        with single_blas_thread():
            step = model.prepare(params, Temper())
            found = expectations(model, step, samples, n_jobs=self.n_jobs)
        constant = model.constant(params)
        log_z = np.concatenate([part[0] for part in found]) + constant
        return log_z, np.concatenate([part[1] for part in found])

    def transform(self, X):
        """Return the posterior means of the causes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components)
            Expected values under the truncated posterior.
        """
        check_is_fitted(self)
        X, dtype = self._new(X)
        return self._expect(X)[1].astype(dtype, copy=False)

    def score_samples(self, X):
        """Return the truncated log-likelihood of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            In nats. Exact when every state is kept.
        """
        check_is_fitted(self)
        return self._expect(self._new(X)[0])[0] + self._per_unit()

    def score(self, X, y=None):
        """Return the mean truncated log-likelihood of the samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Larger is better.
        """
        return float(self.score_samples(X).mean())

    def posterior(self, X, top_k=10):
        """Return the most probable states of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        top_k : int, default=10
            How many states; cut at the number of states that a sample keeps.

        Returns
        -------
        states : ndarray of shape (n_samples, top_k, n_components)
            Values of the causes, the most probable state first.
        probabilities : ndarray of shape (n_samples, top_k)
            Their probabilities under the truncated posterior.
        """
        check_is_fitted(self)
        if not isinstance(top_k, Integral) or top_k < 1:
            raise ValueError(f"top_k must be a positive integer, got {top_k!r}.")
        X, _ = self._new(X)
        levels, probabilities = self._best_states(
            self._posterior_model(), X, int(top_k)
        )
        return self._values_of(levels), probabilities

    def predict_states(self, X, *, adaptive=False):
        """Return the most probable state of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.
        adaptive : bool, default=False
            Where the best state has as many causes as are allowed, allow one more,
            and one more candidate, until it has fewer.

        Returns
        -------
        states : ndarray of shape (n_samples, n_components)
            Values of the causes, int8 if they are small integers.
        """
        check_is_fitted(self)
        X, _ = self._new(X)
        model = self._posterior_model()
        levels = self._best_states(model, X, 1)[0][:, 0]
        h, k, gamma = model.n_components, model.n_candidates, model.max_active
        rows = np.arange(X.shape[0])
        while adaptive and gamma < h:
            rows = rows[(levels[rows] > 0).sum(axis=1) == gamma]
            k, gamma = min(k + 1, h), gamma + 1
            if not len(rows) or count_states(h, k, gamma, model.n_values) > MAX_STATES:
                break
            wider = self._model(h, k, gamma, self.n_features_in_)
            levels[rows] = self._best_states(wider, X[rows], 1)[0][:, 0]
        return self._values_of(levels)

    def _best_states(self, model, X, top_k):
        n_states = count_states(
            model.n_components, model.n_candidates, model.max_active, model.n_values
        )
        top_k = min(top_k, n_states)
        n = X.shape[0]
        levels = np.empty((n, top_k, model.n_components), dtype=np.int16)
        probabilities = np.empty((n, top_k))
        with single_blas_thread():
            step = model.prepare(self._params(), Temper())
            for rows in gen_batches(n, max(1, min(1024, _JOINTS // n_states))):
                part = X[rows]
                (block,) = Samples(part).blocks
                joints, candidates = model.joints(step, block)
                levels[rows], probabilities[rows] = _most_probable(
                    model, joints, candidates, top_k
                )
        return levels, probabilities

    def _values_of(self, levels):
        """Return the values that levels stand for: 0, then the non-zero values."""
        table = np.concatenate([[0.0], self._values()])
        if np.all(table == np.round(table)) and np.abs(table).max() <= 127:
            table = table.astype(np.int8)
        return table[levels]

    def inverse_transform(self, X):
        """Return the noise-free samples that causes stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Values of the causes, e.g. of :meth:`transform` or
            :meth:`predict_states`.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Superposition of the components, plus `mean_`.
        """
        S = np.asarray(self._check_codes(X))
        return self._superpose(S) + self.mean_

    def _superpose(self, S):
        return S @ self.components_

    def sample(self, n_samples=1):
        """Draw samples from the fitted model, which may have any number of causes.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples.
        causes : ndarray of shape (n_samples, n_components)
            What they were made of.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(
                f"n_samples must be a positive integer, got {n_samples!r}."
            )
        rng = check_random_state(self.random_state)
        causes = self._draw(int(n_samples), rng)
        noise = rng.standard_normal((n_samples, self.n_features_in_))
        X = self.inverse_transform(causes) + self.sigma_ * noise
        return X.astype(self.components_.dtype, copy=False), causes

    def _draw(self, n_samples, rng):
        """Draw causes from the prior."""
        chance = rng.uniform(size=(n_samples, self.components_.shape[0]))
        return (chance < self.pi_).astype(np.int8)


def _most_probable(model, joints, candidates, top_k):
    """Return levels and probabilities of the best states, the best first."""
    n, n_columns = joints.shape
    top = joints.max(axis=1, keepdims=True)
    total = np.exp(joints - top).sum(axis=1, keepdims=True)
    columns = np.broadcast_to(np.arange(n_columns), joints.shape)
    if top_k < n_columns:
        columns = np.argpartition(-joints, top_k - 1, axis=1)[:, :top_k]
        columns = np.sort(columns, axis=1)  # among equals the simpler state is first
    values = np.take_along_axis(joints, columns, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    probabilities = np.exp(np.take_along_axis(values, order, axis=1) - top) / total
    flat = model.decode(columns.ravel(), np.repeat(candidates, top_k, axis=0))
    return flat.reshape(n, top_k, model.n_components), probabilities
