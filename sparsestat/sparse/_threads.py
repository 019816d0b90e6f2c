"""Run a nogil kernel on pieces of shared arrays, one thread a piece."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import itertools

from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

__all__ = ["balanced_rows", "run_shared", "thread_count"]


def thread_count(n_jobs, work, *, enough=200_000):
    """Return how many threads are worth starting for `work` elementary steps."""
    if n_jobs is not None and (
        isinstance(n_jobs, bool) or int(n_jobs) != n_jobs or n_jobs == 0
    ):
        raise ValueError(
            f"n_jobs must be None or a non-zero integer, got {n_jobs!r}. Use -1 for "
            "all cores."
        )
    threads = effective_n_jobs(n_jobs)
    return 1 if work < enough else max(1, threads)


def run_shared(function, tasks, n_threads):
    """Call ``function(*task)`` for every task; the tasks write into shared arrays.

    Threads are required rather than preferred: a process would write into its
    own copy of the output. The kernels are serial and release the GIL, so this is
    safe inside joblib workers of any kind and after a fork.
    """
    tasks = list(tasks)
    if n_threads == 1 or len(tasks) < 2:
        return [function(*task) for task in tasks]
    return Parallel(n_jobs=n_threads, require="sharedmem")(
        delayed(function)(*task) for task in tasks
    )


def balanced_rows(indptr, n_threads, *, per_thread=8):
    """Cut rows into blocks of nearly equal numbers of entries plus rows.

    Returns a list of ``(first, last)``; one block for one thread.
    """
    n_rows = len(indptr) - 1
    if n_threads == 1 or n_rows == 0:
        return [(0, n_rows)]
    parts = n_threads * per_thread
    work = int(indptr[-1]) + n_rows
    cuts = [0]
    for part in range(1, parts):
        cuts.append(_first_row_at(indptr, work * part // parts))
    cuts.append(n_rows)
    return [(a, b) for a, b in itertools.pairwise(cuts) if b > a]


def _first_row_at(indptr, target):
    """Return the first row whose entries and rows before it reach `target`."""
    low, high = 0, len(indptr) - 1
    while low < high:
        middle = (low + high) // 2
        if int(indptr[middle]) + middle < target:
            low = middle + 1
        else:
            high = middle
    return low
