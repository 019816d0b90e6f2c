"""Minimize a quadratic model of the likelihood of a spectrum, with weights >= 0."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sparsestat._utils.jit import njit

__all__ = ["descend"]

_LOOSE = {"reassoc", "contract", "nsz"}
_INNER = 10  # sweeps over what moves, between two over everything


@njit(cache=True, nogil=True, fastmath=_LOOSE)
def _move(i, lines, first, curvature, diagonal, ridge, slope, room, d, pull):
    """Minimize over coordinate i; return how far the model fell, times two.

    `pull` is the curvature times the change of the spectrum so far. The last
    coordinate, the noise, changes the spectrum everywhere.
    """
    everywhere = i == lines.shape[0]
    h = slope[i] + ridge[i] * d[i]
    if everywhere:
        h += pull.sum()
    else:
        line, near = lines[i], pull[first[i] : first[i] + lines.shape[1]]
        for k in range(line.shape[0]):
            h += line[k] * near[k]
    step = max(-h / diagonal[i], -room[i] - d[i])
    if step == 0.0:
        return 0.0
    d[i] += step
    if everywhere:
        for f in range(pull.shape[0]):
            pull[f] += step * curvature[f]
    else:
        line, near = lines[i], pull[first[i] : first[i] + lines.shape[1]]
        bend = curvature[first[i] : first[i] + lines.shape[1]]
        for k in range(line.shape[0]):
            near[k] += step * bend[k] * line[k]
    return step * step * diagonal[i]


@njit(cache=True, nogil=True, fastmath=_LOOSE)
def descend(lines, first, curvature, slope, ridge, room, learns_noise, sweeps, tol):
    """Minimize slope' d + d' H d / 2 over d >= -room by coordinate descent.

    H = B' diag(curvature) B + diag(ridge), where column i of B has the entries
    ``lines[i]`` from ``first[i]`` on and the last is one everywhere. Sweeps over the
    coordinates that are off their bounds alternate with sweeps over all of them, until
    no step of those gains `tol` times the largest gain of the first sweep.
    """
    n_lines = lines.shape[0]
    n = n_lines + 1 if learns_noise else n_lines
    d, diagonal = np.zeros(n_lines + 1), ridge.copy()
    pull = np.zeros(curvature.shape[0])
    for i in range(n_lines):
        for k in range(lines.shape[1]):
            diagonal[i] += lines[i, k] ** 2 * curvature[first[i] + k]
    diagonal[n_lines] += curvature.sum()
    busy = np.empty(n, dtype=np.intp)
    top, used = 0.0, 0
    while used < sweeps:
        gain, n_busy = 0.0, 0
        for i in range(n):
            fell = _move(
                i, lines, first, curvature, diagonal, ridge, slope, room, d, pull
            )
            gain = max(gain, fell)
            if d[i] > -room[i]:
                busy[n_busy] = i
                n_busy += 1
        top = max(top, gain)
        used += 1
        if gain <= tol * top:
            break
        for _ in range(_INNER):
            gain = 0.0
            for k in range(n_busy):
                fell = _move(
                    busy[k],
                    lines,
                    first,
                    curvature,
                    diagonal,
                    ridge,
                    slope,
                    room,
                    d,
                    pull,
                )
                gain = max(gain, fell)
            used += 1
            if gain <= tol * top or used >= sweeps:
                break
    return d
