"""Work on a cluster: two workers of dask on this machine give the serial answers."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import contextlib
import os
import signal
import threading
import time

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

pytest.importorskip("distributed")

import dask
import dask.array as da
from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker

from sparsestat.cluster import SDPKMeans
from sparsestat.decomposition import (
    BinarySparseCoding,
    OnlineOrthogonalDictionary,
    OrthogonalDictionary,
)
from sparsestat.gaussian_process import DistributedGridSpectralMixtureRegressor
from sparsestat.inference import DebiasedLasso, KnockoffSelector, StabilitySelection
from sparsestat.linear_model import ElasticNetCV, Lasso, LassoCV, LDPSparseRegressor
from tests.test_common import public_estimators
from tests.test_threads import (
    PARALLEL,
    assert_equal_outputs,
    data_of,
    fitted_outputs,
    model_of,
)

pytestmark = pytest.mark.slow
# Nothing here may wait longer for a cluster than this.
TIMEOUT = 300  # against hanging alone: a busy machine may need minutes


@contextlib.contextmanager
def cluster_of_two():
    """Two processes with one thread each, on loopback."""
    environment = {"OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            env=environment,
        ) as cluster,
        Client(cluster, timeout=TIMEOUT) as client,
    ):
        client.wait_for_workers(2, timeout=TIMEOUT)
        yield client


@pytest.fixture(scope="module")
def client():
    """Return a client of the workers that all tests share: none may kill one."""
    with cluster_of_two() as client:
        yield client


@pytest.fixture
def mortals():
    """Return a client of workers that the test may kill.

    One of two is killed at most. When it is started again is the scheduler's
    matter and takes as long as the machine is loaded: nothing here waits for it.
    """
    with cluster_of_two() as client:
        yield client


@pytest.fixture
def mortals_without_retry():
    """Return a client whose scheduler gives a task up when its worker died."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        cluster_of_two() as client,
    ):
        yield client


def bounded(function, *arguments):
    """Call it in a thread, and fail instead of hanging."""
    found, errors = [], []

    def run():
        try:
            found.append(function(*arguments))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert not thread.is_alive(), f"no answer after {TIMEOUT} s"
    if errors:
        raise errors[0]
    return found[0]


def on_cluster(function, *arguments, scatter=None):
    def run():
        with joblib.parallel_config("dask", scatter=scatter):
            return function(*arguments)

    return bounded(run)


def regression(n=200, p=60):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    return X, X[:, :4].sum(axis=1) + rng.standard_normal(n)


def fitting_its_folds(n_features):
    """Return a model that fits its folds; most Lassos take theirs from moments."""
    free = np.r_[0.0, np.ones(n_features - 1)]
    return LassoCV(alphas=20, cv=4, positive=True, feature_weights=free)


# Equal results


@pytest.mark.parametrize("cls", PARALLEL, ids=lambda cls: cls.__name__)
def test_every_parallel_fit_on_a_cluster_gives_the_serial_answer(cls, client):
    model = model_of(cls)
    data = data_of(model)
    expected = fitted_outputs(model, data)
    assert_equal_outputs(on_cluster(fitted_outputs, model, data), expected)


def test_folds_of_a_search_run_on_the_workers(client):
    X, y = regression()
    model = fitting_its_folds(60)
    serial = clone(model).fit(X, y)
    before = tasks_done(client)
    found = on_cluster(model.fit, X, y)
    assert tasks_done(client) > before  # they did run there
    assert found.alpha_ == serial.alpha_
    assert_array_equal(found.mse_path_, serial.mse_path_)
    assert_array_equal(found.coef_, serial.coef_)
    assert found.certificate_ == serial.certificate_
    grid = GridSearchCV(Lasso(), {"alpha": [0.01, 0.1]}, cv=3)
    here, there = clone(grid).fit(X, y), on_cluster(clone(grid).fit, X, y)
    assert_array_equal(
        here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"]
    )
    mixed = ElasticNetCV(l1_ratio=[0.3, 0.9], alphas=10, cv=3)
    here, there = clone(mixed).fit(X, y), on_cluster(clone(mixed).fit, X, y)
    assert_array_equal(here.coef_, there.coef_)


def tasks_done(client):
    """Return a number that rises with every task the scheduler hands out."""
    return client.run_on_scheduler(
        lambda dask_scheduler: dask_scheduler.transition_counter
    )


def clusters(n):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 6)) + 6.0 * (np.arange(n) % 3)[:, None]


@pytest.mark.parametrize(
    "model, data",
    [
        (
            SDPKMeans(3, solver="nlr", n_init=4, random_state=0),
            {"X": clusters(120)},
        ),
        (
            OrthogonalDictionary(n_init=4, max_iter=20, random_state=0),
            {"X": clusters(120)},
        ),
        (  # chunks of the E-step have a thousand samples
            BinarySparseCoding(
                3, n_steps=3, max_iter=3, batch_size=1024, random_state=0
            ),
            {"X": clusters(5000)},
        ),
        (
            DistributedGridSpectralMixtureRegressor(n_agents=3, random_state=0),
            {"X": np.arange(60.0)[:, None], "y": np.sin(np.arange(60.0))},
        ),
        (  # a chunk holds a million numbers of messages
            LDPSparseRegressor(
                epsilon=5.0, x_bound=40.0, y_bound=20.0, n_rounds=1, random_state=0
            ),
            dict(zip("Xy", regression(8000, 300), strict=True)),
        ),
        (
            StabilitySelection(n_pairs=8, q=4, random_state=0),
            dict(zip("Xy", regression(), strict=True)),
        ),
        (
            KnockoffSelector(fdr=0.5, n_draws=4, s_method="equi", random_state=0),
            dict(zip("Xy", regression(200, 20), strict=True)),
        ),
        (  # a task has 32 nodes
            DebiasedLasso(),
            dict(zip("Xy", regression(200, 70), strict=True)),
        ),
    ],
    ids="restarts starts e-step agents rounds pairs draws nodes".split(),
)
def test_the_work_of_one_fit_runs_on_the_workers(model, data, client):
    expected = fitted_outputs(model, data)
    before = tasks_done(client)
    found = on_cluster(fitted_outputs, model, data)
    assert tasks_done(client) > before
    assert_equal_outputs(found, expected)


