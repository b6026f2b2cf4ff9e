# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The offline AWS counts what it is asked, enforces quotas in AWS's words, and a throttle storm loses no task."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.local.faults.request_filter import Gate
from covalent_awsbatch_plugin.settings import Given, Settings, resolve
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.staging import stage_call, value_of
from tests.local.small_world import World

ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1})
STORM_S = 30.0


@pytest.fixture(scope="module")
def strict() -> Iterator[LocalAWS]:
    """With quotas that five calls exceed."""
    aws = LocalAWS(engine="process", quotas={"batch": 2, "ecr:PutImage": 2, "logs:GetLogEvents": 2})
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


def client(aws: LocalAWS, service: str) -> object:
    """One that never tries again."""
    session = botocore.session.Session(profile=aws.section()["profile"])
    session.set_config_variable("credentials_file", aws.section()["credentials"])
    return session.create_client(service, config=ONCE)


def refusals(call: object, times: int = 5) -> list[tuple[str, int]]:
    """Code and HTTP status of each refusal."""
    found = []
    for _ in range(times):
        try:
            call()
        except ClientError as error:
            found.append((error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]))
    return found


def test_a_bucket_of_a_second_fills_again_as_time_passes() -> None:
    now = [0.0]
    gate = Gate({"batch": 3}, clock=lambda: now[0])
    assert [gate.admit("me", "batch:SubmitJob") for _ in range(5)] == [True, True, True, False, False]
    now[0] = 1.0
    assert [gate.admit("me", "batch:DescribeJobs") for _ in range(4)] == [True, True, True, False]
    assert gate.admit("me", "s3:GetObject")
    assert gate.counts()["me"] == {
        "batch:SubmitJob": 5, "refused batch:SubmitJob": 2,
        "batch:DescribeJobs": 4, "refused batch:DescribeJobs": 1,
        "s3:GetObject": 1,
    }  # fmt: skip


def test_an_operation_with_a_quota_of_its_own_takes_none_of_its_services() -> None:
    gate = Gate({"ecr": 1, "ecr:PutImage": 2}, clock=lambda: 0.0)
    assert [gate.admit("me", "ecr:PutImage") for _ in range(3)] == [True, True, False]
    assert gate.admit("me", "ecr:DescribeRepositories")


def test_in_a_storm_every_second_request_is_refused_and_after_it_none() -> None:
    now = [0.0]
    gate = Gate({}, clock=lambda: now[0])
    gate.storm(30)
    assert [gate.admit("me", "s3:GetObject") for _ in range(4)] == [True, False, True, False]
    now[0] = 30.0
    assert all(gate.admit("me", "s3:GetObject") for _ in range(4))


def test_batch_says_too_many_requests(strict: LocalAWS) -> None:
    batch = client(strict, "batch")
    assert ("TooManyRequestsException", 429) in refusals(lambda: batch.describe_jobs(jobs=["none"]))


def test_cloudwatch_logs_says_rate_exceeded(strict: LocalAWS) -> None:
    logs, group = client(strict, "logs"), strict.section()["batch_job_log_group_name"]
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    asked = refusals(lambda: logs.get_log_events(logGroupName=group, logStreamName="s"))
    assert ("ThrottlingException", 400) in asked


def test_the_registry_says_too_many_requests_to_a_manifest(strict: LocalAWS) -> None:
    registry, path = World(strict).registry(), f"{strict.section()['ecr_repo_name']}/manifests/v1"
    answers = [registry.call("PUT", path, data=b"{}") for _ in range(5)]
    (refused, *_) = [answer for answer in answers if answer.status_code == 429]
    assert refused.json()["errors"][0]["code"] == "TOOMANYREQUESTS"


def test_calls_are_counted_by_who_asks_for_what(strict: LocalAWS) -> None:
    s3, bucket = client(strict, "s3"), strict.section()["s3_bucket_name"]
    who = s3._request_signer._credentials.access_key
    before = strict.calls().get(who, {})
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"12345")
    s3.get_object(Bucket=bucket, Key="a/b")
    s3.list_objects_v2(Bucket=bucket, Prefix="a")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a/b"}]})
    client(strict, "sts").get_caller_identity()
    after = strict.calls()[who]
    asked = {name for name in after if after[name] > before.get(name, 0) and " " not in name}
    assert asked == {
        "s3:PutObject", "s3:GetObject", "s3:ListObjectsV2", "s3:DeleteObjects", "sts:GetCallerIdentity",
    }  # fmt: skip
    assert after["bytes s3:PutObject"] >= 5


# ---- the storm ------------------------------------------------------------------------------------------------------
def squared(x: int) -> int:
    print("I am", x)
    return x * x


squared.__module__ = "__main__"  # so that it travels by value: the container has no tests


async def one(settings: Settings, x: int, folder: Path) -> tuple[object, str]:
    """Value and output of one task."""
    folder.mkdir()
    group = stage_call(squared, (x,), {}, folder, dispatch_id=f"storm-{x % 2}", node_id=2 * x)
    async with connect(settings) as client:
        handle = await client.submit(settings, Task((("storm", x),), group))
        ended = await client.wait(settings, handle)
        (result,) = await client.results(settings, ended, group.node_ids, folder)
    assert result.error is None, result.error.text()
    return value_of(result), result.files["stdout"].read_text()


async def test_a_throttle_storm_loses_no_task(tmp_path: Path) -> None:
    async with LocalAWS(engine="process", slots=4) as aws:
        settings = resolve(Given(aws.section() | {"poll_freq": 0.5}, "by the test"))
        aws.storm(STORM_S)
        over, results = asyncio.get_running_loop().time() + STORM_S, list[tuple[object, str]]()
        while asyncio.get_running_loop().time() < over:
            wave = range(len(results), len(results) + 24)
            results += await asyncio.gather(*(one(settings, x, tmp_path / str(x)) for x in wave))
        await close_shared()
        counts = aws.calls()
    assert results == [(x * x, f"I am {x}\n") for x in range(len(results))]
    assert sum(n for of in counts.values() for name, n in of.items() if name.startswith("refused ")) >= 3
    gc.collect()  # what was left open would say so here, and not in another test
