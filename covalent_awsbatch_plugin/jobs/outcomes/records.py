# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Read job records from a file: output of `aws batch describe-jobs`, EventBridge events, or single records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Unreadable(ValueError):
    """The text holds no job record; the message is one sentence that says why."""


@dataclass(frozen=True)
class Records:
    """The job records of a file; `one` if the file has a single record and not a list."""

    details: tuple[Mapping[str, Any], ...]
    one: bool


def records_of(data: bytes) -> Records:
    """Return the records in a JSON text.

    The text is a JobDetail, a response of DescribeJobs or ListJobs, an EventBridge event, or a list of any of these.
    Raises Unreadable.
    """
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable("it is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Unreadable(f"it is not JSON: {error.msg} at {where}" if data.strip() else "it is empty") from error
    except (RecursionError, ValueError) as error:  # nested or numbered beyond what Python reads
        raise Unreadable("it is not the JSON of a job record") from error
    details = tuple(
        detail for record in (content if isinstance(content, list) else [content]) for detail in _details(record)
    )
    if not details:
        raise Unreadable("it lists no jobs; AWS Batch keeps a job for seven days after its end")
    return Records(details, one=len(details) == 1 and not isinstance(content, list))


def _details(record: Any) -> list[Mapping[str, Any]]:
    if not isinstance(record, Mapping):
        raise Unreadable(f"it holds {_kind(record)} where a job record should be")
    for listing in ("jobs", "jobSummaryList"):
        if isinstance(record.get(listing), list):
            return [detail for job in record[listing] for detail in _details(job)]
    event = record.get("detail")
    return [event] if "detail-type" in record and isinstance(event, Mapping) else [record]


def _kind(value: Any) -> str:
    kinds = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "a list"}
    return kinds.get(type(value), "null")
