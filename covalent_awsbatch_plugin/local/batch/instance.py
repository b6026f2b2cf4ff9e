# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The instance that runs a job: the container's environment, and the reasons why ECS would not start it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...runner.protocol import layout
from ..engines.base import Container, Login, PullFailed, StartFailed, reference_of
from ..iam.required_actions import ANY, denial_text
from ..iam.task_credentials import CredentialsEndpoint
from ..log_writer import LogWriter
from ..service_client import ServiceClient, ServiceError
from .jobs import Attempt, Job

DEFAULT_GROUP = "/aws/batch/job"
TASKS = "ecs-tasks.amazonaws.com"
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
    services: ServiceClient
    enforces_iam: bool = True

    async def problem(self, job: Job) -> str | None:
        properties = job.request.properties
        for role in filter(None, (properties.get("executionRoleArn"), properties.get("jobRoleArn"))):
            trust = await self.services.role(role)
            if trust is None or not _is_trusted(trust):
                return CANT_ASSUME.format(role)
        return await self._denial(job)

    async def _denial(self, job: Job) -> str | None:
        """Return the error of the first permission that the execution role lacks, None without enforced IAM."""
        role = job.request.properties.get("executionRoleArn")
        if role is None or not self.enforces_iam:
            return None
        try:
            needs = list(self._needs(job))
        except PullFailed as failed:
            return f"CannotPullContainerError: {failed}"
        for actions, resource in needs:
            if denied := await self.services.denied(role, actions, resource):
                who = f"arn:aws:sts::{self.account_id}:assumed-role/{role.rpartition('/')[2]}/ecs"
                return CANT[denied[0][:3]].format(denial_text(who, denied[0], resource))
        return None

    def _needs(self, job: Job) -> Iterator[tuple[list[str], str]]:
        """Yield the actions that the execution role needs, and their resource.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
        """
        where = f"{self.region}:{self.account_id}"
        repository = reference_of(job.request.properties["image"]).repository
        yield ["ecr:GetAuthorizationToken"], ANY
        pulls = ("BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage")
        yield [f"ecr:{action}" for action in pulls], f"arn:aws:ecr:{where}:repository/{repository}"
        stream = f"log-group:{_log_options(job)['awslogs-group']}:log-stream:new"
        yield [f"logs:{action}" for action in ("CreateLogStream", "PutLogEvents")], f"arn:aws:logs:{where}:{stream}"

    async def login(self, job: Job) -> Login:
        return await self.services.registry_login(job.request.properties.get("executionRoleArn"))

    async def log(self, job: Job, attempt: Attempt) -> LogWriter:
        """Create the attempt's log stream. Raises StartFailed where its group does not exist."""
        options, role = _log_options(job), job.request.properties.get("executionRoleArn")
        group, prefix = options["awslogs-group"], options.get("awslogs-stream-prefix", job.request.definition.name)
        stream = f"{prefix}/default/{attempt.task_id}"
        if group == DEFAULT_GROUP or options.get("awslogs-create-group") == "true":
            await self.services.create_log_group(group, None)
        try:
            await self.services.create_log_stream(group, stream, role)
        except ServiceError as error:
            reason = NO_GROUP if error.code == "ResourceNotFoundException" else CANT["log"].format(error.message)
            raise StartFailed(reason) from error
        return LogWriter(self.services, group, stream, role)

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


def _is_trusted(trust: dict[str, Any]) -> bool:
    """Return whether a role's trust policy names ECS's tasks. Its conditions are not looked at."""
    statements = trust.get("Statement") or []
    for each in statements if isinstance(statements, list) else [statements]:
        principal = each.get("Principal") or {}
        services = principal.get("Service") if isinstance(principal, dict) else principal
        named = services if isinstance(services, list) else [services]
        if each.get("Effect") == "Allow" and {TASKS, ANY} & set(named):
            return True
    return False


def _log_options(job: Job) -> dict[str, str]:
    options = (job.request.properties.get("logConfiguration") or {}).get("options") or {}
    return {"awslogs-group": DEFAULT_GROUP} | options
