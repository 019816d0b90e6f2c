"""Subjects of linear models."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy import sparse

from sparsestat import linear_model as lm
from tests.invariances.engine import GRID, Out, Subject, satisfied, table


def _rows(X, weights):
    """Return what a fit may look at: the rows of positive weight."""
    if weights is None:
        return slice(None)
    return np.flatnonzero(weights)


def _relative(model, share, X, y, weights):
    """Set alpha to a share of the largest that matters for these data."""
    rows = _rows(X, weights)
    X = sparse.csr_array(X)[rows].tocsc() if sparse.issparse(X) else X[rows]
    weights = None if weights is None else weights[rows]
    if hasattr(model, "predict_proba"):
        model.classes_ = np.unique(y[rows])  # codes, as the problem takes them
    largest = model._problem(X, y[rows], weights).alpha_max(model._setting())
    return model.set_params(alpha=share * largest)


def _numbers(seed, n=40, p=6):
    X = table(seed, n, p)
    noise = table(seed + 100, n, 1)[:, 0] * 2.0**-2
    y = np.round((X @ np.resize([2.0, 0.0, -1.0], p) + noise) / GRID) * GRID
    return {"X": X, "y": y}


def _two_targets(seed):
    data = _numbers(seed)
    other = data["X"][:, 1] + table(seed + 7, 40, 1)[:, 0]
    return {"X": data["X"], "y": np.column_stack([data["y"], other])}


def _classes(seed, n_classes=2):
    data = _numbers(seed, 60)
    noisy = data["y"] + 2.0 * table(seed + 5, 60, 1)[:, 0]
    cuts = np.quantile(noisy, np.arange(1, n_classes) / n_classes)
    return {"X": data["X"], "y": np.digitize(noisy, cuts)}


def _counts(seed):
    data = _numbers(seed)
    rate = np.exp(0.5 * data["X"][:, 0] - 0.25 * data["X"][:, 2])
    # Of an integer type: a count has no units.
    return {"X": data["X"], "y": np.random.RandomState(seed).poisson(rate)}


def _claims(seed):
    # Of an integer type, as counts: the power of a mean has units.
    data = _counts(seed)
    rng = np.random.RandomState(seed + 1)
    return {"X": data["X"], "y": data["y"] * rng.randint(1, 9, len(data["y"]))}


def _times(seed):
    X = table(seed, 40, 6)
    rng = np.random.RandomState(seed)
    time = np.ceil(8 * rng.exponential(np.exp(-X[:, 0]))).astype(int)
    return {"X": X, "y": np.column_stack([time, rng.random_sample(40) < 0.7]) * 1}


def _predictors(model, X):
    if hasattr(model, "predict_survival"):
        return np.log(model.predict_survival(X, [2.0, 6.0]))
    if hasattr(model, "predict_log_proba"):
        # Of the differences, which a common intercept does not move.
        return model.predict_log_proba(X)
    return model.predict(X)


def _model(name, make, data, *, share=None, units=True, coef_axis=0, **options):
    def run(X, y, sample_weight=None):
        model = make()
        if share is not None:
            _relative(model, share, X, y, sample_weight)
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        model.fit(X, y, **given)
        return {
            "predict": _predictors(model, X),
            "coef": model.coef_,
            "satisfied": satisfied(model),
        }

    y_unit = {"y": 1} if units else {}
    outputs = {
        "predict": Out(y_unit, rows=0, moves="y" if units else None),
        "coef": Out({**y_unit, "X": -1}, features=coef_axis),
        "satisfied": Out(),
    }
    options = {"sparse": True, "weights": True, **options}
    return Subject(name, run, data, outputs, **options)


_TIGHT = {"tol": 1e-11}
_CV = {"alphas": 8, "cv": 3, "eps": 1e-2, "tol": 1e-9}


class _RelativeHuber(lm.SparseHuberRegressor):
    """Huber's loss with its knee in units of the target, as its users choose it."""

    def fit(self, X, y, sample_weight=None):
        self.delta = _spread(y, sample_weight)
        return super().fit(X, y, sample_weight)

    def _problem(self, X, y, sample_weight):
        self.delta = _spread(y, sample_weight)
        return super()._problem(X, y, sample_weight)


def _spread(y, weights):
    # The largest distance of two targets: the same for repeated rows.
    return 0.25 * float(np.ptp(y[_rows(y, weights)]))


