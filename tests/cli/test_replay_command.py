# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`replay` runs a failed task again on this machine: its image, its inputs, its variables, with a debugger."""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import sys

import cloudpickle
import pytest

from covalent_awsbatch_plugin.cli import replay_files
from covalent_awsbatch_plugin.errors import NotFound, SettingError
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.events import Event, Kind, event_files, events_folder, read_events
from covalent_awsbatch_plugin.tasks.replayed_task import place_of_job, recorded_task
from tests.cli.shell import on_terminal, plain, run
from tests.tasks.electron import Electron, together
from tests.tasks.small_world import World
from tests.tasks.tasks import divide, shout


async def failed(world: World, **changes: object) -> Electron:
    electron = Electron(world, world.settings(keep_failed=True, **changes), divide, 7)
    await electron.send()
    result = await electron.end()
    assert result.error
    return electron


@pytest.mark.parametrize("payload", ["image", "s3"])
async def test_failed_task_runs_again_here_with_its_function_and_inputs(world: World, payload: str) -> None:
    electron = await failed(world, payload=payload)
    done = await asyncio.to_thread(run, world, "replay", electron.handle.job_id)
    assert done.returncode == 1, done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert "divide(7)" in done.stdout


async def test_debugger_stops_at_the_line_that_raises(world: World) -> None:
    electron = await failed(world)
    words = ("replay", electron.group.dispatch_id, "0", "--pdb")
    shown = plain(await asyncio.to_thread(on_terminal, world, *words, keys="p number * 6\nq\n"))
    assert "-> return number / 0" in shown
    assert "(Pdb) p number * 6" in shown
    assert "\n42\n" in shown


async def test_task_of_an_array_is_named_by_its_number(world: World) -> None:
    array = await together(
        world, world.settings(keep_failed=True, tasks_per_job=2), [(divide, 1), (shout, "one"), (divide, 3)]
    )
    await asyncio.gather(*(each.end() for each in array))
    job = array[0].handle.job_id.partition(":")[0]
    without = await asyncio.to_thread(run, world, "replay", job)
    assert "has several tasks" in without.stderr
    done = await asyncio.to_thread(run, world, "replay", array[2].group.dispatch_id, "0")
    assert "divide(3)" in done.stdout, done.stderr


async def attempt_ended(dispatch_id: str) -> Event:
    """Return the event of an attempt's end, which a thread of the client writes soon after the result was read."""
    async with asyncio.timeout(30):
        while True:
            if found := [each for each in read_events(dispatch_id) if each.kind == Kind.ATTEMPT_ENDED]:
                return found[0]
            await asyncio.sleep(0.1)


async def test_mended_function_of_the_file_is_run_with_the_same_inputs(world: World) -> None:
    path = world.folder / "to_mend.py"
    path.write_text("def halve(number):\n    return number / 0\n")
    spec = importlib.util.spec_from_file_location("to_mend", path)
    assert spec and spec.loader
    module = sys.modules["to_mend"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    electron = Electron(world, world.settings(keep_failed=True), module.halve, 7)
    await electron.send()
    result = await electron.end()
    assert result.error and f"replay {electron.handle.job_id} --pdb" in str(result.error)
    ended = await attempt_ended(electron.group.dispatch_id)
    assert ended.figures["reason"] == "ZeroDivisionError: division by zero"
    path.write_text("def halve(number):\n    return number / 2\n")
    done = await asyncio.to_thread(run, world, "replay", electron.handle.job_id, "--code", "here")
    assert done.returncode == 0, done.stderr
    assert "halve returned a value here: 3.5" in done.stderr


async def test_job_that_this_machine_has_no_record_of_is_not_unpickled(world: World) -> None:
    electron = await failed(world)
    event_files(events_folder(), electron.group.dispatch_id)[0].unlink()
    async with connect(world.settings()) as client:
        with pytest.raises(NotFound, match="no record of the job"):
            await recorded_task(client.services, place_of_job(electron.handle.job_id))
        trusted = await recorded_task(client.services, place_of_job(electron.handle.job_id), trust=True)
    assert trusted.image


async def test_image_of_another_machine_is_refused_with_what_would_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    electron = await failed(world)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    async with connect(world.settings()) as client:
        task = await recorded_task(client.services, place_of_job(electron.handle.job_id))
        with pytest.raises(SettingError, match="--engine docker"):
            await replay_files.fetch(client.services, world.settings(), task, world.folder, whole=True)
