"""The tour: every family fits real data, next to its peers, in one report.

A family adds its section as one module in this folder, which defines

- ``NAME``: short name for ``--only``, e.g. ``"sparse_regression"``;
- ``TITLE``: heading of the section;
- ``ORDER``: position in the report;
- ``N_STEPS``: number of times ``run`` calls its argument, for the progress bar;
- ``run(progress)``: calls ``progress(text)`` as each step begins and returns a
  :class:`~sparsestat._tour._section.SectionResult`.

Modules whose name starts with an underscore are not sections.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib
import importlib.util
import pkgutil
import time
from pathlib import Path

__all__ = ["MissingExtrasError", "run_tour", "sections"]

_NEEDED = ("jinja2", "matplotlib", "rich")


class MissingExtrasError(ImportError):
    """The packages of the extra ``demo`` are not installed."""


def sections():
    """Return the section modules, in the order of the report."""
    modules = [
        importlib.import_module(f"{__name__}.{info.name}")
        for info in pkgutil.iter_modules(__path__)
        if not info.name.startswith("_")
    ]
    return sorted(modules, key=lambda module: (module.ORDER, module.NAME))


def run_tour(output="sparsestat-tour.html", only=None):
    """Run the sections, print their tables and write the HTML report.

    Parameters
    ----------
    output : str or path-like, default="sparsestat-tour.html"
        File of the report.
    only : sequence of str, default=None
        Names of the sections to run; None or an empty sequence runs all.

    Returns
    -------
    results : dict
        From the name of each section to its ``SectionResult``.

    Raises
    ------
    MissingExtrasError
        If the packages that draw the report are missing.
    ValueError
        If a name in `only` is unknown.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtrasError(
            f"The tour needs {', '.join(missing)} for its tables and plots. Install "
            "what is missing with: pip install 'sparsestat[demo]'."
        )
    output = Path(output)
    if not output.parent.is_dir():
        raise ValueError(
            f"The folder {output.parent} does not exist; the report cannot be "
            "written there. Create it first or choose another output file."
        )
    chosen = _choose(only)

    import matplotlib

    from sparsestat._tour._report import write_report
    from sparsestat._tour._terminal import new_console, print_section, step_bar

    console = new_console()
    start, results = time.perf_counter(), {}
    before = matplotlib.get_backend()
    matplotlib.use("Agg")  # figures go to the file, never to a window
    try:
        with step_bar(console, sum(m.N_STEPS for m in chosen)) as progress:
            for module in chosen:
                results[module.NAME] = module.run(progress)
        seconds = time.perf_counter() - start
        write_report(
            output,
            [(module.NAME, module.TITLE, results[module.NAME]) for module in chosen],
            seconds,
        )
    finally:
        _close_figures(results)
        matplotlib.use(before)
    for module in chosen:
        print_section(console, module.TITLE, results[module.NAME])
    console.print(f"\nReport: [bold]{output}[/bold] ({seconds:.0f} s)")
    return results


def _choose(only):
    modules = sections()
    if not only:
        return modules
    names = [module.NAME for module in modules]
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise ValueError(
            f"Unknown sections {unknown}. Expected a subset of {sorted(names)}."
        )
    return [module for module in modules if module.NAME in only]


def _close_figures(results):
    import matplotlib.pyplot as plt

    for result in results.values():
        for plot in result.plots:
            plt.close(plot.figure)
