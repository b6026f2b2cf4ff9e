# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The parts of assets/infra and of the docs that are generated from the settings; a test compares the files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from ..iam import Names, key_use, policy
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
    """Return variables.tf: the settings of the stack, then those of the executor, which default to null."""
    infra, executor = properties(InfraSettings), properties(ExecutorPluginDefaults)
    variables = {name: f"var.{name}" for name in executor}
    width = max(map(len, variables))
    lines = "\n".join(f"    {name:<{width}} = {value}" for name, value in variables.items())
    return "\n".join(
        [
            HEADER,
            "# ---- the resources",
            *(_variable(name, field) for name, field in infra.items()),
            "# ---- the executor's settings; a name replaces the name of a resource",
            *(_variable(name, field) for name, field in executor.items()),
            f"locals {{\n  given = {{\n{lines}\n  }}\n\n{names_tf()}}}\n",
        ]
    )


def properties(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of each field; an optional field has the schema of its value."""
    schemas: dict[str, dict[str, Any]] = model.model_json_schema()["properties"]
    return {name: _flat(field) for name, field in schemas.items()}


def _flat(field: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in field.get("anyOf", []) if kind.get("type") != "null"]
    return {**field, **kinds[0]} if kinds else field


def _variable(name: str, schema: Mapping[str, Any]) -> str:
    lines = [
        f'variable "{name}" {{',
        f"  description = {json.dumps(schema['description'])}",
        f"  type        = {TYPES[schema['type']]}",
        f"  default     = {json.dumps(schema['default'])}",
    ]
    unset = f"var.{name} == null ? true : " if schema["default"] is None else ""
    for condition, sentence in _rules(name, schema):
        lines += [
            "",
            "  validation {",
            f"    condition     = {unset}{condition}",
            f"    error_message = {json.dumps(f'{name} must {sentence}.')}",
            "  }",
        ]
    return "\n".join([*lines, "}", ""])


def _rules(name: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield conditions in Terraform's language, each with the end of its error message."""
    value = f"var.{name}"
    if "enum" in schema:
        yield f"contains({json.dumps(schema['enum'])}, {value})", f"be one of {', '.join(schema['enum'])}"
    if "pattern" in schema:
        yield f"can(regex({json.dumps(schema['pattern'])}, {value}))", f"match {schema['pattern']}"
    if "minimum" in schema:
        least, most = _number(schema["minimum"]), _number(schema["maximum"])
        yield f"{value} >= {least} && {value} <= {most}", f"be from {least} to {most}"
    if "one_of" in schema:
        yield f"contains({json.dumps(schema['one_of'])}, {value})", f"be one of {', '.join(map(str, schema['one_of']))}"
    if "zero_or_least" in schema:
        least = schema["zero_or_least"]
        yield f"{value} == 0 || {value} >= {least}", f"be 0 or at least {least}"


def _number(value: float) -> str:
    return f"{value:.12g}"


# The names as Terraform expressions; main.tf defines these locals.
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
    """Return policies.tf.json: the policies of the roles and of the Covalent server's user."""
    policies = {role: policy(role, IN_TERRAFORM) for role in MADE_BY_TERRAFORM}
    note = "Made by `python tools/infra.py` from covalent_awsbatch_plugin/iam.py: change it there."
    statements = key_use(replace(IN_TERRAFORM, kms_key="${local.kms_key_arn}"))
    for statement in statements:
        statement["Resource"] = ["${local.kms_key_arn}"]  # Terraform knows whether the setting is an ID or an ARN
    return json.dumps({"//": note, "locals": {"policies": policies, "use_key": statements}}, indent=2) + "\n"


def settings_table() -> str:
    """Return the table of docs/infrastructure.md."""
    rows = [f"| `{name}` | {_shown(schema['default'])} | {schema['description']} |" for name, schema in _described()]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def _described() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from properties(InfraSettings).items()


def _shown(default: object) -> str:
    return f"`{json.dumps(default)}`" if default != "" else "none"


FILES = {"variables.tf": variables_tf, "policies.tf.json": policies_tf}
