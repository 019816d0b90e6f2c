"""Rows in blocks: every container gives the answer that an array in memory gives."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib.util
import inspect
import os
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

import sparsestat
from sparsestat import row_blocks
from sparsestat._utils import dask_tasks
from sparsestat._utils.blocks import checked_block
from sparsestat._utils.moments import fold_moments, merge_moments, square_root
from sparsestat.cluster import (
    BalancedKMeans,
    ProbabilisticPartitivePartitioning,
    SDPKMeans,
    kmeans_certificate,
)
from sparsestat.decomposition import OnlineOrthogonalDictionary, SemiNMF
from sparsestat.gaussian_process import SparseGPRegressor
from sparsestat.inference import ScaledLasso
from sparsestat.linear_model import (
    ElasticNet,
    ElasticNetCV,
    Lasso,
    LassoCV,
    MultiTaskElasticNet,
    MultiTaskLasso,
    MultiTaskLassoCV,
    SparseGammaRegressor,
    SparseGammaRegressorCV,
    SparseHuberRegressor,
    SparseHuberRegressorCV,
    SparseLogisticRegression,
    SparseLogisticRegressionCV,
    SparsePoissonRegressor,
    SparsePoissonRegressorCV,
    SparseTweedieRegressor,
    SparseTweedieRegressorCV,
)
from tests.test_common import public_estimators
from tests.test_threads import data_of, model_of


def has(*libraries):
    return all(importlib.util.find_spec(name) for name in libraries)


def regression(n=400, p=8, n_targets=None):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)) * np.exp(rng.standard_normal(p)) + 3.0
    coef = np.zeros((p, n_targets or 1))
    coef[:3] = 1.0 + np.arange(n_targets or 1)
    Y = X @ coef + rng.standard_normal((n, 1))
    return X, Y if n_targets else Y[:, 0], rng.integers(0, 3, n).astype(float)


class Blocks:
    """Blocks of rows, from the beginning each time."""

    def __init__(self, *arrays, size=90):
        self.arrays, self.size = arrays, size

    def __iter__(self):
        for start in range(0, len(self.arrays[0]), self.size):
            yield tuple(array[start : start + self.size] for array in self.arrays)


# Containers: each makes the arguments of fit from arrays


def of_array(X, y, w, path):
    return (row_blocks(X, y, w, block_size=90),)


def of_list(X, y, w, path):
    return (row_blocks(X.tolist(), y.tolist(), w.tolist(), block_size=90),)


def of_memory_map(X, y, w, path):
    np.save(path / "X.npy", X)
    return (row_blocks(np.load(path / "X.npy", mmap_mode="r"), y, w, block_size=90),)


def of_csr(X, y, w, path):
    return (row_blocks(sparse.csr_array(X), y, w, block_size=90),)


def of_csc(X, y, w, path):
    return (row_blocks(sparse.csc_matrix(X), y, w, block_size=90),)


def of_iterable(X, y, w, path):
    return (row_blocks(Blocks(X, y, w)),)


def of_dask_array(X, y, w, path):
    da = pytest.importorskip("dask.array")
    y, w = (
        a if a is None else da.from_array(a, chunks=k) for a, k in ((y, 90), (w, 70))
    )
    return da.from_array(X, chunks=(90, 3)), y, w


def of_dask_array_and_arrays(X, y, w, path):
    da = pytest.importorskip("dask.array")
    return da.from_array(X, chunks=(90, X.shape[1])), y, w


def of_dask_array_of_unknown_chunks(X, y, w, path):
    da = pytest.importorskip("dask.array")
    arrays = [da.from_array(a, chunks=(90, *a.shape[1:])) for a in (X, y, w)]
    seen = arrays[0][:, 0] < np.inf
    arrays = [array[seen] for array in arrays]
    assert np.isnan(arrays[0].chunks[0]).all()
    return tuple(arrays)


def frame(X, y, w):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    names, columns = np.atleast_1d(target(y)).tolist(), np.atleast_2d(y.T)
    return table.assign(**dict(zip(names, columns, strict=True)), weight=w)


def target(y):
    """Return the name of the column of a target, or the names of its columns."""
    return "target" if y.ndim == 1 else [f"target{k}" for k in range(y.shape[1])]


def of_pandas(X, y, w, path):
    return (row_blocks(frame(X, y, w), target(y), "weight", block_size=90),)


def of_dask_frame(X, y, w, path):
    dd = pytest.importorskip("dask.dataframe")
    return dd.from_pandas(frame(X, y, w), npartitions=4), target(y), "weight"


def of_dask_frame_and_series(X, y, w, path):
    dd = pytest.importorskip("dask.dataframe")
    table = dd.from_pandas(frame(X, y, w), npartitions=4)
    names = np.atleast_1d(target(y)).tolist()
    features = table.drop(columns=[*names, "weight"])
    return features, table[target(y)], table["weight"]


def of_dask_frame_and_arrays(X, y, w, path):
    dd = pytest.importorskip("dask.dataframe")
    table = dd.from_pandas(frame(X, y, w), npartitions=4)
    return table.drop(columns=[*np.atleast_1d(target(y)).tolist(), "weight"]), y, w


def of_arrow_table(X, y, w, path):
    pa = pytest.importorskip("pyarrow")
    return pa.Table.from_pandas(frame(X, y, w)), target(y), "weight"


def of_parquet(X, y, w, path):
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(
        pa.Table.from_pandas(frame(X, y, w)), path / "rows.parquet", row_group_size=150
    )
    data = pytest.importorskip("pyarrow.dataset").dataset(path / "rows.parquet")
    return (row_blocks(data, target(y), "weight", block_size=90),)


def of_parquet_as_it_is(X, y, w, path):
    of_parquet(X, y, w, path)
    data = pytest.importorskip("pyarrow.dataset").dataset(path / "rows.parquet")
    return data, target(y), "weight"


def of_polars(X, y, w, path):
    pl = pytest.importorskip("polars")
    table = pl.from_dict({name: values for name, values in frame(X, y, w).items()})
    return (row_blocks(table, target(y), "weight", block_size=90),)


def of_lazy_polars(X, y, w, path):
    pl = pytest.importorskip("polars")
    table = pl.from_dict({name: values for name, values in frame(X, y, w).items()})
    return (row_blocks(table.lazy(), target(y), "weight", block_size=90),)


CONTAINERS = [
    of_array,
    of_list,
    of_memory_map,
    of_csr,
    of_csc,
    of_iterable,
    of_dask_array,
    of_dask_array_and_arrays,
    of_dask_array_of_unknown_chunks,
    of_pandas,
    of_dask_frame,
    of_dask_frame_and_series,
    of_dask_frame_and_arrays,
    of_arrow_table,
    of_parquet,
    of_parquet_as_it_is,
    of_polars,
    of_lazy_polars,
]
containers = pytest.mark.parametrize("container", CONTAINERS, ids=lambda f: f.__name__)


@containers
def test_every_container_gives_the_same_answer(container, tmp_path):
    X, y, w = regression()
    expected = Lasso(0.2, tol=1e-8).fit(X, y, w)
    found = Lasso(0.2, tol=1e-8).fit(*container(X, y, w, tmp_path))
    assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-12)
    assert_allclose(found.intercept_, expected.intercept_, rtol=1e-10)
    assert_allclose(found.objective_, expected.objective_, rtol=1e-10)
    assert found.certificate_.satisfied
    assert found.n_features_in_ == 8
    assert_allclose(found.predict(X), expected.predict(X), rtol=1e-9)


@containers
def test_folds_of_every_container_are_those_of_the_rows(container, tmp_path):
    X, y, w = regression()
    model = LassoCV(alphas=8, cv=KFold(3, shuffle=True, random_state=0), tol=1e-8)
    expected = clone(model).fit(X, y, w)
    found = clone(model).fit(*container(X, y, w, tmp_path))
    assert_allclose(found.mse_path_, expected.mse_path_, rtol=1e-7)
    assert_allclose(found.coef_, expected.coef_, rtol=1e-7, atol=1e-9)
    assert found.alpha_ == pytest.approx(expected.alpha_, rel=1e-12)


def test_names_of_columns_are_kept(tmp_path):
    X, y, w = regression()
    found = Lasso().fit(*of_pandas(X, y, w, tmp_path))
    assert found.feature_names_in_.tolist() == [f"x{j}" for j in range(8)]
    assert found.predict(frame(X, y, w).iloc[:2, :8]).shape == (2,)
    plain = found.fit(*of_array(X, y, w, tmp_path))
    assert not hasattr(plain, "feature_names_in_")


# Least squares in many ways

WEIGHTS = np.array([0.0, np.inf, 2.0, 1.0, 1.0, 1.0, 0.5, 1.0])
LEAST_SQUARES = [
    Lasso(0.2, tol=1e-9),
    Lasso(0.2, fit_intercept=False, tol=1e-9),
    Lasso(0.2, positive=True, tol=1e-9),
    Lasso(0.2, feature_weights=WEIGHTS, tol=1e-9),
    ElasticNet(0.2, tol=1e-9),
    ElasticNet(0.2, l1_ratio=0.0, tol=1e-9),
    LassoCV(alphas=20, tol=1e-9),
    LassoCV(alphas=20, one_se=True, fit_intercept=False, tol=1e-9),
    LassoCV(alphas=20, relaxed=True, tol=1e-9),
    LassoCV(alphas=20, criterion="bic", tol=1e-9),
    ElasticNetCV(l1_ratio=[0.3, 0.9], alphas=10, tol=1e-11),
]
MANY_TARGETS = [
    MultiTaskLasso(0.2, tol=1e-9),
    MultiTaskElasticNet(0.2, tol=1e-9),
    MultiTaskLassoCV(alphas=10, tol=1e-9),
    Lasso(0.2, tol=1e-9),
]


_COUNTS = "n_iter_ n_epochs_ gap_history_ certificate_ dual_gap_ dual_gaps_".split()


def close_outputs(found, expected, rtol=1e-8, but=()):
    for name, value in vars(expected).items():
        if value is None:
            assert getattr(found, name) is None
        elif name.endswith("_") and name not in {*_COUNTS, *but}:
            assert_allclose(
                getattr(found, name), value, rtol=rtol, atol=0.1 * rtol, err_msg=name
            )
    assert found.certificate_.kind == expected.certificate_.kind
    assert found.certificate_.satisfied == expected.certificate_.satisfied
    assert set(vars(found)) == set(vars(expected))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("model", LEAST_SQUARES, ids=str)
def test_least_squares_in_blocks_are_those_in_memory(model, weighted):
    X, y, w = regression()
    w = w if weighted else None
    expected = clone(model).fit(X, y, w)
    found = clone(model).fit(row_blocks(X, y, w, block_size=64))
    close_outputs(found, expected)


@pytest.mark.parametrize("model", MANY_TARGETS, ids=str)
def test_several_targets_in_blocks_are_those_in_memory(model):
    X, Y, w = regression(n_targets=3)
    expected = clone(model).fit(X, Y, w)
    found = clone(model).fit(row_blocks(X, Y, w, block_size=64))
    # A gap bounds the square of the error; whose history is kept, the last digits say.
    close_outputs(found, expected, rtol=1e-4, but={"history_"})


@pytest.mark.filterwarnings("ignore:alpha=0")
def test_no_penalty_is_least_squares():
    X, y, _ = regression()
    found = Lasso(0.0).fit(row_blocks(X, y, block_size=64))
    A = np.column_stack([X, np.ones(len(X))])
    assert_allclose(found.coef_, np.linalg.lstsq(A, y)[0][:-1], rtol=1e-10)
    assert found.certificate_.kind == "kkt" and found.certificate_.satisfied


@pytest.mark.parametrize("model", [Lasso(0.2), LassoCV(alphas=10)], ids=str)
def test_answers_depend_on_neither_blocks_nor_workers(model):
    X, y, w = regression()
    expected = clone(model).fit(row_blocks(X, y, w, block_size=400))
    for size, n_jobs in ((1, 1), (7, 2), (399, 3)):
        import joblib

        with joblib.parallel_config("threading", n_jobs=n_jobs):
            found = clone(model).fit(row_blocks(X, y, w, block_size=size))
        assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-13)
        assert_allclose(found.intercept_, expected.intercept_, rtol=1e-10)
        again = clone(model).fit(row_blocks(X, y, w, block_size=size))
        assert_array_equal(again.coef_, found.coef_)  # whatever n_jobs, to the bit


def test_far_and_sorted_data_lose_no_digits():
    # The first block is no guide to the rest, and means are huge beside the spreads.
    X, y, _ = regression()
    order = np.argsort(X[:, 0])
    X, y = X[order] + 1e7, y[order] + 1e7
    expected = Lasso(0.2, tol=1e-8).fit(X, y)
    found = Lasso(0.2, tol=1e-8).fit(row_blocks(X, y, block_size=10))
    assert_allclose(found.coef_, expected.coef_, rtol=1e-6)
    assert found.certificate_.satisfied


def test_constant_and_dependent_columns():
    X, y, _ = regression()
    X = np.column_stack([X, X[:, 0], np.full(len(X), 0.1), np.zeros(len(X))])
    found = Lasso(0.2, tol=1e-8).fit(row_blocks(X, y, block_size=33))
    expected = Lasso(0.2, tol=1e-8).fit(X, y)
    assert_array_equal(found.coef_[-2:], 0.0)
    assert_allclose(found.predict(X), expected.predict(X), rtol=1e-8)
    assert found.certificate_.satisfied
    flat = Lasso().fit(row_blocks(X, np.full(len(X), 0.3), block_size=33))
    assert flat.intercept_ == 0.3 and not flat.coef_.any()


def test_more_features_than_rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 90))
    y = X[:, :2].sum(axis=1)
    expected = Lasso(0.05, tol=1e-9).fit(X, y)
    found = Lasso(0.05, tol=1e-9).fit(row_blocks(X, y, block_size=7))
    assert_allclose(found.coef_, expected.coef_, atol=1e-8)
    assert found.certificate_.satisfied


def test_single_precision_is_near_double():
    X, y, _ = regression()
    expected = Lasso(0.2).fit(row_blocks(X, y))
    found = Lasso(0.2).fit(row_blocks(X.astype(np.float32), y))
    assert found.coef_.dtype == np.float64  # sums are
    assert_allclose(found.coef_, expected.coef_, rtol=1e-5, atol=1e-6)


def test_the_gap_is_that_of_the_data():
    """The certificate, recomputed outside from the rows."""
    X, y, w = regression()
    model = ElasticNet(0.3, l1_ratio=0.7, tol=1e-3).fit(
        row_blocks(X, y, w, block_size=50)
    )
    total = w.sum()
    Xc, yc = X - w @ X / total, y - w @ y / total
    coef = model.coef_
    r = yc - Xc @ coef
    l1, l2 = 0.3 * 0.7 * total, 0.3 * 0.3 * total
    primal = 0.5 * w @ r**2 + l1 * abs(coef).sum() + 0.5 * l2 * coef @ coef
    over = np.maximum(abs(Xc.T @ (w * r)) - l1, 0.0)
    soft = (w * yc) @ r - 0.5 * w @ r**2 - 0.5 * over @ over / l2
    q = Xc.T @ (w * r) - l2 * coef
    augmented = w @ r**2 + l2 * coef @ coef
    s = min((w * yc) @ r / augmented, l1 / abs(q).max())
    scaled = s * (w * yc) @ r - 0.5 * s * s * augmented
    gap = (primal - max(soft, scaled)) / (w @ yc**2)
    assert_allclose(model.certificate_.value, gap, rtol=1e-6, atol=1e-13)
    assert_allclose(model.objective_, primal / total, rtol=1e-12)


def test_a_root_without_digits_is_mended_by_the_data():
    """Columns that differ in the eighth digit: products alone cannot tell them."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal(500)
    X = np.column_stack([a, a + 1e-8 * rng.standard_normal(500)])
    y = 3.0 * a + 0.1 * rng.standard_normal(500)
    found = Lasso(1e-3, tol=1e-10).fit(row_blocks(X, y, block_size=60))
    r = y - found.predict(X)
    assert found.certificate_.satisfied
    assert abs(X.T @ (r - r.mean())).max() / 500 <= 1e-3 * (1 + 1e-6)


