# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS Batch's API with jobs that run as AWS runs them.

Extends moto's Batch, whose compute environments, queues, definitions and tags it keeps; jobs are its own. What it needs
of moto is pinned by test_moto_has_not_moved.py.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from moto.batch import urls
from moto.batch.exceptions import ClientException
from moto.batch.models import BatchBackend, JobDefinition, JobQueue, batch_backends
from moto.batch.responses import BatchResponse

from . import validation
from .jobs import RUNNABLE, RUNNING, STATUSES, Job, Request
from .scheduler import Scheduler

IDS_PER_CALL = 100  # DescribeJobs refuses more: API model, DescribeJobsRequest
PAGE = 1000  # ListJobs; 100 with filters
FILTERED_PAGE = 100
DEFINITIONS_PAGE = 100
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
SNAPSHOT = 100  # GetJobQueueSnapshot shows the first so many RUNNABLE jobs
ONCE: dict[str, Any] = {"attempts": 1, "evaluateOnExit": []}
T = TypeVar("T")


class LocalBatchBackend(BatchBackend):
    """Jobs live in `loop`, with `scheduler`; the API's threads hand their wishes over to it."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    scheduler: ClassVar[Scheduler]

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.jobs: dict[str, Job] = {}

    @property
    def url_bases(self) -> list[str]:
        return list(urls.url_bases)

    @property
    def url_paths(self) -> dict[str, Any]:
        paths = [*urls.url_paths, "{0}/v1/getjobqueuesnapshot"]
        return {path.format(""): LocalBatchResponse.dispatch for path in paths}

    def _in_loop(self, deed: Callable[[], T]) -> T:
        async def run() -> T:
            return deed()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result()

    # ---- definitions and queues ---------------------------------------------------------------------------------
    def add_definition(self, told: dict[str, Any]) -> JobDefinition:
        """RegisterJobDefinition: each revision stands for itself; moto fills gaps from the one before."""
        validation.check_definition(told["container_properties"], told["platform_capabilities"])
        validation.check_retry(told["retry_strategy"])
        validation.check_timeout(told["timeout"])
        for rule in (told["retry_strategy"] or {}).get("evaluateOnExit") or ():
            rule["action"] = rule["action"].lower()  # as AWS tells it afterwards
        before = self.get_job_definition_by_name(told["name"])
        definition = JobDefinition(**told, backend=self, revision=before.revision if before else 0)
        self._job_definitions[definition.arn] = definition
        return definition

    def create_job_queue(self, **told: Any) -> JobQueue:
        """CreateJobQueue: enabled unless it says otherwise; moto wants it said."""
        return super().create_job_queue(**told | {"state": told["state"] or "ENABLED"})

    def _active_definition(self, identifier: str) -> JobDefinition:
        """By ARN, `name:revision` or name: then the latest that is active."""
        if ":" in identifier:
            found = self.get_job_definition(identifier)
        else:
            named = [each for each in self.get_job_definitions(identifier) if each.status == "ACTIVE"]
            found = max(named, key=lambda each: each.revision, default=None)
        if found is None or found.status != "ACTIVE":
            raise ClientException(f"Job definition {identifier} does not exist or is not active")
        return found

    def _enabled_queue(self, identifier: str) -> JobQueue:
        queue = self._queue(identifier)
        if queue.state != "ENABLED":
            raise ClientException(f"Job queue {queue.name} is {queue.state}: it takes no jobs")
        return queue

    def _queue(self, identifier: str) -> JobQueue:
        queue = self.get_job_queue(identifier)
        if queue is None:
            raise ClientException(f"Job queue {identifier} does not exist")
        return queue

    # ---- jobs ---------------------------------------------------------------------------------------------------
    def submit(self, told: dict[str, Any]) -> Job:
        """SubmitJob; `told` is its request."""
        if not JOB_NAME.fullmatch(told.get("jobName", "")):
            raise ClientException(f"Job name should match {JOB_NAME.pattern}")
        size = (told.get("arrayProperties") or {}).get("size")
        validation.check_array(told.get("arrayProperties"))
        validation.check_retry(told.get("retryStrategy"))
        validation.check_timeout(told.get("timeout"))
        validation.check_environment((told.get("containerOverrides") or {}).get("environment"))
        return self._in_loop(lambda: self._start(self._request(told), size))

    def _request(self, told: dict[str, Any]) -> Request:
        definition = self._active_definition(told.get("jobDefinition", ""))
        return Request(
            name=told["jobName"],
            definition=definition,
            queue=self._enabled_queue(told.get("jobQueue", "")),
            overrides=told.get("containerOverrides") or {},
            retry=ONCE | (told.get("retryStrategy") or definition.retry_strategy or {}),
            timeout=told.get("timeout") or definition.timeout,
            parameters={**definition.parameters, **(told.get("parameters") or {})},
            depends_on=told.get("dependsOn") or [],
            tags=told.get("tags") or {},
        )

    def _start(self, request: Request, size: int | None) -> Job:
        prefix = f"arn:{self.partition}:batch:{self.region_name}:{self.account_id}"
        job = Job(request, prefix)
        if size is not None:
            job.spawn(size)
        awaited = [self._known(each["jobId"]) for each in request.depends_on if "jobId" in each]
        self.tag_resource(job.arn, request.tags)
        self.jobs |= {each.id: each for each in (job, *job.children)}
        self.scheduler.submit(job, awaited)
        return job

    def _known(self, job_id: str) -> Job:
        job = self.jobs.get(job_id)
        if job is None:
            raise ClientException(f"Job {job_id} does not exist")
        return job

    def describe(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """DescribeJobs: ids or ARNs; those nobody knows are left out."""
        if len(ids) > IDS_PER_CALL:
            raise ClientException(f"jobs takes at most {IDS_PER_CALL} ids, not {len(ids)}")
        found = (self.jobs.get(each.rpartition("job/")[2]) for each in ids)
        seen = [job for job in found if job and not self.scheduler.faults.unseen(job)]
        return self._in_loop(lambda: [job.describe() for job in seen])

    def stop(self, job_id: str, reason: str, *, running_too: bool) -> None:
        if not job_id or not reason:
            raise ClientException("jobId and reason are required, and can't be empty")
        job = self._known(job_id)
        self._in_loop(lambda: self.scheduler.stop(job, reason, running_too=running_too))

    def listed(self, told: dict[str, Any]) -> list[Job]:
        """ListJobs before it is cut into pages: by queue without array children, by array its children."""
        if sum(bool(told.get(key)) for key in ("jobQueue", "arrayJobId", "multiNodeJobId")) != 1:
            raise ClientException("exactly one of jobQueue, arrayJobId and multiNodeJobId is required")
        if array := told.get("arrayJobId"):
            return _of_status(self._known(array).children, told.get("jobStatus"))
        queue = self._queue(told.get("jobQueue") or "")
        jobs = [job for job in reversed(list(self.jobs.values())) if job.request.queue is queue and not job.parent]
        filters = told.get("filters") or []
        if len(filters) > 1:
            raise ClientException("only one filter can be used at a time")
        return [j for j in jobs if _passes(j, filters[0])] if filters else _of_status(jobs, told.get("jobStatus"))

    def snapshot(self, queue_name: str) -> dict[str, Any]:
        """GetJobQueueSnapshot: what waits for a place, first come first."""
        queue = self._queue(queue_name)
        waiting = [job for job in list(self.jobs.values()) if job.request.queue is queue and job.status == RUNNABLE]
        waiting = sorted((job for job in waiting if not job.children), key=lambda job: job.runnable_at)[:SNAPSHOT]
        jobs = [{"jobArn": job.arn, "earliestTimeAtPosition": job.runnable_at} for job in waiting]
        return {"frontOfQueue": {"jobs": jobs, "lastUpdatedAt": max((j.runnable_at for j in waiting), default=0)}}


def _of_status(jobs: list[Job], status: str | None) -> list[Job]:
    if status is not None and status not in STATUSES:
        raise ClientException(f"Job status is not one of {' | '.join(STATUSES)}")
    return [job for job in jobs if job.status == (status or RUNNING)]


def _passes(job: Job, condition: dict[str, Any]) -> bool:
    name, values = condition["name"], condition["values"]
    if name == "JOB_NAME":
        return any(_named(job.request.name, value) for value in values)
    if name == "JOB_DEFINITION":
        return any(_named(job.request.definition.name, value) for value in values)
    if name in ("AFTER_CREATED_AT", "BEFORE_CREATED_AT"):
        after = job.created_at > int(values[0])
        return after if name.startswith("AFTER") else not after
    raise ClientException(f"{name} is no filter")


def _named(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def page(items: list[T], size: int, token: str | None) -> tuple[list[T], dict[str, str]]:
    """One page, and the `nextToken` where there are more."""
    begin = int(token or 0)
    more = {"nextToken": str(begin + size)} if begin + size < len(items) else {}
    return items[begin : begin + size], more


class LocalBatchResponse(BatchResponse):
    """The requests that moto takes in part, whole."""

    @property
    def batch_backend(self) -> LocalBatchBackend:
        backend = batch_backends[self.current_account][self.region]
        assert isinstance(backend, LocalBatchBackend)
        return backend

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body or "{}")
        return told

    def updatecomputeenvironment(self) -> str:
        """As moto's, but everything that is told counts, subnets and security groups too."""
        answer: str = super().updatecomputeenvironment()
        told = self._told()
        environment = self.batch_backend.get_compute_environment(told["computeEnvironment"])
        if environment is not None and environment.compute_resources is not None:
            environment.compute_resources |= told.get("computeResources") or {}
        return answer

    def createjobqueue(self) -> str:
        answer: str = super().createjobqueue()
        self._keep_limits(self._told()["jobQueueName"])
        return answer

    def updatejobqueue(self) -> str:
        answer: str = super().updatejobqueue()
        self._keep_limits(self._told()["jobQueue"])
        return answer

    def _keep_limits(self, queue: str) -> None:
        """`jobStateTimeLimitActions`, which moto forgets."""
        if (limits := self._told().get("jobStateTimeLimitActions")) is not None:
            self.batch_backend._queue(queue).limits = limits

    def describejobqueues(self) -> str:
        told = json.loads(super().describejobqueues())
        for queue in told["jobQueues"]:
            limits = getattr(self.batch_backend._queue(queue["jobQueueArn"]), "limits", [])
            queue["jobStateTimeLimitActions"] = limits
        return json.dumps(told)

    def registerjobdefinition(self) -> str:
        told = self._told()
        definition = self.batch_backend.add_definition(
            {
                "name": told.get("jobDefinitionName"),
                "_type": told.get("type"),
                "parameters": told.get("parameters"),
                "tags": told.get("tags") or {},
                "retry_strategy": told.get("retryStrategy"),
                "container_properties": told.get("containerProperties"),
                "node_properties": told.get("nodeProperties"),
                "eks_properties": told.get("eksProperties"),
                "timeout": told.get("timeout"),
                "platform_capabilities": told.get("platformCapabilities"),
                "propagate_tags": told.get("propagateTags"),
            }
        )
        names = {"jobDefinitionName": definition.name, "jobDefinitionArn": definition.arn}
        return json.dumps(names | {"revision": definition.revision})

    def describejobdefinitions(self) -> str:
        told = self._told()
        wanted = (told.get("jobDefinitionName"), told.get("jobDefinitions"), told.get("status"))
        found = self.batch_backend.describe_job_definitions(*wanted)
        some, more = page(found, told.get("maxResults") or DEFINITIONS_PAGE, told.get("nextToken"))
        return json.dumps({"jobDefinitions": [each.describe() for each in some]} | more)

    def submitjob(self) -> str:
        validation.check_payload(self.body)
        job = self.batch_backend.submit(self._told())
        return json.dumps({"jobId": job.id, "jobName": job.request.name, "jobArn": job.arn})

    def describejobs(self) -> str:
        return json.dumps({"jobs": self.batch_backend.describe(self._told().get("jobs") or [])})

    def listjobs(self) -> str:
        told = self._told()
        most = FILTERED_PAGE if told.get("filters") else PAGE
        size = min(told.get("maxResults") or most, most)
        some, more = page(self.batch_backend.listed(told), size, told.get("nextToken"))
        return json.dumps({"jobSummaryList": [job.summarize() for job in some]} | more)

    def terminatejob(self) -> str:
        self._stop(running_too=True)
        return "{}"

    def canceljob(self) -> str:
        self._stop(running_too=False)
        return "{}"

    def _stop(self, *, running_too: bool) -> None:
        told = self._told()
        self.batch_backend.stop(told.get("jobId", ""), told.get("reason", ""), running_too=running_too)

    def getjobqueuesnapshot(self) -> str:
        return json.dumps(self.batch_backend.snapshot(self._told().get("jobQueue", "")))


def install(loop: asyncio.AbstractEventLoop, scheduler: Scheduler) -> None:
    """From now on this process's moto answers for Batch with the backend above."""
    LocalBatchBackend.loop, LocalBatchBackend.scheduler = loop, scheduler
    batch_backends.backend = LocalBatchBackend
