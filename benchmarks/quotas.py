# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What an account's quotas and a throttle storm do to many tasks: nothing may be lost, and hardly a call be refused."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from covalent_awsbatch_plugin.local import LocalAWS

from .fan_out import INSTANT, QUOTAS, SLOTS, told
from .peers import OURS, Run, run
from .section import Reach, Say, Section
from .stats import counted, figure, table

STORM_S = 30
ARRAYS = "in arrays, quotas enforced"
MOST_REFUSED = 1  # % of all calls


@dataclass
class Quotas:
    """Runs of this plugin by what was done to them."""

    runs: dict[str, Run] = field(default_factory=dict)


async def section(quick: bool, say: Say) -> Section:
    found = await measure(1000 if quick else 10_000, 100 if quick else 200, 300, say)
    ran = found.runs[ARRAYS]
    what = f"{ran.n:,} tasks with the quotas enforced: calls that were throttled"
    return Section(text(found), (Reach(what, 100 * _refused(ran), MOST_REFUSED, "%"),))


async def measure(many: int, lone: int, in_storm: int, say: Say) -> Quotas:
    """`many` tasks in arrays and `lone` ones as jobs of their own below the quotas; `in_storm` ones in a storm."""
    found = Quotas()
    async with LocalAWS(engine=INSTANT, slots=SLOTS, quotas=QUOTAS) as aws:
        say(f"{many} tasks, quotas enforced")
        found.runs[ARRAYS] = await run(OURS, many, told(OURS, aws))
    async with LocalAWS(engine=INSTANT, slots=SLOTS, quotas=QUOTAS) as aws:
        say(f"{lone} tasks as jobs of their own, quotas enforced")
        each = told(OURS, aws, max_array_size=1)
        found.runs["jobs of their own, quotas enforced"] = await run(OURS, lone, each)
    async with LocalAWS(engine=INSTANT, slots=SLOTS) as aws:
        say(f"{in_storm} tasks in a storm of {STORM_S} s")
        found.runs[f"every second request refused for {STORM_S} s"] = await _stormy(in_storm, aws)
    return found


async def _stormy(n: int, aws: LocalAWS) -> Run:
    await asyncio.to_thread(aws.storm, STORM_S)
    return await run(OURS, n, told(OURS, aws), warm=0)


def text(found: Quotas) -> str:
    """The section of docs/numbers.md."""
    head = ["N, how", "values right", "calls", "refused", "share", "wall s", "CPU ms a task"]
    quotas = ", ".join(f"{name} {rate}/s" for name, rate in QUOTAS.items())
    rows = [_row(name, ran) for name, ran in found.runs.items()]
    asked = "".join(f"- {name}: {counted(ran.operations())}\n" for name, ran in found.runs.items())
    return f"Quotas: {quotas}.\n\n{table(head, rows)}\nCalls by operation:\n\n{asked}"


def _row(name: str, ran: Run) -> list[str]:
    """A client whose values were not all right would not have come this far."""
    calls, refused = sum(ran.operations().values()), f"{ran.refused():,}"
    walls = [figure(ran.wall_s), figure(ran.cpu_ms)]
    return [f"{ran.n:,} {name}", "all", f"{calls:,}", refused, f"{_refused(ran):.2%}", *walls]


def _refused(ran: Run) -> float:
    """The share of all calls."""
    return ran.refused() / sum(ran.operations().values())
