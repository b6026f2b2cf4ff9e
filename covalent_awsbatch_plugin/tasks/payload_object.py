# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The tasks of a job as one object, where they don't travel in its image: `runner.payload` says what lies where."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..runner.protocol import layout
from ..runner.protocol.payload import ROW, PackedFile, list_of


@dataclass(frozen=True)
class Payload:
    """`digest` names it and lets each of the `containers` check what it reads of `data`."""

    digest: str
    containers: int
    data: bytes = field(repr=False)

    @property
    def key(self) -> str:
        return layout.payload_key(self.digest)

    @property
    def environment(self) -> dict[str, str]:
        """What a container is told of it; nothing that grows with the number of tasks."""
        return {layout.ENV_PAYLOAD: self.digest, layout.ENV_CONTAINERS: str(self.containers)}


def payload(containers: Sequence[Mapping[str, bytes]]) -> Payload:
    """What each container shall find, by path; what several have is in it once."""
    files = _Files()
    lists = [list_of([files.add(path, data) for path, data in each.items()]) for each in containers]
    rows, begin = [], ROW.size * len(lists)
    for text in lists:
        rows.append(ROW.pack(begin, len(text), hashlib.sha256(text).digest()))
        begin += len(text)
    index = b"".join(rows)
    return Payload(hashlib.sha256(index).hexdigest(), len(lists), b"".join((index, *lists, *files.data)))


class _Files:
    """One behind the other, each content once: what a container alone has lies together, so it is read at once."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self._offsets: dict[str, int] = {}
        self._end = 0

    def add(self, path: str, data: bytes) -> PackedFile:
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in self._offsets:
            self._offsets[sha256] = self._end
            self.data.append(data)
            self._end += len(data)
        return PackedFile(path, self._offsets[sha256], len(data), sha256)
