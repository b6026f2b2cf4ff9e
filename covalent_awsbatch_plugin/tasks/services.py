# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The services of one AWS connection that tasks share: API clients, watcher, image builders, resolved resources."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from ..aws.ecr import ECR
from ..aws.endpoints import s3_url
from ..aws.identity import Account, Identity
from ..aws.logs import Logs
from ..aws.s3 import Store
from ..aws.session import AWS
from ..core.concurrency import Once, SideBySide
from ..images.builders import Builder, Repository, builder
from ..images.layer import Layer, layer
from ..images.runner_layer import runner_files
from ..jobs.api import Batch
from ..jobs.backend import Backend
from ..jobs.definition import JobPlacement
from ..jobs.watcher import Watcher
from ..settings import Settings
from .cache_folder import cache_folder
from .event_log import EventLog
from .events import events_folder
from .ledger import Ledger
from .result_secret import result_secret

THREADS = 4  # for hashing and compressing, of which two cores can do no more at once
BUILD_THREADS = 16  # for work of minutes, most of which is waiting for a package index
RESOURCES_SECONDS = 300  # how long an answer about queue, roles, bucket and repository is believed
DEFAULT_BASE = "public.ecr.aws/docker/library/python:{minor}-slim"  # Docker's official image, where nobody counts pulls

T = TypeVar("T")


def base_image(settings: Settings, python: str) -> str:
    """Return the name of the image to build upon for code that Python version `python` pickled."""
    return settings.container_image_uri or DEFAULT_BASE.format(minor=".".join(python.split(".")[:2]))


@dataclass(frozen=True)
class ResolvedResources:
    """The AWS resources that the settings name, found and reachable."""

    placement: JobPlacement
    repository: Repository
    store: Store
    bucket_region: str
    s3_url: str  # in the bucket's Region


class Services:
    """The API clients of one connection and event loop, and the answers that all its tasks share.

    `clock` returns seconds and is an argument for tests.
    """

    def __init__(self, aws: AWS, clock: Callable[[], float] = time.monotonic) -> None:
        self.aws = aws
        self.account = Account(aws)
        self.batch = Batch(aws)
        self.backend: Backend = self.batch  # where jobs run
        self.ecr = ECR(aws)
        self.ledger = Ledger()
        self.events = EventLog(events_folder())
        self.watcher = Watcher(self.backend, outage_patience=aws.connection.outage_patience)
        self._clock = clock
        self._cache: dict[Hashable, tuple[float, Any]] = {}  # time until which a value is valid, and the value
        self._stores: dict[tuple[str, str], Store] = {}
        self.once: Once[Any] = Once()  # work that many tasks want at the same time is done once
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="awsbatch")
        self._build_threads = ThreadPoolExecutor(BUILD_THREADS, thread_name_prefix="awsbatch-build")
        aws.on_close(self._aclose)

    async def _aclose(self) -> None:
        await self.watcher.aclose()
        for threads in (self._threads, self._build_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        self.events.close()

    async def in_thread(self, work: Callable[..., T], *args: object) -> T:
        """Run blocking work on this package's own threads: the loop's default threads belong to Covalent."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def in_build_thread(self, work: Callable[..., T], *args: object) -> T:
        """Run work that may take minutes, such as downloads, on threads of its own: no send or result waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._build_threads, work, *args)

    def in_background(self, work: Callable[..., object], *args: object) -> None:
        """Run blocking work that nothing waits for; the work has to handle its own errors."""
        self._build_threads.submit(work, *args)

    def store(self, bucket: str, account: str) -> Store:
        """Return the one Store of a bucket that belongs to the account."""
        return self._stores.setdefault((bucket, account), Store(self.aws, bucket, account))

    async def resources(self, settings: Settings) -> ResolvedResources:
        """Resolve bucket, repository, queue, roles and log group. Raises one error that lists everything wrong."""
        key = settings.model_dump_json(
            include={
                "s3_bucket_name", "ecr_repo_name", "batch_queue", "batch_execution_role_name", "batch_job_role_name",
                "batch_job_log_group_name",
            }
        )  # fmt: skip
        return await self.cached((key, self.aws.generation), lambda: self._find(settings))

    async def builder(self, settings: Settings) -> Builder:
        """Return the builder that the settings name, opened once with the cache folder of the first task."""

        async def open_builder() -> Builder:
            folder = await self.in_thread(cache_folder, settings.cache_dir)
            ca_bundle, patience = self.aws.variable("ca_bundle") or "", self.aws.connection.outage_patience
            return await self.aws.keep(builder(settings.builder, folder, ca_bundle, patience))

        return await self.cached(("builder", settings.builder), open_builder, seconds=float("inf"))

    async def runner_layer(self, platform: str, cache_dir: str) -> Layer:
        """Return the layer of the runner, which is the same for all tasks of a platform."""

        async def make_layer() -> Layer:
            # for another platform than this machine's it downloads a wheel
            return await self.in_build_thread(lambda: layer(runner_files(platform, cache_folder(cache_dir)), "runner"))

        return await self.cached(("runner", platform), make_layer, seconds=float("inf"))

    async def result_secret(self) -> bytes:
        """Return the secret of this installation, read once. Raises StagingError."""
        return await self.cached("result secret", lambda: self.in_thread(result_secret), seconds=float("inf"))

    async def identity(self) -> Identity:
        """Return the caller's identity at AWS, asked once for the same credentials."""
        key = "identity", self.aws.generation
        return await self.cached(key, self.account.identity, seconds=float("inf"))

    async def here(self) -> tuple[str, str]:
        """Return the Region and the account of this connection."""
        return await self.aws.region(), (await self.identity()).account

    async def _find(self, settings: Settings) -> ResolvedResources:
        who = await self.identity()
        store = self.store(settings.s3_bucket_name, who.account)
        execution, job = settings.batch_execution_role_name, settings.batch_job_role_name
        async with SideBySide() as look:
            look.at(store.check())
            repository = look.at(self.ecr.repository(settings.ecr_repo_name))
            queue = look.at(self.batch.queue(settings.batch_queue))
            execution_arn = look.at(self.account.role_arn(execution, "batch_execution_role_name", who))
            job_arn = look.at(self.account.role_arn(job, "batch_job_role_name", who))
            look.at(Logs(self.aws, settings.batch_job_log_group_name).check())
        placement = JobPlacement(
            account=who.account,
            region=await self.aws.region(),
            queue_arn=queue.result().arn,
            fargate=queue.result().fargate,
            platform=queue.result().platform,
            fair_share=queue.result().fair_share,
            machines=queue.result().machines,
            execution_role_arn=execution_arn.result(),
            job_role_arn=job_arn.result(),
        )
        bucket_region = await store.region()
        url = s3_url(bucket_region, self.aws)
        return ResolvedResources(placement, repository.result(), store, bucket_region, url)

    async def cached(
        self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]], seconds: float = RESOURCES_SECONDS
    ) -> T:
        """Return what `make` returned within the last `seconds`. One task makes the value and all others wait for it.

        A failure is not remembered.
        """
        until, value = self._cache.get(key, (float("-inf"), None))
        if until <= self._clock():
            value = await self.once(key, make)
            now = self._clock()
            self._cache = {name: entry for name, entry in self._cache.items() if entry[0] > now}
            self._cache[key] = (now + seconds, value)
        return cast(T, value)
