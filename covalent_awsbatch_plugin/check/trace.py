# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The traces of a run at AWS, listed and removed by requests of their own: the package's clean-up is what is judged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..aws.ecr import registry_of
from ..aws.s3 import Store
from ..aws.session import AWS
from ..iam import ecr_repository
from ..jobs.definition import JOB_NAME_BEGINS
from ..jobs.description import ENDED
from ..runner.protocol import layout
from ..settings import Settings
from ..tasks.job_handle import JobHandle
from ..tasks.services import Services


@dataclass
class Remains:
    """The traces that AWS still has: jobs that have not ended, images, job definitions, objects."""

    jobs: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    definitions: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)

    @property
    def left(self) -> list[str]:
        """One text for each of them."""
        kinds = (("job", self.jobs), ("image", self.images), ("job definition", self.definitions))
        return [f"{kind} {name}" for kind, names in (*kinds, ("object", self.objects)) for name in names]


@dataclass
class Traces:
    """What a run has sent, by its id and its handles; `shared` are images that other tasks use as well."""

    run: str
    jobs: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    objects: set[str] = field(default_factory=set)

    def note(self, handle: JobHandle, objects: Sequence[str], *, shared_image: bool) -> None:
        """Note what a submitted task needs at AWS."""
        self.jobs.add(handle.job_id)
        (self.shared if shared_image else self.images).add(handle.image.rpartition("@")[2])
        self.objects.update(objects)

    def to_json(self) -> dict[str, list[str]]:
        """Return the traces as JSON, without the run's id."""
        return {name: sorted(value) for name, value in vars(self).items() if isinstance(value, set)}

    @classmethod
    def from_json(cls, run: str, body: Any) -> Traces:
        """Return the traces of `to_json`."""
        return cls(run, **{name: set(body.get(name, ())) for name in cls(run).to_json()})

    @property
    def dispatches(self) -> str:
        """The beginning of the dispatch ids of the run's tasks."""
        return f"check-{self.run}-"

    async def remains(self, aws: AWS, store: Store, settings: Settings) -> Remains:
        """List what is left of the run. Raises a ServiceError."""
        return Remains(
            await self._live_jobs(aws, settings),
            await self._images(aws, settings),
            await self._definitions(aws, settings),
            await self._objects(store),
        )

    async def _live_jobs(self, aws: AWS, settings: Settings) -> list[str]:
        names = [{"name": "JOB_NAME", "values": [f"{JOB_NAME_BEGINS}{self.dispatches}*"]}]
        of, queue = f"job queue `{settings.batch_queue}`", settings.batch_queue
        jobs = aws.items("batch", "ListJobs", "jobSummaryList", of=of, jobQueue=queue, filters=names)
        return [str(job["jobId"]) async for job in jobs if job["status"] not in ENDED]

    async def _images(self, aws: AWS, settings: Settings) -> list[str]:
        repository = settings.ecr_repo_name
        place: dict[str, Any] = registry_of(repository) | {"repositoryName": ecr_repository(repository)[2]}
        of = f"ECR repository `{repository}`"
        images = aws.items("ecr", "DescribeImages", "imageDetails", of=of, **place)
        return [str(image["imageDigest"]) async for image in images if image["imageDigest"] in self.images]

    async def _definitions(self, aws: AWS, settings: Settings) -> list[str]:
        own = re.compile(rf"{re.escape(settings.batch_job_definition_name)}-[0-9a-f]{{16}}")
        of = "the job definitions"
        return [
            str(each["jobDefinitionArn"])
            async for each in aws.items("batch", "DescribeJobDefinitions", "jobDefinitions", of=of, status="ACTIVE")
            if own.fullmatch(each["jobDefinitionName"])
        ]

    async def _objects(self, store: Store) -> list[str]:
        keys = [str(each["Key"]) async for each in store.objects(f"{layout.S3_ROOT}/results/{self.dispatches}")]
        return [*keys, *[key for key in sorted(self.objects) if await store.has(key)]]

    async def remove(self, services: Services, settings: Settings, store: Store) -> None:
        """End and delete what is left of the run. Raises a ServiceError."""
        remains = await self.remains(services.aws, store, settings)
        for job in remains.jobs:
            await services.backend.terminate(job, "The check that started it has ended")
        for definition in remains.definitions:
            await services.backend.deregister(definition)
        if remains.images:
            await services.ecr.delete_images(settings.ecr_repo_name, remains.images)
        if remains.objects:
            await store.delete(remains.objects)
