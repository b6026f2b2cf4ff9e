# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Names: in AWS's alphabets and lengths, the same for the same, others for others."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.jobs import names as naming

# https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html and API_Tag.html
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")

DISPATCHES = st.one_of(st.uuids().map(str), st.text(max_size=300))
GROUPS = st.lists(st.tuples(DISPATCHES, st.integers(0, 10**6)), min_size=1, max_size=4)


@given(GROUPS)
def test_a_jobs_name_is_one_that_aws_takes_and_always_the_same(groups: list[tuple[str, int]]) -> None:
    name = naming.job_name(groups)
    assert JOB_NAME.fullmatch(name)
    assert name == naming.job_name(list(groups))
    assert name.startswith(naming.JOB_NAME_BEGINS)


@given(GROUPS, GROUPS)
def test_other_tasks_give_other_names(one: list[tuple[str, int]], other: list[tuple[str, int]]) -> None:
    assert (naming.job_name(one) == naming.job_name(other)) == (one == other)


@given(GROUPS)
def test_a_task_that_is_submitted_again_has_another_name(groups: list[tuple[str, int]]) -> None:
    names = {naming.job_name(groups, tries) for tries in (1, 2, 3)}
    assert len(names) == 3 and all(JOB_NAME.fullmatch(name) for name in names)


@given(DISPATCHES, st.integers(0, 10**6), st.text(max_size=300))
def test_tags_are_what_aws_takes(dispatch: str, group: int, host: str) -> None:
    for key, value in naming.tags(dispatch, group, host).items():
        assert TAG_VALUE.fullmatch(value), (key, value)


@given(st.from_regex(r"[A-Za-z0-9_-]{1,100}", fullmatch=True), st.dictionaries(st.text(), st.integers()))
def test_a_definitions_name_follows_from_its_content(prefix: str, content: dict[str, int]) -> None:
    name = naming.definition_name(prefix, content)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,128}", name)
    assert name == naming.definition_name(prefix, dict(reversed(content.items())))
    assert name != naming.definition_name(prefix, content | {"more": 1}) or content == content | {"more": 1}
