# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A call's value that is too big for its envelope: it stays in the bucket until it is asked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..core.private_files import open_own
from ..errors import Lost
from ..runner.protocol import layout
from ..runner.protocol.envelope import Part
from ..settings import Settings
from ..tasks.client import connect
from ..tasks.job_handle import JobHandle
from ..tasks.results import results_store
from .background_loop import background_loop


class StoredValue:
    """The pickle of a value in the bucket; its authenticated envelope has its digest."""

    __slots__ = ("_attempt", "_folder", "_handle", "_part", "_path", "_settings")

    def __init__(self, settings: Settings, handle: JobHandle, attempt: int, part: Part, folder: Path) -> None:
        self._settings, self._handle, self._attempt, self._part = settings, handle, attempt, part
        self._folder, self._path = folder, Path()

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self._part.size

    def path(self) -> Path:
        """Return a file with the pickle, fetched and checked at the first call. Raises Lost or a ServiceError.

        Not for the loop's own thread.
        """
        if not self._path.name or not self._path.exists():
            self._path = background_loop().run(self.fetched())
        return self._path

    async def fetched(self) -> Path:
        """Return the file, fetched and checked anew. Raises Lost or a ServiceError."""
        key = layout.part_key(self._handle.prefix, self._handle.result_id, self._attempt, self._part.sha256)
        path = self._folder / f"value-{self._part.sha256}"
        async with connect(self._settings) as client:
            store = await results_store(client.services, self._settings, self._handle)
            there = await store.get_file(key, path, self._part.size)
            if there and await client.services.in_thread(self._is, path):
                return path
            raise Lost(
                f"The value of `{self._handle.name}` at s3://{store.bucket}/{key} is gone or changed.",
                advice="Look at what deletes or writes objects in the bucket, then run the call again.",
            )

    def _is(self, path: Path) -> bool:
        with open_own(path) as file:
            if os.fstat(file.fileno()).st_size != self._part.size:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == self._part.sha256  # type: ignore[arg-type]
