# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A layer of an image, and any blob of one. The same files give the same bytes on every machine at any time."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from tarfile import DIRTYPE, PAX_FORMAT, SYMTYPE, TarInfo
from typing import BinaryIO, NamedTuple

Chunk = bytes | bytearray | memoryview

_TAR_BLOCK = 512
TAR_END = bytes(2 * _TAR_BLOCK)
_GZIP_HEADER = bytes.fromhex("1f8b08000000000000ff")  # deflate; no flags, no time, any system (RFC 1952)
_PIECE_BYTES = 1024 * 1024
CHUNK_BYTES = 1 << 20  # of a blob, sent or read at once
_STORED_BYTES = 65535  # the most a stored block of deflate holds (RFC 1951, 3.2.4)


@dataclass(frozen=True)
class File:
    """A regular file; mode 755 when `executable`, else 644."""

    data: Chunk
    executable: bool = False


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Pieces:
    """A regular file of mode 644 whose `size` bytes are in several pieces."""

    size: int
    chunks: Sequence[Chunk] = field(repr=False)


Entry = bytes | File | Link | Pieces


@dataclass(frozen=True)
class Layer:
    """A gzipped tar. `digest` and `size` are of `data`, the bytes in a registry; `diff_id` is of the tar in it.

    A layer has no media type: that depends on the family of the image it joins (`image.Family`).
    """

    digest: str
    size: int
    diff_id: str
    comment: str  # goes into the image's history
    data: Chunk = field(repr=False, compare=False)  # a big one is a file, mapped into memory


def layer(files: Mapping[str, Entry], comment: str = "") -> Layer:
    """Return the layer that adds these files, by path relative to the image's root; their folders have mode 755.

    The content is copied once, into `data`. Raises ValueError for a path that leaves the root or is also a folder.
    """
    diff = hashlib.sha256()
    data = b"".join(stored_gzip(hashed(tar(files), diff)))
    return Layer(digest_of(data), len(data), f"sha256:{diff.hexdigest()}", comment, data)


def compressed_layer(files: Mapping[str, Entry], comment: str = "") -> Layer:
    """Return the same layer as `layer`, compressed: for files of this installation alone, packed anew each time.

    The same files give the same bytes with the same zlib. Raises ValueError as `layer` does.
    """
    diff = hashlib.sha256()
    data = b"".join(deflated_gzip(hashed(pieces(tar(files)), diff)))
    return Layer(digest_of(data), len(data), f"sha256:{diff.hexdigest()}", comment, data)


def digest_of(data: Chunk) -> str:
    """Return the digest by which a registry names these bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def tar(files: Mapping[str, Entry]) -> Iterator[Chunk]:
    """Yield the bytes of a tar file: entries sorted, folders before their entries, time 0, owner 0."""
    for path in sorted(_folders(files) | set(files)):
        yield from _member(path, files.get(path))
    yield TAR_END


def _folders(files: Mapping[str, Entry]) -> set[str]:
    folders = set[str]()
    for path in files:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == ".":
            raise ValueError(f"{path!r} is not a plain path relative to the image's root")
        folders.update(str(parent) for parent in pure.parents if parent.name)
    if both := folders & set(files):
        raise ValueError(f"{min(both)!r} is a file and a folder at once")
    return folders


def _member(path: str, entry: Entry | None) -> Iterator[Chunk]:
    info = TarInfo(path)
    data: Chunk = b""
    match entry:
        case Pieces(size, chunks):
            info.size, info.mode = size, 0o644
            yield info.tobuf(PAX_FORMAT)
            yield from chunks
            yield bytes(-size % _TAR_BLOCK)
            return
        case None:
            info.type, info.mode = DIRTYPE, 0o755
        case Link(target):
            info.type, info.mode, info.linkname = SYMTYPE, 0o777, target
        case File(content, executable):
            data, info.mode = content, 0o755 if executable else 0o644
        case _:
            data, info.mode = entry, 0o644
    yield from tar_member(info, data)


def tar_member(info: TarInfo, data: Chunk) -> Iterator[Chunk]:
    """Yield one entry of a tar file, with the size of its data."""
    info.size = len(data)
    yield info.tobuf(PAX_FORMAT)
    yield data
    yield bytes(-len(data) % _TAR_BLOCK)


def stored_gzip(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Yield the chunks as a gzip file of stored blocks; how they were cut makes no difference.

    Written by hand because zlib, zlib-ng and isal compress to different bytes, even at level 0; and layers of pickles
    and of wheels gain little from compression that costs five times the CPU.
    """
    yield _GZIP_HEADER
    crc = size = 0
    block: list[Chunk] = []
    room = _STORED_BYTES
    for chunk in chunks:
        rest = memoryview(chunk)
        crc, size = zlib.crc32(rest, crc), size + len(rest)
        while rest:
            block.append(rest[:room])
            rest, room = rest[room:], room - len(block[-1])
            if not room:
                yield _block_header(_STORED_BYTES, final=False)
                yield from block
                block, room = [], _STORED_BYTES
    yield _block_header(_STORED_BYTES - room, final=True)
    yield from block
    yield crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")


def deflated_gzip(chunks: Iterable[Chunk]) -> Iterator[bytes]:
    """Yield the chunks as a gzip file, compressed quickly, for big and stored layers: libraries shrink to a third.

    Another zlib makes other bytes of the same chunks, so the caller stores the result.
    """
    packer = zlib.compressobj(1, zlib.DEFLATED, wbits=31)  # 31: with gzip's own frame, which has no time here
    for piece in chunks:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()


class Written(NamedTuple):
    """A compressed layer in a file: its digest and size in bytes, and the digest of the tar in it."""

    digest: str
    size: int
    diff_id: str


def write_deflated(chunks: Iterable[Chunk], file: BinaryIO) -> Written:
    """Write the chunks of a tar as `deflated_gzip` into a file, never wholly in memory."""
    diff, whole, size = hashlib.sha256(), hashlib.sha256(), 0
    for packed in deflated_gzip(hashed(pieces(chunks), diff)):
        whole.update(packed)
        size += file.write(packed)
    return Written(f"sha256:{whole.hexdigest()}", size, f"sha256:{diff.hexdigest()}")


def pieces(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Yield the same bytes in steps of about a MiB: threads that hash many small chunks wait for each other."""
    few = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        if len(view) < _PIECE_BYTES // 4:
            few += view
        else:
            yield few
            few = bytearray()
            yield from (view[start : start + _PIECE_BYTES] for start in range(0, len(view), _PIECE_BYTES))
        if len(few) >= _PIECE_BYTES:
            yield few
            few = bytearray()
    yield few


def _block_header(length: int, *, final: bool) -> bytes:
    return bytes([final]) + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little")


def hashed(chunks: Iterable[Chunk], digest: hashlib._Hash) -> Iterator[Chunk]:
    """Yield the same chunks, and update `digest` with them."""
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


@dataclass(frozen=True)
class Blob:
    """Bytes by digest; `open` reads them from the beginning each time, so that an upload can be repeated."""

    digest: str
    size: int
    open: Callable[[], AsyncGenerator[Chunk, None]]

    @classmethod
    def of(cls, data: Chunk, digest: str | None = None) -> Blob:
        """Return bytes in memory as a blob."""
        return cls(digest or digest_of(data), len(data), lambda: _slices(data))


async def _slices(data: Chunk) -> AsyncGenerator[Chunk, None]:
    view = memoryview(data)
    for start in range(0, len(view), CHUNK_BYTES):
        yield view[start : start + CHUNK_BYTES]
