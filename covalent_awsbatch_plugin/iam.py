# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What each of us may do at AWS, and no more: made from the settings, for `iam`, Terraform and the tests alike.

Which actions know resources: https://docs.aws.amazon.com/service-authorization/latest/reference/
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
    """What the policies speak of: names, not ARNs; roles and queue may be given by ARN."""

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
        """Those of `stack.names`."""
        told = {field: names[field] for field in cls.__dataclass_fields__ if field in names}
        return cls(partition=partition, account=account, region=region, **told)

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and Region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def role(self, name: str) -> str:
        """A role's ARN, from its name or ARN."""
        return name if name.startswith("arn:") else f"arn:{self.partition}:iam::{self.account}:role/{name}"

    def keys(self, below: str) -> str:
        """Every object of ours below a folder."""
        return f"{self.bucket_arn}/{layout.S3_ROOT}/{below}*"

    @property
    def bucket_arn(self) -> str:
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def repository_arn(self) -> str:
        return self.arn("ecr", f"repository/{self.repository}")

    @property
    def queue_arn(self) -> str:
        return self.queue if self.queue.startswith("arn:") else self.arn("batch", f"job-queue/{self.queue}")

    @property
    def definitions(self) -> str:
        return self.arn("batch", f"job-definition/{self.definition}-*")

    @property
    def streams(self) -> str:
        return self.arn("logs", f"log-group:{self.log_group}:log-stream:*")


def allow(sid: str, actions: str, *resources: str, **condition: Any) -> Statement:
    """`actions` has one service's name before the colon, and its actions with blanks between."""
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
    """Your function's own role: what was sent to it may be read, its results written. Add what your function needs."""
    return [
        allow("ReadWhatWasSent", "s3:GetObject", names.keys("objects/")),
        # Read, too: of tasks that share a container a second attempt runs those alone whose results are not there.
        allow("WriteResults", "s3:GetObject PutObject", names.keys("results/")),
    ]


def execution(names: Names) -> list[Statement]:
    """The role with which AWS pulls the image and writes the log."""
    return [
        allow("LogIn", "ecr:GetAuthorizationToken", EVERYTHING),
        allow(
            "PullImages", "ecr:BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer", names.repository_arn
        ),
        allow("WriteLogs", "logs:CreateLogStream PutLogEvents", names.streams),
    ]


def dispatcher(names: Names) -> list[Statement]:
    """Whoever runs the Covalent server: to send tasks and to fetch what became of them."""
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
        allow("Submit", "batch:SubmitJob", definitions, names.queue_arn),
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
_ANYBODY = Names("aws", "", "", "", "", "", "", "", "", "")


def policy(role: str, names: Names) -> dict[str, Any]:
    """The IAM policy document of one of `ROLES`."""
    return document(ROLES[role](names))


def document(statements: list[Statement]) -> dict[str, Any]:
    """A policy of these statements."""
    return {"Version": "2012-10-17", "Statement": statements}


def remedy(action: str) -> str:
    """What to do where whoever runs the Covalent server lacks a permission: half a sentence, for after "on it"."""
    sid = allowing(action)
    return f"; `covalent-awsbatch iam --role dispatcher` prints the statement `{sid}`" if sid else ""


def allowing(action: str) -> str:
    """The Sid of the dispatcher's statement that allows an action; "" where none does."""
    found = (statement["Sid"] for statement in dispatcher(_ANYBODY) if action in statement["Action"])
    return next(found, "")
