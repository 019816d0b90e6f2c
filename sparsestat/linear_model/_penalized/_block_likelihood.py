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

from sparsestat._utils.arithmetic import rounding, unbalanced
from sparsestat._utils.linalg import solve_definite
from sparsestat._utils.moments import MOST_FEATURES, square_root
from sparsestat._utils.progress import progress_bar
from sparsestat.linear_model._penalized._block_paths import BlockPaths
from sparsestat.linear_model._penalized._block_sums import class_sums, merge, sums
from sparsestat.linear_model._penalized._class_datafits import Softmax
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
from sparsestat.linear_model._penalized._multinomial_problem import MultinomialProblem
from sparsestat.linear_model._penalized._penalties import ElasticNetPenalty
from sparsestat.linear_model._penalized._result import SolverResult
from sparsestat.linear_model._penalized._solver import WorkingSetSolver

__all__ = ["likelihood_problem"]

_FLAT = 1e-9  # slope of the intercept, relative to the sum of absolute slopes
_MOST_SHIFTS = 60
_INNER = 1e-14  # relative gap of the second-order model
_SHARE = 0.05  # of the tolerance that the next step may still gain
_HALVINGS = 30
_ARMIJO = 1e-4
_NEAR = 1.0 - 1e-4  # multiples of the gradient above it need no pass of their own


