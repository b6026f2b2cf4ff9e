# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What only the builder with an engine does: local bases, and images that run at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest

from covalent_awsbatch_plugin.errors import ImageError, NotFound, StagingError
from covalent_awsbatch_plugin.images.builders import builder as builder_named
from covalent_awsbatch_plugin.images.builders.docker_builder import DockerBuilder
from covalent_awsbatch_plugin.images.builders.docker_engine import Engine, load_archive
from covalent_awsbatch_plugin.images.layer import Layer, layer, tar
from covalent_awsbatch_plugin.images.manifest import DOCKER, MAX_LAYERS, Image, compose
from covalent_awsbatch_plugin.images.registry.repository import Registry
from covalent_awsbatch_plugin.images.registry.transport import RegistryHttp
from covalent_awsbatch_plugin.runner.protocol.layout import ENTRYPOINT

from .conftest import remove_images
from .world import (
    AMD64,
    FAMILIES,
    HERE,
    LOGIN,
    Site,
    base_of,
    put_base,
    runner_layer,
    shell_layer,
    some_layers,
    task_layer,
)


@pytest.fixture
async def engine(tmp_path: Path, name: str) -> AsyncIterator[DockerBuilder]:
    async with DockerBuilder(cache_dir=tmp_path) as builder:
        yield builder
    remove_images(name)


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    try:
        yield client
    finally:
        client.close()


def run(client: docker.DockerClient, image: str) -> str:
    output: bytes = client.containers.run(image, remove=True, network_disabled=True)
    return output.decode()


def load_base(client: docker.DockerClient, image: Image, layers: list[Layer], tag: str) -> None:
    """Give the engine an image that no registry has, as `docker build` leaves one."""
    client.images.load(b"".join(tar(load_archive(image, layers, tag))))


SAID = f"/usr/local/bin/python3 {' '.join(ENTRYPOINT[1:])}\nhello\n"


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["registry", "docker"])
@pytest.mark.parametrize("family", FAMILIES)
async def test_a_pushed_image_is_run_by_a_real_engine(
    local: Site, name: str, client: docker.DockerClient, kind: str, family: object, tmp_path: Path
) -> None:
    base, into = local.repository(f"{name}/base"), local.repository(f"{name}/tasks")
    shell = shell_layer()
    await put_base(base, base_of([shell], family, platform=HERE), [shell])  # type: ignore[arg-type]
    try:
        async with builder_named(kind, tmp_path) as builder:
            found = await builder.resolve_base(f"{base.uri}:3.11", HERE, into)
            image = await builder.push(found, [runner_layer(), task_layer("hello")], into)
        login = {"username": LOGIN.username, "password": LOGIN.password}
        await asyncio.to_thread(client.api.pull, into.uri, image.digest, auth_config=login)
        assert await asyncio.to_thread(run, client, image.uri) == SAID
    finally:
        await asyncio.to_thread(remove_images, name)


@pytest.mark.engine
async def test_the_engine_has_the_image_by_our_digest_and_runs_it_at_once(
    engine: DockerBuilder, local: Site, name: str, client: docker.DockerClient
) -> None:
    into = local.repository(name)
    shell = shell_layer()
    base = await engine.resolve_base(await put_base(into, base_of([shell], platform=HERE), [shell]), HERE, into)
    layers = [task_layer("hello")]
    await engine.push(base, layers, into)
    config = compose(base.image, layers).manifest.config.digest
    assert client.images.get(config).id == config
    assert await asyncio.to_thread(run, client, config) == SAID


@pytest.mark.engine
async def test_a_base_that_only_the_engine_has_is_pushed_from_it(
    engine: DockerBuilder, local: Site, name: str, client: docker.DockerClient
) -> None:
    into, shell, mine = local.repository(f"{name}/tasks"), shell_layer(), f"{name}:dev"
    load_base(
        client, base_of([shell, *some_layers(2, name)], DOCKER, platform=HERE), [shell, *some_layers(2, name)], mine
    )
    base = await engine.resolve_base(mine, HERE, into)
    assert (base.python, base.origin) == ("3.11.7", None)
    image = await engine.push(base, [task_layer("hello")], into)
    login = {"username": LOGIN.username, "password": LOGIN.password}
    await asyncio.to_thread(client.api.pull, into.uri, image.digest, auth_config=login)
    assert await asyncio.to_thread(run, client, image.uri) == SAID


