# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The results of a running array: one coroutine lists them, reads them and names the members that left none."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ..aws.s3 import Store
from ..aws.s3_fast_get import TooLarge
from ..core.concurrency import together
from ..errors import Lost
from ..jobs.description import FAILED, SUCCEEDED, JobState
from ..jobs.watched import FORGOTTEN_SECONDS, has_begun, results_in
from ..runner.protocol import bundle, layout
from ..runner.protocol import envelope as env
from ..settings import Settings
from .array_package import member_key
from .client import Client
from .job_handle import JobHandle
from .results import Ended, newest_envelope, not_authentic, results_store

T = TypeVar("T")

log = logging.getLogger(__name__)

READS_AT_ONCE = 64  # results that are read at the same time


def array_key(secret: bytes, array_id: str) -> bytes:
    """Return the key of an array, from which its members' result keys are derived."""
    return hmac.digest(secret, b"array " + array_id.encode(), "sha256")


@dataclass(eq=False)
class ArrayResults:
    """The results of one array of `size` members, which `handle` names as a whole and `key` authenticates.

    `open` are the members whose end is not known yet. `on_end` is called once for each of them, with its result or with
    the state of its job.
    """

    client: Client
    settings: Settings
    handle: JobHandle
    size: int
    key: bytes = field(repr=False)
    open: set[int] = field(repr=False)
    on_end: Callable[[int, Ended], None]
    _counted: int = -1
    _untold_s: float = 0
    _waits: dict[int, int] = field(default_factory=dict)  # the attempt of a result without a value, by member
    _read_keys: set[str] = field(default_factory=set)  # bundles
    _cut_short: dict[int, env.Envelope] = field(default_factory=dict)

    async def follow(self) -> None:
        """Call `on_end` for each open member. Raises Lost or a ServiceError if the array can't be watched."""
        if not self.open:
            return
        store = await results_store(self.client.services, self.settings, self.handle)
        watcher = self.client.services.watcher
        async for state in watcher.states(self.handle.job_id, self.settings.poll_freq):
            while await self._look(store, state):  # noqa: ASYNC110 - AWS Batch tells nobody
                await asyncio.sleep(self._pause())
            if not self.open:
                return

    async def read(self) -> None:
        """Call `on_end` for each open member that has left a value; AWS Batch is not asked."""
        await self._read_new(await results_store(self.client.services, self.settings, self.handle))

    async def look(self) -> None:
        """Call `on_end` for each open member that has ended by now. Raises Lost or a ServiceError."""
        store = await results_store(self.client.services, self.settings, self.handle)
        job_id = self.handle.job_id
        state = (await self.client.services.backend.describe([job_id])).get(job_id)
        if state is None:  # AWS Batch has forgotten the job
            await self._read_new(store)
        else:
            await self._look(store, state)

    async def _look(self, store: Store, state: JobState) -> bool:
        """Find the members that have ended; return whether some of an ended array are not told yet."""
        ended = self._ended_jobs(state)
        if not has_begun(state) or not (state.ended or self._shared or ended != self._counted):
            return False
        before = len(self.open)
        await self._read_new(store)
        await self._ask_for(store, await self._suspects(state, ended))
        self._counted = ended
        if len(self.open) < before:
            self.client.services.watcher.note_news()
        if not (state.ended and self.open):
            return False
        if self._untold_s >= FORGOTTEN_SECONDS:
            raise Lost(f"AWS Batch does not tell the end of {len(self.open)} jobs of the array {self.handle.job_id}.")
        self._untold_s += self._pause()
        return True

    def _pause(self) -> float:
        return max(0.1, self.settings.poll_freq / 4)

    @property
    def _shared(self) -> bool:
        return self.settings.shares_containers

    def _ended_jobs(self, state: JobState) -> int:
        if not self._is_array:
            return int(state.ended)
        return state.children.get(SUCCEEDED, 0) + state.children.get(FAILED, 0)

    @property
    def _is_array(self) -> bool:
        return self.size > self.settings.tasks_per_job

    # ---- results in the bucket --------------------------------------------------------------------------------------
    async def _read_new(self, store: Store) -> None:
        below = f"{self.handle.prefix}/{self.handle.job_id}/"
        keys = await store.keys(below)
        if self._shared:
            bundles = [key for key in keys if key.rpartition("/")[2].startswith(bundle.NAME)]
            await self._at_once(
                [key for key in bundles if key not in self._read_keys], lambda key: self._read_bundle(store, key)
            )
            return
        if not self._is_array:  # the id of a lone job is that of its task
            keys = [key.replace(below, f"{below}0/", 1) for key in keys]
        newest = results_in(keys, below)
        new = [(m, attempt) for m, attempt in newest.items() if m in self.open and self._waits.get(m) != attempt]
        await self._at_once(new, lambda each: self._read(store, *each))

    async def _read(self, store: Store, member: int, attempt: int) -> None:
        handle = self.member(member)
        key = layout.result_key(handle.prefix, handle.result_id, attempt)
        try:
            data = await store.get(key)
            if data is None:
                return
            envelope = env.unseal(data, member_key(self.key, member), job_id=handle.result_id, attempt=attempt)
        except (env.BadEnvelope, TooLarge) as error:
            raise not_authentic(store, key, error) from error
        if envelope.returned:
            self._end(member, Ended(handle, None, envelope))
        else:
            self._waits[member] = attempt  # AWS Batch may run another attempt, and says more

    async def _read_bundle(self, store: Store, key: str) -> None:
        """Read the results in a bundle; one that is not authentic is logged and counts as none."""
        attempt = key.split("/")[-2]
        try:
            for member, sealed in bundle.unpack(await store.get(key, bundle.MOST_BYTES) or bundle.MAGIC):
                try:
                    if member in self.open:
                        self._take_sealed(member, sealed, int(attempt))
                except env.BadEnvelope as error:
                    log.warning("%s", not_authentic(store, key, error))
        except (env.BadEnvelope, TooLarge, ValueError) as error:
            log.warning("%s", not_authentic(store, key, error))
        self._read_keys.add(key)

    def _take_sealed(self, member: int, sealed: bytes, attempt: int) -> None:
        handle = self.member(member)
        envelope = env.unseal(sealed, member_key(self.key, member), job_id=handle.result_id, attempt=attempt)
        if envelope.cut_short:
            self._cut_short[member] = envelope
        else:
            self._end(member, Ended(handle, None, envelope))

    # ---- members without a value ------------------------------------------------------------------------------------
    async def _suspects(self, state: JobState, ended: int) -> list[int]:
        """Return the members that may have ended without a value."""
        if state.ended:
            return sorted(self.open)
        containers_done = self.size - len(self.open) if not self._shared else -1
        if not self._is_array or ended <= containers_done or not state.children.get(FAILED):
            return []
        failed = {
            int(child.partition(":")[2])
            for child in await self.client.services.backend.failed_children(self.handle.job_id)
        }
        return [member for member in sorted(self.open) if member // self.settings.tasks_per_job in failed]

    async def _ask_for(self, store: Store, members: Sequence[int]) -> None:
        """Ask AWS Batch for the jobs of these members, and end those that have ended."""
        handles = {member: self.member(member) for member in members}
        states = await self.client.services.backend.describe(list(dict.fromkeys(h.job_id for h in handles.values())))
        over = [(m, s) for m, handle in handles.items() if (s := states.get(handle.job_id)) and s.ended]

        async def end(each: tuple[int, JobState]) -> None:
            member, job = each
            key = member_key(self.key, member)
            if self._shared:
                envelope = self._cut_short.get(member)
            else:
                envelope = await newest_envelope(self.client.services, store, handles[member], len(job.attempts), key)
            self._end(member, Ended(handles[member], job, envelope))

        await self._at_once(over, end)

    def member(self, member: int) -> JobHandle:
        """Return the handle of one member."""
        job_id, each = self.handle.job_id, self.settings.tasks_per_job
        child = f"{job_id}:{member // each}" if self._is_array else job_id
        return replace(self.handle, job_id=child, member=member if self._shared else None)

    def _end(self, member: int, ended: Ended) -> None:
        if member in self.open:
            self.open.discard(member)
            self.on_end(member, ended)

    async def _at_once(self, items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
        """Do the work for each item, `READS_AT_ONCE` at a time; the first error is raised at the end."""
        waiting = iter(items)

        async def worker() -> None:
            for item in waiting:
                await work(item)

        await together(*(worker() for _ in range(READS_AT_ONCE)))
