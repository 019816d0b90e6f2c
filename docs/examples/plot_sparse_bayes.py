"""
Sparse Bayesian learning, alone and by structure
================================================

Each coefficient has a variance of its own, and evidence drives most of them to zero:
no penalty has to be chosen. Structure, where it exists, is worth a lot.
"""

# %%
# Few coefficients
# ----------------
# 150 samples of 60 features, of which eight matter. All eight are found; what else
# stays is small. Entries below a hundredth are left out of the plots: InverseFreeSBL
# makes none exactly zero.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

from sparsestat.bayes import (
    MRFSBL,
    BlockKroneckerSBL,
    InverseFreeSBL,
    KroneckerSBL,
    SBLClassifier,
    SBLRegressor,
)
from sparsestat.datasets import (
    make_burst_sparse,
    make_irs_mimo_channel,
    make_kronecker_sparse,
    make_sparse_regression,
)
from sparsestat.plotting import SupportRecoveryDisplay

data = make_sparse_regression(150, 60, n_nonzero=8, snr=20, random_state=0)
models = {
    "SBLRegressor": SBLRegressor().fit(data.X, data.y),
    "InverseFreeSBL": InverseFreeSBL(random_state=0).fit(data.X, data.y),
}
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), layout="constrained", sharey=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    coef = np.where(np.abs(model.coef_) > 0.01, model.coef_, 0.0)
    SupportRecoveryDisplay(data.coef, coef=coef).plot(ax=ax)
    ax.set_title(name)
plt.show()

# %%
# Few rows
# --------
# With a kernel the columns are rows of the data: a boundary between two moons stands
# on a handful of them, without a parameter to tune but the width.
moons, side = make_moons(200, noise=0.2, random_state=0)
machine = SBLClassifier(kernel="rbf", kernel_params={"gamma": 1.0}).fit(moons, side)
grid = np.stack(np.meshgrid(np.linspace(-1.6, 2.6, 80), np.linspace(-1.1, 1.6, 60)), 2)
odds = machine.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(60, 80)
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
shown = ax.contourf(*np.moveaxis(grid, 2, 0), odds, levels=11, cmap="RdBu", alpha=0.6)
ax.scatter(*moons.T, c=side, s=8, cmap="RdBu", edgecolors="k", linewidths=0.2)
ax.scatter(*machine.relevance_vectors_.T, s=60, facecolors="none", edgecolors="k")
figure.colorbar(shown, label="probability")
ax.set_title(f"{machine.n_active_} of {len(moons)} rows")
plt.show()

# %%
# Coefficients that are a product
# -------------------------------
# The dictionary is a Kronecker product of three small ones, and so is the support:
# nothing of the size of the whole dictionary is ever formed.
kronecker = make_kronecker_sparse(random_state=0)
model = KroneckerSBL(noise_variance=kronecker.noise_variance)
model.fit(kronecker.factors, kronecker.y)
for found, true in zip(model.supports_, kronecker.supports, strict=True):
    print(f"found {found.tolist()}, true {true.tolist()}")

# %%
# A radio channel by way of a reflecting surface, whose couplings are known:
channel = make_irs_mimo_channel(random_state=0)
model = BlockKroneckerSBL(channel.coupled, noise_variance=channel.noise_variance)
print(model.fit(channel.factors, channel.y).certificate_)

# %%
# Coefficients that come in bursts
# --------------------------------
# 80 measurements of 256 pixels. A Markov random field knows that neighbors tend to be
# active together.
bursts = make_burst_sparse(80, (16, 16), n_bursts=2, random_state=0)
model = MRFSBL((16, 16), noise_variance=bursts.noise_variance)
model.fit(bursts.X, bursts.y)
figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
for ax, values, title in (
    (axes[0], bursts.coef, "true"),
    (axes[1], model.coef_, "found from 80 measurements"),
):
    ax.imshow(np.abs(values).reshape(16, 16), cmap="magma")
    ax.set(title=title, xticks=[], yticks=[])
plt.show()
