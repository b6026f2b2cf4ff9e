# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One offline AWS for all tests of this folder, and executors under Lithops' names that lead to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.lithops_compat import FunctionExecutor
from covalent_awsbatch_plugin.local import LocalAWS
from tests.tasks.small_world import World

Executors = Callable[..., FunctionExecutor]


@pytest.fixture(scope="session")
def offline_aws() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="process", slots=4, grace_s=1)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.fixture
def world(offline_aws: LocalAWS, tmp_path: Path) -> World:
    return World(offline_aws, tmp_path)


@pytest.fixture
def settings(world: World) -> dict[str, Any]:
    """The settings of an executor on the offline AWS."""
    steady = {"environment": "", "cache_dir": str(world.folder)}  # the tests' functions travel by value
    return {**world.aws.section(), **steady, "poll_freq": 0.2, "array_linger": 0.3}


@pytest.fixture
def executor(settings: dict[str, Any]) -> Iterator[Executors]:
    """Makes executors, which are left at the end of the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(FunctionExecutor(**{**settings, **options}))
