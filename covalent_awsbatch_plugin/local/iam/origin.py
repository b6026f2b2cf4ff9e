# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Where a request comes from, by its headers: programs of this machine, or a web page of somebody else's.

A page whose name leads to the loopback address (DNS rebinding) is known by its Host, any other by its Origin.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FOREIGN = "This is an AWS for programs of this machine: the request's Host or Origin is another"
# Names that lead to the loopback address everywhere; the last is the machine of a container, in Docker Desktop.
_NAMES = re.compile(r"(?:[a-z0-9.-]+\.)?localhost|host\.docker\.internal")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::\d{1,5})?", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Whether a `Host` header names the loopback: an address or a name, with any port. A proxy may stand in front."""
    parts = _HOST.fullmatch(host)
    if parts is None:
        return False
    name = parts[1].lower().strip("[]")
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return _NAMES.fullmatch(name) is not None


def is_own(host: str | None, origin: str | None) -> bool:
    """Whether a request's `Host` is the loopback, and its `Origin`, where it has one."""
    if host is None or not is_loopback(host):
        return False
    return origin is None or is_loopback(_netloc(origin))


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def only_own(refusal: Callable[[str], web.Response]) -> Any:
    """Return a middleware that answers `refusal` to what is addressed to another host or comes from a foreign page."""

    @web.middleware
    async def own(request: web.Request, handler: Handler) -> web.StreamResponse:
        hosts = request.headers.getall("Host", [])
        origins = request.headers.getall("Origin", [])
        if len(hosts) != 1 or len(origins) > 1 or not is_own(hosts[0], origins[0] if origins else None):
            return refusal(FOREIGN)
        return await handler(request)

    return own
