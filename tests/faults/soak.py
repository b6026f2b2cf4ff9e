# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A seeded random mix of tasks and faults; whatever went wrong, every task ends with exactly its right outcome.

    python -m tests.faults.soak --seed 7 --tasks 300

The seed decides what each task does, what happens to its job, and which calls go wrong when. It is printed; given
again, it makes the same plan.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.hands.aws import close_shared
from covalent_awsbatch_plugin.local import LocalAWS, faults
from covalent_awsbatch_plugin.story import cloud, collecting, journey
from covalent_awsbatch_plugin.story.direct import value_of
from covalent_awsbatch_plugin.thought import errors
from tests.faults.tasks import count
from tests.story.small_world import World, ticket

# What a task does, and what must come of it where nothing ends its job for good.
DEEDS: dict[str, type[errors.AWSBatchError] | None] = {
    "return": None, "big": None, "slow": None, "raise": errors.Raised, "exit": errors.Exited, "abort": errors.Killed,
}  # fmt: skip
PULLS = list(faults.PULLS.values())
# Not the pulls, which are the jobs' own luck: three that fail would be an outcome of their own.
SAFE = (
    "batch:*", "s3:*", "ecr:PutImage", "ecr:blob P*", "ecr:BatchDeleteImage", "ecr:DescribeRepositories", "logs:*",
    "iam:*",
)  # fmt: skip
CALL_FAULTS = (faults.THROTTLE, faults.ERROR, faults.SLOW, faults.CUT_BEFORE, faults.CUT_AFTER)
CALL_FAULTS_EVERY_S = 0.7


@dataclass(frozen=True)
class Plan:
    """One task. `luck` is what happens to its job: a kind of fault, or nothing; `starts_s` when it is sent."""

    number: int
    deed: str
    luck: str
    hits: int
    starts_s: float
    text: str = ""

    @property
    def expected(self) -> type[errors.AWSBatchError] | None:
        if self.luck == faults.NOT_STARTED and self.hits >= 3:
            return errors.RoleNotAssumable if self.text == faults.ROLE else errors.ImagePullFailed
        return DEEDS[self.deed]

    @property
    def most_runs(self) -> int:
        """How often the function may have begun."""
        return 1 + (self.hits if self.luck in faults.LOSSES else 0)


def plans(seed: int, tasks: int, seconds: float) -> list[Plan]:
    dice = random.Random(seed)
    return [_plan(dice, number, seconds) for number in range(tasks)]


def _plan(dice: random.Random, number: int, seconds: float) -> Plan:
    luck = dice.choices(
        ("", *faults.LOSSES, faults.NOT_STARTED, faults.AGENT, faults.UNSEEN, faults.LATE_LOG, faults.STUCK),
        (10, 2, 2, 2, 1, 2, 1, 1),
    )[0]
    deed = "slow" if luck in faults.LOSSES else dice.choice(list(DEEDS))
    text = dice.choice([*PULLS, faults.ROLE]) if luck == faults.NOT_STARTED else ""
    hits = dice.choice((1, 2, 3)) if luck == faults.NOT_STARTED else dice.choice((1, 2))
    return Plan(number, deed, luck, hits, dice.uniform(0, seconds), text)


