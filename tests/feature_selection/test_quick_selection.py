"""A sparse autoencoder that ranks features."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import logging
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.metrics import roc_auc_score

from sparsestat.exceptions import NumericalError
from sparsestat.feature_selection import QuickSelection
from sparsestat.feature_selection._autoencoder import (
    Training,
    _free_places,
    evolve,
    new_network,
    train_batch,
)

PLAIN = Training(10, rate=1.0, momentum=0.0, decay=0.0, dropout=0.0, noise=0.0)
SMALL = {"n_hidden": 20, "n_epochs": 3, "random_state": 0}


def network_8_5_8(seed, epsilon=1.0):
    return new_network(8, 5, epsilon, np.random.default_rng(seed), np.float64)


def dense_parts(network):
    return (
        network.encoder.matrix().toarray(),
        network.decoder.matrix().toarray(),
        network.hidden_bias.copy(),
        network.output_bias.copy(),
    )


def dense_loss(parts, X, weights, decay=0.0):
    W1, W2, b, c = parts
    H = 1 / (1 + np.exp(-(X @ W1 + b)))
    errors = ((H @ W2.T + c - X) ** 2).sum(axis=1)
    ridge = 0.5 * decay * ((W1**2).sum() + (W2**2).sum())
    return 0.5 * (weights * errors).sum() / weights.sum() + ridge


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_a_step_is_the_gradient_of_the_loss_on_the_pattern(decay, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    network = network_8_5_8(global_random_seed)
    X, weights = rng.normal(size=(7, 8)), rng.uniform(0.5, 2, 7)
    parts = dense_parts(network)
    training = Training(10, 1.0, 0.0, decay, 0.0, 0.0)
    loss = train_batch(network, X, weights, training, rng)
    assert_allclose(loss, dense_loss(parts, X, weights), rtol=1e-12)
    for k, (before, after) in enumerate(zip(parts, dense_parts(network), strict=True)):
        for at in np.ndindex(before.shape):
            if k < 2 and before[at] == 0:
                assert after[at] == 0  # no connection, no change
                continue
            step = 1e-5
            values = []
            for sign in (1, -1):
                moved = [part.copy() for part in parts]
                moved[k][at] += sign * step
                values.append(dense_loss(moved, X, weights, decay))
            slope = (values[0] - values[1]) / (2 * step)
            assert_allclose(before[at] - after[at], slope, rtol=1e-5, atol=1e-8)


def test_momentum_carries_the_last_step_on():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 8))
    network = network_8_5_8(1)
    training = Training(10, 0.01, 0.9, 0.0, 0.0, 0.0)
    parts = dense_parts(network)
    train_batch(network, X, None, training, rng)
    first = [a - b for a, b in zip(dense_parts(network), parts, strict=True)]
    plain = network.copy()
    for layer in (plain.encoder, plain.decoder):
        layer.velocity[:] = 0
    plain.hidden_velocity[:] = plain.output_velocity[:] = 0
    train_batch(plain, X, None, training, rng)
    train_batch(network, X, None, training, rng)
    for with_, without, step in zip(
        dense_parts(network), dense_parts(plain), first, strict=True
    ):
        assert_allclose(with_, without + 0.9 * step, atol=1e-14)


@pytest.mark.parametrize("epsilon", [0.7, 2.0, 100.0])
def test_evolution_keeps_the_number_of_connections(epsilon, global_random_seed):
    rng = np.random.default_rng(global_random_seed)
    layer = new_network(30, 12, epsilon, rng, np.float64).encoder
    for _ in range(20):
        before = layer
        layer = evolve(layer, 0.3, rng)
        places = layer.places
        assert len(places) == len(before.data) == len(layer.data)
        assert (np.diff(places) > 0).all()  # sorted, and none twice
        assert places[-1] < 30 * 12
        assert layer.indptr[-1] == len(places) and len(layer.indptr) == 31
        n_out = sum(
            int(0.3 * n) for n in ((before.data > 0).sum(), (before.data <= 0).sum())
        )
        if epsilon < 100:
            kept = np.isin(before.places, places) & np.isin(before.data, layer.data)
            assert len(places) - kept.sum() <= n_out
        # The strongest of either sign are still there.
        assert before.data.max() in layer.data and before.data.min() in layer.data
        new = ~np.isin(layer.data, before.data)
        assert (layer.velocity[new] == 0).all() and new.sum() == n_out


def test_new_places_are_free_and_evenly_spread():
    rng = np.random.default_rng(0)
    taken = np.arange(0, 300, 3)
    counts = np.zeros(300)
    for _ in range(400):
        found = _free_places(taken, 20, 300, rng)
        assert len(np.unique(found)) == 20 and not np.isin(found, taken).any()
        counts[found] += 1
    free = counts[np.setdiff1d(np.arange(300), taken)]
    assert abs(free.mean() - 40) < 1e-9 and free.std() < 1.3 * np.sqrt(40)


def wide_table(n, p, rng):
    """Half of the features are made by three causes, half of them are noise."""
    causes = rng.normal(size=(n, 3)) @ rng.normal(size=(3, p)) / np.sqrt(3)
    informative = causes + 0.3 * rng.normal(size=(n, p))
    return np.hstack([informative, rng.normal(size=(n, p))])


def test_features_that_hang_together_rank_before_noise(global_random_seed):
    found = []
    for seed in range(3):
        rng = np.random.default_rng([global_random_seed, seed])
        model = QuickSelection(n_hidden=100, scaling="standard", random_state=seed)
        model.fit(wide_table(400, 150, rng))
        found.append(roc_auc_score(np.arange(300) < 150, model.feature_strengths_))
    assert np.mean(found) > 0.9


def test_constant_features_are_selected_last():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8))
    X[:, [1, 5]] = 3.0
    for scaling in ("minmax", "standard", None):
        model = QuickSelection(6, scaling=scaling, **SMALL).fit(X)
        assert_array_equal(np.flatnonzero(~model.get_support()), [1, 5])
        assert sorted(model.ranking_) == list(range(1, 9))
        assert (model.feature_strengths_ > 0).all()


def test_attributes_say_what_was_trained():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(50, 10))
    model = QuickSelection(**SMALL).fit(X)
    first, second = model.weights_
    assert first.shape == (10, 20) and second.shape == (20, 10)
    assert_allclose(abs(first).sum(axis=1), model.feature_strengths_, rtol=1e-5)
    assert first.nnz == min(10 * 20, 13 * 30)
    assert model.n_iter_ == len(model.history_) == 3
    assert model.history_[-1] < model.history_[0]
    assert model.certificate_.kind == "none"
    assert model.certificate_.details["loss"] == model.history_[-1]
    assert model.transform(X).shape == (50, 5) and model.n_features_ == 5
    for k, expected in [(3, 3), (0.31, 3), (0.01, 1), (None, 5)]:
        model.set_params(n_features_to_select=k).fit(X)
        assert model.get_support().sum() == expected


@pytest.mark.parametrize("scaling", ["minmax", "standard", None])
def test_sparse_samples_are_the_dense_ones(scaling):
    X = sparse.random_array((130, 12), density=0.3, rng=np.random.default_rng(2))
    dense = QuickSelection(scaling=scaling, **SMALL).fit(X.toarray())
    found = QuickSelection(scaling=scaling, **SMALL).fit(X.tocsr())
    # Means may differ in the last bit, which training does not amplify by much.
    assert_allclose(found.feature_strengths_, dense.feature_strengths_, rtol=1e-3)


def test_a_seed_gives_one_answer_and_pickles_keep_it():
    X = np.random.default_rng(3).normal(size=(150, 9))
    model = QuickSelection(**SMALL).fit(X)
    again = QuickSelection(**SMALL).fit(X)
    assert_array_equal(model.feature_strengths_, again.feature_strengths_)
    copy = pickle.loads(pickle.dumps(model)).partial_fit(X)
    assert_array_equal(copy.feature_strengths_, again.partial_fit(X).feature_strengths_)


def test_units_and_origins_do_not_matter():
    X = np.random.default_rng(4).normal(size=(80, 6))
    for scaling in ("minmax", "standard"):
        expected = QuickSelection(scaling=scaling, **SMALL).fit(X).feature_strengths_
        for other in (X * 2.0**40, X * 2.0**-40, X + 1000):
            found = QuickSelection(scaling=scaling, **SMALL).fit(other)
            assert_allclose(found.feature_strengths_, expected, rtol=1e-3)


def test_without_noise_weights_are_repetitions():
    """In one batch, scaled by its range, the loss is all that weights enter."""
    rng = np.random.default_rng(5)
    X, counts = rng.normal(size=(20, 6)), rng.integers(1, 4, 20)
    parameters = {**SMALL, "noise": 0.0, "dropout": 0.0, "batch_size": 100}
    for scaling in ("minmax", "standard"):
        model = QuickSelection(scaling=scaling, **parameters)
        strengths = model.fit(X, sample_weight=counts).feature_strengths_
        repeated = model.fit(np.repeat(X, counts, axis=0)).feature_strengths_
        assert_allclose(strengths, repeated, rtol=1e-4)


def test_rows_of_weight_zero_do_not_matter():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(40, 6))
    weights = np.r_[np.ones(30), np.zeros(10)]
    X[30:] *= 1e6
    model = QuickSelection(**SMALL)
    found = model.fit(X, sample_weight=weights).feature_strengths_
    assert_array_equal(found, model.fit(X[:30]).feature_strengths_)
    with pytest.raises(ValueError, match="at least one non-zero"):
        model.fit(X, sample_weight=np.zeros(40))


def test_partial_fits_train_on():
    X = wide_table(200, 20, np.random.default_rng(7))
    model = QuickSelection(n_hidden=30, random_state=0)
    for start in range(0, 200, 50):
        model.partial_fit(X[start : start + 50])
    assert model.n_iter_ == 4 and model.history_[-1] < model.history_[0]
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :5])


def test_epochs_are_logged(caplog):
    X = np.random.default_rng(8).normal(size=(30, 5))
    with caplog.at_level(logging.INFO, logger="sparsestat"):
        QuickSelection(verbose=1, **SMALL).fit(X)
    assert sum("QuickSelection: iteration" in r.message for r in caplog.records) == 3


def test_bad_input_is_refused():
    X = np.random.default_rng(9).normal(size=(30, 5))
    with pytest.raises(ValueError, match="n_features_to_select=6 is more than the 5"):
        QuickSelection(6).fit(X)
    with pytest.raises(NumericalError, match="Lower learning_rate"):
        QuickSelection(scaling=None, learning_rate=10.0, n_epochs=50).fit(100 * X)
    with pytest.raises(ValueError, match="zeta"):
        QuickSelection(zeta=1.0).fit(X)
    assert QuickSelection(**SMALL).fit(X[:, :1]).get_support().all()
