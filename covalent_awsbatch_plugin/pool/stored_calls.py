# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The calls of a named pool as its record and AWS have them, for a process that has no such pool open."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.concurrency import side_by_side
from ..core.files import atomic_write
from ..core.private_files import own_folder
from ..errors import Lost
from ..jobs.description import JobState
from ..settings import Settings
from ..tasks.array_results import ArrayResults, array_key
from ..tasks.client import Client
from ..tasks.orphans import live_jobs
from ..tasks.reattach import artifacts_of
from ..tasks.results import results_store
from ..tasks.services import Services
from .array_under_way import OF_JOBS, ArrayUnderWay
from .call import NO_FUNCTION, NOBODY, NOT_ASKED_FOR, Call, CallEnd
from .record import ArrayRecord, OpenRecord, PoolRecord
from .stored_value import StoredValue

END_REASON = "Ended by `covalent-awsbatch pools end`"


class _EndedCalls(ArrayUnderWay):
    """An array of which only the calls that have ended by now are asked for."""

    async def _run(self, client: Client) -> None:
        assert self.earlier
        self.handle = self.earlier.handle
        self.key = self.earlier.key or array_key(await client.services.result_secret(), self.array_id)
        self.submitted.set()
        members = {self.member_of(call) for call in self.open_calls}
        self._results = ArrayResults(
            client, self.settings, self.handle, self.members, self.key, members, self._ended
        )  # fmt: skip
        async with side_by_side() as self._group:
            await self._results.look()


@dataclass(frozen=True)
class StoredCall:
    """One call: its number in the pool, its job, and the file with its value or error; no file while it runs."""

    number: int
    function: str
    job_id: str
    state: str  # SUCCEEDED, FAILED or UNKNOWN
    file: str = ""


def newest_calls(record: PoolRecord) -> dict[str, list[int]]:
    """Return for each array the indexes of its calls that no later array runs again; arrays without a job have none."""
    newest: dict[bytes, tuple[str, int]] = {}
    for array in record.arrays.values():
        if array.settled and not array.gone:
            newest |= {key: (array.array_id, index) for index, key in enumerate(array.call_keys())}
    calls: dict[str, list[int]] = {}
    for array_id, index in sorted(newest.values(), key=lambda place: place[1]):
        calls.setdefault(array_id, []).append(index)
    return calls


async def states_of(services: Services, record: PoolRecord) -> Mapping[str, JobState]:
    """Return the states of a pool's jobs by id, as far as AWS Batch remembers them. Raises a ServiceError."""
    here = await services.here()
    arrays = [each for each in record.arrays.values() if each.settled and each.handle.is_at(here)]
    return await services.backend.describe([array.handle.job_id for array in arrays])


async def live_job_ids(services: Services, settings: Settings, record: PoolRecord) -> list[str]:
    """Return the jobs of a pool that have not ended, with those whose submission was cut off. Raises a ServiceError."""
    live = {job_id for job_id, state in (await states_of(services, record)).items() if not state.ended}
    if any(not array.settled and not array.gone for array in record.arrays.values()):
        jobs = await live_jobs(services, settings, dispatch_id=record.dispatch_id, any_host=True)
        live |= {job.job_id for job in jobs}
    return sorted(live)


async def end_jobs(services: Services, job_ids: Sequence[str]) -> None:
    """End jobs, whether they run or not. Raises a ServiceError."""
    await asyncio.gather(*(services.backend.terminate(job_id, END_REASON) for job_id in job_ids))


# ---- results ---------------------------------------------------------------------------------------------------------
async def save_results(client: Client, settings: Settings, record: PoolRecord, into: Path) -> list[StoredCall]:
    """Write the value or the error of each call that has ended to a file of its own; return all calls by number.

    A value is its pickle, authenticated and not unpickled here. Raises StagingError, Lost, a ServiceError.
    """
    own_folder(into)
    calls: list[StoredCall] = []
    for array_id, indexes in newest_calls(record).items():
        calls += await _save_array(client, settings, record, record.arrays[array_id], indexes, into)
    return sorted(calls, key=lambda call: call.number)