# Likelihoods

NEARLY = {"feature_weights": WEIGHTS, "tol": 1e-7}
LIKELIHOODS = [
    SparseLogisticRegression(0.02, tol=1e-10),
    SparseLogisticRegression(0.02, l1_ratio=0.5, class_weight="balanced", tol=1e-10),
    SparseLogisticRegression(0.02, fit_intercept=False, tol=1e-10),
    SparseLogisticRegression(0.02, positive=True, tol=1e-10),
    SparseLogisticRegression(0.02, **NEARLY),
    SparsePoissonRegressor(0.05, tol=1e-10),
    SparsePoissonRegressor(0.05, l1_ratio=0.3, tol=1e-10),
    SparsePoissonRegressor(0.05, **NEARLY),
    SparseGammaRegressor(0.05, tol=1e-10),
    SparseTweedieRegressor(0.05, tol=1e-10),
    SparseHuberRegressor(0.05, delta=1.0, tol=1e-9),
]


def targets_of(model, X):
    rng = np.random.default_rng(1)
    eta = 0.4 * (X[:, :3] - 3.0).sum(axis=1)
    name = type(model).__name__
    if "Logistic" in name:
        return np.where(rng.random(len(X)) < 1 / (1 + np.exp(-eta)), "yes", "no")
    if "Huber" in name:
        return eta + rng.standard_t(2, len(X))
    if "Gamma" in name:
        return rng.gamma(2.0, np.exp(np.clip(eta, -2, 2)))
    return rng.poisson(np.exp(np.clip(eta, -2, 2))).astype(float)


