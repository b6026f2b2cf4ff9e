# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The judgements of `doctor` on AWS's answers: ok, or what is wrong and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..iam import ROLES, Names, Statement
from ..jobs.instance_types import instance_types, platforms, too_small
from ..jobs.resources import room_advice, size_text
from ..settings import Settings

OK, WRONG, UNKNOWN = "ok", "wrong", "unknown"
MOST_SKEW_S = 300  # AWS refuses requests whose time differs by more
SOON = timedelta(hours=1)
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SERVICES = ("ecr.api", "ecr.dkr", "s3", "logs")  # services that a container uses before the runner starts


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`. `advice` is the command or the action that corrects it."""

    name: str
    state: str
    text: str
    advice: str = ""


def credentials(arn: str, ends: datetime | None, now: datetime) -> Finding:
    """Judge the credentials by their owner and by the time until they expire."""
    if ends is None:
        return Finding("credentials", OK, f"{arn}, does not expire")
    remaining = ends - now
    text = f"{arn}, until {ends:%Y-%m-%d %H:%M} UTC"
    if remaining < SOON:
        advice = (
            "Sign in again, or use a profile that renews its credentials: the server needs them as long as it runs."
        )
        return Finding("credentials", WRONG, f"{text}: in {remaining.total_seconds() / 60:.0f} minutes", advice)
    return Finding("credentials", OK, text)


def clock(skew_s: float) -> Finding:
    """Judge the difference between this machine's clock and AWS's, in seconds."""
    if abs(skew_s) < MOST_SKEW_S:
        return Finding("clock", OK, f"{abs(skew_s):.0f} s from AWS's")
    return Finding(
        "clock", WRONG, f"{abs(skew_s):.0f} s from AWS's; it refuses over {MOST_SKEW_S} s", "timedatectl set-ntp true"
    )


def python(image: str, theirs: str | None, ours: str) -> Finding:
    """Judge whether the image can read the pickles of this Python: the minor versions must be equal."""
    minor = ".".join(ours.split(".")[:2])
    if theirs is None:
        return Finding("base image", UNKNOWN, f"{image} does not say which Python it has; here it is {ours}")
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        return Finding("base image", OK, f"{image}, Python {theirs}")
    advice = f"Set container_image_uri to an image with Python {minor}, or leave it empty for python:{minor}-slim."
    return Finding("base image", WRONG, f"{image} has Python {theirs}, and here it is {ours}", advice)


def role(setting: str, name: str, trust: Mapping[str, Any]) -> Finding:
    """Judge whether ECS may assume a role, by the role's trust policy."""
    statements = trust.get("Statement", [])
    statements = statements if isinstance(statements, list) else [statements]
    services = [s.get("Principal", {}).get("Service", ()) for s in statements if s.get("Effect") == "Allow"]
    if any("ecs-tasks.amazonaws.com" in ([service] if isinstance(service, str) else service) for service in services):
        return Finding(setting, OK, f"{name}, ECS may assume it")
    advice = f"aws iam update-assume-role-policy --role-name {_bare(name)} --policy-document '{json.dumps(TRUST)}'"
    return Finding(setting, WRONG, f"{name}: ECS may not assume it, so no job can start", advice)


def encryption(bucket: str, rules: Sequence[Mapping[str, Any]]) -> Finding:
    """Judge the default encryption of the bucket."""
    kinds = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules]
    if kinds and kinds[0]:
        return Finding("bucket encryption", OK, str(kinds[0]))
    rule = json.dumps({"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]})
    advice = f"aws s3api put-bucket-encryption --bucket {bucket} --server-side-encryption-configuration '{rule}'"
    return Finding("bucket encryption", WRONG, "none", advice)


def architecture(platform: str, environments: Sequence[Mapping[str, Any]]) -> Finding:
    """Judge whether all instances can run the images; with one architecture only, images are built for it."""
    there = platforms(environments)
    if not there or there == [platform]:
        return Finding("architecture", OK, platform)
    text = f"images are built for {platform}, and the queue's instances run {' and '.join(there)}"
    advice = f"Use instance types of one architecture: {', '.join(instance_types(environments))} have both."
    return Finding("architecture", WRONG, text, advice)


def way_out(
    subnet: str,
    routes: Sequence[Mapping[str, Any]],
    public: bool,
    endpoints: Sequence[str],
    region: str,
    *,
    fargate: bool = False,
) -> Finding:
    """Judge whether a container in a subnet reaches ECR, S3 and CloudWatch.

    `endpoints` are the services with an endpoint in the VPC.
    """
    name = f"subnet {subnet}"
    out = [
        route
        for route in routes
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State") != "blackhole"
    ]
    if any(str(route.get("GatewayId", "")).startswith("igw-") for route in out):
        if public:
            return Finding(name, OK, "has a route to an internet gateway")
        if fargate:
            text = "has a route to an internet gateway, but assign_public_ip is false"
            return Finding(name, WRONG, text, "Set assign_public_ip to true, or use subnets with a NAT gateway.")
        text = "has a route to an internet gateway, but its instances get no public address"
        return Finding(
            name, WRONG, text, f"aws ec2 modify-subnet-attribute --subnet-id {subnet} --map-public-ip-on-launch"
        )
    if out:
        return Finding(name, OK, "has a route out of the VPC")
    missing = [service for service in SERVICES if f"com.amazonaws.{region}.{service}" not in endpoints]
    if not missing:
        return Finding(name, OK, "reaches AWS through VPC endpoints")
    advice = f"Give it a route to a NAT gateway, or the VPC endpoints {', '.join(missing)}."
    return Finding(name, WRONG, f"has no route to {', '.join(missing)}", advice)


def machines(environment: str, types: Sequence[Mapping[str, Any]], settings: Settings) -> Finding:
    """Judge whether one of an environment's instance types has room for a task."""
    name = f"machines of {environment}"
    size = size_text(settings)
    if not types:
        return Finding(name, UNKNOWN, "AWS describes none of its instance types in this Region")
    if most := too_small(types, settings.vcpu, settings.memory_mib, settings.num_gpus):
        return Finding(name, WRONG, f"none has room for {size}: they have {most}", room_advice(settings))
    return Finding(name, OK, f"have room for {size}")


def wanted_permissions(role: str, names: Names) -> list[tuple[str, list[str], list[str]]]:
    """Return the Sid, the actions and the resources to simulate for each statement of a role.

    `role` is a key of `iam.ROLES`; every * in a resource is replaced by a name.
    """
    return [(each["Sid"], each["Action"], _filled(each)) for each in ROLES[role](names)]


def permissions(role: str, arn: str, missing: Mapping[str, Sequence[str]]) -> list[Finding]:
    """Return findings about the actions that IAM does not allow.

    `missing` has the actions by the Sid of the statement that allows them; `role` is a key of `iam.ROLES`.
    """
    name = "permissions" if role == "dispatcher" else f"permissions of the {role} role"
    whose = "user" if ":user/" in arn else "role"
    advice = (
        f"aws iam put-{whose}-policy --{whose}-name {_owner(arn)} --policy-name covalent-{role} --policy-document"
        f' "$(covalent-awsbatch iam --role {role})"'
    )
    findings = [
        Finding(name, WRONG, f"IAM does not allow {', '.join(actions)}", f"{advice}; it has the statement `{sid}`.")
        for sid, actions in missing.items()
        if actions
    ]
    return findings or [Finding(name, OK, "IAM allows everything a task needs")]


def _owner(arn: str) -> str:
    """Return a user's or a role's name; for a role's session it is in the middle of the ARN."""
    parts = arn.split("/")
    return parts[1] if ":assumed-role/" in arn else parts[-1]


def _bare(role: str) -> str:
    """Return a role's name, from its name or ARN."""
    return role.rpartition("/")[2]


def _filled(statement: Statement) -> list[str]:
    return [each if each == "*" else each.replace("*", "x") for each in statement["Resource"]]
