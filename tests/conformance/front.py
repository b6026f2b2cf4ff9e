# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A proxy in front of an AWS that records every request and response, those of the registry too.

Requests go on as they came, the Host header included, so that their signatures stay valid.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from tests.recorded_traffic import Exchange, Record, WireRequest

KEPT_BYTES = 1 << 20  # of a body in the record
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect", "content-length"}
Answer = tuple[int, list[tuple[str, str]], bytes]


class Upstream:
    """An HTTP server behind the front."""

    def __init__(self, session: aiohttp.ClientSession, url: str, added: Mapping[str, str] | None = None) -> None:
        self._session, self.url, self._added = session, url.rstrip("/"), dict(added or {})

    async def send(self, request: WireRequest) -> Answer:
        """Send a request on. The response's headers are as they came."""
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP} | self._added
        url = URL(f"{self.url}{request.target}", encoded=True)
        sending = self._session.request(
            request.method,
            url,
            headers=headers,
            data=io.BytesIO(request.body),  # aiohttp warns of large bytes
            allow_redirects=False,
            skip_auto_headers=SKIPPED,
        )
        async with sending as response:
            return response.status, list(response.headers.items()), await response.read()


SKIPPED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@asynccontextmanager
async def client_session() -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a session that neither unpacks bodies nor keeps connections, which servers close when they like."""
    timeout, connector = aiohttp.ClientTimeout(total=300), aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout, connector=connector) as session:
        yield session


class Front:
    """The front of one world. `answer` decides what a request is answered with."""

    def __init__(self, world: str, record: Record, answer: Callable[[WireRequest], Awaitable[Answer]]) -> None:
        self._world, self._record, self._answer = world, record, answer

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        wire = WireRequest(request.method, request.raw_path, headers, await request.read())
        status, answer_headers, body = await self._answer(wire)
        self._record.add(_exchange(wire, status, answer_headers, body, self._world))
        response = web.Response(status=status, body=body)
        response.headers.clear()
        for name, value in answer_headers:
            if name.lower() not in HOP_BY_HOP:
                response.headers.add(name, value)
        if request.method == "HEAD":  # the length of the body that a GET would have
            length = next((value for name, value in answer_headers if name.lower() == "content-length"), "0")
            response.headers["Content-Length"] = length
        return response


def _exchange(wire: WireRequest, status: int, headers: list[tuple[str, str]], body: bytes, world: str) -> Exchange:
    kept = WireRequest(wire.method, wire.target, wire.headers, wire.body[:KEPT_BYTES])
    return Exchange(kept, status, {name.lower(): value for name, value in headers}, body[:KEPT_BYTES], world)


@asynccontextmanager
async def site(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free port of the loopback; yield its host:port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        yield "{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


@contextmanager
def loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Yield a loop that runs in a thread of its own, for servers that outlive the loops of tests."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
