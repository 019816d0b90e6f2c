"""Robust PCA: cvxpy, optimality conditions, exact recovery, missing entries."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sparsestat._utils.arithmetic import rounding
from sparsestat.decomposition import RobustPCA, low_rank_plus_sparse
from sparsestat.decomposition._low_rank import _split as split
from sparsestat.exceptions import ConvergenceWarning


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


def corrupted(shape, rank, share, rng):
    """Return a low-rank and a sparse matrix."""
    L = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    hit = rng.random(shape) < share
    S = np.where(hit, 10.0 * np.abs(L).mean() * rng.uniform(-1, 1, shape), 0.0)
    return L, S


@pytest.mark.parametrize("hidden", [0.0, 0.2])
def test_convex_method_agrees_with_cvxpy(hidden, rng):
    cp = pytest.importorskip("cvxpy")
    X = rng.standard_normal((20, 20))
    mask = rng.random(X.shape) >= hidden
    lam = 0.3
    model = RobustPCA(lam=lam, tol=1e-6, max_iter=5000).fit(
        X, mask=mask if hidden else None
    )
    L = cp.Variable(X.shape)
    known = cp.multiply(mask.astype(float), X - L)
    problem = cp.Problem(cp.Minimize(cp.normNuc(L) + lam * cp.sum(cp.abs(known))))
    problem.solve(solver=cp.CLARABEL)
    assert_allclose(model.objective_, problem.value, rtol=1e-5)


def test_duality_gap_can_be_recomputed(rng):
    X = rng.standard_normal((40, 25))
    model = RobustPCA(random_state=0, tol=1e-6, max_iter=5000).fit(X)
    lam, Y, L = 1 / np.sqrt(40), model.dual_, model.low_rank_
    assert np.linalg.norm(Y, 2) <= 1 + 1e-12 and np.abs(Y).max() <= lam + 1e-12
    primal = np.linalg.norm(L, "nuc") + lam * np.abs(X - L).sum()
    assert_allclose(model.objective_, primal, rtol=1e-9)
    details = model.certificate_.details
    assert_allclose(details["dual_objective"], np.vdot(X, Y), rtol=1e-9)
    gap = (primal - np.vdot(X, Y)) / primal
    assert -1e-12 <= gap <= 1e-6
    assert model.certificate_.satisfied and model.certificate_.kind == "duality_gap"


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(
    ("max_iter", "tol"), [(1, 1e-6), (3, 1e-6), (23, 1e-6), (23, 10.0), (5000, 1e-5)]
)
def test_both_sides_of_the_gap_are_those_of_what_is_returned(hidden, max_iter, tol):
    rng = np.random.default_rng(0)
    D, lam = 5.0 * rng.standard_normal((12, 9)), 0.3
    mask = rng.random(D.shape) > 0.2 if hidden else None
    known = np.where(mask, D, 0.0) if hidden else D
    found = split.principal_component_pursuit(
        np.where(mask, D, 1e3) if hidden else D,
        lam,
        observed=mask,
        tol=tol,
        max_iter=max_iter,
        rng=0,
    )
    L, S, Y = found.low_rank, found.sparse.toarray(), found.dual
    rest = known - L if mask is None else np.where(mask, known - L, 0.0)
    objective = np.linalg.norm(L, "nuc") + lam * np.abs(rest).sum()
    assert_allclose(found.objective, objective, rtol=1e-10)
    assert_allclose(found.dual_objective, np.vdot(Y, known), rtol=1e-12, atol=1e-14)
    assert np.linalg.norm(Y, 2) <= 1 + 1e-12 and np.abs(Y).max() <= lam * (1 + 1e-12)
    gap = (objective - found.dual_objective) / objective
    assert found.dual_objective <= objective
    assert_allclose(found.history[-1], gap, rtol=1e-7, atol=1e-12)
    residual = np.linalg.norm(rest - S) / np.linalg.norm(known)
    assert_allclose(found.residual, residual, rtol=1e-6, atol=1e-12)
    assert_allclose(
        found.singular_values,
        np.linalg.svd(L)[1][: len(Y)][: len(found.singular_values)],
        rtol=1e-8,
    )
    assert found.converged == (gap <= tol and residual <= tol)
    assert len(found.history) == found.n_iter <= max_iter
    assert found.converged == (tol == 10.0 or max_iter == 5000)
    if hidden:
        assert not Y[~mask].any() and not S[~mask].any()


def test_a_pursuit_that_is_stopped_has_not_converged():
    D, told = np.random.default_rng(0).standard_normal((8, 6)), []

    def step(gap):
        told.append(gap)
        return len(told) == 4

    found = split.principal_component_pursuit(D, 0.3, rng=0, step=step)
    assert found.n_iter == 4 and told == found.history and not found.converged
    found = split.principal_component_pursuit(D, 0.3, tol=9.0, rng=0, step=lambda g: 1)
    assert found.n_iter == 1 and found.converged
    # Nor one whose parts do not add up, however small its gap.
    D = 5.0 * np.random.default_rng(0).standard_normal((12, 9))
    found = split.principal_component_pursuit(D, 0.6, tol=0.35, max_iter=1, rng=0)
    gap = 1.0 - found.dual_objective / found.objective
    assert gap < 0.32 and found.residual > 0.38 and not found.converged


def test_dual_points_are_scaled_into_both_balls():
    D = np.arange(6.0).reshape(2, 3)
    Y = np.diag([3.0, 0.5])[:, [0, 1, 1]] * np.array([1.0, 1.0, 0.0])
    mask = np.array([[True, False, True], [True, True, False]])
    product = 0.5 * 4.0  # of the diagonals
    for lam, exact, scale in (
        (1.0, False, 3.0),
        (1.0, True, 3.0),
        (4.0, False, 1.0),
        (4.0, True, 3.0),
        (0.5, True, 6.0),
        (0.0, False, 1.0),
    ):
        for observed in (None, mask):
            bound, found = split._dual_bound(Y, D, lam, observed, exact)
            assert found == pytest.approx(scale)
            assert bound == pytest.approx(product / scale)
    hidden = np.zeros_like(mask)
    assert split._dual_bound(Y, D, 1.0, hidden, False)[0] == 0.0


def test_units_of_the_parts_of_zeros_and_of_others():
    nothing = split._empty(np.ones((3, 4)))
    assert nothing.converged and nothing.n_iter == 1 and nothing.history == [0.0]
    assert nothing.objective == nothing.dual_objective == nothing.residual == 0.0
    assert not nothing.low_rank.any() and nothing.low_rank.shape == (3, 4)
    assert nothing.components.shape == (0, 4) and nothing.singular_values.shape == (0,)
    assert not nothing.dual.any() and nothing.sparse.nnz == 0
    D = np.random.default_rng(0).standard_normal((8, 6))
    one = split.principal_component_pursuit(D, 0.3, max_iter=9, rng=0)
    four = split.in_units(one, 4.0)
    for name in ("low_rank", "singular_values", "objective", "dual_objective"):
        assert_array_equal(getattr(four, name), 4.0 * getattr(one, name))
    assert_array_equal(four.sparse.toarray(), 4.0 * one.sparse.toarray())
    assert four.residual == one.residual and four.history == one.history
    assert_array_equal(four.dual, one.dual)


def test_optimality_conditions(rng):
    L, S = corrupted((60, 50), 3, 0.05, rng)
    model = RobustPCA(random_state=0, tol=1e-8, max_iter=5000).fit(L + S)
    Y, lam, V = model.dual_, 1 / np.sqrt(60), model.components_
    E = model.sparse_.toarray()
    big = np.abs(E) > 1e-3
    assert_allclose(Y[big], lam * np.sign(E[big]), atol=1e-4)
    U = model.low_rank_ @ V.T / model.singular_values_
    assert_allclose(Y @ V.T, U, atol=1e-4)


@pytest.mark.parametrize("method", ["ialm", "altproj", "godec"])
def test_parts_are_recovered(method, rng):
    L, S = corrupted((120, 90), 4, 0.05, rng)
    arguments = {} if method == "ialm" else {"n_components": 4}
    share = (S != 0).mean()
    model = RobustPCA(
        method=method, sparsity=share, tol=1e-7, random_state=0, **arguments
    )
    model.fit(L + S)
    assert model.rank_ == 4
    assert np.linalg.norm(model.low_rank_ - L) <= 1e-5 * np.linalg.norm(L)
    assert np.linalg.norm(model.sparse_.toarray() - S) <= 1e-5 * np.linalg.norm(L)
    assert_allclose(model.components_ @ model.components_.T, np.eye(4), atol=1e-10)


def test_the_published_problem_is_recovered(rng):
    L, S = corrupted((200, 200), 10, 0.05, rng)  # published with 400 and 20
    model = RobustPCA(3, tol=1e-6, random_state=0).fit(L + S)
    assert model.components_.shape == (3, 200)
    assert model.rank_ == 10 and model.certificate_.satisfied
    assert np.linalg.norm(model.low_rank_ - L) <= 1e-5 * np.linalg.norm(L)


def test_heavy_corruption_at_a_known_rank(rng):
    L, S = corrupted((250, 250), 3, 0.4, rng)
    model = RobustPCA(3, method="altproj", tol=1e-7, random_state=0).fit(L + S)
    assert np.linalg.norm(model.low_rank_ - L) <= 1e-6 * np.linalg.norm(L)


def test_blocks_of_rows_give_what_whole_matrices_give(rng):
    L, S = corrupted((200, 70), 3, 0.1, rng)
    D, zeta = L + S, 0.7
    U, s, Vt = np.linalg.svd(L + 0.1, full_matrices=False)
    U, s, V = U[:, :3], s[:3], Vt[:3].T
    low = (U * s) @ V.T
    Z = np.where(np.abs(D - low) > zeta, low, D)
    ZV, ZtU, rest = split._tangent_products(D, U, s, V, zeta)
    assert_allclose(ZV, Z @ V, atol=1e-10)
    assert_allclose(ZtU, Z.T @ U, atol=1e-10)
    assert_allclose(rest, ((Z - low) ** 2).sum(), rtol=1e-10)


def test_trimmed_factors_are_incoherent_and_change_nothing_else(rng):
    L, S = corrupted((150, 100), 3, 0.1, rng)
    options = {"method": "altproj", "tol": 1e-8, "random_state": 0}
    model = RobustPCA(3, incoherence=20.0, **options).fit(L + S)
    assert np.linalg.norm(model.low_rank_ - L) <= 1e-6 * np.linalg.norm(L)
    # One heavy row: its share of the singular vectors comes down.
    L[0] *= 100.0
    U, s, Vt = np.linalg.svd(L, full_matrices=False)
    before = U[:, :3], s[:3], Vt[:3].T
    U, s, V = split._trim(*before, 2.0)
    for F in (U, V):
        assert_allclose(F.T @ F, np.eye(3), atol=1e-12)
    low = (U * s) @ V.T
    assert np.linalg.norm(low[0]) < 0.3 * np.linalg.norm(L[0])
    # Within the bound nothing changes.
    low = (before[0] * before[1]) @ before[2].T
    U, s, V = split._trim(*before, 150.0)
    assert_allclose((U * s) @ V.T, low, atol=1e-9)


def test_missing_entries_are_filled_in(rng):
    L, S = corrupted((80, 60), 2, 0.03, rng)
    mask = rng.random(L.shape) > 0.2
    X = np.where(mask, L + S, 1e6)  # what is hidden is not read
    model = RobustPCA(random_state=0, tol=1e-6, max_iter=5000).fit(X, mask=mask)
    assert np.linalg.norm(model.low_rank_ - L) <= 1e-3 * np.linalg.norm(L)
    assert not model.sparse_.toarray()[~mask].any()


def test_codes_of_new_samples_ignore_gross_errors(rng):
    L, S = corrupted((200, 60), 3, 0.05, rng)
    model = RobustPCA(random_state=0).fit((L + S)[:150])
    found = model.inverse_transform(model.transform((L + S)[150:]))
    assert np.linalg.norm(found - L[150:]) <= 1e-2 * np.linalg.norm(L[150:])


@pytest.mark.parametrize("rank", [3, 10], ids=["power steps", "decompositions"])
def test_alternating_steps_never_raise_the_error(rank, rng):
    M = rng.standard_normal((40, 30))
    result = low_rank_plus_sparse(M, rank, 50, random_state=0)
    assert (np.diff(result.history) <= 1e-12).all()
    assert result.sparse.nnz <= 50
    assert np.linalg.matrix_rank(result.low_rank) == rank
    V, s = result.components, np.linalg.svd(result.low_rank, compute_uv=False)
    assert_allclose(V @ V.T, np.eye(rank), atol=1e-12)
    assert_allclose(np.sort(result.singular_values)[::-1], s[:rank], rtol=1e-8)
    # S is the best for L.
    rest = M - result.low_rank
    sizes = np.sort(np.abs(rest).ravel())[::-1]
    assert_allclose(np.abs(result.sparse.toarray()).sum(), sizes[:50].sum())
    rest = np.linalg.norm(M - result.low_rank - result.sparse.toarray())
    assert_allclose(result.residual, rest / np.linalg.norm(M), rtol=1e-10)


def test_zero_matrix_has_rank_zero():
    for arguments in ({}, {"method": "altproj", "n_components": 1}):
        model = RobustPCA(**arguments).fit(np.zeros((5, 4)))
        assert model.rank_ == 0 and model.sparse_.nnz == 0
        assert model.certificate_.satisfied


def test_single_precision_is_kept(rng):
    L, S = corrupted((50, 40), 2, 0.05, rng)
    X = (L + S).astype(np.float32)
    model = RobustPCA(random_state=0).fit(X)
    assert model.low_rank_.dtype == model.transform(X).dtype == np.float32


def test_same_seed_same_answer(rng):
    L, S = corrupted((120, 100), 2, 0.05, rng)
    one, two = (RobustPCA(random_state=0).fit(L + S).low_rank_ for _ in range(2))
    assert_array_equal(one, two)


def test_too_few_iterations_warn_once(rng):
    X = rng.standard_normal((20, 15))
    with pytest.warns(ConvergenceWarning, match="Raise max_iter") as caught:
        model = RobustPCA(max_iter=2).fit(X)
    assert len(caught) == 1 and not model.certificate_.satisfied


def test_bad_input_is_explained(rng):
    X = rng.standard_normal((6, 5))
    with pytest.raises(ValueError, match="needs the rank"):
        RobustPCA(method="altproj").fit(X)
    with pytest.raises(ValueError, match="exceeds the smaller side"):
        RobustPCA(6, method="godec").fit(X)
    mask = np.ones(X.shape, dtype=bool)
    mask[2] = False
    with pytest.raises(ValueError, match="every entry of row 2"):
        RobustPCA().fit(X, mask=mask)
    with pytest.raises(ValueError, match="every entry of column 2"):
        RobustPCA().fit(X.T, mask=mask.T)
    with pytest.raises(ValueError, match="boolean array of shape"):
        RobustPCA().fit(X, mask=mask[:3])
    with pytest.raises(ValueError, match="does not take a mask"):
        RobustPCA(2, method="altproj").fit(X, mask=mask)
    with pytest.raises(ValueError, match="exceeds the smaller side"):
        low_rank_plus_sparse(X, 7, 2)
    with pytest.raises(ValueError, match="Complex data not supported"):
        RobustPCA().fit(X * 1j)


@pytest.mark.parametrize("method", ["ialm", "altproj", "godec"])
def test_components_are_counted_and_the_history_ends_with_the_certificate(method, rng):
    L, S = corrupted((60, 50), 4, 0.05, rng)
    model = RobustPCA(
        None if method == "ialm" else 4, method=method, sparsity=0.05, random_state=0
    ).fit(L + S)
    assert model.n_components_ == model.rank_ == 4
    assert model.components_.shape == (4, 50) and model.singular_values_.shape == (4,)
    assert model.history_.shape == (model.n_iter_,)
    last = model.history_[-1]
    if method == "godec":  # its certificate is the fall of the squared residual
        assert_allclose(last, model.objective_, rtol=1e-9)
        last = np.sqrt(model.history_[-2] ** 2 - last**2)
    assert_allclose(model.certificate_.value, last, rtol=1e-6)
    assert model.history_[-1] < model.history_[0]
    if method == "ialm":
        fewer = RobustPCA(2, random_state=0).fit(L + S)
        assert fewer.n_components_ == 2 and fewer.rank_ == 4
        assert_allclose(fewer.components_, model.components_[:2], atol=1e-8)


def test_slower_thresholds_bear_more_corruption(rng):
    L, S = corrupted((80, 60), 3, 0.05, rng)
    fast, slow = (
        RobustPCA(3, method="altproj", decay=decay, random_state=0).fit(L + S)
        for decay in (0.5, 0.9)
    )
    for model in (fast, slow):
        assert np.linalg.norm(model.low_rank_ - L) <= 1e-5 * np.linalg.norm(L)
    assert slow.n_iter_ > fast.n_iter_
    L, S = corrupted((80, 60), 3, 0.3, rng)
    errors = []
    for decay in (0.1, 0.9):
        model = RobustPCA(
            3, method="altproj", decay=decay, max_iter=300, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(L + S)
        errors.append(np.linalg.norm(model.low_rank_ - L) / np.linalg.norm(L))
    assert errors[1] < 0.1 * errors[0]


@pytest.mark.parametrize("k", [0, 7, 60])
def test_as_many_entries_as_asked_for_are_sparse(k, rng):
    M = rng.standard_normal((30, 20))
    found = low_rank_plus_sparse(M, 3, k, random_state=0)
    S = sparse.csr_array(found.sparse).toarray()
    rest = M - found.low_rank
    assert np.count_nonzero(S) == k and np.linalg.matrix_rank(found.low_rank) == 3
    # The largest entries of what the other part leaves, exactly.
    kept = S != 0
    assert_allclose(S[kept], rest[kept], rtol=1e-9)
    if 0 < k:
        assert np.abs(rest[kept]).min() >= np.abs(rest[~kept]).max() * (1 - 1e-9)


def stored(method, n_components=None, tol=0.1, dtype=np.float64, **result):
    """Return a model that was given this answer of a solver."""
    fields = {
        "low_rank": np.eye(3, 4),
        "sparse": sparse.csr_array(np.diag([1.0, 0.0, 2.0, 0.0])[:3]),
        "components": np.eye(3, 4),
        "singular_values": np.ones(3),
        "residual": 0.0,
        "n_iter": 5,
        "converged": True,
        "objective": 1.0,
        "dual_objective": 1.0,
        "dual": np.zeros((3, 4)),
        "history": [0.5, 0.25],
        **result,
    }
    model = RobustPCA(n_components, method=method, tol=tol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model._store(split.LowRankPlusSparse(**fields), np.dtype(dtype))
    return model


def test_the_certificate_is_what_the_solver_left():
    found = stored("ialm", objective=4.0, dual_objective=3.0, residual=0.125)
    details = found.certificate_.details
    assert found.certificate_.value == details["gap"] == 0.25
    assert details["residual"] == 0.125 and details["objective"] == 4.0
    assert details["dual_objective"] == 3.0
    assert details["rank"] == 3 and details["nnz"] == 2
    assert found.objective_ == 4.0 and found.n_iter_ == 5 and found.rank_ == 3
    assert stored("ialm", residual=0.5).certificate_.value == 0.5
    assert stored("ialm", dual_objective=2.0).certificate_.value == 0.0
    for objective in (0.0, -1.0):
        nothing = stored("ialm", objective=objective, dual_objective=-3.0)
        assert nothing.certificate_.value == 0.0
    some = stored("ialm", objective=0.5, dual_objective=0.25)
    assert some.certificate_.value == 0.5
    assert stored("altproj", 2, residual=0.375).certificate_.value == 0.375
    assert stored("altproj", 2, residual=0.375).objective_ == 0.375
    # The root of the fall of the squares, or what is left if that is less.
    found = stored("godec", 2, history=[9.0, 5.0, 4.0], residual=0.25)
    assert found.certificate_.value == 3.0 and found.objective_ == 0.25
    assert stored("godec", 2, history=[5.0, 1.0]).certificate_.value == 1.0
    assert stored("godec", 2, history=[5.0, 5.5]).certificate_.value == 0.0
    assert stored("godec", 2, history=[4.0]).certificate_.value == 4.0
    kinds = {"ialm": "duality_gap", "altproj": "monotone_bound"}
    for method, kind in kinds.items():
        assert stored(method, 2).certificate_.kind == kind
    assert stored("godec", 2).certificate_.kind == "monotone_bound"
    assert stored("ialm", 2).components_.shape == (2, 4)
    assert stored("ialm", 2).n_components_ == 2
    assert stored("ialm", n_iter=0).n_iter_ == 1


def test_parts_in_single_precision_are_rounded_to_it():
    known = rounding(8 * 7)
    for method in ("ialm", "altproj", "godec"):
        double, single = (
            stored(method, 2, dtype=dtype).certificate_.details["rounding"]
            for dtype in (np.float64, np.float32)
        )
        assert double == known
        assert single == known + 2.0**-23
    tight = stored("ialm", tol=2.0**-24, dtype=np.float32)
    assert not tight.certificate_.satisfied
    assert stored("ialm", tol=2.0**-24).certificate_.satisfied


def test_ranks_and_masks_may_go_as_far_as_the_sides(rng):
    X = rng.standard_normal((6, 5))
    for method in ("altproj", "godec"):
        assert RobustPCA(5, method=method, sparsity=0.1, max_iter=500).fit(X)
        with pytest.raises(ValueError, match="exceeds the smaller side of X, 5"):
            RobustPCA(6, method=method).fit(X)
    assert RobustPCA(6, max_iter=5000).fit(X).n_components_ <= 5  # as many as there are
    mask = np.ones(X.shape, dtype=bool)
    mask[[1, 4]] = False
    with pytest.raises(ValueError, match=r"every entry of row 1 \(2 such rows\)"):
        RobustPCA().fit(X, mask=mask)
    with pytest.raises(ValueError, match="dtype int64 and shape"):
        RobustPCA().fit(X, mask=np.ones(X.shape, dtype=np.int64))
    with pytest.raises(ValueError, match="dtype bool and shape"):
        RobustPCA().fit(X, mask=np.ones((6, 4), dtype=bool))


def test_nan_is_an_unknown_entry(rng):
    L, S = corrupted((150, 100), 3, 0.05, rng)
    X = L + S
    mask = rng.random(L.shape) > 0.2
    hidden = np.where(mask, X, np.nan)
    model = RobustPCA(random_state=0).fit(hidden)
    masked = RobustPCA(random_state=0).fit(X, mask=mask)
    np.testing.assert_array_equal(model.low_rank_, masked.low_rank_)
    assert model.rank_ == 3 and model.certificate_.satisfied
    assert np.linalg.norm(model.low_rank_ - L) < 5e-3 * np.linalg.norm(L)
    assert not model.sparse_.toarray()[~mask].any()
    again = model.transform(hidden) @ model.components_
    assert np.linalg.norm(again - L) < 1e-2 * np.linalg.norm(L)
    with pytest.raises(ValueError, match="NaN"):
        RobustPCA(3, method="altproj").fit(hidden)
    with pytest.raises(ValueError, match="infinity"):
        RobustPCA().fit(np.where(mask, X, np.inf))


def test_parts_that_are_neither_low_rank_nor_sparse_converge_by_default(rng):
    time = np.arange(200)
    X = np.outer(rng.standard_normal(24), np.sin(time / 20)) + 0.1 * time / 200
    X += 0.1 * rng.standard_normal(X.shape) + 5.0 * (rng.random(X.shape) < 0.03)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = RobustPCA(random_state=0).fit(X)
    assert model.n_iter_ < 300
    fine = RobustPCA(tol=1e-6, max_iter=5000, random_state=0).fit(X)
    assert model.objective_ <= fine.objective_ * (1 + 1e-4)
