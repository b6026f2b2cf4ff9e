# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Why a job does not leave the queue: AWS's reason, its placement there, and what the queue's machines can't give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import AWSBatchError, NeverStarted
from ..jobs.outcomes.errors import facts
from ..settings import Settings
from .job_handle import JobHandle
from .services import Services


async def never_started(services: Services, settings: Settings, handle: JobHandle) -> NeverStarted:
    """The letter for a job whose patience has ended. What can't be asked is left out."""
    queue = (await services.resources(settings)).placement.queue_arn
    lines = [f"`{handle.name}` (Batch job {handle.job_id}) did not start within {settings.start_patience:g} s."]
    states = await services.backend.describe([handle.job_id])
    if state := states.get(handle.job_id):
        lines.append(f"It is {state.status}.")
    try:
        if placement := await services.batch.position(queue, handle.job_id):
            lines.append(f"It is number {placement} in the queue.")
        faults = [fault for env in await services.batch.environments(queue) for fault in lacks(env, settings)]
    except AWSBatchError:  # looking further is a courtesy
        faults = []
    error = NeverStarted(
        " ".join(lines),
        says=f"AWS says: {state.status_reason}" if state and state.status_reason else "",
        advice="\n".join(faults) or f"Look at the queue {settings.batch_queue}, or raise start_patience.",
    )
    error.facts = facts(error, settings.memory)
    return error


def lacks(environment: Mapping[str, Any], settings: Settings) -> list[str]:
    """What a compute environment (of DescribeComputeEnvironments) can't give the settings, one sentence each."""
    name = environment.get("computeEnvironmentName", "?")
    resources = environment.get("computeResources") or {}
    found = []
    if environment.get("state", "ENABLED") != "ENABLED":
        enable = f"aws batch update-compute-environment --compute-environment {name} --state ENABLED"
        found.append(f"The compute environment {name} is {environment['state']}: `{enable}`.")
    if environment.get("status", "VALID") == "INVALID":
        found.append(f"The compute environment {name} is INVALID: {environment.get('statusReason', 'no reason given')}")
    if resources.get("maxvCpus", settings.vcpu) < settings.vcpu:
        found.append(f"{name} has at most {resources['maxvCpus']} vCPUs, and vcpu is {settings.vcpu:g}: lower one.")
    if settings.num_gpus and str(resources.get("type", "")).startswith("FARGATE"):
        found.append(f"{name} is Fargate's, which has no GPUs: set num_gpus to 0, or name another queue.")
    return found
