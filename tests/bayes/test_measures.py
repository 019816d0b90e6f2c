"""What the certificates of this room measure, measured again from outside."""

import warnings
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsestat.bayes import MRFSBL, InverseFreeSBL, SBLClassifier, SBLRegressor
from sparsestat.bayes._cofem import (
    Products,
    _relative,
    conjugate_gradients,
    maximize_evidence_cofem,
)
from sparsestat.bayes._evidence import _noise_step, maximize_evidence
from sparsestat.bayes._kernels_fast import best_move, keep_digits
from sparsestat.bayes._linear import warn_if_collapsed
from sparsestat.datasets import make_burst_sparse
from sparsestat.exceptions import NoiseCollapseWarning
from tests.bayes.test_inverse_free import solve as solve_from_zero
from tests.bayes.test_sbl import draw, evidence_parts
from tests.bayes.test_sbl_classifier import draw as draw_classes
from tests.bayes.test_sbl_classifier import parts


def quiet(model, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*data)


def relative(new, old):
    return np.linalg.norm(new - old) / np.linalg.norm(old)


def stepped(method, gamma, gqq, gs):
    """Return the variances after one update, from gamma q^2 and gamma s."""
    if method == "em":
        return gamma * gqq + gamma * (1 - gs)
    return gamma * (gqq / gs) ** {"mm": 0.5, "mackay": 1.0}[method]


@pytest.mark.parametrize(("max_iter", "tol"), [(1, 1e-3), (4, 1e-3), (2000, 1e-3)])
@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("method", ["mm", "mackay", "em"])
@pytest.mark.parametrize(("shape", "dtype"), [((40, 30), float), ((20, 30), complex)])
def test_one_more_update_of_sbl(method, learn, max_iter, tol, shape, dtype):
    H, Y, _, s2 = draw(*shape, 5, n_targets=2, dtype=dtype)
    model = SBLRegressor(
        method,
        noise_variance=None if learn else s2,
        fit_intercept=False,
        prune_tol=0.0,
        max_iter=max_iter,
        tol=tol,
        allow_complex=True,
        noise_floor=1e-6,
    )
    model = quiet(model, H, Y)
    s2, active = model.noise_variance_, model.active_
    gamma, scale = model.gamma_[active], (np.abs(H) ** 2).mean(axis=0)[active]
    _, s, square, mean = evidence_parts(H[:, active], Y, gamma, s2)
    new = stepped(method, gamma, gamma * square, gamma * s)
    value = relative(new * scale, gamma * scale)
    if learn:
        error = (np.abs(Y - H[:, active] @ mean) ** 2).sum() / 2
        dof = (gamma * s).sum()
        if method == "mackay":
            moved = error / max(len(H) - dof, 1e-2 * len(H))
        else:
            moved = (error + s2 * dof) / len(H)
        moved = max(moved, 1e-6 * (np.abs(Y) ** 2).mean())
        value = max(value, 1 - min(moved / s2, s2 / moved))
    np.testing.assert_allclose(model.certificate_.value, value, rtol=1e-4, atol=1e-9)
    assert model.certificate_.tol == tol and model.certificate_.kind == "kkt"
    assert model.certificate_.satisfied == model.converged_ == (value <= tol)
    assert model.converged_ or model.n_iter_ == max_iter
    assert len(model.history_) <= max_iter + 1
    assert model.converged_ if max_iter == 2000 else max_iter > 1 or value > tol


def best_gain(gamma, s, square):
    """Return the largest gain of a column, with the other variances held."""
    left = 1 - gamma * s
    s, square = s / left, square / left**2

    def gain(g):
        return square * g / (1 + g * s) - np.log1p(g * s)

    return (gain(np.maximum((square - s) / s**2, 0.0)) - gain(gamma)).max()


