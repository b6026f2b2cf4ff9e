# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A task's packages and modules on their whole way: resolved, pushed, and imported in the job."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.errors import Cancelled, EnvironmentFailed
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.dependency_layers import references
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.staged_group import StagedGroup, without_pip
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.dependencies.index import Index
from tests.tasks.small_world import World


def script(folder: Path, source: str) -> Callable[..., Any]:
    """The function `task` of a script in that folder, as a script's functions are: pickled by value."""
    path = folder / "script.py"
    path.write_text(source)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, str(path), "exec"), names)
    found: Callable[..., Any] = names["task"]
    return found


USE = """
def task():
    import subprocess, sys
    import tiny
    shown = subprocess.run([sys.executable, "-c", "import tiny; print(tiny.version)"], capture_output=True, text=True)
    ran = subprocess.run(["tiny"], capture_output=True, text=True)
    return tiny.version, shown.stdout.strip(), ran.stdout.strip()
"""


async def test_a_package_is_imported_by_the_task_and_its_children(world: World, index: Index, tmp_path: Path) -> None:
    main = "version = '1.0'\ndef main(): print('ran')\n"
    index.add("tiny", files={"tiny/__init__.py": main}, entry_points="[console_scripts]\ntiny = tiny:main\n")

    value = await world.value(world.settings(environment="tiny"), script(tmp_path, USE))

    assert value == ("1.0", "1.0", "ran")
    assert importlib.util.find_spec("tiny") is None


async def test_a_package_of_the_image_is_overruled_and_the_library_is_not(
    world: World, index: Index, tmp_path: Path
) -> None:
    index.add("six", "99.0", files={"json.py": "stolen = True\n"})
    task = script(tmp_path, "def task():\n import six, json\n return six.version, hasattr(json, 'stolen')\n")
    assert await world.value(world.settings(environment="six"), task) == ("99.0", False)


async def test_the_second_dispatch_sends_the_task_alone(world: World, index: Index, tmp_path: Path) -> None:
    index.add("tiny", fat=3 << 20)
    settings = world.settings(environment="tiny")
    task = script(tmp_path, "def task(x):\n import tiny\n return tiny.version, x\n")
    assert await world.value(settings, task, 1) == ("1.0", 1)
    index.asked.clear()
    assert await world.value(settings, task, 2) == ("1.0", 2)
    assert index.asked == []


async def test_auto_finds_packages_and_modules_beside_the_script(
    world: World, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("tiny", "1.0")
    index.add("tiny", "2.0")
    installed = tmp_path / "site"
    about = installed / "tiny-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (about / "top_level.txt").write_text("tiny\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed)])
    beside = tmp_path / "project"
    (beside / "package").mkdir(parents=True)
    (beside / "module.py").write_text("import package\ndef double(x):\n    return package.factor * x\n")
    (beside / "package" / "__init__.py").write_text("import tiny\nfactor = 2\n")
    (beside / "unrelated.py").write_text("import nothing\n")
    task = script(beside, "def task(x):\n import module, tiny\n return module.double(x), tiny.version\n")

    with caplog.at_level(logging.INFO):
        value = await world.value(world.settings(environment="auto"), task, 21)

    assert value == (42, "1.0")
    assert "auto: packages tiny==1.0; own modules module.py, package; local packages none." in caplog.text


