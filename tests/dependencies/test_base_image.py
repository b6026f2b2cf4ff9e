# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Base images of all kinds, held against a task before anything is sent."""

from __future__ import annotations

import base64
import json
import logging
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.errors import ImageError, NotPicklable, PythonMismatch
from covalent_awsbatch_plugin.images.layer import Entry, Link, layer
from covalent_awsbatch_plugin.runner.protocol import archive
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.staged_group import StagedGroup
from tests.dependencies.index import Index
from tests.dependencies.test_base_facts import GLIBC_SAYS
from tests.images.world import base_of, put_base
from tests.tasks.small_world import World

MINOR = f"3.{sys.version_info.minor}"
PLATFORM = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[platform.machine()]


def linux(minor: str, glibc: bytes = b"2.36", **packages: str) -> dict[str, Entry]:
    files: dict[str, Entry] = {
        "usr/bin/python3": Link(f"python{minor}"),
        f"usr/bin/python{minor}": b"\x7fELF",
        "usr/lib/x86_64-linux-gnu/libc.so.6": GLIBC_SAYS.replace(b"2.36", glibc),
    }
    for name, version in packages.items():
        files[f"usr/lib/python3/dist-packages/{name}-{version}.dist-info/METADATA"] = b""
    return files


async def based(
    world: World, files: Mapping[str, Entry], tag: str, processor: str = PLATFORM, **changes: Any
) -> Settings:
    """Settings that name a base image of these files, whose config says nothing of Python."""
    layers = [layer(files)]
    settings = world.settings(**changes)
    async with connect(settings) as client:
        site = await client.services.resources(settings)
        name = await put_base(site.repository, base_of(layers, python=None, platform=processor), layers, tag)
    return world.settings(container_image_uri=name, **changes)


def _by_value() -> Callable[[], int]:
    """A function of a function is pickled by value, as a script's are: the container lacks this module."""

    def seven() -> int:
        return 7

    return seven


seven = _by_value()


async def test_a_base_that_does_not_tell_its_python_is_looked_into(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    settings = await based(world, linux(MINOR), "silent")
    with caplog.at_level(logging.INFO):
        assert await world.value(settings, seven) == 7
        await close_shared()  # as another process, which finds the answer on this machine
        assert await world.value(settings, seven) == 7
    assert caplog.text.count("Looking into") == 1 and "does not say which Python" not in caplog.text


async def test_another_python_is_refused_before_anything_is_sent(world: World) -> None:
    settings = await based(world, linux("3.10"), "older")
    before = world.sent()
    with pytest.raises(PythonMismatch, match=r"has Python 3\.10, and `seven` was pickled by Python 3"):
        await world.run(settings, seven)
    assert world.sent() == before


async def test_a_base_without_python_is_refused(world: World) -> None:
    with pytest.raises(ImageError, match="has no python3 on its PATH"):
        await world.run(await based(world, {"bin/sh": b""}, "none"), seven)


async def test_a_base_made_with_musl_is_refused(world: World) -> None:
    files: dict[str, Entry] = {**linux(MINOR), "lib/ld-musl-x86_64.so.1": b""}
    with pytest.raises(ImageError, match="made with musl") as raised:
        await world.run(await based(world, files, "musl"), seven)
    assert "python:3.11-slim" in raised.value.advice


async def test_an_image_for_another_processor_is_refused(world: World) -> None:
    other = {"linux/amd64": "linux/arm64", "linux/arm64": "linux/amd64"}[PLATFORM]
    settings = await based(world, linux(MINOR), "processor", other)
    with pytest.raises(ImageError, match=f"built for {other}, and the job needs {PLATFORM}"):
        await world.run(settings, seven)


@pytest.mark.parametrize(("glibc", "version"), [(b"2.36", "2.0"), (b"2.28", "1.0")])
async def test_wheels_are_chosen_for_the_c_library_of_the_base(
    world: World, index: Index, tmp_path: Path, glibc: bytes, version: str
) -> None:
    python, machine = f"cp3{sys.version_info.minor}", platform.machine()
    index.add("native", "1.0", tag=f"{python}-{python}-manylinux_2_28_{machine}")
    index.add("native", "2.0", tag=f"{python}-{python}-manylinux_2_34_{machine}")
    settings = await based(world, linux(MINOR, glibc), f"glibc-{version}", environment="native")

    def task() -> Any:
        import native  # type: ignore[import-not-found]

        return native.version

    assert await world.value(settings, task) == version


# ---- what the image has and what is here -----------------------------------------------------------------------------
def installed_here(folder: Path, name: str, version: str) -> str:
    about = folder / "site" / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (about / "top_level.txt").write_text(f"{name}\n")
    return str(folder / "site")


@pytest.mark.parametrize(("theirs", "warned"), [("1.9", True), ("2.1", False)])
async def test_a_library_of_another_major_version_in_the_image_is_told(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    theirs: str,
    warned: bool,
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, installed_here(tmp_path, "tiny", "2.0")])
    settings = await based(world, linux(MINOR, tiny=theirs), f"tiny-{theirs}")

    def task() -> str:
        try:
            import tiny  # type: ignore[import-not-found]

            return str(tiny)
        except ImportError:
            return "nothing runs in that image here"

    await world.value(settings, task)
    await world.value(settings, task)
    assert caplog.text.count(f"tiny is version {theirs} in the image") == (1 if warned else 0)


# ---- cloudpickle -----------------------------------------------------------------------------------------------------
def pickled_elsewhere(group: StagedGroup, version: str, changed: bytes = b"") -> StagedGroup:
    """The function as another version of cloudpickle might have written it, which calls a function so."""
    path = group.tasks[0].function
    with path.open("rb") as file:
        pickle = archive.pickled(file).read()
    was = b"_make_function"
    if changed:
        assert was in pickle and len(changed) == len(was)
        pickle = pickle.replace(was, changed)
    head = archive.header(path) | {"cloudpickle_version": version}
    written = json.dumps(head).encode()
    text_at = 16 + len(written)
    path.write_bytes(
        text_at.to_bytes(8, "big") + (text_at + 1).to_bytes(8, "big") + written + b"?" + base64.b64encode(pickle)
    )
    return group


async def test_a_function_that_our_cloudpickle_can_not_read_is_refused(world: World) -> None:
    group = pickled_elsewhere(world.stage(lambda: 7), "9.9", b"_shape_functio")
    before = world.sent()
    with pytest.raises(NotPicklable, match=r"by cloudpickle 9\.9, .* has no cloudpickle\.cloudpickle\._shape_functio"):
        await world.run_staged(world.settings(), group)
    assert world.sent() == before


async def test_another_cloudpickle_whose_pickles_can_be_read_is_no_obstacle(world: World) -> None:
    result = await world.run_staged(world.settings(), pickled_elsewhere(world.stage(lambda: 7), "9.9"))
    assert result.error is None


async def test_the_cloudpickle_that_reads_is_the_one_that_travels(world: World, index: Index) -> None:
    index.add("cloudpickle", "0.1", files={"cloudpickle/__init__.py": "raise ImportError('the wrong one')\n"})

    def task() -> str:
        import cloudpickle

        return str(cloudpickle.__version__)

    assert await world.value(world.settings(environment="cloudpickle"), task) == cloudpickle.__version__
