"""Waiting for tasks of dask, as long as somebody works on them."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from contextlib import nullcontext

__all__ = ["computed"]

_LOOK, _PATIENCE = 5.0, 60.0  # seconds between looks, and without any worker


def computed(tasks, verbose=0):
    """Compute tasks of dask: on the cluster if there is one, else in threads.

    Parameters
    ----------
    tasks : object
        A collection or a task, or a list or tuple that holds some.
    verbose : int, default=0
        At 1 and above, a bar is shown.
    """
    import dask

    tasks = dask.delayed(tasks)
    try:
        from distributed import get_client, progress

        client = get_client()
    except (ImportError, ValueError):
        from dask.diagnostics import ProgressBar

        with ProgressBar() if verbose >= 1 else nullcontext():
            return tasks.compute()
    future = client.compute(tasks)
    if verbose >= 1:
        progress(future)
    return _awaited(future, client)


def _awaited(future, client):
    """Return what a future holds, unless the cluster has no workers for a while.

    Dask would wait for new ones without end.
    """
    patience = _PATIENCE
    while True:
        try:
            return future.result(timeout=_LOOK)
        except TimeoutError:
            if future.done():  # an error of the task itself
                raise
        workers = client.scheduler_info(n_workers=-1)["workers"]
        patience = _PATIENCE if workers else patience - _LOOK
        if patience <= 0.0:
            future.cancel()
            raise RuntimeError(
                f"The cluster had no worker for {_PATIENCE:g} seconds: all of them "
                "died or left. Look at their logs (a chunk that does not fit into "
                "memory is a usual cause), start new ones and fit again."
            )
