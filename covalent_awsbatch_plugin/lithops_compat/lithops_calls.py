# SPDX-FileCopyrightText: 2026 covalent-awsbatch-plugin contributors
# SPDX-License-Identifier: Apache-2.0

"""The start of calls: the pool for their options, their arguments, and calls that wait for others."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from functools import partial
from typing import Any, NamedTuple

from ..pool.background_loop import background_loop
from ..pool.batch_pool import BatchPool
from ..pool.call_future import CallFuture
from ..runner.lithops_names import Invocation, bound, extended, parameters_of
from .client_storage import Storage
from .lithops_config import LithopsOptions
from .lithops_keys import gib, seconds
from .object_parts import WHOLE, Split, parts_of
from .response_future import FuturesList, ResponseFuture

__all__ = ["CallOptions", "CallStarter", "Split"]

_REFUSED = {
    "ibm_cos": "use the parameter `storage`, or boto3 in the function",
    "rabbitmq": "connect in the function, with the broker's URL as an argument",
}
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class CallOptions(NamedTuple):
    """Lithops' options of a map or call: memory in MB, time limit in seconds, calls a container, variables."""

    memory: int | None
    timeout: int | None
    chunksize: int | None
    variables: Mapping[str, Any] | None
    include_modules: Sequence[str] | None


class Following(NamedTuple):
    """A call that is sent when others have ended with values; `send` gets its future."""

    before: Sequence[ResponseFuture]
    future: ResponseFuture
    send: Callable[[], None]


