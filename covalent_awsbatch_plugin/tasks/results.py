# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""From an ended job to what each of its tasks left: files on this machine, and an error where there is no value."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .. import errors
from ..aws.logs import Logs, link
from ..aws.s3 import Store
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
from .result_key import result_key
from .services import Services

log = logging.getLogger(__name__)

LATE_LOG_LOOKS_S = (0.5, 1.0, 2.0, 4.0)  # pauses; Docker's awslogs driver sends what it has every 5 s at the latest


@dataclass(frozen=True)
class NodeResult:
    """How one electron ended. `error` is None for a value; `files` are what it left, by `envelope.PARTS`.

    `digests` are the SHA-256 that the authenticated envelope names for them.
    """

    node_id: int
    error: errors.JobFailed | None
    files: dict[str, Path] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict, repr=False)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """Open a part to unpickle it: the open file is the one whose bytes the envelope names. Raises StagingError, and
        Lost where the file was changed meanwhile.
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
    """A task group's end: its committed result, and its job where that was asked for.

    Either may be missing, not both: a value needs no words of AWS Batch's, and a job may have left no result.
    `before` tells of earlier jobs of the same group.
    """

    handle: JobHandle
    job: JobState | None
    envelope: env.Envelope | None
    before: tuple[str, ...] = ()


async def collect(
    services: Services, settings: Settings, ended: Ended, node_ids: tuple[int, ...], into: Path
) -> list[NodeResult]:
    """Fetch what every node left as files in `into`. A second call gives the same again. Nothing is unpickled."""
    if ended.envelope is None:
        return await _without_result(services, settings, ended, node_ids, into)
    above = await _above_stderr(services, ended, ended.envelope)
    folder = _Folder(
        services, await results_store(services, settings, ended.handle), ended.handle, ended.envelope, into
    )
    tasks = ended.envelope.tasks
    return list(await asyncio.gather(*(_node_result(folder, settings, ended, task, above) for task in tasks)))


async def _above_stderr(services: Services, ended: Ended, envelope: env.Envelope) -> str:
    """AWS Batch is asked for earlier attempts where there were any and it was not asked yet."""
    job = ended.job
    if job is None and envelope.attempt > 1:
        try:
            job = (await services.backend.describe([ended.handle.job_id])).get(ended.handle.job_id)
        except errors.AWSBatchError as error:
            log.warning("AWS Batch could not be asked for the earlier attempts of %s: %s", ended.handle.job_id, error)
    return above_stderr(job, envelope.attempt, returned=envelope.returned, before=ended.before)


def failures(settings: Settings, ended: Ended) -> list[Failure]:
    """What went wrong, without fetching anything; nothing for a group whose tasks all returned."""
    if ended.envelope is None:
        return [Failure(outcome.failure(_job(ended), _asked(settings, ended)))]
    tasks = [(task, _task_failure(settings, ended, task)) for task in ended.envelope.tasks]
    return [Failure(error, task.exception_type) for task, error in tasks if error]


def _task_failure(settings: Settings, ended: Ended, task: env.TaskResult) -> errors.JobFailed | None:
    return outcome.task_failure(task, _job(ended), _asked(settings, ended, task.node_id))


def _job(ended: Ended) -> JobState:
    return ended.job or JobState(ended.handle.job_id, SUCCEEDED, "", (), False)


def _asked(settings: Settings, ended: Ended, node_id: int | None = None) -> outcome.JobRequest:
    """What a node of the group was given, or the first of them."""
    who = f"`{ended.handle.name_of(node_id)}` (Batch job {ended.handle.job_id})"
    memory_mib = ended.job and ended.job.memory_mib  # a job that was submitted again may have had more
    return outcome.JobRequest(who, memory_mib / 1024 if memory_mib else settings.memory, settings.time_limit)


async def results_store(services: Services, settings: Settings, handle: JobHandle) -> Store:
    """The bucket that the job writes to, which the settings may no longer name; nor need they be right any more."""
    return services.store(handle.bucket, (await services.identity()).account)


async def newest_envelope(store: Store, handle: JobHandle, attempts: int) -> env.Envelope | None:
    """The committed result of the newest attempt that has one; raises Lost when it can't be trusted."""
    key = result_key(handle.content)
    for attempt in range(max(attempts, 1), 0, -1):
        where = layout.result_key(handle.prefix, handle.result_id, attempt)
        data = await store.get(where)
        if data is None:
            continue
        try:
            return env.unseal(data, key, job_id=handle.result_id, attempt=attempt)
        except env.BadEnvelope as error:
            raise errors.Lost(
                f"The result at s3://{store.bucket}/{where} is not the one that the task wrote: {error}.",
                advice="Look at who may write to the bucket, then run the task again.",
            ) from error
    return None


