# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Names: in AWS's alphabets and lengths, the same for the same, others for others."""

from __future__ import annotations

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.jobs import definition as naming

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


PREFIXES = st.from_regex(r"[A-Za-z0-9_-]{1,100}", fullmatch=True)
DIGESTS = st.binary(max_size=20).map(lambda content: f"sha256:{hashlib.sha256(content).hexdigest()}")
STREAM = re.compile(
    r"[^:*]{1,512}"
)  # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogStream.html


@given(PREFIXES, DIGESTS)
def test_log_stream_prefix_of_an_image_is_one_that_cloudwatch_takes(prefix: str, digest: str) -> None:
    name = naming.log_stream_prefix(prefix, f"1.dkr.ecr.eu-central-1.amazonaws.com/r@{digest}")
    assert STREAM.fullmatch(f"{name}/default/{'f' * 32}")
    assert name == naming.log_stream_prefix(prefix, f"another.registry/name@{digest}")
    assert digest.removeprefix("sha256:").startswith(name.rpartition("-")[2])


@given(PREFIXES, DIGESTS, DIGESTS)
def test_log_stream_prefix_of_another_image_is_another_one(prefix: str, one: str, other: str) -> None:
    streams = {naming.log_stream_prefix(prefix, f"r@{digest}") for digest in (one, other)}
    assert len(streams) == len({one, other})


def test_log_stream_prefix_of_an_image_without_digest_follows_from_its_name() -> None:
    one, other = (naming.log_stream_prefix("p", f"r:{tag}") for tag in ("1", "2"))
    assert one != other
    assert one == naming.log_stream_prefix("p", "r:1")
