# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS Batch's decision to retry a job, by `retryStrategy` and `evaluateOnExit`.

https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html and the API model's `EvaluateOnExit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_ATTEMPTS = 10
MAX_RULES = 5


def should_retry(
    strategy: Mapping[str, Any], attempts: int, *, status_reason: str, reason: str, exit_code: int | None
) -> bool:
    """Return whether another attempt follows the failed one, which is the `attempts`-th.

    The first rule whose conditions all hold decides. Without one, the job is retried.
    """
    if attempts >= strategy.get("attempts", 1):
        return False
    code = None if exit_code is None else str(exit_code)
    values = {"onStatusReason": status_reason, "onReason": reason, "onExitCode": code}
    for rule in strategy.get("evaluateOnExit") or ():
        if all(_matches(rule[condition], value) for condition, value in values.items() if condition in rule):
            return str(rule["action"]).upper() == "RETRY"
    return True


def _matches(glob: str, value: str | None) -> bool:
    """Return whether a value matches. The only wildcard is a `*` at the end; case does not matter.

    A missing reason is empty, so `*` matches it: AWS's examples end with `"onReason": "*"` for every failure that no
    earlier rule names. A missing exit code (no container ran) matches nothing.
    """
    if value is None:
        return False
    glob, value = glob.lower(), value.lower()
    return value.startswith(glob[:-1]) if glob.endswith("*") else value == glob
