# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The interface of image builders, and its values.

`registry_builder` needs no engine, `docker_builder` uses one. Both give the same digests.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

from ..base_facts import BaseImageFacts
from ..layer import CHUNK_BYTES, Blob, Chunk, Layer
from ..manifest import Descriptor, Image
from ..reference import Reference


@dataclass(frozen=True)
class Login:
    """A registry's credentials: for ECR, the answer of `GetAuthorizationToken`."""

    username: str
    password: str = field(repr=False)

    @cached_property
    def basic(self) -> str:
        """Return the value of the Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Repository:
    """The target of images: `host` (with port) and `name`, as ECR's `repositoryUri` gives them."""

    host: str
    name: str
    login: Login | None = None

    @classmethod
    def at(cls, uri: str, login: Login | None = None) -> Repository:
        """Return the repository of a `repositoryUri`, such as `1234.dkr.ecr.eu-west-1.amazonaws.com/tasks`."""
        host, _, name = uri.partition("/")
        return cls(host, name, login)

    @cached_property
    def uri(self) -> str:
        return f"{self.host}/{self.name}"


@dataclass(frozen=True)
class Base:
    """A base image for one platform.

    `origin` is the source of its blobs; None if only an engine has it, and then `files` holds its layers. `inside` are
    the facts of its files.
    """

    name: str
    image: Image
    origin: Reference | None
    files: Mapping[str, Path] = field(default_factory=dict)
    inside: BaseImageFacts = field(default_factory=BaseImageFacts)

    @property
    def python(self) -> str | None:
        """Version of its Python; None if it is not known."""
        return self.inside.python or self.image.python


@dataclass(frozen=True)
class PushedImage:
    """An image that a job definition can name, and the cost of its push; `bytes_pushed` may be 0."""

    uri: str
    digest: str
    bytes_pushed: int
    requests: int
    python: str | None


class Builder(Protocol):
    """Builds and pushes images. One is opened per event loop and shared, so that common layers are sent once."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...

    async def resolve_base(self, image: str, platform: str, into: Repository) -> Base:
        """Return the base that `image` names, for a platform such as `linux/amd64`. Nothing is pushed yet.

        Raises SettingError, ImageError and ServiceError.
        """
        ...

    async def missing(self, layers: Sequence[Layer], into: Repository) -> list[Layer]:
        """Return the layers that the repository does not have. Raises ServiceError."""
        ...

    def layers_of(self, base: Base, into: Repository) -> list[Blob]:
        """Return the layers of the base as blobs, lowest first. Nothing is read yet."""
        ...

    async def push(self, base: Base, layers: Sequence[Layer], into: Repository, kind: str = ...) -> PushedImage:
        """Push the base with these layers on top, under a tag that begins with `kind`.

        Raises ImageError and ServiceError.
        """
        ...


def file_blob(descriptor: Descriptor, path: Path) -> Blob:
    """Return a blob whose bytes are in a file. The file is opened at each reading, in a thread."""
    return Blob(descriptor.digest, descriptor.size, lambda: _file_chunks(path))


async def _file_chunks(path: Path) -> AsyncGenerator[Chunk, None]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
