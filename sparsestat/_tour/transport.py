"""Tour, optimal transport: colours of photographs, a pair of digits."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time

import numpy as np
from sklearn.datasets import load_digits, load_sample_image

import sparsestat
from sparsestat._tour._section import Mark, Plot, SectionResult, Table
from sparsestat._utils.parallel import single_blas_thread
from sparsestat.transport import OptimalTransport, sinkhorn

NAME = "transport"
TITLE = "Optimal transport"
ORDER = 40
N_STEPS = 4
PIXELS = 800
ETAS = (1e1, 1e3, 1e5)


def run(progress):
    """Transfer colours, solve one problem at all strengths, classify digits."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["transport"])
    with single_blas_thread():
        progress("transferring colours between photographs")
        images, models, colours = _transfer()
        progress("one pair of digits, from smooth to nearly exact")
        strengths, worst, held = _strengths()
    progress("drawing")
    plots = [_pictures(images, models)]
    finding = (
        f"Both colour maps meet their marginals to {_worst(models):.0e}. One pair of "
        f"digits was solved at strengths four orders of magnitude apart, with a "
        f"marginal error of at most {worst:.0e}; the proved gap to the linear program "
        f"was at least the true one in {held} of {len(ETAS)} cases."
    )
    return SectionResult(finding, [colours, strengths], plots)


def _worst(models):
    return max(m.certificate_.value for m in models.values())


def _transfer():
    images = {
        name: load_sample_image(f"{name}.jpg")[::4, ::4] / 255.0
        for name in ("china", "flower")
    }
    rng = np.random.RandomState(0)
    pixels = {}
    for name, image in images.items():
        flat = image.reshape(-1, 3)
        pixels[name] = flat[rng.choice(len(flat), PIXELS, replace=False)]
    rows, models = [], {}
    for source, target in (("china", "flower"), ("flower", "china")):
        start = time.perf_counter()
        model = OptimalTransport(reg=0.01).fit(pixels[source], Xt=pixels[target])
        fitted = time.perf_counter() - start
        start = time.perf_counter()
        mapped = model.transform(images[source].reshape(-1, 3))
        seconds = time.perf_counter() - start
        models[source] = model
        before = np.linalg.norm(
            images[source].reshape(-1, 3).mean(axis=0) - pixels[target].mean(axis=0)
        )
        after = np.linalg.norm(mapped.mean(axis=0) - pixels[target].mean(axis=0))
        certificate = model.certificate_
        rows.append(
            (
                f"{source} to {target}",
                f"{PIXELS} + {len(mapped)}",
                f"{before:.3f}",
                f"{after:.3f}",
                f"{fitted:.2f}",
                f"{seconds:.2f}",
                Mark(f"{certificate.value:.0e}", certificate.satisfied),
            )
        )
    table = Table(
        (
            "colours",
            "pixels",
            "distance",
            "after",
            "fit, s",
            "map, s",
            "marginal error",
        ),
        tuple(rows),
        title="Colours of one photograph in another",
        note="Distance between mean colours before and after. The plan is found "
        "between samples of pixels; all others are mapped by the same formula.",
    )
    return images, models, table


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
                f"{eta:.0e}",
                f"{result.n_iter['sinkhorn']} + {result.n_iter['newton']}",
                f"{1e3 * seconds:.0f}",
                Mark(f"{error:.0e}", result.converged),
                f"{result.value:.8f}",
                Mark(f"{result.gap:.1e}", result.gap >= true),
                f"{true:.1e}",
            )
        )
    return (
        Table(
            (
                "eta",
                "sweeps + steps",
                "ms",
                "marginal error",
                "cost",
                "proved gap",
                "true gap",
            ),
            tuple(rows),
            title="From smooth to nearly exact",
            note=f"Digits 0 and 5 on a 16 x 16 grid. The linear program's optimum, "
            f"{exact.value:.8f}, was found on {exact.certificate.details['arcs']} of "
            f"{C.size} arcs and proved optimal on all.",
        ),
        worst,
        held,
    )


def _pictures(images, models):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(8, 5.4), layout="constrained")
    for row, (name, image) in enumerate(images.items()):
        mapped = models[name].transform(image.reshape(-1, 3)).reshape(image.shape)
        for ax, picture, title in zip(
            axes[row],
            (image, np.clip(mapped, 0, 1)),
            (name, f"{name}, in the other's colours"),
            strict=True,
        ):
            ax.imshow(picture)
            ax.set_title(title, fontsize="medium")
            ax.axis("off")
    return Plot(figure, "Two photographs, each in the colours of the other.")
