# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The takeover of an earlier process's job, when its task is submitted again after a crash.

The ledger finds the job by dispatch and nodes; the digest of function and arguments must be the same. The job must run
or have left a value: a failed job is not taken over, because a new submission is another try.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..aws.s3 import Store
from ..errors import Lost, NotAllowed, NotFound, Refused
from ..jobs.description import JobState
from ..jobs.watched import FORGOTTEN_SECONDS
from ..settings import Settings
from .cleanup import JobArtifacts
from .job_handle import JobHandle
from .late_jobs import job_of
from .ledger import Entry, LedgerRecord
from .results import newest_envelope, results_store
from .services import Services
from .submit import ON_ITS_WAY_SECONDS

log = logging.getLogger(__name__)

FRESH_SECONDS = 1  # an array's tasks are submitted again one by one, and one call fetches all their states


@dataclass(frozen=True)
class EarlierJob:
    """A task's job of an earlier process: the task's handle, and the result ids of all tasks of the job."""

    handle: JobHandle
    result_ids: tuple[str, ...]


async def left_behind(
    services: Services,
    settings: Settings,
    records: Sequence[tuple[LedgerRecord, Entry]],
    content: str,
    *,
    last_look: bool = False,
) -> tuple[EarlierJob | None, list[tuple[LedgerRecord, Entry]]]:
    """Return the newest job of this task that runs or has left a value, or None; and the unsettled submissions.

    `records` are the ledger's for the dispatch and the nodes; `content` is the digest of the task. An unsettled
    submission may still become a job: `LateJobs` ends it once the task was submitted anew. All of an array's tasks may
    be submitted again at once, so none of them looks at another's entry. With `last_look`, no job can come of an
    unsettled submission afterwards, as far as AWS Batch's answers agree.
    """
    here, unsettled = await services.here(), list[tuple[LedgerRecord, Entry]]()
    for record, entry in records:
        handle = entry.handle
        if handle.content != content or not handle.is_at(here):
            continue
        look = partial(settled, services, settings, record, last_look=last_look)
        job = await services.once(("settled", record.key, last_look), look)
        if job is None:
            unsettled.append((record, entry))
            continue
        if record.unsent_name is not None:
            handle = replace(handle, job_id=job.key + handle.job_id)
        if await _is_usable(services, settings, job, handle):
            ids = await services.cached(("tasks of", job.key), partial(_result_ids, job), FRESH_SECONDS)
            return EarlierJob(handle, ids), unsettled
    return None, unsettled


async def _result_ids(record: LedgerRecord) -> tuple[str, ...]:
    return tuple(entry.handle.result_id for entry in record.entries)


async def settled(
    services: Services, settings: Settings, record: LedgerRecord, *, last_look: bool = False
) -> LedgerRecord | None:
    """Return the record of a submitted job; one whose submission may have been cut off is looked for by its name.

    None means that AWS Batch lists no job for it; with `last_look`, that none will come.
    """
    if record.unsent_name is None:
        return record
    await asyncio.sleep(min(ON_ITS_WAY_SECONDS, max(0.0, record.since + ON_ITS_WAY_SECONDS - time.time())))
    job_id = await job_of(services, settings.batch_queue, record, last_look=last_look)
    if job_id is None:
        return None
    entries = tuple(_with_job_id(entry, job_id) for entry in record.entries)
    await services.in_thread(lambda: services.ledger.note(job_id, entries, ours=False))
    services.ledger.forget(record.key)
    return LedgerRecord(job_id, record.since, entries)


def _with_job_id(entry: Entry, job_id: str) -> Entry:
    return replace(entry, handle=replace(entry.handle, job_id=job_id + entry.handle.job_id))


async def _is_usable(services: Services, settings: Settings, record: LedgerRecord, handle: JobHandle) -> bool:
    """Return whether the task's job has left an authentic value, or may still leave one."""
    state = (await _states(services, record)).get(handle.job_id)
    if state is None:  # forgotten, or so young that AWS Batch does not know it everywhere yet
        return time.time() - record.since < FORGOTTEN_SECONDS
    attempts = len(state.attempts) + (not state.ended)
    try:
        envelope = await newest_envelope(services, await results_store(services, settings, handle), handle, attempts)
    except (Lost, NotAllowed, NotFound, Refused) as error:  # the bucket, too, may be another one by now
        log.warning("The job %s is not taken over: %s", handle.job_id, error)
        return False
    if envelope and envelope.returned:
        return True
    return not (state.ended or state.cancelled) and (envelope is None or envelope.cut_short)


async def _states(services: Services, record: LedgerRecord) -> dict[str, JobState]:
    async def describe() -> dict[str, JobState]:
        return await services.backend.describe(sorted({entry.handle.job_id for entry in record.entries}))

    return await services.cached(("left", record.key), describe, FRESH_SECONDS)


def artifacts_of(settings: Settings, store: Store, handle: JobHandle, objects: tuple[str, ...]) -> JobArtifacts:
    """Return the artifacts of an earlier process's job, as far as its handle names them."""
    return JobArtifacts(
        settings,
        store,
        handle.image.partition("@")[2],
        handle.definition,
        f"{handle.prefix}/{handle.job_id.partition(':')[0]}/",
        objects,
        handle.payload,
    )
