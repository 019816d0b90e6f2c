"""Sequential evidence maximization, from the empty model upwards."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat.bayes import _kernels_fast as kernels
from sparsestat.bayes._data import square
from sparsestat.bayes._evidence import (
    EvidenceResult,
    compress_rows,
    compress_targets,
    final_posterior,
    posterior_root,
    stacked_factor,
)

__all__ = ["maximize_evidence_fast"]

NOISE_EVERY = 10
REFRESH_EVERY = 200
_LOST = 1e-6  # share of the noise that may be lost to rounding before a close look
_SQUARED = 1e-2  # the same before the posterior is solved without normal equations
_LOOKS = 5  # close looks that found a gain, before every action is preceded by one
_ROUGH = 10  # iterations before the same; a noise that is learned has a floor


class _Model:
    """The active set with everything the kernels update."""

    def __init__(self, H, Y, s2):
        self.H, self.Y, self.s2 = H, Y, s2
        n = H.shape[1]
        self.n_targets = Y.shape[1]
        self.squares = square(H).sum(axis=0)
        self.HY = np.ascontiguousarray((H.conj().T @ Y).T)
        self.gamma = np.zeros(n)
        self.k = 0
        self._allocate(min(64, n))
        self.e = np.empty(n, H.dtype)
        self.refresh()

    def _allocate(self, capacity):
        n, dtype, k = self.H.shape[1], self.H.dtype, self.k
        G, Sigma = np.empty((capacity, n), dtype), np.empty((capacity, capacity), dtype)
        mu = np.empty((self.n_targets, capacity), dtype)
        active = np.empty(capacity, np.int64)
        if k:
            G[:k], Sigma[:k, :k] = self.G[:k], self.Sigma[:k, :k]
            mu[:, :k], active[:k] = self.mu[:, :k], self.active[:k]
        self.G, self.Sigma, self.mu, self.active = G, Sigma, mu, active

    def refresh(self):
        """Recompute the posterior, S and Q from the variances alone."""
        k, b = self.k, 1.0 / self.s2
        index = self.active[:k]
        H, gamma = self.H[:, index], self.gamma[index]
        if self.lost_share() > _SQUARED:
            self.root, mean = final_posterior(H, self.Y, gamma, self.s2)
            self.mu[:, :k] = mean.T
        else:
            self.root = posterior_root(H, gamma, self.s2)
            self.mu[:, :k] = b * (
                self.HY[:, index] @ self.root.conj() @ self.root.T if k else 0.0
            )
        self.Sigma[:k, :k] = self.root @ self.root.conj().T
        V = self.root.conj().T @ self.G[:k].conj()
        self.S = np.maximum(b * (self.squares - b * square(V).sum(axis=0)), 0.0)
        self.Q = b * (self.HY - self.mu[:, :k] @ self.G[:k])
        self._keep_digits()

    def lost_share(self):
        """Return how much of the noise differences of signals lose to rounding."""
        index = self.active[: self.k]
        peak = (self.gamma[index] * self.squares[index]).max(initial=0.0) / self.s2
        return float(peak * np.finfo(float).eps)

    def look_closely(self):
        """Recompute S and Q from what the active columns leave of all others."""
        m, n = self.H.shape
        index = self.active[: self.k]
        basis, _ = stacked_factor(self.H[:, index], self.gamma[index], self.s2)
        left = np.zeros((len(basis), n + self.n_targets), basis.dtype)
        left[:m, :n], left[:m, n:] = self.H, self.Y
        for _ in range(2):  # the second time what rounding left of the first
            left -= basis @ (basis.conj().T @ left)
        H, Y = left[:, :n], left[:, n:]
        self.S = square(H).sum(axis=0) / self.s2
        self.Q = np.ascontiguousarray((H.conj().T @ Y).T) / self.s2
        self._keep_digits()
        return self._gain_in_doubt()

    def _gain_in_doubt(self):
        """Return the largest gain where the targets have lost their last digit."""
        peak = square(self.Y).sum() / self.n_targets / self.s2
        lost = np.finfo(float).eps * np.sqrt(peak)
        share = square(self.Q).mean(axis=0) / np.maximum(self.S, np.finfo(float).tiny)
        excess = np.where(self.gamma > 0.0, np.abs(share - 1.0), share - 1.0)
        excess = np.maximum(excess + (2.0 * np.sqrt(share) + lost) * lost, 0.0)
        return float((excess - np.log1p(excess)).max())

    def _keep_digits(self):
        kernels.keep_digits(
            self.S, self.Q, self.gamma, self.active, self.k, self.Sigma, self.mu
        )

    def act(self, tol, max_actions):
        code, j, wanted, self.k, done = kernels.act(
            self.G, self.S, self.Q, self.gamma, self.active, self.k, self.Sigma,
            self.mu, 1.0 / self.s2, tol, max_actions, self.e,
        )  # fmt: skip
        if code == kernels.ADD:
            if self.k == len(self.active):
                self._allocate(min(2 * self.k, self.H.shape[1]))
            self.G[self.k] = self.H.conj().T @ self.H[:, j]
            self.k = kernels.add(
                self.G, self.S, self.Q, self.gamma, self.active, self.k, self.Sigma,
                self.mu, 1.0 / self.s2, j, wanted, self.e,
            )  # fmt: skip
            done += 1
        return code, done

    def largest_gain(self):
        return kernels.best_move(self.S, self.Q, self.gamma)[2]

    def dof(self):
        index = self.active[: self.k]
        return float((self.gamma[index] * self.S[index]).sum())

    def residual(self):
        index = self.active[: self.k]
        error = self.Y - self.H[:, index] @ self.mu[:, : self.k].T
        return float(square(error).sum()) / self.n_targets

    def cost(self, total, rest):
        """-2 log evidence (complex: -1), up to a constant, from Sigma and mu."""
        index = self.active[: self.k]
        gamma, s2 = self.gamma[index], self.s2
        # |I + G| = prod(gamma) / |Sigma|, and the root is a triangle.
        logdet = float(np.log(gamma).sum())
        logdet -= 2.0 * float(np.log(np.abs(np.diagonal(self.root))).sum())
        penalty = square(self.mu[:, : self.k]) / gamma
        quad = (self.residual() + rest) / s2 + penalty.sum() / self.n_targets
        return total * np.log(s2) + logdet + float(quad)


def maximize_evidence_fast(
    H,
    Y,
    *,
    noise,
    stop,
    total,
):
    """Maximize the evidence one column at a time.

    An iteration is a batch of actions (additions, re-estimations, deletions) after
    which the state is recomputed from the variances. Stops when no action gains more
    than `stop.tol` in log evidence of one target.
    """
    learn, s2 = noise.learns, noise.first
    H_all, Y_all = H, Y
    rest = 0.0
    Y = compress_targets(Y)
    if H.shape[0] > H.shape[1]:
        H, Y, rest = compress_rows(H, Y)
    model = _Model(np.asfortranarray(H), Y, s2)
    scores, converged, change = [], False, np.inf
    batch = NOISE_EVERY if learn else REFRESH_EVERY
    n_iter = looks = 0
    for _ in range(stop.max_iter):
        n_iter += 1
        careful = looks > _LOOKS or (n_iter > _ROUGH and not learn)
        careful = careful and model.lost_share() > _LOST
        left, code = 1 if careful else batch, kernels.ADD
        while left > 0 and code == kernels.ADD:
            code, done = model.act(stop.tol, left)
            left -= done
        model.refresh()
        moved = 0.0
        if learn:
            new = model.residual() + rest + model.s2 * model.dof()
            new = max(new / total, noise.floor)
            moved = abs(np.log(new / model.s2))
            if moved >= stop.tol:
                model.s2 = new
                model.refresh()
        rounding = 0.0
        careful = careful or model.largest_gain() <= stop.tol
        if careful and model.lost_share() > _LOST:
            looks += 1
            doubt = model.look_closely()
            rounding = max(doubt - model.largest_gain(), 0.0)
        gain = model.largest_gain()
        change = max(gain, moved if moved >= stop.tol else 0.0)
        scores.append(model.cost(total, rest))
        asked = stop.asked(change)
        if asked or change <= stop.tol:
            converged = change + rounding <= stop.tol
            break
    order = np.argsort(model.active[: model.k])
    index = model.active[: model.k][order]
    active, gamma = H_all[:, index], model.gamma[index]
    root, mean = final_posterior(active, Y_all, gamma, model.s2)
    return EvidenceResult(
        gamma=model.gamma,
        noise_variance=float(model.s2),
        active=index,
        mean=mean,
        root=root,
        dof=model.dof(),
        change=float(change),
        converged=converged,
        n_iter=n_iter,
        rounding=rounding,
        scores=scores,
    )
