# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The operations of AWS Batch on queues, job definitions and jobs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..aws.session import AWS
from ..core.single_flight import Once
from ..errors import NotFound, Refused, SettingError, Throttled, Unreachable
from .description import ENDED, JobState, state_of
from .instance_types import is_fargate, platforms
from .names import TAG_SUBMISSION

SUBMIT_TRIES = 8  # about a minute in all; for RegisterJobDefinition too
CLOCK_SKEW_SECONDS = 300  # AWS refuses requests whose time differs by more
IDS_PER_CALL = 100  # https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html


@dataclass(frozen=True)
class Queue:
    """A job queue that accepts jobs, and the kind of its instances.

    `platform` is that of all instances, as Docker names it; "" if they have several, and on Fargate, which has both.
    """

    arn: str
    fargate: bool
    platform: str = ""


def _pause(tries_left: int) -> float:
    """Return the seconds before the next try, which grow with each try."""
    jitter = random.uniform(0.5, 1)  # noqa: S311 - it spreads calls, it keeps no secret
    return jitter * min(20.0, 2.0 ** (SUBMIT_TRIES - tries_left))


class Batch:
    """AWS Batch's operations, with a cache of the registered job definitions."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws
        self._defined: dict[str, str] = {}  # ARNs by name
        self._defining: Once[str] = Once()

    async def queue(self, name: str) -> Queue:
        """Return a queue. Raises NotFound if it does not exist, and SettingError if it accepts no jobs."""
        answer = await self._aws.call("batch", "DescribeJobQueues", of=f"job queue `{name}`", jobQueues=[name])
        if not answer["jobQueues"]:
            raise NotFound(
                f"The job queue `{name}` does not exist in this account's Region {await self._aws.region()}.",
                says="AWS says: no queue of that name or ARN.",
                advice="Correct `batch_queue`, `region` or `profile`;"
                " `aws batch describe-job-queues` lists the queues.",
            )
        queue = answer["jobQueues"][0]
        if queue.get("state", "ENABLED") != "ENABLED" or queue.get("status", "VALID") not in ("VALID", "UPDATING"):
            raise SettingError(
                f"The job queue `{name}` accepts no jobs: it is {queue.get('state')}, {queue.get('status')}.",
                says=f"AWS says: {queue['statusReason']}" if queue.get("statusReason") else "",
                advice=f"Run `aws batch update-job-queue --job-queue {name} --state ENABLED`, or name another queue.",
            )
        environments = await self._environments_of(queue)
        there = platforms(environments)
        return Queue(queue["jobQueueArn"], is_fargate(environments), there[0] if len(there) == 1 else "")

    async def define(self, definition: Mapping[str, Any]) -> str:
        """Return the ARN, with revision, of a definition that is named by its content; register it if needed."""
        name = definition["jobDefinitionName"]
        if name not in self._defined:
            self._defined[name] = await self._defining(name, lambda: self._find_or_register(definition))
        return self._defined[name]

    async def _find_or_register(self, definition: Mapping[str, Any]) -> str:
        """Find the definition, or register it.

        A second RegisterJobDefinition would make a second revision, which no code deregisters: so a lost response is
        followed by a search.
        """
        name = definition["jobDefinitionName"]
        of = f"job definition `{name}`"
        for tries_left in reversed(range(SUBMIT_TRIES)):
            registered = await self._aws.call(
                "batch", "DescribeJobDefinitions", of=of, jobDefinitionName=name, status="ACTIVE", maxResults=1
            )
            if registered["jobDefinitions"]:
                return str(registered["jobDefinitions"][0]["jobDefinitionArn"])
            try:
                answer = await self._aws.call("batch", "RegisterJobDefinition", of=of, once=True, **definition)
                return str(answer["jobDefinitionArn"])
            except (Throttled, Unreachable):
                if not tries_left:
                    raise
                await asyncio.sleep(_pause(tries_left))
        raise AssertionError("unreachable")

    async def deregister(self, arn: str) -> None:
        """Make a definition inactive and remove it from the cache."""
        self._forget(arn)
        await self._aws.call("batch", "DeregisterJobDefinition", of=f"job definition `{arn}`", jobDefinition=arn)

    def _forget(self, arn: str) -> None:
        self._defined = {name: cached for name, cached in self._defined.items() if cached != arn}

    async def submit(
        self, request: Mapping[str, Any], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> str:
        """Submit a job and return its id.

        SubmitJob has no client token, so after a lost response the job is searched by its name, which is unique, before
        the call is repeated.
        """
        of = f"job queue `{request['jobQueue']}`"
        began = time.time()
        for tries_left in reversed(range(SUBMIT_TRIES)):
            try:
                answer = await self._aws.call("batch", "SubmitJob", of=of, once=True, **request)
                return str(answer["jobId"])
            except (NotFound, Refused):
                self._forget(request["jobDefinition"])  # it may have been deregistered: the next run looks again
                raise
            except (Throttled, Unreachable) as error:
                await sleep(_pause(tries_left))
                if isinstance(error, Unreachable) and (lost_id := await self.named(request, began)):
                    return lost_id
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    async def named(self, request: Mapping[str, Any], since_s: float) -> str | None:
        """Return the newest job with the request's `jobName` and `jobQueue` since a time (Unix, seconds), or None.

        A job with another submission's tag does not count, because a task that failed may have been submitted before.
        """
        filters = [{"name": "JOB_NAME", "values": [request["jobName"]]}]
        of = f"job queue `{request['jobQueue']}`"
        of_queue = {"jobQueue": request["jobQueue"], "filters": filters}
        jobs = self._aws.items("batch", "ListJobs", "jobSummaryList", of=of, **of_queue)
        since = (since_s - CLOCK_SKEW_SECONDS) * 1000
        recent = {job["jobId"]: job["createdAt"] async for job in jobs if job["createdAt"] >= since}
        if recent and (mine := request.get("tags", {}).get(TAG_SUBMISSION)):
            details = await self._aws.call("batch", "DescribeJobs", of="the jobs", jobs=list(recent)[:IDS_PER_CALL])
            for job in details["jobs"]:  # a job that is not known yet is so new that it is this one
                if job.get("tags", {}).get(TAG_SUBMISSION, mine) != mine:
                    del recent[job["jobId"]]
        return max(recent, key=lambda job_id: recent[job_id]) if recent else None

    async def live_jobs(self, queue: str, beginning: str) -> list[Mapping[str, Any]]:
        """Return the JobDetails of jobs that have not ended and whose name has this beginning.

        Child jobs of an array are not included.
        """
        filters = [{"name": "JOB_NAME", "values": [f"{beginning}*"]}]
        of = f"job queue `{queue}`"
        jobs = self._aws.items("batch", "ListJobs", "jobSummaryList", of=of, jobQueue=queue, filters=filters)
        job_ids = [job["jobId"] async for job in jobs if job["status"] not in ENDED]
        details: list[Mapping[str, Any]] = []
        for start in range(0, len(job_ids), IDS_PER_CALL):
            ids = job_ids[start : start + IDS_PER_CALL]
            details += (await self._aws.call("batch", "DescribeJobs", of=of, jobs=ids))["jobs"]
        return details

    async def position(self, queue: str, job_id: str) -> int | None:
        """Return the job's place, from 1, among the queue's first 100 RUNNABLE jobs; None if it has none."""
        answer = await self._aws.call("batch", "GetJobQueueSnapshot", of=f"job queue `{queue}`", jobQueue=queue)
        waiting = [job["jobArn"].rpartition("/")[2] for job in answer.get("frontOfQueue", {}).get("jobs", ())]
        return waiting.index(job_id) + 1 if job_id in waiting else None

    async def environments(self, queue: str) -> list[Mapping[str, Any]]:
        """Return the queue's compute environments in the queue's order, as AWS describes them."""
        answer = await self._aws.call("batch", "DescribeJobQueues", of=f"job queue `{queue}`", jobQueues=[queue])
        return await self._environments_of(answer["jobQueues"][0])

    async def _environments_of(self, queue: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        order = sorted(queue.get("computeEnvironmentOrder", ()), key=lambda entry: entry["order"])
        if not order:  # without names AWS describes all environments
            return []
        names = [entry["computeEnvironment"] for entry in order]
        of = f"the compute environments of job queue `{queue['jobQueueName']}`"
        answer = await self._aws.call("batch", "DescribeComputeEnvironments", of=of, computeEnvironments=names)
        return list(answer["computeEnvironments"])

    async def describe(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """Return the jobs that AWS Batch knows, by id; any number of ids, 100 per request."""
        states: dict[str, JobState] = {}
        for start in range(0, len(job_ids), IDS_PER_CALL):
            ids = list(job_ids[start : start + IDS_PER_CALL])
            answer = await self._aws.call("batch", "DescribeJobs", of="the jobs", jobs=ids)
            states |= {detail["jobId"]: state_of(detail) for detail in answer["jobs"]}
        return states

    async def failed_children(self, parent: str) -> list[str]:
        """Return the ids of an array's child jobs that have failed so far."""
        of, failed = f"array job `{parent}`", {"arrayJobId": parent, "jobStatus": "FAILED"}
        return [job["jobId"] async for job in self._aws.items("batch", "ListJobs", "jobSummaryList", of=of, **failed)]

    async def terminate(self, job_id: str, reason: str) -> None:
        """Terminate a job in any state; a job that has ended, or is no longer known, is not an error."""
        try:
            await self._aws.call("batch", "TerminateJob", of=f"job `{job_id}`", jobId=job_id, reason=reason)
        except (NotFound, Refused):
            return
