"""Paths and cross-validation on ordinary tables, against the quickest peers."""

import sys
import time
import warnings

import numpy as np
from scipy import sparse

from benchmarks._harness import leaping_setting, measure, milliseconds
from benchmarks._path_peers import (
    concave_paths,
    concave_searches,
    concave_violation,
    cox_paths,
    cox_violation,
    first_fits,
    group_gap,
    group_paths,
    poisson_paths,
    poisson_violation,
)
from benchmarks._texts import text_rows
from sparsestat.datasets import make_sparse_regression

PEERS = ("python-glmnet", "adelie", "celer", "skglm")
SEARCH = 5  # times the time of the runs that count, for the search of a tolerance
GOAL = 1e-6  # worst relative duality gap along a path
LADDER = tuple(10.0 ** (-0.5 * k) for k in range(6, 29))


def tables(quick):
    """Yield (name, X, y) with y real."""
    rng = np.random.default_rng(201)
    shrink = 10 if quick else 1
    sizes = [(200, 50, 0.0), (506, 13, 0.5), (3000, 300, 0.0), (20_000, 500, 0.0)]
    sizes += [(2000, 2000, 0.7), (500, 5000, 0.5)]
    for n, p, rho in sizes:
        n, p = max(n // shrink, 50), max(p // shrink, 10)
        made = make_sparse_regression(
            n, p, n_nonzero=min(20, p // 2), design="toeplitz", rho=rho, snr=3,
            random_state=rng.integers(1 << 30),
        )  # fmt: skip
        yield f"{n} x {p}, rho {rho}", np.asfortranarray(made.X), made.y
    n, p = 5000 // shrink, 50_000 // shrink
    made = make_sparse_regression(
        n, p, n_nonzero=min(50, n // 10), design="iid", density=1e-3 * shrink, snr=3,
        random_state=rng.integers(1 << 30),
    )  # fmt: skip
    yield f"CSC {n} x {p}, density 1e-3", sparse.csc_matrix(made.X), made.y


def centered_gap(X, y, w, alpha):
    """Duality gap of the Lasso with an intercept, over the squared norm of y."""
    y = y - y.mean()
    r = y - X @ w
    r -= r.mean()
    lam = len(y) * alpha
    primal = 0.5 * r @ r + lam * np.abs(w).sum()
    theta = r / max(lam, np.abs(X.T @ r).max())
    return (primal - lam * theta @ y + 0.5 * lam**2 * theta @ theta) / (y @ y)


def lasso_paths(X, y, alphas):
    """Return {library: path(tolerance) -> coefficients (p, n_alphas)}."""
    from sklearn.linear_model import lasso_path as sklearn_path

    from sparsestat.linear_model import lasso_path

    def glmnet(tol):
        from glmnet import ElasticNet

        model = ElasticNet(
            alpha=1, n_splits=0, standardize=False, lambda_path=alphas, tol=tol,
            max_iter=10_000_000,
        )  # fmt: skip
        return model.fit(X, y).coef_path_

    def adelie(tol):
        import adelie as ad

        state = ad.grpnet(
            X, ad.glm.gaussian(y), lmda_path=alphas, tol=tol, early_exit=False,
            progress_bar=False, adev_tol=1.0, ddev_tol=0.0, max_iters=10_000_000,
        )  # fmt: skip
        return np.asarray(state.betas.todense()).T

    def celer(tol):
        import celer

        Z, z = X, y
        if not sparse.issparse(X):
            Z, z = X - X.mean(axis=0), y - y.mean()
        return celer.celer_path(
            Z, z, "lasso", alphas=alphas, tol=tol, max_iter=1000, max_epochs=100_000
        )[1]

    def theirs(tol):
        Z, z = (X, y) if sparse.issparse(X) else (X - X.mean(axis=0), y - y.mean())
        return sklearn_path(Z, z, alphas=alphas, tol=tol, max_iter=1_000_000)[1]

    libraries = {
        "sparsestat": lambda tol: (
            lasso_path(X, y, alphas=alphas, tol=tol, fit_intercept=True).coefs
        ),
        "glmnet": glmnet,
    }
    if not sparse.issparse(X):
        # Sparse columns are not centered by these: another problem.
        libraries |= {"adelie": adelie, "celer": celer, "scikit-learn": theirs}
    return libraries


def logistic_violation(X, y, w, b, alpha):
    """Largest violation of stationarity over alpha."""
    g = 1 / (1 + np.exp(-(X @ w + b))) - y
    q = X.T @ g / len(y)
    active = np.abs(q + alpha * np.sign(w))
    worst = np.where(w != 0, active, np.maximum(np.abs(q) - alpha, 0)).max()
    return max(worst, abs(g.mean())) / alpha


def logistic_paths(X, y, alphas):
    """Return {library: path(tolerance) -> (coefficients, intercepts)}."""
    from sparsestat.linear_model import SparseLogisticRegression

    def ours(tol):
        path = SparseLogisticRegression.path(X, y, alphas=alphas, tol=tol)
        return path.coefs, path.intercepts

    def glmnet(tol):
        from glmnet import LogitNet

        model = LogitNet(
            alpha=1, n_splits=0, standardize=False, lambda_path=alphas, tol=tol,
            max_iter=10_000_000,
        ).fit(X, y)  # fmt: skip
        return np.squeeze(model.coef_path_), np.squeeze(model.intercept_path_)

    def adelie(tol):
        import adelie as ad

        state = ad.grpnet(
            X, ad.glm.binomial(y.astype(np.float64)), lmda_path=alphas, tol=tol,
            irls_tol=tol, early_exit=False, progress_bar=False, adev_tol=1.0,
            ddev_tol=0.0, max_iters=10_000_000,
        )  # fmt: skip
        return np.asarray(state.betas.todense()).T, np.asarray(state.intercepts)

    return {"sparsestat": ours, "glmnet": glmnet, "adelie": adelie}


def searches(X, y):
    """Return {task: {library: fit(tolerance) -> (coefficients, alpha, ratio)}}."""
    from sklearn import linear_model

    from sparsestat.linear_model import ElasticNetCV, LassoCV

    def fit(cls, tol, **options):
        model = cls(cv=5, tol=tol, **options).fit(X, y)
        return model.coef_, model.alpha_

    return {
        "LassoCV, 5 folds": {
            "sparsestat": lambda tol: fit(LassoCV, tol),
            "scikit-learn": lambda tol: fit(
                linear_model.LassoCV, tol, max_iter=1_000_000
            ),
        },
        "ElasticNetCV, 2 ratios": {
            "sparsestat": lambda tol: fit(ElasticNetCV, tol, l1_ratio=[0.999, 1.0]),
            "scikit-learn": lambda tol: fit(
                linear_model.ElasticNetCV, tol, l1_ratio=[0.999, 1.0],
                max_iter=1_000_000,
            ),
        },
    }  # fmt: skip


def compare(name, task, candidates, accuracy, goal, repeat, limit):
    """Time every library at its loosest setting that reaches the goal."""
    found = {}
    for library, fit in candidates.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit(LADDER[0])  # compiles, which no limit counts
            setting, reached_gap, reached = leaping_setting(
                fit, accuracy, LADDER, goal, SEARCH * limit
            )
            timing = measure(
                lambda fit=fit, setting=setting: fit(setting), repeat, budget=limit
            )
            found[library] = (timing, reached_gap, reached)
            print(name, task, library, milliseconds(timing), file=sys.stderr)
        except Exception as error:
            warnings.warn(f"{library} on {name}: {error!r}")
    own = found["sparsestat"][0].median
    return [
        [
            name,
            task,
            library,
            milliseconds(timing),
            f"{gap:.0e}" + ("" if reached else " (goal missed)"),
            "1" if library == "sparsestat" else f"{timing.median / own:.2f}",
        ]
        for library, (timing, gap, reached) in found.items()
    ]


def likelihood_rows(quick, repeat, limit):
    """Paths of 50 strengths on counts and on survival times."""
    rng = np.random.default_rng(202)
    rows = []
    shrink = 5 if quick else 1
    for n, p in ((200, 50), (500, 2000), (5000, 200)):
        n, p = max(n // shrink, 60), max(p // shrink, 10)
        X = np.asfortranarray(rng.standard_normal((n, p)))
        signal = 0.3 * X[:, :10] @ rng.choice([-1.0, 1.0], 10)
        y = rng.poisson(np.exp(signal)).astype(np.float64)
        top = np.abs(X.T @ (y - y.mean())).max() / n
        alphas = np.geomspace(top, top / 100, 50)

        def missing(found, X=X, y=y, alphas=alphas):
            return max(
                poisson_violation(X, y, found[0][:, k], found[1][k], alphas[k])
                for k in range(0, 50, 7)
            )

        rows += compare(
            f"{n} x {p}, counts", "Poisson path of 50", poisson_paths(X, y, alphas),
            missing, 1e-3, repeat, limit,
        )  # fmt: skip
        if n == 5000:
            continue
        times = rng.exponential(np.exp(-signal))
        event = rng.random(n) < 0.7
        g = cox_null_gradient(times, event)
        top = np.abs(X.T @ g).max() / n
        alphas = np.geomspace(top, top / 20, 50)

        def violation(found, X=X, times=times, event=event, alphas=alphas):
            return max(
                cox_violation(X, times, event, found[0][:, k], alphas[k])
                for k in range(0, 50, 7)
            )

        rows += compare(
            f"{n} x {p}, survival", "Cox path of 50",
            cox_paths(X, times, event, alphas), violation, 1e-3, repeat, limit,
        )  # fmt: skip
    return rows


def cox_null_gradient(times, event):
    """Gradient of the partial likelihood where all coefficients are zero."""
    order = np.argsort(-times)
    at_risk = np.arange(1, len(times) + 1)
    hazard = np.where(event[order], 1.0 / at_risk, 0.0)
    g = np.empty(len(times))
    g[order] = np.cumsum(hazard[::-1])[::-1] - event[order]
    return g


def group_rows(quick, repeat, limit):
    """Paths of 50 strengths with groups of five features."""
    rng = np.random.default_rng(203)
    rows = []
    shrink = 5 if quick else 1
    for n, p in ((200, 50), (500, 2000), (5000, 300)):
        n, p = n // shrink, max(p // shrink // 5 * 5, 10)
        X = np.asfortranarray(rng.standard_normal((n, p)))
        y = X[:, :10] @ rng.standard_normal(10) + rng.standard_normal(n)
        norms = np.linalg.norm((X.T @ (y - y.mean())).reshape(-1, 5), axis=1)
        top = norms.max() / np.sqrt(5) / n
        alphas = np.geomspace(top, top / 100, 50)

        def worst(coefs, X=X, y=y, alphas=alphas):
            return max(
                group_gap(X, y, coefs[:, k], 5, alphas[k]) for k in range(0, 50, 7)
            )

        rows += compare(
            f"{n} x {p}, groups of 5", "group Lasso path of 50",
            group_paths(X, y, 5, alphas), worst, GOAL, repeat, limit,
        )  # fmt: skip
    return rows


def concave_rows(quick, repeat, limit):
    """Paths of 100 strengths of MCP and SCAD, and a search, on standardized columns."""
    rows = []
    shrink = 5 if quick else 1
    sizes = ((200, 50, 0.0), (506, 13, 0.5), (3000, 300, 0.0), (500, 5000, 0.5))
    for size in (*sizes, (200, 30, 0.0)):
        n, p, rho = size
        n, p = max(n // shrink, 60), max(p // shrink, 10)
        made = make_sparse_regression(
            n, p, n_nonzero=min(20, p // 2), design="toeplitz", rho=rho, snr=3,
            random_state=n + p,
        )  # fmt: skip
        X, y = made.X - made.X.mean(axis=0), made.y - made.y.mean()
        X = np.asfortranarray(X / X.std(axis=0))
        name = f"{n} x {p}, rho {rho}"
        top = np.abs(X.T @ y).max() / n
        alphas = np.geomspace(top, top / (100 if p > n else 1000), 100)
        if size not in sizes:
            rows += compare(
                name, "MCPRegressorCV, 5 folds", concave_searches(X, y),
                lambda found, X=X, y=y: concave_violation("mcp", X, y, *found), 1e-5,
                repeat, limit,
            )  # fmt: skip
            continue
        for kind in ("mcp", "scad"):

            def worst(coefs, kind=kind, X=X, y=y, alphas=alphas):
                return max(
                    concave_violation(kind, X, y, coefs[:, k], alphas[k])
                    for k in range(0, 100, 9)
                )

            rows += compare(
                name, f"{kind.upper()} path of 100",
                concave_paths(kind, X, y, alphas), worst, 1e-5, repeat, limit,
            )  # fmt: skip
    return rows


def run(quick=False):
    rows = []
    begin = time.perf_counter()
    limit, repeat = (2.0, 2) if quick else (6.0, 5)
    for name, X, y in tables(quick):
        top = np.abs(X.T @ (y - y.mean())).max() / len(y)
        alphas = np.geomspace(top, top / 1000, 100)

        def worst(coefs, X=X, y=y, alphas=alphas):
            return max(
                centered_gap(X, y, coefs[:, k], alphas[k]) for k in range(0, 100, 9)
            )

        rows += compare(
            name, "Lasso path of 100", lasso_paths(X, y, alphas), worst, GOAL, repeat,
            limit,
        )  # fmt: skip
        if sparse.issparse(X) or X.shape[0] * X.shape[1] > 3_000_000:
            continue
        labels = (y > np.median(y)).astype(int)
        top = np.abs(X.T @ (labels - labels.mean())).max() / len(y)
        strengths = np.geomspace(top, top / 100, 50)

        def violation(found, X=X, labels=labels, strengths=strengths):
            coefs, intercepts = found
            return max(
                logistic_violation(X, labels, coefs[:, k], intercepts[k], strengths[k])
                for k in range(0, 50, 7)
            )

        rows += compare(
            name, "logistic path of 50", logistic_paths(X, labels, strengths),
            violation, 1e-3, repeat, limit,
        )  # fmt: skip
        if X.shape[1] > 500:
            continue
        for task, candidates in searches(X, y).items():
            rows += compare(
                name, task, candidates,
                lambda found, X=X, y=y: centered_gap(X, y, *found), GOAL, repeat, limit,
            )  # fmt: skip
    rows += likelihood_rows(quick, repeat, limit)
    rows += group_rows(quick, repeat, limit)
    rows += concave_rows(quick, repeat, limit)
    rows += text_rows(quick, repeat, limit)
    rows += first_fits()
    return {
        "title": "Tables",
        "claim": (
            "Time to a worst relative duality gap of 1e-6 along 100 strengths from "
            "alpha_max to alpha_max / 1000 (logistic: 50 strengths to alpha_max / 100, "
            "largest violation of stationarity 1e-3 of alpha), measured outside the "
            "libraries on the data; with an intercept, validation included."
        ),
        "columns": ["data", "task", "library", "ms", "gap", "time / ours"],
        "rows": rows,
        "notes": [
            "One thread, median and half range of 5 runs, fewer where they take more "
            "than 6 s; every library at its loosest tolerance that reaches the goal.",
            "The search for that tolerance ends after 30 s: rows that then still miss "
            "the goal are times to different accuracies, and their ratios say little.",
            "On sparse columns adelie, celer and scikit-learn's path do not center: "
            "they are left out there.",
            "Searches on texts: tf-idf of generated word counts, least mean log loss "
            "of five folds; 100 strengths of ours, each to a gap of 1e-4, against "
            "scikit-learn's LogisticRegressionCV with 10 values of C.",
            "MCP and SCAD: columns of unit variance, strengths down to alpha_max / "
            "1000 (100 with more columns than rows), violations of stationarity up to "
            "1e-5 of the largest gradient at zero; skglm's search loops over folds.",
            f"The whole benchmark took {time.perf_counter() - begin:.0f} s.",
        ],
    }
