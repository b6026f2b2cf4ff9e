# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The filters and pages of ListJobs."""

from __future__ import annotations

from typing import Any, TypeVar

from moto.batch.exceptions import ClientException

from .jobs import RUNNING, STATUSES, Job

T = TypeVar("T")


def of_status(jobs: list[Job], status: str | None) -> list[Job]:
    """Return the jobs with a status; AWS lists the RUNNING ones by default."""
    if status is not None and status not in STATUSES:
        raise ClientException(f"Job status is not one of {' | '.join(STATUSES)}")
    return [job for job in jobs if job.status == (status or RUNNING)]


def passes(job: Job, condition: dict[str, Any]) -> bool:
    """Return whether a job passes a filter of ListJobs."""
    name, values = condition["name"], condition["values"]
    if name == "JOB_NAME":
        return any(_matches(job.request.name, value) for value in values)
    if name == "JOB_DEFINITION":
        return any(_matches(job.request.definition.name, value) for value in values)
    if name in ("AFTER_CREATED_AT", "BEFORE_CREATED_AT"):
        after = job.created_at > int(values[0])
        return after if name.startswith("AFTER") else not after
    raise ClientException(f"{name} is no filter")


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def page(items: list[T], size: int, token: str | None) -> tuple[list[T], dict[str, str]]:
    """Return one page, and the `nextToken` where more pages follow."""
    begin = int(token or 0)
    more = {"nextToken": str(begin + size)} if begin + size < len(items) else {}
    return items[begin : begin + size], more
