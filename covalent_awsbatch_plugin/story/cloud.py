# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What all tasks of one connection share: clients, the watcher, builders, and the places that settings name."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from ..hands.aws.account import Account, Identity
from ..hands.aws.batch import Batch
from ..hands.aws.ecr import ECR
from ..hands.aws.logs import Logs
from ..hands.aws.session import AWS, Connection, shared
from ..hands.aws.store import Store
from ..hands.cache_folder import cache_folder
from ..hands.image.builders import Builder, Repository, builder
from ..hands.image.runner_layer import runner_files
from ..hands.ledger import Ledger
from ..hands.once import Once
from ..thought.image.layers import Layer, layer
from ..thought.job.jobs import Place
from ..thought.settings import Settings
from .side_by_side import SideBySide
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
        self.ledger = Ledger()
        self.watcher = Watcher(self.batch)
        self._clock = clock
        self._tenants: dict[Any, Any] = {}
        self._known: dict[Hashable, tuple[float, Any]] = {}  # until when it is believed, and what it is
        self.once: Once[Any] = Once()  # what many tasks want at the same time is done once
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="awsbatch")
        aws.on_close(self._aclose)

    async def _aclose(self) -> None:
        await self.watcher.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, work: Callable[..., T], *args: object) -> T:
        """Runs blocking work on this package's own threads: the loop's default ones belong to Covalent."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def in_background(self, work: Callable[..., object], *args: object) -> None:
        """The same, for what nobody waits for; it has to deal with its errors itself."""
        self._threads.submit(work, *args)

    def tenant(self, make: Callable[[Cloud], T]) -> T:
        """What `make` made of this Cloud when first asked."""
        if make not in self._tenants:
            self._tenants[make] = make(self)
        return cast(T, self._tenants[make])

    async def site(self, settings: Settings) -> Site:
        """Bucket, repository, queue, roles and log group. Raises one error that tells of all that is wrong."""
        key = settings.model_dump_json(
            include={
                "s3_bucket_name", "ecr_repo_name", "batch_queue", "batch_execution_role_name", "batch_job_role_name",
                "batch_job_log_group_name",
            }
        )  # fmt: skip
        return await self.cached(key, lambda: self._find(settings))

    async def builder(self, settings: Settings) -> Builder:
        """The builder that the settings name, opened once: with the cache folder of whoever came first."""

        async def opened() -> Builder:
            folder = await self.in_thread(cache_folder, settings.cache_dir)
            return await self.aws.keep(builder(settings.builder, folder))

        return await self.cached(("builder", settings.builder), opened, seconds=float("inf"))

    async def runner_layer(self, platform: str, cache_dir: str) -> Layer:
        """The layer with what runs tasks, the same for all tasks of a platform."""

        async def made() -> Layer:
            return await self.in_thread(lambda: layer(runner_files(platform, cache_folder(cache_dir)), "runner"))

        return await self.cached(("runner", platform), made, seconds=float("inf"))

    async def identity(self) -> Identity:
        """Who we are at AWS, asked once."""
        return await self.cached("identity", self.account.identity, seconds=float("inf"))

    async def here(self) -> tuple[str, str]:
        """The Region and the account of this connection, whatever the settings name there."""
        return await self.aws.region(), (await self.identity()).account

    async def _find(self, settings: Settings) -> Site:
        who = await self.identity()
        store = Store(self.aws, settings.s3_bucket_name, who.account)
        execution, job = settings.batch_execution_role_name, settings.batch_job_role_name
        async with SideBySide() as look:
            look.at(store.check())
            repository = look.at(self.ecr.repository(settings.ecr_repo_name))
            queue = look.at(self.batch.queue(settings.batch_queue))
            execution_arn = look.at(self.account.role_arn(execution, "batch_execution_role_name", who))
            job_arn = look.at(self.account.role_arn(job, "batch_job_role_name", who))
            look.at(Logs(self.aws, settings.batch_job_log_group_name).check())
        place = Place(
            account=who.account,
            region=await self.aws.region(),
            queue_arn=queue.result().arn,
            fargate=queue.result().fargate,
            platform=queue.result().platform,
            execution_role_arn=execution_arn.result(),
            job_role_arn=job_arn.result(),
        )
        return Site(place, repository.result(), store)

    async def cached(
        self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]], seconds: float = SITE_SECONDS
    ) -> T:
        """What `make` gave within `seconds`: one task makes it and all wait for it; a failure is not remembered."""
        until, value = self._known.get(key, (float("-inf"), None))
        if until <= self._clock():
            value = await self.once(key, make)
            self._known[key] = (self._clock() + seconds, value)
        return cast(T, value)


@contextlib.asynccontextmanager
async def cloud(settings: Settings) -> AsyncIterator[Cloud]:
    """The Cloud of this event loop and these settings' connection."""
    async with shared(Connection(settings.credentials, settings.profile, settings.region)) as aws:
        yield aws.tenant(Cloud)
