# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""From how a job or a task ended to the error its user reads, and to the error_text that the command line prints.

What AWS Batch says is read in one place, `why`; here its causes get the names of our errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ... import errors
from ...runner.protocol import envelope, layout
from ...runner.protocol.envelope import TaskResult
from ..description import JobState
from .causes import Cause
from .classify import Outcome, outcome_of, said
from .exit_codes import signal_name

_ERRORS: dict[Cause, type[errors.JobFailed]] = {
    Cause.SUCCESS: errors.Lost,  # a job that succeeded with a result in the bucket never comes here
    Cause.USER_ERROR: errors.Exited,
    Cause.COMMAND_NOT_RUNNABLE: errors.CommandNotRunnable,
    Cause.KILLED_BY_SIGNAL: errors.Killed,
    Cause.OUT_OF_MEMORY: errors.OutOfMemory,
    Cause.TIMED_OUT: errors.TimedOut,
    Cause.HOST_LOST: errors.HostLost,
    Cause.FARGATE_SPOT_INTERRUPTED: errors.SpotInterrupted,
    Cause.IMAGE_PULL: errors.ImagePullFailed,
    Cause.WRONG_ARCHITECTURE: errors.WrongArchitecture,
    Cause.AGENT: errors.AgentFailed,
    Cause.CONTAINER_START: errors.StartFailed,
    Cause.RESOURCE_INIT: errors.StartFailed,
    Cause.ROLE: errors.RoleNotAssumable,
    Cause.CANCELLED: errors.Cancelled,
    Cause.STOPPED_BY_POLICY: errors.NeverStarted,
    Cause.DEPENDENCY_FAILED: errors.NeverStarted,
    Cause.QUEUE_GONE: errors.NeverStarted,
    Cause.NEVER_STARTED: errors.NeverStarted,
    Cause.REQUEST_REJECTED: errors.NeverStarted,
    Cause.THROTTLED: errors.NeverStarted,
    Cause.UNKNOWN: errors.Lost,
}
# What the task itself tells is more than these tell of its job.
_TELLS_LESS_THAN_THE_TASK = (Cause.SUCCESS, Cause.USER_ERROR, Cause.KILLED_BY_SIGNAL, Cause.AGENT, Cause.UNKNOWN)


@dataclass(frozen=True)
class JobRequest:
    """What was asked for, for an error's words: `who` names job and task; memory in GiB, time limit in seconds."""

    who: str
    memory: float
    time_limit: int


_AGAIN = {
    True: "trying again may help",
    False: "trying again does not help",
    None: "whether trying again helps is open",
}


def facts(error: errors.JobFailed, memory: float) -> str:
    """One line, for any failure: the memory that was asked for, in GiB, and whether trying again may help."""
    asked = f"It asked for {memory:g} GiB of memory"
    return f"{asked}." if isinstance(error, errors.Cancelled) else f"{asked}; {_AGAIN[error.retry_may_help]}."


def task_failure(task: TaskResult, job: JobState, asked: JobRequest) -> errors.JobFailed | None:
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
            return _input_lost(asked, "The text below says which.")
        case envelope.TIMED_OUT:
            return errors.TimedOut(
                f"{asked.who} ran longer than its time limit of {asked.time_limit} s, and was ended.",
                advice="Raise time_limit (seconds), or make the task shorter.",
            )
        case envelope.OUT_OF_MEMORY:
            return errors.OutOfMemory(
                f"{asked.who} needed more memory than it was given.",
                says=said(job),
                advice=f"Raise memory (now {asked.memory:g} GiB).",
            )
    return _ended_from_outside(task, job, asked)


def _ended_from_outside(task: TaskResult, job: JobState, asked: JobRequest) -> errors.JobFailed:
    """A signal's work. AWS Batch often says whose it was: a timeout's, a lost host's, somebody's who cancelled."""
    if outcome_of(job).cause not in _TELLS_LESS_THAN_THE_TASK:
        return failure(job, asked)
    name = signal_name(128 + task.signal) if task.signal else ""
    by = f" by {name}" if name else f" by signal {task.signal}" if task.signal else ""
    did = "was told to stop" if task.outcome == envelope.TERMINATED else "was killed"
    return errors.Killed(
        f"{asked.who} {did}{by}, and nobody says by whom.",
        says=said(job),
        advice=f"If it may have run out of memory, raise memory (now {asked.memory:g} GiB).",
    )


def failure(job: JobState, asked: JobRequest, log: str = "") -> errors.JobFailed:
    """The error of a job that committed no result, or was told to stop; its `retry_may_help` is this job's own.

    `log` is what is known of its output, which tells what AWS Batch does not: a wrong processor, a missing command.
    """
    memory_mib = job.memory_mib or round(asked.memory * 1024)
    outcome = outcome_of(replace(job, memory_mib=memory_mib, time_limit_s=job.time_limit_s or asked.time_limit), log)
    if outcome.cause == Cause.SUCCESS:
        return errors.Lost(
            f"{asked.who} succeeded, AWS Batch says, but left no result.",
            says=outcome.says,
            advice="Look whether something deletes objects in the bucket, then run it again.",
        )
    kind = _ERRORS[outcome.cause]
    if kind is errors.Exited and job.last.exit_code == layout.NO_INPUT.code:  # the runner's: a task's own is committed
        return _input_lost(asked, "The last lines of its log say which.")
    if kind is errors.Exited and job.last.exit_code is None:
        kind = errors.Lost
    error = kind(f"{asked.who} {outcome.happened}.", says=outcome.says, advice=outcome.advice)
    error.retry_may_help = outcome.retry_may_help
    return error


def _input_lost(asked: JobRequest, where: str) -> errors.JobFailed:
    return errors.InputLost(
        f"{asked.who} could not read its function or an argument, so it did not begin.",
        advice=f"{where} The job role needs s3:GetObject on what is not in the image.",
    )


def error_text(outcome: Outcome) -> str:
    """What `covalent-awsbatch why` prints: what happened, AWS's words, what to do, whose side it is on."""
    job = f"Batch job {outcome.job_id}" if outcome.job_id else "This job"
    who = f"`{outcome.name}` ({job})" if outcome.name else job
    name = "Success" if outcome.cause == Cause.SUCCESS else _ERRORS[outcome.cause].__name__
    kind = f"{outcome.cause}, {outcome.detail}" if outcome.detail else outcome.cause
    facts = f"Cause: {kind}; blame: {outcome.blame}; {_AGAIN[outcome.retry_may_help]}."
    return "\n".join(filter(None, (f"{name}: {who} {outcome.happened}.", outcome.says, outcome.advice, facts)))
