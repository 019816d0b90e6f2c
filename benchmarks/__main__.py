"""Run benchmarks: ``python -m benchmarks NAME [NAME ...] [--quick] [--no-save]``."""

import argparse
import importlib
import os
import pkgutil
import sys


def main(argv=None):
    import benchmarks

    names = sorted(
        info.name
        for info in pkgutil.iter_modules(benchmarks.__path__)
        if not info.name.startswith("_")
    )
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="+", choices=[*names, "all"])
    parser.add_argument("--quick", action="store_true", help="small sizes, no JSON")
    parser.add_argument("--no-save", action="store_true", help="do not write JSON")
    arguments = parser.parse_args(argv)
    chosen = names if "all" in arguments.names else arguments.names
    for name in chosen:
        module = importlib.import_module(f"benchmarks.{name}")
        threads = str(getattr(module, "THREADS", 1))
        if os.environ.get("OPENBLAS_NUM_THREADS") != threads:
            # Thread counts are read when the libraries are loaded: start afresh.
            for variable in (
                "OPENBLAS_NUM_THREADS",
                "MKL_NUM_THREADS",
                "OMP_NUM_THREADS",
                "NUMBA_NUM_THREADS",
            ):
                os.environ[variable] = threads
            command = [sys.executable, "-m", "benchmarks", name]
            command += ["--quick"] * arguments.quick
            command += ["--no-save"] * arguments.no_save
            if os.spawnv(os.P_WAIT, sys.executable, command):
                return 1
            continue
        from benchmarks import _harness

        result = module.run(quick=arguments.quick)
        _harness.show(result)
        if not (arguments.quick or arguments.no_save):
            path = _harness.save(name, result, *getattr(module, "PEERS", ()))
            print(f"written to {path.relative_to(path.parents[2])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
