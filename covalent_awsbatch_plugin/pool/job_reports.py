# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The log of a call's job, and the diagnosis of its end."""

from __future__ import annotations

from ..settings import Settings
from ..tasks.client import connect
from ..tasks.followed_jobs import jobs_by_id
from ..tasks.live_logs import LiveLogs
from ..tasks.why import ask


async def log_of(settings: Settings, job_id: str) -> str:
    """Return the lines that a job has written so far, a container's other calls included. Raises a ServiceError."""
    async with connect(settings) as client:
        services = client.services
        lines = LiveLogs(services.aws, jobs_by_id(services.batch, job_id)).lines(follow=False)
        return "".join([f"{line.message}\n" async for line in lines])


async def why_of(settings: Settings, job_id: str) -> str:
    """Return why a job ended or does not start, as text. Raises NotFound and other ServiceErrors."""
    async with connect(settings) as client:
        return (await ask(client.services, job_id)).text()
