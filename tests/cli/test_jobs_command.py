# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`jobs` shows every job with its state: what waits and for what, what runs, what ended and what it used."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from covalent_awsbatch_plugin.local.faults import STUCK_REASONS
from tests.cli.shell import on_terminal, plain, run
from tests.tasks.electron import Electron, together
from tests.tasks.small_world import World
from tests.tasks.tasks import shout, when_there

NUMBER = (int, float)
FIELDS: dict[str, Any] = {
    "job_id": str, "name": str, "state": str, "created": float, "started": (*NUMBER, type(None)),
    "stopped": (*NUMBER, type(None)), "size": int, "children": dict, "reason": str, "attempts": int,
    "max_attempts": int, "vcpu": float, "memory_gib": float, "gpus": int, "exit_code": (int, type(None)),
    "place": str, "queue": str, "dispatch_id": str, "host": str, "is_ours": bool, "attempt_seconds": NUMBER,
    "position": (int, type(None)), "function": str, "peak_gib": (float, type(None)), "tags": dict,
}  # fmt: skip


async def listed(world: World, *words: str) -> list[dict[str, Any]]:
    done = await asyncio.to_thread(run, world, "jobs", "--json", *words)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


async def test_a_job_that_waits_is_shown_with_its_reason_and_its_place_in_the_queue(world: World) -> None:
    electron = Electron(world, world.settings(), shout, "a")
    world.aws.fault("stuck", of=f"covalent-{electron.group.dispatch_id}-0", text=STUCK_REASONS["capacity"], times=None)
    await electron.send()
    async with asyncio.timeout(30):
        while not world.job(electron.handle.job_id).get("statusReason"):
            await asyncio.sleep(0.1)
    (row,) = await listed(world, "--dispatch", electron.group.dispatch_id)
    assert row["state"] == "RUNNABLE"
    assert row["position"] == 1
    assert row["reason"] == STUCK_REASONS["capacity"]
    assert row["function"] == "shout"
    narrow = plain(await asyncio.to_thread(on_terminal, world, "jobs", columns=80))
    assert "number 1 in the queue" in narrow
    assert all(len(line) <= 80 for line in narrow.splitlines())
    world.aws.clear_faults()
    await electron.end()


async def test_an_array_is_shown_by_the_numbers_of_its_children_and_never_pending(world: World) -> None:
    gate = world.folder / "gate"
    settings = world.settings()
    array = await together(world, settings, [(when_there, str(gate))] * 3)
    parent = array[0].handle.job_id.partition(":")[0]
    async with asyncio.timeout(60):
        while world.job(parent)["arrayProperties"]["statusSummary"]["RUNNING"] < 3:
            await asyncio.sleep(0.1)
    (row,) = (row for row in await listed(world) if row["job_id"] == parent)
    assert (row["state"], row["children"], row["size"]) == ("RUNNING", {"RUNNING": 3}, 3)
    gate.touch()
    await asyncio.gather(*(each.end() for each in array))


async def test_ended_jobs_are_shown_with_their_exit_codes_and_what_they_used(world: World) -> None:
    electron = Electron(world, world.settings(), shout, "a")
    await electron.send()
    await electron.end()
    assert electron.handle.job_id not in [row["job_id"] for row in await listed(world)]
    (row,) = await listed(world, "--all", "--dispatch", electron.group.dispatch_id)
    assert (row["state"], row["exit_code"], row["attempts"], row["host"]) == ("SUCCEEDED", 0, 1, socket.gethostname())
    assert row["peak_gib"] > 0
    wide = plain(await asyncio.to_thread(on_terminal, world, "jobs", "--all", columns=140))
    assert "vCPU-hours" in wide
    assert "shout asked for 3.75 GiB and used at most" in wide
    (line,) = (line for line in wide.splitlines() if electron.handle.job_id in line)
    assert "shout" in line and "SUCCEEDED" in line


async def test_jobs_as_json_have_the_documented_fields(world: World) -> None:
    await world.value(world.settings(), shout, "a")
    rows = await listed(world, "--all", "--since", "1h")
    assert rows
    for row in rows:
        assert row.keys() == FIELDS.keys()
        for name, value in row.items():
            assert isinstance(value, FIELDS[name]), (name, value)


async def test_jobs_are_chosen_by_state_and_those_of_others_on_demand(world: World) -> None:
    section = world.aws.section()
    definition = world.client("batch").register_job_definition(
        jobDefinitionName="foreign", type="container", containerProperties={
            "image": "nobodys", "command": ["true"],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}],
        },
    )  # fmt: skip
    foreign = world.client("batch").submit_job(
        jobName="foreign", jobQueue=section["batch_queue"], jobDefinition=definition["jobDefinitionArn"]
    )["jobId"]
    async with asyncio.timeout(30):
        while world.job(foreign)["status"] != "FAILED":
            await asyncio.sleep(0.1)
    assert foreign not in [row["job_id"] for row in await listed(world, "--all")]
    assert foreign in [row["job_id"] for row in await listed(world, "--everyone", "--state", "failed")]
    assert foreign not in [row["job_id"] for row in await listed(world, "--everyone", "--state", "SUCCEEDED")]


def listings(world: World) -> int:
    """Return how often jobs were listed."""
    counts = (each for who, each in world.aws.calls().items() if not who.startswith("refused"))
    return sum(each.get("batch:ListJobs", 0) for each in counts)


async def test_watched_jobs_are_shown_until_none_is_active_and_stay_on_the_screen(world: World) -> None:
    gate = world.folder / "gate"
    electron = Electron(world, world.settings(), when_there, str(gate))
    await electron.send()
    await world.until_heard(electron.handle.job_id)  # it runs, so that the first table shows it
    before = listings(world)
    await asyncio.to_thread(run, world, "jobs")
    one_look, before = listings(world) - before, listings(world)
    watching = asyncio.create_task(asyncio.to_thread(on_terminal, world, "jobs", "--watch", columns=140))
    async with asyncio.timeout(60):
        while listings(world) <= before + one_look:  # the first table is on the screen when the second look begins
            await asyncio.sleep(0.1)
    gate.touch()
    await electron.end()
    shown = plain(await watching)
    assert "1 RUNNING" in shown
    assert f"{electron.handle.job_id}  when_there  SUCCEEDED" in shown.rpartition("1 RUNNING")[2]


def test_jobs_of_an_unknown_state_are_a_usage_error() -> None:
    done = run(None, "jobs", "--state", "RUNING")
    assert done.returncode == 2
    assert "RUNING is no state; there are SUBMITTED" in done.stderr
