# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Jobs as rows of a table: the figures of a JobDetail that people look for, in the words of AWS Batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .definition import TAG_DISPATCH, TAG_GROUP, TAG_HOST, TAG_PLUGIN
from .description import ENDED, state_of

# The states of a job in the order of its life: https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
# An array is in the state of its children that is the furthest from its end, with these first: it is PENDING itself
# while they run.
_ACTIVE = ("RUNNING", "STARTING", "RUNNABLE", "SUBMITTED", "PENDING")
FARGATE, EC2 = "Fargate", "EC2"


@dataclass(frozen=True)
class JobRow:
    """One job. Times are Unix seconds and None before they are known; memory is in GiB.

    `children` counts an array's children by state. `position` is the place in the queue, from 1, of a RUNNABLE job that
    is among the first 100. `reason` is AWS Batch's. `attempts` counts those that have begun. `host` is the submitting
    machine's, `place` Fargate or the container instance. `function` and `peak_gib` are from this machine's record.
    """

    job_id: str
    name: str
    state: str
    created: float
    started: float | None
    stopped: float | None
    size: int
    children: Mapping[str, int]
    reason: str
    attempts: int
    max_attempts: int
    vcpu: float
    memory_gib: float
    gpus: int
    exit_code: int | None
    place: str
    queue: str
    dispatch_id: str
    group: str
    host: str
    is_ours: bool
    attempt_seconds: float
    position: int | None = None
    function: str = ""
    peak_gib: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def ended(self) -> bool:
        """True if AWS Batch will not change the job any more."""
        return self.state in ENDED

    def to_json(self) -> dict[str, Any]:
        """Return the row for programs; docs/jobs.md has the schema."""
        fields = {**asdict(self), "children": dict(self.children), "tags": dict(self.tags)}
        return {name: value for name, value in fields.items() if name != "group"}


def job_row(detail: Mapping[str, Any]) -> JobRow:
    """Return the row of a JobDetail; missing fields are "", 0 or None."""
    state, container = state_of(detail), detail.get("container") or {}
    requirements = {each.get("type"): each.get("value") for each in container.get("resourceRequirements") or ()}
    tags, size = detail.get("tags") or {}, (detail.get("arrayProperties") or {}).get("size", 1)
    is_fargate = FARGATE.upper() in (detail.get("platformCapabilities") or ())
    instance = str(container.get("containerInstanceArn", "")).rpartition("/")[2]
    running = state.status == "RUNNING" or (state.status == "STARTING" and bool(container.get("taskArn")))
    return JobRow(
        job_id=state.job_id,
        name=state.name,
        state=array_state(state.children) if size > 1 and state.children and not state.ended else state.status,
        created=(detail.get("createdAt") or 0) / 1000,
        started=_seconds(detail.get("startedAt")),
        stopped=_seconds(detail.get("stoppedAt")),
        size=size,
        children={status: count for status, count in state.children.items() if count},
        reason="" if state.status == "SUCCEEDED" else state.last.reason or state.status_reason,
        attempts=len(detail.get("attempts") or ()) + running,
        max_attempts=(detail.get("retryStrategy") or {}).get("attempts", 1),
        vcpu=float(requirements.get("VCPU") or container.get("vcpus") or 0),
        memory_gib=float(requirements.get("MEMORY") or container.get("memory") or 0) / 1024,
        gpus=int(requirements.get("GPU") or 0),
        exit_code=state.last.exit_code,
        place=FARGATE if is_fargate else instance or EC2,
        queue=str(detail.get("jobQueue", "")).rpartition("/")[2],
        dispatch_id=tags.get(TAG_DISPATCH, ""),
        group=tags.get(TAG_GROUP, ""),
        host=tags.get(TAG_HOST, ""),
        is_ours=TAG_PLUGIN in tags,
        attempt_seconds=sum(
            (each.stopped_ms - each.started_ms) / 1000
            for each in state.attempts
            if each.started_ms is not None and each.stopped_ms is not None
        ),
        tags=tags,
    )


def array_state(children: Mapping[str, int]) -> str:
    """Return the state of an array by its children: RUNNING while one runs, and never PENDING for that."""
    return next((state for state in _ACTIVE if children.get(state)), "PENDING")


def _seconds(milliseconds: Any) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else None
