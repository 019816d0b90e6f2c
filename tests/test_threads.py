"""Threads and processes: equal results however the work is spread, and no more of it.

Backends of joblib, forks, fits from several Python threads, numbers of numba and
BLAS threads, and a kernel cache that two processes fill at once.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import json
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from tests.test_common import OWN_CONTRACT, public_estimators
from tests.test_hostile_input import data_of, estimator_of, outputs_of

PARALLEL = [
    cls
    for cls in public_estimators()
    if cls.__name__ not in OWN_CONTRACT and "n_jobs" in estimator_of(cls).get_params()
]
# What makes more than one task of a dozen samples.
TASKS = {
    "LaplacianKMeans": {"update": "parallel"},
    "OrthogonalDictionary": {"n_init": 3},
    "SDPKMeans": {"solver": "nlr"},
}


def model_of(cls):
    return estimator_of(cls).set_params(**TASKS.get(cls.__name__, {}))


def fitted_outputs(model, data):
    """Fit a copy and return what it says, without warnings of unconverged fits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = clone(model).fit(**data)
        return outputs_of(model, data["X"])


def assert_equal_outputs(found, expected, share=0.0):
    """Compare outputs: to the last bit, or to a share of the largest number."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        got = found[name]
        if sparse.issparse(value):
            value, got = value.toarray(), got.toarray()
        if share and np.asarray(value).dtype.kind == "f":
            size = np.abs(value[np.isfinite(value)]).max(initial=0.0)
            assert_allclose(got, value, rtol=0, atol=share * size, err_msg=name)
        else:
            assert_array_equal(got, value, err_msg=name)


@pytest.fixture(scope="module", autouse=True)
def _end_workers():
    """Leave no worker process to the tests that follow."""
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


# Backends


@pytest.mark.parametrize("backend", ["threading", "loky"])
@pytest.mark.parametrize("cls", PARALLEL, ids=lambda cls: cls.__name__)
def test_every_backend_gives_the_serial_answer(cls, backend):
    model = model_of(cls)
    data = data_of(model)
    expected = fitted_outputs(model, data)
    with joblib.parallel_config(backend, n_jobs=2):
        found = fitted_outputs(model, data)
    assert_equal_outputs(found, expected)


@pytest.mark.parametrize("cls", PARALLEL, ids=lambda cls: cls.__name__)
def test_fits_inside_parallel_fits_give_the_serial_answer(cls):
    """A search over an estimator that is parallel itself does not nest pools."""
    model = model_of(cls)
    data = data_of(model)
    expected = fitted_outputs(model, data)
    inner = clone(model).set_params(n_jobs=2)
    tasks = [joblib.delayed(fitted_outputs)(inner, data) for _ in range(2)]
    for found in joblib.Parallel(n_jobs=2, backend="threading")(tasks):
        assert_equal_outputs(found, expected)


# Python threads


def test_two_python_threads_fit_at_once():
    """Different estimators, each fitted again and again by two threads together."""
    classes = [c for c in public_estimators() if c.__name__ not in OWN_CONTRACT]
    models = [estimator_of(cls) for cls in classes]
    data = [data_of(model) for model in models]
    with warnings.catch_warnings():
        # The filter is of the process, so it is set once, outside the threads.
        warnings.simplefilter("ignore")
        expected = [
            outputs_of(clone(m).fit(**d), d["X"])
            for m, d in zip(models, data, strict=True)
        ]
        start = threading.Barrier(2)

        def run(k):
            found = []
            for model, given in zip(models, data, strict=True):
                start.wait(timeout=600)
                found.append(outputs_of(clone(model).fit(**given), given["X"]))
            return found

        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(run, range(2)))
    for found in both:
        for cls, got, value in zip(classes, found, expected, strict=True):
            try:
                # Two fits find memory aligned in other ways, which moves the last bits
                # of some kernels of BLAS.
                assert_equal_outputs(got, value, share=1e-9)
            except AssertionError as error:
                raise AssertionError(f"{cls.__name__}: {error}") from error


# Numbers of threads

DIGEST = """
import json, warnings
import joblib, numba, numpy as np
from scipy import sparse
from sparsestat.decomposition import BinarySparseCoding
from sparsestat.embedding import FastRP
from sparsestat.linear_model import LassoCV
from sparsestat.sparse import spgemm
warnings.simplefilter("ignore")
rng = np.random.RandomState(0)
X = rng.standard_normal((120, 40))
A = sparse.random_array((400, 400), density=0.05, rng=0, format="csr")
found = {
    "lasso": LassoCV(alphas=10, cv=3, n_jobs=2).fit(X, X[:, 0] + X[:, 1]).coef_,
    "fastrp": FastRP(16, random_state=0, n_jobs=2).fit(abs(A)).embedding_,
    "spgemm": spgemm(A, A, n_jobs=2).toarray(),
    "coding": BinarySparseCoding(
        4, n_steps=5, max_iter=10, batch_size=30, n_jobs=2, random_state=0
    ).fit(abs(X[:, :6])).components_,
}
digest = {k: joblib.hash(v) for k, v in found.items()}
print(json.dumps({"threads": numba.config.NUMBA_NUM_THREADS, **digest}))
"""


def start(script, *arguments, **environment):
    """Start a Python process with this source and other environment variables."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


