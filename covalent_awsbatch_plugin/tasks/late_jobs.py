# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The end of jobs that come of a dead process's SubmitJob after this process has submitted the same tasks anew.

A SubmitJob may take effect seconds after its client was killed. `Backend.settle` has AWS Batch refuse such a request,
so these looks find what Batch accepted or lists late: its answers are eventually consistent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..errors import AWSBatchError
from ..jobs.definition import TAG_SUBMISSION
from ..settings import Settings
from .ledger import Entry, LedgerRecord
from .services import Services

log = logging.getLogger(__name__)

# Seconds before each look, two minutes in all: botocore's client waits for an answer no longer than one.
PAUSES = (*[1.0] * 10, *[2.0] * 10, *[5.0] * 18)
REASON = "Another process has submitted this task anew"


@dataclass
class _Submission:
    """A submission by a dead process; `anew` are its tasks that have another job now, by their handles."""

    record: LedgerRecord
    queue: str
    anew: list[Entry] = field(default_factory=list)
    job_id: str | None = None
    ended: set[str] = field(default_factory=set)

    def to_end(self) -> set[str]:
        """Return the ids of the jobs that no task waits for: the array's own id if no task waits for any child."""
        assert self.job_id
        needed_children = {_child(entry) for entry in self.record.entries if entry not in self.anew}
        other_children = {_child(entry) for entry in self.anew} - needed_children
        children = other_children if needed_children else {""}
        return {self.job_id + child for child in children} - self.ended


class LateJobs:
    """Ends late jobs of one connection. `sleep` is an argument for tests."""

    def __init__(self, services: Services, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._services, self._sleep = services, sleep
        self._submissions: dict[str, _Submission] = {}
        self._watches: set[asyncio.Task[None]] = set()
        services.aws.on_close(self._aclose)

    async def _aclose(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    def submitted_anew(self, settings: Settings, unsettled: Iterable[tuple[LedgerRecord, Entry]]) -> None:
        """Watch for jobs of these submissions, and end those of these task groups when they appear."""
        for record, entry in unsettled:
            if record.key not in self._submissions:
                self._submissions[record.key] = _Submission(record, settings.batch_queue)
                watch = asyncio.get_running_loop().create_task(self._watch(self._submissions[record.key]))
                self._watches.add(watch)
                watch.add_done_callback(self._watches.discard)
            if entry not in self._submissions[record.key].anew:
                self._submissions[record.key].anew.append(entry)

    async def _watch(self, submission: _Submission) -> None:
        try:
            for pause in PAUSES:
                await self._sleep(pause)
                try:
                    await self._look(submission)
                except AWSBatchError as error:
                    log.warning("A job `%s` may run for nobody: %s", submission.record.unsent_name, error)
        finally:
            self._submissions.pop(submission.record.key, None)

    async def _look(self, submission: _Submission) -> None:
        if submission.job_id is None:
            submission.job_id = await job_of(self._services, submission.queue, submission.record)
        if submission.job_id is None:
            return
        for job_id in submission.to_end():
            log.warning("The job %s is ended: its task was submitted anew before the job appeared.", job_id)
            await self._services.backend.terminate(job_id, REASON)
            submission.ended.add(job_id)
        if len(submission.anew) == len(submission.record.entries):
            self._services.ledger.forget(submission.record.key)


async def job_of(services: Services, queue: str, record: LedgerRecord, *, last_look: bool = False) -> str | None:
    """Return the id of the job that came of a submission, None while AWS Batch lists none.

    The tag tells the job from others of the same name: the task may have been submitted before. With `last_look`, AWS
    Batch is told to refuse the request from now on, should it still be on its way.
    """
    handle = record.entries[0].handle  # definition and tag are the same in all
    request: dict[str, Any] = {"jobName": record.unsent_name, "jobQueue": queue, "jobDefinition": handle.definition}
    request["tags"] = {TAG_SUBMISSION: handle.submission}
    if last_look:
        return await services.backend.settle(request, record.since)
    return await services.backend.named(request, record.since)


def _child(entry: Entry) -> str:
    """Return what follows the job's id in the id of an entry's job: an array's child has its index."""
    return entry.handle.job_id
