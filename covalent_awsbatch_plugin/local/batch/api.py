# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS Batch's API with jobs that run.

It extends moto's Batch: compute environments, queues, definitions and tags are moto's, jobs are not.
test_moto_has_not_moved.py checks the parts of moto that this module uses.
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

from .. import faults
from ..service_client import ServiceClient
from . import queues, validation
from .account import Networks, Roles
from .jobs import RUNNABLE, Job, Request
from .listing import of_status, page, passes
from .scheduler import Scheduler

IDS_PER_CALL = 100  # DescribeJobs refuses more: API model, DescribeJobsRequest
PAGE = 1000  # ListJobs; 100 with filters
FILTERED_PAGE = 100
DEFINITIONS_PAGE = 100
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
SNAPSHOT = 100  # GetJobQueueSnapshot shows this number of RUNNABLE jobs
ONCE: dict[str, Any] = {"attempts": 1, "evaluateOnExit": []}
T = TypeVar("T")


class NotVisibleYet(ClientException):
    """A resource that AWS Batch does not show yet; AWS gives this ClientException the status 404."""

    STATUS = 404


class LocalBatchBackend(BatchBackend):
    """A backend whose jobs run in `loop`, under `scheduler`. The API's threads submit calls to the loop."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    scheduler: ClassVar[Scheduler]
    roles: ClassVar[Roles]
    networks: ClassVar[Networks | None]  # None where EC2 is this process's moto

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.jobs: dict[str, Job] = {}

    @property
    def iam_backend(self) -> Roles:
        return self.roles

    @property
    def ec2_backend(self) -> Any:
        return self.networks or super().ec2_backend

    @staticmethod
    def find_min_instances_to_meet_vcpus(instance_types: list[str], target: float) -> list[str]:
        """Return no instance to start: jobs run on this machine."""
        return []

    @property
    def url_bases(self) -> list[str]:
        return list(urls.url_bases)

    @property
    def url_paths(self) -> dict[str, Any]:
        paths = [*urls.url_paths, "{0}/v1/getjobqueuesnapshot"]
        return {path.format(""): LocalBatchResponse.dispatch for path in paths}

    def _in_loop(self, function: Callable[[], T]) -> T:
        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result()

    # ---- definitions and queues ---------------------------------------------------------------------------------
    def add_definition(self, fields: dict[str, Any]) -> JobDefinition:
        """Register a revision of a job definition. Moto would fill missing fields from the revision before."""
        validation.check_definition(fields["container_properties"], fields["platform_capabilities"])
        validation.check_retry(fields["retry_strategy"])
        validation.check_timeout(fields["timeout"])
        for rule in (fields["retry_strategy"] or {}).get("evaluateOnExit") or ():
            rule["action"] = rule["action"].lower()  # as DescribeJobDefinitions shows it
        before = self.get_job_definition_by_name(fields["name"])
        definition = JobDefinition(**fields, backend=self, revision=before.revision if before else 0)
        self._job_definitions[definition.arn] = definition
        return definition

    def create_job_queue(self, **fields: Any) -> JobQueue:
        """Create a job queue, enabled by default. Moto has no default."""
        return super().create_job_queue(**fields | {"state": fields["state"] or "ENABLED"})

    def _active_definition(self, identifier: str) -> JobDefinition:
        """Return the active definition of an ARN, `name:revision` or name (the latest). Raises ClientException."""
        if ":" in identifier:
            definition = self.get_job_definition(identifier)
        else:
            revisions = [each for each in self.get_job_definitions(identifier) if each.status == "ACTIVE"]
            definition = max(revisions, key=lambda each: each.revision, default=None)
        if definition is None or definition.status != "ACTIVE":
            raise ClientException(f"Job definition {identifier} does not exist or is not active")
        if self.scheduler.faults.hides(faults.UNKNOWN_DEFINITION, definition.name, definition.arn):
            raise NotVisibleYet(f"JobDefinition {identifier} does not exist")
        return definition

    def definitions(self, name: str | None, identifiers: list[str] | None, status: str | None) -> list[JobDefinition]:
        """Return the definitions of DescribeJobDefinitions; a deregistered one may still be shown as active."""
        definitions = self.describe_job_definitions(name, identifiers, None)
        if status is None:
            return definitions
        return [each for each in definitions if self._shown_status(each) == status]

    def _shown_status(self, definition: JobDefinition) -> str:
        stale = definition.status != "ACTIVE" and self.scheduler.faults.hides(
            faults.STALE_DEFINITION, definition.name, definition.arn
        )
        return "ACTIVE" if stale else str(definition.status)

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
    def submit(self, parameters: dict[str, Any]) -> Job:
        """Submit a job with the parameters of SubmitJob. Raises ClientException where AWS does."""
        if not JOB_NAME.fullmatch(parameters.get("jobName", "")):
            raise ClientException(f"Job name should match {JOB_NAME.pattern}")
        size = (parameters.get("arrayProperties") or {}).get("size")
        validation.check_array(parameters.get("arrayProperties"))
        validation.check_retry(parameters.get("retryStrategy"))
        validation.check_timeout(parameters.get("timeout"))
        validation.check_environment((parameters.get("containerOverrides") or {}).get("environment"))
        return self._in_loop(lambda: self._start(self._request(parameters), size))

    def _request(self, parameters: dict[str, Any]) -> Request:
        definition = self._active_definition(parameters.get("jobDefinition", ""))
        queue = self._enabled_queue(parameters.get("jobQueue", ""))
        queues.check_submission(queue, definition, parameters)
        return Request(
            name=parameters["jobName"],
            definition=definition,
            queue=queue,
            overrides=parameters.get("containerOverrides") or {},
            retry=ONCE | (parameters.get("retryStrategy") or definition.retry_strategy or {}),
            timeout=parameters.get("timeout") or definition.timeout,
            parameters={**definition.parameters, **(parameters.get("parameters") or {})},
            depends_on=parameters.get("dependsOn") or [],
            tags=parameters.get("tags") or {},
            share=queues.share(parameters),
        )

    def _start(self, request: Request, size: int | None) -> Job:
        prefix = f"arn:{self.partition}:batch:{self.region_name}:{self.account_id}"
        job = Job(request, prefix)
        if size is not None:
            job.spawn(size)
        dependencies = [self._job(each["jobId"]) for each in request.depends_on if "jobId" in each]
        self.tag_resource(job.arn, request.tags)
        self.jobs |= {each.id: each for each in (job, *job.children)}
        self.scheduler.submit(job, dependencies)
        return job

    def _job(self, job_id: str) -> Job:
        job = self.jobs.get(job_id)
        if job is None:
            raise ClientException(f"Job {job_id} does not exist")
        return job

    def describe(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Describe jobs by id or ARN, without unknown ones."""
        if len(ids) > IDS_PER_CALL:
            raise ClientException(f"jobs takes at most {IDS_PER_CALL} ids, not {len(ids)}")
        candidates = (self.jobs.get(each.rpartition("job/")[2]) for each in ids)
        jobs = [job for job in candidates if job and not self.scheduler.faults.unseen(job)]
        return self._in_loop(lambda: [job.describe() for job in jobs])

    def stop(self, job_id: str, reason: str, *, running_too: bool) -> None:
        """Terminate a job (`running_too`), or cancel it before it starts. Raises ClientException."""
        if not job_id or not reason:
            raise ClientException("jobId and reason are required, and can't be empty")
        job = self._job(job_id)
        if self.scheduler.faults.unknown(job):
            raise ClientException(f"Job {job_id} does not exist")
        self._in_loop(lambda: self.scheduler.stop(job, reason, running_too=running_too))

    def listed(self, parameters: dict[str, Any]) -> list[Job]:
        """Return all jobs of ListJobs: those of a queue without array children, or the children of an array."""
        if sum(bool(parameters.get(key)) for key in ("jobQueue", "arrayJobId", "multiNodeJobId")) != 1:
            raise ClientException("exactly one of jobQueue, arrayJobId and multiNodeJobId is required")
        if array := parameters.get("arrayJobId"):
            return of_status(self._job(array).children, parameters.get("jobStatus"))
        queue = self._queue(parameters.get("jobQueue") or "")
        jobs = [job for job in reversed(list(self.jobs.values())) if job.request.queue is queue and not job.parent]
        filters = parameters.get("filters") or []
        if len(filters) > 1:
            raise ClientException("only one filter can be used at a time")
        return [j for j in jobs if passes(j, filters[0])] if filters else of_status(jobs, parameters.get("jobStatus"))

    def snapshot(self, queue_name: str) -> dict[str, Any]:
        """Return the RUNNABLE jobs of a queue, the oldest first, as GetJobQueueSnapshot does."""
        queue = self._queue(queue_name)
        waiting = [job for job in list(self.jobs.values()) if job.request.queue is queue and job.status == RUNNABLE]
        waiting = sorted((job for job in waiting if not job.children), key=lambda job: job.runnable_at)[:SNAPSHOT]
        jobs = [{"jobArn": job.arn, "earliestTimeAtPosition": job.runnable_at} for job in waiting]
        return {"frontOfQueue": {"jobs": jobs, "lastUpdatedAt": max((j.runnable_at for j in waiting), default=0)}}


