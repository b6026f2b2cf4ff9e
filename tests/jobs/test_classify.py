# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One cause for every end of a job, told by whichever parts of its record are there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from covalent_awsbatch_plugin.jobs.outcomes.causes import Cause, Detail
from covalent_awsbatch_plugin.jobs.outcomes.classify import Outcome, why
from tests.jobs.records import EVERY_RECORD, EXITED, OOM, RECORDS, Record


def found(outcome: Outcome) -> tuple[Any, ...]:
    return outcome.cause, outcome.detail, outcome.blame, outcome.retry_may_help


def facts(outcome: Outcome) -> tuple[Any, ...]:
    return outcome.cause, outcome.blame, outcome.retry_may_help


@EVERY_RECORD
def test_a_record_has_its_cause(record: Record) -> None:
    outcome = why(record.detail)
    assert facts(outcome) == (record.cause, record.blame, record.again)
    if record.pull:
        assert outcome.detail == record.pull
    assert (outcome.detail is not None) == (record.cause == Cause.IMAGE_PULL)


@EVERY_RECORD
def test_a_bare_record_has_the_same(record: Record) -> None:
    if record.status_reason is not None or record.container:
        assert found(why(record.bare)) == found(why(record.detail))


@EVERY_RECORD
def test_neither_case_nor_dashes_nor_dots_matter(record: Record) -> None:
    def told(change: Any) -> tuple[Any, ...]:
        changed = {"status_reason": record.status_reason, "reason": record.reason}
        return found(why(replace(record, **{key: text and change(text) for key, text in changed.items()}).detail))

    as_it_is = found(why(record.detail))
    assert told(str.upper) == told(str.lower) == as_it_is
    assert told(lambda text: text.replace(" - ", " – ")) == as_it_is
    assert told(lambda text: text.removesuffix(".") or text) == as_it_is


@EVERY_RECORD
def test_says_holds_every_word_of_awss(record: Record) -> None:
    outcome = why(record.detail)
    for words in filter(None, (record.status_reason, record.reason)):
        assert words in outcome.says
    assert record.exit_code is None or f"exit code {record.exit_code}" in outcome.says


@EVERY_RECORD
def test_a_record_on_the_attempt_alone_is_enough(record: Record) -> None:
    whole = record.detail
    if record.container and record.status == "FAILED" and not record.flags:
        only = {"attempts": whole["attempts"], "status": "FAILED", "logTail": record.log}
        assert found(why(only)) == found(why(whole))


def test_every_cause_and_every_detail_is_in_the_table() -> None:
    outcomes = [why(record.detail) for record in RECORDS.values()]
    assert {outcome.cause for outcome in outcomes} == set(Cause)
    assert {outcome.detail for outcome in outcomes} - {None} == set(Detail)


def test_retry_rules_in_the_record_are_no_evidence() -> None:
    rules = [{"onReason": "CannotPullContainerError*", "action": "RETRY"}, {"onReason": "OutOfMemoryError*"}]
    detail = RECORDS["exit 1"].detail | {"retryStrategy": {"attempts": 3, "evaluateOnExit": rules}}
    assert why(detail).cause == Cause.USER_ERROR


def attempt(exit_code: int | None = None, reason: str = "", status_reason: str = EXITED) -> dict[str, Any]:
    container = {"exitCode": exit_code, "reason": reason}
    return {"container": {key: value for key, value in container.items() if value}, "statusReason": status_reason}


def test_the_last_attempt_decides() -> None:
    attempts = [attempt(137, status_reason="Host EC2 (instance i-1) terminated."), attempt(1)]
    outcome = why({"status": "FAILED", "statusReason": EXITED, "attempts": attempts})
    assert (outcome.cause, outcome.happened) == (Cause.USER_ERROR, "ended with exit code 1")
    assert "Attempt 1: exit code 137; Host EC2 (instance i-1) terminated." in outcome.says
    assert "Attempt 2: exit code 1" in outcome.says


def test_an_earlier_attempt_speaks_where_the_last_is_silent() -> None:
    attempts = [attempt(137, OOM), attempt()]
    assert why({"status": "FAILED", "statusReason": EXITED, "attempts": attempts}).cause == Cause.OUT_OF_MEMORY


def test_a_success_after_lost_hosts_is_a_success() -> None:
    attempts = [attempt(status_reason="Host EC2 (instance i-1) terminated."), attempt()]
    outcome = why({"status": "SUCCEEDED", "statusReason": EXITED, "attempts": attempts})
    assert (outcome.cause, outcome.advice.split(":")[0]) == (Cause.SUCCESS, "Check whether the work is done")


def test_the_containers_reason_fills_an_attempt_that_lacks_it() -> None:
    detail = {"status": "FAILED", "statusReason": EXITED, "attempts": [attempt(137)], "container": {"reason": OOM}}
    assert why(detail).cause == Cause.OUT_OF_MEMORY


def test_a_job_that_runs_has_not_ended() -> None:
    outcome = why({"status": "RUNNING", "attempts": [attempt(137)]})
    assert (outcome.cause, outcome.happened) == (Cause.UNKNOWN, "has not ended: its status is RUNNING")


def test_an_array_that_runs_is_told_by_counts() -> None:
    def outcome(**counts: int) -> Outcome:
        return why({"status": "PENDING", "arrayProperties": {"size": 7, "statusSummary": counts}})

    running = outcome(RUNNABLE=4, RUNNING=2, SUCCEEDED=1, FAILED=0)
    assert running.happened == "is running: of 7 child jobs 4 RUNNABLE, 2 RUNNING, 1 SUCCEEDED"
    assert running.cause == Cause.UNKNOWN
    assert outcome(RUNNABLE=7).cause == Cause.NEVER_STARTED


@pytest.mark.parametrize(
    "detail",
    [
        {"ecsProperties": {"taskProperties": [{"containers": [{"exitCode": 0}, {"exitCode": 1, "reason": OOM}]}]}},
        {"attempts": [{"taskProperties": [{"containers": [{"exitCode": 0}, {"reason": OOM}]}]}]},
        {"eksAttempts": [{"containers": [{"exitCode": 137, "reason": "OOMKilled"}], "statusReason": "failed"}]},
        {"eksProperties": {"podProperties": {"containers": [{"exitCode": 137, "reason": "OOMKilled"}]}}},
        {"nodeProperties": {"nodeRangeProperties": [{"container": {"exitCode": 137, "reason": OOM}}]}},
        {"container": {"exitCode": "137", "reason": OOM}},
    ],
    ids=["ecs", "ecs attempt", "eks attempt", "eks", "multi-node", "a code in quotes"],
)
def test_all_kinds_of_jobs_are_read(detail: dict[str, Any]) -> None:
    assert why({"status": "FAILED"} | detail).cause == Cause.OUT_OF_MEMORY


def test_advice_names_what_was_asked_for() -> None:
    memory = {"container": {"reason": OOM, "resourceRequirements": [{"type": "MEMORY", "value": "3840"}]}}
    assert why({"status": "FAILED"} | memory).advice == "Raise memory (now 3.75 GiB)."
    limit = {"statusReason": "Job attempt duration exceeded timeout", "timeout": {"attemptDurationSeconds": 600}}
    assert "(now 600 s)" in why({"status": "FAILED"} | limit).advice
