# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One watcher for all live jobs of an event loop and connection, whoever waits for them.

Jobs are asked for 100 ids a call. An array is asked for by its parent alone: its summary says how many children have
ended, and only when more have, one LIST of the results' folder says which.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ..ground import layout
from ..hands.batch import Batch
from ..thought.errors import AWSBatchError, Lost
from ..thought.job_detail import FAILED, SUCCEEDED, JobState

log = logging.getLogger(__name__)

FORGOTTEN_AFTER = 20  # looks in a row at which AWS Batch did not know the id; a fresh id can be unknown for seconds
FAILED_LOOKS = 60  # looks in a row that ended in an error which trying again does not help
QUICKEST = 1 / 20  # of `every`: how soon to look again while jobs move
SLOWER = 1.6  # times longer after each look at which nothing had moved
LEAST_SECONDS = 0.1

BEGUN = frozenset({"STARTING", "RUNNING", SUCCEEDED, FAILED})

T = TypeVar("T")
List = Callable[[str], Awaitable[list[str]]]  # the keys below a prefix


@dataclass(frozen=True)
class Committed:
    """A child of an array has written a result; which attempt's, the newest there is."""

    attempt: int


@dataclass(eq=False)
class _Watched:
    """What AWS Batch is asked about by id. `failed` and `unseen` count looks in a row."""

    every: float
    state: JobState | None = None
    unseen: int = 0
    failed: int = 0


@dataclass(eq=False)
class _Job(_Watched):
    """One job somebody waits for, by its own id."""

    ended: asyncio.Future[JobState] = field(kw_only=True)

    def fail(self, error: AWSBatchError) -> None:
        _settle(self.ended, error)


@dataclass(eq=False)
class _Array(_Watched):
    """An array some of whose children somebody waits for.

    `committed` are the children known to have written a result, `counted` how many had ended at the last look into it.
    """

    prefix: str = field(kw_only=True)
    keys: List = field(kw_only=True)
    children: dict[int, asyncio.Future[Committed | JobState]] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)
    counted: int = 0

    def fail(self, error: AWSBatchError) -> None:
        for child in self.children.values():
            _settle(child, error)

    @property
    def waiting(self) -> list[int]:
        return [index for index, child in self.children.items() if not child.done()]


