# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The account's quotas of vCPUs, which are low or 0 in a new account: jobs then wait without a reason.

The codes are Service Quotas': `aws service-quotas list-service-quotas --service-code ec2` (and `fargate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..jobs.instance_types import instance_types
from .checks import OK, WRONG, Finding


@dataclass(frozen=True)
class Quota:
    """A quota of Service Quotas."""

    service: str
    code: str
    name: str


FARGATE = Quota("fargate", "L-3032A538", "Fargate On-Demand vCPUs")
FARGATE_SPOT = Quota("fargate", "L-36FBB829", "Fargate Spot vCPUs")
# By the letters with which the families begin: On-Demand, Spot.
_FAMILIES: Mapping[tuple[str, ...], tuple[Quota, Quota]] = {
    ("a", "c", "d", "h", "i", "m", "r", "t", "z", "optimal", "default"): (
        Quota("ec2", "L-1216C47A", "vCPUs of running On-Demand Standard instances"),
        Quota("ec2", "L-34B43A08", "vCPUs of Standard Spot instances"),
    ),
    ("g", "vt"): (
        Quota("ec2", "L-DB2E81BA", "vCPUs of running On-Demand G and VT instances"),
        Quota("ec2", "L-3819A6DF", "vCPUs of G and VT Spot instances"),
    ),
    ("p",): (
        Quota("ec2", "L-417A185B", "vCPUs of running On-Demand P instances"),
        Quota("ec2", "L-7212CCBC", "vCPUs of P Spot instances"),
    ),
}


def quotas(environment: Mapping[str, Any]) -> list[Quota]:
    """Return the quotas that limit a compute environment; none for families that are not listed here."""
    kind = str((environment.get("computeResources") or {}).get("type", ""))
    if kind.startswith("FARGATE"):
        return [FARGATE_SPOT if kind == "FARGATE_SPOT" else FARGATE]
    families = {_letters(each) for each in instance_types([environment])}
    return [pair[kind == "SPOT"] for letters, pair in _FAMILIES.items() if families & set(letters)]


def _letters(instance_type: str) -> str:
    """Return the letters with which a family begins: `m` of m7g.large, `vt` of vt1, `default` of default_arm64."""
    name = instance_type.partition(".")[0].partition("_")[0]
    return name[: next((at for at, letter in enumerate(name) if not letter.isalpha()), len(name))]


def judge(environment: Mapping[str, Any], vcpus: float, values: Sequence[tuple[Quota, float]]) -> list[Finding]:
    """Judge whether a task with `vcpus` fits into one of the environment's quotas; no finding without quotas."""
    if not values:
        return []
    name = f"vCPU quota of {environment.get('computeEnvironmentName', '')}"
    text = ", ".join(f"{quota.name}: {value:g}" for quota, value in values)
    best, value = max(values, key=lambda pair: pair[1])
    if value < vcpus:
        return [Finding(name, WRONG, f"{text}; one task needs {vcpus:g}", _increase(best, environment, vcpus))]
    max_vcpus = int((environment.get("computeResources") or {}).get("maxvCpus") or 0)
    below = f"; maxvCpus is {max_vcpus}, so the quota limits how many tasks run at a time" if value < max_vcpus else ""
    return [Finding(name, OK, text + below)]


def _increase(quota: Quota, environment: Mapping[str, Any], vcpus: float) -> str:
    max_vcpus = max(int(vcpus + 0.99), int((environment.get("computeResources") or {}).get("maxvCpus") or 0))
    return (
        f"aws service-quotas request-service-quota-increase --service-code {quota.service} --quota-code {quota.code}"
        f" --desired-value {max_vcpus}"
    )
