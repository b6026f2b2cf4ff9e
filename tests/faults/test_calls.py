# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Calls that go wrong on the way: exactly one job comes of one task, and the value comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.local import faults
from covalent_awsbatch_plugin.tasks.client import connect
from tests.faults.tasks import count, raise_once
from tests.tasks.small_world import World

RIDDEN_OUT = {
    "SubmitJob cut before it took effect": (faults.CUT_BEFORE, "batch:SubmitJob", {}),
    "SubmitJob cut after it took effect": (faults.CUT_AFTER, "batch:SubmitJob", {}),
    "SubmitJob cut in the middle of its answer": (faults.CUT_AMID, "batch:SubmitJob", {}),
    "SubmitJob answered by a server's error": (faults.ERROR, "batch:SubmitJob", {}),
    "SubmitJob throttled": (faults.THROTTLE, "batch:SubmitJob", {"times": 2}),
    "SubmitJob slow": (faults.SLOW, "batch:SubmitJob", {"delay_s": 1}),
    "a bucket that answers slowly": (faults.SLOW, "s3:*", {"delay_s": 1, "times": 3}),
    "a registry that answers slowly": (faults.SLOW, "ecr:*", {"delay_s": 1, "times": 3}),
    "a registry that throttles": (faults.THROTTLE, "ecr:blob P*", {"times": 2}),
    "a manifest's PUT cut before it took effect": (faults.CUT_BEFORE, "ecr:PutImage", {}),
    "blobs cut after they took effect": (faults.CUT_AFTER, "ecr:blob P*", {"times": 3}),
    "a job that DescribeJobs does not know yet": (faults.UNSEEN, "*", {"times": 6}),
    "DescribeJobs cut": (faults.CUT_AFTER, "batch:DescribeJobs", {"times": 2}),
    "DescribeJobs answered by a server's error": (faults.ERROR, "batch:DescribeJobs", {"times": 3}),
    "RegisterJobDefinition cut after it took effect": (faults.CUT_AFTER, "batch:RegisterJobDefinition", {}),
    "a manifest's PUT cut after it took effect": (faults.CUT_AFTER, "ecr:PutImage", {}),
    "a manifest's PUT answered by a server's error": (faults.ERROR, "ecr:PutImage", {}),
    "blobs cut before they took effect": (faults.CUT_BEFORE, "ecr:blob*", {"times": 3}),
    "a result's GET broken off": (faults.CUT_AMID, "s3:GetObject", {"times": 2}),
    "the runner's PUT cut after it took effect": (faults.CUT_AFTER, "s3:PutObject", {}),
    "the runner's PUT cut before it took effect": (faults.CUT_BEFORE, "s3:PutObject", {}),
}


@pytest.mark.parametrize("name", RIDDEN_OUT)
async def test_what_breaks_once_is_ridden_out_and_one_job_runs(world: World, tmp_path: Path, name: str) -> None:
    kind, of, told = RIDDEN_OUT[name]
    before, settings = world.sent(), world.settings(delete_definitions=False)
    world.aws.fault(kind, of=of, **told)
    assert await world.value(settings, count, str(tmp_path / "ran"), "big") == "x" * 400_000
    assert len(world.sent().jobs - before.jobs) == 1
    assert len(world.sent().definitions - before.definitions) == 1
    assert (tmp_path / "ran").read_bytes() == b"1"


@pytest.mark.parametrize(("kind", "looks"), [(faults.CUT_BEFORE, 0), (faults.CUT_AFTER, 0), (faults.CUT_AFTER, 2)])
async def test_a_job_of_the_same_name_that_failed_is_not_taken_for_the_new_one(
    world: World, tmp_path: Path, kind: str, looks: int
) -> None:
    """A user's second try, minutes after the first. DescribeJobs may not know the new job at its first looks."""
    settings, same = world.settings(), f"same-{kind}-{looks}"
    with pytest.raises(errors.Raised):
        await world.value_staged(settings, world.stage(raise_once, str(tmp_path / "ran"), dispatch_id=same))
    before = world.sent().jobs
    world.aws.fault(kind, of="batch:SubmitJob")
    if looks:
        world.aws.fault(faults.UNSEEN, of=f"covalent-{same}-0", times=looks)
    second = world.stage(raise_once, str(tmp_path / "ran"), dispatch_id=same)
    assert await world.value_staged(settings, second) == "done"
    assert len(world.sent().jobs - before) == 1