async def _save_array(
    client: Client, settings: Settings, record: PoolRecord, earlier: ArrayRecord, indexes: Sequence[int], into: Path
) -> list[StoredCall]:
    folder = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-"))
    try:
        array = _ended_calls(settings, record, earlier, indexes, folder)
        calls = [array.calls[index] for index in indexes]
        if earlier.handle.is_at(await client.services.here()):
            await array.run()
        array.handle = earlier.handle
        return [await _save(client, array, call, into) for call in calls]
    finally:
        await client.services.in_thread(lambda: shutil.rmtree(folder, ignore_errors=True))


def _ended_calls(
    settings: Settings, record: PoolRecord, earlier: ArrayRecord, indexes: Sequence[int], folder: Path
) -> _EndedCalls:
    def end(call: Call, its_end: CallEnd) -> None:
        call.end = call.end or its_end

    calls = [Call(NO_FUNCTION, b"", (), number, NOBODY) for number in earlier.numbers]
    for index in set(range(len(calls))).difference(indexes):
        calls[index].end = NOT_ASKED_FOR
    of_job = {name: earlier.job[name] for name in OF_JOBS if name in earlier.job}
    return _EndedCalls(
        settings.model_copy(update=of_job), record.dispatch_id, calls, earlier.chunksize, folder, end, _never_again,
        array_id=earlier.array_id, earlier=earlier, ended_by_us=True,
    )  # fmt: skip


def _never_again(settings: Settings, call: Call, chunksize: int) -> None:
    raise AssertionError("ended_by_us: no call is submitted again")


async def _save(client: Client, array: ArrayUnderWay, call: Call, into: Path) -> StoredCall:
    assert array.handle
    stored = StoredCall(call.number, array.handle.name, array.job_id_of(call) or "", "UNKNOWN")
    if call.end is None:
        return stored
    if call.end.failed is not None:
        path = into / f"{call.number}.error.txt"
        text = "\n\n".join(filter(None, (str(call.end.failed), call.end.text)))
        await client.services.in_thread(lambda: atomic_write(path, text.encode(), mode=0o600))
        return replace(stored, state="FAILED", file=str(path))
    path, data = into / f"{call.number}.pickle", call.end.data
    if isinstance(data, bytes):
        await client.services.in_thread(lambda: atomic_write(path, data, mode=0o600))
    elif isinstance(data, StoredValue):
        there = await data.fetched()
        await client.services.in_thread(lambda: shutil.move(there, path))
    return replace(stored, state="SUCCEEDED", file=str(path))


# ---- clean -----------------------------------------------------------------------------------------------------------
async def remove_results(client: Client, settings: Settings, record: OpenRecord) -> int:
    """Delete the results, images and definitions of a pool's jobs; return the number of deleted results.

    Raises Lost for a job of another account or Region, and a ServiceError.
    """
    here, deleted = await client.services.here(), 0
    own = settings.model_copy(update={"delete_images": True, "delete_definitions": True, "delete_objects": True})
    arrays = list(_with_a_job(record.record))
    if any(not array.handle.is_at(here) for array in arrays):
        raise Lost(
            f"Some jobs of the pool {record.name!r} are in another account or Region than {' and '.join(here)}.",
            advice="Choose their account and Region with --profile and --region.",
        )
    for array in arrays:
        store = await results_store(client.services, own, array.handle)
        keys = await store.keys(f"{array.handle.prefix}/{array.handle.job_id}/")
        await store.delete(keys)
        deleted += len(keys)
        artifacts = replace(artifacts_of(own, store, array.handle, ()), prefix="")
        await client.cleanup.taken_over((array.handle.job_id,), artifacts)
        client.cleanup.read(array.handle.job_id)
    return deleted


def _with_a_job(record: PoolRecord) -> Iterator[ArrayRecord]:
    return (array for array in record.arrays.values() if array.settled and not array.gone)
