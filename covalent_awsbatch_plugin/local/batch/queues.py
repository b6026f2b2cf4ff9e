# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The kinds of queues and compute environments that moto does not tell apart: fair-share, Fargate, EKS, SageMaker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.batch.exceptions import ClientException
from moto.batch.models import BatchBackend, ComputeEnvironment, JobDefinition, JobQueue

EKS, SAGEMAKER, FARGATE, ECS = "EKS", "SAGEMAKER_TRAINING", "ECS_FARGATE", "ECS"  # jobQueueType


def orchestration(environment: ComputeEnvironment) -> dict[str, Any]:
    """Return the fields of DescribeComputeEnvironments that tell EKS from ECS."""
    eks = getattr(environment, "eks", None)
    return (
        {"containerOrchestrationType": "EKS", "eksConfiguration": eks} if eks else {"containerOrchestrationType": "ECS"}
    )


def queue_type(queue: JobQueue) -> str:
    """Return the `jobQueueType` of a queue."""
    if getattr(queue, "service_order", None):
        return SAGEMAKER
    if any(getattr(each, "eks", None) for each in queue.environments):
        return EKS
    kinds = [str((each.compute_resources or {}).get("type", "")) for each in queue.environments]
    return FARGATE if any(kind.startswith("FARGATE") for kind in kinds) else ECS


def described(queue: JobQueue, fields: dict[str, Any]) -> dict[str, Any]:
    """Return moto's description of a queue with what moto leaves out."""
    fields |= {"jobStateTimeLimitActions": getattr(queue, "limits", []), "jobQueueType": queue_type(queue)}
    if order := getattr(queue, "service_order", None):
        fields |= {"computeEnvironmentOrder": [], "serviceEnvironmentOrder": order}
    return {key: value for key, value in fields.items() if value is not None}


def check_policy(backend: BatchBackend, arn: str | None) -> None:
    """Refuse a queue with a scheduling policy that does not exist."""
    if arn is not None and not backend.describe_scheduling_policies([arn]):
        raise ClientException(f"Scheduling policy {arn} does not exist")


def check_submission(queue: JobQueue, definition: JobDefinition, parameters: Mapping[str, Any]) -> None:
    """Refuse a job that the queue's kind or its scheduling policy does not allow.

    Source: the API model's SubmitJobRequest, shareIdentifier and schedulingPriorityOverride.
    """
    kind = queue_type(queue)
    if kind in (EKS, SAGEMAKER):
        raise ClientException(f"Job queue {queue.name} is of type {kind}, and the job definition is for ECS containers")
    platform = "FARGATE" if kind == FARGATE else "EC2"
    if platform not in (definition.platform_capabilities or ["EC2"]):
        raise ClientException(f"The job definition's platformCapabilities do not have {platform}, the queue's type")
    share, priority = parameters.get("shareIdentifier"), parameters.get("schedulingPriorityOverride")
    if priority is not None and not 0 <= priority <= 9999:
        raise ClientException("schedulingPriorityOverride must be between 0 and 9999")
    if queue.schedule_policy is None:
        if share is not None:
            raise ClientException("shareIdentifier can only be specified for a job queue with a scheduling policy")
    elif share is None:
        raise ClientException("shareIdentifier must be specified for a job queue with a scheduling policy")
    elif priority is None:
        raise ClientException("A scheduling priority must be specified for a job queue with a scheduling policy")


def share(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's place in its queue's shares, in the words of DescribeJobs."""
    names = {"shareIdentifier": "shareIdentifier", "schedulingPriorityOverride": "schedulingPriority"}
    return {names[key]: value for key, value in parameters.items() if key in names}
