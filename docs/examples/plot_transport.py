"""
Moving one cloud of points onto another
=======================================

Optimal transport with a regularization so small that Sinkhorn's sweeps alone would take
very long, and four things it is used for.
"""

# %%
# A plan
# ------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.neighbors import KNeighborsClassifier

from sparsestat.plotting import TransportPlanDisplay
from sparsestat.transport import (
    DomainAdaptationClassifier,
    DoublyStochasticAffinity,
    OptimalTransport,
    barycenter,
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
plt.figure(figsize=(5, 3.6), layout="constrained")
plt.scatter(*target.T, s=30, facecolors="none", edgecolors="0.5", label="target")
plt.scatter(*moved.T, s=10, marker="x", label="new points, moved")
plt.axis("equal")
plt.legend(loc="center")
plt.xlabel("feature 0")
plt.ylabel("feature 1")
plt.show()

# %%
# Labels in another domain
# ------------------------
# The classifier is fitted on labeled moons that are moved onto turned ones, whose own
# labels only the scores see.
X, y = make_moons(200, noise=0.1, random_state=0)
turned, truth = make_moons(200, noise=0.1, random_state=50)
turned = turned @ np.array([[0.77, 0.64], [-0.64, 0.77]])
plain = KNeighborsClassifier().fit(X, y).score(turned, truth)
adapted = DomainAdaptationClassifier(KNeighborsClassifier()).fit(X, y, Xt=turned)
print(f"accuracy {plain:.2f}; adapted {adapted.score(turned, truth):.2f}")

# %%
# Affinities whose rows and columns sum to one
# --------------------------------------------
# Transport of a cloud onto itself: a similarity that is not dominated by dense regions.
X, y = make_moons(200, noise=0.05, random_state=0)
affinity = DoublyStochasticAffinity().fit(X).affinity_matrix_
print(f"row sums are one to {abs(affinity.sum(axis=1) - 1).max():.0e}")
order = np.argsort(y)
plt.figure(figsize=(4.4, 3.6), layout="constrained")
plt.imshow(affinity[np.ix_(order, order)], cmap="Blues", vmax=0.02)
plt.colorbar(label="affinity")
plt.xlabel("sample, first moon first")
plt.ylabel("sample")
plt.show()

# %%
# The mean of two images
# ----------------------
# A barycenter at squared distances between pixels, without a matrix of costs.
y_pixel, x_pixel = np.mgrid[:48, :48]
disk = (x_pixel - 14) ** 2 + (y_pixel - 14) ** 2 < 81
box = (abs(x_pixel - 34) < 8) & (abs(y_pixel - 34) < 8)
middle = barycenter(np.array([disk, box], dtype=float), reg=1.0)
print(middle)
figure, axes = plt.subplots(1, 3, figsize=(7, 2.6), layout="constrained")
titles = ("one", "the other", "between them")
for ax, picture, title in zip(axes, (disk, box, middle.masses), titles, strict=True):
    ax.imshow(picture, cmap="Blues")
    ax.set_title(title)
    ax.axis("off")
plt.show()
