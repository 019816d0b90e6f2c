"""The rules of the house, read off the source: layers, imports, kernels, start-up."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sparsestat
from tests import mutation

PACKAGE = Path(sparsestat.__file__).parent
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if "__pycache__" not in p.parts)

# Which rooms may use which others, beside the floors that everyone stands on.
FLOORS = {"_utils", "_version", "exceptions", "sparse"}
EDGES = {"cluster": {"transport"}, "inference": {"linear_model"}}
# The house itself: these bring families together and are exempt from the edges.
HOUSE = {"", "__main__", "_tour", "_warmup"}

CORE = {"joblib", "numpy", "scipy", "sklearn", "sparsestat", "threadpoolctl", "tqdm"}
LONGEST = {"linear_model": 600}


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(name):
    """Return the first part below the package: a family, a floor or the house."""
    return (name.split(".") + [""])[1]


# numba's decorator, with a cache that may be missing or full.
DECORATOR = "sparsestat._utils.jit"


def is_kernel(path):
    return path.name.startswith("_kernels")


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(tree):
    """Yield ``(module, name or None, at_import_time)`` for every import in a tree."""

    def visit(node, top):
        for child in ast.iter_child_nodes(node):
            inner = top
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                inner = False
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                inner = False
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, None, top
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports are absolute in this package"
                for alias in child.names:
                    yield child.module, alias.name, top
            yield from visit(child, inner)

    return list(visit(tree, True))


def own_imports(path):
    """Yield the sparsestat modules a file imports, as full dotted names."""
    known = {module_name(p) for p in MODULES}
    for module, name, _ in imports(tree_of(path)):
        if module.split(".")[0] == "sparsestat":
            full = f"{module}.{name}"
            yield full if full in known else module


@pytest.fixture(params=MODULES, ids=module_name)
def path(request):
    return request.param


def test_rooms_use_only_the_rooms_they_may(path):
    name = module_name(path)
    room = room_of(name)
    if room in HOUSE:
        return
    if room in FLOORS:
        # The floors stand on each other from the bottom up.
        allowed = {"_utils": {"exceptions", "_version"}, "sparse": FLOORS}.get(
            room, set()
        )
    else:
        allowed = FLOORS | EDGES.get(room, set())
    for imported in own_imports(path):
        other = room_of(imported)
        if other in (room, ""):
            continue  # its own room, or the lazy front door
        assert other in allowed, f"{name} imports {imported}"
        if other in EDGES.get(room, set()):
            assert imported == f"sparsestat.{other}", (
                f"{name} imports {imported}; another family is used through its "
                "public names only"
            )


# Rooms that outgrew one floor: their sub-rooms, and what each may use of its room. The
# estimators' face, the modules beside the sub-rooms, uses them all; "" is that face.
SUBROOMS = {
    "linear_model": {
        "_penalized": set(),
        "_forests": set(),
        "_blocks": {"", "_penalized"},
        "_tasks": {"", "_penalized"},
        "_log_link": {"", "_blocks", "_penalized"},
        "_custom": {"", "_penalized"},
        "_subsets": {"", "_penalized"},
        "_descent": {"", "_forests", "_penalized"},
        "_graphs": {"", "_forests", "_penalized"},
        "_private": {"", "_penalized"},
        "_bandits": {"", "_subsets", "_penalized"},
    },
    "decomposition": {
        "_coding": set(),
        "_orthogonal": {""},
        "_low_rank": {""},
        "_factors": {"", "_low_rank"},
    },
    "gaussian_process": {
        "_structure": set(),
        "_spectral": {"_structure"},
        "_kernel": set(),
        "_variational": {"_kernel"},
    },
}


def sub_room_of(name):
    """Return the sub-room of a module, "" for the face of its room."""
    parts = name.split(".")
    known = SUBROOMS.get(room_of(name), {})
    return parts[2] if len(parts) > 2 and parts[2] in known else ""


def test_sub_rooms_use_only_what_they_may(path):
    name = module_name(path)
    room, here = room_of(name), sub_room_of(name)
    if not here:
        return
    for imported in own_imports(path):
        if room_of(imported) == room and imported.count(".") > 1:
            other = sub_room_of(imported)
            allowed = SUBROOMS[room][here] | {here}
            assert other in allowed, f"{name} imports {imported}"


def test_every_sub_room_is_known():
    found = {
        (p.parent.parent.name, p.parent.name)
        for p in PACKAGE.glob("*/*/__init__.py")
        if p.parent.parent.name in SUBROOMS
    }
    assert found == {(room, sub) for room, subs in SUBROOMS.items() for sub in subs}


# Who may take an estimator: what shows one or fits the user's, and the doors that an
# estimator calls by name. An algorithm gets arrays and a frozen record of options.
TAKES_ESTIMATORS = (
    "sparsestat._tour",
    "sparsestat._utils.blocks",
    "sparsestat._utils.compat",
    "sparsestat._utils.lazily",
    "sparsestat._utils.progress",
    "sparsestat._utils.samples",
    "sparsestat.inference._draws",
    "sparsestat.inference._stability",
    "sparsestat.inference._tables",
    "sparsestat.linear_model._fit",
    "sparsestat.linear_model._predictors",
    "sparsestat.plotting",
)
DOORS = {
    "FitProgress",
    "check_is_fitted",
    "check_samples",
    "checked_rows",
    "clone",
    "copy",
    "delattr",
    "getattr",
    "hasattr",
    "is_classifier",
    "len",
    "named",
    "setattr",
    "solver_options",
    "type",
    "validate_data",
    "validate_fit_data",
    "vars",
}


def bases_of_classes():
    """Map every class of the package to the names of its bases."""
    found = {}
    for p in MODULES:
        for node in ast.walk(tree_of(p)):
            if isinstance(node, ast.ClassDef):
                found[node.name] = {ast.unparse(b).split(".")[-1] for b in node.bases}
    return found


BASES = bases_of_classes()


def is_estimator(name):
    """Whether a class, or one of its bases, is an estimator or part of one."""
    parts = ("SparsestatEstimator", "BaseEstimator")
    return (
        name in parts
        or name.endswith("Mixin")
        or any(is_estimator(base) for base in BASES.get(name, set()) - {name})
    )


def estimators_handed_down(tree):
    """Return where estimators are taken, written to or given away."""
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            taken = {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}
            if "estimator" in taken and node.name not in ("__init__", "__get__"):
                faults.append(f"{node.name} (line {node.lineno}) takes an estimator")
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            fitted = node.attr.endswith("_") and not node.attr.startswith("_")
            if fitted and ast.unparse(node.value) != "self":
                faults.append(f"{ast.unparse(node)} is written (line {node.lineno})")
        elif isinstance(node, ast.ClassDef) and is_estimator(node.name):
            for call in (c for c in ast.walk(node) if isinstance(c, ast.Call)):
                given = [*call.args, *(k.value for k in call.keywords)]
                name = ast.unparse(call.func).split(".")[-1]
                if name not in DOORS and any(ast.unparse(a) == "self" for a in given):
                    faults.append(f"{name} is given self (line {call.lineno})")
    return faults


def test_no_estimator_below_the_estimators(path):
    name = module_name(path)
    if name.startswith(TAKES_ESTIMATORS):
        return
    assert estimators_handed_down(tree_of(path)) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("def fit(estimator, X): pass", "takes an estimator"),
        ("def fit(*, estimator=None): pass", "takes an estimator"),
        ("def fit(model):\n model.coef_ = 1", "model.coef_ is written"),
        ("def fit(model):\n (model.a_, b) = 1, 2", "model.a_ is written"),
        ("class AMixin:\n def fit(self):\n  Run(self)", "Run is given self"),
        ("class AMixin:\n def fit(self):\n  run(params=self)", "run is given self"),
    ],
)
def test_the_rule_of_estimators_finds_faults(source, fault):
    assert any(fault in text for text in estimators_handed_down(ast.parse(source)))


def test_kernels_stand_on_numpy_numba_and_kernels_alone(path):
    if not is_kernel(path):
        return
    room = room_of(module_name(path))
    for module, _name, _ in imports(tree_of(path)):
        root = module.split(".")[0]
        if module == DECORATOR:
            continue
        if root == "sparsestat":
            family, _, leaf = module.removeprefix("sparsestat.").partition(".")
            leaf = leaf.rpartition(".")[2] or f"{module}.{_name}".rpartition(".")[2]
            assert family in ("sparse", room) and leaf.startswith("_kernels"), module
        else:
            assert root in ("numpy", "numba", "math"), module


def test_private_scikit_learn_names_come_through_compat(path):
    if path == PACKAGE / "_utils" / "compat.py":
        return
    for module, name, _ in imports(tree_of(path)):
        if module.split(".")[0] == "sklearn":
            parts = [*module.split("."), name or ""]
            assert not any(part.startswith("_") for part in parts), (module, name)


def test_only_core_libraries_are_imported_at_import_time(path):
    allowed = CORE | set(sys.stdlib_module_names)
    if is_kernel(path) or module_name(path) == DECORATOR:
        allowed |= {"numba"}
    for module, _, at_import_time in imports(tree_of(path)):
        if at_import_time:
            assert module.split(".")[0] in allowed, (
                f"import {module} inside the function that needs it"
            )


def numba_names(tree):
    """Map the names a module gives to numba's compilers to what they are."""
    names = {}
    for node in ast.walk(tree):
        module = getattr(node, "module", None) or ""
        if module == DECORATOR or module.startswith("numba"):
            names |= {a.asname or a.name: a.name for a in node.names}
    return names


