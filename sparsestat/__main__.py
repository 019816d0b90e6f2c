"""Command line: ``sparsestat tour | warmup | info``, or ``python -m sparsestat``."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import argparse
import sys

from sparsestat._version import __version__


def main(argv=None):
    """Run one of the commands; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="sparsestat",
        description="Sparse estimation and clustering with certificates.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command")
    tour = commands.add_parser("tour", help="fit every family on real data")
    tour.add_argument("--output", default="sparsestat-tour.html", help="report file")
    tour.add_argument(
        "--section",
        "--only",
        dest="only",
        nargs="*",
        metavar="SECTION",
        help="sections to run; all when left out",
    )
    warm = commands.add_parser("warmup", help="compile the kernels into the cache")
    warm.add_argument("families", nargs="*", help="subpackages; all when left out")
    commands.add_parser("info", help="versions, threads, BLAS, cache folder")
    arguments = parser.parse_args(argv)

    if arguments.command == "tour":
        from sparsestat._tour import MissingExtrasError, run_tour

        try:
            run_tour(arguments.output, only=arguments.only)
        except MissingExtrasError as error:
            print(error, file=sys.stderr)
            return 1
    elif arguments.command == "warmup":
        from sparsestat._warmup import warmup

        seconds = warmup(arguments.families or None, verbose=1)
        for family, spent in seconds.items():
            print(f"{family:20s} {spent:6.1f} s")
    elif arguments.command == "info":
        print(info())
    else:
        parser.print_help()
    return 0


def info():
    """Return a report of versions, threading layer, BLAS and cache folder."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import numba
    from threadpoolctl import threadpool_info

    import sparsestat
    from sparsestat._utils.jit import cache_folder

    lines = [
        f"sparsestat      {sparsestat.__version__}",
        f"python          {platform.python_version()} ({platform.machine()})",
    ]
    for (
        name
    ) in "numpy scipy scikit-learn numba joblib threadpoolctl tqdm cvxpy".split():
        try:
            lines.append(f"{name:15s} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name:15s} missing")
    # The layer is only known once a parallel region has run; ask for the order.
    lines.append(
        f"threads         {numba.config.NUMBA_NUM_THREADS} (numba, layer "
        f"{numba.config.THREADING_LAYER}, "
        f"order {' '.join(numba.config.THREADING_LAYER_PRIORITY)})"
    )
    import numpy  # noqa: F401  loads BLAS, so that threadpoolctl can see it

    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            lines.append(
                f"BLAS            {pool['internal_api']} {pool['version']}, "
                f"{pool['num_threads']} threads"
            )
    lines.append(
        f"kernel cache    {cache_folder() or 'none: no folder can be written'}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
