# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A gate in front of the offline AWS: lets requests through, counts them, and answers as AWS would on a bad day."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web
from yarl import URL

Answer = web.StreamResponse | None
Rule = Callable[[web.Request, bytes], Awaitable[Answer]]


class HeldRequest:
    """A request at the gate: `reached` when it has come, `go` lets it on."""

    def __init__(self) -> None:
        self.reached, self.go = asyncio.Event(), asyncio.Event()


class Gate:
    """`rules` are asked by service:Operation, each for one answer or None to let the request through."""

    def __init__(self, endpoint_url: str) -> None:
        self._behind = endpoint_url
        self.calls: Counter[str] = Counter()
        self.rules: dict[str, Rule] = {}
        self.url = ""

    def refuse(self, operation: str, status: int, code: str, message: str = "", times: int | None = None) -> None:
        """Answers this operation with an error in its service's own form; `times` None is always."""
        left = [times]

        async def rule(request: web.Request, body: bytes) -> Answer:
            if left[0] is not None:
                if left[0] <= 0:
                    return None
                left[0] -= 1
            return error_of(operation, status, code, message)

        self.rules[operation] = rule

    def lose_answer(self, operation: str, times: int = 1) -> None:
        """Lets the request take effect and breaks the connection instead of answering."""
        left = [times]

        async def rule(request: web.Request, body: bytes) -> Answer:
            if left[0] <= 0:
                return None
            left[0] -= 1
            await self._forward(request, body)
            assert request.transport is not None
            request.transport.close()
            return web.Response()

        self.rules[operation] = rule

    def hold(self, operation: str, *, after: bool = False, times: int = 1) -> HeldRequest:
        """Holds this operation back, before or after it takes effect, until told to go."""
        held, left = HeldRequest(), [times]

        async def rule(request: web.Request, body: bytes) -> Answer:
            if left[0] <= 0:
                return None
            left[0] -= 1
            answer = await self._forward(request, body) if after else None
            held.reached.set()
            await held.go.wait()
            return answer

        self.rules[operation] = rule
        return held

    async def refuse_connections(self, seconds: float) -> None:
        """Nobody listens for a while, and what was connected is cut."""
        host, port = self._runner.addresses[0][:2]
        (site,) = self._runner.sites
        await site.stop()
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            connection.force_close()
        await asyncio.sleep(seconds)
        await web.TCPSite(self._runner, host, port).start()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        operation = operation_of(request, body)
        self.calls[operation] += 1
        rule = self.rules.get(operation)
        found = await rule(request, body) if rule else None
        return found if found is not None else await self._forward(request, body)

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "expect"}
        url = URL(self._behind + request.raw_path, encoded=True)  # as it was signed
        async with self._session.request(
            request.method, url, headers=headers, data=io.BytesIO(body), allow_redirects=False, auto_decompress=False
        ) as answer:
            kept = {n: v for n, v in answer.headers.items() if n.lower() not in _HOP}
            if request.method == "HEAD":
                return web.Response(status=answer.status, headers=kept | _length(answer))
            return web.Response(status=answer.status, headers=kept, body=io.BytesIO(await answer.read()))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Gate]:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self.answer)
        self._runner = runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        async with aiohttp.ClientSession() as self._session:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = "http://{}:{}".format(*runner.addresses[0][:2])
            try:
                yield self
            finally:
                await runner.cleanup()


_HOP = {"content-length", "transfer-encoding", "connection", "server", "date"}


def _length(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {"Content-Length": answer.headers["Content-Length"]} if "Content-Length" in answer.headers else {}


def operation_of(request: web.Request, body: bytes) -> str:
    """service:Operation, from the places where AWS's protocols put them."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", request.headers.get("Authorization", ""))
    service = scope.group(1) if scope else "?"
    if target := request.headers.get("X-Amz-Target"):
        return f"{service}:{target.rpartition('.')[2]}"
    if service == "batch":
        return f"batch:{request.path.rpartition('/')[2]}"
    if service == "s3":
        depth = "Object" if request.path.strip("/").count("/") else "Bucket"
        return f"s3:{request.method.capitalize()}{depth}"
    return f"{service}:{parse_qs(body.decode()).get('Action', ['?'])[0]}"


def error_of(operation: str, status: int, code: str, message: str) -> web.Response:
    """As https://docs.aws.amazon.com/ has it for each protocol: XML for S3 and the query services, JSON for others."""
    service = operation.partition(":")[0]
    if operation.startswith("s3:Head"):
        return web.Response(status=status)  # HEAD has no words
    if service == "s3":
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return web.Response(status=status, text=body, content_type="application/xml")
    if service in ("sts", "iam"):
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"
        return web.Response(status=status, text=body, content_type="text/xml")
    headers = {"x-amzn-errortype": code}
    body = json.dumps({"__type": code, "message": message})
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)
