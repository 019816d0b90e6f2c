"""Grid spectral mixtures by brute force, and series to fit."""

import numpy as np


def component_grams(X, Z, spectrum):
    """Return the Gram matrix of every component, straight from the formula."""
    tau = X[:, None] - Z[None]
    grams = []
    for mu, sigma in zip(spectrum.frequencies, spectrum.sigmas, strict=True):
        envelope = np.exp(-2 * np.pi**2 * ((tau * sigma) ** 2).sum(-1))
        if spectrum.form == "product":
            grams.append(envelope * np.cos(2 * np.pi * tau * mu).prod(-1))
        else:
            grams.append(envelope * np.cos(2 * np.pi * tau @ mu))
    return np.array(grams)


def evaluate(samples, spectrum, weights, noise):
    """Return the objective, g, q, and those of the noise, with dense inverses."""
    grams = component_grams(samples.X, samples.X, spectrum)
    D = np.diag(1.0 / samples.weights)
    C = noise * D + np.tensordot(weights, grams, 1)
    inverse = np.linalg.inv(C)
    alpha = inverse @ samples.Y
    T = samples.Y.shape[1]
    value = (samples.Y * alpha).sum() + T * np.linalg.slogdet(C)[1]
    value += samples.noise_terms(noise)
    g = T * np.tensordot(grams, inverse, 2)
    q = np.einsum("nt,inm,mt->i", alpha, grams, alpha)
    noise_g = T * np.trace(inverse @ D)
    return value, g, q, noise_g, (alpha * (D @ alpha)).sum()


def two_tones(n=80, noise=0.1, seed=0):
    """Return an even grid and a series of two tones."""
    rng = np.random.default_rng(seed)
    x = np.arange(float(n))
    y = np.sin(2 * np.pi * x / 12.5) + 0.5 * np.cos(2 * np.pi * x * 0.31)
    return x[:, None], y + noise * rng.standard_normal(n)
