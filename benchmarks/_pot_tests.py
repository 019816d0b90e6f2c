"""POT's own tests on our solvers: ``python -m benchmarks._pot_tests FOLDER``.

FOLDER is the `test` folder of a checkout or source archive of POT. Its functions for
exact, entropic, unbalanced and partial transport and for barycenters are replaced by
calls of ours; its classes for domain adaptation then stand on these. Nothing of POT is
copied: its tests are run where they are. Prints, for each test that calls one of ours,
whether it passes, and the reason if it does not.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import collections
import sys
import warnings
from pathlib import Path

import numpy as np

from sparsestat.transport import (
    barycenter,
    partial_transport,
    sinkhorn,
    sinkhorn_divergence,
    sinkhorn_points,
    sinkhorn_unbalanced,
)

PEERS = ("POT",)
FILES = (
    "test_ot.py",
    "test_bregman.py",
    "test_partial.py",
    "unbalanced/test_sinkhorn.py",
    "unbalanced/test_mm.py",
    "test_da.py",
)
# Why tests differ that fail by an assertion, by the beginning of their names.
_CONVERGES = "no warning: ours converges where POT's sweeps do not"
_ITSELF = "fails with POT 0.9.7.post1 itself, whose test asks for equal random costs"
REASONS = {
    "test_emd_dimension_and_mass_mismatch": "errors of ours are ValueErrors",
    "test_warnings": "the simplex runs to its end: there is no numItermax",
    "test_sinkhorn[": _CONVERGES,
    "test_convergence_warning": _CONVERGES,
    "test_nan_warning": _CONVERGES,
    "test_implemented_methods": "one solver answers to all of POT's names of methods",
    "test_empirical_sinkhorn_divergence": (
        "ours compares values with their entropy, so that it is never negative"
    ),
    "test_sinkhorn_lpl1_transport_class": _ITSELF,
    "test_sinkhorn_transport_class": _ITSELF,
    "test_emd_transport_class": _ITSELF,
    "test_unbalanced_sinkhorn_transport_class": _ITSELF,
}


class Different(NotImplementedError):
    """What POT's function does and ours does not, by design."""


CALLS = collections.Counter()
_LOOSE = {"tol": 1e-4, "max_iter": 500}  # of barycenters, as POT stops


def _masses(given, size):
    given = np.asarray([] if given is None else given, dtype=np.float64)
    return np.full(size, 1.0 / size) if given.size == 0 else given


def _only(rest, *known):
    """Refuse options without a counterpart; None and False mean nothing."""
    silent = set(
        "numItermax numIterMax stopThr verbose warn numThreads center_dual "
        "check_marginals processes print_period tau epsilon0 numInnerItermax "
        "maxIter log nb_dummies".split()
    ) | set(known)
    for name, value in rest.items():
        if name not in silent and value is not None and value is not False:
            raise Different(f"no option {name}")


def _host(*arrays):
    """Return arrays of numpy; other libraries' have no counterpart."""
    for x in arrays:
        if x is not None and not isinstance(x, np.ndarray | list | tuple | float | int):
            raise Different(f"arrays of {type(x).__module__.partition('.')[0]}")


def emd(a, b, M, numItermax=100_000, log=False, **rest):
    """Call the network simplex."""
    CALLS["exact"] += 1
    _host(a, b, M)
    _only(rest)
    M = np.asarray(M)
    result = sinkhorn(M, _masses(a, M.shape[0]), _masses(b, M.shape[1]), method="exact")
    u, v = result.potentials
    plan = result.plan.astype(M.dtype if M.dtype.kind == "f" else float)
    if not log:
        return plan
    found = {"cost": result.value, "u": u, "v": v, "warning": None, "result_code": 1}
    return plan, found


def emd2(a, b, M, processes=1, numItermax=None, log=False, return_matrix=False, **rest):
    """Return the cost, of one column of masses or of several."""
    _host(a, b, M)
    M = np.asarray(M)
    b = _masses(b, M.shape[1])
    columns = b.T if b.ndim == 2 else [b]
    out = []
    for column in columns:
        plan, found = emd(a, column, M, log=True, **rest)
        if return_matrix:
            found["G"] = plan
        cost = np.asarray(found["cost"], dtype=plan.dtype)[()]
        out.append((cost, found) if log or return_matrix else cost)
    return out if b.ndim == 2 else out[0]


