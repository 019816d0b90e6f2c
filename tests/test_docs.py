"""The documentation tells the truth: names, docstrings, examples, the README."""

import ast
import contextlib
import importlib.util
import inspect
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sparsestat

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def load(path):
    """Import a script of the documentation by its path."""
    for folder in (str(DOCS), str(DOCS / "_ext")):
        if folder not in sys.path:
            sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


names = load(DOCS / "public_names.py")
PUBLIC = {
    f"{module}.{name}": thing
    for module, found in names.public_names().items()
    for name, thing in found.items()
}


# Names


def test_every_subpackage_lists_its_names_in_order_and_without_repetition():
    for subpackage in sparsestat._SUBPACKAGES:
        module = getattr(sparsestat, subpackage)
        listed = list(module.__all__)
        assert listed == sorted(set(listed)), subpackage


def test_nothing_public_is_left_out_of_the_listing():
    # A name without underscore that lives in the package and stands in a
    # subpackage's namespace is public to its users, listed or not.
    for subpackage in sparsestat._SUBPACKAGES:
        module = getattr(sparsestat, subpackage)
        seen = {
            name
            for name, thing in vars(module).items()
            if not name.startswith("_")
            and (inspect.isclass(thing) or inspect.isroutine(thing))
        }
        assert seen <= set(module.__all__), subpackage


def test_the_api_pages_list_every_public_name():
    pages = load(DOCS / "_ext" / "api_pages.py").pages()
    for full_name in PUBLIC:
        module, _, name = full_name.rpartition(".")
        lines = [line.strip() for line in pages[f"{module}.rst"].splitlines()]
        assert name in lines, full_name
        assert f":ref:`{module} <" in pages["index.rst"]
        assert f":py:obj:`{name} <{full_name}>`" in pages["all.rst"]


def test_estimators_link_to_the_page_that_is_built_for_them(monkeypatch):
    assert not sparsestat.linear_model.Lasso()._get_doc_link()  # there is no site
    monkeypatch.setattr("sparsestat._utils.base._SITE", "https://site.example/")
    estimators = {n: t for n, t in PUBLIC.items() if names.role_of(t) == "Estimators"}
    for full_name, cls in estimators.items():
        if inspect.signature(cls).parameters and any(
            p.default is p.empty for p in inspect.signature(cls).parameters.values()
        ):
            continue
        expected = f"https://site.example/generated/{full_name}.html"
        assert cls()._get_doc_link() == expected


# Docstrings


def test_docstrings_of_all_public_names_are_valid():
    problems = load(DOCS / "validate_docstrings.py").find_problems()
    assert not problems, "\n".join(f"{k}: {v}" for k, v in problems.items())


def test_the_docstring_check_finds_faults():
    check = load(DOCS / "validate_docstrings.py")
    codes = {problem[:4] for problem in check.problems_of("json.dumps")}
    assert {"PR01", "RT01", "EX01"} <= codes
    left = {problem[:4] for problem in check.problems_of("json.dumps", {"RT01"})}
    assert left == codes - {"RT01"}


def test_fitted_attributes_and_parameters_are_the_documented_ones():
    """Every constructor parameter and every documented section is there."""
    from numpydoc.docscrape import ClassDoc

    for full_name, thing in PUBLIC.items():
        if names.role_of(thing) != "Estimators":
            continue
        doc = ClassDoc(thing)
        attributes = [a.name for a in doc["Attributes"]]
        assert attributes, f"{full_name} documents no attributes"
        for name in attributes:
            is_property = isinstance(inspect.getattr_static(thing, name, 0), property)
            assert name.endswith("_") or is_property, f"{full_name}: {name}"
        assert doc["References"] or doc["See Also"], full_name


# Examples


def test_examples_in_the_pages_run():
    pages = [str(p) for p in sorted(DOCS.rglob("*.rst")) if "_build" not in p.parts]
    skip = ("auto_examples", "generated", "gen_modules", "_templates")
    pages = [p for p in pages if not any(f"/{s}/" in p for s in skip)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"]
        + ["--doctest-glob=*.rst", *pages],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-5000:]


def test_the_gallery_shows_every_estimator():
    scripts = "\n".join(
        path.read_text(encoding="utf-8") for path in (DOCS / "examples").glob("*.py")
    )
    estimators = [n for n, t in PUBLIC.items() if names.role_of(t) == "Estimators"]
    shown = set(re.findall(r"\w+(?=\()", scripts))
    assert not [n for n in estimators if n.rpartition(".")[2] not in shown]


