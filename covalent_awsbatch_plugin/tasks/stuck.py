# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The errors for jobs that do not leave the queue, and for those that never could."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import AWSBatchError, NeverStarted
from ..jobs.definition import JobPlacement
from ..jobs.instance_types import Machines, too_small, type_patterns
from ..jobs.outcomes.errors import facts
from ..jobs.resources import fitted, no_room
from ..settings import Settings
from .job_handle import JobHandle
from .services import Services

log = logging.getLogger(__name__)

LARGE_VCPU, LARGE_GIB = 16, 64  # up to here nearly every instance family has a type with room


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


async def fitted_to_queue(services: Services, settings: Settings, placement: JobPlacement) -> Settings:
    """Return the settings with a size that the queue can run. Raises SettingError if there is none."""
    settings, adjustment = fitted(
        settings,
        fargate=placement.fargate,
        platform=placement.platform,
        fair_share=placement.fair_share,
        machines=placement.machines,
    )
    if adjustment:
        _warn_once(adjustment)
    if not placement.fargate and _is_demanding(settings):
        await refuse_impossible(services, settings, placement)
    return settings


@functools.cache
def _warn_once(text: str) -> None:
    log.warning(text)


def _is_demanding(settings: Settings) -> bool:
    """Return whether a task is so large that its queue's instance types are looked at before it is submitted."""
    return settings.num_gpus > 0 or settings.vcpu > LARGE_VCPU or settings.memory > LARGE_GIB


async def refuse_impossible(services: Services, settings: Settings, placement: JobPlacement) -> None:
    """Raise SettingError if no instance type of the queue has room for a task, as `doctor` says it.

    AWS tells the sizes where it may be asked for them; the permission is not among those that a task needs.
    """
    environments = [each for each in placement.machines if each.types]
    if not environments or len(environments) < len(placement.machines):
        return
    key = "instance types", placement.queue_arn
    try:
        sizes = await services.cached(key, lambda: _instance_types(services, environments), seconds=float("inf"))
    except AWSBatchError as error:  # the task may still fit
        log.info("The instance types of the queue were not looked at: %s", error)
        return
    most = [too_small(types, settings.vcpu, settings.memory_mib, settings.num_gpus) for types in sizes]
    if all(most):
        pairs = zip(environments, most, strict=True)
        raise no_room(settings, [f"the machines of {each.environment} have {size}" for each, size in pairs])


async def _instance_types(services: Services, environments: Sequence[Machines]) -> list[list[Mapping[str, Any]]]:
    """Return the items of DescribeInstanceTypes for each environment."""
    patterns = [type_patterns({"computeResources": {"instanceTypes": each.types}}) for each in environments]
    return [await services.batch.instance_types(each) for each in patterns]


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
