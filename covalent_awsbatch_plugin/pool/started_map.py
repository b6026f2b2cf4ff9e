# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The calls of a `map`: started as far ahead as its buffer allows, and read in order or as they end."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..errors import AWSBatchError
from .call import Call, CallEnd, Listener
from .staged_calls import CallPickler

CANARY_SECONDS = 60  # of running, after which the first call of a map has begun well
_CANARY_LOOK_SECONDS = 0.05


class CallStarter(Protocol):
    """A pool as a map sees it: the methods of `BatchPool` of these names."""

    def pickler(self, function: Callable[..., Any]) -> CallPickler: ...
    def new_call(
        self, pickler: CallPickler, args: Sequence[Any], kwargs: Mapping[str, Any], listener: Listener
    ) -> Call: ...
    def start(self, calls: Sequence[Call], chunksize: int = 1) -> None: ...
    def array_calls(self, chunksize: int) -> int: ...
    def end_calls(self, calls: Sequence[Call]) -> None: ...


class StartedMap:
    """The calls of one `map`, a small record each. `buffersize` is in tasks, each of `chunksize` calls."""

    def __init__(
        self,
        pool: CallStarter,
        function: Callable[..., Any],
        arguments: Iterator[Sequence[Any]],
        chunksize: int,
        buffersize: int,
        *,
        ordered: bool,
        canary: bool = False,
    ) -> None:
        self._pool, self._arguments, self._chunksize = pool, arguments, chunksize
        self._pickler = pool.pickler(function)
        self._waiting: deque[Call] = deque()  # not read yet, in the order of the inputs
        self._unread = self._count = 0
        self._awaited: Call | None = None
        self._came = threading.Event()
        self._ended: queue.SimpleQueue[Call] | None = None if ordered else queue.SimpleQueue()
        self.canary_failed = False
        self._buffered = 1 if canary else buffersize * chunksize
        self.more()
        if canary and self._unread:
            self.canary_failed = not has_begun_well(self._waiting[0])
        if not self.canary_failed:
            self._buffered = buffersize * chunksize
            self.more()

    def more(self) -> None:
        """Start calls until the buffer is full. Raises what the iterables raise."""
        calls: list[Call] = []
        most = self._pool.array_calls(self._chunksize)
        try:
            for args in itertools.islice(self._arguments, self._buffered - self._unread):
                call = self._pool.new_call(self._pickler, args, {}, self)
                if call.end is not None and isinstance(call.end.failed, AWSBatchError):
                    call.end.failed.happened = f"Element {self._count} of the map. {call.end.failed.happened}"
                self._unread += 1
                self._count += 1
                self._waiting.append(call)
                if call.end is None:
                    calls.append(call)
                if len(calls) >= most:
                    self._pool.start(calls, self._chunksize)
                    calls = []
        finally:
            if calls:
                self._pool.start(calls, self._chunksize)

    def ended(self, call: Call) -> None:
        """Note the end of a call, in the loop's thread."""
        if self._ended is not None:
            self._ended.put(call)
        elif call is self._awaited:
            self._came.set()

    def take(self, seconds: float | None) -> CallEnd | None:
        """Return the end of the next call; None after the last. Raises TimeoutError after `seconds`."""
        if not self._unread:
            return None
        call = self._next_ended(seconds) if self._ended is not None else self._next_in_order(seconds)
        self._unread -= 1
        if self._unread <= self._buffered // 2 and not self.canary_failed:
            self.more()
        assert call.end
        return call.end

    def _next_ended(self, seconds: float | None) -> Call:
        assert self._ended is not None
        try:
            return self._ended.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None

    def _next_in_order(self, seconds: float | None) -> Call:
        call = self._waiting[0]
        self._came.clear()
        self._awaited = call
        if call.end is None and not self._came.wait(seconds) and call.end is None:
            raise TimeoutError
        return self._waiting.popleft()

    def end(self) -> None:
        """End the calls that nobody will read."""
        if open_calls := [call for call in self._waiting if call.end is None]:
            self._pool.end_calls(open_calls)


def has_begun_well(canary: Call) -> bool:
    """Wait until a call has a value or has run for CANARY_SECONDS; return False if it has failed."""
    running_since: float | None = None
    while canary.end is None:
        time.sleep(_CANARY_LOOK_SECONDS)
        if canary.state == "RUNNING":
            running_since = running_since or time.monotonic()
            if time.monotonic() - running_since > CANARY_SECONDS:
                return True
    return canary.end.failed is None


def values(started: StartedMap, deadline: float | None, *, return_exceptions: bool) -> Iterator[Any]:
    """Yield the values of a map's calls; `deadline` is in monotonic seconds. Raises TimeoutError or a call's error."""
    try:
        while end := started.take(None if deadline is None else max(0.0, deadline - time.monotonic())):
            if end.failed is None:
                yield end.value()
            elif return_exceptions and not started.canary_failed:
                yield end.error()
            else:
                raise end.error()
    finally:
        started.end()
