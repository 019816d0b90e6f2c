"""Barycenters against quantiles, the linear program, Gaussians, and bad input."""

import numpy as np
import pytest
from scipy.optimize import linprog

from sparsestat.exceptions import ConvergenceWarning
from sparsestat.transport import barycenter, sinkhorn

X = np.linspace(-5, 5, 120)


def bump(mean, deviation):
    h = np.exp(-0.5 * ((X - mean) / deviation) ** 2)
    return h / h.sum()


def moments(masses):
    mean = masses @ X
    return mean, np.sqrt(masses @ (X - mean) ** 2)


@pytest.mark.parametrize("weights", [None, [0.2, 0.8], [1.0, 0.0]])
def test_gaussians_have_a_gaussian_between_them(weights):
    # On the line quantiles are averaged: means and standard deviations are.
    H = np.array([bump(-2.0, 0.5), bump(1.5, 1.0)])
    w = np.full(2, 0.5) if weights is None else np.array(weights)
    found = barycenter(H, X=X, weights=weights, reg=0.05, debiased=True)
    assert found.converged and found.certificate.kind == "transport_gap"
    mean, deviation = moments(found.masses)
    assert mean == pytest.approx(w @ [-2.0, 1.5], abs=1e-3)
    assert deviation == pytest.approx(w @ [0.5, 1.0], abs=0.01)
    blurred = barycenter(H, X=X, weights=weights, reg=0.3)
    assert moments(blurred.masses)[1] > deviation + 0.02
    assert moments(blurred.masses)[0] == pytest.approx(mean, abs=1e-3)


def test_plans_to_the_barycenter_have_it_as_their_marginal():
    rng = np.random.default_rng(0)
    H, C = rng.random((3, 12)) ** 3, rng.random((12, 9))
    H[0, :4] = 0.0
    found = barycenter(H, C, reg=0.05, weights=[0.5, 0.3, 0.2])
    assert found.converged and found.support is None
    assert found.masses.sum() == pytest.approx(1.0, rel=1e-12)
    # The first order condition: potentials of the columns, weighted, agree.
    total, value = np.zeros(9), 0.0
    for h, w in zip(H, (0.5, 0.3, 0.2), strict=True):
        plan = sinkhorn(C, h / h.sum(), found.masses, reg=0.05, tol=1e-10)
        psi = plan.potentials[1] + 0.05 * np.log(found.masses)
        total += w * psi
        value += w * plan.value
    assert np.ptp(total) < 1e-3
    assert found.value == pytest.approx(value, abs=1e-5)


def test_small_strengths_give_the_linear_program():
    rng = np.random.default_rng(1)
    H, C = rng.dirichlet(np.ones(4), 2), rng.random((4, 4))
    # Variables: two plans and the barycenter.
    A, b = [], []
    for k in range(2):
        for i in range(4):
            row = np.zeros(36)
            row[16 * k + 4 * i : 16 * k + 4 * i + 4] = 1
            A.append(row)
            b.append(H[k, i])
        for j in range(4):
            row = np.zeros(36)
            row[16 * k + j : 16 * k + 16 : 4] = 1
            row[32 + j] = -1
            A.append(row)
            b.append(0.0)
    c = np.concatenate([0.5 * C.ravel(), 0.5 * C.ravel(), np.zeros(4)])
    exact = linprog(c, A_eq=np.array(A), b_eq=b).fun
    found = barycenter(H, C, reg=2e-3)
    assert found.converged and found.value == pytest.approx(exact, abs=2e-3)


def test_one_measure_is_its_own_barycenter():
    h = bump(0.5, 0.8)
    found = barycenter([h], X=X, reg=0.01, debiased=True, tol=1e-8)
    np.testing.assert_allclose(found.masses, h, atol=1e-6)
    points = np.random.default_rng(0).normal(size=(20, 2))
    alone = barycenter([points], X=points + 0.1, support="free")
    np.testing.assert_allclose(np.sort(alone.support[:, 0]), np.sort(points[:, 0]))


@pytest.mark.parametrize("reg", [None, 0.05])
def test_free_points_move_between_shifted_clouds_and_never_rise(reg):
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(12, 2))
    order = rng.permutation(12)
    measures = [cloud, cloud[order] + [4.0, 0.0], (cloud + [0.0, 8.0], np.ones(12))]
    found = barycenter(
        measures, support="free", reg=reg, n_init=2, random_state=0, tol=1e-8
    )
    assert found.converged and found.certificate.kind == "monotone_bound"
    assert (np.diff(found.history) <= 1e-8 * found.history[0]).all()
    middle = cloud.mean(axis=0) + [4 / 3, 8 / 3]
    np.testing.assert_allclose(found.support.mean(axis=0), middle, atol=1e-6)
    if reg is None:
        start = barycenter(measures, X=cloud + [1, 2], support="free", tol=1e-10)
        # Shifts of one cloud: the variance of the shifts is the best value.
        best = (16 + 64) / 3 - ((4 / 3) ** 2 + (8 / 3) ** 2)
        assert start.value == pytest.approx(best, rel=1e-9)
        assert found.value >= best * (1 - 1e-9)
    again = barycenter(
        measures, support="free", reg=reg, n_init=2, random_state=0, tol=1e-8
    )
    np.testing.assert_array_equal(again.support, found.support)
    few = barycenter(measures, support="free", n_support=7, reg=reg, random_state=0)
    assert few.support.shape == (7, 2)


