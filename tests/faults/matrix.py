# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The fault matrix: every operation that the product sends, under every fault of the proxy.

    python -m tests.faults.matrix --write docs/faults.md     # the whole, and the table for the documentation
    python -m tests.faults.matrix --only registry            # a part, by words of "operation, fault"
    python -m tests.faults.matrix --seed 7 --sample          # what CI runs
    python -m tests.faults.matrix --only outage --outage 150 --tasks 150

A cell passes with 0 lost (each task has its value, or one true sentence), 0 double (no function ran twice) and
0 orphans (boto3 and the disk show nothing that is left).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from covalent_awsbatch_plugin.local import LocalAWS
from tests.faults.any_registry import ENGINE
from tests.faults.cell import ABORT, BIG, CANCEL, DIES, LOST, SCENARIOS, VALUES, Cell, Outcome
from tests.faults.command_scenarios import CLEAN, DENIED, DOCTOR
from tests.faults.fault_proxy import BLIP, DRIP, FAULTS, HANG, OUTAGE, SLOW_DOWN
from tests.tasks.small_world import World

OPERATIONS = {
    "sts:GetCallerIdentity": VALUES,
    "iam:GetRole": VALUES,
    "logs:DescribeLogGroups": VALUES,
    "logs:GetLogEvents": DIES,
    "ecr:DescribeRepositories": VALUES,
    "ecr:GetAuthorizationToken": VALUES,
    "ecr:BatchDeleteImage": VALUES,
    "batch:DescribeJobQueues": VALUES,
    "batch:DescribeComputeEnvironments": VALUES,
    "batch:DescribeJobDefinitions": VALUES,
    "batch:RegisterJobDefinition": VALUES,
    "batch:SubmitJob": VALUES,
    "batch:ListJobs": LOST,
    "batch:DescribeJobs": VALUES,
    "batch:TerminateJob": CANCEL,
    "batch:DeregisterJobDefinition": VALUES,
    "s3:HeadBucket": VALUES,
    "s3:HeadObject": VALUES,
    "s3:PutObject": VALUES,
    "s3:CreateMultipartUpload": BIG,
    "s3:UploadPart": BIG,
    "s3:CompleteMultipartUpload": BIG,
    "s3:AbortMultipartUpload": ABORT,
    "s3:GetObject": VALUES,
    "s3:ListObjectsV2": VALUES,
    "s3:DeleteObjects": VALUES,
    "registry:HEAD manifest": VALUES,
    "registry:GET manifest": VALUES,
    "registry:PUT manifest": VALUES,
    "registry:HEAD blob": VALUES,
    "registry:GET blob": VALUES,
    "registry:POST mount": VALUES,
    "registry:POST upload": VALUES,
    "registry:PUT upload": VALUES,
    "ec2:DescribeInstanceTypes": DOCTOR,
    "ec2:DescribeRouteTables": DOCTOR,
    "ec2:DescribeSubnets": DOCTOR,
    "ec2:DescribeVpcEndpoints": DOCTOR,
    "iam:SimulatePrincipalPolicy": DOCTOR,
    "s3:GetBucketEncryption": DOCTOR,
    "servicequotas:GetServiceQuota": DOCTOR,
    "ecr:DescribeImages": CLEAN,
    "ecr:BatchCheckLayerAvailability": DENIED,
    "ecr:BatchGetImage": DENIED,
    "ecr:CompleteLayerUpload": DENIED,
    "ecr:GetDownloadUrlForLayer": DENIED,
    "ecr:InitiateLayerUpload": DENIED,
    "ecr:PutImage": DENIED,
    "ecr:UploadLayerPart": DENIED,
    "container s3:GetObject": VALUES,
    "container s3:PutObject": VALUES,
    "container s3:CreateMultipartUpload": BIG,
    "container s3:UploadPart": BIG,
    "container s3:CompleteMultipartUpload": BIG,
    "container s3:AbortMultipartUpload": ABORT,
}
ONCE = (HANG, DRIP, BLIP, OUTAGE)  # the others hit more requests than botocore repeats
HITS = 4
HANG_S, SHORT_HANG_S = 65.0, 2.0  # botocore reads for 60 s; a sample's connection is reset earlier
OUTAGE_S = 3.0


