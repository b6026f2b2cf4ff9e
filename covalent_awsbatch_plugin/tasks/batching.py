# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Batching: tasks of one kind that arrive together become one array job; a lone task is submitted at once."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ..errors import Cancelled
from ..settings import Settings
from .cancel import STOP_REASON, JobCanceller, bounded
from .inflight import Task
from .job_handle import JobHandle

# A batch is flushed early if no task arrived for this share of the linger and for so many times the usual gap between
# arrivals. An idle Covalent server starts about 8 electrons a second, a busy one 2.
QUIET = 1 / 3
GAPS = 2.5
MIB = 1024 * 1024

# Tasks that differ in these settings alone can share a job.
_NOT_OF_THE_JOB = {
    "cache_dir", "poll_freq", "max_baked_mib", "outage_patience",
    "environment", "bake_deps_pip", "max_cache_gib",  # the dependency layers made from them are compared instead
}  # fmt: skip

BATCHES_AT_ONCE = 8  # full batches that are being submitted: of small arrays there may be thousands

GiveBack = Callable[[BaseException], object]
Submit = Callable[[Settings, Sequence[Task]], Awaitable[list[JobHandle]]]


@dataclass(eq=False)
class _Request:
    """A task that waits for its submission, and the future of its handle."""

    task: Task
    handle: asyncio.Future[JobHandle]

    def settle(self, outcome: JobHandle | Exception) -> None:
        if self.handle.done():
            return
        if isinstance(outcome, Exception):
            self.handle.set_exception(outcome)
            self.handle.exception()  # marks it as retrieved: an abandoned request never is
        else:
            self.handle.set_result(outcome)


class Batcher:
    """A queue of tasks on their way to SubmitJob for each kind: tasks of one kind may share a job.

    `submit` submits one batch. `clock` returns seconds that only grow, and is an argument for tests.
    """

    def __init__(self, submit: Submit, canceller: JobCanceller, clock: Callable[[], float] = time.monotonic) -> None:
        self._submit, self._canceller, self._clock = submit, canceller, clock
        self._queues: dict[str, _Queue] = {}

    async def enqueue(self, settings: Settings, task: Task, give_back: GiveBack = lambda _: None) -> JobHandle:
        """Wait until the task's job is submitted. Raises Cancelled for a task that was cancelled before that.

        If the caller is cancelled, the task is `abandoned`: `give_back` is called with the submission's error, or the
        end of the job releases what the task holds.
        """
        parts = [
            settings.model_dump_json(exclude=_NOT_OF_THE_JOB), task.packed.python, task.dependencies.name,
            str(task.earlier_attempts),
        ]  # fmt: skip
        if not task.shares_jobs:
            parts.append(task.staged.dispatch_id)
        kind = " ".join(parts)
        if kind not in self._queues:
            self._queues = {name: queue for name, queue in self._queues.items() if queue.is_in_use}
            self._queues[kind] = _Queue(self._submit, settings, self._clock)
        queue = self._queues[kind]
        request = _Request(task, asyncio.get_running_loop().create_future())
        queue.add(request)
        try:
            return await asyncio.shield(request.handle)
        except asyncio.CancelledError:
            await self._abandon(request, give_back)
            raise

    async def aclose(self) -> None:
        """Cancel the submissions under way; each ends the job that comes of it. No caller may enqueue any more."""
        under_way = [task for queue in self._queues.values() for task in queue.running()]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _abandon(self, request: _Request, give_back: GiveBack) -> None:
        """Remove a task whose caller has gone: it is not submitted, or its job is ended."""
        request.task.cancelled = True
        request.task.abandoned = True
        request.handle.add_done_callback(functools.partial(self._settled, give_back))
        if request.handle.done() and not request.handle.cancelled() and not request.handle.exception():
            handle = request.handle.result()
            await bounded(self._canceller.end(handle.job_id, STOP_REASON, handle.member))

    def _settled(self, give_back: GiveBack, submission: asyncio.Future[JobHandle]) -> None:
        """Let the artifacts of an abandoned task be cleaned up: with its job's, or alone if there is no job."""
        error = asyncio.CancelledError() if submission.cancelled() else submission.exception()
        if error is None:
            self._canceller.unwanted(submission.result().result_id)
        else:
            give_back(error)


