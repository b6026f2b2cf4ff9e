# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What must lie at AWS before a job is submitted: its image, and its payload where the tasks are not in the image."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ..images.builders.builder import PushedImage
from ..images.builders.registry_builder import OF_ENVIRONMENT, OF_TASKS
from ..images.layer import Layer, compressed_layer
from ..settings import Settings
from .cleanup import Cleanup
from .connection import Cloud, ResolvedResources, base_image
from .dependency_layers import DependencyLayers
from .packing import Package, image_files, payload_of
from .payload_object import Payload


@dataclass(frozen=True)
class ImageAndPayload:
    """Held, so that no other job's end deletes it, until `drop` or the end of this job."""

    image: PushedImage
    payload: Payload | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the containers are told of it."""
        return self.payload.environment if self.payload else {}

    @property
    def key(self) -> str:
        """Where the payload lies in the bucket; "" where there is none."""
        return self.payload.key if self.payload else ""

    def drop(self, cleanup: Cleanup) -> None:
        """No job came of it."""
        for name in filter(None, (self.image.digest, self.key)):
            cleanup.release(name)


async def load(
    cloud: Cloud,
    settings: Settings,
    resources: ResolvedResources,
    packages: Sequence[Package],
    dispatch_ids: Sequence[str],
    dependencies: DependencyLayers,
) -> ImageAndPayload:
    """For tasks that travel together and have the same dependencies."""
    if settings.has_own_image:
        tasks = await cloud.in_thread(_task_layer, packages, dispatch_ids, settings.tasks_per_job)
        # What changes least lies lowest.
        return ImageAndPayload(
            await _image(cloud, settings, resources, packages[0], [*dependencies.layers, tasks], OF_TASKS)
        )
    image = await _image(cloud, settings, resources, packages[0], dependencies.layers, OF_ENVIRONMENT)
    payload = await cloud.in_thread(payload_of, packages, dispatch_ids, settings.tasks_per_job)
    parts, cleanup = ImageAndPayload(image, payload), cloud.tenant(Cleanup)
    await cleanup.hold(payload.key)
    try:
        await resources.store.put(payload.key, payload.data)
    except BaseException:
        parts.drop(cleanup)
        raise
    return parts


def _task_layer(packages: Sequence[Package], dispatch_ids: Sequence[str], each: int) -> Layer:
    return compressed_layer(image_files(packages, dispatch_ids, each), "task")


async def _image(
    cloud: Cloud, settings: Settings, resources: ResolvedResources, package: Package, layers: Sequence[Layer], kind: str
) -> PushedImage:
    """Base, runner and these layers; held."""
    builder, cleanup = await cloud.builder(settings), cloud.tenant(Cleanup)

    async def push() -> PushedImage:
        base, runner = await asyncio.gather(
            builder.resolve_base(base_image(settings, package.python), settings.platform, resources.repository),
            cloud.runner_layer(settings.platform, settings.cache_dir),
        )
        return await builder.push(base, [runner, *layers], resources.repository, kind)

    image = await push()
    while not await cleanup.hold(image.digest):  # the same image of an earlier job was just deleted
        cleanup.release(image.digest)
        image = await push()
    return image
