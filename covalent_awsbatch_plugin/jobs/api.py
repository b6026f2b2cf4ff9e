# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The operations of AWS Batch on job definitions and jobs. `queues` has those on queues."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..aws.session import AWS
from ..core.concurrency import Once
from ..core.outage import Outage
from ..errors import NotAllowed, NotFound, Refused, Throttled, Unreachable
from .definition import TAG_SUBMISSION
from .description import ENDED, JobState, state_of
from .queues import Queues

log = logging.getLogger(__name__)

REMEMBERED_DEFINITIONS = 10_000
LISTED_SECONDS = 1  # time after which ListJobs shows a new job
CLOCK_SKEW_SECONDS = 300  # AWS refuses requests whose time differs by more
DESCRIBE_DEFINITIONS, LIST_JOBS, TAG = "batch:DescribeJobDefinitions", "batch:ListJobs", "batch:TagResource"
UNKNOWN_JOB_PAUSES = (0.5, 1, 2, 3, 4, 5, 5, 5, 5)  # seconds in which a new job's id can be unknown to other calls
FOUND_REFUSALS = 3  # of a definition that another process registered, before it is registered again
IDS_PER_CALL = 100  # https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html


class Unsettled(Unreachable):
    """SubmitJob was not answered, and no job came of it or can come of it."""


