# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The submission of one job, for one task or ten thousand: image, job definition, SubmitJob, notes in the ledger."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.outage import Outage
from ..errors import AWSBatchError, NotAllowed, NotFound, Refused, ServiceError, StagingError, Unreachable
from ..jobs import definition as jobs
from ..jobs.api import Unsettled
from ..settings import Settings
from .array_package import ArrayPackage
from .cancel import CANCEL_REASON, STOP_REASON, JobCanceller, bounded
from .cleanup import Cleanup, JobArtifacts, leaves_no_job
from .image_and_payload import ImageAndPayload, ImageMaker
from .inflight import Task
from .job_handle import JobHandle
from .ledger import Entry, unsent
from .services import ResolvedResources, Services
from .task_events import record_pushed, record_submitted

# The text of a ClientException, with status 404 or 400. An ARN has `job-definition`, a text about it has no dash.
_UNKNOWN_DEFINITION = re.compile(
    r"job ?definition\b.*(not exist|not (be )?found|not active|inactive|deregistered|couldn't be found)", re.IGNORECASE
)

log = logging.getLogger(__name__)

# Seconds before each further SubmitJob with a definition that it did not know, half a minute in all. AWS Batch shows a
# new definition late: https://github.com/broadinstitute/cromwell/pull/4076
DEFINITION_PAUSES = (0.5, 1, 2, 3, 4, 5, 5, 5, 5)
ON_ITS_WAY_SECONDS = 1  # time that a call which was broken off may take to become a job


class Submitter:
    """Turns batches of packed tasks into jobs of AWS Batch."""

    def __init__(self, services: Services, cleanup: Cleanup, canceller: JobCanceller) -> None:
        self._services, self._cleanup, self._canceller = services, cleanup, canceller
        self._images = ImageMaker(services, cleanup)

    async def submit(self, settings: Settings, tasks: Sequence[Task]) -> list[JobHandle]:
        """Submit one job for all tasks and return their handles in order. Tasks cancelled meanwhile are ended."""
        resources = await self._services.resources(settings)
        packages, dispatch_ids = [task.packed for task in tasks], [task.first[0] for task in tasks]
        base, dependencies = tasks[0].checked_base, tasks[0].dependencies  # the same for all tasks of a kind
        began = time.monotonic()
        parts = await self._images.make(settings, resources, base, packages, dispatch_ids, dependencies)
        record_pushed(self._services.events, tasks, parts, time.monotonic() - began)
        request: dict[str, Any] = {"jobDefinition": ""}
        try:
            return await self._register_and_submit(settings, resources, tasks, parts, request)
        except BaseException as error:
            if all(task.handle is None for task in tasks):  # otherwise the end of the job releases them
                self._give_back(settings, resources, parts, request["jobDefinition"], error)
            raise

    def _give_back(
        self,
        settings: Settings,
        resources: ResolvedResources,
        parts: ImageAndPayload,
        definition: str,
        error: BaseException,
    ) -> None:
        """Release the parts of a submission that failed; delete them and the definition if no job came of it."""
        if not leaves_no_job(error):
            parts.release(self._cleanup)
            return
        artifacts = JobArtifacts(settings, resources.store, parts.image.digest, definition, "", (), parts.key)
        self._cleanup.discard(artifacts)

    async def _register_and_submit(
        self,
        settings: Settings,
        resources: ResolvedResources,
        tasks: Sequence[Task],
        parts: ImageAndPayload,
        request: dict[str, Any],
    ) -> list[JobHandle]:
        """Submit the job; `request` becomes the request of SubmitJob."""
        definition = jobs.job_definition(settings, resources.placement, parts.image.uri)
        arn = await self._services.backend.define(definition)
        submission = uuid.uuid4().hex
        request |= _request(settings, resources, tasks, parts, arn, submission)
        prefix = _prefix(tasks)

        def handles_of(job_id: str) -> list[JobHandle]:
            if isinstance(tasks[0].packed, ArrayPackage):  # one task is the whole array
                addresses: list[tuple[str, int | None]] = [(job_id, None)]
            else:
                addresses = jobs.addresses(settings, job_id, len(tasks))
            return [
                JobHandle(
                    job_id=child,
                    name=task.packed.name,
                    content=task.packed.content,
                    bucket=settings.s3_bucket_name,
                    prefix=prefix,
                    image=parts.image.uri,
                    member=member,
                    definition=request["jobDefinition"],
                    payload=parts.key,
                    names=task.packed.names,
                    submission=submission,
                    dispatch_id=task.first[0],
                )
                for (child, member), task in zip(addresses, tasks, strict=True)
            ]

        unsent_key = _unsent_key(request)
        await self._note(unsent_key, tasks, handles_of(""))
        job_id = await self._submit(request, definition)
        handles = handles_of(job_id)
        record_submitted(self._services.events, settings, tasks, parts, job_id)
        artifacts = JobArtifacts(
            settings=settings,
            store=resources.store,
            image_digest=parts.image.digest,
            definition=request["jobDefinition"],
            prefix="" if tasks[0].keeps_results else f"{prefix}/{job_id}/",
            objects=tuple(key for task in tasks for key in task.packed.uploads),
            payload=parts.key,
        )
        self._assign(tasks, handles)
        self._cleanup.submitted([handle.result_id for handle in handles], artifacts)
        try:
            await self._note(job_id, tasks, handles)
            self._services.ledger.forget(unsent_key)
            await self._end_cancelled(tasks, handles)
        except asyncio.CancelledError:  # no caller has a handle yet, so no caller can end the job
            await bounded(self._services.backend.terminate(job_id, STOP_REASON))
            raise
        return handles

    def _assign(self, tasks: Sequence[Task], handles: Sequence[JobHandle]) -> None:
        """Give each task its handle; from here on a cancel finds the job by its task."""
        for task, handle in zip(tasks, handles, strict=True):
            if handle.member is not None:
                self._canceller.submitted(handle.job_id, handle.member)
            task.handle = handle

    async def _end_cancelled(self, tasks: Sequence[Task], handles: Sequence[JobHandle]) -> None:
        """End the tasks whose cancel came during the submission."""
        late = [handle for task, handle in zip(tasks, handles, strict=True) if task.cancelled]
        if not late:
            return
        await asyncio.gather(*(bounded(self._canceller.end(each.job_id, CANCEL_REASON, each.member)) for each in late))

    async def _note(self, job_id: str, tasks: Sequence[Task], handles: Sequence[JobHandle]) -> None:
        """Note the job in the ledger. The job is paid for, so a ledger that can't be written must not fail it."""
        if note := tasks[0].note:
            (handle,) = handles
            await self._services.in_thread(note, handle)
            return
        pairs = zip(tasks, handles, strict=True)
        entries = [Entry(task.staged.dispatch_id, task.staged.node_ids, handle) for task, handle in pairs]
        try:
            await self._services.in_thread(self._services.ledger.note, job_id, entries)
        except StagingError as error:
            log.warning("After a crash the job %s could be found by its tags only: %s", job_id, error)

    async def _submit(self, request: dict[str, Any], definition: Mapping[str, Any]) -> str:
        """Return the job's id. A server that is stopped during the call waits for the id and ends that job."""
        began = time.time()
        submission = asyncio.ensure_future(self._submit_or_define_again(request, definition))
        try:
            return await asyncio.shield(submission)
        except AWSBatchError as error:
            if not isinstance(error, Unreachable) or isinstance(error, Unsettled):
                self._services.ledger.forget(_unsent_key(request))
                raise
            if isinstance(error.__cause__, NotAllowed):  # jobs may not be listed: `collect` would find none
                raise
            raise may_run(error, f"A job `{request['jobName']}`") from error
        except asyncio.CancelledError:
            await bounded(self._end_submitted(request, submission, began))
            raise

    async def _submit_or_define_again(self, request: dict[str, Any], definition: Mapping[str, Any]) -> str:
        """Submit; wait for a definition that is not visible yet, and register anew one that was deregistered.

        After a lost answer the definition was deregistered, so that no job can come of that request any more.
        """
        backend, refusals = self._services.backend, 0
        outage: Outage | None = None
        while True:
            try:
                return await backend.submit(request)
            except Unsettled as error:
                outage = outage or self._services.aws.patience.outage()
                if not await outage.lasts(error):
                    raise
                request["jobDefinition"] = await backend.define(definition)
            except (NotFound, Refused) as error:
                refusals += 1
                if refusals > len(DEFINITION_PAUSES):
                    raise
                last_arn = request["jobDefinition"]
                request["jobDefinition"] = await backend.define_again(definition, last_arn, refusals)
                if request["jobDefinition"] == last_arn and not is_about_the_definition(error):
                    raise
                await asyncio.sleep(DEFINITION_PAUSES[refusals - 1])

    async def _end_submitted(self, request: dict[str, Any], submission: asyncio.Future[str], began: float) -> None:
        """End the job of a call under way. A loop that ends cancels the call, and then only the job's name tells."""
        backend = self._services.backend
        await asyncio.wait([submission])
        if submission.cancelled():
            await asyncio.sleep(ON_ITS_WAY_SECONDS)
        job_id = await backend.settle(request, began) if submission.cancelled() else submission.result()
        if job_id:
            await backend.terminate(job_id, STOP_REASON)
        self._services.ledger.forget(_unsent_key(request))


