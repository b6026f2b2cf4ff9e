# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Several tasks in one container: each electron is as it would be alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.ground import envelope
from covalent_awsbatch_plugin.story import cloud, collecting, journey
from covalent_awsbatch_plugin.story.collecting import NodeResult
from covalent_awsbatch_plugin.story.direct import value_of
from covalent_awsbatch_plugin.story.inflight import Ticket
from covalent_awsbatch_plugin.story.packing import StagedGroup
from covalent_awsbatch_plugin.story.shipment import JobHandle
from covalent_awsbatch_plugin.thought import errors
from covalent_awsbatch_plugin.thought.settings import Settings
from tests.story.small_world import World, stdout_of, ticket
from tests.story.tasks import fail, leave, shout, when_there


class Electron:
    """One task's way, step by step, as Covalent goes it."""

    def __init__(self, world: World, settings: Settings, function: Callable[..., Any], *args: Any) -> None:
        self._settings = settings
        self.group: StagedGroup = world.stage(function, *args)
        self.ticket: Ticket = ticket(self.group)
        self.into: Path = world.folder / f"out-{self.group.dispatch_id}"
        self.into.mkdir()
        self.handle: JobHandle

    async def send(self) -> None:
        async with cloud(self._settings) as aws:
            self.handle = await journey.send(aws, self._settings, self.group, self.ticket)

    async def end(self) -> NodeResult:
        async with cloud(self._settings) as aws:
            ended = await journey.watch(aws, self._settings, self.handle, self.ticket)
            (result,) = await collecting.collect(aws, self._settings, ended, self.group.node_ids, self.into)
        return result

    async def cancel(self) -> None:
        self.ticket.cancelled = True
        async with cloud(self._settings) as aws:
            assert self.ticket.job_id
            await journey.cancel(aws, self.ticket.job_id, self.ticket.member)


async def sent(electrons: list[Electron]) -> list[JobHandle]:
    await asyncio.gather(*(each.send() for each in electrons))
    return [each.handle for each in electrons]


def sharing(world: World, each: int, at_once: int = 1, **changes: Any) -> Settings:
    return world.settings(tasks_per_job=each, parallel_tasks=at_once, array_linger=2, **changes)


async def together(world: World, settings: Settings, tasks: list[tuple[Callable[..., Any], Any]]) -> list[Electron]:
    """Electrons that left as one job: a lone one goes first, so that the others keep company."""
    await world.value(settings, shout, "first")
    electrons = [Electron(world, settings, function, argument) for function, argument in tasks]
    handles = await sent(electrons)
    assert len({handle.job_id.partition(":")[0] for handle in handles}) == 1
    return electrons


@pytest.mark.parametrize("at_once", [1, 3])
async def test_seven_tasks_in_three_containers_of_one_array(world: World, at_once: int) -> None:
    settings = sharing(world, 3, at_once)
    electrons = await together(world, settings, [(shout, f"word {number}") for number in range(7)])
    containers = Counter(each.handle.job_id.partition(":")[2] for each in electrons)
    assert containers == {"0": 3, "1": 3, "2": 1}
    assert sorted(each.handle.member or 0 for each in electrons) == list(range(7))
    results = await asyncio.gather(*(each.end() for each in electrons))
    assert [value_of(result) for result in results] == [f"WORD {number}" for number in range(7)]
    assert [stdout_of(result) for result in results] == [f"shouting word {number}\n" for number in range(7)]


async def test_a_lone_task_may_have_a_container_for_several(world: World) -> None:
    assert await world.value(sharing(world, 10), shout, "alone") == "ALONE"


async def test_each_fails_by_itself_and_is_told_of_before_the_others_end(world: World, tmp_path: Path) -> None:
    there = tmp_path / "there"
    tasks = [(fail, "no"), (leave, 3), (when_there, str(there)), (shout, "b")]
    electrons = await together(world, sharing(world, 4, 4), tasks)
    early = [await each.end() for each in (*electrons[:2], electrons[3])]  # while the third still waits
    assert [type(result.error) for result in early] == [errors.Raised, errors.Exited, type(None)]
    there.touch()
    assert value_of(await electrons[2].end()) == "it is there"


