# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The events of each step of a task's life, made from the objects of that step."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import ParamSpec

from ..errors import AWSBatchError, Cancelled
from ..jobs.definition import log_stream_prefix
from ..jobs.description import Attempt
from ..runner.protocol.envelope import ERROR, Envelope, TaskResult
from ..settings import Settings
from .array_package import ArrayPackage
from .event_log import EventLog
from .events import Figures, Kind
from .image_and_payload import ImageAndPayload
from .inflight import Node, Task
from .packing import Package
from .results import Ended, NodeResult

MAX_TEXT = 300  # characters of an error's first line

log = logging.getLogger(__name__)

P = ParamSpec("P")


def _harmless(record: Callable[P, None]) -> Callable[P, None]:
    """Return the function with its errors logged: a record is no reason to fail a task."""

    @functools.wraps(record)
    def recorded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            record(*args, **kwargs)
        except Exception:
            log.exception("An event of a task could not be recorded.")

    return recorded


@_harmless
def record_packed(events: EventLog, task: Task, package: Package) -> None:
    """Record that a task group is packed; its bytes are told with its first task."""
    for number, spec in enumerate(package.task.tasks):
        size = package.size_beside(set()) if number == 0 else 0
        events.record(Kind.PACKED, task.staged.dispatch_id, (spec.node_id,), name=spec.name, bytes=size)


@_harmless
def record_pushed(events: EventLog, tasks: Sequence[Task], parts: ImageAndPayload, seconds: float) -> None:
    """Record that the image, and the payload, of a job's tasks are at AWS; `seconds` is how long that took."""
    size = parts.image.bytes_pushed + (len(parts.payload.data) if parts.payload else 0)
    for dispatch_id, (node_ids, _) in _by_dispatch(tasks).items():
        events.record(
            Kind.PUSHED, dispatch_id, node_ids, image=parts.image.digest, bytes=size, seconds=round(seconds, 3)
        )


@_harmless
def record_submitted(
    events: EventLog, settings: Settings, tasks: Sequence[Task], parts: ImageAndPayload, job_id: str
) -> None:
    """Record that a job is submitted, and which of its members run which nodes."""
    for dispatch_id, (node_ids, members) in _by_dispatch(tasks).items():
        events.record(
            Kind.SUBMITTED,
            dispatch_id,
            node_ids,
            job_id=job_id,
            members=members,
            image=parts.image.digest,
            payload=parts.payload.digest if parts.payload else "",
            log_stream_prefix=log_stream_prefix(settings.batch_job_definition_name, parts.image.uri),
            queue=settings.batch_queue,
            vcpu=settings.vcpu,
            memory_mib=settings.memory_mib,
            gpus=settings.num_gpus,
            tasks_per_job=settings.tasks_per_job,
            tries=max(task.tries for task in tasks),
        )


@_harmless
def record_attempts(events: EventLog, ended: Ended, node_ids: Sequence[int]) -> None:
    """Record the attempts of a task group's job, as far as they are known: starts, ends and what was used."""
    dispatch_id, job_id = ended.handle.dispatch_id, ended.handle.job_id
    if not dispatch_id:  # a handle of version 1
        return
    attempts = ended.job.attempts if ended.job else ()
    for number, attempt in enumerate(attempts, 1):
        if ended.envelope is None or number != ended.envelope.attempt:
            _record_attempt(events, dispatch_id, node_ids, attempt, job_id, number)
    if ended.envelope:
        _record_envelope(events, dispatch_id, ended.envelope, job_id, attempts)


@_harmless
def record_results(events: EventLog, ended: Ended, results: Sequence[NodeResult]) -> None:
    """Record the attempts of a task group as far as they are known, and that its results are read."""
    dispatch_id, job_id = ended.handle.dispatch_id, ended.handle.job_id
    if not dispatch_id:  # a handle of version 1
        return
    record_attempts(events, ended, [result.node_id for result in results])
    by_error: dict[str, list[int]] = {}
    for result in results:
        by_error.setdefault(type(result.error).__name__ if result.error else "", []).append(result.node_id)
    number = ended.envelope.attempt if ended.envelope else len(ended.job.attempts) if ended.job else 0
    for error, nodes in by_error.items():
        figures: Figures = {"job_id": job_id, "attempt": number}
        if error:
            figures["error"] = error
        events.record(Kind.RESULT_READ, dispatch_id, nodes, **figures)


