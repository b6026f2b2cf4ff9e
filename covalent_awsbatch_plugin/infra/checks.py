# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What `doctor` makes of AWS's answers: a line for each thing, ok or what is wrong and what mends it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..iam import ROLES, Names, Statement
from ..jobs.instance_types import instance_types, platforms, too_small
from ..settings import Settings

OK, WRONG, UNKNOWN = "ok", "wrong", "unknown"
MOST_SKEW_S = 300  # AWS refuses requests of a clock that is further off
SOON = timedelta(hours=1)
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SERVICES = ("ecr.api", "ecr.dkr", "s3", "logs")  # what a container needs of AWS before our code runs


@dataclass(frozen=True)
class Finding:
    """One line. `mend` is the command or the deed that puts it right."""

    name: str
    state: str
    told: str
    mend: str = ""


def credentials(arn: str, ends: datetime | None, now: datetime) -> Finding:
    """Whose they are, and how long they live."""
    if ends is None:
        return Finding("credentials", OK, f"{arn}, without an end")
    left = ends - now
    told = f"{arn}, until {ends:%Y-%m-%d %H:%M} UTC"
    if left < SOON:
        mend = "Sign in again, or set profile to one that renews itself: the server needs them for as long as it runs."
        return Finding("credentials", WRONG, f"{told}: {left.total_seconds() / 60:.0f} minutes", mend)
    return Finding("credentials", OK, told)


def clock(skew_s: float) -> Finding:
    """How far this machine's clock is from AWS's."""
    if abs(skew_s) < MOST_SKEW_S:
        return Finding("clock", OK, f"{abs(skew_s):.0f} s from AWS's")
    return Finding(
        "clock", WRONG, f"{abs(skew_s):.0f} s from AWS's; it refuses over {MOST_SKEW_S} s", "timedatectl set-ntp true"
    )


def python(image: str, theirs: str | None, ours: str) -> Finding:
    """Whether the image reads what this Python pickles: the same minor version on both sides."""
    minor = ".".join(ours.split(".")[:2])
    if theirs is None:
        return Finding("base image", UNKNOWN, f"{image} does not say which Python it has; here it is {ours}")
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        return Finding("base image", OK, f"{image}, Python {theirs}")
    mend = f"Set container_image_uri to an image with Python {minor}, or leave it empty for python:{minor}-slim."
    return Finding("base image", WRONG, f"{image} has Python {theirs}, and here it is {ours}", mend)


def role(setting: str, name: str, trust: Mapping[str, Any]) -> Finding:
    """Whether ECS may take a role on, by its trust policy."""
    statements = trust.get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    services = [s.get("Principal", {}).get("Service", ()) for s in statements if s.get("Effect") == "Allow"]
    if any("ecs-tasks.amazonaws.com" in ([found] if isinstance(found, str) else found) for found in services):
        return Finding(setting, OK, f"{name}, ECS may assume it")
    mend = f"aws iam update-assume-role-policy --role-name {_bare(name)} --policy-document '{json.dumps(TRUST)}'"
    return Finding(setting, WRONG, f"{name}: ECS may not assume it, so no job would start", mend)


