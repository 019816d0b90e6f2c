"""The tour runs, proves its answers and writes one self-contained file."""

import importlib.util
import io
import re
import warnings
from pathlib import Path

import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsestat import _tour
from sparsestat.__main__ import main
from sparsestat._tour import MissingExtrasError, run_tour, sections
from sparsestat._tour._section import Mark, Plot, SectionResult, Table
from sparsestat._tour._terminal import print_section

pytest.importorskip("jinja2")
pytest.importorskip("rich")
matplotlib = pytest.importorskip("matplotlib")


class ToySection:
    NAME = "toy"
    TITLE = "A <toy> section"
    ORDER = 1
    N_STEPS = 2
    GUIDE = "clustering"
    CODE = "assert 1 < 2"

    @staticmethod
    def run(progress):
        import matplotlib.pyplot as plt

        progress("first")
        progress("second")
        figure, ax = plt.subplots()
        ax.plot([1, 2])
        table = Table(
            ("data", "estimator", "certificate"),
            (
                ("a & b", "Good", Mark("1e-9", True, certified=True)),
                ("c", "Bad", Mark("1e-2", False, certified=True)),
                ("d", "Peer", Mark("found", True)),
            ),
            "How it was measured.",
        )
        return SectionResult("Two & a half.", table, Plot(figure, 'A "line"'), "a < b")


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(_tour, "sections", lambda: [ToySection])


def assert_self_contained(html):
    for attribute in re.findall(r"""(?:src|href|action)\s*=\s*["']([^"']*)""", html):
        # The guide, where it is built, is a page beside the package.
        assert attribute.startswith(("data:", "#", "file:")), attribute[:80]
    assert "@import" not in html and "url(" not in html
    assert "<script" not in html


def test_report_is_one_escaped_self_contained_file(toy, tmp_path, capsys):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    results = run_tour(tmp_path / "report.html")
    assert list(results) == ["toy"]
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert_self_contained(html)
    assert "A &lt;toy&gt; section" in html and "Two &amp; a half." in html
    assert html.count("<figure ") == 1 and "data:image/svg+xml;base64," in html
    assert 'class="good">1e-9 ✓' in html and 'class="bad">1e-2 ✗' in html
    assert "1 of 2 certificates are satisfied" in html
    assert "assert 1 &lt; 2" in html and "user guide" in html
    assert 'data-label="estimator"' in html  # rows become cards on a phone
    assert "scikit-learn" in html and "numba" in html
    assert plt.get_fignums() == before
    printed = capsys.readouterr().out
    assert (
        "1 of 2 certificates satisfied" in printed and "toy> section: a < b" in printed
    )
    assert "1e-9 ✓" in printed and "report.html" in printed


def test_sections_are_complete():
    found = sections()
    assert [m.ORDER for m in found] == sorted(m.ORDER for m in found)
    assert "sparse_regression" in [m.NAME for m in found]
    assert len({m.NAME for m in found}) == len(found)
    for module in found:
        assert module.__name__.rsplit(".", 1)[1] == module.NAME
        assert module.TITLE and module.N_STEPS >= 1 and callable(module.run)
        guide = Path(__file__).parents[1] / "docs" / "user_guide"
        assert (guide / f"{module.GUIDE}.rst").exists()
        assert max(len(line) for line in module.CODE.splitlines()) <= 60


@pytest.mark.parametrize("module", sections(), ids=lambda module: module.NAME)
def test_the_code_beside_a_section_runs(module, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        exec(module.CODE, {})
    assert capsys.readouterr().out.strip()


def test_unknown_section_and_folder(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Unknown sections"):
        run_tour(tmp_path / "x.html", only=["nonsense"])
    with pytest.raises(ValueError, match="does not exist"):
        run_tour(tmp_path / "missing" / "x.html")
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(ValueError, match=r"cannot be written .* --output"):
        run_tour(tmp_path / "x.html")


def test_missing_extras_are_named(monkeypatch, tmp_path, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "rich" else real(name, *rest),
    )
    with pytest.raises(MissingExtrasError, match=r"needs rich .*sparsestat\[demo\]"):
        run_tour(tmp_path / "x.html")
    assert main(["tour", "--output", str(tmp_path / "x.html")]) == 1
    assert "pip install" in capsys.readouterr().err


def test_rows_must_fit_the_columns():
    with pytest.raises(ValueError, match="2 cells but the table 1 columns"):
        Table(("a",), (("x", "y"),))


@pytest.mark.slow
def test_sparse_regression_section(tmp_path, capsys):
    output = tmp_path / "tour.html"
    assert main(["tour", "--output", str(output), "--only", "sparse_regression"]) == 0
    html = output.read_text(encoding="utf-8")
    assert_self_contained(html)
    assert html.count("<figure ") == 1 and html.count("<table>") == 1
    # Every answer met its tolerance.
    assert html.count('class="good"') == 5 and 'class="bad"' not in html
    assert len(html) < 3_000_000
    printed = capsys.readouterr().out
    assert "MultiTaskLasso" in printed and "tour.html" in printed


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_sections_print_on_any_console(encoding):
    console_module = pytest.importorskip("rich.console")
    bytes_written = io.BytesIO()
    stream = io.TextIOWrapper(bytes_written, encoding=encoding)
    table = Table(("σ ≤ 1", "good"), [("a → b", Mark("1e-9", True))], note="≤ tol")
    console = console_module.Console(file=stream, width=100)
    print_section(console, "Sparse ≥ dense", SectionResult("It is ≤ tol.", table, None))
    stream.flush()
    text = bytes_written.getvalue().decode(encoding)
    assert ("1e-9 yes" in text) == (encoding != "utf-8")
    assert ("≤" in text) == (encoding == "utf-8")
