"""Gaussian processes through inducing points, against GPyTorch and GPflow."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings

import numpy as np
from scipy.optimize import minimize
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from sparsestat.gaussian_process import SparseGPRegressor
from sparsestat.gaussian_process._kernel._inducing import evaluate

TITLE = "Inducing points: 100,000 samples, 200 points"
CLAIM = (
    "Target; the rows show whether it is met: n = 1e5, m = 200 on a CPU, at least as "
    "fast as GPyTorch's and GPflow's SGPR at equal bound."
)
PEERS = ("gpytorch", "torch", "gpflow", "tensorflow-cpu")

JITTER = 1e-6  # of all sides, so that the bounds are the same numbers
LENGTH, VARIANCE, NOISE = 1.5, 1.0, 0.1  # where all sides start
BUDGET = 22.0  # seconds of one optimization
GOALS = (0.9, 0.99)  # shares of the way from the start to the best bound of all


def problem(n, m, seed=17):
    """Return a smooth function of five features with noise, and k-means-like points."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 5))
    f = np.sin(1.5 * X[:, 0]) * X[:, 1] + np.cos(X[:, 2] + 0.5 * X[:, 3])
    f += 0.3 * X[:, 4] ** 2
    y = f + 0.2 * rng.standard_normal(n)
    return X, y - y.mean(), X[rng.choice(n, m, replace=False)]


class Ours:
    """Our bound, and L-BFGS on it."""

    name = "sparsestat"

    def __init__(self, X, y, Z):
        self.X, self.y, self.Z = X, y, Z
        self.kernel = ConstantKernel(VARIANCE) * RBF(np.full(X.shape[1], LENGTH))
        self.kernel = self.kernel + WhiteKernel(NOISE, (1e-6, 1e3))

    def evaluate(self):
        state = evaluate(self.kernel, self.Z, self.X, self.y, jitter=JITTER)
        return state.objective

    def optimize(self, budget):
        trace, begin = [], time.perf_counter()
        trace.append((0.0, *self._model(0)))
        p, m = self.kernel.n_dims, self.Z.size

        def function(x):
            kernel = self.kernel.clone_with_theta(x[:p])
            Z = x[p:].reshape(self.Z.shape)
            state = evaluate(kernel, Z, self.X, self.y, jitter=JITTER)
            trace.append((time.perf_counter() - begin, kernel, Z.copy()))
            return -state.objective, -np.r_[state.gradient, state.Z_gradient.ravel()]

        begin = time.perf_counter()
        start = np.r_[self.kernel.theta, self.Z.ravel()]
        assert len(start) == p + m
        _run(function, start, begin, budget)
        return trace

    def _model(self, _):
        return self.kernel, self.Z.copy()


class GPflow:
    """gpflow.models.SGPR and its L-BFGS."""

    name = "GPflow"

    def __init__(self, X, y, Z):
        import gpflow
        import tensorflow as tf

        # TensorFlow does not look at the variables that limit the others.
        if not tf.config.threading.get_intra_op_parallelism_threads():
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        gpflow.config.set_default_jitter(JITTER * VARIANCE)
        kernel = gpflow.kernels.RBF(VARIANCE, np.full(X.shape[1], LENGTH))
        self.model = gpflow.models.SGPR(
            (X, y[:, None]), kernel, inducing_variable=Z.copy(), noise_variance=NOISE
        )
        self.loss = self.model.training_loss_closure(compile=True)
        self.tf = tf

        @tf.function
        def both():
            with tf.GradientTape() as tape:
                loss = self.model.training_loss()
            return loss, tape.gradient(loss, self.model.trainable_variables)

        self.both = both

    def evaluate(self):
        loss, _ = self.both()
        return -float(loss)

    def optimize(self, budget):
        variables = self.model.trainable_variables
        shapes = [v.shape for v in variables]
        sizes = [int(np.prod(s)) for s in shapes]
        trace, begin = [(0.0, *self._parameters())], time.perf_counter()

        def function(x):
            parts = np.split(x, np.cumsum(sizes)[:-1])
            for variable, part, shape in zip(variables, parts, shapes, strict=True):
                variable.assign(part.reshape(shape))
            loss, slopes = self.both()
            gradient = np.concatenate(
                [self.tf.convert_to_tensor(s).numpy().ravel() for s in slopes]
            )
            trace.append((time.perf_counter() - begin, *self._parameters()))
            return float(loss), gradient

        start = np.concatenate([v.numpy().ravel() for v in variables])
        begin = time.perf_counter()
        _run(function, start, begin, budget)
        return trace

    def _parameters(self):
        model = self.model
        kernel = ConstantKernel(float(model.kernel.variance.numpy())) * RBF(
            model.kernel.lengthscales.numpy().copy()
        )
        kernel = kernel + WhiteKernel(float(model.likelihood.variance.numpy()))
        return kernel, model.inducing_variable.Z.numpy().copy()


