# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The scheduler of AWS Batch and ECS, which moto lacks: it runs jobs on an engine and sets their status.

It runs in one event loop. The API's threads reach it through `LocalBatchBackend`.
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

from ...runner.protocol import log_header
from .. import faults
from ..engines.base import Container, Engine, Exit, Login, PullFailed, Running, StartFailed
from ..faults import Faults
from ..log_writer import LogWriter
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
    """The roles, logs and environment variables of containers. The scheduler knows no AWS service but Batch."""

    async def problem(self, job: Job) -> str | None:
        """Return the reason why ECS would not start the task, such as a missing role or log group, or None."""

    def container(self, job: Job, attempt: Attempt) -> Container: ...
    def ended(self, attempt: Attempt) -> None: ...
    async def login(self, job: Job) -> Login:
        """Return the login with which the job's image is pulled."""

    async def log(self, job: Job, attempt: Attempt) -> LogWriter:
        """Return the writer of the attempt's log. Raises StartFailed where there can be none."""

    def fits(self, job: Job) -> bool:
        """Return whether the queue's compute environments are large enough for the job."""


@dataclass(frozen=True)
class Limits:
    """The limits of a scheduler: `slots` containers at a time, `grace_s` seconds between SIGTERM and SIGKILL (AWS: 30).

    `minute_s` is the real time (seconds) of a minute of a job's timeout. AWS refuses timeouts below 60 s, which is too
    long for a test.
    """

    slots: int
    grace_s: float = 30.0
    minute_s: float = 60.0


