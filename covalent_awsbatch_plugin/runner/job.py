# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One attempt of one job in the container: its ids, its tasks, and the paths of its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .protocol import layout
from .protocol.envelope import OUTPUT
from .protocol.task import IN_S3, ObjectRef, TaskFile, TaskSpec


class NoJob(Exception):
    """The container lacks the description of its tasks, or a place to write; the message is one sentence."""


@dataclass(frozen=True)
class TaskFolder:
    """The folder of one task's files: the parts of its result by name, and the report of its process."""

    path: Path

    def part(self, name: str) -> Path:
        """Return the file of a part of the result (`envelope.PARTS`)."""
        return self.path / name

    @property
    def report(self) -> Path:
        """The file in which the task's process reports its outcome."""
        return self.path / "report.json"

    @property
    def kill_time(self) -> Path:
        """The file with the time of the SIGKILL (monotonic seconds); it exists once the task was told to stop."""
        return self.path / "kill-time"

    @property
    def scratch(self) -> Path:
        """The folder for temporary files of hooks."""
        return self.path / "scratch"


@dataclass(frozen=True)
class Job:
    """A job's ids, tasks and folders. `root` is the folder to which the image's paths are relative.

    `tasks_folder` is the folder into which the container unpacked its tasks, `work` a new one for this attempt.
    `job_id` is AWS Batch's id, or `layout.member_id` where several tasks share a container.
    `bucket` is None when the image is run by hand: then nothing can be committed.
    """

    root: Path
    tasks_folder: Path
    work: Path
    file: TaskFile
    dispatch_id: str
    bucket: str | None
    prefix: str
    job_id: str
    attempt: int

    @classmethod
    def open(cls, root: Path, tasks_folder: Path, work: Path, env: Mapping[str, str], member: int | None = None) -> Job:
        """Return the job of the container's only task group, or of `member` in a shared container. Raises NoJob."""
        bucket, prefix = env.get(layout.ENV_BUCKET), env.get(layout.ENV_RESULTS_PREFIX)
        job_id = env.get(layout.ENV_JOB_ID)
        if job_id and not (bucket and prefix):
            raise NoJob(f"{layout.ENV_BUCKET} and {layout.ENV_RESULTS_PREFIX} must be set in the job's environment")
        index = int(env.get(layout.ENV_ARRAY_INDEX) or 0) if member is None else member
        job = cls(
            root=root,
            tasks_folder=tasks_folder,
            work=work,
            file=_task_file(tasks_folder / layout.task_file(index)),
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
    def earlier_exit_code(self) -> Path:
        """The file with the exit code of an earlier attempt whose result is valid; else it does not exist."""
        return self.work / "earlier"

    @property
    def commits(self) -> bool:
        """True where AWS Batch runs the job, so that its result is written to the bucket."""
        return bool(self.job_id)

    def folder(self, node_id: int) -> TaskFolder:
        """Return the folder of a task's files."""
        return TaskFolder(self.work / str(node_id))

    def object(self, ref: ObjectRef) -> Path:
        """Return the file of an object; one in the bucket exists after `fetch`."""
        return self.work / ref.sha256 if ref.place == IN_S3 else self.tasks_folder / layout.object_file(ref.sha256)

    def error_file(self, ref: ObjectRef) -> Path:
        """Return the file with the reason why the object could not be fetched."""
        return self.work / f"{ref.sha256}.error"

    def bytes_in(self, task: TaskSpec) -> int:
        """Return the size of a task's function, hooks and arguments, in bytes; absent files count 0."""
        refs = [self.file.inputs[node] for node in (*task.args, *task.kwargs.values()) if node in self.file.inputs]
        outputs = [self.folder(node).part(OUTPUT) for node in self.waits_for(task)]
        sizes = [path.stat().st_size for path in outputs if path.exists()]
        return sum(ref.size for ref in (task.function, task.hooks, *refs)) + sum(sizes)

    def to_fetch(self) -> list[ObjectRef]:
        """Return the objects that are in the bucket, each once, sorted by sha256."""
        refs = [ref for task in self.file.tasks for ref in (task.function, task.hooks)]
        refs += self.file.inputs.values()
        return sorted({ref for ref in refs if ref.place == IN_S3}, key=lambda ref: ref.sha256)

    def waits_for(self, task: TaskSpec) -> list[int]:
        """Return the nodes whose values this task needs from other tasks of its group."""
        return [node for node in (*task.args, *task.kwargs.values()) if node not in self.file.inputs]


def _task_file(path: Path) -> TaskFile:
    try:
        return TaskFile.from_json(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoJob(f"the description of the task can't be read: {path}: {error}") from error


def fresh_folder() -> Path:
    """Return a new empty folder. Raises NoJob where nothing can be written."""
    import tempfile

    try:
        return Path(tempfile.mkdtemp(prefix="covalent-"))
    except OSError as error:
        raise NoJob(f"no folder for temporary files can be written (set TMPDIR): {error}") from error


def writable(folder: str | None) -> bool:
    """Return whether `folder` exists and this process may create files in it."""
    return bool(folder) and os.path.isdir(str(folder)) and os.access(str(folder), os.W_OK | os.X_OK)
