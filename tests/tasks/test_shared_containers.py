# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Several tasks in one container: each electron is as it would be alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.runner.protocol import envelope
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.tasks.electron import together, until_ended
from tests.tasks.small_world import World, stdout_of
from tests.tasks.tasks import fail, leave, shout, when_there


def sharing(world: World, each: int, at_once: int = 1, **changes: Any) -> Settings:
    return world.settings(tasks_per_job=each, parallel_tasks=at_once, **changes)


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
    def once(told: tuple[str, bool]) -> int:
        import os
        import time
        import uuid

        folder, wait = told
        open(os.path.join(folder, uuid.uuid4().hex), "w").close()
        while wait and len(os.listdir(folder)) < 2:
            time.sleep(0.05)
        return len(os.listdir(folder))

    done, again = tmp_path / "done", tmp_path / "again"
    for folder in (done, again):
        folder.mkdir()
    electrons = await together(world, sharing(world, 2, 2), [(once, (str(done), False)), (once, (str(again), True))])
    assert value_of(await electrons[0].end()) == 1
    while not list(again.iterdir()):
        await asyncio.sleep(0.05)
    job = world.job(electrons[1].handle.job_id)
    await asyncio.to_thread(world.aws.fault, "host_lost", job["jobName"])  # not whatever else still runs there
    assert value_of(await electrons[1].end()) == 2
    assert len(list(done.iterdir())) == 1


async def test_one_that_exceeds_its_time_is_told_so(world: World, tmp_path: Path) -> None:
    settings = sharing(world, 4, 2).model_copy(update={"time_limit": 2})  # AWS Batch's own least is a minute
    electrons = await together(world, settings, [(when_there, str(tmp_path / "never")), (shout, "a")])
    late, well = await asyncio.gather(*(each.end() for each in electrons))
    assert isinstance(late.error, errors.TimedOut)
    assert "longer than its time limit of 2 s" in late.error.text()
    assert late.files[envelope.STDOUT].read_text() == "waiting\n"
    assert value_of(well) == "A"


@pytest.fixture
async def containers(tmp_path: Path) -> AsyncIterator[World]:
    async with LocalAWS(engine="docker", slots=2, grace_s=1) as aws:
        yield World(aws, tmp_path)
        await close_shared()


@pytest.mark.engine
async def test_one_that_needs_more_memory_than_there_is_does_not_take_the_others_along(containers: World) -> None:
    def hog(mib: int) -> int:
        return len(b"x" * (mib << 20))

    electrons = await together(containers, sharing(containers, 3, 3, memory=0.25), [(hog, 1), (hog, 2000), (hog, 2)])
    small, big, other = await asyncio.gather(*(each.end() for each in electrons))
    assert (value_of(small), value_of(other)) == (1 << 20, 2 << 20)
    assert isinstance(big.error, errors.OutOfMemory)
    assert "Raise memory (now 0.25 GiB)" in big.error.text()
