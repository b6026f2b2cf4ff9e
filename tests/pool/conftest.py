# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One offline AWS for all tests of this folder, and pools that lead to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.local import LocalAWS
from tests.tasks.small_world import World


@pytest.fixture
def world(offline_aws: LocalAWS, tmp_path: Path) -> World:
    return World(offline_aws, tmp_path)


@pytest.fixture
def settings(world: World) -> dict[str, Any]:
    """The arguments of a pool on the offline AWS."""
    return {**world.aws.section(), "poll_freq": 0.2, "array_linger": 0.3, "cache_dir": str(world.folder)}


@pytest.fixture
def pool(settings: dict[str, Any]) -> Iterator[BatchPool]:
    with BatchPool(**settings) as opened:
        yield opened
        opened.cancel()  # whatever a failed test left