@dataclass(frozen=True)
class Place:
    """A cell's place in the matrix."""

    operation: str
    fault: str

    def __str__(self) -> str:
        return f"{self.operation}, {self.fault}"


def places() -> list[Place]:
    """Return the whole matrix; SlowDown is an answer of S3 alone."""
    return [
        Place(operation, fault)
        for operation in OPERATIONS
        for fault in FAULTS
        if fault != SLOW_DOWN or "s3:" in operation
    ]


def sample(seed: int) -> list[Place]:
    """Return a part in which each operation and each fault stands at least once; logs' tail is read slowly, once."""
    dice, left = random.Random(seed), places()
    dice.shuffle(left)
    chosen: list[Place] = []
    while missing := [p for p in left if _is_new(p, chosen)]:
        chosen.append(max(missing, key=lambda place: _is_new(place, chosen)))
    return chosen


def _is_new(place: Place, chosen: Sequence[Place]) -> int:
    """Return how many of its operation and its fault no chosen place has; an operation counts more."""
    operations, faults = {p.operation for p in chosen}, {p.fault for p in chosen}
    return 2 * (place.operation not in operations) + (place.fault not in faults)


def groups(chosen: Sequence[Place], size: int) -> list[list[Place]]:
    """Return places of the same scenario together, at most `size`: one run then has all of their faults."""
    by_scenario = [[place for place in chosen if OPERATIONS[place.operation] == each] for each in SCENARIOS]
    return [part[at : at + size] for part in by_scenario for at in range(0, len(part), size)]


@dataclass(frozen=True)
class Measures:
    """The lengths of a hang and an outage in seconds, the requests that another fault befalls, the tasks of a cell."""

    hang_s: float = SHORT_HANG_S
    outage_s: float = OUTAGE_S
    hits: int = HITS
    tasks: int = 3


async def run_one(world: World, together: Sequence[Place], measures: Measures = Measures()) -> Outcome:
    """Run the tasks of one place, or of a group's."""
    cell = Cell(world, OPERATIONS[together[0].operation], tasks=measures.tasks)
    for place in together:
        seconds = measures.hang_s if place.fault == HANG else measures.outage_s
        cell.proxy.fault(place.fault, place.operation, 1 if place.fault in ONCE else measures.hits, seconds)
    outcome = await cell.run()
    outcome.wrong += [
        f"{place.operation} was not sent, so its fault did not happen"
        for place in together
        if not cell.proxy.hits(place.operation)
    ]
    outcome.wrong += [f"{name} is not in the matrix" for name in outcome.seen if name not in OPERATIONS]
    return outcome


async def run(world: World, chosen: Sequence[Place], at_once: int, measures: Measures) -> list[Outcome]:
    """Run places side by side, and print a line for each."""
    slots = asyncio.Semaphore(at_once)

    async def one(place: Place) -> Outcome:
        async with slots:
            began = time.monotonic()
            outcome = await run_one(world, [place], measures)
        seconds = time.monotonic() - began
        wrong = "".join(f"\n    {each}" for each in outcome.wrong)
        print(f"{place}: {_counts([outcome])}, {seconds:.0f} s{wrong}", flush=True)
        return outcome

    return list(await asyncio.gather(*map(one, chosen)))


async def seen_without_faults(world: World) -> set[str]:
    """Return the operations that the scenarios send: those that the matrix must have."""
    outcomes = await asyncio.gather(*(Cell(world, scenario).run() for scenario in SCENARIOS if scenario != DIES))
    wrong = [each for outcome in outcomes for each in outcome.wrong]
    assert not wrong, wrong
    return {name for outcome in outcomes for name in outcome.seen}


