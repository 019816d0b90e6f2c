"""Tour, probabilistic sparse coding: bars that hide each other, and strokes of digits.

Images of bars with a known answer are taken apart by models that know how the bars
combine, and by two that do not; pieces of digits by one of them.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_digits
from sklearn.decomposition import NMF, DictionaryLearning

from sparsestat._tour._section import Mark, Plot, SectionResult, Table, proof
from sparsestat._utils.parallel import single_blas_thread
from sparsestat.datasets import make_bars
from sparsestat.decomposition import BinarySparseCoding, MaximalCausesAnalysis
from sparsestat.plotting import DictionaryDisplay

NAME = "sparse_coding"
TITLE = "Probabilistic sparse coding"
ORDER = 45
GUIDE = "probabilistic_sparse_coding"
CODE = """
from sparsestat.datasets import make_bars
from sparsestat.decomposition import BinarySparseCoding

data = make_bars(500, random_state=0)
model = BinarySparseCoding(10, random_state=0)
model.fit(data.data)
print(model.sigma_, model.certificate_)
"""
N_STEPS = 4


def run(progress):
    """Take bars and digits apart; return the finding, table and plot."""
    with single_blas_thread():
        progress("bars that add up")
        added, binary = _compare(
            "sum", BinarySparseCoding(10, max_active=5, n_init=3, random_state=0)
        )
        progress("bars that hide each other")
        hidden, maximal = _compare(
            "max",
            MaximalCausesAnalysis(
                10, max_active=6, n_steps=150, n_init=2, random_state=0
            ),
            pi=0.4,  # four bars an image, which hide much of each other
        )
        progress("handwritten digits")
        digits, seconds = _digits()
    progress("drawing")
    table = Table(
        ("bars", "method", "found", "largest error", "noise", "certificate", "fit"),
        added + hidden,
        note=(
            "1,000 images of 5 by 5 pixels with ten bars of gray level 10, noise 2. "
            "Two an image add up; of four the largest wins. A "
            "bar is found when its atom is within 1 gray level on average, after the "
            "best assignment; atoms of the other methods are scaled to the bars first. "
            "Certificate: last relative change of the likelihood."
        ),
    )
    plot = Plot(
        DictionaryDisplay.from_estimator(digits).figure_,
        "Strokes that MaximalCausesAnalysis learns from 2,000 pieces of digits "
        "(scikit-learn's), 5 by 5 pixels; "
        f"the fit took {seconds:.1f} s.",
    )
    finding = (
        "From images in which bars cross, BinarySparseCoding learns "
        f"{added[0][2].text} bars and, which no factorization does, the noise "
        f"({binary.sigma_:.2f}, true 2); where bars hide each other "
        f"MaximalCausesAnalysis does so too ({hidden[0][2].text}, "
        f"{maximal.sigma_:.2f}), and NMF finds {hidden[1][2].text}."
    )
    glance = f"hidden bars: {hidden[0][2].text}, by NMF {hidden[1][2].text}"
    return SectionResult(finding, table, plot, glance)


def _errors(W, bars, scaled):
    """Return the error of each bar under the best assignment."""
    if scaled:  # these methods leave the scale, and maybe the sign, to the codes
        top = W[np.arange(len(W)), np.abs(W).argmax(axis=1)]
        W = 10.0 * W / np.where(top == 0, 1.0, top)[:, None]
    far = np.abs(W[:, None] - bars[None]).mean(axis=-1)
    rows, columns = linear_sum_assignment(far)
    return far[rows, columns]


def _compare(superposition, model, pi=None):
    bars = make_bars(1000, superposition=superposition, pi=pi, random_state=0)
    rows = []
    methods = {
        type(model).__name__: (model, bars.data),
        "NMF": (NMF(10, max_iter=1000, random_state=0), np.maximum(bars.data, 0)),
        "DictionaryLearning": (
            DictionaryLearning(
                10,
                alpha=5.0,
                max_iter=30,
                fit_algorithm="cd",
                positive_code=True,
                random_state=0,
            ),
            bars.data,
        ),
    }
    for name, (method, X) in methods.items():
        start = time.perf_counter()
        method.fit(X)
        seconds = time.perf_counter() - start
        ours = method is model
        error = _errors(method.components_, bars.components, not ours)
        found = int((error < 1.0).sum())
        rows.append(
            [
                "add up" if superposition == "sum" else "largest wins",
                name,
                Mark(f"{found} of 10", found == 10),
                f"{error.max():.2f}",
                f"{method.sigma_:.2f}" if ours else "",
                proof(method),
                f"{seconds:.2f} s",
            ]
        )
    return rows, model


def _digits():
    # Whole digits give prototypes of digits; pieces of them have strokes to share.
    images = load_digits().images
    rng = np.random.default_rng(0)
    which, rows, columns = (rng.integers(0, k, 2000) for k in (len(images), 4, 4))
    pieces = np.lib.stride_tricks.sliding_window_view(images, (5, 5), axis=(1, 2))
    X = pieces[which, rows, columns].reshape(2000, -1)
    model = MaximalCausesAnalysis(
        25, n_candidates=8, max_active=4, n_steps=60, max_iter=120, random_state=0
    )
    start = time.perf_counter()
    model.fit(X)
    return model, time.perf_counter() - start
