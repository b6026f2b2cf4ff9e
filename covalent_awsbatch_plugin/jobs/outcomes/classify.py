# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Compute the Outcome of a job, why it ended or does not start, from its DescribeJobs record.

Only named fields are read, never the whole record, because it quotes its own retry rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...runner.protocol import layout
from ..description import ENDED, SUCCEEDED, Attempt, JobState, state_of
from .causes import Blame, Cause, Detail, Verdict, verdict
from .exit_codes import exit_verdict, signal_name
from .status_reasons import is_awss_own, is_free_words, reason_verdict, runs_to_an_end, says_that_somebody_ended_it

WAITING = ("SUBMITTED", "PENDING", "RUNNABLE")

# A container that exits with 0 while its instance is terminated was stopped: it did not finish its work.
_UNDOES_SUCCESS = (Cause.FARGATE_SPOT_INTERRUPTED, Cause.HOST_LOST, Cause.OUT_OF_MEMORY)
# Reasons that AWS also gives for a cancelled job; any other reason of a cancelled job is the text of its CancelJob.
_OUTLIVES_CANCEL = (
    Cause.TIMED_OUT, Cause.HOST_LOST, Cause.FARGATE_SPOT_INTERRUPTED, Cause.NEVER_STARTED, Cause.STOPPED_BY_POLICY,
    Cause.DEPENDENCY_FAILED, Cause.QUEUE_GONE,
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """The result of one job. `says` has AWS's words of every attempt; `retry_may_help` is None if unknown."""

    job_id: str
    name: str
    cause: Cause
    detail: Detail | None
    blame: Blame
    retry_may_help: bool | None
    happened: str
    says: str
    advice: str

    def to_json(self) -> dict[str, Any]:
        """Return the outcome for programs, always with the same keys."""
        return {
            "job_id": self.job_id or None,
            "cause": str(self.cause),
            "detail": self.detail and str(self.detail),
            "blame": str(self.blame),
            "retry_may_help": self.retry_may_help,
            "happened": self.happened,
            "says": self.says,
            "advice": self.advice,
        }


def why(detail: Mapping[str, Any], log: str = "") -> Outcome:
    """Return the outcome of a JobDetail.

    `log` is the end of its output, if known; a record from a file may have it as `logTail`.
    """
    tail = detail.get("logTail")
    job = state_of(detail)
    outcome = outcome_of(job, log or (tail if isinstance(tail, str) else ""))
    meaning = RUNNERS_CODES.get(job.last.exit_code) if _runs_runner(detail) else None
    if meaning is None or outcome.cause != Cause.USER_ERROR:
        return outcome
    return replace(outcome, blame=Blame.CONFIGURATION, retry_may_help=None, happened=meaning[0], advice=meaning[1])


# Exit codes of this package's own runner, where the job's command is the runner.
RUNNERS_CODES: dict[int | None, tuple[str, str]] = {
    layout.NO_INPUT.code: (
        "did not start: it could not read its function or an argument",
        "The last lines of its log name it. The job role needs s3:GetObject on objects that are not in the image.",
    ),
    layout.NOT_COMMITTED.code: (
        "ran to its end, but its container could not write the result to the bucket",
        f"The last lines of its log name the reason. The job role needs s3:PutObject on the bucket's {layout.S3_ROOT}"
        "/results/*, and the container a way to S3.",
    ),
}


def _runs_runner(detail: Mapping[str, Any]) -> bool:
    container = detail.get("container")
    command = container.get("command") if isinstance(container, Mapping) else None
    return isinstance(command, list) and command[-1:] == [layout.ENTRYPOINT[-1]]


def outcome_of(job: JobState, log: str = "") -> Outcome:
    """Return the outcome of a job. Its words name the memory and the time limit if the record has them."""
    attempt, deciding = _deciding(job, log)
    signal = signal_name(attempt.exit_code)
    words = {
        "code": attempt.exit_code,
        "signal": f" by {signal}" if signal else "",
        "memory": f" (now {job.memory_mib / 1024:g} GiB)" if job.memory_mib else "",
        "time_limit": f" (now {job.time_limit_s} s)" if job.time_limit_s else "",
        "status": job.status,
    }
    return Outcome(
        job.job_id, job.name, deciding.cause, deciding.detail, deciding.blame, deciding.retry_may_help,
        deciding.happened.format(**words), said(job), deciding.advice.format(**words),
    )  # fmt: skip


def _deciding(job: JobState, log: str) -> tuple[Attempt, Verdict]:
    """Return the newest attempt whose record names a cause, else the last one.

    Records have gaps, and earlier attempts of a job mostly ended of the same cause.
    """
    newest = _verdict(job, job.last, job.status_reason or job.last.status_reason, log)
    if job.status == SUCCEEDED or not _tells_little(newest):
        return job.last, newest
    for attempt in reversed(job.attempts[:-1]):
        earlier = _verdict(job, attempt, attempt.status_reason, "")
        if not _tells_little(earlier):
            return attempt, earlier
    return job.last, newest


def _tells_little(candidate: Verdict) -> bool:
    return candidate.blame == Blame.UNKNOWN and candidate.cause in (Cause.UNKNOWN, Cause.USER_ERROR)


def _verdict(job: JobState, attempt: Attempt, status_reason: str, log: str) -> Verdict:
    named = _named(attempt, status_reason)
    if job.status == SUCCEEDED or (not job.status and not named and attempt.exit_code == 0):
        return named if named and named.cause in _UNDOES_SUCCESS else _success(job)
    if _was_cancelled(job, status_reason):
        return verdict(Cause.CANCELLED)
    if named:
        return named
    if job.status and job.status not in ENDED:
        return _not_ended(job)
    if is_free_words(status_reason) and not job.attempts:
        return verdict(Cause.CANCELLED)
    if attempt.exit_code is not None or log or runs_to_an_end(status_reason):
        return exit_verdict(attempt.exit_code, log)
    return verdict(Cause.UNKNOWN)


def _success(job: JobState) -> Verdict:
    """Return Batch's own verdict, with advice where an earlier attempt failed.

    An attempt that finds the work still claimed by a killed attempt ends with 0 and has done nothing.
    """
    if all(attempt.exit_code == 0 or attempt is job.last for attempt in job.attempts):
        return verdict(Cause.SUCCESS)
    return verdict(Cause.SUCCESS, advice="Check whether the work is done: an earlier attempt was cut short.")


def _not_ended(job: JobState) -> Verdict:
    if any(count for status, count in job.children.items() if status not in WAITING):
        return verdict(Cause.UNKNOWN, happened=f"is running: {_by_status(job.children)}", advice="Wait for its end.")
    if job.status in WAITING:
        return verdict(Cause.NEVER_STARTED, happened="has not started: its status is {status}")
    return verdict(Cause.UNKNOWN, happened="has not ended: its status is {status}", advice="Wait for its end.")


def _by_status(children: Mapping[str, int]) -> str:
    """Return the numbers of an array's child jobs, such as "of 7 child jobs 2 RUNNING, 5 SUCCEEDED"."""
    numbers = ", ".join(f"{count} {status}" for status, count in children.items() if count)
    return f"of {sum(children.values())} child jobs {numbers}"


def _named(attempt: Attempt, status_reason: str) -> Verdict | None:
    """Return what the reasons name.

    A whole sentence in the status reason outweighs the container's reason, which outweighs the rest of the status
    reason.
    """
    from_status = reason_verdict(status_reason) or reason_verdict(attempt.status_reason)
    from_container = reason_verdict(attempt.reason)
    if from_status and (from_status.cause in _OUTLIVES_CANCEL or not from_container):
        return from_status
    return from_container


def _was_cancelled(job: JobState, status_reason: str) -> bool:
    words = reason_verdict(status_reason)
    if is_awss_own(status_reason) and words and words.cause in _OUTLIVES_CANCEL:
        return False
    if job.status and job.status not in ENDED:
        return False
    return job.cancelled or says_that_somebody_ended_it(status_reason)


def said(job: JobState) -> str:
    """Return AWS's own words about every attempt."""
    lines = [f"AWS says: {job.status_reason}"] if job.status_reason else []
    for number, attempt in enumerate(job.attempts, 1):
        words = [attempt.status_reason if attempt.status_reason != job.status_reason else "", attempt.reason]
        code = "no exit code" if attempt.exit_code is None else f"exit code {attempt.exit_code}"
        lines.append(f"Attempt {number}: {'; '.join(filter(None, [code, *words]))}")
    return "\n".join(lines)
