# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The result of an earlier attempt, for a task that shares its container: a finished task does not run again."""

from __future__ import annotations

from collections.abc import Callable

from .bucket import StorageError, Store
from .job import Job
from .kept_file import KeptFile
from .protocol import envelope, layout
from .protocol.envelope import Envelope

_MOST_BYTES = 64 * 1024 * 1024  # of an envelope of few tasks, which is read whole to be authenticated
_TASK_BYTES = len(envelope.PARTS) * layout.INLINE_PART_BYTES + 4096
EXIT_CODES = {10: layout.RETURNED.code, 11: layout.RAISED.code}  # of the earlier attempt, by the status of the reader


def read_earlier_result(job: Job, open_store: Callable[[], Store]) -> int:
    """Look for a valid result of an earlier attempt; return the exit status of this process, one of `EXIT_CODES`.

    Without such a result the status is another one. This is a child process, because the S3 client starts threads.
    """
    try:
        store = open_store()
    except StorageError:
        return 1
    for attempt in range(job.attempt - 1, 0, -1):
        result = _result(job, attempt, store)
        if result and not result.cut_short:
            return 10 if result.returned else 11
    return 0


def _result(job: Job, attempt: int, store: Store) -> Envelope | None:
    """Return the result of an attempt, or None where it does not exist or was not written by this task."""
    file = KeptFile(job.work)
    try:
        most = max(_MOST_BYTES, len(job.file.tasks) * _TASK_BYTES)
        store.get(layout.result_key(job.prefix, job.job_id, attempt), file, most)
        key = bytes.fromhex(job.file.result_key)
        return envelope.unseal(file.read(), key, job_id=job.job_id, attempt=attempt)
    except (StorageError, envelope.BadEnvelope):
        return None
    finally:
        file.close()
