"""denoise_image against its definition, written out, and against the noise."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.fft import dct
from sklearn.decomposition import PCA

from sparsestat.decomposition import OrthogonalDictionary, denoise_image


@pytest.fixture
def scene():
    rows, columns = np.mgrid[:72, :60]
    clean = 40.0 * ((rows // 18 + columns // 15) % 2) + 30 * np.sin(columns / 9)
    return clean, clean + 10 * np.random.default_rng(0).standard_normal(clean.shape)


def rmse(a, b):
    return np.sqrt(np.mean((a - b) ** 2))


def cosines(n):
    C = dct(np.eye(n), norm="ortho", axis=0)
    return np.kron(C, C)


def test_noise_falls_also_where_its_size_is_unknown(scene):
    clean, noisy = scene
    kept = noisy.copy()
    assert rmse(denoise_image(noisy, sigma=10.0, random_state=0), clean) < 5
    assert rmse(denoise_image(noisy, random_state=0), clean) < 6
    assert rmse(denoise_image(noisy, cosines(8), sigma=10.0), clean) < 6
    np.testing.assert_array_equal(noisy, kept)


def test_every_patch_is_coded_and_pixels_are_means(scene):
    image = scene[1][:9, :7]
    atoms, sums, counts = cosines(3), np.zeros((9, 7)), np.zeros((9, 7))
    for i in range(7):
        for j in range(5):
            patch = image[i : i + 3, j : j + 3]
            z = atoms @ (patch - patch.mean()).ravel()
            z[np.abs(z) <= 2.8 * 5.0] = 0
            sums[i : i + 3, j : j + 3] += (atoms.T @ z).reshape(3, 3) + patch.mean()
            counts[i : i + 3, j : j + 3] += 1
    found = denoise_image(image, atoms, patch_size=(3, 3), sigma=5.0)
    assert_allclose(found, sums / counts, rtol=1e-12)


def test_units_and_offsets_do_not_matter(scene):
    image = scene[1][:30, :30]
    plain = denoise_image(image, random_state=0)
    moved = denoise_image(4 * image + 1000, random_state=0)
    assert_allclose(moved, 4 * plain + 1000, rtol=1e-8)


def test_estimators_code_by_their_own_rules_and_colors_are_kept(scene):
    clean, noisy = scene
    model = OrthogonalDictionary(random_state=0)
    found = denoise_image(noisy, model, random_state=0)
    assert not hasattr(model, "components_") and rmse(found, clean) < 8
    assert rmse(denoise_image(noisy, PCA(6), random_state=0), clean) < 8
    colors = np.stack([noisy, noisy[::-1], -noisy], axis=2).astype(np.float32)
    out = denoise_image(colors, patch_size=(4, 5), random_state=0)
    assert out.shape == colors.shape and out.dtype == np.float32
    assert rmse(out[..., 0], clean) < 6


def test_what_cannot_be_done_is_said(scene):
    image = scene[1]
    with pytest.raises(ValueError, match="image has shape"):
        denoise_image(np.ones(5))
    with pytest.raises(ValueError, match="NaN"):
        denoise_image(np.where(image > 0, np.nan, image))
    with pytest.raises(ValueError, match="patch_size"):
        denoise_image(image, patch_size=(8, 80))
    with pytest.raises(ValueError, match="sigma"):
        denoise_image(image, sigma=-1.0)
    with pytest.raises(ValueError, match="64"):
        denoise_image(image, np.eye(9))
    with pytest.raises(ValueError, match="orthonormal"):
        denoise_image(image, 2 * np.eye(64))
    with pytest.raises(ValueError, match="Pass sigma"):
        denoise_image(image[:1], patch_size=(1, 4))
    assert_allclose(denoise_image(image, cosines(8), sigma=0.0), image)
