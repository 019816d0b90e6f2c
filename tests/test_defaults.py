"""Documented defaults are those of the signatures."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
import math
import re

import pytest

import sparsestat

SAID = re.compile(r"^(\w+(?:, \w+)*) : .*default=(.+)$", re.MULTILINE)


@pytest.mark.parametrize("subpackage", sparsestat._SUBPACKAGES)
def test_defaults_are_the_documented_ones(subpackage):
    module = getattr(sparsestat, subpackage)
    compared = 0
    for name in module.__all__:
        thing = getattr(module, name)
        _, _, text = (inspect.getdoc(thing) or "").partition("Parameters\n----------")
        if not text or not callable(thing):
            continue
        signature = inspect.signature(thing).parameters
        for names, value in SAID.findall(text):
            for parameter in set(names.split(", ")) & set(signature):
                default = signature[parameter].default
                if value in ("{}", "[]") or default is inspect.Parameter.empty:
                    continue  # made anew for each result
                said = eval(value, {"inf": math.inf, "nan": math.nan})
                assert repr(default) == repr(said), (name, parameter)
                compared += 1
    assert compared > 5 or subpackage == "exceptions"
