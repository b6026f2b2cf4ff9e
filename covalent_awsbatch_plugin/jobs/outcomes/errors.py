# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The error that a user reads for a job or a task that failed, and the text of `covalent-awsbatch why`.

`classify` reads what AWS Batch says; this file gives each cause its error class.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

from ... import errors
from ...runner.protocol import envelope, layout
from ...runner.protocol.envelope import TaskResult
from ..description import JobState
from .causes import Cause
from .classify import RUNNERS_CODES, Outcome, outcome_of, said
from .exit_codes import is_own_fault, signal_advice, signal_name

_ERRORS: dict[Cause, type[errors.JobFailed]] = {
    Cause.SUCCESS: errors.Lost,  # a job that succeeded and has a result is no failure
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
# Causes of the job that say less than the result that the task itself committed.
_LESS_THAN_THE_TASK_SAYS = (Cause.SUCCESS, Cause.USER_ERROR, Cause.KILLED_BY_SIGNAL, Cause.AGENT, Cause.UNKNOWN)


@dataclass(frozen=True)
class JobRequest:
    """The request that an error describes.

    `who` names the task and its job; `memory` is in GiB and `time_limit` in seconds.
    """

    who: str
    memory: float
    time_limit: int


_AGAIN = {
    True: "another try may help",
    False: "another try does not help",
    None: "it is not known whether another try helps",
}


def facts(error: errors.JobFailed, memory: float) -> str:
    """Return one line for any failure: the requested memory, in GiB, if it may matter, and if another try may help."""
    again = "" if isinstance(error, errors.Cancelled) else _AGAIN[error.retry_may_help]
    if error.memory_matters:
        return f"Memory: {memory:g} GiB; {again}."
    return f"{again[:1].upper()}{again[1:]}." if again else ""


def task_failure(task: TaskResult, job: JobState, request: JobRequest) -> errors.JobFailed | None:
    """Return the error of a task with a committed result; None if it returned a value.

    The committed result wins over AWS Batch's words, because it did happen, whatever the job's status is.
    """
    match task.outcome:
        case envelope.RETURNED:
            return None
        case envelope.RAISED:
            return errors.Raised(f"{request.who} raised {task.exception_type}.")
        case envelope.UNPICKLABLE:
            return errors.Unpicklable(
                f"{request.who} ran, but its return value can't be pickled.", advice="Return plain data instead."
            )
        case envelope.NO_ROOM:
            return errors.DiskFull(
                f"{request.who} ran, but the full disk of its container has no room for its return value.",
                advice="Write less to the container's disk, or give the job's instances a bigger volume.",
            )
        case envelope.EXITED:
            return _exited(task, request)
        case envelope.NOT_RUN:
            return errors.Cancelled(
                f"Node {task.node_id} was not run: it needs a node of the same job, and that node failed."
            )
        case envelope.NO_INPUT:
            return _input_lost(request, "The text below names it.")
        case envelope.TIMED_OUT:
            return errors.TimedOut(
                f"{request.who} ran longer than its time limit of {request.time_limit} s and was stopped.",
                advice="Raise time_limit (seconds), or make the task shorter.",
            )
        case envelope.OUT_OF_MEMORY:
            return errors.OutOfMemory(
                f"{request.who} needed more memory than it was given.",
                says=said(job),
                advice=f"Raise memory (now {request.memory:g} GiB).",
            )
    return _ended_from_outside(task, job, request)


def _exited(task: TaskResult, request: JobRequest) -> errors.Exited:
    error = errors.Exited(
        f"{request.who} exited with code {task.exit_code} and returned no value.",
        advice="Return a value instead of calling sys.exit or os._exit.",
    )
    error.memory_matters = False  # as for every end that the task itself tells
    return error


def _ended_from_outside(task: TaskResult, job: JobState, request: JobRequest) -> errors.JobFailed:
    """Return the error of a task that a signal ended.

    AWS Batch often names the sender: a timeout, a lost instance, a cancel.
    """
    if outcome_of(job).cause not in _LESS_THAN_THE_TASK_SAYS:
        return failure(job, request)
    name = signal_name(128 + task.signal) if task.signal else ""
    by = f" by {name}" if name else f" by signal {task.signal}" if task.signal else ""
    stopped = task.outcome == envelope.TERMINATED
    verb = "received a stop signal" if stopped else "was killed"
    own = not stopped and is_own_fault(task.signal)
    sender = signal.SIGTERM if stopped else task.signal
    error = errors.Killed(
        f"{request.who} {verb}{by}{', by a fault of its own' if own else '; AWS does not say why'}.",
        says=said(job),
        advice=signal_advice(sender).format(memory=f" (now {request.memory:g} GiB)"),
    )
    error.memory_matters = sender in (None, signal.SIGKILL)
    return error


def failure(job: JobState, request: JobRequest, log: str = "") -> errors.JobFailed:
    """Return the error of a job without a result; its `retry_may_help` is that of this job.

    `log` is the end of its output, if known: it can name what AWS Batch does not, such as a wrong processor or a
    missing command.
    """
    memory_mib = job.memory_mib or round(request.memory * 1024)
    outcome = outcome_of(replace(job, memory_mib=memory_mib, time_limit_s=job.time_limit_s or request.time_limit), log)
    if outcome.cause == Cause.SUCCESS:
        return errors.Lost(
            f"{request.who} succeeded according to AWS Batch, but there is no result in the bucket.",
            says=outcome.says,
            advice="Check whether something deletes objects in the bucket, then run it again.",
        )
    kind = _ERRORS[outcome.cause]
    if kind is errors.Exited and job.last.exit_code == layout.NO_INPUT.code:  # the runner's: a task's own is committed
        return _input_lost(request, "The last lines of its log name it.")
    if kind is errors.Exited and job.last.exit_code == layout.NOT_COMMITTED.code:
        return _result_lost(request, outcome.says)
    if kind is errors.Exited and job.last.exit_code is None:
        kind = errors.Lost
    error = kind(f"{request.who} {outcome.happened}.", says=outcome.says, advice=outcome.advice)
    error.retry_may_help = outcome.retry_may_help
    return error


def _input_lost(request: JobRequest, where: str) -> errors.JobFailed:
    return errors.InputLost(
        f"{request.who} did not start: it could not read its function or an argument.",
        advice=f"{where} The job role needs s3:GetObject on objects that are not in the image.",
    )


def _result_lost(request: JobRequest, says: str) -> errors.Lost:
    happened, advice = RUNNERS_CODES[layout.NOT_COMMITTED.code]
    return errors.Lost(f"{request.who} {happened}.", says=says, advice=advice)


def error_text(outcome: Outcome) -> str:
    """Return the text that `covalent-awsbatch why` prints: what happened, AWS's words, what to do, the cause."""
    job = f"Batch job {outcome.job_id}" if outcome.job_id else "This job"
    who = f"`{outcome.name}` ({job})" if outcome.name else job
    kind = f"{outcome.cause}, {outcome.detail}" if outcome.detail else outcome.cause
    facts = f"Cause: {kind}; blame: {outcome.blame}; {_AGAIN[outcome.retry_may_help]}."
    return "\n".join(filter(None, (f"{who} {outcome.happened}.", outcome.says, outcome.advice, facts)))
