# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The soak's short form. A seed that failed once stays here; `make soak` runs others, and long."""

from __future__ import annotations

import pytest

from covalent_awsbatch_plugin.local import LocalAWS
from tests.faults.soak import Soak
from tests.story.small_world import World


@pytest.mark.cloud
@pytest.mark.parametrize("seed", [1])
async def test_every_task_ends_with_its_right_outcome_whatever_goes_wrong(
    offline_aws: LocalAWS, world: World, seed: int
) -> None:
    assert await Soak(world, seed, tasks=24, seconds=4).run() == []


def test_a_seed_makes_the_same_plan_again() -> None:
    from tests.faults.soak import plans

    assert plans(5, 50, 10) == plans(5, 50, 10) != plans(6, 50, 10)
