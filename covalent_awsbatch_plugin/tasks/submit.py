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

from ..errors import AWSBatchError, NotFound, Refused, StagingError
from ..jobs import definition as jobs
from ..jobs import names as naming
from ..runner.protocol import layout
from ..settings import Settings
from .cancel import JobCanceller
from .cleanup import Cleanup, JobArtifacts
from .connection import Cloud, ResolvedResources
from .dependency_layers import NO_DEPENDENCIES, DependencyLayers
from .image_and_payload import ImageAndPayload, load
from .inflight import Ticket
from .ledger import Entry, unsent
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
class TaskSubmission:
    """A task group that is packed and waits to be submitted."""

    group: StagedGroup
    package: Package
    ticket: Ticket
    tries: int = 1
    dependencies: DependencyLayers = NO_DEPENDENCIES


async def submit_job(cloud: Cloud, settings: Settings, submissions: Sequence[TaskSubmission]) -> list[JobHandle]:
    """One image, one definition, one job for all; their handles in order. Ends whatever was cancelled meanwhile."""
    resources = await cloud.resources(settings)
    packages, dispatches = [p.package for p in submissions], [p.group.dispatch_id for p in submissions]
    parts = await load(cloud, settings, resources, packages, dispatches, submissions[0].dependencies)
    try:
        return await _register_and_submit(cloud, settings, resources, submissions, parts)
    except BaseException:
        parts.drop(cloud.tenant(Cleanup))
        raise


async def _register_and_submit(
    cloud: Cloud,
    settings: Settings,
    resources: ResolvedResources,
    submissions: Sequence[TaskSubmission],
    parts: ImageAndPayload,
) -> list[JobHandle]:
    definition = jobs.job_definition(settings, resources.placement, parts.image.uri)
    first = submissions[0].group
    prefix = layout.results_prefix(first.dispatch_id, first.task_group_id)
    request = jobs.submission(
        name=naming.job_name(
            [(p.group.dispatch_id, p.group.task_group_id) for p in submissions], max(p.tries for p in submissions)
        ),
        size=-(-len(submissions) // settings.tasks_per_job),
        definition=await cloud.batch.define(definition),
        queue=resources.placement.queue_arn,
        environment=jobs.environment(first.dispatch_id, settings.s3_bucket_name, resources.placement.region, prefix)
        | jobs.sharing(settings, len(submissions))
        | parts.environment,
        tags=naming.tags(first.dispatch_id, first.task_group_id, socket.gethostname())
        | {naming.TAG_SUBMISSION: uuid.uuid4().hex},
    )

    def handles_of(job_id: str) -> list[JobHandle]:
        return [
            JobHandle(
                job_id=child,
                name=p.package.name,
                content=p.package.content,
                bucket=settings.s3_bucket_name,
                prefix=prefix,
                image=parts.image.uri,
                member=member,
                definition=request["jobDefinition"],
                payload=parts.key,
                names={str(task.node_id): task.name for task in p.package.task.tasks[1:]},
            )
            for (child, member), p in zip(jobs.addresses(settings, job_id, len(submissions)), submissions, strict=True)
        ]

    await _noted(cloud, unsent(request["jobName"]), submissions, handles_of(""))
    job_id = await _submitted(cloud, request, definition)
    handles = handles_of(job_id)
    artifacts = JobArtifacts(
        settings=settings,
        store=resources.store,
        image_digest=parts.image.digest,
        definition=request["jobDefinition"],
        prefix=f"{prefix}/{job_id}/",
        objects=tuple(key for submission in submissions for key in submission.package.uploads),
        payload=parts.key,
    )
    cloud.tenant(Cleanup).submitted([handle.result_id for handle in handles], artifacts)
    try:
        await _noted(cloud, job_id, submissions, handles)
        cloud.ledger.forget(unsent(request["jobName"]))
        await _end_the_cancelled(cloud, submissions, handles)
    except asyncio.CancelledError:  # nobody has a handle yet, so nobody else would end it
        await bounded(cloud.batch.terminate(job_id, STOP_REASON))
        raise
    return handles


async def _end_the_cancelled(cloud: Cloud, submissions: Sequence[TaskSubmission], handles: Sequence[JobHandle]) -> None:
    """Those whose cancel came while their job was on its way; from here on a cancel finds the job by its ticket."""
    canceller = cloud.tenant(JobCanceller)
    for submission, handle in zip(submissions, handles, strict=True):
        canceller.submitted(handle.job_id, handle.member)
        submission.ticket.job_id, submission.ticket.member = handle.job_id, handle.member
    late = [handle for submission, handle in zip(submissions, handles, strict=True) if submission.ticket.cancelled]
    await asyncio.gather(*(bounded(canceller.end(each.job_id, CANCEL_REASON, each.member)) for each in late))


async def _noted(
    cloud: Cloud, job_id: str, submissions: Sequence[TaskSubmission], handles: Sequence[JobHandle]
) -> None:
    """For `covalent-awsbatch collect`, after a crash. The job is paid for: failing to note it must not fail it."""
    pairs = zip(submissions, handles, strict=True)
    entries = [Entry(p.group.dispatch_id, p.group.node_ids, handle.to_json()) for p, handle in pairs]
    try:
        await cloud.in_thread(cloud.ledger.note, job_id, entries)
    except StagingError as error:
        log.warning("After a crash the job %s could be found by its tags only: %s", job_id, error)


async def _submitted(cloud: Cloud, request: dict[str, Any], definition: Mapping[str, Any]) -> str:
    """The job's id. A server that is stopped while the call is under way waits for the id and ends that job."""
    began = time.time()
    submission = asyncio.ensure_future(_submit(cloud, request, definition))
    try:
        return await asyncio.shield(submission)
    except AWSBatchError as error:
        if not error.retry_may_help:  # else nobody knows whether there is a job now
            cloud.ledger.forget(unsent(request["jobName"]))
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
    cloud.ledger.forget(unsent(request["jobName"]))


async def bounded(work: Any) -> None:
    """Clean-up under cancellation: awaited for a few seconds, its errors logged, never raised."""
    try:
        async with asyncio.timeout(CLEAN_UP_SECONDS):
            await work
    except (AWSBatchError, TimeoutError) as error:
        log.warning("A job may be left running: %s", error)