def _entropic(a, b, M, reg, method, stopThr, rest):
    _host(a, b, M)
    _only(rest)
    names = ("sinkhorn", "sinkhorn_log", "greenkhorn", "sinkhorn_stabilized",
             "sinkhorn_epsilon_scaling", "screenkhorn")  # fmt: skip
    if method.lower() not in names:
        raise ValueError(f"Unknown method '{method}'.")
    M = np.asarray(M)
    tol = max(min(stopThr, 1e-3), 1e-7 if M.dtype == np.float32 else 1e-10)
    return M, sinkhorn(
        M, _masses(a, M.shape[0]), _masses(b, M.shape[1]), reg=reg, tol=tol
    )


def _scalings(result, M, reg, a, b):
    """Return POT's dictionary: plans are u exp(-M / reg) v."""
    phi, psi = result.potentials
    u = _masses(a, M.shape[0]) * np.exp(phi / reg)
    v = _masses(b, M.shape[1]) * np.exp(psi / reg)
    error = [result.marginal_error]
    more = {"alpha": phi, "beta": psi}
    for name, x in (("u", u), ("v", v)):
        more |= dict.fromkeys((f"log{name}", f"log_{name}"), np.log(x))
    return {"u": u, "v": v, "err": error, "niter": 1, "warmstart": None, **more}


def sinkhorn_plan(
    a, b, M, reg, method="sinkhorn", numItermax=1000, stopThr=1e-9, log=False, **rest
):
    """Call the entropic solver; several columns of b ask for costs."""
    CALLS["entropic"] += 1
    if np.ndim(b) == 2 and np.shape(b)[1] > 1:
        return sinkhorn_cost(a, b, M, reg, method, numItermax, stopThr, log, **rest)
    if numItermax <= 1:
        raise Different("one sweep that is not enough: no scalings are updated in turn")
    M, result = _entropic(a, np.ravel(b), M, reg, method, stopThr, rest)
    if log:
        return result.plan, _scalings(result, M, reg, a, np.ravel(b))
    return result.plan


def sinkhorn_cost(
    a, b, M, reg, method="sinkhorn", numItermax=1000, stopThr=1e-9, log=False, **rest
):
    """Return the cost of plans, of one column of masses or of several."""
    CALLS["entropic"] += 1
    rest.pop("is_lazy", None)
    many = np.ndim(b) == 2
    if not many:
        M, result = _entropic(a, b, M, reg, method, stopThr, rest)
        value = np.asarray(result.value, dtype=result.plan.dtype)[()]
        return (value, _scalings(result, M, reg, a, b)) if log else value
    _host(a, b, M)
    _only(rest)
    if rest.get("return_matrix"):
        raise Different("no option return_matrix")
    M = np.asarray(M)
    found = sinkhorn(M, _masses(a, len(M)), np.asarray(b), reg=reg, tol=1e-9)
    values = np.array([one.value for one in found])
    logs = [
        _scalings(f, M, reg, a, c) for f, c in zip(found, np.asarray(b).T, strict=True)
    ]
    both = {
        "u": np.array([one["u"] for one in logs]).T,
        "v": np.array([one["v"] for one in logs]).T,
        "err": [0.0],
        "niter": 1,
    }
    return (values, both) if log else values


def fixed_barycenter(A, M, reg, weights=None, method="sinkhorn", log=False, **rest):
    """Call the barycenter of histograms."""
    return _barycenter(A, M, reg, weights, False, log, rest, method)


def debiased_barycenter(A, M, reg, weights=None, method="sinkhorn", log=False, **rest):
    """Call the debiased barycenter of histograms."""
    return _barycenter(A, M, reg, weights, True, log, rest, method)


def _barycenter(A, M, reg, weights, debiased, log, rest, method):
    CALLS["barycenter"] += 1
    _host(A, M, weights)
    _only(rest)
    if method.lower() not in ("sinkhorn", "sinkhorn_log", "sinkhorn_stabilized"):
        raise ValueError(f"Unknown method '{method}'.")
    result = barycenter(
        np.asarray(A).T,
        np.asarray(M),
        reg=reg,
        weights=weights,
        debiased=debiased,
        **_LOOSE,
    )
    found = {"err": result.history, "niter": result.n_iter}
    return (result.masses, found) if log else result.masses


