# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A task that is asked for again after a crash: its job, which still runs or has ended well, is taken over.

Found by what the ledger noted of the same dispatch and nodes; the same function and arguments, by digest, or it is not
the same task. One that failed is not taken over: who asks again wants another try.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..aws.s3 import Store
from ..errors import Lost
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

FRESH_SECONDS = 1  # an array's tasks are asked for one by one, and their states are asked for together


@dataclass(frozen=True)
class EarlierJob:
    """What somebody left: a task's handle, and by which ids the tasks of its job go, its own too."""

    handle: JobHandle
    result_ids: tuple[str, ...]


async def left_behind(
    services: Services, settings: Settings, records: Sequence[tuple[LedgerRecord, Entry]], content: str
) -> tuple[EarlierJob | None, list[tuple[LedgerRecord, Entry]]]:
    """Return the newest job of this very task that runs or has left a value, or None; and its unsettled submissions.

    `records` are the ledger's for the dispatch and the nodes; `content` is the digest of the task. A job may still come
    of an unsettled submission: `LateJobs` ends it once the task was submitted anew. All of an array's tasks may be
    asked for at once, so one of them looks at no other's entry.
    """
    here, unsettled = await services.here(), list[tuple[LedgerRecord, Entry]]()
    for record, entry in records:
        handle = entry.handle
        if handle.content != content or not handle.is_at(here):
            continue
        there = await services.once(("settled", record.key), partial(settled, services, settings, record))
        if there is None:
            unsettled.append((record, entry))
            continue
        if record.unsent_name is not None:
            handle = replace(handle, job_id=there.key + handle.job_id)
        if await _is_worth_it(services, settings, there, handle):
            ids = await services.cached(("tasks of", there.key), partial(_result_ids, there), FRESH_SECONDS)
            return EarlierJob(handle, ids), unsettled
    return None, unsettled


async def _result_ids(noted: LedgerRecord) -> tuple[str, ...]:
    return tuple(entry.handle.result_id for entry in noted.entries)


async def settled(services: Services, settings: Settings, noted: LedgerRecord) -> LedgerRecord | None:
    """A job whose submission may have been cut off, looked for by its name; None while there is none."""
    if noted.unsent_name is None:
        return noted
    await asyncio.sleep(max(0.0, noted.since + ON_ITS_WAY_SECONDS - time.time()))
    job_id = await job_of(services, settings.batch_queue, noted)
    if job_id is None:
        return None
    entries = tuple(_with_job_id(entry, job_id) for entry in noted.entries)
    await services.in_thread(lambda: services.ledger.note(job_id, entries, ours=False))
    services.ledger.forget(noted.key)
    return LedgerRecord(job_id, noted.since, entries)


def _with_job_id(entry: Entry, job_id: str) -> Entry:
    return replace(entry, handle=replace(entry.handle, job_id=job_id + entry.handle.job_id))


async def _is_worth_it(services: Services, settings: Settings, noted: LedgerRecord, handle: JobHandle) -> bool:
    """Whether it has left a value that can be trusted, or may still leave one."""
    state = (await _states(services, noted)).get(handle.job_id)
    if state is None:  # forgotten, or so young that AWS Batch does not know it everywhere yet
        return time.time() - noted.since < FORGOTTEN_SECONDS
    attempts = len(state.attempts) + (not state.ended)
    try:
        envelope = await newest_envelope(await results_store(services, settings, handle), handle, attempts)
    except Lost as error:
        log.warning("The job %s is not taken over: %s", handle.job_id, error)
        return False
    if envelope and envelope.returned:
        return True
    return not (state.ended or state.cancelled) and (envelope is None or envelope.cut_short)


async def _states(services: Services, noted: LedgerRecord) -> dict[str, JobState]:
    async def asked() -> dict[str, JobState]:
        return await services.backend.describe(sorted({entry.handle.job_id for entry in noted.entries}))

    return await services.cached(("left", noted.key), asked, FRESH_SECONDS)


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
