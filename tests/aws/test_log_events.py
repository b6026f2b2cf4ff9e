# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Streams that grow while they are read: each event once, through empty pages and refusals, in bounded memory."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator

import pytest

from covalent_awsbatch_plugin.aws.log_events import LATE_S, POLL_S, EventReader, InOrder, LogEvent, Repeats, Streams
from covalent_awsbatch_plugin.aws.session import AWS, Connection
from covalent_awsbatch_plugin.local import LocalAWS

_numbers = itertools.count()
NOW = int(time.time() * 1000) - 10_000
SINCE = NOW - 1000


@pytest.fixture(scope="module")
def offline() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="process")
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


class Group:
    """A log group of the offline AWS with streams of one prefix, and a reader whose pauses take no time."""

    def __init__(self, world: LocalAWS, aws: AWS) -> None:
        self.aws, self.group = aws, world.section()["batch_job_log_group_name"]
        self.prefix, self.now, self.pauses = f"group-{next(_numbers)}", time.time(), list[float]()
        self.reader = EventReader(aws, SINCE, sleep=self.sleep, clock=lambda: self.now)

    async def put(self, stream: str, *events: tuple[int, str]) -> None:
        client, name = await self.aws.client("logs"), f"{self.prefix}/{stream}"
        found = await client.describe_log_streams(logGroupName=self.group, logStreamNamePrefix=name)
        if not found["logStreams"]:
            await client.create_log_stream(logGroupName=self.group, logStreamName=name)
        lines = [{"timestamp": at, "message": message} for at, message in events]
        await client.put_log_events(logGroupName=self.group, logStreamName=name, logEvents=lines)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)

    async def read(self) -> list[str]:
        pages = self.reader.read([Streams(self.group, f"{self.prefix}/")])
        return [event.message async for page in pages for event in page]


@pytest.fixture
async def group(offline: LocalAWS) -> AsyncIterator[Group]:
    section = offline.section()
    async with AWS(Connection(section["credentials"], section["profile"], section["region"])) as aws:
        yield Group(offline, aws)
    offline.clear_faults()


async def test_read_returns_only_events_that_no_earlier_read_returned(group: Group) -> None:
    await group.put("a", (NOW, "one"))
    assert await group.read() == ["one"]
    await group.put("a", (NOW + 2, "three"))
    await group.put("b", (NOW + 1, "two"))
    assert await group.read() == ["two", "three"]
    assert await group.read() == []


async def test_read_returns_events_that_are_shown_late(group: Group) -> None:
    await group.put("a", (NOW, "new"))
    assert await group.read() == ["new"]
    await group.put("b", (NOW - 900, "late"))
    assert await group.read() == ["late"]


async def test_read_leaves_out_a_batch_that_was_sent_twice_and_no_line_that_was_printed_twice(group: Group) -> None:
    await group.put("a", (NOW, "same"), (NOW, "same"), (NOW + 1, "other"))
    await asyncio.sleep(0.01)  # another time of ingestion
    await group.put("a", (NOW, "same"), (NOW, "same"), (NOW + 1, "other"))
    assert await group.read() == ["same", "same", "other"]
    await group.put("a", (NOW, "same"))
    assert await group.read() == []


async def test_read_follows_the_token_of_an_empty_page(offline: LocalAWS, group: Group) -> None:
    await group.put("a", *((NOW + at, str(at)) for at in range(7)))
    offline.fault("small_pages", of="logs:FilterLogEvents", times=None)
    assert await group.read() == [str(at) for at in range(7)]


async def test_read_loses_nothing_and_asks_less_often_while_it_is_refused(offline: LocalAWS, group: Group) -> None:
    await group.put("a", *((NOW + at, str(at)) for at in range(12)))
    offline.fault("throttle", of="logs:FilterLogEvents", times=2)
    offline.fault("small_pages", of="logs:FilterLogEvents", times=None)
    assert await group.read() == [str(at) for at in range(12)]
    assert max(group.pauses) > POLL_S
    assert min(group.pauses[1:]) >= POLL_S


async def test_read_of_streams_that_do_not_exist_is_empty(group: Group) -> None:
    assert await group.read() == []


def event(time_ms: int, stream: str = "a", *, ingested_ms: int = 0, event_id: str = "") -> LogEvent:
    return LogEvent(stream, time_ms, f"{stream}{time_ms}", ingested_ms, event_id or f"{stream}-{time_ms}-{ingested_ms}")


def test_memory_of_events_does_not_grow_with_time() -> None:
    repeats, tasks = Repeats(), 1000
    for second in range(200):
        for task in range(tasks):
            assert repeats.is_new(event(second * 1000, f"task-{task}"))
        repeats.forget_before(int((second - LATE_S) * 1000))
    assert len(repeats) <= tasks * (LATE_S + 1)


def test_an_event_is_passed_on_after_the_next_read() -> None:
    held = InOrder()
    held.add([event(1)])
    assert held.ready() == []
    held.add([event(2)])
    assert held.ready() == [event(1)]
    assert held.rest() == [event(2)]


def test_an_event_that_comes_within_a_read_of_later_ones_is_passed_on_before_them() -> None:
    held = InOrder()
    held.add([event(5), event(9)])
    held.ready()
    held.add([event(7), event(12)])
    assert held.ready() == [event(5), event(7), event(9)]
    assert held.ready() == [event(12)]


def test_old_events_are_passed_on_at_once() -> None:
    held = InOrder()
    held.add([event(1), event(2), event(50, "b")])
    assert held.settled(10) == [event(1), event(2)]
    assert len(held) == 1


@pytest.mark.parametrize("seed", range(20))
def test_events_in_any_order_within_a_read_come_in_order_within_their_stream(seed: int) -> None:
    chance, held, result = random.Random(seed), InOrder(), list[LogEvent]()
    arrivals: dict[int, list[LogEvent]] = defaultdict(list)
    for stream in "abc":
        for time_ms in range(60):
            arrivals[time_ms // 10 + chance.randrange(2)].append(event(time_ms, stream))
    for read in range(7):
        batch = arrivals[read]
        chance.shuffle(batch)
        held.add(batch)
        result += held.ready()
    result += held.rest()
    for stream in "abc":
        assert [each.time_ms for each in result if each.stream == stream] == list(range(60))
