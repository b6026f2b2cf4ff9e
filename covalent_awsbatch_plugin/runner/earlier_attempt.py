# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""What an earlier attempt of the job has left of a task that shares its container: what is done is not done again."""

from __future__ import annotations

from collections.abc import Callable

from .bucket import StorageError, Store
from .job import Job
from .protocol import envelope, layout
from .protocol.envelope import Envelope


def look_back(job: Job, open_store: Callable[[], Store]) -> int:
    """Notes in `job.earlier` that a result stands. In a process of its own, for the client starts threads."""
    try:
        store = open_store()
    except StorageError:
        return 1
    for attempt in range(job.attempt - 1, 0, -1):
        found = _result(job, attempt, store)
        if found and not found.cut_short:
            code = layout.RETURNED if found.returned else layout.RAISED
            job.earlier.write_text(str(code.code), encoding="ascii")
            return 0
    return 0


def _result(job: Job, attempt: int, store: Store) -> Envelope | None:
    """None where there is none, or none that this task wrote: then it runs."""
    path = job.work / f"attempt-{attempt}"
    try:
        store.get(layout.result_key(job.prefix, job.job_id, attempt), path)
        key = bytes.fromhex(job.file.result_key)
        return envelope.unseal(path.read_bytes(), key, job_id=job.job_id, attempt=attempt)
    except (StorageError, envelope.BadEnvelope):
        return None
