# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What every builder does, with every registry: the one suite both must pass."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.errors import ImageError, NotAuthenticated, NotFound, SettingError
from covalent_awsbatch_plugin.images.builders import builder as builder_named
from covalent_awsbatch_plugin.images.builders.builder import Builder, Login, PushedImage, Repository
from covalent_awsbatch_plugin.images.builders.registry_builder import tag_of
from covalent_awsbatch_plugin.images.layer import Layer, digest_of, layer
from covalent_awsbatch_plugin.images.manifest import OCI, Family
from covalent_awsbatch_plugin.images.registry.repository import Registry
from covalent_awsbatch_plugin.images.registry.transport import RegistryHttp

from .conftest import remove_images
from .world import AMD64, FAMILIES, Site, base_of, put_base, put_index, runner_layer, some_layers, task_layer


async def based(into: Repository, number: int = 2, family: Family = OCI, python: str | None = "3.11.7") -> str:
    """A base image of small layers in a repository; they are this repository's own, as the engine keeps what it saw."""
    layers = some_layers(number, into.name)
    return await put_base(into, base_of(layers, family, python), layers)


async def built(builder: Builder, base: str, layers: list[Layer], into: Repository) -> PushedImage:
    return await builder.push(await builder.resolve_base(base, AMD64, into), layers, into)


async def manifest_of(image: PushedImage, into: Repository) -> dict[str, object]:
    async with RegistryHttp() as http:
        body, media_type = await Registry(http, into.host, into.name, into.login).manifest(image.digest)
    manifest = json.loads(body)
    assert digest_of(body) == image.digest
    assert manifest["mediaType"] == media_type
    assert isinstance(manifest, dict)
    return manifest


@pytest.mark.parametrize("family", FAMILIES)
async def test_an_image_is_its_base_with_our_layers_on_top(
    builder: Builder, site: Site, name: str, family: Family
) -> None:
    base, into = site.repository(f"{name}/base"), site.repository(f"{name}/tasks")
    image = await built(builder, await based(base, family=family), [runner_layer(), task_layer()], into)
    manifest = await manifest_of(image, into)
    assert image.uri == f"{into.host}/{into.name}@{image.digest}"
    assert image.python == "3.11.7"
    assert manifest["mediaType"] == family.manifest
    expected = [*some_layers(2, base.name), runner_layer(), task_layer()]
    assert [each["digest"] for each in manifest["layers"]] == [each.digest for each in expected]  # type: ignore[attr-defined]


async def test_the_base_is_mirrored_under_a_tag_of_its_own_and_the_task_under_another(
    builder: Builder, site: Site, name: str
) -> None:
    into = site.repository(f"{name}/tasks")
    base = await builder.resolve_base(await based(site.repository(f"{name}/base")), AMD64, into)
    image = await builder.push(base, [task_layer()], into)
    async with RegistryHttp() as http:
        registry = Registry(http, into.host, into.name, into.login)
        assert await registry.manifest_digest(tag_of("base", base.image.digest)) == base.image.digest
        assert await registry.manifest_digest(tag_of("task", image.digest)) == image.digest


async def test_a_hundred_runs_give_one_digest_and_send_it_once(builder: Builder, site: Site, name: str) -> None:
    into = site.repository(name)
    base = await based(into)
    images = [await built(builder, base, [runner_layer(), task_layer()], into) for _ in range(100)]
    assert {image.digest for image in images} == {images[0].digest}
    assert [image.bytes_pushed for image in images[1:]] == [0] * 99
    assert {image.requests for image in images[1:]} == {1}


@pytest.mark.engine
async def test_both_builders_give_the_same_digest(site: Site, name: str, tmp_path: Path) -> None:
    digests = set()
    base = await based(site.repository(f"{name}/base"))
    try:
        for kind in ("registry", "docker"):
            async with builder_named(kind, tmp_path) as builder:
                image = await built(builder, base, [runner_layer(), task_layer()], site.repository(f"{name}/{kind}"))
                digests.add(image.digest)
    finally:
        await asyncio.to_thread(remove_images, name)
    assert len(digests) == 1


async def test_twenty_tasks_at_once_send_the_base_and_the_runner_once(builder: Builder, local: Site, name: str) -> None:
    base, into = local.repository(f"{name}/base"), local.repository(f"{name}/tasks")
    local.registry.mounting = False  # type: ignore[union-attr]
    image = await based(base)
    del local.log[:]
    tasks = [[runner_layer(), task_layer(f"task {number}")] for number in range(20)]
    images = await asyncio.gather(*(built(builder, image, layers, into) for layers in tasks))
    assert len({image.digest for image in images}) == 20
    # Two layers and the config of the base, the runner; and of each task a layer and a config.
    assert len(local.uploads()) == 2 + 1 + 1 + 20 * 2
    assert sum(f"/manifests/{tag_of('base', '')[:5]}" in line for line in local.log) == 1


async def test_twenty_same_tasks_at_once_are_one_image(builder: Builder, site: Site, name: str) -> None:
    into = site.repository(name)
    base = await based(into)
    images = await asyncio.gather(*(built(builder, base, [runner_layer(), task_layer()], into) for _ in range(20)))
    assert len({image.uri for image in images}) == 1


