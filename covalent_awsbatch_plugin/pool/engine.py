# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The engine of a pool: calls wait until an array of their kind may begin, and then run in it.

All of it but `start` runs in the thread of the background loop.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..core.files import atomic_write
from ..errors import Cancelled
from ..settings import Settings
from .array_under_way import CANCEL_REASON, OF_JOBS, ArrayUnderWay
from .background_loop import BackgroundLoop
from .call import NO_FUNCTION, NOBODY, NOT_ASKED_FOR, Call, CallEnd
from .record import ArrayRecord, OpenRecord

_MIB = 1024 * 1024


class Kind(NamedTuple):
    """The properties that calls of one array have in common; `of` tells apart those with other dependencies."""

    settings: Settings
    chunksize: int = 1
    of: str = ""

    @property
    def key(self) -> tuple[str, int, str]:
        """The kind as a key of a dictionary."""
        return self.settings.model_dump_json(), self.chunksize, self.of


@dataclass(eq=False)
class _Waiting:
    """The calls of one kind that no array has yet."""

    kind: Kind
    calls: deque[Call] = field(default_factory=deque)
    lingers: bool = False
    linger: asyncio.TimerHandle | None = None


class Counts(NamedTuple):
    """The numbers of calls of a pool by state."""

    waiting: int
    under_way: int
    succeeded: int
    failed: int


