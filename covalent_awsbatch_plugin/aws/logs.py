# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""CloudWatch Logs: the last lines that a job printed, for a job without a result."""

from __future__ import annotations

from urllib.parse import quote

from ..errors import NotAllowed, NotFound, Refused
from .endpoints import console
from .session import AWS


class Logs:
    """One log group."""

    def __init__(self, aws: AWS, group: str) -> None:
        self._aws, self.group = aws, group

    async def check(self) -> None:
        """Raise NotFound if the log group does not exist, because then no job can start.

        Without the permission to look, the group is assumed to exist.
        """
        try:
            of, prefix = f"log group `{self.group}`", self.group
            groups = self._aws.items("logs", "DescribeLogGroups", "logGroups", of=of, logGroupNamePrefix=prefix)
            names = {group["logGroupName"] async for group in groups}
        except NotAllowed:
            return
        except Refused as error:
            error.advice = "Correct batch_job_log_group_name in [executors.awsbatch]."
            raise
        if self.group not in names:
            raise NotFound(
                f"The log group `{self.group}` does not exist in this account and Region.",
                advice="Correct batch_job_log_group_name, or run `aws logs create-log-group --log-group-name "
                f"{self.group}`.",
            )

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
    """Return the console's page of a log stream, or its names where no public console has the Region.

    The page needs its names encoded twice, with $ for %.
    """
    host = console(region)
    if not host:
        return f"The log of the container is {stream} in the log group {group}."

    def twice(name: str) -> str:
        return quote(quote(name, safe=""), safe="").replace("%", "$")

    return (
        f"https://{host}/cloudwatch/home?region={region}"
        f"#logsV2:log-groups/log-group/{twice(group)}/log-events/{twice(stream)}"
    )
