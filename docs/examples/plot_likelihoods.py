"""
Classes, counts, outliers and survival times
============================================

The same sparse model for four kinds of target: the likelihood changes, the penalty,
the solver and the certificate stay.
"""

# %%
# Which of two classes
# --------------------
# Thirty measurements of cell nuclei, benign or malignant. Cross-validation chooses
# the penalty; the rule of one standard error takes the sparsest model that predicts
# about as well as the best.
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

from sparsestat.linear_model import (
    SparseCoxRegressor,
    SparseCoxRegressorCV,
    SparseHuberRegressor,
    SparseHuberRegressorCV,
    SparseLogisticRegression,
    SparseLogisticRegressionCV,
    SparsePoissonRegressor,
    SparsePoissonRegressorCV,
)

cancer = load_breast_cancer()
X, y = scale(cancer.data), cancer.target
classes = SparseLogisticRegressionCV(alphas=30, one_se=True).fit(X, y)
for j in np.flatnonzero(classes.coef_.ravel()):
    print(f"{cancer.feature_names[j]:24s}{classes.coef_.ravel()[j]:6.2f}")

# %%
# A single fit at a strength of our own, with its certificate:
print(SparseLogisticRegression(alpha=0.05).fit(X, y).certificate_)

# %%
# Counts, outliers, survival
# --------------------------
# Two features out of thirty matter. The counts have a Poisson law, a tenth of the
# measurements are off by 100, and four survival times in ten are only known to be
# longer than the time of observation.
rng = np.random.default_rng(0)
X = rng.standard_normal((300, 30))
signal = X[:, 0] - X[:, 1]
counts = rng.poisson(np.exp(0.5 + signal))
measured = 3 * signal + rng.standard_normal(300)
measured[:30] += 100
lifetime, observed = rng.exponential(np.exp(-signal)), rng.exponential(2.0, 300)
survival = np.column_stack([np.minimum(lifetime, observed), lifetime <= observed])

chosen = {
    "Poisson": SparsePoissonRegressorCV(alphas=20, one_se=True).fit(X, counts),
    "Huber": SparseHuberRegressorCV(alphas=20).fit(X, measured),
    "Cox": SparseCoxRegressorCV(alphas=20, eps=0.05, one_se=True).fit(X, survival),
}
given = {
    "Poisson": SparsePoissonRegressor(alpha=0.5).fit(X, counts),
    "Huber": SparseHuberRegressor(alpha=0.4).fit(X, measured),
    "Cox": SparseCoxRegressor(alpha=0.15).fit(X, survival),
}
for name in chosen:
    print(
        f"{name:8s} by cross-validation {np.flatnonzero(chosen[name].coef_)}, "
        f"with a given penalty {np.flatnonzero(given[name].coef_)}"
    )

# %%
# The coefficients found, beside the two that made the data. Shrinkage pulls each
# toward zero; the signs of the Cox model are those of the risk.
import matplotlib.pyplot as plt

from sparsestat.plotting import SupportRecoveryDisplay

true = np.zeros(30)
true[:2] = 1.0, -1.0
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for ax, (name, model) in zip(axes, given.items(), strict=True):
    size = 3.0 if name == "Huber" else 1.0
    SupportRecoveryDisplay(size * true, coef=model.coef_).plot(ax=ax)
    ax.set_title(name)
    ax.set_xlim(-0.5, 1.5)
    ax.legend(frameon=False, fontsize="small", loc="lower left")
plt.show()