# ---- tables ---------------------------------------------------------------------------------------------------------
def table(chosen: Sequence[Place], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield a Markdown table of operations and faults: tasks, then lost, double and orphans where one is not 0."""
    by_place = {str(place): outcome for place, outcome in zip(chosen, outcomes, strict=True)}
    yield f"| operation | {' | '.join(FAULTS)} |"
    yield "|---" * (len(FAULTS) + 1) + "|"
    for operation in OPERATIONS:
        cells = (by_place.get(str(Place(operation, fault))) for fault in FAULTS)
        yield f"| `{operation}` | {' | '.join(_cell(outcome) for outcome in cells)} |"


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    tasks = outcome.values + outcome.told
    bad = (outcome.lost, outcome.double, outcome.orphans.total())
    return f"{tasks}: {'/'.join(map(str, bad))}" if any(bad) else str(tasks)


def _counts(outcomes: Sequence[Outcome]) -> str:
    totals = {name: sum(getattr(each, name) for each in outcomes) for name in ("values", "told", "lost", "double")}
    orphans = sum(each.orphans.total() for each in outcomes)
    return ", ".join(f"{count} {name}" for name, count in (totals | {"orphans": orphans}).items())


PAGE = """# Operations and faults

`python -m tests.faults.matrix --write docs/faults.md` wrote this page. A proxy of raw sockets
(`tests/faults/fault_proxy.py`) stands between the client, or the container, and the offline AWS with its registry, and
breaks the first {hits} requests of one operation (one request for {once}). A cell says how many tasks went through it.
Each had its value, or in the rows of `logs:GetLogEvents` and `batch:TerminateJob` the error that was due. Where
something was lost, ran twice or was left behind, three figures follow: lost/double/orphans. Orphans are jobs, images,
definitions, objects, uploads, files and notes, counted by boto3 and on the disk after the client was closed.
`container` marks what the runner sends.

An upload in parts whose beginning, end or abort was not answered is sent anew, and the first one may stay begun: in
all cells {uploads} did. They are no objects; the bucket's lifecycle rule `uploads-that-nobody-ended` of `infra up` ends
them after a day, and a bucket that you made yourself should have such a rule.

{table}

{cells} cells: {counts}.
"""


async def main(told: argparse.Namespace) -> int:
    """Run the matrix or a part of it; return the exit code."""
    chosen = sample(told.seed) if told.sample else [each for each in places() if told.only in str(each)]
    with tempfile.TemporaryDirectory(prefix="covalent-awsbatch-matrix-") as folder:
        os.environ |= {"XDG_DATA_HOME": folder, "HOME": folder, "AWS_EC2_METADATA_DISABLED": "true"}
        async with LocalAWS(engine=ENGINE, slots=8, grace_s=1, minute_s=4) as aws:
            measures = Measures(told.hang, told.outage, told.hits, told.tasks)
            outcomes = await run(World(aws, Path(folder)), chosen, told.at_once, measures)
    lines = "\n".join(table(chosen, outcomes))
    print(f"{lines}\n{len(chosen)} cells: {_counts(outcomes)}")
    if told.write:
        uploads = sum(outcome.uploads for outcome in outcomes)
        text = PAGE.format(
            uploads=uploads, hits=HITS, once=", ".join(ONCE), table=lines, cells=len(chosen), counts=_counts(outcomes)
        )
        Path(told.write).write_text(text)
    return 1 if any(outcome.wrong for outcome in outcomes) else 0


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sample", action="store_true", help="each operation and each fault once or more")
    parser.add_argument("--only", default="", help="words that a cell's `operation, fault` has")
    parser.add_argument("--at-once", type=int, default=4, help="cells side by side")
    parser.add_argument("--hang", type=float, default=HANG_S, help="seconds of a hang")
    parser.add_argument("--outage", type=float, default=OUTAGE_S, help="seconds of an outage")
    parser.add_argument("--tasks", type=int, default=3, help="tasks of a cell")
    parser.add_argument("--hits", type=int, default=HITS, help="requests that a fault befalls; 1 is within botocore's")
    parser.add_argument("--write", default="", help="file for the table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
