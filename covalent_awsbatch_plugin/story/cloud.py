# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What all tasks of one connection share: clients, the watcher, builders, and the places that settings name."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from ..hands.account import Account
from ..hands.aws import AWS, Connection, shared
from ..hands.batch import Batch
from ..hands.builders import Builder, Repository, builder
from ..hands.ecr import ECR
from ..hands.runner_layer import runner_files
from ..hands.store import Store
from ..thought.jobs import Place
from ..thought.layers import Layer, layer
from ..thought.settings import Settings
from .watch import Watcher

THREADS = 4  # for hashing and compressing, of which two cores can do no more at once
SITE_SECONDS = 300  # how long an answer about queue, roles, bucket and repository is believed
DEFAULT_BASE = "public.ecr.aws/docker/library/python:{minor}-slim"  # Docker's official image, where nobody counts pulls

T = TypeVar("T")


def base_image(settings: Settings, python: str) -> str:
    """The image to build upon for code pickled by Python version `python`."""
    return settings.container_image_uri or DEFAULT_BASE.format(minor=".".join(python.split(".")[:2]))


@dataclass(frozen=True)
class Site:
    """The places that the settings name, found and reachable."""

    place: Place
    repository: Repository
    store: Store


class Cloud:
    """One connection's shared things. `clock` gives seconds, and is an argument for tests."""

    def __init__(self, aws: AWS, clock: Callable[[], float] = time.monotonic) -> None:
        self.aws = aws
        self.account = Account(aws)
        self.batch = Batch(aws)
        self.ecr = ECR(aws)
        self.watcher = Watcher(self.batch)
        self._clock = clock
        self._tenants: dict[Any, Any] = {}
        self._once: dict[object, tuple[float, asyncio.Task[Any]]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="awsbatch")
        aws.on_close(self._aclose)

    async def _aclose(self) -> None:
        await self.watcher.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, work: Callable[..., T], *args: object) -> T:
        """Runs blocking work on this package's own threads: the loop's default ones belong to Covalent."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def tenant(self, make: Callable[[Cloud], T]) -> T:
        """What `make` made of this Cloud when first asked."""
        if make not in self._tenants:
            self._tenants[make] = make(self)
        return cast(T, self._tenants[make])

    async def site(self, settings: Settings) -> Site:
        """Queue, roles, bucket and repository, all looked at side by side. Raises the first error there is."""
        key = settings.model_dump_json(
            include={
                "s3_bucket_name", "ecr_repo_name", "batch_queue", "batch_execution_role_name", "batch_job_role_name",
            }
        )  # fmt: skip
        return await self._cached(key, lambda: self._find(settings))

    async def builder(self, kind: str) -> Builder:
        """The builder of that name, opened once."""

        async def opened() -> Builder:
            return await self.aws.keep(builder(kind))

        return await self._cached(("builder", kind), opened, seconds=float("inf"))

    async def runner_layer(self, platform: str, cache_dir: str) -> Layer:
        """The layer with what runs tasks, the same for all tasks of a platform."""

        async def made() -> Layer:
            return await self.in_thread(lambda: layer(runner_files(platform, Path(cache_dir).expanduser()), "runner"))

        return await self._cached(("runner", platform), made, seconds=float("inf"))

    async def _find(self, settings: Settings) -> Site:
        identity = await self.account.identity()
        store = Store(self.aws, settings.s3_bucket_name, identity.account)
        queue, execution, job, repository, region, _ = await asyncio.gather(
            self.batch.queue(settings.batch_queue),
            self.account.role_arn(settings.batch_execution_role_name, "batch_execution_role_name", identity),
            self.account.role_arn(settings.batch_job_role_name, "batch_job_role_name", identity),
            self.ecr.repository(settings.ecr_repo_name),
            self.aws.region(),
            store.check(),
        )
        place = Place(identity.account, region, queue.arn, queue.fargate, execution, job)
        return Site(place, repository, store)

    async def _cached(
        self, key: object, make: Callable[[], Coroutine[Any, Any, T]], seconds: float = SITE_SECONDS
    ) -> T:
        """One task makes it and all wait for it; a failure is not remembered."""
        until, task = self._once.get(key, (0.0, None))
        if task is None or until < self._clock() or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.ensure_future(make())
            self._once[key] = (self._clock() + seconds, task)
        return await asyncio.shield(task)


@contextlib.asynccontextmanager
async def cloud(settings: Settings) -> AsyncIterator[Cloud]:
    """The Cloud of this event loop and these settings' connection."""
    async with shared(Connection(settings.credentials, settings.profile, settings.region)) as aws:
        yield aws.tenant(Cloud)
