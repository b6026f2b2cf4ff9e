# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Whether something lies in a bucket, a repository, a log group: one call each, a sentence where there is."""

from __future__ import annotations

from typing import Any

from ..aws.session import AWS
from ..errors import NotAllowed, NotFound
from .terraform_errors import mends


class DataPlaces:
    """Looks, and changes nothing. A place that is gone holds nothing."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws

    async def in_bucket(self, name: str) -> str:
        found = await self._first("s3", "ListObjectsV2", "Contents", of=f"bucket `{name}`", Bucket=name, MaxKeys=1)
        return f"the bucket {name} (s3://{name}/{found['Key']}, for one)" if found else ""

    async def in_repository(self, name: str) -> str:
        of = f"ECR repository `{name}`"
        found = await self._first("ecr", "ListImages", "imageIds", of=of, repositoryName=name, maxResults=1)
        return f"the repository {name} ({found['imageDigest']}, for one)" if found else ""

    async def in_log_group(self, name: str) -> str:
        of = f"log group `{name}`"
        found = await self._first("logs", "DescribeLogStreams", "logStreams", of=of, logGroupName=name, limit=1)
        return f"the log group {name} ({found['logStreamName']}, for one)" if found else ""

    async def _first(self, service: str, operation: str, key: str, *, of: str, **parameters: Any) -> dict[str, Any]:
        try:
            answer = await self._aws.call(service, operation, of=of, **parameters)
        except NotFound:
            return {}
        except NotAllowed as error:  # it is the deployer who asks, not whoever runs the server
            raise NotAllowed(error.happened, says=error.says, advice="\n".join(mends([error.says]))) from error
        return next(iter(answer.get(key) or ()), {})