async def test_a_base_in_the_same_registry_is_mounted_and_not_sent(builder: Builder, local: Site, name: str) -> None:
    base, into = local.repository(f"{name}/base"), local.repository(f"{name}/tasks")
    image = await based(base)
    del local.log[:]
    await built(builder, image, [task_layer()], into)
    assert len(local.uploads()) == 2  # our layer and our config
    assert sum("mount=" in line for line in local.log) == 3


async def test_a_base_in_the_same_repository_costs_nothing(builder: Builder, local: Site, name: str) -> None:
    into = local.repository(name)
    base = await builder.resolve_base(await based(into), AMD64, into)
    image = await builder.push(base, [task_layer()], into)
    assert image.requests == 1 + 2 * 2 + 1  # HEAD; layer and config, POST and PUT each; PUT manifest
    assert image.bytes_pushed < 6000


async def test_an_index_is_resolved_to_the_platform(builder: Builder, site: Site, name: str) -> None:
    into = site.repository(name)
    images = {}
    for platform in (AMD64, "linux/arm64/v8"):
        layers = some_layers(1, platform + name)
        images[platform] = base_of(layers, platform=platform)
        await put_base(into, images[platform], layers, tag=platform.replace("/", "-"))
    index = await put_index(into, images, "both")
    assert (await builder.resolve_base(index, AMD64, into)).image.digest == images[AMD64].digest
    with pytest.raises(ImageError, match=r"not available for linux/riscv64, only for linux/amd64, linux/arm64\."):
        await builder.resolve_base(index, "linux/riscv64", into)


async def test_an_image_of_another_platform_is_refused(builder: Builder, site: Site, name: str) -> None:
    into = site.repository(name)
    with pytest.raises(ImageError, match="built for linux/amd64, and the job needs linux/arm64"):
        await builder.resolve_base(await based(into), "linux/arm64", into)


async def test_a_base_that_is_nowhere_is_named(builder: Builder, site: Site, name: str) -> None:
    into = site.repository(name)
    await based(into)
    with pytest.raises(NotFound, match=f"The image {into.uri}:3.99 does not exist"):
        await builder.resolve_base(f"{into.uri}:3.99", AMD64, into)


async def test_a_malformed_base_is_refused_before_anybody_is_asked(builder: Builder, local: Site) -> None:
    with pytest.raises(SettingError, match="Python:3"):
        await builder.resolve_base("Python:3", AMD64, local.repository())
    assert local.log == []


async def test_a_wrong_login_is_told(builder: Builder, site: Site, name: str) -> None:
    into = site.repository(name)
    base = await based(into)
    stranger = site.repository(name, Login("AWS", "guessed"))
    with pytest.raises(NotAuthenticated, match="did not accept the login"):
        await builder.resolve_base(base, AMD64, stranger)
    with pytest.raises(NotAuthenticated, match="did not accept the login"):
        await builder.push(await builder.resolve_base(base, AMD64, into), [task_layer()], stranger)


async def test_a_repository_that_does_not_exist_is_named(builder: Builder, local: Site, name: str) -> None:
    base = await builder.resolve_base(await based(local.repository(name)), AMD64, local.repository(name))
    local.catalog.missing = {"nowhere"}
    with pytest.raises(NotFound, match=f"The repository {local.host}/nowhere does not exist"):
        await builder.push(base, [task_layer()], local.repository("nowhere"))


async def test_immutable_tags_are_no_obstacle(builder: Builder, local: Site, name: str) -> None:
    local.catalog.immutable = True
    base, into = await based(local.repository(f"{name}/base")), local.repository(f"{name}/tasks")
    images = await asyncio.gather(*(built(builder, base, [task_layer()], into) for _ in range(5)))
    assert len({image.digest for image in images}) == 1


async def test_what_was_deleted_meanwhile_is_sent_again(builder: Builder, local: Site, name: str) -> None:
    base, into = await based(local.repository(f"{name}/base")), local.repository(f"{name}/tasks")
    await built(builder, base, [runner_layer(), task_layer("one")], into)
    blobs = local.catalog.blobs(into.name)
    assert blobs is not None
    blobs.clear()
    local.catalog.manifests[into.name].clear()
    image = await built(builder, base, [runner_layer(), task_layer("two")], into)
    assert (await manifest_of(image, into))["schemaVersion"] == 2


async def test_a_layer_of_100_mb(builder: Builder, site: Site, name: str) -> None:
    into = site.repository(name)
    big = layer({"covalent/objects/big": os.urandom(100_000_000)})
    image = await built(builder, await based(into), [big], into)
    assert image.bytes_pushed > big.size > 100_000_000
    async with RegistryHttp() as http:
        assert await Registry(http, into.host, into.name, into.login).has_blob(big.digest)


async def test_a_base_of_125_layers_is_refused_before_anything_is_sent(
    builder: Builder, local: Site, name: str
) -> None:
    base, into = local.repository(f"{name}/base"), local.repository(f"{name}/tasks")
    image = await based(base, number=125)
    del local.log[:]
    with pytest.raises(ImageError, match="has 125 layers; with 2 more it exceeds 125"):
        await built(builder, image, [runner_layer(), task_layer()], into)
    assert local.uploads() == []


async def test_a_base_that_does_not_tell_its_python(builder: Builder, site: Site, name: str) -> None:
    into = site.repository(name)
    base = await builder.resolve_base(await based(into, python=None), AMD64, into)
    assert base.python is None