def grid_points(shape):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(
        -1, len(shape)
    )


@pytest.mark.parametrize("shape", [(7, 5), (4, 3, 5), (1, 9)])
@pytest.mark.parametrize("debiased", [False, True])
def test_images_are_histograms_on_their_pixels(shape, debiased):
    rng = np.random.default_rng(0)
    images = rng.random((3, *shape)) ** 3
    images[0, :2] *= rng.random() < 2 * (shape[0] == 1)  # rows without mass
    given = {"reg": 1.5, "weights": [0.5, 0.3, 0.2], "debiased": debiased, "tol": 1e-3}
    given |= {} if debiased else {"tol": 1e-9}
    found = barycenter(images, **given)
    flat = barycenter(images.reshape(3, -1), X=grid_points(shape), **given)
    assert found.converged and found.masses.shape == shape and found.support is None
    # Levels of strength begin elsewhere: a debiased answer is as near as its tol.
    atol = 1e-3 if debiased else 1e-8
    np.testing.assert_allclose(found.masses.ravel(), flat.masses, atol=atol)
    assert found.value == pytest.approx(flat.value, abs=atol * flat.value)
    listed = barycenter(list(images), **given)
    np.testing.assert_array_equal(listed.masses, found.masses)


def test_far_images_do_not_underflow():
    # exp(-C / reg) is zero in double precision between these two pixels.
    images = np.zeros((2, 3, 81))
    images[0, 1, 0] = images[1, 1, 80] = 1.0
    found = barycenter(images, reg=0.5)
    assert found.converged and np.isfinite(found.masses).all()
    assert found.value == pytest.approx(40.0**2, rel=1e-2)
    # Between two points the barycenter is the product of their blurs.
    blurs = np.exp(-2.0 * (np.arange(81) - 40.0) ** 2)
    np.testing.assert_allclose(
        found.masses.sum(axis=0), blurs / blurs.sum(), atol=1e-12
    )


def test_points_that_are_far_beside_the_others_do_not_underflow():
    # Most distances are small, and so is the first strength: between two far points
    # the first blurs multiply to less than the least number.
    points = np.append(np.linspace(-1.0, 1.0, 15), [-30.0, 30.0])
    found = barycenter(np.eye(17)[15:], X=points, reg=0.5)
    assert found.converged and np.isfinite(found.history).all()
    blurs = np.exp(-2.0 * points**2)
    np.testing.assert_allclose(found.masses, blurs / blurs.sum(), atol=1e-12)
    assert found.value == pytest.approx(900.0 + found.masses @ points**2, rel=1e-12)


def test_images_that_do_not_fit_are_refused():
    images = np.ones((2, 3, 4))
    with pytest.raises(ValueError, match="leave C and X out"):
        barycenter(images, X=grid_points((3, 4)), reg=1.0)
    with pytest.raises(ValueError, match="one shape"):
        barycenter([np.ones((3, 4)), np.ones((4, 3))], reg=1.0)
    with pytest.raises(ValueError, match="negative"):
        barycenter(-images, reg=1.0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"weights": [0.5, 0.6]}, "weights must sum to 1"),
        ({"weights": [1.5, -0.5]}, "negative entries"),
        ({"distributions": [[1.0, 2.0], [1.0]]}, "one length"),
        ({"distributions": []}, "distributions is empty"),
        ({"distributions": [[0.0, 0.0], [1.0, 1.0]]}, "zero total mass"),
        ({"reg": None}, "needs reg > 0"),
        ({"C": np.ones((2, 2))}, "exactly one of C and X"),
        ({"X": [0.0, 1.0, 2.0]}, "one row for each of the 2 bins"),
        ({"support": "loose"}, "support must be"),
        ({"support": "free", "debiased": True}, "leave C and debiased out"),
        ({"X": None, "C": np.eye(3)[:2], "debiased": True}, "symmetric costs"),
        ({"tol": 0}, "tol must be"),
    ],
)
def test_bad_input_is_refused_in_words(change, match):
    given = {"distributions": np.ones((2, 2)), "X": [0.0, 1.0], "reg": 0.1} | change
    with pytest.raises(ValueError, match=match):
        barycenter(**given)


def test_an_early_end_warns_once():
    H = np.array([bump(-2.0, 0.5), bump(1.5, 1.0)])
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        found = barycenter(H, X=X, reg=0.01, max_iter=3)
    assert len(caught) == 1 and not found.converged


