# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Deletion of images, job definitions and objects that no task needs any more. It never delays or fails a task.

Two jobs can need the same artifact, because contents name it. So an artifact is held while any job needs it, and a job
that needs it during its deletion waits and creates it anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ..aws.s3 import Store
from ..errors import AWSBatchError, NotAllowed
from ..settings import Settings
from .services import Services

log = logging.getLogger(__name__)

T = TypeVar("T")

_KIND = {
    "batch:DeregisterJobDefinition": "Job definitions",
    "ecr:BatchDeleteImage": "Images",
    "s3:DeleteObject": "Objects",
}
REST_SECONDS = 5  # between a job's last result and the sweep: jobs that end together are swept in one call
LAST_SWEEP_SECONDS = 10  # for the last sweep when the connection is closed
LAST_CALL_SECONDS = 3  # for one request of it: a connection that hangs must not take the time of all


@dataclass(frozen=True)
class JobArtifacts:
    """The artifacts of one job: its image, its definition's ARN, its results' prefix, the objects that it reads.

    Image, definition and prefix are "" where a submission that was refused has none.
    """

    settings: Settings
    store: Store
    image_digest: str
    definition: str
    prefix: str
    objects: tuple[str, ...]
    payload: str = ""  # key of the object with its tasks, where its image does not contain them
    keeps_tasks: bool = False  # of a job with a failed task: `replay` needs all but the results

    @property
    def has_own_image(self) -> bool:
        """True if the job's image contains its tasks, so that no other job uses it."""
        return not self.payload

    @property
    def sent(self) -> tuple[str, ...]:
        """The keys of all objects that the job reads."""
        return (*self.objects, self.payload) if self.payload else self.objects


