# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A sample of the fault matrix: each operation and each fault once or more; `make soak` runs the whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.local import LocalAWS
from tests.faults.any_registry import ENGINE
from tests.faults.cell import DIES
from tests.faults.fault_proxy import FAULTS
from tests.faults.matrix import OPERATIONS, Place, groups, places, run_one, sample, seen_without_faults
from tests.recorded_traffic import OPERATIONS_FILE
from tests.tasks.small_world import World

SEED, TOGETHER, AT_ONCE = 1, 4, 4


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine=ENGINE, slots=8, grace_s=1, minute_s=4)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.fixture
def world(aws: LocalAWS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return World(aws, tmp_path)


def test_a_sample_has_each_operation_and_each_fault() -> None:
    chosen = sample(SEED)
    assert {place.operation for place in chosen} == set(OPERATIONS)
    assert {place.fault for place in chosen} == set(FAULTS)
    assert sorted(str(place) for part in groups(chosen, TOGETHER) for place in part) == sorted(map(str, chosen))
    assert set(chosen) < set(places())


# the names of recorded_operations.json for what the proxy calls by method and path
REGISTRY = {
    "registry:HeadManifest": "registry:HEAD manifest",
    "registry:GetManifest": "registry:GET manifest",
    "registry:PutManifest": "registry:PUT manifest",
    "registry:HeadBlob": "registry:HEAD blob",
    "registry:GetBlob": "registry:GET blob",
    "registry:MountBlob": "registry:POST mount",
    "registry:StartUpload": "registry:POST upload",
    "registry:FinishUpload": "registry:PUT upload",
}


def test_the_matrix_has_each_operation_that_the_conformance_suite_recorded() -> None:
    recorded = json.loads(OPERATIONS_FILE.read_text())
    sent = {REGISTRY.get(name, name) for names in recorded.values() for name in names}
    assert sent <= set(OPERATIONS), sorted(sent - set(OPERATIONS))


async def test_the_matrix_has_exactly_the_operations_that_are_sent(world: World) -> None:
    slow = {name for name, scenario in OPERATIONS.items() if scenario == DIES}
    assert await seen_without_faults(world) - slow == set(OPERATIONS) - slow


async def test_tasks_under_a_sample_of_faults_are_not_lost_not_double_and_leave_nothing(world: World) -> None:
    slots = asyncio.Semaphore(AT_ONCE)

    async def wrong(together: list[Place]) -> list[str]:
        async with slots:
            return [f"{', '.join(map(str, together))}: {each}" for each in (await run_one(world, together)).wrong]

    results = await asyncio.gather(*map(wrong, groups(sample(SEED), TOGETHER)))
    assert [each for result in results for each in result] == []
