"""
A question about signals: what is left without the noise?
=========================================================

What an engineer does: clean an image, find the few sources behind many correlated
sensors, and continue a series with honest error bars.
"""

# %%
# An image
# --------
# Noise is added to a photograph; patches are coded by an orthogonal dictionary that is
# learned from the noisy image itself, and their overlaps are averaged. The noise level
# is estimated where it is not given.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from sparsestat.bayes import SBLRegressor
from sparsestat.decomposition import denoise_image
from sparsestat.gaussian_process import GridSpectralMixtureRegressor

rng = np.random.default_rng(0)
clean = load_sample_image("china.jpg").mean(axis=2)[100:300, 200:460] / 255
noisy = clean + 0.1 * rng.standard_normal(clean.shape)
found = denoise_image(noisy, random_state=0)


def decibels(image):
    """Return the ratio of the squared peak to the mean squared error."""
    return -10 * np.log10(np.mean((image - clean) ** 2))


fig, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
for ax, image, title in zip(
    axes, (clean, noisy, found), ("clean", "noisy", "found"), strict=True
):
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title if image is clean else f"{title}, {decibels(image):.1f} dB")
    ax.set_axis_off()

# %%
# Sources
# -------
# Three of 200 directions send to an array of 24 sensors. Neighboring directions look
# alike to it. Sparse Bayesian learning has no penalty to choose.
angles = np.linspace(0, 1, 200)
steering = np.cos(np.pi * np.outer(np.arange(24), angles)) / np.sqrt(24)
sources = np.zeros(200)
sources[[40, 90, 150]] = [2.0, -1.5, 1.0]
received = steering @ sources + 0.02 * rng.standard_normal(24)
model = SBLRegressor(noise_variance=0.02**2, fit_intercept=False).fit(
    steering, received
)
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.stem(angles, sources, linefmt="C7-", markerfmt="C7o", basefmt=" ", label="true")
ax.stem(angles, model.coef_, linefmt="C0-", markerfmt="C0.", basefmt=" ", label="found")
ax.set(xlabel="direction", ylabel="amplitude")
_ = ax.legend()

# %%
# A series
# --------
# Two oscillations with noise. A mixture of spectral densities on a grid finds the
# frequencies without random starts, and continues the series. What stays in phase for
# long has a narrow spectrum: by default the width and the noise are those that predict
# held-out ends of the series best.
time = np.arange(200.0)
series = (
    np.sin(2 * np.pi * time / 25)
    + 0.5 * np.sin(2 * np.pi * time / 9)
    + 0.2 * rng.standard_normal(200)
)
process = GridSpectralMixtureRegressor(random_state=0)
process.fit(time[:150, None], series[:150])
mean, spread = process.predict(time[:, None], return_std=True)
error = np.sqrt(np.mean((mean[150:] - series[150:]) ** 2))
print(f"root mean squared error of 50 steps ahead: {error:.2f} (noise 0.20)")
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.plot(time, series, "C7.", markersize=4, label="observed")
ax.plot(time, mean, "C0", label="predicted")
ax.fill_between(time, mean - 2 * spread, mean + 2 * spread, color="C0", alpha=0.2)
ax.axvline(149.5, color="C7", linestyle="--")
ax.set(xlabel="time", ylabel="signal")
_ = ax.legend(loc="lower left")
