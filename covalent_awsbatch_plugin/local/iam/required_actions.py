# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Which permissions a request needs at AWS, on what: moto asks for the API's name alone, and on `*`.

From https://docs.aws.amazon.com/service-authorization/latest/reference/, for what this package and its Terraform ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ANY = "*"
PASSED_TO = "iam:PassedToService"


@dataclass(frozen=True)
class Need:
    """An action on a resource; `context` are the condition keys it is asked with."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Asked:
    """A request: the service, the API's name, its parameters, and where it was sent."""

    service: str
    operation: str
    told: Mapping[str, Any]
    region: str
    account: str

    def arn(self, resource: str, service: str = "", region: str | None = None) -> str:
        where = self.region if region is None else region
        return f"arn:aws:{service or self.service}:{where}:{self.account}:{resource}"

    def named(self, kind: str, name: str) -> str:
        """The ARN of something that is given by name or ARN."""
        return name if name.startswith("arn:") else self.arn(f"{kind}/{name}")


def needs(asked: Asked) -> list[Need]:
    """Everything the caller must be allowed for this request."""
    return list(_NEEDS.get(asked.service, _by_name)(asked))


def _by_name(asked: Asked) -> Iterator[Need]:
    yield Need(f"{asked.service}:{asked.operation}", ANY)


def _batch(asked: Asked) -> Iterator[Need]:
    told, action = asked.told, f"batch:{asked.operation}"
    if asked.operation.startswith(("Describe", "List")) and asked.operation != "ListTagsForResource":
        yield Need(action, ANY)
        return
    jobs = [asked.arn(f"job/{told['jobId']}")] if "jobId" in told else []
    if asked.operation == "SubmitJob":
        resources = [asked.named("job-definition", told["jobDefinition"]), asked.named("job-queue", told["jobQueue"])]
        jobs = [asked.arn("job/new")]
    else:
        resources = [*jobs, *(asked.named(kind, told[key]) for key, kind in _BATCH_KINDS if key in told)]
        resources = resources or [told.get("resourceArn", ANY)]
    yield from (Need(action, resource) for resource in resources)
    if told.get("tags"):
        yield from (Need("batch:TagResource", resource) for resource in (jobs or resources[:1]))
    yield from _passed_by_batch(asked)


_BATCH_KINDS = (
    ("jobDefinitionName", "job-definition"), ("jobDefinition", "job-definition"), ("jobQueueName", "job-queue"),
    ("jobQueue", "job-queue"), ("computeEnvironmentName", "compute-environment"),
    ("computeEnvironment", "compute-environment"),
)  # fmt: skip


def _passed_by_batch(asked: Asked) -> Iterator[Need]:
    container = asked.told.get("containerProperties") or {}
    roles = [(container.get(key), "ecs-tasks.amazonaws.com") for key in ("executionRoleArn", "jobRoleArn")]
    roles.append((asked.told.get("serviceRole"), "batch.amazonaws.com"))
    yield from (Need("iam:PassRole", role, ((PASSED_TO, service),)) for role, service in roles if role)


def _ecr(asked: Asked) -> Iterator[Need]:
    told = asked.told
    names = [told["repositoryName"]] if "repositoryName" in told else told.get("repositoryNames") or []
    resources = [asked.arn(f"repository/{name}") for name in names] or [told.get("resourceArn", ANY)]
    yield from (Need(f"ecr:{asked.operation}", resource) for resource in resources)
    if told.get("tags") and asked.operation == "CreateRepository":
        yield from (Need("ecr:TagResource", resource) for resource in resources)


def _logs(asked: Asked) -> Iterator[Need]:
    told, group = asked.told, asked.told.get("logGroupName")
    resource = asked.arn(f"log-group:{group}") if group else told.get("resourceArn", ANY)
    if group and "logStreamName" in told:
        resource += f":log-stream:{told['logStreamName']}"
    if asked.operation == "DescribeLogGroups":
        resource = asked.arn("log-group::log-stream:")
    yield Need(f"logs:{asked.operation}", resource)
    if told.get("tags") and asked.operation == "CreateLogGroup":
        yield Need("logs:TagResource", resource)


