# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A Batch job in AWS's terms: its request, status and attempts. No I/O; `now_ms` is the only clock."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from moto.batch.models import JobDefinition, JobQueue

SUBMITTED, PENDING, RUNNABLE, STARTING, RUNNING, SUCCEEDED, FAILED = STATUSES = (
    "SUBMITTED",
    "PENDING",
    "RUNNABLE",
    "STARTING",
    "RUNNING",
    "SUCCEEDED",
    "FAILED",
)
ENDED = (SUCCEEDED, FAILED)
REASON_CHARACTERS = 255  # `container.reason`: "A short (255 max characters) human-readable string"
EXITED = "Essential container in task exited"  # the reason of successes, too
TIMED_OUT = "Job attempt duration exceeded timeout"
NOT_STARTED = "Task failed to start"
CHILD_FAILED = "Array Child Job failed"
DEPENDENCY_FAILED = "Dependent Job failed"
TOO_LONG = "Container Overrides length must be at most 8192"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


def now_ms() -> int:
    """Return the Unix time in milliseconds."""
    return int(time.time() * 1000)


@dataclass
class Request:
    """The request of SubmitJob, which an array's children share unchanged."""

    name: str
    definition: JobDefinition
    queue: JobQueue
    overrides: dict[str, Any]
    retry: dict[str, Any]
    timeout: dict[str, int] | None
    parameters: dict[str, str]
    depends_on: list[dict[str, str]]
    tags: dict[str, str]
    share: dict[str, Any] = field(default_factory=dict)  # as DescribeJobs shows it

    @property
    def properties(self) -> dict[str, Any]:
        return self.definition.container_properties or {}

    @property
    def fargate(self) -> bool:
        """True if the definition is for Fargate."""
        return "FARGATE" in (self.definition.platform_capabilities or ())

    @property
    def timeout_s(self) -> int | None:
        return (self.timeout or {}).get("attemptDurationSeconds")

    @property
    def command(self) -> list[str]:
        """The command, with `Ref::name` replaced by the parameter `name`."""
        command: list[str] = self.overrides.get("command") or self.properties.get("command") or []
        values = {f"Ref::{name}": value for name, value in self.parameters.items()}
        return [values.get(word, word) for word in command]

    @property
    def environment(self) -> dict[str, str]:
        both = [*self.properties.get("environment", ()), *self.overrides.get("environment", ())]
        return {each["name"]: each.get("value", "") for each in both}

    @property
    def resources(self) -> dict[str, str]:
        """VCPU, MEMORY (MiB) and GPU. Overrides win over the definition, `resourceRequirements` over old fields."""
        old = {"VCPU": "vcpus", "MEMORY": "memory"}
        resources = {kind: str(self.properties[key]) for kind, key in old.items() if key in self.properties}
        resources |= {each["type"]: each["value"] for each in self.properties.get("resourceRequirements", ())}
        resources |= {kind: str(self.overrides[key]) for kind, key in old.items() if key in self.overrides}
        return resources | {each["type"]: each["value"] for each in self.overrides.get("resourceRequirements", ())}

    @property
    def memory_mib(self) -> int:
        return int(self.resources["MEMORY"])

    @property
    def vcpus(self) -> float:
        return float(self.resources["VCPU"])


