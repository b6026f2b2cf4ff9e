# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One job's way to AWS Batch, whether it is of one task or of ten thousand: image, definition, submission."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ground import layout
from ..hands.ledger import Entry, unsent
from ..thought import naming
from ..thought.errors import AWSBatchError, NotFound, Refused, StagingError
from ..thought.job import jobs
from ..thought.settings import Settings
from .cloud import Cloud, Site
from .ending import Terminator
from .environment import NO_LUGGAGE, Luggage
from .freight import Freight, load
from .housekeeping import Housekeeper, Leavings
from .inflight import Ticket
from .packing import Package, StagedGroup

log = logging.getLogger(__name__)

ON_ITS_WAY_SECONDS = 1  # what a call that was broken off may take to become a job
CLEAN_UP_SECONDS = 10  # how long a stopping server waits for us to end what we began
CANCEL_REASON = "Cancelled by the user of this Covalent workflow"
STOP_REASON = "The Covalent server that submitted this job was stopped"


@dataclass(frozen=True)
class JobHandle:
    """What finds a job and its result again, from any process of this user. Plain JSON, no secrets.

    `job_id` is a child's, `parent:index`, where the job is an array. `member` is the task's number in the whole job
    where several share a container, else None. `name` is the first electron's, `names` the others' by node id.
    """

    job_id: str
    name: str
    content: str
    bucket: str
    prefix: str
    image: str
    member: int | None = None
    definition: str = ""
    payload: str = ""  # key of the object that the task came in; "": it came in the image
    names: dict[str, str] = field(default_factory=dict, hash=False)
    submission: str = ""  # the job's tag of that name, which no other job has

    def is_at(self, here: tuple[str, str]) -> bool:
        """Whether its job is in this Region and account, which the ledger's may not be."""
        return not self.definition or tuple(self.definition.split(":")[3:5]) == here

    def name_of(self, node_id: int | None) -> str:
        """What an electron is called."""
        return self.names.get(str(node_id), self.name)

    @property
    def result_id(self) -> str:
        """By what the task goes where it writes its result: AWS Batch's id, unless others go by that too."""
        return self.job_id if self.member is None else layout.member_id(self.job_id, self.member)

    def to_json(self) -> dict[str, Any]:
        """For Covalent's jobs table."""
        return dict(vars(self))  # flat: `asdict` would look into each string

    @classmethod
    def from_json(cls, body: Any) -> JobHandle | None:
        """None for what is no handle: Covalent hands over None, and an older version's may differ."""
        try:
            return cls(**body)
        except TypeError:
            return None


@dataclass(frozen=True)
class Passenger:
    """A task group that is packed and waits to be submitted."""

    group: StagedGroup
    package: Package
    ticket: Ticket
    tries: int = 1
    luggage: Luggage = NO_LUGGAGE


async def ship(cloud: Cloud, settings: Settings, aboard: Sequence[Passenger]) -> list[JobHandle]:
    """One image, one definition, one job for all; their handles in order. Ends whatever was cancelled meanwhile."""
    site = await cloud.site(settings)
    packages, dispatches = [p.package for p in aboard], [p.group.dispatch_id for p in aboard]
    freight = await load(cloud, settings, site, packages, dispatches, aboard[0].luggage)
    try:
        return await _register_and_submit(cloud, settings, site, aboard, freight)
    except BaseException:
        freight.drop(cloud.tenant(Housekeeper))
        raise


