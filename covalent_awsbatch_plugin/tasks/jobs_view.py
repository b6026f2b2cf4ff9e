# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The jobs of a queue with what this machine's record knows of them, and what they used."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import NotAllowed
from ..jobs.definition import JOB_NAME_BEGINS, TAG_HOST, tag_value, tags
from ..jobs.job_rows import JobRow, job_row
from ..settings import Settings
from .events import Event, Kind, read_events
from .services import Services

GIB = 1024**3
HINT_SHARE = 0.5  # of the memory that was asked for: a peak below it is worth a hint
HINT_HEADROOM = 1.3


@dataclass(frozen=True)
class Selection:
    """The selection of the jobs that are shown. Empty fields do not limit; `since` is Unix seconds."""

    ended: bool = False
    everyone: bool = False
    states: frozenset[str] = frozenset()
    since: float = 0.0
    dispatch_id: str = ""

    def fits(self, row: JobRow, host: str) -> bool:
        """Return whether a job is shown; `host` is this machine's tag."""
        return (
            self.shows_state(row)
            and (self.everyone or (row.is_ours and row.host == host))
            and row.created >= self.since
            and self.dispatch_id in ("", row.dispatch_id)
        )

    def shows_state(self, row: JobRow) -> bool:
        """Return whether a job's state is among those that are shown."""
        return row.state in self.states if self.states else self.ended or not row.ended


async def job_rows(services: Services, settings: Settings, selection: Selection) -> list[JobRow]:
    """Return the jobs of the settings' queue, the newest first. Raises a ServiceError."""
    host = tags("", 0, socket.gethostname())[TAG_HOST]
    selection = replace(selection, dispatch_id=tag_value(selection.dispatch_id))
    summaries = await services.batch.summaries(
        settings.batch_queue, name="" if selection.everyone else JOB_NAME_BEGINS, since=selection.since
    )
    may_end = selection.ended or bool(selection.states & {"SUCCEEDED", "FAILED"})
    ids = [each["jobId"] for each in summaries if may_end or each["status"] not in ("SUCCEEDED", "FAILED")]
    rows = [job_row(detail) for detail in await services.batch.details(ids)]
    rows = [row for row in rows if selection.fits(row, host)]
    positions = await _positions(services, settings, rows)
    records = Records(row.dispatch_id for row in rows)
    rows = [
        replace(
            row,
            position=positions.get(row.job_id),
            function=records.function(row),
            peak_gib=records.peak_gib(row),
        )
        for row in rows
    ]
    return sorted(rows, key=lambda row: -row.created)


async def _positions(services: Services, settings: Settings, rows: Iterable[JobRow]) -> dict[str, int]:
    """Return the places in the queue by job id; none without the permission, or where no job waits."""
    if not any(row.state == "RUNNABLE" for row in rows):
        return {}
    try:
        front = await services.batch.front_of_queue(settings.batch_queue)
    except NotAllowed:
        return {}
    places: dict[str, int] = {}
    for place, job_id in enumerate(front, 1):
        places.setdefault(job_id, place)
        places.setdefault(job_id.partition(":")[0], place)  # an array's place is that of its first child
    return places


@dataclass
class JobRecord:
    """The record of one job: its functions, its tasks' peak memory (bytes), and its tasks' run times."""

    functions: dict[str, None] = field(default_factory=dict)
    peak_bytes: int = 0
    seconds: float = 0.0
    tasks_per_job: int = 1


