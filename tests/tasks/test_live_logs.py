# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lines of running tasks: each once, in order within its task, soon, and with few requests."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.followed_jobs import jobs_by_id
from covalent_awsbatch_plugin.tasks.live_logs import LiveLogs, LogLine
from tests.tasks import tasks
from tests.tasks.electron import Electron, together
from tests.tasks.small_world import World

# `make soak` runs the long form
TASKS, SECONDS, LATE_S = (50, 20, 20) if os.environ.get("SOAK") else (8, 6, 8)
QUOTA = 5  # of FilterLogEvents, requests a second
FOLLOW = "logs:FilterLogEvents"


@pytest.fixture(scope="module")
def wide_aws() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="process", slots=TASKS, grace_s=1, quotas={FOLLOW: QUOTA})
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.fixture
async def wide(wide_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    yield World(wide_aws, tmp_path)
    wide_aws.clear_faults()
    await close_shared()


@dataclass
class Followed:
    """The lines of a follower, and the requests and seconds that it took."""

    lines: list[LogLine]
    requests: int
    seconds: float

    @property
    def by_task(self) -> dict[int, list[str]]:
        result: dict[int, list[str]] = defaultdict(list)
        for line in self.lines:
            assert line.header is not None
            result[int(line.header.job.partition(":")[2] or 0)].append(line.message)
        return result


async def followed(world: World, settings: Settings, job_id: str, since_ms: int = 0, last_s: float = 2) -> Followed:
    """Follow a job until `last_s` seconds after its end."""
    began, before = time.time(), requests(world)
    lines = []
    async with connect(settings) as client:
        jobs = jobs_by_id(client.services.batch, job_id)
        live = LiveLogs(client.services.aws, jobs, since_ms, last_lines_s=last_s)
        async for line in live.lines(follow=True):
            lines.append(line)
    return Followed(lines, requests(world) - before, time.time() - began)


def requests(world: World) -> int:
    return sum(counts.get(FOLLOW, 0) for who, counts in world.aws.calls().items() if not who.startswith("refused"))


async def test_each_line_of_an_array_comes_once_and_in_order_though_it_is_late_out_of_order_and_doubled(
    wide: World,
) -> None:
    late = {"every_s": 5, "at_most_s": LATE_S, "out_of_order": True, "twice": True, "times": None}
    wide.aws.fault("late_log", of="covalent-*", **late)
    settings = wide.settings()
    array = await together(wide, settings, [(tasks.tick, SECONDS)] * TASKS)
    parent = array[0].handle.job_id.partition(":")[0]
    told = await followed(wide, settings, parent, last_s=LATE_S + 5)
    await asyncio.gather(*(each.end() for each in array))
    expected = [f"tick {number}" for number in range(SECONDS * 4)]
    assert dict(told.by_task) == dict.fromkeys(range(TASKS), expected)
    assert {line.label for line in told.lines} == {"tick[0]"}
    assert told.requests <= told.seconds * 0.5 + 1


async def test_lines_of_other_jobs_on_the_same_image_are_left_out(world: World) -> None:
    settings = world.settings(payload="s3")
    first = await together(world, settings, [(tasks.shout, f"a{number}") for number in range(2)])
    second = await together(world, settings, [(tasks.shout, f"b{number}") for number in range(2)])
    await asyncio.gather(*(each.end() for each in (*first, *second)))
    parent = first[0].handle.job_id.partition(":")[0]
    told = await followed(world, settings, parent)
    assert sorted(line.message for line in told.lines) == ["shouting a0", "shouting a1"]


async def test_last_line_before_an_out_of_memory_kill_is_there_though_it_is_late(world: World) -> None:
    electron = Electron(world, world.settings(), tasks.say_three_and_kill_the_runner)
    late = {"delay_s": 10, "every_s": 5, "out_of_order": True, "twice": True}
    world.aws.fault("late_log", of=f"covalent-{electron.group.dispatch_id}-0", **late)
    await electron.send()
    told = await followed(world, world.settings(), electron.handle.job_id, last_s=14)
    assert [line.message for line in told.lines] == ["one", "two", "three"]
    await electron.end()


async def test_a_task_that_began_before_the_first_line_wanted_has_its_name(world: World) -> None:
    electron = Electron(world, world.settings(), tasks.tick, 3)
    await electron.send()
    await world.until_heard(electron.handle.job_id)
    stream = world.job(electron.handle.job_id)["container"]["logStreamName"]
    while len(events := world.log_events(stream)) < 5:
        await asyncio.sleep(0.1)
    told = await followed(world, world.settings(), electron.handle.job_id, since_ms=events[4]["timestamp"])
    assert [line.message for line in told.lines] == [f"tick {number}" for number in range(4, 12)]
    assert {line.label for line in told.lines} == {"tick[0]"}
    await electron.end()
