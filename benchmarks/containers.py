# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""N tasks in real containers, beside as many bare containers of the same engine, and beside others' tasks."""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CalledProcessError

import boto3

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.jobs.definition import results_prefix
from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.local.engines.base import Container
from covalent_awsbatch_plugin.local.engines.docker import DockerEngine
from covalent_awsbatch_plugin.runner.protocol import layout
from covalent_awsbatch_plugin.settings import Given, resolve
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.staging import stage_call

from . import peer_images
from .aliased import SLOTS
from .docker_build import login
from .fan_out import LITHOPS_RUNTIME, told
from .peers import LITHOPS, OLD, OURS, Client, Run, run
from .section import Reach, Say, Section
from .stats import figure, median, spread, table

ENGINE = "benchmarks.aliased:Docker"
MANY, FEW = 50, 10
MEMORY_MIB, VCPUS = 3840, 2.0  # the settings' defaults
OF_THE_FLOOR = 115  # % of the wall of bare containers


@dataclass
class Containers:
    """Seconds of `MANY` bare containers, and the clients' runs; `without` says why there is nothing."""

    empty: list[float] = field(default_factory=list)
    by_hand: list[float] = field(default_factory=list)
    runs: dict[tuple[str, int], list[Run]] = field(default_factory=lambda: defaultdict(list))
    missing: dict[str, str] = field(default_factory=dict)
    without: str = ""


async def section(quick: bool, say: Say) -> Section:
    found = await measure(1 if quick else 2, say)
    if found.without:
        return Section(text(found))
    share = 100 * median(r.wall_s for r in found.runs[OURS.name, MANY]) / median(found.by_hand)
    what = f"{MANY} real containers: wall, of {MANY} bare containers of the same image"
    return Section(text(found), (Reach(what, share, OF_THE_FLOOR, "%"),))


async def measure(rounds: int, say: Say) -> Containers:
    """Ours between bare containers, `rounds` times; the others' once."""
    from covalent_awsbatch_plugin.local.engines.choice import docker_answers

    found = Containers()
    if not await asyncio.to_thread(docker_answers):
        found.without = "No Docker engine answered, so nothing was run in real containers."
        return found
    async with LocalAWS(engine=ENGINE, slots=SLOTS) as aws:
        image = await _image_of_a_task(aws)
        for each in range(rounds):
            say(f"real containers, round {each + 1} of {rounds}")
            found.empty.append(await _bare(aws, image, nothing=True))
            found.by_hand.append(await _bare(aws, image, nothing=False))
            found.runs[OURS.name, MANY].append(await run(OURS, MANY, told(OURS, aws)))
            found.by_hand.append(await _bare(aws, image, nothing=False))  # an engine gets slower with each container
            found.runs[OURS.name, FEW].append(await run(OURS, FEW, told(OURS, aws)))
        for client, tag in ((LITHOPS, LITHOPS_RUNTIME.partition(":")[0]), (OLD, "old-plugin")):
            say(f"real containers: {client.name}")
            await _peer(found, client, tag, aws)
    return found


async def _image_of_a_task(aws: LocalAWS) -> str:
    """As a task's job has it, and not deleted afterwards."""
    settings = resolve(Given(aws.section() | {"delete_images": False}, "by the benchmark"))
    with tempfile.TemporaryDirectory() as folder:
        group = stage_call(len, (b"x" * 2048,), {}, Path(folder), dispatch_id="bench", node_id=0)
        async with connect(settings) as client:
            handle = await client.submit(settings, Task((("bench", 0),), group))
            await client.wait(settings, handle)
    await close_shared()
    return handle.image


async def _bare(aws: LocalAWS, image: str, *, nothing: bool) -> float:
    """Seconds of `MANY` containers, `SLOTS` at a time, with no Batch and no plugin around them.

    They do `nothing` (`python3 -c pass`), or what the image is for, its result in the bucket included.
    """
    engine = DockerEngine(aws.registry, login(aws.section())["password"], SLOTS)
    places, output = asyncio.Semaphore(SLOTS), list[bytes]()
    which = aws.section()["container_image_uri"] if nothing else image

    async def one(index: int) -> None:
        async with places:
            await engine.pull(which)
            command = ["python3", "-c", "pass"] if nothing else []
            own = _environment(aws) | {layout.ENV_JOB_ID: str(uuid.uuid4())}
            container = Container(f"bare-{time.time_ns()}-{index}", which, command, own, MEMORY_MIB, VCPUS)
            running = await engine.start(container, output.append)
            ended = await running.wait()
            await running.close()
            assert ended.code == 0, b"".join(output).decode()

    began = time.perf_counter()
    await asyncio.gather(*map(one, range(MANY)))
    seconds = time.perf_counter() - began
    await engine.call(engine._threads.shutdown, wait=False)
    return seconds


def _environment(aws: LocalAWS) -> dict[str, str]:
    """What a job of the task has, with keys where a job has a role."""
    keys = boto3.Session(profile_name=aws.section()["profile"]).get_credentials().get_frozen_credentials()
    return {
        layout.ENV_ENDPOINT: aws.endpoint_url,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        layout.ENV_BUCKET: aws.section()["s3_bucket_name"],
        layout.ENV_REGION: aws.region,
        layout.ENV_DISPATCH_ID: "bench",
        layout.ENV_RESULTS_PREFIX: results_prefix("by-hand", 0),
        layout.ENV_JOB_ATTEMPT: "1",
    }


async def _peer(found: Containers, client: Client, tag: str, aws: LocalAWS) -> None:
    import docker

    engine = docker.from_env(timeout=300)
    try:
        await asyncio.to_thread(client.install)
        image = await asyncio.to_thread(peer_images.push, client, aws, engine, tag)
        settings = {"container_image_uri": image} if client is OLD else {}
        found.runs[client.name, FEW].append(await run(client, FEW, told(client, aws, **settings)))
    except (RuntimeError, AssertionError, OSError, CalledProcessError, docker.errors.DockerException) as error:
        found.missing[client.name] = str(error)
    finally:
        engine.close()


# ---- as text --------------------------------------------------------------------------------------------------------
def text(found: Containers) -> str:
    """The section of docs/numbers.md."""
    if found.without:
        return f"{found.without}\n"
    floor = median(found.by_hand)
    rows = [
        _row(f"{MANY} containers by the SDK: `python3 -c pass`", found.empty, floor),
        _row(f"{MANY} containers by the SDK: a task's image, result in S3", found.by_hand, floor),
        _row(f"{MANY} tasks, this plugin", [r.wall_s for r in found.runs[OURS.name, MANY]], floor),
    ]
    others = [
        [f"{n} tasks, {name}", figure(median(r.wall_s for r in runs)), figure(median(r.cpu_ms for r in runs))]
        for (name, n), runs in found.runs.items()
        if n == FEW
    ]
    missing = "".join(f"\nNot measured: {name}. {why}\n" for name, why in found.missing.items())
    return (
        f"{SLOTS} containers at a time.\n\n{table(['real containers', 'wall s', 'noise', 'of the floor'], rows)}\n"
        f"{table(['real containers', 'wall s', 'client CPU ms a task'], others)}{missing}"
    )


def _row(name: str, walls: list[float], floor: float) -> list[str]:
    return [name, figure(median(walls)), spread(walls) if len(walls) > 1 else "one run", f"{median(walls) / floor:.0%}"]
