"""Tour, likelihoods: tumors and digits classified by few features."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sparsestat._tour._section import Plot, SectionResult, Table, proof
from sparsestat._utils.parallel import single_blas_thread

NAME = "likelihoods"
TITLE = "Sparse classification"
ORDER = 12
GUIDE = "glm"
CODE = """
from sklearn.datasets import load_digits
from sparsestat.linear_model import SparseLogisticRegression

X, y = load_digits(return_X_y=True)
model = SparseLogisticRegression(0.02, row_sparse=True)
model.fit(X / 16, y)
print(model.certificate_, model.score(X / 16, y))
"""
N_STEPS = 4
DIGITS_ALPHA = 2e-3
SAGA_ITERATIONS = 200


def run(progress):
    """Classify tumors and digits; return the finding, table and plot."""
    from sparsestat.linear_model import (
        SparseLogisticRegression,
        SparseLogisticRegressionCV,
    )

    with single_blas_thread():
        progress("tumors: strength by cross-validation")
        data = load_breast_cancer()
        X, X_test, y, y_test = _split(data.data, data.target)
        cv = SparseLogisticRegressionCV(alphas=40, eps=1e-2, one_se=True, tol=1e-6)
        cv.fit(X, y)  # compiles
        seconds, _ = _clock(lambda: cv.fit(X, y))
        n_used, share = int(np.count_nonzero(cv.coef_)), cv.score(X_test, y_test)
        tumors = [
            "tumors, 40 strengths, 5 folds",
            f"{n_used} of {X.shape[1]}",
            f"{seconds:.2f} s",
            f"{share:.3f}",
            proof(cv),
        ]

        progress("digits: ten classes in one likelihood")
        digits = load_digits()
        X, X_test, y, y_test = _split(digits.data, digits.target)
        rows = [tumors]
        fits = {}
        for name, options in (
            ("digits, single coefficients", {}),
            ("digits, whole pixels", {"row_sparse": True, "alpha": 2e-2}),
        ):
            model = SparseLogisticRegression(
                **{"alpha": DIGITS_ALPHA, **options}, tol=1e-8
            )
            model.fit(X, y)  # compiles
            seconds, model = _clock(lambda model=model: model.fit(X, y))
            fits[name] = model, seconds
            rows.append(
                [
                    name,
                    _used(model),
                    f"{seconds:.2f} s",
                    f"{model.score(X_test, y_test):.3f}",
                    proof(model),
                ]
            )
        progress("digits: scikit-learn's saga")
        model, seconds = fits["digits, single coefficients"]
        peer = LogisticRegression(
            l1_ratio=1.0,
            C=1.0 / (DIGITS_ALPHA * len(y)),
            solver="saga",
            tol=1e-10,
            max_iter=SAGA_ITERATIONS,
            random_state=0,
        )
        saga_seconds, peer = _clock(lambda: peer.fit(X, y))
    ours, theirs = _violation(X, y, model), _violation(X, y, peer)
    rows.insert(
        2,
        [
            f"the same by scikit-learn's saga, {SAGA_ITERATIONS} epochs",
            _used(peer),
            f"{saga_seconds:.2f} s",
            f"{peer.score(X_test, y_test):.3f}",
            "",
        ],
    )
    progress("drawing")
    plot = Plot(
        _pixels(model),
        "Coefficients of each digit: blue pixels speak for it, red ones against.",
    )
    table = Table(
        columns=("problem", "used", "time", "accuracy, held out", "certificate"),
        rows=tuple(tuple(row) for row in rows),
        note="Certificate: the duality gap relative to that of the null model. The "
        "violation in the text is that of the optimality conditions, computed from the "
        "coefficients outside both libraries.",
        text_columns=2,
    )
    finding = (
        f"{n_used} of 30 measurements classify {100 * share:.0f} % of held-out "
        "tumors, and ten digits are fitted in one multinomial likelihood "
        f"in {seconds:.2f} s to a violation of {ours:.0e}, where saga's "
        f"{SAGA_ITERATIONS} epochs take {saga_seconds:.1f} s and leave {theirs:.0e}."
    )
    glance = f"{n_used} of 30 measurements: {share:.1%} of held-out tumors right"
    return SectionResult(finding, table, plot, glance)


def _split(X, y):
    X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), scaler.transform(X_test), y, y_test


def _clock(function):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = time.perf_counter()
        value = function()
        return time.perf_counter() - start, value


def _violation(X, y, model):
    P = model.predict_proba(X)
    P[np.arange(len(y)), y] -= 1.0
    G, W = (X.T @ P / len(y)).T, model.coef_
    active = np.abs(G + DIGITS_ALPHA * np.sign(W))
    resting = np.maximum(np.abs(G) - DIGITS_ALPHA, 0.0)
    return float(np.where(W != 0, active, resting).max())


def _used(model):
    pixels = int(model.coef_.any(axis=0).sum())
    return f"{pixels} of 64 pixels, {np.count_nonzero(model.coef_)} numbers"


def _pixels(model):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 5, figsize=(7.2, 3.2), layout="constrained")
    limit = np.abs(model.coef_).max()
    for digit, ax in enumerate(axes.flat):
        image = model.coef_[digit].reshape(8, 8)
        ax.imshow(image, cmap="RdBu", vmin=-limit, vmax=limit)
        ax.set_title(str(digit), fontsize="medium")
        ax.set_xticks([])
        ax.set_yticks([])
    return figure
