# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The end of jobs by TerminateJob, with few calls: an array whose tasks shall all end is ended by its parent's id.

One task of a shared container can't be ended alone, so the job is ended when all of its tasks are cancelled or have
ended. Until then a cancelled task may run on, and its result is not read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import AWSBatchError, Cancelled
from .cleanup import Cleanup
from .services import Services

log = logging.getLogger(__name__)

CANCEL_REASON = "Cancelled by the user of this Covalent workflow"
STOP_REASON = "The Covalent server that submitted this job was stopped"
CLEAN_UP_SECONDS = 10  # time that a stopping server gives to the end of its jobs
QUIET_SECONDS = 0.2  # a cancelled dispatch cancels its tasks one by one, each some milliseconds after the other
LONGEST_SECONDS = 10


class JobCanceller:
    """Ends jobs of one connection. `sleep` is an argument for tests."""

    def __init__(
        self, services: Services, cleanup: Cleanup, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._services, self._cleanup, self._sleep = services, cleanup, sleep
        self._ending: dict[str, set[str]] = {}  # ids of jobs that shall end, by their array
        self._members: dict[str, set[int]] = {}  # the running, not cancelled tasks of a job with a shared container
        self._given_up: set[str] = set()  # shared jobs with a cancelled task that may still run
        self._flushes: dict[str, asyncio.Task[None]] = {}

    def submitted(self, job_id: str, member: int) -> None:
        """Note a task that shares its job's container with others."""
        self._members.setdefault(job_id, set()).add(member)

    def unwanted(self, result_id: str) -> None:
        """Note that nobody will read a task's result."""
        self._cleanup.read(result_id)

    async def ended(self, job_id: str, reason: str, member: int | None) -> None:
        """Note the end of a task. If all others of its container were cancelled or have ended, end the job."""
        if member is not None and self._last_of(job_id, member) and job_id in self._given_up:
            self._given_up.discard(job_id)
            await self._end(job_id, reason)

    async def end(self, job_id: str, reason: str, member: int | None = None) -> None:
        """End the job in any state, unless tasks other than `member` still need it. Raises a ServiceError.

        The end of an array's child waits a moment, so that several ends can share one call.
        """
        if member is not None and job_id in self._members:
            self._services.watcher.give_up(job_id, member, Cancelled(f"{reason}."))
            if member in self._members[job_id]:
                self._given_up.add(job_id)
            if not self._last_of(job_id, member):
                return
            self._given_up.discard(job_id)
        await self._end(job_id, reason)

    def _last_of(self, job_id: str, member: int) -> bool:
        """Remove a member; return whether no other member is left, as for a job that another process submitted."""
        members = self._members.get(job_id, set())
        members.discard(member)
        if not members:
            self._members.pop(job_id, None)
        return not members

    async def _end(self, job_id: str, reason: str) -> None:
        parent, _, index = job_id.partition(":")
        if not index:
            await self._services.backend.terminate(job_id, reason)
            return
        self._ending.setdefault(parent, set()).add(job_id)
        if parent not in self._flushes or self._flushes[parent].done():  # done: cancelled by a stopping loop
            self._flushes[parent] = asyncio.get_running_loop().create_task(self._flush(parent, reason))
        await asyncio.shield(self._flushes[parent])

    async def _flush(self, parent: str, reason: str) -> None:
        waited, before = 0.0, 0
        while len(self._ending[parent]) > before and waited < LONGEST_SECONDS:
            before = len(self._ending[parent])
            await self._sleep(QUIET_SECONDS)
            waited += QUIET_SECONDS
        self._flushes.pop(parent, None)
        job_ids = self._ending.pop(parent)
        if self._is_whole_array(parent, job_ids):
            await self._services.backend.terminate(parent, reason)
        else:
            await asyncio.gather(*(self._services.backend.terminate(job_id, reason) for job_id in job_ids))

    def _is_whole_array(self, parent: str, job_ids: set[str]) -> bool:
        """Return whether no other task of the array will be read or runs on."""
        if any(job_id.partition(":")[0] == parent for job_id in self._members):
            return False
        unread = self._cleanup.unread(parent)
        return bool(unread) and unread <= job_ids


async def bounded(work: Any) -> None:
    """Await clean-up work under cancellation for at most CLEAN_UP_SECONDS; its errors are logged, never raised."""
    try:
        async with asyncio.timeout(CLEAN_UP_SECONDS):
            await work
    except TimeoutError:
        log.warning(
            "A job may be left running: AWS Batch did not confirm its end within %s s. "
            "`covalent-awsbatch jobs` lists the jobs that run.",
            CLEAN_UP_SECONDS,
        )
    except AWSBatchError as error:
        log.warning("A job may be left running: %s", error)
