# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""HTTP/1.1 on a raw socket: one message read as bytes, and the operation of AWS or of a registry that a request names.

No HTTP library is used, because it would repair what a fault breaks.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from urllib.parse import parse_qs

MOST_HEAD_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16
CONTAINER = "container"  # the caller of an operation that the runner in the container sends
_SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/")
_OBSTORE = re.compile(r"object_store/", re.IGNORECASE)
_BATCH = {
    name.lower(): name
    for name in (
        "CancelJob", "DeregisterJobDefinition", "DescribeComputeEnvironments", "DescribeJobDefinitions",
        "DescribeJobQueues", "DescribeJobs", "GetJobQueueSnapshot", "ListJobs", "RegisterJobDefinition", "SubmitJob",
        "TagResource", "TerminateJob",
    )
}  # fmt: skip


class Closed(Exception):
    """The other side closed the connection between two messages."""


@dataclass
class Message:
    """A request or a response: its first line, its headers as they came, and its body as it came (perhaps chunked)."""

    head: bytes  # with the empty line that ends it
    body: bytes
    ends_with_connection: bool = False

    @property
    def first_line(self) -> list[str]:
        """Return the three parts: method, target and version, or version, status and reason."""
        parts = self.head.partition(b"\r\n")[0].decode("latin-1").split(" ", 2)
        return parts + [""] * (3 - len(parts))

    def header(self, name: str) -> str:
        """Return a header's value; "" if there is none."""
        pattern = rb"\r\n" + re.escape(name.encode()) + rb":[ \t]*([^\r]*)\r\n"
        match = re.search(pattern, self.head, re.IGNORECASE)
        return match[1].decode("latin-1").strip() if match else ""

    def without(self, name: str) -> Message:
        """Return the message without a header."""
        pattern = rb"\r\n" + re.escape(name.encode()) + rb":[^\r]*(?=\r\n)"
        return Message(re.sub(pattern, b"", self.head, flags=re.IGNORECASE), self.body, self.ends_with_connection)

    @property
    def bytes(self) -> bytes:
        return self.head + self.body


class Reader:
    """The bytes of a socket, message by message."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket, self._rest = sock, b""

    def request(self) -> Message:
        """Read a request. Raises Closed, or OSError for one that breaks off."""
        head = self._head()
        message = Message(head, b"")
        if message.header("Expect").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            message = message.without("Expect")
        message.body = self._body(message)
        return message

    def response(self, method: str) -> Message:
        """Read the response to a request with this method."""
        message = Message(self._head(), b"")
        status = message.first_line[1]
        if status == "100":
            return self.response(method)
        if method == "HEAD" or status in ("204", "304"):
            return message
        sized = message.header("Content-Length") or "chunked" in message.header("Transfer-Encoding").lower()
        message.ends_with_connection = not sized
        message.body = self._body(message) if sized else self._all()
        return message

    def _head(self) -> bytes:
        while b"\r\n\r\n" not in self._rest:
            if len(self._rest) > MOST_HEAD_BYTES:
                raise OSError("no end of the headers")
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def _body(self, message: Message) -> bytes:
        if "chunked" in message.header("Transfer-Encoding").lower():
            return self._chunked()
        return self._exactly(int(message.header("Content-Length") or 0))

    def _chunked(self) -> bytes:
        whole = b""
        while True:
            size = self._line()
            data = self._exactly(int(size.split(b";")[0], 16))
            whole += size + data
            if data:
                whole += self._line()
                continue
            while (line := self._line()) != b"\r\n":
                whole += line
            return whole + b"\r\n"

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._more()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line + b"\r\n"

    def _exactly(self, size: int) -> bytes:
        parts, missing = [self._rest[:size]], size - len(self._rest)
        self._rest = self._rest[size:]
        while missing > 0:
            data = self._socket.recv(min(CHUNK_BYTES, missing))
            if not data:
                raise OSError("the message breaks off")
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def _all(self) -> bytes:
        parts, self._rest = [self._rest], b""
        while data := self._socket.recv(CHUNK_BYTES):
            parts.append(data)
        return b"".join(parts)

    def _more(self) -> None:
        data = self._socket.recv(CHUNK_BYTES)
        if not data:
            if self._rest:
                raise OSError("the message breaks off")
            raise Closed
        self._rest += data


# ---- operations -----------------------------------------------------------------------------------------------------
def operation_of(request: Message) -> str:
    """Return the operation, like `batch:SubmitJob`, `container s3:PutObject`, `registry:PUT manifest` or `unknown:...`.

    The places are those of AWS's protocols (target header, REST path, form field), and of the distribution API.
    """
    method, target, _ = request.first_line
    path, _, query = target.partition("?")
    if path == "/v2" or path.startswith("/v2/"):
        return f"registry:{_of_registry(method, path, query)}"
    scope = _SCOPE.search(request.header("Authorization"))
    service = scope[1] if scope else "unknown"
    if name := request.header("X-Amz-Target").rpartition(".")[2]:
        return f"{service}:{name}"
    if service == "batch":
        name = path.strip("/").split("/")[1] if path.count("/") > 1 else path
        return f"batch:{_BATCH.get(name.lower(), name)}"
    if service == "s3":
        who = f"{CONTAINER} " if _OBSTORE.search(request.header("User-Agent")) else ""
        return f"{who}s3:{_of_s3(method, path, query)}"
    action = parse_qs(request.body.decode("latin-1")).get("Action")
    return f"{service}:{action[0] if action else f'{method} {path}'}"


def _of_s3(method: str, path: str, query: str) -> str:
    kind = "Object" if path.strip("/").count("/") else "Bucket"
    names = set(parse_qs(query, keep_blank_values=True))
    if method == "POST":
        if "delete" in names:
            return "DeleteObjects"
        return "CreateMultipartUpload" if "uploads" in names else "CompleteMultipartUpload"
    if "encryption" in names:
        return f"{method.capitalize()}BucketEncryption"
    if "uploadId" in names:
        return "UploadPart" if method == "PUT" else "AbortMultipartUpload"
    if kind == "Bucket" and method == "GET":
        return "ListObjectVersions" if "versions" in names else "ListObjectsV2"
    return f"{method.capitalize()}{kind}"


def _of_registry(method: str, path: str, query: str) -> str:
    if "/manifests/" in path:
        return f"{method} manifest"
    if path.endswith("/blobs/uploads/"):
        return "POST mount" if "mount=" in query else "POST upload"
    if "/blobs/uploads/" in path:
        return f"{method} upload"
    return f"{method} blob" if "/blobs/" in path else f"{method} {path}"
