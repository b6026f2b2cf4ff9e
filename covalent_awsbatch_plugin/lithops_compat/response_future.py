# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The futures of Lithops' calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Protocol

from ..pool.call_future import CallFuture


class Executor(Protocol):
    """The methods of `FunctionExecutor` that a list of futures needs."""

    @property
    def map(self) -> Callable[..., FuturesList]: ...
    @property
    def map_reduce(self) -> Callable[..., FuturesList]: ...
    @property
    def wait(self) -> Callable[..., tuple[FuturesList, FuturesList]]: ...
    @property
    def get_result(self) -> Callable[..., Any]: ...


_unsent = threading.Lock()


class ResponseFuture:
    """The outcome of a call. Its states are properties, as Lithops has them; `stats` has times in Unix seconds."""

    def __init__(self, executor_id: str, job_id: str, call_id: str, function_name: str) -> None:
        self.executor_id, self.job_id, self.call_id = executor_id, job_id, call_id
        self.function_name = function_name
        self.job_key = f"{executor_id}-{job_id}"
        self.settled: Future[CallFuture[Any]] = Future()  # of the call, once that has ended
        self.call: CallFuture[Any] | None = None  # None until the call is sent
        self.produces_output = True  # False where another call takes the value as its argument
        self.was_read = False
        self._is_cancelled = False
        self._outcome: tuple[float, float, bool, Any] | None = None

    def __repr__(self) -> str:
        state = "error" if self.error else "done" if self.done else "running" if self.running else "invoked"
        return f"<ResponseFuture {self.job_key}-{self.call_id}: {state}>"

    # ---- states -----------------------------------------------------------------------------------------------------
    @property
    def new(self) -> bool:
        """True where the call waits for the value of another one and is not sent yet."""
        return self.call is None and not self.done

    @property
    def invoked(self) -> bool:
        """True where the call is sent and its container was not seen to run."""
        return self.call is not None and not self.done and not self.running

    @property
    def running(self) -> bool:
        """True where the call's container was seen to run and the call has not ended."""
        return self.call is not None and not self.done and self.call.running()

    @property
    def ready(self) -> bool:
        """True where the call has ended."""
        return self.done

    @property
    def done(self) -> bool:
        """True where the call has ended, by its value or by an error."""
        return self.settled.done()

    @property
    def success(self) -> bool:
        """True where the call has returned a value."""
        return self.done and not self.error

    @property
    def error(self) -> bool:
        """True where the call has ended without a value."""
        if not self.done:
            return False
        return self.settled.cancelled() or bool(self.settled.exception() or self.settled.result().exception())

    @property
    def futures(self) -> bool:
        """True where the function has returned futures of an inner map; their values are this call's."""
        return self.success and self._returned()[2]

    @property
    def activation_id(self) -> str | None:
        """The id of the AWS Batch job; None before it is submitted."""
        return self.call.job_id if self.call else None

    # ---- results ----------------------------------------------------------------------------------------------------
    @property
    def stats(self) -> dict[str, float]:
        """Begin and end of the function (Unix seconds) and the seconds between them; {} for a call without a value."""
        if not self.success:
            return {}
        began, ended, *_ = self._returned()
        return {
            "worker_func_start_tstamp": began,
            "worker_func_end_tstamp": ended,
            "worker_func_exec_time": round(ended - began, 8),
        }

    def status(self, throw_except: bool = True, check_only: bool = False, **_: Any) -> dict[str, float] | None:
        """Wait for the call's end and return its `stats`; with `check_only`, None for a call that goes on."""
        if check_only and not self.done:
            return None
        self.result(throw_except)
        return self.stats

    def result(self, throw_except: bool = True, *_: Any, timeout: float | None = None, **__: Any) -> Any:
        """Wait for the value. Raises the call's own exception, or an error of the JobFailed family, or TimeoutError.

        Without `throw_except`, the value of a failed call is None.
        """
        try:
            self.settled.result(timeout)
            return self._returned()[3]
        except BaseException:
            if not self.done or throw_except:  # the wait has ended, and not the call
                raise
        return None

    def _returned(self) -> tuple[float, float, bool, Any]:
        if self._outcome is None:
            self._outcome = self.settled.result().result()
        return self._outcome

    @property
    def values(self) -> list[Any]:
        """The value as a list of one, or the values of an inner map. For a call that has ended with a value."""
        value = self._returned()[3]
        return list(value) if self.futures else [value]

    def cancel(self) -> None:
        """End the call's job, whether it runs or not; Lithops can't."""
        with _unsent:
            self._is_cancelled, call = True, self.call
        if call is not None:
            self._end(call)
        elif self.settled.cancel():
            self.settled.set_running_or_notify_cancel()

    def cancelled(self) -> bool:
        """Return whether the call was cancelled before it ended."""
        return self.settled.cancelled()

    # ---- the call behind --------------------------------------------------------------------------------------------
    def follow(self, call: CallFuture[Any], end: Callable[[CallFuture[Any]], None]) -> bool:
        """Take the outcome of a call, which `end` ends; return whether it may start: this future is not cancelled."""
        with _unsent:
            if self._is_cancelled:
                return False
            self.call, self._end = call, end
        call.add_done_callback(self._copy)
        return True

    def fail(self, error: BaseException) -> None:
        """End a call that can't be sent."""
        if self.settled.set_running_or_notify_cancel():
            self.settled.set_exception(error)

    def _copy(self, call: Future[Any]) -> None:
        """Note the end of the call, whose value is unpickled when it is asked for."""
        if call.cancelled():
            self.settled.cancel()
            self.settled.set_running_or_notify_cancel()
        elif self.settled.set_running_or_notify_cancel() and self.call is not None:
            self.settled.set_result(self.call)


