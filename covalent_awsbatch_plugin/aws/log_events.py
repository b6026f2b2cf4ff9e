# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""CloudWatch Logs while it grows: each event of many streams once, and in the order of its time within its stream."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import NotFound
from .session import AWS

# An event can be read late: the driver sends a batch every 5 s, and CloudWatch shows it some seconds later. So each
# read begins this long before the newest event; what is shown even later is not seen.
LATE_S = 30.0
POLL_S = 2.0  # between two requests of one reader: at most 0.5/s of the account's 5/s
SLOWEST_POLL_S = 10.0  # while AWS throttles
NAMES_PER_CALL = 100  # of `logStreamNames`, API_FilterLogEvents


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line of a log stream; times are Unix milliseconds."""

    stream: str
    time_ms: int
    message: str
    ingested_ms: int
    event_id: str


@dataclass(frozen=True)
class Streams:
    """The streams of one request: all of a log group whose names have a prefix, or up to 100 by name."""

    group: str
    prefix: str = ""
    names: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of FilterLogEvents."""
        which = {"logStreamNamePrefix": self.prefix} if self.prefix else {"logStreamNames": list(self.names)}
        return {"logGroupName": self.group, **which}


def by_name(group: str, names: Collection[str]) -> list[Streams]:
    """Return the streams of these names, as many as one request takes in each."""
    ordered = sorted(names)
    return [
        Streams(group, names=tuple(ordered[at : at + NAMES_PER_CALL])) for at in range(0, len(ordered), NAMES_PER_CALL)
    ]


class Repeats:
    """The memory of events that were read, by second, as far back as another read can return them.

    The log driver sends a batch again when it got no answer: its events have other ids, and another time of ingestion.
    A line that a program printed twice came with the same batch.
    """

    def __init__(self) -> None:
        self._ids: dict[int, set[int]] = {}
        self._ingested: dict[int, dict[int, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._ids.values()))

    def is_new(self, event: LogEvent) -> bool:
        """Return whether the event was not read before, and remember it."""
        second = event.time_ms // 1000
        ids = self._ids.setdefault(second, set())
        is_repeat = hash(event.event_id) in ids
        ids.add(hash(event.event_id))
        line = hash((event.stream, event.time_ms, event.message))
        first = self._ingested.setdefault(second, {}).setdefault(line, event.ingested_ms)
        return not is_repeat and first == event.ingested_ms

    def forget_before(self, time_ms: int) -> None:
        """Forget the events of earlier seconds."""
        for second in [each for each in self._ids if each < time_ms // 1000]:
            del self._ids[second], self._ingested[second]


class EventReader:
    """Reads streams again and again; each event is returned by one read only.

    `since_ms` is the time of the first event wanted. `clock` (Unix seconds) and `sleep` are arguments for tests.
    """

    def __init__(
        self,
        aws: AWS,
        since_ms: int,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._aws, self._since_ms, self._sleep, self._clock = aws, since_ms, sleep, clock
        self._newest_ms: dict[Streams, int] = {}
        self._asked_at = float("-inf")
        self.repeats = Repeats()

    async def read(self, streams: Sequence[Streams], pattern: str = "") -> AsyncIterator[list[LogEvent]]:
        """Yield the new events of streams, page by page; a page is in the order of time.

        The token of an empty page is followed too. `pattern` is AWS's filter pattern. Raises a ServiceError.
        """
        began_ms, oldest_ms = int(self._clock() * 1000), None
        for each in streams:
            start_ms = max(self._since_ms, self._newest_ms.get(each, 0) - int(LATE_S * 1000))
            newest_ms = start_ms
            async for page in self._pages(each, start_ms, pattern):
                newest_ms = max([newest_ms, *(event.time_ms for event in page)])
                yield [event for event in page if self.repeats.is_new(event)]
                if len(streams) == 1:
                    self.repeats.forget_before(min(newest_ms, began_ms) - int(LATE_S * 1000))
            # What arrived while the pages were read may be older than the newest event by as much as that took.
            self._newest_ms[each] = max(self._newest_ms.get(each, 0), min(newest_ms, began_ms))
            oldest_ms = min(oldest_ms or self._newest_ms[each], self._newest_ms[each])
        if oldest_ms is not None:
            self.repeats.forget_before(oldest_ms - int(LATE_S * 1000))

    async def _pages(self, streams: Streams, start_ms: int, pattern: str) -> AsyncIterator[list[LogEvent]]:
        token: dict[str, Any] = {}
        more: dict[str, Any] = {"filterPattern": pattern} if pattern else {}
        while True:
            await self._pace()
            try:
                page = await self._aws.call(
                    "logs", "FilterLogEvents", of=f"log group `{streams.group}`",
                    startTime=start_ms, **streams.parameters, **more, **token,
                )  # fmt: skip
            except NotFound:  # no container has begun yet
                return
            yield _sorted(map(_event, page["events"]))
            token = {"nextToken": page.get("nextToken") or ""}
            if not token["nextToken"]:
                return

    async def _pace(self) -> None:
        """Wait until the next request may be sent: POLL_S after the one before, and longer while AWS throttles."""
        lane = self._aws.pace.lane("logs", "FilterLogEvents")
        pause_s = min(POLL_S / (lane.share if lane else 1.0), SLOWEST_POLL_S)
        if (wait_s := self._asked_at + pause_s - self._clock()) > 0:
            await self._sleep(min(wait_s, pause_s))
        self._asked_at = self._clock()


class InOrder:
    """Holds events back until earlier ones of their stream can have come.

    `ready` is called once after each read, so an event is passed on after the next one. An event that comes after later
    ones of its stream were passed on keeps its time, and not its place.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[LogEvent]] = {}
        self._ripe: dict[str, int] = {}  # time of the last event, by stream, that was there before this read

    def add(self, events: Iterable[LogEvent]) -> None:
        """Take the events of a read."""
        for event in events:
            self._waiting.setdefault(event.stream, []).append(event)

    def settled(self, until_ms: int) -> list[LogEvent]:
        """Return the events whose time is at most `until_ms`, before which no others are to come."""
        return self._passed(lambda stream: until_ms)

    def ready(self) -> list[LogEvent]:
        """Return the events that were there at the last call already, and those before them."""
        passed = self._passed(lambda stream: self._ripe.get(stream, -1))
        self._ripe = {stream: max(event.time_ms for event in events) for stream, events in self._waiting.items()}
        return passed

    def rest(self) -> list[LogEvent]:
        """Return all events."""
        return self._passed(lambda stream: sys.maxsize)

    def _passed(self, limit_ms: Callable[[str], int]) -> list[LogEvent]:
        result: list[LogEvent] = []
        for stream, events in list(self._waiting.items()):
            limit = limit_ms(stream)
            result += [event for event in events if event.time_ms <= limit]
            if later := [event for event in events if event.time_ms > limit]:
                self._waiting[stream] = later
            else:
                del self._waiting[stream]
        return _sorted(result)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))


def _event(body: Mapping[str, Any]) -> LogEvent:
    ingested_ms = int(body.get("ingestionTime", 0))
    return LogEvent(body["logStreamName"], int(body["timestamp"]), body["message"], ingested_ms, body["eventId"])


def _sorted(events: Iterable[LogEvent]) -> list[LogEvent]:
    return sorted(events, key=lambda event: event.time_ms)
