# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Ends jobs with as few calls as it takes: an array all of whose tasks are to end is ended by its parent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .cloud import Cloud
from .housekeeping import Housekeeper

QUIET_SECONDS = 0.2  # a cancelled dispatch cancels its tasks one by one, each some milliseconds after the other
LONGEST_SECONDS = 10


class Terminator:
    """One for each Cloud. `sleep` is an argument for tests."""

    def __init__(self, cloud: Cloud, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._cloud, self._sleep = cloud, sleep
        self._wanted: dict[str, set[str]] = {}
        self._flushes: dict[str, asyncio.Task[None]] = {}

    async def end(self, job_id: str, reason: str) -> None:
        """Ends the job in any state; an array's child may wait a moment for its brothers. Raises a ServiceError."""
        parent, _, index = job_id.partition(":")
        if not index:
            await self._cloud.batch.terminate(job_id, reason)
            return
        self._wanted.setdefault(parent, set()).add(job_id)
        if parent not in self._flushes:
            self._flushes[parent] = asyncio.get_running_loop().create_task(self._flush(parent, reason))
        await asyncio.shield(self._flushes[parent])

    async def _flush(self, parent: str, reason: str) -> None:
        waited, before = 0.0, 0
        while len(self._wanted[parent]) > before and waited < LONGEST_SECONDS:
            before = len(self._wanted[parent])
            await self._sleep(QUIET_SECONDS)
            waited += QUIET_SECONDS
        del self._flushes[parent]
        wanted = self._wanted.pop(parent)
        unread = self._cloud.tenant(Housekeeper).unread(parent)
        if unread and unread <= wanted:
            await self._cloud.batch.terminate(parent, reason)
        else:
            await asyncio.gather(*(self._cloud.batch.terminate(job_id, reason) for job_id in wanted))