def is_about_the_definition(error: AWSBatchError) -> bool:
    """Return whether SubmitJob refused a job because it does not know its definition as an active one."""
    return _UNKNOWN_DEFINITION.search(error.says) is not None


def may_run(error: ServiceError, job: str) -> ServiceError:
    """Return the error of an outage with the job that may still run in its advice."""
    advice = f"{job} may still run. When AWS answers again, `covalent-awsbatch collect` fetches its result."
    return type(error)(error.happened, says=error.says, advice=advice)


def _prefix(tasks: Sequence[Task]) -> str:
    return jobs.results_prefix(*tasks[0].first)


def _unsent_key(request: Mapping[str, Any]) -> str:
    """Return the ledger's key of a submission that has no job yet."""
    return unsent(request["jobName"], request["tags"][jobs.TAG_SUBMISSION])


def _request(
    settings: Settings,
    resources: ResolvedResources,
    tasks: Sequence[Task],
    parts: ImageAndPayload,
    definition: str,
    submission: str,
) -> dict[str, Any]:
    """Return the SubmitJob request of one job for these tasks."""
    dispatch_id, group_id = tasks[0].first
    size = sum(task.packed.size for task in tasks)
    tags = jobs.tags(dispatch_id, group_id, socket.gethostname())
    return jobs.submission(
        name=jobs.job_name([task.first for task in tasks], max(task.tries for task in tasks)),
        size=-(-size // settings.tasks_per_job),
        definition=definition,
        queue=resources.placement.queue_arn,
        environment=jobs.environment(
            dispatch_id, settings.s3_bucket_name, resources.bucket_region, resources.s3_url, _prefix(tasks)
        )
        | jobs.encryption(settings)
        | jobs.patience(settings)
        | jobs.sharing(settings, size)
        | (jobs.bundles(settings) if isinstance(tasks[0].packed, ArrayPackage) else {})
        | jobs.numbering(tasks[0].earlier_attempts)
        | parts.environment,
        tags=tags | {jobs.TAG_SUBMISSION: submission},
        share=jobs.fair_share(settings),
    )