SUBJECTS = [
    _model("Lasso", lambda: lm.Lasso(**_TIGHT), _numbers, share=0.1),
    _model(
        "Lasso positive", lambda: lm.Lasso(positive=True, **_TIGHT), _numbers,
        share=0.1,
    ),
    _model(
        "ElasticNet", lambda: lm.ElasticNet(l1_ratio=1.0, **_TIGHT), _numbers,
        share=0.01,
    ),
    _model(
        "MultiTaskLasso", lambda: lm.MultiTaskLasso(**_TIGHT), _two_targets,
        share=0.1, coef_axis=1,
    ),
    _model("MCPRegressor", lambda: lm.MCPRegressor(tol=1e-9), _numbers, share=0.2),
    _model("SCADRegressor", lambda: lm.SCADRegressor(tol=1e-9), _numbers, share=0.2),
    _model("GroupLasso", lambda: lm.GroupLasso(2, **_TIGHT), _numbers, share=0.1),
    _model("Slope", lambda: lm.Slope(**_TIGHT), _numbers, share=0.1),
    _model("LassoCV", lambda: lm.LassoCV(**_CV), _numbers),
    _model("ElasticNetCV", lambda: lm.ElasticNetCV(l1_ratio=1.0, **_CV), _numbers),
    _model("MCPRegressorCV", lambda: lm.MCPRegressorCV(**_CV), _numbers),
    _model("SCADRegressorCV", lambda: lm.SCADRegressorCV(**_CV), _numbers),
    _model("GroupLassoCV", lambda: lm.GroupLassoCV(2, **_CV), _numbers),
    _model("SlopeCV", lambda: lm.SlopeCV(**_CV), _numbers),
    *(
        _model(
            f"SparseLogisticRegression {penalty}",
            lambda penalty=penalty: lm.SparseLogisticRegression(
                penalty=penalty, groups=2 if penalty == "group" else None, tol=1e-9
            ),
            _classes, share=0.2, units=False, coef_axis=1, rtol=1e-5,
        )
        for penalty in ("l1", "mcp", "group")
    ),
    _model(
        "SparseLogisticRegression multinomial",
        lambda: lm.SparseLogisticRegression(tol=1e-9),
        lambda seed: _classes(seed, 3), share=0.1, units=False, coef_axis=1, rtol=1e-5,
    ),
    _model(
        "SparseLogisticRegressionCV", lambda: lm.SparseLogisticRegressionCV(**_CV),
        _classes, units=False, coef_axis=1, rtol=1e-4,
    ),
    _model(
        "SparsePoissonRegressor", lambda: lm.SparsePoissonRegressor(tol=1e-9),
        _counts, share=0.1, units=False, rtol=1e-5,
    ),
    _model(
        "SparsePoissonRegressorCV", lambda: lm.SparsePoissonRegressorCV(**_CV),
        _counts, units=False, rtol=1e-4,
    ),
    *(
        _model(
            f"SparsePoissonRegressor {name}",
            lambda options=options: lm.SparsePoissonRegressor(tol=1e-9, **options),
            _counts, share=0.1, units=False, rtol=1e-5,
        )
        for name, options in {
            "group": {"penalty": "group", "groups": 2, "l1_ratio": 0.2},
            "positive": {"positive": True},
        }.items()
    ),
    _model(
        "MultiTaskElasticNet",
        lambda: lm.MultiTaskElasticNet(l1_ratio=1.0, **_TIGHT), _two_targets,
        share=0.1, coef_axis=1,
    ),
    _model(
        "MultiTaskElasticNetCV",
        lambda: lm.MultiTaskElasticNetCV(l1_ratio=1.0, **_CV), _two_targets,
        coef_axis=1, rtol=1e-4,
    ),
    _model(
        "MultiTaskLassoCV", lambda: lm.MultiTaskLassoCV(**_CV), _two_targets,
        coef_axis=1, rtol=1e-4,
    ),
    _model(
        "AdaptiveLassoCV", lambda: lm.AdaptiveLassoCV(**_CV), _numbers, rtol=1e-4,
    ),
    _model(
        "PenalizedRegressor", lambda: lm.PenalizedRegressor(tol=1e-10, penalty="scad"),
        _numbers, share=0.1, rtol=1e-5,
    ),
    _model(
        "PenalizedRegressorCV", lambda: lm.PenalizedRegressorCV(**_CV), _numbers,
        rtol=1e-4,
    ),
    _model(
        "SparseGammaRegressor", lambda: lm.SparseGammaRegressor(tol=1e-9),
        lambda seed: {**_counts(seed), "y": _counts(seed)["y"] + 1},
        share=0.1, units=False, rtol=1e-5,
    ),
    _model(
        "SparseGammaRegressorCV", lambda: lm.SparseGammaRegressorCV(**_CV),
        lambda seed: {**_counts(seed), "y": _counts(seed)["y"] + 1},
        units=False, rtol=1e-4,
    ),
    _model(
        "SparseTweedieRegressor", lambda: lm.SparseTweedieRegressor(tol=1e-9),
        _claims, share=0.1, units=False, rtol=1e-5,
    ),
    _model(
        "SparseTweedieRegressorCV", lambda: lm.SparseTweedieRegressorCV(**_CV),
        _claims, units=False, rtol=1e-4,
    ),
    _model(
        "SparseHuberRegressor", lambda: _RelativeHuber(tol=1e-8), _numbers, share=0.1
    ),
    _model(
        "SparseHuberRegressorCV", lambda: lm.SparseHuberRegressorCV(**_CV),
        lambda seed: {**_numbers(seed), "y": (4 * _numbers(seed)["y"]).astype(int)},
        units=False, rtol=1e-4,
    ),
    *(
        _model(
            f"SparseCoxRegressor {ties}",
            lambda ties=ties: lm.SparseCoxRegressor(ties=ties, tol=1e-8),
            _times, share=0.1, units=False, rtol=1e-5,
        )
        for ties in ("breslow", "efron")
    ),
    _model(
        "SparseCoxRegressorCV", lambda: lm.SparseCoxRegressorCV(**_CV),
        _times, units=False, rtol=1e-4,
    ),
    *(
        _model(
            f"BestSubsetRegressor {method}",
            lambda method=method: lm.BestSubsetRegressor(3, method=method), _numbers,
        )
        for method in ("splicing", "exact", "iht")
    ),
    _model(
        "BestSubsetClassifier", lambda: lm.BestSubsetClassifier(2), _classes,
        units=False, coef_axis=1, rtol=1e-5,
    ),
    _model(
        "BestSubsetPoissonRegressor", lambda: lm.BestSubsetPoissonRegressor(2), _counts,
        units=False, rtol=1e-5,
    ),
    *(
        _model(
            f"BestSubsetCoxRegressor {ties}",
            lambda ties=ties: lm.BestSubsetCoxRegressor(2, ties=ties), _times,
            units=False, rtol=1e-5,
        )
        for ties in ("breslow", "efron")
    ),
    _model("ElementaryEstimator", lambda: lm.ElementaryEstimator(), _numbers),
    _model(
        "RandomSupportRegressor",
        lambda: lm.RandomSupportRegressor(random_state=0, n_draws=4, alphas=6),
        _numbers,
    ),
]  # fmt: skip

