# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The IAM policies of each role, made from the settings, for the command `iam`, for Terraform and for the tests.

Source of the resource types that an action accepts: https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .runner.protocol import layout

Statement = dict[str, Any]
_REPOSITORY = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/(?P<name>.+)"
    r"|arn:[a-z-]+:ecr:(?P<region_>[a-z0-9-]+):(?P<account_>\d{12}):repository/(?P<name_>.+)"
)
EVERYTHING = "*"  # for actions that know no resources

# The characters of policies that IAM takes, blanks not counted: of all inline policies of a user, of all of a role, of
# one managed policy: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
USER_CHARACTERS, ROLE_CHARACTERS, MANAGED_CHARACTERS = 2048, 10_240, 6144


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
    base_repository: str = ""  # ARN of the ECR repository of the base image, if that is another one
    kms_key: str = ""  # of the bucket's objects, as ID or ARN; "": none of the account's own

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
        return name if name.startswith("arn:") else f"arn:{self.partition}:iam::{self.account}:role/{name.lstrip('/')}"

    def keys(self, below: str) -> str:
        """Return the ARN pattern of all this package's S3 objects below a folder."""
        return f"{self.bucket_arn}/{layout.S3_ROOT}/{below}*"

    @property
    def bucket_arn(self) -> str:
        """ARN of the S3 bucket."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def key_arn(self) -> str:
        """ARN of the KMS key."""
        return self.kms_key if self.kms_key.startswith("arn:") else self.arn("kms", f"key/{self.kms_key}")

    @property
    def repository_arn(self) -> str:
        """ARN of the ECR repository."""
        account, region, name = ecr_repository(self.repository)
        return f"arn:{self.partition}:ecr:{region or self.region}:{account or self.account}:repository/{name}"

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


def ecr_repository(text: str) -> tuple[str, str, str]:
    """Return account, Region and name of a repository given by URI or ARN; by name, the first two are ""."""
    match = _REPOSITORY.fullmatch(text)
    if match is None:
        return "", "", text
    parts = match.groupdict()
    return tuple(str(parts[key] or parts[f"{key}_"]) for key in ("account", "region", "name"))  # type: ignore[return-value]


def ec2_principal(partition: str) -> str:
    """Return EC2's service principal, which ends as the partition's host names; those of Batch and ECS do not.

    https://docs.amazonaws.cn/en_us/aws/latest/userguide/iam.html
    """
    suffixes = {
        "aws-cn": "amazonaws.com.cn",
        "aws-iso": "c2s.ic.gov",
        "aws-iso-b": "sc2s.sgov.gov",
        "aws-iso-e": "cloud.adc-e.uk",
        "aws-iso-f": "csp.hci.ic.gov",
        "aws-eusc": "amazonaws.eu",
    }
    return f"ec2.{suffixes.get(partition, 'amazonaws.com')}"


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


def key_use(names: Names) -> list[Statement]:
    """Return the statement for reading and writing objects that a KMS key encrypts; none without a key.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html#require-sse-kms
    """
    return [allow("UseKey", "kms:Decrypt GenerateDataKey", names.key_arn)] if names.kms_key else []


def job(names: Names) -> list[Statement]:
    """Return the job role's statements: the function reads its inputs and writes its result.

    A function that uses more of AWS needs more statements.
    """
    return [
        allow("ReadInputs", "s3:GetObject", names.keys("objects/")),
        # Read, too: of tasks that share a container a second attempt runs those alone whose results are not there.
        allow("WriteResults", "s3:GetObject PutObject", names.keys("results/")),
        *key_use(names),
    ]


def execution(names: Names) -> list[Statement]:
    """Return the execution role's statements: ECS pulls the image and writes the log."""
    return [
        allow("LogInToRegistry", "ecr:GetAuthorizationToken", EVERYTHING),
        allow(
            "PullImages", "ecr:BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer", names.repository_arn
        ),
        allow("WriteLogs", "logs:CreateLogStream PutLogEvents", names.streams),
    ]


