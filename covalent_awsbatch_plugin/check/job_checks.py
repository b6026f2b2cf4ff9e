# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The checks of jobs that run to their end: values, arrays, big objects, shared containers, the same task again."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Mapping
from typing import Any

from ..aws.ecr import registry_of
from ..aws.logs import Logs
from ..errors import JobFailed
from ..iam import ecr_repository
from ..tasks.results import NodeResult
from ..tasks.staging import value_of
from . import workload
from .plan import BIG_MIB
from .record_model import ARRAY, DIED, RAISED, VALUE
from .workbench import CheckFailed, Trial, Workbench

Evidence = tuple[str, dict[str, Any]]  # one line, and its figures
LAST_LINE = "the last line of a container that dies"
LOG_LIMIT_S = 60.0
LINGER_S = 30.0  # for tasks of one job to be packed; the job goes when they are there
BLIND_LOG_S = 0.5


def value(result: NodeResult) -> Any:
    """Return the value of a result. Raises CheckFailed with the error in one line."""
    if result.error is not None:
        raise CheckFailed(one_line(result.error))
    return value_of(result)


def one_line(error: BaseException) -> str:
    """Return an error's text without line breaks."""
    return " ".join(str(error).split())


def expect(condition: bool, text: str) -> None:
    """Raise CheckFailed with this text unless the condition holds."""
    if not condition:
        raise CheckFailed(text)


async def one_task(bench: Workbench) -> Evidence:
    """Run one task and read its value."""
    began = time.monotonic()
    trial = await bench.submit(bench.stage(workload.platform_call()))
    submission_s = time.monotonic() - began
    answer = value(await bench.end(trial, VALUE))
    seconds = time.monotonic() - began
    figures = {"submitted_s": round(submission_s, 2), "result_s": round(seconds, 2)}
    return f"{answer}; submitted after {submission_s:.1f} s, result after {seconds:.1f} s, job {trial.job_id}", figures


async def array(bench: Workbench) -> Evidence:
    """Run an array of a value, an exception and a container that dies; look for its last line in the log."""
    function, memory = workload.ending(), bench.base.memory_mib
    ways = ("value", "exception", "death")
    lines = ("a value", "an exception", LAST_LINE)
    tasks = [
        bench.stage(function, way, line, memory, node=10 * n, followed=True)
        for n, (way, line) in enumerate(zip(ways, lines, strict=True))
    ]
    together = {"max_array_size": len(tasks), "array_linger": LINGER_S}
    async with asyncio.TaskGroup() as group:
        submissions = [group.create_task(bench.submit(task, **together)) for task in tasks]
    trials = [each.result() for each in submissions]
    parents = {trial.job_id.partition(":")[0] for trial in trials}
    expect(len(parents) == 1, f"three tasks that were submitted together are in {len(parents)} jobs")
    bench.kinds[parents.pop()] = ARRAY
    async with asyncio.TaskGroup() as group:
        log = group.create_task(_last_line(bench, trials[2]))
        ends = [group.create_task(bench.end(t, k)) for t, k in zip(trials, (VALUE, RAISED, DIED), strict=True)]
    good, bad, dead = (end.result() for end in ends)
    expect(value(good) == "a value", "the first task returned another value than its own")
    expect(isinstance(bad.error, JobFailed) and "ValueError" in str(bad.error), f"the exception is lost: {bad.error}")
    expect(dead.error is not None, "the container that died has a value")
    code, attempts, lag = log.result()
    expect(code != 0, "DescribeJobs gives exit code 0 of a container that died")
    expect(attempts == 1, f"DescribeJobs lists {attempts} attempts of the container that died, not 1")
    text = f"job {trials[0].job_id.partition(':')[0]}: value, ValueError, exit code {code}"
    return f"{text}; the last line was in the log {lag:.1f} s after the container's end", {"log_lag_s": round(lag, 1)}


async def _last_line(bench: Workbench, trial: Trial) -> tuple[int, int, float]:
    """Return exit code and number of attempts of the dead container, and when its last line was in the log.

    That is in seconds after AWS Batch's `stoppedAt`, by this machine's clock, at least 0.
    """
    record = await bench.until(trial.job_id, lambda job: job.get("status") in ("SUCCEEDED", "FAILED"))
    container: Mapping[str, Any] = record.get("container") or {}
    code, stream = container.get("exitCode"), container.get("logStreamName")
    if not isinstance(code, int):
        raise CheckFailed(f"DescribeJobs has no exit code of the container that died: {record.get('statusReason')!r}")
    expect(bool(stream), f"DescribeJobs names no log stream of the job {trial.job_id}")
    stopped = float(record.get("stoppedAt") or time.time() * 1000) / 1000
    logs = Logs(bench.aws, bench.base.batch_job_log_group_name)
    limit = min(LOG_LIMIT_S, bench.patience)
    while LAST_LINE not in (tail := await logs.tail(str(stream))):
        if time.time() - stopped > limit:
            log_lines = tail.splitlines()
            details = f"its last one is {log_lines[-1]!r}" if log_lines else "it has no line"
            raise CheckFailed(
                f"the container's last line is not in the log {stream} {limit:.0f} s after its end: {details}"
            )
        bench.progress(f"{bench.check}: the log has no last line yet")
        await asyncio.sleep(BLIND_LOG_S)
    return code, len(record.get("attempts") or ()), max(0.0, time.time() - stopped)


