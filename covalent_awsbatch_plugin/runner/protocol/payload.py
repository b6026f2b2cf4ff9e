# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The format of a job's payload: its tasks' descriptions and objects, in one file of its image or in the bucket.

Bytes: a head, a row for each container, a list for each container, then the objects (functions, hooks, arguments), each
content once. A row has the place and the sha256 of its container's list; a list has the descriptions of the container's
tasks, and the place, size and sha256 of each object. Head and rows prove all the rest: an image's digest proves them in
an image, and the job's environment has their sha256 where the payload is an object (docs/decisions/0003).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any

from .layout import FORMAT_VERSION

MAGIC = b"CVAWSPL"
HEAD = Struct(">7sBQQ")  # magic, version of the format, how many containers, where the objects begin
ROW = Struct(">QQ32s")  # where a container's list begins, its bytes, its sha256


class BadPayload(ValueError):
    """The bytes are no payload of this format, or were changed or cut; the message is half a sentence."""


@dataclass(frozen=True)
class Head:
    """The head of a payload: its number of containers, and the offset of its objects in bytes."""

    containers: int
    objects_at: int

    def to_bytes(self) -> bytes:
        """Return the `HEAD.size` bytes with which a payload begins."""
        return HEAD.pack(MAGIC, FORMAT_VERSION, self.containers, self.objects_at)

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Return the head of a payload that begins with `data`. Raises BadPayload for another format or version."""
        if len(data) < HEAD.size or not data.startswith(MAGIC):
            raise BadPayload("its beginning is not that of a payload")
        _, version, containers, objects_at = HEAD.unpack_from(data)
        if version != FORMAT_VERSION:
            raise BadPayload(f"its format is version {version}, and this runner reads version {FORMAT_VERSION} only")
        return cls(containers, objects_at)


@dataclass(frozen=True)
class Row:
    """The place of a container's list: its begin and size in bytes, and its sha256."""

    begin: int
    size: int
    sha256: bytes

    def to_bytes(self) -> bytes:
        """Return the `ROW.size` bytes of this row."""
        return ROW.pack(self.begin, self.size, self.sha256)

    @classmethod
    def from_bytes(cls, data: bytes) -> Row:
        """Return the row in `data`. Raises BadPayload where it is cut."""
        if len(data) != ROW.size:
            raise BadPayload("its rows were cut")
        return cls(*ROW.unpack(data))


def row_at(index: int) -> int:
    """Return where the row of container `index` begins; of one more than the last container: where the rows end."""
    return HEAD.size + index * ROW.size


@dataclass(frozen=True)
class PackedObject:
    """An object of a container: its sha256, its offset from `Head.objects_at` and its size, both in bytes."""

    sha256: str
    offset: int
    size: int


@dataclass(frozen=True)
class ContainerList:
    """The content for one container: the JSON of each task's description by the task's number, and the objects."""

    tasks: Mapping[int, bytes]
    objects: Sequence[PackedObject]

    def to_bytes(self) -> bytes:
        """Return the list as JSON; the same content gives the same bytes."""
        objects = json.dumps([list(vars(each).values()) for each in self.objects], separators=(",", ":")).encode()
        tasks = b",".join(b'"%d":%b' % (number, description) for number, description in self.tasks.items())
        return b'{"objects":%b,"tasks":{%b}}' % (objects, tasks)

    @classmethod
    def from_bytes(cls, data: bytes) -> ContainerList:
        """Return the list in `data`, whose sha256 was checked. Raises BadPayload for what no client writes."""
        try:
            body: dict[str, Any] = json.loads(data)
            tasks = {int(number): json.dumps(description).encode() for number, description in body["tasks"].items()}
            return cls(tasks, tuple(PackedObject(*fields) for fields in body["objects"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadPayload(f"the list of its files can't be read: {error!r}") from error