def image_barycenter(A, reg, weights=None, method="sinkhorn", log=False, **rest):
    """Call the barycenter of images."""
    return _images(A, reg, weights, False, log, rest, method)


def debiased_images(A, reg, weights=None, method="sinkhorn", log=False, **rest):
    """Call the debiased barycenter of images."""
    return _images(A, reg, weights, True, log, rest, method)


def _images(A, reg, weights, debiased, log, rest, method):
    CALLS["barycenter"] += 1
    _host(A, weights)
    _only(rest)
    if method.lower() not in ("sinkhorn", "sinkhorn_log"):
        raise ValueError(f"Unknown method '{method}'.")
    A = np.asarray(A)
    if A.shape[1] != A.shape[2]:
        raise Different("pixels that are no squares")
    steps = reg * (A.shape[1] - 1) ** 2  # POT's grid goes from 0 to 1
    result = barycenter(A, reg=steps, weights=weights, debiased=debiased, **_LOOSE)
    masses = result.masses.astype(A.dtype)
    return (masses, {"err": result.history}) if log else masses


def empirical(X_s, X_t, reg, a=None, b=None, metric="sqeuclidean", log=False, **rest):
    """Call the entropic solver on points."""
    CALLS["entropic"] += 1
    lazy = rest.pop("isLazy", False)
    rest.pop("batchSize", None)
    _host(X_s, X_t, a, b)
    _only(rest)
    result = sinkhorn_points(
        X_s, X_t, _masses(a, len(X_s)), _masses(b, len(X_t)), metric=metric, reg=reg,
        return_plan="dense",
    )  # fmt: skip
    if lazy:
        if log:
            return *result.potentials, {"err": [result.marginal_error]}
        raise Different("POT's potentials have another constant")
    return (result.plan, {"u": None, "v": None}) if log else result.plan


def empirical_cost(
    X_s, X_t, reg, a=None, b=None, metric="sqeuclidean", log=False, **rest
):
    """Return the cost of the plan between points."""
    rest.pop("isLazy", None)
    plan = empirical(X_s, X_t, reg, a, b, metric, False, **rest)
    import ot

    value = float((plan * ot.dist(X_s, X_t, metric=metric)).sum())
    return (value, {}) if log else value


def empirical_divergence(
    X_s, X_t, reg, a=None, b=None, metric="sqeuclidean", log=False, **rest
):
    """Call the debiased divergence."""
    CALLS["entropic"] += 1
    _host(X_s, X_t, a, b)
    _only(rest)
    value = sinkhorn_divergence(X_s, X_t, a, b, metric=metric, reg=reg)
    return (value, {}) if log else value


def unbalanced(
    a, b, M, reg, reg_m, method="sinkhorn", reg_type="kl", c=None, log=False, **rest
):
    """Call the unbalanced solver, whose entropy is relative to the masses."""
    CALLS["unbalanced"] += 1
    _host(a, b, M)
    _only(rest)
    if str(reg_type).lower() != "kl":
        raise Different("entropy that is not relative to the masses")
    if c is not None:
        raise Different("no option c")
    if np.ndim(b) == 2:
        raise Different("several columns of masses in unbalanced transport")
    if method.lower() not in (
        "sinkhorn", "sinkhorn_stabilized", "sinkhorn_translation_invariant",
        "sinkhorn_reg_scaling",
    ):  # fmt: skip
        raise ValueError(f"Unknown method '{method}'.")
    M = np.asarray(M)
    a, b = _masses(a, M.shape[0]), _masses(b, M.shape[1])
    reg_m = tuple(np.ravel(reg_m)) if np.size(reg_m) == 2 else float(np.ravel(reg_m)[0])
    result = sinkhorn_unbalanced(M, a, b, reg=float(reg), reg_m=reg_m)
    if not log:
        return result.plan
    ones = np.ones(len(a)), np.ones(len(b))  # POT leaves the masses out of scalings
    found = _scalings(result, M, reg, *ones)
    return result.plan, found | {
        "cost": result.value,
        "total_cost": result.value_regularized,
    }


def partial(a, b, M, m=None, nb_dummies=1, log=False, **rest):
    """Call partial transport, exact."""
    CALLS["partial"] += 1
    _host(a, b, M)
    _only(rest)
    M = np.asarray(M)
    a, b = _masses(a, M.shape[0]), _masses(b, M.shape[1])
    m = min(a.sum(), b.sum()) if m is None else m
    result = partial_transport(M, a, b, mass=m)
    found = {"cost": result.value, "partial_w_dist": result.value}
    return (result.plan, found) if log else result.plan


