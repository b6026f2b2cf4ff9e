# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Fixtures: both builders, in front of both registries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.images.builders import builder as builder_named
from covalent_awsbatch_plugin.images.builders.builder import Builder

from .world import Catalog, Site, debian_registry, local_site

engine = pytest.mark.engine


@pytest.fixture(scope="session")
def debian_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with debian_registry(tmp_path_factory.mktemp("docker-registry")) as host:
        yield host


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Site]:
    async with local_site(tmp_path) as site:
        yield site


@pytest.fixture(params=["local", pytest.param("debian", marks=engine)])
def site(request: pytest.FixtureRequest) -> Site:
    if request.param == "local":
        found: Site = request.getfixturevalue("local")
        return found
    return Site(request.getfixturevalue("debian_host"), Catalog())


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository's name that no other test uses: Debian's registry and the engine outlive a test."""
    plain = "".join(c if c.isalnum() else "-" for c in request.node.name.lower())
    return "-".join(filter(None, plain.split("-")))


@pytest.fixture(params=["registry", pytest.param("docker", marks=engine)])
async def builder(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> AsyncIterator[Builder]:
    async with builder_named(request.param, tmp_path) as opened:
        yield opened
    if request.param == "docker":
        remove_images(name)


def remove_images(name: str) -> None:
    """What a test left in the engine, which others use too."""
    import docker
    import docker.errors

    client = docker.from_env()
    try:
        for image in client.api.images():  # in one request: images of others may vanish meanwhile
            for tag in (image["RepoTags"] or []) + (image["RepoDigests"] or []):
                if name in tag:
                    with suppress(docker.errors.ImageNotFound):  # the last tag takes the digests with it
                        client.images.remove(tag, force=True)
    finally:
        client.close()
