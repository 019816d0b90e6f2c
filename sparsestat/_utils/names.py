"""Parameters by name: a name that does not exist gets the nearest one that does."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
from difflib import get_close_matches
from functools import cache

__all__ = ["check_arguments", "suggestion"]


def suggestion(name, names):
    """Return " Did you mean ...?" for a misspelled name, or nothing."""
    close = get_close_matches(str(name), list(names), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


@cache
def _signature(function):
    return inspect.signature(function)


def check_arguments(name, function, args, kwargs):
    """Raise TypeError, in the name of what was called, for arguments it cannot take.

    Parameters
    ----------
    name : str
        What the user called, e.g. the class and not the base that has its ``__init__``.
    function : callable
        Takes the arguments; the first of a method is among `args`.
    args : tuple
        Positional arguments.
    kwargs : dict
        Keyword arguments.
    """
    signature = _signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        parameters = signature.parameters
        unknown = [k for k in kwargs if k not in parameters]
        hint = suggestion(unknown[0], parameters) if unknown else ""
        raise TypeError(f"{name}: {error}.{hint}") from None
