# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The first process of the container: runs each task of its group in a process of its own, and commits what they left.

Where several groups share the container, it forks itself for each, and the copies do so.

It stays small, has no threads while tasks run and imports nothing of the user's, so it outlives whatever they do.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from . import outcome
from .bucket import S3, StorageError
from .child import Child
from .commit import commit
from .earlier_attempt import look_back
from .execute import execute
from .fetch import fetch
from .job import Job, NoJob, fresh_folder
from .outcome import Ended
from .protocol import envelope, layout
from .protocol.envelope import TaskResult, Usage
from .protocol.layout import ExitCode
from .protocol.task import TaskSpec
from .shared_container import Load, SharedContainer, exit_code
from .signals import Stop
from .unpack import JobPayload, bring, unpack_image

_RUNNER_DIR = Path(__file__).resolve().parents[1]
_ROOT = _RUNNER_DIR.parents[layout.RUNNER_DIR.count("/")]
_GIVE_UP_S = 120.0  # on one request to S3, while nobody waits to kill us


def main() -> int:
    """The exit status of this process: the container's, or, in a process forked for a task, that task's.

    Such a process returns through here, and Python ends in it as anywhere: so nothing here has a `finally`.
    """
    stop = Stop()
    try:
        load, payload = Load.of(os.environ), JobPayload.of(os.environ, fresh_folder)
        if not payload.digest:
            unpack_image(payload, _ROOT)
    except NoJob as error:
        return _say(f"{error}.", layout.NO_INPUT)
    if payload.digest:
        fetcher = Child(stop, payload.folder / "stdout", payload.folder / "stderr")
        if fetcher.fork():
            return bring(payload, lambda: _bucket(os.environ.get(layout.ENV_BUCKET), _GIVE_UP_S))
        if fetcher.wait() or stop.told:
            return _without(payload, stop)
    if load is None:
        return _run(stop, None, payload)
    container = SharedContainer(stop, load.at_once)
    for member in load.members:
        if not container.has_place():
            break
        if container.fork(member):
            stop.limit(load.time_limit_s)
            return _run(stop, member, payload)
    container.finish()
    killed = {} if stop.told else container.killed()
    for member, status in killed.items():
        if container.fork(member):
            return _commit_for_killed(stop, member, status, payload, container.usage[member])
    container.finish()
    shutil.rmtree(payload.folder, ignore_errors=True)
    return exit_code(load, container.ended, told=stop.told).code


def _without(payload: JobPayload, stop: Stop) -> int:
    """What the container can't have."""
    if stop.told:
        return _say("told to stop by SIGTERM before the tasks were fetched.", layout.TERMINATED)
    words = payload.complaint.read_text(encoding="utf-8") if payload.complaint.exists() else f"{payload.key}: killed"
    return _say(f"the tasks could not be fetched: {words}", layout.NO_INPUT)


def _open(member: int | None, payload: JobPayload) -> Job:
    """Raises NoJob."""
    work = payload.folder if member is None else fresh_folder()
    return Job.open(_ROOT, payload.folder, work, os.environ, member)


def _run(stop: Stop, member: int | None, payload: JobPayload) -> int:
    """One task group, from its description to its committed result."""
    try:
        job = _open(member, payload)
    except NoJob as error:
        return _say(f"{error}.", layout.NO_INPUT)
    if member is not None and job.commits and job.attempt > 1:
        looker = Child(stop, job.work / "earlier.stdout", job.work / "earlier.stderr")
        if looker.fork():
            return look_back(job, lambda: _bucket(job.bucket, _GIVE_UP_S))
        looker.wait()
        if job.earlier.exists():
            return int(job.earlier.read_text(encoding="ascii"))
    if job.to_fetch():
        fetcher = Child(stop, job.work / "fetch.stdout", job.work / "fetch.stderr")
        if fetcher.fork():
            return fetch(job, lambda: _bucket(job.bucket, _GIVE_UP_S))
        fetcher.wait()
    results: dict[int, TaskResult] = {}
    for task in job.file.tasks:
        folder = job.folder(task.node_id)
        unfit = _unfit(job, task, results, stop)
        if unfit:
            results[task.node_id] = outcome.never_ran(task, folder, *unfit)
            continue
        kills = outcome.oom_kills()
        child = Child(stop, folder.part(envelope.STDOUT), folder.part(envelope.STDERR), folder.last_moment)
        if child.fork():
            return execute(job, task, _RUNNER_DIR)
        status = child.wait()
        usage = replace(child.usage, bytes_in=job.bytes_in(task))
        ended = Ended(status, child.told, outcome.oom_kills() - kills, stop.overdue, usage)
        results[task.node_id] = outcome.judge(task, folder, ended)
    code = _finish(job, list(results.values()), stop)
    shutil.rmtree(job.work, ignore_errors=True)
    return code


def _commit_for_killed(stop: Stop, member: int, status: int, payload: JobPayload, usage: Usage) -> int:
    """Commits for a supervisor that was killed, for whoever waits for its task while the container's others go on."""
    job = _open(member, payload)
    ended = Ended(status, told=False, out_of_memory=0, usage=usage)
    return _finish(job, [outcome.judge(task, job.folder(task.node_id), ended) for task in job.file.tasks], stop)


def _unfit(job: Job, task: TaskSpec, results: dict[int, TaskResult], stop: Stop) -> tuple[str, str] | None:
    """Why the task can't begin: an outcome and the words."""
    if stop.overdue:
        return envelope.TIMED_OUT, "the time limit was over."
    if stop.told:
        return envelope.TERMINATED, "the job was told to stop by SIGTERM."
    for node in job.waits_for(task):
        if node not in results:
            return envelope.NO_INPUT, f"nobody said where the value of node {node} is."
        if results[node].outcome != envelope.RETURNED:
            return envelope.NOT_RUN, f"it needs the value of node {node}, which did not return one."
    return None


def _finish(job: Job, results: list[TaskResult], stop: Stop) -> int:
    """Commit, if this is a job of Batch's, and choose the container's exit code."""
    code = _exit_code({result.outcome for result in results}, stop)
    if not job.commits:
        return _say(f"run by hand ({layout.ENV_JOB_ID} is not set): nothing is committed.", code)
    try:
        commit(job, results, _bucket(job.bucket, layout.STOP_COMMIT_S if stop.told else _GIVE_UP_S))
    except (StorageError, OSError) as error:
        return _say(str(error), layout.NOT_COMMITTED)
    return code.code


def _exit_code(outcomes: set[str], stop: Stop) -> ExitCode:
    if outcomes == {envelope.RETURNED}:
        return layout.RETURNED
    if envelope.TERMINATED in outcomes or (stop.told and envelope.TIMED_OUT not in outcomes):
        return layout.TERMINATED
    return layout.NO_INPUT if envelope.NO_INPUT in outcomes else layout.RAISED


def _bucket(name: str | None, give_up_s: float) -> S3:
    if not name:
        raise StorageError(f"{layout.ENV_BUCKET} is not set, and this job keeps inputs in a bucket.")
    region = next(filter(None, map(os.environ.get, (layout.ENV_REGION, "AWS_REGION", "AWS_DEFAULT_REGION"))), None)
    return S3(name, region, give_up_s=give_up_s)


def _say(words: str, code: ExitCode) -> int:
    """One line for who reads the log; the way of every message that can't be committed."""
    print(f"covalent-awsbatch: {words}", file=sys.stderr, flush=True)
    return code.code
