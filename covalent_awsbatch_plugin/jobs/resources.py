# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The combinations of vCPUs, memory, GPUs and platforms that a queue's instances can run."""

from __future__ import annotations

import functools

from ..core.fargate_sizes import FARGATE_GIB
from ..errors import SettingError
from ..settings import Settings


@functools.lru_cache(maxsize=1024)
def fitted(settings: Settings, *, fargate: bool, platform: str = "") -> tuple[Settings, str]:
    """Return settings with a size and a platform that the queue can run, and the changes as text or "".

    On Fargate vcpu and memory are raised to the next pair that exists; EC2 instances of one architecture run only its
    `platform`. Raises SettingError for a size that does not exist.
    """
    if fargate:
        return _on_fargate(settings)
    _check_ec2(settings)
    if platform in ("", settings.platform):
        return settings, ""
    change = f"The instances of the queue `{settings.batch_queue}` run {platform}: the image is built for that."
    return settings.model_copy(update={"platform": platform}), change


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