# Workers that die. They do in the middle of a task, by its own hand: nothing hangs on
# when somebody else looks, or on how loaded the machine is.


def dies_once(flag, main):
    """Kill this process if it is not the main one and none was killed before."""
    if os.getpid() != main:
        # The flag is created by one process only: the other lives.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)


class KillsItsWorker(Lasso):
    """A Lasso whose first fit in another process kills that process."""

    def __init__(self, alpha=1.0, *, flag=None, main=None):
        super().__init__(alpha)
        self.flag, self.main = flag, main

    def fit(self, X, y, sample_weight=None):
        dies_once(self.flag, self.main)
        return super().fit(X, y, sample_weight)


class KillsAWorkerOfItsFolds(LassoCV):
    """A LassoCV of which the first fold that is fitted elsewhere kills its process."""

    def _held_out_losses(self, *arguments):
        dies_once(self.flag, self.main)
        return super()._held_out_losses(*arguments)


def test_a_search_whose_worker_is_killed_gives_the_same_answer(mortals, tmp_path):
    X, y = regression(100, 10)
    grid = {"alpha": [0.01, 0.03, 0.1]}
    serial = GridSearchCV(Lasso(), grid, cv=4).fit(X, y)
    mortal = KillsItsWorker(flag=str(tmp_path / "killed"), main=os.getpid())
    search = GridSearchCV(mortal, grid, cv=4)
    # Each worker has a copy of the data, so that none is lost.
    found = on_cluster(search.fit, X, y, scatter=[X, y])
    assert (tmp_path / "killed").exists()
    assert_array_equal(
        found.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"]
    )
    assert found.best_params_ == serial.best_params_


def test_folds_whose_worker_is_killed_give_the_same_answer(mortals, tmp_path):
    X, y = regression(100, 20)
    free = np.r_[0.0, np.ones(19)]  # has no folds of moments
    options = {"alphas": 10, "cv": 4, "positive": True, "feature_weights": free}
    serial = LassoCV(**options).fit(X, y)
    mortal = KillsAWorkerOfItsFolds(**options)
    mortal.flag, mortal.main = str(tmp_path / "killed"), os.getpid()
    found = on_cluster(mortal.fit, X, y)
    assert (tmp_path / "killed").exists()
    assert_array_equal(found.mse_path_, serial.mse_path_)
    assert_array_equal(found.coef_, serial.coef_)


def deadly_chunk(main):
    if os.getpid() != main:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.ones((20, 4))


def test_a_chunk_that_kills_its_worker_ends_in_an_error(mortals_without_retry):
    chunk = dask.delayed(deadly_chunk)(os.getpid())
    rows = da.from_delayed(chunk, (20, 4), float)
    model = Lasso()
    with pytest.raises(KilledWorker):
        bounded(model.fit, rows[:, :3], rows[:, 3])
    assert not hasattr(model, "coef_")


# Data in blocks


def test_partial_fit_takes_the_blocks_of_a_dask_array(client):
    learners = [
        cls
        for cls in public_estimators()
        if hasattr(cls, "partial_fit") and hasattr(cls, "transform")
    ]
    assert OnlineOrthogonalDictionary in learners
    X = np.random.default_rng(0).standard_normal((240, 6)) ** 3
    blocks = da.from_array(X, chunks=(60, 6))
    for cls in learners:
        model = model_of(cls)
        here, there = clone(model), clone(model)
        for k in range(4):
            here.partial_fit(X[60 * k : 60 * (k + 1)])
            there.partial_fit(blocks.blocks[k])  # computed on the cluster, then fitted
        expected = here.transform(X)
        assert_array_equal(there.transform(X), expected, err_msg=cls.__name__)
        # What was fitted transforms blocks where they are.
        lazy = blocks.map_blocks(
            there.transform, dtype=float, chunks=(60, expected.shape[1])
        )
        found = bounded(lambda lazy=lazy: lazy.compute())
        assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_a_dask_array_is_fitted_where_its_chunks_are(client):
    X, y = regression()
    serial = LassoCV(alphas=10, tol=1e-8).fit(X, y)
    before = tasks_done(client)
    found = bounded(
        LassoCV(alphas=10, tol=1e-8).fit,
        da.from_array(X, chunks=50),
        da.from_array(y, chunks=50),
    )
    assert tasks_done(client) > before
    assert_allclose(found.mse_path_, serial.mse_path_, rtol=1e-8)
    assert_allclose(found.coef_, serial.coef_, rtol=1e-8, atol=1e-10)
    assert found.certificate_.satisfied


def test_time_is_bounded():
    """The helper that guards the tests above does its work."""
    global TIMEOUT
    before, TIMEOUT = TIMEOUT, 0.2
    try:
        with pytest.raises(AssertionError, match="no answer"):
            bounded(time.sleep, 1.0)
    finally:
        TIMEOUT = before