class GPyTorch:
    """gpytorch's SGPR (InducingPointKernel), with L-BFGS on its gradients."""

    name = "GPyTorch"

    def __init__(self, X, y, Z):
        import gpytorch
        import torch

        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float64)
        self.torch, self.gpytorch = torch, gpytorch
        X, y, Z = torch.tensor(X), torch.tensor(y), torch.tensor(Z)

        class Model(gpytorch.models.ExactGP):
            def __init__(self, likelihood):
                super().__init__(X, y, likelihood)
                self.mean_module = gpytorch.means.ZeroMean()
                self.base = gpytorch.kernels.ScaleKernel(
                    gpytorch.kernels.RBFKernel(ard_num_dims=X.shape[1])
                )
                self.covar_module = gpytorch.kernels.InducingPointKernel(
                    self.base, inducing_points=Z.clone(), likelihood=likelihood
                )

            def forward(self, x):
                return gpytorch.distributions.MultivariateNormal(
                    self.mean_module(x), self.covar_module(x)
                )

        likelihood = gpytorch.likelihoods.GaussianLikelihood(
            noise_constraint=gpytorch.constraints.GreaterThan(1e-6)
        )
        self.model = Model(likelihood)
        self.model.base.outputscale = VARIANCE
        self.model.base.base_kernel.lengthscale = LENGTH
        likelihood.noise = NOISE
        self.model.train()
        likelihood.train()
        self.mll = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, self.model)
        self.X, self.y, self.n = X, y, len(y)

    def _loss(self):
        with self.gpytorch.settings.cholesky_jitter(double_value=JITTER):
            self.model.zero_grad()
            loss = -self.mll(self.model(self.X), self.y) * self.n
            loss.backward()
        return float(loss)

    def evaluate(self):
        return -self._loss()

    def optimize(self, budget):
        parameters = list(self.model.parameters())
        sizes = [p.numel() for p in parameters]
        trace, begin = [(0.0, *self._parameters())], time.perf_counter()
        torch = self.torch

        def function(x):
            parts = np.split(x, np.cumsum(sizes)[:-1])
            with torch.no_grad():
                for parameter, part in zip(parameters, parts, strict=True):
                    parameter.copy_(torch.tensor(part).reshape(parameter.shape))
            loss = self._loss()
            gradient = np.concatenate([p.grad.numpy().ravel() for p in parameters])
            trace.append((time.perf_counter() - begin, *self._parameters()))
            return loss, gradient

        start = np.concatenate([p.detach().numpy().ravel() for p in parameters])
        begin = time.perf_counter()
        _run(function, start, begin, budget)
        return trace

    def _parameters(self):
        model = self.model
        kernel = ConstantKernel(float(model.base.outputscale)) * RBF(
            model.base.base_kernel.lengthscale.detach().numpy().ravel().copy()
        )
        kernel = kernel + WhiteKernel(float(model.likelihood.noise))
        Z = model.covar_module.inducing_points.detach().numpy().copy()
        return kernel, Z


class _Spent(Exception):
    """The time of one side is used up."""


def _run(function, start, begin, budget):
    """Run the same optimizer for every side, until its time is used up."""

    def limited(x):
        if time.perf_counter() - begin > budget:
            raise _Spent
        return function(x)

    try:
        minimize(
            limited,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxcor": 20, "maxiter": 10_000, "ftol": 0.0, "gtol": 1e-6},
        )
    except _Spent:
        pass


def bounds_of(trace, X, y, most=12):
    """Return times and bounds along a trace, by one function for all sides."""
    found = []
    places = np.unique(np.linspace(0, len(trace) - 1, most).round().astype(int))
    for k in places:
        seconds, kernel, Z = trace[k]
        try:
            state = evaluate(kernel, Z, X, y, jitter=JITTER, want_gradient=False)
        except np.linalg.LinAlgError:
            continue
        found.append((seconds, state.lower))
    times, bounds = np.array(found).T
    return times, np.maximum.accumulate(bounds)


