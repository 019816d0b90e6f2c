"""
A clinical question: which markers change survival?
===================================================

What a biostatistician does: a table with numbers and categories, age and sex that stay
in the model whatever happens, markers of which few matter, censored times, two
hospitals with hazards of their own. The cohort is simulated, so that the truth is
known.
"""

# %%
# The table
# ---------
# Four hundred patients. Stage and two of twenty markers change the hazard; so does age.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sparsestat.linear_model import SparseCoxRegressorCV
from sparsestat.plotting import RegularizationPathDisplay

rng = np.random.default_rng(0)
n = 400
patients = pd.DataFrame(
    {
        "age": rng.normal(60, 10, n),
        "sex": rng.choice(["female", "male"], n),
        "stage": rng.choice(["I", "II", "III"], n),
        "ward": rng.choice(list("abcdef"), n),
    }
    | {f"marker {j}": rng.standard_normal(n) for j in range(20)}
)
hospital = rng.integers(0, 2, n)
risk = (
    0.04 * (patients["age"] - 60)
    + 0.8 * (patients["stage"] == "III")
    + 0.7 * patients["marker 0"]
    - 0.7 * patients["marker 1"]
)
death = rng.exponential(np.exp(-risk) * (1 + 2 * hospital))
end_of_study = rng.exponential(2.0, n)
y = np.column_stack([np.minimum(death, end_of_study), death <= end_of_study])
print(f"{int(y[:, 1].sum())} of {n} deaths were seen")

# %%
# Numbers are scaled and categories become columns, one for each level.
numbers = ["age"] + [f"marker {j}" for j in range(20)]
prepare = ColumnTransformer(
    [
        ("num", StandardScaler(), numbers),
        (
            "cat",
            OneHotEncoder(drop="first", sparse_output=False),
            ["sex", "stage", "ward"],
        ),
    ]
).set_output(transform="pandas")
X = prepare.fit_transform(patients)

# %%
# Covariates that stay
# --------------------
# A weight of zero leaves a feature without penalty: age and sex are adjusted for. The
# penalty of the others is chosen by five folds, with the hospitals as strata, and the
# largest is taken whose error is within one standard error of the best.
weights = np.ones(X.shape[1])
weights[[X.columns.get_loc(name) for name in ("num__age", "cat__sex_male")]] = 0.0
model = SparseCoxRegressorCV(feature_weights=weights, ties="efron", one_se=True)
model.fit(X, y, strata=hospital)
chosen = pd.Series(model.coef_, X.columns)
print(np.exp(chosen[chosen != 0]).round(2).rename("hazard ratio"))
print(model.certificate_)

# %%
# Levels of a category, in or out together
# ----------------------------------------
# ``groups="prefix"`` reads the groups from the names that the transformer gave:
# ``cat__stage_II`` and ``cat__stage_III`` are one. They are in the order of their first
# columns; a weight of zero leaves a group free, the others have the roots of their
# sizes.
groups = pd.Series([c.rsplit("_", 1)[0] if "cat__" in c else c for c in X.columns])
sizes = groups.value_counts(sort=False)
group_weights = np.sqrt(sizes)
group_weights[["num__age", "cat__sex"]] = 0.0
grouped = SparseCoxRegressorCV(
    penalty="group", groups="prefix", group_weights=group_weights, one_se=True
)
grouped.fit(X, y, strata=hospital)
print(groups[grouped.coef_ != 0].unique().tolist())

# %%
# The path, and two patients
# --------------------------
# Markers enter one by one. Survival at the first hospital is predicted for two
# patients, one young and at stage I, one old and at stage III.
_ = RegularizationPathDisplay.from_estimator(model)

# %%
pair = patients.iloc[:2].assign(age=[45.0, 75.0], stage=["I", "III"])
times = np.linspace(0.0, 3.0, 100)
curves = model.predict_survival(
    prepare.transform(pair), times=times, strata=np.zeros(2, dtype=int)
)
fig, ax = plt.subplots(layout="constrained")
for curve, (_, patient) in zip(curves, pair.iterrows(), strict=True):
    ax.step(
        times,
        curve,
        where="post",
        label=f"age {patient['age']:.0f}, stage {patient['stage']}",
    )
ax.set(xlabel="years", ylabel="probability to be alive", ylim=(0, 1))
_ = ax.legend()
