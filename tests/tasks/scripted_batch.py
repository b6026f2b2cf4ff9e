# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""AWS Batch by a script, over HTTP: jobs are what the test says they are, look by look."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from covalent_awsbatch_plugin.aws.session import AWS, Connection
from covalent_awsbatch_plugin.jobs.api import Batch
from tests.tasks.gate import Gate, error_of
from tests.tasks.small_world import profile_text

PAGE = 2
KEYS = {"aws_access_key_id": "AKIASCRIPT", "aws_secret_access_key": "secret", "region": "us-east-1"}


class ScriptedBatch:
    """`jobs` are JobDetails by id, `failing` an error's code; `calls` holds the ids of each DescribeJobs."""

    def __init__(self, gate: Gate) -> None:
        self.gate, self.jobs = gate, dict[str, dict[str, Any]]()
        self.calls: list[list[str]] = []
        self.failing: str | None = None
        self.batch: Batch
        gate.rules |= {"batch:describejobs": self._describe, "batch:listjobs": self._list}

    def put(self, job_id: str, status: str, **more: Any) -> None:
        self.jobs[job_id] = {"jobId": job_id, "jobName": "j", "status": status} | more

    def array(self, parent: str, status: str, **children: int) -> None:
        self.put(parent, status, arrayProperties={"size": sum(children.values()), "statusSummary": children})

    async def _describe(self, request: web.Request, body: bytes) -> web.Response:
        ids = json.loads(body)["jobs"]
        self.calls.append(ids)
        if self.failing:
            return error_of("batch:DescribeJobs", 403, self.failing, "by the script")
        return web.json_response({"jobs": [self.jobs[each] for each in ids if each in self.jobs]})

    async def _list(self, request: web.Request, body: bytes) -> web.Response:
        """Two a page, so that pages are turned."""
        told = json.loads(body)
        begin = int(told.get("nextToken") or 0)
        of = [
            job for job_id, job in self.jobs.items()
            if job_id.startswith(f"{told['arrayJobId']}:") and job["status"] == told["jobStatus"]
        ]  # fmt: skip
        more = {"nextToken": str(begin + PAGE)} if len(of) > begin + PAGE else {}
        return web.json_response({"jobSummaryList": of[begin : begin + PAGE]} | more)


@asynccontextmanager
async def scripted_batch(folder: Path) -> AsyncIterator[ScriptedBatch]:
    async with Gate("http://127.0.0.1:9").open() as gate:
        credentials = folder / "credentials"
        credentials.write_text(profile_text("script", KEYS | {"endpoint_url": gate.url}))
        script = ScriptedBatch(gate)
        async with AWS(Connection(str(credentials), "script", "")) as aws:
            script.batch = Batch(aws)
            yield script


class Naps:
    """Takes no time. `taken` are the seconds that were asked for; `then` happens after the nap of that number."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.then: dict[int, Callable[[], None]] = {}

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)
        self.then.get(len(self.taken), lambda: None)()