def seconds_to(times, bounds, goal):
    """Return when a bound was reached, interpolated along the trace; None if never."""
    if bounds[-1] < goal:
        return None
    k = int(np.argmax(bounds >= goal))
    if k == 0:
        return times[0]
    share = (goal - bounds[k - 1]) / (bounds[k] - bounds[k - 1])
    return times[k - 1] + share * (times[k] - times[k - 1])


def sides():
    """Return the classes that can be run here, and notes about the others."""
    found, notes = [Ours], []
    for side, modules in ((GPyTorch, ["gpytorch"]), (GPflow, ["gpflow"])):
        try:
            for module in modules:
                __import__(module)
            found.append(side)
        except ImportError as error:
            notes.append(f"{side.name} was not run: {error}.")
    return found, notes


def run(quick=False):
    """Time evaluations and optimizations of all sides; return the table."""
    n, m = (5_000, 50) if quick else (100_000, 200)
    budget = 3.0 if quick else BUDGET
    X, y, Z = problem(n, m)
    warnings.simplefilter("ignore")
    classes, notes = sides()
    rows, traces, each = [], {}, {}
    for cls in classes:
        side = cls(X, y, Z)
        bound = side.evaluate()  # compiles
        seconds = []
        begin = time.perf_counter()
        while len(seconds) < 5 and time.perf_counter() - begin < budget / 2:
            start = time.perf_counter()
            side.evaluate()
            seconds.append(time.perf_counter() - start)
        each[cls.name] = np.median(seconds), bound, len(seconds)
        traces[cls.name] = side.optimize(budget)
        del side
    curves = {name: bounds_of(trace, X, y) for name, trace in traces.items()}
    start = next(iter(curves.values()))[1][0]
    best = max(bounds[-1] for _, bounds in curves.values())
    ours = each["sparsestat"][0]
    for name, (times, bounds) in curves.items():
        seconds, bound, runs = each[name]
        reached = []
        for share in GOALS:
            at = seconds_to(times, bounds, start + share * (best - start))
            reached.append("not reached" if at is None else f"{at:.1f}")
        rows.append(
            [
                name,
                f"{seconds:.3f}",
                f"{seconds / ours:.2f}",
                f"{bound:.4f}",
                str(runs),
                *reached,
                f"{bounds[-1]:.1f}",
                str(len(traces[name]) - 1),
            ]
        )
    rows.append(_fit_row(X, y, m, budget))
    notes += [
        f"n = {n}, m = {m}, 5 features, Gaussian kernel with one length a feature, "
        "double precision, one thread, same start and same points for all sides, "
        f"jitter {JITTER:g}.",
        "Evaluation: the bound with its gradient in all parameters and points, median.",
        "Optimization: scipy's L-BFGS-B on each library's own value and gradient, in "
        f"its own parametrization, cut off after {budget:g} s. The bounds along the "
        "way are computed by one function for all sides (12 places); the goals are "
        f"{' and '.join(f'{100 * g:g} %' for g in GOALS)} of the way from the start "
        "to the best final bound of all.",
        "The last row is SparseGPRegressor.fit as a user calls it, from its own start "
        "by k-means; its bound is of the same data.",
    ]
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": [
            "side",
            "evaluation [s]",
            "relative",
            "bound at the start",
            "runs",
            *(f"[s] to {100 * g:g} %" for g in GOALS),
            "final bound",
            "evaluations",
        ],
        "rows": rows,
        "notes": notes,
    }


def _fit_row(X, y, m, budget):
    """Time the estimator as users meet it, cut off by its number of iterations."""
    iterations = 25
    model = SparseGPRegressor(
        n_inducing=m, max_iter=iterations, tol=1e-3, jitter=JITTER, random_state=0
    )
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    stopped = "converged" if model.certificate_.satisfied else f"{iterations} its."
    return [
        f"SparseGPRegressor.fit ({stopped})",
        f"{seconds:.1f} in all",
        "",
        "",
        "1",
        "",
        "",
        f"{model.lower_bound_:.1f}",
        str(model.n_iter_),
    ]
