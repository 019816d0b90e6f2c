"""Check the docstring of every public name with numpydoc; exit 1 when one is bad.

Run as ``python docs/validate_docstrings.py``, or with dotted names to look at
just those, e.g. ``python docs/validate_docstrings.py sparsestat.linear_model.Lasso``.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
import sys
from pathlib import Path

from numpydoc.validate import validate

sys.path.insert(0, str(Path(__file__).parent))
from public_names import public_methods, public_names

# Checks that are left out everywhere, each with its reason.
IGNORED = {
    "ES01": "a one-line summary can say it all",
    "SA01": "See Also is for names with a real neighbor, not a duty",
    "RT02": "a return value is given a name, as scikit-learn does",
}
# Further checks left out for some kinds of object.
IGNORED_FOR_METHODS = {"EX01": "the example stands in the class docstring"}
IGNORED_FOR_EXCEPTIONS = {"EX01": "an exception is raised for users, not by them"}


def targets():
    """Yield ``(dotted name, codes to leave out)`` for everything public."""
    seen = set()
    for module, names in public_names().items():
        for name, thing in names.items():
            if getattr(thing, "__module__", "sparsestat").split(".")[0] != "sparsestat":
                continue  # re-exported from elsewhere, e.g. ConvergenceWarning
            full = f"{module}.{name}"
            is_class = inspect.isclass(thing)
            if is_class and issubclass(thing, Exception):
                yield full, {*IGNORED, *IGNORED_FOR_EXCEPTIONS}
                continue
            yield full, set(IGNORED)
            for method, owner in public_methods(thing).items() if is_class else ():
                if (owner, method) not in seen:  # once for all heirs
                    seen.add((owner, method))
                    yield f"{full}.{method}", {*IGNORED, *IGNORED_FOR_METHODS}


def problems_of(name, ignored=frozenset()):
    """Return ``["CODE: message", ...]`` for one dotted name."""
    result = validate(name)
    errors = list(result["errors"])
    if "\\\n" in result["docstring"]:
        # In a raw docstring a backslash does not continue the line, and Sphinx
        # breaks on what follows.
        errors.append(("SS90", "A line of a raw docstring ends in a backslash"))
    return [f"{code}: {text}" for code, text in errors if code not in ignored]


def find_problems(only=()):
    """Return ``{dotted name: [problems]}`` of all public names that have some."""
    found = {name: problems_of(name, ignored) for name, ignored in targets()}
    return {
        name: problems
        for name, problems in found.items()
        if problems and (not only or name.startswith(tuple(only)))
    }


def main(arguments):
    """Print what is wrong; return the exit code."""
    bad = find_problems(arguments)
    for name, problems in bad.items():
        print(name)
        for problem in problems:
            print(f"    {problem}")
    n_checked = sum(1 for _ in targets())
    print(f"{n_checked} docstrings checked, {len(bad)} with problems")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
