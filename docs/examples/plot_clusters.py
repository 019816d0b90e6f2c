"""
Clusters, and whether they are the best ones
============================================

Seven ways to put points into clusters. Some prove that their answer is the global
optimum, others keep sizes, follow a graph, or find subspaces.
"""

# %%
# A partition with a proof
# ------------------------
import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, make_blobs, make_moons

from sparsestat.cluster import (
    BalancedKMeans,
    CodingRateSubspaceClustering,
    DoublyStochasticClustering,
    LaplacianKMeans,
    LikelihoodAdjustedSDP,
    ProbabilisticPartitivePartitioning,
    SDPKMeans,
    kmeans_certificate,
    select_n_clusters,
)
from sparsestat.plotting import ClusterDisplay, KSelectionDisplay

X, _ = make_blobs(200, centers=4, cluster_std=0.5, random_state=0)
print(SDPKMeans(4, random_state=0).fit(X).certificate_)

# %%
# The proof does not care where labels come from:
labels = KMeans(4, n_init=10, random_state=0).fit_predict(X)
print(kmeans_certificate(X, labels))

# %%
# How many clusters
# -----------------
# Partitions are accepted that k-means finds again and a mixture confirms. Two of the
# three kinds of iris overlap, so that two clusters are accepted. The crosses are
# centers.
iris, _ = load_iris(return_X_y=True)
partition = ProbabilisticPartitivePartitioning(random_state=0).fit(iris)
ClusterDisplay.from_estimator(partition, iris)

# %%
# Or one looks at all numbers in a range: how apart the clusters are, whether halves of
# the rows give the same ones, and how much of an optimality gap is left. On half of the
# blobs:
selection = select_n_clusters(X[:100], range(2, 7), random_state=0)
print(selection.n_clusters)
KSelectionDisplay.from_result(selection)

# %%
# Clusters that are not round
# ---------------------------
# One label for each moon; an affinity whose rows sum to one; likelihoods that know
# about covariances; and three clusters of equal size, which need not be round either.
moons, y = make_moons(200, noise=0.05, random_state=0)
seeds = np.full(200, -1)
seeds[[np.flatnonzero(y == 0)[0], np.flatnonzero(y == 1)[0]]] = [0, 1]
rng = np.random.default_rng(0)
cross = rng.standard_normal((200, 2)) * [5.0, 0.3]
cross[100:] = cross[100:, ::-1] + [0.0, 16.0]
graph = LaplacianKMeans(2, reg=50.0, n_neighbors=10)
results = {
    "LaplacianKMeans": (moons, graph.fit(moons, seeds=seeds)),
    "DoublyStochasticClustering": (
        moons,
        DoublyStochasticClustering(2, random_state=0).fit(moons),
    ),
    "LikelihoodAdjustedSDP": (
        cross,
        LikelihoodAdjustedSDP(2, random_state=0).fit(cross),
    ),
    "BalancedKMeans": (cross, BalancedKMeans(3, random_state=0).fit(cross)),
}
figure, axes = plt.subplots(2, 2, figsize=(8.5, 6.5), layout="constrained")
for ax, (name, (points, model)) in zip(axes.flat, results.items(), strict=True):
    ClusterDisplay(model.labels_, points=points).plot(ax=ax)
    ax.set_title(name)
plt.show()

# %%
# Subspaces
# ---------
# Forty rows near each of three planes in six dimensions. The labels of each forty:
planes = [rng.standard_normal((40, 2)) @ rng.standard_normal((2, 6)) for _ in range(3)]
model = CodingRateSubspaceClustering(3, random_state=0).fit(np.vstack(planes))
print([np.unique(model.labels_[s : s + 40]).tolist() for s in (0, 40, 80)])
