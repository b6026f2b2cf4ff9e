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
from dataclasses import dataclass, replace
from functools import partial

from ..hands.ledger import Entry, Noted
from ..thought.errors import Lost
from ..thought.job.job_detail import JobState
from ..thought.settings import Settings
from .cloud import Cloud
from .collecting import newest_envelope, results_store
from .ending import Terminator
from .housekeeping import Housekeeper, Leavings
from .inflight import Ticket
from .late_jobs import job_of
from .packing import Package, StagedGroup
from .shipment import CANCEL_REASON, ON_ITS_WAY_SECONDS, JobHandle, bounded
from .watched import FORGOTTEN_SECONDS

log = logging.getLogger(__name__)

FRESH_SECONDS = 1  # an array's tasks are asked for one by one, and their states are asked for together


@dataclass(frozen=True)
class Left:
    """What somebody left: a task's handle, and by which ids the tasks of its job go, its own too."""

    handle: JobHandle
    result_ids: tuple[str, ...]


async def left_behind(
    cloud: Cloud, settings: Settings, group: StagedGroup, content: str
) -> tuple[Left | None, list[tuple[Noted, Entry]]]:
    """Return the newest job of this very task that runs or has left a value, or None; and its unsettled submissions.

    A job may still come of a submission without one: `LateJobs` ends it once the task was submitted anew.
    All of an array's tasks may be asked for at once, so one of them looks at no other's entry.
    """
    here, unsettled = await cloud.here(), list[tuple[Noted, Entry]]()
    for noted, entry in await cloud.in_thread(cloud.ledger.left, group.dispatch_id, group.node_ids):
        handle = JobHandle.from_json(entry.handle)
        if handle is None or handle.content != content or not handle.is_at(here):
            continue
        there = await cloud.once(("settled", noted.key), partial(settled, cloud, settings, noted))
        if there is None:
            unsettled.append((noted, entry))
            continue
        if noted.unsent_name is not None:
            handle = replace(handle, job_id=there.key + handle.job_id)
        if await _is_worth_it(cloud, settings, there, handle):
            ids = await cloud.cached(("tasks of", there.key), partial(_result_ids, there), FRESH_SECONDS)
            return Left(handle, ids), unsettled
    return None, unsettled


async def _result_ids(noted: Noted) -> tuple[str, ...]:
    return tuple(handle.result_id for _, handle in groups_of(noted))


def groups_of(noted: Noted) -> list[tuple[Entry, JobHandle]]:
    """A job's task groups, without those that an older version noted in another way."""
    handles = ((entry, JobHandle.from_json(entry.handle)) for entry in noted.entries)
    return [(entry, handle) for entry, handle in handles if handle]


async def settled(cloud: Cloud, settings: Settings, noted: Noted) -> Noted | None:
    """A job whose submission may have been cut off, looked for by its name; None while there is none."""
    if noted.unsent_name is None:
        return noted
    await asyncio.sleep(max(0.0, noted.since + ON_ITS_WAY_SECONDS - time.time()))
    job_id = await job_of(cloud, settings.batch_queue, noted)
    if job_id is None:
        return None
    entries = tuple(replace(e, handle=e.handle | {"job_id": job_id + e.handle["job_id"]}) for e in noted.entries)
    await cloud.in_thread(lambda: cloud.ledger.note(job_id, entries, ours=False))
    cloud.ledger.forget(noted.key)
    return Noted(job_id, noted.since, entries)


async def _is_worth_it(cloud: Cloud, settings: Settings, noted: Noted, handle: JobHandle) -> bool:
    """Whether it has left a value that can be trusted, or may still leave one."""
    state = (await _states(cloud, noted)).get(handle.job_id)
    if state is None:  # forgotten, or so young that AWS Batch does not know it everywhere yet
        return time.time() - noted.since < FORGOTTEN_SECONDS
    attempts = len(state.attempts) + (not state.ended)
    try:
        envelope = await newest_envelope(await results_store(cloud, settings, handle), handle, attempts)
    except Lost as error:
        log.warning("The job %s is not taken over: %s", handle.job_id, error)
        return False
    if envelope and envelope.returned:
        return True
    return not (state.ended or state.cancelled) and (envelope is None or envelope.cut_short)


async def _states(cloud: Cloud, noted: Noted) -> dict[str, JobState]:
    async def asked() -> dict[str, JobState]:
        return await cloud.batch.describe(sorted({entry.handle["job_id"] for entry in noted.entries}))

    return await cloud.cached(("left", noted.key), asked, FRESH_SECONDS)


async def take_over(cloud: Cloud, settings: Settings, left: Left, package: Package, ticket: Ticket) -> JobHandle:
    """From here on the job is this process's: watched, read, ended and swept as if it had been submitted here."""
    handle = left.handle
    image_digest = handle.image.partition("@")[2]
    leavings = Leavings(
        settings,
        await results_store(cloud, settings, handle),
        image_digest,
        handle.definition,
        f"{handle.prefix}/{handle.job_id.partition(':')[0]}/",
        tuple(package.uploads),
        handle.payload,
    )
    await cloud.tenant(Housekeeper).taken_over(left.result_ids, leavings)
    cloud.tenant(Terminator).submitted(handle.job_id, handle.member)
    ticket.job_id, ticket.member = handle.job_id, handle.member
    if ticket.cancelled:
        await bounded(cloud.tenant(Terminator).end(handle.job_id, CANCEL_REASON, handle.member))
    log.warning("`%s` was asked for again: its job %s is taken over.", handle.name, handle.job_id)
    return handle
