# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lists of tasks' artifacts at AWS: images, objects, job definitions, with their ages. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..aws.ecr import registry_of
from ..aws.s3 import Store
from ..aws.session import AWS
from ..iam import ecr_repository


@dataclass(frozen=True)
class Leftover:
    """An artifact: its name for AWS (digest, key, ARN), its name for people, its size in bytes, its creation time."""

    name: str
    label: str
    size: int
    since: datetime | None  # definitions have no date


class Leftovers:
    """The artifacts of one connection's account and Region; every list is complete."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws

    async def images(self, repository: str) -> list[Leftover]:
        """Return every image of a repository, with its first tag as label."""
        of, images = f"ECR repository `{repository}`", []
        place: dict[str, Any] = registry_of(repository) | {"repositoryName": ecr_repository(repository)[2]}
        async for image in self._aws.items("ecr", "DescribeImages", "imageDetails", of=of, **place):
            tag = next(iter(image.get("imageTags") or ()), "")
            images.append(
                Leftover(image["imageDigest"], tag, image.get("imageSizeInBytes", 0), image.get("imagePushedAt"))
            )
        return images

    async def objects(self, store: Store, prefix: str) -> list[Leftover]:
        """Return every object below a prefix of a bucket."""
        items = store.objects(prefix)
        return [Leftover(item["Key"], item["Key"], item["Size"], item["LastModified"]) async for item in items]

    async def definitions(self) -> list[tuple[Leftover, Mapping[str, str]]]:
        """Return every active job definition of the account and Region, with its tags."""
        of, definitions = "the job definitions", []
        async for each in self._aws.items("batch", "DescribeJobDefinitions", "jobDefinitions", of=of, status="ACTIVE"):
            definition = Leftover(each["jobDefinitionArn"], each["jobDefinitionName"], 0, None)
            definitions.append((definition, each.get("tags") or {}))
        return definitions
