# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Habits that all commands share: help, completion, settings with their origin, units, confirmation."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import click
import pytest

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.errors import SettingError
from covalent_awsbatch_plugin.settings import Given, Settings, resolve
from tests.cli.shell import on_terminal, plain, run
from tests.tasks.electron import Electron
from tests.tasks.small_world import World
from tests.tasks.tasks import divide


def test_help_lists_every_command_once_in_a_group() -> None:
    text = run(None, "--help").stdout
    groups = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert groups[1:] == ["Run:", "See:", "Set up:", "Clean up:"]  # and no group of others
    for name in main.commands:
        assert text.count(f"\n  {name} ") == 1, name


def test_help_of_no_command_is_a_wall_of_settings() -> None:
    for name, command in main.commands.items():
        assert len(command.get_help(click.Context(command)).splitlines()) < 70, name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(shell: str) -> None:
    done = run(None, "completion", shell)
    assert "_COVALENT_AWSBATCH_COMPLETE" in done.stdout, done.stderr
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


def test_settings_are_explained_with_their_origin(tmp_path: Path) -> None:
    (tmp_path / "covalent.conf").write_text('[executors.awsbatch]\nmemory = "8GiB"\nvcpus = 4\n')
    done = run(None, "explain", "--settings", "--json", "--time-limit", "1h", COVALENT_CONFIG_DIR=str(tmp_path))
    settings = json.loads(done.stdout)
    assert settings.keys() == Settings.model_fields.keys()
    assert settings["time_limit"] == {"value": 3600, "origin": "command line"}
    assert settings["memory"] == {"value": 8.0, "origin": str(tmp_path / "covalent.conf")}
    assert settings["vcpu"]["origin"] == "default"
    assert "`vcpus`, which is no setting and is ignored. Did you mean `vcpu`?" in done.stderr


def test_sizes_and_times_have_units() -> None:
    settings = resolve(Given({"memory": "16GB", "max_memory": "32", "start_patience": "10m"}, "here"))
    assert settings.memory == pytest.approx(16e9 / 2**30)
    assert (settings.max_memory, settings.start_patience) == (32, 600)
    with pytest.raises(SettingError, match="write it like 16GiB"):
        resolve(Given({"memory": "16 apples"}, "here"))


async def test_clean_asks_on_a_terminal_and_deletes_nothing_in_a_pipe(world: World) -> None:
    electron = Electron(world, world.settings(keep_failed=True), divide, 1)
    await electron.send()
    await electron.end()
    before = world.sent().images
    in_pipe = await asyncio.to_thread(run, world, "clean", "--older-than", "0")
    assert "Nothing was deleted" in in_pipe.stdout
    denied = plain(await asyncio.to_thread(on_terminal, world, "clean", "--older-than", "0", keys="n\n"))
    assert "Delete these? [y/N]" in denied
    assert world.sent().images == before
    await asyncio.to_thread(on_terminal, world, "clean", "--older-than", "0", keys="y\n")
    assert world.sent().images < before