class Batch(Queues):
    """AWS Batch's operations, with a cache of the registered job definitions."""

    def __init__(self, aws: AWS) -> None:
        super().__init__(aws)
        self._defined: dict[str, str] = {}  # ARNs by name
        self._registered: set[str] = set()  # ARNs that this process registered, until it deregisters them
        self._defining: Once[str] = Once()

    async def define(self, definition: Mapping[str, Any]) -> str:
        """Return the ARN, with revision, of a definition that is named by its content; register it if needed."""
        name = definition["jobDefinitionName"]
        if name not in self._defined:
            if len(self._defined) >= REMEMBERED_DEFINITIONS:  # with delete_definitions=False each job leaves one
                self._defined.clear()
                self._registered.clear()
            self._defined[name] = await self._defining(name, lambda: self._find_or_register(definition))
        return self._defined[name]

    async def define_again(self, definition: Mapping[str, Any], unknown_arn: str, refusals: int) -> str:
        """Return the ARN to submit with after SubmitJob did not know `unknown_arn` for the `refusals`-th time.

        AWS Batch shows a new definition late, and the end of one too. So the ARN stays the same while it may appear,
        and the definition is registered again if it was deregistered, or if another process registered it and SubmitJob
        still does not know it.
        """
        name = definition["jobDefinitionName"]
        self._forget(unknown_arn)
        if not await self._is_inactive(unknown_arn) and (unknown_arn in self._registered or refusals < FOUND_REFUSALS):
            return self._defined.setdefault(name, unknown_arn)
        if name not in self._defined:  # otherwise another task has defined it meanwhile
            work = (name, unknown_arn), lambda: self._find_or_register(definition, unknown_arn)
            self._defined[name] = await self._defining(*work)
        return self._defined[name]

    async def _is_inactive(self, arn: str) -> bool:
        definitions = await self._definitions(f"job definition `{arn}`", jobDefinitions=[arn])
        return any(each["status"] == "INACTIVE" for each in definitions)

    async def _definitions(self, of: str, **parameters: Any) -> list[Mapping[str, Any]]:
        """Return the definitions of DescribeJobDefinitions; none without the permission."""
        if DESCRIBE_DEFINITIONS in self._aws.permissions.denied and self._aws.permissions.lacks(DESCRIBE_DEFINITIONS):
            return []
        try:
            answer = await self._aws.call("batch", "DescribeJobDefinitions", of=of, **parameters)
        except NotAllowed as error:
            consequence = "A job definition is registered again although it may be there."
            self._aws.permissions.go_without(error, DESCRIBE_DEFINITIONS, consequence)
            return []
        return list(answer["jobDefinitions"])

    async def _tagged(self, operation: str, of: str, parameters: Mapping[str, Any]) -> Any:
        """Send a request once, without its tags if the caller may not tag."""
        untagged = {name: value for name, value in parameters.items() if name != "tags"}
        if TAG in self._aws.permissions.denied and self._aws.permissions.lacks(TAG):
            return await self._aws.call("batch", operation, of=of, once=True, **untagged)
        try:
            return await self._aws.call("batch", operation, of=of, once=True, **parameters)
        except NotAllowed as error:
            consequence = "Jobs and job definitions get no tags, so `reap`, `clean` and a restarted server miss them."
            self._aws.permissions.go_without(error, TAG, consequence)
            return await self._aws.call("batch", operation, of=of, once=True, **untagged)

    async def _find_or_register(self, definition: Mapping[str, Any], unknown_arn: str = "") -> str:
        """Find the definition, other than `unknown_arn`, or register it.

        A second RegisterJobDefinition would make a second revision, which no code deregisters: so a lost response is
        followed by a search.
        """
        name = definition["jobDefinitionName"]
        of = f"job definition `{name}`"
        active = {"jobDefinitionName": name, "status": "ACTIVE", "maxResults": 10 if unknown_arn else 1}
        outage: Outage | None = None
        while True:
            arns = [str(each["jobDefinitionArn"]) for each in await self._definitions(of, **active)]
            if arn := next((each for each in arns if each != unknown_arn), None):
                return arn
            try:
                answer = await self._tagged("RegisterJobDefinition", of, definition)
                self._registered.add(str(answer["jobDefinitionArn"]))
                return str(answer["jobDefinitionArn"])
            except (Throttled, Unreachable) as error:
                outage = outage or self._aws.patience.outage()
                if not await outage.lasts(error):
                    raise

    async def deregister(self, arn: str) -> None:
        """Make a definition inactive and remove it from the cache."""
        self._forget(arn)
        self._registered.discard(arn)
        await self._aws.call("batch", "DeregisterJobDefinition", of=f"job definition `{arn}`", jobDefinition=arn)

    def _forget(self, arn: str) -> None:
        self._defined = {name: cached for name, cached in self._defined.items() if cached != arn}

    async def submit(self, request: Mapping[str, Any]) -> str:
        """Submit a job and return its id.

        SubmitJob has no client token, so after a lost response the job is searched by its name. Raises Unsettled if
        there is none: the caller may submit again, with another definition.
        """
        of = f"job queue `{request['jobQueue']}`"
        began, outage = time.time(), None
        while True:
            try:
                answer = await self._tagged("SubmitJob", of, request)
                return str(answer["jobId"])
            except (NotFound, Refused):
                self._forget(request["jobDefinition"])  # it may have been deregistered: the next run looks again
                raise
            except Throttled as error:
                outage = outage or self._aws.patience.outage()
                if not await outage.lasts(error):
                    raise
            except Unreachable as error:
                await asyncio.sleep(LISTED_SECONDS)
                if lost_id := await self._lost(request, began, error):
                    return lost_id
                raise Unsettled(error.happened, says=error.says, advice="No job came of the request.") from error

    async def settle(self, request: Mapping[str, Any], since_s: float) -> str | None:
        """Return the id of the job of a SubmitJob whose answer is lost; None if no job can come of it any more.

        A request that is still on its way is refused once its definition is deregistered; the jobs that were submitted
        with it run on. https://github.com/aws/aws-cdk/issues/9144, https://github.com/base2genomics/batchit/pull/2
        """
        job_id = await self.named(request, since_s)
        if job_id or not request["jobDefinition"]:
            return job_id
        try:
            await self.deregister(request["jobDefinition"])
        except (NotAllowed, NotFound, Refused) as error:
            log.warning("A request on its way may still become a second job `%s`. %s", request["jobName"], error)
        return await self.named(request, since_s)

    async def _lost(self, request: Mapping[str, Any], began: float, failure: Unreachable) -> str | None:
        """Return the job of a SubmitJob whose answer was lost; None if no job can come of it any more.

        Raises the loss itself if jobs may not be listed: another SubmitJob could make a second job.
        """
        try:
            return await self._newest(request, began) or await self.settle(request, began)
        except NotAllowed as error:
            failure.advice = (
                f"A job `{request['jobName']}` may run in the queue: look there before you run the task again."
                f" {error.advice}"
            )
            raise failure from error

    async def named(self, request: Mapping[str, Any], since_s: float) -> str | None:
        """Return the newest job with the request's `jobName` and `jobQueue`, or None.

        A job with another submission's tag does not count, because a task that failed may have been submitted before. A
        job without a tag counts if it was created after a time (Unix, seconds). Without `batch:ListJobs` no job is
        found.
        """
        try:
            return await self._newest(request, since_s)
        except NotAllowed as error:
            consequence = "The jobs of a server that was killed are not found again."
            self._aws.permissions.go_without(error, LIST_JOBS, consequence)
            return None

    async def _newest(self, request: Mapping[str, Any], since_s: float) -> str | None:
        filters = [{"name": "JOB_NAME", "values": [request["jobName"]]}]
        of = f"job queue `{request['jobQueue']}`"
        of_queue = {"jobQueue": request["jobQueue"], "filters": filters}
        jobs = self._aws.items("batch", "ListJobs", "jobSummaryList", of=of, **of_queue)
        created = {job["jobId"]: job["createdAt"] async for job in jobs}
        since, mine = (since_s - CLOCK_SKEW_SECONDS) * 1000, request.get("tags", {}).get(TAG_SUBMISSION)
        recent = {job_id for job_id, at in created.items() if at >= since}
        if created and mine:
            details = await self._aws.call("batch", "DescribeJobs", of="the jobs", jobs=list(created)[:IDS_PER_CALL])
            for job in details["jobs"]:  # a job that is not known yet is so new that it is this one
                tag = job.get("tags", {}).get(TAG_SUBMISSION)
                if tag == mine:  # whatever the clocks say
                    recent.add(job["jobId"])
                elif tag is not None:
                    recent.discard(job["jobId"])
        return max(recent, key=lambda job_id: created[job_id], default=None)

    async def live_jobs(
        self, queue: str, beginning: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> list[Mapping[str, Any]]:
        """Return the JobDetails of jobs that have not ended and whose name has this beginning.

        Child jobs of an array are not included.
        """
        filters = [{"name": "JOB_NAME", "values": [f"{beginning}*"]}]
        of = f"job queue `{queue}`"
        jobs = self._aws.items("batch", "ListJobs", "jobSummaryList", of=of, jobQueue=queue, filters=filters)
        job_ids = [job["jobId"] async for job in jobs if job["status"] not in ENDED]
        details = await self._details(job_ids, of)
        for pause in UNKNOWN_JOB_PAUSES:  # a new job can be listed before DescribeJobs knows it
            missing = sorted(set(job_ids) - {detail["jobId"] for detail in details})
            if not missing:
                break
            await sleep(pause)
            details += await self._details(missing, of)
        return details

    async def details(self, job_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the JobDetails of the jobs that AWS Batch knows, in any order; 100 ids per request."""
        return await self._details(job_ids, "the jobs")

    async def _details(self, job_ids: Sequence[str], of: str) -> list[Mapping[str, Any]]:
        details: list[Mapping[str, Any]] = []
        for start in range(0, len(job_ids), IDS_PER_CALL):
            ids = list(job_ids[start : start + IDS_PER_CALL])
            details += (await self._aws.call("batch", "DescribeJobs", of=of, jobs=ids))["jobs"]
        return details

    async def describe(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """Return the jobs that AWS Batch knows, by id; any number of ids, 100 per request."""
        return {detail["jobId"]: state_of(detail) for detail in await self._details(job_ids, "the jobs")}

    async def failed_children(self, parent: str) -> list[str]:
        """Return the ids of an array's child jobs that have failed so far."""
        of = f"array job `{parent}`"
        failed = self._aws.items("batch", "ListJobs", "jobSummaryList", of=of, arrayJobId=parent, jobStatus="FAILED")
        return [job["jobId"] async for job in failed]

    async def terminate(
        self, job_id: str, reason: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Terminate a job in any state; a job that has ended is not an error.

        The id of a new job can be unknown for seconds, so a refusal is tried again. A job that stays unknown is
        forgotten by AWS Batch, which is logged and not raised.
        """
        of = f"job `{job_id}`"
        for pause in (*UNKNOWN_JOB_PAUSES, None):
            try:
                await self._aws.call("batch", "TerminateJob", of=of, jobId=job_id, reason=reason)
                return
            except (NotFound, Refused) as error:
                state = (await self.describe([job_id])).get(job_id)
                if state and state.ended:
                    return
                if pause is None:
                    if state:
                        raise
                    log.warning("AWS Batch does not know the job %s, so it was not ended. %s", job_id, error.says)
                    return
            await sleep(pause)
