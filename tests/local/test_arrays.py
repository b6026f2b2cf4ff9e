# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Array jobs: children with an index each, and a parent that sums them up."""

from __future__ import annotations

import json
from itertools import pairwise

from tests.local.small_world import World, eventually


def test_each_child_has_its_index(world: World, definition: str) -> None:
    parent = world.submit(definition, "environment", arrayProperties={"size": 5})
    told = world.ended(parent)
    assert (told["status"], told["arrayProperties"]["size"]) == ("SUCCEEDED", 5)
    assert told["arrayProperties"]["statusSummary"] == {
        "SUBMITTED": 0,
        "PENDING": 0,
        "RUNNABLE": 0,
        "STARTING": 0,
        "RUNNING": 0,
        "SUCCEEDED": 5,
        "FAILED": 0,
    }
    assert told["attempts"] == []
    children = world.batch.describe_jobs(jobs=[f"{parent}:{i}" for i in range(5)])["jobs"]
    for index, child in enumerate(children):
        environment = json.loads(world.said(child["jobId"])[0])
        assert environment["AWS_BATCH_JOB_ARRAY_INDEX"] == str(index) == str(child["arrayProperties"]["index"])
        assert environment["AWS_BATCH_JOB_ID"] == child["jobId"] == f"{parent}:{index}"


def test_one_failed_child_fails_the_parent_and_no_sibling(world: World, definition: str) -> None:
    parent = world.submit(definition, "leave_by_index", "0", "4", "0", arrayProperties={"size": 3})
    told = world.ended(parent)
    assert (told["status"], told["statusReason"]) == ("FAILED", "Array Child Job failed")
    summary = told["arrayProperties"]["statusSummary"]
    assert (summary["SUCCEEDED"], summary["FAILED"]) == (2, 1)
    assert world.job(f"{parent}:1")["container"]["exitCode"] == 4


def test_the_parent_is_pending_while_its_children_run(world: World, definition: str) -> None:
    parent = world.submit(definition, "sleep", "600", arrayProperties={"size": 6})
    running = eventually(lambda: t if (t := world.job(parent))["arrayProperties"]["statusSummary"]["RUNNING"] else None)
    assert running["status"] == "PENDING"
    assert "startedAt" not in running
    world.batch.terminate_job(jobId=parent, reason="all of you")
    told = world.ended(parent)
    assert (told["status"], told["statusReason"], told["isTerminated"]) == ("FAILED", "all of you", True)
    assert told["arrayProperties"]["statusSummary"]["FAILED"] == 6
    children = world.batch.describe_jobs(jobs=[f"{parent}:{i}" for i in range(6)])["jobs"]
    assert {child["statusReason"] for child in children} == {"all of you"}
    assert all(child["isTerminated"] != child["isCancelled"] for child in children)


def test_one_child_can_be_ended_alone(world: World, definition: str) -> None:
    parent = world.submit(definition, "sleep", "600", arrayProperties={"size": 2})
    for index in range(2):
        world.until(f"{parent}:{index}", "RUNNING")
    world.batch.terminate_job(jobId=f"{parent}:0", reason="you")
    assert world.ended(f"{parent}:0")["statusReason"] == "you"
    assert world.job(f"{parent}:1")["status"] == "RUNNING"
    world.batch.terminate_job(jobId=parent, reason="both")
    assert world.ended(parent)["arrayProperties"]["statusSummary"]["FAILED"] == 2


def test_each_child_is_retried_for_itself(world: World, definition: str) -> None:
    told = {"arrayProperties": {"size": 2}, "retryStrategy": {"attempts": 2}}
    parent = world.submit(definition, "leave_by_attempt", "1", "0", **told)
    assert world.ended(parent)["status"] == "SUCCEEDED"
    assert [len(world.job(f"{parent}:{index}")["attempts"]) for index in range(2)] == [2, 2]


def test_a_sequential_array_runs_one_after_the_other(world: World, definition: str) -> None:
    parent = world.submit(definition, "say", arrayProperties={"size": 3}, dependsOn=[{"type": "SEQUENTIAL"}])
    world.ended(parent)
    jobs = world.batch.describe_jobs(jobs=[f"{parent}:{i}" for i in range(3)])["jobs"]
    assert all(one["stoppedAt"] <= next_["startedAt"] for one, next_ in pairwise(jobs))


def test_a_big_array_is_taken_at_once(world: World, definition: str) -> None:
    parent = world.submit(definition, "say", arrayProperties={"size": 10_000})
    assert world.job(parent)["arrayProperties"]["size"] == 10_000
    assert world.job(f"{parent}:9999")["status"] in ("SUBMITTED", "RUNNABLE")
    world.batch.terminate_job(jobId=parent, reason="only a test")
    assert world.ended(parent)["statusReason"] == "only a test"
