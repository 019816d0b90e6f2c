import threading

import joblib
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from sparsestat._utils.parallel import run_parallel, single_blas_thread


def blas_threads():
    return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]


def describe(task, scale):
    """Return what a task saw: its value, its thread, its BLAS limit."""
    return task * scale, threading.get_ident(), max(blas_threads(), default=1)


def moment(seed, size):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((size, size))
    return (A @ A.T).sum()


@pytest.mark.parametrize("n_jobs", [None, 1, 2, -1])
def test_results_come_in_order_with_one_blas_thread_each(n_jobs):
    before = blas_threads()
    results = run_parallel(describe, [(i, 10) for i in range(7)], n_jobs=n_jobs)
    assert [r[0] for r in results] == [10 * i for i in range(7)]
    assert {r[2] for r in results} == {1}
    assert blas_threads() == before


@pytest.mark.parametrize("prefer", ["threads", "processes"])
def test_results_are_equal_for_every_n_jobs(prefer):
    tasks = [(seed, 60) for seed in range(4)]
    serial = run_parallel(moment, tasks)
    parallel = run_parallel(moment, tasks, n_jobs=2, prefer=prefer)
    assert serial == parallel  # to the last bit


def test_tasks_may_be_an_iterator_and_may_be_empty():
    assert run_parallel(moment, iter([]), n_jobs=2) == []
    assert len(run_parallel(moment, ((s, 3) for s in range(3)), n_jobs=2)) == 3


def test_a_users_joblib_context_decides_when_n_jobs_is_none():
    with joblib.parallel_config("threading", n_jobs=2):
        results = run_parallel(describe, [(i, 1) for i in range(8)])
    main = threading.get_ident()
    assert all(thread != main for _, thread, _ in results)
    results = run_parallel(describe, [(i, 1) for i in range(8)])
    assert all(thread == main for _, thread, _ in results)


def test_an_exception_reaches_the_caller_and_blas_is_restored():
    before = blas_threads()
    for n_jobs in (1, 2):
        with pytest.raises(ZeroDivisionError):
            run_parallel(divmod, [(1, 1), (1, 0), (2, 1)], n_jobs=n_jobs)
    assert blas_threads() == before


def test_n_jobs_zero_is_refused():
    with pytest.raises(ValueError, match="n_jobs == 0"):
        run_parallel(moment, [(0, 2), (1, 2)], n_jobs=0)


def test_single_blas_thread_restores():
    before = blas_threads()
    with single_blas_thread():
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before
