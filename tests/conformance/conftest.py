# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The two worlds that each conformance test runs in, one after the other, and the record of what is sent there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.iam import dispatcher
from covalent_awsbatch_plugin.infra.stack_names import configured_names
from covalent_awsbatch_plugin.local.provision import ACCOUNT
from tests.conformance import ours, second
from tests.conformance.front import loop_in_a_thread
from tests.conformance.model_check import problems, unmodelled_reads
from tests.conformance.reads import noted
from tests.conformance.world import World
from tests.dependencies.conftest import index
from tests.infra.people import PULL_BASE
from tests.recorded_traffic import RECORD_OPERATIONS, Record, is_of_the_package, keep_operations, recorded_operations
from tests.tasks import small_world

__all__ = ["index"]


@pytest.fixture(scope="session")
def record() -> Record:
    return Record()


@pytest.fixture(scope="session", params=[ours.NAME, pytest.param(second.NAME, marks=pytest.mark.ministack)])
def aws(request: pytest.FixtureRequest, record: Record, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An AWS that is there until the last test that needs it, in a loop of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    opening = ours.ours(record) if request.param == ours.NAME else second.second(record, folder)
    with loop_in_a_thread() as loop:
        stack = AsyncExitStack()
        yield asyncio.run_coroutine_threadsafe(stack.enter_async_context(opening), loop).result()
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result()
    keep_operations(request.param, record)


@pytest.fixture
async def world(
    aws: World, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[small_world.World]:
    """A world whose settings are those of a user with exactly the dispatcher's policy; then its traffic is checked."""
    before = len(record.exchanges)
    opened = small_world.World(aws, tmp_path)  # type: ignore[arg-type] - has what it needs of a LocalAWS
    names = configured_names(opened.settings(), ACCOUNT, aws.region)
    opened.changed["credentials"] = aws.user([*dispatcher(names), PULL_BASE], tmp_path)
    with noted(monkeypatch) as reads:
        yield opened
        await close_shared()
    check_traffic(record, before)
    found = unmodelled_reads(reads)
    assert not found, "\n".join(found)


@pytest.fixture
def checked_apart_from_terraforms(record: Record) -> Iterator[None]:
    """The package's own requests are checked; Terraform's are another program's, and `infra` is not in the matrix."""
    before = len(record.exchanges)
    yield
    found = problems(each for each in record.exchanges[before:] if is_of_the_package(each.request))
    del record.exchanges[before:]
    assert not found, "\n".join(found)


@pytest.fixture
def checked(record: Record) -> Iterator[None]:
    """The traffic of a test whose requests other processes send is checked too."""
    before = len(record.exchanges)
    yield
    check_traffic(record, before)


def check_traffic(record: Record, since: int) -> None:
    """Check each request since then against AWS's models, and that its operation stands in the recorded ones."""
    new = record.exchanges[since:]
    found = problems(new)
    assert not found, "\n".join(found)
    operations = {each.operation for each in new if is_of_the_package(each.request)}
    assert operations, "nothing was sent through the front"
    if not os.environ.get(RECORD_OPERATIONS):
        unknown = operations - set(recorded_operations())
        assert not unknown, f"recorded_operations.json lacks {sorted(unknown)}: `make record-operations`"
