# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One offline AWS for each engine, for all tests of this folder that need no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.local import LocalAWS
from covalent_awsbatch_plugin.local.base_image.files import closure
from tests.local.small_world import GRACE_S, SCRIPT, World, compose

DOCKER = pytest.param("docker", marks=pytest.mark.engine)


def worlds(engine: str, **options: float) -> Iterator[World]:
    aws = LocalAWS(engine=engine, slots=4, grace_s=GRACE_S, **options)
    asyncio.run(aws.__aenter__())
    yield World(aws)
    asyncio.run(aws.__aexit__(None, None, None))


def script(world: World, **config: str) -> str:
    """An image that does what its command says."""
    obstore = [file for each in closure(["obstore"]) for file in each.files or () if file.suffix in (".py", ".so")]
    files = {f"task/{file}": Path(str(file.locate())).read_bytes() for file in obstore}
    files["task/script.py"] = SCRIPT.read_bytes()
    return compose(
        world, files, Entrypoint=["python3", "-s", "/task/script.py"], Cmd=["say", "nothing to do"], **config
    )


@pytest.fixture(scope="session")
def opened() -> Iterator[Callable[..., World]]:
    """Opens each world once, when a test first asks for it; the order in which tests ask is open."""
    with ExitStack() as closing:

        @cache
        def one(engine: str, **options: float) -> World:
            each = worlds(engine, **options)
            closing.callback(next, each, None)
            return next(each)

        yield one


@pytest.fixture(scope="session", params=["process", DOCKER])
def world(request: pytest.FixtureRequest, opened: Callable[..., World]) -> World:
    return opened(request.param)


@pytest.fixture(scope="session")
def image(world: World) -> str:
    return script(world)


@pytest.fixture(scope="session")
def definition(world: World, image: str) -> str:
    return world.define(image)


@pytest.fixture(scope="session", params=["process", DOCKER])
def short(request: pytest.FixtureRequest, opened: Callable[..., World]) -> World:
    """A world where a minute lasts a second."""
    return opened(request.param, minute_s=1)


@pytest.fixture(scope="session")
def short_definition(short: World) -> str:
    return short.define(script(short))
