# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The results of an ended job: each task's files on this machine, and an error where there is no value."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .. import errors
from ..aws.logs import Logs, link
from ..aws.s3 import Store
from ..aws.s3_fast_get import MOST_BYTES, TooLarge
from ..core.concurrency import together
from ..core.files import staged
from ..core.private_files import create_own, open_own
from ..jobs.attempts import above_stderr
from ..jobs.description import SUCCEEDED, JobState
from ..jobs.outcomes import errors as outcome
from ..jobs.outcomes.classify import said
from ..jobs.resubmit import Failure
from ..runner.protocol import envelope as env
from ..runner.protocol import layout
from ..settings import Settings
from .job_handle import JobHandle
from .packing import result_key
from .services import Services

log = logging.getLogger(__name__)

HEADER_BYTES = 64 * 1024  # of one task in an envelope's header, and far more than there is


@dataclass(frozen=True)
class NodeResult:
    """The result of one electron. `error` is None for a value; `files` are its parts, by `envelope.PARTS`.

    `digests` are the SHA-256 of the parts in the authenticated envelope.
    """

    node_id: int
    error: errors.JobFailed | None
    files: dict[str, Path] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict, repr=False)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Open a part for unpickling, after a check of its digest.

        Raises StagingError, and Lost where the file was changed meanwhile.
        """
        path = self.files[name]
        with staged(path, "read"):
            file = open_own(path)
        with file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.digests.get(name):  # type: ignore[arg-type]
                raise errors.Lost(
                    f"The file {path} is not the {name} that node {self.node_id} left.",
                    advice="Look at who may write to cache_dir, then collect the result again.",
                )
            file.seek(0)
            yield file


@dataclass(frozen=True)
class Ended:
    """A task group's end: its committed result, and the state of its job where AWS Batch was asked for it.

    Either may be missing, not both: a value needs no job state, and a job may have left no result. `before` has one
    line for each earlier job of the same group.
    """

    handle: JobHandle
    job: JobState | None
    envelope: env.Envelope | None
    before: tuple[str, ...] = ()

    @property
    def attempts(self) -> int:
        """The number of attempts that the job had, as far as is known; at least 1."""
        return max(1, len(self.job.attempts) if self.job else 0, self.envelope.attempt if self.envelope else 0)


async def collect(
    services: Services, settings: Settings, ended: Ended, node_ids: tuple[int, ...], into: Path
) -> list[NodeResult]:
    """Fetch the results of every node as files in `into`. A second call returns the same. Nothing is unpickled.

    Raises Lost, StagingError or a ServiceError.
    """
    if ended.envelope is None:
        return await _without_result(services, settings, ended, node_ids, into)
    _check_nodes(ended.envelope, ended.handle, node_ids)
    above = await _above_stderr(services, ended, ended.envelope)
    folder = _Folder(
        services, await results_store(services, settings, ended.handle), ended.handle, ended.envelope, into
    )
    tasks = ended.envelope.tasks
    return await together(*(_node_result(folder, settings, ended, task, above) for task in tasks))


def _check_nodes(envelope: env.Envelope, handle: JobHandle, node_ids: Sequence[int]) -> None:
    """Raise Lost for a result of other nodes: a task can read its key, and so seal what it likes."""
    if sorted(task.node_id for task in envelope.tasks) == sorted(node_ids):
        return
    expected, sealed = (", ".join(map(str, ids)) for ids in (node_ids, [task.node_id for task in envelope.tasks]))
    raise errors.Lost(
        f"The result of `{handle.name}` (Batch job {handle.job_id}) is of node {sealed or 'none'}, and node {expected} "
        "was submitted.",
        advice="The task's own code wrote it: look at what the function does, and at the packages that it imports.",
    )


async def _above_stderr(services: Services, ended: Ended, envelope: env.Envelope) -> str:
    """Return the lines about earlier attempts; AWS Batch is asked for them if the job's state is unknown."""
    job = ended.job
    if job is None and envelope.attempt > 1:
        try:
            job = (await services.backend.describe([ended.handle.job_id])).get(ended.handle.job_id)
        except errors.AWSBatchError as error:
            log.warning("AWS Batch could not be asked for the earlier attempts of %s: %s", ended.handle.job_id, error)
    return above_stderr(job, envelope.attempt, returned=envelope.returned, before=ended.before)


