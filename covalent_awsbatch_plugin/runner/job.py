# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""One attempt of one job in the container: its ids, its tasks, and the paths of its files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .kept_file import KeptFile
from .on_stop import ENV_ATTEMPT, ENV_STATE_PREFIX
from .protocol import layout
from .protocol.envelope import ERROR, EXCEPTION, OUTPUT, STDERR, STDOUT
from .protocol.log_header import LogHeader
from .protocol.task import IN_S3, ObjectRef, TaskFile, TaskSpec
from .script import Place
from .unpack import NoJob, Unpacked

_STREAM_MEMORY_BYTES = layout.INLINE_PART_BYTES  # of a stream that the disk has no room for
_STREAMS = (STDOUT, STDERR)


class TaskFiles:
    """The files of one task: the parts of its result by name, and the report of its process.

    They are opened before the task's process begins. `folder` is for files that need a name; it may be removed by the
    task, or be impossible to make.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        disk = folder.parent
        self.parts = {name: KeptFile() for name in (ERROR, EXCEPTION)}
        self.parts |= {name: KeptFile(disk, _STREAM_MEMORY_BYTES) for name in _STREAMS}
        self.parts[OUTPUT] = KeptFile(disk)
        self.report = KeptFile()
        self.draft = KeptFile(disk)  # for the pickle of the value, before its archive is written

    @property
    def kill_time(self) -> Path:
        """The file with the time of the SIGKILL (monotonic seconds); it exists once the task was told to stop."""
        return self.folder / "kill-time"

    @property
    def scratch(self) -> Path:
        """The folder for temporary files of hooks."""
        return self.folder / "scratch"

    def ended(self, *, ran: bool) -> None:
        """Close what only the task's process needs, and each part without content; a task that `ran` has streams."""
        self.report.close()
        self.draft.close()
        for name in [name for name, part in self.parts.items() if not (part.size or (ran and name in _STREAMS))]:
            self.parts.pop(name).close()
        for part in self.parts.values():
            part.settle(layout.INLINE_PART_BYTES)


