# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The last lines of a log are complete, in order and there once, however late and in whatever pages they come."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from covalent_awsbatch_plugin.aws.logs import LATEST_S, Logs
from covalent_awsbatch_plugin.aws.session import AWS, Connection
from covalent_awsbatch_plugin.local import LocalAWS

_numbers = itertools.count()


@pytest.fixture(scope="module")
def world() -> Iterator[LocalAWS]:
    aws = LocalAWS(engine="process")
    asyncio.run(aws.__aenter__())
    yield aws
    asyncio.run(aws.__aexit__(None, None, None))


class Stream:
    """A log stream of the offline AWS; `later` are batches that arrive one by one while somebody waits."""

    def __init__(self, world: LocalAWS, aws: AWS) -> None:
        section = world.section()
        self.aws, self.group, self.name = aws, section["batch_job_log_group_name"], f"tests/{next(_numbers)}"
        self.later: list[list[tuple[int, str]]] = []
        self.now, self.pauses = 1000.0, list[float]()

    async def put(self, *events: tuple[int, str]) -> None:
        client = await self.aws.client("logs")
        found = await client.describe_log_streams(logGroupName=self.group, logStreamNamePrefix=self.name)
        if not found["logStreams"]:
            await client.create_log_stream(logGroupName=self.group, logStreamName=self.name)
        lines = [{"timestamp": at, "message": message} for at, message in events]
        if lines:
            await client.put_log_events(logGroupName=self.group, logStreamName=self.name, logEvents=lines)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        if self.later:
            await self.put(*self.later.pop(0))

    def logs(self) -> Logs:
        return Logs(self.aws, self.group, sleep=self.sleep, clock=lambda: self.now)


Test = Callable[[Stream], Awaitable[None]]


@pytest.fixture
async def stream(world: LocalAWS) -> Any:
    section = world.section()
    async with AWS(Connection(section["credentials"], section["profile"], section["region"])) as aws:
        yield Stream(world, aws)


NOW = int(time.time() * 1000) - 1000


async def test_lines_that_come_while_they_are_read_are_there(stream: Stream) -> None:
    await stream.put((NOW, "one"))
    stream.later = [[(NOW + 1, "two")], [(NOW + 2, "three")]]
    assert await stream.logs().settled_tail(stream.name, 1_000_000) == "one\ntwo\nthree\n"


async def test_a_log_that_does_not_change_is_read_twice(stream: Stream) -> None:
    await stream.put((NOW, "one"))
    assert await stream.logs().settled_tail(stream.name, 1_000_000) == "one\n"
    assert len(stream.pauses) == 1


async def test_lines_that_come_late_to_an_empty_log_are_there(stream: Stream) -> None:
    await stream.put()
    stream.later = [[], [(NOW, "late")]]
    assert await stream.logs().settled_tail(stream.name, 1_000_000) == "late\n"


async def test_the_log_of_a_job_that_ended_long_ago_is_read_once(stream: Stream) -> None:
    await stream.put((NOW, "one"))
    stopped_ms = int((stream.now - LATEST_S - 1) * 1000)
    assert await stream.logs().settled_tail(stream.name, stopped_ms) == "one\n"
    assert stream.pauses == []


async def test_events_out_of_order_are_in_order(stream: Stream) -> None:
    await stream.put((NOW + 2, "three"))
    await stream.put((NOW, "one"), (NOW + 1, "two"))
    assert await stream.logs().tail(stream.name) == "one\ntwo\nthree\n"


async def test_a_batch_that_was_sent_twice_is_there_once(stream: Stream) -> None:
    await stream.put((NOW, "one"), (NOW, "one"), (NOW + 1, "two"))
    await asyncio.sleep(0.01)  # another time of ingestion
    await stream.put((NOW, "one"), (NOW, "one"), (NOW + 1, "two"))
    assert await stream.logs().tail(stream.name) == "one\none\ntwo\n"


async def test_short_pages_are_read_to_the_last(world: LocalAWS, stream: Stream) -> None:
    await stream.put(*((NOW + at, str(at)) for at in range(11)))
    world.fault("small_pages", of="logs:*", times=None)
    try:
        assert await stream.logs().tail(stream.name, 8) == "".join(f"{at}\n" for at in range(3, 11))
        await stream.logs().check()
    finally:
        world.clear_faults()


async def test_a_stream_that_does_not_exist_has_no_lines(stream: Stream) -> None:
    assert await stream.logs().tail("nobodys") == ""
