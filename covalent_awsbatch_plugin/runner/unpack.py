# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Extraction of a container's tasks from its job's payload into a folder: from the image, or by ranges from the bucket.

Data from the bucket are checked before they become a file, so that a change in the bucket is never unpickled. In an
image the list is checked here, and each object when it is read (`execute`).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .bucket import StorageError, Store
from .job import NoJob
from .protocol import layout
from .protocol.payload import ROW, BadPayload, ContainerList, Head, PackedObject, Row, row_at

_AT_ONCE_BYTES = 16 * 1024 * 1024  # of objects in memory; a bigger object is fetched alone
_STEP_BYTES = 1024 * 1024  # copied at a time from the image


@dataclass(frozen=True)
class JobPayload:
    """One container's part of a payload, and the folder into which it is written.

    `digest` is the sha256 of head and rows and names the object in the bucket; "": the payload is in the image.
    """

    digest: str
    containers: int
    index: int
    folder: Path

    @classmethod
    def of(cls, env: Mapping[str, str], make_folder: Callable[[], Path]) -> JobPayload:
        """Return the payload that the job's environment names. Raises NoJob."""
        digest = env.get(layout.ENV_PAYLOAD) or ""
        try:
            containers = int(env[layout.ENV_CONTAINERS]) if digest else 0
            index = int(env.get(layout.ENV_ARRAY_INDEX) or 0)
        except (KeyError, ValueError) as error:
            raise NoJob(f"the job's environment does not say where its payload lies: {error!r}") from error
        return cls(digest, containers, index, make_folder())

    @property
    def key(self) -> str:
        """The key of the object in the bucket."""
        return layout.payload_key(self.digest)

    @property
    def error_file(self) -> Path:
        """The file with the reason why the tasks could not be fetched."""
        return self.folder / "error"


# ---- from the image --------------------------------------------------------------------------------------------------
def unpack_image(payload: JobPayload, root: Path) -> None:
    """Write the container's tasks and objects into the folder. Raises NoJob, and leaves no folder then."""
    path = root / layout.PAYLOAD_FILE
    try:
        with path.open("rb") as file:
            _unpack_file(payload, file)
    except (BadPayload, OSError) as error:
        shutil.rmtree(payload.folder, ignore_errors=True)
        raise NoJob(f"the description of the task can't be read: {path}: {error}") from error


def _unpack_file(payload: JobPayload, file: BinaryIO) -> None:
    head = Head.from_bytes(file.read(row_at(0)))
    if not 0 <= payload.index < head.containers:
        raise BadPayload(f"it has tasks for {head.containers} containers, and none for number {payload.index}")
    file.seek(row_at(payload.index))
    row = Row.from_bytes(file.read(ROW.size))
    file.seek(row.begin)
    content = _list_in(file.read(row.size), row)
    _write_tasks(payload.folder, content)
    for each in content.objects:
        file.seek(head.objects_at + each.offset)
        with _place(payload.folder, each).open("wb") as place:
            for size in _steps(each.size):
                place.write(file.read(size))


def _steps(size: int) -> Iterator[int]:
    while size > 0:
        yield min(size, _STEP_BYTES)
        size -= _STEP_BYTES


# ---- from the bucket -------------------------------------------------------------------------------------------------
def bring(payload: JobPayload, open_store: Callable[[], Store]) -> int:
    """Write the container's tasks and objects into the folder, or the error file; return this process's exit status.

    The caller runs this in a child process, because the S3 client starts threads.
    """
    try:
        _unpack_object(payload, open_store())
    except (StorageError, OSError) as error:
        payload.error_file.write_text(str(error), encoding="utf-8")
        return 1
    except BadPayload as error:
        words = f"{payload.key} is not what was sent with this job: {error}. Look at who may write to the bucket."
        payload.error_file.write_text(words, encoding="utf-8")
        return 1
    return 0


def _unpack_object(payload: JobPayload, store: Store) -> None:
    (index,) = store.get_ranges(payload.key, [(0, row_at(payload.containers))])
    _check(index, bytes.fromhex(payload.digest), "its beginning")
    head = Head.from_bytes(index)
    row = Row.from_bytes(index[row_at(payload.index) : row_at(payload.index + 1)])
    (text,) = store.get_ranges(payload.key, [(row.begin, row.begin + row.size)])
    content = _list_in(text, row)
    _write_tasks(payload.folder, content)
    for objects in _batches(content.objects):
        begins = [head.objects_at + each.offset for each in objects]
        ranges = [(begin, begin + each.size) for begin, each in zip(begins, objects, strict=True)]
        for each, data in zip(objects, store.get_ranges(payload.key, ranges), strict=True):
            _check(data, bytes.fromhex(each.sha256), f"its object {each.sha256}")
            _place(payload.folder, each).write_bytes(data)


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


def _write_tasks(folder: Path, content: ContainerList) -> None:
    for number, description in content.tasks.items():
        path = folder / layout.task_file(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(description)
    (folder / layout.OBJECTS_DIR).mkdir(parents=True, exist_ok=True)


def _place(folder: Path, each: PackedObject) -> Path:
    return folder / layout.object_file(each.sha256)


def _check(data: bytes, sha256: bytes, name: str) -> None:
    if hashlib.sha256(data).digest() != sha256:
        raise BadPayload(f"{name} was changed or cut")
