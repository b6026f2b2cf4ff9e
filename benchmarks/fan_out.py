# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""N tasks at once with jobs that finish at once, so that the client alone is measured; ours and others in turn."""

from __future__ import annotations

import asyncio
import subprocess
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import botocore.session

from covalent_awsbatch_plugin.local import LocalAWS

from .peers import LITHOPS, OLD, OURS, Client, Run, run
from .section import Reach, Say, Section
from .stats import counted, figure, median, spread, table

INSTANT = "benchmarks.instant:Instant"
SLOTS = 64
POLL_S = 1  # for everybody: as quick as 0.42.0 takes it
QUOTAS = {"batch": 50, "ecr:PutImage": 10, "logs:GetLogEvents": 10}  # requests a second
LITHOPS_RUNTIME = "bench-runtime:1"
PAYLOAD_BYTES = 2048  # random, so that nothing shrinks them
FLOOR_CALLS = 4  # PutImage, RegisterJobDefinition, SubmitJob, DescribeJobs; and each result is read once
MOST_CPU_MS, MOST_EACH = 5, 3
FEW, MANY, MOST = 100, 1000, 10_000


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


FULL = Plan(3, ((OURS, (1, 10, FEW)), (LITHOPS, (1, 10, FEW)), (OLD, (1, 10))), ((MANY, 2), (MOST, 1)))
QUICK = Plan(1, ((OURS, (1, 10, FEW)), (LITHOPS, (1, 10)), (OLD, (1,))), ((MANY, 1),))


async def section(quick: bool, say: Say) -> Section:
    missing = await install(say)
    found = await measure(QUICK if quick else FULL, missing, say)
    return Section(text(found), reached(found))


async def measure(plan: Plan, missing: dict[str, str], say: Say) -> FanOut:
    """Each round on an offline AWS of its own: what the one before left there costs nobody anything."""
    found = FanOut(
        missing={
            (client.name, n): missing[client.name]
            for client, sizes in plan.sizes
            if client.name in missing
            for n in sizes
        }
    )
    for each in range(plan.rounds):
        async with LocalAWS(engine=INSTANT, slots=SLOTS) as aws:
            for n in sorted({n for _, sizes in plan.sizes for n in sizes}):
                for client in (client for client, sizes in plan.sizes if n in sizes):
                    say(f"round {each + 1} of {plan.rounds}: {client.name}, {n} tasks")
                    await _into(found, client, n, aws)
    if plan is FULL and OLD.name not in missing:  # minutes: once
        async with LocalAWS(engine=INSTANT, slots=SLOTS) as aws:
            say(f"{OLD.name}, {FEW} tasks")
            await _into(found, OLD, FEW, aws)
    for n, times in plan.alone:
        for _ in range(times):
            async with LocalAWS(engine=INSTANT, slots=SLOTS) as aws:
                say(f"{OURS.name}, {n} tasks")
                await _into(found, OURS, n, aws)
    return found


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
    where = {"endpoint_url": aws.endpoint_url, "control_token": aws.control_token}
    return {"section": section, "settings": settings} | where


def _network(aws: LocalAWS) -> dict[str, list[str]]:
    """What lithops makes its compute environment with."""
    session = botocore.session.Session(profile=aws.section()["profile"])
    session.set_config_variable("credentials_file", aws.section()["credentials"])
    ec2 = session.create_client("ec2")
    return {
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "security_groups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
    }


async def install(say: Say) -> dict[str, str]:
    """The others' environments; by name, why one could not be made."""
    missing = {}
    for client in (OLD, LITHOPS):
        say(f"environment of {client.name}")
        try:
            await asyncio.to_thread(client.install)
        except (OSError, subprocess.CalledProcessError) as error:
            missing[client.name] = f"It could not be installed: {error}"
    return missing


# ---- as text --------------------------------------------------------------------------------------------------------
def text(found: FanOut) -> str:
    """The section of docs/numbers.md."""
    rows, names = [], (OURS.name, LITHOPS.name, OLD.name)
    for n in sorted({n for _, n in found.runs}):
        rows += [_row(found, name, n) for name in names if (name, n) in found.runs]
    head = ["N, client", "CPU ms a task", "noise", "ours : theirs", "wall s", "peak MiB", "AWS calls", "bytes a task"]
    missing = "".join(f"\nNot measured: {name} with {n} tasks. {why}\n" for (name, n), why in found.missing.items())
    return f"{table(head, rows)}{missing}\n{_floor(found)}\nCalls by operation:\n\n{_operations(found, names)}"


def _floor(found: FanOut) -> str:
    """What must be called and moved however it is done, and how far above it ours are."""
    told = (
        "The floor: a PutImage, a RegisterJobDefinition, a SubmitJob, a DescribeJobs and a GetObject for each result, "
        f"so N + {FLOOR_CALLS} calls; and the arguments, {PAYLOAD_BYTES:,} random bytes a task.\n"
        "Ours are more by each task's description and hooks; the task layer is one compressed file.\n"
    )
    sizes = sorted(n for name, n in found.runs if name == OURS.name)
    rows = []
    for n in sizes:
        runs = found.runs[OURS.name, n]
        calls = median(sum(r.operations().values()) for r in runs) / (n + FLOOR_CALLS)
        rows.append([f"{n:,}", f"{calls:.2f}", f"{median(r.bytes_in() / n for r in runs) / PAYLOAD_BYTES:.2f}"])
    return f"{told}\n{table(['N', 'AWS calls, of the floor', 'bytes pushed, of the floor'], rows)}"


def reached(found: FanOut) -> tuple[Reach, ...]:
    """Of ours, with `MANY` tasks."""
    runs = found.runs.get((OURS.name, MANY), [])
    if not runs:
        return ()
    what = f"{MANY:,} tasks at once:"
    each = [
        Reach(f"{what} {call}", max(r.calls.get(f"{service}:{call}", 0) for r in runs), MOST_EACH)
        for service, call in (("ecr", "PutImage"), ("batch", "RegisterJobDefinition"), ("batch", "SubmitJob"))
    ]
    calls = max(sum(r.operations().values()) for r in runs)
    return (
        Reach(f"{what} client CPU a task", median(r.cpu_ms for r in runs), MOST_CPU_MS, "ms"),
        Reach(f"{what} AWS calls", calls, round(1.1 * MANY + 50)),
        *each,
        *_memory(found),
    )


def _memory(found: FanOut) -> list[Reach]:
    """What each further task adds to the client's peak is no more with many than with few."""
    few, many, most = (found.median(OURS.name, n, lambda r: r.peak_mib) for n in (1, MANY, MOST))
    if few is None or many is None or most is None:
        return []
    first, rest = ((many - few) / (MANY - 1) * 1024, (most - many) / (MOST - MANY) * 1024)
    return [
        Reach(
            f"client memory a task, from {MANY:,} to {MOST:,} (at most what it is from 1 to {MANY:,})",
            rest,
            first,
            "KiB",
        )
    ]


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
