# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""CloudWatch Logs that receives the output of containers line by line, as from Docker's awslogs driver.

It extends moto's Logs by FilterLogEvents' `logStreamNamePrefix`, which moto ignores.
"""

from __future__ import annotations

import time
from codecs import getincrementaldecoder
from collections.abc import Sequence
from typing import Any

from moto.logs import urls
from moto.logs.models import LogsBackend, logs_backends
from moto.logs.responses import LogsResponse

# An event has at most 256 KiB, of which 26 bytes are AWS's own:
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
EVENT_BYTES = 256 * 1024 - 26
NO_SUCH_STREAM = "-"


class LocalLogsBackend(LogsBackend):
    """Moto's backend with the responses below."""

    @property
    def url_bases(self) -> list[str]:
        return list(urls.url_bases)

    @property
    def url_paths(self) -> dict[str, Any]:
        return {path.format(""): LocalLogsResponse.dispatch for path in urls.url_paths}


class LocalLogsResponse(LogsResponse):
    """Moto's responses, with `logStreamNamePrefix` in FilterLogEvents, and `interleaved` as AWS has it: always true."""

    def _get_param(self, param_name: str, if_none: Any = None) -> Any:
        if param_name == "interleaved":
            return True
        prefix = super()._get_param("logStreamNamePrefix") if param_name == "logStreamNames" else None
        group = self.logs_backend.groups.get(super()._get_param("logGroupName"))
        if not prefix or group is None:
            return super()._get_param(param_name, if_none)
        return [name for name in list(group.streams) if name.startswith(prefix)] or [NO_SUCH_STREAM]


class LogWriter:
    """One container's log stream. Each line is an event; long lines are cut, and empty lines are dropped."""

    def __init__(self, backend: LogsBackend, group: str, name: str) -> None:
        self._backend, self._group, self.name = backend, group, name
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._last: list[dict[str, Any]] = []
        self._latest_ms = 0
        backend.ensure_log_stream(group, name)

    def write(self, data: bytes) -> None:
        self._send(self._events(data, _now_ms()))

    def close(self) -> None:
        """Send the last line where it has no end."""
        self._send(_events([self._line + self._decoder.decode(b"", final=True)], _now_ms()))
        self._line = ""

    def write_batch(self, chunks: Sequence[tuple[int, bytes]], *, out_of_order: bool) -> None:
        """Write output with the times (Unix milliseconds) at which it was printed.

        With `out_of_order` the last line arrives first, and no two lines have one time.
        """
        events = [event for at_ms, data in chunks for event in self._events(data, at_ms)]
        if not out_of_order:
            self._send(events)
            return
        for event in events:
            self._latest_ms = event["timestamp"] = max(event["timestamp"], self._latest_ms + 1)
        for event in reversed(events):
            self._send([event])

    def repeat(self) -> None:
        """Send the last events again, as the driver does where it got no answer."""
        self._send(self._last)

    def _events(self, data: bytes, at_ms: int) -> list[dict[str, Any]]:
        *lines, self._line = (self._line + self._decoder.decode(data)).split("\n")
        while len(self._line) > EVENT_BYTES:  # characters: never fewer bytes than that
            lines.append(self._line[:EVENT_BYTES])
            self._line = self._line[EVENT_BYTES:]
        return _events(lines, at_ms)

    def _send(self, events: list[dict[str, Any]]) -> None:
        if events:
            self._backend.put_log_events(self._group, self.name, events)
            self._last = events


def _events(lines: Sequence[str], at_ms: int) -> list[dict[str, Any]]:
    return [{"timestamp": at_ms, "message": part} for line in lines for part in cut(line.rstrip("\r"))]


def _now_ms() -> int:
    return int(time.time() * 1000)


def cut(line: str) -> list[str]:
    """Return a line in parts of at most EVENT_BYTES as UTF-8, cut between characters. An empty line has no parts."""
    data, parts = line.encode("utf-8", "surrogatepass"), []
    while data:
        end = EVENT_BYTES
        while len(data) > end and data[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(data[:end].decode("utf-8", "surrogatepass"))
        data = data[end:]
    return parts


def install() -> None:
    """Make this process's moto use the backend above for CloudWatch Logs."""
    logs_backends.backend = LocalLogsBackend