def encryption(bucket: str, rules: Sequence[Mapping[str, Any]]) -> Finding:
    """How what lies in the bucket is encrypted."""
    kinds = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules]
    if kinds and kinds[0]:
        return Finding("bucket encryption", OK, str(kinds[0]))
    rule = json.dumps({"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]})
    mend = f"aws s3api put-bucket-encryption --bucket {bucket} --server-side-encryption-configuration '{rule}'"
    return Finding("bucket encryption", WRONG, "none", mend)


def architecture(platform: str, environments: Sequence[Mapping[str, Any]]) -> Finding:
    """Whether all machines run the images that are made; where they run but one kind, that is made."""
    there = platforms(environments)
    if not there or there == [platform]:
        return Finding("architecture", OK, platform)
    told = f"images are made for {platform}, and some of the queue's machines run {' and '.join(there)}"
    mend = f"Give the queue machines of one processor: {', '.join(instance_types(environments))} are of both."
    return Finding("architecture", WRONG, told, mend)


def way_out(
    subnet: str, routes: Sequence[Mapping[str, Any]], public: bool, endpoints: Sequence[str], region: str
) -> Finding:
    """Whether a container in a subnet reaches ECR, S3 and CloudWatch; `endpoints` are the VPC's services."""
    name = f"subnet {subnet}"
    out = [
        route
        for route in routes
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State") != "blackhole"
    ]
    if any(str(route.get("GatewayId", "")).startswith("igw-") for route in out):
        if public:
            return Finding(name, OK, "has a way out through an internet gateway")
        told = "leads to an internet gateway, but its machines get no public address"
        return Finding(
            name, WRONG, told, f"aws ec2 modify-subnet-attribute --subnet-id {subnet} --map-public-ip-on-launch"
        )
    if out:
        return Finding(name, OK, "has a way out")
    missing = [service for service in SERVICES if f"com.amazonaws.{region}.{service}" not in endpoints]
    if not missing:
        return Finding(name, OK, "reaches AWS through VPC endpoints")
    mend = f"Give it a route to a NAT gateway, or the VPC endpoints {', '.join(missing)}."
    return Finding(name, WRONG, f"has no way to {', '.join(missing)}", mend)


def machines(environment: str, types: Sequence[Mapping[str, Any]], settings: Settings) -> Finding:
    """Whether one of an environment's instance types has room for a task."""
    name = f"machines of {environment}"
    wanted = f"vcpu={settings.vcpu:g}, memory={settings.memory:g} (GiB), num_gpus={settings.num_gpus}"
    if not types:
        return Finding(name, UNKNOWN, "AWS tells nothing of its instance types in this Region")
    if most := too_small(types, settings.vcpu, settings.memory_mib, settings.num_gpus):
        gpu = "; covalent-awsbatch infra up --gpu makes one with GPUs" if settings.num_gpus else ""
        mend = f"Lower the setting, or give the queue bigger instance types{gpu}."
        return Finding(name, WRONG, f"none has room for {wanted}: they have {most}", mend)
    return Finding(name, OK, f"have room for {wanted}")


def wanted_permissions(role: str, names: Names) -> list[tuple[str, list[str], list[str]]]:
    """What to simulate for one of `policies.ROLES`: Sid, actions, resources with every * filled in."""
    return [(each["Sid"], each["Action"], _filled(each)) for each in ROLES[role](names)]


def permissions(role: str, arn: str, missing: Mapping[str, Sequence[str]]) -> list[Finding]:
    """What IAM does not allow somebody, by the Sid of the statement that would; `role` is one of `policies.ROLES`."""
    name = "permissions" if role == "dispatcher" else f"permissions of the {role} role"
    whose = "user" if ":user/" in arn else "role"
    mend = (
        f"aws iam put-{whose}-policy --{whose}-name {_owner(arn)} --policy-name covalent-{role} --policy-document"
        f' "$(covalent-awsbatch iam --role {role})"'
    )
    told = [
        Finding(name, WRONG, f"IAM does not allow {', '.join(actions)}", f"{mend}; it has the statement `{sid}`.")
        for sid, actions in missing.items()
        if actions
    ]
    return told or [Finding(name, OK, "IAM allows everything a task needs")]


def _owner(arn: str) -> str:
    """A user's or a role's name: a session's is in the middle of its ARN."""
    parts = arn.split("/")
    return parts[1] if ":assumed-role/" in arn else parts[-1]


def _bare(role: str) -> str:
    """A role's name, from its name or ARN."""
    return role.rpartition("/")[2]


def _filled(statement: Statement) -> list[str]:
    return [each if each == "*" else each.replace("*", "x") for each in statement["Resource"]]
