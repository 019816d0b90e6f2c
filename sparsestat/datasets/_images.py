"""Images that ship with scikit-learn: digits and patches of photographs."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.utils import Bunch, check_random_state

from sparsestat._utils.compat import (
    Interval,
    StrOptions,
    align_sparse_interface,
    validate_params,
)
from sparsestat.datasets._tabular import as_dataset

__all__ = ["load_digits_halves", "load_digits_sparse", "load_image_patches"]


@validate_params({"return_X_y": ["boolean"]}, prefer_skip_nested_validation=True)
def load_digits_sparse(*, return_X_y=False):
    """Load the handwritten digits as a sparse matrix (ten classes).

    1797 images of 8 by 8 pixels, of which half are blank.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        data : sparse matrix of shape (1797, 61)
            Gray levels from 0 to 16 in CSC format, as a sparse array or matrix as
            ``sklearn.set_config(sparse_interface=...)`` says.
        target : ndarray of shape (1797,)
            The digit.
        feature_names : list of str
            ``"pixel_r_c"`` for row r and column c.
        target_names : ndarray of shape (10,)
            The ten digits.
        DESCR : str
            What the data are.
    (data, target) : tuple if ``return_X_y=True``
        The matrix and the digits.

    See Also
    --------
    load_digits_halves : A regression problem with many targets.

    Notes
    -----
    Three pixels that are blank in every image are dropped.

    Examples
    --------
    >>> from sparsestat.datasets import load_digits_sparse
    >>> digits = load_digits_sparse()
    >>> digits.data.shape, digits.data.format
    ((1797, 61), 'csc')
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    keep = np.flatnonzero(source.data.any(axis=0))
    data = align_sparse_interface(sparse.csc_array(source.data[:, keep]))
    description = (
        "Digits as a sparse matrix\n\n"
        f"Gray levels of {len(keep)} pixels that are not blank in every image; "
        f"{1 - data.nnz / np.prod(data.shape):.0%} of the entries are zero.\n\n"
        f"The original data set:\n\n{source.DESCR}"
    )
    return as_dataset(
        data,
        source.target,
        [f"pixel_{j // 8}_{j % 8}" for j in keep],
        "digit",
        description,
        return_X_y=return_X_y,
        as_frame=False,
        target_names=source.target_names,
    )


