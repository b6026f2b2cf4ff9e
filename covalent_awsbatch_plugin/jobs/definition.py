# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The requests that register job definitions and submit jobs, with their names and tags.

`description` reads AWS Batch's answers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..runner.protocol import layout
from ..settings import Settings
from .instance_types import Machines

# Patterns are globs with a trailing * only, at most five rules, and no match means RETRY:
# https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
# So the rules name the ends after which user code may have run to an end of its own. Every other end is tried again:
# lost hosts, Spot interruptions, failed pulls, and what Fargate gives as the status reason before a container starts,
# such as ResourceInitializationError or a timeout of the network interface. AWS Batch itself retries no job that was
# cancelled, was terminated or timed out: https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
RETRY_RULES = (
    {"onStatusReason": "OutOfMemory*", "action": "EXIT"},
    {"onStatusReason": "CannotInspect*", "action": "EXIT"},  # the agent lost a container that may have finished
    {"onStatusReason": "ContainerRuntime*", "action": "EXIT"},
    {"onStatusReason": "AGENT*", "action": "EXIT"},
    {"onStatusReason": "Essential container*", "action": "EXIT"},
)

JOB_NAME_CHARS = 128  # SubmitJob: letters, digits, - and _, the first one alphanumeric
JOB_NAME_BEGINS = "covalent-"
TAG_PLUGIN, TAG_DISPATCH, TAG_GROUP, TAG_HOST = (
    "covalent:plugin",
    "covalent:dispatch",
    "covalent:group",
    "covalent:host",
)
TAG_SUBMISSION = "covalent:submission"  # distinguishes two submissions of one task, which have the same name
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class JobPlacement:
    """The place where jobs run, as AWS described it: ARNs, and the kind of the queue's instances."""

    account: str
    region: str
    queue_arn: str
    fargate: bool
    execution_role_arn: str
    job_role_arn: str
    platform: str = ""  # in Docker's words, where the machines run but one
    fair_share: bool | None = None  # whether the queue has a fair-share policy; None if that is unknown
    machines: tuple[Machines, ...] = ()


def job_definition(settings: Settings, placement: JobPlacement, image: str) -> dict[str, Any]:
    """Return the RegisterJobDefinition request: everything that tasks with the same image share."""
    content: dict[str, Any] = {
        "type": "container",
        "platformCapabilities": ["FARGATE" if placement.fargate else "EC2"],
        "containerProperties": _container(settings, placement, image),
        "retryStrategy": {"attempts": settings.retry_attempts, "evaluateOnExit": [dict(rule) for rule in RETRY_RULES]},
        "timeout": {"attemptDurationSeconds": settings.job_time_limit},
        "propagateTags": True,
        "tags": {TAG_PLUGIN: "awsbatch"},
    }
    return {"jobDefinitionName": definition_name(settings.batch_job_definition_name, content), **content}


def _container(settings: Settings, placement: JobPlacement, image: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "image": image,
        "command": list(layout.ENTRYPOINT),
        "executionRoleArn": placement.execution_role_arn,
        "jobRoleArn": placement.job_role_arn,
        "resourceRequirements": _resources(settings),
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": settings.batch_job_log_group_name,
                "awslogs-region": placement.region,
                "awslogs-stream-prefix": log_stream_prefix(settings.batch_job_definition_name, image),
            },
        },
    }
    if placement.fargate:
        cpu = "ARM64" if settings.platform.endswith("arm64") else "X86_64"
        properties["runtimePlatform"] = {"operatingSystemFamily": "LINUX", "cpuArchitecture": cpu}
        address = "ENABLED" if settings.assign_public_ip else "DISABLED"
        properties["networkConfiguration"] = {"assignPublicIp": address}
    return properties


def _resources(settings: Settings) -> list[dict[str, str]]:
    requirements = [("VCPU", f"{settings.vcpu:g}"), ("MEMORY", str(settings.memory_mib))]
    if settings.num_gpus:
        requirements.append(("GPU", str(settings.num_gpus)))
    return [{"type": kind, "value": value} for kind, value in requirements]