class Soak:
    """One run. What is not as it must be is in `wrong`, a sentence each."""

    def __init__(self, world: World, seed: int, tasks: int, seconds: float) -> None:
        self.world, self.seed = world, seed
        self.plans = plans(seed, tasks, seconds)
        self.settings = world.settings(poll_freq=1, array_linger=0.5)
        self.alone = self.settings.model_copy(update={"max_array_size": 1})
        self.wrong: list[str] = []
        self.ended: Counter[str] = Counter()

    async def run(self) -> list[str]:
        await self.world.value(self.settings, str, "the base image is copied into the repository once, and stays")
        await close_shared()
        before = self.world.sent()
        storm = asyncio.create_task(self._calls_go_wrong())
        await asyncio.gather(*(self._task(plan) for plan in self.plans))
        storm.cancel()
        await asyncio.gather(storm, return_exceptions=True)
        self.world.aws.clear_faults()
        await close_shared()  # which sweeps what is left
        self._leaves_nothing(before)
        return self.wrong

    async def _calls_go_wrong(self) -> None:
        dice = random.Random(self.seed + 1)
        while True:
            await asyncio.sleep(dice.expovariate(1 / CALL_FAULTS_EVERY_S))
            kind, of = dice.choice(CALL_FAULTS), dice.choice(SAFE)
            told: dict[str, Any] = {"times": dice.randint(1, 3), "delay_s": dice.uniform(0.1, 1), "seconds": 5}
            await asyncio.to_thread(self.world.aws.fault, kind, of, **told)

    def _curse(self, plan: Plan) -> None:
        told: dict[str, Any] = {"times": plan.hits, "text": plan.text}
        if plan.luck in faults.LOSSES:
            told["after_s"] = random.Random(self.seed * 7919 + plan.number).uniform(0.05, 1)
        if plan.luck == faults.STUCK:
            told |= {"times": None, "seconds": 1 + plan.starts_s, "text": faults.STUCK_REASONS["capacity"]}
        if plan.luck == faults.LATE_LOG:
            told["delay_s"] = 1
        self.world.aws.fault(plan.luck, f"covalent-{self._dispatch(plan)}-0", **told)

    def _dispatch(self, plan: Plan) -> str:
        return f"soak-{self.seed}-{plan.number}"

    def _path(self, plan: Plan) -> Path:
        return self.world.folder / f"ran-{self.seed}-{plan.number}"

    async def _task(self, plan: Plan) -> None:
        await asyncio.sleep(plan.starts_s)
        if plan.luck:
            await asyncio.to_thread(self._curse, plan)
        try:
            error = await self._outcome(plan)
        except errors.AWSBatchError as failed:
            error = failed
        ran = self._path(plan).stat().st_size if self._path(plan).exists() else 0
        self.ended[type(error).__name__ if error else "a value"] += 1
        if type(error) is not (plan.expected or type(None)):
            self.wrong.append(f"{plan}: {error.letter() if error else 'a value'}")
        least = 0 if plan.expected in (errors.ImagePullFailed, errors.RoleNotAssumable) else 1
        if not least <= ran <= plan.most_runs:
            self.wrong.append(f"{plan} ran {ran} times")

    async def _outcome(self, plan: Plan) -> errors.AWSBatchError | None:
        # What is to befall a job is told by the job's name, so such a task has one for itself.
        settings = self.alone if plan.luck else self.settings
        group = self.world.stage(count, str(self._path(plan)), plan.deed, dispatch_id=self._dispatch(plan))
        into = self.world.folder / f"out-{self._dispatch(plan)}"
        into.mkdir()
        async with cloud(settings) as aws:
            way = ticket(group)
            handle = await journey.send(aws, settings, group, way)
            ended = await journey.watch(aws, settings, handle, way)
            (result,) = await collecting.collect(aws, settings, ended, group.node_ids, into)
        if result.error is None and value_of(result) != ("x" * 400_000 if plan.deed == "big" else "done"):
            self.wrong.append(f"{plan}: another value")
        return result.error

    def _leaves_nothing(self, before: Any) -> None:
        batch, after = self.world.client("batch"), self.world.sent()
        for what in ("images", "definitions", "objects"):
            if left := getattr(after, what) - getattr(before, what):
                self.wrong.append(f"{len(left)} {what} were left behind, such as {min(left)}")
        names: Counter[str] = Counter()
        queue, more = self.world.aws.section()["batch_queue"], {}
        while True:
            wanted = [{"name": "JOB_NAME", "values": [f"covalent-soak-{self.seed}-*"]}]
            page = batch.list_jobs(jobQueue=queue, filters=wanted, **more)
            for job in page["jobSummaryList"]:
                names[job["jobName"]] += 1
                if job["status"] not in ("SUCCEEDED", "FAILED"):
                    self.wrong.append(f"{job['jobName']} is {job['status']}")
            if "nextToken" not in page:
                break
            more = {"nextToken": page["nextToken"]}
        self.wrong += [f"{many} jobs are called {name}" for name, many in names.items() if many > 1]


async def soak(seed: int, tasks: int, seconds: float) -> list[str]:
    """What was wrong; prints what happened."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-soak-") as folder:
        async with LocalAWS(engine="process", slots=6, grace_s=2) as aws:
            one = Soak(World(aws, Path(folder)), seed, tasks, seconds)
            wrong = await one.run()
    ends = ", ".join(f"{many} {name}" for name, many in one.ended.most_common())
    print(f"seed {seed}: {tasks} tasks in {time.monotonic() - began:.0f} s; {ends}", flush=True)
    return [f"seed {seed}: {each}" for each in wrong]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="the first; else the clock says")
    parser.add_argument("--runs", type=int, default=1, help="as many seeds, one after the other")
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60, help="during which tasks are sent")
    told = parser.parse_args()
    first = told.seed if told.seed is not None else int(time.time())
    with tempfile.TemporaryDirectory() as data:
        os.environ |= {"XDG_DATA_HOME": data, "AWS_EC2_METADATA_DISABLED": "true"}
        wrong = [w for at in range(told.runs) for w in asyncio.run(soak(first + at, told.tasks, told.seconds))]
    print("\n".join(wrong) or "all as it must be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
