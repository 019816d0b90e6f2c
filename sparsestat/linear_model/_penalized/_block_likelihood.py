r"""Penalized likelihoods on rows that come in blocks: Newton's method by passes.

Each pass sums, over the rows, the loss and its gradient at the present coefficients,
and the Hessian on a working set of features; the penalized second-order model is then
solved without the data. What is returned is measured in passes of its own: the
intercept is settled, the products of the columns with the gradient make a dual point
feasible, and the conjugate is summed there, so that the gap is that of the data.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np
from scipy import sparse

from sparsestat._utils.arithmetic import dot, rounding
from sparsestat._utils.moments import row_slices, square_root
from sparsestat._utils.progress import progress_bar
from sparsestat.linear_model._penalized._datafits import (
    Gamma,
    Huber,
    Logistic,
    Poisson,
    Tweedie,
)
from sparsestat.linear_model._penalized._design import MomentDesign
from sparsestat.linear_model._penalized._likelihood_loop import SETTLED
from sparsestat.linear_model._penalized._likelihood_problems import (
    GAP_SCALE,
    KKT_SCALE,
    GammaProblem,
    HuberProblem,
    LogisticProblem,
    PoissonProblem,
    TweedieProblem,
)
from sparsestat.linear_model._penalized._penalties import ElasticNetPenalty
from sparsestat.linear_model._penalized._result import SolverResult
from sparsestat.linear_model._penalized._solver import WorkingSetSolver

__all__ = ["Outline", "likelihood_problem", "outline"]

_FLAT = 1e-9  # slope of the intercept, relative to the sum of absolute slopes
_MOST_SHIFTS = 60
_INNER = 1e-14  # relative gap of the second-order model
_SHARE = 0.05  # of the tolerance that the next step may still gain
_HALVINGS = 30
_MOST_CLASSES = 100  # beyond it labels are taken for numbers
_ARMIJO = 1e-4


# Sums over rows


class Outline:
    """What one pass tells of the columns and the target before anything is fitted."""

    def __init__(self, X, y, weights):
        n = X.shape[0]
        w = np.ones(n) if weights is None else weights
        self.n_rows, self.weight = n, float(w.sum())
        self.mean = np.asarray(w @ X, dtype=np.float64).ravel() / self.weight
        self.squares = np.zeros(X.shape[1])
        for rows in row_slices(n, X.shape[1]):
            A = _dense(X[rows]) - self.mean
            self.squares += w[rows] @ (A * A)
        self.y_sum, self.lowest = 0.0, np.inf
        self.classes = {}
        if y.dtype.kind in "fiub":  # not of labels
            self.y_sum, self.lowest = float(w @ y), float(y.min())
        labels, codes = np.unique(y, return_inverse=True)
        if len(labels) <= _MOST_CLASSES:
            mass = np.bincount(codes, w, len(labels))
            self.classes = dict(zip(labels.tolist(), mass.tolist(), strict=True))
        else:
            self.classes = None  # no classes at all

    def merged(self, other):
        """Put the outlines of two sets of rows together."""
        out = object.__new__(Outline)
        out.n_rows = self.n_rows + other.n_rows
        out.weight = self.weight + other.weight
        step = other.mean - self.mean
        out.mean = self.mean + step * (other.weight / out.weight)
        between = self.weight * other.weight / out.weight
        out.squares = self.squares + other.squares + between * step * step
        out.y_sum = self.y_sum + other.y_sum
        out.lowest = min(self.lowest, other.lowest)
        out.classes = None
        if self.classes is not None and other.classes is not None:
            out.classes = dict(self.classes)
            for label, mass in other.classes.items():
                out.classes[label] = out.classes.get(label, 0.0) + mass
            if len(out.classes) > _MOST_CLASSES:
                out.classes = None
        return out


def outline(block):
    """Return the :class:`Outline` of a block."""
    y = block.y
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None. Pass it "
            "to fit or row_blocks, as an array, the name of a column, or in the blocks."
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(f"y should be a 1d array, got an array of shape {y.shape}.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("Input y contains NaN or infinity.")
    return Outline(block.X, y, block.weights)


def _dense(X):
    X = X.toarray() if sparse.issparse(X) else X
    return X.astype(np.float64, copy=False)


def _sums(block, make, at, working, multiples):
    """Return sums of the loss and its derivatives at some coefficients.

    Parameters
    ----------
    block : Block
    make : callable
        Makes the datafit of targets and weights.
    at : tuple
        The center of the columns, those with coefficients, these, and the intercept.
    working : ndarray of int, "gradient" or None
        Features of the Hessian; only the gradient; or neither.
    multiples : tuple of float
        Of the gradient, at which the conjugate is wanted.
    """
    center, columns, w, shift = at
    y, p = block.y.reshape(len(block.y)), block.X.shape[1]
    wide = columns if working is None else np.arange(p)
    total = None
    for rows in row_slices(block.X.shape[0], p):
        A = block.X[rows]
        A = _dense(A if len(wide) == p else A[:, wide]) - center[wide]
        weights = None if block.weights is None else block.weights[rows]
        datafit = make(y[rows], weights)
        used = A if working is None else A[:, columns]
        fit = used @ w
        eta = shift + fit
        g, h = datafit.gradient(eta), datafit.model_curvature(eta)
        out = {
            "value": datafit.value(eta),
            "magnitude": datafit.magnitude(eta),
            "saturated": datafit.saturated,
            "slope": float(g.sum()),
            "absolute": float(np.abs(g).sum()),
            "square": float(g @ g),
            "fall": float(g @ fit),
            "bend": float(h.sum()),
            "steepest": datafit.steepest(eta),
            "weight": datafit.total,
        }
        if working is not None:
            out["q"] = -(A.T @ g)
            out["columns"] = A.sum(axis=0)
        if isinstance(working, np.ndarray):
            B = np.empty((len(A), len(working) + 1), order="F")
            B[:, :-1] = A[:, working]
            B[:, -1] = 1.0
            B *= np.sqrt(h)[:, None]
            out["H"] = B.T @ B
        for k, multiple in enumerate(multiples):
            out[f"conjugate{k}"] = datafit.conjugate(multiple * g)
        total = out if total is None else _merge(total, out)
    return total


def _merge(a, b):
    out = {name: a[name] + b[name] for name in a}
    out["steepest"] = max(a["steepest"], b["steepest"])
    return out


# Problems


class BlockLikelihood:
    """The part of a likelihood's problem that works by passes over blocks.

    Stands left of a :class:`GLMProblem`, of which it keeps penalties and storage.

    Parameters
    ----------
    blocks : RowBlocks
    found : Outline
    make : callable
        Makes the datafit of a block; picklable.
    start : float
        An intercept to start from.
    """

    y_unit, y_offset, copies, weight_unit = 1.0, 0.0, None, 1.0

    def __init__(
        self,
        blocks,
        found,
        make,
        start,
        *,
        penalty,
        fit_intercept,
        tol,
        max_iter,
        max_epochs,
        verbose=0,
    ):
        if penalty.is_grouped or not penalty.is_convex:
            raise ValueError(
                f"penalty={penalty.kind!r} (or row_sparse=True) needs X in memory: "
                "rows in blocks are fitted with penalty='elasticnet'."
            )
        self.blocks, self.make, self.spec = blocks, make, penalty
        self.dtype = np.dtype(np.float64)
        self.fit_intercept, self.tol, self.verbose = fit_intercept, tol, verbose
        self.n_features, self.n_rows = blocks.n_features, found.n_rows
        self.center = found.mean if fit_intercept else np.zeros(self.n_features)
        self.squares = found.squares
        if not fit_intercept:
            self.squares = found.squares + found.weight * found.mean**2
        self.design = SimpleNamespace(unit=1.0, center_dot=self._center_dot)
        self.limits = {"tol": tol, "max_iter": max_iter, "max_epochs": max_epochs}
        empty = np.empty(0, dtype=np.intp), np.empty(0)
        self._shift = 0.0
        if fit_intercept:
            self._shift = self._settle(*empty, start)
        null = self._pass(*empty, self._shift, "gradient")
        self.total, self._null_q = null["weight"], null["q"]
        self.null_value = null["value"]
        self.datafit = SimpleNamespace(saturated=null["saturated"])
        self.gap_scale = null["value"] - null["saturated"]
        if self.gap_scale <= 1e-14 * abs(null["value"]):
            self.gap_scale = 0.0

    def _center_dot(self, columns, w):
        return dot(self.center[columns], w) if len(columns) else 0.0

    def _pass(self, columns, w, shift, working=None, multiples=()):
        sums = self.blocks.reduce(
            _sums,
            _merge,
            self.make,
            (self.center, columns, w, shift),
            working,
            multiples,
            description="pass",
            verbose=self.verbose,
        )
        if "q" in sums and self.fit_intercept:  # what is left of the means
            sums["q"] += sums["columns"] * (sums["slope"] / self.n_rows)
        return sums

    def _settle(self, columns, w, shift):
        """Return the intercept at which the gradient sums to zero."""
        low, high = -np.inf, np.inf
        for _ in range(_MOST_SHIFTS):
            sums = self._pass(columns, w, shift)
            slope, scale = sums["slope"], sums["absolute"]
            if abs(slope) <= _FLAT * scale:
                break
            low, high = (low, shift) if slope > 0 else (shift, high)
            new = shift - slope / sums["bend"]
            if not low < new < high:
                new = 0.5 * (low + high)
                if not np.isfinite(new):
                    new = shift - np.sign(slope) * 4.0
            if new == shift:
                break
            shift = new
        return shift

    @property
    def coef_shape(self):
        """Shape of the coefficients."""
        return (self.n_features,)

    @property
    def kkt_scale(self):
        """Largest gradient at zero, of features that are kept."""
        return float(np.abs(self._null_q).max(initial=0.0))

    def alpha_max(self, setting=None):
        """Return the smallest alpha at which every coefficient is zero."""
        penalty, q = self.penalty(1.0, setting), self._null_q
        free = self._usable(penalty.free)
        if len(free):
            weights = np.full(self.n_features, np.inf)
            weights[free] = 0.0
            alone = ElasticNetPenalty(
                1.0, 1.0, self.n_features, 1.0, feature_weights=weights
            )
            limits = {**self.limits, "tol": 1e-8}
            q = self._newton(alone, np.zeros(self.n_features), limits, "kkt", None).q
            q = np.where(np.isin(np.arange(self.n_features), free), 0.0, q)
        return penalty.gauge(q)

    def _usable(self, columns):
        return columns[self.squares[columns] > 0.0]

    def solve_one(self, alpha, setting=None, *, coef_init=None, step=None):
        """Solve for one strength."""
        kind = "duality_gap" if self._gap_is_measured(alpha) else "kkt"
        w = np.zeros(self.n_features)
        if coef_init is not None:
            w[:] = np.where(self.squares > 0.0, coef_init, 0.0)
        penalty = self.penalty(alpha, setting)
        if penalty.positive:
            w = np.maximum(w, 0.0)
        found = self._newton(penalty, w, self.limits, kind, step)
        result = found.result
        result.scale = GAP_SCALE if kind == "duality_gap" else KKT_SCALE
        result.null_value = self.null_value
        return self.given(result)

    def _newton(self, penalty, w, limits, kind, step):
        """Minimize by second-order models; return the result and its correlations."""
        tol, counter, history = limits["tol"], {"sweeps": 0, "newton": 0}, []
        shift, q = self._shift, self._null_q
        free = self._usable(penalty.free)
        usable = self.squares > 0.0
        if penalty.kept is not None:
            usable = usable & penalty.kept
        bar = progress_bar(
            range(1, limits["max_iter"] + 1), description="Newton", verbose=self.verbose
        )
        present, best, goal = np.inf, None, _SHARE * tol
        before = None
        for n_iter in bar:  # noqa: B007
            # Features that may enter by the gradient that is known last.
            top = penalty.magnitude(q) >= 0.9 * penalty.lam
            working = np.flatnonzero(usable & (top | (w != 0.0)))
            working = np.union1d(working, free).astype(np.intp)
            columns = np.flatnonzero(w)
            sums = self._pass(columns, w[columns], shift, working)
            value = sums["value"] + penalty.value(w)
            if before is not None:
                old_w, old_shift, step_w, step_shift, change, length = before
                slack = 1e-13 * abs(present)
                if not value <= present + _ARMIJO * length * change + slack:
                    if length < 0.5**_HALVINGS:
                        w, shift = old_w, old_shift
                        break
                    length *= 0.5
                    w = old_w + length * step_w
                    shift = old_shift + length * step_shift
                    before = old_w, old_shift, step_w, step_shift, change, length
                    continue
            present, q = value, sums["q"]
            new, new_shift, change = self._model(
                penalty, w, shift, sums, working, counter
            )
            before = w, shift, new - w, new_shift - shift, change, 1.0
            scale = self.gap_scale or abs(self.null_value) or 1.0
            outside = np.setdiff1d(np.flatnonzero(usable), working)
            late = penalty.excess(q)[outside] > 0.0
            w, shift = new, new_shift
            if -change <= goal * scale and not late.any():
                judged = self._judged(penalty, w, shift, kind, free)
                gap, error = judged.gap, judged.rounding
                history.append(gap)
                stop = step is not None and step(gap)
                shift, q = judged.shift, judged.q
                if best is None or gap <= best.gap:
                    best = judged
                elif goal <= 1e-6 * _SHARE * tol:
                    break  # rounding is all that is left
                if stop or gap + error <= tol or goal <= 1e-9 * _SHARE * tol:
                    break
                before, goal = None, 1e-3 * goal
                present = np.inf
            elif counter["sweeps"] >= limits["max_epochs"]:
                break
        if best is None:
            best = self._judged(penalty, w, shift, kind, free)
            history.append(best.gap)
        columns = np.flatnonzero(best.w)
        best.result = SolverResult(
            columns=columns,
            coef=best.w[columns],
            shift=best.shift,
            gap=best.gap,
            objective=best.value,
            dual=best.dual,
            n_iter=n_iter,
            n_sweeps=counter["sweeps"],
            n_newton=counter["newton"],
            gap_history=history,
            converged=best.gap <= tol,
            kind=kind,
            rounding=best.rounding,
            unit=(self.kkt_scale if kind == "kkt" else self.gap_scale) or 1.0,
        )
        return best

    def _model(self, penalty, w, shift, sums, working, counter):
        """Minimize the second-order model; return where, and what it promises."""
        counter["newton"] += 1
        H, g = sums["H"][:-1, :-1], -sums["q"][working]
        own = w[working]
        if self.fit_intercept:
            bend, cross = sums["H"][-1, -1], sums["H"][:-1, -1]
            H = H - np.outer(cross, cross / bend)
            g = g - cross * (sums["slope"] / bend)
        new = own
        if len(working):
            root = square_root(H)
            target = np.linalg.lstsq(root.T, H @ own - g, rcond=1e-14)[0]
            local = penalty.restricted(working)
            solver = WorkingSetSolver(
                MomentDesign(root, None), target, own if own.any() else None
            )
            result = solver.solve(local, tol=_INNER, max_iter=50, max_epochs=2000)
            counter["sweeps"] += result.n_sweeps
            new = result.dense_coef(len(working))
        step = new - own
        change = float(g @ step + 0.5 * step @ (H @ step))
        out = w.copy()
        out[working] = new
        change += penalty.value(out) - penalty.value(w)
        if self.fit_intercept:
            slope, bend = sums["slope"], sums["H"][-1, -1]
            shift = shift - (slope + float(sums["H"][:-1, -1] @ step)) / bend
            change -= 0.5 * slope * slope / bend
        return out, shift, min(change, 0.0)

    def _judged(self, penalty, w, shift, kind, free):
        """Measure coefficients on the data, with the intercept settled."""
        columns = np.flatnonzero(w)
        if self.fit_intercept:
            shift = self._settle(columns, w[columns], shift)
        sums = self._pass(columns, w[columns], shift, "gradient")
        q, value = sums["q"], sums["value"] + penalty.value(w)
        q = np.where(self.squares > 0.0, q, 0.0)
        found = SimpleNamespace(w=w, shift=shift, q=q, value=value, dual=np.nan)
        norm = np.sqrt(sums["square"])
        reach = np.sqrt(self.squares) * rounding(self._chain, norm)
        fit = float(np.sqrt(self.squares[columns]) @ np.abs(w[columns]))
        flat = abs(shift) * np.sqrt(self.n_rows)
        slip = rounding(len(columns) + 4, fit + flat)
        if kind == "kkt":
            scale = self.kkt_scale or 1.0
            violations = penalty.violations(w, q)[self.squares > 0.0]
            found.gap = float(violations.max(initial=0.0)) / scale
            steepest = float(np.sqrt(self.squares.max(initial=0.0)))
            error = float(reach.max(initial=0.0)) + steepest * sums["steepest"] * slip
            found.rounding = error / scale
            return found
        ratio = penalty.gauge(q)
        multiple = min(1.0, 1.0 / ratio) if ratio > 0.0 else 1.0
        conjugates = self._pass(columns, w[columns], shift, None, (multiple, 1.0))
        found.dual = -conjugates["conjugate0"] if multiple > 0.0 else -np.inf
        is_soft = False
        if penalty.has_l2:
            soft = -conjugates["conjugate1"] - penalty.conjugate(q)
            is_soft = soft > found.dual
            found.dual = max(found.dual, soft)
        unsettled = float(np.abs(q[free]).max(initial=0.0))
        if len(free) and unsettled > SETTLED * (self.kkt_scale or 1.0):
            found.dual = -np.inf
        error = slip * (norm + 0.5 * sums["steepest"] * slip)
        error += 2.0 * rounding(self._chain, sums["magnitude"])
        error += abs((shift - self._shift) * sums["slope"])
        error += penalty.ratio(reach) * multiple * abs(sums["fall"])
        if is_soft:
            error += penalty.conjugate_error(q, reach)
        if len(free):
            error += float((np.abs(q[free]) + reach[free]) @ np.abs(w[free]))
        scale = self.gap_scale or 1.0
        found.gap = max(value - found.dual, 0.0) / scale
        if self.gap_scale == 0.0 and not w.any():
            found.gap = 0.0
        found.rounding = error / scale
        return found

    @property
    def _chain(self):
        return self.n_rows // 8 + len(self.blocks.sizes) + 16

    def _add_storage_error(self, result):
        """Coefficients are stored in double precision."""


class BlockLogisticProblem(BlockLikelihood, LogisticProblem):
    """Two classes, by passes."""


class BlockPoissonProblem(BlockLikelihood, PoissonProblem):
    """Counts, by passes."""


class BlockGammaProblem(BlockLikelihood, GammaProblem):
    """Positive targets, by passes."""


class BlockTweedieProblem(BlockLikelihood, TweedieProblem):
    """Targets that are zero or positive, by passes."""


class BlockHuberProblem(BlockLikelihood, HuberProblem):
    """Huber's loss, by passes."""


_PROBLEMS = {
    Logistic: BlockLogisticProblem,
    Poisson: BlockPoissonProblem,
    Gamma: BlockGammaProblem,
    Tweedie: BlockTweedieProblem,
    Huber: BlockHuberProblem,
}


def likelihood_problem(datafit, blocks, found, make, start, **options):
    """Return the problem of a likelihood on rows in blocks, by its datafit's class."""
    return _PROBLEMS[datafit](blocks, found, make, start, **options)
