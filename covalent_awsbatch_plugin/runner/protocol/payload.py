# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What a job's tasks are made of, where that is no layer of its image but one object in the bucket: read by range.

Bytes: a row for each container, then their lists, then the files; each container unpacks its own as a layer would be.
The job's environment has the sha256 of the rows, these have the lists', and those the files': so what is unpickled is
what was sent, whoever may write to the bucket.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from ..bucket import StorageError, Store
from ..job import NoJob
from . import layout

ROW = Struct(">QQ32s")  # where a container's list begins, its bytes, its sha256
_AT_ONCE_BYTES = 16 * 1024 * 1024  # of files in memory; a bigger one goes alone


class BadPayload(ValueError):
    """The object in the bucket is not the one that was sent with this job; the message is half a sentence."""


@dataclass(frozen=True)
class PackedFile:
    """One file of a container: its path as in an image, where it begins behind the lists, its bytes, its sha256."""

    path: str
    offset: int
    size: int
    sha256: str


def list_of(files: Sequence[PackedFile]) -> bytes:
    """The same files give the same bytes."""
    return json.dumps([list(vars(file).values()) for file in files], separators=(",", ":")).encode()


@dataclass(frozen=True)
class JobPayload:
    """One container's part of a payload, and the folder that shall hold it."""

    digest: str
    containers: int
    index: int
    folder: Path

    @classmethod
    def of(cls, env: Mapping[str, str], make_folder: Callable[[], Path]) -> JobPayload | None:
        """None where the image holds the tasks. Raises NoJob."""
        digest = env.get(layout.ENV_PAYLOAD)
        if not digest:
            return None
        try:
            containers, index = int(env[layout.ENV_CONTAINERS]), int(env.get(layout.ENV_ARRAY_INDEX) or 0)
        except (KeyError, ValueError) as error:
            raise NoJob(f"the job's environment does not say where its payload lies: {error!r}") from error
        return cls(digest, containers, index, make_folder())

    @property
    def key(self) -> str:
        return layout.payload_key(self.digest)

    @property
    def complaint(self) -> Path:
        """Where it says why the container can't have it."""
        return self.folder / "complaint"


def bring(parcel: JobPayload, open_store: Callable[[], Store]) -> int:
    """Every file is in the folder afterwards, or there is a complaint; the exit status of this process.

    In a process of its own, for the client starts threads.
    """
    try:
        _unpack(parcel, open_store())
    except (StorageError, OSError) as error:
        parcel.complaint.write_text(str(error), encoding="utf-8")
        return 1
    except BadPayload as error:
        words = f"{parcel.key} is not what was sent with this job: {error}. Look at who may write to the bucket."
        parcel.complaint.write_text(words, encoding="utf-8")
        return 1
    return 0


def _unpack(parcel: JobPayload, store: Store) -> None:
    (rows,) = store.get_ranges(parcel.key, [(0, parcel.containers * ROW.size)])
    _check(rows, bytes.fromhex(parcel.digest), "its beginning")
    begin, size, sha256 = ROW.unpack_from(rows, parcel.index * ROW.size)
    (text,) = store.get_ranges(parcel.key, [(begin, begin + size)])
    _check(text, sha256, "the list of its files")
    last_begin, last_size, _ = ROW.unpack_from(rows, len(rows) - ROW.size)
    for files in _batches([PackedFile(*fields) for fields in json.loads(text)]):
        _bring(parcel, store, files, last_begin + last_size)


def _bring(parcel: JobPayload, store: Store, files: Sequence[PackedFile], behind: int) -> None:
    ranges = [(behind + file.offset, behind + file.offset + file.size) for file in files]
    for file, data in zip(files, store.get_ranges(parcel.key, ranges), strict=True):
        _check(data, bytes.fromhex(file.sha256), f"its file {file.path}")
        path = parcel.folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _batches(files: list[PackedFile]) -> Iterator[list[PackedFile]]:
    """In the order in which they lie, as many as may be in memory."""
    batch: list[PackedFile] = []
    for file in sorted(files, key=lambda file: file.offset):
        if batch and sum(each.size for each in batch) + file.size > _AT_ONCE_BYTES:
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _check(data: bytes, sha256: bytes, what: str) -> None:
    if hashlib.sha256(data).digest() != sha256:
        raise BadPayload(f"{what} was changed or cut")
