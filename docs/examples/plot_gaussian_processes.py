"""
Gaussian processes: spectra, inducing points, compact kernels
=============================================================

Five regressors with error bars, each for data of another size or shape.
"""

# %%
# A spectrum is learned
# ---------------------
# The number of sunspots a year, until 1960. The kernel is a sum of many cosines under
# wide envelopes. Most of their weights become exactly zero; the dots are the others,
# and the largest are at the cycle of eleven years.
import matplotlib.pyplot as plt
import numpy as np
import statsmodels.datasets

from sparsestat.gaussian_process import (
    CompactGPRegressor,
    DistributedGridSpectralMixtureRegressor,
    GridSpectralMixtureRegressor,
    SparseGPClassifier,
    SparseGPRegressor,
    ToeplitzGPRegressor,
)
from sparsestat.plotting import PredictionDisplay, SpectralDensityDisplay

sunspots = statsmodels.datasets.sunspots.load_pandas().data
year = sunspots["YEAR"].to_numpy()[:, None]
number = sunspots["SUNACTIVITY"].to_numpy()
past = year[:, 0] < 1960
model = GridSpectralMixtureRegressor().fit(year[past], number[past])
print(model.certificate_)
print(f"{len(model.active_)} of {len(model.weights_)} weights are not zero")
SpectralDensityDisplay.from_estimator(model, unit="cycles a year")

# %%
# What it says of the years it has not seen:
PredictionDisplay.from_estimator(
    model,
    year[past],
    number[past],
    X_new=year[~past],
    y_new=number[~past],
    feature_name="year",
    target_name="sunspots",
)

# %%
# Several parties learn one spectrum and keep their rows to themselves: they exchange
# weights, a few bits each.
cosine = np.sin(2 * np.pi * np.arange(110) / 12.5)
shared = DistributedGridSpectralMixtureRegressor(40, n_agents=3, noise=0.01)
shared.fit(np.arange(110.0)[:, None], cosine)
print(f"agents, weights: {shared.agent_weights_.shape}")

# %%
# Many samples
# ------------
# Twenty inducing points stand for 3000 samples; an upper and a lower bound of the
# likelihood say how good they are. Kernels that are zero beyond a radius leave a sparse
# matrix, and an even grid a Toeplitz one.
rng = np.random.default_rng(0)
X = rng.uniform(0, 10, (3000, 1))
y = np.sin(X[:, 0]) + 0.2 * rng.standard_normal(3000)
few = SparseGPRegressor(n_inducing=20, random_state=0).fit(X, y)
print(f"likelihood between {few.lower_bound_:.1f} and {few.upper_bound_:.1f}")
sides = SparseGPClassifier(n_inducing=20, random_state=0).fit(X, y > 0)
print(f"sides of zero told apart: {sides.score(X, np.sin(X[:, 0]) > 0):.2f}")

plane = rng.uniform(0, 10, (3000, 2))
waves = np.sin(plane[:, 0]) * np.cos(plane[:, 1]) + 0.1 * rng.standard_normal(3000)
compact = CompactGPRegressor(random_state=0).fit(plane, waves)
print(f"{compact.n_nonzeros_ / 3000:.0f} entries of the kernel a row")

time = np.arange(1000.0)[:, None]
series = np.sin(time[:, 0] / 20) + 0.3 * rng.standard_normal(1000)
series[500:540] = np.nan  # missing
even = ToeplitzGPRegressor().fit(time, series)
PredictionDisplay.from_estimator(
    even, time[400:640], series[400:640], feature_name="time", target_name="value"
)

# %%
# The surface that was learned from 3000 points:
side = np.linspace(0, 10, 60)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
plt.figure(figsize=(4, 3.4), layout="constrained")
plt.imshow(compact.predict(grid).reshape(60, 60), extent=(0, 10, 0, 10), origin="lower")
plt.colorbar(label="mean")
plt.xlabel("feature 0")
plt.ylabel("feature 1")
plt.show()