class CallStarter:
    """Starts the calls of one executor, in one pool for each set of options."""

    def __init__(self, executor_id: str, options: LithopsOptions, storage: Storage) -> None:
        self._executor_id, self._options, self._storage = executor_id, options, storage
        self.pools: dict[tuple[tuple[str, Any], ...], BatchPool] = {}
        self._jobs, self._lock = itertools.count(), threading.Lock()

    def map(
        self,
        letter: str,
        function: Callable[..., Any],
        iterdata: Any,
        options: CallOptions,
        extra_args: Any = None,
        split: Split = WHOLE,
    ) -> tuple[list[ResponseFuture], list[int]]:
        """Start a call for each element; return the futures and, for objects, the number of parts of each.

        `letter` begins the job's id. Raises TypeError where an element does not fit the function.
        """
        invocation = self._invocation(function, options)
        pool = self._pool(options)
        if isinstance(iterdata, FuturesList):
            return self._chain(letter, pool, invocation, list(iterdata), extra_args), []
        elements = [extended(each, extra_args) for each in _elements(iterdata)]
        parts: list[int] = []
        if "obj" in parameters_of(function):
            elements, parts = parts_of(function, elements, self._storage, split)
        calls = [_bound(function, number, each) for number, each in enumerate(elements)]
        started = self._new(letter, invocation, len(calls))
        self._send(pool, invocation, zip(started, calls, strict=True))
        return started, parts

    def reduce(
        self,
        function: Callable[..., Any],
        groups: Sequence[list[ResponseFuture]],
        options: CallOptions,
        extra_args: Any,
    ) -> list[ResponseFuture]:
        """Start a call with the list of the values of each group, when all of that are there; return the futures."""
        invocation, pool = self._invocation(function, options), self._pool(options)
        started = self._new("R", invocation, len(groups))

        def send(future: ResponseFuture, group: list[ResponseFuture]) -> None:
            values = [value for each in group for value in each.values]
            self._send(pool, invocation, [(future, bound(function, extended((values,), extra_args)))])

        _follow(
            Following(group, future, partial(send, future, group))
            for future, group in zip(started, groups, strict=True)
        )
        return started

    def _chain(
        self, letter: str, pool: BatchPool, invocation: Invocation, before: list[ResponseFuture], extra_args: Any
    ) -> list[ResponseFuture]:
        """Start a call with the value of each future as soon as that is there."""
        started = self._new(letter, invocation, len(before))

        def send(future: ResponseFuture, earlier: ResponseFuture) -> None:
            element = extended(earlier.result(), extra_args)
            self._send(pool, invocation, [(future, bound(invocation.__wrapped__, element))])

        _follow(
            Following([each], future, partial(send, future, each)) for future, each in zip(started, before, strict=True)
        )
        return started

    def _invocation(self, function: Callable[..., Any], options: CallOptions) -> Invocation:
        """Return the function as it is sent. Raises TypeError for a reserved parameter that can't be had here."""
        if not callable(function):
            raise TypeError(f"{function!r} is no function.")
        for name in sorted(_REFUSED.keys() & parameters_of(function).keys()):
            raise TypeError(f"Lithops' parameter `{name}` can't be had on AWS Batch: {_REFUSED[name]}.")
        variables = {name: str(value) for name, value in (options.variables or {}).items()}
        return Invocation(function, self._executor_id, variables)

    def _pool(self, options: CallOptions) -> BatchPool:
        """Return the pool of calls with these options; the first such call makes it. Raises SettingError."""
        of_file = self._options.options
        include = of_file.get("include_modules", options.include_modules)
        changes: dict[str, Any] = {
            "memory": None if options.memory is None else gib(options.memory),
            "time_limit": None if options.timeout is None else seconds(options.timeout),
            "tasks_per_job": options.chunksize or of_file.get("chunksize"),
            "environment": "" if include in (None, "none", "None") else None,
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        key = tuple(sorted(changes.items()))
        with self._lock:
            if key not in self.pools:
                settings = self._options.settings(**changes)
                self.pools[key] = BatchPool(**settings.model_dump())
            return self.pools[key]

    def _new(self, letter: str, invocation: Invocation, count: int) -> list[ResponseFuture]:
        job_id = f"{letter}{next(self._jobs):03}"
        return [
            ResponseFuture(self._executor_id, job_id, f"{number:05}", invocation.__name__) for number in range(count)
        ]

    def _send(self, pool: BatchPool, invocation: Invocation, calls: Iterable[tuple[ResponseFuture, Arguments]]) -> None:
        pickler, ready = pool.pickler(invocation), []
        for future, (args, kwargs) in calls:
            own: CallFuture[Any] = CallFuture(pool.engine, background_loop())
            own.call = pool.new_call(pickler, (int(future.call_id), args, kwargs), {}, own)
            if future.follow(own, pool.cancel) and own.call.end is None:
                ready.append(own.call)
        if ready:
            pool.start(ready)


def _elements(iterdata: Any) -> list[Any]:
    """Return the elements of a map's data: of a list, range, set or iterator; anything else is one element."""
    is_many = isinstance(iterdata, list | range | set) or hasattr(iterdata, "__next__")
    return list(iterdata) if is_many else [iterdata]


def _bound(function: Callable[..., Any], number: int, element: Any) -> Arguments:
    try:
        return bound(function, element)
    except TypeError as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise TypeError(f"Element {number} of the data, {element!r:.200}, does not fit {name}: {error}.") from None


def _follow(following: Iterable[Following]) -> None:
    """Send calls, in one thread, as the calls before them end; a call gets the first error of those before it."""
    calls = list(following)
    for call in calls:
        for each in call.before:
            each.produces_output = False
    threading.Thread(target=_send_each, args=(calls,), name="awsbatch-lithops", daemon=True).start()


def _send_each(calls: list[Following]) -> None:
    waiting: dict[futures.Future[Any], list[int]] = {}
    missing = [len(call.before) for call in calls]
    for number, call in enumerate(calls):
        for each in call.before:
            waiting.setdefault(each.settled, []).append(number)
    for number in [number for number, count in enumerate(missing) if not count]:
        _send_one(calls[number])
    for settled in futures.as_completed(waiting):
        for number in waiting[settled]:
            missing[number] -= 1
            if not missing[number]:
                _send_one(calls[number])


def _send_one(call: Following) -> None:
    try:
        for each in call.before:
            each.result()
        call.send()
    except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
        call.future.fail(error)
