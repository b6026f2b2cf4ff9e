# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One offline AWS for all tests of this folder, and the command line as a person or a program starts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from tests.tasks.small_world import World


@pytest.fixture(scope="session")
def offline_aws() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="process", slots=4, grace_s=1)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.fixture
async def world(offline_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[World]:
    yield World(offline_aws, tmp_path)
    offline_aws.clear_faults()
    await close_shared()
