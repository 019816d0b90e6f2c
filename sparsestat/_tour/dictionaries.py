"""Tour, dictionaries: patches of a photograph, squares in front of it, its bits."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time

import numpy as np
from scipy.fft import dctn, idctn
from sklearn.decomposition import PCA

import sparsestat
from sparsestat._tour._section import Plot, SectionResult, Table, proof
from sparsestat._utils.parallel import single_blas_thread
from sparsestat.datasets import load_image_patches
from sparsestat.decomposition import (
    OnlineOrthogonalDictionary,
    OrthogonalDictionary,
    RobustPCA,
    abs_topk_code,
    quantize_rows,
)

NAME = "dictionaries"
TITLE = "Dictionaries and factorizations"
ORDER = 40
GUIDE = "dictionaries_and_factorizations"
CODE = """
import numpy as np
from sparsestat.decomposition import RobustPCA

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 2)) @ rng.normal(size=(2, 60))
spoiled = X + 20 * (rng.random(X.shape) < 0.05)
model = RobustPCA().fit(spoiled)
print(np.abs(model.low_rank_ - X).max())
"""
N_STEPS = 5
KEPT = (2, 4, 8, 16)


def run(progress):
    """Code patches with few atoms; separate a background from what moves."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["decomposition"])
    with single_blas_thread():
        progress("dictionaries of image patches")
        rows, errors = _patches()
        progress("background and moving spots")
        names, found, figure = _background()
        progress("the picture in few bits")
        picture = _bits()
    progress("drawing")
    k = KEPT[1]
    finding = (
        f"With {k} of 64 coefficients, new patches are off by "
        f"{errors['OrthogonalDictionary', k]:.3f} of their norm in a learned "
        f"dictionary, {errors['DCT', k]:.3f} in the cosine basis and "
        f"{errors['PCA', k]:.3f} in principal components, and behind moving squares "
        f"robust PCA finds the background to {found[0]:.0e}, principal components to "
        f"{found[1]:.0e}."
    )
    table = Table(
        ("model", *(f"{k} kept" for k in KEPT), "background", "certificate", "fit"),
        (*rows, *names, picture),
        "Relative errors. Kept: new patches of 8 by 8 pixels when the k largest of 64 "
        "coefficients are kept, which in an orthogonal basis is the best k-sparse "
        "code. Background: 60 frames of a photograph in changing light with three "
        "moving squares; in the same column, the whole photograph with the best four "
        "levels of each row. Certificate: last rise of the objective, Frank-Wolfe "
        "gap on the last batch, duality gap.",
        text_columns=1,
    )
    plot = Plot(
        figure, "A frame, and the low-rank and the sparse part that add up to it."
    )
    glance = f"a background to {found[0]:.0e}, by PCA to {found[1]:.0e}"
    return SectionResult(finding, table, plot, glance)


def _patches():
    data = load_image_patches(n_patches=20_000, patch_size=8, random_state=0).data
    train, test = data[:15_000], data[15_000:]
    fits = {}
    for name, model in (
        ("OrthogonalDictionary", OrthogonalDictionary(p=3, random_state=0)),
        (
            "OnlineOrthogonalDictionary",
            OnlineOrthogonalDictionary(max_iter=5, random_state=0),
        ),
        ("PCA", PCA(random_state=0)),
    ):
        start = time.perf_counter()
        model.fit(train)
        fits[name] = model, time.perf_counter() - start
    norm = np.linalg.norm(test)
    errors, rows = {}, []
    for name in (*fits, "DCT"):
        if name == "DCT":
            images = test.reshape(-1, 8, 8)
            full = dctn(images, axes=(1, 2), norm="ortho").reshape(test.shape)
        else:
            full = test @ fits[name][0].components_.T
        for k in KEPT:
            kept = abs_topk_code(full, k).toarray()
            if name == "DCT":
                back = idctn(kept.reshape(-1, 8, 8), axes=(1, 2), norm="ortho")
                back = back.reshape(test.shape)
            else:
                back = kept @ fits[name][0].components_
            errors[name, k] = np.linalg.norm(test - back) / norm
        model, seconds = fits.get(name, (None, None))
        rows.append(
            (
                name,
                *(f"{errors[name, k]:.3f}" for k in KEPT),
                "",
                proof(model),
                f"{seconds:.2f} s" if seconds else "",
            )
        )
    return rows, errors


def _bits():
    """Round the rows of the photograph to their best levels."""
    image = load_image_patches(n_patches=1, random_state=0).image
    start = time.perf_counter()
    stored = quantize_rows(image - image.mean(), bits=2)
    spent = time.perf_counter() - start
    bits = stored.n_bits / image.size
    return (
        f"quantize_rows, {bits:.2f} bits",
        *[""] * len(KEPT),
        f"{np.sqrt(stored.loss):.3f}",
        "",
        f"{spent:.2f} s",
    )


def _background():
    """Make frames from a photograph: changing light, and spots that move."""
    picture = load_image_patches(n_patches=1, random_state=0).image[::7, ::8]
    rng = np.random.default_rng(0)
    n_frames = 60
    light = 1.0 + 0.2 * np.sin(np.arange(n_frames) / 7.0)
    shade = np.linspace(0, 1, picture.shape[1]) * np.ones(picture.shape)
    L = np.outer(light, picture.ravel())
    L += np.outer(0.2 * np.cos(np.arange(n_frames) / 11.0), shade.ravel())
    S = np.zeros((n_frames, *picture.shape))
    starts = rng.integers(5, 45, size=(3, 2))
    for t in range(n_frames):
        for j, (row, column) in enumerate(starts):
            top = (row + (1 + j) * t) % (picture.shape[0] - 6)
            left = (column + (3 - j) * t) % (picture.shape[1] - 6)
            S[t, top : top + 6, left : left + 6] = (-1) ** j * 0.8
    S = S.reshape(n_frames, -1)
    start = time.perf_counter()
    model = RobustPCA(random_state=0).fit(L + S)
    seconds = time.perf_counter() - start
    pca = PCA(2).fit(L + S)
    plain = pca.inverse_transform(pca.transform(L + S))
    error, error_pca = (
        np.linalg.norm(found - L) / np.linalg.norm(L)
        for found in (model.low_rank_, plain)
    )
    empty = [""] * len(KEPT)
    rows = [
        ("RobustPCA", *empty, f"{error:.0e}", proof(model), f"{seconds:.2f} s"),
        ("PCA, rank 2", *empty, f"{error_pca:.0e}", "", ""),
    ]
    return rows, (error, error_pca), _frame(L + S, model, picture.shape)


def _frame(frames, model, shape, t=20):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(8, 2.4), layout="constrained")
    pictures = frames[t], model.low_rank_[t], model.sparse_.toarray()[t]
    for ax, picture, title in zip(
        axes, pictures, ("frame", "low rank", "sparse"), strict=True
    ):
        ax.imshow(picture.reshape(shape), cmap="gray")
        ax.set_title(title, fontsize="medium")
        ax.set_axis_off()
    return figure
