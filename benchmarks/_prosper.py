"""One step of the original ProSper library, where a checkout of it is at hand.

ProSper needs MPI and names that numpy has dropped; it is not a package one can
install today. ``SPARSESTAT_PROSPER`` names a checkout of
https://github.com/ml-uol/prosper (default: ``../prosper`` beside this repository).
It is imported as it is: a stand-in of one process takes the place of mpi4py, and
the missing names of numpy come back while this module is in use.
"""

import os
import sys
import types
from pathlib import Path

import numpy as np

FOLDER = Path(
    os.environ.get("SPARSESTAT_PROSPER", Path(__file__).parents[2] / "prosper")
)
CLASSES = {
    "BSC": ("bsc_et", "BSC_ET"),
    "MCA": ("mca_et", "MCA_ET"),
    "MMCA": ("mmca_et", "MMCA_ET"),
    "GSC": ("gsc_et", "GSC"),
}


def available():
    return (FOLDER / "prosper" / "em").is_dir()


class _OneProcess:
    """MPI's world when there is one process."""

    rank, size = 0, 1

    def allreduce(self, value, *_, **__):
        return value

    def bcast(self, value, *_, **__):
        return value

    def Allreduce(self, send, receive, *_, **__):
        receive[0][...] = send[0]

    def Allgather(self, send, receive, *_, **__):
        receive[0][...] = np.reshape(send[0], receive[0].shape)

    def Bcast(self, *_, **__):
        pass

    def Barrier(self):
        pass


class Schedule:
    """The values of an annealing schedule at one step."""

    crit_params = ()

    def __init__(self, temperature, ncut):
        self.values = {"T": temperature, "Ncut_factor": ncut, "anneal_prior": False}

    def __getitem__(self, name):
        return self.values.get(name, 0.0)

    def as_dict(self):
        return dict(self.values)


def _prepare():
    names = ("DOUBLE", "FLOAT", "SHORT", "INT", "LONG", "UNSIGNED_SHORT")
    names += ("UNSIGNED_INT", "UNSIGNED_LONG", "SUM", "MAX", "MIN")
    world = _OneProcess()
    mpi = types.SimpleNamespace(
        COMM_WORLD=world, COMM_SELF=world, **dict.fromkeys(names)
    )
    sys.modules.setdefault("mpi4py", types.ModuleType("mpi4py"))
    sys.modules["mpi4py"].MPI = mpi
    try:
        import tables  # noqa: F401
    except ImportError:  # for its log files, which are not written here
        sys.modules["tables"] = types.ModuleType("tables")
        sys.modules["tables"].open_file = None
    try:
        import six  # noqa: F401
    except ImportError:
        stub = types.ModuleType("six")
        stub.add_metaclass = lambda meta: lambda cls: cls
        sys.modules["six"] = stub
    for name, value in {
        "int": int,
        "float": float,
        "object": object,
        "str": str,
    }.items():
        if name not in np.__dict__:
            setattr(np, name, value)
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))


def stepper(name, Y, params, n_candidates, max_active, temperature, ncut):
    """Return a function that takes one step and returns the new W, rows atoms.

    `params` are ours: W of shape (H, D), pi, sigma, and for GSC slab_mean, slab_cov.
    """
    _prepare()
    import importlib

    module, cls = CLASSES[name]
    library = importlib.import_module(f"prosper.em.camodels.{module}")
    h, d = params["W"].shape
    extra = ("scalar",) if name == "GSC" else ()
    model = getattr(library, cls)(d, h, n_candidates, max_active, *extra)
    theirs = {"W": params["W"].T.copy(), "pi": params["pi"]}
    if name == "GSC":
        theirs |= {
            "mu": params["slab_mean"].copy(),
            "psi_sq": params["slab_cov"].copy(),
            "sigma_sq": float(params["sigma"] ** 2),
        }
    else:
        theirs["sigma"] = params["sigma"]

    def step():
        copied = {k: np.copy(v) if np.ndim(v) else v for k, v in theirs.items()}
        new = model.step(Schedule(temperature, ncut), copied, {"y": Y.copy()})
        return np.asarray(new["W"]).T

    return step
