# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An executor of `concurrent.futures` whose calls run as AWS Batch jobs."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import queue
import re
import shutil
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from ..aws.session import close_shared
from ..core.covalent_config import config_file, section
from ..dependencies.relative_paths import anchored_existing
from ..errors import NotPicklable, StagingError
from ..runner.calls import Outcome
from ..settings import SETTING_NAMES, Given, resolve
from ..tasks.client import connect
from ..tasks.staging import RemoteTraceback
from .background_loop import background_loop
from .call_future import CallFuture
from .staged_calls import Arguments, StagedFunction

P = ParamSpec("P")
T = TypeVar("T")

BUFFER = 20_000  # tasks of a map that are submitted and not yet read: two full arrays
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_open_pools: weakref.WeakSet[BatchPool] = weakref.WeakSet()
_opening = threading.Lock()


class BatchPool(futures.Executor):
    """An executor of `concurrent.futures` whose calls run as AWS Batch jobs; no Covalent and no server are needed.

    `name` begins the names of its jobs. Every setting is a keyword argument; a missing one is taken from
    `[executors.awsbatch]` of Covalent's config file, and then from its default. Use the pool as a context manager:
    leaving it waits for all calls, and leaving it by an exception or Ctrl-C ends their jobs. A pool that is never left
    or shut down leaves its jobs running when the program ends.

    Raises SettingError for a wrong setting, and ValueError for a name with characters other than letters, digits, - and
    _.
    """

    def __init__(self, name: str = "pool", **settings: Any) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"The pool's name {name!r} must be 1 to 64 letters, digits, - or _.")
        values = {key: value for key, value in section().items() if key in SETTING_NAMES}
        own = Given(anchored_existing(settings, Path.cwd()), "by BatchPool(...)")
        self.settings = resolve(own, Given(values, f"in [executors.awsbatch] of {config_file()}"))
        self.name = name
        self._dispatch_id = f"{name}-{uuid.uuid4().hex[:12]}"
        self._folder = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._loop = background_loop()
        self._numbers = itertools.count()
        self._unfinished: set[CallFuture[Any]] = set()
        self._lock = threading.Lock()
        self._closed = False
        with _opening:
            _open_pools.add(self)

    @property
    def _max_workers(self) -> int:
        """The most calls that run at once, for dask, which reads this attribute of an executor."""
        return self.settings.max_array_size

    def __repr__(self) -> str:
        state = "shut down" if self._closed else f"{len(self._unfinished)} calls under way"
        return f"<BatchPool {self.name}: {state}, queue {self.settings.batch_queue or '(not set)'}>"

    # ---- the executor's own methods ---------------------------------------------------------------------------------
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> CallFuture[T]:
        """Start a call and return its future. Raises RuntimeError after `shutdown`."""
        return self._start(self._staged(fn), [(args, kwargs)], alone=True)

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
        if chunksize < 1:
            raise ValueError("chunksize must be at least 1.")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or at least 1.")
        deadline = None if timeout is None else time.monotonic() + timeout
        started = _Started(self, fn, iter(arguments), chunksize, buffersize or BUFFER, ordered=ordered)
        return _values(started, deadline, return_exceptions=return_exceptions)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls. `cancel_futures` cancels those that have not begun; `wait` waits for all others."""
        with self._lock:
            self._closed = True
        if cancel_futures:
            for future in list(self._unfinished):
                future.cancel()
        if wait:
            futures.wait(list(self._unfinished))
            with _opening:
                _open_pools.discard(self)
                if not _open_pools:
                    self._loop.run(close_shared())

    # ---- beyond it --------------------------------------------------------------------------------------------------
    def cancel(self, *calls: CallFuture[Any]) -> None:
        """End the jobs of these calls, or of all calls of the pool, whether they run or not."""
        self._loop.run(self._end(list(calls) or list(self._unfinished)))

    async def as_completed(self, calls: Iterable[CallFuture[T]]) -> AsyncIterator[CallFuture[T]]:
        """Yield futures as they end, without blocking the caller's event loop."""
        loop, done, waited = asyncio.get_running_loop(), asyncio.Queue[Any](), set(calls)
        for future in waited:
            future.add_done_callback(lambda ended: loop.call_soon_threadsafe(done.put_nowait, ended))
        for _ in range(len(waited)):
            yield await done.get()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.cancel()
        self.shutdown(wait=True, cancel_futures=kind is not None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, traceback)

    # ---- calls ------------------------------------------------------------------------------------------------------
    def _staged(self, function: Callable[..., Any]) -> StagedFunction:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        staged = StagedFunction(function, folder)
        weakref.finalize(staged, shutil.rmtree, folder, ignore_errors=True)
        return staged

    def _start(self, function: StagedFunction, calls: Sequence[Arguments], *, alone: bool) -> CallFuture[Any]:
        """Start one task. An argument that can't be pickled is an error of this task alone."""
        number, stage = next(self._numbers), function.call if alone else function.calls
        group, refusal = None, None
        try:
            group = stage(calls, self._dispatch_id, number)
        except (NotPicklable, StagingError) as error:
            refusal = error
        future: CallFuture[Any] = CallFuture(self.settings, group, self._folder, self._loop)
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        if refusal:
            future.set_running_or_notify_cancel()
            future.set_exception(refusal)
        else:
            self._loop.start(future.run(function))
        return future

    async def _end(self, calls: Sequence[CallFuture[Any]]) -> None:
        """End calls; an array of which none goes on is ended by one request."""
        handles = [handle for call in calls if (handle := call.mark_cancelled())]
        others = {_array(call.job_id) for call in self._unfinished.difference(calls) if call.job_id}
        jobs = {(_array(h.job_id), None) if _array(h.job_id) not in others else (h.job_id, h.member) for h in handles}
        async with connect(self.settings) as client:
            await asyncio.gather(*(client.cancel(job_id, member) for job_id, member in jobs))