def _iam(asked: Asked) -> Iterator[Need]:
    told = {key: value[0] for key, value in asked.told.items() if isinstance(value, list) and value}
    kind = next((kind for kind in _IAM_KINDS if _iam_name(kind) in told), None)
    name = told.get(_iam_name(kind), "") if kind else ""
    resource = asked.arn(f"{kind}/{name}", region="") if kind else ANY
    resource = told.get("PolicyArn", resource) if kind in (None, "policy") else resource
    yield Need(f"iam:{asked.operation}", resource)
    if "Tags.member.1.Key" in told and asked.operation.startswith("Create"):
        yield Need(f"iam:Tag{asked.operation.removeprefix('Create')}", resource)
    if asked.operation == "AddRoleToInstanceProfile":
        context = ((PASSED_TO, "ec2.amazonaws.com"),)
        yield Need("iam:PassRole", asked.arn(f"role/{told['RoleName']}", region=""), context)


def _ec2(asked: Asked) -> Iterator[Need]:
    yield Need(f"ec2:{asked.operation}", ANY)
    if asked.operation.startswith("Create") and any(key.startswith("TagSpecification") for key in asked.told):
        yield Need("ec2:CreateTags", ANY)


_IAM_KINDS = ("instance-profile", "role", "policy", "user")


def _iam_name(kind: str) -> str:
    return kind.title().replace("-", "") + "Name"


_NEEDS: Mapping[str, Callable[[Asked], Iterator[Need]]] = {
    "batch": _batch,
    "ec2": _ec2,
    "ecr": _ecr,
    "iam": _iam,
    "logs": _logs,
}

# ---- S3: the action follows from the method and what the query asks for -------------------------------------------
_BUCKET_PARTS = {
    "acl": "BucketAcl", "accelerate": "AccelerateConfiguration", "cors": "BucketCORS",
    "encryption": "EncryptionConfiguration", "lifecycle": "LifecycleConfiguration", "location": "BucketLocation",
    "logging": "BucketLogging", "notification": "BucketNotification", "object-lock": "BucketObjectLockConfiguration",
    "ownershipControls": "BucketOwnershipControls", "policy": "BucketPolicy", "policyStatus": "BucketPolicyStatus",
    "publicAccessBlock": "BucketPublicAccessBlock", "replication": "ReplicationConfiguration",
    "requestPayment": "BucketRequestPayment", "tagging": "BucketTagging", "versioning": "BucketVersioning",
    "website": "BucketWebsite",
}  # fmt: skip
_OWN_DELETE = {"policy", "website"}  # the others are deleted with the permission to put them


def s3_action(method: str, query: Mapping[str, Any], *, of_object: bool) -> str:
    """The permission that an S3 request needs."""
    if of_object:
        if method in ("GET", "HEAD"):
            return "s3:GetObject"
        if method == "DELETE":
            return "s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject"
        return "s3:PutObject"
    if part := next((part for part in _BUCKET_PARTS if part in query), None):
        verb = "Get" if method == "GET" else "Delete" if method == "DELETE" and part in _OWN_DELETE else "Put"
        return f"s3:{verb}{_BUCKET_PARTS[part]}"
    if method in ("GET", "HEAD"):
        return "s3:ListBucketVersions" if "versions" in query else "s3:ListBucket"
    return {"PUT": "s3:CreateBucket", "DELETE": "s3:DeleteBucket", "POST": "s3:DeleteObject"}[method]


# ---- a registry's requests, which ECR checks as if they were its API's ---------------------------------------------
def registry_actions(method: str, path: str) -> tuple[str, ...]:
    """The permissions on the repository that a request of the distribution API needs."""
    if "/manifests/" in path:
        names = {"PUT": "PutImage", "DELETE": "BatchDeleteImage"}.get(method, "BatchGetImage")
        return (f"ecr:{names}",)
    if path.endswith("/tags/list"):
        return ("ecr:ListImages",)
    if "/blobs/uploads/" in path:
        told = {"POST": ("InitiateLayerUpload",), "PUT": ("UploadLayerPart", "CompleteLayerUpload")}
        return tuple(f"ecr:{name}" for name in told.get(method, ("UploadLayerPart",)))
    if "/blobs/" in path:
        return ("ecr:BatchCheckLayerAvailability",) if method == "HEAD" else ("ecr:GetDownloadUrlForLayer",)
    return ()
