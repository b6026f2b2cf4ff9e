# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""A proxy of raw sockets between a client and the offline AWS with its registry: it records, and breaks what is asked.

Host is passed on as it came, so that signatures stay valid; the client's endpoint is the proxy. ECR's answers name the
proxy's registry port in place of the real one, which has as many digits.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.faults.any_registry import url_file
from tests.faults.wire import Closed, Message, Reader, operation_of

RESET_BEFORE, RESET_AFTER, TRUNCATED = "reset before", "reset after", "truncated body"
TEXT_500, UNAVAILABLE, SLOW_DOWN, THROTTLED = "500 with text", "503", "SlowDown", "429"
FORBIDDEN = "403"  # not one of FAULTS: a denial is an answer, which nothing repeats
PORTAL, HANG, DRIP, BLIP, OUTAGE = "another 200 body", "hang", "slow drip", "blip", "outage"
FAULTS = (
    RESET_BEFORE, RESET_AFTER, TRUNCATED, TEXT_500, UNAVAILABLE, SLOW_DOWN, THROTTLED, PORTAL, HANG, DRIP, BLIP, OUTAGE,
)  # fmt: skip
PAGE = b"<html><head><title>Log in</title></head><body>Welcome to the guest network.</body></html>"
REFUSED_S, DRIP_BYTES, DRIP_S = 0.2, 60, 0.03
_RESETS = struct.pack("ii", 1, 0)  # SO_LINGER 0: close() sends RST


@dataclass
class Fault:
    """What happens to the next `times` requests of an operation; `seconds` is the length of an outage or a hang.

    `times` None is every request until the fault is removed.
    """

    kind: str
    operation: str
    times: int | None = 1
    seconds: float = 2.0
    hits: int = 0


@dataclass
class _Listener:
    """A port of the proxy, and the address behind it."""

    behind: tuple[str, int]
    port: int = 0
    socket: socket.socket | None = None
    opens_at: float = 0.0  # monotonic; before it connections are refused
    connections: set[socket.socket] = field(default_factory=set)


