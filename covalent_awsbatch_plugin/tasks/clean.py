# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Removal of tasks' artifacts that no live job needs; tags and prefixes select them, so no others are touched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..images.builders.registry_builder import OF_ENVIRONMENT, OF_TASKS
from ..jobs import definition as jobs
from ..runner.protocol import layout
from ..settings import Settings
from .leftovers import Leftover, Leftovers
from .services import Services

TASK_TAG = re.compile(rf"({OF_TASKS}|{OF_ENVIRONMENT})-[0-9a-f]{{16}}")  # as the builders tag what they push


@dataclass(frozen=True)
class Findings:
    """The artifacts that may be removed, by kind."""

    images: list[Leftover]
    objects: list[Leftover]
    definitions: list[Leftover]

    @property
    def empty(self) -> bool:
        """True if there is nothing to remove."""
        return not (self.images or self.objects or self.definitions)


async def find(services: Services, settings: Settings, before: datetime) -> Findings:
    """Return the artifacts older than `before` that no live job needs; job definitions have no age."""
    leftovers = Leftovers(services.aws)
    live_jobs = await services.batch.live_jobs(settings.batch_queue, jobs.JOB_NAME_BEGINS)
    live_images = {str((job.get("container") or {}).get("image", "")).rpartition("@")[2] for job in live_jobs}
    live_definitions = {str(job.get("jobDefinition", "")) for job in live_jobs}
    uses_bucket = [job for job in live_jobs if _bucket_of(job) in ("", settings.s3_bucket_name)]
    dispatches = {(job.get("tags") or {}).get(jobs.TAG_DISPATCH, "") for job in uses_bucket} - {""}
    images = [i for i in await leftovers.images(settings.ecr_repo_name) if TASK_TAG.fullmatch(i.label)]
    store = services.store(settings.s3_bucket_name, (await services.identity()).account)
    objects = await leftovers.objects(store, f"{layout.S3_ROOT}/")
    return Findings(
        images=[image for image in _before(images, before) if image.name not in live_images],
        objects=[item for item in _before(objects, before) if not _is_live(item.name, dispatches)],
        definitions=[
            definition
            for definition, tags in await leftovers.definitions()
            if tags.get(jobs.TAG_PLUGIN) == "awsbatch"
            and re.fullmatch(rf"{re.escape(settings.batch_job_definition_name)}-[0-9a-f]{{16}}", definition.label)
            and definition.name not in live_definitions
        ],
    )


async def remove(services: Services, settings: Settings, findings: Findings) -> None:
    """Delete the artifacts; one that was deleted meanwhile is no error."""
    identity = await services.identity()
    for definition in findings.definitions:
        await services.backend.deregister(definition.name)
    await services.ecr.delete_images(settings.ecr_repo_name, [image.name for image in findings.images])
    store = services.store(settings.s3_bucket_name, identity.account)
    await store.delete([item.name for item in findings.objects])


def _before(leftovers: Iterable[Leftover], before: datetime) -> list[Leftover]:
    return [each for each in leftovers if each.since is None or each.since < before]


def _bucket_of(job: Mapping[str, Any]) -> str:
    """Return the bucket of a job's inputs and results, or "" where its record does not tell."""
    environment = (job.get("container") or {}).get("environment") or ()
    return next((str(each["value"]) for each in environment if each["name"] == layout.ENV_BUCKET), "")


def _is_live(key: str, dispatches: set[str]) -> bool:
    """Return whether a running dispatch may need an object: its results, and any argument, for keys name contents."""
    if key.startswith(layout.object_key("")):
        return bool(dispatches)
    return any(key.startswith(f"{jobs.results_prefix(dispatch, 0).rpartition('/')[0]}/") for dispatch in dispatches)
