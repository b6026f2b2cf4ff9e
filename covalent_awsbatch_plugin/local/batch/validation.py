# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Checks of AWS Batch that moto lacks. Each raises ClientException before a job or definition is stored.

Source of the numbers: https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html, job_timeouts.html and
fargate.html.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.batch.exceptions import ClientException

from ...core.fargate_sizes import FARGATE_GIB
from .retry import MAX_ATTEMPTS, MAX_RULES

MIN_TIMEOUT_S = 60
ARRAY_SIZES = range(2, 10_001)
PAYLOAD_BYTES = 30 * 1024
DEFINITION_BYTES = 24 * 1024
OVERRIDES_CHARACTERS = 8192
RESERVED = "AWS_BATCH"


def check_definition(container: Mapping[str, Any] | None, platforms: list[str] | None) -> None:
    """Check the container properties of a job definition."""
    if not container:
        return
    if len(json.dumps(container)) > DEFINITION_BYTES:
        raise ClientException(f"Job definition size must be at most {DEFINITION_BYTES} bytes")
    check_environment(container.get("environment"))
    if "FARGATE" in (platforms or ()):
        _check_fargate(container)
    else:
        _check_whole_vcpus(container)


def _check_fargate(container: Mapping[str, Any]) -> None:
    if not container.get("executionRoleArn"):
        raise ClientException("EXECUTION_ROLE_ARN is required for Fargate jobs")
    resources = {each["type"]: float(each["value"]) for each in container.get("resourceRequirements") or ()}
    if "GPU" in resources:
        raise ClientException("GPU resource requirement is not supported on Fargate")
    if resources.get("MEMORY", 0) / 1024 not in FARGATE_GIB.get(resources.get("VCPU", 0), ()):
        raise ClientException(f"Fargate resource requirements (VCPU, MEMORY) {resources} are not a supported pair")


def _check_whole_vcpus(container: Mapping[str, Any]) -> None:
    """Refuse a fraction of a vCPU, which only Fargate has. Source: https://github.com/kestra-io/plugin-aws/issues/504."""
    for each in container.get("resourceRequirements") or ():
        if each["type"] == "VCPU" and not float(each["value"]).is_integer():
            raise ClientException(f"Invalid value: '{each['value']}'. VCPU must be a whole number for EC2")


def check_environment(environment: list[dict[str, str]] | None) -> None:
    """Check that no environment variable has a reserved name."""
    for each in environment or ():
        if each.get("name", "").startswith(RESERVED):
            raise ClientException(f"Environment variable names can't begin with {RESERVED}: {each['name']}")


def check_timeout(timeout: Mapping[str, int] | None) -> None:
    """Check the minimum of a job's timeout."""
    if timeout and timeout.get("attemptDurationSeconds", MIN_TIMEOUT_S) < MIN_TIMEOUT_S:
        raise ClientException(f"The minimum value for the timeout is {MIN_TIMEOUT_S} seconds")


def check_retry(strategy: Mapping[str, Any] | None) -> None:
    """Check the limits of a retry strategy and its rules."""
    if not strategy:
        return
    attempts, rules = strategy.get("attempts"), strategy.get("evaluateOnExit") or ()
    if rules and attempts is None:
        raise ClientException("retryStrategy must specify attempts when it specifies evaluateOnExit")
    if attempts is not None and not 1 <= attempts <= MAX_ATTEMPTS:
        raise ClientException(f"retryStrategy attempts must be between 1 and {MAX_ATTEMPTS}")
    if len(rules) > MAX_RULES:
        raise ClientException(f"evaluateOnExit takes at most {MAX_RULES} rules")
    for rule in rules:
        if str(rule.get("action", "")).upper() not in ("RETRY", "EXIT"):
            raise ClientException("every rule of evaluateOnExit has the action RETRY or EXIT")
        _check_globs(rule)


def _check_globs(rule: Mapping[str, str]) -> None:
    for condition in ("onStatusReason", "onReason", "onExitCode"):
        glob = rule.get(condition, "")
        if len(glob) > 512 or "*" in glob[:-1]:
            raise ClientException(f"{condition} takes at most 512 characters, and '*' at their end only: {glob!r}")


def check_array(properties: Mapping[str, int] | None) -> None:
    """Check the size of an array job."""
    size = (properties or {}).get("size")
    if size is not None and size not in ARRAY_SIZES:
        raise ClientException(f"The array size must be between {ARRAY_SIZES[0]} and {ARRAY_SIZES[-1]}, not {size}")


def check_payload(body: bytes | str) -> None:
    """Check the size of a SubmitJob request."""
    if len(body) > PAYLOAD_BYTES:
        raise ClientException(f"Job payload size must be at most {PAYLOAD_BYTES} bytes, not {len(body)}")


def overrides_too_long(overrides: Mapping[str, Any]) -> bool:
    """Return whether a job's overrides are too long. AWS accepts the job, and then fails it."""
    limited = {name: value for name, value in overrides.items() if name in ("command", "environment")}
    return len(json.dumps(limited, separators=(",", ":"))) > OVERRIDES_CHARACTERS
