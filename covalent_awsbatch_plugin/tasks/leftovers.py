# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What tasks left at AWS: images, objects, definitions, with their ages. Only looks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..aws.session import AWS


@dataclass(frozen=True)
class Leftover:
    """One thing: its name for AWS (digest, key, ARN), how people know it, its size in bytes, since when it is there."""

    name: str
    label: str
    size: int
    since: datetime | None  # definitions have no date


class Leftovers:
    """Reads lists to their end."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws

    async def images(self, repository: str) -> list[Leftover]:
        """Every image with a tag of ours."""
        of, found = f"ECR repository `{repository}`", []
        async for image in self._pages("ecr", "DescribeImages", "imageDetails", of=of, repositoryName=repository):
            tag = next(iter(image.get("imageTags") or ()), "")
            found.append(
                Leftover(image["imageDigest"], tag, image.get("imageSizeInBytes", 0), image.get("imagePushedAt"))
            )
        return found

    async def objects(self, bucket: str, prefix: str) -> list[Leftover]:
        """Every object below a prefix."""
        of, found, more = f"bucket `{bucket}`", list[Leftover](), dict[str, Any]()
        while True:
            page = await self._aws.call("s3", "ListObjectsV2", of=of, Bucket=bucket, Prefix=prefix, **more)
            found += [
                Leftover(item["Key"], item["Key"], item["Size"], item["LastModified"])
                for item in page.get("Contents", ())
            ]
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def definitions(self) -> list[tuple[Leftover, Mapping[str, str]]]:
        """Every active job definition of the account and Region, with its tags."""
        of, found = "the job definitions", []
        async for each in self._pages("batch", "DescribeJobDefinitions", "jobDefinitions", of=of, status="ACTIVE"):
            left = Leftover(each["jobDefinitionArn"], each["jobDefinitionName"], 0, None)
            found.append((left, each.get("tags") or {}))
        return found

    async def _pages(
        self, service: str, operation: str, key: str, *, of: str, **parameters: Any
    ) -> AsyncIterator[Mapping[str, Any]]:
        more: dict[str, Any] = {}
        while True:
            page = await self._aws.call(service, operation, of=of, **parameters, **more)
            for item in page[key]:
                yield item
            if not page.get("nextToken"):
                return
            more = {"nextToken": page["nextToken"]}