async def _register_and_submit(
    cloud: Cloud, settings: Settings, site: Site, aboard: Sequence[Passenger], freight: Freight
) -> list[JobHandle]:
    definition = jobs.job_definition(settings, site.place, freight.image.uri)
    first, submission = aboard[0].group, uuid.uuid4().hex
    prefix = layout.results_prefix(first.dispatch_id, first.task_group_id)
    request = jobs.submission(
        name=naming.job_name(
            [(p.group.dispatch_id, p.group.task_group_id) for p in aboard], max(p.tries for p in aboard)
        ),
        size=-(-len(aboard) // settings.tasks_per_job),
        definition=await cloud.batch.define(definition),
        queue=site.place.queue_arn,
        environment=jobs.environment(first.dispatch_id, settings.s3_bucket_name, site.place.region, prefix)
        | jobs.sharing(settings, len(aboard))
        | freight.environment,
        tags=naming.tags(first.dispatch_id, first.task_group_id, socket.gethostname())
        | {naming.TAG_SUBMISSION: submission},
    )

    def handles_of(job_id: str) -> list[JobHandle]:
        return [
            JobHandle(
                job_id=child,
                name=p.package.name,
                content=p.package.content,
                bucket=settings.s3_bucket_name,
                prefix=prefix,
                image=freight.image.uri,
                member=member,
                definition=request["jobDefinition"],
                payload=freight.key,
                names={str(task.node_id): task.name for task in p.package.task.tasks[1:]},
                submission=submission,
            )
            for (child, member), p in zip(jobs.addresses(settings, job_id, len(aboard)), aboard, strict=True)
        ]

    await _noted(cloud, _note_of(request), aboard, handles_of(""))
    job_id = await _submitted(cloud, request, definition)
    handles = handles_of(job_id)
    leavings = Leavings(
        settings=settings,
        store=site.store,
        image_digest=freight.image.digest,
        definition=request["jobDefinition"],
        prefix=f"{prefix}/{job_id}/",
        objects=tuple(key for passenger in aboard for key in passenger.package.uploads),
        payload=freight.key,
    )
    cloud.tenant(Housekeeper).submitted([handle.result_id for handle in handles], leavings)
    try:
        await _noted(cloud, job_id, aboard, handles)
        cloud.ledger.forget(_note_of(request))
        await _end_the_cancelled(cloud, aboard, handles)
    except asyncio.CancelledError:  # nobody has a handle yet, so nobody else would end it
        await bounded(cloud.batch.terminate(job_id, STOP_REASON))
        raise
    return handles


async def _end_the_cancelled(cloud: Cloud, aboard: Sequence[Passenger], handles: Sequence[JobHandle]) -> None:
    """Those whose cancel came while their job was on its way; from here on a cancel finds the job by its ticket."""
    terminator = cloud.tenant(Terminator)
    for passenger, handle in zip(aboard, handles, strict=True):
        terminator.submitted(handle.job_id, handle.member)
        passenger.ticket.job_id, passenger.ticket.member = handle.job_id, handle.member
    late = [handle for passenger, handle in zip(aboard, handles, strict=True) if passenger.ticket.cancelled]
    await asyncio.gather(*(bounded(terminator.end(each.job_id, CANCEL_REASON, each.member)) for each in late))


async def _noted(cloud: Cloud, job_id: str, aboard: Sequence[Passenger], handles: Sequence[JobHandle]) -> None:
    """For `covalent-awsbatch collect`, after a crash. The job is paid for: failing to note it must not fail it."""
    pairs = zip(aboard, handles, strict=True)
    entries = [Entry(p.group.dispatch_id, p.group.node_ids, handle.to_json()) for p, handle in pairs]
    try:
        await cloud.in_thread(cloud.ledger.note, job_id, entries)
    except StagingError as error:
        log.warning("After a crash the job %s could be found by its tags only: %s", job_id, error)


def _note_of(request: Mapping[str, Any]) -> str:
    """Return the ledger's key of a submission that has no job yet."""
    return unsent(request["jobName"], request["tags"][naming.TAG_SUBMISSION])


async def _submitted(cloud: Cloud, request: dict[str, Any], definition: Mapping[str, Any]) -> str:
    """The job's id. A server that is stopped while the call is under way waits for the id and ends that job."""
    began = time.time()
    submission = asyncio.ensure_future(_submit(cloud, request, definition))
    try:
        return await asyncio.shield(submission)
    except AWSBatchError as error:
        if not error.retry_may_help:  # else nobody knows whether there is a job now
            cloud.ledger.forget(_note_of(request))
        raise
    except asyncio.CancelledError:
        await bounded(_end_what_was_submitted(cloud, request, submission, began))
        raise


async def _submit(cloud: Cloud, request: dict[str, Any], definition: Mapping[str, Any]) -> str:
    """Somebody may have deregistered the definition since it was found: then it is registered anew."""
    try:
        return await cloud.batch.submit(request)
    except (NotFound, Refused):
        refused, request["jobDefinition"] = request["jobDefinition"], await cloud.batch.define(definition)
        if request["jobDefinition"] == refused:
            raise
        return await cloud.batch.submit(request)


async def _end_what_was_submitted(
    cloud: Cloud, request: dict[str, Any], submission: asyncio.Future[str], began: float
) -> None:
    """A loop that ends cancels the call too, and then only the job's name tells whether it took effect."""
    await asyncio.wait([submission])
    if submission.cancelled():
        await asyncio.sleep(ON_ITS_WAY_SECONDS)
    job_id = await cloud.batch.named(request, began) if submission.cancelled() else submission.result()
    if job_id:
        await cloud.batch.terminate(job_id, STOP_REASON)
    cloud.ledger.forget(_note_of(request))


async def bounded(work: Any) -> None:
    """Clean-up under cancellation: awaited for a few seconds, its errors logged, never raised."""
    try:
        async with asyncio.timeout(CLEAN_UP_SECONDS):
            await work
    except (AWSBatchError, TimeoutError) as error:
        log.warning("A job may be left running: %s", error)
