# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Responses to a call with a fault: an error in the service's format, a late response, or a broken connection."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from aiohttp import web

from .. import faults
from ..ecr.registry import problem
from . import Fault, Faults
from .small_pages import small_pages

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
EXPIRED_WORDS = "The security token included in the request is expired"


def error_response(service: str, status: str, code: str, message: str, start_response: Any) -> Iterable[bytes]:
    """Return an error: XML for S3 and query services, else JSON. `status` is like `429 Too Many Requests`."""
    if service == "ec2":
        start_response(status, [("Content-Type", "text/xml")])
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return [f"<Response><Errors>{error}</Errors><RequestID>local</RequestID></Response>".encode()]
    if service in ("s3", "iam", "sts"):
        start_response(status, [("Content-Type", "application/xml")])
        whole = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return [(whole if service == "s3" else f"<ErrorResponse>{whole}</ErrorResponse>").encode()]
    if service == "batch":
        start_response(status, [("Content-Type", "application/json"), ("x-amzn-ErrorType", code)])
        return [json.dumps({"message": message}).encode()]
    start_response(status, [("Content-Type", "application/x-amz-json-1.1")])
    return [json.dumps({"__type": code, "message": message}).encode()]


def throttled(service: str, start_response: Any) -> Iterable[bytes]:
    """Return the service's throttling error."""
    if service == "batch":
        error = "429 Too Many Requests", "TooManyRequestsException", "Too Many Requests"
    elif service == "s3":
        error = "503 Slow Down", "SlowDown", "Rate exceeded"
    else:
        code = "Throttling" if service in ("iam", "sts") else "ThrottlingException"
        error = "400 Bad Request", code, "Rate exceeded"
    return error_response(service, *error, start_response)


def refused(fault: Fault, service: str, start_response: Any) -> Iterable[bytes]:
    """Return the service's error for a fault."""
    if fault.kind == faults.THROTTLE:
        return throttled(service, start_response)
    if fault.kind == faults.ERROR:
        code = "InternalError" if service == "s3" else "ServerException"
        return error_response(service, "500 Internal Server Error", code, "We had trouble", start_response)
    code = "ExpiredToken" if service in ("s3", "iam", "sts") else "ExpiredTokenException"
    status = "400 Bad Request" if service == "s3" else "403 Forbidden"
    return error_response(service, status, code, EXPIRED_WORDS, start_response)


def without_body_for_head(environ: dict[str, Any], body: Iterable[bytes]) -> Iterable[bytes]:
    """Return a response's body, empty for a HEAD request as HTTP demands."""
    return [] if environ["REQUEST_METHOD"] == "HEAD" else body


def perform(fault: Fault, operation: str, app: Wsgi, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Return the response to a call of moto's server under a fault. `operation` is like `batch:SubmitJob`."""
    match fault.kind:
        case faults.THROTTLE | faults.ERROR | faults.EXPIRED:
            return without_body_for_head(environ, refused(fault, operation.partition(":")[0], start_response))
        case faults.SMALL_PAGES:
            return small_pages(operation, app, environ, start_response)
        case faults.TEXT_ERROR | faults.PORTAL:
            start_response(*_page(fault))
            return without_body_for_head(environ, [fault.text.encode()])
        case faults.SLOW:
            time.sleep(fault.delay_s)
            return app(environ, start_response)
        case faults.CUT_AMID:
            return _half(b"".join(app(environ, start_response)), environ)
        case faults.CUT_AFTER:
            b"".join(app(environ, lambda *_: None))
    return _cut(environ)


def _page(fault: Fault) -> tuple[str, list[tuple[str, str]]]:
    """Return status and headers of an answer that no service of AWS gave."""
    status, kind = ("200 OK", "html") if fault.kind == faults.PORTAL else ("500 Internal Server Error", "plain")
    return status, [("Content-Type", f"text/{kind}"), ("Content-Length", str(len(fault.text.encode())))]


def _half(body: bytes, environ: dict[str, Any]) -> Iterable[bytes]:
    yield body[: len(body) // 2]
    _cut(environ)


def _cut(environ: dict[str, Any]) -> Iterable[bytes]:
    """Break the connection. The server treats it as closed by the client, and logs nothing."""
    with suppress(OSError):
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError("requested fault")


async def perform_here(fault: Fault, request: web.Request, handler: Handler, refusal: web.Response) -> Any:
    """Return the response to a call of the registry under a fault. `refusal` is its throttling error."""
    if fault.kind == faults.THROTTLE:
        return refusal
    if fault.kind in (faults.ERROR, faults.EXPIRED):
        status, code = (500, "UNKNOWN") if fault.kind == faults.ERROR else (401, "UNAUTHORIZED")
        return problem(status, code, "requested fault")
    if fault.kind in (faults.TEXT_ERROR, faults.PORTAL):
        line, headers = _page(fault)
        return web.Response(status=int(line[:3]), body=fault.text.encode(), headers=dict(headers))
    if fault.kind == faults.SLOW:
        await asyncio.sleep(fault.delay_s)
        return await handler(request)
    if fault.kind != faults.CUT_BEFORE:
        await handler(request)
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def control(pending: Faults, environ: dict[str, Any]) -> None:
    """Add the fault in a POST's body, or remove for a DELETE those of the kind in its query, else all."""
    if environ["REQUEST_METHOD"] == "DELETE":
        pending.clear(environ.get("QUERY_STRING", ""))
    elif environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        pending.add(Fault(**json.loads(body)))
