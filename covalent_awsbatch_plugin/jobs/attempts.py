# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What stands above a task's stderr where its way was not straight: earlier attempts, and AWS Batch's mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from .description import FAILED, Attempt, JobState

SPEAKER = "covalent-awsbatch: "


def above_stderr(job: JobState | None, attempt: int | None, *, returned: bool, before: Sequence[str] = ()) -> str:
    """One line for each attempt before the one that counts, and one where a value's job is called a failure; else "".

    `attempt` is whose result was read, None where there was none: then the last one counts. `before` tells of earlier
    jobs of the same task. `job` is None where AWS Batch was not asked, or does not know it any more.
    """
    attempts = job.attempts if job else ()
    counts = attempt or len(attempts)
    lines = [*before, *(_line(number, attempts, counts) for number in range(1, counts))]
    if job and job.status == FAILED and returned:
        said = "; ".join(filter(None, (job.status_reason, job.last.reason))) or "nothing more"
        lines.append(f"AWS Batch calls this job FAILED ({said}), but its result is whole, and counts.")
    return "".join(f"{SPEAKER}{line}\n" for line in lines)


def _line(number: int, attempts: Sequence[Attempt], counts: int) -> str:
    """Of a running job's record the newest attempts may be missing."""
    if number > len(attempts):
        return f"attempt {number} of {counts} left no result, and AWS Batch does not say why."
    told = attempts[number - 1]
    code = "no exit code" if told.exit_code is None else f"exit code {told.exit_code}"
    words = "; ".join(filter(None, (told.status_reason, told.reason, code)))
    return f"attempt {number} of {counts}, {_when(told)}, left no result that counts. AWS says: {words}"


def _when(told: Attempt) -> str:
    """In UTC, as CloudWatch shows it."""
    began, ended = (_utc(ms) for ms in (told.started_ms, told.stopped_ms))
    if began and ended:
        return f"{began} to {ended[11:]} UTC" if began[:10] == ended[:10] else f"{began} to {ended} UTC"
    return f"which ended {ended} UTC" if ended else f"begun {began} UTC" if began else "never begun"


def _utc(ms: int | None) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if ms else ""
    except (ValueError, OverflowError, OSError):  # a record may hold any number
        return ""
