"""Progress: tqdm for functions, scikit-learn's callback protocol for estimators."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import logging
from contextlib import contextmanager

from sparsestat._utils.compat import has_callbacks

__all__ = ["FitProgress", "logger", "progress_bar"]

logger = logging.getLogger("sparsestat")


def progress_bar(iterable=None, *, total=None, description=None, verbose=0):
    """Return a tqdm bar over `iterable`, silent unless ``verbose >= 1``."""
    if verbose < 1:  # tqdm.auto warns in a notebook without widgets, even if silent
        from tqdm import tqdm
    else:
        from tqdm.auto import tqdm

    return tqdm(
        iterable, total=total, desc=description, disable=verbose < 1, leave=False
    )


@contextmanager
def _visible_logger():
    """Let INFO lines through inside the context, as ``verbose=1`` promises.

    Python's logging hides INFO until somebody configures it. A level or a
    handler that the user has set is left alone.
    """
    level, handler = logger.level, None
    if level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        if handler is not None:
            logger.removeHandler(handler)


class FitProgress:
    """Report the outer iterations of one fit to callbacks and the logger.

    Where the installed scikit-learn has callbacks and some were set on the
    estimator, every iteration becomes a subtask of the fit; a callback that
    returns True stops the fit. Without callbacks this costs one attribute test.

    Parameters
    ----------
    estimator : estimator
        Inherits ``compat.CallbackSupportMixin`` and is inside ``fit``.
    max_iter : int
        Largest number of iterations.
    X, y : array-like, default=None
        Handed to the callbacks, which may score the unfinished estimator on them.
    verbose : int, default=0
        At 1 and above, one log line per iteration on the logger ``sparsestat``.
        Where the user has not configured logging the lines go to stderr.

    Examples
    --------
    Used as a context manager around the iterations::

        with FitProgress(self, self.max_iter, X=X, y=y) as progress:
            for it in range(self.max_iter):
                ...
                if progress.step(objective=value):
                    break
    """

    def __init__(self, estimator, max_iter, *, X=None, y=None, verbose=0):
        self.estimator = estimator
        self.max_iter = max_iter
        self.verbose = verbose
        self._data = {"X": X, "y": y}
        self._context = None
        self._visible = None
        self._iteration = 0

    def __enter__(self):
        if self.verbose:
            self._visible = _visible_logger()
            self._visible.__enter__()
        if has_callbacks(self.estimator):
            self._context = self.estimator._init_callback_context(
                max_subtasks=self.max_iter
            )
            self._context.call_on_fit_task_begin(estimator=self.estimator, **self._data)
        return self

    @property
    def watcher(self):
        """What to call with the certificate of each iteration; None if nobody looks."""
        if not self.verbose and self._context is None:
            return None
        return lambda value: self.step(certificate=value)

    def step(self, reconstruct=None, **figures):
        """Report one finished iteration; return True when the fit should stop.

        Parameters
        ----------
        reconstruct : callable, default=None
            Returns the dict of fitted attributes as they stand now, for
            callbacks that evaluate the unfinished estimator.
        **figures : float
            Printed in the log line.
        """
        self._iteration += 1
        if self.verbose:
            shown = ", ".join(f"{k} {v:.4e}" for k, v in figures.items())
            logger.info(
                "%s: iteration %d, %s",
                type(self.estimator).__name__,
                self._iteration,
                shown,
            )
        if self._context is None:
            return False
        sub = self._context.subcontext(task_name="iteration")
        sub.call_on_fit_task_begin(estimator=self.estimator)
        stop = sub.call_on_fit_task_end(
            estimator=self.estimator,
            reconstruction_attributes=reconstruct,
            **self._data,
        )
        return bool(stop)

    def __exit__(self, exc_type, exc, traceback):
        if self._visible is not None:
            self._visible.__exit__(exc_type, exc, traceback)
        if self._context is not None and exc_type is None:
            self._context.call_on_fit_task_end(estimator=self.estimator)
        return False
