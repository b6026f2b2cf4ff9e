# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What `doctor` makes of AWS's answers: a line for each thing, ok or what is wrong and what mends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .policies import Names, Statement, dispatcher

OK, WRONG, UNKNOWN = "ok", "wrong", "unknown"
MOST_SKEW_S = 300  # AWS refuses requests of a clock that is further off
SOON = timedelta(hours=1)
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
    mend = f"Name ecs-tasks.amazonaws.com in its trust: aws iam update-assume-role-policy --role-name {name} ..."
    return Finding(setting, WRONG, f"{name}: ECS may not assume it, so no job would start", mend)


def encryption(bucket: str, rules: Sequence[Mapping[str, Any]]) -> Finding:
    """How what lies in the bucket is encrypted."""
    kinds = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules]
    if kinds and kinds[0]:
        return Finding("bucket encryption", OK, str(kinds[0]))
    return Finding("bucket encryption", WRONG, "none", f"aws s3api put-bucket-encryption --bucket {bucket} ...")


def architecture(platform: str, environments: Sequence[Mapping[str, Any]]) -> Finding:
    """Whether the machines are of the images' processor, where the instance types say."""
    kinds = [kind for env in environments for kind in (env.get("computeResources") or {}).get("instanceTypes") or ()]
    arm = [kind for kind in kinds if _is_arm(kind)]
    theirs = "linux/arm64" if kinds and len(arm) == len(kinds) else "linux/amd64" if not arm else "both kinds"
    if not kinds or theirs == platform:
        return Finding("architecture", OK, platform)
    return Finding(
        "architecture", WRONG, f"platform is {platform}, the machines are {theirs}", f"Set platform to {theirs}."
    )


def _is_arm(instance_type: str) -> bool:
    family = instance_type.partition(".")[0]
    return family == "a1" or "g" in family.lstrip("abcdefghijklmnopqrstuvwxyz")  # m7g, c6gn, g5g; not g5, not g4dn


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


def wanted_permissions(names: Names) -> list[tuple[str, list[str], list[str]]]:
    """What to simulate: Sid, actions, resources with every * filled in."""
    return [(each["Sid"], each["Action"], _filled(each)) for each in dispatcher(names)]


def _filled(statement: Statement) -> list[str]:
    return [each if each == "*" else each.replace("*", "x") for each in statement["Resource"]]