class FaultProxy:
    """Two listeners, of AWS's services and of the registry; `seen` counts the requests of each operation."""

    def __init__(self, endpoint_url: str, registry: str) -> None:
        self._aws, self._registry = (_Listener(_address(each)) for each in (urlsplit(endpoint_url).netloc, registry))
        self._lock = threading.RLock()
        self._faults: list[Fault] = []
        self._ends = threading.Event()
        self.seen: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """The URL of every AWS service's API through the proxy."""
        return f"http://127.0.0.1:{self._aws.port}"

    @property
    def registry(self) -> str:
        """The registry's host:port through the proxy."""
        return f"127.0.0.1:{self._registry.port}"

    def through(self, image: str) -> str:
        """Return an image's name with the registry's port of the proxy."""
        return image.replace("{}:{}".format(*self._registry.behind), self.registry)

    def fault(self, kind: str, operation: str, times: int | None = 1, seconds: float = 2.0) -> Fault:
        """Add a fault."""
        with self._lock:
            self._faults.append(Fault(kind, operation, times, seconds))
            return self._faults[-1]

    def hits(self, operation: str = "") -> int:
        """Return how many requests of an operation, or of any, a fault has befallen."""
        with self._lock:
            return sum(fault.hits for fault in self._faults if operation in ("", fault.operation))

    def outage(self, seconds: float) -> None:
        """Refuse every connection, and reset those that are open."""
        for listener in (self._aws, self._registry):
            self._refuse(listener, seconds)

    def clear(self) -> None:
        """Remove the faults, and listen again."""
        with self._lock:
            self._faults.clear()
            self._aws.opens_at = self._registry.opens_at = 0.0

    @contextlib.contextmanager
    def open(self) -> Iterator[FaultProxy]:
        """Listen during a `with` block."""
        self._aws.socket = _listen(self._aws)
        length = len(str(self._registry.behind[1]))
        while len(str(self._registry.port)) != length:
            self._registry.port = 0
            self._registry.socket = _listen(self._registry)
        file = url_file(self._registry.port)
        file.write_text(self.url)
        threads = [
            threading.Thread(target=self._accept, args=(each,), daemon=True) for each in (self._aws, self._registry)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            file.unlink(missing_ok=True)
            self._ends.set()
            for thread in threads:
                thread.join()
            for listener in (self._aws, self._registry):
                self._cut(listener)

    # ---- connections ------------------------------------------------------------------------------------------------
    def _accept(self, listener: _Listener) -> None:
        """Accept connections; without a socket in an outage, so that the kernel refuses them."""
        while not self._ends.is_set():
            if listener.socket is None:
                if time.monotonic() < listener.opens_at:
                    self._ends.wait(0.02)
                    continue
                listener.socket = _listen(listener)
            try:
                connection, _ = listener.socket.accept()
            except TimeoutError:
                continue
            except OSError:  # it was closed by an outage
                self._ends.wait(0.005)
                continue
            with self._lock:
                listener.connections.add(connection)
            threading.Thread(target=self._serve, args=(listener, connection), daemon=True).start()
        if listener.socket is not None:
            listener.socket.close()

    def _serve(self, listener: _Listener, connection: socket.socket) -> None:
        reader = Reader(connection)
        try:
            while self._answer(listener, connection, reader):
                pass
        except (Closed, OSError):
            pass
        finally:
            with self._lock:
                listener.connections.discard(connection)
            connection.close()

    def _refuse(self, listener: _Listener, seconds: float) -> None:
        with self._lock:
            listener.opens_at = time.monotonic() + seconds
            old, listener.socket = listener.socket, None
            if old is not None:
                old.close()
        self._cut(listener)

    def _cut(self, listener: _Listener) -> None:
        with self._lock:
            connections = list(listener.connections)
        for connection in connections:
            _reset(connection)

    # ---- one request ------------------------------------------------------------------------------------------------
    def _answer(self, listener: _Listener, connection: socket.socket, reader: Reader) -> bool:
        """Answer one request; return whether the connection goes on."""
        request = reader.request()
        operation = operation_of(request)
        with self._lock:
            self.seen[operation] += 1
            fault = self._next(operation)
        if fault is None:
            return self._send(connection, self._forward(listener, request))
        if fault.kind in (RESET_AFTER, TRUNCATED, DRIP):
            self._spoil(fault.kind, connection, self._forward(listener, request))
        elif fault.kind in (BLIP, OUTAGE):
            self._refuse(listener, REFUSED_S if fault.kind == BLIP else fault.seconds)
        elif fault.kind == HANG:
            self._ends.wait(fault.seconds)
        elif fault.kind != RESET_BEFORE:
            return self._send(connection, canned(fault.kind, operation, request.first_line[0]))
        _reset(connection)
        return False

    def _next(self, operation: str) -> Fault | None:
        for fault in self._faults:
            if fault.operation == operation and (fault.times is None or fault.hits < fault.times):
                fault.hits += 1
                return fault
        return None

    def _send(self, connection: socket.socket, answer: Message) -> bool:
        connection.sendall(answer.bytes)
        return not answer.ends_with_connection

    def _spoil(self, kind: str, connection: socket.socket, answer: Message) -> None:
        """Send a part of an answer, or the whole of it byte after byte."""
        if kind == TRUNCATED:
            half = answer.head + answer.body[: len(answer.body) // 2] if answer.body else answer.head[:-6]
            connection.sendall(half)
            connection.shutdown(socket.SHUT_RDWR)
        elif kind == DRIP:
            data = answer.bytes
            for at in range(min(DRIP_BYTES, len(data))):
                connection.sendall(data[at : at + 1])
                time.sleep(DRIP_S)
            connection.sendall(data[DRIP_BYTES:])
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                connection.recv(1)

    def _forward(self, listener: _Listener, request: Message) -> Message:
        with socket.create_connection(listener.behind) as behind:
            behind.sendall(request.bytes)
            answer = Reader(behind).response(request.first_line[0])
        if listener is self._aws:
            real = "{}:{}".format(*self._registry.behind).encode()
            answer.body = answer.body.replace(real, self.registry.encode())
        return answer


def canned(kind: str, operation: str, method: str) -> Message:
    """Return an answer that the service did not make; a throttle has the form of the service's protocol."""
    status, content_type, body = {
        TEXT_500: ("500 Internal Server Error", "text/plain", b"upstream connect error"),
        UNAVAILABLE: ("503 Service Unavailable", "text/html", b"<html><body>No server is available.</body></html>"),
        PORTAL: ("200 OK", "text/html", PAGE),
    }.get(kind) or (_denial(operation) if kind == FORBIDDEN else _throttle(kind, operation))
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return Message(head.encode(), b"" if method == "HEAD" else body)


def _denial(operation: str) -> tuple[str, str, bytes]:
    """Return IAM's denial in the form of the JSON protocols."""
    words = f"User: arn:aws:iam::123456789012:user/me is not authorized to perform: {operation} on resource: *"
    body = json.dumps({"__type": "AccessDeniedException", "message": words})
    return "403 Forbidden\r\nx-amzn-ErrorType: AccessDeniedException", "application/json", body.encode()


def _throttle(kind: str, operation: str) -> tuple[str, str, bytes]:
    service = operation.split()[-1].partition(":")[0] if "registry:" not in operation else "registry"
    if service == "s3":
        status = "503 Slow Down" if kind == SLOW_DOWN else "429 Too Many Requests"
        return status, "application/xml", b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
    if service == "ec2":
        error = b"<Errors><Error><Code>RequestLimitExceeded</Code><Message>Rate exceeded</Message></Error></Errors>"
        return "503 Unavailable", "text/xml", b"<Response>" + error + b"<RequestID>1</RequestID></Response>"
    if service in ("iam", "sts"):
        error = b"<Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>"
        return "400 Bad Request", "text/xml", b"<ErrorResponse>" + error + b"<RequestId>1</RequestId></ErrorResponse>"
    if service == "registry":
        error = {"errors": [{"code": "TOOMANYREQUESTS", "message": "Rate exceeded"}]}
        return "429 Too Many Requests", "application/json", json.dumps(error).encode()
    if service == "batch":
        body = json.dumps({"__type": "TooManyRequestsException", "message": "Too Many Requests"})
        return "429 Too Many Requests\r\nx-amzn-ErrorType: TooManyRequestsException", "application/json", body.encode()
    body = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"})
    return "400 Bad Request", "application/x-amz-json-1.1", body.encode()


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
        connection.shutdown(socket.SHUT_RD)
    connection.close()


def _listen(listener: _Listener) -> socket.socket:
    sock = socket.create_server(("127.0.0.1", listener.port), backlog=1024)
    sock.settimeout(0.1)
    listener.port = sock.getsockname()[1]
    return sock


def _address(netloc: str) -> tuple[str, int]:
    host, _, port = netloc.rpartition(":")
    return host, int(port)
