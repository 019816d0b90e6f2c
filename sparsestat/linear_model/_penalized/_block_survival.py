r"""Cox's partial likelihood on rows that come in blocks: Newton's method by passes.

Times, events and linear predictors are a few numbers for each row and are held in
memory; risk sets follow the times of all rows, whatever block these are in. A step
takes two passes: one for the predictors, one for the products of the columns.

The Hessian is that of the expected events less the outer products of the means of the
risk sets, of which there are as many as event times. Runs of event times (a *cell*)
share the mean of their means here, which sums over blocks. By Jensen's inequality
less is taken away than should be: the model lies above the exact one, and is that
where no cell has two terms of the likelihood.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import operator
from types import SimpleNamespace

import numpy as np
from scipy import sparse

from sparsestat._utils.samples import relative_weights
from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized import _kernels_blocks as kernels
from sparsestat.linear_model._penalized._block_likelihood import BlockLikelihood
from sparsestat.linear_model._penalized._block_sums import (
    Outline,
    Rows,
    kernel_slices,
    merge_named,
)
from sparsestat.linear_model._penalized._datafits import Offset
from sparsestat.linear_model._penalized._survival import partial_likelihood
from sparsestat.linear_model._penalized._survival_problem import CoxProblem

__all__ = ["BlockCoxProblem", "SurvivalRows", "survival_outline"]

_CELLS = 512  # of event times
_ENTRIES = 2**25  # predictors of many results that are held at once
_BESIDE = [
    ("gradient", np.float64),
    ("curvature", np.float64),
    ("risk", np.float64),
    ("cell", np.int32),
    ("part", np.float64),
    ("early_cell", np.int32),
    ("early_part", np.float64),
]


class SurvivalRows:
    """What is known of all rows, those of weight zero left out.

    Parameters
    ----------
    blocks : RowBlocks
    at : ndarray of int of shape (n_rows,)
        Where the rows stand among all that are read.
    y : ndarray of shape (n_rows, 2) or (n_rows, 3)
        The columns [entry,] time and event.
    weights : ndarray of shape (n_rows,) or None
    offset, strata, folds : ndarray of shape (n_rows,) or None
    """

    def __init__(self, blocks, at, y, weights, offset, strata, folds):
        self.blocks, self.at, self.y, self.weights = blocks, at, y, weights
        self.offset, self.strata, self.folds = offset, strata, folds

    def predictors(self, center, coefs, **options):
        """Return the products of the centered columns, shape (n_rows, n_results)."""
        used = np.flatnonzero(coefs.any(axis=1))
        if len(used) == 0:
            return np.zeros((len(self.at), coefs.shape[1]))
        found = self.blocks.reduce(
            _predictors, operator.add, center, used, coefs[used], **options
        )
        return np.concatenate(found)

    def beside(self, dtype, inside=None):
        """Return zeros for all rows that are read, and where some of them stand."""
        out = np.zeros(self.blocks.n_samples, dtype=dtype)
        return out, self.at if inside is None else self.at[inside]

    def likelihood(self, ties, unit, inside=None):
        """Return the datafit of some rows, with weights in a unit."""
        y, weights, offset, strata = (
            values if values is None or inside is None else values[inside]
            for values in (self.y, self.weights, self.offset, self.strata)
        )
        weights = None if weights is None else weights / unit
        datafit = partial_likelihood(y, weights, ties=ties, strata=strata)
        return datafit if offset is None else Offset(datafit, offset)


def survival_outline(block, inside):
    """Return the :class:`Outline` of some rows of a block.

    Parameters
    ----------
    block : Block
    inside : ndarray of bool of shape (n_rows,)
    """
    if not inside.any():
        return None
    weights = None if block.weights is None else block.weights[inside]
    X = block.X if inside.all() else block.X[inside]
    return Outline(X, np.zeros(X.shape[0]), weights, labels=False)


def _predictors(block, center, used, coefs):
    out = np.empty((block.X.shape[0], coefs.shape[1]))
    center, columns = read_only(center), read_only(used)
    for rows, A in kernel_slices(block.X):
        for k in range(coefs.shape[1]):
            fit = np.empty(len(A))
            w = read_only(np.ascontiguousarray(coefs[:, k]))
            kernels.predictors(A, center, columns, w, fit)
            out[rows, k] = fit
    return [out]


def _products(block, beside, center, working, n_cells):
    """Return products of the columns with the gradient, and sums for the Hessian."""
    center, out = read_only(center), {"q": np.zeros(block.X.shape[1])}
    with_hessian = isinstance(working, np.ndarray)
    if with_hessian:
        m = len(working)
        out["H"] = np.zeros((m, m))
        if n_cells:
            out["risk"], out["part"] = np.zeros((2, n_cells, m))
    for rows, A in kernel_slices(block.X):
        here = beside[rows]
        slope = np.ascontiguousarray(here["gradient"])
        kernels.products(A, center, read_only(-slope), out["q"])
        if not with_hessian:
            continue
        Z = np.empty((len(A), m + 1))
        ones = read_only(np.ones(len(A)))
        kernels.weighted_columns(A, center, read_only(working), ones, Z)
        Z = Z[:, :-1]
        B = np.sqrt(here["curvature"])[:, None] * Z
        out["H"] += B.T @ B
        if n_cells:
            for sign, cell, part in (
                (1.0, here["cell"], here["part"]),
                (-1.0, here["early_cell"], here["early_part"]),
            ):
                into = _gathers(cell, sign * here["risk"], n_cells)
                out["risk"] += into @ Z
                into = _gathers(cell, sign * here["risk"] * part, n_cells)
                out["part"] += into @ Z
    return out


def _gathers(cell, values, n_cells):
    """Return the map that adds up rows by their cells, which count from one."""
    held = np.flatnonzero(cell > 0)
    shape = (n_cells, len(cell))
    return sparse.csr_array((values[held], (cell[held] - 1, held)), shape=shape)


class BlockCoxProblem(BlockLikelihood, CoxProblem):
    """Survival times, by passes.

    Parameters
    ----------
    survival : SurvivalRows
    found : Outline
        Of the rows that are trained on.
    inside : ndarray of bool of shape (n_rows,), default=None
        Which these are; None is all.
    ties : {"breslow", "efron"}
    **options : object
        Of :class:`BlockLikelihood`.
    """

    ignores_shift = True

    def __init__(self, survival, found, *, inside=None, ties, **options):
        self.ties, self.survival, self.inside = ties, survival, inside
        self._own = dict(options, ties=ties)
        weights = survival.weights
        if weights is not None and inside is not None:
            weights = weights[inside]
        unit = 1.0
        if ties != "efron":
            _, unit = relative_weights(weights)
        self.y = survival.y if inside is None else survival.y[inside]
        self.check_target(self.y)
        self._likelihood = survival.likelihood(ties, unit, inside)
        self._known = None
        super().__init__(
            Rows(survival.blocks, weight_unit=unit), found, None, 0.0,
            model={"ties": ties}, fit_intercept=False, **options,
        )  # fmt: skip
        self.squares = self.squares / unit
        self.datafit = self._likelihood
        self.design = SimpleNamespace(
            unit=1.0, center_dot=self._center_dot, product=self._product
        )

    def _predictors(self, coefs):
        return self.survival.predictors(
            self.center, coefs, n_jobs=self.n_jobs, description="pass",
            verbose=self.verbose,
        )  # fmt: skip

    def _fit_of(self, w):
        """Return the predictors of all rows; those of the last coefficients again."""
        if self._known is None or not np.array_equal(self._known[0], w):
            self._known = w.copy(), self._predictors(w[:, None])[:, 0]
        return self._known[1]

    def _product(self, columns, coef):
        w = np.zeros(self.n_features)
        w[columns] = coef
        return self._inner(self._fit_of(w))

    def _inner(self, values):
        return values if self.inside is None else values[self.inside]

    def _pass(self, w, shift, working=None, multiples=()):
        datafit, eta = self._likelihood, self._inner(self._fit_of(w))
        gradient, curvature = datafit.gradient(eta), datafit.curvature(eta)
        value = datafit.value(eta)
        out = {
            "value": value,
            "magnitude": abs(value),
            "saturated": datafit.saturated,
            "slope": float(gradient.sum()),
            "absolute": float(np.abs(gradient).sum()),
            "square": float(gradient @ gradient),
            "fall": float(gradient @ eta),
            "bend": float(curvature.sum()),
            "steepest": float(curvature.max()),
            "weight": datafit.total,
        }
        if working is None:
            return out
        cells = None
        if isinstance(working, np.ndarray):
            cells = datafit.in_cells(eta, _CELLS)
        beside, own = self.survival.beside(_BESIDE, self.inside)
        beside["gradient"][own], beside["curvature"][own] = gradient, curvature
        if cells is not None:
            for name, values in cells.rows.items():
                beside[name][own] = values
        found = self.survival.blocks.reduce(
            _products,
            merge_named,
            self.center,
            working,
            0 if cells is None else len(cells.rates),
            rows=beside,
            n_jobs=self.n_jobs,
            description="pass",
            verbose=self.verbose,
        )
        out["q"] = found["q"]
        if "H" in found:
            H = found["H"]
            if cells is not None:
                M = cells.means(found["risk"], found["part"])
                H = H - M.T @ M
            out["H"] = np.pad(H, (0, 1))  # the likelihood does not see a constant
        return out

    # Strengths

    def of_fold(self, fold):
        """Return the problem of the rows that train where those of a fold are held out.

        Parameters
        ----------
        fold : int
        """
        inside = self.survival.folds != fold
        mask, own = self.survival.beside(bool, inside)
        mask[own] = True
        found = self.survival.blocks.reduce(
            survival_outline, Outline.merged, rows=mask, n_jobs=self.n_jobs
        )
        return type(self)(self.survival, found, inside=inside, **self._own)

    def fold_tables(self, settings, grids):
        """Return held-out losses, and weights of the folds or None.

        Partial likelihoods of all rows less those of the rows that are trained on, for
        each held-out event.
        """
        survival, tables, weights, counts = self.survival, [], [], []
        for fold in range(int(survival.folds.max()) + 1):
            problem, held = self.of_fold(fold), survival.folds == fold
            whole = survival.likelihood(self.ties, problem.weight_unit)
            mass = whole.weights[held]
            events = float(mass @ (survival.y[held, -1] > 0))
            table = []
            for setting, alphas in zip(settings, grids, strict=True):
                found = problem.solve(alphas, setting)
                losses = problem.held_out(found, whole)
                unit = np.log(problem.weight_unit)  # of sums over risk sets
                table.append(losses / events + unit if events > 0.0 else 0.0 * losses)
            tables.append(table)
            weights.append(float(mass.sum()) * problem.weight_unit)
            counts.append(int(held.sum()))
        weights = None if weights == counts else np.array(weights)
        return np.array(tables).transpose(1, 2, 0)[:, None], weights

    def held_out(self, results, whole):
        """Return the likelihoods of all rows less those of the rows trained on."""
        coefs = np.stack([r.dense_coef(self.n_features) for r in results], axis=1)
        step, out = max(1, _ENTRIES // len(self.survival.at)), []
        for start in range(0, len(results), step):
            for eta in self._predictors(coefs[:, start : start + step]).T:
                own = self._likelihood.value(self._inner(eta))
                out.append(whole.value(eta) - own)
        return np.array(out)