class BlockLikelihood(BlockPaths):
    """The part of a likelihood's problem that works by passes over blocks.

    Stands left of a :class:`GLMProblem`, of which it keeps penalties and storage.

    Parameters
    ----------
    rows : Rows
    found : Outline
    make : callable
        Makes the datafit of a block; picklable.
    start : float or ndarray of shape (n_classes,)
        Intercepts to start from.
    model : dict
        What the problem in memory has beside y, such as the power of Tweedie's loss.
    classes : tuple, default=None
        Labels of classifiers, which every fold must train on.
    """

    y_unit, y_offset, copies = 1.0, 0.0, None
    _sums = staticmethod(sums)
    n_shifts = 1
    ignores_shift = False  # columns are centered though there is no intercept

    def __init__(
        self,
        rows,
        found,
        make,
        start,
        *,
        model,
        penalty,
        fit_intercept,
        tol,
        max_iter,
        max_epochs,
        classes=None,
        n_jobs=None,
        verbose=0,
    ):
        if penalty.is_grouped or not penalty.is_convex:
            raise ValueError(
                f"penalty={penalty.kind!r} (or row_sparse=True) needs X in memory: "
                "rows in blocks are fitted with penalty='elasticnet'."
            )
        self.limits = {"tol": tol, "max_iter": max_iter, "max_epochs": max_epochs}
        self.options = {
            **self.limits,
            "model": model,
            "penalty": penalty,
            "fit_intercept": fit_intercept,
            "classes": classes,
            "n_jobs": n_jobs,
        }
        vars(self).update(model)
        self.classes, self.n_jobs = classes, n_jobs
        self.rows, self.make, self.spec = rows, make, penalty
        self.dtype = np.dtype(np.float64)
        self.fit_intercept, self.tol, self.verbose = fit_intercept, tol, verbose
        self.n_features, self.n_rows = rows.n_features, found.n_rows
        is_centered = fit_intercept or self.ignores_shift
        self.center = found.mean if is_centered else np.zeros(self.n_features)
        self.squares = found.squares
        if not is_centered:
            self.squares = found.squares + found.weight * found.mean**2
        self.design = SimpleNamespace(unit=1.0, center_dot=self._center_dot)
        self._columns = None
        nothing = np.zeros(self.coef_shape)
        shift = start if fit_intercept else 0.0 * start
        self._shift, null = self._settled(nothing, shift)
        self.total, self._null_q = null["weight"], null["q"]
        self.null_value, self._null_norm = null["value"], np.sqrt(null["square"])
        self.datafit = SimpleNamespace(saturated=null["saturated"])
        self.gap_scale = null["value"] - null["saturated"]
        if self.gap_scale <= 1e-14 * abs(null["value"]):
            self.gap_scale = 0.0

    @property
    def weight_unit(self):
        """What weights were divided by."""
        return self.rows.weight_unit

    def _center_dot(self, columns, w):
        return self.center[columns] @ w

    def _pass(self, w, shift, working=None, multiples=()):
        columns = np.flatnonzero(self._rows_used(w))
        found = self.rows.reduce(
            self._sums,
            merge,
            self.make,
            (self.center, columns, w[columns], shift),
            working,
            multiples,
            self._columns is None,
            n_jobs=self.n_jobs,
            description="pass",
            verbose=self.verbose,
        )
        if "columns" in found:
            self._columns = found["columns"]
        if "q" in found and self.fit_intercept:  # what is left of the means
            slope = np.asarray(found["slope"]) / self.n_rows
            found["q"] += np.multiply.outer(self._columns, slope)
        return found

    @staticmethod
    def _rows_used(w):
        return w != 0.0 if w.ndim == 1 else (w != 0.0).any(axis=1)

    def _settled(self, w, shift, multiples=()):
        """Return the intercepts at which the gradient sums to zero, and the sums there.

        Newton's method, in a bracket where there is one intercept.
        """
        low, high, least = -np.inf, np.inf, np.inf
        best = None
        # What is left counts as a violation.
        flat = max(min(_FLAT, 0.1 * self.tol), 1e-13)
        for _ in range(_MOST_SHIFTS):
            found = self._pass(w, shift, "gradient", multiples)
            slope, scale = found["slope"], found["absolute"]
            size = float(np.max(np.abs(slope)))
            if not self.fit_intercept or np.all(np.abs(slope) <= flat * scale):
                return shift, found
            if np.ndim(slope):
                if best is not None and not size < least:  # the step was too long
                    new = 0.5 * (shift + best[0])
                else:
                    least, best = size, (shift, found)
                    step = np.linalg.lstsq(found["bend"], slope, rcond=1e-13)[0]
                    new = shift - step * min(1.0, 8.0 / max(np.abs(step).max(), 1e-300))
            else:
                if size < least:
                    least, best = size, (shift, found)
                low, high = (low, shift) if slope > 0 else (shift, high)
                new = shift - slope / found["bend"]
                if not low < new < high:
                    new = 0.5 * (low + high)
                    if not np.isfinite(new):
                        new = shift - np.sign(slope) * 4.0
            if np.array_equal(new, shift):
                break
            shift = new
        return (shift, found) if best is None else best

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
            q = self._newton(alone, self._origin(), limits, "kkt", None).q.copy()
            q[free] = 0.0
        return penalty.gauge(q)

    def _usable(self, columns):
        return columns[self.squares[columns] > 0.0]

    def _origin(self):
        return np.zeros(self.coef_shape), self._shift, self._null_q

    # Solutions

    def solve(self, alphas, setting=None, *, coef_init=None, verbose=0):
        """Solve for each alpha in turn, each from the solution before."""
        results, start = [], self._start(coef_init)
        for alpha in progress_bar(alphas, description="path", verbose=verbose):
            result, start = self._solved(alpha, setting, start, None)
            results.append(result)
        return results

    def solve_one(self, alpha, setting=None, *, coef_init=None, step=None):
        """Solve for one strength."""
        return self._solved(alpha, setting, self._start(coef_init), step)[0]

    def _start(self, coef_init):
        w, shift, q = self._origin()
        if coef_init is not None:
            w[self.squares > 0.0] = coef_init[self.squares > 0.0]
        return w, shift, q

    def _solved(self, alpha, setting, start, step):
        kind = "duality_gap" if self._gap_is_measured(alpha) else "kkt"
        penalty = self.penalty(alpha, setting)
        if penalty.positive:
            start = (np.maximum(start[0], 0.0), *start[1:])
        found = self._newton(penalty, start, self.limits, kind, step)
        result = found.result
        result.scale = GAP_SCALE if kind == "duality_gap" else KKT_SCALE
        result.null_value = self.null_value
        return self.given(result), (found.w, found.shift, found.q)

    def _newton(self, penalty, start, limits, kind, step):
        """Minimize by second-order models; return what was measured at the end."""
        tol, counter, history = limits["tol"], {"sweeps": 0, "newton": 0}, []
        w, shift, q = start
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
            top = self._any(self._beside(penalty.magnitude(q), 0.9 * penalty.lam))
            working = np.flatnonzero(usable & (top | self._rows_used(w)))
            working = np.union1d(working, free).astype(np.intp)
            found = self._pass(w, shift, self._checked(working))
            value = found["value"] + penalty.value(w)
            if before is None and not np.isfinite(value):  # no place to start from
                w, shift, q = self._origin()
                continue
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
            present, q = value, found["q"]
            new, new_shift, change = self._model(
                penalty, w, shift, found, working, counter
            )
            before = w, shift, new - w, new_shift - shift, change, 1.0
            scale = self.gap_scale or abs(self.null_value) or 1.0
            outside = usable.copy()
            outside[working] = False
            late = self._any(penalty.excess(q) > 0.0) & outside
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
        columns = np.flatnonzero(self._rows_used(best.w))
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

    @staticmethod
    def _any(mask):
        return mask if mask.ndim == 1 else mask.any(axis=1)

    @staticmethod
    def _beside(magnitude, bound):
        return magnitude >= (bound if magnitude.ndim == 1 else bound[:, None])

    def _checked(self, working):
        size = (len(working) + 1) * self.n_shifts
        if size > MOST_FEATURES:
            raise ValueError(
                f"The second-order model of {len(working)} features and "
                f"{self.n_shifts} classes has {size} coefficients, whose products take "
                f"{8e-9 * size**2:.1f} GB. Raise alpha, or pass X in memory."
            )
        return working

    def _model(self, penalty, w, shift, found, working, counter):
        """Minimize the second-order model; return where, and what it promises."""
        counter["newton"] += 1
        k = self.n_shifts
        H, g = found["H"][:-k, :-k], -found["q"][working].ravel()
        own = w[working].ravel()
        if self.fit_intercept:
            slope = np.reshape(found["slope"], k)
            bend, cross = found["H"][-k:, -k:], found["H"][:-k, -k:]
            # Of all solutions the least: a constant in all classes changes nothing.
            both = np.column_stack([cross.T, slope])
            solved = np.linalg.lstsq(bend, both, rcond=1e-13)[0]
            H = H - cross @ solved[:, :-1]
            g = g - cross @ solved[:, -1]
        new = own
        if len(working):
            root = square_root(H)
            target = np.linalg.lstsq(root.T, H @ own - g, rcond=1e-14)[0]
            local = penalty.restricted(working)
            if k > 1:
                strengths = np.repeat(local.lam, k), np.repeat(local.l2, k)
                local = ElasticNetPenalty.of(*strengths, positive=penalty.positive)
            solver = WorkingSetSolver(
                MomentDesign(root, None), target, own if own.any() else None
            )
            result = solver.solve(local, tol=_INNER, max_iter=50, max_epochs=2000)
            counter["sweeps"] += result.n_sweeps
            new = self._polished(local, H, g, own, result.dense_coef(len(own)))
        step = new - own
        change = float(g @ step + 0.5 * step @ (H @ step))
        out = w.copy()
        out[working] = new.reshape(len(working), *w.shape[1:])
        change += penalty.value(out) - penalty.value(w)
        if self.fit_intercept:
            moved = solved[:, -1] + solved[:, :-1] @ step
            shift = shift - moved.reshape(np.shape(shift))
            change -= 0.5 * float(slope @ solved[:, -1])
        return out, shift, min(change, 0.0)

    @staticmethod
    def _polished(penalty, H, g, own, new):
        """Solve the model on the signs of its minimum: gaps square what is missing."""
        held = np.flatnonzero(new)
        if len(held) == 0:
            return new
        signs, ridge = np.sign(new[held]), penalty.l2[held]
        slope = (g + H @ (new - own))[held] + ridge * new[held]
        slope += penalty.lam[held] * signs
        bent = H[np.ix_(held, held)] + np.diag(ridge)
        step = solve_definite(np.asfortranarray(bent), -slope)
        if step is None:  # a constant in all classes changes nothing, say
            step = np.linalg.lstsq(bent, -slope, rcond=1e-13)[0]
        moved = np.sign(new[held] + step) != signs
        if (moved & (penalty.lam[held] > 0.0)).any():
            return new
        out = new.copy()
        out[held] += step
        return out

    def _judged(self, penalty, w, shift, kind, free):
        """Measure coefficients on the data, with the intercept settled."""
        near = (_NEAR, 1.0) if kind == "duality_gap" else ()
        shift, found = self._settled(w, shift, near)
        q, value = found["q"], found["value"] + penalty.value(w)
        q[self.squares <= 0.0] = 0.0
        out = SimpleNamespace(w=w, shift=shift, q=q, value=value, dual=np.nan)
        norm, bend = np.sqrt(found["square"]), found["steepest"]
        lengths = np.abs(w) if w.ndim == 1 else np.sqrt((w * w).sum(axis=1))
        reach = np.sqrt(self.squares) * rounding(self._chain, norm)
        fit = float(np.sqrt(self.squares) @ lengths)
        flat = float(np.linalg.norm(shift)) * np.sqrt(self.n_rows)
        slip = rounding(np.count_nonzero(lengths) + 4, fit + flat)
        slip += rounding(4, self.rows.offset_norm)
        lean = 0.0
        if self.fit_intercept:
            lean = float(np.max(unbalanced(found["slope"], norm, self.n_rows)))
        if kind == "kkt":
            scale = self.kkt_scale or 1.0
            violations = penalty.violations(w, q)[self.squares > 0.0]
            steepest = float(np.sqrt(self.squares.max(initial=0.0)))
            # Along a constant as long as the longest column.
            lean *= steepest / np.sqrt(self.total)
            out.gap = max(float(violations.max(initial=0.0)), lean) / scale
            error = float(reach.max(initial=0.0)) + steepest * bend * slip
            out.rounding = error / scale
            return out
        ratio = penalty.gauge(q)
        multiple = min(1.0, 1.0 / ratio) if ratio > 0.0 else 1.0
        if multiple >= _NEAR:  # a chord lies above the conjugate
            share = (1.0 - multiple) / (1.0 - _NEAR)
            conjugate = (
                share * found["conjugate0"] + (1.0 - share) * found["conjugate1"]
            )
        else:
            sums_there = self._pass(w, shift, None, (multiple,))
            conjugate = sums_there["conjugate0"]
        out.dual = -conjugate if multiple > 0.0 else -np.inf
        is_soft = False
        if penalty.has_l2:
            soft = -found["conjugate1"] - penalty.conjugate(q)
            is_soft = soft > out.dual
            out.dual = max(out.dual, soft)
        unsettled = float(np.abs(q[free]).max(initial=0.0))
        if len(free) and unsettled > SETTLED * (self.kkt_scale or 1.0):
            out.dual = -np.inf
        if lean > SETTLED * np.sqrt(self.n_rows) * self._null_norm:
            out.dual = -np.inf
        error = slip * (norm + 0.5 * bend * slip)
        error += 2.0 * rounding(self._chain, found["magnitude"])
        error += float(np.sum(np.abs((shift - self._shift) * found["slope"])))
        error += penalty.ratio(reach) * multiple * abs(found["fall"])
        if is_soft:
            error += penalty.conjugate_error(q, reach)
        if len(free):
            slack = np.abs(q[free]).T + reach[free]
            error += float((slack * np.abs(w[free]).T).sum())
        scale = self.gap_scale or 1.0
        out.gap = max(value - out.dual, 0.0) / scale
        if self.gap_scale == 0.0 and not w.any():
            out.gap = 0.0
        out.rounding = error / scale
        return out

    @property
    def _chain(self):
        return self.n_rows // 4 + self.rows.n_blocks + 16

    def _add_storage_error(self, result):
        """Coefficients are stored in double precision."""


class BlockLogisticProblem(BlockLikelihood, LogisticProblem):
    """Two classes, by passes."""


class BlockMultinomialProblem(BlockLikelihood, MultinomialProblem):
    """Several classes, by passes."""

    _sums = staticmethod(class_sums)

    @property
    def n_shifts(self):
        """Number of intercepts."""
        return self.n_classes


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
    Softmax: BlockMultinomialProblem,
}


def likelihood_problem(datafit, rows, found, make, start, **options):
    """Return the problem of a likelihood on rows in blocks, by its datafit's class."""
    return _PROBLEMS[datafit](rows, found, make, start, **options)
