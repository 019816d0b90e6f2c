"""Tour, optimal transport: colors of photographs, a pair of digits."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time

import numpy as np
from sklearn.datasets import load_digits, load_sample_image

import sparsestat
from sparsestat._tour._section import Mark, Plot, SectionResult, Table, proof
from sparsestat._utils.parallel import single_blas_thread
from sparsestat.transport import OptimalTransport, sinkhorn

NAME = "transport"
TITLE = "Optimal transport"
ORDER = 40
GUIDE = "optimal_transport"
CODE = """
import numpy as np
from sparsestat.transport import sinkhorn

x, y = np.random.default_rng(0).normal(size=(2, 300))
C = (x[:, None] - y - 1) ** 2
result = sinkhorn(C, eta=1e4)
print(result.value, result.gap, result.certificate)
"""
N_STEPS = 4
SHADES = 12  # steps of each color channel that make a palette
ETAS = (1e1, 1e3, 1e5)


def run(progress):
    """Transfer colors, solve one problem at several strengths."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["transport"])
    with single_blas_thread():
        progress("transferring colors between photographs")
        images, models, rows = _transfer()
        progress("one pair of digits, from smooth to nearly exact")
        strengths, worst, held, note = _strengths()
    progress("drawing")
    finding = (
        f"The palettes of two photographs change places by plans that meet their "
        f"marginals to {_worst(models):.0e}, and one pair of digits is solved at "
        "strengths four orders of magnitude apart with a marginal error of at most "
        f"{worst:.0e}, the proved gap to the linear program being at least the true "
        f"one in {held} of {len(ETAS)} cases."
    )
    table = Table(
        ("problem", "strength", "fit", "marginal error", "proved gap", "true gap"),
        (*rows, *strengths),
        note,
    )
    glance = f"proved gaps hold in {held} of {len(ETAS)} cases"
    return SectionResult(finding, table, _pictures(images, models), glance)


def _worst(models):
    return max(m.certificate_.value for m in models.values())


def _transfer():
    images = {
        name: load_sample_image(f"{name}.jpg")[::4, ::4] / 255.0
        for name in ("china", "flower")
    }
    palettes = {name: _palette(image) for name, image in images.items()}
    rows, models = [], {}
    for source, target in (("china", "flower"), ("flower", "china")):
        start = time.perf_counter()
        (X, a), (Y, b) = palettes[source], palettes[target]
        model = OptimalTransport(reg=0.05).fit(
            X, Xt=Y, sample_weight_s=a, sample_weight_t=b
        )
        seconds = time.perf_counter() - start
        models[source] = model
        rows.append(
            (
                f"colors, {source} to {target}",
                f"reg {model.reg_:.2g}",
                f"{1e3 * seconds:.0f} ms",
                proof(model),
                f"{model.gap_:.1e}",
                "",
            )
        )
    return images, models, rows


def _palette(image):
    """Return the colors of a picture, one for each shade, and their masses.

    Masses are roots of the numbers of pixels: with the numbers themselves a sky that is
    half of one picture would have to be cut among several colors of the other.
    """
    flat = image.reshape(-1, 3)
    shades = np.floor(SHADES * flat).astype(int) @ [(SHADES + 1) ** 2, SHADES + 1, 1]
    _, own, counts = np.unique(shades, return_inverse=True, return_counts=True)
    sums = np.array([np.bincount(own, channel) for channel in flat.T])
    masses = np.sqrt(counts)
    return (sums / counts).T, masses / masses.sum()


def _grid_cost(size):
    grid = np.stack(np.meshgrid(*[np.arange(float(size))] * 2), -1).reshape(-1, 2)
    C = ((grid[:, None] - grid) ** 2).sum(axis=-1)
    return C / C.max()


def _strengths():
    images = load_digits().images
    a, b = (np.kron(images[k] + 0.1, np.ones((2, 2))).ravel() for k in (0, 5))
    a, b = a / a.sum(), b / b.sum()
    C = _grid_cost(16)
    exact = sinkhorn(C, a, b, method="exact")
    rows, worst, held = [], 0.0, 0
    for eta in ETAS:
        start = time.perf_counter()
        result = sinkhorn(C, a, b, eta=eta, tol=1e-10)
        seconds = time.perf_counter() - start
        error = np.abs(result.plan.sum(axis=1) - a).sum()
        error += np.abs(result.plan.sum(axis=0) - b).sum()
        worst = max(worst, error)
        true = abs(result.value - exact.value)
        held += result.gap >= true
        rows.append(
            (
                "digit 0 to digit 5",
                f"eta {eta:,.0f}",
                f"{1e3 * seconds:.0f} ms",
                Mark(f"{error:.0e}", result.converged, certified=True),
                Mark(f"{result.gap:.1e}", result.gap >= true),
                f"{true:.1e}",
            )
        )
    note = (
        "Colors: plans between palettes, the mean colors of the shades of each "
        "picture with the root of their pixels for a mass; all pixels are "
        "mapped by the same formula. Digits: 16 by 16 pixels, costs divided by their "
        "maximum, eta = 1 / reg. The gap bounds how far the cost of the plan is from "
        "that of the linear program, which a network simplex solved exactly: "
        f"{(exact.plan > 0).sum():,} of {C.size:,} pairs carry mass."
    )
    return rows, worst, held, note


def _pictures(images, models):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(8, 5.4), layout="constrained")
    for row, (name, image) in enumerate(images.items()):
        mapped = models[name].transform(image.reshape(-1, 3)).reshape(image.shape)
        for ax, picture, title in zip(
            axes[row],
            (image, np.clip(mapped, 0, 1)),
            (name, f"{name}, in the other's colors"),
            strict=True,
        ):
            ax.imshow(picture)
            ax.set_title(title, fontsize="medium")
            ax.axis("off")
    return Plot(figure, "Two photographs, each in the colors of the other.")
