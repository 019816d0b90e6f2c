"""Generators: their stated correlations, noise level and ground truth hold."""

import numpy as np
import pytest
import sklearn
from scipy import sparse

from sparsestat.datasets import make_correlated_features, make_sparse_regression

DESIGNS = ["block", "factor", "iid", "toeplitz", "two_scale"]


@pytest.mark.parametrize("design", DESIGNS)
def test_sample_covariance_matches_population(design):
    n, p = 40_000, 24
    data = make_correlated_features(
        n,
        p,
        design=design,
        rho=0.7,
        block_size=5,
        return_covariance=True,
        random_state=0,
    )
    # An entry of the sample covariance has standard deviation sqrt(1 + r^2) / sqrt(n).
    error = np.abs(data.X.T @ data.X / n - data.covariance).max()
    assert error < 5 * np.sqrt(2 / n)
    np.testing.assert_allclose(np.diag(data.covariance), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(data.covariance, data.covariance.T)


@pytest.mark.parametrize("design", ["iid", "toeplitz"])
@pytest.mark.parametrize("density", [0.02, 0.4, 1.0])
def test_sparse_covariance_and_density_match_population(design, density):
    n, p = 60_000, 10
    data = make_correlated_features(
        n,
        p,
        design=design,
        rho=0.6,
        density=density,
        return_covariance=True,
        random_state=1,
    )
    X = data.X.toarray()
    share = (X != 0).mean(axis=0)
    # Every column, the first and the last too: the chain starts stationary.
    np.testing.assert_allclose(
        share, density, atol=5 * np.sqrt(density * (1 - density) / n) + 1e-12
    )
    error = np.abs(X.T @ X / n - data.covariance).max()
    assert error < 5 * np.sqrt(3 * density / n)
    np.testing.assert_allclose(np.diag(data.covariance), density, rtol=1e-12)


def test_sparse_rows_are_independent():
    data = make_correlated_features(50_000, 3, rho=0.9, density=0.5, random_state=0)
    X = data.X.toarray()
    mask = (X != 0).astype(float)
    # Last column of a row against the first of the next: neighbors on the tape.
    assert abs(np.corrcoef(X[:-1, -1], X[1:, 0])[0, 1]) < 0.025
    assert abs(np.corrcoef(mask[:-1, -1], mask[1:, 0])[0, 1]) < 0.025


@pytest.mark.skipif(
    "sparse_interface" not in sklearn.get_config(), reason="scikit-learn 1.9 has it"
)
@pytest.mark.parametrize("interface", ["sparray", "spmatrix"])
def test_sparse_output_is_canonical_csc_of_the_configured_kind(interface):
    with sklearn.config_context(sparse_interface=interface):
        X = make_correlated_features(50, 200, density=0.05, random_state=0).X
    assert X.format == "csc"
    assert X.has_canonical_format
    assert X.indices.dtype == np.int32
    assert isinstance(X, sparse.sparray) == (interface == "sparray")


def test_a_density_of_next_to_nothing_leaves_no_entries():
    data = make_correlated_features(20, 5, density=1e-300, random_state=0)
    assert data.X.shape == (20, 5)
    assert data.X.nnz == 0


def test_dense_output_is_fortran_ordered():
    for design in DESIGNS:
        X = make_correlated_features(20, 30, design=design, random_state=0).X
        assert X.flags.f_contiguous and X.flags.writeable


def test_negative_correlation_alternates():
    data = make_correlated_features(20_000, 3, rho=-0.8, random_state=0)
    r = np.corrcoef(data.X, rowvar=False)
    np.testing.assert_allclose(r[0], [1.0, -0.8, 0.64], atol=0.03)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (3, 2)])
