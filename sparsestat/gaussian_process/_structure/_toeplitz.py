r"""Symmetric Toeplitz covariance matrices of even grids, by their first column alone.

On an even grid a stationary kernel gives the matrix :math:`T_{ij} = c_{|i-j|}`.
Everything that Gaussian-process regression asks of it is found in O(n^2) time and O(n)
memory, or less; no n x n array is ever made.

- :func:`even_grid` tells whether points stand on an even grid, and in which order.
- :func:`factor_toeplitz` runs Levinson's recursion: solutions, log-determinant and the
  generator u = T^{-1} e_0 of the inverse, as a :class:`ToeplitzFactor`.
- :meth:`ToeplitzFactor.solve` applies the inverse to further vectors by FFT.
- :func:`inverse_diagonal_sums` returns :math:`S_k = \sum_j (T^{-1})_{j,j+k}` and
  :func:`autocorrelation` :math:`r_k = \sum_j a_j a_{j+k}`, by FFT. For any other
  Toeplitz matrix with the first column c, ``contract(c, S)`` is the trace of
  :math:`T^{-1} T_c` and ``contract(c, r)`` the quadratic form :math:`a' T_c a`.
- :func:`toeplitz_product` is T times vectors by FFT.
- :func:`sample_toeplitz` draws from N(0, T), by circulant embedding where that is exact
  and by Levinson's recursion elsewhere.

References
----------
.. [1] I. Gohberg, A. Semencul, "On the inversion of finite Toeplitz matrices and their
   continuous analogs", Mat. Issled. 7, 1972.
.. [2] G. H. Golub, C. F. Van Loan, "Matrix computations", section 4.7, 4th edition,
   2013.
.. [3] C. R. Dietrich, G. N. Newsam, "Fast and exact simulation of stationary Gaussian
   processes through circulant embedding of the covariance matrix", SIAM Journal on
   Scientific Computing 18, 1997.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, field

import numpy as np
from scipy import fft
from scipy.linalg import cho_factor, cho_solve, lapack, toeplitz

from sparsestat._utils.arithmetic import EPS
from sparsestat._utils.validation import read_only

__all__ = [
    "DenseToeplitzFactor",
    "ToeplitzFactor",
    "autocorrelation",
    "contract",
    "even_grid",
    "factor_toeplitz",
    "grid_tolerance",
    "inverse_diagonal_sums",
    "sample_toeplitz",
    "stable_factor",
    "toeplitz_product",
]

# Entries of one block of vectors that are transformed together.
_BLOCK = 1 << 21
_INSIDE_ROWS, _INSIDE_LENGTH = 8, 3000  # right-hand sides solved by the recursion
_DENSE, _SINGULAR = 1500, 1e-7  # least variance of prediction that calls for Cholesky
_COARSE = 1e-3  # of a step: more rounding than this hides the grid
_DIRECT = 1000  # up to this length sums of products beat Fourier transforms


def even_grid(x, *, rtol=1e-8):
    """Tell whether points on a line stand on an even grid.

    Points far from zero were rounded when they were stored: that is allowed for, up to
    a thousandth of the step.

    Parameters
    ----------
    x : ndarray of shape (n,)
        The points, in any order.
    rtol : float, default=1e-8
        Largest deviation of a distance from the median distance, relative to it,
        beside the rounding of the points.

    Returns
    -------
    order : ndarray of shape (n,) or None
        Puts the points in ascending order; None if they are not on an even grid
        (points that appear twice are not).
    step : float
        The distance of neighbors; 1 for a single point, nan when uneven.
    """
    order = np.argsort(x, kind="stable")
    if len(x) < 2:
        return order, 1.0
    gaps = np.diff(x[order])
    step = float(np.median(gaps))
    room = grid_tolerance(x, step, rtol)
    if not step > 0 or np.abs(gaps - step).max() > room * step:
        return None, float("nan")
    # The mean is the more precise of the two: its error is divided by n.
    mean = float((x[order[-1]] - x[order[0]]) / (len(x) - 1))
    places = x[order] - x[order[0]] - mean * np.arange(len(x))
    # Rounding does not add up along the grid; a drift of the gaps does.
    if np.abs(places).max() > max(room, rtol * len(x)) * mean:
        return None, float("nan")
    return order, mean


def grid_tolerance(x, step, rtol=1e-8):
    """Return by how much of a step rounded points may be off an even grid."""
    if not step > 0:
        return rtol
    return max(rtol, min(4.0 * EPS * float(np.abs(x).max()) / step, _COARSE))


@dataclass(frozen=True)
class ToeplitzFactor:
    """What Levinson's recursion finds out about a positive definite Toeplitz matrix.

    Parameters
    ----------
    column : ndarray of shape (n,)
        First column of the matrix T.
    generator : ndarray of shape (n,)
        First column of the inverse.
    variances : ndarray of shape (n,)
        Variances of the errors of prediction from 0, 1, ... values before.
    log_det : float
        Logarithm of the determinant.
    solution : ndarray or None
        The inverse times the vectors that were given, in their shape.
    """

    column: np.ndarray
    generator: np.ndarray
    variances: np.ndarray
    log_det: float
    solution: np.ndarray | None = None
    _spectra: dict = field(default_factory=dict, repr=False, compare=False)

    def inverse_sums(self):
        """Return the sums along the diagonals of the inverse."""
        return inverse_diagonal_sums(self.generator)

    def solve(self, V, *, refine=True):
        """Return the inverse times vectors, in O(n log n) a vector.

        Parameters
        ----------
        V : ndarray of shape (n,) or (n_vectors, n)
            One vector, or one in each row.
        refine : bool, default=True
            Correct the result once by its own residual.

        Returns
        -------
        X : ndarray of the shape of V
            The solutions.
        """
        rows = np.atleast_2d(V)
        X = np.empty(rows.shape)
        size = max(1, _BLOCK // len(self.column))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            X[start : start + size] = self._inverse_product(part)
            if refine:
                X[start : start + size] += self._inverse_product(
                    part - toeplitz_product(self.column, X[start : start + size])
                )
        return X.reshape(np.shape(V))

    def _inverse_product(self, V):
        """Multiply rows by the inverse, after Gohberg and Semencul.

        With lower triangular Toeplitz matrices A, whose first column is u, and B, whose
        first column is (0, u_{n-1}, ..., u_1), the inverse is (A A' - B B') / u_0.
        """
        u = self.generator
        n = len(u)
        size = fft.next_fast_len(2 * n - 1, real=True)
        if not self._spectra:
            self._spectra["A"] = fft.rfft(u, size)
            self._spectra["B"] = fft.rfft(np.r_[0.0, u[:0:-1]], size)
        A, B = self._spectra["A"], self._spectra["B"]
        S = fft.rfft(V, size, axis=-1)
        first = fft.irfft(A.conj() * S, size, axis=-1)[..., :n]
        second = fft.irfft(B.conj() * S, size, axis=-1)[..., :n]
        S = A * fft.rfft(first, size, axis=-1)
        S -= B * fft.rfft(second, size, axis=-1)
        return fft.irfft(S, size, axis=-1)[..., :n] / u[0]


class DenseToeplitzFactor:
    """The same of a small matrix that is nearly singular, by Cholesky's factorization.

    Levinson's recursion loses digits as the condition number grows, in gradients as
    well; this loses none beyond the data's. What was not observed is left out from the
    start: its inverse is zero there.

    Parameters
    ----------
    column : ndarray of shape (n,)
        First column of the matrix T.
    y : ndarray of shape (n,) or (n_vectors, n)
        Vectors, zero where there was no observation.
    observed : ndarray of bool of shape (n,), default=None
        Rows and columns of T that count; None for all.
    """

    def __init__(self, column, y, observed=None):
        n = len(column)
        self.column = column
        self._observed = np.arange(n) if observed is None else np.flatnonzero(observed)
        rows = self._observed
        self._factor = cho_factor(toeplitz(column)[np.ix_(rows, rows)], lower=True)
        pivots = np.diag(self._factor[0]) ** 2
        if pivots.min() <= EPS * n * column[0]:
            raise np.linalg.LinAlgError(
                "The Toeplitz covariance is singular to working precision: its least "
                f"pivot is {pivots.min():.1e} beside a variance of {column[0]:.1e}. "
                "Raise the noise variance."
            )
        self.log_det = float(np.log(pivots).sum())
        self.solution = self.solve(y)

    def solve(self, V, *, refine=True):
        """Return the inverse times vectors, one or one in each row."""
        V = np.asarray(V)
        X = np.zeros(V.shape)
        X[..., self._observed] = self._solved(V)
        if refine:
            rest = V - toeplitz_product(self.column, X)
            X[..., self._observed] += self._solved(rest)
        return X

    def _solved(self, V):
        return cho_solve(self._factor, V[..., self._observed].T).T

    def inverse_sums(self):
        """Return the sums along the diagonals of the inverse."""
        n = len(self.column)
        inverse = np.zeros((n, n))
        lower = lapack.dpotri(self._factor[0], lower=1)[0]
        inverse[np.ix_(self._observed, self._observed)] = lower
        return np.array([np.trace(inverse, -k) for k in range(n)])


def stable_factor(column, y, observed=None):
    """Factor a Toeplitz matrix by the recursion, or densely where that is imprecise.

    Parameters
    ----------
    column : ndarray of shape (n,)
        First column of T.
    y : ndarray of shape (n,) or (n_vectors, n)
        Vectors, zero where there was no observation.
    observed : ndarray of bool of shape (n,), default=None
        What a dense factor is made of; None for all. The recursion takes all of T.

    Returns
    -------
    factor : ToeplitzFactor or DenseToeplitzFactor
        With the solutions for y.
    """
    small = len(column) <= _DENSE
    try:
        factor = factor_toeplitz(column, y)
    except np.linalg.LinAlgError:
        if not small:
            raise
        return DenseToeplitzFactor(column, y, observed)
    if small and factor.variances.min() <= _SINGULAR * column[0]:
        return DenseToeplitzFactor(column, y, observed)
    return factor


def factor_toeplitz(column, Y=None, *, refine=True):
    """Run Levinson's recursion on a symmetric Toeplitz matrix T.

    Parameters
    ----------
    column : ndarray of shape (n,)
        First column of T, with the noise variance in its first entry.
    Y : ndarray of shape (n,) or (n_vectors, n), default=None
        Right-hand sides, one in each row.
    refine : bool, default=True
        Correct the solutions once by their residuals.

    Returns
    -------
    factor : ToeplitzFactor
        With the solutions for Y.

    Raises
    ------
    numpy.linalg.LinAlgError
        If T is not positive definite to working precision. The caller may raise the
        noise variance or turn to a dense factorization.

    Notes
    -----
    2 n^2 multiplications, and as many for each right-hand side; where these are many or
    long they are solved by FFT afterwards. The errors of the solutions grow like the
    condition number of T, as those of Cholesky's factorization do.
    """
    from sparsestat.gaussian_process._structure import _kernels_toeplitz as kernels

    column = np.ascontiguousarray(column, dtype=np.float64)
    n = len(column)
    rows = np.zeros((0, n)) if Y is None else np.atleast_2d(Y)
    rows = np.ascontiguousarray(rows, dtype=np.float64)
    inside = len(rows) <= _INSIDE_ROWS and n <= _INSIDE_LENGTH
    X, generator, variances, failed = kernels.levinson(
        read_only(column), read_only(rows if inside else rows[:0])
    )
    if failed >= 0:
        raise np.linalg.LinAlgError(
            f"The Toeplitz covariance is not positive definite: the variance of "
            f"prediction of order {failed} is {variances[failed]:.3e}, that of order 0 "
            f"{column[0]:.3e}. Raise the noise variance."
        )
    log_det = float(np.log(variances).sum())
    factor = ToeplitzFactor(column, generator, variances, log_det)
    if Y is None:
        return factor
    if not inside:
        X = factor.solve(rows, refine=refine)
    elif refine:
        X += factor.solve(rows - toeplitz_product(column, X), refine=False)
    object.__setattr__(factor, "solution", X.reshape(np.shape(Y)))
    return factor


def toeplitz_product(column, V):
    """Return T times vectors, where T is symmetric with the first column given.

    Parameters
    ----------
    column : ndarray of shape (n,)
        First column of T.
    V : ndarray of shape (n,) or (n_vectors, n)
        One vector, or one in each row.

    Returns
    -------
    X : ndarray of the shape of V
        The products.
    """
    n = len(column)
    size = fft.next_fast_len(2 * n - 1, real=True)
    ring = np.zeros(size)
    ring[:n] = column
    ring[size - n + 1 :] = column[:0:-1]
    # The spectrum of a symmetric ring is real.
    spectrum = fft.rfft(ring).real
    return fft.irfft(spectrum * fft.rfft(V, size, axis=-1), size, axis=-1)[..., :n]


def _correlate(p, q):
    """Return sum_j p_j q_{j+k} for k = 0, ..., n - 1."""
    n = len(p)
    size = fft.next_fast_len(2 * n - 1, real=True)
    return fft.irfft(fft.rfft(p, size).conj() * fft.rfft(q, size), size)[:n]


def autocorrelation(a):
    """Return r_k = sum_j a_j a_{j+k}, summed over the rows of a if there are several.

    Parameters
    ----------
    a : ndarray of shape (n,) or (n_vectors, n)
        One vector, or one in each row.

    Returns
    -------
    r : ndarray of shape (n,)
        Sums along the diagonals of a' a.
    """
    rows = np.atleast_2d(a)
    n = rows.shape[1]
    if n <= _DIRECT and len(rows) <= _INSIDE_ROWS:
        from sparsestat.gaussian_process._structure import _kernels_toeplitz as kernels

        return kernels.autocorrelate(read_only(np.ascontiguousarray(rows)))
    size = fft.next_fast_len(2 * n - 1, real=True)
    power = np.zeros(size // 2 + 1)
    step = max(1, _BLOCK // n)
    for start in range(0, len(rows), step):
        spectrum = fft.rfft(rows[start : start + step], size, axis=-1)
        power += (spectrum.real**2 + spectrum.imag**2).sum(axis=0)
    return fft.irfft(power, size)[:n]


def inverse_diagonal_sums(generator):
    r"""Return the sums along the diagonals of the inverse of a Toeplitz matrix.

    Parameters
    ----------
    generator : ndarray of shape (n,)
        First column u of the inverse.

    Returns
    -------
    S : ndarray of shape (n,)
        :math:`S_k = \sum_j (T^{-1})_{j,j+k}
        = \sum_j (n - k - 2j) u_j u_{j+k} / u_0`.
    """
    n = len(generator)
    if n <= _DIRECT:
        from sparsestat.gaussian_process._structure import _kernels_toeplitz as kernels

        return kernels.inverse_sums(read_only(generator))
    k = np.arange(n)
    both = (n - k) * _correlate(generator, generator)
    both -= 2.0 * _correlate(k * generator, generator)
    return both / generator[0]


def contract(columns, sums):
    """Return sum_{ij} c_{|i-j|} M_{ij}, given the sums along the diagonals of M.

    Parameters
    ----------
    columns : ndarray of shape (n,) or (n_matrices, n)
        First columns of symmetric Toeplitz matrices.
    sums : ndarray of shape (n,) or (n, n_sums)
        Of a symmetric matrix: ``inverse_diagonal_sums`` or ``autocorrelation``.

    Returns
    -------
    traces : float or ndarray
        One for each matrix and each M.
    """
    twice = 2.0 * sums
    twice[0] = sums[0]
    return columns @ twice


def sample_toeplitz(column, n_samples, random_state, *, longer=None):
    """Draw from the normal distribution with a Toeplitz covariance.

    Parameters
    ----------
    column : ndarray of shape (n,)
        First column of the covariance.
    n_samples : int
        Number of draws.
    random_state : numpy.random.RandomState
        Source of the normals.
    longer : callable, default=None
        Called with a length, returns the column continued to it. Rings of more than
        2 n points may be non-negative where the smallest is not.

    Returns
    -------
    samples : ndarray of shape (n_samples, n)
        One draw in each row.
    method : {"circulant", "levinson"}
        Circulant embedding costs O(n log n) a draw and is exact where the ring's
        spectrum is non-negative; elsewhere the draws come from Levinson's recursion,
        which is exact for every positive definite covariance.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance is not positive definite.
    """
    n = len(column)
    for factor in (1, 2, 4):
        if factor > 1:
            if longer is None or n == 1:
                break
            column_here = longer(factor * (n - 1) + 1)
        else:
            column_here = column
        ring = np.r_[column_here, column_here[-2:0:-1]]
        spectrum = fft.rfft(ring).real
        if spectrum.min() < -1e-12 * spectrum.max():
            continue
        size = len(ring)
        scale = np.sqrt(np.maximum(spectrum, 0.0))
        # The transform of white noise is white: scaled, it has the ring's spectrum.
        Z = random_state.standard_normal((n_samples, size))
        return fft.irfft(scale * fft.rfft(Z, axis=-1), size, axis=-1)[:, :n], (
            "circulant"
        )
    from sparsestat.gaussian_process._structure import _kernels_toeplitz as kernels

    column = np.ascontiguousarray(column, dtype=np.float64)
    Z = random_state.standard_normal((n_samples, n))
    X, failed = kernels.levinson_sample(read_only(column), read_only(Z))
    if failed >= 0:
        raise np.linalg.LinAlgError(
            "The Toeplitz covariance is not positive definite: no draws can be made. "
            "Raise the noise variance."
        )
    return X, "levinson"
