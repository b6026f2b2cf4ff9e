# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Whether AWS Batch would try again: `retryStrategy` and `evaluateOnExit`, word for word.

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
    """Whether a failed attempt, the `attempts`-th, is followed by another.

    The first rule all of whose conditions hold decides; where none does, the job is retried.
    """
    if attempts >= strategy.get("attempts", 1):
        return False
    code = None if exit_code is None else str(exit_code)
    told = {"onStatusReason": status_reason, "onReason": reason, "onExitCode": code}
    for rule in strategy.get("evaluateOnExit") or ():
        if all(_matches(rule[condition], said) for condition, said in told.items() if condition in rule):
            return str(rule["action"]).upper() == "RETRY"
    return True


def _matches(glob: str, said: str | None) -> bool:
    """The only wildcard is a `*` at the end; case does not matter.

    A reason that was never given is empty, so `*` matches it: AWS's own examples end with `"onReason": "*"` for every
    failure that no rule before named. An exit code that never was (no container ran) is matched by nothing.
    """
    if said is None:
        return False
    glob, said = glob.lower(), said.lower()
    return said.startswith(glob[:-1]) if glob.endswith("*") else said == glob
