# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Group commit: who leaves alone, who leaves together, and who does not leave at all."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.batching import Arrivals
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.job_handle import JobHandle
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.tasks.electron import Electron, sent, until_ended
from tests.tasks.gate import Gate
from tests.tasks.small_world import World, stdout_of
from tests.tasks.tasks import double, shout, when_there

DEFINE = "batch:describejobdefinitions"  # the first call of a job's way that is its own


@pytest.fixture
def through(world: World, gate: Gate) -> Callable[..., Settings]:
    """Settings that lead through the gate."""
    credentials = world.profile(endpoint_url=gate.url)
    return lambda **changes: world.settings(credentials=credentials, **changes)


async def with_others(world: World, gate: Gate, settings: Settings, others: Sequence[Electron]) -> list[JobHandle]:
    """Submit one task, and hold it until the others wait. Return the others' handles."""
    held = gate.hold(DEFINE)
    first = Electron(world, settings, shout, "first")
    leaving = asyncio.create_task(first.send())
    await held.reached.wait()
    following = asyncio.create_task(sent(others))
    async with connect(settings) as client:
        while sum(len(queue.waiting) for queue in client.batcher._queues.values()) < len(others):
            await asyncio.sleep(0.01)
    held.go.set()
    await leaving
    assert ":" not in first.handle.job_id
    return await following


def sizes(handles: Sequence[JobHandle]) -> list[int]:
    return sorted(Counter(handle.job_id.partition(":")[0] for handle in handles).values())


async def test_a_lone_task_leaves_at_once(world: World) -> None:
    electron = Electron(world, world.settings(array_linger=60), shout, "a")
    async with asyncio.timeout(30):
        await electron.send()
    assert ":" not in electron.handle.job_id
    assert value_of(await electron.end()) == "A"


@pytest.mark.parametrize(("gap", "patience"), [(0.001, 1 / 3), (0.125, 1 / 3), (0.3, 0.7), (0.9, 1)])
def test_who_comes_slowly_is_waited_for_longer_and_nobody_longer_than_the_linger(gap: float, patience: float) -> None:
    arrivals = Arrivals()
    waits = [arrivals.note(gap * number, linger=1) for number in range(12)]
    assert waits == [False] + [True] * 11
    assert arrivals.patience(linger=1) == pytest.approx(patience, rel=0.1)
    assert arrivals.note(arrivals.last + 2, linger=1) is False
    assert arrivals.patience(linger=1) == pytest.approx(1 / 3), "what was usual before a rest tells nothing"


async def test_who_comes_while_a_job_is_made_is_on_the_next(
    world: World, gate: Gate, through: Callable[..., Settings]
) -> None:
    others = [Electron(world, through(array_linger=0), shout, word) for word in "abcde"]
    handles = await with_others(world, gate, through(array_linger=0), others)
    assert sorted(handle.job_id.partition(":")[2] for handle in handles) == list("01234")
    assert sizes(handles) == [5]
    assert gate.calls["batch:submitjob"] == 2
    results = await asyncio.gather(*(each.end() for each in others))
    assert [value_of(result) for result in results] == list("ABCDE")
    assert [stdout_of(result) for result in results] == [f"shouting {word}\n" for word in "abcde"]


async def test_settings_that_say_nothing_of_the_job_keep_nobody_apart(
    world: World, gate: Gate, through: Callable[..., Settings]
) -> None:
    others = [Electron(world, through(poll_freq=freq), shout, "a") for freq in (0.2, 0.5, 3)]
    assert sizes(await with_others(world, gate, through(), others)) == [3]


@pytest.mark.parametrize(
    ("limits", "jobs"),
    [({"max_array_size": 2}, [1, 2, 2]), ({"max_array_size": 1}, [1] * 5), ({"max_layer_mib": 1}, [1, 2, 2])],
)
async def test_no_job_is_bigger_than_it_may_be(
    world: World, gate: Gate, through: Callable[..., Settings], limits: dict[str, int], jobs: list[int]
) -> None:
    settings = through(**limits)
    others = [Electron(world, settings, shout, character * 420_000) for character in "abcde"]  # 0.4 MiB each
    assert sizes(await with_others(world, gate, settings, others)) == jobs


