"""Series of statsmodels, cut into a past and a future."""

import numpy as np


def load(name):
    """Return ``(y, number of last values held out)`` of an evenly spaced series."""
    import statsmodels.datasets as data

    if name == "co2":  # monthly means of the first 501 months
        weekly = data.co2.load_pandas().data["co2"]
        monthly = weekly.resample("MS").mean().interpolate()
        return monthly.to_numpy()[:501], 20
    if name == "sunspots":
        return data.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(), 30
    if name == "unemployment":
        return data.macrodata.load_pandas().data["unemp"].to_numpy(), 20
    if name == "elnino":
        return data.elnino.load_pandas().data.iloc[:, 1:].to_numpy().ravel(), 24
    if name == "nile":
        return data.nile.load_pandas().data["volume"].to_numpy(), 20
    raise ValueError(f"Unknown series {name!r}.")


def split(name):
    """Return X, y of the past and X, y of the future."""
    y, ahead = load(name)
    X = np.arange(len(y), dtype=float)[:, None]
    return X[:-ahead], y[:-ahead], X[-ahead:], y[-ahead:]


def scores(mean, variance, y):
    """Return the mean squared error and the mean negative log predictive density."""
    error = (y - mean) ** 2
    density = 0.5 * np.log(2 * np.pi * variance) + error / (2 * variance)
    return float(error.mean()), float(density.mean())
