"""Groups of trees that share a rotation: how they grow, and what they say."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sparsestat._utils.parallel import run_parallel
from sparsestat.ensemble._rotations import draw_rotation

__all__ = ["Group", "ask_trees", "grow_groups", "importances", "out_of_bag"]

_ROWS = 4096  # rotated at a time in prediction
_SMALL = 512  # columns up to which a sparse rotation is multiplied by as a dense one
_MAX_DENSE = 1 << 27  # entries of rotated features that may come from sparse ones


@dataclass
class Group:
    """A rotation (None for none), the trees grown on it, and their samples' counts."""

    rotation: object
    trees: list


def rotate(X, rotation):
    """Return rotated features in single precision, in C order."""
    width = X.shape[1] if rotation is None else rotation.shape[1]
    if sparse.issparse(X) and X.shape[0] * width > _MAX_DENSE:
        raise ValueError(
            f"The rotated features of {X.shape[0]} sparse samples are dense: "
            f"{X.shape[0]} x {width} entries, more than {_MAX_DENSE}. Use "
            "rotation='rc' or 'sparse' with a smaller n_components."
        )
    if sparse.issparse(rotation) and not sparse.issparse(X) and width <= _SMALL:
        rotation = rotation.toarray()  # BLAS is the faster one
    out = X if rotation is None else X @ rotation
    out = out.toarray() if sparse.issparse(out) else out
    return np.ascontiguousarray(out, dtype=np.float32)


def bootstrap_counts(tree, n):
    """Return how often each sample is drawn for a tree: a function of its seed."""
    drawn = np.random.RandomState(tree.random_state).randint(0, n, n)
    return np.bincount(drawn, minlength=n)


def grow_groups(X, y, make_tree, *, kind, codes, weights, options, plan, n_jobs):
    """Grow all groups.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n_samples, n_features)
        Scaled features.
    y : ndarray of shape (n_samples,)
        Targets, or class numbers.
    make_tree : callable
        Takes a seed and returns an unfitted tree.
    kind : str or None
        Kind of rotation.
    codes : ndarray of shape (n_samples,) or None
        Classes for principal axes.
    weights : tuple
        Weights for the axes and weights for the trees, or None each.
    options : dict
        Of the rotations, and `bootstrap`.
    plan : list of tuple
        The seed of the rotation and the seeds of the trees of every group.
    n_jobs : int or None
        Threads.

    Returns
    -------
    groups : list of Group
        In the order of the plan.
    """
    of_axes, of_trees = weights

    def grow(seed, tree_seeds):
        rotation = None
        if kind is not None:
            rotation = draw_rotation(
                kind,
                X,
                codes=codes,
                weights=of_axes,
                options=options,
                rng=np.random.default_rng(seed),
            )
        rotated = rotate(X, rotation)
        trees = []
        for tree_seed in tree_seeds:
            tree = make_tree(tree_seed)
            given = of_trees
            if options["bootstrap"]:
                counts = bootstrap_counts(tree, len(y)).astype(np.float64)
                given = counts if of_trees is None else counts * of_trees
                if not given.any():  # every sample drawn has weight zero
                    given = of_trees
            trees.append(tree.fit(rotated, y, sample_weight=given))
        return Group(rotation, trees)

    return run_parallel(grow, plan, n_jobs=n_jobs)


def ask_trees(groups, X, ask, width, *, n_jobs):
    """Return the mean over all trees of ``ask(tree, rotated)``, block by block.

    Sums are taken in the order of the groups, whatever the number of threads.
    """
    n_trees = sum(len(group.trees) for group in groups)
    out = np.zeros((X.shape[0], width))
    for first in range(0, X.shape[0], _ROWS):
        block = X[first : first + _ROWS]

        def say(group, block=block):
            rotated = rotate(block, group.rotation)
            total = np.zeros((block.shape[0], width))
            for tree in group.trees:
                total += ask(tree, rotated).reshape(total.shape)
            return total

        for total in run_parallel(say, [(g,) for g in groups], n_jobs=n_jobs):
            out[first : first + _ROWS] += total
    return out / n_trees


def out_of_bag(groups, X, ask, width):
    """Return the mean of the trees that have not seen a sample, and how many."""
    n = X.shape[0]
    total, count = np.zeros((n, width)), np.zeros(n, np.int64)
    for group in groups:
        rotated = rotate(X, group.rotation)
        for tree in group.trees:
            out = bootstrap_counts(tree, n) == 0
            if out.any():
                total[out] += ask(tree, rotated[out]).reshape(-1, width)
                count[out] += 1
    return total / np.maximum(count, 1)[:, None], count


def importances(groups, n_features):
    """Return the importances of the trees, shared out over the original features."""
    total = np.zeros(n_features)
    for group in groups:
        mean = sum(tree.feature_importances_ for tree in group.trees)
        if group.rotation is None:
            total += mean
            continue
        share = abs(group.rotation)
        size = np.asarray(share.sum(axis=0)).ravel()
        total += share @ (mean / np.where(size > 0, size, 1.0))
    whole = total.sum()
    return total / whole if whole > 0 else total
