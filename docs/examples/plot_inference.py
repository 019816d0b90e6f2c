"""
Which features can be trusted
=============================

Four ways to ask whether the features of a sparse model are real, on the measurements
of diabetes patients and their products.
"""

# %%
# Again and again on halves
# -------------------------
# The Lasso on halves of the patients: five features a half, and those that three of
# four halves select. The expected number of false ones is bounded.
import numpy as np

from sparsestat.datasets import load_diabetes_interactions
from sparsestat.inference import (
    DebiasedLasso,
    KnockoffSelector,
    LassoSelectiveInference,
    ScaledLasso,
    StabilitySelection,
)
from sparsestat.plotting import (
    IntervalDisplay,
    KnockoffDisplay,
    StabilityPathDisplay,
)

data = load_diabetes_interactions(degree=2)
X = data.data / data.data.std(axis=0)
y, names = data.target, data.feature_names
stable = StabilitySelection(random_state=0).fit(X, y)
print(stable.summary(names).head(6))
_ = StabilityPathDisplay.from_estimator(stable, feature_names=names)

# %%
# Against a competitor
# --------------------
# Every feature has a knockoff that cannot have an effect. One in five of those selected
# may be false, on average. The copies are drawn, and another draw may select nothing:
# the numbers selected by five other ones are printed beside.
knockoffs = KnockoffSelector(construction="fixed", fdr=0.2, random_state=0).fit(X, y)
others = [
    KnockoffSelector(construction="fixed", fdr=0.2, random_state=seed).fit(X, y)
    for seed in range(1, 6)
]
print([int(other.get_support().sum()) for other in others])
print([names[j] for j in knockoffs.get_support(indices=True)])
print(knockoffs.certificate_.details["assumption"])
_ = KnockoffDisplay.from_estimator(knockoffs, feature_names=names)

# %%
# How large the effects are
# -------------------------
# The noise level first, then intervals for all coefficients.
noise = ScaledLasso().fit(X, y)
print(f"noise level {noise.sigma_df_:.1f}, standard deviation of y {y.std():.1f}")
intervals = DebiasedLasso(multiple_testing="holm").fit(X, y)
table = intervals.summary(names)
print(table[["estimate", "lower", "upper", "p_corrected"]].head(6).round(3))
_ = IntervalDisplay.from_estimator(intervals, feature_names=names).plot(max_features=15)

# %%
# Given what the Lasso has selected
# ---------------------------------
# Intervals for the features of one fit that do not forget the selection. They are long:
# some of these features are close to not being selected.
selected = LassoSelectiveInference(alpha=4.0).fit(X, y)
print(selected.summary(names).round(3))
half = (selected.conf_int_[:, 1] - selected.conf_int_[:, 0]) / 2
print("half lengths in standard errors", np.round(half / selected.standard_errors_, 1))
