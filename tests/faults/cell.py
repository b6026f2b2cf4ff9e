# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One cell of the fault matrix: tasks that go through the fault proxy, and what boto3 and the disk show afterwards.

Each cell has a bucket, a repository, a credentials file and a proxy of its own, so that whatever is left is its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import AWS, Connection
from covalent_awsbatch_plugin.core.user_dirs import data_dir
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import Client
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.services import Services
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.faults.command_scenarios import CLEAN, COMMANDS, DENIED, DENIED_OPERATION, DOCTOR
from tests.faults.fault_proxy import FORBIDDEN, PORTAL, RESET_AFTER, FaultProxy
from tests.tasks.small_world import World

cloudpickle.register_pickle_by_value(sys.modules[__name__])

VALUES, BIG, DIES, CANCEL, LOST, ABORT = "values", "big", "dies", "cancel", "lost answer", "abort"
SCENARIOS = (VALUES, BIG, DIES, CANCEL, LOST, ABORT, DOCTOR, CLEAN, DENIED)
# the faults that lead to an operation which no run without a fault sends
STANDING: dict[str, list[tuple[str, str, int | None]]] = {
    LOST: [(RESET_AFTER, "batch:SubmitJob", 1)],
    ABORT: [(PORTAL, "s3:UploadPart", 9), (PORTAL, "container s3:UploadPart", 1)],
    DENIED: [(FORBIDDEN, DENIED_OPERATION, None)],
}
BIG_BYTES = 18 << 20  # three parts of an upload
ENDS_WITHIN_S = 20.0  # far less than a job that waits for its cancel
LONGEST_S = 400.0  # a cell that lasts longer has lost its tasks
ACTIVE = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
UNFINISHED = ("*.new", "*.part", "*.tmp", "*.partial")
_numbers = itertools.count()


def noted(path: str, then: str, data: bytes) -> bytes:
    """Leave a byte for each run, then return the data, die without a result, or wait for somebody's cancel."""
    import os
    import signal
    import time

    with open(path, "ab") as file:
        file.write(b"1")
    print("the last line", flush=True)
    if then == "dies":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if then == "cancel":
        time.sleep(300)
    return data


