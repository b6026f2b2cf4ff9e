# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The container's first process: it runs each task of its group in a child process, and commits the results.

Where several groups share the container, this process forks a supervisor for each group, which does the same.

The process stays small, has no threads while tasks run and imports none of the user's code, so it outlives the tasks.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from . import outcome
from .bucket import S3, StorageError
from .bundles import Bundles
from .child import Child
from .client_settings import ClientSettings
from .commit import commit
from .earlier_attempt import EXIT_CODES, read_earlier_result
from .execute import execute
from .fetch import fetch
from .job import Job, temporary_folder
from .kept_file import KeptFile
from .outcome import ProcessEnd
from .protocol import envelope, layout
from .protocol.envelope import TaskResult
from .protocol.layout import ExitCode
from .protocol.task import TaskSpec
from .shared_container import Load, SharedContainer, exit_code
from .signals import Stop
from .unpack import Download, JobPayload, NoJob, Unpacked, unpack_image

_RUNNER_DIR = Path(__file__).resolve().parents[1]
_ROOT = _RUNNER_DIR.parents[layout.RUNNER_DIR.count("/")]


def main() -> int:
    """Run the container's tasks; return the exit status of this process.

    The first process returns the container's status. A process forked for a task also returns through this function,
    with the task's status, and Python then ends in it as usual: so this function has no `finally`.
    """
    _fill_standard_descriptors()
    stop = Stop()
    try:
        load, payload, folder = Load.of(os.environ), JobPayload.of(os.environ), temporary_folder()
        unpacked = None if payload.digest else unpack_image(payload, _ROOT)
    except NoJob as error:
        return _say(f"{error}.", layout.NO_INPUT)
    if unpacked is None:
        download, fetcher = Download(folder), Child(stop)
        if fetcher.fork():
            return download.fetch(payload, lambda: _bucket(os.environ.get(layout.ENV_BUCKET), _patience_s()))
        if fetcher.wait() or stop.sigterm:
            return _without_tasks(download.error(payload), stop)
        unpacked = download.unpacked()
    if load is None:
        return _run(stop, None, unpacked)
    bundles = _bundles(folder)
    container = SharedContainer(
        stop,
        load.at_once,
        bundles,
        lambda: _bucket(os.environ.get(layout.ENV_BUCKET), layout.STOP_COMMIT_S if stop.sigterm else _patience_s()),
    )
    if bundles and int(os.environ.get(layout.ENV_JOB_ATTEMPT) or 1) > 1:
        codes, reader = KeptFile(folder), Child(stop)
        if reader.fork():
            open_store = functools.partial(_bucket, os.environ.get(layout.ENV_BUCKET), _patience_s())
            return bundles.read_earlier(unpacked, codes, open_store)
        reader.wait()
        container.exit_codes |= {int(member): code for member, code in json.loads(codes.read() or b"{}").items()}
    for member in load.members:
        if member in container.exit_codes:
            continue
        if not container.has_place():
            break
        if container.fork(member):
            stop.limit(load.time_limit_s)
            return _run(stop, member, unpacked, container.result)
    container.finish()
    killed = {} if stop.sigterm else container.killed()
    for member, status in killed.items():
        if container.fork(member):
            return _commit_for_killed(stop, member, status, unpacked, container)
    container.finish()
    return exit_code(load, container.exit_codes, sigterm=stop.sigterm).code


def _fill_standard_descriptors() -> None:
    """Open descriptors 0 to 2 where they are closed, so that no pipe of this process gets such a number."""
    while (number := os.open(os.devnull, os.O_RDWR)) in (0, 1, 2):
        continue
    os.close(number)


def _without_tasks(error: str, stop: Stop) -> int:
    """Print why the container has no tasks; return its exit status."""
    if stop.sigterm:
        return _say("told to stop by SIGTERM before the tasks were fetched.", layout.TERMINATED)
    return _say(f"the tasks could not be fetched: {error}", layout.NO_INPUT)


def _bundles(folder: Path) -> Bundles | None:
    """Return the bundles of this container, None where each task writes its own result or the image is run by hand."""
    job_id, prefix = os.environ.get(layout.ENV_JOB_ID), os.environ.get(layout.ENV_RESULTS_PREFIX)
    if not (os.environ.get(layout.ENV_BUNDLES) and job_id and prefix):
        return None
    return Bundles(prefix, job_id, int(os.environ.get(layout.ENV_JOB_ATTEMPT) or 1), folder)


