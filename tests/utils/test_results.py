import math
import pickle
import warnings
from dataclasses import FrozenInstanceError

import pytest

import sparsestat
from sparsestat._utils.base import SparsestatEstimator
from sparsestat._utils.compat import fit_context
from sparsestat._utils.results import (
    CERTIFICATE_KINDS,
    Certificate,
    users_stacklevel,
    warn_if_unsatisfied,
)
from sparsestat.exceptions import ConvergenceWarning


def make(value=3e-6, tol=1e-4, satisfied=True, kind="duality_gap", **details):
    return Certificate(
        kind, value, tol, satisfied, "gap / null objective", details=details
    )


def test_certificate_is_public_and_frozen():
    assert sparsestat.Certificate is Certificate
    with pytest.raises(FrozenInstanceError):
        make().value = 0.0


def test_details_are_not_shared_between_certificates():
    first = Certificate("kkt", 0.0, 1.0, True, "scale")
    second = Certificate("kkt", 0.0, 1.0, True, "scale")
    first.details["objective"] = 1.0
    assert second.details == {}


def test_unknown_kind_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match=r"'proof' is unknown.*duality_gap.*none"):
        make(kind="proof")


@pytest.mark.parametrize("kind", CERTIFICATE_KINDS)
def test_repr_fits_the_estimator_repr(kind):
    text = repr(make(kind=kind))
    assert text.startswith(kind)
    assert len(text) <= 30  # scikit-learn cuts longer values


def test_repr_says_which_side_of_the_tolerance():
    assert "<" in repr(make(1e-6, 1e-4))
    assert ">" in repr(make(1e-3, 1e-4, satisfied=False))
    assert ">" in repr(make(float("nan"), 1e-4, satisfied=False))


def test_no_tolerance_is_said_in_words():
    given = Certificate("kkt", 3e-6, math.inf, True, "relative")
    assert repr(given) == "kkt 3.0e-06 (no tol)"
    assert "inf" not in given._repr_html_()


def test_html_shows_every_kind_of_scalar_and_escapes():
    html = make(objective=1.5, n=3, certified=False, how="a<b", none=None)._repr_html_()
    for shown in ("1.5", "<td style='text-align:left'>3<", "False", "a&lt;b", "None"):
        assert shown in html
    assert "a<b" not in html


def test_pickles():
    certificate = make(objective=1.5)
    assert pickle.loads(pickle.dumps(certificate)) == certificate


def test_satisfied_certificate_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_unsatisfied(make(), "Lasso: the duality gap", "Increase max_iter.")


def test_unsatisfied_certificate_warns_once_with_value_tolerance_scale_remedy():
    with pytest.warns(ConvergenceWarning) as record:
        warn_if_unsatisfied(
            make(2e-3, 1e-4, satisfied=False),
            "Lasso: the duality gap",
            "Increase max_iter.",
        )
    assert len(record) == 1
    message = str(record[0].message)
    for part in ("2.000e-03", "1.000e-04", "gap / null objective", "Increase max_iter"):
        assert part in message


def test_warning_points_at_the_users_line_through_the_fit_wrapper():
    # A fit whose frame lives inside the package, wrapped as every fit is.
    inside = {"__name__": "sparsestat.stub", "warn": warn_if_unsatisfied, "make": make}
    exec(
        "def fit(self, X, y=None):\n"
        "    warn(make(1.0, 0.1, satisfied=False), 'Stub', 'Do this.')\n"
        "    return self\n",
        inside,
    )
    fit = fit_context(prefer_skip_nested_validation=True)(inside["fit"])
    names = {"fit": fit, "_parameter_constraints": {}}
    stub = type("Stub", (SparsestatEstimator,), names)()
    with pytest.warns(ConvergenceWarning) as record:
        stub.fit(None)
    assert record[0].filename == __file__


