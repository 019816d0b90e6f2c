"""Estimators that read rows in blocks: one answer, however the rows come."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sparsestat import row_blocks
from sparsestat.cluster import (
    BalancedKMeans,
    ProbabilisticPartitivePartitioning,
    SDPKMeans,
)
from sparsestat.datasets import make_bars
from sparsestat.decomposition import (
    BinarySparseCoding,
    DiscreteSparseCoding,
    MaximalCausesAnalysis,
    MaxMagnitudeCausesAnalysis,
    OnlineOrthogonalDictionary,
    SemiNMF,
    SpikeSlabSparseCoding,
    TernarySparseCoding,
)
from sparsestat.gaussian_process import (
    DeepKernelMachineClassifier,
    DeepKernelMachineRegressor,
    SparseGPRegressor,
)
from sparsestat.inference import ScaledLasso
from sparsestat.linear_model import (
    ElasticNet,
    ElasticNetCV,
    Lasso,
    LassoCV,
    LDPSparseRegressor,
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
    SparseCoxRegressor,
    SparseCoxRegressorCV,
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
from sparsestat.linear_model._penalized import _block_survival
from tests.test_common import public_estimators
from tests.test_row_blocks import (
    blobs,
    close_outputs,
    containers,
    of_csr,
    of_dask_array,
    of_memory_map,
    regression,
)

N = 160
TIGHT, PATH = {"tol": 1e-10}, {"alphas": 3, "eps": 0.1, "cv": 3, "tol": 1e-9}
COEF = "coef_ intercept_ objective_"
SURVIVAL = "coef_ event_times_ baseline_hazard_ objective_"
CENTERS = "cluster_centers_ inertia_ labels_"
STEPS = {"n_steps": 8, "max_iter": 12, "tol": 0.05, "random_state": 0}
CODING = [
    BinarySparseCoding(6, **STEPS),
    TernarySparseCoding(6, **STEPS),
    DiscreteSparseCoding(6, **STEPS),
    MaximalCausesAnalysis(6, **STEPS),
    MaxMagnitudeCausesAnalysis(6, **STEPS),
    SpikeSlabSparseCoding(6, **STEPS),
]
# What is fitted, what its target is, and what must not depend on the blocks.
MODELS = [
    (Lasso(0.1, **TIGHT), "number", COEF),
    (ElasticNet(0.1, **TIGHT), "number", COEF),
    (LassoCV(**PATH), "number", f"{COEF} alpha_ mse_path_"),
    (ElasticNetCV(**PATH), "number", f"{COEF} alpha_ mse_path_"),
    (ScaledLasso(), "plain", "coef_ intercept_ sigma_"),
    (MultiTaskLasso(0.1, **TIGHT), "numbers", COEF),
    (MultiTaskElasticNet(0.1, **TIGHT), "numbers", COEF),
    (MultiTaskLassoCV(**PATH), "numbers", "coef_ alpha_ mse_path_"),
    (MultiTaskElasticNetCV(**PATH), "numbers", "coef_ alpha_ mse_path_"),
    (SparseLogisticRegression(0.02, **TIGHT), "label", COEF),
    (SparseLogisticRegression(0.02, **TIGHT), "labels", COEF),
    (SparsePoissonRegressor(0.05, **TIGHT), "count", COEF),
    (SparseGammaRegressor(0.05, **TIGHT), "size", COEF),
    (SparseTweedieRegressor(0.05, **TIGHT), "count", COEF),
    (SparseHuberRegressor(0.05, delta=1.0, tol=1e-9), "number", COEF),
    (SparseCoxRegressor(0.02, **TIGHT), "time", SURVIVAL),
    (SparseCoxRegressor(0.02, ties="efron", **TIGHT), "entry", SURVIVAL),
    (SparseLogisticRegressionCV(**PATH), "label", "coef_path_ alpha_ loss_path_"),
    (SparsePoissonRegressorCV(**PATH), "count", "coef_path_ alpha_ loss_path_"),
    (SparseGammaRegressorCV(**PATH), "size", "coef_path_ alpha_ loss_path_"),
    (SparseTweedieRegressorCV(**PATH), "count", "coef_path_ alpha_ loss_path_"),
    (SparseHuberRegressorCV(delta=1.0, **PATH), "number", "coef_path_ loss_path_"),
    (SparseCoxRegressorCV(**PATH), "time", "coef_path_ alpha_ loss_path_"),
    (BalancedKMeans(3, random_state=0), "blobs", CENTERS),
    (SDPKMeans(3, sketch_size=60, random_state=0), "blobs", CENTERS),
    (
        ProbabilisticPartitivePartitioning(max_clusters=4, random_state=0),
        "blobs, plain",
        "cluster_centers_ labels_",
    ),
    (SemiNMF(3, random_state=0), "none", "components_ reconstruction_err_"),
    (
        OnlineOrthogonalDictionary(batch_size=64, random_state=0),
        "none",
        "components_",
    ),
    (
        SparseGPRegressor(n_inducing=6, n_restarts_optimizer=0, random_state=0),
        "number",
        "lower_bound_ upper_bound_",
    ),
    (
        LDPSparseRegressor(epsilon=9.0, x_bound=40.0, y_bound=30.0, random_state=0),
        "plain",
        "coef_ support_",
    ),
    (
        DeepKernelMachineRegressor(
            n_inducing=6, nu=5.0, max_iter=3, tol=0.5, random_state=0
        ),
        "plain",
        "objective_ noise_variance_ amplitude_",
    ),
    *((model, "bars", "components_ pi_ sigma_ history_") for model in CODING),
]
LOSSES = [case for case in MODELS if case[2] in (COEF, SURVIVAL)]
every_model = pytest.mark.parametrize(
    "model, kind, names", MODELS, ids=[f"{type(m).__name__}-{k}" for m, k, _ in MODELS]
)
every_loss = pytest.mark.parametrize(
    "model, kind, names", LOSSES, ids=[f"{type(m).__name__}-{k}" for m, k, _ in LOSSES]
)


def data_of_kind(kind):
    """Return features, a target and weights, or None where there are none."""
    if kind.startswith("blobs"):
        X, _, w = blobs(N)
        return X, None, None if "plain" in kind else w
    if kind == "bars":
        bars = make_bars(N, size=3, random_state=0).data
        return np.maximum(bars, 0.0), None, regression(N)[2]
    X, y, w = regression(N, 6)
    rng = np.random.default_rng(1)
    eta = 0.4 * (X[:, :3] - 3.0).sum(axis=1)
    if kind == "plain":
        return X, y, None
    if kind == "none":
        return X - 3.0, None, w
    if kind in ("time", "entry"):
        time, limit = rng.exponential(np.exp(-eta)), rng.exponential(2.0, N)
        y = np.column_stack([np.minimum(time, limit), time <= limit])
        y[:, 0] = np.ceil(8.0 * y[:, 0]) / 8.0  # ties
        if kind == "entry":
            y = np.column_stack([y[:, 0] * rng.random(N) ** 2 - 1e-3, y])
        return X, y, w
    mean = np.exp(np.clip(eta, -2, 2))
    targets = {
        "number": y,
        "numbers": y[:, None] + rng.standard_normal((N, 2)),
        "label": (rng.random(N) < 1 / (1 + np.exp(-eta))).astype(float),
        "labels": np.digitize(eta + rng.logistic(size=N), [-0.5, 0.5]).astype(float),
        "count": rng.poisson(mean).astype(float),
        "size": rng.gamma(2.0, mean),
    }
    return X, targets[kind], w


def assert_same(found, expected, names, rtol=1e-10):
    for name in names.split():
        a, b = getattr(found, name), getattr(expected, name)
        if np.asarray(b).dtype.kind in "iu":
            assert_array_equal(a, b, err_msg=name)
        else:
            scale = np.abs(b).max(initial=0.0)
            assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=name)
    assert found.certificate_.kind == expected.certificate_.kind
    assert found.certificate_.satisfied == expected.certificate_.satisfied


def test_every_estimator_on_blocks_is_here():
    known = {cls for cls in public_estimators() if hasattr(cls, "_fit_blocks")}
    assert {type(model) for model, *_ in MODELS} == known


@every_model
def test_answers_do_not_depend_on_blocks(model, kind, names):
    X, y, w = data_of_kind(kind)
    expected = clone(model).fit(row_blocks(X, y, w, block_size=N))
    found = clone(model).fit(row_blocks(X, y, w, block_size=37))
    assert_same(found, expected, names, rtol=1e-9)


@every_model
@pytest.mark.parametrize(
    "container", [of_memory_map, of_csr, of_dask_array], ids=lambda f: f.__name__
)
def test_every_estimator_reads_arrays_of_any_kind(
    model, kind, names, container, tmp_path
):
    X, y, w = data_of_kind(kind)
    expected = clone(model).fit(row_blocks(X, y, w, block_size=N))
    data = row_blocks(*container(X, y, w, tmp_path))
    assert_same(clone(model).fit(data), expected, names, rtol=1e-8)


@containers
@every_loss
def test_every_loss_of_every_container(model, kind, names, container, tmp_path):
    X, y, w = data_of_kind(kind)
    expected = clone(model).fit(row_blocks(X, y, w, block_size=N))
    found = clone(model).fit(*container(X, y, w, tmp_path))
    assert_same(found, expected, names)


# Survival times


def survival(n=600):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 8)) * np.exp(rng.standard_normal(8)) + 3.0
    time = rng.exponential(np.exp(0.5 * (X[:, 1] - X[:, 0])))
    limit = rng.exponential(2.0, n)
    y = np.column_stack([np.minimum(time, limit), time <= limit])
    others = {"strata": rng.integers(0, 3, n), "offset": 0.3 * rng.standard_normal(n)}
    return X, y, rng.integers(0, 3, n).astype(float), others


COX = [
    {},
    {"l1_ratio": 0.5, "ties": "efron"},
    {"positive": True},
    {"feature_weights": np.array([0.0, np.inf, 2.0, 1.0, 1.0, 1.0, 0.5, 1.0])},
]


@pytest.mark.parametrize("target", ["times", "ties", "entries"])
@pytest.mark.parametrize("options", COX, ids=str)
def test_survival_in_blocks_is_that_in_memory(options, target):
    X, y, w, others = survival()
    if target == "ties":
        y[:, 0] = np.ceil(10.0 * y[:, 0])
    if target == "entries":
        early = y[:, 0] * np.random.default_rng(1).random(600)
        y = np.column_stack([early - 1e-9, y])
    model = SparseCoxRegressor(0.02, **{**TIGHT, **options})
    for more in ({}, others):
        expected = clone(model).fit(X, y, w, **more)
        found = clone(model).fit(row_blocks(X, y, w, block_size=70), **more)
        close_outputs(found, expected, rtol=1e-7, but={"history_"})
        shape = {key: more[key][:9] for key in more}
        survival_of = (m.predict_survival(X[:9], **shape) for m in (found, expected))
        assert_allclose(*survival_of, rtol=1e-7)


def test_one_column_of_times_means_that_all_were_seen():
    X, y, _, _ = survival(200)
    expected = SparseCoxRegressor(0.05, **TIGHT).fit(X, y[:, 0])
    found = SparseCoxRegressor(0.05, **TIGHT).fit(row_blocks(X, y[:, 0], block_size=37))
    close_outputs(found, expected, but={"history_"})
    fields = np.array(
        [(bool(event), time) for time, event in y],
        dtype=[("seen", bool), ("months", float)],
    )
    expected = SparseCoxRegressor(0.05, **TIGHT).fit(X, y)
    found = SparseCoxRegressor(0.05, **TIGHT).fit(row_blocks(X, fields, block_size=37))
    close_outputs(found, expected, but={"history_"})


@pytest.mark.parametrize("n_cells", [1, 8, 64])
def test_cells_of_event_times_change_the_steps_only(n_cells, monkeypatch):
    X, y, w, others = survival(300)
    model = SparseCoxRegressor(0.02, tol=1e-8)
    expected = clone(model).fit(X, y, w, **others)
    monkeypatch.setattr(_block_survival, "_CELLS", n_cells)
    found = clone(model).fit(row_blocks(X, y, w, block_size=70), **others)
    close_outputs(found, expected, rtol=1e-5, but={"history_"})
    assert found.certificate_.satisfied
    assert found.n_iter_ < 100


def test_the_model_of_cells_lies_above_the_hessian():
    """With a cell for each term it is the Hessian, else less is taken away."""
    from sparsestat.linear_model._penalized._survival import partial_likelihood

    X, y, w, others = survival(120)
    rng = np.random.default_rng(3)
    y = np.column_stack([y[:, 0] * rng.random(120) - 1e-9, np.ceil(y * 4) / 4])
    y[:, 2] = y[:, 2] > 0
    A, eta = X[:, :4] - X[:, :4].mean(axis=0), rng.standard_normal(120)
    for ties, strata in product(("breslow", "efron"), (None, others["strata"])):
        datafit = partial_likelihood(y, w + 1.0, ties=ties, strata=strata)
        h = datafit.curvature(eta)
        exact = datafit.gram(A, eta, h)
        for n_cells in (10_000, 12, 3):
            cells = datafit.in_cells(eta, n_cells)
            sums = []
            for name in ("cell", "early_cell"):
                onto = np.arange(1, len(cells.rates) + 1)[:, None] == cells.rows[name]
                sums.append(onto * cells.rows["risk"])
            own, early = sums
            part = own * cells.rows["part"] - early * cells.rows["early_part"]
            M = cells.means((own - early) @ A, part @ A)
            above = A.T @ (h[:, None] * A) - M.T @ M
            least = np.linalg.eigvalsh(above - exact)[0]
            assert least >= -1e-10 * np.linalg.norm(exact)
            if n_cells == 10_000 and ties == "breslow":
                assert_allclose(above, exact, rtol=1e-9, atol=1e-9)


def test_strengths_of_survival_are_those_in_memory():
    X, y, w, others = survival(300)
    y[:, 0] = np.ceil(20.0 * y[:, 0])
    for options in (
        {"cv": 3},
        {"criterion": "bic", "l1_ratio": 0.5},
        {"cv": 3, "stop_explained": True, "alphas": 12},
    ):
        options = {"alphas": 4, "eps": 0.05, "tol": 1e-8, **options}
        model = SparseCoxRegressorCV(**options)
        for weights, more in ((None, {}), (w, others)):
            expected = clone(model).fit(X, y, weights, **more)
            data = row_blocks(X, y, weights, block_size=37)
            found = clone(model).fit(data, **more)
            close_outputs(
                found, expected, rtol=1e-5, but={"kkt_residuals_", "history_"}
            )


def test_blocks_of_survival_may_have_weights_or_none():
    X, y, w, others = survival(90)
    w[:30] = 1.0
    parts = [(X[:30], y[:30]), (X[30:60], y[30:60], w[30:60]), (X[60:], y[60:], w[60:])]
    model = SparseCoxRegressor(0.05, **TIGHT)
    expected = clone(model).fit(X, y, w, **others)
    close_outputs(model.fit(row_blocks(parts), **others), expected, but={"history_"})
    few = {**others, "offset": others["offset"][:30]}
    with pytest.raises(ValueError, match="offset"):
        clone(model).fit(row_blocks(parts), **few)


def test_survival_in_blocks_refuses_what_it_cannot_use():
    X, y, _, _ = survival(60)
    model = SparseCoxRegressor(0.05)
    with pytest.raises(ValueError, match="require y to be passed"):
        model.fit(row_blocks(X, block_size=20))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(row_blocks(X, np.where(y > 2.0, np.nan, y), block_size=20))
    with pytest.raises(ValueError, match="are censored"):
        model.fit(row_blocks(X, y * [1.0, 0.0], block_size=20))
    with pytest.raises(ValueError, match="needs X in memory"):
        SparseCoxRegressor(0.05, penalty="mcp").fit(row_blocks(X, y))
    with pytest.raises(ValueError, match="`offset` has shape"):
        model.fit(row_blocks(X, y), offset=np.zeros(59))
    mixed = [(X[:30], y[:30]), (X[30:], np.column_stack([y[30:, 0] - 1.0, y[30:]]))]
    with pytest.raises(ValueError, match="the same columns in all blocks"):
        model.fit(row_blocks(mixed))
    assert not hasattr(model, "coef_")


# Sparse coding


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("model", CODING, ids=lambda model: type(model).__name__)
def test_sparse_coding_in_blocks_is_that_in_memory(model, weighted):
    X, _, w = data_of_kind("bars")
    w = w if weighted else None
    for fit_mean in (False, True):
        if fit_mean and isinstance(model, MaximalCausesAnalysis):
            continue  # its components are positive, and so are its data
        model = clone(model).set_params(fit_mean=fit_mean)
        D = X + 1e3 if fit_mean else X
        expected = clone(model).fit(D, sample_weight=w)
        found = clone(model).fit(row_blocks(D, None, w, block_size=37))
        assert set(vars(found)) == set(vars(expected))
        assert_same(found, expected, "components_ pi_ sigma_ mean_ history_", rtol=1e-7)
        assert found.certificate_.details.keys() == expected.certificate_.details.keys()
        assert_allclose(found.transform(D), expected.transform(D), atol=1e-6)


def test_sparse_coding_in_blocks_refuses_what_it_cannot_draw():
    X, _, w = data_of_kind("bars")
    with pytest.raises(ValueError, match="init='data' needs X in memory"):
        BinarySparseCoding(6, init="data").fit(row_blocks(X))
    with pytest.raises(ValueError, match="counts rows"):
        BinarySparseCoding(6).fit(row_blocks(X, None, 1e-9 * w))


# Private records


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"x_bound": None, "y_bound": None, "strict": False},
        {"x_bound": None, "strict": False, "clipping": "coordinate"},
        {"method": "nldp", "mechanism": "sphere"},
        {"method": "nldp", "delta": 1e-6},
        {"method": "nldp", "delta": 1e-6, "clipping": "coordinate"},
        {"method": "nldp", "delta": 1e-6, "simulate": "aggregate"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sparsestat.exceptions.PrivacyLeakWarning")
def test_private_messages_in_blocks_are_those_in_memory(options, monkeypatch):
    from sparsestat.linear_model._private import _clients

    monkeypatch.setattr(_clients, "_CHUNK_ENTRIES", 500)  # many chunks of users
    X, y, _ = regression(300, 6)
    public = {"epsilon": 9.0, "x_bound": 40.0, "y_bound": 30.0, "random_state": 0}
    model = LDPSparseRegressor(**{**public, **options})
    expected = clone(model).fit(X, y)
    for size in (300, 37, 1):
        found = clone(model).fit(row_blocks(X, y, block_size=size))
        assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-13)
        assert found.privacy_ledger_ == expected.privacy_ledger_
        assert set(vars(found)) == set(vars(expected))
        assert found.certificate_ == expected.certificate_


def test_private_records_in_blocks_are_refused_as_in_memory():
    X, y, w = regression(40)
    model = LDPSparseRegressor(x_bound=4.0, y_bound=3.0, random_state=0)
    with pytest.raises(ValueError, match="a weight would itself be private"):
        model.fit(row_blocks(X, y, w))
    with pytest.raises(ValueError, match="cannot form 6 groups"):
        model.fit(row_blocks(X[:5], y[:5]))
    with pytest.raises(ValueError, match="must be given: public constants"):
        LDPSparseRegressor().fit(row_blocks(X, y))


# Deep kernel machines


@pytest.mark.parametrize("kernel", ["relu", "rbf"])
@pytest.mark.parametrize(
    "n_layers, nu, n_targets", [(2, 5.0, 1), (1, 3.0, 2), (0, 1, 1)]
)
def test_the_deep_bound_of_blocks_is_that_of_the_rows(kernel, n_layers, nu, n_targets):
    from sparsestat.gaussian_process._variational._deep_evidence import DeepEvidence
    from sparsestat.gaussian_process._variational._deep_rows import DeepRows

    X, Y, _ = regression(120, 3, n_targets)
    rows = DeepRows(row_blocks(X, Y, block_size=37), True)
    A, B = rows.sample(200, None)
    assert_allclose(A[:, :3], (X - X.mean(axis=0)) / X.std(axis=0), atol=1e-12)
    assert_allclose(B, (Y - Y.mean(axis=0)) / Y.std(axis=0), atol=1e-12)
    options = {
        "kernel": kernel,
        "n_layers": n_layers,
        "nu": nu if n_layers else np.inf,
        "likelihood": None,
        "dense": False,
        "learn_scales": True,
        "learn_inducing": True,
        "n_constant": 1,
        "noise_floor": 0.01,
        "jitter": 1e-8,
    }
    whole = DeepEvidence(A, B, A[::17], **options)
    passed = DeepEvidence(A[:40], B[:40], A[::17], **options, passes=rows)
    x, _ = whole.start(np.full(4, 0.25), 1.0, 0.1)
    assert_allclose(passed.start(np.full(4, 0.25), 1.0, 0.1)[0], x)
    x = x + 0.1 * np.random.default_rng(0).standard_normal(len(x))
    for _ in range(2):  # nothing is left over from one evaluation to the next
        value, gradient = passed(x)
        assert value == pytest.approx(whole(x)[0], rel=1e-10)
        scale = np.abs(gradient).max()
        assert_allclose(gradient, whole(x)[1], rtol=1e-8, atol=1e-9 * scale)


def test_deep_machines_in_blocks_are_those_in_memory(monkeypatch):
    from sparsestat.gaussian_process import _deep_kernel_machines

    rng = np.random.default_rng(0)
    X = rng.uniform(-2.0, 2.0, (150, 2))
    y = np.abs(X[:, 0]) - np.abs(X[:, 1]) + 0.1 * rng.standard_normal(150)
    options = {"n_inducing": 6, "n_layers": 1, "nu": 5.0, "tol": 2e-3}
    model = DeepKernelMachineRegressor(random_state=0, **options)
    expected = clone(model).fit(X, y)
    found = clone(model).fit(row_blocks(X, y, block_size=37))
    assert found.certificate_.satisfied and expected.certificate_.satisfied
    assert found.objective_ == pytest.approx(expected.objective_, abs=0.01)
    assert_allclose(found.predict(X), expected.predict(X), atol=0.01)
    assert set(vars(found)) == set(vars(expected))
    # Where a sample chooses the start, the climb is on all rows all the same.
    monkeypatch.setattr(_deep_kernel_machines, "_SAMPLE", 60)
    found = clone(model).fit(row_blocks(X, y, block_size=37))
    assert found.certificate_.satisfied
    assert found.objective_ == pytest.approx(expected.objective_, abs=5.0)
    assert found.score(X, y) > 0.9


def test_deep_machines_in_blocks_refuse_what_they_cannot_sum():
    X, y, w = regression(40)
    for options in ({"n_inducing": None}, {"batch_size": 10}):
        with pytest.raises(ValueError, match="needs X in memory"):
            DeepKernelMachineRegressor(**options).fit(row_blocks(X, y))
    with pytest.raises(ValueError, match="take no sample_weight"):
        DeepKernelMachineRegressor().fit(row_blocks(X, y, w))
    with pytest.raises(TypeError, match="keeps the features of all rows"):
        DeepKernelMachineClassifier().fit(row_blocks(X, y > 0))


# Matrices on disk that are read as they are


def test_graphs_and_documents_are_read_from_memory_mapped_parts(tmp_path):
    from scipy import sparse

    from sparsestat.embedding import FastRP
    from sparsestat.neighbors import SparseNeighbors

    A = sparse.random_array((80, 80), density=0.2, random_state=0, dtype=np.float32)
    A = sparse.csr_array(A + A.T)
    parts = []
    for name in ("data", "indices", "indptr"):
        np.save(tmp_path / f"{name}.npy", getattr(A, name))
        parts.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    mapped = sparse.csr_array(tuple(parts), shape=A.shape)
    expected = FastRP(8, random_state=0).fit(A).embedding_
    assert_array_equal(FastRP(8, random_state=0).fit(mapped).embedding_, expected)
    for algorithm in ("seismic", "exact"):
        model = SparseNeighbors(3, algorithm=algorithm, random_state=0)
        expected = clone(model).fit(A).kneighbors(A[:9])
        found = clone(model).fit(mapped).kneighbors(mapped[:9])
        for a, b in zip(found, expected, strict=True):
            assert_array_equal(a, b)
