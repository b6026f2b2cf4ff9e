# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A server that runs for weeks: what a generation of tasks leaves in memory is what the one before it left."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sized
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.images.builders import registry_builder
from covalent_awsbatch_plugin.jobs import api
from covalent_awsbatch_plugin.settings import Settings
from covalent_awsbatch_plugin.tasks import cleanup
from covalent_awsbatch_plugin.tasks.client import Client, connect
from tests.tasks.electron import together
from tests.tasks.small_world import World
from tests.tasks.tasks import double

PACKAGE = "covalent_awsbatch_plugin"
GENERATIONS, TASKS = 5, 24


def is_ours(value: object) -> bool:
    return type(value).__module__.startswith(PACKAGE)


def containers(name: str, value: object, seen: set[int]) -> Iterator[tuple[str, int]]:
    """Yield the lengths of all containers of this package's objects that can be reached from an object."""
    if id(value) in seen or isinstance(value, (str, bytes, bytearray, Path)):
        return
    seen.add(id(value))
    if is_ours(value):
        for slot, each in getattr(value, "__dict__", {}).items():
            yield from containers(f"{name}.{slot}", each, seen)
    elif isinstance(value, (dict, set, list, tuple)):
        yield name, len(value)
        for each in list(value.values() if isinstance(value, Mapping) else value):
            yield from containers(f"{name}[]", each, seen)
    elif isinstance(value, Sized) and not isinstance(value, type):
        yield name, len(value)


def of_modules() -> Iterator[tuple[str, int]]:
    """Yield the lengths of the containers and caches of the package's modules."""
    for name, module in list(sys.modules.items()):
        if not name.startswith(PACKAGE):
            continue
        for slot, value in list(vars(module).items()):
            if isinstance(value, (dict, set, list)) and not slot.startswith("__"):
                yield f"{name}.{slot}", len(value)
            elif hasattr(value, "cache_info") and value.cache_info().maxsize is None:
                yield f"{name}.{slot}()", value.cache_info().currsize


def lengths(client: Client) -> dict[str, int]:
    """Return the sums of the lengths, by the place of the container."""
    sums: dict[str, int] = {}
    for name, length in (*containers("client", client, set()), *of_modules()):
        sums[name] = sums.get(name, 0) + length
    return {name: length for name, length in sums.items() if length}


async def generation(world: World, number: int, settings: Settings) -> None:
    """Tasks of a kind of their own, with big arguments of their own."""
    arguments = [os.urandom(100_000) for _ in range(TASKS)]
    electrons = await together(world, settings, [(double, each) for each in arguments])
    results = await asyncio.gather(*(each.end() for each in electrons))
    assert [each.error for each in results] == [None] * TASKS


@pytest.mark.parametrize("payload", ["image", "s3"])
async def test_generations_of_tasks_leave_no_more_than_the_one_before(
    world: World, monkeypatch: pytest.MonkeyPatch, payload: str
) -> None:
    monkeypatch.setattr(cleanup, "REST_SECONDS", 0.1)
    monkeypatch.setattr(registry_builder, "REMEMBERED_BLOBS", 3)  # instead of ten thousand
    monkeypatch.setattr(api, "REMEMBERED_DEFINITIONS", 2)
    found: list[dict[str, int]] = []
    async with connect(world.settings()) as client:
        for number in range(GENERATIONS):
            settings = world.settings(payload=payload, time_limit=900 + number, tasks_per_job=4, parallel_tasks=4)
            await generation(world, number, settings)
            sweeping: Any = client.cleanup._sweeping
            await asyncio.gather(sweeping)
            found.append(lengths(client))
    grown = {name: [each.get(name, 0) for each in found[2:]] for name in found[-1]}
    assert {name: sizes for name, sizes in grown.items() if sizes[0] < sizes[1] < sizes[2]} == {}
