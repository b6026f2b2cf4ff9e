# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The table of bad days: one error that names the thing, AWS's words and the remedy, before anything is made.

Each day goes wrong, is mended by the one change that the error asks for, and then works in the same process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.jobs.resources import fitted
from covalent_awsbatch_plugin.local import faults
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.staging import stage_call, value_of
from tests.tasks.gate import Gate, error_of
from tests.tasks.small_world import World
from tests.tasks.tasks import double, shout


@dataclass(frozen=True)
class Day:
    """Settings that are wrong, the error they give, and words that its text must contain."""

    name: str
    wrong: dict[str, Any]
    error: type[errors.AWSBatchError]
    words: tuple[str, ...]
    calls: frozenset[str] = field(default=frozenset())  # operations that must have been enough; empty is not looked at


NOT_THERE = "AWS says: "
LOOKS = frozenset(
    {
        "sts:GetCallerIdentity", "s3:HeadBucket", "ecr:DescribeRepositories", "ecr:GetAuthorizationToken",
        "batch:DescribeJobQueues", "batch:DescribeComputeEnvironments", "iam:GetRole", "logs:DescribeLogGroups",
    }
)  # fmt: skip
DAYS = [
    Day(
        "no such bucket",
        {"s3_bucket_name": "nobodys-bucket"},
        errors.NotFound,
        ("bucket `nobodys-bucket`", "AWS says: 404", "s3_bucket_name", "aws s3 mb s3://nobodys-bucket"),
        LOOKS,
    ),
    Day(
        "a bucket's name that is none",
        {"s3_bucket_name": "My Bucket!"},
        errors.SettingError,
        ("'My Bucket!'", "the name of a bucket", "s3_bucket_name"),
        frozenset(),
    ),
    Day(
        "no such repository",
        {"ecr_repo_name": "nobodys/images"},
        errors.NotFound,
        (
            "ECR repository `nobodys/images`",
            "AWS says: RepositoryNotFoundException",
            "ecr_repo_name",
            "aws ecr create-repository --repository-name nobodys/images",
        ),
        LOOKS,
    ),
    Day(
        "no such queue",
        {"batch_queue": "nobodys-queue"},
        errors.NotFound,
        ("job queue `nobodys-queue`", "Region us-east-1", "AWS says: ", "batch_queue", "aws batch describe-job-queues"),
        LOOKS,
    ),
    Day(
        "no such execution role",
        {"batch_execution_role_name": "nobodysRole"},
        errors.NotFound,
        ("role `nobodysRole`", "AWS says: NoSuchEntity", "batch_execution_role_name", "create the role"),
        LOOKS,
    ),
    Day(
        "no such job role",
        {"batch_job_role_name": "arn:aws:iam::123456789012:role/some/path/nobodysRole"},
        errors.NotFound,
        ("role `nobodysRole`", "AWS says: NoSuchEntity", "batch_job_role_name", "create the role"),
        LOOKS,
    ),
    Day(
        "no such log group",
        {"batch_job_log_group_name": "nobodys-logs"},
        errors.NotFound,
        ("log group `nobodys-logs`", "batch_job_log_group_name", "aws logs create-log-group"),
        LOOKS,
    ),
    Day(
        "a Region where nothing is",
        {"region": "eu-north-1"},
        errors.NotFound,
        ("ECR repository `covalent-batch-job-images`", "AWS says: ", "Region eu-north-1", "region"),
        LOOKS,
    ),
    Day(
        "no such profile",
        {"profile": "nobodys"},
        errors.SettingError,
        ("profile (nobodys) could not be found", "Correct `profile`", "aws configure"),
        frozenset(),
    ),
    Day(
        "no such credentials file",
        {"credentials": "~/no/such/file"},
        errors.SettingError,
        ("credentials='~/no/such/file'", "No such file or directory", "shared credentials file"),
    ),
    Day(
        "a folder for a credentials file",
        {"credentials": "/"},
        errors.SettingError,
        ("credentials='/'", "Is a directory", "shared credentials file"),
    ),
    Day(
        "no such base image",
        {"container_image_uri": "{registry}/python:4.0-none"},
        errors.NotFound,
        ("{registry}/python:4.0-none", "container_image_uri"),
        LOOKS,
    ),
    Day(
        "no such repository of base images",
        {"container_image_uri": "{registry}/nobodys/python:3"},
        errors.ServiceError,
        ("{registry}/nobodys/python:3", "container_image_uri"),
        LOOKS,
    ),
    Day(
        "a base image's name that is none",
        {"container_image_uri": "Not An Image"},
        errors.SettingError,
        ("'Not An Image'", "container_image_uri"),
        LOOKS,
    ),
]


