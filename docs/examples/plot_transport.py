"""
Moving one cloud of points onto another
=======================================

Optimal transport with a regularization so small that Sinkhorn's sweeps alone would take
very long, and two things it is used for.
"""

# %%
# A plan
# ------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

from sparsestat.plotting import TransportPlanDisplay
from sparsestat.transport import (
    DoublyStochasticAffinity,
    OptimalTransport,
    sinkhorn_points,
)

rng = np.random.default_rng(0)
source = rng.standard_normal((150, 2))
angle = rng.uniform(0, 2 * np.pi, 150)
target = 3 * np.column_stack([np.cos(angle), np.sin(angle)]) + [6.0, 0.0]
result = sinkhorn_points(source, target, reg=1e-3, reg_mode="relative")
print(result)
TransportPlanDisplay.from_result(result, source=source, target=target)

# %%
# Carrying samples over
# ---------------------
# The estimator learns the same and moves new points.
model = OptimalTransport(reg=0.01).fit(source, Xt=target)
moved = model.transform(rng.standard_normal((300, 2)))
plt.figure(figsize=(5, 3), layout="constrained")
plt.scatter(*target.T, s=12, label="target")
plt.scatter(*moved.T, s=6, label="new points, moved")
plt.axis("equal")
plt.legend()
plt.show()

# %%
# Affinities whose rows and columns sum to one
# --------------------------------------------
# Transport of a cloud onto itself: a similarity that is not dominated by dense regions.
X, _ = make_moons(200, noise=0.05, random_state=0)
affinity = DoublyStochasticAffinity().fit(X).affinity_matrix_
print(f"row sums are one to {abs(affinity.sum(axis=1) - 1).max():.0e}")
