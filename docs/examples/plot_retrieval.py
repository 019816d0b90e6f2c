"""
Retrieval
=========

Images as sets of patches: vectors of fixed length find candidates, the exact similarity
of the sets ranks them. And sparse vectors, by an index and exactly.
"""

# %%
# Digits as sets of patches
# -------------------------
# Every digit is the set of its 3 x 3 patches, centered and of length one. Two digits
# are compared by the best match of each patch (Chamfer similarity).
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sparsestat.neighbors import FixedDimensionalEncoder, SparseNeighbors

digits = load_digits()


def patches(image):
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3)).reshape(-1, 9)
    windows = windows - windows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(windows, axis=1)
    return windows[lengths > 8] / lengths[lengths > 8, None]


documents = [patches(image) for image in digits.images[:1500]]
queries = [patches(image) for image in digits.images[1500:1560]]
encoder = FixedDimensionalEncoder(random_state=0).fit(documents)
exact = encoder.score_chamfer(queries, documents)
best = exact.argmax(axis=1)

# %%
# How long must encodings be?
# ---------------------------
# The share of queries whose most similar digit is among the first candidates.
fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ranks = np.arange(1, 101)
for n_repetitions, style in ((2, ":"), (8, "--"), (32, "-")):
    model = FixedDimensionalEncoder(n_repetitions, random_state=0).fit(documents)
    scores = model.transform_query(queries) @ model.transform(documents).T
    order = np.argsort(-scores, axis=1)[:, :100]
    place = np.where(order == best[:, None], np.arange(100), 100).min(axis=1)
    share = [(place < rank).mean() for rank in ranks]
    ax.plot(ranks, share, style, label=f"{model.n_components_} numbers")
ax.set(xscale="log", xlabel="candidates", ylabel="share found", ylim=(0, 1.02))
ax.legend(title="length of an encoding")

# %%
# A query, and what is found
# --------------------------
# Twenty candidates by their encodings, the best four of them by exact similarity.
scores = encoder.transform_query(queries) @ encoder.transform(documents).T
candidates = np.argsort(-scores, axis=1)[:, :20]
ranked = encoder.score_chamfer(queries, documents, candidates=candidates)
fig, axes = plt.subplots(3, 5, figsize=(5, 3.2), layout="constrained")
for row, q in zip(axes, (3, 17, 40), strict=True):
    found = candidates[q, np.argsort(-ranked[q])[:4]]
    for ax, image in zip(row, (1500 + q, *found), strict=True):
        ax.imshow(digits.images[image], cmap="gray_r")
        ax.set(xticks=[], yticks=[])
axes[0, 0].set_title("query")
axes[0, 1].set_title("found")

# %%
# Sparse vectors
# --------------
# Words of documents, drawn from topics: the index scores a part of the rows.
rng = np.random.default_rng(0)
words = rng.integers(0, 3000, (50, 80))
topic = rng.integers(0, 50, 4000)
X = np.zeros((4000, 3000), dtype=np.float32)
for i, row in enumerate(X):
    row[rng.choice(words[topic[i]], 30)] += rng.lognormal(size=30)
truth = SparseNeighbors(algorithm="exact").fit(X).kneighbors(return_distance=False)
for query_cut in (1, 3, 10):
    model = SparseNeighbors(query_cut=query_cut, random_state=0).fit(X)
    found = model.kneighbors(return_distance=False)
    hits = [len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)]
    print(f"{query_cut:2d} lists a query: recall {np.mean(hits) / 10:.3f}")