def failures(settings: Settings, ended: Ended) -> list[Failure]:
    """Return the failures of a group's tasks, without fetching anything; none if all returned."""
    if ended.envelope is None:
        return [Failure(outcome.failure(_job(ended), _job_request(settings, ended)))]
    tasks = [(task, _task_failure(settings, ended, task)) for task in ended.envelope.tasks]
    return [Failure(error, task.exception_type) for task, error in tasks if error]


def _task_failure(settings: Settings, ended: Ended, task: env.TaskResult) -> errors.JobFailed | None:
    return outcome.task_failure(task, _job(ended), _job_request(settings, ended, task.node_id))


def _job(ended: Ended) -> JobState:
    return ended.job or JobState(ended.handle.job_id, SUCCEEDED, "", (), False)


def _job_request(settings: Settings, ended: Ended, node_id: int | None = None) -> outcome.JobRequest:
    """Return the resources that a node of the group (by default the first) requested."""
    title = f"`{ended.handle.name_of(node_id)}` (Batch job {ended.handle.job_id})"
    memory_mib = ended.job and ended.job.memory_mib  # a job that was submitted again may have had more
    return outcome.JobRequest(title, memory_mib / 1024 if memory_mib else settings.memory, settings.time_limit)


async def results_store(services: Services, settings: Settings, handle: JobHandle) -> Store:
    """Return the bucket to which the job writes; the settings may name another one by now."""
    return services.store(handle.bucket, (await services.identity()).account)


async def newest_envelope(
    services: Services, store: Store, handle: JobHandle, attempts: int, key: bytes = b""
) -> env.Envelope | None:
    """Return the committed result of the newest attempt that has one, or None. Raises Lost if it is not authentic.

    `key` authenticates the result; by default it is derived from the task's content.
    """
    key = key or result_key(await services.result_secret(), handle.content)
    for attempt in range(max(attempts, 1), 0, -1):
        object_key = layout.result_key(handle.prefix, handle.result_id, attempt)
        try:
            data = await store.get(object_key, _most_bytes(handle))
            if data is None:
                continue
            return env.unseal(data, key, job_id=handle.result_id, attempt=attempt)
        except (env.BadEnvelope, TooLarge) as error:
            raise not_authentic(store, object_key, error) from error
    return None


def not_authentic(store: Store, key: str, error: Exception) -> errors.Lost:
    """Return the error for an object that is not the result that a task wrote."""
    return errors.Lost(
        f"The result at s3://{store.bucket}/{key} is not the one that the task wrote: {error}.",
        advice="Look at who may write to the bucket, then run the task again.",
    )


def _most_bytes(handle: JobHandle) -> int:
    """Return the size that no envelope of these tasks exceeds: a bigger object is not read to be authenticated."""
    tasks = 1 + len(handle.names)
    return max(MOST_BYTES, tasks * (len(env.PARTS) * layout.INLINE_PART_BYTES + HEADER_BYTES))


@dataclass(frozen=True)
class _Folder:
    """The folder for the parts of a result on this machine."""

    services: Services
    store: Store
    handle: JobHandle
    envelope: env.Envelope
    path: Path

    async def fetch(self, task: env.TaskResult) -> dict[str, Path]:
        names = list(task.parts)
        paths = await together(*(self._part(task.node_id, name, task.parts[name]) for name in names))
        return dict(zip(names, paths, strict=True))

    async def _part(self, node_id: int, name: str, part: env.Part) -> Path:
        path = self.path / f"{name}-{node_id}"
        if part.offset is not None:
            return _write(path, self.envelope.inline(part))
        key = layout.part_key(self.handle.prefix, self.handle.result_id, self.envelope.attempt, part.sha256)
        if await self._is_there(path, part):  # fetched when this was called before
            return path
        if not await self.store.get_file(key, path, part.size) or not await self._is_there(path, part):
            raise errors.Lost(
                f"The {name} of node {node_id} at s3://{self.store.bucket}/{key} is gone or changed.",
                advice="Look at what deletes or writes objects in the bucket, then run the task again.",
            )
        return path

    async def _is_there(self, path: Path, part: env.Part) -> bool:
        return await self.services.in_thread(_is, path, part)


