"""Information criteria: of squared errors, and of deviances."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import gammaln

__all__ = ["deviance_criterion", "information_criterion"]

_RSS_FLOOR = 1e-14  # of ||y||^2: below this a residual is rounding


def _price(criterion, df, n_effective, n_features, chosen=None):
    """Return what `df` parameters cost."""
    if criterion == "aic":
        return 2.0 * df
    price = np.log(n_effective) * df
    if criterion == "mbic":
        return price + 2.0 * np.log(n_features) * df
    if criterion == "ebic":
        p, k = n_features, np.minimum(df if chosen is None else chosen, n_features)
        price = price + 2.0 * (gammaln(p + 1) - gammaln(k + 1) - gammaln(p - k + 1))
    return price


def information_criterion(
    criterion, rss, scale, df, n_effective, n_features, chosen=None
):
    """Return AIC, BIC, EBIC or MBIC of Gaussian models with unknown variance.

    ``n log(RSS / n) + c df`` with c = 2 (AIC) or log n (BIC); the extended BIC adds
    ``2 log binomial(n_features, df)``, the modified one, in the spirit of Bogdan and
    others, ``2 df log n_features``. Where several targets share their features the
    binomial has the number that is `chosen`. RSS is floored at 1e-14 of `scale`, which
    is zero for a constant response.
    """
    rss = np.maximum(rss, max(_RSS_FLOOR * scale, np.finfo(np.float64).tiny))
    value = n_effective * (np.log(rss) - np.log(n_effective))
    return value + _price(criterion, df, n_effective, n_features, chosen)


def deviance_criterion(criterion, deviance, df, n_effective, n_features):
    """Return AIC, BIC or EBIC of likelihoods with a known dispersion.

    ``deviance + c df`` with c = 2 (AIC) or log n (BIC); the extended BIC adds ``2 log
    binomial(n_features, df)``, for several classes with the coefficients of all.
    """
    return deviance + _price(criterion, df, n_effective, n_features)
