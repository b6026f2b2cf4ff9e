# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The tasks of a job as one payload, for its image or for the bucket; `runner.protocol.payload` has the format."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..runner.protocol import layout
from ..runner.protocol.payload import ContainerList, Head, PackedObject, Row, row_at


@dataclass(frozen=True)
class Payload:
    """Bytes in `chunks`, which are not copied together before they are sent.

    `digest` is the sha256 of head and rows: it names the object in the bucket and lets each of the `containers` check
    what it reads.
    """

    digest: str
    containers: int
    chunks: tuple[bytes, ...] = field(repr=False)

    @property
    def size(self) -> int:
        """The size in bytes."""
        return sum(map(len, self.chunks))

    @property
    def data(self) -> bytes:
        """All chunks in one."""
        return b"".join(self.chunks)

    @property
    def key(self) -> str:
        """The key of the object in the bucket."""
        return layout.payload_key(self.digest)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a job with this payload in the bucket; they don't grow with its tasks."""
        return {layout.ENV_PAYLOAD: self.digest, layout.ENV_CONTAINERS: str(self.containers)}


@dataclass
class ContainerFiles:
    """The content for one container: the JSON of each task's description by the task's number, objects by sha256."""

    tasks: dict[int, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)


def payload(containers: Sequence[ContainerFiles]) -> Payload:
    """Return the payload of these containers, with each object once; the same input gives the same bytes."""
    objects = _Objects()
    lists = [ContainerList(each.tasks, objects.add_all(each)).to_bytes() for each in containers]
    begin, rows = row_at(len(lists)), []
    for text in lists:
        rows.append(Row(begin, len(text), hashlib.sha256(text).digest()).to_bytes())
        begin += len(text)
    index = b"".join((Head(len(lists), begin).to_bytes(), *rows))
    return Payload(hashlib.sha256(index).hexdigest(), len(lists), (index, *lists, *objects.data))


class _Objects:
    """The objects in sequence, each content once; those of one container alone are adjacent: one range reads them."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self._packed: dict[str, PackedObject] = {}
        self._end = 0

    def add_all(self, container: ContainerFiles) -> list[PackedObject]:
        return [self._add(sha256, data) for sha256, data in container.objects.items()]

    def _add(self, sha256: str, data: bytes) -> PackedObject:
        if sha256 not in self._packed:
            self._packed[sha256] = PackedObject(sha256, self._end, len(data))
            self.data.append(data)
            self._end += len(data)
        return self._packed[sha256]
