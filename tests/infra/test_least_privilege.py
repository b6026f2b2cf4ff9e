# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A task's whole journey passes under exactly the policies that `iam` prints, and needs every statement of them."""

from __future__ import annotations

import fcntl
import itertools
import json
import logging
import os
import signal
import struct
import sys
import termios
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import botocore.session
import cloudpickle
import pytest
import requests
from botocore.config import Config

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.errors import AWSBatchError, InputLost, NotAllowed
from covalent_awsbatch_plugin.iam import (
    ROLES,
    Names,
    Statement,
    allow,
    allowing,
    dispatcher,
    document,
    execution,
    job,
    policy,
)
from covalent_awsbatch_plugin.infra.stack_names import configured_names
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks import orphans
from covalent_awsbatch_plugin.tasks.clean import find
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.followed_jobs import jobs_by_id
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.live_logs import LiveLogs
from tests.infra.people import PULL_BASE, People, without
from tests.tasks.small_world import World, stdout_of

cloudpickle.register_pickle_by_value(sys.modules[__name__])

_numbers = itertools.count()
Deed = Callable[["Journey"], Awaitable[str]]


def twice(data: bytes) -> bytes:
    return data + data


def print_and_die() -> None:
    for words in ("last words", "a cough"):  # the runner has passed on the first once it has taken the second
        print(words, flush=True)
        while struct.unpack("i", fcntl.ioctl(1, termios.FIONREAD, bytes(4)))[0]:
            time.sleep(0.01)
    os.kill(os.getppid(), signal.SIGKILL)  # the runner: so nothing is committed
    signal.pause()


class Journey:
    """A dispatcher with a policy of its own. What a deed returns or raises is what the user gets to see."""

    def __init__(self, world: World, people: People, statements: list[Statement]) -> None:
        number = next(_numbers)
        self.user = f"dispatcher{number}"
        self.world = world
        credentials = people.user(self.user, [*statements, PULL_BASE])
        self.settings = world.settings(
            credentials=credentials, max_baked_mib=0, retry_attempts=1, time_limit=900 + number
        )  # a definition of its own

    async def task_with_a_big_argument(self) -> str:
        assert await self.world.value(self.settings, twice, b"a" * 1000) == b"a" * 2000
        return ""

    async def words_of_a_dead_task(self) -> str:
        result = await self.world.run(self.settings, print_and_die)
        return stdout_of(result)

    async def followed_words(self) -> str:
        async with connect(self.settings) as client:
            services = client.services
            handle = await client.submit(self.settings, Task.of(self.world.stage(print_and_die)))
            await client.wait(self.settings, handle)
            logs = LiveLogs(services.aws, jobs_by_id(services.batch, handle.job_id), last_lines_s=0)
            return "\n".join([line.message async for line in logs.lines(follow=False)])

    async def cancelled(self) -> str:
        group = self.world.stage(signal.pause)
        async with connect(self.settings) as client:
            handle = await client.submit(self.settings, Task.of(group))
            live = await orphans.live_jobs(client.services, self.settings, any_host=True)
            try:
                assert [found.job_id for found in live if found.job_id == handle.job_id]
                await client.cancel(handle.job_id)
            except NotAllowed:
                admin = self.world.client("batch")
                admin.terminate_job(jobId=handle.job_id, reason="the test is over")
                raise
            return (await client.wait(self.settings, handle)).handle.job_id

    async def cleaned(self) -> str:
        async with connect(self.settings) as client:
            await find(client.services, self.settings, datetime.now(UTC))
        return ""

    async def place_in_the_queue(self) -> str:
        async with connect(self.settings) as client:
            return str(await client.services.batch.position(self.settings.batch_queue, "none"))


DEEDS: dict[str, Deed] = {
    "ReadLogs": Journey.words_of_a_dead_task,
    "TerminateJobs": Journey.cancelled,
    "GetQueueSnapshot": Journey.place_in_the_queue,
}


