# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What tasks left at AWS: images, objects, definitions, with their ages. Only looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

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
        async for image in self._aws.items("ecr", "DescribeImages", "imageDetails", of=of, repositoryName=repository):
            tag = next(iter(image.get("imageTags") or ()), "")
            found.append(
                Leftover(image["imageDigest"], tag, image.get("imageSizeInBytes", 0), image.get("imagePushedAt"))
            )
        return found

    async def objects(self, bucket: str, prefix: str) -> list[Leftover]:
        """Every object below a prefix."""
        of = f"bucket `{bucket}`"
        items = self._aws.items("s3", "ListObjectsV2", "Contents", of=of, Bucket=bucket, Prefix=prefix)
        return [Leftover(item["Key"], item["Key"], item["Size"], item["LastModified"]) async for item in items]

    async def definitions(self) -> list[tuple[Leftover, Mapping[str, str]]]:
        """Every active job definition of the account and Region, with its tags."""
        of, found = "the job definitions", []
        async for each in self._aws.items("batch", "DescribeJobDefinitions", "jobDefinitions", of=of, status="ACTIVE"):
            left = Leftover(each["jobDefinitionArn"], each["jobDefinitionName"], 0, None)
            found.append((left, each.get("tags") or {}))
        return found
