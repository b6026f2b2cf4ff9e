# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Which vCPUs, memory and GPUs go together on the kind of machines that a queue has."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import SettingError
from .settings import Settings

# vCPU: GiB. https://docs.aws.amazon.com/batch/latest/userguide/fargate.html
FARGATE: dict[float, Sequence[float]] = {
    0.25: (0.5, 1, 2),
    0.5: range(1, 5),
    1: range(2, 9),
    2: range(4, 17),
    4: range(8, 31),
    8: range(16, 61, 4),
    16: range(32, 121, 8),
}


def check_size(settings: Settings, *, fargate: bool) -> None:
    """Raises SettingError for what the queue's machines never give, before anything is made for it."""
    if fargate:
        _check_fargate(settings)
    elif settings.vcpu < 1:
        raise SettingError(
            f"The setting vcpu={settings.vcpu:g} is below 1, which the EC2 queue `{settings.batch_queue}` can't give.",
            advice="Set vcpu to 1 or more, or batch_queue to one on Fargate.",
        )


def _check_fargate(settings: Settings) -> None:
    queue = f"the queue `{settings.batch_queue}` is on Fargate"
    if settings.num_gpus:
        raise SettingError(
            f"The setting num_gpus={settings.num_gpus} asks for GPUs, and {queue}, which has none.",
            advice="Set num_gpus to 0, or batch_queue to one with GPU instances.",
        )
    if settings.vcpu not in FARGATE:
        raise SettingError(
            f"The setting vcpu={settings.vcpu:g} can't be had: {queue}.",
            advice=f"Fargate has vcpu {', '.join(f'{vcpu:g}' for vcpu in FARGATE)}.",
        )
    legal = FARGATE[settings.vcpu]
    if settings.memory not in legal:
        enough = next((gib for gib in legal if gib >= settings.memory), legal[-1])
        raise SettingError(
            f"The setting memory={settings.memory:g} (GiB) does not go with vcpu={settings.vcpu:g}: {queue}.",
            advice=f"Set memory to {enough:g}; with vcpu={settings.vcpu:g} Fargate has {_told(legal)} GiB.",
        )


def _told(legal: Sequence[float]) -> str:
    if isinstance(legal, range):
        return f"{legal[0]} to {legal[-1]} in steps of {legal.step}"
    return ", ".join(f"{gib:g}" for gib in legal)
