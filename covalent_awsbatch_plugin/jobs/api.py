# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS Batch: queues, definitions, jobs."""

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

SUBMIT_TRIES = 8  # about a minute in all; of RegisterJobDefinition as well
CLOCK_SKEW_SECONDS = 300  # AWS refuses requests of a clock that is further off
IDS_PER_CALL = 100  # https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html


@dataclass(frozen=True)
class Queue:
    """A job queue that takes jobs, and what its machines are.

    `platform` is what they run, in Docker's words, where they run but one; "" on Fargate, which has both.
    """

    arn: str
    fargate: bool
    platform: str = ""


def _pause(tries_left: int) -> float:
    """Seconds before the next try, longer each time."""
    jitter = random.uniform(0.5, 1)  # noqa: S311 - it spreads calls, it keeps no secret
    return jitter * min(20.0, 2.0 ** (SUBMIT_TRIES - tries_left))


class Batch:
    """Batch's calls, with the definitions known to be registered."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws
        self._defined: dict[str, str] = {}  # ARNs by name
        self._defining: Once[str] = Once()

    async def queue(self, name: str) -> Queue:
        """Raises NotFound or SettingError when the queue does not exist or takes no jobs."""
        answer = await self._aws.call("batch", "DescribeJobQueues", of=f"job queue `{name}`", jobQueues=[name])
        if not answer["jobQueues"]:
            raise NotFound(
                f"There is no job queue `{name}` in this account's Region {await self._aws.region()}.",
                says="AWS says: none of that name or ARN.",
                advice="Correct batch_queue, region or profile in [executors.awsbatch];"
                " `aws batch describe-job-queues` lists those there are.",
            )
        queue = answer["jobQueues"][0]
        if queue.get("state", "ENABLED") != "ENABLED" or queue.get("status", "VALID") not in ("VALID", "UPDATING"):
            raise SettingError(
                f"The job queue `{name}` takes no jobs: it is {queue.get('state')}, {queue.get('status')}.",
                says=f"AWS says: {queue['statusReason']}" if queue.get("statusReason") else "",
                advice=f"Run `aws batch update-job-queue --job-queue {name} --state ENABLED`, or name another queue.",
            )
        environments = await self._environments_of(queue)
        there = platforms(environments)
        return Queue(queue["jobQueueArn"], is_fargate(environments), there[0] if len(there) == 1 else "")

    async def define(self, definition: Mapping[str, Any]) -> str:
        """The ARN, with its revision, of a definition that is named by content: registered once, then found again."""
        name = definition["jobDefinitionName"]
        if name not in self._defined:
            self._defined[name] = await self._defining(name, lambda: self._find_or_register(definition))
        return self._defined[name]

    async def _find_or_register(self, definition: Mapping[str, Any]) -> str:
        """Registering twice makes a second revision, which nobody would deregister: a lost answer is looked for."""
        name = definition["jobDefinitionName"]
        of = f"job definition `{name}`"
        for tries_left in reversed(range(SUBMIT_TRIES)):
            found = await self._aws.call(
                "batch", "DescribeJobDefinitions", of=of, jobDefinitionName=name, status="ACTIVE", maxResults=1
            )
            if found["jobDefinitions"]:
                return str(found["jobDefinitions"][0]["jobDefinitionArn"])
            try:
                answer = await self._aws.call("batch", "RegisterJobDefinition", of=of, once=True, **definition)
                return str(answer["jobDefinitionArn"])
            except (Throttled, Unreachable):
                if not tries_left:
                    raise
                await asyncio.sleep(_pause(tries_left))
        raise AssertionError("unreachable")

    async def deregister(self, arn: str) -> None:
        """Makes a definition inactive, and forgets that it was registered."""
        self._forget(arn)
        await self._aws.call("batch", "DeregisterJobDefinition", of=f"job definition `{arn}`", jobDefinition=arn)

    def _forget(self, arn: str) -> None:
        self._defined = {name: known for name, known in self._defined.items() if known != arn}

    async def submit(
        self, request: Mapping[str, Any], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> str:
        """The new job's id.

        SubmitJob has no client token, so a call whose answer was lost is not simply made again: the job, whose name
        nobody else's has, is looked for first.
        """
        of = f"job queue `{request['jobQueue']}`"
        began = time.time()
        for tries_left in reversed(range(SUBMIT_TRIES)):
            try:
                answer = await self._aws.call("batch", "SubmitJob", of=of, once=True, **request)
                return str(answer["jobId"])
            except (NotFound, Refused):
                self._forget(request["jobDefinition"])  # somebody may have deregistered it: the next run looks again
                raise
            except (Throttled, Unreachable) as error:
                await sleep(_pause(tries_left))
                if isinstance(error, Unreachable) and (found := await self.named(request, began)):
                    return found
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    async def named(self, request: Mapping[str, Any], since_s: float) -> str | None:
        """The newest job of this `jobName` in this `jobQueue` since then (Unix time), whatever has become of it.

        One that another submission's tag tells apart is not meant: a task that failed may have been submitted before.
        """
        wanted = [{"name": "JOB_NAME", "values": [request["jobName"]]}]
        of = f"job queue `{request['jobQueue']}`"
        of_queue = {"jobQueue": request["jobQueue"], "filters": wanted}
        jobs = self._aws.items("batch", "ListJobs", "jobSummaryList", of=of, **of_queue)
        since = (since_s - CLOCK_SKEW_SECONDS) * 1000
        recent = {job["jobId"]: job["createdAt"] async for job in jobs if job["createdAt"] >= since}
        if recent and (mine := request.get("tags", {}).get(TAG_SUBMISSION)):
            told = await self._aws.call("batch", "DescribeJobs", of="the jobs", jobs=list(recent)[:IDS_PER_CALL])
            for job in told["jobs"]:  # what it does not know yet is so young that it is this one
                if job.get("tags", {}).get(TAG_SUBMISSION, mine) != mine:
                    del recent[job["jobId"]]
        return max(recent, key=lambda job_id: recent[job_id]) if recent else None

    async def live_jobs(self, queue: str, beginning: str) -> list[Mapping[str, Any]]:
        """JobDetails of the queue's jobs that have not ended and whose name begins so; not an array's children."""
        filters = [{"name": "JOB_NAME", "values": [f"{beginning}*"]}]
        of = f"job queue `{queue}`"
        jobs = self._aws.items("batch", "ListJobs", "jobSummaryList", of=of, jobQueue=queue, filters=filters)
        found = [job["jobId"] async for job in jobs if job["status"] not in ENDED]
        details: list[Mapping[str, Any]] = []
        for start in range(0, len(found), IDS_PER_CALL):
            ids = found[start : start + IDS_PER_CALL]
            details += (await self._aws.call("batch", "DescribeJobs", of=of, jobs=ids))["jobs"]
        return details

    async def position(self, queue: str, job_id: str) -> int | None:
        """The job's place among the queue's first 100 RUNNABLE ones, from 1; None when it is not among them."""
        answer = await self._aws.call("batch", "GetJobQueueSnapshot", of=f"job queue `{queue}`", jobQueue=queue)
        waiting = [job["jobArn"].rpartition("/")[2] for job in answer.get("frontOfQueue", {}).get("jobs", ())]
        return waiting.index(job_id) + 1 if job_id in waiting else None

    async def environments(self, queue: str) -> list[Mapping[str, Any]]:
        """The queue's compute environments, as DescribeComputeEnvironments tells of them, in the queue's order."""
        answer = await self._aws.call("batch", "DescribeJobQueues", of=f"job queue `{queue}`", jobQueues=[queue])
        return await self._environments_of(answer["jobQueues"][0])

    async def _environments_of(self, queue: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        order = sorted(queue.get("computeEnvironmentOrder", ()), key=lambda entry: entry["order"])
        if not order:  # without names AWS would tell of all there are
            return []
        names = [entry["computeEnvironment"] for entry in order]
        of = f"the compute environments of job queue `{queue['jobQueueName']}`"
        found = await self._aws.call("batch", "DescribeComputeEnvironments", of=of, computeEnvironments=names)
        return list(found["computeEnvironments"])

    async def describe(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """The jobs that AWS Batch knows, by id; any number of ids, 100 a call."""
        found: dict[str, JobState] = {}
        for start in range(0, len(job_ids), IDS_PER_CALL):
            ids = list(job_ids[start : start + IDS_PER_CALL])
            answer = await self._aws.call("batch", "DescribeJobs", of="the jobs", jobs=ids)
            found |= {detail["jobId"]: state_of(detail) for detail in answer["jobs"]}
        return found

    async def failed_children(self, parent: str) -> list[str]:
        """The ids of an array's children that have failed so far."""
        of, failed = f"array job `{parent}`", {"arrayJobId": parent, "jobStatus": "FAILED"}
        return [job["jobId"] async for job in self._aws.items("batch", "ListJobs", "jobSummaryList", of=of, **failed)]

    async def terminate(self, job_id: str, reason: str) -> None:
        """Ends a job in any state; one that has ended, or that AWS Batch has forgotten, is fine too."""
        try:
            await self._aws.call("batch", "TerminateJob", of=f"job `{job_id}`", jobId=job_id, reason=reason)
        except (NotFound, Refused):
            return
