# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The jobs whose logs are followed: one job, or those of a dispatch, and the streams in which they write."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ..aws.log_events import Streams, by_name
from ..core import resource_names
from ..errors import NotFound
from ..jobs.description import ENDED, JobLog, job_log
from ..runner.protocol.log_header import LogHeader
from .events import Event, Kind, event_files, events_folder, read_events

LOOK_S = 10.0  # between two DescribeJobs of jobs that run
STARTING_LOOK_S = 4.0  # of jobs whose stream is not known yet
FAILED_CHILDREN = 1000  # the most whose streams are looked up: ten calls


class Jobs(Protocol):
    """The calls to AWS Batch that find a job's log: `jobs.api.Batch` has them."""

    async def details(self, job_ids: Sequence[str]) -> list[Mapping[str, Any]]: ...
    async def failed_children(self, parent: str) -> list[str]: ...


class FollowedJobs:
    """Jobs by id, `parent:index` for an array's child; `ids` may return more at each call.

    `wants` chooses among the tasks that write in the same streams. With `failed` only jobs that have failed count.
    `clock` returns monotonic seconds and is an argument for tests.
    """

    def __init__(
        self,
        batch: Jobs,
        ids: Callable[[], Sequence[str]],
        wants: Callable[[LogHeader], bool] = lambda header: True,
        *,
        failed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batch, self._ids, self._wants, self._failed, self._clock = batch, ids, wants, failed, clock
        self._logs: dict[str, JobLog] = {}
        self._names: dict[str, str] = {}
        self._ended: set[str] = set()
        self._looked_at = float("-inf")
        self._failed_streams: dict[str, dict[str, None]] = {}

    async def refresh(self) -> None:
        """Ask AWS Batch about the jobs that have not ended, at most every few seconds. Raises a ServiceError."""
        ids = self._ids()
        unknown = [job_id for job_id in ids if job_id not in self._logs]
        starting = any(not log.streams and not log.is_array for log in self._logs.values())
        if self._clock() - self._looked_at < (STARTING_LOOK_S if starting or unknown else LOOK_S):
            return
        self._looked_at = self._clock()
        for detail in await self._batch.details([job_id for job_id in ids if job_id not in self._ended]):
            await self._keep(detail)

    async def _keep(self, detail: Mapping[str, Any]) -> None:
        job_id, log = detail["jobId"], job_log(detail)
        self._logs[job_id], self._names[job_id] = log, detail.get("jobName", "")
        if detail.get("status") in ENDED:
            self._ended.add(job_id)
        if not self._failed:
            return
        if log.is_array:
            failed = (await self._batch.failed_children(job_id))[:FAILED_CHILDREN]
            logs = [job_log(each) for each in await self._batch.details(failed)]
            names = [name for each in logs for name in each.streams]
        else:
            names = list(log.streams) if detail.get("status") == "FAILED" else []
        self._failed_streams.setdefault(log.group, {}).update(dict.fromkeys(names))

    @property
    def known(self) -> bool:
        """True once AWS Batch has told of a job."""
        return bool(self._logs)

    @property
    def created_ms(self) -> int:
        """Time of the first job, Unix milliseconds; 0 while none is known."""
        return min((log.created_ms for log in self._logs.values()), default=0)

    @property
    def stopped_ms(self) -> int | None:
        """Time of the last job's end, Unix milliseconds; None while one runs, or none is known."""
        if not self._logs or not set(self._ids()) <= self._ended:
            return None
        return max(log.stopped_ms for log in self._logs.values())

    @property
    def streams(self) -> list[Streams]:
        """The streams to read: an array's by the prefix of its image, which costs one request, the others by name."""
        if self._failed:
            return [each for group, names in self._failed_streams.items() for each in by_name(group, names)]
        arrays, names = dict[Streams, None](), dict[str, list[str]]()
        for log in self._logs.values():
            if log.is_array and log.prefix:
                arrays[Streams(log.group, f"{log.prefix}/")] = None
        for log in self._logs.values():
            if not log.is_array and Streams(log.group, f"{log.prefix}/") not in arrays:
                names.setdefault(log.group, []).extend(log.streams)
        return [*arrays, *(each for group, some in names.items() for each in by_name(group, some))]

    def accepts(self, header: LogHeader | None, stream: str) -> bool:
        """Return whether lines below a header are wanted; in a stream without a header, if the job has it alone."""
        if header is None:
            return self._failed or any(stream in log.streams for log in self._logs.values())
        return self._wants(header) and (self._failed or self._is_ours(header.job))

    def _is_ours(self, job_id: str) -> bool:
        return job_id in self._logs or job_id.partition(":")[0] in self._logs or self._shares(job_id)

    def _shares(self, job_id: str) -> bool:
        """Return whether a member of a shared container, `array:member`, may be in one of our child jobs."""
        parent = job_id.partition(":")[0]
        return any(each.partition(":")[0] == parent for each in self._logs if ":" in each)


def jobs_by_id(batch: Jobs, job_id: str, *, failed: bool = False) -> FollowedJobs:
    """Return one job, given by id or ARN."""
    job_id = resource_names.job_id(job_id)
    return FollowedJobs(batch, lambda: [job_id], failed=failed)


def jobs_of_dispatch(batch: Jobs, dispatch_id: str, node_id: int | None, *, failed: bool = False) -> FollowedJobs:
    """Return the jobs of a dispatch or a pool by this machine's record, those that are still to come too.

    Raises NotFound where the record has none.
    """
    record = RecordedJobs(dispatch_id, node_id)
    if not record.known:
        raise NotFound(
            f"This machine has no record of the dispatch {dispatch_id}.",
            advice="Records are kept where the tasks were submitted. Elsewhere, name a job: `covalent-awsbatch jobs"
            " --everyone` lists them.",
        )

    def wants(header: LogHeader) -> bool:
        return header.dispatch == dispatch_id and node_id in (None, header.node)

    return FollowedJobs(batch, record.ids, wants, failed=failed)


class RecordedJobs:
    """The ids of a dispatch's jobs, read again from its record at each call of `ids`."""

    def __init__(self, dispatch_id: str, node_id: int | None = None) -> None:
        self._dispatch_id, self._node_id = dispatch_id, node_id
        self._sizes: list[int] | None = None
        self._known_ids: list[str] = []

    @property
    def known(self) -> bool:
        """True if this machine has a record of the dispatch."""
        return next(read_events(self._dispatch_id), None) is not None

    def ids(self) -> list[str]:
        """Return the ids of the jobs that were submitted so far. An unchanged record is not read again."""
        files = event_files(events_folder(), self._dispatch_id)
        sizes = [path.stat().st_size for path in files if path.exists()]
        if sizes != self._sizes:
            submitted = (event for event in read_events(self._dispatch_id) if event.kind == Kind.SUBMITTED)
            of_node = (event for event in submitted if self._node_id is None or self._node_id in event.node_ids)
            self._sizes, self._known_ids = sizes, list(dict.fromkeys(_job_id(event) for event in of_node))
        return self._known_ids


def _job_id(event: Event) -> str:
    return event.figures["job_id"]