def test_rounding_counts_against_a_certificate():
    proved = Certificate.measured("kkt", 1e-9, 1e-6, "relative", rounding=1e-8)
    assert proved.satisfied and proved.details["rounding"] == 1e-8
    assert not proved.lacks_precision
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_unsatisfied(proved, "Lasso: the residual", "Raise max_iter.")
    blurred = Certificate.measured("kkt", 1e-9, 1e-6, "relative", rounding=2e-6)
    assert not blurred.satisfied and blurred.lacks_precision
    assert repr(blurred).isascii() and "precision" in repr(blurred)
    with pytest.warns(
        ConvergenceWarning, match=r"precision does not suffice.*2\.0e-06"
    ):
        warn_if_unsatisfied(blurred, "Lasso: the residual", "Raise max_iter.")
    failed = Certificate.measured("kkt", 1e-3, 1e-6, "relative", details={"n": 3})
    assert not failed.satisfied and not failed.lacks_precision
    with pytest.warns(ConvergenceWarning, match="Raise max_iter"):
        warn_if_unsatisfied(failed, "Lasso: the residual", "Raise max_iter.")


@pytest.mark.parametrize("value", [0.0, 1e-4, 1.0])
def test_certificates_print_on_consoles_of_plain_signs(value):
    assert repr(make(value)).isascii()


def test_satisfied_means_value_and_rounding_within_the_tolerance():
    for value, rounding, satisfied in (
        (0.75, 0.25, True),
        (0.75, 0.375, False),
        (1.0, 0.0, True),
        (1.25, 0.0, False),
        (1.25, -0.5, True),
    ):
        found = Certificate.measured("kkt", value, 1, "relative", rounding=rounding)
        assert found.satisfied is satisfied
        assert found.details == {"rounding": rounding}
        assert (found.value, found.tol) == (value, 1.0)
    assert Certificate.measured("kkt", 0.5, 1.0, "relative").details["rounding"] == 0.0
    with_details = Certificate.measured("kkt", 0.5, 1, "relative", details={"n": 2})
    assert with_details.details == {"n": 2, "rounding": 0.0}


def test_precision_lacks_between_value_and_value_with_rounding():
    for value, rounding, lacks in (
        (1.0, 0.5, True),
        (0.5, 1.0, True),
        (1.25, 0.5, False),
        (0.5, 0.5, False),
    ):
        found = Certificate.measured("kkt", value, 1.0, "relative", rounding=rounding)
        assert found.lacks_precision is lacks
    assert not Certificate("kkt", 1.0, 1.0, False, "relative").lacks_precision


def test_texts_of_certificates():
    assert repr(make(1e-4, 1e-4)) == "duality_gap 1.0e-04 = 1e-04"
    assert repr(make(3e-6, 1e-4)) == "duality_gap 3.0e-06 < 1e-04"
    assert repr(make(3e-3, 1e-4, False)) == "duality_gap 3.0e-03 > 1e-04"
    blurred = Certificate.measured("kkt", 1e-9, 1e-6, "relative", rounding=2e-6)
    assert repr(blurred) == "kkt 1.0e-09 (precision)"
    html = make(3e-6, 1e-4, objective=1 / 3, n=7)._repr_html_()
    for shown in ("3.000e-06", "1.0e-04", ">yes<", ">0.333333<", ">7<"):
        assert shown in html
    assert ">no<" in make(satisfied=False)._repr_html_()
    assert ">none<" in make(tol=math.inf)._repr_html_()


def test_warnings_point_at_the_first_frame_of_the_user():
    names = {"__name__": "sparsestat.stub", "level": users_stacklevel}
    exec("def one(): return level()\ndef two(): return one()\n", names)
    other = {"__name__": "sklearn.stub", "two": names["two"]}
    exec("def three(): return two()\n", other)
    assert names["one"]() == 2
    assert names["two"]() == 3
    assert other["three"]() == 4
    assert users_stacklevel() == 1
