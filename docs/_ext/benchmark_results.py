"""Tables and single figures from benchmarks/results/*.json.

The directive ``benchmark-results`` gives each file named in its content one section,
with its claim, a chart where a column says how many times as long peers take, its
table, the environment and the date. Without any file it says how to make one.

The role ``measured`` quotes one cell, so that no figure is copied by hand::

    :measured:`lasso; dense 500 x 5000, rho 0.5 | alpha_max / 10 | sparsestat; ms`

names the file, the first cells of the row (``*`` for any) and the column.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import html
import json
import math
import re
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.util.docutils import SphinxDirective, SphinxRole

MISSING = """
.. note::

   No results are stored in this copy. Run ``make bench``, or
   ``python -m benchmarks NAME`` for one table, and build the documentation again.
"""


def read_results(folder):
    """Return the readable result files of a folder, and what is wrong with others.

    Parameters
    ----------
    folder : path-like
        Holds the JSON files; may be missing.

    Returns
    -------
    results : list of dict
        Sorted by name, each with every key of the layout filled in.
    problems : list of str
        One line for each file that could not be used.
    """
    results, problems = [], []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            columns = [str(c) for c in content["columns"]]
            rows = [list(row) for row in content["rows"]]
            if not columns or any(len(row) != len(columns) for row in rows):
                raise ValueError(f"rows must have {len(columns)} cells like `columns`")
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path.name}: {type(error).__name__}: {error}")
            continue
        name = str(content.get("name") or path.stem)
        notes = content.get("notes") or []
        results.append(
            {
                "name": name,
                "title": str(content.get("title") or name),
                "date": str(content.get("date") or "unknown date")[:10],
                "environment": dict(content.get("environment") or {}),
                "claim": str(content.get("claim") or ""),
                "columns": columns,
                "rows": rows,
                "notes": [notes] if isinstance(notes, str) else [str(n) for n in notes],
            }
        )
    return results, problems


DASH = "–"


def cell(value):
    """Return the text of one cell: three digits of a number, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
    return " ".join(str(value).split())


def escape(text):
    """Return text that reStructuredText shows as it is."""
    return "".join("\\" + c if c in "\\*`|_<>:" else c for c in text)


def section(result):
    """Return one result as reStructuredText."""
    lines = [f".. _benchmark_{result['name']}:", ""]
    lines += [result["title"], "-" * max(4, len(result["title"])), ""]
    if result["claim"]:
        lines += [escape(result["claim"]), ""]
    if chart := bars(result):
        lines += [".. raw:: html", "", *(f"   {line}" for line in chart), ""]
    lines += [".. list-table::", "   :header-rows: 1", "   :class: benchmark", ""]
    for row in [result["columns"], *result["rows"]]:
        # A lone dash or star would start a list inside the cell.
        cells = [
            DASH if cell(value) in ("-", "*", "+") else escape(cell(value))
            for value in row
        ]
        lines += [f"   {'* -' if k == 0 else '  -'} {c}" for k, c in enumerate(cells)]
    lines.append("")
    lines += [f"- {escape(' '.join(note.split()))}" for note in result["notes"]]
    lines.append("")
    environment = "; ".join(
        f"{escape(str(k))} {escape(cell(v))}" for k, v in result["environment"].items()
    )
    lines += [
        f"*Measured on {escape(result['date'])} with* ``python -m benchmarks "
        f"{result['name']}``" + (f": {environment}." if environment else "."),
        "",
    ]
    return lines


# Columns that say how many times as long the peer of a row takes, or one peer in all.
TIMES = (
    "time / ours",
    "CPU / ours",
    "times faster",
    "emd / ours",
    "regot / ours",
    "ratio",
    "x scipy",
    "x peer",
)
MOST_BARS = 24
NUMBER = re.compile(r"[-+\[]?\d[-+\d.,e±% \[\]]*(ms|s)?|yes|no|")


def times_of(result):
    """Return ``(label, ratio)`` of each row that compares with a peer."""
    columns = result["columns"]
    column = next((c for c in TIMES if c in columns), None)
    if column is None:
        return []
    at = columns.index(column)
    found = []
    for row in result["rows"]:
        text = [
            part for part in map(cell, row[: min(at, 3)]) if not NUMBER.fullmatch(part)
        ]
        try:
            ratio = float(cell(row[at]).rstrip("x times"))
        except ValueError:
            continue
        ours = any(part.startswith(("sparsestat", "ours")) for part in text)
        if ratio > 0 and not ours and ratio != 1:
            found.append((" | ".join(text), ratio))
    return found


