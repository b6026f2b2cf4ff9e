# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An array that an earlier process submitted, or was about to submit when it was killed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from ..settings import Settings
from ..tasks.client import Client
from ..tasks.late_jobs import job_of
from ..tasks.ledger import Entry, LedgerRecord, unsent
from ..tasks.submit import ON_ITS_WAY_SECONDS
from .record import ArrayRecord, OpenRecord


class NoEarlierJob(Exception):
    """No job of an earlier process has, or may still leave, the results of these calls."""


async def settle(client: Client, settings: Settings, array: ArrayRecord, record: OpenRecord | None) -> None:
    """Find out whether a job came of a submission that was cut off, and note it; otherwise none can come any more.

    A job that AWS Batch lists late is ended (`late_jobs`). Raises a ServiceError.
    """
    handle = array.handle
    entry = Entry(handle.dispatch_id, (array.numbers[0],), handle)
    earlier = LedgerRecord(unsent(str(array.job["name"]), handle.submission), array.since, (entry,))
    await asyncio.sleep(min(ON_ITS_WAY_SECONDS, max(0.0, array.since + ON_ITS_WAY_SECONDS - time.time())))
    job_id = await job_of(client.services, settings.batch_queue, earlier, last_look=True)
    if job_id is None:
        array.gone = True
        client.late_jobs.submitted_anew(settings, [(earlier, entry)])
        if record:
            record.note_gone(array.array_id)
        return
    array.handle = replace(handle, job_id=job_id)
    if record:
        record.note_array(array)
