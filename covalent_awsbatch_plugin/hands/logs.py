# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""CloudWatch Logs: the last lines a job printed, for when it left no result."""

from __future__ import annotations

from urllib.parse import quote

from ..thought.errors import NotFound
from .aws import AWS


class Logs:
    """One log group."""

    def __init__(self, aws: AWS, group: str) -> None:
        self._aws, self.group = aws, group

    async def tail(self, stream: str, lines: int = 100) -> str:
        """The stream's last lines, "" while it has none."""
        try:
            answer = await self._aws.call(
                "logs",
                "GetLogEvents",
                of=f"log group `{self.group}`",
                logGroupName=self.group,
                logStreamName=stream,
                limit=lines,
                startFromHead=False,
            )
        except NotFound:
            return ""
        return "".join(f"{event['message']}\n" for event in answer["events"])


def link(region: str, group: str, stream: str) -> str:
    """The console's page of a log stream; it wants its names encoded twice, with $ for %."""

    def twice(name: str) -> str:
        return quote(quote(name, safe=""), safe="").replace("%", "$")

    return (
        f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
        f"#logsV2:log-groups/log-group/{twice(group)}/log-events/{twice(stream)}"
    )
