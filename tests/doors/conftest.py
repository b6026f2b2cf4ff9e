# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The two doors to the offline AWS: Covalent's executor and BatchPool."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import covalent as ct
import pytest

from covalent_awsbatch_plugin import BatchPool
from covalent_awsbatch_plugin.aws.session import close_shared
from covalent_awsbatch_plugin.local import LocalAWS
from tests.tasks.small_world import World

Function = Callable[..., Any]
_numbers = itertools.count()


class Door:
    """A way to run calls. `start` returns an awaitable of the value for each; `end` ends a call that runs."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    async def start(
        self, calls: Sequence[tuple[Function, tuple[Any, ...]]], **settings: Any
    ) -> list[asyncio.Future[Any]]:
        raise NotImplementedError

    async def end(self, call: asyncio.Future[Any]) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Wait until everything has been cleaned up."""
        raise NotImplementedError

    async def value(self, function: Function, *args: Any, **settings: Any) -> Any:
        (call,) = await self.start([(function, args)], **settings)
        return await call


class ExecutorDoor(Door):
    """Electrons' functions, as Covalent calls its executor."""

    async def start(
        self, calls: Sequence[tuple[Function, tuple[Any, ...]]], **settings: Any
    ) -> list[asyncio.Future[Any]]:
        executor = ct.executor.AWSBatchExecutor(**{**self._settings, **settings})
        dispatch = f"door-{next(_numbers)}"
        return [
            asyncio.ensure_future(executor.run(function, list(args), {}, {"dispatch_id": dispatch, "node_id": 10 * at}))
            for at, (function, args) in enumerate(calls)
        ]

    async def end(self, call: asyncio.Future[Any]) -> None:
        call.cancel()

    async def close(self) -> None:
        await close_shared()


class PoolDoor(Door):
    """Calls of a BatchPool, one for each set of settings."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self._pools: list[BatchPool] = []
        self._futures: dict[asyncio.Future[Any], Any] = {}

    async def start(
        self, calls: Sequence[tuple[Function, tuple[Any, ...]]], **settings: Any
    ) -> list[asyncio.Future[Any]]:
        pool = BatchPool(**{**self._settings, **settings})
        self._pools.append(pool)
        started = [pool.submit(function, *args) for function, args in calls]
        waited = [asyncio.ensure_future(asyncio.to_thread(future.result)) for future in started]
        self._futures |= {each: (pool, future) for each, future in zip(waited, started, strict=True)}
        return waited

    async def end(self, call: asyncio.Future[Any]) -> None:
        pool, future = self._futures[call]
        await asyncio.to_thread(pool.cancel, future)

    async def close(self) -> None:
        for pool in self._pools:
            await asyncio.to_thread(pool.shutdown)


@pytest.fixture
def world(offline_aws: LocalAWS, tmp_path: Path) -> World:
    return World(offline_aws, tmp_path)


@pytest.fixture(params=[ExecutorDoor, PoolDoor], ids=["executor", "pool"])
async def door(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Door]:
    settings = {**world.aws.section(), "poll_freq": 0.2, "array_linger": 0.5, "cache_dir": str(world.folder)}
    opened: Door = request.param(settings)
    yield opened
    await opened.close()
