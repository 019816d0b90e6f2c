"""
What privacy costs
==================

Each person sends one noisy message and nothing else. The noise that protects one person
is paid for with many.
"""

# %%
# Two features out of twenty matter. Bounds on the data are fixed before any data are
# seen; they are part of the promise of privacy.
import matplotlib.pyplot as plt
import numpy as np

from sparsestat.linear_model import LassoCV, LDPSparseRegressor

coef = np.zeros(20)
coef[[3, 8]] = 0.8, -0.5
sizes = 3_000, 10_000, 30_000, 100_000
errors = {0.5: [], 2.0: [], "no privacy": []}
for n in sizes:
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, 20))
    y = X @ coef + 0.1 * rng.standard_normal(n)
    for promise, found in errors.items():
        if promise == "no privacy":
            model = LassoCV(alphas=20).fit(X[:3000], y[:3000])
        else:
            model = LDPSparseRegressor(
                epsilon=promise, n_nonzero=2, x_bound=5.0, y_bound=2.5, random_state=0
            ).fit(X, y)
        found.append(np.linalg.norm(model.coef_ - coef))

plt.figure(figsize=(5, 3.2), layout="constrained")
for promise, found in errors.items():
    text = promise if isinstance(promise, str) else f"epsilon = {promise}"
    plt.loglog(sizes, found, "o-", label=text)
plt.xlabel("people")
plt.ylabel("error of the coefficients")
plt.legend()
plt.show()

# %%
# The ledger
# ----------
# What each group of people has spent. Nobody is asked twice.
model = LDPSparseRegressor(
    epsilon=2.0, n_nonzero=2, x_bound=5.0, y_bound=2.5, random_state=0
).fit(X, y)
for entry in model.privacy_ledger_[:3]:
    print(entry)
print(f"{model.epsilon_spent_} in all, by each")
