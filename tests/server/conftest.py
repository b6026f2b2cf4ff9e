# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One offline AWS and one Covalent server for each engine, for all tests of this folder that need no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import covalent as ct
import pytest

from tests.server.covalent_world import CovalentWorld, covalent_world

DOCKER = pytest.param("docker", marks=pytest.mark.engine)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.server)


class Worlds:
    """Opened when a test first asks, closed at the end of all."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._open = folder, dict[str, CovalentWorld]()
        self.closing = ExitStack()

    def on(self, engine: str) -> CovalentWorld:
        if engine not in self._open:
            self._open[engine] = self.closing.enter_context(covalent_world(engine, self._folder / engine))
        return self._open[engine]


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    opened = Worlds(tmp_path_factory.mktemp("covalent"))
    with opened.closing:
        yield opened


@pytest.fixture
def world(worlds: Worlds) -> CovalentWorld:
    """Where jobs are processes."""
    return worlds.on("process")


@pytest.fixture(params=["process", DOCKER])
def any_world(worlds: Worlds, request: pytest.FixtureRequest) -> CovalentWorld:
    """Where jobs are processes, and again where they are containers."""
    return worlds.on(request.param)


@pytest.fixture
def packing() -> Iterator[None]:
    """Covalent's client packs nodes that belong together into one task group."""
    ct.set_config("sdk.task_packing", "true")
    yield
    ct.set_config("sdk.task_packing", "false")
