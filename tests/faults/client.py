# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One user on one machine: a process that dies on the way of some tasks, and what the user does after that."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.job_handle import JobHandle
from covalent_awsbatch_plugin.tasks.results import NodeResult
from covalent_awsbatch_plugin.tasks.staged_group import StagedGroup
from covalent_awsbatch_plugin.tasks.staging import stage_call
from tests.faults import driver
from tests.faults.driver import DISPATCH, ERRORS, GROUPS, SETTINGS
from tests.faults.tasks import wait_and_count
from tests.tasks.small_world import World

ROOT = Path(__file__).parents[2]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.faults.driver"])


@dataclass
class Client:
    """The processes share `folder`. What its tasks are to do is staged there once, as Covalent's server keeps it."""

    world: World
    folder: Path
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.set(max_baked_mib=0)
        self.stage(wait_and_count, [str(self.folder)])
        self.options = [
            word
            for name, value in self.world.aws.section().items()
            for word in (f"--{name}".replace("_", "-"), str(value))
        ]

    def set(self, **changes: Any) -> None:
        self.settings = self.world.settings(cache_dir=str(self.folder / "cache"), **changes)
        (self.folder / SETTINGS).write_text(self.settings.model_dump_json())

    def stage(self, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
        """The same task for each argument, as nodes 0, 10, 20 ... of one dispatch."""
        self.groups = [self.group(function, argument, 10 * at) for at, argument in enumerate(arguments)]
        (self.folder / GROUPS).write_bytes(pickle.dumps(self.groups))

    def group(self, function: Callable[..., Any], argument: Any, node_id: int) -> StagedGroup:
        folder = self.folder / f"{DISPATCH}-{len(list(self.folder.glob(f'{DISPATCH}-*')))}"
        folder.mkdir()
        return stage_call(function, (argument,), {}, folder, dispatch_id=DISPATCH, node_id=node_id)

    async def killed(self, step: str) -> None:
        exit_code = await asyncio.to_thread(self._drive, step)
        assert exit_code == -9, (self.folder / ERRORS).read_text()

    def _drive(self, step: str) -> int | None:
        process = FORKS.Process(target=driver.run, args=(dict(os.environ), self.folder, step))
        process.start()
        process.join()
        return process.exitcode

    async def drives(self, module: str, *step: str) -> subprocess.CompletedProcess[str]:
        """Run a module of this folder in a fresh Python, which shares nothing with this one, until it ends."""
        words = [str(self.folder / SETTINGS), str(self.folder), *step]
        return await asyncio.to_thread(self._run, module, words)

    def _run(self, module: str, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"tests.faults.{module}", *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    async def asks_again(self) -> list[JobHandle]:
        """In another process than the killed one: the handles of the jobs that its tasks now have."""
        async with connect(self.settings) as client:
            return await asyncio.gather(*(client.submit(self.settings, Task.of(group)) for group in self.groups))

    async def reads(self, handles: Sequence[JobHandle]) -> list[NodeResult]:
        """What came of them, each one's job watched to its end."""
        pairs = zip(self.groups, handles, strict=True)
        return list(await asyncio.gather(*(self._read(group, handle) for group, handle in pairs)))

    async def _read(self, group: StagedGroup, handle: JobHandle) -> NodeResult:
        into = self.folder / f"read-{group.task_group_id}"
        into.mkdir(exist_ok=True)
        async with connect(self.settings) as client:
            ended = await client.wait(self.settings, handle, Task.of(group))
            (result,) = await client.results(self.settings, ended, group.node_ids, into)
        return result

    async def says(self, *words: str) -> str:
        """What the command line answers, in a loop and with connections of its own."""
        done = await asyncio.to_thread(CliRunner().invoke, main, [*words, *self.options])
        assert done.exit_code == 0, done.output
        return done.output

    def jobs(self) -> list[dict[str, Any]]:
        """Those that AWS knows, of this test's dispatch."""
        batch, queue = self.world.client("batch"), self.world.aws.section()["batch_queue"]
        wanted = [{"name": "JOB_NAME", "values": [f"covalent-{DISPATCH}-*"]}]
        found: list[dict[str, Any]] = batch.list_jobs(jobQueue=queue, filters=wanted)["jobSummaryList"]
        return found

    async def until(self, look: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not look():
                await asyncio.sleep(0.05)

    async def until_all_ended(self) -> None:
        await self.until(lambda: {job["status"] for job in self.jobs()} <= {"SUCCEEDED", "FAILED"})

    def may_go_on(self) -> None:
        (self.folder / "go").touch()

    @property
    def ran(self) -> bytes:
        path = self.folder / "ran"
        return path.read_bytes() if path.exists() else b""
