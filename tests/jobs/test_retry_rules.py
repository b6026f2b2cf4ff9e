# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The retry rules of our job definitions, held against the causes: infrastructure again, a user's doing once."""

from __future__ import annotations

from typing import Any

import pytest

from covalent_awsbatch_plugin.jobs.definition import RETRY_RULES
from covalent_awsbatch_plugin.jobs.outcomes.causes import Blame, Cause
from covalent_awsbatch_plugin.jobs.outcomes.classify import why
from covalent_awsbatch_plugin.local import faults
from covalent_awsbatch_plugin.local.batch.retry import MAX_RULES, should_retry
from tests.jobs.records import EVERY_RECORD, Record

# Infrastructure that the rules do not send back: what has run is not run twice by AWS Batch, and an agent that lost a
# container may have lost a finished one.
LEFT_TO_US = ("CannotInspectContainerError", "CannotStopContainerError", "ContainerRuntimeTimeoutError", "AGENT")

# Ends that AWS Batch itself never retries, whatever the rules say: jobs that were cancelled, terminated or timed out.
# https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html and job_timeouts.html
NEVER_RETRIED = (Cause.CANCELLED, Cause.TIMED_OUT)
FARGATE = (*faults.FARGATE_STARTS.values(), "CannotPullContainerError: pull image manifest has been retried 5 time(s)")


def sent_back(record: Record) -> bool:
    told = {"status_reason": record.status_reason or "", "reason": record.reason or "", "exit_code": record.exit_code}
    return should_retry({"attempts": 3, "evaluateOnExit": RETRY_RULES}, 1, **told)


def test_the_rules_are_ones_that_aws_takes() -> None:
    assert len(RETRY_RULES) <= MAX_RULES
    assert RETRY_RULES[-1] == {"onStatusReason": "Essential container*", "action": "EXIT"}
    for rule in RETRY_RULES:
        assert all(1 <= len(value) <= 512 and "*" not in value[:-1] for value in rule.values())


@EVERY_RECORD
def test_infrastructure_is_tried_again_and_a_users_doing_is_not(record: Record) -> None:
    if record.status != "FAILED" or record.flags:
        return  # AWS Batch asks its rules only about attempts that failed by themselves
    said = f"{record.status_reason} {record.reason}"
    outcome = why(record.detail)
    if outcome.cause in NEVER_RETRIED or record.status_reason == "Pod failed":  # no task runs on EKS
        return
    if outcome.blame in (Blame.USER, Blame.CANCELLED):
        started = record.status_reason != "Task failed to start"  # else no code of the user's has run
        assert not (sent_back(record) and started), said
    elif outcome.retry_may_help and outcome.blame == Blame.INFRASTRUCTURE:
        assert sent_back(record) != any(left in said for left in LEFT_TO_US), said


@EVERY_RECORD
def test_nothing_that_ran_to_an_end_of_its_own_runs_twice(record: Record) -> None:
    if record.status_reason == "Essential container in task exited":
        assert not sent_back(record)


@pytest.mark.parametrize("words", FARGATE)
def test_what_fargate_tells_before_a_container_starts_is_tried_again(words: str) -> None:
    told: dict[str, Any] = {"status_reason": words, "reason": "", "exit_code": None}
    assert should_retry({"attempts": 3, "evaluateOnExit": RETRY_RULES}, 1, **told)