def names(settings: Settings) -> Names:
    return configured_names(settings, "123456789012", "us-east-1")


SOME_NAMES = names(Settings())


@pytest.fixture
async def world(guarded_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    yield World(guarded_aws, tmp_path)
    await close_shared()


@pytest.fixture
def roles(people: People, world: World) -> Iterator[dict[str, str]]:
    """The roles of the settings, with exactly their policies; what a test takes away comes back."""
    settings = world.settings()
    found = {"execution": settings.batch_execution_role_name, "job": settings.batch_job_role_name}
    for role, name in found.items():
        people.allow_role(name, ROLES[role](names(settings)))
    yield found
    for role, name in found.items():
        people.allow_role(name, ROLES[role](names(settings)))


async def test_the_whole_journey_passes_and_asks_for_everything_that_is_allowed(
    world: World, people: People, roles: dict[str, str]
) -> None:
    traveller = Journey(world, people, dispatcher(names(world.settings())))
    await traveller.task_with_a_big_argument()
    assert "last words" in await traveller.words_of_a_dead_task()
    assert "last words" in await traveller.followed_words()
    await traveller.cancelled()
    await traveller.place_in_the_queue()
    await traveller.cleaned()
    await close_shared()  # sweeps what the tasks left

    courtesies = {"iam:GetRole", "logs:DescribeLogGroups"}  # asked where allowed, gone without where not
    for who, statements in {
        traveller.user: dispatcher(names(world.settings())),
        roles["execution"]: execution(names(world.settings())),
        roles["job"]: job(names(world.settings())),
    }.items():
        asked = people.asked(who)
        allowed = {action for statement in statements for action in statement["Action"]}
        assert {found.action for found in asked if not found.allowed} <= courtesies
        assert allowed <= {found.action for found in asked}, f"{who} may do what no call needs"


@pytest.mark.parametrize("sid", [statement["Sid"] for statement in dispatcher(SOME_NAMES)])
async def test_without_a_statement_the_user_reads_which_action_is_missing_and_which_statement_allows_it(
    world: World, people: People, roles: dict[str, str], sid: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    whole = dispatcher(names(world.settings()))
    traveller = Journey(world, people, without(whole, sid))
    try:
        told = await DEEDS.get(sid, Journey.task_with_a_big_argument)(traveller)
    except AWSBatchError as error:
        told = str(error)
    await close_shared()
    (missing,) = (statement["Action"] for statement in whole if statement["Sid"] == sid)
    named = [action for action in missing if action in told + caplog.text]
    assert named, f"none of {missing} in:\n{told}"
    assert f"`{allowing(named[0])}`" in told + caplog.text


async def test_tasks_that_come_by_s3_need_no_more(world: World, people: People, roles: dict[str, str]) -> None:
    credentials = people.user("by-s3", [*dispatcher(names(world.settings())), PULL_BASE])
    assert await world.value(world.settings(credentials=credentials, payload="s3"), twice, b"a") == b"aa"
    await close_shared()  # sweeps
    assert [found for found in people.asked("by-s3") if not found.allowed and found.action.startswith("s3:")] == []


async def test_tasks_that_come_by_s3_tell_of_a_job_role_that_may_not_read_them(
    world: World, people: People, roles: dict[str, str]
) -> None:
    people.allow_role(roles["job"], without(job(names(world.settings())), "ReadInputs"))
    result = await world.run(world.settings(payload="s3"), twice, b"a")
    assert isinstance(result.error, InputLost)
    assert "s3:GetObject" in stdout_of(result)


@pytest.mark.parametrize("sid", [statement["Sid"] for statement in execution(SOME_NAMES)])
async def test_without_a_statement_of_the_execution_role_the_task_fails_with_the_missing_action(
    world: World, people: People, roles: dict[str, str], sid: str
) -> None:
    whole = execution(names(world.settings()))
    people.allow_role(roles["execution"], without(whole, sid))
    result = await world.run(world.settings(retry_attempts=1), twice, b"a")
    (missing,) = (statement["Action"] for statement in whole if statement["Sid"] == sid)
    assert any(action in str(result.error) for action in missing), str(result.error)


@pytest.mark.parametrize("sid", [statement["Sid"] for statement in job(SOME_NAMES)])
async def test_without_a_statement_of_the_job_role_the_task_fails_with_the_missing_action(
    world: World, people: People, roles: dict[str, str], sid: str
) -> None:
    whole = job(names(world.settings()))
    people.allow_role(roles["job"], without(whole, sid))
    result = await world.run(world.settings(max_baked_mib=0, retry_attempts=1), twice, b"a")
    (missing,) = (statement["Action"] for statement in whole if statement["Sid"] == sid)
    assert any(action in str(result.error) + stdout_of(result) for action in missing), str(result.error)


async def test_the_job_role_reaches_nothing_but_its_own_part_of_the_bucket(world: World) -> None:
    settings = world.settings()
    own = f"arn:aws:s3:::{settings.s3_bucket_name}/{layout.S3_ROOT}/"
    assert all(resource.startswith(own) for each in job(names(settings)) for resource in each["Resource"])


async def test_the_roles_of_an_offline_aws_are_those_that_iam_prints(
    world: World, people: People, roles: dict[str, str]
) -> None:
    async with LocalAWS("process", slots=1, enforce_iam=True) as fresh:
        there = World(fresh, world.folder)
        for kind, name in roles.items():
            printed = policy(kind, names(there.settings()))
            (role,) = there.client("iam").list_role_policies(RoleName=name)["PolicyNames"]
            assert there.client("iam").get_role_policy(RoleName=name, PolicyName=role)["PolicyDocument"] == printed
        assert await there.value(there.settings(max_baked_mib=0), twice, b"a") == b"aa"


def test_a_presigned_url_has_the_rights_of_who_signed_it(world: World, people: People) -> None:
    bucket = world.settings().s3_bucket_name
    keys = [f"covalent-awsbatch/{uuid.uuid4()}" for _ in range(2)]
    for key in keys:
        world.client("s3").put_object(Bucket=bucket, Key=key, Body=b"mine")
    reader = allow("ReadOne", "s3:GetObject", f"arn:aws:s3:::{bucket}/{keys[0]}")
    credentials = people.user("signer", [reader])
    session = botocore.session.Session(profile="local")
    session.set_config_variable("credentials_file", credentials)
    s3 = session.create_client("s3", config=Config(signature_version="s3v4"))
    found = []
    for operation, key in (("get_object", keys[0]), ("get_object", keys[1]), ("delete_object", keys[0])):
        url = s3.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": key})
        found.append(requests.request("DELETE" if operation == "delete_object" else "GET", url, timeout=30))
    assert [answer.status_code for answer in found] == [200, 403, 403]
    assert found[0].content == b"mine"
    assert "is not authorized to perform: s3:GetObject" in found[1].text


def test_a_presigned_url_of_a_role_needs_its_token(world: World, people: People) -> None:
    bucket, key = world.settings().s3_bucket_name, f"covalent-awsbatch/{uuid.uuid4()}"
    world.client("s3").put_object(Bucket=bucket, Key=key, Body=b"mine")
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    arn = people.admin.create_role(RoleName="signing", AssumeRolePolicyDocument=json.dumps(document([trust])))["Role"]
    people.allow_role("signing", [allow("ReadAll", "s3:GetObject", f"arn:aws:s3:::{bucket}/*")])
    role = world.client("sts").assume_role(RoleArn=arn["Arn"], RoleSessionName="someone")["Credentials"]
    session = botocore.session.Session(profile=None)
    session.set_credentials(role["AccessKeyId"], role["SecretAccessKey"], role["SessionToken"])
    s3 = session.create_client(
        "s3", world.aws.region, endpoint_url=world.aws.endpoint_url, config=Config(signature_version="s3v4")
    )
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    assert requests.get(url, timeout=30).content == b"mine"
