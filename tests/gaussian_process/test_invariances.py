"""Places, units and orders do not matter to the processes' defaults."""

# Authors: The sparsestat developers
# SPDX-License-Identifier: BSD-3-Clause

import pytest

from tests.invariances.engine import RELATIONS, applies, check
from tests.invariances.gaussian_process_untuned import SUBJECTS

CASES = [
    pytest.param(subject, relation, id=f"{subject.name}-{relation}")
    for subject in SUBJECTS
    for relation in RELATIONS
    if applies(subject, relation)
]


@pytest.mark.parametrize("subject, relation", CASES)
def test_defaults_answer_to_a_change_as_they_must(subject, relation):
    check(subject, relation)