@pytest.mark.parametrize("model", LIKELIHOODS, ids=str)
def test_likelihoods_in_blocks_are_those_in_memory(model):
    X, _, w = regression(600)
    y = targets_of(model, X)
    expected = clone(model).fit(X, y, w)
    found = clone(model).fit(row_blocks(X, y, w, block_size=70))
    assert found.certificate_.satisfied
    # A gap bounds the square of the error.
    rtol = 3.0 * np.sqrt(model.tol)
    assert_allclose(found.coef_, expected.coef_, rtol=rtol, atol=rtol)
    assert_allclose(found.intercept_, expected.intercept_, rtol=rtol, atol=3 * rtol)
    assert_allclose(found.objective_, expected.objective_, rtol=10 * model.tol)
    assert set(vars(found)) == set(vars(expected))
    assert found.score(X, y) == pytest.approx(expected.score(X, y), rel=1e-3)
    for size in (600, 11):
        again = clone(model).fit(row_blocks(X, y, w, block_size=size))
        assert_allclose(again.coef_, found.coef_, rtol=1e-10, atol=1e-12)


def hard_cases():
    """Correlated, far, separable, rare, huge and heavy-tailed."""
    rng = np.random.default_rng(3)
    lags = abs(np.subtract.outer(np.arange(12), np.arange(12)))
    X = rng.standard_normal((500, 12)) @ np.linalg.cholesky(0.9**lags).T
    eta = 2.0 * X[:, 0] - X[:, 5]
    labels = (rng.random(500) < 1 / (1 + np.exp(-eta))).astype(int)
    counts = rng.poisson(np.exp(np.clip(3 + 1.5 * X[:, 0], -5, 8))).astype(float)
    classifier = SparseLogisticRegression(1e-3, tol=1e-7)
    poisson = SparsePoissonRegressor(0.1, tol=1e-7)
    huber = SparseHuberRegressor(0.01, delta=1.0, tol=1e-7)
    sizes = 10.0 ** rng.integers(-6, 6, 500)
    tails = 1000.0 + 5.0 * eta + rng.standard_t(1, 500)
    return {
        "correlated": (classifier, X, labels, None),
        "far": (classifier, X + 1e6, labels, None),
        "large": (clone(classifier).set_params(alpha=1e3), X * 1e6, labels, None),
        "separable": (classifier, X, (eta > 0).astype(int), None),
        "rare": (classifier, X, (eta > 4).astype(int), None),
        "counts": (poisson, X, counts, None),
        "uneven weights": (poisson, X, counts, sizes),
        "single precision": (poisson, X.astype(np.float32), counts, None),
        "ridge": (clone(classifier).set_params(l1_ratio=0.0), X, labels, None),
        "far outliers": (huber, X, tails, None),
    }


@pytest.mark.parametrize("name", hard_cases())
def test_hard_likelihoods_in_blocks_are_those_in_memory(name):
    model, X, y, w = hard_cases()[name]
    expected = clone(model).fit(X, y, w)
    found = clone(model).fit(row_blocks(X, y, w, block_size=77))
    assert found.certificate_.satisfied and expected.certificate_.satisfied
    assert found.objective_ == pytest.approx(expected.objective_, rel=1e-6)
    size = abs(expected.coef_).max()
    assert_allclose(found.coef_, expected.coef_, rtol=5e-3, atol=5e-3 * size)


@containers
def test_every_container_gives_the_same_likelihood(container, tmp_path):
    X, _, w = regression()
    model = SparsePoissonRegressor(0.05, tol=1e-8)
    y = targets_of(model, X)
    expected = clone(model).fit(row_blocks(X, y, w, block_size=400))
    found = clone(model).fit(*container(X, y, w, tmp_path))
    assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-12)
    assert found.certificate_.satisfied


def test_the_gap_of_a_likelihood_is_that_of_the_data():
    X, _, w = regression()
    y = targets_of(SparseLogisticRegression(), X)
    model = SparseLogisticRegression(0.02, tol=1e-2)
    model.fit(row_blocks(X, y, w, block_size=90))
    z = np.where(y == "yes", 1.0, -1.0)
    total, margin = w.sum(), z * model.decision_function(X)
    loss = w @ np.logaddexp(0.0, -margin)
    g = -w * z / (1 + np.exp(margin))
    q = (X - np.average(X, axis=0, weights=w)).T @ -g
    m = min(1.0, 0.02 * total / abs(q).max())
    u = np.clip(m * abs(g[w > 0]) / w[w > 0], 1e-300, 1 - 1e-16)
    dual = -w[w > 0] @ (u * np.log(u) + (1 - u) * np.log1p(-u))
    primal = loss + 0.02 * total * abs(model.coef_).sum()
    share = np.average(z > 0, weights=w)
    null = -total * (share * np.log(share) + (1 - share) * np.log(1 - share))
    assert abs(g.sum()) < 1e-8 * abs(g).sum()
    assert model.certificate_.value == pytest.approx((primal - dual) / null, abs=1e-9)
    assert model.objective_ == pytest.approx(primal / total, rel=1e-10)


@pytest.mark.parametrize("exponent", [-330, 330])
@pytest.mark.parametrize(
    "model",
    [
        SparseLogisticRegression(0.02),
        SparseLogisticRegressionCV(alphas=5, cv=3),
        SparsePoissonRegressor(0.05),
        SparseHuberRegressor(0.05),
        SparseGammaRegressor(0.05),
    ],
    ids=str,
)
def test_only_ratios_of_weights_matter_to_likelihoods_in_blocks(model, exponent):
    X, _, w = regression(n=200, p=4)
    y = targets_of(model, X)
    one = clone(model).fit(row_blocks(X, y, w, block_size=90))
    far = clone(model).fit(row_blocks(X, y, w * 2.0**exponent, block_size=90))
    assert far.certificate_.satisfied
    assert_allclose(far.coef_, one.coef_, rtol=1e-6, atol=1e-9)


def test_information_criteria_in_blocks_count_weights_in_any_unit():
    X, _, w = regression(n=200, p=4)
    model = SparsePoissonRegressorCV(alphas=6, criterion="bic", l1_ratio=0.9)
    y = targets_of(model, X)
    w = w * 2.0**-25
    here = clone(model).fit(X, y, sample_weight=w)
    there = clone(model).fit(row_blocks(X, y, w, block_size=90))
    assert_allclose(there.criterion_path_, here.criterion_path_, rtol=1e-4)


def test_strengths_that_select_nothing_and_none_at_all():
    X, _, _ = regression()
    y = targets_of(SparsePoissonRegressor(), X)
    blocks = row_blocks(X, y, block_size=90)
    with pytest.warns(UserWarning, match="selects no feature"):
        nothing = SparsePoissonRegressor(100.0).fit(blocks)
    assert not nothing.coef_.any()
    assert nothing.intercept_ == pytest.approx(np.log(y.mean()), rel=1e-8)
    with pytest.warns(UserWarning, match="alpha=0"):
        free = SparsePoissonRegressor(0.0, tol=1e-8).fit(blocks)
    mean = free.predict(X)
    assert_allclose(X.T @ (y - mean) / len(X), 0.0, atol=1e-6)


@pytest.mark.parametrize(
    "model, y, message",
    [
        (SparsePoissonRegressor(), np.full(400, -1.0), "must not be negative"),
        (SparseGammaRegressor(), np.zeros(400), "negative or zero"),
        (SparsePoissonRegressor(), np.zeros(400), "no maximum"),
        (SparseLogisticRegression(), np.zeros(400), "y holds 1 class"),
        (SparseLogisticRegression(row_sparse=True), np.arange(400) % 3, "row_sparse"),
        (SparseLogisticRegression(), np.linspace(0, 1, 400), "more than 100"),
        (SparseHuberRegressor(delta="auto"), np.zeros(400), "delta='auto'"),
        (SparsePoissonRegressor(penalty="mcp"), np.ones(400), "in memory"),
        (SparsePoissonRegressor(penalty="group", groups=2), np.ones(400), "in memory"),
        (SparsePoissonRegressor(), np.full(400, np.nan), "NaN"),
        (SparsePoissonRegressor(), np.ones((400, 2)), "1d array"),
    ],
)
def test_likelihoods_refuse_what_they_cannot_fit_in_blocks(model, y, message):
    X, _, _ = regression()
    with pytest.raises(ValueError, match=message):
        model.fit(row_blocks(X, y, block_size=90))


