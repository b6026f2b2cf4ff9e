# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Takes away what tasks left at AWS once nobody needs it: images, definitions, objects. Never delays or fails a task.

What is named by content can be needed by two jobs at once, so it is held while any job needs it, and whoever wants
it while it is being deleted waits and makes it anew.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from ..aws.s3 import Store
from ..errors import AWSBatchError
from ..settings import Settings
from .services import Services

log = logging.getLogger(__name__)

REST_SECONDS = 5  # between a job's last result and the sweep: what ends together is swept in one call
LAST_SWEEP_SECONDS = 10  # for what is left when the connection is closed


@dataclass(frozen=True)
class JobArtifacts:
    """What one job left: its image, its definition's ARN, its results' prefix, the objects that it read."""

    settings: Settings
    store: Store
    image_digest: str
    definition: str
    prefix: str
    objects: tuple[str, ...]
    payload: str = ""  # key of the object in which its tasks came, where they came in no image of its own

    @property
    def has_own_image(self) -> bool:
        return not self.payload

    @property
    def sent(self) -> tuple[str, ...]:
        """Keys of all that it read."""
        return (*self.objects, self.payload) if self.payload else self.objects


class Cleanup:
    """Knows which jobs still have readers. `sleep` is an argument for tests."""

    def __init__(self, services: Services, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._services, self._sleep = services, sleep
        self._held: Counter[str] = Counter()
        self._deleting: dict[str, asyncio.Event] = {}
        self._readers: dict[str, tuple[set[str], JobArtifacts]] = {}
        self._swept_next: list[JobArtifacts] = []
        self._being_swept: list[JobArtifacts] = []  # what a sweep that is cut short leaves for the last one
        self._sweeping: asyncio.Task[None] | None = None
        services.aws.on_close(self._aclose)

    async def hold(self, name: str) -> bool:
        """Keeps what is named by content until `release`; False when it was deleted just now and must be made anew."""
        self._held[name] += 1
        deleting = self._deleting.get(name)
        if deleting:
            await deleting.wait()
        return deleting is None

    def release(self, name: str) -> None:
        """One job less needs it."""
        self._held[name] -= 1
        if self._held[name] <= 0:
            del self._held[name]

    def submitted(self, job_ids: Sequence[str], artifacts: JobArtifacts) -> None:
        """A job whose tasks have these ids will be read by each. What it needs is held already."""
        self._readers[_parent(job_ids[0])] = (set(job_ids), artifacts)

    async def taken_over(self, job_ids: Sequence[str], artifacts: JobArtifacts) -> None:
        """As `submitted`, for a job of an earlier process; each of its tasks may bring objects that it alone needs."""
        parent = _parent(job_ids[0])
        if parent in self._readers:
            readers, known = self._readers[parent]
            self._readers[parent] = readers, replace(known, objects=known.objects + artifacts.objects)
            return
        self._readers[parent] = set(job_ids), artifacts
        for name in filter(None, (artifacts.image_digest, artifacts.payload)):
            await self.hold(name)

    def unread(self, parent: str) -> frozenset[str]:
        """The ids of the job's tasks that nobody has read yet; none for a job of another process."""
        return frozenset(self._readers[parent][0]) if parent in self._readers else frozenset()

    def read(self, job_id: str) -> None:
        """A task has been read. The last one ends its job's stay."""
        readers, artifacts = self._readers.get(_parent(job_id), (set(), None))
        readers.discard(job_id)
        if readers or artifacts is None:  # a job of an earlier process is left to the lifecycle rules
            return
        del self._readers[_parent(job_id)]
        self._services.ledger.forget(_parent(job_id))
        self._swept_next.append(artifacts)
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep_after_a_rest())

    async def _sweep_after_a_rest(self) -> None:
        while self._swept_next:
            await self._sleep(REST_SECONDS)
            await self._sweep()

    async def _sweep(self) -> None:
        artifacts, self._swept_next = self._swept_next, []
        for left in artifacts:
            for name in (left.image_digest, *left.sent):
                self.release(name)
        self._being_swept += artifacts
        for work in (self._sweep_definitions, self._sweep_images, self._sweep_objects):
            try:
                await work(self._being_swept)
            except AWSBatchError as error:
                log.info("Something that a task left could not be deleted; the lifecycle rules will: %s", error)
        self._being_swept = []

    async def _sweep_definitions(self, artifacts: list[JobArtifacts]) -> None:
        """One goes with its image: who comes to need that waits until its definition has gone too."""
        own = [x for x in artifacts if x.has_own_image and x.settings.delete_definitions]
        wanted = {(x.image_digest, x.definition) for x in own if x.definition}

        async def deregister(digests: list[str]) -> None:
            for digest, definition in sorted(wanted):
                if digest in digests:
                    await self._services.backend.deregister(definition)

        await self._delete([digest for digest, _ in sorted(wanted)], deregister)

    async def _sweep_images(self, artifacts: list[JobArtifacts]) -> None:
        own = [x for x in artifacts if x.has_own_image and x.settings.delete_images]
        wanted = {(x.settings.ecr_repo_name, x.image_digest) for x in own}
        for repository in {name for name, _ in wanted}:
            digests = [digest for name, digest in sorted(wanted) if name == repository]
            await self._delete(digests, functools.partial(self._services.ecr.delete_images, repository))

    async def _sweep_objects(self, artifacts: list[JobArtifacts]) -> None:
        for left in (x for x in artifacts if x.settings.delete_objects):
            await left.store.delete(await left.store.keys(left.prefix))
            await self._delete(list(left.sent), left.store.delete)

    async def _delete(self, names: list[str], work: Callable[[list[str]], Awaitable[None]]) -> None:
        """Deletes what nobody holds; who comes to hold it meanwhile waits."""
        free = [name for name in dict.fromkeys(names) if name not in self._held]
        if not free:
            return
        done = asyncio.Event()
        self._deleting |= dict.fromkeys(free, done)
        try:
            await work(free)
        finally:
            for name in free:
                del self._deleting[name]
            done.set()

    async def _aclose(self) -> None:
        """What is due is swept, within bounds; what still has readers stays for the lifecycle rules."""
        if self._sweeping:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_SWEEP_SECONDS):
                await self._sweep()
        except TimeoutError:
            log.info("Some of what tasks left was not deleted in time; the lifecycle rules will.")


def _parent(job_id: str) -> str:
    return job_id.partition(":")[0]
