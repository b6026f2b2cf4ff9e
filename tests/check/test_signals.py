# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A real `check` process that is killed goes on, and one that gets Ctrl-C leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.local import LocalAWS
from tests.local.small_world import World

COMMAND = Path(sys.executable).parent / "covalent-awsbatch"


def begin(settings: dict[str, Any], home: Path) -> subprocess.Popen[str]:
    options = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    words = [str(COMMAND), "check", "--yes", "--only", "task,timeout", *options]
    environment = os.environ | {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if words in line:
            return
    raise AssertionError("".join(seen))


def left(world: World) -> list[str]:
    """Return the jobs of checks that have not ended, and their job definitions and objects."""
    settings = world.settings
    definitions = world.batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    jobs = [
        job["jobId"]
        for status in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
        for job in world.batch.list_jobs(jobQueue=settings["batch_queue"], jobStatus=status)["jobSummaryList"]
        if "check-" in job["jobName"]
    ]
    found = world.client("s3").list_objects_v2(Bucket=settings["s3_bucket_name"]).get("Contents", [])
    names = [each["jobDefinitionName"] for each in definitions if "-check" in each["jobDefinitionName"]]
    return [*jobs, *names, *(each["Key"] for each in found if "/check-" in each["Key"])]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_run_leaves_nothing_and_goes_on(
    offline_aws: LocalAWS, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    first = begin(offline_aws.section(), tmp_path)
    until(first, "timeout: job")
    first.send_signal(number)
    first.communicate(timeout=120)
    assert first.returncode == code
    world = World(offline_aws)
    assert bool(left(world)) == (number == signal.SIGKILL)
    again = begin(offline_aws.section(), tmp_path)
    until(again, "goes on")
    until(again, "timeout ...")
    again.send_signal(signal.SIGINT)
    told, _ = again.communicate(timeout=120)
    assert "ok   task" in told  # the result of the run before
    assert left(world) == []
