# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A job as AWS Batch is told of it and as it tells of it: dicts out, values in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..ground import layout
from .naming import definition_name
from .settings import Settings

SUCCEEDED, FAILED = "SUCCEEDED", "FAILED"
ENDED = frozenset({SUCCEEDED, FAILED})

# Patterns are globs with a trailing * only, at most five rules, and no match means RETRY, so the last rule ends
# everything else: https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
# A pull error stands in `reason` on EC2 and in `statusReason` on Fargate.
RETRY_ON = (
    {"onStatusReason": "Host EC2*", "action": "RETRY"},
    {"onStatusReason": "Your Spot Task was interrupted*", "action": "RETRY"},
    {"onReason": "CannotPull*", "action": "RETRY"},
    {"onStatusReason": "CannotPull*", "action": "RETRY"},
    {"onStatusReason": "*", "action": "EXIT"},
)


@dataclass(frozen=True)
class Place:
    """Where jobs of one settings set run, as AWS itself answered: ARNs, and whether the queue is Fargate's."""

    account: str
    region: str
    queue_arn: str
    fargate: bool
    execution_role_arn: str
    job_role_arn: str


def job_definition(settings: Settings, place: Place, image: str) -> dict[str, Any]:
    """The RegisterJobDefinition request: all that does not differ between two tasks with one image."""
    content: dict[str, Any] = {
        "type": "container",
        "platformCapabilities": ["FARGATE" if place.fargate else "EC2"],
        "containerProperties": _container(settings, place, image),
        "retryStrategy": {"attempts": settings.retry_attempts, "evaluateOnExit": [dict(rule) for rule in RETRY_ON]},
        "timeout": {"attemptDurationSeconds": settings.time_limit},
        "propagateTags": True,
        "tags": {"covalent:plugin": "awsbatch"},
    }
    return {"jobDefinitionName": definition_name(settings.batch_job_definition_name, content), **content}


def _container(settings: Settings, place: Place, image: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "image": image,
        "command": list(layout.ENTRYPOINT),
        "executionRoleArn": place.execution_role_arn,
        "jobRoleArn": place.job_role_arn,
        "resourceRequirements": _resources(settings),
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": settings.batch_job_log_group_name,
                "awslogs-region": place.region,
                "awslogs-stream-prefix": settings.batch_job_definition_name,
            },
        },
    }
    if place.fargate:
        cpu = "ARM64" if settings.platform.endswith("arm64") else "X86_64"
        properties["runtimePlatform"] = {"operatingSystemFamily": "LINUX", "cpuArchitecture": cpu}
        # Without a public address a task in a default VPC can reach neither ECR nor S3.
        properties["networkConfiguration"] = {"assignPublicIp": "ENABLED"}
    return properties


def _resources(settings: Settings) -> list[dict[str, str]]:
    wanted = [("VCPU", f"{settings.vcpu:g}"), ("MEMORY", str(settings.memory_mib))]
    if settings.num_gpus:
        wanted.append(("GPU", str(settings.num_gpus)))
    return [{"type": kind, "value": value} for kind, value in wanted]


def submission(
    *, name: str, size: int, definition: str, queue: str, environment: Mapping[str, str], tags: Mapping[str, str]
) -> dict[str, Any]:
    """The SubmitJob request for `size` tasks. `definition` carries its revision; `environment` holds no secrets."""
    array = {"arrayProperties": {"size": size}} if size > 1 else {}  # AWS Batch has no array of one
    return {
        **array,
        "jobName": name,
        "jobQueue": queue,
        "jobDefinition": definition,
        "containerOverrides": {"environment": [{"name": k, "value": v} for k, v in sorted(environment.items())]},
        "propagateTags": True,
        "tags": dict(tags),
    }


def environment(dispatch_id: str, bucket: str, region: str, results_prefix: str) -> dict[str, str]:
    """What the container is told beside its image: where it stands, nothing that grows with the number of tasks."""
    return {
        layout.ENV_REGION: region,
        layout.ENV_DISPATCH_ID: dispatch_id,
        layout.ENV_BUCKET: bucket,
        layout.ENV_RESULTS_PREFIX: results_prefix,
    }


@dataclass(frozen=True)
class Attempt:
    """One attempt, in AWS's words. A missing exit code is None, not 0; so is a missing stream."""

    exit_code: int | None
    reason: str
    status_reason: str
    log_stream: str | None


@dataclass(frozen=True)
class JobState:
    """A job as DescribeJobs tells of it, with the fields that real records lack as None or ""."""

    job_id: str
    status: str
    status_reason: str
    attempts: tuple[Attempt, ...]
    cancelled: bool
    children: Mapping[str, int] = field(default_factory=dict)  # of an array's parent: how many are in which state

    @property
    def ended(self) -> bool:
        """Whether AWS Batch will change it no more."""
        return self.status in ENDED

    @property
    def last(self) -> Attempt:
        """The newest attempt; an empty one when none began."""
        return self.attempts[-1] if self.attempts else Attempt(None, "", "", None)


def state_of(detail: Mapping[str, Any]) -> JobState:
    """From a JobDetail. Attempts can be missing while `container` is there: then it is the only attempt known."""
    container = detail.get("container") or {}
    attempts = tuple(_attempt(a.get("container") or {}, a.get("statusReason")) for a in detail.get("attempts") or ())
    if not attempts and (container.get("logStreamName") or container.get("exitCode") is not None):
        attempts = (_attempt(container, detail.get("statusReason")),)
    return JobState(
        job_id=detail["jobId"],
        status=detail["status"],
        status_reason=detail.get("statusReason") or "",
        attempts=attempts,
        cancelled=bool(detail.get("isCancelled") or detail.get("isTerminated")),
        children=(detail.get("arrayProperties") or {}).get("statusSummary") or {},
    )


def _attempt(container: Mapping[str, Any], status_reason: str | None) -> Attempt:
    return Attempt(
        exit_code=container.get("exitCode"),
        reason=container.get("reason") or "",
        status_reason=status_reason or "",
        log_stream=container.get("logStreamName"),
    )
