# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Timeouts, TerminateJob and CancelJob: what is told to stop ends, and says why."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import script
from tests.local.small_world import GRACE_S, World, eventually

ALWAYS = {"attempts": 3, "evaluateOnExit": [{"action": "RETRY", "onReason": "*"}]}


def running(world: World, definition: str, *command: str, **told: Any) -> str:
    """A job that has said its first word."""
    job = world.submit(definition, *command, **told)
    world.until(job, "RUNNING")
    eventually(lambda: world.said(job))
    return job


def test_terminate_asks_first(world: World, definition: str) -> None:
    job = running(world, definition, "polite", retryStrategy=ALWAYS)
    world.batch.terminate_job(jobId=job, reason="changed my mind")
    told = world.ended(job)
    assert (told["status"], told["statusReason"]) == ("FAILED", "changed my mind")
    assert (told["isTerminated"], told["isCancelled"]) == (True, False)
    assert (told["container"]["exitCode"], len(told["attempts"])) == (0, 1)
    assert world.said(job) == ["asleep", "goodbye"]


def test_terminate_insists(world: World, definition: str) -> None:
    job = running(world, definition, "stubborn")
    began = time.monotonic()
    world.batch.terminate_job(jobId=job, reason="now")
    told = world.ended(job)
    assert (told["container"]["exitCode"], told["statusReason"]) == (137, "now")
    assert time.monotonic() - began >= GRACE_S
    assert world.said(job) == ["asleep", "SIGTERM came"]


def test_a_program_without_a_handler_ends_by_sigterm_or_sigkill(world: World, definition: str) -> None:
    job = running(world, definition, "sleep", "600")
    world.batch.terminate_job(jobId=job, reason="now")
    # The first process of a container ignores SIGTERM unless it handles it: there SIGKILL ends it.
    assert world.ended(job)["container"]["exitCode"] == (137 if world.aws.engine == "docker" else 143)


def test_terminate_sends_the_stop_signal_of_the_image(world: World) -> None:
    definition = world.define(script(world, StopSignal="SIGINT"))
    job = running(world, definition, "stubborn")  # handles SIGTERM, and leaves SIGINT to Python
    world.batch.terminate_job(jobId=job, reason="now")
    assert world.ended(job)["container"]["exitCode"] in (1, 130)
    assert "KeyboardInterrupt" in world.said(job)


def test_terminate_before_the_start_cancels(world: World, definition: str) -> None:
    blocked = world.submit(definition, "sleep", "600")
    job = world.submit(definition, "say", "never", dependsOn=[{"jobId": blocked}])
    world.batch.terminate_job(jobId=job, reason="not needed")
    told = world.ended(job)
    assert (told["status"], told["statusReason"], told["attempts"]) == ("FAILED", "not needed", [])
    assert (told["isCancelled"], told["isTerminated"]) == (True, False)
    world.batch.terminate_job(jobId=blocked, reason="end")
    world.ended(blocked)


def test_terminate_at_any_moment_ends_the_job(world: World, definition: str) -> None:
    for pause in (0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1):
        job = world.submit(definition, "sleep", "600")
        time.sleep(pause)
        world.batch.terminate_job(jobId=job, reason="whenever")
        told = world.ended(job)
        assert (told["status"], told["statusReason"]) == ("FAILED", "whenever")
        assert told["isCancelled"] != told["isTerminated"]


def test_cancel_leaves_what_runs_alone(world: World, definition: str) -> None:
    job = running(world, definition, "sleep", "600")
    world.batch.cancel_job(jobId=job, reason="too late")
    assert world.job(job)["status"] == "RUNNING"
    world.batch.terminate_job(jobId=job, reason="end")
    assert world.ended(job)["statusReason"] == "end"


def test_ending_what_has_ended_changes_nothing(world: World, definition: str) -> None:
    job = world.ended(world.submit(definition, "say"))
    world.batch.terminate_job(jobId=job["jobId"], reason="too late")
    assert world.job(job["jobId"]) == job


@pytest.mark.parametrize("call", ["terminate_job", "cancel_job"])
def test_unknown_jobs_are_refused(world: World, call: str) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        getattr(world.batch, call)(jobId="nobody", reason="why not")


def test_the_timeout_ends_an_attempt_for_good(short: World, short_definition: str) -> None:
    """In a world where a minute lasts a second."""
    job = short.submit(short_definition, "stubborn", timeout={"attemptDurationSeconds": 60}, retryStrategy=ALWAYS)
    told = short.ended(job)
    assert (told["status"], told["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    assert (told["isTerminated"], told["container"]["exitCode"]) == (False, 137)
    assert told["attempts"][0]["statusReason"] == "Job attempt duration exceeded timeout"
    assert len(told["attempts"]) == 1
    assert short.said(job) == ["asleep", "SIGTERM came"]
