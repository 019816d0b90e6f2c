"""Time series whose correlation structure changes from segment to segment."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import product
from numbers import Integral, Real

import numpy as np
from scipy.special import ndtr
from scipy.stats import genextreme
from sklearn.utils import Bunch, check_random_state

from sparsestat._utils.compat import Interval, StrOptions, validate_params

__all__ = ["make_correlation_structures"]

# All triples (r12, r13, r23); the position in this list is the identifier.
_TRIPLES = np.array(list(product((0, 1, -1), repeat=3)), dtype=float)
# Two strong correlations of one sign force the third: these four cannot be.
_IMPOSSIBLE = (14, 16, 22, 26)
_SHORT = (900, 1200, 1800, 3600, 7200, 10800, 14400, 18000)  # seconds
_LONG = (21600, 28800, 36000)


@validate_params(
    {
        "n_segments": [Interval(Integral, 1, None, closed="left")],
        "variant": [StrOptions({"correlated", "raw", "non_normal", "downsampled"})],
        "missing": [Interval(Real, 0, 1, closed="left")],
        "patterns": [StrOptions({"all", "valid"}), "array-like"],
        "lengths": ["array-like", None],
        "method": [StrOptions({"loadings", "cholesky"})],
        "standardize": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_correlation_structures(
    n_segments=100,
    *,
    variant="correlated",
    missing=0.0,
    patterns="all",
    lengths=None,
    method="loadings",
    standardize=False,
    random_state=None,
):
    """Draw three time series whose correlations change at known times.

    Each segment follows one of 23 patterns: every pair of series is uncorrelated,
    strongly correlated or strongly anticorrelated. A benchmark for methods that
    segment or cluster time series by their correlation structure, after [1]_.

    Parameters
    ----------
    n_segments : int, default=100
        Number of segments. Patterns occur equally often, up to a remainder drawn
        at random, in random order and never twice running.
    variant : {"correlated", "raw", "non_normal", "downsampled"}, \
            default="correlated"
        ``"raw"``: independent normal series, the control. ``"correlated"``: normal
        series with the patterns. ``"non_normal"``: the same ranks with skewed
        margins (two generalized extreme value distributions around a geometric
        one). ``"downsampled"``: means over one minute of the correlated series.
    missing : float, default=0.0
        Share of the observations dropped at random, in [0, 1).
    patterns : {"all", "valid"} or array-like of int, default="all"
        Identifiers of the patterns to use. ``"valid"`` are the 11 whose triple of
        correlations 0, 1 and -1 is possible as it stands; the other 12 are
        realized approximately, see Notes.
    lengths : array-like of int, default=None
        Lengths of segments in seconds, used equally often up to a remainder. None
        takes 15 minutes to 5 hours for three quarters of the segments and 6 to 10
        hours for the rest.
    method : {"loadings", "cholesky"}, default="loadings"
        How the correlations are made, see Notes.
    standardize : bool, default=False
        Scale the series of each segment to population variance 1. Matters for
        ``method="loadings"`` only.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes

        X : ndarray of shape (n_samples, 3)
            Observations in order of time, rounded to three decimals (means over a
            minute are not rounded again).
        time_index : ndarray of shape (n_samples,)
            Seconds since the start.
        segments : structured ndarray of shape (n_segments,)
            Fields ``start``, ``stop`` (rows of `X`, half open) and ``pattern_id``.
        labels : ndarray of shape (n_samples,)
            Pattern identifier of each row.
        pattern_ids : ndarray of shape (23,)
            Identifiers of all patterns, of which `patterns` is a subset.
        targets : ndarray of shape (23, 3)
            The triples (r12, r13, r23) of 0, 1 and -1.
        relaxed : ndarray of shape (23, 3)
            The same, where impossible triples are weakened to possible ones.
        population : ndarray of shape (23, 3)
            Population correlations of what was drawn with `method`, before any
            change of the margins.

    Raises
    ------
    ValueError
        If `patterns` holds unknown identifiers or a single one for more than one
        segment, or a length is not positive.

    See Also
    --------
    make_correlated_features : One correlation structure, many features.

    Notes
    -----
    A triple with exactly two strong correlations is no correlation matrix: if x1
    goes with x2 and x1 with x3, then x2 goes with x3. With ``method="loadings"``
    the negative eigenvalue of such a matrix is set to zero, which leaves
    correlations of about 0.74 and 0.09 and variances above 1. With
    ``method="cholesky"`` the relaxed targets, 0.71 and 0.70, are met exactly. A
    correlation counts as strong from 0.7 in absolute value and as negligible up to
    0.2. By default there are over a million rows.

    References
    ----------
    .. [1] I. Degen, Z. S. Abdallah, H. W. J. Reeve, K. Robson Brown, "CSTS: a
       benchmark for the discovery of correlation structures in time series
       clustering", 2025.

    Examples
    --------
    >>> from sparsestat.datasets import make_correlation_structures
    >>> data = make_correlation_structures(4, lengths=[600], random_state=0)
    >>> data.X.shape, data.segments["stop"].tolist()
    ((2400, 3), [600, 1200, 1800, 2400])
    """
    rng = check_random_state(random_state)
    pattern_ids = np.array([k for k in range(27) if k not in _IMPOSSIBLE])
    targets = _TRIPLES[pattern_ids]
    relaxed = np.array([_relax(t) for t in targets])
    mixings, population = _mixings(targets, relaxed, method, standardize)

    chosen = _choose_patterns(patterns, pattern_ids)
    order = _arrange(rng, chosen, n_segments)
    sizes = _draw_lengths(rng, lengths, n_segments)
    stops = np.cumsum(sizes)
    starts = stops - sizes

    X = rng.standard_normal((stops[-1], 3)).round(3)
    if variant != "raw":
        for start, stop, k in zip(starts, stops, order, strict=True):
            X[start:stop] = X[start:stop] @ mixings[k].T
        X = X.round(3)
    if variant == "non_normal":
        X = _skewed(X).round(3)
    segment = np.repeat(np.arange(n_segments), sizes)
    time_index = np.arange(stops[-1])
    if variant == "downsampled":
        X, segment, time_index = _minute_means(X, starts, sizes)
    if missing > 0:
        n_kept = max(1, round((1.0 - missing) * len(X)))
        kept = np.sort(rng.permutation(len(X))[:n_kept])
        X, segment, time_index = X[kept], segment[kept], time_index[kept]

    bounds = np.searchsorted(segment, np.arange(n_segments + 1))
    segments = np.empty(
        n_segments,
        dtype=[("start", np.intp), ("stop", np.intp), ("pattern_id", np.intp)],
    )
    segments["start"], segments["stop"] = bounds[:-1], bounds[1:]
    segments["pattern_id"] = pattern_ids[order]
    return Bunch(
        X=X,
        time_index=time_index,
        segments=segments,
        labels=segments["pattern_id"][segment],
        pattern_ids=pattern_ids,
        targets=targets,
        relaxed=relaxed,
        population=population,
    )


def _matrix(triple):
    C = np.eye(3)
    C[0, 1] = C[1, 0] = triple[0]
    C[0, 2] = C[2, 0] = triple[1]
    C[1, 2] = C[2, 1] = triple[2]
    return C


def _triple(C):
    d = np.sqrt(np.diag(C))
    R = C / np.outer(d, d)
    return np.array([R[0, 1], R[0, 2], R[1, 2]])


def _relax(triple):
    """Weaken a triple with exactly two strong entries, which is not possible."""
    out = triple.copy()
    strong = np.flatnonzero(triple)
    if len(strong) == 2:
        out[strong] *= (0.71, 0.70)
    return out


def _mixings(targets, relaxed, method, standardize):
    """Return for each pattern A with x = A g, and the correlations of x."""
    mixings, population = [], []
    for target, possible in zip(targets, relaxed, strict=True):
        values, vectors = np.linalg.eigh(
            _matrix(target if method == "loadings" else possible)
        )
        A = vectors * np.sqrt(np.maximum(values, 0.0))
        if method == "cholesky":
            # The triangular factor with the same A A': it exists for singular
            # matrices too, where numpy's Cholesky factorization fails.
            A = np.linalg.qr(A.T, mode="r").T
            A *= np.where(np.diag(A) < 0, -1.0, 1.0)
        C = A @ A.T
        population.append(_triple(C))
        if standardize:
            A = A / np.sqrt(np.diag(C))[:, None]
        mixings.append(A)
    return mixings, np.array(population)


def _choose_patterns(patterns, pattern_ids):
    """Return positions in `pattern_ids`."""
    if isinstance(patterns, str):
        strong = np.count_nonzero(_TRIPLES[pattern_ids], axis=1)
        return np.flatnonzero(strong != 2) if patterns == "valid" else np.arange(23)
    asked = np.unique(np.asarray(patterns))
    unknown = np.setdiff1d(asked, pattern_ids)
    if len(unknown) or not len(asked):
        raise ValueError(
            f"patterns holds unknown identifiers {unknown.tolist()}. Expected "
            f"'all', 'valid' or a subset of {pattern_ids.tolist()}."
        )
    return np.searchsorted(pattern_ids, asked)


def _equally_often(rng, items, n):
    """Return n items, each equally often, the remainder without replacement."""
    rest = rng.permutation(len(items))[: n % len(items)]
    return np.concatenate([np.tile(items, n // len(items)), np.asarray(items)[rest]])


def _arrange(rng, chosen, n_segments):
    """Return the order of the patterns: random, never the same twice running."""
    if len(chosen) == 1 and n_segments > 1:
        raise ValueError(
            f"One pattern cannot fill {n_segments} segments without following "
            "itself. Pass at least two patterns, or n_segments=1."
        )
    while True:
        left = np.bincount(_equally_often(rng, chosen, n_segments), minlength=23)
        order, last = [], -1
        for _ in range(n_segments):
            weight = left.astype(float)
            weight[last] = 0.0 if last >= 0 else weight[last]
            if weight.sum() == 0:
                break  # only the last pattern is left: start again
            last = int(rng.choice(23, p=weight / weight.sum()))
            left[last] -= 1
            order.append(last)
        else:
            return np.array(order)


def _draw_lengths(rng, lengths, n_segments):
    if lengths is None:
        n_long = n_segments // 4
        drawn = np.concatenate(
            [
                _equally_often(rng, _SHORT, n_segments - n_long),
                _equally_often(rng, _LONG, n_long),
            ]
        )
    else:
        lengths = np.asarray(lengths)
        if lengths.ndim != 1 or not len(lengths) or lengths.dtype.kind not in "iu":
            raise ValueError(
                "lengths must be a non-empty sequence of integers (seconds), got "
                f"{lengths!r}."
            )
        if lengths.min() < 1:
            raise ValueError(f"lengths must be positive, got {lengths.min()}.")
        drawn = _equally_often(rng, lengths, n_segments)
    return rng.permutation(drawn.astype(np.intp))


def _skewed(X):
    """Map normal values to skewed margins by increasing functions."""
    u = np.clip(ndtr(X), 1e-15, 1 - 1e-15)
    out = np.empty_like(X)
    out[:, 0] = genextreme.ppf(u[:, 0], c=-0.22, loc=0.5, scale=1.52)
    # Quantiles of the negative binomial distribution with one success of
    # probability 0.05, that is, of a geometric one counted from 0.
    out[:, 1] = np.maximum(np.ceil(np.log1p(-u[:, 1]) / np.log1p(-0.05)) - 1, 0)
    out[:, 2] = genextreme.ppf(u[:, 2], c=0.04, loc=119.27, scale=39.40)
    return out


def _minute_means(X, starts, sizes):
    """Average over blocks of 60 rows inside each segment; the last may be short."""
    n_blocks = -(-sizes // 60)
    first = np.repeat(starts, n_blocks) + 60 * (
        np.arange(n_blocks.sum()) - np.repeat(np.cumsum(n_blocks) - n_blocks, n_blocks)
    )
    counts = np.diff(np.append(first, len(X)))
    means = np.add.reduceat(X, first, axis=0) / counts[:, None]
    return means, np.repeat(np.arange(len(sizes)), n_blocks), first
