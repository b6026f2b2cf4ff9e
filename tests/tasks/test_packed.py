# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Several electrons packed into one job: each is told of by its own name."""

from __future__ import annotations

from pathlib import Path

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.local import faults
from covalent_awsbatch_plugin.tasks.client import connect
from covalent_awsbatch_plugin.tasks.inflight import Task
from covalent_awsbatch_plugin.tasks.results import NodeResult
from covalent_awsbatch_plugin.tasks.staged_group import StagedGroup
from tests.tasks.small_world import World
from tests.tasks.tasks import fail, shout


def packed(world: World, dispatch_id: str) -> StagedGroup:
    """A first electron that is well and a second that fails."""
    first = world.stage(shout, "well", dispatch_id=dispatch_id, node_id=0)
    second = world.stage(fail, "no", dispatch_id=dispatch_id, node_id=10)
    return StagedGroup(dispatch_id, 0, (*first.tasks, *second.tasks), first.inputs | second.inputs)


async def end_of(world: World, group: StagedGroup, into: Path) -> list[NodeResult]:
    settings = world.settings()
    async with connect(settings) as client:
        handle = await client.submit(settings, Task.of(group))
        ended = await client.wait(settings, handle)
        return await client.results(settings, ended, group.node_ids, into)


async def test_the_one_that_fails_is_named(world: World, tmp_path: Path) -> None:
    well, failed = await end_of(world, packed(world, "packed"), tmp_path)
    assert well.error is None
    assert failed.error and failed.error.happened.startswith("`fail` (Batch job ")


async def test_a_job_that_never_began_is_told_of_to_each_by_its_name(world: World, tmp_path: Path) -> None:
    world.aws.fault(faults.NOT_STARTED, of="covalent-unbegun-0", text=faults.ROLE, times=None)
    results = await end_of(world, packed(world, "unbegun"), tmp_path)
    assert [type(result.error) for result in results] == [errors.RoleNotAssumable] * 2
    names = [result.error.happened.partition(" ")[0] for result in results if result.error]
    assert names == ["`shout`", "`fail`"]
