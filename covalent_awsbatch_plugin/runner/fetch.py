# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Download of the objects that are too big for the image, in a child process because the S3 client starts threads."""

from __future__ import annotations

from collections.abc import Callable

from .bucket import StorageError, Store
from .job import Job
from .protocol import layout
from .protocol.task import ObjectRef

_AT_ONCE = 8


def fetch(job: Job, open_store: Callable[[], Store]) -> int:
    """Download every object of the job to a file, or write its error file; return the exit status of this process."""
    from concurrent.futures import ThreadPoolExecutor  # a few ms that jobs without big inputs don't spend

    refs = job.to_fetch()
    try:
        store = open_store()
    except StorageError as error:
        for ref in refs:
            _write_error(job, ref, error)
        return 1
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return 0 if all([*pool.map(lambda ref: _bring(job, ref, store), refs)]) else 1


def _bring(job: Job, ref: ObjectRef, store: Store) -> bool:
    try:
        store.get(layout.object_key(ref.sha256), job.object(ref))
    except StorageError as error:
        job.object(ref).unlink(missing_ok=True)
        _write_error(job, ref, error)
        return False
    return True


def _write_error(job: Job, ref: ObjectRef, error: StorageError) -> None:
    job.error_file(ref).write_text(str(error), encoding="utf-8")
