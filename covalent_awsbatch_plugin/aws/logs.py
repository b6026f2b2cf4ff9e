# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""CloudWatch Logs: the last lines that a job printed, for a job without a result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..errors import NotAllowed, NotFound, Refused
from ..runner.protocol.log_header import MARK
from .endpoints import console
from .session import AWS

# Docker's awslogs driver sends a batch every 5 s, so two reads that are further apart and agree have the last one.
LATE_PAUSES_S = (6.0, 6.0, 6.0)
LATEST_S = 20.0  # after a container's end no more lines are waited for
# A page may be short or empty with more events behind it; the last one has the token that asked for it.
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
MOST_PAGES = 100


class Logs:
    """One log group. `sleep` and `clock` (Unix seconds) are arguments for tests."""

    def __init__(
        self,
        aws: AWS,
        group: str,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._aws, self.group, self._sleep, self._clock = aws, group, sleep, clock

    async def check(self) -> bool:
        """Raise NotFound if the log group does not exist, because then no job can start.

        Return False without the permission to look: the group may exist.
        """
        try:
            of, prefix = f"log group `{self.group}`", self.group
            groups = self._aws.items("logs", "DescribeLogGroups", "logGroups", of=of, logGroupNamePrefix=prefix)
            names = {group["logGroupName"] async for group in groups}
        except NotAllowed:
            return False
        except Refused as error:
            error.advice = "Correct `batch_job_log_group_name`."
            raise
        if self.group not in names:
            raise NotFound(
                f"The log group `{self.group}` does not exist in this account and Region.",
                advice="Correct `batch_job_log_group_name`, or run `aws logs create-log-group --log-group-name "
                f"{self.group}`.",
            )
        return True

    async def settled_tail(self, stream: str, stopped_ms: int | None, lines: int = 100) -> str:
        """Return the last lines of a stream, read until two reads agree, or until no more lines can come.

        `stopped_ms` is when the container ended (Unix milliseconds); None: unknown.
        """
        text = await self.tail(stream, lines)
        for pause_s in LATE_PAUSES_S:
            if stopped_ms is not None and self._clock() - stopped_ms / 1000 > LATEST_S:
                break
            await self._sleep(pause_s)
            last, text = text, await self.tail(stream, lines)
            if text and text == last:
                break
        return text

    async def tail(self, stream: str, lines: int = 100) -> str:
        """Return the last lines of a stream, without the runner's headers; "" if it does not exist."""
        events: list[Mapping[str, Any]] = []
        token: dict[str, str] = {}
        try:
            for _ in range(MOST_PAGES):
                page = await self._page(stream, lines - len(events), token)
                events = [*page["events"], *events]
                last, token = token, {"nextToken": page.get("nextBackwardToken") or ""}
                if len(events) >= lines or not token["nextToken"] or token == last:
                    break
        except NotFound:
            return ""
        messages = [str(event["message"]) for event in _each_once(events)]
        return "".join(f"{message}\n" for message in messages if not message.startswith(MARK))

    async def _page(self, stream: str, limit: int, token: Mapping[str, Any]) -> Mapping[str, Any]:
        page: Mapping[str, Any] = await self._aws.call(
            "logs",
            "GetLogEvents",
            of=f"log group `{self.group}`",
            logGroupName=self.group,
            logStreamName=stream,
            limit=limit,
            startFromHead=False,
            **token,
        )
        return page


def _each_once(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the events by their time, without those that the log driver sent twice.

    A line that a program printed twice came with the same batch; a batch that was sent again has another time of
    ingestion.
    """
    first: dict[tuple[int, str], int] = {}
    return [
        event
        for event in sorted(events, key=lambda event: int(event["timestamp"]))
        if first.setdefault((event["timestamp"], event["message"]), event.get("ingestionTime", 0))
        == event.get("ingestionTime", 0)
    ]


def link(region: str, group: str, stream: str) -> str:
    """Return the console's page of a log stream, or its names where no public console has the Region, or it is "".

    The page needs its names encoded twice, with $ for %.
    """
    host = region and console(region)
    if not host:
        return f"The log of the container is {stream} in the log group {group}."

    def twice(name: str) -> str:
        return quote(quote(name, safe=""), safe="").replace("%", "$")

    return (
        f"https://{host}/cloudwatch/home?region={region}"
        f"#logsV2:log-groups/log-group/{twice(group)}/log-events/{twice(stream)}"
    )
