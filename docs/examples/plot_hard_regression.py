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
    BestSubsetRegressor,
    ElementaryEstimator,
    LassoCV,
    RandomSupportRegressor,
)

diabetes = load_diabetes()
names = np.array(diabetes.feature_names)
for k in (1, 3, 5):
    model = BestSubsetRegressor(k=k).fit(diabetes.data, diabetes.target)
    print(k, ", ".join(names[model.support_]))
chosen = BestSubsetRegressor(criterion="bic").fit(diabetes.data, diabetes.target)
print(f"BIC takes {chosen.k_}")

wine = load_wine()
classes = BestSubsetClassifier(k=3).fit(wine.data, wine.target)
used = ", ".join(np.array(wine.feature_names)[classes.support_])
print(f"{classes.score(wine.data, wine.target):.1%} of the wines by {used}")

# %%
# A design of two scales
# ----------------------
# Strong directions hide the features that matter.
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
# The supports that were found:
import matplotlib.pyplot as plt

figure, axes = plt.subplots(2, 1, figsize=(8, 4), layout="constrained", sharex=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    (true,) = np.flatnonzero(data.coef)[None]
    ax.vlines(true, 0, data.coef[true], color="0.7", lw=6, label="true")
    ax.vlines(np.arange(len(model.coef_)), 0, model.coef_, color="C0", label="found")
    ax.set(title=name, ylabel="coefficient")
axes[0].legend()
axes[1].set_xlabel("feature")
plt.show()

# %%
# A closed form
# -------------
# With more samples than features, soft-thresholded least squares needs no iteration.
easy = make_sparse_regression(500, 40, n_nonzero=3, snr=10, random_state=0)
closed = ElementaryEstimator().fit(easy.X, easy.y)
print("found", closed.support_, "true", np.sort(easy.support))
