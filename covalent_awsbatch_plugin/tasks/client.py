# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The client: the one object through which every door submits tasks, waits for them, reads and cancels them.

async with connect(settings) as client:
    task = Task.of(group)
    handle = await client.submit(settings, task)
    ended = await client.wait(settings, handle, task)
    results = await client.results(settings, ended, group.node_ids, folder)
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from ..aws.session import AWS, Connection, shared
from ..core.concurrency import side_by_side, together
from ..errors import AWSBatchError, Cancelled, NeverStarted, NotAllowed, Throttled, Unreachable
from ..jobs.definition import JobPlacement
from ..jobs.description import JobState
from ..jobs.resubmit import again
from ..jobs.watched import has_begun
from ..settings import Settings
from .array_package import AnyPackage
from .base_image import BaseImages
from .batching import MIB, Batcher
from .cancel import CANCEL_REASON, STOP_REASON, JobCanceller, bounded
from .cleanup import Cleanup, JobArtifacts, leaves_no_job
from .dependency_layers import DependencyLayerBuilder
from .inflight import Task
from .job_handle import JobHandle
from .late_jobs import REASON as LATE_REASON
from .late_jobs import LateJobs
from .ledger import Entry, LedgerRecord
from .missing_permissions import add_all_missing
from .modules_beside import warn_of_modules
from .packing import Package, pack, result_key
from .reattach import EarlierJob, artifacts_of, left_behind
from .results import Ended, NodeResult, collect, failures, newest_envelope, results_store
from .services import ResolvedResources, Services
from .staged_group import without_pip
from .stuck import fitted_to_queue, never_started
from .submit import Submitter, may_run
from .task_events import record_attempts, record_failure, record_packed, record_results

log = logging.getLogger(__name__)

T = TypeVar("T")


