"""Fill the kernel cache: each family compiles its own common signatures."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib
import importlib.util
import time
import warnings

__all__ = ["warmup"]


def warmup(families=None, *, verbose=0):
    """Compile the kernels of the common paths and store them in the cache.

    Meant for container images and continuous integration: afterwards the first
    ``fit`` of a new process loads compiled code instead of compiling it. Never
    called automatically.

    Parameters
    ----------
    families : sequence of str, default=None
        Subpackages to warm up, e.g. ``["linear_model"]``. None means all.
    verbose : int, default=0
        At 1 and above, show a progress bar.

    Returns
    -------
    seconds : dict
        Seconds spent for each family.

    Examples
    --------
    >>> import sparsestat
    >>> sorted(sparsestat.warmup(["linear_model"]))
    ['linear_model']
    """
    import sparsestat
    from sparsestat._utils.progress import progress_bar

    names = sparsestat._SUBPACKAGES if families is None else tuple(families)
    unknown = sorted(set(names) - set(sparsestat._SUBPACKAGES))
    if unknown:
        raise ValueError(
            f"Unknown families {unknown}. Expected a subset of "
            f"{sorted(sparsestat._SUBPACKAGES)}."
        )
    seconds = {}
    for name in progress_bar(names, description="warmup", verbose=verbose):
        package = importlib.import_module(f"sparsestat.{name}")
        if (
            not hasattr(package, "__path__")  # a single module, such as exceptions
            or importlib.util.find_spec(f"sparsestat.{name}._warmup") is None
        ):
            continue  # nothing to compile
        start = time.perf_counter()
        module = importlib.import_module(f"sparsestat.{name}._warmup")
        with warnings.catch_warnings():
            # Fits on tiny data, stopped at once: nobody asks what they converged to.
            warnings.simplefilter("ignore")
            module.warmup()
        seconds[name] = time.perf_counter() - start
    return seconds
