# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The line that opens a task's part of its container's log, so that a reader knows whose lines follow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

MARK = "covalent-awsbatch: begins "  # as FilterLogEvents' filterPattern, in quotes, it finds the headers alone
_NAME_CHARACTERS = 200


@dataclass(frozen=True)
class LogHeader:
    """The task whose lines follow in a log stream.

    `job` is AWS Batch's id, `parent:index` in an array. `attempt` counts from 1, earlier jobs of the task included.
    `at_once` is the number of tasks that run at the same time in the container: of several the lines are mixed.
    """

    name: str
    dispatch: str
    node: int
    job: str
    attempt: int
    at_once: int = 1

    def line(self) -> str:
        """Return the header as one line of ASCII, without its end."""
        fields = asdict(self) | {"name": self.name[:_NAME_CHARACTERS]}
        return MARK + json.dumps(fields, separators=(",", ":"))


def parse(line: str) -> LogHeader | None:
    """Return the header in a line of a log; None for any other line."""
    if not line.startswith(MARK):
        return None
    try:
        header = LogHeader(**json.loads(line.removeprefix(MARK)))
    except (ValueError, TypeError, RecursionError):
        return None
    texts, numbers = (header.name, header.dispatch, header.job), (header.node, header.attempt, header.at_once)
    valid = all(type(each) is str for each in texts) and all(type(each) is int for each in numbers)
    return header if valid else None
