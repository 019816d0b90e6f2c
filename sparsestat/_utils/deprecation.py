"""Names that change: the old ones warn for two minor releases."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

from sparsestat._utils.results import users_stacklevel

__all__ = ["OldAttribute", "renamed"]


def renamed(value, old_value, name, old_name, *, warn=True):
    """Return the value of a parameter, which may be given by its old name.

    Parameters
    ----------
    value, old_value : object
        What was given by the new and by the old name; the latter is "deprecated" when
        it was not used.
    name, old_name : str
    warn : bool, default=True
        Whether to warn of the old name.
    """
    if isinstance(old_value, str) and old_value == "deprecated":
        return value
    if warn:
        warnings.warn(
            f"`{old_name}` is called `{name}` since 0.2. The old name goes in 0.4.",
            FutureWarning,
            stacklevel=users_stacklevel(),
        )
    return old_value


class OldAttribute:
    """The old name of a fitted attribute, which warns; a class holds it by that name.

    Parameters
    ----------
    name : str
        The new name.
    """

    def __init__(self, name):
        self.name = name
        self.__doc__ = f"The old name of `{name}`."

    def __set_name__(self, owner, old_name):
        self.old_name = old_name

    def __get__(self, fitted, owner=None):
        if fitted is None:
            return self
        return renamed(None, getattr(fitted, self.name), self.name, self.old_name)
