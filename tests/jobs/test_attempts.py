# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What stands above a task's stderr, from AWS Batch's record of its job."""

from __future__ import annotations

from typing import Any

import pytest

from covalent_awsbatch_plugin.jobs.attempts import above_stderr
from covalent_awsbatch_plugin.jobs.description import JobState, state_of

NOON = 1_791_720_000_000  # 2026-10-11 12:00:00 UTC
LOST = {
    "startedAt": NOON,
    "stoppedAt": NOON + 90_000,
    "statusReason": "Host EC2 (instance i-0f) terminated.",
    "container": {},
}
WELL = {"startedAt": NOON + 100_000, "container": {"exitCode": 0}}


def job(*attempts: dict[str, Any], status: str = "SUCCEEDED", **more: Any) -> JobState:
    return state_of({"jobId": "j", "status": status, "attempts": list(attempts), **more})


def test_of_a_straight_way_there_is_nothing_to_tell() -> None:
    assert above_stderr(job(WELL), 1, returned=True) == ""
    assert above_stderr(None, 1, returned=True) == ""
    assert above_stderr(job({"container": {"exitCode": 1}}, status="FAILED"), None, returned=False) == ""


def test_each_earlier_attempt_has_a_line_with_its_number_its_time_and_its_reason() -> None:
    assert above_stderr(job(LOST, LOST | {"container": {"exitCode": 143}}, WELL), 3, returned=True) == (
        "covalent-awsbatch: attempt 1 of 3, 2026-10-11 12:00:00 to 12:01:30 UTC, left no usable result. "
        "AWS says: Host EC2 (instance i-0f) terminated.; no exit code\n"
        "covalent-awsbatch: attempt 2 of 3, 2026-10-11 12:00:00 to 12:01:30 UTC, left no usable result. "
        "AWS says: Host EC2 (instance i-0f) terminated.; exit code 143\n"
    )


def test_without_a_result_all_but_the_last_are_told() -> None:
    assert above_stderr(job(LOST, LOST, status="FAILED"), None, returned=False).count("\n") == 1


def test_what_aws_batch_has_forgotten_is_told_as_far_as_it_is_known() -> None:
    told = above_stderr(None, 3, returned=True).splitlines()
    assert [line.split(" left ")[0] for line in told] == [f"covalent-awsbatch: attempt {n} of 3" for n in (1, 2)]


def test_earlier_jobs_of_the_task_come_first() -> None:
    told = above_stderr(job(LOST, WELL), 2, returned=True, before=["submitted again, for it raised"])
    assert told.startswith("covalent-awsbatch: submitted again, for it raised\ncovalent-awsbatch: attempt 1 of 2")


def test_a_value_of_a_job_that_is_called_a_failure_is_noted() -> None:
    agent = {"container": {"reason": "CannotInspectContainerError: timed out"}}
    told = above_stderr(job(agent, status="FAILED", statusReason="Task failed"), 1, returned=True)
    assert told == (
        "covalent-awsbatch: AWS Batch calls this job FAILED (Task failed; "
        "CannotInspectContainerError: timed out), but its result is complete and is used.\n"
    )


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({}, "never begun"),
        ({"startedAt": NOON}, "begun 2026-10-11 12:00:00 UTC"),
        ({"stoppedAt": NOON}, "which ended 2026-10-11 12:00:00 UTC"),
        ({"startedAt": NOON, "stoppedAt": NOON + 86_400_000}, "2026-10-11 12:00:00 to 2026-10-12 12:00:00 UTC"),
        ({"startedAt": 10**30, "stoppedAt": "soon"}, "never begun"),
    ],
)
def test_real_records_have_holes(times: dict[str, Any], words: str) -> None:
    told = above_stderr(job({"container": {}, **times}, WELL), 2, returned=True)
    assert told.startswith(f"covalent-awsbatch: attempt 1 of 2, {words}, left")
