# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The operations of AWS Batch on job queues and their compute environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..aws.session import AWS
from ..errors import NotAllowed, NotFound, SettingError
from .instance_types import Machines, is_fargate, machines, platforms
from .resources import check_runs_containers

DESCRIBE_QUEUES, DESCRIBE_ENVIRONMENTS = "batch:DescribeJobQueues", "batch:DescribeComputeEnvironments"
NO_JOB = "00000000-0000-0000-0000-000000000000"  # the id of no job


@dataclass(frozen=True)
class Queue:
    """A job queue that accepts jobs, and the kind of its instances.

    `platform` is that of all instances, as Docker names it; "" if they have several, and on Fargate, which has both.
    `fair_share` tells whether the queue has a fair-share scheduling policy, and is None if AWS may not be asked.
    """

    arn: str
    fargate: bool
    platform: str = ""
    fair_share: bool | None = None
    machines: tuple[Machines, ...] = ()


def _check_accepts(name: str, queue: Mapping[str, Any]) -> None:
    """Raise SettingError if a queue (of DescribeJobQueues) accepts no jobs."""
    if queue.get("state", "ENABLED") != "ENABLED" or queue.get("status", "VALID") not in ("VALID", "UPDATING"):
        raise SettingError(
            f"The job queue `{name}` accepts no jobs: it is {queue.get('state')}, {queue.get('status')}.",
            says=f"AWS says: {queue['statusReason']}" if queue.get("statusReason") else "",
            advice=f"Run `aws batch update-job-queue --job-queue {name} --state ENABLED`, or name another queue.",
        )


class Queues:
    """The queues of one connection."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws

    async def queue(self, name: str) -> Queue:
        """Return a queue. Raises NotFound if it does not exist, and SettingError if it does not take our jobs.

        Without `batch:DescribeJobQueues` the queue is taken for one on EC2 that exists.
        """
        if self._aws.permissions.lacks(DESCRIBE_QUEUES):
            return Queue(name, fargate=False)
        try:
            answer = await self._aws.call("batch", "DescribeJobQueues", of=f"job queue `{name}`", jobQueues=[name])
        except NotAllowed as error:
            consequence = f"The job queue `{name}` is taken for one on EC2 that accepts jobs."
            self._aws.permissions.go_without(error, DESCRIBE_QUEUES, consequence)
            await self._aws.call("batch", "DescribeJobs", of="the jobs", jobs=[NO_JOB])  # no task goes without this
            return Queue(name, fargate=False)
        if not answer["jobQueues"]:
            raise NotFound(
                f"The job queue `{name}` does not exist in this account's Region {await self._aws.region()}.",
                says="AWS says: no queue of that name or ARN.",
                advice="Correct `batch_queue`, `region` or `profile`;"
                " `aws batch describe-job-queues` lists the queues.",
            )
        queue = answer["jobQueues"][0]
        _check_accepts(name, queue)
        environments = await self._environments_if_allowed(queue)
        check_runs_containers(name, queue, environments)
        there = platforms(environments)
        return Queue(
            arn=queue["jobQueueArn"],
            fargate=is_fargate(environments) or queue.get("jobQueueType") == "ECS_FARGATE",
            platform=there[0] if len(there) == 1 else "",
            fair_share=bool(queue.get("schedulingPolicyArn")),
            machines=machines(environments),
        )

    async def _environments_if_allowed(self, queue: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        if self._aws.permissions.lacks(DESCRIBE_ENVIRONMENTS):
            return []
        try:
            return await self._environments_of(queue)
        except NotAllowed as error:
            kind = "on Fargate" if queue.get("jobQueueType") == "ECS_FARGATE" else "on EC2, with processors of any kind"
            consequence = f"The job queue `{queue['jobQueueName']}` is taken for one {kind}."
            self._aws.permissions.go_without(error, DESCRIBE_ENVIRONMENTS, consequence)
            return []

    async def position(self, queue: str, job_id: str) -> int | None:
        """Return the job's place, from 1, among the queue's first 100 RUNNABLE jobs; None if it has none."""
        waiting = await self.front_of_queue(queue)
        return waiting.index(job_id) + 1 if job_id in waiting else None

    async def front_of_queue(self, queue: str) -> list[str]:
        """Return the ids of the queue's first RUNNABLE jobs, at most 100, in the order in which they will start."""
        answer = await self._aws.call("batch", "GetJobQueueSnapshot", of=f"job queue `{queue}`", jobQueue=queue)
        return [job["jobArn"].rpartition("/")[2] for job in answer.get("frontOfQueue", {}).get("jobs", ())]

    async def summaries(self, queue: str, *, name: str = "", since: float = 0.0) -> list[Mapping[str, Any]]:
        """Return the queue's JobSummaries in any state, the newest first; children of arrays are not included.

        `name` is the beginning of the jobs' names, and `since` the time of their creation (Unix seconds). ListJobs
        takes one filter, which shows all states, so the other condition is checked here.
        """
        after = {"name": "AFTER_CREATED_AT", "values": [str(int(since * 1000))]}
        filters = [{"name": "JOB_NAME", "values": [f"{name}*"]} if name and not since else after]
        of = f"job queue `{queue}`"
        jobs = self._aws.items("batch", "ListJobs", "jobSummaryList", of=of, jobQueue=queue, filters=filters)
        return [job async for job in jobs if job["jobName"].startswith(name)]

    async def environments(self, queue: str) -> list[Mapping[str, Any]]:
        """Return the queue's compute environments in the queue's order, as AWS describes them."""
        answer = await self._aws.call("batch", "DescribeJobQueues", of=f"job queue `{queue}`", jobQueues=[queue])
        return await self._environments_of(answer["jobQueues"][0])

    async def instance_types(self, patterns: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the types that match names or patterns such as `g5.*`, as DescribeInstanceTypes gives them."""
        of, filters = "the instance types", [{"Name": "instance-type", "Values": list(patterns)}]
        types = self._aws.items("ec2", "DescribeInstanceTypes", "InstanceTypes", of=of, Filters=filters)
        return [each async for each in types]

    async def _environments_of(self, queue: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        order = sorted(queue.get("computeEnvironmentOrder", ()), key=lambda entry: entry["order"])
        if not order:  # without names AWS describes all environments
            return []
        names = [entry["computeEnvironment"] for entry in order]
        of = f"the compute environments of job queue `{queue['jobQueueName']}`"
        answer = await self._aws.call("batch", "DescribeComputeEnvironments", of=of, computeEnvironments=names)
        return list(answer["computeEnvironments"])
