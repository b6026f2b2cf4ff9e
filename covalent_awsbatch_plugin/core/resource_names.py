# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The names of AWS resources in settings: what the console shows beside them, URIs and ARNs, is taken or explained.

A bucket's URI and ARN mean one bucket, a repository's one of any account. The ARN of another resource also names an
account and a Region, which here come from the credentials and the setting `region`, so the error names the part to set.
All alphabets are safe in a shell, because advice has these names in commands.
"""

from __future__ import annotations

import re

_ARN = re.compile(r"arn:(?P<partition>[^:]*):(?P<service>[^:]*):(?P<region>[^:]*):(?P<account>[^:]*):(?P<resource>.+)")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html; older buckets have capitals and _.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}")
_ACCESS_POINT = re.compile(r"arn:[^:]+:s3:[^:]+:[^:]*:accesspoint/[A-Za-z0-9.-]+")
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")
_REGISTRY = re.compile(r"(?:https?://)?(?P<host>[0-9]+\.dkr[.-]ecr[^/]*|[^/]*[.:][^/]*)/(?P<name>[^:@]+).*")
_ECR_HOST = re.compile(r"[0-9]+\.dkr[.-]ecr[^/]*")
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
_LOG_GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
# https://docs.aws.amazon.com/batch/latest/APIReference/API_CreateJobQueue.html
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,128}")
# https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html, with its path
_ROLE = re.compile(r"/?(?:[\w+=,.@-]+/)*[\w+=,.@-]{1,64}", re.ASCII)


def bucket_name(text: str) -> str:
    """Return the bucket that a name, an `s3://` URI or an ARN means. Raises ValueError."""
    name = re.sub(r"^s3://|^arn:[^:]+:s3:::", "", text)
    if name != text:
        name, _, key = name.partition("/")
        if key:
            raise ValueError(f"it names a folder or an object; set the bucket alone: {name}")
    if not _BUCKET.fullmatch(name) and not _ACCESS_POINT.fullmatch(name):
        raise ValueError("it must be the name of a bucket, such as my-bucket")
    return name


def repository_name(text: str) -> str:
    """Return the name, the URI or the ARN of an ECR repository. Raises ValueError.

    An URI or an ARN is that of a repository in another account or Region, so it stays whole.
    """
    resource = _resource(text, "ecr")
    if text.startswith("arn:") and not resource.startswith("repository/"):
        raise ValueError("it is an ARN, but not of an ECR repository")
    address = None if resource else _REGISTRY.fullmatch(text)
    if address and not _ECR_HOST.fullmatch(address["host"]):
        raise ValueError(f"{address['host']} is not the host of an ECR registry; set the name of a repository in ECR")
    name = resource.removeprefix("repository/") or (address["name"] if address else text)
    if address and text.removeprefix("https://") != f"{address['host']}/{name}":
        raise ValueError(f"it names an image; set the repository alone: {address['host']}/{name}")
    if not _REPOSITORY.fullmatch(name):
        raise ValueError("it must be the name of an ECR repository: lower-case letters, digits, and . _ - / between")
    return text.removeprefix("https://")


def log_group_name(text: str) -> str:
    """Return the name of a log group. Raises ValueError, which says the name in an ARN."""
    if resource := _resource(text, "logs"):
        name = resource.removeprefix("log-group:").partition(":")[0]
        raise ValueError(f"it is an ARN; set the log group's name alone: {name}")
    if not _LOG_GROUP.fullmatch(text):
        raise ValueError("it must be the name of a log group: letters, digits, and . - _ / #")
    return text


def queue_name(text: str) -> str:
    """Return the name or the ARN of a job queue. Raises ValueError for an ARN of something else."""
    resource = _resource(text, "batch")
    if resource and not resource.startswith("job-queue/"):
        raise ValueError(f"it is the ARN of a {resource.partition('/')[0]}, not of a job queue")
    if not _QUEUE.fullmatch(resource.removeprefix("job-queue/") or text):
        raise ValueError("it must be the name or the ARN of a job queue: letters, digits, - and _")
    return text


def role_name(text: str) -> str:
    """Return the name or the ARN of a role. Raises ValueError for an ARN of something else."""
    if text.startswith("arn:"):
        resource = _resource(text, "iam")
        if not resource.startswith("role/"):
            raise ValueError("it is an ARN, but not of a role; those look like arn:aws:iam::ACCOUNT:role/NAME")
        text_to_check = resource.removeprefix("role/")
    else:
        text_to_check = text
    if not _ROLE.fullmatch(text_to_check):
        raise ValueError("it must be the name or the ARN of a role")
    return text


def job_id(text: str) -> str:
    """Return a job's id, from its id or its ARN; child jobs keep their `:index`."""
    return _resource(text, "batch").removeprefix("job/") or text


def bare_role(role: str) -> str:
    """Return a role's name without its path, as IAM's operations take it, from its name or ARN."""
    return role.rpartition("/")[2]


def _resource(text: str, service: str) -> str:
    """Return the last part of an ARN of a service; "" for other texts."""
    match = _ARN.fullmatch(text)
    return match["resource"] if match and match["service"] == service else ""