_FOLDS = "folds are cut by position, so that they hold other rows then"
_COUNTS = "weights are repetitions: the method counts rows"
_DRAWS = "random sets are drawn of columns in the order given"
_CV_NAMES = [s.name for s in SUBJECTS if s.name.split(" ")[0].endswith("CV")]

EXEMPT = {
    **{
        (name, relation): _FOLDS
        for name in _CV_NAMES
        for relation in ("permute rows", "repeat rows", "zero rows")
    },
    **{
        (name, "scale sample_weight"): _COUNTS
        for name in (
            "BestSubsetCoxRegressor efron",
            "SparseCoxRegressor efron",
            "ElementaryEstimator",
            "RandomSupportRegressor",
        )
    },
    ("RandomSupportRegressor", "permute features"): _DRAWS,
    **{
        (name, "permute features"): "the groups are pairs of neighbors"
        for name in (
            "GroupLasso",
            "GroupLassoCV",
            "SparseLogisticRegression group",
            "SparsePoissonRegressor group",
        )
    },
}

_GRAPHS = "scales of weights: tests/linear_model/test_graph_labels.py"
LEFT_OUT = {
    "GraphLabelPropagation": _GRAPHS,
    "GraphLabelRegressor": _GRAPHS,
    "LDPSparseRegressor": "bounds on the data are public parameters in their units",
    "enet_path": "the problem of ElasticNetCV",
    "lasso_path": "the problem of LassoCV",
    "multi_task_enet_path": "the problem of MultiTaskElasticNetCV",
    "multi_task_lasso_path": "the problem of MultiTaskLassoCV",
    "greedy_bcd": "tests/linear_model/test_greedy_bcd.py",
    "greedy_bcd_quadratic": "tests/linear_model/test_greedy_bcd.py",
    "sparse_misspecified_bandit": "actions and rewards are bounded by one",
}
