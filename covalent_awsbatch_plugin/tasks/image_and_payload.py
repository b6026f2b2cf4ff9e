# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The image and the payload of a job, made before the job is submitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..images.builders.builder import Base, PushedImage
from ..images.builders.registry_builder import OF_ENVIRONMENT, OF_TASKS
from ..images.layer import Layer, Pieces, compressed_layer
from ..runner.protocol import layout
from ..runner.protocol.task import ContainerFiles, Payload, payload
from ..settings import Settings
from .array_package import AnyPackage
from .cleanup import Cleanup
from .dependency_layers import DependencyLayers
from .services import ResolvedResources, Services


@dataclass(frozen=True)
class ImageAndPayload:
    """The image of a job, and its payload where the tasks are not in the image.

    Both are held: no other job's clean-up deletes them until `release` or the end of this job.
    """

    image: PushedImage
    payload: Payload | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by which the containers find the payload."""
        return self.payload.environment if self.payload else {}

    @property
    def key(self) -> str:
        """The key of the payload in the bucket, or "" where there is none."""
        return self.payload.key if self.payload else ""

    def release(self, cleanup: Cleanup) -> None:
        """Release both after no job came of them."""
        cleanup.release(*filter(None, (self.image.digest, self.key)))


class ImageMaker:
    """Makes the image and the payload of each job of one connection."""

    def __init__(self, services: Services, cleanup: Cleanup) -> None:
        self._services, self._cleanup = services, cleanup

    async def make(
        self,
        settings: Settings,
        resources: ResolvedResources,
        base: Base,
        packages: Sequence[AnyPackage],
        dispatch_ids: Sequence[str],
        dependencies: DependencyLayers,
    ) -> ImageAndPayload:
        """Make the image, and the payload, of tasks that share a job and have the same dependencies."""
        if settings.has_own_image:
            tasks = await self._services.in_thread(_task_layer, packages, dispatch_ids, settings.tasks_per_job)
            # Layers that change least lie lowest.
            layers = [*dependencies.layers, tasks]
            return ImageAndPayload(await self._image(settings, resources, base, layers, OF_TASKS))
        image = await self._image(settings, resources, base, dependencies.layers, OF_ENVIRONMENT)
        parts = ImageAndPayload(image)
        try:
            payload = await self._services.in_thread(payload_of, packages, dispatch_ids, settings.tasks_per_job)
            await self._cleanup.hold(payload.key)
            parts = ImageAndPayload(image, payload)
            await resources.store.put(payload.key, payload.data, settings.encryption)
        except BaseException:
            parts.release(self._cleanup)
            raise
        return parts

    async def _image(
        self, settings: Settings, resources: ResolvedResources, base: Base, layers: Sequence[Layer], kind: str
    ) -> PushedImage:
        """Push base, runner and these layers as one image, and hold it."""
        builder = await self._services.builder(settings)

        async def push() -> PushedImage:
            runner = await self._services.runner_layer(settings.platform, settings.cache_dir)
            return await builder.push(base, [runner, *layers], resources.repository, kind)

        image = await push()
        while not await self._cleanup.hold(image.digest):  # the same image of an earlier job was just deleted
            self._cleanup.release(image.digest)
            image = await push()
        return image


def _task_layer(packages: Sequence[AnyPackage], dispatch_ids: Sequence[str], each: int) -> Layer:
    return compressed_layer(image_files(packages, dispatch_ids, each), "task")


def image_files(packages: Sequence[AnyPackage], dispatch_ids: Sequence[str], each: int) -> dict[str, Pieces]:
    """Return the one file of an array's task layer, for containers of `each` tasks, by its path in the image.

    A description names its dispatch only where several dispatches share the job; else the job's environment names it.
    """
    dispatches = dispatch_ids if len(set(dispatch_ids)) > 1 else [""] * len(packages)
    whole = _payload(packages, dispatches, each)
    return {layout.PAYLOAD_FILE: Pieces(whole.size, whole.chunks)}


def payload_of(packages: Sequence[AnyPackage], dispatch_ids: Sequence[str], each: int) -> Payload:
    """Return the payload that is sent to the bucket, for containers of `each` tasks.

    Every description names its dispatch: two dispatches never have the same object, for each deletes its own.
    """
    return _payload(packages, dispatch_ids, each)


def _payload(packages: Sequence[AnyPackage], dispatch_ids: Sequence[str], each: int) -> Payload:
    containers = [ContainerFiles() for _ in range(-(-sum(package.size for package in packages) // each))]
    index = 0
    for package, dispatch_id in zip(packages, dispatch_ids, strict=True):
        for description, objects in package.descriptions(dispatch_id):
            container = containers[index // each]
            container.tasks[index] = description
            container.objects |= objects
            index += 1
    return payload(containers)
