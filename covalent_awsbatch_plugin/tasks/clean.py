# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Takes away what tasks left at AWS and no living job needs: found by tag and prefix, so nobody else's is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ..images.builders.registry_builder import OF_ENVIRONMENT, OF_TASKS
from ..jobs import names
from ..runner.protocol import layout
from ..settings import Settings
from .leftovers import Leftover, Leftovers
from .services import Services

TASK_TAG = re.compile(rf"({OF_TASKS}|{OF_ENVIRONMENT})-[0-9a-f]{{16}}")  # as the builders tag what they push


@dataclass(frozen=True)
class Findings:
    """What may go, by kind."""

    images: list[Leftover]
    objects: list[Leftover]
    definitions: list[Leftover]

    @property
    def empty(self) -> bool:
        return not (self.images or self.objects or self.definitions)


async def find(services: Services, settings: Settings, before: datetime) -> Findings:
    """What was there before that time; definitions have no age, so those of living jobs alone are kept."""
    look = Leftovers(services.aws)
    living = await services.batch.live_jobs(settings.batch_queue, names.JOB_NAME_BEGINS)
    needed = {str((job.get("container") or {}).get("image", "")).rpartition("@")[2] for job in living}
    defined = {str(job.get("jobDefinition", "")) for job in living}
    dispatches = {(job.get("tags") or {}).get(names.TAG_DISPATCH, "") for job in living} - {""}
    images = [i for i in await look.images(settings.ecr_repo_name) if TASK_TAG.fullmatch(i.label)]
    objects = await look.objects(settings.s3_bucket_name, f"{layout.S3_ROOT}/")
    return Findings(
        images=[image for image in _before(images, before) if image.name not in needed],
        objects=[item for item in _before(objects, before) if not _is_living(item.name, dispatches)],
        definitions=[
            left
            for left, tags in await look.definitions()
            if tags.get(names.TAG_PLUGIN) == "awsbatch"
            and re.fullmatch(rf"{re.escape(settings.batch_job_definition_name)}-[0-9a-f]{{16}}", left.label)
            and left.name not in defined
        ],
    )


async def remove(services: Services, settings: Settings, found: Findings) -> None:
    """Deletes what was found; what is gone by then is fine."""
    identity = await services.identity()
    for definition in found.definitions:
        await services.backend.deregister(definition.name)
    await services.ecr.delete_images(settings.ecr_repo_name, [image.name for image in found.images])
    store = services.store(settings.s3_bucket_name, identity.account)
    await store.delete([item.name for item in found.objects])


def _before(left: Iterable[Leftover], before: datetime) -> list[Leftover]:
    return [each for each in left if each.since is None or each.since < before]


def _is_living(key: str, dispatches: set[str]) -> bool:
    """Results and big arguments of a dispatch that still runs; arguments are named by content, so all of them."""
    if key.startswith(layout.object_key("")):
        return bool(dispatches)
    return any(key.startswith(f"{layout.results_prefix(dispatch, 0).rpartition('/')[0]}/") for dispatch in dispatches)