@dataclass(frozen=True)
class _Folder:
    """Where the parts of a result go on this machine."""

    services: Services
    store: Store
    handle: JobHandle
    envelope: env.Envelope
    path: Path

    async def fetch(self, task: env.TaskResult) -> dict[str, Path]:
        names = list(task.parts)
        paths = await asyncio.gather(*(self._part(task.node_id, name, task.parts[name]) for name in names))
        return dict(zip(names, paths, strict=True))

    async def _part(self, node_id: int, name: str, part: env.Part) -> Path:
        path = self.path / f"{name}-{node_id}"
        if part.offset is not None:
            return _written(path, self.envelope.inline(part))
        key = layout.part_key(self.handle.prefix, self.handle.result_id, self.envelope.attempt, part.sha256)
        if await self._is_there(path, part):  # fetched when this was called before
            return path
        if not await self.store.get_file(key, path) or not await self._is_there(path, part):
            raise errors.Lost(
                f"The {name} of node {node_id} at s3://{self.store.bucket}/{key} is gone or changed.",
                advice="Look at what deletes or writes objects in the bucket, then run the task again.",
            )
        return path

    async def _is_there(self, path: Path, part: env.Part) -> bool:
        return await self.services.in_thread(_is, path, part)


def _is(path: Path, part: env.Part) -> bool:
    """Whether the file holds the part."""
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
        _tell(error, files, folder.path, task.node_id)
    if above:
        await folder.services.in_thread(_put_above, above, files, folder.path, task.node_id)
    return NodeResult(task.node_id, error, files, {name: part.sha256 for name, part in task.parts.items()})


async def _complete(services: Services, settings: Settings, ended: Ended, error: errors.JobFailed) -> None:
    """What AWS Batch says of each attempt, where there were several; what the job was given, and where its log is."""
    job = _job(ended)
    if len(job.attempts) > 1 and not error.says:
        error.says = said(job)
    error.facts = outcome.facts(error, _asked(settings, ended).memory)
    if stream := job.last.log_stream:
        error.facts += "\n" + link(await services.aws.region(), settings.batch_job_log_group_name, stream)


def _put_above(words: str, files: dict[str, Path], into: Path, node_id: int) -> None:
    """At the top of stderr, in a file of its own: the part stays as it is, to be known again."""
    path = into / f"{env.STDERR}-{node_id}.whole"
    with staged(path, "written"), create_own(path) as whole:
        whole.write(words.encode())
        if env.STDERR in files:
            with files[env.STDERR].open("rb") as part:
                shutil.copyfileobj(part, whole)
    files[env.STDERR] = path


def _tell(error: errors.JobFailed, files: dict[str, Path], into: Path, node_id: int) -> None:
    """Our letter stands above the remote traceback, in the one file that Covalent shows as the error."""
    remote = files[env.ERROR].read_text(errors="replace") if env.ERROR in files else ""
    text = "\n\n".join(filter(None, (error.text(), remote)))
    files[env.ERROR] = _written(into / f"{env.ERROR}-{node_id}", text.encode())


async def _without_result(
    services: Services, settings: Settings, ended: Ended, node_ids: tuple[int, ...], into: Path
) -> list[NodeResult]:
    """A job that left nothing in the bucket: what CloudWatch has of it is the output of all its nodes."""
    job = _job(ended)
    printed = await _log_tail(services, settings, job)
    above = above_stderr(job, None, returned=False, before=ended.before)
    results = []
    for node_id in node_ids:
        error = outcome.failure(job, _asked(settings, ended, node_id), printed)
        await _complete(services, settings, ended, error)
        files = {env.STDOUT: _written(into / f"{env.STDOUT}-{node_id}", printed.encode())} if printed else {}
        _tell(error, files, into, node_id)
        if above:
            _put_above(above, files, into, node_id)
        results.append(NodeResult(node_id, error, files))
    return results


async def _log_tail(services: Services, settings: Settings, job: JobState) -> str:
    """The last lines. CloudWatch may get them some seconds after the job's end, so an empty log is looked at again."""
    if not job.last.log_stream:
        return ""
    logs, printed = Logs(services.aws, settings.batch_job_log_group_name), ""
    try:
        for pause in (0.0, *LATE_LOG_LOOKS_S):
            await asyncio.sleep(pause)
            if printed := await logs.tail(job.last.log_stream):
                break
        return printed
    except errors.AWSBatchError as error:  # the job's own error matters more than that its log can't be read
        return f"[the log can't be read: {error}]\n"


def _written(path: Path, data: bytes) -> Path:
    with staged(path, "written"), create_own(path) as file:
        file.write(data)
    return path