class Engine:
    """The calls of one pool. `max_workers` is how many may run at once, None for no limit."""

    def __init__(
        self,
        dispatch_id: str,
        folder: Path,
        loop: BackgroundLoop,
        max_workers: int | None = None,
        record: OpenRecord | None = None,
    ) -> None:
        self.dispatch_id, self._folder, self._loop = dispatch_id, folder, loop
        self._max_workers, self._record = max_workers, record
        self._waiting: dict[tuple[str, int, str], _Waiting] = {}
        self.arrays: set[ArrayUnderWay] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self.halted = ""  # why calls that start now end at once, as a sentence without its dot
        self._ends = collections.Counter[bool]()  # by whether a call returned a value
        self.on_end: list[Callable[[Call], None]] = []  # called in the loop's thread for each call that has ended

    @property
    def counts(self) -> Counts:
        """The numbers of calls by state now; any thread may ask."""
        waiting = sum(len(each.calls) for each in list(self._waiting.values()))
        return Counts(waiting, self._under_way, self._ends[True], self._ends[False])

    @property
    def open_calls(self) -> list[Call]:
        """The calls that have not ended."""
        waiting = [call for each in self._waiting.values() for call in each.calls]
        return waiting + [call for array in self.arrays for call in array.open_calls]

    def start(self, kind: Kind, calls: Sequence[Call], *, lingers: bool = False) -> None:
        """Start calls. Those that linger wait a moment for others of their kind. Any thread may call this."""
        self._loop.start(self._started(kind, calls, lingers=lingers))

    async def _started(self, kind: Kind, calls: Sequence[Call], *, lingers: bool) -> None:
        try:
            self._start(kind, calls, lingers=lingers)
        except Exception as error:  # noqa: BLE001 - the calls get it, and none may wait for ever
            for call in calls:
                self._ended(call, CallEnd(failed=error))

    def _start(self, kind: Kind, calls: Sequence[Call], *, lingers: bool) -> None:
        if self.halted:
            for call in calls:
                self._ended(call, CallEnd(failed=Cancelled(f"{self.halted}.")))
            return
        waiting = self._waiting.setdefault(kind.key, _Waiting(kind))
        waiting.calls.extend(self._attach(kind, calls) if self._record else calls)
        if not waiting.calls:
            return
        linger = kind.settings.array_linger if lingers and waiting.lingers else 0
        waiting.lingers = lingers
        if linger and len(waiting.calls) < self._capacity(kind):
            if waiting.linger is None:
                waiting.linger = asyncio.get_running_loop().call_later(linger, self._flush, waiting)
            return
        self._flush(waiting)

    def _attach(self, kind: Kind, calls: Sequence[Call]) -> list[Call]:
        """Have the jobs of earlier processes watched for calls that they run or ran; return the other calls."""
        assert self._record
        anew: list[Call] = []
        by_array_id: dict[str, tuple[ArrayRecord, list[tuple[int, Call]]]] = {}
        for call in calls:
            array, index = self._record.places.pop(call.key, (None, 0))
            if array is None:
                anew.append(call)
            else:
                by_array_id.setdefault(array.array_id, (array, []))[1].append((index, call))
        for array, places in by_array_id.values():
            self._begin_earlier(kind.settings, array, places)
        return anew

    def _begin_earlier(self, settings: Settings, array: ArrayRecord, places: Sequence[tuple[int, Call]]) -> None:
        numbers = array.numbers
        calls = [Call(NO_FUNCTION, b"", (), number, NOBODY) for number in numbers]
        for call in calls:
            call.end = NOT_ASKED_FOR
        for index, call in places:
            call.number = numbers[index]
            calls[index] = call
        self._run_array(
            ArrayUnderWay(
                settings.model_copy(update={name: array.job[name] for name in OF_JOBS if name in array.job}),
                self.dispatch_id, calls, array.chunksize, self._folder, self._ended, self._again, self._record,
                array_id=array.array_id, earlier=array,
            )
        )  # fmt: skip

    def _capacity(self, kind: Kind) -> int:
        """Return the most calls that one array of this kind can run."""
        return kind.settings.max_array_size * kind.settings.tasks_per_job * kind.chunksize

    def _flush(self, waiting: _Waiting) -> None:
        """Begin arrays for the waiting calls, as many as may run."""
        if waiting.linger:
            waiting.linger.cancel()
            waiting.linger = None
        while waiting.calls and (room := self._room(waiting)):
            self._begin(waiting.kind, self._next(waiting, room))

    def _room(self, waiting: _Waiting) -> int:
        """Return how many calls a new array may have now; 0 until enough of those that run have ended."""
        capacity = self._capacity(waiting.kind)
        if self._max_workers is None:
            return capacity
        free, each = self._max_workers - self._under_way, waiting.kind.chunksize
        share = waiting.kind.settings.tasks_per_job // waiting.kind.settings.parallel_tasks or 1
        enough = min(len(waiting.calls), max(1, self._max_workers // 2))
        return min(capacity, free * each * share) if free >= enough or (free > 0 and not self.arrays) else 0

    def _next(self, waiting: _Waiting, room: int) -> list[Call]:
        """Take as many calls as one array and one layer may hold; shared objects count once."""
        room_bytes, objects = waiting.kind.settings.max_layer_mib * _MIB, set[str]()
        calls: list[Call] = []
        while waiting.calls and len(calls) < room:
            call = waiting.calls[0]
            new = {each.ref.sha256: each.ref.size for each in call.shared if each.ref.sha256 not in objects}
            room_bytes -= len(call.data) + sum(new.values())
            if calls and room_bytes < 0:
                break
            objects |= new.keys()
            calls.append(waiting.calls.popleft())
        return calls

    def _begin(self, kind: Kind, calls: list[Call]) -> None:
        array = ArrayUnderWay(
            kind.settings, self.dispatch_id, calls, kind.chunksize, self._folder, self._ended, self._again, self._record
        )
        self._run_array(array)

    def _run_array(self, array: ArrayUnderWay) -> None:
        self.arrays.add(array)
        self._under_way += len(array.open_calls)
        task = asyncio.get_running_loop().create_task(self._run(array))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, array: ArrayUnderWay) -> None:
        try:
            await array.run()
        finally:
            self.arrays.discard(array)

    def _ended(self, call: Call, end: CallEnd) -> None:
        if call.end is not None:
            return
        if call.array is not None:
            self._under_way -= 1
        call.end = end
        self._ends[end.failed is None] += 1
        call.listener.ended(call)
        for callback in self.on_end:
            callback(call)
        if self._max_workers is not None:
            for waiting in list(self._waiting.values()):
                self._flush(waiting)

    def _again(self, settings: Settings, call: Call, chunksize: int) -> None:
        """Submit a call again, in another array; calls of one moment share it."""
        self._under_way -= 1
        kind = Kind(settings, chunksize, f"try {call.tries} after {call.earlier_attempts} attempts")
        waiting = self._waiting.setdefault(kind.key, _Waiting(kind))
        waiting.calls.append(call)
        if waiting.linger is None:
            waiting.linger = asyncio.get_running_loop().call_later(settings.array_linger, self._flush, waiting)

    def file_of(self, end: CallEnd) -> Path:
        """Return a file with the pickle of a value."""
        if not isinstance(end.data, bytes):
            return end.data.path()
        path = self._folder / f"value-{hashlib.sha256(end.data).hexdigest()}"
        if not path.exists():
            atomic_write(path, end.data, mode=0o600)
        return path

    # ---- cancel -----------------------------------------------------------------------------------------------------
    def _take_waiting(self, calls: set[Call]) -> list[Call]:
        """Take calls that no array has out of the queues."""
        calls_here: list[Call] = []
        for waiting in self._waiting.values():
            mine = [call for call in waiting.calls if call in calls]
            if mine:
                calls_here += mine
                waiting.calls = deque(call for call in waiting.calls if call not in calls)
        return calls_here

    async def end(self, calls: Iterable[Call] | None = None, reason: str = CANCEL_REASON) -> None:
        """End these calls, or all, whether they run or not: their jobs, where no other open call needs them."""
        ending = set(self.open_calls if calls is None else calls)
        for call in self._take_waiting(ending):
            self._ended(call, _never_ran(reason))
        by_array: dict[ArrayUnderWay, list[Call]] = {}
        for call in ending:
            if isinstance(call.array, ArrayUnderWay) and call.end is None:
                by_array.setdefault(call.array, []).append(call)
        await asyncio.gather(*(array.end(mine, reason) for array, mine in by_array.items()))

    async def has_begun(self, call: Call) -> bool:
        """Return whether the call's container has started, as AWS Batch tells now where the last look does not."""
        return isinstance(call.array, ArrayUnderWay) and await call.array.ask_if_begun(call)

    async def end_unbegun(self, calls: Iterable[Call]) -> list[Call]:
        """End those of the calls whose container has surely not started; return them: their function never runs."""
        open_calls = {call for call in calls if call.end is None}
        ended = self._take_waiting(open_calls)
        by_array: dict[ArrayUnderWay, list[Call]] = {}
        for call in open_calls.difference(ended):
            if isinstance(call.array, ArrayUnderWay):
                by_array.setdefault(call.array, []).append(call)
        for more in await asyncio.gather(*(array.end_unbegun(mine) for array, mine in by_array.items())):
            ended += more
        for call in ended:
            self._ended(call, _never_ran())
        return ended

    async def detach(self) -> None:
        """Leave all jobs running and watch them no more; every open call ends here, without a result.

        Submissions under way are waited for; calls that no array has yet are not submitted.
        """
        for array in set(self.arrays):
            await array.submitted.wait()
            array.is_detached = True
        for call in self.open_calls:
            self._ended(call, CallEnd(failed=Cancelled("The pool was detached; the jobs that it submitted go on.")))
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def join(self) -> None:
        """Wait until the arrays under way have ended and their artifacts are given to the clean-up."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))


def _never_ran(reason: str = CANCEL_REASON) -> CallEnd:
    return CallEnd(failed=Cancelled(f"{reason}."), never_ran=True)
