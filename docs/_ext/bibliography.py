"""BibTeX of what the docstrings cite, method by method.

The directive ``bibliography`` lists for each public name the references of its
docstring as BibTeX, and the build writes all of them to ``sparsestat.bib``. Nothing is
added to what a docstring says: who, what, and, as ``howpublished``, where.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
import re
import unicodedata
from pathlib import Path

from docutils.statemachine import StringList
from numpydoc.docscrape import ClassDoc, FunctionDoc
from public_names import public_names
from sphinx.util.docutils import SphinxDirective

ENTRY = re.compile(r'(?P<authors>[^"]+), "(?P<title>[^"]+)", (?P<where>.+?)\.?')
YEAR = re.compile(r",? (?P<year>(?:19|20)\d\d)\b(?P<rest>.*)")
SHORT_WORDS = {"a", "an", "the", "on", "of", "for", "in", "to"}


def references_of(thing):
    """Return the references in the docstring of a class or function, one line each."""
    doc = ClassDoc(thing) if inspect.isclass(thing) else FunctionDoc(thing)
    parts = re.split(r"^\s*\.\. \[\w+\]", "\n".join(doc["References"]), flags=re.M)
    return [line for part in parts if (line := " ".join(part.split()))]


def fields_of(reference):
    """Return the fields of a reference, None if it is not of the usual form."""
    found = ENTRY.fullmatch(reference)
    if found is None:
        return None
    authors = found["authors"].replace(" et al.", ", others")
    fields = {
        "author": " and ".join(re.split(r", (?!Jr)", authors)),
        "title": found["title"].rstrip(","),
    }
    where = found["where"].partition(": ``")[0]
    years = list(YEAR.finditer(" " + where))
    if years:
        fields["year"] = years[-1]["year"]
        where = (" " + where)[: years[-1].start()].strip(" ,")
    if where:
        fields["howpublished"] = where
    return fields


def key_of(fields):
    """Return a key: the first family name, the year, a word of the title."""
    first = fields["author"].partition(" and ")[0].split()[-1]
    words = re.findall(r"\w+", fields["title"].lower())
    word = next((w for w in words if w not in SHORT_WORDS), "")
    plain = unicodedata.normalize("NFKD", first + fields.get("year", "") + word)
    return re.sub(r"\W", "", plain.encode("ascii", "ignore").decode()).lower()


def bibtex(fields):
    """Return one entry."""
    title = fields | {"title": "{" + fields["title"] + "}"}
    inner = [
        f"  {name} = {{{value.replace('&', chr(92) + '&')}}},"
        for name, value in title.items()
    ]
    return "\n".join([f"@misc{{{key_of(fields)},", *inner, "}"])


def entries():
    """Return ``{module: {name: list of BibTeX entries}}`` of what cites anything."""
    found = {}
    for module, names in public_names().items():
        for name, thing in sorted(names.items()):
            fields = [fields_of(line) for line in references_of(thing)]
            texts = [bibtex(each) for each in fields if each]
            if texts:
                found.setdefault(module, {})[name] = texts
    return found


def all_entries():
    """Return every entry once, in the order of the keys."""
    texts = {
        text.partition(",")[0].lower(): text
        for names in entries().values()
        for listed in names.values()
        for text in listed
    }
    return [texts[key] for key in sorted(texts)]


class Bibliography(SphinxDirective):
    """Insert a section for each module, a folded block for each name."""

    def run(self):
        lines = []
        for module, names in entries().items():
            lines += [module, "-" * len(module), ""]
            for name, texts in names.items():
                lines += [
                    f".. dropdown:: {name}",
                    "",
                    f"   :py:obj:`{module}.{name}`",
                    "",
                ]
                lines += ["   .. code-block:: bibtex", ""]
                block = "\n\n".join(texts)
                lines += [f"      {line}".rstrip() for line in block.splitlines()]
                lines.append("")
        return self.parse_text_to_nodes(
            StringList(lines, source="docstrings"), allow_section_headings=True
        )


def write_bib(app, exception):
    if exception is None and app.builder.format == "html":
        header = "% What the methods of sparsestat rest on, from their docstrings.\n\n"
        path = Path(app.outdir) / "sparsestat.bib"
        path.write_text(header + "\n\n".join(all_entries()) + "\n", encoding="utf-8")


def setup(app):
    app.add_directive("bibliography", Bibliography)
    app.connect("build-finished", write_bib)
    return {"parallel_read_safe": True}
