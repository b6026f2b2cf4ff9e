# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The names of a stack's resources: one table, for Terraform and for the policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..iam import Names
from ..images.reference import ecr_host, parse
from ..settings import Settings

# A bucket's name is unique in a partition, a role's in an account; the others are unique in a Region.
PATTERNS = {
    "bucket": "{prefix}-batch-{account}-{region}",
    "repository": "{prefix}-batch-job-images",
    "definition": "{prefix}-batch-jobs",
    "queue": "{prefix}-batch-queue",
    "log_group": "{prefix}-batch-job-logs",
    "execution_role": "{prefix}-batch-execution-{region}",
    "job_role": "{prefix}-batch-job-{region}",
    "instance_role": "{prefix}-batch-instance-{region}",
    "service_role": "{prefix}-batch-service-{region}",
    "dispatcher": "{prefix}-batch-dispatcher-{region}",
}
# The settings that replace a pattern.
SETTINGS = {
    "bucket": "s3_bucket_name",
    "repository": "ecr_repo_name",
    "definition": "batch_job_definition_name",
    "queue": "batch_queue",
    "log_group": "batch_job_log_group_name",
    "execution_role": "batch_execution_role_name",
    "job_role": "batch_job_role_name",
}


def names(prefix: str, account: str, region: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of all resources; `settings` that are None or "" leave the pattern's name."""
    defaults = {
        kind: pattern.format(prefix=prefix, account=account, region=region) for kind, pattern in PATTERNS.items()
    }
    return defaults | {kind: settings[name] for kind, name in SETTINGS.items() if settings.get(name)}


def names_tf() -> str:
    """Return the names as Terraform's `local.names`."""
    width = max(map(len, PATTERNS))
    there = {"prefix": "${var.prefix}", "account": "${local.account}", "region": "${local.region}"}
    lines = []
    for kind, pattern in PATTERNS.items():
        text = f'"{pattern.format(**there)}"'
        value = f"coalesce(var.{SETTINGS[kind]}, {text})" if kind in SETTINGS else text
        lines.append(f"    {kind:<{width}} = {value}")
    return "  names = {\n" + "\n".join(lines) + "\n  }\n"


def configured_names(settings: Settings, account: str, region: str, partition: str = "aws") -> Names:
    """Return the names that the executor's settings give, for the policies of `iam`."""
    values = {kind: getattr(settings, name) for kind, name in SETTINGS.items()} | {"kms_key": settings.kms_key}
    values["base_repository"] = _base_repository(settings, partition)
    all_names = Names.made(values, account, region, partition)
    same = all_names.base_repository == all_names.repository_arn
    return replace(all_names, base_repository="") if same else all_names


def _base_repository(settings: Settings, partition: str) -> str:
    """Return the ARN of the base image's repository; "" where no ECR registry has it."""
    if not settings.container_image_uri:
        return ""
    reference = parse(settings.container_image_uri)
    place = ecr_host(reference.registry)
    return (place and f"arn:{partition}:ecr:{place.region}:{place.account}:repository/{reference.repository}") or ""
