# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Download of the objects that are too big for the image, in a child process because the S3 client starts threads."""

from __future__ import annotations

import json
from collections.abc import Callable

from .bucket import StorageError, Store
from .job import Job
from .kept_file import KeptFile
from .protocol import layout
from .protocol.task import ObjectRef

_AT_ONCE = 8


def fetch(job: Job, open_store: Callable[[], Store]) -> int:
    """Download every object of the job to its file, or write why not; return the exit status of this process."""
    from concurrent.futures import ThreadPoolExecutor  # a few ms that jobs without big inputs don't spend

    refs = job.to_fetch()
    try:
        store = open_store()
    except StorageError as error:
        errors = {ref.sha256: str(error) for ref in refs}
    else:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            words = pool.map(lambda ref: _bring(job.fetched[ref.sha256], ref, store), refs)
            errors = {ref.sha256: text for ref, text in zip(refs, words, strict=True) if text}
    job.fetch_errors.write(json.dumps(errors).encode())
    return 1 if errors else 0


def _bring(file: KeptFile, ref: ObjectRef, store: Store) -> str:
    """Download one object; return why it could not be had, or ""."""
    try:
        store.get(layout.object_key(ref.sha256), file, ref.size)
    except StorageError as error:
        return str(error)
    return ""