async def test_what_tasks_share_counts_once_in_the_size_of_their_job(
    world: World, gate: Gate, through: Callable[..., Settings]
) -> None:
    table = "x" * 600_000

    def look(at: int) -> str:
        return table[at]

    settings = through(max_layer_mib=1)
    others = [Electron(world, settings, look, at) for at in range(6)]
    assert sizes(await with_others(world, gate, settings, others)) == [6]


async def test_one_that_cannot_be_packed_is_nothing_to_the_others(
    world: World, gate: Gate, through: Callable[..., Settings]
) -> None:
    broken = Electron(world, through(), shout, "broken")
    broken.group.tasks[0].function.unlink()
    others = [Electron(world, through(), shout, word) for word in "ab"]
    with pytest.raises(errors.StagingError):
        await broken.send()
    assert sizes(await with_others(world, gate, through(), others)) == [2]


async def test_a_refused_job_is_told_to_each_of_its_tasks_and_the_next_one_leaves(
    world: World, gate: Gate, through: Callable[..., Settings]
) -> None:
    gate.refuse("batch:submitjob", 400, "ClientException", "Not today.")
    found = await asyncio.gather(
        *(Electron(world, through(), shout, word).send() for word in "abc"), return_exceptions=True
    )
    assert [type(each) for each in found] == [errors.Refused] * 3
    gate.rules.clear()
    assert await world.value(through(), shout, "d") == "D"


# ---- cancelling, wherever a task is ----------------------------------------------------------------------------------
async def test_one_that_is_cancelled_while_it_waits_does_not_leave(
    world: World, gate: Gate, through: Callable[..., Settings]
) -> None:
    others = [Electron(world, through(), shout, word) for word in "abc"]
    others[1].task.cancelled = True  # as if while it waits: a task is looked at last before the job is made
    held = gate.hold(DEFINE)
    first = asyncio.create_task(Electron(world, through(), shout, "first").send())
    await held.reached.wait()
    waiting = [asyncio.create_task(each.send()) for each in others]
    held.go.set()
    found = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert isinstance(found[2], errors.Cancelled)
    assert sizes([others[0].handle, others[2].handle]) == [2]


async def test_one_that_is_cancelled_between_submission_and_handle_is_ended(
    world: World, gate: Gate, through: Callable[..., Settings]
) -> None:
    electron = Electron(world, through(), when_there, str(world.folder / "never"))
    held = gate.hold("batch:submitjob", after=True)
    leaving = asyncio.create_task(electron.send())
    await held.reached.wait()
    electron.task.cancelled = True
    held.go.set()
    await leaving
    result = await electron.end()
    assert isinstance(result.error, errors.Cancelled)
    assert gate.calls["batch:terminatejob"] == 1


@pytest.mark.parametrize("operation", ["batch:registerjobdefinition", "batch:submitjob"])
async def test_one_that_nobody_waits_for_any_more_is_ended_or_never_leaves(
    world: World, gate: Gate, through: Callable[..., Settings], operation: str
) -> None:
    before = world.sent().jobs
    electron = Electron(world, through(), when_there, str(world.folder / "never"))
    held = gate.hold(operation, after=True)
    leaving = asyncio.create_task(electron.send())
    await held.reached.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    held.go.set()
    await ended(world, before)


async def ended(world: World, before: frozenset[str]) -> None:
    """The one new job, if there is or will be one, ends: `when_there` would not end by itself."""
    async with asyncio.timeout(30):
        while not (new := world.sent().jobs - before):
            await asyncio.sleep(0.1)
    (job,) = new
    await until_ended(world, job)


