"""Robust principal components: low rank plus sparse, as an estimator."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sparsestat._utils.arithmetic import power_of_two, rounding
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    align_sparse_interface,
    fit_context,
)
from sparsestat._utils.deprecation import OldAttribute
from sparsestat._utils.progress import FitProgress
from sparsestat._utils.results import Certificate, warn_if_unsatisfied
from sparsestat._utils.samples import FLOATS
from sparsestat._utils.validation import (
    LARGEST_ENTRY,
    check_magnitude,
    largest_entry,
    refuse_complex,
)
from sparsestat.decomposition._components import ComponentsMixin
from sparsestat.decomposition._low_rank import _split as split

__all__ = ["RobustPCA"]

_TRANSFORM_STEPS = 200


class RobustPCA(
    CallbackSupportMixin,
    ComponentsMixin,
    SparsestatEstimator,
):
    r"""Robust principal component analysis: low rank plus sparse.

    With ``method="ialm"`` minimizes

    .. math:: \|L\|_* + \lambda \|S\|_1 \quad \text{subject to} \quad L + S = X

    with L `low_rank_`, S `sparse_` and lambda `lam`, and returns a duality gap. This
    finds the rank by itself, and separates the parts exactly when L is of low rank
    and not sparse and S has few entries at random places. ``"altproj"`` needs the
    rank and is much faster; ``"godec"`` needs the rank and the number of entries,
    and leaves out noise. Where a few whole samples are outliers use
    :class:`sklearn.covariance.MinCovDet`; without gross errors use
    :class:`sklearn.decomposition.PCA`. Columns are not centered. Read more in the
    :ref:`User Guide <robust_pca>`.

    Parameters
    ----------
    n_components : int, default=None
        Rank, needed by ``"altproj"`` and ``"godec"``. ``"ialm"`` finds the rank by
        itself; this is then the largest number of components that are kept.
    method : {"ialm", "altproj", "godec"}, default="ialm"
        Augmented Lagrangian, accelerated alternating projections, or alternating
        low-rank and sparse approximation, randomized at small ranks.
    lam : float, default=None
        Weight of the l1 norm (``"ialm"``). None takes
        ``1 / sqrt(max(n_samples, n_features))``, the square root over that of the share
        of known entries.
    sparsity : float, default=0.05
        Share of entries in the sparse part (``"godec"``).
    decay : float, default=0.7
        Factor by which thresholds fall (``"altproj"``). Larger is slower and bears
        more corruption; too small a factor gives parts that add up but are wrong.
    incoherence : float, default=None
        Bound mu on how much single samples and features may weigh in the low-rank
        part (``"altproj"``): squared row norms of its singular vectors are clipped to
        mu `n_components` over their number. 1 is the least possible; None clips
        none.
    tol : float, default=None
        ``"ialm"`` stops when the duality gap is at most ``tol * objective`` and the
        residual ``tol * ||X||``, ``"altproj"`` at a residual of ``tol * ||X||``, and
        ``"godec"`` when the squared residual falls by less than ``tol^2 * ||X||^2``.
        None means 1e-4 for ialm, whose last digits cost hundreds of steps where parts
        are not exactly low-rank and sparse, and 1e-6 otherwise.
    max_iter : int, default=1000
        Largest number of iterations.
    random_state : int, RandomState instance or None, default=None
        Draws start vectors of truncated decompositions.
    verbose : int, default=0
        At 1 and above, log a line per iteration.

    Attributes
    ----------
    low_rank_ : ndarray of shape (n_samples, n_features)
        The low-rank part.
    sparse_ : csr_array of shape (n_samples, n_features)
        The sparse part.
    components_ : ndarray of shape (n_components_, n_features)
        Orthonormal rows, the leading ones of the low-rank part.
    n_components_ : int
        Number of components: the rank, or `n_components` if that is less.
    singular_values_ : ndarray of shape (rank_,)
        Singular values of the low-rank part.
    rank_ : int
        Rank of the low-rank part.
    dual_ : ndarray of shape (n_samples, n_features) or None
        Feasible dual point: spectral norm at most 1, entries at most `lam`
        (``"ialm"``).
    objective_ : float
        Nuclear norm plus `lam` times the l1 norm of ``X - low_rank_`` (``"ialm"``), or
        the residual relative to the norm of X.
    certificate_ : Certificate
        Kind ``duality_gap``: the gap relative to the objective, or the residual
        relative to the norm of X if that is larger (``"ialm"``); or
        ``monotone_bound``: the residual or its fall, relative to the norm of X.
    history_ : ndarray of shape (n_iter_,)
        Relative gap or residual at each iteration.
    n_iter_ : int
        Number of iterations.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    See Also
    --------
    low_rank_plus_sparse : Rank and number of entries given, as a function.
    sklearn.decomposition.PCA : No gross errors.

    Notes
    -----
    An iteration of ``"ialm"`` costs a singular value decomposition, truncated while
    the rank stays below a fifth of the smaller side; one of ``"altproj"`` costs
    O(n_samples n_features rank) and visits X in blocks of rows. Memory is a few
    matrices of the size of X.
    The arithmetic is in double precision.

    References
    ----------
    .. [1] E. Candes, X. Li, Y. Ma, J. Wright, "Robust principal component
       analysis?", Journal of the ACM 58, 2011.
    .. [2] Z. Lin, M. Chen, Y. Ma, "The augmented Lagrange multiplier method for exact
       recovery of corrupted low-rank matrices", arXiv 1009.5055, 2010.
    .. [3] H. Cai, J.-F. Cai, K. Wei, "Accelerated alternating projections for robust
       principal component analysis", JMLR 20, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.decomposition import RobustPCA
    >>> rng = np.random.default_rng(0)
    >>> L = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 40))
    >>> X = L + 5.0 * (rng.random(L.shape) < 0.05)
    >>> model = RobustPCA(random_state=0).fit(X)
    >>> model.rank_, bool(np.abs(model.low_rank_ - L).max() < 1e-3)
    (2, True)
    """

    _takes_sparse = False
    gap_history_ = OldAttribute("history_")

    _parameter_constraints = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "method": [StrOptions({"ialm", "altproj", "godec"})],
        "lam": [Interval(Real, 0, None, closed="neither"), None],
        "sparsity": [Interval(Real, 0, 1, closed="both")],
        "decay": [Interval(Real, 0, 1, closed="neither")],
        "incoherence": [Interval(Real, 1, None, closed="left"), None],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components=None,
        *,
        method="ialm",
        lam=None,
        sparsity=0.05,
        decay=0.7,
        incoherence=None,
        tol=None,
        max_iter=1000,
        random_state=None,
        verbose=0,
    ):
        self.n_components = n_components
        self.method = method
        self.lam = lam
        self.sparsity = sparsity
        self.decay = decay
        self.incoherence = incoherence
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, mask=None):
        """Split X into a low-rank and a sparse part.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The matrix. Never modified. NaN is an unknown entry (``"ialm"`` only).
        y : None
            Ignored.
        mask : array-like of bool of shape (n_samples, n_features), default=None
            True where an entry is known (``"ialm"`` only). The values elsewhere are
            ignored.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        X, known = self._known(X, reset=True)
        if mask is None and not known.all():
            mask = known
        elif mask is not None:
            mask = np.asarray(mask)
            if mask.dtype == bool and mask.shape == known.shape:
                mask = mask & known
        # In a power of two, so that no unit of X makes a square leave the doubles.
        unit = power_of_two(largest_entry(X))
        D = np.ascontiguousarray(X, dtype=np.float64) / unit
        observed = self._check_params_vs_input(D, mask)
        rng = check_random_state(self.random_state)
        with FitProgress(self, self.max_iter, X=X, verbose=self.verbose) as progress:
            common = {
                "tol": self._tol(),
                "max_iter": self.max_iter,
                "rng": rng,
                "step": lambda value: progress.step(value=value),
            }
            if self.method == "ialm":
                share = 1.0 if observed is None else observed.mean()
                plain = 1.0 / np.sqrt(share * max(D.shape))
                lam = plain if self.lam is None else self.lam
                result = split.principal_component_pursuit(
                    D, lam, observed=observed, **common
                )
            elif self.method == "altproj":
                result = split.alternating_projections(
                    D,
                    self.n_components,
                    decay=self.decay,
                    incoherence=self.incoherence,
                    **common,
                )
            else:
                k = int(np.ceil(self.sparsity * D.size))
                result = split.go_dec(D, self.n_components, k, **common)
        self._store(split.in_units(result, unit), X.dtype)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.method == "ialm"
        return tags

    def _tol(self):
        if self.tol is not None:
            return float(self.tol)
        return 1e-4 if self.method == "ialm" else 1e-6

    def _known(self, X, *, reset):
        """Return X with zeros for NaN, and where it was not."""
        refuse_complex(X)
        nan = "allow-nan" if self.method == "ialm" else True
        X = validate_data(self, X, dtype=FLOATS, ensure_all_finite=nan, reset=reset)
        known = ~np.isnan(X)
        if not known.all():
            X = np.where(known, X, X.dtype.type(0))
        return check_magnitude(X, largest=LARGEST_ENTRY), known

    def _check_params_vs_input(self, D, mask):
        if self.method != "ialm":
            if self.n_components is None:
                raise ValueError(
                    f"method={self.method!r} needs the rank: pass n_components, or "
                    "use method='ialm'."
                )
            if self.n_components > min(D.shape):
                raise ValueError(
                    f"n_components={self.n_components} exceeds the smaller side of "
                    f"X, {min(D.shape)}. Lower it."
                )
        if mask is None:
            return None
        if self.method != "ialm":
            raise ValueError(
                f"method={self.method!r} does not take a mask. Use method='ialm'."
            )
        observed = np.asarray(mask)
        if observed.dtype != bool or observed.shape != D.shape:
            raise ValueError(
                f"mask has dtype {observed.dtype} and shape {observed.shape}, but a "
                f"boolean array of shape {D.shape} is needed."
            )
        for axis, name in ((1, "row"), (0, "column")):
            hidden = np.flatnonzero(~observed.any(axis=axis))
            if len(hidden):
                raise ValueError(
                    f"The mask hides every entry of {name} {hidden[0]} "
                    f"({len(hidden)} such {name}s): nothing can be said about it. "
                    f"Remove the {name}."
                )
        return observed

    def _store(self, result, dtype):
        self.low_rank_ = result.low_rank.astype(dtype)
        self.sparse_ = align_sparse_interface(result.sparse.astype(dtype))
        kept = result.components[: self.n_components]
        self.components_ = np.ascontiguousarray(kept, dtype=dtype)
        self.n_components_ = len(kept)
        self.singular_values_ = result.singular_values.astype(dtype)
        self.rank_ = len(result.singular_values)
        self.dual_ = result.dual
        self.history_ = np.array(result.history)
        self.n_iter_ = max(result.n_iter, 1)
        details = {"rank": int(self.rank_), "nnz": int(result.sparse.nnz)}
        remedy = "Raise max_iter or tol."
        if self.method == "ialm":
            self.objective_ = result.objective
            gap = max(result.objective - result.dual_objective, 0.0)
            value = gap / result.objective if result.objective > 0 else 0.0
            kind = "duality_gap"
            scale = "larger of duality gap / objective and ||X - L - S|| / ||X||"
            details |= {
                "objective": float(result.objective),
                "dual_objective": float(result.dual_objective),
                "residual": result.residual,
            }
            # The gap bounds the objective; the two parts must also add up.
            details["gap"] = float(value)
            value = max(value, result.residual)
        elif self.method == "altproj":
            self.objective_ = value = result.residual
            kind, scale = "monotone_bound", "||X - L - S|| / ||X||"
            remedy = (
                "Raise max_iter, n_components or decay; noisy data cannot be split "
                "exactly: raise tol."
            )
        else:
            self.objective_ = result.residual
            h = result.history
            fall = h[-2] ** 2 - h[-1] ** 2 if len(h) > 1 else h[-1] ** 2
            value = min(np.sqrt(max(fall, 0.0)), h[-1])
            kind = "monotone_bound"
            scale = (
                "root of the last fall of ||X - L - S||^2 / ||X||^2, or "
                "||X - L - S|| / ||X|| if that is less"
            )
        # Sums of squares and singular values; and parts rounded to what X came in.
        error = rounding(8 * sum(result.low_rank.shape))
        if dtype == np.float32:
            error += float(np.finfo(dtype).eps)
        self.certificate_ = Certificate.measured(
            kind, value, self._tol(), scale, rounding=error, details=details
        )
        warn_if_unsatisfied(
            self.certificate_, f"RobustPCA({self.method}) did not converge: it", remedy
        )

    def transform(self, X):
        """Project samples on the components after taking gross errors out.

        Each sample gets the code c that minimizes ``||x - c @ components_||_1``, by
        a fixed number of steps of the augmented Lagrangian method.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples. NaN is an unknown entry if the method is ``"ialm"``.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components_)
            Coordinates in the rows of `components_`.
        """
        check_is_fitted(self)
        X, known = self._known(X, reset=False)
        x = X.astype(np.float64)
        V = self.components_.astype(np.float64)
        # Thresholds in units of each sample keep samples independent of each other.
        size = np.abs(x).sum(axis=1, keepdims=True)
        size /= np.maximum(known.sum(axis=1, keepdims=True), 1)
        low = 1e-3 * size
        u, s = np.zeros_like(x), np.zeros_like(x)
        codes = x @ V.T
        threshold = size.copy()
        for _ in range(_TRANSFORM_STEPS):
            codes = (x - s + u) @ V.T
            rest = x - codes @ V
            moved = rest + u
            s = np.sign(moved) * np.maximum(np.abs(moved) - threshold, 0.0)
            s = np.where(known, s, moved)
            u = moved - s
            shrunk = np.maximum(0.95 * threshold, low)
            # u is the multiplier over the penalty, which grows as thresholds fall.
            u *= np.divide(shrunk, threshold, out=np.ones_like(size), where=size > 0)
            threshold = shrunk
        return codes.astype(X.dtype)