async def test_an_array_whose_submission_was_lost_runs_once(world: World, tmp_path: Path) -> None:
    world.aws.fault(faults.CUT_AFTER, of="batch:SubmitJob", times=2)
    before = world.sent().jobs
    runs = [world.value(world.settings(), count, str(tmp_path / f"ran-{at}"), "return") for at in range(6)]
    assert await asyncio.gather(*runs) == ["done"] * 6
    assert Counter(path.read_bytes() for path in tmp_path.glob("ran-*")) == {b"1": 6}
    assert len(world.sent().jobs - before) <= 2  # a lone first one, and an array


async def test_a_throttle_storm_is_ridden_out(world: World, tmp_path: Path) -> None:
    world.aws.storm(5)
    runs = [world.value(world.settings(), count, str(tmp_path / f"ran-{at}"), "return") for at in range(8)]
    assert await asyncio.gather(*runs) == ["done"] * 8
    assert Counter(path.read_bytes() for path in tmp_path.glob("ran-*")) == {b"1": 8}


async def test_credentials_that_expire_while_a_job_runs_are_read_again(world: World, tmp_path: Path) -> None:
    path, first = world.another_profile()
    credentials = Path(path)
    settings = world.settings(credentials=str(credentials))
    running = asyncio.create_task(world.value(settings, count, str(tmp_path / "ran"), "slow"))
    while not (tmp_path / "ran").exists():
        await asyncio.sleep(0.05)
    credentials.write_text(Path(world.another_profile()[0]).read_text())
    world.aws.fault(faults.EXPIRED, who=first, times=None)
    assert await running == "done"


@pytest.mark.parametrize("of", ["s3:HeadBucket", "s3:HeadObject", "s3:PutObject", "s3:GetObject", "batch:SubmitJob"])
async def test_credentials_that_expire_at_any_call_are_read_again(world: World, tmp_path: Path, of: str) -> None:
    """S3 has no words for a HEAD; and what uploads and reads whole objects asks in ways of its own."""
    path, first = world.another_profile()
    credentials = Path(path)
    settings = world.settings(credentials=str(credentials), max_baked_mib=0)
    async with connect(settings) as client:
        await client.services.identity()  # whose keys are in use from here on
        credentials.write_text(Path(world.another_profile()[0]).read_text())
        world.aws.fault(faults.EXPIRED, of=of, who=first, times=None)
        assert await world.value(settings, count, str(tmp_path / "ran"), "big") == "x" * 400_000
    assert (tmp_path / "ran").read_bytes() == b"1"


async def test_credentials_that_stay_expired_are_told(world: World, tmp_path: Path) -> None:
    credentials, old = world.another_profile()
    settings = world.settings(credentials=credentials)
    world.aws.fault(faults.EXPIRED, who=old, times=None)
    with pytest.raises(errors.NotAuthenticated) as caught:
        await world.value(settings, count, str(tmp_path / "ran"), "return")
    assert "ExpiredToken" in caught.value.text()


async def test_a_submission_that_never_gets_an_answer_leaves_no_job(world: World, tmp_path: Path) -> None:
    """Not even the last try's, whose effect nobody could have seen but by looking."""
    world.aws.fault(faults.CUT_AFTER, of="batch:SubmitJob")
    assert await world.value(world.settings(outage_patience=0), count, str(tmp_path / "ran"), "return") == "done"
    assert (tmp_path / "ran").read_bytes() == b"1"
