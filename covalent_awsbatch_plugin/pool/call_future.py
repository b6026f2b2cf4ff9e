# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The future of a pool's call: a `concurrent.futures.Future` that also knows its job."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..jobs.watched import has_begun
from ..settings import Settings
from ..tasks.client import Client, connect
from ..tasks.inflight import Task
from ..tasks.job_handle import JobHandle
from ..tasks.results import NodeResult
from ..tasks.staged_group import StagedGroup
from ..tasks.staging import exception_of, value_of
from .background_loop import BackgroundLoop
from .staged_calls import StagedFunction

T = TypeVar("T")


class CallFuture(Future[T]):
    """The result of a call in a job of AWS Batch; as any future, and with `job_id` and `state`.

    The call counts as running from the moment at which its container was seen to run. Until then `cancel` ends its job
    and the function is not called; afterwards `cancel` returns False, and `BatchPool.cancel` ends the job.
    """

    def __init__(self, settings: Settings, group: StagedGroup | None, folder: Path, loop: BackgroundLoop) -> None:
        super().__init__()
        self._settings, self._folder, self._loop = settings, folder, loop
        self._call = replace(Task.of(group), shares_jobs=False) if group else Task(())
        self._client: Client | None = None

    @property
    def job_id(self) -> str | None:
        """The id of the AWS Batch job, `parent:index` in an array; None before it is submitted."""
        return self._call.handle.job_id if self._call.handle else None

    @property
    def state(self) -> str:
        """One of PENDING, SUBMITTED, RUNNING, SUCCEEDED, FAILED and CANCELLED."""
        if self.cancelled():
            return "CANCELLED"
        if self.done():
            return "FAILED" if self.exception() else "SUCCEEDED"
        if self.running():
            return "RUNNING"
        return "SUBMITTED" if self.job_id else "PENDING"

    def running(self) -> bool:
        """Return whether the call's container was seen to run and the call has not ended."""
        if super().running():
            return True
        job_id, client = self.job_id, self._client
        return bool(not self.done() and job_id and client and client.services.watcher.has_begun(job_id))

    def cancel(self) -> bool:
        """End the job of a call that has not begun; return whether the function is never called.

        Asks AWS whether the container has started. From a callback of a future, which must not wait, a call whose job
        is submitted already can't be cancelled.
        """
        if self.done() or self.running():
            return self.cancelled()
        if self._loop.is_current:
            if self.job_id:
                return False
            self._call.cancel()
        elif not self._loop.run(self._stopped_before_it_began()):
            return False
        if not super().cancel():
            return False
        self.set_running_or_notify_cancel()  # tells `wait` and `as_completed`
        return True

    # ---- on the loop ------------------------------------------------------------------------------------------------
    async def run(self, function: StagedFunction) -> None:
        """Submit the call, wait for its end and settle the future. The files of `function` stay until then."""
        try:
            value = await self._value()
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            if self._open():
                self.set_exception(error)
        except BaseException as error:
            if self._open():
                self.set_exception(error)
            raise
        else:
            if self._open():
                self.set_result(value)

    def mark_cancelled(self) -> JobHandle | None:
        """Have the call end as soon as it can; return the handle of its job where it has one, which is to be ended."""
        self._call.cancel()
        return self._call.handle

    def _open(self) -> bool:
        """Return whether the result is still wanted; from then on the future can't be cancelled."""
        return not self.cancelled() and self.set_running_or_notify_cancel()

    async def _value(self) -> T:
        async with connect(self._settings) as client:
            self._client = client
            handle = await client.submit(self._settings, self._call)
            ended = await client.wait(self._settings, handle, self._call)
            (result,) = await client.results(self._settings, ended, self._call.staged.node_ids, self._folder)
            value: T = await client.services.in_thread(_value, result)
            return value

    async def _stopped_before_it_began(self) -> bool:
        handle = self._call.handle
        if handle is None:
            self._call.cancel()
            return True
        async with connect(self._settings) as client:
            if await _has_begun(client, handle.job_id):
                return False
            self._call.cancel()
            await client.cancel(handle.job_id, handle.member)
            return not await _has_begun(client, handle.job_id)


async def _has_begun(client: Client, job_id: str) -> bool:
    """Return whether a job's container has started, as AWS Batch tells now; an ended job has attempts only if so."""
    state = (await client.services.backend.describe([job_id])).get(job_id)
    return bool(state and (state.attempts if state.ended else has_begun(state)))


def _value(result: NodeResult) -> Any:
    """Return a call's value. Raises the call's own exception, or an error of the JobFailed family."""
    try:
        if result.error:
            raise exception_of(result)
        return value_of(result)
    finally:
        for path in result.files.values():
            path.unlink(missing_ok=True)
