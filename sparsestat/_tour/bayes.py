"""Tour, sparse Bayesian learning: relevance on real data, a channel, a burst image."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings

import numpy as np
from sklearn.linear_model import ARDRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sparsestat
from sparsestat._tour._section import Plot, SectionResult, Table, proof
from sparsestat._utils.parallel import single_blas_thread
from sparsestat.bayes import MRFSBL, BlockKroneckerSBL, KroneckerSBL, SBLRegressor
from sparsestat.datasets import (
    load_diabetes_interactions,
    make_burst_sparse,
    make_irs_mimo_channel,
)

NAME = "bayes"
TITLE = "Sparse Bayesian learning"
ORDER = 20
GUIDE = "sparse_bayesian_learning"
CODE = """
from sparsestat.bayes import SBLRegressor
from sparsestat.datasets import load_diabetes_interactions

X, y = load_diabetes_interactions(return_X_y=True)
model = SBLRegressor().fit(X, y)
mean, std = model.predict(X[:3], return_std=True)
print(model.certificate_, mean, std)
"""
N_STEPS = 5


def run(progress):
    """Fit real data, channels and an image; return the finding, table and plot."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["bayes"])
    with single_blas_thread(), warnings.catch_warnings():
        # What is learned about the noise of wide data is shown, not warned about.
        warnings.simplefilter("ignore")
        progress("relevance on diabetes interactions")
        relevance, errors, ratio = _relevance()
        progress("channels over a reflecting surface")
        channels, channel_error = _channels()
        progress("a burst image")
        bursts, figure, gain = _bursts()
    progress("drawing")
    finding = (
        f"Without any penalty to tune, held-out patients are predicted with an R² of "
        f"{1 - errors[0]:.3f}, by scikit-learn's ARDRegression with "
        f"{1 - errors[1]:.3f} in {ratio:.2g} times the time, channels with 5832 "
        "unknowns are recovered from 288 measurements to a relative error of "
        f"{channel_error:.0e}, "
        "and knowing that nonzeros are neighbors lowers the error of an image by a "
        f"factor of {gain:.0f}."
    )
    table = Table(
        ("problem", "method", "error", "nonzero", "time", "certificate"),
        (*relevance, *channels, *bursts),
        "Error: squared, relative to the variance of held-out patients, to the channel "
        "(median of three, at 20 dB) or to the image. Certificate: how far the "
        "variances are from a stationary point of the evidence; for the image, "
        "whether the iteration rests.",
    )
    plot = Plot(figure, "Moduli: the true image, with and without the coupling.")
    glance = f"R² {1 - errors[0]:.3f} with no penalty to tune; ARD {1 - errors[1]:.3f}"
    return SectionResult(finding, table, plot, glance)


def _timed(function):
    start = time.perf_counter()
    value = function()
    return value, time.perf_counter() - start


def _relevance():
    """Return rows, the errors of both libraries and the ratio of their times."""
    data = load_diabetes_interactions(degree=2)
    X, X_test, y, y_test = train_test_split(data.data, data.target, random_state=0)
    rows, errors, spent = [], [], []
    for name, model in {
        "SBLRegressor": SBLRegressor(),
        "ARDRegression": ARDRegression(),
    }.items():
        pipeline = make_pipeline(StandardScaler(), model)
        pipeline.fit(X, y)
        _, seconds = _timed(lambda pipeline=pipeline: pipeline.fit(X, y))
        errors.append(1.0 - r2_score(y_test, pipeline.predict(X_test)))
        spent.append(seconds)
        coef = np.abs(model.coef_)
        used = int((coef > 1e-6 * coef.max()).sum())
        rows.append(
            (
                "patients",
                name,
                f"{errors[-1]:.3f}",
                f"{used} of {X.shape[1]}",
                f"{1e3 * seconds:.0f} ms",
                proof(model),
            )
        )
    return rows, errors, spent[1] / spent[0]


def _channels(n_channels=3):
    """Return rows and the median error of KroneckerSBL."""
    errors, spent, models = {}, {}, {}
    for seed in range(n_channels):
        data = make_irs_mimo_channel(random_state=100 + seed)
        s2 = data.noise_variance
        for name, model in {
            "KroneckerSBL": KroneckerSBL(noise_variance=s2),
            "BlockKroneckerSBL": BlockKroneckerSBL(
                data.coupled, noise_variance=s2, max_iter=500
            ),
        }.items():
            _, seconds = _timed(lambda m=model, d=data: m.fit(d.factors, d.y))
            spent.setdefault(name, []).append(seconds)
            models[name] = model
            found = np.einsum(
                "pi,mj,bk,ijk->pmb",
                *data.channel_factors,
                model.coef_tensor_,
                optimize=True,
            )
            error = (np.abs(found - data.channels) ** 2).sum()
            size = (np.abs(data.channels) ** 2).sum()
            errors.setdefault(name, []).append(error / size)
    rows = [
        (
            "channel",
            name,
            f"{np.median(values):.1e}",
            f"{np.count_nonzero(models[name].coef_tensor_)} of 5832",
            f"{1e3 * np.median(spent[name]):.0f} ms",
            proof(models[name]),
        )
        for name, values in errors.items()
    ]
    return rows, float(np.median(errors["KroneckerSBL"]))


def _bursts():
    """Return rows, a figure and the factor that the coupling is worth."""
    data = make_burst_sparse(random_state=2)
    s2, shape = data.noise_variance, (32, 32)
    rows, images, errors = [], {"true": data.coef}, {}
    for name, beta in (("coupled", None), ("independent", 0.0)):
        model = MRFSBL(shape, noise_variance=s2, beta=beta)
        _, seconds = _timed(lambda m=model: m.fit(data.X, data.y))
        error = (np.abs(model.coef_ - data.coef) ** 2).sum()
        errors[name] = error / (np.abs(data.coef) ** 2).sum()
        images[name] = model.coef_
        rows.append(
            (
                "burst image",
                f"MRFSBL, {name}",
                f"{errors[name]:.1e}",
                f"{int(model.support_.sum())} of 1024, {int(data.support.sum())} true",
                f"{1e3 * seconds:.0f} ms",
                proof(model),
            )
        )
    return rows, _images(images, shape), errors["independent"] / errors["coupled"]


def _images(images, shape):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(images), figsize=(7.5, 2.7), layout="constrained"
    )
    top = np.abs(images["true"]).max()
    for ax, (name, values) in zip(axes, images.items(), strict=True):
        ax.imshow(np.abs(values).reshape(shape), cmap="Greys", vmin=0, vmax=top)
        ax.set_title(name, fontsize="medium")
        ax.set_xticks([])
        ax.set_yticks([])
    return figure