class FuturesList(list[ResponseFuture]):
    """The futures of a map; `map` and `map_reduce` take their values as the elements of another one."""

    def __init__(self, items: Iterable[ResponseFuture] = (), executor: Executor | None = None) -> None:
        super().__init__(items)
        self.executor = executor
        self._all = list(self)

    def __reduce__(self) -> Any:
        return FuturesList, (list(self),)

    def map(self, map_function: Callable[..., Any], sync: bool = False, **options: Any) -> FuturesList:
        """Call a function with each value of these futures; `sync` waits for them first."""
        return self._then(lambda executor: executor.map(map_function, self, **options), sync=sync)

    def map_reduce(
        self,
        map_function: Callable[..., Any],
        reduce_function: Callable[..., Any],
        sync: bool = False,
        **options: Any,
    ) -> FuturesList:
        """Call a function with each value of these futures, and another one with the list of the results."""
        return self._then(
            lambda executor: executor.map_reduce(map_function, self, reduce_function, **options), sync=sync
        )

    def wait(self, **options: Any) -> tuple[FuturesList, FuturesList]:
        """Wait for the futures, as `FunctionExecutor.wait` does."""
        return self._executor().wait(self._all, **options)

    def get_result(self, **options: Any) -> Any:
        """Return the values, as `FunctionExecutor.get_result` does."""
        return self._executor().get_result(self._all, **options)

    def _then(self, start: Callable[[Executor], FuturesList], *, sync: bool) -> FuturesList:
        executor = self._executor()
        if sync:
            executor.wait(self)
        following = start(executor)
        self._all += following
        self[:] = following
        return self

    def _executor(self) -> Executor:
        if self.executor is None:
            raise ValueError("These futures have lost their executor: use `lithops_compat.wait` or `get_result`.")
        return self.executor


def as_list(fs: ResponseFuture | Iterable[ResponseFuture]) -> list[ResponseFuture]:
    """Return one future, or several, as a list."""
    return [fs] if isinstance(fs, ResponseFuture) else list(fs)
