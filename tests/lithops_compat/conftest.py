# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Executors under Lithops' names that lead to the offline AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.lithops_compat import FunctionExecutor
from covalent_awsbatch_plugin.local import LocalAWS
from tests.tasks.small_world import World

Executors = Callable[..., FunctionExecutor]


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
