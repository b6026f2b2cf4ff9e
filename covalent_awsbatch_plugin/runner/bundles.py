# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The results of a shared container that leaves bundles: the first process collects them and has them written."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from .bucket import StorageError, Store
from .earlier_attempt import EXIT_CODES
from .kept_file import KeptFile
from .protocol import bundle, envelope, layout
from .protocol.task import TaskFile
from .unpack import Unpacked

FLUSH_S = 5.0  # after which a result is written although tasks of the container run on


class Bundles:
    """The sealed results of ended tasks that no bundle has yet. `folder` is for temporary files."""

    def __init__(self, prefix: str, job_id: str, attempt: int, folder: Path) -> None:
        self._prefix, self._job_id, self._attempt, self._folder = prefix, job_id, attempt, folder
        self._files: dict[int, KeptFile] = {}
        self._waiting: list[tuple[int, bytes]] = []
        self._since = 0.0
        self._number = 0

    def open(self, member: int) -> KeptFile:
        """Return the new file into which a task's supervisor, which is not forked yet, writes its sealed result."""
        self._files[member] = KeptFile(self._folder)
        return self._files[member]

    def take(self, member: int, *, whole: bool) -> None:
        """Take over the result of a task whose supervisor has ended; `whole` is False where it was killed."""
        file = self._files.pop(member, None)
        if file is None:
            return
        data = file.read() if whole else b""
        file.close()
        if data:
            self._since = self._since if self._waiting else time.monotonic()
            self._waiting.append((member, data))

    @property
    def due(self) -> bool:
        """True if results should be written before more come."""
        late = bool(self._waiting) and time.monotonic() - self._since >= FLUSH_S
        return late or sum(len(data) for _, data in self._waiting) >= bundle.FULL_BYTES

    def next(self) -> tuple[str, list[tuple[int, bytes]]]:
        """Return the key of the next bundle and its content, which is empty where nothing waits."""
        content: list[tuple[int, bytes]] = []
        size = 0
        while self._waiting and size < bundle.FULL_BYTES:
            content.append(self._waiting.pop(0))
            size += len(content[-1][1])
        key = bundle.bundle_key(self._prefix, self._job_id, self._attempt, self._number)
        self._number += bool(content)
        return key, content

    def read_earlier(self, unpacked: Unpacked, into: KeptFile, open_store: Callable[[], Store]) -> int:
        """Write the exit codes of tasks that an earlier attempt finished to a file; return this process's exit status.

        This is a child process, because the S3 client starts threads.
        """
        codes: dict[int, int] = {}
        with contextlib.suppress(StorageError):
            store = open_store()
            for attempt in range(1, self._attempt):
                codes |= self._codes_of(unpacked, attempt, store)
        into.write(json.dumps(codes).encode())
        return 0

    def _codes_of(self, unpacked: Unpacked, attempt: int, store: Store) -> dict[int, int]:
        codes: dict[int, int] = {}
        for number in range(1_000_000):
            file = KeptFile(self._folder)
            try:
                store.get(bundle.bundle_key(self._prefix, self._job_id, attempt, number), file, bundle.MOST_BYTES)
                for member, data in bundle.unpack(file.read()):
                    key = bytes.fromhex(TaskFile.from_json(unpacked.task(member)).result_key)
                    job_id = layout.member_id(self._job_id, member)
                    result = envelope.unseal(data, key, job_id=job_id, attempt=attempt)
                    if not result.cut_short:
                        codes[member] = EXIT_CODES[10 if result.returned else 11]
            except (StorageError, envelope.BadEnvelope, KeyError, ValueError):
                break  # the last one, or none that this container's earlier attempt wrote
            finally:
                file.close()
        return codes


def write(key: str, content: list[tuple[int, bytes]], open_store: Callable[[], Store]) -> int:
    """Write a bundle; return this process's exit status."""
    try:
        open_store().put(key, bundle.pack(content))
    except (StorageError, OSError) as error:
        with contextlib.suppress(OSError):
            os.write(2, f"covalent-awsbatch: {error}\n".encode())
        return layout.NOT_COMMITTED.code
    return 0
