# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""CloudWatch Logs: the last lines that a job printed, for a job without a result."""

from __future__ import annotations

from urllib.parse import quote

from ..errors import NotAllowed, NotFound, Refused
from .session import AWS


class Logs:
    """One log group."""

    def __init__(self, aws: AWS, group: str) -> None:
        self._aws, self.group = aws, group

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

    async def tail(self, stream: str, lines: int = 100) -> str:
        """Return the last lines of a stream; "" if it does not exist."""
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
    """Return the console's page of a log stream; it needs its names encoded twice, with $ for %."""

    def twice(name: str) -> str:
        return quote(quote(name, safe=""), safe="").replace("%", "$")

    return (
        f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
        f"#logsV2:log-groups/log-group/{twice(group)}/log-events/{twice(stream)}"
    )