@pytest.mark.parametrize(
    ("objectives", "tol", "change", "converged"),
    [
        ([2.0, 1.0, 1.25], 1e-6, 0.2, False),  # a rise is no convergence
        ([2.0, 1.0, 1.0], 1e-6, 0.0, True),
        ([2.0, 1.0, 1.0 - 1e-9], 1e-6, 1e-9, True),
        ([2.5, 1.25, 1.0], 0.25, 0.25, True),
        ([2.0, 1.0], 1e-6, 1.0, False),
        ([0.0], 1e-6, 0.0, True),
    ],
)
def test_free_points_stand_still_when_their_objective_does(
    objectives, tol, change, converged, monkeypatch
):
    from types import SimpleNamespace

    from sparsestat.transport import _barycenter

    clouds, start = [np.eye(2), np.eye(2) + 1.0, np.eye(2)], np.ones((2, 2))
    P = np.array([[0.3, 0.2], [0.1, 0.4]])
    error = 2.0 * tol

    def solve(cost, a, b, request):
        np.testing.assert_allclose([*a, *b], 0.5)
        value = next(values)
        return SimpleNamespace(
            value=10.0 * value, value_kl=value, plan=P, converged=solved,
            marginal_error=error,
        )  # fmt: skip

    monkeypatch.setattr(_barycenter, "solve_entropic", solve)
    monkeypatch.setattr(_barycenter, "warn_if_unsatisfied", lambda *_: None)
    stops = converged or objectives[-1] > objectives[-2]
    for solved, error in ((True, 2 * tol), (False, 2 * tol), (False, 0.5 * tol)):
        values = iter(np.repeat([*objectives, 0.125], 2))
        found = barycenter(
            clouds, X=start, weights=[0.25, 0.75, 0.0], support="free", reg=0.1,
            tol=tol, max_iter=len(objectives) + stops,
        )  # fmt: skip
        # Plans that miss their masses by more than tol prove nothing.
        assert found.converged == (converged and (solved or error < tol))
        assert found.certificate.value == pytest.approx(change, rel=1e-6)
        assert found.history == pytest.approx(objectives)
        assert found.value == pytest.approx(10.0 * objectives[-1])
        assert found.n_iter == len(objectives)
        if len(objectives) > 1:  # moved to where their mass comes from
            moved = 2.0 * P @ (0.25 * clouds[0] + 0.75 * clouds[1])
            np.testing.assert_allclose(found.support, moved)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("slack", [0.5, 1.5])  # of the rounding of sums
def test_histograms_are_measured_against_the_barycenter_that_is_returned(
    debiased, slack
):
    from types import SimpleNamespace

    from sparsestat.transport import _barycenter
    from sparsestat.transport._barycenter import _scaled

    sums = np.log([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    columns = np.array([[0.4, 0.4, 0.2], [0.1, 0.3, 0.6]])
    blurred = np.array([0.1, -0.2, 0.3])
    costs = [3.0, 5.0]

    def bins():
        measures = iter(range(2))

        def measure(masses):
            k = next(measures)
            state = SimpleNamespace(c=columns[k], cost=costs[k])
            one = SimpleNamespace(g=np.array([0.5, 0.0, -0.5]))
            one.log_sums = lambda level: (state, sums[k])
            return one

        return SimpleNamespace(
            size=3, scale=4.0, n_terms=2**40, measure=measure,
            blurred=lambda log_d, level: blurred,
        )  # fmt: skip

    kernels = sums - np.array([0.5, 0.0, -0.5]) / 2.0
    raw = np.exp(0.25 * kernels[0] + 0.75 * kernels[1])
    b = raw / raw.sum()
    errors = np.abs(columns - b).sum(axis=1).tolist()
    if debiased:  # d is 1 yet
        errors.append(np.abs(np.exp(blurred) - raw).sum())
    weights, H = np.array([0.25, 0.0, 0.75]), np.full((3, 3), 1 / 3)
    tol = max(errors) + slack * 2.0**-12
    found = _scaled(bins(), None, H, weights, 2.0, debiased, tol, 5)
    np.testing.assert_allclose(found.masses, b, rtol=1e-12)
    assert found.certificate.value == pytest.approx(max(errors), rel=1e-12)
    assert found.history == [found.certificate.value] and found.n_iter == 1
    assert found.value == pytest.approx(0.25 * 3.0 + 0.75 * 5.0)
    rounding = found.certificate.details["rounding"]
    assert rounding == pytest.approx(2.0**-12, rel=1e-3)
    assert found.converged == (slack > 1)
    # Half the strength: a level before it, which may take more than what is left.
    found = _scaled(bins(), None, H, weights, 0.5, debiased, 1e-9, 2)
    assert found.n_iter == _barycenter._LEVEL_ITERATIONS + 1 and not found.converged
