# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The port between tasks and the service that runs their jobs. `jobs.api.Batch` is its one implementation today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .description import JobState


class Backend(Protocol):
    """The calls of a task to the service that runs its job; each raises one of the ServiceError family.

    Definitions, requests and states are those of AWS Batch: RegisterJobDefinition, SubmitJob and DescribeJobs.
    """

    async def define(self, definition: Mapping[str, Any]) -> str:
        """Return the ARN of an active job definition with this content, registered if there is none."""
        ...

    async def define_again(self, definition: Mapping[str, Any], unknown_arn: str, refusals: int) -> str:
        """Return the ARN to submit with after the service did not know `unknown_arn`, for the `refusals`-th time."""
        ...

    async def deregister(self, arn: str) -> None:
        """Deregister a job definition; one that is gone is no error."""
        ...

    async def submit(self, request: Mapping[str, Any]) -> str:
        """Submit a job and return its id. A lost answer leads to one job, or to Unsettled if there is none."""
        ...

    async def settle(self, request: Mapping[str, Any], since_s: float) -> str | None:
        """Return the id of the job of a request whose answer is lost; None if no job can come of it any more."""
        ...

    async def named(self, request: Mapping[str, Any], since_s: float) -> str | None:
        """Return the id of the newest job of a SubmitJob request since a Unix time, or None."""
        ...

    async def describe(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """Return the states of jobs by id; an unknown id is missing."""
        ...

    async def failed_children(self, parent: str) -> list[str]:
        """Return the ids of the failed children of an array job."""
        ...

    async def terminate(self, job_id: str, reason: str) -> None:
        """End a job in any state; a parent's children end with it."""
        ...
