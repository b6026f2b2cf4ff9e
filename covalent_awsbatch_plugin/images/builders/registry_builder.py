# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Build images without an engine: add layers to a base over the registry's API, and send only missing ones."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from ...core.concurrency import Once, together
from ...core.outage import PATIENCE_SECONDS
from ...errors import NotFound
from ..layer import Blob, Layer
from ..manifest import INDEXES, Descriptor, Image, check_platform, compose, read_image, read_manifest, select_platform
from ..reference import Reference, parse, shares_login
from ..registry.docker_config import docker_login
from ..registry.errors import MissingBlobs
from ..registry.repository import Registry
from ..registry.transport import RegistryHttp
from .builder import Base, Login, PushedImage, Repository, file_blob

log = logging.getLogger(__name__)

TAG_FRESH_S = 300.0  # time for which a tag of a base image is assumed to name the same digest
ASK_FIRST_BYTES = 64 * 1024  # a smaller blob is sent without a HEAD, which saves a round trip
REMEMBERED_BLOBS = 10_000  # each job may have a layer of its own
LOGGED_BYTES = 4 * 1024 * 1024  # a bigger blob takes a while, so it is logged
STREAMS_AT_ONCE = 8
OF_TASKS, OF_ENVIRONMENT, OF_BASE = "task", "environment", "base"  # prefixes of tags