class Records:
    """The records of some dispatches, by job; a dispatch that ran on another machine has none."""

    def __init__(self, dispatch_ids: Iterable[str]) -> None:
        self._jobs: dict[str, JobRecord] = {}
        for dispatch_id in dict.fromkeys(dispatch_ids):
            if dispatch_id:
                self._add(read_events(dispatch_id))

    def _add(self, events: Iterable[Event]) -> None:
        names: dict[int, str] = {}
        for event in events:
            figures = event.figures
            if event.kind == Kind.PACKED:
                names |= dict.fromkeys(event.node_ids, figures.get("name", ""))
            elif event.kind == Kind.SUBMITTED:
                job = self._jobs.setdefault(figures["job_id"], JobRecord())
                job.tasks_per_job = figures.get("tasks_per_job", 1)
                job.functions |= dict.fromkeys(names.get(node, "") for node in event.node_ids)
            elif event.kind == Kind.ATTEMPT_ENDED and "job_id" in figures:
                job = self._jobs.setdefault(_array(figures["job_id"]), JobRecord())
                job.peak_bytes = max(job.peak_bytes, figures.get("peak_rss_bytes") or 0)
                if (started := figures.get("started")) is not None:
                    job.seconds += max(0.0, event.time - started) * len(event.node_ids)

    def of(self, row: JobRow) -> JobRecord:
        """Return the record of a job; an empty one if there is none."""
        return self._jobs.get(_array(row.job_id), JobRecord())

    def function(self, row: JobRow) -> str:
        """Return the names of a job's functions, at most two, or ""."""
        names = [name for name in self.of(row).functions if name]
        return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")

    def peak_gib(self, row: JobRow) -> float | None:
        """Return the peak memory of the job's largest task, in GiB; None if it is not known."""
        return self.of(row).peak_bytes / GIB or None


@dataclass(frozen=True)
class Use:
    """The use of resources by jobs, in hours. `jobs` counts those whose times are known."""

    jobs: int
    vcpu_hours: float
    gib_hours: float
    gpu_hours: float


def use(rows: Sequence[JobRow]) -> Use:
    """Return what the attempts of jobs used; an array's are those of its tasks in this machine's record."""
    records = Records(row.dispatch_id for row in rows if row.size > 1)
    hours = {row.job_id: _seconds(row, records) / 3600 for row in rows}
    return Use(
        jobs=sum(value > 0 for value in hours.values()),
        vcpu_hours=sum(hours[row.job_id] * row.vcpu for row in rows),
        gib_hours=sum(hours[row.job_id] * row.memory_gib for row in rows),
        gpu_hours=sum(hours[row.job_id] * row.gpus for row in rows),
    )


def _seconds(row: JobRow, records: Records) -> float:
    if row.size == 1:
        return row.attempt_seconds
    record = records.of(row)
    return record.seconds / record.tasks_per_job


def right_size(rows: Iterable[JobRow]) -> list[str]:
    """Return a sentence for each function whose jobs asked for much more memory than they used."""
    requested, peak = dict[str, float](), dict[str, float]()
    for row in rows:
        if row.function and row.peak_gib is not None and row.state == "SUCCEEDED":
            requested[row.function] = max(requested.get(row.function, 0.0), row.memory_gib)
            peak[row.function] = max(peak.get(row.function, 0.0), row.peak_gib)
    hints = [memory_hint(function, requested[function], most) for function, most in peak.items()]
    return [hint for hint in hints if hint]


def memory_hint(function: str, requested_gib: float, peak_gib: float) -> str:
    """Return a sentence if a function asked for much more memory than it used, else ""."""
    if requested_gib <= 0.5 or peak_gib >= HINT_SHARE * requested_gib:
        return ""
    enough = max(0.25, peak_gib * HINT_HEADROOM)
    return (
        f"{function} asked for {requested_gib:.3g} GiB and used at most {peak_gib:.2g} GiB:"
        f" memory={enough:.2g} would do."
    )


def counts(rows: Iterable[JobRow]) -> Mapping[str, int]:
    """Return the number of jobs by state, an array's children each as one."""
    result: dict[str, int] = {}
    for row in rows:
        for state, count in (row.children or {row.state: row.size}).items():
            result[state] = result.get(state, 0) + count
    return result


def _array(job_id: str) -> str:
    return job_id.partition(":")[0]