def bars(result):
    """Return a chart of these ratios as lines of HTML, none for fewer than three."""
    found = times_of(result)
    if len(found) < 3:
        return []
    # Of many rows those at even ranks stay, the lowest and the highest among them.
    found.sort(key=lambda pair: -pair[1])
    if len(found) > MOST_BARS:
        ranks = [
            round(k * (len(found) - 1) / (MOST_BARS - 1)) for k in range(MOST_BARS)
        ]
        found = [found[k] for k in ranks]
    logs = [math.log2(ratio) for _, ratio in found]
    left, right = min(0.0, *logs), max(0.0, *logs)
    scale = 100.0 / (right - left)
    lines = ['<div class="bars" role="img" aria-label="times as long as ours">']
    for (label, ratio), log in zip(found, logs, strict=True):
        start, width = (min(log, 0.0) - left) * scale, abs(log) * scale
        kind = "won" if ratio > 1 else "lost"
        lines.append(
            f'<div class="bar"><span class="label">{html.escape(label)}</span>'
            f'<span class="track"><span class="{kind}" style="margin-left:{start:.1f}%;'
            f'width:{max(width, 0.4):.1f}%"></span></span>'
            f'<span class="value">{ratio:.3g}</span></div>'
        )
    return [*lines, "</div>"]


def quote(results, text):
    """Return the cell that ``name; cell | cell; column`` names.

    Raises
    ------
    ValueError
        If the file, the column or the row does not exist, or the row is not alone.
    """
    parts = [part.strip() for part in text.split(";")]
    if len(parts) != 3:
        raise ValueError(f"expected 'name; cell | cell; column', got {text!r}")
    name, row, column = parts
    found = [result for result in results if result["name"] == name]
    if not found:
        raise ValueError(f"there is no result {name!r}")
    columns = found[0]["columns"]
    if column not in columns:
        raise ValueError(f"{name} has no column {column!r} but {columns}")
    wanted = [part.strip() for part in row.split("|")]
    rows = [
        cells
        for cells in found[0]["rows"]
        if all(w in ("*", cell(c)) for w, c in zip(wanted, cells, strict=False))
    ]
    if len(rows) != 1:
        raise ValueError(f"{len(rows)} rows of {name} begin with {wanted}, not one")
    return cell(rows[0][columns.index(column)])


class Measured(SphinxRole):
    """Insert one cell of a benchmark's table, linked to the table."""

    def run(self):
        folder = Path(self.env.srcdir).parent / "benchmarks" / "results"
        try:
            text = quote(read_results(folder)[0], self.text)
        except ValueError as error:
            message = self.inliner.reporter.warning(
                f"measured: {error}", line=self.lineno
            )
            return [], [message]
        name = self.text.split(";")[0].strip()
        self.env.note_dependency(str(folder / f"{name}.json"))
        link = pending_xref(
            "",
            nodes.inline(text, text),
            refdomain="std",
            reftype="ref",
            reftarget=f"benchmark_{name}",
            refexplicit=True,
            refwarn=True,
            refdoc=self.env.docname,
        )
        return [link], []


class BenchmarkResults(SphinxDirective):
    """Insert a section for every file in benchmarks/results."""

    has_content = True

    def run(self):
        folder = Path(self.env.srcdir).parent / "benchmarks" / "results"
        results, problems = read_results(folder)
        for path in folder.glob("*.json"):
            self.env.note_dependency(str(path))
        for problem in problems:
            self.state_machine.reporter.warning(
                f"benchmark result not usable: {problem}", line=self.lineno
            )
        names = " ".join(self.content).split()
        found = {result["name"]: result for result in results}
        for unknown in set(names) - set(found) if results else ():
            self.state_machine.reporter.warning(
                f"benchmark-results: there is no result {unknown!r}", line=self.lineno
            )
        lines = [
            line for name in names if name in found for line in section(found[name])
        ]
        text = StringList(lines or MISSING.splitlines(), source=str(folder))
        node = nodes.section()
        node.document = self.state.document
        self.state.nested_parse(text, self.content_offset, node, match_titles=1)
        return node.children


def setup(app):
    app.add_directive("benchmark-results", BenchmarkResults)
    app.add_role("measured", Measured())
    return {"parallel_read_safe": True}
