"""
When the Lasso picks the wrong features
=======================================

Choosing exactly k features, choosing well among features that are nearly copies, and a
closed form as the baseline.
"""

# %%
# The best subset
# ---------------
# Ten measurements of 442 patients; an information criterion chooses how many count.
import numpy as np
from sklearn.datasets import load_diabetes, load_wine

from sparsestat.datasets import make_hard_regression, make_sparse_regression
from sparsestat.linear_model import (
    BestSubsetClassifier,
    BestSubsetCoxRegressor,
    BestSubsetPoissonRegressor,
    BestSubsetRegressor,
    ElementaryEstimator,
    LassoCV,
    RandomSupportRegressor,
)

diabetes = load_diabetes()
names = np.array(diabetes.feature_names)
for k in (1, 3, 5):
    model = BestSubsetRegressor(n_nonzero_coefs=k).fit(diabetes.data, diabetes.target)
    print(k, ", ".join(names[model.support_]))
chosen = BestSubsetRegressor(criterion="bic").fit(diabetes.data, diabetes.target)
print(f"BIC takes {chosen.n_nonzero_coefs_}")

wine = load_wine()
classes = BestSubsetClassifier(n_nonzero_coefs=3).fit(wine.data, wine.target)
used = ", ".join(np.array(wine.feature_names)[classes.support_])
print(f"{classes.score(wine.data, wine.target):.1%} of the wines by {used}")

# %%
# Counts, and times until an event: the same search with their likelihoods.
rng = np.random.default_rng(0)
X = rng.standard_normal((200, 30))
eta = 0.8 * X[:, 4] - 0.8 * X[:, 7]
counts = BestSubsetPoissonRegressor(2).fit(X, rng.poisson(np.exp(eta)))
times = BestSubsetCoxRegressor(2).fit(X, rng.exponential(np.exp(-eta)))
print("counts", counts.support_, "times", times.support_)

# %%
# A design of two scales
# ----------------------
# Half of the features are nearly combinations of two strong directions, and five of
# them matter by how they differ; three more matter among independent features. No
# single penalty suits both.
data = make_hard_regression(design="two_scale", random_state=0)
models = {
    "LassoCV": LassoCV(),
    "random supports": RandomSupportRegressor(random_state=0),
}
for name, model in models.items():
    model.fit(data.X, data.y)
    error = np.mean((data.X @ (model.coef_ - data.coef)) ** 2)
    print(f"{name:16s} error {error:.2e}, {np.count_nonzero(model.coef_)} features")

# %%
# The supports that were found. The axis is linear near zero and logarithmic beyond:
# true coefficients reach from below one to several hundred.
import matplotlib.pyplot as plt

true = np.flatnonzero(data.coef)
figure, axes = plt.subplots(2, 1, figsize=(8, 4.6), layout="constrained", sharex=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    found = np.flatnonzero(model.coef_)
    ax.plot(true, data.coef[true], "o", mfc="none", ms=10, c="0.3", label="true")
    ax.vlines(found, 0, model.coef_[found], color="C0")
    ax.plot(found, model.coef_[found], ".", color="C0", label="found")
    ax.axhline(0, color="0.6", lw=0.8)
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set_ylim(-1500, 1500)
    ax.set_yticks([-100, -1, 0, 1, 100])
    ax.set(title=name, ylabel="coefficient")
axes[0].legend(loc="upper right")
axes[1].set_xlabel("feature")
plt.show()

# %%
# A closed form
# -------------
# With many samples and little correlation, soft-thresholded least squares needs no
# iteration.
easy = make_sparse_regression(500, 40, n_nonzero=3, snr=10, random_state=0)
closed = ElementaryEstimator("universal").fit(easy.X, easy.y)
print("found", closed.support_, "true", np.sort(easy.support))
