# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One offline AWS for all tests of this folder; each test closes what it shared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from tests.tasks.gate import Gate
from tests.tasks.small_world import World


@pytest.fixture
async def world(offline_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    yield World(offline_aws, tmp_path)
    await close_shared()


@pytest.fixture
async def gate(offline_aws: LocalAWS) -> AsyncIterator[Gate]:
    """In front of the offline AWS; `world.profile(endpoint_url=gate.url)` leads to it."""
    async with Gate(offline_aws.endpoint_url).open() as opened:
        yield opened
        await close_shared()  # while there is still somebody to answer
