"""Tour, Gaussian processes: the air over Hawaii and the spots of the sun."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import time
import warnings

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from sparsestat._tour._section import Plot, SectionResult, Table, proof
from sparsestat._utils.parallel import single_blas_thread

NAME = "gaussian_processes"
TITLE = "Gaussian processes with learned spectra"
ORDER = 25
GUIDE = "gaussian_processes"
CODE = """
import numpy as np
from sparsestat.gaussian_process import (
    GridSpectralMixtureRegressor,
)

t = np.arange(120.0)[:, None]
y = np.sin(t[:, 0] / 3) + np.sin(t[:, 0] / 7)
model = GridSpectralMixtureRegressor().fit(t[:100], y[:100])
print(np.abs(model.predict(t[100:]) - y[100:]).max())
"""
N_STEPS = 4


def run(progress):
    """Forecast two series; return the finding, table and plot."""
    from sparsestat.gaussian_process import GridSpectralMixtureRegressor

    rows, fitted, errors, ratios = [], {}, {}, {}
    with single_blas_thread(), warnings.catch_warnings():
        # scikit-learn warns about bounds of its kernel; the scores tell the rest.
        warnings.simplefilter("ignore")
        progress("compiling the kernels (once, then cached)")
        line = np.arange(16.0)[:, None]
        GridSpectralMixtureRegressor(8, max_iter=3).fit(line, np.sin(line[:, 0]))
        for name, (y, ahead) in _series().items():
            progress(f"{name}: our spectrum and scikit-learn's kernel")
            x = np.arange(len(y), dtype=float)[:, None]
            past, future = slice(None, -ahead), slice(-ahead, None)
            models = {
                "GridSpectralMixtureRegressor": GridSpectralMixtureRegressor(),
                "GaussianProcessRegressor, RBF": GaussianProcessRegressor(
                    ConstantKernel() * RBF(10.0) + WhiteKernel(), normalize_y=True
                ),
            }
            spent = []
            for label, model in models.items():
                start = time.perf_counter()
                model.fit(x[past], y[past])
                spent.append(time.perf_counter() - start)
                mean, std = model.predict(x[future], return_std=True)
                error = float(np.mean((mean - y[future]) ** 2))
                errors.setdefault(name, []).append(error)
                rows.append(_row(name, label, model, spent[-1], y[future], mean, std))
            ratios[name] = spent[1] / spent[0]
            fitted[name] = (models["GridSpectralMixtureRegressor"], x, y, ahead)
        progress("drawing")
        plot = _forecast(*fitted["CO2"])
    table = Table(
        ("series", "model", "components", "MSE", "NLPD", "time", "certificate"),
        tuple(rows),
        "CO2: monthly means, the last 20 of 501 held out; sunspots: yearly, the "
        "last 30 of 309. NLPD: mean negative log density of the held-out values. "
        "Certificate: largest violation of stationarity over 500 components.",
    )
    ours, peer = errors["CO2"]
    finding = (
        f"The spectrum learned from CO2 forecasts twenty months with a squared error "
        f"{peer / ours:.0f} times smaller than a smooth kernel's, from a fit "
        f"{_pace(ratios['CO2'])}; on sunspots, whose cycles differ in "
        f"length, the squared errors are {errors['sunspots'][0]:.0f} and "
        f"{errors['sunspots'][1]:.0f}."
    )
    glance = f"CO2 ahead: squared error {ours:.2g}, by a smooth kernel {peer:.2g}"
    return SectionResult(finding, table, plot, glance)


def _pace(ratio):
    """Say how long a fit takes beside another one, which takes `ratio` times it."""
    if ratio >= 1:
        return f"{ratio:.1f} times as fast"
    return f"that takes {1 / max(ratio, 1e-9):.1f} times as long"


def _series():
    """Return two evenly spaced series and how many values of each are held out."""
    import statsmodels.datasets as data

    weekly = data.co2.load_pandas().data["co2"]
    monthly = weekly.resample("MS").mean().interpolate().to_numpy()[:501]
    spots = data.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()
    return {"CO2": (monthly, 20), "sunspots": (spots, 30)}


def _row(name, label, model, seconds, y, mean, std):
    error, variance = (y - mean) ** 2, std**2
    density = np.mean(0.5 * np.log(2 * np.pi * variance) + error / (2 * variance))
    return (
        name,
        label,
        str(len(model.active_)) if hasattr(model, "active_") else "",
        f"{error.mean():.3g}",
        f"{density:.2f}",
        f"{1e3 * seconds:.0f} ms",
        proof(model),
    )


def _forecast(model, x, y, ahead):
    from sparsestat.plotting import PredictionDisplay

    shown = slice(len(y) - ahead - 60, len(y) - ahead)
    display = PredictionDisplay.from_estimator(
        model,
        x[shown],
        y[shown],
        X_new=x[-ahead:],
        y_new=y[-ahead:],
        feature_name="month",
        target_name="CO2 (parts per million)",
        name="",
    )
    return Plot(
        display.figure_,
        "The last five years of the past, and the months held out with their forecast.",
    )
