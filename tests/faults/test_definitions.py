# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Job definitions that AWS Batch shows late: a new one is waited for, and one that is gone is registered again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import faults
from covalent_awsbatch_plugin.tasks.client import connect
from tests.faults.tasks import count
from tests.tasks.gate import Gate
from tests.tasks.small_world import World


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses = [0.0] * 6
    monkeypatch.setattr("covalent_awsbatch_plugin.tasks.submit.DEFINITION_PAUSES", pauses)
    return pauses


@asynccontextmanager
async def opened_gate(world: World) -> AsyncIterator[Gate]:
    async with Gate(world.aws.endpoint_url).open() as gate:
        yield gate
        await close_shared()  # while there is still somebody to answer


@pytest.mark.parametrize("tasks", [1, 5])
async def test_a_definition_that_submit_job_does_not_know_yet_is_waited_for(
    world: World, tmp_path: Path, tasks: int
) -> None:
    before, settings = world.sent(), world.settings(delete_definitions=False, array_linger=1)
    world.aws.fault(faults.UNKNOWN_DEFINITION, of="covalent-*", times=3)
    runs = [world.value(settings, count, str(tmp_path / f"ran-{at}"), "return") for at in range(tasks)]
    assert await asyncio.gather(*runs) == ["done"] * tasks
    assert [path.read_bytes() for path in tmp_path.glob("ran-*")] == [b"1"] * tasks
    jobs, definitions = world.sent().jobs - before.jobs, world.sent().definitions - before.definitions
    assert len(jobs) == len(definitions) <= 2, "one definition a job: the same one is submitted again"


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize(
    "words",
    [
        "JobDefinition arn:aws:batch:us-east-1:123456789012:job-definition/a:1 does not exist",
        "Job definition a:1 is not active",
        "Job Definition (a:1) not found",
    ],
)
async def test_each_form_of_the_refusal_is_waited_out(
    world: World, tmp_path: Path, status: int, words: str, no_pauses: list[float]
) -> None:
    async with opened_gate(world) as gate:
        gate.refuse("batch:submitjob", status, "ClientException", words, times=len(no_pauses))
        settings = world.settings(credentials=world.profile(endpoint_url=gate.url))
        assert await world.value(settings, count, str(tmp_path / "ran"), "return") == "done"
    assert (tmp_path / "ran").read_bytes() == b"1"


async def test_a_definition_that_never_appears_fails_the_task_in_awss_words(
    world: World, tmp_path: Path, no_pauses: list[float]
) -> None:
    world.aws.fault(faults.UNKNOWN_DEFINITION, of="covalent-*", times=None)
    with pytest.raises(errors.Refused, match="AWS says: ClientException: JobDefinition .* does not exist"):
        await world.value(world.settings(), count, str(tmp_path / "ran"), "return")
    assert not (tmp_path / "ran").exists()


async def test_a_refusal_for_another_reason_is_told_at_once(
    world: World, tmp_path: Path, no_pauses: list[float]
) -> None:
    words = "Job queue arn:aws:batch:us-east-1:123456789012:job-queue/job-definition does not exist"
    async with opened_gate(world) as gate:
        gate.refuse("batch:submitjob", 404, "ClientException", words)
        settings = world.settings(credentials=world.profile(endpoint_url=gate.url))
        with pytest.raises(errors.Refused, match="Job queue"):
            await world.value(settings, count, str(tmp_path / "ran"), "return")
        assert gate.calls["batch:submitjob"] == 1


@pytest.mark.parametrize("times", [0, 1, 9])
@pytest.mark.parametrize("cached", [True, False])
async def test_a_deregistered_definition_that_is_still_listed_is_registered_again(
    world: World, tmp_path: Path, times: int, cached: bool, no_pauses: list[float]
) -> None:
    """`times` looks show the old revision as active; without the cache this process has not registered it itself."""
    settings = world.settings(payload="s3", time_limit=1000 + 2 * times + cached)
    before = world.sent().definitions
    async with connect(settings):
        assert await world.value(settings, count, str(tmp_path / "first"), "return") == "done"
        (known,) = world.sent().definitions - before
        world.client("batch").deregister_job_definition(jobDefinition=known)
        world.aws.fault(faults.STALE_DEFINITION, of="covalent-*", times=times)
        if not cached:
            await close_shared()
        assert await world.value(settings, count, str(tmp_path / "second"), "return") == "done"
    world.aws.clear_faults()
    (new,) = world.sent().definitions - before
    assert new != known
