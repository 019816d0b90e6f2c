"""
Recomputing a certificate from outside
======================================

A certificate is worth something because anybody can check it. Here the duality gap of
a Lasso is computed again in a few lines of NumPy, from the coefficients alone, and
then for fits that were stopped early.
"""

# %%
# The gap in a few lines
# ----------------------
# With an intercept, both sides are centered. A multiple of the residual is a dual
# point: scaled so that no column has a larger product with it than ``alpha`` times
# the number of rows. The user guide derives this under :ref:`duality_gap`.
import numpy as np


def relative_gap(X, y, coef, alpha):
    X, y = X - X.mean(axis=0), y - y.mean()
    lam = alpha * len(y)
    residual = y - X @ coef
    primal = residual @ residual / 2 + lam * np.abs(coef).sum()
    scale = min(
        y @ residual / (residual @ residual), lam / np.abs(X.T @ residual).max()
    )
    dual = scale * (y @ residual) - scale**2 * (residual @ residual) / 2
    return (primal - dual) / (y @ y)


# %%
# Ask for four accuracies, and compare what the estimator says with what we find.
import textwrap
import warnings

from sklearn.exceptions import ConvergenceWarning

from sparsestat.datasets import make_sparse_regression
from sparsestat.linear_model import Lasso

data = make_sparse_regression(200, 2000, n_nonzero=20, rho=0.8, random_state=0)
X, y = data.X, data.y
alpha = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / len(y) / 20

for tol in (1e-2, 1e-4, 1e-8, 1e-12):
    model = Lasso(alpha, tol=tol).fit(X, y)
    print(
        f"tol {tol:.0e}: certificate {model.certificate_.value:8.1e}, "
        f"recomputed {relative_gap(X, y, model.coef_, alpha):8.1e}"
    )

# %%
# A fit that is stopped early says so
# -----------------------------------
# Two iterations are not enough. The warning names the gap, the tolerance and what to
# change; the coefficients are still usable, and the certificate says how good they
# are.
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", ConvergenceWarning)
    early = Lasso(alpha, tol=1e-8, max_iter=2).fit(X, y)
print(textwrap.fill(str(caught[0].message), 80))
print(early.certificate_)

# %%
# How the gap closes
# ------------------
# The last steps are Newton steps on the features that are left, and the gap falls
# by orders of magnitude at once.
from sparsestat.plotting import ConvergenceDisplay

ConvergenceDisplay.from_estimator(Lasso(alpha, tol=1e-12).fit(X, y))