def submission(
    *,
    name: str,
    size: int,
    definition: str,
    queue: str,
    environment: Mapping[str, str],
    tags: Mapping[str, str],
    share: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the SubmitJob request for `size` containers.

    `definition` includes its revision; `environment` holds no secrets; `share` is the result of `fair_share`.
    """
    array = {"arrayProperties": {"size": size}} if size > 1 else {}  # AWS Batch has no array of one
    return {
        **array,
        **share,
        "jobName": name,
        "jobQueue": queue,
        "jobDefinition": definition,
        "containerOverrides": {"environment": [{"name": k, "value": v} for k, v in sorted(environment.items())]},
        "propagateTags": True,
        "tags": dict(tags),
    }


def fair_share(settings: Settings) -> dict[str, Any]:
    """Return the parameters of SubmitJob for a queue with a fair-share policy; none without a share identifier.

    Such a queue needs a priority too, from the definition or from here.
    """
    if not settings.share_identifier:
        return {}
    priority = settings.scheduling_priority
    return {"shareIdentifier": settings.share_identifier, "schedulingPriorityOverride": priority}


def results_prefix(dispatch_id: str, task_group_id: int) -> str:
    """Return the prefix under which all jobs and attempts of one task group write."""
    return f"{layout.S3_ROOT}/results/{dispatch_id}/{task_group_id}"


def environment(dispatch_id: str, bucket: str, region: str, s3_url: str, results_prefix: str) -> dict[str, str]:
    """Return the container's environment variables; they do not grow with the number of tasks.

    `region` is the bucket's, `s3_url` the URL of S3 in it.
    """
    return {
        layout.ENV_REGION: region,
        layout.ENV_ENDPOINT: s3_url,
        layout.ENV_DISPATCH_ID: dispatch_id,
        layout.ENV_BUCKET: bucket,
        layout.ENV_RESULTS_PREFIX: results_prefix,
    }


def numbering(earlier_attempts: int) -> dict[str, str]:
    """Return the variable for a job whose tasks had earlier jobs: how many attempts these had."""
    return {layout.ENV_EARLIER_ATTEMPTS: str(earlier_attempts)} if earlier_attempts else {}


def encryption(settings: Settings) -> dict[str, str]:
    """Return the variables for the encryption of results; none for the bucket's default."""
    names = {"ServerSideEncryption": layout.ENV_SSE, "SSEKMSKeyId": layout.ENV_KMS_KEY}
    return {names[name]: value for name, value in settings.encryption.items()}


def patience(settings: Settings) -> dict[str, str]:
    """Return the variable for the setting `outage_patience`; none for the runner's own default."""
    if settings.outage_patience == layout.OUTAGE_PATIENCE_S:
        return {}
    return {layout.ENV_OUTAGE_PATIENCE: f"{settings.outage_patience:g}"}


def sharing(settings: Settings, tasks: int) -> dict[str, str]:
    """Return the variables for a shared container: the number of its tasks and how to run them."""
    if not settings.shares_containers:
        return {}
    return {
        layout.ENV_TASKS_PER_JOB: str(settings.tasks_per_job),
        layout.ENV_PARALLEL_TASKS: str(settings.parallel_tasks),
        layout.ENV_TASKS: str(tasks),
        layout.ENV_TIME_LIMIT: str(settings.time_limit),
    }


def bundles(settings: Settings) -> dict[str, str]:
    """Return the variable for a shared container that writes its tasks' results as bundles."""
    return {layout.ENV_BUNDLES: "1"} if settings.shares_containers else {}


def addresses(settings: Settings, job_id: str, tasks: int) -> list[tuple[str, int | None]]:
    """Return, for each task, the id of its job (or child job) and its member number.

    The number is None for a task with a container of its own: then the job's id identifies the task.
    """
    containers = -(-tasks // settings.tasks_per_job)
    ids = [job_id] if containers == 1 else [f"{job_id}:{index}" for index in range(containers)]
    if not settings.shares_containers:
        return [(each, None) for each in ids]
    return [(ids[member // settings.tasks_per_job], member) for member in range(tasks)]


# ---- names and tags, in AWS's alphabets and lengths; the same task always gets the same ----------------------------
def job_name(groups: Sequence[tuple[str, int]], tries: int = 1) -> str:
    """Return the job's name for these task groups (dispatch id, group id).

    An array job is named after its first task and a hash of all its tasks, so that no other array has its name. A
    repeated submission differs by `tries`.
    """
    dispatch_id, task_group_id = groups[0]
    name = f"{JOB_NAME_BEGINS}{dispatch_id}-{task_group_id}"
    if len(groups) > 1:
        everyone = "\n".join(f"{dispatch} {group}" for dispatch, group in groups)
        name += f"-x{len(groups)}-{hashlib.sha256(everyone.encode()).hexdigest()[:12]}"
    if tries > 1:
        name += f"-try{tries}"
    return _fitted(name, JOB_NAME_CHARS)


def definition_name(prefix: str, definition: Mapping[str, Any]) -> str:
    """Return a name made from the content, so that a registered definition is found again."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def log_stream_prefix(prefix: str, image: str) -> str:
    """Return the `awslogs-stream-prefix` of all jobs of one image: FilterLogEvents with it follows a whole array.

    The first 16 digits of the image's digest, so that a stream and its image can be matched by eye. A stream is
    `prefix/container/ECS task id`, of at most 512 characters without `:` and `*`:
    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogStream.html
    """
    digest = image.partition("@sha256:")[2] or hashlib.sha256(image.encode()).hexdigest()
    return f"{prefix}-{digest[:16]}"


def tags(dispatch_id: str, task_group_id: int, host: str) -> dict[str, str]:
    """Return tags by which the job is found again: by dispatch, and by the submitting machine."""
    return {
        TAG_PLUGIN: "awsbatch",
        TAG_DISPATCH: tag_value(dispatch_id),
        TAG_GROUP: str(task_group_id),
        TAG_HOST: tag_value(host),
    }


def tag_value(text: str) -> str:
    """Return the text in the alphabet of tags, at most 256 characters."""
    return re.sub(r"[^\w .:/=+@-]", "-", text)[:256]


def _fitted(name: str, length: int) -> str:
    clean = _FOREIGN.sub("-", name)
    if clean == name and len(name) <= length:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{clean[: length - 13]}-{digest}"
