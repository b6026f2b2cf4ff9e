# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The process of `tests/faults/signal_client.py` as a series of faults sees it: start, end, outcomes, jobs at AWS."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks import clean
from covalent_awsbatch_plugin.tasks.client import connect
from tests.tasks.small_world import World

ROOT = Path(__file__).parents[2]
CLIENT = "tests.faults.signal_client"
TASKS = 3
ENDS_WITHIN_S = 90.0
ACTIVE = {"SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"}


def start_client(
    folder: Path, dispatch: str, variables: Mapping[str, str] | None = None, launch: Sequence[str] = ("-m", CLIENT)
) -> subprocess.Popen[str]:
    """Start the process, with environment variables and options of Python of its own."""
    command = [sys.executable, *launch, str(folder), dispatch, str(TASKS)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | dict(variables or {})
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def last_words(process: subprocess.Popen[str]) -> str:
    """Wait for the end; return what the process said, and that it did not end where it was killed for that."""
    try:
        return process.communicate(timeout=ENDS_WITHIN_S)[1] or "no words"
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[1] + f"\nno end within {ENDS_WITHIN_S:.0f} s"


def wait_for(holds: Any, process: subprocess.Popen[str]) -> None:
    """Wait until something holds, or the process has ended."""
    ends = time.monotonic() + ENDS_WITHIN_S
    while not holds() and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.02)


def outcomes_of(folder: Path, dispatch: str) -> dict[int, str]:
    """Return the last outcome that the process noted of each task."""
    path = folder / f"{dispatch}.ended"
    lines = path.read_text().splitlines() if path.exists() else []
    return {int(number): outcome for number, _, outcome in (line.partition(" ") for line in lines)}


def jobs_of(world: World, dispatch: str) -> list[dict[str, Any]]:
    """Return the jobs of a dispatch, as AWS Batch lists them."""
    wanted = [{"name": "JOB_NAME", "values": [f"covalent-{dispatch}-*"]}]
    queue = world.aws.section()["batch_queue"]
    found: list[dict[str, Any]] = world.client("batch").list_jobs(jobQueue=queue, filters=wanted)["jobSummaryList"]
    return found


def active_jobs(world: World, dispatch: str) -> list[dict[str, Any]]:
    """Return the jobs that are still active after a while."""
    ends = time.monotonic() + 15
    while (jobs := [job for job in jobs_of(world, dispatch) if job["status"] in ACTIVE]) and time.monotonic() < ends:
        time.sleep(0.2)
    return jobs


def collect(settings: Settings, into: Path) -> None:
    """Run `covalent-awsbatch collect`, as a user does after a crash."""
    given = settings.model_dump(exclude_defaults=True)
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", "collect", "--into", str(into), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def clean_up(settings: Settings) -> None:
    """Remove what killed processes had sent, as `covalent-awsbatch clean` does."""
    async with connect(settings) as client:
        found = await clean.find(client.services, settings, datetime.now(UTC))
        await clean.remove(client.services, settings, found)
    await close_shared()
