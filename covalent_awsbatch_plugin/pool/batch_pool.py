# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""An executor of `concurrent.futures` whose calls run as AWS Batch jobs."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from ..aws.session import close_shared
from ..core.covalent_config import config_file, section
from ..dependencies.relative_paths import anchored_existing
from ..errors import NotPicklable, StagingError
from ..settings import SETTING_NAMES, Given, resolve
from .argument_checks import check_count, check_function, check_name, check_seconds
from .background_loop import background_loop
from .call import NO_FUNCTION, Call, CallEnd, Listener
from .call_future import CallFuture
from .engine import Counts, Engine, Kind
from .call_identity import CallKeys
from .record import OpenRecord, import_record
from .staged_calls import CallPickler
from .started_map import StartedMap, values

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

BUFFER = 20_000  # tasks of a map that are submitted and not yet read: two full arrays
_open_pools: weakref.WeakSet[BatchPool] = weakref.WeakSet()
_opening = threading.Lock()


class BatchPool(futures.Executor):
    """An executor of `concurrent.futures` whose calls run as AWS Batch jobs; no Covalent and no server are needed.

    A pool with a `name` is found again: the same script, run by another process of this user, reads the results that
    are there, watches the jobs that run and submits only new calls. Its results stay in the bucket. At most
    `max_workers` calls run at once.

    Every setting is a keyword argument; a missing one is taken from `[executors.awsbatch]` of Covalent's config file,
    and then from its default. Use the pool as a context manager: leaving it waits for all calls, and leaving it by an
    exception or Ctrl-C ends their jobs. A pool that is never left or shut down leaves its jobs running when the program
    ends.

    Raises SettingError for a wrong setting, and ValueError for a name with characters other than letters, digits, - and
    _.
    """

    def __init__(self, name: str | None = None, *, max_workers: int | None = None, **settings: Any) -> None:
        if name is not None:
            check_name(name)
        check_count("max_workers", max_workers, may_be_none=True)
        values = {key: value for key, value in section().items() if key in SETTING_NAMES}
        own = Given(anchored_existing(settings, Path.cwd()), "by BatchPool(...)")
        self.settings = resolve(own, Given(values, f"in [executors.awsbatch] of {config_file()}"))
        self.name, self._most = name or "", max_workers
        self._folder = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._loop = background_loop()
        self._opening = threading.Lock()
        self._engine: Engine | None = None
        self._record: OpenRecord | None = None
        self._keys = CallKeys(log.warning)
        self._numbers = itertools.count()
        self._closed = False
        with _opening:
            _open_pools.add(self)

    @property
    def engine(self) -> Engine:
        """The engine of the pool, made at the first use. Raises PoolInUse where another process has its name."""
        return self._open()

    def _open(self) -> Engine:
        with self._opening:
            if self._engine is None:
                dispatch_id = f"pool-{uuid.uuid4().hex[:12]}"
                if self.name:
                    self._record = OpenRecord(self.name)
                    weakref.finalize(self, self._record.close)
                    dispatch_id = self._record.record.dispatch_id
                    self._numbers = itertools.count(self._record.record.next_number)
                self._engine = Engine(dispatch_id, self._folder, self._loop, self._most, self._record)
            return self._engine

    @property
    def _max_workers(self) -> int:
        """The most calls that run at once, for dask, which reads this attribute of an executor."""
        return self._most or self.settings.max_array_size

    def __repr__(self) -> str:
        counts = self._engine.counts if self._engine else Counts(0, 0, 0, 0)
        state = "shut down" if self._closed else f"{counts.waiting + counts.under_way} calls under way"
        return f"<BatchPool {self.name or '(no name)'}: {state}, queue {self.settings.batch_queue or '(not set)'}>"

    # ---- the executor's own methods ---------------------------------------------------------------------------------
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> CallFuture[T]:
        """Start a call and return its future. Raises RuntimeError after `shutdown`."""
        self._check_open()
        future: CallFuture[T] = CallFuture(self.engine, self._loop)
        future.call = call = self.new_call(self.pickler(fn), args, kwargs, future)
        if call.end is None:
            self.start([call], lingers=True)
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
        self._check_open()
        started = StartedMap(self, fn, iter(arguments), chunksize, buffersize or BUFFER, ordered=ordered)
        return values(started, deadline, return_exceptions=return_exceptions)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more calls. `cancel_futures` cancels those that have not begun; `wait` waits for all others."""
        self._closed = True
        if cancel_futures and self._engine:
            self._loop.run(self.engine.end_unbegun(self.engine.open_calls))
        if not self._engine:
            self._close()
        elif wait:
            self._loop.run(self._engine.join())
            self._close()
        else:
            self._loop.start(self._engine.join()).add_done_callback(lambda _: self._release())

    def detach(self) -> None:
        """Leave the jobs running and end this pool: a pool of the same name finds their calls again.

        Futures and iterators of open calls raise Cancelled. Calls that are in no job yet are not submitted. Raises
        RuntimeError for a pool without a name, whose jobs nobody would find.
        """
        if not self.name:
            raise RuntimeError("Only a pool with a name can be detached: nobody would find the jobs of this one.")
        self._closed = True
        if self._engine:
            self._loop.run(self._engine.detach())
        self._close()

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write all that another machine needs to find the pool's calls: `BatchPool.load` reads it there.

        The file holds the keys that authenticate the results, and only its owner can read it (mode 0600): whoever has
        it and the bucket can forge results. Raises RuntimeError for a pool without a name, StagingError.
        """
        if not self.name:
            raise RuntimeError("Only a pool with a name can be exported.")
        self._open()
        assert self._record
        self._record.export(Path(path))

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], name: str | None = None, *, max_workers: int | None = None, **settings: Any
    ) -> Self:
        """Return a pool with the calls of an exported one, under its name or another that is new on this machine.

        Raises PoolInUse where a pool of this name is on this machine, UnknownFormat, StagingError.
        """
        return cls(import_record(Path(path), name), max_workers=max_workers, **settings)

    def _close(self) -> None:
        self._release()
        with _opening:
            _open_pools.discard(self)
            if not _open_pools:
                self._loop.run(close_shared())

    def _release(self) -> None:
        """Let other processes use a pool of this name."""
        if self._record:
            self._record.close()

    # ---- beyond it --------------------------------------------------------------------------------------------------
    def cancel(self, *calls: CallFuture[Any]) -> None:
        """End the jobs of these calls, or of all calls of the pool, whether they run or not."""
        self._loop.run(self.engine.end([future.call for future in calls] if calls else None))

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
        if kind is not None and not self._closed:
            self.cancel()
        self.shutdown(wait=True, cancel_futures=kind is not None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, traceback)

    # ---- calls, for this package ------------------------------------------------------------------------------------
    def pickler(self, function: Callable[..., Any]) -> CallPickler:
        """Return the pickler of a function's calls, which pickles it once. Raises TypeError for no function."""
        check_function(function)
        return CallPickler(function, self._folder, round(self.settings.max_baked_mib * 1024 * 1024))

    def new_call(
        self, pickler: CallPickler, args: Sequence[Any], kwargs: Mapping[str, Any], listener: Listener
    ) -> Call:
        """Return the record of a call. What can't be pickled is an error of this call alone, which has ended then."""
        self._open()  # the record tells the number of the next call
        try:
            function, staged = pickler.pickled, pickler.stage(args, kwargs)
        except (NotPicklable, StagingError) as error:
            call = Call(NO_FUNCTION, b"", (), next(self._numbers), listener)
            call.end = CallEnd(failed=error)
            listener.ended(call)
            return call
        key = b""
        if self.name:
            pickler.identity = pickler.identity or self._keys.of_function(pickler.function)
            key = self._keys.of_call(pickler.identity, args, kwargs)
        return Call(function, staged.data, staged.shared, next(self._numbers), listener, key)

    def start(self, calls: Sequence[Call], chunksize: int = 1, *, lingers: bool = False) -> None:
        """Start calls; those that linger wait a moment for others. Raises RuntimeError after `shutdown`."""
        self._check_open()
        self.engine.start(Kind(self.settings, chunksize), calls, lingers=lingers)

    def array_calls(self, chunksize: int) -> int:
        """Return how many calls one array can run."""
        return self.settings.max_array_size * self.settings.tasks_per_job * chunksize

    def end_calls(self, calls: Sequence[Call]) -> None:
        """End calls, whether they run or not."""
        self._loop.run(self.engine.end(calls))

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
