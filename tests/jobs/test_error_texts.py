# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The errors that a user of the executor reads: the same causes, with our names, our words and the task's own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.jobs.description import state_of
from covalent_awsbatch_plugin.jobs.outcomes.causes import Blame, Cause
from covalent_awsbatch_plugin.jobs.outcomes.classify import why
from covalent_awsbatch_plugin.jobs.outcomes.errors import JobRequest, error_text, facts, failure, task_failure
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
    envelope.NO_ROOM: errors.DiskFull,
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


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (4, "instruction"), (6, "SIGABRT"), (7, "shared memory"), (8, "divided by zero"), (11, "native code"),
        (13, "pipe"), (14, "timer"), (24, "CPU time"), (25, "bigger file"), (5, "native code"),
    ],
)  # fmt: skip
def test_a_signal_that_a_process_brings_on_itself_has_its_own_words(number: int, words: str) -> None:
    job = state_of(RECORDS["exit 1"].detail)
    error = task_failure(TaskResult(0, envelope.KILLED, 128 + number, number), job, ASKED)
    assert error is not None
    error.facts = facts(error, 3.75)
    assert words in str(error) and "by a fault of its own" in str(error)
    without_result = replace(RECORDS["sigkill"].detail, 128 + number)
    for text in (str(error), failure(state_of(without_result), ASKED).text()):
        assert words in text
        assert "raise memory" not in text.lower()
    assert "GiB" not in str(error)


def replace(detail: Mapping[str, Any], code: int) -> dict[str, Any]:
    """The record of a job that ended with another exit code, and with no reason but that."""
    changed: dict[str, Any] = copy.deepcopy(dict(detail))
    for container in (changed.get("container", {}), *(each["container"] for each in changed.get("attempts", ()))):
        container["exitCode"] = code
        container.pop("reason", None)
    return changed


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [(70, errors.InputLost, "could not read its function"), (71, errors.Lost, "could not write the result")],
)
def test_an_exit_code_of_the_runner_is_not_told_as_the_users(
    code: int, kind: type[errors.JobFailed], words: str
) -> None:
    detail = replace(RECORDS["exit 1"].detail, code)
    error = failure(state_of(detail), ASKED)
    assert type(error) is kind
    assert words in str(error)
    detail["container"]["command"] = ["python3", "-s", "/covalent/runner"]
    assert words in error_text(why(detail))
    detail["container"]["command"] = ["python3", "theirs.py"]
    assert f"ended with exit code {code}" in error_text(why(detail))


def test_an_exception_is_no_question_of_memory() -> None:
    error = task_failure(TaskResult(0, envelope.RAISED, 1, None, "ZeroDivisionError"), state_of({}), ASKED)
    assert error is not None
    assert facts(error, 3.75) == "Another try does not help."


def test_only_infrastructure_is_worth_trying_again_for_sure() -> None:
    for record in RECORDS.values():
        outcome = why(record.detail)
        if outcome.retry_may_help:
            assert outcome.blame in (Blame.INFRASTRUCTURE, Blame.UNKNOWN), record
