# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""SIGINT, SIGTERM and SIGKILL of Covalent's server at random moments of a dispatch with three electrons.

A restarted Covalent server resumes nothing. So a moment passes if each electron that ran to its end has its value, in
the server's record or from `covalent-awsbatch collect`; none ran twice; after SIGINT and SIGTERM no job runs on; and
after `reap` and `clean` nothing is left. An electron that never ran to its end counts as "told": Covalent shows it
without a value.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import covalent as ct

from covalent_awsbatch_plugin.runner.protocol import archive
from examples.covalent_server import CovalentServer
from tests.faults.client_process import TASKS
from tests.faults.signals import EARLIEST_S, LATEST_S, SIGNALS, Series
from tests.server.covalent_world import LIVE, CovalentWorld, offline_aws

JOBS_END_WITHIN_S = 30.0
COMMAND = str(Path(sys.executable).parent / "covalent-awsbatch")


@dataclass
class Moment:
    """A dispatch whose server was signalled: `name` says how and when."""

    name: str
    dispatch: str
    which: signal.Signals
    folder: Path

    def ended(self, number: int) -> int:
        """Return how often an electron's function ran to its end."""
        path = self.folder / f"ended-{number}"
        return path.stat().st_size if path.exists() else 0


def of_server(folder: Path, seed: int, moments: int) -> Series:
    """Signal a server `moments` times with each signal; its successor, in the same home, is asked what it knows."""
    dice, series, home = random.Random(seed + 2), Series(), folder / "home"
    plan = [(which, dice.uniform(EARLIEST_S, LATEST_S)) for which in SIGNALS for _ in range(moments)]
    with offline_aws("process") as aws:
        own = {"cache_dir": str(home / "staging"), "poll_freq": 0.2, "array_linger": 0.2, "keep_failed": False}
        section, moment = aws.section() | own, None
        for number in range(len(plan) + 1):
            with CovalentServer(home, section) as server:
                world = CovalentWorld(aws, server, section)
                if moment:
                    _judge(world, series, moment)
                if number < len(plan):
                    moment = _signalled(world, folder / str(number), f"server-{seed}-{number}", *plan[number])
        _count_what_is_left(world, series)
    return series


def _signalled(world: CovalentWorld, folder: Path, name: str, which: signal.Signals, after_s: float) -> Moment:
    """Dispatch three electrons, wait, and signal the server's processes."""
    folder.mkdir()
    dispatch = world.dispatch(_lattice(folder))
    time.sleep(after_s)
    world.server.end_by(which)
    return Moment(f"{name}, {which.name} after {after_s:.2f} s", dispatch, which, folder)


def _lattice(folder: Path) -> ct.Lattice:
    def electron_of(number: int) -> Any:
        path = str(folder / f"ended-{number}")

        def task() -> str:
            time.sleep(1)
            with open(path, "ab") as file:
                file.write(b"1")
            return f"value {number}"

        return ct.electron(task, executor="awsbatch")

    electrons = [electron_of(number) for number in range(TASKS)]

    @ct.lattice
    def workflow() -> list[Any]:
        return [electron() for electron in electrons]

    return workflow


def _judge(world: CovalentWorld, series: Series, moment: Moment) -> None:
    """Count what the server's successor, the command line and AWS know of a moment."""
    active = _until_none_is_active(world, moment.dispatch)
    if active and moment.which != signal.SIGKILL:
        series.add("lost", f"{moment.name}: {active} jobs run on")
    into = moment.folder / "collected"
    _say(world, "collect", "--into", str(into))
    _say(world, "reap", "--yes")
    nodes = {node["node_id"]: node for node in _record(world, moment.dispatch)}
    for number in range(TASKS):
        value, ran = f"value {number}", moment.ended(number)
        collected = _collected(into / moment.dispatch / str(number) / f"output-{number}")
        if value in (_recorded(nodes.get(number)), collected):
            series.values += 1
        elif not ran or not _succeeded(world, moment.dispatch, number):
            series.told += 1
        else:
            series.add("lost", f"{moment.name}: electron {number} ran, and its value is nowhere")
        if ran > 1:
            series.add("double", f"{moment.name}: electron {number} ran {ran} times")
    series.ended(moment.name)


def _record(world: CovalentWorld, dispatch: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ct.get_result(dispatch, dispatcher_addr=world.server.address).get_all_node_results()
    return found


def _recorded(node: dict[str, Any] | None) -> Any:
    return node["output"].get_deserialized() if node and node["output"] is not None else None


def _collected(path: Path) -> Any:
    return archive.load(path) if path.exists() else None


def _jobs(world: CovalentWorld, dispatch: str) -> list[dict[str, Any]]:
    wanted = [{"name": "JOB_NAME", "values": [f"covalent-{dispatch}-*"]}]
    found: list[dict[str, Any]] = world.batch.list_jobs(jobQueue=world.section["batch_queue"], filters=wanted)[
        "jobSummaryList"
    ]
    return found


def _succeeded(world: CovalentWorld, dispatch: str, number: int) -> bool:
    """Return whether AWS Batch says that an electron's job, or its child of an array, has succeeded."""
    for job in _jobs(world, dispatch):
        children = world.batch.list_jobs(arrayJobId=job["jobId"], jobStatus="SUCCEEDED")["jobSummaryList"]
        alone = job["status"] == "SUCCEEDED" and job["jobName"].endswith(f"-{number}")
        if alone or any(
            child["arrayProperties"]["index"] == number for child in children if "arrayProperties" in child
        ):
            return True
    return False


def _until_none_is_active(world: CovalentWorld, dispatch: str) -> int:
    ends = time.monotonic() + JOBS_END_WITHIN_S
    while (active := sum(job["status"] in LIVE for job in _jobs(world, dispatch))) and time.monotonic() < ends:
        time.sleep(0.2)
    return active


def _say(world: CovalentWorld, *words: str) -> str:
    done = subprocess.run([COMMAND, *words], env=world.server.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _count_what_is_left(world: CovalentWorld, series: Series) -> None:
    """Count by boto3 what `reap` and `clean` have left."""
    _say(world, "clean", "--yes", "--older-than", "0")
    s3, ecr = world.client("s3"), world.client("ecr")
    images = ecr.describe_images(repositoryName=world.section["ecr_repo_name"])["imageDetails"]
    left = {
        "jobs": list(world.jobs(*LIVE)),
        "images": [each["imageDigest"] for each in images if not _stays(each)],
        "objects": [
            item["Key"] for item in s3.list_objects_v2(Bucket=world.section["s3_bucket_name"]).get("Contents", [])
        ],
    }
    series.orphans += Counter({kind: len(names) for kind, names in left.items()})
    series.wrong += [f"orphans: {len(names)} {kind}, such as {min(names)}" for kind, names in left.items() if names]


def _stays(image: dict[str, Any]) -> bool:
    """Return whether an image is the copy of the base, which stays."""
    return any(tag.startswith("base-") for tag in image.get("imageTags", ()))