@dataclass
class Outcome:
    """The counts of one cell; `wrong` has a sentence for each thing that must not be."""

    values: int = 0
    told: int = 0
    lost: int = 0
    double: int = 0
    orphans: Counter[str] = field(default_factory=Counter)
    uploads: int = 0  # in parts that nobody ended: S3's lifecycle rule does
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Cell:
    """A scenario's tasks under the faults that `proxy` is told before `run`. `patience_s` is `outage_patience`."""

    def __init__(self, world: World, scenario: str, patience_s: float = 900.0, tasks: int = 3) -> None:
        self.world, self.scenario = world, scenario
        self.name = f"cell-{next(_numbers)}-{uuid.uuid4().hex[:6]}"
        self.folder = world.folder / self.name
        self.folder.mkdir()
        self.tasks = tasks if scenario in (VALUES, LOST) else 1
        self.proxy = FaultProxy(world.aws.endpoint_url, world.aws.registry)
        self.patience_s = patience_s
        self.outcome = Outcome()

    # ---- the tasks --------------------------------------------------------------------------------------------------
    async def run(self) -> Outcome:
        """Run the tasks through the proxy, and count what came of them."""
        with self.proxy.open():
            await asyncio.to_thread(self._make)
            for kind, operation, times in STANDING.get(self.scenario, ()):
                self.proxy.fault(kind, operation, times)
            try:
                async with asyncio.timeout(LONGEST_S):
                    await self._all()
            except TimeoutError:
                self.wrong("lost", f"no end after {LONGEST_S:.0f} s")
            except Exception as error:  # noqa: BLE001 - whatever reaches a user is looked at
                self.wrong("lost", f"{type(error).__name__} from closing: {error}")
            self.outcome.seen = self.proxy.seen
        await asyncio.to_thread(self._count)
        return self.outcome

    async def _all(self) -> None:
        async with self.connected(self.settings) as services:
            client = Client(services)
            if command := COMMANDS.get(self.scenario):
                await command(self, client)
            else:
                await asyncio.gather(*(self._one(client, number) for number in range(self.tasks)))

    @contextlib.asynccontextmanager
    async def connected(self, settings: Settings) -> AsyncIterator[Services]:
        """Open services of this cell's own, through the proxy or past it, as the settings say."""
        connection = Connection(settings.credentials, settings.profile, settings.region, settings.outage_patience)
        async with AWS(connection) as aws:
            yield Services(aws)

    async def _one(self, client: Client, number: int) -> None:
        then = self.scenario if self.scenario in (DIES, CANCEL) else "returns"
        data = self._data(number)
        try:
            task = self.task(number, then)
            handle = await client.submit(self.settings, task)
            cancelling = asyncio.create_task(self._cancel(client, task, number))
            ended = await client.wait(self.settings, handle, task)
            await cancelling
            (result,) = await client.results(self.settings, ended, [number], self.into(number))
            if result.error:
                raise result.error
            self.is_right(value_of(result) == data and then == "returns", "another value")
        except errors.AWSBatchError as error:
            self._told(error)
        except Exception as error:  # noqa: BLE001 - whatever reaches a user is looked at
            self.wrong("lost", f"{type(error).__name__}: {error}")

    def task(self, number: int, then: str) -> Task:
        """Stage one task, which ends in the way that `noted` has for `then`."""
        group = self.world.stage(
            noted, self._ran(number), then, self._data(number), dispatch_id=self.name, node_id=number
        )
        return Task.of(group)

    def into(self, number: int) -> Path:
        """Return an empty folder for a task's result."""
        into = self.folder / f"out-{number}"
        into.mkdir()
        return into

    def _data(self, number: int) -> bytes:
        return random.Random(number).randbytes(BIG_BYTES) if self.scenario in (BIG, ABORT) else bytes(300_000)

    async def _cancel(self, client: Client, task: Task, number: int) -> None:
        """Cancel the task while its function runs."""
        if self.scenario != CANCEL:
            return
        while not os.path.exists(self._ran(number)):
            await asyncio.sleep(0.05)
        task.cancel()
        assert task.handle
        await client.cancel(task.handle.job_id, task.handle.member)

    def is_right(self, right: bool, otherwise: str) -> None:
        """Count a value or a command's answer; where it is not right, say `otherwise`."""
        self.outcome.values += 1
        if not right:
            self.wrong("lost", otherwise)

    def _told(self, error: errors.AWSBatchError) -> None:
        """Count an error; it must be a sentence about what failed, and no leak of Python's own words."""
        self.outcome.told += 1
        text = error.text()
        is_expected = (self.scenario == CANCEL and isinstance(error, errors.Cancelled)) or (
            self.scenario == DIES and isinstance(error, errors.JobFailed) and "the last line" in text
        )
        if not is_expected and not self.patience_s < 60:
            self.wrong("lost", f"an error where a value was due: {text}")
        if leaks := [word for word in ("Traceback", "object at 0x", "Error(", "<class") if word in text]:
            self.wrong("lost", f"{leaks} in: {text}")
        if not error.happened.rstrip().endswith((".", ":")):
            self.wrong("lost", f"no sentence: {error.happened}")

    def wrong(self, count: str, text: str) -> None:
        """Add one to a count, and a sentence about it."""
        setattr(self.outcome, count, getattr(self.outcome, count) + 1)
        self.outcome.wrong.append(f"{count}: {text}")

    # ---- what is there before and after -----------------------------------------------------------------------------
    def _make(self) -> None:
        self.world.client("s3").create_bucket(Bucket=self.name)
        self.world.client("ecr").create_repository(repositoryName=self.name)
        own = {
            "s3_bucket_name": self.name,
            "ecr_repo_name": self.name,
            "batch_job_definition_name": self.name,
            "cache_dir": str(self.folder / "cache"),
            "outage_patience": self.patience_s,
            "max_baked_mib": 0,
        }
        self.direct_settings: Settings = self.world.settings(**own)
        self.settings: Settings = self.world.settings(
            **own,
            credentials=self.world.profile(endpoint_url=self.proxy.url),
            container_image_uri=self.proxy.through(self.world.aws.section()["container_image_uri"]),
        )

    def _ran(self, number: int) -> str:
        return str(self.folder / f"ran-{number}")

    def _count(self) -> None:
        """Count runs by their own files, and what is left by plain boto3 and on the disk."""
        for number in range(self.tasks):
            ran = Path(self._ran(number)).read_bytes() if os.path.exists(self._ran(number)) else b""
            if len(ran) > 1:
                self.wrong("double", f"task {number} ran {len(ran)} times")
        self.outcome.uploads = len(self.world.client("s3").list_multipart_uploads(Bucket=self.name).get("Uploads", []))
        for kind, names in self._left_at_last().items():
            self.outcome.orphans[kind] += len(names)
            self.outcome.wrong.append(f"orphans: {len(names)} {kind}, such as {min(names)}")

    def _left_at_last(self) -> dict[str, Sequence[str]]:
        """Return what is left once the jobs had time to end: a result is read before its container has ended."""
        self.until_no_job_is_active()
        return self.left()

    def until_no_job_is_active(self) -> None:
        """Wait for the ends of the cell's jobs, for a while."""
        ends = time.monotonic() + ENDS_WITHIN_S
        while "jobs" in self.left() and time.monotonic() < ends:
            time.sleep(0.2)

    def left(self) -> dict[str, Sequence[str]]:
        """Return what is left of the cell, by kind, as plain boto3 and the disk show it."""
        batch, s3, ecr = (self.world.client(each) for each in ("batch", "s3", "ecr"))
        queue = self.world.aws.section()["batch_queue"]
        wanted = [{"name": "JOB_NAME", "values": [f"covalent-{self.name}-*"]}]
        jobs = batch.list_jobs(jobQueue=queue, filters=wanted)["jobSummaryList"]
        definitions = batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]
        images = ecr.describe_images(repositoryName=self.name)["imageDetails"]
        found: dict[str, Sequence[str]] = {
            "jobs": [job["jobId"] for job in jobs if job["status"] in ACTIVE],
            "definitions": [each["jobDefinitionArn"] for each in definitions if self._names(each)],
            "images": [image["imageDigest"] for image in images if not _is_base(image)],
            "objects": [item["Key"] for item in s3.list_objects_v2(Bucket=self.name).get("Contents", [])],
            "files": [str(path) for pattern in UNFINISHED for path in self.folder.rglob(pattern)],
            "notes": [str(path) for path in data_dir().rglob("*.json") if self.name in path.read_text()],
        }
        return {kind: names for kind, names in found.items() if names}

    def _names(self, definition: dict[str, Any]) -> bool:
        return f"/{self.name}@" in definition["containerProperties"]["image"]


def _is_base(image: dict[str, Any]) -> bool:
    """Return whether an image is the copy of the base, which stays."""
    return any(tag.startswith("base-") for tag in image.get("imageTags", ()))