class Cleanup:
    """The artifacts of the jobs whose results are not all read yet. `sleep` is an argument for tests."""

    def __init__(self, services: Services, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._services, self._sleep = services, sleep
        self._held: Counter[str] = Counter()
        self._deleting: dict[str, asyncio.Event] = {}
        self._readers: dict[str, tuple[set[str], JobArtifacts]] = {}
        self._swept_next: list[JobArtifacts] = []
        self._being_swept: list[JobArtifacts] = []  # a cancelled sweep leaves them for the last sweep
        self._sweeping: asyncio.Task[None] | None = None
        self._closing = False
        services.aws.on_close(self._aclose)

    async def hold(self, *names: str) -> bool:
        """Hold artifacts until `release`; return False if one was deleted just now and must be created anew.

        A cancelled caller holds none of them.
        """
        self._held.update(names)
        deleting = [self._deleting[name] for name in names if name in self._deleting]
        try:
            for each in deleting:
                await each.wait()
        except BaseException:
            self.release(*names)
            raise
        return not deleting

    def discard(self, artifacts: JobArtifacts) -> None:
        """Sweep the artifacts of a submission that was refused, so that no job came of it; they are held already."""
        self._sweep_soon(artifacts)

    def release(self, *names: str) -> None:
        """Release one hold of each artifact."""
        for name in names:
            self._held[name] -= 1
            if self._held[name] <= 0:
                del self._held[name]

    def submitted(self, job_ids: Sequence[str], artifacts: JobArtifacts) -> None:
        """Note a job and the ids of its tasks, each of which will be read. Its artifacts are held already."""
        self._readers[_parent(job_ids[0])] = (set(job_ids), artifacts)

    async def taken_over(self, job_ids: Sequence[str], artifacts: JobArtifacts) -> None:
        """Note a job of an earlier process and hold its image and payload; each of its tasks may add objects."""
        parent = _parent(job_ids[0])
        if parent in self._readers:
            readers, earlier = self._readers[parent]
            self._readers[parent] = readers, replace(earlier, objects=earlier.objects + artifacts.objects)
            return
        self._readers[parent] = set(job_ids), artifacts
        await self.hold(*filter(None, (artifacts.image_digest, artifacts.payload)))

    def unread(self, parent: str) -> frozenset[str]:
        """Return the ids of the job's tasks whose results are not read yet; none for a job of another process."""
        return frozenset(self._readers[parent][0]) if parent in self._readers else frozenset()

    def read(self, job_id: str, *, failed: bool = False) -> None:
        """Note that a task's result was read; after the last one, the job's artifacts are swept.

        Of a job with a task that `failed` only the results are, where the settings keep the rest.
        """
        readers, artifacts = self._readers.get(_parent(job_id), (set(), None))
        readers.discard(job_id)
        if artifacts and failed and artifacts.settings.keep_failed:
            artifacts = replace(artifacts, keeps_tasks=True)
            self._readers[_parent(job_id)] = readers, artifacts
        if readers or artifacts is None:  # a job of an earlier process is left to the lifecycle rules
            return
        del self._readers[_parent(job_id)]
        self._services.ledger.forget(_parent(job_id))
        self._sweep_soon(artifacts)

    def _sweep_soon(self, artifacts: JobArtifacts) -> None:
        self._swept_next.append(artifacts)
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep_after_a_rest())

    async def _sweep_after_a_rest(self) -> None:
        while self._swept_next:
            await self._sleep(REST_SECONDS)
            await self._sweep()

    async def _sweep(self) -> None:
        artifacts, self._swept_next = self._swept_next, []
        for each in artifacts:
            self.release(*filter(None, (each.image_digest, *each.sent)))
        self._being_swept += artifacts
        await asyncio.gather(self._sweep_jobs_images(), self._sweep_kind("s3:DeleteObject", self._sweep_objects))
        self._being_swept = []

    async def _sweep_jobs_images(self) -> None:
        await self._sweep_kind("batch:DeregisterJobDefinition", self._sweep_definitions)
        await self._sweep_kind("ecr:BatchDeleteImage", self._sweep_images)

    async def _sweep_kind(self, permission: str, work: Callable[[list[JobArtifacts]], Awaitable[None]]) -> None:
        permissions = self._services.aws.permissions
        if permissions.lacks(permission):
            return
        try:
            await work(self._being_swept)
        except NotAllowed as error:
            consequence = f"{_KIND[permission]} of tasks are not deleted after their results were read."
            permissions.go_without(error, error.permission, consequence)
        except AWSBatchError as error:
            log.info("An artifact of a task could not be deleted; the lifecycle rules will delete it: %s", error)

    async def _request(self, send: Callable[..., Awaitable[T]], *names: object) -> T:
        """Send a request of a sweep; in the last sweep, send it again where a connection hangs."""
        if self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_CALL_SECONDS):
                    return await send(*names)
        return await send(*names)

    async def _sweep_definitions(self, artifacts: list[JobArtifacts]) -> None:
        """Deregister definitions while their images count as being deleted, so that a job that needs one waits."""
        own = [x for x in artifacts if x.has_own_image and x.settings.delete_definitions and not x.keeps_tasks]
        pairs = {(x.image_digest, x.definition) for x in own if x.definition}

        async def deregister(digests: list[str]) -> None:
            for digest, definition in sorted(pairs):
                if digest in digests:
                    await self._request(self._services.backend.deregister, definition)

        await self._delete([digest for digest, _ in sorted(pairs)], deregister)

    async def _sweep_images(self, artifacts: list[JobArtifacts]) -> None:
        own = [x for x in artifacts if x.image_digest and x.has_own_image and x.settings.delete_images]
        own = [x for x in own if not x.keeps_tasks]
        pairs = {(x.settings.ecr_repo_name, x.image_digest) for x in own}
        for repository in {name for name, _ in pairs}:
            digests = [digest for name, digest in sorted(pairs) if name == repository]
            delete = functools.partial(self._services.ecr.delete_images, repository)
            await self._delete(digests, functools.partial(self._request, delete))

    async def _sweep_objects(self, artifacts: list[JobArtifacts]) -> None:
        for each in (x for x in artifacts if x.settings.delete_objects):
            if each.prefix:  # a refused submission has no results
                keys = await self._request(each.store.keys, each.prefix)
                await self._request(each.store.delete, keys)
            if each.keeps_tasks:
                continue
            await self._delete(list(each.sent), functools.partial(self._request, each.store.delete))

    async def _delete(self, names: list[str], work: Callable[[list[str]], Awaitable[None]]) -> None:
        """Delete the artifacts that are not held; a `hold` of one of them meanwhile waits."""
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
        """Sweep for a limited time; artifacts of jobs with unread results are left to the lifecycle rules."""
        self._closing = True
        if self._sweeping:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_SWEEP_SECONDS):
                await self._sweep()
        except TimeoutError:
            log.info("Some artifacts of tasks were not deleted in time; the lifecycle rules will delete them.")


def leaves_no_job(error: BaseException) -> bool:
    """Return whether a submission that failed with this error has certainly made no job."""
    return isinstance(error, AWSBatchError) and error.retry_may_help is False


def _parent(job_id: str) -> str:
    return job_id.partition(":")[0]
