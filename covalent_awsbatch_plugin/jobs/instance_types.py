# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The instance types of a queue's compute environments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Machines:
    """The machines of one compute environment. `max_vcpus` is None and `types` is empty where AWS names none."""

    environment: str
    max_vcpus: int | None
    types: tuple[str, ...]


def machines(environments: Iterable[Mapping[str, Any]]) -> tuple[Machines, ...]:
    """Return the machines of environments, as DescribeComputeEnvironments describes these."""
    return tuple(
        Machines(
            str(each.get("computeEnvironmentName", "?")),
            (each.get("computeResources") or {}).get("maxvCpus"),
            tuple(instance_types([each])),
        )
        for each in environments
    )


AMD64, ARM64 = "linux/amd64", "linux/arm64"


def is_fargate(environments: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether the environments are on Fargate: AWS allows no queue with both kinds."""
    return any(str((env.get("computeResources") or {}).get("type", "")).startswith("FARGATE") for env in environments)


def instance_types(environments: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the instance types and families of the environments, such as `optimal`; none on Fargate."""
    return [kind for env in environments for kind in (env.get("computeResources") or {}).get("instanceTypes") or ()]


def platforms(environments: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the platforms of the instances, as Docker names them; none if they are not known, as on Fargate."""
    return sorted({ARM64 if _is_arm(kind) else AMD64 for kind in instance_types(environments)})


def _is_arm(instance_type: str) -> bool:
    """Return whether a type is arm64, by AWS's naming rule.

    https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
    """
    family = instance_type.partition(".")[0]
    # m7g, c6gn, g5g; not g5, not g4dn
    return family in ("a1", "default_arm64") or "g" in family.lstrip("abcdefghijklmnopqrstuvwxyz_")


# https://docs.aws.amazon.com/batch/latest/APIReference/API_ComputeResource.html, instanceTypes. `optimal` changes
# to the families of default_x86_64 from November 2025 on, so a type of either may be there.
_FAMILIES = {
    "optimal": ("c4", "m4", "r4", "c5", "m5", "r5", "m6i", "c6i", "r6i", "c7i"),
    "default_x86_64": ("m6i", "c6i", "r6i", "c7i"),
    "default_arm64": ("m6g", "c6g", "r6g", "c7g"),
}


def type_patterns(environment: Mapping[str, Any]) -> list[str]:
    """Return the environment's instance types as values of DescribeInstanceTypes' filter `instance-type`."""
    named = [part for kind in instance_types([environment]) for part in _FAMILIES.get(kind, (kind,))]
    return [name if "." in name else f"{name}.*" for name in named]


def has_gpus(instance_type: str) -> bool:
    """Return whether a type or family has GPUs for Batch's `GPU` requirement, by AWS's naming rule: p4d, g5g, gr6."""
    return re.match(r"(p|g|gr)\d", instance_type) is not None


def too_small(types: Iterable[Mapping[str, Any]], vcpu: float, memory_mib: int, gpus: int) -> str:
    """Return "" if one of the types has room for a task, else the largest sizes.

    `types` are items of DescribeInstanceTypes.
    """
    sizes = [_size(each) for each in types]
    # The operating system and the ECS agent need some memory, so a task cannot have all of it.
    if not sizes or any(size[0] >= vcpu and size[1] > memory_mib and size[2] >= gpus for size in sizes):
        return ""
    most = [max(size[part] for size in sizes) for part in range(3)]
    return f"up to {most[0]} vCPUs, {most[1] / 1024:g} GiB, {most[2]} GPUs"


def _size(instance_type: Mapping[str, Any]) -> tuple[int, int, int]:
    gpus = sum(int(gpu.get("Count", 0)) for gpu in (instance_type.get("GpuInfo") or {}).get("Gpus", ()))
    return int(instance_type["VCpuInfo"]["DefaultVCpus"]), int(instance_type["MemoryInfo"]["SizeInMiB"]), gpus