def classes_of(X):
    rng = np.random.default_rng(2)
    eta = 0.5 * (X[:, :3] - 3.0)  # of an even number the median is not one
    return np.array(list("cab"))[(eta + rng.gumbel(size=eta.shape)).argmax(axis=1)]


MULTINOMIAL = [
    {},
    {"l1_ratio": 0.4, "class_weight": "balanced", "tol": 1e-11},
    {"fit_intercept": False},
    {"positive": True},
    {"feature_weights": WEIGHTS, "tol": 1e-9},
]


@pytest.mark.parametrize("options", MULTINOMIAL, ids=str)
def test_several_classes_in_blocks_are_those_in_memory(options):
    X, _, w = regression(500)
    y = classes_of(X)
    model = SparseLogisticRegression(0.02, **{"tol": 1e-10, **options})
    expected = clone(model).fit(X, y, w)
    found = clone(model).fit(row_blocks(X, y, w, block_size=70))
    assert found.certificate_.satisfied and found.coef_.shape == (3, 8)
    assert found.certificate_.kind == expected.certificate_.kind
    rtol = 3.0 * np.sqrt(model.tol)
    assert_allclose(found.coef_, expected.coef_, rtol=rtol, atol=rtol)
    assert_allclose(found.intercept_, expected.intercept_, rtol=rtol, atol=3 * rtol)
    assert_allclose(found.objective_, expected.objective_, rtol=10 * model.tol)
    assert_array_equal(found.predict(X), expected.predict(X))
    assert set(vars(found)) == set(vars(expected))
    for size in (500, 11):
        again = clone(model).fit(row_blocks(X, y, w, block_size=size))
        assert_allclose(again.coef_, found.coef_, rtol=1e-10, atol=1e-12)


def test_the_gap_of_several_classes_is_that_of_the_data():
    X, _, w = regression()
    y = classes_of(X)
    model = SparseLogisticRegression(0.02, tol=1e-2)
    model.fit(row_blocks(X, y, w, block_size=90))
    codes, total = np.searchsorted(model.classes_, y), w.sum()
    P, own = model.predict_proba(X), np.eye(3)[codes]
    loss = -w @ np.log(P[np.arange(400), codes])
    G = w[:, None] * (P - own)
    q = (X - np.average(X, axis=0, weights=w)).T @ -G
    m = min(1.0, 0.02 * total / abs(q).max())
    T = np.maximum(m * (P - own) + own, 1e-300)
    dual = -w @ (T * np.log(T)).sum(axis=1)
    primal = loss + 0.02 * total * abs(model.coef_).sum()
    share = w @ own / total
    null = -total * (share @ np.log(share))
    assert abs(G.sum(axis=0)).max() < 1e-8 * abs(G).sum()
    assert model.certificate_.value == pytest.approx((primal - dual) / null, abs=1e-9)
    assert model.objective_ == pytest.approx(primal / total, rel=1e-10)


@containers
def test_every_container_gives_the_same_classes(container, tmp_path):
    X, _, w = regression()
    y = np.searchsorted(list("abc"), classes_of(X)).astype(float)
    model = SparseLogisticRegression(0.05, tol=1e-7)
    expected = clone(model).fit(row_blocks(X, y, w, block_size=400))
    found = clone(model).fit(*container(X, y, w, tmp_path))
    assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-12)
    assert found.certificate_.satisfied


def test_more_classes_than_a_model_holds_are_refused():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((400, 150)), np.arange(400) % 80
    with pytest.raises(ValueError, match="and 80 classes has"):
        SparseLogisticRegression(1e-9).fit(row_blocks(X, y, block_size=90))


OFFSET = [
    SparsePoissonRegressor(0.05, tol=1e-10),
    SparseGammaRegressor(0.05, tol=1e-10),
    SparseHuberRegressor(0.05, delta=1.0, tol=1e-9),
    SparseLogisticRegression(0.02, tol=1e-10),
    SparseLogisticRegression(0.02, l1_ratio=0.5, tol=1e-9),
]


@pytest.mark.parametrize(
    "model, joint",
    [
        *((model, False) for model in OFFSET),
        *((model, True) for model in OFFSET if "Logistic" in type(model).__name__),
    ],
    ids=str,
)
def test_offsets_in_blocks_are_those_in_memory(model, joint):
    X, _, w = regression()
    y = classes_of(X) if joint else targets_of(model, X)
    rng = np.random.default_rng(5)
    offset = rng.standard_normal((400, 3)) if joint else rng.standard_normal(400) + 2.0
    expected = clone(model).fit(X, y, w, offset=offset)
    found = clone(model).fit(row_blocks(X, y, w, block_size=90), offset=offset)
    assert found.certificate_.satisfied
    rtol = 3.0 * np.sqrt(model.tol)
    assert_allclose(found.coef_, expected.coef_, rtol=rtol, atol=rtol)
    assert_allclose(found.intercept_, expected.intercept_, rtol=rtol, atol=3 * rtol)
    assert_allclose(found.objective_, expected.objective_, rtol=10 * model.tol)
    again = clone(model).fit(row_blocks(X, y, w, block_size=11), offset=offset)
    assert_allclose(again.coef_, found.coef_, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match="fitted with an `offset`"):
        found.predict(X)


def test_offsets_of_collections_and_bad_ones():
    da = pytest.importorskip("dask.array")
    X, _, w = regression()
    y = targets_of(SparsePoissonRegressor(), X)
    offset = 0.1 * np.arange(400) / 400
    model = SparsePoissonRegressor(0.05, tol=1e-8)
    expected = clone(model).fit(row_blocks(X, y, w), offset=offset)
    arrays = [da.from_array(a, chunks=(90, *a.shape[1:])) for a in (X, y, w, offset)]
    found = clone(model).fit(*arrays[:3], offset=arrays[3])
    assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-12)
    for bad, message in ((offset[1:], "expected"), (np.full(400, np.nan), "NaN")):
        with pytest.raises(ValueError, match=message):
            model.fit(row_blocks(X, y, w), offset=bad)


# Strengths of likelihoods, chosen by passes

CHOSEN = [
    SparseLogisticRegressionCV(alphas=5, eps=0.02, cv=3, tol=1e-8),
    SparseLogisticRegressionCV(alphas=4, eps=0.05, class_weight="balanced", tol=1e-8),
    SparsePoissonRegressorCV(alphas=4, eps=0.02, l1_ratio=[0.5, 1.0], cv=3, tol=1e-8),
    SparsePoissonRegressorCV(alphas=4, eps=0.02, criterion="bic", tol=1e-8),
    SparsePoissonRegressorCV(
        alphas=4, eps=0.02, l1_ratio=0.5, criterion="aic", tol=1e-8
    ),
    SparseGammaRegressorCV(alphas=4, eps=0.02, cv=3, one_se=True, tol=1e-8),
    SparseTweedieRegressorCV(alphas=4, eps=0.02, cv=3, power=1.3, tol=1e-8),
    SparseTweedieRegressorCV(alphas=4, eps=0.02, criterion="ebic", tol=1e-8),
    SparseHuberRegressorCV(alphas=4, eps=0.02, delta=1.0, cv=3, tol=1e-8),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("model", CHOSEN, ids=str)
def test_strengths_chosen_in_blocks_are_those_in_memory(model, weighted):
    X, _, w = regression()
    w, y = w if weighted else None, targets_of(model, X)
    expected = clone(model).fit(X, y, w)
    found = clone(model).fit(row_blocks(X, y, w, block_size=90))
    assert set(vars(found)) == set(vars(expected))
    assert found.certificate_.satisfied
    for name in ("alphas_", "alpha_", "coef_path_", "intercept_path_", "coef_"):
        assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-3, atol=1e-3
        )
    table = "loss_path_" if model.criterion == "cv" else "criterion_path_"
    rtol = 2e-4
    assert_allclose(getattr(found, table), getattr(expected, table), rtol=rtol)