def dispatcher(names: Names) -> list[Statement]:
    """Return the statements of the Covalent server's user: it submits jobs, reads results and cleans up."""
    definitions, jobs = names.definitions, names.arn("batch", "job/*")
    return [
        allow("ListBucket", "s3:ListBucket", names.bucket_arn),
        allow("ReadObjects", "s3:GetObject", names.keys("")),
        allow("WriteInputs", "s3:PutObject", names.keys("objects/")),
        allow("LogInToRegistry", "ecr:GetAuthorizationToken", EVERYTHING),
        allow(
            "PushImages",
            "ecr:BatchCheckLayerAvailability BatchGetImage CompleteLayerUpload DescribeRepositories"
            " GetDownloadUrlForLayer InitiateLayerUpload PutImage UploadLayerPart",
            names.repository_arn,
        ),
        *(
            [allow("ReadBase", "ecr:BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer", base)]
            if (base := names.base_repository)
            else []
        ),
        allow(
            "DescribeBatch",
            "batch:DescribeComputeEnvironments DescribeJobDefinitions DescribeJobQueues DescribeJobs ListJobs",
            EVERYTHING,
        ),
        allow("GetQueueSnapshot", "batch:GetJobQueueSnapshot", names.queue_arn),
        allow("RegisterJobDefinitions", "batch:RegisterJobDefinition", definitions),
        # The reference of actions demands the job too, the user guide's examples do not.
        allow("SubmitJobs", "batch:SubmitJob", definitions, names.queue_arn, jobs),
        allow("TagResources", "batch:TagResource", definitions, jobs),
        allow("TerminateJobs", "batch:TerminateJob", jobs),
        allow(
            "PassRolesToJobs",
            "iam:PassRole",
            names.role(names.execution_role),
            names.role(names.job_role),
            StringEquals={"iam:PassedToService": "ecs-tasks.amazonaws.com"},
        ),
        allow("ReadLogs", "logs:FilterLogEvents GetLogEvents", names.streams),
        allow("DeleteObjects", "s3:DeleteObject", names.keys("")),
        allow("DeleteImages", "ecr:BatchDeleteImage DescribeImages", names.repository_arn),
        allow("DeregisterJobDefinitions", "batch:DeregisterJobDefinition", definitions),
        *key_use(names),
    ]


ROLES: Mapping[str, Callable[[Names], list[Statement]]] = {
    "dispatcher": dispatcher,
    "execution": execution,
    "job": job,
}
_NO_NAMES = Names("aws", "", "", "", "", "", "", "", "", "", kms_key="*")


def policy(role: str, names: Names) -> dict[str, Any]:
    """Return the IAM policy document of one of `ROLES`."""
    return document(ROLES[role](names))


def document(statements: list[Statement]) -> dict[str, Any]:
    """Return a policy document with these statements."""
    return {"Version": "2012-10-17", "Statement": statements}


def characters(policy_document: Mapping[str, Any]) -> int:
    """Return the size of a policy document as IAM counts it, without blanks."""
    return len("".join(json.dumps(policy_document).split()))


def split(statements: list[Statement], limit: int = MANAGED_CHARACTERS) -> list[dict[str, Any]]:
    """Return as few policy documents as hold these statements in order, each within a limit of characters.

    A statement that is longer than the limit has a document of its own.
    """
    parts: list[list[Statement]] = [[]]
    for statement in statements:
        if parts[-1] and characters(document([*parts[-1], statement])) > limit:
            parts.append([])
        parts[-1].append(statement)
    return [document(part) for part in parts]


def remedy(action: str) -> str:
    """Return advice for a Covalent server that lacks a permission, as the end of a sentence, or ""."""
    sid = allowing(action)
    return f"; `covalent-awsbatch iam --role dispatcher` prints the statement `{sid}`" if sid else ""


def allowing(action: str) -> str:
    """Return the Sid of the dispatcher's statement that allows an action, or ""."""
    sids = (statement["Sid"] for statement in dispatcher(_NO_NAMES) if action in statement["Action"])
    return next(sids, "")
