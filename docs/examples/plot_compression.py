"""
Compression of matrices
=======================

The best levels of values, and a matrix in fewer bits.
"""

# %%
# The best levels of one column
# -----------------------------
# K-means on a line has no local minima to fall into: all numbers of clusters are solved
# at once, and exactly. A criterion chooses among them.
import matplotlib.pyplot as plt
import numpy as np

from sparsestat.cluster import KMeans1D
from sparsestat.decomposition import (
    SemiStructuredFactorization,
    quantize_rows,
    quantized_low_rank_sparse,
)

rng = np.random.default_rng(0)
x = np.concatenate(
    [c + s * rng.standard_normal(150) for c, s in ((0, 1), (6, 1), (9, 0.7))]
)
model = KMeans1D("bic", max_clusters=8).fit(x)
print(f"{model.n_clusters_} clusters, certificate {model.certificate_}")

figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3), layout="constrained")
left.hist(x, bins=60, color="0.75")
for boundary in model.boundaries_:
    left.axvline(boundary, color="C3", linestyle="--")
left.plot(
    model.cluster_centers_.ravel(), np.zeros(model.n_clusters_), "C0^", clip_on=False
)
left.set(xlabel="value", ylabel="samples", title="centers and boundaries")
right.plot(np.arange(1, 9), model.bic_path_, marker="o")
right.set(xlabel="number of clusters", ylabel="criterion", title="one fit")

# %%
# A matrix in fewer bits
# ----------------------
# Entries with heavy tails over a low rank, by codes of 1 to 6 bits: the best levels of
# each row, the same with half a percent of the entries kept exactly, and even levels
# with a low-rank and a sparse part.
W = rng.standard_t(4, (256, 256)) + rng.standard_normal((256, 3)) @ rng.standard_normal(
    (3, 256)
)
curves = {
    "best levels": [quantize_rows(W, bits) for bits in range(1, 7)],
    "best levels, outliers": [
        quantize_rows(W, bits, outlier_fraction=0.005) for bits in range(1, 7)
    ],
    "even levels, low rank, sparse": [
        quantized_low_rank_sparse(W, bits, 3, 0.01, random_state=0)
        for bits in range(1, 7)
    ],
}
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for (name, found), marker in zip(curves.items(), "os^", strict=True):
    losses = [q.loss if hasattr(q, "loss") else q.error**2 for q in found]
    ax.plot([q.n_bits / W.size for q in found], losses, marker=marker, label=name)
ax.set(yscale="log", xlabel="bits an entry", ylabel="relative squared error")
ax.legend(frameon=False)

# %%
# Two of every four entries
# -------------------------
# The pattern that hardware multiplies fast, alone and between block-diagonal factors.
factors = SemiStructuredFactorization(block_size=16, tol=0.01).fit(W)
print(f"pruned {factors.baseline_loss_:.3f}, factorized {factors.loss_:.3f}")
figure, axes = plt.subplots(1, 3, figsize=(8.5, 3), layout="constrained")
part = slice(0, 32)
blocks = np.zeros((32, 32)), np.zeros((32, 32))
for matrix, found in zip(
    blocks, (factors.left_blocks_, factors.right_blocks_), strict=True
):
    matrix[:16, :16], matrix[16:, 16:] = found[:2]
shown = blocks[0], factors.core_.toarray()[part, part], blocks[1]
for ax, matrix, title in zip(axes, shown, ("A", "S", "B"), strict=True):
    size = np.abs(matrix).max()
    ax.imshow(matrix, cmap="RdBu_r", vmin=-size, vmax=size)
    ax.set(title=f"{title}, corner of 32", xticks=[], yticks=[])
plt.show()
