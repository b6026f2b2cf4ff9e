# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Users whose policy is shorter than what `iam` prints: a task goes on, or one error lists all that is missing."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import cloudpickle
import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.errors import NotAllowed, Unreachable
from covalent_awsbatch_plugin.iam import EVERYTHING, Statement, allow, dispatcher
from covalent_awsbatch_plugin.infra.stack_names import configured_names
from covalent_awsbatch_plugin.local import LocalAWS, faults
from covalent_awsbatch_plugin.settings import Settings
from tests.infra.people import PULL_BASE, People
from tests.tasks.small_world import World

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def twice(data: bytes) -> bytes:
    return data + data


@pytest.fixture
async def world(guarded_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    yield World(guarded_aws, tmp_path)
    guarded_aws.clear_faults()
    await close_shared()


def old_policy(settings: Settings) -> list[Statement]:
    """The policy that the plugin's documentation gave until 0.16, for one's own names."""
    names = configured_names(settings, "123456789012", "us-east-1")
    return [
        allow("Batch", "batch:TerminateJob DescribeJobs SubmitJob RegisterJobDefinition", EVERYTHING),
        allow("LogIn", "ecr:GetAuthorizationToken", EVERYTHING),
        allow(
            "Images",
            "ecr:GetDownloadUrlForLayer BatchGetImage BatchCheckLayerAvailability InitiateLayerUpload UploadLayerPart"
            " CompleteLayerUpload PutImage",
            names.repository_arn,
        ),
        allow("Roles", "iam:GetRole PassRole", names.role(names.execution_role), names.role(names.job_role)),
        allow("Bucket", "s3:ListBucket PutObject GetObject", names.bucket_arn, f"{names.bucket_arn}/*"),
        allow("Logs", "logs:GetLogEvents", names.streams),
    ]


def whole(settings: Settings) -> list[Statement]:
    return dispatcher(configured_names(settings, "123456789012", "us-east-1"))


def lacking(statements: list[Statement], *actions: str) -> list[Statement]:
    left = [each | {"Action": [name for name in each["Action"] if name not in actions]} for each in statements]
    return [each for each in left if each["Action"]]


ONCE_EACH = [
    "batch:DescribeJobQueues", "batch:DescribeJobDefinitions", "batch:TagResource", "ecr:DescribeRepositories",
    "ecr:BatchDeleteImage", "batch:DeregisterJobDefinition", "s3:DeleteObject",
]  # fmt: skip


async def test_the_policy_of_the_old_documentation_is_enough_and_what_it_lacks_is_told_once(
    world: World, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = people.user("old", [*old_policy(world.settings()), PULL_BASE])
    for number in range(2):
        settings = world.settings(credentials=credentials, max_baked_mib=0, time_limit=700 + number)
        runs = [world.value(settings, twice, bytes([at])) for at in range(3)]
        assert await asyncio.gather(*runs) == [bytes([at, at]) for at in range(3)]
    await close_shared()  # sweeps
    warnings = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    for permission in ONCE_EACH:
        told = [line for line in warnings if line.startswith(f"AWS does not allow {permission}.")]
        assert len(told) == 1, (permission, warnings)
        assert "`covalent-awsbatch iam --role dispatcher` prints the statement `" in told[0]


ALONE = [
    "ecr:DescribeRepositories", "batch:DescribeJobQueues", "batch:DescribeComputeEnvironments",
    "batch:DescribeJobDefinitions", "batch:TagResource", "batch:ListJobs",
]  # fmt: skip


@pytest.mark.parametrize("permission", ALONE)
async def test_without_one_permission_that_only_looks_or_tags_a_task_goes_on(
    world: World, people: People, permission: str
) -> None:
    name = f"without-{permission.partition(':')[2]}"
    credentials = people.user(name, [*lacking(whole(world.settings()), permission), PULL_BASE])
    assert await world.value(world.settings(credentials=credentials), twice, b"a") == b"aa"


async def test_the_rights_on_a_job_may_be_missing_or_there(world: World, people: People) -> None:
    """The user guide's examples allow SubmitJob on definition and queue; the reference of actions adds the job."""
    (submit,) = [each for each in whole(world.settings()) if each["Sid"] == "SubmitJobs"]
    assert [each.split(":")[5].split("/")[0] for each in submit["Resource"]] == ["job-definition", "job-queue", "job"]


async def test_a_lost_submission_that_may_not_be_looked_for_is_not_sent_twice(world: World, people: People) -> None:
    credentials = people.user("lost", [*old_policy(world.settings()), PULL_BASE])
    before = world.sent().jobs
    world.aws.fault(faults.CUT_AFTER, of="batch:SubmitJob")
    with pytest.raises(Unreachable, match="may run in the queue") as caught:
        await world.value(world.settings(credentials=credentials), twice, b"a")
    assert "`batch:ListJobs`" in caught.value.advice
    assert len(world.sent().jobs - before) == 1


NOTHING = allow("Nothing", "ecr:DescribeImageScanFindings", EVERYTHING)


async def test_where_nothing_is_allowed_one_error_lists_all_that_is_missing(world: World, people: People) -> None:
    before = world.sent()
    with pytest.raises(NotAllowed) as caught:
        await world.value(world.settings(credentials=people.user("nobody", [NOTHING])), twice, b"a")
    text = str(caught.value)
    needed = {action for each in old_policy(world.settings()) for action in each["Action"]}
    unasked = {"iam:PassRole", "iam:GetRole", "s3:PutObject", "s3:GetObject"}
    assert [action for action in sorted(needed - unasked) if f"`{action}`" not in text] == [], text
    assert "`SubmitJobs`" in text
    assert len(text) < 2000
    assert world.sent() == before


@pytest.mark.parametrize("actions", [("batch:SubmitJob", "batch:TerminateJob"), ("ecr:PutImage", "batch:SubmitJob")])
async def test_where_two_of_the_needed_are_missing_the_first_error_names_both(
    world: World, people: People, actions: tuple[str, ...]
) -> None:
    name = "-".join(actions).replace(":", "-")
    credentials = people.user(name, [*lacking(whole(world.settings()), *actions), PULL_BASE])
    with pytest.raises(NotAllowed) as caught:
        await world.value(world.settings(credentials=credentials, time_limit=800), twice, b"a")
    assert [action for action in actions if f"`{action}`" not in str(caught.value)] == []