class LocalBatchResponse(BatchResponse):
    """The operations that moto lacks or implements in part."""

    @property
    def batch_backend(self) -> LocalBatchBackend:
        backend = batch_backends[self.current_account][self.region]
        assert isinstance(backend, LocalBatchBackend)
        return backend

    def _parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = json.loads(self.body or "{}")
        return parameters

    def updatecomputeenvironment(self) -> str:
        """Update a compute environment with all given fields, subnets and security groups included."""
        response: str = super().updatecomputeenvironment()
        parameters = self._parameters()
        environment = self.batch_backend.get_compute_environment(parameters["computeEnvironment"])
        if environment is not None and environment.compute_resources is not None:
            environment.compute_resources |= parameters.get("computeResources") or {}
        return response

    def createjobqueue(self) -> str:
        parameters = self._parameters()
        queues.check_policy(self.batch_backend, parameters.get("schedulingPolicyArn"))
        response: str = super().createjobqueue()
        self._keep_limits(parameters["jobQueueName"])
        if order := parameters.get("serviceEnvironmentOrder"):
            self.batch_backend._queue(parameters["jobQueueName"]).service_order = order
        return response

    def createcomputeenvironment(self) -> str:
        """Create a compute environment, of EKS where it has an `eksConfiguration`."""
        response: str = super().createcomputeenvironment()
        parameters = self._parameters()
        environment = self.batch_backend.get_compute_environment(parameters["computeEnvironmentName"])
        environment.eks = parameters.get("eksConfiguration")
        return response

    def describecomputeenvironments(self) -> str:
        response = json.loads(super().describecomputeenvironments())
        for fields in response["computeEnvironments"]:
            environment = self.batch_backend.get_compute_environment(fields["computeEnvironmentArn"])
            fields |= queues.orchestration(environment)
        return json.dumps(response)

    def updatejobqueue(self) -> str:
        response: str = super().updatejobqueue()
        self._keep_limits(self._parameters()["jobQueue"])
        return response

    def _keep_limits(self, queue: str) -> None:
        """Store `jobStateTimeLimitActions`, which moto ignores."""
        if (limits := self._parameters().get("jobStateTimeLimitActions")) is not None:
            self.batch_backend._queue(queue).limits = limits

    def describejobqueues(self) -> str:
        response = json.loads(super().describejobqueues())
        queue_of = self.batch_backend._queue
        described = [queues.described(queue_of(each["jobQueueArn"]), each) for each in response["jobQueues"]]
        return json.dumps({"jobQueues": described})

    def registerjobdefinition(self) -> str:
        parameters = self._parameters()
        definition = self.batch_backend.add_definition(
            {
                "name": parameters.get("jobDefinitionName"),
                "_type": parameters.get("type"),
                "parameters": parameters.get("parameters"),
                "tags": parameters.get("tags") or {},
                "retry_strategy": parameters.get("retryStrategy"),
                "container_properties": parameters.get("containerProperties"),
                "node_properties": parameters.get("nodeProperties"),
                "eks_properties": parameters.get("eksProperties"),
                "timeout": parameters.get("timeout"),
                "platform_capabilities": parameters.get("platformCapabilities"),
                "propagate_tags": parameters.get("propagateTags"),
            }
        )
        names = {"jobDefinitionName": definition.name, "jobDefinitionArn": definition.arn}
        return json.dumps(names | {"revision": definition.revision})

    def describejobdefinitions(self) -> str:
        parameters = self._parameters()
        filters = (parameters.get("jobDefinitionName"), parameters.get("jobDefinitions"), parameters.get("status"))
        definitions = self.batch_backend.definitions(*filters)
        some, more = page(definitions, parameters.get("maxResults") or DEFINITIONS_PAGE, parameters.get("nextToken"))
        return json.dumps({"jobDefinitions": [each.describe() for each in some]} | more)

    def submitjob(self) -> str:
        validation.check_payload(self.body)
        job = self.batch_backend.submit(self._parameters())
        return json.dumps({"jobId": job.id, "jobName": job.request.name, "jobArn": job.arn})

    def describejobs(self) -> str:
        return json.dumps({"jobs": self.batch_backend.describe(self._parameters().get("jobs") or [])})

    def listjobs(self) -> str:
        parameters = self._parameters()
        most = FILTERED_PAGE if parameters.get("filters") else PAGE
        size = min(parameters.get("maxResults") or most, most)
        some, more = page(self.batch_backend.listed(parameters), size, parameters.get("nextToken"))
        return json.dumps({"jobSummaryList": [job.summarize() for job in some]} | more)

    def terminatejob(self) -> str:
        self._stop(running_too=True)
        return "{}"

    def canceljob(self) -> str:
        self._stop(running_too=False)
        return "{}"

    def _stop(self, *, running_too: bool) -> None:
        parameters = self._parameters()
        self.batch_backend.stop(parameters.get("jobId", ""), parameters.get("reason", ""), running_too=running_too)

    def getjobqueuesnapshot(self) -> str:
        return json.dumps(self.batch_backend.snapshot(self._parameters().get("jobQueue", "")))


def install(
    loop: asyncio.AbstractEventLoop, scheduler: Scheduler, services: ServiceClient, *, ec2_is_moto: bool
) -> None:
    """Make this process's moto use the backend above for Batch."""
    LocalBatchBackend.loop, LocalBatchBackend.scheduler = loop, scheduler
    LocalBatchBackend.roles = Roles(services, loop)
    LocalBatchBackend.networks = None if ec2_is_moto else Networks(services, loop)
    batch_backends.backend = LocalBatchBackend