class Scheduler:
    """A scheduler that runs each job in a task of its own."""

    def __init__(self, engine: Engine, around: Surroundings, limits: Limits, faults: Faults | None = None) -> None:
        self._engine, self._around, self._limits = engine, around, limits
        self.faults = faults or Faults()
        loop = asyncio.get_running_loop()
        self.faults.added = lambda: loop.call_soon_threadsafe(self._lose_running)
        self._slots = asyncio.Semaphore(limits.slots)
        self._tasks: dict[Job, asyncio.Task[None]] = {}

    def submit(self, job: Job, dependencies: list[Job]) -> None:
        """Start a task for the job and each child. All `dependencies` must succeed first."""
        for child in job.children:
            self._begin(child, [*dependencies, *_earlier(child)])
        self._begin(job, dependencies)

    def _begin(self, job: Job, dependencies: list[Job]) -> None:
        task = asyncio.get_running_loop().create_task(self._run_job(job, dependencies))
        self._tasks[job] = task
        task.add_done_callback(lambda _: self._after(job))

    def _after(self, job: Job) -> None:
        del self._tasks[job]
        if job.status not in ENDED:  # cancelled, perhaps before its first step
            job.move(FAILED, job.stop_reason)

    def stop(self, job: Job, reason: str, *, running_too: bool) -> None:
        """Terminate a job (`running_too`) or cancel it. A job that has ended does not change."""
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
            self._tasks[job].cancel()
        elif running_too:
            job.is_terminated, job.stop_reason = True, reason
            job.stopping.set()

    async def close(self) -> None:
        """End every job, and wait for the end of its containers."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- a job -------------------------------------------------------------------------------------------------
    async def _run_job(self, job: Job, dependencies: list[Job]) -> None:
        try:
            if job.children:
                await self._run_array(job)
            else:
                await self._run_single(job, dependencies)
        except Exception:  # an error of this program must not leave a job that never ends
            log.exception("job %s: the offline AWS Batch itself failed", job.id)
            job.move(FAILED, "Internal error of the offline AWS Batch; its log tells more")

    async def _run_array(self, job: Job) -> None:
        job.move(PENDING)
        for child in job.children:
            await child.ended.wait()
        if all(child.status == SUCCEEDED for child in job.children):
            job.move(SUCCEEDED)
        else:
            job.move(FAILED, job.stop_reason or CHILD_FAILED)

    async def _run_single(self, job: Job, dependencies: list[Job]) -> None:
        if dependencies and not await self._succeeded(job, dependencies):
            job.move(FAILED, DEPENDENCY_FAILED)
        elif overrides_too_long(job.request.overrides):
            job.move(FAILED, TOO_LONG)
        else:
            while await self._run_when_free(job):
                pass

    async def _run_when_free(self, job: Job) -> bool:
        job.move(RUNNABLE)
        if not self._around.fits(job):
            job.status_reason = TOO_BIG
            await job.stopping.wait()  # until the job is cancelled
        while (reason := self.faults.stuck(job)) is not None:
            job.status_reason = reason
            await asyncio.sleep(STUCK_LOOK_S)
        job.status_reason = None
        async with self._slots:
            return await self._attempt(job)

    @staticmethod
    async def _succeeded(job: Job, dependencies: list[Job]) -> bool:
        job.move(PENDING)
        for each in dependencies:
            await each.ended.wait()
        return all(each.status == SUCCEEDED for each in dependencies)

    # ---- an attempt ---------------------------------------------------------------------------------------------
    async def _attempt(self, job: Job) -> bool:
        """Run one attempt. Return whether another follows; otherwise the job has ended."""
        attempt = Attempt(f"{job.arn_prefix.replace(':batch:', ':ecs:')}:task/local/{uuid4().hex}")
        job.current = attempt
        job.move(STARTING)
        timed_out = False
        try:
            if fault := self.faults.of_job(job, faults.NOT_STARTED):
                raise StartFailed(fault.text)
            if problem := await self._around.problem(job):
                raise StartFailed(problem)
            container_exit, timed_out = await self._run(job, attempt)
        except (PullFailed, StartFailed) as error:
            # on Fargate the error is the status reason itself
            reasons = (str(error), "") if job.request.fargate else (NOT_STARTED, str(error))
            attempt.status_reason, attempt.reason = reasons
        else:
            attempt.exit_code, attempt.status_reason = container_exit.code, EXITED
            attempt.reason = OUT_OF_MEMORY if container_exit.out_of_memory else ""
            self._apply_faults(job, attempt)
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
        elif _retries(job, attempt):
            return True
        job.move(FAILED, attempt.status_reason)
        return False

    def _apply_faults(self, job: Job, attempt: Attempt) -> None:
        """Change the attempt's end where a fault took its instance, or hid its container from the agent."""
        if attempt.lost.done():
            kind, attempt.status_reason = attempt.lost.result()
            attempt.exit_code = None if kind == faults.HOST_LOST else attempt.exit_code
        elif fault := self.faults.of_job(job, faults.AGENT):
            attempt.exit_code, attempt.reason = None, fault.text

    def _lose_running(self) -> None:
        for job in self._tasks:
            if job.status == RUNNING:
                self._lose(job)

    def _lose(self, job: Job) -> None:
        """Start the loss of the job's instance where a fault asks for it."""
        attempt = job.current
        if attempt is None or attempt.losing or not (fault := self.faults.of_job(job, *faults.LOSSES)):
            return
        attempt.losing = asyncio.create_task(_lose_in_time(attempt, fault))

    async def _run(self, job: Job, attempt: Attempt) -> tuple[Exit, bool]:
        container = self._around.container(job, attempt)
        if not await _unless(job.stopping, self._pull(container.image, job)):
            raise StartFailed("terminated before its container started")
        writer = await self._around.log(job, attempt)
        sink = self.faults.sink(job, writer)

        def write(data: bytes) -> None:
            if not _is_header(data):
                attempt.heard.set()
            sink.write(data)

        async with self._started(container, write) as running:
            attempt.started_at, attempt.log_stream = now_ms(), sink.name
            job.started_at = attempt.started_at
            job.move(RUNNING)
            self._lose(job)
            try:
                end = await self._watch(job, attempt, running)
            finally:
                if attempt.losing:
                    attempt.losing.cancel()
        sink.close()
        await writer.flush()
        return end

    async def _pull(self, image: str, job: Job) -> bool:
        try:
            await self._engine.pull(image, await self._around.login(job))
        except PullFailed as error:
            raise PullFailed(f"CannotPullContainerError: {error}") from error
        return True

    @asynccontextmanager
    async def _started(self, container: Container, write: Callable[[bytes], None]) -> AsyncIterator[Running]:
        try:
            running = await self._engine.start(container, write)
        except StartFailed as error:
            raise StartFailed(f"CannotStartContainerError: {error}") from error
        try:
            yield running
        finally:
            await asyncio.shield(running.close())

    async def _watch(self, job: Job, attempt: Attempt, running: Running) -> tuple[Exit, bool]:
        """Return the container's exit, and whether the timeout ended it (SIGTERM, grace, SIGKILL)."""
        exit_ = asyncio.ensure_future(running.wait())
        stop = asyncio.ensure_future(job.stopping.wait())
        try:
            limit = job.request.timeout_s and job.request.timeout_s / 60 * self._limits.minute_s
            ends: set[asyncio.Future[Any]] = {exit_, stop, attempt.lost}
            await asyncio.wait(ends, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            timed_out = not exit_.done() and not stop.done() and not attempt.lost.done()
            if not exit_.done() and not _is_host_lost(attempt):
                await running.signal(SIGTERM)
                await asyncio.wait({exit_}, timeout=self._limits.grace_s)
            if not exit_.done():
                await running.signal(SIGKILL)
            return await exit_, timed_out
        finally:
            stop.cancel()
            exit_.cancel()


def _is_header(data: bytes) -> bool:
    """Return whether output is the runner's line before a task, and nothing of the task."""
    return data.startswith(log_header.MARK.encode()) and data.count(b"\n") <= 1


async def _lose_in_time(attempt: Attempt, fault: faults.Fault) -> None:
    if fault.once_heard:
        await attempt.heard.wait()
    await asyncio.sleep(fault.after_s)
    attempt.lost.set_result((fault.kind, fault.text))


def _is_host_lost(attempt: Attempt) -> bool:
    """Return whether the instance is gone, so that no signal can reach the container."""
    return attempt.lost.done() and attempt.lost.result()[0] == faults.HOST_LOST


def _retries(job: Job, attempt: Attempt) -> bool:
    return should_retry(
        job.request.retry,
        len(job.attempts),
        status_reason=attempt.status_reason,
        reason=attempt.reason,
        exit_code=attempt.exit_code,
    )


def _earlier(child: Job) -> list[Job]:
    """Return the child before this one in a SEQUENTIAL array, in a list."""
    assert child.parent is not None
    assert child.index is not None
    sequential = any(each.get("type") == "SEQUENTIAL" for each in child.request.depends_on)
    return [child.parent.children[child.index - 1]] if sequential and child.index else []


async def _unless(stopping: asyncio.Event, coroutine: Coroutine[None, None, bool]) -> bool:
    """Return whether a coroutine finished before `stopping` was set. Its exceptions are raised."""
    work = asyncio.ensure_future(coroutine)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        return bool(work.done() and await work)
    finally:
        stop.cancel()
        work.cancel()
