# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The checks of jobs that are ended: cancelled in each state, tried again, timed out, out of memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .. import errors
from ..runner.protocol import layout
from ..tasks.cancel import CANCEL_REASON
from . import workload
from .job_checks import Evidence, expect, one_line, value
from .plan import CANCEL_TRIES, CANCELLED_AFTER_S
from .record_model import CANCELLED, CANCELLED_EARLY, NOT_SEEN, OUT_OF_MEMORY, RAISED, TIMED_OUT, VALUE
from .workbench import LOOK_S, CheckFailed, Trial, Workbench

ORDER = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
TIME_LIMIT_S = CANCELLED_AFTER_S  # AWS Batch's least


class NotSeen(Exception):
    """AWS was faster than this check: the state that it is about was never seen."""


async def cancel_runnable(bench: Workbench) -> Evidence:
    """Cancel a job in RUNNABLE."""
    return await _cancelled_in(bench, "RUNNABLE")


async def cancel_starting(bench: Workbench) -> Evidence:
    """Cancel a job in STARTING."""
    return await _cancelled_in(bench, "STARTING")


async def cancel_running(bench: Workbench) -> Evidence:
    """Cancel a job in RUNNING."""
    return await _cancelled_in(bench, "RUNNING")


async def _cancelled_in(bench: Workbench, state: str) -> Evidence:
    """Cancel a job when it is seen in a state; a job that has passed it is kept, and the next one is tried.

    The kept ones occupy the queue, so that on a small one a job stays RUNNABLE.
    """
    tries, passed = CANCEL_TRIES[state], list[Trial]()
    for number in range(tries):
        task = bench.stage(workload.waiting(), workload.WAIT_S, node=10 * number)
        trial = await bench.submit(task, time_limit=TIME_LIMIT_S)
        record = await bench.until(trial.job_id, lambda job: _has_reached(job, state), LOOK_S)
        if record.get("status") == state:
            text, figures = await _cancel(bench, trial, state)
            return (f"{text}; {len(passed)} jobs before it had passed {state} unseen" if passed else text), figures
        bench.kinds[trial.job_id] = NOT_SEEN
        passed.append(trial)  # the end of the check ends it
        bench.progress(f"{bench.check}: the job {trial.job_id} has passed {state} unseen")
    raise NotSeen(
        f"{tries} jobs passed {state} before DescribeJobs showed it, so none was cancelled in it. An offline AWS with"
        " room for more jobs than that starts each at once"
    )


def _has_reached(job: Mapping[str, Any], state: str) -> bool:
    return job.get("status") in ORDER[ORDER.index(state) :]


async def _cancel(bench: Workbench, trial: Trial, state: str) -> Evidence:
    began = time.monotonic()
    await bench.client.cancel(trial.job_id)
    early = state != "RUNNING"
    result = await bench.end(trial, CANCELLED_EARLY if early else CANCELLED)
    seconds = time.monotonic() - began
    record = await bench.record(trial.job_id)
    reason = str(record.get("statusReason", ""))
    expect(isinstance(result.error, errors.Cancelled), f"the cancelled job ended as {one_line_or_value(result.error)}")
    expect(record.get("status") == "FAILED", f"the cancelled job is {record.get('status')}")
    expect(CANCEL_REASON in reason, f"AWS gives {reason!r} as the reason of a job that was cancelled")
    return f"ended {seconds:.1f} s after TerminateJob, job {trial.job_id}", {"ended_s": round(seconds, 1)}


def one_line_or_value(error: BaseException | None) -> str:
    """Return an error in one line with the name of its class, or that there is none."""
    return "a value" if error is None else f"{type(error).__name__}: {one_line(error)}"


async def retry_exceptions(bench: Workbench) -> Evidence:
    """Run a task that fails once and is submitted again."""
    trial = await bench.submit(
        bench.stage(workload.failing_once()), retry_exceptions="ConnectionError", retry_attempts=2
    )
    bench.kinds[trial.job_id] = RAISED
    number = value(await bench.end(trial, VALUE, limit=bench.patience))
    expect(number == 2, f"the function ran {number} times, not 2")
    return f"ConnectionError at attempt 1, a value at attempt {number}", {}


async def timeout(bench: Workbench) -> Evidence:
    """Run a task into its time limit, and read back the state that it saved in its last seconds."""
    task = bench.stage(workload.saving(), workload.SAVED_TO, workload.STATE, workload.WAIT_S)
    trial = await bench.submit(task, time_limit=TIME_LIMIT_S)
    dispatch, node = trial.task.nodes[0]
    key = f"{layout.state_key(dispatch, node)}/{workload.SAVED_TO}"
    bench.traces.objects.add(key)
    store = (await bench.client.services.resources(bench.base)).store
    try:
        result = await bench.end(trial, TIMED_OUT, limit=TIME_LIMIT_S)
        state = await store.get(key)
    finally:
        await store.delete([key])
    error = result.error
    expect(isinstance(error, errors.TimedOut), f"the time limit of 60 s ended the job as {one_line_or_value(error)}")
    expect(state is not None, "the state that the task saves when it is told to stop is not in the bucket")
    expect(state == workload.STATE, "the state in the bucket is not what the task saved")
    record = await bench.record(trial.job_id)
    ran = (int(record.get("stoppedAt") or 0) - int(record.get("startedAt") or 0)) / 1000
    return f"stopped after {ran:.0f} s; its state of {len(workload.STATE)} bytes was saved and read back", {
        "ran_s": ran
    }


async def out_of_memory(bench: Workbench) -> Evidence:
    """Run a task that needs more memory than its container has."""
    trial = await bench.submit(bench.stage(workload.eating(), 2 * bench.base.memory_mib))
    result = await bench.end(trial, OUT_OF_MEMORY)
    record = await bench.record(trial.job_id)
    container: Mapping[str, Any] = record.get("container") or {}
    words = f"exit code {container.get('exitCode')}, {container.get('reason') or record.get('statusReason')!r}"
    if not isinstance(result.error, errors.OutOfMemory):
        raise CheckFailed(f"too much memory ended the job as {one_line_or_value(result.error)} AWS says: {words}")
    return f"AWS says: {words}", {}
