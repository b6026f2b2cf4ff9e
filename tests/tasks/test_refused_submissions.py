# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A submission that fails leaves nothing: image, definition and objects go, and no hold stays."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from tests.tasks.gate import Gate
from tests.tasks.small_world import World
from tests.tasks.tasks import shout

WORDS = "Something about the request"
OPERATIONS = ["batch:registerjobdefinition", "batch:submitjob"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("changes", [{}, {"max_baked_mib": 0}, {"payload": "s3"}], ids=["image", "objects", "s3"])
async def test_a_refused_submission_leaves_no_image_definition_or_object(
    world: World, gate: Gate, operation: str, changes: dict[str, Any]
) -> None:
    # the base image, and with s3 the environment's image and definition, stay for the next job
    assert await world.value(world.settings(**changes), shout, "first") == "FIRST"
    await close_shared()
    before = world.sent()
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url), **changes)
    gate.refuse(operation, 400, "ClientException", WORDS)
    if changes.get("payload") == "s3" and operation == OPERATIONS[0]:
        settings = settings.model_copy(update={"time_limit": 4321})  # a definition that is not there yet
    async with connect(settings) as client:
        with pytest.raises(errors.Refused, match=WORDS):
            await world.run(settings, shout, str(uuid.uuid4()))  # of a task of before there may be a definition
        await close_shared()  # sweeps
        assert not client.cleanup._held
    assert world.sent() == before


@pytest.mark.parametrize("tasks", [1, 3])
async def test_a_submission_without_an_answer_keeps_what_its_job_may_need(world: World, gate: Gate, tasks: int) -> None:
    before = world.sent()
    more = {"max_baked_mib": 0, "outage_patience": 0}
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url), **more)
    gate.refuse("batch:submitjob", 500, "ServerException", "trouble")
    async with connect(settings) as client:
        runs = [world.run(settings, shout, str(at)) for at in range(tasks)]
        ends = await asyncio.gather(*runs, return_exceptions=True)
        assert all(isinstance(each, errors.Unreachable) for each in ends)
        await close_shared()
        assert not client.cleanup._held
    sent = world.sent()
    assert len(sent.images) > len(before.images)
    assert len(sent.objects) > len(before.objects)


@pytest.mark.parametrize("after", [True, False], ids=["after it took effect", "before"])
async def test_a_task_whose_caller_has_gone_leaves_nothing(world: World, gate: Gate, after: bool) -> None:
    assert await world.value(world.settings(), shout, "first") == "FIRST"
    await close_shared()
    before = world.sent()
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url), max_baked_mib=0)
    async with connect(settings) as client:
        held = gate.hold("batch:submitjob", after=after)
        submission = asyncio.ensure_future(client.submit(settings, Task.of(world.stage(shout, "a"))))
        await held.reached.wait()
        submission.cancel()
        await asyncio.wait([submission], timeout=1)
        held.go.set()
        await asyncio.wait([submission])
        async with asyncio.timeout(20):
            while client.cleanup._held:  # the job's end and the sweep release everything
                await asyncio.sleep(0.05)
        await close_shared()
        assert not client.cleanup._held
    sent = world.sent()
    left = (sent.images - before.images, sent.objects - before.objects, sent.definitions - before.definitions)
    assert left == (frozenset(), frozenset(), frozenset())


async def test_a_hold_that_is_cancelled_while_it_waits_for_a_deletion_is_none(world: World) -> None:
    async with connect(world.settings()) as client:
        cleanup = client.cleanup
        cleanup._deleting["b"] = asyncio.Event()
        holding = asyncio.ensure_future(cleanup.hold("a", "b", "c"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert set(cleanup._held) == {"a", "b", "c"}
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        assert not cleanup._held
