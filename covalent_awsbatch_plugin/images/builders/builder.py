# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What every builder of images does, and the values it speaks in.

There are two: `registry_builder` needs no engine, `docker_builder` has an engine take part. Both give the same digests.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from ..base_facts import BaseImageFacts
from ..layer import Layer
from ..manifest import Image
from ..reference import Reference
from ..registry.blob import Blob


@dataclass(frozen=True)
class Login:
    """What a registry lets in: for ECR, what `GetAuthorizationToken` answers."""

    username: str
    password: str = field(repr=False)

    def basic(self) -> str:
        """The value of the Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Repository:
    """Where images go: `host` (with port) and `name`, as ECR's own `repositoryUri` gives them."""

    host: str
    name: str
    login: Login | None = None

    @classmethod
    def at(cls, uri: str, login: Login | None = None) -> Repository:
        """The repository of a `repositoryUri`, like `1234.dkr.ecr.eu-west-1.amazonaws.com/tasks`."""
        host, _, name = uri.partition("/")
        return cls(host, name, login)

    @property
    def uri(self) -> str:
        return f"{self.host}/{self.name}"


@dataclass(frozen=True)
class Base:
    """An image to build upon, for one platform.

    `origin` says where its blobs are read from; None when only an engine had it, and then `files` holds its layers.
    `inside` is what is known of its files.
    """

    name: str
    image: Image
    origin: Reference | None
    files: Mapping[str, Path] = field(default_factory=dict)
    inside: BaseImageFacts = field(default_factory=BaseImageFacts)

    @property
    def python(self) -> str | None:
        """The version of its Python; None when nobody knows."""
        return self.inside.python or self.image.python


@dataclass(frozen=True)
class PushedImage:
    """An image that a job definition can name; what pushing it took. `bytes_pushed` is 0 when all was there."""

    uri: str
    digest: str
    bytes_pushed: int
    requests: int
    python: str | None


class Builder(Protocol):
    """One is opened per event loop, and shared: what many tasks need at once is then sent once."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...

    async def resolve_base(self, image: str, platform: str, into: Repository) -> Base:
        """The base that `image` names, for a platform like `linux/amd64`. Nothing is pushed yet, so it can be refused.

        Raises SettingError, ImageError and ServiceError.
        """
        ...

    async def missing(self, layers: Sequence[Layer], into: Repository) -> list[Layer]:
        """Those of the layers that the repository does not hold. Raises ServiceError."""
        ...

    def layers_of(self, base: Base, into: Repository) -> list[Blob]:
        """What opens each layer of the base, lowest first. Nothing is read yet."""
        ...

    async def push(self, base: Base, layers: Sequence[Layer], into: Repository, kind: str = ...) -> PushedImage:
        """The base with these layers on top, in the repository, under a tag that begins with its `kind`.

        Raises ImageError and ServiceError.
        """
        ...
