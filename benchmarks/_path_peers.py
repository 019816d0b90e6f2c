"""Paths of counts, survival times, groups and concave penalties for ``tables``.

And first fits.
"""

import subprocess
import sys
import tempfile

import numpy as np

_ADELIE = {
    "early_exit": False, "progress_bar": False, "adev_tol": 1.0, "ddev_tol": 0.0,
    "max_iters": 10_000_000,
}  # fmt: skip

_FIRST = """
import time, warnings
warnings.simplefilter("ignore")
import numpy as np
import sklearn.linear_model
rng = np.random.default_rng(0)
X = rng.standard_normal((200, 30))
y = X[:, 0] + rng.standard_normal(200)
start = time.perf_counter()
from {package} import {name}
{call}
first = time.perf_counter() - start
start = time.perf_counter()
{call}
print(first, time.perf_counter() - start)
"""


def _coefs(state):
    return np.asarray(state.betas.todense()).T, np.asarray(state.intercepts)


def poisson_paths(X, y, alphas):
    """Return {library: path(tolerance) -> (coefficients, intercepts)}."""
    from sparsestat.linear_model import SparsePoissonRegressor

    def ours(tol):
        path = SparsePoissonRegressor.path(X, y, alphas=alphas, tol=tol)
        return path.coefs, path.intercepts

    def adelie(tol):
        import adelie as ad

        return _coefs(
            ad.grpnet(
                X, ad.glm.poisson(y), lmda_path=alphas, tol=tol, irls_tol=tol, **_ADELIE
            )
        )

    return {"sparsestat": ours, "adelie": adelie}


def poisson_violation(X, y, w, b, alpha):
    """Largest violation of stationarity over alpha."""
    g = np.exp(X @ w + b) - y
    return _violation(X.T @ g / len(y), w, alpha, abs(g.mean()))


def cox_paths(X, time, event, alphas):
    """Return {library: path(tolerance) -> (coefficients, zeros)}."""
    from sparsestat.linear_model import SparseCoxRegressor

    y = np.column_stack([time, event])

    def ours(tol):
        path = SparseCoxRegressor.path(X, y, alphas=alphas, tol=tol)
        return path.coefs, np.zeros(len(alphas))

    def adelie(tol):
        import adelie as ad

        loss = ad.glm.cox(
            start=np.zeros(len(time)), stop=time, status=event.astype(float),
            tie_method="breslow",
        )  # fmt: skip
        state = ad.grpnet(
            X, loss, lmda_path=alphas, tol=tol, irls_tol=tol, intercept=False, **_ADELIE
        )
        return np.asarray(state.betas.todense()).T, np.zeros(len(alphas))

    return {"sparsestat": ours, "adelie": adelie}


def cox_violation(X, time, event, w, alpha):
    """Largest violation of stationarity over alpha; all times are distinct."""
    order = np.argsort(-time)
    eta = (X @ w)[order]
    mass = np.exp(eta - eta.max())
    hazard = np.where(event[order], 1.0 / np.cumsum(mass), 0.0)
    fitted = mass * np.cumsum(hazard[::-1])[::-1]
    g = np.empty(len(eta))
    g[order] = fitted - event[order]
    return _violation(X.T @ g / len(eta), w, alpha, 0.0)


def _violation(q, w, alpha, rest):
    active = np.abs(q + alpha * np.sign(w))
    worst = np.where(w != 0, active, np.maximum(np.abs(q) - alpha, 0)).max()
    return max(worst, rest) / alpha


def group_paths(X, y, size, alphas):
    """Return {library: path(tolerance) -> coefficients (p, n_alphas)}."""
    from sparsestat.linear_model import GroupLasso

    def adelie(tol):
        import adelie as ad

        state = ad.grpnet(
            X, ad.glm.gaussian(y), groups=np.arange(0, X.shape[1], size),
            lmda_path=alphas, tol=tol, **_ADELIE,
        )  # fmt: skip
        return np.asarray(state.betas.todense()).T

    return {
        "sparsestat": lambda tol: (
            GroupLasso(groups=size, tol=tol).path(X, y, alphas=alphas).coefs
        ),
        "adelie": adelie,
    }


def group_gap(X, y, w, size, alpha):
    """Duality gap of the group Lasso with an intercept, over the norm of y, squared."""
    y = y - y.mean()
    r = y - X @ w
    r -= r.mean()
    lam = len(y) * alpha * np.sqrt(size)
    top = np.linalg.norm((X.T @ r).reshape(-1, size), axis=1).max()
    primal = 0.5 * r @ r + lam * np.linalg.norm(w.reshape(-1, size), axis=1).sum()
    theta = r / max(lam, top)
    return (primal - lam * theta @ y + 0.5 * lam**2 * theta @ theta) / (y @ y)


