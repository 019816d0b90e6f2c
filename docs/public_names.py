"""The public names of the package, found by walking it.

The API pages, the docstring check and the tests all ask this module, so that a
name added to an ``__all__`` is documented, validated and tested without a list
kept by hand.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib
import inspect

import sparsestat

__all__ = ["public_methods", "public_names", "role_of", "title_of"]


def public_names():
    """Return ``{module name: {public name: object}}``, the package itself first."""
    found = {"sparsestat": {n: getattr(sparsestat, n) for n in sparsestat._LAZY_NAMES}}
    for subpackage in sorted(sparsestat._SUBPACKAGES):
        module = importlib.import_module(f"sparsestat.{subpackage}")
        names = getattr(module, "__all__", [])
        found[module.__name__] = {name: getattr(module, name) for name in names}
    return found


def public_methods(cls):
    """Return ``{name: class that defines it}`` of what our own code adds to a class.

    What scikit-learn's base classes bring along is documented there.
    """
    methods = {}
    for base in reversed(inspect.getmro(cls)):
        if not base.__module__.startswith("sparsestat"):
            continue
        for name, member in vars(base).items():
            is_code = inspect.isroutine(member) or isinstance(member, property)
            is_code = is_code or isinstance(member, classmethod | staticmethod)
            # Descriptors such as available_if's carry the function they guard.
            is_code = is_code or hasattr(member, "fn")
            if is_code and not name.startswith("_"):
                methods[name] = base
    return methods


def role_of(thing):
    """Return the heading under which a public object stands in the API pages."""
    if not inspect.isclass(thing):
        return "Functions"
    if issubclass(thing, Exception):
        return "Exceptions and warnings"
    if hasattr(thing, "fit"):
        return "Estimators"
    return "Classes"


def title_of(module_name):
    """Return the first line of a module's docstring, without its full stop."""
    doc = inspect.getdoc(importlib.import_module(module_name)) or module_name
    return doc.partition("\n")[0].rstrip(".")
