"""Truncated posteriors by brute force: every state written out, every sum direct."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import product

import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from sparsestat.decomposition._coding._linear import LinearModel
from sparsestat.decomposition._coding._max import MaximumModel
from sparsestat.decomposition._coding._slab import SlabModel

KINDS = ["binary", "ternary", "discrete", "max", "max_magnitude", "slab"]


def make(kind, rng, h=4, d=6, n=21, k=None, gamma=None, **options):
    """Return a model, parameters and data of a kind."""
    k, gamma = k or h, gamma or h
    W = rng.standard_normal((h, d))
    params = {"W": W, "pi": 0.3, "sigma": 0.7, "mean": 0.1 * rng.standard_normal(d)}
    if kind == "binary":
        model = LinearModel(h, k, gamma, **options)
    elif kind == "ternary":
        model = LinearModel(h, k, gamma, values=(-1, 1), kind=kind, **options)
    elif kind == "discrete":
        model = LinearModel(
            h, k, gamma, values=(0.5, 2.0), kind=kind, zero=1, **options
        )
        params["pi"] = np.array([0.2, 0.7, 0.1])
    elif kind == "slab":
        model = SlabModel(h, k, gamma, **options)
        root = rng.standard_normal((h, h))
        params["pi"] = rng.uniform(0.1, 0.6, h)
        params["slab_mean"] = rng.standard_normal(h)
        params["slab_cov"] = root @ root.T / h + 0.1 * np.eye(h)
        if not model.full:
            params["slab_cov"] = np.diag(np.diag(params["slab_cov"]))
        if model.diagonal_noise:
            params["sigma"] = rng.uniform(0.5, 1.0, d)
    else:
        signed = kind == "max_magnitude"
        model = MaximumModel(h, k, gamma, signed=signed, n_features=d, **options)
        params["W"] = model.bounded(W if signed else np.abs(W))
    active = rng.uniform(size=(n, h)) < 0.4
    Y = active @ params["W"] + 0.7 * rng.standard_normal((n, d)) + params["mean"]
    return model, params, Y


def all_levels(model):
    """Return every state as levels: 0 for none, else 1 + the value's index."""
    return np.array(list(product(range(model.n_values + 1), repeat=model.n_components)))


def values_of(model, levels):
    if isinstance(model, LinearModel):
        return np.concatenate([[0.0], model.values])[levels]
    return levels.astype(float)


def soft_maximum(W, s, temperature, signed):
    """Return the softened maximum over the rows of W that are active."""
    warm = max(temperature, 1.2 if signed else 1.05)
    rho = min(warm / (warm - 1.0), 35.0 if signed else 21.0)
    on = np.flatnonzero(s)
    if len(on) == 0:
        return np.zeros(W.shape[1])
    if len(on) == 1:
        return W[on[0]]
    t = (np.sign(W[on]) * np.abs(W[on]) ** rho).sum(axis=0)
    return np.sign(t) * np.abs(t) ** (1.0 / rho)


def log_prior(model, pi, levels):
    """Return the log-odds of each state against no cause."""
    if isinstance(model, SlabModel):
        return levels @ np.log(pi / (1.0 - pi))
    if not isinstance(model, LinearModel) or model.kind == "binary":
        return (levels > 0).sum(axis=1) * np.log(pi / (1.0 - pi))
    if model.kind == "ternary":
        return (levels > 0).sum(axis=1) * np.log(0.5 * pi / (1.0 - pi))
    odds = np.concatenate([[0.0], np.log(np.delete(pi, model.zero) / pi[model.zero])])
    return odds[levels].sum(axis=1)


def log_likelihood(model, params, Y, levels, temperature):
    """Return -|y - mean(s)|^2 / (2 sigma^2), integrated over strengths if any."""
    W, sigma = params["W"], params["sigma"]
    X = Y - params["mean"]
    out = np.empty((len(Y), len(levels)))
    states = values_of(model, levels)
    d = W.shape[1]
    for j, s in enumerate(states):
        if isinstance(model, SlabModel):
            A = s > 0
            cov = W[A].T @ params["slab_cov"][np.ix_(A, A)] @ W[A]
            cov += np.diag(np.broadcast_to(np.square(sigma), d))
            center = params["slab_mean"][A] @ W[A]
            log_det = np.broadcast_to(np.log(2 * np.pi * np.square(sigma)), d).sum()
            out[:, j] = multivariate_normal.logpdf(X, center, cov) + 0.5 * log_det
            continue
        if isinstance(model, MaximumModel):
            bar = soft_maximum(W, s, temperature, model.signed)
        else:
            bar = s @ W
        out[:, j] = -0.5 * ((X - bar) ** 2).sum(axis=1) / sigma**2
    return out


def brute_force(model, params, Y, temper):
    """Return states, their posterior probabilities and log-evidences."""
    levels = all_levels(model)
    whole = isinstance(model, MaximumModel)
    on_prior = temper.beta if whole else temper.on_prior
    joint = on_prior * log_prior(model, params["pi"], levels)
    joint = joint + temper.beta * log_likelihood(
        model, params, Y, levels, temper.temperature
    )
    log_z = logsumexp(joint, axis=1)
    return values_of(model, levels), np.exp(joint - log_z[:, None]), log_z