def finish(process, timeout=600):
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    assert process.returncode == 0, err[-2000:]
    return json.loads(out.splitlines()[-1])


@pytest.mark.slow
def test_numbers_of_threads_change_no_digit():
    counts = ("1", "2", "8")
    runs = [
        start(DIGEST, NUMBA_NUM_THREADS=n, OPENBLAS_NUM_THREADS="1") for n in counts
    ]
    found = [finish(run) for run in runs]
    assert [run.pop("threads") for run in found] == [1, 2, 8]
    assert found[0] == found[1] == found[2]


FORK = """
import json, warnings
import joblib, numpy as np
from sparsestat.cluster import SDPKMeans
from sparsestat.decomposition import OrthogonalDictionary
from sparsestat.linear_model import LassoCV
warnings.simplefilter("ignore")
X = np.random.RandomState(0).standard_normal((60, 6))
X[:30] += 4.0
models = {
    "coef_": LassoCV(alphas=10, cv=3),
    "components_": OrthogonalDictionary(n_init=3, random_state=0),
    "labels_": SDPKMeans(2, solver="nlr", random_state=0),
}
def fit(name):
    return getattr(models[name].fit(X, X[:, 0]), name).tolist()
expected = {name: fit(name) for name in models}
with joblib.parallel_config("multiprocessing", n_jobs=2):
    assert {name: fit(name) for name in models} == expected
    names = ["coef_", "components_"]
    around = joblib.Parallel()(joblib.delayed(fit)(name) for name in names)
assert around == [expected[name] for name in names]
print(json.dumps(len(expected)))
"""


@pytest.mark.slow
def test_forked_workers_give_the_serial_answer():
    """Fork after kernels, BLAS and OpenMP were used: none may hang in the child."""
    assert finish(start(FORK), timeout=600) == 3


MEASURE = """
import json, sys, time
import numpy as np, psutil
from sparsestat._utils.parallel import run_parallel
n_jobs = int(sys.argv[1])
X = np.random.RandomState(0).standard_normal((600, 600))
def product(times):
    for _ in range(times):
        X @ X
def work():
    run_parallel(product, [(10,)] * 4, n_jobs=n_jobs)
X @ X
work()
process = psutil.Process()
seconds = lambda: {t.id: t.user_time + t.system_time for t in process.threads()}
before, ended, cpu = seconds(), {}, time.process_time()
wall = time.perf_counter()
for _ in range(3):
    work()
wall = time.perf_counter() - wall
cpu = time.process_time() - cpu
print(json.dumps({
    "cpu": cpu, "wall": wall,
    # Threads of a pool that has just been closed may still be listed: they are new.
    "others": [t - before[i] for i, t in seconds().items()
               if i in before and i != process.pid],
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_no_more_threads_work_than_were_asked_for(n_jobs, record_property):
    """With pools of 8 threads at hand, `n_jobs` of them do the work."""
    run = start(
        MEASURE,
        str(n_jobs),
        OPENBLAS_NUM_THREADS="8",
        OMP_NUM_THREADS="8",
        NUMBA_NUM_THREADS="8",
    )
    found = finish(run)
    record_property("measured", found)
    assert found["cpu"] / found["wall"] < n_jobs + 0.3
    # The threads of BLAS are there, and have slept.
    assert found["others"]
    assert sum(found["others"]) < 0.1 * found["cpu"] + 0.05


# The cache of compiled kernels

FILL = """
import json, sys, time
import numpy as np
from numba.core.dispatcher import Dispatcher
from scipy import sparse
from sparsestat.sparse import row_norms, spmv, topk_rows
A = sparse.random_array((50, 40), density=0.2, rng=0, format="csr")
found = [spmv(A, np.ones(40)).tolist(), row_norms(A).tolist(),
         topk_rows(A, 2).toarray().tolist()]
kernels = {
    id(thing): thing for name, module in list(sys.modules.items())
    if name.startswith("sparsestat") for thing in vars(module).values()
    if isinstance(thing, Dispatcher)
}
misses = sum(sum(k.stats.cache_misses.values()) for k in kernels.values())
hits = sum(sum(k.stats.cache_hits.values()) for k in kernels.values())
print(json.dumps({"found": found, "misses": misses, "hits": hits}))
"""


@pytest.mark.slow
def test_two_processes_fill_a_cold_cache_at_once(tmp_path):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path)}
    both = [start(FILL, **environment) for _ in range(2)]
    first, second = (finish(run) for run in both)
    assert first["misses"] > 0 and second["misses"] > 0
    assert first["found"] == second["found"]
    third = finish(start(FILL, **environment))
    assert third["misses"] == 0 and third["hits"] > 0
    assert third["found"] == first["found"]
    assert not list(tmp_path.rglob("*.tmp*"))
