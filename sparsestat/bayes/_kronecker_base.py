"""What both estimators of Kronecker-structured learning share."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    fit_context,
)
from sparsestat._utils.parallel import run_parallel, single_blas_thread
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.validation import (
    LARGEST_ENTRY,
    check_complex_array,
    check_magnitude,
    refuse_complex,
)
from sparsestat.bayes._data import centered_r2, square
from sparsestat.bayes._history import EvidenceHistoryMixin
from sparsestat.bayes._kronecker import (
    Problem,
    final_posterior,
    maximize,
    mode_product,
    starts,
)
from sparsestat.bayes._linear import warn_if_collapsed
from sparsestat.bayes._records import STARTING_VARIANCE, Noise, Stop

__all__ = ["KRONECKER_CONSTRAINTS", "BaseKroneckerSBL"]

_PRUNE = {"am": 1e-6, "mm": 1e-4, "svd": 1e-4}
_HIGH = 1e3  # svd ends in bad minima less often from large variances
_SWEEPS = {"am": 20, "mm": 3, "svd": 1}
_REMEDIES = {"svd": "Its updates may climb: use m_step='svd+mm', or increase tol."}

KRONECKER_CONSTRAINTS = {
    "noise_variance": [Interval(Real, 0, None, closed="neither"), None],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "prune_tol": [
        StrOptions({"auto"}),
        Interval(Real, 0, 1, closed="left"),
        "array-like",
    ],
    "inner_sweeps": [
        StrOptions({"auto"}),
        Interval(Integral, 1, None, closed="left"),
    ],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "gamma_init": STARTING_VARIANCE,
    "noise_floor": [Interval(Real, 0, 1, closed="right")],
    "compute_score": ["boolean", StrOptions({"deprecated"})],
    "allow_complex": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def check_factors(factors, allow_complex):
    """Return the factors as a list of dense matrices without faults."""
    if isinstance(factors, np.ndarray) and factors.ndim == 2:
        raise ValueError(
            "factors must be a list of matrices, got one matrix. Pass [H] for a "
            "single factor."
        )
    factors = list(factors)
    if not factors:
        raise ValueError("factors is empty. Pass a list of at least one matrix.")
    out = []
    for i, H in enumerate(factors):
        name = f"factors[{i}]"
        if sparse.issparse(H):
            raise TypeError(
                f"{name} is a sparse matrix, but factors are small dense matrices. "
                f"Use {name}.toarray(), or SBLRegressor(method='cofem') for a large "
                "sparse design."
            )
        H = check_complex_array(H, name=name)
        check_magnitude(H, name=name, largest=LARGEST_ENTRY)
        if not allow_complex:
            refuse_complex(H, name=name)
        if not H.any():
            raise ValueError(
                f"All columns of {name} are zero, so that nothing can be explained. "
                "Check how it was made."
            )
        out.append(H)
    return out


def tensor_targets(y, factors, allow_complex):
    """Return y as (L, M_1, ..., M_I), and whether it had one target."""
    sizes = tuple(H.shape[0] for H in factors)
    y = check_complex_array(y, name="y", ndim=(1, 2, len(sizes), len(sizes) + 1))
    if not allow_complex:
        refuse_complex(y, name="y")
    check_magnitude(y, name="y", largest=LARGEST_ENTRY)
    n = int(np.prod(sizes))
    if y.shape == sizes or y.shape == (n,):
        return y.reshape(1, *sizes), True
    if y.shape[:-1] in (sizes, (n,)):
        Y = y.reshape(n, y.shape[-1]).T
        return np.ascontiguousarray(Y).reshape(-1, *sizes), False
    raise ValueError(
        f"y has shape {y.shape} with {y.size} entries, but the factors have "
        f"{' * '.join(map(str, sizes))} = {n} rows together. Pass y of shape ({n},), "
        f"{sizes} or ({n}, n_targets)."
    )


class BaseKroneckerSBL(EvidenceHistoryMixin, CallbackSupportMixin, SparsestatEstimator):
    """What both estimators with lists of factors share."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.target_tags.required = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, factors, y):
        """Fit the model.

        Parameters
        ----------
        factors : list of array-like of shape (M_i, N_i)
            Dense factors of the design, real or complex. Never modified.
        y : array-like of shape (M,), (M_1, ..., M_I) or (M, n_targets)
            Measurements with M the product of the M_i, in C order: the row of the
            first factor varies slowest, as in ``np.kron``.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        checked = check_factors(factors, self.allow_complex)
        Y, self._one_target = tensor_targets(y, checked, self.allow_complex)
        self._factors = checked
        self._fit(checked, Y)
        return self

    def _fit(self, factors, Y):
        self._warn_of_compute_score()
        wide = np.result_type(np.float64, Y.dtype, *factors)
        self._dtype = np.result_type(Y.dtype, *factors)
        factors = [H.astype(wide) for H in factors]
        Y = Y.astype(wide)
        self.n_factors_ = len(factors)
        norms = [np.sqrt(square(H).mean(axis=0)) for H in factors]
        used = [np.flatnonzero(n > 0) for n in norms]
        scale = float(np.sqrt(square(Y).mean()))
        _check_units(norms, scale)
        couplings = self._couplings([H.shape[1] for H in factors])
        problem = Problem(
            [H[:, j] / n[j] for H, n, j in zip(factors, norms, used, strict=True)],
            Y / scale if scale > 0 else Y,
            [None if C is None else C[j] for C, j in zip(couplings, used, strict=True)],
            nnls=self.m_step == "nnls",
        )
        if scale == 0:
            found, self.history_, self._runs = None, np.zeros(0), []
        else:
            with single_blas_thread():
                found = self._best_run(problem, scale)
        self._store(found, problem, norms, used, scale)

    def _run(self, problem, start, m_step, scale, progress):
        prune = self._pruning(m_step, problem.couplings)
        sweeps = self.inner_sweeps
        # What svd leaves, mm will take up: an approximate rest is enough.
        tol = 10.0 * self.tol if self.m_step != m_step == "svd" else self.tol

        def report(change, cost):
            return progress.step(change=change, cost=cost)

        return maximize(
            problem,
            start,
            m_step=m_step,
            noise=Noise.of(self.noise_variance, self.noise_floor, scale),
            stop=Stop(tol, self.max_iter, report),
            prune_tol=prune,
            inner_sweeps=_SWEEPS[m_step] if sweeps == "auto" else sweeps,
        )

    def _pruning(self, m_step, couplings):
        """Return the relative limit of each factor."""
        if isinstance(self.prune_tol, str):
            return [_PRUNE[m_step]] * len(couplings)
        limits = np.asarray(self.prune_tol, dtype=float)
        if limits.ndim > 0 and limits.shape != (len(couplings),):
            raise ValueError(
                f"prune_tol has {limits.size} entries, but there are {len(couplings)} "
                "factors. Pass one number, or one for each factor."
            )
        return np.broadcast_to(limits, len(couplings)).tolist()

    def _best_run(self, problem, scale):
        """Run every start, and return the run of lowest cost."""
        rng = check_random_state(self.random_state)
        n_starts = max(self.n_init - 1, 1) if self.m_step == "svd+mm" else self.n_init
        runs = []
        with FitProgress(self, self.max_iter, verbose=self.verbose) as progress:
            beginnings = starts(problem, n_starts, rng)
            for parts in beginnings:
                parts[-1] *= self.gamma_init
            if self.m_step == "svd+mm":
                for k, parts in enumerate(beginnings):
                    high = [*parts[:-1], _HIGH * parts[-1]] if k == 0 else parts
                    first = self._run(problem, high, "svd", scale, progress)
                    second = self._run(problem, first.gammas, "mm", scale, progress)
                    second.n_iter += first.n_iter
                    second.scores = first.scores + second.scores
                    runs.append(second)
                beginnings = beginnings[:1] if self.n_init > 1 else []
            rule = {"svd+mm": "mm", "nnls": "am"}.get(self.m_step, self.m_step)
            for start in beginnings:
                runs.append(self._run(problem, start, rule, scale, progress))
        self._runs = [run.cost for run in runs]
        best = runs[int(np.argmin(self._runs))]
        is_complex = problem.Y.dtype.kind == "c"
        self._keep_evidence(best.scores, problem.n_measurements, scale, is_complex)
        return best

    def _store(self, found, problem, norms, used, scale):
        sizes = [len(n) for n in norms]
        n_targets = len(problem.Y)
        dtype = self._dtype
        self._norms, self._used = norms, used
        if found is None:
            self.gammas_ = [np.zeros(n) for n in sizes]
            self.supports_ = [np.zeros(0, dtype=np.intp) for _ in sizes]
            self.noise_variance_ = float(self.noise_variance or 0.0)
            self._roots = [np.zeros((n, 0)) for n in sizes]
            self._shrinkage = np.zeros((0,) * len(sizes))
            mean = np.zeros((n_targets, *sizes), dtype=dtype)
            self.n_iter_, self.converged_, self.dof_ = 1, True, 0.0
            change, raw = 0.0, [np.zeros(n) for n in sizes]
        else:
            alive = [np.flatnonzero(g) for g in found.gammas]
            small = Problem(
                [H[:, j] for H, j in zip(problem.factors, alive, strict=True)],
                problem.Y,
                [None] * len(sizes),
            )
            gammas = [g[j] for g, j in zip(found.gammas, alive, strict=True)]
            part, roots, self._shrinkage = final_posterior(
                small, gammas, found.noise_variance
            )
            self.supports_ = [u[j] for u, j in zip(used, alive, strict=True)]
            factor = [1.0 / n[j] for n, j in zip(norms, self.supports_, strict=True)]
            self.gammas_ = []
            for n, j, f, g in zip(sizes, self.supports_, factor, gammas, strict=True):
                full = np.zeros(n)
                full[j] = g * f**2
                self.gammas_.append(full)
            self.gammas_[-1] *= scale**2
            factor[-1] = factor[-1] * scale
            self._roots = [f[:, None] * R for f, R in zip(factor, roots, strict=True)]
            for i, f in enumerate(factor):
                shape = [1] * part.ndim
                shape[i + 1] = -1
                part = part * f.reshape(shape)
            mean = np.zeros((n_targets, *sizes), dtype=dtype)
            mean[(slice(None), *np.ix_(*self.supports_))] = part
            self.noise_variance_ = float(found.noise_variance * scale**2)
            self.n_iter_, self.converged_ = found.n_iter, bool(found.converged)
            change, raw, self.dof_ = found.change, found.raw, found.dof
        self._keep_raw(raw)
        self.coef_tensor_ = mean[0] if self._one_target else np.moveaxis(mean, 0, -1)
        self.coef_ = self.coef_tensor_.reshape(
            (-1,) if self._one_target else (-1, n_targets)
        )
        self._report(change, problem, found)

    def _keep_raw(self, raw):
        pass

    def _report(self, change, problem, found):
        name = type(self).__name__
        details = {"dof": self.dof_, "noise_variance": self.noise_variance_}
        for k, cost in enumerate(self._runs):
            details[f"cost_of_start_{k}"] = float(cost)
        self.certificate_ = Certificate(
            "kkt" if self.m_step != "svd" else "monotone_bound",
            float(change),
            float(self.tol),
            self.converged_,
            "relative to the norm of the variances, columns of mean square 1",
            details,
        )
        warn_if_unsatisfied(
            self.certificate_,
            f"{name} did not converge: the change of the variances by one more update",
            _REMEDIES.get(self.m_step, "Increase max_iter, or tol."),
        )
        learned = self.noise_variance is None and found is not None
        warn_if_collapsed(name, problem.n_measurements, self.dof_, learned)

    @property
    def coef_var_(self):
        """Posterior variances of the coefficients, in the shape of one target."""
        check_is_fitted(self)
        sizes = [len(g) for g in self.gammas_]
        out = np.zeros(sizes)
        if not self._shrinkage.size:
            return out.ravel()
        inner = mode_product(self._shrinkage, [square(R) for R in self._roots])
        out[np.ix_(*self.supports_)] = inner
        return out.ravel()

    def sigma_quad(self, v):
        """Return ``v^H Sigma v`` with Sigma the posterior covariance.

        Parameters
        ----------
        v : array-like of shape (N,) or (N_1, ..., N_I)
            Direction in the space of coefficients.

        Returns
        -------
        value : float
            The variance of ``v^H x``, at the cost of a few products with factors.
        """
        check_is_fitted(self)
        sizes = tuple(len(g) for g in self.gammas_)
        v = check_complex_array(v, name="v", ndim=(1, len(sizes)))
        if v.size != np.prod(sizes):
            raise ValueError(
                f"v has {v.size} entries, but there are {np.prod(sizes)} coefficients."
            )
        part = v.reshape(sizes)[np.ix_(*self.supports_)]
        if part.size == 0:
            return 0.0
        inner = mode_product(part, [R.conj().T for R in self._roots])
        return float((self._shrinkage * square(inner)).sum())

    def predict(self, factors=None, return_std=False):
        """Predict measurements.

        Parameters
        ----------
        factors : list of array-like of shape (M_i_new, N_i), default=None
            New factors with the same numbers of columns. None means those of fit.
        return_std : bool, default=False
            Return the predictive standard deviation too.

        Returns
        -------
        y_pred : ndarray of shape (M_new,) or (M_new, n_targets)
            Product of the design and the coefficients.
        y_std : ndarray of shape (M_new,)
            Of a measurement, noise included. Only if ``return_std=True``.
        """
        check_is_fitted(self)
        if factors is None:
            factors = self._factors
        factors = check_factors(factors, self.allow_complex)
        sizes = [len(g) for g in self.gammas_]
        if [H.shape[1] for H in factors] != sizes:
            raise ValueError(
                f"The factors have {[H.shape[1] for H in factors]} columns, but "
                f"{type(self).__name__} was fitted with {sizes}."
            )
        small = [H[:, j] for H, j in zip(factors, self.supports_, strict=True)]
        part = self.coef_tensor_[np.ix_(*self.supports_)]
        shape = (-1,) if self._one_target else (-1, self.coef_.shape[1])
        n = int(np.prod([H.shape[0] for H in factors]))
        if part.size:
            mean = mode_product(part, small).reshape(shape)
        else:
            mean = np.zeros((n, *self.coef_.shape[1:]), dtype=self.coef_.dtype)
        if not return_std:
            return mean
        variance = np.full(n, self.noise_variance_)
        if part.size:
            spread = [square(H @ R) for H, R in zip(small, self._roots, strict=True)]
            variance += mode_product(self._shrinkage, spread).ravel()
        return mean, np.sqrt(variance)

    def score(self, factors, y):
        """Return the coefficient of determination of the prediction.

        Parameters
        ----------
        factors : list of array-like of shape (M_i, N_i)
            Factors of the design.
        y : array-like of shape (M,), (M_1, ..., M_I) or (M, n_targets)
            Measurements.

        Returns
        -------
        score : float
            At most 1; squares are squared moduli.
        """
        prediction = self.predict(factors)
        return centered_r2(np.reshape(y, prediction.shape), prediction)

    def fit_many(self, factors, Ys, *, n_jobs=None):
        """Fit one independent model for each column.

        Parameters
        ----------
        factors : list of array-like of shape (M_i, N_i)
            Factors that all fits share.
        Ys : array-like of shape (M, n_fits)
            Measurements of one fit a column.
        n_jobs : int, default=None
            Number of threads; None means 1 unless a joblib context says otherwise.

        Returns
        -------
        models : list of estimators
            Fitted clones, in the order of the columns. The result does not depend
            on `n_jobs`.
        """
        from sklearn.base import clone

        Ys = check_complex_array(Ys, name="Ys")
        seeds = check_random_state(self.random_state).randint(2**31, size=Ys.shape[1])
        models = [clone(self).set_params(random_state=int(s)) for s in seeds]
        tasks = [(model, factors, Ys[:, k]) for k, model in enumerate(models)]
        return run_parallel(_fit, tasks, n_jobs=n_jobs)


def _check_units(norms, scale):
    """Refuse factors and y whose units give variances beyond double precision."""
    sizes = [n.max(initial=0.0) for n in norms]
    if scale > 0 and all(sizes):
        size = np.log10(scale) - sum(np.log10(n) for n in sizes)
        if abs(size) > np.log10(LARGEST_ENTRY):
            raise ValueError(
                f"Coefficients are of the size 1e{size:.0f}, and their squares leave "
                "double precision. Rescale y or the factors."
            )


def _fit(model, factors, y):
    return model.fit(factors, y)