class Watcher:
    """Tells when jobs end. Runs only while there is something to watch; `sleep` is an argument for tests."""

    def __init__(self, batch: Batch, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._batch, self._sleep = batch, sleep
        self._jobs: dict[str, _Job] = {}
        self._arrays: dict[str, _Array] = {}
        self._looking: asyncio.Task[None] | None = None
        self._moved = False

    async def ended(self, job_id: str, every: float) -> JobState:
        """Waits for the job's end, which is seen at most `every` seconds late; an array's child may be asked for too.

        Raises Lost when AWS Batch no longer knows the job, and a ServiceError when it can't be asked for long.
        """
        job = self._jobs.get(job_id) or _Job(every, ended=asyncio.get_running_loop().create_future())
        self._jobs[job_id] = job
        self._start()
        try:
            return await asyncio.shield(job.ended)
        finally:
            self._jobs.pop(job_id, None)

    async def committed_or_ended(self, job_id: str, every: float, prefix: str, keys: List) -> Committed | JobState:
        """For an array's child: waits until a result is there, or it has ended without one. Raises as `ended`.

        The array's results lie below `prefix`; `keys` lists what lies below a prefix of the bucket.
        """
        parent, _, index = job_id.partition(":")
        array = self._arrays.setdefault(parent, _Array(every, prefix=prefix, keys=keys))
        child = array.children.setdefault(int(index), asyncio.get_running_loop().create_future())
        self._start()
        try:
            return await asyncio.shield(child)
        finally:
            array.children.pop(int(index), None)
            if not array.children:
                self._arrays.pop(parent, None)

    def has_begun(self, job_id: str) -> bool:
        """Whether the job has been seen to leave the queue; of an array, whether any of its children has."""
        parent = job_id.partition(":")[0]
        watched = self._jobs.get(job_id) or self._arrays.get(parent)
        return bool(watched and watched.state and _has_begun(watched.state))

    def _start(self) -> None:
        self._moved = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_until_all_ended())

    async def _look_until_all_ended(self) -> None:
        delay = 0.0
        while watched := [*self._jobs.values(), *self._arrays.values()]:
            every = min(one.every for one in watched)
            quickest = max(every * QUICKEST, min(LEAST_SECONDS, every))
            delay = quickest if self._moved else min(every, delay * SLOWER)
            self._moved = False
            await self._sleep(delay)
            await self._look()

    async def _look(self) -> None:
        asked: dict[str, _Job | _Array] = {
            **{job_id: job for job_id, job in self._jobs.items() if not job.ended.done()},
            **{parent: array for parent, array in self._arrays.items() if array.waiting},
        }
        try:
            states = await self._batch.describe(list(asked))
            for job_id, watched in asked.items():
                self._note(job_id, watched, states.get(job_id))
                if isinstance(watched, _Array) and watched.state and _ended_children(watched.state) != watched.counted:
                    await self._look_into(job_id, watched, watched.state)
        except AWSBatchError as error:
            log.warning("AWS Batch could not be asked for %d jobs; asking again. %s", len(asked), error)
            _note_failure(asked.values(), error)

    def _note(self, job_id: str, watched: _Job | _Array, state: JobState | None) -> None:
        watched.failed = 0
        watched.unseen = 0 if state else watched.unseen + 1
        self._moved = self._moved or _differs(watched.state, state)
        _tell_why_it_waits(watched.state, state)
        watched.state = state
        if watched.unseen >= FORGOTTEN_AFTER:
            advice = "It forgets jobs a week after their end."
            watched.fail(Lost(f"AWS Batch does not know the job {job_id}.", advice=advice))
        elif state and state.ended and isinstance(watched, _Job):
            _settle(watched.ended, state)

    async def _look_into(self, parent: str, array: _Array, state: JobState) -> None:
        """Which children have ended: those with a result by one LIST, the others by asking for them alone."""
        for index, attempt in _results(await array.keys(f"{array.prefix}/{parent}/"), f"{array.prefix}/{parent}/"):
            array.committed.add(index)
            if index in array.children:
                _settle(array.children[index], Committed(attempt))
        suspects = [f"{parent}:{index}" for index in array.waiting if state.ended]
        if not state.ended and _ended_children(state) > len(array.committed):
            failed = set(await self._batch.failed_children(parent))
            suspects = [f"{parent}:{index}" for index in array.waiting if f"{parent}:{index}" in failed]
        for job_id, child in (await self._batch.describe(suspects)).items():
            if child.ended:
                _settle(array.children[int(job_id.partition(":")[2])], child)
        if not (state.ended and array.waiting):  # a child can be told of later than its parent
            array.counted = _ended_children(state)

    async def aclose(self) -> None:
        """Stop looking."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)


def _results(keys: Iterable[str], below: str) -> Iterable[tuple[int, int]]:
    """Index and newest attempt of each child that has committed: `layout.result_key`, read backwards."""
    newest: dict[int, int] = {}
    for key in keys:
        index, attempt, name = key.removeprefix(below).split("/", 2)
        if name == layout.RESULT_NAME:
            newest[int(index)] = max(newest.get(int(index), 0), int(attempt))
    return newest.items()


def _ended_children(state: JobState) -> int:
    return state.children.get(SUCCEEDED, 0) + state.children.get(FAILED, 0)


def _has_begun(state: JobState) -> bool:
    """An array's parent is PENDING while its children run."""
    return bool(BEGUN & {state.status, *(status for status, count in state.children.items() if count)})


def _tell_why_it_waits(before: JobState | None, now: JobState | None) -> None:
    """Once, and again when AWS Batch gives another reason: only the head of a queue gets one."""
    reason = now.status_reason if now and not _has_begun(now) else ""
    if now and reason and reason != (before.status_reason if before else ""):
        log.warning("Batch job %s waits in the queue. AWS says: %s", now.job_id, reason)


def _differs(before: JobState | None, now: JobState | None) -> bool:
    return now is not None and (before is None or (before.status, before.children) != (now.status, now.children))


def _note_failure(asked: Iterable[_Job | _Array], error: AWSBatchError) -> None:
    for watched in asked if not error.retry_may_help else ():
        watched.failed += 1
        if watched.failed >= FAILED_LOOKS:
            watched.fail(error)


def _settle(future: asyncio.Future[T], outcome: T | AWSBatchError) -> None:
    if future.done():
        return
    if isinstance(outcome, AWSBatchError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
