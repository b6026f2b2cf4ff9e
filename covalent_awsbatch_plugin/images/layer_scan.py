# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Read facts of a base image from its layers, without an engine, and cache them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import IO

from ..core.files import atomic_write, writable
from ..core.hashing import content_id
from ..core.user_dirs import cache_home
from .base_facts import BaseImageFacts, Files
from .layer import Blob
from .manifest import Image

MOST_HEADER = 1024 * 1024
MOST_READ = 4 * 1024 * 1024  # read of one file; a C library has 2 MiB


class Probe:
    """A cache of image facts. Raises StagingError if its folder cannot be used, ServiceError for unreadable layers."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_home() / "images"

    def known(self, *parts: object) -> BaseImageFacts | None:
        """Return the cached facts with this key; None if there are none."""
        try:
            return BaseImageFacts.from_json(self._place(parts).read_text())
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, inside: BaseImageFacts, *parts: object) -> None:
        """Cache facts, for later processes too."""
        with writable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic_write(self._place(parts), inside.to_json())

    def _place(self, parts: Sequence[object]) -> Path:
        return self.folder / f"{content_id(*parts)[:40]}.json"

    async def look(self, image: Image, layers: Sequence[Blob]) -> BaseImageFacts:
        """Return the facts of an image; read every layer, lowest first, through a temporary file, once per image."""
        if cached := self.known("image", image.digest):
            return cached
        files = Files()
        for blob in layers:
            if not await self._read(blob, files):
                return BaseImageFacts()  # an upper layer may change lower ones
        inside = files.inside(image)
        self.keep(inside, "image", image.digest)
        return inside

    async def _read(self, blob: Blob, files: Files) -> bool:
        with writable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            with tempfile.TemporaryFile(dir=self.folder) as file:
                async with aclosing(blob.open()) as chunks:
                    async for chunk in chunks:
                        digest.update(chunk)
                        await asyncio.to_thread(file.write, chunk)
                file.seek(0)
                whole = f"sha256:{digest.hexdigest()}" == blob.digest
                return whole and await asyncio.to_thread(read_layer, file, files)


_LONG_NAMES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class BoundedHeader(tarfile.TarInfo):
    """An entry of a tar whose extended header is refused above 1 MiB: such a header is read into memory at once."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> BoundedHeader:
        """Return the entry of a header. Raises tarfile.ReadError."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in _LONG_NAMES and header.size > MOST_HEADER:
            raise tarfile.ReadError(f"an extended header of {header.size} bytes")
        return header


def read_layer(file: IO[bytes], files: Files) -> bool:
    """Add the relevant files of a layer; return False for a compression that cannot be read here."""
    with (
        contextlib.suppress(tarfile.TarError, EOFError, zlib.error),
        tarfile.open(fileobj=file, mode="r|*", tarinfo=BoundedHeader) as tar,
    ):
        for member in tar:
            _note(tar, member, files)
        return True
    return False


def _note(tar: tarfile.TarFile, member: tarfile.TarInfo, files: Files) -> None:
    path = member.name.removeprefix("./").strip("/")
    if member.issym():
        files.add(path, link=member.linkname)
    elif member.islnk():
        if files.matters(path):
            files.add(path, link="/" + member.linkname.removeprefix("./").lstrip("/"))
    elif member.isfile() and files.matters(path):
        stream = tar.extractfile(member) if files.wants(path) else None
        files.add(path, stream.read(MOST_READ) if stream else b"")
