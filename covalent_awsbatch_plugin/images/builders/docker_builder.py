# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Build images with a Docker engine, which can have bases that no registry has, and can run the result.

The pushed bytes are this package's, not those of the engine's push: see docs/decisions/0002.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from ...core.concurrency import Once
from ...errors import ServiceError, StagingError
from ..layer import Blob, Layer
from ..manifest import DOCKER, assemble, check_platform, compose
from ..reference import parse
from .builder import Base, PushedImage, Repository
from .docker_engine import Engine, EngineImage
from .registry_builder import OF_TASKS, RegistryBuilder, tag_of

REGISTRY_SECONDS = 40  # time for a registry's answer about a base that the engine has, too


class DockerBuilder:
    """A builder for one event loop. `cache_dir` is the folder for the layers of bases that only the engine has."""

    def __init__(self, *, cache_dir: str | Path | None = None, registry: RegistryBuilder | None = None) -> None:
        self._cache_dir = cache_dir
        self._registry = registry or RegistryBuilder()
        self._engine = Engine()
        self._exported: dict[str, Base] = {}
        self._export_once: Once[Base] = Once()
        self._engine_once: Once[None] = Once()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._folder = Path(stack.enter_context(self._temporary_folder()))
            await stack.enter_async_context(self._registry)
            await stack.enter_async_context(self._engine)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def _temporary_folder(self) -> tempfile.TemporaryDirectory[str]:
        try:
            return tempfile.TemporaryDirectory(dir=self._cache_dir, prefix="covalent-awsbatch-")
        except OSError as error:
            happened = f"The folder {self._cache_dir or tempfile.gettempdir()} can't be written to."
            raise StagingError(happened, says=str(error), advice="Correct `cache_dir`.") from error

    async def resolve_base(self, image: str, platform: str, into: Repository) -> Base:
        """See `Builder.resolve_base`. An image that was built on this engine is read from the engine."""
        parse(image)
        image_of_engine = await self._engine.find(image)
        if image_of_engine is not None and not image_of_engine.pulled:
            return await self._of_engine(image_of_engine, image, platform)
        try:
            async with asyncio.timeout(REGISTRY_SECONDS if image_of_engine else None):
                return await self._registry.resolve_base(image, platform, into)
        except (ServiceError, TimeoutError):
            if image_of_engine is None:
                raise
            return await self._of_engine(image_of_engine, image, platform)

    async def _of_engine(self, image: EngineImage, name: str, platform: str) -> Base:
        if image.id not in self._exported:
            self._exported[image.id] = await self._export_once(image.id, lambda: self._export(image, name))
        base = self._exported[image.id]
        check_platform(base.image, platform)
        return base

    async def _export(self, image: EngineImage, name: str) -> Base:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        config, layers = await self._engine.export(image, folder)
        files = {layer.digest: path for layer, path in layers}
        return Base(name, assemble(DOCKER, config, [layer for layer, _ in layers]), None, files)

    async def missing(self, layers: Sequence[Layer], into: Repository) -> list[Layer]:
        """See `Builder.missing`."""
        return await self._registry.missing(layers, into)

    def layers_of(self, base: Base, into: Repository) -> list[Blob]:
        """See `Builder.layers_of`."""
        return self._registry.layers_of(base, into)

    async def push(self, base: Base, layers: Sequence[Layer], into: Repository, kind: str = OF_TASKS) -> PushedImage:
        """See `Builder.push`. The engine loads the image first, so that an image it refuses is not pushed."""
        image = compose(base.image, layers)
        tag = f"{into.uri}:{tag_of(kind, image.digest)}"
        if await self._engine.find(tag) is None:
            await self._engine_once(base.image.digest, lambda: self._bring(base, into))
            await self._engine_once(tag, lambda: self._engine.load(image, layers, tag))
        return await self._registry.push(base, layers, into, kind)

    async def _bring(self, base: Base, into: Repository) -> None:
        """Make sure that the engine has the base."""
        if base.origin is None or await self._engine.find(base.image.manifest.config.digest):
            return
        login = self._registry.login(base.origin.registry, into)
        await self._engine.pull(base.origin, base.image.platform, login)
