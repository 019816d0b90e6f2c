"""Links to other projects' documentation without fetching an inventory.

``:class:`sklearn.linear_model.Lasso``` becomes a link by the rule by which that
project names its pages. Nothing is looked up, so the build needs no network.
Docstrings are adapted on the way: those that our classes inherit from
scikit-learn refer to labels and glossary terms of its own pages, which become
plain text.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import re

from docutils import nodes

PAGES = {
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{page}.html",
    "numpy": "https://numpy.org/doc/stable/reference/generated/{page}.html",
    "scipy": "https://docs.scipy.org/doc/scipy/reference/generated/{page}.html",
}
MEMBER_ROLES = ("meth", "attr")


def resolve(app, env, node, contnode):
    """Return a link for a name of a project in `PAGES`, or None."""
    target = node.get("reftarget", "")
    pattern = PAGES.get(target.partition(".")[0])
    role = node.get("reftype")
    if node.get("refdomain") != "py" or pattern is None or role == "mod":
        return None
    page = target.rpartition(".")[0] if role in MEMBER_ROLES else target
    anchor = f"#{target}" if role in MEMBER_ROLES else ""
    uri = pattern.format(page=page) + anchor
    return nodes.reference("", "", contnode, internal=False, refuri=uri)


def detach_inherited(app, what, name, obj, options, lines):
    """Make plain text of references that only scikit-learn's own pages can resolve."""
    module = getattr(obj, "__module__", None) or ""
    if not module.startswith("sklearn"):
        return
    for k, line in enumerate(lines):
        line = re.sub(r":(?:ref|term):`([^<`]+?)\s*<[^>`]*>`", r"\1", line)
        lines[k] = re.sub(r":(?:ref|term):`([^`]*)`", r"\1", line)


def quote_attributes(app, what, name, obj, options, lines):
    """Quote names such as ``n_iter_`` in the types of a docstring's entries.

    To reStructuredText a bare word with a trailing underscore is a link.
    """
    for k, line in enumerate(lines):
        if re.match(r"\s*[\w, ]+ : .*\bshape\b", line):
            entry, colon, kind = line.partition(" : ")
            kind = re.sub(r"(?<![`\w])([A-Za-z]\w*_)(?![`\w])", r"``\1``", kind)
            lines[k] = entry + colon + kind


def setup(app):
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", detach_inherited, priority=400)
    app.connect("autodoc-process-docstring", quote_attributes, priority=400)
    return {"parallel_read_safe": True}