@_harmless
def record_failure(events: EventLog, task: Task, error: BaseException) -> None:
    """Record that a task ended by an error, or a cancel, without a result."""
    kind = Kind.CANCELLED if isinstance(error, Cancelled | asyncio.CancelledError) else Kind.FAILED
    text = error.happened if isinstance(error, AWSBatchError) else str(error)
    reason = text.partition("\n")[0][:MAX_TEXT]
    node_ids = [node for _, node in task.nodes]
    events.record(kind, task.nodes[0][0], node_ids, error=type(error).__name__, reason=reason)


def _by_dispatch(tasks: Sequence[Task]) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the node ids of a job's tasks by dispatch, and for each node the number of its task group in the job."""
    pairs: dict[str, list[tuple[int, int]]] = {}
    for member, (dispatch_id, node_id) in _numbered(tasks):
        pairs.setdefault(dispatch_id, []).append((node_id, member))
    return {
        dispatch_id: (tuple(node for node, _ in of_dispatch), tuple(member for _, member in of_dispatch))
        for dispatch_id, of_dispatch in pairs.items()
    }


def _numbered(tasks: Sequence[Task]) -> Iterator[tuple[int, Node]]:
    """Yield each node with the number of its task in the job."""
    member = 0
    for task in tasks:
        nodes = iter(task.nodes)
        groups = [each.calls for each in task.package.members] if isinstance(task.package, ArrayPackage) else [None]
        for calls in groups:
            yield from ((member, node) for node in itertools.islice(nodes, calls))
            member += 1


def _record_attempt(
    events: EventLog, dispatch_id: str, node_ids: Sequence[int], attempt: Attempt, job_id: str, number: int
) -> None:
    """Record an attempt that left no result, in AWS Batch's words."""
    if attempt.started_ms is not None:
        stream = attempt.log_stream or ""
        at = attempt.started_ms / 1000
        events.record(Kind.STARTED, dispatch_id, node_ids, at=at, job_id=job_id, attempt=number, log_stream=stream)
    stopped = None if attempt.stopped_ms is None else attempt.stopped_ms / 1000
    reason = (attempt.reason or attempt.status_reason)[:MAX_TEXT]
    events.record(
        Kind.ATTEMPT_ENDED, dispatch_id, node_ids, at=stopped,
        job_id=job_id, attempt=number, exit_code=attempt.exit_code, reason=reason,
    )  # fmt: skip


def _record_envelope(
    events: EventLog, dispatch_id: str, envelope: Envelope, job_id: str, attempts: Sequence[Attempt]
) -> None:
    """Record the attempt that left a result, task by task."""
    origin: Figures = {"job_id": job_id, "attempt": envelope.attempt}
    stream = attempts[envelope.attempt - 1].log_stream if envelope.attempt <= len(attempts) else None
    for task in envelope.tasks:
        nodes, usage = (task.node_id,), task.usage
        if usage and usage.started is not None:
            started: Figures = {**origin, "log_stream": stream} if stream else origin
            events.record(Kind.STARTED, dispatch_id, nodes, at=usage.started, **started)
        figures = asdict(usage) if usage else {}
        at = figures.pop("ended", None)
        ended: Figures = {**origin, "outcome": task.outcome, "exit_code": task.exit_code, "signal": task.signal}
        if task.exception_type:
            ended["error"] = task.exception_type[:MAX_TEXT]
            ended["reason"] = _last_line(envelope, task)
        events.record(Kind.ATTEMPT_ENDED, dispatch_id, nodes, at=at, **{**ended, **figures})


def _last_line(envelope: Envelope, task: TaskResult) -> str:
    """Return the line of a traceback that names the exception, as far as the envelope holds it."""
    part = task.parts.get(ERROR)
    if part is None or part.offset is None:
        return ""
    lines = envelope.inline(part).decode("utf-8", "replace").splitlines()
    name = str(task.exception_type)
    return next((line for line in reversed(lines) if line.startswith(name)), "")[:MAX_TEXT]
