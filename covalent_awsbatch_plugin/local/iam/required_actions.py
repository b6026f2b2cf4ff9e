# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The permissions that a request needs at AWS, with their resources. Moto checks the operation's name on `*` only.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/, for the requests of this package and its
Terraform configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ANY = "*"
PASSED_TO = "iam:PassedToService"


@dataclass(frozen=True)
class Need:
    """A permission for an action on a resource. `context` holds the condition keys and their values."""

    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ApiRequest:
    """A request to an operation of a service, with its parameters, Region and account."""

    service: str
    operation: str
    parameters: Mapping[str, Any]
    region: str
    account: str

    def arn(self, resource: str, service: str = "", region: str | None = None) -> str:
        """Return an ARN of this account, in the request's Region unless another is given."""
        where = self.region if region is None else region
        return f"arn:aws:{service or self.service}:{where}:{self.account}:{resource}"

    def named(self, kind: str, name: str) -> str:
        """Return the ARN of a resource that is given by name or ARN."""
        return name if name.startswith("arn:") else self.arn(f"{kind}/{name}")


def denial_text(who: str, action: str, resource: str) -> str:
    """Return AWS's text of a denial to a principal (ARN)."""
    return (
        f"User: {who} is not authorized to perform: {action} on resource: {resource} because no identity-based policy "
        f"allows the {action} action"
    )


def needs(request: ApiRequest) -> list[Need]:
    """Return all permissions that a request needs."""
    return list(_NEEDS.get(request.service, _by_name)(request))


def _by_name(request: ApiRequest) -> Iterator[Need]:
    yield Need(f"{request.service}:{request.operation}", ANY)


def _batch(request: ApiRequest) -> Iterator[Need]:
    parameters, action = request.parameters, f"batch:{request.operation}"
    if request.operation.startswith(("Describe", "List")) and request.operation != "ListTagsForResource":
        yield Need(action, ANY)
        return
    jobs = [request.arn(f"job/{parameters['jobId']}")] if "jobId" in parameters else []
    if request.operation == "SubmitJob":
        jobs = [request.arn("job/new")]
        resources = [
            request.named("job-definition", parameters["jobDefinition"]),
            request.named("job-queue", parameters["jobQueue"]),
            *jobs,
        ]
    else:
        resources = [*jobs, *(request.named(kind, parameters[key]) for key, kind in _BATCH_KINDS if key in parameters)]
        resources = resources or [parameters.get("resourceArn", ANY)]
    yield from (Need(action, resource) for resource in resources)
    if parameters.get("tags"):
        yield from (Need("batch:TagResource", resource) for resource in (jobs or resources[:1]))
    yield from _passed_by_batch(request)


_BATCH_KINDS = (
    ("jobDefinitionName", "job-definition"), ("jobDefinition", "job-definition"), ("jobQueueName", "job-queue"),
    ("jobQueue", "job-queue"), ("computeEnvironmentName", "compute-environment"),
    ("computeEnvironment", "compute-environment"),
)  # fmt: skip


def _passed_by_batch(request: ApiRequest) -> Iterator[Need]:
    container = request.parameters.get("containerProperties") or {}
    roles = [(container.get(key), "ecs-tasks.amazonaws.com") for key in ("executionRoleArn", "jobRoleArn")]
    roles.append((request.parameters.get("serviceRole"), "batch.amazonaws.com"))
    yield from (Need("iam:PassRole", role, ((PASSED_TO, service),)) for role, service in roles if role)


def _ecr(request: ApiRequest) -> Iterator[Need]:
    parameters = request.parameters
    names = (
        [parameters["repositoryName"]] if "repositoryName" in parameters else parameters.get("repositoryNames") or []
    )
    resources = [request.arn(f"repository/{name}") for name in names] or [parameters.get("resourceArn", ANY)]
    yield from (Need(f"ecr:{request.operation}", resource) for resource in resources)
    if parameters.get("tags") and request.operation == "CreateRepository":
        yield from (Need("ecr:TagResource", resource) for resource in resources)


def _logs(request: ApiRequest) -> Iterator[Need]:
    parameters, group = request.parameters, request.parameters.get("logGroupName")
    resource = request.arn(f"log-group:{group}") if group else parameters.get("resourceArn", ANY)
    if group and "logStreamName" in parameters:
        resource += f":log-stream:{parameters['logStreamName']}"
    elif request.operation == "FilterLogEvents":
        resource += ":log-stream:"  # as AWS names it in its refusals
    if request.operation == "DescribeLogGroups":
        resource = request.arn("log-group::log-stream:")
    yield Need(f"logs:{request.operation}", resource)
    if parameters.get("tags") and request.operation == "CreateLogGroup":
        yield Need("logs:TagResource", resource)


def _iam(request: ApiRequest) -> Iterator[Need]:
    parameters = {key: value[0] for key, value in request.parameters.items() if isinstance(value, list) and value}
    kind = next((kind for kind in _IAM_KINDS if _iam_name(kind) in parameters), None)
    name = parameters.get(_iam_name(kind), "") if kind else ""
    resource = request.arn(f"{kind}/{name}", region="") if kind else ANY
    resource = parameters.get("PolicyArn", resource) if kind in (None, "policy") else resource
    yield Need(f"iam:{request.operation}", resource)
    if "Tags.member.1.Key" in parameters and request.operation.startswith("Create"):
        yield Need(f"iam:Tag{request.operation.removeprefix('Create')}", resource)
    if request.operation == "AddRoleToInstanceProfile":
        context = ((PASSED_TO, "ec2.amazonaws.com"),)
        yield Need("iam:PassRole", request.arn(f"role/{parameters['RoleName']}", region=""), context)


def _ec2(request: ApiRequest) -> Iterator[Need]:
    yield Need(f"ec2:{request.operation}", ANY)
    if request.operation.startswith("Create") and any(key.startswith("TagSpecification") for key in request.parameters):
        yield Need("ec2:CreateTags", ANY)


_IAM_KINDS = ("instance-profile", "role", "policy", "user")


def _iam_name(kind: str) -> str:
    return kind.title().replace("-", "") + "Name"


_NEEDS: Mapping[str, Callable[[ApiRequest], Iterator[Need]]] = {
    "batch": _batch,
    "ec2": _ec2,
    "ecr": _ecr,
    "iam": _iam,
    "logs": _logs,
}

# ---- S3: the action follows from the method and the query -------------------------------------------
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
    """Return the permission that an S3 request needs."""
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


# ---- a registry's requests, which ECR checks like those of its API ---------------------------------------------
def registry_actions(method: str, path: str) -> tuple[str, ...]:
    """Return the permissions on the repository that a request of the distribution API needs."""
    if "/manifests/" in path:
        names = {"PUT": "PutImage", "DELETE": "BatchDeleteImage"}.get(method, "BatchGetImage")
        return (f"ecr:{names}",)
    if path.endswith("/tags/list"):
        return ("ecr:ListImages",)
    if "/blobs/uploads/" in path:
        names_by_method = {"POST": ("InitiateLayerUpload",), "PUT": ("UploadLayerPart", "CompleteLayerUpload")}
        return tuple(f"ecr:{name}" for name in names_by_method.get(method, ("UploadLayerPart",)))
    if "/blobs/" in path:
        return ("ecr:BatchCheckLayerAvailability",) if method == "HEAD" else ("ecr:GetDownloadUrlForLayer",)
    return ()
