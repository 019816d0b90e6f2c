"""One line where a first call takes long because kernels are being compiled."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import os
import time

__all__ = ["announce_compilation"]

PATIENCE = 2.0  # seconds of compilation in a process before the line
SWITCH = "SPARSESTAT_COMPILATION_NOTICE"
MESSAGE = (
    "sparsestat: compiling kernels, once where `sparsestat info` names a folder for "
    "them; `sparsestat.warmup()` does it beforehand, and "
    f"{SWITCH}=0 in the environment leaves this line out."
)


def announce_compilation():
    """Have long compilations logged from now on, as a warning of ``sparsestat``."""
    if os.environ.get(SWITCH, "1") == "0":
        return
    try:
        from numba.core import event
    except ImportError:  # not a public part of numba
        return

    class Listener(event.Listener):
        """Adds up the time spent in compilations, nested ones counted once."""

        def __init__(self):
            self.depth, self.spent, self.begun, self.told = 0, 0.0, 0.0, False

        def on_start(self, event):
            if self.depth == 0:
                self.begun = time.perf_counter()
            self.depth += 1
            self.tell()

        def on_end(self, event):
            self.tell()
            self.depth = max(self.depth - 1, 0)
            if self.depth == 0:
                self.spent += time.perf_counter() - self.begun

        def tell(self):
            so_far = self.spent + time.perf_counter() - self.begun
            if not self.told and so_far > PATIENCE:
                from sparsestat._utils.progress import logger

                self.told = True
                logger.warning(MESSAGE)

    event.register("numba:compile", Listener())