def _run(stop: Stop, member: int | None, unpacked: Unpacked, into: KeptFile | None = None) -> int:
    """Run one task group and commit its result, `into` a file for the bundle if so; return the exit status."""
    try:
        job = Job.open(_ROOT, unpacked, os.environ, member)
    except NoJob as error:
        return _say(f"{error}.", layout.NO_INPUT)
    if member is not None and into is None and job.commits and job.attempt > 1:
        reader = Child(stop)
        if reader.fork():
            return read_earlier_result(job, lambda: _bucket(job.bucket, _patience_s()))
        if (status := reader.wait()) in EXIT_CODES:
            shutil.rmtree(job.work, ignore_errors=True)
            return EXIT_CODES[status]
    if refs := job.to_fetch():
        job.fetched.update({ref.sha256: KeptFile(job.work) for ref in refs})
        fetcher = Child(stop)
        if fetcher.fork():
            return fetch(job, lambda: _bucket(job.bucket, _patience_s()))
        fetcher.wait()
    results: dict[int, TaskResult] = {}
    for task in job.file.tasks:
        obstacle = _obstacle(job, task, results, stop)
        files = job.open_files(task.node_id)
        if obstacle:
            results[task.node_id] = outcome.never_ran(task, files, *obstacle)
            continue
        if job.commits:
            _print(job.log_header(task).line())
        kills = outcome.oom_kills()
        child = Child(stop, files.parts[envelope.STDOUT], files.parts[envelope.STDERR], files.kill_time)
        if child.fork():
            return execute(job, task, _RUNNER_DIR)
        status = child.wait()
        usage = replace(child.usage, bytes_in=job.bytes_in(task))
        end = ProcessEnd(status, child.stop_signal, outcome.oom_kills() - kills, stop.overdue, usage)
        results[task.node_id] = outcome.judge(task, files, end)
    code = _finish(job, list(results.values()), stop, into)
    shutil.rmtree(job.work, ignore_errors=True)
    return code


def _commit_for_killed(stop: Stop, member: int, status: int, unpacked: Unpacked, container: SharedContainer) -> int:
    """Commit the result of a killed supervisor, so that the client gets it while other tasks of the container run."""
    job = Job.open(_ROOT, unpacked, os.environ, member)
    end = ProcessEnd(status, stop_signal=False, out_of_memory=0, usage=container.usage[member])
    results = [outcome.judge(task, job.open_files(task.node_id), end) for task in job.file.tasks]
    code = _finish(job, results, stop, container.result)
    shutil.rmtree(job.work, ignore_errors=True)
    return code


def _obstacle(job: Job, task: TaskSpec, results: dict[int, TaskResult], stop: Stop) -> tuple[str, str] | None:
    """Return why the task can't begin, as an outcome and an error text; None if it can."""
    if stop.overdue:
        return envelope.TIMED_OUT, "the time limit was over."
    if stop.sigterm:
        return envelope.TERMINATED, "the job was told to stop by SIGTERM."
    for node in job.waits_for(task):
        if node not in results:
            return envelope.NO_INPUT, f"its description does not say where the value of node {node} is."
        if results[node].outcome != envelope.RETURNED:
            return envelope.NOT_RUN, f"it needs the value of node {node}, which did not return one."
    return None


def _finish(job: Job, results: list[TaskResult], stop: Stop, into: KeptFile | None = None) -> int:
    """Commit the results if AWS Batch runs this job; return the container's exit status."""
    code = _exit_code({result.outcome for result in results}, stop)
    if not job.commits:
        return _say(f"run by hand ({layout.ENV_JOB_ID} is not set): nothing is committed.", code)
    try:
        give_up_s = layout.STOP_COMMIT_S if stop.sigterm else _patience_s()
        commit(job, results, lambda: _bucket(job.bucket, give_up_s), into)
    except (StorageError, OSError) as error:
        return _say(str(error), layout.NOT_COMMITTED)
    return code.code


def _exit_code(outcomes: set[str], stop: Stop) -> ExitCode:
    if outcomes == {envelope.RETURNED}:
        return layout.RETURNED
    if envelope.TERMINATED in outcomes or (stop.sigterm and envelope.TIMED_OUT not in outcomes):
        return layout.TERMINATED
    return layout.NO_INPUT if envelope.NO_INPUT in outcomes else layout.RAISED


def _patience_s() -> float:
    """Return the seconds for one request to S3, while no SIGKILL is due."""
    return float(os.environ.get(layout.ENV_OUTAGE_PATIENCE) or layout.OUTAGE_PATIENCE_S)


def _bucket(name: str | None, give_up_s: float) -> S3:
    if not name:
        raise StorageError(f"{layout.ENV_BUCKET} is not set, and this job keeps inputs in a bucket.")
    return S3(name, ClientSettings.of(os.environ), give_up_s=give_up_s)


def _say(words: str, code: ExitCode) -> int:
    """Print one line to the container's log, where no result can carry the message; return the exit status."""
    _print(f"covalent-awsbatch: {words}")
    return code.code


def _print(line: str) -> None:
    with contextlib.suppress(OSError):  # the reader of this process's output has gone
        print(line, file=sys.stderr, flush=True)
