"""
Deep kernel machines: kernels that are learned in layers
========================================================

A Gaussian process whose kernel is one of a wide network can learn only a few scales.
Here layers of the network learn as well.
"""

# %%
# A function of the distance from the origin, with two values
# -----------------------------------------------------------
# ``nu`` says how strongly a layer is held to what the kernel makes of the one before;
# infinity leaves the fixed kernel of a wide network with rectified linear units.
import warnings

import matplotlib.pyplot as plt
import numpy as np

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.gaussian_process import (
    DeepKernelMachineClassifier,
    DeepKernelMachineRegressor,
)
from sparsestat.plotting import LayerKernelDisplay

warnings.simplefilter("ignore", ConvergenceWarning)  # 80 iterations are few
rng = np.random.default_rng(0)
X = rng.normal(size=(1200, 2))
y = np.sign(np.sin(3 * np.sum(X**2, axis=1))) + 0.1 * rng.normal(size=1200)
train, test = slice(0, 800), slice(800, None)
models = {}
for nu in (1.0, np.inf):
    model = DeepKernelMachineRegressor(
        1, nu=nu, n_inducing=40, max_iter=80, random_state=0
    )
    models[nu] = model.fit(X[train], y[train])
    error = np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2))
    print(f"nu = {nu}: root mean squared error {error:.2f}")

# %%
# Learned kernels, layer by layer
# -------------------------------
# Gram matrices of the inducing points in the order of their distance from the origin:
# the layer that learned has found rings.
for nu, model in models.items():
    order = np.argsort(np.sum(model.inducing_points_**2, axis=1))
    display = LayerKernelDisplay.from_estimator(model, order=order)
    display.axes_[0].set_title(f"nu = {nu}")

# %%
# Classes
# -------
# The same, by the sign of the function.
classifier = DeepKernelMachineClassifier(
    1, nu=1.0, n_inducing=40, max_iter=60, random_state=0
)
classifier.fit(X[train], y[train] > 0)
print(f"accuracy {classifier.score(X[test], y[test] > 0):.2f}")
side = np.linspace(-2.5, 2.5, 80)
grid = np.stack(np.meshgrid(side, side), axis=-1)
p = classifier.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(80, 80)
fig, ax = plt.subplots(figsize=(4.6, 3.8), layout="constrained")
image = ax.pcolormesh(side, side, p, vmin=0, vmax=1, cmap="viridis")
fig.colorbar(image, ax=ax, label="probability of the upper value")
