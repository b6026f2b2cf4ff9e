# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""ECR: the repository's address and the login for it, from ECR's own answers."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import NotAllowed, NotFound, Refused
from ..iam import ecr_repository
from ..images.builders.builder import Login, Repository
from .session import AWS

IMAGES_PER_CALL = 100  # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
DESCRIBE = "ecr:DescribeRepositories"
LIFE = timedelta(hours=12)  # https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
EARLY = timedelta(minutes=30)  # a push must not outlive its token


def registry_of(repository: str) -> dict[str, Any]:
    """Return the parameter that names another account's registry, for a repository given by URI or ARN."""
    account = ecr_repository(repository)[0]
    return {"registryId": account} if account else {}


@dataclass(frozen=True)
class _Token:
    """An authorization token of ECR: the monotonic time until which it is used, its login, and the registry's host."""

    ends: float
    login: Login
    host: str


class ECR:
    """The repositories of one account and Region. A token is requested once and used for its life (12 h at AWS)."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws
        self._tokens: dict[tuple[str, int], _Token] = {}  # by registry and by the generation of the credentials
        self._asking = asyncio.Lock()

    async def repository(self, name: str) -> Repository:
        """Return the repository, with a login that is valid for at least half an hour.

        Raises NotFound with the command that creates it. Without `ecr:DescribeRepositories` the repository is one of
        the credentials' own registry, and exists.
        """
        if self._aws.permissions.lacks(DESCRIBE):
            return await self._own(name)
        try:
            place = registry_of(name)
            names = [ecr_repository(name)[2]]
            answer = await self._aws.call(
                "ecr", "DescribeRepositories", of=f"ECR repository `{name}`", repositoryNames=names, **place
            )
        except NotAllowed as error:
            self._aws.permissions.go_without(error, DESCRIBE, f"The repository `{name}` is taken for one that exists.")
            return await self._own(name)
        except (NotFound, Refused) as error:
            error.advice = (
                f"Correct `ecr_repo_name` or `region`, or run `aws ecr create-repository --repository-name {name}`."
            )
            raise
        description = answer["repositories"][0]
        return Repository.at(description["repositoryUri"], (await self._token(description["registryId"])).login)

    async def _own(self, name: str) -> Repository:
        """Return a repository of the registry that the token is for."""
        token = await self._token("")
        return Repository.at(f"{token.host}/{name}", token.login)

    async def delete_images(self, repository: str, digests: Sequence[str]) -> None:
        """Delete images, 100 per request; an image that does not exist is no error."""
        for start in range(0, len(digests), IMAGES_PER_CALL):
            ids = [{"imageDigest": digest} for digest in digests[start : start + IMAGES_PER_CALL]]
            of = f"ECR repository `{repository}`"
            place: dict[str, Any] = registry_of(repository) | {"repositoryName": ecr_repository(repository)[2]}
            await self._aws.call("ecr", "BatchDeleteImage", of=of, imageIds=ids, **place)

    async def _token(self, registry: str) -> _Token:
        """Return the token that was requested for a registry's id, or for "" the caller's own."""
        key = registry, self._aws.generation
        async with self._asking:
            token = self._tokens.get(key)
            if token is None or token.ends < time.monotonic():
                answer = await self._aws.call("ecr", "GetAuthorizationToken", of="the ECR registry")
                data = answer["authorizationData"][0]
                user, password = base64.b64decode(data["authorizationToken"]).decode().split(":", 1)
                host = data["proxyEndpoint"].partition("://")[2]
                life = min(data["expiresAt"] - datetime.now(UTC), LIFE) - EARLY
                ends = time.monotonic() + life.total_seconds()
                self._tokens = {old: each for old, each in self._tokens.items() if old[1] == key[1]}
                self._tokens = {old: each for old, each in self._tokens.items() if old[1] == key[1]}
                token = self._tokens[key] = _Token(ends, Login(user, password), host)
        return token
