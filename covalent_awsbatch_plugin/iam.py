# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The IAM policies of each role, made from the settings, for the command `iam`, for Terraform and for the tests.

Source of the resource types that an action accepts: https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .runner.protocol import layout

Statement = dict[str, Any]
EVERYTHING = "*"  # for actions that know no resources


@dataclass(frozen=True)
class Names:
    """The names of the resources that the policies allow; roles and the queue may be given as ARNs."""

    partition: str
    account: str
    region: str
    bucket: str
    repository: str
    definition: str
    queue: str
    execution_role: str
    job_role: str
    log_group: str

    @classmethod
    def made(cls, names: Mapping[str, str], account: str, region: str, partition: str = "aws") -> Names:
        """Return the names of a stack; `names` is the result of `infra.stack_names.names`."""
        fields = {field: names[field] for field in cls.__dataclass_fields__ if field in names}
        return cls(partition=partition, account=account, region=region, **fields)

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and Region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def role(self, name: str) -> str:
        """Return a role's ARN; `name` is its name or its ARN."""
        return name if name.startswith("arn:") else f"arn:{self.partition}:iam::{self.account}:role/{name}"

    def keys(self, below: str) -> str:
        """Return the ARN pattern of all this package's S3 objects below a folder."""
        return f"{self.bucket_arn}/{layout.S3_ROOT}/{below}*"

    @property
    def bucket_arn(self) -> str:
        """ARN of the S3 bucket."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def repository_arn(self) -> str:
        """ARN of the ECR repository."""
        return self.arn("ecr", f"repository/{self.repository}")

    @property
    def queue_arn(self) -> str:
        """ARN of the job queue."""
        return self.queue if self.queue.startswith("arn:") else self.arn("batch", f"job-queue/{self.queue}")

    @property
    def definitions(self) -> str:
        """ARN pattern of this package's job definitions, in all revisions."""
        return self.arn("batch", f"job-definition/{self.definition}-*")

    @property
    def streams(self) -> str:
        """ARN pattern of the jobs' log streams."""
        return self.arn("logs", f"log-group:{self.log_group}:log-stream:*")


def allow(sid: str, actions: str, *resources: str, **condition: Any) -> Statement:
    """Return a statement that allows actions; `actions` is like "s3:GetObject PutObject"."""
    service, _, names = actions.partition(":")
    more = {"Condition": condition} if condition else {}
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": [f"{service}:{name}" for name in names.split()],
        "Resource": list(resources),
        **more,
    }


def job(names: Names) -> list[Statement]:
    """Return the job role's statements: the function reads its inputs and writes its result.

    A function that uses more of AWS needs more statements.
    """
    return [
        allow("ReadWhatWasSent", "s3:GetObject", names.keys("objects/")),
        # Read, too: of tasks that share a container a second attempt runs those alone whose results are not there.
        allow("WriteResults", "s3:GetObject PutObject", names.keys("results/")),
    ]


def execution(names: Names) -> list[Statement]:
    """Return the execution role's statements: ECS pulls the image and writes the log."""
    return [
        allow("LogIn", "ecr:GetAuthorizationToken", EVERYTHING),
        allow(
            "PullImages", "ecr:BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer", names.repository_arn
        ),
        allow("WriteLogs", "logs:CreateLogStream PutLogEvents", names.streams),
    ]


def dispatcher(names: Names) -> list[Statement]:
    """Return the statements of the Covalent server's user: it submits jobs, reads results and cleans up."""
    definitions, jobs = names.definitions, names.arn("batch", "job/*")
    return [
        allow("FindBucket", "s3:ListBucket", names.bucket_arn),
        allow("ReadResults", "s3:GetObject", names.keys("")),
        allow("SendArguments", "s3:PutObject", names.keys("objects/")),
        allow("LogIn", "ecr:GetAuthorizationToken", EVERYTHING),
        allow(
            "PushImages",
            "ecr:BatchCheckLayerAvailability BatchGetImage CompleteLayerUpload DescribeRepositories"
            " GetDownloadUrlForLayer InitiateLayerUpload PutImage UploadLayerPart",
            names.repository_arn,
        ),
        allow(
            "Look",
            "batch:DescribeComputeEnvironments DescribeJobDefinitions DescribeJobQueues DescribeJobs ListJobs",
            EVERYTHING,
        ),
        allow("LookAtQueue", "batch:GetJobQueueSnapshot", names.queue_arn),
        allow("Define", "batch:RegisterJobDefinition", definitions),
        # The reference of actions demands the job too, the user guide's examples do not.
        allow("Submit", "batch:SubmitJob", definitions, names.queue_arn, jobs),
        allow("Tag", "batch:TagResource", definitions, jobs),
        allow("End", "batch:TerminateJob", jobs),
        allow(
            "GiveRolesToJobs",
            "iam:PassRole",
            names.role(names.execution_role),
            names.role(names.job_role),
            StringEquals={"iam:PassedToService": "ecs-tasks.amazonaws.com"},
        ),
        allow("ReadLogs", "logs:GetLogEvents", names.streams),
        allow("TidyObjects", "s3:DeleteObject", names.keys("")),
        allow("TidyImages", "ecr:BatchDeleteImage", names.repository_arn),
        allow("TidyDefinitions", "batch:DeregisterJobDefinition", definitions),
    ]


ROLES: Mapping[str, Callable[[Names], list[Statement]]] = {
    "dispatcher": dispatcher,
    "execution": execution,
    "job": job,
}
_NO_NAMES = Names("aws", "", "", "", "", "", "", "", "", "")


def policy(role: str, names: Names) -> dict[str, Any]:
    """Return the IAM policy document of one of `ROLES`."""
    return document(ROLES[role](names))


def document(statements: list[Statement]) -> dict[str, Any]:
    """Return a policy document with these statements."""
    return {"Version": "2012-10-17", "Statement": statements}


def remedy(action: str) -> str:
    """Return advice for a Covalent server that lacks a permission, as the end of a sentence, or ""."""
    sid = allowing(action)
    return f"; `covalent-awsbatch iam --role dispatcher` prints the statement `{sid}`" if sid else ""


def allowing(action: str) -> str:
    """Return the Sid of the dispatcher's statement that allows an action, or ""."""
    sids = (statement["Sid"] for statement in dispatcher(_NO_NAMES) if action in statement["Action"])
    return next(sids, "")
