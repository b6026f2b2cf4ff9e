# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The soak's short form. A seed that failed once stays here; `make soak` runs others, and long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.local import LocalAWS
from tests.faults.plan import DEEDS, LUCK, plans
from tests.faults.soak import Soak
from tests.tasks.small_world import World


@pytest.fixture(scope="module")
def containers() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="docker", slots=6, grace_s=2, minute_s=4)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.mark.cloud
@pytest.mark.parametrize("seed", [1])
async def test_every_task_ends_with_its_right_outcome_whatever_goes_wrong(
    offline_aws: LocalAWS, world: World, seed: int
) -> None:
    assert await Soak(world, seed, tasks=24, seconds=4).run() == []


@pytest.mark.cloud
@pytest.mark.parametrize("seed", [3])
async def test_so_does_every_task_of_a_client_that_is_killed_again_and_again(
    offline_aws: LocalAWS, world: World, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert await Soak(world, seed, tasks=20, seconds=4, clients=1).run() == []


@pytest.mark.engine
@pytest.mark.parametrize("seed", [4])
async def test_so_does_every_task_in_a_container(containers: LocalAWS, tmp_path: Path, seed: int) -> None:
    assert await Soak(World(containers, tmp_path), seed, tasks=24, seconds=4).run() == []


def test_a_seed_makes_the_same_plan_again() -> None:
    assert plans(5, 50, 10, 2) == plans(5, 50, 10, 2) != plans(6, 50, 10, 2)


def test_a_long_plan_has_every_deed_and_every_fault() -> None:
    whole = plans(7, 300, 60, 3)
    assert {plan.deed for plan in whole} == set(DEEDS) and {plan.luck for plan in whole} == set(LUCK)
    assert {plan.client for plan in whole} == {None, 0, 1, 2}
