"""
Labels that spread over a graph
===============================

Three digits in a hundred have a label. Neighbors tend to agree, and that is enough for
most of the others.
"""

# %%
# Classes
# -------
# The graph joins each image with its nearest neighbors; -1 marks what is unknown.
import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse import diags_array
from sklearn.datasets import load_digits

from sparsestat.embedding import from_edges
from sparsestat.linear_model import GraphLabelPropagation, GraphLabelRegressor

X, digits = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
known = rng.choice(len(digits), 50, replace=False)
y = np.full(len(digits), -1)
y[known] = digits[known]
model = GraphLabelPropagation().fit(X, y)
right = model.transduction_ == digits
print(f"{right[y < 0].mean():.1%} of the other {np.sum(y < 0)} are right")
print(model.certificate_)

# %%
# Classes can be held to their shares of the labels. It helps where some outgrow theirs,
# on graphs with hubs; digits are as good without.
massed = GraphLabelPropagation(class_mass=True).fit(X, y)
print(f"{(massed.transduction_ == digits)[y < 0].mean():.1%}")

# %%
# Some of those it got wrong, each with the label it gave and the true one:
figure, axes = plt.subplots(1, 8, figsize=(9, 1.7), layout="constrained")
for ax, i in zip(axes, np.flatnonzero(~right), strict=False):
    ax.imshow(X[i].reshape(8, 8), cmap="gray_r")
    ax.set_title(f"{model.transduction_[i]}, is {digits[i]}", fontsize=11)
    ax.axis("off")
plt.show()

# %%
# Numbers
# -------
# On a path whose ends are known the values in between are on a straight line.
path = diags_array([np.ones(9), np.ones(9)], offsets=[-1, 1])
ends = np.full(10, np.nan)
ends[[0, -1]] = [0.0, 9.0]
print(GraphLabelRegressor("precomputed").fit(path, ends).transduction_.round(6))

# %%
# Edges with names
# ----------------
# Friends of whom two say what they speak; edges have no direction.
friends = [("ann", "bob"), ("bob", "eve"), ("eve", "kim"), ("kim", "lee")]
graph, names = from_edges(friends)
speaks = np.where(names == "ann", "fr", np.where(names == "lee", "de", "-1"))
told = GraphLabelPropagation("precomputed").fit(graph, speaks).transduction_
print(dict(zip(names.tolist(), told.tolist(), strict=True)))