@dataclass
class Arrivals:
    """The times at which tasks of one kind arrive, in seconds; `gap` is the usual time between two."""

    last: float = float("-inf")
    gap: float = 0.0

    def note(self, now: float, linger: float) -> bool:
        """Note an arrival and return whether another task arrived within the linger before it."""
        gap, self.last = now - self.last, now
        close = gap < linger
        self.gap = (self.gap + gap) / 2 if close else 0.0
        return close

    def patience(self, linger: float) -> float:
        """Return the seconds without an arrival after which a batch is flushed."""
        return min(linger, max(linger * QUIET, self.gap * GAPS))


@dataclass(eq=False)
class _Queue:
    """The waiting tasks of one kind. A task that arrives during a submission goes with the next batch."""

    submit: Submit
    settings: Settings
    clock: Callable[[], float]
    waiting: list[_Request] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    arrivals: Arrivals = field(default_factory=Arrivals)
    flusher: asyncio.Task[None] | None = None
    submitting: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def capacity(self) -> int:
        """The most tasks that one array job can run."""
        return self.settings.max_array_size * self.settings.tasks_per_job

    @property
    def is_in_use(self) -> bool:
        """False if no task is under way or came so lately that the next one is waited for."""
        return bool(self.running()) or self.clock() - self.arrivals.last < self.settings.array_linger

    def running(self) -> list[asyncio.Task[None]]:
        """Return the tasks of submissions that have not ended."""
        return [task for task in (self.flusher, *self.submitting) if task and not task.done()]

    def add(self, request: _Request) -> None:
        close = self.arrivals.note(self.clock(), self.settings.array_linger)
        self.waiting.append(request)
        self.arrived.set()
        if self.flusher is None or self.flusher.done():
            self.flusher = asyncio.get_running_loop().create_task(
                self._flush_until_empty(lingers=close or request.task.followed)
            )

    async def _flush_until_empty(self, *, lingers: bool) -> None:
        while self.waiting:
            if lingers:
                await self._linger()
            lingers = True
            await self._flush(self._next_batch())

    async def _flush(self, requests: Sequence[_Request]) -> None:
        """Submit a batch and wait for it, so that later arrivals form the next one; a full batch is not waited for."""
        if not self.waiting:
            await self._submit_batch(requests)
            return
        flush = asyncio.get_running_loop().create_task(self._submit_batch(requests))
        self.submitting.add(flush)
        flush.add_done_callback(self.submitting.discard)
        if len(self.submitting) >= BATCHES_AT_ONCE:
            await asyncio.wait(self.submitting, return_when=asyncio.FIRST_COMPLETED)

    async def _linger(self) -> None:
        """Wait until no task has arrived for a while, the linger is over, or the array is full."""
        linger = self.settings.array_linger
        deadline = self.clock() + linger
        while len(self.waiting) < self.capacity:
            self.arrived.clear()
            patience = min(self.arrivals.patience(linger), deadline - self.clock())
            try:
                async with asyncio.timeout(patience):
                    await self.arrived.wait()
            except TimeoutError:
                return

    def _next_batch(self) -> list[_Request]:
        """Take as many tasks as one array and one layer may hold, in order of arrival; shared objects count once."""
        room, objects = self.settings.max_layer_mib * MIB, set[str]()
        batch: list[_Request] = []
        for request in self.waiting[: self.capacity]:
            room -= request.task.packed.size_beside(objects)
            if batch and room < 0:
                break
            batch.append(request)
        del self.waiting[: len(batch)]
        return batch

    async def _submit_batch(self, requests: Sequence[_Request]) -> None:
        open_requests = []
        for request in requests:
            if request.task.cancelled:
                request.settle(Cancelled("Cancelled before it was submitted."))
            else:
                open_requests.append(request)
        if not open_requests:
            return
        try:
            handles = await self.submit(self.settings, [request.task for request in open_requests])
        except asyncio.CancelledError:
            for request in open_requests:
                request.handle.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - every task of the batch gets it, and none may wait for ever
            for request in open_requests:
                request.settle(error)
            return
        for request, handle in zip(open_requests, handles, strict=True):
            request.settle(handle)
