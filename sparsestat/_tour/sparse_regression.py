"""Tour, sparse regression: Lasso and its relatives beside scikit-learn's."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings
from functools import partial

import numpy as np
import sklearn.linear_model
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, PolynomialFeatures, StandardScaler

import sparsestat.linear_model
from sparsestat._tour._section import Mark, Plot, SectionResult, Table
from sparsestat._utils.parallel import single_blas_thread
from sparsestat.datasets import (
    load_breast_cancer_interactions,
    load_diabetes_interactions,
    load_digits_halves,
    load_digits_sparse,
)

NAME = "sparse_regression"
TITLE = "Sparse regression"
ORDER = 10
GUIDE = "sparse_regression"
CODE = """
from sparsestat.datasets import load_diabetes_interactions
from sparsestat.linear_model import LassoCV

data = load_diabetes_interactions(degree=3)
model = LassoCV(one_se=True, eps=1e-2)
model.fit(data.data, data.target)
print(model.certificate_, (model.coef_ != 0).sum())
"""
N_STEPS = 8
TOL = 1e-6


def run(progress):
    """Fit five problems with both libraries; return the finding, table and plot."""
    progress("compiling the kernels (once, then cached)")
    start = time.perf_counter()
    sparsestat.warmup(["linear_model"])
    compile_seconds = time.perf_counter() - start

    rows, ratios, differences, gaps, proved = [], [], [], [], []
    problems = _problems()
    with single_blas_thread():
        for problem in problems:
            progress(f"{problem['estimator']} on {problem['data']}")
            row, ratio, difference, both, satisfied = _compare(problem)
            rows.append(row)
            ratios.append(ratio)
            differences.append(difference)
            gaps.append(both)
            proved.append(satisfied)
        progress("gap against time")
        plot = _convergence_plot(problems[1])
    progress("drawing")
    finding = (
        f"{sum(proved)} of {len(rows)} answers carry a proof that their duality gap is "
        f"below the tolerance of {TOL:.0e}; with the same tolerance scikit-learn's "
        f"estimator in the same pipeline took between {min(ratios):.1f} and "
        f"{max(ratios):.1f} times as long, for held-out scores that differ by at most "
        f"{max(differences):.0e}."
    )
    ours, theirs = (max(side) for side in zip(*gaps, strict=True))
    glance = f"scikit-learn takes {min(ratios):.1f} to {max(ratios):.1f} times as long"
    return SectionResult(
        finding, _main_table(rows, compile_seconds, ours, theirs), plot, glance
    )


def _problems():
    """Return the five problems, each with its pipeline and two estimators."""
    ours, theirs = sparsestat.linear_model, sklearn.linear_model
    grid = {"eps": 1e-2, "cv": 5, "tol": TOL}

    def scaled(estimator):
        return make_pipeline(StandardScaler(), estimator)

    def products(estimator):
        expansion = PolynomialFeatures(2, interaction_only=True, include_bias=False)
        return make_pipeline(expansion, MaxAbsScaler(), estimator)

    def problem(data, estimator, X, y, arguments, pipeline=scaled, metric="R²"):
        return {
            "data": data,
            "estimator": estimator,
            "split": train_test_split(X, y, random_state=0),
            "ours": lambda **kw: pipeline(
                getattr(ours, estimator)(**{**arguments, **kw})
            ),
            "theirs": lambda **kw: pipeline(
                getattr(theirs, estimator)(max_iter=100_000, **{**arguments, **kw})
            ),
            "metric": metric,
        }

    diabetes = load_diabetes_interactions(degree=3)
    wider = load_diabetes_interactions(degree=4)
    cancer = load_breast_cancer_interactions()
    halves = load_digits_halves(interactions=True)
    digits = load_digits_sparse()
    return [
        problem("diabetes, degree 3", "LassoCV", *_xy(diabetes), grid),
        problem("diabetes, degree 4", "Lasso", *_xy(wider), {"alpha": 2.0, "tol": TOL}),
        problem(
            "cancer, degree 2",
            "ElasticNetCV",
            cancer.data,
            cancer.target.astype(float),
            {**grid, "l1_ratio": 0.9},
            metric="AUC",
        ),
        problem(
            "digits, lower half",
            "MultiTaskLasso",
            *_xy(halves),
            {"alpha": 0.01, "tol": TOL},
        ),
        problem(
            "digits, is it 8?",
            "Lasso",
            digits.data,
            (digits.target == 8).astype(float),
            {"alpha": 3e-4, "tol": TOL},
            pipeline=products,
        ),
    ]


def _xy(bunch):
    return bunch.data, bunch.target


def _compare(problem):
    """Return the row, ratio of times, difference in score, both gaps, the proof."""
    X, X_test, y, y_test = problem["split"]
    _timed_fit(problem["ours"], X[:100], y[:100])  # compiles what the warm-up left out
    seconds, ours = _timed_fit(problem["ours"], X, y)
    seconds_theirs, theirs = _timed_fit(problem["theirs"], X, y)
    metric = {"AUC": roc_auc_score, "R²": r2_score}[problem["metric"]]
    score, score_theirs = (metric(y_test, m.predict(X_test)) for m in (ours, theirs))
    ratio = seconds_theirs / seconds
    certificate = ours[-1].certificate_
    row = (
        problem["data"],
        problem["estimator"],
        f"{problem['metric']} {score:.3f}",
        str(np.count_nonzero(np.any(np.atleast_2d(ours[-1].coef_) != 0, axis=0))),
        _proof(certificate),
        _seconds(seconds),
        _seconds(seconds_theirs),
        f"{ratio:.1f}",
    )
    gaps = _measured_gap(ours, X, y), _measured_gap(theirs, X, y)
    return row, ratio, abs(score - score_theirs), gaps, certificate.satisfied


def _timed_fit(make, X, y, budget=1.0):
    """Return the median time of up to five fits within a budget, and a fit."""
    times = []
    with warnings.catch_warnings():
        # The gap is measured and shown; a warning would say the same less exactly.
        warnings.simplefilter("ignore", ConvergenceWarning)
        while not times or (len(times) < 5 and sum(times) < budget):
            pipeline = make()
            start = time.perf_counter()
            pipeline.fit(X, y)
            times.append(time.perf_counter() - start)
    return float(np.median(times)), pipeline


def _measured_gap(pipeline, X, y):
    """Duality gap from the coefficients alone, relative to the variance of y.

    The rows of the coefficient matrix of a multi-task model enter through their
    norms over targets. The dual point is the residual, scaled into the feasible set
    of the Lasso on augmented data; the elastic net also has a dual without
    constraints, of which the residual itself may give the better bound.
    """
    model, X = pipeline[-1], pipeline[:-1].transform(X)
    alpha = getattr(model, "alpha_", getattr(model, "alpha", None))
    ratio = getattr(model, "l1_ratio_", getattr(model, "l1_ratio", 1.0))
    l1, l2 = alpha * ratio, alpha * (1.0 - ratio)
    n = X.shape[0]
    W = np.atleast_2d(model.coef_)
    Y = np.reshape(y, (n, -1)).astype(float)
    Y = Y - Y.mean(axis=0)
    R = Y - X @ W.T
    R -= R.mean(axis=0)  # the best intercept
    square, correlation = (R**2).sum() / n, (Y * R).sum() / n
    ridge = l2 * (W**2).sum()
    primal = square / 2 + l1 * np.sqrt((W**2).sum(axis=0)).sum() + ridge / 2
    products = X.T @ R / n
    bound = np.sqrt(((products - l2 * W.T) ** 2).sum(axis=1)).max()
    scale = min(l1 / max(bound, 1e-300), correlation / max(square + ridge, 1e-300))
    dual = scale * correlation - scale**2 * (square + ridge) / 2
    if l2 > 0:
        excess = np.maximum(np.sqrt((products**2).sum(axis=1)) - l1, 0.0)
        dual = max(dual, correlation - square / 2 - (excess**2).sum() / (2 * l2))
    return max(primal - dual, 0.0) / ((Y**2).sum() / n)


def _seconds(value):
    return f"{value:.2f} s" if value >= 0.995 else f"{1e3 * value:.0f} ms"


def _proof(certificate):
    sign = "<" if certificate.satisfied else ">"
    text = f"{_power(certificate.value)} {sign} {_power(certificate.tol)}"
    return Mark(text, certificate.satisfied, certified=True)


def _power(value):
    """Format 1.2e-07 as 1e-7."""
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"


def _main_table(rows, compile_seconds, gap, gap_theirs):
    return Table(
        (
            *("data", "estimator", "score", "nonzero", "certificate"),
            *("time", "scikit-learn", "ratio"),
        ),
        tuple(rows),
        "Score: on the quarter of the rows that was held out. Certificate: the "
        "relative duality gap that was proved, and the tolerance; computed again from "
        "the coefficients, by a function of neither library, the gaps are at most "
        f"{_power(gap)} (sparsestat) and {_power(gap_theirs)} (scikit-learn). Time: "
        "median of up to five fits of the whole pipeline on one BLAS thread; compiling "
        f"the kernels, or loading them, took {compile_seconds:.1f} s before.",
    )


def _convergence_plot(problem):
    """Time and measured gap of both libraries at a falling series of tolerances."""
    from matplotlib.ticker import NullFormatter

    from sparsestat.plotting import ConvergenceDisplay

    X, _, y, _ = problem["split"]
    alpha = 0.3  # weaker than in the table: more features, a harder problem
    histories = {}
    for name, make in (("sparsestat", "ours"), ("scikit-learn", "theirs")):
        points = []
        for tol in 10.0 ** -np.arange(1.0, 10.0):
            seconds, fitted = _timed_fit(
                partial(problem[make], tol=tol, alpha=alpha), X, y, budget=0.2
            )
            if _measured_gap(fitted, X, y) <= tol:
                points.append((seconds, tol))
        histories[name] = tuple(np.array(points).T)
    display = ConvergenceDisplay(
        histories, xlabel="time of the fit (s)", ylabel="relative duality gap, at most"
    ).plot(xscale="log")
    # Within one decade matplotlib labels the small ticks, one over the other.
    display.ax_.xaxis.set_minor_formatter(NullFormatter())
    return Plot(
        display.figure_,
        f"{problem['estimator']}, {problem['data']}, alpha={alpha}: "
        "time of a fit whose duality gap, recomputed outside both libraries, is at "
        "most the value on the axis.",
    )