class Client:
    """Tasks of one AWS connection and event loop, from staged files to results. `connect` opens one."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._last_fitted: tuple[Settings, JobPlacement, Settings] | None = None
        self.cleanup = Cleanup(services)
        self.canceller = JobCanceller(services, self.cleanup)
        self.base_images = BaseImages(services)
        self.dependency_layers = DependencyLayerBuilder(services)
        self.late_jobs = LateJobs(services)
        self.submitter = Submitter(services, self.cleanup, self.canceller)
        self.batcher = Batcher(self.submitter.submit, self.canceller)
        services.aws.on_close(self.batcher.aclose)  # the last one added is the first one called

    async def submit(self, settings: Settings, task: Task) -> JobHandle:
        """Pack, check and submit a staged task; or take over the job of an earlier process for the same task.

        Raises Cancelled if the task is cancelled before its job is submitted: then nothing runs. Raises SettingError,
        StagingError, NotPicklable, ImageError, EnvironmentFailed or a ServiceError where a step fails.
        """
        try:
            return await self._submit(settings, task)
        except BaseException as error:
            if isinstance(error, NotAllowed):
                await add_all_missing(self.services, settings, error)
            record_failure(self.services.events, task, error)
            raise

    async def _submit(self, settings: Settings, task: Task) -> JobHandle:
        requirements: list[str] = []
        secret = await self.services.result_secret()
        if settings.bake_deps_pip:
            task.group, requirements = await self.services.in_thread(without_pip, task.staged)
        group = task.staged
        async with side_by_side() as both:
            resolving = both.create_task(self.services.resources(settings))
            packing = both.create_task(
                self.services.in_thread(
                    pack, group, round(settings.max_baked_mib * MIB), partial(result_key, secret), _covalent_version()
                )
            )
        resources, package = resolving.result(), packing.result()
        record_packed(self.services.events, task, package)
        settings = await self._fitted(settings, resources.placement)
        if package.beside:
            warn_of_modules(package.name, package.beside, settings.environment)
        await self.cleanup.hold(*package.uploads)
        uploaded = False
        try:
            ledger = self.services.ledger
            records = await self.services.in_thread(ledger.of_task, group.dispatch_id, group.node_ids)
            earlier, unsettled = None, list[tuple[LedgerRecord, Entry]]()
            if records:
                earlier, unsettled = await left_behind(self.services, settings, records, package.content)
            if earlier and not settings.may_resubmit:
                return await self._take_over(settings, earlier, package, task)
            await self._find_environment(settings, resources, task, package, requirements)
            task.package = package
            if unsettled:  # packing took its time: a job may have come of them
                earlier, unsettled = await left_behind(
                    self.services, settings, records, package.content, last_look=True
                )
            if earlier:
                return await self._take_over(settings, earlier, package, task)
            await together(*(self.upload(settings, resources, key, path) for key, path in package.uploads.items()))
            uploaded = True
            _raise_if_cancelled(task)
            give_back = partial(self.give_back, settings, resources, package)
            handle = await self.batcher.enqueue(settings, task, give_back)
            if unsettled and (first := await self._first_job(settings, handle, records, package)):
                return await self._take_over(settings, first, package, task)
        except BaseException as error:
            if task.handle is None and not task.abandoned:  # otherwise the end of its job releases them
                self.give_back(settings, resources, package, error if uploaded else None)
            raise
        if not settings.may_resubmit:
            task.release()
        return handle

    async def wait(self, settings: Settings, handle: JobHandle, task: Task | None = None) -> Ended:
        """Wait for the end of a task, through the further submissions that the settings allow after a failure.

        If the wait is cancelled because the server stops, the job is ended first. Raises Cancelled for a task that
        shares a container and was cancelled, NeverStarted after `start_patience`, Lost or a ServiceError.
        """
        tries, before = 1, list[str]()
        while True:
            ended = await self._watch_or_end(settings, handle, task)
            if task is None or task.cancelled or task.package is None:
                return replace(ended, before=tuple(before))
            changed = again(settings, failures(settings, ended), tries)
            if changed is None:
                return replace(ended, before=tuple(before))
            record_attempts(self.services.events, ended, [node for _, node in task.nodes])
            before.append(f"submitted again, for {failures(settings, ended)[0].error.happened}")
            log.warning("`%s` is %s", handle.name, before[-1])
            settings, tries = changed, tries + 1
            task.tries = tries
            task.earlier_attempts += ended.attempts
            handle = await self._resubmit(settings, task, task.package, handle)

    async def results(
        self, settings: Settings, ended: Ended, node_ids: tuple[int, ...], folder: Path
    ) -> list[NodeResult]:
        """Fetch the results of an ended task as files in `folder`, and let its artifacts at AWS be cleaned up.

        A second call returns the same. Nothing is unpickled.
        """
        with _naming_job(ended.handle):
            results = await collect(self.services, settings, ended, node_ids, folder)
        record_results(self.services.events, ended, results)
        self.cleanup.read(ended.handle.result_id, failed=any(result.error for result in results))
        return results

    async def cancel(self, job_id: str, member: int | None = None) -> None:
        """End a job in any state, also while the server is being stopped.

        A job that tasks share goes on for the others; a wait for `member` ends at once.
        """
        ending = asyncio.ensure_future(self.canceller.end(job_id, CANCEL_REASON, member))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await bounded(ending)
            raise

    @contextlib.asynccontextmanager
    async def ended_if_stopped(self, handle: JobHandle) -> AsyncIterator[None]:
        """End the job if the context is cancelled: a stopped server leaves no job running for nobody."""
        try:
            yield
        except asyncio.CancelledError:
            await bounded(self.canceller.end(handle.job_id, STOP_REASON, handle.member))
            raise

    # ---- submission ------------------------------------------------------------------------------------------------
    def give_back(
        self, settings: Settings, resources: ResolvedResources, package: AnyPackage, error: BaseException | None
    ) -> None:
        """Release the objects of a task that was not submitted; delete those that no job needs for sure."""
        objects = tuple(package.uploads)
        if objects and error is not None and leaves_no_job(error):
            self.cleanup.discard(JobArtifacts(settings, resources.store, "", "", "", objects))
            return
        for key in objects:
            self.cleanup.release(key)

    async def _find_environment(
        self,
        settings: Settings,
        resources: ResolvedResources,
        task: Task,
        package: Package,
        requirements: Sequence[str],
    ) -> None:
        """Set the task's base image, and the layers of packages that it needs beside it. Raises Cancelled."""
        packs = bool(settings.environment or requirements or package.needs_covalent)
        task.base = await self.base_images.find(settings, resources, task.staged, package, packs=packs)
        _raise_if_cancelled(task)
        if packs:
            packing = self.dependency_layers.pack(settings, task.staged, requirements, task.base, package)
            task.dependencies = await _unless_cancelled(task, packing)
            _raise_if_cancelled(task)

    async def _fitted(self, settings: Settings, placement: JobPlacement) -> Settings:
        """Return the settings with a size that the queue can run. Raises SettingError if there is none.

        The tasks of a workflow mostly share their settings: the last answer alone is remembered.
        """
        if self._last_fitted is None or self._last_fitted[:2] != (settings, placement):
            self._last_fitted = settings, placement, await fitted_to_queue(self.services, settings, placement)
        return self._last_fitted[2]

    async def upload(self, settings: Settings, resources: ResolvedResources, key: str, path: Path) -> None:
        """Upload an object that is not there yet; of tasks with the same object the first one uploads it."""

        async def send() -> None:
            if not await resources.store.has(key):  # the key is made from the content
                await resources.store.put_file(key, path, settings.encryption)

        await self.services.once(("upload", resources.store.bucket, key), send)

    async def _take_over(self, settings: Settings, earlier: EarlierJob, package: Package, task: Task) -> JobHandle:
        """Watch, read, end and clean up an earlier process's job as if this process had submitted it."""
        handle = earlier.handle
        store = await results_store(self.services, settings, handle)
        artifacts = artifacts_of(settings, store, handle, tuple(package.uploads))
        await self.cleanup.taken_over(earlier.result_ids, artifacts)
        if handle.member is not None:
            self.canceller.submitted(handle.job_id, handle.member)
        task.handle = handle
        if task.cancelled:
            await bounded(self.canceller.end(handle.job_id, CANCEL_REASON, handle.member))
        log.warning("`%s` was asked for again: its job %s is taken over.", handle.name, handle.job_id)
        return handle

    async def _first_job(
        self, settings: Settings, handle: JobHandle, records: Sequence[tuple[LedgerRecord, Entry]], package: Package
    ) -> EarlierJob | None:
        """Return the job of an earlier submission that appeared after this one, whose job is then ended."""
        async with self.ended_if_stopped(handle):
            try:
                earlier, unsettled = await left_behind(self.services, settings, records, package.content)
            except AWSBatchError as error:
                log.warning("A second job of `%s` may run: %s", handle.name, error)
                return None
        self.late_jobs.submitted_anew(settings, unsettled)
        if earlier:
            await bounded(self.canceller.end(handle.job_id, LATE_REASON, handle.member))
            self.cleanup.read(handle.result_id)
        return earlier

    async def _resubmit(self, settings: Settings, task: Task, package: AnyPackage, last: JobHandle) -> JobHandle:
        """Submit the same package as a new job; the last job's artifacts are not needed any more."""

        def give_back(_: BaseException) -> None:
            self.cleanup.release(*package.uploads)

        await self.cleanup.hold(*package.uploads)
        task.handle = None
        try:
            return await self.batcher.enqueue(settings, task, give_back)
        except BaseException as error:
            if task.handle is None and not task.abandoned:
                give_back(error)
            raise
        finally:
            self.cleanup.read(last.result_id)

    # ---- waiting ---------------------------------------------------------------------------------------------------
    async def _watch_or_end(self, settings: Settings, handle: JobHandle, task: Task | None) -> Ended:
        """Wait for one job. Raises Cancelled for a task that shares a container, which goes on for the others."""
        try:
            if handle.member is not None and task and task.cancelled:
                raise Cancelled(CANCEL_REASON + ".")
            async with self.ended_if_stopped(handle):
                with _naming_job(handle):
                    ended = await self._watch_with_patience(settings, handle)
        except AWSBatchError as error:
            if task:
                record_failure(self.services.events, task, error)
            if isinstance(error, (Cancelled, NeverStarted)):  # the job was ended, and nobody asks for its result
                self.cleanup.read(handle.result_id)
            await self.canceller.ended(handle.job_id, CANCEL_REASON, handle.member)
            raise
        await self.canceller.ended(handle.job_id, CANCEL_REASON, handle.member)
        return ended

    async def _watch_with_patience(self, settings: Settings, handle: JobHandle) -> Ended:
        """Watch a job, and end it if it has not left the queue after `start_patience`. Raises NeverStarted then."""
        watching = asyncio.ensure_future(self._watch(settings, handle))
        try:
            done, _ = await asyncio.wait({watching}, timeout=settings.start_patience or None)
            if not done and not await self._has_begun(handle):
                error = await never_started(self.services, settings, handle)
                reason = f"It did not start within {settings.start_patience:g} s"
                await self.services.backend.terminate(handle.job_id, reason)
                raise error
            return await watching
        finally:
            watching.cancel()

    async def _has_begun(self, handle: JobHandle) -> bool:
        """Return whether the job, or a child job of its array, has left the queue; the watcher's look may be old."""
        if self.services.watcher.has_begun(handle.job_id):
            return True
        parent = handle.job_id.partition(":")[0]
        state = (await self.services.backend.describe([parent])).get(parent)
        return state is not None and has_begun(state)

    async def _watch(self, settings: Settings, handle: JobHandle) -> Ended:
        store, watcher = await results_store(self.services, settings, handle), self.services.watcher
        if ":" in handle.result_id:
            news = await watcher.committed_or_ended(
                handle.job_id, settings.poll_freq, handle.prefix, partial(store.keys, once=True), handle.member
            )
            if isinstance(news, JobState):
                return Ended(handle, news, await newest_envelope(self.services, store, handle, len(news.attempts)))
            envelope = await newest_envelope(self.services, store, handle, news.attempt)
            if envelope and (envelope.returned or (handle.member is not None and not envelope.cut_short)):
                return Ended(handle, None, envelope)  # otherwise Batch may run another attempt, and says more
        state = await watcher.ended(handle.job_id, settings.poll_freq)
        return Ended(handle, state, await newest_envelope(self.services, store, handle, len(state.attempts)))


