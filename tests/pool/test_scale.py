# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The small form of `make scale`, in real containers: all values, and the number of requests that they cost."""

from __future__ import annotations

from collections import Counter
from typing import Any

from covalent_awsbatch_plugin import BatchPool
from tests.tasks.small_world import World

CALLS, EACH, AT_ONCE = 200, 20, 4
ONCE = ("ecr:PutImage", "batch:RegisterJobDefinition", "batch:SubmitJob")


def requests(world: World) -> Counter[str]:
    """The requests that the offline AWS counted, by operation."""
    counts = Counter[str]()
    for operations in world.aws.calls().values():
        counts.update({name: count for name, count in operations.items() if not name.startswith("bytes ")})
    return counts


def test_two_hundred_calls_in_ten_containers_cost_one_submission_and_few_requests(
    settings: dict[str, Any], world: World
) -> None:
    sharing = settings | {"tasks_per_job": EACH, "parallel_tasks": AT_ONCE}
    with BatchPool(**sharing) as pool:
        assert pool.submit(len, "the base image is there").result(timeout=60) > 0
    before = requests(world)
    with BatchPool(**sharing) as pool:
        assert list(pool.map(lambda x: x * 3 + 1, range(CALLS))) == [x * 3 + 1 for x in range(CALLS)]
    cost = requests(world) - before
    assert {name: cost[name] for name in ONCE} == dict.fromkeys(ONCE, 1)
    containers = CALLS // EACH
    assert containers <= cost["s3:PutObject"] <= cost["s3:GetObject"] + 5
    assert cost["s3:PutObject"] < CALLS / 4, "results are bundled"