def readme_blocks():
    """Return the README's Python example and the output printed under it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    match = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", text, re.DOTALL)
    assert match, "README.md has no python block followed by a text block"
    return match.groups()


def same_output(expected, got):
    """Compare printed text; numbers agree to the digits that `expected` shows."""
    expected, got = expected.split(), got.split()
    if len(expected) != len(got):
        return False
    return all(same_token(e, g) for e, g in zip(expected, got, strict=True))


NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def same_token(expected, got):
    if NUMBER.sub("#", expected) != NUMBER.sub("#", got):
        return False
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(got), strict=True)
    return all(same_number(e, g) for e, g in pairs)


def same_number(expected, got):
    mantissa, _, exponent = expected.partition("e")
    digits = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - digits) if digits else 0.0
    return abs(float(expected) - float(got)) <= 1.5 * unit


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ("R2 0.482", "R2   0.4821", True),
        ("R2 0.482", "R2 0.490", False),
        ("12 features", "13 features", False),
        ("gap 3.1e-09", "gap 3.2e-09", True),
        ("gap 3.1e-09", "gap 3.1e-05", False),
        ("a b", "a", False),
    ],
)
def test_outputs_are_compared_to_the_digits_shown(expected, got, same):
    assert same_output(expected, got) is same


def test_the_readme_example_prints_what_the_readme_says():
    code, expected = readme_blocks()
    assert len(code.splitlines()) <= 25
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert same_output(expected, printed.getvalue()), printed.getvalue()


def test_the_readme_table_is_what_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text.partition("## Methods")[2].partition("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")]
    shown = set(re.findall(r"`(\w+)`", "\n".join(rows)))
    public = {full.rpartition(".")[2] for full in PUBLIC}
    modules = set(sparsestat._SUBPACKAGES)
    assert shown <= public | modules, f"not there: {shown - public - modules}"
    estimators = {
        n
        for f, t in PUBLIC.items()
        if names.role_of(t) == "Estimators"
        for n in [f.rpartition(".")[2]]
    }
    assert estimators <= shown, f"not in the table: {estimators - shown}"


def test_gallery_examples_parse_and_have_a_title():
    for path in (DOCS / "examples").glob("plot_*.py"):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert doc and re.match(r"=+\n.+\n=+\n|.+\n[=-]+\n", doc), path.name


# The performance page


def write_result(folder, name, **changes):
    content = {
        "name": name,
        "title": f"Title of {name}",
        "date": "2030-01-02T03:04:05",
        "environment": {"numpy": "2.4", "threads": 1},
        "claim": "Faster than x*y.",
        "columns": ["problem", "ours (s)", "won"],
        "rows": [["n=5 | p_2", 0.123456, True], ["big", None, False]],
        "notes": ["One note."],
    } | changes
    (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def test_benchmark_files_become_sections(tmp_path):
    reader = load(DOCS / "_ext" / "benchmark_results.py")
    write_result(tmp_path, "lasso")
    write_result(tmp_path, "zzz", notes=None, environment=None, date=None)
    write_result(tmp_path, "ragged", rows=[[1]])
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    results, problems = reader.read_results(tmp_path)
    assert [r["name"] for r in results] == ["lasso", "zzz"]
    assert sorted(p.partition(":")[0] for p in problems) == [
        "broken.json",
        "other.json",
        "ragged.json",
    ]
    text = "\n".join(reader.section(results[0]))
    for part in ("Title of lasso", "0.123", "2030-01-02", "numpy 2.4", "One note"):
        assert part in text
    assert r"Faster than x\*y." in text and r"n=5 \| p\_2" in text


def test_no_benchmark_files_are_no_results(tmp_path):
    reader = load(DOCS / "_ext" / "benchmark_results.py")
    assert reader.read_results(tmp_path / "missing") == ([], [])


def test_figures_are_quoted_from_the_tables_of_benchmarks():
    reader = load(DOCS / "_ext" / "benchmark_results.py")
    results = [
        {
            "name": "a",
            "columns": ["x", "y", "z"],
            "rows": [["p", "1", 2.5], ["q", 3, 4]],
        }
    ]
    assert reader.quote(results, "a; p; z") == "2.5"
    assert reader.quote(results, "a; * | 3; x") == "q"
    for text in ("b; p; z", "a; p; w", "a; *; z", "a; r; z", "a; p"):
        with pytest.raises(ValueError):
            reader.quote(results, text)


def test_stored_benchmark_results_are_readable():
    reader = load(DOCS / "_ext" / "benchmark_results.py")
    _, problems = reader.read_results(ROOT / "benchmarks" / "results")
    assert problems == []


def test_every_stored_result_is_on_one_page():
    pages = (DOCS / "performance").glob("*.rst")
    texts = [page.read_text(encoding="utf-8") for page in pages]
    listed = [
        name
        for text in texts
        for name in text.partition(".. benchmark-results::")[2].split()
    ]
    stored = {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    assert sorted(listed) == sorted(stored)


def test_bars_show_how_many_times_as_long_peers_take():
    reader = load(DOCS / "_ext" / "benchmark_results.py")
    rows = [
        ["d", "sparsestat", "3 ms", "1"],
        ["d", "a", "9 ms", "3"],
        ["d", "<b>", "1 ms", "0.5"],
        ["d", "c", "-", "-"],
        ["e", "a", "4 ms", "4 x"],
    ]
    result = {"columns": ["data", "library", "ms", "time / ours"], "rows": rows}
    assert reader.times_of(result) == [("d | a", 3.0), ("d | <b>", 0.5), ("e | a", 4.0)]
    chart = "\n".join(reader.bars(result))
    assert chart.count('class="won"') == 2 and chart.count('class="lost"') == 1
    assert "&lt;b&gt;" in chart
    assert reader.bars({"columns": ["data"], "rows": [["d"]] * 5}) == []


def test_references_become_bibtex_and_nothing_is_added():
    bibliography = load(DOCS / "_ext" / "bibliography.py")
    reference = (
        'A. X. Yang, M. Li et al., "On a & b", Journal of Things 12(3), 2019: part 2.'
    )
    fields = bibliography.fields_of(reference)
    assert fields == {
        "author": "A. X. Yang and M. Li and others",
        "title": "On a & b",
        "year": "2019",
        "howpublished": "Journal of Things 12(3)",
    }
    assert bibliography.bibtex(fields).startswith("@misc{yang2019b,\n  author = {A. X.")
    assert "\\&" in bibliography.bibtex(fields)
    assert bibliography.fields_of("no title, 2020.") is None
    keys = [text.partition(",")[0] for text in bibliography.all_entries()]
    assert len(keys) == len(set(keys)) > 100
    unread = [
        f"{name}: {reference}"
        for name, thing in PUBLIC.items()
        for reference in bibliography.references_of(thing)
        if bibliography.fields_of(reference) is None
    ]
    assert not unread


def test_charts_name_what_exists():
    charts = load(DOCS / "_ext" / "charts.py")
    known = {name.rpartition(".")[2] for name in PUBLIC}
    for _, cases in charts.METHODS:
        for _, methods, page in cases:
            listed = methods.removesuffix(" and its relatives").split(", ")
            assert set(listed) <= known
            assert (DOCS / "user_guide" / f"{page}.rst").exists()
    drawing = charts.wide("user_guide/") + charts.narrow("user_guide/")
    assert drawing.count('href="user_guide/glm.html"') == 4


def test_notebooks_become_pages_with_their_outputs():
    nbformat = pytest.importorskip("nbformat")
    pages = load(DOCS / "_ext" / "notebook_pages.py")
    new = nbformat.v4
    cell = new.new_code_cell("print(1)\nframe")
    cell.outputs = [
        new.new_output("stream", name="stdout", text="1"),
        new.new_output("stream", name="stderr", text="compiling"),
        new.new_output("stream", name="stdout", text="\n2\n"),
        new.new_output("execute_result", {"text/html": "<b>x</b>", "text/plain": "x"}),
        new.new_output("display_data", {"image/png": "aGk=", "text/plain": "Figure"}),
    ]
    notebook = new.new_notebook(cells=[new.new_markdown_cell("# Title"), cell])
    text, images = pages.page(notebook, "01_a")
    assert text.startswith("# Title\n") and "\n1\n2\n`````" in text
    assert "<b>x</b>" in text and "compiling" not in text
    assert list(images.values()) == [b"hi"] and f"images/{next(iter(images))}" in text


def test_every_page_of_the_guide_shows_a_figure():
    without = {"index", "citing", "glossary"}
    for page in sorted((DOCS / "user_guide").glob("*.rst")):
        text = page.read_text(encoding="utf-8")
        shows = re.search(r"^\.\. (figure|image|chart):: ", text, re.MULTILINE)
        assert shows or page.stem in without, page.name


def test_one_version_stands_everywhere():
    version = sparsestat.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    recipe = (ROOT / "packaging" / "conda" / "meta.yaml").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in citation
    assert f'"SPARSESTAT_VERSION", "{version}"' in recipe
    # The changelog may be ahead of the version, not behind it.
    assert re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", changes, re.M)


def test_the_readme_points_to_what_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert "docs/_static/lasso_path.png" in targets
    assert not [t for t in targets if not (ROOT / t).exists()]
