# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The search for a task that is to run again here: its job, its image, and proof that this machine sent it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import NotFound, SettingError
from ..runner.protocol import layout
from .events import Event, Kind, newest_record, read_events
from .services import Services


@dataclass(frozen=True)
class TaskPlace:
    """The place of a task: its job, the number of its task group in the job, its node, its call in the group."""

    job_id: str
    member: int | None = None
    node: int | None = None
    call: int = 0


@dataclass(frozen=True)
class RecordedTask:
    """A task's place, its image (with digest), and the variables of its job."""

    place: TaskPlace
    image: str
    environment: Mapping[str, str]
    name: str

    @property
    def in_shared_container(self) -> bool:
        """True where several task groups share a container, so that the runner needs the group's number."""
        return bool(self.environment.get(layout.ENV_TASKS_PER_JOB))


def place_of_node(dispatch_or_pool: str, node: int) -> TaskPlace:
    """Return the last place of a dispatch's node or of a pool's call, by this machine's record. Raises NotFound."""
    dispatch_id = newest_record(dispatch_or_pool) or dispatch_or_pool
    submissions = [
        event for event in read_events(dispatch_id) if event.kind == Kind.SUBMITTED and node in event.node_ids
    ]
    if not submissions:
        raise NotFound(
            f"This machine has no record of a job with node {node} of `{dispatch_or_pool}`.",
            advice="Give the id of its job, or run this where it was submitted.",
        )
    figures, nodes = submissions[-1].figures, submissions[-1].node_ids
    members = figures.get("members") or (0,) * len(nodes)
    member = members[nodes.index(node)]
    group = [each for each, its in zip(nodes, members, strict=True) if its == member]
    return TaskPlace(figures["job_id"], member, node, group.index(node))


def place_of_job(job: str) -> TaskPlace:
    """Return the place that a job id names: `ID`, or `ID:NUMBER` for a task group of an array. Raises SettingError."""
    job_id, _, member = job.rpartition("/")[2].partition(":")
    if member and not member.isdecimal():
        raise SettingError(f"`{job}` is no job id: after the colon stands the number of an array's task.")
    return TaskPlace(job_id, int(member) if member else None)


async def recorded_task(services: Services, place: TaskPlace, *, trust: bool = False) -> RecordedTask:
    """Return a task whose image and inputs are those that this machine recorded when it submitted the job.

    With `trust` any job of this plugin is returned. Raises NotFound for a job that AWS Batch or the record does not
    know, and SettingError for an array without a number.
    """
    details = await services.batch.details([place.job_id])
    if not details:
        raise NotFound(
            f"AWS Batch does not know the job {place.job_id}.", advice="It forgets jobs a week after their end."
        )
    container, size = details[0].get("container") or {}, (details[0].get("arrayProperties") or {}).get("size", 1)
    environment = {each["name"]: each.get("value", "") for each in container.get("environment") or ()}
    if layout.ENV_RESULTS_PREFIX not in environment:
        raise NotFound(f"The job {place.job_id} was not submitted by this plugin, so it has no task to run again.")
    each = int(environment.get(layout.ENV_TASKS_PER_JOB) or 1)
    if place.member is None and size * each > 1:
        raise SettingError(
            f"The job {place.job_id} has several tasks.", advice=f"Name one of them: {place.job_id}:0 is the first."
        )
    member = place.member or 0
    if size > 1:
        environment[layout.ENV_ARRAY_INDEX] = str(member // each)
    image = str(container.get("image", ""))
    submission = None if trust else _submission(environment.get(layout.ENV_DISPATCH_ID, ""), place.job_id)
    if not trust:
        _check_record(submission, image, environment, place.job_id)
    return RecordedTask(replace(place, member=member), image, environment, str(details[0].get("jobName", "")))


def _submission(dispatch_id: str, job_id: str) -> Event | None:
    events = (each for each in read_events(dispatch_id) if each.kind == Kind.SUBMITTED)
    return next((each for each in events if each.figures.get("job_id") == job_id), None)


def _check_record(submission: Event | None, image: str, environment: Mapping[str, Any], job_id: str) -> None:
    """Raise NotFound unless image and payload are the recorded ones: their pickles run code of whoever wrote them."""
    advice = "Whoever wrote a task's pickles can run code here. Add --trust where you know who submitted the job."
    if submission is None:
        raise NotFound(f"This machine has no record of the job {job_id}: another one submitted it.", advice=advice)
    recorded = submission.figures
    if not image.endswith(f"@{recorded['image']}") or environment.get(layout.ENV_PAYLOAD, "") != recorded.get(
        "payload", ""
    ):
        raise NotFound(f"The job {job_id} has another image or other inputs than this machine sent.", advice=advice)
