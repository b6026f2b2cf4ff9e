# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A seeded random mix of tasks and faults; whatever went wrong, every task ends with exactly its right outcome.

    python -m tests.faults.soak --seed 7 --tasks 300

The seed decides what each task does, what happens to its job, which calls go wrong when, when credentials expire and
when clients are killed (plan.py). It is printed; given again, it makes the same plan.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS, faults
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks import clean
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.faults.plan import DEEDS, KILLS, Plan, plans
from tests.faults.soak_client import PlannedTask, way
from tests.tasks.small_world import Sent, World

ROOT = Path(__file__).parents[2]
# Not the pulls, which are the jobs' own luck: three that fail would be an outcome of their own.
SAFE = (
    "batch:*", "s3:*", "ecr:PutImage", "ecr:blob P*", "ecr:BatchDeleteImage", "ecr:DescribeRepositories", "logs:*",
    "iam:*",
)  # fmt: skip
CALL_FAULTS = (faults.THROTTLE, faults.ERROR, faults.SLOW, faults.CUT_BEFORE, faults.CUT_AFTER)
CALL_FAULTS_EVERY_S = 0.7
CREDENTIALS_LAST_S = (3, 8)
KILLED_AFTER_S = (1.5, 9)  # a client takes a second until it sends anything
MOST_RUNS = 8  # that are counted, more than any plan allows
SIGNED_FOR_S = 24 * 3600
ENDED = {"SUCCEEDED", "FAILED"}