@pytest.mark.parametrize("day", DAYS, ids=lambda day: day.name)
async def test_a_wrong_setting_is_one_error_and_mended_it_works(world: World, day: Day) -> None:
    places = {"registry": world.aws.registry}
    wrong = {name: value.format(**places) for name, value in day.wrong.items()}
    before = world.sent()
    with pytest.raises(day.error) as caught:
        await world.run(world.settings(**wrong), shout, "a")
    holds(caught.value, *(word.format(**places) for word in day.words))
    assert world.sent() == before
    if day.calls:
        async with connect(world.settings(**wrong)) as client:
            assert set(client.services.aws.calls) <= day.calls
    assert await world.value(world.settings(), shout, "mended") == "MENDED"


def holds(error: errors.AWSBatchError, *words: str) -> None:
    """The error's text opens with a sentence and contains the words and an advice, in less than 1000 characters."""
    text = error.text()
    assert text.startswith(error.happened)
    for word in words:
        assert word in text, text
    assert error.advice, text
    assert len(text) < 1000, text


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


async def test_several_wrong_settings_are_named_in_one_error(world: World) -> None:
    wrong = world.settings(s3_bucket_name="nobodys", ecr_repo_name="nobodys", batch_queue="nobodys-queue")
    with pytest.raises(errors.NotFound) as caught:
        await world.run(wrong, shout, "a")
    holds(caught.value, "bucket `nobodys`", "Also: AWS did not find ECR repository `nobodys`", "Also: The job queue")


# ---- credentials ----------------------------------------------------------------------------------------------------
NO_KEYS = {"aws_access_key_id": None, "aws_secret_access_key": None}


async def test_a_profile_without_keys_says_there_are_no_credentials(world: World) -> None:
    credentials = Path(world.profile(**NO_KEYS))
    with pytest.raises(errors.NotAuthenticated) as caught:
        await world.run(world.settings(credentials=str(credentials)), shout, "a")
    holds(caught.value, "No AWS credentials", "Unable to locate credentials", "aws configure", "aws sso login")
    credentials.write_text(Path(world.profile()).read_text())  # signed in meanwhile; the server was not restarted
    assert await world.value(world.settings(credentials=str(credentials)), shout, "a") == "A"


@pytest.mark.parametrize("text", [b"[local\nkey = 1", b"aws_access_key_id = 1", b"\xff\xfe\x00[\x00"])
async def test_a_credentials_file_that_is_none_is_named(world: World, text: bytes) -> None:
    path = world.folder / "credentials"
    path.write_bytes(text)
    with pytest.raises(errors.SettingError) as caught:
        await world.run(world.settings(credentials=str(path)), shout, "a")
    holds(caught.value, str(path), "credentials")
    path.write_text(Path(world.profile()).read_text())
    assert await world.value(world.settings(credentials=str(path)), shout, "a") == "A"