def concave_paths(kind, X, y, alphas):
    """Return {library: path(tolerance) -> coefficients}; X and y are standardized."""
    import sparsestat.linear_model as ssl

    cls = {"mcp": ssl.MCPRegressor, "scad": ssl.SCADRegressor}[kind]
    skglm = _skglm_paths(kind)
    return {
        "sparsestat": lambda tol: cls.path(X, y, alphas=alphas, tol=tol).coefs,
        "skglm": lambda tol: skglm(X, y, alphas, tol * alphas[0]),
    }


def _skglm_paths(kind):
    compiled = {}

    def path(X, y, alphas, tol):
        from skglm.datafits import Quadratic
        from skglm.penalties import SCAD, MCPenalty
        from skglm.solvers import AndersonCD
        from skglm.utils.jit_compilation import compiled_clone

        if not compiled:
            penalty = MCPenalty(1.0, 3.0) if kind == "mcp" else SCAD(1.0, 3.7)
            compiled["penalty"] = compiled_clone(penalty)
            compiled["loss"] = compiled_clone(Quadratic())
        solver = AndersonCD(fit_intercept=False, tol=tol, max_iter=100)
        return solver.path(X, y, compiled["loss"], compiled["penalty"], alphas)[1]

    return path


def concave_searches(X, y):
    """Return {library: search(tolerance) -> (coefficients, alpha)} by five folds."""
    from sklearn.model_selection import KFold

    from sparsestat.linear_model import MCPRegressorCV

    alphas = np.geomspace(1.0, 1e-3, 100) * np.abs(X.T @ y).max() / len(y)
    skglm = _skglm_paths("mcp")

    def ours(tol):
        model = MCPRegressorCV(alphas=alphas, cv=5, tol=tol).fit(X, y)
        return model.coef_, model.alpha_

    def loop(tol):
        # It has no search of its own.
        tol, errors = tol * alphas[0], np.zeros(100)
        for train, test in KFold(5).split(X):
            center, middle = X[train].mean(axis=0), y[train].mean()
            Z = np.asfortranarray(X[train] - center)
            W = skglm(Z, y[train] - middle, alphas, tol)
            rest = y[test, None] - middle - (X[test] - center) @ W
            errors += (rest**2).mean(axis=0)
        best = int(np.argmin(errors))
        return skglm(X, y, alphas, tol)[:, best], alphas[best]

    return {"sparsestat": ours, "skglm": loop}


def concave_violation(kind, X, y, w, alpha):
    """Largest violation of stationarity, over the largest gradient at zero.

    Of standardized columns, for which the textbook formulas hold.
    """
    q, t = X.T @ (y - X @ w) / len(y), np.abs(w)
    if kind == "mcp":
        slope = np.maximum(alpha - t / 3.0, 0.0)
    else:
        slope = np.where(t <= alpha, alpha, np.maximum(3.7 * alpha - t, 0.0) / 2.7)
    active = np.abs(q - np.sign(w) * slope)
    worst = np.where(w != 0, active, np.maximum(np.abs(q) - alpha, 0)).max()
    return worst / (np.abs(X.T @ y).max() / len(y))


def first_fits():
    """Return rows of first calls in new processes: empty cache, filled cache, again."""
    ours = "sparsestat.linear_model"
    labels = "{name}.path(X, y > 0)"
    tasks = [
        ("LassoCV, 200 x 30", ours, "LassoCV", "LassoCV().fit(X, y)"),
        ("LassoCV, 200 x 30", "sklearn.linear_model", "LassoCV", "LassoCV().fit(X, y)"),
        ("logistic path, 200 x 30", ours, "SparseLogisticRegression", labels),
    ]
    rows = []
    for task, package, name, call in tasks:
        code = _FIRST.format(package=package, name=name, call=call.format(name=name))
        with tempfile.TemporaryDirectory() as cache:
            cold, _ = _seconds(code, cache)
            first, warm = _seconds(code, cache)
        library = package.partition(".")[0].replace("sklearn", "scikit-learn")
        values = (("empty cache", cold), ("first", first), ("warm", warm))
        rows += [
            [task, f"call, {what}", library, f"{1e3 * value:.3g}", "", ""]
            for what, value in values
        ]
    return rows


def _seconds(code, cache):
    import os

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"NUMBA_CACHE_DIR": cache},
    )
    return map(float, done.stdout.split())
