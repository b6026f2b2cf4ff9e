# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Terraform's share of the settings, as text that is written into assets/infra and held there by a test."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from ..iam import Names, policy
from .stack_names import names_tf
from .stack_settings import ExecutorPluginDefaults, InfraSettings

HEADER = """\
# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0
#
# Made by `python tools/infra.py` from covalent_awsbatch_plugin/infra/stack_settings.py: change it there.
"""
TYPES = {"string": "string", "integer": "number", "number": "number", "boolean": "bool"}


def variables_tf() -> str:
    """variables.tf: what is made, then the executor's own settings, which are null where nobody said more."""
    infra, executor = properties(InfraSettings), properties(ExecutorPluginDefaults)
    given = {name: f"var.{name}" for name in executor}
    width = max(map(len, given))
    lines = "\n".join(f"    {name:<{width}} = {value}" for name, value in given.items())
    return "\n".join(
        [
            HEADER,
            "# ---- what is made",
            *(_variable(name, told) for name, told in infra.items()),
            "# ---- the executor's settings; those that name something name what is made",
            *(_variable(name, told) for name, told in executor.items()),
            f"locals {{\n  given = {{\n{lines}\n  }}\n\n{names_tf()}}}\n",
        ]
    )


def properties(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Each field as JSON schema tells of it, an optional one as what it is when it is there."""
    told: dict[str, dict[str, Any]] = model.model_json_schema()["properties"]
    return {name: _flat(field) for name, field in told.items()}


def _flat(field: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in field.get("anyOf", []) if kind.get("type") != "null"]
    return {**field, **kinds[0]} if kinds else field


def _variable(name: str, told: Mapping[str, Any]) -> str:
    lines = [
        f'variable "{name}" {{',
        f"  description = {json.dumps(told['description'])}",
        f"  type        = {TYPES[told['type']]}",
        f"  default     = {json.dumps(told['default'])}",
    ]
    unset = f"var.{name} == null ? true : " if told["default"] is None else ""
    for condition, sentence in _rules(name, told):
        lines += [
            "",
            "  validation {",
            f"    condition     = {unset}{condition}",
            f"    error_message = {json.dumps(f'{name} must {sentence}.')}",
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


def _rules(name: str, told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Conditions in Terraform's words, each with the end of the sentence that tells of it."""
    value = f"var.{name}"
    if "enum" in told:
        yield f"contains({json.dumps(told['enum'])}, {value})", f"be one of {', '.join(told['enum'])}"
    if "pattern" in told:
        yield f"can(regex({json.dumps(told['pattern'])}, {value}))", f"match {told['pattern']}"
    if "minimum" in told:
        least, most = _number(told["minimum"]), _number(told["maximum"])
        yield f"{value} >= {least} && {value} <= {most}", f"be from {least} to {most}"
    if "one_of" in told:
        yield f"contains({json.dumps(told['one_of'])}, {value})", f"be one of {', '.join(map(str, told['one_of']))}"
    if "zero_or_least" in told:
        least = told["zero_or_least"]
        yield f"{value} == 0 || {value} >= {least}", f"be 0 or at least {least}"


def _number(value: float) -> str:
    return f"{value:.12g}"


# What the names come to, in Terraform's words; main.tf has these locals.
IN_TERRAFORM = Names(
    partition="${local.partition}",
    account="${local.account}",
    region="${local.region}",
    bucket="${local.names.bucket}",
    repository="${local.names.repository}",
    definition="${local.names.definition}",
    queue="${local.names.queue}",
    execution_role="${local.names.execution_role}",
    job_role="${local.names.job_role}",
    log_group="${local.names.log_group}",
)
MADE_BY_TERRAFORM = ("dispatcher", "execution", "job")


def policies_tf() -> str:
    """policies.tf.json: the policies of the roles that Terraform makes, and the one for whoever runs the server."""
    made = {role: policy(role, IN_TERRAFORM) for role in MADE_BY_TERRAFORM}
    whence = "Made by `python tools/infra.py` from covalent_awsbatch_plugin/iam.py: change it there."
    return json.dumps({"//": whence, "locals": {"policies": made}}, indent=2) + "\n"


def settings_table() -> str:
    """The table of docs/infrastructure.md."""
    rows = [f"| `{name}` | {_shown(told['default'])} | {told['description']} |" for name, told in _described()]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def _described() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from properties(InfraSettings).items()


def _shown(default: object) -> str:
    return f"`{json.dumps(default)}`" if default != "" else "none"


FILES = {"variables.tf": variables_tf, "policies.tf.json": policies_tf}
