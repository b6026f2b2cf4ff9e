# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""kill -9 of the client at each step of a task's way; then a new process finds what is left, ends it or fetches it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.ground import archive
from tests.faults.driver import DISPATCH
from tests.story.small_world import World

ROOT = Path(__file__).parents[2]
NOTHING = (
    "before sts:GetCallerIdentity",
    "before s3:HeadObject",  # of what is uploaded, and before it is
    "before batch:RegisterJobDefinition",  # the image is pushed
    "before batch:SubmitJob",
)
A_JOB = (
    "after batch:SubmitJob",  # its id came, and was noted nowhere
    "after batch:DescribeJobs",
    "before batch:DescribeJobs ran",  # while it runs
    "before s3:GetObject",  # it has ended, nothing was fetched
    "after s3:GetObject",  # half of it was fetched
)


@dataclass
class Client:
    """One user's processes on this machine."""

    world: World
    folder: Path

    def __post_init__(self) -> None:
        settings = self.world.settings(max_baked_mib=0, cache_dir=str(self.folder / "cache"))
        (self.folder / "settings.json").write_text(settings.model_dump_json())
        self.options = [
            word
            for name, value in self.world.aws.section().items()
            for word in (f"--{name}".replace("_", "-"), str(value))
        ]

    def _drive(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.faults.driver", *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    async def killed(self, step: str) -> None:
        words = str(self.folder / "settings.json"), str(self.folder), step
        done = await asyncio.to_thread(self._drive, *words)
        assert done.returncode == -9, done.stderr

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

    @property
    def ran(self) -> bytes:
        path = self.folder / "ran"
        return path.read_bytes() if path.exists() else b""


@pytest.fixture
def client(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return Client(world, tmp_path)


@pytest.mark.parametrize("step", NOTHING)
async def test_killed_before_its_job_was_submitted_nothing_runs_and_nothing_is_claimed(
    client: Client, step: str
) -> None:
    before = client.jobs()
    await client.killed(step)
    assert client.jobs() == before
    assert "There are none." in await client.says("jobs")
    told = await client.says("collect", "--into", str(client.folder / "collected"))
    assert "There is nothing to collect." in told


@pytest.mark.parametrize("step", A_JOB)
async def test_killed_after_that_its_result_is_fetched_and_nothing_is_double(client: Client, step: str) -> None:
    before, into = len(client.jobs()), client.folder / "collected"
    if "GetObject" in step:
        (client.folder / "go").touch()
    await client.killed(step)
    assert len(client.jobs()) == before + 1
    if not (client.folder / "go").exists():
        assert "covalent-killed-0" in await client.says("jobs")
        assert "1 have not ended yet." in await client.says("collect", "--into", str(into))
        (client.folder / "go").touch()
    await client.until(lambda: {job["status"] for job in client.jobs()} <= {"SUCCEEDED", "FAILED"})
    assert "1 tasks are in" in await client.says("collect", "--into", str(into))
    assert archive.load(into / DISPATCH / "0" / "output-0") == "x" * 400_000
    assert client.ran == b"1"
    assert len(client.jobs()) == before + 1
    assert "There are none." in await client.says("jobs")
    assert "There is nothing to collect." in await client.says("collect", "--into", str(into))


async def test_what_a_killed_client_left_running_is_reaped(client: Client) -> None:
    await client.killed("before batch:DescribeJobs ran")
    assert "Ended 1." in await client.says("reap", "--yes")
    await client.until(lambda: {job["status"] for job in client.jobs()} <= {"SUCCEEDED", "FAILED"})
    assert "There are none." in await client.says("jobs")
    told = await client.says("collect", "--into", str(client.folder / "collected"))
    assert "ended on request" in told
    assert client.ran == b"1"