def test_strengths_of_several_classes_and_with_offsets():
    X, _, w = regression(300)
    y, rng = classes_of(X), np.random.default_rng(0)
    for offset in (None, rng.standard_normal((300, 3))):
        model = SparseLogisticRegressionCV(alphas=3, eps=0.1, cv=3, tol=1e-7)
        expected = clone(model).fit(X, y, w, offset=offset)
        found = clone(model).fit(row_blocks(X, y, w, block_size=70), offset=offset)
        assert_allclose(found.loss_path_, expected.loss_path_, rtol=2e-4)
        assert_allclose(found.coef_path_, expected.coef_path_, atol=1e-3)
        assert found.alpha_ == pytest.approx(expected.alpha_, rel=1e-6)
    groups = np.arange(300) % 5
    model = SparsePoissonRegressorCV(alphas=3, eps=0.1, cv=GroupKFold(3), tol=1e-7)
    counts, offset = targets_of(model, X), rng.standard_normal(300)
    others = {"groups": groups, "offset": offset}
    expected = clone(model).fit(X, counts, w, **others)
    found = clone(model).fit(row_blocks(X, counts, w, block_size=70), **others)
    assert_allclose(found.loss_path_, expected.loss_path_, rtol=2e-4)


def test_folds_that_lack_a_class_are_refused():
    X, _, _ = regression(60)
    model = SparseLogisticRegressionCV(alphas=3, cv=KFold(6))
    y = np.repeat([0, 1, 2], [10, 25, 25])
    with pytest.raises(ValueError, match=r"fold 0 .* lack class 0"):
        model.fit(row_blocks(X, y, block_size=17))


# Noise levels and dictionaries


@pytest.mark.parametrize("size", [7, 400])
def test_the_scaled_lasso_in_blocks_is_that_in_memory(size):
    X, y, _ = regression()
    expected = ScaledLasso().fit(X, y)
    found = ScaledLasso().fit(row_blocks(X, y, block_size=size))
    assert_allclose(found.coef_, expected.coef_, rtol=1e-8, atol=1e-10)
    for name in ("intercept_", "sigma_", "sigma_df_", "alpha_"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-8)
    assert found.certificate_.satisfied
    assert set(vars(found)) == set(vars(expected))


def test_the_scaled_lasso_of_constant_targets_and_columns():
    X, y, w = regression()
    flat = ScaledLasso().fit(row_blocks(X, np.full(400, 2.0), block_size=90))
    assert flat.sigma_ == 0.0 and flat.intercept_ == 2.0 and not flat.coef_.any()
    X[:, 3] = 7.0
    expected = ScaledLasso().fit(X, y)
    found = ScaledLasso().fit(row_blocks(X, y, block_size=90))
    assert_allclose(found.predict(X), expected.predict(X), rtol=1e-8)
    with pytest.raises(ValueError, match="no sample weights"):
        ScaledLasso().fit(row_blocks(X, y, w))


@containers
def test_online_dictionaries_see_the_rows_in_their_order(container, tmp_path):
    X, y, w = regression()
    X = X**3
    model = OnlineOrthogonalDictionary(batch_size=64, random_state=0)
    expected = clone(model).fit(row_blocks(X, y, w, block_size=400))
    found = clone(model).fit(*container(X, y, w, tmp_path))
    assert_allclose(found.components_, expected.components_, rtol=1e-8, atol=1e-10)
    model.set_params(shuffle=False)
    seen = w > 0
    whole = clone(model).fit(X[seen], sample_weight=w[seen])
    assert_allclose(expected.components_, whole.components_, atol=1e-8)


def test_batches_are_of_one_size_whatever_the_blocks():
    X, y, w = regression()
    for size in (1, 33, 90, 500):
        batches = list(row_blocks(X, y, w, block_size=size).batches(64))
        assert [len(batch.X) for batch in batches[:-1]] == [64] * (len(batches) - 1)
        assert_array_equal(np.concatenate([b.X for b in batches]), X[w > 0])
        assert_array_equal(np.concatenate([b.weights for b in batches]), w[w > 0])


def factors():
    rng = np.random.default_rng(0)
    X = rng.random((400, 3)) @ rng.standard_normal((3, 12))
    return X + 0.1 * rng.standard_normal(X.shape), rng.integers(0, 3, 400).astype(float)


FACTORS = [
    {},
    {"solver": "mu", "tol": 1e-3},
    {"init": "random"},
    {"feature_density": 0.5},
    {"feature_density": 0.5, "debias": True},
    {"init": np.random.default_rng(1).random((400, 3))},
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", FACTORS, ids=lambda o: "-".join(o))
def test_factors_in_blocks_are_those_in_memory(options, weighted):
    X, w = factors()
    w = w if weighted else None
    model = SemiNMF(3, random_state=0, **options)
    expected = clone(model).fit(X, sample_weight=w)
    for size in (400, 33):
        found = clone(model).fit(row_blocks(X, None, w, block_size=size))
        assert_allclose(found.components_, expected.components_, atol=1e-9)
        assert_allclose(found.history_, expected.history_, rtol=1e-9)
        err = "reconstruction_err_"
        assert_allclose(getattr(found, err), getattr(expected, err), rtol=1e-10)
        assert found.certificate_.satisfied == expected.certificate_.satisfied
        assert_allclose(found.transform(X), expected.transform(X), atol=1e-8)
        assert set(vars(found)) == set(vars(expected))


@containers
def test_every_container_gives_the_same_factors(container, tmp_path):
    X, w = factors()
    expected = SemiNMF(3, random_state=0).fit(row_blocks(X, None, w, block_size=400))
    data = row_blocks(*container(X, np.zeros(400), w, tmp_path))
    found = SemiNMF(3, random_state=0).fit(data)
    assert_allclose(found.components_, expected.components_, rtol=1e-9, atol=1e-10)


def test_factors_in_blocks_refuse_what_they_cannot_do():
    X, _ = factors()
    with pytest.raises(ValueError, match="init='kmeans' needs X in memory"):
        SemiNMF(3, init="kmeans").fit(row_blocks(X))
    with pytest.raises(ValueError, match="non-negative array of shape"):
        SemiNMF(3, init=-np.ones((400, 3))).fit(row_blocks(X))
    zero = SemiNMF(2, random_state=0).fit(row_blocks(np.zeros((30, 4)), block_size=7))
    assert zero.reconstruction_err_ == 0.0 and zero.certificate_.satisfied


# Processes


@containers
def test_every_container_gives_the_same_process(container, tmp_path):
    X, y, w = regression()
    model = SparseGPRegressor(n_inducing=10, n_restarts_optimizer=0, random_state=0)
    expected = clone(model).fit(row_blocks(X, y, w, block_size=400))
    found = clone(model).fit(*container(X, y, w, tmp_path))
    assert_allclose(found.lower_bound_, expected.lower_bound_, rtol=1e-10)
    assert_allclose(found.predict(X[:9]), expected.predict(X[:9]), rtol=1e-8)


@pytest.mark.parametrize("known, targets", [(None, None), (0.5, None), (None, 2)])
def test_processes_of_a_sample_have_the_posterior_of_all_rows(
    known, targets, monkeypatch
):
    from sparsestat.gaussian_process import _sparse_gp

    monkeypatch.setattr(_sparse_gp, "_SAMPLE", 150)
    X, y, w = regression(n_targets=targets)
    model = SparseGPRegressor(n_inducing=10, noise_variance=known, random_state=0)
    found = clone(model).fit(row_blocks(X, y, w, block_size=37))
    # The same points and kernel, all rows at once, each as often as it weighs.
    mean, scale = found._y_mean, found._y_scale
    fixed = SparseGPRegressor(
        kernel=found.kernel_,
        inducing=found.inducing_points_,
        optimizer=None,
        normalize_y=False,
        noise_variance=None if known is None else known / scale**2,
        jitter=found._jitter,
    )
    many = np.repeat(np.arange(400), w.astype(int))
    fixed.fit(X[many], (y[many] - mean) / scale)
    expected, std = fixed.predict(X[:20], return_std=True)
    seen, spread = found.predict(X[:20], return_std=True)
    assert_allclose(seen, expected * scale + mean, rtol=1e-5, atol=1e-5)
    assert_allclose(spread, std * scale, rtol=1e-5)
    assert_allclose(found.lower_bound_, fixed.lower_bound_, rtol=1e-7)
    assert_allclose(found.upper_bound_, fixed.upper_bound_, rtol=1e-5)


def test_processes_in_blocks_refuse_what_they_cannot_sum():
    X, y, _ = regression()
    for options in ({"likelihood": "student_t"}, {"noise_variance": np.ones(400)}):
        with pytest.raises(ValueError, match="need X in memory"):
            SparseGPRegressor(**options).fit(row_blocks(X, y))


# Partitions


@containers
def test_partitions_of_every_container_are_certified(container, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 4)) + 9.0 * (np.arange(400) % 3)[:, None] + 1e3
    labels = np.array(["a", "b", "c"])[np.arange(400) % 3]
    w = rng.integers(0, 3, 400).astype(float)
    expected = kmeans_certificate(X, labels, sample_weight=w)
    arguments = container(X, np.zeros(400), w, tmp_path)
    data = row_blocks(*arguments)
    found = kmeans_certificate(data, labels)
    assert found.certified and expected.certified
    assert found.bound == expected.bound == "rank_one"
    assert_allclose(found.lower_bound, expected.lower_bound, rtol=1e-9)
    assert_allclose(found.details["cost"], expected.details["cost"], rtol=1e-10)
    # A partition that is not the best one keeps a gap, of the same size.
    worse = np.where(np.arange(400) % 50 == 0, "b", labels)
    found = kmeans_certificate(data, worse, method="rank_one")
    expected = kmeans_certificate(X, worse, sample_weight=w, method="rank_one")
    assert not found.certified
    assert_allclose(found.lower_bound, expected.lower_bound, rtol=1e-8)
    assert_allclose(found.gap, expected.gap, rtol=1e-8)


