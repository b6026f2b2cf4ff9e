# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The errors that a user of the executor reads: the same causes, with our names, our words and the task's own."""

from __future__ import annotations

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.jobs.description import state_of
from covalent_awsbatch_plugin.jobs.outcomes.causes import Blame, Cause
from covalent_awsbatch_plugin.jobs.outcomes.classify import why
from covalent_awsbatch_plugin.jobs.outcomes.errors import JobRequest, error_text, failure, task_failure
from covalent_awsbatch_plugin.runner.protocol import envelope
from covalent_awsbatch_plugin.runner.protocol.envelope import TaskResult
from tests.jobs.records import EVERY_RECORD, RECORDS, Record

ASKED = JobRequest("`fit` (Batch job 4f1c0b7e)", memory=3.75, time_limit=600)

KINDS = {
    "success": errors.Lost,
    "exit 1": errors.Exited,
    "exit code missing": errors.Lost,
    "nothing at all": errors.Lost,
    "sigkill": errors.Killed,
    "not found": errors.CommandNotRunnable,
    "out of memory, exit 1": errors.OutOfMemory,
    "timeout": errors.TimedOut,
    "host terminated": errors.HostLost,
    "Fargate Spot": errors.SpotInterrupted,
    "cancelled by a flag": errors.Cancelled,
    "unknown manifest": errors.ImagePullFailed,
    "no descriptor for this platform": errors.WrongArchitecture,
    "create timed out": errors.AgentFailed,
    "no such device": errors.StartFailed,
    "secret": errors.StartFailed,
    "role": errors.RoleNotAssumable,
    "queue deleted": errors.NeverStarted,
    "dependency": errors.NeverStarted,
    "overrides too long": errors.NeverStarted,
    "the queue's limit, for size": errors.NeverStarted,
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_a_cause_has_its_error(name: str, kind: type[errors.JobFailed]) -> None:
    assert type(failure(state_of(RECORDS[name].detail), ASKED)) is kind


@EVERY_RECORD
def test_error_text_is_short(record: Record) -> None:
    error = failure(state_of(record.detail), ASKED, record.log or "")
    text = error.text()
    assert text.startswith("`fit` (Batch job 4f1c0b7e) ")
    assert text.count("\n") <= 4
    assert "{" not in text
    for words in filter(None, (record.status_reason, record.reason)):
        assert words in text
    if record.cause not in (Cause.CANCELLED, Cause.SUCCESS):
        assert error.advice
        assert error.retry_may_help == record.again


@EVERY_RECORD
def test_error_text_of_the_command_names_cause_blame_and_retry(record: Record) -> None:
    text = error_text(why(record.detail))
    last = text.splitlines()[-1]
    assert last.startswith(f"Cause: {record.cause}")
    assert f"blame: {record.blame}" in last
    assert text.splitlines()[0].endswith(".")


def test_whole_error_text() -> None:
    assert failure(state_of(RECORDS["out of memory, exit 137"].detail), ASKED).text() == (
        "`fit` (Batch job 4f1c0b7e) needed more memory than it was given.\n"
        "AWS says: Essential container in task exited\n"
        "Attempt 1: exit code 137; OutOfMemoryError: Container killed due to memory usage\n"
        "Raise memory (now 3.75 GiB)."
    )
    assert error_text(why(RECORDS["exit 1"].bare)) == (
        "This job ended with exit code 1.\n"
        "AWS says: Essential container in task exited\n"
        "Attempt 1: exit code 1\n"
        "Read the last lines of the log: they name the reason.\n"
        "Cause: user_error; blame: user; another try does not help."
    )


# ---- a task that left a committed result: its own words come first ---------------------------------------------------
LEFT = {
    envelope.RAISED: errors.Raised,
    envelope.UNPICKLABLE: errors.Unpicklable,
    envelope.EXITED: errors.Exited,
    envelope.NOT_RUN: errors.Cancelled,
    envelope.NO_INPUT: errors.InputLost,
    envelope.OUT_OF_MEMORY: errors.OutOfMemory,
    envelope.KILLED: errors.Killed,
    envelope.TERMINATED: errors.Killed,
}


@pytest.mark.parametrize(("outcome", "kind"), LEFT.items())
@pytest.mark.parametrize("job", ["exit 1", "success", "nothing at all"])
def test_what_a_task_says_of_itself(outcome: str, kind: type[errors.JobFailed], job: str) -> None:
    task = TaskResult(0, outcome, exit_code=137, signal=9, exception_type="ValueError")
    assert type(task_failure(task, state_of(RECORDS[job].detail), ASKED)) is kind


def test_a_returned_value_is_no_error_whatever_the_job_says() -> None:
    task = TaskResult(0, envelope.RETURNED)
    for record in RECORDS.values():
        assert task_failure(task, state_of(record.detail), ASKED) is None


@pytest.mark.parametrize("outcome", [envelope.KILLED, envelope.TERMINATED])
@pytest.mark.parametrize(
    ("job", "kind"),
    [
        ("timeout, exit 137", errors.TimedOut),
        ("host terminated, exit 143", errors.HostLost),
        ("Fargate Spot", errors.SpotInterrupted),
        ("cancelled by a flag", errors.Cancelled),
        ("out of memory, exit 137", errors.OutOfMemory),
    ],
)
def test_whoever_killed_a_task_is_named_where_aws_batch_knows(
    outcome: str, job: str, kind: type[errors.JobFailed]
) -> None:
    task = TaskResult(0, outcome, exit_code=137, signal=9)
    assert type(task_failure(task, state_of(RECORDS[job].detail), ASKED)) is kind


def test_a_killer_that_nobody_knows_is_told_so() -> None:
    error = task_failure(TaskResult(0, envelope.KILLED, signal=9), state_of(RECORDS["sigkill"].detail), ASKED)
    assert "was killed by SIGKILL; AWS does not say why." in str(error)


def test_only_infrastructure_is_worth_trying_again_for_sure() -> None:
    for record in RECORDS.values():
        outcome = why(record.detail)
        if outcome.retry_may_help:
            assert outcome.blame in (Blame.INFRASTRUCTURE, Blame.UNKNOWN), record
