"""Generators of clusters: subspaces, equidistant centers, shapes."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsestat.datasets import make_gaussian_clusters, make_subspaces


def test_rows_lie_in_their_subspaces():
    X, y = make_subspaces(101, 9, 4, 3, random_state=0)
    assert_allclose(np.linalg.norm(X, axis=1), 1, rtol=1e-12)
    assert sorted(np.bincount(y)) == [25, 25, 25, 26]
    for k in range(4):
        values = np.linalg.svd(X[y == k], compute_uv=False)
        assert values[2] > 0.1 and values[3] < 1e-12
    assert np.linalg.matrix_rank(X) == 9


def test_noise_has_the_norm_it_says():
    clean, _ = make_subspaces(500, 50, 2, 2, random_state=0)
    noisy, _ = make_subspaces(500, 50, 2, 2, noise=0.1, random_state=0)
    # The part of the noise along a row is lost when rows are scaled.
    assert_allclose(np.linalg.norm(noisy - clean, axis=1).mean(), 0.1, rtol=0.05)


def test_centers_are_equally_far_apart():
    X, y = make_gaussian_clusters(40_000, 4, 4, separation=6.0, random_state=0)
    means = np.array([X[y == k].mean(axis=0) for k in range(4)])
    gaps = np.linalg.norm(means[:, None] - means, axis=2)[np.triu_indices(4, 1)]
    assert_allclose(gaps, 6.0, rtol=0.02)
    for k in range(4):
        assert_allclose(np.cov(X[y == k], rowvar=False), np.eye(4), atol=0.06)


def test_heterogeneous_covariances_have_the_spectrum_of_the_experiment():
    X, y = make_gaussian_clusters(
        60_000, 6, 2, covariance="heterogeneous", random_state=0
    )
    spectra = []
    for k in range(2):
        covariance = np.cov(X[y == k], rowvar=False)
        spectra.append(np.linalg.eigvalsh(covariance)[::-1])
        assert_allclose(spectra[-1], [9, 6, 1, 0.3, 0.3, 0.2], rtol=0.04)
        assert np.abs(covariance - np.diag(np.diag(covariance))).max() > 0.5


def test_shares_are_met_and_seeds_repeat():
    _, y = make_gaussian_clusters(1000, 5, 4, weights=[1, 1, 3, 0], random_state=0)
    assert np.bincount(y, minlength=4).tolist() == [200, 200, 600, 0]
    one = make_gaussian_clusters(random_state=3)
    two = make_gaussian_clusters(random_state=3)
    assert_array_equal(one[0], two[0])
    assert_array_equal(
        make_subspaces(noise=0.1, random_state=3)[0],
        make_subspaces(noise=0.1, random_state=3)[0],
    )


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (make_subspaces, {"dimension": 10}, "must be at most n_features=9"),
        (make_subspaces, {"noise": -1.0}, "noise"),
        (make_gaussian_clusters, {"n_clusters": 11}, "must be at most n_features=10"),
        (make_gaussian_clusters, {"weights": [1, 2]}, "weights must be 4 non-negative"),
        (make_gaussian_clusters, {"weights": [0, 0, 0, 0]}, "not all zero"),
    ],
)
def test_bad_input(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)