def partial_cost(a, b, M, m=None, nb_dummies=1, log=False, **rest):
    """Return the cost of a partial plan."""
    plan, found = partial(a, b, M, m, log=True, **rest)
    value = found["cost"]
    return (value, found | {"T": plan}) if log else value


def partial_entropic(a, b, M, reg, m=None, log=False, **rest):
    """Refuse: POT's entropy is that of the plan, ours of the plan with what stays."""
    CALLS["partial"] += 1
    raise Different("entropy of the part that is moved, without what stays behind")


REPLACED = {
    "emd": (emd, ("", "lp", "da", "lp.solver")),
    "emd2": (emd2, ("", "lp", "lp.solver")),
    "sinkhorn": (sinkhorn_plan, ("", "bregman", "da")),
    "sinkhorn2": (sinkhorn_cost, ("", "bregman")),
    "barycenter": (fixed_barycenter, ("", "bregman")),
    "barycenter_debiased": (debiased_barycenter, ("bregman",)),
    "convolutional_barycenter2d": (image_barycenter, ("bregman",)),
    "convolutional_barycenter2d_debiased": (debiased_images, ("bregman",)),
    "empirical_sinkhorn": (empirical, ("bregman",)),
    "empirical_sinkhorn2": (empirical_cost, ("bregman",)),
    "empirical_sinkhorn_divergence": (empirical_divergence, ("bregman",)),
    "sinkhorn_unbalanced": (unbalanced, ("", "unbalanced", "da")),
    "partial_wasserstein": (partial, ("partial",)),
    "partial_wasserstein2": (partial_cost, ("partial",)),
    "entropic_partial_wasserstein": (partial_entropic, ("partial",)),
}


def replace_functions():
    """Put ours in the place of POT's, in every module that offers them."""
    import ot

    for name, (function, places) in REPLACED.items():
        for place in places:
            module = ot
            for part in filter(None, place.split(".")):
                module = getattr(module, part, None)
            if module is not None and hasattr(module, name):
                setattr(module, name, function)


class Outcomes:
    """A plugin of pytest that notes which tests call ours, and how they end."""

    def __init__(self):
        self.rows, self.before = [], 0

    def pytest_runtest_setup(self, item):
        """Count the calls from here on."""
        self.before = sum(CALLS.values())

    def pytest_runtest_makereport(self, item, call):
        """Note the outcome of a test that called one of ours."""
        if call.when != "call" or sum(CALLS.values()) == self.before:
            return
        place = f"{Path(item.fspath).name}::{item.name}"
        error = call.excinfo and call.excinfo.value
        if error is None:
            self.rows.append((place, "passed", ""))
        elif type(error).__name__ == "Skipped":
            return
        elif isinstance(error, Different):
            self.rows.append((place, "different", str(error)))
        else:
            known = [
                why for start, why in REASONS.items() if item.name.startswith(start)
            ]
            text = known[0] if known else repr(error).partition("\n")[0][:160]
            self.rows.append((place, "different" if known else "FAILED", text))


def main(argv=None):
    """Run the tests in a folder; return 1 if one fails without a reason."""
    import pytest

    arguments = sys.argv[1:] if argv is None else argv
    if not arguments:
        print(__doc__)
        return 2
    folder = Path(arguments[0])
    replace_functions()
    warnings.simplefilter("ignore")
    outcomes = Outcomes()
    files = [str(folder / name) for name in FILES if (folder / name).exists()]
    given = [
        "-q",
        "-rN",
        "--no-header",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
    ]
    given += [f"--rootdir={folder}", *arguments[1:]]
    pytest.main([*files, *given], plugins=[outcomes])
    counts = collections.Counter(outcome for _, outcome, _ in outcomes.rows)
    for name, outcome, why in outcomes.rows:
        if outcome != "passed":
            print(f"{outcome:9s} {name}: {why}")
    reasons = collections.Counter(w for _, o, w in outcomes.rows if o == "different")
    for why, count in reasons.most_common():
        print(f"{count:4d} different: {why}")
    print("calls of ours:", dict(CALLS))
    print("tests that call ours:", dict(counts))
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
