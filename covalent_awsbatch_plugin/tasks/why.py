# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The diagnosis of any Batch job by its id: why it ended, its last output, and why its children failed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from ..aws.logs import Logs
from ..core import resource_names
from ..errors import AWSBatchError, NotFound
from ..jobs.description import JobState
from ..jobs.outcomes.causes import Cause
from ..jobs.outcomes.classify import Outcome, outcome_of
from ..jobs.outcomes.errors import error_text
from .services import Services

LOG_LINES = 20
CHILDREN = 1000  # the most that are described: ten calls
NAMED = 5  # children listed for each cause


@dataclass(frozen=True)
class Finding:
    """A job's outcome, its last lines, and its failed children by cause; `children_left` were not looked at."""

    outcome: Outcome
    log: str = ""
    children: dict[Cause, list[str]] = field(default_factory=dict)
    children_left: int = 0

    def text(self) -> str:
        """Return the finding as text for people."""
        lines = [error_text(self.outcome)]
        for cause, ids in sorted(self.children.items(), key=lambda each: -len(each[1])):
            more = " ..." if len(ids) > NAMED else ""
            lines.append(f"{len(ids)} failed children: {cause} ({', '.join(ids[:NAMED])}{more})")
        if self.children_left:
            lines.append(f"{self.children_left} more failed children were not looked at.")
        if self.log:
            lines.append(f"The last lines of its log:\n{self.log.rstrip()}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the finding as JSON for programs; `children` is absent if there are none."""
        children = {str(cause): ids for cause, ids in self.children.items()}
        return self.outcome.to_json() | ({"children": children} if children else {})


async def ask(services: Services, job_id: str) -> Finding:
    """Return the finding on a job, given by id or ARN. Raises NotFound when AWS Batch does not know the job."""
    job_id = resource_names.job_id(job_id)
    job = (await services.backend.describe([job_id])).get(job_id)
    if job is None:
        raise NotFound(
            f"AWS Batch does not know the job {job_id} in this account and Region.",
            advice="It forgets jobs a week after their end; `--region` and `--profile` say where to look.",
        )
    log = await _log_tail(services, job)
    if not job.children:
        return Finding(outcome_of(job, log), log)
    return await _array(services, job)


async def _array(services: Services, parent: JobState) -> Finding:
    failed = await services.backend.failed_children(parent.job_id)
    states = await services.backend.describe(failed[:CHILDREN])
    children: dict[Cause, list[str]] = defaultdict(list)
    for job_id, state in states.items():
        children[outcome_of(state).cause].append(job_id)
    return Finding(outcome_of(parent), children=dict(children), children_left=len(failed[CHILDREN:]))


async def _log_tail(services: Services, job: JobState) -> str:
    if not job.last.log_stream:
        return ""
    try:
        logs = Logs(services.aws, job.log_group)
        if not job.ended:
            return await logs.tail(job.last.log_stream, LOG_LINES)
        return await logs.settled_tail(job.last.log_stream, job.last.stopped_ms, LOG_LINES)
    except AWSBatchError:  # the finding is useful without the log
        return ""
