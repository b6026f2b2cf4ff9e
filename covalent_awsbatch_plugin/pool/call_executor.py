# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The methods that start calls: `submit`, `map` and `starmap`, of a pool and of a pool with other settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any, ParamSpec, Protocol, TypeVar

from ..settings import Settings
from .argument_checks import check_count, check_seconds
from .call import Call, Listener
from .call_future import CallFuture
from .staged_calls import CallPickler
from .started_map import StartedMap, values

P = ParamSpec("P")
T = TypeVar("T")

BUFFER = 20_000  # tasks of a map that are submitted and not yet read: two full arrays


class Pool(Protocol):
    """A pool as its executors see it: the attributes of `BatchPool` of these names."""

    max_workers: int | None
    canary: bool

    def check_open(self) -> None: ...
    def new_future(self) -> CallFuture[Any]: ...
    def new_pickler(self, settings: Settings, function: Callable[..., Any]) -> CallPickler: ...
    def record_call(
        self, pickler: CallPickler, args: Sequence[Any], kwargs: Mapping[str, Any], listener: Listener
    ) -> Call: ...
    def start_calls(
        self, settings: Settings, calls: Sequence[Call], chunksize: int = 1, *, lingers: bool = False
    ) -> None: ...
    def end_calls(self, calls: Sequence[Call]) -> None: ...


class CallExecutor(futures.Executor):
    """An executor whose calls are those of `pool`, with `settings`."""

    settings: Settings

    @property
    def pool(self) -> Pool:
        """The pool whose engine runs the calls."""
        raise NotImplementedError

    @property
    def _max_workers(self) -> int:
        """The most calls that run at once, for dask, which reads this attribute of an executor."""
        return self.pool.max_workers or self.settings.max_array_size

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> CallFuture[T]:
        """Start a call and return its future. Raises RuntimeError after `shutdown`."""
        future: CallFuture[T] = self.pool.new_future()
        future.call = call = self.new_call(self.pickler(fn), args, kwargs, future)
        if call.end is None:
            self.pool.start_calls(self.settings, [call], lingers=True)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
    ) -> Iterator[T]:
        """Return the values of `fn` over the zipped iterables; the calls start now and share array jobs.

        `chunksize` calls run in one task, one after another. `buffersize` is the number of tasks that are started and
        whose values are not yet read; the iterables are read no further. With `ordered=False` values come as they are
        ready. With `return_exceptions` a failed call gives its exception as a value; else its exception is raised, and
        the calls that are not read yet are ended. `timeout` is in seconds from now. Raises TimeoutError then.

        In a pool with `canary=True` the first call runs alone, and this method returns when it has begun well.
        """
        return self.starmap(
            fn,
            zip(*iterables, strict=False),
            timeout=timeout,
            chunksize=chunksize,
            buffersize=buffersize,
            ordered=ordered,
            return_exceptions=return_exceptions,
        )

    def starmap(
        self,
        fn: Callable[..., T],
        arguments: Iterable[Sequence[Any]],
        *,
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        ordered: bool = True,
        return_exceptions: bool = False,
    ) -> Iterator[T]:
        """Return the values of `fn(*each)` for each tuple of arguments, as `map` does."""
        check_count("chunksize", chunksize)
        check_count("buffersize", buffersize, may_be_none=True)
        check_seconds("timeout", timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        self.pool.check_open()
        started = StartedMap(
            self, fn, iter(arguments), chunksize, buffersize or BUFFER, ordered=ordered, canary=self.pool.canary
        )
        return values(started, deadline, return_exceptions=return_exceptions)

    def pickler(self, function: Callable[..., Any]) -> CallPickler:
        """Return the pickler of a function's calls, which pickles it once. Raises TypeError for no function."""
        return self.pool.new_pickler(self.settings, function)

    def new_call(
        self, pickler: CallPickler, args: Sequence[Any], kwargs: Mapping[str, Any], listener: Listener
    ) -> Call:
        """Return the record of a call. What can't be pickled is an error of this call alone, which has ended then."""
        return self.pool.record_call(pickler, args, kwargs, listener)

    def start(self, calls: Sequence[Call], chunksize: int = 1) -> None:
        """Start calls. Raises RuntimeError after `shutdown`."""
        self.pool.start_calls(self.settings, calls, chunksize)

    def array_calls(self, chunksize: int) -> int:
        """Return how many calls one array can run."""
        return self.settings.max_array_size * self.settings.tasks_per_job * chunksize

    def end_calls(self, calls: Sequence[Call]) -> None:
        """End calls, whether they run or not."""
        self.pool.end_calls(calls)


class PoolWithSettings(CallExecutor):
    """A pool whose calls have other settings; they count for the pool, and end with it."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool, self.settings = pool, settings

    @property
    def pool(self) -> Pool:
        """The pool whose engine runs the calls."""
        return self._pool

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: the pool ends its calls."""
