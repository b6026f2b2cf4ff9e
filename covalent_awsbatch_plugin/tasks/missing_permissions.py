# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""All permissions that a task needs and the caller lacks, found after a first denial.

AWS checks a permission before it looks at the request. So each request here names something that does not exist, or
lacks something that AWS demands: it changes nothing, and a denial is the only answer that counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from ..aws.permissions import grant
from ..errors import AWSBatchError, NotAllowed
from ..settings import Settings
from .services import Services

ZEROS = "00000000-0000-0000-0000-000000000000"
NO_DIGEST = f"sha256:{'0' * 64}"


async def add_all_missing(services: Services, settings: Settings, error: NotAllowed) -> None:
    """Name in a denial's advice every other permission that a task cannot do without and the caller lacks."""
    denials = await asyncio.gather(*(_denial(services, *request) for request in _requests(settings)))
    missing = {permission for permission in (error.permission, *denials) if permission}
    if missing <= {error.permission}:
        return
    lines = [line for line in error.advice.splitlines() if not line.startswith("Also: AWS does not allow")]
    error.advice = "\n".join([*lines, f"More is missing. {grant(missing)}"])


async def _denial(services: Services, service: str, operation: str, parameters: dict[str, Any]) -> str:
    """Return the permission that AWS denied, or ""."""
    with contextlib.suppress(AWSBatchError):  # it could be asked for, which is all that counts
        try:
            await services.aws.call(service, operation, of="the caller's permissions", once=True, **parameters)
        except NotAllowed as error:
            return error.permission
    return ""


def _requests(settings: Settings) -> list[tuple[str, str, dict[str, Any]]]:
    """Return service, operation and parameters of one request for each permission."""
    definition = f"{settings.batch_job_definition_name}-{'0' * 16}"
    of_repository = {"repositoryName": settings.ecr_repo_name}
    upload = {**of_repository, "uploadId": ZEROS}
    job = {"jobName": "none", "jobQueue": settings.batch_queue, "jobDefinition": f"{definition}:1"}
    stream = {"logGroupName": settings.batch_job_log_group_name, "logStreamName": "none"}
    return [
        ("batch", "DescribeJobs", {"jobs": [ZEROS]}),
        ("batch", "RegisterJobDefinition", {"jobDefinitionName": definition, "type": "container"}),
        ("batch", "SubmitJob", job),
        ("batch", "TerminateJob", {"jobId": ZEROS, "reason": "none"}),
        ("ecr", "GetAuthorizationToken", {}),
        ("ecr", "BatchGetImage", {**of_repository, "imageIds": [{"imageDigest": NO_DIGEST}]}),
        ("ecr", "BatchCheckLayerAvailability", {**of_repository, "layerDigests": [NO_DIGEST]}),
        ("ecr", "GetDownloadUrlForLayer", {**of_repository, "layerDigest": NO_DIGEST}),
        ("ecr", "InitiateLayerUpload", of_repository),  # an upload that is not continued expires
        ("ecr", "UploadLayerPart", {**upload, "partFirstByte": 0, "partLastByte": 0, "layerPartBlob": b"0"}),
        ("ecr", "CompleteLayerUpload", {**upload, "layerDigests": [NO_DIGEST]}),
        ("ecr", "PutImage", {**of_repository, "imageManifest": "{}"}),
        ("logs", "GetLogEvents", stream),
        ("s3", "HeadBucket", {"Bucket": settings.s3_bucket_name}),
    ]