async def test_of_two_that_share_one_is_cancelled_and_the_other_ends_well(world: World, tmp_path: Path) -> None:
    never, there = tmp_path / "never", tmp_path / "there"
    electrons = await together(world, sharing(world, 2, 2), [(when_there, str(never)), (when_there, str(there))])
    ends = [asyncio.ensure_future(each.end()) for each in electrons]
    await asyncio.sleep(0)
    await electrons[0].cancel()
    with pytest.raises(errors.Cancelled):
        await ends[0]
    assert not ends[1].done()
    there.touch()
    assert value_of(await ends[1]) == "it is there"
    await until_ended(world, electrons[0].handle.job_id)  # nobody waits for it any more


async def test_when_all_that_share_are_cancelled_so_is_their_job(world: World, tmp_path: Path) -> None:
    never = str(tmp_path / "never")
    electrons = await together(world, sharing(world, 2), [(when_there, never)] * 4)
    ends = [asyncio.ensure_future(each.end()) for each in electrons]
    await asyncio.sleep(0)
    await asyncio.gather(*(each.cancel() for each in electrons))
    assert [type(end) for end in await asyncio.gather(*ends, return_exceptions=True)] == [errors.Cancelled] * 4
    await until_ended(world, electrons[0].handle.job_id.partition(":")[0])


async def test_one_that_ended_can_be_cancelled_and_the_other_runs_on(world: World, tmp_path: Path) -> None:
    there = tmp_path / "there"
    electrons = await together(world, sharing(world, 2, 2), [(shout, "a"), (when_there, str(there))])
    assert value_of(await electrons[0].end()) == "A"
    other = asyncio.ensure_future(electrons[1].end())
    await electrons[0].cancel()
    there.touch()
    assert value_of(await other) == "it is there"


async def test_what_was_done_before_the_host_was_lost_is_not_done_again(world: World, tmp_path: Path) -> None:
    def once(folder: str, wait: bool) -> int:
        import os
        import time
        import uuid

        open(os.path.join(folder, uuid.uuid4().hex), "w").close()
        while wait and len(os.listdir(folder)) < 2:
            time.sleep(0.05)
        return len(os.listdir(folder))

    done, again = tmp_path / "done", tmp_path / "again"
    for folder in (done, again):
        folder.mkdir()
    settings = sharing(world, 2, 2)
    await world.value(settings, shout, "first")
    electrons = [Electron(world, settings, once, str(done), False), Electron(world, settings, once, str(again), True)]
    await sent(electrons)
    assert value_of(await electrons[0].end()) == 1
    while not list(again.iterdir()):
        await asyncio.sleep(0.05)
    await asyncio.to_thread(world.aws.fault, "host_lost")
    assert value_of(await electrons[1].end()) == 2
    assert len(list(done.iterdir())) == 1


async def test_one_that_exceeds_its_time_is_told_so(world: World, tmp_path: Path) -> None:
    settings = sharing(world, 4, 2).model_copy(update={"time_limit": 2})  # AWS Batch's own least is a minute
    electrons = await together(world, settings, [(when_there, str(tmp_path / "never")), (shout, "a")])
    late, well = await asyncio.gather(*(each.end() for each in electrons))
    assert isinstance(late.error, errors.TimedOut)
    assert "longer than its time limit of 2 s" in late.error.letter()
    assert late.files[envelope.STDOUT].read_text() == "waiting\n"
    assert value_of(well) == "A"


async def until_ended(world: World, job_id: str) -> None:
    batch = world.client("batch")
    async with asyncio.timeout(60):
        while batch.describe_jobs(jobs=[job_id])["jobs"][0]["status"] not in ("SUCCEEDED", "FAILED"):
            await asyncio.sleep(0.1)
