"""
What privacy costs
==================

Each person sends one noisy message and nothing else. The noise that protects one person
is paid for with many.
"""

# %%
# Two features out of twenty matter. Bounds on the data are fixed before any data are
# seen; they are part of the promise of privacy. Errors are medians of three
# populations.
import matplotlib.pyplot as plt
import numpy as np

from sparsestat.linear_model import ElementaryEstimator, LDPSparseRegressor

coef = np.zeros(20)
coef[[3, 8]] = 0.8, -0.5
public = {"n_nonzero": 2, "x_bound": 5.0, "y_bound": 2.5}
models = {
    "epsilon = 0.5": LDPSparseRegressor(epsilon=0.5, random_state=0, **public),
    "epsilon = 2": LDPSparseRegressor(epsilon=2.0, random_state=0, **public),
    "no privacy": ElementaryEstimator("universal"),
}


def population(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 20))
    return X, X @ coef + 0.1 * rng.standard_normal(n)


sizes = 3_000, 10_000, 30_000, 100_000
errors = {name: np.empty((len(sizes), 3)) for name in models}
for i, n in enumerate(sizes):
    for seed in range(3):
        X, y = population(n, seed)
        for name, model in models.items():
            model.fit(X, y)
            errors[name][i, seed] = np.linalg.norm(model.coef_ - coef)

figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for (name, found), style in zip(errors.items(), ("o-", "s--", "^:"), strict=True):
    line = ax.loglog(sizes, np.median(found, axis=1), style)[0]
    ax.annotate(
        name,
        (sizes[-1], np.median(found[-1])),
        xytext=(8, 0),
        textcoords="offset points",
        color=line.get_color(),
        va="center",
    )
zero = np.linalg.norm(coef)
ax.axhline(zero, color="0.4", lw=1)
ax.annotate(
    "answering zero", (sizes[-1], zero), xytext=(8, 4), textcoords="offset points"
)
ax.set(xlabel="people", ylabel="error of the coefficients", xlim=(2_500, 350_000))
plt.show()

# %%
# With few people the answer is worse than none: all that is seen is noise.
#
# The ledger
# ----------
# What each group of people has spent. Nobody is asked twice.
model = models["epsilon = 2"]
for entry in model.privacy_ledger_:
    print(
        f"group {entry['group']}: {entry['group_size']} people, "
        f"epsilon {entry['epsilon']}, noise {entry['noise_scale']:.1f}"
    )
print(f"in all, by each: {model.epsilon_spent_}")
