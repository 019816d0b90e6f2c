"""Codes under a budget: of the whole matrix, of each atom, of the norm of each sample.

And how far unit atoms are from orthogonal, which says how well norms are kept.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from scipy import sparse

from sparsestat._utils.compat import Interval, align_sparse_interface, validate_params
from sparsestat._utils.validation import check_magnitude, read_only, refuse_complex
from sparsestat.decomposition._codes import check_matrix
from sparsestat.decomposition._orthogonal import _kernels_budgets as kernels

__all__ = [
    "QuasiOrthogonality",
    "feature_choice_code",
    "mutual_choice_code",
    "norm_matched_code",
    "quasi_orthogonality",
    "zipf_budgets",
]

_BLOCK = 4_000_000  # numbers of a block of columns, or of inner products, at a time


def _code(U, bars, ties, *, by_column):
    """Return the entries above bars as a CSR array; ties in row-major order."""
    bars = np.ascontiguousarray(bars, dtype=U.dtype)
    indptr = np.zeros(len(U) + 1, dtype=np.int64)
    empty = np.empty(0, dtype=np.int32), np.empty(0, dtype=U.dtype)
    arguments = read_only(U), read_only(bars)
    kernels.kept_above(*arguments, ties.copy(), by_column, *empty, indptr, False)
    filled = np.empty(indptr[-1], dtype=np.int32), np.empty(indptr[-1], dtype=U.dtype)
    kernels.kept_above(*arguments, ties.copy(), by_column, *filled, indptr, True)
    code = sparse.csr_array((filled[1], filled[0], indptr), shape=U.shape)
    return align_sparse_interface(code)


def _one_way(given, names):
    if sum(value is not None for value in given) != 1:
        raise ValueError(f"Pass exactly one of {names[0]} and {names[1]}.")


@validate_params(
    {
        "U": ["array-like"],
        "n_nonzero": [Interval(Integral, 0, None, closed="left"), None],
        "threshold": [Interval(Real, 0, None, closed="left"), None],
        "return_threshold": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def mutual_choice_code(U, n_nonzero=None, *, threshold=None, return_threshold=False):
    """Keep the largest positive activations of a whole matrix.

    A sample may keep many, or none: easy samples leave their share of the budget to
    hard ones.

    Parameters
    ----------
    U : array-like of shape (n_samples, n_atoms)
        Activations.
    n_nonzero : int, default=None
        Number of entries to keep in all.
    threshold : float, default=None
        Keep every positive entry that is at least this large, in place of a number:
        for single new samples, with the threshold of a larger set.
    return_threshold : bool, default=False
        Whether to return the threshold too.

    Returns
    -------
    Z : csr_array of shape (n_samples, n_atoms)
        The code. Of equal entries the first in row-major order are kept.
    threshold : float
        The smallest entry that was kept by a budget that was used up, otherwise zero.
        Only with `return_threshold`.

    See Also
    --------
    topk_code : The same number for each sample.
    feature_choice_code : A number for each atom.

    Notes
    -----
    Two passes over U, and memory for twice the number of entries kept; nothing is
    sorted.

    References
    ----------
    .. [1] K. Ayonrinde, "Adaptive sparse allocation with mutual choice & feature choice
       sparse autoencoders", 2024.

    Examples
    --------
    >>> from sparsestat.decomposition import mutual_choice_code
    >>> mutual_choice_code([[3.0, -5.0, 4.0], [1.0, 0.5, 2.0]], 3).toarray()
    array([[3., 0., 4.],
           [0., 0., 2.]])
    """
    U = check_matrix(U, "U")
    _one_way((n_nonzero, threshold), ("n_nonzero", "threshold"))
    if threshold is not None:
        bars, ties = np.full(len(U), threshold), np.full(len(U), U.shape[1])
        found = U.dtype.type(threshold)
    elif n_nonzero == 0:
        bars, ties, found = np.full(len(U), np.inf), np.zeros(len(U), int), np.inf
    else:
        k = min(n_nonzero, U.size)
        buffer = np.empty(min(2 * k + 1024, U.size), dtype=U.dtype)
        found = kernels.bar_of_all(read_only(U.ravel()), k, buffer)
        bars = np.full(len(U), found)
        # Ties in row-major order: rows take what those before them leave.
        left = n_nonzero - np.count_nonzero(U > found) if found > 0 else U.size
        at_bar = (U == found).sum(axis=1) if found > 0 else np.zeros(len(U), int)
        before = np.cumsum(at_bar) - at_bar
        ties = np.clip(left - before, 0, at_bar)
    code = _code(U, bars, np.asarray(ties, dtype=np.int64), by_column=False)
    return (code, float(found)) if return_threshold else code


@validate_params(
    {
        "U": ["array-like"],
        "n_samples_per_feature": [
            Interval(Integral, 0, None, closed="left"),
            "array-like",
            None,
        ],
        "threshold": ["array-like", None],
        "return_threshold": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def feature_choice_code(
    U, n_samples_per_feature=None, *, threshold=None, return_threshold=False
):
    """Keep the largest positive activations of each atom.

    Every atom is used by as many samples as its budget says, where it is positive for
    so many: none dies, none is used everywhere.

    Parameters
    ----------
    U : array-like of shape (n_samples, n_atoms)
        Activations.
    n_samples_per_feature : int or array-like of shape (n_atoms,), default=None
        Number of samples that keep an atom, for all atoms or one each, for example
        from :func:`zipf_budgets`.
    threshold : array-like of shape (n_atoms,), default=None
        Keep every positive entry that is at least this large for its atom, in place of
        numbers: for single new samples.
    return_threshold : bool, default=False
        Whether to return the thresholds too.

    Returns
    -------
    Z : csr_array of shape (n_samples, n_atoms)
        The code. Of equal entries of an atom the first samples are kept.
    threshold : ndarray of shape (n_atoms,)
        For each atom the smallest entry that was kept by a budget that was used up,
        otherwise zero; infinite for a budget of zero. Only with `return_threshold`.

    See Also
    --------
    mutual_choice_code : One number for all.
    zipf_budgets : Budgets that fall like a power.

    Notes
    -----
    Each column is searched by quickselect, some columns at a time; nothing is sorted.

    References
    ----------
    .. [1] K. Ayonrinde, "Adaptive sparse allocation with mutual choice & feature choice
       sparse autoencoders", 2024.

    Examples
    --------
    >>> from sparsestat.decomposition import feature_choice_code
    >>> feature_choice_code([[3.0, -5.0, 4.0], [1.0, 0.5, 5.0]], 1).toarray()
    array([[3. , 0. , 0. ],
           [0. , 0.5, 5. ]])
    """
    U = check_matrix(U, "U")
    given = n_samples_per_feature, threshold
    _one_way(given, ("n_samples_per_feature", "threshold"))
    n, f = U.shape
    if threshold is not None:
        bars = np.asarray(threshold, dtype=np.float64)
        if bars.shape != (f,) or np.isnan(bars).any():
            raise ValueError(
                f"threshold must have shape ({f},), one number for each atom, got "
                f"shape {bars.shape}."
            )
        bars, ties = bars.astype(U.dtype), np.full(f, n)
    else:
        budgets = np.minimum(_check_budgets(n_samples_per_feature, f), n)
        bars, ties = np.empty(f, dtype=U.dtype), np.empty(f, dtype=np.int64)
        width, keys = max(1, _BLOCK // n), np.empty(n, dtype=U.dtype)
        for start in range(0, f, width):
            part = slice(start, start + width)
            V = np.ascontiguousarray(U[:, part].T)
            kernels.bars_of_rows(read_only(V), budgets[part], keys, bars[part])
            above = (V > bars[part, None]).sum(axis=1)
            ties[part] = np.maximum(budgets[part] - above, 0)
        ties[bars == 0] = n
    code = _code(U, bars, np.asarray(ties, dtype=np.int64), by_column=True)
    return (code, bars) if return_threshold else code


def _check_budgets(budgets, n_atoms):
    budgets = np.asarray(budgets)
    whole = budgets.dtype.kind in "iu" or (
        budgets.dtype.kind == "f" and (budgets == np.floor(budgets)).all()
    )
    if budgets.shape not in ((), (n_atoms,)) or not whole or (budgets < 0).any():
        raise ValueError(
            "n_samples_per_feature must be a non-negative integer, or one for each of "
            f"the {n_atoms} atoms; got shape {budgets.shape}, dtype {budgets.dtype}."
        )
    largest = np.iinfo(np.int64).max
    budgets = np.minimum(budgets, largest // 2).astype(np.int64)
    return np.broadcast_to(budgets, (n_atoms,)).copy()


@validate_params(
    {
        "n_atoms": [Interval(Integral, 1, None, closed="left")],
        "total": [Interval(Integral, 0, None, closed="left")],
        "exponent": [Interval(Real, 0, None, closed="left")],
        "largest": [Interval(Integral, 0, None, closed="left"), None],
    },
    prefer_skip_nested_validation=True,
)
def zipf_budgets(n_atoms, total, exponent=1.0, *, largest=None):
    r"""Return integer budgets that fall like :math:`r^{-s}` and sum to a total.

    Parameters
    ----------
    n_atoms : int
        Number of budgets.
    total : int
        Their sum.
    exponent : float, default=1.0
        The power s; 0 makes them equal up to one.
    largest : int, default=None
        No budget is above it, such as the number of samples; what is cut off goes to
        the others in proportion. At least ``total / n_atoms``.

    Returns
    -------
    budgets : ndarray of shape (n_atoms,)
        Non-increasing integers; fractions are rounded so that the largest of them go
        up.

    See Also
    --------
    feature_choice_code : Uses them.

    References
    ----------
    .. [1] K. Ayonrinde, "Adaptive sparse allocation with mutual choice & feature choice
       sparse autoencoders", 2024.

    Examples
    --------
    >>> from sparsestat.decomposition import zipf_budgets
    >>> zipf_budgets(5, 20)
    array([9, 4, 3, 2, 2])
    >>> zipf_budgets(5, 20, largest=6)
    array([6, 5, 4, 3, 2])
    """
    if largest is not None and largest * n_atoms < total:
        raise ValueError(
            f"largest={largest} for {n_atoms} atoms does not reach total={total}."
        )
    share = np.arange(1, n_atoms + 1, dtype=np.float64) ** -float(exponent)
    cap = total if largest is None else largest
    tail = np.cumsum(share[::-1])[::-1]
    full = 0  # budgets at the cap: a first part, since shares fall
    while full < n_atoms and (total - full * cap) * share[full] > cap * tail[full]:
        full += 1
    exact = np.full(n_atoms, float(cap))
    if full < n_atoms:
        exact[full:] = (total - full * cap) * (share[full:] / tail[full])
    exact = np.minimum(exact, cap)
    budgets = np.floor(exact).astype(np.int64)
    left = total - int(budgets.sum())
    room = budgets < cap
    order = np.argsort(np.where(room, budgets - exact, np.inf), kind="stable")
    budgets[order[:left]] += 1
    return np.sort(budgets)[::-1].copy()


@validate_params(
    {
        "U": ["array-like"],
        "norms": ["array-like", None],
        "X": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def norm_matched_code(U, norms=None, X=None):
    r"""Keep as many activations of each sample as its norm asks for.

    Of the largest positive activations of a row the first k are kept whose norm comes
    closest to that of the sample; k comes from the data. For orthonormal atoms the
    norm of a sample is that of its code, and :func:`quasi_orthogonality` says how
    nearly so for others.

    Parameters
    ----------
    U : array-like of shape (n_samples, n_atoms)
        Activations.
    norms : array-like of shape (n_samples,), default=None
        Norms of the samples.
    X : array-like of shape (n_samples, n_features), default=None
        The samples, in place of their norms.

    Returns
    -------
    Z : csr_array of shape (n_samples, n_atoms)
        The code. Of equal entries the first ones are kept.
    n_nonzero : ndarray of shape (n_samples,)
        Number of entries of each row, the smallest of equally good ones.

    See Also
    --------
    topk_code : The same number for every sample.
    quasi_orthogonality : When norms can be trusted.

    Notes
    -----
    Entries are sorted a doubling number at a time until their norm reaches the goal,
    at most O(n_atoms log n_atoms) a row.

    References
    ----------
    .. [1] S. Lee et al., "Evaluating and designing sparse autoencoders by approximating
       quasi-orthogonality", 2025.

    Examples
    --------
    >>> from sparsestat.decomposition import norm_matched_code
    >>> Z, n_nonzero = norm_matched_code([[3.0, 4.0, 0.1], [1.0, 1.0, 1.0]], [5.0, 1.0])
    >>> Z.toarray(), n_nonzero
    (array([[3., 4., 0.],
           [1., 0., 0.]]), array([2, 1]))
    """
    U = check_matrix(U, "U")
    _one_way((norms, X), ("norms", "X"))
    if X is not None:
        X = check_magnitude(check_matrix(X, "X", dtype=(np.float64,)), name="X")
        norms = np.linalg.norm(X, axis=1)
    refuse_complex(norms, name="norms")
    norms = np.asarray(norms, dtype=np.float64)
    if norms.shape != (len(U),) or not np.isfinite(norms).all() or (norms < 0).any():
        raise ValueError(
            f"There must be one finite, non-negative norm for each of the {len(U)} "
            f"rows of U, got shape {norms.shape}."
        )
    counts, ties = np.empty((2, len(U)), dtype=np.int64)
    bars, keys = np.empty(len(U)), np.empty(U.shape[1], dtype=U.dtype)
    kernels.count_norms(read_only(U), read_only(norms), keys, counts, bars, ties)
    return _code(U, bars, ties, by_column=False), counts


@dataclass(frozen=True)
class QuasiOrthogonality:
    """How far unit atoms are from orthogonal.

    Parameters
    ----------
    mean, max : float
        Mean and largest magnitude of the inner products of two different atoms.
    mean_square : float
        Mean of their squares.
    """

    mean: float
    max: float
    mean_square: float

    def norm_ratio_error(self, codes):
        r"""Predict how far squared norms of sums of atoms are from those of codes.

        With independent random signs, :math:`\|D^\top f\|^2 / \|f\|^2` has mean 1 and
        variance :math:`2 q (1 - 1 / p)`, where q is the mean squared inner product and
        :math:`p = \|f\|_2^4 / \|f\|_4^4` counts the entries of f.

        Parameters
        ----------
        codes : int or {array-like, sparse matrix} of shape (n_samples, n_atoms)
            Number of equally large entries, or codes.

        Returns
        -------
        error : float or ndarray of shape (n_samples,)
            Standard deviation of the ratio; zero for codes without entries.
        """
        if isinstance(codes, Integral):
            count = float(max(codes, 1))
        else:
            Z = abs(sparse.csr_array(codes))
            largest = Z.max(axis=1).toarray().ravel()
            scale = np.divide(
                1.0, largest, out=np.ones(len(largest)), where=largest > 0
            )
            squares = (sparse.diags_array(scale) @ Z).power(2)
            second, fourth = squares.sum(axis=1), squares.power(2).sum(axis=1)
            count = np.divide(
                second**2, fourth, out=np.ones(Z.shape[0]), where=fourth > 0
            )
        return np.sqrt(2.0 * self.mean_square * np.maximum(1.0 - 1.0 / count, 0.0))


@validate_params({"D": ["array-like"]}, prefer_skip_nested_validation=True)
def quasi_orthogonality(D):
    """Measure the inner products of the atoms of a dictionary.

    Parameters
    ----------
    D : array-like of shape (n_atoms, n_features)
        Atoms as rows, as in ``components_``; they are brought to unit norm.

    Returns
    -------
    result : QuasiOrthogonality
        With ``mean``, ``max``, ``mean_square`` and the method ``norm_ratio_error``,
        which predicts how well the norm of a code is that of its sample.

    See Also
    --------
    norm_matched_code : Relies on it.

    Notes
    -----
    O(n_atoms^2 n_features) in blocks of inner products. The error is derived for
    random signs, with q in place of the product of each pair; it is ours.

    References
    ----------
    .. [1] S. Lee et al., "Evaluating and designing sparse autoencoders by approximating
       quasi-orthogonality", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import quasi_orthogonality
    >>> found = quasi_orthogonality(np.random.default_rng(0).standard_normal((200, 64)))
    >>> round(found.mean, 3), round(found.max, 3)
    (0.101, 0.54)
    >>> float(round(found.norm_ratio_error(10), 3))
    0.168
    """
    D = check_magnitude(check_matrix(D, "D"), name="D").astype(np.float64)
    D /= np.abs(D).max(axis=1, keepdims=True, initial=1e-300)
    norms = np.linalg.norm(D, axis=1)
    if not norms.all():
        zero = int(np.flatnonzero(norms == 0)[0])
        raise ValueError(
            f"Atom {zero} is zero and has no direction. Remove the atoms of norm zero."
        )
    D /= norms[:, None]
    f = len(D)
    if f == 1:
        return QuasiOrthogonality(0.0, 0.0, 0.0)
    total = squares = top = 0.0
    height = max(1, _BLOCK // f)
    for start in range(0, f, height):
        G = D[start : start + height] @ D.T
        own = np.arange(len(G))
        G[own, start + own] = 0.0
        squares += float(np.vdot(G, G))
        np.abs(G, out=G)
        total, top = total + float(G.sum()), max(top, float(G.max()))
    pairs = f * (f - 1)
    return QuasiOrthogonality(total / pairs, min(top, 1.0), squares / pairs)
