# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A proxy in front of the offline AWS that falsifies chosen answers, so that `check` has something to find."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from covalent_awsbatch_plugin.local import LocalAWS
from tests.conformance.front import HOP_BY_HOP, Answer, Upstream, client_session, loop_in_a_thread, site
from tests.recorded_traffic import WireRequest

Planted = Callable[[str, WireRequest, Answer], Answer]  # operation, request, true answer
Edit = Callable[[dict[str, Any]], object]  # changes a job's record in place
EMPTY: Answer = (200, [("Content-Type", "application/json")], b"{}")
NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"


class Liar:
    """The proxy: `answers` falsify, `swallowed` are operations that are answered and not done, each so many times."""

    def __init__(self) -> None:
        self.answers: list[Planted] = []
        self.swallowed: dict[str, tuple[int, Answer]] = {}
        self.upstream: Upstream | None = None

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        wire = WireRequest(request.method, request.raw_path, headers, await request.read())
        status, answer_headers, body = await self._answer(wire)
        response = web.Response(status=status, body=body)
        response.headers.clear()
        for name, value in answer_headers:
            if name.lower() not in HOP_BY_HOP:
                response.headers.add(name, value)
        if request.method == "HEAD":
            length = next((value for name, value in answer_headers if name.lower() == "content-length"), "0")
            response.headers["Content-Length"] = length
        return response

    async def _answer(self, wire: WireRequest) -> Answer:
        operation = wire.operation
        times, answer = self.swallowed.get(operation, (0, EMPTY))
        if times > 0:
            self.swallowed[operation] = (times - 1, answer)
            return answer
        assert self.upstream is not None
        answer = await self.upstream.send(wire)
        for planted in self.answers:
            answer = planted(operation, wire, answer)
        return answer


def records(edit: Edit) -> Planted:
    """Return a fault that changes each record of a job that ended, as DescribeJobs shows it."""

    def falsify(operation: str, _: WireRequest, answer: Answer) -> Answer:
        if operation != "batch:DescribeJobs" or answer[0] != 200:
            return answer
        body = json.loads(answer[2])
        for job in body["jobs"]:
            if job["status"] in ("SUCCEEDED", "FAILED"):
                edit(job)
        return answer[0], answer[1], json.dumps(body).encode()

    return falsify


def body_of(operation: str, pattern: str, status: int, change: Callable[[bytes], bytes]) -> Planted:
    """Return a fault that changes status and body where operation and target fit."""

    def falsify(name: str, wire: WireRequest, answer: Answer) -> Answer:
        if name != operation or not re.search(pattern, wire.target) or answer[0] not in (200, 206):
            return answer
        headers = [pair for pair in answer[1] if pair[0].lower() not in ("etag", "content-range")]
        return status, headers, change(answer[2])

    return falsify


def same_answer_again(operation: str) -> Planted:
    """Return a fault that gives each later call of an operation the answer to the first."""
    first: list[Answer] = []

    def falsify(name: str, _: WireRequest, answer: Answer) -> Answer:
        if name != operation:
            return answer
        first.append(answer)
        return first[0]

    return falsify


@contextmanager
def lying(aws: LocalAWS, folder: Path) -> Iterator[tuple[Liar, dict[str, Any]]]:
    """Yield the proxy, and the settings with which `check` goes through it."""
    liar, ready, done = Liar(), asyncio.Event(), asyncio.Event()
    hosts: list[str] = []

    async def serve() -> None:
        async with client_session() as session, site(liar.app()) as host:
            liar.upstream = Upstream(session, aws.endpoint_url)
            hosts.append(host)
            ready.set()
            await done.wait()

    with loop_in_a_thread() as loop:
        serving = asyncio.run_coroutine_threadsafe(serve(), loop)
        asyncio.run_coroutine_threadsafe(ready.wait(), loop).result(30)
        credentials = folder / "credentials"
        text = Path(aws.section()["credentials"]).read_text(encoding="utf-8")
        credentials.write_text(text.replace(aws.endpoint_url, f"http://{hosts[0]}"), encoding="utf-8")
        credentials.chmod(0o600)
        try:
            yield liar, aws.section() | {"credentials": str(credentials)}
        finally:
            loop.call_soon_threadsafe(done.set)
            serving.result(30)
