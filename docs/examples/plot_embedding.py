"""
Vectors for the nodes of a graph
================================

Random projections of the powers of a graph's matrix: nodes with the same surroundings
get similar vectors, in time linear in the number of edges.
"""

# %%
# The members of a karate club, which split in two
# ------------------------------------------------
import networkx as nx

from sparsestat.embedding import FastRP, FastRPCV
from sparsestat.plotting import EmbeddingDisplay

graph = nx.karate_club_graph()
club = [graph.nodes[i]["club"] for i in graph]
model = FastRP(32, random_state=0).fit(graph)
edges = nx.to_scipy_sparse_array(graph)
EmbeddingDisplay.from_estimator(model, labels=club, graph=edges)

# %%
# Which powers count
# ------------------
# With labels for some nodes, the weights of the powers can be chosen by
# cross-validation.
search = FastRPCV(32, n_iter=8, n_betas=2, random_state=0).fit(graph, club)
print(f"score {search.best_score_:.2f} with weights {search.best_weights_.round(2)}")
