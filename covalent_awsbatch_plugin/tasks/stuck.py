# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The error for a job that does not leave the queue: AWS's reason, the position, faults of compute environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import AWSBatchError, NeverStarted
from ..jobs.outcomes.errors import facts
from ..settings import Settings
from .job_handle import JobHandle
from .services import Services


async def never_started(services: Services, settings: Settings, handle: JobHandle) -> NeverStarted:
    """Return the error for a job that did not start within `start_patience`; unavailable facts are omitted."""
    queue = (await services.resources(settings)).placement.queue_arn
    lines = [f"`{handle.name}` (Batch job {handle.job_id}) did not start within {settings.start_patience:g} s."]
    states = await services.backend.describe([handle.job_id])
    if state := states.get(handle.job_id):
        lines.append(f"It is {state.status}.")
    try:
        if position := await services.batch.position(queue, handle.job_id):
            lines.append(f"It is number {position} in the queue.")
        faults = [fault for env in await services.batch.environments(queue) for fault in lacks(env, settings)]
    except AWSBatchError:  # the error is complete without the queue's faults
        faults = []
    error = NeverStarted(
        " ".join(lines),
        says=f"AWS says: {state.status_reason}" if state and state.status_reason else "",
        advice="\n".join(faults) or f"Look at the queue {settings.batch_queue}, or raise start_patience.",
    )
    error.facts = facts(error, settings.memory)
    return error


def lacks(environment: Mapping[str, Any], settings: Settings) -> list[str]:
    """Return why a compute environment (of DescribeComputeEnvironments) can't run jobs of the settings."""
    name = environment.get("computeEnvironmentName", "?")
    resources = environment.get("computeResources") or {}
    sentences = []
    if environment.get("state", "ENABLED") != "ENABLED":
        enable = f"aws batch update-compute-environment --compute-environment {name} --state ENABLED"
        sentences.append(f"The compute environment {name} is {environment['state']}: `{enable}`.")
    if environment.get("status", "VALID") == "INVALID":
        sentences.append(
            f"The compute environment {name} is INVALID: {environment.get('statusReason', 'no reason given')}"
        )
    if resources.get("maxvCpus", settings.vcpu) < settings.vcpu:
        sentences.append(f"{name} has at most {resources['maxvCpus']} vCPUs, and vcpu is {settings.vcpu:g}: lower one.")
    if settings.num_gpus and str(resources.get("type", "")).startswith("FARGATE"):
        sentences.append(f"{name} is Fargate's, which has no GPUs: set num_gpus to 0, or name another queue.")
    return sentences