@pytest.mark.parametrize("design", DESIGNS)
def test_tiny_shapes(shape, design):
    data = make_correlated_features(
        *shape, design=design, return_covariance=True, random_state=0
    )
    assert data.X.shape == shape
    assert data.covariance.shape == (shape[1], shape[1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
@pytest.mark.parametrize("density", [1e-3, 1.0])
def test_tiny_sparse_shapes(shape, density):
    assert make_sparse_regression(
        *shape, n_nonzero=1, density=density, random_state=0
    ).X.shape == (shape)


@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("density", [None, 0.1])
def test_regression_parts_add_up(n_targets, density):
    data = make_sparse_regression(
        300,
        80,
        n_nonzero=6,
        n_targets=n_targets,
        density=density,
        bias=2.5,
        random_state=3,
    )
    expected = data.X @ data.coef.T + 2.5
    np.testing.assert_allclose(data.signal, expected, rtol=1e-12, atol=1e-12)
    shape = (80,) if n_targets == 1 else (n_targets, 80)
    assert data.coef.shape == shape
    np.testing.assert_array_equal(
        data.support, np.flatnonzero(np.atleast_2d(data.coef).any(axis=0))
    )
    assert data.support.size == 6
    noise = data.y - data.signal
    ratio = data.signal.var(axis=0) / np.asarray(data.noise_std) ** 2
    np.testing.assert_allclose(ratio, 10.0, rtol=1e-12)
    np.testing.assert_allclose(noise.std(axis=0), data.noise_std, rtol=0.2)


def test_infinite_snr_is_noiseless():
    data = make_sparse_regression(30, 40, snr=float("inf"), random_state=0)
    np.testing.assert_array_equal(data.y, data.signal)
    assert data.noise_std == 0.0


def test_no_signal_gives_standard_normal_noise():
    data = make_sparse_regression(4000, 5, n_nonzero=0, snr=1.0, random_state=0)
    assert data.support.size == 0
    assert data.noise_std == 1.0
    assert abs(data.y.std() - 1) < 0.05


@pytest.mark.parametrize(
    ("coef", "expected"),
    [
        ("ones", np.ones(4)),
        ("sign", np.ones(4)),
        ("geometric", 0.8 ** np.arange(4)),
    ],
)
def test_coefficient_magnitudes(coef, expected):
    data = make_sparse_regression(
        20, 12, n_nonzero=4, coef=coef, support="even", random_state=0
    )
    np.testing.assert_array_equal(data.support, [0, 3, 6, 9])
    np.testing.assert_allclose(np.abs(data.coef[data.support]), expected)


def test_given_coefficients_are_copied():
    w = np.zeros(12)
    w[[2, 5]] = [1.0, -3.0]
    data = make_sparse_regression(20, 12, coef=w, random_state=0)
    np.testing.assert_array_equal(data.coef, w)
    assert not np.shares_memory(data.coef, w)
    np.testing.assert_array_equal(data.support, [2, 5])


@pytest.mark.parametrize("design", DESIGNS)
def test_same_seed_same_bytes(design):
    one = make_sparse_regression(20, 30, design=design, random_state=7)
    two = make_sparse_regression(20, 30, design=design, random_state=7)
    other = make_sparse_regression(20, 30, design=design, random_state=8)
    assert one.X.tobytes() == two.X.tobytes() and one.y.tobytes() == two.y.tobytes()
    assert one.X.tobytes() != other.X.tobytes()


def test_return_pair():
    X, y = make_sparse_regression(20, 30, return_X_y=True, random_state=0)
    assert X.shape == (20, 30) and y.shape == (20,)


def test_large_sparse_design_stays_small():
    data = make_sparse_regression(
        2000, 200_000, n_nonzero=50, density=1e-4, random_state=0
    )
    assert data.X.shape == (2000, 200_000)
    assert abs(data.X.nnz / (2000 * 200_000) / 1e-4 - 1) < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_nonzero": 31}, "n_nonzero=31 exceeds n_features=30"),
        ({"design": "factor", "density": 0.1}, "has no sparse form"),
        ({"design": "block", "rho": -0.1}, "block design"),
        ({"rho": -0.5, "density": 0.1}, "sparse Toeplitz design"),
        ({"snr": float("nan")}, "snr must be positive"),
        ({"snr": -1.0}, "snr must be positive"),
        ({"coef": np.ones(5)}, r"coef has shape \(5,\)"),
        ({"coef": np.full(30, np.nan)}, "NaN or infinity"),
        ({"rho": 1.0}, "rho"),
        ({"density": 0.0}, "density"),
        ({"design": "toplitz"}, "design"),
    ],
)
def test_bad_input_says_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_sparse_regression(20, 30, **arguments)


@pytest.mark.parametrize("factor_noise", [0.05, 2.0])
def test_factors_leave_as_much_as_they_are_told_to(factor_noise):
    options = {"n_features": 40, "n_factors": 3, "factor_noise": factor_noise}
    covariance = make_correlated_features(
        n_samples=5, design="factor", return_covariance=True, random_state=0, **options
    ).covariance
    np.testing.assert_allclose(np.diag(covariance), 1.0)
    values = np.linalg.eigvalsh(covariance)[::-1]
    # Three directions, and below them what is left: noise over loadings and noise.
    assert values[2] > 3 * values[3] or factor_noise > 1
    left = np.median(values[3:])
    assert left == pytest.approx(factor_noise**2 / (3 + factor_noise**2), rel=0.6)
    shared = make_sparse_regression(30, design="factor", random_state=0, **options).X
    same = make_sparse_regression(30, design="factor", random_state=0, **options).X
    np.testing.assert_array_equal(shared, same)


@pytest.mark.parametrize("support", ["random", "even", "first"])
def test_supports_lie_where_they_should(support):
    data = make_sparse_regression(20, 50, n_nonzero=5, support=support, random_state=0)
    np.testing.assert_array_equal(data.support, np.flatnonzero(data.coef))
    assert len(data.support) == 5
    if support == "first":
        np.testing.assert_array_equal(data.support, np.arange(5))
    if support == "even":
        assert np.ptp(np.diff(data.support)) <= 1
