# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Tasks of one array: each is cancelled, retried, followed and told of as if it were alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.tasks.staging import value_of
from tests.tasks.electron import Electron, sent, together, until_ended
from tests.tasks.small_world import World, stdout_of
from tests.tasks.tasks import die, fail, shout, when_there, which_dispatch


async def test_tasks_with_other_resources_never_share_an_array(world: World) -> None:
    kinds = [world.settings(vcpu=vcpu, memory=memory) for vcpu, memory in ((1, 1), (2, 1), (1, 2))]
    electrons = [Electron(world, settings, shout, str(number)) for number in range(4) for settings in kinds]
    handles = await sent(electrons)
    jobs = [{each.job_id.partition(":")[0] for each in handles[kind::3]} for kind in range(3)]
    assert len(set.union(*jobs)) == sum(map(len, jobs)) < len(electrons)
    described = world.client("batch").describe_jobs(jobs=[each.pop() for each in jobs])["jobs"]
    asked = [{r["type"]: r["value"] for r in job["container"]["resourceRequirements"]} for job in described]
    assert {(each["VCPU"], each["MEMORY"]) for each in asked} == {("1", "1024"), ("2", "1024"), ("1", "2048")}
    results = await asyncio.gather(*(each.end() for each in electrons))
    assert [value_of(result) for result in results] == [str(number) for number in range(4) for _ in kinds]


async def test_tasks_of_two_dispatches_share_an_array_and_each_knows_its_own(world: World) -> None:
    settings = world.settings()
    electrons = await together(world, settings, [(lambda _: which_dispatch(), 0)] * 2)
    results = await asyncio.gather(*(each.end() for each in electrons))
    assert [value_of(result) for result in results] == [each.group.dispatch_id for each in electrons]


async def test_one_that_is_cancelled_one_that_dies_and_one_that_raises_are_nothing_to_the_fourth(
    world: World, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    tasks = [(when_there, str(tmp_path / "never")), (lambda _: die(), 0), (fail, "no"), (when_there, str(there))]
    cancelled, dead, raised, well = electrons = await together(world, world.settings(), tasks)
    ends = [asyncio.ensure_future(each.end()) for each in electrons]
    await asyncio.sleep(0)
    await cancelled.cancel()
    results = await asyncio.gather(*ends[:3])
    assert [type(each.error) for each in results] == [errors.Cancelled, errors.Killed, errors.Raised]
    assert stdout_of(results[1]).strip() == "dying"
    assert not ends[3].done()
    there.touch()
    assert value_of(await ends[3]) == "it is there"
    for each in (cancelled, dead, raised, well):
        await until_ended(world, each.handle.job_id)


@pytest.mark.parametrize("fault", ["host_lost", "spot"])
async def test_one_whose_host_is_lost_is_run_again_and_the_others_are_not(
    world: World, tmp_path: Path, fault: str
) -> None:
    there = tmp_path / "there"
    electrons = await together(world, world.settings(), [(when_there, str(there))] * 3)
    unlucky = electrons[1].handle.job_id
    await asyncio.to_thread(world.aws.fault, fault, f"*:{unlucky.partition(':')[2]}")
    there_soon = asyncio.get_running_loop().call_later(1, there.touch)
    results = await asyncio.gather(*(each.end() for each in electrons))
    there_soon.cancel()
    assert [value_of(result) for result in results] == ["it is there"] * 3
    for each in electrons:  # a result may be read before AWS Batch has noted the end of its attempt
        await until_ended(world, each.handle.job_id)
    described = world.client("batch").describe_jobs(jobs=[each.handle.job_id for each in electrons])["jobs"]
    attempts = {job["jobId"]: len(job["attempts"]) for job in described}
    assert attempts == {each.handle.job_id: 2 if each is electrons[1] else 1 for each in electrons}
