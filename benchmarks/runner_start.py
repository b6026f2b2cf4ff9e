# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What the runner takes of a container's life beside the user's function, result in the bucket included."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import botocore.session

from covalent_awsbatch_plugin.images.runner_layer import runner_files
from covalent_awsbatch_plugin.jobs.definition import results_prefix
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.tasks.image_and_payload import image_files
from covalent_awsbatch_plugin.tasks.packing import pack
from covalent_awsbatch_plugin.tasks.staging import stage_call

from .section import Say, Section
from .stats import figure, median, quantile, table

KEY = b"k" * 32


@dataclass(frozen=True)
class Start:
    """Milliseconds of wall and of CPU, of an empty Python and of the runner with `tuple`."""

    python: list[tuple[float, float]] = field(default_factory=list)
    runner: list[tuple[float, float]] = field(default_factory=list)


async def section(quick: bool, say: Say) -> Section:
    say("the runner's start")
    return Section(text(await measure(5 if quick else 20)))


async def measure(rounds: int) -> Start:
    found = Start()
    async with LocalAWS(engine="process") as aws:
        with tempfile.TemporaryDirectory() as folder:
            root = _image(Path(folder))
            for _ in range(rounds):
                found.python.append(_timed([sys.executable, "-s", "-c", "pass"], dict(os.environ)))
                found.runner.append(_timed([sys.executable, "-s", str(root / layout.RUNNER_DIR)], _environment(aws)))
    return found


def _image(folder: Path) -> Path:
    """The runner's layer and a task's, unpacked."""
    staged = folder / "staged"
    staged.mkdir()
    group = stage_call(tuple, (), {}, staged, dispatch_id="bench", node_id=0)
    package = pack(group, 1 << 20, lambda _content: KEY)
    tasks = {name: b"".join(file.chunks) for name, file in image_files([package], ["bench"], 1).items()}
    for name, data in (runner_files("linux/amd64", folder) | tasks).items():
        path = folder / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / "root"


def _environment(aws: LocalAWS) -> dict[str, str]:
    session = botocore.session.Session(profile=aws.section()["profile"])
    session.set_config_variable("credentials_file", aws.section()["credentials"])
    keys = session.get_credentials().get_frozen_credentials()
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        layout.ENV_ENDPOINT: aws.endpoint_url,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        layout.ENV_BUCKET: aws.section()["s3_bucket_name"],
        layout.ENV_REGION: aws.region,
        layout.ENV_DISPATCH_ID: "bench",
        layout.ENV_RESULTS_PREFIX: results_prefix("bench", 0),
        layout.ENV_JOB_ID: str(uuid.uuid4()),
        layout.ENV_JOB_ATTEMPT: "1",
    }


def _timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)  # by pipes, as an engine does
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1000, cpu * 1000


def text(found: Start) -> str:
    """The section of docs/numbers.md."""
    rows = [
        _row("`python3 -c pass`", found.python),
        _row("the runner: reads its task, forks, calls `tuple()`, commits to S3", found.runner),
    ]
    return table(["in the container", "p50 ms", "p90 ms", "CPU ms"], rows)


def _row(name: str, measured: list[tuple[float, float]]) -> list[str]:
    walls, cpus = [wall for wall, _ in measured], [cpu for _, cpu in measured]
    return [name, figure(median(walls)), figure(quantile(walls, 0.9)), figure(median(cpus))]
