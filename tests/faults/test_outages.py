# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Outages of a service, and answers that are not AWS's: each call is ridden out, or the user can collect the value."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.s3 import Store
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS, faults
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from tests.faults.client import Client
from tests.faults.tasks import count, wait_and_count
from tests.tasks.gate import Gate
from tests.tasks.small_world import World

SERVER = ("sts", "iam", "s3", "batch", "ecr", "logs")  # the services that a server asks


@pytest.fixture
async def gate(offline_aws: LocalAWS) -> AsyncIterator[Gate]:
    async with Gate(offline_aws.endpoint_url).open() as opened:
        yield opened
        await close_shared()  # while there is still somebody to answer


def of_server(world: World) -> tuple[str, str]:
    """A credentials file of the server's own, and its key: the jobs have others."""
    return world.another_profile()


async def read(world: World, settings: Any, number: int, outage: Callable[[], Awaitable[None]]) -> list[bytes | None]:
    """Put objects, start an outage, and read all of them at once."""
    async with connect(settings) as client:
        store: Store = (await client.services.resources(settings)).store
        keys = [f"outage/{at}" for at in range(number)]
        await asyncio.gather(*(store.put(key, key.encode(), settings.encryption) for key in keys))
        await outage()
        values = await asyncio.gather(*(store.get(key) for key in keys))
        await store.delete(keys)
    return values


async def test_connections_are_refused_for_two_seconds_while_results_are_read(world: World, gate: Gate) -> None:
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url))
    refusing: list[asyncio.Task[None]] = []

    async def outage() -> None:
        refusing.append(asyncio.create_task(gate.refuse_connections(2)))
        await asyncio.sleep(0.05)

    assert await read(world, settings, 5, outage) == [f"outage/{at}".encode() for at in range(5)]
    await asyncio.gather(*refusing)


async def test_s3_fails_for_ten_seconds_while_150_results_are_read(world: World) -> None:
    async def outage() -> None:
        world.aws.fault(faults.ERROR, of="s3:GetObject", times=None, seconds=10)

    assert await read(world, world.settings(), 150, outage) == [f"outage/{at}".encode() for at in range(150)]


@pytest.mark.parametrize("kind", [faults.ERROR, faults.TEXT_ERROR, faults.PORTAL])
async def test_sts_and_iam_fail_for_seconds_and_every_task_has_its_value(
    world: World, tmp_path: Path, kind: str
) -> None:
    for service in ("sts", "iam"):
        world.aws.fault(kind, of=f"{service}:*", times=None, seconds=6)
    runs = [world.value(world.settings(), count, str(tmp_path / f"ran-{at}"), "return") for at in range(4)]
    assert await asyncio.gather(*runs) == ["done"] * 4


PAGES = {"a login page": faults.LOGIN_PAGE, "an empty object": "{}", "no object": "null", "no body": " "}


@pytest.mark.parametrize("page", PAGES)
async def test_a_captive_portals_page_is_no_answer_to_any_operation(world: World, tmp_path: Path, page: str) -> None:
    credentials, key = of_server(world)
    settings = world.settings(credentials=credentials, max_baked_mib=0)
    before = world.sent()
    async with connect(settings) as client:
        operations = {f"{service}:*" for service in SERVER}
        for _ in range(2):
            for of in operations:
                world.aws.fault(faults.PORTAL, of=of, who=key, text=PAGES[page], times=3)
            assert await world.value(settings, count, str(tmp_path / "ran"), "big") == "x" * 400_000
        assert client.services.aws.calls["batch:DescribeJobs"]
    assert (tmp_path / "ran").read_bytes() == b"11"
    assert len(world.sent().jobs - before.jobs) == 2