def test_the_best_move_is_that_of_the_closed_form():
    S = np.array([2.0, 0.5, 0.4, 0.0, 0.25, 3.0])
    Q = np.array([[0.5, 2.0, 0.1, 0.0, 0.3, 0.2], [0.5, 1.0, 0.3, 0.0, 0.4, 0.1]])
    none = np.zeros(6)
    j, gamma, gain = best_move(S, Q, none)
    moved_to, gained = gamma, gain
    mean = (Q**2).mean(axis=0)
    assert (j, gamma) == (1, pytest.approx((mean[1] - 0.5) / 0.25, rel=1e-12))
    assert gain == pytest.approx(best_gain(none[1:2], S[1:2], mean[1:2]), rel=1e-12)
    # Nothing is wanted: no move.
    assert best_move(S, 0.1 * Q, none) == (-1, 0.0, 0.0)
    # A variance that is too large, one of 1 that is to go, one that leaves nothing.
    for place, size in ((1, 1.9), (2, 1.0), (4, 3.0)):
        held = none.copy()
        held[place] = size
        part = slice(place, place + 1)
        left = 1 - size * S[place]
        excess, s = mean[place] / left**2 - S[place] / left, S[place] / left
        wanted = max(excess / s**2, 0.0)
        j, gamma, gain = best_move(S[part], Q[:, part], held[part])
        assert (j, gamma) == (0, pytest.approx(wanted, rel=1e-12))
        expected = best_gain(held[part], S[part], mean[part])
        assert gain == pytest.approx(expected, rel=1e-12)
    full = best_move(np.array([0.5]), np.array([[0.5]]), np.array([2.0]))
    assert np.isfinite(full).all()
    # Real and imaginary parts are as two targets; of equal gains the first is taken.
    moves = best_move(S, np.array([Q[0] + 1j * Q[1]]) / np.sqrt(2.0), none)
    assert moves == (1, pytest.approx(moved_to), pytest.approx(gained))
    twice = best_move(np.repeat(S, 2), np.repeat(Q, 2, axis=1), np.zeros(12))
    assert twice == (2, pytest.approx(moved_to), pytest.approx(gained))
    # What is negative by rounding is nothing.
    assert best_move(np.array([-1e-3]), Q[:, :1], none[:1]) == (-1, 0.0, 0.0)


def exact_gain(S, Q, g):
    """Return what the best variance of a column gains, in many digits."""
    with mpmath.workdps(60):
        S, square, g = mpmath.mpf(S), mpmath.mpf(Q) ** 2, mpmath.mpf(g)
        left = 1 - g * S
        s, square = S / left, square / left**2
        wanted = max((square - s) / s**2, 0)
        at = [square * z / (1 + z * s) - mpmath.log(1 + z * s) for z in (wanted, g)]
        return float(wanted), float(at[0] - at[1])


@pytest.mark.parametrize("left", [1e-2, 1e-6, 1e-10])
@pytest.mark.parametrize("ratio", [None, 0.9, 1.001, 1.5])
def test_gains_of_what_the_noise_hardly_hides_keep_their_digits(left, ratio):
    g = 2.0
    S = (1.0 - left) / g
    ratio = 0.5 * left if ratio is None else ratio  # the column is left out
    Q = np.sqrt(ratio * S)
    wanted, gain = exact_gain(S, Q, g)
    found = best_move(np.array([S]), np.array([[Q]]), np.array([g]))
    assert found == (0, pytest.approx(wanted, rel=1e-9), pytest.approx(gain, rel=1e-9))


def test_active_columns_have_the_sums_of_their_posterior():
    H, Y, _, s2 = draw(12, 6, 3, n_targets=2)
    gamma, active = np.array([0.0, 2.0, 0.0, 1e-9, 0.5, 0.0]), np.array([4, 1, 3])
    C = s2 * np.eye(12) + (H * gamma) @ H.T
    inverse = np.linalg.inv(C)
    S, Q = np.diag(H.T @ inverse @ H), Y.T @ inverse @ H
    A = H[:, active]
    Sigma = np.linalg.inv(A.T @ A / s2 + np.diag(1.0 / gamma[active]))
    mu = (Sigma @ A.T @ Y / s2).T
    lost_S, lost_Q = np.full(6, np.nan), np.full((2, 6), np.nan)
    keep_digits(lost_S, lost_Q, gamma, active, 3, Sigma, mu)
    np.testing.assert_allclose(lost_S[[1, 4]], S[[1, 4]], rtol=1e-10)
    np.testing.assert_allclose(lost_Q[:, [1, 4]], Q[:, [1, 4]], rtol=1e-10)
    # Columns that the data hardly determine keep what they had, and those outside.
    assert np.isnan(lost_S[[0, 2, 3, 5]]).all()
    assert np.isnan(lost_Q[:, [0, 2, 3, 5]]).all()


