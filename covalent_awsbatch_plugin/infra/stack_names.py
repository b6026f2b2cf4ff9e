# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""How what is made is called: one table, for Terraform and for the policies of whoever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..iam import Names
from ..settings import Settings

# A bucket's name is the whole world's, a role's the whole account's; the others are the Region's own.
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
# The settings that give a name of their own.
SETTINGS = {
    "bucket": "s3_bucket_name",
    "repository": "ecr_repo_name",
    "definition": "batch_job_definition_name",
    "queue": "batch_queue",
    "log_group": "batch_job_log_group_name",
    "execution_role": "batch_execution_role_name",
    "job_role": "batch_job_role_name",
}


def names(prefix: str, account: str, region: str, given: Mapping[str, Any]) -> dict[str, str]:
    """The names of all that is made; `given` are settings, those that are None or "" left to the pattern."""
    made = {kind: pattern.format(prefix=prefix, account=account, region=region) for kind, pattern in PATTERNS.items()}
    return made | {kind: given[name] for kind, name in SETTINGS.items() if given.get(name)}


def names_tf() -> str:
    """The same as Terraform's `local.names`."""
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
    given = {kind: getattr(settings, name) for kind, name in SETTINGS.items()}
    return Names.made(given, account, region, partition)
