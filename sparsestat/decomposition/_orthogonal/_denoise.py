"""Images without their noise: sparse codes of overlapping patches, averaged."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.base import clone
from sklearn.utils.validation import check_array, check_random_state

from sparsestat._utils.validation import check_magnitude
from sparsestat.decomposition._orthogonal_online import OnlineOrthogonalDictionary

__all__ = ["denoise_image"]

_TRAINING = 20_000  # patches to learn from
_BLOCK = 16_384  # patches coded at a time


def denoise_image(
    image, dictionary=None, *, patch_size=(8, 8), sigma=None, random_state=None
):
    """Remove white noise from an image by a dictionary of its patches.

    Every patch, less its mean, is coded in the dictionary and put together again; a
    pixel is the mean over the patches that hold it.

    Parameters
    ----------
    image : array-like of shape (height, width) or (height, width, n_channels)
        Finite numbers, never modified.
    dictionary : estimator or array-like of shape (n_atoms, n_values), default=None
        None learns an orthogonal dictionary from the patches of this image and keeps
        codes above ``2.8 * sigma``; orthonormal rows are used likewise. An estimator
        with ``transform`` and ``inverse_transform`` codes by its own rules; it is
        fitted to the patches, unless it is fitted already.
    patch_size : tuple of two ints, default=(8, 8)
        Height and width of the patches. They run over all channels.
    sigma : float, default=None
        Standard deviation of the noise. None takes it from the differences of
        diagonal neighbors, which texture makes too large.
    random_state : int, RandomState instance or None, default=None
        Draws the patches that are learned from, and the start.

    Returns
    -------
    denoised : ndarray, of the shape of `image`
        In double precision; float32 where that is what the image is.

    See Also
    --------
    OnlineOrthogonalDictionary : What is learned by default.

    Notes
    -----
    Memory is that of some arrays of the size of the image, and of 20 000 patches.

    References
    ----------
    .. [1] M. Elad, M. Aharon, "Image denoising via sparse and redundant
       representations over learned dictionaries", IEEE Transactions on Image
       Processing 15, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import denoise_image
    >>> clean = np.add.outer(np.arange(64) // 16, np.arange(64) // 16) * 30.0
    >>> noisy = clean + 10 * np.random.default_rng(0).standard_normal(clean.shape)
    >>> denoised = denoise_image(noisy, sigma=10.0, random_state=0)
    >>> errors = [np.sqrt(np.mean((a - clean) ** 2)) for a in (noisy, denoised)]
    >>> bool(errors[1] < 0.6 * errors[0])
    True
    """
    given = np.asarray(image)
    single = given.dtype == np.float32
    image = check_array(
        given, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="image"
    )
    if image.ndim not in (2, 3):
        raise ValueError(
            f"image has shape {image.shape}, but (height, width) or (height, width, "
            "n_channels) is expected."
        )
    check_magnitude(image, name="image")
    sides = tuple(patch_size)
    if len(sides) != 2 or not all(
        isinstance(s, int | np.integer) and 1 <= s <= n
        for s, n in zip(sides, image.shape[:2], strict=True)
    ):
        raise ValueError(
            f"patch_size={patch_size!r} must be two ints from 1 to those of the image, "
            f"{image.shape[:2]}."
        )
    if sigma is None:
        sigma = _noise_of(image)
    elif not (np.isscalar(sigma) and np.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma={sigma!r} must be a non-negative number.")
    channels = image.reshape(*image.shape[:2], -1)
    views = sliding_window_view(channels, sides, axis=(0, 1))
    code = _coder(dictionary, views, float(sigma), check_random_state(random_state))
    sums, counts = np.zeros_like(channels), np.zeros(image.shape[:2])
    n_rows, n_columns = views.shape[:2]
    step = max(1, _BLOCK // n_columns)
    for top in range(0, n_rows, step):
        rows = np.arange(top, min(top + step, n_rows))
        patches, means = _centered(views[rows].reshape(-1, views[0, 0].size))
        found = (code(patches) + means).reshape(len(rows), *views.shape[1:])
        for i in range(sides[0]):
            for j in range(sides[1]):
                place = slice(top + i, top + i + len(rows)), slice(j, j + n_columns)
                sums[place] += found[..., i, j]
                counts[place] += 1.0
    out = (sums / counts[..., None]).reshape(image.shape)
    return out.astype(np.float32) if single else out


def _noise_of(image):
    """Estimate the noise by the median of second differences across diagonals."""
    if min(image.shape[:2]) < 2:
        raise ValueError(
            "The noise cannot be estimated from one row or column. Pass sigma."
        )
    mixed = image[1:, 1:] - image[1:, :-1] - image[:-1, 1:] + image[:-1, :-1]
    return float(np.median(np.abs(mixed))) / (2.0 * 0.6744897501960817)


def _centered(patches):
    means = patches.mean(axis=1, keepdims=True)
    return patches - means, means


def _some_patches(views, rng):
    """Return at most as many patches as are learned from, without their means."""
    n = views.shape[0] * views.shape[1]
    chosen = np.arange(n)
    if n > _TRAINING:
        chosen = np.sort(rng.choice(n, _TRAINING, replace=False))
    rows, columns = np.divmod(chosen, views.shape[1])
    return _centered(views[rows, columns].reshape(len(chosen), -1))[0]


def _coder(dictionary, views, sigma, rng):
    """Return a function that codes centered patches and puts them together again."""
    if dictionary is not None and not hasattr(dictionary, "transform"):
        atoms = check_array(dictionary, dtype=np.float64, input_name="dictionary")
        size = views[0, 0].size
        if atoms.shape[1] != size:
            raise ValueError(
                f"dictionary has {atoms.shape[1]} columns, but patches have {size} "
                "values."
            )
        error = np.abs(atoms @ atoms.T - np.eye(len(atoms))).max()
        if not error <= 1e-6:
            raise ValueError(
                "The rows of dictionary are not orthonormal (they differ by "
                f"{error:.1e}). Pass project_stiefel(dictionary), or an estimator that "
                "codes in other dictionaries."
            )
    elif dictionary is not None:
        model = dictionary
        if not hasattr(model, "components_"):
            model = clone(model).fit(_some_patches(views, rng))
        return lambda patches: model.inverse_transform(model.transform(patches))
    else:
        model = OnlineOrthogonalDictionary(max_iter=3, random_state=rng)
        atoms = model.fit(_some_patches(views, rng)).components_

    def code(patches):
        Z = patches @ atoms.T
        Z[np.abs(Z) <= 2.8 * sigma] = 0.0
        return Z @ atoms

    return code
