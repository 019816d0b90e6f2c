"""The partial likelihood of survival times as a datafit; see ``_datafits``."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal

from sparsestat._utils.samples import check_counts
from sparsestat.linear_model._penalized._datafits import Datafit
from sparsestat.linear_model._penalized._interval_sums import IntervalSums

__all__ = ["Cox", "StratifiedCox", "partial_likelihood"]

_SINGLE_TERMS, _RULE_SIZE = 32, 12  # of Efron's sums: one by one, nodes of a rule
# Range of eta within which plain sums of exponentials keep all their terms.
_PLAIN_RANGE = 500.0
# Least share of what is taken off a sum that a difference of sums must leave.
_LEFT_OVER = 1e-5


def _efron_terms(mass):
    """Return the steps l of Efron's sum over tied events, and their counts.

    The terms are smooth functions of l with a singularity at l = mass or beyond. The
    last ones are taken one by one; before them come runs that double in length, each
    as far from the singularity as it is long, so that a Gauss rule for the sum over a
    run is exact to rounding.
    """
    last = max(int(np.ceil(mass - 1e-12)), 1)
    steps = [np.arange(max(last - _SINGLE_TERMS, 0), last, dtype=np.float64)]
    counts = [np.minimum(1.0, mass - steps[0])]
    start = int(steps[0][0])
    while start > 0:
        length = min(last - start, start)
        start -= length
        nodes, sizes = _sum_rule(length)
        steps.append(start + nodes)
        counts.append(sizes)
    return np.concatenate(steps), np.concatenate(counts)


def _sum_rule(length):
    """Gauss rule for the sum over 0, ..., length - 1 of a smooth function.

    The nodes are the zeros of a discrete Chebyshev polynomial, found from its
    three-term recurrence (Golub and Welsch 1969).
    """
    if length <= _RULE_SIZE:
        return np.arange(length, dtype=np.float64), np.ones(length)
    k = np.arange(1.0, _RULE_SIZE)
    beside = 0.5 * np.sqrt(k * k * (1.0 - (k / length) ** 2) / (4.0 * k * k - 1.0))
    nodes, vectors = eigh_tridiagonal(np.zeros(_RULE_SIZE), beside)
    return 0.5 * (length - 1.0) + length * nodes, length * vectors[0] ** 2


class RiskCells(NamedTuple):
    """Runs of event times (cells) whose risk sets are summed up together.

    Parameters
    ----------
    rows : dict of ndarray of shape (n_samples,)
        For each sample its `risk`; the `cell` of the last event time that it is at risk
        of, counted from one (0: of none), and the `part` of the rates of that cell that
        meets it; `early_cell` and `early_part` of what lies before its entry.
    rates, masses : ndarray of shape (n_cells,)
        Events for a unit of risk, and events.
    strata : ndarray of int of shape (n_cells,)
    """

    rows: dict
    rates: np.ndarray
    masses: np.ndarray
    strata: np.ndarray

    def means(self, risk, part):
        """Return means of columns over risk sets, times the roots of the events.

        Parameters
        ----------
        risk, part : ndarray of shape (n_cells, n_columns)
            Sums of the columns over the samples of each cell, times their risk, and
            times their part of it; less those of entries.
        """
        later = np.zeros_like(risk)
        for stratum in range(int(self.strata[-1]) + 1):
            start, stop = np.searchsorted(self.strata, [stratum, stratum + 1])
            sums = np.cumsum(risk[start:stop][::-1], axis=0)[::-1]
            later[start : stop - 1] = sums[1:]
        M = self.rates[:, None] * later + part
        return M / np.sqrt(self.masses)[:, None]


class Cox(Datafit):
    """Negative log partial likelihood of right-censored survival times.

    Parameters
    ----------
    time : array-like of shape (n_samples,)
    event : array-like of bool of shape (n_samples,)
        True where the event was seen, False where the time is censored.
    sample_weight : array-like of shape (n_samples,), default=None
        Counts: an integer weight equals repetition, also for ties.
    ties : {"breslow", "efron"}, default="breslow"
    entry : array-like of shape (n_samples,), default=None
        When each sample came under observation: it is at risk of events after that
        (left truncation).

    Notes
    -----
    The predictor has no intercept. Samples are sorted by time once; every risk set
    is then a tail, and its sums are reverse cumulative sums. Efron's method with
    tied events of total weight D takes the terms l = 0, 1, ... of weight 1 below D
    (the last one of weight D - l when D is not whole). Long runs of terms are summed
    by Gauss rules for sums, so that memory does not grow with the weights.
    """

    has_intercept = False
    is_separable = False

    def __init__(self, time, event, sample_weight=None, *, ties="breslow", entry=None):
        super().__init__(time, sample_weight)
        self.event = np.asarray(event, dtype=bool)
        self.ties = ties
        order = np.argsort(self.y, kind="stable")
        self.order = order
        times, w = self.y[order], self.weights[order]
        self._w = w
        with np.errstate(divide="ignore"):
            self._log_w = np.log(w)
        self._hit = w * self.event[order]
        _, first, group = np.unique(times, return_index=True, return_inverse=True)
        mass = np.bincount(group, self._hit)
        # Only times with events matter: the others belong to no term.
        used = mass > 0
        self.event_times = times[first[used]]
        self._first = first[used]  # start of the risk set of each event time
        self._last = np.append(first[1:], self.n_samples)[used]  # end of its ties
        self._mass = mass[used]
        # Number of event times not later than each sample.
        self._reached = np.cumsum(used)[group]
        # Position among event times of each sample, and of those whose event it is.
        self._at = np.where(used[group], self._reached - 1, -1)
        self._tied = np.where(self._hit > 0, self._at, -1)
        if ties == "efron":
            check_counts(sample_weight, self.n_samples, "ties='efron'")
            terms = [_efron_terms(float(mass)) for mass in self._mass]
            sizes = [len(steps) for steps, _ in terms]
            self._term = np.repeat(np.arange(len(terms)), sizes)
            steps = np.concatenate([steps for steps, _ in terms])
            self._part = steps / self._mass[self._term]
            self._left = (self._mass[self._term] - steps) / self._mass[self._term]
            self._term_weight = np.concatenate([counts for _, counts in terms])
        else:
            self._term = np.arange(len(self._mass))
            self._part = np.zeros(len(self._mass))
            self._term_weight = self._mass
        self._entered = None
        if entry is not None:
            # Entries in increasing order, and the first one that is too late for each
            # event time; the event times that are too early for each sample.
            entry = np.asarray(entry, dtype=np.float64)[order]
            self._entered = np.argsort(entry, kind="stable")
            self._late = np.searchsorted(entry[self._entered], self.event_times)
            self._early = np.searchsorted(self.event_times, entry, side="right")
        # Ties that Efron's method tells from Breslow's.
        self._has_parts = bool(self._part.any())

    def _sums(self, eta):
        """Return the pieces of all sums at eta: sorted, in units of exp(top)."""
        z = eta[self.order]
        top = float(z.max())
        e = self._w * np.exp(z - top)
        tails = np.append(np.cumsum(e[::-1])[::-1], 0.0)
        late = self._not_yet(e)
        if not self._has_parts:
            risk = tails[self._first] - late
            if self._loses_digits(risk, late):
                risk = self._spans.at_positions(e)
            return z, top, e, risk, None
        # The risk set less its tied events: no difference of sums that may be equal.
        held = self._tied >= 0
        tied = np.bincount(self._tied[held], e[held], len(self._mass))
        beside = (self._at >= 0) & ~held
        rest = tails[self._last] - late
        rest = rest + np.bincount(self._at[beside], e[beside], len(self._mass))
        if self._loses_digits(rest, late):
            rest = self._spans_before.at_positions(e)
        return z, top, e, rest, tied

    def _loses_digits(self, left, taken):
        """Whether differences of sums leave less than their rounding allows."""
        return self._entered is not None and bool((left < _LEFT_OVER * taken).any())

    @cached_property
    def _spans(self):
        """The event times that each sample is at risk of."""
        return IntervalSums(self._early, self._reached, len(self._mass))

    @cached_property
    def _spans_before(self):
        """The same, less the time of its own event."""
        stops = np.where(self._tied >= 0, self._tied, self._reached)
        return IntervalSums(self._early, stops, len(self._mass))

    def _in_risk_sets(self, values, e, risk):
        """Sum values of samples over risk sets, whose own sums of e are `risk`."""
        if self._loses_digits(risk, self._not_yet(e)):
            columns = values.reshape(len(values), -1).T
            sums = np.column_stack([self._spans.at_positions(c) for c in columns])
            return sums.reshape(-1, *values.shape[1:])
        tails = np.cumsum(values[::-1], axis=0)[::-1][self._first]
        return tails - self._not_yet(values)

    def _not_yet(self, values):
        """Sum values of samples over those that enter too late for each event."""
        if self._entered is None:
            return 0.0
        late = np.cumsum(values[self._entered][::-1], axis=0)[::-1]
        zero = np.zeros((1, *values.shape[1:]))
        return np.concatenate([late, zero])[self._late]

    def _at_risk(self, rates):
        """Sum rates of the event times over those that each sample is at risk of."""
        if self._entered is not None and self._rates_lose_digits(rates):
            return self._spans.of_rows(rates)
        total = np.concatenate([[0.0], np.cumsum(rates)])
        if self._entered is None:
            return total[self._reached]
        return total[self._reached] - total[self._early]

    def _rates_lose_digits(self, rates):
        total = np.concatenate([[0.0], np.cumsum(np.abs(rates))])
        early = total[self._early]
        held = self._early < self._reached
        return self._loses_digits((total[self._reached] - early)[held], early[held])

    def _phi(self, risk, tied):
        phi = risk[self._term]
        if tied is not None:
            phi = phi + self._left * tied[self._term]
        return phi

    def _is_plain(self, eta):
        return float(eta.max() - eta.min()) < _PLAIN_RANGE

    def _log_phi(self, z):
        """Logarithm of the risk sums, whatever the range of eta."""
        logs = z + self._log_w
        if self._entered is None:
            log_risk = np.logaddexp.accumulate(logs[::-1])[::-1][self._first]
        else:
            log_risk = np.empty(len(self._mass))
            for k, first in enumerate(self._first):
                held = first + np.flatnonzero(self._early[first:] <= k)
                log_risk[k] = np.logaddexp.reduce(logs[held])
        log_phi = log_risk[self._term]
        if self._has_parts:
            log_tied = np.full(len(self._mass), -np.inf)
            held = self._tied >= 0
            np.logaddexp.at(log_tied, self._tied[held], logs[held])
            share = np.exp(log_tied - log_risk)[self._term]
            log_phi = log_phi + np.log1p(-self._part * share)
        return log_phi

    def value(self, eta):
        """Return the negative log partial likelihood."""
        if not np.isfinite(eta).all():
            return np.inf
        if self._is_plain(eta):
            z, top, _, risk, tied = self._sums(eta)
            log_phi = np.log(self._phi(risk, tied)) + top
        else:
            z = eta[self.order]
            log_phi = self._log_phi(z)
        return float(self._term_weight @ log_phi - self._hit @ z)

    def _expected(self, eta):
        """Return the expected events of each sample, sorted by time."""
        n_times = len(self._mass)
        if self._is_plain(eta):
            z, _, e, risk, tied = self._sums(eta)
            inverse = self._term_weight / self._phi(risk, tied)
            rate = np.bincount(self._term, inverse, n_times)
            hazard = self._at_risk(rate)
            if tied is not None:
                relief = np.bincount(self._term, inverse * self._part, n_times)
                held = self._tied >= 0
                hazard[held] -= relief[self._tied[held]]
            return e * hazard
        z = eta[self.order]
        log_inverse = np.log(self._term_weight) - self._log_phi(z)
        # Cumulative hazards in the logarithmic domain, then one product each.
        log_rate = np.full(n_times, -np.inf)
        np.logaddexp.at(log_rate, self._term, log_inverse)
        if self._entered is None:
            sums = np.concatenate([[-np.inf], np.logaddexp.accumulate(log_rate)])
            log_hazard = sums[self._reached]
        else:
            log_hazard = np.full(len(z), -np.inf)
            for i, (early, reached) in enumerate(
                zip(self._early, self._reached, strict=True)
            ):
                if early < reached:
                    log_hazard[i] = np.logaddexp.reduce(log_rate[early:reached])
        expected = np.exp(log_hazard + z + self._log_w)
        if self._has_parts:
            with np.errstate(divide="ignore"):
                parts = np.log(self._part) + log_inverse
            log_relief = np.full(n_times, -np.inf)
            np.logaddexp.at(log_relief, self._term, parts)
            held = self._tied >= 0
            expected[held] -= np.exp(
                log_relief[self._tied[held]] + z[held] + self._log_w[held]
            )
        return expected

    def gradient(self, eta):
        """Return the derivative in eta: expected minus observed events."""
        out = np.empty(self.n_samples)
        out[self.order] = self._expected(eta) - self._hit
        return out

    def curvature(self, eta):
        """Return a diagonal that lies above the Hessian: expected events."""
        out = np.empty(self.n_samples)
        out[self.order] = np.maximum(self._expected(eta), 0.0)
        return out

    def gram(self, A, eta, h):
        """Return ``A' H(eta) A`` with the full Hessian, h minus a part of low rank."""
        G = super().gram(A, eta, h)
        _, _, e, risk, tied = self._sums(eta)
        weighted = e[:, None] * A[self.order]
        # Means of the columns over each risk set.
        whole = risk if tied is None else risk + tied
        M = self._in_risk_sets(weighted, e, whole)[self._term]
        if tied is not None:
            held = self._tied >= 0
            at_ties = np.zeros((len(self._mass), A.shape[1]))
            np.add.at(at_ties, self._tied[held], weighted[held])
            M = M - self._part[:, None] * at_ties[self._term]
        phi = self._phi(risk, tied)
        with np.errstate(divide="ignore", invalid="ignore"):
            M *= np.where(phi > 0, np.sqrt(self._term_weight) / phi, 0.0)[:, None]
        G -= M.T @ M
        return G

    def in_cells(self, eta, n_cells):
        """Return how risk sets share their events, in runs of event times.

        Parameters
        ----------
        eta : ndarray of shape (n_samples,)
        n_cells : int
            At most so many runs.

        Returns
        -------
        cells : RiskCells or None
            None where exponentials of eta lose terms, or their sums digits.
        """
        if not self._is_plain(eta):
            return None
        z, _, e, risk, tied = self._sums(eta)
        n_times = len(self._mass)
        inverse = self._term_weight / self._phi(risk, tied)
        rate = np.bincount(self._term, inverse, n_times)
        whole = risk if tied is None else risk + tied
        if self._entered is not None and (
            self._loses_digits(whole, self._not_yet(e)) or self._rates_lose_digits(rate)
        ):
            return None
        n_cells = min(n_cells, n_times)
        cell = np.arange(n_times) * n_cells // n_times
        sums = np.concatenate([[0.0], np.cumsum(rate)])
        starts = np.concatenate(
            [[0.0], sums[np.searchsorted(cell, np.arange(n_cells))]]
        )
        cells = np.concatenate([[0], cell + 1])

        def ends(reached):
            return cells[reached], sums[reached] - starts[cells[reached]]

        own, part = ends(self._reached)
        if tied is not None:
            relief = np.bincount(self._term, inverse * self._part, n_times)
            held = self._tied >= 0
            part[held] -= relief[self._tied[held]]
        early = (
            np.zeros(len(z), dtype=np.intp) if self._entered is None else self._early
        )
        early, early_part = ends(early)
        sorted_rows = {
            "risk": e,
            "cell": own,
            "part": part,
            "early_cell": early,
            "early_part": early_part,
        }
        rows = {
            name: np.empty(len(z), values.dtype) for name, values in sorted_rows.items()
        }
        for name, values in sorted_rows.items():
            rows[name][self.order] = values
        mass = np.bincount(self._term, self._term_weight, n_times)
        return RiskCells(
            rows,
            np.bincount(cell, rate, n_cells),
            np.bincount(cell, mass, n_cells),
            np.zeros(n_cells, dtype=np.intp),
        )

    def hessian_product(self, eta, v):
        """Return the Hessian at eta times v."""
        _, _, e, risk, tied = self._sums(eta)
        phi = self._phi(risk, tied)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(phi > 0, 1.0 / phi, 0.0)
        weighted = e * v[self.order]
        whole = risk if tied is None else risk + tied
        means = self._in_risk_sets(weighted, e, whole)[self._term]
        n_times = len(self._mass)
        held = self._tied >= 0
        if tied is not None:
            at_ties = np.bincount(self._tied[held], weighted[held], n_times)
            means = means - self._part * at_ties[self._term]
        pull = self._term_weight * share * share * means
        rate = np.bincount(self._term, pull, n_times)
        back = self._at_risk(rate)
        if tied is not None:
            relief = np.bincount(self._term, pull * self._part, n_times)
            back[held] -= relief[self._tied[held]]
        out = np.empty(self.n_samples)
        out[self.order] = -e * back
        return out + self.curvature(eta) * v

    @property
    def least_value(self):
        """What the value approaches where those who fail have all the risk."""
        left = self._left if self.ties == "efron" else 1.0
        return float(self._term_weight @ np.log(left * self._mass[self._term]))

    @property
    def null_curvature(self):
        """Curvature of a sample beside its weight: events, on average."""
        return float(self._hit.sum()) / self.total

    def baseline(self, eta):
        """Return the cumulative baseline hazard after each event time."""
        _, top, _, risk, tied = self._sums(eta)
        phi = self._phi(risk, tied)
        if np.all(phi > 0.0):
            rate = np.bincount(self._term, self._term_weight / phi, len(self._mass))
            return np.cumsum(rate) * np.exp(-top)
        # Some risk sets vanish beside the largest: their hazards may overflow.
        with np.errstate(over="ignore"):
            inverse = self._term_weight * np.exp(-self._log_phi(eta[self.order]))
        return np.cumsum(np.bincount(self._term, inverse, len(self._mass)))