@validate_params(
    {
        "interactions": ["boolean"],
        "return_X_y": ["boolean"],
        "as_frame": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_digits_halves(*, interactions=False, return_X_y=False, as_frame=False):
    """Load the digits as a completion task: the upper half predicts the lower.

    A regression problem with many related targets, for multi-task estimators: 1797
    images, the pixels of the upper four rows as features and those of the lower
    four rows as targets.

    Parameters
    ----------
    interactions : bool, default=False
        Add all products of two upper pixels and the squares.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=False
        Return pandas DataFrames.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        data : {ndarray, DataFrame} of shape (1797, n_features)
            Upper pixels, in Fortran order: 31 columns, 480 with interactions.
        target : {ndarray, DataFrame} of shape (1797, 30)
            Lower pixels.
        feature_names : list of str
            ``"pixel_r_c"`` and products joined by a blank.
        target_names : list of str
            ``"pixel_r_c"``.
        frame : DataFrame or None
            Only with ``as_frame=True``.
        DESCR : str
            What the data are and how the columns were made.
    (data, target) : tuple if ``return_X_y=True``
        The two arrays or frames.

    See Also
    --------
    load_digits_sparse : The pixels as a sparse matrix, to classify.

    Notes
    -----
    Gray levels are divided by 16. Columns that are constant or equal to another
    one up to scale and shift are dropped.

    Examples
    --------
    >>> from sparsestat.datasets import load_digits_halves
    >>> digits = load_digits_halves()
    >>> digits.data.shape, digits.target.shape
    ((1797, 31), (1797, 30))
    """
    from sklearn.datasets import load_digits
    from sklearn.preprocessing import PolynomialFeatures

    from sparsestat.datasets._tabular import _distinct_columns

    source = load_digits()
    pixels = source.data / 16.0
    names = np.array([f"pixel_{j // 8}_{j % 8}" for j in range(64)])
    upper, lower = pixels[:, :32], pixels[:, 32:]
    alive = lower.any(axis=0)
    target, target_names = lower[:, alive], [str(n) for n in names[32:][alive]]
    feature_names = names[:32]
    if interactions:
        expansion = PolynomialFeatures(2, include_bias=False, order="F")
        upper = expansion.fit_transform(upper)
        feature_names = expansion.get_feature_names_out(list(feature_names))
    keep, _ = _distinct_columns(upper)
    data = np.asfortranarray(upper[:, keep])
    description = (
        "Digits, upper and lower half\n\n"
        f"{data.shape[1]} features from the upper four rows of each image and "
        f"{target.shape[1]} targets from the lower four, as gray levels from 0 to "
        f"1. Pixels blank in every image are dropped.\n\n"
        f"The original data set:\n\n{source.DESCR}"
    )
    return as_dataset(
        data,
        target,
        [str(n) for n in feature_names[keep]],
        target_names,
        description,
        return_X_y=return_X_y,
        as_frame=as_frame,
        target_names=target_names,
    )


@validate_params(
    {
        "image": [StrOptions({"china", "flower"})],
        "patch_size": [Interval(Integral, 2, 64, closed="both")],
        "n_patches": [Interval(Integral, 1, None, closed="left")],
        "remove_mean": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def load_image_patches(
    image="china", *, patch_size=8, n_patches=5000, remove_mean=True, random_state=None
):
    """Load square gray-level patches of a photograph, for dictionary learning.

    Parameters
    ----------
    image : {"china", "flower"}, default="china"
        One of the two photographs that ship with scikit-learn, 427 by 640 pixels.
    patch_size : int, default=8
        Height and width of a patch in pixels, from 2 to 64.
    n_patches : int, default=5000
        Number of patches. Their positions are drawn without replacement, hence at
        most the number of positions in the image.
    remove_mean : bool, default=True
        Subtract from each patch its own mean.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        data : ndarray of shape (n_patches, patch_size ** 2)
            One patch a row, row by row.
        positions : ndarray of shape (n_patches, 2)
            Row and column of the upper left pixel.
        means : ndarray of shape (n_patches,)
            What was subtracted (zeros with ``remove_mean=False``).
        image : ndarray of shape (427, 640)
            The gray-level image, from 0 to 1.
        patch_size : int
            The parameter.
        DESCR : str
            What the data are.

    Raises
    ------
    ImportError
        If pillow is missing, which decodes the photographs. It is installed with
        the extra ``plot``.
    ValueError
        If more patches are asked for than there are positions.

    See Also
    --------
    sklearn.datasets.load_sample_image : The photographs in color.

    Notes
    -----
    Gray is the luminance 0.299 R + 0.587 G + 0.114 B.

    Examples
    --------
    >>> from sparsestat.datasets import load_image_patches
    >>> patches = load_image_patches(n_patches=100, random_state=0)
    >>> patches.data.shape
    (100, 64)
    """
    from sklearn.datasets import load_sample_image

    try:
        color = load_sample_image(f"{image}.jpg")
    except ImportError as error:
        raise ImportError(
            "load_image_patches needs pillow to decode the photographs. Install it "
            "with: pip install 'sparsestat[plot]'."
        ) from error
    gray = (color @ np.array([0.299, 0.587, 0.114])) / 255.0
    height, width = (size - patch_size + 1 for size in gray.shape)
    if n_patches > height * width:
        raise ValueError(
            f"n_patches={n_patches} exceeds the {height * width} positions of a "
            f"{patch_size} by {patch_size} patch in this image. Ask for fewer."
        )
    rng = check_random_state(random_state)
    chosen = rng.permutation(height * width)[:n_patches]
    positions = np.column_stack(np.divmod(chosen, width))
    windows = np.lib.stride_tricks.sliding_window_view(gray, (patch_size, patch_size))
    data = windows[positions[:, 0], positions[:, 1]].reshape(n_patches, -1)
    means = data.mean(axis=1) if remove_mean else np.zeros(n_patches)
    data = data - means[:, None]
    return Bunch(
        data=data,
        positions=positions,
        means=means,
        image=gray,
        patch_size=patch_size,
        DESCR=(
            "Patches of a photograph\n\n"
            f"{n_patches} patches of {patch_size} by {patch_size} pixels from "
            f"{image}.jpg, one of the sample images of scikit-learn, as gray levels "
            "from 0 to 1" + (", each minus its mean." if remove_mean else ".")
        ),
    )
