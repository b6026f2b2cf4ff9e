# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Access to a container's tasks in its job's payload: where they lie in the image, or fetched from the bucket.

Data from the bucket are checked before they are kept, so that a change in the bucket is never unpickled. In an image
the list is checked here, and each object when it is read (`execute`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO

from .bucket import StorageError, Store
from .kept_file import ImageFile, KeptFile, ReadableAt, reader
from .protocol import layout
from .protocol.task import ROW, BadPayload, ContainerList, Head, PackedObject, Row, row_at
from .script import Place

_AT_ONCE_BYTES = 16 * 1024 * 1024  # of objects in memory; a bigger object is fetched alone


class NoJob(Exception):
    """The container lacks the description of its tasks, or a place to write; the message is one sentence."""


@dataclass(frozen=True)
class JobPayload:
    """One container's part of a payload.

    `digest` is the sha256 of head and rows and names the object in the bucket; "": the payload is in the image.
    """

    digest: str
    containers: int
    index: int

    @classmethod
    def of(cls, env: Mapping[str, str]) -> JobPayload:
        """Return the payload that the job's environment names. Raises NoJob."""
        digest = env.get(layout.ENV_PAYLOAD) or ""
        try:
            containers = int(env[layout.ENV_CONTAINERS]) if digest else 0
            index = int(env.get(layout.ENV_ARRAY_INDEX) or 0)
        except (KeyError, ValueError) as error:
            raise NoJob(f"the job's environment does not say where its payload lies: {error!r}") from error
        return cls(digest, containers, index)

    @property
    def key(self) -> str:
        """The key of the object in the bucket."""
        return layout.payload_key(self.digest)


@dataclass(frozen=True)
class Unpacked:
    """A container's tasks: their descriptions by number, and their objects, which lie in an open file from `begin`."""

    content: ContainerList
    file: ReadableAt
    begin: int

    @cached_property
    def _objects(self) -> dict[str, PackedObject]:
        return {each.sha256: each for each in self.content.objects}

    def task(self, number: int) -> bytes:
        """Return the description of a task. Raises KeyError for a task of another container."""
        return self.content.tasks[number]

    def object(self, sha256: str) -> IO[bytes]:
        """Return a stream of an object's bytes. Raises KeyError for an object that is not in the payload."""
        packed = self._objects[sha256]
        return reader(self.file, self.begin + packed.offset, packed.size)

    def place(self, sha256: str) -> Place | None:
        """Return the place of an object, for a process that has none of this one's files open."""
        packed, path = self._objects[sha256], self.file.path()
        return Place(str(path), self.begin + packed.offset, packed.size) if path else None


# ---- from the image --------------------------------------------------------------------------------------------------
def unpack_image(payload: JobPayload, root: Path) -> Unpacked:
    """Return the container's tasks in the payload of its image; the objects stay there. Raises NoJob."""
    path = root / layout.PAYLOAD_FILE
    try:
        return _unpack_file(payload, ImageFile(path))
    except (BadPayload, OSError) as error:
        raise NoJob(f"the description of the task can't be read: {path}: {error}") from error


def _unpack_file(payload: JobPayload, file: ImageFile) -> Unpacked:
    head = Head.from_bytes(file.read_at(row_at(0), 0))
    if not 0 <= payload.index < head.containers:
        raise BadPayload(f"it has tasks for {head.containers} containers, and none for number {payload.index}")
    row = Row.from_bytes(file.read_at(ROW.size, row_at(payload.index)))
    return Unpacked(_list_in(file.read_at(row.size, row.begin), row), file, head.objects_at)


# ---- from the bucket -------------------------------------------------------------------------------------------------
class Download:
    """The files into which a child process fetches a payload: its list, its objects, or the reason why not."""

    def __init__(self, folder: Path) -> None:
        self._index, self._objects, self._error = KeptFile(), KeptFile(folder), KeptFile()

    def fetch(self, payload: JobPayload, open_store: Callable[[], Store]) -> int:
        """Fetch the container's tasks and objects, or write the error; return this process's exit status.

        The caller runs this in a child process, because the S3 client starts threads.
        """
        try:
            self._fetch(payload, open_store())
        except (StorageError, OSError) as error:
            self._error.write(str(error).encode())
            return 1
        except BadPayload as error:
            words = f"{payload.key} is not what was sent with this job: {error}. Look at who may write to the bucket."
            self._error.write(words.encode())
            return 1
        return 0

    def _fetch(self, payload: JobPayload, store: Store) -> None:
        (index,) = store.get_ranges(payload.key, [(0, row_at(payload.containers))])
        _check(index, bytes.fromhex(payload.digest), "its beginning")
        head = Head.from_bytes(index)
        row = Row.from_bytes(index[row_at(payload.index) : row_at(payload.index + 1)])
        (text,) = store.get_ranges(payload.key, [(row.begin, row.begin + row.size)])
        content, packed = _list_in(text, row), list[PackedObject]()
        for objects in _batches(content.objects):
            begins = [head.objects_at + each.offset for each in objects]
            ranges = [(begin, begin + each.size) for begin, each in zip(begins, objects, strict=True)]
            for each, data in zip(objects, store.get_ranges(payload.key, ranges), strict=True):
                _check(data, bytes.fromhex(each.sha256), f"its object {each.sha256}")
                packed.append(replace(each, offset=self._objects.size))
                self._objects.write(data)
        self._index.write(ContainerList(content.tasks, packed).to_bytes())

    def unpacked(self) -> Unpacked:
        """Return the fetched tasks."""
        return Unpacked(ContainerList.from_bytes(self._index.read()), self._objects, 0)

    def error(self, payload: JobPayload) -> str:
        """Return the reason why the tasks could not be fetched."""
        return self._error.read().decode() or f"{payload.key}: killed"


def _batches(objects: Sequence[PackedObject]) -> Iterator[list[PackedObject]]:
    """Yield the objects in the order in which they lie, as many at a time as may be in memory."""
    batch: list[PackedObject] = []
    for each in sorted(objects, key=lambda each: each.offset):
        if batch and sum(other.size for other in batch) + each.size > _AT_ONCE_BYTES:
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


# ---- both ------------------------------------------------------------------------------------------------------------
def _list_in(text: bytes, row: Row) -> ContainerList:
    _check(text, row.sha256, "the list of its files")
    return ContainerList.from_bytes(text)


def _check(data: bytes, sha256: bytes, name: str) -> None:
    if hashlib.sha256(data).digest() != sha256:
        raise BadPayload(f"{name} was changed or cut")