def largest_gain(H, y, gamma, noise):
    """Return what the best move of one variance gains, in many digits.

    And what it would gain if y were known to its last digit alone, in the direction
    that says most for it.
    """
    with mpmath.workdps(90):
        active = [int(j) for j in np.flatnonzero(gamma)]
        wide, y = mpmath.matrix(H.tolist()), mpmath.matrix(y.tolist())
        A = mpmath.matrix(H[:, active].tolist())
        precision = A.T * A / mpmath.mpf(noise)
        for i, j in enumerate(active):
            precision[i, i] += 1 / mpmath.mpf(gamma[j])
        covariance = precision**-1
        rest = y - A * (covariance * (A.T * y)) / noise
        gains, doubts = [], []
        lost = np.finfo(float).eps * mpmath.norm(y) / mpmath.sqrt(noise)
        for j in range(H.shape[1]):
            h = wide[:, j]
            left = h - A * (covariance * (A.T * h)) / noise
            S, Q = (h.T * left)[0] / noise, (h.T * rest)[0] / noise
            gains.append(exact_gain(S, Q, gamma[j])[1])
            root = abs(Q) / mpmath.sqrt(S)
            excess = abs(root**2 - 1) if gamma[j] else root**2 - 1
            excess = max(excess + 2 * root * lost + lost**2, 0)
            doubts.append(float(excess - mpmath.log(1 + excess)))
        return max(gains), max(doubts)


@pytest.mark.parametrize("copies", [None, 1e-5, 0.0])
@pytest.mark.parametrize("noise", [1e-8, 1e-12, 1e-16, 1e-24])
def test_certificates_of_fast_fits_with_next_to_no_noise(noise, copies):
    rng = np.random.RandomState(0)
    H, x = rng.standard_normal((16, 20)), np.zeros(20)
    x[:4] = 3.0 * rng.standard_normal(4)
    if copies is not None:
        H[:, 10:14] = H[:, :4] + copies * rng.standard_normal((16, 4))
    y = H @ x + np.sqrt(noise) * rng.standard_normal(16)
    model = SBLRegressor("fast", noise_variance=noise, fit_intercept=False)
    model = quiet(model, H, y)
    assert np.isfinite(model.coef_).all() and np.isfinite(model.gamma_).all()
    assert np.sqrt(((H @ model.coef_ - y) ** 2).mean()) < 2.0 * np.sqrt(noise)
    gain, doubt = largest_gain(H, y, model.gamma_, noise)
    certificate, rounding = model.certificate_, model.certificate_.details["rounding"]
    assert certificate.value == pytest.approx(gain, abs=rounding, rel=1e-2)
    share = 0.1 if noise > 1e-20 else 0.9  # of figures that are rounding themselves
    assert certificate.value + rounding == pytest.approx(doubt, rel=share)
    # What the last digits of y decide is not claimed.
    assert certificate.satisfied == (noise > 1e-20)
    if certificate.satisfied:
        assert certificate.value + rounding <= certificate.tol
    else:
        assert certificate.lacks_precision
        with pytest.warns(ConvergenceWarning, match="larger noise_variance"):
            model.fit(H, y)


@pytest.mark.parametrize("method", ["em", "mm", "mackay", "cofem"])
def test_no_start_that_is_allowed_ends_in_nothing(method):
    H, y, x, _ = draw(60, 30, 3)
    for start in (1e-3, 1e8):
        model = SBLRegressor(method, gamma_init=start, random_state=0, max_iter=2000)
        model = quiet(model, H, y)
        assert model.certificate_.satisfied
        assert relative(model.coef_, x) < 0.1
    for start in (0.9e-3, 1.1e8):
        with pytest.raises(ValueError, match="gamma_init"):
            model.set_params(gamma_init=start).fit(H, y)


