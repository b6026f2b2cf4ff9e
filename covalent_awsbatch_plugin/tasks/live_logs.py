# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The lines that tasks print, while they print them: each with its task, once, in order, until the tasks have ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..aws.log_events import LATE_S, EventReader, InOrder, LogEvent
from ..aws.session import AWS
from ..runner.protocol.log_header import MARK, LogHeader, parse
from .followed_jobs import FollowedJobs

LAST_LINES_S = 25.0  # after a job's end: the driver's batches of 5 s, and CloudWatch's lateness
AGREE_S = 6.0  # between two reads that must agree, more than the driver's 5 s
IDLE_S = 2.0  # between two looks while no container has begun
STREAM_END = 8  # characters of a stream's name that stand for a task without a header


@dataclass(frozen=True)
class LogLine:
    """One line that a task printed, at `time` (Unix seconds). Without `header` the task is not known."""

    time: float
    message: str
    stream: str
    header: LogHeader | None = None

    @property
    def label(self) -> str:
        """The task's function and node id; in a container that runs several tasks at once, the container."""
        if self.header is None:
            return self.stream[-STREAM_END:]
        if self.header.at_once > 1:
            return f"container {self.stream[-STREAM_END:]}"
        return f"{self.header.name}[{self.header.node}]"

    def to_json(self) -> dict[str, Any]:
        """Return the line for programs; docs/logs.md has the schema."""
        task: dict[str, Any] = {}
        if self.header and self.header.at_once == 1:
            header = self.header
            task = {"name": header.name, "dispatch": header.dispatch, "node": header.node, "attempt": header.attempt}
        job = {"job_id": self.header.job} if self.header else {}
        return {"time": self.time, "message": self.message, "log_stream": self.stream, **job, **task}


class LiveLogs:
    """The lines of some jobs. `since_ms` leaves out earlier ones (Unix milliseconds); 0: from the jobs' creation.

    `last_lines_s` is how long lines are waited for after the last job's end. `sleep` and `clock` (Unix seconds) are
    arguments for tests.
    """

    def __init__(
        self,
        aws: AWS,
        jobs: FollowedJobs,
        since_ms: int = 0,
        *,
        last_lines_s: float = LAST_LINES_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._aws, self._jobs, self._since_ms, self._sleep, self._clock = aws, jobs, since_ms, sleep, clock
        self._last_lines_s = last_lines_s
        self._headers: dict[str, LogHeader] = {}  # the last one of each stream
        self._in_order = InOrder()
        self._reader: EventReader | None = None

    async def lines(self, *, follow: bool) -> AsyncIterator[LogLine]:
        """Yield the lines there are, and with `follow` those to come until all jobs have ended.

        The last lines of jobs that have just ended are waited for. Raises a ServiceError.
        """
        reads_without_news, last_read = 0, float("-inf")
        while True:
            await self._jobs.refresh()
            is_over = self._is_over(reads_without_news, follow=follow)
            if is_over and last_read > float("-inf"):
                break
            if not follow and last_read > float("-inf"):
                await self._sleep(max(0.0, last_read + AGREE_S - self._clock()))
            last_read, news = self._clock(), 0
            async for events in self._read():
                news += len(events)
                for line in self._named(events):
                    yield line
            reads_without_news = 0 if news or len(self._in_order) else reads_without_news + 1
            for line in self._named(self._in_order.ready()):
                yield line
            if not self._jobs.streams or not self._jobs.known:
                await self._sleep(IDLE_S)
        for line in self._named(self._in_order.rest()):
            yield line

    def _is_over(self, reads_without_news: int, *, follow: bool) -> bool:
        """Return whether no more lines can come, or, without `follow`, none of before this call."""
        stopped_ms = self._jobs.stopped_ms
        if stopped_ms is None:
            return not follow
        age_s = self._clock() - stopped_ms / 1000
        if not follow and reads_without_news:
            return True
        return age_s > self._last_lines_s and (reads_without_news > 0 or age_s > 2 * LAST_LINES_S)

    async def _read(self) -> AsyncIterator[list[LogEvent]]:
        """Yield the events of one read that no earlier ones can follow any more; the others are held back."""
        if not self._jobs.streams:
            return
        if self._reader is None:
            since_ms = self._since_ms or self._jobs.created_ms
            self._reader = EventReader(self._aws, since_ms, sleep=self._sleep, clock=self._clock)
            if self._since_ms > self._jobs.created_ms:
                await self._read_headers()
        settled_ms = int((self._clock() - LATE_S) * 1000)
        async for page in self._reader.read(self._jobs.streams):
            self._in_order.add(page)
            yield self._in_order.settled(settled_ms)

    async def _read_headers(self) -> None:
        """Read the headers of tasks that began before the first line that is wanted."""
        reader = EventReader(self._aws, self._jobs.created_ms, sleep=self._sleep, clock=self._clock)
        async for page in reader.read(self._jobs.streams, f'"{MARK.strip()}"'):
            for event in page:
                if event.time_ms < self._since_ms and (header := parse(event.message)):
                    self._headers[event.stream] = header

    def _named(self, events: Iterable[LogEvent]) -> Iterator[LogLine]:
        for event in events:
            if header := parse(event.message):
                self._headers[event.stream] = header
                continue
            header = self._headers.get(event.stream)
            if self._jobs.accepts(header, event.stream):
                yield LogLine(event.time_ms / 1000, event.message, event.stream, header)