@pytest.mark.engine
async def test_a_local_base_has_the_same_digest_each_time(
    engine: DockerBuilder, local: Site, name: str, client: docker.DockerClient, tmp_path: Path
) -> None:
    into, mine = local.repository(f"{name}/tasks"), f"{name}:dev"
    load_base(client, base_of(some_layers(3, name), DOCKER), some_layers(3, name), mine)
    first = await engine.resolve_base(mine, AMD64, into)
    async with DockerBuilder(cache_dir=tmp_path) as another:
        assert (await another.resolve_base(mine, AMD64, into)).image == first.image
    assert [each.digest for each in first.image.manifest.layers] == [each.digest for each in some_layers(3, name)]


@pytest.mark.engine
async def test_what_the_engine_pulled_is_looked_up_in_its_registry(
    engine: DockerBuilder, local: Site, name: str, client: docker.DockerClient
) -> None:
    into, layers = local.repository(name), some_layers(1, name)
    base = base_of(layers)
    uri = await put_base(into, base, layers)
    login = {"username": LOGIN.username, "password": LOGIN.password}
    await asyncio.to_thread(client.api.pull, uri, auth_config=login)
    found = await engine.resolve_base(uri, AMD64, into)
    assert (found.image.digest, found.origin is not None) == (base.digest, True)


@pytest.mark.engine
async def test_an_image_that_left_its_registry_is_taken_from_the_engine(
    engine: DockerBuilder, local: Site, name: str, client: docker.DockerClient
) -> None:
    into, layers = local.repository(name), some_layers(1, name)
    uri = await put_base(into, base_of(layers), layers)
    login = {"username": LOGIN.username, "password": LOGIN.password}
    await asyncio.to_thread(client.api.pull, uri, auth_config=login)
    local.catalog.manifests.clear()
    assert (await engine.resolve_base(uri, AMD64, into)).origin is None
    with pytest.raises(NotFound):
        await engine.resolve_base(f"{into.uri}:other", AMD64, into)


@pytest.mark.engine
async def test_an_image_of_as_many_layers_as_we_allow_runs(
    engine: DockerBuilder, local: Site, name: str, client: docker.DockerClient
) -> None:
    into = local.repository(name)
    layers = [shell_layer(), *some_layers(MAX_LAYERS - 2, name)]
    base = await engine.resolve_base(await put_base(into, base_of(layers, platform=HERE), layers), HERE, into)
    tasks = [task_layer("hello")]
    await engine.push(base, tasks, into)
    config = compose(base.image, tasks).manifest.config.digest
    assert await asyncio.to_thread(run, client, config) == SAID


@pytest.mark.engine
async def test_an_engine_pushes_other_bytes_than_ours(
    engine: DockerBuilder, local: Site, name: str, client: docker.DockerClient
) -> None:
    """The reason of docs/decisions/0002; when this fails, the decision may be taken anew."""
    into, layers = local.repository(name), some_layers(1, name)
    base = await engine.resolve_base(await put_base(into, base_of(layers), layers), AMD64, into)
    image = await engine.push(base, [layer({"text": b"compressible " * 1000})], into)
    if "containerd" in json.dumps(client.info()["DriverStatus"]):
        return  # that image store keeps the compressed bytes it was given
    [tag] = [tag for tag in client.images.get(_id(into.uri, image.digest)).tags if ":task-" in tag]
    login = {"username": LOGIN.username, "password": LOGIN.password}
    elsewhere = f"{local.host}/{name}/elsewhere"
    client.api.tag(tag, elsewhere, "pushed")
    answer = await asyncio.to_thread(client.api.push, elsewhere, "pushed", auth_config=login)
    assert "error" not in answer
    async with RegistryHttp() as http:
        pushed = await Registry(http, local.host, f"{name}/elsewhere", LOGIN).manifest_digest("pushed")
    assert pushed != image.digest


def _id(uri: str, digest: str) -> str:
    return f"{uri}:task-{digest.removeprefix('sha256:')[:16]}"


@pytest.mark.engine
async def test_an_archive_of_a_base_the_engine_lacks_is_refused_in_its_words(name: str) -> None:
    base, tasks = base_of(some_layers(1, f"never loaded {name}")), [task_layer()]
    async with Engine() as engine:
        with pytest.raises(ImageError, match=f"could not load {name}:x"):
            await engine.load(compose(base, tasks), tasks, f"{name}:x")


async def test_without_an_engine_the_other_builder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(ImageError, match='(?s)The Docker engine does not answer.*`builder` = "registry"'):
        async with builder_named("docker", tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


async def test_a_cache_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StagingError, match="nowhere can't be written to"):
        async with builder_named("docker", tmp_path / "nowhere"):
            pass
