# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The small forms of `make scale`, in real containers and without: all values, and the requests that they cost.

SOAK=1 runs 10,000 calls in one array instead of 300.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.cloud
def test_a_map_is_one_array_with_one_image_definition_and_submission() -> None:
    calls = 10_000 if os.environ.get("SOAK") else 300
    words = [sys.executable, "-m", "benchmarks.pool_scale", "--calls", str(calls)]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 wrong" in done.stdout and "PutImage 1, RegisterJobDefinition 1, SubmitJob 1" in done.stdout
