# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lithops' `RetryingFunctionExecutor`: calls whose function raised are sent again, with the same arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from ..runner.lithops_names import ALL_COMPLETED, ALWAYS
from ..runner.object_storage import PUBLIC
from .function_executor import FunctionExecutor
from .response_future import ResponseFuture


class RetryingFuture:
    """A future whose call may be sent again; anything but `cancel` and `retries` is asked of the newest call."""

    def __init__(self, future: ResponseFuture, again: Callable[[], ResponseFuture], retries: int) -> None:
        self.response_future, self._again, self.retries = future, again, retries
        self.failure_count, self.cancelled = 0, False

    def __getattr__(self, name: str) -> Any:
        if name == "response_future":
            raise AttributeError(name)
        return getattr(self.response_future, name)

    def cancel(self) -> None:
        """Send the call no more; the call that runs goes on."""
        self.cancelled = True

    def retry(self) -> bool:
        """Send a failed call again where it may be; return whether it was."""
        self.failure_count += 1
        if self.cancelled or self.failure_count > self.retries:
            return False
        self.response_future = self._again()
        return True


class RetryingFunctionExecutor:
    """An executor around another one; its `map` takes `retries`, and its `wait` sends failed calls again."""

    __module__ = PUBLIC

    def __init__(self, executor: FunctionExecutor) -> None:
        self.executor, self.config = executor, executor.config

    def __enter__(self) -> Self:
        self.executor.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.executor.__exit__(kind, error, traceback)

    def map(
        self,
        map_function: Callable[..., Any],
        map_iterdata: Iterable[Any],
        *,
        retries: int | None = None,
        **options: Any,
    ) -> list[RetryingFuture]:
        """Start a call for each element, as `FunctionExecutor.map`; `retries` is the most times it is sent again.

        Without `retries`, the key `retries` of the configuration is taken, and 0 without that.
        """
        elements = list(map_iterdata)
        most = self.executor.retries if retries is None else retries

        def again(element: Any) -> Callable[[], ResponseFuture]:
            return lambda: self.executor.map(map_function, [element], **options)[0]

        started = self.executor.map(map_function, elements, **options)
        return [RetryingFuture(each, again(element), most) for each, element in zip(started, elements, strict=True)]

    def wait(
        self,
        fs: list[RetryingFuture],
        throw_except: bool = True,
        return_when: float = ALL_COMPLETED,
        timeout: float | None = None,
        **_: Any,
    ) -> tuple[list[RetryingFuture], list[RetryingFuture]]:
        """Wait for futures and send failed calls again; return those that have ended for good, and the others.

        Raises the exception of a call that may be sent no more, unless `throw_except` is False.
        """
        while True:
            current = [future.response_future for future in fs]
            ended, _others = self.executor.wait(current, throw_except=False, return_when=return_when, timeout=timeout)
            done: list[RetryingFuture] = []
            pending: list[RetryingFuture] = []
            ids = {id(each) for each in ended}
            for future in fs:
                is_final = id(future.response_future) in ids and not (future.error and future.retry())
                (done if is_final else pending).append(future)
            if return_when == ALWAYS or not pending or (done and return_when != ALL_COMPLETED):
                break
        if throw_except:
            for future in done:
                future.response_future.result()
        return done, pending

    def get_result(
        self, fs: list[RetryingFuture], throw_except: bool = True, timeout: float | None = None
    ) -> list[Any]:
        """Wait as `wait` does, and return the values in order."""
        self.wait(fs, throw_except=throw_except, timeout=timeout)
        return [future.result(throw_except) for future in fs]

    def clean(self, *args: Any, **options: Any) -> None:
        """Delete cloud objects, as `FunctionExecutor.clean` does."""
        self.executor.clean(*args, **options)