@dataclass
class Attempt:
    """One attempt. `exit_code` is None where no container ran, or where its exit code is unknown.

    `lost` holds the kind of faults.LOSSES that took its instance away, and AWS's reason text.
    """

    task_arn: str
    started_at: int | None = None
    stopped_at: int | None = None
    exit_code: int | None = None
    reason: str = ""
    status_reason: str = ""
    log_stream: str | None = None
    heard: asyncio.Event = field(default_factory=asyncio.Event)  # set at its first output
    losing: asyncio.Task[None] | None = None  # takes its instance away after a time
    lost: asyncio.Future[tuple[str, str]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def task_id(self) -> str:
        return self.task_arn.rpartition("/")[2]

    def container(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"exitCode": self.exit_code, "reason": self.reason[:REASON_CHARACTERS] or None}
        fields |= {"taskArn": self.task_arn, "logStreamName": self.log_stream, "networkInterfaces": []}
        return present(fields)

    def describe(self) -> dict[str, Any]:
        fields = {"container": self.container(), "startedAt": self.started_at, "stoppedAt": self.stopped_at}
        return present(fields | {"statusReason": self.status_reason or None})


@dataclass(eq=False)
class Job:
    """A job, an array (with `children`) or an array's child (with `parent` and `index`)."""

    request: Request
    arn_prefix: str
    id: str = field(default_factory=lambda: str(uuid4()))
    parent: Job | None = None
    index: int | None = None
    status: str = SUBMITTED
    status_reason: str | None = None
    created_at: int = field(default_factory=now_ms)
    started_at: int | None = None
    stopped_at: int | None = None
    runnable_at: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    current: Attempt | None = None
    children: list[Job] = field(default_factory=list)
    summary: Counter[str] = field(default_factory=Counter)
    is_cancelled: bool = False
    is_terminated: bool = False
    stop_reason: str | None = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def arn(self) -> str:
        return f"{self.arn_prefix}:job/{self.id}"

    @property
    def label(self) -> str:
        """The job's name, with :index for an array's child."""
        return self.request.name if self.index is None else f"{self.request.name}:{self.index}"

    def spawn(self, size: int) -> None:
        """Make this job an array of `size` children."""
        self.children = [Job(self.request, self.arn_prefix, f"{self.id}:{i}", self, i) for i in range(size)]
        self.summary[SUBMITTED] = size

    def move(self, status: str, reason: str | None = None) -> None:
        if self.parent is not None:
            self.parent.summary[self.status] -= 1
            self.parent.summary[status] += 1
        self.status, self.status_reason = status, reason
        if status == RUNNABLE:
            self.runnable_at = now_ms()
        if status in ENDED:
            self.stopped_at = now_ms()
            self.ended.set()

    # ---- as in DescribeJobs and ListJobs ---------------------------------------------------------------------------
    def summarize(self) -> dict[str, Any]:
        fields = self._common()
        if self.current and self.status in ENDED:
            whole = self.current.container()
            fields["container"] = {key: whole[key] for key in ("exitCode", "reason") if key in whole}
        return present(fields)

    def describe(self) -> dict[str, Any]:
        request = self.request
        fields = self._common() | {
            "jobQueue": request.queue.arn,
            "attempts": [each.describe() for each in self.attempts],
            "retryStrategy": request.retry,
            "dependsOn": request.depends_on,
            "parameters": request.parameters,
            "container": self._container(),
            "timeout": request.timeout,
            "tags": request.tags,
            **request.share,
            "platformCapabilities": request.definition.platform_capabilities or ["EC2"],
            "isCancelled": self.is_cancelled,
            "isTerminated": self.is_terminated,
        }
        return present(fields)

    def _common(self) -> dict[str, Any]:
        return {
            "jobArn": self.arn,
            "jobId": self.id,
            "jobName": self.request.name,
            "jobDefinition": self.request.definition.arn,
            "createdAt": self.created_at,
            "startedAt": self.started_at,
            "stoppedAt": self.stopped_at,
            "status": self.status,
            "statusReason": self.status_reason,
            "arrayProperties": self._array(),
        }

    def _array(self) -> dict[str, Any] | None:
        if self.index is not None:
            return {"index": self.index}
        if not self.children:
            return None
        summary = {status: self.summary[status] for status in STATUSES}
        return {"size": len(self.children), "statusSummary": summary, "statusSummaryLastUpdatedAt": now_ms()}

    def _container(self) -> dict[str, Any]:
        request = self.request
        fields: dict[str, Any] = dict(request.properties) | {"command": request.command}
        fields["environment"] = [{"name": name, "value": value} for name, value in request.environment.items()]
        fields["resourceRequirements"] = [{"type": kind, "value": value} for kind, value in request.resources.items()]
        return fields | (self.current.container() if self.current else {})


def present(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields without those that are None, which AWS leaves out."""
    return {key: value for key, value in fields.items() if value is not None}