@pytest.mark.parametrize(("max_iter", "tol"), [(1, 1e-6), (3, 10.0), (500, 0.1)])
@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("n_samples", [25, 40])
def test_the_best_move_of_one_variance(n_samples, learn, max_iter, tol):
    H, Y, _, s2 = draw(n_samples, 30, 12, n_targets=2, snr=10.0)
    model = SBLRegressor(
        "fast",
        noise_variance=None if learn else s2,
        fit_intercept=False,
        max_iter=max_iter,
        tol=tol,
    )
    model = quiet(model, H, Y)
    s2, gamma = model.noise_variance_, model.gamma_
    cost, s, square, mean = evidence_parts(H, Y, gamma, s2)
    log_evidence = -0.5 * (cost + len(H) * np.log(2 * np.pi))  # per target
    assert model.history_[-1] == pytest.approx(log_evidence, rel=1e-8)
    value = best_gain(gamma, s, square)
    certificate = model.certificate_
    assert certificate.tol == pytest.approx(1e-2 * tol, rel=1e-12)
    moved = ((Y - H @ mean) ** 2).sum() / 2 + s2 * (gamma * s).sum()
    moved = abs(np.log(moved / len(H) / s2)) if learn else 0.0
    if certificate.satisfied:
        np.testing.assert_allclose(certificate.value, value, rtol=1e-5, atol=1e-10)
        assert max(value, moved) <= certificate.tol
    else:  # of the noise, the move that was taken last counts
        assert max_iter < 500
        assert learn and model.n_iter_ == max_iter
        assert certificate.value >= value * (1 - 1e-6)
        assert certificate.value > certificate.tol
    assert model.converged_ == certificate.satisfied


@pytest.mark.parametrize(("learn", "n_probes"), [(False, 1), (False, 10), (True, 10)])
def test_cofem_measures_its_last_step(learn, n_probes):
    H, Y, _, s2 = draw(40, 20, 5, n_targets=2)
    H = H * np.geomspace(0.1, 10.0, 20)
    model = SBLRegressor(
        "cofem",
        noise_variance=None if learn else 50 * s2,
        n_probes=n_probes,
        fit_intercept=False,
        random_state=0,
        tol=0.0,
        prune_tol=0.0,
    )
    fits = [quiet(model.set_params(max_iter=k), H, Y).__dict__.copy() for k in (3, 4)]
    before, after = fits
    change = relative(after["coef_"], before["coef_"])
    squares = (H**2).sum(axis=0)
    moved = relative(after["gamma_"] * squares, before["gamma_"] * squares)
    value = max(change, 0.1 * moved)
    assert (0.1 * moved > 1.2 * change) == (n_probes == 1)
    np.testing.assert_allclose(after["certificate_"].value, value, rtol=1e-9)
    np.testing.assert_allclose(after["history_"][:3], before["history_"], rtol=1e-9)
    assert before["history_"][0] == 1.0  # from zero to somewhere
    # The same steps end where the measure is within the tolerance, and not before.
    tol = float(np.sqrt(value * before["certificate_"].value))
    if value < before["certificate_"].value:
        ended = quiet(model.set_params(tol=tol, max_iter=50), H, Y)
        assert ended.certificate_.satisfied and ended.n_iter_ == 4
    assert after["certificate_"].kind == "monotone_bound"
    assert not after["converged_"] and after["n_iter_"] == 4


def test_cofem_does_not_depend_on_units_or_repeated_targets():
    H, y, _, _ = draw(30, 20, 4)
    model = SBLRegressor("cofem", random_state=0, max_iter=5, cg_tol=1e-10)
    one = quiet(model, H, y).__dict__.copy()
    two = quiet(model, H, 1e3 * np.tile(y[:, None], 3)).__dict__.copy()
    np.testing.assert_allclose(two["coef_"], 1e3 * np.tile(one["coef_"], (3, 1)), 1e-6)
    for name in ("gamma_", "coef_var_", "noise_variance_"):
        np.testing.assert_allclose(two[name], 1e6 * one[name], rtol=1e-6, err_msg=name)
    given = quiet(model.set_params(noise_variance=3e3), H, 1e3 * y)
    assert given.noise_variance_ == pytest.approx(3e3, rel=1e-12)
    assert given.certificate_.details["noise_variance"] == given.noise_variance_


@pytest.mark.parametrize("learn", [False, True])
def test_cofem_counts_what_the_data_determine(learn):
    H, Y, _, s2 = draw(40, 20, 5, n_targets=2)
    model = SBLRegressor(
        "cofem", noise_variance=None if learn else s2, n_probes=1000, random_state=0
    )
    model = quiet(model.set_params(max_iter=3, fit_intercept=False), H, Y)
    before = quiet(model.set_params(max_iter=2), H, Y).__dict__.copy()
    after = quiet(model.set_params(max_iter=3), H, Y)
    _, s, _, _ = evidence_parts(H, Y, before["gamma_"], before["noise_variance_"])
    assert after.dof_ == pytest.approx((before["gamma_"] * s).sum(), abs=0.3)
    # The step of the noise counts what they leave of it.
    rest = ((Y - H @ after.coef_.T) ** 2).sum() / 2
    rest = (rest + before["noise_variance_"] * after.dof_) / len(H)
    expected = pytest.approx(rest if learn else s2, rel=1e-9)
    assert after.noise_variance_ == expected
    assert after.certificate_.details["dof"] == after.dof_ <= 20


