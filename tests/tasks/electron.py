# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Electrons that go their way side by side, each step when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.job_handle import JobHandle
from covalent_awsbatch_plugin.tasks.results import NodeResult
from covalent_awsbatch_plugin.tasks.staged_group import StagedGroup
from tests.tasks.small_world import World
from tests.tasks.tasks import shout


class Electron:
    """One task's way, step by step, as Covalent goes it."""

    def __init__(self, world: World, settings: Settings, function: Callable[..., Any], *args: Any) -> None:
        self._settings = settings
        self.group: StagedGroup = world.stage(function, *args)
        self.task: Task = Task.of(self.group)
        self.into: Path = world.folder / f"out-{self.group.dispatch_id}"
        self.into.mkdir()
        self.handle: JobHandle

    async def send(self) -> None:
        async with connect(self._settings) as client:
            self.handle = await client.submit(self._settings, self.task)

    async def end(self) -> NodeResult:
        async with connect(self._settings) as client:
            ended = await client.wait(self._settings, self.handle, self.task)
            (result,) = await client.results(self._settings, ended, self.group.node_ids, self.into)
        return result

    async def cancel(self) -> None:
        self.task.cancelled = True
        async with connect(self._settings) as client:
            assert self.task.handle
            await client.cancel(self.task.handle.job_id, self.task.handle.member)


async def sent(electrons: Sequence[Electron]) -> list[JobHandle]:
    await asyncio.gather(*(each.send() for each in electrons))
    return [each.handle for each in electrons]


async def together(world: World, settings: Settings, tasks: Sequence[tuple[Callable[..., Any], Any]]) -> list[Electron]:
    """Electrons that left as one job: a lone one goes first, so that the others wait until it is full."""
    full = -(-len(tasks) // settings.tasks_per_job)
    settings = settings.model_copy(update={"array_linger": 9, "max_array_size": full})
    await world.value(settings, shout, "first")
    electrons = [Electron(world, settings, function, argument) for function, argument in tasks]
    handles = await sent(electrons)
    assert len({handle.job_id.partition(":")[0] for handle in handles}) == 1
    return electrons


async def until_ended(world: World, job_id: str) -> None:
    """Whatever became of the job."""
    async with asyncio.timeout(60):
        while world.job(job_id)["status"] not in ("SUCCEEDED", "FAILED"):
            await asyncio.sleep(0.1)