@pytest.mark.parametrize("operation", ["s3:PutObject", "s3:HeadObject", "s3:GetObject", "batch:DescribeJobs"])
async def test_a_captive_portals_page_is_no_success(world: World, tmp_path: Path, operation: str) -> None:
    """Neither an object that is stored, nor one that is there, nor a value, nor a job that Batch does not know."""
    credentials, key = of_server(world)
    settings = world.settings(credentials=credentials, max_baked_mib=0)
    world.aws.fault(faults.PORTAL, of=operation, who=key, times=None, seconds=4)
    assert await world.value(settings, count, str(tmp_path / "ran"), "big") == "x" * 400_000
    assert (tmp_path / "ran").read_bytes() == b"1"


def silence_after_submission(client: Client, gate: Gate, seconds: float) -> None:
    """The answer to the first SubmitJob is lost, and from then on nothing answers the server for a while."""
    lost: list[bool] = []

    async def rule(request: web.Request, body: bytes) -> web.StreamResponse | None:
        if lost:
            return None
        lost.append(True)
        await gate._forward(request, body)
        quiet.append(asyncio.create_task(gate.refuse_connections(seconds)))
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    quiet: list[asyncio.Task[None]] = []
    gate.rules["batch:submitjob"] = rule


@pytest.mark.parametrize("seconds", [5, 150] if os.environ.get("SOAK") else [5])
async def test_a_submission_whose_answer_is_lost_in_an_outage_is_found_again_by_name(
    world: World, client: Client, gate: Gate, seconds: int
) -> None:
    before = len(client.jobs())
    silence_after_submission(client, gate, seconds)
    client.set(credentials=world.profile(endpoint_url=gate.url))
    client.may_go_on()
    handles = await client.asks_again()
    (result,) = await client.reads(handles)
    assert (result.error, client.ran, len(client.jobs())) == (None, b"1", before + 1)


async def test_a_submission_in_a_longer_outage_ends_with_the_jobs_name_and_is_collected(
    world: World, client: Client, gate: Gate
) -> None:
    before = len(client.jobs())
    silence_after_submission(client, gate, 8)
    client.set(credentials=world.profile(endpoint_url=gate.url), outage_patience=2)
    with pytest.raises(errors.Unreachable) as caught:
        await client.asks_again()
    (job,) = client.jobs()[: len(client.jobs()) - before]
    assert f"A job `{job['jobName']}` may still run" in str(caught.value)
    assert "`covalent-awsbatch collect` fetches its result" in str(caught.value)
    client.may_go_on()
    await client.until_all_ended()
    assert "Collected 1 results" in await client.says("collect", "--into", str(client.folder / "collected"))
    assert client.ran == b"1"


@pytest.mark.parametrize("operation", ["batch:DescribeJobs", "s3:GetObject"])
async def test_a_job_in_a_longer_outage_is_named_and_collected(client: Client, operation: str) -> None:
    client.set(outage_patience=1)
    client.may_go_on()
    async with connect(client.settings) as opened:
        (group,) = client.groups
        handle = await opened.submit(client.settings, Task.of(group))
        client.world.aws.fault(faults.ERROR, of=operation, times=None)
        with pytest.raises(errors.Unreachable) as caught:
            await client.reads([handle])
    assert f"The job {handle.job_id} may still run" in str(caught.value)
    assert "`covalent-awsbatch collect` fetches its result" in str(caught.value)
    client.world.aws.clear_faults()
    await client.until_all_ended()
    assert "Collected 1 results" in await client.says("collect", "--into", str(client.folder / "collected"))


async def test_the_outage_of_one_tasks_bucket_delays_no_other_task(world: World, client: Client) -> None:
    """A results' folder can't be listed; a job that is watched by itself ends meanwhile."""
    world.aws.fault(faults.ERROR, of="s3:ListObjectsV2", times=None)
    client.stage(wait_and_count, [str(client.folder)] * 3)
    client.set(array_linger=9, max_array_size=2)
    client.may_go_on()
    handles = await client.asks_again()
    reading = asyncio.create_task(client.reads(handles))
    await asyncio.sleep(1)
    assert await world.value(world.settings(), str, "value") == "value"
    assert not reading.done()
    world.aws.clear_faults()
    assert [result.error for result in await reading] == [None] * 3