class StratifiedCox(Datafit):
    """Partial likelihoods of several strata, which share the coefficients.

    Parameters
    ----------
    strata : ndarray of shape (n_samples,)
        Codes of the strata, each with a baseline hazard of its own.
    time, event, sample_weight, ties, entry
        As in :class:`Cox`.
    """

    has_intercept = False
    is_separable = False

    def __init__(self, strata, time, event, sample_weight=None, *, ties, entry=None):
        super().__init__(time, sample_weight)
        self.codes = np.unique(strata)
        self.rows, self.parts, self.held = [], [], []
        for k, code in enumerate(self.codes):
            at = np.flatnonzero(strata == code)
            if not np.any(event[at] & (self.weights[at] > 0)):
                continue  # without events a stratum adds nothing
            late = None if entry is None else entry[at]
            part = Cox(time[at], event[at], self.weights[at], ties=ties, entry=late)
            self.rows.append(at)
            self.parts.append(part)
            self.held.append(k)

    def _together(self, pieces):
        out = np.zeros(self.n_samples)
        for at, piece in zip(self.rows, pieces, strict=True):
            out[at] = piece
        return out

    def _pairs(self):
        return zip(self.rows, self.parts, strict=True)

    def value(self, eta):
        """Return the negative log partial likelihood."""
        return sum(part.value(eta[at]) for at, part in self._pairs())

    def gradient(self, eta):
        """Return the derivative in eta: expected minus observed events."""
        return self._together([part.gradient(eta[at]) for at, part in self._pairs()])

    def curvature(self, eta):
        """Return a diagonal that lies above the Hessian: expected events."""
        return self._together([part.curvature(eta[at]) for at, part in self._pairs()])

    def gram(self, A, eta, h):
        """Return ``A' H(eta) A``, of which `h` lies above the diagonal."""
        return sum(part.gram(A[at], eta[at], h[at]) for at, part in self._pairs())

    def in_cells(self, eta, n_cells):
        """Return how risk sets share their events; None if it takes too many cells."""
        n_times = np.array([len(part.event_times) for part in self.parts])
        shares = np.maximum(n_cells * n_times // n_times.sum(), 1)
        if shares.sum() > 2 * n_cells:
            return None
        found = [
            part.in_cells(eta[at], int(share))
            for (at, part), share in zip(self._pairs(), shares, strict=True)
        ]
        if any(cells is None for cells in found):
            return None
        rows, start = {}, 0
        for cells in found:
            for name in ("cell", "early_cell"):
                here = cells.rows[name]
                here[here > 0] += start
            start += len(cells.rates)
        for name in found[0].rows:
            whole = np.zeros(self.n_samples, found[0].rows[name].dtype)
            for at, cells in zip(self.rows, found, strict=True):
                whole[at] = cells.rows[name]
            rows[name] = whole
        return RiskCells(
            rows,
            np.concatenate([cells.rates for cells in found]),
            np.concatenate([cells.masses for cells in found]),
            np.repeat(np.arange(len(found)), [len(cells.rates) for cells in found]),
        )

    def hessian_product(self, eta, v):
        """Return the Hessian at eta times v."""
        return self._together(
            [part.hessian_product(eta[at], v[at]) for at, part in self._pairs()]
        )

    @property
    def null_curvature(self):
        """Curvature of a sample beside its weight: events, on average."""
        seen = sum(part.null_curvature * part.total for part in self.parts)
        return seen / self.total

    @property
    def event_times(self):
        """The distinct times of events in any stratum."""
        return np.unique(np.concatenate([part.event_times for part in self.parts]))

    def baseline(self, eta):
        """Return the cumulative baseline hazards, shape (n_strata, n_event_times)."""
        times = self.event_times
        out = np.zeros((len(self.codes), len(times)))
        for k, (at, part) in zip(self.held, self._pairs(), strict=True):
            steps = np.concatenate([[0.0], part.baseline(eta[at])])
            out[k] = steps[np.searchsorted(part.event_times, times, side="right")]
        return out


def partial_likelihood(y, sample_weight=None, *, ties, strata=None):
    """Return the datafit of a target with the columns [entry,] time and event."""
    entry = y[:, 0] if y.shape[1] == 3 else None
    time, event = y[:, -2], y[:, -1] > 0
    if strata is None:
        return Cox(time, event, sample_weight, ties=ties, entry=entry)
    return StratifiedCox(strata, time, event, sample_weight, ties=ties, entry=entry)
