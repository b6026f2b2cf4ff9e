# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""`retryStrategy` and `evaluateOnExit`: the rules as a table, and jobs that follow them."""

from __future__ import annotations

from typing import Any

import pytest

from covalent_awsbatch_plugin.local.batch.retry import should_retry
from tests.local.small_world import World

HOST, SPOT, OOM = (
    "Host EC2 (instance i-1) terminated.",
    "Your Spot Task was interrupted.",
    "OutOfMemoryError: Container",
)
EXITED = "Essential container in task exited"
ON_HOST = {"onStatusReason": "Host EC2*", "action": "RETRY"}
ELSE_EXIT = {"onReason": "*", "action": "EXIT"}
CODE_EXIT = {"onExitCode": "*", "action": "exit"}
BOTH = {"onStatusReason": "Essential*", "onExitCode": "3", "action": "EXIT"}


@pytest.mark.parametrize(
    ("rules", "status_reason", "reason", "code", "again"),
    [
        ([], EXITED, "", 1, True),
        ([ON_HOST, ELSE_EXIT], HOST, "", None, True),
        ([ON_HOST, CODE_EXIT], EXITED, "", 1, False),
        ([ON_HOST], EXITED, "", 1, True),  # no rule matches: retried
        ([ELSE_EXIT], EXITED, "", 1, False),  # as in AWS's examples: `*` matches a reason that was never given
        ([ELSE_EXIT], EXITED, OOM, 137, False),
        ([{"onReason": "outofmemory*", "action": "Retry"}, ELSE_EXIT], EXITED, OOM, 137, True),
        ([{"onReason": "OutOfMemory", "action": "EXIT"}], EXITED, OOM, 137, True),  # no glob: the whole text
        ([{"onExitCode": "1*", "action": "EXIT"}], EXITED, OOM, 137, False),
        ([{"onExitCode": "1", "action": "EXIT"}], EXITED, OOM, 137, True),
        ([CODE_EXIT], SPOT, "", None, True),  # a missing exit code is not 0, and is no code
        ([{"onExitCode": "0", "action": "EXIT"}], SPOT, "", None, True),
        ([BOTH], EXITED, "", 3, False),
        ([BOTH], EXITED, "", 4, True),  # all conditions of a rule must hold
        ([BOTH], HOST, "", 3, True),
        ([{"onExitCode": "3", "action": "RETRY"}, CODE_EXIT], EXITED, "", 3, True),  # the first that matches decides
        ([CODE_EXIT, {"onExitCode": "3", "action": "RETRY"}], EXITED, "", 3, False),
        ([{"action": "EXIT"}], EXITED, "", 1, False),
    ],
)
def test_the_rules(rules: list[dict[str, str]], status_reason: str, reason: str, code: int | None, again: bool) -> None:
    strategy = {"attempts": 2, "evaluateOnExit": rules}
    told: dict[str, Any] = {"status_reason": status_reason, "reason": reason, "exit_code": code}
    assert should_retry(strategy, 1, **told) is again
    assert should_retry(strategy, 2, **told) is False


def test_a_job_is_retried_until_it_succeeds(world: World, definition: str) -> None:
    told = world.ended(world.submit(definition, "leave_by_attempt", "1", "2", "0", retryStrategy={"attempts": 5}))
    assert told["status"] == "SUCCEEDED"
    assert [each["container"]["exitCode"] for each in told["attempts"]] == [1, 2, 0]
    assert len({each["container"]["logStreamName"] for each in told["attempts"]}) == 3
    assert told["container"]["logStreamName"] == told["attempts"][-1]["container"]["logStreamName"]
    assert {each["statusReason"] for each in told["attempts"]} == {EXITED}


def test_a_job_fails_when_its_attempts_are_used_up(world: World, image: str) -> None:
    told = world.ended(world.submit(world.define(image, retryStrategy={"attempts": 2}), "leave", "9"))
    assert (told["status"], told["container"]["exitCode"], len(told["attempts"])) == ("FAILED", 9, 2)
    assert told["retryStrategy"]["attempts"] == 2


def test_a_rule_ends_the_attempts(world: World, definition: str) -> None:
    rules = [{"onExitCode": "1", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}]
    strategy = {"attempts": 9, "evaluateOnExit": rules}
    told = world.ended(world.submit(definition, "leave_by_attempt", "1", "1", "7", "0", retryStrategy=strategy))
    assert (told["status"], [each["container"]["exitCode"] for each in told["attempts"]]) == ("FAILED", [1, 1, 7])


def test_a_pull_that_fails_is_an_attempt_too(world: World) -> None:
    rules = [{"onReason": "CannotPullContainerError:*", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}]
    name = f"{world.aws.registry}/{world.settings['ecr_repo_name']}:nowhere"
    told = world.ended(world.submit(world.define(name), retryStrategy={"attempts": 2, "evaluateOnExit": rules}))
    assert [each["statusReason"] for each in told["attempts"]] == ["Task failed to start"] * 2
