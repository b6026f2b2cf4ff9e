# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Ends jobs that come of a dead process's SubmitJob after this process has submitted the same tasks anew.

A SubmitJob may take effect seconds after its client was killed, and AWS Batch may list a job later than it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from ..hands.ledger import Entry, Noted
from ..thought.errors import AWSBatchError
from ..thought.naming import TAG_SUBMISSION
from ..thought.settings import Settings
from .cloud import Cloud
from .shipment import JobHandle

log = logging.getLogger(__name__)

# Seconds before each look, two minutes in all: botocore's client waits for an answer no longer than one.
PAUSES = (*[1.0] * 10, *[2.0] * 10, *[5.0] * 18)
REASON = "Another process has submitted this task anew"


@dataclass
class _Submission:
    """A submission by a dead process; `anew` are its tasks that have another job now, by their handles."""

    noted: Noted
    queue: str
    anew: list[Entry] = field(default_factory=list)
    job_id: str | None = None
    ended: set[str] = field(default_factory=set)

    def to_end(self) -> set[str]:
        """Return the ids of its jobs that nobody waits for: an array's by its own id where that is so of all."""
        assert self.job_id
        wanted = {_place(entry) for entry in self.noted.entries if entry not in self.anew}
        unwanted = {_place(entry) for entry in self.anew} - wanted
        places = unwanted if wanted else {""}
        return {self.job_id + place for place in places} - self.ended


class LateJobs:
    """One for each Cloud. `sleep` is an argument for tests."""

    def __init__(self, cloud: Cloud, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._cloud, self._sleep = cloud, sleep
        self._submissions: dict[str, _Submission] = {}
        self._watches: set[asyncio.Task[None]] = set()
        cloud.aws.on_close(self._aclose)

    async def _aclose(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    def submitted_anew(self, settings: Settings, unsettled: Iterable[tuple[Noted, Entry]]) -> None:
        """Watch for jobs of these submissions, and end those of these task groups when they appear."""
        for noted, entry in unsettled:
            if noted.key not in self._submissions:
                self._submissions[noted.key] = _Submission(noted, settings.batch_queue)
                watch = asyncio.get_running_loop().create_task(self._watch(self._submissions[noted.key]))
                self._watches.add(watch)
                watch.add_done_callback(self._watches.discard)
            if entry not in self._submissions[noted.key].anew:
                self._submissions[noted.key].anew.append(entry)

    async def _watch(self, submission: _Submission) -> None:
        try:
            for pause in PAUSES:
                await self._sleep(pause)
                try:
                    await self._look(submission)
                except AWSBatchError as error:
                    log.warning("A job `%s` may run for nobody: %s", submission.noted.unsent_name, error)
        finally:
            self._submissions.pop(submission.noted.key, None)

    async def _look(self, submission: _Submission) -> None:
        if submission.job_id is None:
            submission.job_id = await job_of(self._cloud, submission.queue, submission.noted)
        if submission.job_id is None:
            return
        for job_id in submission.to_end():
            log.warning("The job %s is ended: its task was submitted anew before the job appeared.", job_id)
            await self._cloud.batch.terminate(job_id, REASON)
            submission.ended.add(job_id)
        if len(submission.anew) == len(submission.noted.entries):
            self._cloud.ledger.forget(submission.noted.key)


async def job_of(cloud: Cloud, queue: str, noted: Noted) -> str | None:
    """Return the id of the job that came of a submission, None while AWS Batch lists none.

    The tag tells the job from others of the same name: the task may have been submitted before.
    """
    handles = (JobHandle.from_json(entry.handle) for entry in noted.entries)
    tag = next((handle.submission for handle in handles if handle), "")  # the same in all
    request = {"jobName": noted.unsent_name, "jobQueue": queue, "tags": {TAG_SUBMISSION: tag}}
    return await cloud.batch.named(request, noted.since)


def _place(entry: Entry) -> str:
    """Return what follows the job's id in the id of an entry's job: an array's child has its index."""
    return str(entry.handle["job_id"])
