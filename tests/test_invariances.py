"""Metamorphic suite: what must not matter does not, and values prove it.

Shifts, units, the order of rows and features, repetition in place of weights, rows of
weight zero, sparse and single-precision containers: each public name of the rooms below
answers to them as its mathematics says. To add a room write
``tests/invariances/<room>.py`` with `SUBJECTS` and `EXEMPT`, the one table in which
every exemption has its reason, and name it here.
"""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib
import inspect

import pytest

import sparsestat
from tests.invariances.engine import RELATIONS, applies, check

ROOMS = {
    name: importlib.import_module(f"tests.invariances.{name}")
    for name in (
        "bayes",
        "cluster",
        "decomposition",
        "embedding",
        "gaussian_process",
        "inference",
        "linear_model",
    )
}
EXEMPT = {key: why for room in ROOMS.values() for key, why in room.EXEMPT.items()}
SUBJECTS = [subject for room in ROOMS.values() for subject in room.SUBJECTS]
CASES = [
    pytest.param(subject, relation, id=f"{subject.name}-{relation}")
    for subject in SUBJECTS
    for relation in RELATIONS
    if (subject.name, relation) not in EXEMPT and applies(subject, relation)
]


@pytest.mark.parametrize("subject, relation", CASES)
def test_values_answer_to_a_change_as_they_must(subject, relation, global_random_seed):
    check(subject, relation, global_random_seed)


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_a_subject(room):
    module = importlib.import_module(f"sparsestat.{room}")
    subjects = {subject.name.split(" ")[0] for subject in ROOMS[room].SUBJECTS}
    left_out = getattr(ROOMS[room], "LEFT_OUT", {})
    names = {
        name
        for name in module.__all__
        if inspect.isfunction(getattr(module, name))
        or hasattr(getattr(module, name), "fit")
    }
    assert names == subjects | set(left_out)


def test_every_exemption_is_needed_and_has_a_reason():
    known = {subject.name: subject for subject in SUBJECTS}
    for (name, relation), why in EXEMPT.items():
        assert applies(known[name], relation), (name, relation)
        assert len(why) > 20
    assert sparsestat
