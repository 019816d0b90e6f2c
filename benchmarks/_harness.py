"""Timing, environment and results shared by all benchmarks.

Protocol: the same process and data for every side, one thread each unless the
claim is about threads, compilation excluded (each side runs once before the
clock starts), the median of several runs and their spread, and accuracy measured
by one function outside all libraries.
"""

import json
import math
import os
import platform
import statistics
import time
import warnings
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated runs and what the last of them returned."""

    seconds: tuple
    value: object

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def spread(self):
        """Half the range between the extremes, relative to the median."""
        return (max(self.seconds) - min(self.seconds)) / (2 * self.median)


def measure(function, repeat=5, budget=60.0, warm=True):
    """Time ``function()``: median of `repeat`, fewer when `budget` runs out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if warm:
            function()
        seconds = []
        begin = time.perf_counter()
        while len(seconds) < repeat:
            start = time.perf_counter()
            value = function()
            seconds.append(time.perf_counter() - start)
            if time.perf_counter() - begin > budget:
                break
    return Timing(tuple(seconds), value)


def memory(key):
    """Return bytes that the kernel counts for this process: "VmRSS", "VmHWM" (peak).

    The peak of getrusage begins at the size of the process that started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(x.split()[1]) for x in lines if x.startswith(key))


def loosest_setting(fit, accuracy, ladder, goal, limit=120.0):
    """Return the first setting of `ladder` whose result is accurate enough.

    Parameters
    ----------
    fit : callable
        Takes a setting (a tolerance, from loose to tight), returns a result.
    accuracy : callable
        Takes the result, returns the measured inaccuracy.
    ladder : iterable
        Settings to try in turn.
    goal : float
        Largest acceptable inaccuracy.
    limit : float
        Seconds after which no tighter setting is tried.

    Returns
    -------
    setting, inaccuracy, reached
    """
    best = (None, float("inf"))
    begin = time.perf_counter()
    for setting in ladder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = accuracy(fit(setting))
        if value < best[1]:
            best = (setting, value)
        if value <= goal:
            return setting, value, True
        if time.perf_counter() - begin > limit:
            break
    return *best, False


def leaping_setting(fit, accuracy, ladder, goal, limit=60.0):
    """Find the setting that :func:`loosest_setting` finds in fewer tries.

    From a result that misses the goal it goes as many settings further as decades are
    missing, the inaccuracy being at best proportional to the tolerance; what it has
    leaped over is tried by halves.

    Parameters
    ----------
    fit, accuracy, ladder, goal, limit : see :func:`loosest_setting`
        `ladder` is an array of tolerances that fall by a common factor.

    Returns
    -------
    setting, inaccuracy, reached
    """
    decades = math.log10(ladder[0] / ladder[1])
    missed, at, found = -1, 0, None
    best = (None, float("inf"))
    begin = time.perf_counter()
    while missed < at < len(ladder):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = accuracy(fit(ladder[at]))
        if value < best[1]:
            best = (ladder[at], value)
        if value <= goal:
            found, highest = (ladder[at], value), at
        else:
            missed = at
        if time.perf_counter() - begin > limit:
            break
        if found is None:
            leap = int(math.log10(value / goal) / decades) if value < math.inf else 1
            at = at + max(leap, 1)
            if missed < len(ladder) - 1:
                at = min(at, len(ladder) - 1)
        else:
            at = (missed + highest) // 2
    return (*found, True) if found is not None else (*best, False)


def environment(*packages):
    """Versions and machine of this run."""
    names = ("numpy", "scipy", "scikit-learn", "numba", "sparsestat", *packages)
    found = {"python": platform.python_version(), "machine": _processor()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    found["cores"] = str(os.cpu_count())
    return found


def _processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def save(name, result, *packages):
    """Write a benchmark's result as JSON for the documentation, its figure as PNG."""
    RESULTS.mkdir(exist_ok=True)
    result = dict(result)
    figure = result.pop("figure", None)
    if figure is not None:
        figure.savefig(RESULTS / f"{name}.png", dpi=100)
    payload = {
        "name": name,
        "date": date.today().isoformat(),
        "environment": environment(*packages),
        **result,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(payload, indent=1) + "\n", encoding="utf-8")
    return path


def show(result):
    """Print the table of a result."""
    columns, rows = result["columns"], [[str(c) for c in row] for row in result["rows"]]
    widths = [
        max(len(str(column)), *(len(row[k]) for row in rows)) if rows else len(column)
        for k, column in enumerate(columns)
    ]
    print(f"\n{result['title']}\n{result['claim']}\n")
    for row in [columns, ["-" * width for width in widths], *rows]:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)))
    for note in result.get("notes", []):
        print(f"* {note}")


def milliseconds(timing):
    """Format a timing as milliseconds with its spread."""
    return f"{1e3 * timing.median:.3g} ± {100 * timing.spread:.0f}%"
