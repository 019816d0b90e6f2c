"""The tour: a short article about every family, written from fits made just now.

A family adds its section as one module in this folder, which defines

- ``NAME``: short name for ``--only``, e.g. ``"sparse_regression"``;
- ``TITLE``: heading of the section;
- ``ORDER``: position in the report;
- ``GUIDE``: the page of the user guide that treats it;
- ``CODE``: a few lines that do the like, and run;
- ``N_STEPS``: number of times ``run`` calls its argument, for the progress bar;
- ``run(progress)``: calls ``progress(text)`` as each step begins and returns a
  :class:`~sparsestat._tour._section.SectionResult`: one sentence, one table, one plot,
  and the result in a few words.

Modules whose name starts with an underscore are not sections. Several sections run
side by side, each in a process of its own: from a cold cache most of the time goes to
compiling, which one process cannot share among cores.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib
import importlib.util
import os
import pkgutil
import time
from contextlib import contextmanager
from pathlib import Path

from joblib import Parallel, cpu_count, delayed

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
        If a name in `only` is unknown, or the report cannot be written.
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
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise ValueError(
            f"The report cannot be written to {output}: permission is denied. Choose "
            "another output file, on the command line with --output."
        )
    chosen = _choose(only)

    from sparsestat._tour._report import write_report
    from sparsestat._tour._terminal import (
        new_console,
        print_section,
        print_summary,
    )

    console = new_console()
    start, results = time.perf_counter(), {}
    try:
        with _figures_to_files():
            results = _run(chosen, console)
            seconds = time.perf_counter() - start
            write_report(
                output,
                [(module, results[module.NAME]) for module in chosen],
                seconds,
            )
    finally:
        _close_figures(results)
    for module in chosen:
        print_section(console, module.TITLE, results[module.NAME])
    print_summary(console, [(module.TITLE, results[module.NAME]) for module in chosen])
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


def _run(modules, console):
    """Return the results of the sections by name, the longest begun first."""
    from sparsestat._tour._terminal import step_bar

    n_jobs = min(cpu_count(), len(modules))
    with step_bar(console, sum(m.N_STEPS for m in modules)) as progress:
        if n_jobs == 1:
            return {m.NAME: m.run(progress.step) for m in modules}
        progress.advance(0, f"{len(modules)} sections, {n_jobs} at a time")
        results = {}
        longest_first = sorted(modules, key=lambda m: -m.N_STEPS)
        finished = Parallel(n_jobs, backend="loky", return_as="generator_unordered")(
            delayed(_run_section)(module.__name__) for module in longest_first
        )
        for name, result in finished:
            module = next(m for m in modules if m.__name__ == name)
            results[module.NAME] = result
            progress.advance(module.N_STEPS, f"done: {module.TITLE.lower()}")
        return results


def _run_section(name):
    with _figures_to_files():
        return name, importlib.import_module(name).run(lambda text: None)


@contextmanager
def _figures_to_files():
    """Draw without a window inside the context."""
    import matplotlib

    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    try:
        yield
    finally:
        matplotlib.use(before)


def _close_figures(results):
    import matplotlib.pyplot as plt

    for result in results.values():
        plt.close(result.plot.figure)
