"""How segmentations are compared: subjects, degraded truths, paired tests."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral

import numpy as np
from scipy.stats import wilcoxon
from sklearn.utils import Bunch, check_random_state

from sparsestat._utils.compat import Interval, StrOptions, validate_params
from sparsestat._utils.validation import check_magnitude, refuse_complex
from sparsestat.datasets._segment_metrics import degrade_segmentation
from sparsestat.datasets._segments import make_correlation_structures

__all__ = [
    "compare_scores",
    "make_correlation_subjects",
    "make_degraded_segmentations",
]

_SPLITS = ("exploratory", "confirmatory")
_NO_DIFFERENCE = 1e-8


@validate_params(
    {
        "n_subjects": [Interval(Integral, 1, None, closed="left")],
        "split": [StrOptions(set(_SPLITS))],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_correlation_subjects(
    n_subjects=30, *, split="exploratory", random_state=None, **options
):
    """Draw the subjects of one half of a study, one after the other.

    Choices are made on the exploratory half; claims are tested on the confirmatory
    one, whose subjects share no random numbers with it.

    Parameters
    ----------
    n_subjects : int, default=30
        Number of subjects.
    split : {"exploratory", "confirmatory"}, default="exploratory"
        Which half.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls. Equal integers give the same
        subjects for every `variant` and share of `missing` observations.
    **options : dict
        Passed to :func:`make_correlation_structures`.

    Returns
    -------
    subjects : iterator of :class:`~sklearn.utils.Bunch`
        Results of :func:`make_correlation_structures`, drawn when they are asked for:
        one subject has over a million rows by default.

    Raises
    ------
    ValueError
        If an option is wrong.

    See Also
    --------
    compare_scores : Tests of differences over subjects.

    Examples
    --------
    >>> from sparsestat.datasets import make_correlation_subjects
    >>> subjects = make_correlation_subjects(
    ...     3, n_segments=4, lengths=[60], random_state=0
    ... )
    >>> [data.X.shape for data in subjects]
    [(240, 3), (240, 3), (240, 3)]
    """
    if not isinstance(random_state, Integral):
        random_state = check_random_state(random_state).randint(2**31 - 1)
    place = _SPLITS.index(split)
    roots = [
        np.random.SeedSequence(int(random_state), spawn_key=(place, i))
        for i in range(n_subjects)
    ]
    seeds = [int(root.generate_state(1)[0]) for root in roots]
    return (make_correlation_structures(random_state=s, **options) for s in seeds)


@validate_params(
    {
        "segments": ["array-like"],
        "n_each": [Interval(Integral, 1, None, closed="left")],
        "margin": [Interval(Integral, 1, None, closed="left")],
        "pattern_ids": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_degraded_segmentations(
    segments, *, n_each=22, margin=100, pattern_ids=None, random_state=None
):
    """Return the truth and worse and worse segmentations of three kinds.

    A clustering measure is of use if it falls along each of the three.

    Parameters
    ----------
    segments : structured ndarray of shape (n_segments,)
        The truth, with fields ``start``, ``stop`` and ``pattern_id``.
    n_each : int, default=22
        Number of segmentations of each kind: wrong patterns for 1 to all segments,
        inner bounds that are 1 to ``shortest - margin`` rows too late, and both.
    margin : int, default=100
        Rows that the shortest segment after the first keeps.
    pattern_ids : array-like of int, default=None
        Patterns to draw wrong ones from. None takes those of `segments`.
    random_state : int, RandomState instance or None, default=None
        Pass an int for reproducible output across calls.

    Returns
    -------
    degraded : list of :class:`~sklearn.utils.Bunch`
        ``3 * n_each + 1`` results, the truth first, each with attributes ``kind``
        ("truth", "patterns", "bounds" or "both"), ``n_wrong``, ``shift`` and
        ``segments``.

    Raises
    ------
    ValueError
        If a segment after the first is not longer than `margin`.

    See Also
    --------
    degrade_segmentation : One of them.
    score_segmentation : Measures of a segmentation.

    Examples
    --------
    >>> from sparsestat.datasets import (
    ...     make_correlation_structures, make_degraded_segmentations
    ... )
    >>> data = make_correlation_structures(30, lengths=[300], random_state=0)
    >>> degraded = make_degraded_segmentations(data.segments, random_state=0)
    >>> len(degraded), degraded[0].kind, degraded[-1].shift, degraded[-1].n_wrong
    (67, 'truth', 200, 30)
    """
    truth = degrade_segmentation(segments)  # checks the form and copies
    n = len(truth)
    rows = truth["stop"] - truth["start"]
    shortest = int(rows[1:].min()) if n > 1 else margin + 1
    if shortest <= margin:
        raise ValueError(
            f"A segment after the first has {shortest} rows, which leaves no room to "
            f"move bounds and keep margin={margin}. Lower margin."
        )
    rng = check_random_state(random_state)
    counts = np.round(np.linspace(1, n, n_each)).astype(int)
    shifts = np.round(np.linspace(1, shortest - margin, n_each)).astype(int)
    zero = np.zeros(n_each, dtype=int)
    out = [Bunch(kind="truth", n_wrong=0, shift=0, segments=truth)]
    kinds = (
        ("patterns", counts, zero),
        ("bounds", zero, shifts),
        ("both", counts, shifts),
    )
    for kind, wrong, late in kinds:
        for n_wrong, shift in zip(wrong, late, strict=True):
            worse = degrade_segmentation(
                truth,
                shift=int(shift),
                n_wrong=int(n_wrong),
                pattern_ids=pattern_ids,
                random_state=rng,
            )
            out.append(
                Bunch(kind=kind, n_wrong=int(n_wrong), shift=int(shift), segments=worse)
            )
    return out


@validate_params(
    {
        "first": ["array-like"],
        "second": ["array-like"],
        "n_comparisons": [Interval(Integral, 1, None, closed="left"), None],
    },
    prefer_skip_nested_validation=True,
)
def compare_scores(first, second, *, n_comparisons=None):
    """Compare paired scores by Wilcoxon's signed-rank test.

    Parameters
    ----------
    first, second : array-like of shape (n_subjects,) or (n_subjects, n_measures)
        Scores of two methods, or of one method on two variants of the data, for the
        same subjects in the same order.
    n_comparisons : int, default=None
        Number of tests that p-values are corrected for, after Bonferroni. None means
        the number of measures.

    Returns
    -------
    comparison : :class:`~sklearn.utils.Bunch`
        Dictionary-like, with attributes of shape (n_measures,), or scalars for scores
        in one dimension:

        median_difference
            Median of ``first - second`` over all subjects.
        n_pairs
            Number of pairs that differ by at least 1e-8; others are left out of
            the test.
        statistic
            Sum of the ranks of the pairs in which the first score is larger.
        z
            The statistic, standardized; positive where the first scores are larger.
        effect_size
            ``z / sqrt(n_pairs)``, between -1 and 1: 0.1 is small, 0.5 large.
        p_value
            Two-sided; exact up to 50 pairs without ties. 1 where no pair differs.
        p_adjusted
            After Bonferroni, at most 1.

    Raises
    ------
    ValueError
        If shapes differ or a score is not finite.

    See Also
    --------
    score_segmentation : Scores of one subject.

    Examples
    --------
    >>> from sparsestat.datasets import compare_scores
    >>> first = [0.9, 0.8, 0.85, 0.95, 0.7, 0.88]
    >>> second = [0.7, 0.75, 0.78, 0.5, 0.69, 0.88]
    >>> found = compare_scores(first, second, n_comparisons=3)
    >>> found.n_pairs, round(found.p_value, 4), round(found.p_adjusted, 4)
    (5, 0.0625, 0.1875)
    """
    refuse_complex(first, name="first")
    refuse_complex(second, name="second")
    first = np.asarray(first, dtype=np.float64)
    second = np.asarray(second, dtype=np.float64)
    if first.shape != second.shape or first.ndim not in (1, 2) or not first.size:
        raise ValueError(
            "first and second must be of one shape, (n_subjects,) or (n_subjects, "
            f"n_measures), and not empty, got {first.shape} and {second.shape}."
        )
    difference = first - second
    if not np.isfinite(difference).all():
        raise ValueError(
            "Scores must be finite. Leave out subjects without a score in both."
        )
    check_magnitude(difference, name="the differences")
    columns = difference.reshape(len(difference), -1).T
    tests = [_signed_rank(column) for column in columns]
    out = {name: np.array([test[name] for test in tests]) for name in tests[0]}
    n_tests = len(tests) if n_comparisons is None else int(n_comparisons)
    out["p_adjusted"] = np.minimum(n_tests * out["p_value"], 1.0)
    if first.ndim == 1:
        out = {name: values[0].item() for name, values in out.items()}
    return Bunch(**out)


def _signed_rank(difference):
    """Test one sample of differences."""
    kept = difference[np.abs(difference) >= _NO_DIFFERENCE]
    n = len(kept)
    out = {"median_difference": float(np.median(difference)), "n_pairs": n}
    if not n:
        return {**out, "statistic": 0.0, "z": 0.0, "effect_size": 0.0, "p_value": 1.0}
    # Equal up to rounding is tied: 0.9 - 0.8 and 0.3 - 0.2 differ in the last digit.
    kept = np.round(kept, 12)
    # One-sided, the statistic is the sum of the positive ranks.
    normal = wilcoxon(kept, alternative="greater", method="asymptotic")
    _, counts = np.unique(np.abs(kept), return_counts=True)
    exact = n <= 50 and counts.max() == 1
    test = wilcoxon(kept, method="exact" if exact else "asymptotic")
    z = float(normal.zstatistic)
    return {
        **out,
        "statistic": float(normal.statistic),
        "z": z,
        "effect_size": z / np.sqrt(n),
        "p_value": float(test.pvalue),
    }