def test_partitions_in_blocks_say_what_they_need():
    X, _, w = regression()
    labels = np.arange(400) % 2
    blocks = row_blocks(X, None, w, block_size=90)
    with pytest.raises(ValueError, match="method='dual' needs X in memory"):
        kmeans_certificate(blocks, labels, method="dual")
    with pytest.raises(ValueError, match="inconsistent numbers"):
        kmeans_certificate(blocks, labels[1:])
    level = kmeans_certificate(row_blocks(labels[:, None] + 0.1, block_size=7), labels)
    assert level.certified and level.details["cost"] == 0.0


def blobs(n=400, apart=9.0):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 4)) + apart * (np.arange(n) % 3)[:, None] + 1e3
    return X, np.zeros(n), rng.integers(0, 3, n).astype(float)


@containers
def test_every_container_gives_the_same_clusters(container, tmp_path):
    X, y, w = blobs()
    for model in (
        SDPKMeans(3, sketch_size=60, random_state=0),
        BalancedKMeans(3, random_state=0),
    ):
        expected = clone(model).fit(row_blocks(X, None, w, block_size=400))
        data = row_blocks(*container(X, y, w, tmp_path))
        found = clone(model).fit(data)
        assert_array_equal(found.labels_, expected.labels_)
        assert_allclose(found.cluster_centers_, expected.cluster_centers_, rtol=1e-12)
        assert_allclose(found.inertia_, expected.inertia_, rtol=1e-10)
        assert found.certificate_.satisfied
        assert_array_equal(found.labels_ == -1, w == 0)


def test_partitions_by_sketch_are_proved_on_all_rows():
    X, _, w = blobs(1200)
    expected = SDPKMeans(3, random_state=0).fit(X, sample_weight=w)
    for polish in (True, False):
        model = SDPKMeans(3, sketch_size=60, polish=polish, random_state=0)
        found = model.fit(row_blocks(X, None, w, block_size=70))
        assert found.certified_ and found.certificate_.satisfied
        assert_allclose(found.inertia_, expected.inertia_, rtol=1e-10)
        assert_allclose(found.lower_bound_, expected.lower_bound_, rtol=1e-9)
        assert_array_equal(found.predict(X)[w > 0], found.labels_[w > 0])
        assert set(vars(found)) == set(vars(expected))
    # Clusters that touch are not proved: the certificate says so, and the cost is that
    # of the labels.
    X, _, _ = blobs(600, apart=0.5)
    with pytest.warns(UserWarning, match="not proved optimal"):
        found = SDPKMeans(3, sketch_size=60, random_state=0).fit(row_blocks(X))
    assert not found.certified_ and not found.certificate_.satisfied
    means = [X[found.labels_ == k].mean(axis=0) for k in range(3)]
    cost = ((X - np.array(means)[found.labels_]) ** 2).sum()
    assert_allclose(found.inertia_, cost, rtol=1e-9)
    assert_allclose(found.cluster_centers_, means, rtol=1e-12)
    assert found.lower_bound_ <= SDPKMeans(3, random_state=0).fit(X).inertia_
    with pytest.raises(ValueError, match="clusters have rows"):
        SDPKMeans(3).fit(row_blocks(np.ones((40, 2))))


BOUNDED = [{}, {"size_min": 100}, {"sizes": [60, 90, 117]}, {"capacity": 230.0}]


@pytest.mark.parametrize("options", BOUNDED, ids=str)
def test_balanced_clusters_in_blocks_are_those_in_memory(options):
    X, _, w = blobs(apart=1.5)
    n = int((w > 0).sum())
    if "sizes" in options:
        options = {"sizes": [60, 90, n - 150]}
    elif "size_min" in options:
        options = {"size_min": n // 3 - 5}
    else:
        options = {name: w.sum() / 2.5 for name in options}
    model = BalancedKMeans(3, init=X[:3], random_state=0, **options)
    expected = clone(model).fit(X, sample_weight=w)
    for size in (400, 33):
        found = clone(model).fit(row_blocks(X, None, w, block_size=size))
        assert_array_equal(found.labels_[w > 0], expected.labels_[w > 0])
        for name in ("inertia_", "cluster_centers_", "cluster_loads_", "history_"):
            assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)
        assert_array_equal(found.cluster_sizes_, expected.cluster_sizes_)
        assert_array_equal(found.predict(X), expected.predict(X))
        assert set(vars(found)) == set(vars(expected))
    empty = BalancedKMeans(3, init=np.vstack([X[:2], X[:1] + 1e4]), size_min=0)
    found = empty.fit(row_blocks(X, None, w, block_size=33))
    assert found.cluster_sizes_.min() > 0  # what was empty started again
    assert found.inertia_ < 1.5 * expected.inertia_ or options


@containers
def test_every_container_gives_the_same_partition(container, tmp_path):
    X, y, w = blobs()
    w = np.minimum(w, 1.0)  # what is left out
    model = ProbabilisticPartitivePartitioning(max_clusters=4, random_state=0)
    expected = clone(model).fit(X[w > 0])
    found = clone(model).fit(row_blocks(*container(X, y, w, tmp_path)))
    assert_array_equal(found.labels_[w > 0], expected.labels_)
    assert_array_equal(found.core_mask_[w > 0], expected.core_mask_)
    assert_allclose(found.cluster_centers_, expected.cluster_centers_, rtol=1e-10)
    assert_array_equal(found.labels_ == -1, w == 0)
    assert set(vars(found)) - {"feature_names_in_"} == set(vars(expected))


def test_partitions_of_a_sample_place_all_rows(monkeypatch):
    from sparsestat.cluster import _partitive

    monkeypatch.setattr(_partitive, "_MOST_ROWS", 150)
    X, _, w = blobs(900)
    model = ProbabilisticPartitivePartitioning(max_clusters=4, random_state=0)
    found = [clone(model).fit(row_blocks(X, block_size=size)) for size in (900, 37)]
    assert_array_equal(found[0].labels_, found[1].labels_)
    assert found[0].n_clusters_ == 3 and found[0].separable_fraction_ == 1.0
    means = [X[found[0].labels_ == k].mean(axis=0) for k in range(3)]
    assert_allclose(found[0].cluster_centers_, means, rtol=1e-12)
    assert_array_equal(found[0].predict(X), found[0].labels_)
    with pytest.raises(ValueError, match="takes no weights"):
        model.fit(row_blocks(X, None, w, block_size=50))
    one = clone(model).fit(row_blocks(np.random.default_rng(0).random((300, 2))))
    if one.n_clusters_ == 1:
        assert not one.core_mask_.any() and one.separable_fraction_ == 0.0


def test_distances_that_do_not_fit_are_refused(monkeypatch):
    from sparsestat.cluster import _balanced

    monkeypatch.setattr(_balanced, "_MOST_DISTANCES", 1000)
    with pytest.raises(ValueError, match="distances of all rows to all centers"):
        BalancedKMeans(3).fit(row_blocks(blobs()[0]))


# Moments


def test_moments_are_those_of_the_rows():
    X, y, w = regression()
    whole = fold_moments(checked_block(X, y, w, n_features=8), None)[0]
    seen = w > 0
    mean = np.average(X, axis=0, weights=w)
    Z = (X - mean) * np.sqrt(w)[:, None]
    assert whole.n_rows == seen.sum() and whole.weight == w.sum()
    assert_allclose(whole.mean, mean, rtol=1e-14)
    assert_allclose(whole.spread, Z.T @ Z, rtol=1e-11, atol=1e-9)
    parts = [
        fold_moments(checked_block(X[k], y[k], w[k], n_features=8), None)[0]
        for k in (slice(0, 3), slice(3, 250), slice(250, 400))
    ]
    both = merge_moments(merge_moments(parts[0], parts[1]), parts[2])
    assert_allclose(both.mean, whole.mean, rtol=1e-14)
    assert_allclose(both.spread, whole.spread, rtol=1e-11, atol=1e-9)
    raw = (w[:, None] * X).T @ X
    assert_allclose(both.products(centered=False), raw, rtol=1e-12)


