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
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from ..aws.session import close_shared
from ..core.covalent_config import config_file, section
from ..dependencies.relative_paths import anchored_existing
from ..errors import Cancelled, NotPicklable, StagingError
from ..settings import SETTING_NAMES, Given, Settings, resolve
from .argument_checks import check_count, check_function, check_name
from .background_loop import background_loop
from .call import NO_FUNCTION, Call, CallEnd, Listener
from .call_executor import CallExecutor, PoolWithSettings
from .call_future import CallFuture
from .call_identity import CallKeys
from .engine import Counts, Engine, Kind
from .fuse import Fuse
from .progress import CallCounts, Progress, counts_of, pool_table, running_containers
from .record import OpenRecord, import_record
from .staged_calls import CallPickler

log = logging.getLogger(__name__)

T = TypeVar("T")

_open_pools: weakref.WeakSet[BatchPool] = weakref.WeakSet()
_opening = threading.Lock()


class BatchPool(CallExecutor):
    """An executor of `concurrent.futures` whose calls run as AWS Batch jobs; no Covalent and no server are needed.

    A pool with a `name` is found again: the same script, run by another process of this user, reads the results that
    are there, watches the jobs that run and submits only new calls. Its results stay in the bucket. At most
    `max_workers` calls run at once.

    `progress=True` shows how many calls are in which state. With `canary=True` the first call of a `map` goes ahead of
    the others, and if it fails they are not submitted. When `halt_after` calls (a number, or a share such as "5%") have
    failed by the same cause, or containers have run for `max_vcpu_hours` (measured between two looks at the jobs), all
    others end as Cancelled, and `retry_failed` runs them.

    Every setting is a keyword argument; a missing one is taken from `[executors.awsbatch]` of Covalent's config file,
    and then from its default. Use the pool as a context manager: leaving it waits for all calls, and leaving it by an
    exception or Ctrl-C ends their jobs. A pool that is never left or shut down leaves its jobs running when the program
    ends.

    Raises SettingError for a wrong setting, and ValueError for a name with characters other than letters, digits, - and
    _.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        max_workers: int | None = None,
        progress: bool = False,
        canary: bool = False,
        halt_after: int | str | None = None,
        max_vcpu_hours: float | None = None,
        **settings: Any,
    ) -> None:
        if name is not None:
            check_name(name)
        check_count("max_workers", max_workers, may_be_none=True)
        values = {key: value for key, value in section().items() if key in SETTING_NAMES}
        self._fuse = Fuse(halt_after, max_vcpu_hours)
        self._of_file = Given(values, f"in [executors.awsbatch] of {config_file()}")
        self._given = anchored_existing(settings, Path.cwd())
        self.settings = resolve(Given(self._given, "by BatchPool(...)"), self._of_file)
        self.name, self.max_workers, self.canary = name or "", max_workers, canary
        self._failed: list[Call] = []
        self._other_settings: dict[int, Settings] = {}  # by the number of the call
        self._progress = Progress(self.name or "pool", self._counts) if progress else None
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
                self._engine = Engine(dispatch_id, self._folder, self._loop, self.max_workers, self._record)
                self._engine.on_end.append(self._note_end)
                if self._fuse.limits_hours:
                    self._loop.start(self._count_hours(self._engine))
            return self._engine

    @property
    def pool(self) -> BatchPool:
        """The pool itself."""
        return self

    def __repr__(self) -> str:
        counts = self._engine.counts if self._engine else Counts(0, 0, 0, 0)
        state = "shut down" if self._closed else f"{counts.waiting + counts.under_way} calls under way"
        return f"<BatchPool {self.name or '(no name)'}: {state}, queue {self.settings.batch_queue or '(not set)'}>"

    # ---- the executor's own methods ---------------------------------------------------------------------------------
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
        if self._progress:
            self._progress.finish()
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
    def with_settings(self, **settings: Any) -> PoolWithSettings:
        """Return an executor whose calls run in this pool with other settings. Raises SettingError for a wrong one."""
        own = self._given | anchored_existing(settings, Path.cwd())
        return PoolWithSettings(self, resolve(Given(own, "by with_settings(...)"), self._of_file))

    def retry_failed(self) -> list[CallFuture[Any]]:
        """Start the calls again that failed, and those that a limit of the pool ended; return their futures.

        Calls that were cancelled by the user, or could not be pickled, are not among them.
        """
        self.check_open()
        failed, self._failed = self._failed, []
        self._fuse.reset()
        self.engine.halted = ""
        by_kind: dict[str, tuple[Settings, list[Call]]] = {}
        started = []
        for call in failed:
            future: CallFuture[Any] = self.new_future()
            future.call = Call(call.function, call.data, call.shared, next(self._numbers), future, call.key)
            settings = self._other_settings.pop(call.number, self.settings)
            by_kind.setdefault(settings.model_dump_json(), (settings, []))[1].append(future.call)
            started.append(future)
        for settings, calls in by_kind.values():
            self.start_calls(settings, calls)
        return started

    def _repr_html_(self) -> str:
        """Return the numbers of calls by state as a table for a notebook."""
        return pool_table(self.name or "BatchPool", self._counts())

    def _counts(self) -> CallCounts:
        return counts_of(self._engine) if self._engine else CallCounts()

    def _note_end(self, call: Call) -> None:
        assert call.end and self._engine
        engine, end = self._engine, call.end
        if end.failed is None or call.function is NO_FUNCTION:
            self._other_settings.pop(call.number, None)
            return
        if engine.halted or not isinstance(end.failed, Cancelled):
            self._failed.append(call)
        if not engine.halted and (why := self._fuse.failed(end, sum(engine.counts))):
            self._halt(engine, why)

    def _halt(self, engine: Engine, why: str) -> None:
        engine.halted = f"{why}: the other calls were ended, and retry_failed() runs them"
        log.warning("%s: %s.", self.name or "BatchPool", engine.halted)
        self._loop.start(engine.end(reason=engine.halted))

    async def _count_hours(self, engine: Engine) -> None:
        every = min(self.settings.poll_freq, 5)
        while not self._closed or engine.arrays:
            await asyncio.sleep(every)
            vcpus = sum(running_containers(array) * array.settings.vcpu for array in list(engine.arrays))
            if (why := self._fuse.ran(vcpus, every)) and not engine.halted:
                self._halt(engine, why)

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
    def new_future(self) -> CallFuture[Any]:
        """Return a future whose call is not known yet. Raises RuntimeError after `shutdown`."""
        self.check_open()
        return CallFuture(self.engine, self._loop)

    def new_pickler(self, settings: Settings, function: Callable[..., Any]) -> CallPickler:
        """Return the pickler of a function's calls, which pickles it once. Raises TypeError for no function."""
        check_function(function)
        return CallPickler(function, self._folder, round(settings.max_baked_mib * 1024 * 1024))

    def record_call(
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

    def start_calls(
        self, settings: Settings, calls: Sequence[Call], chunksize: int = 1, *, lingers: bool = False
    ) -> None:
        """Start calls; those that linger wait a moment for others. Raises RuntimeError after `shutdown`."""
        self.check_open()
        if settings is not self.settings:
            self._other_settings.update((call.number, settings) for call in calls)
        self.engine.start(Kind(settings, chunksize), calls, lingers=lingers)
        if self._progress:
            self._progress.start()

    def end_calls(self, calls: Sequence[Call]) -> None:
        """End calls, whether they run or not."""
        self._loop.run(self.engine.end(calls))

    def check_open(self) -> None:
        """Raise RuntimeError after `shutdown`."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
