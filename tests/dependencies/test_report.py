# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`covalent-awsbatch env`: what is in an environment, what is kept of it, what a push would send."""

from __future__ import annotations

import asyncio
import sys
from importlib import metadata
from pathlib import Path

from click.testing import CliRunner, Result

from covalent_awsbatch_plugin.cli import main
from tests.dependencies.index import Index, write_package
from tests.dependencies.test_base_image import based, linux
from tests.dependencies.test_whole_way import script
from tests.tasks.small_world import World


def env(*words: str) -> Result:
    told = CliRunner().invoke(main, ["env", *words], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told


def test_show_tells_what_is_kept_and_build_makes_it(index: Index, tmp_path: Path) -> None:
    index.add("big", fat=3 << 20)
    project = write_package(tmp_path / "project", "mine", ["big"])
    (project / "mine" / ".env").write_text("hunter2")
    words = ("--environment", f"{project}/")

    before = env("show", *words).output
    assert "big 1.0" in before and "to be fetched" in before and f"own package {project}" in before

    built = env("build", *words)
    assert "big 1.0" in built.stdout and "own code" in built.stdout and "sha256:" in built.stdout
    for line in ("Fetching 1 of 1 packages", "Packed big 1.0", "Ready after"):
        assert line in built.stderr

    assert "3.0 MiB, kept" in env("show", *words).output
    assert "big 1.0" in env("explain", *words).output and "not installed here" in env("explain", *words).output


def test_auto_shows_what_the_electrons_of_a_script_get(index: Index, tmp_path: Path) -> None:
    version = metadata.version("networkx")
    index.add("networkx", version)
    path = tmp_path / "flow.py"
    head = "import covalent as ct\nimport networkx as nx\nimport requests\nimport beside\n"
    path.write_text(f"{head}@ct.electron\ndef task(): return nx, beside\nprint(requests, ct)\n")
    (tmp_path / "beside.py").write_text("")
    told = env("show", "--environment", "auto", str(path)).output
    assert f"networkx {version}" in told and "own module beside.py" in told
    assert "requests" not in told and "covalent==" not in told
    path.write_text(f"{head}@ct.electron\ndef task(): return ct\n")
    assert (
        f"covalent=={metadata.version('covalent')} as a layer of its own"
        in env("explain", "--environment", "auto", str(path)).output
    )


def test_auto_without_a_script_shows_no_environment_that_no_task_gets(index: Index) -> None:
    told = CliRunner().invoke(main, ["env", "show", "--environment", "auto"])
    assert told.exit_code != 0 and "no script of a task was named" in told.output


async def test_a_push_sends_what_the_repository_lacks_and_no_blob_twice(
    world: World, index: Index, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        index.add(name, fat=3 << 20)
    given = [
        word for name, value in world.aws.section().items() for word in (f"--{name.replace('_', '-')}", f"{value}")
    ]

    def would_send(environment: str) -> str:
        return env("build", "--check", "--environment", environment, *given).stdout.splitlines()[-1]

    assert (await asyncio.to_thread(would_send, "one")).startswith("A push would send 3.0 MiB: one 1.0")
    task = script(tmp_path, "def task(): pass\n")
    await world.value(world.settings(environment="one"), task)
    assert await asyncio.to_thread(would_send, "one") == "All of it is in the repository."
    assert (await asyncio.to_thread(would_send, "one, two")).startswith("A push would send 3.0 MiB: two 1.0")


async def test_the_command_makes_what_the_last_seen_base_needs(world: World, index: Index, tmp_path: Path) -> None:
    index.add("one")
    minor = f"3.{sys.version_info.minor}"
    settings = await based(world, linux(minor, b"2.31"), "seen", environment="one")
    words = ("--environment", "one", "--container-image-uri", settings.container_image_uri)
    assert "glibc 2.28" in env("show", *words).output  # nobody has looked yet
    await world.value(settings, script(tmp_path, "def task(): pass\n"))
    index.asked.clear()
    assert "glibc 2.31" in env("show", *words).output and index.asked == []
