"""
A question about a network: what are the nodes without a label?
===============================================================

What a data scientist does: an edge list from a database, labels for a few nodes, a
classifier in a pipeline, and a look at how many groups there are.
"""

# %%
# An edge list
# ------------
# Images of handwritten digits, each joined to those that look most like it. Of this
# only the names at the two ends of each edge are kept, as they come from a database.
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.neighbors import kneighbors_graph

from sparsestat.cluster import select_n_clusters
from sparsestat.embedding import FastRP, from_edges
from sparsestat.linear_model import GraphLabelPropagation
from sparsestat.plotting import KSelectionDisplay

images, digits = load_digits(return_X_y=True)
ends = kneighbors_graph(images, 5).tocoo()
edges = pd.DataFrame({"a": ends.row, "b": ends.col}).map("image {:04d}".format)
print(edges.head(3))
adjacency, names = from_edges(edges)
print(f"{len(names)} nodes, {adjacency.nnz // 2} edges")

# %%
# Labels that spread
# ------------------
# One node in twenty has a label. -1 marks the others.
rng = np.random.default_rng(0)
known = rng.random(len(digits)) < 0.05
spread = GraphLabelPropagation(affinity="precomputed").fit(
    adjacency, np.where(known, digits, -1)
)
hidden = ~known
print(
    f"{known.sum()} labels known; of the others "
    f"{accuracy_score(digits[hidden], spread.transduction_[hidden]):.3f} are right"
)
print(spread.certificate_)

# %%
# Vectors for nodes
# -----------------
# Where a classifier wants features, random projections of the powers of the transition
# matrix give each node a vector, in milliseconds.
vectors = FastRP(n_components=64, random_state=0).fit_transform(adjacency)
classifier = LogisticRegression(max_iter=1000).fit(vectors[known], digits[known])
print(f"on vectors: {classifier.score(vectors[hidden], digits[hidden]):.3f}")

# %%
# How many groups?
# ----------------
# Three measures for each number of clusters of the vectors of 300 nodes. Where they
# disagree no number is right for every purpose.
few = vectors[rng.permutation(len(vectors))[:300]]
choice = select_n_clusters(
    few, k_range=range(4, 15, 2), certify="quick", random_state=0
)
print(choice.n_clusters)
_ = KSelectionDisplay.from_result(choice)
