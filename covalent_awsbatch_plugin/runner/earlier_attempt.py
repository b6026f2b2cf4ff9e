# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The result of an earlier attempt, for a task that shares its container: a finished task does not run again."""

from __future__ import annotations

from collections.abc import Callable

from .bucket import StorageError, Store
from .job import Job
from .protocol import envelope, layout
from .protocol.envelope import Envelope


def read_earlier_result(job: Job, open_store: Callable[[], Store]) -> int:
    """Write the exit code of an earlier attempt with a valid result to `job.earlier_exit_code`.

    Return the exit status of this process; it is a child process, because the S3 client starts threads.
    """
    try:
        store = open_store()
    except StorageError:
        return 1
    for attempt in range(job.attempt - 1, 0, -1):
        result = _result(job, attempt, store)
        if result and not result.cut_short:
            code = layout.RETURNED if result.returned else layout.RAISED
            job.earlier_exit_code.write_text(str(code.code), encoding="ascii")
            return 0
    return 0


def _result(job: Job, attempt: int, store: Store) -> Envelope | None:
    """Return the result of an attempt, or None where it does not exist or was not written by this task."""
    path = job.work / f"attempt-{attempt}"
    try:
        store.get(layout.result_key(job.prefix, job.job_id, attempt), path)
        key = bytes.fromhex(job.file.result_key)
        return envelope.unseal(path.read_bytes(), key, job_id=job.job_id, attempt=attempt)
    except (StorageError, envelope.BadEnvelope):
        return None
