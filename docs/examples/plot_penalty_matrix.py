"""
Every penalty with every loss
=============================

One table of claims, four questions: which features matter for how often, how much and
how soon; which groups of them; and which penalty of your own.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# Claims of 300 policies
# ----------------------
# The number of claims grows with the first two features, their size with the third. The
# exposure of a policy, the share of the year, is known: its logarithm is an offset.
import matplotlib.pyplot as plt
import numpy as np

from sparsestat.linear_model import (
    AdaptiveLassoCV,
    LassoCV,
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLassoCV,
    PenalizedRegressor,
    PenalizedRegressorCV,
    SparseGammaRegressor,
    SparseGammaRegressorCV,
    SparsePoissonRegressorCV,
    SparseTweedieRegressor,
    SparseTweedieRegressorCV,
)

rng = np.random.default_rng(0)
n, p = 300, 12
X = rng.standard_normal((n, p))
exposure = rng.uniform(0.2, 1.0, n)
counts = rng.poisson(exposure * np.exp(0.7 * X[:, 0] - 0.5 * X[:, 1]))
size = rng.gamma(3.0, np.exp(0.4 * X[:, 2]) / 3.0)
shape = np.maximum(3.0 * counts, 1.0)
amounts = np.where(counts > 0, rng.gamma(shape, np.exp(0.4 * X[:, 2]) / 3.0), 0.0)

often = SparsePoissonRegressorCV(alphas=30, one_se=True)
often.fit(X, counts, offset=np.log(exposure))
much = SparseGammaRegressorCV(alphas=30, one_se=True).fit(X, size)
total = SparseTweedieRegressorCV(alphas=30, one_se=True).fit(X, amounts)
models = {"how often": often, "how much": much, "in all": total}

fig, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    ax.stem(model.coef_, basefmt=" ")
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    ax.set(title=name, xlabel="feature")
axes[0].set_ylabel("coefficient")
plt.show()

# %%
# The same at one strength, features kept in or signs required
# ------------------------------------------------------------
# A multiplier of 0 leaves a feature unpenalized, infinity drops it.
weights = np.ones(p)
weights[0], weights[11] = 0.0, np.inf
kept = SparseGammaRegressor(0.2, feature_weights=weights).fit(X, size)
signed = SparseTweedieRegressor(0.1, positive=True).fit(X, amounts)
print("kept in although it does not matter:", kept.coef_[0].round(3))
print("no negative coefficient:", bool((signed.coef_ >= 0).all()))

# %%
# Several targets that share their features
# -----------------------------------------
both = np.column_stack([np.log1p(amounts), np.sqrt(counts)])
joint = {
    "MultiTaskElasticNet": MultiTaskElasticNet(0.1, l1_ratio=0.9),
    "MultiTaskElasticNetCV": MultiTaskElasticNetCV(alphas=20, one_se=True),
    "MultiTaskLassoCV": MultiTaskLassoCV(alphas=20, one_se=True),
}
for name, model in joint.items():
    print(f"{name:22}", np.flatnonzero(model.fit(X, both).coef_.any(axis=0)))

# %%
# Less shrinkage
# --------------
# Two ways to keep the choice of the Lasso and undo the shrinkage of its coefficients:
# weights from a first estimate, and a share of least squares on the support.
y = 2.0 * X[:, 0] - 1.0 * X[:, 1] + 0.5 * rng.standard_normal(n)
found = {
    "LassoCV": LassoCV(one_se=True).fit(X, y),
    "AdaptiveLassoCV": AdaptiveLassoCV(one_se=True).fit(X, y),
    "relaxed": LassoCV(one_se=True, relaxed=True).fit(X, y),
}
for name, model in found.items():
    print(f"{name:16}", model.coef_[:3].round(2), "of", np.count_nonzero(model.coef_))


# %%
# A penalty of your own
# ---------------------
# Neighbors in time should have equal coefficients: the penalty is the total variation,
# and its proximal operator is a small dual problem, solved here by projected gradients.
class TotalVariation:
    def value(self, w):
        return np.abs(np.diff(w)).sum()

    def prox(self, z, strength):
        dual = np.zeros(len(z) - 1)
        for _ in range(300):
            x = z + np.diff(dual, prepend=0.0, append=0.0)
            dual = np.clip(dual + 0.25 * np.diff(x), -strength, strength)
        return z + np.diff(dual, prepend=0.0, append=0.0)


profile = np.repeat([0.0, 1.0, 0.3], 20)
Z = rng.standard_normal((120, 60))
response = Z @ profile + rng.standard_normal(120)
smooth = PenalizedRegressor(penalty=TotalVariation(), alpha=0.1).fit(Z, response)
plain = PenalizedRegressorCV(penalty="scad", alphas=20).fit(Z, response)

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.step(range(60), profile, where="mid", color="0.7", label="truth")
ax.plot(plain.coef_, ".", label="SCAD")
ax.step(range(60), smooth.coef_, where="mid", label="total variation")
ax.set(xlabel="time", ylabel="coefficient")
ax.legend(frameon=False)
plt.show()
print(smooth.certificate_.satisfied)
