# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Jobs after a crash of their process: the list of those that still run, their end, and their unread results."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import Lost
from ..jobs import definition
from ..jobs.watched import FORGOTTEN_SECONDS
from ..settings import Settings
from .job_handle import JobHandle
from .reattach import settled
from .results import Ended, NodeResult, collect, newest_envelope, results_store
from .services import Services
from .task_events import record_results

FORGOTTEN_AFTER_S = 3600  # time after which a submission without a job is believed to have failed
REAP_REASON = "Ended by `covalent-awsbatch reap`"


@dataclass(frozen=True)
class LiveJob:
    """A job of this plugin that has not ended. `size` is an array's, else 1."""

    job_id: str
    name: str
    status: str
    created: datetime
    dispatch_id: str
    host: str
    size: int


async def live_jobs(
    services: Services, settings: Settings, *, dispatch_id: str = "", any_host: bool = False
) -> list[LiveJob]:
    """Return this machine's (or any machine's) live jobs in the queue, selected by name and tags; oldest first."""
    details = await services.batch.live_jobs(settings.batch_queue, definition.JOB_NAME_BEGINS)
    here = definition.tags("", 0, socket.gethostname())[definition.TAG_HOST]
    jobs = []
    for detail in details:
        tags = detail.get("tags") or {}
        job = LiveJob(
            job_id=detail["jobId"],
            name=detail["jobName"],
            status=detail["status"],
            created=datetime.fromtimestamp(detail.get("createdAt", 0) / 1000, UTC),
            dispatch_id=tags.get(definition.TAG_DISPATCH, ""),
            host=tags.get(definition.TAG_HOST, ""),
            size=(detail.get("arrayProperties") or {}).get("size", 1),
        )
        if definition.tag_value(dispatch_id) in ("", job.dispatch_id) and (any_host or job.host == here):
            jobs.append(job)
    return sorted(jobs, key=lambda job: job.created)


async def reap(services: Services, jobs: list[LiveJob]) -> None:
    """End all of these jobs, an array with its children. Raises a ServiceError."""
    for job in jobs:
        await services.backend.terminate(job.job_id, REAP_REASON)


@dataclass(frozen=True)
class Unread:
    """A task group that was submitted on this machine and whose result is not read yet."""

    dispatch_id: str
    node_ids: tuple[int, ...]
    handle: JobHandle
    since: float = 0.0  # time of the note in the ledger, Unix seconds


async def unread(services: Services, *, dispatch_id: str = "") -> AsyncIterator[tuple[str, list[Unread]]]:
    """Yield the unread jobs of this account and Region with their task groups, from the ledger, oldest first."""
    here = await services.here()
    for record in services.ledger.jobs():
        tasks = [
            Unread(entry.dispatch_id, entry.node_ids, entry.handle, record.since)
            for entry in record.entries
            if entry.handle.is_at(here) and dispatch_id in ("", entry.dispatch_id)
        ]
        if tasks:
            yield record.key, tasks


def _forgotten(handle: JobHandle) -> Lost:
    return Lost(
        f"`{handle.name}` has no result, and AWS Batch has forgotten its job {handle.job_id}.",
        advice="AWS Batch remembers a job for at least seven days after its end. Run the task again.",
    )


async def find_unsent(services: Services, settings: Settings) -> int:
    """Look by name for jobs whose process died during the submission; return how many may still appear."""
    waiting, here = 0, await services.here()
    for record in services.ledger.unsettled():
        if not all(entry.handle.is_at(here) for entry in record.entries):
            continue
        if await settled(services, settings, record) is not None:
            continue
        if time.time() - record.since < FORGOTTEN_AFTER_S:
            waiting += 1
        else:
            services.ledger.forget(record.key)
    return waiting


async def recover(services: Services, settings: Settings, task: Unread, into: Path) -> list[NodeResult] | None:
    """Return the task's results as files in the folder `into`; None while its job has not ended.

    A job that AWS Batch has forgotten, a week or more after its end, has ended: without a result it is Lost.
    """
    state = (await services.backend.describe([task.handle.job_id])).get(task.handle.job_id)
    attempts = len(state.attempts) if state and state.ended else settings.retry_attempts
    store = await results_store(services, settings, task.handle)
    envelope = await newest_envelope(services, store, task.handle, attempts)
    is_over = state.ended if state else time.time() - task.since > FORGOTTEN_SECONDS
    if (envelope is None or not envelope.returned) and not is_over:
        return None  # after an interrupted attempt, another may follow
    if envelope is None and state is None:
        return [NodeResult(node_id, _forgotten(task.handle)) for node_id in task.node_ids]
    ended = Ended(task.handle, state, envelope)
    results = await collect(services, settings, ended, task.node_ids, into)
    record_results(services.events, ended, results)
    return results
