"""The notebooks as pages, with what they print and draw.

Notebooks are stored without outputs. Before the pages are read, those whose outputs
are not at hand are run, without network, and their cells written as MyST to
docs/notebooks/, which is not kept under version control. Outputs are kept in
docs/_build/notebooks/ until a notebook or the version changes.
``python docs/_ext/notebook_pages.py`` runs them all anew and says how long each took.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import base64
import hashlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
KEPT = DOCS / "_build" / "notebooks"
TIMEOUT = 600


def notebooks():
    """Return the paths of the notebooks, in their order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def kept(path):
    """Return where the outputs of a notebook are kept."""
    import sparsestat

    content = path.read_bytes() + sparsestat.__version__.encode()
    return KEPT / f"{path.stem}-{hashlib.sha256(content).hexdigest()[:16]}.ipynb"


def run(path):
    """Run a notebook, keep it with its outputs, and return the seconds it took.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    start = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    # Figures go into the notebook, whatever the caller draws to.
    env = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=40"],  # errors
    )
    client.execute(env=env)
    KEPT.mkdir(parents=True, exist_ok=True)
    for stale in KEPT.glob(f"{path.stem}-*.ipynb"):
        stale.unlink()
    nbformat.write(notebook, kept(path))
    return time.perf_counter() - start


def run_all(paths):
    """Run notebooks, as many at once as there are cores; yield ``(path, seconds)``."""
    from joblib import cpu_count

    with ThreadPoolExecutor(cpu_count()) as pool:
        yield from zip(paths, pool.map(run, paths), strict=True)


def fenced(directive, argument, text, options=()):
    """Return a MyST directive around a text that may hold fences itself."""
    head = f"`````{{{directive}}} {argument}"
    return "\n".join([head, *options, "", text.rstrip("\n"), "`````", ""])


def output(data, name, images):
    """Return one result of a cell as MyST, "" for what a page does not show."""
    if "image/png" in data:
        images[f"{name}.png"] = base64.b64decode(data["image/png"])
        alt = f"What the cell above draws ({name.partition('-')[2]})."
        return f"![{alt}](images/{name}.png)\n"
    if "text/html" in data:
        return fenced(
            "raw", "html", f'<div class="cell-html">{data["text/html"]}</div>'
        )
    text = data.get("text/plain", "")
    return fenced("code-block", "none", text, [":class: cell-output"]) if text else ""


def page(notebook, stem):
    """Return ``(text, images)`` of one notebook with outputs."""
    parts, images = [], {}
    for k, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source + "\n")
        elif cell.cell_type == "code":
            parts.append(fenced("code-block", "python", cell.source))
            # What is printed in pieces is one text.
            printed = [o.text for o in cell.outputs if o.get("name") == "stdout"]
            if printed:
                data = {"text/plain": "".join(printed)}
                parts.append(output(data, f"{stem}-{k}", images))
            for m, result in enumerate(o for o in cell.outputs if "data" in o):
                parts.append(output(result.data, f"{stem}-{k}-{m}", images))
    return "\n".join(parts), images


INDEX = """.. _notebooks:

Tutorials
=========

Notebooks on real data, one for each part of the package, as the build of these pages
ran them. They stand in the folder ``notebooks`` of the repository.

.. toctree::
   :maxdepth: 1

"""


def write_pages(app):
    """Write the pages that changed; an unchanged file keeps its time stamp."""
    import nbformat

    for _ in run_all([path for path in notebooks() if not kept(path).exists()]):
        pass
    folder = DOCS / "notebooks"
    files = {}
    for path in notebooks():
        text, images = page(nbformat.read(kept(path), as_version=4), path.stem)
        files[f"{path.stem}.md"] = text.encode()
        files |= {f"images/{name}": content for name, content in images.items()}
    entries = "".join(f"   {path.stem}\n" for path in notebooks())
    files["index.rst"] = (INDEX + entries).encode()
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for stale in (p for p in folder.rglob("*") if p.is_file()):
        if str(stale.relative_to(folder)) not in files:
            stale.unlink()
    for name, content in files.items():
        target = folder / name
        if not target.exists() or target.read_bytes() != content:
            target.write_bytes(content)


def setup(app):
    # Before the environment looks which documents there are.
    app.connect("config-inited", lambda app, config: write_pages(app))
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    for path, seconds in run_all(notebooks()):
        print(f"{path.name}: {seconds:.0f} s", flush=True)
    print(f"{len(notebooks())} notebooks ran")
    sys.exit(0)