@pytest.mark.parametrize("after", [True, False], ids=["after it took effect", "before it took effect"])
async def test_a_loop_that_ends_while_the_job_is_submitted_leaves_no_job_running(
    world: World, gate: Gate, through: Callable[..., Settings], after: bool
) -> None:
    """As when the Covalent server stops: every task of the loop is cancelled at once."""
    before = world.sent().jobs
    held = gate.hold("batch:submitjob", after=after)
    group, settings, stop = world.stage(when_there, str(world.folder / "never")), through(), threading.Event()

    async def send() -> None:
        async with connect(settings) as client:
            await client.submit(settings, Task.of(group))

    async def server() -> None:
        sending = asyncio.create_task(send())
        while not stop.is_set():
            await asyncio.sleep(0.01)
        del sending

    stopped = asyncio.create_task(asyncio.to_thread(run_and_close, server))
    await held.reached.wait()
    stop.set()
    await stopped
    held.go.set()
    for job in world.sent().jobs - before:
        await until_ended(world, job)
    assert len(world.sent().jobs - before) == int(after)


def run_and_close(server: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """`asyncio.run` with our clean-up at its end, so that no socket is left to the garbage collector."""

    async def main() -> None:
        await server()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)  # type: ignore[arg-type]
        await close_shared()

    asyncio.run(main())


# ---- many ------------------------------------------------------------------------------------------------------------
async def test_a_big_argument_that_many_share_is_sent_once(
    world: World, gate: Gate, through: Callable[..., Settings]
) -> None:
    big = bytes(range(256)) * 1000
    settings = through(max_baked_mib=0.1)
    results = await asyncio.gather(*(world.run(settings, double, big) for _ in range(5)))
    assert [value_of(result) for result in results] == [big * 2] * 5
    assert gate.calls["s3:PutObject"] == 1


async def many(world: World, settings: Settings, number: int) -> None:
    words = [f"word-{at}" for at in range(number)]
    results = await asyncio.gather(*(world.run(settings, shout, word) for word in words))
    assert [value_of(result) for result in results] == [word.upper() for word in words]
    assert [stdout_of(result) for result in results] == [f"shouting {word}\n" for word in words]


async def test_three_hundred_tasks_give_every_value_back_in_order_with_its_own_output(
    world: World, gate: Gate, through: Callable[..., Settings]
) -> None:
    await many(world, through(tasks_per_job=30, array_linger=2, poll_freq=2), 300)
    assert gate.calls["batch:submitjob"] <= 4


@pytest.mark.engine
@pytest.mark.timeout(1200)  # a container takes half a second of a machine that does nothing else
@pytest.mark.parametrize("number", [300] if os.environ.get("SOAK") else [60])
async def test_tasks_in_many_containers_give_every_value_back_in_order(tmp_path: Path, number: int) -> None:
    async with LocalAWS(engine="docker", slots=8) as aws:
        world = World(aws, tmp_path)
        await many(world, world.settings(array_linger=2, poll_freq=2), number)
        await close_shared()
        assert len([job for job in world.sent().jobs if ":" not in job]) <= 4


@pytest.mark.parametrize("after", [False, True], ids=["before it took effect", "after it took effect"])
async def test_of_a_submission_that_is_cut_by_the_close_no_job_runs(world: World, gate: Gate, after: bool) -> None:
    """Ctrl-C: `asyncio.run` cancels the main task, whose `finally` closes everything."""
    settings = world.settings(credentials=world.profile(endpoint_url=gate.url), array_linger=9, max_array_size=3)
    await world.value(settings, shout, "first")
    before, held = world.sent().jobs, gate.hold("batch:submitjob", after=after)

    async def main() -> None:
        try:
            await sent([Electron(world, settings, when_there, str(world.folder / "never")) for _ in range(3)])
        finally:
            await close_shared()

    running = asyncio.create_task(main())
    await held.reached.wait()
    running.cancel()
    await asyncio.sleep(0.2)
    held.go.set()
    await asyncio.gather(running, return_exceptions=True)
    jobs = world.sent().jobs - before
    for job_id in jobs:
        await until_ended(world, job_id)
        assert "stopped" in world.job(job_id)["statusReason"]
    assert len(jobs) == 1
