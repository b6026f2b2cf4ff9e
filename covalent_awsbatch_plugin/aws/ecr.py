# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""ECR: the repository's address and the login for it, from ECR's own answers."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ..errors import NotFound, Refused
from ..images.builders.builder import Login, Repository
from .session import AWS

IMAGES_PER_CALL = 100  # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
EARLY = timedelta(minutes=30)  # a push must not outlive its token


class ECR:
    """The repositories of one account and Region. A token is requested once and used for its life (12 h at AWS)."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws
        self._logins: dict[str, tuple[datetime, Login]] = {}
        self._asking = asyncio.Lock()

    async def repository(self, name: str) -> Repository:
        """Return the repository, with a login that is valid for at least half an hour.

        Raises NotFound with the command that creates it.
        """
        try:
            answer = await self._aws.call(
                "ecr", "DescribeRepositories", of=f"ECR repository `{name}`", repositoryNames=[name]
            )
        except (NotFound, Refused) as error:
            error.advice = (
                f"Correct `ecr_repo_name` or `region`, or run `aws ecr create-repository --repository-name {name}`."
            )
            raise
        description = answer["repositories"][0]
        return Repository.at(description["repositoryUri"], await self._login(description["registryId"]))

    async def delete_images(self, repository: str, digests: Sequence[str]) -> None:
        """Delete images, 100 per request; an image that does not exist is no error."""
        for start in range(0, len(digests), IMAGES_PER_CALL):
            ids = [{"imageDigest": digest} for digest in digests[start : start + IMAGES_PER_CALL]]
            of = f"ECR repository `{repository}`"
            await self._aws.call("ecr", "BatchDeleteImage", of=of, repositoryName=repository, imageIds=ids)

    async def _login(self, registry: str) -> Login:
        async with self._asking:
            cached = self._logins.get(registry)
            if cached is None or cached[0] - EARLY < datetime.now(UTC):
                answer = await self._aws.call("ecr", "GetAuthorizationToken", of="the ECR registry")
                token = answer["authorizationData"][0]
                user, password = base64.b64decode(token["authorizationToken"]).decode().split(":", 1)
                cached = self._logins[registry] = (token["expiresAt"], Login(user, password))
        return cached[1]