_clients: dict[tuple[asyncio.AbstractEventLoop, Connection], Client] = {}


@contextlib.asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Client]:
    """Open the client of this event loop and of the settings' AWS connection; all its users share it."""
    connection = Connection(settings.credentials, settings.profile, settings.region, settings.outage_patience)
    async with shared(connection) as aws:
        key = asyncio.get_running_loop(), connection
        client = _clients.get(key)
        if client is None or client.services.aws is not aws:
            client = _clients[key] = _new_client(aws, key)
        yield client


def _new_client(aws: AWS, key: tuple[asyncio.AbstractEventLoop, Connection]) -> Client:
    """Return a client that is forgotten when its connection is closed, or when its event loop was."""
    for stale in [other for other in _clients if other[0].is_closed()]:
        del _clients[stale]
    client = Client(Services(aws))

    async def forget() -> None:
        if _clients.get(key) is client:
            del _clients[key]

    aws.on_close(forget)
    return client


@functools.cache
def _covalent_version() -> str:
    try:
        return metadata.version("covalent")
    except metadata.PackageNotFoundError:
        return ""


@contextlib.contextmanager
def _naming_job(handle: JobHandle) -> Iterator[None]:
    """Name the job in the error of an outage."""
    try:
        yield
    except (Throttled, Unreachable) as error:
        raise may_run(error, f"The job {handle.job_id}") from error


async def _unless_cancelled(task: Task, work: Coroutine[Any, Any, T]) -> T:
    """Await work that may take minutes; a cancel of the task ends it at once. Raises Cancelled then."""
    running = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    with task.on_cancel(lambda: loop.call_soon_threadsafe(running.cancel)):
        try:
            return await running
        except asyncio.CancelledError:
            _raise_if_cancelled(task)
            raise


def _raise_if_cancelled(task: Task) -> None:
    if task.cancelled:
        raise Cancelled("Cancelled before it was submitted.")
