# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Group commit: tasks of one kind that arrive together leave together, as one array job; a lone task leaves at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..errors import Cancelled
from ..settings import Settings
from .cancel import JobCanceller
from .connection import Cloud
from .submit import STOP_REASON, JobHandle, TaskSubmission, bounded, submit_job

log = logging.getLogger(__name__)

# Company that has not come within this part of the linger is not waited for, nor within so many times the usual gap
# between arrivals. An idle server starts about 8 electrons a second, a busy one 2.
QUIET = 1 / 3
GAPS = 2.5
MIB = 1024 * 1024

# Settings that change nothing about the job: tasks that differ in these alone can share one.
_NOT_THE_JOBS = {
    "cache_dir", "poll_freq", "max_baked_mib",
    "environment", "bake_deps_pip", "max_cache_gib",  # what arrived of them is the submission's dependencies
}  # fmt: skip

BATCHES_AT_ONCE = 8  # full ones that are on their way to AWS: of small arrays there may be thousands


@dataclass(eq=False)
class _Request:
    submission: TaskSubmission
    handle: asyncio.Future[JobHandle]


class Batcher:
    """Every task of one connection on its way to SubmitJob, by kind: what may share a job."""

    def __init__(self, cloud: Cloud, clock: Callable[[], float] = time.monotonic) -> None:
        self._cloud, self._clock = cloud, clock
        self._batches: dict[str, _Batch] = {}

    async def enqueue(self, settings: Settings, submission: TaskSubmission) -> JobHandle:
        """Waits until the submission's job is submitted. Raises Cancelled when its ticket was before that."""
        parts = settings.model_dump_json(exclude=_NOT_THE_JOBS), submission.package.python, submission.dependencies.name
        kind = " ".join(parts)
        batch = self._batches.setdefault(kind, _Batch(self._cloud, settings, self._clock))
        request = _Request(submission, asyncio.get_running_loop().create_future())
        batch.add(request)
        try:
            return await asyncio.shield(request.handle)
        except asyncio.CancelledError:
            await self._abandon(request)
            raise

    async def _abandon(self, request: _Request) -> None:
        """Nobody waits for this task any more: it does not leave, or is ended."""
        request.submission.ticket.cancelled = True
        if request.handle.done() and not request.handle.cancelled() and not request.handle.exception():
            handle = request.handle.result()
            await bounded(self._cloud.tenant(JobCanceller).end(handle.job_id, STOP_REASON, handle.member))


@dataclass
class Arrivals:
    """When tasks of one kind arrived, in seconds of a clock that only grows; `gap`: what usually lies between two."""

    last: float = float("-inf")
    gap: float = 0.0

    def note(self, now: float, linger: float) -> bool:
        """One comes now; whether it has company: another arrived within the linger."""
        gap, self.last = now - self.last, now
        company = gap < linger
        self.gap = (self.gap + gap) / 2 if company else 0.0
        return company

    def patience(self, linger: float) -> float:
        """How long nobody may come before those who wait leave."""
        return min(linger, max(linger * QUIET, self.gap * GAPS))


@dataclass(eq=False)
class _Batch:
    """Where tasks of one kind gather; who comes while a job is made is on the next."""

    cloud: Cloud
    settings: Settings
    clock: Callable[[], float]
    waiting: list[_Request] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    arrivals: Arrivals = field(default_factory=Arrivals)
    flusher: asyncio.Task[None] | None = None
    submitting: set[asyncio.Task[None]] = field(default_factory=set)

    def add(self, request: _Request) -> None:
        company = self.arrivals.note(self.clock(), self.settings.array_linger)
        self.waiting.append(request)
        self.arrived.set()
        if self.flusher is None or self.flusher.done():
            self.flusher = asyncio.get_running_loop().create_task(self._flush_while_waiting(company))

    async def _flush_while_waiting(self, company: bool) -> None:
        while self.waiting:
            if company:
                await self._linger()
            company = True
            await self._send(self._next_batch())

    async def _send(self, requests: Sequence[_Request]) -> None:
        """One batch is waited for, so that who comes meanwhile is on the next; when it was full, some wait already."""
        flush = asyncio.get_running_loop().create_task(self._flush(requests))
        self.submitting.add(flush)
        flush.add_done_callback(self.submitting.discard)
        if not self.waiting:
            await asyncio.wait([flush])
        elif len(self.submitting) >= BATCHES_AT_ONCE:
            await asyncio.wait(self.submitting, return_when=asyncio.FIRST_COMPLETED)

    async def _linger(self) -> None:
        """Until nobody has come for a while, the linger is over, or the array is full."""
        linger = self.settings.array_linger
        over = self.clock() + linger
        while len(self.waiting) < self.settings.max_array_size * self.settings.tasks_per_job:
            self.arrived.clear()
            patience = min(self.arrivals.patience(linger), over - self.clock())
            try:
                async with asyncio.timeout(patience):
                    await self.arrived.wait()
            except TimeoutError:
                return

    def _next_batch(self) -> list[_Request]:
        """As many as one array and one layer may carry, in the order of arrival; what they share counts once."""
        room, there = self.settings.max_layer_mib * MIB, set[str]()
        batch: list[_Request] = []
        for request in self.waiting[: self.settings.max_array_size * self.settings.tasks_per_job]:
            room -= request.submission.package.size_beside(there)
            if batch and room < 0:
                break
            batch.append(request)
        del self.waiting[: len(batch)]
        return batch

    async def _flush(self, requests: Sequence[_Request]) -> None:
        submissions = []
        for request in requests:
            if request.submission.ticket.cancelled:
                _settle(request, Cancelled("Cancelled before it was submitted."))
            else:
                submissions.append(request)
        if not submissions:
            return
        try:
            handles = await submit_job(self.cloud, self.settings, [request.submission for request in submissions])
        except asyncio.CancelledError:
            for request in submissions:
                request.handle.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is each submission's, and none may wait for ever
            for request in submissions:
                _settle(request, error)
            return
        for request, handle in zip(submissions, handles, strict=True):
            _settle(request, handle)


def _settle(request: _Request, outcome: JobHandle | Exception) -> None:
    if request.handle.done():
        return
    if isinstance(outcome, Exception):
        request.handle.set_exception(outcome)
        request.handle.exception()  # looked at: a submission that was abandoned won't
    else:
        request.handle.set_result(outcome)
