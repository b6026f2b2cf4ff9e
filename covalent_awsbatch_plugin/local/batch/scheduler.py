# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Takes jobs through their statuses on an engine: the part of AWS Batch and ECS that moto leaves out.

Everything here runs in one event loop; the API's threads come in through `LocalBatchBackend`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from signal import SIGKILL, SIGTERM
from typing import Any, Protocol
from uuid import uuid4

from .. import faults
from ..engines.base import Container, Engine, Exit, PullFailed, Running, StartFailed
from ..faults import Faults
from .jobs import (
    CHILD_FAILED,
    DEPENDENCY_FAILED,
    ENDED,
    EXITED,
    FAILED,
    NOT_STARTED,
    OUT_OF_MEMORY,
    PENDING,
    RUNNABLE,
    RUNNING,
    STARTING,
    SUBMITTED,
    SUCCEEDED,
    TIMED_OUT,
    TOO_LONG,
    Attempt,
    Job,
    now_ms,
)
from .retry import should_retry
from .validation import overrides_too_long

log = logging.getLogger(__name__)
STUCK_LOOK_S = 0.05
TOO_BIG = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that "
    "can be met by the CE(s) attached to the job queue."
)


class Surroundings(Protocol):
    """What a container finds around it: roles, logs, environment. The scheduler knows no AWS service but Batch."""

    def problem(self, job: Job) -> str | None:
        """Why ECS would not start the job's task: a role that is not there, a log group that is not."""

    def container(self, job: Job, attempt: Attempt) -> Container: ...
    def ended(self, attempt: Attempt) -> None: ...
    def log(self, job: Job, attempt: Attempt) -> LogSink: ...
    def fits(self, job: Job) -> bool:
        """Whether the queue's compute environments could ever run it."""


class LogSink(Protocol):
    name: str

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Limits:
    """`slots`: containers at a time. `grace_s`: between SIGTERM and SIGKILL; AWS waits 30 s.

    `minute_s`: how long a minute of a job's timeout lasts. AWS takes no timeout below 60 s; tests can't wait that long.
    """

    slots: int
    grace_s: float = 30.0
    minute_s: float = 60.0


