"""The decorator of kernels: numba's, where code on disk is a comfort and no need.

numba refuses to decorate a function whose code it has nowhere to store, and fails the
call whose code it cannot write, say on a full disk. Here the code then goes to a folder
among the temporary files, or the kernel is compiled for this process alone; one warning
says so.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import contextlib
import functools
import inspect
import os
import pickle
import stat
import tempfile
import warnings
from pathlib import Path

import numba
from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile

from sparsestat._utils.compilation import announce_compilation
from sparsestat._utils.results import users_stacklevel
from sparsestat._version import __version__

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
            with contextlib.suppress(RuntimeError):  # no folder can be written
                kernel._cache = KernelCache(function)
        return kernel

    return decorate


class KernelCache(FunctionCache):
    """numba's cache of one function, of which a failure is a miss.

    numba reads only where it may write. Here folders that were to be used and cannot be
    written are read too, so that what was compiled into an image serves its users.
    """

    def __init__(self, function):
        asked, self.temporary = config.CACHE_DIR, False
        try:
            super().__init__(function)
        except RuntimeError as error:  # no folder that numba would use can be written
            try:
                config.CACHE_DIR = temporary_folder()
                super().__init__(function)
            except (RuntimeError, OSError):
                tell(error)
                raise error from None
            finally:
                config.CACHE_DIR = asked
            self.temporary = True
        source, locator, folders = inspect.getfile(function), self._impl.locator, []
        if self.temporary or not asked:
            folders.append(os.path.join(os.path.dirname(source), "__pycache__"))
        if self.temporary and asked:
            below = locator.get_suitable_cache_subpath(source)
            folders.append(os.path.join(asked, below))
        self.others = [
            IndexDataCacheFile(
                folder, self._impl.filename_base, locator.get_source_stamp()
            )
            for folder in folders
            if folder != self.cache_path
        ]

    def _index_key(self, sig, codegen):
        # numba looks at the module of a kernel alone, not at those that it calls.
        return *super()._index_key(sig, codegen), __version__

    def load_overload(self, sig, target_context):
        own, found = self._cache_file, None
        for files in [own, *self.others]:
            self._cache_file = files
            try:
                found = super().load_overload(sig, target_context)
            except FAILURES as error:
                if files is own:
                    tell(error)
            finally:
                self._cache_file = own
            if found is not None:
                break
        return found

    def save_overload(self, sig, data):
        try:
            if self.temporary:
                tell_of_folder(Path(temporary_folder()))
            super().save_overload(sig, data)
        except FAILURES as error:
            tell(error)


@functools.cache
def temporary_folder():
    """Return the user's own folder among the temporary files.

    What is read from a cache is run: a folder into which others could write is refused.
    """
    user = os.getuid() if hasattr(os, "getuid") else None  # Windows has no shared one
    folder = Path(tempfile.gettempdir(), f"sparsestat-{user or 0}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    shared = user is not None and (found.st_uid != user or found.st_mode & 0o077)
    if shared or not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{folder} is not a folder of this user alone.")
    return str(folder)


def tell_of_folder(folder):
    """Warn where kernels go, and leave a note there, which keeps others quiet."""
    note = folder / "README"
    if not note.exists():
        note.write_text("Compiled kernels of sparsestat. They can be deleted.\n")
        warn(
            f"go to {folder}; set NUMBA_CACHE_DIR to a folder that can be written and "
            "is not temporary."
        )


def tell(error):
    """Warn that nothing is kept."""
    warn(
        "cannot be kept on disk, so that every process compiles them anew; set "
        f"NUMBA_CACHE_DIR to a folder that can be written and has room. ({error})"
    )


def warn(what):
    """Say what becomes of compiled kernels, once in a process."""
    global _told
    if not _told:
        _told = True
        message = f"Compiled kernels {what}"
        warnings.warn(message, RuntimeWarning, stacklevel=users_stacklevel())


def cache_folder():
    """Return where kernels of this module's folder are kept, None for nowhere."""
    with contextlib.suppress(RuntimeError):
        return KernelCache(cache_folder).cache_path
