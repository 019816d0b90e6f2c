"""Certificates: what was proved about an answer, and the one warning if it failed."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import math
import sys
import warnings
from dataclasses import dataclass, field
from html import escape

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CERTIFICATE_KINDS",
    "Certificate",
    "users_stacklevel",
    "warn_if_unsatisfied",
]

CERTIFICATE_KINDS = (
    "duality_gap",
    "lower_bound",
    "transport_gap",
    "kkt",
    "monotone_bound",
    "exact",
    "error_bound",
    "none",
)


@dataclass(frozen=True, repr=False)
class Certificate:
    """What was proved about a fitted answer.

    The value is computed from the solution that was returned, so it can be
    recomputed from outside.

    Parameters
    ----------
    kind : {"duality_gap", "lower_bound", "transport_gap", "kkt", \
            "monotone_bound", "exact", "error_bound", "none"}
        What sort of proof this is.
    value : float
        The measured quantity, in the units said in `scale`.
    tol : float
        The tolerance the solver was asked to meet, in the same units; infinite where
        nothing was promised.
    satisfied : bool
        Whether the solver delivered what its tolerance promised.
    scale : str
        One sentence: what the value is relative to.
    details : dict, default={}
        Further plain scalars, e.g. the objective and its lower bound.

    Examples
    --------
    >>> from sparsestat import Certificate
    >>> Certificate("duality_gap", 3e-6, 1e-4, True, "gap / null objective")
    duality_gap 3.0e-06 < 1e-04
    """

    kind: str
    value: float
    tol: float
    satisfied: bool
    scale: str
    details: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.kind not in CERTIFICATE_KINDS:
            raise ValueError(
                f"Certificate kind {self.kind!r} is unknown. Expected one of "
                f"{', '.join(CERTIFICATE_KINDS)}."
            )

    @classmethod
    def measured(cls, kind, value, tol, scale, *, rounding=0.0, details=None, **fields):
        """Return a certificate that is satisfied where rounding cannot matter.

        Parameters
        ----------
        kind : str
            As above, as the next three.
        value : float
            The measured quantity.
        tol : float
            What was asked for.
        scale : str
            What the value is relative to.
        rounding : float, default=0.0
            A bound of the rounding error of `value`, in the same units; goes into
            the details. ``value + rounding <= tol`` is what satisfied means.
        details : dict, default=None
            Further plain scalars.
        **fields : object
            Of a class with fields of its own.

        Returns
        -------
        certificate : Certificate
            Satisfied where the value and its rounding are within `tol` together.
        """
        value, rounding = float(value), float(rounding)
        return cls(
            kind,
            value,
            float(tol),
            bool(value + rounding <= tol),
            scale,
            {**(details or {}), "rounding": rounding},
            **fields,
        )

    @property
    def lacks_precision(self):
        """Whether rounding alone keeps the value from being proved."""
        rounding = self.details.get("rounding", 0.0)
        return not self.satisfied and self.value <= self.tol < self.value + rounding

    def __repr__(self):
        # Short on purpose: scikit-learn's HTML repr cuts a value at 30 characters.
        if self.kind in ("exact", "none"):
            return self.kind
        if self.tol == math.inf:
            return f"{self.kind} {self.value:.1e} (no tol)"
        if self.lacks_precision:
            return f"{self.kind} {self.value:.1e} (precision)"
        # Plain signs, for consoles that know no others.
        sign = "<" if self.value < self.tol else "=" if self.value == self.tol else ">"
        return f"{self.kind} {self.value:.1e} {sign} {self.tol:.0e}"

    def _repr_html_(self):
        rows = {
            "kind": self.kind,
            "value": f"{self.value:.3e}",
            "tol": "none" if self.tol == math.inf else f"{self.tol:.1e}",
            "satisfied": "yes" if self.satisfied else "no",
            "scale": self.scale,
            **{
                k: f"{v:.6g}" if isinstance(v, float) else v
                for k, v in self.details.items()
            },
        }
        body = "".join(
            f"<tr><th style='text-align:left'>{escape(str(k))}</th>"
            f"<td style='text-align:left'>{escape(str(v))}</td></tr>"
            for k, v in rows.items()
        )
        return f"<table><caption>Certificate</caption><tbody>{body}</tbody></table>"


def warn_if_unsatisfied(
    certificate, what, remedy, *, precision_remedy=None, stacklevel=None
):
    """Raise one ConvergenceWarning when a certificate is not satisfied.

    Parameters
    ----------
    certificate : Certificate
        Its value, tolerance and scale go into the message.
    what : str
        The quantity and the solver, e.g. ``"Lasso: the duality gap"``.
    remedy : str
        The parameter to change, as an imperative sentence.
    precision_remedy : str, default=None
        What to do where only rounding is in the way. None asks for centered and
        rescaled data, double precision or a larger `tol`.
    stacklevel : int, default=None
        Passed to :func:`warnings.warn`. None points at the first caller outside
        sparsestat and scikit-learn, i.e. at the user's own line.
    """
    if not certificate.satisfied:
        found = f"{certificate.value:.3e}, above the tolerance {certificate.tol:.3e}"
        if certificate.lacks_precision:
            rounding = certificate.details["rounding"]
            found = (
                f"{certificate.value:.3e}, but precision does not suffice to prove "
                f"the tolerance {certificate.tol:.3e}: rounding may hide {rounding:.1e}"
            )
            remedy = precision_remedy or (
                "Center and rescale the data, pass them in double precision, or "
                "raise `tol`."
            )
        warnings.warn(
            f"{what} is {found} ({certificate.scale}). {remedy}",
            ConvergenceWarning,
            stacklevel=users_stacklevel() if stacklevel is None else stacklevel,
        )


def users_stacklevel():
    """Return the stacklevel of the first frame outside the library's own code.

    For :func:`warnings.warn` in the function that calls this one.

    ``fit`` is wrapped by decorators and called by meta-estimators, so that no
    fixed number points at the user.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in ("sparsestat", "sklearn", "joblib"):
            break
        level, frame = level + 1, frame.f_back
    return level