def test_a_square_root_has_the_products_it_was_made_of():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 9)) * 10.0 ** np.arange(-4, 5)
    A[:, 3] = 0.0
    R = square_root(A.T @ A)
    assert len(R) == 6  # its rank
    norms = np.maximum(np.linalg.norm(A, axis=0), 1e-300)
    assert_allclose(R.T @ R / norms / norms[:, None], A.T @ A / norms / norms[:, None],
                    atol=1e-14)  # fmt: skip
    assert_array_equal(square_root(np.zeros((2, 2))), np.zeros((1, 2)))


# Folds


def test_folds_of_groups_and_of_weights():
    X, y, w = regression()
    groups = np.arange(400) % 7
    model = LassoCV(alphas=5, cv=GroupKFold(4), tol=1e-8)
    expected = clone(model).fit(X, y, w, groups=groups)
    found = clone(model).fit(row_blocks(X, y, w, block_size=64), groups=groups)
    assert_allclose(found.mse_path_, expected.mse_path_, rtol=1e-8)
    assert_allclose(found.cv_mean_, expected.cv_mean_, rtol=1e-8)


@pytest.mark.parametrize(
    "cv", [ShuffleSplit(3, random_state=0), [(np.arange(200), np.arange(200, 400))]]
)
def test_folds_that_hold_out_rows_more_than_once_or_never_are_refused(cv):
    X, y, _ = regression()
    with pytest.raises(ValueError, match="held out"):
        LassoCV(cv=cv).fit(row_blocks(X, y))


# Refusals


def test_a_generator_is_refused():
    X, y, _ = regression()
    with pytest.raises(TypeError, match="read only once"):
        row_blocks((X, y) for _ in range(2))
    with pytest.raises(TypeError, match="neither be cut"):
        row_blocks(3)