def test_conjugate_gradients_say_what_they_solved():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6))
    A, B = np.eye(6) + root @ root.T, np.asfortranarray(rng.standard_normal((6, 2)))
    diagonal = np.diagonal(A).copy()

    def solve(matrix, start, steps, tol=1e-10):
        start = np.asfortranarray(start.copy())
        found = conjugate_gradients(matrix.__matmul__, B, start, diagonal, tol, steps)
        return found

    exact, zeros = np.linalg.solve(A, B), np.zeros((6, 2))
    X, solved = solve(A, zeros, 20)
    assert solved
    np.testing.assert_allclose(X, exact, rtol=1e-8)
    assert not solve(A, zeros, 1)[1] and not solve(A, zeros, 0)[1]
    # The preconditioner is the solution: the last step that is allowed suffices.
    X, solved = solve(np.diag(diagonal), zeros, 1)
    assert solved
    np.testing.assert_allclose(X, B / diagonal[:, None], rtol=1e-12)
    # What is within the tolerance stays as it is; only the other column moves.
    near = exact * (1 + 1e-6)
    near[:, 1] = 0.0
    X, solved = solve(A, near, 20, 1e-3)
    assert solved
    np.testing.assert_array_equal(X[:, 0], near[:, 0])
    rest = (B - A @ X)[:, 1]
    assert 0 < rest @ (rest / diagonal) <= 1e-6 * (B[:, 1] @ (B[:, 1] / diagonal))
    assert solve(A, exact, 0, 1e-6)[1]
    # What is left is judged beside the right-hand side in the same norm.
    steep = 1e4 * np.diag(diagonal)
    for scale, solved in ((1e-2, False), (1e-4, True)):
        start = (1.0 - scale) * B / np.diagonal(steep)[:, None]
        found = conjugate_gradients(
            steep.__matmul__, B, np.asfortranarray(start), np.diagonal(steep), 1e-3, 0
        )
        assert found[1] == solved


def test_cofem_goes_no_further_than_it_is_asked():
    H, Y, _, s2 = draw(20, 8, 3, n_targets=2)
    found = maximize_evidence_cofem(
        Products(H), Y, scale=np.sqrt((H**2).sum(axis=0)), gamma_init=1.0,
        noise=SimpleNamespace(learns=False, first=s2, floor=0.0),
        stop=SimpleNamespace(asked=lambda change: True, tol=0.0, max_iter=9),
        total=20.0, prune_tol=0.0, n_probes=3, cg_tol=1e-8, cg_max_iter=50,
        rng=np.random.RandomState(0),
    )  # fmt: skip
    assert (found.n_iter, len(found.history), found.converged) == (1, 1, False)


def test_changes_from_nothing():
    assert _relative(np.zeros(3), np.zeros(3)) == 0.0
    assert _relative(np.ones(3), np.zeros(3)) == 1.0
    assert _relative(np.array([3.0, 5.0]), np.array([3.0, 4.0])) == pytest.approx(0.2)


@pytest.mark.parametrize("method", ["mm", "fast", "cofem"])
@pytest.mark.parametrize("weight", [None, [1.0], [0.5]])
def test_one_observation_has_its_own_size_as_noise(method, weight):
    X = np.array([[1.0, 2.0]])
    for y, noise in ((-3.0, 9.0), (0.0, 1.0)):
        model = quiet(SBLRegressor(method), X, [y], weight)
        assert model.noise_variance_ == pytest.approx(noise, rel=1e-12)
        assert model.certificate_.satisfied and model.certificate_.value == 0.0
    # Of more than one it is their spread, however little they weigh.
    y, weights = np.array([2.0, 3.0, 7.0]), [0.2, 0.3, 0.4]
    model = quiet(SBLRegressor(method), np.ones((3, 2)), y, weights)
    mean = np.average(y, weights=weights)
    if method != "cofem":
        noise = np.average((y - mean) ** 2, weights=weights)
        assert model.noise_variance_ == pytest.approx(noise, rel=1e-12)


