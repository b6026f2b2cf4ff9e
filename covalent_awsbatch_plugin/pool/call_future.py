# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The future of a pool's call: a `concurrent.futures.Future` that also knows its job."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

from .background_loop import BackgroundLoop
from .call import Call, CallEnd
from .engine import Engine
from .job_reports import log_of, why_of
from .progress import table

T = TypeVar("T")


class CallFuture(Future[T]):
    """The result of a call in a job of AWS Batch; as any future, and with `job_id` and `state`.

    The call counts as running from the moment at which its container was seen to run. Until then `cancel` ends its job
    and the function is not called; afterwards `cancel` returns False, and `BatchPool.cancel` ends the job. The value is
    unpickled by whoever asks for it first.
    """

    call: Call
    _call_end: CallEnd

    def __init__(self, engine: Engine, loop: BackgroundLoop) -> None:
        super().__init__()
        self._engine, self._loop = engine, loop
        self._value: list[T] = []

    @property
    def job_id(self) -> str | None:
        """The id of the AWS Batch job, `parent:index` in an array; None before it is submitted."""
        return self.call.job_id

    @property
    def state(self) -> str:
        """One of PENDING, SUBMITTED, RUNNING, SUCCEEDED, FAILED and CANCELLED."""
        return "RUNNING" if self.call.state == "SUBMITTED" and self.running() else self.call.state

    def running(self) -> bool:
        """Return whether the call's container was seen to run and the call has not ended.

        AWS Batch is asked where only some containers of the array have begun.
        """
        if self.call.state in ("PENDING", "RUNNING") or self.done() or self._loop.is_current:
            return self.call.state == "RUNNING"
        return self._loop.run(self._engine.has_begun(self.call)) and not self.done()

    def cancel(self) -> bool:
        """End the job of a call that has not begun; return whether the function is never called.

        Asks AWS whether the container has started. From a callback of a future, which must not wait, a call whose job
        is submitted already can't be cancelled.
        """
        if self.done() or self.running() or self._loop.is_current:
            return self.cancelled()
        self._loop.run(self._engine.end_unbegun([self.call]))
        return self.cancelled()

    def result(self, timeout: float | None = None) -> T:
        """Return the call's value, or raise its error. Raises TimeoutError after `timeout` seconds."""
        end = self._end(timeout)
        if end.failed is not None:
            raise end.error()
        if not self._value:
            self._value.append(cast(T, end.value()))
        return self._value[0]

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the call's error, None if it returned a value. Raises TimeoutError after `timeout` seconds."""
        end = self._end(timeout)
        return None if end.failed is None else end.error()

    def path(self, timeout: float | None = None) -> Path:
        """Return a file with the pickle of the value, which is not read into memory; its folder ends with the pool.

        Raises the call's error, and TimeoutError after `timeout` seconds.
        """
        end = self._end(timeout)
        if end.failed is not None:
            raise end.error()
        return self._engine.file_of(end)

    def logs(self) -> str:
        """Return the lines that the call's job has written so far; "" before it is submitted. Raises a ServiceError.

        Calls that share a container share its log.
        """
        array, job_id = self.call.array, self.job_id
        return self._loop.run(log_of(array.settings, job_id)) if array and job_id else ""

    def why(self) -> str:
        """Return why the call's job ended or does not start, as text. Raises NotFound and other ServiceErrors."""
        array, job_id = self.call.array, self.job_id
        if array and job_id:
            return self._loop.run(why_of(array.settings, job_id))
        if self.call.end and self.call.end.failed is not None:
            return str(self.call.end.failed)
        return "The call is in no job yet."

    def _repr_html_(self) -> str:
        """Return the state and the job as a table for a notebook."""
        return table([("state", self.state), ("job", self.job_id or "none yet")])

    def _end(self, timeout: float | None) -> CallEnd:
        super().exception(timeout)  # waits, and raises TimeoutError and CancelledError
        return self._call_end

    def ended(self, call: Call) -> None:
        """Settle the future by its call's end."""
        self._call_end = end = cast(CallEnd, call.end)
        if end.never_ran:
            super().cancel()
            self.set_running_or_notify_cancel()  # tells `wait` and `as_completed`
        elif not self.set_running_or_notify_cancel():
            return
        elif end.failed is None:
            self.set_result(cast(Any, end))
        else:
            self.set_exception(end.failed)  # ends `wait(..., FIRST_EXCEPTION)`; the call's own is not unpickled yet
