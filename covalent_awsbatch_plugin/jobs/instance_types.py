# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What a queue's compute environments tell of its machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

AMD64, ARM64 = "linux/amd64", "linux/arm64"


def is_fargate(environments: Iterable[Mapping[str, Any]]) -> bool:
    """Whether they are Fargate's: AWS lets no queue have both kinds."""
    return any(str((env.get("computeResources") or {}).get("type", "")).startswith("FARGATE") for env in environments)


def instance_types(environments: Iterable[Mapping[str, Any]]) -> list[str]:
    """The instance types and families that they name, `optimal` among them; none on Fargate."""
    return [kind for env in environments for kind in (env.get("computeResources") or {}).get("instanceTypes") or ()]


def platforms(environments: Iterable[Mapping[str, Any]]) -> list[str]:
    """For which platforms' images there are machines, in Docker's words; none where they do not say, as on Fargate."""
    return sorted({ARM64 if _is_arm(kind) else AMD64 for kind in instance_types(environments)})


def _is_arm(instance_type: str) -> bool:
    """By the names AWS gives: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html"""
    family = instance_type.partition(".")[0]
    # m7g, c6gn, g5g; not g5, not g4dn
    return family in ("a1", "default_arm64") or "g" in family.lstrip("abcdefghijklmnopqrstuvwxyz_")


# https://docs.aws.amazon.com/batch/latest/APIReference/API_ComputeResource.html, instanceTypes
_FAMILIES = {
    "optimal": ("c4", "m4", "r4", "c5", "m5", "r5"),
    "default_x86_64": ("m6i", "c6i", "r6i", "c7i"),
    "default_arm64": ("m6g", "c6g", "r6g", "c7g"),
}


def type_patterns(environment: Mapping[str, Any]) -> list[str]:
    """The environment's instance types in the words of DescribeInstanceTypes' filter `instance-type`."""
    named = [part for kind in instance_types([environment]) for part in _FAMILIES.get(kind, (kind,))]
    return [name if "." in name else f"{name}.*" for name in named]


def too_small(types: Iterable[Mapping[str, Any]], vcpu: float, memory_mib: int, gpus: int) -> str:
    """ "" where one of these (of DescribeInstanceTypes) has room for a task, else what the biggest have."""
    sizes = [_size(each) for each in types]
    # A machine's own system and AWS's agent need some of its memory, so all of it is too much.
    if not sizes or any(size[0] >= vcpu and size[1] > memory_mib and size[2] >= gpus for size in sizes):
        return ""
    most = [max(size[part] for size in sizes) for part in range(3)]
    return f"up to {most[0]} vCPUs, {most[1] / 1024:g} GiB, {most[2]} GPUs"


def _size(told: Mapping[str, Any]) -> tuple[int, int, int]:
    gpus = sum(int(gpu.get("Count", 0)) for gpu in (told.get("GpuInfo") or {}).get("Gpus", ()))
    return int(told["VCpuInfo"]["DefaultVCpus"]), int(told["MemoryInfo"]["SizeInMiB"]), gpus
