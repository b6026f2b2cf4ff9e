# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Look for data in a bucket, a repository and a log group, with one request each."""

from __future__ import annotations

from typing import Any

from ..aws.session import AWS
from ..errors import NotAllowed, NotFound
from .terraform_errors import mends


class DataPlaces:
    """Names an item of each place that is not empty, in a sentence. A place that does not exist counts as empty."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws

    async def in_bucket(self, name: str) -> str:
        item = await self._first("s3", "ListObjectsV2", "Contents", of=f"bucket `{name}`", Bucket=name, MaxKeys=1)
        return f"the bucket {name} (for example s3://{name}/{item['Key']})" if item else ""

    async def in_repository(self, name: str) -> str:
        of = f"ECR repository `{name}`"
        image = await self._first("ecr", "ListImages", "imageIds", of=of, repositoryName=name, maxResults=1)
        return f"the repository {name} (for example {image['imageDigest']})" if image else ""

    async def in_log_group(self, name: str) -> str:
        of = f"log group `{name}`"
        stream = await self._first("logs", "DescribeLogStreams", "logStreams", of=of, logGroupName=name, limit=1)
        return f"the log group {name} (for example {stream['logStreamName']})" if stream else ""

    async def _first(self, service: str, operation: str, key: str, *, of: str, **parameters: Any) -> dict[str, Any]:
        try:
            answer = await self._aws.call(service, operation, of=of, **parameters)
        except NotFound:
            return {}
        except NotAllowed as error:  # the deployer asks here, not the Covalent server's user
            raise NotAllowed(error.happened, says=error.says, advice="\n".join(mends([error.says]))) from error
        return next(iter(answer.get(key) or ()), {})
