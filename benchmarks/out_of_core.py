"""Rows in blocks: data on disk, likelihoods by passes, workers that sum blocks.

Each row runs in a process of its own, whose anonymous memory is watched (pages of a
memory map do not count), after the pages of the file were dropped from the cache.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PEERS = ("dask", "distributed", "glum", "dask-ml")
_PRICE = 0.05  # of a core for an hour, about what clouds ask

PRELUDE = """
import json, os, re, sys, threading, time, warnings
import numpy as np
warnings.simplefilter("ignore")
path, arguments = sys.argv[1], json.loads(sys.argv[2])
most, going = [0.0], [True]
def anonymous():
    text = open("/proc/self/smaps_rollup").read()
    return int(re.search(r"Anonymous:\\s+(\\d+)", text).group(1)) / 1024
def watch():
    while going[0]:
        most[0] = max(most[0], anonymous())
        time.sleep(0.02)
def done(seconds, **others):
    going[0] = False
    print(json.dumps({"seconds": seconds, "memory": most[0], **others}))
def drop(name):
    with open(name, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
def mapped():
    drop(path + "/X.npy")
    n = arguments["n"]
    X, y = np.load(path + "/X.npy", mmap_mode="r"), np.load(path + "/y.npy")
    return X[:n], y[:n]
def loss(coef, intercept):
    n = arguments["n"]
    X, y = np.load(path + "/X.npy", mmap_mode="r")[:n], np.load(path + "/y.npy")[:n]
    z, total = np.where(y > 0, 1.0, -1.0), 0.0
    for k in range(0, len(X), 100000):
        eta = X[k : k + 100000] @ coef + intercept
        total += np.logaddexp(0.0, -z[k : k + 100000] * eta).sum()
    return total / len(X) + arguments["alpha"] * np.abs(coef).sum()
threading.Thread(target=watch, daemon=True).start()
"""

LASSO = """
from sparsestat import row_blocks
from sparsestat.linear_model import LassoCV
rng = np.random.default_rng(0)
small = rng.standard_normal((300, 5)).astype(np.float32)
LassoCV(alphas=5).fit(row_blocks(small, small[:, 0]))
X, y = mapped()
start = time.perf_counter()
model = LassoCV(alphas=arguments["alphas"], n_jobs=arguments["n_jobs"])
model.fit(row_blocks(X, y))
done(time.perf_counter() - start, accuracy=float(model.certificate_.value),
     met=bool(model.certificate_.satisfied))
"""

LOGISTIC = """
from sparsestat import row_blocks
from sparsestat.linear_model import SparseLogisticRegression
rng = np.random.default_rng(0)
small = rng.standard_normal((300, 5))
SparseLogisticRegression(0.01).fit(row_blocks(small, (small[:, 0] > 0).astype(float)))
X, y = mapped()
start = time.perf_counter()
model = SparseLogisticRegression(arguments["alpha"], tol=1e-6)
model.fit(row_blocks(X, (y > 0).astype(float)))
seconds = time.perf_counter() - start
done(seconds, accuracy=loss(model.coef_[0], model.intercept_[0]),
     met=bool(model.certificate_.satisfied))
"""

GLUM = """
from glum import GeneralizedLinearRegressor
X, y = mapped()
X, y = np.asfortranarray(X, dtype=np.float64), (y > 0).astype(float)
start = time.perf_counter()
model = GeneralizedLinearRegressor(family="binomial", alpha=arguments["alpha"],
    l1_ratio=1.0, gradient_tol=1e-6, scale_predictors=False)
model.fit(X, y)
seconds = time.perf_counter() - start
done(seconds, accuracy=loss(model.coef_, model.intercept_), met=True)
"""

DASK_ML = """
import dask.array as da
from dask_ml.linear_model import LogisticRegression
X, y = mapped()
rows = da.from_array(X, chunks=(100000, X.shape[1]))
labels = da.from_array((y > 0).astype(float), chunks=100000)
start = time.perf_counter()
model = LogisticRegression(penalty="l1", C=arguments["alpha"] * len(X),
    solver="proximal_grad", max_iter=100, tol=1e-6)
model.fit(rows, labels)
seconds = time.perf_counter() - start
intercept = float(np.ravel(model.intercept_)[0])
done(seconds, accuracy=loss(np.ravel(model.coef_), intercept), met=True)
"""

CLUSTER = """
import dask, dask.array as da
from distributed import Client, LocalCluster, wait
from sparsestat.linear_model import Lasso
def shard(k, n, p):
    rng = np.random.default_rng(k)
    X = rng.standard_normal((n, p), dtype=np.float32)
    return np.column_stack([X, X[:, :5].sum(axis=1)])
if __name__ == "__main__":
    n, p, k = arguments["n"], arguments["p"], arguments["shards"]
    with LocalCluster(n_workers=arguments["workers"], threads_per_worker=1,
                      host="127.0.0.1", dashboard_address=None) as cluster, \\
            Client(cluster) as client:
        rows = da.concatenate([
            da.from_delayed(dask.delayed(shard)(s, n, p), (n, p + 1), np.float32)
            for s in range(k)]).persist()
        X, y = rows[:, :p], rows[:, p]
        wait(rows)
        Lasso(0.1).fit(X, y)  # imports and kernels of every worker
        start = time.perf_counter()
        model = Lasso(0.1).fit(X, y)
        done(time.perf_counter() - start, accuracy=float(model.certificate_.value),
             met=bool(model.certificate_.satisfied))
"""


def _write(path, n, p):
    """Write n rows of p features and a target."""
    X = np.lib.format.open_memmap(
        path / "X.npy", mode="w+", dtype=np.float32, shape=(n, p)
    )
    y = np.empty(n)
    rng = np.random.default_rng(0)
    coef = np.zeros(p)
    coef[: p // 10] = 1.0 / np.sqrt(p // 10)
    for k in range(0, n, 50_000):
        rows = slice(k, min(k + 50_000, n))
        X[rows] = rng.standard_normal((rows.stop - k, p), dtype=np.float32)
        y[rows] = X[rows] @ coef + rng.standard_normal(rows.stop - k)
    X.flush()
    np.save(path / "y.npy", y)
    with open(path / "X.npy", "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _run(script, path, **arguments):
    """Run one row; return what it measured, or None where a library is missing."""
    file = path / "row.py"
    file.write_text(PRELUDE + script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(file), str(path), json.dumps(arguments)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1][:200], file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def _row(task, side, found, n_bytes):
    if found is None:
        return [task, side, None, None, None, None, "not run"]
    rate = 1e-6 * n_bytes / found["seconds"]
    return [
        task,
        side,
        round(found["seconds"], 1),
        round(rate),
        round(found["memory"]),
        float(f"{found['accuracy']:.8g}"),
        "yes" if found["met"] else "no",
    ]


def _median(function, *arguments, repeats=3):
    """Return the median seconds of a call, on one thread, and what it returned last."""
    from sparsestat._utils.parallel import single_threaded

    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        out = single_threaded(function, *arguments)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), out


def _figures(p, rows):
    """Return seconds and bytes sent of passes over a block in memory, and its bytes."""
    from functools import partial

    from sparsestat._utils.blocks import checked_block
    from sparsestat._utils.moments import fold_moments, numeric_targets, residual_sums
    from sparsestat.linear_model._blocks._likelihood import _coded
    from sparsestat.linear_model._penalized._block_sums import sums

    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, p), dtype=np.float32)
    block = checked_block(X, X[:, 0], None, n_features=p)
    targets = partial(numeric_targets, many=False)
    first, moments = _median(fold_moments, block, None, targets)
    center, coefs = moments[0].mean, rng.standard_normal((p, 100, 1))
    second, measured = _median(
        residual_sums, block, center[:p], center[p:], coefs, targets
    )
    labels = block._replace(y=(X[:, 0] > 0).astype(float))
    make = partial(_coded, classes=np.array([0.0, 1.0]), factors=None)
    working = np.arange(p // 10)
    at = center[:p], working, np.full(len(working), 0.1), 0.0
    newton, summed = _median(sums, labels, None, make, at, working, (), False)
    return [
        ("moments", first, _bytes(vars(moments[0]).values())),
        ("certificates of 100 strengths", second, _bytes(measured)),
        ("a Newton step of logistic regression", newton, _bytes(summed.values())),
    ], X.nbytes


def _bytes(values):
    return sum(np.asarray(value).nbytes for value in values)


def run(quick=False):
    """Fit from disk; against glum and dask-ml; on one worker and on two."""
    n, few, p = (200_000, 100_000, 50) if quick else (20_000_000, 2_000_000, 200)
    n_logistic, n_dask = (100_000, 100_000) if quick else (5_000_000, 500_000)
    rows = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DISK")) as folder:
        path = Path(folder)
        if shutil.disk_usage(path).free < 6 * n * p:  # BENCH_DISK names another folder
            n = few
        _write(path, n, p)
        for count, n_jobs in ((n, 2), (few, 2), (few, 1)):
            size = 4 * count * p
            found = _run(LASSO, path, alphas=100, n_jobs=n_jobs, n=count)
            task = f"LassoCV, {count:.0e} x {p}, float32 on disk ({1e-9 * size:.1f} GB)"
            side = f"sparsestat, {n_jobs} thread{'s' * (n_jobs > 1)}"
            rows.append(_row(task, side, found, 2 * size))
        p_logistic = p // 2
        _write(path, n_logistic, p_logistic)
        for count, side, script in (
            (n_logistic, "sparsestat, from disk", LOGISTIC),
            (n_logistic, "glum, in memory", GLUM),
            (n_dask, "sparsestat, from disk", LOGISTIC),
            (n_dask, "dask-ml, from disk", DASK_ML),
        ):
            found = _run(script, path, alpha=0.01, n=count)
            task = f"logistic, {count:.0e} x {p_logistic}, alpha = .01"
            rows.append(_row(task, side, found, 4 * count * p_logistic))
        shard = 20_000 if quick else 100_000
        task = f"Lasso, 20 chunks of {shard:.0e} x 200 held by workers of dask"
        for workers in (1, 2):
            found = _run(CLUSTER, path, workers=workers, n=shard, p=200, shards=20)
            side = f"sparsestat, {workers} worker{'s' * (workers > 1)}"
            rows.append(_row(task, side, found, 2 * 20 * shard * 200 * 4))
    block = 20_000 if quick else 200_000
    figures, n_bytes = _figures(p, block)
    hours = [seconds * 1e12 / n_bytes / 3600 for _, seconds, _ in figures]
    squares = hours[0] + hours[1]
    passes = "; ".join(
        f"{what}: {seconds:.2f} s, {sent / 1e3:.0f} kB"
        for what, seconds, sent in figures
    )
    return {
        "title": "Data that one machine does not hold",
        "claim": (
            "Targets; the rows show whether they are met: a LassoCV from disk at "
            "anonymous memory below 1.5 GB, a logistic fit within twice glum's in "
            "memory, two workers at least 1.6 times one."
        ),
        "columns": [
            "task",
            "side",
            "s",
            "MB/s read",
            "memory, MB",
            "gap or objective",
            "certified",
        ],
        "rows": rows,
        "notes": [
            "Pages of the file are dropped from the cache before each row; bytes read "
            "are those of the passes of LassoCV (two), of one pass otherwise.",
            "Last column but one: the relative gap of least squares; of the logistic "
            "rows the penalized loss, by one function outside the libraries.",
            f"A block of {block:,} x {p} float32, on one core, and what it sends: "
            f"{passes}.",
            f"From these figures, a terabyte of float32: {squares:.1f} core hours for "
            f"LassoCV, {hours[2]:.2f} for each Newton step; at {_PRICE} a core hour "
            f"{_PRICE * squares:.2f} and {8 * _PRICE * hours[2]:.2f} (eight passes). A "
            f"hundred workers take {60 * squares / 100:.1f} and "
            f"{60 * 8 * hours[2] / 100:.1f} minutes.",
            f"Where each of a hundred workers puts its own blocks together first, a "
            f"pass ends with {_messages(100)} messages of that size between them.",
        ],
    }


def _messages(workers):
    """Return how many results travel where eight are put together at a time."""
    total = 0
    while workers > 1:
        total += workers
        workers = -(-workers // 8)
    return total