class RegistryBuilder:
    """A builder for one event loop; tasks that need the same layer at once share one upload.

    `logins` are for base images in private registries, by host; the target's login is in `Repository`, and is used for
    all ECR registries. Without a login for a host, Docker's is looked for.
    """

    def __init__(
        self,
        *,
        logins: Mapping[str, Login] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
        ca_bundle: str = "",
        outage_patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._logins: dict[str, Login | None] = dict(logins or {})
        self._clock = clock
        self._http = RegistryHttp(sleep=sleep, jitter=jitter, ca_bundle=ca_bundle, outage_patience=outage_patience)
        self._tags: dict[Reference, tuple[float, str]] = {}
        self._images: dict[Hashable, Base] = {}
        self._there: set[tuple[str, str, str]] = set()  # host, repository and digest of blobs known to exist
        self._digest_once: Once[str] = Once()
        self._image_once: Once[Base] = Once()
        self._send_once: Once[None] = Once()
        self._streams = asyncio.Semaphore(STREAMS_AT_ONCE)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.__aexit__(*error)

    # ---- the base ---------------------------------------------------------------------------------------------------
    async def resolve_base(self, image: str, platform: str, into: Repository) -> Base:
        """See `Builder.resolve_base`. A tag is resolved again after `TAG_FRESH_S`; a digest is read once."""
        reference = parse(image)
        if not shares_login(reference.registry, into.host) and not self._logins.get(reference.registry):
            self._logins[reference.registry] = await docker_login(reference.registry)
        login = self.login(reference.registry, into)
        registry = Registry(self._http, reference.registry, reference.repository, login)
        exact = reference.at(reference.digest or await self._digest(registry, reference))
        key = (exact, platform)
        if key not in self._images:
            self._images[key] = await self._image_once(key, lambda: _read(registry, exact, platform))
        return replace(self._images[key], name=image)

    def login(self, host: str, into: Repository) -> Login | None:
        """Return the login for the registry of a base."""
        return into.login if shares_login(host, into.host) else self._logins.get(host)

    async def _digest(self, registry: Registry, reference: Reference) -> str:
        known_at, digest = self._tags.get(reference, (-TAG_FRESH_S, ""))
        if self._clock() - known_at < TAG_FRESH_S and digest:
            return digest
        digest = await self._digest_once(reference, lambda: _digest_of_tag(registry, reference))
        self._tags[reference] = self._clock(), digest
        return digest

    # ---- the push ---------------------------------------------------------------------------------------------------
    async def missing(self, layers: Sequence[Layer], into: Repository) -> list[Layer]:
        """See `Builder.missing`."""
        registry = Registry(self._http, into.host, into.name, into.login)
        there = await together(*(registry.has_blob(layer.digest) for layer in layers))
        return [layer for layer, exists in zip(layers, there, strict=True) if not exists]

    async def push(self, base: Base, layers: Sequence[Layer], into: Repository, kind: str = OF_TASKS) -> PushedImage:
        """See `Builder.push`. An image that exists costs one request."""
        image = compose(base.image, layers)
        registry = Registry(self._http, into.host, into.name, into.login)
        if await registry.manifest_digest(image.digest) is None:
            try:
                await self._send(base, image, layers, registry, kind)
            except MissingBlobs:  # a blob that existed was deleted, for example by a lifecycle rule
                self._forget(registry)
                await self._send(base, image, layers, registry, kind)
        tally = registry.tally
        return PushedImage(f"{into.uri}@{image.digest}", image.digest, tally.bytes_pushed, tally.requests, image.python)

    def layers_of(self, base: Base, into: Repository) -> list[Blob]:
        """See `Builder.layers_of`."""
        source = self._source(base, Registry(self._http, into.host, into.name, into.login))
        return [source(layer) for layer in base.image.manifest.layers]

    async def _send(self, base: Base, image: Image, layers: Sequence[Layer], to: Registry, kind: str) -> None:
        """Send all blobs of the manifest at once, then the manifest.

        The manifest gets a tag, because lifecycle rules often delete untagged images.
        """
        blobs = [(Blob.of(layer.data, layer.digest), layer.comment) for layer in layers]
        config = self._give(Blob.of(image.config), to)
        await together(
            self._mirror(base, to), config, *(self._give(blob, to, caption=caption) for blob, caption in blobs)
        )
        await to.put_manifest(image.manifest, tag_of(kind, image.digest))

    async def _mirror(self, base: Base, to: Registry) -> None:
        """Make sure that the repository has the base, once for all tasks."""
        if base.origin is None or (base.origin.registry, base.origin.repository) != (to.host, to.repository):
            await self._once_there(to, base.image.digest, lambda: self._mirror_now(base, to))

    async def _mirror_now(self, base: Base, to: Registry) -> None:
        if await to.manifest_digest(base.image.digest) is not None:
            return
        source = self._source(base, to)
        mount_from = base.origin.repository if base.origin and base.origin.registry == to.host else None
        layers = {layer.digest: layer for layer in base.image.manifest.layers}.values()
        blobs = [Blob.of(base.image.config), *map(source, layers)]
        await together(*(self._give(blob, to, mount_from) for blob in blobs))
        await to.put_manifest(base.image.manifest, tag_of(OF_BASE, base.image.digest))

    def _source(self, base: Base, to: Registry) -> Callable[[Descriptor], Blob]:
        """Return a function that opens a layer of the base: a file, or a stream from its registry."""
        if base.origin is None:
            return lambda layer: file_blob(layer, base.files[layer.digest])
        login = self.login(base.origin.registry, Repository(to.host, to.repository, to.login))
        return Registry(self._http, base.origin.registry, base.origin.repository, login, to.tally).blob

    async def _give(
        self, blob: Blob, to: Registry, mount_from: str | None = None, caption: str = "a layer of the base image"
    ) -> None:
        async def give() -> None:
            if blob.size >= ASK_FIRST_BYTES and await to.has_blob(blob.digest):
                return
            async with self._streams:
                if blob.size >= LOGGED_BYTES:
                    log.info("Sending %s, %.1f MiB, to %s/%s.", caption, blob.size / 2**20, to.host, to.repository)
                await to.upload(blob, mount_from)

        await self._once_there(to, blob.digest, give, remember=blob.size >= ASK_FIRST_BYTES)

    async def _once_there(
        self, to: Registry, digest: str, work: Callable[[], Coroutine[Any, Any, None]], *, remember: bool = True
    ) -> None:
        """Run `work` unless the blob is known to exist.

        Small blobs are not remembered: each task has one, and a process may see a million.
        """
        key = (to.host, to.repository, digest)
        if key not in self._there:
            await self._send_once(key, work)
            if remember:
                if len(self._there) >= REMEMBERED_BLOBS:
                    self._there.clear()
                self._there.add(key)

    def _forget(self, registry: Registry) -> None:
        self._there = {key for key in self._there if key[:2] != (registry.host, registry.repository)}


def tag_of(kind: str, digest: str) -> str:
    """Return a tag made from the content, so that immutable tags work; `kind` is for lifecycle rules."""
    return f"{kind}-{digest.removeprefix('sha256:')[:16]}"


async def _digest_of_tag(registry: Registry, reference: Reference) -> str:
    digest = await registry.manifest_digest(reference.version)
    if digest is None:
        raise NotFound(f"The image {reference} does not exist.", advice="Correct the base image's name or tag.")
    return digest


async def _read(registry: Registry, exact: Reference, platform: str) -> Base:
    """Return the base's manifest, also from an index, and its config."""
    body, media_type = await registry.manifest(exact.version)
    listed = media_type in INDEXES
    if listed:
        exact = exact.at(select_platform(body, platform).digest)
        body, media_type = await registry.manifest(exact.version)
    manifest = read_manifest(body, media_type)
    image = read_image(manifest, await registry.read_blob(manifest.config))
    if not listed:
        check_platform(image, platform)
    return Base(str(exact), image, exact)
