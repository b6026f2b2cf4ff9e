# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The watcher: how often it looks, what it makes of silence and of errors, and how it finds ended children."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.jobs.description import JobState
from covalent_awsbatch_plugin.jobs.watched import Committed, Job, results_in
from covalent_awsbatch_plugin.jobs.watcher import Watcher
from tests.tasks.scripted_batch import Naps, ScriptedBatch, scripted_batch


@pytest.fixture
async def script(tmp_path: Path) -> AsyncIterator[ScriptedBatch]:
    async with scripted_batch(tmp_path) as opened:
        yield opened


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def watcher(script: ScriptedBatch, naps: Naps) -> AsyncIterator[Watcher]:
    watcher = Watcher(script.batch, naps, clock=lambda: 0)
    yield watcher
    await watcher.aclose()


# ---- how often -------------------------------------------------------------------------------------------------------
async def test_it_looks_soon_while_a_job_moves_and_ever_later_while_it_rests(
    script: ScriptedBatch, naps: Naps, watcher: Watcher
) -> None:
    script.put("j", "RUNNABLE")
    naps.then = {12: lambda: script.put("j", "RUNNING"), 14: lambda: script.put("j", "SUCCEEDED")}
    state = await watcher.ended("j", every=10)
    assert state.status == "SUCCEEDED"
    soon, resting, moving = naps.taken[:2], naps.taken[2:12], naps.taken[12:]
    assert soon == [0.5, 0.5]
    assert resting == pytest.approx([0.8, 1.28, 2.048, 3.2768, 5.24288, 8.388608, 10, 10, 10, 10])
    assert moving == [0.5, pytest.approx(0.8)]


async def test_it_never_rests_longer_than_the_most_impatient_asks(
    script: ScriptedBatch, naps: Naps, watcher: Watcher
) -> None:
    script.put("slow", "RUNNING")
    script.put("quick", "RUNNING")
    naps.then = {30: lambda: (script.put("slow", "FAILED"), script.put("quick", "FAILED"))}  # type: ignore[dict-item]
    await asyncio.gather(watcher.ended("slow", every=600), watcher.ended("quick", every=2))
    assert max(naps.taken) == 2


async def test_it_rests_ten_times_as_long_as_its_looks_take(script: ScriptedBatch, naps: Naps) -> None:
    seconds = iter(range(10_000))
    watcher = Watcher(script.batch, naps, clock=lambda: next(seconds) * 0.3)  # each look takes 0.3 s
    script.put("j", "RUNNING")
    naps.then = {8: lambda: script.put("j", "SUCCEEDED")}
    await watcher.ended("j", every=3.5)
    assert naps.taken == pytest.approx([0.175, 3, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5])


async def test_who_comes_while_it_rests_for_long_is_looked_at_soon(script: ScriptedBatch) -> None:
    watcher = Watcher(script.batch)  # with real seconds: an hour's rest must be cut short
    script.put("slow", "RUNNING")
    script.put("quick", "SUCCEEDED")
    slow = asyncio.create_task(watcher.ended("slow", every=3600))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(10):
        assert (await watcher.ended("quick", every=0.2)).ended
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    await watcher.aclose()


async def test_nobody_is_asked_for_when_nobody_waits(script: ScriptedBatch, naps: Naps, watcher: Watcher) -> None:
    script.put("j", "SUCCEEDED")
    await watcher.ended("j", every=1)
    looks = len(script.calls)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(script.calls) == looks


async def test_a_hundred_ids_are_asked_for_in_one_call(script: ScriptedBatch, watcher: Watcher) -> None:
    ids = [f"j{number}" for number in range(250)]
    for job_id in ids:
        script.put(job_id, "SUCCEEDED")
    states = await asyncio.gather(*(watcher.ended(job_id, every=1) for job_id in ids))
    assert [state.job_id for state in states] == ids
    assert [len(call) for call in script.calls] == [100, 100, 50]


# ---- who waits -------------------------------------------------------------------------------------------------------
async def test_of_two_who_wait_for_one_job_one_may_leave(script: ScriptedBatch, naps: Naps, watcher: Watcher) -> None:
    script.put("j", "RUNNING")
    one, other = (asyncio.create_task(watcher.ended("j", every=1)) for _ in range(2))
    naps.then = {3: one.cancel, 6: lambda: script.put("j", "SUCCEEDED")}  # type: ignore[dict-item]
    assert (await other).status == "SUCCEEDED"
    assert one.cancelled()


