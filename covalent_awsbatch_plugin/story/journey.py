# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One task group's way: pack, ship, submit, watch, collect, cancel."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..ground import layout
from ..hands.builder import Base, PushedImage
from ..hands.secret import result_key
from ..thought import jobs, naming
from ..thought.errors import AWSBatchError, Cancelled, PythonMismatch
from ..thought.layers import layer
from ..thought.settings import Settings
from .cloud import Cloud, Site, base_image
from .inflight import Ticket
from .packing import Package, StagedGroup, pack

log = logging.getLogger(__name__)

CLEAN_UP_SECONDS = 10  # how long a stopping server waits for us to end what we began
CANCEL_REASON = "Cancelled by the user of this Covalent workflow"
STOP_REASON = "The Covalent server that submitted this job was stopped"


@dataclass(frozen=True)
class JobHandle:
    """What finds a job and its result again, from any process of this user. Plain JSON, no secrets."""

    job_id: str
    name: str
    content: str
    bucket: str
    prefix: str
    image: str

    def to_json(self) -> dict[str, Any]:
        """For Covalent's jobs table."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Any) -> JobHandle | None:
        """None for what is no handle: Covalent hands over None, and an older version's may differ."""
        try:
            return cls(**body)
        except TypeError:
            return None


async def send(cloud: Cloud, settings: Settings, group: StagedGroup, ticket: Ticket) -> JobHandle:
    """Makes the image, registers it, submits. Raises Cancelled when the ticket says so; nothing runs then."""
    site, package = await asyncio.gather(
        cloud.site(settings),
        cloud.in_thread(pack, group, round(settings.max_baked_mib * 1024 * 1024), result_key),
    )
    _stop_if_cancelled(ticket)
    image = await _ship(cloud, settings, site, package)
    _stop_if_cancelled(ticket)
    definition = await cloud.batch.define(jobs.job_definition(settings, site.place, image.uri))
    _stop_if_cancelled(ticket)
    return await _submit(cloud, settings, site, group, package, image, definition, ticket)


async def _ship(cloud: Cloud, settings: Settings, site: Site, package: Package) -> PushedImage:
    """The image and what is too big for it, pushed side by side, once the base's Python is known to fit."""
    builder = await cloud.builder(settings.builder)
    name = base_image(settings, package.python)
    base, runner = await asyncio.gather(
        builder.resolve_base(name, settings.platform, site.repository),
        cloud.runner_layer(settings.platform, settings.cache_dir),
    )
    check_python(base, name, package)
    task = await cloud.in_thread(layer, package.files, "task")
    image, _ = await asyncio.gather(
        builder.push(base, [runner, task], site.repository),
        asyncio.gather(*(_upload(site, key, path) for key, path in package.uploads.items())),
    )
    return image


def check_python(base: Base, name: str, package: Package) -> None:
    """Raises PythonMismatch when the image can't read the pickles: they need the same minor version on both sides."""
    if base.python is None:
        log.warning("The image %s does not say which Python it has; pickled here with %s.", name, package.python)
        return
    theirs, ours = (version.split(".")[:2] for version in (base.python, package.python))
    if theirs != ours:
        minor = ".".join(ours)
        raise PythonMismatch(
            f"The image {name} has Python {base.python}, and `{package.name}` was pickled by Python {package.python}.",
            advice=f"Set container_image_uri to an image with Python {minor}, leave it empty for python:{minor}-slim, "
            f"or run the workflow with Python {'.'.join(theirs)}.",
        )


async def _upload(site: Site, key: str, path: Path) -> None:
    if not await site.store.has(key):  # named by content: what is there is the same
        await site.store.put_file(key, path)


def _stop_if_cancelled(ticket: Ticket) -> None:
    if ticket.cancelled:
        raise Cancelled("Cancelled before it was submitted.")


async def _submit(
    cloud: Cloud,
    settings: Settings,
    site: Site,
    group: StagedGroup,
    package: Package,
    image: PushedImage,
    definition: str,
    ticket: Ticket,
) -> JobHandle:
    prefix = layout.results_prefix(group.dispatch_id, group.task_group_id)
    request = jobs.submission(
        name=naming.job_name(group.dispatch_id, group.task_group_id),
        definition=definition,
        queue=site.place.queue_arn,
        environment=jobs.environment(group.dispatch_id, settings.s3_bucket_name, site.place.region, prefix),
        tags=naming.tags(group.dispatch_id, group.task_group_id, socket.gethostname()),
    )
    ticket.job_id = await _submitted(cloud, request)
    handle = JobHandle(ticket.job_id, package.name, package.content, settings.s3_bucket_name, prefix, image.uri)
    if ticket.cancelled:  # the cancel came while SubmitJob was under way
        await cloud.batch.terminate(handle.job_id, CANCEL_REASON)
    return handle


async def _submitted(cloud: Cloud, request: dict[str, Any]) -> str:
    """The job's id. A server that is stopped while the call is under way waits for the id and ends that job."""
    submission = asyncio.ensure_future(cloud.batch.submit(request))
    try:
        return await asyncio.shield(submission)
    except asyncio.CancelledError:
        await bounded(_end_what_was_submitted(cloud, submission))
        raise


async def _end_what_was_submitted(cloud: Cloud, submission: asyncio.Future[str]) -> None:
    await cloud.batch.terminate(await submission, STOP_REASON)


async def bounded(work: Any) -> None:
    """Clean-up under cancellation: awaited for a few seconds, its errors logged, never raised."""
    try:
        async with asyncio.timeout(CLEAN_UP_SECONDS):
            await work
    except (AWSBatchError, TimeoutError) as error:
        log.warning("A job may be left running: %s", error)


async def watch(cloud: Cloud, settings: Settings, handle: JobHandle) -> jobs.JobState:
    """Waits for the job's end. A server that is stopped meanwhile ends the job first."""
    try:
        return await cloud.watcher.ended(handle.job_id, settings.poll_freq)
    except asyncio.CancelledError:
        await bounded(cloud.batch.terminate(handle.job_id, STOP_REASON))
        raise


async def cancel(cloud: Cloud, job_id: str) -> None:
    """Ends the job, whatever its state; also when the server is being stopped at this very moment."""
    ending = asyncio.ensure_future(cloud.batch.terminate(job_id, CANCEL_REASON))
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await bounded(ending)
        raise
