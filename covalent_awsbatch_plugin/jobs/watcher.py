# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Watch all active jobs of an event loop and connection.

DescribeJobs is called with 100 ids. An array job is asked for by its parent alone: its summary has the number of child
jobs that have ended, and when more have, one LIST of the results' folder names them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from ..core.outage import PATIENCE_SECONDS
from ..errors import AWSBatchError
from .backend import Backend
from .description import JobState
from .watched import Array, Committed, Job, List, Seen, Watched, has_begun

log = logging.getLogger(__name__)

QUICKEST = 1 / 20  # part of `every` before the next request while jobs change
SLOWER = 1.6  # factor of the pause after each request without a change
LEAST_SECONDS = 0.1
REST = 10  # factor of the last look's own duration: a look at ten thousand tasks blocks the loop for a second


class Watcher:
    """Reports the ends of jobs. Runs only while jobs are watched; `sleep` and `clock` are arguments for tests."""

    def __init__(
        self,
        backend: Backend,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        outage_patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._backend, self._sleep, self._clock = backend, sleep, clock
        self._outage_patience = outage_patience  # for LISTs; DescribeJobs has it in the backend
        self._jobs: dict[str, Job] = {}
        self._arrays: dict[str, Array] = {}
        self._seen: dict[str, Seen] = {}
        self._looking: asyncio.Task[None] | None = None
        self._moved = False
        self._rest: tuple[float, asyncio.Future[None]] | None = None

    async def ended(self, job_id: str, every: float) -> JobState:
        """Wait for the job's end, which is seen at most `every` seconds late; `job_id` may be a child job's.

        Raises Lost if AWS Batch no longer knows the job, and a ServiceError if requests fail for long.
        """
        job = self._jobs.setdefault(job_id, Job(every))
        self._start(job, every)
        try:
            return await job.end.wait()
        finally:
            if not job.end.waiting:
                self._jobs.pop(job_id, None)

    async def committed_or_ended(
        self, job_id: str, every: float, prefix: str, keys: List, member: int | None = None
    ) -> Committed | JobState:
        """Wait until a child job, or a `member` of a shared job, has a result or ended without one.

        The results are below `prefix`; `keys` lists the keys below a prefix of the bucket. Raises the errors of `ended`
        and of `give_up`.
        """
        parent, _, index = job_id.partition(":")
        number = int(index) if member is None else member
        array = self._arrays.setdefault(parent, Array(every, prefix=prefix, keys=keys, shared=member is not None))
        task = array.task(number, job_id)
        self._start(array, every)
        try:
            return await task.wait()
        finally:
            if not task.waiting:
                array.tasks.pop(number, None)
            if not array.tasks and self._arrays.get(parent) is array:
                del self._arrays[parent]

    async def states(self, job_id: str, every: float) -> AsyncIterator[JobState]:
        """Yield the state of a job, or of an array by its parent, at each look until it has ended; the last is its end.

        Looks come at most `every` seconds apart, and sooner while jobs change. A consumer that takes long misses some.
        Raises the errors of `ended`.
        """
        job = self._seen.setdefault(job_id, Seen(every))
        news = job.listen()
        self._start(job, every)
        try:
            while True:
                state = await job.next(news)
                yield state
                if state.ended:
                    return
        finally:
            job.news.remove(news)
            if not job.news:
                self._seen.pop(job_id, None)

    def note_news(self) -> None:
        """Look again soon: whoever asked for states has found that something changed."""
        self._moved = True

    def give_up(self, job_id: str, member: int, error: AWSBatchError) -> None:
        """Raise the error for callers that wait for this task of a shared job."""
        array = self._arrays.get(job_id.partition(":")[0])
        if array and member in array.tasks:
            array.tasks[member].fail(error)

    def state_of(self, job_id: str) -> JobState | None:
        """Return the state of a job that `states` watches, as of the last look."""
        job = self._seen.get(job_id)
        return job.state if job else None

    def has_begun(self, job_id: str) -> bool:
        """Return whether the job was seen to leave the queue; for an array job, whether a child job was."""
        parent = job_id.partition(":")[0]
        watched = self._jobs.get(job_id) or self._arrays.get(parent) or self._seen.get(parent)
        return bool(watched and watched.state and has_begun(watched.state))

    def _start(self, watched: Watched, every: float) -> None:
        """Watch soon, even if the watcher is in a long pause."""
        watched.every = min(watched.every, every)
        self._moved = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_until_all_ended())
        elif self._rest and self._rest[0] > _quickest(every):
            self._rest[1].cancel()

    async def _look_until_all_ended(self) -> None:
        delay = took = 0.0
        while watched := [*self._open_jobs().values(), *self._open_arrays().values(), *self._open_seen().values()]:
            every = min(one.every for one in watched)
            delay = _quickest(every) if self._moved else delay * SLOWER
            delay = min(every, max(delay, took * REST))
            self._moved = False
            if not await self._rested(delay):
                continue
            began = self._clock()
            try:
                await self._look(delay)
            except Exception as error:  # whatever it is, no caller may wait forever
                log.exception("The watcher failed")
                for one in watched:
                    one.fail(error)
            took = self._clock() - began

    def _open_jobs(self) -> dict[str, Job]:
        return {job_id: job for job_id, job in self._jobs.items() if job.end.open}

    def _open_arrays(self) -> dict[str, Array]:
        return {parent: array for parent, array in self._arrays.items() if array.waiting}

    def _open_seen(self) -> dict[str, Seen]:
        return {job_id: job for job_id, job in self._seen.items() if job.open}

    async def _rested(self, delay: float) -> bool:
        """Wait for the pause; return False if a new caller cut it short."""
        rest = asyncio.ensure_future(self._sleep(delay))
        self._rest = delay, rest
        try:
            await asyncio.wait([rest])
            return not rest.cancelled()
        finally:
            rest.cancel()
            self._rest = None

    async def _look(self, after_s: float) -> None:
        jobs, arrays = self._open_jobs(), self._open_arrays()
        by_states = self._open_seen()
        entries: dict[str, Watched] = {**jobs, **arrays, **by_states}
        try:
            states = await self._backend.describe(list(entries))
        except AWSBatchError as error:
            log.warning("DescribeJobs failed for %d jobs; trying again. %s", len(entries), error)
            for watched in entries.values():
                watched.not_answered(error, after_s, outage_patience=0)  # an outage was ridden out
            return
        for job_id, watched in entries.items():
            self._note(job_id, watched, states.get(job_id), after_s)
        for job in jobs.values():
            job.failing_s = 0
            if job.state and job.state.ended:
                job.end.tell(job.state)
        for one in by_states.values():
            one.failing_s = 0
            one.tell()
        for parent, array in arrays.items():
            await self._look_at_array(parent, array, after_s)

    def _note(self, job_id: str, watched: Watched, state: JobState | None, after_s: float) -> None:
        self._moved = self._moved or _differs(watched.state, state)
        _tell_why_it_waits(watched.state, state)
        watched.state = state
        if state is None:
            watched.not_known(job_id, after_s)
        else:
            watched.unseen_s = 0

    async def _look_at_array(self, parent: str, array: Array, after_s: float) -> None:
        """Look into an array; an error counts for this array alone, and only after a while."""
        try:
            if array.state and array.worth_a_look:
                await self._look_into(parent, array, array.state, after_s)
            array.failing_s = 0
        except AWSBatchError as error:
            log.warning("The child jobs of %s could not be listed; trying again. %s", parent, error)
            array.not_answered(error, after_s, self._outage_patience)

    async def _look_into(self, parent: str, array: Array, state: JobState, after_s: float) -> None:
        """Find the tasks that ended: those with a result by one LIST, the others by their jobs."""
        below = f"{array.prefix}/{parent}/"
        array.missed = False
        self._moved = array.note_results(await array.keys(below), below) or self._moved
        ended = await self._backend.describe(await self._suspects(parent, array, state))
        for task in array.waiting:
            if (of := ended.get(task.job_id)) and of.ended:
                task.tell(of)
        if not (state.ended and array.waiting):
            array.counted = array.ended_jobs
        else:
            array.not_told(after_s)

    async def _suspects(self, parent: str, array: Array, state: JobState) -> list[str]:
        """Return the jobs that may have ended without a result that a caller waits for."""
        jobs = list(dict.fromkeys(task.job_id for task in array.waiting))
        if state.ended:
            return jobs
        if not array.unexplained:
            return []
        failed = set(await self._backend.failed_children(parent))
        return [job_id for job_id in jobs if job_id in failed]

    async def aclose(self) -> None:
        """Stop looking."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)


def _quickest(every: float) -> float:
    return max(every * QUICKEST, min(LEAST_SECONDS, every))


def _tell_why_it_waits(before: JobState | None, now: JobState | None) -> None:
    """Log the reason why a job waits, once for each reason: only the head of a queue gets one."""
    reason = now.status_reason if now and not has_begun(now) else ""
    if now and reason and reason != (before.status_reason if before else ""):
        log.warning("Batch job %s waits in the queue. AWS says: %s", now.job_id, reason)


def _differs(before: JobState | None, now: JobState | None) -> bool:
    return now is not None and (before is None or (before.status, before.children) != (now.status, now.children))