async def big_objects(bench: Workbench) -> Evidence:
    """Send and receive an argument and a value that are too big for an image and an envelope."""
    data = random.Random(bench.run).randbytes(BIG_MIB << 20)  # noqa: S311 - bytes that don't compress
    began = time.monotonic()
    trial = await bench.submit(bench.stage(workload.reversal(), data), max_baked_mib=min(bench.base.max_baked_mib, 10))
    submission_s = time.monotonic() - began
    digest, back = value(await bench.end(trial, VALUE))
    expect(digest == hashlib.sha256(data).hexdigest(), f"the task received other bytes than the {BIG_MIB} MiB sent")
    expect(back == data[::-1], f"other bytes came back than the task returned: {len(back)} of {len(data)}")
    return f"{BIG_MIB} MiB there (submitted after {submission_s:.1f} s) and back, bytes compared", {
        "submitted_s": round(submission_s, 2)
    }


async def payload_s3(bench: Workbench) -> Evidence:
    """Run a task whose function travels as an object, in an image that other tasks use too."""
    trial = await bench.submit(bench.stage(workload.platform_call()), payload="s3")
    expect(bool(trial.handle.payload), "the task did not travel in the bucket")
    answer = value(await bench.end(trial, VALUE))
    await bench.client.services.backend.deregister(trial.handle.definition)  # it is kept for tasks of the same image
    return f"{answer}, from an object of the bucket", {}


async def tasks_per_job(bench: Workbench) -> Evidence:
    """Run two tasks in one container."""
    tasks = [bench.stage(workload.ending(), "value", f"task {n}", 0, node=10 * n, followed=True) for n in range(2)]
    together = {"tasks_per_job": 2, "parallel_tasks": 2, "max_array_size": 1, "array_linger": LINGER_S}
    async with asyncio.TaskGroup() as group:
        submissions = [group.create_task(bench.submit(task, **together)) for task in tasks]
    first, second = (each.result() for each in submissions)
    expect(first.job_id == second.job_id, "two tasks with tasks_per_job=2 are in two jobs")
    async with asyncio.TaskGroup() as group:
        ends = [group.create_task(bench.end(trial, VALUE)) for trial in (first, second)]
    values = [value(end.result()) for end in ends]
    expect(values == ["task 0", "task 1"], f"the tasks returned {values}")
    return f"two values from one container, job {first.job_id}", {}


async def same_task(bench: Workbench) -> Evidence:
    """Submit a task twice; the second time nothing may be pushed and nothing may be defined."""
    keep = {"delete_images": False, "delete_definitions": False}
    first = await bench.submit(bench.stage(workload.platform_call(), name="same-task"), **keep)
    one, pushed = value(await bench.end(first, VALUE)), await _pushed_at(bench, first)
    calls = dict(bench.aws.calls)
    second = await bench.submit(bench.stage(workload.platform_call(), name="same-task"))
    pushed_again = await _pushed_at(bench, second)
    name = first.handle.definition.rpartition("/")[2].rpartition(":")[0]
    of, details = f"job definition `{name}`", []
    async for each in bench.aws.items(
        "batch", "DescribeJobDefinitions", "jobDefinitions", of=of, jobDefinitionName=name, status="ACTIVE"
    ):
        details.append(str(each["revision"]))
    two = value(await bench.end(second, VALUE))
    again = bench.aws.calls["batch:RegisterJobDefinition"] - calls.get("batch:RegisterJobDefinition", 0)
    expect(one == two, "the same task returned another value")
    expect(len(details) == 1, f"{name} has {len(details)} active revisions ({', '.join(details)}) of one definition")
    expect(not again, "the second submission registered a definition")
    expect(first.handle.image == second.handle.image, "the second submission has another image")
    expect(pushed_again == pushed, "the image was pushed again")
    return f"one image, one revision of {name}, jobs {first.job_id} and {second.job_id}", {}


async def _pushed_at(bench: Workbench, trial: Trial) -> str:
    """Return when the image of a job was pushed, as ECR says."""
    repository, digest = bench.base.ecr_repo_name, trial.handle.image.rpartition("@")[2]
    place: dict[str, Any] = registry_of(repository) | {"repositoryName": ecr_repository(repository)[2]}
    answer = await bench.aws.call(
        "ecr", "DescribeImages", of=f"image {digest}", imageIds=[{"imageDigest": digest}], **place
    )
    images = answer["imageDetails"]
    expect(len(images) == 1, f"ECR has {len(images)} images {digest}")
    return str(images[0].get("imagePushedAt"))
