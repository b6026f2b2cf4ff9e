# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Log streams of one image have one prefix, so one FilterLogEvents call follows a whole array."""

from __future__ import annotations

import asyncio

from covalent_awsbatch_plugin.errors import Killed
from covalent_awsbatch_plugin.jobs.definition import log_stream_prefix
from covalent_awsbatch_plugin.runner.protocol.log_header import MARK
from covalent_awsbatch_plugin.settings import Settings
from tests.tasks import tasks
from tests.tasks.electron import Electron, together
from tests.tasks.small_world import World, stdout_of
from tests.tasks.tasks import shout


def prefix_of(settings: Settings, electron: Electron) -> str:
    return log_stream_prefix(settings.batch_job_definition_name, electron.handle.image)


def followed(world: World, prefix: str) -> list[str]:
    """Return the tasks' lines that one FilterLogEvents call has."""
    group = world.aws.section()["batch_job_log_group_name"]
    response = world.client("logs").filter_log_events(logGroupName=group, logStreamNamePrefix=f"{prefix}/")
    return [event["message"] for event in response["events"] if not event["message"].startswith(MARK)]


async def until_followed(world: World, prefix: str, lines: int) -> list[str]:
    async with asyncio.timeout(30):
        while len(followed(world, prefix)) < lines:
            await asyncio.sleep(0.1)
    return sorted(followed(world, prefix))


async def test_streams_of_an_array_share_a_prefix_that_no_other_image_has(world: World) -> None:
    settings = world.settings()
    alone = Electron(world, settings, shout, "alone")
    await alone.send()
    array = await together(world, settings, [(shout, f"task-{number}") for number in range(3)])
    await asyncio.gather(*(each.end() for each in (alone, *array)))
    prefixes = {prefix_of(settings, each) for each in array}
    assert len(prefixes) == 1
    assert prefix_of(settings, alone) not in prefixes
    assert await until_followed(world, prefixes.pop(), 3) == [f"shouting task-{number}" for number in range(3)]
    assert followed(world, prefix_of(settings, alone)) == ["shouting alone"]


async def test_streams_of_jobs_on_one_environments_image_share_its_prefix(world: World) -> None:
    settings = world.settings(payload="s3", batch_job_definition_name="log-streams-of-s3")
    first, second = Electron(world, settings, shout, "first"), Electron(world, settings, shout, "second")
    for electron in (first, second):
        await electron.send()
        await electron.end()
    assert first.handle.job_id != second.handle.job_id
    assert prefix_of(settings, first) == prefix_of(settings, second)
    lines = await until_followed(world, prefix_of(settings, first), 2)
    assert lines == ["shouting first", "shouting second"]


async def test_last_lines_of_a_dead_job_are_there_though_they_come_late_and_twice(world: World) -> None:
    group = world.stage(tasks.say_three_and_kill_the_runner)
    late = {"delay_s": 3, "every_s": 0.3, "out_of_order": True, "twice": True}
    world.aws.fault("late_log", of=f"covalent-{group.dispatch_id}-0", **late)
    result = await world.run_staged(world.settings(), group)
    assert isinstance(result.error, Killed)
    assert stdout_of(result).splitlines() == ["one", "two", "three"]
