# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A task that is stopped says its last words, whoever stops it: a timeout, a Spot notice, a cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS, faults
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.results import NodeResult
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.faults.tasks import RAN, SAVED, on_second_attempt
from tests.tasks.small_world import World, stdout_of


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.engine)])
def own_aws(request: pytest.FixtureRequest) -> Iterator[LocalAWS]:
    """Where a minute lasts ten seconds, and whoever is told to stop has the time that AWS gives."""
    aws = LocalAWS(engine=request.param, slots=2, minute_s=10)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.fixture
async def world(own_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    yield World(own_aws, tmp_path)
    own_aws.clear_faults()
    await close_shared()


def said(result: NodeResult) -> list[str]:
    return stdout_of(result).splitlines()


async def test_at_a_timeout(world: World) -> None:
    result = await world.run(world.settings(time_limit=60), on_second_attempt)
    assert isinstance(result.error, errors.TimedOut)
    assert said(result) == [RAN, SAVED]


async def test_at_a_spot_notice_and_the_next_attempt_goes_on(world: World) -> None:
    group = world.stage(on_second_attempt, dispatch_id="spot")
    world.aws.fault(faults.SPOT, of="covalent-spot-0", once_heard=True)
    result = await world.run_staged(world.settings(), group)
    assert value_of(result) == "attempt 2"
    assert said(result) == [RAN]
    (job,) = [job for job in map(world.job, world.sent().jobs) if job["jobName"] == "covalent-spot-0"]
    first, _ = job["attempts"]
    # an engine has stdout and stderr by two ways, so where the runner's own line comes among these is open
    printed = world.printed(first["container"]["logStreamName"])
    assert [line for line in printed if line in (RAN, SAVED)] == [RAN, SAVED]


async def test_at_a_cancel(world: World) -> None:
    settings, group = world.settings(), world.stage(on_second_attempt)
    async with connect(settings) as client:
        handle = await client.submit(settings, Task.of(group))
        watching = asyncio.ensure_future(client.wait(settings, handle))
        await world.until_heard(handle.job_id)
        await client.cancel(handle.job_id)
        (result,) = await client.results(settings, await watching, group.node_ids, world.folder)
    assert isinstance(result.error, errors.Cancelled)
    assert said(result) == [RAN, SAVED]
