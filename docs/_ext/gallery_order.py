"""The order of the gallery: whole jobs, the user guide, and new examples last."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

ORDER = (
    "plot_job_clinical_survival",
    "plot_job_signal",
    "plot_job_edges_to_classes",
    "plot_lasso_path",
    "plot_duality_gap",
    "plot_beyond_the_lasso",
    "plot_likelihoods",
    "plot_hard_regression",
    "plot_sparse_bayes",
    "plot_gaussian_processes",
    "plot_private_regression",
    "plot_graph_labels",
    "plot_clusters",
    "plot_dictionaries",
    "plot_compression",
    "plot_bars",
    "plot_transport",
    "plot_embedding",
    "plot_retrieval",
    "plot_ensembles",
)


def position(filename):
    """Return the sort key of an example's file name."""
    name = filename.removesuffix(".py")
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)
