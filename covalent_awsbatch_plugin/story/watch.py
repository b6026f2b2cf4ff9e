# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One watcher for all live jobs of an event loop and connection: 100 ids a call, whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..hands.batch import Batch
from ..thought.errors import AWSBatchError, Lost
from ..thought.jobs import JobState

log = logging.getLogger(__name__)

FORGOTTEN_AFTER = 20  # looks in a row at which AWS Batch did not know the id; a fresh id can be unknown for seconds
FAILED_LOOKS = 60  # looks in a row that ended in an error which trying again does not help


@dataclass(eq=False)
class _Watched:
    """One job somebody waits for."""

    every: float
    ended: asyncio.Future[JobState]
    unseen: int = 0
    failed: int = 0


class Watcher:
    """Tells when jobs end. Runs only while there is something to watch; `sleep` is an argument for tests."""

    def __init__(self, batch: Batch, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._batch, self._sleep = batch, sleep
        self._jobs: dict[str, _Watched] = {}
        self._looking: asyncio.Task[None] | None = None

    async def ended(self, job_id: str, every: float) -> JobState:
        """Waits for the job's end, which is seen at most `every` seconds late.

        Raises Lost when AWS Batch no longer knows the job, and a ServiceError when it can't be asked for long.
        """
        watched = self._jobs.get(job_id)
        if watched is None:
            watched = self._jobs[job_id] = _Watched(every, asyncio.get_running_loop().create_future())
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_until_all_ended())
        try:
            return await asyncio.shield(watched.ended)
        finally:
            self._jobs.pop(job_id, None)

    async def _look_until_all_ended(self) -> None:
        while self._jobs:
            await self._sleep(min(job.every for job in self._jobs.values()))
            await self._look()

    async def _look(self) -> None:
        waiting = [job_id for job_id, job in self._jobs.items() if not job.ended.done()]
        try:
            states = await self._batch.describe(waiting)
        except AWSBatchError as error:
            log.warning("AWS Batch could not be asked for %d jobs; asking again. %s", len(waiting), error)
            self._note_failure(waiting, error)
            return
        for job_id in waiting:
            if job := self._jobs.get(job_id):
                self._note(job_id, job, states.get(job_id))

    def _note(self, job_id: str, job: _Watched, state: JobState | None) -> None:
        job.failed = 0
        job.unseen = 0 if state else job.unseen + 1
        if state and state.ended:
            job.ended.set_result(state)
        elif job.unseen >= FORGOTTEN_AFTER:
            job.ended.set_exception(
                Lost(f"AWS Batch does not know the job {job_id}.", advice="It forgets jobs a week after their end.")
            )

    def _note_failure(self, waiting: list[str], error: AWSBatchError) -> None:
        for job_id in waiting:
            job = self._jobs.get(job_id)
            if job and not error.retry_may_help:
                job.failed += 1
                if job.failed >= FAILED_LOOKS:
                    job.ended.set_exception(error)

    async def aclose(self) -> None:
        """Stop looking."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
