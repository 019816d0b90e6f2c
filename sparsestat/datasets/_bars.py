"""Images of bars: sparse codes whose components are known."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state

from sparsestat._utils.compat import Interval, StrOptions, validate_params

__all__ = ["make_bars"]


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "size": [Interval(Integral, 2, None, closed="left")],
        "superposition": [StrOptions({"sum", "max", "max_magnitude", "slab"})],
        "values": ["array-like"],
        "pi": [Interval(Real, 0, 1, closed="neither"), "array-like", None],
        "amplitude": [Interval(Real, 0, None, closed="neither")],
        "sigma": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_bars(
    n_samples=1000,
    *,
    size=5,
    superposition="sum",
    values=(0, 1),
    pi=None,
    amplitude=10.0,
    sigma=2.0,
    random_state=None,
):
    r"""Draw images of horizontal and vertical bars that overlap at random.

    The classical test of component extraction: `size` rows and `size` columns of an
    image are the components, each is there with a small probability, and the method
    has to find them from images in which they cross.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of images.
    size : int, default=5
        Height and width; there are ``2 * size`` bars.
    superposition : {"sum", "max", "max_magnitude", "slab"}, default="sum"
        How bars combine where they cross: by addition; the larger wins; the larger
        in magnitude wins, with half of the bars negative; or by addition with
        strengths from N(1, 1).
    values : array-like, default=(0, 1)
        Values of a bar, one of them zero; for "sum" only.
    pi : float or array-like, default=None
        Probability of a bar, in equal parts on its non-zero values; or the
        probabilities of all `values`. None means ``1 / size``.
    amplitude : float, default=10.0
        Gray level of a bar.
    sigma : float, default=2.0
        Standard deviation of the noise.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        data : ndarray of shape (n_samples, size ** 2)
            One image a row.
        causes : ndarray of shape (n_samples, 2 * size)
            Values of the bars.
        components : ndarray of shape (2 * size, size ** 2)
            The bars: rows of the image first, then columns.
        pi : float or ndarray
            The parameter.
        sigma : float
            The parameter.
        DESCR : str
            What the data are.

    See Also
    --------
    load_image_patches : Patches of photographs, where the components are unknown.

    Examples
    --------
    >>> from sparsestat.datasets import make_bars
    >>> bars = make_bars(200, size=4, random_state=0)
    >>> bars.data.shape, bars.components.shape
    ((200, 16), (8, 16))
    """
    rng = check_random_state(random_state)
    values = np.asarray(values)
    if superposition != "sum":
        values = np.array([0, 1])
    if values.ndim != 1 or np.count_nonzero(values == 0) != 1 or len(values) < 2:
        raise ValueError(
            "values must list different numbers, exactly one of them zero, got "
            f"{values.tolist()}."
        )
    pi = 1.0 / size if pi is None else pi
    if np.ndim(pi) == 0:
        chances = np.where(values == 0, 1.0 - pi, pi / (len(values) - 1))
    else:
        chances = np.asarray(pi, dtype=np.float64)
        if chances.shape != values.shape or (chances < 0).any():
            raise ValueError(
                f"pi must be a number, or a probability for each of the {len(values)} "
                f"values; got {pi!r}."
            )
        if abs(chances.sum() - 1.0) > 1e-8:
            raise ValueError(
                f"The probabilities in pi must add up to 1, not {chances.sum():g}."
            )
    bars = np.zeros((2 * size, size, size))
    for k in range(size):
        bars[k, k, :] = amplitude
        bars[size + k, :, k] = amplitude
    bars = bars.reshape(2 * size, size**2)
    if superposition == "max_magnitude":
        bars[1::2] *= -1.0
    causes = rng.choice(values, size=(n_samples, 2 * size), p=chances)
    if superposition == "slab":
        causes = causes * rng.normal(1.0, 1.0, size=causes.shape)
    if superposition in ("sum", "slab"):
        data = causes @ bars
    else:
        data = np.zeros((n_samples, size**2))
        for h, bar in enumerate(bars):
            product = causes[:, h, None] * bar
            wins = np.abs(product) > np.abs(data)
            data[wins] = product[wins]
    data = data + sigma * rng.standard_normal(data.shape)
    return Bunch(
        data=data,
        causes=causes,
        components=bars,
        pi=pi,
        sigma=sigma,
        DESCR=(
            "Images of bars\n\n"
            f"{n_samples} images of {size} by {size} pixels, in which {2 * size} bars "
            f"of gray level {amplitude:g} combine by {superposition!r}; noise of "
            f"standard deviation {sigma:g}."
        ),
    )
