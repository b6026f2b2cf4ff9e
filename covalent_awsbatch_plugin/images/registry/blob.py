# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A blob of a registry: bytes that can be read from the beginning as often as needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

from ..layer import Chunk, digest_of
from ..manifest import Descriptor

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Blob:
    """Bytes by digest; `open` reads them from the beginning each time, so that an upload can be repeated."""

    digest: str
    size: int
    open: Callable[[], AsyncGenerator[Chunk, None]]

    @classmethod
    def of(cls, data: Chunk, digest: str | None = None) -> Blob:
        return cls(digest or digest_of(data), len(data), lambda: _slices(data))

    @classmethod
    def file(cls, descriptor: Descriptor, path: Path) -> Blob:
        return cls(descriptor.digest, descriptor.size, lambda: _file_chunks(path))


async def _slices(data: Chunk) -> AsyncGenerator[Chunk, None]:
    view = memoryview(data)
    for start in range(0, len(view), CHUNK_BYTES):
        yield view[start : start + CHUNK_BYTES]


async def _file_chunks(path: Path) -> AsyncGenerator[Chunk, None]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
