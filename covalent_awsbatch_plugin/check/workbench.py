# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The workbench of the checks: submits their tasks, waits for them, and ends those that nobody waits for any more."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..aws.session import AWS
from ..errors import AWSBatchError
from ..settings import Settings
from ..tasks.client import Client
from ..tasks.inflight import Task
from ..tasks.job_handle import JobHandle
from ..tasks.results import NodeResult
from ..tasks.staging import stage_call
from .raw_records import raw_records
from .trace import Traces

DISPATCH = "check-{run}-{check}"  # of a check's tasks; it is in the names of jobs and objects
LOOK_S = 0.1  # between two looks for a state that passes quickly
ENDING_S = 90.0  # for the end of a job that was running when the run was stopped: AWS waits 30 s before SIGKILL
SUBMITTING_S = 60.0


class CheckFailed(Exception):
    """The check's expectation is not met; the text is one line of evidence."""


@dataclass
class Sent(Task):
    """A task that keeps the keys of its objects when its packed bytes are released."""

    objects: tuple[str, ...] = ()

    def release(self) -> None:
        """Keep the keys, and drop the packed bytes."""
        if self.package is not None:
            self.objects = tuple(self.package.uploads)
        super().release()


@dataclass(eq=False)
class Trial:
    """A submitted task of a check: its settings, its handle, and when it was submitted (monotonic seconds)."""

    settings: Settings
    task: Sent
    handle: JobHandle
    since: float = field(default_factory=time.monotonic)

    @property
    def job_id(self) -> str:
        return self.handle.job_id


@dataclass
class Workbench:
    """The client and settings of a run, and its open jobs. `kinds` has the kind of end of each job, by its id.

    `patience` is the longest time, in seconds, that a job may take to start and to end; `progress` takes a line.
    `save` keeps the traces, for a run that is killed.
    """

    client: Client
    base: Settings
    folder: Path
    run: str
    patience: float
    progress: Callable[[str], None]
    traces: Traces
    save: Callable[[], None]
    kinds: dict[str, str] = field(default_factory=dict)
    check: str = ""
    _open: dict[str, Trial] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def aws(self) -> AWS:
        return self.client.services.aws

    def stage(self, function: Any, *args: Any, node: int = 0, name: str = "", followed: bool = False) -> Sent:
        """Return a staged call of the current check; `name` replaces the check's name in its dispatch.

        One that is `followed` by others waits for them, to share their job.
        """
        folder = self.folder / f"staged-{next(self._numbers)}"
        folder.mkdir()
        dispatch = DISPATCH.format(run=self.run, check=name or self.check)
        group = stage_call(function, args, {}, folder, dispatch_id=dispatch, node_id=node, folders=())
        return Sent(tuple((dispatch, each) for each in group.node_ids), group, followed=followed)

    async def submit(self, task: Sent, **changes: Any) -> Trial:
        """Submit a task with changed settings. If the caller is cancelled, no job of it runs on."""
        settings = self.base.model_copy(update=changes)
        submitting = asyncio.ensure_future(self.client.submit(settings, task))
        try:
            handle = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            task.cancel()
            done, _ = await asyncio.wait({submitting}, timeout=SUBMITTING_S)
            if done and not submitting.cancelled() and submitting.exception() is None:
                self._note(settings, task, submitting.result())
            raise
        return self._note(settings, task, handle)

    def _note(self, settings: Settings, task: Sent, handle: JobHandle) -> Trial:
        trial = self._open[handle.result_id] = Trial(settings, task, handle)
        uploads = tuple(task.package.uploads) if task.package else task.objects
        objects = (*uploads, *((handle.payload,) if handle.payload else ()))
        self.traces.note(handle, objects, shared_image=not settings.has_own_image)
        self.save()
        return trial

    async def end(self, trial: Trial, kind: str, limit: float = 0) -> NodeResult:
        """Wait for a task's end and return its result; `kind` is the expected end, for its record.

        Raises CheckFailed if the job has not ended within `patience` and `limit` seconds.
        """
        self.kinds.setdefault(trial.job_id, kind)
        try:
            async with asyncio.timeout(self.patience + limit):
                ended = await self._watched(trial)
        except TimeoutError:
            status = (await self.record(trial.job_id)).get("status", "unknown to DescribeJobs")
            raise CheckFailed(
                f"the job {trial.job_id} has not ended within {self.patience + limit:.0f} s: its status is {status}"
            ) from None
        self.kinds.setdefault(ended.handle.job_id, kind)
        self.traces.note(ended.handle, (), shared_image=not trial.settings.has_own_image)
        node = trial.task.nodes[0][1]
        (result,) = await self.client.results(trial.settings, ended, (node,), self._results_folder())
        del self._open[trial.handle.result_id]
        return result

    async def _watched(self, trial: Trial) -> Any:
        """Wait with the client, and show the job's status whenever it changes."""
        waiting = asyncio.ensure_future(self.client.wait(trial.settings, trial.handle, trial.task))
        try:
            status = ""
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=max(self.base.poll_freq, 1))
                state = self.client.services.watcher.has_begun(trial.job_id)
                now = "runs" if state else "waits in the queue"
                if not waiting.done() and now != status:
                    status = now
                    self.progress(f"{self.check}: job {trial.job_id} {status}")
            return await waiting
        finally:
            waiting.cancel()

    def _results_folder(self) -> Path:
        folder = self.folder / f"result-{next(self._numbers)}"
        folder.mkdir()
        return folder

    async def record(self, job_id: str) -> Mapping[str, Any]:
        """Return the job's record as DescribeJobs sends it; empty if AWS Batch does not know it."""
        return next(iter(await raw_records(self.aws, [job_id])), {})

    async def until(self, job_id: str, wanted: Callable[[Mapping[str, Any]], bool], every_s: float = 0) -> Any:
        """Return the first record that is wanted. Raises CheckFailed after `patience` seconds."""
        record: Mapping[str, Any] = {}
        try:
            async with asyncio.timeout(self.patience):
                while not wanted(record := await self.record(job_id)):  # noqa: ASYNC110 - AWS tells nobody
                    await asyncio.sleep(every_s or min(self.base.poll_freq, 2))
        except TimeoutError:
            status = record.get("status", "unknown to DescribeJobs")
            raise CheckFailed(f"the job {job_id} is {status} after {self.patience:.0f} s") from None
        return record

    async def aclose(self) -> None:
        """End the jobs that are still open, wait for their end, and let what they needed be deleted."""
        for trial in list(self._open.values()):
            self.progress(f"ending job {trial.job_id}")
        await asyncio.gather(*(self._give_up(trial) for trial in list(self._open.values())))
        self._open.clear()

    async def _give_up(self, trial: Trial) -> None:
        try:
            await self.client.services.backend.terminate(trial.job_id, "The check that started it was stopped")
            async with asyncio.timeout(ENDING_S):
                while not await self._has_ended(trial.job_id):  # noqa: ASYNC110 - AWS tells nobody
                    await asyncio.sleep(min(self.base.poll_freq, 2))
        except (AWSBatchError, TimeoutError) as error:
            self.progress(f"job {trial.job_id} may still run: {error}")
        self.client.cleanup.read(trial.handle.result_id)

    async def _has_ended(self, job_id: str) -> bool:
        state = (await self.client.services.backend.describe([job_id])).get(job_id)
        return state is None or state.ended