def _array(job_id: str | None) -> str:
    """Return the id of the array job of a child, or the id itself."""
    return (job_id or "").partition(":")[0]


class _Started:
    """The tasks of a `map`: started as far ahead as its buffer allows, and taken in order or as they end."""

    def __init__(
        self,
        pool: BatchPool,
        function: Callable[..., Any],
        arguments: Iterator[Sequence[Any]],
        chunksize: int,
        buffersize: int,
        *,
        ordered: bool,
    ) -> None:
        self._pool, self._arguments, self._chunksize, self._buffersize = pool, arguments, chunksize, buffersize
        self._function = pool._staged(function)
        self._waiting: dict[CallFuture[Any], None] = {}
        self._ended: queue.SimpleQueue[Any] | None = None if ordered else queue.SimpleQueue()
        self.more()

    def more(self) -> None:
        """Start tasks until the buffer is full. Raises what the iterables raise."""
        while len(self._waiting) < self._buffersize:
            calls: list[Arguments] = [(tuple(args), {}) for args in itertools.islice(self._arguments, self._chunksize)]
            if not calls:
                return
            future = self._pool._start(self._function, calls, alone=self._chunksize == 1)
            self._waiting[future] = None
            if self._ended is not None:
                future.add_done_callback(self._ended.put)

    def take(self, seconds: float | None) -> CallFuture[Any] | None:
        """Return the next task that has ended; None after the last. Raises TimeoutError after `seconds`."""
        if not self._waiting:
            return None
        if self._ended is None:
            future = next(iter(self._waiting))
            if not futures.wait([future], timeout=seconds).done:
                raise TimeoutError
        else:
            try:
                future = self._ended.get(timeout=seconds)
            except queue.Empty:
                raise TimeoutError from None
        del self._waiting[future]
        if len(self._waiting) <= self._buffersize // 2:
            self.more()
        return future

    def outcomes(self, future: CallFuture[Any]) -> Iterator[tuple[Any, BaseException | None]]:
        """Yield value and error of each call of an ended task."""
        if error := future.exception():
            yield None, error
        elif self._chunksize == 1:
            yield future.result(), None
        else:
            yield from map(_outcome, future.result())

    def end(self) -> None:
        """End the tasks that nobody will read."""
        if open_calls := [future for future in self._waiting if not future.done()]:
            self._pool.cancel(*open_calls)


def _values(started: _Started, deadline: float | None, *, return_exceptions: bool) -> Iterator[Any]:
    try:
        while future := started.take(None if deadline is None else max(0.0, deadline - time.monotonic())):
            for value, error in started.outcomes(future):
                if error is not None and not return_exceptions:
                    raise error
                yield value if error is None else error
    finally:
        started.end()


def _outcome(outcome: Outcome) -> tuple[Any, BaseException | None]:
    """Return value and error of one of several calls in a task."""
    data, text = outcome
    if not text:
        return pickle.loads(data), None
    try:
        error: BaseException = pickle.loads(data)
    except Exception:  # noqa: BLE001 - its class can't be imported here
        return None, RemoteTraceback(text)
    error.__cause__ = RemoteTraceback(text)
    return None, error