async def test_auto_says_what_it_can_not_find(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = script(tmp_path, "def task():\n try:\n  import nowhere\n except ImportError as e:\n  return str(e)\n")
    assert await world.value(world.settings(environment="auto"), task) == "No module named 'nowhere'"
    assert "auto: nowhere can be found neither" in caplog.text


async def test_an_environment_that_can_not_be_made_submits_nothing(world: World, tmp_path: Path) -> None:
    before = world.sent()
    with pytest.raises(EnvironmentFailed, match="nowhere-at-all"):
        await world.run(world.settings(environment="nowhere-at-all"), script(tmp_path, "def task(): pass\n"))
    assert world.sent() == before


# ---- DepsPip ---------------------------------------------------------------------------------------------------------
def with_pip(group: StagedGroup, **attributes: Any) -> StagedGroup:
    group.tasks[0].hooks.write_text(json.dumps({"deps": {"pip": {"attributes": attributes}}}))
    return group


async def test_what_deps_pip_names_is_baked(world: World, index: Index, tmp_path: Path) -> None:
    index.add("tiny")
    group = world.stage(script(tmp_path, "def task():\n import tiny\n return tiny.__file__\n"))
    result = await world.run_staged(world.settings(), with_pip(group, packages=["tiny==1.0"]))
    assert result.error is None and "/covalent/env/tiny/" in value_of(result)


async def test_a_setting_has_pip_install_it_at_the_start_as_ever(world: World, index: Index, tmp_path: Path) -> None:
    index.add("tiny")
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    wheel.write_bytes(index.files[wheel.name])
    group = world.stage(script(tmp_path, "def task():\n import tiny\n return tiny.__file__\n"))
    group = with_pip(group, packages=[f"tiny@{wheel.as_uri()}"])
    result = await world.run_staged(world.settings(bake_deps_pip=False), group)
    assert result.error is None and "/covalent/env/" not in value_of(result) and index.asked == []


def test_what_pip_alone_understands_stays_with_pip(world: World, tmp_path: Path) -> None:
    group = with_pip(world.stage(script(tmp_path, "def task(): pass\n")), packages=["--no-deps", "tiny"])
    assert without_pip(group) == (group, [])


def test_deps_pip_is_read_as_pip_would(world: World, tmp_path: Path) -> None:
    group = world.stage(script(tmp_path, "def task(): pass\n"))
    stripped, wanted = without_pip(with_pip(group, packages=["one two", "three >= 3", "four==4"]))
    assert wanted == ["one", "two", "three >= 3", "four==4"]
    assert json.loads(stripped.tasks[0].hooks.read_bytes()) == {"deps": {}}
    assert without_pip(with_pip(group, requirements_content="one  # why\n# no\ntwo\n"))[1] == ["one", "two"]


def test_arguments_are_looked_at_too(world: World, tmp_path: Path) -> None:
    from fractions import Fraction

    import networkx

    group = world.stage(script(tmp_path, "def task(x): pass\n"), [Fraction(1), networkx.Graph()])
    assert references(group).modules == {"networkx"}


# ---- what takes long -------------------------------------------------------------------------------------------------
async def test_cancelling_a_task_ends_the_download_it_waits_for(world: World, index: Index, tmp_path: Path) -> None:
    index.add("tiny", fat=3 << 20)
    index.keeps_back = True
    group = world.stage(script(tmp_path, "def task(): pass\n"))
    waiting = Task.of(group)
    before = world.sent()
    async with connect(world.settings(environment="tiny")) as client:
        sending = asyncio.ensure_future(client.submit(world.settings(environment="tiny"), waiting))
        await asyncio.to_thread(index.stalled.wait, 60)
        assert commands_of(index)
        waiting.cancel()
        with pytest.raises(Cancelled):
            await asyncio.wait_for(sending, 30)
    async with asyncio.timeout(30):
        while commands_of(index):  # killed, and about to be buried
            await asyncio.sleep(0.01)
    assert world.sent() == before


async def test_environments_being_built_hold_up_no_other_task(world: World, index: Index, tmp_path: Path) -> None:
    names = ("one", "two", "three", "four", "ready")
    for name in names:
        index.add(name, fat=3 << 20)
    task = script(tmp_path, "def task(): return 1\n")
    assert await world.value(world.settings(environment="ready"), task) == 1
    index.asked.clear()
    index.keeps_back = True
    building = [asyncio.ensure_future(world.value(world.settings(environment=name), task)) for name in names[:4]]
    async with asyncio.timeout(60):
        while len(index.downloads) < 4:
            await asyncio.sleep(0.01)
    for environment in ("", "ready"):
        assert await world.value(world.settings(environment=environment), task) == 1
    assert not any(each.done() for each in building)  # they still wait for the index
    index.goes_on.set()
    assert await asyncio.gather(*building) == [1, 1, 1, 1]


def commands_of(index: Index) -> list[str]:
    """What runs now and was told of this index. Of a killed process nothing can be read."""
    found = []
    for told in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if told.parent.name != str(os.getpid()) and index.url().encode() in told.read_bytes():
                found.append(told.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


async def test_what_is_fetched_and_how_big_it_is_is_told(
    world: World, index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index.add("tiny", fat=5 << 20)
    task = script(tmp_path, "def task():\n import tiny\n return tiny.version\n")
    with caplog.at_level(logging.INFO):
        assert await world.value(world.settings(environment="tiny"), task) == "1.0"
    told = caplog.text
    assert "Fetching 1 of 1 packages" in told and "uv: Downloading tiny (5.0MiB)" in told
    assert "Sending tiny 1.0, 5.0 MiB, to " in told
    assert "Packed tiny 1.0, 5.0 MiB (1 of 1)." in told