@dataclass(frozen=True)
class Job:
    """A job's ids, tasks and files. `root` is the folder to which the image's paths are relative.

    `unpacked` has the container's tasks. `work` is a new folder for this attempt.
    `job_id` is AWS Batch's id, or `layout.member_id` where several tasks share a container.
    `bucket` is None when the image is run by hand: then nothing can be committed.
    `attempt` is AWS Batch's number, and `earlier_attempts` counts those of earlier jobs for the same task.
    `at_once` is the number of task groups that run at the same time in the container.
    `fetched` are the objects in the bucket, by sha256, and `fetch_errors` why some could not be fetched.
    """

    root: Path
    unpacked: Unpacked
    work: Path
    file: TaskFile
    dispatch_id: str
    bucket: str | None
    prefix: str
    job_id: str
    attempt: int
    earlier_attempts: int = 0
    at_once: int = 1
    files: dict[int, TaskFiles] = field(default_factory=dict)
    fetched: dict[str, KeptFile] = field(default_factory=dict)
    fetch_errors: KeptFile = field(default_factory=KeptFile)

    @classmethod
    def open(cls, root: Path, unpacked: Unpacked, env: Mapping[str, str], member: int | None = None) -> Job:
        """Return the job of the container's only task group, or of `member` in a shared container. Raises NoJob."""
        bucket, prefix = env.get(layout.ENV_BUCKET), env.get(layout.ENV_RESULTS_PREFIX)
        job_id = env.get(layout.ENV_JOB_ID)
        if job_id and not (bucket and prefix):
            raise NoJob(f"{layout.ENV_BUCKET} and {layout.ENV_RESULTS_PREFIX} must be set in the job's environment")
        index = int(env.get(layout.ENV_ARRAY_INDEX) or 0) if member is None else member
        return cls(
            root=root,
            unpacked=unpacked,
            work=_work_folder(),
            file=_task_file(unpacked, index),
            dispatch_id=env.get(layout.ENV_DISPATCH_ID, ""),
            bucket=bucket or None,
            prefix=prefix or "",
            job_id=layout.member_id(job_id, member) if job_id and member is not None else job_id or "",
            attempt=int(env.get(layout.ENV_JOB_ATTEMPT) or 1),
            earlier_attempts=int(env.get(layout.ENV_EARLIER_ATTEMPTS) or 0),
            at_once=1 if member is None else int(env.get(layout.ENV_PARALLEL_TASKS) or 1),
        )

    @property
    def commits(self) -> bool:
        """True where AWS Batch runs the job, so that its result is written to the bucket."""
        return bool(self.job_id)

    def log_header(self, task: TaskSpec) -> LogHeader:
        """Return the line that a task's part of the container's log begins with."""
        dispatch_id, attempt = self.file.dispatch_id or self.dispatch_id, self.earlier_attempts + self.attempt
        return LogHeader(task.name, dispatch_id, task.node_id, self.job_id, attempt, self.at_once)

    def task_variables(self, task: TaskSpec) -> dict[str, str]:
        """Return the variables by which a task's process knows its attempt and the place for its state (`on_stop`)."""
        key = layout.state_key(self.file.dispatch_id or self.dispatch_id, task.node_id)
        variables = {ENV_ATTEMPT: str(self.earlier_attempts + self.attempt)}
        return variables | ({ENV_STATE_PREFIX: f"s3://{self.bucket}/{key}"} if self.bucket else {})

    def open_files(self, node_id: int) -> TaskFiles:
        """Open the files of a task."""
        self.files[node_id] = TaskFiles(self.work / str(node_id))
        return self.files[node_id]

    def object(self, ref: ObjectRef) -> IO[bytes]:
        """Return a stream of an object; one in the bucket is there after `fetch`. Raises KeyError where it is not."""
        return self.fetched[ref.sha256].reader() if ref.place == IN_S3 else self.unpacked.object(ref.sha256)

    def place(self, ref: ObjectRef) -> Place | None:
        """Return the place of an object, for a process that has none of this one's files open."""
        if ref.place != IN_S3:
            return self.unpacked.place(ref.sha256)
        path = self.fetched[ref.sha256].path()
        return Place(str(path), 0, ref.size) if path else None

    def fetch_error(self, ref: ObjectRef) -> str:
        """Return the reason why the object could not be fetched, "" for one that was."""
        errors = json.loads(self.fetch_errors.read() or b"{}")
        return str(errors.get(ref.sha256, ""))

    def bytes_in(self, task: TaskSpec) -> int:
        """Return the size of a task's function, hooks and arguments, in bytes; absent files count 0."""
        refs = [self.file.inputs[node] for node in (*task.args, *task.kwargs.values()) if node in self.file.inputs]
        files = [self.files[node].parts.get(OUTPUT) for node in self.waits_for(task) if node in self.files]
        own = sum(ref.size for ref in (task.function, task.hooks, *refs) if ref)
        return own + sum(file.size for file in files if file)

    def to_fetch(self) -> list[ObjectRef]:
        """Return the objects that are in the bucket, each once, sorted by sha256."""
        refs = [ref for task in self.file.tasks for ref in (task.function, task.hooks)]
        refs += self.file.inputs.values()
        return sorted({ref for ref in refs if ref and ref.place == IN_S3}, key=lambda ref: ref.sha256)

    def waits_for(self, task: TaskSpec) -> list[int]:
        """Return the nodes whose values this task needs from other tasks of its group."""
        return [node for node in (*task.args, *task.kwargs.values()) if node not in self.file.inputs]


def _task_file(unpacked: Unpacked, number: int) -> TaskFile:
    try:
        return TaskFile.from_json(unpacked.task(number))
    except KeyError as error:
        raise NoJob(f"the description of the task can't be read: there is none of number {number}") from error
    except (ValueError, TypeError) as error:
        raise NoJob(f"the description of the task can't be read: {error}") from error


def _work_folder() -> Path:
    """Return a new empty folder; one that can't be made where a full disk has no room for it. Raises NoJob."""
    folder = temporary_folder()
    try:
        work = Path(tempfile.mkdtemp(prefix="covalent-", dir=folder))
        work.chmod(0o711)  # a task that gives up its user reads when it will be killed (`on_stop`)
        return work
    except OSError:
        return folder / "covalent-has-no-folder"  # the files of the tasks are in memory then


def temporary_folder() -> Path:
    """Return the folder for temporary files. Raises NoJob where none can be written."""
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise NoJob(f"no folder for temporary files can be written (set TMPDIR): {error}") from error


def writable(folder: str | None) -> bool:
    """Return whether `folder` exists and this process may create files in it."""
    return bool(folder) and os.path.isdir(str(folder)) and os.access(str(folder), os.W_OK | os.X_OK)
