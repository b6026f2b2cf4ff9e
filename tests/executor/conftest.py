# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What the tests of the door share: Covalent's config section, an offline AWS, a fresh Python."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import covalent as ct
import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def section() -> Iterator[Callable[..., None]]:
    """Sets keys of `[executors.awsbatch]` in this process's Covalent config, for one test."""
    changed: set[str] = set()

    def change(**keys: Any) -> None:
        changed.update(keys)
        ct.set_config({f"executors.awsbatch.{name}": value for name, value in keys.items()})

    yield change
    change(**dict.fromkeys(changed))


@pytest.fixture(scope="session")
def offline_aws() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="process", grace_s=1)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.fixture
async def executor(offline_aws: LocalAWS, tmp_path: Path) -> AsyncIterator[Any]:
    """One that leads to the offline AWS by its own attributes."""
    yield ct.executor.AWSBatchExecutor(**offline_aws.section() | {"cache_dir": str(tmp_path), "poll_freq": 0.1})
    await close_shared()


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., str]:
    """Runs code in a Python of its own with a home of its own, and gives what it printed; it may print no warning."""

    def run(code: str, *path: Path, stderr: str = "") -> str:
        search = os.pathsep.join(map(str, (*path, ROOT)))
        environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": search, "LOGLEVEL": "warning"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, stderr), done.stdout + done.stderr
        return done.stdout

    return run
