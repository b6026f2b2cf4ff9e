# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The combinations of vCPUs, memory, GPUs and platforms that a queue's instances can run."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.fargate_sizes import FARGATE_GIB
from ..errors import SettingError
from ..settings import Settings
from .instance_types import Machines, has_gpus


@functools.lru_cache(maxsize=1024)
def fitted(
    settings: Settings,
    *,
    fargate: bool,
    platform: str = "",
    fair_share: bool | None = None,
    machines: tuple[Machines, ...] = (),
) -> tuple[Settings, str]:
    """Return settings with a size and a platform that the queue can run, and the changes as text or "".

    On Fargate vcpu and memory are raised to the next pair that exists, on EC2 vcpu to a whole number; EC2 instances of
    one architecture run only its `platform`. `fair_share` tells whether the queue has a fair-share policy, and is
    None if that is unknown. Raises SettingError for a size that does not exist, or that none of the
    `machines` can ever have.
    """
    _check_share(settings, fair_share)
    if fargate:
        return _on_fargate(settings)
    _check_ec2(settings)
    _check_machines(settings, machines)
    update: dict[str, object] = {}
    changes = []
    if not float(settings.vcpu).is_integer():
        update["vcpu"] = float(math.ceil(settings.vcpu))
        changes.append(
            f"The queue `{settings.batch_queue}` is on EC2, where vCPUs are whole numbers: the task gets"
            f" vcpu={update['vcpu']:g} instead of vcpu={settings.vcpu:g}."
        )
    if platform not in ("", settings.platform):
        update["platform"] = platform
        changes.append(
            f"The instances of the queue `{settings.batch_queue}` run {platform}: the image is built for that."
        )
    return settings.model_copy(update=update) if update else settings, " ".join(changes)


def _on_fargate(settings: Settings) -> tuple[Settings, str]:
    if settings.num_gpus:
        raise SettingError(
            f"The setting num_gpus={settings.num_gpus} requests GPUs, and the queue `{settings.batch_queue}` is on "
            "Fargate, which has none.",
            advice="Set num_gpus to 0, or batch_queue to a queue with GPU instances.",
        )
    vcpu, memory = _next_pair(settings)
    if (vcpu, memory) == (settings.vcpu, settings.memory):
        return settings, ""
    change = (
        f"The queue `{settings.batch_queue}` is on Fargate, which has no vcpu={settings.vcpu:g} with "
        f"memory={settings.memory:g} (GiB): the task gets vcpu={vcpu:g} and memory={memory:g}."
    )
    return settings.model_copy(update={"vcpu": vcpu, "memory": memory}), change


def _check_ec2(settings: Settings) -> None:
    if settings.vcpu < 1:
        raise SettingError(
            f"The setting vcpu={settings.vcpu:g} is below 1, which the EC2 queue `{settings.batch_queue}` does not"
            " support.",
            advice="Set vcpu to 1 or more, or batch_queue to a queue on Fargate.",
        )


def _next_pair(settings: Settings) -> tuple[float, float]:
    """Return the smallest pair that has both; vCPUs first, because they cost more."""
    for vcpu, memories in FARGATE_GIB.items():
        enough = [memory for memory in memories if memory >= settings.memory]
        if vcpu >= settings.vcpu and enough:
            return vcpu, float(enough[0])
    most, memories = list(FARGATE_GIB.items())[-1]
    raise SettingError(
        f"The setting vcpu={settings.vcpu:g} with memory={settings.memory:g} (GiB) is too large: the queue "
        f"`{settings.batch_queue}` is on Fargate.",
        advice=f"Fargate has at most vcpu {most:g} with {memories[-1]:g} GiB; set batch_queue to a queue on EC2 for"
        " more.",
    )


def _check_share(settings: Settings, fair_share: bool | None) -> None:
    """Raise SettingError if the queue's scheduling policy needs or forbids a share identifier."""
    if fair_share is True and not settings.share_identifier:
        raise SettingError(
            f"The queue `{settings.batch_queue}` has a fair-share scheduling policy, and share_identifier is not set.",
            advice="Set share_identifier to one of the policy's, or to any name;"
            " `aws batch describe-scheduling-policies` shows the policy.",
        )
    if fair_share is False and (settings.share_identifier or settings.scheduling_priority):
        name = "share_identifier" if settings.share_identifier else "scheduling_priority"
        raise SettingError(
            f"The setting {name}={getattr(settings, name)!r} needs a queue with a fair-share scheduling policy, and the"
            f" queue `{settings.batch_queue}` has none.",
            advice="Remove share_identifier and scheduling_priority, or set batch_queue to a queue with such a policy.",
        )


def check_runs_containers(name: str, queue: Mapping[str, Any], environments: Iterable[Mapping[str, Any]]) -> None:
    """Raise SettingError for a queue of another kind than ECS; queue and environments are as AWS describes them."""
    kind = queue.get("jobQueueType", "")
    on_eks = any("eksConfiguration" in env or env.get("containerOrchestrationType") == "EKS" for env in environments)
    if kind == "EKS" or on_eks:
        service = "Amazon EKS"
    elif kind.startswith("SAGEMAKER") or queue.get("serviceEnvironmentOrder"):
        service = "Amazon SageMaker"
    else:
        return
    raise SettingError(
        f"The job queue `{name}` runs its jobs on {service}, and tasks need a queue on Amazon ECS.",
        advice="Set batch_queue to a queue whose compute environments are on EC2 or Fargate;"
        " `covalent-awsbatch infra up` creates one.",
    )


def size_text(settings: Settings) -> str:
    """Return the size of a task as the settings write it."""
    return f"vcpu={settings.vcpu:g}, memory={settings.memory:g} (GiB), num_gpus={settings.num_gpus}"


def room_advice(settings: Settings) -> str:
    """Return what to do where no machine has room for a task."""
    gpu = "; `covalent-awsbatch infra up --gpu` creates one with GPUs" if settings.num_gpus else ""
    return f"Lower the setting, or give the queue bigger instance types{gpu}."


def no_room(settings: Settings, lacks: Iterable[str]) -> SettingError:
    """Return the error for a task that no machine of its queue can ever run; `lacks` has a text per environment."""
    return SettingError(
        f"The queue `{settings.batch_queue}` can never run a task with {size_text(settings)}: {'; '.join(lacks)}.",
        advice=room_advice(settings),
    )


def _check_machines(settings: Settings, machines: tuple[Machines, ...]) -> None:
    """Raise SettingError if by its vCPUs or GPUs no compute environment can ever run the task."""
    lacks = [_lack(settings, each) for each in machines]
    if lacks and all(lacks):
        raise no_room(settings, lacks)


def _lack(settings: Settings, machines: Machines) -> str:
    if machines.max_vcpus is not None and machines.max_vcpus < settings.vcpu:
        return f"{machines.environment} has at most {machines.max_vcpus} vCPUs"
    if settings.num_gpus and machines.types and not any(map(has_gpus, machines.types)):
        return f"the machines of {machines.environment} ({', '.join(machines.types)}) have no GPUs"
    return ""
