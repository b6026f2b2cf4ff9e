# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The instance that runs a job: the container's environment, and the reasons why ECS would not start it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from moto.iam.exceptions import NotFoundException
from moto.iam.models import IAMBackend, iam_backends
from moto.logs.models import LogsBackend, logs_backends

from ...runner.protocol import layout
from ..engines.base import Container, PullFailed, reference_of
from ..iam.enforcement import Guard, Role, denial
from ..iam.required_actions import ANY, Need
from ..iam.task_credentials import CredentialsEndpoint
from ..logs import LogWriter
from .jobs import Attempt, Job

DEFAULT_GROUP = "/aws/batch/job"
TOKEN_VARIABLE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105 - a name, not a token
CANT_ASSUME = (
    "ECS was unable to assume the role '{}' that was provided for this task. Please verify that the role being passed "
    "has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
)
NO_GROUP = (
    "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create "
    "Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
)
CANT = {
    "ecr": "CannotPullECRContainerError: AccessDeniedException: {}",
    "log": "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to "
    "create Cloudwatch log stream: AccessDeniedException: {}",
}


@dataclass(frozen=True)
class Host:
    """An instance of the offline AWS. A container reaches the AWS API and the credentials endpoint at the two URLs."""

    account_id: str
    region: str
    endpoint_url: str
    credentials_url: str
    credentials: CredentialsEndpoint

    @property
    def _iam(self) -> IAMBackend:
        return iam_backends[self.account_id]["aws"]

    @property
    def _logs(self) -> LogsBackend:
        return logs_backends[self.account_id][self.region]

    def problem(self, job: Job) -> str | None:
        properties = job.request.properties
        for role in filter(None, (properties.get("executionRoleArn"), properties.get("jobRoleArn"))):
            try:
                self._iam.get_role_by_arn(role)
            except NotFoundException:
                return CANT_ASSUME.format(role)
        if denied := self._denial(job):
            return denied
        options = _log_options(job)
        if options["awslogs-group"] == DEFAULT_GROUP or options.get("awslogs-create-group") == "true":
            self._logs.ensure_log_group(options["awslogs-group"])
        return None if options["awslogs-group"] in self._logs.groups else NO_GROUP

    def _denial(self, job: Job) -> str | None:
        """Return the error of the first permission that the execution role lacks, None without enforced IAM."""
        role, guard = job.request.properties.get("executionRoleArn"), Guard.current
        if role is None or guard is None:
            return None
        who = Role(self.account_id, role)
        try:
            needs = list(self._needs(job))
        except PullFailed as failed:
            return f"CannotPullContainerError: {failed}"
        denied = (need for need in needs if not guard.allows(who, need))
        return next((CANT[need.action[:3]].format(denial(who, need)) for need in denied), None)

    def _needs(self, job: Job) -> Iterator[Need]:
        """Yield the permissions that the execution role needs.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
        """
        where = f"{self.region}:{self.account_id}"
        repository = reference_of(job.request.properties["image"]).repository
        yield Need("ecr:GetAuthorizationToken", ANY)
        for action in ("BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage"):
            yield Need(f"ecr:{action}", f"arn:aws:ecr:{where}:repository/{repository}")
        stream = f"log-group:{_log_options(job)['awslogs-group']}:log-stream:new"
        for action in ("CreateLogStream", "PutLogEvents"):
            yield Need(f"logs:{action}", f"arn:aws:logs:{where}:{stream}")

    def log(self, job: Job, attempt: Attempt) -> LogWriter:
        options = _log_options(job)
        prefix = options.get("awslogs-stream-prefix", job.request.definition.name)
        return LogWriter(self._logs, options["awslogs-group"], f"{prefix}/default/{attempt.task_id}")

    def container(self, job: Job, attempt: Attempt) -> Container:
        request = job.request
        environment = request.environment | self._batch_environment(job)
        secret = None
        if role := request.properties.get("jobRoleArn"):
            path, token = self.credentials.admit(attempt.task_id, role)
            environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = self.credentials_url + path
            secret = token.encode()
        return Container(
            name=f"{request.name}-{attempt.task_id}",
            image=request.properties["image"],
            command=request.command,
            environment=environment,
            memory_mib=request.memory_mib,
            vcpus=request.vcpus,
            secret=secret,
            secret_variable=TOKEN_VARIABLE,
            shared_memory_mib=(request.properties.get("linuxParameters") or {}).get("sharedMemorySize"),
        )

    def ended(self, attempt: Attempt) -> None:
        self.credentials.dismiss(attempt.task_id)

    def _batch_environment(self, job: Job) -> dict[str, str]:
        """Return the variables of Batch, the Region and the endpoint of this AWS.

        https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html
        """
        queue = job.request.queue
        variables = {
            "AWS_BATCH_JOB_ID": job.id,
            "AWS_BATCH_JOB_ATTEMPT": str(len(job.attempts) + 1),
            "AWS_BATCH_JQ_NAME": queue.name,
            "AWS_BATCH_CE_NAME": queue.environments[0].name,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint_url,  # for the AWS SDKs of the user's function
            layout.ENV_ENDPOINT: self.endpoint_url,  # in place of AWS's own, which the client names
        }
        if job.index is not None:
            variables["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
        return variables

    def fits(self, job: Job) -> bool:
        environments = job.request.queue.environments
        most = max(int((each.compute_resources or {}).get("maxvCpus", 0)) for each in environments)
        # The instances have no GPU, as in a compute environment without GPU instance types.
        return job.request.vcpus <= most and int(job.request.resources.get("GPU", 0)) == 0


def _log_options(job: Job) -> dict[str, str]:
    options = (job.request.properties.get("logConfiguration") or {}).get("options") or {}
    return {"awslogs-group": DEFAULT_GROUP} | options
