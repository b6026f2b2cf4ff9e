# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`logs` prints tasks' lines with their names: for people with colours, for programs as JSON."""

from __future__ import annotations

import asyncio
import json

from covalent_awsbatch_plugin.cli.terminal import plain_text
from tests.cli.shell import COLOR, on_terminal, plain, run
from tests.tasks.electron import Electron
from tests.tasks.small_world import World
from tests.tasks.tasks import fail_loudly, shout

FIELDS = {
    "time": float, "message": str, "log_stream": str, "job_id": str, "name": str, "dispatch": str, "node": int,
    "attempt": int,
}  # fmt: skip


async def ended(world: World, *words: str) -> list[Electron]:
    """Tasks that have ended, so that `logs` has no reason to wait but the lateness of logs."""
    electrons = [Electron(world, world.settings(), shout, word) for word in words]
    await asyncio.gather(*(each.send() for each in electrons))
    await asyncio.gather(*(each.end() for each in electrons))
    return electrons


async def test_logs_of_a_job_are_printed_with_its_function_and_node(world: World) -> None:
    (electron,) = await ended(world, "hello")
    done = await asyncio.to_thread(run, world, "logs", electron.handle.job_id)
    assert done.stdout == "shout[0]  shouting hello\n", done.stderr


async def test_logs_of_a_dispatch_are_chosen_by_node_and_pattern(world: World) -> None:
    (electron,) = await ended(world, "hello")
    dispatch = electron.group.dispatch_id
    found = await asyncio.to_thread(run, world, "logs", "--dispatch", dispatch, "--node", "0", "--grep", "h.llo")
    assert found.stdout == "shout[0]  shouting hello\n", found.stderr
    nothing = await asyncio.to_thread(run, world, "logs", "--dispatch", dispatch, "--grep", "goodbye")
    assert (nothing.returncode, nothing.stdout) == (0, ""), nothing.stderr


async def test_logs_as_json_have_the_documented_fields(world: World) -> None:
    (electron,) = await ended(world, "hello")
    done = await asyncio.to_thread(run, world, "logs", electron.handle.job_id, "--json")
    (line,) = map(json.loads, done.stdout.splitlines())
    assert {name: type(value) for name, value in line.items()} == FIELDS
    assert line["job_id"] == electron.handle.job_id
    assert line["dispatch"] == electron.group.dispatch_id


async def test_logs_of_failed_tasks_leave_the_others_out(world: World) -> None:
    settings = world.settings(array_linger=9, max_array_size=2)
    dispatch = f"failed-{world.folder.name}"
    groups = [
        world.stage(function, "word", dispatch_id=dispatch, node_id=node)
        for node, function in enumerate((shout, fail_loudly))
    ]
    await asyncio.gather(*(world.run_staged(settings, group) for group in groups))
    done = await asyncio.to_thread(run, world, "logs", "--dispatch", dispatch, "--failed", "--grep", "^word")
    assert done.stdout == "fail_loudly[1]  word\n", done.stderr


async def test_logs_on_a_terminal_have_a_colour_that_no_color_switches_off(world: World) -> None:
    (electron,) = await ended(world, "hello")
    words = ("logs", electron.handle.job_id)
    colored = await asyncio.to_thread(on_terminal, world, *words)
    assert COLOR.search(colored)
    assert plain(colored) == "shout[0]  shouting hello\n"
    assert await asyncio.to_thread(on_terminal, world, *words, NO_COLOR="1") == "shout[0]  shouting hello\n"


def test_logs_of_an_unknown_job_or_dispatch_are_an_error(world: World) -> None:
    unknown = run(world, "logs", "00000000-0000-0000-0000-000000000000")
    assert unknown.returncode == 1
    assert "does not know the job 00000000" in unknown.stderr
    unrecorded = run(world, "logs", "--dispatch", "nobodys")
    assert unrecorded.returncode == 1
    assert "no record of the dispatch nobodys" in unrecorded.stderr


def test_logs_of_nothing_and_of_two_things_are_usage_errors() -> None:
    assert run(None, "logs").returncode == 2
    assert run(None, "logs", "a", "--pool", "b").returncode == 2
    assert run(None, "logs", "a", "--node", "1").returncode == 2
    assert "is no time" in run(None, "logs", "a", "--since", "soon").stderr
    assert "is no regular expression" in run(None, "logs", "a", "--grep", "(").stderr


def test_line_with_commands_to_the_terminal_is_shown_without_them() -> None:
    title, clear, bell = "\x1b]0;evil\x07", "\x1b[2J\x1b[H", "\x07"
    assert plain_text(f"{title}{clear}text{bell}", is_terminal=True) == "text"
    assert plain_text("10%\r50%\r100%", is_terminal=True) == "100%"
    assert plain_text("\x1b[31mred\x1b[0m", is_terminal=True, color=False) == "red"
    assert plain_text("\x1b[31mred", is_terminal=True, color=True) == "\x1b[31mred\x1b[0m"
    assert plain_text(f"{title}as it is", is_terminal=False) == f"{title}as it is"
