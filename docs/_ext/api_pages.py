"""Write the API pages from the package: one for each subpackage, and the front page.

The pages go to docs/api/, which is not kept under version control. autosummary
turns their listings into one page a name, under docs/generated/.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
from pathlib import Path

from public_names import public_names, role_of, title_of

ROLES = ("Estimators", "Classes", "Functions", "Exceptions and warnings")


def heading(text, underline):
    return f"{text}\n{underline * len(text)}\n"


def listing(module, names):
    """Return an autosummary block for some names of a module."""
    lines = [f".. currentmodule:: {module}", "", ".. autosummary::"]
    lines += ["   :toctree: ../generated/", "   :nosignatures:", ""]
    return "\n".join([*lines, *(f"   {name}" for name in names), ""])


def module_page(module, names):
    """Return the page of one subpackage."""
    parts = [
        f".. _api_{module.replace('.', '_')}:\n",
        heading(module, "="),
        f".. py:module:: {module}\n",
        f"{title_of(module)}.\n",
    ]
    by_role = {role: [n for n in names if role_of(names[n]) == role] for role in ROLES}
    for role, members in by_role.items():
        if members:
            parts += [heading(role, "-"), listing(module, sorted(members))]
    return "\n".join(parts)


def front_page(modules):
    """Return the page that leads to all subpackages."""
    rows = [
        f"   * - :ref:`{module} <api_{module.replace('.', '_')}>`\n"
        f"     - {title_of(module)}\n"
        f"     - {len(names)}"
        for module, names in modules.items()
    ]
    table = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 30 60 10",
        "",
        "   * - Module",
        "     - Contents",
        "     - Names",
        *rows,
        "",
    ]
    # The navigation has no room for long names: linear_model says it.
    entries = [f"   {m.rpartition('.')[2]} <{m}>" for m in modules]
    toctree = [".. toctree::", "   :hidden:", "", "   All names <all>", *entries, ""]
    return "\n".join(
        [
            ".. _api:\n",
            heading("API reference", "="),
            "Everything public, module by module. What is not listed here is private "
            "and may change without notice. :ref:`api_all` are on one page, with a "
            "line about each.\n",
            *table,
            *toctree,
        ]
    )


def summary_of(thing):
    """Return the first line of a docstring, as plain text."""
    line = (inspect.getdoc(thing) or "").partition("\n")[0]
    # Quotation marks of the directive's own text stay as they are.
    return line.replace("*", "\\*")


def all_names_page(modules):
    """Return the page that lists every public name with its summary."""
    found = sorted(
        (name.lower(), name, module, thing)
        for module, names in modules.items()
        for name, thing in names.items()
    )
    lines = [
        ".. _api_all:\n",
        heading("All names", "="),
        f"The {len(found)} public names in the order of the alphabet.\n",
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 34 48 18",
        "   :class: all-names",
        "",
        "   * - Name",
        "     - What it is",
        "     - Module",
    ]
    for _, name, module, thing in found:
        page = f"api_{module.replace('.', '_')}"
        lines += [
            f"   * - :py:obj:`{name} <{module}.{name}>`",
            f"     - {summary_of(thing)}",
            f"     - :ref:`{module.rpartition('.')[2]} <{page}>`",
        ]
    return "\n".join([*lines, ""])


def pages():
    """Return ``{file name: text}`` of all API pages."""
    modules = {module: names for module, names in public_names().items() if names}
    texts = {f"{m}.rst": module_page(m, names) for m, names in modules.items()}
    others = {"index.rst": front_page(modules), "all.rst": all_names_page(modules)}
    return others | texts


def write_pages(app):
    """Write the pages that changed; an unchanged file keeps its time stamp."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    texts = pages()
    for stale in {p.name for p in folder.glob("*.rst")} - set(texts):
        (folder / stale).unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app):
    # Before the environment looks which documents there are.
    app.connect("config-inited", lambda app, config: write_pages(app))
    return {"parallel_read_safe": True}
