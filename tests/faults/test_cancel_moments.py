# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A cancel, whenever it comes: the task ends cancelled, or as it had ended before, and nothing runs on.

A cancel while a task waits to be batched, or between submission and handle, is in tests/tasks/test_batching.py; in an
array, or in a shared container, beside it.
"""

from __future__ import annotations

import asyncio
import uuid

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.local import faults
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.faults.tasks import RAN, answer, slowly
from tests.tasks.electron import Electron, until_ended
from tests.tasks.small_world import World, stdout_of


async def test_before_anything_was_uploaded_nothing_is_sent(world: World) -> None:
    electron = Electron(world, world.settings(max_baked_mib=0), answer)
    before = world.sent()
    electron.task.cancelled = True
    with pytest.raises(errors.Cancelled):
        await electron.send()
    assert world.sent() == before


async def test_in_the_queue_it_never_begins(world: World) -> None:
    electron = Electron(world, world.settings(), answer)
    world.aws.fault(faults.STUCK, of=f"covalent-{electron.group.dispatch_id}-0", text="CAPACITY:X", times=None)
    await electron.send()
    ending = asyncio.ensure_future(electron.end())
    await asyncio.sleep(0)
    await electron.cancel()
    result = await ending
    assert isinstance(result.error, errors.Cancelled)
    assert stdout_of(result) == ""
    await until_ended(world, electron.handle.job_id)


async def test_while_it_starts_and_twice_it_ends(world: World) -> None:
    electron = Electron(world, world.settings(), slowly, 60)
    await electron.send()
    ending = asyncio.ensure_future(electron.end())
    while world.job(electron.handle.job_id)["status"] not in ("STARTING", "RUNNING"):
        await asyncio.sleep(0.02)
    await asyncio.gather(electron.cancel(), electron.cancel())
    assert isinstance((await ending).error, errors.Cancelled)
    await until_ended(world, electron.handle.job_id)
    await electron.cancel()


async def test_when_it_has_ended_its_value_stands(world: World) -> None:
    electron = Electron(world, world.settings(), answer)
    await electron.send()
    await until_ended(world, electron.handle.job_id)
    await electron.cancel()
    result = await electron.end()
    assert value_of(result) == 42
    assert stdout_of(result) == f"{RAN}\n"


@pytest.mark.parametrize("index", ["", ":3"])
async def test_of_a_job_that_nobody_knows_it_is_no_error_and_is_logged(
    world: World, index: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("covalent_awsbatch_plugin.jobs.api.UNKNOWN_JOB_PAUSES", [0.0] * 3)
    async with connect(world.settings()) as client:
        await client.cancel(f"{uuid.uuid4()}{index}")
    assert "so it was not ended" in caplog.text


async def test_before_terminate_job_knows_the_job_it_is_ended_all_the_same(world: World) -> None:
    electron = Electron(world, world.settings(), slowly, 60)
    world.aws.fault(faults.UNKNOWN_JOB, of=f"covalent-{electron.group.dispatch_id}-0", times=2)
    await electron.send()
    ending = asyncio.ensure_future(electron.end())
    await electron.cancel()
    assert isinstance((await ending).error, errors.Cancelled)
    assert world.job(electron.handle.job_id)["status"] == "FAILED"


async def test_before_any_call_but_the_list_knows_the_job_reap_and_clean_see_it(world: World) -> None:
    settings = world.settings()
    electron = Electron(world, settings, slowly, 60)
    world.aws.fault(faults.UNSEEN, of=f"covalent-{electron.group.dispatch_id}-0", times=2)
    await electron.send()
    async with connect(settings) as client:
        jobs = await client.services.batch.live_jobs(settings.batch_queue, f"covalent-{electron.group.dispatch_id}")
    assert [job["jobId"] for job in jobs] == [electron.handle.job_id]
    await electron.cancel()
    await until_ended(world, electron.handle.job_id)
