# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The commit of a job's result: large parts first, each in its own object, and last the envelope that names them."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from dataclasses import replace

from .bucket import Store
from .job import Job
from .kept_file import KeptFile
from .protocol import layout
from .protocol.envelope import Envelope, Part, TaskResult, seal


def commit(job: Job, results: list[TaskResult], open_store: Callable[[], Store], into: KeptFile | None = None) -> None:
    """Write the results of the job's tasks to the bucket. Raises StorageError; then nothing is committed.

    With `into` the envelope goes to that file: the container's first process has it written in a bundle.
    """
    bundle = Bundle()
    results = [_with_parts(result, bundle.take(job.files[result.node_id].parts)) for result in results]
    store = open_store() if bundle.large or not into else None
    for sha256, file in bundle.large.items():
        assert store
        store.put_file(layout.part_key(job.prefix, job.job_id, job.attempt, sha256), file)
    sealed = seal(
        Envelope(job.job_id, job.attempt, platform.python_version(), tuple(results), bytes(bundle.body)),
        bytes.fromhex(job.file.result_key),
    )
    if into:
        into.write(sealed)
    elif store:
        store.put(layout.result_key(job.prefix, job.job_id, job.attempt), sealed)


def _with_parts(result: TaskResult, parts: dict[str, Part]) -> TaskResult:
    usage = result.usage and replace(result.usage, bytes_out=sum(part.size for part in parts.values()))
    return replace(result, parts=parts, usage=usage)


class Bundle:
    """The files of a result: small ones are in the envelope's `body`, the others in `large`, by sha256."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.large: dict[str, KeptFile] = {}

    def take(self, files: dict[str, KeptFile]) -> dict[str, Part]:
        """Add files by the names of their parts; return the parts."""
        return {name: self._part(file) for name, file in files.items()}

    def _part(self, file: KeptFile) -> Part:
        size = file.size
        if size > layout.INLINE_PART_BYTES:
            digest = hashlib.sha256()
            for chunk in file.chunks():
                digest.update(chunk)
            part = Part(size, digest.hexdigest())
            self.large[part.sha256] = file
            return part
        data = file.read()
        part = Part(size, hashlib.sha256(data).hexdigest(), len(self.body))
        self.body += data
        return part
