# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The judgements of `doctor` on AWS's answers: ok, or what is wrong and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..core.resource_names import bare_role
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
    advice = f"aws iam update-assume-role-policy --role-name {bare_role(name)} --policy-document '{json.dumps(TRUST)}'"
    return Finding(setting, WRONG, f"{name}: ECS may not assume it, so no job can start", advice)


def bucket(name: str, there: str, here: str) -> Finding:
    """Judge the bucket by its Region; `here` is the Region of the queue."""
    if there == here:
        return Finding("bucket", OK, name)
    return Finding("bucket", OK, f"{name}, in {there}: AWS bills all transfer between it and the jobs in {here}")


def customer_key(rules: Sequence[Mapping[str, Any]]) -> str:
    """Return the customer managed KMS key of the bucket's default encryption; "" if AWS's own keys encrypt."""
    keys = [str(rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") or "") for rule in rules]
    return next((key for key in keys if key and "alias/aws/" not in key), "")


def encryption(bucket: str, rules: Sequence[Mapping[str, Any]], settings: Mapping[str, str]) -> Finding:
    """Judge the encryption of the bucket's objects: its default, or `settings` as PutObject's parameters."""
    kinds = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules]
    kind, key = settings.get("ServerSideEncryption"), settings.get("SSEKMSKeyId")
    kind, key = (kind, key) if kind else (next(iter(kinds), None), customer_key(rules))
    if kind:
        return Finding("bucket encryption", OK, f"{kind} with the key {key}" if key else kind)
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
    # China's names of endpoints begin with `cn.com.amazonaws`, those of isolated partitions with their own suffix.
    missing = [service for service in SERVICES if not any(e.endswith(f".{region}.{service}") for e in endpoints)]
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
    findings = [
        Finding(name, WRONG, f"IAM does not allow {', '.join(actions)}", f"{_attach(role, arn)}; it has `{sid}`.")
        for sid, actions in missing.items()
        if actions
    ]
    return findings or [Finding(name, OK, "IAM allows everything a task needs")]


def not_simulated(arn: str) -> Finding | None:
    """Return the finding for a caller whose permissions IAM does not simulate; None for users and roles."""
    if arn.endswith(":root"):
        advice = "Give the server a user or a role with `covalent-awsbatch iam --role dispatcher` instead."
        return Finding("permissions", OK, "the account's root user may do everything", advice)
    if ":federated-user/" in arn:
        return Finding("permissions", UNKNOWN, "IAM does not simulate the permissions of a federated user")
    return None


def _attach(role: str, arn: str) -> str:
    """Return how a user or a role gets a policy of `iam`.

    A user's inline policies are too small for it (`iam.USER_CHARACTERS`). A role of IAM Identity Center cannot be
    changed in IAM: https://docs.aws.amazon.com/singlesignon/latest/userguide/permissionsetcustom.html
    """
    document, owner = f"covalent-awsbatch iam --role {role}", bare_role(arn)
    if ":user/" in arn:
        prefix = arn.partition(":user/")[0]
        return (
            f'aws iam create-policy --policy-name covalent-{role} --policy-document "$({document})"\n'
            f"aws iam attach-user-policy --user-name {owner} --policy-arn {prefix}:policy/covalent-{role}"
        )
    if owner.startswith(_SSO_ROLE):
        permission_set = owner.removeprefix(_SSO_ROLE).rpartition("_")[0]
        return f"Add the output of `{document}` to the permission set {permission_set} as its inline policy"
    return (
        f'aws iam put-role-policy --role-name {owner} --policy-name covalent-{role} --policy-document "$({document})"'
    )


_SSO_ROLE = "AWSReservedSSO_"


def ip_version(subnet: str) -> Finding:
    """Return the finding for a subnet without IPv4, whose containers do not reach the IPv4 names of ECR and S3."""
    return Finding(f"subnet {subnet}", WRONG, "has no IPv4 addresses", "Use subnets with an IPv4 CIDR block.")


def _filled(statement: Statement) -> list[str]:
    return [each if each == "*" else each.replace("*", "x") for each in statement["Resource"]]
