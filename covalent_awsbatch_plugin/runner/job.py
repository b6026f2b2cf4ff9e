# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One attempt of one job, as the container sees it: who it is, what it shall run, and where everything lies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .protocol import layout
from .protocol.envelope import OUTPUT
from .protocol.task import IN_S3, ObjectRef, TaskFile, TaskSpec


class NoJob(Exception):
    """This container can't know what to run, or where to write; the message is one sentence."""


@dataclass(frozen=True)
class TaskFolder:
    """What one task leaves on disk, each under the name of its part, and `report`, how it says it ended."""

    path: Path

    def part(self, name: str) -> Path:
        return self.path / name

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    @property
    def last_moment(self) -> Path:
        """There from when the task is told to stop: when it will be killed."""
        return self.path / "last-moment"

    @property
    def scratch(self) -> Path:
        """For the files of hooks."""
        return self.path / "scratch"


@dataclass(frozen=True)
class Job:
    """`root` is the folder the image's paths are relative to, `work` a fresh one for this attempt.

    `tasks_at` is the folder into which the container unpacked its tasks.
    `job_id` tells it from all others: AWS Batch's id, or `layout.member_id` where several share a container.
    `bucket` is None when somebody runs the image by hand: then nothing can be committed.
    """

    root: Path
    tasks_at: Path
    work: Path
    file: TaskFile
    dispatch_id: str
    bucket: str | None
    prefix: str
    job_id: str
    attempt: int

    @classmethod
    def open(cls, root: Path, tasks_at: Path, work: Path, env: Mapping[str, str], member: int | None = None) -> Job:
        """The container's one task group, or `member` of those that share it. Raises NoJob."""
        bucket, prefix = env.get(layout.ENV_BUCKET), env.get(layout.ENV_RESULTS_PREFIX)
        job_id = env.get(layout.ENV_JOB_ID)
        if job_id and not (bucket and prefix):
            raise NoJob(f"{layout.ENV_BUCKET} and {layout.ENV_RESULTS_PREFIX} must be set in the job's environment")
        index = int(env.get(layout.ENV_ARRAY_INDEX) or 0) if member is None else member
        job = cls(
            root=root,
            tasks_at=tasks_at,
            work=work,
            file=_task_file(tasks_at / layout.task_file(index)),
            dispatch_id=env.get(layout.ENV_DISPATCH_ID, ""),
            bucket=bucket or None,
            prefix=prefix or "",
            job_id=layout.member_id(job_id, member) if job_id and member is not None else job_id or "",
            attempt=int(env.get(layout.ENV_JOB_ATTEMPT) or 1),
        )
        for task in job.file.tasks:
            job.folder(task.node_id).path.mkdir()
        return job

    @property
    def earlier(self) -> Path:
        """Where it says how the container ends for this job when an earlier attempt's result stands."""
        return self.work / "earlier"

    @property
    def commits(self) -> bool:
        return bool(self.job_id)

    def folder(self, node_id: int) -> TaskFolder:
        return TaskFolder(self.work / str(node_id))

    def object(self, ref: ObjectRef) -> Path:
        """Where the object lies, or will lie when it has been fetched."""
        return self.work / ref.sha256 if ref.place == IN_S3 else self.tasks_at / layout.object_file(ref.sha256)

    def complaint(self, ref: ObjectRef) -> Path:
        """Where it says why the object could not be fetched."""
        return self.work / f"{ref.sha256}.complaint"

    def bytes_in(self, task: TaskSpec) -> int:
        """The size of the function, the hooks and the arguments of a task, in bytes; files that are absent count 0."""
        refs = [self.file.inputs[node] for node in (*task.args, *task.kwargs.values()) if node in self.file.inputs]
        outputs = [self.folder(node).part(OUTPUT) for node in self.waits_for(task)]
        sizes = [path.stat().st_size for path in outputs if path.exists()]
        return sum(ref.size for ref in (task.function, task.hooks, *refs)) + sum(sizes)

    def to_fetch(self) -> list[ObjectRef]:
        """The objects that lie in the bucket, each once."""
        refs = [ref for task in self.file.tasks for ref in (task.function, task.hooks)]
        refs += self.file.inputs.values()
        return sorted({ref for ref in refs if ref.place == IN_S3}, key=lambda ref: ref.sha256)

    def waits_for(self, task: TaskSpec) -> list[int]:
        """The nodes whose values this task needs from other tasks of its group."""
        return [node for node in (*task.args, *task.kwargs.values()) if node not in self.file.inputs]


def _task_file(path: Path) -> TaskFile:
    try:
        return TaskFile.from_json(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoJob(f"the description of the task can't be read: {path}: {error}") from error


def fresh_folder() -> Path:
    """Raises NoJob where nothing can be written."""
    import tempfile

    try:
        return Path(tempfile.mkdtemp(prefix="covalent-"))
    except OSError as error:
        raise NoJob(f"no folder for temporary files can be written (set TMPDIR): {error}") from error


def writable(folder: str | None) -> bool:
    return bool(folder) and os.path.isdir(str(folder)) and os.access(str(folder), os.W_OK | os.X_OK)
