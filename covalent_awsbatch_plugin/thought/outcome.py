# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Why a job ended without a result: from what AWS Batch says of it to one error.

Only named fields are read, never the whole record, which quotes its own retry rules. Reasons are cut at 255
characters, come in either case, and the final dot is sometimes missing, so rules match the beginnings of words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..ground import envelope
from ..ground.envelope import TaskResult
from . import errors
from .jobs import SUCCEEDED, Attempt, JobState

OOM_EXIT_CODE = 137  # SIGKILL; also a timeout's or an interruption's, so it decides nothing alone
SIGNAL_BASE = 128


@dataclass(frozen=True)
class _Rule:
    """The first rule that fits names the error; `advice` may use {memory}, {time_limit}."""

    fits: Callable[[JobState, Attempt], bool]
    error: type[errors.JobFailed]
    happened: str
    advice: str


def _status_reason(*beginnings: str) -> Callable[[JobState, Attempt], bool]:
    def fits(job: JobState, attempt: Attempt) -> bool:
        said = (attempt.status_reason.casefold(), job.status_reason.casefold())
        return any(text.startswith(b.casefold()) for text in said for b in beginnings)

    return fits


def _any_reason(*parts: str) -> Callable[[JobState, Attempt], bool]:
    def fits(job: JobState, attempt: Attempt) -> bool:
        said = (attempt.reason, attempt.status_reason, job.status_reason)
        return any(part.casefold() in text.casefold() for text in said for part in parts)

    return fits


_RULES = (
    _Rule(
        _status_reason("job attempt duration exceeded timeout"),
        errors.TimedOut,
        "ran longer than its time limit and was stopped",
        "Raise time_limit (now {time_limit} s), or make the task smaller.",
    ),
    _Rule(
        _status_reason("host ec2"),
        errors.HostLost,
        "lost its machine, in each of its attempts",
        "Run it again; more retry_attempts ride out more losses.",
    ),
    _Rule(
        _status_reason("your spot task was interrupted"),
        errors.SpotInterrupted,
        "lost its Fargate Spot capacity, in each of its attempts",
        "Run it again, raise retry_attempts, or use a queue with on-demand capacity.",
    ),
    _Rule(
        _any_reason("outofmemory"),
        errors.OutOfMemory,
        "needed more memory than it was given",
        "Raise memory (now {memory:g} GiB).",
    ),
    _Rule(
        _any_reason("cannotpull", "pull image manifest"),
        errors.ImagePullFailed,
        "did not start: its image could not be pulled",
        "Give the execution role the right to pull from the repository, and the machines a way to it.",
    ),
    _Rule(
        _any_reason("unable to assume", "sts:assumerole", "assume the role"),
        errors.RoleNotAssumable,
        "did not start: a role could not be assumed",
        "Let ecs-tasks.amazonaws.com assume batch_execution_role_name and batch_job_role_name.",
    ),
    _Rule(
        _any_reason("resourceinitializationerror", "cannotstart", "cannotcreate", "task failed to start"),
        errors.StartFailed,
        "did not start: its container could not be made",
        "AWS's words above name the cause; the network's way to ECR and the log group are the usual ones.",
    ),
)


@dataclass(frozen=True)
class Asked:
    """What was asked for, for an error's words: `who` names job and task; memory in GiB, time limit in seconds."""

    who: str
    memory: float
    time_limit: int


def task_failure(task: TaskResult, job: JobState, asked: Asked) -> errors.JobFailed | None:
    """The error of a task whose result is committed, None when it returned a value.

    Its own words win over AWS Batch's: what is committed happened, whatever the job's status says.
    """
    match task.outcome:
        case envelope.RETURNED:
            return None
        case envelope.RAISED:
            return errors.Raised(f"{asked.who} raised {task.exception_type}.")
        case envelope.UNPICKLABLE:
            return errors.Unpicklable(
                f"{asked.who} ran, but what it returned can't be pickled.", advice="Return plain data instead."
            )
        case envelope.EXITED:
            return errors.Exited(
                f"{asked.who} left by exit with code {task.exit_code}, so it returned no value.",
                advice="Return a value instead of calling sys.exit or os._exit.",
            )
        case envelope.NOT_RUN:
            return errors.Cancelled(f"Node {task.node_id} was not run: a node packed with it, which it needs, failed.")
        case envelope.NO_INPUT:
            return errors.InputLost(
                f"{asked.who} could not read its function or an argument, so it did not begin.",
                advice="The text below says which. The job role needs s3:GetObject on what is too big for the image.",
            )
        case envelope.OUT_OF_MEMORY:
            return errors.OutOfMemory(
                f"{asked.who} needed more memory than it was given.",
                says=said(job),
                advice=f"Raise memory (now {asked.memory:g} GiB).",
            )
        case envelope.KILLED if not _any_reason("outofmemory")(job, job.last):
            return errors.Killed(
                f"{asked.who} was killed by signal {task.signal}.",
                says=said(job),
                advice=f"If it may have run out of memory, raise memory (now {asked.memory:g} GiB).",
            )
    return failure(job, asked)


def failure(job: JobState, asked: Asked) -> errors.JobFailed:
    """The error of a job that committed no result, or was told to stop."""
    attempt = job.last
    for rule in _RULES:
        if rule.fits(job, attempt):
            advice = rule.advice.format(memory=asked.memory, time_limit=asked.time_limit)
            return rule.error(f"{asked.who} {rule.happened}.", says=said(job), advice=advice)
    if job.cancelled:
        return errors.Cancelled(f"{asked.who} was ended on request.", says=said(job))
    return _by_exit_code(job, asked.who, attempt)


def _by_exit_code(job: JobState, who: str, attempt: Attempt) -> errors.JobFailed:
    code = attempt.exit_code
    if job.status == SUCCEEDED:
        return errors.Lost(
            f"{who} succeeded, AWS Batch says, but left no result.",
            says=said(job),
            advice="Look whether something deletes objects in the bucket, then run it again.",
        )
    if not job.attempts:
        return errors.NeverStarted(f"{who} ended before an attempt began.", says=said(job), advice="Look at the queue.")
    if code is None:
        return errors.Lost(f"{who} ended, and nobody says how.", says=said(job), advice="Run it again.")
    if code > SIGNAL_BASE:
        advice = "If it may have run out of memory, raise memory." if code == OOM_EXIT_CODE else ""
        return errors.Killed(f"{who} was killed by signal {code - SIGNAL_BASE}.", says=said(job), advice=advice)
    return errors.Exited(f"{who} ended with exit code {code} and left no result.", says=said(job))


def said(job: JobState) -> str:
    """AWS's own words, of every attempt."""
    lines = [f"AWS says: {job.status_reason}"] if job.status_reason else []
    for number, attempt in enumerate(job.attempts, 1):
        words = [attempt.status_reason if attempt.status_reason != job.status_reason else "", attempt.reason]
        code = "no exit code" if attempt.exit_code is None else f"exit code {attempt.exit_code}"
        lines.append(f"Attempt {number}: {'; '.join(filter(None, [code, *words]))}")
    return "\n".join(lines)
