"""The decorator of kernels: numba's, where code on disk is a comfort and no need.

numba refuses to decorate a function whose code it has nowhere to store, and fails the
call whose code it cannot write, say on a full disk. Here a kernel is then compiled for
this process alone, and one warning says so.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import warnings

import numba
from numba.core.caching import FunctionCache

from sparsestat._utils.compilation import announce_compilation
from sparsestat._utils.results import users_stacklevel

__all__ = ["cache_folder", "njit"]

# What reading a folder that is full, broken or forbidden can raise.
FAILURES = (OSError, EOFError, pickle.UnpicklingError)
_told = False

announce_compilation()


def njit(*, cache=False, **options):
    """Decorate a kernel as ``numba.njit`` does; `cache` keeps its code if it can."""

    def decorate(function):
        kernel = numba.njit(**options)(function)
        if cache and hasattr(kernel, "_cache"):  # not where numba is switched off
            try:
                kernel._cache = KernelCache(function)
            except RuntimeError as error:  # no folder can be written
                tell(error)
        return kernel

    return decorate


class KernelCache(FunctionCache):
    """numba's cache of one function, of which a failure is a miss."""

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except FAILURES as error:
            tell(error)

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except FAILURES as error:
            tell(error)


def tell(error):
    """Warn, once in a process."""
    global _told
    if not _told:
        _told = True
        warnings.warn(
            "Compiled kernels cannot be kept on disk, so that every process compiles "
            "them anew; set NUMBA_CACHE_DIR to a folder that can be written and has "
            f"room. ({error})",
            RuntimeWarning,
            stacklevel=users_stacklevel(),
        )


def cache_folder():
    """Return where kernels of this module's folder are kept, None for nowhere."""
    try:
        return KernelCache(cache_folder).cache_path
    except RuntimeError:
        return None
