"""Orthogonal dictionary learning in one pass, against scikit-learn."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import FastICA, MiniBatchDictionaryLearning

from sparsestat.decomposition import OnlineOrthogonalDictionary, OrthogonalDictionary

TITLE = "Orthogonal dictionaries: one pass of 20,000 samples"
CLAIM = (
    "Targets; the rows show which are met: "
    "n = 10, a third of the codes other than zero: recovery error of at most 6e-4 with "
    "50 times less processor time than MiniBatchDictionaryLearning at its best alpha, "
    "without anything to tune."
)
ALPHAS = (0.1, 0.3, 0.6, 1.0)


def problem(n, n_samples, theta, seed):
    rng = np.random.default_rng(seed)
    D = np.linalg.qr(rng.standard_normal((n, n)))[0]
    codes = rng.standard_normal((n_samples, n)) * (rng.random((n_samples, n)) < theta)
    return codes @ D.T, D


def errors(atoms, D):
    """Return the recovery error and the worst match, of atoms made unit vectors."""
    A = atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-300)
    M = A @ D
    rows, columns = linear_sum_assignment(-np.abs(M))
    return abs(1 - (M**4).sum() / len(D)), np.abs(M[rows, columns]).min()


def sides(n, alphas):
    """Return functions from data and seed to atoms as rows."""
    batch = 100

    def dictionary(alpha):
        def fit(X, seed):
            model = MiniBatchDictionaryLearning(
                n,
                alpha=alpha,
                batch_size=batch,
                max_iter=1,
                tol=0.0,
                max_no_improvement=None,
                fit_algorithm="cd",
                random_state=seed,
            )
            return model.fit(X).components_

        return fit

    def ica(fun):
        def fit(X, seed):
            model = FastICA(n, whiten="unit-variance", fun=fun, random_state=seed)
            return model.fit(X).mixing_.T

        return fit

    table = {
        "ours, online, p = 3": lambda X, seed: (
            OnlineOrthogonalDictionary(
                batch_size=batch, schedule="nonconvex", random_state=seed
            )
            .fit(X)
            .components_
        ),
        "ours, online, p = 3, adaptive": lambda X, seed: (
            OnlineOrthogonalDictionary(
                batch_size=batch, schedule="adaptive", random_state=seed
            )
            .fit(X)
            .components_
        ),
        "ours, online, p = 3, adaptive, 2 passes": lambda X, seed: (
            OnlineOrthogonalDictionary(
                batch_size=batch, schedule="adaptive", max_iter=2, random_state=seed
            )
            .fit(X)
            .components_
        ),
        "ours, batch, p = 3": lambda X, seed: (
            OrthogonalDictionary(p=3, random_state=seed).fit(X).components_
        ),
        "ours, batch, p = 4": lambda X, seed: (
            OrthogonalDictionary(random_state=seed).fit(X).components_
        ),
        "FastICA, logcosh": ica("logcosh"),
        "FastICA, cube": ica("cube"),
    }
    for alpha in alphas:
        table[f"MiniBatchDictionaryLearning, alpha = {alpha}"] = dictionary(alpha)
    return table


def run(quick=False):
    """Fit every side on the same data for several seeds; return the table."""
    sizes = [(10, 2 if quick else 20)]
    if not quick:
        sizes += [(50, 3), (128, 1)]
    n_samples = 2_000 if quick else 20_000
    rows, notes = [], []
    warm, _ = problem(10, 500, 0.3, 0)
    for n, seeds in sizes:
        alphas = ALPHAS if n == 10 and not quick else (0.6,)
        if n == 128:
            alphas = ()
        times, found = {}, {}
        for seed in range(100, 100 + seeds):
            X, D = problem(n, n_samples, 0.3, seed)
            for name, fit in sides(n, alphas).items():
                slow = name.startswith("Mini")
                if slow and seed >= 100 + max(1, min(seeds, 5)):
                    continue
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if seed == 100 and n == 10:
                        sides(10, alphas)[name](warm, 0)
                    start = time.process_time()
                    atoms = fit(X, seed)
                    times.setdefault(name, []).append(time.process_time() - start)
                found.setdefault(name, []).append(errors(atoms, D))
        ours = np.median(times["ours, online, p = 3"])
        for name, spent in times.items():
            error, match = np.array(found[name]).T
            rows.append(
                [
                    str(n),
                    name,
                    f"{np.median(error):.1e}",
                    f"{error.max():.1e}",
                    f"{np.median(match):.4f}",
                    f"{np.median(spent):.3f}",
                    f"{np.median(spent) / ours:.1f}",
                    str(len(spent)),
                ]
            )
    notes += [
        "Recovery error |1 - ||A D||_4^4 / n| of unit atoms: 0 for the true dictionary "
        "up to order and sign. Match: the worst atom, best assignment.",
        "Processor seconds of one fit, one thread, median over seeds. Seeds 100 and "
        "up, which no default was chosen on. MiniBatchDictionaryLearning: one epoch, "
        "early stopping off, coordinate descent, at most 5 seeds.",
        "Online methods see every sample once (or twice), in 200 steps a pass; batch "
        "methods and FastICA visit all samples many times. With the published step "
        "sizes 200 steps are too few for 50 atoms and more. Compare the error with "
        "that of FastICA and the batch methods in every row: where theirs is smaller, "
        "they win.",
    ]
    if not quick:
        notes.append(
            "MiniBatchDictionaryLearning at n = 50 was run at alpha = 0.6 only (the "
            "best at n = 10), and at n = 128 not at all, for its running time."
        )
    return {
        "title": TITLE,
        "claim": CLAIM,
        "columns": [
            "n",
            "method",
            "error, median",
            "error, worst",
            "match",
            "CPU s",
            "CPU / ours",
            "seeds",
        ],
        "rows": rows,
        "notes": notes,
    }
