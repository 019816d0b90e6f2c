r"""Sparse linear regression from privatized records.

No coordinator sees a record: each user sends one message of

.. math:: x_i y_i, \; x_i x_i^\top \quad\text{or}\quad x_i (x_i^\top \theta - y_i)

that has been randomized on the user's side.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_X_y
from sklearn.utils.validation import validate_data

from sparsestat._utils.compat import (
    CallbackSupportMixin,
    Interval,
    Options,
    StrOptions,
    fit_context,
)
from sparsestat._utils.progress import FitProgress
from sparsestat.linear_model._predictors import LinearPredictor
from sparsestat.linear_model._private._clients import chunk_size
from sparsestat.linear_model._private._protocol import ProtocolMixin
from sparsestat.linear_model._private._randomizers import make_generator
from sparsestat.linear_model._private._users import BlockUsers, Users

__all__ = ["LDPSparseRegressor"]


class LDPSparseRegressor(CallbackSupportMixin, ProtocolMixin, LinearPredictor):
    r"""Sparse linear regression under local differential privacy.

    Fits :math:`y \approx x^\top \theta` with few nonzero coefficients when nobody may
    collect the records. Each user randomizes a statistic of the own record and sends
    only that, once; whatever is computed from the messages keeps the guarantee

    .. math:: P(\text{message} \in A \mid r) \le e^{\epsilon}
        P(\text{message} \in A \mid r') + \delta
        \qquad \text{for all records } r, r' \text{ and sets } A .

    ``method="iht"`` splits the users into `n_rounds` groups; each sends its gradient at
    the current coefficients, and the server takes a step and keeps the largest entries
    (iterative hard thresholding). It needs a round trip for each group, has delta = 0
    and is by far the more accurate. ``method="nldp"`` needs no interaction: users send
    second moments, from which a closed form estimates the coefficients.

    Use it when there are many users (the noise of d features falls as
    :math:`\sqrt{d / n} / \epsilon`; below some ten thousand users expect little) and
    each holds one record. If a trusted curator exists, central differential privacy
    needs far fewer records; without privacy, :class:`Lasso` or
    :class:`ElementaryEstimator` do. Read more in the
    :ref:`User Guide <private_regression>`.

    Parameters
    ----------
    epsilon : float, default=1.0
        Budget of each user: log of the largest likelihood ratio of a message.
    delta : float, default=None
        Probability mass that may break the ratio, for ``method="nldp"`` with Gaussian
        noise; well below 1 / n_samples. Not used otherwise.
    n_nonzero : int, default=None
        Nonzero coefficients. None takes a tenth of the features, at least 1, for
        ``method="iht"``, and soft-thresholds at the noise level for
        ``method="nldp"``.
    method : {"iht", "nldp"}, default="iht"
        Sequentially interactive, or not at all.
    x_bound : float, default=None
        Public bound of the Euclidean norm of a row, or of each of its entries with
        ``clipping="coordinate"``. Longer rows are clipped. It must be chosen without
        looking at the data, e.g. from the units of the features.
    y_bound : float, default=None
        Public bound of \|y\|, chosen the same way.
    grad_bound : float, default=None
        Public bound of the norm of a gradient in the first round; longer gradients are
        shortened. None takes 6, which suits features and targets of unit variance, or
        the largest norm that the other bounds allow, if that is smaller.
    grad_decay : float, default=0.8
        Factor on that bound from one round to the next, at least 1e-3. Gradients
        shrink as the coefficients become right, and the noise is proportional to the
        bound.
    n_rounds : int, default=6
        Groups of users, of about `n_samples` / `n_rounds` each (``method="iht"``).
    step : float, default=0.7
        Step size; below 2 over the largest eigenvalue of the covariance.
    expand : int, default=1
        All rounds but the last keep ``expand * n_nonzero`` entries.
    coef_bound : float, default=1.0
        Public bound of the Euclidean norm of the coefficients, to which they are
        projected after each round; `certificate_` says whether that was so at the end.
        Infinity leaves them alone.
    clipping : {"norm", "coordinate"}, default="norm"
        What `x_bound` bounds. "norm" shortens a row together with its y. With
        ``method="nldp"``, "coordinate" is the published variant, which releases two
        moments with half the budget each and has sensitivities of order d.
    mechanism : {"gaussian", "sphere"}, default="gaussian"
        Noise of ``method="nldp"``: Gaussian, calibrated exactly, or a random point on
        a sphere, which needs no `delta` and is the less noisy one up to an epsilon of
        about 5. ``method="iht"`` always uses the sphere.
    public_X : array-like of shape (n_public, n_features), default=None
        Rows without y that are not private, of the same distribution. With them,
        ``method="nldp"`` users send x y alone, with the whole budget. The rows
        themselves are used by the server only; on a device any others will do.
    simulate : {"users", "aggregate"}, default="users"
        Whether `fit` draws the message of every user, or, for Gaussian noise, the
        noise of their mean at once, which has the same distribution. "aggregate" costs
        O(n d^2) products instead of as many random numbers. It is a simulation: it
        computes the exact sum in one place, which a deployment never does.
    strict : bool, default=True
        Whether a missing bound is an error. If not, it is taken from the data with a
        warning, and the guarantee is void.
    n_jobs : int, default=None
        Workers over chunks of users. The result does not depend on it.
    verbose : int, default=0
        At 1 and above, log a line per round.
    random_state : int, RandomState instance or None, default=None
        For tests and benchmarks only: noise that can be drawn again protects nobody.
        None seeds from the operating system, whatever numpy's global seed.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients.
    intercept_ : float
        Zero; see the notes.
    support_ : ndarray of shape (n_nonzero,)
        Indices of the nonzero coefficients.
    privacy_ledger_ : list of dict
        One entry for each release: `mechanism`, `quantity`, `group`, `group_size`,
        `epsilon`, `delta`, `sensitivity` and `noise_scale`. Groups are disjoint sets
        of users.
    epsilon_spent_ : float
        Spent by the most exposed user; infinite if a bound was taken from the data.
    delta_spent_ : float
        Spent by the most exposed user.
    n_iter_ : int
        Rounds of messages.
    certificate_ : Certificate
        Of kind "none": nothing about the answer can be proved from noisy messages. Its
        details repeat what was spent.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, when X has string column names.

    Raises
    ------
    ValueError
        If a bound is missing and `strict` is set; if ``method="nldp"`` with Gaussian
        noise has no `delta` in (0, 1); if there are fewer users than rounds.

    Warns
    -----
    PrivacyLeakWarning
        If a bound was taken from the data (``strict=False``).

    See Also
    --------
    ElementaryEstimator : The closed form without privacy.
    Lasso : Sparse regression when the data may be seen.

    Notes
    -----
    The guarantee is that of the messages of :meth:`privatize`; `fit` runs the whole
    protocol in one process, for planning and for tests, and stores nothing of the data
    but what the messages say. No weights of samples are accepted: a weight would itself
    be private.

    There is no intercept. Append a constant column, and count it in `x_bound` and
    `n_nonzero`.

    `fit` costs O(n d) for ``method="iht"`` and O(n d^2) for ``method="nldp"``, with one
    random number for each product unless ``simulate="aggregate"``. Beside X it holds
    the rows of one round and about eight megabytes of messages for each worker.

    Random numbers come from numpy's PCG64, which is not cryptographic, and the proofs
    are for real numbers, not for floating point [4]_.

    References
    ----------
    .. [1] L. Zhu, M. Ding, V. Aggarwal, J. Xu, D. Wang, "Improved analysis of sparse
       linear regression in local differential privacy model", ICLR, 2024.
    .. [2] J. Duchi, M. Jordan, M. Wainwright, "Minimax optimal procedures for locally
       private estimation", JASA 113, 2018.
    .. [3] B. Balle, Y.-X. Wang, "Improving the Gaussian mechanism for differential
       privacy: analytical calibration and optimal denoising", ICML, 2018.
    .. [4] I. Mironov, "On significance of the least significant bits for differential
       privacy", CCS, 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsestat.linear_model import LDPSparseRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100_000, 20))
    >>> y = X[:, [3, 8]] @ [0.8, -0.5] + 0.1 * rng.standard_normal(100_000)
    >>> model = LDPSparseRegressor(
    ...     epsilon=2.0, n_nonzero=2, x_bound=5.0, y_bound=2.5, random_state=0
    ... ).fit(X, y)
    >>> model.support_
    array([3, 8])
    >>> model.coef_[model.support_].round(1)
    array([ 0.8, -0.5])
    >>> model.epsilon_spent_, sum(e["group_size"] for e in model.privacy_ledger_)
    (2.0, 100000)
    """

    _parameter_constraints = {
        "epsilon": [Interval(Real, 1e-100, None, closed="left")],
        "delta": [Interval(Real, 0, 1, closed="left"), None],
        "n_nonzero": [Interval(Integral, 1, None, closed="left"), None],
        "method": [StrOptions({"iht", "nldp"})],
        "x_bound": [Interval(Real, 0, None, closed="neither"), None],
        "y_bound": [Interval(Real, 0, None, closed="neither"), None],
        "grad_bound": [Interval(Real, 0, None, closed="neither"), None],
        "grad_decay": [Interval(Real, 1e-3, 1, closed="both")],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "step": [Interval(Real, 0, 1e75, closed="right")],
        "expand": [Interval(Integral, 1, None, closed="left")],
        "coef_bound": [
            Interval(Real, 0, None, closed="neither"),
            Options(Real, {math.inf}),
        ],
        "clipping": [StrOptions({"norm", "coordinate"})],
        "mechanism": [StrOptions({"gaussian", "sphere"})],
        "public_X": ["array-like", None],
        "simulate": [StrOptions({"users", "aggregate"})],
        "strict": ["boolean"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        epsilon=1.0,
        delta=None,
        n_nonzero=None,
        method="iht",
        x_bound=None,
        y_bound=None,
        grad_bound=None,
        grad_decay=0.8,
        n_rounds=6,
        step=0.7,
        expand=1,
        coef_bound=1.0,
        clipping="norm",
        mechanism="gaussian",
        public_X=None,
        simulate="users",
        strict=True,
        n_jobs=None,
        verbose=0,
        random_state=None,
    ):
        self.epsilon = epsilon
        self.delta = delta
        self.n_nonzero = n_nonzero
        self.method = method
        self.x_bound = x_bound
        self.y_bound = y_bound
        self.grad_bound = grad_bound
        self.grad_decay = grad_decay
        self.n_rounds = n_rounds
        self.step = step
        self.expand = expand
        self.coef_bound = coef_bound
        self.clipping = clipping
        self.mechanism = mechanism
        self.public_X = public_X
        self.simulate = simulate
        self.strict = strict
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Run the whole protocol on simulated users.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            One row for each user. Never modified; CSR is read in chunks.
        y : array-like of shape (n_samples,)
            Targets.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        self._check_budget()
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            y_numeric=True,
        )
        return self._simulate(Users(X, y, self.n_jobs))

    def _fit_blocks(self, blocks):
        """Simulate users whose records come in blocks, each with noise of its own."""
        self._check_budget()
        users = BlockUsers(blocks, self.n_jobs, type(self).__name__)
        return self._simulate(users)

    def _simulate(self, users):
        rng, n = make_generator(self.random_state), users.n
        self._start(self.n_features_in_, self._bounds(users.extent))
        if self.method == "nldp":
            client = self._moment_client()
            if self.simulate == "aggregate":
                mean = client.noisy_mean(users.total(client), n, rng)
            else:
                mean = users.mean_message(client, np.arange(n), rng)
            return self._receive_mean(mean, n)
        if n < self.n_rounds:
            raise ValueError(
                f"n_samples={n} users cannot form {self.n_rounds} groups. "
                "Pass more rows, or lower n_rounds."
            )
        groups = np.array_split(rng.permutation(n), self.n_rounds)
        # Callbacks get no data: stopping by a score of private rows would leak.
        with FitProgress(self, self.n_rounds, verbose=self.verbose) as progress:
            for group in groups:
                client = self._gradient_client()
                mean = users.mean_message(client, np.sort(group), rng)
                before = self.coef_
                self._receive_mean(mean, len(group))
                if progress.step(change=np.linalg.norm(self.coef_ - before)):
                    break
        return self

    def privatize(self, X, y, *, coef=None, group=0):
        """Make the message of each user: what may leave the user's device.

        This is the client. It needs no fit, changes nothing, and computes the message
        of a row from that row and the parameters alone. Each user must be asked once.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            One row for each user; a single row is the usual case.
        y : array-like of shape (n_samples,)
            Targets.
        coef : array-like of shape (n_features,), default=None
            The server's current `coef_` (``method="iht"``). None is zero, where the
            server starts.
        group : int, default=0
            The round that the user takes part in (``method="iht"``).

        Returns
        -------
        messages : generator of ndarray
            One for each row: a randomized gradient of shape (n_features,), or
            randomized second moments. Bad input is refused at once.
        """
        self._validate_params()
        self._check_budget()
        X, y = check_X_y(
            X, y, accept_sparse="csr", dtype=[np.float64, np.float32], y_numeric=True
        )
        n, d = X.shape
        if self.method == "iht" and group not in range(self.n_rounds):
            raise ValueError(
                f"`group` must be from 0 to n_rounds - 1 = {self.n_rounds - 1}, got "
                f"{group}."
            )
        coef = np.zeros(d) if coef is None else np.asarray(coef, dtype=np.float64)
        if coef.shape != (d,) or not np.isfinite(coef).all():
            raise ValueError(
                f"`coef` must be {d} finite numbers, one for each feature, got shape "
                f"{coef.shape}."
            )
        client = self._client(d, self._public_bounds(), coef, group)
        rng = make_generator(self.random_state)
        size = chunk_size(client.length)

        def messages():
            for start in range(0, n, size):
                rows = slice(start, start + size)
                yield from client.messages(X[rows], y[rows], rng)

        return messages()

    def receive(self, messages, *, n_features=None, reset=False):
        """Take in the messages of one group of users: the server's side.

        With ``method="nldp"`` one call completes the fit. With ``method="iht"`` each
        call is one round and updates `coef_`, to be sent to the next group, until
        `n_rounds` groups were heard.

        Parameters
        ----------
        messages : iterable of array-like
            Of :meth:`privatize`, one for each user of the group; read once, so that a
            generator will do.
        n_features : int, default=None
            Number of features. None infers it from the length of a message.
        reset : bool, default=False
            Begin again with the first group, forgetting earlier rounds.

        Returns
        -------
        self : object
            Estimator after this round.
        """
        self._validate_params()
        self._check_budget()
        total, n = None, 0
        for message in messages:
            message = np.asarray(message, dtype=np.float64)
            if message.ndim != 1 or not np.isfinite(message).all():
                raise ValueError("A message must be a vector of finite numbers.")
            if total is None:
                total = np.zeros(len(message))
            elif message.shape != total.shape:
                raise ValueError(
                    f"Messages have lengths {len(total)} and {len(message)}; all must "
                    "come from one protocol."
                )
            total += message
            n += 1
        if n == 0:
            raise ValueError("No messages were received. Pass those of one group.")
        fresh = reset or self.method == "nldp" or not hasattr(self, "_protocol")
        if fresh:
            d = self._features_of(len(total)) if n_features is None else n_features
            self._start(d, self._public_bounds())
            self.n_features_in_ = d
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        elif self.n_iter_ >= self.n_rounds:
            raise ValueError(
                f"All n_rounds={self.n_rounds} groups were heard. Pass reset=True to "
                "begin again with new users."
            )
        expected = self._client(
            self.n_features_in_, self._protocol, self.coef_, self.n_iter_
        ).length
        if len(total) != expected:
            raise ValueError(
                f"Messages have length {len(total)}, but {expected} is that of "
                f"{self.n_features_in_} features under these parameters."
            )
        return self._receive_mean(total / n, n)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # noise, by design
        return tags
