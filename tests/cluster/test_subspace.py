"""Coding rate and doubly stochastic clustering: slopes, monotone descent, recovery."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_moons
from sklearn.metrics import adjusted_rand_score

from sparsestat.cluster import CodingRateSubspaceClustering, DoublyStochasticClustering
from sparsestat.cluster._coding_maps import (
    affinity_rate,
    ascend_map,
    cosine_affinity,
    descend_affinity,
    first_map,
    mapped_rows,
    rate_reduction,
)
from sparsestat.cluster._coding_rate import (
    _anneal_one,
    anneal,
    batches,
    coding_rate,
    descend,
    rate_slopes,
)
from sparsestat.datasets import make_subspaces
from sparsestat.exceptions import ConvergenceWarning


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def unit_rows(rng, n, d):
    X = rng.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def plain_rate(X, weights, eps):
    n, d = X.shape
    total = 0.0
    for w in weights.T:
        tau = w.sum()
        M = np.eye(d) + d / (tau * eps**2) * (X.T * w) @ X
        total += tau / (2 * n) * np.linalg.slogdet(M)[1]
    return total


# The rate and its slopes


@pytest.mark.parametrize(("n", "d"), [(30, 4), (12, 20)])
def test_slopes_are_finite_differences_of_the_rate(n, d, rng):
    X = unit_rows(rng, n, d)
    P = rng.dirichlet(np.ones(3), n)
    slopes, rate = rate_slopes(X, P, 3, 0.3)
    assert_allclose(rate, plain_rate(X, P, 0.3), rtol=1e-12)
    h = 1e-6
    for i, j in ((0, 0), (3, 1), (n - 1, 2)):
        up, down = P.copy(), P.copy()
        up[i, j] += h
        down[i, j] -= h
        slope = n * (plain_rate(X, up, 0.3) - plain_rate(X, down, 0.3)) / h
        assert_allclose(slopes[i, j], slope, rtol=1e-6)


def test_both_sides_of_the_gram_matrix_agree(rng):
    X = unit_rows(rng, 40, 15)
    labels = np.repeat([0, 1], [30, 10])  # above and below the dimension
    slopes, rate = rate_slopes(X, labels, 3, 0.2)
    assert_allclose(slopes[:, 2], 15 / 0.04)  # an empty group, rows of norm one
    one_hot = np.eye(2)[labels]
    assert_allclose(rate, plain_rate(X, one_hot, 0.2), rtol=1e-12)
    for j in range(2):
        B = X[labels == j]
        M = np.eye(15) + 15 / (len(B) * 0.04) * B.T @ B
        inverse = np.linalg.inv(M)
        expected = (
            np.linalg.slogdet(M)[1]
            + 15 / 0.04 * np.einsum("nd,de,ne->n", X, inverse, X)
            + np.trace(inverse)
            - 15
        )
        assert_allclose(slopes[:, j], expected, rtol=1e-9)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("temperature", [None, 2.0])
def test_the_rate_never_rises_and_labels_are_a_fixed_point(balanced, temperature, rng):
    X = unit_rows(rng, 150, 6)
    start = rng.integers(0, 4, 150)
    if temperature is not None:
        start = anneal(X, [start], 4, 0.2, temperature)[0]
    found = descend(X, start, 4, 0.2, 200, 0.0, balanced)
    assert (np.diff(found.history) <= 1e-12).all() and found.change == 0
    slopes, rate = rate_slopes(X, found.labels, 4, 0.2)
    assert_allclose(rate, found.rate, rtol=1e-12)
    if balanced:
        sizes = np.bincount(found.labels, minlength=4)
        assert sizes.max() - sizes.min() <= 1
    else:
        chosen = slopes[np.arange(150), found.labels]
        assert (chosen <= slopes.min(axis=1) + 1e-9).all()


def test_one_cluster_has_the_rate_of_all_rows(rng):
    X = rng.standard_normal((50, 4))
    model = CodingRateSubspaceClustering(1, eps=0.3).fit(X)
    rows = X / np.linalg.norm(X, axis=1, keepdims=True)
    assert_allclose(model.coding_rate_, coding_rate(rows, 0.3), rtol=1e-12)
    assert abs(model.rate_reduction_) < 1e-12
    wide = rng.standard_normal((5, 30))
    exact = 0.5 * np.linalg.slogdet(np.eye(30) + 30 / (5 * 0.09) * wide.T @ wide)[1]
    assert_allclose(coding_rate(wide, 0.3), exact, rtol=1e-12)


def test_starts_annealed_at_once_end_where_each_does_alone(rng):
    X, _ = make_subspaces(120, 8, 3, 2, noise=0.1, random_state=5)
    starts = [rng.permutation(120) % 3 for _ in range(4)]
    starts.append(np.zeros(120, dtype=np.int64))  # two groups are empty
    together = anneal(X, starts, 3, 0.2, 2.0)
    for start, labels in zip(starts, together, strict=True):
        assert_array_equal(labels, _anneal_one(X, start, 3, 0.2, 2.0))
    assert [len(b) for b in batches(starts, X, 3)] == [5]
    wide = np.zeros((5000, 40))
    assert [len(b) for b in batches(starts, wide, 3)] == [1] * 5


# Clustering by the rate


def test_orthogonal_subspaces_are_found_exactly(rng):
    Q = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    parts = [rng.standard_normal((40, 3)) @ Q[:, 3 * j : 3 * j + 3].T for j in range(4)]
    X, y = np.vstack(parts), np.repeat(np.arange(4), 40)
    model = CodingRateSubspaceClustering(4, random_state=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0
    for j, basis in enumerate(model.subspace_bases_):
        assert basis.shape == (12, 3)
        assert_allclose(basis.T @ basis, np.eye(3), atol=1e-12)
        rows = X[model.labels_ == j]
        assert_allclose(rows @ basis @ basis.T, rows, atol=1e-10)
    assert_array_equal(model.predict(X), model.labels_)
    new = rng.standard_normal((10, 3)) @ Q[:, :3].T
    assert len(set(model.predict(new).tolist())) == 1


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_crowded_subspaces_are_found(noise):
    # Five subspaces of dimension 6 in R^9 overlap: their dimensions add up to 30.
    X, y = make_subspaces(300, 9, 5, 6, noise=noise, random_state=0)
    model = CodingRateSubspaceClustering(5, random_state=0).fit(X)
    order = adjusted_rand_score(y, model.labels_)
    assert order == 1.0 if noise == 0 else order > 0.85
    assert model.certificate_.satisfied


def test_noise_below_the_distortion_is_not_coded():
    X, y = make_subspaces(300, 20, 5, 3, noise=0.3, random_state=0)
    model = CodingRateSubspaceClustering(5, random_state=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0
    assert model.eps_ >= 0.2  # of the order of the noise
    assert all(2 <= basis.shape[1] <= 5 for basis in model.subspace_bases_)


def test_the_code_length_counts_the_clusters():
    X, _y = make_subspaces(240, 12, 3, 2, noise=0.1, random_state=1)
    lengths = [
        CodingRateSubspaceClustering(k, random_state=0).fit(X).code_length_
        for k in (1, 2, 3, 4, 5)
    ]
    assert int(np.argmin(lengths)) == 2


def test_rotation_and_scale_of_rows_do_not_matter(rng):
    X, y = make_subspaces(150, 8, 3, 2, noise=0.1, random_state=2)
    Q = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    first = CodingRateSubspaceClustering(3, init=y, eps=0.2).fit(X)
    scale = 10 ** rng.uniform(-4, 4, 150)
    again = CodingRateSubspaceClustering(3, init=y, eps=0.2).fit(scale[:, None] * X @ Q)
    assert_array_equal(first.labels_, again.labels_)
    assert_allclose(first.coding_rate_, again.coding_rate_, rtol=1e-9)
    tiny = CodingRateSubspaceClustering(3, init=y, eps=0.2).fit(1e-200 * X)
    assert_array_equal(first.labels_, tiny.labels_)


def test_balanced_sizes_and_workers(monkeypatch):
    from sparsestat.cluster import _coding_rate

    X, _y = make_subspaces(90, 8, 3, 2, noise=0.1, random_state=3)
    model = CodingRateSubspaceClustering(4, balanced=True, random_state=0).fit(X)
    sizes = np.bincount(model.labels_, minlength=4)
    assert sizes.max() - sizes.min() <= 1
    one = CodingRateSubspaceClustering(3, random_state=0).fit(X)
    for limit in (2**22, 1):  # starts annealed at once, and one by one
        monkeypatch.setattr(_coding_rate, "_TOGETHER", limit)
        two = CodingRateSubspaceClustering(3, random_state=0, n_jobs=2).fit(X)
        assert_array_equal(one.labels_, two.labels_)


def test_starts_on_a_part_of_many_rows(monkeypatch):
    from sparsestat.cluster import _subspace

    monkeypatch.setattr(_subspace, "_MOST_ROWS", 500)
    monkeypatch.setattr(_subspace, "_PART", 300)
    monkeypatch.setattr(_subspace, "_MOST_SPECTRAL", 200)
    X, y = make_subspaces(900, 10, 3, 2, noise=0.1, random_state=0)
    model = CodingRateSubspaceClustering(3, random_state=0).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0


# A doubly stochastic affinity in place of the partition


@pytest.mark.parametrize(("n", "d"), [(25, 4), (9, 20)])
def test_slopes_of_the_affinity_are_finite_differences(n, d, rng):
    X = unit_rows(rng, n, d)
    G = cosine_affinity(X, 1e-10)
    eps, entropy = 0.4, 2.0

    def plain(G):
        total = 0.0
        for w in G:
            M = np.eye(d) + d / eps**2 * (X.T * w) @ X
            total += 0.5 * np.linalg.slogdet(M)[1]
        return (total + entropy * (G[G > 0] * np.log(G[G > 0])).sum()) / n

    rate, slopes = affinity_rate(X, G, eps, entropy)
    assert_allclose(rate, plain(G), rtol=1e-10)
    assert_array_equal(slopes, slopes.T)
    for i, j in ((0, 1), (2, n - 1)):
        E = np.zeros((n, n))
        E[i, j] = E[j, i] = 1e-6
        slope = n * (plain(G + E) - plain(G - E)) / 4e-6
        expected = slopes[i, j] + entropy * (np.log(G[i, j]) + 1)
        assert_allclose(slope, expected, rtol=1e-5)


def test_the_rate_of_the_affinity_never_rises_and_ends_at_a_fixed_point():
    X, _y = make_subspaces(90, 12, 3, 2, noise=0.2, random_state=0)
    found = descend_affinity(X, cosine_affinity(X), 0.3, 3.0, 200, 1e-9)
    assert len(found.history) > 3
    assert (np.diff(found.history) <= 1e-9).all() and found.change <= 1e-9
    G = found.affinity
    assert_array_equal(G, G.T)
    assert_allclose(G.sum(axis=1), 1, atol=1e-8)
    # Optimality over symmetric doubly stochastic matrices without a diagonal: the
    # slopes are those of two potentials.
    _, slopes = affinity_rate(X, G, 0.3, 3.0)
    off = ~np.eye(90, dtype=bool)
    residual = np.where(off, slopes + 3.0 * np.log(np.where(off, G, 1.0)), 0.0)
    f = residual.sum(axis=1)
    f = (f - f.sum() / (2 * 89)) / 88  # least squares for f_i + f_j
    assert_allclose((residual - f[:, None] - f)[off], 0, atol=1e-3)


def test_subspaces_are_found_by_way_of_an_affinity():
    X, y = make_subspaces(150, 20, 5, 3, noise=0.3, random_state=800)
    model = CodingRateSubspaceClustering(
        5, membership="doubly_stochastic", eps=0.4, random_state=0
    ).fit(X)
    assert adjusted_rand_score(y, model.labels_) == 1.0
    assert model.affinity_matrix_.shape == (150, 150)
    assert model.certificate_.satisfied and "affinity" in model.certificate_.scale
    assert_array_equal(model.predict(X), model.labels_)
    _, rate = rate_slopes(X, model.labels_, 5, 0.4)
    assert_allclose(model.coding_rate_, rate, rtol=1e-10)
    chosen = CodingRateSubspaceClustering(
        5, membership="doubly_stochastic", random_state=0
    ).fit(X)
    assert chosen.eps_ >= 0.2 and adjusted_rand_score(y, chosen.labels_) == 1.0
    one = CodingRateSubspaceClustering(1, membership="doubly_stochastic").fit(X[:9])
    assert_allclose(one.affinity_matrix_, 1 / 9)


# A linear map


@pytest.mark.parametrize("normalize", [False, True])
def test_slopes_of_the_map_are_finite_differences(normalize, rng):
    X = rng.standard_normal((40, 7))
    W = np.linalg.qr(rng.standard_normal((7, 3)))[0]
    labels = np.repeat([0, 1, 3], [20, 18, 2])  # cluster 2 is empty
    value, gradient = rate_reduction(X, W, labels, 4, 0.3, normalize)
    Z, _ = mapped_rows(X, W, normalize)
    _, rate = rate_slopes(Z, labels, 4, 0.3)
    assert_allclose(value, coding_rate(Z, 0.3) - rate, rtol=1e-10)
    for i, j in ((0, 0), (3, 2), (6, 1)):
        E = np.zeros((7, 3))
        E[i, j] = 1e-6
        up, _ = rate_reduction(X, W + E, labels, 4, 0.3, normalize)
        down, _ = rate_reduction(X, W - E, labels, 4, 0.3, normalize)
        assert_allclose(gradient[i, j], (up - down) / 2e-6, rtol=1e-4, atol=1e-7)


def test_a_learned_map_leaves_out_what_tells_nothing_apart(rng):
    Z, y = make_subspaces(200, 6, 2, 2, noise=0.05, random_state=0)
    X = np.hstack([Z, 0.6 * rng.standard_normal((200, 4))])  # noise as large as Z
    model = CodingRateSubspaceClustering(2, eps=0.2, n_components=5, random_state=0)
    model.set_params(max_iter=300).fit(X)
    assert adjusted_rand_score(y, model.labels_) > 0.9
    assert np.linalg.norm(model.projection_[6:]) < 0.2
    W = model.projection_
    assert W.shape == (10, 5)
    assert_allclose(W.T @ W, np.eye(5), atol=1e-10)
    assert (np.diff(model.reduction_history_) >= -1e-12).all()
    assert len(model.reduction_history_) > 1 and model.certificate_.satisfied
    rows = X / np.linalg.norm(X, axis=1, keepdims=True)
    mapped, _ = mapped_rows(rows, W, True)
    _, rate = rate_slopes(mapped, model.labels_, 2, 0.2)
    assert_allclose(model.rate_reduction_, coding_rate(mapped, 0.2) - rate, rtol=1e-9)
    assert_allclose(model.rate_reduction_, model.reduction_history_[-1], rtol=1e-9)
    assert_array_equal(model.predict(X), model.labels_)
    # The first map is that of principal components; the learned one reduces more.
    first, _, _ = ascend_map(rows, first_map(rows, 5), model.labels_, 2, 0.2, True, 0.0)
    before, _ = rate_reduction(rows, first, model.labels_, 2, 0.2, True)
    assert model.rate_reduction_ > before


def test_a_map_to_all_dimensions_is_a_rotation():
    X, y = make_subspaces(120, 6, 3, 2, noise=0.1, random_state=0)
    plain = CodingRateSubspaceClustering(3, init=y, eps=0.2).fit(X)
    mapped = CodingRateSubspaceClustering(3, init=y, eps=0.2, n_components=6).fit(X)
    assert_array_equal(plain.labels_, mapped.labels_)
    assert_allclose(plain.coding_rate_, mapped.coding_rate_, rtol=1e-9)
    assert_allclose(plain.rate_reduction_, mapped.rate_reduction_, rtol=1e-9)
    assert len(mapped.reduction_history_) == 2  # nothing moves


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_clusters": 21}, "n_samples=20 must be at least"),
        ({"init": ("best",)}, r"unknown kinds \['best'\]"),
        ({"init": [0, 1]}, "init as labels must be 20 integers"),
        ({"init": np.arange(20)}, r"must be in 0..1"),
        ({"eps": 0.0}, "'eps'"),
        ({"n_components": 3}, "n_components=3 must be at most the 2 features"),
        ({"membership": "soft"}, "'membership'"),
        ({"membership": "doubly_stochastic", "balanced": True}, "goes neither with"),
        ({"membership": "doubly_stochastic", "n_components": 1}, "goes neither with"),
    ],
)
def test_bad_input(parameters, message, rng):
    X = rng.standard_normal((20, 2))
    with pytest.raises(ValueError, match=message):
        CodingRateSubspaceClustering(**{"n_clusters": 2, **parameters}).fit(X)


def test_too_many_samples_for_an_affinity():
    model = CodingRateSubspaceClustering(2, membership="doubly_stochastic")
    with pytest.raises(ValueError, match="at most 2000 samples, got 2001"):
        model.fit(np.ones((2001, 2)))


def test_zero_rows_are_named():
    X = np.eye(5)
    X[[1, 3]] = 0
    with pytest.raises(ValueError, match=r"Rows \[1, 3\] of X are zero"):
        CodingRateSubspaceClustering(2).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = CodingRateSubspaceClustering(2, normalize=False, random_state=0).fit(X)
    assert np.isfinite(model.coding_rate_)
    with pytest.raises(ValueError, match="Complex data not supported"):
        CodingRateSubspaceClustering(2).fit(X * 1j)


# Doubly stochastic clustering


def test_the_affinity_is_doubly_stochastic_and_its_vectors_are_eigenvectors(rng):
    X = rng.standard_normal((60, 3))
    model = DoublyStochasticClustering(3, random_state=0).fit(X)
    G = model.affinity_matrix_
    assert_array_equal(G, G.T)
    assert_allclose(G.sum(axis=1), 1, atol=1e-5)
    assert_array_equal(np.diag(G), 0)
    V, values = model.embedding_, model.eigenvalues_
    assert_allclose(values[0], 1, atol=1e-5)
    assert_allclose(G @ V, V * values[:3], atol=1e-9)
    assert values.shape == (4,) and (np.diff(values) <= 0).all()
    assert model.certificate_.satisfied


@pytest.mark.parametrize("seed", range(3))
def test_two_moons(seed):
    X, y = make_moons(300, noise=0.05, random_state=seed)
    model = DoublyStochasticClustering(2, reg=0.2, random_state=0).fit(1e3 + X)
    assert adjusted_rand_score(y, model.labels_) == 1.0


def test_subspaces_by_squared_cosines():
    X, y = make_subspaces(200, 20, 4, 3, noise=0.1, random_state=0)
    model = DoublyStochasticClustering(4, affinity="subspace", reg=0.1)
    assert adjusted_rand_score(y, model.fit(X).labels_) == 1.0


def test_precomputed_costs_give_the_same_affinity(rng):
    X = rng.standard_normal((40, 2))
    C = ((X[:, None] - X) ** 2).sum(axis=2)
    one = DoublyStochasticClustering(2, reg=0.3, reg_mode="absolute").fit(X)
    two = DoublyStochasticClustering(
        2, reg=0.3, reg_mode="absolute", affinity="precomputed"
    ).fit(C)
    assert_allclose(one.affinity_matrix_, two.affinity_matrix_, atol=1e-10)
    with pytest.raises(ValueError, match="needs square costs"):
        DoublyStochasticClustering(2, affinity="precomputed").fit(X)
    with pytest.raises(ValueError, match="symmetric"):
        DoublyStochasticClustering(2, affinity="precomputed").fit(C + np.triu(C))


def test_scale_and_order_do_not_matter_and_duplicates_are_legal(rng):
    X, _y = make_moons(120, noise=0.05, random_state=1)
    first = DoublyStochasticClustering(2, random_state=0).fit(X)
    order = rng.permutation(120)
    for scale in (1e-4, 1e4):
        again = DoublyStochasticClustering(2, random_state=0).fit(scale * X[order])
        assert adjusted_rand_score(first.labels_[order], again.labels_) == 1.0
    twice = np.repeat([[0.0], [1.0]], 20, axis=0)
    labels = DoublyStochasticClustering(2, random_state=0).fit_predict(twice)
    assert_array_equal(labels == labels[0], twice[:, 0] == 0)
    with pytest.raises(ValueError, match="n_samples=2 must be at least"):
        DoublyStochasticClustering(3).fit(X[:2])
    assert DoublyStochasticClustering(1).fit(X).labels_.max() == 0
    with pytest.raises(ValueError, match="Complex data not supported"):
        DoublyStochasticClustering(2).fit(X * 1j)


@pytest.mark.parametrize("zero_diagonal", [True, False])
@pytest.mark.parametrize("reg_mode", ["absolute", "relative"])
def test_the_affinity_has_the_form_that_its_strength_says(reg_mode, zero_diagonal, rng):
    X = rng.standard_normal((30, 3))
    model = DoublyStochasticClustering(
        2, reg=0.4, reg_mode=reg_mode, zero_diagonal=zero_diagonal, tol=1e-10
    ).fit(X)
    C = ((X[:, None] - X) ** 2).sum(axis=2)
    unit = 1.0 if reg_mode == "absolute" else np.median(np.sort(C, axis=1)[:, 10])
    assert_allclose(model.reg_, 0.4 * unit, rtol=1e-12)
    # reg log G + C is f_i + f_j: differences of two rows are the same everywhere.
    G = model.affinity_matrix_
    off = ~np.eye(30, dtype=bool) if zero_diagonal else np.ones((30, 30), dtype=bool)
    assert (G[off] > 0).all() and not G[~off].any()
    sums = np.where(off, model.reg_ * np.log(np.where(off, G, 1.0)) + C, np.nan)
    differences = sums[1:] - sums[:-1]
    spread = np.nanmax(differences, axis=1) - np.nanmin(differences, axis=1)
    assert_allclose(spread, 0.0, atol=1e-9)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        DoublyStochasticClustering(2, reg=0.05, max_iter=1).fit(X)


def test_metrics_and_history_of_a_coding_rate(rng):
    X, _ = make_subspaces(90, 8, 3, 2, noise=0.05, random_state=0)
    start = rng.integers(0, 3, 90)
    model = CodingRateSubspaceClustering(3, eps=0.1, init=start, annealing=None)
    model.fit(X)
    rows = X / np.linalg.norm(X, axis=1, keepdims=True)
    scale = 8 / 0.1**2
    history = model.history_
    assert history.shape == (model.n_iter_ + 1,) and (np.diff(history) <= 1e-12).all()
    assert_allclose(history[0], plain_rate(rows, np.eye(3)[start], 0.1))
    assert_allclose(history[-1], model.coding_rate_)
    labels = np.eye(3)[model.labels_]
    assert_allclose(model.coding_rate_, plain_rate(rows, labels, 0.1))
    for j, L in enumerate(model.metrics_):
        B = rows[model.labels_ == j]
        assert_array_equal(L, np.tril(L))
        assert_allclose(L @ L.T, np.eye(8) + scale / len(B) * B.T @ B, atol=1e-9)
    # Rows go where they add least to the rate.
    new = unit_rows(rng, 20, 8)
    added = np.empty((20, 3))
    for i, j in product(range(20), range(3)):
        grown = np.vstack([rows, new[i]])
        weight = np.vstack([labels, 1e-6 * np.eye(3)[j]])
        added[i, j] = 91 * plain_rate(grown, weight, 0.1)
    assert_array_equal(model.predict(new), added.argmin(axis=1))


def test_annealing_finds_what_hard_labels_miss():
    X, y = make_subspaces(300, 12, 6, 3, noise=0.1, random_state=1)
    soft, hard = (
        CodingRateSubspaceClustering(6, annealing=t, n_init=1, random_state=0).fit(X)
        for t in (3.0, None)
    )
    assert soft.coding_rate_ <= hard.coding_rate_ + 1e-12
    assert adjusted_rand_score(y, soft.labels_) > 0.9
    loose = CodingRateSubspaceClustering(
        6, annealing=None, tol=0.5, n_init=1, random_state=0
    ).fit(X)
    assert loose.n_iter_ <= hard.n_iter_
    assert loose.coding_rate_ >= hard.coding_rate_ - 1e-12


def test_precomputed_affinities_are_scaled_as_they_are():
    X, _ = make_moons(120, noise=0.05, random_state=0)
    model = DoublyStochasticClustering(2, random_state=0).fit(X)
    K = np.exp(-((X[:, None] - X) ** 2).sum(2) / model.reg_)
    given = DoublyStochasticClustering(
        2, affinity="precomputed_affinity", random_state=0
    ).fit(K)
    assert_allclose(given.affinity_matrix_, model.affinity_matrix_, atol=1e-12)
    assert_array_equal(given.labels_, model.labels_)
    assert given.reg_ == 1.0
    # Costs are another thing: the same matrix under the other name puts far together.
    rows = given.affinity_matrix_.sum(axis=1)
    assert abs(rows - 1.0).max() <= 1e-6
    scaled = given.fit(2.0**30 * K)
    assert_allclose(scaled.affinity_matrix_, model.affinity_matrix_, atol=1e-6)


@pytest.mark.parametrize(
    "K, message",
    [
        (np.ones((3, 4)), "square matrix"),
        (np.array([[1.0, -1, 0], [-1, 1, 0], [0, 0, 1]]), "affinity='precomputed'"),
        (np.array([[1.0, 2, 1], [1, 1, 1], [1, 1, 1]]), "must be symmetric"),
        (np.eye(4), "no positive entry"),
        (np.zeros((4, 4)), "no positive entry"),
        (np.ones((4, 3)), "square matrix"),
    ],
)
def test_affinities_that_cannot_be_scaled_are_refused(K, message):
    with pytest.raises(ValueError, match=message):
        DoublyStochasticClustering(2, affinity="precomputed_affinity").fit(K)


@pytest.mark.parametrize(
    ("after", "change", "rates"),
    [(2.5, 0.2, [2.0]), (2.0, 0.0, [2.0]), (1.6, 0.25, [2.0, 1.6])],
)
def test_a_rise_of_the_rate_is_no_convergence(after, change, rates, monkeypatch):
    from sparsestat.cluster import _coding_maps, _coding_rate

    X, values = np.ones((2, 1)), iter([2.0, after])
    slopes = np.array([[1.0, 0.0], [0.0, 1.0]])
    monkeypatch.setattr(_coding_rate, "rate_slopes", lambda *_: (slopes, next(values)))
    found = descend(X, np.array([1, 1]), 2, 0.1, 3, 0.5, False)
    assert_allclose(found.change, change)
    assert found.history == rates and found.rate == rates[-1]
    assert found.labels.tolist() == ([1, 0] if after < 2.0 else [1, 1])
    start, moved, values = np.zeros((2, 2)), np.ones((2, 2)), iter([2.0, after])
    monkeypatch.setattr(_coding_maps, "_scaled", lambda *_: moved)
    monkeypatch.setattr(_coding_maps, "affinity_rate", lambda *_: (next(values), None))
    found = descend_affinity(X, start, 0.1, 1.0, 3, 0.5)
    assert_allclose(found.change, change)
    assert found.history == rates
    assert found.affinity is (moved if after < 2.0 else start)
    monkeypatch.undo()
    for most in (1, 5):
        start = np.array([0, 0, 0, 1])
        found = descend(np.zeros((4, 2)), start, 2, 0.1, most, 0.0, True)
        assert found.change == 0.0 and found.rate == 0.0


def test_a_map_that_was_moved_once_has_not_converged(monkeypatch):
    from sparsestat.cluster import _subspace

    X, y = make_subspaces(60, 8, 3, 2, noise=0.05, random_state=0)
    model = CodingRateSubspaceClustering(3, init=y, eps=0.2, n_components=4)
    with pytest.warns(ConvergenceWarning, match="map_tol"):
        model.set_params(max_iter=1).fit(X)
    assert model.certificate_.value == np.inf and not model.certificate_.satisfied
    with pytest.warns(ConvergenceWarning, match="map_tol"):
        model.set_params(max_iter=3).fit(X)
    first, last = model.reduction_history_[-2:]
    assert_allclose(model.certificate_.value, (last - first) / last, rtol=1e-9)
    # A reduction that falls is no convergence either.
    values = iter([5.0, 4.0] * 2)
    monkeypatch.setattr(
        _subspace, "ascend_map", lambda X, W, *_: (W, next(values), 1.0)
    )
    with pytest.warns(ConvergenceWarning, match="map_tol"):
        model.set_params(max_iter=2).fit(X)
    assert_allclose(model.reduction_history_, [5.0, 4.0])
    assert_allclose(model.certificate_.value, 0.25)


def test_code_lengths_count_labels_subspaces_and_rows(rng):
    from sparsestat.cluster._subspace import _basis, _code_length

    X, eps = unit_rows(rng, 40, 5), 1.0
    X[:20, 3:] *= 1e-3
    labels = np.repeat([0, 2], [20, 20])  # cluster 1 is empty
    expected = 0.5 * 40 * 5 * np.log(2 * np.pi * eps**2 / 5)
    for k in (0, 2):
        B = X[labels == k]
        S = 5 / (20 * eps**2) * B.T @ B
        values, vectors = np.linalg.eigh(S)
        expected += 10 * np.linalg.slogdet(np.eye(5) + S)[1]
        expected += 10 * np.trace(np.linalg.solve(np.eye(5) + S, S))
        expected += 20 * np.log(2)  # labels
        rank = (values > 1).sum()
        expected += 0.5 * np.log(40) * (5 * rank - rank * (rank - 1) / 2)
        basis = _basis(B, eps)
        assert basis.shape == (5, rank) and 0 < rank
        V = vectors[:, values > 1]
        assert_allclose(basis @ basis.T, V @ V.T, atol=1e-9)
    assert_allclose(_code_length(X, labels, 3, eps), expected, rtol=1e-12)
    assert _basis(X[:0], eps).shape == (5, 0)


def test_certificates_say_what_last_changed(rng):
    X, y = make_subspaces(60, 6, 3, 2, noise=0.1, random_state=0)
    model = CodingRateSubspaceClustering(3, init=y, eps=0.2, tol=1e-4).fit(X)
    certificate = model.certificate_
    assert certificate.scale == "last change of the coding rate relative to itself"
    assert certificate.tol == 1e-4 and certificate.satisfied
    assert certificate.details == {"coding_rate": model.coding_rate_}
    mapped = CodingRateSubspaceClustering(3, init=y, eps=0.2, map_tol=1.0)
    certificate = mapped.set_params(n_components=4).fit(X).certificate_
    assert_allclose(mapped.reduction_history_[-1], mapped.rate_reduction_, rtol=1e-9)
    assert (np.diff(mapped.reduction_history_) >= -1e-12).all()
    assert "rate reduction" in certificate.scale and certificate.tol == 1.0
    assert certificate.satisfied and 1 < len(mapped.reduction_history_) < 10
    with pytest.warns(ConvergenceWarning, match="Raise max_iter or tol"):
        start = rng.permutation(y)
        model.set_params(init=start, annealing=None, max_iter=1, tol=0.0).fit(X)
    before, after = model.history_
    assert_allclose(model.certificate_.value, (before - after) / after, rtol=1e-9)
    still = CodingRateSubspaceClustering(3, init=model.labels_, eps=0.2, tol=0.0)
    still.set_params(max_iter=50, annealing=None).fit(X)
    assert still.certificate_.value == 0.0 and still.certificate_.satisfied
    with pytest.warns(ConvergenceWarning, match="coding some rows together"):
        CodingRateSubspaceClustering(8, eps=2.0, random_state=0).fit(X)
    rows = np.repeat(np.eye(3)[:1], 9, axis=0)
    rows[:4] = np.eye(3)[1]
    with pytest.warns(ConvergenceWarning, match="distinct"):
        model = CodingRateSubspaceClustering(3, random_state=0).fit(rows)
    assert len(np.unique(model.labels_)) == 2


def test_precomputed_costs_have_units_of_their_own(rng):
    X = rng.standard_normal((25, 2))
    C = ((X[:, None] - X) ** 2).sum(axis=2)
    arguments = {"affinity": "precomputed", "reg": 0.3, "random_state": 0}
    near = np.sort(C + np.diag(np.full(25, np.inf)), axis=1)
    unit = np.median(near[:, 9] - near[:, 0])
    model = DoublyStochasticClustering(2, **arguments).fit(C)
    assert_allclose(model.reg_, 0.3 * unit, rtol=1e-12)
    for factor in (2.0**20, 3e-7):
        other = DoublyStochasticClustering(2, **arguments).fit(factor * C)
        assert_allclose(other.reg_, factor * model.reg_, rtol=1e-9)
        assert_allclose(other.affinity_matrix_, model.affinity_matrix_, atol=1e-9)
    plain = DoublyStochasticClustering(
        2, affinity="precomputed", reg=0.3, reg_mode="absolute", random_state=0
    ).fit(C)
    assert plain.reg_ == 0.3
    # Fewer than eleven samples: the farthest stands for the tenth neighbor.
    few = DoublyStochasticClustering(2, **arguments).fit(C[:6, :6])
    near = np.sort(C[:6, :6] + np.diag(np.full(6, np.inf)), axis=1)
    assert_allclose(few.reg_, 0.3 * np.median(near[:, 4] - near[:, 0]), rtol=1e-12)
    C3 = np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 7.0], [3.0, 7.0, 0.0]])
    assert DoublyStochasticClustering(2, **arguments)._unit(C3) == 4.0
    assert DoublyStochasticClustering(2, **arguments)._unit(C3[:2, :2]) == 1.0
    for part in (C[:, :5], C[:5]):
        with pytest.raises(ValueError, match="square costs"):
            DoublyStochasticClustering(2, affinity="precomputed").fit(part)


def test_costs_of_subspaces_are_minus_squared_cosines(rng):
    X = rng.standard_normal((20, 3)) * 10.0 ** rng.integers(-3, 3, (20, 1))
    X[0] = 0.0
    model = DoublyStochasticClustering(2, affinity="subspace", reg=0.4)
    C, unit = model._costs(X)
    norms = np.maximum(np.linalg.norm(X, axis=1), 1e-300)
    cosines = X @ X.T / norms[:, None] / norms
    assert_allclose(C, -(cosines**2), atol=1e-12)
    assert unit == 1.0 and model._unit(C) == 1.0
    for power in (2.0**660, 2.0**-660):  # norms neither overflow nor vanish
        assert_allclose(model._costs(power * X)[0], C, atol=1e-12)
    plain = DoublyStochasticClustering(2)
    C, unit = plain._costs(X[1:] + 5.0)
    assert_allclose(
        unit * C, ((X[1:, None] - X[1:]) ** 2).sum(axis=2), rtol=1e-9, atol=1e-9 * unit
    )
    assert (C >= 0).all() and (C == C.T).all() and not np.diag(C).any()
    # Where the tenth neighbor is at no distance the mean cost is the unit.
    C = np.zeros((15, 15))
    C[0, 1:] = C[1:, 0] = 2.0
    assert_allclose(plain._unit(C), 56.0 / 225)
    assert plain._unit(np.zeros((15, 15))) == plain._unit(np.ones((2, 2))) == 1.0
