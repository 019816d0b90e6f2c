"""Tour, retrieval: digits as sets of patches, and sparse documents."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time

import numpy as np
from sklearn.datasets import load_digits

import sparsestat
from sparsestat._tour._section import Plot, SectionResult, Table
from sparsestat.neighbors import FixedDimensionalEncoder

NAME = "retrieval"
TITLE = "Retrieval of sets of vectors"
ORDER = 75
GUIDE = "retrieval"
CODE = """
import numpy as np
from sparsestat.neighbors import FixedDimensionalEncoder

rng = np.random.default_rng(0)
sets = [rng.normal(size=(9, 16)) for _ in range(200)]
model = FixedDimensionalEncoder(random_state=0).fit(sets)
encoded = model.transform(sets)
scores = model.transform_query(sets) @ encoded.T
print((scores.argmax(axis=1) == np.arange(200)).mean())
"""
N_STEPS = 4
N_QUERIES = 100
N_CANDIDATES = 20


def run(progress):
    """Find the digits whose patches match best, by encodings and exactly."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["neighbors"])
    digits = load_digits()
    sets = [_patches(image) for image in digits.images]
    documents, queries = sets[:-N_QUERIES], sets[-N_QUERIES:]
    progress("ranking all digits exactly")
    model = FixedDimensionalEncoder(random_state=0).fit(documents)
    start = time.perf_counter()
    exact = model.score_chamfer(queries, documents)
    seconds_exact = time.perf_counter() - start
    best = exact.argmax(axis=1)
    progress("encoding them")
    rows = [
        (
            "every patch with every patch",
            "exact",
            "-",
            "1.00",
            f"{1e3 * seconds_exact / N_QUERIES:.1f}",
        )
    ]
    shares = {}
    for n_repetitions in (4, 16, 64):
        model = FixedDimensionalEncoder(
            n_repetitions, projection_dim=4, random_state=0
        ).fit(documents)
        encoded = model.transform(documents)
        start = time.perf_counter()
        scores = model.transform_query(queries) @ encoded.T
        order = np.argpartition(-scores, N_CANDIDATES)[:, :N_CANDIDATES]
        ranked = model.score_chamfer(queries, documents, candidates=order)
        seconds = time.perf_counter() - start
        found = order[np.arange(N_QUERIES), ranked.argmax(axis=1)]
        share = (found == best).mean()
        shares[n_repetitions] = share
        rows.append(
            (
                f"{N_CANDIDATES} candidates by encodings, ranked exactly",
                f"{n_repetitions} repetitions",
                f"{model.n_components_}",
                f"{share:.2f}",
                f"{1e3 * seconds / N_QUERIES:.1f}",
            )
        )
    progress("drawing")
    table = Table(
        ("search", "encoding", "numbers a digit", "nearest found", "ms a query"),
        tuple(rows),
        note=f"{N_QUERIES} handwritten digits are sought among the other "
        f"{len(documents)}. A digit is the set of its 3 x 3 patches; two digits are "
        "compared by the best match of each patch (Chamfer similarity).",
    )
    finding = (
        f"With {64} repetitions the most similar of {len(documents)} digits is found "
        f"for {shares[64]:.0%} of the queries by looking at {N_CANDIDATES} of them."
    )
    ranked = np.argsort(-exact, axis=1)[:, :4]
    glance = f"{shares[64]:.0%} found by looking at {N_CANDIDATES} of {len(documents)}"
    return SectionResult(
        finding, table, _plot(digits.images, len(documents), ranked), glance
    )


def _patches(image):
    """Return the patches of an image that are not flat, centered and of length one."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3)).reshape(-1, 9)
    windows = windows - windows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(windows, axis=1)
    return windows[lengths > 8] / lengths[lengths > 8, None]


def _plot(images, first, ranked):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(4, 5, figsize=(5.4, 4.4), layout="constrained")
    for row, q in zip(axes, (3, 22, 45, 77), strict=True):
        for ax, k in zip(row, (first + q, *ranked[q]), strict=True):
            ax.imshow(images[k], cmap="gray_r")
            ax.set(xticks=[], yticks=[])
    axes[0, 0].set_title("query", fontsize="small")
    axes[0, 1].set_title("most similar first", fontsize="small", loc="left")
    return Plot(figure, "Digits, and those whose patches match theirs best.")
