# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Files that the runner keeps open, whatever the user's code does with the disk, the folder or the descriptors.

The files have no name and are opened before the user's code runs: so they survive an emptied folder, a full disk, a
process that gives up its user, and a process that has no descriptor left. What the disk refuses goes on in memory.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MEMORY_BYTES = 64 * 1024 * 1024  # of one file, where the disk is full
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CHUNK = 8 * 1024 * 1024
_NO_ROOM_BYTES = 64 * 1024  # a disk with less free space than this counts as full
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the mount that POSIX shared memory uses; the file in it has no name


class ReadableAt(Protocol):
    """A file that is read at an offset, so that processes that share it don't move each other's position."""

    def read_at(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset`; none at the end."""

    def path(self) -> Path | None:
        """Return a path by which the processes of the container can open the file, None where there is none."""


def is_full(error: BaseException) -> bool:
    """Return whether the error says that a disk, or the user's share of it, has no room."""
    return isinstance(error, OSError) and error.errno in _FULL


class _Descriptor:
    """A descriptor that is opened again through the process that made it, where the user's code has closed it."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._path = f"/proc/{os.getpid()}/fd/{number}"
        self._inode = self._identity(os.fstat(number))

    @staticmethod
    def _identity(stat: os.stat_result) -> tuple[int, int]:
        return stat.st_dev, stat.st_ino

    def open(self) -> tuple[int, int]:
        """Return the number and the file's size in bytes. Raises OSError."""
        with contextlib.suppress(OSError):
            stat = os.fstat(self._number)
            if self._identity(stat) == self._inode:
                return self._number, stat.st_size
        self._number = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        return self._number, os.fstat(self._number).st_size

    def close(self) -> None:
        os.close(self._number)


class ImageFile:
    """A file of the image, open for reading at any offset. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        os.close(self._number)

    def read_at(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset`; none at the end."""
        return os.pread(self._number, size, offset)

    @property
    def size(self) -> int:
        """The size in bytes."""
        return os.fstat(self._number).st_size

    def path(self) -> Path | None:
        """Return the path."""
        return self._path


class KeptFile:
    """A file without a name that is only appended to: its part on the disk, then its part in memory.

    `folder` is where the part on the disk lies; None: all of it is in memory. At most `memory_bytes` are in memory.
    Processes forked after it was made share it.
    """

    def __init__(self, folder: Path | None = None, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory = _in_memory()
        if folder is None and self._memory is None:
            folder = Path(tempfile.gettempdir())
        self._disk = _on_disk(folder) if folder else None
        self._memory_bytes = memory_bytes
        self._settled: bytes | None = None
        self.refused = False  # whether a write of this process found no room

    @property
    def size(self) -> int:
        """The size in bytes."""
        return sum(self._sizes()) if self._settled is None else len(self._settled)

    def _sizes(self) -> tuple[int, int]:
        disk = self._disk.open()[1] if self._disk else 0
        return disk, self._memory.open()[1] if self._memory else 0

    def write(self, data: ReadableBuffer, /) -> int:
        """Append the data; return their size. Raises OSError where neither the disk nor the memory has room."""
        view = memoryview(data).cast("B")
        size = len(view)
        while view:
            view = view[self._write_some(view) :]
        return size

    def _write_some(self, view: memoryview) -> int:
        disk, memory = self._disk, self._memory
        number, size = memory.open() if memory else (0, 0)
        if disk and not size:
            try:
                place, end = disk.open()
                return os.pwrite(place, view, end)
            except OSError:
                if memory is None:
                    self.refused = True
                    raise
        if memory is None or size >= self._memory_bytes:
            self.refused = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.pwrite(number, view[: self._memory_bytes - size], size)

    def end_with(self, words: bytes) -> None:
        """Append some words; where nothing has room for them, in place of the last bytes."""
        try:
            self.write(words)
        except OSError:
            disk, memory = self._sizes()
            part, size = (self._memory, memory) if memory else (self._disk, disk)
            if part and size >= len(words):
                os.pwrite(part.open()[0], words, size - len(words))

    def read_at(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset`; none at the end."""
        if self._settled is not None:
            return self._settled[offset : offset + size]
        place, end = self._disk.open() if self._disk else (0, 0)
        if offset < end:
            return os.pread(place, min(size, end - offset), offset)
        return os.pread(self._memory.open()[0], size, offset - end) if self._memory else b""

    def read(self) -> bytes:
        """Return the content."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in steps of 8 MiB."""
        offset = 0
        while data := self.read_at(_CHUNK, offset):
            yield data
            offset += len(data)

    def reader(self) -> IO[bytes]:
        """Return a new stream of the content."""
        return reader(self, 0, self.size)

    def path(self) -> Path | None:
        """Return a path by which the container's processes can open the content, None where it is in two parts."""
        disk, memory = self._sizes()
        part = self._disk if disk else self._memory
        if (disk and memory) or self._settled is not None:
            return None
        path = Path(f"/proc/{os.getpid()}/fd/{part.open()[0]}") if part else None
        return path if path and path.exists() else None

    def clear(self) -> None:
        """Remove the content."""
        for part in filter(None, (self._disk, self._memory)):
            os.ftruncate(part.open()[0], 0)

    def settle(self, most_bytes: int) -> None:
        """Take a content of at most this size into this process and close the file: a process has few descriptors."""
        if self._settled is None and self.size <= most_bytes:
            content = self.read()
            self.close()
            self._settled = content

    def close(self) -> None:
        """Close the file, which ends it."""
        for part in filter(None, (self._disk, self._memory)):
            part.close()
        self._disk = self._memory = None


def reader(file: ReadableAt, begin: int, size: int) -> IO[bytes]:
    """Return a stream of `size` bytes of a file, from `begin`."""
    return io.BufferedReader(_Slice(file, begin, size))


class _Slice(io.RawIOBase):
    def __init__(self, file: ReadableAt, begin: int, size: int) -> None:
        self._file, self._begin, self._size, self._at = file, begin, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._file.read_at(min(len(view), max(0, self._size - self._at)), self._begin + self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _on_disk(folder: Path) -> _Descriptor | None:
    """Return a new file without a name in `folder`, or None where none can be made."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            return _Descriptor(os.dup(file.fileno()))
    except OSError:
        return None


def _in_memory() -> _Descriptor | None:
    """Return a new file in memory, or None on a system without memfd_create and /dev/shm."""
    with contextlib.suppress(OSError, AttributeError):  # a Python built for an old C library lacks the function
        return _Descriptor(os.memfd_create("covalent-awsbatch"))
    return _on_disk(Path(_SHARED_MEMORY))


def full_disk() -> str:
    """Return a sentence that names the disk of the folder for temporary files as full; "" where it has room."""
    try:
        folder = tempfile.gettempdir()
        stat = os.statvfs(folder)
    except OSError:
        return ""
    free = stat.f_bavail if os.geteuid() else stat.f_bfree  # the rest is reserved for root
    if free * stat.f_frsize >= _NO_ROOM_BYTES and (stat.f_favail or not stat.f_files):
        return ""
    mib = stat.f_blocks * stat.f_frsize / 2**20
    return (
        f"The disk of the container is full: {folder} has no room left of {mib:,.0f} MiB. "
        "Write less there, or give the job's instances a bigger volume."
    )
