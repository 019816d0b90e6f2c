"""Loaders: shapes, names, no constant or duplicate columns, frames."""

import builtins

import numpy as np
import pytest
from scipy import sparse

from sparsestat.datasets import (
    load_breast_cancer_interactions,
    load_diabetes_interactions,
    load_digits_halves,
    load_digits_sparse,
    load_image_patches,
    load_wine_interactions,
)

TABLES = {
    load_diabetes_interactions: (442, 274),
    load_breast_cancer_interactions: (569, 495),
    load_wine_interactions: (178, 559),
}


@pytest.mark.parametrize("load", TABLES, ids=lambda f: f.__name__)
def test_table_has_distinct_varying_columns(load):
    data = load(standardize=True)
    X = data.data
    assert X.shape == TABLES[load] == (len(data.target), len(data.feature_names))
    np.testing.assert_allclose(X.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(X.std(axis=0), 1.0, rtol=1e-12)
    correlation = np.abs(X.T @ X) / len(X)
    np.fill_diagonal(correlation, 0.0)
    assert correlation.max() < 1 - 1e-10
    assert len(set(data.feature_names)) == X.shape[1]
    assert X.flags.f_contiguous
    assert "interactions" in data.DESCR


@pytest.mark.parametrize("load", TABLES, ids=lambda f: f.__name__)
def test_frame_holds_the_same_numbers(load):
    pd = pytest.importorskip("pandas")
    array, frame = load(degree=2), load(degree=2, as_frame=True)
    assert isinstance(frame.data, pd.DataFrame)
    assert list(frame.data.columns) == array.feature_names
    np.testing.assert_array_equal(frame.data.to_numpy(), array.data)
    np.testing.assert_array_equal(frame.target.to_numpy(), array.target)
    assert frame.frame.shape[1] == array.data.shape[1] + 1
    X, y = load(degree=2, return_X_y=True)
    np.testing.assert_array_equal(X, array.data)
    np.testing.assert_array_equal(y, array.target)


def test_products_are_products_of_their_factors():
    data = load_diabetes_interactions()
    column = dict(zip(data.feature_names, data.data.T, strict=True))
    np.testing.assert_allclose(column["bmi^2"], column["bmi"] ** 2, rtol=1e-12)
    np.testing.assert_allclose(
        column["age sex s5"], column["age"] * column["sex"] * column["s5"], rtol=1e-12
    )
    assert set(np.unique(column["sex"])) == {0.0, 1.0}
    assert "sex^2" not in column


def test_degree_one_is_the_original_table():
    data = load_diabetes_interactions(degree=1)
    assert data.feature_names == [
        *("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
    ]


def test_digits_sparse():
    digits = load_digits_sparse()
    assert sparse.issparse(digits.data) and digits.data.format == "csc"
    assert digits.data.shape == (1797, len(digits.feature_names)) == (1797, 61)
    assert np.diff(digits.data.indptr).min() > 0
    assert set(digits.target) == set(range(10))


@pytest.mark.parametrize(("interactions", "width"), [(False, 31), (True, 480)])
def test_digits_halves(interactions, width):
    digits = load_digits_halves(interactions=interactions)
    assert digits.data.shape == (1797, width)
    assert digits.target.shape == (1797, len(digits.target_names))
    assert 0 <= digits.data.min() and digits.data.max() <= 1
    assert digits.data.std(axis=0).min() > 0 and digits.target.std(axis=0).min() > 0
    rows = {int(name.split("_")[1]) for name in digits.target_names}
    assert rows == {4, 5, 6, 7}


def test_digits_halves_frame():
    pytest.importorskip("pandas")
    digits = load_digits_halves(as_frame=True)
    assert list(digits.target.columns) == digits.target_names
    assert digits.frame.shape == (1797, 61)


def test_image_patches_come_from_the_image():
    patches = load_image_patches(n_patches=200, patch_size=6, random_state=0)
    assert patches.data.shape == (200, 36)
    np.testing.assert_allclose(patches.data.mean(axis=1), 0.0, atol=1e-12)
    for k in (0, 57, 199):
        r, c = patches.positions[k]
        expected = patches.image[r : r + 6, c : c + 6].ravel()
        np.testing.assert_allclose(patches.data[k] + patches.means[k], expected)
    assert len(np.unique(patches.positions, axis=0)) == 200
    again = load_image_patches(n_patches=200, patch_size=6, random_state=0)
    np.testing.assert_array_equal(patches.data, again.data)


def test_image_patches_bad_count():
    with pytest.raises(ValueError, match="exceeds the"):
        load_image_patches(n_patches=10**6)


def test_image_patches_without_pillow(monkeypatch):
    real_import = builtins.__import__

    def without_pillow(name, *args, **kwargs):
        if name == "PIL" or name.startswith("PIL."):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(ImportError, match=r"sparsestat\[plot\]"):
        load_image_patches(n_patches=1)


@pytest.mark.parametrize("degree", [0, 7, 2.5])
def test_bad_degree(degree):
    with pytest.raises(ValueError, match="degree"):
        load_wine_interactions(degree=degree)


@pytest.mark.parametrize("image", ["china", "flower"])
def test_means_are_removed_only_if_asked_to(image):
    options = {"n_patches": 20, "patch_size": 4, "image": image, "random_state": 1}
    bare = load_image_patches(remove_mean=True, **options)
    full = load_image_patches(remove_mean=False, **options)
    np.testing.assert_array_equal(bare.positions, full.positions)
    assert not full.means.any()
    np.testing.assert_allclose(full.data.mean(axis=1), bare.means)
    np.testing.assert_allclose(full.data - bare.means[:, None], bare.data, atol=1e-12)
    assert full.image.shape == (427, 640) and 0 <= full.image.min() < full.image.max()
