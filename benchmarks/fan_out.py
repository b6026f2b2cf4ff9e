# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""N tasks at once with jobs that finish at once, so that the client alone is measured; ours and others in turn."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3

from covalent_awsbatch_plugin.local import LocalAWS

from .peers import LITHOPS, OLD, OURS, Client, Run, run
from .stats import counted, figure, median, spread, table

INSTANT = "benchmarks.instant:Instant"
SLOTS = 64
POLL_S = 1  # for everybody: as quick as 0.42.0 takes it
QUOTAS = {"batch": 50, "ecr:PutImage": 10, "logs:GetLogEvents": 10}  # requests a second
LITHOPS_RUNTIME = "bench-runtime:1"
Say = Callable[[str], None]


@dataclass
class FanOut:
    """Every run, by client and N; `missing` says why one is not there."""

    runs: dict[tuple[str, int], list[Run]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[tuple[str, int], str] = field(default_factory=dict)

    def median(self, client: str, n: int, what: Callable[[Run], float]) -> float | None:
        runs = self.runs.get((client, n))
        return median(map(what, runs)) if runs else None


@dataclass(frozen=True)
class Plan:
    """`sizes` of each client in each round; `alone` are rounds of ours only, as (N, how often)."""

    rounds: int
    sizes: Sequence[tuple[Client, Sequence[int]]]
    alone: Sequence[tuple[int, int]]


FULL = Plan(3, ((OURS, (1, 10, 100)), (LITHOPS, (1, 10, 100)), (OLD, (1, 10))), ((1000, 2),))
QUICK = Plan(1, ((OURS, (1, 10, 100)), (LITHOPS, (1, 10)), (OLD, (1, 10))), ((1000, 1),))


async def measure(plan: Plan, say: Say) -> FanOut:
    """Each round on an offline AWS of its own: what the one before left there costs nobody anything."""
    found = FanOut()
    for each in range(plan.rounds):
        async with LocalAWS(engine=INSTANT, slots=SLOTS) as aws:
            for n in sorted({n for _, sizes in plan.sizes for n in sizes}):
                for client in (client for client, sizes in plan.sizes if n in sizes):
                    say(f"round {each + 1} of {plan.rounds}: {client.name}, {n} tasks")
                    await _into(found, client, n, aws)
    if plan is FULL:
        async with LocalAWS(engine=INSTANT, slots=SLOTS) as aws:
            say(f"{OLD.name}, 100 tasks")
            await _into(found, OLD, 100, aws)
    for n, times in plan.alone:
        for _ in range(times):
            async with LocalAWS(engine=INSTANT, slots=SLOTS) as aws:
                say(f"{OURS.name}, {n} tasks")
                await _into(found, OURS, n, aws)
    return found


async def with_quotas(found: FanOut, n: int, say: Say) -> None:
    """One more run of ours, with the account's quotas enforced."""
    async with LocalAWS(engine=INSTANT, slots=SLOTS, quotas=QUOTAS) as aws:
        say(f"{OURS.name}, {n} tasks, quotas enforced")
        await _into(found, OURS, n, aws)


async def _into(found: FanOut, client: Client, n: int, aws: LocalAWS) -> None:
    if (client.name, n) in found.missing:
        return
    try:
        found.runs[client.name, n].append(await run(client, n, told(client, aws)))
    except RuntimeError as error:
        found.missing[client.name, n] = str(error)


def told(client: Client, aws: LocalAWS, **settings: Any) -> dict[str, Any]:
    """What a client's process is told: where the AWS is, and its own settings."""
    section = aws.section() | {"poll_freq": POLL_S}
    if client is OLD:
        settings.setdefault("container_image_uri", section["container_image_uri"])
    if client is LITHOPS:
        settings |= {"runtime": LITHOPS_RUNTIME, **_network(aws)}
    return {"section": section, "endpoint_url": aws.endpoint_url, "settings": settings}


def _network(aws: LocalAWS) -> dict[str, list[str]]:
    """What lithops makes its compute environment with."""
    keys = {"aws_access_key_id": "provisioner", "aws_secret_access_key": "provisioner"}
    ec2 = boto3.client("ec2", region_name=aws.region, endpoint_url=aws.endpoint_url, **keys)
    return {
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "security_groups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
    }


async def install(say: Say) -> None:
    """The others' environments."""
    for client in (OLD, LITHOPS):
        say(f"environment of {client.name}")
        await asyncio.to_thread(client.install)


# ---- as text --------------------------------------------------------------------------------------------------------
def text(found: FanOut) -> str:
    """The section of docs/numbers.md."""
    rows, names = [], (OURS.name, LITHOPS.name, OLD.name)
    for n in sorted({n for _, n in found.runs}):
        rows += [_row(found, name, n) for name in names if (name, n) in found.runs]
    head = ["N, client", "CPU ms a task", "noise", "ours : theirs", "wall s", "peak MiB", "AWS calls", "bytes a task"]
    missing = "".join(f"\nNot measured: {name} with {n} tasks. {why}\n" for (name, n), why in found.missing.items())
    return f"{table(head, rows)}{missing}\nCalls by operation:\n\n{_operations(found, names)}"


def _row(found: FanOut, name: str, n: int) -> list[str]:
    runs = found.runs[name, n]
    cpu, ours = median(r.cpu_ms for r in runs), found.median(OURS.name, n, lambda r: r.cpu_ms)
    return [
        f"{n:,} {name}",
        figure(cpu),
        spread([r.cpu_ms for r in runs]) if len(runs) > 1 else "one run",
        "" if name == OURS.name or ours is None else f"1 : {figure(cpu / ours)}",
        figure(median(r.wall_s for r in runs)),
        f"{median(r.peak_mib for r in runs):.0f}",
        f"{median(sum(r.operations().values()) for r in runs):,.0f}",
        f"{median(r.bytes_in() / r.n for r in runs):,.0f}",
    ]


def _operations(found: FanOut, names: Sequence[str]) -> str:
    lines = []
    for name in names:
        n = max((n for client, n in found.runs if client == name), default=None)
        if n is not None:
            lines.append(f"- {name}, N = {n:,}: {counted(found.runs[name, n][-1].operations())}")
    return "\n".join(lines) + "\n"