# ---- silence and errors ----------------------------------------------------------------------------------------------
async def test_an_id_that_is_not_known_yet_is_waited_for(script: ScriptedBatch, naps: Naps, watcher: Watcher) -> None:
    naps.then = {25: lambda: script.put("j", "SUCCEEDED")}
    assert (await watcher.ended("j", every=0.5)).status == "SUCCEEDED"


async def test_an_id_that_stays_unknown_for_two_minutes_is_lost(
    script: ScriptedBatch, naps: Naps, watcher: Watcher
) -> None:
    with pytest.raises(errors.Lost, match="does not know the job j") as caught:
        await watcher.ended("j", every=10)
    assert 120 <= sum(naps.taken) < 131
    assert "region" in caught.value.advice


async def test_looks_that_fail_for_a_while_lose_nothing(script: ScriptedBatch, naps: Naps, watcher: Watcher) -> None:
    script.put("j", "SUCCEEDED")
    script.failing = "AccessDeniedException"
    naps.then = {20: lambda: setattr(script, "failing", None)}
    assert (await watcher.ended("j", every=10)).status == "SUCCEEDED"


async def test_looks_that_fail_for_ten_minutes_are_told(script: ScriptedBatch, naps: Naps, watcher: Watcher) -> None:
    script.failing = "AccessDeniedException"
    with pytest.raises(errors.NotAllowed, match="batch:DescribeJobs"):
        await watcher.ended("j", every=10)
    assert 600 <= sum(naps.taken) < 611


async def test_no_answer_is_told_after_the_outage_patience() -> None:
    job = Job(every=10)
    waiting = asyncio.create_task(job.end.wait())
    await asyncio.sleep(0)
    for _ in range(89):
        job.not_answered(errors.Unreachable("No network."), after_s=10, outage_patience=900)
    assert job.end.open
    job.not_answered(errors.Unreachable("No network."), after_s=10, outage_patience=900)
    with pytest.raises(errors.Unreachable, match="No network"):
        await waiting


async def test_a_fault_of_ours_leaves_nobody_waiting(script: ScriptedBatch, watcher: Watcher) -> None:
    script.array("a", "RUNNING", SUCCEEDED=1)
    script.put("j", "RUNNING")

    async def keys(prefix: str) -> list[str]:
        raise KeyError(prefix)

    both = watcher.ended("j", 1), watcher.committed_or_ended("a:0", 1, "results", keys)
    found = await asyncio.gather(*both, return_exceptions=True)
    assert [type(each) for each in found] == [KeyError, KeyError]


# ---- arrays ----------------------------------------------------------------------------------------------------------
class Bucket:
    """Keys, and how often they were listed."""

    def __init__(self, *keys: str) -> None:
        self.keys, self.lists = list(keys), 0
        self.error: errors.ServiceError | None = None

    async def __call__(self, prefix: str) -> list[str]:
        self.lists += 1
        if self.error:
            raise self.error
        return [key for key in self.keys if key.startswith(prefix)]


async def test_children_are_found_by_their_results_and_only_their_parent_is_asked_for(
    script: ScriptedBatch, naps: Naps, watcher: Watcher
) -> None:
    bucket = Bucket()
    script.array("a", "PENDING", RUNNABLE=3)

    def one_ends() -> None:
        script.array("a", "PENDING", SUCCEEDED=1, RUNNING=2)
        bucket.keys.append("results/a/1/1/result")

    def all_end() -> None:
        script.array("a", "SUCCEEDED", SUCCEEDED=3)
        bucket.keys += ["results/a/0/1/result", "results/a/2/1/result", "results/a/2/2/result"]

    naps.then = {5: one_ends, 15: all_end}
    wanted = (watcher.committed_or_ended(f"a:{index}", 10, "results", bucket) for index in range(3))
    assert await asyncio.gather(*wanted) == [Committed(1), Committed(1), Committed(2)]
    assert all(call == ["a"] for call in script.calls)
    assert bucket.lists == 2


async def test_a_child_that_failed_without_a_result_is_found_among_all_pages(
    script: ScriptedBatch, naps: Naps, watcher: Watcher
) -> None:
    script.array("a", "PENDING", FAILED=4, RUNNING=1)
    for index in range(4):
        script.put(f"a:{index}", "FAILED", statusReason="Host EC2 (instance i-1) terminated.")
    script.put("a:4", "RUNNING")
    seen = await watcher.committed_or_ended("a:3", 10, "results", Bucket())
    assert isinstance(seen, JobState)
    assert (seen.job_id, seen.status_reason) == ("a:3", "Host EC2 (instance i-1) terminated.")