def _is(path: Path, part: env.Part) -> bool:
    """Return whether the file is the part, by size and digest."""
    try:
        with open_own(path) as file:
            if os.fstat(file.fileno()).st_size != part.size:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == part.sha256  # type: ignore[arg-type]
    except OSError:
        return False


async def _node_result(
    folder: _Folder, settings: Settings, ended: Ended, task: env.TaskResult, above: str
) -> NodeResult:
    files = await folder.fetch(task)
    error = _task_failure(settings, ended, task)
    if error:
        await _complete(folder.services, settings, ended, error)
        _write_error(error, files, folder.path, task.node_id)
    if above:
        await folder.services.in_thread(_put_above, above, files, folder.path, task.node_id)
    return NodeResult(task.node_id, error, files, {name: part.sha256 for name, part in task.parts.items()})


async def _complete(services: Services, settings: Settings, ended: Ended, error: errors.JobFailed) -> None:
    """Add to an error: AWS Batch's words on each attempt if there were several, the job's resources, where its log is.

    That is a page of AWS's console, or the names of the log, as with an offline AWS. Raises a ServiceError.
    """
    job = _job(ended)
    if len(job.attempts) > 1 and not error.says:
        error.says = said(job)
    error.facts = outcome.facts(error, _job_request(settings, ended).memory)
    if settings.keep_failed and ended.envelope:
        error.facts += f"\nRun it again here, in a debugger: covalent-awsbatch replay {ended.handle.result_id} --pdb"
    if stream := job.last.log_stream:
        group = settings.batch_job_log_group_name
        if await services.aws.has_console():
            error.log_link = link(await services.aws.region(), group, stream)
        else:
            error.facts += "\n" + link("", group, stream)


def _put_above(words: str, files: dict[str, Path], into: Path, node_id: int) -> None:
    """Write a copy of stderr with lines above it; the part's own file stays unchanged, as its digest is checked."""
    path = into / f"{env.STDERR}-{node_id}.whole"
    with staged(path, "written"), create_own(path) as whole:
        whole.write(words.encode())
        if env.STDERR in files:
            with files[env.STDERR].open("rb") as part:
                shutil.copyfileobj(part, whole)
    files[env.STDERR] = path


def _write_error(error: errors.JobFailed, files: dict[str, Path], into: Path, node_id: int) -> None:
    """Write the file that Covalent shows as the error: the error text, the remote traceback, the link to the log."""
    remote = files[env.ERROR].read_text(errors="replace") if env.ERROR in files else ""
    text = "\n\n".join(filter(None, (error.without_link(), remote.rstrip("\n"), error.log_link)))
    files[env.ERROR] = _write(into / f"{env.ERROR}-{node_id}", text.encode())


async def _without_result(
    services: Services, settings: Settings, ended: Ended, node_ids: tuple[int, ...], into: Path
) -> list[NodeResult]:
    """Return the errors of a job without a result in the bucket; each node's stdout is the job's CloudWatch log."""
    job = _job(ended)
    output = await _log_tail(services, settings, job)
    above = above_stderr(job, None, returned=False, before=ended.before)
    results = []
    for node_id in node_ids:
        error = outcome.failure(job, _job_request(settings, ended, node_id), output)
        await _complete(services, settings, ended, error)
        files = {env.STDOUT: _write(into / f"{env.STDOUT}-{node_id}", output.encode())} if output else {}
        _write_error(error, files, into, node_id)
        if above:
            _put_above(above, files, into, node_id)
        results.append(NodeResult(node_id, error, files))
    return results


async def _log_tail(services: Services, settings: Settings, job: JobState) -> str:
    """Return the last lines of a job's log. CloudWatch may get them after the job's end."""
    if not job.last.log_stream:
        return ""
    try:
        logs = Logs(services.aws, settings.batch_job_log_group_name)
        return await logs.settled_tail(job.last.log_stream, job.last.stopped_ms)
    except errors.AWSBatchError as error:  # the job's own error matters more than that its log can't be read
        return f"[the log can't be read: {error}]\n"


def _write(path: Path, data: bytes) -> Path:
    """Write a new file for this user alone; return its path. Raises StagingError."""
    with staged(path, "written"), create_own(path) as file:
        file.write(data)
    return path
