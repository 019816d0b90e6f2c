"""Workers and threads: joblib is the only parallel door."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import sys

from joblib import effective_n_jobs, wrap_non_picklable_objects
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import ThreadpoolController

__all__ = ["in_order", "run_parallel", "single_blas_thread", "single_threaded"]

_found = (0, None)  # number of modules loaded then, and the thread pools


def run_parallel(function, tasks, *, n_jobs=None, prefer="threads", require=None):
    """Call ``function(*task)`` for every task, in order, on `n_jobs` workers.

    Results do not depend on `n_jobs`: each task is computed on its own with one
    thread of BLAS and OpenMP, whatever the number of workers. (A forked worker would
    also hang in OpenMP's own threads, which it has lost.) Kernels release the GIL,
    hence threads are preferred; a ``joblib.parallel_config`` of the user's wins.

    Parameters
    ----------
    function : callable
        Picklable when the backend runs processes.
    tasks : iterable of tuple
        Positional arguments of each call.
    n_jobs : int, default=None
        Number of workers; None means 1 unless a joblib context says otherwise.
    prefer : {"threads", "processes"}, default="threads"
        Soft hint to joblib.
    require : "sharedmem" or None, default=None
        Tasks that write into arrays of the caller require shared memory, so that
        they run in threads even where the user's context asks for processes.

    Returns
    -------
    results : list
        In the order of `tasks`.
    """
    tasks = list(tasks)
    if effective_n_jobs(n_jobs) == 1 or len(tasks) < 2:
        return [_call_single_threaded(function, task) for task in tasks]
    if "<locals>" in getattr(function, "__qualname__", ""):
        function = wrap_non_picklable_objects(function)  # for plain multiprocessing
    # threadpoolctl's limits hold for the whole process, so for threads they are
    # set here once; worker processes set their own inside the task.
    with single_blas_thread():
        return Parallel(n_jobs=n_jobs, prefer=prefer, require=require)(
            delayed(_call_single_threaded)(function, task) for task in tasks
        )


def in_order(function, tasks, *, n_jobs=None):
    """Yield ``function(*task)`` for every task, in order; few are under way at once.

    Tasks are drawn as workers, which are threads, come free, so that they may hold
    data: no more than `n_jobs` and one are in memory. Results do not depend on
    `n_jobs`.

    Parameters
    ----------
    function : callable
    tasks : iterable of tuple
        Positional arguments of each call.
    n_jobs : int, default=None
        As in :func:`run_parallel`.
    """
    n_workers = effective_n_jobs(n_jobs)
    if n_workers == 1:
        for task in tasks:
            yield _call_single_threaded(function, task)
        return
    with single_blas_thread():
        yield from Parallel(
            n_jobs=n_jobs,
            require="sharedmem",
            return_as="generator",
            pre_dispatch=n_workers + 1,
        )(delayed(_call_single_threaded)(function, task) for task in tasks)


def single_threaded(function, *arguments):
    """Call a function with one thread of BLAS and of OpenMP."""
    return _call_single_threaded(function, arguments)


def _call_single_threaded(function, task):
    with _thread_pools().limit(limits=1):
        return function(*task)


def _thread_pools():
    """Return the controller of the thread pools in this process.

    The search for them takes milliseconds, more than a small fit: it is made again
    only when modules, which may bring a library with threads, have been loaded.
    """
    global _found
    count = len(sys.modules)
    if _found[0] != count:
        _found = count, ThreadpoolController()
    return _found[1]


def single_blas_thread():
    """Limit BLAS to one thread inside the context."""
    return _thread_pools().limit(limits=1, user_api="blas")