@pytest.mark.parametrize("method", ["em", "mackay", "mm"])
def test_small_variances_are_dropped(method):
    H, Y, _, s2 = draw(40, 30, 4, n_targets=2, snr=20.0)
    options = {"noise_variance": s2, "fit_intercept": False, "max_iter": 20}
    loose, strict = (
        quiet(SBLRegressor(method, prune_tol=tol, **options), H, Y).gamma_
        for tol in (0.0, 0.2)
    )
    assert 0 < loose[loose > 0].min() < 0.1 * loose.max()
    assert 0 < np.count_nonzero(strict) < np.count_nonzero(loose)
    assert strict[strict > 0].min() >= 0.2 * strict.max()


@pytest.mark.parametrize("shape", [(12, 4), (4, 12)])
def test_where_no_variance_is_left_all_is_noise(shape):
    rng = np.random.default_rng(0)
    H, Y = rng.normal(size=shape), 0.1 * rng.normal(size=(shape[0], 2))
    found = maximize_evidence(
        np.asfortranarray(H), Y, method="em", gamma_init=1e-20, prune_tol=0.0,
        noise=SimpleNamespace(learns=True, first=0.01, floor=1e-12),
        stop=SimpleNamespace(asked=lambda change: False, tol=1e-30, max_iter=5),
        total=float(shape[0]),
    )  # fmt: skip
    assert found.noise_variance == pytest.approx(np.mean(Y**2), rel=1e-12)
    assert found.converged and (found.change, found.dof) == (0.0, 0.0)
    assert not found.gamma.any() and len(found.active) == 0


@pytest.mark.parametrize("dof", [4.0, 9.99])
def test_steps_of_the_noise_leave_some_of_it(dof):
    found = SimpleNamespace(residual=2.0, dof=dof)
    left = max(10.0 - dof, 0.1)  # a hundredth of the observations at least
    step = _noise_step("mackay", found, 1.0, 0.5, 10.0, 1e-9)
    assert step == pytest.approx(3.0 / left)
    step = _noise_step("em", found, 1.0, 0.5, 10.0, 1e-9)
    assert step == pytest.approx((3.0 + 0.5 * dof) / 10.0)
    assert _noise_step("em", found, 1.0, 0.5, 10.0, 7.0) == 7.0


def test_cofem_that_left_equations_unsolved_is_not_satisfied():
    H, y, _, s2 = draw(40, 60, 4)
    model = SBLRegressor("cofem", noise_variance=s2, cg_max_iter=1, tol=1e3)
    model = quiet(model, H, y)
    assert model.certificate_.value <= model.certificate_.tol
    assert not model.certificate_.satisfied and not model.converged_


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_inverse_free_steps_measure_the_last_move(accelerate, n_targets):
    H, Y, _, s2 = draw(30, 20, 5, n_targets=n_targets)
    scale = np.sqrt((H**2).mean(axis=0))
    model = InverseFreeSBL(
        s2, accelerate=accelerate, fit_intercept=False, random_state=0, tol=0.0
    )
    before, after = (
        quiet(model.set_params(max_iter=k), H, Y).__dict__.copy() for k in (6, 7)
    )
    value = relative(before["coef_"] * scale, after["coef_"] * scale)
    np.testing.assert_allclose(after["certificate_"].value, value, rtol=1e-8)
    assert len(after["history_"]) == after["n_iter_"] == 7
    assert not after["certificate_"].satisfied and not after["converged_"]
    ended = quiet(model.set_params(tol=1.0001 * value, max_iter=50), H, Y)
    assert ended.certificate_.satisfied and ended.n_iter_ <= 7
    assert ended.certificate_.value == ended.history_[-1] <= ended.tol
    assert np.all(ended.history_[:-1] > ended.tol)


def test_nothing_stays_nothing_at_once():
    H = np.random.default_rng(0).standard_normal((12, 5))
    for noise_variance in (0.1, None):
        found = solve_from_zero(
            H, np.zeros((12, 2)), noise_variance=noise_variance, tol=0.0, max_iter=50
        )
        assert (found.change, found.converged, found.n_iter) == (0.0, True, 1)
        assert not found.mean.any() and found.history == [0.0]


