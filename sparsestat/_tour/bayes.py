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
from sparsestat._tour._section import Mark, Plot, SectionResult, Table
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
N_STEPS = 5


def run(progress):
    """Fit real data, a channel and a burst image; return tables and plots."""
    progress("compiling the kernels (once, then cached)")
    sparsestat.warmup(["bayes"])
    with single_blas_thread(), warnings.catch_warnings():
        # What is learned about the noise of wide data is shown, not warned about.
        warnings.simplefilter("ignore")
        progress("relevance on diabetes interactions")
        relevance, ratio, difference = _relevance()
        progress("channels over a reflecting surface")
        channels, error = _channels()
        progress("a burst image")
        bursts, figure, gain = _bursts()
    progress("drawing")
    finding = (
        f"On held-out patients the score differs from that of scikit-learn's "
        f"ARDRegression by {difference:+.3f}, in a fit {ratio:.1f} times as fast. "
        f"Channels with 5832 unknowns are recovered from 288 measurements with a "
        f"median error of {error:.1e}. Knowing that nonzeros are neighbours lowers the "
        f"error of the image by a factor of {gain:.0f}."
    )
    plots = [Plot(figure, "Moduli: the true image, with and without the coupling.")]
    return SectionResult(finding, [relevance, channels, bursts], plots)


def _timed(function):
    start = time.perf_counter()
    value = function()
    return value, time.perf_counter() - start


def _power(value):
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"


def _relevance():
    data = load_diabetes_interactions(degree=2)
    X, X_test, y, y_test = train_test_split(data.data, data.target, random_state=0)
    rows, scores, spent = [], {}, {}
    for name, model in {
        "SBLRegressor, mm": SBLRegressor(),
        "SBLRegressor, fast": SBLRegressor("fast"),
        "ARDRegression": ARDRegression(),
    }.items():
        pipeline = make_pipeline(StandardScaler(), model)
        pipeline.fit(X, y)
        _, spent[name] = _timed(lambda pipeline=pipeline: pipeline.fit(X, y))
        scores[name] = r2_score(y_test, pipeline.predict(X_test))
        coef = np.abs(model.coef_)
        certificate = getattr(model, "certificate_", None)
        rows.append(
            (
                name,
                f"{scores[name]:.3f}",
                str(int((coef > 1e-6 * coef.max()).sum())),
                f"{1e3 * spent[name]:.0f} ms",
                Mark(_power(certificate.value), certificate.satisfied)
                if certificate
                else "none",
            )
        )
    table = Table(
        ("method", "R²", "nonzero", "time", "certificate"),
        tuple(rows),
        "Scores on the quarter of the 442 patients that was held out, "
        f"{X.shape[1]} features; both libraries learn the noise. Certificate: "
        "the change of the variances by one more update, or the gain it would bring.",
        title="Relevance of features",
        text_columns=1,
    )
    ratio = spent["ARDRegression"] / spent["SBLRegressor, mm"]
    return table, ratio, scores["SBLRegressor, mm"] - scores["ARDRegression"]


def _channels(n_channels=5):
    errors, spent, steps = {}, {}, {}
    for seed in range(n_channels):
        data = make_irs_mimo_channel(random_state=100 + seed)
        s2 = data.noise_variance
        for name, model in {
            "KroneckerSBL": KroneckerSBL(noise_variance=s2),
            "BlockKroneckerSBL": BlockKroneckerSBL(data.coupled, noise_variance=s2),
            "BlockKroneckerSBL, nnls": BlockKroneckerSBL(
                data.coupled, m_step="nnls", noise_variance=s2
            ),
        }.items():
            _, seconds = _timed(lambda m=model, d=data: m.fit(d.factors, d.y))
            spent.setdefault(name, []).append(seconds)
            steps.setdefault(name, []).append(model.n_iter_)
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
            name,
            f"{np.median(values):.1e}",
            f"{np.max(values):.1e}",
            f"{np.median(steps[name]):.0f}",
            f"{1e3 * np.median(spent[name]):.0f} ms",
        )
        for name, values in errors.items()
    ]
    table = Table(
        ("method", "error, median", "error, worst", "iterations", "time"),
        tuple(rows),
        f"{n_channels} channels at 20 dB. Error: squared, relative to the squared norm "
        "of the channels. The design has 288 by 5832 entries and is never formed.",
        title="Kronecker structure",
        text_columns=1,
    )
    return table, float(np.median(errors["KroneckerSBL"]))


def _bursts():
    data = make_burst_sparse(random_state=2)
    s2, shape = data.noise_variance, (32, 32)
    rows, images, errors = [], {"true": data.coef}, {}
    for name, beta in (("coupled", None), ("independent", 0.0)):
        model = MRFSBL(shape, noise_variance=s2, beta=beta)
        _, seconds = _timed(lambda m=model: m.fit(data.X, data.y))
        error = (np.abs(model.coef_ - data.coef) ** 2).sum()
        errors[name] = error / (np.abs(data.coef) ** 2).sum()
        images[name] = model.coef_
        wrong = int((model.support_ != data.support).sum())
        rows.append((name, f"{errors[name]:.1e}", str(wrong), f"{seconds:.2f} s"))
    oracle = np.linalg.lstsq(data.X[:, data.support], data.y, rcond=None)[0]
    error = (np.abs(oracle - data.coef[data.support]) ** 2).sum()
    error /= (np.abs(data.coef) ** 2).sum()
    rows.append(("least squares, support known", f"{error:.1e}", "0", ""))
    table = Table(
        ("supports", "error", "wrong cells", "time"),
        tuple(rows),
        f"{data.support.sum()} of 1024 cells from 100 complex measurements at 20 dB.",
        title="Bursts on a grid",
        text_columns=1,
    )
    return table, _images(images, shape), errors["independent"] / errors["coupled"]


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
