# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Parse a JobDetail of AWS Batch into values; real records may lack any field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

SUCCEEDED, FAILED = "SUCCEEDED", "FAILED"
ENDED = frozenset({SUCCEEDED, FAILED})
DEFAULT_LOG_GROUP = "/aws/batch/job"  # of jobs whose definition has no logConfiguration

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Attempt:
    """One attempt, in AWS's words.

    A missing exit code is None, not 0; a missing stream or time (Unix, milliseconds) is None too.
    """

    exit_code: int | None
    reason: str
    status_reason: str
    log_stream: str | None
    started_ms: int | None = None
    stopped_ms: int | None = None


@dataclass(frozen=True)
class JobState:
    """A job as DescribeJobs describes it; missing fields are None or ""."""

    job_id: str
    status: str
    status_reason: str
    attempts: tuple[Attempt, ...]
    cancelled: bool
    children: Mapping[str, int] = field(default_factory=dict)  # of an array job: number of child jobs by status
    name: str = ""
    memory_mib: int | None = None
    time_limit_s: int | None = None
    log_group: str = DEFAULT_LOG_GROUP

    @property
    def ended(self) -> bool:
        """True if AWS Batch will not change the job any more."""
        return self.status in ENDED

    @property
    def last(self) -> Attempt:
        """The newest attempt; an empty one if none began."""
        return self.attempts[-1] if self.attempts else Attempt(None, "", "", None)


def state_of(detail: Mapping[str, Any]) -> JobState:
    """Return the state in a JobDetail, or in a bare record with `exitCode` and `reason` at its top. Never raises."""
    container = _container(detail)
    options = _mapping(_mapping(container.get("logConfiguration")).get("options"))
    summary = _mapping(_mapping(detail.get("arrayProperties")).get("statusSummary"))
    return JobState(
        job_id=_text(detail.get("jobId")),
        status=_text(detail.get("status")).upper(),
        status_reason=_text(detail.get("statusReason")),
        attempts=_attempts(detail, container),
        cancelled=detail.get("isCancelled") is True or detail.get("isTerminated") is True,
        children={status: count for status, count in summary.items() if isinstance(count, int)},
        name=_text(detail.get("jobName")),
        memory_mib=_memory_mib(container),
        time_limit_s=_number(_mapping(detail.get("timeout")).get("attemptDurationSeconds")),
        log_group=_text(options.get("awslogs-group")) or DEFAULT_LOG_GROUP,
    )


@dataclass(frozen=True)
class JobLog:
    """The place of a job's log; an array's children have streams of their own, and its `streams` is empty.

    `prefix` is the log driver's, "" where the definition sets none. Times are Unix milliseconds; 0: not yet.
    """

    group: str
    prefix: str
    streams: tuple[str, ...]
    is_array: bool
    created_ms: int
    stopped_ms: int


def job_log(detail: Mapping[str, Any]) -> JobLog:
    """Return the place of the log of a job's attempts. Never raises."""
    options = _mapping(_mapping(_container(detail).get("logConfiguration")).get("options"))
    array, state = _mapping(detail.get("arrayProperties")), state_of(detail)
    streams = [_text(_container(detail).get("logStreamName")), *(each.log_stream or "" for each in state.attempts)]
    return JobLog(
        group=state.log_group,
        prefix=_text(options.get("awslogs-stream-prefix")),
        streams=tuple(dict.fromkeys(filter(None, streams))),
        is_array=bool(array.get("size")),
        created_ms=_number(detail.get("createdAt")) or 0,
        stopped_ms=_number(detail.get("stoppedAt")) or 0,
    )


def _container(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the container's record from the field of this kind of job: container, ECS, EKS, multi-node, bare."""
    pod = _mapping(_mapping(detail.get("eksProperties")).get("podProperties"))
    ecs = _mapping(detail.get("ecsProperties"))
    ranges = _list(_mapping(detail.get("nodeProperties")).get("nodeRangeProperties"))
    candidates = (
        _mapping(detail.get("container")),
        _telling(_containers(_list(ecs.get("taskProperties")))),
        _telling(_list(pod.get("containers"))),
        _mapping(ranges[0].get("container")) if ranges else {},
        {key: detail[key] for key in ("exitCode", "reason", "logStreamName") if key in detail},
    )
    return next((each for each in candidates if each), {})


def _attempts(detail: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[Attempt, ...]:
    """Return the attempts.

    `container` repeats the last attempt, so it fills gaps of that attempt, or is the only one known.
    """
    records = _list(detail.get("attempts")) or _list(detail.get("eksAttempts"))
    attempts = [_attempt(_ran(each), each) for each in records]
    whole = _attempt(container, detail)
    if not attempts:
        return (whole,) if whole.log_stream or whole.reason or whole.exit_code is not None else ()
    if _text(detail.get("status")).upper() in ENDED | {""}:
        attempts[-1] = _filled(attempts[-1], whole)
    return tuple(attempts)


def _ran(attempt: Mapping[str, Any]) -> Mapping[str, Any]:
    several = _list(attempt.get("containers")) or _containers(_list(attempt.get("taskProperties")))
    return _mapping(attempt.get("container")) or _telling(several) or attempt


def _containers(tasks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [container for task in tasks for container in _list(task.get("containers"))]


def _telling(containers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the first container that names a problem, else the first."""
    wrong = (each for each in containers if each.get("reason") or each.get("exitCode"))
    return next(wrong, containers[0] if containers else {})


def _attempt(container: Mapping[str, Any], record: Mapping[str, Any]) -> Attempt:
    return Attempt(
        exit_code=_number(container.get("exitCode")),
        reason=_text(container.get("reason")),
        status_reason=_text(record.get("statusReason")),
        log_stream=_text(container.get("logStreamName")) or None,
        started_ms=_number(record.get("startedAt")),
        stopped_ms=_number(record.get("stoppedAt")),
    )


def _filled(attempt: Attempt, whole: Attempt) -> Attempt:
    return replace(
        attempt,
        exit_code=whole.exit_code if attempt.exit_code is None else attempt.exit_code,
        reason=attempt.reason or whole.reason,
        log_stream=attempt.log_stream or whole.log_stream,
    )


def _memory_mib(container: Mapping[str, Any]) -> int | None:
    requirements = {_text(each.get("type")): each.get("value") for each in _list(container.get("resourceRequirements"))}
    return _number(requirements.get("MEMORY", container.get("memory")))


# ---- JSON of any type as the expected one, or empty ------------------------------------------------------------
def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else []


def _text(value: Any) -> str:
    """Return printable text: JSON can hold halves of characters, and reasons can hold terminal escapes."""
    whole = value if isinstance(value, str) else ""
    return _UNPRINTABLE.sub(" ", whole.encode("utf-8", "backslashreplace").decode())


def _number(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value):
        return int(value)
    whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    return int(value) if whole else None