def test_the_start_of_the_noise_is_not_taken_for_rest():
    H, y, _, _ = draw(30, 20, 5)
    model = quiet(InverseFreeSBL(tol=1.0, random_state=0), H, y)
    held = quiet(InverseFreeSBL(0.1, tol=1.0, random_state=0), H, y)
    assert model.certificate_.satisfied and model.n_iter_ > 5
    assert held.certificate_.satisfied and held.n_iter_ == 1


@pytest.mark.parametrize("max_iter", [1, 3, 3000])
@pytest.mark.parametrize("method", ["mm", "em", "mackay"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_more_update_of_classes(method, n_classes, max_iter):
    X, y = draw_classes(60, 5, n_classes)
    X = X * np.geomspace(0.5, 5.0, 5)
    model = SBLClassifier(method, max_iter=max_iter, prune_tol=0.0, tol=1e-3)
    model = quiet(model, X, y)
    _, _, A, J, prior = parts(model, X, y)
    k, d = len(model.coef_), A.shape[1]
    ends = np.arange(1, k + 1) * d - 1
    if k > 1:  # intercepts sum to zero
        J[np.ix_(ends, ends)] += 1e6
    S = np.diagonal(np.linalg.inv(J + np.diag(prior))).reshape(k, d)[:, :-1]
    active = model.active_
    gamma, scale = model.gamma_[active], X[:, active].var(axis=0)
    gs = (1 - S / gamma).mean(axis=0)
    gqq = (model.coef_[:, active] ** 2).mean(axis=0) / gamma
    value = relative(stepped(method, gamma, gqq, gs) * scale, gamma * scale)
    np.testing.assert_allclose(model.certificate_.value, value, rtol=2e-2, atol=2e-6)
    assert model.certificate_.satisfied == (model.certificate_.value <= 1e-3)
    assert model.certificate_.satisfied == (max_iter == 3000)
    assert model.dof_ == pytest.approx(k * gs.sum(), rel=1e-3)
    details = {"dof": model.dof_, "log_evidence": model.history_[-1]}
    assert model.certificate_.details == details


@pytest.mark.parametrize("engine", ["exact", "inverse-free", "vb"])
def test_burst_recovery_measures_its_last_move(engine):
    data = make_burst_sparse(30, (6, 6), n_bursts=1, random_state=0)
    model = MRFSBL((6, 6), noise_variance=0.1, e_step=engine, tol=0.0, random_state=0)
    before, after = (
        quiet(model.set_params(max_iter=k), data.X, data.y).__dict__.copy()
        for k in (11, 12)
    )
    value = relative(before["coef_"], after["coef_"])
    value /= 1.0 if engine == "vb" else model.damping  # small steps do not count less
    np.testing.assert_allclose(after["certificate_"].value, value, rtol=1e-6)
    np.testing.assert_array_equal(after["history_"][-1], after["certificate_"].value)
    assert not after["converged_"] and after["n_iter_"] == 12
    ended = quiet(model.set_params(tol=10.0, max_iter=50), data.X, data.y)
    assert ended.certificate_.satisfied and ended.n_iter_ == (
        10 if engine == "vb" else 6
    )
    ended = quiet(model.set_params(noise_variance=None), data.X, data.y)
    assert ended.certificate_.satisfied and ended.n_iter_ == 10


@pytest.mark.parametrize(
    ("dof", "noise", "learned", "warns"),
    [
        (8.0, 1.0, True, False),  # exactly a fifth is left
        (8.001, 1.0, True, True),
        (8.001, 1.0, False, False),
        (5.0, 1e-4, True, False),  # a half, where the noise is tiny
        (5.001, 1e-4, True, True),
        (5.001, 1e-3, True, False),
        (8.001, 1e-3, True, True),
        (12.0, 1.0, True, True),
    ],
)
def test_collapsed_noise_is_named(dof, noise, learned, warns):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_if_collapsed("X", 10.0, dof, learned, noise=noise)
    assert len(caught) == warns
    if noise == 1.0:
        with warnings.catch_warnings(record=True) as plain:
            warnings.simplefilter("always")
            warn_if_collapsed("X", 10.0, min(dof, 7.0), learned)
        assert not plain
    if warns:
        assert caught[0].category is NoiseCollapseWarning
        assert f"only {max(10 - dof, 0):.3g} of 10 " in str(caught[0].message)
        size = f"({noise:.1e} of the mean square"
        assert (size in str(caught[0].message)) == (noise < 1e-3)
