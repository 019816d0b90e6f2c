r"""Lasso paths preconditioned by random columns, refitted by backward elimination.

A random set T of columns is left unpenalized. With Q an orthonormal basis of its span,
the others become :math:`z_i = \sqrt n\, P x_i / \rho_i`, :math:`P = I - QQ'`,
:math:`\rho_i = \|P x_i\|`. Columns that look alike are told apart by what a few others
leave of them. The projected design is never stored: a product with it is a product with
X of a projected vector.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, solve_triangular

from sparsestat._utils.validation import read_only
from sparsestat.linear_model._penalized._criteria import information_criterion
from sparsestat.linear_model._penalized._penalties import ElasticNetPenalty
from sparsestat.linear_model._penalized._solver import WorkingSetSolver
from sparsestat.linear_model._subsets import _kernels_subset as kernels

__all__ = [
    "Candidate",
    "ProjectedDesign",
    "backward_elimination",
    "first_least",
    "orthonormal_basis",
    "polish",
    "search_draw",
]

_DEPENDENT = 1e-10  # what is left of a column, relative to its norm
_BLOCK = 256  # columns projected at once
_TOL = 1e-5  # relative duality gap along the paths
_MAX_EPOCHS = 2000
_TIE = 1e-8  # of the criterion, relative to the number of samples: rounding


@dataclass
class Candidate:
    """The best set that one draw has led to.

    Attributes
    ----------
    columns : ndarray of int
        Sorted.
    value : float
        Its extended BIC.
    m : int
        Size of the random set, before dependent columns were left out.
    draw : int
    basis : ndarray of int
        The random set.
    alpha : float
        The strength whose solution led to the set, relative to the largest.
    coef : ndarray or None
        Coefficients on `columns` without a refit.
    records : list of dict
        One for each point of the path.
    """

    columns: np.ndarray
    value: float
    m: int
    draw: int
    basis: np.ndarray
    alpha: float
    coef: np.ndarray = None
    records: tuple = ()


def _criterion(problem, rss, size):
    """Return the criterion in the units of the given data, weights as counts."""
    square = problem.weight_unit * problem.y_unit**2
    return information_criterion(
        problem.criterion,
        rss * square,
        problem.norm**2 * square,
        size,
        problem.n_effective,
        problem.n_features,
    )


def first_least(values, n_effective):
    """Return the first position of a criterion that rounding may have made the least.

    Different draws often lead to one set, whose criterion then differs in its last
    digits: the order of the draws decides between them, not those digits.
    """
    values = np.asarray(values, dtype=np.float64)
    least = float(values.min())
    return int(np.flatnonzero(values <= least + _TIE * max(n_effective, abs(least)))[0])


def orthonormal_basis(design, columns):
    """Return a pivoted thin QR factorization of some columns, scaled to norm one.

    Returns
    -------
    Q : ndarray of shape (n_samples, rank)
    R : ndarray of shape (rank, rank)
        Of the kept columns.
    kept : ndarray of int
        The columns that do not depend on those kept before them.
    """
    columns = np.asarray(columns, dtype=np.intp)
    block = np.empty((design.n_samples, len(columns)), order="F")
    design.gather(columns, block, 0)
    norms = np.sqrt(design.squares[columns])
    block /= np.where(norms > 0.0, norms, 1.0)
    if len(columns) == 0:
        return block, np.zeros((0, 0)), columns
    Q, R, order = qr(block, mode="economic", pivoting=True, check_finite=False)
    diagonal = np.abs(np.diag(R))
    rank = int(np.count_nonzero(diagonal > _DEPENDENT * diagonal[0]))
    return np.ascontiguousarray(Q[:, :rank].T).T, R[:rank, :rank], columns[order[:rank]]


class ProjectedDesign:
    """Columns projected off a few others and scaled to norm ``sqrt(n)``.

    It has what the solvers of the Lasso ask of a design. No column is stored: those
    of a working set are projected (twice) as they are gathered.

    Parameters
    ----------
    design : Design
    Q : ndarray of shape (n_samples, rank)
        Orthonormal columns.
    """

    is_sparse = False
    prefers_gram = True

    def __init__(self, design, Q):
        self.design, self.Q = design, Q
        self.n_samples, self.n_features = design.n_samples, design.n_features
        self.total, self.chain = design.total, design.chain
        norms = np.sqrt(design.squares)
        if Q.shape[1] == 0:
            rho = norms.copy()
        else:
            rho = np.empty(self.n_features)
            for start in range(0, self.n_features, _BLOCK):
                part = np.arange(start, min(start + _BLOCK, self.n_features))
                block = np.empty((self.n_samples, len(part)), order="F")
                design.gather(part, block, 0)
                block = self._project(block)
                rho[part] = np.sqrt(np.einsum("ij,ij->j", block, block))
        self.rho = rho
        usable = (norms > 0.0) & (rho > _DEPENDENT * norms)
        self._factor = np.zeros(self.n_features)
        self._factor[usable] = np.sqrt(self.total) / rho[usable]
        self.factor = read_only(self._factor)
        self.squares = read_only(np.where(usable, self.total, 0.0))
        self._buffer = np.zeros(self.n_features)

    def _project(self, block):
        if self.Q.shape[1] == 0:
            return block
        for _ in range(2):  # once leaves rounding of the size of the whole column
            block = block - self.Q @ (self.Q.T @ block)
        return block

    def project(self, vector):
        """Return what the orthonormal columns leave of a vector."""
        return self._project(vector)

    def correlations(self, residual, columns=None, out=None):
        """Return the products of the (listed) columns with a residual vector."""
        if out is None:
            out = np.empty(self.n_features)
        self.design.correlations(self._project(residual), columns, self._buffer)
        if columns is None:
            np.multiply(self._buffer, self._factor, out=out)
        else:
            out[columns] = self._buffer[columns] * self._factor[columns]
        return out

    def gather(self, columns, out, start):
        """Write the listed columns into F-ordered `out` from column `start` on."""
        block = np.empty((self.n_samples, len(columns)), order="F")
        self.design.gather(columns, block, 0)
        block = self._project(block)
        out[:, start : start + len(columns)] = block * self._factor[columns]

    def product(self, columns, w):
        """Return the sum of the listed columns times w."""
        return self._project(self.design.product(columns, self._factor[columns] * w))


def search_draw(problem, m, draw, basis, n_alphas, eps, refit):
    """Return the best candidate of one random set.

    Parameters
    ----------
    problem : LeastSquaresSubsets
        Whose design and target are used.
    m, draw : int
    basis : ndarray of int
        The random set.
    n_alphas : int
    eps : float
        Smallest strength relative to the largest.
    refit : bool
        Eliminate backwards on the original columns.
    """
    design, y = problem.design, problem.target
    total, d = design.total, design.n_features
    n, unit = problem.n_effective, problem.y_unit  # projected columns have norm one
    scale = float(y @ y)
    Q, R, kept = orthonormal_basis(design, basis)
    projected = ProjectedDesign(design, Q)
    target = projected.project(y)
    limit = max(int(n / 3.0), 1)
    largest = float(np.abs(projected.correlations(target)).max(initial=0.0)) / total
    best = Candidate(np.empty(0, np.intp), np.inf, m, draw, basis, 1.0)
    records, seen = [], set()
    if largest <= 1e-14 * np.sqrt(scale) or n_alphas < 1:
        strengths = np.array([1.0])
    else:
        strengths = np.geomspace(1.0, eps, n_alphas)
    solver = WorkingSetSolver(projected, target)
    for strength in strengths:
        columns, v = np.empty(0, dtype=np.intp), np.empty(0)
        if largest > 0.0:
            # The duality gap asked for shrinks with the penalty that makes it matter.
            result = solver.solve(
                ElasticNetPenalty(strength * largest, 1.0, d, total),
                tol=_TOL * max(strength, 1e-3),
                max_epochs=_MAX_EPOCHS,
            )
            columns, v = result.columns, result.coef
        if len(columns) + len(kept) > limit and len(columns):
            break
        key = columns.tobytes()
        if refit and key in seen:
            continue
        seen.add(key)
        union = np.union1d(kept, columns).astype(np.intp)
        if refit:
            found, values = backward_elimination(problem, union)
            at = first_least(values, n)
            value, chosen, coef = values[at], found[at], None
        else:
            chosen, coef = unprojected(projected, y, Q, R, kept, columns, v)
            residual = y - design.product(chosen, coef)
            rss = float(residual @ residual)
            value = float(_criterion(problem, rss, len(chosen)))
        records.append(
            {
                "m": m,
                "draw": draw,
                "alpha": float(strength * largest * unit),
                "n_candidates": len(union),
                "size": len(chosen),
                "criterion": float(value),
            }
        )
        if first_least([best.value, value], n):
            best = Candidate(chosen, value, m, draw, basis, float(strength), coef)
    best.records = tuple(records)
    return best


def unprojected(projected, y, Q, R, kept, columns, v):
    """Return coefficients of the original columns that predict the same."""
    design = projected.design
    off = projected.factor[columns] * v
    chosen = np.concatenate([kept, columns])
    order = np.argsort(chosen)
    on = np.zeros(len(kept))
    if len(kept):
        rest = y - design.product(columns, off)
        on = solve_triangular(R, Q.T @ rest, check_finite=False)
        on /= np.sqrt(design.squares[kept])
    return chosen[order], np.concatenate([on, off])[order]


def backward_elimination(problem, columns):
    """Eliminate columns one by one; return the sets met and their extended BIC.

    Works on an orthogonal factor of the original columns, scaled to norm one: each
    removal is the one that raises the squared error least, exactly.
    """
    Q, R, kept = orthonormal_basis(problem.design, columns)
    k = len(kept)
    y = problem.target
    z = Q.T @ y
    residual = y - Q @ z
    correction = Q.T @ residual
    z += correction
    residual -= Q @ correction
    rss = float(residual @ residual)
    order, rise = np.zeros(k, dtype=np.int64), np.zeros(k)
    if k:
        kernels.remove_least(
            np.ascontiguousarray(R), z, k, np.ones(k, dtype=bool), order, rise
        )
    sizes = np.arange(k, -1, -1)
    errors = rss + np.concatenate([[0.0], np.cumsum(rise)])
    values = _criterion(problem, errors, sizes)
    gone = kept[order]
    sets = _Shrinking(kept, gone)
    return sets, values


class _Shrinking:
    """The sets of an elimination, made when they are asked for."""

    def __init__(self, kept, gone):
        self.kept, self.gone = kept, gone

    def __getitem__(self, at):
        return np.sort(np.setdiff1d(self.kept, self.gone[:at])).astype(np.intp)


def polish(problem, columns, value, *, splice_size, max_iter):
    """Improve a set by exchanges, additions and removals while its criterion falls."""
    movable = np.ones(problem.n_features, dtype=bool)

    def measure(fit):
        return float(_criterion(problem, 2.0 * fit.data_loss, len(fit.columns)))

    fit = problem.fit(columns)
    value = measure(fit)
    limit = max(int(problem.n_effective / 3.0), 1)
    for _ in range(max_iter):
        trials = []
        if len(fit.units):
            better = problem.exchange(fit, most=splice_size, tol=1e-6, movable=movable)
            if better is not None:
                trials.append(better)
            gone = problem.weakest(fit, movable)
            trials.append(problem.fit(np.delete(fit.units, gone)))
        if len(fit.units) < limit:
            promise = problem.scores(fit)[1]
            best = int(np.argmax(promise))
            if np.isfinite(promise[best]):
                trials.append(problem.fit(np.union1d(fit.units, [best])))
        values = [measure(trial) for trial in trials]
        if not values or not first_least([value, min(values)], problem.n_effective):
            break
        at = first_least(values, problem.n_effective)
        fit, value = trials[at], values[at]
    return fit, value