BAD = {
    "nan": (lambda X, y, w: (np.where(X > 8, np.nan, X), y, w), "NaN"),
    "infinite y": (
        lambda X, y, w: (X, np.where(y > 1, np.inf, y), w),
        "y contains inf",
    ),
    "negative weights": (lambda X, y, w: (X, y, w - 1), "Negative values"),
    "short y": (lambda X, y, w: (X, y[1:], w), "inconsistent numbers"),
    "short weights": (lambda X, y, w: (X, y, w[1:]), "inconsistent numbers"),
    "no weight": (lambda X, y, w: (X, y, 0 * w), "0 sample"),
    "complex": (lambda X, y, w: (X + 1j, y, w), "Complex data not supported"),
    "one dimension": (lambda X, y, w: (X[:, 0], y, w), "Expected 2D array"),
    "no features": (lambda X, y, w: (X[:, :0], y, w), "0 feature"),
    "no y": (lambda X, y, w: (X, None, w), "requires y"),
    "huge": (lambda X, y, w: (X * 1e60, y, w), "Rescale X"),
    "text": (lambda X, y, w: (X, np.full(len(y), "a"), w), "could not convert|numeric"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_blocks_are_refused(name):
    change, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        Lasso().fit(row_blocks(*change(*regression()), block_size=90))


def test_blocks_of_iterables_are_checked():
    X, y, w = regression()
    for blocks, message in (
        ([(X, y), (X[:, :3], y)], "has 3 features"),
        ([(X, y, w, w)], "4 parts"),
        ([(X, y[1:])], "inconsistent numbers"),
        ([(X, y), (X, None)], "requires y"),
    ):
        with pytest.raises(ValueError, match=message):
            Lasso().fit(row_blocks(blocks))
    with pytest.raises(ValueError, match="belong into the bl"):
        row_blocks(Blocks(X, y), y)
    with pytest.raises(ValueError, match="no block"):
        Lasso().fit(row_blocks(Blocks(X[:0])))


def test_blocks_that_change_are_refused():
    X, y, _ = regression()

    class Shrinking:
        reads = 0

        def __iter__(self):
            Shrinking.reads += 1
            yield X[: -Shrinking.reads], y[: -Shrinking.reads]

    with pytest.raises(ValueError, match="other numbers of rows"):
        Lasso().fit(row_blocks(Shrinking()))


def test_columns_that_a_table_lacks_are_named():
    X, y, w = regression()
    with pytest.raises(ValueError, match=r"column 'nonsense'.*x0"):
        row_blocks(frame(X, y, w), "nonsense")
    with pytest.raises(ValueError, match="column 'target' has dtype"):
        Lasso().fit(row_blocks(frame(X, np.full(400, "a"), w), "weight"))
    with pytest.raises(ValueError, match="not a table"):
        row_blocks(X, "target")


def test_wide_data_are_refused_by_name():
    X = sparse.csr_array((5, 20_000))
    with pytest.raises(ValueError, match=r"Lasso .* 20000 features .* in memory"):
        Lasso().fit(row_blocks(X, np.zeros(5)))


def test_a_failed_fit_leaves_nothing():
    X, y, _ = regression()
    model = Lasso()
    with pytest.raises(ValueError, match="NaN"):
        model.fit(row_blocks(np.where(X > 8, np.nan, X), y))
    assert not hasattr(model, "n_features_in_")
    model.fit(X, y)
    before = dict(vars(model))

    class Interrupted:
        def __iter__(self):
            yield X[:100], y[:100]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(row_blocks(Interrupted()))
    assert vars(model) == before


# What else estimators do


def test_what_cannot_be_fitted_in_blocks_says_so_by_name():
    X, y, _ = regression(40)
    for cls in public_estimators():
        if hasattr(cls, "_fit_blocks") or not hasattr(cls, "fit"):
            continue
        parameters = inspect.signature(cls).parameters.values()
        model = cls(*[LogisticRegression() for p in parameters if p.default is p.empty])
        with pytest.raises(TypeError, match=f"{cls.__name__} cannot be fitted from bl"):
            model.fit(row_blocks(X, y))


@pytest.mark.parametrize(
    "cls, reason",
    [
        (sparsestat.linear_model.MCPRegressor, "working sets of columns"),
        (sparsestat.linear_model.Slope, "working sets of columns"),
        (sparsestat.transport.OptimalTransport, "a transport plan couples all rows"),
        (sparsestat.gaussian_process.CompactGPRegressor, "couples all pairs of rows"),
        (sparsestat.embedding.FastRP, "nodes of one graph"),
    ],
)
def test_refusals_say_why(cls, reason):
    da = pytest.importorskip("dask.array")
    X, y, _ = regression(40)
    with pytest.raises(TypeError, match=reason):
        cls().fit(da.from_array(X, chunks=10), da.from_array(y, chunks=10))


def test_memory_is_that_of_a_few_blocks():
    """Arrays of blocks that are alive at once, counted where they are made."""
    X, y, _ = regression(2000)
    alive, most, lock = set(), [0], threading.Lock()

    class Counted:
        def __iter__(self):
            import weakref

            for start in range(0, 2000, 50):
                block = X[start : start + 50].copy()
                with lock:
                    alive.add(start)
                    most[0] = max(most[0], len(alive))
                weakref.finalize(block, alive.discard, start)
                yield block, y[start : start + 50]
                del block

    LassoCV(alphas=5, n_jobs=2).fit(row_blocks(Counted()))
    assert most[0] <= 2 + 1 + 2  # workers, one ahead, and what is being handed over


def test_row_blocks_is_public_and_idempotent():
    X, y, _ = regression()
    blocks = row_blocks(X, y, block_size=90)
    assert row_blocks(blocks) is blocks
    assert sparsestat.row_blocks is row_blocks
    assert repr(blocks) == "RowBlocks(5 blocks, 8 features)"
    assert blocks.sizes == (90, 90, 90, 90, 40) and blocks.n_samples == 400
    with pytest.raises(ValueError, match="already"):
        row_blocks(blocks, y)
    with pytest.raises(ValueError, match="positive integer"):
        row_blocks(X, block_size=0)


def test_a_bar_counts_blocks(capsys):
    X, y, _ = regression()
    LassoCV(alphas=3, verbose=1).fit(row_blocks(X, y, block_size=100))
    shown = capsys.readouterr().err
    assert "moments:   0%|          | 0/4" in shown
    assert "certificates:   0%|          | 0/4" in shown


@pytest.mark.skipif(not has("dask"), reason="dask is not installed")
def test_dask_arrays_without_a_cluster_show_a_bar(capsys):
    import dask.array as da

    X, y, _ = regression()
    data = da.from_array(X, chunks=100), da.from_array(y, chunks=100)
    model = LassoCV(alphas=3, verbose=1).fit(*data)
    assert "Completed" in capsys.readouterr().out
    expected = LassoCV(alphas=3).fit(X, y)
    assert_allclose(model.alphas_, expected.alphas_, rtol=1e-12)


# Predictions of collections


LAZY = [cls for cls in public_estimators() if getattr(cls, "_by_rows", False)]


@pytest.mark.parametrize("cls", LAZY, ids=lambda cls: cls.__name__)
def test_predictions_of_dask_arrays_are_lazy(cls):
    da = pytest.importorskip("dask.array")
    model = model_of(cls)
    data = data_of(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(**data)
    X = data["X"]
    X = np.asarray(X.toarray() if sparse.issparse(X) else X)
    chunks = da.from_array(X, chunks=(max(len(X) // 3, 1), X.shape[1]))
    for name in ("predict", "predict_proba", "decision_function", "transform"):
        if not hasattr(model, name):
            continue
        expected = getattr(model, name)(X)
        found = getattr(model, name)(chunks)
        assert isinstance(found, da.Array)  # nothing is computed yet
        assert found.dtype == np.asarray(expected).dtype
        assert found.shape == np.shape(expected)
        assert_equal(found.compute(), expected)


def assert_equal(found, expected):
    if np.asarray(expected).dtype.kind in "fc":
        assert_allclose(found, np.asarray(expected), rtol=1e-8, atol=1e-10)
    else:
        assert_array_equal(found, expected)


def test_predictions_of_dask_frames_and_of_unknown_chunks():
    da = pytest.importorskip("dask.array")
    dd = pytest.importorskip("dask.dataframe")
    X, y, w = regression()
    table = frame(X, y, w)
    model = Lasso(0.2).fit(dd.from_pandas(table, npartitions=3), "target", "weight")
    features = table.iloc[:, :8]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # names of columns are kept
        expected = model.predict(features)
        found = model.predict(dd.from_pandas(features, npartitions=3))
    assert isinstance(found, da.Array)
    assert_allclose(found.compute(), expected, rtol=1e-12)
    rows = da.from_array(X, chunks=(100, 3))
    rows = rows[rows[:, 0] > np.median(X[:, 0])]
    plain = Lasso(0.2).fit(X, y)
    seen = X[X[:, 0] > np.median(X[:, 0])]
    assert_allclose(plain.predict(rows).compute(), plain.predict(seen), rtol=1e-12)
    with pytest.raises(ValueError, match="alone"):
        SparsePoissonRegressor().fit(X, abs(y)).predict(rows, offset=y)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_anonymous_memory_is_that_of_a_few_blocks(tmp_path):
    """A memory map of 200 MB is fitted in a few tens of them."""
    X = np.lib.format.open_memmap(
        tmp_path / "X.npy", mode="w+", dtype=np.float32, shape=(1_000_000, 50)
    )
    rng = np.random.default_rng(0)
    for rows in np.array_split(np.arange(len(X)), 20):
        X[rows] = rng.standard_normal((len(rows), 50), dtype=np.float32)
    X.flush()
    code = f"""
import threading, time, re
import numpy as np
from sparsestat import row_blocks
from sparsestat.linear_model import LassoCV
X = np.load({str(tmp_path / "X.npy")!r}, mmap_mode="r")
y = np.array(X[:, 0]) - X[:, 1]
def anonymous():
    text = open("/proc/self/smaps_rollup").read()
    return int(re.search(r"Anonymous:\\s+(\\d+)", text).group(1)) / 1024
LassoCV(alphas=3).fit(row_blocks(X[:1000], y[:1000]))  # kernels
before, most, going = anonymous(), [0], [True]
def watch():
    while going[0]:
        most[0] = max(most[0], anonymous())
        time.sleep(0.01)
thread = threading.Thread(target=watch)
thread.start()
LassoCV(alphas=10, eps=0.01).fit(row_blocks(X, y))
going[0] = False
thread.join()
print(most[0] - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # Blocks of 2 million numbers take 16 MB in double precision, of which a few are
    # alive at once; folds take 10 bytes a row.
    assert float(done.stdout.split()[-1]) < 130


# A cluster


class Future:
    """A future of dask that is not done for some looks."""

    def __init__(self, looks, error=None):
        self.looks, self.error, self.canceled = looks, error, False

    def result(self, timeout):
        self.looks -= 1
        if self.looks < 0 and self.error is None:
            return "answer"
        raise self.error or TimeoutError

    def done(self):
        return self.looks < 0

    def cancel(self):
        self.canceled = True


class Cluster:
    """A client of dask: whether there are workers, look after look."""

    def __init__(self, workers):
        self.workers = iter(workers)

    def scheduler_info(self, n_workers):
        assert n_workers == -1  # all of them
        return {"workers": {"tcp://it": {}} if next(self.workers) else {}}


def test_a_cluster_without_workers_is_not_waited_for():
    few = int(dask_tasks._PATIENCE / dask_tasks._LOOK) - 1
    answer = dask_tasks._awaited(Future(2 * few), Cluster([*[0] * few, 1, *[0] * few]))
    assert answer == "answer"  # a new worker came
    lost = Future(10**6)
    with pytest.raises(RuntimeError, match="no worker for 60 seconds"):
        dask_tasks._awaited(lost, Cluster([0] * (few + 1)))
    assert lost.canceled
    with pytest.raises(TimeoutError, match="of a task"):
        dask_tasks._awaited(Future(0, TimeoutError("of a task")), Cluster([]))


def shard(k, flag, n=300, p=6):
    """Make rows of a chunk; the first time, one of them kills its worker."""
    if flag and k == 2:
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)
        except FileExistsError:
            pass
    rng = np.random.default_rng(k)
    X = rng.standard_normal((n, p)) + k
    return np.column_stack([X, X[:, :2].sum(axis=1) + rng.standard_normal(n)])


@pytest.mark.slow
def test_a_cluster_gives_the_same_answer_though_a_worker_dies(tmp_path):
    pytest.importorskip("distributed")
    import dask
    import dask.array as da
    from distributed import Client, LocalCluster

    def rows_of(flag):
        parts = [dask.delayed(shard)(k, flag) for k in range(6)]
        parts = [da.from_delayed(part, (300, 7), float) for part in parts]
        return da.concatenate(parts)

    local = np.concatenate([shard(k, None) for k in range(6)])
    model = LassoCV(alphas=8, tol=1e-8)
    expected = clone(model).fit(row_blocks(local[:, :6], local[:, 6], block_size=300))
    options = {"host": "127.0.0.1", "dashboard_address": None}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster,
        Client(cluster, timeout=300) as client,
    ):
        for flag in (None, str(tmp_path / "killed")):
            rows = rows_of(flag)
            found = clone(model).fit(rows[:, :6], rows[:, 6])
            assert_allclose(found.mse_path_, expected.mse_path_, rtol=1e-10)
            assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-12)
            assert found.certificate_.satisfied
        assert (tmp_path / "killed").exists()  # a worker did die
        lazy = found.predict(rows[:, :6])
        assert_allclose(lazy.compute(), expected.predict(local[:, :6]), rtol=1e-8)
        # A chunk that is no good ends in its error, and leaves nothing.
        bad = rows.map_blocks(lambda part: np.where(part > 6, np.nan, part))
        with pytest.raises(ValueError, match="NaN"):
            model.fit(bad[:, :6], bad[:, 6])
        assert not hasattr(model, "coef_")
        del rows, bad, found, lazy
        client.close()


def peak():
    """The largest resident memory that this process ever had, in megabytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kilobytes there")
def test_memory_of_a_worker_is_that_of_a_few_chunks():
    """A chunk takes 4 MB, all of them 80 MB, which no worker keeps without a limit."""
    pytest.importorskip("distributed")
    import dask
    import dask.array as da
    from distributed import Client, LocalCluster

    n, p, k = 5_000, 99, 20
    parts = [dask.delayed(shard)(j % 5, None, n, p) for j in range(k)]
    rows = [da.from_delayed(part, (n, p + 1), float) for part in parts]
    options = {"host": "127.0.0.1", "dashboard_address": None, "memory_limit": 0}
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster,
        Client(cluster, timeout=300) as client,
    ):
        for model in (Lasso(0.1), SparseHuberRegressor(0.1, tol=0.1)):
            few, all_rows = da.concatenate(rows[:2]), da.concatenate(rows)
            clone(model).fit(few[:, :p], few[:, p])  # libraries, kernels, two chunks
            (before,) = client.run(peak).values()
            found = model.fit(all_rows[:, :p], all_rows[:, p])
            (after,) = client.run(peak).values()
            assert found.certificate_.satisfied
            assert after - before < 40
        del few, all_rows, found
        client.close()