class Soak:
    """One run. What is not as it must be is in `wrong`, a sentence each."""

    def __init__(self, world: World, seed: int, tasks: int, seconds: float, clients: int = 0) -> None:
        self.world, self.seed, self.clients = world, seed, clients
        self.plans = plans(seed, tasks, seconds, clients)
        path, self.access_key_id = world.another_profile()
        self.credentials = Path(path)
        self.settings = world.settings(poll_freq=1, array_linger=0.5, credentials=str(self.credentials))
        self.wrong: list[str] = []
        self.ended: Counter[str] = Counter()

    async def run(self) -> list[str]:
        await self.world.value(self.settings, str, "the base image is copied into the repository once, and stays")
        await close_shared()
        before = self.world.sent()
        trouble = [asyncio.create_task(each) for each in (self._calls_go_wrong(), self._credentials_expire())]
        ways = [self._task(plan) for plan in self.plans if plan.client is None]
        await asyncio.gather(*ways, *map(self._client, range(self.clients)))
        for each in trouble:
            each.cancel()
        await asyncio.gather(*trouble, return_exceptions=True)
        self.world.aws.clear_faults()
        await close_shared()  # which sweeps what is left
        await self._no_job_is_alive_or_double()
        await self._ran_as_often_as_it_may()
        if self.clients:
            await self._clean()
        self._leaves_nothing(before)
        return self.wrong

    # ---- what goes wrong ----------------------------------------------------------------------------------------
    async def _calls_go_wrong(self) -> None:
        dice = random.Random(self.seed + 1)
        while True:
            await asyncio.sleep(dice.expovariate(1 / CALL_FAULTS_EVERY_S))
            kind, of = dice.choice(CALL_FAULTS), dice.choice(SAFE)
            told: dict[str, Any] = {"times": dice.randint(1, 3), "delay_s": dice.uniform(0.1, 1), "seconds": 5}
            await asyncio.to_thread(self.world.aws.fault, kind, of, **told)

    async def _credentials_expire(self) -> None:
        """Somebody signs in anew now and then; from then on the old ones are refused."""
        dice = random.Random(self.seed + 2)
        while True:
            await asyncio.sleep(dice.uniform(*CREDENTIALS_LAST_S))
            old = self.access_key_id
            path, self.access_key_id = await asyncio.to_thread(self._signed_in)
            Path(path).replace(self.credentials)
            await asyncio.to_thread(self.world.aws.fault, faults.EXPIRED, who=old, times=None)

    def _signed_in(self) -> tuple[str, str]:
        """Keys of another user. A fault of IAM's calls may meet this too: a user that is half made is left behind."""
        while True:
            with contextlib.suppress(ClientError, BotoCoreError):
                return self.world.another_profile()

    def _curse(self, plan: Plan) -> None:
        told: dict[str, Any] = {"times": plan.hits, "text": plan.text}
        if plan.luck in faults.LOSSES:
            told["after_s"] = random.Random(self.seed * 7919 + plan.number).uniform(0.05, 1)
        if plan.luck == faults.STUCK:
            told |= {"times": None, "seconds": 1 + plan.starts_s, "text": faults.STUCK_REASONS["capacity"]}
        if plan.luck == faults.LATE_LOG:
            told["delay_s"] = 1
        self.world.aws.fault(plan.luck, f"covalent-{self._dispatch(plan)}-0", **told)

    # ---- tasks --------------------------------------------------------------------------------------------------
    def _dispatch(self, plan: Plan) -> str:
        return f"soak-{self.seed}-{plan.number}"

    def _sent(self, plan: Plan) -> PlannedTask:
        urls = [self._presigned(f"{self._counter(plan)}/{run}") for run in range(MOST_RUNS)]
        return PlannedTask(plan.number, self._dispatch(plan), urls, plan.deed, plan.starts_s)

    def _presigned(self, key: str) -> str:
        """Return a URL to PUT this object, so that a job signs nothing, and meets none of the faults of calls."""
        where = {"Bucket": self.settings.s3_bucket_name, "Key": key}
        url: str = self.world.client("s3").generate_presigned_url("put_object", Params=where, ExpiresIn=SIGNED_FOR_S)
        return url

    def _counter(self, plan: Plan) -> str:
        return f"ran/{self._dispatch(plan)}"

    def _settings(self, plan: Plan) -> Settings:
        # What is to befall a job is told by the job's name, so such a task has one for itself.
        own = {"max_array_size": 1} if plan.luck else {}
        return self.settings.model_copy(update=dict(DEEDS[plan.deed].settings) | own)

    async def _task(self, plan: Plan) -> None:
        await asyncio.sleep(plan.starts_s)
        if plan.luck:
            await asyncio.to_thread(self._curse, plan)
        task = Task(((self._dispatch(plan), 0),))
        cancelling = asyncio.create_task(self._cancel(plan, task))
        try:
            error = await self._outcome(plan, task)
        except errors.AWSBatchError as failed:
            error = failed
        cancelling.cancel()
        await asyncio.gather(cancelling, return_exceptions=True)
        self.ended[type(error).__name__ if error else "a value"] += 1
        if type(error) is not (plan.expected or type(None)):
            self.wrong.append(f"{plan}: {error.text() if error else 'a value'}")

    async def _outcome(self, plan: Plan, task: Task) -> errors.AWSBatchError | None:
        settings, sent = self._settings(plan), self._sent(plan)
        folder = self.world.folder / sent.dispatch_id
        folder.mkdir()
        task.group = sent.stage(folder)
        async with connect(settings) as client:
            result = await way(client, settings, task.group, task, folder)
        if result.error is None and not sent.is_right(value_of(result)):
            self.wrong.append(f"{plan}: another value")
        return result.error

    async def _cancel(self, plan: Plan, task: Task) -> None:
        """As the executor's `cancel` does it."""
        if plan.cancel_s is None:
            return
        await asyncio.sleep(plan.cancel_s)
        task.cancel()
        if task.handle:
            async with connect(self.settings) as client:
                await client.cancel(task.handle.job_id, task.handle.member)

    # ---- clients that are killed ----------------------------------------------------------------------------------
    async def _client(self, number: int) -> None:
        """Kill -9 some times, then a last start that may end."""
        dice = random.Random(self.seed * 31 + number)
        folder = self.world.folder / f"client-{number}"
        folder.mkdir()
        (folder / "settings.json").write_text(self.settings.model_dump_json())
        tasks = [self._sent(plan) for plan in self.plans if plan.client == number]
        (folder / "tasks.json").write_text(json.dumps([asdict(task) for task in tasks]))
        for _ in range(KILLS):
            await asyncio.to_thread(self._start, folder, dice.uniform(*KILLED_AFTER_S))
        said = await asyncio.to_thread(self._start, folder, None)
        for task in tasks:
            ended = folder / f"{task.number}.ended"
            told = ended.read_text() if ended.exists() else said
            self.ended["a value, to a client that was killed" if told == "right" else "a failed client"] += 1
            if told != "right":
                self.wrong.append(f"{task}: {told}")

    def _start(self, folder: Path, kill_after_s: float | None) -> str:
        command = [sys.executable, "-m", "tests.faults.soak_client", str(folder)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=kill_after_s,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:  # it was killed, by SIGKILL
            return ""
        return done.stderr

    # ---- what must be at the end ------------------------------------------------------------------------------------
    async def _no_job_is_alive_or_double(self) -> None:
        """What was terminated a moment ago may still be ending."""
        async with asyncio.timeout(60):
            while {job["status"] for job in self._jobs()} - ENDED:
                await asyncio.sleep(0.2)
        names = Counter(job["jobName"] for job in self._jobs())
        self.wrong += [f"{many} jobs are called {name}" for name, many in names.items() if many > 1]

    def _jobs(self) -> list[dict[str, Any]]:
        wanted = [{"name": "JOB_NAME", "values": [f"covalent-soak-{self.seed}-*"]}]
        pages = self.world.client("batch").get_paginator("list_jobs")
        found = pages.paginate(jobQueue=self.settings.batch_queue, filters=wanted)
        return [job for page in found for job in page["jobSummaryList"]]

    async def _ran_as_often_as_it_may(self) -> None:
        """By what the functions themselves left in the bucket, which is then taken away."""
        s3, bucket = self.world.client("s3"), self.settings.s3_bucket_name
        for plan in self.plans:
            left = s3.list_objects_v2(Bucket=bucket, Prefix=f"{self._counter(plan)}/").get("Contents", [])
            if len(left) not in self._runs(plan):
                self.wrong.append(f"{plan} ran {len(left)} times")
            for each in left:
                s3.delete_object(Bucket=bucket, Key=each["Key"])

    def _runs(self, plan: Plan) -> Iterable[int]:
        if plan.client is None:
            return plan.runs
        read = (self.world.folder / f"client-{plan.client}" / f"out-{plan.number}" / "reading").exists()
        return range(1, 2 + KILLS * read)

    async def _clean(self) -> None:
        """What a killed client had sent and no job came of, `covalent-awsbatch clean` finds."""
        async with connect(self.settings) as client:
            await clean.remove(
                client.services, self.settings, await clean.find(client.services, self.settings, datetime.now(UTC))
            )
        await close_shared()

    def _leaves_nothing(self, before: Sent) -> None:
        after = self.world.sent()
        for what in ("images", "definitions", "objects"):
            if left := getattr(after, what) - getattr(before, what):
                self.wrong.append(f"{len(left)} {what} were left behind, such as {min(left)}")


async def soak(seed: int, told: argparse.Namespace) -> list[str]:
    """What was wrong; prints what happened."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-soak-") as folder:
        async with LocalAWS(engine=told.engine, slots=6, grace_s=2, minute_s=4) as aws:
            one = Soak(World(aws, Path(folder)), seed, told.tasks, told.seconds, told.clients)
            wrong = await one.run()
    ends = ", ".join(f"{many} {name}" for name, many in one.ended.most_common())
    print(f"seed {seed}: {told.tasks} tasks in {time.monotonic() - began:.0f} s; {ends}", flush=True)
    return [f"seed {seed}: {each}" for each in wrong]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="the first; else the clock says")
    parser.add_argument("--runs", type=int, default=1, help="as many seeds, one after the other")
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60, help="during which tasks are sent")
    parser.add_argument("--clients", type=int, default=3, help="that are killed, and send a quarter of the tasks")
    parser.add_argument("--engine", default="process", help="docker runs out of memory for real")
    told = parser.parse_args()
    first = told.seed if told.seed is not None else int(time.time())
    with tempfile.TemporaryDirectory() as data:
        os.environ |= {"XDG_DATA_HOME": data, "AWS_EC2_METADATA_DISABLED": "true"}
        wrong = [w for at in range(told.runs) for w in asyncio.run(soak(first + at, told))]
    print("\n".join(wrong) or "all as it must be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
