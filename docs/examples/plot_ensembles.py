"""
Ensembles, selection and labels
===============================

Forests on rotated features, features ranked without labels, and classes that no
training sample has.
"""

# %%
# Oblique classes
# ---------------
# Two features that are almost the same, and classes by their difference.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import AgglomerativeClustering
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from sparsestat.ensemble import RotationForestClassifier, RotationForestRegressor
from sparsestat.feature_selection import QuickSelection
from sparsestat.multiclass import FrechetMeanClassifier, locus

rng = np.random.default_rng(0)
level = rng.normal(size=(400, 1))
X = level + 0.3 * rng.normal(size=(400, 2))
y = (X[:, 0] > X[:, 1]).astype(int)
grid = np.stack(np.meshgrid(*[np.linspace(-3, 3, 150)] * 2), axis=-1)
fig, axes = plt.subplots(
    1, 2, figsize=(7, 3.6), layout="constrained", sharex=True, sharey=True
)
for ax, rotation in zip(axes, (None, "random"), strict=True):
    model = RotationForestClassifier(50, rotation=rotation, random_state=0)
    model.fit(X[:200], y[:200])
    share = model.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(150, 150)
    ax.contourf(grid[..., 0], grid[..., 1], share, 10, cmap="RdBu", alpha=0.8)
    ax.scatter(*X[:200].T, c=y[:200], cmap="RdBu", s=12, edgecolors="k", linewidths=0.4)
    accuracy = model.score(X[200:], y[200:])
    ax.set_title(f"rotation={rotation!r}: accuracy {accuracy:.3f}")

# %%
# The same for numbers: a ridge across the features.
target = np.exp(-20 * (X[:, 0] - X[:, 1]) ** 2)
for rotation in (None, "random"):
    forest = RotationForestRegressor(50, rotation=rotation, random_state=0)
    score = forest.fit(X[:200], target[:200]).score(X[200:], target[200:])
    print(f"rotation={rotation!r}: R2 {score:.3f}")

# %%
# Pixels by their strength
# ------------------------
# An autoencoder that never sees a label finds out where digits are written.
digits = load_digits()
selector = QuickSelection(20, n_epochs=100, random_state=0).fit(digits.data)
fig, axes = plt.subplots(1, 2, figsize=(6, 2.9), layout="constrained")
image = axes[0].imshow(selector.feature_strengths_.reshape(8, 8), cmap="viridis")
fig.colorbar(image, ax=axes[0], shrink=0.8)
axes[0].set_title("strength")
axes[1].imshow(selector.get_support().reshape(8, 8), cmap="gray")
axes[1].set_title("the 20 strongest")
for ax in axes:
    ax.set(xticks=[], yticks=[])

# %%
# Digits that were never seen
# ---------------------------
# Labels in a tree: the means of the ten digits, merged by agglomerative clustering,
# give 19 nodes. The classifier is trained on seven digits; the other three can only be
# predicted as the nodes of the tree between those it knows.
means = np.array([digits.data[digits.target == k].mean(axis=0) for k in range(10)])
merges = AgglomerativeClustering(n_clusters=1).fit(means).children_
parents = np.full(19, -1)
for k, pair in enumerate(merges):
    parents[pair] = 10 + k
seen = ~np.isin(digits.target, (3, 5, 8))
classifier = CalibratedClassifierCV(LogisticRegression(C=0.01, max_iter=2000), cv=3)
model = FrechetMeanClassifier(classifier, distances="tree", parents=parents)
model.fit(digits.data[seen], digits.target[seen])
nodes = model.predict(digits.data[~seen])
inner = (nodes >= 10).mean()
print(
    f"{inner:.0%} of the unseen digits, and "
    f"{(model.predict(digits.data[seen]) >= 10).mean():.0%} of the seen ones, are "
    "placed at an inner node"
)

# %%
# Which nodes can be predicted at all: those on the paths between observed digits.
from sparsestat.multiclass import next_label

hops = np.full((19, 19), np.inf)
np.fill_diagonal(hops, 0)
for node, parent in enumerate(parents):
    if parent >= 0:
        hops[node, parent] = hops[parent, node] = 1
for k in range(19):
    hops = np.minimum(hops, hops[:, [k]] + hops[[k]])
observed = [0, 1, 2, 4, 6, 7, 9]
print("reachable:", locus(hops, observed))
print("to observe next:", next_label(hops, observed))
