# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The output of a container, written to CloudWatch Logs line by line, as Docker's awslogs driver does."""

from __future__ import annotations

import asyncio
import logging
import time
from codecs import getincrementaldecoder
from collections.abc import Sequence
from typing import Any

import aiohttp

from .service_client import ServiceClient, ServiceError

# An event has at most 256 KiB, of which 26 bytes are AWS's own; a call at most 1 MiB and 10,000 events:
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
OVERHEAD_BYTES = 26
EVENT_BYTES = 256 * 1024 - OVERHEAD_BYTES
CALL_BYTES, CALL_EVENTS = 1024 * 1024, 10_000
TRIES, PAUSE_S = 5, 0.2
Event = dict[str, Any]
log = logging.getLogger(__name__)


class LogWriter:
    """One container's log stream. Each line is an event; long lines are cut, and empty lines are dropped.

    Events are sent in their order by a task of the loop; `flush` waits for it.
    """

    def __init__(self, services: ServiceClient, group: str, name: str, role: str | None) -> None:
        self._services, self._group, self.name, self._role = services, group, name, role
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._last: list[Event] = []
        self._latest_ms = 0
        self._waiting: list[list[Event]] = []
        self._sending: asyncio.Task[None] | None = None

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

    async def flush(self) -> None:
        """Return when everything that was written until now has been sent."""
        while self._sending is not None:
            await asyncio.shield(self._sending)

    def _events(self, data: bytes, at_ms: int) -> list[Event]:
        *lines, self._line = (self._line + self._decoder.decode(data)).split("\n")
        while len(self._line) > EVENT_BYTES:  # characters: never fewer bytes than that
            lines.append(self._line[:EVENT_BYTES])
            self._line = self._line[EVENT_BYTES:]
        return _events(lines, at_ms)

    def _send(self, events: list[Event]) -> None:
        if not events:
            return
        self._waiting.append(events)
        self._last = events
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send_waiting())

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting.pop(0)
                for events in calls(batch):
                    await self._send_call(events)
        finally:
            self._sending = None

    async def _send_call(self, events: list[Event]) -> None:
        """Send one call; a failed connection or server is tried again, and what a service refuses is lost."""
        for pause in [PAUSE_S * 2**number for number in range(TRIES)]:
            try:
                await self._services.put_log_events(self._group, self.name, events, self._role)
            except (aiohttp.ClientError, ValueError) as error:  # a response that is no JSON
                log.warning("log stream %s: %s", self.name, error)
                await asyncio.sleep(pause)
            except ServiceError as error:
                log.warning("log stream %s: %s", self.name, error)
                return
            else:
                return


def calls(events: list[Event]) -> list[list[Event]]:
    """Return events in parts that one PutLogEvents call takes each."""
    parts: list[list[Event]] = [[]]
    size = 0
    for event in events:
        more = len(event["message"].encode("utf-8", "surrogatepass")) + OVERHEAD_BYTES
        if parts[-1] and (size + more > CALL_BYTES or len(parts[-1]) == CALL_EVENTS):
            parts.append([])
            size = 0
        parts[-1].append(event)
        size += more
    return parts


def _events(lines: Sequence[str], at_ms: int) -> list[Event]:
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
