# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The server of `report --serve`: this machine only, and only who knows the secret in its address."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"


class ReportServer(ThreadingHTTPServer):
    """A server on a port of 127.0.0.1, 0 for any free one.

    `page` and `body` return HTML. Other hosts' names are refused, which a page elsewhere could have led here by DNS
    (rebinding), and so are requests of other origins: https://datatracker.ietf.org/doc/html/rfc6454#section-7.
    """

    daemon_threads = True

    def __init__(self, port: int, page: Callable[[], str], body: Callable[[], str]) -> None:
        super().__init__((HOST, port), _Handler)
        self._secret = secrets.token_urlsafe(32)
        self._content = {"": page, "body": body}

    @property
    def url(self) -> str:
        """The address of the page, which is the permission to read it."""
        return f"http://{HOST}:{self.server_port}/{self._secret}/"

    def names(self) -> set[str]:
        """Return the values of the Host header that are accepted."""
        return {f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"}

    def content(self, path: str) -> Callable[[], str] | None:
        """Return the maker of the content at a path; None without the secret."""
        _, secret, name = (*path.split("/", 2), "", "")[:3]
        is_right = hmac.compare_digest(secret.encode(), self._secret.encode())
        return self._content.get(name) if is_right else None


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    server_version, sys_version = "covalent-awsbatch", ""
    timeout = 30

    def do_GET(self) -> None:
        """Send the page or its body."""
        origin, names = self.headers.get("Origin"), self.server.names()
        is_elsewhere = origin is not None and origin.removeprefix("http://") not in names
        if self.headers.get("Host") not in names:
            self._send(421, "This server is for this machine.")
        elif is_elsewhere or self.headers.get("Sec-Fetch-Site") not in (None, "none", "same-origin"):
            self._send(403, "Pages of other origins may not read this.")
        elif make := self.server.content(self.path):
            self._send(200, make())
        else:
            self._send(404, "There is nothing here.")

    def _send(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Frame-Options", "DENY")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the address is a secret."""
