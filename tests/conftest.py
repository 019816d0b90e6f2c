"""Fixtures shared by all tests."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import os

import pytest
from _pytest.doctest import DoctestItem

DEFAULT_SEED = 42


def pytest_collection_modifyitems(items):
    """No estimator warns on its own docstring example."""
    for item in items:
        if isinstance(item, DoctestItem) and item.name.startswith("sparsestat."):
            item.add_marker(pytest.mark.filterwarnings("error::UserWarning"))


def pytest_generate_tests(metafunc):
    """Parametrize `global_random_seed` over the seeds asked for.

    One seed by default; ``SPARSESTAT_TEST_SEEDS="0-9"`` or ``"3,7,11"`` runs
    every test that uses the fixture once for each of them.
    """
    if "global_random_seed" in metafunc.fixturenames:
        seeds = parse_seeds(os.environ.get("SPARSESTAT_TEST_SEEDS", ""))
        metafunc.parametrize(
            "global_random_seed", seeds, ids=[f"seed{s}" for s in seeds]
        )


def parse_seeds(text):
    """Return the seeds in a text such as ``"1,5,10-12"``; 42 when it is empty."""
    seeds = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        first, _, last = part.partition("-")
        seeds.extend(range(int(first), int(last or first) + 1))
    return seeds or [DEFAULT_SEED]
