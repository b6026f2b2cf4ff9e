# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A task that needed more than one attempt says so at the top of its stderr, also where it ended well."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.local import faults
from covalent_awsbatch_plugin.runner.protocol import envelope
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.results import NodeResult
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.faults.tasks import answer, fail_slowly, raise_once, slowly, warned
from tests.tasks.electron import Electron, sent
from tests.tasks.small_world import World


def stderr_of(result: NodeResult) -> list[str]:
    return result.files[envelope.STDERR].read_text().splitlines() if envelope.STDERR in result.files else []


async def test_a_success_after_a_lost_host(world: World) -> None:
    world.aws.fault(faults.HOST_LOST, of="covalent-header-0", after_s=1)
    result = await world.run_staged(world.settings(), world.stage(warned, 2.0, dispatch_id="header"))
    first, *rest = stderr_of(result)
    assert first.startswith("covalent-awsbatch: attempt 1 of 2, 20")
    assert first.endswith(f"AWS says: {faults.HOST_TERMINATED}; no exit code")
    assert (value_of(result), rest) == (42, ["mind the gap"])


async def test_an_arrays_child_is_asked_for_only_then(world: World) -> None:
    settings = world.settings(array_linger=9, max_array_size=2)
    await world.value(settings, answer)  # so that the others wait for each other
    world.aws.fault(faults.HOST_LOST, of="covalent-test-*:1", after_s=1)
    pair = [Electron(world, settings, warned, 2.0) for _ in range(2)]
    await sent(pair)
    pair.sort(key=lambda each: each.handle.job_id)
    straight, lost = await asyncio.gather(*(each.end() for each in pair))
    assert stderr_of(straight) == ["mind the gap"]
    assert [line.partition(",")[0] for line in stderr_of(lost)] == [
        "covalent-awsbatch: attempt 1 of 2",
        "mind the gap",
    ]


async def test_a_value_that_is_told_as_a_failure(world: World) -> None:
    world.aws.fault(faults.AGENT, of="covalent-agent-0")
    result = await world.run_staged(world.settings(), world.stage(warned, 0.0, dispatch_id="agent"))
    note, rest = stderr_of(result)
    assert note.startswith("covalent-awsbatch: AWS Batch calls this job FAILED")
    assert "CannotInspectContainerError" in note
    assert (value_of(result), rest) == (42, "mind the gap")


async def test_a_failure_tells_of_all_its_attempts_there_and_in_the_error(world: World) -> None:
    world.aws.fault(faults.HOST_LOST, of="covalent-thrice-0", after_s=1, times=None)
    result = await world.run_staged(world.settings(), world.stage(slowly, 30.0, dispatch_id="thrice"))
    assert isinstance(result.error, errors.HostLost)
    assert [line.partition(",")[0] for line in stderr_of(result)] == [
        "covalent-awsbatch: attempt 1 of 3",
        "covalent-awsbatch: attempt 2 of 3",
    ]
    assert "Attempt 3:" in result.error.text()


async def test_an_exception_at_the_second_attempt_tells_of_the_first_and_where_the_log_is(world: World) -> None:
    world.aws.fault(faults.HOST_LOST, of="covalent-second-0", after_s=1)
    group = world.stage(fail_slowly, 2.0, dispatch_id="second")
    result = await world.run_staged(world.settings(), group)
    assert isinstance(result.error, errors.Raised)
    text = result.error.text()
    assert f"Attempt 1: no exit code; {faults.HOST_TERMINATED}" in text
    assert "Attempt 2: exit code 1" in text
    assert world.aws.section()["batch_job_log_group_name"] in text


async def test_a_job_before_this_one_is_told_of_too(world: World, tmp_path: Path) -> None:
    settings = world.settings(retry_exceptions="ZeroDivisionError")
    group = world.stage(raise_once, str(tmp_path / "ran"))
    mine = Task.of(group)
    async with connect(settings) as client:
        handle = await client.submit(settings, mine)
        ended = await client.wait(settings, handle, mine)
        (result,) = await client.results(settings, ended, group.node_ids, world.folder)
    (told,) = stderr_of(result)
    assert told.startswith("covalent-awsbatch: submitted again, for `raise_once` (Batch job ")
    assert told.endswith("raised ZeroDivisionError.")
    assert value_of(result) == "done"


async def test_read_twice_it_is_told_once(world: World) -> None:
    world.aws.fault(faults.AGENT, of="covalent-twice-0")
    settings, group = world.settings(), world.stage(warned, 0.0, dispatch_id="twice")
    async with connect(settings) as client:
        handle = await client.submit(settings, Task.of(group))
        ended = await client.wait(settings, handle)
        (once,) = await client.results(settings, ended, group.node_ids, world.folder)
        before = stderr_of(once)
        (twice,) = await client.results(settings, ended, group.node_ids, world.folder)
    assert stderr_of(twice) == before
    assert len(before) == 2


@pytest.mark.parametrize("words", faults.FARGATE_STARTS.values(), ids=list(faults.FARGATE_STARTS))
async def test_what_fargate_tells_before_a_container_starts_is_tried_again(world: World, words: str) -> None:
    settings = world.settings(batch_queue=fargate_queue(world), vcpu=0.5, memory=1)
    world.aws.fault(faults.NOT_STARTED, of="covalent-fargate-0", text=words)
    result = await world.run_staged(settings, world.stage(answer, dispatch_id="fargate"))
    assert value_of(result) == 42
    (note,) = stderr_of(result)
    assert note.startswith("covalent-awsbatch: attempt 1 of 2")
    assert f"AWS says: {words}" in note


def fargate_queue(world: World) -> str:
    batch = world.client("batch")
    if not batch.describe_job_queues(jobQueues=["serverless"])["jobQueues"]:
        (ec2,) = batch.describe_compute_environments()["computeEnvironments"]
        resources = {key: ec2["computeResources"][key] for key in ("maxvCpus", "subnets", "securityGroupIds")}
        batch.create_compute_environment(
            computeEnvironmentName="serverless",
            type="MANAGED",
            serviceRole=ec2["serviceRole"],
            computeResources={"type": "FARGATE", **resources},
        )
        order = [{"order": 1, "computeEnvironment": "serverless"}]
        batch.create_job_queue(jobQueueName="serverless", priority=1, computeEnvironmentOrder=order)
    return "serverless"