async def test_a_credentials_file_that_may_not_be_read_is_named(world: World) -> None:
    path = Path(world.profile())
    path.chmod(0)
    with pytest.raises(errors.SettingError) as caught, as_nobody():
        async with connect(world.settings(credentials=str(path))):
            pass
    holds(caught.value, f"credentials={str(path)!r}", "Permission denied", "the machine of the Covalent server")
    path.chmod(0o600)
    assert await world.value(world.settings(credentials=str(path)), shout, "a") == "A"


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read anything, so it is nobody for a while; whoever is not root stays who they are."""
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(uid)


@dataclass(frozen=True)
class Answered:
    """An operation that AWS answers with this error, as its documentation has it."""

    name: str
    operation: str
    status: int
    code: str
    message: str
    error: type[errors.AWSBatchError]
    words: tuple[str, ...]


EXPIRED = "The security token included in the request is expired"
UNKNOWN = "The security token included in the request is invalid."
ANSWERS = [
    Answered(
        "an expired token", "sts:GetCallerIdentity", 403, "ExpiredToken", EXPIRED, errors.NotAuthenticated,
        ("credentials have expired", f"AWS says: ExpiredToken: {EXPIRED}", "aws sso login"),
    ),
    Answered(
        "keys that nobody has", "sts:GetCallerIdentity", 403, "InvalidClientTokenId", UNKNOWN, errors.NotAuthenticated,
        ("does not accept the credentials", f"AWS says: InvalidClientTokenId: {UNKNOWN}", "aws configure"),
    ),
    Answered(
        "a secret key with a typing error", "sts:GetCallerIdentity", 403, "SignatureDoesNotMatch", "The request "
        "signature we calculated does not match", errors.NotAuthenticated,
        ("does not accept the credentials", "AWS says: SignatureDoesNotMatch", "aws configure"),
    ),
    Answered(
        "somebody else's bucket", "s3:HeadBucket", 403, "", "", errors.NotAllowed,
        ("bucket `covalent-batch-job-resources`", "AWS says: 403: Forbidden", "global", "123456789012", "`s3:List"),
    ),
    Answered(
        "a token that S3 alone finds expired", "s3:HeadBucket", 400, "", "", errors.Refused,
        ("bucket `covalent-batch-job-resources`", "AWS says: 400: Bad Request", "expired", "aws sso login"),
    ),
    Answered(
        "no right to log in to ECR", "ecr:GetAuthorizationToken", 400, "AccessDeniedException", "User: u is not "
        "authorized to perform: ecr:GetAuthorizationToken on resource: *", errors.NotAllowed,
        ("does not allow ecr:GetAuthorizationToken", "AWS says: AccessDeniedException: User: u", "`ecr:GetAuth"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("answered", ANSWERS, ids=lambda answered: answered.name)
async def test_what_aws_refuses_is_told_in_its_words_and_mended_it_works(
    world: World, gate: Gate, answered: Answered
) -> None:
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url))
    gate.refuse(answered.operation, answered.status, answered.code, answered.message)
    before = world.sent()
    with pytest.raises(answered.error) as caught:
        await world.run(settings, shout, "a")
    holds(caught.value, *answered.words)
    assert world.sent() == before
    gate.rules.clear()
    assert await world.value(settings, shout, "mended") == "MENDED"


async def test_a_token_that_expires_while_tasks_run_is_renewed_from_its_file(world: World, gate: Gate) -> None:
    credentials = Path(world.profile(endpoint_url=gate.url))
    settings = world.settings(credentials=str(credentials))
    assert await world.value(settings, shout, "a") == "A"
    role = world.client("iam").get_role(RoleName=settings.batch_job_role_name)["Role"]["Arn"]
    fresh = world.client("sts").assume_role(RoleArn=role, RoleSessionName="fresh")["Credentials"]
    gate.rules["batch:submitjob"] = only_with_token(fresh["SessionToken"])
    renewed = {
        "aws_access_key_id": fresh["AccessKeyId"],
        "aws_secret_access_key": fresh["SecretAccessKey"],
        "aws_session_token": fresh["SessionToken"],
    }
    credentials.write_text(Path(world.profile(endpoint_url=gate.url, **renewed)).read_text())
    assert await world.value(settings, shout, "b") == "B"


def only_with_token(token: str) -> Any:
    async def rule(request: Any, body: bytes) -> Any:
        fresh = request.headers.get("X-Amz-Security-Token") == token
        return None if fresh else error_of("batch:submitjob", 403, "ExpiredTokenException", EXPIRED)

    return rule


@pytest.mark.parametrize(
    ("operation", "code"), [("batch:registerjobdefinition", "ClientException"), ("batch:submitjob", "ClientException")]
)
async def test_a_refusal_at_the_last_step_leaves_no_job_and_nothing_to_trip_over(
    world: World, gate: Gate, operation: str, code: str
) -> None:
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url))
    gate.refuse(operation, 400, code, "Something about the request")
    jobs = world.sent().jobs
    with pytest.raises(errors.Refused) as caught:
        await world.run(settings, shout, "a")
    assert "AWS says: ClientException: Something about the request" in str(caught.value)
    assert world.sent().jobs == jobs
    gate.rules.clear()
    assert await world.value(settings, shout, "a") == "A"


async def test_no_network_is_told_after_the_outage_patience(world: World) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}"
    settings = world.settings(credentials=world.profile(endpoint_url=nowhere), outage_patience=2)
    with pytest.raises(errors.Unreachable) as caught:
        await world.run(settings, shout, "a")
    holds(caught.value, "AWS did not answer sts:GetCallerIdentity", nowhere, "network", "region")
    assert caught.value.retry_may_help


async def test_no_region_is_told(world: World) -> None:
    settings = world.settings(credentials=world.profile(region=None), region="")
    with pytest.raises(errors.SettingError) as caught:
        await world.run(settings, shout, "a")
    holds(caught.value, "No AWS Region is set", "Set `region`", "AWS_REGION")
    assert await world.value(world.settings(), shout, "a") == "A"


# ---- the queue ------------------------------------------------------------------------------------------------------
async def test_a_disabled_queue_is_told_before_anything_is_made(world: World) -> None:
    batch = world.client("batch")
    order = batch.describe_job_queues()["jobQueues"][0]["computeEnvironmentOrder"]
    batch.create_job_queue(jobQueueName="asleep", state="DISABLED", priority=1, computeEnvironmentOrder=order)
    before = world.sent()
    with pytest.raises(errors.SettingError) as caught:
        await world.run(world.settings(batch_queue="asleep"), shout, "a")
    holds(caught.value, "job queue `asleep`", "DISABLED", "aws batch update-job-queue --job-queue asleep")
    assert world.sent() == before
    batch.update_job_queue(jobQueue="asleep", state="ENABLED")
    assert await world.value(world.settings(batch_queue="asleep"), shout, "a") == "A"


FARGATE = [
    ({"vcpu": 17}, "vcpu=17 with memory=3.75 (GiB) is too large", "at most vcpu 16 with 120 GiB"),
    ({"vcpu": 8, "memory": 121}, "memory=121 (GiB)", "at most vcpu 16 with 120 GiB"),
    ({"num_gpus": 1}, "num_gpus=1", "Set num_gpus to 0"),
]


@pytest.fixture(scope="session")
def fargate_queue(offline_aws: Any) -> str:
    world = World(offline_aws, Path())
    batch, ec2 = world.client("batch"), world.client("batch").describe_compute_environments()["computeEnvironments"][0]
    resources = {key: ec2["computeResources"][key] for key in ("maxvCpus", "subnets", "securityGroupIds")}
    batch.create_compute_environment(
        computeEnvironmentName="serverless",
        type="MANAGED",
        serviceRole=ec2["serviceRole"],
        computeResources={"type": "FARGATE", **resources},
    )
    order = [{"order": 1, "computeEnvironment": "serverless"}]
    batch.create_job_queue(jobQueueName="serverless", state="ENABLED", priority=1, computeEnvironmentOrder=order)
    return "serverless"


@pytest.mark.parametrize(("wrong", "happened", "remedy"), FARGATE)
async def test_what_fargate_never_gives_is_told_before_anything_is_made(
    world: World, fargate_queue: str, wrong: dict[str, Any], happened: str, remedy: str
) -> None:
    before = world.sent()
    with pytest.raises(errors.SettingError) as caught:
        await world.run(world.settings(batch_queue=fargate_queue, **wrong), shout, "a")
    holds(caught.value, happened, f"queue `{fargate_queue}` is on Fargate", remedy)
    assert world.sent() == before


async def test_a_task_runs_on_fargate_with_a_legal_size(world: World, fargate_queue: str) -> None:
    assert await world.value(world.settings(batch_queue=fargate_queue, vcpu=0.5, memory=1), shout, "a") == "A"


async def test_on_fargate_a_size_goes_up_to_one_there_is_and_that_is_said(
    world: World, fargate_queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = world.settings(batch_queue=fargate_queue, vcpu=3, memory=31, retry_attempts=7)
    assert await world.value(settings, shout, "a") == "A"
    assert "the task gets vcpu=8 and memory=32" in caplog.text


async def test_half_a_cpu_on_ec2_is_told(world: World) -> None:
    with pytest.raises(errors.SettingError) as caught:
        await world.run(world.settings(vcpu=0.5), shout, "a")
    holds(caught.value, "vcpu=0.5", "EC2 queue `covalent-batch-queue`", "Set vcpu to 1 or more")


def test_the_image_is_made_for_the_processor_of_the_queues_machines() -> None:
    settings, said = fitted(Settings(), fargate=False, platform="linux/arm64")
    assert settings.platform == "linux/arm64"
    assert "The instances of the queue `covalent-batch-queue` run linux/arm64" in said
    assert fitted(settings, fargate=False, platform="linux/arm64") == (settings, "")
    assert fitted(settings, fargate=False) == (settings, ""), "machines of both kinds, or none that tell"


# ---- numbers out of range: told before AWS is even asked ------------------------------------------------------------
RANGES = [
    ({"vcpu": 0}, "vcpu=0", "at least 0.25", "vCPUs"),
    ({"vcpu": "many"}, "vcpu='many'", "a number", "vCPUs"),
    ({"vcpu": float("nan")}, "vcpu=nan", "finite", "vCPUs"),
    ({"memory": -1}, "memory=-1", "at least", "GiB"),
    ({"memory": 10**9}, "memory=1000000000", "at most 24576", "GiB"),
    ({"time_limit": 59}, "time_limit=59", "at least 60", "in seconds"),
    ({"time_limit": 90.5}, "time_limit=90.5", "whole number", "in seconds"),
    ({"num_gpus": -1}, "num_gpus=-1", "at least 0", "GPUs"),
    ({"retry_attempts": 0}, "retry_attempts=0", "at least 1", "number of attempts"),
    ({"retry_attempts": 11}, "retry_attempts=11", "at most 10", "number of attempts"),
    ({"poll_freq": 0}, "poll_freq=0", "at least 0.1", "in seconds"),
    ({"region": "Europe (Ireland)"}, "region='Europe (Ireland)'", "eu-west-1", "Region"),
    ({"batch_job_definition_name": "a b"}, "batch_job_definition_name='a b'", "Letters", "at most 100"),
    ({"s3_bucket_name": ""}, "s3_bucket_name=''", "empty", "S3 bucket"),
    ({"builder": "podman"}, "builder='podman'", "'registry' or 'docker'", "engine"),
]


@pytest.mark.parametrize(("wrong", "setting", "why", "unit"), RANGES, ids=lambda value: str(value)[:30])
def test_a_value_out_of_range_is_told_at_once(
    world: World, wrong: dict[str, Any], setting: str, why: str, unit: str
) -> None:
    with pytest.raises(errors.SettingError) as caught:
        world.settings(**wrong)
    holds(caught.value, setting, "given by this test", why, unit)


# ---- what can't travel ----------------------------------------------------------------------------------------------
def test_a_function_that_cannot_be_pickled_is_told_before_anything_is_sent(world: World) -> None:
    lock = threading.Lock()
    with pytest.raises(errors.NotPicklable) as caught:
        world.stage(lambda: lock)
    holds(caught.value, "A function can't be sent", "_thread.lock", "inside the function")


def test_an_argument_that_cannot_be_pickled_is_told_before_anything_is_sent(world: World) -> None:
    with pytest.raises(errors.NotPicklable) as caught:
        world.stage(shout, threading.Lock())
    holds(caught.value, "A lock can't be sent", "inside the function")


def test_an_argument_whose_pickling_raises_an_os_error_is_the_arguments_fault(world: World) -> None:
    with pytest.raises(errors.NotPicklable) as caught:
        world.stage(shout, Unwilling())
    holds(caught.value, "A Unwilling can't be sent", "ConnectionResetError")


class Unwilling:
    def __reduce__(self) -> Any:
        raise ConnectionResetError("my database went away")


# ---- no room --------------------------------------------------------------------------------------------------------
async def test_a_disk_that_is_full_when_the_function_is_written_is_told(world: World) -> None:
    (world.folder / "full").mkdir()
    for name in ("function", "function.pickle"):
        (world.folder / "full" / name).symlink_to("/dev/full")
    with pytest.raises(errors.StagingError) as caught:
        stage_call(shout, ("a",), {}, world.folder / "full", dispatch_id="d", node_id=0)
    holds(caught.value, str(world.folder / "full"), "No space left on device", "cache_dir")


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["in the envelope", "in an object of its own"])
async def test_a_disk_that_is_full_when_the_result_is_written_is_told_and_with_room_it_is_read(
    world: World, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, group = world.settings(), world.stage(double, b"x" * (size // 2))
    async with connect(settings) as client:
        handle = await client.submit(settings, Task.of(group))
        ended = await client.wait(settings, handle)
        full = world.folder / "full"
        full.mkdir()
        with monkeypatch.context() as patch:
            for module in ("tasks.results", "aws.s3"):
                patch.setattr(f"covalent_awsbatch_plugin.{module}.create_own", lambda _: full_disk())
            with pytest.raises(errors.StagingError) as caught:
                await client.results(settings, ended, group.node_ids, full)
        holds(caught.value, str(full / "output-0"), "No space left on device", "cache_dir")
        (result,) = await client.results(settings, ended, group.node_ids, full)
        assert value_of(result) == b"x" * size


def full_disk() -> IO[bytes]:
    return Path("/dev/full").open("wb")  # whoever asked for a new file closes it


async def test_a_home_that_cannot_be_written_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    place = world.folder / "a-file"
    place.write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(place))
    before = world.sent()
    with pytest.raises(errors.StagingError) as caught:
        await world.run(world.settings(), shout, "a")
    holds(caught.value, str(place), "Not a directory", "XDG_DATA_HOME")
    assert world.sent() == before
    monkeypatch.setenv("XDG_DATA_HOME", str(world.folder / "data"))
    assert await world.value(world.settings(), shout, "a") == "A"


async def test_a_staged_file_that_has_gone_is_told(world: World) -> None:
    group = world.stage(shout, "a")
    group.tasks[0].function.unlink()
    with pytest.raises(errors.StagingError) as caught:
        await world.run_staged(world.settings(), group)
    holds(caught.value, str(group.tasks[0].function), "No such file", "cache_dir")


async def test_nothing_goes_on_beside_a_task_that_cannot_be_packed(world: World) -> None:
    """The queue, the bucket and the roles are asked for meanwhile; a client that opens later would never be closed."""
    group = world.stage(shout, "a")
    group.tasks[0].function.unlink()
    world.aws.fault(faults.SLOW, of="sts:*", delay_s=2)
    before = asyncio.all_tasks()
    with pytest.raises(errors.StagingError):
        await world.run_staged(world.settings(), group)
    await close_shared()
    assert asyncio.all_tasks() == before


async def test_a_staged_file_that_is_no_function_is_told(world: World) -> None:
    group = world.stage(shout, "a")
    group.tasks[0].function.write_bytes(b"no archive of Covalent's")
    with pytest.raises(errors.NotPicklable) as caught:
        await world.run_staged(world.settings(), group)
    assert "function of node 0 is not in Covalent's format" in str(caught.value)