def compiler_of(node, names):
    """Return "njit", "jit", ... when a node refers to one of numba's compilers."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("numba", "nb"):
        return node.attr
    return None


def faults_of_kernels(tree):
    """Return what is wrong with the numba decorators of a module."""
    names = numba_names(tree)
    faults = []
    good = set()
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    top_level = set(tree.body)
    for function in functions:
        for decorator in function.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            compiler = compiler_of(call.func if call else decorator, names)
            if compiler is None:
                continue
            where = f"{function.name} (line {function.lineno})"
            good.add(call.func if call else decorator)
            if compiler != "njit":
                faults.append(f"{where}: use njit, not {compiler}")
                continue
            if function not in top_level:
                faults.append(f"{where}: kernels stand at module level")
            options = {k.arg: k.value for k in call.keywords} if call else {}
            for option in ("cache", "nogil"):
                value = options.get(option)
                if not (isinstance(value, ast.Constant) and value.value is True):
                    faults.append(f"{where}: {option}=True is missing")
            fastmath = options.get("fastmath")
            if isinstance(fastmath, ast.Constant) and fastmath.value is True:
                faults.append(f"{where}: fastmath=True breaks isnan; name the flags")
            if call and call.args:
                faults.append(f"{where}: explicit signatures compile at import")
    for function in tree.body:
        # The house's own decorator compiles with a cache and, where no folder is
        # writable, without one: the sole place that may call njit on a function.
        if isinstance(function, ast.FunctionDef) and function.name == "kernel":
            calls = [
                node
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and compiler_of(node.func, names)
            ]
            good |= {call.func for call in calls}
            options = [ast.unparse(k) for call in calls for k in call.keywords]
            if "cache=True" not in options or options.count("nogil=True") < len(calls):
                faults.append("kernel: cache=True and nogil=True are missing")
    for node in ast.walk(tree):
        compiler = compiler_of(node, names)
        if compiler in ("jitclass", "generated_jit"):
            faults.append(f"line {node.lineno}: {compiler} cannot be cached")
        elif compiler in ("jit", "njit") and node not in good:
            # Two compilations of one Python function would share a cache entry.
            faults.append(f"line {node.lineno}: {compiler} is used as a decorator only")
    return faults


def test_kernels_are_cached_and_release_the_gil(path):
    if module_name(path) == DECORATOR:
        return
    for module, name, _ in imports(tree_of(path)):
        assert (module, name) != ("numba", "njit"), f"njit comes from {DECORATOR}"
    assert faults_of_kernels(tree_of(path)) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("@njit\ndef f(x): pass", "cache=True is missing"),
        ("@njit(cache=True)\ndef f(x): pass", "nogil=True is missing"),
        ("@njit(cache=True, nogil=False)\ndef f(x): pass", "nogil=True is missing"),
        ("@njit('f8(f8)', cache=True, nogil=True)\ndef f(x): pass", "signatures"),
        ("@njit(cache=True, nogil=True, fastmath=True)\ndef f(x): pass", "isnan"),
        ("@numba.jit(cache=True, nogil=True)\ndef f(x): pass", "not jit"),
        ("f = njit(cache=True, nogil=True)(g)", "decorator only"),
        ("def g():\n @njit(cache=True, nogil=True)\n def f(x): pass", "module level"),
        ("from numba.experimental import jitclass\n@jitclass\nclass A: pass", "jitcl"),
    ],
)
def test_the_kernel_rule_finds_faults(source, fault):
    found = faults_of_kernels(
        ast.parse("import numba\nfrom numba import njit\n" + source)
    )
    assert any(fault in text for text in found)


def test_the_kernel_rule_accepts_the_house_form():
    source = (
        "from numba import njit\n"
        "@njit(cache=True, nogil=True, fastmath={'reassoc', 'contract'})\n"
        "def f(x):\n    return x\n"
    )
    assert faults_of_kernels(ast.parse(source)) == []


def test_workers_start_at_few_doors(path):
    """Each door keeps to one thread of BLAS a worker, or needs no BLAS at all."""
    doors = {
        "sparsestat._utils.parallel",
        "sparsestat.sparse._threads",
        "sparsestat._tour",
    }
    parallel = {"concurrent", "multiprocessing", "threading"}
    found = {
        (module, name)
        for module, name, _ in imports(tree_of(path))
        if (module.split(".")[0] in parallel and name != "Lock") or name == "Parallel"
    }
    assert not found or module_name(path) in doors, found


def test_modules_are_of_readable_length(path):
    longest = LONGEST.get(room_of(module_name(path)), 800)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest


def test_modules_say_what_they_are_and_who_wrote_them(path):
    text = path.read_text(encoding="utf-8")
    if path.name == "__init__.py" and len(text.splitlines()) < 3:
        return
    assert ast.get_docstring(ast.parse(text)), "a module docstring is missing"
    assert "# SPDX-License-Identifier: BSD-3-Clause" in text
    assert "# Authors: The sparsestat developers" in text


def test_every_subpackage_is_registered():
    found = {
        p.parent.name
        for p in PACKAGE.glob("*/__init__.py")
        if not p.parent.name.startswith("_")
    }
    assert found == set(sparsestat._SUBPACKAGES) - {"exceptions"}


# What happens at start-up, seen from a new process


def run_python(code, *arguments):
    done = subprocess.run(
        [sys.executable, *arguments, *(["-c", code] if code else [])],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("sklearn", "numba", "llvmlite", "scipy", "numpy", "cvxpy", "matplotlib")
    loaded = run_python(
        "import sys, sparsestat; sparsestat.__version__; dir(sparsestat); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    assert loaded.strip() == "[]"


def test_importing_the_subpackages_compiles_nothing():
    # A dispatcher that has compiled (or loaded) code lists its signatures.
    out = run_python(
        "import sys, sparsestat\n"
        "for name in sparsestat._SUBPACKAGES: getattr(sparsestat, name)\n"
        "unwanted = ('cvxpy', 'matplotlib')\n"
        "print([m for m in unwanted if m in sys.modules])\n"
        "print([f'{m}.{k}' for m, module in list(sys.modules.items())\n"
        "       if m.startswith('sparsestat')\n"
        "       for k, v in vars(module).items()\n"
        "       if getattr(v, 'nopython_signatures', None)])\n"
    )
    assert out.splitlines() == ["[]", "[]"]


def test_lazy_names_resolve_and_are_listed():
    assert set(sparsestat.__all__) == set(dir(sparsestat))
    for name in sparsestat.__all__:
        assert getattr(sparsestat, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        sparsestat.nonsense  # noqa: B018


def test_info_command_reports_versions_threads_and_cache():
    out = run_python(None, "-m", "sparsestat", "info")
    assert out.startswith(f"sparsestat      {sparsestat.__version__}")
    for line in ("numpy", "scikit-learn", "numba", "threads", "kernel cache"):
        assert any(row.startswith(line) for row in out.splitlines())


def test_unknown_command_is_refused_with_the_known_ones():
    done = subprocess.run(
        [sys.executable, "-m", "sparsestat", "nonsense"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "tour" in done.stderr and "warmup" in done.stderr


def test_warmup_refuses_unknown_families():
    with pytest.raises(ValueError, match=r"Unknown families \['nonsense'\]"):
        sparsestat.warmup(["nonsense"])


def test_warmup_skips_what_has_no_kernels():
    assert sparsestat.warmup(["exceptions"]) == {}


def test_the_map_of_mutants_names_what_there_is():
    folder = mutation.EQUIVALENTS.parent
    table = tomllib.loads(mutation.EQUIVALENTS.read_text(encoding="utf-8"))
    for module, (scope, tests) in mutation.MODULES.items():
        mutation.lines_of((PACKAGE / module).read_text(encoding="utf-8"), scope)
        for name in set(tests) - {"plain"}:
            path, *function = name.split("::")
            text = (folder / path).read_text(encoding="utf-8")
            assert all(f"def {f.partition('[')[0]}(" in text for f in function), name
    for module, entries in table.items():
        if module != "*":
            source = (PACKAGE / module).read_text(encoding="utf-8").splitlines()
            lines = {" ".join(line.split()) for line in source}
            assert {entry["line"] for entry in entries} <= lines, module
            assert module in mutation.MODULES
