# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lines above a task's stderr about its earlier attempts, and about wrong statuses of AWS Batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from .description import FAILED, Attempt, JobState

SPEAKER = "covalent-awsbatch: "


def above_stderr(job: JobState | None, attempt: int | None, *, returned: bool, before: Sequence[str] = ()) -> str:
    """Return a line for each attempt before the counting one, and one if a finished job is called FAILED.

    `attempt` is the one whose result was read; None means the last one. `before` has lines about earlier jobs of the
    same task. `job` is None if AWS Batch was not asked, or no longer knows it.
    """
    attempts = job.attempts if job else ()
    counts = attempt or len(attempts)
    lines = [*before, *(_line(number, attempts, counts) for number in range(1, counts))]
    if job and job.status == FAILED and returned:
        reasons = "; ".join(filter(None, (job.status_reason, job.last.reason))) or "nothing more"
        lines.append(f"AWS Batch calls this job FAILED ({reasons}), but its result is complete and is used.")
    return "".join(f"{SPEAKER}{line}\n" for line in lines)


def _line(number: int, attempts: Sequence[Attempt], counts: int) -> str:
    """Return the line about one attempt; a running job's record may lack the newest ones."""
    if number > len(attempts):
        return f"attempt {number} of {counts} left no result, and AWS Batch does not say why."
    record = attempts[number - 1]
    code = "no exit code" if record.exit_code is None else f"exit code {record.exit_code}"
    words = "; ".join(filter(None, (record.status_reason, record.reason, code)))
    return f"attempt {number} of {counts}, {_when(record)}, left no usable result. AWS says: {words}"


def _when(record: Attempt) -> str:
    """Return the time of an attempt in UTC, as CloudWatch shows it."""
    began, ended = (_utc(ms) for ms in (record.started_ms, record.stopped_ms))
    if began and ended:
        return f"{began} to {ended[11:]} UTC" if began[:10] == ended[:10] else f"{began} to {ended} UTC"
    return f"which ended {ended} UTC" if ended else f"begun {began} UTC" if began else "never begun"


def _utc(ms: int | None) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if ms else ""
    except (ValueError, OverflowError, OSError):  # a record may hold any number
        return ""
