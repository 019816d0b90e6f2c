"""Which block of coordinates to update next: partitions, scores and rules."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.linalg import largest_eigenvalue

__all__ = [
    "FIXED",
    "PROXIMAL",
    "RULES",
    "SMOOTH",
    "Selector",
    "block_bounds",
    "hard_thresholded_block",
    "largest_curvature",
    "partition",
]

UNGREEDY = ("random", "cyclic", "perm", "lipschitz")
SMOOTH = ("gs", "gsl", "gsd", "gsdli", "gsq")
PROXIMAL = ("gs-s", "gs-r", "gs-q")
RULES = (*UNGREEDY, *SMOOTH, *PROXIMAL)
FIXED = ("order", "sort", "avg", "hsort", "havg")
_SPECTRUM = 64  # largest block whose eigenvalues are computed outright


def partition(kind, block_size, lipschitz, row_sums):
    """Split the coordinates into blocks of one size (the last may be smaller).

    Parameters
    ----------
    kind : {"order", "sort", "avg", "hsort", "havg"}
        Consecutive; like curvatures together; small and large ones alternating; the
        last two with absolute row sums in place of curvatures.
    block_size : int
    lipschitz : ndarray of shape (p,)
    row_sums : callable
        Returns the absolute row sums.

    Returns
    -------
    blocks : list of ndarray of int
    """
    p = len(lipschitz)
    if kind == "order":
        order = np.arange(p)
    else:
        keys = row_sums() if kind.startswith("h") else lipschitz
        order = np.argsort(keys, kind="stable")
        if kind.endswith("avg"):
            mixed = np.empty(p, dtype=order.dtype)
            mixed[0::2] = order[: (p + 1) // 2]
            mixed[1::2] = order[::-1][: p // 2]
            order = mixed
    return [order[s : s + block_size] for s in range(0, p, block_size)]


def block_bounds(block_size, lipschitz, row_sums):
    """Return D with ``H_bb <= diag(D_b)`` for every block of at most this size.

    A positive semi-definite matrix of size tau is below tau times its diagonal, and
    below its absolute row sums. The smaller of the two in total is taken for all
    coordinates: their minimum, coordinate by coordinate, is no bound (a matrix of
    rank one with unequal entries shows it).
    """
    if block_size == 1:
        return lipschitz.copy()
    if row_sums.sum() < block_size * lipschitz.sum():
        return row_sums
    return block_size * lipschitz


def largest_curvature(H):
    """Return (an upper bound of) the largest eigenvalue of a block."""
    m = len(H)
    if m == 1:
        return float(H[0, 0])
    if m <= _SPECTRUM:
        return float(np.linalg.eigvalsh(H)[-1])
    v = np.ones(m) + 0.01 * np.arange(m) / m  # not orthogonal to much
    value = largest_eigenvalue(H.dot, v, n_iter=100, rtol=1e-4)
    # Row sums bound the spectrum from above, whatever the iteration has found.
    return min(1.01 * value, float(np.abs(H).sum(axis=1).max()))


def hard_thresholded_block(multiply, g, lipschitz, top, block_size, n_iter=10):
    """Approximate the block of most progress under the full matrix bound.

    Iterative hard thresholding on ``g'd + d'Hd / 2`` over vectors with `block_size`
    non-zeros; `top` is the largest eigenvalue of H.
    """
    d = -g / np.where(lipschitz > 0, lipschitz, 1.0)
    d[lipschitz <= 0] = 0.0
    b = _top(
        np.abs(g) / np.sqrt(np.where(lipschitz > 0, lipschitz, np.inf)), block_size
    )
    d = _keep(d, b)
    for _ in range(n_iter):
        new = d - (g + multiply(d)) / top
        b = _top(np.abs(new), block_size)
        new = _keep(new, b)
        if np.linalg.norm(new - d) < 1e-10:
            break
        d = new
    return b


def _keep(d, b):
    out = np.zeros_like(d)
    out[b] = d[b]
    return out


def _top(scores, size):
    """Return the indices of the largest scores, ascending; ties by index."""
    p = len(scores)
    if size >= p:
        return np.arange(p)
    if size == 1:
        return np.array([int(scores.argmax())])
    return np.sort(np.argpartition(-scores, size - 1)[:size])


class Selector:
    """Choose the blocks of one run.

    Parameters
    ----------
    problem, penalty : object
    rule : str
        One of `RULES`.
    blocks : str or list of ndarray
        "variable", the name of a partition, or the partition itself.
    block_size : int
    rng : numpy Generator

    Attributes
    ----------
    partition : list of ndarray or None
    cache : dict
        ``(H, L, factor)`` of fixed blocks, kept by whoever computes them.
    """

    def __init__(self, problem, penalty, rule, blocks, block_size, rng):
        self.problem, self.penalty, self.rule, self.rng = problem, penalty, rule, rng
        p = problem.n_coef
        self.block_size = min(block_size, p)
        self.cache = {}
        self.partition = None
        if not isinstance(blocks, str):
            self.partition = [np.asarray(b) for b in blocks]
            self.block_size = max(len(b) for b in self.partition)
        elif blocks != "variable":
            self.partition = partition(
                blocks, self.block_size, problem.lipschitz(), problem.row_sums
            )
        if self.partition is not None:
            sizes = np.array([len(b) for b in self.partition])
            self._flat = np.concatenate(self.partition)
            self._starts = np.cumsum(sizes) - sizes
        self._queue = []
        self._position = 0
        self._top = None
        self._scales = self._compute_scales() if problem.has_bound else None

    def _compute_scales(self):
        L = self.problem.lipschitz()
        D = None
        if self.rule in ("gsd", "gs-q") or (self.rule == "gsl" and not self.partition):
            D = block_bounds(self.block_size, L, self.problem.row_sums())
        return L, D

    def scales(self):
        """Return coordinate curvatures and block bounds at the current iterate."""
        return self._scales if self._scales is not None else self._compute_scales()

    def bounds(self):
        """Return D with ``H_bb <= diag(D_b)`` for every block."""
        L, D = self.scales()
        if D is None:
            D = block_bounds(self.block_size, L, self.problem.row_sums())
            if self._scales is not None:
                self._scales = (L, D)
        return D

    def bound(self, number, b):
        """Return ``(H, L)`` of the block, cached if the block is a fixed one."""
        keep = number is not None and self.problem.has_bound
        if keep and number in self.cache:
            return self.cache[number]
        H = self.problem.bound_block(b)
        found = (H, largest_curvature(H))
        if keep:
            self.cache[number] = found
        return found

    def choose(self, g, rule=None):
        """Return the next block and its number in the partition (or None)."""
        rule = self.rule if rule is None else rule
        if rule in UNGREEDY:
            return self._ungreedy()
        if self.partition is None:
            return self._variable(g, rule), None
        score = self._block_scores(g, rule)
        number = int(score.argmax())
        return self.partition[number], number

    def _ungreedy(self):
        if self.partition is not None:
            number = self._next_number()
            return self.partition[number], number
        p, size = self.problem.n_coef, self.block_size
        if self.rule == "random":
            return np.sort(self.rng.choice(p, size, replace=False)), None
        if self.rule == "lipschitz":
            L = self.scales()[0]
            positive = int(np.count_nonzero(L))
            weights = L / L.sum()
            chosen = self.rng.choice(p, min(size, positive), replace=False, p=weights)
            return np.sort(chosen), None
        if self._position >= len(self._queue):
            order = np.arange(p) if self.rule == "cyclic" else self.rng.permutation(p)
            self._queue, self._position = order, 0
        b = self._queue[self._position : self._position + size]
        self._position += size
        return np.sort(b), None

    def _next_number(self):
        count = len(self.partition)
        if self.rule == "random":
            return int(self.rng.integers(count))
        if self.rule == "lipschitz":
            L = np.array([self.bound(k, b)[1] for k, b in enumerate(self.partition)])
            return int(self.rng.choice(count, p=L / L.sum()))
        if self._position >= len(self._queue):
            order = np.arange(count)
            self._queue = (
                order if self.rule == "cyclic" else self.rng.permutation(count)
            )
            self._position = 0
        number = int(self._queue[self._position])
        self._position += 1
        return number

    def _coordinate_scores(self, g, rule):
        """Return scores that add up over a block."""
        w, penalty = self.problem.w, self.penalty
        if rule == "gs":
            return g * g
        if rule == "gs-s":
            return penalty.violations(w, g) ** 2
        L, D = self.scales()
        scale = D if rule in ("gsd", "gsl", "gs-q") else L
        scale = np.where(scale > 0, scale, np.inf)
        if rule in ("gsd", "gsdli", "gsl"):
            return g * g / scale
        moving = np.isfinite(scale)
        safe = np.where(moving, scale, 1.0)
        if rule == "gs-r":
            return np.where(moving, penalty.movements(w, g, safe) ** 2, 0.0)
        return np.where(moving, penalty.decreases(w, g, safe), 0.0)

    def _variable(self, g, rule):
        if rule == "gsq":
            if self._top is None or not self.problem.has_bound:
                self._top = _spectral_norm(self.problem)
            return hard_thresholded_block(
                self.problem.multiply, g, self.scales()[0], self._top, self.block_size
            )
        return _top(self._coordinate_scores(g, rule), self.block_size)

    def _block_scores(self, g, rule):
        if rule == "gsq":
            return self._matrix_scores(g)
        if rule == "gsl":
            L = np.array([self.bound(k, b)[1] for k, b in enumerate(self.partition)])
            sums = np.add.reduceat((g * g)[self._flat], self._starts)
            return sums / np.where(L > 0, L, np.inf)
        scores = self._coordinate_scores(g, rule)
        return np.add.reduceat(scores[self._flat], self._starts)

    def _matrix_scores(self, g):
        """Return ``g_b' H_b^{-1} g_b`` for every fixed block."""
        if not hasattr(self, "_stacks") or not self.problem.has_bound:
            sizes = np.array([len(b) for b in self.partition])
            self._stacks = []
            for size in np.unique(sizes):
                numbers = np.flatnonzero(sizes == size)
                H = np.stack([self.bound(k, self.partition[k])[0] for k in numbers])
                index = np.stack([self.partition[k] for k in numbers])
                # Jitter, as in the update: scores of singular blocks stay finite.
                diagonal = np.einsum("kii->ki", H)
                diagonal += 1e-12 * diagonal.mean(axis=1, keepdims=True) + 1e-300
                self._stacks.append((numbers, index, H))
        out = np.empty(len(self.partition))
        for numbers, index, H in self._stacks:
            g_b = g[index]
            d = np.linalg.solve(H, g_b[:, :, None])[:, :, 0]
            out[numbers] = np.einsum("ki,ki->k", g_b, d)
        return out


def _spectral_norm(problem, n_iter=200):
    """Return the largest eigenvalue of the whole bound, by power iteration."""
    rng = np.random.default_rng(0)
    v = rng.standard_normal(problem.n_coef)
    value = largest_eigenvalue(problem.multiply, v, n_iter=n_iter, rtol=1e-3)
    return 1.01 * value or 1.0