class Scheduler:
    def __init__(self, engine: Engine, around: Surroundings, limits: Limits, faults: Faults | None = None) -> None:
        self._engine, self._around, self._limits = engine, around, limits
        self.faults = faults or Faults()
        loop = asyncio.get_running_loop()
        self.faults.added = lambda: loop.call_soon_threadsafe(self._lose_those_that_run)
        self._slots = asyncio.Semaphore(limits.slots)
        self._lives: dict[Job, asyncio.Task[None]] = {}

    def submit(self, job: Job, awaited: list[Job]) -> None:
        """Starts the job's life, and its children's; `awaited` must have succeeded before."""
        for child in job.children:
            self._begin(child, [*awaited, *_earlier(child)])
        self._begin(job, awaited)

    def _begin(self, job: Job, awaited: list[Job]) -> None:
        life = asyncio.get_running_loop().create_task(self._live(job, awaited))
        self._lives[job] = life
        life.add_done_callback(lambda _: self._after(job))

    def _after(self, job: Job) -> None:
        del self._lives[job]
        if job.status not in ENDED:  # cancelled, perhaps before its first step
            job.move(FAILED, job.stop_reason)

    def stop(self, job: Job, reason: str, *, running_too: bool) -> None:
        """TerminateJob (`running_too`) or CancelJob. A job that has ended stays as it is."""
        for child in job.children:
            self.stop(child, reason, running_too=running_too)
        if job.status in ENDED:
            return
        if job.children:
            job.stop_reason, job.is_terminated, job.is_cancelled = reason, running_too, not running_too
        elif job.stop_reason is not None:
            return
        elif job.status in (SUBMITTED, PENDING, RUNNABLE):
            job.is_cancelled, job.stop_reason = True, reason
            self._lives[job].cancel()
        elif running_too:
            job.is_terminated, job.stop_reason = True, reason
            job.stopping.set()

    async def close(self) -> None:
        """Ends every job and waits until nothing of them runs."""
        lives = list(self._lives.values())
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    # ---- a life -------------------------------------------------------------------------------------------------
    async def _live(self, job: Job, awaited: list[Job]) -> None:
        try:
            if job.children:
                await self._live_as_array(job)
            else:
                await self._live_alone(job, awaited)
        except Exception:  # a fault of this program must not leave a job that never ends
            log.exception("job %s: the offline AWS Batch itself failed", job.id)
            job.move(FAILED, "Internal error of the offline AWS Batch; its log tells more")

    async def _live_as_array(self, job: Job) -> None:
        job.move(PENDING)
        for child in job.children:
            await child.ended.wait()
        if all(child.status == SUCCEEDED for child in job.children):
            job.move(SUCCEEDED)
        else:
            job.move(FAILED, job.stop_reason or CHILD_FAILED)

    async def _live_alone(self, job: Job, awaited: list[Job]) -> None:
        if awaited and not await self._succeeded(job, awaited):
            job.move(FAILED, DEPENDENCY_FAILED)
        elif overrides_too_long(job.request.overrides):
            job.move(FAILED, TOO_LONG)
        else:
            while await self._in_turn(job):
                pass

    async def _in_turn(self, job: Job) -> bool:
        job.move(RUNNABLE)
        if not self._around.fits(job):
            job.status_reason = TOO_BIG
            await job.stopping.wait()  # for ever, until somebody cancels
        while (reason := self.faults.stuck(job)) is not None:
            job.status_reason = reason
            await asyncio.sleep(STUCK_LOOK_S)
        job.status_reason = None
        async with self._slots:
            return await self._attempt(job)

    @staticmethod
    async def _succeeded(job: Job, awaited: list[Job]) -> bool:
        job.move(PENDING)
        for each in awaited:
            await each.ended.wait()
        return all(each.status == SUCCEEDED for each in awaited)

    # ---- an attempt ---------------------------------------------------------------------------------------------
    async def _attempt(self, job: Job) -> bool:
        """One try; whether another follows. Ends the job when none does."""
        attempt = Attempt(f"{job.arn_prefix.replace(':batch:', ':ecs:')}:task/local/{uuid4().hex}")
        job.current = attempt
        job.move(STARTING)
        timed_out = False
        try:
            if fault := self.faults.of_job(job, faults.NOT_STARTED):
                raise StartFailed(fault.text)
            if problem := self._around.problem(job):
                raise StartFailed(problem)
            exited, timed_out = await self._run(job, attempt)
        except (PullFailed, StartFailed) as failed:
            attempt.status_reason, attempt.reason = NOT_STARTED, str(failed)
        else:
            attempt.exit_code, attempt.status_reason = exited.code, EXITED
            attempt.reason = OUT_OF_MEMORY if exited.out_of_memory else ""
            self._falsify(job, attempt)
        return self._conclude(job, attempt, timed_out)

    def _conclude(self, job: Job, attempt: Attempt, timed_out: bool) -> bool:
        attempt.stopped_at = now_ms()
        self._around.ended(attempt)
        job.attempts.append(attempt)
        if job.is_terminated:
            attempt.status_reason = job.stop_reason or ""
        elif timed_out:
            attempt.status_reason = TIMED_OUT
        elif attempt.exit_code == 0:
            job.move(SUCCEEDED, attempt.status_reason)
            return False
        elif _again(job, attempt):
            return True
        job.move(FAILED, attempt.status_reason)
        return False

    def _falsify(self, job: Job, attempt: Attempt) -> None:
        """What a lost machine, or an agent that lost its container, makes of how the attempt ended."""
        if attempt.lost.done():
            kind, attempt.status_reason = attempt.lost.result()
            attempt.exit_code = None if kind == faults.HOST_LOST else attempt.exit_code
        elif fault := self.faults.of_job(job, faults.AGENT):
            attempt.exit_code, attempt.reason = None, fault.text

    def _lose_those_that_run(self) -> None:
        for job in self._lives:
            if job.status == RUNNING:
                self._lose(job)

    def _lose(self, job: Job) -> None:
        """The job's machine goes away after a while, if somebody asked for that."""
        attempt = job.current
        if attempt is None or attempt.losing or not (fault := self.faults.of_job(job, *faults.LOSSES)):
            return
        attempt.losing = asyncio.create_task(_lose_in_time(attempt, fault))

    async def _run(self, job: Job, attempt: Attempt) -> tuple[Exit, bool]:
        container = self._around.container(job, attempt)
        if not await _unless(job.stopping, self._pull(container.image)):
            raise StartFailed("terminated before its container started")
        sink = self.faults.sink(job, self._around.log(job, attempt))

        def write(data: bytes) -> None:
            attempt.heard.set()
            sink.write(data)

        async with self._started(container, write) as running:
            attempt.started_at, attempt.log_stream = now_ms(), sink.name
            job.started_at = attempt.started_at
            job.move(RUNNING)
            self._lose(job)
            try:
                ended = await self._watch(job, attempt, running)
            finally:
                if attempt.losing:
                    attempt.losing.cancel()
        sink.close()
        return ended

    async def _pull(self, image: str) -> bool:
        try:
            await self._engine.pull(image)
        except PullFailed as failed:
            raise PullFailed(f"CannotPullContainerError: {failed}") from failed
        return True

    @asynccontextmanager
    async def _started(self, container: Container, write: Callable[[bytes], None]) -> AsyncIterator[Running]:
        try:
            running = await self._engine.start(container, write)
        except StartFailed as failed:
            raise StartFailed(f"CannotStartContainerError: {failed}") from failed
        try:
            yield running
        finally:
            await asyncio.shield(running.close())

    async def _watch(self, job: Job, attempt: Attempt, running: Running) -> tuple[Exit, bool]:
        """How it ended, and whether the timeout ended it: SIGTERM, the grace, SIGKILL, as for TerminateJob."""
        ended = asyncio.ensure_future(running.wait())
        told = asyncio.ensure_future(job.stopping.wait())
        try:
            limit = job.request.timeout_s and job.request.timeout_s / 60 * self._limits.minute_s
            ends: set[asyncio.Future[Any]] = {ended, told, attempt.lost}
            await asyncio.wait(ends, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            timed_out = not ended.done() and not told.done() and not attempt.lost.done()
            if not ended.done() and not _vanished(attempt):
                await running.signal(SIGTERM)
                await asyncio.wait({ended}, timeout=self._limits.grace_s)
            if not ended.done():
                await running.signal(SIGKILL)
            return await ended, timed_out
        finally:
            told.cancel()
            ended.cancel()


async def _lose_in_time(attempt: Attempt, fault: faults.Fault) -> None:
    if fault.once_heard:
        await attempt.heard.wait()
    await asyncio.sleep(fault.after_s)
    attempt.lost.set_result((fault.kind, fault.text))


def _vanished(attempt: Attempt) -> bool:
    """Whether its machine is gone, and nobody is there who could tell it to end."""
    return attempt.lost.done() and attempt.lost.result()[0] == faults.HOST_LOST


def _again(job: Job, attempt: Attempt) -> bool:
    return should_retry(
        job.request.retry,
        len(job.attempts),
        status_reason=attempt.status_reason,
        reason=attempt.reason,
        exit_code=attempt.exit_code,
    )


def _earlier(child: Job) -> list[Job]:
    """What a child of a SEQUENTIAL array waits for."""
    assert child.parent is not None
    assert child.index is not None
    sequential = any(each.get("type") == "SEQUENTIAL" for each in child.request.depends_on)
    return [child.parent.children[child.index - 1]] if sequential and child.index else []


async def _unless(stopping: asyncio.Event, deed: Coroutine[None, None, bool]) -> bool:
    """Whether the deed was done before somebody said stop; what it raised is raised."""
    work = asyncio.ensure_future(deed)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        return bool(work.done() and await work)
    finally:
        stop.cancel()
        work.cancel()
