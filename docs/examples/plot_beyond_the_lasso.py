"""
Penalties that do not shrink, that group, and that sort
=======================================================

The Lasso pulls every coefficient toward zero, large ones too, and lets useless ones in
to make up for it. Other penalties trade its convexity for less bias, or know more
about the coefficients.
"""

# %%
# Less bias: MCP and SCAD
# -----------------------
# Five of 300 features made these data. Open circles are their true coefficients; the
# lines show how far each estimate is off. The Lasso and the elastic net find all five,
# shrink each of them, and let others in to make up for it; SLOPE shrinks most. MCP and
# SCAD find the five alone and hardly shrink the large ones.
import matplotlib.pyplot as plt
import numpy as np

from sparsestat.datasets import make_sparse_regression
from sparsestat.linear_model import (
    ElasticNet,
    ElasticNetCV,
    GroupLasso,
    GroupLassoCV,
    Lasso,
    MCPRegressor,
    MCPRegressorCV,
    MultiTaskLasso,
    SCADRegressor,
    SCADRegressorCV,
    Slope,
    SlopeCV,
)
from sparsestat.plotting import SupportRecoveryDisplay

data = make_sparse_regression(100, 300, n_nonzero=5, snr=10, random_state=0)
models = {
    "Lasso": Lasso(alpha=0.15),
    "elastic net": ElasticNet(alpha=0.2, l1_ratio=0.8),
    "SLOPE": Slope(alpha=0.1),
    "MCP": MCPRegressor(alpha=0.3),
    "SCAD": SCADRegressor(alpha=0.3),
}
figure, axes = plt.subplots(3, 2, figsize=(8, 9), layout="constrained", sharey=True)
for ax, (name, model) in zip(axes.flat, models.items(), strict=False):
    model.fit(data.X, data.y)
    SupportRecoveryDisplay(data.coef, coef=model.coef_).plot(ax=ax)
    ax.set_title(name)
axes[2, 1].axis("off")
plt.show()

# %%
# With the strength chosen by cross-validation:
for model in (
    ElasticNetCV(l1_ratio=0.8, alphas=30, one_se=True),
    SlopeCV(alphas=20, eps=1e-2),
    MCPRegressorCV(one_se=True),
    SCADRegressorCV(one_se=True),
):
    model.fit(data.X, data.y)
    error = np.linalg.norm(model.coef_ - data.coef)
    print(
        f"{type(model).__name__:18s}{np.count_nonzero(model.coef_):4d} features, "
        f"error {error:.2f}"
    )

# %%
# Groups
# ------
# Features that belong together, such as the indicators of one category, enter or stay
# out together; here only group 0 matters. Cross-validation cares for prediction, and
# may take in one too many. With several targets, a feature enters for all of them.
rng = np.random.default_rng(0)
X = rng.standard_normal((80, 20))
y = X[:, :4] @ [1.0, -2.0, 1.5, 1.0] + rng.standard_normal(80)
print("given penalty:", GroupLasso(groups=4, alpha=0.3).fit(X, y).active_groups_)
print("chosen penalty:", GroupLassoCV(groups=4, one_se=True).fit(X, y).active_groups_)

Y = X[:, :2] @ rng.standard_normal((2, 3)) + 0.1 * rng.standard_normal((80, 3))
tasks = MultiTaskLasso(alpha=0.1).fit(X, Y)
print("three targets:", np.flatnonzero(tasks.coef_.any(axis=0)))

# %%
# What was proved
# ---------------
# Convex problems have a duality gap. MCP and SCAD are not convex: their certificate
# says how far the point is from satisfying the conditions of a local minimum.
from sparsestat.plotting import CertificateDisplay

CertificateDisplay.from_estimators(models)
