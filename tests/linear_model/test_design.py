"""The implicit design: its products against a matrix that was formed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat.linear_model._penalized import _design
from sparsestat.linear_model._penalized._design import MomentDesign, make_design

LAYOUTS = [np.asarray, sparse.csc_array]


def data(seed=0, n=17, p=5, density=0.6):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * (rng.random((n, p)) < density)
    X[:, 1] = rng.standard_normal(n) + 1.5  # a full column
    return X, rng.uniform(0.5, 2.0, n), rng


def formed(X, weights, fit_intercept):
    """Return the weighted, centered matrix and the means."""
    s = np.ones(len(X)) if weights is None else weights
    means = s @ X / s.sum() if fit_intercept else np.zeros(X.shape[1])
    return np.sqrt(s)[:, None] * (X - means), means


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_are_those_of_the_formed_matrix(
    layout, weighted, fit_intercept, dtype
):
    X, s, rng = data()
    X = X.astype(dtype).astype(float)
    weights = s if weighted else None
    A, means = formed(X, weights, fit_intercept)
    design = make_design(layout(X.astype(dtype)), weights, fit_intercept=fit_intercept)
    same = {"rtol": 1e-12, "atol": 1e-12}
    assert design.unit == 1.0 and (design.n_samples, design.n_features) == (17, 5)
    assert_allclose(design.total, s.sum() if weighted else 17.0)
    assert design.is_weighted == weighted
    assert_allclose(design.means, means, **same)
    assert_allclose(design.squares, (A * A).sum(axis=0), **same)
    r, R = rng.standard_normal(17), rng.standard_normal((17, 2))
    assert_allclose(design.correlations(r), A.T @ r, **same)
    assert_allclose(design.correlations(R), A.T @ R, **same)
    columns = np.array([3, 0])
    for v, shape in ((r, 5), (R, (5, 2))):
        out = np.full(shape, 7.0)
        found = design.correlations(v, columns, out)
        assert found is out
        assert_allclose(out[columns], A[:, columns].T @ v, **same)
        assert (np.delete(out, columns, axis=0) == 7.0).all()
        out = np.full(shape, 7.0)
        assert_allclose(design.correlations(v, None, out), A.T @ v, **same)
        assert_allclose(
            design.correlations(v, columns)[columns], A[:, columns].T @ v, **same
        )
    w, W = np.array([2.0, -1.5]), np.array([[2.0, 1.0], [-1.5, 3.0]])
    assert_allclose(design.product(columns, w), A[:, columns] @ w, **same)
    assert_allclose(design.product(columns, W), A[:, columns] @ W, **same)
    block = np.full((17, 4), 7.0, order="F")
    design.gather(columns, block, 1)
    assert_allclose(block[:, 1:3], A[:, columns], **same)
    assert (block[:, [0, 3]] == 7.0).all()
    for y in (r, R):
        t, mean = design.target(y)
        share = weights / s.sum() if weighted else np.full(17, 1 / 17)
        expected = share @ y if fit_intercept else np.zeros(y.shape[1:])
        assert_allclose(mean, expected, **same)
        root = np.sqrt(s) if weighted else np.ones(17)
        assert_allclose(t, (root * (y - expected).T).T, **same)
    for coef, y_mean in ((w, 4.0), (W, np.array([4.0, 5.0]))):
        assert_allclose(design.center_dot(columns, coef), means[columns] @ coef, **same)
        expected = y_mean - means[columns] @ coef if fit_intercept else 0.0 * y_mean
        found = design.intercept(np.asarray(y_mean), columns, coef)
        assert_allclose(found, expected, **same)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_far_columns_are_centered_in_a_copy(layout, weighted):
    X, s, rng = data(1)
    X = np.round(X * 1024) / 1024
    weights = s if weighted else None
    A, _ = formed(X, weights, True)
    far = X.copy()
    far[:, 1] += 2.0**35
    far[:, 1] *= 2.0**160
    held = far.copy()
    design = make_design(layout(far), weights)
    assert_array_equal(far, held)
    assert 2.0**194 <= design.unit <= 2.0**196
    unit = 2.0**160 / design.unit
    assert_allclose(design.squares[1], (A[:, 1] @ A[:, 1]) * unit**2, rtol=1e-12)
    r = rng.standard_normal(17)
    assert_allclose(design.correlations(r)[1], A[:, 1] @ r * unit, rtol=1e-11)
    center = design.center_dot(np.array([1]), np.array([2.0**-160]))
    share = s / s.sum() if weighted else np.full(17, 1 / 17)
    assert_allclose(center, 2.0**35 + share @ X[:, 1], rtol=1e-15)
    assert_allclose(
        design.intercept(3.0, np.array([1]), np.array([2.0**-160])), 3.0 - center
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_constant_columns_have_no_length(layout):
    X, _, _ = data(2)
    X[:, 3] = 0.1
    X[:, 4] = 0.0
    design = make_design(layout(X))
    assert (design.squares == 0).tolist() == [False, False, False, True, True]
    assert design._standardization is None  # nothing is moved for their sake
    without = make_design(layout(X), fit_intercept=False)
    assert (without.squares == 0).tolist() == [False] * 4 + [True]
    # Nearly constant, but not: the digits are found again.
    X[:, 3] = 1.0
    X[0, 3] += 2.0**-40
    again = make_design(layout(X))
    assert_allclose(again.squares[3], 2.0**-80 * 16 / 17, rtol=1e-12)


def test_sparse_columns_with_zeros_are_not_moved():
    X, _, _ = data(3)
    X[:, 0] = 1e9
    X[0, 0] = 0.0
    thin = sparse.csc_array(X)
    design = make_design(thin)
    assert_allclose(design.squares[0], 1e18 * 16 / 17, rtol=1e-12)
    assert_array_equal(design.X.toarray(), X)
    assert design.chain == 17 + 16
    assert make_design(X).chain == 17 // 8 + 16


def test_sizes_out_of_reach_are_refused():
    X, _, _ = data(4)
    for layout in LAYOUTS:
        with pytest.raises(ValueError, match="overflow in double precision"):
            make_design(layout(1e151 * X))
        with pytest.raises(ValueError, match="vanish in double precision"):
            mixed = X.copy()
            mixed[:, 0] *= 1e-170
            make_design(layout(mixed), fit_intercept=False)
        bad = X.copy()
        bad[1, 1] = np.nan
        with pytest.raises(ValueError, match="NaN or infinity"):
            make_design(layout(bad))
        heavy = X * 2.0**147
        with pytest.raises(ValueError, match=r"overflow float64.*\(largest absolute"):
            make_design(layout(heavy), np.full(17, 1e140))


def test_full_enough_sparse_designs_are_gathered(monkeypatch):
    X = np.zeros((40, 10))
    X.ravel()[::20] = 1.0  # a twentieth of the entries
    assert make_design(sparse.csc_array(X)).prefers_gram
    X[0, 0] = 0.0
    assert not make_design(sparse.csc_array(X)).prefers_gram
    X[0, 0] = 1.0
    monkeypatch.setattr(_design, "_GATHER_BYTES", 8.0 * 40 * 10)
    assert make_design(sparse.csc_array(X)).prefers_gram
    monkeypatch.setattr(_design, "_GATHER_BYTES", 8.0 * 40 * 10 - 1)
    assert not make_design(sparse.csc_array(X)).prefers_gram
    assert make_design(X).prefers_gram


def test_the_limits_of_implicit_centering():
    # The spread of +-1 about the offset: copied from the limit on, not before.
    for layout, limit in ((np.asarray, 1e4), (sparse.csc_array, 10.0)):
        for offset, copied in ((0.99 * limit, False), (1.01 * limit, True)):
            X = np.array([[1.0], [-1.0]] * 8) + offset
            design = make_design(layout(X))
            assert (design._standardization is not None) == copied
            assert_allclose(design.squares, [16.0], rtol=1e-7 if copied else 1e-6)
            assert (abs(design.means[0]) < 1e-6) == copied


def test_a_constant_target_is_centered_exactly():
    design = make_design(data()[0])
    t, mean = design.target(np.full(17, 0.1))
    assert not t.any() and mean == 0.1
    Y = np.column_stack([np.full(17, 0.1), np.arange(17.0)])
    t, mean = design.target(Y + 2.0**40)
    assert not t[:, 0].any()
    assert_allclose(t[:, 1], np.arange(17.0) - 8.0, atol=1e-3)
    assert_allclose(mean[1], 2.0**40 + 8.0, rtol=1e-15)


def test_moments_have_the_centers_that_were_taken_off():
    root, _, rng = data(4)
    centers, w, W = rng.standard_normal(5), np.array([2.0, -1.0]), np.ones((2, 3))
    columns = np.array([4, 0])
    plain, centered = MomentDesign(root, None), MomentDesign(root, centers)
    assert plain.center_dot(columns, w) == 0.0
    found = plain.center_dot(columns, W)
    assert found.shape == (3,) and not found.any()
    assert plain.intercept(5.0, columns, w) == 0.0
    assert_allclose(centered.center_dot(columns, w), centers[columns] @ w)
    assert_allclose(centered.center_dot(columns, W), centers[columns] @ W)
    assert_allclose(centered.intercept(5.0, columns, w), 5.0 - centers[columns] @ w)
    assert_allclose(centered.product(columns, w), root[:, columns] @ w)
    assert not centered.means.any()


def test_one_zero_among_equal_entries_makes_no_constant():
    X = np.full((300, 2), 5.0)
    X[7, 0] = 0.0
    design = make_design(sparse.csc_array(X))
    assert_allclose(design.squares, [25.0 * 299 / 300, 0.0], rtol=1e-12)
    assert design.is_sparse and not make_design(X).is_sparse


def test_rows_of_a_sparse_matrix_are_not_read_as_columns():
    X = sparse.random_array((9, 4), density=0.6, rng=np.random.default_rng(0))
    a, b = make_design(X.tocsc()), make_design(X.tocsr())
    np.testing.assert_array_equal(a.squares, b.squares)
    r = np.arange(9.0)
    np.testing.assert_array_equal(a.correlations(r), b.correlations(r))
