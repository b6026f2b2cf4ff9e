# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An index of its own for every test, caches that are nobody's, and for a module of tests one offline AWS."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.dependencies.package_layers import Environments
from covalent_awsbatch_plugin.dependencies.store import LayerStore
from covalent_awsbatch_plugin.local import LocalAWS
from tests.dependencies.index import Index, serving
from tests.tasks.small_world import World


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving() as opened:
        monkeypatch.setenv("UV_DEFAULT_INDEX", opened.url())
        yield opened


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(LayerStore(tmp_path / "store"))


@pytest.fixture(scope="module")
def offline_aws() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="process", slots=2, grace_s=1)
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


@pytest.fixture
async def world(offline_aws: LocalAWS, tmp_path: Path, index: Index) -> AsyncIterator[World]:
    yield World(offline_aws, tmp_path)
    await close_shared()
