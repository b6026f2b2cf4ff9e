# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One task of 2 KB on its way to AWS Batch: how long, how much is sent, which calls are made."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.images.builders.builder import PushedImage
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.settings import Given, Settings, resolve
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.services import Services
from covalent_awsbatch_plugin.tasks.staging import stage_call, value_of

from .machine import ROOT
from .section import Reach, Say, Section
from .stats import counted, figure, median, quantile, table

TASK_BYTES = 2048
MOST_MS = 150  # warm, `send` to SubmitJob accepted


@dataclass(frozen=True)
class Sent:
    """One task from `send` to SubmitJob accepted: wall and CPU of this process, and what it took."""

    wall_ms: float
    cpu_ms: float
    calls: dict[str, int]
    requests: int
    bytes_pushed: int


@dataclass(frozen=True)
class OneTask:
    """`warm` by builder, and `cold` each from the start of a process to SubmitJob accepted; "" or why not."""

    warm: dict[str, list[Sent]] = field(default_factory=dict)
    cold: list[Sent] = field(default_factory=list)
    build_and_push_ms: list[float] = field(default_factory=list)
    without: str = ""


async def section(quick: bool, say: Say) -> Section:
    say("one task, from `send` to SubmitJob")
    found = await measure("auto", 5 if quick else 10)
    warm = median(sent.wall_ms for sent in found.warm["registry"])
    return Section(text(found), (Reach("one 2 KB task, warm, `send` to SubmitJob accepted", warm, MOST_MS, "ms"),))


async def measure(engine: str, rounds: int) -> OneTask:
    """On an offline AWS of its own, whose engine is `engine`."""
    found = OneTask()
    async with LocalAWS(engine=engine) as aws:
        for builder in ("registry", "docker") if aws.engine == "docker" else ("registry",):
            settings = resolve(Given({**aws.section(), "builder": builder}, "by the benchmark"))
            found.warm[builder] = await _warm(settings, rounds)
        found.cold.extend([await _cold(aws.section()) for _ in range(max(3, rounds // 3))])
        if aws.engine == "docker":
            from .docker_build import build_and_push

            found.build_and_push_ms.extend(await asyncio.to_thread(build_and_push, aws, rounds, TASK_BYTES))
    return found


async def _warm(settings: Settings, rounds: int) -> list[Sent]:
    with tempfile.TemporaryDirectory() as folder:
        await send_one(settings, Path(folder, "first"))
        sent = []
        for each in range(rounds):
            await asyncio.sleep(settings.array_linger * 1.1)  # a lone task: with company it would linger
            sent.append(await send_one(settings, Path(folder, str(each))))
    await close_shared()
    return sent


async def send_one(settings: Settings, folder: Path) -> Sent:
    """A task that no other is like, sent, awaited and checked; the sending is measured."""
    folder.mkdir()  # noqa: ASYNC240 - one folder, before the clock runs
    group = stage_call(len, (os.urandom(TASK_BYTES),), {}, folder, dispatch_id="bench", node_id=0)
    async with connect(settings) as client:
        recorder = await Recorder.of(client.services, settings)
        before, wall, cpu = Counter(client.services.aws.calls), time.perf_counter(), time.process_time()
        handle = await client.submit(settings, Task((("bench", 0),), group))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        calls = dict(client.services.aws.calls - before)
        ended = await client.wait(settings, handle)
        (result,) = await client.results(settings, ended, (0,), folder)
        assert result.error is None, result.error.text()
        assert value_of(result) == TASK_BYTES
    (pushed,) = recorder.pushed
    return Sent(wall * 1000, cpu * 1000, calls, pushed.requests, pushed.bytes_pushed)


class Recorder:
    """Notes what a builder's pushes took, from now on."""

    def __init__(self, push: Any) -> None:
        self.pushed: list[PushedImage] = []
        self._push = push

    @classmethod
    async def of(cls, services: Services, settings: Settings) -> Recorder:
        builder: Any = await services.builder(settings)
        recorder = cls(type(builder).push.__get__(builder))
        builder.push = recorder.push
        return recorder

    async def push(self, *args: Any) -> PushedImage:
        image: PushedImage = await self._push(*args)
        self.pushed.append(image)
        return image


# ---- a process that has just begun --------------------------------------------------------------------------------
async def _cold(section: dict[str, Any]) -> Sent:
    began = time.time()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate(json.dumps({"section": section, "began": began}).encode())
    assert process.returncode == 0
    return Sent(**json.loads(told.splitlines()[-1]))


async def _from_the_beginning(section: dict[str, Any], began: float) -> Sent:
    settings = resolve(Given(section, "by the benchmark"))
    with tempfile.TemporaryDirectory() as folder:
        entered, used = time.time(), resource.getrusage(resource.RUSAGE_SELF)
        sent = await send_one(settings, Path(folder, "first"))
    await close_shared()
    wall = sent.wall_ms + (entered - began) * 1000
    cpu = sent.cpu_ms + (used.ru_utime + used.ru_stime) * 1000
    return Sent(wall, cpu, sent.calls, sent.requests, sent.bytes_pushed)


# ---- as text ------------------------------------------------------------------------------------------------------
def text(found: OneTask) -> str:
    """The section of docs/numbers.md."""
    rows = [_row(f"warm, builder `{name}`", sent) for name, sent in found.warm.items()]
    rows.append(_row("a process that has just begun, builder `registry`", found.cold))
    if walls := found.build_and_push_ms:
        what = "`docker build` and push alone, by the SDK, an engine and a base that have all"
        rows.append([what, figure(median(walls)), figure(quantile(walls, 0.9)), "", "", "", ""])
    head = ["2 KB task", "p50 ms", "p90 ms", "CPU ms", "bytes pushed", "AWS calls", "registry requests"]
    warm, cold = found.warm["registry"][0], found.cold[0]
    without = (
        "" if "docker" in found.warm else "\nNo Docker engine answered, so the builder `docker` was not measured.\n"
    )
    return (
        f"{table(head, rows)}{without}\n"
        f"AWS calls, warm: {counted(warm.calls)}. In a process that has just begun: {counted(cold.calls)}.\n"
    )


def _row(name: str, sent: list[Sent]) -> list[str]:
    walls = [one.wall_ms for one in sent]
    return [
        name,
        figure(median(walls)),
        figure(quantile(walls, 0.9)),
        figure(median(one.cpu_ms for one in sent)),
        f"{median(one.bytes_pushed for one in sent):,.0f}",
        f"{median(sum(one.calls.values()) for one in sent):.0f}",
        f"{median(one.requests for one in sent):.0f}",
    ]


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_from_the_beginning(**json.load(sys.stdin))))))
