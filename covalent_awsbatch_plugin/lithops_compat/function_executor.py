# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""Lithops' `FunctionExecutor` on AWS Batch."""

from __future__ import annotations

import itertools
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ..runner.lithops_names import ALL_COMPLETED, CloudObject
from ..runner.object_storage import PUBLIC
from .call_figures import print_summary, write_plots
from .client_storage import Storage
from .lithops_calls import CallOptions, CallStarter, Split
from .lithops_config import LithopsOptions, setup_lithops_logger
from .response_future import FuturesList, ResponseFuture, as_list
from .waiting import values_of, wait

log = logging.getLogger(__name__)
_numbers = itertools.count()
_PROCESS = uuid.uuid4().hex[:12]


class FunctionExecutor:
    """Lithops' executor: its calls run as AWS Batch jobs. docs/lithops.md has each option.

    Settings of this package are accepted as keyword arguments too. Raises SettingError.
    """

    __module__ = PUBLIC

    def __init__(
        self,
        mode: str | None = None,
        config: Mapping[str, Any] | None = None,
        config_file: str | None = None,
        backend: str | None = None,
        storage: str | None = None,
        monitoring: str | None = None,
        log_level: str | bool | None = False,
        **kwargs: Any,
    ) -> None:
        arguments = {"mode": mode, "backend": backend, "storage": storage}
        self._options = LithopsOptions.read(config, config_file, arguments, kwargs)
        level = self._options.options.get("log_level") if log_level is False else log_level
        if level:
            of_file = {name: self._options.options.get(f"log_{name}") for name in ("format", "filename")}
            setup_lithops_logger(str(level), of_file["format"], filename=of_file["filename"])
        self._options.tell()
        self.config = dict(config or {})
        self.executor_id = f"{_PROCESS}-{next(_numbers)}"
        self.backend, self.mode = "aws_batch", "serverless"
        self.futures: list[ResponseFuture] = []
        self.retries = int(self._options.options.get("retries", 0))
        self.storage = Storage(settings=self._options.settings(), session=self.executor_id)
        self._starter = CallStarter(self.executor_id, self._options, self.storage)
        self._is_map = False

    def __reduce__(self) -> Any:
        return FunctionExecutor, ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pool in self._starter.pools.values():
            pool.__exit__(kind, error, traceback)
        self.clean()

    # ---- calls ------------------------------------------------------------------------------------------------------
    def call_async(
        self,
        func: Callable[..., Any],
        data: Any,
        extra_env: Mapping[str, Any] | None = None,
        runtime_memory: int | None = None,
        timeout: int | None = None,
        include_modules: Sequence[str] | None = (),
        exclude_modules: Sequence[str] | None = (),
    ) -> ResponseFuture:
        """Start one call. `data` is its argument, a tuple of them, or a dict by name."""
        options = CallOptions(runtime_memory, timeout, None, extra_env, include_modules)
        self._is_map = False
        (future,) = self._started(self._starter.map("A", func, [data], options)[0])
        return future

    def map(
        self,
        map_function: Callable[..., Any],
        map_iterdata: Any,
        chunksize: int | None = None,
        extra_args: Any = None,
        extra_env: Mapping[str, Any] | None = None,
        runtime_memory: int | None = None,
        obj_chunk_size: int | None = None,
        obj_chunk_number: int | None = None,
        obj_newline: str | None = "\n",
        timeout: int | None = None,
        include_modules: Sequence[str] | None = (),
        exclude_modules: Sequence[str] | None = (),
    ) -> FuturesList:
        """Start a call for each element of `map_iterdata`; `chunksize` calls share a container.

        The elements are as in `call_async`; `extra_args` are added to each. Elements may be the futures of another map.
        For a function with the parameter `obj` they are places of objects, which `obj_chunk_size` (bytes) or
        `obj_chunk_number` split into parts. `runtime_memory` is in MB and `timeout` in seconds. Raises TypeError where
        an element does not fit the function's parameters.
        """
        options = CallOptions(runtime_memory, timeout, chunksize, extra_env, include_modules)
        split = Split(obj_chunk_size, obj_chunk_number, obj_newline)
        self._is_map = True
        started, _ = self._starter.map("M", map_function, map_iterdata, options, extra_args, split)
        return FuturesList(self._started(started), self)

    def map_reduce(
        self,
        map_function: Callable[..., Any],
        map_iterdata: Any,
        reduce_function: Callable[..., Any],
        chunksize: int | None = None,
        extra_args: Any = None,
        extra_args_reduce: Any = None,
        extra_env: Mapping[str, Any] | None = None,
        map_runtime_memory: int | None = None,
        reduce_runtime_memory: int | None = None,
        timeout: int | None = None,
        obj_chunk_size: int | None = None,
        obj_chunk_number: int | None = None,
        obj_newline: str | None = "\n",
        obj_reduce_by_key: bool = False,
        spawn_reducer: int | None = 20,
        include_modules: Sequence[str] | None = (),
        exclude_modules: Sequence[str] | None = (),
    ) -> FuturesList:
        """Start a map, and a call of `reduce_function` with the list of its values once all are there.

        With `obj_reduce_by_key` there is such a call for each object. `spawn_reducer` has no meaning: no container
        waits for others.
        """
        options = CallOptions(map_runtime_memory, timeout, chunksize, extra_env, include_modules)
        split = Split(obj_chunk_size, obj_chunk_number, obj_newline)
        self._is_map = False
        started, parts = self._starter.map("M", map_function, map_iterdata, options, extra_args, split)
        self._started(started)
        ends = list(itertools.accumulate(parts)) if parts and obj_reduce_by_key else [len(started)]
        groups = [started[begin:end] for begin, end in itertools.pairwise([0, *ends])]
        of_reduce = CallOptions(reduce_runtime_memory, timeout, None, extra_env, include_modules)
        reduced = self._starter.reduce(reduce_function, groups, of_reduce, extra_args_reduce)
        return FuturesList([*started, *self._started(reduced)], self)

    def _started(self, started: list[ResponseFuture]) -> list[ResponseFuture]:
        self.futures += started
        return started

    # ---- results ----------------------------------------------------------------------------------------------------
    def wait(
        self,
        fs: Any = None,
        throw_except: bool = True,
        return_when: float = ALL_COMPLETED,
        download_results: bool = False,
        timeout: float | None = None,
        threadpool_size: int | None = None,
        wait_dur_sec: float | None = None,
        show_progressbar: bool = True,
        **_: Any,
    ) -> tuple[FuturesList, FuturesList]:
        """Wait for futures, without `fs` for all of this executor, as `lithops_compat.wait` does. Ctrl-C ends them."""
        waited = as_list(self.futures if fs is None else fs)
        try:
            done, others = wait(waited, throw_except=throw_except, return_when=return_when, timeout=timeout)
        except KeyboardInterrupt:
            for future in waited:
                future.cancel()
            raise
        return FuturesList(done, self), FuturesList(others, self)

    def get_result(
        self,
        fs: Any = None,
        throw_except: bool = True,
        timeout: float | None = None,
        threadpool_size: int | None = None,
        wait_dur_sec: float | None = None,
        show_progressbar: bool = True,
    ) -> Any:
        """Wait, and return the values of `fs`, or else all that were not read yet.

        A single value is returned alone where the last call was no `map`. Without `throw_except`, the value of a failed
        call is None.
        """
        waited = [future for future in self.futures if not future.was_read] if fs is None else as_list(fs)
        try:
            self.wait(waited, throw_except=throw_except, timeout=timeout)
        finally:
            for future in waited:
                future.was_read = future.was_read or (fs is None and future.done)
        values = values_of(waited, throw_except=throw_except)
        return values[0] if len(values) == 1 and not self._is_map else values

    def clean(
        self, fs: Any = None, cs: Iterable[CloudObject] | None = None, clean_cloudobjects: bool = True, **_: Any
    ) -> None:
        """Delete cloud objects: those in `cs`, or all that this executor and its calls made without a key.

        Everything else is deleted when a result is read.
        """
        if cs is not None:
            self.storage.delete_cloudobjects(cs)
        elif clean_cloudobjects and self._starter.pools:
            self.storage.delete_session(self.executor_id)

    def plot(self, fs: Any = None, dst: str | None = None, figsize: tuple[float, float] = (10, 6)) -> None:
        """Write the timeline and the histogram of calls that have returned as DST_timeline.svg and DST_histogram.svg.

        Without `dst`, into the folder `plots`, with the time as DST. `figsize` is in inches.
        """
        ended = [future for future in as_list(self.futures if fs is None else fs) if future.success and future.stats]
        if ended:
            write_plots(ended, dst, figsize)
        else:
            log.warning("No call has returned, so there is nothing to plot.")

    def job_summary(self, cloud_objects_n: int = 0) -> None:
        """Print a line for each map or call: its calls, memory, and the seconds that its functions took."""
        print_summary(self.futures)


class ServerlessExecutor(FunctionExecutor):
    """A `FunctionExecutor` under the name that Lithops has for its serverless backends."""


class StandaloneExecutor(FunctionExecutor):
    """A `FunctionExecutor` under the name that Lithops has for its backends of virtual machines."""