async def test_a_child_that_is_told_of_later_than_its_parent_is_waited_for(
    script: ScriptedBatch, naps: Naps, watcher: Watcher
) -> None:
    script.array("a", "FAILED", FAILED=2)
    script.put("a:0", "RUNNING")
    naps.then = {6: lambda: script.put("a:0", "FAILED")}
    seen = await watcher.committed_or_ended("a:0", 10, "results", Bucket())
    assert isinstance(seen, JobState) and seen.status == "FAILED"


async def test_a_child_that_nobody_ever_tells_of_is_lost(script: ScriptedBatch, watcher: Watcher) -> None:
    script.array("a", "FAILED", FAILED=2)
    with pytest.raises(errors.Lost, match="does not know the job a:0"):
        await watcher.committed_or_ended("a:0", 10, "results", Bucket())


async def test_who_asks_for_a_child_after_the_last_look_is_told_too(
    script: ScriptedBatch, naps: Naps, watcher: Watcher
) -> None:
    bucket = Bucket("results/a/0/1/result", "results/a/1/1/result")
    script.array("a", "PENDING", SUCCEEDED=2, RUNNING=1)
    running = asyncio.create_task(watcher.committed_or_ended("a:2", 10, "results", bucket))
    assert await watcher.committed_or_ended("a:0", 10, "results", bucket) == Committed(1)
    assert await watcher.committed_or_ended("a:1", 10, "results", bucket) == Committed(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_array_that_cannot_be_looked_into_hinders_no_other_job(
    script: ScriptedBatch, naps: Naps, watcher: Watcher
) -> None:
    bucket = Bucket("results/a/0/1/result")
    bucket.error = errors.NotAllowed("No s3:ListBucket.")
    script.array("a", "PENDING", SUCCEEDED=1, RUNNING=1)
    script.put("j", "RUNNING")
    naps.then = {5: lambda: script.put("j", "SUCCEEDED"), 10: lambda: setattr(bucket, "error", None)}
    array = asyncio.create_task(watcher.committed_or_ended("a:0", 10, "results", bucket))
    assert (await watcher.ended("j", 10)).status == "SUCCEEDED"
    assert not array.done()
    assert await array == Committed(1)


async def test_an_array_that_can_never_be_looked_into_is_told_after_ten_minutes(
    script: ScriptedBatch, naps: Naps, watcher: Watcher
) -> None:
    bucket = Bucket()
    bucket.error = errors.NotAllowed("No s3:ListBucket.")
    script.array("a", "PENDING", SUCCEEDED=1, RUNNING=1)
    with pytest.raises(errors.NotAllowed, match=r"No s3:ListBucket"):
        await watcher.committed_or_ended("a:0", 10, "results", bucket)
    assert 600 <= sum(naps.taken) < 615


async def test_where_tasks_share_a_job_each_is_told_when_its_own_result_is_there(
    script: ScriptedBatch, naps: Naps, watcher: Watcher
) -> None:
    bucket = Bucket()
    script.put("j", "RUNNING")
    naps.then = {4: lambda: bucket.keys.append("results/j/1/1/result"), 8: lambda: script.put("j", "FAILED")}
    first = asyncio.create_task(watcher.committed_or_ended("j", 10, "results", bucket, member=0))
    assert await watcher.committed_or_ended("j", 10, "results", bucket, member=1) == Committed(1)
    assert not first.done()
    seen = await first
    assert isinstance(seen, JobState) and seen.status == "FAILED"


async def test_who_gives_a_shared_task_up_is_told_at_once(script: ScriptedBatch, watcher: Watcher) -> None:
    script.put("j", "RUNNING")
    waiting = asyncio.create_task(watcher.committed_or_ended("j", 10, "results", Bucket(), member=0))
    await asyncio.sleep(0)
    watcher.give_up("j", 0, errors.Cancelled("Enough."))
    with pytest.raises(errors.Cancelled, match="Enough"):
        await waiting


def test_strange_keys_among_the_results_are_passed_over() -> None:
    keys = ["p/a/0/1/result", "p/a/0/2/result", "p/a/0/2/parts/abc", "p/a/README", "p/a/x/1/result", "p/a/1/1/resultx"]
    assert results_in(keys, "p/a/") == {0: 2}
