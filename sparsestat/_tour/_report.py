"""The HTML report: one file, no outside resources."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import base64
import os
import platform
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import sparsestat
from sparsestat._tour._section import Mark

__all__ = ["environment", "render_report", "write_report"]

_PIXELS_AN_INCH = 100


def environment():
    """Return the versions and the machine that the numbers belong to."""
    facts = {
        "sparsestat": sparsestat.__version__,
        "Python": platform.python_version(),
    }
    for name in ("numpy", "scipy", "scikit-learn", "numba"):
        facts[name] = version(name)
    facts["machine"] = f"{platform.system()} {platform.machine()}"
    facts["cores"] = str(os.cpu_count())
    return facts


def render_report(parts, seconds):
    """Return the report as a string.

    Parameters
    ----------
    parts : list of tuple
        ``(module, SectionResult)`` of each section.
    seconds : float
        Duration of the tour.
    """
    import jinja2

    source = files("sparsestat._tour").joinpath("report.html").read_text("utf-8")
    template = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).from_string(source)
    return template.render(
        parts=[
            {
                "name": module.NAME,
                "title": module.TITLE,
                "code": getattr(module, "CODE", "").strip(),
                "guide": _guide(getattr(module, "GUIDE", "")),
                "finding": result.finding,
                "glance": result.glance,
                "certificates": result.certificates,
                "table": result.table,
                "plot": {
                    "source": _inline(result.plot.figure),
                    "caption": result.plot.caption,
                    # Letters come out alike, however large a figure was drawn.
                    "width": round(_PIXELS_AN_INCH * result.plot.figure.get_figwidth()),
                },
            }
            for module, result in parts
        ],
        shown=sum(result.certificates[0] for _, result in parts),
        satisfied=sum(result.certificates[1] for _, result in parts),
        environment=environment(),
        date=datetime.now().strftime("%Y-%m-%d %H:%M"),
        seconds=f"{seconds:.0f}",
        is_mark=lambda cell: isinstance(cell, Mark),
    )


def _guide(page):
    """Return the address of a page of the guide where it is built, and its source."""
    if not page:
        return None
    docs = Path(sparsestat.__file__).resolve().parents[1] / "docs"
    built = docs / "_build" / "html" / "user_guide" / f"{page}.html"
    address = built.as_uri() if built.exists() else ""
    return {"address": address, "source": f"docs/user_guide/{page}.rst"}


def write_report(output, parts, seconds):
    """Write the report to a file."""
    output.write_text(render_report(parts, seconds), encoding="utf-8")


def _inline(figure):
    """Return a figure as an SVG in a data address, sharp at every width."""
    import matplotlib

    buffer = BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    code = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/svg+xml;base64,{code}"
