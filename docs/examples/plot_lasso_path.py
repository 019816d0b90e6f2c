"""
A certified Lasso path on the diabetes data
===========================================

All products of ten measurements up to degree three make 274 features for 442
patients. Most of them are useless. We let the Lasso choose, look at its path, and ask
how far each answer can be trusted.
"""

# %%
# Fit
# ---
# The columns get a common scale, and cross-validation chooses the strength of the
# penalty. The rule of one standard error prefers a sparser model that predicts
# about as well as the best one.
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sparsestat.datasets import load_diabetes_interactions
from sparsestat.linear_model import LassoCV

data = load_diabetes_interactions(degree=3)
X_train, X_test, y_train, y_test = train_test_split(
    data.data, data.target, random_state=0
)
models = {
    "least error": LassoCV(eps=1e-2, cv=5, n_jobs=2),
    "one standard error": LassoCV(eps=1e-2, cv=5, n_jobs=2, one_se=True),
    "EBIC": LassoCV(eps=1e-2, criterion="ebic"),
}
for name, model in models.items():
    pipeline = make_pipeline(StandardScaler(), model).fit(X_train, y_train)
    n_chosen = (model.coef_ != 0).sum()
    score = pipeline.score(X_test, y_test)
    print(
        f"{name:20s}alpha {model.alpha_:5.2f}, {n_chosen:3d} features, R2 {score:.3f}"
    )

# %%
# The path
# --------
# From left to right the penalty gets weaker and more features enter. Below, the
# error of each fold and its mean; the vertical line marks the strength that was
# chosen.
from sparsestat.plotting import RegularizationPathDisplay

RegularizationPathDisplay.from_estimator(
    models["least error"], feature_names=data.feature_names
)

# %%
# What was proved
# ---------------
# Each fit returned its duality gap: the objective is at most this much above the
# smallest possible one, relative to the squared norm of the response.
from sparsestat.plotting import CertificateDisplay

CertificateDisplay.from_estimators(models)
